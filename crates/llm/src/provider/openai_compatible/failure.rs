//! What went wrong, from statuses, headers and error objects.

use std::time::Duration;

use domain::clock::Clock;
use reqwest::header::LOCATION;
use serde_json::Value;
use url::{Position, Url};

use super::Endpoint;
use super::refusal::{self, Refusal};
use super::stream::{read_body, root_cause};
use super::wait_hint;
use crate::error::ProviderError;

/// The status an error object without one is taken to have: the upstream failed.
const BAD_GATEWAY: u16 = 502;
/// Longer bodies of errors are not looked through for words.
const LONGEST_DETAILS_CHARS: usize = 4000;

/// A request that brought no response at all.
pub(super) fn of_sending(
    error: &reqwest::Error,
    endpoint: &Endpoint,
    idle_timeout: Duration,
) -> ProviderError {
    if error.is_timeout() && !error.is_connect() {
        return ProviderError::Timeout { after: idle_timeout };
    }
    ProviderError::Connect {
        endpoint: endpoint.host(),
        reason: root_cause(error),
    }
}

/// The refusal in a response whose status is not good.
pub(super) async fn of_response(
    response: reqwest::Response,
    idle_timeout: Duration,
    endpoint: &Endpoint,
    clock: &dyn Clock,
) -> Refusal {
    let status = response.status();
    let wait = wait_hint::of_headers(response.headers(), clock);
    if status.is_redirection() {
        let location = response.headers().get(LOCATION);
        let location = location.and_then(|value| value.to_str().ok());
        let target = location.map_or_else(
            || "nowhere".to_owned(),
            |location| endpoint.redacted(&shown_target(response.url(), location)),
        );
        return Refusal {
            status: status.as_u16(),
            message: format!(
                "it redirects to {target}, where no key is sent; put the right address into the base URL"
            ),
            is_foreign: true,
            ..Refusal::default()
        };
    }
    // The body only adds detail; a failure to read it must not hide the status.
    let body = read_body(response, idle_timeout).await.unwrap_or_default();
    refusal_of(status.as_u16(), &body, wait, |text| endpoint.redacted(text))
}

/// Scheme, host and path of a redirect from `from`: its query and its user may be secrets.
fn shown_target(from: &Url, location: &str) -> String {
    match from.join(location) {
        Ok(target) => format!(
            "{}://{}",
            target.scheme(),
            &target[Position::BeforeHost..Position::AfterPath]
        ),
        Err(_) => "an address that cannot be read".to_owned(),
    }
}

/// The error for a refusal, where nothing is negotiated: embeddings and lists of models.
pub(super) async fn of_status(
    response: reqwest::Response,
    model: &str,
    idle_timeout: Duration,
    endpoint: &Endpoint,
    clock: &dyn Clock,
) -> Result<reqwest::Response, ProviderError> {
    if response.status().is_success() {
        return Ok(response);
    }
    let refusal = of_response(response, idle_timeout, endpoint, clock).await;
    Err(refusal::failure(&refusal, model, &endpoint.host()))
}

/// A refusal from a status and a body: JSON in one of many forms, a sentence, or a web page.
pub(super) fn refusal_of(
    status: u16,
    body: &str,
    retry_after: Option<Duration>,
    redact: impl Fn(&str) -> String,
) -> Refusal {
    let Ok(parsed) = serde_json::from_str::<Value>(body) else {
        return Refusal {
            status,
            message: redact(&sentence_of_page(body)),
            is_foreign: true,
            retry_after: retry_after.or_else(|| wait_hint::of_error(&Value::Null, body)),
            ..Refusal::default()
        };
    };
    // Google wraps its error in a list.
    let whole = parsed.as_array().and_then(|list| list.first()).unwrap_or(&parsed);
    let error = whole
        .get("error")
        .filter(|error| !is_nothing(error))
        .unwrap_or(whole);
    let mut refusal = of_error(status, error, redact);
    refusal.retry_after = retry_after.or(refusal.retry_after);
    refusal
}

