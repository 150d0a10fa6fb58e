//! Addresses of endpoints: mended where it is clear what was meant, and shown without what is secret in them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::ConfigError;

/// Ends of paths that name a call; what stands before them is the base.
const CALLS: [&str; 5] = [
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/models",
    "/responses",
];
/// Where the protocol begins at hosts where it is not `/v1`, by their documentation.
const OTHER_BASES: [(&str, &str); 3] = [
    ("openrouter.ai", "/api/v1"),
    ("generativelanguage.googleapis.com", "/v1beta/openai"),
    ("api.groq.com", "/openai/v1"),
];
/// Where the protocol begins everywhere else.
const USUAL_BASE: &str = "/v1";
/// Parameters of an address whose values are no secrets.
const OPEN_PARAMETERS: [&str; 2] = ["api-version", "version"];

/// An address as it was written. It may hold a password, so it is never shown whole.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Address(String);

impl Address {
    /// What was written, for parsing.
    pub(crate) fn written(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", shown(&self.0))
    }
}

/// The base of an endpoint.
pub(super) struct Base {
    /// Up to and including the version, with the parameters that were written, without user and password.
    pub(super) url: Url,
    /// The `Authorization` header that user and password of the address make.
    pub(super) basic: Option<SecretString>,
    /// What was mended, for people.
    pub(super) remark: Option<String>,
}

/// Understands the address of an endpoint. `setting` is named where something is wrong with it.
///
/// # Errors
/// [`ConfigError::Url`] if it is none.
pub(super) fn base(setting: &str, address: &Address) -> Result<Base, ConfigError> {
    let written = unquoted(address.written());
    let mut url = super::parsed_url(setting, written)?;
    let basic = taken_password(&mut url);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    let call = CALLS.iter().find_map(|call| path.strip_suffix(call));
    let mut base = call.unwrap_or(&path).trim_end_matches('/').to_owned();
    if base.is_empty() {
        let host = url.host_str().unwrap_or_default();
        let other = OTHER_BASES.iter().find(|(name, _)| *name == host);
        other.map_or(USUAL_BASE, |(_, base)| base).clone_into(&mut base);
    }
    url.set_path(&base);
    let remark = (base != path).then(|| {
        let reason = if call.is_some() {
            "names a call, not the base of all calls"
        } else {
            "has no version in its path"
        };
        format!("{setting} {reason}: {} is used", shown_url(&url))
    });
    Ok(Base { url, basic, remark })
}

/// Takes user and password out of the address, so that nothing that shows it can show them.
fn taken_password(url: &mut Url) -> Option<SecretString> {
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let (user, password) = (decoded(url.username()), url.password().map(decoded));
    if user.is_empty() && password.is_none() {
        return None;
    }
    // Addresses of HTTP, which alone come here, can be without them.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    let pair = [user, b":".to_vec(), password.unwrap_or_default()].concat();
    Some(format!("Basic {}", STANDARD.encode(pair)).into())
}

/// Files of variables and copied commands leave quotation marks around values.
fn unquoted(text: &str) -> &str {
    text.trim()
        .trim_matches(|mark| matches!(mark, '"' | '\'' | '`'))
        .trim()
}

/// An address for people: without user, password and the values of its parameters, of which some services make keys.
pub(crate) fn shown_url(url: &Url) -> String {
    let mut open = url.clone();
    let _ = open.set_password(None);
    let _ = open.set_username("");
    open.set_query(None);
    open.set_fragment(None);
    let parameters: Vec<_> = url
        .query_pairs()
        .map(|(name, value)| {
            if OPEN_PARAMETERS.contains(&&*name) {
                format!("{name}={value}")
            } else {
                format!("{name}=...")
            }
        })
        .collect();
    if parameters.is_empty() {
        open.to_string()
    } else {
        format!("{open}?{}", parameters.join("&"))
    }
}

