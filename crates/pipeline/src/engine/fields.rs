//! Asking for the wrong fields of an answer alone: the third rung of the content ladder (generation 3.4).

use domain::validation::Finding;
use llm::repair::failing_fields;
use serde_json::{Map, Value};

use super::{Candidate, Question};

/// A field of an answer that must be written anew.
pub(super) struct OffendingField {
    /// What the field is called in the question and in its answer.
    pub(super) key: String,
    /// Where it stands in the whole answer, as a JSON pointer.
    pointer: String,
    /// The shape of its value.
    schema: Value,
}

/// The fields that the schema or a rule rejects, each with the shape of its value.
pub(super) fn offending_fields(question: &Question<'_>, best: &Candidate) -> Vec<OffendingField> {
    let mut pointers: Vec<(String, Value)> = failing_fields(&question.schema, &best.value)
        .unwrap_or_default()
        .into_iter()
        .map(|failure| (failure.path, failure.schema))
        .collect();
    if pointers.is_empty()
        && let Some(check) = &question.check
    {
        for finding in check(&best.value).into_iter().filter(Finding::is_error) {
            let pointer = crate::schema::pointer(&finding.path);
            if let Some(schema) = crate::schema::at(&question.schema, &pointer)
                && best.value.pointer(&pointer).is_some()
            {
                pointers.push((pointer, schema));
            }
        }
    }
    pointers.dedup_by(|a, b| a.0 == b.0);
    // The whole answer is no field.
    pointers.retain(|(pointer, _)| !pointer.is_empty());
    pointers
        .into_iter()
        .zip(1..)
        .map(|((pointer, schema), number)| OffendingField {
            key: format!("field_{number}"),
            pointer,
            schema,
        })
        .collect()
}

/// The shape of an answer with these fields alone.
pub(super) fn fields_schema(fields: &[OffendingField]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| (field.key.clone(), field.schema.clone()))
        .collect();
    let required: Vec<&str> = fields.iter().map(|field| field.key.as_str()).collect();
    serde_json::json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false
    })
}

/// The answer `base` with these fields as `answers` has them.
pub(super) fn merged(base: &Value, fields: &[OffendingField], answers: &Value) -> Value {
    let mut value = base.clone();
    for field in fields {
        if let (Some(place), Some(answer)) = (value.pointer_mut(&field.pointer), answers.get(&field.key)) {
            *place = answer.clone();
        }
    }
    value
}
