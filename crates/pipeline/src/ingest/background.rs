//! What keeps the indexes up to date while nobody waits: a new embedding model, a second index.

use std::time::Duration;

use llm::provider::EmbeddingKind;
use store::embedding::{
    ContentKey, claim_outdated, forget_removed_text, free_outdated, is_text_back, list_removed_texts,
    list_unembedded, save_background_embeddings,
};
use tokio_util::sync::CancellationToken;

use super::{EMBEDDED_AT_ONCE, embedding_error, indexed, put_into_index};
use crate::context::Services;
use crate::error::PipelineError;
use crate::transaction::in_system;

/// How long a content is one process's to bring up to date: a batch takes seconds.
const LEASE: Duration = Duration::from_mins(5);
/// Contents that are removed from a second index in one round.
const REMOVED_AT_ONCE: u32 = 50;

/// Does one piece of what has to be done in the background, and returns how many chunks or contents it was about; 0: there
/// is nothing to do for now. Chunks that the embedding model has not embedded, as after a change of the model, are
/// embedded; until then they are found by their words. A second index gets what it lacks and loses what is gone.
///
/// # Errors
/// [`PipelineError`] if the database, the model or the index fails. What was done is kept.
pub async fn reembed_next(services: &Services, cancel: &CancellationToken) -> Result<u32, PipelineError> {
    let embedder = services.models.embedder();
    services
        .store
        .prepare_vectors(embedder.model(), embedder.dimensions())
        .await?;
    let removed = remove_from_index(services).await?;
    if removed > 0 {
        return Ok(removed);
    }
    let renewed = embed_outdated(services, cancel).await?;
    if renewed > 0 {
        return Ok(renewed);
    }
    fill_index(services).await
}

async fn embed_outdated(services: &Services, cancel: &CancellationToken) -> Result<u32, PipelineError> {
    let model = services.models.embedder().model();
    let claimed = in_system!(services.store, |tx| claim_outdated(tx, model, LEASE).await)?;
    let Some(content) = claimed else { return Ok(0) };
    let embedded = embed_batch(services, &content, model, cancel).await;
    // A content that the model refuses keeps the claim until it ends, so that the others get their turn.
    if embedded.is_ok() || cancel.is_cancelled() {
        in_system!(services.store, |tx| free_outdated(tx, &content, model).await)?;
    }
    embedded
}

async fn embed_batch(
    services: &Services,
    content: &ContentKey,
    model: &str,
    cancel: &CancellationToken,
) -> Result<u32, PipelineError> {
    let chunks = in_system!(services.store, |tx| {
        list_unembedded(tx, content, model, EMBEDDED_AT_ONCE).await
    })?;
    if chunks.is_empty() {
        return Ok(0);
    }
    let texts: Vec<String> = chunks.iter().map(store::chunk::Chunk::searchable).collect();
    let vectors = services
        .models
        .embed(&texts, EmbeddingKind::Passage, cancel)
        .await
        .map_err(embedding_error)?;
    let vectors: Vec<_> = chunks.iter().map(|chunk| chunk.id).zip(vectors).collect();
    in_system!(services.store, |tx| {
        save_background_embeddings(tx, content, model, &vectors).await
    })?;
    Ok(u32::try_from(vectors.len()).unwrap_or(u32::MAX))
}

async fn fill_index(services: &Services) -> Result<u32, PipelineError> {
    let Some(index) = &services.vector_index else {
        return Ok(0);
    };
    let name = index.name(services.models.embedder().model());
    let claimed = in_system!(services.store, |tx| claim_outdated(tx, &name, LEASE).await)?;
    let Some(content) = claimed else { return Ok(0) };
    // It says why where it fails; the claim then keeps the content from being tried again at once.
    put_into_index(services, &content).await;
    Ok(1)
}

async fn remove_from_index(services: &Services) -> Result<u32, PipelineError> {
    let Some(index) = &services.vector_index else {
        return Ok(0);
    };
    let removed = in_system!(services.store, |tx| list_removed_texts(tx, REMOVED_AT_ONCE).await)?;
    for content in &removed {
        // Uploaded again meanwhile: its points have the same ids.
        let is_back = in_system!(services.store, |tx| is_text_back(tx, content).await)?;
        if !is_back {
            index
                .remove(&indexed(content))
                .await
                .map_err(PipelineError::Embedding)?;
        }
        in_system!(services.store, |tx| forget_removed_text(tx, content).await)?;
    }
    Ok(u32::try_from(removed.len()).unwrap_or(u32::MAX))
}
