//! Limits of generations: exact under concurrency, free the moment a generation ends, however it ends (service 4.3).

use std::sync::Arc;

use domain::id::{CourseId, GenerationId};
use domain::organization::Tier;
use domain::stage::Stage;
use domain::user::{Actor, Role};
use sqlx::PgConnection;
use store::Store;
use store::error::StoreError;
use store::generation::lifecycle::{self, GenerationLimits, StartedGeneration};
use store::generation::{self, Failure};
use store::job;
use store::queue;
use store::tx::TenantTx;
use tokio::task::JoinSet;

use crate::world::{World, colleague, course_of, new_generation, person};

async fn start(
    store: &Store,
    actor: &Actor,
    course: CourseId,
    user_limit: Option<u32>,
    global_limit: Option<u32>,
) -> Result<StartedGeneration, StoreError> {
    let mut new = new_generation(course);
    (new.user_limit, new.global_limit) = (user_limit, global_limit);
    let begin = async move |tx: &mut TenantTx| lifecycle::start_generation(tx, &new).await;
    store.with_tenant(actor, begin).await
}

async fn taken(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select count(*) from generation_slots where generation_id is not null")
        .fetch_one(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn of_two_hundred_starts_of_a_free_user_one_succeeds() {
    let world = World::new().await;
    let free = person(world.store(), "Free", Tier::Free, Role::Instructor).await;
    let mut courses = Vec::new();
    for number in 0..200 {
        courses.push(
            course_of(world.store(), &free, &format!("Course {number}"))
                .await
                .id,
        );
    }
    let store = Arc::new(world.database.open().await.unwrap());
    let mut starts = JoinSet::new();
    for &course in &courses {
        let store = Arc::clone(&store);
        starts.spawn(async move { start(&store, &free, course, Some(1), Some(50)).await });
    }
    let (started, refused): (Vec<_>, Vec<_>) = starts.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((started.len(), refused.len()), (1, 199));
    for error in refused.into_iter().filter_map(Result::err) {
        assert!(
            matches!(
                error,
                StoreError::TooManyGenerations {
                    tier: Tier::Free,
                    user_limit: 1,
                    current_user_jobs: 1,
                    global_limit: None,
                    global_active_jobs: None,
                }
            ),
            "{error:?}"
        );
    }
    let mut connection = world.superuser().await;
    assert_eq!(taken(&mut connection).await, 1);
    // The place is free the moment the generation ends.
    let active: uuid::Uuid = sqlx::query_scalar("select course_id from generations")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    store
        .with_tenant(&free, async |tx| {
            generation::request_cancel(tx, CourseId::from_uuid(active)).await
        })
        .await
        .unwrap();
    assert_eq!(taken(&mut connection).await, 0);
    start(&store, &free, courses[0], Some(1), Some(50)).await.unwrap();
}

#[tokio::test]
async fn the_global_limit_is_never_passed_and_every_end_frees_a_place() {
    let world = World::new().await;
    let store = Arc::new(world.database.open().await.unwrap());
    let mut people = Vec::new();
    for number in 0..20 {
        let actor = person(
            &store,
            &format!("Tenant {number}"),
            Tier::Premium,
            Role::Instructor,
        )
        .await;
        people.push((actor, course_of(&store, &actor, "A course").await.id));
    }
    let mut starts = JoinSet::new();
    for &(actor, course) in &people {
        let store = Arc::clone(&store);
        starts.spawn(async move {
            (
                actor,
                course,
                start(&store, &actor, course, Some(5), Some(4)).await,
            )
        });
    }
    let outcomes = starts.join_all().await;
    let mut connection = world.superuser().await;
    let (mut started, mut waiting) = (Vec::new(), Vec::new());
    for (actor, course, outcome) in outcomes {
        match outcome {
            Ok(generation) => started.push((actor, course, generation.generation_id)),
            Err(StoreError::TooManyGenerations {
                global_limit: Some(4),
                global_active_jobs: Some(_),
                ..
            }) => waiting.push((actor, course)),
            Err(other) => panic!("{other}"),
        }
    }
    // One that comes while another holds a row may be refused although a place is left; never the other way round.
    while started.len() < 4 {
        let (actor, course) = waiting.pop().unwrap();
        let generation = start(&store, &actor, course, Some(5), Some(4)).await.unwrap();
        started.push((actor, course, generation.generation_id));
    }
    assert_eq!(taken(&mut connection).await, 4);

    let ends = ["complete", "fail", "cancel", "delete", "die", "leave"];
    for end in ends {
        let (actor, course, id) = started.remove(0);
        end_generation(&world, &store, end, &actor, course, id).await;
        assert_eq!(taken(&mut connection).await, 3, "{end}");
        let (actor, course) = waiting.pop().unwrap();
        let generation = start(&store, &actor, course, Some(5), Some(4)).await.unwrap();
        started.push((actor, course, generation.generation_id));
        let (actor, course) = *waiting.last().unwrap();
        let refused = start(&store, &actor, course, Some(5), Some(4)).await;
        assert!(
            matches!(refused, Err(StoreError::TooManyGenerations { .. })),
            "{end}"
        );
    }
    // A limit that fell below what is active lets nobody in until enough have ended.
    let (actor, course) = waiting.pop().unwrap();
    for remaining in [4, 3, 2] {
        let refused = start(&store, &actor, course, Some(5), Some(2)).await;
        assert!(
            matches!(refused, Err(StoreError::TooManyGenerations { .. })),
            "{remaining} are active"
        );
        let (owner, ending, _) = started.remove(0);
        store
            .with_tenant(&owner, async |tx| generation::request_cancel(tx, ending).await)
            .await
            .unwrap();
    }
    start(&store, &actor, course, Some(5), Some(2)).await.unwrap();
    assert_eq!(taken(&mut connection).await, 2);
}

async fn end_generation(
    world: &World,
    store: &Store,
    end: &str,
    actor: &Actor,
    course: CourseId,
    id: GenerationId,
) {
    let worker = world.worker().await;
    let claim = async || {
        store
            .with_system(async |tx| queue::claim(tx, worker.id, Some(id), crate::world::LEASE).await)
            .await
            .unwrap()
            .unwrap()
    };
    match end {
        "complete" => loop {
            let claimed = claim().await;
            world.begin(&claimed).await;
            world.finish(&claimed).await.unwrap();
            if claimed.job.stage == Stage::Finalization {
                break;
            }
        },
        "fail" => {
            let claimed = claim().await;
            let failure = Failure {
                code: "LLM_ERROR".to_owned(),
                message: "no answer".to_owned(),
                details: None,
            };
            store
                .with_system(async |tx| {
                    lifecycle::fail_generation(tx, &claimed.lease, &claimed.job, &failure).await
                })
                .await
                .unwrap();
        }
        "cancel" => {
            store
                .with_tenant(actor, async |tx| generation::request_cancel(tx, course).await)
                .await
                .unwrap();
        }
        "delete" => {
            store
                .with_tenant(actor, async |tx| store::course::delete_course(tx, course).await)
                .await
                .unwrap();
        }
        "die" => {
            claim().await;
            sqlx::query(
                "update jobs set lease_until = now() - interval '1 s', attempt = max_attempts,
                    idle_since = now() - interval '1 hour' where state = 'running'",
            )
            .execute(&mut world.superuser().await)
            .await
            .unwrap();
            store
                .with_system(async |tx| queue::rescue_expired(tx).await)
                .await
                .unwrap();
        }
        _ => {
            sqlx::query("delete from organizations where id = $1")
                .bind(actor.organization_id.as_uuid())
                .execute(&mut world.superuser().await)
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_retry_keeps_the_limits_too() {
    let world = World::new().await;
    let store = world.store();
    let first = world.course("First").await.id;
    let second = world.course("Second").await.id;
    let ended = start(store, &world.owner, first, Some(1), Some(1)).await.unwrap();
    store
        .with_tenant(&world.owner, async |tx| {
            generation::request_cancel(tx, first).await
        })
        .await
        .unwrap();
    start(store, &world.owner, second, Some(1), Some(1))
        .await
        .unwrap();
    let retry = async |user: u32, global: u32| {
        let limits = GenerationLimits {
            user: Some(user),
            global: Some(global),
        };
        store
            .with_tenant(&world.owner, async |tx| {
                lifecycle::retry_generation(tx, ended.generation_id, limits).await
            })
            .await
    };
    for (user, global) in [(1, 2), (2, 1)] {
        let refused = retry(user, global).await;
        assert!(
            matches!(refused, Err(StoreError::TooManyGenerations { .. })),
            "{refused:?}"
        );
    }
    retry(2, 2).await.unwrap();
    assert_eq!(taken(&mut world.superuser().await).await, 2);
}

/// An admin who tries jobs again gets no further than their owner; a superadmin only as far as the installation goes.
#[tokio::test]
async fn a_job_that_is_tried_again_keeps_the_limits_of_its_owner() {
    let world = World::new().await;
    let store = world.store();
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let superadmin = person(store, "Operators", Tier::Free, Role::Superadmin).await;
    let first = world.course("First").await.id;
    let second = world.course("Second").await.id;
    let ended = start(store, &world.owner, first, Some(1), Some(9)).await.unwrap();
    store
        .with_tenant(&world.owner, async |tx| {
            generation::request_cancel(tx, first).await
        })
        .await
        .unwrap();
    start(store, &world.owner, second, Some(1), Some(9))
        .await
        .unwrap();
    let retry = async |actor: &Actor, user: u32, global: u32| {
        // The owner's organization is of the standard tier: the limits of others do not matter.
        let limits = Tier::ALL.map(|tier| {
            let user = if tier == Tier::Standard { user } else { 100 };
            let (user, global) = (Some(user), Some(global));
            (tier, GenerationLimits { user, global })
        });
        store
            .with_tenant(actor, async |tx| job::retry_job(tx, ended.job_id, &limits).await)
            .await
    };
    for (actor, user, global) in [(&admin, 1, 9), (&admin, 9, 1), (&superadmin, 9, 1)] {
        let refused = retry(actor, user, global).await;
        assert!(
            matches!(refused, Err(StoreError::TooManyGenerations { .. })),
            "{refused:?}"
        );
    }
    retry(&superadmin, 1, 2).await.unwrap();
    assert_eq!(taken(&mut world.superuser().await).await, 2, "it takes its place");
    let refused = retry(&admin, 9, 9).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "it is active: {refused:?}"
    );
}

/// What was seen before the lock does not count: a review that was cancelled meanwhile is not approved.
#[tokio::test]
async fn only_what_waits_is_approved_and_only_what_has_stopped_is_tried_again() {
    let world = World::new().await;
    let store = world.store();
    let (course, started) = world.started().await;
    let approve = async || {
        store
            .with_tenant(&world.owner, async |tx| {
                lifecycle::approve_generation(tx, started.generation_id).await
            })
            .await
    };
    let retry = async || {
        store
            .with_tenant(&world.owner, async |tx| {
                let limits = GenerationLimits::default();
                lifecycle::retry_generation(tx, started.generation_id, limits).await
            })
            .await
    };
    assert!(matches!(approve().await, Err(StoreError::Conflict(_))));
    assert!(
        matches!(retry().await, Err(StoreError::Conflict(_))),
        "it is active"
    );
    store
        .with_tenant(&world.owner, async |tx| {
            generation::request_cancel(tx, course.id).await
        })
        .await
        .unwrap();
    assert!(
        matches!(approve().await, Err(StoreError::Conflict(_))),
        "it is cancelled"
    );
    retry().await.unwrap();
}

#[tokio::test]
async fn jobs_have_the_priority_of_their_tier() {
    let world = World::new().await;
    let store = world.store();
    let mut expected = Vec::new();
    for tier in Tier::ALL {
        let actor = person(store, tier.as_str(), tier, Role::Instructor).await;
        let course = course_of(store, &actor, "A course").await.id;
        start(store, &actor, course, None, None).await.unwrap();
        expected.push(tier.default_priority());
    }
    let superadmin = person(store, "Operators", Tier::Free, Role::Superadmin).await;
    let course = course_of(store, &superadmin, "A course").await.id;
    start(store, &superadmin, course, None, None).await.unwrap();
    expected.push(Tier::Premium.default_priority());
    let found: Vec<i16> = sqlx::query_scalar("select priority from jobs order by position")
        .fetch_all(&mut world.superuser().await)
        .await
        .unwrap();
    assert_eq!(found, expected, "a superadmin works with the highest tier's");
}

#[tokio::test]
async fn two_thousand_mixed_jobs_start_in_exact_order() {
    let world = World::new().await;
    let mut connection = world.superuser().await;
    sqlx::query("select setseed(0.5)")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query(
        "with made as (
            insert into courses (id, organization_id, owner_id, slug, title, language, style)
            select gen_random_uuid(), $1, $2, 'c' || n, 'T', 'en', 'academic' from generate_series(1, 2000) as n
            returning id),
        begun as (
            insert into generations (id, course_id, organization_id, user_id, status, budget_usd_micros, seed)
            select gen_random_uuid(), id, $1, $2, 'pending', 1, 1 from made returning id, course_id)
        insert into jobs (id, organization_id, user_id, course_id, generation_id, stage, priority)
        select gen_random_uuid(), $1, $2, course_id, id, 'analysis', (array[1, 3, 5, 10])[1 + floor(random() * 4)]
        from begun",
    )
    .bind(world.owner.organization_id.as_uuid())
    .bind(world.owner.user_id.as_uuid())
    .execute(&mut connection)
    .await
    .unwrap();
    let expected: Vec<uuid::Uuid> =
        sqlx::query_scalar("select id from jobs order by priority desc, position")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let worker = world.worker().await;
    let mut started = Vec::new();
    while let Some(claimed) = world.claim(&worker).await {
        started.push(claimed.lease.job_id.as_uuid());
    }
    assert_eq!(started.len(), 2000);
    assert!(started == expected, "the order differs");
}
