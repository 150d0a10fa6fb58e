//! The scripted server over a real socket: its refusals, its faults byte for byte, and its books.

#![expect(
    clippy::unwrap_used,
    reason = "the exception for tests does not cover the functions that tests call"
)]

use std::sync::Arc;
use std::time::Duration;

use domain::language::Language;
use domain::usage::MicroUsd;
use llm::http_client::http_client;
use llm::pricing::Price;
use llm::provider::scripted::answers::{file_answers, schema_answers};
use llm::provider::scripted::delivery::Oddity;
use llm::provider::scripted::misbehaving::{Fault, Faults, misbehaving};
use llm::provider::scripted::server::{Behaviour, ScriptedServer};
use llm::provider::scripted::strict::{DIALECTS, Dialect};
use llm::provider::scripted::{Script, ScriptedReply};
use llm::request::Request;
use serde_json::{Value, json};

const ANSWER: &str = r#"{"lesson_title":"Keeping bees in winter","blocks":[{"title":"Food","body":"Bees eat honey in winter, about fifteen kilograms of it for each colony."}]}"#;
const COST: MicroUsd = MicroUsd(1_234);

fn priced() -> Script {
    Arc::new(|_: &Request, _| ScriptedReply::text(ANSWER).costing(COST))
}

async fn server(script: Script, behaviour: Behaviour) -> ScriptedServer {
    ScriptedServer::start_on(([127, 0, 0, 1], 0).into(), script, behaviour)
        .await
        .unwrap()
}

fn body(prompt: &str) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": prompt }], "stream": true, "seed": 7 })
}

/// What came: status, type, a header about waiting, and the text, with `[closed]` where the connection closed too early.
#[derive(Debug)]
struct Came {
    status: u16,
    kind: String,
    wait: Option<String>,
    text: String,
}

async fn ask(server: &ScriptedServer, path: &str, body: &Value) -> Came {
    let url = format!("{}/{path}", server.base_url());
    let sent = http_client()
        .unwrap()
        .post(url)
        .body(body.to_string())
        .send()
        .await;
    let Ok(mut response) = sent else {
        return Came {
            status: 0,
            kind: String::new(),
            wait: None,
            text: "[closed]".to_owned(),
        };
    };
    let header = |name: &str| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let (kind, wait) = (
        header("content-type").unwrap_or_default(),
        header("retry-after").or_else(|| header("retry-after-ms")),
    );
    let mut bytes = Vec::new();
    let mut end = "";
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => bytes.extend_from_slice(&piece),
            Ok(None) => break,
            Err(_) => {
                end = "[closed]";
                break;
            }
        }
    }
    Came {
        status: response.status().as_u16(),
        kind,
        wait,
        text: String::from_utf8(bytes).unwrap() + end,
    }
}

impl Came {
    /// What the model said in the stream.
    fn said(&self) -> String {
        self.text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
            .filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()))
            .collect()
    }
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// What comes where this fault happens: its status, its type, and texts that it has and has not.
async fn check(fault: Fault, status: u16, kind: &str, has: &str, lacks: &str) -> Came {
    let script = misbehaving(priced(), 1, Faults::only(fault));
    let server = server(script, Behaviour::default()).await;
    let came = ask(&server, "chat/completions", &body("hi")).await;
    assert_eq!(
        (came.status, came.kind.as_str()),
        (status, kind),
        "{fault:?}: {came:?}"
    );
    let all = format!("{}\n{}", came.text, came.said());
    assert!(all.contains(has), "{fault:?}: {came:?}");
    assert!(lacks.is_empty() || !all.contains(lacks), "{fault:?}: {came:?}");
    came
}

