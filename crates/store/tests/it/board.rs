//! The board of jobs, figures for operators, and what is learnt from finished generations.

use chrono::{DateTime, Utc};
use domain::generation::GenerationStatus;
use domain::organization::Tier;
use domain::stage::Stage;
use domain::user::{Actor, Role};
use store::alert::count_batches;
use store::error::StoreError;
use store::generation::lifecycle::GenerationLimits;
use store::generation::{self, CancelOutcome, Failure, lifecycle};
use store::job::{self, JobFilter, JobState};
use store::metric::{self, Event, MetricFilter, NewMetric, Severity};
use store::model_call::{ACCEPTED, insert_calls};
use store::statistics::{self, CostGroup};
use store::{audit, model_call, worker};

use crate::world::{World, call, colleague, course_of, new_generation, person};

fn long_ago() -> DateTime<Utc> {
    "2020-01-01T00:00:00Z".parse().unwrap()
}

fn unlimited() -> Vec<(Tier, GenerationLimits)> {
    Tier::ALL.map(|tier| (tier, GenerationLimits::default())).to_vec()
}

#[tokio::test]
async fn admins_push_jobs_about_in_their_organization() {
    let world = World::new().await;
    let store = world.store();
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let stranger = person(store, "Beta", Tier::Premium, Role::Admin).await;
    let (course, started) = world.started().await;
    let jobs = async |actor: &Actor, filter: JobFilter| {
        store
            .with_tenant(actor, async |tx| job::list_jobs(tx, &filter, None, 10).await)
            .await
            .unwrap()
    };
    let seen = jobs(&admin, JobFilter::default()).await;
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].id, seen[0].course_title.as_str()),
        (started.job_id, "Rust for beginners")
    );
    assert_eq!(jobs(&stranger, JobFilter::default()).await, []);
    let dead = JobFilter {
        state: Some(JobState::Dead),
        ..JobFilter::default()
    };
    assert_eq!(jobs(&admin, dead).await, []);

    let worker = world.worker().await;
    let claimed = world.claim(&worker).await.unwrap();
    let retry = async |actor: &Actor| {
        store
            .with_tenant(actor, async |tx| {
                job::retry_job(tx, started.job_id, &unlimited()).await
            })
            .await
    };
    assert!(
        matches!(retry(&admin).await, Err(StoreError::Conflict(_))),
        "it runs"
    );
    assert!(matches!(retry(&world.owner).await, Err(StoreError::Forbidden(_))));
    assert!(matches!(retry(&stranger).await, Err(StoreError::NotFound { .. })));
    let failure = Failure {
        code: "LLM_ERROR".to_owned(),
        message: "no answer".to_owned(),
        details: None,
    };
    store
        .with_system(async |tx| lifecycle::fail_generation(tx, &claimed.lease, &claimed.job, &failure).await)
        .await
        .unwrap();
    assert_eq!(
        jobs(&admin, dead).await[0].last_error.as_deref(),
        Some("no answer")
    );
    let retried = retry(&admin).await.unwrap();
    assert_ne!(retried.id, started.job_id);
    assert_eq!(
        (retried.state, retried.stage),
        (JobState::Pending, Stage::Analysis)
    );
    let outcome = store
        .with_tenant(&admin, async |tx| job::cancel_job(tx, retried.id).await)
        .await
        .unwrap();
    assert_eq!(outcome, CancelOutcome::Cancelled);
    assert_eq!(
        world.reload(course.id).await.generation_status,
        Some(GenerationStatus::Cancelled)
    );
    let log = store
        .with_tenant(&admin, async |tx| audit::list_audit(tx, None, 10).await)
        .await
        .unwrap();
    let actions: Vec<_> = log.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["jobs.cancel", "jobs.retry"]);
    let hidden = store
        .with_tenant(&stranger, async |tx| audit::list_audit(tx, None, 10).await)
        .await
        .unwrap();
    assert_eq!(hidden, []);
}

