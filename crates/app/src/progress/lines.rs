//! Events as lines of text.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::generation::Step;
use domain::usage::MicroUsd;
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
        Event::BudgetNear { spent, budget } => vec![format!("  {}", budget_near(*spent, *budget, words))],
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
        lines.push(format!(
            "[{}/5] {}",
            step.id(),
            words.step(step, board.has_documents())
        ));
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
        Event::BudgetNear { spent, budget } => lines.push(budget_near(*spent, *budget, words)),
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

/// What a running step is at: how many of its pieces are done, else what is being done.
pub(super) fn activity(step: Step, board: &Board, words: Words) -> String {
    let counted = |name: &str, done: u32, total: u32| format!("{name} {done}/{total}");
    let state = board.state(step);
    match (step, board.lessons()) {
        (Step::Structure, _) if state.total > 0 => counted(words.sections(), state.done, state.total),
        (Step::Content, (done, total)) if total > 0 => counted(words.lessons(), done, total),
        (Step::Understanding, _) if board.is_reading() && state.total > 0 => {
            counted(words.documents(), state.done, state.total)
        }
        (Step::Understanding, _) if board.is_reading() => words.reading().to_owned(),
        (Step::Understanding, _) => words.analysing().to_owned(),
        (Step::Finalization, _) => words.finalizing().to_owned(),
        (Step::Launch | Step::Structure | Step::Content, _) => String::new(),
    }
}

/// That most of the budget is spent.
fn budget_near(spent: MicroUsd, budget: MicroUsd, words: Words) -> String {
    format!("{}: {spent} / {budget}", words.budget_near())
}

/// That nothing has happened for a while but the work goes on.
pub(super) fn still_working(board: &Board, now: DateTime<Utc>, words: Words) -> String {
    format!("  {}: {}", words.still_working(), figures(board, now, words))
}

/// Speed, money and times on one line.
pub(super) fn figures(board: &Board, now: DateTime<Utc>, words: Words) -> String {
    let mut parts = Vec::new();
    if let Some(speed) = board.tokens_per_second(now) {
        parts.push(format!("{speed:.0} {}", words.tokens_per_second()));
    }
    parts.push(board.cost().shown(words));
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
            done: 0,
            total: 8,
        };
        assert_eq!(log(&event, Words::English), ["[3/5] Structure"]);
        assert_eq!(log(&event, Words::Russian), ["[3/5] Генерация структуры"]);
        let event = Event::StageStarted {
            stage: domain::stage::Stage::DocumentProcessing,
        };
        assert_eq!(log(&event, Words::English), ["[2/5] Document processing"]);
    }

    #[test]
    fn running_step_speaks_the_users_language() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut board = Board::new(now);
        let progress = |step, done, total| Event::Progress { step, done, total };
        board.record(&progress(Step::Understanding, 0, 0), now);
        let check = |step: Step, board: &Board, english: &str, russian: &str| {
            assert_eq!(activity(step, board, Words::English), english);
            assert_eq!(activity(step, board, Words::Russian), russian);
        };
        check(
            Step::Understanding,
            &board,
            "what the course must cover",
            "что должно быть в курсе",
        );
        check(Step::Structure, &board, "", "");
        let stage = domain::stage::Stage::DocumentProcessing;
        board.record(&Event::StageStarted { stage }, now);
        check(
            Step::Understanding,
            &board,
            "reading the documents",
            "чтение документов",
        );
        board.record(&progress(Step::Understanding, 1, 3), now);
        check(Step::Understanding, &board, "documents 1/3", "документы 1/3");
        board.record(&Event::StageFinished { stage }, now);
        board.record(&progress(Step::Structure, 3, 8), now);
        check(Step::Structure, &board, "sections 3/8", "разделы 3/8");
        board.record(
            &Event::StructureReady {
                sections: 8,
                lessons: 24,
            },
            now,
        );
        board.record(&progress(Step::Content, 0, 24), now);
        check(Step::Content, &board, "lessons 0/24", "уроки 0/24");
        check(
            Step::Finalization,
            &board,
            "checks and quality report",
            "проверки и отчёт о качестве",
        );
    }

    #[test]
    fn budget_is_told_in_the_users_language() {
        let event = Event::BudgetNear {
            spent: MicroUsd(800_000),
            budget: MicroUsd(1_000_000),
        };
        assert_eq!(
            log(&event, Words::English),
            ["most of the budget is spent: $0.80 / $1.00"]
        );
        assert_eq!(
            log(&event, Words::Russian),
            ["бюджет почти израсходован: $0.80 / $1.00"]
        );
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
