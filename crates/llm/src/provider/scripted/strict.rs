//! What real servers refuse, and in which words.
//!
//! A scripted provider that takes everything hides what is wrong with a client. A [`Dialect`] says what one server takes;
//! [`Dialect::refusal`] is what it answers to anything else. Which server refuses what, and how it says so, comes from the
//! servers' sources where they are open (vLLM, Ollama, llama.cpp) and from answers that people reported of the others.

mod dialects;
mod schema;
mod wording;

use serde_json::{Value, json};

pub use self::dialects::DIALECTS;
use self::schema::{SchemaFault, SchemaRules};
use self::wording::Wording;
use crate::budget::{O200k, count_prompt};
use crate::error::ProviderError;
use crate::request::{Message, Request};
use crate::structured::strict_schema;

/// What one server takes. [`DIALECTS`] has them all.
#[derive(Debug)]
pub struct Dialect {
    /// The name on the command line.
    pub name: &'static str,
    /// Whether it reports what a call costs (`usage.cost`), as only few servers do.
    pub(super) cost: Cost,
    /// How it lists its models.
    pub(super) models: ModelList,
    seeds: Seeds,
    limit: LimitField,
    temperatures: Temperatures,
    /// Parameters of the protocol that it knows and refuses.
    unsupported: &'static [&'static str],
    /// Parameters that it knows; `None`: it ignores what it does not know.
    known: Option<&'static [&'static str]>,
    /// Types of `response_format`.
    formats: &'static [&'static str],
    schema: SchemaRules,
    /// Whether `json_object` wants the word JSON in a message.
    json_word: JsonWord,
    system: SystemRole,
    order: Order,
    /// The longest answer, in tokens.
    most_output: Option<u64>,
    window: Window,
    wording: Wording,
}

/// Whether a server says what a call costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    Reported,
    Untold,
}

/// The fields of a server's list of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelList {
    OpenAi,
    Vllm,
    Mistral,
    Google,
    Groq,
    LlamaCpp,
    OpenRouter,
    Azure,
}

/// Seeds that a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seeds {
    Any,
    /// Both ends included.
    Between(i64, i64),
}

/// The field in which the longest answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LimitField {
    Either,
    /// `max_completion_tokens` only; `max_tokens` is refused.
    Completion,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Temperatures {
    Any,
    /// Both ends included.
    Between(f64, f64),
    /// Only 1, the default, as models that think take it.
    OnlyDefault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JsonWord {
    Needed,
    NotNeeded,
}

/// Where a message of the system may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SystemRole {
    Anywhere,
    First,
    Nowhere,
}

/// How the turns of user and assistant may follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Any,
    /// Any, but the last one is the user's.
    UserLast,
    /// User, assistant, user ... and the last one is the user's.
    Alternating,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    Unchecked,
    /// So many tokens for the prompt; the answer ends where the window does.
    Prompt(u64),
    /// So many for the prompt and the longest answer together.
    PromptAndAnswer(u64),
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq)]
enum Violation {
    NoMessages,
    EmptyContent {
        index: usize,
    },
    Unknown {
        param: String,
        value: Value,
    },
    Unsupported {
        param: &'static str,
        value: Value,
    },
    /// `max_tokens` where only `max_completion_tokens` is taken.
    OldLimit {
        value: Value,
    },
    Seed {
        value: Value,
        least: i64,
        most: i64,
    },
    TooFewTokens {
        param: &'static str,
        value: Value,
    },
    TooManyTokens {
        param: &'static str,
        asked: u64,
        most: u64,
    },
    Window {
        prompt: u64,
        answer: u64,
        window: u64,
    },
    Temperature {
        value: f64,
        allowed: Temperatures,
    },
    Format {
        kind: String,
    },
    SchemaName {
        name: String,
    },
    Schema {
        name: String,
        fault: SchemaFault,
    },
    NoJsonWord,
    System,
    NotAlternating,
    LastRole {
        role: String,
    },
}

/// A server's answer to a request that it does not take.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The body, in the server's own shape.
    pub body: Value,
    /// What it says, without the shape around it.
    pub message: String,
}

