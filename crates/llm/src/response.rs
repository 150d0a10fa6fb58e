//! What a model answered.

use std::time::Duration;

use domain::usage::{MicroUsd, TokenUsage};
use serde::{Deserialize, Serialize};

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// It was done.
    Stop,
    /// The answer was cut at `max_output_tokens`.
    Length,
    /// The provider's filter cut it.
    ContentFilter,
    /// The provider named another reason or none.
    Other,
}

impl FinishReason {
    /// The word in the call log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ContentFilter => "content_filter",
            Self::Other => "other",
        }
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The text as it came.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens, the provider's figures where it reports them, else counted.
    pub usage: TokenUsage,
    /// Tokens of the prompt that the provider says it had in its cache; part of `usage.input`.
    #[serde(default)]
    pub cached_input: u64,
    /// The provider's own figure of the cost; `None`: price table times tokens.
    pub cost: Option<MicroUsd>,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// The provider behind the provider, where it says (OpenRouter's `provider`).
    pub upstream: Option<String>,
    /// From the request to the last byte.
    pub latency: Duration,
}
