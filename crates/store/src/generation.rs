//! Generations: reading them; their course through the stages is in [`lifecycle`].

pub mod idempotency;
pub mod lifecycle;
pub(crate) mod limits;
pub(crate) mod progress;
pub(crate) mod regeneration;
pub mod start;

use chrono::{DateTime, Utc};
use domain::generation::{GenerationScope, GenerationStatus, Spending};
use domain::id::{CourseId, GenerationId, OrganizationId, UserId};
use domain::usage::MicroUsd;
use domain::user::Role;
use serde_json::Value;
use uuid::Uuid;

use crate::course;
use crate::error::StoreError;
use crate::hint::Hint;
use crate::json::{from_json, from_word};
use crate::model_call;
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, TenantTx, Tx};

statements! {
    GET_GENERATION = "select * from generations where id = $1";
    FIND_RESUMABLE = "select g.* from generations g join courses c on c.current_generation_id = g.id
        where g.user_id = $1 and (g.status <> 'completed'
            or exists (select from lesson_contents l where l.course_id = c.id and l.status = 'failed'))
        order by g.created_at desc, g.id desc limit 1";
    LIST_GENERATIONS = "select * from generations where course_id = $1 order by created_at desc, id desc";
    UPDATE_BUDGET = "update generations set budget_usd_micros = $2 where id = $1";
    REQUEST_CANCEL = "update generations set cancel_requested = true where id = $1
        and status not in ('completed', 'failed', 'cancelled')";
    CANCEL_JOBS = "update jobs set cancel_requested = true where generation_id = $1 and state in ('pending', 'running')
        returning state";
    END_WAITING_JOBS = "update jobs set state = 'cancelled', finished_at = now()
        where generation_id = $1 and state = 'pending'";
    GET_CURRENT_GENERATION = "select owner_id, organization_id, current_generation_id from courses where id = $1";
    LOCK_COURSE = "select 1 from courses where id = $1 for update";
    STAGE_DURATIONS = "with recent as (
            select id from generations where status = 'completed' order by finished_at desc limit 200),
        spans as (
            select h.new_status as status, extract(epoch from
                lead(h.at) over (partition by h.generation_id order by h.id) - h.at)::float8 as secs
            from generation_status_history h where h.generation_id in (select id from recent))
        select status, percentile_cont(0.5) within group (order by secs) from spans
        where secs is not null and status not in ('completed', 'failed', 'cancelled') group by status";
    IS_CANCEL_REQUESTED = "select cancel_requested from generations where id = $1";
}

/// One run that makes or remakes a course.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// Its id.
    pub id: GenerationId,
    /// The course.
    pub course_id: CourseId,
    /// The tenant.
    pub organization_id: OrganizationId,
    /// Who started it.
    pub user_id: UserId,
    /// Where it stands.
    pub status: GenerationStatus,
    /// The most that may be spent.
    pub budget: MicroUsd,
    /// What makes its random choices repeatable.
    pub seed: u64,
    /// How often somebody went on with it after its end. What exhausted its attempts is asked for anew in each round.
    pub round: u32,
    /// Options of the run, as an object.
    pub options: Value,
    /// What front ends show beside the progress: batches, current model, scores.
    pub progress_metadata: Value,
    /// What it makes anew; also in the options.
    pub scope: GenerationScope,
    /// An address that hears of its end.
    pub webhook_url: Option<String>,
    /// Whether somebody asked to cancel.
    pub cancel_requested: bool,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When a worker began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Why a generation failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// A stable word, for example `LLM_ERROR`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// Anything else for programs.
    pub details: Option<Value>,
}

/// The generation.
///
/// # Errors
/// [`StoreError::NotFound`] if it does not exist or is invisible.
pub async fn get_generation(tx: &mut impl Tx, id: GenerationId) -> Result<Generation, StoreError> {
    let row: Option<GenerationRow> = sqlx::query_as(GET_GENERATION)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.ok_or_else(|| not_found(id))?.into_generation()
}

