//! What a refusal means. This is the one place that decides it: from the status, the parameter, the code and the words of
//! an error, and from what was sent. The table of the tests holds the wordings of real servers.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::capability::{Adjustment, LimitField};
use crate::card::StructuredOutput;
use crate::error::ProviderError;

mod counts;

/// Longer sentences of a provider are cut: some answer with a whole document.
const LONGEST_MESSAGE_CHARS: usize = 500;

/// An error as a server put it.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusal {
    /// The HTTP status, or the one that an error object names.
    pub(super) status: u16,
    /// Its sentence, without secrets.
    pub(super) message: String,
    /// The parameter that it names in a field of its own: `param`, or the last step of pydantic's `loc`.
    pub(super) parameter: Option<String>,
    /// The words of `code`, `type` and `status`, lower case.
    pub(super) codes: Vec<String>,
    /// Other texts of the error that tell what is wrong, lower case.
    pub(super) details: String,
    /// How long it asks to wait.
    pub(super) retry_after: Option<Duration>,
    /// The window that it names in a field of its own.
    pub(super) window: Option<u32>,
    /// The tokens of the prompt that it names in a field of its own.
    pub(super) prompt_tokens: Option<u32>,
    /// Whether the moderation of an aggregator speaks.
    pub(super) is_moderation: bool,
    /// Whether its body was no JSON.
    pub(super) is_foreign: bool,
}

/// What follows from a refusal.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// The model is asked in another way from now on.
    Adjust(Adjustment),
    /// This one answer must be shorter: so many tokens.
    ShorterAnswer(u32),
    /// Prompt and answer do not fit the window.
    Window {
        /// The window in tokens.
        tokens: u32,
        /// The prompt's tokens as the server counts them.
        prompt: Option<u32>,
    },
    /// The request is refused and nobody knows why: parameters may be left out one by one.
    Unclear,
    /// It is what it is.
    Fail,
}

/// The fields of the request that a server might refuse: all but the model and the conversation.
fn sent_parameters(body: &Map<String, Value>) -> impl Iterator<Item = &str> {
    body.keys()
        .map(String::as_str)
        .filter(|name| !matches!(*name, "model" | "messages"))
}

/// What the refusal of the request `body` means.
pub(super) fn meaning(refusal: &Refusal, body: &Map<String, Value>) -> Meaning {
    let text = text_of(refusal);
    if is_filter(refusal, &text) || is_credit(refusal, &text) {
        return match affordable(refusal, &text, body) {
            Some(tokens) => Meaning::ShorterAnswer(tokens),
            None => Meaning::Fail,
        };
    }
    let format = body.get("response_format");
    // Some servers fail where they should refuse: only a schema is believed to be the reason of that.
    let may_be_refused = matches!(refusal.status, 400 | 404 | 406 | 413 | 415 | 422) && !refusal.is_foreign;
    if matches!(refusal.status, 500..=503) && !refusal.is_foreign {
        return match format {
            Some(format) if SCHEMA.found_in(&text) => schema_step(format),
            _ => Meaning::Fail,
        };
    }
    if !may_be_refused {
        return Meaning::Fail;
    }
    if is_failed_generation(refusal, &text) {
        return Meaning::Fail;
    }
    if let Some(window) = window(refusal, &text) {
        return window;
    }
    if let Some(limit) = limit(refusal, &text, body) {
        return limit;
    }
    // A schema that is refused may be the reason although the text names another parameter beside it.
    if let Some(format) = format
        && is_refused(refusal, &text, body, "response_format")
    {
        return schema_step(format);
    }
    let named = sent_parameters(body)
        .find(|name| *name != "response_format" && is_refused(refusal, &text, body, name));
    if let Some(name) = named {
        return Meaning::Adjust(Adjustment::LeaveOut(name.to_owned()));
    }
    // Only now: the words for it are in many sentences that are about a parameter.
    if is_about_system_role(&text, body) {
        return Meaning::Adjust(Adjustment::FoldSystem);
    }
    if let Some(format) = format
        && SCHEMA.found_in(&text)
    {
        return schema_step(format);
    }
    // A proxy adds the options of streams by itself where a stream is asked for.
    let adds_options = !body.contains_key("stream_options") && is_named(refusal, &text, "stream_options");
    if adds_options && body.contains_key("stream") {
        return Meaning::Adjust(Adjustment::LeaveOut("stream".to_owned()));
    }
    if matches!(refusal.status, 404 | 413) || is_unknown_model(refusal, &text) {
        return Meaning::Fail;
    }
    Meaning::Unclear
}

