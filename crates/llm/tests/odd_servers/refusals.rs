//! What is refused is asked for in another way.

use std::sync::Arc;

use domain::clock::SystemClock;
use llm::capability::CapabilityBook;
use llm::card::{Cards, Granularity, ModelCard};
use llm::provider::openai_compatible::{Endpoint, OpenAiCompatible};
use llm::provider::{Provider, Unobserved};
use llm::request::OutputSchema;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::server::{Server, ask, delta, events, refused, request, stop};

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
    let (full, strict) = (("json_schema", false, true), ("json_schema", true, false));
    check(
        "The provided JSON schema contains features not supported: pattern",
        has_pattern,
        &[full, strict],
    )
    .await;
    check("Bad request", has_pattern, &[full, full, strict]).await;
}

#[tokio::test]
async fn refusal_without_a_reason_that_passes_teaches_nothing() {
    let server = Server::start(|_, number| {
        if number == 1 {
            refused(400, "Provider returned error")
        } else {
            events(&[delta(&json!("{}")), stop()])
        }
    })
    .await;
    let book = Arc::new(CapabilityBook::default());
    let client = server.client().learning_in(Arc::clone(&book));
    ask(&client).await.unwrap();
    let bodies = server.bodies();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(book.take_news(), []);
}

#[tokio::test]
async fn refusal_inside_an_answer_is_negotiated_where_nothing_came_before_it() {
    let error = json!({ "error": { "code": 400, "type": "BadRequestError",
        "message": "The provided JSON schema contains features not supported by xgrammar." } });
    let check = async |before: Vec<Value>, expected: Result<(), &str>, requests: usize| {
        let error = error.clone();
        let server = Server::start(move |body, _| {
            if body["response_format"]["type"] == "json_schema" {
                events(&[before.clone(), vec![error.clone()]].concat())
            } else {
                events(&[delta(&json!("{}")), stop()])
            }
        })
        .await;
        let outcome = ask(&server.client()).await;
        assert_eq!(
            outcome.map(|_| ()).map_err(|failed| failed.error.code()),
            expected
        );
        assert_eq!(server.bodies().len(), requests);
    };
    check(vec![], Ok(()), 2).await;
    // What was billed or written is no refusal any more.
    check(vec![delta(&json!("{"))], Err("rejected"), 1).await;
    let billed = json!({ "choices": [], "usage": { "prompt_tokens": 9, "completion_tokens": 0 } });
    check(vec![billed], Err("rejected"), 1).await;
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
