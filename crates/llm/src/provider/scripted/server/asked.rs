//! A chat completion's body as the request that scripts are asked with.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::request::{Message, OutputSchema, Request, Role, Sampling};
use crate::retry::DEFAULT_WAIT_LIMIT;

/// A script that wants to hang does so for longer than any client waits.
const PATIENCE: Duration = Duration::from_mins(10);

#[derive(Deserialize)]
pub(super) struct Asked {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    pub(super) stream: bool,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f32>,
    seed: Option<Value>,
    response_format: Option<Value>,
    tools: Option<Value>,
    tool_choice: Option<Value>,
}

impl Asked {
    /// The function that the model is made to call: proxies ask so for a shape where a provider takes no schema.
    pub(super) fn forced_tool(&self) -> Option<String> {
        let name = self.tool_choice.as_ref()?.pointer("/function/name")?;
        Some(name.as_str()?.to_owned())
    }

    pub(super) fn into_request(self) -> Request {
        let schema = self
            .response_format
            .as_ref()
            .and_then(schema_in_format)
            .or_else(|| schema_of_tool(self.tools.as_ref()?, &self.forced_tool()?))
            .or_else(|| schema_in_words(&self.messages));
        let default = Sampling::default();
        Request {
            model: self.model,
            schema,
            messages: self.messages,
            max_output_tokens: self.max_tokens.or(self.max_completion_tokens).unwrap_or(u32::MAX),
            sampling: Sampling {
                temperature: self.temperature.unwrap_or(default.temperature),
                seed: self.seed.as_ref().and_then(Value::as_u64),
                ..default
            },
            idle_timeout: PATIENCE,
            wait_limit: DEFAULT_WAIT_LIMIT,
        }
    }
}

fn schema_in_format(format: &Value) -> Option<OutputSchema> {
    let format = format.get("json_schema")?;
    let name = format.get("name").and_then(Value::as_str);
    Some(OutputSchema {
        name: name.unwrap_or(NAMELESS).to_owned(),
        schema: format.get("schema")?.clone(),
    })
}

fn schema_of_tool(tools: &Value, name: &str) -> Option<OutputSchema> {
    let functions = tools.as_array()?.iter().filter_map(|tool| tool.get("function"));
    let function = functions.into_iter().find(|function| function["name"] == name)?;
    Some(OutputSchema {
        name: NAMELESS.to_owned(),
        schema: function.get("parameters")?.clone(),
    })
}

/// The name of a schema that has none.
const NAMELESS: &str = "answer";

/// What stands before a schema in a prompt.
const ANNOUNCED: &str = "JSON Schema";

/// A schema that stands in a message because nothing else holds the model to a shape.
fn schema_in_words(messages: &[Message]) -> Option<OutputSchema> {
    let asking = messages.iter().filter(|message| message.role != Role::Assistant);
    let schema = asking.rev().find_map(|message| {
        let (_, after) = message.content.rsplit_once(ANNOUNCED)?;
        let begin = after.find('{')?;
        let mut values = serde_json::Deserializer::from_str(&after[begin..]).into_iter::<Value>();
        values
            .next()?
            .ok()
            .filter(|schema| schema.get("type").is_some() || schema.get("properties").is_some())
    })?;
    Some(OutputSchema {
        name: NAMELESS.to_owned(),
        schema,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::structured::prompt_with_schema;

    #[test]
    fn schema_is_found_in_the_prompt_where_no_format_has_it() {
        let schema = OutputSchema {
            name: "section".to_owned(),
            schema: json!({ "type": "object", "properties": { "a": { "type": "string" } } }),
        };
        let messages = prompt_with_schema(
            &[Message::system("Be {kind}."), Message::user("Hi {you}")],
            &schema,
        );
        assert_eq!(schema_in_words(&messages).unwrap().schema, schema.schema);
        assert_eq!(schema_in_words(&[Message::user("No JSON Schema here {}")]), None);
    }

    #[test]
    fn forced_function_gives_the_schema() {
        let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
        let body = json!({
            "model": "m",
            "messages": [{ "role": "user", "content": "hi" }],
            "tools": [{ "type": "function", "function": { "name": "answer_in_json", "parameters": schema } }],
            "tool_choice": { "type": "function", "function": { "name": "answer_in_json" } },
        });
        let asked = Asked::deserialize(&body).unwrap();
        assert_eq!(asked.forced_tool().as_deref(), Some("answer_in_json"));
        assert_eq!(asked.into_request().schema.unwrap().schema, schema);
    }
}
