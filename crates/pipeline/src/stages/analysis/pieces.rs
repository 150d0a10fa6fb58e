//! The analysis by a small model: the same result from small questions, many at once.

mod along;
mod syllabus;

use domain::analysis::{
    CategoryName, Classification, ContentStrategy, ContextualLanguage, CourseCategory, DifficultyProgression,
    ExpertFindings, GenerationGuidance, Importance, InteractivityLevel, PedagogicalPatterns,
    PedagogicalStrategy, RecommendedStructure, ResearchFlag, SectionPlan, Synthesis, TeachingStyle,
    TopicAnalysis, TopicComplexity,
};
use domain::limits;
use domain::stage::Stage;
use domain::structure::DifficultyLevel;
use llm::route::Work;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Phase, Phases};
use crate::attempts::Patience;
use crate::context::Run;
use crate::data;
use crate::engine::{Effort, Question};
use crate::error::PipelineError;
use crate::material::Material;
use crate::outline;
use crate::prompt::Prompt;
use crate::rules;
use crate::schema::{Pieces, list, object, one_of};
use crate::vars::vars;

/// Tokens of the longest answer to a small question.
const PIECE_OUTPUT_TOKENS: u32 = 700;
#[derive(Deserialize)]
struct Subject {
    primary: CategoryName,
    difficulty: DifficultyLevel,
    complexity: TopicComplexity,
    theory_practice_ratio: String,
    determined_topic: String,
    target_audience: String,
    key_concepts: Vec<String>,
    domain_keywords: Vec<String>,
    reasoning: String,
}

#[derive(Deserialize)]
struct AreaPlan {
    learning_objectives: Vec<String>,
    key_topics: Vec<String>,
    pedagogical_approach: String,
}

/// A plan whose section has no name yet.
#[derive(Deserialize)]
struct NamedPlan {
    section_title: String,
    #[serde(flatten)]
    plan: AreaPlan,
}

#[derive(Deserialize)]
struct Expert {
    teaching_style: TeachingStyle,
    interactivity_level: InteractivityLevel,
    assessment_approach: String,
    practical_focus: String,
    progression_logic: String,
    changing_fact: String,
}

#[derive(Deserialize)]
struct Guidance {
    tone: String,
    analogies: Vec<String>,
    words_to_explain: Vec<String>,
    pictures: Vec<String>,
    address: String,
    examples: Vec<String>,
}

/// Asks all pieces and puts the phases together.
///
/// # Errors
/// Whatever keeps a piece from being answered.
pub(crate) async fn phases(run: &Run) -> Result<Phases, PipelineError> {
    let material = run.material().await?;
    if let Some(outline) = outline::of(run, material) {
        return Box::pin(along::phases(run, outline)).await;
    }
    let course = data::course(run);
    let context = vars! { course, documents => data::documents(run).await? };
    // Only what the plan of the sections waits for: the rest is asked for beside that plan.
    let (topic, proposals) = tokio::try_join!(
        piece::<Subject>(
            run,
            "classification.topic",
            0,
            "small_topic",
            context.clone(),
            topic_shape(run)
        ),
        syllabus::proposals(run),
    )?;
    let (topic, mut classification_effort) = topic;
    let (proposals, mut scope_effort) = proposals;
    let sections = syllabus::sections(run, topic.complexity, &proposals).await?;
    let lessons: Vec<&String> = sections.iter().flatten().collect();
    let context = vars! { course, areas => lessons };
    let plans = futures::future::try_join_all(sections.iter().zip(1u32..).map(|(lessons, number)| {
        let section = vars! { number, lessons };
        let context = vars! { section, ..context.clone() };
        async move {
            piece::<NamedPlan>(
                run,
                "scope.area",
                number,
                "small_named_area",
                context,
                named_area_shape(run),
            )
            .await
        }
    }));
    let (plans, motives, expert, guidance) = tokio::try_join!(
        plans,
        piece::<ContextualLanguage>(
            run,
            "classification.context",
            0,
            "small_context",
            context.clone(),
            motives_shape(run),
        ),
        piece::<Expert>(
            run,
            "expert",
            0,
            "small_expert",
            context.clone(),
            expert_shape(run)
        ),
        piece::<Guidance>(
            run,
            "synthesis",
            0,
            "small_synthesis",
            context.clone(),
            guidance_shape(run)
        ),
    )?;
    let (motives, effort) = motives;
    classification_effort.add(&effort);
    for (_, effort) in &plans {
        scope_effort.add(effort);
    }
    let plans = plans.into_iter().map(|(plan, _)| plan).collect();
    let (areas, plans) = syllabus::named(run, &sections, plans);
    let scope = scope(run, &topic, areas, plans, sections.iter().map(Vec::len));
    let classification = classification(run, material, topic, motives);
    Ok(Phases {
        classification: Phase::of(classification, classification_effort),
        scope: Phase::of(scope, scope_effort),
        expert: Phase::of(findings(expert.0), expert.1),
        synthesis: Phase::of(synthesis(guidance.0), guidance.1),
    })
}