/// The actor's latest generation that can go on: it is not completed, or a lesson of its course could not be written; and
/// no newer generation of its course has replaced it.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn find_resumable(tx: &mut TenantTx) -> Result<Option<Generation>, StoreError> {
    let user = tx.actor().user_id.as_uuid();
    let row: Option<GenerationRow> = sqlx::query_as(FIND_RESUMABLE)
        .bind(user)
        .fetch_optional(tx.connection())
        .await?;
    row.map(GenerationRow::into_generation).transpose()
}

/// All generations of a course, the latest first.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_generations(tx: &mut impl Tx, course_id: CourseId) -> Result<Vec<Generation>, StoreError> {
    let rows: Vec<GenerationRow> = sqlx::query_as(LIST_GENERATIONS)
        .bind(course_id.as_uuid())
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(GenerationRow::into_generation).collect()
}

/// The generation's money.
///
/// # Errors
/// [`StoreError::NotFound`] if it does not exist or is invisible.
pub async fn get_spending(tx: &mut impl Tx, id: GenerationId) -> Result<Spending, StoreError> {
    let budget = get_generation(tx, id).await?.budget;
    Ok(Spending {
        spent: model_call::sum_spending(tx, id).await?,
        assumed: model_call::sum_assumed(tx, id).await?,
        budget,
    })
}

/// Sets the most that may be spent.
///
/// # Errors
/// [`StoreError::NotFound`] if the generation is invisible, [`StoreError::Forbidden`] if it is not the actor's.
pub async fn update_budget(tx: &mut TenantTx, id: GenerationId, budget: MicroUsd) -> Result<(), StoreError> {
    get_own(tx, id).await?;
    tx.elevate().await?;
    sqlx::query(UPDATE_BUDGET)
        .bind(id.as_uuid())
        .bind(budget.0)
        .execute(tx.connection())
        .await?;
    tx.restore().await
}

/// What a request to cancel led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// Nothing was running: it is cancelled.
    Cancelled,
    /// A worker has been asked to stop; it does so within 2 s.
    Requested,
    /// It had ended already.
    AlreadyEnded,
}

/// Asks to cancel the active generation of a course: its owner and the organization's admins may (service 4.6). Jobs
/// that wait are cancelled at once; a running one is asked to stop.
///
/// # Errors
/// [`StoreError::NotFound`] if the course is invisible, [`StoreError::Forbidden`] if the actor may not.
pub async fn request_cancel(tx: &mut TenantTx, course_id: CourseId) -> Result<CancelOutcome, StoreError> {
    let course: Option<(Uuid, Uuid, Option<Uuid>)> = sqlx::query_as(GET_CURRENT_GENERATION)
        .bind(course_id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    let (owner, organization, generation) =
        course.ok_or_else(|| course::not_found(&course_id.to_string()))?;
    let actor = *tx.actor();
    let is_admin = matches!(actor.role, Role::Admin | Role::Superadmin);
    let may = owner == actor.user_id.as_uuid() && actor.role.may_author()
        || organization == actor.organization_id.as_uuid() && is_admin;
    if !may {
        return Err(StoreError::Forbidden(
            "only its owner or an admin may cancel a generation".to_owned(),
        ));
    }
    let Some(generation) = generation else {
        return Ok(CancelOutcome::AlreadyEnded);
    };
    tx.elevate().await?;
    let outcome = cancel_elevated(tx, course_id, GenerationId::from_uuid(generation)).await?;
    tx.restore().await?;
    Ok(outcome)
}

/// Cancels as the program: who asked was checked.
pub(crate) async fn cancel_elevated(
    tx: &mut TenantTx,
    course_id: CourseId,
    id: GenerationId,
) -> Result<CancelOutcome, StoreError> {
    let generation = id.as_uuid();
    // Jobs before the course, as whoever finishes a stage; and again under the course's lock: a stage that was just
    // finished has made a new one.
    let mut states: Vec<String> = Vec::new();
    for lock in [None, Some(LOCK_COURSE)] {
        if let Some(lock) = lock {
            sqlx::query(lock)
                .bind(course_id.as_uuid())
                .execute(tx.connection())
                .await?;
        }
        states = sqlx::query_scalar(CANCEL_JOBS)
            .bind(generation)
            .fetch_all(tx.connection())
            .await?;
    }
    let asked = sqlx::query(REQUEST_CANCEL)
        .bind(generation)
        .execute(tx.connection())
        .await?;
    if asked.rows_affected() == 0 {
        return Ok(CancelOutcome::AlreadyEnded);
    }
    tx.hint(Hint::Jobs);
    if states.iter().any(|state| state == "running") {
        return Ok(CancelOutcome::Requested);
    }
    sqlx::query(END_WAITING_JOBS)
        .bind(generation)
        .execute(tx.connection())
        .await?;
    lifecycle::set_cancelled(tx, course_id).await?;
    Ok(CancelOutcome::Cancelled)
}

/// How long generations stay in a status.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageDuration {
    /// The status.
    pub status: GenerationStatus,
    /// Half of the recent generations stayed shorter.
    pub median_seconds: f64,
}

