//! Events for operators (`system_metrics`, service 4.7).

use chrono::{DateTime, Utc};
use domain::generation::GenerationStatus;
use domain::id::{CourseId, GenerationId, JobId, OrganizationId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::error::StoreError;
use crate::json::{from_word, to_json};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, TenantTx};

statements! {
    INSERT_METRIC = "insert into system_metrics
        (event_type, severity, user_id, organization_id, course_id, job_id, metadata)
        values ($1, $2, $3, $4, $5, $6, $7)";
    LIST_METRICS = "select id, event_type, severity, user_id, organization_id, course_id, job_id, metadata, at
        from system_metrics
        where ($1::text is null or event_type = $1) and ($2::text is null or severity = $2)
            and ($3::timestamptz is null or at >= $3) and ($4::uuid is null or organization_id = $4)
            and ($5::bigint is null or id < $5)
        order by id desc limit $6";
    COUNT_SINCE = "select count(*) from system_metrics where event_type = $1 and at >= $2";
    COUNT_ALL = "select event_type, count(*) from system_metrics group by event_type";
    LIST_STUCK = "select c.id as course_id, g.id as generation_id, c.organization_id, c.generation_status,
            c.updated_at
        from courses c join generations g on g.id = c.current_generation_id
        where c.generation_status not in ('completed', 'failed', 'cancelled', 'awaiting_review')
            and c.updated_at < $1
        order by c.updated_at limit 1000";
    COUNT_ENDS = "select count(*) filter (where status = 'completed'), count(*) from generations
        where finished_at >= $1 and status in ('completed', 'failed')";
    DELETE_METRICS = "delete from system_metrics where at < $1";
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EventKind")]
pub enum Event {
    /// A start was rolled back.
    JobRollback,
    /// A job of a lost worker was handed on.
    OrphanedJobRecovery,
    /// A start was refused for too many at once.
    ConcurrencyLimitHit,
    /// A worker showed no life for too long.
    WorkerTimeout,
    /// A job was given up after its last attempt.
    RetryExhausted,
    /// A second start of an active course.
    DuplicateJobDetected,
    /// A part stayed below the quality threshold.
    QualityLow,
    /// A prompt was near its token budget.
    TokenBudgetWarning,
    /// Another model than the first choice was called.
    ModelFallback,
    /// A generation is near or at its budget.
    CostOverrun,
    /// A provider does not answer.
    ProviderDown,
    /// A superadmin did something.
    SuperadminAction,
    /// Something goes on that the operator should hear of.
    Alert,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EventSeverity")]
pub enum Severity {
    /// Good to know.
    Info,
    /// May need a look.
    Warn,
    /// Something failed.
    Error,
    /// The installation is in danger.
    Fatal,
}

/// An event to write down.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMetric {
    /// What happened.
    pub event: Event,
    /// How much it matters.
    pub severity: Severity,
    /// Whose doing it was, or for whom.
    pub user_id: Option<UserId>,
    /// In which tenant.
    pub organization_id: Option<OrganizationId>,
    /// With which course.
    pub course_id: Option<CourseId>,
    /// In which job.
    pub job_id: Option<JobId>,
    /// Anything else, as an object. Never texts of people.
    pub metadata: Value,
}

impl NewMetric {
    /// An event about nobody in particular.
    pub fn new(event: Event, severity: Severity) -> Self {
        Self {
            event,
            severity,
            user_id: None,
            organization_id: None,
            course_id: None,
            job_id: None,
            metadata: Value::Object(serde_json::Map::new()),
        }
    }
}

/// Writes an event down.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn insert_metric(tx: &mut SystemTx, metric: &NewMetric) -> Result<(), StoreError> {
    let event = to_json(&metric.event, "event")?;
    let severity = to_json(&metric.severity, "severity")?;
    sqlx::query(INSERT_METRIC)
        .bind(event.as_str())
        .bind(severity.as_str())
        .bind(metric.user_id.map(UserId::as_uuid))
        .bind(metric.organization_id.map(OrganizationId::as_uuid))
        .bind(metric.course_id.map(CourseId::as_uuid))
        .bind(metric.job_id.map(JobId::as_uuid))
        .bind(to_json(&metric.metadata, "event metadata")?)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Which events are listed; all fields together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MetricFilter {
    /// Only these.
    pub event: Option<Event>,
    /// Only of this severity.
    pub severity: Option<Severity>,
    /// Only from then on.
    pub since: Option<DateTime<Utc>>,
    /// Only of this tenant.
    pub organization_id: Option<OrganizationId>,
}

/// An event that was written down.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its number, rising.
    pub id: i64,
    /// What happened.
    pub event: Event,
    /// How much it matters.
    pub severity: Severity,
    /// Whose doing it was, or for whom.
    pub user_id: Option<UserId>,
    /// In which tenant.
    pub organization_id: Option<OrganizationId>,
    /// With which course.
    pub course_id: Option<CourseId>,
    /// In which job.
    pub job_id: Option<JobId>,
    /// Anything else.
    pub metadata: Value,
    /// When.
    pub at: DateTime<Utc>,
}

