//! Chooses the objectives of lessons and sections among those that a small model proposed.

use domain::language::Language;
use domain::wording::stems;

use crate::wording::folded;

/// Objectives that a lesson or a section has at most.
const MOST: usize = 2;

/// The share of the words of the shorter of two texts from which on they say the same.
const SAID_AGAIN_FROM: f64 = 0.75;
/// Texts with fewer words that carry meaning say the same only with the same words.
const COMPARED_FROM_WORDS: usize = 3;

/// Whether two sentences say the same, as far as their words say: `Prepare the hive for winter by cleaning it` does what
/// `Prepare for winter by cleaning the hive` does.
fn says_again(one: &str, other: &str, language: Language) -> bool {
    let (one_stems, other_stems) = (stems(one, language), stems(other, language));
    let shorter = one_stems.len().min(other_stems.len());
    if shorter < COMPARED_FROM_WORDS {
        return one_stems == other_stems;
    }
    let shared = one_stems.intersection(&other_stems).count();
    shared as f64 >= SAID_AGAIN_FROM * shorter as f64
}

/// The objectives of a lesson or a section, of those that the model proposed: those that `fit` it, which none before has, and of
/// too many those whose verbs were heard least. At least one, if any was proposed: one alone is enough (data model 2.1), and the
/// same one twice says that a course repeats itself.
pub(crate) fn choose(
    proposed: &[String],
    fit: impl Fn(&String) -> bool,
    taken: &mut Vec<String>,
    language: Language,
) -> Vec<String> {
    let is_new = |objective: &String, others: &[String]| {
        others.iter().all(|other| !says_again(objective, other, language))
    };
    let mut chosen: Vec<String> = Vec::new();
    for objective in proposed.iter().filter(|objective| fit(objective)) {
        if is_new(objective, taken) && is_new(objective, &chosen) {
            chosen.push(objective.clone());
        }
    }
    let verb = |objective: &String| folded(objective).split(' ').next().map(str::to_owned);
    while chosen.len() > MOST {
        let heard = |objective: &String| {
            let said = taken.iter().chain(&chosen);
            said.filter(|other| verb(other) == verb(objective)).count()
        };
        let most_heard = (0..chosen.len()).max_by_key(|&place| heard(&chosen[place]));
        chosen.remove(most_heard.unwrap_or(0));
    }
    if chosen.is_empty() {
        let new = proposed.iter().find(|objective| is_new(objective, taken));
        chosen.extend(new.or(proposed.first()).cloned());
    }
    taken.extend(chosen.iter().cloned());
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_said_once() {
        let mut taken = Vec::new();
        let mut check = |objectives: &[&str], expected: &[&str]| {
            let objectives: Vec<String> = objectives.iter().map(|&text| text.to_owned()).collect();
            // Another lesson is about wasps.
            let fit = |objective: &String| !objective.contains("wasps");
            let chosen = choose(&objectives, fit, &mut taken, Language::English);
            assert_eq!(chosen, expected);
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
        check(&["Mark a young queen."], &["Mark a young queen."]);
    }
}
