//! Keys of objects.

use super::{Failure, Frame, Parser};
use crate::repair::Change;
use crate::repair::follows::{plain_mark, skip_space};
use crate::repair::quoted::{Place, Scan, closers_of, is_name, scan};

impl Parser<'_> {
    pub(super) fn key(&mut self, next: char) -> Result<(), Failure> {
        let Some(key) = self.key_text(next)? else {
            return Ok(());
        };
        self.skip_trivia();
        self.skip_emphasis();
        if !self.eat(':') {
            let rest = self.rest();
            if rest.starts_with('=') {
                self.at += if rest.starts_with("=>") { 2 } else { 1 };
                self.note(Change::Separator, "colon added");
            } else if rest.starts_with(|letter| closers_of(letter).is_some() || matches!(letter, '{' | '[')) {
                self.note(Change::Separator, "missing colon added");
            } else if !rest.is_empty() {
                return Err(Failure::Syntax);
            }
        }
        if let Some(Frame::Object { key: slot, .. }) = self.stack.last_mut() {
            *slot = Some(key);
        }
        Ok(())
    }

    /// The key itself; `None` if the answer ends in it, or if what stood there was no key.
    fn key_text(&mut self, next: char) -> Result<Option<String>, Failure> {
        if next == '*' && self.skip_emphasis() {
            let Some(quote) = self.rest().chars().next().filter(|quote| self.opens_text(*quote)) else {
                return Err(Failure::Syntax);
            };
            return self.key_text(quote);
        }
        if !self.opens_text(next) {
            return self.bare_key();
        }
        match scan(self.rest(), Place::Key, self.marks) {
            Scan::Cut => {
                self.at = self.text.len();
                Ok(None)
            }
            // A key with quotes inside is what other damage looks like.
            Scan::Whole { finding, length, .. } if finding.inner_quotes + finding.lone_marks > 0 => {
                self.looked_at = self.at + length;
                Err(Failure::Syntax)
            }
            Scan::Whole { text, length, .. } => {
                if next != '"' {
                    self.note(Change::Quotes, "quotes of a key replaced");
                }
                self.at += length;
                Ok(Some(text))
            }
        }
    }

    fn bare_key(&mut self) -> Result<Option<String>, Failure> {
        let rest = self.rest();
        let length = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        let name = &rest[..length];
        self.at += length;
        if self.at == self.text.len() {
            return Ok(None);
        }
        if name.is_empty() {
            return Err(Failure::Syntax);
        }
        if let Some(behind) = self.rest().strip_prefix('"')
            && skip_space(behind).starts_with(':')
        {
            self.note(Change::Quotes, "missing opening quote of a key added");
            self.step();
            return Ok(Some(name.to_owned()));
        }
        let behind = skip_space(self.rest());
        if behind.chars().next().map(plain_mark) != Some(':') {
            // A single word between a comma and a key is neither.
            if behind.starts_with('"') && behind.len() < self.rest().len() {
                self.note(Change::StrayWord, &format!("'{name}' before a key was left out"));
                return Ok(None);
            }
            return Err(Failure::Syntax);
        }
        self.note(Change::Quotes, "quotes put around a key");
        Ok(Some(name.to_owned()))
    }

    /// `**` around a key is Markdown's.
    fn skip_emphasis(&mut self) -> bool {
        let rest = self.rest();
        let length = rest.len() - rest.trim_start_matches('*').len();
        if length > 0 {
            self.at += length;
            self.note(Change::Quotes, "emphasis around a key removed");
        }
        length > 0
    }
}
