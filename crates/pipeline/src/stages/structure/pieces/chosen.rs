//! What a course and its lessons keep of what was proposed for them: what others have only where nothing else is left.

use std::collections::HashSet;

use domain::limits;

use crate::objectives::Said;
use crate::wording::folded;

/// The outcomes of a course, of those that the model proposed. A model that says one again and again has none to offer:
/// then what the sections achieve comes first, one of each section before a second of any.
pub(super) fn choose_outcomes(proposed: Vec<String>, sections: &[&[String]]) -> Vec<String> {
    let count = proposed.len();
    let different = without_repeats(proposed);
    if different.len() >= limits::LEARNING_OUTCOMES.min {
        return different;
    }
    let most = sections.iter().map(|objectives| objectives.len()).max();
    let achieved = (0..most.unwrap_or(0))
        .flat_map(|place| {
            sections
                .iter()
                .filter_map(move |objectives| objectives.get(place))
        })
        .filter(|objective| limits::LEARNING_OUTCOME.allows(limits::text_length(objective)))
        .cloned();
    let mut outcomes = without_repeats(achieved.chain(different));
    outcomes.truncate(count);
    outcomes
}

/// The objectives without those that repeat one before them.
fn without_repeats(objectives: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut keys = HashSet::new();
    let new = objectives
        .into_iter()
        .filter(|objective| keys.insert(objective_key(objective)));
    new.collect()
}

/// Key topics used a lesson, of those asked for.
const USED_TOPICS: usize = 3;
/// What the lessons before have already.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Their key topics, folded.
    pub(super) topics: Vec<String>,
    /// Their objectives.
    pub(super) objectives: Said,
}

/// An objective without what makes no difference: `Identify the bees` is `Identify bees`.
fn objective_key(objective: &str) -> String {
    let folded = folded(objective);
    let words = folded
        .split(' ')
        .filter(|word| !matches!(*word, "a" | "an" | "the"));
    words.collect::<Vec<_>>().join(" ")
}

/// The first topics that are new in this section and do not merely repeat the lesson's title.
pub(super) fn choose_topics(candidates: &[String], title: &str, used: &mut Vec<String>) -> Vec<String> {
    let mut topics: Vec<String> = Vec::new();
    for candidate in candidates {
        let key = folded(candidate);
        if topics.len() < USED_TOPICS && key != folded(title) && !used.contains(&key) {
            used.push(key);
            topics.push(candidate.clone());
        }
    }
    // Two topics are the least: what others have too is narrowed to this lesson.
    let whole = [title.to_owned()];
    for candidate in candidates.iter().chain(&whole) {
        let narrowed = if candidate == title {
            title.to_owned()
        } else {
            format!("{candidate}: {title}")
        };
        if topics.len() < limits::KEY_TOPICS.min && !used.contains(&folded(&narrowed)) {
            used.push(folded(&narrowed));
            topics.push(narrowed);
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_that_repeat_themselves_give_way_to_those_of_sections() {
        let owned = |texts: &[&str]| -> Vec<String> { texts.iter().map(|&text| text.to_owned()).collect() };
        let first = owned(&[
            "Write SELECT statements with conditions.",
            "Sort and group the rows of a table.",
        ]);
        let second = owned(&["Join two tables by a common column.", "Too short."]);
        let sections = [first.as_slice(), second.as_slice()];
        let check = |proposed: &[&str], expected: &[&str]| {
            assert_eq!(choose_outcomes(owned(proposed), &sections), expected);
        };
        let differing = ["Query one table.", "Query two tables.", "Query views."];
        check(&differing, &differing);
        check(
            &[
                "Label the results of a query.",
                "Label results of a query.",
                "Label the results of a query.",
            ],
            &[
                "Write SELECT statements with conditions.",
                "Join two tables by a common column.",
                "Sort and group the rows of a table.",
            ],
        );
        check(
            &["Label the results of a query."; 5],
            &[
                "Write SELECT statements with conditions.",
                "Join two tables by a common column.",
                "Sort and group the rows of a table.",
                "Label the results of a query.",
            ],
        );
    }
}
