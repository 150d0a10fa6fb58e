//! Events as lines of text.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::generation::Step;
use pipeline::event::Event;

use super::{Board, Words, duration};

/// A line with the time it was written at, UTC.
pub(super) fn stamped(now: DateTime<Utc>, line: &str) -> String {
    format!("{} {line}", now.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// What stays on a terminal above the picture.
pub(super) fn for_terminal(event: &Event, words: Words) -> Vec<String> {
    match event {
        Event::SectionReady {
            number,
            title,
            lessons,
        } => {
            let heading = format!("{number:>4}. {title}");
            let lessons = lessons.iter().map(|lesson| format!("       - {lesson}"));
            std::iter::once(heading).chain(lessons).collect()
        }
        Event::LessonReady {
            number,
            title,
            words: count,
            needs_review,
        } => {
            let mark = if *needs_review {
                format!("  ({})", words.needs_review())
            } else {
                String::new()
            };
            vec![format!(
                "  {} {number}: {title}  {count} {}{mark}",
                words.lesson(),
                words.words()
            )]
        }
        Event::Notice { message } => vec![format!("  {message}")],
        // On a terminal the picture shows the rest.
        Event::StageStarted { .. }
        | Event::StageFinished { .. }
        | Event::Progress { .. }
        | Event::StructureReady { .. }
        | Event::Tokens { .. }
        | Event::CallEnded { .. }
        | Event::CallSkipped
        | Event::Retry { .. } => Vec::new(),
    }
}

/// What a log, a pipe or a file is told: few lines, each complete in itself.
pub(super) fn for_log(
    event: &Event,
    before: Step,
    board: &Board,
    now: DateTime<Utc>,
    words: Words,
) -> Vec<String> {
    let mut lines = Vec::new();
    if board.step() != before {
        let step = board.step();
        lines.push(format!("[{}/5] {}", step.id(), words.step(step)));
    }
    match event {
        Event::SectionReady {
            number,
            title,
            lessons,
        } => {
            lines.push(format!(
                "{} {number}: {title} ({} {})",
                words.section(),
                lessons.len(),
                words.lessons()
            ));
            lines.extend(lessons.iter().map(|lesson| format!("  - {lesson}")));
        }
        Event::StructureReady { sections, lessons } => lines.push(format!(
            "{}: {sections} {}, {lessons} {}",
            words.structure_ready(),
            words.sections(),
            words.lessons()
        )),
        Event::LessonReady {
            number,
            title,
            words: count,
            needs_review,
        } => {
            let mark = if *needs_review {
                format!(", {}", words.needs_review())
            } else {
                String::new()
            };
            let (done, total) = board.lessons();
            lines.push(format!(
                "{} {number}: {title} ({count} {}{mark}) [{done}/{total}] {}",
                words.lesson(),
                words.words(),
                figures(board, now, words)
            ));
        }
        Event::Retry { what, reason } => lines.push(format!("{what}: {}: {reason}", words.retry())),
        Event::Notice { message } => lines.push(message.clone()),
        Event::StageStarted { .. }
        | Event::StageFinished { .. }
        | Event::Progress { .. }
        | Event::Tokens { .. }
        | Event::CallEnded { .. }
        | Event::CallSkipped => {}
    }
    lines
}

/// Speed, money and times on one line.
pub(super) fn figures(board: &Board, now: DateTime<Utc>, words: Words) -> String {
    let mut parts = Vec::new();
    if let Some(speed) = board.tokens_per_second(now) {
        parts.push(format!("{speed:.0} {}", words.tokens_per_second()));
    }
    parts.push(board.cost().to_string());
    parts.push(format!("{} {}", words.elapsed(), duration(board.elapsed(now))));
    if let Some(left) = board.time_left(now) {
        parts.push(format!("{} {}", words.left(), duration(left)));
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(event: &Event, words: Words) -> Vec<String> {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut board = Board::new(now);
        let before = board.step();
        board.record(event, now);
        for_log(event, before, &board, now, words)
    }

    #[test]
    fn new_step_is_named_in_the_users_language() {
        let event = Event::Progress {
            step: Step::Structure,
            message: "Writing".to_owned(),
            done: 0,
            total: 8,
        };
        assert_eq!(log(&event, Words::English), ["[3/5] Structure"]);
        assert_eq!(log(&event, Words::Russian), ["[3/5] Генерация структуры"]);
    }

    #[test]
    fn section_comes_with_its_lessons() {
        let lessons = vec!["Why ownership".to_owned(), "Borrowing".to_owned()];
        let event = Event::SectionReady {
            number: 1,
            title: "Ownership".to_owned(),
            lessons,
        };
        assert_eq!(
            log(&event, Words::English),
            [
                "Section 1: Ownership (2 lessons)",
                "  - Why ownership",
                "  - Borrowing"
            ]
        );
    }

    #[test]
    fn tokens_make_no_lines() {
        assert!(log(&Event::Tokens { new: 5 }, Words::English).is_empty());
        assert!(for_terminal(&Event::Tokens { new: 5 }, Words::English).is_empty());
    }
}
