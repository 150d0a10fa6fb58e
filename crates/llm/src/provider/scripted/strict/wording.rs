//! How each server says no: status, shape of the body, and words.

use serde_json::{Value, json};

use super::schema::{SchemaFault, SchemaProblem};
use super::{Refusal, Temperatures, Violation};

/// A family of servers that refuse in the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wording {
    OpenAi,
    Azure,
    Ollama,
    Vllm,
    Mistral,
    Google,
    Groq,
    LmStudio,
    LlamaCpp,
    OpenRouter,
}

/// What is said: the message, the parameter it is about, and a word for programs.
struct Said {
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
}

impl Said {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            param: None,
            code: None,
        }
    }

    fn about(mut self, param: impl Into<String>, code: &'static str) -> Self {
        self.param = Some(param.into());
        self.code = (!code.is_empty()).then_some(code);
        self
    }
}

impl Wording {
    /// The answer of this family of servers.
    pub(super) fn refusal(self, violation: &Violation) -> Refusal {
        match self {
            Self::OpenAi => open_ai_body(openai(violation)),
            Self::Azure => open_ai_body(azure(violation)),
            Self::Groq => groq(violation),
            Self::Ollama => ollama(violation),
            Self::Vllm => vllm(violation),
            Self::Mistral => mistral(violation),
            Self::Google => google(violation),
            Self::LmStudio => lm_studio(violation),
            Self::LlamaCpp => llama_cpp(violation),
            Self::OpenRouter => open_router(violation),
        }
    }
}

fn refusal(status: u16, message: String, body: Value) -> Refusal {
    Refusal {
        status,
        body,
        message,
    }
}

fn open_ai_body(said: Said) -> Refusal {
    let error = json!({
        "message": said.message,
        "type": "invalid_request_error",
        "param": said.param,
        "code": said.code,
    });
    refusal(400, said.message, json!({ "error": error }))
}

fn openai(violation: &Violation) -> Said {
    match violation {
        Violation::NoMessages => {
            Said::new("Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.")
                .about("messages", "empty_array")
        }
        Violation::EmptyContent { index } => {
            let param = format!("messages[{index}].content");
            Said::new(format!("Invalid '{param}': empty string. Expected a string with minimum length 1.")).about(param, "empty_string")
        }
        Violation::Unknown { param, .. } => {
            Said::new(format!("Unknown parameter: '{param}'.")).about(param, "unknown_parameter")
        }
        Violation::Unsupported { param, .. } => {
            Said::new(format!("Unsupported parameter: '{param}' is not supported with this model."))
                .about(*param, "unsupported_parameter")
        }
        Violation::OldLimit { .. } => Said::new(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        )
        .about("max_tokens", "unsupported_parameter"),
        Violation::Seed { value, least, most } => {
            let (word, sign, bound, code) = if value.as_f64().unwrap_or(0.0) < 0.0 {
                ("below minimum", ">=", least, "integer_below_min_value")
            } else {
                ("above maximum", "<=", most, "integer_above_max_value")
            };
            Said::new(format!(
                "Invalid 'seed': integer {word} value. Expected a value {sign} {bound}, but got {value} instead."
            ))
            .about("seed", code)
        }
        Violation::TooFewTokens { param, value } => Said::new(format!(
            "Invalid '{param}': integer below minimum value. Expected a value >= 1, but got {value} instead."
        ))
        .about(*param, "integer_below_min_value"),
        Violation::TooManyTokens { param, asked, most } => Said::new(format!(
            "{param} is too large: {asked}. This model supports at most {most} completion tokens, whereas you provided {asked}."
        ))
        .about(*param, "invalid_value"),
        Violation::Window { prompt, window, .. } => Said::new(format!(
            "This model's maximum context length is {window} tokens. However, your messages resulted in {prompt} tokens. Please reduce the length of the messages."
        ))
        .about("messages", "context_length_exceeded"),
        Violation::Temperature { value, allowed: Temperatures::OnlyDefault } => Said::new(format!(
            "Unsupported value: 'temperature' does not support {value} with this model. Only the default (1) value is supported."
        ))
        .about("temperature", "unsupported_value"),
        Violation::Temperature { value, allowed } => {
            let (least, most) = bounds(*allowed);
            let (word, sign, bound, code) = if *value < least {
                ("below minimum", ">=", least, "decimal_below_min_value")
            } else {
                ("above maximum", "<=", most, "decimal_above_max_value")
            };
            Said::new(format!(
                "Invalid 'temperature': decimal {word} value. Expected a value {sign} {bound}, but got {value} instead."
            ))
            .about("temperature", code)
        }
        Violation::Format { kind } => Said::new(format!(
            "Invalid parameter: 'response_format' of type '{kind}' is not supported with this model. Learn more about supported models at the Structured Outputs guide: https://platform.openai.com/docs/guides/structured-outputs"
        ))
        .about("response_format", ""),
        Violation::SchemaName { name } => Said::new(format!(
            "Invalid 'response_format.json_schema.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$', but got '{name}' instead."
        ))
        .about("response_format.json_schema.name", "invalid_value"),
        Violation::Schema { name, fault } => {
            Said::new(openai_schema(name, fault)).about("response_format", "")
        }
        Violation::NoJsonWord => Said::new(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        )
        .about("messages", ""),
        Violation::System => Said::new("System messages are only supported as the first message.").about("messages", ""),
        Violation::NotAlternating => Said::new(ALTERNATE).about("messages", ""),
        Violation::LastRole { role } => Said::new(format!(
            "The last message must be of the role 'user', but it is of the role '{role}'."
        ))
        .about("messages", ""),
    }
}

