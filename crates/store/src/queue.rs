//! The queue: claim briefly, run outside any transaction, finish under the lease.
//!
//! A claimed job belongs to one attempt of one worker for as long as its lease is renewed. Everything that a worker
//! writes for a job is fenced: if the lease has passed to another worker or attempt, nothing is written.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::id::{CourseId, GenerationId, JobId, OrganizationId, UserId, WorkerId};
use domain::job::StageJob;
use domain::stage::Stage;
use uuid::Uuid;

use crate::error::StoreError;
use crate::generation::{self, Failure};
use crate::hint::Hint;
use crate::json::{from_word, to_text};
use crate::metric::{self, Event, NewMetric, Severity};
use crate::statement::statements;
use crate::tx::SystemTx;
use crate::tx::sealed::Sealed;

statements! {
    CLAIM = "with next as (
            select id from jobs
            where state = 'pending' and run_at <= now() and ($3::uuid is null or generation_id = $3)
            order by priority desc, position, id limit 1
            for update skip locked)
        update jobs j set state = 'running', attempt = j.attempt + 1, worker_id = $1,
            lease_until = now() + make_interval(secs => $2), started_at = now(),
            -- Its time in line is no time without progress.
            idle_since = least(now(), j.idle_since + (now() - j.run_at))
        from next where j.id = next.id
        returning j.id, j.organization_id, j.user_id, j.course_id, j.generation_id, j.stage, j.priority, j.attempt,
            j.max_attempts";
    NEXT_RUN_AT = "select min(run_at) from jobs where state = 'pending' and ($1::uuid is null or generation_id = $1)";
    HEARTBEAT = "with beat as (
            update jobs set lease_until = now() + make_interval(secs => $4)
            where id = $1 and worker_id = $2 and attempt = $3 and state = 'running' returning cancel_requested),
        seen as (update workers set last_seen = now() where id = $2)
        select cancel_requested from beat";
    FENCE = "select cancel_requested from jobs
        where id = $1 and worker_id = $2 and attempt = $3 and state = 'running' for update";
    FINISH = "update jobs set state = $4, finished_at = now(), worker_id = null, lease_until = null, last_error = $5
        where id = $1 and worker_id = $2 and attempt = $3 and state = 'running'";
    NOTE_CAUSE = "update jobs set last_error = $2 where id = $1";
    RETRY_LATER = "update jobs set state = 'pending', worker_id = null, lease_until = null, last_error = $4,
            run_at = now() + interval '1 second' * power(2, least(attempt, 6)) * (0.8 + 0.4 * random())
        where id = $1 and worker_id = $2 and attempt = $3 and state = 'running' and attempt < max_attempts
        returning run_at";
    SNOOZE = "update jobs set state = 'pending', worker_id = null, lease_until = null,
            max_attempts = max_attempts + 1, run_at = now() + make_interval(secs => $4)
        where id = $1 and worker_id = $2 and attempt = $3 and state = 'running'";
    RELEASE_ALL = "update jobs set state = 'pending', worker_id = null, lease_until = null,
            max_attempts = max_attempts + 1, run_at = now()
        where worker_id = $1 and state = 'running'";
    NOTE_PROGRESS = "update jobs set max_attempts = greatest(max_attempts, attempt + 2), idle_since = now()
        where id = $1 and worker_id = $2 and attempt = $3 and state = 'running' returning cancel_requested";
    NOTE_READING = "update jobs set max_attempts = greatest(max_attempts, attempt + 2), idle_since = now()
        where course_id = $1 and stage = 'document_processing' and state = 'running'";
    RESCUE = "with lost as (
            select id, attempt, max_attempts, coalesce(idle_since > started_at, false) as has_saved,
                attempt >= max_attempts
                    and idle_since <= least(started_at, now() - make_interval(secs => $4)) as is_dead
            from jobs where state = 'running' and (lease_until < now() or $2) and ($1::uuid is null or worker_id = $1)
            order by position for update skip locked)
        update jobs j set
            state = case when l.is_dead then 'dead' else 'pending' end,
            finished_at = case when l.is_dead then now() end,
            max_attempts = case when l.is_dead then l.max_attempts
                when l.has_saved then greatest(l.max_attempts, l.attempt + 3)
                else greatest(l.max_attempts, l.attempt + 1) end,
            run_at = case when l.has_saved or l.attempt < l.max_attempts then now()
                else now() + make_interval(secs => $5) end,
            worker_id = null, lease_until = null, last_error = $3
        from lost l where j.id = l.id
        returning j.id, j.organization_id, j.user_id, j.course_id, j.generation_id, j.stage,
            j.state = 'dead' as is_dead, j.attempt";
    COMPLETE_LAUNCH = "select update_course_progress(id, 1, 'completed', $2) from courses
        where id = $1 and generation_progress #>> '{steps,0,status}' is distinct from 'completed'";
    // What was cancelled while its last stage ended goes no further.
    INSERT_JOB = "insert into jobs (id, organization_id, user_id, course_id, generation_id, stage, priority, position,
            cancel_requested)
        select $1, g.organization_id, g.user_id, g.course_id, g.id, $3, $4,
            coalesce((select min(j.position) from jobs j where j.generation_id = g.id), nextval('jobs_position')),
            g.cancel_requested
        from generations g where g.id = $2";
    DELETE_FINISHED = "delete from jobs where finished_at < now() - make_interval(secs => $1)
        and state in ('succeeded', 'dead', 'cancelled')";
}

