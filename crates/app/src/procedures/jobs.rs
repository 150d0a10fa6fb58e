//! The board of the queue.

use chrono::{DateTime, Utc};
use domain::course::{CourseInputs, WishedStrategy};
use domain::generation::{GenerationScope, GenerationStatus};
use domain::id::{CourseId, GenerationId, JobId, OrganizationId, UserId, WorkerId};
use domain::language::Language;
use domain::organization::Tier;
use domain::stage::Stage;
use domain::style::Style;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::course::get_course;
use store::generation::{Generation, get_generation};
use store::job::{self, JobFilter, JobRow, JobState, QueueRow};
use store::tier::check_tier_lasts;

use super::courses::EXAMPLE_ID;
use super::error::{ApiError, ErrorCode};
use super::generation::control::Cancelled;
use super::generation::events::write_down;
use super::generation::limits::Bounds;
use super::page::{self, Page};
use super::{Access, Call, Procedure, mutation, query};

/// The rows of this file.
pub(super) fn procedures() -> Vec<Procedure> {
    let of_job = || json!({ "id": EXAMPLE_ID });
    vec![
        query("jobs.list", Access::Admin, "List jobs, the newest first", list)
            .example(json!({ "state": "pending", "limit": 50 })),
        query(
            "jobs.queues",
            Access::Admin,
            "Count jobs by tier, stage and state: those that wait and run, and those that ended within a day",
            queues,
        )
        .example(json!({})),
        query("jobs.get", Access::Admin, "Read a job with what it works on", get)
            .fails(&[ErrorCode::NotFound])
            .example(of_job()),
        mutation("jobs.retry", Access::Admin, "Try a job again", retry)
            .fails(&[
                ErrorCode::TrialEnded,
                ErrorCode::NotFound,
                ErrorCode::Conflict,
                ErrorCode::ConcurrencyLimit,
            ])
            .example(of_job()),
        mutation(
            "jobs.cancel",
            Access::Admin,
            "Cancel a job with its generation",
            cancel,
        )
        .fails(&[ErrorCode::NotFound, ErrorCode::Conflict])
        .example(of_job()),
        mutation(
            "jobs.promote",
            Access::Admin,
            "Let a waiting job start next",
            promote,
        )
        .fails(&[ErrorCode::NotFound, ErrorCode::Conflict])
        .example(of_job()),
    ]
}

/// Which jobs are listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListInput {
    /// In this state.
    state: Option<JobState>,
    /// Of this stage.
    stage: Option<Stage>,
    /// Of this course.
    course_id: Option<CourseId>,
    /// Of this organization.
    organization_id: Option<OrganizationId>,
    /// Of organizations of this tier.
    tier: Option<Tier>,
    /// The `nextCursor` of the page before.
    cursor: Option<JobId>,
    /// Items of a page.
    #[schemars(range(min = 1, max = page::MOST))]
    limit: Option<u32>,
}

/// A job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfJob {
    /// The job.
    id: JobId,
}

/// Whose jobs are counted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct QueuesInput {
    /// Those of this organization; all that one may see, if it is not given.
    organization_id: Option<OrganizationId>,
}

/// The jobs of one tier and stage that are in one state.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JobQueue")]
struct QueueOutput {
    /// The tier of their organizations.
    tier: Tier,
    /// What they do.
    stage: Stage,
    /// Where they stand.
    state: JobState,
    /// How many there are; of ended ones, those of the last day.
    jobs: u64,
    /// Since when the first of them could have been started; null: all have to wait for their time.
    ready_since: Option<DateTime<Utc>>,
}

impl From<QueueRow> for QueueOutput {
    fn from(row: QueueRow) -> Self {
        Self {
            tier: row.tier,
            stage: row.stage,
            state: row.state,
            jobs: row.jobs,
            ready_since: row.ready_since,
        }
    }
}

/// What a job works on: what was asked for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct JobPayload {
    /// Where the generation stands.
    generation_status: GenerationStatus,
    /// What it makes: the whole course or a part anew.
    scope: GenerationScope,
    /// The most that it may cost, in dollars.
    budget_usd: f64,
    /// The title that was asked for.
    title: String,
    /// The language of the course.
    language: Language,
    /// The style of its texts.
    style: Style,
    /// For whom it is.
    target_audience: Option<String>,
    /// How many lessons were asked for.
    desired_lessons_count: Option<u32>,
    /// How many sections were asked for.
    desired_modules_count: Option<u32>,
    /// Minutes of a lesson.
    lesson_duration_minutes: Option<u32>,
    /// What learners must be able to do afterwards.
    learning_outcomes: Vec<String>,
    /// What is done with what the author brings.
    content_strategy: WishedStrategy,
    /// Whether it pauses after the structure.
    review: bool,
}

impl JobPayload {
    fn new(generation: Generation, inputs: CourseInputs) -> Self {
        Self {
            generation_status: generation.status,
            scope: generation.scope,
            budget_usd: generation.budget.as_usd(),
            title: inputs.title,
            language: inputs.language,
            style: inputs.style,
            target_audience: inputs.target_audience,
            desired_lessons_count: inputs.desired_lessons_count,
            desired_modules_count: inputs.desired_modules_count,
            lesson_duration_minutes: inputs.lesson_duration_minutes,
            learning_outcomes: inputs.learning_outcomes,
            content_strategy: inputs.content_strategy,
            review: inputs.review,
        }
    }
}

