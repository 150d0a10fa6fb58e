//! How long a provider asks to wait: headers, fields of the error, or words.

use std::sync::LazyLock;
use std::time::Duration;

use chrono::DateTime;
use domain::clock::Clock;
use regex::Regex;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

/// The wait that the headers ask for: `retry-after-ms` (milliseconds, `OpenAI` and Azure), `Retry-After` as seconds or as
/// an HTTP date (RFC 9110, 10.2.3), or the reset of a rate limit of which nothing remains.
pub(super) fn of_headers(headers: &HeaderMap, clock: &dyn Clock) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|value| value.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(millis / 1000.0).ok();
    }
    if let Some(value) = text(RETRY_AFTER.as_str()) {
        if let Ok(seconds) = value.parse::<f64>() {
            return Duration::try_from_secs_f64(seconds).ok();
        }
        if let Ok(at) = DateTime::parse_from_rfc2822(value) {
            return Some((at.to_utc() - clock.now()).to_std().unwrap_or_default());
        }
        return of_span(value);
    }
    let resets = ["requests", "tokens"].into_iter().filter_map(|what| {
        let remaining = text(&format!("x-ratelimit-remaining-{what}"))?;
        (remaining == "0").then(|| of_span(text(&format!("x-ratelimit-reset-{what}"))?))?
    });
    resets.max()
}

/// The wait in an error object: `OpenRouter` repeats its upstream's headers, Google says `retryDelay`, others have a
/// field, most only words.
pub(super) fn of_error(error: &Value, message: &str) -> Option<Duration> {
    let header = error
        .pointer("/metadata/headers/Retry-After")
        .or_else(|| error.pointer("/metadata/headers/retry-after"));
    let field = header.or_else(|| error.get("retry_after"));
    if let Some(seconds) = field.and_then(seconds_of) {
        return Some(seconds);
    }
    let details = error.get("details").and_then(Value::as_array);
    let delay = details
        .into_iter()
        .flatten()
        .find_map(|detail| of_span(detail.get("retryDelay")?.as_str()?));
    delay.or_else(|| of_words(message))
}

fn seconds_of(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    Duration::try_from_secs_f64(seconds?).ok()
}

/// "Please try again in 39.9s", "retry after 1m30s", "please wait 20 seconds".
fn of_words(message: &str) -> Option<Duration> {
    static PHRASE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"(?i)\b(?:try again|retry|retrying|wait|available again|reset(?:s)?)\b[^0-9.;]{0,24}?((?:[0-9]+(?:\.[0-9]+)?\s*(?:milliseconds?|ms|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)\b?\s*)+)",
        )
        .ok()
    });
    let found = PHRASE.as_ref()?.captures(message)?;
    of_span(found.get(1)?.as_str())
}

/// A span of time as programs write it: `39.9s`, `1m30s`, `500ms`, `2 minutes`; a bare number is seconds.
fn of_span(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !(letter.is_ascii_digit() || letter == '.'))?;
        let number: f64 = rest[..digits].parse().ok()?;
        let behind = rest[digits..].trim_start();
        let length = behind
            .find(|letter: char| !letter.is_alphabetic())
            .unwrap_or(behind.len());
        let unit = match behind[..length].to_lowercase().as_str() {
            "ms" | "millisecond" | "milliseconds" => 0.001,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
            _ => return None,
        };
        seconds += number * unit;
        rest = behind[length..].trim_start();
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use domain::clock::FixedClock;
    use reqwest::header::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    #[test]
    fn words_tell_the_wait() {
        let check = |message: &str, seconds: Option<f64>| {
            let wait = of_words(message).map(|wait| wait.as_secs_f64());
            assert_eq!(wait, seconds, "{message}");
        };
        check("Limit 6000, Used 5900. Please try again in 39.95s.", Some(39.95));
        check("Please try again in 7m12.5s. Need more tokens?", Some(432.5));
        check("Please try again in 880ms.", Some(0.88));
        check("Please retry in 12.5s.", Some(12.5));
        check("Too many requests, please wait 20 seconds", Some(20.0));
        check("Please retry after 30 seconds.", Some(30.0));
        check("Rate limit: retry in 1 minute", Some(60.0));
        check("Rate limit reached for requests", None);
        check(
            "x is temporarily rate-limited upstream. Please retry shortly",
            None,
        );
        check("You have 3 retries left of 5", None);
    }

    #[test]
    fn fields_tell_the_wait() {
        let check = |error: &Value, seconds: Option<u64>| {
            assert_eq!(of_error(error, ""), seconds.map(Duration::from_secs), "{error}");
        };
        check(
            &json!({ "metadata": { "headers": { "Retry-After": "7" } } }),
            Some(7),
        );
        check(&json!({ "retry_after": 3 }), Some(3));
        check(
            &json!({ "details": [{ "@type": "x" }, { "@type": "google.rpc.RetryInfo", "retryDelay": "39s" }] }),
            Some(39),
        );
        check(&json!({}), None);
    }

    #[test]
    fn headers_tell_the_wait() {
        let clock = FixedClock::new(DateTime::from_timestamp(1_445_412_480, 0).unwrap());
        let check = |headers: &[(&'static str, &'static str)], seconds: Option<f64>| {
            let map: HeaderMap = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            let wait = of_headers(&map, &clock).map(|wait| wait.as_secs_f64());
            assert_eq!(wait, seconds, "{headers:?}");
        };
        check(&[("retry-after", "20")], Some(20.0));
        check(&[("retry-after", "Wed, 21 Oct 2015 07:29:00 GMT")], Some(60.0));
        check(&[("retry-after", "Wed, 21 Oct 2015 07:27:00 GMT")], Some(0.0));
        check(&[("retry-after-ms", "1500"), ("retry-after", "2")], Some(1.5));
        check(
            &[
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "1m3s"),
            ],
            Some(63.0),
        );
        check(
            &[
                ("x-ratelimit-remaining-tokens", "9"),
                ("x-ratelimit-reset-tokens", "1m3s"),
            ],
            None,
        );
        check(&[], None);
    }
}
