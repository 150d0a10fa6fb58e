//! The worker of a service: claims the jobs of everybody, many at once, for as long as the process lives.
//!
//! Nothing that the database does ends the loop: what fails is said and tried again after a wait.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::Clock;
use domain::stage::Stage;
use llm::vector_index::VectorIndex;
use pipeline::error::PipelineError;
use pipeline::ingest::DocumentReader;
use pipeline::{JobOutcome, Pipeline, Services};
use serde_json::json;
use store::Store;
use store::error::StoreError;
use store::generation::Failure as GenerationFailure;
use store::generation::lifecycle::retry_or_fail;
use store::hint::Channel;
use store::metric::{Event, NewMetric, Severity, insert_metric};
use store::queue::{self, ClaimedJob, Rescued};
use store::tx::SystemTx;
use store::worker::{self, WorkerIdentity};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::context::{self, JobContext};
use super::documents::Reading;
use super::leases::{Holding, Leases};
use super::models::{ModelSet, of_generation};
use super::watch::{Gate, JobWatch};
use crate::config::WorkerSettings;
use crate::failure::Failure;
use crate::metrics::Metrics;

/// How long an idle worker waits at most before it looks again: a hint may be lost.
const POLL: Duration = Duration::from_secs(2);
/// The shortest wait for a job that is due soon.
const LEAST_WAIT: Duration = Duration::from_millis(20);
/// Between two looks for jobs of dead workers (service 4.5: taken over within 60 s).
const SWEEP: Duration = Duration::from_secs(5);
/// After an interruption of the database, other workers have this long to renew their leases.
const SWEEP_AFTER: Duration = Duration::from_secs(3);
/// Waits after failures of the database: doubled from the first to the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LAST_BACKOFF: Duration = Duration::from_secs(5);
/// How long a process waits after its models could not be made.
const MODELS_BACKOFF: Duration = Duration::from_secs(30);

// A shutdown takes at most 25 s in all (service 4.5).
/// How long calls of models that are under way may take to end.
const DRAIN: Duration = Duration::from_secs(15);
/// How long an answer may take from the model to its checkpoint.
const SETTLE: Duration = Duration::from_millis(500);
/// How long stopped jobs may take to put their work away.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How long the database may take to hand the jobs back.
const UNREGISTER_PATIENCE: Duration = Duration::from_secs(3);

/// What a worker works with.
#[derive(Debug)]
pub(crate) struct WorkerParts {
    /// The database.
    pub(crate) store: Arc<Store>,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Figures for Prometheus.
    pub(crate) metrics: Arc<Metrics>,
    /// How much it does at once.
    pub(crate) settings: WorkerSettings,
    /// The models.
    pub(crate) models: Arc<ModelSet>,
    /// What stands before the models.
    pub(crate) gate: Arc<Gate>,
    /// Reads documents.
    pub(crate) documents: Arc<dyn DocumentReader>,
    /// A second index of documents, where one is configured.
    pub(crate) vector_index: Option<Arc<dyn VectorIndex>>,
}

/// Works on the whole queue.
#[derive(Debug)]
pub(crate) struct QueueWorker {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    settings: WorkerSettings,
    models: Arc<ModelSet>,
    gate: Arc<Gate>,
    documents: Arc<dyn DocumentReader>,
    vector_index: Option<Arc<dyn VectorIndex>>,
    identity: WorkerIdentity,
    leases: Arc<Leases>,
    hints: Arc<Notify>,
    document_hints: Arc<Notify>,
}

impl QueueWorker {
    /// A worker of this process.
    pub(crate) fn new(parts: WorkerParts) -> Arc<Self> {
        Arc::new(Self {
            store: parts.store,
            clock: parts.clock,
            metrics: parts.metrics,
            settings: parts.settings,
            models: parts.models,
            gate: parts.gate,
            documents: parts.documents,
            vector_index: parts.vector_index,
            identity: WorkerIdentity::of_this_process(),
            leases: Arc::default(),
            hints: Arc::default(),
            document_hints: Arc::default(),
        })
    }

    /// The models that are asked first, for the start-up lines.
    pub(crate) fn model_names(&self) -> Vec<String> {
        self.models.names()
    }

    /// Works until `shutdown`; then claims nothing more, lets calls of models end, stops the jobs and hands them back,
    /// all within 25 s.
    pub(crate) async fn run_all(self: Arc<Self>, shutdown: &CancellationToken) {
        if !self.register(shutdown).await {
            return;
        }
        let mut helpers = self.helpers();
        let mut readers = self.readers(shutdown);
        let mut jobs = JoinSet::new();
        self.work(&mut jobs, shutdown).await;
        self.drain(&mut jobs).await;
        if timeout(STOP_PATIENCE, all_ended(&mut readers)).await.is_err() {
            tracing::warn!("a document was not handed back in time; its lease runs out");
            readers.shutdown().await;
        }
        helpers.shutdown().await;
        self.unregister().await;
    }