/// For how long a job may lose its workers without saving anything, beside its attempts: workers that are killed for other
/// reasons come soon after one another, and a job can be among those of each. Service 4.5 calls two minutes without progress
/// too long; time in line does not count.
const IDLE_MOST: Duration = Duration::from_mins(2);
/// How long a job waits that has lost its workers as often as it has attempts, and may have killed them: in two minutes it
/// has another six workers at most.
const SUSPECT_WAIT: Duration = Duration::from_secs(15);

/// One attempt of one worker at a job: what every write for the job is fenced with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job_id: JobId,
    /// Who has it.
    pub worker_id: WorkerId,
    /// Which attempt it is, from 1. Rises with every claim.
    pub attempt: u32,
}

/// A job that was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedJob {
    /// The right to it.
    pub lease: Lease,
    /// What is to be done.
    pub job: StageJob,
    /// Its tenant.
    pub organization_id: OrganizationId,
    /// Who asked for it.
    pub user_id: UserId,
    /// Its priority; higher starts first.
    pub priority: i16,
    /// The attempt after which it is given up.
    pub max_attempts: u32,
}

/// A job that was taken from a worker that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rescued {
    /// The job.
    pub job_id: JobId,
    /// What it does.
    pub job: StageJob,
    /// Whether it was given up: it had no attempt left, and its generation has failed.
    pub is_dead: bool,
}

/// Claims the job that is next: the highest priority first, then first come first served. `only` restricts the claim to
/// one generation. The lease ends `lease_for` from now unless [`heartbeat`] renews it.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn claim(
    tx: &mut SystemTx,
    worker_id: WorkerId,
    only: Option<GenerationId>,
    lease_for: Duration,
) -> Result<Option<ClaimedJob>, StoreError> {
    let row: Option<ClaimRow> = sqlx::query_as(CLAIM)
        .bind(worker_id.as_uuid())
        .bind(lease_for.as_secs_f64())
        .bind(only.map(GenerationId::as_uuid))
        .fetch_optional(tx.connection())
        .await?;
    row.map(|row| row.into_claimed(worker_id)).transpose()
}

/// When the next waiting job may be claimed; in the past if it may be claimed now.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn find_next_run_at(
    tx: &mut SystemTx,
    only: Option<GenerationId>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let only = only.map(GenerationId::as_uuid);
    Ok(sqlx::query_scalar(NEXT_RUN_AT)
        .bind(only)
        .fetch_one(tx.connection())
        .await?)
}

/// Renews the lease. Returns whether somebody asked to cancel.
///
/// # Errors
/// [`StoreError::LostLease`] if the job is no longer this worker's: it must stop.
pub async fn heartbeat(tx: &mut SystemTx, lease: &Lease, lease_for: Duration) -> Result<bool, StoreError> {
    let cancelled: Option<bool> = sqlx::query_scalar(HEARTBEAT)
        .bind(lease.job_id.as_uuid())
        .bind(lease.worker_id.as_uuid())
        .bind(lease.attempt.cast_signed())
        .bind(lease_for.as_secs_f64())
        .fetch_optional(tx.connection())
        .await?;
    cancelled.ok_or(StoreError::LostLease(lease.job_id))
}

/// Makes sure that the job is still this worker's, and stays so until the transaction ends. Returns whether
/// somebody asked to cancel.
///
/// # Errors
/// [`StoreError::LostLease`] if it is not.
pub async fn fence(tx: &mut SystemTx, lease: &Lease) -> Result<bool, StoreError> {
    fenced(tx, lease, FENCE).await
}

/// Like [`fence`], and grants the job fresh attempts: what makes progress is not given up for its restarts.
pub(crate) async fn note_progress(tx: &mut SystemTx, lease: &Lease) -> Result<bool, StoreError> {
    fenced(tx, lease, NOTE_PROGRESS).await
}

