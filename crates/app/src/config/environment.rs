//! The environment of the process, read once and passed on.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Variables by name. Empty ones count as not set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// The variables of this process.
    pub(crate) fn of_process() -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self(variables.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// A variable that is text.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.get_os(name)?
            .to_str()
            .map(str::trim)
            .filter(|value| !value.is_empty())
    }

    /// A variable that need not be text, such as a path.
    pub(crate) fn get_os(&self, name: &str) -> Option<&OsStr> {
        self.0.get(name).map(OsString::as_os_str)
    }

    /// All text variables whose names begin so, in order.
    pub(crate) fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix))
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str()?)))
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        variables.into_iter().collect()
    }
}

#[cfg(test)]
impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(variables: I) -> Self {
        let variables = variables.into_iter();
        Self(
            variables
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        )
    }
}

/// A variable's value as a setting: numbers, booleans and lists are recognised as in a TOML file; all else is text.
pub(super) fn parsed(text: &str) -> figment::value::Value {
    match text.parse() {
        Ok(value) => value,
        // The parser never refuses; were it to, the text itself is meant.
        Err(_) => text.into(),
    }
}
