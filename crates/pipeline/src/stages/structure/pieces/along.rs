//! The lessons of a section that are planned already: by the headings of the author's documents, or as tasks by the analysis.

use domain::analysis::{AnalysisResult, SectionPlan};
use domain::language::Language;
use llm::route::Work;
use serde::Deserialize;

use super::{Titled, areas, piece};
use crate::context::Run;
use crate::data;
use crate::error::PipelineError;
use crate::outline::{OutlineLesson, OutlineSection, fit_lessons};
use crate::schema::{Pieces, object};
use crate::tasks::names_a_task;
use crate::vars::vars;
use crate::wording::folded;

#[derive(Deserialize)]
struct Description {
    section_description: String,
}

/// The lessons that the analysis has named as tasks, among the topics of a section.
pub(super) fn of_tasks(plan: &SectionPlan, language: Language) -> Option<OutlineSection> {
    let lessons: Vec<OutlineLesson> = plan
        .key_topics
        .iter()
        .filter(|topic| names_a_task(topic, language))
        .map(|topic| OutlineLesson {
            title: topic.clone(),
            parts: Vec::new(),
        })
        .collect();
    (!lessons.is_empty()).then(|| OutlineSection {
        title: plan.area.clone(),
        lessons,
    })
}

/// The titles of a section's lessons from those planned. Where the course needs more lessons than are planned,
/// the model adds to them; where it needs fewer, neighbours are drawn together. `taken` are the course's
/// title and then those of all lessons that it has.
///
/// # Errors
/// Whatever keeps the description or further titles from being made.
pub(super) async fn titles(
    run: &Run,
    analysis: &AnalysisResult,
    plan: &SectionPlan,
    mut section: OutlineSection,
    number: u32,
    taken: &[String],
) -> Result<Titled, PipelineError> {
    let minutes = analysis.recommended_structure.lesson_duration_minutes;
    let wanted = plan.estimated_lessons as usize;
    fit_lessons(&mut section, wanted);
    let lessons_before = taken.len().saturating_sub(1);
    let own: Vec<String> = section
        .lessons
        .iter()
        .map(|lesson| lesson.title.clone())
        .collect();
    let parts = section.lessons.into_iter().map(|lesson| lesson.parts).collect();
    if own.len() < wanted {
        let planned = analysis
            .recommended_structure
            .sections_breakdown
            .iter()
            .filter_map(|plan| of_tasks(plan, run.language()))
            .flat_map(|section| section.lessons)
            .map(|lesson| lesson.title)
            .filter(|title| !taken.contains(title) && !own.contains(title));
        let known: Vec<String> = taken.iter().chain(&own).cloned().chain(planned).collect();
        let missing = SectionPlan {
            estimated_lessons: u32::try_from(wanted - own.len()).unwrap_or(1),
            ..plan.clone()
        };
        let added = super::titles(run, &areas(analysis), &missing, number, &known, minutes).await?;
        let new = added
            .lesson_titles
            .into_iter()
            .filter(|title| known.iter().all(|other| folded(other) != folded(title)));
        return Ok(Titled {
            plan: plan.clone(),
            lesson_titles: own.iter().cloned().chain(new).collect(),
            parts,
            lessons_before,
            ..added
        });
    }
    Ok(Titled {
        number,
        plan: plan.clone(),
        description: None,
        lesson_titles: own,
        parts,
        minutes,
        lessons_before,
    })
}

/// What a section is about, once its lessons are known.
///
/// # Errors
/// Whatever keeps it from being made.
pub(super) async fn description(run: &Run, titled: &Titled) -> Result<String, PipelineError> {
    let pieces = Pieces::new(run.language());
    let context = vars! {
        course => data::course(run),
        section => vars! { title => titled.plan.area, lessons => titled.lesson_titles },
    };
    let shape = object([("section_description", pieces.sentences_of(2, 2, 40, 170))]);
    let answer: Description = piece(
        run,
        Work::Section,
        "sections.description",
        titled.number,
        "small_section",
        &context,
        shape,
    )
    .await?;
    Ok(answer.section_description)
}
