//! The content ladder (generation 3.4).

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use domain::generation::{GenerationScope, GenerationStatus, failure_ru};
use domain::id::{CourseId, GenerationId};
use domain::lesson::LessonStatus;
use llm::card::Granularity;
use llm::error::ProviderError;
use llm::provider::scripted::{Script, Scripted, ScriptedReply};
use llm::request::{Request, Role};
use serde_json::Value;

use crate::world::{World, obliging, question, request};

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

/// The answer that a script gives, changed.
fn changed(
    script: &Script,
    change: impl Fn(&Request, String) -> ScriptedReply + Send + Sync + 'static,
) -> Script {
    let script = Arc::clone(script);
    Arc::new(
        move |request: &Request, call: usize| match script(request, call).outcome {
            Ok(answer) => change(request, answer.text),
            Err(error) => ScriptedReply::error(error),
        },
    )
}

/// The name of the shape that is asked for; empty for free text.
fn shape(request: &Request) -> &str {
    request.schema.as_ref().map_or("", |schema| schema.name.as_str())
}

/// Whether lesson `number` is asked for, in whole or in part.
fn is_lesson(request: &Request, number: u32) -> bool {
    question(request).contains(&format!("<lesson number=\"{number}\">"))
}

fn is_any_lesson(request: &Request) -> bool {
    (1..=10).any(|number| is_lesson(request, number))
}

/// Says "TODO" in the introduction of lesson 2, however it is asked.
fn stubborn() -> Script {
    changed(&obliging(), |request, text| {
        let mut answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if is_lesson(request, 2) {
            for (key, value) in answer.as_object_mut().into_iter().flatten() {
                if key.contains("introduction") {
                    *value = "TODO".into();
                }
            }
        }
        ScriptedReply::text(answer.to_string())
    })
}

async fn made(world: &World, script: Script) -> (CourseId, GenerationId, Arc<Scripted>) {
    let desk = world.desk(Granularity::Section, script);
    let course = world.insert(&request()).await;
    let generation = world.start(course, GenerationScope::Whole).await.unwrap();
    world.run(&desk, generation).await.unwrap();
    (course, generation, desk.model)
}

async fn statuses(world: &World, course: CourseId) -> Vec<LessonStatus> {
    let lessons = world.lessons(course).await;
    lessons.into_iter().map(|lesson| lesson.status).collect()
}

#[tokio::test]
async fn lesson_that_breaks_a_rule_for_ever_is_kept_for_review_and_only_it_is_tried_again() {
    let world = World::new().await;
    let (course, generation, model) = made(&world, stubborn()).await;
    let mut expected = vec![LessonStatus::Completed; 10];
    expected[1] = LessonStatus::NeedsReview;
    assert_eq!(statuses(&world, course).await, expected);
    let content = world.lessons(course).await[1].content.clone().unwrap();
    assert!(
        content
            .quality
            .checks
            .iter()
            .any(|check| check.name == "placeholder")
    );
    let asked = model.requests();
    assert_eq!(asked.iter().filter(|request| is_lesson(request, 2)).count(), 10);
    // One field is asked for before the whole.
    let second = asked
        .iter()
        .filter(|request| is_lesson(request, 2))
        .nth(1)
        .unwrap();
    assert_eq!(shape(second), "lesson_fields");
    assert!(question(second).contains("field_1_introduction = /introduction"));

    world.resume(generation).await.unwrap();
    let desk = world.desk(Granularity::Section, obliging());
    world.run(&desk, generation).await.unwrap();
    assert_eq!(statuses(&world, course).await, [LessonStatus::Completed; 10]);
    let asked = desk.model.requests();
    assert_eq!(asked.len(), 1);
    assert!(is_lesson(&asked[0], 2));
    assert!(
        world.resume(generation).await.is_err(),
        "nothing is open any more"
    );
}

