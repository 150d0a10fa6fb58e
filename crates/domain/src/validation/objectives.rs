//! Objectives that a test can measure, and the levels of thinking that they ask for (data model 2.3).

use super::text::Checker;
use super::{Rule, Severity};
use crate::lesson::count_words;
use crate::taxonomy::{self, BloomLevel, BloomProfile, FirstVerb, first_verb};

/// Words of an objective, at least (data model 2.3).
const WORDS_MIN: usize = 4;
/// Objectives from which on a section that asks for one level only is worth a remark.
const SINGLE_LEVEL_OBJECTIVES_MIN: u32 = 3;

/// The objectives of a section.
pub(super) fn check_section(checker: &mut Checker<'_>, objectives: &[String]) {
    check_each(checker, "learning_objectives", objectives);
}

/// The objectives of a lesson: at least one must begin with an action verb.
pub(super) fn check_lesson(checker: &mut Checker<'_>, objectives: &[String]) {
    let levels = check_each(checker, "lesson_objectives", objectives);
    let language = checker.ctx.language;
    if taxonomy::has_verb_list(language) && !objectives.is_empty() && levels.iter().all(Option::is_none) {
        let message = format!(
            "no objective begins with an action verb; begin each with one such as {}",
            verb_examples(checker)
        );
        checker.error(Rule::ObjectiveVerb, "lesson_objectives", message);
    }
}

/// The course's learning outcomes: the user's own are constraints and are left alone.
pub(super) fn check_outcomes(checker: &mut Checker<'_>, outcomes: &[String]) {
    for (outcome, index) in outcomes.iter().zip(0..) {
        let part = format!("learning_outcomes[{index}]");
        let verb = first_verb(outcome, checker.ctx.language).filter(|verb| verb.banned);
        let is_the_users = checker
            .ctx
            .user_outcomes
            .iter()
            .any(|own| own.trim() == outcome.trim());
        if let Some(verb) = verb.filter(|_| !is_the_users) {
            report_unmeasurable(checker, Severity::Warning, &part, &verb);
        }
    }
}

/// How the levels develop over the course.
pub(super) fn check_profile(checker: &mut Checker<'_>, profile: &BloomProfile) {
    for (counts, index) in profile.sections.iter().zip(0..) {
        if let Some(level) = counts
            .only_level()
            .filter(|_| counts.recognized() >= SINGLE_LEVEL_OBJECTIVES_MIN)
        {
            let message = format!(
                "all its objectives ask for one level of thinking: {}",
                level.as_str()
            );
            checker.info(Rule::BloomSingleLevel, &format!("sections[{index}]"), message);
        }
    }
    let means: Vec<f64> = profile
        .sections
        .iter()
        .filter_map(|counts| counts.mean_level())
        .collect();
    let [first, later @ ..] = means.as_slice() else {
        return;
    };
    if !later.is_empty() && later.iter().all(|mean| mean <= first) {
        let message =
            "the levels of thinking never rise over the course: let later sections analyse, evaluate, create";
        checker.info(Rule::BloomFlat, "sections", message);
    }
}

/// Checks each and gives its level.
fn check_each(checker: &mut Checker<'_>, field: &str, objectives: &[String]) -> Vec<Option<BloomLevel>> {
    let mut levels = Vec::with_capacity(objectives.len());
    for (objective, index) in objectives.iter().zip(0..) {
        let part = format!("{field}[{index}]");
        let words = count_words(objective);
        if words > 0 && words < WORDS_MIN {
            let message = format!(
                "'{objective}' has {words} words, at least {WORDS_MIN} are needed: say what the learner does with what"
            );
            checker.error(Rule::ObjectiveShort, &part, message);
        }
        let verb = first_verb(objective, checker.ctx.language);
        match &verb {
            Some(verb) if verb.banned => report_unmeasurable(checker, Severity::Error, &part, verb),
            Some(verb) if verb.level.is_none() => {
                let message = format!(
                    "begins with '{}', which is no known action verb; begin with one such as {}",
                    verb.lemma,
                    verb_examples(checker)
                );
                checker.warning(Rule::ObjectiveVerb, &part, message);
            }
            Some(_) | None => {}
        }
        levels.push(verb.and_then(|verb| verb.level));
    }
    levels
}

fn report_unmeasurable(checker: &mut Checker<'_>, severity: Severity, part: &str, verb: &FirstVerb) {
    let message = format!(
        "begins with '{}', which no test can measure; say what the learner does to show it, with a verb such as {}",
        verb.lemma,
        verb_examples(checker)
    );
    checker.push(Rule::ObjectiveUnmeasurable, severity, part, message);
}

/// One common verb a level.
fn verb_examples(checker: &Checker<'_>) -> String {
    let verbs = taxonomy::measurable_verbs(checker.ctx.language);
    let examples: Vec<_> = BloomLevel::ALL
        .into_iter()
        .filter_map(|level| verbs.iter().rfind(|(_, its_level)| *its_level == level))
        .map(|(verb, _)| *verb)
        .collect();
    examples.join(", ")
}