/// A refusal from an `error` object in an answer whose status was good, or inside a stream.
pub(super) fn of_error_object(error: &Value, redact: impl Fn(&str) -> String) -> Refusal {
    let code = error.get("code").or_else(|| error.get("status"));
    let status = match code {
        Some(Value::Number(number)) => number.as_u64().and_then(|status| u16::try_from(status).ok()),
        Some(Value::String(word)) => word.parse().ok().or_else(|| status_of_word(word)),
        _ => None,
    };
    let status = status.or_else(|| error.get("type").and_then(Value::as_str).and_then(status_of_word));
    of_error(
        status.filter(|status| *status >= 400).unwrap_or(BAD_GATEWAY),
        error,
        redact,
    )
}

/// Whether an `error` says nothing: some servers send an empty one with every chunk.
pub(super) fn is_nothing(error: &Value) -> bool {
    match error {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.iter().all(is_nothing),
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(true) => false,
    }
}

fn of_error(status: u16, error: &Value, redact: impl Fn(&str) -> String) -> Refusal {
    let message = message_of(error).unwrap_or_else(|| error.to_string());
    let codes = ["code", "type", "status"]
        .iter()
        .filter_map(|key| match error.get(*key)? {
            Value::String(word) => Some(word.to_lowercase()),
            _ => None,
        });
    let tokens = |key: &str| {
        error
            .get(key)?
            .as_u64()
            .and_then(|tokens| u32::try_from(tokens).ok())
    };
    let details = without_echo(error).to_string();
    let details: String = details.chars().take(LONGEST_DETAILS_CHARS).collect();
    // What the model had written so far is no word of the server's.
    let details = match error.get("failed_generation") {
        Some(_) => String::new(),
        None => details.replace("\\\"", "\"").to_lowercase(),
    };
    Refusal {
        status,
        retry_after: wait_hint::of_error(error, &message),
        message: redact(&message),
        parameter: parameter_of(error),
        codes: codes.collect(),
        details: texts_of_codes(&details, error),
        window: tokens("n_ctx"),
        prompt_tokens: tokens("n_prompt_tokens"),
        is_moderation: error.pointer("/metadata/reasons").is_some(),
        is_foreign: false,
    }
}

/// An error without what pydantic repeats of the request in `input`: its words are no reasons.
fn without_echo(error: &Value) -> Value {
    match error {
        Value::Array(items) => items.iter().map(without_echo).collect(),
        Value::Object(fields) => {
            let own = fields.iter().filter(|(key, _)| *key != "input");
            own.map(|(key, value)| (key.clone(), without_echo(value)))
                .collect()
        }
        other => other.clone(),
    }
}

/// Codes that lie deeper than the error's own: Azure's `innererror`, an upstream's in `metadata`.
fn texts_of_codes(details: &str, error: &Value) -> String {
    let has_deeper = ["innererror", "metadata", "details", "detail", "message"]
        .iter()
        .any(|key| {
            error
                .get(*key)
                .is_some_and(|value| value.is_object() || value.is_array())
        });
    if has_deeper {
        details.to_owned()
    } else {
        String::new()
    }
}

/// The parameter that is refused: `param`, or where pydantic found it.
fn parameter_of(error: &Value) -> Option<String> {
    if let Some(name) = error.get("param").and_then(Value::as_str) {
        return Some(name.to_owned());
    }
    let lists = [error.get("detail"), error.pointer("/message/detail"), Some(error)];
    let first = lists.into_iter().flatten().find_map(Value::as_array)?.first()?;
    let place = first.get("loc")?.as_array()?;
    let mut steps = place
        .iter()
        .filter_map(Value::as_str)
        .filter(|step| *step != "body");
    steps.next().map(str::to_owned)
}

fn status_of_word(word: &str) -> Option<u16> {
    Some(match word.to_lowercase().as_str() {
        "rate_limit_exceeded" | "rate_limit_error" | "too_many_requests" | "resource_exhausted" => 429,
        "insufficient_quota" | "insufficient_credits" => 402,
        "invalid_api_key" | "authentication_error" | "unauthenticated" => 401,
        "permission_denied" => 403,
        "model_not_found" | "not_found_error" | "not_found" => 404,
        "invalid_request_error"
        | "context_length_exceeded"
        | "invalid_argument"
        | "badrequesterror"
        | "content_filter" => 400,
        "overloaded_error" | "server_error" | "api_error" | "unavailable" => 503,
        _ => return None,
    })
}

