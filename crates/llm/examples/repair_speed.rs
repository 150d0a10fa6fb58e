//! How fast damaged answers are mended, beside other libraries on the same file: `scripts/bench-repair` runs this.
//!
//! `repair_speed write FILE` writes answers with every kind of damage, `repair_speed measure FILE` mends them.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool for developers: it prints, and ends where it cannot go on"
)]

#[path = "../tests/repair_corpus/damage.rs"]
mod damage;
#[path = "../tests/repair_corpus/documents.rs"]
mod documents;

use std::time::Instant;

use llm::repair::Repairer;
use serde_json::{Value, json};

use crate::damage::KINDS;
use crate::documents::documents;

const ROUNDS: usize = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", file] => write(file),
        ["measure", file] => measure(file),
        _ => eprintln!("usage: repair_speed write|measure FILE"),
    }
}

fn write(file: &str) {
    let mut cases = Vec::new();
    for kind in KINDS {
        for document in documents() {
            for seed in 0..5 {
                cases.push(json!({
                    "name": format!("{} of {}", kind.name, document.name),
                    "text": (kind.damage)(&document, seed),
                    "expected": document.value,
                    "schema": document.schema,
                }));
            }
        }
    }
    std::fs::write(file, Value::Array(cases).to_string()).unwrap();
}

fn measure(file: &str) {
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let cases: Vec<(Repairer, &str, &Value)> = cases
        .iter()
        .map(|case| {
            (
                Repairer::new(&case["schema"]).unwrap(),
                case["text"].as_str().unwrap(),
                &case["expected"],
            )
        })
        .collect();
    let (mut right, mut refused, mut other) = (0, 0, 0);
    for (repairer, text, expected) in &cases {
        match repairer.repair(text) {
            Ok(outcome) if outcome.value == **expected => right += 1,
            Ok(outcome) if outcome.missing.is_empty() => other += 1,
            _ => refused += 1,
        }
    }
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        for (repairer, text, _) in &cases {
            std::hint::black_box(repairer.repair(text).is_ok());
        }
    }
    let bytes: usize = cases.iter().map(|(_, text, _)| text.len()).sum();
    let megabytes_per_sec = (bytes * ROUNDS) as f64 / begun.elapsed().as_secs_f64() / 1e6;
    println!(
        "coursewright          {megabytes_per_sec:7.1} MB/s  right {right}  refused or reported {refused}  other {other}  of {}",
        cases.len()
    );
}
