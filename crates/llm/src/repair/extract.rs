//! Layer 1: where in the answer the JSON stands.

use serde_json::Value;

use super::follows::{is_space, skip_space};
use super::{
    Change, DEEPEST_NESTING, Draft, RepairLayer, RepairNote, encoded, escapes, guard, lines, quoted,
    thoughts, tolerant,
};

/// So often an answer may be written as a JSON text of itself.
const MOST_ENCODINGS: usize = 4;
/// Values beyond this are not kept: the last ones are the answer.
const MOST_VALUES: usize = 64;
/// Places where no value begins after all may cost so many times the answer's length.
const MOST_REREADING: usize = 4;
/// After so many values that are nested too deep nothing else is looked for.
const MOST_TOO_DEEP: usize = 8;
/// What a place costs by itself, in bytes.
const COST_OF_A_START: usize = 16;

/// What was found in an answer.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// All values, in order, with the layer that each needed.
    pub(super) drafts: Vec<Draft>,
    /// Something was nested too deep to be read.
    pub(super) is_too_deep: bool,
}

/// All values that can be read out of `raw`.
pub(super) fn drafts(raw: &str) -> Search {
    let mut text = raw.trim_matches('\0').trim_start_matches(is_space).to_owned();
    let mut is_encoded = false;
    for _ in 0..MOST_ENCODINGS {
        match serde_json::from_str::<Value>(text.trim_end_matches(is_space)) {
            // JSON inside a JSON text: the model escaped its whole answer.
            Ok(Value::String(inner)) if inner.contains(['{', '[', ':']) => {
                text = inner;
                is_encoded = true;
            }
            Ok(value) => {
                let mut found = draft(value, RepairLayer::Direct);
                finish_direct(&mut found, &text);
                return Search {
                    drafts: encoded_drafts(vec![found], is_encoded),
                    is_too_deep: false,
                };
            }
            Err(_) => break,
        }
    }
    let Some(answer) = thoughts::without_thoughts(&text) else {
        let mut search = found_in(&text);
        search.drafts = encoded_drafts(search.drafts, is_encoded);
        return search;
    };
    let mut search = found_in(&answer.text);
    search.drafts.iter_mut().for_each(mark_extracted);
    if !answer.is_certain {
        // What was taken for the end of thoughts may stand in a text: the whole is a second reading.
        search
            .drafts
            .iter_mut()
            .for_each(|draft| draft.start += text.len());
        search.drafts.append(&mut found_in(&text).drafts);
    }
    search.drafts = encoded_drafts(search.drafts, is_encoded);
    search
}

fn encoded_drafts(mut drafts: Vec<Draft>, is_encoded: bool) -> Vec<Draft> {
    if is_encoded {
        for draft in &mut drafts {
            draft.layer = draft.layer.max(RepairLayer::Structural);
            draft
                .notes
                .push(note(Change::Escape, "the whole answer was escaped"));
        }
    }
    drafts
}

fn found_in(text: &str) -> Search {
    match encoded::decoded(text) {
        Some(plain) => {
            let mut search = values_in(&plain);
            search.drafts = encoded_drafts(search.drafts, true);
            search
        }
        None => values_in(text),
    }
}

fn values_in(text: &str) -> Search {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut from = 0;
    let mut times_too_deep = 0;
    let marks = quoted::Marks::of(text);
    let mut left_to_read = text.len().saturating_mul(MOST_REREADING);
    // Whether nothing but objects stands in the text so far, as in lines of JSON.
    let mut is_all_values = true;
    // Whether a list that could not be read is open: what it holds are its items.
    let mut in_broken_list = false;
    let mut is_behind_damage = false;
    while let Some(start) = text[from..].find(['{', '[']).map(|offset| from + offset) {
        let between = text[from..start].trim_matches(is_space);
        let found = found_at(&text[start..], marks);
        match found {
            Found::Values { mut values, length } => {
                let behind = &text[start + length..];
                let is_all = skip_space(&text[..start]).is_empty() && skip_space(behind).is_empty();
                is_all_values &= (between.is_empty() || between == ",") && values.len() == 1;
                in_broken_list &= !text[from..start].contains(']');
                let is_listed = in_broken_list || (between == "," && !drafts.is_empty());
                if is_listed
                    && between == ","
                    && let Some(before) = drafts.last_mut()
                {
                    before.is_listed = true;
                }
                for draft in &mut values {
                    draft.start = start;
                    draft.is_listed = is_listed;
                    draft.is_part = is_behind_damage;
                    if !is_all {
                        mark_extracted(draft);
                    }
                }
                drafts.append(&mut values);
                drafts.drain(..drafts.len().saturating_sub(MOST_VALUES));
                from = start + length;
            }
            Found::Nothing(refused) => {
                is_behind_damage |= refused.has_content;
                is_all_values = false;
                in_broken_list |=
                    text[start..].starts_with('[') && skip_space(&text[start + 1..]).starts_with(['{', '"']);
                from = start + 1;
                if refused.failure == tolerant::Failure::TooDeep {
                    times_too_deep += 1;
                    if times_too_deep > MOST_TOO_DEEP {
                        break;
                    }
                    // A part of what is too deep is no answer.
                    from = start + refused.read.max(1);
                }
                let cost = refused.read + COST_OF_A_START;
                if cost > left_to_read {
                    break;
                }
                left_to_read -= cost;
            }
        }
    }
    if is_all_values && skip_space(&text[from..]).is_empty() {
        drafts.extend(lines::merged(&drafts));
    }
    drafts.extend(lines::fields_in(text));
    Search {
        drafts,
        is_too_deep: times_too_deep > 0,
    }
}

