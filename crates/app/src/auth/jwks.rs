//! The keys that an identity provider publishes (RFC 7517), fetched when they are needed and kept for a while.
//!
//! A token that names an unknown key makes this look again, at most once a minute, so that new keys are known at
//! once and nobody can make the service hammer the provider.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::clock::Clock;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::rejection::{AuthError, Rejection};
use crate::config::TokenAlgorithm;
use crate::failure::Failure;

/// How long keys are used before the provider is asked again: a key it has withdrawn lives no longer than that.
const FRESH: TimeDelta = TimeDelta::minutes(10);
/// How long keys are used while the provider does not answer.
const USABLE: TimeDelta = TimeDelta::hours(1);
/// Between two looks at the provider.
const BETWEEN_FETCHES: TimeDelta = TimeDelta::minutes(1);
/// Between two looks while there are no keys at all: nobody can come in meanwhile.
const BETWEEN_FIRST_FETCHES: TimeDelta = TimeDelta::seconds(5);
/// The whole answer must be there by then.
const FETCH_PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer, in bytes; real ones have a few thousand.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The published keys of one provider.
#[derive(Debug)]
pub(super) struct PublishedKeys {
    url: Url,
    algorithm: TokenAlgorithm,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    known: RwLock<Known>,
    // Held while the provider is asked: many requests with a new key make one fetch.
    last_fetch: Mutex<Option<DateTime<Utc>>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    keys: Arc<[PublishedKey]>,
    fetched_at: Option<DateTime<Utc>>,
}

#[derive(Debug)]
struct PublishedKey {
    id: Option<String>,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Answer {
    keys: Vec<Value>,
}

/// Why the provider could not be asked.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the identity provider does not answer")]
    Http(#[from] reqwest::Error),
    #[error("the identity provider's keys cannot be read: {0}")]
    Answer(String),
}

impl PublishedKeys {
    /// The keys at `url` that fit `algorithm`; nothing is fetched yet.
    ///
    /// # Errors
    /// [`Failure`] if there can be no HTTP client.
    pub(super) fn new(url: Url, algorithm: TokenAlgorithm, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        Ok(Self {
            url,
            algorithm,
            client: llm::http_client::http_client()?,
            clock,
            known: RwLock::new(Known::default()),
            last_fetch: Mutex::new(None),
        })
    }

    /// The key of this id; without an id, the only key there is.
    ///
    /// # Errors
    /// [`Rejection::UnknownKey`] if the provider does not publish it, [`AuthError::NoKeys`] if its keys cannot be
    /// had.
    pub(super) async fn key(&self, id: Option<&str>) -> Result<DecodingKey, AuthError> {
        let known = self.known();
        if known.is_younger_than(FRESH, self.clock.now())
            && let Some(key) = known.find(id)
        {
            return Ok(key);
        }
        self.refresh(id).await;
        let known = self.known();
        if !known.is_younger_than(USABLE, self.clock.now()) {
            return Err(AuthError::NoKeys);
        }
        Ok(known.find(id).ok_or(Rejection::UnknownKey)?)
    }

    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the provider, unless that was done a moment ago or another request has brought what is wanted.
    async fn refresh(&self, id: Option<&str>) {
        let mut last_fetch = self.last_fetch.lock().await;
        let now = self.clock.now();
        let known = self.known();
        let pause = if known.fetched_at.is_some() {
            BETWEEN_FETCHES
        } else {
            BETWEEN_FIRST_FETCHES
        };
        let is_there = known.is_younger_than(FRESH, now) && known.find(id).is_some();
        if is_there || last_fetch.is_some_and(|last| now - last < pause) {
            return;
        }
        *last_fetch = Some(now);
        match self.fetch().await {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "fetched the identity provider's keys");
                let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                *known = Known {
                    keys: keys.into(),
                    fetched_at: Some(now),
                };
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "the identity provider's keys cannot be fetched");
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<PublishedKey>, FetchError> {
        let request = self.client.get(self.url.clone()).timeout(FETCH_PATIENCE);
        let mut response = request.send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(FetchError::Answer(format!("more than {MAX_ANSWER_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        if !response.status().is_success() {
            return Err(FetchError::Answer(format!("status {}", response.status())));
        }
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| FetchError::Answer(error.to_string()))?;
        // Keys of kinds that are not known here stand beside those that are.
        let keys = answer
            .keys
            .into_iter()
            .filter_map(|key| usable(key, self.algorithm));
        Ok(keys.collect())
    }
}

impl Known {
    fn is_younger_than(&self, age: TimeDelta, now: DateTime<Utc>) -> bool {
        self.fetched_at.is_some_and(|fetched_at| now - fetched_at < age)
    }

    fn find(&self, id: Option<&str>) -> Option<DecodingKey> {
        let found = match (id, &*self.keys) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        found.map(|found| found.key.clone())
    }
}

/// A key that may verify signatures of this algorithm. A shared secret never is one: it would be public.
fn usable(key: Value, algorithm: TokenAlgorithm) -> Option<PublishedKey> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    let (fits, name) = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), TokenAlgorithm::Rs256) => (true, KeyAlgorithm::RS256),
        (AlgorithmParameters::EllipticCurve(parameters), TokenAlgorithm::Es256) => {
            (parameters.curve == EllipticCurve::P256, KeyAlgorithm::ES256)
        }
        (AlgorithmParameters::OctetKeyPair(parameters), TokenAlgorithm::EdDsa) => {
            (parameters.curve == EllipticCurve::Ed25519, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let is_for_signatures = matches!(&jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let is_for_algorithm = jwk.common.key_algorithm.is_none_or(|found| found == name);
    if !(fits && is_for_signatures && is_for_algorithm) {
        return None;
    }
    Some(PublishedKey {
        key: DecodingKey::from_jwk(&jwk).ok()?,
        id: jwk.common.key_id,
    })
}
