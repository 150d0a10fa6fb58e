//! A script behind a real socket: a small server that speaks the OpenAI protocol, streaming included.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use super::{Script, ScriptedAnswer, WordEmbedder, pieces_of, usage_of};
use crate::error::ProviderError;
use crate::provider::{Embedder, EmbeddingKind};
use crate::request::{Message, OutputSchema, Request, Sampling};
use crate::response::FinishReason;

/// Longest request body, in bytes.
const LONGEST_REQUEST: usize = 32 * 1024 * 1024;
/// A script that wants to hang does so for longer than any client waits.
const PATIENCE: Duration = Duration::from_mins(10);
/// Length of the vectors that `/embeddings` gives.
const DIMENSIONS: usize = 256;

type Body = BoxBody<Bytes, io::Error>;
type HttpResponse = hyper::Response<Body>;

/// The server; it stops when this is dropped.
#[derive(Debug)]
pub struct ScriptedServer {
    base_url: Url,
    /// Owns the task that accepts, which owns those that serve.
    _tasks: JoinSet<()>,
}

impl ScriptedServer {
    /// Starts on a free port of this machine: chat completions by `script`, embeddings by words (lenient ones).
    ///
    /// # Errors
    /// If no socket can be opened.
    pub async fn start(script: Script) -> io::Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), script).await
    }

    /// Starts on `address`.
    ///
    /// # Errors
    /// If the socket cannot be opened.
    pub async fn start_on(address: SocketAddr, script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let base_url =
            Url::parse(&format!("http://{}/v1", listener.local_addr()?)).map_err(io::Error::other)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, script));
        Ok(Self {
            base_url,
            _tasks: tasks,
        })
    }

    /// The URL to configure as base, version included: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> Url {
        self.base_url.clone()
    }
}

async fn accept(listener: TcpListener, script: Script) {
    let calls = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (script, calls) = (Arc::clone(&script), Arc::clone(&calls));
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let (script, calls) = (Arc::clone(&script), Arc::clone(&calls));
                async move { answer(request, &script, &calls).await }
            });
            // An error here is a client that went away or a failure that the script wants.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    script: &Script,
    calls: &AtomicUsize,
) -> Result<HttpResponse, io::Error> {
    let path = request.uri().path().to_owned();
    if request.method() == Method::GET && path.ends_with("/models") {
        return Ok(json_response(
            StatusCode::OK,
            &json!({ "object": "list", "data": [{ "id": "scripted", "object": "model" }] }),
        ));
    }
    if request.method() != Method::POST {
        return Ok(error_response(StatusCode::NOT_FOUND, "no such path"));
    }
    let body = Limited::new(request.into_body(), LONGEST_REQUEST)
        .collect()
        .await
        .map_err(io::Error::other)?;
    let body: Value = match serde_json::from_slice(&body.to_bytes()) {
        Ok(body) => body,
        Err(error) => return Ok(error_response(StatusCode::BAD_REQUEST, &error.to_string())),
    };
    match path.rsplit('/').next() {
        Some("completions") => completion(&body, script, calls.fetch_add(1, Ordering::SeqCst)).await,
        Some("embeddings") => Ok(embeddings(&body).await),
        _ => Ok(error_response(StatusCode::NOT_FOUND, "no such path")),
    }
}

#[derive(Deserialize)]
struct Asked {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    #[serde(alias = "max_completion_tokens")]
    max_tokens: Option<u32>,
    temperature: Option<f32>,
    seed: Option<u64>,
    response_format: Option<Value>,
}

impl Asked {
    fn into_request(self) -> Request {
        let format = self
            .response_format
            .as_ref()
            .and_then(|format| format.get("json_schema"));
        let schema = format.and_then(|format| {
            let name = format
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or("answer")
                .to_owned();
            Some(OutputSchema {
                name,
                schema: format.get("schema")?.clone(),
            })
        });
        let default = Sampling::default();
        Request {
            model: self.model,
            messages: self.messages,
            schema,
            max_output_tokens: self.max_tokens.unwrap_or(u32::MAX),
            sampling: Sampling {
                temperature: self.temperature.unwrap_or(default.temperature),
                seed: self.seed,
                ..default
            },
            idle_timeout: PATIENCE,
        }
    }
}

