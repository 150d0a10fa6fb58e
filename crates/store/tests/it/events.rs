//! Events of generations, hints, and the outbox of webhooks.

use std::time::Duration;

use domain::generation::GenerationStatus;
use domain::stage::Stage;
use domain::user::Role;
use store::error::StoreError;
use store::event::{self, GenerationEvent};
use store::generation::{self, Failure, lifecycle};
use store::hint::{Channel, Hint, Listener};
use store::webhook::{self, DeliveryOutcome, DeliveryState};

use crate::world::{World, colleague, new_generation, person};

async fn events(world: &World, course: domain::id::CourseId, after: i64) -> Vec<GenerationEvent> {
    world
        .store()
        .with_tenant(&world.owner, async |tx| {
            event::list_events(tx, course, after, 100).await
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn every_transaction_that_changes_a_generation_gives_one_event() {
    let world = World::new().await;
    let worker = world.worker().await;
    let (course, started) = world.started().await;
    let first = events(&world, course.id, 0).await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].generation_id, started.generation_id);
    assert_eq!(first[0].payload.status, GenerationStatus::Initializing);
    assert_eq!(first[0].payload.progress.percentage, 20);

    let claimed = world.bring_to(&worker, Stage::Structure).await;
    let facts = lifecycle::ProgressFacts {
        batches_completed: Some(4),
        total_batches: Some(8),
        current_model: Some("model-a".to_owned()),
        ..lifecycle::ProgressFacts::default()
    };
    let report = async |message: &str| {
        let facts = facts.clone();
        world
            .store()
            .with_system(async |tx| {
                lifecycle::report_progress(tx, &claimed.lease, &claimed.job, message, facts.clone()).await
            })
            .await
            .unwrap()
    };
    report("half").await;
    let before = events(&world, course.id, 0).await;
    report("half").await;
    assert_eq!(
        events(&world, course.id, 0).await,
        before,
        "what changes nothing gives no event"
    );
    let latest = before.last().unwrap();
    assert_eq!(latest.payload.progress.percentage, 55);
    assert_eq!(latest.payload.metadata["current_model"], "model-a");
    assert!(before.windows(2).all(|pair| {
        pair[0].id < pair[1].id && pair[0].payload.progress.percentage <= pair[1].payload.progress.percentage
    }));
    // Who was away reads on from the last event that was heard.
    assert_eq!(events(&world, course.id, first[0].id).await, before[1..]);
    let last = world
        .store()
        .with_tenant(&world.owner, async |tx| {
            event::latest_event_id(tx, course.id).await
        })
        .await
        .unwrap();
    assert_eq!(last, latest.id);
}

#[tokio::test]
async fn events_are_seen_by_the_owner_and_admins() {
    let world = World::new().await;
    let store = world.store();
    let (course, _) = world.started().await;
    let cases = [
        (
            colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await,
            1,
        ),
        (
            colleague(store, &world.owner, Role::Instructor, "other@alpha.example").await,
            0,
        ),
        (
            person(store, "Beta", domain::organization::Tier::Free, Role::Admin).await,
            0,
        ),
        (
            person(store, "Ops", domain::organization::Tier::Free, Role::Superadmin).await,
            1,
        ),
    ];
    for (actor, count) in cases {
        let seen = store
            .with_tenant(&actor, async |tx| event::list_events(tx, course.id, 0, 10).await)
            .await
            .unwrap();
        assert_eq!(seen.len(), count, "{:?}", actor.role);
    }
}

#[tokio::test]
async fn events_go_a_week_after_the_end() {
    let world = World::new().await;
    let (course, _) = world.started().await;
    let delete = async || {
        world
            .store()
            .with_system(async |tx| event::delete_old_events(tx).await)
            .await
            .unwrap()
    };
    assert_eq!(delete().await, 0);
    world
        .store()
        .with_tenant(&world.owner, async |tx| {
            generation::request_cancel(tx, course.id).await
        })
        .await
        .unwrap();
    assert_eq!(delete().await, 0);
    sqlx::query("update generations set finished_at = now() - interval '8 days'")
        .execute(&mut world.superuser().await)
        .await
        .unwrap();
    assert_eq!(delete().await, 2);
}

/// Hears hints until this one comes.
async fn wait_for(listener: &mut Listener, hint: Hint) {
    let heard = async { while listener.hint().await.unwrap() != hint {} };
    tokio::time::timeout(Duration::from_secs(20), heard)
        .await
        .expect("the hint comes");
}

#[tokio::test]
async fn commits_tell_what_they_changed() {
    let world = World::new().await;
    let store = world.store();
    let mut listener = store
        .listen_for(&[Channel::Jobs, Channel::Progress, Channel::Webhooks])
        .await
        .unwrap();
    let (course, _) = world.started().await;
    wait_for(&mut listener, Hint::Jobs).await;
    let worker = world.worker().await;
    let claimed = world.claim(&worker).await.unwrap();
    world.begin(&claimed).await;
    wait_for(&mut listener, Hint::Progress(course.id)).await;
    let failure = Failure {
        code: "LLM_ERROR".to_owned(),
        message: "no answer".to_owned(),
        details: None,
    };
    store
        .with_system(async |tx| lifecycle::fail_generation(tx, &claimed.lease, &claimed.job, &failure).await)
        .await
        .unwrap();
    wait_for(&mut listener, Hint::Webhooks).await;
    // A listener whose connection breaks says so, and goes on.
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where query like 'LISTEN%' and datname = current_database()")
        .execute(&mut world.superuser().await)
        .await
        .unwrap();
    wait_for(&mut listener, Hint::Reconnected).await;
    world.started().await;
    wait_for(&mut listener, Hint::Jobs).await;
}

#[tokio::test]
async fn a_webhook_that_is_being_removed_stops_no_generation() {
    let world = World::new().await;
    let store = world.store();
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let webhook = store
        .with_tenant(&admin, async |tx| {
            webhook::insert_endpoint(tx, "https://gone.example/hook", &[]).await
        })
        .await
        .unwrap();
    let (course, _) = world.started().await;
    let mut removal = store.tenant(&admin).await.unwrap();
    webhook::delete_endpoint(&mut removal, webhook.id).await.unwrap();
    let ended = store.with_tenant(&world.owner, async |tx| {
        generation::request_cancel(tx, course.id).await
    });
    let removed = async {
        world.until_somebody_waits().await;
        removal.commit().await.unwrap();
    };
    let (ended, ()) = tokio::join!(ended, removed);
    assert_eq!(ended.unwrap(), generation::CancelOutcome::Cancelled);
}

#[tokio::test]
async fn the_outbox_is_written_with_the_event_itself() {
    let world = World::new().await;
    let store = world.store();
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let (all, some) = store
        .with_tenant(&admin, async |tx| {
            let all = webhook::insert_endpoint(tx, "https://all.example/hook", &[]).await?;
            let ended = ["generation.completed".to_owned()];
            Ok((
                all,
                webhook::insert_endpoint(tx, "https://some.example/hook", &ended).await?,
            ))
        })
        .await
        .unwrap();
    assert!(all.secret.starts_with("whsec_") && all.secret != some.secret);
    let course = world.course("Hooked").await;
    let mut new = new_generation(course.id);
    new.webhook_url = Some("https://own.example/hook".to_owned());
    let started = store
        .with_tenant(&world.owner, async |tx| {
            lifecycle::start_generation(tx, &new).await
        })
        .await
        .unwrap();
    let deliveries = async || {
        store
            .with_tenant(&admin, async |tx| {
                webhook::list_deliveries(tx, None, None, 10).await
            })
            .await
            .unwrap()
    };
    assert_eq!(deliveries().await, [], "a start is nothing to tell");
    // A transaction that is rolled back tells nothing.
    let mut tx = store.tenant(&world.owner).await.unwrap();
    generation::request_cancel(&mut tx, course.id).await.unwrap();
    drop(tx);
    assert_eq!(deliveries().await, []);
    store
        .with_tenant(&world.owner, async |tx| {
            generation::request_cancel(tx, course.id).await
        })
        .await
        .unwrap();
    let written = deliveries().await;
    let mut urls: Vec<_> = written.iter().map(|delivery| delivery.url.as_str()).collect();
    urls.sort_unstable();
    assert_eq!(urls, ["https://all.example/hook", "https://own.example/hook"]);
    let payload = &written[0].payload;
    assert_eq!(payload["type"], "generation.cancelled");
    assert_eq!(payload["data"]["courseId"], course.id.to_string());
    assert_eq!(payload["data"]["generationId"], started.generation_id.to_string());
    assert_eq!(payload["data"]["status"], "cancelled");
    assert_eq!(payload["data"]["slug"], "hooked");

    let claimed = store
        .with_system(async |tx| webhook::claim_deliveries(tx, 10, Duration::from_secs(30)).await)
        .await
        .unwrap();
    assert_eq!(claimed.len(), 2);
    let again = store
        .with_system(async |tx| webhook::claim_deliveries(tx, 10, Duration::from_secs(30)).await)
        .await
        .unwrap();
    assert_eq!(again, [], "the lease holds");
    let default_secret = store
        .with_tenant(&admin, async |tx| webhook::get_organization_secret(tx).await)
        .await
        .unwrap();
    for delivery in &claimed {
        let expected = if delivery.url.contains("own") {
            &default_secret
        } else {
            &all.secret
        };
        assert_eq!(&delivery.secret, expected, "{}", delivery.url);
    }
}

#[tokio::test]
async fn failure_of_a_sender_whose_lease_ended_does_not_count() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Hooked").await;
    let mut new = new_generation(course.id);
    new.webhook_url = Some("https://own.example/hook".to_owned());
    store
        .with_tenant(&world.owner, async |tx| {
            lifecycle::start_generation(tx, &new).await?;
            generation::request_cancel(tx, course.id).await
        })
        .await
        .unwrap();
    let claim = async |lease| {
        store
            .with_system(async |tx| webhook::claim_deliveries(tx, 1, lease).await)
            .await
            .unwrap()
            .remove(0)
    };
    let record = async |delivery, outcome| {
        store
            .with_system(async |tx| webhook::record_delivery(tx, delivery, outcome).await)
            .await
            .unwrap()
    };
    let failed = DeliveryOutcome::Failed {
        status: Some(503),
        error: "busy".to_owned(),
    };
    let slow = claim(Duration::ZERO).await;
    let other = claim(Duration::from_secs(30)).await;
    assert_eq!((slow.attempt, other.attempt), (1, 2));
    assert_eq!(record(&slow, &failed).await, None, "the other is sending it");
    let waits: i64 = sqlx::query_scalar(
        "select count(*) from webhook_deliveries where lease_until > now() and last_status is null",
    )
    .fetch_one(&mut world.superuser().await)
    .await
    .unwrap();
    assert_eq!(waits, 1, "the lease of the other holds");
    assert!(record(&other, &failed).await.is_some(), "its failure counts");
}

