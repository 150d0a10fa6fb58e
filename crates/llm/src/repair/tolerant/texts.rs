//! Texts as values.

use serde_json::Value;

use super::{Failure, Frame, Parser};
use crate::repair::Change;
use crate::repair::escapes::{self, Written};
use crate::repair::follows::skip_space;
use crate::repair::quoted::{Place, Scan, scan};

impl Parser<'_> {
    /// Whether a text begins with this letter, where a text may begin.
    pub(super) fn opens_text(&self, letter: char) -> bool {
        self.marks.closers(letter).is_some()
    }

    pub(super) fn quoted(&mut self, quote: char) -> Result<(), Failure> {
        if let Some(text) = self.triple_quoted() {
            self.note(Change::Quotes, "three quotes around a text replaced");
            self.attach_text(text, &Written::default());
            return Ok(());
        }
        let scanned = scan(self.rest(), self.place(), self.marks);
        if quote != '"' {
            self.note(Change::Quotes, "quotes of a text replaced");
        }
        self.text_value(scanned)
    }

    pub(super) fn text_value(&mut self, scanned: Scan) -> Result<(), Failure> {
        let Scan::Whole {
            text,
            length,
            finding,
            written,
        } = scanned
        else {
            self.lose_value();
            return Ok(());
        };
        self.at += length;
        if finding.odd_escape {
            self.note(
                Change::Escape,
                "a raw control character or wrong escape in a text was kept",
            );
        }
        if finding.unclosed {
            self.note(Change::Quotes, "missing closing quote added");
        }
        let is_key = self.place() == Place::Item && skip_space(self.rest()).starts_with([':', '\u{ff1a}']);
        if is_key {
            if finding.inner_quotes + finding.lone_marks > 0 {
                return Err(Failure::Syntax);
            }
            return self.key_in_list(text);
        }
        // The last quote of a cut answer may be one inside a text, if the answer does not escape those.
        let is_last = self.rest().is_empty() && !self.stack.is_empty();
        if is_last && (self.has_inner_quotes || finding.inner_quotes > 0) {
            self.lose_value();
            return Ok(());
        }
        if finding.is_doubtful() {
            self.doubt();
            return Ok(());
        }
        if finding.inner_quotes + finding.lone_marks > 0 {
            self.has_inner_quotes = true;
            self.note(Change::Quotes, "quotes inside a text escaped");
        }
        let text = self.joined(text);
        self.attach_text(text, &written);
        Ok(())
    }

    /// Drops the text that was just read: where it ends, or what it was, cannot be told.
    fn doubt(&mut self) {
        self.missing.push(self.path());
        if self.place() == Place::Item && !self.stack.is_empty() {
            // It may have been two items or half of one.
            self.missing.push(format!("{}/-", self.open_path()));
        }
        self.note(
            Change::Doubtful,
            "a text with an unpaired quote or lost letters was dropped",
        );
        self.drop_value();
        self.after_value = true;
    }

    fn attach_text(&mut self, text: String, written: &Written) {
        let text = match escapes::restored(&text, written) {
            Some(restored) => {
                self.note(Change::Backslash, escapes::DETAIL);
                restored
            }
            None => text,
        };
        self.attach(Value::String(text));
    }

    /// `"text" + "more"`: one text, as programs write it.
    fn joined(&mut self, mut text: String) -> String {
        loop {
            let rest = skip_space(self.rest());
            let Some(behind) = rest.strip_prefix('+') else {
                return text;
            };
            let piece = skip_space(behind);
            let opens = piece.chars().next().is_some_and(|letter| self.opens_text(letter));
            if !opens {
                return text;
            }
            let Scan::Whole {
                text: more,
                length,
                finding,
                ..
            } = scan(piece, self.place(), self.marks)
            else {
                self.looked_at = self.text.len();
                return text;
            };
            if finding.is_doubtful() {
                self.looked_at = self.text.len() - piece.len() + length;
                return text;
            }
            text.push_str(&more);
            self.at = self.text.len() - piece.len() + length;
            self.is_joined = true;
            self.note(Change::Quotes, "pieces of a text joined");
        }
    }

    /// The text between three quotes, as Python writes it.
    fn triple_quoted(&mut self) -> Option<String> {
        let rest = self.rest();
        let mark = ["\"\"\"", "'''"]
            .into_iter()
            .find(|mark| rest.starts_with(mark))?;
        if self.no_triples {
            return None;
        }
        let Some(length) = rest[3..].find(mark) else {
            self.no_triples = true;
            self.looked_at = self.text.len();
            return None;
        };
        let behind = skip_space(&rest[3 + length + 3..]);
        let is_end = behind.is_empty() || behind.starts_with([',', '}', ']', ':']);
        let text = &rest[3..3 + length];
        // Escapes would have to be told from backslashes.
        if !is_end || text.contains('\\') {
            return None;
        }
        self.at += length + 6;
        Some(text.to_owned())
    }

    /// The answer ends in the value that is read now.
    pub(super) fn lose_value(&mut self) {
        let mut lost = vec![self.path()];
        if let Some(Frame::List { .. }) = self.stack.last() {
            lost.push(format!("{}/-", self.open_path()));
        }
        self.cut.get_or_insert_default().lost.append(&mut lost);
        self.drop_value();
        self.at = self.text.len();
    }
}
