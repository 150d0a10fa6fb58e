//! Batches whose answers are sent one by one as they are ready: `httpBatchStreamLink` of `@trpc/client` 11, which asks for
//! them with `trpc-accept: application/jsonl` (`@trpc/server`, `stream/jsonl.ts`).
//!
//! The first line says that each call's answer follows in a chunk of its own; each further line is one such chunk:
//! `[chunk, 0, [[answer]]]`. The status is 200 before the first answer is known, so that errors stand in the answers.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use futures::stream::{self, StreamExt};
use serde_json::{Map, Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::{Asked, BATCH_PARALLEL, answer, envelope};
use crate::http::middleware::CountedAs;
use crate::http::request::Knock;

/// What asks for lines, and the type of the answer.
pub(in crate::http) const MEDIA_TYPE: &str = "application/jsonl";
/// A chunk is the answer to a call (`CHUNK_VALUE_TYPE_PROMISE`) and holds it (`PROMISE_STATUS_FULFILLED`).
const PROMISE: u8 = 0;
const FULFILLED: u8 = 0;

/// Whether the caller wants lines.
pub(super) fn wanted(headers: &HeaderMap) -> bool {
    [header::HeaderName::from_static("trpc-accept"), header::ACCEPT]
        .iter()
        .any(|name| headers.get(name).is_some_and(|value| value == MEDIA_TYPE))
}

/// The answers to all calls, the first that is ready first. The room of the inputs is taken until the last is sent.
pub(super) fn response(
    asked: Arc<Asked>,
    method: Method,
    inputs: Vec<Value>,
    room: Option<OwnedSemaphorePermit>,
    knock: Arc<Knock>,
) -> Response {
    let head = line(&head_of(inputs.len()));
    let answers = stream::iter(inputs.into_iter().enumerate())
        .map(move |(place, input)| {
            let (asked, method, knock) = (Arc::clone(&asked), method.clone(), Arc::clone(&knock));
            async move {
                let path = &asked.paths[place];
                let outcome = answer(&asked, path, &method, input, &knock).await;
                line(&chunk_of(place, &envelope(path, &outcome, &knock)))
            }
        })
        .buffer_unordered(BATCH_PARALLEL);
    let lines = stream::once(std::future::ready(head))
        .chain(answers)
        .map(move |line| {
            let _taken = &room;
            Ok::<_, Infallible>(line)
        });
    let mut response = Response::new(Body::from_stream(lines));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response.extensions_mut().insert(CountedAs("batch"));
    response
}

/// Which chunk brings the answer to which call: that of the same number.
fn head_of(calls: usize) -> Value {
    let head = (0..calls).map(|place| (place.to_string(), json!([[0], [null, PROMISE, place]])));
    Value::Object(head.collect::<Map<_, _>>())
}

fn chunk_of(place: usize, answer: &Value) -> Value {
    json!([place, FULFILLED, [[answer]]])
}

fn line(value: &Value) -> String {
    let mut line = value.to_string();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_protocol() {
        assert_eq!(
            line(&head_of(2)),
            "{\"0\":[[0],[null,0,0]],\"1\":[[0],[null,0,1]]}\n"
        );
        assert_eq!(line(&chunk_of(1, &json!({ "a": 1 }))), "[1,0,[[{\"a\":1}]]]\n");
    }

    #[test]
    fn lines_are_asked_for_with_a_header() {
        let check = |name: &'static str, value: &'static str, is_wanted: bool| {
            let headers = HeaderMap::from_iter([(
                header::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )]);
            assert_eq!(wanted(&headers), is_wanted, "{name}: {value}");
        };
        check("trpc-accept", "application/jsonl", true);
        check("accept", "application/jsonl", true);
        check("accept", "*/*", false);
        check("trpc-accept", "application/json", false);
    }
}
