//! JSON Web Tokens (RFC 7519): what is signed, for whom and until when.
//!
//! The algorithm is the configured one; what a token says about it is compared and never followed. Time is compared
//! here and not by the library, so that a test decides what time it is.

use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rejection::Rejection;
use crate::config::TokenAlgorithm;

/// The longest token, in bytes: several times what identity providers issue, and what servers take as a header.
pub(super) const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// How far the clocks of issuer and service may differ, in seconds.
const LEEWAY_SECS: f64 = 30.0;

/// What a token must say.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// How it is signed.
    pub(super) algorithm: TokenAlgorithm,
    /// Its `iss`, where one is demanded.
    pub(super) issuer: Option<String>,
    /// One of its `aud`, where one is demanded.
    pub(super) audience: Option<String>,
}

/// What a token says of itself before anything is verified: enough to choose rules and key, and for nothing else.
#[derive(Debug)]
pub(super) struct Unverified {
    algorithm: String,
    /// Which of the issuer's keys it names.
    pub(super) key_id: Option<String>,
    /// Who it says has issued it.
    pub(super) issuer: Option<String>,
}

/// The claims that have a meaning here.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Claims {
    pub(super) sub: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) email: Option<String>,
    pub(super) email_verified: Option<Verified>,
    pub(super) user_role: Option<String>,
    pub(super) role: Option<String>,
    pub(super) organization_id: Option<String>,
    pub(super) tier: Option<String>,
    #[serde(default)]
    pub(super) app_metadata: AppMetadata,
    pub(super) iss: Option<String>,
    aud: Option<Audience>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

/// What the identity provider's operator, and not the user, has set (as Supabase names it).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct AppMetadata {
    pub(super) role: Option<String>,
    pub(super) organization_id: Option<String>,
    pub(super) tier: Option<String>,
}

/// Whether the provider knows that the address is the bearer's (`OpenID` Connect Core, 5.1); some send it as a text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Verified {
    Said(bool),
    Written(String),
}

impl Verified {
    /// Whether it is.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Said(verified) => *verified,
            Self::Written(word) => word == "true",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct RawHeader {
    alg: String,
    kid: Option<String>,
    // RFC 7515, 4.1.11: who does not understand what is critical must refuse. Nothing is understood here.
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct RawIssuer {
    iss: Option<String>,
}

impl Audience {
    fn has(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Many(many) => many.iter().any(|one| one == wanted),
        }
    }
}

/// Reads what chooses the rules. Nothing of it is to be believed.
///
/// # Errors
/// [`Rejection`] if it is no token at all.
pub(super) fn peek(token: &str) -> Result<Unverified, Rejection> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Rejection::TooLong);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Rejection::Malformed);
    };
    let header: RawHeader = decoded(header)?;
    let payload: RawIssuer = decoded(payload)?;
    if header.crit.is_some() {
        return Err(Rejection::Malformed);
    }
    Ok(Unverified {
        algorithm: header.alg,
        key_id: header.kid,
        issuer: payload.iss,
    })
}

fn decoded<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, Rejection> {
    use base64::Engine as _;
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Rejection::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| Rejection::Malformed)
}

impl Rules {
    /// Refuses a token that names another algorithm, before a key is looked for.
    ///
    /// # Errors
    /// [`Rejection::Algorithm`].
    pub(super) fn check_algorithm(&self, unverified: &Unverified) -> Result<(), Rejection> {
        if unverified.algorithm == algorithm_name(self.algorithm) {
            Ok(())
        } else {
            Err(Rejection::Algorithm)
        }
    }

    /// The claims of a token whose signature, time, issuer and audience are right.
    ///
    /// # Errors
    /// [`Rejection`] with the first thing that is wrong.
    pub(super) fn verify(
        &self,
        token: &str,
        key: &DecodingKey,
        now: DateTime<Utc>,
    ) -> Result<Claims, Rejection> {
        self.check_algorithm(&peek(token)?)?;
        let mut validation = Validation::new(algorithm(self.algorithm));
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation)
            .map_err(|error| refused(error.kind()))?
            .claims;
        self.check(&claims, now)?;
        Ok(claims)
    }

    fn check(&self, claims: &Claims, now: DateTime<Utc>) -> Result<(), Rejection> {
        let now = now.timestamp_millis() as f64 / 1000.0;
        // A token without an end is never accepted.
        let expires = claims.exp.ok_or(Rejection::Claims)?;
        if now >= expires + LEEWAY_SECS {
            return Err(Rejection::Expired);
        }
        if claims.nbf.is_some_and(|begins| now < begins - LEEWAY_SECS) {
            return Err(Rejection::NotYetValid);
        }
        if let Some(issuer) = &self.issuer
            && claims.iss.as_ref() != Some(issuer)
        {
            return Err(Rejection::Issuer);
        }
        if let Some(audience) = &self.audience
            && !claims.aud.as_ref().is_some_and(|found| found.has(audience))
        {
            return Err(Rejection::Audience);
        }
        Ok(())
    }
}

fn refused(kind: &ErrorKind) -> Rejection {
    match kind {
        ErrorKind::InvalidSignature
        | ErrorKind::Signing(_)
        | ErrorKind::RsaFailedSigning
        | ErrorKind::InvalidEcdsaKey
        | ErrorKind::InvalidEddsaKey
        | ErrorKind::InvalidRsaKey(_)
        | ErrorKind::Base64(_) => Rejection::Signature,
        ErrorKind::InvalidAlgorithm
        | ErrorKind::InvalidAlgorithmName
        | ErrorKind::MissingAlgorithm
        | ErrorKind::UnsupportedAlgorithm
        | ErrorKind::InvalidKeyFormat => Rejection::Algorithm,
        // The payload is JSON: `peek` has read it. So a claim has the wrong type.
        ErrorKind::Json(_) => Rejection::Claims,
        // The library's list of errors is open; what it adds is a refusal too.
        _ => Rejection::Malformed,
    }
}

/// Signs claims with HS256.
///
/// # Errors
/// If the claims cannot be written as JSON.
pub(super) fn sign(claims: &impl Serialize, key: &[u8]) -> Result<String, jsonwebtoken::errors::Error> {
    jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        claims,
        &EncodingKey::from_secret(key),
    )
}

const fn algorithm(configured: TokenAlgorithm) -> Algorithm {
    match configured {
        TokenAlgorithm::Hs256 => Algorithm::HS256,
        TokenAlgorithm::Rs256 => Algorithm::RS256,
        TokenAlgorithm::Es256 => Algorithm::ES256,
        TokenAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}

const fn algorithm_name(configured: TokenAlgorithm) -> &'static str {
    match configured {
        TokenAlgorithm::Hs256 => "HS256",
        TokenAlgorithm::Rs256 => "RS256",
        TokenAlgorithm::Es256 => "ES256",
        TokenAlgorithm::EdDsa => "EdDSA",
    }
}
