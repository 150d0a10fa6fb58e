//! Courses with fewer than ten lessons get more: the thinnest sections are extended, one call each (generation 3.2).

use domain::analysis::AnalysisResult;
use domain::limits;
use domain::stage::Stage;
use domain::structure::CourseStructure;
use domain::validation::{Finding, Rule, Severity};
use llm::route::Work;
use schemars::JsonSchema;
use serde::Deserialize;

use super::LessonDraft;
use crate::attempts::Patience;
use crate::context::Run;
use crate::data;
use crate::engine::{Check, Question};
use crate::error::PipelineError;
use crate::schema;
use crate::vars::vars;
use crate::wording::folded;

/// Tokens of the longest answer with additional lessons.
const EXTENSION_OUTPUT_TOKENS: u32 = 12_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Extension {
    lessons: Vec<LessonDraft>,
}

/// Extends the thinnest sections, each once, until the course has ten lessons.
///
/// # Errors
/// [`PipelineError::TooFewLessons`] if it still has fewer, and whatever keeps a call from being made.
pub(crate) async fn extend(
    run: &Run,
    analysis: &AnalysisResult,
    structure: &mut CourseStructure,
) -> Result<(), PipelineError> {
    let least = limits::COURSE_LESSONS_MIN;
    let minutes = analysis.recommended_structure.lesson_duration_minutes;
    let mut places: Vec<usize> = (0..structure.sections.len()).collect();
    places.sort_by_key(|&place| structure.sections[place].lessons.len());
    let mut left = places.len();
    for place in places {
        let missing = least.saturating_sub(structure.lesson_count());
        if missing == 0 {
            break;
        }
        let wanted = missing.div_ceil(left);
        left -= 1;
        let used: Vec<String> = structure
            .lessons()
            .map(|(_, lesson)| lesson.lesson_title.clone())
            .collect();
        let section = &structure.sections[place];
        let data = vars! {
            course => data::course(run), section => data::section(section), used_titles => used, wanted,
        };
        let mut shape = schema::of::<Extension>();
        shape["properties"]["lessons"]["minItems"] = wanted.into();
        shape["properties"]["lessons"]["maxItems"] = wanted.into();
        let check: Check<'_> = Box::new(|value| {
            let lessons = value["lessons"].as_array().into_iter().flatten().enumerate();
            lessons
                .filter(|(_, lesson)| {
                    let title = folded(lesson["lesson_title"].as_str().unwrap_or_default());
                    used.iter().any(|other| folded(other) == title)
                })
                .map(|(index, _)| {
                    let message = "this lesson is already in the course; write another one".to_owned();
                    Finding::new(
                        Rule::TitleRepeated,
                        Severity::Error,
                        format!("lessons[{index}].lesson_title"),
                        message,
                    )
                })
                .collect()
        });
        let question = Question {
            stage: Stage::Structure,
            phase: "sections.extension".to_owned(),
            batch: section.section_number,
            work: Work::Section,
            complexity: None,
            prompt: run.prompts().render("structure_extension", &data)?,
            hint: None,
            shape: "extension",
            schema: shape,
            max_output_tokens: EXTENSION_OUTPUT_TOKENS,
            temperature: None,
            mend: None,
            check: Some(check),
            gate: None,
            ignores_earlier_rounds: false,
            patience: Patience::KeepBest,
        };
        let extension: Extension = run.ask_for(question).await?;
        let lessons = extension
            .lessons
            .into_iter()
            .map(|draft| draft.into_lesson(minutes));
        structure.sections[place].lessons.extend(lessons);
        structure.renumber();
    }
    let lessons = structure.lesson_count();
    if lessons < least {
        Err(PipelineError::TooFewLessons { lessons, least })
    } else {
        Ok(())
    }
}
