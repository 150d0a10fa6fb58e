//! Webhooks: addresses that hear of events, and the outbox (service 4.7).
//!
//! A trigger writes the deliveries in the transaction of the event itself; a sender claims them, sends outside any
//! transaction, and records what came of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::id::{CourseId, DeliveryId, GenerationId, OrganizationId, WebhookId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::audit::{self, NewAudit};
use crate::error::StoreError;
use crate::hint::Hint;
use crate::json::{from_word, to_text};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, TenantTx};

statements! {
    INSERT_ENDPOINT = "insert into webhook_endpoints (id, organization_id, url, events) values ($1, $2, $3, $4)";
    GET_ENDPOINT = "select id, organization_id, url, secret, events, is_active, created_at from webhook_endpoints
        where id = $1";
    LIST_ENDPOINTS = "select id, organization_id, url, secret, events, is_active, created_at from webhook_endpoints
        where organization_id = $1 order by id";
    DELETE_ENDPOINT = "delete from webhook_endpoints where id = $1";
    GET_SECRET = "select secret from webhook_secrets where organization_id = $1";
    GET_DELIVERY = "select id, organization_id, endpoint_id, course_id, generation_id, url, event_type, payload, state,
            attempt, next_attempt_at, last_status, last_error, created_at, finished_at
        from webhook_deliveries where id = $1";
    LIST_DELIVERIES = "select id, organization_id, endpoint_id, course_id, generation_id, url, event_type, payload, state,
            attempt, next_attempt_at, last_status, last_error, created_at, finished_at
        from webhook_deliveries where ($1::uuid is null or organization_id = $1) and ($2::uuid is null or id < $2)
        order by id desc limit $3";
    RESEND_DELIVERY = "update webhook_deliveries set state = 'waiting', attempt = 0, next_attempt_at = now(),
            finished_at = null
        where id = $1 and (lease_until is null or lease_until < now())";
    CLAIM_DELIVERIES = "with next as (
            select id from webhook_deliveries
            where state = 'waiting' and next_attempt_at <= now() and (lease_until is null or lease_until < now())
            order by next_attempt_at limit $1 for update skip locked)
        update webhook_deliveries d set attempt = d.attempt + 1, lease_until = now() + make_interval(secs => $2)
        from next where d.id = next.id
        returning d.id, d.organization_id, d.url, d.event_type, d.payload, d.attempt, d.lease_until,
            coalesce((select e.secret from webhook_endpoints e where e.id = d.endpoint_id),
                     (select s.secret from webhook_secrets s where s.organization_id = d.organization_id), '') as secret";
    RECORD_SUCCESS = "update webhook_deliveries set state = 'delivered', next_attempt_at = null, lease_until = null,
            last_status = $2, last_error = null, finished_at = now()
        where id = $1 and state = 'waiting'";
    RECORD_FAILURE = "update webhook_deliveries set lease_until = null, last_status = $2, last_error = $3,
            state = case when backoff.secs is null then 'failed' else 'waiting' end,
            next_attempt_at = now() + make_interval(secs => backoff.secs),
            finished_at = case when backoff.secs is null then now() end
        from (select ($4::float8[])[$6] as secs) as backoff
        where id = $1 and state = 'waiting' and lease_until = $5 returning next_attempt_at";
    FIND_NEXT_AT = "select min(greatest(next_attempt_at, coalesce(lease_until, next_attempt_at))) from webhook_deliveries
        where state = 'waiting'";
    DELETE_FINISHED = "delete from webhook_deliveries where finished_at < now() - make_interval(secs => $1)
        and state <> 'waiting'";
}

/// Waits after the first, second, ... failed attempt, in seconds; after the last the delivery is given up. They fill
/// 24 hours (service 4.7).
pub const BACKOFF_SECS: [f64; 10] = [
    5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 28_800.0, 28_800.0,
];

/// An address that hears of an organization's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: WebhookId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Where to send.
    pub url: String,
    /// What signs, in the form of Standard Webhooks: `whsec_` and base64.
    pub secret: String,
    /// Types of events; empty: all.
    pub events: Vec<String>,
    /// Whether it hears of events at present.
    pub is_active: bool,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is to be sent, for the first time or again.
    Waiting,
    /// The address has taken it.
    Delivered,
    /// It was given up after 24 hours.
    Failed,
}

/// One event on its way to one address.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Its id, which also tells the receiver repetitions apart.
    pub id: DeliveryId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// The endpoint; `None`: the address that the generation names.
    pub endpoint_id: Option<WebhookId>,
    /// The course.
    pub course_id: Option<CourseId>,
    /// The generation.
    pub generation_id: Option<GenerationId>,
    /// Where to send.
    pub url: String,
    /// For example `generation.completed`.
    pub event_type: String,
    /// `{type, timestamp, data}`.
    pub payload: Value,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was sent since it was last asked for.
    pub attempt: u32,
    /// When it is sent next.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The latest status of HTTP.
    pub last_status: Option<u16>,
    /// What last went wrong.
    pub last_error: Option<String>,
    /// When the event happened.
    pub created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A delivery that is this process's to send, until its lease ends.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Where to send.
    pub url: String,
    /// What signs, in the form of Standard Webhooks.
    pub secret: String,
    /// For example `generation.completed`.
    pub event_type: String,
    /// The body to send.
    pub payload: Value,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// Until when nobody else sends it.
    pub lease_until: DateTime<Utc>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The address has taken it with this status.
    Delivered {
        /// A status of HTTP from 200 to 299.
        status: u16,
    },
    /// It has not.
    Failed {
        /// Its status, if it answered.
        status: Option<u16>,
        /// What went wrong, for people.
        error: String,
    },
}

