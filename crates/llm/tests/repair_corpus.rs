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
#[path = "repair_corpus/habits.rs"]
mod habits;
#[path = "repair_corpus/lessons.rs"]
mod lessons;

use llm::repair::{RepairOutcome, Repairer};
use serde_json::Value;

use crate::damage::KINDS;
use crate::documents::{Document, documents};
use crate::habits::HABITS;
use crate::lessons::lessons;

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

impl Counts {
    fn count(&mut self, name: &str, document: &Document, expected: &Value, answer: &str) {
        let repairer = Repairer::new(&document.schema).unwrap();
        let verdict = repairer
            .repair(answer)
            .map_or(Verdict::Lost, |outcome| judge(&outcome, expected));
        match verdict {
            Verdict::Recovered => self.recovered += 1,
            Verdict::Lost => self.lost += 1,
            Verdict::SilentlyAltered => self
                .altered
                .push(format!("{name} of {}: {answer}", document.name)),
        }
    }

    fn print(&self, name: &str) {
        eprintln!(
            "{name:32} recovered {:3}  lost {:3}  silently altered {:3}",
            self.recovered,
            self.lost,
            self.altered.len()
        );
    }

    fn add(&mut self, other: Self) {
        self.recovered += other.recovered;
        self.lost += other.lost;
        self.altered.extend(other.altered);
    }

    /// All cases, and the share that was recovered.
    fn total(&self) -> (usize, f64) {
        let cases = self.recovered + self.lost + self.altered.len();
        let share = self.recovered as f64 / cases as f64;
        eprintln!(
            "{cases} cases: recovered {} ({:.1} %), lost {}, silently altered {}",
            self.recovered,
            share * 100.0,
            self.lost,
            self.altered.len()
        );
        (cases, share)
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
                let damaged = (kind.damage)(document, seed);
                counts.count(kind.name, document, &document.value, &damaged);
            }
        }
        counts.print(kind.name);
        total.add(counts);
    }
    let (cases, share) = total.total();
    assert!(cases >= 150);
    assert_eq!(total.altered, Vec::<String>::new());
    assert!(share >= 0.9, "recovered {share}");
}

#[test]
fn habits_of_models_are_understood_and_nothing_is_altered_silently() {
    let mut documents = documents();
    documents.extend(lessons());
    let mut total = Counts::default();
    for habit in HABITS {
        let mut counts = Counts::default();
        for document in &documents {
            for seed in 0..5 {
                let (expected, answer) = (habit.answer)(document, seed);
                counts.count(habit.name, document, &expected, &answer);
            }
        }
        counts.print(habit.name);
        total.add(counts);
    }
    let (cases, share) = total.total();
    assert!(cases >= 1000);
    assert_eq!(total.altered, Vec::<String>::new());
    assert!(share >= 0.95, "recovered {share}");
}

#[test]
fn a_lesson_cut_anywhere_is_right_so_far_and_says_that_it_is_cut() {
    let mut cases = 0;
    for document in lessons() {
        let repairer = Repairer::new(&document.schema).unwrap();
        for text in [document.pretty(), document.value.to_string()] {
            for percent in (2..100).step_by(2) {
                let cut = &text[..text.floor_char_boundary(text.len() * percent / 100)];
                for answer in [
                    cut.to_owned(),
                    format!("```json\n{cut}"),
                    format!("<think>hm</think>{{\"status\": \"ok\", \"data\": {cut}"),
                ] {
                    cases += 1;
                    let Ok(outcome) = repairer.repair(&answer) else {
                        continue;
                    };
                    let place = format!("{} cut at {percent} %: {:?}", document.name, outcome.missing);
                    assert!(outcome.is_cut(), "{place}");
                    assert!(!outcome.missing.is_empty(), "{place}");
                    assert!(is_structural_prefix(&outcome.value, &document.value), "{place}");
                    assert_ne!(
                        judge(&outcome, &document.value),
                        Verdict::SilentlyAltered,
                        "{place}"
                    );
                }
            }
            let whole = repairer.repair(&text).unwrap();
            assert!(!whole.is_cut() && whole.missing.is_empty());
        }
    }
    eprintln!("{cases} cut lessons");
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
