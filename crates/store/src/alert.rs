//! What alerts look at, beyond the counts in [`crate::metric`].

use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::statement::statements;
use crate::tx::SystemTx;
use crate::tx::sealed::Sealed;

statements! {
    COUNT_OVERFLOWS = "select count(*) from system_metrics
        where at >= $1 and event_type = 'model_fallback' and metadata ->> 'reason' = 'overflow'";
    COUNT_BATCHES = "select count(*) filter (where is_accepted), count(*) from (
            select bool_or(m.outcome = 'accepted') as is_accepted
            from generations g join model_calls m on m.generation_id = g.id
            where g.finished_at >= $1 and g.status in ('completed', 'failed') and m.stage = 'structure' and m.batch > 0
            group by g.id, m.batch) as batches";
}

/// How the batches ended, each being what models were asked for one section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Those of which an answer was accepted; what is only kept for a review does not count.
    pub accepted: u64,
    /// All.
    pub all: u64,
}

/// How often since then a prompt was too long for its model, so that a larger one was called.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn count_overflows(tx: &mut SystemTx, since: DateTime<Utc>) -> Result<u64, StoreError> {
    let count: i64 = sqlx::query_scalar(COUNT_OVERFLOWS)
        .bind(since)
        .fetch_one(tx.connection())
        .await?;
    Ok(count.cast_unsigned())
}

/// How the batches of the generations ended that have ended since then; those that people cancelled are not counted.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn count_batches(tx: &mut SystemTx, since: DateTime<Utc>) -> Result<BatchCounts, StoreError> {
    let (accepted, all): (i64, i64) = sqlx::query_as(COUNT_BATCHES)
        .bind(since)
        .fetch_one(tx.connection())
        .await?;
    Ok(BatchCounts {
        accepted: accepted.cast_unsigned(),
        all: all.cast_unsigned(),
    })
}
