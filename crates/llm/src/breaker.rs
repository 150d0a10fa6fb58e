//! A circuit breaker per provider and model (generation 3.4): a model that keeps failing is left alone for a while.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::clock::Clock;

use crate::error::ProviderError;

/// So many failures within [`FAILURE_WINDOW`] open the breaker (generation 3.4).
const FAILURES_TO_OPEN: usize = 5;
/// The time over which failures are counted (generation 3.4).
const FAILURE_WINDOW: Duration = Duration::from_secs(30);
/// After this long an open breaker lets one call through (generation 3.4).
const OPEN_FOR: Duration = Duration::from_secs(30);

/// What is broken apart from the rest: one model of one provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Circuit {
    /// The provider's id.
    pub provider: String,
    /// The model's id.
    pub model: String,
}

/// Counts failures and holds calls back.
#[derive(Debug)]
pub struct Breaker {
    clock: Arc<dyn Clock>,
    open_for: Duration,
    circuits: Mutex<HashMap<Circuit, State>>,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: VecDeque<DateTime<Utc>>,
    },
    /// From `probe_at` on one call may try; taking that chance moves `probe_at` on, so that a probe
    /// that was cancelled does not leave the circuit waiting for ever.
    Open {
        probe_at: DateTime<Utc>,
        /// The last failure: what people are told.
        cause: ProviderError,
    },
}

impl Breaker {
    /// A breaker with all circuits closed; an open one lets a call through after `longest_wait`, or sooner.
    pub fn new(clock: Arc<dyn Clock>, longest_wait: Duration) -> Self {
        Self {
            clock,
            open_for: OPEN_FOR.min(longest_wait),
            circuits: Mutex::default(),
        }
    }

    /// Whether a call may be made now.
    ///
    /// # Errors
    /// [`ProviderError::BreakerOpen`] with the time after which to ask again, and the failure behind it.
    pub fn admit(&self, circuit: &Circuit) -> Result<(), ProviderError> {
        let now = self.clock.now();
        let mut circuits = self.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        match circuits.get_mut(circuit) {
            Some(State::Open { probe_at, cause }) if now < *probe_at => Err(ProviderError::BreakerOpen {
                retry_in: (*probe_at - now).to_std().unwrap_or_default(),
                cause: Box::new(cause.clone()),
            }),
            Some(State::Open { probe_at, .. }) => {
                *probe_at = now + self.open_for;
                Ok(())
            }
            Some(State::Closed { .. }) | None => Ok(()),
        }
    }

    /// A call succeeded: the circuit closes.
    pub fn succeeded(&self, circuit: &Circuit) {
        self.circuits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(circuit);
    }

    /// A call failed for a transient cause other than a request to slow down.
    pub fn failed(&self, circuit: &Circuit, error: &ProviderError) {
        let now = self.clock.now();
        let mut circuits = self.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        let state = circuits.entry(circuit.clone()).or_insert_with(|| State::Closed {
            failures: VecDeque::new(),
        });
        match state {
            State::Closed { failures } => {
                while failures.front().is_some_and(|at| *at + FAILURE_WINDOW <= now) {
                    failures.pop_front();
                }
                failures.push_back(now);
                if failures.len() >= FAILURES_TO_OPEN {
                    tracing::warn!(
                        provider = circuit.provider,
                        model = circuit.model,
                        "circuit breaker opened"
                    );
                    *state = State::Open {
                        probe_at: now + self.open_for,
                        cause: error.clone(),
                    };
                }
            }
            State::Open { probe_at, cause } => {
                *probe_at = now + self.open_for;
                *cause = error.clone();
            }
        }
    }

    /// The circuits that are open now, for `/metrics` and `doctor`.
    pub fn open_circuits(&self) -> Vec<Circuit> {
        let circuits = self.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        let open = circuits
            .iter()
            .filter(|(_, state)| matches!(state, State::Open { .. }));
        open.map(|(circuit, _)| circuit.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use domain::clock::FixedClock;

    use super::*;

    fn set_up() -> (Arc<FixedClock>, Breaker, Circuit) {
        let clock = Arc::new(FixedClock::new(DateTime::UNIX_EPOCH));
        let breaker = Breaker::new(Arc::<FixedClock>::clone(&clock), Duration::from_mins(1));
        (
            clock,
            breaker,
            Circuit {
                provider: "p".to_owned(),
                model: "m".to_owned(),
            },
        )
    }

    fn retry_in(breaker: &Breaker, circuit: &Circuit) -> Duration {
        match breaker.admit(circuit) {
            Err(ProviderError::BreakerOpen { retry_in, cause }) => {
                assert_eq!(cause.code(), "empty");
                retry_in
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn opens_at_the_fifth_failure_within_the_window() {
        let (_, breaker, circuit) = set_up();
        for _ in 0..4 {
            breaker.failed(&circuit, &ProviderError::Empty);
        }
        assert!(breaker.admit(&circuit).is_ok());
        breaker.failed(&circuit, &ProviderError::Empty);
        assert_eq!(retry_in(&breaker, &circuit), Duration::from_secs(30));
        assert_eq!(breaker.open_circuits(), std::slice::from_ref(&circuit));
        let other = Circuit {
            model: "other".to_owned(),
            ..circuit
        };
        assert!(breaker.admit(&other).is_ok());
    }

    #[test]
    fn slow_failures_do_not_open_it() {
        let (clock, breaker, circuit) = set_up();
        for _ in 0..20 {
            breaker.failed(&circuit, &ProviderError::Empty);
            clock.advance(TimeDelta::seconds(8));
        }
        assert!(breaker.admit(&circuit).is_ok());
    }

    #[test]
    fn half_open_lets_one_call_through_and_its_outcome_decides() {
        let (clock, breaker, circuit) = set_up();
        for _ in 0..5 {
            breaker.failed(&circuit, &ProviderError::Empty);
        }
        clock.advance(TimeDelta::seconds(30));
        assert!(breaker.admit(&circuit).is_ok());
        assert!(breaker.admit(&circuit).is_err(), "only one probe");
        breaker.failed(&circuit, &ProviderError::Empty);
        assert_eq!(retry_in(&breaker, &circuit), Duration::from_secs(30));
        clock.advance(TimeDelta::seconds(30));
        assert!(breaker.admit(&circuit).is_ok());
        breaker.succeeded(&circuit);
        assert!(breaker.admit(&circuit).is_ok());
        assert!(breaker.admit(&circuit).is_ok());
    }
}
