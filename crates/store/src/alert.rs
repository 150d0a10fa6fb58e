//! What alerts look at, beyond the counts in [`crate::metric`].

use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::statement::statements;
use crate::tx::SystemTx;
use crate::tx::sealed::Sealed;

statements! {
    COUNT_OVERFLOWS = "select count(*) from system_metrics
        where at >= $1 and event_type = 'model_fallback' and metadata ->> 'reason' = 'overflow'";
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
