//! The limits of tiers, remembered for a minute: every start of a generation asks for them (service 4.3).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::id::OrganizationId;
use domain::organization::Tier;
use store::Store;
use store::error::StoreError;
use store::organization::get_tier;
use store::tier::{self, TierSettings};

/// How long settings are remembered where no hint says that they changed (service 4.3).
const KEPT: Duration = Duration::from_mins(1);

/// Organizations whose tier is remembered; when there are more, all are asked of again.
const MOST_ORGANIZATIONS: usize = 10_000;

/// Settings of all tiers, as they were read last, and which organization has which.
#[derive(Debug, Default)]
pub(crate) struct TierCache {
    known: Mutex<Known>,
    organizations: Mutex<HashMap<OrganizationId, (Instant, Tier)>>,
}

#[derive(Debug, Default)]
struct Known {
    read_at: Option<Instant>,
    settings: Vec<TierSettings>,
}

impl TierCache {
    /// The settings of all tiers.
    ///
    /// # Errors
    /// [`StoreError`] if they have to be read and the database refuses.
    pub(crate) async fn list(&self, store: &Store) -> Result<Vec<TierSettings>, StoreError> {
        if let Some(settings) = self.fresh() {
            return Ok(settings);
        }
        let asked_at = Instant::now();
        let settings = store
            .with_system(async |tx| tier::list_tier_settings(tx).await)
            .await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.read_at = Some(asked_at);
        known.settings.clone_from(&settings);
        Ok(settings)
    }

    /// The settings of one tier.
    ///
    /// # Errors
    /// [`StoreError`] if they have to be read and the database refuses, or does not know the tier.
    pub(crate) async fn get(&self, store: &Store, tier: Tier) -> Result<TierSettings, StoreError> {
        let all = self.list(store).await?;
        all.into_iter()
            .find(|settings| settings.tier == tier)
            .ok_or_else(|| StoreError::NotFound {
                what: "tier",
                key: tier.as_str().to_owned(),
            })
    }

    /// The tier of an organization, for the log: one that it has had within the last minute. `None` if the database does
    /// not tell it at the first try.
    pub(crate) async fn of(&self, store: &Store, id: OrganizationId) -> Option<Tier> {
        if let Some((at, tier)) = self.organizations().get(&id)
            && at.elapsed() < KEPT
        {
            return Some(*tier);
        }
        let asked_at = Instant::now();
        let mut tx = store.system().await.ok()?;
        let tier = get_tier(&mut tx, id).await.ok()?;
        let mut organizations = self.organizations();
        if organizations.len() >= MOST_ORGANIZATIONS {
            organizations.clear();
        }
        organizations.insert(id, (asked_at, tier));
        Some(tier)
    }

    fn organizations(&self) -> MutexGuard<'_, HashMap<OrganizationId, (Instant, Tier)>> {
        self.organizations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything: somebody edited a tier.
    pub(crate) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).read_at = None;
    }

    fn fresh(&self) -> Option<Vec<TierSettings>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = known.read_at.is_some_and(|at| at.elapsed() < KEPT);
        is_fresh.then(|| known.settings.clone())
    }
}
