//! Built-in accounts: signing in with e-mail and password, going on with a refresh token, the first account of all.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use domain::error::{ErrorKind, InvalidInput};
use domain::user::{Actor, Role};
use secrecy::{ExposeSecret, SecretString};
use store::error::StoreError;
use store::organization::ensure_local_owner;
use store::session::{self, Rotation};
use store::user::{self, NewUser};
use store::{Store, secret};

use super::Authenticator;
use super::attempts::Attempts;
use super::own_token::{AccessToken, SigningError};
use super::password::{HashError, Passwords, check_password};
use super::secret_token::{NoRandomness, SecretToken, digest};
use crate::config::AuthSettings;
use crate::failure::Failure;

/// What refresh tokens begin with.
const REFRESH_PREFIX: &str = "cwr_";
/// The longest refresh token that is looked at, in bytes.
const MAX_REFRESH_BYTES: usize = 128;
/// The name of the first run's one-time secret in the database.
const SETUP_NAME: &str = "setup_token";
/// What it begins with.
const SETUP_PREFIX: &str = "cws_";

/// What signing in gives.
#[derive(Debug)]
pub(crate) struct SignedIn {
    /// Who it is.
    pub(crate) actor: Actor,
    /// For requests.
    pub(crate) access: AccessToken,
    /// For the next access token; used once.
    pub(crate) refresh: SecretToken,
    /// Until when the refresh token can be used.
    pub(crate) refresh_expires_at: DateTime<Utc>,
}

/// What tells a browser from others that come with the same refresh token: a digest of its address and of what it says
/// of itself. No proof, as both can be imitated: it only decides whether a token that comes twice within seconds is a
/// second tab.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientMark([u8; 32]);

impl ClientMark {
    /// The mark of a client; `None` where its address is not known.
    pub(crate) fn of(address: Option<IpAddr>, user_agent: &str) -> Option<Self> {
        address.map(|address| Self(digest(&format!("{address} {user_agent}"))))
    }
}

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    /// Address and password do not belong together, or there is no such account: nobody learns which.
    #[error("the address or the password is wrong")]
    WrongCredentials,
    /// The refresh token does not exist, has expired, was revoked or was used before.
    #[error("the session has ended")]
    SessionEnded,
    /// Too many tries.
    #[error("too many tries: wait {0} s")]
    TooManyTries(u32),
    /// Passwords are turned off.
    #[error("signing in by password is turned off")]
    PasswordsOff,
    /// There is an account already, or the one-time secret is not the right one.
    #[error("the link of the first run is not valid (any more)")]
    SetupClosed,
    /// An input breaks a limit.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// The database refused or did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// No token could be made.
    #[error(transparent)]
    Token(#[from] SigningError),
    /// No token could be made.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

impl AccountError {
    /// The kind for exit codes.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::WrongCredentials | Self::SessionEnded | Self::PasswordsOff | Self::SetupClosed => {
                ErrorKind::Forbidden
            }
            Self::TooManyTries(_) => ErrorKind::LimitReached,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Store(error) => error.kind(),
            Self::Hash(_) | Self::Token(_) | Self::Randomness(_) => ErrorKind::Internal,
        }
    }
}

/// What the built-in accounts need.
#[derive(Debug)]
pub(super) struct Accounts {
    passwords: Passwords,
    attempts: Attempts,
    access_lifetime: TimeDelta,
    refresh_lifetime: TimeDelta,
    is_on: bool,
}

impl Accounts {
    /// Accounts as they are configured.
    pub(super) fn new(settings: &AuthSettings) -> Self {
        Self {
            passwords: Passwords::new(),
            attempts: Attempts::default(),
            access_lifetime: TimeDelta::minutes(i64::from(settings.access_token_minutes)),
            refresh_lifetime: TimeDelta::days(i64::from(settings.refresh_token_days)),
            is_on: settings.password_login,
        }
    }

    /// For how long an access token is accepted, and a cookie kept before it is exchanged.
    pub(super) const fn access_lifetime(&self) -> TimeDelta {
        self.access_lifetime
    }

    /// For how long a refresh token or a cookie can be used.
    pub(super) const fn refresh_lifetime(&self) -> TimeDelta {
        self.refresh_lifetime
    }
}

impl Authenticator {
    /// Signs somebody in. `address` is where the request came from.
    ///
    /// # Errors
    /// [`AccountError`]; the same one, after the same time, for a wrong password and an unknown address.
    pub(crate) async fn login(
        &self,
        email: &str,
        password: &SecretString,
        address: Option<IpAddr>,
    ) -> Result<SignedIn, AccountError> {
        let (actor, password_hash) = self.check_login(email, password, address).await?;
        self.begin_session(actor, password_hash).await
    }

