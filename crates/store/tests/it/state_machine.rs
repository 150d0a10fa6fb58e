use std::collections::BTreeSet;

use domain::generation::GenerationStatus;
use store::course;
use store::generation::lifecycle;

use crate::world::World;

fn name(status: Option<GenerationStatus>) -> &'static str {
    status.map_or("", GenerationStatus::as_str)
}

fn all() -> impl Iterator<Item = Option<GenerationStatus>> {
    std::iter::once(None).chain(GenerationStatus::ALL.into_iter().map(Some))
}

#[tokio::test]
async fn the_database_and_the_domain_have_the_same_transitions() {
    let world = World::new().await;
    let stored: Vec<(String, String)> =
        sqlx::query_as("select old_status, new_status from generation_transitions")
            .fetch_all(&mut world.superuser().await)
            .await
            .unwrap();
    let stored: BTreeSet<(String, String)> = stored.into_iter().collect();
    let expected: BTreeSet<(String, String)> = all()
        .flat_map(|from| {
            GenerationStatus::successors(from)
                .iter()
                .map(move |to| (name(from).to_owned(), to.as_str().to_owned()))
        })
        .collect();
    assert_eq!(stored, expected);
}

/// Tries every change of every status, not only those of the table.
#[tokio::test]
async fn the_trigger_allows_exactly_the_legal_changes() {
    let world = World::new().await;
    let course = world.course("States").await;
    let mut connection = world.superuser().await;
    for from in all() {
        for to in all() {
            sqlx::raw_sql("alter table courses disable trigger user")
                .execute(&mut connection)
                .await
                .unwrap();
            sqlx::query("update courses set generation_status = $2 where id = $1")
                .bind(course.id.as_uuid())
                .bind(from.map(GenerationStatus::as_str))
                .execute(&mut connection)
                .await
                .unwrap();
            sqlx::raw_sql("alter table courses enable trigger user")
                .execute(&mut connection)
                .await
                .unwrap();
            let changed = sqlx::query("update courses set generation_status = $2 where id = $1")
                .bind(course.id.as_uuid())
                .bind(to.map(GenerationStatus::as_str))
                .execute(&mut connection)
                .await;
            let legal = from == to || to.is_some_and(|to| GenerationStatus::may_follow(from, to));
            match changed {
                Ok(_) => assert!(legal, "{from:?} to {to:?} was allowed"),
                Err(refused) => {
                    assert!(!legal, "{from:?} to {to:?}: {refused}");
                    let message = refused.as_database_error().unwrap().message().to_owned();
                    let words: Vec<&str> = [
                        from.map_or("NULL", GenerationStatus::as_str),
                        to.map_or("NULL", GenerationStatus::as_str),
                    ]
                    .into_iter()
                    .chain(
                        GenerationStatus::successors(from)
                            .iter()
                            .map(|status| status.as_str()),
                    )
                    .collect();
                    assert!(words.iter().all(|word| message.contains(word)), "{message}");
                }
            }
        }
    }
}

/// Old and new status, actor, source, generation.
type Change = (
    Option<String>,
    String,
    Option<uuid::Uuid>,
    String,
    Option<uuid::Uuid>,
);

#[tokio::test]
async fn history_names_who_and_whence() {
    let world = World::new().await;
    let (course, started) = world.started().await;
    let worker = world.worker().await;
    let claimed = world.claim(&worker).await.unwrap();
    world
        .store()
        .with_system(async |tx| lifecycle::begin_stage(tx, &claimed.lease, &claimed.job, "begun").await)
        .await
        .unwrap();
    let history: Vec<Change> = sqlx::query_as(
        "select old_status, new_status, actor_id, source, generation_id from generation_status_history order by id",
    )
    .fetch_all(&mut world.superuser().await)
    .await
    .unwrap();
    let person = Some(world.owner.user_id.as_uuid());
    let generation = Some(started.generation_id.as_uuid());
    let expected = [
        (None, "pending", person, "api"),
        (Some("pending"), "initializing", person, "api"),
        (Some("initializing"), "analyzing_task", None, "worker"),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(old, new, actor, source)| {
            (
                old.map(str::to_owned),
                new.to_owned(),
                actor,
                source.to_owned(),
                generation,
            )
        })
        .collect();
    assert_eq!(history, expected);
    let summary = world
        .store()
        .with_tenant(&world.owner, async |tx| {
            course::get_generation_summary(tx, course.id).await
        })
        .await
        .unwrap();
    assert_eq!(summary["status"], "analyzing_task");
    assert_eq!(summary["history"].as_array().unwrap().len(), 3);
    assert_eq!(summary["is_stuck"], false);
}

#[tokio::test]
async fn the_dashboard_counts_what_is_stuck() {
    let world = World::new().await;
    world.started().await;
    let stuck = world.course("Stuck").await;
    world.start(stuck.id).await.unwrap();
    let mut connection = world.superuser().await;
    sqlx::raw_sql("alter table courses disable trigger courses_touch")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query("update courses set updated_at = now() - interval '61 minutes' where id = $1")
        .bind(stuck.id.as_uuid())
        .execute(&mut connection)
        .await
        .unwrap();
    let rows: Vec<(String, i64, i64)> =
        sqlx::query_as("select generation_status, courses, stuck from admin_generation_dashboard")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert_eq!(rows, [("initializing".to_owned(), 2, 1)]);
}
