//! Chooses the objectives of lessons and sections among those that a small model proposed.

use std::collections::{HashMap, HashSet};

use domain::language::Language;
use domain::wording::stems;

use crate::wording::folded;

/// Objectives that a lesson or a section has at most.
const MOST: usize = 2;

/// What was said before.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The words of each objective that carry meaning, reduced to stems.
    words: Vec<HashSet<String>>,
    /// The objectives, folded.
    texts: HashSet<String>,
    /// How many began with each verb.
    verbs: HashMap<String, usize>,
}

impl Said {
    /// Takes an objective down.
    pub(crate) fn note(&mut self, objective: &str, language: Language) {
        self.words.push(stems(objective, language));
        self.texts.insert(folded(objective));
        *self.verbs.entry(verb(objective)).or_default() += 1;
    }

    /// Whether an objective says less than one before, or the same in other words: `Inspect a hive` after `Inspect the hive
    /// for disease`. One that says more is new.
    fn has(&self, objective: &str, language: Language) -> bool {
        let words = stems(objective, language);
        let is_within = |said: &HashSet<String>| !words.is_empty() && words.is_subset(said);
        self.texts.contains(&folded(objective)) || self.words.iter().any(is_within)
    }
}

fn verb(objective: &str) -> String {
    folded(objective).split(' ').next().unwrap_or_default().to_owned()
}

/// What comes after the verb: many lessons are titled with the verbs that objectives begin with.
fn subject(objective: &str) -> &str {
    objective.split_once(' ').map_or("", |(_, rest)| rest)
}

/// The objectives of a lesson or a section, of those that the model proposed: those that `fit` it by what comes after the verb,
/// which none before says, and of too many those whose verbs were heard least. At least one, if any was proposed: one alone
/// is enough (data model 2.1), and the same one twice says that a course repeats itself.
pub(crate) fn choose(
    proposed: &[String],
    fit: impl Fn(&str) -> bool,
    said: &mut Said,
    language: Language,
) -> Vec<String> {
    let mut here = Said::default();
    let mut chosen: Vec<String> = Vec::new();
    for objective in proposed.iter().filter(|objective| fit(subject(objective))) {
        if !said.has(objective, language) && !here.has(objective, language) {
            here.note(objective, language);
            chosen.push(objective.clone());
        }
    }
    while chosen.len() > MOST {
        let heard = |objective: &String| {
            let before = said.verbs.get(&verb(objective)).copied().unwrap_or(0);
            let beside = chosen.iter().filter(|other| verb(other) == verb(objective));
            before + beside.count()
        };
        let most_heard = (0..chosen.len()).max_by_key(|&place| heard(&chosen[place]));
        chosen.remove(most_heard.unwrap_or(0));
    }
    if chosen.is_empty() {
        let new = proposed.iter().find(|objective| !said.has(objective, language));
        let other = || {
            proposed
                .iter()
                .find(|objective| !said.texts.contains(&folded(objective)))
        };
        chosen.extend(new.or_else(other).or(proposed.first()).cloned());
    }
    for objective in &chosen {
        said.note(objective, language);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_said_once() {
        let mut said = Said::default();
        let mut check = |objectives: &[&str], expected: &[&str]| {
            let objectives: Vec<String> = objectives.iter().map(|&text| text.to_owned()).collect();
            // Another lesson is about wasps.
            let fit = |subject: &str| !subject.contains("wasps");
            assert_eq!(choose(&objectives, fit, &mut said, Language::English), expected);
        };
        check(
            &["Identify bees.", "Open the hive."],
            &["Identify bees.", "Open the hive."],
        );
        check(&["Identify the bees.", "Close a hive."], &["Close a hive."]);
        check(
            &["Explain how wasps live.", "Inspect frames of honey."],
            &["Inspect frames of honey."],
        );
        // The verb that was heard before goes, and the order stays.
        check(
            &[
                "Explain how a queen is made.",
                "Inspect drones in summer.",
                "Mark a young queen.",
            ],
            &["Explain how a queen is made.", "Mark a young queen."],
        );
        check(
            &["Mark the young queens.", "Count the wasps."],
            &["Count the wasps."],
        );
        check(
            &["Mark a young queen.", "Mark young queens."],
            &["Mark young queens."],
        );
        check(&["Mark a young queen."], &["Mark a young queen."]);
    }

    #[test]
    fn what_is_alike_is_not_the_same() {
        let check = |before: &str, objective: &str, language: Language, expected: bool| {
            let mut said = Said::default();
            said.note(before, language);
            assert_eq!(said.has(objective, language), expected, "{objective}");
        };
        let en = Language::English;
        check(
            "Identify signs of disease in bees.",
            "Identify signs of swarming in bees.",
            en,
            false,
        );
        check(
            "Write queries for tables.",
            "Write queries that join two tables.",
            en,
            false,
        );
        check(
            "Write queries that join two tables.",
            "Write a query for the tables.",
            en,
            true,
        );
        let es = Language::Spanish;
        check(
            "Explicar la importancia de la limpieza.",
            "Explicar la importancia de la ventilación.",
            es,
            false,
        );
        check(
            "Explicar la importancia de la limpieza.",
            "Explicar la importancia de la limpieza.",
            es,
            true,
        );
    }
}
