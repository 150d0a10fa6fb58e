//! The second index of vectors, where one is configured.

use std::sync::Arc;

use llm::vector_index::VectorIndex;
use llm::vector_index::qdrant::Qdrant;

use crate::config::Config;
use crate::failure::Failure;

/// The index of `search.qdrant_url`; `None`: the database alone searches. Nothing is asked yet.
///
/// # Errors
/// [`Failure`] if the address or the key cannot be used.
pub(crate) fn vector_index(config: &Config) -> Result<Option<Arc<dyn VectorIndex>>, Failure> {
    let Some(url) = config.qdrant_url()? else {
        return Ok(None);
    };
    let qdrant = Qdrant::new(url, config.qdrant_key.as_ref())?;
    Ok(Some(Arc::new(qdrant)))
}
