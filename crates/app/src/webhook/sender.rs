//! One HTTP POST to somebody else's server, without being led into the operator's network.
//!
//! Addresses are looked at twice: in the URL, and again when the connection is made, on what the name resolved to;
//! a name that changes its address between the two gains nothing. No redirect is followed and no proxy is used,
//! because either would connect to an address that nobody looked at.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use llm::http_client::ensure_tls;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use url::{Host, Url};

use super::address::is_public;

/// So much of an answer is read, in bytes; the rest is of no interest.
const LONGEST_ANSWER: usize = 1024;
/// A TCP and TLS handshake that takes longer than this counts as failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest URL that is accepted, in bytes: what the database holds.
const LONGEST_URL: usize = 2000;

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    /// It is not an absolute URL with a host, or too long.
    #[error("the address of a webhook must be an absolute URL of at most 2000 bytes")]
    NotAUrl,
    /// It is not https.
    #[error("the address of a webhook must begin with https://")]
    NotHttps,
    /// It carries a user name or a password.
    #[error("the address of a webhook must not contain a user name or password")]
    Credentials,
    /// It leads into a private network.
    #[error("the address of a webhook must be on the public internet")]
    NotPublic,
}

/// Looks at an address that somebody gave for a webhook. What its name resolves to is looked at when it is used.
///
/// # Errors
/// [`TargetError`] saying what is wrong with it.
pub(crate) fn check_target(written: &str, allow_private: bool) -> Result<Url, TargetError> {
    if written.len() > LONGEST_URL {
        return Err(TargetError::NotAUrl);
    }
    let url = Url::parse(written).map_err(|_| TargetError::NotAUrl)?;
    match url.scheme() {
        "https" => {}
        "http" if allow_private => {}
        _ => return Err(TargetError::NotHttps),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TargetError::Credentials);
    }
    let public = match url.host().ok_or(TargetError::NotAUrl)? {
        // The URL parser has already brought forms such as 0x7f.1 and 2130706433 to four numbers.
        Host::Ipv4(address) => is_public(IpAddr::V4(address)),
        Host::Ipv6(address) => is_public(IpAddr::V6(address)),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name != "localhost" && !name.ends_with(".localhost")
        }
    };
    if public || allow_private {
        Ok(url)
    } else {
        Err(TargetError::NotPublic)
    }
}

/// What came of a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The receiver took it: a status of 200 to 299.
    Accepted {
        /// The status.
        status: u16,
    },
    /// The receiver answered otherwise, a redirect included.
    Refused {
        /// The status.
        status: u16,
        /// The beginning of its answer.
        answer: String,
    },
    /// There was no answer: no connection, no time, or the address is not allowed.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Sends. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    client: Client,
    allow_private: bool,
}

impl Sender {
    /// A sender whose receivers have `timeout` for the whole exchange.
    ///
    /// # Errors
    /// A sentence if TLS cannot be set up, for example for want of root certificates.
    pub(crate) fn new(allow_private: bool, timeout: Duration) -> Result<Self, String> {
        ensure_tls();
        let client = Client::builder()
            .user_agent(concat!("coursewright/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .https_only(!allow_private)
            // An answer is not unpacked: the size that counts is the one on the wire.
            .no_gzip()
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(PublicResolver { allow_private }))
            .build()
            .map_err(|error| format!("the HTTP client of webhooks cannot be made: {error}"))?;
        Ok(Self {
            client,
            allow_private,
        })
    }

    /// Posts `body` as JSON with these further headers.
    pub(crate) async fn post(&self, target: &str, headers: &[(&'static str, String)], body: String) -> Sent {
        let url = match check_target(target, self.allow_private) {
            Ok(url) => url,
            Err(error) => {
                return Sent::Failed {
                    reason: error.to_string(),
                };
            }
        };
        let mut sent = HeaderMap::new();
        sent.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            match HeaderValue::from_str(value) {
                Ok(value) => sent.insert(*name, value),
                Err(_) => {
                    return Sent::Failed {
                        reason: format!("the header {name} cannot be sent"),
                    };
                }
            };
        }
        match self.client.post(url).headers(sent).body(body).send().await {
            Ok(response) => Self::outcome(response).await,
            Err(error) => Sent::Failed {
                reason: reason(&error.without_url()),
            },
        }
    }

    async fn outcome(mut response: Response) -> Sent {
        let status = response.status();
        if status.is_success() {
            return Sent::Accepted {
                status: status.as_u16(),
            };
        }
        let mut answer = Vec::new();
        while answer.len() < LONGEST_ANSWER {
            match response.chunk().await {
                Ok(Some(chunk)) => answer.extend_from_slice(&chunk),
                // What was answered before the connection broke is all there is.
                Ok(None) | Err(_) => break,
            }
        }
        answer.truncate(LONGEST_ANSWER);
        Sent::Refused {
            status: status.as_u16(),
            answer: String::from_utf8_lossy(&answer).into_owned(),
        }
    }
}

/// The error with its causes: the outermost says only that a request failed.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Resolves names, and keeps back every address that is not public: the connection is made to one of what is left.
#[derive(Clone, Copy, Debug)]
struct PublicResolver {
    allow_private: bool,
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| allow_private || is_public(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(TargetError::NotPublic.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: Result<(), TargetError>) {
        assert_eq!(check_target(written, false).map(|_| ()), expected, "{written}");
    }

    #[test]
    fn targets_are_public_https_addresses() {
        check("https://example.org/hook?x=1", Ok(()));
        check("https://example.org:8443/hook", Ok(()));
        check("http://example.org/", Err(TargetError::NotHttps));
        check("ftp://example.org/", Err(TargetError::NotHttps));
        check("file:///etc/passwd", Err(TargetError::NotHttps));
        check("example.org", Err(TargetError::NotAUrl));
        check("https://user:pass@example.org/", Err(TargetError::Credentials));
        let long = format!("https://example.org/{}", "a".repeat(LONGEST_URL));
        check(&long, Err(TargetError::NotAUrl));
    }

    #[test]
    fn literal_private_addresses_are_refused_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "10.0.0.1",
            "169.254.169.254",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[64:ff9b::a00:1]",
            "[fd00::1]",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "0.0.0.0",
            "100.64.0.1",
        ] {
            check(&format!("https://{host}/"), Err(TargetError::NotPublic));
        }
    }

    #[test]
    fn operators_may_allow_their_own_network() {
        assert!(check_target("http://127.0.0.1:9000/", true).is_ok());
        assert_eq!(check_target("ftp://127.0.0.1/", true), Err(TargetError::NotHttps));
    }

    #[tokio::test]
    async fn names_that_resolve_to_private_addresses_are_refused() {
        // Every system resolves this name to itself; with a trailing part it would look like a public one.
        let resolver = PublicResolver { allow_private: false };
        let refused = resolver.resolve("localhost".parse().unwrap()).await;
        let error = refused.err().unwrap().to_string();
        assert!(error.contains("public internet"), "{error}");
        let resolver = PublicResolver { allow_private: true };
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
