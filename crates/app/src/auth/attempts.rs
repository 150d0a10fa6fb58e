//! How often somebody may try to log in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// Tries for one account within [`WINDOW`]: a person who has forgotten which password it was needs no more.
const TRIES_FOR_ACCOUNT: u32 = 10;
/// Failed tries from one address within [`WINDOW`]: a school behind one address has some.
const TRIES_FROM_ADDRESS: u32 = 50;
/// For how long tries count.
const WINDOW: TimeDelta = TimeDelta::minutes(15);
/// Accounts and addresses that are remembered. When there are more, those whose window is over are forgotten, and
/// if all are recent, newcomers are not counted: the limits protect accounts, memory protects the service.
const MOST_REMEMBERED: usize = 100_000;

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Account(String),
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Count {
    tries: u32,
    since: DateTime<Utc>,
}

/// Counts tries in this process.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    counts: Mutex<HashMap<Subject, Count>>,
}

/// A try that was counted.
#[derive(Debug)]
pub(super) struct Attempt {
    account: Subject,
    address: Option<Subject>,
}

impl Attempts {
    /// Counts a try before the password is looked at, so that many at once do not slip through.
    ///
    /// # Errors
    /// After how many seconds the next try is allowed.
    pub(super) fn begin(
        &self,
        account: &str,
        address: Option<IpAddr>,
        now: DateTime<Utc>,
    ) -> Result<Attempt, u32> {
        let attempt = Attempt {
            account: Subject::Account(account.trim().to_lowercase()),
            address: address.map(|address| Subject::Address(network(address))),
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST_REMEMBERED {
            counts.retain(|_, count| now - count.since < WINDOW);
        }
        let limits = [
            (Some(&attempt.account), TRIES_FOR_ACCOUNT),
            (attempt.address.as_ref(), TRIES_FROM_ADDRESS),
        ];
        for (subject, limit) in limits {
            if let Some(count) = subject.and_then(|subject| counts.get(subject))
                && now - count.since < WINDOW
                && count.tries >= limit
            {
                let wait = (WINDOW - (now - count.since)).num_seconds().max(1);
                return Err(u32::try_from(wait).unwrap_or(u32::MAX));
            }
        }
        for subject in [Some(&attempt.account), attempt.address.as_ref()]
            .into_iter()
            .flatten()
        {
            if counts.len() >= MOST_REMEMBERED && !counts.contains_key(subject) {
                continue;
            }
            let count = counts
                .entry(subject.clone())
                .or_insert(Count { tries: 0, since: now });
            if now - count.since >= WINDOW {
                *count = Count { tries: 0, since: now };
            }
            count.tries += 1;
        }
        Ok(attempt)
    }

    /// The try succeeded: the account's count begins anew, the address has one try less.
    pub(super) fn succeeded(&self, attempt: &Attempt) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.remove(&attempt.account);
        if let Some(count) = attempt
            .address
            .as_ref()
            .and_then(|address| counts.get_mut(address))
        {
            count.tries = count.tries.saturating_sub(1);
        }
    }
}

/// Whoever has one IPv6 address usually has 2 to the power of 64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn an_account_has_ten_tries_in_a_quarter_of_an_hour() {
        let attempts = Attempts::default();
        for _ in 0..TRIES_FOR_ACCOUNT {
            attempts.begin("Ann@Example.org", None, now()).unwrap();
        }
        let later = now() + TimeDelta::minutes(5);
        assert_eq!(attempts.begin("ann@example.org ", None, later).unwrap_err(), 600);
        attempts.begin("bob@example.org", None, later).unwrap();
        attempts.begin("ann@example.org", None, now() + WINDOW).unwrap();
    }

    #[test]
    fn an_address_counts_over_all_accounts_and_a_success_counts_nothing() {
        let attempts = Attempts::default();
        let address = |text: &str| Some(text.parse().unwrap());
        for number in 0..TRIES_FROM_ADDRESS {
            let from = address(&format!("2001:db8:1:2::{number:x}"));
            attempts
                .begin(&format!("{number}@example.org"), from, now())
                .unwrap();
        }
        assert!(
            attempts
                .begin("new@example.org", address("2001:db8:1:2:ff::1"), now())
                .is_err()
        );
        attempts
            .begin("new@example.org", address("2001:db8:1:3::1"), now())
            .unwrap();

        let attempts = Attempts::default();
        for _ in 0..10 * TRIES_FROM_ADDRESS {
            let attempt = attempts
                .begin("a@example.org", address("192.0.2.1"), now())
                .unwrap();
            attempts.succeeded(&attempt);
        }
    }
}