#[tokio::test]
async fn deliveries_are_tried_for_a_day_and_can_be_sent_again() {
    let world = World::new().await;
    let store = world.store();
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let course = world.course("Hooked").await;
    let mut new = new_generation(course.id);
    new.webhook_url = Some("https://own.example/hook".to_owned());
    store
        .with_tenant(&world.owner, async |tx| {
            lifecycle::start_generation(tx, &new).await?;
            generation::request_cancel(tx, course.id).await
        })
        .await
        .unwrap();
    let failed = DeliveryOutcome::Failed {
        status: Some(503),
        error: "busy".to_owned(),
    };
    let attempt = async |outcome: &DeliveryOutcome| {
        sqlx::query("update webhook_deliveries set next_attempt_at = now() where state = 'waiting'")
            .execute(&mut world.superuser().await)
            .await
            .unwrap();
        store
            .with_system(async |tx| {
                let claimed = webhook::claim_deliveries(tx, 1, Duration::from_secs(30)).await?;
                webhook::record_delivery(tx, &claimed[0], outcome).await
            })
            .await
            .unwrap()
    };
    let now = async || -> chrono::DateTime<chrono::Utc> {
        sqlx::query_scalar("select now()")
            .fetch_one(&mut world.superuser().await)
            .await
            .unwrap()
    };
    for secs in webhook::BACKOFF_SECS {
        let next = attempt(&failed).await.expect("there is another attempt");
        let wait = (next - now().await).as_seconds_f64();
        assert!((secs - wait).abs() < 4.0, "{wait} instead of {secs}");
    }
    assert_eq!(attempt(&failed).await, None, "after a day it is given up");
    let list = async || {
        store
            .with_tenant(&admin, async |tx| {
                webhook::list_deliveries(tx, None, None, 10).await
            })
            .await
            .unwrap()
            .remove(0)
    };
    let given_up = list().await;
    assert_eq!((given_up.state, given_up.attempt), (DeliveryState::Failed, 11));
    assert_eq!(
        (given_up.last_status, given_up.last_error.as_deref()),
        (Some(503), Some("busy"))
    );
    let refused = store
        .with_tenant(&world.owner, async |tx| {
            webhook::resend_delivery(tx, given_up.id).await
        })
        .await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
    store
        .with_tenant(&admin, async |tx| webhook::resend_delivery(tx, given_up.id).await)
        .await
        .unwrap();
    assert_eq!(attempt(&DeliveryOutcome::Delivered { status: 204 }).await, None);
    assert_eq!(list().await.state, DeliveryState::Delivered);
}
