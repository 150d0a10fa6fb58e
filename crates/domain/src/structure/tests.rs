use proptest::prelude::*;

use super::*;
use crate::language::Language;
use crate::samples;

/// A course of any shape: sections of 0 to 6 lessons with arbitrary numbers and minutes.
fn any_course() -> impl Strategy<Value = CourseStructure> {
    let lesson = (any::<u32>(), 3_u32..=45, ".{5,20}").prop_map(|(number, minutes, title)| Lesson {
        lesson_number: number,
        lesson_title: title,
        estimated_duration_minutes: minutes,
        ..samples::course(Language::English).sections[0].lessons[0].clone()
    });
    let section = (any::<u32>(), any::<u32>(), prop::collection::vec(lesson, 0..6)).prop_map(
        |(number, minutes, lessons)| Section {
            section_number: number,
            estimated_duration_minutes: minutes,
            lessons,
            ..samples::course(Language::English).sections[0].clone()
        },
    );
    (prop::collection::vec(section, 0..8), -1.0e6..1.0e6).prop_map(|(sections, hours)| CourseStructure {
        sections,
        estimated_duration_hours: hours,
        ..samples::course(Language::English)
    })
}

/// The course with everything that renumbering computes set to nothing.
fn without_numbers(mut course: CourseStructure) -> CourseStructure {
    course.estimated_duration_hours = 0.0;
    for section in &mut course.sections {
        section.section_number = 0;
        section.estimated_duration_minutes = 0;
        for lesson in &mut section.lessons {
            lesson.lesson_number = 0;
        }
    }
    course
}

proptest! {
    #[test]
    fn renumbering_counts_through_and_changes_nothing_else(course in any_course()) {
        let mut renumbered = course.clone();
        renumbered.renumber();
        let numbers: Vec<u32> = renumbered.lessons().map(|(_, lesson)| lesson.lesson_number).collect();
        prop_assert_eq!(&numbers, &(1..).take(numbers.len()).collect::<Vec<u32>>());
        let sections: Vec<u32> = renumbered.sections.iter().map(|section| section.section_number).collect();
        prop_assert_eq!(&sections, &(1..).take(sections.len()).collect::<Vec<u32>>());
        let minutes: u32 = renumbered.lessons().map(|(_, lesson)| lesson.estimated_duration_minutes).sum();
        prop_assert_eq!(renumbered.sections.iter().map(|section| section.estimated_duration_minutes).sum::<u32>(), minutes);
        prop_assert!((renumbered.estimated_duration_hours - f64::from(minutes) / 60.0).abs() <= 0.005 + 1e-9);
        let mut again = renumbered.clone();
        again.renumber();
        prop_assert_eq!(&again, &renumbered);
        prop_assert_eq!(without_numbers(renumbered), without_numbers(course));
    }

    #[test]
    fn json_keeps_every_course(course in any_course()) {
        let mut course = course;
        course.renumber();
        let json = serde_json::to_string(&course).expect("a course is JSON");
        let read: CourseStructure = serde_json::from_str(&json).expect("its own JSON");
        prop_assert_eq!(read, course);
    }
}

#[test]
fn unknown_fields_are_refused() {
    let mut json = serde_json::to_value(samples::course(Language::English)).expect("JSON");
    json["sections"][0]["color"] = "red".into();
    let error = serde_json::from_value::<CourseStructure>(json).expect_err("an unknown field");
    assert!(error.to_string().contains("color"), "{error}");
}

#[test]
fn words_that_fit_a_lesson_follow_its_minutes() {
    assert_eq!(lesson_words(15), limits::Limit::new(1800, 2700));
}
