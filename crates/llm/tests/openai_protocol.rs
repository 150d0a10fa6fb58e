//! The client against a mock server: what is sent, what is understood, and every way in which it can fail.

#![expect(
    clippy::unwrap_used,
    reason = "the exception for tests does not cover the functions that tests call"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::DateTime;
use domain::clock::FixedClock;
use domain::usage::{MicroUsd, TokenUsage};
use llm::card::{Cards, ModelCard, StructuredOutput};
use llm::error::ProviderError;
use llm::provider::openai_compatible::embeddings::{EmbeddingModel, KindMarks, OpenAiEmbedder};
use llm::provider::openai_compatible::{Dialect, Endpoint, OpenAiCompatible};
use llm::provider::{Embedder, EmbeddingKind, Provider, StreamObserver, Unobserved};
use llm::request::{Message, OutputSchema, Request, Sampling};
use llm::response::FinishReason;
use llm::retry::DEFAULT_WAIT_LIMIT;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wiremock::matchers::{body_partial_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const KEY: &str = "sk-test-1234567890";

fn endpoint(server: &MockServer) -> Endpoint {
    Endpoint::new(
        "remote",
        format!("{}/v1", server.uri()).parse().unwrap(),
        Some(KEY.into()),
    )
}

fn client(endpoint: Endpoint) -> OpenAiCompatible {
    let mut cards = Cards::default();
    cards.insert(ModelCard {
        structured_output: StructuredOutput::None,
        ..ModelCard::assumed("plain", "remote")
    });
    // 21 October 2015, 07:28:00 GMT.
    let clock = FixedClock::new(DateTime::from_timestamp(1_445_412_480, 0).unwrap());
    OpenAiCompatible::new(endpoint, &cards, Arc::new(clock)).unwrap()
}

fn request(model: &str) -> Request {
    Request {
        model: model.to_owned(),
        messages: vec![Message::system("Be brief."), Message::user("Say hello.")],
        schema: None,
        max_output_tokens: 100,
        sampling: Sampling {
            temperature: 0.7,
            top_p: Some(0.95),
            frequency_penalty: None,
            seed: Some(7),
        },
        idle_timeout: Duration::from_secs(5),
        wait_limit: DEFAULT_WAIT_LIMIT,
    }
}

fn shaped(model: &str) -> Request {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string", "minLength": 2 } } });
    Request {
        schema: Some(OutputSchema {
            name: "answer".to_owned(),
            schema,
        }),
        ..request(model)
    }
}

fn events(chunks: &[Value], end: &str) -> ResponseTemplate {
    let body: String = chunks
        .iter()
        .fold(String::new(), |body, chunk| body + &format!("data: {chunk}\n\n"));
    let body = format!(": OPENROUTER PROCESSING\n\n{body}{end}");
    ResponseTemplate::new(200).set_body_raw(body, "text/event-stream")
}

fn delta(text: &str) -> Value {
    json!({ "model": "m-1", "provider": "Upstream", "choices": [{ "delta": { "content": text }, "finish_reason": null }] })
}

fn stop() -> Value {
    json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] })
}

async fn generate(
    client: &OpenAiCompatible,
    request: &Request,
) -> Result<llm::response::Response, ProviderError> {
    client
        .generate(request, &Unobserved, &CancellationToken::new())
        .await
        .map_err(|failed| failed.error)
}

async fn answer_with(template: ResponseTemplate) -> Result<llm::response::Response, ProviderError> {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .respond_with(template)
        .mount(&server)
        .await;
    generate(&client(endpoint(&server)), &request("m")).await
}

#[derive(Default)]
struct Heard(Mutex<Vec<(String, u64)>>);

impl StreamObserver for Heard {
    fn on_delta(&self, delta: &str, output_tokens: u64) {
        self.0.lock().unwrap().push((delta.to_owned(), output_tokens));
    }
}

