//! Sessions of browsers: an opaque cookie that is good for nothing but finding the session.
//!
//! The same accounts, limits of tries and rules of reuse as those of refresh tokens; cookies differ in that a browser
//! sends several requests at once and cannot be told to keep an answer, so that an exchanged one has a short grace
//! (`store::session_cookie`).

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use domain::user::Actor;
use secrecy::{ExposeSecret, SecretString};
use store::session_cookie::{self, CookieRules, CookieUse, NewCookie};
use store::user;

use super::Authenticator;
use super::rejection::{AuthError, Rejection};
use super::secret_token::{NoRandomness, SecretToken, digest};
use super::session::AccountError;

/// What cookies of sessions begin with.
const COOKIE_PREFIX: &str = "cwc_";
/// The longest cookie that is looked at, in bytes.
const MAX_COOKIE_BYTES: usize = 128;
/// For how long requests that were under way may come with an exchanged cookie. Longer than any request lasts (30 s),
/// so that a slow network makes nobody a thief.
const GRACE: TimeDelta = TimeDelta::seconds(60);

/// A cookie to send to the browser.
#[derive(Debug)]
pub(crate) struct FreshCookie {
    /// What the browser keeps.
    pub(crate) value: SecretToken,
    /// For how long it is accepted.
    pub(crate) lifetime: TimeDelta,
}

/// Who came with a cookie.
#[derive(Debug)]
pub(crate) struct Visitor {
    /// On whose behalf the browser acts.
    pub(crate) actor: Actor,
    /// The cookie that takes the place of the one that came.
    pub(crate) fresh: Option<FreshCookie>,
}

impl Authenticator {
    /// Signs somebody in at a browser: always with a new session and a new cookie, whatever the browser brought.
    ///
    /// # Errors
    /// As [`Authenticator::login`].
    pub(crate) async fn login_browser(
        &self,
        email: &str,
        password: &SecretString,
        address: Option<IpAddr>,
    ) -> Result<Visitor, AccountError> {
        let (actor, password_hash) = self.check_login(email, password, address).await?;
        let fresh = self.fresh_cookie()?;
        let now = self.clock.now();
        let cookie = stored(&fresh, now);
        self.store
            .with_system(async move |tx| {
                if !user::confirm_password(tx, actor.user_id, &password_hash).await? {
                    return Ok(None);
                }
                let begun = session_cookie::insert_cookie_session(tx, actor.user_id, cookie, now).await;
                begun.map(Some)
            })
            .await?
            .ok_or(AccountError::WrongCredentials)?;
        Ok(Visitor {
            actor,
            fresh: Some(fresh),
        })
    }

    /// Whose a cookie is, for an answer that can carry a new one: after the lifetime of an access token it does.
    ///
    /// # Errors
    /// [`AuthError::Rejected`] if it is not, or no longer, that of a session.
    pub(crate) async fn visit(&self, cookie: &SecretString) -> Result<Visitor, AuthError> {
        let next = self.fresh_cookie()?;
        let (actor, is_exchanged) = self.use_cookie(cookie, Some(&next)).await?;
        Ok(Visitor {
            actor,
            fresh: is_exchanged.then_some(next),
        })
    }

    /// Whose a cookie is, for an answer that carries no cookies.
    ///
    /// # Errors
    /// As [`Authenticator::visit`].
    pub(crate) async fn identify_browser(&self, cookie: &SecretString) -> Result<Actor, AuthError> {
        let (actor, _) = self.use_cookie(cookie, None).await?;
        Ok(actor)
    }

    /// Whose session a cookie was handed out for, for a stream that began with it: meanwhile the browser may have got a
    /// newer one.
    ///
    /// # Errors
    /// [`AuthError::Rejected`] if the session was ended.
    pub(crate) async fn follow_browser(&self, cookie: &SecretString) -> Result<Actor, AuthError> {
        let hash = cookie_hash(cookie).ok_or(Rejection::Session)?;
        let found = self
            .store
            .with_system(async move |tx| session_cookie::find_cookie_actor(tx, hash).await)
            .await?;
        Ok(found.ok_or(Rejection::Session)?)
    }

    /// Ends the session of a cookie. An unknown one is no error: nobody learns which there are.
    ///
    /// # Errors
    /// [`AccountError::Store`] if the database refuses.
    pub(crate) async fn logout_browser(&self, cookie: &SecretString) -> Result<(), AccountError> {
        let Some(hash) = cookie_hash(cookie) else {
            return Ok(());
        };
        self.store
            .with_system(async move |tx| session_cookie::revoke_cookie_session(tx, hash).await)
            .await?;
        Ok(())
    }

    async fn use_cookie(
        &self,
        cookie: &SecretString,
        next: Option<&FreshCookie>,
    ) -> Result<(Actor, bool), AuthError> {
        let hash = cookie_hash(cookie).ok_or(Rejection::Session)?;
        let now = self.clock.now();
        let next = next.map(|next| stored(next, now));
        let rules = CookieRules {
            exchanged_after: self.accounts.access_lifetime(),
            grace: GRACE,
        };
        let used = self
            .store
            .with_system(async move |tx| session_cookie::use_cookie(tx, hash, next, rules, now).await)
            .await?;
        match used {
            CookieUse::Known(actor) => Ok((actor, false)),
            CookieUse::Exchanged(actor) => Ok((actor, true)),
            CookieUse::Reused => {
                tracing::warn!("an exchanged cookie came again: its session is ended");
                Err(Rejection::Session.into())
            }
            CookieUse::Unknown => Err(Rejection::Session.into()),
        }
    }

    fn fresh_cookie(&self) -> Result<FreshCookie, NoRandomness> {
        Ok(FreshCookie {
            value: SecretToken::generate(COOKIE_PREFIX)?,
            lifetime: self.accounts.refresh_lifetime(),
        })
    }
}

/// What is kept of a cookie.
fn stored(cookie: &FreshCookie, now: DateTime<Utc>) -> NewCookie {
    NewCookie {
        token_hash: cookie.value.digest(),
        expires_at: now + cookie.lifetime,
    }
}

fn cookie_hash(cookie: &SecretString) -> Option<[u8; 32]> {
    let cookie = cookie.expose_secret();
    (cookie.len() <= MAX_COOKIE_BYTES && cookie.starts_with(COOKIE_PREFIX)).then(|| digest(cookie))
}
