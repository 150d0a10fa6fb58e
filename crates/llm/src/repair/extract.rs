//! Layer 1: where in the answer the JSON stands.

use serde_json::Value;

use super::{Change, DEEPEST_NESTING, Draft, RepairError, RepairLayer, RepairNote, guard, tolerant};

/// So many places where a value might begin are looked at; prose rarely has more brackets before the answer.
const MOST_STARTS: usize = 16;
/// Tags in which models think aloud before they answer.
const THINKING_ENDS: [&str; 3] = ["</think>", "</thinking>", "</reasoning>"];

/// All values that can be read out of `raw`, with the layer that each needed.
pub(super) fn drafts(raw: &str) -> Result<Vec<Draft>, RepairError> {
    let trimmed = raw.trim().trim_start_matches('\u{feff}');
    if let Ok(value) = serde_json::from_str::<Value>(trimmed) {
        return Ok(match value {
            // JSON inside a JSON string: the model escaped its whole answer.
            Value::String(inner) if inner.contains(['{', '[']) => found_in(&inner)?,
            value => vec![draft(value, RepairLayer::Direct, Vec::new())],
        });
    }
    let answer = without_thoughts(trimmed);
    if !is_escaped(answer) {
        let mut drafts = found_in(answer)?;
        if answer.len() < trimmed.len() {
            drafts.iter_mut().for_each(mark_extracted);
        }
        return Ok(drafts);
    }
    let unescaped = answer
        .replace("\\\\", "\u{0}")
        .replace("\\\"", "\"")
        .replace("\\n", "\n")
        .replace('\u{0}', "\\");
    let mut drafts = found_in(&unescaped)?;
    for draft in &mut drafts {
        draft.layer = RepairLayer::Structural;
        draft
            .notes
            .push(note(Change::Escape, "the whole answer was escaped"));
    }
    Ok(drafts)
}

/// Whether the answer is escaped without quotes around it: `{\"title\": \"...\"}`.
fn is_escaped(answer: &str) -> bool {
    let inside = answer
        .find(['{', '['])
        .map(|start| answer[start + 1..].trim_start_matches(['{', '[', ' ', '\n']));
    inside.is_some_and(|inside| inside.trim_start_matches("\\n").trim_start().starts_with("\\\""))
}

/// The answer after the model's thoughts. Tags inside the JSON are texts and stay.
fn without_thoughts(answer: &str) -> &str {
    let end = THINKING_ENDS
        .iter()
        .filter_map(|tag| Some(answer.find(tag)? + tag.len()))
        .max();
    let Some(end) = end else { return answer };
    let starts_with_thoughts = answer.starts_with("<think") || answer.starts_with("<reasoning>");
    // Some servers swallow the opening tag. Thoughts may contain brackets but do not begin with them.
    if starts_with_thoughts || !answer.starts_with(['{', '[', '`']) {
        &answer[end..]
    } else {
        answer
    }
}

fn found_in(text: &str) -> Result<Vec<Draft>, RepairError> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut from = 0;
    let mut is_too_deep = false;
    for _ in 0..MOST_STARTS {
        let Some(start) = text[from..].find(['{', '[']).map(|offset| from + offset) else {
            break;
        };
        match found_at(&text[start..]) {
            Found::Values { mut values, length } => {
                let is_all = text[..start].trim().is_empty() && text[start + length..].trim().is_empty();
                for draft in &mut values {
                    if !is_all {
                        mark_extracted(draft);
                    }
                }
                drafts.append(&mut values);
                from = start + length;
            }
            Found::Nothing => from = start + 1,
            Found::TooDeep => {
                is_too_deep = true;
                from = start + 1;
            }
        }
    }
    match (drafts.is_empty(), is_too_deep) {
        (true, true) => Err(RepairError::TooDeep),
        _ => Ok(drafts),
    }
}

fn mark_extracted(draft: &mut Draft) {
    draft.layer = draft.layer.max(RepairLayer::Extracted);
    draft
        .notes
        .insert(0, note(Change::Surroundings, "text around the JSON was left out"));
}

enum Found {
    /// One value, or several readings of the same damaged text; and the bytes that the longest takes up.
    Values {
        values: Vec<Draft>,
        length: usize,
    },
    Nothing,
    TooDeep,
}

/// Reads the value that begins where `text` does.
fn found_at(text: &str) -> Found {
    let mut whole_values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    if let Some(Ok(value)) = whole_values.next() {
        let length = whole_values.byte_offset();
        // A value that is followed by more of the same structure was closed too early by a stray bracket.
        if !tolerant::goes_on(&text[length..]) {
            return Found::Values {
                values: vec![draft(value, RepairLayer::Direct, Vec::new())],
                length,
            };
        }
    }
    let mut readings = match tolerant::readings(text) {
        Ok(readings) => readings,
        Err(tolerant::Failure::TooDeep) => return Found::TooDeep,
        Err(tolerant::Failure::Syntax) => return Found::Nothing,
    };
    readings.retain(|reading| guard::first_altered(text, &reading.value).is_none());
    let length = readings.iter().map(|reading| reading.length).max();
    let Some(length) = length else {
        return Found::Nothing;
    };
    let drafts = readings.into_iter().map(|reading| Draft {
        value: reading.value,
        layer: RepairLayer::Structural,
        notes: reading.notes,
        missing: reading.missing,
        is_clean: reading.is_clean,
    });
    Found::Values {
        values: drafts.collect(),
        length,
    }
}

fn draft(value: Value, layer: RepairLayer, notes: Vec<RepairNote>) -> Draft {
    Draft {
        value,
        layer,
        notes,
        missing: Vec::new(),
        is_clean: true,
    }
}

fn note(change: Change, detail: &str) -> RepairNote {
    RepairNote {
        path: String::new(),
        change,
        detail: detail.to_owned(),
    }
}

// The JSON library stops at its own limit, which must not be lower than ours.
const _: () = assert!(DEEPEST_NESTING < 127);
