//! Addresses that hear of events, and what was sent to them.

use chrono::{DateTime, Utc};
use domain::id::{CourseId, DeliveryId, GenerationId, OrganizationId, WebhookId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::webhook::{self, Delivery, DeliveryState, Endpoint};

use super::courses::EXAMPLE_ID;
use super::error::{ApiError, ErrorCode};
use super::page::{self, Done, Page};
use super::{Access, Call, Procedure, mutation, query};
use crate::webhook::{WEB_ADDRESS, check_target};

/// The rows of this file.
pub(super) fn procedures() -> Vec<Procedure> {
    vec![
        mutation(
            "webhooks.create",
            Access::Admin,
            "Add an address that hears of events",
            create,
        )
        .example(json!({ "url": "https://lms.example.org/hooks", "events": ["generation.completed"] })),
        query(
            "webhooks.list",
            Access::Admin,
            "List the addresses of the organization",
            list,
        )
        .example(json!({})),
        mutation("webhooks.delete", Access::Admin, "Remove an address", delete)
            .fails(&[ErrorCode::NotFound])
            .example(json!({ "id": EXAMPLE_ID })),
        query(
            "webhooks.getSecret",
            Access::Admin,
            "Read what signs deliveries to the addresses that single generations name",
            get_secret,
        )
        .fails(&[ErrorCode::NotFound])
        .example(json!({})),
        query(
            "webhooks.deliveries",
            Access::Admin,
            "List what was sent, the latest first",
            deliveries,
        )
        .example(json!({ "limit": 50 })),
        mutation(
            "webhooks.resend",
            Access::Admin,
            "Send a delivery once more",
            resend,
        )
        .fails(&[ErrorCode::NotFound, ErrorCode::Conflict])
        .example(json!({ "id": EXAMPLE_ID })),
    ]
}

/// What an address may hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
enum WebhookEvent {
    /// A generation is done.
    #[serde(rename = "generation.completed")]
    Completed,
    /// A generation was given up.
    #[serde(rename = "generation.failed")]
    Failed,
    /// Somebody cancelled a generation.
    #[serde(rename = "generation.cancelled")]
    Cancelled,
    /// An author is to look at a structure.
    #[serde(rename = "generation.awaiting_review")]
    AwaitingReview,
}

impl WebhookEvent {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "generation.completed",
            Self::Failed => "generation.failed",
            Self::Cancelled => "generation.cancelled",
            Self::AwaitingReview => "generation.awaiting_review",
        }
    }
}

/// An address to add.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateInput {
    /// A public https address.
    #[schemars(length(min = 1, max = 2000), regex(pattern = WEB_ADDRESS))]
    url: String,
    /// What it hears of; empty or left out: everything.
    #[schemars(length(max = 10))]
    events: Option<Vec<WebhookEvent>>,
}

/// Nothing is asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NoInput {}

/// An address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfEndpoint {
    /// The address.
    id: WebhookId,
}

/// A delivery.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfDelivery {
    /// The delivery.
    id: DeliveryId,
}

/// Which deliveries.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeliveriesInput {
    /// Of this organization; superadmins see all.
    organization_id: Option<OrganizationId>,
    /// The `nextCursor` of the page before.
    cursor: Option<DeliveryId>,
    /// Items of a page.
    #[schemars(range(min = 1, max = page::MOST))]
    limit: Option<u32>,
}

/// An address that hears of events.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WebhookEndpoint")]
struct EndpointOutput {
    /// Its id.
    id: WebhookId,
    /// Where it is.
    url: String,
    /// What it hears of; empty: everything.
    events: Vec<String>,
    /// What signs its deliveries (Standard Webhooks).
    secret: String,
    /// Whether it hears of events at present.
    is_active: bool,
    /// When it was added.
    created_at: DateTime<Utc>,
}

impl From<Endpoint> for EndpointOutput {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            id: endpoint.id,
            url: endpoint.url,
            events: endpoint.events,
            secret: endpoint.secret,
            is_active: endpoint.is_active,
            created_at: endpoint.created_at,
        }
    }
}

