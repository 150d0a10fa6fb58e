//! A chat completion's body as the request that scripts are asked with.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::request::{Message, OutputSchema, Request, Role, Sampling};

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
}

impl Asked {
    pub(super) fn into_request(self) -> Request {
        let schema = self
            .response_format
            .as_ref()
            .and_then(schema_in_format)
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
}
