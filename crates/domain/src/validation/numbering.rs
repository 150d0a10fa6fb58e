//! Numbers that run through the course, computed durations, and the size of the whole.

use super::Rule;
use super::text::Checker;
use crate::limits;
use crate::structure::{CourseStructure, hours};

/// The difference that rounding to hundredths of an hour may leave.
const HOURS_TOLERANCE: f64 = 0.011;

pub(super) fn check(checker: &mut Checker<'_>, course: &CourseStructure) {
    let lessons = course.lesson_count();
    if course.sections.is_empty() {
        checker.error(
            Rule::Count,
            "sections",
            "the course has no section; write 1 or more",
        );
    } else if course.sections.len() > limits::SECTIONS_SOFT_MAX {
        let message = format!(
            "the course has {} sections; up to {} are advisable",
            course.sections.len(),
            limits::SECTIONS_SOFT_MAX
        );
        checker.warning(Rule::Size, "sections", message);
    }
    if lessons < limits::COURSE_LESSONS_MIN {
        let message = format!(
            "the course has {lessons} lessons over all sections, at least {} are needed: add lessons to the thinnest sections",
            limits::COURSE_LESSONS_MIN
        );
        checker.error(Rule::Count, "sections", message);
    }
    let mut lesson_number = 0;
    let mut course_minutes = 0_u32;
    for (section, index) in course.sections.iter().zip(0_u32..) {
        checker.at(&format!("sections[{index}]"), |checker| {
            check_number(checker, "section_number", section.section_number, index + 1);
            let mut minutes = 0_u32;
            for (lesson, lesson_index) in section.lessons.iter().zip(0..) {
                lesson_number += 1;
                let part = format!("lessons[{lesson_index}].lesson_number");
                check_number(checker, &part, lesson.lesson_number, lesson_number);
                minutes = minutes.saturating_add(lesson.estimated_duration_minutes);
            }
            if section.estimated_duration_minutes != minutes {
                let stated = section.estimated_duration_minutes;
                let message = format!("is {stated}, but the lessons take {minutes} minutes together");
                checker.error(Rule::Totals, "estimated_duration_minutes", message);
            }
            course_minutes = course_minutes.saturating_add(minutes);
        });
    }
    let stated = course.estimated_duration_hours;
    let computed = hours(course_minutes);
    // Written so that NaN is a finding too.
    let is_close = (stated - computed).abs() <= HOURS_TOLERANCE;
    if !(stated > 0.0 && is_close) {
        let message = format!("is {stated}, but the lessons take {computed} hours together");
        checker.error(Rule::Totals, "estimated_duration_hours", message);
    }
}

fn check_number(checker: &mut Checker<'_>, part: &str, stated: u32, expected: u32) {
    if stated != expected {
        let message = format!("is {stated}, but stands at place {expected}: number without gaps from 1");
        checker.error(Rule::Numbering, part, message);
    }
}
