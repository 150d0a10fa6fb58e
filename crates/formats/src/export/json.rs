//! The course as data: domain's document, pretty, as the published schema `course-export` describes it.

use domain::course_document::{CourseDocument, LessonDocument};

use super::{CourseView, ExportError};

/// Writes the document.
///
/// # Errors
/// If a value cannot be serialised.
pub(super) fn render(course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
    let mut bytes = serde_json::to_vec_pretty(&document(course)).map_err(ExportError::Json)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn document(course: &CourseView<'_>) -> CourseDocument {
    let lessons = course
        .structure
        .lessons()
        .filter_map(|(_, lesson)| {
            let lesson_number = lesson.lesson_number;
            let content = course.lessons.get(&lesson_number)?.clone();
            Some(LessonDocument {
                lesson_number,
                content,
            })
        })
        .collect();
    CourseDocument {
        generated_at: Some(course.generated_at),
        notice: course.notice.map(str::to_owned),
        analysis: course.analysis.cloned(),
        lessons,
        sources: course.sources.to_vec(),
        metadata: course.metadata.cloned(),
        quality: course.quality.cloned(),
        ..CourseDocument::new(course.inputs.clone(), course.structure.clone())
    }
}
