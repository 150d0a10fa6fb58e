//! Reading an answer: server-sent events, or one JSON body where the endpoint ignores `stream`. What it is told by what
//! comes, for content types are often wrong.

use std::time::Duration;

use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt, stream};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::Answer;
use super::failure::sentence_of_page;
use super::refusal::{self, Refusal};
use super::{Attempt, Endpoint};
use crate::budget::{O200k, TokenCounter};
use crate::error::{FailedAttempt, ProviderError};
use crate::provider::StreamObserver;
use crate::request::Request;

/// An answer or error body beyond this is not read to its end: no course text is as long.
pub(super) const LONGEST_BODY_BYTES: usize = 16 * 1024 * 1024;
/// How long the server may take to tell what an answer cost after the model has said that it is done.
const FINISH_PATIENCE: Duration = Duration::from_secs(3);

/// The event that ends a stream.
const DONE: &str = "[DONE]";

/// How long an endpoint may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Without a byte.
    pub(super) idle: Duration,
    /// Without anything that is written or thought, however many signs of life come.
    pub(super) content: Duration,
}

type Bytes = Result<Vec<u8>, ProviderError>;

/// Reads a response whose status was good.
///
/// # Errors
/// A refusal that came in place of an answer; else what went wrong, with what the server says was used.
pub(super) async fn read(
    response: reqwest::Response,
    request: &Request,
    observer: &dyn StreamObserver,
    endpoint: &Endpoint,
    patience: Patience,
) -> Result<Answer, Attempt> {
    let mut bytes = Box::pin(bytes_without_silence(response, patience.idle));
    let content_until = Instant::now() + patience.content;
    // The first thing that is no white space tells what it is.
    let mut head = Vec::new();
    let kind = loop {
        if let Some(kind) = Kind::of(&head) {
            break kind;
        }
        if head.len() > LONGEST_BODY_BYTES {
            return Err(too_long().into());
        }
        match timeout_at(content_until, bytes.next()).await {
            Ok(Some(piece)) => head.extend_from_slice(&piece?),
            Ok(None) => return Err(ProviderError::Empty.into()),
            // White space alone keeps a connection alive.
            Err(_) => {
                let after = patience.content;
                return Err(ProviderError::Timeout { after }.into());
            }
        }
    };
    let start = head.len() - without_bom(&head).len();
    let rest = stream::once(std::future::ready(Ok(head[start..].to_vec()))).chain(bytes);
    match kind {
        Kind::Events => read_events(rest, request, observer, endpoint, patience).await,
        Kind::Json | Kind::Page => {
            let body = collected(rest, patience.content).await?;
            read_whole(&body, request, observer, endpoint)
        }
    }
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Events,
    Json,
    Page,
}

impl Kind {
    /// `None`: nothing has come that tells.
    fn of(head: &[u8]) -> Option<Self> {
        let first = without_bom(head)
            .iter()
            .find(|byte| !byte.is_ascii_whitespace())?;
        Some(match first {
            b'{' | b'[' => Self::Json,
            b'<' => Self::Page,
            _ => Self::Events,
        })
    }
}

/// Some servers begin with a byte order mark, which no part of the protocol allows and the parser of events cannot read.
fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Reads a whole body, up to [`LONGEST_BODY_BYTES`].
///
/// # Errors
/// If it breaks off, is silent for `idle_timeout`, or is longer.
pub(super) async fn read_body(
    response: reqwest::Response,
    idle_timeout: Duration,
) -> Result<String, ProviderError> {
    collected(
        Box::pin(bytes_without_silence(response, idle_timeout)),
        idle_timeout,
    )
    .await
}

/// The whole of a body; an error once nothing but white space has come for `content_timeout`.
async fn collected(
    mut bytes: impl Stream<Item = Bytes> + Unpin,
    content_timeout: Duration,
) -> Result<String, ProviderError> {
    let mut body = Vec::new();
    let mut content_until = Instant::now() + content_timeout;
    loop {
        let piece = timeout_at(content_until, bytes.next())
            .await
            .map_err(|_| ProviderError::Timeout {
                after: content_timeout,
            })?;
        let Some(piece) = piece.transpose()? else { break };
        if piece.iter().any(|byte| !byte.is_ascii_whitespace()) {
            content_until = Instant::now() + content_timeout;
        }
        body.extend_from_slice(&piece);
        if body.len() > LONGEST_BODY_BYTES {
            return Err(too_long());
        }
    }
    Ok(String::from_utf8_lossy(without_bom(&body)).into_owned())
}

fn too_long() -> ProviderError {
    ProviderError::BrokenStream {
        reason: "the answer is longer than 16 MiB".to_owned(),
    }
}

fn read_whole(
    body: &str,
    request: &Request,
    observer: &dyn StreamObserver,
    endpoint: &Endpoint,
) -> Result<Answer, Attempt> {
    let mut answer = Answer::default();
    let mut output_tokens = 0_u64;
    // One value, or a line for each chunk.
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(body).into_iter().collect();
    let values = values.map_err(|_| foreign(body, endpoint))?;
    if !values.iter().any(is_of_the_protocol) {
        return Err(foreign(body, endpoint).into());
    }
    for value in &values {
        let text = answer
            .take(value, endpoint)
            .map_err(|refusal| stopped(&answer, refusal, request, endpoint))?;
        if !text.is_empty() {
            output_tokens += u64::from(O200k.count(&text));
            observer.on_delta(&text, output_tokens);
        }
    }
    Ok(answer)
}

