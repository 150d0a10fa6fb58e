//! The course of a generation: start, stages, end, and going on after an end.
//!
//! Every function changes the result, the state machine, the progress and the queue together, in the caller's
//! transaction: there is no moment at which a crash loses a course or runs a stage twice (generation 3.1).

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::analysis::AnalysisResult;
use domain::generation::{
    GenerationMetadata, GenerationProgress, GenerationScope, GenerationStatus, StepStatus,
};
use domain::id::{CourseId, GenerationId, JobId};
use domain::job::StageJob;
use domain::quality::QualityReport;
use domain::stage::Stage;
use domain::structure::CourseStructure;
use domain::usage::MicroUsd;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::progress::{ProgressUpdate, advance, update_progress};
use super::{Failure, Generation, get_own, limits, regeneration, start};
use crate::course;
use crate::error::StoreError;
use crate::hint::Hint;
use crate::json::{from_word, to_json, to_text};
use crate::lesson;
use crate::metric::{self, Event, NewMetric, Severity};
use crate::organization;
use crate::queue::{self, JobEnd, Lease};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, TenantTx, Tx};

statements! {
    LOCK_USER = "select id from users where id = $1 for no key update";
    REVIVE_GENERATION = "update courses set generation_status = 'pending' where id = $1";
    CLEAR_END = "update generations set cancel_requested = false, error_code = null, error_message = null,
            error_details = null where id = $1";
    BEGIN_ROUND = "update generations set round = round + 1 where id = $1";
    REOPEN_STEPS = "update courses set generation_progress = jsonb_set(jsonb_set(generation_progress,
            '{steps,3}', generation_progress #> '{steps,3}' || '{\"status\": \"in_progress\", \"completed_at\": null}'),
            '{steps,4}', generation_progress #> '{steps,4}' || '{\"status\": \"pending\", \"started_at\": null, \"completed_at\": null}')
            || jsonb_build_object('current_step', 4, 'percentage', app.step_percentage(4, 'in_progress', '{}'))
        where id = $1";
    FIND_ACTIVE_JOB = "select id, stage, state from jobs where generation_id = $1 and state in ('pending', 'running')";
    FIND_LAST_STAGE = "select stage from jobs where generation_id = $1 and state <> 'succeeded'
        order by created_at desc, id desc limit 1";
    REFRESH_JOB = "update jobs set max_attempts = attempt + 3, cancel_requested = false,
            run_at = case when state = 'pending' then now() else run_at end where id = $1";
    GET_CURRENT = "select current_generation_id, (generation_progress ->> 'has_documents')::boolean from courses
        where id = $1 for update";
    SET_ERROR = "update generations set error_code = $2, error_message = $3, error_details = $4 where id = $1";
    GET_PRIORITY_OF_JOB = "select priority from jobs where id = $1";
}

/// A generation to start.
#[derive(Clone, Debug, PartialEq)]
pub struct NewGeneration {
    /// The course.
    pub course_id: CourseId,
    /// The most that may be spent.
    pub budget: MicroUsd,
    /// What makes its random choices repeatable.
    pub seed: u64,
    /// Options of the run, as an object; `scope` is added to it. Its `request_hash` says what the idempotency key was
    /// sent with.
    pub options: Value,
    /// What is made anew.
    pub scope: GenerationScope,
    /// How many generations of one user may be active at once; `None`: any number.
    pub user_limit: Option<u32>,
    /// How many generations may be active in the installation; `None`: any number, and this one is not counted.
    pub global_limit: Option<u32>,
    /// A second start with the same key gives the first one's answer.
    pub idempotency_key: Option<String>,
    /// An address that hears of its end, at most 2000 characters.
    pub webhook_url: Option<String>,
}

/// How many generations may be active at once. What limits a start also limits a retry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GenerationLimits {
    /// Of one user; `None`: any number.
    pub user: Option<u32>,
    /// In the installation; `None`: any number, and this one is not counted.
    pub global: Option<u32>,
}

/// A generation that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartedGeneration {
    /// The generation.
    pub generation_id: GenerationId,
    /// Its first job.
    pub job_id: JobId,
    /// The stage of that job.
    pub stage: Stage,
    /// False: the answer of an earlier start with the same idempotency key.
    pub is_new: bool,
}

