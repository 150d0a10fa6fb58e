//! What went wrong, from statuses, headers and error objects.

use std::time::Duration;

use chrono::DateTime;
use domain::clock::Clock;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use super::Endpoint;
use super::stream::{read_body, root_cause};
use crate::error::ProviderError;

/// Longer messages of a provider are cut: some answer with a whole HTML page.
const LONGEST_MESSAGE_CHARS: usize = 500;
/// The status an error object without one is taken to have: the upstream failed.
const BAD_GATEWAY: u16 = 502;

/// A request that brought no response at all.
pub(super) fn of_sending(
    error: &reqwest::Error,
    endpoint: &Endpoint,
    idle_timeout: Duration,
) -> ProviderError {
    if error.is_timeout() && !error.is_connect() {
        return ProviderError::Timeout { after: idle_timeout };
    }
    let host = endpoint.base_url.host_str().unwrap_or_default();
    let port = endpoint
        .base_url
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    ProviderError::Connect {
        endpoint: format!("{host}{port}"),
        reason: root_cause(error),
    }
}

/// The response itself if its status is good, else its failure.
pub(super) async fn of_status(
    response: reqwest::Response,
    model: &str,
    idle_timeout: Duration,
    endpoint: &Endpoint,
    clock: &dyn Clock,
) -> Result<reqwest::Response, ProviderError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = retry_after(response.headers(), clock);
    // The body only adds detail; a failure to read it must not hide the status.
    let body = read_body(response, idle_timeout).await.unwrap_or_default();
    let parsed: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
    let error = parsed.get("error").unwrap_or(&parsed);
    let message = match message_of(error) {
        Some(message) => message,
        None if body.trim_start().starts_with('<') => String::new(),
        None => body,
    };
    Err(classify(
        status.as_u16(),
        &message,
        error,
        retry_after,
        model,
        endpoint,
    ))
}

/// An `error` object in an answer whose status was good, or inside a stream.
pub(super) fn of_error_object(error: &Value, model: &str, endpoint: &Endpoint) -> ProviderError {
    let message = message_of(error).unwrap_or_else(|| error.to_string());
    let code = error.get("code").or_else(|| error.get("status"));
    let status = match code {
        Some(Value::Number(number)) => number.as_u64().and_then(|status| u16::try_from(status).ok()),
        Some(Value::String(word)) => word.parse().ok().or_else(|| status_of_word(word)),
        _ => None,
    };
    let status = status.or_else(|| error.get("type").and_then(Value::as_str).and_then(status_of_word));
    let retry_after = error
        .pointer("/metadata/headers/Retry-After")
        .and_then(|value| match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        });
    let retry_after = retry_after.map(Duration::from_secs);
    classify(
        status.unwrap_or(BAD_GATEWAY),
        &message,
        error,
        retry_after,
        model,
        endpoint,
    )
}

/// Whether the endpoint refused the way in which the shape was asked for.
pub(super) fn is_about_response_format(error: &ProviderError) -> bool {
    let (ProviderError::Rejected { message, .. } | ProviderError::UnknownModel { message, .. }) = error
    else {
        return false;
    };
    let message = message.to_lowercase();
    [
        "response_format",
        "response format",
        "json_schema",
        "json_object",
        "structured output",
        "requested parameters",
    ]
    .iter()
    .any(|word| message.contains(word))
}

fn classify(
    status: u16,
    message: &str,
    error: &Value,
    retry_after: Option<Duration>,
    model: &str,
    endpoint: &Endpoint,
) -> ProviderError {
    let mut message: String = endpoint
        .redacted(message.trim())
        .chars()
        .take(LONGEST_MESSAGE_CHARS)
        .collect();
    if message.is_empty() {
        "no details".clone_into(&mut message);
    }
    // OpenRouter answers 403 also to a prompt that its moderation flags; the key is good then.
    let is_moderation = error.pointer("/metadata/reasons").is_some();
    match status {
        403 if is_moderation => ProviderError::Rejected { status, message },
        401 | 403 => ProviderError::Unauthorized { status, message },
        402 => ProviderError::NoCredit { message },
        404 => ProviderError::UnknownModel {
            model: model.to_owned(),
            message,
        },
        429 => ProviderError::RateLimited { retry_after },
        408 | 409 | 425 | 500.. => ProviderError::Server {
            status,
            message,
            retry_after,
        },
        _ => ProviderError::Rejected { status, message },
    }
}

fn status_of_word(word: &str) -> Option<u16> {
    Some(match word {
        "rate_limit_exceeded" | "rate_limit_error" | "too_many_requests" => 429,
        "insufficient_quota" | "insufficient_credits" => 402,
        "invalid_api_key" | "authentication_error" => 401,
        "model_not_found" | "not_found_error" => 404,
        "invalid_request_error" | "context_length_exceeded" => 400,
        "overloaded_error" | "server_error" | "api_error" => 503,
        _ => return None,
    })
}

fn message_of(error: &Value) -> Option<String> {
    let message = error.as_str().or_else(|| {
        ["message", "detail"]
            .iter()
            .find_map(|key| error.get(key)?.as_str())
    })?;
    // OpenRouter wraps the upstream's words in metadata.raw; its own message is then just "Provider returned error".
    match error.pointer("/metadata/raw").and_then(Value::as_str) {
        Some(raw) => Some(format!("{message}: {raw}")),
        None => Some(message.to_owned()),
    }
}

/// `Retry-After` as seconds or as an HTTP date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, clock: &dyn Clock) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = DateTime::parse_from_rfc2822(value).ok()?;
    Some((at.to_utc() - clock.now()).to_std().unwrap_or_default())
}
