//! Lengths, counts and what every text must keep: no placeholders, the course's language.

use super::{Finding, Rule, Severity, ValidationContext, find_placeholder, mismatched_language};
use crate::limits::{Limit, text_length};

/// Collects findings below a path.
pub(super) struct Checker<'a> {
    pub(super) ctx: ValidationContext<'a>,
    path: String,
    findings: Vec<Finding>,
}

impl<'a> Checker<'a> {
    pub(super) const fn new(ctx: ValidationContext<'a>) -> Self {
        Self {
            ctx,
            path: String::new(),
            findings: Vec::new(),
        }
    }

    pub(super) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }

    /// Runs `check` with `part` appended to the path.
    pub(super) fn at(&mut self, part: &str, check: impl FnOnce(&mut Self)) {
        let outer = self.path.len();
        self.path = self.join(part);
        check(self);
        self.path.truncate(outer);
    }

    pub(super) fn error(&mut self, rule: Rule, part: &str, message: impl Into<String>) {
        self.push(rule, Severity::Error, part, message);
    }

    pub(super) fn warning(&mut self, rule: Rule, part: &str, message: impl Into<String>) {
        self.push(rule, Severity::Warning, part, message);
    }

    pub(super) fn info(&mut self, rule: Rule, part: &str, message: impl Into<String>) {
        self.push(rule, Severity::Info, part, message);
    }

    pub(super) fn push(&mut self, rule: Rule, severity: Severity, part: &str, message: impl Into<String>) {
        let path = self.join(part);
        self.findings.push(Finding::new(rule, severity, path, message));
    }

    fn join(&self, part: &str) -> String {
        match (self.path.as_str(), part) {
            (path, "") => path.to_owned(),
            ("", part) => part.to_owned(),
            (path, part) => format!("{path}.{part}"),
        }
    }

    /// Length, placeholders and language of one text.
    pub(super) fn text(&mut self, part: &str, text: &str, limit: Limit) {
        let length = text_length(text);
        if length == 0 {
            let message = format!("is empty; write {} to {} characters", limit.min, limit.max);
            self.error(Rule::Placeholder, part, message);
            return;
        }
        if length < limit.min {
            let message = format!(
                "has {length} characters, at least {} are needed: say it more fully",
                limit.min
            );
            self.error(Rule::Length, part, message);
        } else if length > limit.max {
            let message = format!(
                "has {length} characters, at most {} are allowed: shorten it",
                limit.max
            );
            self.error(Rule::Length, part, message);
        }
        self.prose(part, text);
    }

    /// What a model writes to itself: it has to be there, in whatever language the model thinks.
    pub(super) fn aside(&mut self, part: &str, text: &str) {
        if text_length(text) == 0 {
            self.error(Rule::Placeholder, part, "is empty; say why");
        }
    }

    /// Placeholders and language of one text.
    pub(super) fn prose(&mut self, part: &str, text: &str) {
        if let Some(found) = find_placeholder(text, self.ctx.language) {
            let message = format!("contains the placeholder '{found}': write the real text instead");
            self.error(Rule::Placeholder, part, message);
        }
        if let Some(found) = mismatched_language(text, self.ctx.language) {
            let wanted = self.ctx.language.english_name();
            let message = format!("is written in {found}, the course is in {wanted}: write it in {wanted}");
            self.error(Rule::Language, part, message);
        }
    }

    /// The number of texts and each of them.
    pub(super) fn texts(&mut self, part: &str, texts: &[String], count: Limit, each: Limit) {
        self.count(part, texts.len(), count);
        for (text, index) in texts.iter().zip(0..) {
            self.text(&format!("{part}[{index}]"), text, each);
        }
    }

    pub(super) fn count(&mut self, part: &str, count: usize, limit: Limit) {
        if !limit.allows(count) {
            let what = if count < limit.min {
                "add more"
            } else {
                "remove the least important"
            };
            let message = format!(
                "has {count} entries, {} to {} are allowed: {what}",
                limit.min, limit.max
            );
            self.error(Rule::Count, part, message);
        }
    }

    pub(super) fn number(&mut self, part: &str, number: usize, limit: Limit) {
        if !limit.allows(number) {
            let message = format!("is {number}, {} to {} are allowed", limit.min, limit.max);
            self.error(Rule::Range, part, message);
        }
    }
}
