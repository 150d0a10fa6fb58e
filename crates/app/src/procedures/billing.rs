//! What was used.

use chrono::{DateTime, TimeDelta, Utc};
use domain::generation::GenerationStatus;
use domain::id::{OrganizationId, UserId};
use domain::organization::Tier;
use domain::usage::TokenUsage;
use domain::user::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::statistics::{self, Usage};
use store::tier::get_tier_term;

use super::error::{ApiError, ErrorCode};
use super::{Access, Call, Procedure, query};

/// How far back is looked where the caller does not say.
const USUAL_DAYS: i64 = 30;

/// The rows of this file.
pub(super) fn procedures() -> Vec<Procedure> {
    vec![
        query(
            "billing.getUsage",
            Access::Author,
            "Say what was used: instructors hear of themselves, admins of their organization, superadmins of all",
            get_usage,
        )
        .fails(&[ErrorCode::NotFound])
        .example(json!({ "since": "2026-11-01T00:00:00Z" })),
    ]
}

/// Whose usage, since when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UsageInput {
    /// Since when; default: 30 days ago.
    since: Option<DateTime<Utc>>,
    /// Of this organization; default: one's own. Others are for superadmins.
    organization_id: Option<OrganizationId>,
    /// Of this person; default: everybody, for instructors themselves.
    user_id: Option<UserId>,
}

/// Generations in one status.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusCount {
    /// Where they stand.
    status: GenerationStatus,
    /// How many they are.
    count: u64,
}

/// What was used.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UsedResources")]
pub(super) struct UsedOutput {
    /// Generations that were asked for, by where they stand now.
    generations: Vec<StatusCount>,
    /// What models cost, in dollars.
    cost_usd: f64,
    /// What models read and wrote.
    tokens: TokenUsage,
    /// Lesson texts that were written and are still there.
    lessons: u64,
    /// Bytes of stored documents at present.
    storage_bytes: u64,
}

impl From<Usage> for UsedOutput {
    fn from(usage: Usage) -> Self {
        Self {
            generations: usage
                .generations
                .into_iter()
                .map(|(status, count)| StatusCount { status, count })
                .collect(),
            cost_usd: usage.cost.as_usd(),
            tokens: usage.tokens,
            lessons: usage.lessons,
            storage_bytes: usage.storage_bytes,
        }
    }
}

/// What was used, and what the tier allows.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UsageReport")]
struct UsageOutput {
    /// Since when.
    since: DateTime<Utc>,
    /// What was used.
    used: UsedOutput,
    /// The tier of the organization.
    tier: Tier,
    /// When the tier ends; null: never. Nothing new is begun afterwards, but courses can be read and exported.
    tier_ends_at: Option<DateTime<Utc>>,
    /// Days that are left of the tier, a begun one counted whole; 0: it has ended; null: it does not end.
    tier_days_left: Option<u32>,
    /// Bytes of documents that the tier allows.
    storage_limit_bytes: u64,
    /// Generations at once that the tier allows one user.
    concurrent_generations: u32,
    /// What one generation may cost, in dollars.
    generation_budget_usd: f64,
}

async fn get_usage(call: Call, input: UsageInput) -> Result<UsageOutput, ApiError> {
    let actor = call.actor()?;
    let organization = match (actor.role, input.organization_id) {
        (Role::Superadmin, Some(other)) => other,
        (_, Some(other)) if other != actor.organization_id => {
            return Err(ApiError::new(ErrorCode::Forbidden));
        }
        _ => actor.organization_id,
    };
    let user = match (actor.role, input.user_id) {
        (Role::Instructor | Role::Student, Some(other)) if other != actor.user_id => {
            return Err(ApiError::new(ErrorCode::Forbidden));
        }
        (Role::Instructor | Role::Student, _) => Some(actor.user_id),
        (Role::Admin | Role::Superadmin, user) => user,
    };
    let since = input.since.unwrap_or_else(|| days_ago(&call, USUAL_DAYS));
    let (usage, term) = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            let usage = statistics::usage(tx, Some(organization), user, since).await?;
            Ok((usage, get_tier_term(tx, organization).await?))
        })
        .await?;
    let settings = call.service.tiers.get(&call.service.store, term.tier).await?;
    Ok(UsageOutput {
        since,
        used: usage.into(),
        tier: term.tier,
        tier_ends_at: term.ends_at,
        tier_days_left: term.days_left(call.service.clock.now()),
        storage_limit_bytes: settings.storage_bytes,
        concurrent_generations: settings.concurrent_generations,
        generation_budget_usd: settings.generation_budget.as_usd(),
    })
}

/// The moment so many days ago.
pub(super) fn days_ago(call: &Call, days: i64) -> DateTime<Utc> {
    call.service.clock.now() - TimeDelta::days(days)
}