/// A generation that is active and has not moved for some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckGeneration {
    /// Its course.
    pub course_id: CourseId,
    /// The generation.
    pub generation_id: GenerationId,
    /// Its tenant.
    pub organization_id: OrganizationId,
    /// Where it stands.
    pub status: GenerationStatus,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
}

/// How generations ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndCounts {
    /// Completed ones.
    pub completed: u64,
    /// Completed and failed ones; those that people cancelled are not counted.
    pub all: u64,
}

/// The events that the actor may see, the latest first: admins those of their organization, superadmins all. `before`
/// is the last number of the page before.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_metrics(
    tx: &mut TenantTx,
    filter: &MetricFilter,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Metric>, StoreError> {
    let event = filter.event.map(|event| to_json(&event, "event")).transpose()?;
    let severity = filter
        .severity
        .map(|severity| to_json(&severity, "severity"))
        .transpose()?;
    let organization = filter.organization_id.or_else(|| tx.only_tenant());
    let rows: Vec<MetricRow> = sqlx::query_as(LIST_METRICS)
        .bind(event.as_ref().and_then(Value::as_str))
        .bind(severity.as_ref().and_then(Value::as_str))
        .bind(filter.since)
        .bind(organization.map(OrganizationId::as_uuid))
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(MetricRow::into_metric).collect()
}

/// How often something has happened since then, in all tenants.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn count_since(tx: &mut SystemTx, event: Event, since: DateTime<Utc>) -> Result<u64, StoreError> {
    let count: i64 = sqlx::query_scalar(COUNT_SINCE)
        .bind(to_json(&event, "event")?.as_str())
        .bind(since)
        .fetch_one(tx.connection())
        .await?;
    Ok(count.cast_unsigned())
}

/// How often everything has happened that is still written down.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn count_all(tx: &mut SystemTx) -> Result<Vec<(Event, u64)>, StoreError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(COUNT_ALL).fetch_all(tx.connection()).await?;
    rows.into_iter()
        .map(|(event, count)| Ok((from_word(event, "event")?, count.cast_unsigned())))
        .collect()
}

/// Generations that are active and have not moved since then, those longest still first, at most 1000. Those that wait
/// for their author are not stuck.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_stuck(
    tx: &mut SystemTx,
    unmoved_since: DateTime<Utc>,
) -> Result<Vec<StuckGeneration>, StoreError> {
    let rows: Vec<(Uuid, Uuid, Uuid, String, DateTime<Utc>)> = sqlx::query_as(LIST_STUCK)
        .bind(unmoved_since)
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter()
        .map(|(course, generation, organization, status, updated_at)| {
            Ok(StuckGeneration {
                course_id: CourseId::from_uuid(course),
                generation_id: GenerationId::from_uuid(generation),
                organization_id: OrganizationId::from_uuid(organization),
                status: from_word(status, "generation status")?,
                updated_at,
            })
        })
        .collect()
}

/// How the generations ended that have ended since then.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn count_ends(tx: &mut SystemTx, since: DateTime<Utc>) -> Result<EndCounts, StoreError> {
    let (completed, all): (i64, i64) = sqlx::query_as(COUNT_ENDS)
        .bind(since)
        .fetch_one(tx.connection())
        .await?;
    Ok(EndCounts {
        completed: completed.cast_unsigned(),
        all: all.cast_unsigned(),
    })
}

/// Removes events from before then. Returns how many.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn delete_old_metrics(tx: &mut SystemTx, before: DateTime<Utc>) -> Result<u64, StoreError> {
    let deleted = sqlx::query(DELETE_METRICS)
        .bind(before)
        .execute(tx.connection())
        .await?;
    Ok(deleted.rows_affected())
}

#[derive(sqlx::FromRow)]
struct MetricRow {
    id: i64,
    event_type: String,
    severity: String,
    user_id: Option<Uuid>,
    organization_id: Option<Uuid>,
    course_id: Option<Uuid>,
    job_id: Option<Uuid>,
    metadata: Value,
    at: DateTime<Utc>,
}

impl MetricRow {
    fn into_metric(self) -> Result<Metric, StoreError> {
        Ok(Metric {
            id: self.id,
            event: from_word(self.event_type, "event")?,
            severity: from_word(self.severity, "severity")?,
            user_id: self.user_id.map(UserId::from_uuid),
            organization_id: self.organization_id.map(OrganizationId::from_uuid),
            course_id: self.course_id.map(CourseId::from_uuid),
            job_id: self.job_id.map(JobId::from_uuid),
            metadata: self.metadata,
            at: self.at,
        })
    }
}
