//! The client against servers that speak the protocol in their own ways: what comes is read as far as it can be, and
//! what is refused is asked for in another way.

#![expect(
    clippy::unwrap_used,
    reason = "the exception for tests does not cover the functions that tests call"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::clock::SystemClock;
use domain::usage::{MicroUsd, TokenUsage};
use llm::capability::CapabilityBook;
use llm::card::{Cards, Granularity, ModelCard};
use llm::error::FailedAttempt;
use llm::provider::openai_compatible::{Endpoint, OpenAiCompatible};
use llm::provider::{Provider, Unobserved};
use llm::request::{Message, OutputSchema, Request, Sampling};
use llm::response::{FinishReason, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What a server does with a request's body.
type Behaviour = Arc<dyn Fn(&Value, usize) -> Reply + Send + Sync>;

/// The bytes of a response, and what happens after them.
struct Reply {
    bytes: Vec<u8>,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    /// The connection stays open and silent.
    Hang,
    /// The connection stays open, and signs of life come for ever.
    KeepAlive,
}

fn raw(head: &str, body: &[u8]) -> Reply {
    let mut bytes = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    Reply {
        bytes,
        end: End::Close,
    }
}

fn events(chunks: &[Value]) -> Reply {
    let body = chunks
        .iter()
        .fold(String::new(), |body, chunk| body + &format!("data: {chunk}\n\n"));
    raw(
        "200 OK\r\nContent-Type: text/event-stream",
        format!("{body}data: [DONE]\n\n").as_bytes(),
    )
}

fn refused(status: u16, message: &str) -> Reply {
    let body = json!({ "error": { "message": message } }).to_string();
    raw(
        &format!("{status} No\r\nContent-Type: application/json"),
        body.as_bytes(),
    )
}

fn delta(content: &Value) -> Value {
    json!({ "choices": [{ "delta": { "content": content }, "finish_reason": null }] })
}

fn stop() -> Value {
    json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] })
}

struct Server {
    url: String,
    /// The bodies that came.
    bodies: Arc<Mutex<Vec<Value>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(behaviour: impl Fn(&Value, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let bodies: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (seen, behaviour): (_, Behaviour) = (Arc::clone(&bodies), Arc::new(behaviour));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, Arc::clone(&seen), Arc::clone(&behaviour)));
            }
        });
        Self {
            url,
            bodies,
            _tasks: tasks,
        }
    }

    fn client(&self) -> OpenAiCompatible {
        let mut endpoint = Endpoint::new("p", self.url.parse().unwrap(), None);
        endpoint.content_timeout = Some(Duration::from_millis(300));
        OpenAiCompatible::new(endpoint, &Cards::default(), Arc::new(SystemClock)).unwrap()
    }

    fn bodies(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }
}

