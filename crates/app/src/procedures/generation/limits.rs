//! How many generations may be active at once (service 4.3).

use domain::organization::Tier;
use domain::user::Role;
use store::error::StoreError;
use store::generation::lifecycle::GenerationLimits;
use store::organization::get_tier;
use store::tier::TierSettings;
use store::tx::TenantTx;

use crate::service::Service;

/// Generations of the whole installation that are always allowed (service 4.3).
const LEAST_GLOBAL: u32 = 3;
/// So many generations may be active for each job that the workers do at once: those beyond wait for their turn, and
/// while their author looks at the structure they need no worker at all.
const DEPTH: u32 = 8;

/// What is known of limits before a transaction begins.
#[derive(Clone, Debug)]
pub(in crate::procedures) struct Bounds {
    tiers: Vec<TierSettings>,
    global: u32,
}

impl Bounds {
    /// The present ones.
    ///
    /// # Errors
    /// [`StoreError`] if they have to be read and the database refuses.
    pub(in crate::procedures) async fn of(service: &Service) -> Result<Self, StoreError> {
        Ok(Self {
            tiers: service.tiers.list(&service.store).await?,
            global: global(service).await?,
        })
    }

    /// The limits of the actor's tier. A superadmin works with those of premium (service 4.3).
    ///
    /// # Errors
    /// [`StoreError`] if the database refuses.
    pub(super) async fn tier(&self, tx: &mut TenantTx) -> Result<&TierSettings, StoreError> {
        let actor = *tx.actor();
        let tier = if actor.role == Role::Superadmin {
            Tier::Premium
        } else {
            get_tier(tx, actor.organization_id).await?
        };
        self.tiers
            .iter()
            .find(|settings| settings.tier == tier)
            .ok_or_else(|| StoreError::NotFound {
                what: "tier",
                key: tier.as_str().to_owned(),
            })
    }

    /// What limits starts with each tier.
    pub(in crate::procedures) fn of_tiers(&self) -> Vec<(Tier, GenerationLimits)> {
        self.tiers
            .iter()
            .map(|settings| (settings.tier, self.limits(settings)))
            .collect()
    }

    /// What limits a start of somebody with this tier.
    pub(super) const fn limits(&self, tier: &TierSettings) -> GenerationLimits {
        GenerationLimits {
            user: Some(tier.concurrent_generations),
            global: Some(self.global),
        }
    }
}

/// How many generations may be active in the installation at present.
///
/// # Errors
/// [`StoreError`] if it has to be read and the database refuses.
pub(super) async fn global(service: &Service) -> Result<u32, StoreError> {
    let ceiling = service.config.settings.limits.generations;
    service
        .capacity
        .limit(&service.store, |capacity| global_limit(capacity, ceiling))
        .await
}

/// The limit of the installation: by what its workers can do, between the least and what is configured.
fn global_limit(capacity: u32, ceiling: u32) -> u32 {
    capacity.saturating_mul(DEPTH).min(ceiling).max(LEAST_GLOBAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installation_allows_what_its_workers_can_do() {
        assert_eq!(global_limit(0, 1000), 3);
        assert_eq!(global_limit(8, 1000), 64);
        assert_eq!(global_limit(500, 1000), 1000);
        assert_eq!(global_limit(8, 1), 3);
    }
}