/// Adds an address to the actor's organization; its secret is made here. Admins only. It is written into the audit log.
///
/// # Errors
/// [`StoreError::Forbidden`] if the actor is not an admin.
pub async fn insert_endpoint(
    tx: &mut TenantTx,
    url: &str,
    events: &[String],
) -> Result<Endpoint, StoreError> {
    let id = WebhookId::generate();
    let organization = tx.actor().organization_id;
    sqlx::query(INSERT_ENDPOINT)
        .bind(id.as_uuid())
        .bind(organization.as_uuid())
        .bind(to_text(url))
        .bind(events)
        .execute(tx.connection())
        .await?;
    audit::insert_audit(tx, &NewAudit::new("webhooks.create", id)).await?;
    let row: EndpointRow = sqlx::query_as(GET_ENDPOINT)
        .bind(id.as_uuid())
        .fetch_one(tx.connection())
        .await?;
    Ok(row.into_endpoint())
}

/// The addresses of the actor's organization. Admins only; others get none.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_endpoints(tx: &mut TenantTx) -> Result<Vec<Endpoint>, StoreError> {
    let organization = tx.actor().organization_id.as_uuid();
    let rows: Vec<EndpointRow> = sqlx::query_as(LIST_ENDPOINTS)
        .bind(organization)
        .fetch_all(tx.connection())
        .await?;
    Ok(rows.into_iter().map(EndpointRow::into_endpoint).collect())
}

/// Removes an address with its deliveries. Admins only. It is written into the audit log.
///
/// # Errors
/// [`StoreError::NotFound`] if there is none in the actor's organization.
pub async fn delete_endpoint(tx: &mut TenantTx, id: WebhookId) -> Result<(), StoreError> {
    let deleted = sqlx::query(DELETE_ENDPOINT)
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    if deleted.rows_affected() == 0 {
        return Err(StoreError::NotFound {
            what: "webhook",
            key: id.to_string(),
        });
    }
    audit::insert_audit(tx, &NewAudit::new("webhooks.delete", id)).await?;
    Ok(())
}

/// What signs deliveries to addresses that single generations name. Admins only.
///
/// # Errors
/// [`StoreError::NotFound`] if the actor may not see it.
pub async fn get_organization_secret(tx: &mut TenantTx) -> Result<String, StoreError> {
    let organization = tx.actor().organization_id;
    let secret: Option<String> = sqlx::query_scalar(GET_SECRET)
        .bind(organization.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    secret.ok_or_else(|| StoreError::NotFound {
        what: "webhook secret",
        key: organization.to_string(),
    })
}

/// The deliveries that the actor may see, the latest first: admins those of their organization, superadmins all, or of
/// one organization. `before` is the last id of the page before.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_deliveries(
    tx: &mut TenantTx,
    organization: Option<OrganizationId>,
    before: Option<DeliveryId>,
    limit: u32,
) -> Result<Vec<Delivery>, StoreError> {
    let rows: Vec<DeliveryRow> = sqlx::query_as(LIST_DELIVERIES)
        .bind(organization.map(OrganizationId::as_uuid))
        .bind(before.map(DeliveryId::as_uuid))
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(DeliveryRow::into_delivery).collect()
}

/// Sends a delivery once more, whatever came of it before. Admins only. It is written into the audit log.
///
/// # Errors
/// [`StoreError::NotFound`] if it is invisible, [`StoreError::Conflict`] if it is being sent right now.
pub async fn resend_delivery(tx: &mut TenantTx, id: DeliveryId) -> Result<Delivery, StoreError> {
    let delivery = get_delivery(tx, id).await?;
    tx.elevate().await?;
    let changed = sqlx::query(RESEND_DELIVERY)
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    tx.restore().await?;
    if changed.rows_affected() == 0 {
        return Err(StoreError::Conflict(format!("delivery {id} is being sent")));
    }
    let entry = NewAudit {
        organization_id: Some(delivery.organization_id),
        ..NewAudit::new("webhooks.resend", id)
    };
    audit::insert_audit(tx, &entry).await?;
    tx.hint(Hint::Webhooks);
    get_delivery(tx, id).await
}

