//! How good a course is: thresholds, scores and the report (generation 3.7).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::generation::QualityScores;
use crate::grounding::GroundingReport;
use crate::language::Language;
use crate::taxonomy::BloomProfile;
use crate::validation::Finding;

/// Similarity that a section needs to its brief, on the reference model's scale (generation 3.7).
pub const SECTION_THRESHOLD: f64 = 0.75;
/// Similarity that the critical metadata need to what was asked (generation 3.7).
pub const CRITICAL_METADATA_THRESHOLD: f64 = 0.85;
/// Similarity that a lesson's text needs to its specification (generation 3.7).
pub const CONTENT_THRESHOLD: f64 = 0.70;
/// What is taken off every threshold for Russian (generation 3.7).
pub const RUSSIAN_ALLOWANCE: f64 = 0.05;
/// How far under its threshold the best candidate may be and still be kept for review (generation 3.4).
pub const REVIEW_MARGIN: f64 = 0.15;
/// The weight of the metadata in the overall score (generation 3.7).
pub const METADATA_WEIGHT: f64 = 0.4;
/// The weight of the mean of the sections (generation 3.7).
pub const SECTIONS_WEIGHT: f64 = 0.6;

/// What is measured against a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QualityGate {
    /// Outcomes, strategy and the section list against the inputs.
    CriticalMetadata,
    /// A section against its brief.
    Section,
    /// A lesson's text against its specification.
    Content,
}

impl QualityGate {
    /// The similarity that is needed in `language`, on the reference model's scale.
    pub fn threshold(self, language: Language) -> f64 {
        let threshold = match self {
            Self::CriticalMetadata => CRITICAL_METADATA_THRESHOLD,
            Self::Section => SECTION_THRESHOLD,
            Self::Content => CONTENT_THRESHOLD,
        };
        match language {
            Language::Russian => threshold - RUSSIAN_ALLOWANCE,
            _ => threshold,
        }
    }

    /// What becomes of a candidate with this score.
    pub fn verdict(self, score: f64, language: Language) -> Verdict {
        let threshold = self.threshold(language);
        if score >= threshold {
            Verdict::Passed
        } else if score >= threshold - REVIEW_MARGIN {
            Verdict::NeedsReview
        } else {
            Verdict::Failed
        }
    }
}

/// What becomes of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// At or above the threshold.
    Passed,
    /// Under it, but near enough to be kept when all attempts are used up.
    NeedsReview,
    /// Too far under it.
    Failed,
}

/// 0.4 metadata + 0.6 mean of the sections; the metadata alone where no section was measured (generation 3.7).
pub fn overall_score(metadata: f64, sections: &[f64]) -> f64 {
    if sections.is_empty() {
        return metadata;
    }
    let mean = sections.iter().sum::<f64>() / sections.len() as f64;
    METADATA_WEIGHT * metadata + SECTIONS_WEIGHT * mean
}

impl QualityScores {
    /// Scores with their overall.
    pub fn of(metadata_similarity: f64, sections_similarity: Vec<f64>) -> Self {
        Self {
            overall: overall_score(metadata_similarity, &sections_similarity),
            metadata_similarity,
            sections_similarity,
        }
    }
}

/// How a learning outcome is served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutcomeCoverage {
    /// The outcome.
    pub outcome: String,
    /// Its similarity to each lesson, in the order of lesson numbers, on the reference scale.
    pub similarities: Vec<f64>,
    /// Numbers of the lessons that serve it, the best first; empty where none does.
    pub lessons: Vec<u32>,
}

impl OutcomeCoverage {
    /// The lessons at or above `threshold` of an outcome.
    pub fn of(outcome: impl Into<String>, similarities: Vec<f64>, threshold: f64) -> Self {
        let mut serving: Vec<(f64, u32)> = similarities
            .iter()
            .copied()
            .zip(1..)
            .filter(|(similarity, _)| *similarity >= threshold)
            .collect();
        serving.sort_by(|left, right| right.0.total_cmp(&left.0));
        Self {
            outcome: outcome.into(),
            lessons: serving.into_iter().map(|(_, number)| number).collect(),
            similarities,
        }
    }
}

/// Two titles or topics that mean nearly the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DuplicatePair {
    /// Where the first stands.
    pub first_path: String,
    /// Its text.
    pub first: String,
    /// Where the second stands.
    pub second_path: String,
    /// Its text.
    pub second: String,
    /// How similar they are, 0 to 1 on the reference scale.
    pub similarity: f64,
}

/// How much of a document the lessons use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentCoverage {
    /// Id of the document.
    pub document_id: String,
    /// Its name.
    pub name: String,
    /// Its chunks.
    pub chunks: u32,
    /// Those that at least one lesson cites.
    pub used_chunks: u32,
    /// Headings or first words of the parts that no lesson uses.
    pub unused_parts: Vec<String>,
}

/// The time that a lesson's text takes against what was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadingTime {
    /// The lesson.
    pub lesson_number: u32,
    /// Its words.
    pub words: u32,
    /// The least that fit its minutes.
    pub words_min: u32,
    /// The most that fit its minutes.
    pub words_max: u32,
    /// Minutes of its specification.
    pub target_minutes: u32,
}

/// What is known of a course's quality.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QualityReport {
    /// Similarity of what came to what was asked; `None` without an embedding model.
    pub scores: Option<QualityScores>,
    /// What the rules found, the worst first.
    pub findings: Vec<Finding>,
    /// Levels of thinking that the objectives ask for.
    pub bloom: BloomProfile,
    /// Which lessons serve which outcome: a row an outcome.
    pub outcome_coverage: Vec<OutcomeCoverage>,
    /// Titles and topics that mean nearly the same.
    pub duplicates: Vec<DuplicatePair>,
    /// How much of each document is used; empty without documents.
    pub documents: Vec<DocumentCoverage>,
    /// What the lessons rest on; `None` without documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grounding: Option<GroundingReport>,
    /// Reading time against target, for the lessons that are written.
    pub reading_times: Vec<ReadingTime>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overall_weighs_metadata_and_the_mean_of_sections() {
        assert!((overall_score(0.9, &[0.8, 0.6]) - 0.78).abs() < 1e-12);
        assert!((overall_score(0.9, &[]) - 0.9).abs() < 1e-12);
    }

    #[test]
    fn thresholds_are_lower_in_russian_and_leave_a_margin_for_review() {
        let check = |gate: QualityGate, score: f64, language: Language, verdict: Verdict| {
            assert_eq!(
                gate.verdict(score, language),
                verdict,
                "{gate:?} {score} {language:?}"
            );
        };
        check(QualityGate::Section, 0.75, Language::English, Verdict::Passed);
        check(
            QualityGate::Section,
            0.74,
            Language::English,
            Verdict::NeedsReview,
        );
        check(QualityGate::Section, 0.71, Language::Russian, Verdict::Passed);
        check(QualityGate::Section, 0.59, Language::English, Verdict::Failed);
        check(
            QualityGate::CriticalMetadata,
            0.84,
            Language::English,
            Verdict::NeedsReview,
        );
        check(QualityGate::Content, 0.70, Language::English, Verdict::Passed);
        check(QualityGate::Content, 0.49, Language::Russian, Verdict::Failed);
    }

    #[test]
    fn serving_lessons_come_best_first() {
        let coverage = OutcomeCoverage::of("Build a service", vec![0.5, 0.8, 0.9], 0.75);
        assert_eq!(coverage.lessons, [3, 2]);
    }
}
