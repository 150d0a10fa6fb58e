//! The leases that a worker process holds: renewed together, given up one by one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::id::{JobId, WorkerId};
use store::Store;
use store::error::StoreError;
use store::heartbeat::{Held, heartbeat_all};
use store::queue::{Lease, snooze};
use store::tx::SystemTx;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Between two signs of life. Each also asks which jobs were cancelled, which must be noticed within 2 s
/// (generation 3.1); a hint brings the next one forward.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The least time between two signs of life: hints come in crowds.
const LEAST_REST: Duration = Duration::from_millis(200);
/// How long the database may take for one.
const PATIENCE: Duration = Duration::from_secs(5);
/// A lost job that has just finished may say so itself within this time.
const LOST_GRACE: Duration = Duration::from_secs(1);

/// How a job under way is told to end.
#[derive(Clone, Debug)]
pub(super) struct Signs {
    /// Cancelled when the job must stop: somebody asked for it, or the process ends.
    pub(super) stop: CancellationToken,
    /// Cancelled when another worker has the job.
    pub(super) lost: CancellationToken,
}

/// All leases of the process.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<JobId, (Lease, Signs)>>,
    /// Jobs whose end could not be written: they are handed back as soon as the database answers.
    to_return: Mutex<Vec<Lease>>,
    /// Since when every sign of life was taken; `None` after one that was not.
    healthy_since: Mutex<Option<Instant>>,
    /// Brings the next sign of life forward.
    pub(super) hurry: Notify,
}

/// A lease of a job under way; dropped, it is no longer renewed.
pub(super) struct Holding {
    leases: Arc<Leases>,
    job_id: JobId,
    pub(super) signs: Signs,
}

impl Drop for Holding {
    fn drop(&mut self) {
        locked(&self.leases.held).remove(&self.job_id);
    }
}

impl Leases {
    /// Renews `lease` from now on.
    pub(super) fn hold(self: &Arc<Self>, lease: Lease) -> Holding {
        let signs = Signs {
            stop: CancellationToken::new(),
            lost: CancellationToken::new(),
        };
        locked(&self.held).insert(lease.job_id, (lease, signs.clone()));
        Holding {
            leases: Arc::clone(self),
            job_id: lease.job_id,
            signs,
        }
    }

    /// Tells all jobs to stop.
    pub(super) fn stop_all(&self) {
        for (_, signs) in locked(&self.held).values() {
            signs.stop.cancel();
        }
    }

    /// Hands a job back whose end could not be written.
    pub(super) fn give_back(&self, lease: Lease) {
        locked(&self.to_return).push(lease);
    }

    /// Whether the database has taken every sign of life for this long. Before, nobody's lease is called expired: after
    /// an interruption of the database all processes must have had the time to renew theirs.
    pub(super) fn healthy_for(&self, time: Duration) -> bool {
        locked(&self.healthy_since).is_some_and(|since| since.elapsed() >= time)
    }

    /// Gives signs of life until it is dropped.
    pub(super) async fn keep(&self, store: &Store, worker_id: WorkerId, lease_for: Duration) {
        loop {
            match timeout(PATIENCE, self.beat(store, worker_id, lease_for)).await {
                Ok(Ok(())) => {
                    locked(&self.healthy_since).get_or_insert_with(Instant::now);
                }
                // Leases outlive some missed beats.
                Ok(Err(error)) => self.missed(&error.to_string()),
                Err(_) => self.missed("the database did not answer in time"),
            }
            sleep(LEAST_REST).await;
            tokio::select! {
                () = sleep(HEARTBEAT.saturating_sub(LEAST_REST)) => {}
                () = self.hurry.notified() => {}
            }
        }
    }

    fn missed(&self, reason: &str) {
        // Said once an outage, not each second of it.
        if locked(&self.healthy_since).take().is_some() {
            tracing::warn!(
                reason,
                "no sign of life could be given; going on and trying again"
            );
        }
    }

    async fn beat(&self, store: &Store, worker_id: WorkerId, lease_for: Duration) -> Result<(), StoreError> {
        self.return_jobs(store).await?;
        let held: Vec<(Lease, Signs)> = locked(&self.held).values().cloned().collect();
        let leases: Vec<Lease> = held.iter().map(|(lease, _)| *lease).collect();
        let standing = store
            .with_system(async move |tx: &mut SystemTx| {
                heartbeat_all(tx, worker_id, &leases, lease_for).await
            })
            .await?;
        for (lease, signs) in held {
            match standing.get(&lease.job_id) {
                Some(Held::Kept) => {}
                Some(Held::Cancelled) => signs.stop.cancel(),
                Some(Held::Lost) | None => {
                    signs.stop.cancel();
                    signs.lost.cancel();
                }
            }
        }
        Ok(())
    }

    async fn return_jobs(&self, store: &Store) -> Result<(), StoreError> {
        loop {
            let Some(lease) = locked(&self.to_return).last().copied() else {
                return Ok(());
            };
            let returned = store
                .with_system(async move |tx: &mut SystemTx| snooze(tx, &lease, Duration::ZERO).await)
                .await;
            match returned {
                Ok(()) => {
                    tracing::info!(job_id = %lease.job_id, "a job whose end could not be written is handed back");
                }
                // It had ended, or somebody else has it: as good.
                Err(StoreError::LostLease(_)) => {}
                Err(error) => return Err(error),
            }
            locked(&self.to_return).retain(|other| *other != lease);
        }
    }
}

impl Signs {
    /// Returns when another worker has the job, after the time in which it may say itself that it has just ended.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
        sleep(LOST_GRACE).await;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
