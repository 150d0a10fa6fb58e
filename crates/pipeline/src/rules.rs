//! Rules on parts that the domain knows only as a whole.

use domain::language::Language;
use domain::taxonomy::first_verb;
use domain::validation::{Finding, Rule, Severity, find_placeholder, is_in_language};
use serde_json::Value;

/// Texts shorter than this do not tell their language (data model 2.3).
const TELLS_LANGUAGE_FROM: usize = 60;

/// No outcome may be one that no test can measure.
pub(crate) fn outcomes(outcomes: &[String], language: Language) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (outcome, index) in outcomes.iter().zip(0..) {
        if let Some(verb) = first_verb(outcome, language).filter(|verb| verb.banned) {
            let message = format!(
                "'{}' cannot be measured; begin with what the learner does: explain, build, compare ...",
                verb.lemma
            );
            let path = format!("learning_outcomes[{index}]");
            findings.push(Finding::new(
                Rule::ObjectiveUnmeasurable,
                Severity::Error,
                path,
                message,
            ));
        }
    }
    findings
}

/// No text of an answer may be a placeholder or in another language than the course's.
pub(crate) fn texts(value: &Value, language: Language) -> Vec<Finding> {
    let mut findings = Vec::new();
    walk(value, "", language, &mut findings);
    findings
}

/// No text of an answer may be in another language than the course's. Unlike [`texts`] it allows what looks like a
/// placeholder: documents may teach templates.
pub(crate) fn in_language(value: &Value, language: Language) -> Vec<Finding> {
    let mut findings = texts(value, language);
    findings.retain(|finding| finding.rule == Rule::Language);
    findings
}

fn walk(value: &Value, path: &str, language: Language, findings: &mut Vec<Finding>) {
    match value {
        Value::String(text) => {
            if let Some(placeholder) = find_placeholder(text, language) {
                let message = format!("'{placeholder}' is a placeholder; write the real text");
                findings.push(Finding::new(Rule::Placeholder, Severity::Error, path, message));
            }
            if text.chars().count() > TELLS_LANGUAGE_FROM && !is_in_language(text, language) {
                let message = format!("must be written in {}", language.english_name());
                findings.push(Finding::new(Rule::Language, Severity::Error, path, message));
            }
        }
        Value::Array(items) => {
            for (item, index) in items.iter().zip(0..) {
                walk(item, &format!("{path}[{index}]"), language, findings);
            }
        }
        Value::Object(fields) => {
            for (key, item) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                walk(item, &format!("{path}{dot}{key}"), language, findings);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
