//! Reading of documents beside the jobs: as soon as one is uploaded its text is extracted, cut, embedded and indexed, so
//! that a generation which starts later finds it ready. What a change of the embedding model left behind is done here
//! too, when nothing else waits.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::Clock;
use llm::vector_index::VectorIndex;
use pipeline::Services;
use pipeline::event::Unwatched;
use pipeline::ingest::{DocumentReader, IngestOutcome, LEASE, ingest, reembed_next};
use store::Store;
use store::error::StoreError;
use store::ingestion::{self, Claim};
use store::tx::SystemTx;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::models::ModelSet;
use crate::failure::Failure;

/// How long an idle reader waits at most before it looks again: a hint may be lost.
const POLL: Duration = Duration::from_secs(5);
/// The least time between two looks: hints come in crowds, and most are about jobs.
const LEAST_REST: Duration = Duration::from_millis(200);
/// Between two looks for vectors of another model, once there was nothing to do.
const UPKEEP: Duration = Duration::from_mins(1);
/// How long a document waits whose models could not be made.
const MODELS_BACKOFF: Duration = Duration::from_secs(30);

/// Reads documents one after another. As many run as are to be read at once.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) store: Arc<Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) models: Arc<ModelSet>,
    pub(super) documents: Arc<dyn DocumentReader>,
    pub(super) vector_index: Option<Arc<dyn VectorIndex>>,
    pub(super) hints: Arc<Notify>,
}

impl Reading {
    /// Reads until `stop`; a document under way is handed back then.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let mut next_upkeep = Instant::now();
        while !stop.is_cancelled() {
            match self.read_next(stop).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(failure) => tracing::warn!(%failure, "documents cannot be read now; trying again"),
            }
            if Instant::now() >= next_upkeep && !self.keep_up(stop).await {
                next_upkeep = Instant::now() + UPKEEP;
            }
            let wait = next_upkeep.saturating_duration_since(Instant::now()).min(POLL);
            tokio::select! {
                () = stop.cancelled() => {}
                () = async { sleep(LEAST_REST).await; self.hints.notified().await } => {}
                () = sleep(wait.max(LEAST_REST)) => {}
            }
        }
    }

    /// Reads one document; false if none waits.
    async fn read_next(&self, stop: &CancellationToken) -> Result<bool, Failure> {
        let claimed = self
            .store
            .with_system(async move |tx: &mut SystemTx| ingestion::claim_next(tx, LEASE).await)
            .await?;
        let Some(claim) = claimed else { return Ok(false) };
        let services = match self.services(stop).await {
            Ok(services) => services,
            Err(failure) => {
                self.put_back(&claim).await;
                return Err(failure);
            }
        };
        let document = &claim.document;
        let span = tracing::info_span!(
            "document",
            document_id = %document.id,
            course_id = %document.course_id,
            organization_id = %document.organization_id,
        );
        let outcome = Box::pin(ingest(&services, &claim, stop))
            .instrument(span.clone())
            .await;
        span.in_scope(|| match outcome {
            Ok(IngestOutcome::Processed { chunks, embedded, .. }) => {
                tracing::info!(chunks, embedded, "the document is read");
            }
            Ok(IngestOutcome::Failed { code, .. }) => tracing::warn!(code, "the document cannot be read"),
            Ok(IngestOutcome::Postponed { reason, .. }) => {
                tracing::warn!(reason, "the document is read later");
            }
            Ok(IngestOutcome::Lost) => tracing::info!("the document is somebody else's now, or gone"),
            Err(error) if stop.is_cancelled() => tracing::debug!(%error, "the document is handed back"),
            Err(error) => tracing::warn!(%error, "the document is read later"),
        });
        Ok(true)
    }

    /// Embeds a batch of what an earlier model has embedded; false if there is nothing to do.
    async fn keep_up(&self, stop: &CancellationToken) -> bool {
        // A model is not fetched for this alone.
        if !self.models.has_search() {
            return false;
        }
        let services = match self.services(stop).await {
            Ok(services) => services,
            Err(failure) => {
                tracing::debug!(%failure, "vectors cannot be brought up to date");
                return false;
            }
        };
        match Box::pin(reembed_next(&services, stop)).await {
            Ok(embedded) => embedded > 0,
            Err(error) => {
                tracing::warn!(%error, "vectors could not be brought up to date");
                false
            }
        }
    }

    async fn services(&self, stop: &CancellationToken) -> Result<Services, Failure> {
        Ok(Services {
            store: Arc::clone(&self.store),
            models: self.models.get_for_search(stop).await?.clone(),
            clock: Arc::clone(&self.clock),
            observer: Arc::new(Unwatched),
            documents: Arc::clone(&self.documents),
            vector_index: self.vector_index.clone(),
        })
    }

    /// Hands a document back that could not be begun.
    async fn put_back(&self, claim: &Claim) {
        let own = claim.clone();
        let released: Result<(), StoreError> = self
            .store
            .with_system(async move |tx: &mut SystemTx| ingestion::release(tx, &own, MODELS_BACKOFF).await)
            .await;
        if let Err(error) = released {
            // Its lease runs out by itself.
            tracing::warn!(%error, "a document could not be handed back");
        }
    }
}
