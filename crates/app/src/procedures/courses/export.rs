//! `courses.export`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::document::CitedSource;
use domain::id::CourseId;
use formats::export::{CourseView, Export, ExportError, Format, export};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::citation::list_sources;
use store::course::Course;
use store::lesson::{StoredLesson, list_lessons};
use tokio::sync::Semaphore;

use super::get_as_insider;
use crate::procedures::Call;
use crate::procedures::error::{ApiError, ErrorCode};
use crate::procedures::words::Text;

/// Which course, as which kind of file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExportInput {
    /// The course.
    course_id: CourseId,
    /// The kind of file.
    #[schemars(extend("enum" = format_names()))]
    format: String,
}

/// Courses that are read and written at once: each holds its whole text several times.
static EXPORTS: Semaphore = Semaphore::const_new(2);

fn format_names() -> Vec<&'static str> {
    Format::ALL.iter().map(|format| format.as_str()).collect()
}

/// A file.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ExportedFile")]
pub(super) struct ExportOutput {
    /// A name for saving it.
    file_name: String,
    /// Its media type.
    media_type: &'static str,
    /// How `content` is written.
    encoding: Encoding,
    /// The file.
    content: String,
}

/// How bytes stand in JSON.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "FileEncoding")]
enum Encoding {
    /// As text.
    Utf8,
    /// In base64 (RFC 4648, 4).
    Base64,
}

/// Writes a course as a file.
pub(super) async fn export_course(call: Call, input: ExportInput) -> Result<ExportOutput, ApiError> {
    let file = file(&call, input.course_id, format_of(&input.format)?).await?;
    let (encoding, content) = match String::from_utf8(file.bytes) {
        Ok(text) => (Encoding::Utf8, text),
        Err(binary) => (Encoding::Base64, STANDARD.encode(binary.into_bytes())),
    };
    Ok(ExportOutput {
        file_name: file.file_name,
        media_type: file.media_type,
        encoding,
        content,
    })
}

/// The format with this name.
///
/// # Errors
/// [`ErrorCode::InvalidInput`], naming those that there are.
pub(crate) fn format_of(name: &str) -> Result<Format, ApiError> {
    Format::from_name(name)
        .ok_or_else(|| ApiError::field("format", format!("must be one of {}", format_names().join(", "))))
}

/// Writes a course that the caller may export.
///
/// # Errors
/// [`ErrorCode::NotFound`]; [`ErrorCode::GenerationNotCompleted`] and [`ErrorCode::Conflict`] where there is nothing yet
/// that the format could hold.
pub(crate) async fn file(call: &Call, id: CourseId, format: Format) -> Result<Export, ApiError> {
    let actor = call.actor()?;
    let place = EXPORTS
        .acquire()
        .await
        .map_err(|error| ApiError::internal(&error))?;
    let (course, lessons, sources) = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            let course = get_as_insider(tx, &actor, id).await?;
            let lessons = list_lessons(tx, id).await?;
            Ok((course, lessons, list_sources(tx, id).await?))
        })
        .await?;
    // The largest courses take a second: too long for threads that all requests share.
    let written = tokio::task::spawn_blocking(move || {
        let _place = place;
        write(format, &course, lessons, &sources)
    });
    written.await.map_err(|error| ApiError::internal(&error))?
}

fn write(
    format: Format,
    course: &Course,
    lessons: Vec<StoredLesson>,
    sources: &[CitedSource],
) -> Result<Export, ApiError> {
    let Some(structure) = &course.structure else {
        return Err(ApiError::new(ErrorCode::GenerationNotCompleted).says(Text::new(
            "The course has no structure yet.",
            "У курса ещё нет структуры.",
        )));
    };
    let lessons: BTreeMap<_, _> = lessons
        .into_iter()
        .filter_map(|lesson| Some((lesson.lesson_number, lesson.content?)))
        .collect();
    export(
        format,
        &CourseView {
            id: course.id,
            inputs: &course.inputs,
            structure,
            lessons: &lessons,
            sources,
            notice: None,
            generated_at: course.updated_at,
            analysis: course.analysis.as_ref(),
            metadata: course.metadata.as_ref(),
            quality: course.quality.as_ref(),
        },
    )
    .map_err(|error| match error {
        ExportError::NothingWritten => ApiError::new(ErrorCode::GenerationNotCompleted).says(Text::new(
            "No lesson of the course is written yet.",
            "Ни один урок курса ещё не написан.",
        )),
        ExportError::NoQuestions => ApiError::new(ErrorCode::Conflict).says(Text::new(
            "No lesson of the course has a quiz.",
            "Ни в одном уроке курса нет теста.",
        )),
        ExportError::Html(_) | ExportError::Json(_) | ExportError::Package(_) => ApiError::internal(&error),
    })
}