/// What the templates of Mistral's models raise.
const ALTERNATE: &str =
    "After the optional system message, conversation roles must alternate user/assistant/user/assistant/...";

fn bounds(allowed: Temperatures) -> (f64, f64) {
    match allowed {
        Temperatures::Any => (f64::MIN, f64::MAX),
        Temperatures::Between(least, most) => (least, most),
        Temperatures::OnlyDefault => (1.0, 1.0),
    }
}

fn openai_schema(name: &str, fault: &SchemaFault) -> String {
    let steps: Vec<String> = fault.path.iter().map(|step| format!("'{step}'")).collect();
    let comma = if steps.len() == 1 { "," } else { "" };
    let context = format!("In context=({}{comma})", steps.join(", "));
    let problem = match &fault.problem {
        SchemaProblem::RootType(kind) => {
            return format!(
                "Invalid schema for response_format '{name}': schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
            );
        }
        SchemaProblem::Open => {
            "'additionalProperties' is required to be supplied and to be false.".to_owned()
        }
        SchemaProblem::Optional(property) => format!(
            "'required' is required to be supplied and to be an array including every key in properties. Missing '{property}'."
        ),
        SchemaProblem::BooleanItems => "array schema items is not an object.".to_owned(),
        SchemaProblem::Keyword(keyword) => format!("'{keyword}' is not permitted."),
        SchemaProblem::BesideReference(keyword) => format!("$ref cannot have keywords {{'{keyword}'}}."),
        SchemaProblem::Dangling(reference) => {
            format!("reference can only point to definitions that exist, got '{reference}'.")
        }
    };
    format!("Invalid schema for response_format '{name}': {context}, {problem}")
}

/// Azure speaks as `OpenAI` spoke when its API version was new.
fn azure(violation: &Violation) -> Said {
    match violation {
        Violation::Unknown { param, .. } => {
            Said::new(format!("Unrecognized request argument supplied: {param}"))
        }
        Violation::Unsupported { param, .. } => {
            Said::new(format!("Unrecognized request argument supplied: {param}"))
        }
        Violation::Format { kind } => Said::new(format!(
            "response_format value as {kind} is enabled only for api versions 2024-08-01-preview and later"
        ))
        .about("response_format", ""),
        other => openai(other),
    }
}

fn groq(violation: &Violation) -> Refusal {
    let said = match violation {
        Violation::Unknown { param, .. } => Said::new(format!("property '{param}' is unsupported")),
        Violation::Unsupported { param, .. } => Said::new(format!("'{param}' : property '{param}' is unsupported")),
        Violation::TooManyTokens { param, most, .. } => Said::new(format!(
            "`{param}` must be less than or equal to `{most}`, the maximum value for `{param}` is less than the `context_window` for this model"
        ))
        .about(*param, ""),
        Violation::Window { .. } => Said::new("Please reduce the length of the messages or completion.")
            .about("messages", "context_length_exceeded"),
        Violation::Format { kind } => Said::new(format!(
            "This model does not support response format `{kind}`. See supported models at https://console.groq.com/docs/structured-outputs#supported-models"
        ))
        .about("response_format", ""),
        other => openai(other),
    };
    open_ai_body(said)
}

