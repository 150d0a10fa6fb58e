//! Answers that say the instructions back instead of following them.
//!
//! Small models do it now and then, and a prompt must never show in a course (generation 3.8).

use std::collections::HashSet;

use serde_json::Value;

use crate::wording::folded;

/// So many of the instructions' words in a row are no coincidence.
const RUN_WORDS: usize = 7;

/// The runs of words of a prompt file, without the data that fills it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnWords(HashSet<String>);

impl OwnWords {
    /// The runs of these templates. What stands between tags is data or logic and does not count.
    pub(crate) fn of(templates: &[&str]) -> Self {
        let literals = templates.iter().flat_map(|template| literals(template));
        Self(literals.flat_map(|literal| runs(&literal)).collect())
    }

    /// The first run of the instructions that a text of `value` says back.
    pub(crate) fn echo_in(&self, value: &Value) -> Option<String> {
        match value {
            Value::String(text) => runs(text).into_iter().find(|run| self.0.contains(run)),
            Value::Array(items) => items.iter().find_map(|item| self.echo_in(item)),
            Value::Object(fields) => fields.values().find_map(|field| self.echo_in(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }
}

/// The parts of a template outside its tags.
fn literals(template: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        parts.push(rest[..start].to_owned());
        let end = if rest[start..].starts_with("{{") {
            "}}"
        } else {
            "%}"
        };
        let Some(length) = rest[start..].find(end) else {
            return parts;
        };
        rest = &rest[start + length + end.len()..];
    }
    parts.push(rest.to_owned());
    parts
}

fn runs(text: &str) -> Vec<String> {
    let folded = folded(text);
    let words: Vec<&str> = folded.split(' ').collect();
    words.windows(RUN_WORDS).map(|run| run.join(" ")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn instructions_are_recognised_and_data_is_not() {
        let own = OwnWords::of(&[
            "Course: \"{{ course.title | data }}\". List {{ count }} different things that a learner can do after it.",
        ]);
        let check = |text: &str, echoes: bool| {
            assert_eq!(own.echo_in(&json!({"a": [text]})).is_some(), echoes, "{text}");
        };
        check(
            "List 5 different things that a learner can do after the course.",
            true,
        );
        check("Different things that a learner needs.", false);
        check(
            "Course: \"Course title data\" and other words of the author's own.",
            false,
        );
        check(
            "Inspect a hive and decide whether the colony has enough food for winter.",
            false,
        );
    }
}