/// What [`note_progress`] does, for the job that waits for documents of a course to be read: a part of one was. Whoever
/// reads it need not be who has the job.
pub(crate) async fn note_reading(tx: &mut SystemTx, course_id: CourseId) -> Result<(), StoreError> {
    sqlx::query(NOTE_READING)
        .bind(course_id.as_uuid())
        .execute(tx.connection())
        .await?;
    Ok(())
}

async fn fenced(tx: &mut SystemTx, lease: &Lease, statement: &'static str) -> Result<bool, StoreError> {
    let cancelled: Option<bool> = sqlx::query_scalar(statement)
        .bind(lease.job_id.as_uuid())
        .bind(lease.worker_id.as_uuid())
        .bind(lease.attempt.cast_signed())
        .fetch_optional(tx.connection())
        .await?;
    cancelled.ok_or(StoreError::LostLease(lease.job_id))
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobEnd {
    Succeeded,
    Dead,
    Cancelled,
}

impl JobEnd {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Ends the job.
pub(crate) async fn finish(
    tx: &mut SystemTx,
    lease: &Lease,
    end: JobEnd,
    error: Option<&str>,
) -> Result<(), StoreError> {
    let finished = sqlx::query(FINISH)
        .bind(lease.job_id.as_uuid())
        .bind(lease.worker_id.as_uuid())
        .bind(lease.attempt.cast_signed())
        .bind(end.as_str())
        .bind(error.map(to_text))
        .execute(tx.connection())
        .await?;
    if finished.rows_affected() == 0 {
        Err(StoreError::LostLease(lease.job_id))
    } else {
        Ok(())
    }
}

/// Keeps with a job, for admins, why its last attempt really ended: owners are told a plain sentence. Belongs into the
/// transaction that ended the attempt, which has checked the lease.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn note_cause(tx: &mut SystemTx, id: JobId, cause: &str) -> Result<(), StoreError> {
    sqlx::query(NOTE_CAUSE)
        .bind(id.as_uuid())
        .bind(to_text(cause))
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Puts the job back for a later attempt, 2, 4, 8 ... seconds from now with a fifth of jitter. Returns when; `None`
/// if it has no attempt left.
pub(crate) async fn retry_later(
    tx: &mut SystemTx,
    lease: &Lease,
    error: &str,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    fence(tx, lease).await?;
    Ok(sqlx::query_scalar(RETRY_LATER)
        .bind(lease.job_id.as_uuid())
        .bind(lease.worker_id.as_uuid())
        .bind(lease.attempt.cast_signed())
        .bind(to_text(error))
        .fetch_optional(tx.connection())
        .await?)
}

/// Puts the job back without costing an attempt: for a provider that asks to wait, or at a graceful shutdown with
/// `wait` zero.
///
/// # Errors
/// [`StoreError::LostLease`] if the job is no longer this worker's.
pub async fn snooze(tx: &mut SystemTx, lease: &Lease, wait: Duration) -> Result<(), StoreError> {
    let snoozed = sqlx::query(SNOOZE)
        .bind(lease.job_id.as_uuid())
        .bind(lease.worker_id.as_uuid())
        .bind(lease.attempt.cast_signed())
        .bind(wait.as_secs_f64())
        .execute(tx.connection())
        .await?;
    if snoozed.rows_affected() == 0 {
        Err(StoreError::LostLease(lease.job_id))
    } else {
        if wait.is_zero() {
            tx.hint(Hint::Jobs);
        }
        Ok(())
    }
}

/// Puts back everything that a worker holds.
pub(crate) async fn release_all_of(tx: &mut SystemTx, worker_id: WorkerId) -> Result<(), StoreError> {
    let released = sqlx::query(RELEASE_ALL)
        .bind(worker_id.as_uuid())
        .execute(tx.connection())
        .await?;
    if released.rows_affected() > 0 {
        tx.hint(Hint::Jobs);
    }
    Ok(())
}

/// Takes jobs whose lease has expired from their workers. A loss after something was saved does not count: the job has
/// three attempts again. One whose attempts are used up and that has saved nothing for two minutes is given up, and its
/// generation fails; so a job that kills its workers does not go round for ever. What can be saved is finite.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn rescue_expired(tx: &mut SystemTx) -> Result<Vec<Rescued>, StoreError> {
    rescue(tx, None, false).await
}

/// Takes the jobs of one worker that is known to be dead.
pub(crate) async fn rescue_from_worker(
    tx: &mut SystemTx,
    worker_id: WorkerId,
) -> Result<Vec<Rescued>, StoreError> {
    rescue(tx, Some(worker_id), true).await
}

/// Takes all running jobs: only where it is certain that no worker lives.
pub(crate) async fn rescue_all(tx: &mut SystemTx) -> Result<Vec<Rescued>, StoreError> {
    rescue(tx, None, true).await
}

async fn rescue(
    tx: &mut SystemTx,
    worker_id: Option<WorkerId>,
    before_expiry: bool,
) -> Result<Vec<Rescued>, StoreError> {
    let rows: Vec<RescueRow> = sqlx::query_as(RESCUE)
        .bind(worker_id.map(WorkerId::as_uuid))
        .bind(before_expiry)
        .bind("the worker is gone")
        .bind(IDLE_MOST.as_secs_f64())
        .bind(SUSPECT_WAIT.as_secs_f64())
        .fetch_all(tx.connection())
        .await?;
    if !rows.is_empty() {
        tx.hint(Hint::Jobs);
    }
    let mut rescued = Vec::with_capacity(rows.len());
    for row in rows {
        let job = StageJob {
            generation_id: GenerationId::from_uuid(row.generation_id),
            course_id: CourseId::from_uuid(row.course_id),
            stage: from_word(row.stage, "stage")?,
        };
        let job_id = JobId::from_uuid(row.id);
        let (event, severity) = if row.is_dead {
            (Event::RetryExhausted, Severity::Error)
        } else {
            (Event::OrphanedJobRecovery, Severity::Warn)
        };
        let metric = NewMetric {
            user_id: Some(UserId::from_uuid(row.user_id)),
            organization_id: Some(OrganizationId::from_uuid(row.organization_id)),
            course_id: Some(job.course_id),
            job_id: Some(job_id),
            metadata: serde_json::json!({"stage": job.stage, "attempt": row.attempt}),
            ..NewMetric::new(event, severity)
        };
        metric::insert_metric(tx, &metric).await?;
        if row.is_dead {
            let failure = Failure {
                code: "WORKER_LOST".to_owned(),
                message: "the worker was lost again and again in this stage, and nothing was saved meanwhile"
                    .to_owned(),
                details: None,
            };
            generation::lifecycle::set_failed(tx, &job, &failure).await?;
        } else {
            // A start completes the first step itself; what another program has enqueued may lack it (service 4.5).
            sqlx::query(COMPLETE_LAUNCH)
                .bind(job.course_id.as_uuid())
                .bind(generation::start::MESSAGE)
                .execute(tx.connection())
                .await?;
        }
        rescued.push(Rescued {
            job_id,
            job,
            is_dead: row.is_dead,
        });
    }
    Ok(rescued)
}

/// Enqueues a stage of a generation. All its stages keep the place in line of the first.
pub(crate) async fn enqueue(
    tx: &mut impl crate::tx::Tx,
    generation_id: GenerationId,
    stage: Stage,
    priority: i16,
) -> Result<JobId, StoreError> {
    let id = JobId::generate();
    sqlx::query(INSERT_JOB)
        .bind(id.as_uuid())
        .bind(generation_id.as_uuid())
        .bind(stage.as_str())
        .bind(priority)
        .execute(tx.connection())
        .await?;
    tx.hint(Hint::Jobs);
    Ok(id)
}

/// Removes jobs that ended longer ago than `age`. Returns how many.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn delete_finished(tx: &mut SystemTx, age: Duration) -> Result<u64, StoreError> {
    let deleted = sqlx::query(DELETE_FINISHED)
        .bind(age.as_secs_f64())
        .execute(tx.connection())
        .await?;
    Ok(deleted.rows_affected())
}

