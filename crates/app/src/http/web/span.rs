//! Times as people read them.

use chrono::{DateTime, TimeDelta, Utc};

use super::words::Words;

/// A span of time in its two largest units: `45 s`, `3 min`, `2 h 5 min`, `4 d 1 h`. Negative spans are none.
pub(super) fn span(span: TimeDelta, words: &Words) -> String {
    let secs = span.num_seconds().max(0);
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    let with = |large: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{large}\u{a0}{unit}")
        } else {
            format!("{large}\u{a0}{unit} {small}\u{a0}{small_unit}")
        }
    };
    if days > 0 {
        with(days, words.days, hours, words.hours)
    } else if hours > 0 {
        with(hours, words.hours, minutes, words.minutes)
    } else if minutes > 0 {
        with(minutes, words.minutes, 0, words.seconds)
    } else {
        with(secs, words.seconds, 0, words.seconds)
    }
}

/// A time for people: `2026-11-22 07:15:03 UTC`.
pub(super) fn clock(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A time for `<time datetime>`.
pub(super) fn machine(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procedures::words::Speech;

    #[test]
    fn spans_have_at_most_two_units() {
        let english = Words::of(Speech::English);
        let check = |secs: i64, expected: &str| {
            let found = span(TimeDelta::seconds(secs), english).replace('\u{a0}', " ");
            assert_eq!(found, expected, "{secs}");
        };
        check(-5, "0 s");
        check(45, "45 s");
        check(60, "1 min");
        check(119, "1 min");
        check(3600, "1 h");
        check(7500, "2 h 5 min");
        check(86_400, "1 d");
        check(350_000, "4 d 1 h");
        assert_eq!(
            span(TimeDelta::minutes(3), Words::of(Speech::Russian)),
            "3\u{a0}мин"
        );
    }
}
