//! Inputs against their published schemas: the errors name field, limit and value, all at once.

use std::sync::OnceLock;

use domain::limits;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::error::{ApiError, ErrorCode, FieldError};

/// The pattern of a text that is more than blanks and NULs: those alone have no length (see [`domain::limits::text_length`]).
/// `\s` of ECMA-262, which JSON Schema goes by, lacks the blank U+0085.
pub(crate) const WRITTEN: &str = r"[^\s\x00\x85]";
/// The pattern of a learning outcome: the ten characters that [`limits::INPUT_OUTCOME`] asks for, NULs not counted, from the first
/// to the last that is no blank.
pub(crate) const WRITTEN_OUTCOME: &str = r"[^\s\x00\x85](\x00*[^\x00]){8}\x00*[^\s\x00\x85]";
const _: () = assert!(
    limits::INPUT_OUTCOME.min == 10,
    "the pattern of outcomes counts ten"
);

/// Gives every integer that has no upper bound of its own the one of its type, so that a schema takes what the type takes.
pub(crate) fn bound_integers(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let largest = match fields.get("format").and_then(Value::as_str) {
                Some("uint8") => Some(u64::from(u8::MAX)),
                Some("uint16") => Some(u64::from(u16::MAX)),
                Some("int32") => Some(u64::from(i32::MAX.unsigned_abs())),
                Some("uint32") => Some(u64::from(u32::MAX)),
                // What programs that keep numbers as IEEE 754 doubles still tell apart (RFC 8259, 6).
                Some("uint" | "uint64" | "int64") => Some((1 << 53) - 1),
                _ => None,
            };
            if let Some(largest) = largest {
                fields.entry("maximum").or_insert_with(|| largest.into());
            }
            fields.iter_mut().for_each(|(_, inner)| bound_integers(inner));
        }
        Value::Array(items) => items.iter_mut().for_each(bound_integers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The input with `5.0` written as `5`: to JSON Schema both are the same integer, to types they are not.
pub(crate) fn with_whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => whole(&number).map_or(Value::Number(number), Value::from),
        Value::Array(items) => items.into_iter().map(with_whole_numbers).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, field)| (name, with_whole_numbers(field)))
            .collect(),
        other => other,
    }
}

/// Above this, a number with a fraction can no longer tell one integer from the next (IEEE 754).
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

fn whole(number: &serde_json::Number) -> Option<i64> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within 53 bits")]
    (float.fract() == 0.0 && float.abs() <= LARGEST_EXACT).then_some(float as i64)
}

/// So many faults are told at once.
const MAX_FAULTS: usize = 20;
/// A longer text is not repeated in an error, in characters.
const MAX_ECHO: usize = 64;

/// What an input must keep.
pub(crate) struct InputRule {
    make: fn() -> Value,
    made: OnceLock<Option<(Value, Validator)>>,
}

impl InputRule {
    /// The rule of a type. Its schema is made when it is first needed.
    pub(crate) const fn of<T: JsonSchema>() -> Self {
        Self {
            make: domain::schema::schema_of::<T>,
            made: OnceLock::new(),
        }
    }

    fn made(&self) -> Option<&(Value, Validator)> {
        self.made
            .get_or_init(|| {
                let mut schema = (self.make)();
                bound_integers(&mut schema);
                let validator = jsonschema::options()
                    .with_draft(jsonschema::Draft::Draft202012)
                    .should_validate_formats(true)
                    .build(&schema);
                match validator {
                    Ok(validator) => Some((schema, validator)),
                    Err(error) => {
                        tracing::error!(%error, "a schema of an input cannot be used");
                        None
                    }
                }
            })
            .as_ref()
    }

    /// Checks an input.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidInput`] with every field that breaks a limit.
    pub(crate) fn check(&self, input: &Value) -> Result<(), ApiError> {
        let Some((schema, validator)) = self.made() else {
            return Err(ApiError::new(ErrorCode::Internal));
        };
        let mut faults = Vec::new();
        for error in validator.iter_errors(input).take(MAX_FAULTS) {
            describe(schema, &error, &mut faults);
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid(&faults))
        }
    }

    /// An input from the parameters of an address: every value is text there and becomes what the schema says of its
    /// field. What cannot be read so stays text, for [`InputRule::check`] to refuse.
    pub(crate) fn read_parameters(&self, parameters: impl IntoIterator<Item = (String, String)>) -> Value {
        let mut input = Map::new();
        let schema = self.made().map(|(schema, _)| schema);
        for (name, text) in parameters {
            let field = schema.and_then(|schema| field_schema(schema, &name));
            let is_list = field.is_some_and(|field| allows(field, "array"));
            let value = match field {
                Some(field) if is_list => {
                    let items = field.get("items").unwrap_or(&Value::Null);
                    scalar(items, &text)
                }
                Some(field) => scalar(field, &text),
                None => Value::String(text),
            };
            match input.get_mut(&name) {
                Some(Value::Array(values)) if is_list => values.push(value),
                _ if is_list => {
                    input.insert(name, Value::Array(vec![value]));
                }
                _ => {
                    input.insert(name, value);
                }
            }
        }
        Value::Object(input)
    }
}

