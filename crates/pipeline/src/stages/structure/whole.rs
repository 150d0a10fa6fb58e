//! The structure by a large model: two calls for the metadata, one for each section.

use std::ops::RangeInclusive;
use std::sync::Arc;

use domain::analysis::{AnalysisResult, DifficultyProgression, Importance, SectionPlan};
use domain::limits;
use domain::quality::{CRITICAL_METADATA_THRESHOLD, SECTION_THRESHOLD};
use domain::stage::Stage;
use domain::structure::{AssessmentStrategy, CourseStructure, Section};
use domain::validation::{Finding, Rule, Severity, validate_section};
use llm::route::Work;
use minijinja::Value;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::JoinSet;

use super::{Metadata, SectionDraft, course_title, finished_sections, with_demanded_outcomes};
use crate::attempts::Patience;
use crate::context::Run;
use crate::data;
use crate::engine::{Check, Gate, Question};
use crate::error::PipelineError;
use crate::prompt::Prompt;
use crate::sources::{SECTION_PIECES, Wanted, relevant, render_with_sources};
use crate::vars::vars;
use crate::{rules, schema};

/// Tokens of the longest answer with metadata.
const METADATA_OUTPUT_TOKENS: u32 = 12_000;
/// Searches in the documents for one section, at most.
const MOST_QUERIES: usize = 12;
/// Tokens of the longest answer with a section: 25 lessons fit (generation 3.3: 15 000 to 30 000).
const SECTION_OUTPUT_TOKENS: u32 = 30_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Critical {
    #[schemars(length(min = limits::LEARNING_OUTCOMES.min, max = limits::LEARNING_OUTCOMES.max), inner(length(min = limits::LEARNING_OUTCOME.min, max = limits::LEARNING_OUTCOME.max)))]
    learning_outcomes: Vec<String>,
    assessment_strategy: AssessmentStrategy,
    sections: Vec<PlannedSection>,
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PlannedSection {
    #[schemars(length(min = limits::SECTION_TITLE.min, max = limits::SECTION_TITLE.max))]
    section_title: String,
    #[schemars(length(min = limits::SECTION_DESCRIPTION.min, max = limits::SECTION_DESCRIPTION.max))]
    section_description: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rest {
    #[schemars(length(min = limits::COURSE_TITLE.min, max = limits::COURSE_TITLE.max))]
    course_title: String,
    #[schemars(length(min = limits::COURSE_DESCRIPTION.min, max = limits::COURSE_DESCRIPTION.max))]
    course_description: String,
    #[schemars(length(min = limits::COURSE_OVERVIEW.min, max = limits::COURSE_OVERVIEW.max))]
    course_overview: String,
    #[schemars(length(min = limits::TARGET_AUDIENCE.min, max = limits::TARGET_AUDIENCE.max))]
    target_audience: String,
    #[schemars(length(max = limits::PREREQUISITES.max), inner(length(min = limits::OUTCOME_SHORT.min, max = limits::OUTCOME_SHORT.max)))]
    prerequisites: Vec<String>,
    #[schemars(length(min = limits::COURSE_TAGS.min, max = limits::COURSE_TAGS.max), inner(length(min = limits::COURSE_TAG.min, max = limits::COURSE_TAG.max)))]
    course_tags: Vec<String>,
}

/// Makes the metadata, then all sections at once, as many as the provider bears.
///
/// # Errors
/// Whatever keeps a part from being made.
pub(crate) async fn parts(
    run: &Arc<Run>,
    analysis: &Arc<AnalysisResult>,
) -> Result<(Metadata, Vec<Section>), PipelineError> {
    let plans = &analysis.recommended_structure.sections_breakdown;
    let areas: Vec<Value> = plans
        .iter()
        .map(|plan| vars! { id => plan.section_id, area => plan.area })
        .collect();
    let data = vars! {
        course => data::course(run),
        analysis => data::analysis(analysis),
        plan => areas,
        outcomes_wanted => outcomes_wanted(run),
    };
    // Both come to their end, so that what was paid for is kept.
    let (critical, rest) = tokio::join!(critical(run, plans, &data), rest(run, &data));
    let (critical, rest) = (critical?, rest?);
    let total = u32::try_from(plans.len()).unwrap_or(u32::MAX);
    run.progress_structure(0, total).await?;
    let titles: Vec<Value> = plans
        .iter()
        .zip(&critical.sections)
        .map(|(plan, section)| vars! { id => plan.section_id, title => section.section_title })
        .collect();
    let shared = vars! {
        course => data::course(run),
        analysis => data::analysis(analysis),
        metadata => vars! { description => rest.course_description },
        plan => titles,
        minutes => analysis.recommended_structure.lesson_duration_minutes,
    };
    let mut tasks = JoinSet::new();
    for (index, planned) in critical.sections.iter().enumerate().take(plans.len()) {
        let (run, analysis, shared, planned) = (
            Arc::clone(run),
            Arc::clone(analysis),
            shared.clone(),
            planned.clone(),
        );
        tasks.spawn(async move { section(&run, &analysis, index, &planned, &shared).await });
    }
    let sections = finished_sections(run, tasks, total).await?;
    let metadata = Metadata {
        course_title: course_title(run, &rest.course_title),
        course_description: rest.course_description,
        course_overview: rest.course_overview,
        target_audience: rest.target_audience,
        prerequisites: rest.prerequisites,
        learning_outcomes: with_demanded_outcomes(run, critical.learning_outcomes),
        assessment_strategy: critical.assessment_strategy,
        course_tags: distinct_tags(rest.course_tags),
    };
    Ok((metadata, sections))
}

fn outcomes_wanted(run: &Run) -> String {
    match run.inputs().learning_outcomes.len() {
        0 => "5 to 8".to_owned(),
        demanded => format!(
            "{} to 8 (the author's own outcomes first, in the author's words)",
            demanded.max(4)
        ),
    }
}

fn distinct_tags(tags: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for tag in tags {
        if kept
            .iter()
            .all(|other| other.to_lowercase() != tag.to_lowercase())
        {
            kept.push(tag);
        }
    }
    kept
}

async fn critical(run: &Run, plans: &[SectionPlan], data: &Value) -> Result<Critical, PipelineError> {
    let mut shape = schema::of::<Critical>();
    shape["properties"]["sections"]["minItems"] = plans.len().into();
    shape["properties"]["sections"]["maxItems"] = plans.len().into();
    let inputs = run.inputs();
    let check: Check<'_> = Box::new(move |value| {
        let outcomes = data::texts(&value["learning_outcomes"]);
        rules::outcomes(&outcomes, inputs.language)
    });
    let brief = format!(
        "{}. {}",
        inputs.title,
        plans
            .iter()
            .map(|plan| plan.area.as_str())
            .collect::<Vec<_>>()
            .join(". ")
    );
    let gate = Gate {
        brief,
        digest: Box::new(|value| {
            let sections = value["sections"].as_array().into_iter().flatten();
            let titles: Vec<&str> = sections
                .filter_map(|section| section["section_title"].as_str())
                .collect();
            format!(
                "{}. {}",
                titles.join(". "),
                data::joined(&value["learning_outcomes"])
            )
        }),
        threshold: CRITICAL_METADATA_THRESHOLD,
    };
    let question = Question {
        stage: Stage::Structure,
        phase: "metadata.critical".to_owned(),
        batch: 0,
        work: Work::CriticalMetadata,
        complexity: None,
        prompt: run.prompts().render("structure_metadata_critical", data)?,
        hint: None,
        shape: "critical_metadata",
        schema: shape,
        max_output_tokens: METADATA_OUTPUT_TOKENS,
        temperature: None,
        mend: None,
        check: Some(check),
        gate: Some(gate),
        ignores_earlier_rounds: false,
        patience: Patience::KeepBest,
    };
    run.ask_for(question).await
}

