//! What the program knows better than any model is mended, never asked for again: which exercises a lesson has, in which
//! order, and how a quiz counts (quality 6.3).

use std::collections::BTreeSet;

use domain::language::Language;
use domain::limits;
use domain::structure::{Exercise, Lesson};
use domain::wording::{normalize, stems};
use serde_json::{Map, Value, json};

/// Mends the exercises and the quiz of an answer.
pub(super) fn mend(answer: &mut Value, lesson: &Lesson, language: Language) {
    if let Some(exercises) = answer.get_mut("exercises").and_then(Value::as_array_mut) {
        *exercises = as_specified(std::mem::take(exercises), &lesson.practical_exercises, language);
    }
    if let Some(quiz) = answer.get_mut("quiz").and_then(Value::as_array_mut) {
        mend_quiz(quiz, lesson, language);
    }
}

/// The exercises in the order of the specification, with its titles and types. What it does not have is left out; where
/// one is missing, its place is kept, so that only its instructions and its solution have to be asked for.
fn as_specified(worked: Vec<Value>, specified: &[Exercise], language: Language) -> Vec<Value> {
    if worked.is_empty() {
        return worked;
    }
    let mut left: Vec<Option<Map<String, Value>>> = worked
        .into_iter()
        .map(|exercise| match exercise {
            Value::Object(fields) => Some(fields),
            _ => None,
        })
        .collect();
    let mut scores = Vec::new();
    for (place, wanted) in specified.iter().enumerate() {
        for (index, exercise) in left.iter().enumerate() {
            if let Some(exercise) = exercise {
                scores.push((likeness(exercise, wanted, language), index == place, place, index));
            }
        }
    }
    // The surest matches first; where nothing tells, by place.
    scores.sort_by_key(|&(score, same_place, place, _)| (std::cmp::Reverse((score, same_place)), place));
    let mut matched: Vec<Option<Map<String, Value>>> = vec![None; specified.len()];
    for (_, _, place, index) in scores {
        if matched[place].is_none() {
            matched[place] = left[index].take();
        }
    }
    matched
        .into_iter()
        .zip(specified)
        .map(|(exercise, wanted)| {
            let mut exercise = exercise.unwrap_or_default();
            exercise.insert("exercise_type".to_owned(), json!(wanted.exercise_type));
            exercise.insert("title".to_owned(), json!(wanted.exercise_title));
            Value::Object(exercise)
        })
        .collect()
}

/// How surely an exercise is the one that is specified.
fn likeness(exercise: &Map<String, Value>, wanted: &Exercise, language: Language) -> u32 {
    let text = |field: &str| exercise.get(field).and_then(Value::as_str).unwrap_or_default();
    let (title, specified) = (normalize(text("title")), normalize(&wanted.exercise_title));
    let is_type = normalize(text("exercise_type")) == normalize(wanted.exercise_type.as_str());
    let shared = {
        let (title, specified) = (stems(&title, language), stems(&specified, language));
        let most = title.len().max(specified.len()).max(1);
        u32::try_from(title.intersection(&specified).count() * 40 / most).unwrap_or_default()
    };
    let same = match (
        title == specified,
        !title.is_empty() && title.ends_with(&specified),
    ) {
        (true, _) => 100,
        // "Exercise 1: ..." and the like.
        (false, true) => 80,
        (false, false) => 0,
    };
    same + shared + u32::from(is_type) * 10
}

/// Positions counted from 1, answers named twice, options written twice, a kind that the answers contradict, and more
/// questions than a lesson has.
fn mend_quiz(quiz: &mut Vec<Value>, lesson: &Lesson, language: Language) {
    let objectives = lesson.lesson_objectives.len() as u64;
    if counts_from_one(
        quiz.iter()
            .map(|question| (numbers(&question["objective"]), objectives)),
    ) {
        shift(quiz, "objective");
    }
    let answers = quiz.iter().map(|question| {
        (
            numbers(&question["correct_answers"]),
            length(&question["options"]),
        )
    });
    if counts_from_one(answers) {
        shift(quiz, "correct_answers");
    }
    for question in quiz.iter_mut().filter_map(Value::as_object_mut) {
        mend_objective(question, lesson, language);
        drop_repeated_options(question);
        mend_kind(question);
    }
    while quiz.len() > limits::QUIZ_QUESTIONS.max {
        let weakest = weakest(quiz);
        quiz.remove(weakest);
    }
}

