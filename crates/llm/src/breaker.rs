//! A circuit breaker per provider and model (generation 3.4): a model that keeps failing is left alone for a while.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::clock::Clock;

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
    },
}

impl Breaker {
    /// A breaker with all circuits closed.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            circuits: Mutex::default(),
        }
    }

    /// Whether a call may be made now.
    ///
    /// # Errors
    /// The time after which to ask again.
    pub fn admit(&self, circuit: &Circuit) -> Result<(), Duration> {
        let now = self.clock.now();
        let mut circuits = self.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        match circuits.get_mut(circuit) {
            Some(State::Open { probe_at }) if now < *probe_at => {
                Err((*probe_at - now).to_std().unwrap_or_default())
            }
            Some(State::Open { probe_at }) => {
                *probe_at = now + OPEN_FOR;
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
    pub fn failed(&self, circuit: &Circuit) {
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
                        probe_at: now + OPEN_FOR,
                    };
                }
            }
            State::Open { probe_at } => *probe_at = now + OPEN_FOR,
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
        let breaker = Breaker::new(Arc::<FixedClock>::clone(&clock));
        (
            clock,
            breaker,
            Circuit {
                provider: "p".to_owned(),
                model: "m".to_owned(),
            },
        )
    }

    #[test]
    fn opens_at_the_fifth_failure_within_the_window() {
        let (_, breaker, circuit) = set_up();
        for _ in 0..4 {
            breaker.failed(&circuit);
        }
        assert_eq!(breaker.admit(&circuit), Ok(()));
        breaker.failed(&circuit);
        assert_eq!(breaker.admit(&circuit), Err(Duration::from_secs(30)));
        assert_eq!(breaker.open_circuits(), std::slice::from_ref(&circuit));
        assert_eq!(
            breaker.admit(&Circuit {
                model: "other".to_owned(),
                ..circuit
            }),
            Ok(())
        );
    }

    #[test]
    fn slow_failures_do_not_open_it() {
        let (clock, breaker, circuit) = set_up();
        for _ in 0..20 {
            breaker.failed(&circuit);
            clock.advance(TimeDelta::seconds(8));
        }
        assert_eq!(breaker.admit(&circuit), Ok(()));
    }

    #[test]
    fn half_open_lets_one_call_through_and_its_outcome_decides() {
        let (clock, breaker, circuit) = set_up();
        for _ in 0..5 {
            breaker.failed(&circuit);
        }
        clock.advance(TimeDelta::seconds(30));
        assert_eq!(breaker.admit(&circuit), Ok(()));
        assert!(breaker.admit(&circuit).is_err(), "only one probe");
        breaker.failed(&circuit);
        assert_eq!(breaker.admit(&circuit), Err(Duration::from_secs(30)));
        clock.advance(TimeDelta::seconds(30));
        assert_eq!(breaker.admit(&circuit), Ok(()));
        breaker.succeeded(&circuit);
        assert_eq!(breaker.admit(&circuit), Ok(()));
        assert_eq!(breaker.admit(&circuit), Ok(()));
    }
}
