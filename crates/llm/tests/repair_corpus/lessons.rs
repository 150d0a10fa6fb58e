//! Whole lessons as a strong model wrote them.

use serde_json::{Map, Value, json};

use crate::documents::Document;

/// Three lessons, each with the narrowest schema that it follows.
pub(crate) fn lessons() -> Vec<Document> {
    let texts = [
        include_str!("lesson-1.json"),
        include_str!("lesson-2.json"),
        include_str!("lesson-3.json"),
    ];
    let numbered = texts.into_iter().enumerate();
    numbered
        .map(|(index, text)| {
            let value: Value = serde_json::from_str(text).expect("a lesson is JSON");
            Document {
                name: format!("lesson {}", index + 1),
                schema: schema_of(&[&value]),
                value,
            }
        })
        .collect()
}

/// A schema that all the values follow; what not all of them have is optional.
fn schema_of(values: &[&Value]) -> Value {
    match values.first() {
        Some(Value::Object(_)) => {
            let objects: Vec<&Map<String, Value>> =
                values.iter().filter_map(|value| value.as_object()).collect();
            let mut properties = Map::new();
            let mut required = Vec::new();
            for name in objects.iter().flat_map(|fields| fields.keys()) {
                let own: Vec<&Value> = objects.iter().filter_map(|fields| fields.get(name)).collect();
                if own.len() == objects.len() && !required.contains(name) {
                    required.push(name.clone());
                }
                properties.entry(name.clone()).or_insert_with(|| schema_of(&own));
            }
            json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
        }
        Some(Value::Array(_)) => {
            let items: Vec<&Value> = values
                .iter()
                .filter_map(|value| value.as_array())
                .flatten()
                .collect();
            json!({ "type": "array", "items": schema_of(&items) })
        }
        Some(Value::String(_)) => json!({ "type": "string" }),
        Some(Value::Number(_)) => json!({ "type": "integer" }),
        Some(Value::Bool(_)) => json!({ "type": "boolean" }),
        Some(Value::Null) | None => json!({}),
    }
}