/// A job on the board.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Job")]
struct JobOutput {
    /// Its id.
    id: JobId,
    /// Its organization.
    organization_id: OrganizationId,
    /// The name of its organization.
    organization_name: String,
    /// The tier of its organization.
    tier: Tier,
    /// Who asked for it.
    user_id: UserId,
    /// Its course.
    course_id: CourseId,
    /// The title of its course.
    course_title: String,
    /// Its generation.
    generation_id: GenerationId,
    /// What it does.
    stage: Stage,
    /// Higher starts first.
    priority: i16,
    /// Where it stands.
    state: JobState,
    /// The latest attempt, from 1; 0: it never ran.
    attempt: u32,
    /// The attempt after which it is given up.
    max_attempts: u32,
    /// It does not start before.
    run_at: DateTime<Utc>,
    /// The worker that has it.
    worker_id: Option<WorkerId>,
    /// Until when the worker has it, without a sign of life.
    lease_until: Option<DateTime<Utc>>,
    /// Whether somebody asked to cancel it.
    cancel_requested: bool,
    /// Why its latest attempt failed.
    last_error: Option<String>,
    /// When it was enqueued.
    created_at: DateTime<Utc>,
    /// When its latest attempt began.
    started_at: Option<DateTime<Utc>>,
    /// When it ended.
    finished_at: Option<DateTime<Utc>>,
    /// What it works on; null where more than this job is read or it was changed.
    payload: Option<JobPayload>,
}

impl From<JobRow> for JobOutput {
    fn from(job: JobRow) -> Self {
        Self {
            id: job.id,
            organization_id: job.organization_id,
            organization_name: job.organization_name,
            tier: job.tier,
            user_id: job.user_id,
            course_id: job.course_id,
            course_title: job.course_title,
            generation_id: job.generation_id,
            stage: job.stage,
            priority: job.priority,
            state: job.state,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            run_at: job.run_at,
            worker_id: job.worker_id,
            lease_until: job.lease_until,
            cancel_requested: job.cancel_requested,
            last_error: job.last_error,
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            payload: None,
        }
    }
}

async fn list(call: Call, input: ListInput) -> Result<Page<JobOutput>, ApiError> {
    let actor = call.actor()?;
    let filter = JobFilter {
        state: input.state,
        stage: input.stage,
        course: input.course_id,
        organization: input.organization_id,
        tier: input.tier,
    };
    let (cursor, limit) = (input.cursor, input.limit);
    let rows = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            job::list_jobs(tx, &filter, cursor, page::rows_for(limit)).await
        })
        .await?;
    Ok(Page::of(rows, limit, |row| row.id.to_string()))
}

async fn queues(call: Call, input: QueuesInput) -> Result<Page<QueueOutput>, ApiError> {
    let actor = call.actor()?;
    let rows = call.service.store.with_tenant(&actor, async move |tx| {
        job::list_queues(tx, input.organization_id).await
    });
    Ok(Page::whole(rows.await?))
}

async fn get(call: Call, input: OfJob) -> Result<JobOutput, ApiError> {
    let actor = call.actor()?;
    let read = call.service.store.with_tenant(&actor, async move |tx| {
        let job = job::get_job(tx, input.id).await?;
        let generation = get_generation(tx, job.generation_id).await?;
        let inputs = get_course(tx, job.course_id).await?.inputs;
        Ok((job, generation, inputs))
    });
    let (job, generation, inputs) = read.await?;
    Ok(JobOutput {
        payload: Some(JobPayload::new(generation, inputs)),
        ..job.into()
    })
}

async fn retry(call: Call, input: OfJob) -> Result<JobOutput, ApiError> {
    let actor = call.actor()?;
    let limits = Bounds::of(&call.service).await?.of_tiers();
    let now = call.service.clock.now();
    let retried = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            check_tier_lasts(tx, now).await?;
            job::retry_job(tx, input.id, &limits).await
        })
        .await;
    match retried {
        Ok(job) => Ok(job.into()),
        Err(failed) => {
            write_down(&call, &actor, None, &failed).await;
            Err(failed.into())
        }
    }
}

async fn cancel(call: Call, input: OfJob) -> Result<Cancelled, ApiError> {
    let actor = call.actor()?;
    let (course_id, outcome) = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            let job = job::get_job(tx, input.id).await?;
            Ok((job.course_id, job::cancel_job(tx, input.id).await?))
        })
        .await?;
    Ok(Cancelled::new(course_id, outcome, call.speech))
}

async fn promote(call: Call, input: OfJob) -> Result<JobOutput, ApiError> {
    let actor = call.actor()?;
    let promoted = call
        .service
        .store
        .with_tenant(&actor, async move |tx| job::promote_job(tx, input.id).await);
    Ok(promoted.await?.into())
}
