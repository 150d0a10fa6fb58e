//! Failures of one model call.

use std::time::Duration;

use domain::error::ErrorKind;
use domain::usage::{MicroUsd, TokenUsage};

/// Why one attempt failed. Whether it is tried again is decided by [`ProviderError::is_transient`] alone.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProviderError {
    /// No connection to the endpoint.
    #[error("no connection to {endpoint}: {reason}")]
    Connect { endpoint: String, reason: String },
    /// No byte came for too long.
    #[error("no answer within {} s", after.as_secs())]
    Timeout { after: Duration },
    /// The provider asks to slow down (HTTP 429).
    #[error("the provider asks to slow down{}: {message}", retry_after.map_or_else(String::new, |wait| format!(" for {} s", wait.as_secs())))]
    RateLimited {
        retry_after: Option<Duration>,
        message: String,
    },
    /// The provider failed (HTTP 408, 409, 425, 5xx).
    #[error("the provider failed with status {status}: {message}")]
    Server {
        status: u16,
        message: String,
        retry_after: Option<Duration>,
    },
    /// The answer had no content.
    #[error("the provider gave an empty answer")]
    Empty,
    /// The stream broke before its end.
    #[error("the answer broke off: {reason}")]
    BrokenStream { reason: String },
    /// The key was refused (HTTP 401, 403).
    #[error("the provider refused the key (status {status}): {message}")]
    Unauthorized { status: u16, message: String },
    /// The account has no credit or quota left (HTTP 402, and 429 that says so): waiting does not help.
    #[error("the provider's account has no credit left: {message}")]
    NoCredit { message: String },
    /// The provider does not know the model (HTTP 404).
    #[error("the provider does not know the model '{model}': {message}")]
    UnknownModel { model: String, message: String },
    /// The provider rejects the request (HTTP 400, 413, 422).
    #[error("the provider rejected the request (status {status}): {message}")]
    Rejected { status: u16, message: String },
    /// The provider's filter, or the model itself, declines this very content: another model may take it, and other
    /// pieces of the course are not concerned.
    #[error("the content was declined: {message}")]
    Filtered { message: String },
    /// The prompt alone fills the window that the server names.
    #[error("the prompt does not fit the model's window of {window} tokens: {message}")]
    TooLong { window: u32, message: String },
    /// The model used all the tokens that it was given for thoughts and wrote no answer.
    #[error("the model used all its {tokens} tokens for thinking and wrote no answer")]
    NoRoom { tokens: u64 },
    /// Something else than a model's API answered: a web page, a firewall, a redirect.
    #[error("{address} does not answer as a model's API does: {message}")]
    Foreign { address: String, message: String },
    /// The circuit breaker of this model is open; `cause` is the failure that opened it.
    #[error("{cause} (the model failed too often; next try in {} s)", retry_in.as_secs())]
    BreakerOpen {
        retry_in: Duration,
        cause: Box<ProviderError>,
    },
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The embedded model cannot be used: file missing, damaged, or not enough memory.
    #[error("{0}")]
    Setup(String),
}

impl ProviderError {
    /// Whether time may mend it: the provider is away or busy, and a stage waits for it (generation 3.4).
    pub const fn is_outage(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::RateLimited { .. }
            | Self::Server { .. }
            | Self::BrokenStream { .. }
            | Self::BreakerOpen { .. } => true,
            // The server is well: it answers, but not with what was asked for.
            Self::Empty
            | Self::Unauthorized { .. }
            | Self::NoCredit { .. }
            | Self::UnknownModel { .. }
            | Self::Rejected { .. }
            | Self::Filtered { .. }
            | Self::TooLong { .. }
            | Self::NoRoom { .. }
            | Self::Foreign { .. }
            | Self::Cancelled
            | Self::Setup(_) => false,
        }
    }

    /// Whether it concerns this call alone, so that another model may do better and other calls go on.
    pub const fn is_of_this_call(&self) -> bool {
        matches!(
            self,
            Self::Filtered { .. } | Self::TooLong { .. } | Self::NoRoom { .. } | Self::Empty
        )
    }

    /// The failure behind an open breaker; any other is its own cause.
    pub fn true_cause(&self) -> &Self {
        match self {
            Self::BreakerOpen { cause, .. } => cause.true_cause(),
            other => other,
        }
    }

    /// Whether the same call may succeed when tried again at once (the transport ladder, generation 3.4).
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::RateLimited { .. }
            | Self::Server { .. }
            | Self::Empty
            | Self::NoRoom { .. }
            | Self::Filtered { .. }
            | Self::BrokenStream { .. } => true,
            Self::Unauthorized { .. }
            | Self::NoCredit { .. }
            | Self::UnknownModel { .. }
            | Self::Rejected { .. }
            | Self::TooLong { .. }
            | Self::Foreign { .. }
            | Self::BreakerOpen { .. }
            | Self::Cancelled
            | Self::Setup(_) => false,
        }
    }

    /// How long the provider asked to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Server { retry_after, .. } => *retry_after,
            Self::BreakerOpen { retry_in, .. } => Some(*retry_in),
            _ => None,
        }
    }

    /// A stable word for logs, metrics and the call log.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Timeout { .. } => "timeout",
            Self::RateLimited { .. } => "rate_limited",
            Self::Server { .. } => "server_error",
            Self::Empty => "empty",
            Self::BrokenStream { .. } => "broken_stream",
            Self::Unauthorized { .. } => "unauthorized",
            Self::NoCredit { .. } => "no_credit",
            Self::UnknownModel { .. } => "unknown_model",
            Self::Rejected { .. } => "rejected",
            Self::Filtered { .. } => "filtered",
            Self::TooLong { .. } => "too_long",
            Self::NoRoom { .. } => "no_room",
            Self::Foreign { .. } => "foreign_answer",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::Cancelled => "cancelled",
            Self::Setup(_) => "setup",
        }
    }

    /// The kind for exit codes and statuses.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::RateLimited { .. }
            | Self::Server { .. }
            | Self::Empty
            | Self::BrokenStream { .. }
            | Self::BreakerOpen { .. } => ErrorKind::Unavailable,
            Self::Unauthorized { .. }
            | Self::NoCredit { .. }
            | Self::UnknownModel { .. }
            | Self::Rejected { .. }
            | Self::Foreign { .. }
            | Self::Setup(_) => ErrorKind::Setup,
            Self::Filtered { .. } | Self::NoRoom { .. } => ErrorKind::Model,
            Self::TooLong { .. } => ErrorKind::Invalid,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }
}

/// A failed attempt, with what the provider says that it used all the same: a stream that broke may have been paid for.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct FailedAttempt {
    /// What went wrong.
    #[source]
    pub error: ProviderError,
    /// What the provider reported before it failed.
    pub spent: Option<Spent>,
}

/// Tokens and money of an attempt, as its provider reports them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// Tokens.
    pub usage: TokenUsage,
    /// Tokens of the prompt that were in the provider's cache; part of `usage.input`.
    pub cached_input: u64,
    /// The provider's own figure of the cost, if it gives one.
    pub cost: Option<MicroUsd>,
}

impl From<ProviderError> for FailedAttempt {
    fn from(error: ProviderError) -> Self {
        Self { error, spent: None }
    }
}
