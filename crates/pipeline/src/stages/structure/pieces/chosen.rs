//! What a lesson keeps of what was proposed for it: what other lessons of the course have only where nothing else is left.

use domain::limits;

use crate::wording::folded;

/// Key topics used a lesson, of those asked for.
const USED_TOPICS: usize = 3;

/// The objectives that no lesson before has, at least one: a lesson may have one alone (data model 2.1), and the same one
/// twice says that a course repeats itself.
pub(super) fn choose_objectives(objectives: Vec<String>, used: &mut Vec<String>) -> Vec<String> {
    let mut chosen: Vec<String> = Vec::new();
    for objective in &objectives {
        let key = objective_key(objective);
        if !used.contains(&key) {
            used.push(key);
            chosen.push(objective.clone());
        }
    }
    if chosen.is_empty() {
        chosen.extend(objectives.into_iter().next());
    }
    chosen
}

/// An objective without what makes no difference: `Identify the bees` is `Identify bees`.
pub(super) fn objective_key(objective: &str) -> String {
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
    fn objectives_are_said_once() {
        let mut used = Vec::new();
        let mut check = |objectives: &[&str], expected: &[&str]| {
            let objectives = objectives.iter().map(|&text| text.to_owned()).collect();
            assert_eq!(choose_objectives(objectives, &mut used), expected);
        };
        check(
            &["Identify bees.", "Open the hive."],
            &["Identify bees.", "Open the hive."],
        );
        check(&["Identify the bees.", "Close a hive."], &["Close a hive."]);
        check(&["Open a hive.", "Identify bees."], &["Open a hive."]);
    }
}
