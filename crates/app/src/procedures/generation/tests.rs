//! Starts against a real database: what is refused, what remains, and what a tier allows.

use std::sync::Arc;

use axum::http::HeaderMap;
use chrono::{DateTime, TimeDelta};
use domain::clock::{Clock, FixedClock};
use domain::organization::Tier;
use domain::user::{Actor, Role};
use serde_json::{Value, json};
use store::organization::insert_organization;
use store::testkit::{TestDatabase, database};
use store::user::{NewUser, insert_user};
use store::worker::{WorkerIdentity, register};

use super::limits::global;
use crate::config::{Config, Environment, Flags};
use crate::procedures::error::{ApiError, ErrorCode};
use crate::procedures::words::Speech;
use crate::procedures::{Call, Caller, ReplyHeaders, find};
use crate::service::Service;

/// The service on a database of its own.
struct World {
    service: Arc<Service>,
    clock: Arc<FixedClock>,
    config: Config,
    database: TestDatabase,
    _folder: tempfile::TempDir,
}

/// A process of the service, which remembers nothing yet.
async fn process(database: &TestDatabase, clock: &Arc<FixedClock>, config: &Config) -> Arc<Service> {
    let told: Arc<dyn Clock> = Arc::clone(clock) as _;
    let store = Arc::new(database.open().await.unwrap());
    Service::start(store, Arc::new(config.clone()), told)
        .await
        .unwrap()
}

impl World {
    async fn new() -> Self {
        let database = database().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let flags = Flags {
            data_dir: Some(folder.path().to_path_buf()),
            ..Flags::default()
        };
        let config = Config::load(&flags, &Environment::default()).unwrap();
        let clock = Arc::new(FixedClock::new(
            DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        ));
        Self {
            service: process(&database, &clock, &config).await,
            clock,
            config,
            database,
            _folder: folder,
        }
    }

    /// Somebody in a new organization, which has its tier from now on.
    async fn person(&self, tier: Tier, role: Role) -> Actor {
        let actor = self
            .service
            .store
            .with_system(async |tx| {
                let organization_id = insert_organization(tx, "Test", tier).await?;
                let new = NewUser {
                    organization_id,
                    email: format!("{}@example.org", organization_id.as_uuid().simple()),
                    name: None,
                    role,
                    password_hash: None,
                };
                insert_user(tx, &new).await
            })
            .await
            .unwrap();
        let since = self.clock.now();
        self.arrange(&format!(
            "update organizations set tier_since = '{since}' where id = '{}'",
            actor.organization_id
        ))
        .await;
        actor
    }

    async fn arrange(&self, sql: &str) {
        self.database.arrange(sql).await.unwrap();
    }

    async fn count(&self, from: &str) -> i64 {
        let sql = format!("select count(*) from {from}");
        self.database.number(&sql).await.unwrap()
    }

    async fn call(&self, actor: Actor, name: &str, input: Value) -> Result<Value, ApiError> {
        let call = Call {
            service: Arc::clone(&self.service),
            caller: Some(Caller { actor, scopes: None }),
            request_id: "test".to_owned(),
            speech: Speech::Unsaid,
            headers: Arc::new(HeaderMap::new()),
            address: None,
            reply: ReplyHeaders::default(),
        };
        find(name).unwrap().answer(call, input).await
    }

    async fn course(&self, actor: Actor) -> Value {
        let made = self
            .call(actor, "courses.create", json!({ "title": "Practical SQL" }))
            .await
            .unwrap();
        json!({ "courseId": made["id"] })
    }
}

#[tokio::test]
async fn a_start_that_fails_at_every_try_leaves_nothing_and_is_told_as_a_fault() {
    let world = World::new().await;
    let ann = world.person(Tier::Standard, Role::Instructor).await;
    let course = world.course(ann).await;
    world
        .arrange(
            "create function test_conflict() returns trigger language plpgsql as $$
             begin raise exception 'transactions meet' using errcode = '40001'; end $$;
             create trigger zz_test before insert on jobs for each row execute function test_conflict();",
        )
        .await;
    for input in [course.clone(), json!({ "title": "A new one" })] {
        let refused = world.call(ann, "generation.initiate", input).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::GenerationNotStarted);
        assert_eq!((refused.code.status(), refused.retry_after_secs), (500, Some(2)));
        assert_eq!(
            refused.text.spoken(Speech::Unsaid),
            "Не удалось инициализировать генерацию курса. Попробуйте позже."
        );
    }
    for (left, from) in [
        (1, "courses"),
        (0, "courses where generation_status is not null"),
        (0, "generations"),
        (0, "jobs"),
        (0, "generation_slots where generation_id is not null"),
        (0, "generation_status_history"),
        (
            2,
            "system_metrics where event_type = 'job_rollback' and severity = 'error'",
        ),
    ] {
        assert_eq!(world.count(from).await, left, "{from}");
    }
    world.arrange("drop trigger zz_test on jobs").await;
    let started = world.call(ann, "generation.initiate", course).await.unwrap();
    assert_eq!(started["status"], "queued");
}

