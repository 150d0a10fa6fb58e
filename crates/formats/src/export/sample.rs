//! Small courses, for tests of exports and for looking at them without generating anything.

use std::collections::BTreeMap;

use chrono::DateTime;
use domain::course::CourseInputs;
use domain::document::CitedSource;
use domain::id::CourseId;
use domain::lesson::LessonContent;
use domain::quality::QualityReport;
use domain::structure::CourseStructure;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CourseView;

/// When the samples were made: 2026-03-05 09:30 UTC, in seconds since 1970.
const MADE_AT_SECS: i64 = 1_772_703_000;

/// Stands in every text of [`Sample::hostile`]: markup, templates, links and what ends the strings of half a dozen formats;
/// and characters that XML cannot hold, that YAML cannot hold, or that turn the direction of reading.
const HOSTILE: &str = "\"'></script></style></title><script>alert(1)</script><img src=x onerror=alert(1)> ]]> &lt; \
    [x](javascript:alert(1)) ![y](https://example.com/p.gif) {{ 7*7 }} `<b onclick=alert(1)>` \n---\n# Heading\n \
    ../../x \0\u{8}\u{b}\u{1b}[31m\u{7f}\u{85}\u{2028}\u{202e}\u{feff}\u{fdd0}\u{fffe}\u{ffff}\u{1ffff} \
    ::t:: {=a ~b #c} $CATEGORY: x \\";

/// A course with everything that a view refers to.
#[derive(Clone, Debug, Deserialize, Serialize)]
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

    /// A course of which every text that people or models write is meant to break out of where it stands.
    pub fn hostile() -> Self {
        let mut sample = serde_json::to_value(Self::english()).unwrap_or_default();
        poison(&mut sample, "");
        Self::read(sample)
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

    fn parse(json: &str) -> Self {
        Self::read(serde_json::from_str(json).unwrap_or_default())
    }

    #[expect(
        clippy::expect_used,
        reason = "the files are part of this crate and read by its tests"
    )]
    fn read(value: Value) -> Self {
        let mut sample: Self = serde_json::from_value(value).expect("the sample is a course");
        sample.structure.renumber();
        for content in sample.lessons.values_mut() {
            content.word_count = content.count_words();
        }
        sample
    }
}

/// Replaces every text below a field of this name that is free.
fn poison(value: &mut Value, name: &str) {
    // What the types do not take as free text.
    const FIXED: [&str; 12] = [
        "id",
        "chunk_id",
        "document_id",
        "language",
        "style",
        "content_strategy",
        "difficulty_level",
        "exercise_type",
        "question_type",
        "status",
        "citations",
        "cited_chunks",
    ];
    match value {
        Value::String(text) if !FIXED.contains(&name) => HOSTILE.clone_into(text),
        Value::Array(values) => values.iter_mut().for_each(|value| poison(value, name)),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| poison(value, name)),
        _ => {}
    }
}