fn ollama(violation: &Violation) -> Refusal {
    let message = match violation {
        Violation::Seed { value, .. } => go_type("number", value, "seed", "int"),
        Violation::TooFewTokens { param, value } => go_type("number", value, param, "int"),
        other => openai(other).message,
    };
    let error = json!({ "message": message, "type": "invalid_request_error", "param": null, "code": null });
    refusal(400, message, json!({ "error": error }))
}

fn go_type(kind: &str, value: &Value, field: &str, wanted: &str) -> String {
    format!(
        "json: cannot unmarshal {kind} {value} into Go struct field ChatCompletionRequest.{field} of type {wanted}"
    )
}

fn vllm(violation: &Violation) -> Refusal {
    let message = match violation {
        Violation::Seed { value, least, most } => {
            let is_below = value.as_f64().unwrap_or(0.0) < 0.0;
            let (kind, word, bound) = if is_below {
                ("greater_than_equal", "greater", least)
            } else {
                ("less_than_equal", "less", most)
            };
            let key = if is_below { "ge" } else { "le" };
            format!(
                "1 validation error:\n  {{'type': '{kind}', 'loc': ('body', 'seed'), 'msg': 'Input should be {word} than or equal to {bound}', 'input': {value}, 'ctx': {{'{key}': {bound}}}}}"
            )
        }
        Violation::TooFewTokens { param, value } => format!("{param} must be at least 1, got {value}."),
        Violation::Window {
            prompt,
            answer,
            window,
        } => format!(
            "This model's maximum context length is {window} tokens. However, you requested {} tokens ({prompt} in the messages, {answer} in the completion). Please reduce the length of the messages or completion.",
            prompt + answer
        ),
        Violation::Temperature { value, .. } => format!("temperature must be non-negative, got {value}."),
        Violation::Schema { .. } => {
            "The provided JSON schema contains features not supported by xgrammar.".to_owned()
        }
        Violation::System => "System role not supported".to_owned(),
        Violation::LastRole { role } => format!(
            "Expected last role User or Tool (or Assistant with prefix True) for serving but got {role}"
        ),
        other => openai(other).message,
    };
    let error = json!({ "message": message, "type": "BadRequestError", "param": null, "code": 400 });
    refusal(400, message, json!({ "error": error }))
}

/// Mistral validates with pydantic and hands its details on.
fn mistral(violation: &Violation) -> Refusal {
    let detail = match violation {
        Violation::Unknown { param, value } => {
            json!({ "type": "extra_forbidden", "loc": ["body", param], "msg": "Extra inputs are not permitted", "input": value })
        }
        Violation::Temperature { value, allowed } => {
            let (_, most) = bounds(*allowed);
            let msg = format!("Input should be less than or equal to {most}");
            json!({ "type": "less_than_equal", "loc": ["body", "temperature"], "msg": msg, "input": value, "ctx": { "le": most } })
        }
        Violation::TooFewTokens { param, value } => {
            json!({ "type": "greater_than_equal", "loc": ["body", param], "msg": "Input should be greater than or equal to 0", "input": value, "ctx": { "ge": 0 } })
        }
        Violation::LastRole { role } => {
            let message = format!(
                "Expected last role User or Tool (or Assistant with prefix True) for serving but got {role}"
            );
            let body = json!({ "object": "error", "message": message, "type": "invalid_request_message_order", "param": null, "code": "3230" });
            return refusal(400, message, body);
        }
        Violation::Window { prompt, window, .. } => {
            let message = format!(
                "Prompt contains {prompt} tokens and 0 draft tokens, too large for model with {window} maximum context length"
            );
            let body = json!({ "object": "error", "message": message, "type": "invalid_request_error", "param": null, "code": "3051" });
            return refusal(400, message, body);
        }
        other => {
            let message = openai(other).message;
            let body = json!({ "object": "error", "message": message, "type": "invalid_request_error", "param": null, "code": "1000" });
            return refusal(400, message, body);
        }
    };
    let message = detail.to_string();
    let body = json!({ "object": "error", "message": { "detail": [detail] }, "type": "invalid_request_error", "param": null, "code": null });
    refusal(422, message, body)
}

