//! From the cosines of an embedding model to the scale on which the product states its thresholds.
//!
//! Thresholds are stated on the scale of a reference model (generation 3.7). Other models spread their cosines
//! differently: those of multilingual-e5 crowd between 0.75 and 0.95. A straight line, fitted once on labelled
//! pairs in English and Russian, moves them so that 0.75 (0.70 in Russian) separates what belongs together from
//! what does not.

use serde::{Deserialize, Serialize};

/// The threshold of sections on the reference scale (generation 3.7).
pub const SECTION_THRESHOLD: f32 = 0.75;
/// By how much thresholds are lower for Russian (generation 3.7).
pub const RUSSIAN_RELAXATION: f32 = 0.05;
/// Where related pairs lie on average on the reference scale: clearly above the strictest threshold, 0.85.
const RELATED_MEAN: f32 = 0.9;

/// The pairs on which calibrations are fitted.
const PAIRS: &str = include_str!("../data/calibration.tsv");
/// The constants of the known embedding models.
const SHIPPED: &str = include_str!("../cards/embedded.toml");

/// The straight line of one embedding model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Reference scale per unit of cosine.
    pub slope: f32,
    /// What is added after.
    pub intercept: f32,
    /// The cosine from which two texts count as saying the same.
    pub duplicate_threshold: f32,
}

impl Calibration {
    /// For a model whose cosines are on the reference scale already.
    pub const REFERENCE: Self = Self {
        slope: 1.0,
        intercept: 0.0,
        duplicate_threshold: 0.92,
    };

    /// A cosine on the reference scale, between 0 and 1.
    pub fn similarity(&self, raw: f32) -> f32 {
        self.slope.mul_add(raw, self.intercept).clamp(0.0, 1.0)
    }

    /// Whether two texts with this cosine say the same.
    pub fn is_duplicate(&self, raw: f32) -> bool {
        raw >= self.duplicate_threshold
    }

    /// The stored calibration of an embedding model.
    pub fn of_model(model: &str) -> Option<Self> {
        shipped()
            .into_iter()
            .find(|card| card.id == model)
            .map(|card| card.calibration)
    }
}

/// What is known of an embedding model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct EmbeddingCard {
    /// The model's id; vectors of different models are never compared.
    pub id: String,
    /// The name of its file.
    pub file: String,
    /// Length of its vectors.
    pub dimensions: usize,
    /// Its calibration.
    pub calibration: Calibration,
}

/// The embedding models that ship with the program.
pub fn shipped() -> Vec<EmbeddingCard> {
    #[derive(Deserialize)]
    struct Table {
        embedding: Vec<EmbeddingCard>,
    }
    // The table is part of the program; a test holds that it can be read.
    toml::from_str::<Table>(SHIPPED)
        .map(|table| table.embedding)
        .unwrap_or_default()
}

/// What a pair teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// A brief and a text that follows it.
    Related,
    /// A brief and a text on something else.
    Unrelated,
    /// Two wordings of the same.
    Duplicate,
    /// Two different things of one course.
    Distinct,
}

/// Two texts, how they belong together, and their cosine as measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Whether the texts are Russian (else English).
    pub is_russian: bool,
    /// How they belong together.
    pub lesson: Lesson,
    /// The brief, or the first title.
    pub left: String,
    /// The text, or the second title.
    pub right: String,
    /// The cosine that multilingual-e5-small gives.
    pub cosine: f32,
}