    /// Makes the worker known; false if the shutdown came first.
    async fn register(&self, shutdown: &CancellationToken) -> bool {
        let capacity = u32::try_from(self.settings.concurrency).unwrap_or(u32::MAX);
        let mut backoff = Backoff::default();
        loop {
            let identity = self.identity.clone();
            let registered = self
                .store
                .with_system(async move |tx: &mut SystemTx| worker::register(tx, &identity, capacity).await)
                .await;
            match registered {
                Ok(()) => {
                    let (worker_id, concurrency) = (self.identity.id, self.settings.concurrency);
                    tracing::info!(%worker_id, concurrency, "the worker is ready");
                    return true;
                }
                Err(error) => tracing::warn!(%error, "the worker cannot register yet"),
            }
            tokio::select! {
                () = backoff.wait() => {}
                () = shutdown.cancelled() => return false,
            }
        }
    }

    /// What goes on beside the jobs: signs of life, hints, the search for orphans.
    fn helpers(self: &Arc<Self>) -> JoinSet<()> {
        let mut helpers = JoinSet::new();
        let own = Arc::clone(self);
        helpers.spawn(async move {
            let lease = own.settings.lease();
            own.leases.keep(&own.store, own.identity.id, lease).await;
        });
        let own = Arc::clone(self);
        helpers.spawn(async move { own.listen().await });
        let own = Arc::clone(self);
        helpers.spawn(async move { own.sweep().await });
        helpers
    }

    /// What reads documents beside the jobs.
    fn readers(&self, shutdown: &CancellationToken) -> JoinSet<()> {
        let mut readers = JoinSet::new();
        for _ in 0..self.settings.documents {
            let reading = Reading {
                store: Arc::clone(&self.store),
                clock: Arc::clone(&self.clock),
                models: Arc::clone(&self.models),
                documents: Arc::clone(&self.documents),
                vector_index: self.vector_index.clone(),
                hints: Arc::clone(&self.document_hints),
            };
            let stop = shutdown.clone();
            readers.spawn(async move { reading.run(&stop).await });
        }
        readers
    }

    async fn listen(&self) {
        let mut backoff = Backoff::default();
        loop {
            match self.store.listen_for(&[Channel::Jobs]).await {
                Ok(mut listener) => {
                    while listener.hint().await.is_ok() {
                        backoff = Backoff::default();
                        self.hints.notify_one();
                        self.document_hints.notify_one();
                        self.leases.hurry.notify_one();
                    }
                }
                Err(error) => tracing::debug!(%error, "no hints can be heard; the queue is polled"),
            }
            backoff.wait().await;
        }
    }

    /// Takes over what crashed workers left: those of this machine at once, others when their leases have expired.
    async fn sweep(&self) {
        loop {
            sleep(SWEEP).await;
            if !self.leases.healthy_for(SWEEP_AFTER) {
                continue;
            }
            match self.rescue().await {
                Ok(rescued) if rescued.is_empty() => {}
                Ok(rescued) => {
                    for Rescued { job_id, is_dead, .. } in &rescued {
                        tracing::warn!(%job_id, is_dead, "took a job over from a worker that is gone");
                        self.metrics.event(if *is_dead {
                            "retry_exhausted"
                        } else {
                            "orphaned_job_recovery"
                        });
                    }
                    self.hints.notify_one();
                }
                Err(error) => tracing::warn!(%error, "jobs of dead workers could not be looked for"),
            }
        }
    }

    async fn rescue(&self) -> Result<Vec<Rescued>, StoreError> {
        let identity = self.identity.clone();
        let mut rescued = self
            .store
            .with_system(async move |tx: &mut SystemTx| {
                worker::rescue_from_dead_neighbours(tx, &identity).await
            })
            .await?;
        let expired = self
            .store
            .with_system(async move |tx: &mut SystemTx| queue::rescue_expired(tx).await)
            .await?;
        rescued.extend(expired);
        Ok(rescued)
    }

