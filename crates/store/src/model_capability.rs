//! What servers have taught of their models, for all workers.

use serde::Serialize;
use serde_json::Value;

use crate::error::StoreError;
use crate::json::to_json;
use crate::statement::statements;
use crate::tx::SystemTx;
use crate::tx::sealed::Sealed;

statements! {
    LIST_CAPABILITIES = "select provider, address, model, capabilities from model_capabilities
        where learnt_at > now() - make_interval(days => $1) order by provider, model, address";
    UPSERT_CAPABILITY = "insert into model_capabilities (provider, address, model, capabilities)
        values ($1, $2, $3, $4)
        on conflict (provider, address, model) do update set capabilities = excluded.capabilities, learnt_at = now()";
}

/// What was learnt is asked anew after so many days: servers are updated and learn, too.
const BELIEVED_DAYS: i32 = 7;

/// What was learnt of one model at one address.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCapability {
    /// The provider's id.
    pub provider: String,
    /// Host, port and path.
    pub address: String,
    /// The model's id.
    pub model: String,
    /// How it is asked, as `llm` writes it.
    pub capabilities: Value,
}

/// What was learnt in the last days.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_capabilities(tx: &mut SystemTx) -> Result<Vec<StoredCapability>, StoreError> {
    let rows: Vec<(String, String, String, Value)> = sqlx::query_as(LIST_CAPABILITIES)
        .bind(BELIEVED_DAYS)
        .fetch_all(tx.connection())
        .await?;
    let stored = rows
        .into_iter()
        .map(|(provider, address, model, capabilities)| StoredCapability {
            provider,
            address,
            model,
            capabilities,
        });
    Ok(stored.collect())
}

/// Saves what was learnt of a model; it replaces what was known of it at this address.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn save_capability<T: Serialize + Sync>(
    tx: &mut SystemTx,
    provider: &str,
    address: &str,
    model: &str,
    capabilities: &T,
) -> Result<(), StoreError> {
    sqlx::query(UPSERT_CAPABILITY)
        .bind(provider)
        .bind(address)
        .bind(model)
        .bind(to_json(capabilities, "capabilities")?)
        .execute(tx.connection())
        .await?;
    Ok(())
}
