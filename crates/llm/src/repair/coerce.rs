//! Layer 3: fitting values to the schema, each change noted. Never a new text, never a guess between two.

use serde_json::{Map, Value, json};

use super::near::nearest;
use super::numbers::{number_in, whole};
use super::shape::{Shape, allows, allows_type, has_type, known_key, properties, required};
use super::{Change, Draft, MOST_NOTES, RepairLayer, RepairNote, child, known, lists, wrappers};

/// Fits the draft's value to `schema`, and its pointers to the schema's keys.
pub(super) fn coerce(schema: &Value, draft: &mut Draft) {
    let mut fitting = Fitting {
        shape: Shape { root: schema },
        notes: Vec::new(),
    };
    if let Some(inner) = wrappers::unwrapped(schema, &draft.value) {
        fitting.note("", Change::Rewrapped, format!("layer '{}' removed", inner.path));
        draft.value = inner.value;
        let within = |pointer: &String| match pointer.strip_prefix(&inner.path) {
            Some(rest) if !inner.was_text && (rest.is_empty() || rest.starts_with('/')) => {
                Some(rest.to_owned())
            }
            _ => None,
        };
        each_pointer(draft, &within);
    }
    let value = std::mem::take(&mut draft.value);
    draft.value = fitting.fit(schema, value, "");
    each_pointer(draft, &|pointer| known::known_pointer(schema, pointer));
    if !fitting.notes.is_empty() {
        draft.layer = draft.layer.max(RepairLayer::Coerced);
        draft.notes.append(&mut fitting.notes);
    }
}

/// Replaces all pointers to what the draft lacks; `None` leaves one out.
fn each_pointer(draft: &mut Draft, replace: &dyn Fn(&String) -> Option<String>) {
    let replaced = |pointers: &mut Vec<String>| *pointers = pointers.iter().filter_map(replace).collect();
    replaced(&mut draft.missing);
    if let Some(cut) = &mut draft.cut {
        replaced(&mut cut.open);
        replaced(&mut cut.lost);
    }
}

/// Whether the value is of a kind that the schema's root allows: else it is not the answer at all.
pub(super) fn root_fits(schema: &Value, value: &Value) -> bool {
    let shape = Shape { root: schema };
    let schema = shape.variant(shape.resolved(schema), value);
    if !allows(schema, value) {
        return false;
    }
    // An object without a single known field is another object.
    match (value, properties(schema)) {
        (Value::Object(fields), Some(known)) if !known.is_empty() => {
            fields.keys().any(|key| known.contains_key(key))
        }
        _ => true,
    }
}

struct Fitting<'a> {
    shape: Shape<'a>,
    notes: Vec<RepairNote>,
}

impl<'a> Fitting<'a> {
    fn note(&mut self, path: &str, change: Change, detail: String) {
        if self.notes.len() < MOST_NOTES {
            self.notes.push(RepairNote {
                path: path.to_owned(),
                change,
                detail,
            });
        }
    }

    fn allows_null(&self, schema: &'a Value) -> bool {
        let variant = self.shape.variant(self.shape.resolved(schema), &Value::Null);
        allows(variant, &Value::Null)
    }

    fn fit(&mut self, schema: &'a Value, value: Value, path: &str) -> Value {
        let schema = self.shape.resolved(schema);
        // All values that are allowed are looked at, not only those of one variant.
        if let Some(fixed) = self.shape.fixed_values(schema) {
            return self.fit_fixed(&fixed, value, path);
        }
        let schema = self.shape.variant(schema, &value);
        let value = self.fit_all_of(schema, value, path);
        if let Some(fixed) = self.shape.fixed_values(schema) {
            return self.fit_fixed(&fixed, value, path);
        }
        if !has_type(schema) {
            return value;
        }
        match value {
            Value::Object(fields) if allows_type(schema, "object") => self.fit_fields(schema, fields, path),
            Value::Array(items) if allows_type(schema, "array") => self.fit_items(schema, items, path),
            value if allows(schema, &value) => value,
            value => self.retyped(schema, value, path),
        }
    }