/// Google's compatible endpoint puts its errors into a list.
fn google(violation: &Violation) -> Refusal {
    let unknown =
        |name: &str| format!("Invalid JSON payload received. Unknown name \"{name}\": Cannot find field.");
    let message = match violation {
        Violation::Unknown { param, .. } => unknown(param),
        Violation::Unsupported { param, .. } => unknown(param),
        Violation::Seed { value, .. } => {
            format!("Invalid value at 'generation_config.seed' (TYPE_INT32), {value}")
        }
        Violation::TooManyTokens { asked, most, .. } => format!(
            "Unable to submit request because it has a maxOutputTokens value of {asked} but the supported range is from 1 (inclusive) to {} (exclusive). Update the value and try again.",
            most + 1
        ),
        Violation::Schema { fault, .. } => {
            let keyword = match &fault.problem {
                SchemaProblem::Keyword(keyword) => keyword,
                _ => "$ref",
            };
            let mut place = "generation_config.response_schema".to_owned();
            for step in &fault.path {
                place.push('.');
                place.push_str(step);
            }
            format!(
                "Invalid JSON payload received. Unknown name \"{keyword}\" at '{place}': Cannot find field."
            )
        }
        other => openai(other).message,
    };
    let details = json!([{
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{ "description": message }],
    }]);
    let error = json!({ "code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": details });
    refusal(400, message, json!([{ "error": error }]))
}

/// LM Studio's error is a text.
fn lm_studio(violation: &Violation) -> Refusal {
    let message = match violation {
        Violation::Format { .. } => "'response_format.type' must be 'json_schema' or 'text'".to_owned(),
        Violation::Window { prompt, window, .. } => format!(
            "Trying to keep the first {prompt} tokens when context the overflows. However, the model is loaded with context length of only {window} tokens, which is not enough. Try to load the model with a larger context length, or provide a shorter input"
        ),
        other => openai(other).message,
    };
    let body = json!({ "error": message });
    refusal(400, message, body)
}

fn llama_cpp(violation: &Violation) -> Refusal {
    let (message, kind, extra) = match violation {
        Violation::Window { prompt, window, .. } => (
            format!(
                "request ({prompt} tokens) exceeds the available context size ({window} tokens), try increasing it"
            ),
            "exceed_context_size_error",
            Some((*prompt, *window)),
        ),
        Violation::Schema { fault, .. } if fault.problem == SchemaProblem::BooleanItems => (
            format!(
                "Unable to generate parser for this template. Automatic parser generation failed: JSON schema error at #/{}/items: schema must be an object",
                fault.path.join("/")
            ),
            "invalid_request_error",
            None,
        ),
        Violation::Schema { fault, .. } => (
            format!(
                "JSON schema conversion failed:\nUnrecognized schema at /{}",
                fault.path.join("/")
            ),
            "invalid_request_error",
            None,
        ),
        Violation::Format { kind } => (
            format!("response_format type must be one of \"text\" or \"json_object\", but got: {kind}"),
            "invalid_request_error",
            None,
        ),
        other => (openai(other).message, "invalid_request_error", None),
    };
    let mut error = json!({ "code": 400, "message": message, "type": kind });
    if let Some((prompt, window)) = extra {
        error["n_prompt_tokens"] = json!(prompt);
        error["n_ctx"] = json!(window);
    }
    refusal(400, message, json!({ "error": error }))
}

/// `OpenRouter` checks little itself; the rest are the words of the provider behind it, wrapped.
fn open_router(violation: &Violation) -> Refusal {
    let own = match violation {
        Violation::Window {
            prompt,
            answer,
            window,
        } => Some(format!(
            "This endpoint's maximum context length is {window} tokens. However, you requested about {} tokens ({prompt} of text input, {answer} in the output). Please reduce the length of either one, or use the \"middle-out\" transform to compress your prompt automatically.",
            prompt + answer
        )),
        Violation::NoMessages => Some("Input required: specify \"prompt\" or \"messages\"".to_owned()),
        _ => None,
    };
    if let Some(message) = own {
        let error = json!({ "message": message, "code": 400, "metadata": { "provider_name": null } });
        return refusal(
            400,
            message,
            json!({ "error": error, "user_id": "user_scripted" }),
        );
    }
    let behind = open_ai_body(openai(violation));
    let error = json!({
        "message": "Provider returned error",
        "code": 400,
        "metadata": { "raw": behind.body.to_string(), "provider_name": "Upstream" },
    });
    refusal(
        400,
        behind.message,
        json!({ "error": error, "user_id": "user_scripted" }),
    )
}
