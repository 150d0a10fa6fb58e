//! What comes back: chunks of a stream, or one whole answer. Only the text and the reason for its end are insisted on;
//! everything else may be of another type than the protocol says, and is then left out.

use std::time::Duration;

use domain::usage::{MicroUsd, TokenUsage};
use serde_json::Value;

use super::refusal::Refusal;
use super::{Endpoint, failure};
use crate::budget::{O200k, TokenCounter, count_prompt};
use crate::error::{FailedAttempt, ProviderError, Spent};
use crate::request::Request;
use crate::response::{FinishReason, Response};

/// An answer that is being put together.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) text: String,
    /// What the model thought, where the server tells it apart.
    thoughts: String,
    /// The arguments of a call of a tool: some models answer in one where they are asked for a shape.
    arguments: String,
    declined: String,
    finish: Option<Finish>,
    /// The last word on its end can be believed.
    is_ended: bool,
    usage: Option<Usage>,
    model: Option<String>,
    upstream: Option<String>,
}

/// Why the answer ended, as the server put it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    Reason(FinishReason),
    /// The upstream failed in the middle.
    Failed,
}

impl Finish {
    fn of(word: &str) -> Self {
        Self::Reason(match word.trim().to_ascii_lowercase().as_str() {
            "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "complete" | "completed"
            | "finished" | "tool_calls" | "function_call" | "tool_use" => FinishReason::Stop,
            "length" | "max_tokens" | "max_output_tokens" | "max_completion_tokens" | "model_length" => {
                FinishReason::Length
            }
            "content_filter" | "safety" | "recitation" | "blocklist" | "prohibited_content" | "spii"
            | "sensitive" | "refusal" | "content-filter" | "guardrail" => FinishReason::ContentFilter,
            "error" | "failed" | "abort" | "network_error" => return Self::Failed,
            _ => FinishReason::Other,
        })
    }
}

/// Tokens and money as far as they can be read.
#[derive(Clone, Copy, Default)]
struct Usage {
    prompt: u64,
    completion: u64,
    cached: u64,
    thoughts: u64,
    cost: Option<f64>,
}

impl Usage {
    fn of(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let count = |path: &str| value.pointer(path).and_then(whole_number);
        let prompt = count("/prompt_tokens").or_else(|| count("/input_tokens"));
        let completion = count("/completion_tokens").or_else(|| count("/output_tokens"));
        let thoughts = count("/completion_tokens_details/reasoning_tokens").unwrap_or_default();
        let cost = cost_of(fields.get("cost")).map(|cost| cost + upstream_cost(value));
        if prompt.is_none() && completion.is_none() && cost.is_none() {
            return None;
        }
        let prompt = prompt.unwrap_or_default();
        let written = completion.unwrap_or_default();
        // Some count thoughts beside the answer: then the sum tells.
        let beside = count("/total_tokens").map_or(0, |total| total.saturating_sub(prompt));
        let cached =
            count("/prompt_tokens_details/cached_tokens").or_else(|| count("/prompt_cache_hit_tokens"));
        Some(Self {
            prompt,
            completion: written.max(beside),
            cached: cached.unwrap_or_default().min(prompt),
            thoughts,
            cost,
        })
    }
}

/// More tokens in one call are no count: no window is a thousandth of it, and sums of such figures overflow.
const MOST_TOKENS: u64 = 1_000_000_000;
/// A call that costs more than this is a slip of the server's.
const MOST_COST_USD: f64 = 10_000.0;

/// A count that is a number, or a text that is one. A negative one counts as none.
fn whole_number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().filter(|count| *count <= MOST_TOKENS).or_else(|| {
            let float = number.as_f64()?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bounded just before"
            )]
            (float.fract() == 0.0 && (0.0..=MOST_TOKENS as f64).contains(&float)).then_some(float as u64)
        }),
        Value::String(text) => text.trim().parse().ok().filter(|count| *count <= MOST_TOKENS),
        _ => None,
    }
}

/// The cost in USD: a number, a text, or an object with its sum (Perplexity). A negative one says nothing.
fn cost_of(value: Option<&Value>) -> Option<f64> {
    let cost = match value? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().trim_start_matches('$').parse().ok(),
        Value::Object(fields) => ["total_cost", "total", "cost"]
            .iter()
            .find_map(|key| fields.get(*key)?.as_f64()),
        _ => None,
    };
    cost.filter(|cost| (0.0..=MOST_COST_USD).contains(cost))
}

