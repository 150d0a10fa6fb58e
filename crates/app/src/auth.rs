//! Who calls: tokens of an identity provider, own access tokens, API keys, built-in accounts.
//!
//! [`Authenticator`] says on whose behalf a request acts. It knows nothing of HTTP; `http/auth.rs` takes credentials
//! from requests.

pub(crate) mod api_key;
mod attempts;
pub(crate) mod browser;
mod identity_provider;
mod jwks;
mod jwt;
pub(crate) mod own_token;
pub(crate) mod password;
mod people;
pub(crate) mod rejection;
pub(crate) mod secret_token;
pub(crate) mod session;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use chrono::TimeDelta;
use domain::clock::Clock;
use domain::id::UserId;
use domain::user::Actor;
use secrecy::{ExposeSecret, SecretString};
use store::Store;

use crate::config::Config;
use crate::failure::Failure;
use crate::procedures::Caller;
use api_key::KEY_PREFIX;
use identity_provider::IdentityProvider;
use own_token::{AccessToken, OWN_ISSUER, OwnTokens, SigningError};
use people::People;
use rejection::{AuthError, Rejection};
use session::Accounts;

/// What a request brings to show who calls: an API key or a token.
#[derive(Clone, Debug)]
pub(crate) struct Credential(SecretString);

impl Credential {
    /// The text after `Bearer`, or of `X-Api-Key`.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }
}

/// Says who calls. One a process.
#[derive(Debug)]
pub(crate) struct Authenticator {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    own: OwnTokens,
    provider: Option<IdentityProvider>,
    people: People,
    accounts: Accounts,
}

impl Authenticator {
    /// Ready to tell who calls, as it is configured. Reads the key of own tokens, or makes it at the first start.
    ///
    /// # Errors
    /// [`Failure`] if a setting is wrong or the database refuses.
    pub(crate) async fn start(
        config: &Config,
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            own: OwnTokens::open(&store).await?,
            provider: IdentityProvider::of(config, Arc::clone(&clock))?,
            people: People::new(Arc::clone(&store)),
            accounts: Accounts::new(&config.settings.auth),
            store,
            clock,
        })
    }

    /// On whose behalf the bearer of this credential acts.
    ///
    /// # Errors
    /// [`AuthError::Rejected`] with the reason, which is for metrics and never for the caller.
    pub(crate) async fn identify(&self, credential: &Credential) -> Result<Caller, AuthError> {
        let text = credential.0.expose_secret();
        let now = self.clock.now();
        if text.starts_with(KEY_PREFIX) {
            let (key, actor) = api_key::find(&self.store, text, now).await?;
            return Ok(Caller {
                actor,
                scopes: Some(key.scopes),
            });
        }
        let unverified = jwt::peek(text)?;
        // Which rules hold is chosen by what the token says of its issuer; each have their own key and algorithm, so
        // that a lie ends at the signature.
        let actor = if unverified.issuer.as_deref() == Some(OWN_ISSUER) {
            let user_id = self.own.verify(text, now)?;
            self.people.find(user_id, now).await?
        } else if let Some(provider) = &self.provider {
            let described = provider.verify(text, &unverified, now).await?;
            self.people.follow(&described, now).await?
        } else {
            return Err(Rejection::Issuer.into());
        };
        Ok(Caller { actor, scopes: None })
    }

    /// Signs an access token that is accepted for `lifetime`, for scripts and tests.
    ///
    /// # Errors
    /// [`SigningError`], which no input causes.
    pub(crate) fn sign(&self, actor: &Actor, lifetime: TimeDelta) -> Result<AccessToken, SigningError> {
        self.own.sign(actor, self.clock.now(), lifetime)
    }

    /// Forgets what was known of a person whose role or existence was changed here: it counts from the next request
    /// on. Other processes notice within seconds.
    pub(crate) fn forget(&self, id: UserId) {
        self.people.forget(id);
    }
}