#[tokio::test]
async fn lesson_that_models_decline_leaves_the_others_alone() {
    let world = World::new().await;
    let declining = changed(&obliging(), |request, text| {
        if is_lesson(request, 4) {
            let message = "the content policy".to_owned();
            ScriptedReply::error(ProviderError::Filtered { message })
        } else {
            ScriptedReply::text(text)
        }
    });
    let (course, generation, _) = made(&world, declining).await;
    let mut expected = vec![LessonStatus::Completed; 10];
    expected[3] = LessonStatus::Failed;
    assert_eq!(statuses(&world, course).await, expected);
    assert!(
        world.lessons(course).await[3]
            .failure
            .as_deref()
            .unwrap()
            .contains("decline")
    );
    assert_eq!(
        world.generation(generation).await.status,
        GenerationStatus::Completed
    );

    world.resume(generation).await.unwrap();
    let desk = world.desk(Granularity::Section, obliging());
    world.run(&desk, generation).await.unwrap();
    assert_eq!(statuses(&world, course).await, [LessonStatus::Completed; 10]);
    assert_eq!(desk.model.requests().len(), 1);
    assert_eq!(world.lessons(course).await[3].failure, None);
}

#[tokio::test]
async fn what_was_paid_for_before_a_refusal_is_not_asked_for_again() {
    let world = World::new().await;
    let refusing = changed(&obliging(), |request, text| {
        if is_lesson(request, 6) {
            let message = "no credit".to_owned();
            ScriptedReply::error(ProviderError::NoCredit { message })
        } else {
            ScriptedReply::text(text)
        }
    });
    let desk = world.desk(Granularity::Section, refusing);
    let course = world.insert(&request()).await;
    let generation = world.start(course, GenerationScope::Whole).await.unwrap();
    let error = world.run(&desk, generation).await.unwrap_err();
    assert_eq!(error.code(), "PROVIDER_ERROR");
    let written = |statuses: Vec<LessonStatus>| {
        let good = statuses
            .into_iter()
            .filter(|status| *status == LessonStatus::Completed);
        good.count()
    };
    let before = written(statuses(&world, course).await);
    let answered = desk
        .model
        .requests()
        .iter()
        .filter(|request| is_any_lesson(request))
        .count()
        - 1;
    assert_eq!(before, answered, "every answer became a lesson");

    world.resume(generation).await.unwrap();
    let desk = world.desk(Granularity::Section, obliging());
    world.run(&desk, generation).await.unwrap();
    assert_eq!(written(statuses(&world, course).await), 10);
    assert_eq!(desk.model.requests().len(), 10 - before);
}

#[tokio::test]
async fn missing_field_is_asked_for_alone_and_inserted() {
    let world = World::new().await;
    let forgetful = changed(&obliging(), |request, text| {
        let mut answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if shape(request) == "classification" {
            answer.as_object_mut().unwrap().remove("topic_analysis");
        }
        ScriptedReply::text(answer.to_string())
    });
    let (_, _, model) = made(&world, forgetful).await;
    let asked = model.requests();
    let names: Vec<&str> = asked
        .iter()
        .map(shape)
        .filter(|name| name.starts_with("classification"))
        .collect();
    assert_eq!(names, ["classification", "classification_fields"]);
    let fields = asked
        .iter()
        .find(|request| shape(request) == "classification_fields")
        .unwrap();
    let keys = &fields.schema.as_ref().unwrap().schema["required"];
    assert_eq!(*keys, serde_json::json!(["field_1_topic_analysis"]));
}

#[tokio::test]
async fn speakers_alternate_in_every_manner_of_asking() {
    let world = World::new().await;
    let count = AtomicUsize::new(0);
    let script = changed(&obliging(), move |request, text| {
        let call = count.fetch_add(1, Ordering::Relaxed);
        match shape(request) {
            // Unreadable, cut, and of the wrong shape in turn.
            "lesson" | "lesson_fields" | "section" => match call % 4 {
                0 => ScriptedReply::text("I would rather not."),
                1 => ScriptedReply::text(&text[..text.len() / 2]).cut(),
                2 => ScriptedReply::text("{\"quiz\": 3}"),
                _ => ScriptedReply::text(text),
            },
            _ => ScriptedReply::text(text),
        }
    });
    let (_, _, model) = made(&world, script).await;
    for request in model.requests() {
        let turns: Vec<Role> = request
            .messages
            .iter()
            .map(|message| message.role)
            .filter(|role| *role != Role::System)
            .collect();
        assert_eq!(turns.first(), Some(&Role::User));
        assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "{turns:?}");
    }
}