/// The schema of a field of an object, behind references.
fn field_schema<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let field = schema.get("properties")?.get(name)?;
    Some(resolved(schema, field))
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| root.pointer(reference.trim_start_matches('#')));
    target.unwrap_or(schema)
}

fn allows(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ => false,
    }
}

fn scalar(schema: &Value, text: &str) -> Value {
    let read = |kind: &str| {
        allows(schema, kind)
            .then(|| serde_json::from_str::<Value>(text).ok())
            .flatten()
    };
    if let Some(number) = read("integer")
        .or_else(|| read("number"))
        .filter(Value::is_number)
    {
        return number;
    }
    if let Some(word) = read("boolean").filter(Value::is_boolean) {
        return word;
    }
    if let Some(object) = read("object").filter(Value::is_object) {
        return object;
    }
    Value::String(text.to_owned())
}

/// Adds the faults that an error stands for: several where it names several fields.
fn describe(schema: &Value, error: &ValidationError<'_>, faults: &mut Vec<FieldError>) {
    let place = field_name(error.instance_path().as_str());
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            faults.push(fault(join(&place, name), "is required", "required"));
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            for name in unexpected {
                faults.push(fault(
                    join(&place, name),
                    "is not known here",
                    "additionalProperties",
                ));
            }
        }
        kind => {
            let path = error.schema_path().as_str();
            let limit = schema.pointer(path).cloned();
            let is_secret = path
                .rsplit_once('/')
                .and_then(|(parent, _)| schema.pointer(parent))
                .is_some_and(|field| field.get("writeOnly") == Some(&Value::Bool(true)));
            let mut fault = fault(
                place,
                sentence(kind, error.instance(), limit.as_ref(), is_secret),
                kind.keyword(),
            );
            fault.limit = limit.filter(|limit| !limit.is_object() && !is_combination(kind));
            fault.value = short(error.instance()).filter(|_| !is_secret).cloned();
            faults.push(fault);
        }
    }
}

fn is_combination(kind: &ValidationErrorKind) -> bool {
    matches!(
        kind,
        ValidationErrorKind::AnyOf { .. }
            | ValidationErrorKind::OneOfNotValid { .. }
            | ValidationErrorKind::OneOfMultipleValid { .. }
    )
}

fn fault(field: String, message: impl Into<String>, rule: &str) -> FieldError {
    FieldError {
        field,
        message: message.into(),
        rule: Some(rule.to_owned()),
        limit: None,
        value: None,
    }
}

/// The limit and the value, as a sentence.
fn sentence(kind: &ValidationErrorKind, value: &Value, limit: Option<&Value>, is_secret: bool) -> String {
    let limit_text = limit.map(Value::to_string).unwrap_or_default();
    let characters = value.as_str().map_or(0, |text| text.chars().count());
    let items = value.as_array().map_or(0, Vec::len);
    let shown = match short(value).filter(|_| !is_secret) {
        Some(value) => format!(", not {value}"),
        None => String::new(),
    };
    match kind {
        ValidationErrorKind::MinLength { .. } => {
            format!("must have at least {limit_text} characters, not {characters}")
        }
        ValidationErrorKind::MaxLength { .. } => {
            format!("must have at most {limit_text} characters, not {characters}")
        }
        ValidationErrorKind::MinItems { .. } => format!("must have at least {limit_text} items, not {items}"),
        ValidationErrorKind::MaxItems { .. } => format!("must have at most {limit_text} items, not {items}"),
        ValidationErrorKind::Minimum { .. } => format!("must be at least {limit_text}{shown}"),
        ValidationErrorKind::Maximum { .. } => format!("must be at most {limit_text}{shown}"),
        ValidationErrorKind::ExclusiveMinimum { .. } => format!("must be more than {limit_text}{shown}"),
        ValidationErrorKind::ExclusiveMaximum { .. } => format!("must be less than {limit_text}{shown}"),
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. } => {
            format!("must be one of {limit_text}{shown}")
        }
        ValidationErrorKind::Format { format } => format!("must be a {format}{shown}"),
        ValidationErrorKind::Pattern { pattern } if pattern == WRITTEN => "must not be empty".to_owned(),
        ValidationErrorKind::Pattern { pattern } if pattern == WRITTEN_OUTCOME => format!(
            "must have at least {} characters, without blanks around it{shown}",
            limits::INPUT_OUTCOME.min
        ),
        ValidationErrorKind::Pattern { pattern } => format!("must match {pattern}{shown}"),
        ValidationErrorKind::Type { .. } => format!("must be of type {limit_text}{shown}"),
        ValidationErrorKind::UniqueItems => "must not have the same item twice".to_owned(),
        ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
            format!("is none of what is allowed here{shown}")
        }
        other => format!("breaks the rule '{}'{shown}", other.keyword()),
    }
}

