//! What every provider must hold to, whichever it is: one suite over the list.

#![expect(
    clippy::unwrap_used,
    reason = "the exception for tests does not cover the functions that tests call"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::DateTime;
use domain::clock::FixedClock;
use domain::language::Language;
use domain::usage::MicroUsd;
use llm::card::Cards;
use llm::cassette::{Player, Recorder};
use llm::error::ProviderError;
use llm::provider::openai_compatible::{Endpoint, OpenAiCompatible};
use llm::provider::scripted::answers::schema_answers;
use llm::provider::scripted::misbehaving::{Faults, misbehaving};
use llm::provider::scripted::server::ScriptedServer;
use llm::provider::scripted::{Script, Scripted, ScriptedReply};
use llm::provider::{Provider, StreamObserver, Unobserved};
use llm::repair::Repairer;
use llm::request::{Message, OutputSchema, Request, Sampling};
use llm::retry::DEFAULT_WAIT_LIMIT;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Says things by the prompt: the same script behind every provider.
fn script() -> Script {
    Arc::new(|request: &Request, _| {
        let prompt = request
            .messages
            .last()
            .map_or("", |message| message.content.as_str());
        match prompt {
            "hello" => ScriptedReply::text("Привет, world! \u{1F600} ".repeat(20)).costing(MicroUsd(1_500)),
            "cut" => ScriptedReply::text("{\"a\": \"b").cut(),
            "empty" => ScriptedReply::error(ProviderError::Empty),
            "slow down" => ScriptedReply::error(ProviderError::RateLimited {
                retry_after: Some(Duration::from_secs(9)),
                message: "slow down".to_owned(),
            }),
            "bad key" => ScriptedReply::error(ProviderError::Unauthorized {
                status: 401,
                message: "bad key".to_owned(),
            }),
            "broken" => ScriptedReply::error(ProviderError::BrokenStream {
                reason: "scripted".to_owned(),
            }),
            "hang" => ScriptedReply::text("late").after(Duration::from_hours(1)),
            other => ScriptedReply::text(format!("unexpected: {other}")),
        }
    })
}

struct Subject {
    name: &'static str,
    provider: Arc<dyn Provider>,
    _server: Option<ScriptedServer>,
}

async fn remote(script: Script) -> (OpenAiCompatible, ScriptedServer) {
    let server = ScriptedServer::start(script).await.unwrap();
    let endpoint = Endpoint::new("provider", server.base_url(), None);
    let clock = Arc::new(FixedClock::new(DateTime::UNIX_EPOCH));
    (
        OpenAiCompatible::new(endpoint, &Cards::default(), clock).unwrap(),
        server,
    )
}

/// Every provider that can be run without a network or weights.
async fn subjects(folder: &std::path::Path) -> Vec<Subject> {
    let (remote_provider, server) = remote(script()).await;
    let recorded: Arc<dyn Provider> = Arc::new(Scripted::new("provider", script()));
    vec![
        Subject {
            name: "scripted",
            provider: Arc::new(Scripted::new("provider", script())),
            _server: None,
        },
        Subject {
            name: "openai_compatible",
            provider: Arc::new(remote_provider),
            _server: Some(server),
        },
        Subject {
            name: "recorder",
            provider: Arc::new(Recorder::new(recorded, folder)),
            _server: None,
        },
    ]
}

fn request(prompt: &str) -> Request {
    Request {
        model: "model".to_owned(),
        messages: vec![Message::user(prompt)],
        schema: None,
        max_output_tokens: 1_000,
        sampling: Sampling::default(),
        idle_timeout: Duration::from_millis(500),
        wait_limit: DEFAULT_WAIT_LIMIT,
    }
}

#[derive(Default)]
struct Heard(Mutex<(String, Vec<u64>)>);

impl StreamObserver for Heard {
    fn on_delta(&self, delta: &str, output_tokens: u64) {
        let mut heard = self.0.lock().unwrap();
        heard.0.push_str(delta);
        heard.1.push(output_tokens);
    }
}

