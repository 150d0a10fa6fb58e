//! From a course's inputs to a finished course: stages of checkpointed model calls.
//!
//! [`Pipeline::run_job`] is the one door. It runs one stage of one generation and writes its end: result, state,
//! progress and the next job in one transaction, fenced by the job's lease.

pub mod ask;
mod attempts;
pub mod capabilities;
mod context;
mod data;
mod distinct;
mod echo;
mod engine;
pub mod error;
pub mod event;
mod fallback;
mod grounding;
pub mod ingest;
mod material;
mod objectives;
mod outline;
mod prompt;
mod quality;
pub mod recall;
mod registry;
pub mod retrieval;
mod rules;
mod schema;
mod sources;
mod stages;
mod support;
mod tasks;
mod transaction;
mod vars;
mod wording;

use std::sync::Arc;
use std::time::Duration;

use domain::error::ErrorKind;
use domain::generation::failure_ru;
use domain::stage::Stage;
use llm::gateway::Models;
use store::course::get_course;
use store::error::StoreError;
use store::generation::get_spending;
use store::generation::lifecycle::{
    FinishedStage, NextStep, RetryOutcome, begin_stage, cancel_generation, fail_generation, finish_stage,
    retry_or_fail,
};
use store::generation::{Failure, get_generation, is_cancel_requested};
use store::model_capability::list_capabilities;
use store::queue::{ClaimedJob, note_cause, snooze};
use tokio_util::sync::CancellationToken;

pub use context::Services;

use context::Run;
use error::PipelineError;
use event::{Event, Observer};
use prompt::Prompts;
use transaction::in_system;

/// Runs jobs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pipeline {
    services: Services,
    prompts: Arc<Prompts>,
}

/// How a job ended.
#[derive(Debug)]
pub enum JobOutcome {
    /// The stage is done and saved; the generation goes on with `next`.
    Finished {
        /// `None`: the generation rests for review or is completed.
        next: Option<Stage>,
    },
    /// A passing failure: the job waits for its next attempt.
    Retrying(PipelineError),
    /// The generation has failed; what is done is kept.
    Failed(PipelineError),
    /// Somebody asked to cancel the generation; it is cancelled.
    Cancelled,
    /// The process stops: the job is handed back.
    Released,
    /// Another worker has the job now; nothing was written.
    LostLease,
}

impl Pipeline {
    /// A pipeline on these services.
    ///
    /// # Errors
    /// [`PipelineError::Prompt`] if a prompt file is not well formed.
    pub fn new(services: Services) -> Result<Self, PipelineError> {
        Ok(Self {
            services,
            prompts: Prompts::shared()?,
        })
    }

    /// The same pipeline with other routes to the models and another observer, as one job may need.
    #[must_use]
    pub fn with(&self, models: Models, observer: Arc<dyn Observer>) -> Self {
        Self {
            services: Services {
                models,
                observer,
                ..self.services.clone()
            },
            prompts: Arc::clone(&self.prompts),
        }
    }

    /// Runs a claimed job to its end. `cancel` stops it within moments, also in the middle of a model call: the
    /// generation is cancelled if somebody asked for that, else the job is handed back.
    pub async fn run_job(&self, claimed: &ClaimedJob, cancel: &CancellationToken) -> JobOutcome {
        let outcome = match Box::pin(self.stage(claimed, cancel)).await {
            Ok(next) => return JobOutcome::Finished { next },
            Err(error) => self.end(claimed, error).await,
        };
        match outcome {
            Ok(outcome) => outcome,
            Err(StoreError::LostLease(_)) => JobOutcome::LostLease,
            // The lease will expire and the job be rescued: nothing is lost.
            Err(error) => JobOutcome::Failed(error.into()),
        }
    }

