//! The transport ladder (generation 3.4): how often and after what wait the same call is made again, and how long a stage
//! waits for a provider that is away or busy.

use std::time::Duration;

use rand::Rng;

/// How the same call is tried again after a transient failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub tries: u32,
    /// The longest pause between two attempts, unless the provider itself asks for a longer one.
    pub longest_wait: Duration,
    /// How long a stage waits for a provider that is away or busy before it gives up.
    pub wait_limit: Duration,
}

/// The default of [`RetryPolicy::wait_limit`] (generation 3.4).
pub const DEFAULT_WAIT_LIMIT: Duration = Duration::from_mins(10);
/// The first pause of a stage that waits; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

impl Default for RetryPolicy {
    /// Three attempts, pauses of at most 60 s, ten minutes of waiting in all (generation 3.4).
    fn default() -> Self {
        Self {
            tries: 3,
            longest_wait: Duration::from_mins(1),
            wait_limit: DEFAULT_WAIT_LIMIT,
        }
    }
}

impl RetryPolicy {
    /// The pause before round `round` (0 is the first) of a stage that waits for a provider: 5, 10, 20 ... seconds, at
    /// most the longest pause, and a random part of up to a half less, so that not all calls come back at once. What the
    /// provider asks for is waited for, however long; but asking for nothing, or for a time that is past, must not make
    /// of the wait a request ten times a second.
    pub fn stage_pause(&self, round: u32, retry_after: Option<Duration>, rng: &mut impl Rng) -> Duration {
        let growing = FIRST_PAUSE
            .saturating_mul(2_u32.saturating_pow(round.min(16)))
            .min(self.longest_wait);
        let spread = growing.mul_f64(1.0 - rng.random::<f64>() / 2.0);
        retry_after.map_or(spread, |asked| asked.max(spread))
    }

    /// The wait after failed attempt number `failed` (1 is the first): full jitter over 2^failed seconds, and
    /// not less than the provider asked for with `Retry-After`. `None`: that was the last attempt, or the provider asks
    /// for more than the longest pause.
    pub fn wait_after(
        &self,
        failed: u32,
        retry_after: Option<Duration>,
        rng: &mut impl Rng,
    ) -> Option<Duration> {
        if failed >= self.tries || retry_after.is_some_and(|asked| asked > self.longest_wait) {
            return None;
        }
        let ceiling = Duration::from_secs(2_u64.saturating_pow(failed)).min(self.longest_wait);
        let jittered = ceiling.mul_f64(rng.random::<f64>());
        Some(
            retry_after
                .unwrap_or_default()
                .max(jittered)
                .min(self.longest_wait),
        )
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn waits_are_spread_over_two_to_the_n_seconds() {
        let (policy, mut rng) = (RetryPolicy::default(), StdRng::seed_from_u64(1));
        for (failed, ceiling) in [(1, 2.0), (2, 4.0)] {
            let waits: Vec<f64> = (0..1000)
                .map(|_| policy.wait_after(failed, None, &mut rng).unwrap().as_secs_f64())
                .collect();
            assert!(waits.iter().all(|wait| (0.0..=ceiling).contains(wait)));
            let mean = waits.iter().sum::<f64>() / 1000.0;
            assert!(
                (mean - ceiling / 2.0).abs() < ceiling * 0.05,
                "full jitter has its mean in the middle: {mean}"
            );
        }
    }

    #[test]
    fn third_failure_is_the_last() {
        let mut rng = StdRng::seed_from_u64(1);
        assert_eq!(RetryPolicy::default().wait_after(3, None, &mut rng), None);
    }

    #[test]
    fn retry_after_is_a_lower_bound_and_a_long_one_ends_the_ladder() {
        let (policy, mut rng) = (RetryPolicy::default(), StdRng::seed_from_u64(1));
        let wait = |asked, rng: &mut StdRng| policy.wait_after(1, Some(Duration::from_secs(asked)), rng);
        assert_eq!(wait(7, &mut rng), Some(Duration::from_secs(7)));
        assert_eq!(wait(3600, &mut rng), None);
    }

    #[test]
    fn pauses_of_a_stage_grow_to_the_longest_or_are_the_providers() {
        let (policy, mut rng) = (RetryPolicy::default(), StdRng::seed_from_u64(1));
        for (round, most) in [(0, 5), (1, 10), (2, 20), (3, 40), (4, 60), (40, 60)] {
            let pause = policy.stage_pause(round, None, &mut rng);
            let most = Duration::from_secs(most);
            assert!(pause <= most && pause >= most / 2, "{round}: {pause:?}");
        }
        let asked = Duration::from_hours(1);
        assert_eq!(policy.stage_pause(0, Some(asked), &mut rng), asked);
        for round in [0, 3, 40] {
            let growing = policy.stage_pause(round, None, &mut StdRng::seed_from_u64(7));
            let asked = policy.stage_pause(round, Some(Duration::ZERO), &mut StdRng::seed_from_u64(7));
            assert_eq!(asked, growing, "{round}");
        }
    }
}
