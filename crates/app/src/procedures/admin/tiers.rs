//! The limits of tiers.

use domain::organization::Tier;
use domain::usage::MicroUsd;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::tier::{TierSettings, list_tier_settings, lock_tier_settings, update_tier_settings};

use crate::procedures::courses::fields::{BUDGET_MAX_USD, BUDGET_MIN_USD};
use crate::procedures::error::ApiError;
use crate::procedures::page::Page;
use crate::procedures::{Access, Call, Procedure, mutation, query};

/// The most bytes of a setting: what JSON numbers of every language hold exactly.
const BYTES_MAX: u64 = 1 << 50;

/// The rows of this file.
pub(super) fn procedures() -> Vec<Procedure> {
    vec![
        query(
            "admin.tiers.list",
            Access::Superadmin,
            "List the limits of all tiers",
            list,
        )
        .example(json!({})),
        mutation(
            "admin.tiers.update",
            Access::Superadmin,
            "Change the limits of a tier, at once for all",
            update,
        )
        .example(json!({ "tier": "basic", "concurrentGenerations": 3 })),
    ]
}

/// Nothing is asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NoInput {}

/// The limits of a tier.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TierSettings")]
struct TierOutput {
    /// The tier.
    tier: Tier,
    /// The queue priority; higher starts first.
    priority: i16,
    /// Generations that one user may have active at once.
    concurrent_generations: u32,
    /// Bytes of one file.
    max_file_bytes: u64,
    /// Files of one course; 0: no files.
    max_files_per_course: u32,
    /// Bytes of all files of the organization.
    storage_bytes: u64,
    /// Allowed kinds of files, as their usual endings.
    formats: Vec<String>,
    /// What one generation may cost, in dollars.
    generation_budget_usd: f64,
    /// Days that the tier lasts; null: without end.
    trial_days: Option<u32>,
}

impl From<TierSettings> for TierOutput {
    fn from(settings: TierSettings) -> Self {
        Self {
            tier: settings.tier,
            priority: settings.priority,
            concurrent_generations: settings.concurrent_generations,
            max_file_bytes: settings.max_file_bytes,
            max_files_per_course: settings.max_files_per_course,
            storage_bytes: settings.storage_bytes,
            formats: settings.formats,
            generation_budget_usd: settings.generation_budget.as_usd(),
            trial_days: settings.trial_days,
        }
    }
}

/// New limits of a tier; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdateInput {
    /// The tier.
    tier: Tier,
    /// The queue priority; higher starts first.
    #[schemars(range(min = 0, max = 100))]
    priority: Option<i16>,
    /// Generations that one user may have active at once.
    #[schemars(range(min = 0, max = 10_000))]
    concurrent_generations: Option<u32>,
    /// Bytes of one file.
    #[schemars(range(min = 0, max = BYTES_MAX))]
    max_file_bytes: Option<u64>,
    /// Files of one course; 0: no files.
    #[schemars(range(min = 0, max = 10_000))]
    max_files_per_course: Option<u32>,
    /// Bytes of all files of the organization.
    #[schemars(range(min = 0, max = BYTES_MAX))]
    storage_bytes: Option<u64>,
    /// Allowed kinds of files, as their usual endings.
    #[schemars(length(max = 50), inner(regex(pattern = "^[a-z0-9]{1,10}$")))]
    formats: Option<Vec<String>>,
    /// What one generation may cost, in dollars.
    #[schemars(range(min = BUDGET_MIN_USD, max = BUDGET_MAX_USD))]
    generation_budget_usd: Option<f64>,
    /// Days that the tier lasts.
    #[schemars(range(min = 1, max = 3650))]
    trial_days: Option<u32>,
}

async fn list(call: Call, _: NoInput) -> Result<Page<TierOutput>, ApiError> {
    let actor = call.actor()?;
    let rows = call
        .service
        .store
        .with_tenant(&actor, async |tx| list_tier_settings(tx).await)
        .await?;
    Ok(Page::whole(rows))
}

async fn update(call: Call, input: UpdateInput) -> Result<TierOutput, ApiError> {
    let actor = call.actor()?;
    let settings = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            let settings = input.applied_to(lock_tier_settings(tx, input.tier).await?);
            update_tier_settings(tx, &settings).await?;
            Ok(settings)
        })
        .await?;
    call.service.tiers.forget();
    Ok(settings.into())
}

impl UpdateInput {
    fn applied_to(&self, mut settings: TierSettings) -> TierSettings {
        let present = settings.clone();
        settings.priority = self.priority.unwrap_or(present.priority);
        settings.concurrent_generations = self
            .concurrent_generations
            .unwrap_or(present.concurrent_generations);
        settings.max_file_bytes = self.max_file_bytes.unwrap_or(present.max_file_bytes);
        settings.max_files_per_course = self.max_files_per_course.unwrap_or(present.max_files_per_course);
        settings.storage_bytes = self.storage_bytes.unwrap_or(present.storage_bytes);
        settings.formats = self.formats.clone().unwrap_or(present.formats);
        settings.generation_budget = self
            .generation_budget_usd
            .map_or(present.generation_budget, MicroUsd::from_usd);
        settings.trial_days = self.trial_days.or(present.trial_days);
        settings
    }
}
