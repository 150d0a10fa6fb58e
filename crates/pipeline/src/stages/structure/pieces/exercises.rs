//! What a lesson of a small model gives to do.

use domain::structure::{Exercise, ExerciseType};
use llm::route::Work;
use minijinja::Value;
use serde::Deserialize;

use super::piece;
use crate::context::Run;
use crate::data;
use crate::error::PipelineError;
use crate::schema::{Pieces, list, object};
use crate::vars::vars;

#[derive(Deserialize)]
struct Exercises {
    exercises: Vec<ExerciseText>,
}

#[derive(Deserialize)]
struct ExerciseText {
    exercise_title: String,
    exercise_description: String,
}

/// The exercises of a lesson, one of each of its types.
///
/// # Errors
/// Whatever keeps them from being made.
pub(super) async fn of_lesson(
    run: &Run,
    lesson_number: u32,
    title: &str,
    topics: &[String],
) -> Result<Vec<Exercise>, PipelineError> {
    let pieces = Pieces::new(run.language());
    let types = exercise_types(lesson_number);
    let types_data: Vec<Value> = types
        .iter()
        .zip(topics.iter().cycle())
        .map(|(&kind, topic)| vars! { label => data::exercise_label(kind), topic })
        .collect();
    let context = vars! {
        course => data::course(run),
        lesson => vars! { title, topics },
        types => types_data,
    };
    let item = object([
        ("exercise_title", pieces.phrase(10, 60)),
        // One sentence: the text of the lesson has the steps.
        ("exercise_description", pieces.sentences_of(1, 1, 60, 180)),
    ]);
    let shape = object([("exercises", list(item, types.len()))]);
    let answer: Exercises = piece(
        run,
        Work::Section,
        "sections.exercises",
        lesson_number,
        "small_exercises",
        &context,
        shape,
    )
    .await?;
    Ok(answer
        .exercises
        .into_iter()
        .zip(types)
        .map(|(text, exercise_type)| Exercise {
            exercise_type,
            exercise_title: text.exercise_title,
            exercise_description: text.exercise_description,
        })
        .collect())
}

/// Three different types a lesson, another mix from lesson to lesson; every lesson has something to do.
fn exercise_types(lesson_number: u32) -> [ExerciseType; 3] {
    const TALKING: [ExerciseType; 3] = [
        ExerciseType::CaseStudy,
        ExerciseType::Discussion,
        ExerciseType::Simulation,
    ];
    const LOOKING_BACK: [ExerciseType; 2] = [ExerciseType::SelfAssessment, ExerciseType::Reflection];
    let number = lesson_number as usize;
    [
        ExerciseType::HandsOn,
        TALKING[number % TALKING.len()],
        LOOKING_BACK[number % LOOKING_BACK.len()],
    ]
}
