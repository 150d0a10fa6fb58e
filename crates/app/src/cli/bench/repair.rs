//! Mending JSON: how long a damaged answer of usual size takes.

use std::time::Instant;

use domain::schema::schema_of;
use domain::structure::Section;
use llm::provider::scripted::answers::schema_answers;
use llm::repair::Repairer;
use llm::request::{Message, OutputSchema, Request, Sampling};
use llm::retry::DEFAULT_WAIT_LIMIT;
use serde_json::Value;

use crate::cli::table::{row, table};
use crate::failure::{Exit, Failure};

/// How often each document is mended.
const ROUNDS: u32 = 200;

/// Measures all kinds of damage on one section.
pub(super) fn measure() -> Result<String, Failure> {
    let schema: Value = schema_of::<Section>();
    let repairer = Repairer::new(&schema).map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    let sound = section(&schema)?;
    let mut rows = vec![row(["repair", "bytes", "µs a document", "MB/s", "layer"])];
    for (name, damaged) in damages(&sound) {
        let begun = Instant::now();
        let mut layer = "not mended";
        for _ in 0..ROUNDS {
            layer = repairer
                .repair(&damaged)
                .map_or("not mended", |outcome| outcome.layer.as_str());
        }
        let micros = begun.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
        rows.push(row([
            name,
            &damaged.len().to_string(),
            &format!("{micros:.0}"),
            &format!("{:.0}", damaged.len() as f64 / micros),
            layer,
        ]));
    }
    Ok(table(&rows))
}

fn section(schema: &Value) -> Result<String, Failure> {
    let request = Request {
        model: "scripted".to_owned(),
        messages: vec![Message::user(
            "One section on the loops of a programming language",
        )],
        schema: Some(OutputSchema {
            name: "section".to_owned(),
            schema: schema.clone(),
        }),
        max_output_tokens: u32::MAX,
        sampling: Sampling::default(),
        idle_timeout: std::time::Duration::from_secs(1),
        wait_limit: DEFAULT_WAIT_LIMIT,
    };
    Ok(
        schema_answers(1, domain::language::Language::English)(&request, 0)
            .outcome?
            .text,
    )
}

fn damages(sound: &str) -> [(&'static str, String); 5] {
    let cut = sound.floor_char_boundary(sound.len() * 2 / 3);
    [
        ("sound", sound.to_owned()),
        (
            "fenced in prose",
            format!("Sure! Here it is:\n```json\n{sound}\n```\nShall I go on?"),
        ),
        ("cut off", sound[..cut].to_owned()),
        ("trailing commas", sound.replace('}', ",}").replace(']', ",]")),
        ("single quotes", sound.replace('\'', "’").replace('"', "'")),
    ]
}
