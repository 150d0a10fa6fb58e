//! Keys of integrators: random, kept as a hash, limited to scopes, revocable.

use chrono::{DateTime, Utc};
use domain::error::InvalidInput;
use domain::user::{Actor, Role};
use store::Store;
use store::api_key::{self, ApiKey, NewApiKey, Scope};

use super::rejection::{AuthError, Rejection};
use super::secret_token::{SecretToken, digest};
use super::session::AccountError;

/// What keys begin with, so that people and scanners of source code know them.
pub(crate) const KEY_PREFIX: &str = "cw_";
/// The characters of a key that are kept readable, to tell keys apart: 48 of its 256 bits.
const SHOWN_CHARS: usize = KEY_PREFIX.len() + 8;
/// The longest name of a key, in characters.
const NAME_CHARS: usize = 100;
/// The longest key that is looked at, in bytes.
const MAX_KEY_BYTES: usize = 128;

/// What a key is to be.
#[derive(Clone, Debug)]
pub(crate) struct KeyWish {
    /// For people.
    pub(crate) name: String,
    /// What it may do; at least one.
    pub(crate) scopes: Vec<Scope>,
    /// Until when; `None`: until it is revoked.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// Makes a key of `actor`. It is shown now and never again.
///
/// # Errors
/// [`AccountError::Invalid`] if name, scopes or expiry break a limit.
pub(crate) async fn create(
    store: &Store,
    actor: &Actor,
    wish: &KeyWish,
    now: DateTime<Utc>,
) -> Result<(SecretToken, ApiKey), AccountError> {
    let name = wish.name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS || name.chars().any(char::is_control) {
        let message = format!("must have 1 to {NAME_CHARS} characters, none of them for control");
        return Err(InvalidInput::new("name", message).into());
    }
    if wish.scopes.is_empty() {
        return Err(InvalidInput::new("scopes", "must name at least one").into());
    }
    if wish.scopes.contains(&Scope::Admin) && !matches!(actor.role, Role::Admin | Role::Superadmin) {
        return Err(InvalidInput::new("scopes", "admin is for keys of admins").into());
    }
    if wish.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(InvalidInput::new("expires_at", "must be in the future").into());
    }
    let key = SecretToken::generate(KEY_PREFIX)?;
    let mut scopes = wish.scopes.clone();
    scopes.sort_unstable();
    scopes.dedup();
    let new = NewApiKey {
        name: name.to_owned(),
        prefix: key.expose().chars().take(SHOWN_CHARS).collect(),
        key_hash: key.digest(),
        scopes,
        expires_at: wish.expires_at,
    };
    let made = store
        .with_tenant(actor, async move |tx| api_key::insert_api_key(tx, &new).await)
        .await?;
    Ok((key, made))
}

/// The key that was given, and whose it is.
///
/// # Errors
/// [`Rejection::ApiKey`] if it does not exist, is revoked or has expired.
pub(super) async fn find(store: &Store, key: &str, now: DateTime<Utc>) -> Result<(ApiKey, Actor), AuthError> {
    if key.len() > MAX_KEY_BYTES {
        return Err(Rejection::TooLong.into());
    }
    let hash = digest(key);
    let found = store
        .with_system(async move |tx| api_key::find_by_hash(tx, hash, now).await)
        .await?;
    Ok(found.ok_or(Rejection::ApiKey)?)
}
