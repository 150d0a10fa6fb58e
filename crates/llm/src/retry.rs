//! The transport ladder (generation 3.4): how often and after what wait the same call is made again.

use std::time::Duration;

use rand::Rng;

/// How the same call is tried again after a transient failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub tries: u32,
    /// The longest wait between two attempts.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    /// Three attempts, waits of at most 60 s (generation 3.4).
    fn default() -> Self {
        Self {
            tries: 3,
            longest_wait: Duration::from_mins(1),
        }
    }
}

impl RetryPolicy {
    /// The wait after failed attempt number `failed` (1 is the first): full jitter over 2^failed seconds, and
    /// not less than the provider asked for with `Retry-After`. `None`: that was the last attempt.
    pub fn wait_after(
        &self,
        failed: u32,
        retry_after: Option<Duration>,
        rng: &mut impl Rng,
    ) -> Option<Duration> {
        if failed >= self.tries {
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
    fn retry_after_is_a_lower_bound_and_capped() {
        let (policy, mut rng) = (RetryPolicy::default(), StdRng::seed_from_u64(1));
        let wait = |asked, rng: &mut StdRng| {
            policy
                .wait_after(1, Some(Duration::from_secs(asked)), rng)
                .unwrap()
        };
        assert_eq!(wait(7, &mut rng), Duration::from_secs(7));
        assert_eq!(wait(3600, &mut rng), Duration::from_mins(1));
    }
}
