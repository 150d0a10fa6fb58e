//! Two small courses, for tests of exports and for looking at them without generating anything.

use std::collections::BTreeMap;

use chrono::DateTime;
use domain::course::CourseInputs;
use domain::document::CitedSource;
use domain::id::CourseId;
use domain::lesson::LessonContent;
use domain::quality::QualityReport;
use domain::structure::CourseStructure;
use serde::Deserialize;

use super::CourseView;

/// When the samples were made: 2026-03-05 09:30 UTC, in seconds since 1970.
const MADE_AT_SECS: i64 = 1_772_703_000;

/// A course with everything that a view refers to.
#[derive(Clone, Debug, Deserialize)]
pub struct Sample {
    /// Whose exports these are.
    pub id: CourseId,
    /// What was asked for.
    pub inputs: CourseInputs,
    /// Ten lessons in a few sections.
    pub structure: CourseStructure,
    /// Some of them written.
    pub lessons: BTreeMap<u32, LessonContent>,
    /// What the lessons cite.
    #[serde(default)]
    pub sources: Vec<CitedSource>,
    /// What the lessons rest on.
    #[serde(default)]
    pub quality: Option<QualityReport>,
    /// What the reader should know.
    pub notice: Option<String>,
}

impl Sample {
    /// A course in English, with code and tables.
    pub fn english() -> Self {
        Self::parse(include_str!("../../samples/english.json"))
    }

    /// A course in Russian.
    pub fn russian() -> Self {
        Self::parse(include_str!("../../samples/russian.json"))
    }

    /// The view that exports take.
    pub fn view(&self) -> CourseView<'_> {
        CourseView {
            id: self.id,
            inputs: &self.inputs,
            structure: &self.structure,
            lessons: &self.lessons,
            sources: &self.sources,
            notice: self.notice.as_deref(),
            generated_at: DateTime::from_timestamp(MADE_AT_SECS, 0).unwrap_or_default(),
            analysis: None,
            metadata: None,
            quality: self.quality.as_ref(),
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "the file is part of this crate and read by its tests"
    )]
    fn parse(json: &str) -> Self {
        let mut sample: Self = serde_json::from_str(json).expect("the sample is a course");
        sample.structure.renumber();
        for content in sample.lessons.values_mut() {
            content.word_count = content.count_words();
        }
        sample
    }
}