async fn rest(run: &Run, data: &Value) -> Result<Rest, PipelineError> {
    let question = Question {
        stage: Stage::Structure,
        phase: "metadata.rest".to_owned(),
        batch: 0,
        work: Work::Metadata,
        complexity: None,
        prompt: run.prompts().render("structure_metadata_rest", data)?,
        hint: None,
        shape: "metadata",
        schema: schema::of::<Rest>(),
        max_output_tokens: METADATA_OUTPUT_TOKENS,
        temperature: None,
        mend: None,
        check: Some(Box::new(|value| rules::texts(value, run.language()))),
        gate: None,
        ignores_earlier_rounds: false,
        patience: Patience::KeepBest,
    };
    run.ask_for(question).await
}

async fn section(
    run: &Run,
    analysis: &AnalysisResult,
    index: usize,
    planned: &PlannedSection,
    shared: &Value,
) -> Result<Section, PipelineError> {
    let plan = &analysis.recommended_structure.sections_breakdown[index];
    let minutes = analysis.recommended_structure.lesson_duration_minutes;
    let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
    let data = vars! {
        section => vars! {
            id => plan.section_id,
            title => planned.section_title,
            description => planned.section_description,
            approach => plan.pedagogical_approach,
            objectives => plan.learning_objectives,
            topics => plan.key_topics,
            lessons => plan.estimated_lessons,
        },
        ..shared.clone()
    };
    let lessons = plan.estimated_lessons;
    let queries = [planned.section_title.clone(), planned.section_description.clone()];
    let wanted = wanted(
        analysis,
        number,
        queries.into_iter().chain(plan.key_topics.iter().cloned()),
    );
    let (prompt, _) = render_with_sources(run, "structure_section", &data, &wanted).await?;
    write_section(
        run,
        Asked {
            number,
            minutes,
            lessons: lessons..=lessons,
            complexity: Some(complexity(plan)),
            prompt,
            brief: format!(
                "{}. {} {}",
                planned.section_title,
                planned.section_description,
                plan.key_topics.join(". ")
            ),
        },
    )
    .await
}

