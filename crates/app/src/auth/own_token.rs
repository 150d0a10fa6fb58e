//! Access tokens that this installation signs itself.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::UserId;
use domain::user::Actor;
use jsonwebtoken::DecodingKey;
use serde::Serialize;
use store::Store;
use store::secret;

use super::jwt::{self, Rules};
use super::rejection::Rejection;
use super::secret_token::random_bytes;
use crate::config::TokenAlgorithm;
use crate::failure::Failure;

/// `iss` and `aud` of own tokens. No identity provider may use it: the configuration is refused.
pub(super) const OWN_ISSUER: &str = "coursewright";
/// The name of the signing key in the database.
const KEY_NAME: &str = "access_token_key";

/// Signs and reads own tokens. The key was made at the first start and lies in the database, where the program alone
/// may read it: every process of the installation accepts what another has signed.
pub(super) struct OwnTokens {
    key: Vec<u8>,
    rules: Rules,
}

/// A signed access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessToken {
    /// The token itself.
    pub(crate) token: String,
    /// Until when it is accepted.
    pub(crate) expires_at: DateTime<Utc>,
}

/// An access token could not be signed: a fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("an access token cannot be signed")]
pub(crate) struct SigningError(#[from] jsonwebtoken::errors::Error);

#[derive(Serialize)]
struct OwnClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: String,
    user_role: &'a str,
    organization_id: String,
    iat: i64,
    exp: i64,
}

impl OwnTokens {
    /// Reads the key, or makes it.
    ///
    /// # Errors
    /// [`Failure`] if the database refuses or the machine gives no randomness.
    pub(super) async fn open(store: &Store) -> Result<Self, Failure> {
        super::signature::install();
        let candidate = random_bytes()?;
        let key = store
            .with_system(async move |tx| secret::ensure_secret(tx, KEY_NAME, &candidate).await)
            .await?;
        Ok(Self {
            key,
            rules: Rules {
                algorithm: TokenAlgorithm::Hs256,
                issuer: Some(OWN_ISSUER.to_owned()),
                audience: Some(OWN_ISSUER.to_owned()),
            },
        })
    }

    /// Signs a token for `actor` that is accepted from `now` for `lifetime`.
    ///
    /// # Errors
    /// [`SigningError`], which no input causes.
    pub(super) fn sign(
        &self,
        actor: &Actor,
        now: DateTime<Utc>,
        lifetime: TimeDelta,
    ) -> Result<AccessToken, SigningError> {
        let expires_at = now + lifetime;
        let claims = OwnClaims {
            iss: OWN_ISSUER,
            aud: OWN_ISSUER,
            sub: actor.user_id.to_string(),
            user_role: actor.role.as_str(),
            organization_id: actor.organization_id.to_string(),
            iat: now.timestamp(),
            exp: expires_at.timestamp(),
        };
        Ok(AccessToken {
            token: jwt::sign(&claims, &self.key)?,
            expires_at,
        })
    }

    /// Whom a token was signed for. Role and organization are asked of the database: they may have changed since.
    ///
    /// # Errors
    /// [`Rejection`] with the first thing that is wrong.
    pub(super) fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<UserId, Rejection> {
        let key = DecodingKey::from_secret(&self.key);
        let claims = self.rules.verify(token, &key, now)?;
        let subject = claims.sub.ok_or(Rejection::Claims)?;
        subject.parse().map_err(|_| Rejection::Claims)
    }
}

impl fmt::Debug for OwnTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnTokens")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