/// What signs deliveries.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WebhookSecret")]
struct SecretOutput {
    /// In the form of Standard Webhooks: `whsec_` and base64.
    secret: String,
}

/// One event on its way to one address.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WebhookDelivery")]
struct DeliveryOutput {
    /// Its id: the header `webhook-id`.
    id: DeliveryId,
    /// Its organization.
    organization_id: OrganizationId,
    /// The address of the organization; null: one that a generation named.
    endpoint_id: Option<WebhookId>,
    /// The course.
    course_id: Option<CourseId>,
    /// The generation.
    generation_id: Option<GenerationId>,
    /// Where it is sent.
    url: String,
    /// What happened, for example `generation.completed`.
    event_type: String,
    /// What is sent: `{type, timestamp, data}`.
    payload: Value,
    /// Where it stands.
    state: DeliveryState,
    /// How often it was sent since it was last asked for.
    attempt: u32,
    /// When it is sent next.
    next_attempt_at: Option<DateTime<Utc>>,
    /// The latest HTTP status of the receiver.
    last_status: Option<u16>,
    /// What last went wrong.
    last_error: Option<String>,
    /// When the event happened.
    created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    finished_at: Option<DateTime<Utc>>,
}

impl From<Delivery> for DeliveryOutput {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            organization_id: delivery.organization_id,
            endpoint_id: delivery.endpoint_id,
            course_id: delivery.course_id,
            generation_id: delivery.generation_id,
            url: delivery.url,
            event_type: delivery.event_type,
            payload: delivery.payload,
            state: delivery.state,
            attempt: delivery.attempt,
            next_attempt_at: delivery.next_attempt_at,
            last_status: delivery.last_status,
            last_error: delivery.last_error,
            created_at: delivery.created_at,
            finished_at: delivery.finished_at,
        }
    }
}

async fn create(call: Call, input: CreateInput) -> Result<EndpointOutput, ApiError> {
    let actor = call.actor()?;
    check_target(
        &input.url,
        call.service.config.settings.webhooks.allow_private_targets,
    )
    .map_err(|refusal| ApiError::field("url", refusal.to_string()))?;
    let events: Vec<String> = input
        .events
        .unwrap_or_default()
        .into_iter()
        .map(|event| event.as_str().to_owned())
        .collect();
    let url = input.url;
    let added = call.service.store.with_tenant(&actor, async move |tx| {
        webhook::insert_endpoint(tx, &url, &events).await
    });
    Ok(added.await?.into())
}

async fn list(call: Call, _: NoInput) -> Result<Page<EndpointOutput>, ApiError> {
    let actor = call.actor()?;
    let rows = call
        .service
        .store
        .with_tenant(&actor, async |tx| webhook::list_endpoints(tx).await)
        .await?;
    Ok(Page::whole(rows))
}

async fn delete(call: Call, input: OfEndpoint) -> Result<Done, ApiError> {
    let actor = call.actor()?;
    call.service
        .store
        .with_tenant(&actor, async move |tx| {
            webhook::delete_endpoint(tx, input.id).await
        })
        .await?;
    Ok(Done::DONE)
}

async fn get_secret(call: Call, _: NoInput) -> Result<SecretOutput, ApiError> {
    let actor = call.actor()?;
    let secret = call
        .service
        .store
        .with_tenant(&actor, async |tx| webhook::get_organization_secret(tx).await)
        .await?;
    Ok(SecretOutput { secret })
}

async fn deliveries(call: Call, input: DeliveriesInput) -> Result<Page<DeliveryOutput>, ApiError> {
    let actor = call.actor()?;
    let DeliveriesInput {
        organization_id,
        cursor,
        limit,
    } = input;
    let rows = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            webhook::list_deliveries(tx, organization_id, cursor, page::rows_for(limit)).await
        })
        .await?;
    Ok(Page::of(rows, limit, |row| row.id.to_string()))
}

async fn resend(call: Call, input: OfDelivery) -> Result<DeliveryOutput, ApiError> {
    let actor = call.actor()?;
    let sent = call.service.store.with_tenant(&actor, async move |tx| {
        webhook::resend_delivery(tx, input.id).await
    });
    Ok(sent.await?.into())
}
