//! Going on after the end of a generation: what is asked again, and what is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::generation::{GenerationScope, GenerationStatus};
use domain::id::{CourseId, GenerationId};
use domain::lesson::{LessonContent, LessonStatus};
use llm::card::Granularity;
use llm::error::ProviderError;
use llm::provider::scripted::{Script, Scripted, ScriptedReply};
use llm::request::Request;
use serde_json::Value;

use crate::world::{World, obliging, question, request};

/// Transport tries of one attempt.
const TRIES: usize = 3;

fn shape(request: &Request) -> &str {
    request.schema.as_ref().map_or("", |schema| schema.name.as_str())
}

fn is_lesson(request: &Request, number: u32) -> bool {
    question(request).contains(&format!("<lesson number=\"{number}\">"))
}

fn declined() -> ScriptedReply {
    ScriptedReply::error(ProviderError::Filtered {
        message: "the content policy".to_owned(),
    })
}

/// The obliging script, but for questions that `other` answers.
fn but(other: impl Fn(&Request) -> Option<ScriptedReply> + Send + Sync + 'static) -> Script {
    let script = obliging();
    Arc::new(move |request: &Request, call: usize| other(request).unwrap_or_else(|| script(request, call)))
}

/// Says "TODO" in these fields of a lesson, however it is asked.
fn with_placeholders(number: u32, fields: &'static [&'static str]) -> Script {
    let script = obliging();
    Arc::new(move |request: &Request, call: usize| {
        let reply = script(request, call);
        let (true, Ok(answer)) = (is_lesson(request, number), &reply.outcome) else {
            return reply;
        };
        let mut answer: Value = serde_json::from_str(&answer.text).unwrap_or(Value::Null);
        for (key, value) in answer.as_object_mut().into_iter().flatten() {
            if fields.iter().any(|field| key.contains(field)) {
                *value = "TODO".into();
            }
        }
        ScriptedReply::text(answer.to_string())
    })
}

async fn run(
    world: &World,
    granularity: Granularity,
    generation: GenerationId,
    script: Script,
) -> Arc<Scripted> {
    let desk = world.desk(granularity, script);
    world.run(&desk, generation).await.unwrap();
    desk.model
}

async fn start_whole(world: &World) -> (CourseId, GenerationId) {
    let course = world.insert(&request()).await;
    let generation = world.start(course, GenerationScope::Whole).await.unwrap();
    (course, generation)
}

async fn text(world: &World, course: CourseId, number: usize) -> (LessonStatus, LessonContent) {
    let lesson = world.lessons(course).await.swap_remove(number - 1);
    (lesson.status, lesson.content.unwrap())
}

#[tokio::test]
async fn answer_behind_a_declined_attempt_is_not_paid_for_twice() {
    let world = World::new().await;
    let (_, generation) = start_whole(&world).await;
    let asked = AtomicUsize::new(0);
    let desk = world.desk(
        Granularity::Section,
        but(move |request| match shape(request) {
            "classification" => (asked.fetch_add(1, Ordering::Relaxed) < TRIES).then(declined),
            "scope" => Some(ScriptedReply::error(ProviderError::NoCredit {
                message: "empty".to_owned(),
            })),
            _ => None,
        }),
    );
    world.run(&desk, generation).await.unwrap_err();
    let count = |model: &Scripted| {
        let asked = model.requests();
        asked
            .iter()
            .filter(|request| shape(request) == "classification")
            .count()
    };
    assert_eq!(count(&desk.model), TRIES + 1);
    world.resume(generation).await.unwrap();
    let model = run(&world, Granularity::Section, generation, obliging()).await;
    assert_eq!(count(&model), 0);
}

#[tokio::test]
async fn lesson_that_fails_again_takes_nothing_from_a_course_in_which_another_was_made_anew() {
    let world = World::new().await;
    let declining = || but(|request| is_lesson(request, 7).then(declined));
    let (course, whole) = start_whole(&world).await;
    run(&world, Granularity::Section, whole, declining()).await;
    let lesson = |number| GenerationScope::Lesson {
        number,
        also: Vec::new(),
        instruction: None,
    };
    let third = world.start(course, lesson(3)).await.unwrap();
    run(&world, Granularity::Section, third, obliging()).await;
    assert_eq!(world.lessons(course).await[6].status, LessonStatus::Failed);

    world.resume(third).await.unwrap();
    let progress = world.course(course).await.progress;
    assert_eq!((progress.current_step, progress.percentage), (4, 70));
    let model = run(&world, Granularity::Section, third, declining()).await;
    assert!(model.requests().iter().all(|request| is_lesson(request, 7)));
    assert_eq!(world.generation(third).await.status, GenerationStatus::Completed);
    let lessons = world.lessons(course).await;
    assert_eq!(lessons[6].status, LessonStatus::Failed);
    assert_eq!(lessons[2].status, LessonStatus::Completed);

    // Asked for by name, it is all that was wanted.
    let seventh = world.start(course, lesson(7)).await.unwrap();
    let desk = world.desk(Granularity::Section, declining());
    world.run(&desk, seventh).await.unwrap_err();
}

#[tokio::test]
async fn doubtful_text_gives_way_to_a_better_one_only_and_knows_no_wish_for_others() {
    let world = World::new().await;
    let (course, whole) = start_whole(&world).await;
    run(
        &world,
        Granularity::Section,
        whole,
        with_placeholders(2, &["introduction"]),
    )
    .await;
    let before = text(&world, course, 2).await;
    assert_eq!(before.0, LessonStatus::NeedsReview);
    let section = GenerationScope::Section {
        number: 2,
        instruction: Some("For children.".to_owned()),
    };
    let second = world.start(course, section).await.unwrap();
    run(&world, Granularity::Section, second, obliging()).await;
    assert_eq!(text(&world, course, 2).await, before);

    world.resume(second).await.unwrap();
    let worse = with_placeholders(2, &["introduction", "summary"]);
    let model = run(&world, Granularity::Section, second, worse).await;
    let asked = model.requests();
    assert!(asked.iter().all(|request| is_lesson(request, 2)));
    assert!(
        !asked
            .iter()
            .any(|request| question(request).contains("For children."))
    );
    assert_eq!(text(&world, course, 2).await, before);

    world.resume(second).await.unwrap();
    run(&world, Granularity::Section, second, obliging()).await;
    assert_eq!(text(&world, course, 2).await.0, LessonStatus::Completed);
}
