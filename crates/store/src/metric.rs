//! Events for operators (`system_metrics`, service 4.7).

use domain::id::{CourseId, JobId, OrganizationId, UserId};
use serde::Serialize;
use serde_json::Value;

use crate::error::StoreError;
use crate::json::to_json;
use crate::statement::statements;
use crate::tx::SystemTx;
use crate::tx::sealed::Sealed;

statements! {
    INSERT_METRIC = "insert into system_metrics
        (event_type, severity, user_id, organization_id, course_id, job_id, metadata)
        values ($1, $2, $3, $4, $5, $6, $7)";
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
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
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
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
