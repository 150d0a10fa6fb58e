//! What every request and every task of the running program shares.

mod capacity;
pub(crate) mod estimates;
pub(crate) mod progress;
mod tiers;

use std::sync::{Arc, OnceLock};

use domain::clock::Clock;
use llm::gateway::Models;
use llm::vector_index::VectorIndex;
use pipeline::event::Unwatched;
use pipeline::ingest::DocumentReader;
use pipeline::{Pipeline, Services};
use store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::extraction::document_reader;
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::upload::{Uploads, open_blobs};
use crate::wiring::vector_index;
use crate::worker::ModelSet;
use capacity::CapacityCache;
use estimates::Estimates;
use progress::ProgressHub;
use tiers::TierCache;

/// The bytes of all bodies that are read or worked on at once in one process: 32 of the usual length.
const BODY_ROOM_BYTES: usize = 64 << 20;

/// The parts of a running service. One a process, shared by API, pages and tasks.
#[derive(Debug)]
pub(crate) struct Service {
    /// The database.
    pub(crate) store: Arc<Store>,
    /// What is configured.
    pub(crate) config: Arc<Config>,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Says who calls.
    pub(crate) auth: Authenticator,
    /// Takes files in.
    pub(crate) uploads: Uploads,
    /// Reads documents.
    pub(crate) documents: Arc<dyn DocumentReader>,
    /// A second index of documents, where one is configured.
    pub(crate) vector_index: Option<Arc<dyn VectorIndex>>,
    /// The models of this process, for questions to documents; a worker in it has the same.
    models: OnceLock<Arc<ModelSet>>,
    /// The limits of tiers.
    pub(crate) tiers: TierCache,
    /// What the workers can do at once.
    pub(crate) capacity: CapacityCache,
    /// How long stages take.
    pub(crate) estimates: Estimates,
    /// Who waits for the progress of which course.
    pub(crate) progress: Arc<ProgressHub>,
    /// The bytes that bodies in flight may still take.
    pub(crate) body_room: Arc<Semaphore>,
    /// Figures for Prometheus.
    pub(crate) metrics: Arc<Metrics>,
    /// Tasks that outlive a request; awaited at the end of the process.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the process is to end: streams close, tasks stop.
    pub(crate) shutdown: CancellationToken,
}

impl Service {
    /// Puts the parts together and starts what runs beside the requests.
    ///
    /// # Errors
    /// [`Failure`] if a setting is wrong, a folder cannot be used, or the database refuses.
    pub(crate) async fn start(
        store: Arc<Store>,
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Failure> {
        let tasks = TaskTracker::new();
        let blobs = open_blobs(&config)?;
        let service = Arc::new(Self {
            auth: Authenticator::start(&config, Arc::clone(&store), Arc::clone(&clock)).await?,
            uploads: Uploads::new(
                &config,
                Arc::clone(&store),
                Arc::clone(&blobs),
                Arc::clone(&clock),
                tasks.clone(),
            )?,
            documents: document_reader(&config, blobs),
            vector_index: vector_index(&config)?,
            models: OnceLock::new(),
            tiers: TierCache::default(),
            capacity: CapacityCache::default(),
            estimates: Estimates::default(),
            progress: Arc::default(),
            body_room: Arc::new(Semaphore::new(BODY_ROOM_BYTES)),
            metrics: Metrics::new(),
            store,
            config,
            clock,
            tasks,
            shutdown: CancellationToken::new(),
        });
        service.tasks.spawn(progress::listen(Arc::clone(&service)));
        Ok(service)
    }

    /// From now on these models answer questions to documents. The first call counts.
    pub(crate) fn use_models(&self, models: Arc<ModelSet>) {
        if self.models.set(models).is_err() {
            tracing::warn!("the models of this process were named twice");
        }
    }

    /// What finds and answers in documents. The first caller makes the models.
    ///
    /// # Errors
    /// [`Failure`] if this process has none, or they cannot be made.
    pub(crate) async fn pipeline(&self, stop: &CancellationToken) -> Result<Pipeline, Failure> {
        self.pipeline_of(self.models()?.get(stop).await?)
    }

    /// What finds in documents: no language model is fetched for it.
    ///
    /// # Errors
    /// As [`Service::pipeline`].
    pub(crate) async fn pipeline_for_search(&self, stop: &CancellationToken) -> Result<Pipeline, Failure> {
        self.pipeline_of(self.models()?.get_for_search(stop).await?)
    }

    fn models(&self) -> Result<&ModelSet, Failure> {
        let models = self.models.get().map(|models| &**models);
        models.ok_or_else(|| Failure::setup("this process has no models"))
    }

    fn pipeline_of(&self, models: &Models) -> Result<Pipeline, Failure> {
        Ok(Pipeline::new(Services {
            store: Arc::clone(&self.store),
            models: models.clone(),
            clock: Arc::clone(&self.clock),
            observer: Arc::new(Unwatched),
            documents: Arc::clone(&self.documents),
            vector_index: self.vector_index.clone(),
        })?)
    }
}