#[tokio::test]
async fn after_the_trial_nothing_new_is_begun_and_all_can_be_read() {
    let world = World::new().await;
    let ann = world.person(Tier::Trial, Role::Instructor).await;
    let (running, waiting) = (world.course(ann).await, world.course(ann).await);
    let days_left = async || {
        let usage = world.call(ann, "billing.getUsage", json!({})).await.unwrap();
        assert_eq!(usage["tier"], "trial");
        usage["tierDaysLeft"].clone()
    };
    assert_eq!(days_left().await, 14);
    // The end is that of the day and hour, not of the calendar.
    world.clock.advance(TimeDelta::days(14) - TimeDelta::seconds(1));
    assert_eq!(days_left().await, 1);
    let key = "the same start";
    let mut keyed = running.clone();
    keyed["idempotencyKey"] = json!(key);
    let started = world
        .call(ann, "generation.initiate", keyed.clone())
        .await
        .unwrap();

    world.clock.advance(TimeDelta::seconds(1));
    assert_eq!(days_left().await, 0);
    for (name, input) in [
        ("courses.create", json!({ "title": "One more" })),
        ("courses.duplicate", running.clone()),
        ("generation.initiate", waiting.clone()),
        ("generation.initiate", json!({ "title": "One more" })),
    ] {
        let refused = world.call(ann, name, input).await.unwrap_err();
        assert_eq!(
            (refused.code, refused.code.status()),
            (ErrorCode::TrialEnded, 403),
            "{name}"
        );
        let details = refused.details.unwrap();
        assert_eq!(details["tier"], "trial", "{name}");
        assert_eq!(details["endedAt"], json!(world.clock.now()), "{name}");
    }
    assert_eq!(world.count("courses").await, 2);
    // What runs goes on, and what was answered is answered again.
    let again = world.call(ann, "generation.initiate", keyed).await.unwrap();
    assert_eq!(again["generationId"], started["generationId"]);
    let status = world
        .call(ann, "generation.getStatus", running.clone())
        .await
        .unwrap();
    assert_eq!(status["status"], "initializing");
    world.call(ann, "courses.get", running.clone()).await.unwrap();
    world
        .call(ann, "generation.cancel", running.clone())
        .await
        .unwrap();
    let refused = world.call(ann, "generation.retry", running.clone()).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::TrialEnded);

    // Another tier begins anew.
    world
        .arrange(&format!(
            "update organizations set tier = 'standard' where id = '{}'",
            ann.organization_id
        ))
        .await;
    world.call(ann, "generation.retry", running).await.unwrap();
    let usage = world.call(ann, "billing.getUsage", json!({})).await.unwrap();
    assert_eq!(
        (&usage["tier"], &usage["tierDaysLeft"]),
        (&json!("standard"), &Value::Null)
    );
}

#[tokio::test]
async fn the_installation_takes_as_many_as_its_live_workers_can_do() {
    let world = World::new().await;
    let limit = async || {
        let service = process(&world.database, &world.clock, &world.config).await;
        global(&service).await.unwrap()
    };
    assert_eq!(limit().await, 3, "without a worker");
    for capacity in [2, 3] {
        world
            .service
            .store
            .with_system(async |tx| register(tx, &WorkerIdentity::of_this_process(), capacity).await)
            .await
            .unwrap();
    }
    assert_eq!(limit().await, 40);
    world
        .arrange("update workers set last_seen = now() - interval '61 s' where capacity = 3")
        .await;
    assert_eq!(limit().await, 16, "who is silent does not count");
}

#[tokio::test]
async fn a_start_has_the_limits_of_its_tier() {
    let world = World::new().await;
    let free = world.person(Tier::Free, Role::Instructor).await;
    let (first, second) = (world.course(free).await, world.course(free).await);
    world
        .arrange("update tier_settings set generation_budget_usd_micros = 250000 where tier = 'free'")
        .await;
    world.call(free, "generation.initiate", first).await.unwrap();
    // The lesser of the course's and the tier's.
    assert_eq!(
        world
            .count("generations where budget_usd_micros = 250000 and first_stage = 'analysis'")
            .await,
        1
    );
    let refused = world.call(free, "generation.initiate", second).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ConcurrencyLimit);
    let details = refused.details.unwrap();
    assert_eq!(
        *details,
        json!({ "tier": "free", "user_limit": 1, "current_user_jobs": 1 })
    );
    // Without a worker the installation takes three; a superadmin has the terms of the highest tier.
    let root = world.person(Tier::Trial, Role::Superadmin).await;
    world.clock.advance(TimeDelta::days(365));
    for _ in 0..2 {
        let course = world.course(root).await;
        world.call(root, "generation.initiate", course).await.unwrap();
    }
    let course = world.course(root).await;
    let refused = world.call(root, "generation.initiate", course).await.unwrap_err();
    let details = refused.details.unwrap();
    assert_eq!(
        *details,
        json!({
            "tier": "premium", "user_limit": 5, "current_user_jobs": 2, "global_limit": 3, "global_active_jobs": 3
        })
    );
}
