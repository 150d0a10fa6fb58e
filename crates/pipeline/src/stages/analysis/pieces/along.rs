//! The analysis by a small model where the author's documents have a plan of their own.

use super::{
    AreaPlan, ContextualLanguage, Effort, Expert, Guidance, Phase, Phases, Subject, area_shape,
    classification, expert_shape, findings, guidance_shape, motives_shape, piece, scope, synthesis,
    topic_shape,
};
use crate::context::Run;
use crate::data;
use crate::error::PipelineError;
use crate::outline::OutlineSection;
use crate::vars::vars;

/// Topics of a section: its lessons' headings, and some of what stands under them.
const MOST_TOPICS: usize = 10;

/// All pieces, put together as phases: the documents' plan is followed, and the model words the rest.
///
/// # Errors
/// Whatever keeps a piece from being answered.
pub(super) async fn phases(run: &Run, outline: Vec<OutlineSection>) -> Result<Phases, PipelineError> {
    let course = data::course(run);
    let context = vars! { course, documents => data::documents(run).await? };
    let areas: Vec<&str> = outline.iter().map(|section| section.title.as_str()).collect();
    let with_areas = vars! { areas, ..context.clone() };
    let plans =
        futures::future::try_join_all(outline.iter().zip(1u32..).map(|(section, number)| {
            let lessons: Vec<&str> = section
                .lessons
                .iter()
                .map(|lesson| lesson.title.as_str())
                .collect();
            let section = vars! { number, title => section.title, lessons };
            let context = vars! { section, ..context.clone() };
            async move {
                piece::<AreaPlan>(run, "scope.area", number, "small_area", context, area_shape(run)).await
            }
        }));
    let (topic, motives, plans, expert, guidance) = tokio::try_join!(
        piece::<Subject>(
            run,
            "classification.topic",
            0,
            "small_topic",
            context.clone(),
            topic_shape(run)
        ),
        piece::<ContextualLanguage>(
            run,
            "classification.context",
            0,
            "small_context",
            context.clone(),
            motives_shape(run),
        ),
        plans,
        piece::<Expert>(
            run,
            "expert",
            0,
            "small_expert",
            with_areas.clone(),
            expert_shape(run)
        ),
        piece::<Guidance>(
            run,
            "synthesis",
            0,
            "small_synthesis",
            with_areas.clone(),
            guidance_shape(run)
        ),
    )?;
    let (topic, mut classification_effort) = topic;
    let (motives, effort) = motives;
    classification_effort.add(&effort);
    let mut scope_effort = Effort::default();
    let mut followed = Vec::new();
    for (section, (plan, effort)) in outline.iter().zip(plans) {
        scope_effort.add(&effort);
        let headings = section.lessons.iter().flat_map(|lesson| {
            std::iter::once(lesson.title.clone()).chain(lesson.parts.iter().take(1).cloned())
        });
        let mut topics: Vec<String> = headings.collect();
        // What the model proposes fills up a short outline.
        topics.extend(plan.key_topics);
        topics.truncate(MOST_TOPICS.max(section.lessons.len()));
        followed.push(AreaPlan {
            key_topics: topics,
            ..plan
        });
    }
    let areas = outline.iter().map(|section| section.title.clone()).collect();
    let lessons = outline.iter().map(|section| section.lessons.len());
    let mut scope = scope(run, &topic, areas, followed, lessons);
    scope.calculation_explanation = format!(
        "The author's documents have {} parts with {} headings that teach; each heading is a lesson.",
        outline.len(),
        outline.iter().map(|section| section.lessons.len()).sum::<usize>()
    );
    let material = run.material().await?;
    let classification = classification(run, material, topic, motives);
    Ok(Phases {
        classification: Phase::of(classification, classification_effort),
        scope: Phase::of(scope, scope_effort),
        expert: Phase::of(findings(expert.0), expert.1),
        synthesis: Phase::of(synthesis(guidance.0), guidance.1),
    })
}