#[tokio::test]
async fn failures_come_as_real_servers_send_them() {
    let slow = check(Fault::SlowDown, 429, JSON, "rate_limit_exceeded", "").await;
    assert_eq!(slow.wait.as_deref(), Some("1"));
    let slow = check(Fault::SlowDownMillis, 429, JSON, "slow down", "").await;
    assert!(slow.wait.unwrap().parse::<u64>().unwrap() >= 200);
    let slow = check(Fault::SlowDownInWords, 429, JSON, "Please try again in ", "").await;
    assert_eq!(slow.wait, None);
    check(Fault::ServerError, 500, JSON, "scripted failure", "").await;
    check(
        Fault::BadGateway,
        502,
        "text/html",
        "<h1>502 Bad Gateway</h1>",
        "",
    )
    .await;
    check(Fault::Loading, 503, JSON, "Loading model", "").await;
    check(Fault::Overloaded, 529, JSON, "overloaded_error", "").await;
    check(Fault::NoChoices, 200, JSON, r#""choices":[]"#, "").await;
    check(
        Fault::ErrorInside,
        200,
        JSON,
        "Provider returned error",
        "choices",
    )
    .await;
    check(Fault::BreaksOff, 200, EVENTS, "[closed]", "cost").await;
    check(
        Fault::BreaksOffBilled,
        200,
        EVENTS,
        r#""cost":0.001234"#,
        "[DONE]",
    )
    .await;
    check(Fault::Declined, 400, JSON, "content_filter", "").await;
}

#[tokio::test]
async fn spoiled_texts_come_in_whole_streams() {
    check(Fault::Empty, 200, EVENTS, "[DONE]", "bees").await;
    let thought = check(
        Fault::ThoughtOnly,
        200,
        EVENTS,
        r#""finish_reason":"length""#,
        "bees",
    )
    .await;
    assert!(thought.text.contains("reasoning_tokens"), "{thought:?}");
    check(Fault::Cut, 200, EVENTS, r#""finish_reason":"length""#, "colony.").await;
    check(
        Fault::CutUnsaid,
        200,
        EVENTS,
        r#""finish_reason":"stop""#,
        "colony.",
    )
    .await;
    check(Fault::WrongShape, 200, EVENTS, "status", "bees").await;
    check(Fault::Fenced, 200, EVENTS, "```", "").await;
    check(Fault::DraftFirst, 200, EVENTS, "DRAFT", "").await;
    check(Fault::CamelCase, 200, EVENTS, "lessonTitle", "lesson_title").await;
    check(Fault::Formula, 200, EVENTS, r"$\frac{a}", r"\\\\frac").await;
    check(Fault::MarkedText, 200, EVENTS, "\"content\":\"\u{feff}{", "").await;
}

#[tokio::test]
async fn whole_answers_come_in_many_manners() {
    let odd = Fault::Odd;
    let marked = check(odd(Oddity::ByteOrderMark), 200, EVENTS, "[DONE]", "").await;
    assert!(marked.text.starts_with('\u{feff}'));
    check(odd(Oddity::EventsAsJson), 200, JSON, "data: ", "").await;
    check(
        odd(Oddity::EventsAsText),
        200,
        "text/plain; charset=utf-8",
        "data: ",
        "",
    )
    .await;
    check(odd(Oddity::EventsUntyped), 200, "", "data: ", "").await;
    check(odd(Oddity::WholeAsEvents), 200, EVENTS, r#""message""#, "data: ").await;
    let open = Oddity::StaysOpen(Duration::ZERO);
    for ending in [Oddity::NoDone, open] {
        check(odd(ending), 200, EVENTS, r#""finish_reason":"stop""#, "[DONE]").await;
    }
    check(
        odd(Oddity::ContentParts),
        200,
        EVENTS,
        r#""content":[{"type":"text""#,
        "",
    )
    .await;
    check(
        odd(Oddity::UsageNull),
        200,
        EVENTS,
        r#""usage":null"#,
        "prompt_tokens",
    )
    .await;
    check(odd(Oddity::UsageTypes), 200, EVENTS, r#""total_tokens":null"#, "").await;
    check(odd(Oddity::ThoughtBeside), 200, EVENTS, "reasoning_content", "").await;
    check(odd(Oddity::EmptyError), 200, EVENTS, r#""error":{}"#, "").await;
}

#[tokio::test]
async fn dialect_refuses_before_the_script_is_asked() {
    for (dialect, status, words) in [
        ("strict", 400, "integer_above_max_value"),
        ("ollama", 400, "of type int"),
        ("mistral", 422, "extra_forbidden"),
        ("permissive", 200, "bees"),
    ] {
        let behaviour = Behaviour {
            dialect: Dialect::named(dialect).unwrap(),
            ..Behaviour::default()
        };
        let server = server(priced(), behaviour).await;
        let mut asked = body("hi");
        asked["seed"] = json!(u64::MAX);
        let came = ask(&server, "chat/completions", &asked).await;
        assert_eq!(came.status, status, "{dialect}: {came:?}");
        assert!(came.text.contains(words), "{dialect}: {came:?}");
        let refused = u64::from(status != 200);
        assert_eq!((server.balance().calls, server.balance().refused), (1, refused));
    }
}

#[tokio::test]
async fn books_hold_what_was_reported_and_what_was_answered() {
    let check = async |fault: Option<Fault>, billed: MicroUsd, answered: u64| {
        let faults = fault.map_or(Faults::NONE, Faults::only);
        let server = server(misbehaving(priced(), 1, faults), Behaviour::default()).await;
        for _ in 0..2 {
            ask(&server, "chat/completions", &body("hi")).await;
        }
        let balance = server.balance();
        assert_eq!(MicroUsd(balance.billed_usd_micros), billed, "{fault:?}");
        let counts: u64 = balance.requests.iter().map(|request| request.count).sum();
        assert_eq!(counts, answered, "{fault:?}");
        assert!(balance.requests.len() <= 1, "one request has one hash");
    };
    let twice = MicroUsd(COST.0 * 2);
    check(None, twice, 2).await;
    check(Some(Fault::BreaksOffBilled), twice, 0).await;
    check(Some(Fault::ThoughtOnly), twice, 0).await;
    check(Some(Fault::Cut), twice, 0).await;
    check(Some(Fault::WrongShape), twice, 0).await;
    check(Some(Fault::BreaksOff), MicroUsd::ZERO, 0).await;
    check(Some(Fault::ServerError), MicroUsd::ZERO, 0).await;
    check(Some(Fault::Odd(Oddity::UsageNull)), MicroUsd::ZERO, 2).await;
    check(Some(Fault::Odd(Oddity::UsageTypes)), twice, 2).await;
    check(Some(Fault::Fenced), twice, 2).await;
}

#[tokio::test]
async fn prices_of_tokens_are_billed_and_told_where_servers_tell_them() {
    for (dialect, is_told) in [("openrouter", true), ("openai", false)] {
        let price = Price {
            input: 1_000.0,
            output: 2_000.0,
            cached: None,
        };
        let behaviour = Behaviour {
            dialect: Dialect::named(dialect).unwrap(),
            price,
            payer: |_| Some("me".to_owned()),
        };
        let script: Script = Arc::new(|_: &Request, _| ScriptedReply::text("one two three"));
        let server = server(script, behaviour).await;
        let came = ask(&server, "chat/completions", &body("hi")).await;
        assert_eq!(came.text.contains("\"cost\":"), is_told, "{came:?}");
        let balance = server.balance();
        // At least three tokens were answered.
        assert!(balance.billed_usd_micros >= 6_000, "{balance:?}");
        assert_eq!(balance.billed_to["me"], balance.billed_usd_micros);
    }
}

#[tokio::test]
async fn models_and_books_are_listed() {
    for dialect in DIALECTS {
        let behaviour = Behaviour {
            dialect,
            ..Behaviour::default()
        };
        let server = server(priced(), behaviour).await;
        let get = async |path: &str| -> Value {
            let url = format!("{}/{path}", server.base_url());
            let response = http_client().unwrap().get(url).send().await.unwrap();
            serde_json::from_str(&response.text().await.unwrap()).unwrap()
        };
        let models = get("models").await;
        assert!(
            models["data"][0]["id"].as_str().unwrap().ends_with("scripted"),
            "{models}"
        );
        let books = get("../__ledger").await;
        assert_eq!(books["billed_usd_micros"], 0);
        assert_eq!(books["requests"], json!([]));
    }
}

#[tokio::test]
async fn cut_answer_is_gone_on_with_where_it_is_asked_to() {
    let text = "word ".repeat(400);
    let whole = text.clone();
    let script: Script = Arc::new(move |_: &Request, _| ScriptedReply::text(whole.clone()));
    let script = misbehaving(script, 1, Faults::only(Fault::Cut));
    let server = server(script, Behaviour::default()).await;
    let begun = ask(&server, "chat/completions", &body("hi")).await.said();
    assert!(begun.len() < text.len());
    let mut asked = body("hi");
    let more = [
        json!({ "role": "assistant", "content": begun }),
        json!({ "role": "user", "content": "Go on." }),
    ];
    asked["messages"].as_array_mut().unwrap().extend(more);
    let rest = ask(&server, "chat/completions", &asked).await.said();
    assert_eq!(begun + &rest, text);
}

#[tokio::test]
async fn honest_answers_are_given_by_question() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/honest-en");
    let script = file_answers(&[folder], schema_answers(1, Language::English)).unwrap();
    let server = server(script, Behaviour::default()).await;
    let schema = json!({ "type": "object", "properties": { "section_title": { "type": "string" } }, "required": ["section_title"], "additionalProperties": false });
    let mut asked = body("Design section 2, and only this section.");
    asked["response_format"] = json!({ "type": "json_schema", "json_schema": { "name": "section", "strict": true, "schema": schema } });
    asked["stream"] = json!(false);
    let came = ask(&server, "chat/completions", &asked).await;
    let answer: Value = serde_json::from_str(&came.text).unwrap();
    let content: Value =
        serde_json::from_str(answer["choices"][0]["message"]["content"].as_str().unwrap()).unwrap();
    assert!(content["section_title"].is_string(), "{content}");
    assert_eq!(server.balance().requests[0].name, "section-2");
}
