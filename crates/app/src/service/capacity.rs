//! How many generations the installation takes at once, by what the workers of all processes can do (service 4.3).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use store::Store;
use store::error::StoreError;
use store::generation::start::make_places;
use store::tx::SystemTx;
use store::worker::live_capacity;

/// How long it is remembered: workers come and go slowly, starts come in bursts.
const KEPT: Duration = Duration::from_secs(5);

/// The limit, as it was read last, and when.
#[derive(Debug, Default)]
pub(crate) struct CapacityCache(Mutex<Option<(Instant, u32)>>);

impl CapacityCache {
    /// The limit that follows from the jobs that all live workers do at once. Where it has to be read again, one caller
    /// does so, and meanwhile the others hold to the old one.
    ///
    /// # Errors
    /// [`StoreError`] if it has to be read and the database refuses.
    pub(crate) async fn limit(
        &self,
        store: &Store,
        limit_of: impl Fn(u32) -> u32,
    ) -> Result<u32, StoreError> {
        let known = *self.known();
        if let Some((at, limit)) = known {
            if at.elapsed() < KEPT {
                return Ok(limit);
            }
            *self.known() = Some((Instant::now(), limit));
        }
        match read(store, limit_of).await {
            Ok(limit) => {
                *self.known() = Some((Instant::now(), limit));
                Ok(limit)
            }
            Err(error) => {
                *self.known() = known;
                Err(error)
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<(Instant, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(store: &Store, limit_of: impl Fn(u32) -> u32) -> Result<u32, StoreError> {
    let capacity = store
        .with_system(async |tx: &mut SystemTx| live_capacity(tx).await)
        .await?;
    let limit = limit_of(capacity);
    // In a transaction of its own, before a start needs them.
    store
        .with_system(async move |tx: &mut SystemTx| make_places(tx, limit).await)
        .await?;
    Ok(limit)
}