/// The error to tell where nothing more can be adjusted.
pub(super) fn failure(refusal: &Refusal, model: &str, address: &str) -> ProviderError {
    let text = text_of(refusal);
    let status = refusal.status;
    let mut message: String = refusal
        .message
        .trim()
        .chars()
        .take(LONGEST_MESSAGE_CHARS)
        .collect();
    if message.is_empty() {
        message = format!("status {status} without a word");
    }
    if is_filter(refusal, &text) {
        return ProviderError::Filtered { message };
    }
    if is_credit(refusal, &text) {
        return ProviderError::NoCredit { message };
    }
    if status == 429 || (refusal.retry_after.is_some() && status == 403) {
        return ProviderError::RateLimited {
            retry_after: refusal.retry_after,
            message,
        };
    }
    let is_client_error = (300..500).contains(&status) && !matches!(status, 408 | 409 | 413 | 425);
    if refusal.is_foreign && is_client_error {
        let message = format!("{message} (status {status})");
        return ProviderError::Foreign {
            address: address.to_owned(),
            message,
        };
    }
    if is_failed_generation(refusal, &text) {
        return ProviderError::Server {
            status,
            message,
            retry_after: None,
        };
    }
    match status {
        401 | 403 => ProviderError::Unauthorized { status, message },
        404 => ProviderError::UnknownModel {
            model: model.to_owned(),
            message,
        },
        400 | 422 if is_unknown_model(refusal, &text) => ProviderError::UnknownModel {
            model: model.to_owned(),
            message,
        },
        400 | 422 if is_bad_key(refusal, &text) => ProviderError::Unauthorized { status, message },
        408 | 409 | 425 | 500.. => ProviderError::Server {
            status,
            message,
            retry_after: refusal.retry_after,
        },
        _ => ProviderError::Rejected { status, message },
    }
}

fn text_of(refusal: &Refusal) -> String {
    format!(
        "{} {} {}",
        without_echo(&refusal.message),
        refusal.details,
        refusal.codes.join(" ")
    )
    .to_lowercase()
}

/// The texts of a refusal in which numbers count tokens: its sentence, and what else tells what is wrong.
fn texts_with_counts(refusal: &Refusal) -> [String; 2] {
    [without_echo(&refusal.message), &refusal.details].map(|text| counts::without_codes(&text.to_lowercase()))
}

/// A sentence up to where pydantic repeats the request in it: its words are no reasons.
fn without_echo(message: &str) -> &str {
    let echoes = ["'input': {", "\"input\": {", "\"input\":{"];
    let echo = echoes.iter().filter_map(|echo| message.find(echo)).min();
    &message[..echo.unwrap_or(message.len())]
}

/// A list of phrases, each of which is enough.
struct Phrases(&'static [&'static str]);

impl Phrases {
    fn found_in(&self, text: &str) -> bool {
        self.0.iter().any(|phrase| text.contains(phrase))
    }
}

/// Words of servers that cannot hold a model to a shape.
const SCHEMA: Phrases = Phrases(&[
    "response_format",
    "response format",
    "responseformat",
    "json_schema",
    "json schema",
    "jsonschema",
    "json_object",
    "json mode",
    "json grammar",
    "structured output",
    "structured_output",
    "response_schema",
    "responseschema",
    "guided",
    "grammar",
    "outlines",
    "schema",
    "too many states",
    "requested parameters",
    "additionalproperties",
]);