/// Takes deliveries that are due, for as long as the lease lasts: then others may take them, so that none is lost with
/// its sender. A receiver may get one twice, and knows it by its id.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn claim_deliveries(
    tx: &mut SystemTx,
    limit: u32,
    lease: Duration,
) -> Result<Vec<ClaimedDelivery>, StoreError> {
    let rows: Vec<ClaimRow> = sqlx::query_as(CLAIM_DELIVERIES)
        .bind(i64::from(limit))
        .bind(lease.as_secs_f64())
        .fetch_all(tx.connection())
        .await?;
    Ok(rows.into_iter().map(ClaimRow::into_claimed).collect())
}

/// Writes down what came of an attempt. Returns when it is sent again, if it is. A failure counts only as long as nobody
/// else has taken the delivery since: the lease is what tells. What was taken is delivered, whoever sent it.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn record_delivery(
    tx: &mut SystemTx,
    delivery: &ClaimedDelivery,
    outcome: &DeliveryOutcome,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let id = delivery.id;
    match outcome {
        DeliveryOutcome::Delivered { status } => {
            sqlx::query(RECORD_SUCCESS)
                .bind(id.as_uuid())
                .bind(i32::from(*status))
                .execute(tx.connection())
                .await?;
            Ok(None)
        }
        DeliveryOutcome::Failed { status, error } => {
            let next: Option<Option<DateTime<Utc>>> = sqlx::query_scalar(RECORD_FAILURE)
                .bind(id.as_uuid())
                .bind(status.map(i32::from))
                .bind(to_text(error))
                .bind(BACKOFF_SECS.as_slice())
                .bind(delivery.lease_until)
                .bind(delivery.attempt.cast_signed())
                .fetch_optional(tx.connection())
                .await?;
            Ok(next.flatten())
        }
    }
}

/// When the next delivery is due; in the past if one is due now.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn find_next_delivery_at(tx: &mut SystemTx) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(sqlx::query_scalar(FIND_NEXT_AT)
        .fetch_one(tx.connection())
        .await?)
}

/// Removes deliveries that ended longer ago than `age`. Returns how many.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn delete_finished_deliveries(tx: &mut SystemTx, age: Duration) -> Result<u64, StoreError> {
    let deleted = sqlx::query(DELETE_FINISHED)
        .bind(age.as_secs_f64())
        .execute(tx.connection())
        .await?;
    Ok(deleted.rows_affected())
}

async fn get_delivery(tx: &mut TenantTx, id: DeliveryId) -> Result<Delivery, StoreError> {
    let row: Option<DeliveryRow> = sqlx::query_as(GET_DELIVERY)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.ok_or_else(|| StoreError::NotFound {
        what: "delivery",
        key: id.to_string(),
    })?
    .into_delivery()
}

#[derive(sqlx::FromRow)]
struct EndpointRow {
    id: Uuid,
    organization_id: Uuid,
    url: String,
    secret: String,
    events: Vec<String>,
    is_active: bool,
    created_at: DateTime<Utc>,
}

impl EndpointRow {
    fn into_endpoint(self) -> Endpoint {
        Endpoint {
            id: WebhookId::from_uuid(self.id),
            organization_id: OrganizationId::from_uuid(self.organization_id),
            url: self.url,
            secret: self.secret,
            events: self.events,
            is_active: self.is_active,
            created_at: self.created_at,
        }
    }
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    id: Uuid,
    organization_id: Uuid,
    endpoint_id: Option<Uuid>,
    course_id: Option<Uuid>,
    generation_id: Option<Uuid>,
    url: String,
    event_type: String,
    payload: Value,
    state: String,
    attempt: i32,
    next_attempt_at: Option<DateTime<Utc>>,
    last_status: Option<i32>,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl DeliveryRow {
    fn into_delivery(self) -> Result<Delivery, StoreError> {
        Ok(Delivery {
            id: DeliveryId::from_uuid(self.id),
            organization_id: OrganizationId::from_uuid(self.organization_id),
            endpoint_id: self.endpoint_id.map(WebhookId::from_uuid),
            course_id: self.course_id.map(CourseId::from_uuid),
            generation_id: self.generation_id.map(GenerationId::from_uuid),
            url: self.url,
            event_type: self.event_type,
            payload: self.payload,
            state: from_word(self.state, "delivery state")?,
            attempt: self.attempt.cast_unsigned(),
            next_attempt_at: self.next_attempt_at,
            last_status: self.last_status.and_then(|status| u16::try_from(status).ok()),
            last_error: self.last_error,
            created_at: self.created_at,
            finished_at: self.finished_at,
        })
    }
}

#[derive(sqlx::FromRow)]
struct ClaimRow {
    id: Uuid,
    organization_id: Uuid,
    url: String,
    event_type: String,
    payload: Value,
    attempt: i32,
    lease_until: DateTime<Utc>,
    secret: String,
}

impl ClaimRow {
    fn into_claimed(self) -> ClaimedDelivery {
        ClaimedDelivery {
            id: DeliveryId::from_uuid(self.id),
            organization_id: OrganizationId::from_uuid(self.organization_id),
            url: self.url,
            secret: self.secret,
            event_type: self.event_type,
            payload: self.payload,
            attempt: self.attempt.cast_unsigned(),
            lease_until: self.lease_until,
        }
    }
}