#[tokio::test]
async fn every_provider_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    for Subject {
        name,
        provider,
        _server,
    } in subjects(folder.path()).await
    {
        assert_eq!(provider.id(), "provider", "{name}");
        assert!(provider.max_parallel() >= 1, "{name}");
        let cancel = CancellationToken::new();

        // What is observed is what is answered.
        let heard = Heard::default();
        let response = provider
            .generate(&request("hello"), &heard, &cancel)
            .await
            .unwrap();
        let (text, tokens) = heard.0.into_inner().unwrap();
        assert_eq!(text, response.text, "{name}");
        assert!(text.contains('\u{1F600}'), "{name}");
        assert!(tokens.len() > 1 && tokens.is_sorted(), "{name}: {tokens:?}");
        assert!(response.usage.input > 0 && response.usage.output > 0, "{name}");
        assert_eq!(response.cost, Some(MicroUsd(1_500)), "{name}");

        let response = provider
            .generate(&request("cut"), &Unobserved, &cancel)
            .await
            .unwrap();
        assert_eq!(
            response.finish_reason,
            llm::response::FinishReason::Length,
            "{name}"
        );

        // Each failure is told apart.
        for (prompt, code) in [
            ("empty", "empty"),
            ("slow down", "rate_limited"),
            ("bad key", "unauthorized"),
            ("broken", "broken_stream"),
            ("hang", "timeout"),
        ] {
            let error = provider
                .generate(&request(prompt), &Unobserved, &cancel)
                .await
                .unwrap_err()
                .error;
            assert_eq!(error.code(), code, "{name}: {error}");
            if code == "rate_limited" {
                assert_eq!(error.retry_after(), Some(Duration::from_secs(9)), "{name}");
            }
        }

        // A cancelled call ends, before and during the answer.
        let patient = Request {
            idle_timeout: Duration::from_mins(10),
            ..request("hang")
        };
        let call = provider.generate(&patient, &Unobserved, &cancel);
        let (result, ()) = tokio::join!(call, async { cancel.cancel() });
        assert!(
            matches!(&result, Err(failed) if matches!(failed.error, ProviderError::Cancelled)),
            "{name}: {result:?}"
        );
        let result = provider.generate(&request("hello"), &Unobserved, &cancel).await;
        assert!(
            matches!(&result, Err(failed) if matches!(failed.error, ProviderError::Cancelled)),
            "{name}: {result:?}"
        );
    }

    // What was recorded is played back; what was not is a clear error.
    let player = Player::new("provider", folder.path());
    let cancel = CancellationToken::new();
    let answer = player
        .generate(&request("hello"), &Unobserved, &cancel)
        .await
        .unwrap();
    assert!(answer.text.starts_with("Привет"));
    let error = player
        .generate(&request("other"), &Unobserved, &cancel)
        .await
        .unwrap_err()
        .error;
    assert_eq!(error.code(), "setup");
}

fn section_schema() -> Value {
    json!({
        "$defs": {
            "Lesson": {
                "type": "object",
                "properties": {
                    "lesson_number": { "type": "integer", "minimum": 1 },
                    "lesson_title": { "type": "string", "minLength": 5, "maxLength": 500 },
                    "lesson_objectives": {
                        "type": "array", "minItems": 1, "maxItems": 5,
                        "items": { "type": "string", "minLength": 15, "maxLength": 600, "pattern": "^(Apply|Design|Спроектировать) " },
                    },
                    "key_topics": { "type": "array", "minItems": 2, "maxItems": 10, "items": { "type": "string", "minLength": 5, "maxLength": 300 } },
                    "exercise_type": { "enum": ["case_study", "quiz"] },
                    "note": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
                },
                "required": ["lesson_number", "lesson_title", "lesson_objectives", "key_topics", "exercise_type"],
            },
        },
        "type": "object",
        "properties": {
            "kind": { "const": "section" },
            "section_description": { "type": "string", "minLength": 200, "maxLength": 260 },
            "learning_objectives": { "type": "array", "minItems": 3, "items": { "type": "string", "minLength": 20, "maxLength": 600 } },
            "theory_practice_ratio": { "type": "string", "pattern": "^\\d{1,2}:\\d{1,2}$" },
            "hours": { "type": "number", "exclusiveMinimum": 0 },
            "lessons": { "type": "array", "minItems": 3, "maxItems": 4, "items": { "$ref": "#/$defs/Lesson" } },
        },
        "required": ["kind", "section_description", "learning_objectives", "theory_practice_ratio", "hours", "lessons"],
    })
}