fn mark_extracted(draft: &mut Draft) {
    draft.layer = draft.layer.max(RepairLayer::Extracted);
    let is_marked = draft
        .notes
        .first()
        .is_some_and(|note| note.change == Change::Surroundings);
    if !is_marked {
        draft
            .notes
            .insert(0, note(Change::Surroundings, "text around the JSON was left out"));
    }
}

enum Found {
    /// One value, or several readings of the same damaged text; and the bytes that the longest takes up.
    Values {
        values: Vec<Draft>,
        length: usize,
    },
    Nothing(tolerant::Refused),
}

/// Reads the value that begins where `text` does.
fn found_at(text: &str, marks: quoted::Marks) -> Found {
    let mut whole_values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    if let Some(Ok(value)) = whole_values.next() {
        let length = whole_values.byte_offset();
        // A value that is followed by more of the same structure was closed too early by a stray bracket.
        if !tolerant::goes_on(&text[length..]) {
            let mut found = draft(value, RepairLayer::Direct);
            finish_direct(&mut found, &text[..length]);
            return Found::Values {
                values: vec![found],
                length,
            };
        }
    }
    let mut readings = match tolerant::readings(text, marks) {
        Ok(readings) => readings,
        Err(refused) => return Found::Nothing(refused),
    };
    let longest = readings
        .iter()
        .map(|reading| reading.length)
        .max()
        .unwrap_or_default();
    readings.retain(|reading| {
        guard::first_altered(&text[..reading.length], &reading.value, reading.is_joined).is_none()
    });
    let length = readings.iter().map(|reading| reading.length).max();
    let Some(length) = length else {
        return Found::Nothing(tolerant::Refused {
            failure: tolerant::Failure::Syntax,
            read: longest,
            has_content: true,
        });
    };
    let drafts = readings.into_iter().map(|reading| Draft {
        notes: reading.notes,
        missing: reading.missing,
        cut: reading.cut,
        is_clean: reading.is_clean,
        ..draft(reading.value, RepairLayer::Structural)
    });
    Found::Values {
        values: drafts.collect(),
        length,
    }
}

/// Correct JSON may still hold backslashes that it read as escapes, and letters that a decoder lost.
fn finish_direct(draft: &mut Draft, text: &str) {
    if text.contains('\\') {
        let before = draft.notes.len();
        escapes::restore_all(&mut draft.value, "", &mut draft.notes);
        if draft.notes.len() > before {
            draft.layer = draft.layer.max(RepairLayer::Structural);
        }
    }
    if text.contains('\u{fffd}') {
        drop_lost_letters(&mut draft.value, "", &mut draft.missing);
        if !draft.missing.is_empty() {
            draft.layer = draft.layer.max(RepairLayer::Structural);
            draft
                .notes
                .push(note(Change::Doubtful, "texts with lost letters were dropped"));
        }
    }
}

/// Drops the texts in which a decoder put U+FFFD for bytes of a word, and reports them.
fn drop_lost_letters(value: &mut Value, path: &str, missing: &mut Vec<String>) {
    let is_damaged = |value: &Value| {
        value.as_str().is_some_and(|text| {
            text.match_indices('\u{fffd}')
                .any(|(at, mark)| quoted::is_in_word(&text[..at], &text[at + mark.len()..]))
        })
    };
    match value {
        Value::Object(fields) => {
            fields.retain(|key, field| {
                let path = super::child(path, key);
                if is_damaged(field) {
                    missing.push(path);
                    return false;
                }
                drop_lost_letters(field, &path, missing);
                true
            });
        }
        Value::Array(items) => {
            let mut index = 0;
            items.retain_mut(|item| {
                let item_path = super::child(path, &index.to_string());
                index += 1;
                if is_damaged(item) {
                    missing.push(item_path);
                    missing.push(super::child(path, "-"));
                    return false;
                }
                drop_lost_letters(item, &item_path, missing);
                true
            });
        }
        _ => {}
    }
}

fn draft(value: Value, layer: RepairLayer) -> Draft {
    Draft {
        value,
        layer,
        notes: Vec::new(),
        missing: Vec::new(),
        cut: None,
        is_clean: true,
        start: 0,
        is_listed: false,
        is_part: false,
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
