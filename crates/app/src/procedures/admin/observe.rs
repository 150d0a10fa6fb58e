//! What happens: statistics, events, costs, the audit log.

use chrono::{DateTime, Utc};
use domain::id::{CourseId, JobId, OrganizationId, UserId};
use domain::organization::Tier;
use domain::usage::TokenUsage;
use domain::user::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::audit::{AuditEntry, list_audit};
use store::metric::{Event, Metric, MetricFilter, Severity, list_metrics};
use store::statistics::{self, CostGroup, CostRow};

use crate::procedures::billing::{UsedOutput, days_ago};
use crate::procedures::error::ApiError;
use crate::procedures::page::{self, Page};
use crate::procedures::{Access, Call, Procedure, query};

/// How far back is looked where the caller does not say.
const USUAL_DAYS: i64 = 30;
/// The most rows of a sum.
const COST_ROWS: u32 = 1000;

/// The rows of this file.
pub(super) fn procedures() -> Vec<Procedure> {
    vec![
        query(
            "admin.getStatistics",
            Access::Superadmin,
            "Describe the whole installation",
            get_statistics,
        )
        .example(json!({ "since": "2026-11-01T00:00:00Z" })),
        query(
            "admin.metrics",
            Access::Admin,
            "List events for operators, the latest first",
            metrics,
        )
        .example(json!({ "severity": "error", "limit": 50 })),
        query("admin.costs", Access::Admin, "Sum up what models cost", costs)
            .example(json!({ "groupBy": "day" })),
        query(
            "admin.audit",
            Access::Admin,
            "List who did what, the latest first",
            audit,
        )
        .example(json!({ "limit": 50 })),
    ]
}

/// Since when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StatisticsInput {
    /// Since when what was used is summed; default: 30 days ago.
    since: Option<DateTime<Utc>>,
}

/// How many organizations have a tier.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TierCount {
    /// The tier.
    tier: Tier,
    /// How many.
    count: u64,
}

/// How many people have a role.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RoleCount {
    /// The role.
    role: Role,
    /// How many.
    count: u64,
}

/// The installation as a whole.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Statistics")]
struct StatisticsOutput {
    /// Since when what was used is summed.
    since: DateTime<Utc>,
    /// Organizations by tier.
    organizations: Vec<TierCount>,
    /// People by role.
    users: Vec<RoleCount>,
    /// Courses.
    courses: u64,
    /// Published ones among them.
    published_courses: u64,
    /// Jobs that wait.
    jobs_waiting: u64,
    /// Jobs that run.
    jobs_running: u64,
    /// What all of them used.
    used: UsedOutput,
}

async fn get_statistics(call: Call, input: StatisticsInput) -> Result<StatisticsOutput, ApiError> {
    let actor = call.actor()?;
    let since = input.since.unwrap_or_else(|| days_ago(&call, USUAL_DAYS));
    let whole = call
        .service
        .store
        .with_tenant(&actor, async move |tx| statistics::installation(tx, since).await)
        .await?;
    Ok(StatisticsOutput {
        since,
        organizations: whole
            .organizations
            .into_iter()
            .map(|(tier, count)| TierCount { tier, count })
            .collect(),
        users: whole
            .users
            .into_iter()
            .map(|(role, count)| RoleCount { role, count })
            .collect(),
        courses: whole.courses,
        published_courses: whole.published_courses,
        jobs_waiting: whole.jobs_waiting,
        jobs_running: whole.jobs_running,
        used: whole.usage.into(),
    })
}

/// Which events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MetricsInput {
    /// Only these.
    event: Option<Event>,
    /// Only of this severity.
    severity: Option<Severity>,
    /// Only from then on.
    since: Option<DateTime<Utc>>,
    /// Only of this organization.
    organization_id: Option<OrganizationId>,
    /// The `nextCursor` of the page before.
    #[schemars(regex(pattern = "^[0-9]{1,18}$"))]
    cursor: Option<String>,
    /// Items of a page.
    #[schemars(range(min = 1, max = page::MOST))]
    limit: Option<u32>,
}