/// Words of filters, of providers and of models.
const FILTER: Phrases = Phrases(&[
    "content_filter",
    "content filter",
    "content management policy",
    "content policy",
    "content_policy",
    "responsibleaipolicy",
    "data_inspection_failed",
    "inappropriate content",
    "prohibited_content",
    "flagged",
    "moderation",
    "safety system",
    "unsafe content",
    "sensitive content",
    "content exists risk",
]);

/// Words of accounts that are used up.
const CREDIT: Phrases = Phrases(&[
    "insufficient_quota",
    "insufficient quota",
    "exceeded your current quota",
    "insufficient balance",
    "insufficient_balance",
    "insufficient credit",
    "insufficient_credit",
    "insufficient funds",
    "credit balance",
    "requires more credits",
    "billing_hard_limit",
    "billing hard limit",
    "out of credits",
    "no credits",
    "payment required",
    "arrearage",
    "billing_not_active",
]);

/// Words of full windows.
const WINDOW: Phrases = Phrases(&[
    "context length",
    "context_length",
    "context window",
    "context size",
    "context limit",
    "n_ctx",
    "exceed_context_size",
    "maximum context",
    "max_model_len",
    "maximum model length",
    "input is too long",
    "prompt is too long",
    "prompt too long",
    "input token count",
    "too many input tokens",
    "reduce the length of the messages",
    // Groq: one request may not have more tokens than are allowed a minute.
    "request too large for model",
]);

fn is_filter(refusal: &Refusal, text: &str) -> bool {
    refusal.is_moderation || (matches!(refusal.status, 400 | 403 | 422 | 451) && FILTER.found_in(text))
}

fn is_credit(refusal: &Refusal, text: &str) -> bool {
    if refusal.status == 402 {
        return true;
    }
    // Google calls a limit a minute a quota, too, and then says when to try again.
    matches!(refusal.status, 400 | 401 | 403 | 429)
        && CREDIT.found_in(text)
        && (refusal.retry_after.is_none() || refusal.codes.iter().any(|code| code == "insufficient_quota"))
}

/// What the credit that is left pays for: "You requested up to 8192 tokens, but can only afford 3200".
fn affordable(refusal: &Refusal, text: &str, body: &Map<String, Value>) -> Option<u32> {
    if refusal.status != 402 {
        return None;
    }
    let behind = &text[text.find("afford")?..];
    let tokens = counts::counts(behind).next()?.value;
    let asked = asked_tokens(body)?;
    (tokens >= counts::LEAST_TOKENS && tokens < asked).then_some(tokens)
}

/// The model was asked in an accepted way and wrote something else: the next try may go well (Groq).
fn is_failed_generation(refusal: &Refusal, text: &str) -> bool {
    refusal.codes.iter().any(|code| code == "json_validate_failed")
        || text.contains("failed to generate json")
}

fn is_unknown_model(refusal: &Refusal, text: &str) -> bool {
    refusal.codes.iter().any(|code| code == "model_not_found")
        || (text.contains("model")
            && Phrases(&[
                "does not exist",
                "not found",
                "unknown model",
                "invalid model",
                "not a valid model",
                "model not exist",
                "no such model",
                "is not available",
            ])
            .found_in(text))
}

fn is_bad_key(refusal: &Refusal, text: &str) -> bool {
    let codes = ["invalid_api_key", "authentication_error", "api_key_invalid"];
    refusal.codes.iter().any(|code| codes.contains(&code.as_str()))
        || text.contains("api key not valid")
        || text.contains("invalid api key")
}

fn is_about_system_role(text: &str, body: &Map<String, Value>) -> bool {
    let messages = body.get("messages").and_then(Value::as_array);
    let has_system = messages
        .into_iter()
        .flatten()
        .any(|message| message["role"] == "system");
    // Templates that know no system role count it as a turn out of line.
    has_system
        && ((text.contains("system")
            && Phrases(&["role", "instruction", "prompt", "message"]).found_in(text))
            || text.contains("developer instruction")
            || text.contains("must alternate"))
}

