//! The analysis by a large model: one call a phase.

use domain::analysis::{Classification, ExpertFindings, RecommendedStructure, Synthesis};
use domain::stage::Stage;
use domain::validation::analysis::{validate_classification, validate_scope};
use domain::validation::{Finding, Rule, Severity};
use llm::route::Work;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Phase, Phases};
use crate::context::Run;
use crate::data;
use crate::engine::{Check, Question};
use crate::error::PipelineError;
use crate::vars::vars;
use crate::{quality, schema};

/// Tokens of the longest answer of a phase: a plan of fifty sections fits.
const PHASE_OUTPUT_TOKENS: u32 = 12_000;

/// Asks phase by phase.
///
/// # Errors
/// Whatever keeps a phase from being answered.
pub(crate) async fn phases(run: &Run) -> Result<Phases, PipelineError> {
    let course = data::course(run);
    let context = vars! { course };
    let sound: Check<'_> = Box::new(
        |value| match serde_json::from_value::<Classification>(value.clone()) {
            Ok(classification) => validate_classification(&classification, &run.rules()),
            Err(error) => vec![Finding::new(Rule::Count, Severity::Error, "", error.to_string())],
        },
    );
    let classification: Phase<Classification> = phase(
        run,
        "classification",
        "analysis_classification",
        context,
        Some(sound),
    )
    .await?;
    // Recorded, not enforced: a short title says too little to fail a course for.
    let classification = Phase {
        similarity: Some(topic_similarity(run, &classification.result).await?),
        ..classification
    };
    let analysis = data::classification(&classification.result);
    let context = vars! { course, analysis };
    let check: Check<'_> =
        Box::new(
            |value| match serde_json::from_value::<RecommendedStructure>(value.clone()) {
                Ok(structure) => validate_scope(&with_own_sums(structure), &run.rules()),
                Err(error) => vec![Finding::new(Rule::Count, Severity::Error, "", error.to_string())],
            },
        );
    let scope: Phase<RecommendedStructure> =
        phase(run, "scope", "analysis_scope", context, Some(check)).await?;
    let analysis = data::scope(&classification.result, &scope.result);
    let context = vars! { course, analysis };
    let expert: Phase<ExpertFindings> = phase(run, "expert", "analysis_expert", context, None).await?;
    let analysis = data::expert(&classification.result, &scope.result, &expert.result);
    let context = vars! { course, analysis };
    let synthesis: Phase<Synthesis> = phase(run, "synthesis", "analysis_synthesis", context, None).await?;
    Ok(Phases {
        classification,
        scope,
        expert,
        synthesis,
    })
}

/// How close the topic and its concepts are to the title.
async fn topic_similarity(run: &Run, classification: &Classification) -> Result<f64, PipelineError> {
    let topic = &classification.topic_analysis;
    let found = format!("{} {}", topic.determined_topic, topic.key_concepts.join(" "));
    quality::similarity(run, &run.inputs().title, &found).await
}

/// The plan with sums of ours: a model that adds up wrongly need not be asked again.
fn with_own_sums(mut structure: RecommendedStructure) -> RecommendedStructure {
    let sections = &structure.sections_breakdown;
    structure.total_lessons = sections.iter().map(|plan| plan.estimated_lessons).sum();
    structure.total_sections = u32::try_from(sections.len()).unwrap_or(u32::MAX);
    structure
}

async fn phase<T: JsonSchema + DeserializeOwned>(
    run: &Run,
    phase: &'static str,
    prompt: &str,
    data: minijinja::Value,
    check: Option<Check<'_>>,
) -> Result<Phase<T>, PipelineError> {
    let question = Question {
        stage: Stage::Analysis,
        phase: phase.to_owned(),
        batch: 0,
        work: Work::Analysis,
        complexity: None,
        prompt: run.prompts().render(prompt, &data)?,
        hint: None,
        shape: phase,
        schema: schema::of::<T>(),
        max_output_tokens: PHASE_OUTPUT_TOKENS,
        temperature: None,
        check,
        gate: None,
    };
    let answer = run.ask(question).await?;
    let result = serde_json::from_value(answer.value).map_err(|cause| PipelineError::Shape {
        what: format!("the analysis phase {phase}"),
        cause,
    })?;
    Ok(Phase {
        result,
        effort: answer.effort,
        similarity: answer.similarity,
    })
}
