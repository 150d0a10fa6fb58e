//! From which cosine on a piece of a document bears out a sentence.
//!
//! The English pairs are the sentences with which a textbook sums up its chapters: people wrote them from the chapter's
//! text in other words, as lessons are written from documents. Each was compared with the passages of its own chapter,
//! which bear it out, and with as many of another chapter of the same book, which do not; the nearest counts. The Russian
//! pairs were written for this. The table holds no passages: `examples/support.rs` measures it anew.
//!
//! The English sentences are from Principles of Economics 3e, `OpenStax`, CC BY 4.0
//! (<https://openstax.org/details/books/principles-economics-3e>). Of the 146 pairs, 15 are on the wrong side of the fitted
//! threshold: nine of ten sentences are told right, and what the report says of a single one is a hint.

use super::{best, between};

/// The pairs with their cosines.
const PAIRS: &str = include_str!("../../data/support.tsv");

/// A sentence and the nearest passage of some.
#[derive(Clone, Debug, PartialEq)]
pub struct SupportPair {
    /// Whether the texts are Russian (else English).
    pub is_russian: bool,
    /// Whether the passages are those that the sentence was written from.
    pub is_supported: bool,
    /// The cosine of the sentence as a query and the nearest passage as one.
    pub cosine: f32,
    /// The sentence.
    pub sentence: String,
}

/// The labelled pairs that ship with the program.
pub fn support_pairs() -> Vec<SupportPair> {
    PAIRS.lines().skip(1).filter_map(parse).collect()
}

fn parse(line: &str) -> Option<SupportPair> {
    let mut columns = line.split('\t');
    Some(SupportPair {
        is_russian: columns.next()? == "ru",
        is_supported: columns.next()? == "supported",
        cosine: columns.next()?.parse().ok()?,
        sentence: columns.next()?.to_owned(),
    })
}

/// The cosine that tells both kinds apart with the fewest errors; `None` without pairs of both kinds.
pub fn fit_support(pairs: &[SupportPair]) -> Option<f32> {
    let has = |kind: bool| pairs.iter().any(|pair| pair.is_supported == kind);
    if !has(true) || !has(false) {
        return None;
    }
    best(
        between(pairs.iter().map(|pair| pair.cosine)).into_iter(),
        |threshold| errors(pairs, threshold),
    )
}

/// Pairs on the wrong side of a threshold.
pub fn errors(pairs: &[SupportPair], threshold: f32) -> usize {
    let is_wrong = |pair: &&SupportPair| (pair.cosine >= threshold) != pair.is_supported;
    pairs.iter().filter(is_wrong).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::Calibration;

    /// The embedding model whose cosines stand in the table.
    const MODEL: &str = "multilingual-e5-small-q4";

    #[test]
    fn refitting_finds_the_stored_threshold() {
        let stored = Calibration::of_model(MODEL).unwrap().support_threshold;
        let fitted = fit_support(&support_pairs()).unwrap();
        assert!((stored - fitted).abs() < 0.001, "{stored} {fitted}");
    }

    #[test]
    fn the_threshold_tells_own_from_foreign_sources_in_both_languages() {
        let threshold = Calibration::of_model(MODEL).unwrap().support_threshold;
        for is_russian in [false, true] {
            let pairs: Vec<SupportPair> = support_pairs()
                .into_iter()
                .filter(|pair| pair.is_russian == is_russian)
                .collect();
            let wrong = errors(&pairs, threshold);
            assert!(pairs.len() >= 30, "{}", pairs.len());
            assert!(
                wrong * 100 <= pairs.len() * 20,
                "russian: {is_russian}, wrong: {wrong} of {}",
                pairs.len()
            );
        }
    }

    #[test]
    fn without_both_kinds_nothing_is_fitted() {
        let only: Vec<SupportPair> = support_pairs()
            .into_iter()
            .filter(|pair| pair.is_supported)
            .collect();
        assert_eq!(fit_support(&only), None);
    }
}
