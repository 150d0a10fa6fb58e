//! The board: what is queued, and pushing it about (service 4.5).

use chrono::{DateTime, Utc};
use domain::id::{CourseId, GenerationId, JobId, OrganizationId, UserId, WorkerId};
use domain::organization::Tier;
use domain::stage::Stage;
use domain::user::Role;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::audit::{self, NewAudit};
use crate::error::StoreError;
use crate::generation::lifecycle::{self, GenerationLimits};
use crate::generation::{self, CancelOutcome};
use crate::hint::Hint;
use crate::json::from_word;
use crate::organization;
use crate::statement::statements;
use crate::tx::TenantTx;
use crate::tx::sealed::Sealed;

statements! {
    LIST_JOBS = "select j.id, j.organization_id, o.name as organization_name, o.tier, j.user_id, j.course_id,
            c.title as course_title, j.generation_id, j.stage, j.priority, j.position, j.state, j.attempt, j.max_attempts,
            j.run_at, j.worker_id, j.lease_until, j.cancel_requested, j.last_error, j.created_at, j.started_at,
            j.finished_at
        from jobs j join courses c on c.id = j.course_id join organizations o on o.id = j.organization_id
        where ($1::text is null or j.state = $1) and ($2::text is null or j.stage = $2)
            and ($3::uuid is null or j.course_id = $3) and ($4::uuid is null or j.organization_id = $4)
            and ($5::uuid is null or j.id < $5) and ($7::text is null or o.tier = $7)
        order by j.id desc limit $6";
    // Of what has ended, a day: that is what an admin who looks in every morning has not seen yet.
    LIST_QUEUES = "select o.tier, j.stage, j.state, count(*) as jobs,
            min(j.run_at) filter (where j.run_at <= now()) as ready_since
        from jobs j join organizations o on o.id = j.organization_id
        where ($1::uuid is null or j.organization_id = $1) and (j.state in ('pending', 'running')
            or j.state in ('succeeded', 'dead', 'cancelled') and j.finished_at > now() - interval '1 day')
        group by o.tier, j.stage, j.state";
    GET_JOB = "select j.id, j.organization_id, o.name as organization_name, o.tier, j.user_id, j.course_id,
            c.title as course_title, j.generation_id, j.stage, j.priority, j.position, j.state, j.attempt, j.max_attempts,
            j.run_at, j.worker_id, j.lease_until, j.cancel_requested, j.last_error, j.created_at, j.started_at,
            j.finished_at
        from jobs j join courses c on c.id = j.course_id join organizations o on o.id = j.organization_id where j.id = $1";
    RUN_NOW = "update jobs set run_at = now(), max_attempts = greatest(max_attempts, attempt + 3)
        where id = $1 and state = 'pending'";
    // First of all that wait.
    PROMOTE_EVERYWHERE = "update jobs set run_at = now(),
            priority = (select max(priority) from jobs where state = 'pending'),
            position = (select min(position) - 1 from jobs where state = 'pending')
        where id = $1 and state = 'pending'";
    // Changes places with the first of the organization that waits with the same priority: others lose nothing.
    PROMOTE_WITHIN = "with own as (
            select id, position, priority, organization_id from jobs where id = $1 and state = 'pending' for update),
        first as (
            select j.id, j.position from jobs j, own
            where j.organization_id = own.organization_id and j.priority = own.priority and j.state = 'pending'
                and j.position < own.position
            order by j.position limit 1 for update of j)
        update jobs j set
            run_at = case when j.id = $1 then now() else j.run_at end,
            position = case when j.id = $1 then coalesce((select position from first), j.position)
                            else (select position from own) end
        where j.id = $1 and j.state = 'pending' or j.id = (select id from first)";
}

/// Where a job stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for a worker, or for its time.
    Pending,
    /// A worker has it.
    Running,
    /// It is done.
    Succeeded,
    /// It was given up.
    Dead,
    /// Somebody cancelled it.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Running,
        Self::Succeeded,
        Self::Dead,
        Self::Cancelled,
    ];

    /// The name in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A job on the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// Its id.
    pub id: JobId,
    /// Its tenant.
    pub organization_id: OrganizationId,
    /// The tenant's name.
    pub organization_name: String,
    /// The tenant's tier.
    pub tier: Tier,
    /// Who asked for it.
    pub user_id: UserId,
    /// Its course.
    pub course_id: CourseId,
    /// The title of its course.
    pub course_title: String,
    /// Its generation.
    pub generation_id: GenerationId,
    /// What it does.
    pub stage: Stage,
    /// Higher starts first.
    pub priority: i16,
    /// Within a priority, lower starts first.
    pub position: i64,
    /// Where it stands.
    pub state: JobState,
    /// The latest attempt, from 1; 0: it never ran.
    pub attempt: u32,
    /// The attempt after which it is given up.
    pub max_attempts: u32,
    /// It does not start before.
    pub run_at: DateTime<Utc>,
    /// Who has it.
    pub worker_id: Option<WorkerId>,
    /// Until when, without a heartbeat.
    pub lease_until: Option<DateTime<Utc>>,
    /// Whether somebody asked to cancel it.
    pub cancel_requested: bool,
    /// Why its latest attempt failed.
    pub last_error: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When its latest attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Which jobs are listed; all fields together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// In this state.
    pub state: Option<JobState>,
    /// Of this stage.
    pub stage: Option<Stage>,
    /// Of this course.
    pub course: Option<CourseId>,
    /// Of this tenant.
    pub organization: Option<OrganizationId>,
    /// Of tenants of this tier.
    pub tier: Option<Tier>,
}