/// Sections of a course when nobody says, by the width of its topic: three or four lessons each.
const fn sections_of(complexity: TopicComplexity) -> usize {
    match complexity {
        TopicComplexity::Narrow => 3,
        TopicComplexity::Medium => 4,
        TopicComplexity::Broad => 5,
    }
}

async fn piece<T: DeserializeOwned>(
    run: &Run,
    phase: &'static str,
    batch: u32,
    prompt: &str,
    data: minijinja::Value,
    schema: Value,
) -> Result<(T, Effort), PipelineError> {
    let prompt = run.prompts().render(prompt, &data)?;
    answer_of(run, question(run, phase, batch, prompt, schema)).await
}

fn question(run: &Run, phase: &'static str, batch: u32, prompt: Prompt, schema: Value) -> Question<'static> {
    let language = run.language();
    Question {
        stage: Stage::Analysis,
        phase: phase.to_owned(),
        batch,
        work: Work::Analysis,
        complexity: None,
        prompt,
        hint: None,
        shape: "answer",
        schema,
        max_output_tokens: PIECE_OUTPUT_TOKENS,
        temperature: None,
        // What the finished analysis is refused for could no longer be asked again there.
        mend: None,
        check: Some(Box::new(move |value| rules::in_language(value, language))),
        gate: None,
        ignores_earlier_rounds: false,
        patience: Patience::AllAttempts,
    }
}

async fn answer_of<T: DeserializeOwned>(
    run: &Run,
    question: Question<'_>,
) -> Result<(T, Effort), PipelineError> {
    let what = question.name();
    let answer = run.ask(question).await?;
    let result =
        serde_json::from_value(answer.value).map_err(|cause| PipelineError::Shape { what, cause })?;
    Ok((result, answer.effort))
}

fn topic_shape(run: &Run) -> Value {
    let pieces = Pieces::new(run.language());
    object([
        (
            "primary",
            one_of(CategoryName::ALL.iter().map(|name| name.as_str())),
        ),
        (
            "difficulty",
            one_of(DifficultyLevel::ALL.map(DifficultyLevel::as_str)),
        ),
        (
            "complexity",
            one_of(TopicComplexity::ALL.iter().map(|name| name.as_str())),
        ),
        (
            "theory_practice_ratio",
            one_of(["30:70", "40:60", "50:50", "60:40"]),
        ),
        ("determined_topic", pieces.phrase(4, 50)),
        ("target_audience", pieces.sentences_of(1, 1, 20, 120)),
        ("key_concepts", list(pieces.phrase(5, 40), 5)),
        ("domain_keywords", list(pieces.phrase(4, 24), 6)),
        ("reasoning", pieces.sentences_of(1, 1, 30, 140)),
    ])
}

fn motives_shape(run: &Run) -> Value {
    let pieces = Pieces::new(run.language());
    // One sentence each, long enough for the least length of its text (data model 2.4): every further one would keep
    // the first section from the screen.
    let short = || pieces.sentences_of(1, 1, 50, 130);
    let long = || pieces.sentences_of(1, 1, 100, 170);
    object([
        ("why_matters_context", short()),
        ("motivators", long()),
        ("experience_prompt", long()),
        ("problem_statement_context", short()),
        ("knowledge_bridge", long()),
        ("practical_benefit_focus", long()),
    ])
}

fn area_shape(run: &Run) -> Value {
    let pieces = Pieces::new(run.language());
    object([
        (
            "learning_objectives",
            list(pieces.objective(limits::SECTION_OBJECTIVE.min, 90), 2),
        ),
        ("key_topics", list(pieces.phrase(8, 45), 4)),
        ("pedagogical_approach", pieces.sentences_of(1, 1, 25, 110)),
    ])
}

/// The shape of a plan that also names its section. The topics come first and the title after them: a small model that
/// begins with the title calls every section the basics of the course.
fn named_area_shape(run: &Run) -> Value {
    let pieces = Pieces::new(run.language());
    object([
        ("key_topics", list(pieces.phrase(8, 45), 4)),
        (
            "learning_objectives",
            list(pieces.objective(limits::SECTION_OBJECTIVE.min, 90), 2),
        ),
        ("section_title", pieces.phrase(limits::SECTION_TITLE.min, 50)),
        ("pedagogical_approach", pieces.sentences_of(1, 1, 25, 110)),
    ])
}

fn expert_shape(run: &Run) -> Value {
    let pieces = Pieces::new(run.language());
    let sentence = || pieces.sentences_of(1, 1, 30, 130);
    object([
        (
            "teaching_style",
            one_of(TeachingStyle::ALL.iter().map(|name| name.as_str())),
        ),
        (
            "interactivity_level",
            one_of(InteractivityLevel::ALL.iter().map(|name| name.as_str())),
        ),
        ("assessment_approach", sentence()),
        ("practical_focus", sentence()),
        ("progression_logic", sentence()),
        ("changing_fact", sentence()),
    ])
}

fn guidance_shape(run: &Run) -> Value {
    let pieces = Pieces::new(run.language());
    object([
        ("tone", pieces.phrase(6, 60)),
        ("analogies", list(pieces.sentences_of(1, 1, 25, 80), 2)),
        ("words_to_explain", list(pieces.phrase(4, 30), 2)),
        ("pictures", list(pieces.phrase(8, 60), 2)),
        ("address", pieces.sentences_of(1, 1, 25, 80)),
        ("examples", list(pieces.sentences_of(1, 1, 25, 90), 2)),
    ])
}

fn classification(
    run: &Run,
    material: &Material,
    topic: Subject,
    motives: ContextualLanguage,
) -> Classification {
    let inputs = run.inputs();
    let open = [
        ("target audience", inputs.target_audience.is_none()),
        ("learning outcomes", inputs.learning_outcomes.is_empty()),
        ("number of lessons", inputs.desired_lessons_count.is_none()),
        ("source documents", material.is_empty()),
    ];
    let missing: Vec<String> = open
        .iter()
        .filter(|(_, is_open)| *is_open)
        .map(|(name, _)| (*name).to_owned())
        .collect();
    // Each open question takes an equal share from what is known; the title alone is a fifth.
    let known = 100 - 80 * missing.len() / open.len();
    let audience = inputs.target_audience.clone().unwrap_or(topic.target_audience);
    Classification {
        course_category: CourseCategory {
            primary: topic.primary,
            confidence: 0.7,
            reasoning: topic.reasoning.clone(),
            secondary: None,
        },
        difficulty: topic.difficulty,
        contextual_language: motives,
        topic_analysis: TopicAnalysis {
            determined_topic: topic.determined_topic,
            information_completeness: u8::try_from(known).unwrap_or(100),
            complexity: topic.complexity,
            reasoning: topic.reasoning,
            target_audience: audience,
            missing_elements: missing,
            key_concepts: topic.key_concepts,
            domain_keywords: topic.domain_keywords,
        },
        pedagogical_patterns: PedagogicalPatterns {
            primary_strategy: inputs.style.description_en().to_owned(),
            theory_practice_ratio: topic.theory_practice_ratio,
            assessment_types: vec![
                "quiz".to_owned(),
                "practical exercise".to_owned(),
                "reflection".to_owned(),
            ],
            key_patterns: vec![
                "explain one idea, show it, let learners use it".to_owned(),
                "a quiz after every lesson".to_owned(),
                "exercises of different kinds".to_owned(),
            ],
        },
    }
}

/// The plan of a course whose areas have so many `lessons`.
fn scope(
    run: &Run,
    topic: &Subject,
    areas: Vec<String>,
    plans: Vec<AreaPlan>,
    lessons: impl Iterator<Item = usize>,
) -> RecommendedStructure {
    let minutes = run
        .inputs()
        .lesson_duration_minutes
        .unwrap_or(limits::LESSON_MINUTES_DEFAULT);
    let breakdown: Vec<SectionPlan> = areas
        .into_iter()
        .zip(plans)
        .zip(lessons)
        .zip(1u32..)
        .map(|(((area, plan), lessons), number)| SectionPlan {
            section_id: number.to_string(),
            area,
            estimated_lessons: u32::try_from(lessons).unwrap_or(u32::MAX),
            importance: if number <= 2 {
                Importance::Core
            } else {
                Importance::Important
            },
            learning_objectives: plan.learning_objectives,
            key_topics: plan.key_topics,
            pedagogical_approach: plan.pedagogical_approach,
            difficulty_progression: DifficultyProgression::Gradual,
            prerequisites: if number == 1 {
                Vec::new()
            } else {
                vec![(number - 1).to_string()]
            },
            estimated_duration_hours: 1.0,
        })
        .collect();
    let complexity = topic.complexity.as_str();
    let sections = breakdown.len();
    let lessons: u32 = breakdown.iter().map(|plan| plan.estimated_lessons).sum();
    RecommendedStructure {
        estimated_content_hours: 1.0,
        scope_reasoning: topic.reasoning.clone(),
        lesson_duration_minutes: minutes,
        calculation_explanation: format!(
            "A {complexity} topic in {sections} sections with {lessons} lessons of {minutes} minutes each."
        ),
        total_lessons: lessons,
        total_sections: u32::try_from(sections).unwrap_or(u32::MAX),
        scope_warning: None,
        sections_breakdown: breakdown,
    }
}

fn findings(expert: Expert) -> ExpertFindings {
    ExpertFindings {
        pedagogical_strategy: PedagogicalStrategy {
            teaching_style: expert.teaching_style,
            assessment_approach: expert.assessment_approach,
            practical_focus: expert.practical_focus,
            progression_logic: expert.progression_logic,
            interactivity_level: expert.interactivity_level,
        },
        expansion_areas: Vec::new(),
        research_flags: vec![ResearchFlag {
            topic: expert.changing_fact,
            reason: "A small model works from memory; what changes over time must be checked.".to_owned(),
            context: "whole course".to_owned(),
        }],
    }
}

fn synthesis(guidance: Guidance) -> Synthesis {
    Synthesis {
        generation_guidance: GenerationGuidance {
            tone: guidance.tone,
            use_analogies: true,
            specific_analogies: guidance.analogies,
            avoid_jargon: guidance.words_to_explain,
            include_visuals: guidance.pictures,
            exercise_types: json_names(),
            contextual_language_hints: guidance.address,
            real_world_examples: guidance.examples,
        },
        content_strategy: ContentStrategy::CreateFromScratch,
    }
}

fn json_names() -> Vec<String> {
    domain::structure::ExerciseType::ALL
        .iter()
        .map(|kind| kind.as_str().to_owned())
        .collect()
}
