//! Why a stage did not finish.

use domain::error::ErrorKind;
use domain::usage::MicroUsd;
use llm::error::ProviderError;
use llm::gateway::CallError;

use crate::engine::Declined;

/// Why a stage did not finish.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// None of the course's documents could be read.
    #[error("none of the course's documents could be read: {}", problems.join("; "))]
    Documents {
        /// What is wrong with each, by name, and what to do: sentences for the author.
        problems: Vec<String>,
    },
    /// A document cannot be read for now: storage or the embedding model does not answer.
    #[error("'{name}' cannot be read for now: {reason}")]
    Postponed {
        /// The document's name.
        name: String,
        /// What does not answer.
        reason: String,
    },
    /// The models gave no usable answer within all attempts.
    #[error("{what}: no usable answer after {attempts} attempts; the last problem: {problem}")]
    Unusable {
        /// What was asked for.
        what: String,
        /// Content attempts made.
        attempts: u32,
        /// The finding that stood against the best candidate.
        problem: String,
    },
    /// A model could not be called.
    #[error("{what} could not be made")]
    Call {
        /// What was asked for.
        what: String,
        /// Why.
        #[source]
        cause: Box<CallError>,
    },
    /// The embedding model failed.
    #[error("texts could not be compared")]
    Embedding(#[source] ProviderError),
    /// The budget is used up; everything that is done is kept.
    #[error(
        "the budget of {budget} is used up ({spent} counted{}); what is done is kept",
        if *assumed > MicroUsd::ZERO { ", by an assumed price: that of the model is unknown" } else { "" }
    )]
    Budget {
        /// Counted so far.
        spent: MicroUsd,
        /// How much of it is assumed, for models of unknown price.
        assumed: MicroUsd,
        /// The most that may be spent.
        budget: MicroUsd,
    },
    /// The database failed.
    #[error("the database failed")]
    Store(#[source] Box<store::error::StoreError>),
    /// A stage was started without what it needs.
    #[error("the {stage} stage needs {missing}, which is not there; run the stage before it")]
    MissingInput {
        /// The stage.
        stage: &'static str,
        /// What is missing.
        missing: &'static str,
    },
    /// The course is short of lessons after everything was tried.
    #[error(
        "the course has {lessons} lessons; at least {least} are needed, and extending its sections brought no more"
    )]
    TooFewLessons {
        /// What it has.
        lessons: usize,
        /// What it needs.
        least: usize,
    },
    /// The structure still breaks rules after everything was tried.
    #[error("the structure breaks {count} rules that could not be mended; the first: {first}")]
    InvalidStructure {
        /// How many.
        count: usize,
        /// The first.
        first: String,
    },
    /// A prompt file is wrong: a fault of ours.
    #[error("prompt '{name}': {reason}")]
    Prompt {
        /// The file.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// An answer that passed its schema does not fit its type: a fault of ours.
    #[error("{what} does not fit its type")]
    Shape {
        /// What.
        what: String,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// A task of a stage broke down: a fault of ours.
    #[error("a part of the stage broke down")]
    Task(#[source] tokio::task::JoinError),
    /// Another part of the stage has met what ends it: nothing new is begun.
    #[error("not begun: another part of the stage has failed")]
    Halted,
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl From<store::error::StoreError> for PipelineError {
    fn from(cause: store::error::StoreError) -> Self {
        Self::Store(Box::new(cause))
    }
}

impl PipelineError {
    /// From a task that did not end by itself.
    pub(crate) const fn task(cause: tokio::task::JoinError) -> Self {
        Self::Task(cause)
    }

    /// The kind for exit codes and statuses.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unusable { .. } | Self::TooFewLessons { .. } | Self::InvalidStructure { .. } => {
                ErrorKind::Model
            }
            Self::Documents { .. } => ErrorKind::Invalid,
            Self::Postponed { .. } => ErrorKind::Unavailable,
            Self::Call { cause, .. } => cause.kind(),
            Self::Embedding(cause) => cause.kind(),
            Self::Budget { .. } => ErrorKind::LimitReached,
            Self::Store(cause) => cause.kind(),
            Self::MissingInput { .. }
            | Self::Prompt { .. }
            | Self::Shape { .. }
            | Self::Task(_)
            | Self::Halted => ErrorKind::Internal,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    /// Whether only the piece that was asked for cannot be had: no usable answer, content that every model of the route
    /// declines, or a prompt that fits none. Other pieces of the course are not concerned.
    pub(crate) fn is_of_one_piece(&self) -> bool {
        match self {
            Self::Unusable { .. } | Self::Shape { .. } => true,
            Self::Call { cause, .. } => cause.is_of_this_call(),
            Self::Documents { .. }
            | Self::Postponed { .. }
            | Self::Embedding(_)
            | Self::Budget { .. }
            | Self::Store(_)
            | Self::MissingInput { .. }
            | Self::TooFewLessons { .. }
            | Self::InvalidStructure { .. }
            | Self::Prompt { .. }
            | Self::Task(_)
            | Self::Halted
            | Self::Cancelled => false,
        }
    }

    /// Whether another try at the same piece may go well: its content was declined, or the model thought too long.
    pub(crate) fn may_pass(&self) -> bool {
        let Self::Call { cause, .. } = self else {
            return false;
        };
        Declined::of(cause).is_some()
    }

    /// Whether the stage has waited for its provider up to the limit: then the job is not tried again by itself.
    pub(crate) fn has_waited(&self) -> bool {
        let Self::Call { cause, .. } = self else {
            return false;
        };
        matches!(
            &**cause,
            CallError::Exhausted { cause, asked: None, .. }
                if cause.is_outage() && !matches!(cause, ProviderError::Connect { .. })
        )
    }

    /// Why one piece could not be made, as a sentence for the author: without addresses and without providers' answers,
    /// which are for the log and for admins.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Unusable {
                attempts, problem, ..
            } => format!("no usable text after {attempts} attempts; the last problem: {problem}"),
            Self::Call { cause, .. } => match &**cause {
                CallError::TooLong { .. } => cause.to_string(),
                CallError::Refused {
                    cause: ProviderError::NoRoom { .. },
                    ..
                } => "the model used all its tokens for thinking and wrote no text".to_owned(),
                CallError::Refused { .. }
                | CallError::Exhausted { .. }
                | CallError::Stopped { .. }
                | CallError::Cancelled => "the models decline to write about this content".to_owned(),
            },
            Self::Documents { .. }
            | Self::Postponed { .. }
            | Self::Embedding(_)
            | Self::Budget { .. }
            | Self::Store(_)
            | Self::MissingInput { .. }
            | Self::TooFewLessons { .. }
            | Self::InvalidStructure { .. }
            | Self::Prompt { .. }
            | Self::Shape { .. }
            | Self::Task(_)
            | Self::Halted
            | Self::Cancelled => self.to_string(),
        }
    }

    /// What the author is told beside the sentence that belongs to the code: nothing but what concerns their own
    /// documents, for causes name addresses and repeat providers' answers.
    pub(crate) fn told(&self) -> Option<String> {
        match self {
            Self::Documents { problems } => Some(problems.join(" ")),
            Self::Unusable { .. }
            | Self::Postponed { .. }
            | Self::Call { .. }
            | Self::Embedding(_)
            | Self::Budget { .. }
            | Self::Store(_)
            | Self::MissingInput { .. }
            | Self::TooFewLessons { .. }
            | Self::InvalidStructure { .. }
            | Self::Prompt { .. }
            | Self::Shape { .. }
            | Self::Task(_)
            | Self::Halted
            | Self::Cancelled => None,
        }
    }

    /// The stable code that is stored with a failed generation.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Budget { .. } => "BUDGET_EXHAUSTED",
            Self::Cancelled => "CANCELLED",
            Self::Documents { .. } => "DOCUMENTS_UNREADABLE",
            Self::Unusable { .. } | Self::TooFewLessons { .. } | Self::InvalidStructure { .. } => "LLM_ERROR",
            Self::Call { .. } | Self::Embedding(_) | Self::Postponed { .. } => "PROVIDER_ERROR",
            Self::Store(_) => "DATABASE_ERROR",
            Self::MissingInput { .. }
            | Self::Prompt { .. }
            | Self::Shape { .. }
            | Self::Task(_)
            | Self::Halted => "INTERNAL_ERROR",
        }
    }
}
