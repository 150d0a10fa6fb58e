//! Replies as bytes: whole answers, streams of events, failures and pages.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use domain::usage::MicroUsd;
use futures::{Stream, StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::StatusCode;
use hyper::body::{Bytes, Frame};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use super::super::delivery::{Oddity, Page, Usage};
use super::super::{ScriptedAnswer, pieces_of, usage_of};
use crate::error::ProviderError;
use crate::request::Request;
use crate::response::FinishReason;

type Body = BoxBody<Bytes, io::Error>;
pub(super) type HttpResponse = hyper::Response<Body>;

const EVENTS: &str = "text/event-stream";
const JSON: &str = "application/json";
/// When answers were made, in seconds since 1970: proxies read it, and it must not change from run to run.
const CREATED: u64 = 1_700_000_000;
const BYTE_ORDER_MARK: &str = "\u{feff}";
/// What a model that thinks says to itself: braces and quotes of its own.
const THOUGHT: &str =
    "Okay, the user wants JSON, something like {\"title\": \"...\"}. Let me think about it. ";

/// An answer on its way.
pub(super) struct Letter<'a> {
    pub(super) request: &'a Request,
    pub(super) answer: &'a ScriptedAnswer,
    /// What the server reports as its cost.
    pub(super) cost: Option<MicroUsd>,
    /// The function that is called with the answer, where one is asked for.
    pub(super) tool: Option<String>,
}

