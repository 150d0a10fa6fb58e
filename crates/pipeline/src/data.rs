//! What prompts are filled with.

use domain::analysis::{AnalysisResult, Classification, ExpertFindings, RecommendedStructure};
use domain::language::Language;
use domain::structure::{ExerciseType, Lesson, Section};
use llm::route::Work;
use minijinja::Value;

use crate::context::Run;
use crate::error::PipelineError;
use crate::vars::vars;

/// What every prompt knows of the course.
pub(crate) fn course(run: &Run) -> Value {
    let inputs = run.inputs();
    let minutes_wish = inputs.lesson_duration_minutes.map_or_else(
        || "3 to 45 minutes, as the topic needs (15 is usual)".to_owned(),
        |minutes| format!("{minutes} minutes"),
    );
    let lessons = inputs
        .desired_lessons_count
        .map(|count| format!("The author wishes about {count} lessons. "));
    let sections = inputs
        .desired_modules_count
        .map(|count| format!("The author wishes {count} sections."));
    let size_wish: String = lessons.into_iter().chain(sections).collect();
    vars! {
        title => inputs.title,
        topic => plain_topic(&inputs.title),
        language => inputs.language.code(),
        language_name => inputs.language.english_name(),
        audience => inputs.target_audience,
        outcomes => inputs.learning_outcomes,
        style => inputs.style.prompt(),
        minutes_wish,
        size_wish,
        wish => run.wish(),
    }
}

/// Ways in which titles begin before they name their topic.
const LEAD_INS: [&str; 16] = [
    "a beginner's guide to ",
    "an introduction to ",
    "introduction to ",
    "fundamentals of ",
    "foundations of ",
    "getting started with ",
    "the basics of ",
    "basics of ",
    "essentials of ",
    "mastering ",
    "principles of ",
    "введение в ",
    "основы ",
    "азы ",
    "основы по ",
    "introducing ",
];

/// The topic that a title names: `Introduction to Beekeeping` is about `Beekeeping`.
pub(crate) fn plain_topic(title: &str) -> &str {
    let lower = title.to_lowercase();
    LEAD_INS
        .iter()
        .find(|lead_in| lower.starts_with(**lead_in))
        .and_then(|lead_in| title.get(lead_in.len()..))
        .filter(|rest| rest.chars().count() >= 3)
        .unwrap_or(title)
}

/// Tokens of the documents in a prompt: the share of retrieved context in the budget of a call (generation 3.3). Beside a
/// small model's question there is room for less.
fn document_tokens(run: &Run) -> u32 {
    let budget = run.models().budget_for(Work::Analysis, 0).context_beside(0);
    if run.is_small() { budget / 2 } else { budget }
}

/// The course's documents with what they say; an empty list without documents.
///
/// # Errors
/// [`PipelineError::Store`] if the database fails.
pub(crate) async fn documents(run: &Run) -> Result<Vec<Value>, PipelineError> {
    let count = |text: &str| run.models().count_tokens(Work::Analysis, 0, text);
    Ok(run.material().await?.digest(document_tokens(run), &count))
}

/// The course's documents by their headings alone.
///
/// # Errors
/// [`PipelineError::Store`] if the database fails.
pub(crate) async fn document_outlines(run: &Run) -> Result<Vec<Value>, PipelineError> {
    let count = |text: &str| run.models().count_tokens(Work::Analysis, 0, text);
    Ok(run.material().await?.outlines(document_tokens(run), &count))
}

/// The analysis after its first phase.
pub(crate) fn classification(result: &Classification) -> Value {
    let topic = &result.topic_analysis;
    vars! {
        topic => topic.determined_topic,
        complexity => topic.complexity.as_str(),
        difficulty => result.difficulty.as_str(),
        key_concepts => topic.key_concepts,
        audience => topic.target_audience,
        strategy => result.pedagogical_patterns.primary_strategy,
        ratio => result.pedagogical_patterns.theory_practice_ratio,
        why => result.contextual_language.why_matters_context,
    }
}

/// The analysis after its second phase.
pub(crate) fn scope(first: &Classification, second: &RecommendedStructure) -> Value {
    let areas: Vec<&str> = second
        .sections_breakdown
        .iter()
        .map(|plan| plan.area.as_str())
        .collect();
    vars! { areas, ..classification(first) }
}

