//! The limits of tiers, which superadmins edit while the service runs (service 4.3).

use domain::organization::Tier;
use domain::usage::MicroUsd;

use crate::audit::{self, NewAudit};
use crate::error::StoreError;
use crate::hint::Hint;
use crate::json::from_word;
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{TenantTx, Tx};

statements! {
    GET_SETTINGS = "select tier, priority, concurrent_generations, max_file_bytes, max_files_per_course, storage_bytes,
            formats, generation_budget_usd_micros, trial_days
        from tier_settings where tier = $1";
    LOCK_SETTINGS = "select tier, priority, concurrent_generations, max_file_bytes, max_files_per_course, storage_bytes,
            formats, generation_budget_usd_micros, trial_days
        from tier_settings where tier = $1 for no key update";
    LIST_SETTINGS = "select tier, priority, concurrent_generations, max_file_bytes, max_files_per_course, storage_bytes,
            formats, generation_budget_usd_micros, trial_days
        from tier_settings order by priority, tier";
    UPDATE_SETTINGS = "update tier_settings set priority = $2, concurrent_generations = $3, max_file_bytes = $4,
            max_files_per_course = $5, storage_bytes = $6, formats = $7, generation_budget_usd_micros = $8,
            trial_days = $9
        where tier = $1";
}

/// What an organization of a tier may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierSettings {
    /// The tier.
    pub tier: Tier,
    /// The queue priority; higher starts first.
    pub priority: i16,
    /// Generations that one user may have active at once.
    pub concurrent_generations: u32,
    /// Bytes of one file.
    pub max_file_bytes: u64,
    /// Files of one course; 0: no files.
    pub max_files_per_course: u32,
    /// Bytes of all files of the organization.
    pub storage_bytes: u64,
    /// Allowed kinds of files, as their usual endings in small letters without the dot.
    pub formats: Vec<String>,
    /// What one generation may cost.
    pub generation_budget: MicroUsd,
    /// Days that the tier lasts; `None`: without end.
    pub trial_days: Option<u32>,
}

/// The settings of a tier.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn get_tier_settings(tx: &mut impl Tx, tier: Tier) -> Result<TierSettings, StoreError> {
    let row: SettingsRow = sqlx::query_as(GET_SETTINGS)
        .bind(tier.as_str())
        .fetch_one(tx.connection())
        .await?;
    row.into_settings()
}

/// The settings of a tier, to be changed in this transaction: others who want that wait until it has ended.
///
/// # Errors
/// [`StoreError::Forbidden`] if the actor is not a superadmin.
pub async fn lock_tier_settings(tx: &mut TenantTx, tier: Tier) -> Result<TierSettings, StoreError> {
    let row: Option<SettingsRow> = sqlx::query_as(LOCK_SETTINGS)
        .bind(tier.as_str())
        .fetch_optional(tx.connection())
        .await?;
    row.ok_or_else(only_superadmins)?.into_settings()
}

fn only_superadmins() -> StoreError {
    StoreError::Forbidden("only a superadmin may change the limits of tiers".to_owned())
}

/// The settings of all tiers, the lowest priority first.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_tier_settings(tx: &mut impl Tx) -> Result<Vec<TierSettings>, StoreError> {
    let rows: Vec<SettingsRow> = sqlx::query_as(LIST_SETTINGS).fetch_all(tx.connection()).await?;
    rows.into_iter().map(SettingsRow::into_settings).collect()
}

/// Changes the settings of a tier; all processes hear of it. It is written into the audit log.
///
/// # Errors
/// [`StoreError::Forbidden`] if the actor is not a superadmin.
pub async fn update_tier_settings(tx: &mut TenantTx, settings: &TierSettings) -> Result<(), StoreError> {
    let before = lock_tier_settings(tx, settings.tier).await?;
    let updated = sqlx::query(UPDATE_SETTINGS)
        .bind(settings.tier.as_str())
        .bind(settings.priority)
        .bind(settings.concurrent_generations.cast_signed())
        .bind(settings.max_file_bytes.cast_signed())
        .bind(settings.max_files_per_course.cast_signed())
        .bind(settings.storage_bytes.cast_signed())
        .bind(&settings.formats)
        .bind(settings.generation_budget.0)
        .bind(settings.trial_days.map(u32::cast_signed))
        .execute(tx.connection())
        .await?;
    if updated.rows_affected() == 0 {
        return Err(only_superadmins());
    }
    let entry = NewAudit {
        details: serde_json::json!({"before": before.as_json(), "after": settings.as_json()}),
        ..NewAudit::new("admin.tiers.update", settings.tier.as_str())
    };
    audit::insert_audit(tx, &entry).await?;
    tx.hint(Hint::Tiers);
    Ok(())
}

impl TierSettings {
    fn as_json(&self) -> serde_json::Value {
        serde_json::json!({
            "priority": self.priority,
            "concurrentGenerations": self.concurrent_generations,
            "maxFileBytes": self.max_file_bytes,
            "maxFilesPerCourse": self.max_files_per_course,
            "storageBytes": self.storage_bytes,
            "formats": self.formats,
            "generationBudgetUsd": self.generation_budget.as_usd(),
            "trialDays": self.trial_days,
        })
    }
}

#[derive(sqlx::FromRow)]
struct SettingsRow {
    tier: String,
    priority: i16,
    concurrent_generations: i32,
    max_file_bytes: i64,
    max_files_per_course: i32,
    storage_bytes: i64,
    formats: Vec<String>,
    generation_budget_usd_micros: i64,
    trial_days: Option<i32>,
}

impl SettingsRow {
    fn into_settings(self) -> Result<TierSettings, StoreError> {
        Ok(TierSettings {
            tier: from_word(self.tier, "tier")?,
            priority: self.priority,
            concurrent_generations: self.concurrent_generations.cast_unsigned(),
            max_file_bytes: self.max_file_bytes.cast_unsigned(),
            max_files_per_course: self.max_files_per_course.cast_unsigned(),
            storage_bytes: self.storage_bytes.cast_unsigned(),
            formats: self.formats,
            generation_budget: MicroUsd(self.generation_budget_usd_micros),
            trial_days: self.trial_days.map(i32::cast_unsigned),
        })
    }
}