/// Makes one section of a finished course anew; the titles and topics of all others are remembered by then.
///
/// # Errors
/// Whatever keeps it from being made.
pub(super) async fn remake(
    run: &Run,
    analysis: &AnalysisResult,
    structure: &CourseStructure,
    present: &Section,
    minutes: u32,
) -> Result<Section, PipelineError> {
    let lessons = lessons_allowed(run, structure, present);
    let titles: Vec<Value> = structure
        .sections
        .iter()
        .map(|section| vars! { id => section.section_number, title => section.section_title })
        .collect();
    let data = vars! {
        course => data::course(run),
        analysis => data::analysis(analysis),
        metadata => vars! { description => structure.course_description },
        plan => titles,
        minutes,
        fewest => lessons.start(),
        most => lessons.end(),
        section => vars! {
            objectives => present.learning_objectives,
            lessons => present.lessons.iter().map(data::lesson).collect::<Vec<_>>(),
            ..data::section(present)
        },
    };
    let topics: Vec<&str> = present
        .lessons
        .iter()
        .flat_map(|lesson| lesson.key_topics.iter().map(String::as_str))
        .collect();
    let plans = &analysis.recommended_structure.sections_breakdown;
    let plan = plans.get((present.section_number as usize).saturating_sub(1));
    let queries = [present.section_title.clone(), present.section_description.clone()];
    let lesson_titles = present.lessons.iter().map(|lesson| lesson.lesson_title.clone());
    let wanted = wanted(
        analysis,
        present.section_number,
        queries
            .into_iter()
            .chain(run.wish().map(str::to_owned))
            .chain(lesson_titles),
    );
    let (prompt, _) = render_with_sources(run, "structure_remake", &data, &wanted).await?;
    write_section(
        run,
        Asked {
            number: present.section_number,
            minutes,
            lessons,
            complexity: plan.map(complexity),
            prompt,
            // What the author wants otherwise is asked for as well: it may lead away from what is there.
            brief: format!(
                "{}. {} {}. {}",
                present.section_title,
                present.section_description,
                topics.join(". "),
                run.wish().unwrap_or_default()
            ),
        },
    )
    .await
}

/// What is searched for in the documents for a section: what the analysis would search for, and its own words.
fn wanted(analysis: &AnalysisResult, number: u32, queries: impl Iterator<Item = String>) -> Wanted<'_> {
    let (preferred, found) = relevant(analysis, number);
    Wanted {
        work: Work::Section,
        queries: queries.chain(found.iter().cloned()).take(MOST_QUERIES).collect(),
        preferred,
        most: SECTION_PIECES,
    }
}

