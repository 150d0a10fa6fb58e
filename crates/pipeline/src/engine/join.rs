//! Puts the parts of an answer together that came in several calls.

use std::cmp::Reverse;

use llm::repair::{Change, Repairer};
use llm::response::FinishReason;
use serde_json::Value;

use super::evaluate::was_truncated;

/// Characters of a part that must come again to count as repeated: fewer meet by chance.
const LEAST_OVERLAP: usize = 12;
/// How far back a repeated piece is looked for, in bytes.
const OVERLAP_REACH: usize = 4000;
/// Characters by which a part must lengthen a text to count as progress where no new field came to its end.
const LEAST_GROWTH: usize = 40;

/// `text` with the part that followed it; `None` if the part brought it no further.
pub(super) fn joined(schema: &Value, text: &str, part: &str, finish: FinishReason) -> Option<String> {
    let repairer = Repairer::new(schema).ok()?;
    let part = without_wrapping(part);
    if part.trim().is_empty() {
        return None;
    }
    let before = Extent::of(&repairer, text)?;
    let is_fresh = begins_anew(schema, text, part);
    let mut ways = Vec::new();
    if is_fresh {
        ways.push(part.to_owned());
        ways.extend(with_missing_fields(&repairer, text, part));
    }
    ways.push(format!("{text}{}", &part[overlap(text, part)..]));
    let best = ways
        .into_iter()
        .filter_map(|way| Extent::of(&repairer, &way).map(|extent| (extent, way)))
        // A way that needs more mending than the text did has met something that does not belong to it.
        .filter(|(extent, _)| extent.damage <= before.damage || extent.is_valid)
        .max_by_key(|(extent, _)| (extent.is_valid, extent.said, Reverse(extent.damage)));
    let (extent, way) = best?;
    // A long text that is still open says nothing yet, and grows all the same as long as the limit cuts it.
    let grows = finish == FinishReason::Length && !is_fresh && way.len() >= text.len() + LEAST_GROWTH;
    let is_further = extent.said > before.said || (extent.is_valid && !before.is_valid) || grows;
    is_further.then_some(way)
}

/// How much of an answer a text holds.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// It follows the schema, and its end is there.
    is_valid: bool,
    /// Bytes of what is whole in it.
    said: usize,
    /// Places that had to be mended.
    damage: usize,
}

impl Extent {
    fn of(repairer: &Repairer, text: &str) -> Option<Self> {
        let found = repairer.repair(text).ok()?;
        let is_damage = |change: Change| match change {
            Change::OtherValue
            | Change::Quotes
            | Change::Separator
            | Change::Closer
            | Change::Doubtful
            | Change::Elided
            | Change::DuplicateKey
            | Change::UnknownKey
            | Change::StrayWord
            | Change::Literal => true,
            Change::Surroundings
            | Change::Comment
            | Change::Escape
            | Change::Backslash
            | Change::Truncated
            | Change::KeyRenamed
            | Change::NullDropped
            | Change::Retyped
            | Change::NearestValue
            | Change::Rewrapped => false,
        };
        Some(Self {
            is_valid: !was_truncated(&found) && repairer.is_valid(&found.value),
            said: found.value.to_string().len(),
            damage: found.notes.iter().filter(|note| is_damage(note.change)).count(),
        })
    }
}

/// A part without the fence and the sentence that models put around what they continue.
fn without_wrapping(part: &str) -> &str {
    let Some(fence) = part.find("```") else {
        return part;
    };
    let before = &part[..fence];
    // A fence inside the lesson's own Markdown is none of ours: ours opens the part, after a sentence at most.
    let opens =
        before.trim().is_empty() || (before.lines().count() <= 2 && !before.contains(['"', '{', '[']));
    if !opens {
        return part;
    }
    let inner = &part[fence + 3..];
    let inner = inner.split_once('\n').map_or(inner, |(language, rest)| {
        if language.trim().chars().all(char::is_alphanumeric) {
            rest
        } else {
            inner
        }
    });
    inner
        .trim_end()
        .strip_suffix("```")
        .map_or(inner, |inner| inner.trim_end_matches(['\n', '\r']))
}

/// Whether a part opens the JSON again: from the beginning, or as an object of the fields that were missing.
fn begins_anew(schema: &Value, text: &str, part: &str) -> bool {
    let part = part.trim_start();
    let beginning: String = text.trim_start().chars().take(LEAST_OVERLAP * 2).collect();
    if part.starts_with(beginning.as_str()) {
        return true;
    }
    let first_key = part
        .strip_prefix('{')
        .and_then(|rest| rest.trim_start().strip_prefix('"'))
        .and_then(|rest| rest.split('"').next());
    first_key.is_some_and(|key| schema.pointer(&format!("/properties/{key}")).is_some())
}

