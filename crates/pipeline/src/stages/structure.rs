//! The structure stage: metadata, one batch a section, validation, and what can be mended (generation 3.2).

mod extend;
mod mend;
mod pieces;
mod remake;
mod whole;

use std::sync::Arc;

use domain::analysis::AnalysisResult;
use domain::generation::GenerationScope;
use domain::limits;
use domain::structure::{AssessmentStrategy, CourseStructure, DifficultyLevel, Exercise, Lesson, Section};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::context::Run;
use crate::error::PipelineError;
use crate::event::Event;
use crate::wording::folded;

/// Everything of a course but its sections.
pub(crate) struct Metadata {
    pub(crate) course_title: String,
    pub(crate) course_description: String,
    pub(crate) course_overview: String,
    pub(crate) target_audience: String,
    pub(crate) prerequisites: Vec<String>,
    pub(crate) learning_outcomes: Vec<String>,
    pub(crate) assessment_strategy: AssessmentStrategy,
    pub(crate) course_tags: Vec<String>,
}

/// A section as a model writes it: no numbers, no minutes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SectionDraft {
    #[schemars(length(min = limits::SECTION_TITLE.min, max = limits::SECTION_TITLE.max))]
    pub(crate) section_title: String,
    #[schemars(length(min = limits::SECTION_DESCRIPTION.min, max = limits::SECTION_DESCRIPTION.max))]
    pub(crate) section_description: String,
    #[schemars(length(min = limits::OBJECTIVES.min, max = limits::OBJECTIVES.max), inner(length(min = limits::SECTION_OBJECTIVE.min, max = limits::SECTION_OBJECTIVE.max)))]
    pub(crate) learning_objectives: Vec<String>,
    #[schemars(length(min = 1))]
    pub(crate) lessons: Vec<LessonDraft>,
}

/// A lesson specification as a model writes it: no number, no minutes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LessonDraft {
    #[schemars(length(min = limits::LESSON_TITLE.min, max = limits::LESSON_TITLE.max))]
    pub(crate) lesson_title: String,
    #[schemars(length(min = limits::OBJECTIVES.min, max = limits::OBJECTIVES.max), inner(length(min = limits::LESSON_OBJECTIVE.min, max = limits::LESSON_OBJECTIVE.max)))]
    pub(crate) lesson_objectives: Vec<String>,
    #[schemars(length(min = limits::KEY_TOPICS.min, max = limits::KEY_TOPICS.max), inner(length(min = limits::KEY_TOPIC.min, max = limits::KEY_TOPIC.max)))]
    pub(crate) key_topics: Vec<String>,
    #[schemars(length(min = limits::EXERCISES.min, max = limits::EXERCISES.max))]
    pub(crate) practical_exercises: Vec<Exercise>,
}

impl SectionDraft {
    /// The section with the minutes that the analysis set.
    pub(crate) fn into_section(self, number: u32, minutes: u32) -> Section {
        let lessons = self
            .lessons
            .into_iter()
            .map(|lesson| lesson.into_lesson(minutes))
            .collect();
        Section {
            section_number: number,
            section_title: self.section_title,
            section_description: self.section_description,
            learning_objectives: self.learning_objectives,
            estimated_duration_minutes: 0,
            lessons,
        }
    }
}

impl LessonDraft {
    /// The lesson, numbered when the course is put together.
    pub(crate) fn into_lesson(self, minutes: u32) -> Lesson {
        Lesson {
            lesson_number: 1,
            lesson_title: self.lesson_title,
            lesson_objectives: self.lesson_objectives,
            key_topics: self.key_topics,
            estimated_duration_minutes: minutes,
            practical_exercises: self.practical_exercises,
        }
    }
}

/// Runs the stage on the analysis.
///
/// # Errors
/// Whatever keeps a part from being made, [`PipelineError::TooFewLessons`], [`PipelineError::InvalidStructure`].
pub(crate) async fn run(
    run: &Arc<Run>,
    analysis: &Arc<AnalysisResult>,
) -> Result<CourseStructure, PipelineError> {
    let structure = match run.scope() {
        GenerationScope::Section { number, .. } => {
            Box::pin(remake::with_section_anew(run, analysis, *number)).await?
        }
        GenerationScope::Whole | GenerationScope::Lesson { .. } => {
            Box::pin(whole_course(run, analysis)).await?
        }
    };
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    run.observer().on_event(Event::StructureReady {
        sections: count(structure.sections.len()),
        lessons: count(structure.lesson_count()),
    });
    Ok(structure)
}

