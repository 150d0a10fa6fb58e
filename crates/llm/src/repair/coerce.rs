//! Layer 3: fitting values to the schema, each change noted. Never a new text, never a guess between two.

use serde_json::{Map, Number, Value, json};

use super::near::{folded, nearest};
use super::{Change, Draft, MOST_NOTES, RepairLayer, RepairNote, child};

/// References to references beyond this are taken for a circle.
const MOST_REFERENCES: usize = 32;

/// Fits the draft's value to `schema`.
pub(super) fn coerce(schema: &Value, draft: &mut Draft) {
    let mut fitting = Fitting {
        root: schema,
        notes: Vec::new(),
    };
    let value = std::mem::take(&mut draft.value);
    let value = fitting.unwrapped(schema, value);
    draft.value = fitting.fit(schema, value, "");
    if !fitting.notes.is_empty() {
        draft.layer = draft.layer.max(RepairLayer::Coerced);
        draft.notes.append(&mut fitting.notes);
    }
}

/// Whether the value is of a kind that the schema's root allows: else it is not the answer at all.
pub(super) fn root_fits(schema: &Value, value: &Value) -> bool {
    let fitting = Fitting {
        root: schema,
        notes: Vec::new(),
    };
    let schema = fitting.variant(fitting.resolved(schema), value);
    if !allows(schema, value) {
        return false;
    }
    // An object without a single known field is another object.
    match (value, schema.get("properties").and_then(Value::as_object)) {
        (Value::Object(fields), Some(properties)) if !properties.is_empty() => {
            fields.keys().any(|key| properties.contains_key(key))
        }
        _ => true,
    }
}

struct Fitting<'a> {
    root: &'a Value,
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

    /// The schema that a chain of references leads to.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        for _ in 0..MOST_REFERENCES {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
                break;
            };
            let Some(target) = reference
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer))
            else {
                break;
            };
            schema = target;
        }
        schema
    }

    /// The branch of `anyOf` or `oneOf` that is meant for this value.
    fn variant(&self, schema: &'a Value, value: &Value) -> &'a Value {
        let Some(variants) = ["anyOf", "oneOf"]
            .iter()
            .find_map(|keyword| schema.get(*keyword)?.as_array())
        else {
            return schema;
        };
        let variants: Vec<&Value> = variants.iter().map(|variant| self.resolved(variant)).collect();
        let fitting = variants.iter().find(|variant| is_meant(variant, value));
        let possible = || variants.iter().find(|variant| allows(variant, value));
        let not_null = || variants.iter().find(|variant| !allows(variant, &Value::Null));
        fitting
            .or_else(possible)
            .or_else(not_null)
            .copied()
            .unwrap_or(schema)
    }

    /// The value without a needless layer: `{"course": {...}}`, `[{...}]`.
    fn unwrapped(&mut self, schema: &'a Value, value: Value) -> Value {
        let schema = self.variant(self.resolved(schema), &value);
        let properties = schema.get("properties").and_then(Value::as_object);
        let knows = |fields: &Map<String, Value>| {
            properties.is_none_or(|known| fields.keys().any(|key| known_key(key, known).is_some()))
        };
        match value {
            Value::Object(fields) if allows_type(schema, "object") && knows(&fields) => Value::Object(fields),
            Value::Object(fields) if fields.len() == 1 => {
                let inner_fits = |inner: &Value| match inner {
                    Value::Object(fields) => {
                        allows_type(schema, "object") && properties.is_some() && knows(fields)
                    }
                    inner => !inner.is_string() && allows(schema, inner) && has_type(schema),
                };
                match fields.into_iter().next() {
                    Some((key, inner)) if inner_fits(&inner) => {
                        self.note("", Change::Rewrapped, format!("layer '{key}' removed"));
                        inner
                    }
                    Some((key, inner)) => json!({ key: inner }),
                    None => json!({}),
                }
            }
            Value::Array(mut items)
                if items.len() == 1 && items[0].is_object() && !allows_type(schema, "array") =>
            {
                self.note("", Change::Rewrapped, "list of one item removed".to_owned());
                items.remove(0)
            }
            other => other,
        }
    }

    fn fit(&mut self, schema: &'a Value, value: Value, path: &str) -> Value {
        let schema = self.variant(self.resolved(schema), &value);
        let value = self.fit_all_of(schema, value, path);
        if let Some(fixed) = fixed_values(schema) {
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
        let options: Vec<&str> = fixed.iter().filter_map(|option| option.as_str()).collect();
        if let Some(written) = value.as_str()
            && let Some(option) = nearest(written, &options)
        {
            self.note(path, Change::NearestValue, format!("{written} -> {option}"));
            return json!(option);
        }
        // 1 for "1", or the other way round.
        let as_text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match fixed.iter().find(|option| as_text(option) == as_text(&value)) {
            Some(option) => {
                self.note(path, Change::Retyped, format!("{value} -> {option}"));
                (*option).clone()
            }
            None => value,
        }
    }

    fn fit_fields(&mut self, schema: &'a Value, fields: Map<String, Value>, path: &str) -> Value {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return Value::Object(fields);
        };
        let required = schema.get("required").and_then(Value::as_array);
        let is_required =
            |name: &str| required.is_some_and(|names| names.iter().any(|required| required == name));
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
            let allows_null = allows(self.variant(self.resolved(property), &Value::Null), &Value::Null);
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
        if allows_type(schema, "array") && !value.is_null() {
            self.note(path, Change::Rewrapped, "list put around one item".to_owned());
            return self.fit_items(schema, vec![value], path);
        }
        let wants_number = allows_type(schema, "number");
        let wants_whole = allows_type(schema, "integer");
        let new = match &value {
            Value::String(text) if wants_number || wants_whole => number_in(text, wants_number),
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
}

/// Whether the fixed values of a variant are the value's: a tag, a constant, an enumeration.
fn is_meant(variant: &Value, value: &Value) -> bool {
    if !allows(variant, value) || !fixed_values(variant).is_none_or(|fixed| fixed.contains(&value)) {
        return false;
    }
    let Some(properties) = variant.get("properties").and_then(Value::as_object) else {
        return true;
    };
    let required = variant.get("required").and_then(Value::as_array);
    let has_all = required
        .into_iter()
        .flatten()
        .all(|name| name.as_str().is_some_and(|name| value.get(name).is_some()));
    has_all
        && properties.iter().all(
            |(name, property)| match (property.get("const"), value.get(name)) {
                (Some(tag), Some(own)) => tag == own,
                _ => true,
            },
        )
}

/// The schema's name for a key that is written in another way: camelCase, kebab-case, other case.
fn known_key<'a>(key: &str, properties: &'a Map<String, Value>) -> Option<&'a str> {
    let wanted = folded(key);
    let mut matching = properties
        .keys()
        .filter(|known| *known == key || folded(known) == wanted);
    let first = matching.next()?;
    (first == key || matching.next().is_none()).then_some(first.as_str())
}

