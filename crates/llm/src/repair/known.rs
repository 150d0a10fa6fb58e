//! Pointers to what is missing, in the schema's words: renamed keys, and nothing that the schema does not know.

use serde_json::Value;

use super::shape::{Shape, known_key, properties};
use super::{Cut, child};

/// `pointer` with the schema's keys; `None` if the schema does not know the place.
pub(super) fn known_pointer(root: &Value, pointer: &str) -> Option<String> {
    let shape = Shape { root };
    let mut schema = Some(shape.resolved(root));
    let mut known = String::new();
    let any_object = Value::Object(serde_json::Map::new());
    for step in pointer.split('/').skip(1) {
        let key = step.replace("~1", "/").replace("~0", "~");
        let Some(here) = schema else {
            known = child(&known, &key);
            continue;
        };
        let here = shape.variant(here, &any_object);
        let is_item = step == "-" || (step.parse::<usize>().is_ok() && properties(here).is_none());
        if is_item {
            known = child(&known, &key);
            schema = here.get("items").map(|items| shape.resolved(items));
            continue;
        }
        let fields = properties(here);
        let name = fields.and_then(|fields| known_key(&key, fields));
        // Where nothing is said of fields, the place may be known.
        if name.is_none() && fields.is_some() && !keeps_unknown(here) {
            return None;
        }
        known = child(&known, name.unwrap_or(&key));
        schema = fields
            .zip(name)
            .map(|(fields, name)| shape.resolved(&fields[name]));
    }
    Some(known)
}

fn keeps_unknown(schema: &Value) -> bool {
    schema
        .get("additionalProperties")
        .is_some_and(|additional| additional != &Value::Bool(false))
}

/// Fields that the schema knows and the objects that were open at the answer's end do not have.
pub(super) fn absent_fields(root: &Value, value: &Value, cut: &Cut) -> Vec<String> {
    let shape = Shape { root };
    let mut absent = Vec::new();
    for pointer in &cut.open {
        if cut.lost.contains(pointer) {
            continue;
        }
        let mut schema = Some(shape.resolved(root));
        let mut at = Some(value);
        for step in pointer.split('/').skip(1) {
            let key = step.replace("~1", "/").replace("~0", "~");
            schema = schema.zip(at).and_then(|(schema, at)| {
                let schema = shape.variant(schema, at);
                let inner = match at {
                    Value::Array(_) => schema.get("items"),
                    _ => schema.get("properties")?.get(&key),
                };
                inner.map(|inner| shape.resolved(inner))
            });
            at = at.and_then(|at| match at {
                // What was open is the last; its number counts dropped items too.
                Value::Array(items) => items.last(),
                other => other.get(&key),
            });
        }
        let (Some(schema), Some(at @ Value::Object(fields))) = (schema, at) else {
            continue;
        };
        for name in properties(shape.variant(schema, at))
            .into_iter()
            .flat_map(|known| known.keys())
        {
            if !fields.contains_key(name) {
                absent.push(child(pointer, name));
            }
        }
    }
    absent
}

/// Whether the schema lists the fields of the whole value, so that one can tell when all are there.
pub(super) fn lists_fields(root: &Value) -> bool {
    let shape = Shape { root };
    let schema = shape.resolved(root);
    properties(schema).is_some() || schema.get("anyOf").is_some() || schema.get("oneOf").is_some()
}