/// The labelled pairs that ship with the program.
pub fn pairs() -> Vec<Pair> {
    PAIRS.lines().skip(1).filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Pair> {
    let mut columns = line.split('\t');
    let (language, lesson, cosine) = (columns.next()?, columns.next()?, columns.next()?);
    let lesson = match lesson {
        "related" => Lesson::Related,
        "unrelated" => Lesson::Unrelated,
        "duplicate" => Lesson::Duplicate,
        "distinct" => Lesson::Distinct,
        _ => return None,
    };
    Some(Pair {
        is_russian: language == "ru",
        lesson,
        cosine: cosine.parse().ok()?,
        left: columns.next()?.to_owned(),
        right: columns.next()?.to_owned(),
    })
}

/// Fits a calibration: the boundary between related and unrelated pairs comes to lie at the section threshold, the
/// mean of the related ones at 0.9. `None` if a kind of pair is missing or the model does not tell them apart.
pub fn fit(pairs: &[Pair]) -> Option<Calibration> {
    let mean_related = {
        let related: Vec<f32> = cosines(pairs, Lesson::Related);
        related.iter().sum::<f32>() / (!related.is_empty()).then_some(related.len())? as f32
    };
    let line = |boundary: f32| {
        let slope = (RELATED_MEAN - SECTION_THRESHOLD) / (mean_related - boundary);
        Calibration {
            slope,
            intercept: slope.mul_add(-boundary, SECTION_THRESHOLD),
            duplicate_threshold: 1.0,
        }
    };
    let sections: Vec<&Pair> = pairs
        .iter()
        .filter(|pair| matches!(pair.lesson, Lesson::Related | Lesson::Unrelated))
        .collect();
    let candidates = between(sections.iter().map(|pair| pair.cosine))
        .into_iter()
        .filter(|cosine| *cosine < mean_related);
    let boundary = best(candidates, |boundary| {
        let calibration = line(boundary);
        sections
            .iter()
            .filter(|pair| passes(&calibration, pair) != (pair.lesson == Lesson::Related))
            .count()
    })?;
    let titles: Vec<&Pair> = pairs
        .iter()
        .filter(|pair| matches!(pair.lesson, Lesson::Duplicate | Lesson::Distinct))
        .collect();
    let duplicate_threshold = best(
        between(titles.iter().map(|pair| pair.cosine)).into_iter(),
        |threshold| {
            titles
                .iter()
                .filter(|pair| (pair.cosine >= threshold) != (pair.lesson == Lesson::Duplicate))
                .count()
        },
    )?;
    Some(Calibration {
        duplicate_threshold,
        ..line(boundary)
    })
}

/// Whether a pair of brief and text is over the threshold of sections in its language.
pub fn passes(calibration: &Calibration, pair: &Pair) -> bool {
    let relaxation = if pair.is_russian { RUSSIAN_RELAXATION } else { 0.0 };
    calibration.similarity(pair.cosine) >= SECTION_THRESHOLD - relaxation
}

fn cosines(pairs: &[Pair], lesson: Lesson) -> Vec<f32> {
    pairs
        .iter()
        .filter(|pair| pair.lesson == lesson)
        .map(|pair| pair.cosine)
        .collect()
}

/// The middles between neighbouring values.
fn between(values: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values.dedup();
    values
        .windows(2)
        .map(|pair| f32::midpoint(pair[0], pair[1]))
        .collect()
}

/// The candidate with the fewest errors; among equals the middle one, which keeps most distance to both sides.
fn best(candidates: impl Iterator<Item = f32>, errors: impl Fn(f32) -> usize) -> Option<f32> {
    let rated: Vec<(usize, f32)> = candidates
        .map(|candidate| (errors(candidate), candidate))
        .collect();
    let fewest = rated.iter().map(|(errors, _)| *errors).min()?;
    let equals: Vec<f32> = rated
        .into_iter()
        .filter(|(errors, _)| *errors == fewest)
        .map(|(_, value)| value)
        .collect();
    equals.get(equals.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The embedding model whose cosines stand in the table.
    const MODEL: &str = "multilingual-e5-small-q4";

    #[test]
    fn refitting_finds_the_stored_constants() {
        let stored = Calibration::of_model(MODEL).unwrap();
        let fitted = fit(&pairs()).unwrap();
        assert!(
            (stored.slope - fitted.slope).abs() < 0.01,
            "{stored:?} {fitted:?}"
        );
        assert!(
            (stored.intercept - fitted.intercept).abs() < 0.01,
            "{stored:?} {fitted:?}"
        );
        assert!(
            (stored.duplicate_threshold - fitted.duplicate_threshold).abs() < 0.001,
            "{stored:?} {fitted:?}"
        );
    }

    #[test]
    fn there_are_enough_pairs_of_every_kind_and_language() {
        let pairs = pairs();
        for is_russian in [false, true] {
            let count = |lesson| {
                pairs
                    .iter()
                    .filter(|pair| pair.is_russian == is_russian && pair.lesson == lesson)
                    .count()
            };
            assert!(count(Lesson::Related) >= 30 && count(Lesson::Unrelated) >= 30);
            assert!(count(Lesson::Duplicate) >= 10 && count(Lesson::Distinct) >= 10);
        }
    }

    #[test]
    fn the_threshold_separates_the_pairs_in_both_languages() {
        let calibration = Calibration::of_model(MODEL).unwrap();
        for is_russian in [false, true] {
            let pairs: Vec<Pair> = pairs()
                .into_iter()
                .filter(|pair| pair.is_russian == is_russian)
                .filter(|pair| matches!(pair.lesson, Lesson::Related | Lesson::Unrelated))
                .collect();
            let right = pairs
                .iter()
                .filter(|pair| passes(&calibration, pair) == (pair.lesson == Lesson::Related))
                .count();
            assert!(
                right * 100 >= pairs.len() * 90,
                "russian: {is_russian}, right: {right} of {}",
                pairs.len()
            );
        }
    }

    #[test]
    fn duplicates_are_told_from_distinct_titles() {
        let calibration = Calibration::of_model(MODEL).unwrap();
        let pairs = pairs();
        let titles = pairs
            .iter()
            .filter(|pair| matches!(pair.lesson, Lesson::Duplicate | Lesson::Distinct));
        let (mut right, mut all) = (0, 0);
        for pair in titles {
            all += 1;
            right += usize::from(calibration.is_duplicate(pair.cosine) == (pair.lesson == Lesson::Duplicate));
        }
        assert!(right * 100 >= all * 85, "right: {right} of {all}");
    }

    #[test]
    fn similarity_is_monotone_and_bounded() {
        let calibration = Calibration::of_model(MODEL).unwrap();
        let mut last = 0.0;
        for step in -100_i8..=100 {
            let similarity = calibration.similarity(f32::from(step) / 100.0);
            assert!((0.0..=1.0).contains(&similarity) && similarity >= last);
            last = similarity;
        }
        assert!((Calibration::REFERENCE.similarity(0.6) - 0.6).abs() < 1e-6);
    }

    #[test]
    fn without_a_kind_of_pair_nothing_is_fitted() {
        let only: Vec<Pair> = pairs()
            .into_iter()
            .filter(|pair| pair.lesson == Lesson::Related)
            .collect();
        assert_eq!(fit(&only), None);
        assert_eq!(fit(&[]), None);
    }
}
