//! What the workers of all processes can do at once: the measure of the installation's limit (service 4.3).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use store::Store;
use store::error::StoreError;
use store::worker::live_capacity;

/// How long it is remembered: workers come and go slowly, starts come in bursts.
const KEPT: Duration = Duration::from_secs(5);

/// Jobs that all live workers do at once, as it was read last.
#[derive(Debug, Default)]
pub(crate) struct CapacityCache(Mutex<Option<(Instant, u32)>>);

impl CapacityCache {
    /// Jobs at once.
    ///
    /// # Errors
    /// [`StoreError`] if it has to be read and the database refuses.
    pub(crate) async fn get(&self, store: &Store) -> Result<u32, StoreError> {
        if let Some((at, capacity)) = *self.0.lock().unwrap_or_else(PoisonError::into_inner)
            && at.elapsed() < KEPT
        {
            return Ok(capacity);
        }
        let asked_at = Instant::now();
        let capacity = store.with_system(async |tx| live_capacity(tx).await).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked_at, capacity));
        Ok(capacity)
    }
}
