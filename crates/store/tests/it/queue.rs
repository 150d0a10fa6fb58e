use std::time::Duration;

use domain::generation::{GenerationStatus, StepStatus};
use domain::id::{GenerationId, JobId, WorkerId};
use domain::organization::Tier;
use domain::stage::Stage;
use domain::user::Role;
use store::error::StoreError;
use store::generation::lifecycle::{self, RetryOutcome};
use store::generation::{self, Failure};
use store::hint::{Channel, Hint};
use store::queue::{self, ClaimedJob};
use store::tx::TenantTx;
use store::worker::{self, WorkerIdentity};

use crate::world::{LEASE, World, course_of, new_generation, person};

fn failure(code: &str) -> Failure {
    Failure {
        code: code.to_owned(),
        message: "the provider does not answer".to_owned(),
        details: None,
    }
}

/// Makes the lease of a job end, as time would.
async fn expire(world: &World, job: JobId) {
    sqlx::query("update jobs set lease_until = now() - interval '1 second' where id = $1")
        .bind(job.as_uuid())
        .execute(&mut world.superuser().await)
        .await
        .unwrap();
}

async fn rescue(world: &World) -> Vec<queue::Rescued> {
    world
        .store()
        .with_system(async |tx| queue::rescue_expired(tx).await)
        .await
        .unwrap()
}

async fn heartbeat(world: &World, claimed: &ClaimedJob) -> Result<bool, StoreError> {
    world
        .store()
        .with_system(async |tx| queue::heartbeat(tx, &claimed.lease, LEASE).await)
        .await
}