/// An event for operators.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SystemEvent")]
struct MetricOutput {
    /// Its number, rising.
    id: i64,
    /// What happened.
    event: Event,
    /// How much it matters.
    severity: Severity,
    /// Whose doing it was, or for whom.
    user_id: Option<UserId>,
    /// In which organization.
    organization_id: Option<OrganizationId>,
    /// With which course.
    course_id: Option<CourseId>,
    /// In which job.
    job_id: Option<JobId>,
    /// Anything else.
    metadata: Value,
    /// When.
    at: DateTime<Utc>,
}

impl From<Metric> for MetricOutput {
    fn from(metric: Metric) -> Self {
        Self {
            id: metric.id,
            event: metric.event,
            severity: metric.severity,
            user_id: metric.user_id,
            organization_id: metric.organization_id,
            course_id: metric.course_id,
            job_id: metric.job_id,
            metadata: metric.metadata,
            at: metric.at,
        }
    }
}

async fn metrics(call: Call, input: MetricsInput) -> Result<Page<MetricOutput>, ApiError> {
    let actor = call.actor()?;
    let filter = MetricFilter {
        event: input.event,
        severity: input.severity,
        since: input.since,
        organization_id: input.organization_id,
    };
    let (before, limit) = (number(input.cursor.as_deref()), input.limit);
    let rows = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            list_metrics(tx, &filter, before, page::rows_for(limit)).await
        })
        .await?;
    Ok(Page::of(rows, limit, |row| row.id.to_string()))
}

/// The number of a cursor; the schema has checked that it is one.
fn number(cursor: Option<&str>) -> Option<i64> {
    cursor.and_then(|cursor| cursor.parse().ok())
}

/// How costs are summed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CostsInput {
    /// By what.
    group_by: CostGroup,
    /// Since when; default: 30 days ago.
    since: Option<DateTime<Utc>>,
    /// Only of this organization; superadmins see all.
    organization_id: Option<OrganizationId>,
}

/// What one day, model or organization cost.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CostSum")]
struct CostOutput {
    /// Which: a date, a model's name, an organization's id.
    key: String,
    /// What its calls cost, in dollars.
    cost_usd: f64,
    /// What they read and wrote.
    tokens: TokenUsage,
    /// How many they were.
    calls: u64,
}

impl From<CostRow> for CostOutput {
    fn from(row: CostRow) -> Self {
        Self {
            key: row.key,
            cost_usd: row.cost.as_usd(),
            tokens: row.tokens,
            calls: row.calls,
        }
    }
}

async fn costs(call: Call, input: CostsInput) -> Result<Page<CostOutput>, ApiError> {
    let actor = call.actor()?;
    let since = input.since.unwrap_or_else(|| days_ago(&call, USUAL_DAYS));
    let (group, organization) = (input.group_by, input.organization_id);
    let rows = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            statistics::costs(tx, group, organization, since, COST_ROWS).await
        })
        .await?;
    Ok(Page::whole(rows))
}

/// Which entries.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AuditInput {
    /// The `nextCursor` of the page before.
    #[schemars(regex(pattern = "^[0-9]{1,18}$"))]
    cursor: Option<String>,
    /// Items of a page.
    #[schemars(range(min = 1, max = page::MOST))]
    limit: Option<u32>,
}

/// Something that was done.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AuditEntry")]
struct AuditOutput {
    /// Its number, rising.
    id: i64,
    /// Who did it; null: the program or the command line.
    actor_id: Option<UserId>,
    /// In which role; `system` for the program.
    actor_role: String,
    /// In which organization.
    organization_id: Option<OrganizationId>,
    /// What was done.
    action: String,
    /// To what.
    target: String,
    /// Anything else.
    details: Value,
    /// When.
    at: DateTime<Utc>,
}

impl From<AuditEntry> for AuditOutput {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            actor_id: entry.actor_id,
            actor_role: entry.actor_role,
            organization_id: entry.organization_id,
            action: entry.action,
            target: entry.target,
            details: entry.details,
            at: entry.at,
        }
    }
}

async fn audit(call: Call, input: AuditInput) -> Result<Page<AuditOutput>, ApiError> {
    let actor = call.actor()?;
    let (before, limit) = (number(input.cursor.as_deref()), input.limit);
    let rows = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            list_audit(tx, before, page::rows_for(limit)).await
        })
        .await?;
    Ok(Page::of(rows, limit, |row| row.id.to_string()))
}
