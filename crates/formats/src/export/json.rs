//! The course as data.

use domain::course::CourseInputs;
use domain::lesson::LessonContent;
use domain::structure::CourseStructure;
use serde::Serialize;
use std::collections::BTreeMap;

use super::{CourseView, ExportError};

#[derive(Serialize)]
struct Document<'a> {
    inputs: &'a CourseInputs,
    structure: &'a CourseStructure,
    lessons: &'a BTreeMap<u32, LessonContent>,
    generated_at: chrono::DateTime<chrono::Utc>,
    notice: Option<&'a str>,
    quality: Option<&'a serde_json::Value>,
}

/// Writes the document.
///
/// # Errors
/// If a value cannot be serialised.
pub(super) fn render(course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
    let document = Document {
        inputs: course.inputs,
        structure: course.structure,
        lessons: course.lessons,
        generated_at: course.generated_at,
        notice: course.notice,
        quality: course.quality.as_ref(),
    };
    let mut bytes = serde_json::to_vec_pretty(&document).map_err(ExportError::Json)?;
    bytes.push(b'\n');
    Ok(bytes)
}