#[tokio::test]
async fn stream_is_put_together_with_usage_cost_and_upstream() {
    let server = MockServer::start().await;
    let usage =
        json!({ "choices": [], "usage": { "prompt_tokens": 20, "completion_tokens": 5, "cost": 0.000_123 } });
    let template = events(
        &[delta("Hel"), delta("lo \u{44f}"), stop(), usage],
        "data: [DONE]\n\n",
    );
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .and(header("authorization", format!("Bearer {KEY}").as_str()))
        .and(body_partial_json(json!({
            "model": "m", "stream": true, "stream_options": { "include_usage": true }, "max_tokens": 100,
            "temperature": 0.7, "top_p": 0.95, "seed": 7,
            "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Say hello." }],
        })))
        .respond_with(template)
        .expect(1)
        .mount(&server)
        .await;
    let heard = Heard::default();
    let client = client(endpoint(&server));
    let response = client
        .generate(&request("m"), &heard, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(response.text, "Hello \u{44f}");
    assert_eq!(response.finish_reason, FinishReason::Stop);
    assert_eq!(response.usage, TokenUsage::new(20, 5));
    assert_eq!(response.cost, Some(MicroUsd(123)));
    assert_eq!(
        (response.model.as_str(), response.upstream.as_deref()),
        ("m-1", Some("Upstream"))
    );
    let heard = heard.0.into_inner().unwrap();
    assert_eq!(
        heard.iter().map(|(text, _)| text.as_str()).collect::<String>(),
        response.text
    );
    assert!(heard.is_sorted_by_key(|(_, tokens)| *tokens));
}

#[tokio::test]
async fn plain_json_is_understood_where_stream_is_ignored() {
    let body = json!({ "choices": [{ "message": { "role": "assistant", "content": "Hello" }, "finish_reason": "length" }] });
    let response = answer_with(ResponseTemplate::new(200).set_body_json(body))
        .await
        .unwrap();
    assert_eq!(
        (response.text.as_str(), response.finish_reason),
        ("Hello", FinishReason::Length)
    );
    assert!(
        response.usage.input > 0 && response.usage.output > 0,
        "counted where the server does not say"
    );
    assert_eq!(response.cost, None);
}

#[tokio::test]
async fn cached_prompt_tokens_are_read_as_endpoints_name_them() {
    let check = async |details: Value, expected: u64| {
        let mut usage = json!({ "prompt_tokens": 20, "completion_tokens": 5 });
        for (field, value) in details.as_object().into_iter().flatten() {
            usage[field] = value.clone();
        }
        let body = json!({ "choices": [{ "message": { "content": "Hello" }, "finish_reason": "stop" }], "usage": usage });
        let response = answer_with(ResponseTemplate::new(200).set_body_json(body))
            .await
            .unwrap();
        assert_eq!(response.cached_input, expected, "{details}");
        assert_eq!(response.usage, TokenUsage::new(20, 5));
    };
    check(json!({}), 0).await;
    check(json!({ "prompt_tokens_details": null }), 0).await;
    check(json!({ "prompt_tokens_details": { "cached_tokens": null } }), 0).await;
    check(
        json!({ "prompt_tokens_details": { "cached_tokens": 16, "audio_tokens": 0 } }),
        16,
    )
    .await;
    check(
        json!({ "prompt_cache_hit_tokens": 12, "prompt_cache_miss_tokens": 8 }),
        12,
    )
    .await;
    check(json!({ "prompt_tokens_details": { "cached_tokens": 99 } }), 20).await;
}

#[tokio::test]
async fn stream_without_done_is_whole_if_the_model_was_done() {
    assert_eq!(
        answer_with(events(&[delta("Hello"), stop()], ""))
            .await
            .unwrap()
            .text,
        "Hello"
    );
}

/// The failure's code and whether it is transient.
async fn check(template: ResponseTemplate, code: &str, transient: bool) -> ProviderError {
    let error = answer_with(template).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), (code, transient), "{error}");
    assert!(!error.to_string().contains(KEY), "{error}");
    error
}

fn status(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status)
        .set_body_json(json!({ "error": { "message": format!("because {KEY}"), "code": status } }))
}

#[tokio::test]
async fn statuses_are_told_apart() {
    for (code, word, transient) in [
        (401, "unauthorized", false),
        (403, "unauthorized", false),
        (402, "no_credit", false),
        (404, "unknown_model", false),
        (400, "rejected", false),
        (413, "rejected", false),
        (422, "rejected", false),
        (408, "server_error", true),
        (409, "server_error", true),
        (425, "server_error", true),
        (429, "rate_limited", true),
        (500, "server_error", true),
        (503, "server_error", true),
        (529, "server_error", true),
    ] {
        let error = check(status(code), word, transient).await;
        if !matches!(error, ProviderError::RateLimited { .. }) {
            assert!(error.to_string().contains("because [key]"), "{error}");
        }
    }
    check(
        ResponseTemplate::new(502).set_body_string("<html>Bad Gateway</html>"),
        "server_error",
        true,
    )
    .await;
    let flagged =
        json!({ "error": { "code": 403, "message": "flagged", "metadata": { "reasons": ["violence"] } } });
    check(
        ResponseTemplate::new(403).set_body_json(flagged),
        "filtered",
        true,
    )
    .await;
}

