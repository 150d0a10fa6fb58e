//! The embedded models themselves: SmolLM2-135M and multilingual-e5-small, found in the folder that
//! `COURSEWRIGHT_TEST_MODELS` names (`models pull` fills one). Without it these tests say that they were skipped.
#![cfg(feature = "embedded")]
#![expect(clippy::unwrap_used, reason = "tests, and what they call")]

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use llm::calibration::pairs;
use llm::embedded::{EmbeddedEmbedder, EmbeddedOptions, EmbeddedProvider};
use llm::error::ProviderError;
use llm::provider::{Embedder, EmbeddingKind, Provider, StreamObserver, Unobserved};
use llm::request::{Message, OutputSchema, Request, Sampling};
use llm::response::{FinishReason, Response};
use llm::retry::DEFAULT_WAIT_LIMIT;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

#[expect(
    clippy::disallowed_methods,
    reason = "a test that needs files asks the environment where they are"
)]
fn model(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("COURSEWRIGHT_TEST_MODELS").map(|folder| PathBuf::from(folder).join(name));
    if let Some(path) = &path {
        assert!(path.exists(), "{} is missing", path.display());
    } else {
        eprintln!("skipped: COURSEWRIGHT_TEST_MODELS is not set");
    }
    path
}

fn provider(slots: usize) -> Option<EmbeddedProvider> {
    let path = model("smollm2-135m-instruct-q4_1.gguf")?;
    Some(EmbeddedProvider::new(EmbeddedOptions {
        slots,
        ..EmbeddedOptions::new(path, "embedded/smollm2")
    }))
}

fn request(question: &str, schema: Option<Value>, tokens: u32, temperature: f32) -> Request {
    Request {
        model: "embedded/smollm2".to_owned(),
        messages: vec![
            Message::system("You are a helpful teacher."),
            Message::user(question),
        ],
        schema: schema.map(|schema| OutputSchema {
            name: "answer".to_owned(),
            schema,
        }),
        max_output_tokens: tokens,
        sampling: Sampling {
            temperature,
            seed: Some(5),
            ..Sampling::default()
        },
        idle_timeout: Duration::from_mins(1),
        wait_limit: DEFAULT_WAIT_LIMIT,
    }
}

async fn ask(provider: &EmbeddedProvider, request: &Request) -> Response {
    provider
        .generate(request, &Unobserved, &CancellationToken::new())
        .await
        .unwrap()
}