/// The sentence in an error, of whatever form it is.
fn message_of(error: &Value) -> Option<String> {
    let own = match error {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let sentences: Vec<String> = items.iter().filter_map(message_of).collect();
            (!sentences.is_empty()).then(|| sentences.join("; "))
        }
        Value::Object(_) => ["message", "msg", "detail", "error", "status_msg", "error_msg"]
            .iter()
            .find_map(|key| message_of(error.get(*key)?)),
        _ => None,
    }?;
    if own.trim().is_empty() {
        return None;
    }
    // pydantic says where beside what.
    if let Some(place) = error.get("loc").and_then(Value::as_array) {
        let steps: Vec<&str> = place.iter().filter_map(Value::as_str).collect();
        return Some(format!("{own} ({})", steps.join(".")));
    }
    // OpenRouter wraps the upstream's words in metadata.raw; its own message is then just "Provider returned error".
    match error.pointer("/metadata/raw").and_then(Value::as_str) {
        Some(raw) => Some(format!("{own}: {raw}")),
        None => Some(own),
    }
}

/// What a body without JSON says: the title of a web page, or its first words.
pub(super) fn sentence_of_page(body: &str) -> String {
    let trimmed = body.trim();
    if !trimmed.starts_with('<') {
        return trimmed.to_owned();
    }
    let lower = trimmed.to_ascii_lowercase();
    for tag in ["title", "h1"] {
        let Some(start) = lower.find(&format!("<{tag}")) else {
            continue;
        };
        let Some(open) = lower[start..].find('>') else {
            continue;
        };
        let inner = start + open + 1;
        let Some(end) = lower[inner..].find(&format!("</{tag}")) else {
            continue;
        };
        let title = trimmed[inner..inner + end].trim();
        if !title.is_empty() {
            return format!("a web page, \"{title}\"");
        }
    }
    "a web page".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sentences_are_found_in_errors_of_all_forms() {
        let check = |body: &str, expected: &str| {
            assert_eq!(
                refusal_of(400, body, None, str::to_owned).message,
                expected,
                "{body}"
            );
        };
        check(r#"{"error":{"message":"no"}}"#, "no");
        check(r#"{"error":"no"}"#, "no");
        check(r#"{"detail":"no"}"#, "no");
        check(r#"[{"error":{"code":400,"message":"no"}}]"#, "no");
        check(
            r#"{"object":"error","message":{"detail":[{"loc":["body","seed"],"msg":"no"}]}}"#,
            "no (body.seed)",
        );
        check(
            r#"{"error":{"message":"Provider returned error","metadata":{"raw":"no"}}}"#,
            "Provider returned error: no",
        );
        check("404 page not found", "404 page not found");
        check(
            "<html><head><title>Just a moment...</title></head></html>",
            "a web page, \"Just a moment...\"",
        );
        check("<html></html>", "a web page");
        check("", "");
    }

    #[test]
    fn of_a_redirect_scheme_host_and_path_are_shown() {
        let from: Url = "https://host.example/v1/chat/completions?key=SECRET"
            .parse()
            .unwrap();
        let check = |location: &str, expected: &str| {
            assert_eq!(shown_target(&from, location), expected, "{location}");
        };
        check(
            "https://elsewhere.example:8443/v1?api-key=SECRET#SECRET",
            "https://elsewhere.example:8443/v1",
        );
        check(
            "//user:SECRET@elsewhere.example/v1",
            "https://elsewhere.example/v1",
        );
        check("/login?key=SECRET", "https://host.example/login");
        check("?key=SECRET", "https://host.example/v1/chat/completions");
        check("https://[/", "an address that cannot be read");
    }

    #[test]
    fn what_is_repeated_of_the_request_is_no_detail() {
        let body = json!({ "detail": [{
            "type": "missing", "loc": ["body", "n"], "msg": "Field required",
            "input": { "messages": [{ "role": "system" }], "seed": 7 },
        }] });
        let details = refusal_of(422, &body.to_string(), None, str::to_owned).details;
        assert!(
            details.contains("field required") && !details.contains("seed"),
            "{details}"
        );
    }

    #[test]
    fn empty_errors_are_none() {
        for nothing in [
            json!(null),
            json!({}),
            json!(""),
            json!([]),
            json!({ "message": "", "code": null }),
        ] {
            assert!(is_nothing(&nothing), "{nothing}");
        }
        assert!(!is_nothing(&json!({ "message": "no" })));
        assert!(!is_nothing(&json!("no")));
    }
}
