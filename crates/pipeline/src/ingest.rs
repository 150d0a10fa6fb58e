//! Reading of documents: text, chunks, vectors (generation 3.1). It needs neither a generation nor a language model, so
//! that documents are ready before their course is begun.
//!
//! Every step is kept as soon as it is done, and none is done twice: a text is saved with all its chunks in one
//! transaction, vectors in batches. Whoever goes on after a crash does what is missing.

mod background;
mod text;

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use domain::document::DocumentText;
use domain::id::CourseId;
use llm::provider::EmbeddingKind;
use llm::vector_index::IndexedContent;
use store::chunk::find_text;
use store::document::{Document, list_documents};
use store::embedding::{ContentKey, complete_index, list_unembedded, list_vectors, save_embeddings};
use store::error::StoreError;
use store::ingestion::{self, Claim, ClaimOutcome, Replaced, claim_document, claim_next, list_open};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::context::Services;
use crate::error::PipelineError;
use crate::event::Event;
use crate::transaction::in_system;
pub use background::reembed_next;

/// How long a document is a reader's without a sign of life; a reader that was killed is replaced after it.
pub const LEASE: Duration = Duration::from_mins(1);
/// Between two signs of life: three may be missed.
const RENEWAL: Duration = Duration::from_secs(15);
/// Chunks that are embedded at once and then kept: about two seconds of the embedded model.
const EMBEDDED_AT_ONCE: usize = 32;
/// A document whose storage or embedding model did not answer is tried again after this.
const PASSING_FAILURE_WAIT: Duration = Duration::from_secs(30);
/// How often those look who wait for documents that others read.
const LOOK: Duration = Duration::from_millis(500);

/// Reads the text of a document out of its file.
#[async_trait]
pub trait DocumentReader: Send + Sync + Debug {
    /// The text of the document, never blank.
    ///
    /// # Errors
    /// [`ReadError`], in words for the author.
    async fn read(&self, document: &Document) -> Result<DocumentText, ReadError>;
}

/// Why a document could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ReadError {
    /// A stable word, for example `encrypted`.
    pub code: String,
    /// For the author: names the file and says what to do.
    pub message: String,
    /// Whether it may be read a little later: storage did not answer.
    pub is_passing: bool,
}

/// The reader where there are no files: it refuses.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDocuments;

#[async_trait]
impl DocumentReader for NoDocuments {
    async fn read(&self, document: &Document) -> Result<DocumentText, ReadError> {
        Err(ReadError {
            code: "no_reader".to_owned(),
            message: format!(
                "'{}' cannot be read by this process: it has no access to files.",
                document.filename
            ),
            is_passing: false,
        })
    }
}

/// What came of reading a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngestOutcome {
    /// It can be searched.
    Processed {
        /// The document, as it was claimed.
        document: Box<Document>,
        /// Its chunks, parents and children together.
        chunks: u32,
        /// Chunks that were embedded now; an equal document may have brought the rest.
        embedded: u32,
        /// Older documents of its name that are gone now.
        replaced: Replaced,
    },
    /// It cannot be read.
    Failed {
        /// The document.
        document: Box<Document>,
        /// A stable word.
        code: String,
        /// For the author.
        message: String,
    },
    /// Something did not answer; the document is tried again later.
    Postponed {
        /// The document.
        document: Box<Document>,
        /// What did not answer.
        reason: String,
    },
    /// Another has it now, or it was deleted: nothing more was written.
    Lost,
}

/// Reads the document that waits longest, if there is one.
///
/// # Errors
/// Those of [`ingest`].
pub async fn ingest_next(
    services: &Services,
    cancel: &CancellationToken,
) -> Result<Option<IngestOutcome>, PipelineError> {
    let claimed = in_system!(services.store, |tx| claim_next(tx, LEASE).await)?;
    match claimed {
        Some(claim) => Ok(Some(Box::pin(ingest(services, &claim, cancel)).await?)),
        None => Ok(None),
    }
}

