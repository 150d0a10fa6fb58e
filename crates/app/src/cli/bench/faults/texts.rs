//! Whether the texts of a lesson are those that the model wrote.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use domain::lesson::LessonContent;
use llm::provider::scripted::misbehaving::{DRAFT, FORMULA};
use serde_json::Value;

/// Fields that the program fills in itself.
const OWN_FIELDS: [&str; 4] = ["status", "quality", "word_count", "citations"];

/// Letters of a text that are shown in a report.
const SHOWN_LETTERS: usize = 60;

/// All texts of all good answers.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<HashSet<String>>);

impl Said {
    /// Remembers every text of an answer.
    pub(super) fn remember(&self, answer: &str) {
        let Ok(value) = serde_json::from_str::<Value>(answer) else {
            return;
        };
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        each_text(&value, &mut |text| {
            said.insert(text.trim().to_owned());
        });
    }

    fn has(&self, text: &str) -> bool {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.contains(text.trim())
    }
}

/// What is wrong with the texts of a lesson, one line a text.
pub(super) fn faults_of(lesson: &LessonContent, said: &Said) -> Vec<String> {
    let mut faults = Vec::new();
    let value = serde_json::to_value(lesson).unwrap_or_default();
    each_text(&value, &mut |text| {
        // A formula that was added has to be there as it was meant.
        let meant = text.trim().strip_suffix(FORMULA).unwrap_or(text);
        let fault = if text.contains(|letter: char| letter.is_control() && letter != '\n') {
            "a control character"
        } else if text.contains(DRAFT) {
            "from a draft"
        } else if !said.has(meant) {
            "never said"
        } else {
            return;
        };
        let shown: String = text.chars().take(SHOWN_LETTERS).collect();
        faults.push(format!("{fault}: {shown:?}"));
    });
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
    fn every_text_of_an_answer_is_remembered() {
        let said = Said::default();
        said.remember(r#"{"a": ["one ", {"b": "two"}], "status": "own"}"#);
        assert!(said.has("one") && said.has(" two"));
        assert!(!said.has("own") && !said.has("three"));
    }
}