/// What `OpenRouter` says that the upstream bills to a key of one's own, beside its own fee.
fn upstream_cost(usage: &Value) -> f64 {
    let is_own_key = usage.get("is_byok") == Some(&Value::Bool(true));
    let upstream = usage.pointer("/cost_details/upstream_inference_cost");
    if is_own_key {
        cost_of(upstream).unwrap_or_default()
    } else {
        0.0
    }
}

impl Answer {
    /// Takes in one chunk and returns the text that is new.
    ///
    /// # Errors
    /// The refusal that stands in the chunk: some servers begin an answer before they look at the question.
    pub(super) fn take(&mut self, chunk: &Value, endpoint: &Endpoint) -> Result<String, Box<Refusal>> {
        let before = self.size();
        let new_text = self.take_in(chunk, endpoint)?;
        if let Some(Finish::Reason(reason)) = self.finish {
            // Some servers write a word of their own into every chunk: it is an end where nothing is written with it.
            self.is_ended = reason != FinishReason::Other || (self.size() == before && before > 0);
        }
        Ok(new_text)
    }

    fn take_in(&mut self, chunk: &Value, endpoint: &Endpoint) -> Result<String, Box<Refusal>> {
        if let Some(usage) = chunk.get("usage").and_then(Usage::of) {
            self.usage = Some(usage);
        }
        if let Some(error) = error_in(chunk, endpoint) {
            return Err(error.into());
        }
        let word = |key: &str| {
            chunk
                .get(key)?
                .as_str()
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
        };
        self.model = word("model").or(self.model.take());
        self.upstream = word("provider").or(self.upstream.take());
        let Some(choice) = chunk
            .get("choices")
            .and_then(Value::as_array)
            .and_then(|list| list.first())
        else {
            return Ok(String::new());
        };
        if let Some(error) = choice.get("error").filter(|error| !failure::is_nothing(error)) {
            return Err(failure::of_error_object(error, |text| endpoint.redacted(text)).into());
        }
        if let Some(word) = choice
            .get("finish_reason")
            .and_then(Value::as_str)
            .filter(|word| !matches!(*word, "" | "null" | "none" | "None"))
        {
            self.finish = Some(Finish::of(word));
        }
        // A whole message at the end repeats what came in pieces (MiniMax).
        let whole = choice.get("message").filter(|message| message.is_object());
        if let Some(text) = whole
            .map(|message| text_of(message.get("content")))
            .filter(|text| !text.is_empty())
        {
            let is_new = self.text.is_empty();
            self.text.clone_from(&text);
            return Ok(if is_new { text } else { String::new() });
        }
        let Some(delta) = choice.get("delta").filter(|delta| delta.is_object()).or(whole) else {
            let text = text_of(choice.get("text"));
            self.text += &text;
            return Ok(text);
        };
        self.thoughts += &text_of(delta.get("reasoning_content").or_else(|| delta.get("reasoning")));
        self.declined += &text_of(delta.get("refusal"));
        for call in delta
            .get("tool_calls")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .take(1)
        {
            self.arguments += call
                .pointer("/function/arguments")
                .and_then(Value::as_str)
                .unwrap_or_default();
        }
        let new_text = text_of(delta.get("content"));
        self.text += &new_text;
        Ok(new_text)
    }

    /// Whether anything was written or thought in the chunks so far: signs of life that carry nothing do not count.
    pub(super) fn size(&self) -> usize {
        self.text.len() + self.thoughts.len() + self.arguments.len() + self.declined.len()
    }

    /// Whether the model said that it was done; the server may only tell what it cost after that.
    pub(super) const fn is_finished(&self) -> bool {
        self.is_ended
    }

    /// What the server says was used; `None` while it has said nothing.
    pub(super) fn spent(&self) -> Option<Spent> {
        let usage = self.usage?;
        Some(Spent {
            usage: TokenUsage::new(usage.prompt, usage.completion),
            cached_input: usage.cached,
            cost: usage.cost.map(MicroUsd::from_usd),
        })
    }