impl Dialect {
    /// What tests are answered by: all that a client has to keep to for every server to take its requests without
    /// negotiation, except where servers contradict each other.
    pub fn strict() -> &'static Self {
        &dialects::STRICT
    }

    /// Takes everything.
    pub fn permissive() -> &'static Self {
        &dialects::PERMISSIVE
    }

    /// The dialect of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        DIALECTS.iter().copied().find(|dialect| dialect.name == name)
    }

    /// The server's answer to a chat completion's body that it does not take; `None`: it takes it.
    pub fn refusal(&self, body: &Value) -> Option<Refusal> {
        self.violation(body)
            .map(|violation| self.wording.refusal(&violation))
    }

    /// The same for a request that does not travel: it is put into the protocol's words first.
    ///
    /// # Errors
    /// [`ProviderError::Rejected`] with what the server says.
    pub(super) fn check(&self, request: &Request) -> Result<(), ProviderError> {
        let Some(Refusal { status, message, .. }) = self.refusal(&body_of(request)) else {
            return Ok(());
        };
        Err(ProviderError::Rejected { status, message })
    }

    /// The server's answer to a body for embeddings that it does not take.
    pub(super) fn embeddings_refusal(&self, body: &Value) -> Option<Refusal> {
        if self.name == dialects::PERMISSIVE.name {
            return None;
        }
        let unknown = body.as_object().into_iter().flatten().find(|(field, _)| {
            self.known.is_some() && !dialects::EMBEDDING_PARAMETERS.contains(&field.as_str())
        });
        let texts = match body.get("input") {
            Some(one @ Value::String(_)) => vec![one],
            Some(Value::Array(texts)) => texts.iter().collect(),
            _ => Vec::new(),
        };
        let is_empty = |text: &&Value| text.as_str().is_none_or(str::is_empty);
        let violation = if let Some((param, value)) = unknown {
            Violation::Unknown {
                param: param.clone(),
                value: value.clone(),
            }
        } else if texts.is_empty() {
            Violation::NoMessages
        } else {
            let index = texts.iter().position(is_empty)?;
            Violation::EmptyContent { index }
        };
        Some(self.wording.refusal(&violation))
    }

    /// The window in tokens, as lists of models tell it.
    pub(super) const fn window_tokens(&self) -> u64 {
        match self.window {
            Window::Unchecked => UNTOLD_WINDOW,
            Window::Prompt(window) | Window::PromptAndAnswer(window) => window,
        }
    }

    fn violation(&self, body: &Value) -> Option<Violation> {
        if self.name == dialects::PERMISSIVE.name {
            return None;
        }
        self.unknown_parameter(body)
            .or_else(|| self.wrong_sampling(body))
            .or_else(|| self.wrong_limit(body))
            .or_else(|| self.wrong_format(body))
            .or_else(|| self.wrong_conversation(body))
            .or_else(|| self.too_long(body))
    }

    fn unknown_parameter(&self, body: &Value) -> Option<Violation> {
        let fields = body.as_object()?;
        for (field, value) in fields {
            if let Some(param) = self.unsupported.iter().find(|param| *param == field) {
                let value = value.clone();
                return Some(Violation::Unsupported { param, value });
            }
            if self.known.is_some_and(|known| !known.contains(&field.as_str())) {
                let (param, value) = (field.clone(), value.clone());
                return Some(Violation::Unknown { param, value });
            }
        }
        None
    }

    fn wrong_sampling(&self, body: &Value) -> Option<Violation> {
        if let (Seeds::Between(least, most), Some(value)) = (self.seeds, body.get("seed"))
            && !value.is_null()
            && !value.as_i64().is_some_and(|seed| (least..=most).contains(&seed))
        {
            let value = value.clone();
            return Some(Violation::Seed { value, least, most });
        }
        let value = body.get("temperature").and_then(Value::as_f64)?;
        let is_allowed = match self.temperatures {
            Temperatures::Any => true,
            Temperatures::Between(least, most) => (least..=most).contains(&value),
            Temperatures::OnlyDefault => (value - 1.0).abs() < f64::EPSILON,
        };
        let allowed = self.temperatures;
        (!is_allowed).then_some(Violation::Temperature { value, allowed })
    }

    fn wrong_limit(&self, body: &Value) -> Option<Violation> {
        for param in ["max_tokens", "max_completion_tokens"] {
            let Some(value) = body.get(param).filter(|value| !value.is_null()) else {
                continue;
            };
            if param == "max_tokens" && self.limit == LimitField::Completion {
                let value = value.clone();
                return Some(Violation::OldLimit { value });
            }
            let Some(asked) = value.as_u64().filter(|asked| *asked > 0) else {
                let value = value.clone();
                return Some(Violation::TooFewTokens { param, value });
            };
            if let Some(most) = self.most_output.filter(|most| asked > *most) {
                return Some(Violation::TooManyTokens { param, asked, most });
            }
        }
        None
    }

    fn wrong_format(&self, body: &Value) -> Option<Violation> {
        let format = body.get("response_format").filter(|format| !format.is_null())?;
        let kind = format
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if !self.formats.contains(&kind.as_str()) {
            return Some(Violation::Format { kind });
        }
        if kind == "json_object" && self.json_word == JsonWord::Needed && !says_json(body) {
            return Some(Violation::NoJsonWord);
        }
        let asked = format.get("json_schema").filter(|_| kind == "json_schema")?;
        let name = asked
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
        if name.is_empty() || name.len() > LONGEST_SCHEMA_NAME || !name.chars().all(is_word) {
            return Some(Violation::SchemaName { name });
        }
        let is_strict = asked.get("strict").and_then(Value::as_bool) == Some(true);
        let fault = self.schema.fault(asked.get("schema")?, is_strict)?;
        Some(Violation::Schema { name, fault })
    }

    fn wrong_conversation(&self, body: &Value) -> Option<Violation> {
        let messages = messages(body);
        if messages.is_empty() {
            return Some(Violation::NoMessages);
        }
        let text = |message: &Value| message.get("content").and_then(Value::as_str).map(str::to_owned);
        let is_empty = |message: &Value| text(message).is_some_and(|text| text.trim().is_empty());
        if let Some(index) = messages.iter().position(is_empty)
            && self.order != Order::Any
        {
            return Some(Violation::EmptyContent { index });
        }
        let roles: Vec<&str> = messages
            .iter()
            .filter_map(|message| message.get("role")?.as_str())
            .collect();
        let is_system = |role: &&str| matches!(*role, "system" | "developer");
        let is_misplaced = match self.system {
            SystemRole::Anywhere => false,
            SystemRole::First => roles.iter().skip(1).any(is_system),
            SystemRole::Nowhere => roles.iter().any(is_system),
        };
        if is_misplaced {
            return Some(Violation::System);
        }
        let turns: Vec<&str> = roles.into_iter().filter(|role| !is_system(role)).collect();
        if self.order == Order::Alternating {
            let alternate = turns.iter().zip(["user", "assistant"].iter().cycle());
            if turns.is_empty() || alternate.into_iter().any(|(role, due)| role != due) {
                return Some(Violation::NotAlternating);
            }
        }
        let last = turns.last().copied().unwrap_or("system");
        (self.order != Order::Any && last != "user").then(|| Violation::LastRole {
            role: last.to_owned(),
        })
    }

    fn too_long(&self, body: &Value) -> Option<Violation> {
        let (window, counted) = match self.window {
            Window::Unchecked => return None,
            Window::Prompt(window) => (window, 0),
            Window::PromptAndAnswer(window) => (window, asked_tokens(body).unwrap_or_default()),
        };
        let messages: Vec<Message> = serde_json::from_value(body.get("messages")?.clone()).ok()?;
        let prompt = u64::from(count_prompt(&O200k, &messages, None));
        (prompt + counted > window).then_some(Violation::Window {
            prompt,
            answer: counted,
            window,
        })
    }
}

