//! The analysis by a large model: one call a phase.

use domain::analysis::{Classification, ExpertFindings, RecommendedStructure, Synthesis};
use domain::stage::Stage;
use domain::validation::analysis::{validate_classification, validate_scope};
use domain::validation::{Finding, Rule, Severity};
use llm::route::Work;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Phase, Phases};
use crate::attempts::Patience;
use crate::context::Run;
use crate::data;
use crate::engine::{Check, Mend, Question};
use crate::error::PipelineError;
use crate::vars::vars;
use crate::{quality, schema};

/// Tokens of the longest answer of a phase: a plan of fifty sections fits.
const PHASE_OUTPUT_TOKENS: u32 = 12_000;
/// Tokens of one section of a plan where the number of sections is given: texts in Russian fit.
const PLAN_TOKENS_A_SECTION: u32 = 400;

/// Asks phase by phase.
///
/// # Errors
/// Whatever keeps a phase from being answered.
pub(crate) async fn phases(run: &Run) -> Result<Phases, PipelineError> {
    let course = data::course(run);
    let documents = data::documents(run).await?;
    let outlines = data::document_outlines(run).await?;
    let context = vars! { course, documents };
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
        Form {
            mend: Some(Box::new(mend_shares)),
            check: Some(sound),
            ..Form::of::<Classification>()
        },
    )
    .await?;
    // Recorded, not enforced: a short title says too little to fail a course for.
    let classification = Phase {
        similarity: Some(topic_similarity(run, &classification.result).await?),
        ..classification
    };
    let analysis = data::classification(&classification.result);
    let context = vars! { course, documents, analysis };
    let scope = scope(run, &context).await?;
    let analysis = data::scope(&classification.result, &scope.result);
    let context = vars! { course, documents => outlines, analysis };
    let form = Form::of::<ExpertFindings>();
    let expert: Phase<ExpertFindings> = phase(run, "expert", "analysis_expert", context, form).await?;
    let analysis = data::expert(&classification.result, &scope.result, &expert.result);
    let context = vars! { course, documents => outlines, analysis };
    let form = Form::of::<Synthesis>();
    let synthesis: Phase<Synthesis> = phase(run, "synthesis", "analysis_synthesis", context, form).await?;
    Ok(Phases {
        classification,
        scope,
        expert,
        synthesis,
    })
}

/// The plan, with as many sections as the user wishes. If the model gives no sound plan of that number, its own
/// recommendation stands (data model 2.4, "Conflicts").
async fn scope(run: &Run, context: &minijinja::Value) -> Result<Phase<RecommendedStructure>, PipelineError> {
    let wished = super::sections_wished(run.inputs());
    if let Some(sections) = wished {
        match planned(run, context, Some(sections)).await {
            Err(PipelineError::Unusable { problem, .. }) => {
                tracing::warn!(sections, problem, "no plan with the wished number of sections");
            }
            outcome => return outcome,
        }
    }
    planned(run, context, None).await
}

/// A plan of so many sections; `None`: as many as the model finds right.
async fn planned(
    run: &Run,
    context: &minijinja::Value,
    sections: Option<u32>,
) -> Result<Phase<RecommendedStructure>, PipelineError> {
    let check: Check<'_> =
        Box::new(
            |value| match serde_json::from_value::<RecommendedStructure>(value.clone()) {
                Ok(structure) => validate_scope(&with_own_sums(structure), &run.rules()),
                Err(error) => vec![Finding::new(Rule::Count, Severity::Error, "", error.to_string())],
            },
        );
    let mut form = Form {
        check: Some(check),
        ..Form::of::<RecommendedStructure>()
    };
    if let Some(sections) = sections {
        form.schema["properties"]["sections_breakdown"]["minItems"] = sections.into();
        form.schema["properties"]["sections_breakdown"]["maxItems"] = sections.into();
        form.max_output_tokens = PHASE_OUTPUT_TOKENS.max(sections.saturating_mul(PLAN_TOKENS_A_SECTION));
        // Without the wish there is still a plan to be had.
        form.patience = Patience::WhileModelsDiffer;
    }
    let context = vars! { sections, ..context.clone() };
    phase(run, "scope", "analysis_scope", context, form).await
}

/// Brings the shares of theory and practice to percent: "2:1" and "60/40" say clearly what is meant.
fn mend_shares(classification: &mut serde_json::Value) {
    let Some(ratio) = classification.pointer_mut("/pedagogical_patterns/theory_practice_ratio") else {
        return;
    };
    let numbers = |text: &str| -> Vec<u64> {
        let digits = text.split(|letter: char| !letter.is_ascii_digit());
        digits.filter_map(|number| number.parse().ok()).collect()
    };
    let shares = ratio.as_str().map(numbers).unwrap_or_default();
    if let [theory, practice] = shares[..]
        && let Some(sum) = theory.checked_add(practice).filter(|&sum| sum > 0)
        && let Some(percent) = theory.checked_mul(100).map(|share| (share + sum / 2) / sum)
    {
        *ratio = format!("{percent}:{}", 100 - percent).into();
    }
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

/// What the answer of a phase must be like.
struct Form<'a> {
    schema: serde_json::Value,
    mend: Option<Mend<'a>>,
    check: Option<Check<'a>>,
    max_output_tokens: u32,
    patience: Patience,
}

impl Form<'_> {
    /// The shape of `T` and nothing beyond.
    fn of<T: JsonSchema>() -> Self {
        Self {
            schema: schema::of::<T>(),
            mend: None,
            check: None,
            max_output_tokens: PHASE_OUTPUT_TOKENS,
            patience: Patience::AllAttempts,
        }
    }
}

async fn phase<T: DeserializeOwned>(
    run: &Run,
    phase: &'static str,
    prompt: &str,
    data: minijinja::Value,
    form: Form<'_>,
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
        schema: form.schema,
        max_output_tokens: form.max_output_tokens,
        temperature: None,
        mend: form.mend,
        check: form.check,
        gate: None,
        ignores_earlier_rounds: false,
        patience: form.patience,
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shares_are_brought_to_percent() {
        let check = |ratio: &str, expected: &str| {
            let mut answer = json!({ "pedagogical_patterns": { "theory_practice_ratio": ratio } });
            mend_shares(&mut answer);
            assert_eq!(answer["pedagogical_patterns"]["theory_practice_ratio"], expected);
        };
        check("30:70", "30:70");
        check("60/40", "60:40");
        check("2:1", "67:33");
        check("40% theory, 60% practice", "40:60");
        check("0:0", "0:0");
        check("more practice", "more practice");
    }
}
