//! Reading an answer: server-sent events, or one JSON body where the endpoint ignores `stream`.

use std::time::Duration;

use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt, stream};
use reqwest::header::CONTENT_TYPE;

use super::Endpoint;
use super::wire::Answer;
use crate::budget::{O200k, TokenCounter};
use crate::error::ProviderError;
use crate::provider::StreamObserver;
use crate::request::Request;

/// An answer or error body beyond this is not read to its end: no course text is as long.
pub(super) const LONGEST_BODY_BYTES: usize = 16 * 1024 * 1024;

/// The event that ends a stream.
const DONE: &str = "[DONE]";

/// Reads a response whose status was good.
pub(super) async fn read(
    response: reqwest::Response,
    request: &Request,
    observer: &dyn StreamObserver,
    endpoint: &Endpoint,
) -> Result<Answer, ProviderError> {
    let is_stream = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("text/event-stream"));
    if is_stream {
        read_events(response, request, observer, endpoint).await
    } else {
        let body = read_body(response, request.idle_timeout).await?;
        let mut answer = Answer::default();
        let text = answer.take(&body, request, endpoint)?;
        observer.on_delta(&text, O200k.count(&text).into());
        Ok(answer)
    }
}

/// Reads a whole body, up to [`LONGEST_BODY_BYTES`].
pub(super) async fn read_body(
    response: reqwest::Response,
    idle_timeout: Duration,
) -> Result<String, ProviderError> {
    let mut body = Vec::new();
    let mut bytes = Box::pin(bytes_without_silence(response, idle_timeout));
    while let Some(piece) = bytes.next().await {
        body.extend_from_slice(&piece?);
        if body.len() > LONGEST_BODY_BYTES {
            return Err(ProviderError::BrokenStream {
                reason: "the answer is longer than 16 MiB".to_owned(),
            });
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

async fn read_events(
    response: reqwest::Response,
    request: &Request,
    observer: &dyn StreamObserver,
    endpoint: &Endpoint,
) -> Result<Answer, ProviderError> {
    let mut answer = Answer::default();
    let mut output_tokens = 0_u64;
    let mut events = Box::pin(bytes_without_silence(response, request.idle_timeout).eventsource());
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| match error {
            eventsource_stream::EventStreamError::Transport(error) => error,
            other => ProviderError::BrokenStream {
                reason: other.to_string(),
            },
        })?;
        if event.data.trim() == DONE {
            return Ok(answer);
        }
        if event.data.trim().is_empty() {
            continue;
        }
        let text = answer.take(&event.data, request, endpoint)?;
        if !text.is_empty() {
            output_tokens += u64::from(O200k.count(&text));
            observer.on_delta(&text, output_tokens);
        }
        if answer.text.len() > LONGEST_BODY_BYTES {
            return Err(ProviderError::BrokenStream {
                reason: "the answer is longer than 16 MiB".to_owned(),
            });
        }
    }
    // Some servers close without [DONE]; that is an end only if the model said that it was done.
    if answer.is_finished() {
        Ok(answer)
    } else {
        Err(ProviderError::BrokenStream {
            reason: "the connection closed before the end".to_owned(),
        })
    }
}

/// The body's bytes; an error once nothing has come for `idle_timeout`.
fn bytes_without_silence(
    response: reqwest::Response,
    idle_timeout: Duration,
) -> impl Stream<Item = Result<Vec<u8>, ProviderError>> {
    stream::unfold(Some(response), move |response| async move {
        let mut response = response?;
        match tokio::time::timeout(idle_timeout, response.chunk()).await {
            Err(_) => Some((Err(ProviderError::Timeout { after: idle_timeout }), None)),
            Ok(Err(error)) => Some((
                Err(ProviderError::BrokenStream {
                    reason: root_cause(&error),
                }),
                None,
            )),
            Ok(Ok(None)) => None,
            Ok(Ok(Some(bytes))) => Some((Ok(bytes.to_vec()), Some(response))),
        }
    })
}

/// The innermost cause: reqwest's own texts say little and repeat the URL.
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}
