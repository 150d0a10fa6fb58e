//! What kinds of failure there are, for every crate's `kind()`.

use serde::{Deserialize, Serialize};

/// The kind of a failure: what the caller can do about it. Chosen by the crate that fails,
/// turned into an exit code by the command line and into a status by HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The input breaks a limit or a rule; the caller must change it.
    Invalid,
    /// There is no such thing, or it is invisible to the caller.
    NotFound,
    /// The caller may see it but not do this.
    Forbidden,
    /// The present state does not allow it (already active, changed meanwhile).
    Conflict,
    /// A quota, concurrency or money limit is reached.
    LimitReached,
    /// A precondition is missing (no model, no server binaries, wrong key): mend the set-up.
    Setup,
    /// A service did not answer; the same call may work later.
    Unavailable,
    /// The model did not give a usable answer within all attempts (code `LLM_ERROR`).
    Model,
    /// Somebody asked to stop.
    Cancelled,
    /// A fault of ours.
    Internal,
}

/// One input that breaks a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{field}: {message}")]
pub struct InvalidInput {
    /// The field as the API and the command line name it, for example `title`.
    pub field: String,
    /// The limit and the value, as a sentence.
    pub message: String,
}

impl InvalidInput {
    /// An error on `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}
