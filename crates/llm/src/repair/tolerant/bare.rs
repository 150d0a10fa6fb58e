//! What stands without quotes: numbers, literals, and texts whose quotes are missing.

use serde_json::{Number, Value};

use super::{Failure, Parser};
use crate::repair::Change;
use crate::repair::follows::{key_follows, skip_space, split_mark};
use crate::repair::quoted::{Place, scan_unopened};

impl Parser<'_> {
    /// Something without quotes: a number, a literal, or a text whose quotes are missing.
    pub(super) fn bare(&mut self) -> Result<(), Failure> {
        let rest = self.rest();
        let end = rest
            .find([
                ',', '}', ']', '\n', '"', ':', '{', '[', '\u{ff0c}', '\u{ff5d}', '\u{ff3d}',
            ])
            .unwrap_or(rest.len());
        let before_comment = ["//", "/*", "#"]
            .iter()
            .filter_map(|start| rest[..end].find(start))
            .min();
        let word = rest[..before_comment.unwrap_or(end)].trim_end();
        let is_literal = matches!(word, "true" | "false" | "null");
        // White space behind it shows that it is whole; a single line break may have been added on the way.
        let behind = &rest[word.len()..];
        let may_go_on = behind.len() < 2 && behind.trim().is_empty();
        if may_go_on && before_comment.is_none() && !is_literal {
            // The answer ends in the middle of it, or may do: 1 of 15.
            self.lose_value();
            return Ok(());
        }
        // Numbers in a list may be separated by spaces alone.
        let first_word = word.split_whitespace().next().unwrap_or_default();
        let scalar = scalar(word).map(|found| (found, word)).or_else(|| {
            (self.place() == Place::Item)
                .then(|| scalar(first_word).map(|found| (found, first_word)))
                .flatten()
        });
        if let Some(((value, is_exact), word)) = scalar {
            if !is_exact {
                self.note(Change::Literal, &format!("{word} -> {value}"));
            }
            self.at += word.len();
            self.attach(value);
            return Ok(());
        }
        if self.stack.is_empty() || word.is_empty() {
            return Err(Failure::Syntax);
        }
        if rest[end..].starts_with('"') {
            self.note(Change::Quotes, "missing opening quote added");
            let scanned = scan_unopened(rest, self.place(), self.marks);
            return self.text_value(scanned);
        }
        self.bare_text(word, end)
    }

    fn bare_text(&mut self, word: &str, end: usize) -> Result<(), Failure> {
        let after = &self.rest()[end..];
        let ends_cleanly = match (split_mark(after), self.place()) {
            (Some(('}', _)), Place::Field) | (Some((']', _)), Place::Item) | (Some(('\n', _)), _) => true,
            (Some((',', behind)), Place::Field) => {
                let rest = skip_space(behind);
                rest.starts_with(['}', ']']) || key_follows(rest, self.marks)
            }
            _ => false,
        };
        // A comma in a list of bare texts may be part of a text or not.
        if !ends_cleanly {
            return Err(Failure::Syntax);
        }
        self.note(Change::Quotes, "quotes put around a text");
        self.at += word.len();
        self.attach(Value::String(word.to_owned()));
        Ok(())
    }
}

/// A number or literal, and whether it is written as JSON has it.
fn scalar(word: &str) -> Option<(Value, bool)> {
    let value = match word {
        "true" => return Some((Value::Bool(true), true)),
        "false" => return Some((Value::Bool(false), true)),
        "null" => return Some((Value::Null, true)),
        "True" | "TRUE" => Value::Bool(true),
        "False" | "FALSE" => Value::Bool(false),
        "None" | "Null" | "NULL" | "nil" | "undefined" | "NaN" => Value::Null,
        _ => {
            if let Ok(number) = serde_json::from_str::<Number>(word) {
                return Some((Value::Number(number), true));
            }
            // +5, .5, 5. and 05
            let digits = word.strip_prefix('+').unwrap_or(word);
            if !digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'))
            {
                return None;
            }
            match digits.parse::<i64>() {
                Ok(whole) => Value::from(whole),
                Err(_) => Value::Number(Number::from_f64(digits.parse().ok()?)?),
            }
        }
    };
    Some((value, false))
}
