//! What the repair layers recover of realistic course answers after many kinds of damage. The counts are printed;
//! a text that changes without a word counts as silently altered, of which there must be none.

#![expect(
    clippy::unwrap_used,
    reason = "the exception for tests does not cover the functions that tests call"
)]

#[path = "repair_corpus/damage.rs"]
mod damage;
#[path = "repair_corpus/documents.rs"]
mod documents;

use llm::repair::{RepairOutcome, Repairer};
use serde_json::Value;

use crate::damage::{KINDS, Kind};
use crate::documents::{Document, documents};

/// How a repaired value relates to the undamaged one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Recovered,
    /// Something is gone and the outcome says so, or there is no outcome.
    Lost,
    SilentlyAltered,
}

/// Everything of `original` must be in the outcome, or be covered by a pointer in `missing`; nothing else may be.
fn judge(outcome: &RepairOutcome, original: &Value) -> Verdict {
    if outcome.value == *original {
        return Verdict::Recovered;
    }
    if differs_silently(&outcome.value, original, "", outcome) {
        Verdict::SilentlyAltered
    } else {
        Verdict::Lost
    }
}

fn is_reported(path: &str, outcome: &RepairOutcome) -> bool {
    outcome
        .missing
        .iter()
        .any(|missing| missing == path || path.starts_with(&format!("{missing}/")))
}

fn differs_silently(value: &Value, original: &Value, path: &str, outcome: &RepairOutcome) -> bool {
    if value == original || is_reported(path, outcome) {
        return false;
    }
    match (value, original) {
        (Value::Object(fields), Value::Object(originals)) => {
            fields.keys().any(|key| !originals.contains_key(key))
                || originals.iter().any(|(key, original)| {
                    let path = format!("{path}/{key}");
                    match fields.get(key) {
                        Some(field) => differs_silently(field, original, &path, outcome),
                        None => !is_reported(&path, outcome),
                    }
                })
        }
        (Value::Array(items), Value::Array(originals)) => {
            lists_differ_silently(items, originals, path, outcome)
        }
        _ => true,
    }
}

/// A reported item is not in the list, so that later ones move up; a list that may lack items holds some of them in
/// their order.
fn lists_differ_silently(items: &[Value], originals: &[Value], path: &str, outcome: &RepairOutcome) -> bool {
    let may_lack_items = outcome.missing.contains(&format!("{path}/-"));
    let mut items = items.iter().peekable();
    for (index, original) in originals.iter().enumerate() {
        let item_path = format!("{path}/{index}");
        let is_same = items
            .peek()
            .is_some_and(|item| !differs_silently(item, original, &item_path, outcome));
        if is_same {
            items.next();
        } else if !may_lack_items && !outcome.missing.contains(&item_path) {
            return true;
        }
    }
    items.next().is_some()
}

#[derive(Default)]
struct Counts {
    recovered: usize,
    lost: usize,
    altered: Vec<String>,
}

fn run(document: &Document, kind: &Kind, seed: usize, counts: &mut Counts) {
    let damaged = (kind.damage)(document, seed);
    let repairer = Repairer::new(&document.schema).unwrap();
    let verdict = repairer
        .repair(&damaged)
        .map_or(Verdict::Lost, |outcome| judge(&outcome, &document.value));
    match verdict {
        Verdict::Recovered => counts.recovered += 1,
        Verdict::Lost => counts.lost += 1,
        Verdict::SilentlyAltered => counts
            .altered
            .push(format!("{} of {} with seed {seed}", kind.name, document.name)),
    }
}

#[test]
fn damaged_answers_are_recovered_and_never_altered_silently() {
    let documents = documents();
    let mut total = Counts::default();
    for kind in KINDS {
        let mut counts = Counts::default();
        for document in &documents {
            for seed in 0..5 {
                run(document, kind, seed, &mut counts);
            }
        }
        eprintln!(
            "{:32} recovered {:3}  lost {:3}  silently altered {:3}",
            kind.name,
            counts.recovered,
            counts.lost,
            counts.altered.len()
        );
        total.recovered += counts.recovered;
        total.lost += counts.lost;
        total.altered.append(&mut counts.altered);
    }
    let cases = total.recovered + total.lost + total.altered.len();
    let share = total.recovered as f64 / cases as f64;
    eprintln!(
        "{cases} cases: recovered {} ({:.1} %), lost {}, silently altered {}",
        total.recovered,
        share * 100.0,
        total.lost,
        total.altered.len()
    );
    assert!(cases >= 150);
    assert_eq!(total.altered, Vec::<String>::new());
    assert!(share >= 0.9, "recovered {share}");
}

/// A value that is cut off stands in the original at the same place; lists are shorter, texts are whole.
fn is_structural_prefix(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => part.iter().all(|(key, part)| {
            whole
                .get(key)
                .is_some_and(|whole| is_structural_prefix(part, whole))
        }),
        (Value::Array(part), Value::Array(whole)) => {
            part.len() <= whole.len()
                && part
                    .iter()
                    .zip(whole)
                    .all(|(part, whole)| is_structural_prefix(part, whole))
        }
        (part, whole) => part == whole,
    }
}

#[test]
fn truncation_anywhere_leaves_a_structural_prefix() {
    let (mut cases, mut kept_nothing) = (0, 0);
    for document in documents() {
        let repairer = Repairer::new(&document.schema).unwrap();
        for text in [document.pretty(), document.value.to_string()] {
            let second_key = format!(
                "\"{}\"",
                document.value.as_object().unwrap().keys().nth(1).unwrap()
            );
            let first_field_ends = text.find(&second_key).unwrap();
            let letters: Vec<char> = text.chars().collect();
            for end in (50..letters.len()).step_by(50) {
                let cut: String = letters[..end].iter().collect();
                cases += 1;
                match repairer.repair(&cut) {
                    Ok(outcome) => {
                        assert!(
                            is_structural_prefix(&outcome.value, &document.value),
                            "{} cut at {end}: {}",
                            document.name,
                            outcome.value
                        );
                        assert!(
                            !outcome.missing.is_empty(),
                            "{} cut at {end}: nothing reported",
                            document.name
                        );
                        assert_ne!(
                            judge(&outcome, &document.value),
                            Verdict::SilentlyAltered,
                            "{} cut at {end}",
                            document.name
                        );
                    }
                    Err(error) => {
                        assert!(
                            cut.len() < first_field_ends,
                            "{} cut at {end}: {error}",
                            document.name
                        );
                        kept_nothing += 1;
                    }
                }
            }
        }
    }
    eprintln!("{cases} truncations, {kept_nothing} inside the first field, with nothing to keep");
    assert!(cases >= 500, "{cases}");
}

#[test]
fn library_alone_recovers_less_and_alters() {
    let (mut recovered, mut altered, mut cases) = (0, 0, 0);
    for kind in KINDS {
        for document in documents() {
            for seed in 0..5 {
                cases += 1;
                match jsonrepair_rs::jsonrepair_value(&(kind.damage)(&document, seed)) {
                    Ok(value) if value == document.value => recovered += 1,
                    Ok(_) => altered += 1,
                    Err(_) => {}
                }
            }
        }
    }
    eprintln!("jsonrepair-rs alone: {recovered} of {cases} recovered, {altered} altered without a report");
    assert!(
        altered > 0,
        "the library has become as careful: consider using it"
    );
}