    fn fit_all_of(&mut self, schema: &'a Value, mut value: Value, path: &str) -> Value {
        for part in schema
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            // A part that lists properties does not know those of the other parts: only single references are fitted.
            if schema.get("properties").is_none()
                && schema["allOf"].as_array().is_some_and(|parts| parts.len() == 1)
            {
                value = self.fit(part, value, path);
            }
        }
        value
    }

    fn fit_fixed(&mut self, fixed: &[&Value], value: Value, path: &str) -> Value {
        if fixed.contains(&&value) {
            return value;
        }
        let mut value = value;
        if let Value::Array(items) = &mut value
            && items.len() == 1
            && items[0].is_string()
        {
            self.note(path, Change::Rewrapped, "list of one item removed".to_owned());
            let item = items.remove(0);
            return self.fit_fixed(fixed, item, path);
        }
        let options: Vec<&str> = fixed.iter().filter_map(|option| option.as_str()).collect();
        if let Some(written) = value.as_str()
            && let Some(option) = nearest(written, &options)
        {
            self.note(path, Change::NearestValue, format!("{written} -> {option}"));
            return json!(option);
        }
        // 1 for "1", or the other way round.
        let as_text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match fixed
            .iter()
            .find(|option| !option.is_null() && as_text(option) == as_text(&value))
        {
            Some(option) => {
                self.note(path, Change::Retyped, format!("{value} -> {option}"));
                (*option).clone()
            }
            None => value,
        }
    }

    fn fit_fields(&mut self, schema: &'a Value, fields: Map<String, Value>, path: &str) -> Value {
        let Some(properties) = properties(schema) else {
            return Value::Object(fields);
        };
        let is_required = |name: &str| required(schema).any(|required| required == name);
        // Additional fields are kept only where the schema says what they are.
        let additional = schema
            .get("additionalProperties")
            .filter(|additional| !additional.is_boolean());
        let keeps_unknown =
            schema.get("additionalProperties") == Some(&Value::Bool(true)) || additional.is_some();
        let exact: Vec<String> = fields
            .keys()
            .filter(|key| properties.contains_key(*key))
            .cloned()
            .collect();
        let mut fitted = Map::new();
        for (key, value) in fields {
            let known = if properties.contains_key(&key) {
                Some(key.as_str())
            } else {
                known_key(&key, properties)
                    .filter(|known| !exact.iter().any(|other| other == known) && !fitted.contains_key(*known))
            };
            let Some(name) = known else {
                if keeps_unknown {
                    fitted.insert(key, value);
                } else {
                    self.note(&child(path, &key), Change::UnknownKey, "dropped".to_owned());
                }
                continue;
            };
            let field_path = child(path, name);
            if name != key {
                self.note(&field_path, Change::KeyRenamed, format!("{key} -> {name}"));
            }
            let property = &properties[name];
            let allows_null = self.allows_null(property);
            if value.is_null() && !is_required(name) && !allows_null {
                self.note(&field_path, Change::NullDropped, "null dropped".to_owned());
                continue;
            }
            let value = self.fit(property, value, &field_path);
            fitted.insert(name.to_owned(), value);
        }
        Value::Object(fitted)
    }

    fn fit_items(&mut self, schema: &'a Value, items: Vec<Value>, path: &str) -> Value {
        let Some(item_schema) = schema.get("items") else {
            return Value::Array(items);
        };
        let fitted = items.into_iter().enumerate();
        Value::Array(
            fitted
                .map(|(index, item)| self.fit(item_schema, item, &child(path, &index.to_string())))
                .collect(),
        )
    }

    fn retyped(&mut self, schema: &'a Value, value: Value, path: &str) -> Value {
        if let Value::String(text) = &value
            && !allows_type(schema, "string")
            && let Some(inner) = lists::value_in(text)
            && allows(schema, &inner)
        {
            self.note(
                path,
                Change::Retyped,
                "a value that was written as a text".to_owned(),
            );
            return self.fit(schema, inner, path);
        }
        if allows_type(schema, "array") && !value.is_null() {
            return self.listed(schema, value, path);
        }
        let wants_number = allows_type(schema, "number");
        let wants_whole = allows_type(schema, "integer");
        let field = path.rsplit('/').next().unwrap_or_default();
        let new = match &value {
            Value::String(text) if wants_number || wants_whole => number_in(text, field, wants_number),
            Value::Number(number) if wants_whole => whole(number),
            Value::String(text) if allows_type(schema, "boolean") => truth_of(text).map(Value::Bool),
            Value::Number(number) if allows_type(schema, "string") => Some(json!(number.to_string())),
            Value::Bool(truth) if allows_type(schema, "string") => Some(json!(truth.to_string())),
            Value::Array(items) if items.len() == 1 && allows(schema, &items[0]) => Some(items[0].clone()),
            _ => None,
        };
        match new {
            Some(new) => {
                self.note(path, Change::Retyped, format!("{value} -> {new}"));
                new
            }
            None => value,
        }
    }

    /// A list for what was written in its place.
    fn listed(&mut self, schema: &'a Value, value: Value, path: &str) -> Value {
        let no_items = Value::Null;
        let item_schema = schema.get("items").map(|items| self.shape.resolved(items));
        let value = match value {
            Value::Object(fields) => {
                let known = item_schema.and_then(properties);
                let is_item = match known {
                    Some(known) => fields.keys().any(|key| known_key(key, known).is_some()),
                    None => false,
                };
                if is_item {
                    Value::Object(fields)
                } else {
                    match lists::items_of(fields) {
                        Ok(items) => {
                            self.note(
                                path,
                                Change::Rewrapped,
                                "an object of items made a list".to_owned(),
                            );
                            return self.fit_items(schema, items, path);
                        }
                        Err(fields) => Value::Object(fields),
                    }
                }
            }
            Value::String(text) => match lists::bullets_in(&text) {
                Some(items) => {
                    self.note(
                        path,
                        Change::Rewrapped,
                        "a text of bullets made a list".to_owned(),
                    );
                    return self.fit_items(schema, items, path);
                }
                None => Value::String(text),
            },
            other => other,
        };
        if value.is_object() && !allows(item_schema.unwrap_or(&no_items), &value) {
            return value;
        }
        self.note(path, Change::Rewrapped, "list put around one item".to_owned());
        self.fit_items(schema, vec![value], path)
    }
}

fn truth_of(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "true" | "yes" | "да" => Some(true),
        "false" | "no" | "нет" => Some(false),
        _ => None,
    }
}