async fn whole_course(
    run: &Arc<Run>,
    analysis: &Arc<AnalysisResult>,
) -> Result<CourseStructure, PipelineError> {
    let (metadata, sections) = if run.is_small() {
        Box::pin(pieces::parts(run, analysis)).await?
    } else {
        Box::pin(whole::parts(run, analysis)).await?
    };
    let mut structure = assemble(metadata, sections, analysis.difficulty);
    structure.renumber();
    if structure.lesson_count() < limits::COURSE_LESSONS_MIN {
        Box::pin(extend::extend(run, analysis, &mut structure)).await?;
    }
    Box::pin(mend::mend(run, &mut structure, mend::Part::Whole)).await?;
    Ok(structure)
}

/// The sections that these tasks make, in their order. All tasks come to their end, so that what was paid for is kept.
///
/// # Errors
/// The first of a task, after all others.
async fn finished_sections(
    run: &Run,
    mut tasks: JoinSet<Result<Section, PipelineError>>,
    total: u32,
) -> Result<Vec<Section>, PipelineError> {
    let mut sections = Vec::new();
    let mut end = None;
    while let Some(section) = tasks.join_next().await {
        match section.map_err(PipelineError::task).flatten() {
            Ok(section) => {
                announce(run, &section);
                sections.push(section);
                let done = u32::try_from(sections.len()).unwrap_or(u32::MAX);
                run.progress_structure(done, total).await?;
            }
            Err(error @ (PipelineError::Cancelled | PipelineError::Store(_))) => return Err(error),
            Err(error) => {
                if !error.is_of_one_piece() {
                    run.halt();
                }
                end = end.or(Some(error));
            }
        }
    }
    sections.sort_by_key(|section| section.section_number);
    end.map_or(Ok(sections), Err)
}

fn assemble(
    metadata: Metadata,
    sections: Vec<Section>,
    difficulty_level: DifficultyLevel,
) -> CourseStructure {
    CourseStructure {
        course_title: metadata.course_title,
        course_description: metadata.course_description,
        course_overview: metadata.course_overview,
        target_audience: metadata.target_audience,
        estimated_duration_hours: 0.0,
        difficulty_level,
        prerequisites: metadata.prerequisites,
        learning_outcomes: metadata.learning_outcomes,
        assessment_strategy: metadata.assessment_strategy,
        course_tags: enough_tags(metadata.course_tags, &sections),
        sections,
    }
}

/// Tags that a model gave too few of are filled up with what the lessons are about: no course is lost for want of a tag.
fn enough_tags(mut tags: Vec<String>, sections: &[Section]) -> Vec<String> {
    let lessons = || sections.iter().flat_map(|section| &section.lessons);
    let topics = lessons().flat_map(|lesson| &lesson.key_topics);
    let titles = lessons().map(|lesson| &lesson.lesson_title);
    for topic in topics.chain(titles) {
        if tags.len() >= limits::COURSE_TAGS.min {
            break;
        }
        if limits::COURSE_TAG.allows(limits::text_length(topic))
            && tags.iter().all(|tag| folded(tag) != folded(topic))
        {
            tags.push(topic.clone());
        }
    }
    tags
}

/// The user's outcomes, which are constraints, and then the model's, as many as the limit allows.
pub(crate) fn with_demanded_outcomes(run: &Run, proposed: Vec<String>) -> Vec<String> {
    let demanded = &run.inputs().learning_outcomes;
    let mut outcomes = demanded.clone();
    for outcome in proposed {
        if outcomes.iter().all(|other| folded(other) != folded(&outcome)) {
            outcomes.push(outcome);
        }
    }
    outcomes.truncate(limits::LEARNING_OUTCOMES.max);
    outcomes
}

/// The title of the course: the author's, completed only where it is shorter than the limit.
pub(crate) fn course_title(run: &Run, proposed: &str) -> String {
    let title = &run.inputs().title;
    if limits::COURSE_TITLE.allows(limits::text_length(title)) {
        title.clone()
    } else {
        proposed.trim().to_owned()
    }
}

/// Tells whoever watches that a section is there.
pub(crate) fn announce(run: &Run, section: &Section) {
    run.observer().on_event(Event::SectionReady {
        number: section.section_number,
        title: section.section_title.clone(),
        lessons: section
            .lessons
            .iter()
            .map(|lesson| lesson.lesson_title.clone())
            .collect(),
    });
}

#[cfg(test)]
mod tests {
    use domain::language::Language;
    use domain::samples;

    use super::*;

    #[test]
    fn missing_tags_are_what_the_lessons_are_about() {
        let sections = samples::course(Language::English).sections;
        let topics = &sections[0].lessons[0].key_topics;
        let given = vec!["Bees".to_owned(), topics[0].to_uppercase()];
        let tags = enough_tags(given.clone(), &sections);
        assert_eq!(tags.len(), limits::COURSE_TAGS.min);
        assert_eq!(tags[..2], given);
        assert_eq!(tags[2], topics[1], "the first topic is there already");
        let many: Vec<String> = (0..9).map(|number| format!("tag {number}")).collect();
        assert_eq!(enough_tags(many.clone(), &sections), many);
    }
}
