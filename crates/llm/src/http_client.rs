//! The one HTTP client: time-outs, user agent, TLS.

use std::time::Duration;

use crate::error::ProviderError;

/// A TCP and TLS handshake that takes longer than this counts as failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a client. It has no time-out of its own for whole answers: a model may write for minutes; callers watch
/// for silence instead.
///
/// # Errors
/// [`ProviderError::Setup`] if TLS cannot be set up, for example for want of root certificates.
pub fn http_client() -> Result<reqwest::Client, ProviderError> {
    ensure_tls();
    reqwest::Client::builder()
        .user_agent(concat!("coursewright/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        // A redirect of a POST loses its body or sends the key elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| ProviderError::Setup(format!("the HTTP client cannot be made: {error}")))
}

/// Makes sure that TLS has its cryptography, for clients that are made elsewhere.
pub fn ensure_tls() {
    // Err means that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