#[tokio::test]
async fn retry_after_is_read_as_seconds_and_as_a_date() {
    for (value, expected) in [
        ("7", 7),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0),
    ] {
        let error = check(
            status(429).insert_header("retry-after", value),
            "rate_limited",
            true,
        )
        .await;
        assert_eq!(
            error.retry_after(),
            Some(Duration::from_secs(expected)),
            "{value}"
        );
        let error = check(
            status(503).insert_header("retry-after", value),
            "server_error",
            true,
        )
        .await;
        assert_eq!(
            error.retry_after(),
            Some(Duration::from_secs(expected)),
            "{value}"
        );
    }
    let error = check(
        status(429).insert_header("retry-after", "soon"),
        "rate_limited",
        true,
    )
    .await;
    assert_eq!(error.retry_after(), None);
}

#[tokio::test]
async fn errors_inside_a_good_answer_are_errors() {
    let error = |code: Value| json!({ "error": { "code": code, "message": "oh" } });
    check(
        ResponseTemplate::new(200).set_body_json(error(json!(429))),
        "rate_limited",
        true,
    )
    .await;
    check(
        ResponseTemplate::new(200).set_body_json(error(json!("insufficient_quota"))),
        "no_credit",
        false,
    )
    .await;
    check(
        ResponseTemplate::new(200).set_body_json(error(json!(null))),
        "server_error",
        true,
    )
    .await;
    check(
        events(&[delta("Hel"), error(json!(502))], "data: [DONE]\n\n"),
        "server_error",
        true,
    )
    .await;
    let in_choice =
        json!({ "choices": [{ "error": { "code": 429, "message": "oh" }, "finish_reason": "error" }] });
    check(
        events(&[delta("Hel"), in_choice], "data: [DONE]\n\n"),
        "rate_limited",
        true,
    )
    .await;
}

#[tokio::test]
async fn empty_and_broken_answers_are_transient() {
    check(
        ResponseTemplate::new(200).set_body_json(json!({ "choices": [] })),
        "empty",
        true,
    )
    .await;
    check(events(&[delta("  "), stop()], "data: [DONE]\n\n"), "empty", true).await;
    check(ResponseTemplate::new(200), "empty", true).await;
    check(events(&[delta("Hel")], ""), "broken_stream", true).await;
    check(
        events(&[delta("Hel")], "data: {\"choices\": [\n\n"),
        "broken_stream",
        true,
    )
    .await;
    let refusal =
        json!({ "choices": [{ "message": { "refusal": "I will not." }, "finish_reason": "stop" }] });
    check(
        ResponseTemplate::new(200).set_body_json(refusal),
        "filtered",
        true,
    )
    .await;
}

#[tokio::test]
async fn silence_is_a_timeout_and_nobody_listening_a_connect_error() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_mins(1));
    Mock::given(method("POST"))
        .respond_with(slow)
        .mount(&server)
        .await;
    let impatient = Request {
        idle_timeout: Duration::from_millis(50),
        ..request("m")
    };
    let error = generate(&client(endpoint(&server)), &impatient)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ProviderError::Timeout { after } if after == impatient.idle_timeout),
        "{error}"
    );

    let unused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = Endpoint::new("remote", format!("http://{unused}/v1").parse().unwrap(), None);
    let error = generate(&client(nobody), &request("m")).await.unwrap_err();
    assert!(
        matches!(&error, ProviderError::Connect { endpoint, .. } if *endpoint == unused.to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn cancelled_call_ends_at_once() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_mins(1));
    Mock::given(method("POST"))
        .respond_with(slow)
        .mount(&server)
        .await;
    let cancel = CancellationToken::new();
    let (client, request) = (client(endpoint(&server)), request("m"));
    let call = client.generate(&request, &Unobserved, &cancel);
    let (result, ()) = tokio::join!(call, async { cancel.cancel() });
    assert!(matches!(result.unwrap_err().error, ProviderError::Cancelled));
}

