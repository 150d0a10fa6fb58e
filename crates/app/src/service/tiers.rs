//! The limits of tiers, remembered for a minute: every start of a generation asks for them (service 4.3).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::organization::Tier;
use store::Store;
use store::error::StoreError;
use store::tier::{self, TierSettings};

/// How long settings are remembered where no hint says that they changed (service 4.3).
const KEPT: Duration = Duration::from_mins(1);

/// Settings of all tiers, as they were read last.
#[derive(Debug, Default)]
pub(crate) struct TierCache(Mutex<Known>);

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
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Forgets everything: somebody edited a tier.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read_at = None;
    }

    fn fresh(&self) -> Option<Vec<TierSettings>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = known.read_at.is_some_and(|at| at.elapsed() < KEPT);
        is_fresh.then(|| known.settings.clone())
    }
}