    async fn work(self: &Arc<Self>, jobs: &mut JoinSet<()>, shutdown: &CancellationToken) {
        let mut backoff = Backoff::default();
        while !shutdown.is_cancelled() {
            let wait = match self.fill(jobs, shutdown).await {
                Ok(wait) => {
                    backoff = Backoff::default();
                    wait
                }
                Err(error) => {
                    tracing::warn!(%error, "no job can be claimed; trying again");
                    backoff.next()
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                Some(ended) = jobs.join_next(), if !jobs.is_empty() => {
                    if let Err(error) = ended {
                        // Its lease runs out, which costs it an attempt.
                        tracing::error!(%error, "a job broke down");
                    }
                }
                () = self.hints.notified(), if jobs.len() < self.settings.concurrency => {}
                () = sleep(wait) => {}
            }
            self.metrics.running_jobs(jobs.len());
        }
    }

    /// Claims as many jobs as there is room for. Returns how long to wait for the next.
    async fn fill(
        self: &Arc<Self>,
        jobs: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) -> Result<Duration, StoreError> {
        while jobs.len() < self.settings.concurrency && !shutdown.is_cancelled() {
            if !self.models.is_ready() {
                let wait = self.next_wait().await?;
                if wait > LEAST_WAIT {
                    return Ok(wait);
                }
                // No job is held meanwhile: fetching a model may take minutes.
                if let Err(failure) = self.models.get(shutdown).await {
                    tracing::error!(%failure, "the models cannot be made; jobs wait");
                    return Ok(MODELS_BACKOFF);
                }
            }
            let (worker_id, lease) = (self.identity.id, self.settings.lease());
            let claimed = self
                .store
                .with_system(async move |tx: &mut SystemTx| queue::claim(tx, worker_id, None, lease).await)
                .await?;
            let Some(job) = claimed else {
                return self.next_wait().await;
            };
            let holding = self.leases.hold(job.lease);
            let own = Arc::clone(self);
            jobs.spawn(async move { own.run(job, holding).await });
        }
        Ok(POLL)
    }

    /// How long until the next job may be due; at most [`POLL`].
    async fn next_wait(&self) -> Result<Duration, StoreError> {
        let next = self
            .store
            .with_system(async move |tx: &mut SystemTx| queue::find_next_run_at(tx, None).await)
            .await?;
        Ok(next.map_or(POLL, |at| {
            (at - self.clock.now())
                .to_std()
                .unwrap_or_default()
                .clamp(LEAST_WAIT, POLL)
        }))
    }

    async fn run(&self, job: ClaimedJob, holding: Holding) {
        let context = match JobContext::load(&self.store, &job).await {
            Ok(context) => context,
            Err(error) => {
                tracing::warn!(%error, job_id = %job.lease.job_id, "a job's generation cannot be read");
                self.leases.give_back(job.lease);
                return;
            }
        };
        let span = context::span(&job, &context);
        Box::pin(self.run_known(&job, &context, &holding))
            .instrument(span)
            .await;
        drop(holding);
    }

    async fn run_known(&self, job: &ClaimedJob, context: &JobContext, holding: &Holding) {
        let begun = Instant::now();
        let watch = JobWatch::new(Arc::clone(&self.metrics));
        let pipeline = match self.pipeline(context, &watch).await {
            Ok(pipeline) => pipeline,
            Err(failure) => {
                tracing::error!(%failure, "the job cannot be begun");
                self.leases.give_back(job.lease);
                return;
            }
        };
        tracing::info!("the job begins");
        let outcome = tokio::select! {
            outcome = Box::pin(pipeline.run_job(job, &holding.signs.stop)) => Some(outcome),
            () = holding.signs.lost() => Some(JobOutcome::LostLease),
            silence = watch.stalled(self.settings.stall(), &self.gate) => {
                tracing::error!(silence_secs = silence.as_secs(), "the stage shows no progress and is interrupted");
                None
            }
        };
        let duration = begun.elapsed();
        let word = match outcome {
            Some(outcome) => self.ended(job, outcome, duration).await,
            None => self.interrupt(job).await,
        };
        self.metrics.stage(job.job.stage.as_str(), word, duration);
    }

    async fn pipeline(&self, context: &JobContext, watch: &Arc<JobWatch>) -> Result<Pipeline, Failure> {
        // They are made: no job was claimed before.
        let models = self.models.get(&CancellationToken::new()).await?;
        let services = Services {
            store: Arc::clone(&self.store),
            models: of_generation(models, &context.options),
            clock: Arc::clone(&self.clock),
            observer: Arc::clone(watch) as _,
            documents: Arc::clone(&self.documents),
            vector_index: self.vector_index.clone(),
        };
        Ok(Pipeline::new(services)?)
    }

    /// Says how a job ended; the word is for figures.
    async fn ended(&self, job: &ClaimedJob, outcome: JobOutcome, duration: Duration) -> &'static str {
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        match outcome {
            JobOutcome::Finished { next } => {
                let next = next.map(Stage::as_str);
                tracing::info!(duration_ms, next, "the job is done");
                if job.job.stage == Stage::Finalization {
                    self.note_quality(job).await;
                }
                "finished"
            }
            JobOutcome::Retrying(error) => {
                tracing::warn!(duration_ms, %error, "the job is tried again");
                "retrying"
            }
            JobOutcome::Failed(PipelineError::Store(error)) => {
                tracing::warn!(duration_ms, %error, "the job's end could not be written");
                self.leases.give_back(job.lease);
                "database"
            }
            JobOutcome::Failed(error) => {
                tracing::error!(duration_ms, code = error.code(), %error, "the generation has failed");
                "failed"
            }
            JobOutcome::Cancelled => {
                tracing::info!(duration_ms, "the generation is cancelled");
                "cancelled"
            }
            JobOutcome::Released => {
                tracing::info!(duration_ms, "the job is handed back");
                "released"
            }
            JobOutcome::LostLease => {
                tracing::warn!(duration_ms, "another worker has the job now");
                "lost"
            }
        }
    }

