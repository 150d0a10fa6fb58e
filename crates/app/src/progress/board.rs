//! What is known of a running generation: a pure summary of events and times.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use domain::generation::{Step, StepStatus};
use domain::stage::Stage;
use domain::usage::{MicroUsd, TokenUsage};
use pipeline::event::Event;

use super::Words;

/// Tokens a second are averaged over this time: long enough to be calm, short enough to be present.
const SPEED_WINDOW: TimeDelta = TimeDelta::seconds(10);
/// Shares of a whole generation's time, by step; from generations with remote and embedded models.
/// Only used while no lesson is written; then the lessons' own speed tells.
const TIME_SHARES: [f64; 5] = [0.01, 0.14, 0.30, 0.53, 0.02];
/// Below this share nothing sensible can be said of the time left.
const LEAST_SHARE_FOR_ESTIMATE: f64 = 0.08;

/// Money that was spent, as far as anybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShownCost {
    /// What calls of known price cost.
    pub(crate) known: MicroUsd,
    /// Whether there were others.
    pub(crate) has_unpriced: bool,
}

impl ShownCost {
    /// `$0.12`; `unknown` where no price is known; `$0.12 + unknown` where some are. Never a zero that is a guess.
    pub(crate) fn shown(self, words: Words) -> String {
        match (self.has_unpriced, self.known) {
            (false, known) => known.to_string(),
            (true, MicroUsd::ZERO) => words.cost_unknown().to_owned(),
            (true, known) => format!("{known} + {}", words.cost_unknown()),
        }
    }
}

/// Where one step stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepState {
    pub(crate) status: StepStatus,
    pub(crate) done: u32,
    pub(crate) total: u32,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
}

/// Whether documents are read, which shares a step with the analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Documents {
    /// There are none.
    None,
    /// They are being read.
    Reading,
    /// They were read.
    Read,
}

/// Everything that the display shows.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    started_at: DateTime<Utc>,
    step: Step,
    steps: [StepState; 5],
    documents: Documents,
    first_section_at: Option<DateTime<Utc>>,
    sections: u32,
    lessons_planned: u32,
    lessons_done: u32,
    lessons_for_review: u32,
    words: u64,
    usage: TokenUsage,
    cost: MicroUsd,
    /// Whether calls were made whose price nobody knows.
    has_unpriced: bool,
    calls: u32,
    calls_skipped: u32,
    retries: u32,
    recent_tokens: VecDeque<(DateTime<Utc>, u64)>,
}

