//! Adaptive parallelism (generation 3.2): as many calls at once as the provider takes without pushing back.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Lets a changing number of calls through: additive increase, multiplicative decrease.
#[derive(Debug)]
pub struct AdaptiveLimiter {
    cap: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limit: usize,
    in_flight: usize,
    /// Successes since the limit last changed.
    successes: usize,
    /// Counts the halvings. A call that was admitted before the last halving says nothing of the new limit:
    /// ten calls that are refused together halve it once.
    epoch: u64,
}

/// The right to make one call; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    limiter: Arc<AdaptiveLimiter>,
    epoch: u64,
}

impl AdaptiveLimiter {
    /// A limiter that begins with `first` calls and never goes above `cap` (both at least 1).
    pub fn new(first: usize, cap: usize) -> Arc<Self> {
        let cap = cap.max(1);
        let state = State {
            limit: first.clamp(1, cap),
            in_flight: 0,
            successes: 0,
            epoch: 0,
        };
        Arc::new(Self {
            cap,
            state: Mutex::new(state),
            freed: Notify::new(),
        })
    }

    /// Waits for its turn. Cancel-safe: dropping the future takes nothing.
    pub async fn acquire(self: &Arc<Self>) -> Permit {
        loop {
            // Registered before the look, so that a permit freed in between is not missed.
            let freed = self.freed.notified();
            if let Some(permit) = self.try_acquire() {
                return permit;
            }
            freed.await;
        }
    }

    /// How many calls may be under way at once now.
    pub fn limit(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).limit
    }

    fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.in_flight >= state.limit {
            return None;
        }
        state.in_flight += 1;
        Some(Permit {
            limiter: Arc::clone(self),
            epoch: state.epoch,
        })
    }
}

impl Permit {
    /// The call succeeded. After as many successes as the limit allows at once, the limit grows by one.
    pub fn succeeded(self) {
        let mut state = self.limiter.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.epoch == state.epoch {
            state.successes += 1;
            if state.successes >= state.limit && state.limit < self.limiter.cap {
                state.limit += 1;
                state.successes = 0;
            }
        }
    }

    /// The provider asked to slow down: the limit halves.
    pub fn pushed_back(self) {
        let mut state = self.limiter.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.epoch == state.epoch {
            state.limit = (state.limit / 2).max(1);
            state.successes = 0;
            state.epoch += 1;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .in_flight -= 1;
        // All wait for the same condition and each looks again; more than one may fit after a rise.
        self.limiter.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::provider::FIRST_PARALLEL;

    async fn run(limiter: &Arc<AdaptiveLimiter>, calls: usize) {
        for _ in 0..calls {
            limiter.acquire().await.succeeded();
        }
    }

    #[tokio::test]
    async fn grows_while_the_provider_does_not_push_back_up_to_the_cap() {
        let limiter = AdaptiveLimiter::new(FIRST_PARALLEL, 4);
        assert_eq!(limiter.limit(), 2);
        run(&limiter, 2).await;
        assert_eq!(limiter.limit(), 3);
        run(&limiter, 3).await;
        assert_eq!(limiter.limit(), 4);
        run(&limiter, 40).await;
        assert_eq!(limiter.limit(), 4);
        assert_eq!(AdaptiveLimiter::new(FIRST_PARALLEL, 1).limit(), 1);
    }

    #[tokio::test]
    async fn calls_refused_together_halve_the_limit_once() {
        let limiter = AdaptiveLimiter::new(FIRST_PARALLEL, 8);
        run(&limiter, 100).await;
        let mut permits = Vec::new();
        for _ in 0..8 {
            permits.push(limiter.acquire().await);
        }
        permits.into_iter().for_each(Permit::pushed_back);
        assert_eq!(limiter.limit(), 4);
        limiter.acquire().await.pushed_back();
        limiter.acquire().await.pushed_back();
        limiter.acquire().await.pushed_back();
        assert_eq!(limiter.limit(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn third_call_waits_until_one_is_done() {
        let limiter = AdaptiveLimiter::new(FIRST_PARALLEL, 8);
        let (first, _second) = (limiter.acquire().await, limiter.acquire().await);
        assert!(
            tokio::time::timeout(Duration::from_secs(5), limiter.acquire())
                .await
                .is_err()
        );
        let (third, ()) = tokio::join!(limiter.acquire(), async { drop(first) });
        drop(third);
    }
}