/// Reads all open documents of a course, and waits for those that others are reading. Returns the course's documents as
/// they are then.
///
/// # Errors
/// Those of [`ingest`], and [`PipelineError::Postponed`] if a document cannot be read for now.
pub async fn ingest_course(
    services: &Services,
    course_id: CourseId,
    cancel: &CancellationToken,
) -> Result<Vec<Document>, PipelineError> {
    let mut waiting = in_system!(services.store, |tx| list_open(tx, course_id).await)?;
    while !waiting.is_empty() {
        let mut still_waiting = Vec::new();
        for id in std::mem::take(&mut waiting) {
            let claimed = in_system!(services.store, |tx| claim_document(tx, id, LEASE).await);
            match claimed {
                Ok(ClaimOutcome::Claimed(claim)) => match Box::pin(ingest(services, &claim, cancel)).await? {
                    IngestOutcome::Processed { .. } | IngestOutcome::Failed { .. } => {}
                    IngestOutcome::Lost => still_waiting.push(id),
                    IngestOutcome::Postponed { document, reason } => {
                        return Err(PipelineError::Postponed {
                            name: document.filename,
                            reason,
                        });
                    }
                },
                Ok(ClaimOutcome::Busy) => still_waiting.push(id),
                // A document that is gone was deleted, or replaced by a later upload.
                Ok(ClaimOutcome::Done(_)) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        waiting = still_waiting;
        if !waiting.is_empty() {
            show_life(services);
            tokio::select! {
                () = sleep(LOOK) => {}
                () = cancel.cancelled() => return Err(PipelineError::Cancelled),
            }
        }
    }
    Ok(in_system!(services.store, |tx| list_documents(tx, course_id).await)?)
}

/// Reads a claimed document to its end. The claim is renewed meanwhile. A document that cannot be read is no error: it is
/// noted as failed, with the reason. `cancel` hands it back.
///
/// # Errors
/// [`PipelineError::Cancelled`], and what keeps any document from being read: the database, an embedding model that
/// refuses.
pub async fn ingest(
    services: &Services,
    claim: &Claim,
    cancel: &CancellationToken,
) -> Result<IngestOutcome, PipelineError> {
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(PipelineError::Cancelled),
        lost = keep(services, claim) => Err(lost.into()),
        outcome = Box::pin(read_and_index(services, claim, cancel)) => outcome,
    };
    match outcome {
        Ok(outcome) => Ok(outcome),
        Err(PipelineError::Store(cause)) if matches!(*cause, StoreError::LostClaim(_)) => {
            Ok(IngestOutcome::Lost)
        }
        Err(PipelineError::Cancelled) => {
            release(services, claim, Duration::ZERO).await?;
            Err(PipelineError::Cancelled)
        }
        Err(PipelineError::Embedding(cause)) if cause.is_transient() => {
            release(services, claim, PASSING_FAILURE_WAIT).await?;
            Ok(IngestOutcome::Postponed {
                document: Box::new(claim.document.clone()),
                reason: cause.to_string(),
            })
        }
        Err(error) => {
            release(services, claim, PASSING_FAILURE_WAIT).await?;
            Err(error)
        }
    }
}

/// Renews the claim until that fails.
async fn keep(services: &Services, claim: &Claim) -> StoreError {
    loop {
        sleep(RENEWAL).await;
        let renewed = in_system!(services.store, |tx| ingestion::renew(tx, claim, LEASE).await);
        match renewed {
            Ok(()) => show_life(services),
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "the claim on a document was not renewed; it is tried again");
            }
            Err(error) => return error,
        }
    }
}

/// Whoever watches for stages that hang hears that this one does not: reading a long document takes minutes.
fn show_life(services: &Services) {
    services.observer.on_event(Event::Tokens { new: 0 });
}

/// Hands the document back. That it is another's by now is no error.
async fn release(services: &Services, claim: &Claim, wait: Duration) -> Result<(), StoreError> {
    match in_system!(services.store, |tx| ingestion::release(tx, claim, wait).await) {
        Err(StoreError::LostClaim(_)) => Ok(()),
        released => released,
    }
}