async fn serve(mut socket: TcpStream, seen: Arc<Mutex<Vec<Value>>>, behaviour: Behaviour) {
    let mut request = Vec::new();
    let body = loop {
        let mut piece = [0; 16 * 1024];
        let read = socket.read(&mut piece).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((_, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        if let Ok(body) = serde_json::from_str::<Value>(body) {
            break body;
        }
    };
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(body.clone());
        seen.len()
    };
    let reply = behaviour(&body, number);
    let _ = socket.write_all(&reply.bytes).await;
    match reply.end {
        End::Close => {}
        End::Hang => std::future::pending().await,
        End::KeepAlive => {
            while socket.write_all(b": alive\n\n").await.is_ok() {
                tokio::task::yield_now().await;
            }
        }
    }
}

fn request() -> Request {
    Request {
        model: "m".to_owned(),
        messages: vec![Message::system("Be brief."), Message::user("Say hello.")],
        schema: Some(OutputSchema {
            name: "answer".to_owned(),
            schema: json!({ "type": "object", "properties": { "a": { "type": "string" } } }),
        }),
        max_output_tokens: 8192,
        sampling: Sampling {
            seed: Some(7),
            ..Sampling::default()
        },
        idle_timeout: Duration::from_secs(5),
    }
}

async fn ask(client: &OpenAiCompatible) -> Result<Response, FailedAttempt> {
    client
        .generate(&request(), &Unobserved, &CancellationToken::new())
        .await
}

/// The text that the client reads, or the code of its failure.
async fn read(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Result<String, &'static str> {
    let server = Server::start(move |_, _| reply()).await;
    match ask(&server.client()).await {
        Ok(response) => Ok(response.text),
        Err(failed) => Err(failed.error.code()),
    }
}

#[tokio::test]
async fn answers_are_told_by_what_comes() {
    let sse = || format!("data: {}\n\ndata: {}\n\n", delta(&json!("Hello")), stop());
    let whole =
        || json!({ "choices": [{ "message": { "content": "Hello" }, "finish_reason": "stop" }] }).to_string();
    for head in [
        "200 OK\r\nContent-Type: text/event-stream",
        "200 OK\r\nContent-Type: application/json",
        "200 OK\r\nContent-Type: text/plain; charset=utf-8",
        "200 OK",
    ] {
        assert_eq!(
            read(move || raw(head, sse().as_bytes())).await.as_deref(),
            Ok("Hello"),
            "{head}"
        );
        assert_eq!(
            read(move || raw(head, whole().as_bytes())).await.as_deref(),
            Ok("Hello"),
            "{head}"
        );
        let marked = move || [b"\xef\xbb\xbf", sse().as_bytes()].concat();
        assert_eq!(
            read(move || raw(head, &marked())).await.as_deref(),
            Ok("Hello"),
            "BOM, {head}"
        );
    }
    let lines = || format!("{}\n{}\n", delta(&json!("Hel")), delta(&json!("lo")));
    assert_eq!(
        read(move || raw("200 OK", lines().as_bytes())).await.as_deref(),
        Ok("Hello")
    );
    let page = b"<html><title>Sign in</title></html>";
    assert_eq!(read(move || raw("200 OK", page)).await, Err("foreign_answer"));
    assert_eq!(
        read(|| raw("200 OK", b"{\"ok\": true}")).await,
        Err("foreign_answer")
    );
    assert_eq!(read(|| raw("200 OK", b"")).await, Err("empty"));
    let redirect = "308 Permanent Redirect\r\nLocation: https://elsewhere.example/v1";
    assert_eq!(read(move || raw(redirect, b"")).await, Err("foreign_answer"));
}

/// What the client reads of a stream of these chunks.
async fn check(chunks: Vec<Value>, expected: Result<&str, &str>) {
    let shown = format!("{chunks:?}");
    let found = read(move || events(&chunks)).await;
    assert_eq!(found.as_deref().map_err(|code| *code), expected, "{shown}");
}

fn hello() -> Value {
    delta(&json!("Hello"))
}

#[tokio::test]
async fn only_text_and_finish_are_insisted_on() {
    check(
        vec![delta(&json!([{ "type": "text", "text": "Hello" }])), stop()],
        Ok("Hello"),
    )
    .await;
    check(
        vec![
            delta(&json!([{ "type": "thinking", "thinking": [{ "text": "hm" }] }, { "text": "Hello" }])),
            stop(),
        ],
        Ok("Hello"),
    )
    .await;
    check(
        vec![
            json!({ "choices": [{ "delta": null }] }),
            json!({ "choices": null }),
            hello(),
            stop(),
        ],
        Ok("Hello"),
    )
    .await;
    check(
        vec![
            json!({ "usage": [], "model": 3, "provider": {} }),
            hello(),
            stop(),
        ],
        Ok("Hello"),
    )
    .await;
    check(
        vec![
            hello(),
            json!({ "error": {}, "choices": [{ "delta": {}, "finish_reason": "stop" }] }),
        ],
        Ok("Hello"),
    )
    .await;
    check(
        vec![
            hello(),
            json!({ "choices": [{ "finish_reason": "stop", "message": { "content": "Hello" } }] }),
        ],
        Ok("Hello"),
    )
    .await;
    check(
        vec![
            hello(),
            json!({ "base_resp": { "status_code": 1008, "status_msg": "insufficient balance" } }),
        ],
        Err("no_credit"),
    )
    .await;
    check(
        vec![
            hello(),
            json!({ "choices": [{ "delta": {}, "finish_reason": "error" }] }),
        ],
        Err("broken_stream"),
    )
    .await;
    check(
        vec![
            hello(),
            json!({ "choices": [{ "delta": {}, "finish_reason": "SAFETY" }] }),
        ],
        Err("filtered"),
    )
    .await;
}

#[tokio::test]
async fn answer_is_taken_where_it_stands() {
    check(
        vec![
            json!({ "choices": [{ "delta": { "reasoning_content": "{\"a\": \"b\"}" } }] }),
            stop(),
        ],
        Ok("{\"a\": \"b\"}"),
    )
    .await;
    check(
        vec![
            json!({ "choices": [{ "delta": { "reasoning": "hm" } }] }),
            json!({ "choices": [{ "delta": {}, "finish_reason": "length" }] }),
        ],
        Err("no_room"),
    )
    .await;
    check(
        vec![
            json!({ "choices": [{ "delta": { "tool_calls": [{ "function": { "arguments": "{}" } }] } }] }),
            json!({ "choices": [{ "delta": {}, "finish_reason": "tool_calls" }] }),
        ],
        Ok("{}"),
    )
    .await;
    check(vec![delta(&json!("\u{0}Hello")), stop()], Ok("Hello")).await;
}

#[tokio::test]
async fn finished_answer_is_whole_whatever_the_connection_does() {
    let begun = || {
        let mut reply = events(&[delta(&json!("Hello")), stop()]);
        let done = b"data: [DONE]\n\n".len();
        reply.bytes.truncate(reply.bytes.len() - done);
        reply
    };
    assert_eq!(read(begun).await.as_deref(), Ok("Hello"));
    let hanging = move || Reply {
        end: End::Hang,
        ..begun()
    };
    assert_eq!(read(hanging).await.as_deref(), Ok("Hello"));
    let garbage = || {
        let first = raw("200 OK", b"data: {not json\n\n");
        let rest = events(&[delta(&json!("Hello")), stop()]);
        let start = rest
            .bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap()
            + 4;
        let bytes = [&first.bytes[..], &rest.bytes[start..]].concat();
        Reply { bytes, ..first }
    };
    assert_eq!(read(garbage).await.as_deref(), Ok("Hello"));
    let hole = || {
        raw(
            "200 OK",
            b"data: {\"choices\": [{\"delta\": {\"content\": \"Hel\n\ndata: [DONE]\n\n",
        )
    };
    assert_eq!(
        read(hole).await,
        Err("broken_stream"),
        "a text with a hole is not whole"
    );
}

#[tokio::test]
async fn signs_of_life_without_content_are_a_timeout() {
    let alive = || Reply {
        end: End::KeepAlive,
        ..raw("200 OK\r\nContent-Type: text/event-stream", b": alive\n\n")
    };
    assert_eq!(read(alive).await, Err("timeout"));
}

#[tokio::test]
async fn money_is_read_in_all_forms_and_kept_when_the_answer_breaks() {
    let check = async |usage: Value, expected: (u64, u64), cost: Option<f64>| {
        let shown = usage.to_string();
        let chunks = [
            delta(&json!("Hello")),
            stop(),
            json!({ "choices": [], "usage": usage }),
        ];
        let server = Server::start(move |_, _| events(&chunks)).await;
        let response = ask(&server.client()).await.unwrap();
        assert_eq!(response.cost, cost.map(MicroUsd::from_usd), "{shown}");
        assert_eq!(response.usage, TokenUsage::new(expected.0, expected.1), "{shown}");
    };
    check(
        json!({ "prompt_tokens": 20, "completion_tokens": 5, "cost": "0.5" }),
        (20, 5),
        Some(0.5),
    )
    .await;
    check(
        json!({ "prompt_tokens": 20, "completion_tokens": 5, "cost": { "total_cost": 0.25 } }),
        (20, 5),
        Some(0.25),
    )
    .await;
    check(
        json!({ "prompt_tokens": 20, "completion_tokens": 5, "total_tokens": u64::MAX, "cost": 1e300 }),
        (20, 5),
        None,
    )
    .await;
    check(
        json!({ "prompt_tokens": 20, "completion_tokens": 5, "cost": -1 }),
        (20, 5),
        None,
    )
    .await;
    check(
        json!({ "prompt_tokens": "20", "completion_tokens": 5.0, "prompt_tokens_details": [] }),
        (20, 5),
        None,
    )
    .await;
    check(json!({ "prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 5025, "completion_tokens_details": { "reasoning_tokens": 5000 } }), (20, 5005), None).await;
    check(
        json!({ "prompt_tokens": 20, "completion_tokens": 5, "cost": 0.01, "is_byok": true, "cost_details": { "upstream_inference_cost": 0.05 } }),
        (20, 5),
        Some(0.06),
    )
    .await;
    let broken = || {
        let mut paid = delta(&json!("Hel"));
        paid["usage"] = json!({ "prompt_tokens": 20, "completion_tokens": 5, "cost": 0.36 });
        let mut reply = events(&[paid]);
        let done = b"data: [DONE]\n\n".len();
        reply.bytes.truncate(reply.bytes.len() - done);
        reply
    };
    let server = Server::start(move |_, _| broken()).await;
    let failed = ask(&server.client()).await.unwrap_err();
    assert_eq!(failed.error.code(), "broken_stream");
    assert_eq!(failed.spent.unwrap().cost, Some(MicroUsd::from_usd(0.36)));
}

#[tokio::test]
async fn finish_reasons_are_known_by_all_their_names() {
    for (word, expected) in [
        ("stop", FinishReason::Stop),
        ("STOP", FinishReason::Stop),
        ("end_turn", FinishReason::Stop),
        ("tool_calls", FinishReason::Stop),
        ("length", FinishReason::Length),
        ("MAX_TOKENS", FinishReason::Length),
        ("whatever", FinishReason::Other),
    ] {
        let end = json!({ "choices": [{ "delta": {}, "finish_reason": word }] });
        let server = Server::start(move |_, _| events(&[delta(&json!("Hello")), end.clone()])).await;
        assert_eq!(
            ask(&server.client()).await.unwrap().finish_reason,
            expected,
            "{word}"
        );
    }
}

/// A server that refuses whatever `is_refused` finds in a body, in these words.
async fn refusing(status: u16, message: &'static str, is_refused: fn(&Value) -> bool) -> Server {
    Server::start(move |body, _| {
        if is_refused(body) {
            refused(status, message)
        } else {
            events(&[delta(&json!("{}")), stop()])
        }
    })
    .await
}

#[tokio::test]
async fn refusals_are_negotiated_once_and_remembered() {
    let check = async |status: u16, message: &'static str, is_refused: fn(&Value) -> bool, learnt: &str| {
        let server = refusing(status, message, is_refused).await;
        let book = Arc::new(CapabilityBook::default());
        let client = server.client().learning_in(Arc::clone(&book));
        ask(&client)
            .await
            .unwrap_or_else(|failed| panic!("{message}: {failed}"));
        let asked = server.bodies().len();
        ask(&client).await.unwrap();
        assert_eq!(server.bodies().len(), asked + 1, "asked right at once: {message}");
        let news = book.take_news();
        assert_eq!(news.len(), 1, "{message}");
        assert_eq!(news[0].capabilities.to_string(), learnt, "{message}");
    };
    check(400, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", |body| body.get("max_tokens").is_some(), "json_schema; max_completion_tokens").await;
    check(
        400,
        "Unrecognized request argument supplied: stream_options",
        |body| body.get("stream_options").is_some(),
        "json_schema; without stream_options",
    )
    .await;
    check(
        400,
        "max_tokens is too large: 8192. This model supports at most 4096 completion tokens",
        |body| body["max_tokens"].as_u64() > Some(4096),
        "json_schema; answers of 4096 tokens at most",
    )
    .await;
    check(
        400,
        "System role not supported",
        |body| body["messages"][0]["role"] == "system",
        "json_schema; no system role",
    )
    .await;
    check(
        500,
        "failed to parse grammar",
        |body| body["response_format"]["type"] == "json_schema",
        "json_object",
    )
    .await;
    check(
        400,
        "response_format is not supported",
        |body| body.get("response_format").is_some(),
        "schema in words",
    )
    .await;
    // Nobody knows these words: one thing is left out after another.
    check(
        400,
        "Bad request",
        |body| body.get("seed").is_some(),
        "json_schema; without seed",
    )
    .await;
    check(
        422,
        "no",
        |body| body.get("response_format").is_some() || body.get("seed").is_some(),
        "schema in words; no system role; without seed, stream_options, temperature",
    )
    .await;
}

#[tokio::test]
async fn small_pieces_are_asked_for_with_their_patterns_until_these_are_refused() {
    let schema = json!({ "type": "object", "properties": { "title": { "type": "string", "pattern": "^Adding [a-z]+$" } },
        "required": ["title"], "additionalProperties": false });
    let check = async |message: &'static str, refuses: fn(&Value) -> bool, formats: &[(&str, bool, bool)]| {
        let server = refusing(400, message, refuses).await;
        let mut cards = Cards::default();
        cards.insert(ModelCard {
            granularity: Granularity::Small,
            ..ModelCard::assumed("m", "p")
        });
        let endpoint = Endpoint::new("p", server.url.parse().unwrap(), None);
        let client = OpenAiCompatible::new(endpoint, &cards, Arc::new(SystemClock)).unwrap();
        let mut question = request();
        question.schema = Some(OutputSchema {
            name: "piece".to_owned(),
            schema: schema.clone(),
        });
        client
            .generate(&question, &Unobserved, &CancellationToken::new())
            .await
            .unwrap();
        let asked: Vec<(String, bool, bool)> = server
            .bodies()
            .iter()
            .map(|body| {
                let format = &body["response_format"];
                let is_strict = format["json_schema"]["strict"] == true;
                let kind = format["type"].as_str().unwrap_or("none").to_owned();
                (kind, is_strict, format.to_string().contains("^Adding"))
            })
            .collect();
        let expected: Vec<(String, bool, bool)> = formats
            .iter()
            .map(|(kind, is_strict, has_pattern)| ((*kind).to_owned(), *is_strict, *has_pattern))
            .collect();
        assert_eq!(asked, expected, "{message}");
    };
    check("no", |_| false, &[("json_schema", false, true)]).await;
    let has_pattern = |body: &Value| body["response_format"].to_string().contains("pattern");
    for message in [
        "The provided JSON schema contains features not supported: pattern",
        "Bad request",
    ] {
        check(
            message,
            has_pattern,
            &[("json_schema", false, true), ("json_schema", true, false)],
        )
        .await;
    }
}

#[tokio::test]
async fn window_that_a_refusal_names_is_kept_also_by_a_call_that_does_not_fit() {
    let message = "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens (808 in the messages, 8192 in the completion).";
    let server = refusing(400, message, |body| {
        body["max_tokens"].as_u64() > Some(4096 - 808)
    })
    .await;
    let client = server.client();
    ask(&client).await.unwrap();
    assert_eq!(client.capabilities("m").context_window, Some(4096));
    let never = refusing(
        400,
        "the request exceeds the available context size (4096 tokens), prompt 5000 tokens",
        |_| true,
    )
    .await;
    let client = never.client();
    assert_eq!(ask(&client).await.unwrap_err().error.code(), "too_long");
    assert_eq!(client.capabilities("m").context_window, Some(4096));
}

#[tokio::test]
async fn refusal_that_nothing_mends_is_told_in_the_servers_words() {
    let server = refusing(400, "No, and no again", |_| true).await;
    let error = ask(&server.client()).await.unwrap_err().error;
    assert!(error.to_string().contains("No, and no again"), "{error}");
    assert!(server.bodies().len() < 12, "{}", server.bodies().len());
}