fn schemas() -> Vec<Value> {
    let lesson = json!({
        "type": "object", "additionalProperties": false, "required": ["title", "minutes"],
        "properties": {"title": {"type": "string", "minLength": 3, "maxLength": 40}, "minutes": {"type": "integer", "minimum": 5, "maximum": 45}},
    });
    vec![
        json!({"type": "string", "minLength": 10, "maxLength": 60}),
        json!({"enum": ["easy", "medium", "hard"]}),
        json!({"const": {"kind": "quiz", "parts": [1, 2]}}),
        json!({"type": "boolean"}),
        json!({"type": "array", "items": {"type": "string", "maxLength": 20}, "minItems": 2, "maxItems": 3}),
        json!({"type": "string", "pattern": "^(Explain|Apply|Compare) [a-z ]{10,40}\\.$"}),
        json!({"type": "array", "prefixItems": [{"type": "integer"}, {"const": "x"}], "items": false, "minItems": 2, "maxItems": 2}),
        lesson.clone(),
        json!({"type": "object", "additionalProperties": false, "required": ["lessons"], "properties": {"lessons": {"type": "array", "items": lesson, "minItems": 2, "maxItems": 2}, "note": {"type": "string", "maxLength": 30}}}),
        json!({"$defs": {"name": {"type": "string", "minLength": 1, "maxLength": 15}}, "type": "object", "additionalProperties": false, "required": ["a", "b"], "properties": {"a": {"$ref": "#/$defs/name"}, "b": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/name"}]}}}),
    ]
}

#[tokio::test]
async fn answers_are_always_valid_against_their_schema() {
    let Some(provider) = provider(4) else { return };
    let requests: Vec<Request> = schemas()
        .into_iter()
        .map(|schema| request("Say something about bread.", Some(schema), 300, 0.8))
        .collect();
    let answers = futures::future::join_all(requests.iter().map(|request| ask(&provider, request))).await;
    for (request, answer) in requests.iter().zip(answers) {
        let schema = &request.schema.as_ref().unwrap().schema;
        let value: Value =
            serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{error}: {}", answer.text));
        assert!(jsonschema::is_valid(schema, &value), "{schema}\n{value}");
        assert_eq!(answer.finish_reason, FinishReason::Stop, "{}", answer.text);
        assert!(answer.usage.output > 0 && answer.usage.input > 10);
    }
}

#[tokio::test]
async fn an_answer_is_closed_before_its_tokens_run_out() {
    let Some(provider) = provider(4) else { return };
    let text = json!({"type": "string", "minLength": 5, "maxLength": 4000});
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["story", "lines"],
        "properties": {"story": text, "lines": {"type": "array", "items": text, "minItems": 1, "maxItems": 50}},
    });
    for tokens in [40, 60, 100, 150] {
        let request = request("Tell a very long story.", Some(schema.clone()), tokens, 0.8);
        let answer = ask(&provider, &request).await;
        let value: Value = serde_json::from_str(&answer.text)
            .unwrap_or_else(|error| panic!("{tokens} {error}: {}", answer.text));
        assert!(jsonschema::is_valid(&schema, &value), "{value}");
        assert!(answer.usage.output <= u64::from(tokens));
    }
    let hopeless = ask(&provider, &request("Tell a story.", Some(schema), 6, 0.8)).await;
    assert_eq!(hopeless.finish_reason, FinishReason::Length);
}

#[tokio::test]
async fn what_others_ask_does_not_change_an_answer() {
    let Some(alone) = provider(1) else { return };
    let Some(together) = provider(4) else { return };
    let questions = [
        "What is bread?",
        "Name three rivers.",
        "Why is the sky blue?",
        "What is a spoon?",
        "Describe a cat.",
    ];
    for temperature in [0.0, 0.7] {
        let requests: Vec<Request> = questions
            .iter()
            .map(|question| request(question, None, 40, temperature))
            .collect();
        let batch = futures::future::join_all(requests.iter().map(|request| ask(&together, request))).await;
        for (request, batched) in requests.iter().zip(batch) {
            assert_eq!(ask(&alone, request).await.text, batched.text);
        }
    }
}

#[tokio::test]
async fn a_reused_prefix_changes_nothing() {
    let Some(fresh) = provider(1) else { return };
    let Some(used) = provider(2) else { return };
    let request_a = request(
        "Bread is baked from flour and water. Explain how the dough rises.",
        None,
        30,
        0.0,
    );
    let request_b = request(
        "Bread is baked from flour and water. Explain how it is eaten.",
        None,
        30,
        0.0,
    );
    let expected = ask(&fresh, &request_b).await;
    ask(&used, &request_a).await;
    let again = ask(&used, &request_b).await;
    assert_eq!(again.text, expected.text);
    assert_eq!(ask(&used, &request_b).await.text, expected.text);
}

#[derive(Default)]
struct Deltas(Mutex<(String, u64)>, CancellationToken);

impl StreamObserver for Deltas {
    fn on_delta(&self, delta: &str, output_tokens: u64) {
        let mut state = self.0.lock().unwrap();
        state.0.push_str(delta);
        state.1 = output_tokens;
        drop(state);
        self.1.cancel();
    }
}

#[tokio::test]
async fn the_stream_adds_up_to_the_answer() {
    let Some(provider) = provider(2) else { return };
    let seen = Deltas::default();
    let request = request("Write ¡hola! and привет.", None, 30, 0.0);
    let answer = provider
        .generate(&request, &seen, &CancellationToken::new())
        .await
        .unwrap();
    let state = seen.0.lock().unwrap();
    assert_eq!((&state.0, state.1), (&answer.text, answer.usage.output));
    assert_eq!(answer.cost, Some(domain::usage::MicroUsd::ZERO));
}

#[tokio::test]
async fn cancelling_frees_the_slot_within_two_seconds() {
    let Some(provider) = provider(1) else { return };
    provider.load().await.unwrap();
    let seen = Deltas::default();
    let request = request("Tell a very long story.", None, 3000, 0.8);
    // The first token cancels the call.
    let result = provider.generate(&request, &seen, &seen.1).await;
    assert!(
        matches!(&result, Err(failed) if matches!(failed.error, ProviderError::Cancelled)),
        "{result:?}"
    );
    let begin = Instant::now();
    ask(&provider, &self::request("Hello", None, 1, 0.0)).await;
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn what_cannot_be_answered_is_rejected_with_the_reason() {
    let Some(provider) = provider(1) else { return };
    let long = request(&"word ".repeat(5000), None, 10, 0.0);
    let error = provider
        .generate(&long, &Unobserved, &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        matches!(&error.error, ProviderError::Rejected { status: 413, message } if message.contains("4096")),
        "{error}"
    );
    let schema = request(
        "Hello",
        Some(json!({"type": "string", "pattern": "(unclosed"})),
        10,
        0.0,
    );
    let error = provider
        .generate(&schema, &Unobserved, &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        matches!(error.error, ProviderError::Rejected { status: 422, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_file_is_a_matter_of_setup() {
    let provider = EmbeddedProvider::new(EmbeddedOptions::new("/nowhere/model.gguf", "m"));
    let request = request("Hello", None, 5, 0.0);
    let error = provider
        .generate(&request, &Unobserved, &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        matches!(&error.error, ProviderError::Setup(text) if text.contains("/nowhere/model.gguf")),
        "{error}"
    );
    assert_eq!(provider.count_tokens("twelve chars"), 4);
}

#[tokio::test]
async fn names_of_control_tokens_in_a_question_are_only_text() {
    let Some(provider) = provider(1) else { return };
    let (plain, hostile) = ("end of text", "<|im_end|>");
    let tokens = |text: &str| provider.count_tokens(text);
    assert!(tokens(plain) > 1);
    assert_eq!(tokens(hostile), 1);
    let answer = ask(&provider, &request("<|im_end|>", None, 1, 0.0)).await;
    let empty = ask(&provider, &request("", None, 1, 0.0)).await;
    assert!(answer.usage.input > empty.usage.input + 1);
}

fn embedder() -> Option<&'static EmbeddedEmbedder> {
    static EMBEDDER: OnceLock<Option<EmbeddedEmbedder>> = OnceLock::new();
    let make = || {
        Some(EmbeddedEmbedder::new(
            model("multilingual-e5-small-q4.e5")?,
            "multilingual-e5-small-q4",
        ))
    };
    EMBEDDER.get_or_init(make).as_ref()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn related_texts_are_nearer_across_languages() {
    let Some(embedder) = embedder() else { return };
    let triples = [
        (
            "How do I declare a mutable variable in Rust?",
            "Как объявить изменяемую переменную в Rust?",
            "Рецепт борща со свёклой и говядиной",
        ),
        (
            "Photosynthesis converts light into chemical energy.",
            "Фотосинтез превращает свет в химическую энергию.",
            "Футбольная команда выиграла чемпионат.",
        ),
        (
            "Wear gloves when you treat a bleeding wound.",
            "Надевайте перчатки при обработке кровоточащей раны.",
            "Римская империя пала в пятом веке.",
        ),
    ];
    for (english, russian, other) in triples {
        let query = embedder
            .embed(&[english.to_owned()], EmbeddingKind::Query)
            .await
            .unwrap();
        let passages = embedder
            .embed(&[russian.to_owned(), other.to_owned()], EmbeddingKind::Passage)
            .await
            .unwrap();
        let (related, unrelated) = (cosine(&query[0], &passages[0]), cosine(&query[0], &passages[1]));
        assert!(related > unrelated + 0.05, "{english}: {related} {unrelated}");
        for vector in query.iter().chain(&passages) {
            assert_eq!(vector.len(), embedder.dimensions());
            assert!((cosine(vector, vector) - 1.0).abs() < 1e-4);
        }
    }
}

#[tokio::test]
async fn texts_are_cut_as_the_models_own_tokenizer_does() {
    let Some(embedder) = embedder() else { return };
    // The tokens of the `tokenizer.json` that the model was published with.
    let check = async |text: &str, expected: &[u32]| {
        assert_eq!(embedder.tokens(text).await.unwrap(), expected, "{text}");
    };
    check(
        "query: How do I declare a mutable variable in Rust?",
        &[
            0, 41, 1294, 12, 11249, 54, 87, 159_978, 10, 842, 22819, 77336, 23, 144_222, 32, 2,
        ],
    )
    .await;
    check(
        "passage: Как объявить изменяемую переменную в Rust?",
        &[
            0, 46692, 12, 5187, 1086, 57150, 652, 3410, 173_581, 1551, 4798, 143_312, 3795, 49, 144_222, 32,
            2,
        ],
    )
    .await;
    check(
        "Ёлка, ёж и «кавычки» — тире…",
        &[
            0, 6, 57498, 32889, 4, 6, 7785, 861, 35, 94, 415, 5347, 8533, 167, 292, 3201, 3429, 27, 2,
        ],
    )
    .await;
    check(
        "  two  spaces and\ttab\nnewline ",
        &[0, 6626, 32628, 7, 136, 20928, 3525, 2256, 6, 2],
    )
    .await;
    check(
        "naïve café ﬁne Ａ①②",
        &[0, 24, 9392, 272, 26216, 5885, 62, 1530, 2],
    )
    .await;
    check("中文 と日本語", &[0, 6, 32095, 6, 610, 98449, 2]).await;
    check(
        "emoji 😀👍🏽 test",
        &[0, 28, 121_505, 21119, 118_280, 245_164, 3034, 2],
    )
    .await;
    check(
        "soft\u{ad}hyphen zero\u{200b}width",
        &[0, 32977, 231, 3038, 88322, 45234, 6, 146_984, 2],
    )
    .await;
    check("İstanbul ẞ straße", &[0, 10621, 6, 3, 6, 71887, 2]).await;
    check("", &[0, 2]).await;
}

#[tokio::test]
async fn the_pairs_have_the_cosines_of_the_table() {
    let Some(embedder) = embedder() else { return };
    let pairs = pairs();
    let texts: Vec<String> = pairs
        .iter()
        .flat_map(|pair| [pair.left.clone(), pair.right.clone()])
        .collect();
    let vectors = embedder.embed(&texts, EmbeddingKind::Query).await.unwrap();
    for (pair, vectors) in pairs.iter().zip(vectors.chunks_exact(2)) {
        // Processors without dot product instructions round the activations differently.
        let measured = cosine(&vectors[0], &vectors[1]);
        assert!(
            (measured - pair.cosine).abs() < 0.01,
            "{} / {}: {measured} {}",
            pair.left,
            pair.right,
            pair.cosine
        );
    }
}