#[tokio::test]
async fn openrouter_is_asked_for_cost_and_for_upstreams_that_honour_the_schema() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(header("HTTP-Referer", "https://courses.example"))
        .and(header("X-Title", "Coursewright"))
        .and(body_partial_json(json!({
            "usage": { "include": true },
            "provider": { "require_parameters": true },
            "reasoning": { "effort": "low" },
            "response_format": { "type": "json_schema", "json_schema": { "name": "answer", "strict": true, "schema": {
                "type": "object", "additionalProperties": false, "required": ["a"],
                "properties": { "a": { "type": ["string", "null"], "description": "at least 2 characters" } },
            } } },
        })))
        .respond_with(events(&[delta("{}"), stop()], "data: [DONE]\n\n"))
        .expect(1)
        .mount(&server)
        .await;
    let mut endpoint = endpoint(&server);
    assert_eq!(
        Dialect::of(&"https://openrouter.ai/api/v1".parse().unwrap()),
        Dialect::OpenRouter
    );
    endpoint.dialect = Dialect::OpenRouter;
    endpoint.extra_headers = vec![
        ("HTTP-Referer".to_owned(), "https://courses.example".to_owned()),
        ("X-Title".to_owned(), "Coursewright".to_owned()),
    ];
    endpoint
        .extra_body
        .insert("reasoning".to_owned(), json!({ "effort": "low" }));
    generate(&client(endpoint), &shaped("m")).await.unwrap();
}

#[tokio::test]
async fn refused_response_format_is_lowered_once_and_remembered() {
    let server = MockServer::start().await;
    let refusal = json!({ "error": { "message": "response_format json_schema is not supported" } });
    Mock::given(method("POST"))
        .and(body_partial_json(
            json!({ "response_format": { "type": "json_schema" } }),
        ))
        .respond_with(ResponseTemplate::new(400).set_body_json(refusal))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(body_partial_json(
            json!({ "response_format": { "type": "json_object" } }),
        ))
        .respond_with(events(&[delta("{}"), stop()], "data: [DONE]\n\n"))
        .expect(2)
        .mount(&server)
        .await;
    let client = client(endpoint(&server));
    generate(&client, &shaped("m")).await.unwrap();
    generate(&client, &shaped("m")).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let last: Value = requests.last().unwrap().body_json().unwrap();
    assert!(
        last["messages"][0]["content"]
            .as_str()
            .unwrap()
            .contains("\"minLength\":2"),
        "the schema is in the prompt"
    );
}

#[tokio::test]
async fn model_without_structured_output_gets_the_schema_in_words_only() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(events(&[delta("{}"), stop()], ""))
        .mount(&server)
        .await;
    generate(&client(endpoint(&server)), &shaped("plain"))
        .await
        .unwrap();
    let body: Value = server.received_requests().await.unwrap()[0].body_json().unwrap();
    assert!(body.get("response_format").is_none());
    assert!(
        body["messages"][0]["content"]
            .as_str()
            .unwrap()
            .contains("JSON Schema")
    );
}

#[tokio::test]
async fn key_is_never_printed() {
    let server = MockServer::start().await;
    assert!(!format!("{:?}", client(endpoint(&server))).contains(KEY));
}

#[tokio::test]
async fn embeddings_are_marked_ordered_and_of_unit_length() {
    let server = MockServer::start().await;
    let data =
        json!({ "data": [{ "index": 1, "embedding": [0.0, 2.0] }, { "index": 0, "embedding": [3.0, 4.0] }] });
    Mock::given(method("POST"))
        .and(path("/v1/embeddings"))
        .and(body_partial_json(
            json!({ "model": "e", "input": ["query: a", "query: b"], "task": "retrieval.query" }),
        ))
        .respond_with(ResponseTemplate::new(200).set_body_json(data))
        .mount(&server)
        .await;
    let marks = KindMarks {
        prefix: "query: ".to_owned(),
        task: Some("retrieval.query".to_owned()),
    };
    let model = EmbeddingModel {
        model: "e".to_owned(),
        dimensions: 2,
        query: marks,
        passage: KindMarks::default(),
    };
    let clock = Arc::new(FixedClock::new(DateTime::UNIX_EPOCH));
    let embedder = OpenAiEmbedder::new(endpoint(&server), model.clone(), clock.clone()).unwrap();
    let texts = ["a", "b"].map(str::to_owned);
    assert_eq!(
        embedder.embed(&texts, EmbeddingKind::Query).await.unwrap(),
        [[0.6, 0.8], [0.0, 1.0]]
    );
    let error = embedder
        .embed(&texts[..1], EmbeddingKind::Query)
        .await
        .unwrap_err();
    assert_eq!(
        error.code(),
        "foreign_answer",
        "the mock knows only the pair: {error}"
    );

    let other = OpenAiEmbedder::new(
        endpoint(&server),
        EmbeddingModel {
            dimensions: 3,
            ..model
        },
        clock,
    )
    .unwrap();
    assert_eq!(
        other
            .embed(&texts, EmbeddingKind::Query)
            .await
            .unwrap_err()
            .code(),
        "setup"
    );
}
