//! Events of generations: what watchers are told, and what they missed (service 4.1).

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::generation::{GenerationProgress, GenerationStatus};
use domain::id::{CourseId, GenerationId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::error::StoreError;
use crate::json::from_json;
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, Tx};

statements! {
    LIST_EVENTS = "select id, generation_id, payload, at from generation_events
        where course_id = $1 and id > $2 order by id limit $3";
    LATEST_EVENT = "select coalesce(max(id), 0) from generation_events where course_id = $1";
    DELETE_EVENTS = "delete from generation_events e using generations g
        where g.id = e.generation_id and g.finished_at < now() - make_interval(secs => $1)";
}

/// How long events are kept after their generation ended.
pub const EVENTS_KEPT: Duration = Duration::from_hours(7 * 24);

/// What an event tells: the state after the change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventPayload {
    /// Where the generation stands.
    pub status: GenerationStatus,
    /// The progress that front ends show.
    pub progress: GenerationProgress,
    /// What front ends show beside it: batches, current model, scores.
    pub metadata: Value,
}

/// A change of a generation.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationEvent {
    /// Its number; rises within a course.
    pub id: i64,
    /// The generation.
    pub generation_id: GenerationId,
    /// The state after the change.
    pub payload: EventPayload,
    /// When.
    pub at: DateTime<Utc>,
}

/// The events of a course after the one with the number `after`, the oldest first.
///
/// # Errors
/// [`StoreError`] if the database refuses. Nothing is returned for a course that is invisible.
pub async fn list_events(
    tx: &mut impl Tx,
    course_id: CourseId,
    after: i64,
    limit: u32,
) -> Result<Vec<GenerationEvent>, StoreError> {
    let rows: Vec<(i64, Uuid, Value, DateTime<Utc>)> = sqlx::query_as(LIST_EVENTS)
        .bind(course_id.as_uuid())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter()
        .map(|(id, generation, payload, at)| {
            Ok(GenerationEvent {
                id,
                generation_id: GenerationId::from_uuid(generation),
                payload: from_json(payload, "event")?,
                at,
            })
        })
        .collect()
}

/// The number of the latest event of a course; 0 if there is none.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn latest_event_id(tx: &mut impl Tx, course_id: CourseId) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(LATEST_EVENT)
        .bind(course_id.as_uuid())
        .fetch_one(tx.connection())
        .await?)
}

/// Removes the events of generations that ended longer ago than [`EVENTS_KEPT`]. Returns how many.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn delete_old_events(tx: &mut SystemTx) -> Result<u64, StoreError> {
    let deleted = sqlx::query(DELETE_EVENTS)
        .bind(EVENTS_KEPT.as_secs_f64())
        .execute(tx.connection())
        .await?;
    Ok(deleted.rows_affected())
}
