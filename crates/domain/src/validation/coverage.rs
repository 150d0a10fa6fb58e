//! What serves what: outcomes by lessons, wishes by outcomes, and titles that mean the same.

use super::text::Checker;
use super::{Finding, Rule, Severity};
use crate::wording::{normalize, stems};

/// The user's own learning outcomes must be among the course's: literally, or with all their words in one of them,
/// since a course's outcome has to be longer than a user may write (data model 2.0, 2.1).
pub(super) fn check_user_outcomes(checker: &mut Checker<'_>, outcomes: &[String]) {
    let language = checker.ctx.language;
    for wish in checker.ctx.user_outcomes {
        let wanted = stems(wish, language);
        let is_kept = outcomes.iter().any(|outcome| {
            normalize(outcome) == normalize(wish)
                || !wanted.is_empty() && wanted.is_subset(&stems(outcome, language))
        });
        if !is_kept {
            let message = format!(
                "the author's outcome '{}' is missing: take it over, with all its words, as one of the outcomes",
                wish.trim()
            );
            checker.error(Rule::UserOutcomeMissing, "learning_outcomes", message);
        }
    }
}

/// Pairs of titles or topics whose embeddings are closer than `threshold` (the model's duplicate threshold), as
/// warnings at the later of the two. `labels` are paths and texts; `similarity` is asked for pairs `i < j`.
pub fn near_duplicate_findings(
    labels: &[(String, String)],
    similarity: impl Fn(usize, usize) -> f32,
    threshold: f32,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (later, (path, text)) in labels.iter().enumerate() {
        for (earlier, (earlier_path, earlier_text)) in labels.iter().enumerate().take(later) {
            // Equal ones are errors of the rules on repeats and not reported twice.
            if normalize(text) == normalize(earlier_text) {
                continue;
            }
            let score = similarity(earlier, later);
            if score >= threshold {
                let message = format!(
                    "'{text}' means nearly the same as '{earlier_text}' ({earlier_path}; similarity {score:.2}): say \
                     what is different, or leave it out"
                );
                findings.push(Finding::new(
                    Rule::NearDuplicate,
                    Severity::Warning,
                    path,
                    message,
                ));
            }
        }
    }
    findings
}

/// A warning for every learning outcome that no lesson serves: none is at least `threshold` similar.
/// `similarity(outcome, lesson)` is asked for every pair of indexes.
pub fn outcome_coverage_findings(
    outcomes: &[String],
    lesson_count: usize,
    similarity: impl Fn(usize, usize) -> f32,
    threshold: f32,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        let best = (0..lesson_count)
            .map(|lesson| similarity(index, lesson))
            .fold(f32::NEG_INFINITY, f32::max);
        if lesson_count == 0 || best < threshold {
            let message = format!(
                "no lesson serves the outcome '{}': add a lesson or an objective for it",
                outcome.trim()
            );
            findings.push(Finding::new(
                Rule::OutcomeUnserved,
                Severity::Warning,
                format!("learning_outcomes[{index}]"),
                message,
            ));
        }
    }
    findings
}