    /// Whose address and password these are, and the password's hash: while it was compared, the person may have taken another
    /// password. The try is counted, whatever kind of session it is for.
    pub(super) async fn check_login(
        &self,
        email: &str,
        password: &SecretString,
        address: Option<IpAddr>,
    ) -> Result<(Actor, String), AccountError> {
        if !self.accounts.is_on {
            return Err(AccountError::PasswordsOff);
        }
        let attempts = &self.accounts.attempts;
        let attempt = attempts
            .begin(email, address, self.clock.now())
            .map_err(AccountError::TooManyTries)?;
        let wanted = email.trim().to_owned();
        let found = self
            .store
            .with_system(async move |tx| user::find_credentials(tx, &wanted).await)
            .await?;
        let hash = found.as_ref().and_then(|found| found.password_hash.as_deref());
        // A new password is never longer: such a text is wrong, but must take as long.
        let is_right = self.accounts.passwords.is_right(password, hash).await?;
        let right = found.filter(|_| is_right);
        let Some((actor, hash)) = right.and_then(|found| Some((found.actor, found.password_hash?))) else {
            tracing::info!(address = ?address, "somebody could not be signed in");
            return Err(AccountError::WrongCredentials);
        };
        attempts.succeeded(&attempt);
        Ok((actor, hash))
    }

    async fn begin_session(&self, actor: Actor, password_hash: String) -> Result<SignedIn, AccountError> {
        let (refresh, refresh_expires_at) = self.new_refresh()?;
        let token_hash = refresh.digest();
        self.store
            .with_system(async move |tx| {
                if !user::confirm_password(tx, actor.user_id, &password_hash).await? {
                    return Ok(None);
                }
                let begun = session::insert_session(tx, actor.user_id, token_hash, refresh_expires_at).await;
                begun.map(Some)
            })
            .await?
            .ok_or(AccountError::WrongCredentials)?;
        self.signed_in(actor, refresh, refresh_expires_at)
    }

    /// Goes on with a session: both tokens are new, the old refresh token is used up. Whoever uses it again has
    /// stolen it or was robbed, so that ends the session for both; but not the same `client` within a few seconds, which
    /// is a second tab.
    ///
    /// # Errors
    /// [`AccountError::SessionEnded`] if the token is not, or no longer, to be used.
    pub(crate) async fn refresh(
        &self,
        token: &SecretString,
        client: Option<ClientMark>,
    ) -> Result<SignedIn, AccountError> {
        let old_hash = refresh_hash(token).ok_or(AccountError::SessionEnded)?;
        let (refresh, refresh_expires_at) = self.new_refresh()?;
        let (new_hash, now) = (refresh.digest(), self.clock.now());
        let rotation = self
            .store
            .with_system(async move |tx| {
                let client = client.map(|client| client.0);
                session::rotate_session(tx, old_hash, new_hash, now, refresh_expires_at, client).await
            })
            .await?;
        match rotation {
            Rotation::Rotated(actor) => self.signed_in(actor, refresh, refresh_expires_at),
            Rotation::Reused => {
                tracing::warn!("a refresh token was used twice: its session is ended");
                Err(AccountError::SessionEnded)
            }
            Rotation::Unknown => Err(AccountError::SessionEnded),
        }
    }

    /// Ends a session. An unknown token is no error: nobody learns which there are.
    ///
    /// # Errors
    /// [`AccountError::Store`] if the database refuses.
    pub(crate) async fn logout(&self, token: &SecretString) -> Result<(), AccountError> {
        let Some(hash) = refresh_hash(token) else {
            return Ok(());
        };
        self.store
            .with_system(async move |tx| session::revoke_session(tx, hash).await)
            .await?;
        Ok(())
    }

    /// The one-time secret of the first run, while nobody has a password yet. It is the same in every process, and
    /// the first use ends it.
    ///
    /// # Errors
    /// [`Failure`] if the database refuses.
    pub(crate) async fn setup_token(&self) -> Result<Option<SecretToken>, Failure> {
        if !self.accounts.is_on {
            return Ok(None);
        }
        let candidate = SecretToken::generate(SETUP_PREFIX)?;
        let token = self
            .store
            .with_system(async move |tx| {
                if user::has_any_password(tx).await? {
                    return Ok(None);
                }
                let candidate = candidate.expose().as_bytes();
                secret::ensure_secret(tx, SETUP_NAME, candidate).await.map(Some)
            })
            .await?;
        Ok(token.and_then(|token| SecretToken::from_bytes(&token)))
    }