/// Starts a generation of the actor's own course: limits, generation, first job and progress step 1 in one transaction
/// and, after the check that the actor may, in one statement (service 4.2). Locks are taken in the order user, course,
/// slot. Whether it begins with documents is found in the database.
///
/// # Errors
/// [`StoreError::NotFound`] if the course is invisible, [`StoreError::Forbidden`] if it is not the actor's,
/// [`StoreError::Conflict`] if a generation is active, the part to be made anew does not exist or the idempotency key
/// came with another request,
/// [`StoreError::TooManyGenerations`] at a limit.
pub async fn start_generation(
    tx: &mut TenantTx,
    new: &NewGeneration,
) -> Result<StartedGeneration, StoreError> {
    start::start(tx, new, None).await
}

/// A generation that goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct ResumedGeneration {
    /// The generation as it is now.
    pub generation: Generation,
    /// The job with which it goes on.
    pub job_id: JobId,
    /// The stage of that job.
    pub stage: Stage,
    /// Whether the job waited or ran already.
    pub was_active: bool,
}

/// Goes on with a generation of the actor: after a crash, a failure, a cancellation, an exhausted budget or a review, or
/// although it is completed where lessons are missing or need a review. It begins with the stage at which it stopped, a
/// completed one with its lessons; checkpoints are kept, so nothing that was accepted is paid for twice. After a failure,
/// and of a completed one, it is a new round: what exhausted its attempts is asked for anew. The job has fresh attempts. No
/// limit is looked at, so this is for the one person of the command line.
///
/// # Errors
/// [`StoreError::NotFound`] or [`StoreError::Forbidden`] if it is not the actor's; [`StoreError::Conflict`] if it is
/// completed with good lessons only or a newer generation has taken its place.
pub async fn resume_generation(tx: &mut TenantTx, id: GenerationId) -> Result<ResumedGeneration, StoreError> {
    resume_own(tx, id, GenerationLimits::default(), |_| true).await
}

/// Goes on with a generation of the actor that has failed or was cancelled, or is completed with lessons that are missing
/// or need a review, within the limits that hold for a start: it is active again.
///
/// # Errors
/// As [`resume_generation`]; [`StoreError::Conflict`] also if it has not ended, and
/// [`StoreError::TooManyGenerations`] at a limit.
pub async fn retry_generation(
    tx: &mut TenantTx,
    id: GenerationId,
    limits: GenerationLimits,
) -> Result<ResumedGeneration, StoreError> {
    resume_own(tx, id, limits, |status| !status.is_active()).await
}

/// Goes on with a generation of the actor whose structure waits for a look at it.
///
/// # Errors
/// As [`resume_generation`]; [`StoreError::Conflict`] also if it does not wait for that.
pub async fn approve_generation(
    tx: &mut TenantTx,
    id: GenerationId,
) -> Result<ResumedGeneration, StoreError> {
    let waits = |status| status == GenerationStatus::AwaitingReview;
    resume_own(tx, id, GenerationLimits::default(), waits).await
}

/// Whether it ended before it was completed.
pub(crate) const fn has_stopped(status: GenerationStatus) -> bool {
    matches!(status, GenerationStatus::Failed | GenerationStatus::Cancelled)
}

async fn resume_own(
    tx: &mut TenantTx,
    id: GenerationId,
    limits: GenerationLimits,
    may_go_on: fn(GenerationStatus) -> bool,
) -> Result<ResumedGeneration, StoreError> {
    let generation = get_own(tx, id).await?;
    tx.elevate().await?;
    let resumed = resume_elevated(tx, &generation, limits, may_go_on).await;
    match resumed {
        Ok(resumed) => {
            tx.restore().await?;
            Ok(resumed)
        }
        Err(refused) => {
            // After a refusal of the database itself nothing more can be done in this transaction, nor needs to.
            let _ = tx.restore().await;
            Err(refused)
        }
    }
}