impl Letter<'_> {
    /// The answer in one piece.
    pub(super) fn whole(&self, oddity: Option<Oddity>) -> HttpResponse {
        let content = match oddity {
            Some(Oddity::ContentParts) => json!([{ "type": "text", "text": self.answer.text }]),
            _ => json!(self.answer.text),
        };
        let mut message = json!({ "role": "assistant", "content": content });
        if oddity == Some(Oddity::ThoughtBeside) {
            message["reasoning_content"] = json!(THOUGHT);
        }
        if let Some(call) = self.tool_call(&self.answer.text) {
            message["content"] = Value::Null;
            message["tool_calls"] = call;
        }
        let body = json!({
            "id": "scripted",
            "object": "chat.completion",
            "created": CREATED,
            "service_tier": "default",
            "model": self.request.model,
            "choices": [{
                "index": 0,
                "message": message,
                "finish_reason": self.finish_word(),
            }],
            "usage": self.usage(oddity),
        });
        let mark = if oddity == Some(Oddity::ByteOrderMark) {
            BYTE_ORDER_MARK
        } else {
            ""
        };
        let kind = match oddity {
            Some(Oddity::WholeAsEvents) => Some(EVENTS),
            Some(Oddity::EventsAsText) => Some("text/plain; charset=utf-8"),
            Some(Oddity::EventsUntyped) => None,
            _ => Some(JSON),
        };
        response(
            StatusCode::OK,
            kind,
            Full::new(Bytes::from(format!("{mark}{body}"))),
        )
    }

    /// The answer as a stream of events.
    pub(super) fn streamed(&self, oddity: Option<Oddity>) -> HttpResponse {
        let mut events = self.events(oddity);
        let mut open_for = Duration::ZERO;
        match oddity {
            Some(Oddity::ByteOrderMark) => events.insert(0, BYTE_ORDER_MARK.to_owned()),
            Some(Oddity::NoDone) => events.truncate(events.len() - 1),
            Some(Oddity::StaysOpen(time)) => {
                events.truncate(events.len() - 1);
                open_for = time;
            }
            _ => {}
        }
        let end = stream::once(async move {
            tokio::time::sleep(open_for).await;
            Ok(String::new())
        });
        let kind = match oddity {
            Some(Oddity::EventsAsJson) => Some(JSON),
            Some(Oddity::EventsAsText) => Some("text/plain; charset=utf-8"),
            Some(Oddity::EventsUntyped) => None,
            _ => Some(EVENTS),
        };
        events_response(kind, stream::iter(events.into_iter().map(Ok)).chain(end))
    }

    /// The beginning of a stream that breaks off.
    pub(super) fn broken(&self, usage: Usage) -> HttpResponse {
        let events = self.events(None);
        let mut begun: Vec<String> = events.iter().take(3).cloned().collect();
        if usage == Usage::Reported {
            // As servers do that report the usage with every chunk.
            let choice = json!([{ "index": 0, "delta": { "content": "" }, "finish_reason": null }]);
            begun.push(self.chunk(&choice, &self.usage(None)));
        }
        let break_off = stream::once(async {
            // A pause lets the server send what it has before it closes the connection.
            tokio::task::yield_now().await;
            Err(io::Error::other("scripted break"))
        });
        events_response(
            Some(EVENTS),
            stream::iter(begun.into_iter().map(Ok)).chain(break_off),
        )
    }

    /// A thought that used up all tokens.
    pub(super) fn thought(&self) -> HttpResponse {
        let mut events: Vec<String> = (0..5)
            .map(|_| {
                let delta = json!({ "content": "", "reasoning_content": THOUGHT });
                self.chunk(
                    &json!([{ "index": 0, "delta": delta, "finish_reason": null }]),
                    &Value::Null,
                )
            })
            .collect();
        let end = json!([{ "index": 0, "delta": { "content": "" }, "finish_reason": "length" }]);
        events.push(self.chunk(&end, &Value::Null));
        let mut usage = self.usage(None);
        usage["completion_tokens_details"] = json!({ "reasoning_tokens": usage["completion_tokens"] });
        events.push(self.chunk(&json!([]), &usage));
        events.push(DONE.to_owned());
        events_response(Some(EVENTS), stream::iter(events.into_iter().map(Ok)))
    }

    fn events(&self, oddity: Option<Oddity>) -> Vec<String> {
        let mut events = vec![": scripted\n\n".to_owned()];
        let choice = |delta: Value| json!([{ "index": 0, "delta": delta, "finish_reason": null }]);
        if oddity == Some(Oddity::ThoughtBeside) {
            let delta = json!({ "role": "assistant", "content": null, "reasoning_content": THOUGHT, "reasoning": THOUGHT });
            events.push(self.chunk(&choice(delta), &Value::Null));
        }
        for piece in pieces_of(&self.answer.text) {
            let content = match oddity {
                Some(Oddity::ContentParts) => json!([{ "type": "text", "text": piece }]),
                _ => json!(piece),
            };
            let delta = match self.tool_call(&piece) {
                Some(call) => json!({ "tool_calls": call }),
                None => json!({ "content": content }),
            };
            events.push(self.chunk(&choice(delta), &Value::Null));
        }
        let word = self.finish_word();
        let end = json!([{ "index": 0, "delta": {}, "finish_reason": word }]);
        events.push(match oddity {
            Some(Oddity::EmptyError) => {
                let chunk = json!({ "id": "scripted", "object": "chat.completion.chunk", "created": CREATED, "model": self.request.model, "choices": end, "error": {} });
                event(&chunk)
            }
            _ => self.chunk(&end, &Value::Null),
        });
        events.push(self.chunk(&json!([]), &self.usage(oddity)));
        events.push(DONE.to_owned());
        events
    }

    /// The call of the function that was asked for, with this part of its arguments.
    fn tool_call(&self, arguments: &str) -> Option<Value> {
        let name = self.tool.as_ref()?;
        Some(json!([{
            "index": 0,
            "id": "call_scripted",
            "type": "function",
            "function": { "name": name, "arguments": arguments },
        }]))
    }

    fn finish_word(&self) -> &'static str {
        match self.answer.finish_reason {
            FinishReason::Stop if self.tool.is_some() => "tool_calls",
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::ContentFilter => "content_filter",
            FinishReason::Other => "other",
        }
    }

    fn chunk(&self, choices: &Value, usage: &Value) -> String {
        event(&json!({
            "id": "scripted",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "service_tier": "default",
            "model": self.request.model,
            "choices": choices,
            "usage": usage,
        }))
    }

    fn usage(&self, oddity: Option<Oddity>) -> Value {
        let usage = usage_of(self.request, &self.answer.text);
        let mut json = match oddity {
            Some(Oddity::UsageNull) => return Value::Null,
            Some(Oddity::UsageTypes) => json!({
                "prompt_tokens": usage.input.to_string(),
                "completion_tokens": usage.output as f64,
                "total_tokens": null,
                "prompt_tokens_details": [{ "modality": "TEXT", "token_count": usage.input }],
                "completion_tokens_details": null,
            }),
            _ => json!({
                "prompt_tokens": usage.input,
                "completion_tokens": usage.output,
                "total_tokens": usage.total,
            }),
        };
        if let Some(cost) = self.cost {
            json["cost"] = json!(cost.as_usd());
        }
        if self.answer.cached_input > 0 && oddity.is_none() {
            json["prompt_tokens_details"] = json!({ "cached_tokens": self.answer.cached_input });
        }
        json
    }
}

