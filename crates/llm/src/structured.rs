//! Holding a model to a shape: the schema as providers take it, or as words in the prompt (generation 3.5).

use serde_json::{Map, Value, json};

use crate::request::{Message, OutputSchema, Role};

/// Keywords that strict mode refuses, or that some upstreams do; their meaning is kept in the description.
const LIMITS: [(&str, &str); 7] = [
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("minimum", "not below {}"),
    ("maximum", "not above {}"),
    ("format", "format {}"),
];

/// Keywords that strict mode refuses and that have no short wording.
const REFUSED: [&str; 18] = [
    "$schema",
    "$id",
    "title",
    "default",
    "examples",
    "pattern",
    "uniqueItems",
    "multipleOf",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "contains",
    "not",
    "readOnly",
    "writeOnly",
];

/// A schema that strict structured outputs accept: every object closed, every property required (optional ones
/// become nullable), limits that strict mode does not know moved into the descriptions. An answer that follows it
/// may still break a limit; the full schema is checked afterwards.
pub fn strict_schema(schema: &Value) -> Value {
    match schema {
        Value::Object(keywords) => Value::Object(strict_keywords(keywords)),
        // `true` allows anything, which strict mode cannot say; text is the widest that it can.
        Value::Bool(_) => json!({ "type": "string" }),
        other => other.clone(),
    }
}

fn strict_keywords(keywords: &Map<String, Value>) -> Map<String, Value> {
    // Strict mode allows nothing beside a reference.
    if let Some(reference) = keywords.get("$ref") {
        let mut strict = Map::new();
        strict.insert("$ref".to_owned(), reference.clone());
        copy_definitions(keywords, &mut strict);
        return strict;
    }
    let mut strict = Map::new();
    for (keyword, value) in keywords {
        let is_limit = LIMITS.iter().any(|(limit, _)| limit == keyword);
        match keyword.as_str() {
            "properties" | "required" | "additionalProperties" | "description" | "$defs" | "definitions" => {}
            _ if is_limit || REFUSED.contains(&keyword.as_str()) => {}
            "oneOf" | "anyOf" => {
                let variants = value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(strict_schema)
                    .collect();
                strict.insert("anyOf".to_owned(), Value::Array(variants));
            }
            // Strict mode knows one shape for all items of a list.
            "prefixItems" => {
                strict.insert("items".to_owned(), any_item(value));
            }
            "items" if keywords.contains_key("prefixItems") => {}
            "items" => {
                strict.insert(keyword.clone(), strict_schema(value));
            }
            _ => {
                strict.insert(keyword.clone(), value.clone());
            }
        }
    }
    if let Some(description) = description_with_limits(keywords) {
        strict.insert("description".to_owned(), Value::String(description));
    }
    let properties = keywords.get("properties").and_then(Value::as_object);
    if properties.is_some() || keywords.get("type") == Some(&json!("object")) {
        insert_properties(properties, keywords.get("required"), &mut strict);
    }
    copy_definitions(keywords, &mut strict);
    strict
}

/// The shape of items that have a shape each.
fn any_item(items: &Value) -> Value {
    let mut variants: Vec<Value> = Vec::new();
    for variant in items.as_array().into_iter().flatten().map(strict_schema) {
        if !variants.contains(&variant) {
            variants.push(variant);
        }
    }
    match variants.pop() {
        Some(only) if variants.is_empty() => only,
        Some(last) => {
            variants.push(last);
            json!({ "anyOf": variants })
        }
        None => strict_schema(&Value::Bool(true)),
    }
}

fn copy_definitions(keywords: &Map<String, Value>, strict: &mut Map<String, Value>) {
    for keyword in ["$defs", "definitions"] {
        if let Some(Value::Object(definitions)) = keywords.get(keyword) {
            let definitions = definitions
                .iter()
                .map(|(name, schema)| (name.clone(), strict_schema(schema)));
            strict.insert(keyword.to_owned(), Value::Object(definitions.collect()));
        }
    }
}

fn insert_properties(
    properties: Option<&Map<String, Value>>,
    required: Option<&Value>,
    strict: &mut Map<String, Value>,
) {
    let is_required = |name: &str| {
        required
            .and_then(Value::as_array)
            .is_some_and(|names| names.iter().any(|required| required == name))
    };
    let mut closed = Map::new();
    for (name, schema) in properties.into_iter().flatten() {
        let property = strict_schema(schema);
        closed.insert(
            name.clone(),
            if is_required(name) {
                property
            } else {
                nullable(property)
            },
        );
    }
    let names = closed.keys().cloned().map(Value::String).collect();
    strict.insert("properties".to_owned(), Value::Object(closed));
    strict.insert("required".to_owned(), Value::Array(names));
    strict.insert("additionalProperties".to_owned(), Value::Bool(false));
}