#[tokio::test]
async fn higher_tiers_start_first_and_within_a_tier_first_come() {
    let world = World::new().await;
    let store = world.store();
    let mut expected: Vec<(i16, u32, GenerationId)> = Vec::new();
    let tiers = [
        Tier::Free,
        Tier::Premium,
        Tier::Basic,
        Tier::Standard,
        Tier::Premium,
        Tier::Free,
        Tier::Trial,
    ];
    for (tier, number) in tiers.into_iter().zip(0_u32..) {
        let owner = person(store, &format!("Org{number}"), tier, Role::Instructor).await;
        let course = course_of(store, &owner, "Course").await;
        let new = new_generation(course.id);
        let started = store
            .with_tenant(&owner, async |tx| lifecycle::start_generation(tx, &new).await)
            .await
            .unwrap();
        expected.push((-tier.default_priority(), number, started.generation_id));
    }
    expected.sort();
    // Two claimers hold their transactions open at once: neither gets the other's job, neither waits.
    let (first, second) = (WorkerId::generate(), WorkerId::generate());
    let mut claimed = Vec::new();
    while claimed.len() < expected.len() {
        let (mut one, mut two) = (store.system().await.unwrap(), store.system().await.unwrap());
        let a = queue::claim(&mut one, first, None, LEASE).await.unwrap();
        let b = queue::claim(&mut two, second, None, LEASE).await.unwrap();
        two.commit().await.unwrap();
        one.commit().await.unwrap();
        claimed.extend([a, b].into_iter().flatten().map(|job| job.job.generation_id));
    }
    assert_eq!(
        claimed,
        expected.into_iter().map(|(_, _, id)| id).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn later_stages_keep_their_place_in_line() {
    let world = World::new().await;
    let worker = world.worker().await;
    let (_, first) = world.started().await;
    let later = world.course("Came later").await;
    world.start(later.id).await.unwrap();
    let claimed = world.claim(&worker).await.unwrap();
    world.finish(&claimed).await.unwrap();
    let next = world.claim(&worker).await.unwrap();
    assert_eq!(
        (next.job.generation_id, next.job.stage),
        (first.generation_id, Stage::Structure)
    );
}

#[tokio::test]
async fn a_worker_can_claim_one_generation_only() {
    let world = World::new().await;
    world.started().await;
    let wanted = world.course("Wanted").await;
    let wanted = world.start(wanted.id).await.unwrap();
    let claim = async |only| {
        let worker = WorkerId::generate();
        world
            .store()
            .with_system(async |tx| queue::claim(tx, worker, Some(only), LEASE).await)
            .await
            .unwrap()
    };
    assert_eq!(
        claim(wanted.generation_id).await.unwrap().job.generation_id,
        wanted.generation_id
    );
    assert_eq!(claim(wanted.generation_id).await, None);
}

#[tokio::test]
async fn a_course_has_at_most_one_active_generation() {
    let world = World::new().await;
    let course = world.course("Twice").await;
    let mut outcomes = tokio::task::JoinSet::new();
    let store = std::sync::Arc::new(world.database.open().await.unwrap());
    for _ in 0..8 {
        let (store, owner, new) = (store.clone(), world.owner, new_generation(course.id));
        outcomes.spawn(async move {
            let start = async move |tx: &mut TenantTx| lifecycle::start_generation(tx, &new).await;
            store.with_tenant(&owner, start).await
        });
    }
    let outcomes = outcomes.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for refused in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(refused, StoreError::Conflict(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_users_limit_is_exact_under_concurrency() {
    let world = World::new().await;
    let store = std::sync::Arc::new(world.database.open().await.unwrap());
    let mut outcomes = tokio::task::JoinSet::new();
    for number in 0..8 {
        let course = world.course(&format!("Course {number}")).await;
        let mut new = new_generation(course.id);
        new.user_limit = Some(3);
        let (store, owner) = (store.clone(), world.owner);
        outcomes.spawn(async move {
            let start = async move |tx: &mut TenantTx| lifecycle::start_generation(tx, &new).await;
            store.with_tenant(&owner, start).await
        });
    }
    let outcomes = outcomes.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    let refused = outcomes.into_iter().find_map(Result::err).unwrap();
    assert!(
        matches!(
            refused,
            StoreError::TooManyGenerations {
                user_limit: 3,
                current_user_jobs: 3,
                global_limit: None,
                ..
            }
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn attempts_that_fail_wait_longer_and_end() {
    let world = World::new().await;
    let worker = world.worker().await;
    let (course, started) = world.started().await;
    for attempt in 1..=3_u32 {
        let claimed = world.claim(&worker).await.expect("the job waits");
        assert_eq!(claimed.lease.attempt, attempt);
        let outcome = world
            .store()
            .with_system(async |tx| {
                lifecycle::retry_or_fail(tx, &claimed.lease, &claimed.job, &failure("PROVIDER_DOWN")).await
            })
            .await
            .unwrap();
        if attempt == 3 {
            assert_eq!(outcome, RetryOutcome::Failed);
            let told: i64 = sqlx::query_scalar(
                "select count(*) from system_metrics where event_type = 'retry_exhausted'",
            )
            .fetch_one(&mut world.superuser().await)
            .await
            .unwrap();
            assert_eq!(told, 1);
            continue;
        }
        assert!(matches!(outcome, RetryOutcome::RetryAt(_)));
        assert_eq!(world.claim(&worker).await, None, "it waits");
        let waits: f64 = sqlx::query_scalar("select extract(epoch from run_at - now())::float8 from jobs")
            .fetch_one(&mut world.superuser().await)
            .await
            .unwrap();
        let base = f64::from(2_u32.pow(attempt));
        assert!(
            (base * 0.8 - 1.0..=base * 1.2).contains(&waits),
            "attempt {attempt}: {waits} s"
        );
        sqlx::query("update jobs set run_at = now()")
            .execute(&mut world.superuser().await)
            .await
            .unwrap();
    }
    let course = world.reload(course.id).await;
    assert_eq!(course.generation_status, Some(GenerationStatus::Failed));
    let generation = world
        .store()
        .with_system(async |tx| generation::get_generation(tx, started.generation_id).await)
        .await
        .unwrap();
    assert_eq!(generation.failure.unwrap().code, "PROVIDER_DOWN");
    assert_eq!(generation.status, GenerationStatus::Failed);
    assert!(generation.finished_at.is_some());
}

#[tokio::test]
async fn taking_a_job_over_completes_a_launch_that_is_missing() {
    let world = World::new().await;
    let (course, _) = world.started().await;
    let claimed = world.claim(&world.worker().await).await.expect("the job waits");
    sqlx::query(
        "update courses set generation_progress = generation_progress || '{\"percentage\": 10, \"message\": \"...\"}'
            || jsonb_build_object('steps', jsonb_set(generation_progress -> 'steps', '{0,status}', '\"in_progress\"'))",
    )
    .execute(&mut world.superuser().await)
    .await
    .unwrap();
    expire(&world, claimed.lease.job_id).await;
    assert_eq!(rescue(&world).await.len(), 1);
    let progress = world.reload(course.id).await.progress;
    assert_eq!(progress.steps[0].status, StepStatus::Completed);
    assert_eq!(
        (progress.percentage, progress.message.as_str()),
        (20, "Инициализация завершена")
    );
}

#[tokio::test]
async fn who_lost_the_lease_writes_nothing() {
    let world = World::new().await;
    world.started().await;
    let (slow, quick) = (world.worker().await, world.worker().await);
    let lost = world.claim(&slow).await.unwrap();
    assert!(!heartbeat(&world, &lost).await.unwrap());
    assert_eq!(rescue(&world).await, [], "a lease that runs is left alone");
    expire(&world, lost.lease.job_id).await;
    rescue(&world).await;
    let held = world.claim(&quick).await.unwrap();
    assert_eq!(held.lease.job_id, lost.lease.job_id);
    let store = world.store();
    let is_lost = |outcome: Result<(), StoreError>| matches!(outcome, Err(StoreError::LostLease(_)));
    assert!(is_lost(heartbeat(&world, &lost).await.map(drop)));
    assert!(is_lost(world.finish(&lost).await.map(drop)));
    assert!(is_lost(
        store
            .with_system(
                async |tx| lifecycle::fail_generation(tx, &lost.lease, &lost.job, &failure("X")).await
            )
            .await
    ));
    assert!(is_lost(
        store
            .with_system(async |tx| lifecycle::cancel_generation(tx, &lost.lease, &lost.job).await)
            .await
    ));
    assert!(is_lost(
        store
            .with_system(async |tx| queue::snooze(tx, &lost.lease, LEASE).await)
            .await
    ));
    assert!(is_lost(
        store
            .with_system(async |tx| {
                lifecycle::retry_or_fail(tx, &lost.lease, &lost.job, &failure("X"))
                    .await
                    .map(drop)
            })
            .await
    ));
    // Also when the very same worker has claimed it again: the attempt tells.
    expire(&world, held.lease.job_id).await;
    rescue(&world).await;
    let again = world.claim(&slow).await.unwrap();
    assert!(is_lost(world.finish(&lost).await.map(drop)));
    assert_eq!(
        world.reload(again.job.course_id).await.analysis,
        None,
        "nothing was written"
    );
    world.finish(&again).await.unwrap();
}

#[tokio::test]
async fn handing_back_costs_no_attempt() {
    let world = World::new().await;
    world.started().await;
    let worker = world.worker().await;
    for _ in 0..10 {
        let claimed = world.claim(&worker).await.expect("it was handed back");
        world
            .store()
            .with_system(async |tx| queue::snooze(tx, &claimed.lease, Duration::ZERO).await)
            .await
            .unwrap();
    }
    world.claim(&worker).await.unwrap();
    world
        .store()
        .with_system(async |tx| worker::unregister(tx, worker.id).await)
        .await
        .unwrap();
    let next = world.worker().await;
    let claimed = world
        .claim(&next)
        .await
        .expect("a graceful shutdown hands all back");
    assert!(
        claimed.max_attempts - claimed.lease.attempt >= 2,
        "attempts are left"
    );
}

#[tokio::test]
async fn jobs_of_a_killed_neighbour_are_taken_at_once() {
    let world = World::new().await;
    world.started().await;
    let own = world.worker().await;
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let dead = WorkerIdentity {
        process: child.id(),
        process_started: None,
        ..WorkerIdentity::of_this_process()
    };
    child.wait().unwrap();
    let elsewhere = WorkerIdentity {
        machine: Some("another machine".to_owned()),
        ..dead.clone()
    };
    let elsewhere = WorkerIdentity {
        id: WorkerId::generate(),
        ..elsewhere
    };
    let store = world.store();
    for (holder, is_taken) in [(&elsewhere, false), (&dead, true)] {
        store
            .with_system(async |tx| worker::register(tx, holder, 1).await)
            .await
            .unwrap();
        let claimed = world.claim(holder).await.unwrap();
        let rescued = store
            .with_system(async |tx| worker::rescue_from_dead_neighbours(tx, &own).await)
            .await
            .unwrap();
        assert_eq!(!rescued.is_empty(), is_taken, "{holder:?}");
        if !is_taken {
            store
                .with_system(async |tx| queue::snooze(tx, &claimed.lease, Duration::ZERO).await)
                .await
                .unwrap();
        }
    }
    // A worker that lives, and this very process, keep what they have.
    let neighbour = world.worker().await;
    world.claim(&neighbour).await.unwrap();
    let rescued = store
        .with_system(async |tx| worker::rescue_from_dead_neighbours(tx, &own).await)
        .await
        .unwrap();
    assert_eq!(rescued, []);
}

#[tokio::test]
async fn cancelling_reaches_the_worker_with_its_next_heartbeat() {
    let world = World::new().await;
    let (course, started) = world.started().await;
    let id = started.generation_id;
    let worker = world.worker().await;
    let claimed = world.claim(&worker).await.unwrap();
    world.begin(&claimed).await;
    let store = world.store();
    let cancel = async || {
        store
            .with_tenant(&world.owner, async |tx| {
                generation::request_cancel(tx, course.id).await
            })
            .await
    };
    assert_eq!(cancel().await.unwrap(), generation::CancelOutcome::Requested);
    assert!(heartbeat(&world, &claimed).await.unwrap(), "the heartbeat tells");
    assert!(
        store
            .with_system(async |tx| generation::is_cancel_requested(tx, id).await)
            .await
            .unwrap()
    );
    store
        .with_system(async |tx| lifecycle::cancel_generation(tx, &claimed.lease, &claimed.job).await)
        .await
        .unwrap();
    assert_eq!(
        world.reload(course.id).await.generation_status,
        Some(GenerationStatus::Cancelled)
    );
    assert_eq!(cancel().await.unwrap(), generation::CancelOutcome::AlreadyEnded);
}

#[tokio::test]
async fn what_is_cancelled_while_a_stage_ends_goes_no_further() {
    let world = World::new().await;
    let (course, _) = world.started().await;
    let worker = world.worker().await;
    let claimed = world.bring_to(&worker, Stage::Structure).await;
    let requested = world
        .store()
        .with_tenant(&world.owner, async |tx| {
            generation::request_cancel(tx, course.id).await
        })
        .await;
    assert_eq!(requested.unwrap(), generation::CancelOutcome::Requested);
    // The stage ends before a heartbeat could tell.
    world.finish(&claimed).await.unwrap();
    let next = world.claim(&worker).await.unwrap();
    assert_eq!(next.job.stage, Stage::Content);
    assert!(heartbeat(&world, &next).await.unwrap());
}

#[tokio::test]
async fn what_is_cancelled_before_its_review_is_cancelled() {
    let world = World::new().await;
    let (course, _) = world.started().await;
    let worker = world.worker().await;
    let claimed = world.bring_to(&worker, Stage::Structure).await;
    let store = world.store();
    store
        .with_tenant(&world.owner, async |tx| {
            generation::request_cancel(tx, course.id).await
        })
        .await
        .unwrap();
    let finished = lifecycle::FinishedStage {
        lease: &claimed.lease,
        job: &claimed.job,
        result: lifecycle::StageResult::Saved,
        next: lifecycle::NextStep::Review,
        message: "next",
    };
    let next = store
        .with_system(async |tx| lifecycle::finish_stage(tx, &finished).await)
        .await
        .unwrap();
    assert_eq!(next, None);
    assert_eq!(
        world.reload(course.id).await.generation_status,
        Some(GenerationStatus::Cancelled)
    );
}

#[tokio::test]
async fn a_deleted_course_stops_its_work() {
    let world = World::new().await;
    let (course, started) = world.started().await;
    let claimed = world.claim(&world.worker().await).await.unwrap();
    world
        .store()
        .with_tenant(&world.owner, async |tx| {
            store::course::delete_course(tx, course.id).await
        })
        .await
        .unwrap();
    assert!(matches!(
        heartbeat(&world, &claimed).await,
        Err(StoreError::LostLease(_))
    ));
    let id = started.generation_id;
    assert!(
        world
            .store()
            .with_system(async |tx| generation::is_cancel_requested(tx, id).await)
            .await
            .unwrap()
    );
    for table in ["generations", "jobs", "generation_status_history"] {
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let left: i64 = sqlx::query_scalar(sql)
            .fetch_one(&mut world.superuser().await)
            .await
            .unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test]
async fn workers_hear_of_new_work() {
    let world = World::new().await;
    let mut listener = world.store().listen_for(&[Channel::Jobs]).await.unwrap();
    world.started().await;
    let hint = tokio::time::timeout(Duration::from_secs(20), listener.hint())
        .await
        .expect("a hint comes")
        .unwrap();
    assert_eq!(hint, Hint::Jobs);
}

#[tokio::test]
async fn finished_jobs_are_kept_for_a_while() {
    let world = World::new().await;
    let worker = world.worker().await;
    world.started().await;
    let claimed = world.claim(&worker).await.unwrap();
    world.finish(&claimed).await.unwrap();
    let delete = async |age: Duration| {
        world
            .store()
            .with_system(async |tx| queue::delete_finished(tx, age).await)
            .await
            .unwrap()
    };
    assert_eq!(delete(Duration::from_hours(1)).await, 0);
    assert_eq!(delete(Duration::ZERO).await, 1);
    assert!(world.claim(&worker).await.is_some(), "the waiting one stays");
}