/// Cuts every answer to a question of this kind after so many bytes, and goes on where it stopped when it is asked to.
fn cutting(is_cut: fn(&Request) -> bool, bytes: usize) -> Script {
    let said: Mutex<Vec<String>> = Mutex::default();
    let obliging = obliging();
    Arc::new(move |request: &Request, call: usize| {
        let mut said = said.lock().unwrap();
        let begun = request
            .messages
            .iter()
            .rev()
            .find(|message| message.role == Role::Assistant);
        let going_on = begun.filter(|_| request.schema.is_none()).and_then(|begun| {
            let whole = said.iter().find(|whole| whole.starts_with(&begun.content));
            whole.map(|whole| whole[begun.content.len()..].to_owned())
        });
        let text = going_on.unwrap_or_else(|| {
            let answer = obliging(request, call).outcome.unwrap();
            said.push(answer.text.clone());
            answer.text
        });
        if is_cut(request) && text.len() > bytes {
            let end = (0..=bytes).rev().find(|&end| text.is_char_boundary(end)).unwrap();
            ScriptedReply::text(&text[..end]).cut()
        } else {
            ScriptedReply::text(text)
        }
    })
}

#[tokio::test]
async fn cut_answers_are_gone_on_with_until_they_are_whole() {
    for bytes in [1500, 6000] {
        let world = World::new().await;
        let (course, _, model) = made(&world, cutting(|_| true, bytes)).await;
        assert_eq!(statuses(&world, course).await, [LessonStatus::Completed; 10]);
        // Nothing was asked for twice: all further calls are rests.
        let asked = model.requests();
        let whole = asked.iter().filter(|request| shape(request) == "lesson").count();
        assert_eq!(whole, 10, "{bytes}");
        assert!(asked.iter().all(|request| !shape(request).ends_with("_fields")));
    }
}

#[tokio::test]
async fn what_a_server_never_lets_end_is_asked_for_in_smaller_parts() {
    for bytes in [1500, 6000] {
        let world = World::new().await;
        let capped = changed(&obliging(), move |request, text| {
            if request.schema.is_none() {
                ScriptedReply::text("I have nothing to add.")
            } else if text.len() > bytes {
                let end = (0..=bytes).rev().find(|&end| text.is_char_boundary(end)).unwrap();
                ScriptedReply::text(&text[..end]).cut()
            } else {
                ScriptedReply::text(text)
            }
        });
        let (course, _, _) = made(&world, capped).await;
        for lesson in world.lessons(course).await {
            assert_eq!(lesson.status, LessonStatus::Completed, "{bytes}: {lesson:?}");
            let content = lesson.content.unwrap();
            assert!(content.exercises.len() >= 3 && content.quiz.len() >= 3);
            assert!(!content.summary.is_empty());
        }
    }
}

#[tokio::test]
async fn answer_that_lost_its_end_without_a_word_is_completed() {
    let world = World::new().await;
    let count = AtomicUsize::new(0);
    let script = changed(&obliging(), move |_, text| {
        let call = count.fetch_add(1, Ordering::Relaxed);
        let end = (0..=text.len() * 7 / 10)
            .rev()
            .find(|&end| text.is_char_boundary(end))
            .unwrap();
        ScriptedReply::text(if call.is_multiple_of(3) {
            &text[..end]
        } else {
            &text
        })
    });
    let (course, _, _) = made(&world, script).await;
    assert_eq!(statuses(&world, course).await, [LessonStatus::Completed; 10]);
}
