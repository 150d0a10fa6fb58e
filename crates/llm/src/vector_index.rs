//! A second index of vectors, for installations that outgrow the database's own search.
//!
//! The database stays the truth: it has every vector, says which contents the index holds, and what a search may find.
//! The index only ranks.

pub mod qdrant;

use async_trait::async_trait;
use domain::id::{ChunkId, OrganizationId};

use crate::error::ProviderError;

/// A content of an organization, as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedContent {
    /// The organization.
    pub organization_id: OrganizationId,
    /// SHA-256 of the content, hexadecimal.
    pub sha256: String,
}

/// A place where vectors are searched.
#[async_trait]
pub trait VectorIndex: Send + Sync + std::fmt::Debug {
    /// What the database calls the index of this model, from `qdrant:` on; another place or model is another index.
    fn name(&self, model: &str) -> String;

    /// Puts chunks of a content in, in place of what it has of them.
    ///
    /// # Errors
    /// [`ProviderError`] if the index does not answer or refuses.
    async fn put(
        &self,
        model: &str,
        content: &IndexedContent,
        vectors: &[(ChunkId, Vec<f32>)],
    ) -> Result<(), ProviderError>;

    /// The chunks of `contents` nearest to `question`, the nearest first.
    ///
    /// # Errors
    /// [`ProviderError`] if the index does not answer or refuses.
    async fn search(
        &self,
        model: &str,
        contents: &[IndexedContent],
        question: &[f32],
        limit: usize,
    ) -> Result<Vec<ChunkId>, ProviderError>;

    /// Removes a content, of all models.
    ///
    /// # Errors
    /// [`ProviderError`] if the index does not answer or refuses.
    async fn remove(&self, content: &IndexedContent) -> Result<(), ProviderError>;
}