/// The fields of `text` and those that `part` has beside them.
fn with_missing_fields(repairer: &Repairer, text: &str, part: &str) -> Option<String> {
    let mut before = repairer.repair(text).ok()?;
    let after = repairer.repair(part).ok()?;
    let (fields, more) = (before.value.as_object_mut()?, after.value.as_object()?);
    for (key, value) in more {
        let cut = format!("/{key}");
        let is_cut = before
            .missing
            .iter()
            .any(|pointer| *pointer == cut || pointer.starts_with(&format!("{cut}/")));
        if is_cut || !fields.contains_key(key) {
            fields.insert(key.clone(), value.clone());
        }
    }
    Some(before.value.to_string())
}

/// How many bytes at the beginning of `part` are the end of `text` said again.
fn overlap(text: &str, part: &str) -> usize {
    let reach = text.len().min(part.len()).min(OVERLAP_REACH);
    (LEAST_OVERLAP..=reach)
        .rev()
        .find(|&length| part.is_char_boundary(length) && text.ends_with(&part[..length]))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        let text = json!({ "type": "string" });
        json!({ "type": "object", "additionalProperties": false, "required": ["title", "body", "quiz"], "properties": {
            "title": text, "body": text, "quiz": { "type": "array", "items": text, "minItems": 2 } } })
    }

    const WHOLE: &str = r#"{"title": "The life of bees", "body": "Bees need clean water in every season.", "quiz": ["Where is the water found?", "Who carries it home?"]}"#;

    #[test]
    fn parts_become_the_whole_wherever_the_answer_was_cut() {
        for at in 30..WHOLE.len() - 1 {
            let (text, rest) = WHOLE.split_at(at);
            let check = |part: &str| {
                let whole = joined(&schema(), text, part, FinishReason::Stop)
                    .unwrap_or_else(|| panic!("no progress: {text} + {part}"));
                let value = llm::repair::repair(&whole, &schema()).unwrap().value;
                assert_eq!(
                    value,
                    serde_json::from_str::<Value>(WHOLE).unwrap(),
                    "{text} + {part}"
                );
            };
            check(rest);
            check(&format!("```json\n{rest}\n```"));
            check(&format!("Here is the rest:\n```\n{rest}\n```"));
            check(&format!("{}{rest}", &text[at - 20..]));
            check(WHOLE);
            check(&format!("```json\n{WHOLE}\n```"));
        }
    }

    #[test]
    fn fields_that_were_missing_may_come_as_an_object_of_their_own() {
        let text = r#"{"title": "The life of bees", "body": "Bees need clean wa"#;
        let part = r#"{"body": "Bees need water.", "quiz": ["Where?", "Who?"]}"#;
        let whole = joined(&schema(), text, part, FinishReason::Stop).unwrap();
        let expected =
            json!({ "title": "The life of bees", "body": "Bees need water.", "quiz": ["Where?", "Who?"] });
        assert_eq!(llm::repair::repair(&whole, &schema()).unwrap().value, expected);
    }

    #[test]
    fn what_brings_the_answer_no_further_is_no_progress() {
        let check = |text: &str, part: &str, finish: FinishReason| {
            assert_eq!(joined(&schema(), text, part, finish), None, "{text} + {part}");
        };
        let text = r#"{"title": "The life of bees", "body": "Bees need clean wa"#;
        check(text, "", FinishReason::Stop);
        check(text, "I am sorry, I cannot go on.", FinishReason::Stop);
        check(
            text,
            "Sure, here is \"the rest\" of what I wanted to say.",
            FinishReason::Stop,
        );
        check(text, text, FinishReason::Length);
        check(text, r#"{"title": "The li"#, FinishReason::Length);
    }

    #[test]
    fn long_text_that_is_cut_again_and_again_grows() {
        let text = r#"{"title": "The life of bees", "body": "Bees need clean wa"#;
        let part = "ter in every season of the year, and so do all other insects that live near it";
        let grown = joined(&schema(), text, part, FinishReason::Length).unwrap();
        assert_eq!(grown, format!("{text}{part}"));
        assert_eq!(joined(&schema(), text, part, FinishReason::Stop), None);
    }
}
