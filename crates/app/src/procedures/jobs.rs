//! The board of the queue.

use chrono::{DateTime, Utc};
use domain::id::{CourseId, GenerationId, JobId, OrganizationId, UserId, WorkerId};
use domain::stage::Stage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::job::{self, JobFilter, JobRow, JobState};

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
        query("jobs.get", Access::Admin, "Read a job", get)
            .fails(&[ErrorCode::NotFound])
            .example(of_job()),
        mutation("jobs.retry", Access::Admin, "Try a job again", retry)
            .fails(&[
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

/// A job on the board.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Job")]
struct JobOutput {
    /// Its id.
    id: JobId,
    /// Its organization.
    organization_id: OrganizationId,
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
}

impl From<JobRow> for JobOutput {
    fn from(job: JobRow) -> Self {
        Self {
            id: job.id,
            organization_id: job.organization_id,
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

async fn get(call: Call, input: OfJob) -> Result<JobOutput, ApiError> {
    let actor = call.actor()?;
    let read = call
        .service
        .store
        .with_tenant(&actor, async move |tx| job::get_job(tx, input.id).await);
    Ok(read.await?.into())
}

async fn retry(call: Call, input: OfJob) -> Result<JobOutput, ApiError> {
    let actor = call.actor()?;
    let limits = Bounds::of(&call.service).await?.of_tiers();
    let retried = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
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