#[tokio::test]
async fn a_promoted_job_starts_next_without_harm_to_other_tenants() {
    let world = World::new().await;
    let store = world.store();
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let superadmin = person(store, "Operators", Tier::Free, Role::Superadmin).await;
    let other = person(store, "Beta", Tier::Standard, Role::Instructor).await;
    let mut ids = Vec::new();
    for (actor, title) in [
        (world.owner, "a"),
        (other, "b"),
        (world.owner, "c"),
        (world.owner, "d"),
    ] {
        let course = course_of(store, &actor, title).await.id;
        let started = store
            .with_tenant(&actor, async |tx| {
                lifecycle::start_generation(tx, &new_generation(course)).await
            })
            .await
            .unwrap();
        ids.push(started.job_id);
    }
    let order = async || -> Vec<usize> {
        let found: Vec<uuid::Uuid> = sqlx::query_scalar(
            "select id from jobs where state = 'pending' order by priority desc, position, id",
        )
        .fetch_all(&mut world.superuser().await)
        .await
        .unwrap();
        found
            .into_iter()
            .map(|id| ids.iter().position(|known| known.as_uuid() == id).unwrap())
            .collect()
    };
    let promote = async |actor: &Actor, place: usize| {
        let id = ids[place];
        store
            .with_tenant(actor, async |tx| job::promote_job(tx, id).await)
            .await
    };
    promote(&admin, 3).await.unwrap();
    assert_eq!(
        order().await,
        [3, 1, 2, 0],
        "it changed places within the organization"
    );
    promote(&admin, 3).await.unwrap();
    assert_eq!(order().await, [3, 1, 2, 0]);
    promote(&superadmin, 2).await.unwrap();
    assert_eq!(order().await, [2, 3, 1, 0]);
    let worker = world.worker().await;
    world.claim(&worker).await.unwrap();
    assert!(
        matches!(promote(&admin, 2).await, Err(StoreError::Conflict(_))),
        "it runs"
    );
}

#[tokio::test]
async fn queues_are_told_by_tier_stage_and_state_of_what_the_actor_may_see() {
    let world = World::new().await;
    let store = world.store();
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let superadmin = person(store, "Operators", Tier::Free, Role::Superadmin).await;
    let other = person(store, "Beta", Tier::Free, Role::Instructor).await;
    world.started().await;
    world.start(world.course("Second").await.id).await.unwrap();
    let course = course_of(store, &other, "Third").await.id;
    let foreign = store
        .with_tenant(&other, async |tx| {
            lifecycle::start_generation(tx, &new_generation(course)).await
        })
        .await
        .unwrap();
    world.claim(&world.worker().await).await.unwrap();
    sqlx::query("update jobs set run_at = now() + interval '1 hour' where id = $1")
        .bind(foreign.job_id.as_uuid())
        .execute(&mut world.superuser().await)
        .await
        .unwrap();
    let told = async |actor: &Actor| -> Vec<(Tier, JobState, u64, bool)> {
        let rows = store
            .with_tenant(actor, async |tx| job::list_queues(tx, None).await)
            .await
            .unwrap();
        rows.iter()
            .map(|row| {
                assert_eq!(row.stage, Stage::Analysis);
                (row.tier, row.state, row.jobs, row.ready_since.is_some())
            })
            .collect()
    };
    let own = [
        (Tier::Standard, JobState::Pending, 1, true),
        (Tier::Standard, JobState::Running, 1, true),
    ];
    assert_eq!(told(&admin).await, own);
    let all = told(&superadmin).await;
    assert_eq!(
        all[0],
        (Tier::Free, JobState::Pending, 1, false),
        "its time has not come"
    );
    assert_eq!(all[1..], own);
    let free = JobFilter {
        tier: Some(Tier::Free),
        ..JobFilter::default()
    };
    let listed = store
        .with_tenant(&superadmin, async |tx| job::list_jobs(tx, &free, None, 10).await)
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].id, listed[0].organization_name.as_str(), listed[0].tier),
        (foreign.job_id, "Beta", Tier::Free)
    );
}

#[tokio::test]
async fn figures_tell_of_the_queue_and_its_workers() {
    let world = World::new().await;
    let store = world.store();
    world.started().await;
    world.start(world.course("Second").await.id).await.unwrap();
    let identity = world.worker().await;
    store
        .with_system(async |tx| worker::register(tx, &identity, 7).await)
        .await
        .unwrap();
    world.claim(&identity).await.unwrap();
    let (capacity, figures) = store
        .with_system(async |tx| Ok((worker::live_capacity(tx).await?, worker::queue_figures(tx).await?)))
        .await
        .unwrap();
    assert_eq!(capacity, 7);
    let counts: Vec<_> = figures
        .counts
        .iter()
        .map(|row| (row.state, row.priority, row.count))
        .collect();
    assert_eq!(counts, [(JobState::Pending, 5, 1), (JobState::Running, 5, 1)]);
    assert!(figures.oldest_waiting.is_some());
    sqlx::query("update workers set last_seen = now() - interval '61 s'")
        .execute(&mut world.superuser().await)
        .await
        .unwrap();
    let capacity = store
        .with_system(async |tx| worker::live_capacity(tx).await)
        .await
        .unwrap();
    assert_eq!(capacity, 0, "who is silent does not count");
}