/// How many lessons a section may have when it is made anew: as many as now, unless the author's wish may ask for
/// another number; the course keeps its ten in any case.
fn lessons_allowed(run: &Run, structure: &CourseStructure, present: &Section) -> RangeInclusive<u32> {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let now = present.lessons.len();
    let elsewhere = structure.lesson_count().saturating_sub(now);
    let fewest = limits::COURSE_LESSONS_MIN.saturating_sub(elsewhere).max(1);
    if run.wish().is_some() {
        count(fewest)..=count(limits::SECTION_LESSONS_SOFT_MAX.max(now).max(fewest))
    } else {
        count(now.max(fewest))..=count(now.max(fewest))
    }
}

/// A section to be written.
struct Asked {
    number: u32,
    /// Minutes of each lesson.
    minutes: u32,
    lessons: RangeInclusive<u32>,
    complexity: Option<f32>,
    prompt: Prompt,
    /// What it is compared with.
    brief: String,
}

/// Writes one section that repeats no title and no topic of the others.
async fn write_section(run: &Run, asked: Asked) -> Result<Section, PipelineError> {
    let Asked { number, minutes, .. } = asked;
    let elsewhere = run.title_index_elsewhere(number);
    let taken: Vec<&str> = elsewhere
        .titles()
        .iter()
        .chain(elsewhere.topics())
        .map(String::as_str)
        .collect();
    let hint = (!taken.is_empty()).then(|| {
        format!(
            "Titles and topics that other sections already have: {}",
            taken.join("; ")
        )
    });
    let mut shape = schema::of::<SectionDraft>();
    shape["properties"]["lessons"]["minItems"] = (*asked.lessons.start()).into();
    shape["properties"]["lessons"]["maxItems"] = (*asked.lessons.end()).into();
    let check: Check<'_> =
        Box::new(
            move |value| match serde_json::from_value::<SectionDraft>(value.clone()) {
                Ok(draft) => {
                    let section = draft.into_section(number, minutes);
                    validate_section(&section, &run.rules(), &run.title_index_elsewhere(number))
                }
                Err(error) => vec![Finding::new(Rule::Count, Severity::Error, "", error.to_string())],
            },
        );
    let gate = Gate {
        brief: asked.brief,
        digest: Box::new(digest),
        threshold: SECTION_THRESHOLD,
    };
    let question = Question {
        stage: Stage::Structure,
        phase: "sections".to_owned(),
        batch: number,
        work: Work::Section,
        complexity: asked.complexity,
        prompt: asked.prompt,
        hint,
        shape: "section",
        schema: shape,
        max_output_tokens: SECTION_OUTPUT_TOKENS,
        temperature: None,
        mend: None,
        check: Some(check),
        gate: Some(gate),
        ignores_earlier_rounds: false,
        patience: Patience::KeepBest,
    };
    let draft: SectionDraft = run.ask_for(question).await?;
    let section = draft.into_section(number, minutes);
    run.remember_titles(&section);
    Ok(section)
}

/// What of a section is compared with its brief.
pub(super) fn digest(section: &serde_json::Value) -> String {
    let lessons = section["lessons"].as_array().into_iter().flatten();
    let titles: Vec<&str> = lessons
        .filter_map(|lesson| lesson["lesson_title"].as_str())
        .collect();
    format!(
        "{}. {} {}",
        section["section_title"].as_str().unwrap_or_default(),
        section["section_description"].as_str().unwrap_or_default(),
        titles.join(". ")
    )
}

/// How complex a section is, 0 to 1: steep, central and long sections go to the stronger model.
fn complexity(plan: &SectionPlan) -> f32 {
    let steepness = match plan.difficulty_progression {
        DifficultyProgression::Flat => 0.0,
        DifficultyProgression::Gradual => 0.2,
        DifficultyProgression::Steep => 0.45,
    };
    let importance = match plan.importance {
        Importance::Core => 0.2,
        Importance::Important => 0.1,
        Importance::Optional => 0.0,
    };
    let lessons = 0.03 * plan.estimated_lessons.min(10) as f32;
    steepness + importance + lessons
}
