//! What a running generation tells whoever watches it in the same process.
//!
//! The database holds the lasting progress; these events carry what is too fine or too frequent for it.

use domain::generation::Step;
use domain::stage::Stage;
use domain::usage::MicroUsd;

/// Something that happened in a generation.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A stage has begun (again, after a restart).
    StageStarted {
        /// The stage.
        stage: Stage,
    },
    /// A stage is done and saved.
    StageFinished {
        /// The stage.
        stage: Stage,
    },
    /// A step of the progress display moved on.
    Progress {
        /// The step under way.
        step: Step,
        /// Pieces done within the step.
        done: u32,
        /// Pieces in all; 0 while unknown.
        total: u32,
    },
    /// A section's specification is there.
    SectionReady {
        /// From 1.
        number: u32,
        /// Its title.
        title: String,
        /// Its lessons' titles.
        lessons: Vec<String>,
    },
    /// The whole structure is saved.
    StructureReady {
        /// Sections.
        sections: u32,
        /// Lessons.
        lessons: u32,
    },
    /// A lesson's text is saved.
    LessonReady {
        /// From 1, through the whole course.
        number: u32,
        /// Its title.
        title: String,
        /// Its words.
        words: u32,
        /// Whether it is below the quality threshold.
        needs_review: bool,
    },
    /// A model is writing.
    Tokens {
        /// Tokens since the last such event.
        new: u64,
    },
    /// A model call has ended.
    CallEnded {
        /// Tokens of its prompt.
        input: u64,
        /// Tokens of its answer.
        output: u64,
        /// Its cost; `None`: nobody knows the price.
        cost: Option<MicroUsd>,
    },
    /// A finished call was found in the database and not made again.
    CallSkipped,
    /// An attempt was rejected and is tried again.
    Retry {
        /// What was asked for.
        what: String,
        /// Why it was rejected.
        reason: String,
    },
    /// Most of the generation's budget is spent.
    BudgetNear {
        /// Spent so far.
        spent: MicroUsd,
        /// The most that may be spent.
        budget: MicroUsd,
    },
    /// Something the author should know.
    Notice {
        /// A sentence.
        message: String,
    },
}

/// Hears of events. Called often and from many tasks: it must be quick.
pub trait Observer: Send + Sync + std::fmt::Debug {
    /// Something happened.
    fn on_event(&self, event: Event);
}

/// An observer that does not listen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Observer for Unwatched {
    fn on_event(&self, _event: Event) {}
}
