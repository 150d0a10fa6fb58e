//! The protocol's JSON, as it is sent and as it comes back.

use std::time::Duration;

use domain::usage::{MicroUsd, TokenUsage};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Dialect, Endpoint, failure};
use crate::budget::{O200k, TokenCounter, count_prompt};
use crate::card::StructuredOutput;
use crate::error::ProviderError;
use crate::request::{OutputSchema, Request};
use crate::response::{FinishReason, Response};
use crate::structured::{prompt_with_schema, strict_schema};

/// The body of a chat completion.
pub(super) fn request_body(request: &Request, ability: StructuredOutput, endpoint: &Endpoint) -> Value {
    let schema = request.schema.as_ref();
    let messages = match (schema, ability) {
        (Some(schema), StructuredOutput::JsonObject | StructuredOutput::None) => {
            prompt_with_schema(&request.messages, schema)
        }
        _ => request.messages.clone(),
    };
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(request.model));
    body.insert("messages".to_owned(), json!(messages));
    body.insert("stream".to_owned(), json!(true));
    body.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    let limit_field = if endpoint.dialect == Dialect::OpenAi {
        "max_completion_tokens"
    } else {
        "max_tokens"
    };
    body.insert(limit_field.to_owned(), json!(request.max_output_tokens));
    let sampling = request.sampling;
    body.insert("temperature".to_owned(), short_decimal(sampling.temperature));
    if let Some(top_p) = sampling.top_p {
        body.insert("top_p".to_owned(), short_decimal(top_p));
    }
    if let Some(penalty) = sampling.frequency_penalty {
        body.insert("frequency_penalty".to_owned(), short_decimal(penalty));
    }
    if let Some(seed) = sampling.seed {
        body.insert("seed".to_owned(), json!(seed));
    }
    if let Some(format) = schema.and_then(|schema| response_format(schema, ability)) {
        body.insert("response_format".to_owned(), format);
        if endpoint.dialect == Dialect::OpenRouter {
            // Else OpenRouter may pick an upstream that ignores the response format.
            body.insert("provider".to_owned(), json!({ "require_parameters": true }));
        }
    }
    if endpoint.dialect == Dialect::OpenRouter {
        body.insert("usage".to_owned(), json!({ "include": true }));
    }
    for (field, value) in &endpoint.extra_body {
        body.insert(field.clone(), value.clone());
    }
    Value::Object(body)
}

/// 0.7 as `0.7`, not as the nearest `f32` written out in full.
fn short_decimal(number: f32) -> Value {
    json!((f64::from(number) * 10_000.0).round() / 10_000.0)
}

fn response_format(schema: &OutputSchema, ability: StructuredOutput) -> Option<Value> {
    match ability {
        StructuredOutput::JsonSchema => Some(json!({
            "type": "json_schema",
            "json_schema": { "name": schema.name, "strict": true, "schema": strict_schema(&schema.schema) },
        })),
        StructuredOutput::JsonObject => Some(json!({ "type": "json_object" })),
        // A grammar is for models in this process.
        StructuredOutput::Grammar | StructuredOutput::None => None,
    }
}

/// A chunk of a stream, or a whole answer: both carry the same fields.
#[derive(Deserialize)]
struct Chunk {
    error: Option<Value>,
    model: Option<String>,
    provider: Option<String>,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "message")]
    delta: Option<Delta>,
    finish_reason: Option<String>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    cost: Option<f64>,
    /// OpenAI, OpenRouter, vLLM and most others.
    prompt_tokens_details: Option<PromptDetails>,
    /// The endpoint of `DeepSeek`.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

impl Usage {
    /// Tokens of the prompt that the provider had in its cache.
    fn cached_input(&self) -> u64 {
        let details = self.prompt_tokens_details.as_ref();
        let cached = details.and_then(|details| details.cached_tokens);
        cached
            .or(self.prompt_cache_hit_tokens)
            .unwrap_or_default()
            .min(self.prompt_tokens)
    }
}

/// An answer that is being put together.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) text: String,
    refusal: String,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    model: Option<String>,
    upstream: Option<String>,
}

impl Answer {
    /// Takes in one chunk and returns the text that is new.
    pub(super) fn take(
        &mut self,
        json: &str,
        request: &Request,
        endpoint: &Endpoint,
    ) -> Result<String, ProviderError> {
        let chunk: Chunk = serde_json::from_str(json).map_err(|error| ProviderError::BrokenStream {
            reason: format!("not the protocol's JSON: {error}"),
        })?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(failure::of_error_object(&error, &request.model, endpoint));
        }
        self.model = chunk.model.or(self.model.take());
        self.upstream = chunk.provider.or(self.upstream.take());
        self.usage = chunk.usage.or(self.usage.take());
        let Some(choice) = chunk.choices.into_iter().flatten().next() else {
            return Ok(String::new());
        };
        if let Some(error) = choice.error.filter(|error| !error.is_null()) {
            return Err(failure::of_error_object(&error, &request.model, endpoint));
        }
        self.finish_reason = choice.finish_reason.or(self.finish_reason.take());
        let Some(delta) = choice.delta else {
            return Ok(String::new());
        };
        self.refusal += delta.refusal.as_deref().unwrap_or_default();
        let new_text = delta.content.unwrap_or_default();
        self.text += &new_text;
        Ok(new_text)
    }

    /// Whether the model said that it was done.
    pub(super) const fn is_finished(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// The whole answer, if it has any text.
    pub(super) fn into_response(
        self,
        request: &Request,
        latency: Duration,
    ) -> Result<Response, ProviderError> {
        if self.text.trim().is_empty() {
            return Err(match self.refusal.trim() {
                "" => ProviderError::Empty,
                refusal => ProviderError::Rejected {
                    status: 200,
                    message: format!("the model refused: {refusal}"),
                },
            });
        }
        let counted = || {
            let input = count_prompt(&O200k, &request.messages, None);
            TokenUsage::new(input.into(), O200k.count(&self.text).into())
        };
        let reported = self.usage.as_ref().filter(|usage| usage.completion_tokens > 0);
        let cached_input = reported.map_or(0, Usage::cached_input);
        let usage = reported.map_or_else(counted, |usage| {
            TokenUsage::new(usage.prompt_tokens, usage.completion_tokens)
        });
        Ok(Response {
            finish_reason: match self.finish_reason.as_deref() {
                Some("stop" | "eos") => FinishReason::Stop,
                Some("length" | "max_tokens") => FinishReason::Length,
                Some("content_filter") => FinishReason::ContentFilter,
                _ => FinishReason::Other,
            },
            usage,
            cached_input,
            cost: self.usage.and_then(|usage| usage.cost).map(MicroUsd::from_usd),
            model: self.model.unwrap_or_else(|| request.model.clone()),
            upstream: self.upstream,
            latency,
            text: self.text,
        })
    }
}
