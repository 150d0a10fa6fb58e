//! BM25 by the book, to compare with: words as they are written, no stems, no headings apart.

use std::collections::{HashMap, HashSet};

/// How fast further occurrences of a word count less, and how much the length counts (Robertson, Zaragoza 2009).
const K1: f64 = 1.2;
const B: f64 = 0.75;

/// The texts, ready to be ranked.
pub(super) struct Bm25 {
    texts: Vec<HashMap<String, usize>>,
    lengths: Vec<usize>,
    /// How many texts have a word.
    spread: HashMap<String, usize>,
    usual_length: f64,
}

impl Bm25 {
    pub(super) fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let texts: Vec<HashMap<String, usize>> = texts
            .map(|text| {
                let mut counts = HashMap::new();
                for word in words(text) {
                    *counts.entry(word).or_insert(0) += 1;
                }
                counts
            })
            .collect();
        let lengths: Vec<usize> = texts.iter().map(|text| text.values().sum()).collect();
        let mut spread = HashMap::new();
        for word in texts.iter().flat_map(HashMap::keys) {
            *spread.entry(word.clone()).or_insert(0) += 1;
        }
        let usual_length = lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64;
        Self {
            texts,
            lengths,
            spread,
            usual_length,
        }
    }

    /// Places of the texts that have a word of the question, the best first.
    pub(super) fn rank(&self, question: &str) -> Vec<usize> {
        let words: HashSet<String> = words(question).collect();
        let mut scored: Vec<(f64, usize)> = (0..self.texts.len())
            .map(|place| (self.score(place, &words), place))
            .filter(|(score, _)| *score > 0.0)
            .collect();
        scored.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        scored.into_iter().map(|(_, place)| place).collect()
    }

    fn score(&self, place: usize, words: &HashSet<String>) -> f64 {
        let length = self.lengths[place] as f64 / self.usual_length;
        let all = self.texts.len() as f64;
        let mut words: Vec<&String> = words.iter().collect();
        // Sums of floating-point numbers depend on the order.
        words.sort();
        words
            .into_iter()
            .filter_map(|word| {
                let count = *self.texts[place].get(word)? as f64;
                let having = *self.spread.get(word)? as f64;
                let rarity = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
                Some(rarity * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length)))
            })
            .sum()
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_and_short_texts_come_first() {
        let texts = [
            "the price of the good",
            "the elasticity of the price of a good that many buyers want at any price",
            "the elasticity",
            "a loop",
        ];
        let ranking = Bm25::of(texts.into_iter());
        assert_eq!(ranking.rank("Elasticity"), [2, 1], "the shorter text");
        assert_eq!(
            ranking.rank("elasticity of price"),
            [1, 0, 2],
            "more of the words"
        );
        assert_eq!(ranking.rank("the loop"), [3, 0, 2, 1], "the rarer word");
        assert!(ranking.rank("zebra").is_empty());
    }
}
