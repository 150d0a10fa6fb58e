//! The guard: every text of a mended value must stand in the answer, in the same order.

use serde_json::Value;

/// The first text of `value` that `raw` does not hold after the texts before it; `None` if all are there.
pub(super) fn first_altered<'a>(raw: &str, value: &'a Value) -> Option<&'a str> {
    let plain = unescaped(raw);
    let mut rest = plain.as_str();
    let mut altered = None;
    let mut look = |text: &'a str| {
        if altered.is_some() {
            return;
        }
        match rest.find(text) {
            Some(at) => rest = &rest[at + text.len()..],
            None => altered = Some(text),
        }
    };
    visit_texts(value, &mut look);
    altered
}

fn visit_texts<'a>(value: &'a Value, look: &mut impl FnMut(&'a str)) {
    match value {
        Value::String(text) => look(text),
        Value::Array(items) => items.iter().for_each(|item| visit_texts(item, look)),
        Value::Object(fields) => {
            for (key, field) in fields {
                look(key);
                visit_texts(field, look);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The answer with JSON's escapes resolved, so that it can be compared with parsed texts.
fn unescaped(raw: &str) -> String {
    if !raw.contains('\\') {
        return raw.to_owned();
    }
    let mut plain = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let (text, length) = super::quoted::escape_at(&rest[at..]);
        plain.push_str(&text);
        rest = &rest[at + length..];
    }
    plain.push_str(rest);
    plain
}
