//! Whether the texts of a lesson are those that the model wrote.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use domain::lesson::LessonContent;
use llm::provider::scripted::misbehaving::{DRAFT, FORMULA};
use serde_json::Value;

/// Fields that the program fills in itself.
const OWN_FIELDS: [&str; 4] = ["status", "quality", "word_count", "citations"];

/// Letters of a text that are shown in a report: what is wrong with one may stand at its end.
const SHOWN_LETTERS: usize = 2000;

/// All texts of all good answers.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<Texts>);

#[derive(Debug, Default)]
struct Texts {
    all: HashSet<String>,
    /// How many texts the answer with this introduction has, the fewest where several have it: a lesson with fewer was cut.
    counts: HashMap<String, usize>,
}

impl Said {
    /// Remembers every text of an answer.
    pub(super) fn remember(&self, answer: &str) {
        let Ok(value) = serde_json::from_str::<Value>(answer) else {
            return;
        };
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        each_text(&value, &mut |text| {
            count += 1;
            said.all.insert(text.trim().to_owned());
        });
        if let Some(introduction) = value.get(INTRODUCTION).and_then(Value::as_str) {
            let known = said.counts.entry(introduction.trim().to_owned()).or_insert(count);
            *known = count.min(*known);
        }
    }

    fn has(&self, text: &str) -> bool {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.all.contains(text.trim())
    }

    /// Whether a text is one that was said without sentences that stand elsewhere in its lesson: an invented answer may
    /// say one twice, and the program drops the second.
    fn has_without_repeats(&self, text: &str, lesson: &str) -> bool {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.all.iter().any(|whole| {
            let mut kept = sentences(text).peekable();
            sentences(whole)
                .all(|sentence| kept.next_if(|next| *next == sentence).is_some() || lesson.contains(sentence))
                && kept.peek().is_none()
        })
    }

    /// How many texts the answer with this introduction has.
    fn count(&self, introduction: &str) -> usize {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.counts.get(introduction.trim()).copied().unwrap_or_default()
    }
}

fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(". ").map(str::trim)
}

/// What every lesson begins with.
const INTRODUCTION: &str = "introduction";

/// What is wrong with the texts of a lesson, one line a text.
pub(super) fn faults_of(lesson: &LessonContent, said: &Said) -> Vec<String> {
    let mut faults = Vec::new();
    let mut count = 0;
    let value = serde_json::to_value(lesson).unwrap_or_default();
    let mut whole_lesson = String::new();
    each_text(&value, &mut |text| {
        whole_lesson.push_str(text);
        whole_lesson.push('\n');
    });
    each_text(&value, &mut |text| {
        count += 1;
        // A formula that was added has to be there as it was meant.
        let meant = text.trim().strip_suffix(FORMULA).unwrap_or(text);
        let fault = if text.contains(|letter: char| letter.is_control() && letter != '\n') {
            "a control character"
        } else if text.contains(DRAFT) {
            "from a draft"
        } else if !said.has(meant) && !said.has_without_repeats(meant, &whole_lesson) {
            "never said"
        } else {
            return;
        };
        let shown: String = text.chars().take(SHOWN_LETTERS).collect();
        faults.push(format!("{fault}: {shown:?}"));
    });
    let whole = said.count(&lesson.introduction);
    if count < whole {
        faults.push(format!("cut: {count} texts of {whole}"));
    }
    faults
}

fn each_text(value: &Value, hear: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => hear(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, hear)),
        Value::Object(fields) => {
            let others = fields
                .iter()
                .filter(|(name, _)| !OWN_FIELDS.contains(&name.as_str()));
            others.for_each(|(_, value)| each_text(value, hear));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_may_lack_only_sentences_that_stand_elsewhere() {
        let said = Said::default();
        said.remember(r#"{"a": "Bees fly. Bees dance. Bees rest."}"#);
        let check = |text: &str, lesson: &str, expected: bool| {
            assert_eq!(said.has_without_repeats(text, lesson), expected, "{text}");
        };
        check("Bees fly. Bees rest.", "Bees dance. It is so.", true);
        check("Bees fly. Bees rest.", "Bees fly. Bees rest.", false);
        check("Bees fly. Bees da", "Bees dance. Bees rest.", false);
        check("Bees rest. Bees fly.", "Bees dance.", false);
    }

    #[test]
    fn every_text_of_an_answer_is_remembered() {
        let said = Said::default();
        said.remember(r#"{"a": ["one ", {"b": "two"}], "status": "own"}"#);
        assert!(said.has("one") && said.has(" two"));
        assert!(!said.has("own") && !said.has("three"));
        said.remember(r#"{"introduction": "Bees.", "quiz": ["a", "b"]}"#);
        assert_eq!((said.count("Bees."), said.count("Ants.")), (3, 0));
    }
}