const DONE: &str = "data: [DONE]\n\n";

fn event(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

/// A failure as the common servers tell it.
///
/// # Errors
/// Where the failure is that the connection closes.
pub(super) fn failure(request: &Request, error: ProviderError) -> Result<HttpResponse, io::Error> {
    let (status, retry_after, message) = match error {
        ProviderError::RateLimited { retry_after, message } => (429, retry_after, message),
        ProviderError::Server {
            status,
            message,
            retry_after,
        } => (status, retry_after, message),
        ProviderError::Unauthorized { status, message } | ProviderError::Rejected { status, message } => {
            (status, None, message)
        }
        ProviderError::Filtered { message } => (400, None, message),
        ProviderError::NoCredit { message } => (402, None, message),
        ProviderError::UnknownModel { message, .. } => (404, None, message),
        ProviderError::Empty => {
            let nothing = json!({ "id": "scripted", "model": request.model, "choices": [] });
            return Ok(json_response(StatusCode::OK, &nothing));
        }
        ProviderError::BrokenStream { .. } => {
            let answer = ScriptedAnswer {
                text: "{\"title\": \"".to_owned(),
                finish_reason: FinishReason::Stop,
                cost: None,
                cached_input: 0,
            };
            let letter = Letter {
                request,
                answer: &answer,
                cost: None,
                tool: None,
            };
            return Ok(letter.broken(Usage::Missing));
        }
        // An error closes the connection without an answer.
        ProviderError::Connect { reason, .. } => return Err(io::Error::other(reason)),
        ProviderError::TooLong { message, .. } | ProviderError::Foreign { message, .. } => {
            (400, None, message)
        }
        ProviderError::Timeout { .. }
        | ProviderError::NoRoom { .. }
        | ProviderError::BreakerOpen { .. }
        | ProviderError::Cancelled
        | ProviderError::Setup(_) => (504, None, "scripted failure".to_owned()),
    };
    let mut response = error_response(status_of(status), &message);
    if let Some(wait) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, wait.as_secs().into());
    }
    Ok(response)
}

/// A page as it is.
pub(super) fn page(page: &Page) -> HttpResponse {
    let body = Full::new(Bytes::from(page.body.clone()));
    let mut response = response(status_of(page.status), Some(page.content_type), body);
    for (name, value) in &page.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    }
    response
}

pub(super) fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

pub(super) fn json_response(status: StatusCode, body: &Value) -> HttpResponse {
    response(status, Some(JSON), Full::new(Bytes::from(body.to_string())))
}

pub(super) fn error_response(status: StatusCode, message: &str) -> HttpResponse {
    json_response(
        status,
        &json!({ "error": { "code": status.as_u16(), "message": message } }),
    )
}

fn events_response(
    kind: Option<&'static str>,
    events: impl Stream<Item = io::Result<String>> + Send + Sync + 'static,
) -> HttpResponse {
    let frames = events.map(|event| event.map(|event| Frame::data(Bytes::from(event))));
    typed(
        hyper::Response::new(BodyExt::boxed(StreamBody::new(frames))),
        kind,
    )
}

fn response(status: StatusCode, kind: Option<&'static str>, body: Full<Bytes>) -> HttpResponse {
    let whole = body.map_err(|never: Infallible| match never {});
    let mut response = hyper::Response::new(whole.boxed());
    *response.status_mut() = status;
    typed(response, kind)
}

fn typed(mut response: HttpResponse, kind: Option<&'static str>) -> HttpResponse {
    if let Some(kind) = kind {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}