fn nullable(mut schema: Value) -> Value {
    let has_values = schema.get("enum").is_some() || schema.get("const").is_some();
    match schema.get_mut("type") {
        Some(Value::Array(types)) => {
            if !types.contains(&json!("null")) {
                types.push(json!("null"));
            }
            schema
        }
        Some(one @ Value::String(_)) if !has_values => {
            *one = json!([one.clone(), "null"]);
            schema
        }
        _ => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

fn description_with_limits(keywords: &Map<String, Value>) -> Option<String> {
    let description = keywords.get("description").and_then(Value::as_str);
    let limits: Vec<String> = LIMITS
        .iter()
        .filter_map(|(keyword, wording)| {
            let limit = keywords.get(*keyword)?;
            let limit = limit.as_str().map_or_else(|| limit.to_string(), str::to_owned);
            Some(wording.replace("{}", &limit))
        })
        .collect();
    match (description, limits.is_empty()) {
        (None, true) => None,
        (Some(text), true) => Some(text.to_owned()),
        (None, false) => Some(limits.join(", ")),
        (Some(text), false) => Some(format!("{text} ({})", limits.join(", "))),
    }
}

/// A limit that [`strict_schema`] moved into a description.
pub(crate) fn limit_in(description: &str, keyword: &str) -> Option<u64> {
    let (_, wording) = LIMITS.iter().find(|(limit, _)| *limit == keyword)?;
    let (before, after) = wording.split_once("{}")?;
    description.match_indices(before).find_map(|(at, _)| {
        let rest = &description[at + before.len()..];
        let digits = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[digits..]
            .starts_with(after)
            .then(|| rest[..digits].parse().ok())
            .flatten()
    })
}

/// The conversation with the schema in its first system message, for models that nothing else holds to a shape.
pub fn prompt_with_schema(messages: &[Message], schema: &OutputSchema) -> Vec<Message> {
    let instruction = format!(
        "Answer with one JSON value and nothing else: no prose, no code fence. \
         It must follow this JSON Schema to the letter:\n{}",
        schema.schema
    );
    let mut messages = messages.to_vec();
    match messages.iter_mut().find(|message| message.role == Role::System) {
        Some(system) => {
            system.content.push_str("\n\n");
            system.content.push_str(&instruction);
        }
        None => messages.insert(0, Message::system(instruction)),
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_schema_closes_objects_and_requires_all() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "title": { "type": "string", "minLength": 5, "maxLength": 500, "description": "Lesson title" },
                "level": { "$ref": "#/$defs/Level", "description": "dropped" },
                "note": { "type": "string" },
                "kind": { "enum": ["a", "b"] },
                "topics": { "type": "array", "minItems": 2, "items": { "type": "string", "pattern": "^x" } },
            },
            "required": ["title", "level", "topics"],
            "$defs": { "Level": { "oneOf": [{ "const": "easy" }, { "const": "hard" }] } },
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "title": { "type": "string", "description": "Lesson title (at least 5 characters, at most 500 characters)" },
                "level": { "$ref": "#/$defs/Level" },
                "note": { "type": ["string", "null"] },
                "kind": { "anyOf": [{ "enum": ["a", "b"] }, { "type": "null" }] },
                "topics": { "type": "array", "items": { "type": "string" }, "description": "at least 2 items" },
            },
            "required": ["title", "level", "note", "kind", "topics"],
            "additionalProperties": false,
            "$defs": { "Level": { "anyOf": [{ "const": "easy" }, { "const": "hard" }] } },
        });
        assert_eq!(strict_schema(&schema), expected);
    }

    #[test]
    fn items_with_a_shape_each_get_one_that_all_have() {
        let check = |items: Value, expected: Value| {
            let schema = json!({ "type": "array", "prefixItems": items, "items": false, "minItems": 2, "maxItems": 2 });
            let strict = strict_schema(&schema);
            assert_eq!(strict["items"], expected);
            assert_eq!(strict["description"], "at least 2 items, at most 2 items");
            assert!(strict.get("prefixItems").is_none());
        };
        let titled = |pattern: &str| json!({ "type": "string", "pattern": pattern });
        check(json!([titled("^A"), titled("^B")]), json!({ "type": "string" }));
        let mixed = json!([{ "type": "string" }, { "type": "integer" }]);
        check(mixed.clone(), json!({ "anyOf": mixed }));
        check(json!([]), json!({ "type": "string" }));
    }

    #[test]
    fn schema_joins_the_system_message_or_becomes_one() {
        let schema = OutputSchema {
            name: "x".to_owned(),
            schema: json!({ "type": "object" }),
        };
        let joined = prompt_with_schema(&[Message::system("Be kind."), Message::user("Hi")], &schema);
        assert_eq!(joined.len(), 2);
        assert!(joined[0].content.starts_with("Be kind.\n\nAnswer with one JSON"));
        let added = prompt_with_schema(&[Message::user("Hi")], &schema);
        assert_eq!(added[0].role, Role::System);
        assert!(added[0].content.ends_with(r#"{"type":"object"}"#));
    }
}
