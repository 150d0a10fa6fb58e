//! From the cosines of an embedding model to the scale on which the product states its thresholds.
//!
//! Thresholds are stated on the scale of a reference model (generation 3.7). Other models spread their cosines
//! differently: those of multilingual-e5 crowd between 0.75 and 0.95. A straight line, fitted once on labelled
//! pairs in English and Russian, moves them so that 0.75 (0.70 in Russian) separates what belongs together from
//! what does not. Where no threshold lies, the line bends so that it ends in 0 and 1 and not beyond them: of two
//! texts over every threshold the closer one still scores higher.

pub mod support;

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// The threshold of sections on the reference scale (generation 3.7).
pub const SECTION_THRESHOLD: f32 = 0.75;
/// By how much thresholds are lower for Russian (generation 3.7).
pub const RUSSIAN_RELAXATION: f32 = 0.05;
/// Where related pairs lie on average on the reference scale: clearly above the strictest threshold, 0.85.
const RELATED_MEAN: f32 = 0.9;
/// Between these the scale is the fitted line itself, because all that is compared with a constant lies here: from
/// lessons that serve an outcome (0.5) and the least that is kept for review in Russian (0.70 - 0.05 - 0.15) up to the
/// critical metadata (0.85; generation 3.4 and 3.7).
const STRAIGHT: RangeInclusive<f32> = 0.5..=0.85;

/// The pairs on which calibrations are fitted.
const PAIRS: &str = include_str!("../data/calibration.tsv");
/// The constants of the known embedding models.
const SHIPPED: &str = include_str!("../cards/embedded.toml");

/// The straight line of one embedding model; [`Calibration::similarity`] follows it where thresholds lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Reference scale per unit of cosine.
    pub slope: f32,
    /// What is added after.
    pub intercept: f32,
    /// The cosine from which two texts count as saying the same.
    pub duplicate_threshold: f32,
    /// The cosine from which a piece of a document bears out a sentence: the sentence embedded as a query, the piece as a
    /// passage. It tells what a source speaks of; whether it says just that is beyond a cosine.
    pub support_threshold: f32,
}

impl Calibration {
    /// For a model whose cosines are on the reference scale already.
    pub const REFERENCE: Self = Self {
        slope: 1.0,
        intercept: 0.0,
        duplicate_threshold: 0.92,
        // Not measured: in the middle between what unrelated (0.2) and related (0.6) texts have with models that use the
        // whole scale.
        support_threshold: 0.4,
    };

    /// A cosine on the reference scale: 0 for a cosine of 0 or less, 1 for a cosine of 1, rising everywhere between.
    pub fn similarity(&self, raw: f32) -> f32 {
        let on_line = |raw: f32| self.slope.mul_add(raw, self.intercept);
        let raw = raw.clamp(0.0, 1.0);
        let (low, high) = (*STRAIGHT.start(), *STRAIGHT.end());
        let value = on_line(raw);
        let scaled = if value > high {
            high + bent(value - high, on_line(1.0) - high, 1.0 - high)
        } else if value < low {
            low - bent(low - value, low - on_line(0.0), low)
        } else {
            value
        };
        scaled.clamp(0.0, 1.0)
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

/// Brings `distance` beyond the straight part, at most `longest`, into `room`: rises like the line where it begins, ever
/// slower if the room is short, and fills the room at `longest`.
fn bent(distance: f32, longest: f32, room: f32) -> f32 {
    // With t in units of the room: t / (1 + t (1 - 1/T)) has slope 1 at 0 and is 1 at T.
    let (t, end) = (distance / room, longest / room);
    room * t / t.mul_add(1.0 - end.recip(), 1.0)
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
/// mean cosine of the related ones at 0.9 of the line. `None` if a kind of pair is missing or the model does not tell them apart.
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
            support_threshold: 1.0,
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
    fn closer_texts_always_score_higher_and_only_equal_ones_reach_the_end() {
        for calibration in [Calibration::of_model(MODEL).unwrap(), Calibration::REFERENCE] {
            let score = |hundredths: i8| calibration.similarity(f32::from(hundredths) / 100.0);
            assert!(score(-100) < 1e-6 && score(0) < 1e-6);
            assert!((score(100) - 1.0).abs() < 1e-6);
            for step in 1..=100 {
                assert!(score(step) > score(step - 1), "{calibration:?} at {step} %");
            }
        }
    }

    #[test]
    fn scale_is_the_fitted_line_wherever_a_threshold_lies() {
        let calibration = Calibration::of_model(MODEL).unwrap();
        for expected in [0.5, 0.6, 0.70, SECTION_THRESHOLD, 0.85] {
            let raw = (expected - calibration.intercept) / calibration.slope;
            assert!(
                (calibration.similarity(raw) - expected).abs() < 1e-5,
                "{expected}"
            );
        }
        for raw in [0.05, 0.3, 0.6, 0.75, 0.9, 0.99] {
            assert!(
                (Calibration::REFERENCE.similarity(raw) - raw).abs() < 1e-6,
                "{raw}"
            );
        }
    }

    #[test]
    fn related_pairs_are_told_apart_beyond_the_thresholds() {
        let calibration = Calibration::of_model(MODEL).unwrap();
        let scores: Vec<f32> = cosines(&pairs(), Lesson::Related)
            .into_iter()
            .map(|cosine| calibration.similarity(cosine))
            .collect();
        let highest = scores.iter().copied().fold(0.0, f32::max);
        assert!(highest < 0.995, "{highest} is shown as 1.00");
        let mean = scores.iter().sum::<f32>() / scores.len() as f32;
        assert!((0.84..RELATED_MEAN).contains(&mean), "{mean}");
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
