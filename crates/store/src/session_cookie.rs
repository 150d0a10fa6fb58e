//! Cookies of browsers: each belongs to a session and is exchanged for a new one now and then.
//!
//! A browser sends several requests at once, and an answer may get lost with the connection. So a cookie that was
//! exchanged stays good until its successor first comes, and for a short grace after that; whoever comes with it
//! later has stolen it or was robbed, and the session ends for both. Only SHA-256 hashes are stored.

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{SessionId, UserId};
use domain::user::Actor;
use uuid::Uuid;

use crate::error::StoreError;
use crate::session;
use crate::statement::statements;
use crate::tx::SystemTx;
use crate::tx::sealed::Sealed;
use crate::user;

statements! {
    INSERT_COOKIE = "insert into session_cookies (token_hash, session_id, issued_at, expires_at) values ($1, $2, $3, $4)";
    // Requests of one session that come at once are looked at one after the other. A statement of its own: whoever waits
    // for a row inside a join sees the other tables as they were before the wait.
    LOCK_SESSION = "select from sessions where id = (select session_id from session_cookies where token_hash = $1) for update";
    USE_COOKIE = "select s.id, s.revoked_at is not null as is_revoked, c.issued_at, c.expires_at, c.replaced_at,
            c.seen_at, c.superseded_at, u.id as user_id, u.organization_id, u.role
        from session_cookies c join sessions s on s.id = c.session_id join users u on u.id = s.user_id
        where c.token_hash = $1";
    FIND_ACTOR = "select u.id, u.organization_id, u.role
        from session_cookies c join sessions s on s.id = c.session_id join users u on u.id = s.user_id
        where c.token_hash = $1 and s.revoked_at is null";
    NOTE_SEEN = "update session_cookies set seen_at = $2 where token_hash = $1";
    SUPERSEDE_OTHERS = "update session_cookies set superseded_at = $3
        where session_id = $1 and token_hash <> $2 and superseded_at is null";
    NOTE_REPLACED = "update session_cookies set replaced_at = $2 where token_hash = $1";
    DELETE_EXPIRED_OF = "delete from session_cookies where session_id = $1 and expires_at <= $2";
    REVOKE_BY_COOKIE = "update sessions set revoked_at = now() where revoked_at is null
        and id = (select session_id from session_cookies where token_hash = $1)";
}

/// A cookie to hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewCookie {
    /// SHA-256 of what the browser will hold.
    pub token_hash: [u8; 32],
    /// Until when it is accepted.
    pub expires_at: DateTime<Utc>,
}

/// How cookies are exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieRules {
    /// A cookie of this age is exchanged.
    pub exchanged_after: TimeDelta,
    /// For how long requests that were under way may still come with the old one.
    pub grace: TimeDelta,
}

/// What became of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieUse {
    /// It is good.
    Known(Actor),
    /// It is good, and from now on the new one is to be used.
    Exchanged(Actor),
    /// A younger one of its session was in use already: the session is ended, as one of the two users has stolen it.
    /// The transaction must be committed all the same.
    Reused,
    /// Nobody knows it, it has expired, or its session was revoked.
    Unknown,
}

/// Begins the session of a browser with its first cookie.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn insert_cookie_session(
    tx: &mut SystemTx,
    user: UserId,
    cookie: NewCookie,
    now: DateTime<Utc>,
) -> Result<SessionId, StoreError> {
    let id = session::insert_empty(tx, user).await?;
    insert_cookie(tx, id.as_uuid(), cookie, now).await?;
    Ok(id)
}

/// Notes that a browser came with a cookie and says whose it is. Where the answer can carry a new one, `next` is it, and
/// it is handed out if the cookie is old enough.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn use_cookie(
    tx: &mut SystemTx,
    token_hash: [u8; 32],
    next: Option<NewCookie>,
    rules: CookieRules,
    now: DateTime<Utc>,
) -> Result<CookieUse, StoreError> {
    sqlx::query(LOCK_SESSION)
        .bind(token_hash.as_slice())
        .execute(tx.connection())
        .await?;
    let row: Option<CookieRow> = sqlx::query_as(USE_COOKIE)
        .bind(token_hash.as_slice())
        .fetch_optional(tx.connection())
        .await?;
    let Some(row) = row.filter(|row| !row.is_revoked && row.expires_at > now) else {
        return Ok(CookieUse::Unknown);
    };
    if row.superseded_at.is_some_and(|at| at + rules.grace <= now) {
        session::revoke_by_id(tx, SessionId::from_uuid(row.id)).await?;
        return Ok(CookieUse::Reused);
    }
    let actor = user::actor(row.user_id, row.organization_id, row.role)?;
    if row.superseded_at.is_some() {
        return Ok(CookieUse::Known(actor));
    }
    if row.seen_at.is_none() {
        sqlx::query(NOTE_SEEN)
            .bind(token_hash.as_slice())
            .bind(now)
            .execute(tx.connection())
            .await?;
        sqlx::query(SUPERSEDE_OTHERS)
            .bind(row.id)
            .bind(token_hash.as_slice())
            .bind(now)
            .execute(tx.connection())
            .await?;
    }
    let is_old = row.issued_at + rules.exchanged_after <= now;
    // Of requests at once one gets the successor; if its answer was lost, the next one after the grace does.
    let has_successor = row.replaced_at.is_some_and(|at| at + rules.grace > now);
    let Some(next) = next.filter(|_| is_old && !has_successor) else {
        return Ok(CookieUse::Known(actor));
    };
    sqlx::query(NOTE_REPLACED)
        .bind(token_hash.as_slice())
        .bind(now)
        .execute(tx.connection())
        .await?;
    insert_cookie(tx, row.id, next, now).await?;
    sqlx::query(DELETE_EXPIRED_OF)
        .bind(row.id)
        .bind(now)
        .execute(tx.connection())
        .await?;
    Ok(CookieUse::Exchanged(actor))
}

/// Whose session a cookie was handed out for, as long as that is not ended: for streams that began with a cookie and
/// go on while it is exchanged.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn find_cookie_actor(tx: &mut SystemTx, token_hash: [u8; 32]) -> Result<Option<Actor>, StoreError> {
    let row: Option<(Uuid, Uuid, String)> = sqlx::query_as(FIND_ACTOR)
        .bind(token_hash.as_slice())
        .fetch_optional(tx.connection())
        .await?;
    row.map(|(user, organization, role)| user::actor(user, organization, role))
        .transpose()
}

/// Ends the session of a cookie: signing out. A cookie that nobody knows is no error.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn revoke_cookie_session(tx: &mut SystemTx, token_hash: [u8; 32]) -> Result<(), StoreError> {
    sqlx::query(REVOKE_BY_COOKIE)
        .bind(token_hash.as_slice())
        .execute(tx.connection())
        .await?;
    Ok(())
}

async fn insert_cookie(
    tx: &mut SystemTx,
    session: Uuid,
    cookie: NewCookie,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(INSERT_COOKIE)
        .bind(cookie.token_hash.as_slice())
        .bind(session)
        .bind(now)
        .bind(cookie.expires_at)
        .execute(tx.connection())
        .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct CookieRow {
    id: Uuid,
    is_revoked: bool,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    replaced_at: Option<DateTime<Utc>>,
    seen_at: Option<DateTime<Utc>>,
    superseded_at: Option<DateTime<Utc>>,
    user_id: Uuid,
    organization_id: Uuid,
    role: String,
}
