//! An object without its braces: a field a line, or one line of JSON a field.

use serde_json::{Map, Value};

use super::follows::{is_space, skip_space};
use super::quoted::is_name;
use super::{Change, Cut, Draft, RepairLayer, RepairNote};

/// Fewer fields are prose: `Note: 3`.
const FEWEST_FIELDS: usize = 2;

/// The object that `text` is the inside of: `title: "..."`, each value as JSON has it. Texts without quotes are
/// refused: nobody can tell where they end.
pub(super) fn fields_in(text: &str) -> Option<Draft> {
    let mut fields = Map::new();
    let mut rest = skip_space(text);
    let mut cut = None;
    while !rest.is_empty() {
        let (key, behind) = key_of(rest)?;
        let mut values = serde_json::Deserializer::from_str(behind).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                let behind = &behind[values.byte_offset()..];
                // 1 of 15.
                if value.is_number() && behind.is_empty() {
                    cut = Some(lost(key));
                    break;
                }
                if fields.insert(key.to_owned(), value).is_some() {
                    return None;
                }
                rest = next_field(behind)?;
            }
            Some(Err(error)) if !error.is_eof() => return None,
            _ => {
                cut = Some(lost(key));
                break;
            }
        }
    }
    if fields.len() < FEWEST_FIELDS {
        return None;
    }
    Some(Draft {
        value: Value::Object(fields),
        layer: RepairLayer::Structural,
        notes: vec![note("braces put around the fields")],
        missing: Vec::new(),
        cut,
        is_clean: true,
        start: 0,
        is_listed: false,
        is_part: false,
    })
}

fn lost(key: &str) -> Cut {
    Cut {
        open: vec![String::new()],
        lost: vec![super::child("", key)],
    }
}

fn key_of(rest: &str) -> Option<(&str, &str)> {
    let (key, behind) = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => rest.split_at(rest.find(|letter| !is_name(letter))?),
    };
    let is_key = !key.is_empty() && key.chars().all(|letter| is_name(letter) || letter == ' ');
    is_key.then_some((key, skip_space(behind.strip_prefix(':')?)))
}

/// Behind a value: a comma or a new line, then the next field or the brace that closes them.
fn next_field(behind: &str) -> Option<&str> {
    let rest = skip_space(behind);
    if rest
        .trim_start_matches(|letter| is_space(letter) || letter == '}')
        .is_empty()
    {
        return Some("");
    }
    if let Some(rest) = rest.strip_prefix(',') {
        return Some(skip_space(rest));
    }
    behind[..behind.len() - rest.len()].contains('\n').then_some(rest)
}

/// The object whose fields stand in objects of their own, one a line.
pub(super) fn merged(drafts: &[Draft]) -> Option<Draft> {
    if drafts.len() < FEWEST_FIELDS {
        return None;
    }
    let mut fields = Map::new();
    for draft in drafts {
        let Value::Object(own) = &draft.value else {
            return None;
        };
        if own.len() != 1 || draft.cut.as_ref().is_some_and(|cut| !cut.lost.is_empty()) {
            return None;
        }
        for (key, value) in own {
            if fields.insert(key.clone(), value.clone()).is_some() {
                return None;
            }
        }
    }
    let mut merged = drafts.last()?.clone();
    merged.value = Value::Object(fields);
    merged.layer = RepairLayer::Structural;
    merged.notes = drafts.iter().flat_map(|draft| draft.notes.clone()).collect();
    merged.notes.push(note("fields of several objects put into one"));
    merged.missing = drafts.iter().flat_map(|draft| draft.missing.clone()).collect();
    Some(merged)
}

fn note(detail: &str) -> RepairNote {
    RepairNote {
        path: String::new(),
        change: Change::Rewrapped,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_without_braces_are_read() {
        let check = |text: &str, expected: Option<Value>| {
            assert_eq!(fields_in(text).map(|draft| draft.value), expected, "{text}");
        };
        check("a: \"x\"\nb: [1, 2]\n", Some(json!({ "a": "x", "b": [1, 2] })));
        check(
            "\"a\": \"x\",\n\"b\": {\"c\": 1}\n}",
            Some(json!({ "a": "x", "b": { "c": 1 } })),
        );
        check(
            "a: \"x\"\nb: true\nc: \"cut",
            Some(json!({ "a": "x", "b": true })),
        );
        check("a: x\nb: y", None);
        check("a: \"x\" and b: \"y\"", None);
        check("Note: 3", None);
    }
}