    async fn stage(
        &self,
        claimed: &ClaimedJob,
        cancel: &CancellationToken,
    ) -> Result<Option<Stage>, PipelineError> {
        let store = &self.services.store;
        let (lease, job) = (claimed.lease, claimed.job);
        let (course, generation, spending, learnt) = in_system!(store, |tx| {
            begin_stage(tx, &lease, &job, stage_message(job.stage)).await?;
            let course = get_course(tx, job.course_id).await?;
            let generation = get_generation(tx, job.generation_id).await?;
            let spending = get_spending(tx, job.generation_id).await?;
            Ok((course, generation, spending, list_capabilities(tx).await?))
        })?;
        capabilities::adopt(&self.services.models, learnt);
        self.services
            .observer
            .on_event(Event::StageStarted { stage: job.stage });
        let run = Arc::new(Run::new(
            self.services.clone(),
            Arc::clone(&self.prompts),
            *claimed,
            course,
            generation,
            spending,
            cancel.clone(),
        ));
        let made = tokio::select! {
            biased;
            made = registry::run_stage(&run) => made?,
            () = async { cancel.cancelled().await; tokio::time::sleep(CANCEL_GRACE).await } => {
                return Err(PipelineError::Cancelled);
            }
        };
        let next = registry::next_step(&run);
        let message = match next {
            NextStep::Stage(stage) => stage_message(stage),
            NextStep::Review => "Структура готова к проверке",
            NextStep::End => "Курс готов",
        };
        let finished = FinishedStage {
            lease: &lease,
            job: &job,
            result: made.as_result(),
            next,
            message,
        };
        in_system!(store, |tx| finish_stage(tx, &finished).await)?;
        self.services
            .observer
            .on_event(Event::StageFinished { stage: job.stage });
        Ok(match next {
            NextStep::Stage(stage) => Some(stage),
            NextStep::Review | NextStep::End => None,
        })
    }

    /// Writes the end of a job that did not finish.
    async fn end(&self, claimed: &ClaimedJob, error: PipelineError) -> Result<JobOutcome, StoreError> {
        let store = &self.services.store;
        let (lease, job) = (claimed.lease, claimed.job);
        if let PipelineError::Store(cause) = &error
            && let StoreError::LostLease(job) = **cause
        {
            return Err(StoreError::LostLease(job));
        }
        if error.kind() == ErrorKind::Cancelled {
            let asked = in_system!(store, |tx| {
                let asked = is_cancel_requested(tx, job.generation_id).await?;
                if asked {
                    cancel_generation(tx, &lease, &job).await?;
                } else {
                    snooze(tx, &lease, Duration::ZERO).await?;
                }
                Ok(asked)
            })?;
            return Ok(if asked {
                JobOutcome::Cancelled
            } else {
                JobOutcome::Released
            });
        }
        let cause = with_causes(&error);
        tracing::error!(
            stage = job.stage.as_str(),
            code = error.code(),
            message = cause,
            "a stage did not finish"
        );
        // Causes name addresses and repeat providers' answers: they are for the log and for admins.
        let failure = Failure {
            code: error.code().to_owned(),
            message: error.told().map_or_else(
                || failure_ru(error.code()).to_owned(),
                |told| format!("{} {told}", failure_ru(error.code())),
            ),
            details: None,
        };
        if error.kind() == ErrorKind::Unavailable && !error.has_waited() {
            let outcome = in_system!(store, |tx| {
                let outcome = retry_or_fail(tx, &lease, &job, &failure).await?;
                note_cause(tx, lease.job_id, &cause).await?;
                Ok(outcome)
            })?;
            return Ok(match outcome {
                RetryOutcome::RetryAt(_) => JobOutcome::Retrying(error),
                RetryOutcome::Failed => JobOutcome::Failed(error),
            });
        }
        in_system!(store, |tx| {
            fail_generation(tx, &lease, &job, &failure).await?;
            note_cause(tx, lease.job_id, &cause).await
        })?;
        Ok(JobOutcome::Failed(error))
    }
}

/// How long a stage may take to stop by itself before it is dropped: cancelling takes effect within 2 s
/// (generation 3.1).
const CANCEL_GRACE: Duration = Duration::from_millis(1500);

/// What the stored progress says of a stage; the stored texts are Russian (data model 2.7).
const fn stage_message(stage: Stage) -> &'static str {
    match stage {
        Stage::DocumentProcessing => "Обработка документов",
        Stage::Analysis => "Анализ задачи",
        Stage::Structure => "Генерация структуры",
        Stage::Content => "Создание контента",
        Stage::Finalization => "Финализация",
    }
}

/// The error and its causes in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Workers run jobs in tasks of their own.
#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>(_: &T) {}

    #[test]
    fn a_job_may_move_between_threads() {
        // Never called: it must only compile.
        let _ = |pipeline: Pipeline, claimed: ClaimedJob, cancel: CancellationToken| {
            is_send(&pipeline.run_job(&claimed, &cancel));
        };
    }
}
