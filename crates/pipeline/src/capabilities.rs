//! What servers have taught of their models, between the models of this process and the database.

use llm::capability::Learnt;
use llm::gateway::Models;
use store::Store;
use store::model_capability::{StoredCapability, save_capability};

use crate::error::PipelineError;
use crate::transaction::in_system;

/// Tells the models of this process what others have learnt. An entry that cannot be read is learnt anew.
pub fn adopt(models: &Models, stored: Vec<StoredCapability>) {
    models.capabilities().adopt(learnt(stored));
}

/// What was stored, as far as this version can read it.
pub fn learnt(stored: Vec<StoredCapability>) -> Vec<Learnt> {
    let read = |stored: StoredCapability| {
        Some(Learnt {
            capabilities: serde_json::from_value(stored.capabilities).ok()?,
            provider: stored.provider,
            address: stored.address,
            model: stored.model,
            changes: Vec::new(),
        })
    };
    stored.into_iter().filter_map(read).collect()
}

/// Saves what was learnt here.
///
/// # Errors
/// [`PipelineError::Store`] if the database refuses.
pub async fn save(store: &Store, news: &[Learnt]) -> Result<(), PipelineError> {
    for learnt in news {
        in_system!(store, |tx| {
            save_capability(
                tx,
                &learnt.provider,
                &learnt.address,
                &learnt.model,
                &learnt.capabilities,
            )
            .await
        })?;
    }
    Ok(())
}

/// What was learnt, for people.
pub fn sentence(learnt: &Learnt) -> String {
    let changes: Vec<String> = learnt.changes.iter().map(ToString::to_string).collect();
    format!(
        "{} at {} refused a request as it was; from now on {}",
        learnt.model,
        learnt.address,
        changes.join("; ")
    )
}