/// Goes on as the program: who asked was checked. The status is looked at under the course's lock: what was read before
/// may have ended since.
pub(crate) async fn resume_elevated(
    tx: &mut TenantTx,
    generation: &Generation,
    limits: GenerationLimits,
    may_go_on: fn(GenerationStatus) -> bool,
) -> Result<ResumedGeneration, StoreError> {
    let id = generation.id;
    sqlx::query(LOCK_USER)
        .bind(generation.user_id.as_uuid())
        .execute(tx.connection())
        .await?;
    let (current, has_documents): (Option<Uuid>, Option<bool>) = sqlx::query_as(GET_CURRENT)
        .bind(generation.course_id.as_uuid())
        .fetch_one(tx.connection())
        .await?;
    if current != Some(id.as_uuid()) {
        return Err(StoreError::Conflict(format!(
            "generation {id} cannot go on: a newer generation of its course has taken its place"
        )));
    }
    // Read again under the course's lock: it may have ended since.
    let generation = super::get_generation(tx, id).await?;
    let is_completed = generation.status == GenerationStatus::Completed;
    if is_completed && !lesson::has_open(tx, generation.course_id).await? {
        return Err(StoreError::Conflict(format!("generation {id} is completed")));
    }
    if !may_go_on(generation.status) {
        return Err(StoreError::Conflict(format!(
            "generation {id} is not in a state for this: it is {}",
            generation.status.as_str()
        )));
    }
    if !generation.status.is_active() {
        limits::check(tx, &generation, limits).await?;
    }
    sqlx::query(CLEAR_END)
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    if is_completed || generation.status == GenerationStatus::Failed {
        sqlx::query(BEGIN_ROUND)
            .bind(id.as_uuid())
            .execute(tx.connection())
            .await?;
    }
    let active: Option<(Uuid, String, String)> = sqlx::query_as(FIND_ACTIVE_JOB)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    let (job_id, stage, was_active) = if let Some((job, stage, _)) = active {
        sqlx::query(REFRESH_JOB)
            .bind(job)
            .execute(tx.connection())
            .await?;
        tx.hint(Hint::Jobs);
        (JobId::from_uuid(job), from_word(stage, "stage")?, true)
    } else {
        let stage = stage_to_resume(tx, &generation, has_documents.unwrap_or(false)).await?;
        if !generation.status.is_active() {
            sqlx::query(REVIVE_GENERATION)
                .bind(generation.course_id.as_uuid())
                .execute(tx.connection())
                .await?;
        }
        if is_completed {
            sqlx::query(REOPEN_STEPS)
                .bind(generation.course_id.as_uuid())
                .execute(tx.connection())
                .await?;
        }
        let update = ProgressUpdate::new(stage.step(), StepStatus::InProgress, "Генерация продолжена");
        update_progress(tx, generation.course_id, &update).await?;
        let priority = organization::get_priority(tx, generation.user_id).await?;
        (queue::enqueue(tx, id, stage, priority).await?, stage, false)
    };
    let generation = super::get_generation(tx, id).await?;
    Ok(ResumedGeneration {
        generation,
        job_id,
        stage,
        was_active,
    })
}

async fn stage_to_resume(
    tx: &mut TenantTx,
    generation: &Generation,
    has_documents: bool,
) -> Result<Stage, StoreError> {
    if matches!(
        generation.status,
        GenerationStatus::AwaitingReview | GenerationStatus::Completed
    ) {
        return Ok(Stage::Content);
    }
    let stopped: Option<String> = sqlx::query_scalar(FIND_LAST_STAGE)
        .bind(generation.id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    match stopped {
        Some(stage) => from_word(stage, "stage"),
        None => Ok(generation.scope.first_stage(has_documents)),
    }
}

/// How far a step is; absent fields leave what was known.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProgressFacts {
    /// Sections that are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batches_completed: Option<u32>,
    /// Sections in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_batches: Option<u32>,
    /// Lesson texts that are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lessons_completed: Option<u32>,
    /// Lesson texts in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lessons_total: Option<u32>,
    /// The model at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_model: Option<String>,
    /// The latest quality score, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality_score: Option<f64>,
}

