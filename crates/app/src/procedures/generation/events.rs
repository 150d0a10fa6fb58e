//! What operators hear of starts that were refused or failed (service 4.7).

use std::time::Duration;

use domain::id::CourseId;
use domain::user::Actor;
use serde_json::json;
use store::Store;
use store::error::StoreError;
use store::metric::{Event, NewMetric, Severity, insert_metric};
use store::tx::SystemTx;

use crate::procedures::Call;

/// When an event is tried again that the database could not take; together a quarter of an hour.
const RETRY_WAITS: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(25),
    Duration::from_mins(1),
    Duration::from_mins(3),
    Duration::from_mins(5),
    Duration::from_mins(5),
];

/// What the operator hears: a limit that was hit, a second start, a start that was rolled back (service 4.7).
#[expect(
    clippy::disallowed_methods,
    reason = "nobody can wait for so long: the event ends with the process"
)]
pub(in crate::procedures) async fn write_down(
    call: &Call,
    actor: &Actor,
    course_id: Option<CourseId>,
    failed: &StoreError,
) {
    let (event, severity, metadata) = match failed {
        StoreError::TooManyGenerations {
            tier,
            user_limit,
            current_user_jobs,
            global_limit,
            global_active_jobs,
        } => (
            Event::ConcurrencyLimitHit,
            Severity::Warn,
            json!({
                "tier": tier,
                "user_limit": user_limit,
                "current_user_jobs": current_user_jobs,
                "global_limit": global_limit,
                "global_active_jobs": global_active_jobs,
            }),
        ),
        StoreError::Conflict(_) if failed.is_generation_active() => {
            (Event::DuplicateJobDetected, Severity::Info, json!({}))
        }
        StoreError::Database(_) => (
            Event::JobRollback,
            Severity::Error,
            json!({ "request_id": call.request_id }),
        ),
        _ => return,
    };
    let metric = NewMetric {
        user_id: Some(actor.user_id),
        organization_id: Some(actor.organization_id),
        course_id,
        metadata,
        ..NewMetric::new(event, severity)
    };
    let store = std::sync::Arc::clone(&call.service.store);
    if let Err(error) = write(&store, &metric).await {
        tracing::warn!(%error, "an event could not be written down yet");
        if error.is_transient() {
            // What tells of the database's failure must not be lost with it.
            tokio::spawn(write_later(store, metric));
        }
    }
}

/// Waits for the database to answer again.
async fn write_later(store: std::sync::Arc<Store>, metric: NewMetric) {
    for wait in RETRY_WAITS {
        tokio::time::sleep(wait).await;
        match write(&store, &metric).await {
            Ok(()) => return,
            Err(error) if error.is_transient() => {}
            Err(error) => {
                tracing::warn!(%error, "an event could not be written down");
                return;
            }
        }
    }
    tracing::warn!(event = ?metric.event, "an event is given up: the database does not answer");
}

async fn write(store: &Store, metric: &NewMetric) -> Result<(), StoreError> {
    let metric = metric.clone();
    store
        .with_system(async move |tx: &mut SystemTx| insert_metric(tx, &metric).await)
        .await
}
