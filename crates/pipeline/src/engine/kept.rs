//! What came of a call, as its checkpoint keeps it. A replay reads nothing else, so all that decided over an attempt and is
//! not the question's own stands here.

use domain::usage::TokenUsage;
use llm::error::ProviderError;
use llm::gateway::CallError;
use llm::response::FinishReason;
use serde::{Deserialize, Serialize};

use crate::error::PipelineError;

/// What came of one call.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Kept {
    Answer(PaidAnswer),
    Declined { declined: Declined },
}

/// An answer that was paid for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PaidAnswer {
    pub(crate) text: String,
    pub(crate) finish_reason: FinishReason,
    pub(crate) model: String,
    pub(crate) usage: TokenUsage,
    pub(crate) latency_ms: u64,
    /// Whether single fields were asked for instead of the whole. The model's window decides over that, and what is known of
    /// the window changes. `None`: written by an earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) is_of_fields: Option<bool>,
}

/// A call without an answer because its content was declined or left no room for one: another attempt may bring one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Declined {
    model: String,
    provider: String,
    why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Why {
    Filtered { message: String },
    NoRoom { tokens: u64 },
    Empty,
}

impl Declined {
    /// `None`: the call failed in another way.
    pub(crate) fn of(error: &CallError) -> Option<Self> {
        let (model, provider, cause) = match error {
            CallError::Refused {
                model,
                provider,
                cause,
            } => (model.clone(), provider.clone(), cause),
            CallError::Exhausted { cause, .. } => (String::new(), String::new(), cause),
            CallError::TooLong { .. } | CallError::Stopped { .. } | CallError::Cancelled => return None,
        };
        let why = match cause {
            ProviderError::Filtered { message } => Why::Filtered {
                message: message.clone(),
            },
            ProviderError::NoRoom { tokens } => Why::NoRoom { tokens: *tokens },
            ProviderError::Empty => Why::Empty,
            _ => return None,
        };
        Some(Self { model, provider, why })
    }

    /// The error that it was.
    pub(crate) fn error(self, what: String) -> PipelineError {
        let cause = match self.why {
            Why::Filtered { message } => ProviderError::Filtered { message },
            Why::NoRoom { tokens } => ProviderError::NoRoom { tokens },
            Why::Empty => ProviderError::Empty,
        };
        PipelineError::Call {
            what,
            cause: Box::new(CallError::Refused {
                model: self.model,
                provider: self.provider,
                cause,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_is_read_as_it_was_written() {
        let old = json!({ "text": "{}", "finish_reason": "stop", "model": "m", "usage": TokenUsage::default(),
            "latency_ms": 5 });
        let kept: Kept = serde_json::from_value(old.clone()).unwrap();
        assert!(
            matches!(&kept, Kept::Answer(answer) if answer.is_of_fields.is_none()),
            "{kept:?}"
        );
        assert_eq!(serde_json::to_value(&kept).unwrap(), old);
        for cause in [
            ProviderError::Filtered {
                message: "no".to_owned(),
            },
            ProviderError::NoRoom { tokens: 7 },
            ProviderError::Empty,
        ] {
            let said = cause.to_string();
            let error = CallError::Refused {
                model: "m".to_owned(),
                provider: "p".to_owned(),
                cause,
            };
            let kept = Kept::Declined {
                declined: Declined::of(&error).unwrap(),
            };
            let read: Kept = serde_json::from_value(serde_json::to_value(&kept).unwrap()).unwrap();
            let Kept::Declined { declined } = read else {
                panic!("{read:?}");
            };
            let PipelineError::Call { cause, .. } = declined.error("lesson 1".to_owned()) else {
                panic!("another error");
            };
            assert!(cause.is_of_this_call(), "{cause}");
            assert!(std::error::Error::source(&*cause).is_some_and(|source| source.to_string() == said));
        }
    }
}
