//! Failures of one model call.

use std::time::Duration;

use domain::error::ErrorKind;

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
    #[error("the provider asks to slow down{}", retry_after.map_or_else(String::new, |wait| format!(" for {} s", wait.as_secs())))]
    RateLimited { retry_after: Option<Duration> },
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
    /// The account has no credit (HTTP 402).
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
    /// The circuit breaker of this model is open.
    #[error("the model is not called for now, it failed too often; next try in {} s", retry_in.as_secs())]
    BreakerOpen { retry_in: Duration },
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The embedded model cannot be used: file missing, damaged, or not enough memory.
    #[error("{0}")]
    Setup(String),
}

impl ProviderError {
    /// Whether the same call may succeed when tried again (the transport ladder, generation 3.4).
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::RateLimited { .. }
            | Self::Server { .. }
            | Self::Empty
            | Self::BrokenStream { .. } => true,
            Self::Unauthorized { .. }
            | Self::NoCredit { .. }
            | Self::UnknownModel { .. }
            | Self::Rejected { .. }
            | Self::Filtered { .. }
            | Self::BreakerOpen { .. }
            | Self::Cancelled
            | Self::Setup(_) => false,
        }
    }

    /// How long the provider asked to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Server { retry_after, .. } => *retry_after,
            Self::BreakerOpen { retry_in } => Some(*retry_in),
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
            | Self::Setup(_) => ErrorKind::Setup,
            Self::Filtered { .. } => ErrorKind::Model,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }
}