/// The parameter in the refusal's own field, without the steps inside of it.
fn own_parameter(refusal: &Refusal) -> Option<&str> {
    refusal.parameter.as_deref()?.split(['.', '[']).next()
}

/// Whether the refusal is about this parameter. A parameter of ours in the field for it is the one; the sentence may
/// name others beside it.
fn is_refused(refusal: &Refusal, text: &str, body: &Map<String, Value>, name: &str) -> bool {
    match own_parameter(refusal) {
        Some(own) if sent_parameters(body).any(|sent| sent == own) => own == name,
        _ => is_named(refusal, text, name),
    }
}

/// Whether the refusal names this parameter: in its field, in quotation marks, or as a word that no sentence has.
fn is_named(refusal: &Refusal, text: &str, name: &str) -> bool {
    if own_parameter(refusal) == Some(name) {
        return true;
    }
    let is_distinct = name.contains('_') || matches!(name, "seed" | "temperature");
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        let is_word =
            |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
        let is_quote = |letter: Option<char>| {
            matches!(
                letter,
                Some('"' | '\'' | '`' | '\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}')
            )
        };
        !is_word(before) && !is_word(after) && (is_distinct || (is_quote(before) && is_quote(after)))
    })
}

/// The next weaker way to ask for a shape. A server that takes no bare `json_object` is asked in words at once.
fn schema_step(format: &Value) -> Meaning {
    let sent = match format["type"].as_str() {
        Some("json_schema") if format["json_schema"]["strict"] != true => StructuredOutput::FullJsonSchema,
        Some("json_schema") => StructuredOutput::JsonSchema,
        _ => StructuredOutput::JsonObject,
    };
    Meaning::Adjust(Adjustment::Schema(
        sent.weaker().unwrap_or(StructuredOutput::None),
    ))
}

fn window(refusal: &Refusal, text: &str) -> Option<Meaning> {
    if refusal.window.is_none() && !WINDOW.found_in(text) {
        return None;
    }
    let texts = texts_with_counts(refusal);
    let prompt = refusal
        .prompt_tokens
        .or_else(|| texts.iter().find_map(|text| counts::prompt(text)));
    let field = refusal.window.filter(|tokens| counts::is_window(*tokens));
    let tokens = field
        .or_else(|| texts.iter().find_map(|text| counts::window(text)))
        .or_else(|| counts::least_window(&texts[0], prompt))?;
    Some(Meaning::Window { tokens, prompt })
}

/// What follows where the bound of the answer is refused: its name or its size.
fn limit(refusal: &Refusal, text: &str, body: &Map<String, Value>) -> Option<Meaning> {
    let (field, other) = if body.contains_key("max_tokens") {
        ("max_tokens", LimitField::MaxCompletionTokens)
    } else if body.contains_key("max_completion_tokens") {
        ("max_completion_tokens", LimitField::MaxTokens)
    } else {
        return None;
    };
    let is_other = sent_parameters(body).any(|sent| sent != field && own_parameter(refusal) == Some(sent));
    let is_about_limit = is_refused(refusal, text, body, field)
        || (!is_other
            && ["completion tokens", "output tokens", "maxoutputtokens"]
                .iter()
                .any(|words| text.contains(words)));
    if !is_about_limit {
        return None;
    }
    let asked = asked_tokens(body)?;
    let cap = texts_with_counts(refusal)
        .iter()
        .find_map(|text| counts::limit(text, asked));
    if let Some(cap) = cap {
        return Some(Meaning::Adjust(Adjustment::MaxOutput(cap)));
    }
    Some(Meaning::Adjust(Adjustment::Limit(other)))
}

fn asked_tokens(body: &Map<String, Value>) -> Option<u32> {
    let value = body
        .get("max_tokens")
        .or_else(|| body.get("max_completion_tokens"));
    value?.as_u64().and_then(|tokens| u32::try_from(tokens).ok())
}

#[cfg(test)]
mod tests;
