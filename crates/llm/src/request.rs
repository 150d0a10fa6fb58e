//! What is asked of a model.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The program's instructions.
    System,
    /// The question, with all data that came from people and documents.
    User,
    /// An earlier answer of the model.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// The text.
    pub content: String,
}

impl Message {
    /// The program's instructions.
    pub fn system(content: impl Into<String>) -> Self {
        Self {
            role: Role::System,
            content: content.into(),
        }
    }

    /// The question.
    pub fn user(content: impl Into<String>) -> Self {
        Self {
            role: Role::User,
            content: content.into(),
        }
    }

    /// An earlier answer.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self {
            role: Role::Assistant,
            content: content.into(),
        }
    }
}

/// The shape that the answer must have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputSchema {
    /// A name for the provider's `response_format`: letters, digits, `_`, at most 64.
    pub name: String,
    /// JSON Schema, draft 2020-12. Providers that constrain decoding follow it to the letter.
    pub schema: Value,
}

/// How the next token is chosen. `None` leaves the provider's default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// Nucleus: the smallest set of tokens with this probability.
    pub top_p: Option<f32>,
    /// Subtracted from a token's logit for each time it already occurs in the answer.
    pub frequency_penalty: Option<f32>,
    /// The same seed gives the same answer where the provider can do that.
    pub seed: Option<u64>,
}

/// The first temperature of the content ladder (generation 3.4).
pub const FIRST_TEMPERATURE: f32 = 0.7;
/// The temperature of the later attempts (generation 3.4).
pub const RETRY_TEMPERATURE: f32 = 0.3;

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: FIRST_TEMPERATURE,
            top_p: None,
            frequency_penalty: None,
            seed: None,
        }
    }
}

/// One call of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The model's id as its card names it.
    pub model: String,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// The shape of the answer; `None` is free text.
    pub schema: Option<OutputSchema>,
    /// The longest answer, in tokens.
    pub max_output_tokens: u32,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// How long to wait without a byte from the provider before the call counts as timed out.
    pub idle_timeout: Duration,
    /// How long the caller waits for this provider in all, further tries included; a provider that decides over its
    /// own time-outs keeps them below this.
    pub wait_limit: Duration,
}
