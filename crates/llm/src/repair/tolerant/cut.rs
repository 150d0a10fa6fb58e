//! Where the answer, or a part of it, ends too early.

use serde_json::Value;

use super::{Failure, Frame, Parser, path_of};
use crate::repair::Change;

impl Parser<'_> {
    /// `...`: the model wrote that there is more without writing it.
    pub(super) fn elision(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches('.').len();
        let path = self.path();
        let missing = if matches!(self.stack.last(), Some(Frame::List { .. })) {
            format!("{}/-", self.open_path())
        } else {
            path
        };
        self.missing.push(missing);
        self.note(Change::Elided, "the model left something out");
        self.after_value = true;
    }

    /// The answer ended. What is open is closed; lists may lack items, objects fields, and what has no content yet
    /// is dropped.
    pub(super) fn cut(&mut self) -> Result<Value, Failure> {
        self.at = self.text.len();
        if self.stack.is_empty() {
            return Err(Failure::Syntax);
        }
        self.note(Change::Truncated, "the answer ends here");
        let mut cut = self.cut.take().unwrap_or_default();
        for (depth, frame) in self.stack.iter().enumerate() {
            if matches!(frame, Frame::Object { .. }) {
                cut.open.push(path_of(&self.stack[..depth]));
            }
        }
        while let Some(frame) = self.stack.last() {
            if let Frame::Object { key: Some(_), .. } = frame {
                cut.lost.push(self.path());
                self.drop_value();
            }
            if let Some(Frame::List { .. }) = self.stack.last() {
                cut.lost.push(format!("{}/-", self.open_path()));
            }
            let is_inner = self.stack.len() > 1;
            let is_empty = match self.stack.last() {
                Some(Frame::Object { fields, .. }) => fields.is_empty(),
                Some(Frame::List { items, .. }) => items.is_empty(),
                None => break,
            };
            if is_inner && is_empty {
                self.stack.pop();
                cut.lost.push(self.path());
                self.drop_value();
            } else {
                self.pop();
            }
        }
        self.cut = Some(cut);
        self.root.take().ok_or(Failure::Syntax)
    }
}