async fn completion(body: &Value, script: &Script, call: usize) -> Result<HttpResponse, io::Error> {
    let asked = match Asked::deserialize(body) {
        Ok(asked) => asked,
        Err(error) => return Ok(error_response(StatusCode::BAD_REQUEST, &error.to_string())),
    };
    let is_stream = asked.stream;
    let request = asked.into_request();
    let reply = script(&request, call);
    tokio::time::sleep(reply.delay).await;
    match reply.outcome {
        Ok(answer) if is_stream => {
            let events = stream::iter(events_of(&request, &answer).into_iter().map(Ok));
            Ok(event_stream(events))
        }
        Ok(answer) => Ok(json_response(StatusCode::OK, &whole_answer(&request, &answer))),
        Err(error) => failure(&request, error),
    }
}

fn finish_word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Other => "other",
    }
}

fn usage_json(request: &Request, answer: &ScriptedAnswer) -> Value {
    let usage = usage_of(request, &answer.text);
    let mut json = json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
    });
    if let Some(cost) = answer.cost {
        json["cost"] = json!(cost.as_usd());
    }
    if answer.cached_input > 0 {
        json["prompt_tokens_details"] = json!({ "cached_tokens": answer.cached_input });
    }
    json
}

fn whole_answer(request: &Request, answer: &ScriptedAnswer) -> Value {
    json!({
        "id": "scripted",
        "object": "chat.completion",
        "model": request.model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": answer.text },
            "finish_reason": finish_word(answer.finish_reason),
        }],
        "usage": usage_json(request, answer),
    })
}

fn events_of(request: &Request, answer: &ScriptedAnswer) -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({
            "id": "scripted",
            "object": "chat.completion.chunk",
            "model": request.model,
            "choices": choices,
            "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let mut events = vec![": scripted\n\n".to_owned()];
    for piece in pieces_of(&answer.text) {
        let choice = json!([{ "index": 0, "delta": { "content": piece }, "finish_reason": null }]);
        events.push(chunk(choice, Value::Null));
    }
    let end = json!([{ "index": 0, "delta": {}, "finish_reason": finish_word(answer.finish_reason) }]);
    events.push(chunk(end, Value::Null));
    events.push(chunk(json!([]), usage_json(request, answer)));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn failure(request: &Request, error: ProviderError) -> Result<HttpResponse, io::Error> {
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
        ProviderError::BrokenStream { reason } => {
            let answer = ScriptedAnswer {
                text: "{\"title\": \"".to_owned(),
                finish_reason: FinishReason::Stop,
                cost: None,
                cached_input: 0,
            };
            let begun = stream::iter(events_of(request, &answer).into_iter().take(2).map(Ok));
            // A pause lets the server send what it has before it closes the connection.
            let break_off = stream::once(async move {
                tokio::task::yield_now().await;
                Err(io::Error::other(reason))
            });
            return Ok(event_stream(begun.chain(break_off)));
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
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = error_response(status, &message);
    if let Some(wait) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, wait.as_secs().into());
    }
    Ok(response)
}

async fn embeddings(body: &Value) -> HttpResponse {
    let texts: Vec<String> = match body.get("input") {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(texts)) => texts
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => return error_response(StatusCode::BAD_REQUEST, "input is missing"),
    };
    let vectors = WordEmbedder::new(DIMENSIONS)
        .lenient()
        .embed(&texts, EmbeddingKind::Passage)
        .await
        .unwrap_or_default();
    let data: Vec<Value> = (0..)
        .zip(vectors)
        .map(|(index, vector): (usize, _)| json!({ "object": "embedding", "index": index, "embedding": vector }))
        .collect();
    json_response(
        StatusCode::OK,
        &json!({ "object": "list", "model": body["model"], "data": data }),
    )
}

fn event_stream(events: impl Stream<Item = io::Result<String>> + Send + Sync + 'static) -> HttpResponse {
    let frames = events.map(|event| event.map(|event| Frame::data(Bytes::from(event))));
    let mut response = hyper::Response::new(BodyExt::boxed(StreamBody::new(frames)));
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/event-stream"),
    );
    response
}

fn json_response(status: StatusCode, body: &Value) -> HttpResponse {
    let whole = Full::new(Bytes::from(body.to_string())).map_err(|never: Infallible| match never {});
    let mut response = hyper::Response::new(whole.boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/json"),
    );
    response
}

fn error_response(status: StatusCode, message: &str) -> HttpResponse {
    json_response(
        status,
        &json!({ "error": { "code": status.as_u16(), "message": message } }),
    )
}