    /// Makes the first account: a superadmin of the local organization. Only while nobody has a password, and only
    /// with the one-time secret.
    ///
    /// # Errors
    /// [`AccountError::SetupClosed`] if the secret is wrong or was used, [`AccountError::Invalid`] if address or
    /// password break a limit.
    pub(crate) async fn set_up(
        &self,
        token: &SecretString,
        email: &str,
        name: Option<&str>,
        password: &SecretString,
    ) -> Result<SignedIn, AccountError> {
        if !self.accounts.is_on {
            return Err(AccountError::PasswordsOff);
        }
        let email = check_email(email)?;
        check_password(password)?;
        let kept = self
            .store
            .with_system(async move |tx| secret::find_secret(tx, SETUP_NAME).await)
            .await?;
        let kept = kept.and_then(|kept| SecretToken::from_bytes(&kept));
        // Digests are compared: the time tells nothing of the secret.
        if kept.is_none_or(|kept| kept.digest() != digest(token.expose_secret())) {
            return Err(AccountError::SetupClosed);
        }
        let password_hash = self.accounts.passwords.hash(password).await?;
        let (token, name, stored) = (token.clone(), name.map(str::to_owned), password_hash.clone());
        let made = self
            .store
            .with_system(async move |tx| {
                let used = token.expose_secret().as_bytes();
                let is_first =
                    secret::delete_secret(tx, SETUP_NAME, used).await? && !user::has_any_password(tx).await?;
                if !is_first {
                    return Ok(None);
                }
                let organization_id = ensure_local_owner(tx).await?.organization_id;
                let new = NewUser {
                    organization_id,
                    email: email.clone(),
                    name: name.clone(),
                    role: Role::Superadmin,
                    password_hash: Some(stored.clone()),
                };
                user::insert_user(tx, &new).await.map(Some)
            })
            .await?;
        let actor = made.ok_or(AccountError::SetupClosed)?;
        self.begin_session(actor, password_hash).await
    }

    fn new_refresh(&self) -> Result<(SecretToken, DateTime<Utc>), AccountError> {
        let refresh = SecretToken::generate(REFRESH_PREFIX)?;
        Ok((refresh, self.clock.now() + self.accounts.refresh_lifetime))
    }

    fn signed_in(
        &self,
        actor: Actor,
        refresh: SecretToken,
        refresh_expires_at: DateTime<Utc>,
    ) -> Result<SignedIn, AccountError> {
        let lifetime = self.accounts.access_lifetime;
        Ok(SignedIn {
            actor,
            access: self.own.sign(&actor, self.clock.now(), lifetime)?,
            refresh,
            refresh_expires_at,
        })
    }
}

/// Sets a password from the command line and ends the person's sessions.
///
/// # Errors
/// [`AccountError`] if the password breaks a limit or the database refuses.
pub(crate) async fn set_password(
    store: &Store,
    actor: &Actor,
    password: &SecretString,
) -> Result<(), AccountError> {
    check_password(password)?;
    let hash = Passwords::new().hash(password).await?;
    let id = actor.user_id;
    store
        .with_system(async move |tx| {
            user::set_password_hash(tx, id, &hash).await?;
            session::revoke_sessions_of(tx, id).await
        })
        .await?;
    Ok(())
}

fn refresh_hash(token: &SecretString) -> Option<[u8; 32]> {
    let token = token.expose_secret();
    (token.len() <= MAX_REFRESH_BYTES && token.starts_with(REFRESH_PREFIX)).then(|| digest(token))
}

/// An address as it is kept: something before and after one `@`, at most 320 characters (RFC 3696, 3).
///
/// # Errors
/// [`InvalidInput`] on `email`.
pub(crate) fn check_email(email: &str) -> Result<String, InvalidInput> {
    let email = email.trim();
    let is_address = email
        .split_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
    let is_clean = !email
        .chars()
        .any(|letter| letter.is_control() || letter.is_whitespace());
    if is_address && is_clean && email.chars().count() <= 320 {
        Ok(email.to_owned())
    } else {
        Err(InvalidInput::new(
            "email",
            "must be an address such as ann@example.org",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_at_sign_and_no_spaces() {
        let check = |email: &str, is_good: bool| assert_eq!(check_email(email).is_ok(), is_good, "{email}");
        check(" ann@example.org ", true);
        check("owner@localhost", true);
        check("пётр@пример.рф", true);
        for wrong in [
            "",
            "ann",
            "@example.org",
            "ann@",
            "a@b@c",
            "a b@example.org",
            "a@exa\nmple.org",
        ] {
            check(wrong, false);
        }
        check(&format!("{}@example.org", "x".repeat(320)), false);
    }
}