    /// Ends a job that hangs: it is tried again, or its generation fails after the last attempt.
    async fn interrupt(&self, job: &ClaimedJob) -> &'static str {
        let claimed = *job;
        let written = self
            .store
            .with_system(async move |tx: &mut SystemTx| {
                let metric = NewMetric {
                    user_id: Some(claimed.user_id),
                    organization_id: Some(claimed.organization_id),
                    course_id: Some(claimed.job.course_id),
                    job_id: Some(claimed.lease.job_id),
                    metadata: json!({"stage": claimed.job.stage, "attempt": claimed.lease.attempt}),
                    ..NewMetric::new(Event::WorkerTimeout, Severity::Error)
                };
                insert_metric(tx, &metric).await?;
                let failure = GenerationFailure {
                    code: "WORKER_TIMEOUT".to_owned(),
                    message: format!("the {} stage showed no progress", claimed.job.stage.as_str()),
                    details: None,
                };
                retry_or_fail(tx, &claimed.lease, &claimed.job, &failure).await
            })
            .await;
        self.metrics.event("worker_timeout");
        match written {
            Ok(_) | Err(StoreError::LostLease(_)) => {}
            Err(error) => {
                tracing::warn!(%error, "the interruption could not be written");
                self.leases.give_back(job.lease);
            }
        }
        "timeout"
    }

    async fn note_quality(&self, job: &ClaimedJob) {
        let id = job.job.course_id;
        let course = self
            .store
            .with_system(async move |tx: &mut SystemTx| store::course::get_course(tx, id).await)
            .await;
        // A figure more or less: not worth a retry or a word.
        if let Ok(course) = course
            && let Some(scores) = course.quality.and_then(|report| report.scores)
        {
            self.metrics.quality(scores.overall);
        }
    }

    /// The end of a graceful shutdown, up to the jobs.
    async fn drain(&self, jobs: &mut JoinSet<()>) {
        if jobs.is_empty() {
            return;
        }
        tracing::info!(
            jobs = jobs.len(),
            "shutting down: calls of models may end, no new one begins"
        );
        self.gate.close();
        tokio::select! {
            () = async { self.gate.until_idle().await; sleep(SETTLE).await } => {}
            () = sleep(DRAIN) => {}
            () = all_ended(jobs) => return,
        }
        self.leases.stop_all();
        if timeout(STOP_PATIENCE, all_ended(jobs)).await.is_err() {
            tracing::warn!(
                jobs = jobs.len(),
                "jobs did not stop in time; they are left as after a crash"
            );
            jobs.shutdown().await;
        }
    }

    async fn unregister(&self) {
        let id = self.identity.id;
        let unregistered = self
            .store
            .with_system(async move |tx: &mut SystemTx| worker::unregister(tx, id).await);
        match timeout(UNREGISTER_PATIENCE, unregistered).await {
            Ok(Ok(())) => tracing::info!("the worker has handed everything back"),
            Ok(Err(error)) => tracing::warn!(%error, "the worker could not hand its jobs back"),
            Err(_) => tracing::warn!("the worker could not hand its jobs back in time"),
        }
    }
}

async fn all_ended(jobs: &mut JoinSet<()>) {
    while jobs.join_next().await.is_some() {}
}

/// Waits that grow with every failure in a row.
#[derive(Debug)]
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST_BACKOFF)
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(LAST_BACKOFF);
        wait
    }

    async fn wait(&mut self) {
        sleep(self.next()).await;
    }
}

/// Reads how the queue stands into the figures, for whoever is about to read them.
pub(crate) async fn refresh_queue_figures(store: &Store, metrics: &Metrics) {
    let read = store
        .with_system(async move |tx: &mut SystemTx| worker::queue_figures(tx).await)
        .await;
    match read {
        Ok(figures) => {
            let counts: Vec<_> = figures
                .counts
                .iter()
                .map(|count| (count.state.as_str(), count.priority, count.count))
                .collect();
            metrics.queue(&counts, figures.oldest_waiting);
        }
        Err(error) => tracing::warn!(%error, "the queue's figures cannot be read"),
    }
}