/// The jobs of one tier and stage that are in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRow {
    /// The tier of their tenants.
    pub tier: Tier,
    /// What they do.
    pub stage: Stage,
    /// Where they stand.
    pub state: JobState,
    /// How many there are; of ended ones, those of the last day.
    pub jobs: u64,
    /// Since when the first of them could have been started; `None`: all have to wait for their time.
    pub ready_since: Option<DateTime<Utc>>,
}

/// The jobs that the actor may see, the newest first: instructors those of their courses, admins those of their
/// organization, superadmins all. `before` is the last id of the page before.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_jobs(
    tx: &mut TenantTx,
    filter: &JobFilter,
    before: Option<JobId>,
    limit: u32,
) -> Result<Vec<JobRow>, StoreError> {
    let organization = filter.organization.or_else(|| tx.only_tenant());
    let rows: Vec<Row> = sqlx::query_as(LIST_JOBS)
        .bind(filter.state.map(JobState::as_str))
        .bind(filter.stage.map(Stage::as_str))
        .bind(filter.course.map(CourseId::as_uuid))
        .bind(organization.map(OrganizationId::as_uuid))
        .bind(before.map(JobId::as_uuid))
        .bind(i64::from(limit))
        .bind(filter.tier.map(Tier::as_str))
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(Row::into_job).collect()
}

/// How many jobs that the actor may see stand where: of one tenant or of all, in the order of tiers, stages, states.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_queues(
    tx: &mut TenantTx,
    organization: Option<OrganizationId>,
) -> Result<Vec<QueueRow>, StoreError> {
    let organization = organization.or_else(|| tx.only_tenant());
    let rows: Vec<CountRow> = sqlx::query_as(LIST_QUEUES)
        .bind(organization.map(OrganizationId::as_uuid))
        .fetch_all(tx.connection())
        .await?;
    let rows = rows.into_iter().map(CountRow::into_queue);
    let mut rows = rows.collect::<Result<Vec<_>, StoreError>>()?;
    rows.sort_by_key(|row| {
        let tier = Tier::ALL.iter().position(|tier| *tier == row.tier);
        (tier, row.stage, row.state)
    });
    Ok(rows)
}

/// The job.
///
/// # Errors
/// [`StoreError::NotFound`] if it does not exist or is invisible.
pub async fn get_job(tx: &mut TenantTx, id: JobId) -> Result<JobRow, StoreError> {
    let row: Option<Row> = sqlx::query_as(GET_JOB)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.ok_or_else(|| StoreError::NotFound {
        what: "job",
        key: id.to_string(),
    })?
    .into_job()
}

/// Tries a job again: one that waits runs now; one that was given up or cancelled goes on with its generation, in a new
/// job, which is returned. Then the limits hold of the tier of whoever started it, of which `limits` has one each; a
/// superadmin passes over that of the user, not over that of the installation. Admins only. It is written into the audit
/// log.
///
/// # Errors
/// [`StoreError::NotFound`] if it is invisible, [`StoreError::Forbidden`] if the actor is not an admin,
/// [`StoreError::Conflict`] if it runs or has succeeded, or its generation is active or not the course's latest,
/// [`StoreError::TooManyGenerations`] at a limit.
pub async fn retry_job(
    tx: &mut TenantTx,
    id: JobId,
    limits: &[(Tier, GenerationLimits)],
) -> Result<JobRow, StoreError> {
    let job = get_administered(tx, id).await?;
    let next = match job.state {
        JobState::Running | JobState::Succeeded => {
            return Err(StoreError::Conflict(format!(
                "job {id} is {}: it cannot be tried again",
                job.state.as_str()
            )));
        }
        JobState::Pending => {
            tx.elevate().await?;
            sqlx::query(RUN_NOW)
                .bind(id.as_uuid())
                .execute(tx.connection())
                .await?;
            tx.hint(Hint::Jobs);
            id
        }
        JobState::Dead | JobState::Cancelled => {
            let generation = generation::get_generation(tx, job.generation_id).await?;
            tx.elevate().await?;
            let limits = limits_of_owner(tx, generation.user_id, limits).await?;
            match lifecycle::resume_elevated(tx, &generation, limits, lifecycle::has_stopped).await {
                Ok(resumed) => resumed.job_id,
                Err(refused) => {
                    let _ = tx.restore().await;
                    return Err(refused);
                }
            }
        }
    };
    tx.restore().await?;
    note(tx, "jobs.retry", &job).await?;
    get_job(tx, next).await
}

