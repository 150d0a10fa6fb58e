//! The guard: every text of a mended value must stand in the answer, in the same order.

use std::borrow::Cow;

use serde_json::Value;

use super::follows::is_space;

/// The first text of `value` that `raw` does not hold after the texts before it; `None` if all are there.
/// `is_joined`: pieces of texts were joined, so that what stood between them is left out.
pub(super) fn first_altered<'a>(raw: &str, value: &'a Value, is_joined: bool) -> Option<&'a str> {
    let plain = unescaped(raw);
    let plain = if is_joined { without_joints(&plain) } else { plain };
    let plain = folded(&plain);
    let mut rest = plain.as_ref();
    let mut altered = None;
    let mut look = |text: &'a str| {
        if altered.is_some() {
            return;
        }
        let folded = folded(text);
        match position(rest, folded.as_ref()) {
            Some(at) => rest = &rest[at + folded.len()..],
            None => altered = Some(text),
        }
    };
    visit_texts(value, &mut look);
    altered
}

/// The first place of `text` in `rest`. Nearly always only punctuation is before it; then no search is prepared.
fn position(rest: &str, text: &str) -> Option<usize> {
    const NEAR_BYTES: usize = 32;
    let near = NEAR_BYTES.min(rest.len());
    (0..=near)
        .find(|at| rest.as_bytes()[*at..].starts_with(text.as_bytes()))
        .or_else(|| rest.find(text))
}

/// Control characters and the escapes that mean them are one: which of both was meant is decided elsewhere, with a
/// note.
fn folded(text: &str) -> Cow<'_, str> {
    const ESCAPES: [(&str, &str); 5] = [
        ("\\b", "\u{8}"),
        ("\\f", "\u{c}"),
        ("\\n", "\n"),
        ("\\r", "\r"),
        ("\\t", "\t"),
    ];
    let mut folded = Cow::Borrowed(text);
    if text.contains('\\') {
        for (escape, meant) in ESCAPES {
            if folded.contains(escape) {
                folded = Cow::Owned(folded.replace(escape, meant));
            }
        }
    }
    folded
}

/// `" + "` between two pieces of a text left out.
fn without_joints(plain: &str) -> String {
    let mut kept = String::with_capacity(plain.len());
    let mut rest = plain;
    while let Some(plus) = rest.find('+') {
        let before = rest[..plus].trim_end_matches(is_space);
        let after = rest[plus + 1..].trim_start_matches(is_space);
        if before.ends_with(['"', '\'', '\u{201d}']) && after.starts_with(['"', '\'', '\u{201c}']) {
            let quote = before.chars().next_back().map_or(0, char::len_utf8);
            kept.push_str(&before[..before.len() - quote]);
            rest = &after[after.chars().next().map_or(0, char::len_utf8)..];
        } else {
            kept.push_str(&rest[..=plus]);
            rest = &rest[plus + 1..];
        }
    }
    kept.push_str(rest);
    kept
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
pub(super) fn unescaped(raw: &str) -> String {
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
