//! How often somebody may try to log in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::secret_token::digest;

/// Tries for one account from one address within [`WINDOW`]: a person who has forgotten which password it was needs
/// no more. Others may go on trying from theirs: nobody can lock a known account out from afar.
const TRIES_FROM_ADDRESS_FOR_ACCOUNT: u32 = 10;
/// Tries for one account from everywhere within [`WINDOW`]: against guessing from many addresses at once. No more than
/// 192 000 a day, of which a password of 12 characters is not guessed.
const TRIES_FOR_ACCOUNT: u32 = 2000;
/// Failed tries from one address within [`WINDOW`]: a school behind one address has some.
const TRIES_FROM_ADDRESS: u32 = 50;
/// For how long tries count.
const WINDOW: TimeDelta = TimeDelta::minutes(15);
/// Accounts and addresses that are remembered. When there are more, those whose window is over are forgotten, and
/// if all are recent, the half that began first: newcomers are always counted.
const MOST_REMEMBERED: usize = 100_000;

/// What is counted. An account is a hash of its address, so that long ones take no more memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Account([u8; 32]),
    AccountFrom([u8; 32], Option<IpAddr>),
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
    subjects: Vec<(Subject, u32)>,
}

impl Attempt {
    fn of(account: &str, address: Option<IpAddr>) -> Self {
        let account = digest(&account.trim().to_lowercase());
        let address = address.map(network);
        let mut subjects = vec![
            (
                Subject::AccountFrom(account, address),
                TRIES_FROM_ADDRESS_FOR_ACCOUNT,
            ),
            (Subject::Account(account), TRIES_FOR_ACCOUNT),
        ];
        subjects.extend(address.map(|address| (Subject::Address(address), TRIES_FROM_ADDRESS)));
        Self { subjects }
    }
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
        let attempt = Attempt::of(account, address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (subject, limit) in &attempt.subjects {
            if let Some(count) = counts.get(subject)
                && now - count.since < WINDOW
                && count.tries >= *limit
            {
                let wait = (WINDOW - (now - count.since)).num_seconds().max(1);
                return Err(u32::try_from(wait).unwrap_or(u32::MAX));
            }
        }
        if counts.len() + attempt.subjects.len() > MOST_REMEMBERED {
            make_room(&mut counts, now);
        }
        for (subject, _) in &attempt.subjects {
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

    /// The try succeeded: what was counted for the account from this address begins anew, the rest has one try less.
    pub(super) fn succeeded(&self, attempt: &Attempt) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (subject, _) in &attempt.subjects {
            if matches!(subject, Subject::AccountFrom(..)) {
                counts.remove(subject);
            } else if let Some(count) = counts.get_mut(subject) {
                count.tries = count.tries.saturating_sub(1);
            }
        }
    }
}

/// Forgets what no longer counts, and if that is not much, the older half: seldom, so that tries do not wait for it.
fn make_room(counts: &mut HashMap<Subject, Count>, now: DateTime<Utc>) {
    counts.retain(|_, count| now - count.since < WINDOW);
    if counts.len() > MOST_REMEMBERED / 2 {
        let mut begun: Vec<_> = counts.values().map(|count| count.since).collect();
        let half = begun.len() / 2;
        let (_, median, _) = begun.select_nth_unstable(half);
        let median = *median;
        counts.retain(|_, count| count.since > median);
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
    fn an_account_has_ten_tries_from_an_address_in_a_quarter_of_an_hour() {
        let attempts = Attempts::default();
        let here = Some("192.0.2.1".parse().unwrap());
        for _ in 0..TRIES_FROM_ADDRESS_FOR_ACCOUNT {
            attempts.begin("Ann@Example.org", here, now()).unwrap();
        }
        let later = now() + TimeDelta::minutes(5);
        assert_eq!(attempts.begin("ann@example.org ", here, later).unwrap_err(), 600);
        attempts.begin("bob@example.org", here, later).unwrap();
        attempts.begin("ann@example.org", here, now() + WINDOW).unwrap();
    }

    #[test]
    fn nobody_locks_an_account_out_from_another_address() {
        let attempts = Attempts::default();
        let from = |number: u32| Some(IpAddr::from(std::net::Ipv4Addr::from_bits(number)));
        for number in 0..500 {
            // The limit of an address is not told to the account.
            let _ = attempts.begin("ann@example.org", from(1 + number % 20), now());
        }
        attempts.begin("ann@example.org", from(1000), now()).unwrap();
        for number in 0..TRIES_FOR_ACCOUNT {
            let _ = attempts.begin("ann@example.org", from(2000 + number), now());
        }
        attempts.begin("ann@example.org", from(1000), now()).unwrap_err();
    }

    #[test]
    fn newcomers_are_counted_when_memory_is_full() {
        let attempts = Attempts::default();
        for number in 0..60_000 {
            let at = now() + TimeDelta::milliseconds(i64::from(number));
            let from = Some(IpAddr::from(std::net::Ipv4Addr::from_bits(number)));
            attempts
                .begin(&format!("{number}@example.org"), from, at)
                .unwrap();
        }
        let count = attempts.counts.lock().unwrap().len();
        assert!(count <= MOST_REMEMBERED, "{count}");
        let (here, later) = (
            Some("2001:db8::1".parse().unwrap()),
            now() + TimeDelta::minutes(2),
        );
        for _ in 0..TRIES_FROM_ADDRESS_FOR_ACCOUNT {
            attempts.begin("ann@example.org", here, later).unwrap();
        }
        attempts.begin("ann@example.org", here, later).unwrap_err();
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