async fn read_and_index(
    services: &Services,
    claim: &Claim,
    cancel: &CancellationToken,
) -> Result<IngestOutcome, PipelineError> {
    let document = &claim.document;
    let known = in_system!(services.store, |tx| find_text(tx, document.id).await)?;
    if known.is_none() {
        let read = match services.documents.read(document).await {
            Ok(text) => text::save(services, claim, text).await?,
            Err(error) => Err(error),
        };
        if let Err(error) = read {
            return end_unread(services, claim, error).await;
        }
    }
    let embedded = embed(services, claim, cancel).await?;
    put_into_index(services, &content_of(document)).await;
    let (replaced, chunks) = in_system!(services.store, |tx| {
        let replaced = ingestion::finish(tx, claim).await?;
        let chunks = find_text(tx, document.id).await?.map_or(0, |text| text.chunks);
        Ok((replaced, chunks))
    })?;
    Ok(IngestOutcome::Processed {
        document: Box::new(document.clone()),
        chunks,
        embedded,
        replaced,
    })
}

async fn end_unread(
    services: &Services,
    claim: &Claim,
    error: ReadError,
) -> Result<IngestOutcome, PipelineError> {
    let document = Box::new(claim.document.clone());
    if error.is_passing {
        release(services, claim, PASSING_FAILURE_WAIT).await?;
        return Ok(IngestOutcome::Postponed {
            document,
            reason: error.message,
        });
    }
    let ReadError { code, message, .. } = error;
    in_system!(services.store, |tx| ingestion::fail(tx, claim, &code, &message)
        .await)?;
    Ok(IngestOutcome::Failed {
        document,
        code,
        message,
    })
}

/// Embeds what is not embedded yet, batch by batch. Returns how many chunks.
async fn embed(services: &Services, claim: &Claim, cancel: &CancellationToken) -> Result<u32, PipelineError> {
    let content = content_of(&claim.document);
    let model = services.models.embedder().model();
    let mut embedded = 0;
    loop {
        let chunks = in_system!(services.store, |tx| {
            list_unembedded(tx, &content, model, EMBEDDED_AT_ONCE).await
        })?;
        if chunks.is_empty() {
            return Ok(embedded);
        }
        let texts: Vec<String> = chunks.iter().map(store::chunk::Chunk::searchable).collect();
        let vectors = services
            .models
            .embed(&texts, EmbeddingKind::Passage, cancel)
            .await
            .map_err(embedding_error)?;
        let vectors: Vec<_> = chunks.iter().map(|chunk| chunk.id).zip(vectors).collect();
        in_system!(services.store, |tx| save_embeddings(tx, claim, model, &vectors)
            .await)?;
        embedded += u32::try_from(vectors.len()).unwrap_or(u32::MAX);
    }
}

fn embedding_error(cause: llm::error::ProviderError) -> PipelineError {
    match cause {
        llm::error::ProviderError::Cancelled => PipelineError::Cancelled,
        cause => PipelineError::Embedding(cause),
    }
}

/// Puts a content into the second index, where one is configured. It may fail: searches then rank in the database, and
/// the background brings the index up to date.
async fn put_into_index(services: &Services, content: &ContentKey) {
    let Some(index) = &services.vector_index else {
        return;
    };
    let model = services.models.embedder().model();
    let name = index.name(model);
    let put = async {
        let vectors = in_system!(services.store, |tx| list_vectors(tx, content, model).await)?;
        index
            .put(model, &indexed(content), &vectors)
            .await
            .map_err(PipelineError::Embedding)?;
        in_system!(services.store, |tx| {
            complete_index(tx, content, &name, vectors.len()).await
        })?;
        Ok::<_, PipelineError>(())
    };
    if let Err(error) = put.await {
        tracing::warn!(%error, "the second index was not brought up to date; the database is searched instead");
    }
}

fn content_of(document: &Document) -> ContentKey {
    ContentKey {
        organization_id: document.organization_id,
        sha256: document.sha256.clone(),
    }
}

fn indexed(content: &ContentKey) -> IndexedContent {
    IndexedContent {
        organization_id: content.organization_id,
        sha256: content.sha256.clone(),
    }
}