impl Board {
    /// A generation that begins now.
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        let waiting = StepState {
            status: StepStatus::Pending,
            done: 0,
            total: 0,
            started_at: None,
            ended_at: None,
        };
        let mut steps = [waiting; 5];
        steps[0] = StepState {
            status: StepStatus::InProgress,
            started_at: Some(now),
            ..waiting
        };
        Self {
            started_at: now,
            step: Step::Launch,
            steps,
            documents: Documents::None,
            first_section_at: None,
            sections: 0,
            lessons_planned: 0,
            lessons_done: 0,
            lessons_for_review: 0,
            words: 0,
            usage: TokenUsage::default(),
            cost: MicroUsd::ZERO,
            has_unpriced: false,
            calls: 0,
            calls_skipped: 0,
            retries: 0,
            recent_tokens: VecDeque::new(),
        }
    }

    /// Takes in what has happened.
    pub(crate) fn record(&mut self, event: &Event, now: DateTime<Utc>) {
        match event {
            Event::StageStarted { stage } => {
                if *stage == Stage::DocumentProcessing {
                    self.documents = Documents::Reading;
                }
                self.enter(stage.step(), now);
            }
            Event::StageFinished { stage } => {
                if *stage == Stage::DocumentProcessing {
                    self.documents = Documents::Read;
                    // What is counted from here on are parts of the analysis.
                    let state = &mut self.steps[index(stage.step())];
                    (state.done, state.total) = (0, 0);
                }
                // Documents and analysis share a step; it ends with the analysis.
                if stage.next().is_none_or(|next| next.step() != stage.step()) {
                    self.complete(stage.step(), now);
                }
            }
            Event::Progress { step, done, total } => {
                self.enter(*step, now);
                let state = &mut self.steps[index(*step)];
                state.done = *done;
                state.total = *total;
                // After a resume nobody tells the plan again; what was written before counts.
                if *step == Step::Content {
                    (self.lessons_done, self.lessons_planned) = (*done, *total);
                }
            }
            Event::SectionReady { lessons, .. } => {
                self.first_section_at.get_or_insert(now);
                self.sections += 1;
                self.lessons_planned += count(lessons.len());
            }
            Event::StructureReady { sections, lessons } => {
                self.sections = *sections;
                self.lessons_planned = *lessons;
            }
            Event::LessonReady {
                words, needs_review, ..
            } => {
                self.lessons_done += 1;
                self.lessons_for_review += u32::from(*needs_review);
                self.words += u64::from(*words);
            }
            Event::Tokens { new } => self.recent_tokens.push_back((now, *new)),
            Event::CallEnded { input, output, cost } => {
                self.calls += 1;
                self.usage += TokenUsage::new(*input, *output);
                match cost {
                    Some(cost) => self.cost += *cost,
                    None => self.has_unpriced = true,
                }
            }
            Event::CallSkipped => self.calls_skipped += 1,
            Event::Retry { .. } => self.retries += 1,
            Event::BudgetNear { .. } | Event::Notice { .. } => {}
        }
        while self
            .recent_tokens
            .front()
            .is_some_and(|(at, _)| now - *at > SPEED_WINDOW)
        {
            self.recent_tokens.pop_front();
        }
    }

    fn enter(&mut self, step: Step, now: DateTime<Utc>) {
        for earlier in Step::ALL.into_iter().filter(|earlier| *earlier < step) {
            self.complete(earlier, now);
        }
        let state = &mut self.steps[index(step)];
        if state.status == StepStatus::Pending {
            state.status = StepStatus::InProgress;
            state.started_at = Some(now);
        }
        self.step = step;
    }

    fn complete(&mut self, step: Step, now: DateTime<Utc>) {
        let state = &mut self.steps[index(step)];
        if state.status != StepStatus::Completed {
            state.status = StepStatus::Completed;
            state.ended_at = Some(now);
        }
    }

    /// The step under way.
    pub(crate) const fn step(&self) -> Step {
        self.step
    }

    /// Where a step stands.
    pub(crate) const fn state(&self, step: Step) -> StepState {
        self.steps[index(step)]
    }

    /// Whether the course is made from documents.
    pub(crate) fn has_documents(&self) -> bool {
        self.documents != Documents::None
    }

    /// Whether its documents are being read.
    pub(crate) fn is_reading(&self) -> bool {
        self.documents == Documents::Reading
    }

    /// Lesson texts written, and planned.
    pub(crate) const fn lessons(&self) -> (u32, u32) {
        (self.lessons_done, self.lessons_planned)
    }

    /// Money spent in this run.
    pub(crate) const fn cost(&self) -> ShownCost {
        ShownCost {
            known: self.cost,
            has_unpriced: self.has_unpriced,
        }
    }

    /// Calls that ended in this run, calls found done in the database, attempts rejected.
    pub(crate) const fn calls(&self) -> (u32, u32, u32) {
        (self.calls, self.calls_skipped, self.retries)
    }

    /// Time since the beginning.
    pub(crate) fn elapsed(&self, now: DateTime<Utc>) -> TimeDelta {
        now - self.started_at
    }

    /// Time from the beginning to the first section on the screen.
    pub(crate) fn time_to_first_section(&self) -> Option<TimeDelta> {
        self.first_section_at.map(|at| at - self.started_at)
    }

    /// Tokens a second, lately; `None` while no model writes.
    pub(crate) fn tokens_per_second(&self, now: DateTime<Utc>) -> Option<f64> {
        let (first, _) = self.recent_tokens.front()?;
        let tokens: u64 = self.recent_tokens.iter().map(|(_, tokens)| tokens).sum();
        // The last moments count whether or not anything came in them.
        let seconds = (now - *first).as_seconds_f64().max(1.0);
        (now - *first <= SPEED_WINDOW && tokens > 0).then_some(tokens as f64 / seconds)
    }

    /// The share of the work that is done, 0 to 1.
    pub(crate) fn share_done(&self) -> f64 {
        Step::ALL
            .into_iter()
            .zip(TIME_SHARES)
            .map(|(step, share)| share * self.step_share(step))
            .sum()
    }

    /// The same in whole thousandths.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the share is between 0 and 1"
    )]
    pub(crate) fn permille_done(&self) -> u32 {
        (self.share_done() * 1000.0) as u32
    }

    fn step_share(&self, step: Step) -> f64 {
        let state = self.state(step);
        match state.status {
            StepStatus::Completed => 1.0,
            StepStatus::InProgress if step == Step::Content && self.lessons_planned > 0 => {
                (f64::from(self.lessons_done) / f64::from(self.lessons_planned)).min(1.0)
            }
            StepStatus::InProgress if state.total > 0 => {
                (f64::from(state.done) / f64::from(state.total)).min(1.0)
            }
            StepStatus::InProgress | StepStatus::Pending | StepStatus::Failed => 0.0,
        }
    }

    /// The time that is probably left; `None` while nothing sensible can be said, and when all lessons are written.
    pub(crate) fn time_left(&self, now: DateTime<Utc>) -> Option<TimeDelta> {
        if self.lessons_planned > 0 && self.lessons_done >= self.lessons_planned {
            return None;
        }
        let content = self.state(Step::Content);
        let seconds = if let (Some(started_at), true) = (content.started_at, self.lessons_done > 0) {
            let left = self.lessons_planned.saturating_sub(self.lessons_done);
            (now - started_at).as_seconds_f64() / f64::from(self.lessons_done) * f64::from(left)
        } else {
            let share = self.share_done();
            if share < LEAST_SHARE_FOR_ESTIMATE {
                return None;
            }
            self.elapsed(now).as_seconds_f64() * (1.0 - share) / share
        };
        TimeDelta::from_std(std::time::Duration::try_from_secs_f64(seconds).ok()?).ok()
    }
}

