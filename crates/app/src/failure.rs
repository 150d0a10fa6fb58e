//! How a command ends: exit codes, and failures as people read them.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use domain::error::{ErrorKind, InvalidInput};
use llm::error::ProviderError;
use llm::gateway::CallError;
use pipeline::error::PipelineError;

/// The exit codes, as the help lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Success,
    /// Something failed.
    Failure,
    /// The input or the set-up is wrong; nothing was begun, or it can be resumed once mended.
    Setup,
    /// The budget is used up; resumable.
    Budget,
    /// Interrupted; resumable.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Setup => 2,
            Self::Budget => 3,
            // 128 + SIGINT, as shells report it.
            Self::Interrupted => 130,
        }
    }

    const fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Setup => Self::Setup,
            ErrorKind::LimitReached => Self::Budget,
            ErrorKind::Cancelled => Self::Interrupted,
            ErrorKind::Forbidden
            | ErrorKind::Conflict
            | ErrorKind::Unavailable
            | ErrorKind::Model
            | ErrorKind::Internal => Self::Failure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what it was asked: one sentence, its causes, and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    summary: String,
    causes: Vec<String>,
    advice: Vec<String>,
}

impl Failure {
    /// A failure with this exit code.
    pub(crate) fn new(exit: Exit, summary: impl Into<String>) -> Self {
        Self {
            exit,
            summary: summary.into(),
            causes: Vec::new(),
            advice: Vec::new(),
        }
    }

    /// Something is missing or wrong on this machine or in the configuration.
    pub(crate) fn setup(summary: impl Into<String>) -> Self {
        Self::new(Exit::Setup, summary)
    }

    /// An error with its chain of causes.
    pub(crate) fn of(kind: ErrorKind, error: &dyn Error) -> Self {
        let mut failure = Self::new(Exit::of(kind), error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Some libraries repeat their cause in their own message.
            if failure.causes.last().is_none_or(|last| !last.ends_with(&text)) {
                failure.causes.push(text);
            }
            source = cause.source();
        }
        failure
    }

    /// Inputs that break limits: all at once.
    pub(crate) fn inputs(errors: &[InvalidInput]) -> Self {
        let summary = match errors {
            [one] => format!("{}: {}", flag_of(&one.field), one.message),
            many => format!("{} inputs break a limit", many.len()),
        };
        let mut failure = Self::new(Exit::Setup, summary);
        if errors.len() > 1 {
            failure.causes = errors
                .iter()
                .map(|error| format!("{}: {}", flag_of(&error.field), error.message))
                .collect();
        }
        failure
    }

    /// Adds a cause.
    #[must_use]
    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds a sentence on what to do.
    #[must_use]
    pub(crate) fn advice(mut self, sentence: impl Into<String>) -> Self {
        self.advice.push(sentence.into());
        self
    }
}

/// The field with the flag that sets it, where their names differ.
fn flag_of(field: &str) -> String {
    let flag = match field.split('[').next().unwrap_or(field) {
        "title" => return "title".to_owned(),
        "target_audience" => "audience",
        "desired_lessons_count" => "lessons",
        "desired_modules_count" => "sections",
        "lesson_duration_minutes" => "minutes",
        "learning_outcomes" => "outcome",
        "content_strategy" => "strategy",
        "budget_usd" => "budget",
        other => other,
    };
    format!("{field} (--{flag})")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.summary)?;
        for cause in &self.causes {
            write!(f, "\n  - {}", cause.replace('\n', "\n    "))?;
        }
        for sentence in &self.advice {
            write!(f, "\n  what to do: {sentence}")?;
        }
        Ok(())
    }
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        let mut failure = Self::of(error.kind(), &error);
        if let PipelineError::Call { cause, .. } = &error {
            failure = match &**cause {
                CallError::Refused { cause, .. } => failure.for_provider(cause),
                CallError::Exhausted { cause, .. } => {
                    let failure = failure.for_provider(cause);
                    if cause.is_outage() && !matches!(cause, ProviderError::Connect { .. }) {
                        failure.advice(WAIT_LONGER)
                    } else {
                        failure
                    }
                }
                CallError::TooLong { .. } => failure.advice(LARGER_WINDOW),
                CallError::Stopped { .. } | CallError::Cancelled => failure,
            };
        }
        if let PipelineError::Embedding(cause) = &error {
            failure = failure.for_provider(cause);
        }
        failure
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Self::of(error.kind(), &error).for_provider(&error)
    }
}

/// What helps against outages that outlast the wait limit.
const WAIT_LONGER: &str =
    "go on when the provider is back, or let stages wait longer: wait_limit_secs in coursewright.toml";