/// A worker begins with the stage: the state machine and the progress follow. Safe to repeat.
///
/// # Errors
/// [`StoreError::LostLease`] if the job is no longer this worker's.
pub async fn begin_stage(
    tx: &mut SystemTx,
    lease: &Lease,
    job: &StageJob,
    message: &str,
) -> Result<GenerationProgress, StoreError> {
    queue::fence(tx, lease).await?;
    advance(tx, job.course_id, job.stage.status()).await?;
    let update = ProgressUpdate::new(job.stage.step(), StepStatus::InProgress, message);
    update_progress(tx, job.course_id, &update).await
}

/// Reports how far the stage is.
///
/// # Errors
/// [`StoreError::LostLease`] if the job is no longer this worker's.
pub async fn report_progress(
    tx: &mut SystemTx,
    lease: &Lease,
    job: &StageJob,
    message: &str,
    facts: ProgressFacts,
) -> Result<GenerationProgress, StoreError> {
    queue::fence(tx, lease).await?;
    let update = ProgressUpdate {
        facts,
        ..ProgressUpdate::new(job.stage.step(), StepStatus::InProgress, message)
    };
    update_progress(tx, job.course_id, &update).await
}

/// What a stage has made.
#[derive(Clone, Copy, Debug)]
pub enum StageResult<'a> {
    /// It is all saved already (documents, lesson texts).
    Saved,
    /// The analysis.
    Analysis(&'a AnalysisResult),
    /// The structure; lesson texts of an earlier structure are removed, and one waiting row a lesson is made.
    Structure(&'a CourseStructure),
    /// The end: what the generation took and how good the course is.
    Completion {
        /// What it took.
        metadata: &'a GenerationMetadata,
        /// How good it is.
        report: &'a QualityReport,
    },
}

/// What follows a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// This stage is enqueued.
    Stage(Stage),
    /// The author looks at the structure; [`resume_generation`] goes on.
    Review,
    /// The generation is completed.
    End,
}

/// A stage that is done.
#[derive(Clone, Copy, Debug)]
pub struct FinishedStage<'a> {
    /// The right to its job.
    pub lease: &'a Lease,
    /// Its job.
    pub job: &'a StageJob,
    /// What it made.
    pub result: StageResult<'a>,
    /// What follows.
    pub next: NextStep,
    /// What is being done next, or that all is done, for people.
    pub message: &'a str,
}

/// Ends a stage: result saved, state moved, progress written, next job enqueued, this job finished. Returns
/// the next job.
///
/// # Errors
/// [`StoreError::LostLease`] if the job is no longer this worker's: nothing is written.
pub async fn finish_stage(
    tx: &mut SystemTx,
    finished: &FinishedStage<'_>,
) -> Result<Option<JobId>, StoreError> {
    let StageJob {
        generation_id,
        course_id,
        stage,
    } = *finished.job;
    let is_cancelled = queue::fence(tx, finished.lease).await?;
    let mut facts = ProgressFacts::default();
    match finished.result {
        StageResult::Saved => {}
        StageResult::Analysis(analysis) => course::save_analysis(tx, course_id, analysis).await?,
        StageResult::Structure(structure) => {
            facts = regeneration::save_structure(tx, finished.job, structure).await?;
        }
        StageResult::Completion { metadata, report } => {
            course::save_completion(tx, course_id, metadata, report).await?;
        }
    }
    let priority: i16 = sqlx::query_scalar(GET_PRIORITY_OF_JOB)
        .bind(finished.lease.job_id.as_uuid())
        .fetch_one(tx.connection())
        .await?;
    queue::finish(tx, finished.lease, JobEnd::Succeeded, None).await?;

    let goes_on_in_step = matches!(finished.next, NextStep::Stage(next) if next.step() == stage.step());
    if !goes_on_in_step {
        let message = finished.message;
        let update = ProgressUpdate {
            facts,
            ..ProgressUpdate::new(stage.step(), StepStatus::Completed, message)
        };
        update_progress(tx, course_id, &update).await?;
    }
    match finished.next {
        NextStep::Stage(next) => {
            advance(tx, course_id, next.status()).await?;
            let update = ProgressUpdate::new(next.step(), StepStatus::InProgress, finished.message);
            update_progress(tx, course_id, &update).await?;
            queue::enqueue(tx, generation_id, next, priority).await.map(Some)
        }
        NextStep::Review if is_cancelled => {
            set_cancelled(tx, course_id).await?;
            Ok(None)
        }
        NextStep::Review => {
            advance(tx, course_id, GenerationStatus::AwaitingReview).await?;
            Ok(None)
        }
        NextStep::End => {
            advance(tx, course_id, GenerationStatus::Completed).await?;
            Ok(None)
        }
    }
}