/// How long the latest 200 completed generations stayed in each status: from it follows how much longer one takes.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn stage_durations(tx: &mut SystemTx) -> Result<Vec<StageDuration>, StoreError> {
    let rows: Vec<(String, f64)> = sqlx::query_as(STAGE_DURATIONS).fetch_all(tx.connection()).await?;
    rows.into_iter()
        .map(|(status, median_seconds)| {
            Ok(StageDuration {
                status: from_word(status, "generation status")?,
                median_seconds,
            })
        })
        .collect()
}

/// Whether somebody asked to cancel. True also when the generation is gone: its course was deleted.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn is_cancel_requested(tx: &mut impl Tx, id: GenerationId) -> Result<bool, StoreError> {
    let asked: Option<bool> = sqlx::query_scalar(IS_CANCEL_REQUESTED)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    Ok(asked.unwrap_or(true))
}

/// A generation that the actor started.
pub(crate) async fn get_own(tx: &mut TenantTx, id: GenerationId) -> Result<Generation, StoreError> {
    let generation = get_generation(tx, id).await?;
    if generation.user_id != tx.actor().user_id {
        return Err(StoreError::Forbidden(
            "only its owner may do this with a generation".to_owned(),
        ));
    }
    Ok(generation)
}

fn not_found(id: GenerationId) -> StoreError {
    StoreError::NotFound {
        what: "generation",
        key: id.to_string(),
    }
}

#[derive(sqlx::FromRow)]
struct GenerationRow {
    id: Uuid,
    course_id: Uuid,
    organization_id: Uuid,
    user_id: Uuid,
    status: String,
    budget_usd_micros: i64,
    seed: i64,
    round: i32,
    options: Value,
    webhook_url: Option<String>,
    progress_metadata: Value,
    cancel_requested: bool,
    error_code: Option<String>,
    error_message: Option<String>,
    error_details: Option<Value>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

impl GenerationRow {
    fn into_generation(self) -> Result<Generation, StoreError> {
        let failure = self.error_code.map(|code| Failure {
            code,
            message: self.error_message.unwrap_or_default(),
            details: self.error_details,
        });
        Ok(Generation {
            id: GenerationId::from_uuid(self.id),
            course_id: CourseId::from_uuid(self.course_id),
            organization_id: OrganizationId::from_uuid(self.organization_id),
            user_id: UserId::from_uuid(self.user_id),
            status: from_word(self.status, "generation status")?,
            budget: MicroUsd(self.budget_usd_micros),
            seed: self.seed.cast_unsigned(),
            round: self.round.cast_unsigned(),
            scope: match self.options.get("scope") {
                Some(scope) => from_json(scope.clone(), "generation scope")?,
                None => GenerationScope::Whole,
            },
            options: self.options,
            webhook_url: self.webhook_url,
            progress_metadata: self.progress_metadata,
            cancel_requested: self.cancel_requested,
            failure,
            created_at: self.created_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
        })
    }
}
