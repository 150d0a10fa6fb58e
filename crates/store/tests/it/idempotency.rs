//! A start that comes twice with one key happens once.

use domain::user::Role;
use store::course::insert_course;
use store::error::StoreError;
use store::generation;
use store::generation::idempotency::find_by_idempotency;
use store::generation::lifecycle;

use crate::world::{World, colleague, inputs, new_generation};

#[tokio::test]
async fn the_same_idempotency_key_gives_the_same_answer() {
    let world = World::new().await;
    let course = world.course("Once").await;
    let mut new = new_generation(course.id);
    new.idempotency_key = Some("key".to_owned());
    let start = async || {
        world
            .store()
            .with_tenant(&world.owner, async |tx| {
                lifecycle::start_generation(tx, &new).await
            })
            .await
    };
    let (first, second) = (start().await.unwrap(), start().await.unwrap());
    assert!(first.is_new && !second.is_new);
    assert_eq!(
        (first.generation_id, first.job_id),
        (second.generation_id, second.job_id)
    );
}

/// Ended jobs are removed long before their generation.
#[tokio::test]
async fn a_key_outlives_the_jobs_of_its_start() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Once").await;
    let mut new = new_generation(course.id);
    new.idempotency_key = Some("key".to_owned());
    let start = async || {
        store
            .with_tenant(&world.owner, async |tx| {
                lifecycle::start_generation(tx, &new).await
            })
            .await
    };
    let first = start().await.unwrap();
    store
        .with_tenant(&world.owner, async |tx| {
            generation::request_cancel(tx, course.id).await
        })
        .await
        .unwrap();
    sqlx::query("delete from jobs")
        .execute(&mut world.superuser().await)
        .await
        .unwrap();
    let again = start().await.unwrap();
    assert_eq!(
        (again.generation_id, again.job_id, again.is_new),
        (first.generation_id, first.job_id, false)
    );
    let found = store
        .with_tenant(&world.owner, async |tx| {
            find_by_idempotency(tx, "key", None).await
        })
        .await
        .unwrap();
    assert_eq!(found, Some((course.id, again)));
}

#[tokio::test]
async fn a_key_belongs_to_one_request() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Once").await;
    let mut new = new_generation(course.id);
    new.idempotency_key = Some("key".to_owned());
    new.options = serde_json::json!({"request_hash": "one"});
    let start = async |new: &lifecycle::NewGeneration| {
        store
            .with_tenant(&world.owner, async |tx| {
                lifecycle::start_generation(tx, new).await
            })
            .await
    };
    start(&new).await.unwrap();
    assert!(!start(&new).await.unwrap().is_new);
    new.options = serde_json::json!({"request_hash": "another"});
    let refused = start(&new).await;
    assert!(
        matches!(&refused, Err(error @ StoreError::Conflict(_)) if !error.is_generation_active()),
        "{refused:?}"
    );
    let refused = store
        .with_tenant(&world.owner, async |tx| {
            find_by_idempotency(tx, "key", Some("another")).await
        })
        .await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
}

#[tokio::test]
async fn a_key_finds_what_its_owner_has_started_also_at_the_same_time() {
    let world = World::new().await;
    let store = world.store();
    let make = async || {
        store
            .with_tenant(&world.owner, async |tx| {
                if let Some(earlier) = find_by_idempotency(tx, "key", None).await? {
                    return Ok(earlier);
                }
                let course = insert_course(tx, &inputs("Made once")).await?;
                let mut new = new_generation(course.id);
                new.idempotency_key = Some("key".to_owned());
                Ok((course.id, lifecycle::start_generation(tx, &new).await?))
            })
            .await
            .unwrap()
    };
    let (first, second) = tokio::join!(make(), make());
    assert_eq!(
        (first.0, first.1.generation_id),
        (second.0, second.1.generation_id)
    );
    assert!(first.1.is_new != second.1.is_new);
    let other = colleague(store, &world.owner, Role::Instructor, "other@alpha.example").await;
    let found = store
        .with_tenant(&other, async |tx| find_by_idempotency(tx, "key", None).await)
        .await
        .unwrap();
    assert_eq!(found, None, "keys are everybody's own");
}