/// The window that is told where none is checked.
const UNTOLD_WINDOW: u64 = 131_072;
/// Longer names of schemas are refused (`OpenAI`'s reference of `response_format`).
const LONGEST_SCHEMA_NAME: usize = 64;

fn messages(body: &Value) -> &[Value] {
    let messages = body.get("messages").and_then(Value::as_array);
    messages.map_or(&[], Vec::as_slice)
}

fn asked_tokens(body: &Value) -> Option<u64> {
    ["max_tokens", "max_completion_tokens"]
        .iter()
        .find_map(|field| body.get(*field)?.as_u64())
}

fn says_json(body: &Value) -> bool {
    messages(body).iter().any(|message| {
        let text = message.get("content").and_then(Value::as_str).unwrap_or_default();
        text.to_lowercase().contains("json")
    })
}

/// A request as a client of an endpoint sends it.
fn body_of(request: &Request) -> Value {
    let mut body = json!({
        "model": request.model,
        "messages": request.messages,
        "stream": true,
        "stream_options": { "include_usage": true },
        "max_tokens": request.max_output_tokens,
        "temperature": request.sampling.temperature,
    });
    let sampling = request.sampling;
    for (field, value) in [
        ("top_p", sampling.top_p.map(|top_p| json!(top_p))),
        (
            "frequency_penalty",
            sampling.frequency_penalty.map(|penalty| json!(penalty)),
        ),
        ("seed", sampling.seed.map(|seed| json!(seed))),
    ] {
        if let Some(value) = value {
            body[field] = value;
        }
    }
    if let Some(schema) = &request.schema {
        body["response_format"] = json!({
            "type": "json_schema",
            "json_schema": { "name": schema.name, "strict": true, "schema": strict_schema(&schema.schema) },
        });
    }
    body
}

#[cfg(test)]
mod tests;
