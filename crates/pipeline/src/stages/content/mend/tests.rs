//! Lessons of a strong model, with and without harmless deviations: none of them is refused.

use domain::structure::{DifficultyLevel, ExerciseType};
use domain::validation::{Finding, Severity, ValidationContext};
use llm::repair::{Repairer, failing_fields};

use super::*;
use crate::sources::Sources;
use crate::stages::content::whole::{shape_for, validate};
use crate::stages::structure::SectionDraft;

const SECTIONS: [&str; 3] = [
    include_str!("../../../../tests/fixtures/lessons/section-1.txt"),
    include_str!("../../../../tests/fixtures/lessons/section-2.txt"),
    include_str!("../../../../tests/fixtures/lessons/section-3.txt"),
];

macro_rules! answers {
    ($folder:literal: $($number:literal),+) => {
        [$(($number, include_str!(concat!("../../../../tests/fixtures/lessons/", $folder, "/lesson-", $number, ".txt")))),+]
    };
}

/// The specification of a lesson, from 1.
fn specified(number: usize) -> Lesson {
    let lessons = SECTIONS.iter().flat_map(|section| {
        let draft: SectionDraft = serde_json::from_str(section).unwrap();
        draft.into_section(1, 20).lessons
    });
    lessons.into_iter().nth(number - 1).unwrap()
}

/// What stands against an answer after it was mended, and the value.
fn judged(answer: &str, lesson: &Lesson) -> (Vec<String>, Value) {
    let sources = Sources::default();
    let shape = shape_for(lesson, &sources);
    let mut value = Repairer::new(&shape).unwrap().repair(answer).unwrap().value;
    mend(&mut value, lesson, Language::English);
    let mut problems: Vec<String> = failing_fields(&shape, &value)
        .unwrap()
        .into_iter()
        .map(|failure| failure.message)
        .collect();
    let rules = ValidationContext {
        difficulty: DifficultyLevel::Beginner,
        ..ValidationContext::new(Language::English)
    };
    let findings = validate(&value, lesson, &sources, &rules);
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    problems.extend(errors.map(Finding::to_string));
    (problems, value)
}

