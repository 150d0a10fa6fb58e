//! What is sent: the body of a chat completion, in the way that the model's server takes it.

use serde_json::{Map, Value, json};

use super::{Dialect, Endpoint};
use crate::capability::{Capabilities, LimitField};
use crate::card::StructuredOutput;
use crate::request::{Message, OutputSchema, Request, Role};
use crate::structured::{prompt_with_schema, strict_schema};

/// Seeds have 31 bits on the wire: some servers read them as 32-bit numbers with a sign, most as 64-bit ones.
const SEED_BITS: u64 = 0x7fff_ffff;

/// The body of a chat completion of at most `answer_tokens`.
pub(super) fn request_body(
    request: &Request,
    capabilities: &Capabilities,
    answer_tokens: u32,
    endpoint: &Endpoint,
) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(request.model));
    body.insert("messages".to_owned(), json!(conversation(request, capabilities)));
    body.insert("stream".to_owned(), json!(true));
    body.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    if let Some(name) = capabilities.limit_field.name() {
        body.insert(name.to_owned(), json!(answer_tokens));
    }
    let sampling = request.sampling;
    body.insert("temperature".to_owned(), short_decimal(sampling.temperature));
    if let Some(top_p) = sampling.top_p {
        body.insert("top_p".to_owned(), short_decimal(top_p));
    }
    if let Some(penalty) = sampling.frequency_penalty {
        body.insert("frequency_penalty".to_owned(), short_decimal(penalty));
    }
    if let Some(seed) = sampling.seed {
        body.insert("seed".to_owned(), json!(seed & SEED_BITS));
    }
    let schema = request.schema.as_ref();
    if let Some(format) = schema.and_then(|schema| response_format(schema, capabilities.schema)) {
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
    body.retain(|name, _| !capabilities.left_out.contains(name));
    if !body.contains_key("stream") {
        body.remove("stream_options");
    }
    body
}

/// The capabilities that a model of this endpoint begins with.
pub(super) fn first_capabilities(dialect: Dialect, schema: StructuredOutput) -> Capabilities {
    Capabilities {
        // A grammar is for models in this process.
        schema: match schema {
            StructuredOutput::Grammar => StructuredOutput::None,
            other => other,
        },
        limit_field: match dialect {
            Dialect::OpenAi => LimitField::MaxCompletionTokens,
            Dialect::OpenRouter | Dialect::Plain => LimitField::MaxTokens,
        },
        ..Capabilities::default()
    }
}

/// The conversation as templates take it: the schema in words where nothing else tells it, no system role where there is
/// none, and never two turns of one role in a row.
fn conversation(request: &Request, capabilities: &Capabilities) -> Vec<Message> {
    let mut messages = match (&request.schema, capabilities.schema) {
        (Some(schema), StructuredOutput::JsonObject | StructuredOutput::None) => {
            prompt_with_schema(&request.messages, schema)
        }
        _ => request.messages.clone(),
    };
    if capabilities.folds_system {
        for message in &mut messages {
            if message.role == Role::System {
                message.role = Role::User;
            }
        }
    }
    let mut turns: Vec<Message> = Vec::with_capacity(messages.len());
    for message in messages {
        match turns.last_mut() {
            Some(last) if last.role == message.role => {
                last.content.push_str("\n\n");
                last.content.push_str(&message.content);
            }
            _ => turns.push(message),
        }
    }
    turns
}

/// 0.7 as `0.7`, not as the nearest `f32` written out in full.
fn short_decimal(number: f32) -> Value {
    json!((f64::from(number) * 10_000.0).round() / 10_000.0)
}

fn response_format(schema: &OutputSchema, ability: StructuredOutput) -> Option<Value> {
    match ability {
        // Not strict: servers that know the word would refuse what strict schemas must not have.
        StructuredOutput::FullJsonSchema => Some(json!({
            "type": "json_schema",
            "json_schema": { "name": schema.name, "schema": schema.schema },
        })),
        StructuredOutput::JsonSchema => Some(json!({
            "type": "json_schema",
            "json_schema": { "name": schema.name, "strict": true, "schema": strict_schema(&schema.schema) },
        })),
        StructuredOutput::JsonObject => Some(json!({ "type": "json_object" })),
        StructuredOutput::Grammar | StructuredOutput::None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::request::Sampling;
    use crate::retry::DEFAULT_WAIT_LIMIT;

    fn request(messages: Vec<Message>) -> Request {
        Request {
            model: "m".to_owned(),
            messages,
            schema: Some(OutputSchema {
                name: "answer".to_owned(),
                schema: json!({ "type": "object" }),
            }),
            max_output_tokens: 100,
            sampling: Sampling {
                seed: Some(u64::MAX),
                ..Sampling::default()
            },
            idle_timeout: Duration::from_secs(1),
            wait_limit: DEFAULT_WAIT_LIMIT,
        }
    }

    fn endpoint() -> Endpoint {
        Endpoint::new("p", "http://localhost/v1".parse().unwrap(), None)
    }

    #[test]
    fn roles_alternate_and_the_system_role_can_be_folded() {
        let check = |folds_system: bool, messages: Vec<Message>, expected: &[(&str, &str)]| {
            let capabilities = Capabilities {
                folds_system,
                ..Capabilities::default()
            };
            let body = request_body(&request(messages), &capabilities, 9, &endpoint());
            let turns: Vec<(String, String)> = body["messages"]
                .as_array()
                .unwrap()
                .iter()
                .map(|turn| {
                    let text = |key: &str| turn[key].as_str().unwrap().to_owned();
                    (text("role"), text("content"))
                })
                .collect();
            let expected: Vec<(String, String)> = expected
                .iter()
                .map(|(role, text)| ((*role).to_owned(), (*text).to_owned()))
                .collect();
            assert_eq!(turns, expected);
        };
        let turns = || vec![Message::system("s"), Message::user("a"), Message::user("b")];
        check(false, turns(), &[("system", "s"), ("user", "a\n\nb")]);
        check(true, turns(), &[("user", "s\n\na\n\nb")]);
        let longer = vec![
            Message::user("a"),
            Message::assistant("x"),
            Message::assistant("y"),
            Message::user("b"),
        ];
        check(
            false,
            longer,
            &[("user", "a"), ("assistant", "x\n\ny"), ("user", "b")],
        );
    }

    #[test]
    fn what_is_left_out_is_not_sent() {
        let names = |left_out: &[&str]| {
            let capabilities = Capabilities {
                left_out: left_out.iter().map(|name| (*name).to_owned()).collect(),
                ..Capabilities::default()
            };
            let body = request_body(&request(vec![Message::user("a")]), &capabilities, 9, &endpoint());
            let mut names: Vec<String> = body.keys().cloned().collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(
            names(&[]),
            "max_tokens messages model response_format seed stream stream_options temperature"
        );
        assert_eq!(
            names(&["seed", "stream"]),
            "max_tokens messages model response_format temperature"
        );
    }

    #[test]
    fn seed_fits_the_smallest_type_of_a_server() {
        let body = request_body(
            &request(vec![Message::user("a")]),
            &Capabilities::default(),
            9,
            &endpoint(),
        );
        assert_eq!(body["seed"], json!(i32::MAX));
    }
}
