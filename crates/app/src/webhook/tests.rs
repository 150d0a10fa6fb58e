//! Deliveries from the outbox to a receiver over real HTTP, checked with the specification's own library.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::SystemClock;
use domain::course::CourseRequest;
use domain::generation::GenerationScope;
use domain::language::Language;
use domain::organization::Tier;
use domain::user::{Actor, Role};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use store::Store;
use store::generation::lifecycle::{NewGeneration, start_generation};
use store::testkit::{TestDatabase, database};
use store::user::{NewUser, insert_user};
use store::webhook::{Delivery, DeliveryState, get_organization_secret, list_deliveries};
use store::{course, generation, organization};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::Dispatcher;
use crate::config::WebhookSettings;
use crate::metrics::Metrics;

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

struct Outbox {
    store: Arc<Store>,
    admin: Actor,
    _database: TestDatabase,
}

impl Outbox {
    async fn new() -> Self {
        let database = database().await.unwrap();
        let store = Arc::new(database.open().await.unwrap());
        let admin = store
            .with_system(async |tx| {
                let organization_id = organization::insert_organization(tx, "Alpha", Tier::Standard).await?;
                let new = NewUser {
                    organization_id,
                    email: "admin@example.org".to_owned(),
                    name: None,
                    role: Role::Admin,
                    password_hash: None,
                };
                insert_user(tx, &new).await
            })
            .await
            .unwrap();
        Self {
            store,
            admin,
            _database: database,
        }
    }

    /// A generation that tells `url` that it was cancelled.
    async fn cancelled_generation(&self, url: &str) {
        let request = CourseRequest {
            title: "Rust for beginners".to_owned(),
            ..CourseRequest::default()
        };
        let (inputs, _) = request.check(Language::English).unwrap();
        let url = url.to_owned();
        self.store
            .with_tenant(&self.admin, async |tx| {
                let course = course::insert_course(tx, &inputs).await?;
                let new = NewGeneration {
                    course_id: course.id,
                    budget: inputs.budget,
                    seed: 1,
                    options: json!({}),
                    scope: GenerationScope::Whole,
                    user_limit: None,
                    global_limit: None,
                    webhook_url: Some(url.clone()),
                    idempotency_key: None,
                };
                start_generation(tx, &new).await?;
                generation::request_cancel(tx, course.id).await
            })
            .await
            .unwrap();
    }

    /// Sends until the only delivery was tried, and returns it.
    async fn tried(&self, settings: WebhookSettings) -> Delivery {
        let dispatcher = Dispatcher::new(
            Arc::clone(&self.store),
            Arc::new(SystemClock),
            Metrics::new(),
            &settings,
        )
        .unwrap();
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let mut running = JoinSet::new();
        running.spawn(async move { dispatcher.run(&token).await });
        let begun = Instant::now();
        let delivery = loop {
            assert!(begun.elapsed() < PATIENCE, "nothing was sent");
            let deliveries = self
                .store
                .with_tenant(&self.admin, async |tx| list_deliveries(tx, None, None, 10).await)
                .await
                .unwrap();
            let tried = |delivery: &Delivery| {
                delivery.state != DeliveryState::Waiting || delivery.last_error.is_some()
            };
            if let Some(delivery) = deliveries.into_iter().find(tried) {
                break delivery;
            }
            sleep(Duration::from_millis(20)).await;
        };
        shutdown.cancel();
        running.join_next().await.unwrap().unwrap();
        delivery
    }
}

fn private_allowed() -> WebhookSettings {
    WebhookSettings {
        allow_private_targets: true,
        timeout_secs: 5,
    }
}

async fn receiver(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(answer)
        .mount(&server)
        .await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_is_signed_by_the_specification() {
    let outbox = Outbox::new().await;
    let receiver = receiver(ResponseTemplate::new(204)).await;
    outbox.cancelled_generation(&receiver.uri()).await;
    let delivery = outbox.tried(private_allowed()).await;
    assert_eq!(delivery.state, DeliveryState::Delivered);
    assert_eq!(delivery.last_status, Some(204));

    let requests = receiver.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    let secret = outbox
        .store
        .with_tenant(&outbox.admin, async |tx| get_organization_secret(tx).await)
        .await
        .unwrap();
    let checker = Webhook::new(&secret).unwrap();
    checker.verify(&requests[0].body, &requests[0].headers).unwrap();
    let body: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(body["type"], "generation.cancelled");
    assert_eq!(body["data"]["title"], "Rust for beginners");
    assert_eq!(
        requests[0].headers["webhook-id"],
        delivery.id.to_string().as_str()
    );
    let mut forged = requests[0].body.clone();
    forged[0] = b' ';
    assert!(checker.verify(&forged, &requests[0].headers).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_and_errors_are_failures_that_are_tried_again() {
    let outbox = Outbox::new().await;
    let elsewhere = receiver(ResponseTemplate::new(200)).await;
    let redirect = ResponseTemplate::new(307).insert_header("location", elsewhere.uri());
    let receiver = receiver(redirect.set_body_string("x".repeat(100_000))).await;
    outbox.cancelled_generation(&receiver.uri()).await;
    let delivery = outbox.tried(private_allowed()).await;
    assert_eq!(delivery.state, DeliveryState::Waiting);
    assert_eq!(delivery.last_status, Some(307));
    assert!(delivery.last_error.unwrap().len() < 1024, "the answer is cut");
    assert!(delivery.next_attempt_at.is_some());
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_not_even_connected_to() {
    let outbox = Outbox::new().await;
    let receiver = receiver(ResponseTemplate::new(200)).await;
    let hidden = format!("https://localhost:{}/", receiver.address().port());
    outbox.cancelled_generation(&hidden).await;
    let delivery = outbox.tried(WebhookSettings::default()).await;
    assert_eq!(delivery.state, DeliveryState::Waiting);
    let error = delivery.last_error.unwrap();
    assert!(error.contains("public internet"), "{error}");
    assert!(receiver.received_requests().await.unwrap().is_empty());
}