/// Whether a whole list of positions counts from 1: none is 0, and one is just past the end.
fn counts_from_one(positions: impl Iterator<Item = (Vec<u64>, u64)>) -> bool {
    let mut is_past_the_end = false;
    for (positions, length) in positions {
        if positions
            .iter()
            .any(|&position| position == 0 || position > length)
        {
            return false;
        }
        is_past_the_end |= positions.contains(&length);
    }
    is_past_the_end
}

/// A number, or a list of numbers.
fn numbers(value: &Value) -> Vec<u64> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_u64).collect(),
        one => one.as_u64().into_iter().collect(),
    }
}

fn length(value: &Value) -> u64 {
    value.as_array().map_or(0, |items| items.len() as u64)
}

/// Counts the positions in a field of every question from 0.
fn shift(quiz: &mut [Value], field: &str) {
    for question in quiz.iter_mut().filter_map(Value::as_object_mut) {
        match question.get_mut(field) {
            Some(Value::Array(items)) => {
                for item in items {
                    if let Some(position) = item.as_u64() {
                        *item = json!(position.saturating_sub(1));
                    }
                }
            }
            Some(one) => {
                if let Some(position) = one.as_u64() {
                    *one = json!(position.saturating_sub(1));
                }
            }
            None => {}
        }
    }
}

/// A question on an objective that the lesson does not have belongs to the one that shares most words with it.
fn mend_objective(question: &mut Map<String, Value>, lesson: &Lesson, language: Language) {
    let objectives = &lesson.lesson_objectives;
    let is_there = |number: u64| number < objectives.len() as u64;
    let given = question.get("objective").and_then(Value::as_u64);
    if given.is_none_or(is_there) || objectives.is_empty() {
        return;
    }
    let text = |field: &str| question.get(field).and_then(Value::as_str).unwrap_or_default();
    let words = stems(&format!("{} {}", text("question"), text("explanation")), language);
    let shared = |objective: &String| stems(objective, language).intersection(&words).count();
    let nearest = (0..objectives.len())
        .rev()
        .max_by_key(|&index| shared(&objectives[index]))
        .unwrap_or_default();
    question.insert("objective".to_owned(), json!(nearest));
}

/// An option that stands there twice, both times right or both times wrong, is one option.
fn drop_repeated_options(question: &mut Map<String, Value>) {
    let Some(options) = question.get("options").and_then(Value::as_array).cloned() else {
        return;
    };
    let right: BTreeSet<u64> = numbers(question.get("correct_answers").unwrap_or(&Value::Null))
        .into_iter()
        .collect();
    if right.iter().any(|&answer| answer >= options.len() as u64) {
        return;
    }
    let mut kept: Vec<Value> = Vec::new();
    let mut answers: BTreeSet<u64> = BTreeSet::new();
    let mut standing: Vec<bool> = Vec::new();
    for (option, place) in options.iter().zip(0u64..) {
        let is_right = right.contains(&place);
        let text = |option: &Value| option.as_str().map(|text| text.trim().to_owned());
        let known = kept.iter().position(|other| text(other) == text(option));
        match known {
            Some(known) if standing[known] == is_right => {}
            Some(_) | None => {
                if is_right {
                    answers.insert(kept.len() as u64);
                }
                kept.push(option.clone());
                standing.push(is_right);
            }
        }
    }
    if kept.len() >= 2 {
        question.insert("options".to_owned(), Value::Array(kept));
        question.insert("correct_answers".to_owned(), json!(answers));
    }
}

/// Several right answers make a question multiple choice, whatever it calls itself.
fn mend_kind(question: &mut Map<String, Value>) {
    let answers = length(question.get("correct_answers").unwrap_or(&Value::Null));
    let kind = question
        .get("question_type")
        .and_then(Value::as_str)
        .map(|kind| normalize(kind).replace(' ', "_"));
    let mended = match (kind.as_deref(), answers) {
        (_, 0) => return,
        (Some("multiple_choice"), _) | (_, 2..) => "multiple_choice",
        (_, 1) => "single_choice",
    };
    question.insert("question_type".to_owned(), json!(mended));
}

/// The question that is missed least: the last of those on the objective that has most.
fn weakest(quiz: &[Value]) -> usize {
    let on = |question: &Value| {
        let objective = &question["objective"];
        quiz.iter()
            .filter(|other| other["objective"] == *objective)
            .count()
    };
    (0..quiz.len())
        .max_by_key(|&place| (on(&quiz[place]), place))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
