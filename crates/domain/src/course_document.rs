//! A whole course as one JSON document: what `--format json` writes and what other programs import.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::AnalysisResult;
use crate::course::CourseInputs;
use crate::document::CitedSource;
use crate::generation::GenerationMetadata;
use crate::lesson::LessonContent;
use crate::quality::QualityReport;
use crate::structure::CourseStructure;

/// The version of the document's shape. Raised when a reader of the last version could misread it.
pub const SCHEMA_VERSION: u32 = 1;

/// A course with everything that was made for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CourseDocument {
    /// [`SCHEMA_VERSION`] of the program that wrote it.
    #[schemars(range(min = 1))]
    pub schema_version: u32,
    /// When the course was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<DateTime<Utc>>,
    /// What a reader should know of how it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// What the author asked for.
    pub inputs: CourseInputs,
    /// What the analysis found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<AnalysisResult>,
    /// Sections, lesson specifications, exercises.
    pub structure: CourseStructure,
    /// The lesson texts that are written, in the order of their numbers.
    pub lessons: Vec<LessonDocument>,
    /// The pieces of documents that the lessons cite, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<CitedSource>,
    /// What it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<GenerationMetadata>,
    /// How good it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualityReport>,
}

/// The text of one lesson.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LessonDocument {
    /// The lesson of the structure that it belongs to.
    #[schemars(range(min = 1))]
    pub lesson_number: u32,
    /// Its text.
    pub content: LessonContent,
}

impl CourseDocument {
    /// A document of the present version with inputs and structure.
    pub const fn new(inputs: CourseInputs, structure: CourseStructure) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            generated_at: None,
            notice: None,
            inputs,
            analysis: None,
            structure,
            lessons: Vec::new(),
            sources: Vec::new(),
            metadata: None,
            quality: None,
        }
    }
}
