//! Lists that models write in another way: as a text, as bullets, as an object with numbers for keys.

use serde_json::{Map, Value};

use super::quoted::Marks;
use super::{guard, tolerant};

/// The list or object that a text holds: `['a', 'b']`.
pub(super) fn value_in(text: &str) -> Option<Value> {
    let text = text.trim();
    let is_bracketed =
        (text.starts_with('[') && text.ends_with(']')) || (text.starts_with('{') && text.ends_with('}'));
    if !is_bracketed {
        return None;
    }
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    let mut readings = tolerant::readings(text, Marks::of(text)).ok()?;
    let reading = readings.pop()?;
    let is_whole = readings.is_empty()
        && reading.length == text.len()
        && reading.missing.is_empty()
        && reading.cut.is_none()
        && guard::first_altered(text, &reading.value, reading.is_joined).is_none();
    is_whole.then_some(reading.value)
}

/// The items of a text of bullets, two at least: `- a\n- b`, `1. a\n2. b`.
pub(super) fn bullets_in(text: &str) -> Option<Vec<Value>> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if lines.len() < 2 {
        return None;
    }
    let signs = ["- ", "* ", "\u{2022} ", "\u{2013} ", "\u{b7} "];
    let after_sign = |sign: &str| -> Option<Vec<Value>> {
        lines
            .iter()
            .map(|line| Some(item(line.strip_prefix(sign)?)))
            .collect()
    };
    let after_number = || -> Option<Vec<Value>> {
        let numbered = lines.iter().enumerate();
        numbered
            .map(|(index, line)| {
                let behind = line.strip_prefix(&(index + 1).to_string())?;
                Some(item(behind.strip_prefix(['.', ')'])?.strip_prefix(' ')?))
            })
            .collect()
    };
    signs
        .iter()
        .find_map(|sign| after_sign(sign))
        .or_else(after_number)
}

fn item(text: &str) -> Value {
    Value::String(text.trim().to_owned())
}

/// The items of an object that stands for a list: `{"1": a, "2": b}`, `{"items": [a, b]}`. Other objects come back.
pub(super) fn items_of(fields: Map<String, Value>) -> Result<Vec<Value>, Map<String, Value>> {
    if fields.len() == 1 && fields.values().all(Value::is_array) {
        let lists = fields.into_iter().map(|(_, list)| list);
        return Ok(lists
            .flat_map(|list| match list {
                Value::Array(items) => items,
                other => vec![other],
            })
            .collect());
    }
    // 0, 1, 2 or 1, 2, 3, also with a word before: `item_1`.
    let numbers: Option<Vec<usize>> = fields
        .keys()
        .map(|key| {
            let digits = key.trim_start_matches(|letter: char| !letter.is_ascii_digit());
            digits.parse().ok()
        })
        .collect();
    let is_counted = numbers.is_some_and(|numbers| {
        let first = numbers.first().copied().unwrap_or(usize::MAX);
        first <= 1
            && numbers
                .iter()
                .enumerate()
                .all(|(index, number)| *number == first + index)
    });
    if is_counted {
        Ok(fields.into_iter().map(|(_, item)| item).collect())
    } else {
        Err(fields)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_in_texts_are_read() {
        let check = |text: &str, expected: Option<Value>| {
            assert_eq!(value_in(text), expected, "{text}");
        };
        check("['a', 'b']", Some(json!(["a", "b"])));
        check(r#"["a", "b"]"#, Some(json!(["a", "b"])));
        check("[1] and [2]", None);
        check("['a', 'b", None);
        check("a, b", None);
    }

    #[test]
    fn bullets_need_one_sign_and_two_lines() {
        let check = |text: &str, expected: Option<Value>| {
            assert_eq!(bullets_in(text).map(Value::Array), expected, "{text}");
        };
        check("- a\n- b", Some(json!(["a", "b"])));
        check("\u{2022} a\n\n\u{2022} b", Some(json!(["a", "b"])));
        check("1. a\n2. b", Some(json!(["a", "b"])));
        check("- a", None);
        check("- a\nb", None);
        check("2. a\n1. b", None);
        check("a\nb", None);
    }

    #[test]
    fn objects_with_numbers_are_lists() {
        let check = |fields: Value, expected: Option<Value>| {
            let Value::Object(fields) = fields else { return };
            assert_eq!(items_of(fields).ok().map(Value::Array), expected);
        };
        check(json!({ "1": "a", "2": "b" }), Some(json!(["a", "b"])));
        check(json!({ "item_0": "a", "item_1": "b" }), Some(json!(["a", "b"])));
        check(json!({ "items": ["a", "b"] }), Some(json!(["a", "b"])));
        check(json!({ "2": "a", "1": "b" }), None);
        check(json!({ "a": "x" }), None);
    }
}
