//! Keys of providers as people paste them.

use secrecy::SecretString;

use super::ConfigError;
use super::environment::Environment;

/// Marks that copying leaves around a key, and marks that nobody sees.
const MARKS: [char; 12] = [
    '"', '\'', '`', '\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}', '\u{ab}', '\u{bb}',
    '\u{feff}', '\u{200b}',
];
/// What documentation writes before a key, in small letters.
const PREFIXES: [&str; 2] = ["authorization:", "bearer "];

/// The key of a variable.
#[derive(Debug)]
pub(super) struct Key {
    /// The key itself.
    pub(super) secret: SecretString,
    /// What was left out of what was written, for people.
    pub(super) remark: Option<String>,
}

/// The key that `variable` holds, without what copying added. `None`: it is not set, or to nothing.
///
/// # Errors
/// [`ConfigError::Key`] naming the variable if no header can hold what it is set to.
pub(super) fn key(variable: &str, environment: &Environment) -> Result<Option<Key>, ConfigError> {
    let Some(written) = environment.get_os(variable) else {
        return Ok(None);
    };
    let wrong = |problem: &str| ConfigError::Key {
        variable: variable.to_owned(),
        problem: problem.to_owned(),
    };
    let written = written.to_str().ok_or_else(|| wrong("is not text"))?;
    let (key, added) = without_additions(written);
    if key.is_empty() {
        return Ok(None);
    }
    if key.chars().any(char::is_whitespace) {
        return Err(wrong("has spaces or line breaks inside: set it to the key alone"));
    }
    if !key.chars().all(|character| character.is_ascii_graphic()) {
        return Err(wrong("holds characters that no key has: copy it again"));
    }
    let remark = (!added.is_empty()).then(|| {
        let added = added.join(" and ");
        format!("the key of {variable} had {added}: left out")
    });
    Ok(Some(Key {
        secret: key.into(),
        remark,
    }))
}

/// The key, and what stood around it in words.
fn without_additions(written: &str) -> (&str, Vec<&'static str>) {
    let mut added = Vec::new();
    let mut note = |what: &'static str| {
        if !added.contains(&what) {
            added.push(what);
        }
    };
    let mut key = written;
    loop {
        let bare = key.trim();
        if bare != key {
            // Behind a prefix a space is no more than its end.
            if key.len() == written.len() {
                note("spaces or line breaks around it");
            }
            key = bare;
            continue;
        }
        let unmarked = key.trim_matches(MARKS);
        if unmarked != key {
            note("quotation marks around it");
            key = unmarked;
            continue;
        }
        let prefix = PREFIXES.iter().find(|prefix| {
            key.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        });
        match prefix {
            Some(prefix) => {
                note("a `Bearer ` prefix");
                key = &key[prefix.len()..];
            }
            // A prefix without a key.
            None if key.eq_ignore_ascii_case("bearer") => return ("", added),
            None => return (key, added),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read(written: &str) -> Result<Option<Key>, ConfigError> {
        key("OPENAI_API_KEY", &[("OPENAI_API_KEY", written)].into())
    }

    #[test]
    fn what_copying_adds_is_taken_off_and_said() {
        let check = |written: &str, expected: &str, said: &[&str]| {
            let key = read(written).unwrap().unwrap();
            assert_eq!(key.secret.expose_secret(), expected, "{written:?}");
            let remark = key.remark.unwrap_or_default();
            assert_eq!(remark.is_empty(), said.is_empty(), "{written:?}: {remark}");
            for part in said {
                assert!(
                    remark.contains(part) && remark.contains("OPENAI_API_KEY"),
                    "{remark}"
                );
            }
            assert!(!remark.contains("sk-"), "{remark}");
        };
        check("sk-1", "sk-1", &[]);
        check("sk-1\n", "sk-1", &["line breaks"]);
        check("  sk-1\r\n", "sk-1", &["spaces"]);
        check("\"sk-1\"", "sk-1", &["quotation marks"]);
        check("'sk-1'", "sk-1", &["quotation marks"]);
        check("\u{201c}sk-1\u{201d}", "sk-1", &["quotation marks"]);
        check("Bearer sk-1", "sk-1", &["a `Bearer ` prefix: left out"]);
        check("bearer   sk-1", "sk-1", &["Bearer"]);
        check("Authorization: Bearer sk-1", "sk-1", &["Bearer"]);
        check("\"Bearer sk-1\"", "sk-1", &["quotation marks", "Bearer"]);
        check(
            "Bearer \"sk-1\" ",
            "sk-1",
            &["quotation marks", "Bearer", "spaces"],
        );
        check("\u{feff}sk-1", "sk-1", &["quotation marks"]);
        // A key may begin like the word.
        check("bearer-1", "bearer-1", &[]);
    }

    #[test]
    fn key_of_nothing_is_none() {
        for written in [
            " ",
            "\n",
            "\"\"",
            "''",
            "Bearer ",
            "Bearer",
            "\"Bearer \"",
            "\u{200b}",
        ] {
            assert!(read(written).unwrap().is_none(), "{written:?}");
        }
        assert!(key("OPENAI_API_KEY", &Environment::default()).unwrap().is_none());
    }

    #[test]
    fn key_that_no_header_can_hold_is_named_and_not_shown() {
        let check = |written: &str, expected: &str| {
            let error = read(written).unwrap_err().to_string();
            assert!(
                error.contains("OPENAI_API_KEY") && error.contains(expected),
                "{error}"
            );
            assert!(!error.contains("sk-"), "{error}");
        };
        check("sk-1 sk-2", "spaces");
        check("sk-1\nsk-2", "line breaks");
        check("sk-1\tx", "spaces");
        check("sk-1\u{1b}[0m", "characters");
        check("sk-\u{441}", "characters");
        check("sk-\u{2013}1", "characters");
        check("sk-1\u{200b}2", "characters");
    }
}
