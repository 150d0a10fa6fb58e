//! One section made anew by a small model.

use std::sync::Arc;

use domain::analysis::{AnalysisResult, DifficultyProgression, Importance, SectionPlan};
use domain::structure::{CourseStructure, Section, hours};
use tokio::sync::oneshot;

use super::chosen::Taken;
use super::{Titled, TopicChain, body, titles};
use crate::context::Run;
use crate::error::PipelineError;
use crate::objectives::Said;
use crate::wording::folded;

/// Makes one section of a finished course anew. It keeps its title, its objectives and its number of lessons: a small
/// model is asked for what it can write, and the plan stays the author's.
///
/// # Errors
/// Whatever keeps it from being made.
pub(in super::super) async fn section(
    run: &Arc<Run>,
    analysis: &AnalysisResult,
    structure: &CourseStructure,
    present: &Section,
    minutes: u32,
) -> Result<Section, PipelineError> {
    let others: Vec<&Section> = structure
        .sections
        .iter()
        .filter(|section| section.section_number != present.section_number)
        .collect();
    let lessons = || others.iter().flat_map(|section| &section.lessons);
    let taken: Vec<String> = std::iter::once(run.inputs().title.clone())
        .chain(lessons().map(|lesson| lesson.lesson_title.clone()))
        // What is made anew shall not be what it was.
        .chain(present.lessons.iter().map(|lesson| lesson.lesson_title.clone()))
        .collect();
    let objectives = lessons().flat_map(|lesson| &lesson.lesson_objectives);
    let topics = lessons().flat_map(|lesson| &lesson.key_topics);
    let mut taken_before = Taken {
        topics: topics.map(|topic| folded(topic)).collect(),
        objectives: Said::default(),
    };
    for objective in objectives {
        taken_before.objectives.note(objective, run.language());
    }
    let lessons_before = others
        .iter()
        .filter(|section| section.section_number < present.section_number)
        .map(|section| section.lessons.len())
        .sum();
    let areas: Vec<String> = structure
        .sections
        .iter()
        .map(|section| section.section_title.clone())
        .collect();
    let plan = present_plan(analysis, present);
    let titled = titles(run, &areas, &plan, present.section_number, &taken, minutes).await?;
    // Where too few new titles differ, lessons keep theirs: the course must not lose any.
    let missing = present.lessons.len().saturating_sub(titled.lesson_titles.len());
    let kept = present.lessons.iter().take(missing);
    let titled = Titled {
        lessons_before,
        lesson_titles: titled
            .lesson_titles
            .into_iter()
            .chain(kept.map(|lesson| lesson.lesson_title.clone()))
            .collect(),
        ..titled
    };
    let (before, topics_before) = oneshot::channel();
    let (after, _topics_after) = oneshot::channel();
    // Nobody can have hung up yet.
    let _ = before.send(taken_before);
    let chain = TopicChain {
        before: topics_before,
        after,
    };
    let all_titles: Vec<String> = lessons()
        .map(|lesson| lesson.lesson_title.clone())
        .chain(titled.lesson_titles.iter().cloned())
        .collect();
    body(run, titled, &all_titles, chain).await
}

/// The plan of a section as it stands now: its author may have edited it since the analysis, and moved it.
fn present_plan(analysis: &AnalysisResult, present: &Section) -> SectionPlan {
    let plans = &analysis.recommended_structure.sections_breakdown;
    let planned = plans
        .iter()
        .find(|plan| folded(&plan.area) == folded(&present.section_title));
    let key_topics = match planned {
        Some(plan) => plan.key_topics.clone(),
        // One of each lesson says what the section is about.
        None => present
            .lessons
            .iter()
            .filter_map(|lesson| lesson.key_topics.first().cloned())
            .collect(),
    };
    SectionPlan {
        section_id: present.section_number.to_string(),
        area: present.section_title.clone(),
        estimated_lessons: u32::try_from(present.lessons.len()).unwrap_or(u32::MAX),
        importance: Importance::Core,
        learning_objectives: present.learning_objectives.clone(),
        key_topics,
        pedagogical_approach: String::new(),
        difficulty_progression: DifficultyProgression::Gradual,
        prerequisites: Vec::new(),
        estimated_duration_hours: hours(present.estimated_duration_minutes),
    }
}