#[tokio::test]
async fn metrics_are_listed_counted_and_kept_apart() {
    let world = World::new().await;
    let store = world.store();
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let stranger = person(store, "Beta", Tier::Free, Role::Admin).await;
    store
        .with_system(async |tx| {
            for event in [Event::ModelFallback, Event::QualityLow] {
                let metric = NewMetric {
                    organization_id: Some(world.owner.organization_id),
                    ..NewMetric::new(event, Severity::Warn)
                };
                metric::insert_metric(tx, &metric).await?;
            }
            metric::insert_metric(tx, &NewMetric::new(Event::ProviderDown, Severity::Error)).await
        })
        .await
        .unwrap();
    let list = async |actor: &Actor, filter: MetricFilter| {
        store
            .with_tenant(actor, async |tx| {
                metric::list_metrics(tx, &filter, None, 10).await
            })
            .await
            .unwrap()
    };
    assert_eq!(list(&admin, MetricFilter::default()).await.len(), 2);
    assert_eq!(list(&stranger, MetricFilter::default()).await.len(), 0);
    assert_eq!(list(&world.owner, MetricFilter::default()).await.len(), 0);
    let low = MetricFilter {
        event: Some(Event::QualityLow),
        severity: Some(Severity::Warn),
        ..MetricFilter::default()
    };
    assert_eq!(list(&admin, low).await[0].event, Event::QualityLow);
    let (fallbacks, all, stuck) = store
        .with_system(async |tx| {
            Ok((
                metric::count_since(tx, Event::ModelFallback, long_ago()).await?,
                metric::count_all(tx).await?,
                metric::list_stuck(tx, long_ago()).await?,
            ))
        })
        .await
        .unwrap();
    assert_eq!((fallbacks, all.len(), stuck.len()), (1, 3, 0));
}

#[tokio::test]
async fn what_does_not_move_for_as_long_as_is_said_is_stuck() {
    let world = World::new().await;
    let (course, started) = world.started().await;
    let mut connection = world.superuser().await;
    sqlx::raw_sql(
        "alter table courses disable trigger courses_touch;
         update courses set updated_at = '2026-06-01 12:00Z';
         alter table courses enable trigger courses_touch;",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let stuck_since = async |moment: &str| {
        let moment: DateTime<Utc> = moment.parse().unwrap();
        world
            .store()
            .with_system(async |tx| metric::list_stuck(tx, moment).await)
            .await
            .unwrap()
    };
    assert_eq!(stuck_since("2026-06-01T11:59:59Z").await, []);
    let stuck = stuck_since("2026-06-01T12:00:01Z").await;
    assert_eq!(stuck.len(), 1);
    assert_eq!(
        (stuck[0].course_id, stuck[0].generation_id),
        (course.id, started.generation_id)
    );
}

#[tokio::test]
async fn durations_are_learnt_from_what_was_completed() {
    let world = World::new().await;
    let store = world.store();
    let worker = world.worker().await;
    for _ in 0..2 {
        world.started().await;
        let last = world.bring_to(&worker, Stage::Finalization).await;
        world.finish(&last).await.unwrap();
    }
    sqlx::query(
        "update generation_status_history h set at = start.at + make_interval(secs => 10 * place.n)
         from (select id, row_number() over (partition by generation_id order by id) as n
               from generation_status_history) as place,
              (select generation_id, min(at) as at from generation_status_history group by 1) as start
         where place.id = h.id and start.generation_id = h.generation_id",
    )
    .execute(&mut world.superuser().await)
    .await
    .unwrap();
    let (durations, ends) = store
        .with_system(async |tx| {
            Ok((
                generation::stage_durations(tx).await?,
                metric::count_ends(tx, long_ago()).await?,
            ))
        })
        .await
        .unwrap();
    let analysis = durations
        .iter()
        .find(|duration| duration.status == GenerationStatus::AnalyzingTask)
        .unwrap();
    assert!((analysis.median_seconds - 10.0).abs() < 0.01, "{analysis:?}");
    assert!(durations.iter().all(|duration| duration.status.is_active()));
    assert_eq!((ends.completed, ends.all), (2, 2));
}

