//! What a schema says about the shape of values, through references and variants.

use serde_json::{Map, Value};

use super::near::{folded, nearest};

/// References to references beyond this are taken for a circle.
const MOST_REFERENCES: usize = 32;

/// A schema whose references are looked up in the whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape<'a> {
    pub(super) root: &'a Value,
}

impl<'a> Shape<'a> {
    /// The schema that a chain of references leads to.
    pub(super) fn resolved(self, schema: &'a Value) -> &'a Value {
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

    /// The variants of `anyOf` or `oneOf`, resolved.
    fn variants(self, schema: &'a Value) -> Option<Vec<&'a Value>> {
        let variants = ["anyOf", "oneOf"]
            .iter()
            .find_map(|keyword| schema.get(*keyword)?.as_array())?;
        Some(variants.iter().map(|variant| self.resolved(variant)).collect())
    }

    /// The variant that is meant for this value.
    pub(super) fn variant(self, schema: &'a Value, value: &Value) -> &'a Value {
        let Some(variants) = self.variants(schema) else {
            return schema;
        };
        if let Some(variant) = variants.iter().find(|variant| is_meant(variant, value)) {
            return variant;
        }
        if let Some(variant) = tagged_variant(&variants, value) {
            return variant;
        }
        let possible = || variants.iter().find(|variant| allows(variant, value));
        let not_null = || variants.iter().find(|variant| !allows(variant, &Value::Null));
        possible().or_else(not_null).copied().unwrap_or(schema)
    }

    /// All values that are allowed, where the schema lists them: `enum`, `const`, or variants that all do.
    pub(super) fn fixed_values(self, schema: &'a Value) -> Option<Vec<&'a Value>> {
        if let Some(fixed) = own_fixed_values(schema) {
            return Some(fixed);
        }
        let mut all = Vec::new();
        for variant in self.variants(schema)? {
            if variant.get("type").and_then(Value::as_str) == Some("null") {
                all.push(&Value::Null);
            } else if let Some(mut fixed) = own_fixed_values(variant) {
                all.append(&mut fixed);
            } else if let Some(inner) = self.variants(variant) {
                for variant in inner {
                    all.append(&mut own_fixed_values(variant)?);
                }
            } else {
                return None;
            }
        }
        Some(all)
    }
}

fn own_fixed_values(schema: &Value) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum").and_then(Value::as_array)) {
        (Some(value), _) => Some(vec![value]),
        (None, Some(values)) => Some(values.iter().collect()),
        (None, None) => None,
    }
}

/// Whether the fixed values of a variant are the value's: a tag, a constant, an enumeration.
fn is_meant(variant: &Value, value: &Value) -> bool {
    if !allows(variant, value) || !own_fixed_values(variant).is_none_or(|fixed| fixed.contains(&value)) {
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

/// Of objects that are told apart by a constant, the one whose constant is nearest to what was written.
fn tagged_variant<'a>(variants: &[&'a Value], value: &Value) -> Option<&'a Value> {
    let fields = value.as_object()?;
    let tag_of =
        |variant: &'a Value, name: &str| variant.get("properties")?.get(name)?.get("const")?.as_str();
    let names = variants
        .first()?
        .get("properties")?
        .as_object()?
        .keys()
        .filter(|name| variants.iter().all(|variant| tag_of(variant, name).is_some()));
    for name in names {
        let written = fields
            .iter()
            .find(|(key, _)| *key == name || folded(key) == folded(name))
            .and_then(|(_, written)| written.as_str());
        let tags: Vec<&str> = variants
            .iter()
            .filter_map(|variant| tag_of(variant, name))
            .collect();
        if let Some(tag) = written.and_then(|written| nearest(written, &tags)) {
            return variants
                .iter()
                .find(|variant| tag_of(variant, name) == Some(tag))
                .copied();
        }
    }
    None
}

/// The schema's name for a key that is written in another way: camelCase, kebab-case, other case.
pub(super) fn known_key<'a>(key: &str, properties: &'a Map<String, Value>) -> Option<&'a str> {
    if let Some((known, _)) = properties.get_key_value(key) {
        return Some(known);
    }
    let wanted = folded(key);
    let mut matching = properties.keys().filter(|known| folded(known) == wanted);
    let first = matching.next()?;
    matching.next().is_none().then_some(first.as_str())
}

/// The schema's properties.
pub(super) fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

/// The names that the schema requires.
pub(super) fn required(schema: &Value) -> impl Iterator<Item = &str> {
    let names = schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

/// Whether it says anything about the type of a value.
pub(super) fn has_type(schema: &Value) -> bool {
    schema.get("type").is_some() || schema.get("properties").is_some() || schema.get("items").is_some()
}

/// Whether values of this type may stand there.
pub(super) fn allows_type(schema: &Value, wanted: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(types)) => types.iter().any(|one| one == wanted),
        _ if schema.get("properties").is_some() => wanted == "object",
        _ if schema.get("items").is_some() => wanted == "array",
        _ => true,
    }
}

/// Whether the value is of a type that the schema allows; nothing more is checked.
pub(super) fn allows(schema: &Value, value: &Value) -> bool {
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