/// What became of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOutcome {
    /// The job waits for its next attempt until then.
    RetryAt(DateTime<Utc>),
    /// It was the last attempt: the generation has failed.
    Failed,
}

/// After an attempt that failed for a passing reason: the job is tried again later, 3 attempts in all since it last
/// made progress (service 4.5); after the last one the generation fails.
///
/// # Errors
/// [`StoreError::LostLease`] if the job is no longer this worker's.
pub async fn retry_or_fail(
    tx: &mut SystemTx,
    lease: &Lease,
    job: &StageJob,
    failure: &Failure,
) -> Result<RetryOutcome, StoreError> {
    if let Some(at) = queue::retry_later(tx, lease, &failure.message).await? {
        return Ok(RetryOutcome::RetryAt(at));
    }
    fail_generation(tx, lease, job, failure).await?;
    let generation = super::get_generation(tx, job.generation_id).await?;
    let metric = NewMetric {
        user_id: Some(generation.user_id),
        organization_id: Some(generation.organization_id),
        course_id: Some(job.course_id),
        job_id: Some(lease.job_id),
        metadata: serde_json::json!({"stage": job.stage, "code": failure.code}),
        ..NewMetric::new(Event::RetryExhausted, Severity::Error)
    };
    metric::insert_metric(tx, &metric).await?;
    Ok(RetryOutcome::Failed)
}

/// Gives the generation up. What is done is kept, so that it can go on after the cause is mended.
///
/// # Errors
/// [`StoreError::LostLease`] if the job is no longer this worker's.
pub async fn fail_generation(
    tx: &mut SystemTx,
    lease: &Lease,
    job: &StageJob,
    failure: &Failure,
) -> Result<(), StoreError> {
    queue::finish(tx, lease, JobEnd::Dead, Some(&failure.message)).await?;
    set_failed(tx, job, failure).await
}

/// Stops the generation because somebody asked to. What is done is kept.
///
/// # Errors
/// [`StoreError::LostLease`] if the job is no longer this worker's.
pub async fn cancel_generation(tx: &mut SystemTx, lease: &Lease, job: &StageJob) -> Result<(), StoreError> {
    queue::finish(tx, lease, JobEnd::Cancelled, None).await?;
    set_cancelled(tx, job.course_id).await
}

pub(crate) async fn set_failed(
    tx: &mut SystemTx,
    job: &StageJob,
    failure: &Failure,
) -> Result<(), StoreError> {
    sqlx::query(SET_ERROR)
        .bind(job.generation_id.as_uuid())
        .bind(to_text(&failure.code))
        .bind(to_text(&failure.message))
        .bind(
            failure
                .details
                .as_ref()
                .map(|details| to_json(details, "failure details"))
                .transpose()?,
        )
        .execute(tx.connection())
        .await?;
    let details = serde_json::json!({"code": failure.code, "details": failure.details});
    let update = ProgressUpdate {
        error: Some(failure.message.clone()),
        error_details: Some(details),
        ..ProgressUpdate::new(job.stage.step(), StepStatus::Failed, failure.message.clone())
    };
    update_progress(tx, job.course_id, &update).await?;
    Ok(())
}

pub(crate) async fn set_cancelled(tx: &mut impl Tx, course_id: CourseId) -> Result<(), StoreError> {
    advance(tx, course_id, GenerationStatus::Cancelled).await
}

/// How long a lease lasts without a heartbeat: a dead worker's jobs are taken over within 60 s (service 4.5).
pub const LEASE: Duration = Duration::from_secs(45);