#[tokio::test]
async fn batches_succeed_whose_answers_were_accepted() {
    let world = World::new().await;
    let store = world.store();
    let worker = world.worker().await;
    world.started().await;
    let claimed = world.bring_to(&worker, Stage::Structure).await;
    let calls = [
        call(&claimed, 0, 1, "rule_broken"),
        call(&claimed, 1, 1, "rule_broken"),
        call(&claimed, 1, 2, ACCEPTED),
        call(&claimed, 2, 1, "rule_broken"),
    ];
    let counted = async || {
        let counting = store.with_system(async |tx| count_batches(tx, long_ago()).await);
        let batches = counting.await.unwrap();
        (batches.accepted, batches.all)
    };
    store
        .with_system(async |tx| insert_calls(tx, &calls).await)
        .await
        .unwrap();
    assert_eq!(
        counted().await,
        (0, 0),
        "a batch of an active generation may still succeed"
    );
    let failure = Failure {
        code: "LLM_ERROR".to_owned(),
        message: "no answer".to_owned(),
        details: None,
    };
    store
        .with_system(async |tx| lifecycle::fail_generation(tx, &claimed.lease, &claimed.job, &failure).await)
        .await
        .unwrap();
    assert_eq!(counted().await, (1, 2));
}

#[tokio::test]
async fn usage_is_of_what_the_actor_may_see() {
    let world = World::new().await;
    let store = world.store();
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let other = colleague(store, &world.owner, Role::Instructor, "other@alpha.example").await;
    let superadmin = person(store, "Operators", Tier::Premium, Role::Superadmin).await;
    let (course, _) = world.started().await;
    crate::world::upload(store, &world.owner, course.id, "a.txt", b"content").await;
    let worker = world.worker().await;
    let claimed = world.claim(&worker).await.unwrap();
    store
        .with_system(async |tx| {
            model_call::insert_calls(
                tx,
                &[call(&claimed, 1, 1, "accepted"), call(&claimed, 2, 1, "accepted")],
            )
            .await
        })
        .await
        .unwrap();
    let organization = Some(world.owner.organization_id);
    let usage = async |actor: &Actor, user| {
        store
            .with_tenant(actor, async |tx| {
                statistics::usage(tx, organization, user, long_ago()).await
            })
            .await
            .unwrap()
    };
    let whole = usage(&admin, None).await;
    assert_eq!(whole.generations, [(GenerationStatus::Initializing, 1)]);
    assert_eq!(
        (whole.cost.0, whole.tokens.total, whole.storage_bytes),
        (10, 240, 7)
    );
    assert_eq!(usage(&world.owner, Some(world.owner.user_id)).await, whole);
    let nothing = usage(&other, Some(other.user_id)).await;
    assert_eq!(
        (nothing.generations.len(), nothing.cost.0, nothing.storage_bytes),
        (0, 0, 0)
    );

    let costs = async |actor: &Actor, group| {
        store
            .with_tenant(actor, async |tx| {
                statistics::costs(tx, group, None, long_ago(), 10).await
            })
            .await
            .unwrap()
    };
    let by_model = costs(&superadmin, CostGroup::Model).await;
    assert_eq!(
        (by_model[0].key.as_str(), by_model[0].cost.0, by_model[0].calls),
        ("model-a", 10, 2)
    );
    assert_eq!(costs(&superadmin, CostGroup::Day).await.len(), 1);
    assert_eq!(
        costs(&superadmin, CostGroup::Organization).await[0].key,
        world.owner.organization_id.to_string()
    );
    assert_eq!(costs(&other, CostGroup::Model).await, []);
    let installation = async |actor: &Actor| {
        store
            .with_tenant(actor, async |tx| statistics::installation(tx, long_ago()).await)
            .await
    };
    let all = installation(&superadmin).await.unwrap();
    assert_eq!((all.courses, all.jobs_running, all.usage.cost.0), (1, 1, 10));
    assert_eq!(all.users.iter().map(|(_, count)| count).sum::<u64>(), 4);
    assert!(matches!(
        installation(&admin).await,
        Err(StoreError::Forbidden(_))
    ));
}
