//! `generation.getResult`.

use domain::generation::{GenerationMetadata, GenerationStatus};
use domain::id::{CourseId, GenerationId};
use domain::quality::QualityReport;
use domain::structure::CourseStructure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::lesson::list_lessons;

use crate::procedures::Call;
use crate::procedures::courses::get_as_insider;
use crate::procedures::courses::output::LessonOutput;
use crate::procedures::error::{ApiError, ErrorCode};

/// Whose result.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ResultInput {
    /// The course.
    course_id: CourseId,
    /// Whether the texts of the lessons come with it.
    include_lessons: Option<bool>,
}

/// What a generation has made.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GenerationResult")]
pub(super) struct ResultOutput {
    /// The course.
    course_id: CourseId,
    /// The generation.
    generation_id: Option<GenerationId>,
    /// Sections, lessons, exercises.
    structure: CourseStructure,
    /// What it took.
    metadata: Option<GenerationMetadata>,
    /// How good it is.
    quality: Option<QualityReport>,
    /// The texts of the lessons, where they were asked for.
    lessons: Option<Vec<LessonOutput>>,
}

/// What the completed generation has made.
pub(super) async fn get_result(call: Call, input: ResultInput) -> Result<ResultOutput, ApiError> {
    let actor = call.actor()?;
    let id = input.course_id;
    let with_lessons = input.include_lessons.unwrap_or(false);
    let (course, lessons) = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            let course = get_as_insider(tx, &actor, id).await?;
            let lessons = if with_lessons {
                Some(list_lessons(tx, id).await?)
            } else {
                None
            };
            Ok((course, lessons))
        })
        .await?;
    let is_completed = course.generation_status == Some(GenerationStatus::Completed);
    match course.structure {
        Some(structure) if is_completed => Ok(ResultOutput {
            course_id: id,
            generation_id: course.current_generation_id,
            structure,
            metadata: course.metadata,
            quality: course.quality,
            lessons: lessons.map(|lessons| lessons.into_iter().map(Into::into).collect()),
        }),
        _ => Err(ApiError::new(ErrorCode::GenerationNotCompleted)
            .with(json!({ "status": course.generation_status }))),
    }
}
