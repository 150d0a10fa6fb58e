//! What a course's texts rest on: the report that says which sources were used, and which were not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a course made from documents rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroundingReport {
    /// Documents that no lesson cites, said before all else.
    pub unused_documents: Vec<UnusedDocument>,
    /// What each lesson rests on, by number.
    pub lessons: Vec<LessonGrounding>,
}

/// A document that no lesson cites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnusedDocument {
    /// Its id.
    pub document_id: String,
    /// What its author calls it.
    pub name: String,
    /// Why, as a sentence: it could not be read, is in another language, or nothing in it fits the course.
    pub reason: String,
}

/// What one lesson rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LessonGrounding {
    /// The lesson.
    #[schemars(range(min = 1))]
    pub lesson_number: u32,
    /// Ids of the chunks that it cites, each once.
    pub cited_chunks: Vec<String>,
    /// Sentences that were compared with their sources.
    pub sentences: u32,
    /// Those that the sources do not bear out.
    pub unsupported: Vec<UnsupportedClaim>,
}

/// A sentence that its sources do not bear out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsupportedClaim {
    /// The title of its block.
    pub block: String,
    /// The sentence.
    pub sentence: String,
    /// How near the nearest source comes, 0 to 1 on the reference scale.
    pub support: f64,
    /// What the judge model says of it, where one is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<String>,
}