#[derive(sqlx::FromRow)]
struct ClaimRow {
    id: Uuid,
    organization_id: Uuid,
    user_id: Uuid,
    course_id: Uuid,
    generation_id: Uuid,
    stage: String,
    priority: i16,
    attempt: i32,
    max_attempts: i32,
}

impl ClaimRow {
    fn into_claimed(self, worker_id: WorkerId) -> Result<ClaimedJob, StoreError> {
        Ok(ClaimedJob {
            lease: Lease {
                job_id: JobId::from_uuid(self.id),
                worker_id,
                attempt: self.attempt.cast_unsigned(),
            },
            job: StageJob {
                generation_id: GenerationId::from_uuid(self.generation_id),
                course_id: CourseId::from_uuid(self.course_id),
                stage: from_word(self.stage, "stage")?,
            },
            organization_id: OrganizationId::from_uuid(self.organization_id),
            user_id: UserId::from_uuid(self.user_id),
            priority: self.priority,
            max_attempts: self.max_attempts.cast_unsigned(),
        })
    }
}

#[derive(sqlx::FromRow)]
struct RescueRow {
    id: Uuid,
    organization_id: Uuid,
    user_id: Uuid,
    course_id: Uuid,
    generation_id: Uuid,
    stage: String,
    is_dead: bool,
    attempt: i32,
}
