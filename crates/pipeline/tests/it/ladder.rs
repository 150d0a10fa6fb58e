//! The content ladder (generation 3.4).

use std::collections::HashSet;

use domain::generation::{GenerationScope, GenerationStatus, failure_ru};
use llm::card::Granularity;
use llm::provider::scripted::{Scripted, ScriptedReply};

use crate::world::{World, request};

#[tokio::test]
async fn only_model_of_a_route_is_asked_ten_times_each_time_in_another_way() {
    let world = World::new().await;
    let nonsense = std::sync::Arc::new(|_: &llm::request::Request, _: usize| {
        ScriptedReply::text("I would rather talk about the weather.")
    });
    let desk = world.desk(Granularity::Section, nonsense);
    let course = world.insert(&request()).await;
    let generation = world.start(course, GenerationScope::Whole).await.unwrap();
    let error = world.run(&desk, generation).await.unwrap_err();
    assert_eq!(error.code(), "LLM_ERROR");
    let asked = requests(&desk.model);
    assert_eq!(asked.len(), 10);
    assert_eq!(asked.iter().collect::<HashSet<_>>().len(), 10, "{asked:?}");
    let generation = world.generation(generation).await;
    assert_eq!(generation.status, GenerationStatus::Failed);
    // Owners read a sentence; what happened is for admins.
    let failure = generation.failure.unwrap();
    assert_eq!(failure.code, "LLM_ERROR");
    assert_eq!(failure.message, failure_ru("LLM_ERROR"));
    let causes = world.causes(course).await;
    assert!(causes[0].starts_with(&error.to_string()), "{causes:?}");
    let step = &world.course(course).await.progress.steps[1];
    let told = step.error.as_deref();
    assert!(told.is_none_or(|told| told == failure.message), "{told:?}");
}

/// Seed and temperature (in hundredths) of every question.
fn requests(model: &Scripted) -> Vec<(Option<u64>, String)> {
    model
        .requests()
        .into_iter()
        .map(|request| {
            let sampling = request.sampling;
            (sampling.seed, format!("{:.2}", sampling.temperature))
        })
        .collect()
}
