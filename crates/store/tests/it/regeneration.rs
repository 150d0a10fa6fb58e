//! A section made anew while somebody changes another (generation 3.6).

use domain::generation::GenerationScope;
use domain::stage::Stage;
use domain::structure::CourseStructure;
use store::generation::lifecycle::{self, FinishedStage, NewGeneration, NextStep, StageResult};

use crate::world::{World, new_generation, structure};

/// Two sections of five lessons.
fn two_sections() -> CourseStructure {
    let mut course = structure(5);
    course.sections.push(course.sections[0].clone());
    for (section, number) in course.sections.iter_mut().zip(1..) {
        section.section_title = format!("Part {number}");
        for (lesson, place) in section.lessons.iter_mut().zip(1..) {
            lesson.lesson_title = format!("Lesson {place} of part {number}");
        }
    }
    course.renumber();
    course
}

async fn store_structure(world: &World, structure: &CourseStructure) {
    sqlx::query("update courses set course_structure = $1")
        .bind(serde_json::to_value(structure).unwrap())
        .execute(&mut world.superuser().await)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_was_changed_elsewhere_meanwhile_stays() {
    let world = World::new().await;
    let course = world.course("Rust for beginners").await.id;
    store_structure(&world, &two_sections()).await;
    let new = NewGeneration {
        scope: GenerationScope::Section {
            number: 1,
            instruction: None,
        },
        ..new_generation(course)
    };
    world
        .store()
        .with_tenant(&world.owner, async |tx| {
            lifecycle::start_generation(tx, &new).await
        })
        .await
        .unwrap();
    let claimed = world.claim(&world.worker().await).await.unwrap();
    assert_eq!(claimed.job.stage, Stage::Structure);
    world.begin(&claimed).await;

    // What the stage makes of the structure that it has read.
    let mut made = two_sections();
    made.sections[0].section_title = "Part 1, anew".to_owned();
    made.sections[0].lessons.pop();
    made.renumber();
    let mut edited = two_sections();
    edited.course_title = "Rust, as its author calls it".to_owned();
    edited.sections[1].lessons[0].lesson_title = "As its author wants it".to_owned();
    store_structure(&world, &edited).await;

    let finished = FinishedStage {
        lease: &claimed.lease,
        job: &claimed.job,
        result: StageResult::Structure(&made),
        next: NextStep::Stage(Stage::Content),
        message: "next",
    };
    world
        .store()
        .with_system(async |tx| lifecycle::finish_stage(tx, &finished).await)
        .await
        .unwrap();
    let stored = world.reload(course).await.structure.unwrap();
    assert_eq!(stored.course_title, edited.course_title);
    assert_eq!(stored.sections[0].section_title, "Part 1, anew");
    let lessons: Vec<(u32, &str)> = stored
        .lessons()
        .map(|(_, lesson)| (lesson.lesson_number, lesson.lesson_title.as_str()))
        .collect();
    assert_eq!(lessons.len(), 9);
    assert_eq!(lessons[3], (4, "Lesson 4 of part 1"));
    assert_eq!(lessons[4], (5, "As its author wants it"));
    assert_eq!(lessons[8], (9, "Lesson 5 of part 2"));
}
