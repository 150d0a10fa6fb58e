//! Which fields break the schema, in words that a model or a person can act on (layer 4 asks only for these again).

use jsonschema::error::ValidationErrorKind;
use serde::Serialize;
use serde_json::Value;

use super::child;

/// Errors beyond this are not listed: the answer is another shape altogether.
const MOST_FAILURES: usize = 100;
/// Longer values are cut in messages.
const LONGEST_QUOTE_CHARS: usize = 60;
/// Longer patterns are cut in messages: some list a hundred words, and a person and a model both see enough by then.
const LONGEST_PATTERN_CHARS: usize = 200;

/// One field that breaks the schema.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldFailure {
    /// JSON pointer of the field; of a missing field, where it should be.
    pub path: String,
    /// The schema of that field alone; references still point into the whole schema.
    pub schema: Value,
    /// The field, the limit and the value, as a sentence.
    pub message: String,
}

pub(super) fn failing_fields(
    schema: &Value,
    validator: &jsonschema::Validator,
    value: &Value,
) -> Vec<FieldFailure> {
    let mut failures: Vec<FieldFailure> = Vec::new();
    for error in validator.iter_errors(value).take(MOST_FAILURES) {
        let mut path = error.instance_path().as_str().to_owned();
        if let ValidationErrorKind::Required { property } = error.kind() {
            path = child(&path, property.as_str().unwrap_or_default());
        }
        let rule = rule_of(error.kind(), error.instance().as_ref());
        let message = match rule {
            Some(rule) => format!("{}: {rule}", shown(&path)),
            None => format!("{}: {error}", shown(&path)),
        };
        let failure = FieldFailure {
            schema: schema_at(schema, &path).unwrap_or(Value::Bool(true)),
            path,
            message,
        };
        if !failures.contains(&failure) {
            failures.push(failure);
        }
    }
    failures
}

/// Pointers of required fields that are not there.
pub(super) fn absent_required(validator: &jsonschema::Validator, value: &Value) -> Vec<String> {
    let errors = validator.iter_errors(value).take(MOST_FAILURES);
    errors
        .filter_map(|error| match error.kind() {
            ValidationErrorKind::Required { property } => {
                Some(child(error.instance_path().as_str(), property.as_str()?))
            }
            _ => None,
        })
        .collect()
}

fn shown(path: &str) -> &str {
    if path.is_empty() {
        "the answer"
    } else {
        path.trim_start_matches('/')
    }
}

fn rule_of(kind: &ValidationErrorKind, instance: &Value) -> Option<String> {
    let length = instance.as_str().map_or(0, |text| text.chars().count());
    let items = instance.as_array().map_or(0, Vec::len);
    Some(match kind {
        ValidationErrorKind::Required { .. } => "is required but missing".to_owned(),
        ValidationErrorKind::MinLength { limit } => {
            format!(
                "must have at least {limit} characters, has {length}: {}",
                quoted(instance)
            )
        }
        ValidationErrorKind::MaxLength { limit } => {
            format!(
                "must have at most {limit} characters, has {length}: {}",
                quoted(instance)
            )
        }
        ValidationErrorKind::MinItems { limit } => format!("must have at least {limit} items, has {items}"),
        ValidationErrorKind::MaxItems { limit } => format!("must have at most {limit} items, has {items}"),
        ValidationErrorKind::UniqueItems => "must not hold the same item twice".to_owned(),
        ValidationErrorKind::Minimum { limit } => {
            format!("must not be below {limit}, is {}", quoted(instance))
        }
        ValidationErrorKind::Maximum { limit } => {
            format!("must not be above {limit}, is {}", quoted(instance))
        }
        ValidationErrorKind::ExclusiveMinimum { limit } => {
            format!("must be above {limit}, is {}", quoted(instance))
        }
        ValidationErrorKind::ExclusiveMaximum { limit } => {
            format!("must be below {limit}, is {}", quoted(instance))
        }
        ValidationErrorKind::Enum { options } => format!("must be one of {options}, is {}", quoted(instance)),
        ValidationErrorKind::Constant { expected_value } => {
            format!("must be {expected_value}, is {}", quoted(instance))
        }
        ValidationErrorKind::Pattern { pattern } => {
            let pattern = cut(pattern.clone(), LONGEST_PATTERN_CHARS);
            format!("must match {pattern}, is {}", quoted(instance))
        }
        ValidationErrorKind::Type { kind } => {
            let wanted = match kind {
                jsonschema::error::TypeKind::Single(one) => one.to_string(),
                jsonschema::error::TypeKind::Multiple(many) => many
                    .iter()
                    .map(|one| one.to_string())
                    .collect::<Vec<_>>()
                    .join(" or "),
            };
            format!("must be of type {wanted}, is {}", quoted(instance))
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            format!("must not have the fields {}", unexpected.join(", "))
        }
        // The library's own words do for what our schemas do not use.
        _ => return None,
    })
}

fn quoted(value: &Value) -> String {
    cut(value.to_string(), LONGEST_QUOTE_CHARS)
}

fn cut(text: String, most_chars: usize) -> String {
    match text.char_indices().nth(most_chars) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// The schema of the field at `path`, through references, `properties`, `items` and variants.
fn schema_at(root: &Value, path: &str) -> Option<Value> {
    let mut candidates = vec![root];
    for step in path.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let expanded = expand(root, candidates);
        candidates = expanded
            .into_iter()
            .filter_map(|schema| {
                let property = schema
                    .get("properties")
                    .and_then(|properties| properties.get(&step));
                property.or_else(|| item_at(schema, step.parse().ok()?))
            })
            .collect();
    }
    candidates.first().map(|schema| resolve(root, schema).clone())
}

/// The schema of an item: its own where items have a shape each.
fn item_at(schema: &Value, index: usize) -> Option<&Value> {
    let own = schema.get("prefixItems").and_then(|items| items.get(index));
    own.or_else(|| schema.get("items"))
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| reference.strip_prefix('#'));
    target.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

fn expand<'a>(root: &'a Value, schemas: Vec<&'a Value>) -> Vec<&'a Value> {
    let mut expanded = Vec::new();
    for schema in schemas {
        let schema = resolve(root, schema);
        expanded.push(schema);
        for keyword in ["anyOf", "oneOf", "allOf"] {
            let variants = schema
                .get(keyword)
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            expanded.extend(variants.map(|variant| resolve(root, variant)));
        }
    }
    expanded
}
