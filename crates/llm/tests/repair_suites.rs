//! The inputs of two published suites, beside what two widely used libraries make of them. Ours may refuse more, a text or a
//! number without an object around it above all; it must not hold a text or number that the input does not have.

use llm::repair::Repairer;
use serde::Deserialize;
use serde_json::{Value, json};

/// One input. A library's value is in a list, which is empty where it refuses.
#[derive(Deserialize)]
struct Case {
    text: String,
    json_repair: Vec<Value>,
    jsonrepair: Vec<Value>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    /// As one of the libraries has it.
    right: usize,
    /// No value, or one that says what it lacks.
    refused: usize,
    /// Another value, all of which stands in the input.
    other: usize,
}

/// Whether all texts and numbers of `value` stand in the input.
fn stands_in(text: &str, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::Number(number) => {
            let digits = number.to_string();
            let digits = digits.trim_end_matches(".0").trim_start_matches(['-', '0']);
            let plain: String = text.chars().filter(|letter| *letter != ',').collect();
            let mantissa = digits.split('e').next().unwrap_or_default();
            plain.contains(mantissa) || plain.contains(digits)
        }
        Value::String(written) => {
            // Escapes may be written or resolved, quotes as well; lines of what is joined stand apart.
            let bare = |text: &str| -> String {
                text.replace("\\n", "\n")
                    .replace("\\t", "\t")
                    .replace("\\r", "\r")
                    .replace("\\f", "\u{c}")
                    .chars()
                    .filter(|letter| !matches!(letter, '\\' | '"' | '+' | ' ' | '\n'))
                    .collect()
            };
            let decoded =
                serde_json::from_str::<String>(&format!("\"{}\"", text.replace('"', ""))).unwrap_or_default();
            bare(text).contains(&bare(written)) || bare(&decoded).contains(&bare(written))
        }
        Value::Array(items) => items.iter().all(|item| stands_in(text, item)),
        Value::Object(fields) => fields
            .iter()
            .all(|(key, field)| stands_in(text, &json!(key)) && stands_in(text, field)),
    }
}

/// 1 and 1.0 are one number.
fn is_same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(ours), Value::Number(theirs)) => ours.as_f64() == theirs.as_f64(),
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .zip(theirs)
                    .all(|(ours, theirs)| is_same(ours, theirs))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .all(|(key, ours)| theirs.get(key).is_some_and(|theirs| is_same(ours, theirs)))
        }
        _ => ours == theirs,
    }
}

#[test]
fn inputs_of_published_suites_are_never_altered_silently() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("repair_corpus/suites.json")).expect("the file is a list of cases");
    let repairer = Repairer::new(&json!({})).expect("the schema is one");
    let mut counts = Counts::default();
    let mut altered = Vec::new();
    for case in &cases {
        let Ok(outcome) = repairer.repair(&case.text) else {
            // Neither of the libraries has one: as it should be.
            if case.json_repair.is_empty() && case.jsonrepair.is_empty() {
                counts.right += 1;
            } else {
                counts.refused += 1;
                eprintln!(
                    "refused: {}\n    {:?} {:?}",
                    case.text, case.json_repair, case.jsonrepair
                );
            }
            continue;
        };
        let mut theirs = case.json_repair.iter().chain(&case.jsonrepair);
        if theirs.any(|theirs| is_same(&outcome.value, theirs)) {
            counts.right += 1;
        } else if !stands_in(&case.text, &outcome.value) {
            altered.push(format!("{}\n    {}", case.text, outcome.value));
        } else if outcome.is_cut() || !outcome.missing.is_empty() {
            counts.refused += 1;
        } else {
            counts.other += 1;
            eprintln!(
                "other: {}\n    {}\n    {:?} {:?}",
                case.text, outcome.value, case.json_repair, case.jsonrepair
            );
        }
    }
    eprintln!(
        "{} inputs: {counts:?}, silently altered {}",
        cases.len(),
        altered.len()
    );
    assert_eq!(altered, Vec::<String>::new());
    assert!(counts.right >= 379 && counts.other <= 19, "{counts:?}");
}