const fn index(step: Step) -> usize {
    step.id() as usize - 1
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A time as people read it: `0.4 s`, `42 s`, `3:07`, `1:02:03`.
pub(crate) fn duration(time: TimeDelta) -> String {
    let seconds = time.num_seconds();
    match seconds {
        ..10 => format!("{:.1} s", time.as_seconds_f64().max(0.0)),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn lesson(number: u32) -> Event {
        Event::LessonReady {
            number,
            title: "A lesson".to_owned(),
            words: 1000,
            needs_review: number == 2,
        }
    }

    #[test]
    fn steps_follow_the_stages() {
        let mut board = Board::new(at(0));
        board.record(
            &Event::StageStarted {
                stage: Stage::Analysis,
            },
            at(1),
        );
        assert_eq!(board.state(Step::Launch).status, StepStatus::Completed);
        assert_eq!(board.state(Step::Understanding).status, StepStatus::InProgress);
        board.record(
            &Event::StageFinished {
                stage: Stage::Analysis,
            },
            at(3),
        );
        assert_eq!(board.state(Step::Understanding).ended_at, Some(at(3)));
        board.record(
            &Event::StageStarted {
                stage: Stage::Content,
            },
            at(4),
        );
        assert_eq!(board.state(Step::Structure).status, StepStatus::Completed);
        assert_eq!(board.step(), Step::Content);
    }

    #[test]
    fn documents_do_not_end_the_step_that_they_share_with_the_analysis() {
        let mut board = Board::new(at(0));
        board.record(
            &Event::StageStarted {
                stage: Stage::DocumentProcessing,
            },
            at(0),
        );
        board.record(
            &Event::StageFinished {
                stage: Stage::DocumentProcessing,
            },
            at(1),
        );
        assert_eq!(board.state(Step::Understanding).status, StepStatus::InProgress);
        assert!(board.has_documents() && !board.is_reading());
    }

    #[test]
    fn time_left_follows_the_speed_of_the_lessons() {
        let mut board = Board::new(at(0));
        assert_eq!(board.time_left(at(0)), None);
        board.record(
            &Event::StructureReady {
                sections: 4,
                lessons: 12,
            },
            at(50),
        );
        board.record(
            &Event::StageStarted {
                stage: Stage::Content,
            },
            at(100),
        );
        for number in 1..=3 {
            board.record(&lesson(number), at(100 + i64::from(number) * 10));
        }
        assert_eq!(board.lessons(), (3, 12));
        assert_eq!(board.time_left(at(130)).unwrap().num_seconds(), 90);
        for number in 4..=12 {
            board.record(&lesson(number), at(140));
        }
        assert_eq!(board.time_left(at(140)), None);
        let share = board.share_done();
        assert!((0.9..1.0).contains(&share), "{share}");
    }

    #[test]
    fn speed_forgets_what_is_long_ago() {
        let mut board = Board::new(at(0));
        assert_eq!(board.tokens_per_second(at(0)), None);
        for second in 0..5 {
            board.record(&Event::Tokens { new: 100 }, at(second));
        }
        assert_eq!(board.tokens_per_second(at(5)), Some(100.0));
        board.record(&Event::CallSkipped, at(60));
        assert_eq!(board.tokens_per_second(at(60)), None);
    }

    #[test]
    fn first_section_is_timed_once() {
        let mut board = Board::new(at(0));
        let section = |number| Event::SectionReady {
            number,
            title: "Section".to_owned(),
            lessons: vec!["One".to_owned(), "Two".to_owned()],
        };
        board.record(&section(2), at(7));
        board.record(&section(1), at(9));
        assert_eq!(board.time_to_first_section(), Some(TimeDelta::seconds(7)));
        assert_eq!(board.lessons(), (0, 4));
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(duration(TimeDelta::milliseconds(420)), "0.4 s");
        assert_eq!(duration(TimeDelta::seconds(42)), "42 s");
        assert_eq!(duration(TimeDelta::seconds(187)), "3:07");
        assert_eq!(duration(TimeDelta::seconds(3723)), "1:02:03");
    }
}
