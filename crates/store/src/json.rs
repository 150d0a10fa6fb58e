//! Values between Rust types and `jsonb`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::StoreError;

/// The value as `jsonb` can hold it: PostgreSQL has no NUL in texts, while models sometimes write one.
pub(crate) fn to_json<T: Serialize>(value: &T, what: &'static str) -> Result<Value, StoreError> {
    let mut json = serde_json::to_value(value).map_err(|cause| StoreError::Shape { what, cause })?;
    remove_nul(&mut json);
    Ok(json)
}

/// The value that was stored.
pub(crate) fn from_json<T: DeserializeOwned>(json: Value, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_value(json).map_err(|cause| StoreError::Shape { what, cause })
}

/// The value of one word: an enum whose names in JSON are those in the database.
pub(crate) fn from_word<T: DeserializeOwned>(word: String, what: &'static str) -> Result<T, StoreError> {
    from_json(Value::String(word), what)
}

/// The text as PostgreSQL can hold it.
pub(crate) fn to_text(text: &str) -> String {
    text.replace('\0', "")
}

fn remove_nul(value: &mut Value) {
    match value {
        Value::String(text) => {
            if text.contains('\0') {
                *text = text.replace('\0', "");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nul),
        Value::Object(fields) => {
            if fields.keys().any(|key| key.contains('\0')) {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(key, value)| (to_text(&key), value))
                    .collect();
            }
            fields.values_mut().for_each(remove_nul);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_removed_everywhere() {
        let value = serde_json::json!({"a\0": ["x\0y", {"b": "\0"}], "n": 1});
        assert_eq!(
            to_json(&value, "value").unwrap(),
            serde_json::json!({"a": ["xy", {"b": ""}], "n": 1})
        );
    }
}