fn fixed_values(schema: &Value) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum").and_then(Value::as_array)) {
        (Some(value), _) => Some(vec![value]),
        (None, Some(values)) => Some(values.iter().collect()),
        (None, None) => None,
    }
}

fn has_type(schema: &Value) -> bool {
    schema.get("type").is_some() || schema.get("properties").is_some() || schema.get("items").is_some()
}

fn allows_type(schema: &Value, wanted: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(types)) => types.iter().any(|one| one == wanted),
        _ if schema.get("properties").is_some() => wanted == "object",
        _ if schema.get("items").is_some() => wanted == "array",
        _ => true,
    }
}

/// Whether the value is of a type that the schema allows; nothing more is checked.
fn allows(schema: &Value, value: &Value) -> bool {
    match value {
        Value::Null => {
            allows_type(schema, "null")
                && !schema.get("enum").is_some_and(|values| {
                    values
                        .as_array()
                        .is_some_and(|values| !values.contains(&Value::Null))
                })
                && schema.get("const").is_none_or(Value::is_null)
        }
        Value::Bool(_) => allows_type(schema, "boolean"),
        Value::Number(number) => {
            allows_type(schema, "number") || (allows_type(schema, "integer") && !number.is_f64())
        }
        Value::String(_) => allows_type(schema, "string"),
        Value::Array(_) => allows_type(schema, "array"),
        Value::Object(_) => allows_type(schema, "object"),
    }
}

/// The number in a text that is a number, or one with a unit: `30`, `12,5`, `30 min`, `80%`.
fn number_in(text: &str, fractions: bool) -> Option<Value> {
    /// Letters of the longest unit: `minutes`.
    const LONGEST_UNIT: usize = 10;
    let text = text.trim();
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || matches!(letter, '.' | ',' | '-' | '+')));
    let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim();
    let is_unit = unit == "%"
        || (unit.chars().count() <= LONGEST_UNIT && unit.chars().all(|c| c.is_alphabetic() || c == '.'));
    if !is_unit {
        return None;
    }
    // 12,5 is a fraction in half of Europe; 1,000 is not one in America: three digits behind a comma are refused.
    if let Some((_, behind)) = digits.split_once(',')
        && behind.len() >= 3
    {
        return None;
    }
    if let Ok(whole) = digits.parse::<i64>() {
        return Some(json!(whole));
    }
    let number = Number::from_f64(digits.replace(',', ".").parse().ok()?)?;
    whole(&number).or_else(|| fractions.then_some(Value::Number(number)))
}

fn whole(number: &Number) -> Option<Value> {
    let float = number.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
    (float.fract() == 0.0 && float.abs() < 9e15).then(|| json!(float as i64))
}

fn truth_of(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "true" | "yes" | "да" => Some(true),
        "false" | "no" | "нет" => Some(false),
        _ => None,
    }
}
