//! The limits of tiers, which superadmins edit while the service runs (service 4.3).

use chrono::{DateTime, Utc};
use domain::id::OrganizationId;
use domain::organization::Tier;
use domain::usage::MicroUsd;
use domain::user::Role;

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
    GET_TERM = "select o.tier, o.tier_since, o.tier_since + make_interval(hours => 24 * s.trial_days)
        from organizations o join tier_settings s on s.tier = o.tier where o.id = $1";
}

/// For how long an organization has its tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierTerm {
    /// The tier.
    pub tier: Tier,
    /// Since when the organization has it.
    pub since: DateTime<Utc>,
    /// When its days end; `None`: never.
    pub ends_at: Option<DateTime<Utc>>,
}

impl TierTerm {
    /// How many days are left, a begun one counted whole; 0: it has ended. `None`: it does not end.
    pub fn days_left(&self, now: DateTime<Utc>) -> Option<u32> {
        let left_ms = u64::try_from((self.ends_at? - now).num_milliseconds()).unwrap_or(0);
        Some(u32::try_from(left_ms.div_ceil(DAY_MS)).unwrap_or(u32::MAX))
    }
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// For how long an organization has its tier.
///
/// # Errors
/// [`StoreError::NotFound`] if the organization does not exist or is invisible.
pub async fn get_tier_term(tx: &mut impl Tx, id: OrganizationId) -> Result<TierTerm, StoreError> {
    let row: Option<(String, DateTime<Utc>, Option<DateTime<Utc>>)> = sqlx::query_as(GET_TERM)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    let (tier, since, ends_at) = row.ok_or_else(|| StoreError::NotFound {
        what: "organization",
        key: id.to_string(),
    })?;
    Ok(TierTerm {
        tier: from_word(tier, "tier")?,
        since,
        ends_at,
    })
}

/// Makes sure that the actor's organization may begin something new: that the days of its tier are not over. For a
/// superadmin no tier ends.
///
/// # Errors
/// [`StoreError::TierEnded`] if they are.
pub async fn check_tier_lasts(tx: &mut TenantTx, now: DateTime<Utc>) -> Result<(), StoreError> {
    let actor = *tx.actor();
    if actor.role == Role::Superadmin {
        return Ok(());
    }
    let term = get_tier_term(tx, actor.organization_id).await?;
    match term.ends_at {
        Some(ended_at) if now >= ended_at => Err(StoreError::TierEnded {
            tier: term.tier,
            ended_at,
        }),
        _ => Ok(()),
    }
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
