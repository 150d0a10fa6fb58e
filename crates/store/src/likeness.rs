//! How much two texts share, word by word: for dropping near-copies and for finding a text again after an edit.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Words in a run. Three, as is usual for near-duplicates (Broder 1997): single words are shared by all texts on a
/// subject.
const RUN_WORDS: usize = 3;

/// The runs of words of a text; case, spaces and punctuation do not count.
#[derive(Clone, Debug)]
pub(crate) struct Runs(HashSet<u64>);

impl Runs {
    pub(crate) fn of(text: &str) -> Self {
        let lower = text.to_lowercase();
        let words: Vec<&str> = lower
            .split(|letter: char| !letter.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        // A text shorter than a run is one run.
        let length = RUN_WORDS.min(words.len().max(1));
        let runs = words.windows(length).map(|run| {
            let mut hasher = DefaultHasher::new();
            run.hash(&mut hasher);
            hasher.finish()
        });
        Self(runs.collect())
    }

    /// How many runs both have.
    pub(crate) fn shared_with(&self, other: &Self) -> usize {
        self.0.intersection(&other.0).count()
    }

    /// The share of the shorter text's runs that the other has, too, 0 to 1.
    pub(crate) fn containment(&self, other: &Self) -> f64 {
        let shorter = self.0.len().min(other.0.len());
        if shorter == 0 {
            return 0.0;
        }
        self.shared_with(other) as f64 / shorter as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containment(one: &str, other: &str) -> f64 {
        Runs::of(one).containment(&Runs::of(other))
    }

    #[test]
    fn copies_are_known_whatever_their_case_and_punctuation() {
        let text = "The price of gasoline falls in winter, because people drive less.";
        assert!(
            containment(
                text,
                "the price of gasoline falls in winter because people drive less"
            ) > 0.99
        );
        assert!(containment(text, &format!("{text} In summer it rises again.")) > 0.99);
        assert!(containment(text, "Loops repeat a block until their condition is false.") < 0.01);
    }

    #[test]
    fn texts_without_words_are_like_nothing() {
        assert!(containment("", "") < 0.01);
        assert!(containment("...", "price") < 0.01);
        assert!(containment("price", "Price!") > 0.99);
    }
}