#[test]
fn no_honest_lesson_is_refused_and_no_harmless_deviation() {
    let honest = answers!("honest": "01", "02", "03", "04", "05", "06", "07", "08", "09", "10");
    let deviations = answers!("deviations": "01", "02", "03", "04", "05", "06", "07", "08", "09", "10");
    let forms = answers!("forms": "01", "02", "03", "04", "05");
    let again = (
        "02",
        include_str!("../../../../tests/fixtures/lessons/repeated-sentence.txt"),
    );
    let all = honest.iter().chain(&deviations).chain(&forms).chain([&again]);
    let mut refused = Vec::new();
    for (number, answer) in all {
        let lesson = specified(number.parse().unwrap());
        let (problems, _) = judged(answer, &lesson);
        refused.extend(problems.into_iter().map(|problem| format!("{number}: {problem}")));
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

/// An exercise of an answer.
fn exercise(kind: &str, title: &str) -> Value {
    json!({ "exercise_type": kind, "title": title, "instructions": format!("Do {title}"), "solution": "So." })
}

fn wanted(exercise_type: ExerciseType, title: &str) -> Exercise {
    Exercise {
        exercise_type,
        exercise_title: title.to_owned(),
        exercise_description: "A description of what is done.".to_owned(),
    }
}

#[test]
fn exercises_are_matched_by_title_then_kind_then_place() {
    let specified = [
        wanted(ExerciseType::HandsOn, "Plan a Week"),
        wanted(ExerciseType::CaseStudy, "Read a Case"),
        wanted(ExerciseType::Reflection, "Look Back"),
    ];
    let check = |worked: &[(&str, &str)], expected: [Option<&str>; 3]| {
        let worked = worked.iter().map(|(kind, title)| exercise(kind, title)).collect();
        let mended = as_specified(worked, &specified, Language::English);
        for ((exercise, wanted), expected) in mended.iter().zip(&specified).zip(expected) {
            assert_eq!(exercise["title"], wanted.exercise_title.as_str());
            assert_eq!(exercise["exercise_type"], json!(wanted.exercise_type));
            let instructions = expected.map(|title| format!("Do {title}"));
            assert_eq!(exercise["instructions"].as_str(), instructions.as_deref());
        }
    };
    let (first, second, third) = ("Plan a Week", "Read a Case", "Look Back");
    check(
        &[("hands_on", first), ("case_study", second), ("reflection", third)],
        [Some(first), Some(second), Some(third)],
    );
    check(
        &[("reflection", third), ("hands-on", first), ("case_study", second)],
        [Some(first), Some(second), Some(third)],
    );
    check(
        &[
            ("hands_on", "Exercise 1: Plan a Week"),
            ("case study", "2. Read a case"),
            ("Reflection", "Looking back"),
        ],
        [
            Some("Exercise 1: Plan a Week"),
            Some("2. Read a case"),
            Some("Looking back"),
        ],
    );
    check(
        &[
            ("reflection", "What was good"),
            ("case_study", "The firm"),
            ("hands_on", "Seven days"),
        ],
        [Some("Seven days"), Some("The firm"), Some("What was good")],
    );
    check(
        &[
            ("drill", "One"),
            ("drill", "Two"),
            ("drill", "Three"),
            ("drill", "Four"),
        ],
        [Some("One"), Some("Two"), Some("Three")],
    );
    check(
        &[("reflection", third), ("hands_on", first)],
        [Some(first), None, Some(third)],
    );
}

fn question(objective: u64, answers: &[u64], options: &[&str]) -> Value {
    json!({ "question_type": "single_choice", "question": "Which?", "options": options, "correct_answers": answers,
            "explanation": "So.", "objective": objective })
}

#[test]
fn quiz_is_mended_where_the_whole_of_it_says_how() {
    let lesson = Lesson {
        lesson_objectives: [
            "Name the parts of a hive",
            "Explain why bees need water",
            "Plan an apiary",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..specified(1)
    };
    let mended = |quiz: &[Value]| {
        let mut quiz = quiz.to_vec();
        mend_quiz(&mut quiz, &lesson, Language::English);
        quiz
    };
    let objectives = |quiz: &[Value]| -> Vec<u64> {
        mended(quiz)
            .iter()
            .map(|question| question["objective"].as_u64().unwrap())
            .collect()
    };
    let abc = ["a", "b", "c"];
    let on = |objective| question(objective, &[0], &abc);
    assert_eq!(objectives(&[on(1), on(2), on(3)]), [0, 1, 2]);
    assert_eq!(objectives(&[on(0), on(1), on(2)]), [0, 1, 2]);
    assert_eq!(
        objectives(&[on(1), on(1), on(2)]),
        [1, 1, 2],
        "nothing says that it counts from 1"
    );
    let water = json!({ "question": "Why do bees need water?", "explanation": "", "objective": 9, "correct_answers": [0] });
    assert_eq!(objectives(&[on(0), water]), [0, 1]);
    assert_eq!(
        objectives(&[on(0), on(1), on(1), on(2), on(2), on(2)]),
        [0, 1, 1, 2, 2]
    );
    assert_eq!(
        objectives(&[on(0), on(1), on(1), on(1), on(2), on(1), on(1)]),
        [0, 1, 1, 1, 2]
    );

    let check = |quiz: Value, options: &[&str], answers: &[u64], kind: &str| {
        let quiz = mended(&[quiz]);
        assert_eq!(quiz[0]["options"], json!(options));
        assert_eq!(quiz[0]["correct_answers"], json!(answers));
        assert_eq!(quiz[0]["question_type"], kind);
    };
    check(question(0, &[1], &abc), &abc, &[1], "single_choice");
    check(question(0, &[3], &abc), &abc, &[2], "single_choice");
    check(question(0, &[1, 1], &abc), &abc, &[1], "single_choice");
    check(question(0, &[0, 2], &abc), &abc, &[0, 2], "multiple_choice");
    check(
        question(0, &[3], &["a", "b", "a", "c"]),
        &abc,
        &[2],
        "single_choice",
    );
    check(
        question(0, &[0], &["a", "b", "a"]),
        &["a", "b", "a"],
        &[0],
        "single_choice",
    );
}
