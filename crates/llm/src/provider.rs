//! The one interface behind which models are called.

pub mod openai_compatible;
pub mod scripted;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::error::{FailedAttempt, ProviderError};
use crate::request::Request;
use crate::response::Response;

/// Hears of an answer while it is being made.
pub trait StreamObserver: Send + Sync {
    /// More text has come: `delta` is what is new, `output_tokens` the number of tokens so far.
    fn on_delta(&self, delta: &str, output_tokens: u64);
}

/// An observer that does not listen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl StreamObserver for Unobserved {
    fn on_delta(&self, _delta: &str, _output_tokens: u64) {}
}

/// How many calls are made at once at first (generation 3.2).
pub const FIRST_PARALLEL: usize = 2;

/// A place where models are called. One call is one attempt: retries belong to the caller.
#[async_trait]
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// The provider's id as model cards name it, for example `embedded`.
    fn id(&self) -> &str;

    /// How many calls it can serve at once with profit; the adaptive parallelism never goes above.
    fn max_parallel(&self) -> usize;

    /// How many calls are made at once at first; the adaptive parallelism finds more. A provider that never pushes back
    /// has nothing to be found.
    fn first_parallel(&self) -> usize {
        FIRST_PARALLEL
    }

    /// Makes one call. It ends with [`ProviderError::Cancelled`] soon after `cancel` is cancelled.
    ///
    /// # Errors
    /// One [`FailedAttempt`]; nothing is retried here, except that a refusal may be answered by asking in another way.
    async fn generate(
        &self,
        request: &Request,
        observer: &dyn StreamObserver,
        cancel: &CancellationToken,
    ) -> Result<Response, FailedAttempt>;
}

/// A place where texts become vectors.
#[async_trait]
pub trait Embedder: Send + Sync + std::fmt::Debug {
    /// The model's id; vectors of different models are never compared.
    fn model(&self) -> &str;

    /// Length of every vector.
    fn dimensions(&self) -> usize;

    /// One unit-length vector a text, in the order of `texts`.
    ///
    /// # Errors
    /// [`ProviderError`] if the model cannot be run or reached.
    async fn embed(&self, texts: &[String], kind: EmbeddingKind) -> Result<Vec<Vec<f32>>, ProviderError>;
}

/// What a text is to the comparison: many models embed questions and passages differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbeddingKind {
    /// What one searches with, and both sides of a symmetric comparison.
    Query,
    /// What is searched.
    Passage,
}