/// The same for what need not be an address at all.
pub(super) fn shown(text: &str) -> String {
    let host = |url: &Url| url.has_host();
    if let Some(url) = Url::parse(unquoted(text)).ok().filter(host) {
        // `http://host` stays without the slash that parsing adds.
        let shown = shown_url(&url);
        let bare = url.path() == "/" && !text.ends_with('/') && url.query().is_none();
        return if bare {
            shown.trim_end_matches('/').to_owned()
        } else {
            shown
        };
    }
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("...@{rest}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn bases_are_what_was_meant() {
        let check = |written: &str, expected: &str, reason: Option<&str>| {
            let base = base("OPENAI_BASE_URL", &written.into()).unwrap();
            assert_eq!(base.url.as_str(), expected, "{written}");
            match reason {
                Some(reason) => {
                    let remark = base.remark.unwrap();
                    assert!(
                        remark.starts_with("OPENAI_BASE_URL ") && remark.contains(reason),
                        "{remark}"
                    );
                }
                None => assert_eq!(base.remark, None, "{written}"),
            }
        };
        check("http://localhost:11434/v1", "http://localhost:11434/v1", None);
        check("http://localhost:11434/v1/", "http://localhost:11434/v1", None);
        check(
            "  \"http://localhost:11434/v1\"\n",
            "http://localhost:11434/v1",
            None,
        );
        check(
            "http://localhost:11434",
            "http://localhost:11434/v1",
            Some("no version"),
        );
        check(
            "http://localhost:11434/",
            "http://localhost:11434/v1",
            Some("no version"),
        );
        check(
            "https://api.openai.com",
            "https://api.openai.com/v1",
            Some("no version"),
        );
        check(
            "https://openrouter.ai",
            "https://openrouter.ai/api/v1",
            Some("no version"),
        );
        let gemini = "https://generativelanguage.googleapis.com/v1beta/openai";
        check(
            "https://generativelanguage.googleapis.com",
            gemini,
            Some("no version"),
        );
        check(&format!("{gemini}/"), gemini, None);
        check(
            "http://h:1/v1/chat/completions",
            "http://h:1/v1",
            Some("names a call"),
        );
        check(
            "http://h:1/v1/chat/completions/",
            "http://h:1/v1",
            Some("names a call"),
        );
        check("http://h:1/v1/models", "http://h:1/v1", Some("names a call"));
        check(
            "http://h:1/chat/completions",
            "http://h:1/v1",
            Some("names a call"),
        );
        check(
            "https://api.jina.ai/v1/embeddings",
            "https://api.jina.ai/v1",
            Some("names a call"),
        );
        // A path that somebody wrote is meant, with a version or without one.
        check("https://h/openai", "https://h/openai", None);
        check(
            "https://gateway.example.org/team/a",
            "https://gateway.example.org/team/a",
            None,
        );
        check(
            "https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
            "https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
            None,
        );
        check(
            "https://h/openai/deployments/d/chat/completions?api-version=2024-10-21",
            "https://h/openai/deployments/d?api-version=2024-10-21",
            Some("names a call"),
        );
    }

    #[test]
    fn user_and_password_become_a_header() {
        let check = |written: &str, expected: Option<&str>| {
            let base = base("x", &written.into()).unwrap();
            assert_eq!(base.url.as_str(), "http://h/v1");
            let basic = base.basic.as_ref().map(ExposeSecret::expose_secret);
            assert_eq!(basic, expected, "{written}");
        };
        check("http://h/v1", None);
        check("http://user:pw@h/v1", Some("Basic dXNlcjpwdw=="));
        check("http://user@h", Some("Basic dXNlcjo="));
        check("http://u%40x:p%3Aw@h/v1", Some("Basic dUB4OnA6dw=="));
    }

    #[test]
    fn secrets_in_addresses_are_not_shown() {
        let check = |written: &str, expected: &str| {
            assert_eq!(Address::from(written).to_string(), expected, "{written}");
            let debug = format!("{:?}", Address::from(written));
            assert!(!debug.contains("secret"), "{debug}");
        };
        check("http://user:secret@host", "http://host");
        check("http://user:secret@host:8080/v1", "http://host:8080/v1");
        check(
            "http://host/v1?key=secret&api-version=1",
            "http://host/v1?key=...&api-version=1",
        );
        check("htp//user:secret@host/v1", "...@host/v1");
        check("user:secret@host:99999", "...@host:99999");
        check("http://user:secret@host:99999/v1", "...@host:99999/v1");
        check("localhost", "localhost");
        check("'http://user:secret@host/v1'", "http://host/v1");
    }

    #[test]
    fn what_is_no_address_is_named_without_its_password() {
        let check = |written: &str| {
            let error = base("providers.p.base_url", &written.into())
                .err()
                .unwrap()
                .to_string();
            assert!(
                error.contains("providers.p.base_url") && error.contains("http://"),
                "{error}"
            );
            assert!(!error.contains("secret"), "{error}");
        };
        check("localhost:11434/v1");
        check("");
        check("ftp://user:secret@host/v1");
        check("user:secret@host:11434");
        check("http://user:secret@host:99999/v1");
        check("http://");
    }
}