/// What limits the generations of a person when the actor goes on with one.
async fn limits_of_owner(
    tx: &mut TenantTx,
    owner: UserId,
    limits: &[(Tier, GenerationLimits)],
) -> Result<GenerationLimits, StoreError> {
    let tier = organization::get_tier_of_user(tx, owner).await?;
    let found = limits.iter().find(|(of, _)| *of == tier);
    let (_, mut limits) = *found.ok_or_else(|| StoreError::NotFound {
        what: "tier",
        key: tier.as_str().to_owned(),
    })?;
    if tx.actor().role == Role::Superadmin {
        limits.user = None;
    }
    Ok(limits)
}

/// Cancels a job with its generation. Admins only. It is written into the audit log.
///
/// # Errors
/// [`StoreError::NotFound`] if it is invisible, [`StoreError::Forbidden`] if the actor is not an admin.
pub async fn cancel_job(tx: &mut TenantTx, id: JobId) -> Result<CancelOutcome, StoreError> {
    let job = get_administered(tx, id).await?;
    tx.elevate().await?;
    let outcome = generation::cancel_elevated(tx, job.course_id, job.generation_id).await?;
    tx.restore().await?;
    note(tx, "jobs.cancel", &job).await?;
    Ok(outcome)
}

/// Lets a job that waits start next: of an admin, next among the organization's jobs of its priority; of a superadmin,
/// next of all. The later stages of its generation keep the place. It is written into the audit log.
///
/// # Errors
/// [`StoreError::NotFound`] if it is invisible, [`StoreError::Forbidden`] if the actor is not an admin,
/// [`StoreError::Conflict`] if it does not wait.
pub async fn promote_job(tx: &mut TenantTx, id: JobId) -> Result<JobRow, StoreError> {
    let job = get_administered(tx, id).await?;
    let statement = if tx.actor().role == Role::Superadmin {
        PROMOTE_EVERYWHERE
    } else {
        PROMOTE_WITHIN
    };
    tx.elevate().await?;
    let changed = sqlx::query(statement)
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    tx.restore().await?;
    if changed.rows_affected() == 0 {
        return Err(StoreError::Conflict(format!(
            "job {id} does not wait: it cannot be promoted"
        )));
    }
    tx.hint(Hint::Jobs);
    note(tx, "jobs.promote", &job).await?;
    get_job(tx, id).await
}

async fn get_administered(tx: &mut TenantTx, id: JobId) -> Result<JobRow, StoreError> {
    let job = get_job(tx, id).await?;
    let actor = tx.actor();
    let may = match actor.role {
        Role::Superadmin => true,
        Role::Admin => job.organization_id == actor.organization_id,
        Role::Instructor | Role::Student => false,
    };
    if may {
        Ok(job)
    } else {
        Err(StoreError::Forbidden(
            "only an admin may do this with a job".to_owned(),
        ))
    }
}

async fn note(tx: &mut TenantTx, action: &str, job: &JobRow) -> Result<(), StoreError> {
    let entry = NewAudit {
        organization_id: Some(job.organization_id),
        details: serde_json::json!({"courseId": job.course_id, "stage": job.stage}),
        ..NewAudit::new(action, job.id)
    };
    audit::insert_audit(tx, &entry).await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct CountRow {
    tier: String,
    stage: String,
    state: String,
    jobs: i64,
    ready_since: Option<DateTime<Utc>>,
}

impl CountRow {
    fn into_queue(self) -> Result<QueueRow, StoreError> {
        Ok(QueueRow {
            tier: from_word(self.tier, "tier")?,
            stage: from_word(self.stage, "stage")?,
            state: from_word(self.state, "job state")?,
            jobs: self.jobs.cast_unsigned(),
            ready_since: self.ready_since,
        })
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    organization_id: Uuid,
    organization_name: String,
    tier: String,
    user_id: Uuid,
    course_id: Uuid,
    course_title: String,
    generation_id: Uuid,
    stage: String,
    priority: i16,
    position: i64,
    state: String,
    attempt: i32,
    max_attempts: i32,
    run_at: DateTime<Utc>,
    worker_id: Option<Uuid>,
    lease_until: Option<DateTime<Utc>>,
    cancel_requested: bool,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

impl Row {
    fn into_job(self) -> Result<JobRow, StoreError> {
        Ok(JobRow {
            id: JobId::from_uuid(self.id),
            organization_id: OrganizationId::from_uuid(self.organization_id),
            organization_name: self.organization_name,
            tier: from_word(self.tier, "tier")?,
            user_id: UserId::from_uuid(self.user_id),
            course_id: CourseId::from_uuid(self.course_id),
            course_title: self.course_title,
            generation_id: GenerationId::from_uuid(self.generation_id),
            stage: from_word(self.stage, "stage")?,
            priority: self.priority,
            position: self.position,
            state: from_word(self.state, "job state")?,
            attempt: self.attempt.cast_unsigned(),
            max_attempts: self.max_attempts.cast_unsigned(),
            run_at: self.run_at,
            worker_id: self.worker_id.map(WorkerId::from_uuid),
            lease_until: self.lease_until,
            cancel_requested: self.cancel_requested,
            last_error: self.last_error,
            created_at: self.created_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
        })
    }
}
