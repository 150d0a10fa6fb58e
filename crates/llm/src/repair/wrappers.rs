//! Layers around the answer: `{"result": {...}}`, `{"status": "ok", "data": {...}}`, calls of tools, the schema with
//! the answer in its `properties`.

use serde_json::{Map, Value};

use super::child;
use super::shape::{Shape, allows, allows_type, has_type, known_key, properties, required};

/// Layers beyond this are not looked into.
const MOST_LAYERS: usize = 4;

/// The answer inside a layer.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) value: Value,
    /// Where it was, as a JSON pointer.
    pub(super) path: String,
    /// It was written as a text, so that pointers do not lead into it.
    pub(super) was_text: bool,
}

/// The value without needless layers; `None` if there are none around it. What an object holds is only looked into
/// where the schema does not know the key, so that no part is taken for the whole.
pub(super) fn unwrapped(root: &Value, value: &Value) -> Option<Inner> {
    let shape = Shape { root };
    let schema = shape.variant(shape.resolved(root), value);
    if !allows_type(schema, "object") {
        return inner_list(schema, value);
    }
    let known = properties(schema)?;
    let wanted = required(schema).count();
    let own = value.as_object().map(|fields| score(schema, known, fields));
    if own.is_some_and(|own| own.0 == wanted && own.1 > 0) {
        return None;
    }
    let mut search = Search {
        schema,
        known,
        found: Vec::new(),
    };
    search.look_into(value, "", 0, false);
    let best = search.found.iter().map(|(score, _)| *score).max()?;
    // A part that knows no more than the whole is no better.
    if own.is_some_and(|own| own.1 > 0 && (best.0 < wanted || best.0 <= own.0)) {
        return None;
    }
    let mut fitting = search.found.into_iter().filter(|(score, _)| *score == best);
    let (_, inner) = fitting.next()?;
    // Two that fit alike: neither is the answer.
    fitting
        .all(|(_, other)| other.value == inner.value)
        .then_some(inner)
}

/// Whether the value has a field that the schema requires (any that it knows, if it requires none).
pub(super) fn holds_required(root: &Value, value: &Value) -> bool {
    let shape = Shape { root };
    let schema = shape.variant(shape.resolved(root), value);
    match (value.as_object(), properties(schema)) {
        (Some(fields), Some(known)) => {
            let (needed, all) = score(schema, known, fields);
            if required(schema).next().is_some() {
                needed > 0
            } else {
                all > 0
            }
        }
        _ => allows(schema, value),
    }
}

/// How many required and how many known fields an object has.
fn score(schema: &Value, known: &Map<String, Value>, fields: &Map<String, Value>) -> (usize, usize) {
    let names: Vec<&str> = fields.keys().filter_map(|key| known_key(key, known)).collect();
    let needed = required(schema).filter(|name| names.contains(name)).count();
    (needed, names.len())
}

struct Search<'a> {
    schema: &'a Value,
    known: &'a Map<String, Value>,
    found: Vec<((usize, usize), Inner)>,
}

impl Search<'_> {
    fn look_into(&mut self, value: &Value, path: &str, depth: usize, was_text: bool) {
        match value {
            Value::Object(fields) => {
                let score = score(self.schema, self.known, fields);
                if depth > 0 && score.1 > 0 {
                    self.found.push((
                        score,
                        Inner {
                            value: value.clone(),
                            path: path.to_owned(),
                            was_text,
                        },
                    ));
                    return;
                }
                if depth < MOST_LAYERS {
                    for (key, field) in fields
                        .iter()
                        .filter(|(key, _)| known_key(key, self.known).is_none())
                    {
                        self.look_into(field, &child(path, key), depth + 1, was_text);
                    }
                }
            }
            Value::Array(items) if items.len() == 1 && depth < MOST_LAYERS => {
                self.look_into(&items[0], &child(path, "0"), depth + 1, was_text);
            }
            Value::String(text) if depth > 0 && depth < MOST_LAYERS && text.trim_start().starts_with('{') => {
                if let Ok(inner @ Value::Object(_)) = serde_json::from_str(text.trim()) {
                    self.look_into(&inner, path, depth, true);
                }
            }
            _ => {}
        }
    }
}

/// The only list of an object, where a list is wanted.
fn inner_list(schema: &Value, value: &Value) -> Option<Inner> {
    let fields = value.as_object()?;
    if !has_type(schema) {
        return None;
    }
    let mut fitting = fields.iter().filter(|(_, inner)| {
        !inner.is_string() && allows(schema, inner) && (inner.is_array() || fields.len() == 1)
    });
    let (key, inner) = fitting.next()?;
    fitting.next().is_none().then(|| Inner {
        value: inner.clone(),
        path: child("", key),
        was_text: false,
    })
}