/// A value that is short enough to be repeated.
fn short(value: &Value) -> Option<&Value> {
    match value {
        Value::String(text) if text.chars().count() <= MAX_ECHO => Some(value),
        Value::Number(_) | Value::Bool(_) | Value::Null => Some(value),
        _ => None,
    }
}

/// `/learningOutcomes/2/text` becomes `learningOutcomes[2].text`.
fn field_name(pointer: &str) -> String {
    let mut name = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.chars().all(|digit| digit.is_ascii_digit()) {
            name = format!("{name}[{part}]");
        } else {
            name = join(&name, &part);
        }
    }
    name
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() {
        name.to_owned()
    } else {
        format!("{place}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Sample {
        #[schemars(length(min = 1, max = 5))]
        title: String,
        #[schemars(range(min = 1, max = 9))]
        lesson_count: Option<u32>,
        #[schemars(inner(length(min = 2)))]
        outcomes: Option<Vec<String>>,
        #[schemars(length(min = 12), extend("writeOnly" = true))]
        password: Option<String>,
        is_loud: Option<bool>,
        #[schemars(regex(pattern = WRITTEN))]
        note: Option<String>,
        #[schemars(regex(pattern = WRITTEN_OUTCOME))]
        aim: Option<String>,
    }

    #[track_caller]
    fn check(input: &Value, expected: &[(&str, &str)]) {
        let faults = match InputRule::of::<Sample>().check(input) {
            Ok(()) => Vec::new(),
            Err(error) => error.details.unwrap()["fields"].as_array().unwrap().clone(),
        };
        let found: Vec<_> = faults
            .iter()
            .map(|fault| {
                (
                    fault["field"].as_str().unwrap(),
                    fault["message"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn errors_name_field_limit_and_value() {
        check(&json!({"title": "Rust"}), &[]);
        check(&json!({}), &[("title", "is required")]);
        check(
            &json!({"title": "Rustacean"}),
            &[("title", "must have at most 5 characters, not 9")],
        );
        check(
            &json!({"title": "Rust", "lessonCount": 12}),
            &[("lessonCount", "must be at most 9, not 12")],
        );
        check(
            &json!({"title": "Rust", "outcomes": ["ab", "c"]}),
            &[("outcomes[1]", "must have at least 2 characters, not 1")],
        );
        check(
            &json!({"title": "Rust", "lesson_count": 2}),
            &[("lesson_count", "is not known here")],
        );
        check(
            &json!({"title": 7}),
            &[("title", r#"must be of type "string", not 7"#)],
        );
        check(&json!([]), &[("", r#"must be of type "object""#)]);
    }

    #[test]
    fn texts_are_as_long_as_the_domain_counts_them() {
        for text in ["", " ", "\0", "\0 \0", "a", "\u{3000}", "\u{85}", "\u{85}\0"] {
            let expected: &[_] = match limits::text_length(text) {
                0 => &[("note", "must not be empty")],
                _ => &[],
            };
            check(&json!({"title": "Rust", "note": text}), expected);
        }
        for text in [
            "write code",
            "  write it  ",
            "write\0 \0code",
            "\0\0\0\0\0\0\0\0\0\0",
            "пиши\nтесты",
            " Схема   ",
            "\u{85}write it\u{85}",
        ] {
            let message = format!(
                "must have at least 10 characters, without blanks around it, not {}",
                json!(text)
            );
            let expected: &[_] = match limits::text_length(text) {
                ..10 => &[("aim", message.as_str())],
                _ => &[],
            };
            check(&json!({"title": "Rust", "aim": text}), expected);
        }
    }

    #[test]
    fn all_faults_are_told_and_secrets_are_not() {
        let rule = InputRule::of::<Sample>();
        let error = rule
            .check(&json!({"lessonCount": 0, "password": "hunter2"}))
            .unwrap_err();
        let details = error.details.unwrap().to_string();
        assert!(
            details.contains("title") && details.contains("lessonCount"),
            "{details}"
        );
        assert!(!details.contains("hunter2"), "{details}");
        assert!(details.contains(r#""limit":12"#), "{details}");
    }

    #[test]
    fn parameters_become_what_the_schema_says() {
        let rule = InputRule::of::<Sample>();
        let input = |parameters: &[(&str, &str)]| {
            rule.read_parameters(
                parameters
                    .iter()
                    .map(|(name, text)| ((*name).to_owned(), (*text).to_owned())),
            )
        };
        assert_eq!(
            input(&[("title", "5"), ("lessonCount", "5")]),
            json!({"title": "5", "lessonCount": 5})
        );
        assert_eq!(
            input(&[("isLoud", "true"), ("other", "1")]),
            json!({"isLoud": true, "other": "1"})
        );
        assert_eq!(
            input(&[("outcomes", "a"), ("outcomes", "7")]),
            json!({"outcomes": ["a", "7"]})
        );
        assert_eq!(input(&[("lessonCount", "many")]), json!({"lessonCount": "many"}));
    }
}
