//! The JSON Schemas (draft 2020-12) that are served at `/schemas/*.json` and constrain models.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use crate::analysis::AnalysisResult;
use crate::course::CourseRequest;
use crate::course_document::CourseDocument;
use crate::generation::{GenerationMetadata, GenerationProgress};
use crate::lesson::LessonContent;
use crate::quality::QualityReport;
use crate::structure::{CourseStructure, Exercise, Lesson, Section};

/// Every published schema with its name. `$id` is `/schemas/<name>.json`, relative to wherever it is served.
pub fn published_schemas() -> Vec<(&'static str, Value)> {
    vec![
        published::<CourseStructure>("course-structure"),
        published::<Section>("section"),
        published::<Lesson>("lesson"),
        published::<Exercise>("exercise"),
        published::<AnalysisResult>("analysis-result"),
        published::<LessonContent>("lesson-content"),
        published::<CourseRequest>("course-inputs"),
        published::<GenerationMetadata>("generation-metadata"),
        published::<GenerationProgress>("generation-progress"),
        published::<QualityReport>("quality-report"),
        published::<CourseDocument>("course-export"),
    ]
}

/// The schema of a type, with its own types under `$defs`.
pub fn schema_of<T: JsonSchema>() -> Value {
    generator().into_root_schema_for::<T>().to_value()
}

fn published<T: JsonSchema>(name: &'static str) -> (&'static str, Value) {
    let mut schema = generator().into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), Value::String(format!("/schemas/{name}.json")));
    (name, schema.to_value())
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

#[cfg(test)]
mod tests;
