//! The worker loop: claim a job, keep its lease, run it, go on; stop when told to.
//!
//! `create` and `resume` run it in process for one generation; `serve` and `worker` run [`QueueWorker`] for everybody's.

mod context;
mod documents;
mod everybody;
mod leases;
mod models;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::clock::Clock;
use domain::id::GenerationId;
use llm::error::ProviderError;
use llm::gateway::CallError;
use pipeline::error::PipelineError;
use pipeline::event::{Event, Observer};
use pipeline::{JobOutcome, Pipeline, Services};
use store::Store;
use store::error::StoreError;
use store::generation::lifecycle::LEASE;
use store::queue::{self, ClaimedJob, Rescued};
use store::worker::{self, WorkerIdentity};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
pub(crate) use everybody::{QueueWorker, WorkerParts, refresh_queue_figures};
pub(crate) use models::ModelSet;
pub(crate) use watch::Gate;

/// Between two signs of life. Each also asks whether the job was cancelled, which must be noticed within 2 s
/// (generation 3.1).
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long an idle worker waits at most before it looks again: a hint may be lost.
const POLL: Duration = Duration::from_secs(2);
/// How long a job may take to put its work away at a shutdown; then it is left as after a crash, which costs the
/// calls in flight.
const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(1700);
/// How long the database may take to hand the jobs back.
const UNREGISTER_PATIENCE: Duration = Duration::from_millis(250);

/// How the work on one generation ended.
#[derive(Debug)]
pub(crate) enum WorkEnd {
    /// Every job is done: the course is complete, or rests until somebody approves the structure.
    Done,
    /// A stage failed for good; the generation is marked as failed.
    Failed(PipelineError),
    /// Somebody cancelled the generation.
    Cancelled,
    /// The shutdown came first; the job was handed back.
    Interrupted,
    /// Another worker has the job now.
    TakenOver,
}

/// Works on the queue.
#[derive(Debug)]
pub(crate) struct Worker {
    store: Arc<Store>,
    pipeline: Pipeline,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    identity: WorkerIdentity,
}

impl Worker {
    /// A worker of this process.
    ///
    /// # Errors
    /// [`Failure`] only if the program was built with broken prompts.
    pub(crate) fn new(services: Services) -> Result<Self, Failure> {
        Ok(Self {
            store: Arc::clone(&services.store),
            clock: Arc::clone(&services.clock),
            observer: Arc::clone(&services.observer),
            pipeline: Pipeline::new(services)?,
            identity: WorkerIdentity::of_this_process(),
        })
    }

    /// Runs one generation to its end.
    ///
    /// # Errors
    /// [`StoreError`] if the queue cannot be read or written.
    pub(crate) async fn run_generation(
        &self,
        generation_id: GenerationId,
        shutdown: &CancellationToken,
    ) -> Result<WorkEnd, StoreError> {
        self.store
            .with_system(async |tx| worker::register(tx, &self.identity, 1).await)
            .await?;
        let end = self.work_off(generation_id, shutdown).await;
        let id = self.identity.id;
        let unregistered = self
            .store
            .with_system(async |tx| worker::unregister(tx, id).await);
        match timeout(UNREGISTER_PATIENCE, unregistered).await {
            Ok(Ok(())) => {}
            // The lease runs out by itself, and the next program on this machine notices at once that this one is gone.
            Ok(Err(error)) => tracing::warn!(%error, "the worker could not hand its jobs back"),
            Err(_) => tracing::warn!("the worker could not hand its jobs back in time"),
        }
        end
    }