/// What helps against small windows.
const LARGER_WINDOW: &str = "give the model a larger window where it is served (Ollama: OLLAMA_CONTEXT_LENGTH, llama.cpp: -c, vLLM: --max-model-len), or choose another: --model ID";

impl Failure {
    /// The exit code and the advice that fit a provider's failure.
    fn for_provider(mut self, error: &ProviderError) -> Self {
        let advice = match error {
            ProviderError::Connect { .. } => {
                // An address where nobody answers is a matter of set-up, even if it may answer later.
                self.exit = Exit::Setup;
                "check the provider's address and that it is running: `coursewright providers test`"
            }
            ProviderError::Unauthorized { .. } => "check the provider's key: `coursewright providers test`",
            ProviderError::NoCredit { .. } => "add credit to the provider's account, then resume",
            ProviderError::UnknownModel { .. } => "check the model's id: `coursewright models list`",
            ProviderError::Setup(_) => "check the model file: `coursewright models check`",
            ProviderError::Foreign { .. } => {
                "check the base URL: it ends with the version, as in http://localhost:11434/v1; `coursewright providers test` calls it"
            }
            ProviderError::TooLong { .. } => LARGER_WINDOW,
            ProviderError::NoRoom { .. } => {
                "let it think less (extra = { reasoning_effort = \"low\" } of its provider in coursewright.toml), give it a larger max_output in its model card, or choose a model that does not think: --model ID"
            }
            ProviderError::Filtered { .. } => {
                "say it in other words (title, documents, wishes), or choose another model: --model ID"
            }
            ProviderError::Rejected { .. } => {
                "see what the provider takes: `coursewright providers test`; fields can be added or replaced with `extra` of its provider in coursewright.toml"
            }
            ProviderError::Empty => {
                "choose another model (--model ID), or see what it answers: `coursewright providers test`"
            }
            ProviderError::Timeout { .. }
            | ProviderError::RateLimited { .. }
            | ProviderError::Server { .. }
            | ProviderError::BrokenStream { .. }
            | ProviderError::BreakerOpen { .. }
            | ProviderError::Cancelled => return self,
        };
        self.advice(advice)
    }
}

macro_rules! failures {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::of(error.kind(), &error)
            }
        }
    )+};
}

failures! { crate::auth::session::AccountError, crate::config::ConfigError, store::error::StoreError, formats::export::ExportError }

impl From<llm::card::CardError> for Failure {
    fn from(error: llm::card::CardError) -> Self {
        Self::of(ErrorKind::Setup, &error)
    }
}

impl From<llm::route::RouteError> for Failure {
    fn from(error: llm::route::RouteError) -> Self {
        Self::of(ErrorKind::Setup, &error)
            .advice("correct [routes] in coursewright.toml, or name one model with --model")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_inputs_are_told_at_once_with_their_flags() {
        let errors = [
            InvalidInput::new("title", "must not be empty"),
            InvalidInput::new("desired_lessons_count", "must be from 10 to 1000, not 0"),
            InvalidInput::new("learning_outcomes[2]", "must have 10 to 600 characters, not 3"),
        ];
        let failure = Failure::inputs(&errors);
        assert_eq!(failure.exit.code(), 2);
        let text = failure.to_string();
        for part in [
            "3 inputs",
            "title: ",
            "desired_lessons_count (--lessons)",
            "learning_outcomes[2] (--outcome)",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn provider_failures_have_their_own_codes_and_advice() {
        let check = |error: ProviderError, code: u8, advice: &str| {
            let failure = Failure::from(PipelineError::Call {
                what: "analysis".to_owned(),
                cause: Box::new(CallError::Exhausted {
                    work: llm::route::Work::Analysis,
                    attempts: 3,
                    waited: std::time::Duration::ZERO,
                    asked: None,
                    cause: error,
                }),
            });
            assert!(failure.to_string().contains(advice), "{failure}");
            assert_eq!(failure.exit.code(), code, "{failure}");
        };
        let connect = ProviderError::Connect {
            endpoint: "http://x".to_owned(),
            reason: "refused".to_owned(),
        };
        check(connect, 2, "address");
        let busy = ProviderError::Server {
            status: 503,
            message: "busy".to_owned(),
            retry_after: None,
        };
        check(busy, 1, "busy");
    }

    #[test]
    fn kinds_become_the_documented_exit_codes() {
        assert_eq!(Exit::of(ErrorKind::Setup).code(), 2);
        assert_eq!(Exit::of(ErrorKind::LimitReached).code(), 3);
        assert_eq!(Exit::of(ErrorKind::Cancelled).code(), 130);
        assert_eq!(Exit::of(ErrorKind::Model).code(), 1);
    }
}