/// The analysis after its third phase.
pub(crate) fn expert(first: &Classification, second: &RecommendedStructure, third: &ExpertFindings) -> Value {
    let strategy = &third.pedagogical_strategy;
    vars! {
        teaching_style => strategy.teaching_style.as_str(),
        practical_focus => strategy.practical_focus,
        ..scope(first, second)
    }
}

/// The finished analysis.
pub(crate) fn analysis(result: &AnalysisResult) -> Value {
    let guidance = &result.generation_guidance;
    let areas: Vec<&str> = result
        .recommended_structure
        .sections_breakdown
        .iter()
        .map(|plan| plan.area.as_str())
        .collect();
    vars! {
        topic => result.topic_analysis.determined_topic,
        complexity => result.topic_analysis.complexity.as_str(),
        difficulty => result.difficulty.as_str(),
        key_concepts => result.topic_analysis.key_concepts,
        audience => result.topic_analysis.target_audience,
        why => result.contextual_language.why_matters_context,
        practical_focus => result.pedagogical_strategy.practical_focus,
        teaching_style => result.pedagogical_strategy.teaching_style.as_str(),
        guidance => format!(
            "Tone: {}. {} Examples from the learners' world: {}.",
            guidance.tone,
            guidance.contextual_language_hints,
            guidance.real_world_examples.join("; ")
        ),
        areas,
    }
}

/// A section as prompts name it.
pub(crate) fn section(section: &Section) -> Value {
    let lesson_titles: Vec<&str> = section
        .lessons
        .iter()
        .map(|lesson| lesson.lesson_title.as_str())
        .collect();
    vars! {
        number => section.section_number,
        title => section.section_title,
        description => section.section_description,
        lesson_titles,
    }
}

/// A lesson specification as prompts name it.
pub(crate) fn lesson(lesson: &Lesson) -> Value {
    let exercises: Vec<Value> = lesson
        .practical_exercises
        .iter()
        .map(|exercise| {
            vars! {
                title => exercise.exercise_title,
                type => exercise.exercise_type.as_str(),
                description => exercise.exercise_description,
            }
        })
        .collect();
    vars! {
        number => lesson.lesson_number,
        title => lesson.lesson_title,
        objectives => lesson.lesson_objectives,
        topics => lesson.key_topics,
        exercises,
    }
}

/// A kind of exercise in words.
pub(crate) const fn exercise_label(kind: ExerciseType) -> &'static str {
    match kind {
        ExerciseType::SelfAssessment => "self-check",
        ExerciseType::CaseStudy => "case study",
        ExerciseType::HandsOn => "hands-on task",
        ExerciseType::Discussion => "discussion with a partner",
        ExerciseType::Quiz => "short quiz",
        ExerciseType::Simulation => "role play",
        ExerciseType::Reflection => "written reflection",
    }
}

/// The texts of a JSON array.
pub(crate) fn texts(array: &serde_json::Value) -> Vec<String> {
    let texts = array
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_str);
    texts.map(str::to_owned).collect()
}

/// The texts of a JSON array, joined.
pub(crate) fn joined(array: &serde_json::Value) -> String {
    texts(array).join(" ")
}

/// Fixed words of lesson texts that are put together from pieces.
pub(crate) struct Labels {
    pub(crate) common_mistake: &'static str,
    /// Before a lesson's title.
    pub(crate) which_topic: &'static str,
    /// After a topic.
    pub(crate) is_taught_here: &'static str,
}

/// The fixed words in a course's language; English where there is no translation.
pub(crate) const fn labels(language: Language) -> Labels {
    match language {
        Language::Russian => Labels {
            common_mistake: "Частая ошибка",
            which_topic: "Какая из этих тем относится к уроку",
            is_taught_here: "— одна из ключевых тем этого урока.",
        },
        _ => Labels {
            common_mistake: "Common mistake",
            which_topic: "Which of these topics belongs to the lesson",
            is_taught_here: "is one of the key topics of this lesson.",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_is_what_the_title_names() {
        let check = |title: &str, expected: &str| assert_eq!(plain_topic(title), expected);
        check("Introduction to Beekeeping", "Beekeeping");
        check("SQL for Data Analysts", "SQL for Data Analysts");
        check("Основы пчеловодства", "пчеловодства");
        check("Introduction to C", "Introduction to C");
    }
}