    async fn work_off(
        &self,
        generation_id: GenerationId,
        shutdown: &CancellationToken,
    ) -> Result<WorkEnd, StoreError> {
        self.rescue().await?;
        let mut has_finished_a_job = false;
        while !shutdown.is_cancelled() {
            let id = self.identity.id;
            let claimed = self
                .store
                .with_system(async |tx| queue::claim(tx, id, Some(generation_id), LEASE).await)
                .await?;
            let Some(job) = claimed else {
                let next = self
                    .store
                    .with_system(async |tx| queue::find_next_run_at(tx, Some(generation_id)).await);
                match next.await? {
                    Some(at) => self.wait_until(at, shutdown).await,
                    None => return Ok(WorkEnd::Done),
                }
                continue;
            };
            match self.run(&job, shutdown).await {
                JobOutcome::Finished { next: Some(_) } => has_finished_a_job = true,
                // What comes next is asked of the queue: a paused generation has nothing.
                JobOutcome::Finished { next: None } => return Ok(WorkEnd::Done),
                // An address where nobody ever answered is told at once; the job waits for `resume`.
                JobOutcome::Retrying(error) if !has_finished_a_job && is_unreachable(&error) => {
                    return Ok(WorkEnd::Failed(error));
                }
                JobOutcome::Retrying(error) => {
                    let message = format!("{error}; the stage is tried again");
                    self.observer.on_event(Event::Notice { message });
                }
                JobOutcome::Failed(error) => return Ok(WorkEnd::Failed(error)),
                JobOutcome::Cancelled => return Ok(WorkEnd::Cancelled),
                JobOutcome::Released => {
                    tracing::info!(job_id = %job.lease.job_id, "handed back");
                }
                JobOutcome::LostLease => return Ok(WorkEnd::TakenOver),
            }
        }
        Ok(WorkEnd::Interrupted)
    }

    /// Takes over what crashed workers left: at once those of this machine, others when their leases have expired.
    async fn rescue(&self) -> Result<(), StoreError> {
        let neighbours = self
            .store
            .with_system(async |tx| worker::rescue_from_dead_neighbours(tx, &self.identity).await)
            .await?;
        let expired = self
            .store
            .with_system(async |tx| queue::rescue_expired(tx).await)
            .await?;
        for Rescued { job_id, is_dead, .. } in neighbours.into_iter().chain(expired) {
            tracing::warn!(%job_id, is_dead, "took a job over from a worker that is gone");
        }
        Ok(())
    }

    async fn wait_until(&self, at: DateTime<Utc>, shutdown: &CancellationToken) {
        let wait = (at - self.clock.now())
            .to_std()
            .unwrap_or_default()
            .clamp(Duration::from_millis(20), POLL);
        tokio::select! {
            () = sleep(wait) => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// Runs one job while its lease is kept. A cancelled generation or a lost lease stops it, and so does the
    /// shutdown; after [`SHUTDOWN_PATIENCE`] the job is no longer waited for.
    async fn run(&self, job: &ClaimedJob, shutdown: &CancellationToken) -> JobOutcome {
        let stop = shutdown.child_token();
        let abandoned = async {
            shutdown.cancelled().await;
            sleep(SHUTDOWN_PATIENCE).await;
        };
        tokio::select! {
            outcome = Box::pin(self.pipeline.run_job(job, &stop)) => outcome,
            () = self.keep_lease(job, &stop) => JobOutcome::LostLease,
            () = abandoned => JobOutcome::Released,
        }
    }

    /// Gives signs of life. Returns only when the lease is lost; a cancelled generation cancels `stop`.
    async fn keep_lease(&self, job: &ClaimedJob, stop: &CancellationToken) {
        let mut beats = interval(HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let beat = self
                .store
                .with_system(async |tx| queue::heartbeat(tx, &job.lease, LEASE).await)
                .await;
            match beat {
                Ok(false) => {}
                Ok(true) => stop.cancel(),
                Err(StoreError::LostLease(_)) => {
                    // The job itself also ends its work by a lost lease when it has just finished: let it speak first.
                    stop.cancel();
                    sleep(HEARTBEAT).await;
                    return;
                }
                // The lease outlives some missed beats; the job's own writes will tell.
                Err(error) => tracing::warn!(%error, "no sign of life could be given"),
            }
        }
    }
}

fn is_unreachable(error: &PipelineError) -> bool {
    let cause = match error {
        PipelineError::Embedding(cause) => cause,
        PipelineError::Call { cause, .. } => match &**cause {
            CallError::Exhausted { cause, .. } => cause,
            _ => return false,
        },
        _ => return false,
    };
    matches!(cause, ProviderError::Connect { .. })
}