    /// A failure with what was used before it.
    pub(super) fn failed(&self, error: ProviderError) -> FailedAttempt {
        FailedAttempt {
            error,
            spent: self.spent(),
        }
    }

    /// The whole answer, if it has any text.
    ///
    /// # Errors
    /// [`ProviderError::Filtered`] if it was declined, [`ProviderError::NoRoom`] if there are only thoughts,
    /// [`ProviderError::Empty`] if there is nothing.
    pub(super) fn into_response(
        mut self,
        request: &Request,
        latency: Duration,
    ) -> Result<Response, FailedAttempt> {
        if self.finish == Some(Finish::Failed) {
            let reason = "the provider ended it with an error".to_owned();
            return Err(self.failed(ProviderError::BrokenStream { reason }));
        }
        let finish_reason = match self.finish {
            Some(Finish::Reason(reason)) => reason,
            Some(Finish::Failed) | None => FinishReason::Other,
        };
        if finish_reason == FinishReason::ContentFilter {
            let message = "the provider's filter cut the answer".to_owned();
            return Err(self.failed(ProviderError::Filtered { message }));
        }
        if self.text.trim().is_empty() {
            self.text = std::mem::take(&mut self.arguments);
        }
        if self.text.trim().is_empty() {
            let error = match (self.declined.trim(), finish_reason) {
                ("", FinishReason::Length) => Some(ProviderError::NoRoom {
                    tokens: self.usage.map_or(0, |usage| usage.completion.max(usage.thoughts)),
                }),
                // Servers that take everything for a thought put the answer there.
                ("", _)
                    if self.thoughts.contains('{')
                        || request.schema.is_none() && !self.thoughts.is_empty() =>
                {
                    None
                }
                ("", _) => Some(ProviderError::Empty),
                (declined, _) => Some(ProviderError::Filtered {
                    message: declined.to_owned(),
                }),
            };
            if let Some(error) = error {
                return Err(self.failed(error));
            }
            self.text = std::mem::take(&mut self.thoughts);
        }
        let counted = || {
            let input = count_prompt(&O200k, &request.messages, None);
            let written = O200k.count(&self.text) + O200k.count(&self.thoughts);
            TokenUsage::new(input.into(), written.into())
        };
        let reported = self.usage.filter(|usage| usage.completion > 0);
        let usage = reported.map_or_else(counted, |usage| TokenUsage::new(usage.prompt, usage.completion));
        let spent = self.spent();
        Ok(Response {
            finish_reason,
            usage,
            cached_input: reported.map_or(0, |usage| usage.cached),
            cost: spent.and_then(|spent| spent.cost),
            model: self.model.unwrap_or_else(|| request.model.clone()),
            upstream: self.upstream,
            latency,
            // No text of a course has NULs, and the database refuses them.
            text: self.text.replace('\0', ""),
        })
    }
}

/// The error in an answer whose status was good, whatever it is called.
fn error_in(chunk: &Value, endpoint: &Endpoint) -> Option<Refusal> {
    let redact = |text: &str| endpoint.redacted(text);
    if let Some(error) = chunk.get("error").filter(|error| !failure::is_nothing(error)) {
        return Some(failure::of_error_object(error, redact));
    }
    // MiniMax: 0 is well, 1002 and 1039 are limits, 1008 is no balance, 1004 is a wrong key.
    let base = chunk.get("base_resp")?;
    let status = base.get("status_code")?.as_i64()?;
    if status == 0 {
        return None;
    }
    let mut refusal = failure::of_error_object(base, redact);
    refusal.status = match status {
        1002 | 1039 => 429,
        1004 | 2049 => 401,
        1008 => 402,
        1026 | 1027 => {
            refusal.is_moderation = true;
            400
        }
        2013 => 400,
        _ => refusal.status,
    };
    Some(refusal)
}

/// A text, or the texts of its parts.
fn text_of(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .map(|part| match part {
                Value::String(text) => text.clone(),
                // Thoughts among the parts (Mistral) are none of the answer.
                part if part
                    .get("type")
                    .is_some_and(|kind| kind == "thinking" || kind == "reasoning") =>
                {
                    String::new()
                }
                part => text_of(part.get("text").or_else(|| part.get("content"))),
            })
            .collect(),
        Some(Value::Object(fields)) => text_of(fields.get("text")),
        _ => String::new(),
    }
}
