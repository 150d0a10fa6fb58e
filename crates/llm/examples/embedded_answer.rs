//! Asks the embedded model for one section of a course several times at once and prints the answers and the speed:
//! `cargo run --release -p llm --example embedded_answer -- MODEL.gguf [HOW_MANY] [MAX_TOKENS]`.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use llm::embedded::{EmbeddedOptions, EmbeddedProvider};
use llm::provider::{Provider, Unobserved};
use llm::request::{Message, OutputSchema, Request, Sampling};
use llm::retry::DEFAULT_WAIT_LIMIT;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const TOPICS: [&str; 8] = [
    "Introduction to Rust programming for web developers",
    "Basics of personal finance and budgeting",
    "First aid at the workplace",
    "Digital photography for beginners",
    "SQL and relational databases",
    "Home gardening for city dwellers",
    "Public speaking with confidence",
    "Statistics for business decisions",
];

fn schema() -> serde_json::Value {
    let sentence = json!({"type": "string", "minLength": 20, "maxLength": 160, "pattern": "^[A-Z][A-Za-z0-9,;:' ()-]*[a-z]\\.$"});
    let title = json!({"type": "string", "minLength": 5, "maxLength": 60});
    let lesson = json!({
        "type": "object", "additionalProperties": false,
        "required": ["lesson_title", "lesson_objectives", "key_topics"],
        "properties": {
            "lesson_title": title,
            "lesson_objectives": {"type": "array", "minItems": 2, "maxItems": 3, "items": sentence},
            "key_topics": {"type": "array", "minItems": 3, "maxItems": 5, "items": title},
        },
    });
    json!({
        "type": "object", "additionalProperties": false,
        "required": ["section_title", "section_description", "lessons"],
        "properties": {
            "section_title": title,
            "section_description": {"type": "string", "minLength": 20, "maxLength": 300},
            "lessons": {"type": "array", "minItems": 3, "maxItems": 3, "items": lesson},
        },
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("the path of a GGUF file is missing")?;
    let count: usize = args.next().map_or(Ok(4), |text| text.parse())?;
    let max_output_tokens: u32 = args.next().map_or(Ok(1500), |text| text.parse())?;
    let provider = Arc::new(EmbeddedProvider::new(EmbeddedOptions::new(
        path,
        "embedded/example",
    )));
    let begin = Instant::now();
    provider.load().await?;
    writeln!(std::io::stdout(), "loaded in {:.1?}", begin.elapsed())?;
    let begin = Instant::now();
    let mut calls = JoinSet::new();
    for (index, topic) in TOPICS.iter().cycle().take(count).enumerate() {
        let provider = Arc::clone(&provider);
        let request = Request {
            model: "embedded/example".to_owned(),
            messages: vec![
                Message::system(
                    "You are an expert instructional designer. You write clear, specific, practical course material in plain English.",
                ),
                Message::user(format!(
                    "Design the first section of the course \"{topic}\": a title, a description of two sentences and exactly 3 lessons, each with a title, 2 objectives that start with a verb, and 3 key topics."
                )),
            ],
            schema: Some(OutputSchema {
                name: "section".to_owned(),
                schema: schema(),
            }),
            max_output_tokens,
            sampling: Sampling {
                temperature: 0.4,
                seed: Some(index as u64),
                ..Sampling::default()
            },
            idle_timeout: Duration::from_mins(1),
            wait_limit: DEFAULT_WAIT_LIMIT,
        };
        calls.spawn(async move {
            provider
                .generate(&request, &Unobserved, &CancellationToken::new())
                .await
        });
    }
    let mut tokens = 0;
    while let Some(answer) = calls.join_next().await {
        let answer = answer??;
        tokens += answer.usage.output;
        let parses = serde_json::from_str::<serde_json::Value>(&answer.text).is_ok();
        writeln!(
            std::io::stdout(),
            "{:?} parses={parses} {:?} {:.1?}\n{}\n",
            answer.finish_reason,
            answer.usage,
            answer.latency,
            answer.text
        )?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    writeln!(
        std::io::stdout(),
        "{tokens} tokens in {seconds:.1} s: {:.1} a second",
        tokens as f64 / seconds
    )?;
    Ok(())
}
