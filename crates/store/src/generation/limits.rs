//! How many generations may be active at once (service 4.3).

use super::Generation;
use super::lifecycle::GenerationLimits;
use crate::error::StoreError;
use crate::json::from_word;
use crate::statement::statements;
use crate::tx::TenantTx;
use crate::tx::sealed::Sealed;

statements! {
    CHECK_LIMITS = "select outcome, tier, user_active, global_active from app.check_generation_limits($1, $2, $3, $4)";
}

/// Makes sure that a generation that had ended may be active again, and takes its place.
pub(super) async fn check(
    tx: &mut TenantTx,
    generation: &Generation,
    limits: GenerationLimits,
) -> Result<(), StoreError> {
    let (outcome, tier, user_active, global_active): (String, Option<String>, Option<i32>, Option<i32>) =
        sqlx::query_as(CHECK_LIMITS)
            .bind(generation.user_id.as_uuid())
            .bind(generation.id.as_uuid())
            .bind(limits.user.map(limit_of))
            .bind(limits.global.map(limit_of))
            .fetch_one(tx.connection())
            .await?;
    if outcome == "ok" {
        return Ok(());
    }
    Err(too_many(&outcome, tier, user_active, global_active, limits)?)
}

/// The limit as the database counts.
pub(super) fn limit_of(limit: u32) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

/// What a start or retry is told that met a limit.
pub(super) fn too_many(
    outcome: &str,
    tier: Option<String>,
    user_active: Option<i32>,
    global_active: Option<i32>,
    limits: GenerationLimits,
) -> Result<StoreError, StoreError> {
    let is_global = outcome == "global_limit";
    Ok(StoreError::TooManyGenerations {
        tier: from_word(tier.unwrap_or_default(), "tier")?,
        user_limit: limits.user.unwrap_or(u32::MAX),
        current_user_jobs: user_active.unwrap_or(0).cast_unsigned(),
        global_limit: limits.global.filter(|_| is_global),
        global_active_jobs: global_active.filter(|_| is_global).map(i32::cast_unsigned),
    })
}
