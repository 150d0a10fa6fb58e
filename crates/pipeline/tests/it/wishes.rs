//! The author's numbers are guidance: followed where the model can (data model 2.4, "Conflicts").

use std::sync::Arc;

use domain::course::CourseRequest;
use domain::generation::GenerationScope;
use llm::card::Granularity;
use llm::provider::scripted::{Script, ScriptedReply};
use llm::request::Request;
use serde_json::{Value, json};

use crate::world::{World, obliging, question, request};

/// Plans three sections, however many are asked for.
fn stubborn() -> Script {
    let answers = obliging();
    Arc::new(move |request: &Request, call: usize| {
        let reply = answers(request, call);
        let planned = reply.outcome.as_ref().ok().and_then(|answer| {
            let mut plan: Value = serde_json::from_str(&answer.text).ok()?;
            // Where only what is wrong is asked for, the sections stand in a field of another name.
            let lists = plan.as_object_mut()?.values_mut().filter_map(Value::as_array_mut);
            let sections = lists
                .into_iter()
                .find(|list| list.first().is_some_and(|first| first["area"].is_string()))?;
            let first = sections.first()?.clone();
            *sections = (1..=3).map(|number| part(&first, number)).collect();
            Some(ScriptedReply::text(plan.to_string()))
        });
        planned.unwrap_or(reply)
    })
}

fn part(section: &Value, number: u32) -> Value {
    let mut section = section.clone();
    section["section_id"] = json!(number.to_string());
    section["area"] = json!(format!("Honey and wax, part {number}"));
    section["prerequisites"] = json!([]);
    section
}

#[tokio::test]
async fn course_has_as_many_sections_as_its_author_wishes() {
    let world = World::new().await;
    for granularity in [Granularity::Section, Granularity::Small] {
        let desk = world.desk(granularity, obliging());
        let course = world
            .insert(&CourseRequest {
                desired_modules_count: Some(2),
                ..request()
            })
            .await;
        let generation = world.start(course, GenerationScope::Whole).await.unwrap();
        world.run(&desk, generation).await.unwrap();
        let structure = world.course(course).await.structure.unwrap();
        assert_eq!(structure.sections.len(), 2, "{granularity:?}");
        assert_eq!(structure.lesson_count(), 10, "{granularity:?}");
    }
}

#[tokio::test]
async fn wish_for_sections_is_in_the_question_and_its_shape_and_gives_way_to_a_plan_that_is_sound() {
    let world = World::new().await;
    let desk = world.desk(Granularity::Section, stubborn());
    let course = world
        .insert(&CourseRequest {
            desired_modules_count: Some(2),
            ..request()
        })
        .await;
    let generation = world.start(course, GenerationScope::Whole).await.unwrap();
    world.run(&desk, generation).await.unwrap();
    let plans: Vec<Request> = desk
        .model
        .requests()
        .into_iter()
        .filter(|request| {
            request
                .schema
                .as_ref()
                .is_some_and(|schema| schema.name.starts_with("scope"))
        })
        .collect();
    let first = &plans[0].schema.as_ref().unwrap().schema["properties"]["sections_breakdown"];
    assert_eq!((&first["minItems"], &first["maxItems"]), (&json!(2), &json!(2)));
    assert!(
        question(&plans[0]).contains("exactly 2 areas"),
        "{}",
        question(&plans[0])
    );
    // Five attempts at the wished number, then one without it.
    assert_eq!(plans.len(), 6);
    let course = world.course(course).await;
    assert_eq!(course.structure.unwrap().sections.len(), 3);
    let conflicts = course.analysis.unwrap().conflicts;
    let sections = conflicts
        .iter()
        .find(|conflict| conflict.subject == "sections")
        .unwrap();
    assert_eq!((sections.wished, sections.used), (2, 3));
}
