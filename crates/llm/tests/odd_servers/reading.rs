//! What comes is read as far as it can be.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::SystemClock;
use domain::usage::{MicroUsd, TokenUsage};
use llm::card::Cards;
use llm::error::ProviderError;
use llm::provider::openai_compatible::{Endpoint, OpenAiCompatible};
use llm::provider::{Provider, Unobserved};
use llm::request::Request;
use llm::response::FinishReason;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::server::{End, Reply, Server, ask, delta, events, raw, read, request, stop};

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
async fn silence_and_signs_of_life_leave_time_for_another_try() {
    let check = async |begin: &'static [u8], end: End| {
        let events = "200 OK\r\nContent-Type: text/event-stream";
        let reply = move || Reply {
            end,
            ..raw(events, begin)
        };
        let server = Server::start(move |_, _| reply()).await;
        let endpoint = Endpoint::new("p", server.url.parse().unwrap(), None);
        let client = OpenAiCompatible::new(endpoint, &Cards::default(), Arc::new(SystemClock)).unwrap();
        let impatient = Request {
            wait_limit: Duration::from_millis(600),
            ..request()
        };
        let error = client
            .generate(&impatient, &Unobserved, &CancellationToken::new())
            .await
            .unwrap_err()
            .error;
        assert!(
            matches!(error, ProviderError::Timeout { after } if after == impatient.wait_limit / 3),
            "{error}"
        );
    };
    check(b"", End::Hang).await;
    check(b"", End::KeepAlive(b": alive\n\n")).await;
    check(b"", End::KeepAlive(b"\n")).await;
    check(b"{", End::KeepAlive(b"\n")).await;
}

#[tokio::test]
async fn end_is_what_the_server_says_of_the_end() {
    let chunk = |content: &str, finish: &str| json!({ "choices": [{ "delta": { "content": content }, "finish_reason": finish }] });
    let check = async |chunks: Vec<Value>, end: End, expected: Result<&str, &str>| {
        let body = chunks
            .iter()
            .fold(String::new(), |body, chunk| body + &format!("data: {chunk}\n\n"));
        let reply = move || Reply {
            end,
            ..raw("200 OK\r\nContent-Type: text/event-stream", body.as_bytes())
        };
        let shown = format!("{chunks:?}");
        assert_eq!(read(reply).await, expected.map(str::to_owned), "{shown}");
    };
    let words = |word: &str| vec![chunk("Hel", word), chunk("lo", word)];
    // A word in every chunk says nothing of the end.
    check(words("null"), End::Close, Err("broken_stream")).await;
    check(words("running"), End::Close, Err("broken_stream")).await;
    let ended = [words("running"), vec![chunk("", "enough")]].concat();
    check(ended.clone(), End::Close, Ok("Hello")).await;
    // Signs of life after the end hold nobody up.
    check(ended, End::KeepAlive(b"data: {\"choices\": []}\n\n"), Ok("Hello")).await;
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
