//! The one HTTP client: time-outs, user agent, TLS.

use std::time::Duration;

use url::Url;

use crate::discovery::is_loopback;
use crate::error::ProviderError;

/// A TCP and TLS handshake that takes longer than this counts as failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a client. It has no time-out of its own for whole answers: a model may write for minutes; callers watch
/// for silence instead.
///
/// # Errors
/// [`ProviderError::Setup`] if TLS cannot be set up, for example for want of root certificates.
pub fn http_client() -> Result<reqwest::Client, ProviderError> {
    built(common())
}

/// Like [`http_client`], for this address: what runs on this machine is not asked through the proxy that the
/// environment names, which would look for it on its own.
///
/// # Errors
/// As [`http_client`].
pub fn http_client_for(url: &Url) -> Result<reqwest::Client, ProviderError> {
    if is_loopback(url) {
        return built(common().no_proxy());
    }
    http_client()
}

/// A client that asks this machine alone: without proxies and without the root certificates, which take a while to
/// read.
pub(crate) fn loopback_client() -> Result<reqwest::Client, ProviderError> {
    built(common().no_proxy().tls_certs_only([]))
}

fn common() -> reqwest::ClientBuilder {
    ensure_tls();
    reqwest::Client::builder()
        .user_agent(concat!("coursewright/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        // A redirect of a POST loses its body or sends the key elsewhere.
        .redirect(reqwest::redirect::Policy::none())
}

fn built(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, ProviderError> {
    builder
        .build()
        .map_err(|error| ProviderError::Setup(format!("the HTTP client cannot be made: {error}")))
}

/// Makes sure that TLS has its cryptography, for clients that are made elsewhere.
pub fn ensure_tls() {
    // Err means that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
