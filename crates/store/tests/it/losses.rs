//! Jobs whose workers die: which are tried again, and which are given up.

use chrono::{DateTime, Utc};
use domain::generation::GenerationStatus;
use domain::language::Language;
use domain::stage::Stage;
use store::checkpoint::{CheckpointKey, record_checkpoint};
use store::chunk::save_text;
use store::embedding::save_embeddings;
use store::generation;
use store::queue::{self, ClaimedJob, Rescued};

use crate::library::{self, MODEL};
use crate::world::{World, call, upload};

async fn change(world: &World, sql: &'static str) {
    sqlx::query(sql)
        .execute(&mut world.superuser().await)
        .await
        .unwrap();
}

/// The job's worker dies, and its lease runs out.
async fn lose(world: &World) -> Rescued {
    change(
        world,
        "update jobs set lease_until = now() - interval '1 s' where state = 'running'",
    )
    .await;
    let rescued = world
        .store()
        .with_system(async |tx| queue::rescue_expired(tx).await)
        .await
        .unwrap();
    assert_eq!(rescued.len(), 1);
    rescued[0]
}

/// As if all that the running job did had been three minutes earlier.
async fn let_time_pass(world: &World) {
    change(
        world,
        "update jobs set idle_since = idle_since - interval '3 min', started_at = started_at - interval '3 min'
            where state = 'running'",
    )
    .await;
}

async fn claim(world: &World) -> ClaimedJob {
    let worker = world.worker().await;
    let claimed = world.claim(&worker).await.expect("the job waits");
    world.begin(&claimed).await;
    claimed
}

/// Saves a checkpoint that was not there yet.
async fn save(world: &World, claimed: &ClaimedJob) {
    let key = CheckpointKey::new(&claimed.job, "p", claimed.lease.attempt, "00");
    let calls = [call(claimed, claimed.lease.attempt, 1, "accepted")];
    world
        .store()
        .with_system(async |tx| record_checkpoint(tx, &claimed.lease, &key, &1, &calls).await)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_job_that_kills_its_workers_is_given_up() {
    let world = World::new().await;
    let (course, started) = world.started().await;
    for attempt in 1..=3 {
        assert_eq!(claim(&world).await.lease.attempt, attempt);
        let_time_pass(&world).await;
        assert_eq!(lose(&world).await.is_dead, attempt == 3);
    }
    assert_eq!(world.claim(&world.worker().await).await, None);
    let course = world.reload(course.id).await;
    assert_eq!(course.generation_status, Some(GenerationStatus::Failed));
    let generation = world
        .store()
        .with_system(async |tx| generation::get_generation(tx, started.generation_id).await)
        .await
        .unwrap();
    assert_eq!(generation.failure.unwrap().code, "WORKER_LOST");
    let events: Vec<String> = sqlx::query_scalar("select event_type from system_metrics order by id")
        .fetch_all(&mut world.superuser().await)
        .await
        .unwrap();
    assert_eq!(
        events,
        [
            "orphaned_job_recovery",
            "orphaned_job_recovery",
            "retry_exhausted"
        ]
    );
}

#[tokio::test]
async fn losses_soon_after_one_another_wait_before_they_end_a_job() {
    let world = World::new().await;
    let (_, _) = world.started().await;
    for _ in 1..=2 {
        claim(&world).await;
        assert!(!lose(&world).await.is_dead);
    }
    for attempt in 3..=5 {
        let claimed = claim(&world).await;
        assert_eq!(
            (claimed.lease.attempt, claimed.max_attempts),
            (attempt, attempt),
            "the last one"
        );
        assert!(!lose(&world).await.is_dead, "attempt {attempt}");
        let next = world.claim(&world.worker().await).await;
        assert_eq!(next, None, "it waits: it may have killed them");
        change(&world, "update jobs set run_at = now()").await;
    }
    claim(&world).await;
    let_time_pass(&world).await;
    assert!(lose(&world).await.is_dead, "two minutes have passed");
}

#[tokio::test]
async fn a_loss_after_something_was_saved_does_not_count() {
    let world = World::new().await;
    world.started().await;
    for attempt in 1..=6 {
        let claimed = claim(&world).await;
        assert_eq!(claimed.lease.attempt, attempt);
        save(&world, &claimed).await;
        let_time_pass(&world).await;
        assert!(!lose(&world).await.is_dead, "attempt {attempt} saved something");
    }
    for attempt in 7..=9 {
        claim(&world).await;
        let_time_pass(&world).await;
        assert_eq!(lose(&world).await.is_dead, attempt == 9, "attempt {attempt}");
    }
}

#[tokio::test]
async fn time_in_line_is_no_time_without_progress() {
    let world = World::new().await;
    world.started().await;
    claim(&world).await;
    let idle_since = async || -> DateTime<Utc> {
        sqlx::query_scalar("select idle_since from jobs")
            .fetch_one(&mut world.superuser().await)
            .await
            .unwrap()
    };
    lose(&world).await;
    let before = idle_since().await;
    change(
        &world,
        "update jobs set idle_since = idle_since - interval '1 hour', run_at = run_at - interval '1 hour'",
    )
    .await;
    claim(&world).await;
    assert!(idle_since().await >= before);
    let is_later: bool = sqlx::query_scalar("select idle_since > started_at from jobs")
        .fetch_one(&mut world.superuser().await)
        .await
        .unwrap();
    assert!(!is_later, "waiting is no progress either");
}

#[tokio::test]
async fn reading_a_document_is_progress_of_the_job_that_waits_for_it() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Economics").await;
    let id = upload(store, &world.owner, course.id, "a.md", b"one")
        .await
        .document
        .id;
    let started = world.start(course.id).await.unwrap();
    assert_eq!(started.stage, Stage::DocumentProcessing);
    let job = claim(&world).await;
    let reading = library::claimed(store, id).await;
    let texts = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
    let chunks = library::drafts("Chapter", &texts);
    let text = library::new_text(&chunks, Language::English);
    store
        .with_system(async |tx| save_text(tx, &reading, &text).await)
        .await
        .unwrap();
    for chunk in library::parts(store, id).await {
        change(
            &world,
            "update documents set claimed_until = now() - interval '1 s'",
        )
        .await;
        // Not given up, though its readers die more often than it has attempts.
        let reading = library::claimed(store, id).await;
        let vectors = [(chunk.id, library::vector_of(&chunk.text))];
        store
            .with_system(async |tx| save_embeddings(tx, &reading, MODEL, &vectors).await)
            .await
            .unwrap();
    }
    let_time_pass(&world).await;
    assert!(!lose(&world).await.is_dead);
    let next = claim(&world).await;
    assert_eq!(next.lease.attempt, 2);
    assert_eq!(next.max_attempts, job.lease.attempt + 3, "three again");
}
