//! What is printed at the end of a generation.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use domain::lesson::LessonStatus;
use store::course::Course;
use store::lesson::StoredLesson;

use super::table::{row, table};
use crate::progress::{Board, ShownCost, Words, duration};

/// The figures of a finished course.
pub(super) fn finished(
    course: &Course,
    lessons: &[StoredLesson],
    spent: ShownCost,
    board: &Board,
    now: DateTime<Utc>,
    words: Words,
) -> String {
    let sections = course
        .structure
        .as_ref()
        .map_or(0, |structure| structure.sections.len());
    let word_count: u64 = lessons.iter().map(|lesson| u64::from(lesson.word_count)).sum();
    let mut rows = vec![
        row([words.sections(), &sections.to_string()]),
        row([words.lessons(), &lessons.len().to_string()]),
        row([words.words(), &word_count.to_string()]),
    ];
    if let Some(metadata) = &course.metadata {
        rows.push(row([
            words.quality(),
            &format!("{:.2}", metadata.quality_scores.overall),
        ]));
        rows.push(row([words.tokens(), &metadata.total_tokens.total.to_string()]));
    }
    rows.push(row([words.cost(), &spent.shown(words)]));
    let (calls, skipped, retries) = board.calls();
    let mut made = calls.to_string();
    if skipped > 0 {
        made = format!("{made} (+{skipped} {})", words.taken_over());
    }
    if retries > 0 {
        made = format!("{made}, {}: {retries}", words.retries());
    }
    rows.push(row([words.calls(), &made]));
    rows.push(row([words.time(), &duration(board.elapsed(now))]));
    if let Some(first) = board.time_to_first_section() {
        rows.push(row([words.first_section(), &duration(first)]));
    }
    format!(
        "{}\n{}\n{}\n{}",
        title(course),
        unused_documents(course, words),
        table(&rows),
        open_lessons(course, lessons, words)
    )
}

/// What an author has to look at: lessons that could not be written, and those that break a rule. Empty where all are good.
fn open_lessons(course: &Course, lessons: &[StoredLesson], words: Words) -> String {
    let count = |status: LessonStatus| lessons.iter().filter(|lesson| lesson.status == status).count();
    let (good, for_review) = (count(LessonStatus::Completed), count(LessonStatus::NeedsReview));
    let missing = lessons.len() - good - for_review;
    if good == lessons.len() {
        return String::new();
    }
    let mut counts = vec![format!("{good} {}", words.good())];
    if for_review > 0 {
        counts.push(format!("{for_review} {}", words.for_your_eyes()));
    }
    if missing > 0 {
        counts.push(format!("{missing} {}", words.not_written()));
    }
    let heading = format!("\n{} {}: {}\n", lessons.len(), words.lessons(), counts.join(", "));
    // What is missing comes first.
    let mut open: Vec<&StoredLesson> = lessons
        .iter()
        .filter(|lesson| lesson.status != LessonStatus::Completed)
        .collect();
    open.sort_by_key(|lesson| (lesson.status == LessonStatus::NeedsReview, lesson.lesson_number));
    let id = course.id;
    let lines = open.into_iter().map(|lesson| {
        let number = lesson.lesson_number;
        let what = match lesson.status {
            LessonStatus::NeedsReview => words.for_your_eyes(),
            _ => words.not_written(),
        };
        let why = why_open(lesson).map_or_else(String::new, |why| format!(" ({})", shortened(&why)));
        format!(
            "  - {} {number}: {what}{why}; `coursewright regenerate {id} --lesson {number}`\n",
            words.lesson().to_lowercase()
        )
    });
    let again = format!("{}: `coursewright resume {id}`\n", words.all_again());
    std::iter::once(heading).chain(lines).chain([again]).collect()
}

/// Why a lesson is missing, or the first thing that stands against it.
fn why_open(lesson: &StoredLesson) -> Option<String> {
    let checks = lesson.content.iter().flat_map(|content| &content.quality.checks);
    let failed = checks
        .filter(|check| !check.passed)
        .map(|check| check.detail.clone());
    lesson.failure.clone().or_else(|| failed.into_iter().next())
}

/// Longer reasons are cut: the whole ones are in the course.
const REASON_CHARS: usize = 160;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(REASON_CHARS) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Documents that no lesson uses, with the reason: what an author must hear first. Empty where there are none.
fn unused_documents(course: &Course, words: Words) -> String {
    let grounding = course
        .quality
        .as_ref()
        .and_then(|quality| quality.grounding.as_ref());
    let Some(report) = grounding.filter(|report| !report.unused_documents.is_empty()) else {
        return String::new();
    };
    let lines = report
        .unused_documents
        .iter()
        .map(|unused| format!("  - {}: {}\n", unused.name, unused.reason));
    format!(
        "\n{}:\n{}",
        words.unused_documents(),
        lines.collect::<Vec<_>>().concat()
    )
}

/// The sections and lessons of a course that rests after its structure.
pub(super) fn structure(course: &Course) -> String {
    let mut lines = vec![title(course), String::new()];
    for section in course.structure.iter().flat_map(|structure| &structure.sections) {
        lines.push(format!(
            "{:>3}. {}",
            section.section_number, section.section_title
        ));
        lines.extend(
            section
                .lessons
                .iter()
                .map(|lesson| format!("     {:>3}. {}", lesson.lesson_number, lesson.lesson_title)),
        );
    }
    lines.push(String::new());
    lines.join("\n")
}

fn title(course: &Course) -> String {
    let title = course
        .structure
        .as_ref()
        .map_or(&course.inputs.title, |structure| &structure.course_title);
    format!("{title}\n{}", course.id)
}

/// Where the files are.
pub(super) fn files(files: &[PathBuf], words: Words) -> String {
    let paths = files
        .iter()
        .map(|path| format!("  {}", path.display()))
        .collect::<Vec<_>>()
        .join("\n");
    format!("{}:\n{paths}", words.files())
}