fn section_request(number: usize) -> Request {
    let schema = OutputSchema {
        name: "section".to_owned(),
        schema: section_schema(),
    };
    Request {
        schema: Some(schema),
        ..request(&format!("Section {number} on ownership"))
    }
}

#[tokio::test]
async fn schema_answers_are_valid_distinct_and_in_their_language() {
    let repairer = Repairer::new(&section_schema()).unwrap();
    for language in [Language::English, Language::Russian] {
        let scripted = Scripted::new("provider", schema_answers(1, language));
        let (over_http, _server) = remote(schema_answers(1, language)).await;
        for provider in [&scripted as &dyn Provider, &over_http] {
            let mut topics = Vec::new();
            for number in 0..30 {
                let response = provider
                    .generate(&section_request(number), &Unobserved, &CancellationToken::new())
                    .await
                    .unwrap();
                let outcome = repairer.repair(&response.text).unwrap();
                // Over HTTP patterns are lost, as strict mode does not know them.
                let failures: Vec<_> = repairer
                    .failing_fields(&outcome.value)
                    .into_iter()
                    .filter(|failure| failure.schema.get("pattern").is_none())
                    .collect();
                assert_eq!(failures, []);
                let lessons = outcome.value["lessons"].as_array().unwrap();
                topics.extend(
                    lessons
                        .iter()
                        .flat_map(|lesson| lesson["key_topics"].as_array().unwrap().clone()),
                );
                for objective in outcome.value["learning_objectives"].as_array().unwrap() {
                    let verb = domain::taxonomy::first_verb(objective.as_str().unwrap(), language).unwrap();
                    assert!(verb.level.is_some(), "{objective}");
                }
                let description = outcome.value["section_description"].as_str().unwrap();
                assert_eq!(
                    description.contains('э') || description.contains('и'),
                    language == Language::Russian
                );
            }
            let count = topics.len();
            topics.sort_by_key(ToString::to_string);
            topics.dedup();
            assert_eq!(topics.len(), count, "topics repeat");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn misbehaving_script_does_every_bad_thing_and_repeats_itself() {
    let run = async || {
        let script = misbehaving(schema_answers(1, Language::English), 7, Faults::rough_day());
        let provider = Scripted::new("provider", script);
        let mut outcomes = Vec::new();
        for number in 0..400 {
            let result = provider
                .generate(&section_request(number), &Unobserved, &CancellationToken::new())
                .await;
            outcomes.push(match result {
                Ok(response) if response.text.contains("```") => "fenced",
                Ok(response) if serde_json::from_str::<Value>(&response.text).is_err() => "truncated",
                Ok(response) if response.text.contains("\"result\"") => "wrong shape",
                Ok(_) => "ok",
                Err(failed) => failed.error.code(),
            });
        }
        outcomes
    };
    let outcomes = run().await;
    for expected in [
        "ok",
        "fenced",
        "truncated",
        "wrong shape",
        "rate_limited",
        "server_error",
        "timeout",
        "empty",
        "broken_stream",
    ] {
        assert!(outcomes.contains(&expected), "{expected}");
    }
    assert_eq!(outcomes, run().await);
}