fn is_of_the_protocol(value: &Value) -> bool {
    ["choices", "error", "base_resp", "usage"]
        .iter()
        .any(|key| value.get(*key).is_some())
}

/// A good status with something that is no answer: mostly a page of a proxy or of a login.
fn foreign(body: &str, endpoint: &Endpoint) -> ProviderError {
    /// Enough to recognise it by.
    const SHOWN_CHARS: usize = 120;
    // A key that the cut would halve could not be recognised any more.
    let sentence = endpoint.redacted(&sentence_of_page(body));
    ProviderError::Foreign {
        address: endpoint.host(),
        message: sentence.chars().take(SHOWN_CHARS).collect(),
    }
}

async fn read_events(
    bytes: impl Stream<Item = Bytes> + Unpin,
    request: &Request,
    observer: &dyn StreamObserver,
    endpoint: &Endpoint,
    patience: Patience,
) -> Result<Answer, Attempt> {
    let mut answer = Answer::default();
    let mut output_tokens = 0_u64;
    let mut events = bytes.eventsource();
    let mut content_until = Instant::now() + patience.content;
    let mut finish_until = None;
    let mut unreadable = None;
    loop {
        let deadline = if answer.is_finished() {
            *finish_until.get_or_insert_with(|| Instant::now() + FINISH_PATIENCE)
        } else {
            content_until
        };
        let event = match timeout_at(deadline, events.next()).await {
            Ok(Some(Ok(event))) => event,
            // What comes or does not come after the end of an answer takes nothing from it.
            Err(_) | Ok(Some(Err(_)) | None) if answer.is_finished() => return Ok(answer),
            Err(_) => {
                let error = ProviderError::Timeout {
                    after: patience.content,
                };
                return Err(answer.failed(error).into());
            }
            Ok(Some(Err(error))) => return Err(answer.failed(broken(error)).into()),
            Ok(None) => break,
        };
        let data = event.data.trim();
        if data == DONE {
            return Ok(ended(answer, unreadable, endpoint)?);
        }
        if data.is_empty() {
            continue;
        }
        let Ok(chunk) = serde_json::from_str::<Value>(data) else {
            // What cannot have carried a part of the text is left out; a text with a hole would pass for whole.
            if data.contains("content") && !answer.is_finished() {
                let reason = "a part of the answer is not the protocol's JSON".to_owned();
                return Err(answer.failed(ProviderError::BrokenStream { reason }).into());
            }
            unreadable.get_or_insert_with(|| data.to_owned());
            continue;
        };
        let before = answer.size();
        let text = answer
            .take(&chunk, endpoint)
            .map_err(|refusal| stopped(&answer, refusal, request, endpoint))?;
        if answer.size() > before {
            content_until = Instant::now() + patience.content;
        }
        if !text.is_empty() {
            output_tokens += u64::from(O200k.count(&text));
            observer.on_delta(&text, output_tokens);
        }
        if answer.size() > LONGEST_BODY_BYTES {
            return Err(answer.failed(too_long()).into());
        }
    }
    // Some servers close without [DONE]; that is an end only if the model said that it was done.
    if answer.is_finished() {
        return Ok(answer);
    }
    if answer.size() == 0 && unreadable.is_some() {
        return Ok(ended(answer, unreadable, endpoint)?);
    }
    let reason = "the connection closed before the end".to_owned();
    Err(answer.failed(ProviderError::BrokenStream { reason }).into())
}

/// What a refusal inside an answer is: in its place and free of charge it can be negotiated as any other.
fn stopped(answer: &Answer, refusal: Box<Refusal>, request: &Request, endpoint: &Endpoint) -> Attempt {
    if answer.size() == 0 && answer.spent().is_none() {
        return Attempt::Refused(refusal);
    }
    let error = refusal::failure(&refusal, &request.model, &endpoint.host());
    Attempt::Failed(answer.failed(error))
}

/// The answer at the end of its stream; if nothing of it could be read, that is told.
fn ended(answer: Answer, unreadable: Option<String>, endpoint: &Endpoint) -> Result<Answer, FailedAttempt> {
    match unreadable {
        Some(data) if answer.size() == 0 && !answer.is_finished() => {
            Err(answer.failed(foreign(&data, endpoint)))
        }
        _ => Ok(answer),
    }
}

fn broken(error: eventsource_stream::EventStreamError<ProviderError>) -> ProviderError {
    match error {
        eventsource_stream::EventStreamError::Transport(error) => error,
        other => ProviderError::BrokenStream {
            reason: other.to_string(),
        },
    }
}

/// The body's bytes; an error once nothing has come for `idle_timeout`.
fn bytes_without_silence(response: reqwest::Response, idle_timeout: Duration) -> impl Stream<Item = Bytes> {
    stream::unfold(Some(response), move |response| async move {
        let mut response = response?;
        match timeout(idle_timeout, response.chunk()).await {
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
