//! Refresh tokens: each is used once and gives the next; one that comes twice was stolen and ends its whole line.
//!
//! Only SHA-256 hashes are stored: tokens are random, so that a slow hash would protect nothing more.

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{SessionId, UserId};
use domain::user::Actor;
use uuid::Uuid;

use crate::error::StoreError;
use crate::statement::statements;
use crate::tx::SystemTx;
use crate::tx::sealed::Sealed;
use crate::user;

statements! {
    INSERT_SESSION = "insert into sessions (id, user_id) values ($1, $2)";
    INSERT_TOKEN = "insert into refresh_tokens (token_hash, session_id, expires_at) values ($1, $2, $3)";
    FIND_TOKEN = "select s.id, s.revoked_at is not null as is_revoked, t.used_at, t.used_by,
            t.expires_at <= $2 as is_expired, u.id as user_id, u.organization_id, u.role
        from refresh_tokens t join sessions s on s.id = t.session_id join users u on u.id = s.user_id
        where t.token_hash = $1 for update of t, s";
    USE_TOKEN = "update refresh_tokens set used_at = $2, used_by = $3 where token_hash = $1";
    REVOKE_SESSION = "update sessions set revoked_at = now() where id = $1 and revoked_at is null";
    REVOKE_BY_TOKEN = "update sessions set revoked_at = now() where revoked_at is null
        and id = (select session_id from refresh_tokens where token_hash = $1)";
    REVOKE_OF_USER = "update sessions set revoked_at = now() where user_id = $1 and revoked_at is null";
    DELETE_EXPIRED = "delete from sessions s where not exists
            (select from refresh_tokens t where t.session_id = s.id and t.expires_at > $1)
        and not exists (select from session_cookies c where c.session_id = s.id and c.expires_at > $1)";
}

/// What became of a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was good once and is replaced by the new one.
    Rotated(Actor),
    /// It had been used before: the whole line is revoked, as one of the two users has stolen it. The transaction must
    /// be committed all the same.
    Reused,
    /// Nobody knows it, it has expired, or its line was revoked.
    Unknown,
}

/// Begins a line of refresh tokens with its first.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn insert_session(
    tx: &mut SystemTx,
    user: UserId,
    token_hash: [u8; 32],
    expires_at: DateTime<Utc>,
) -> Result<SessionId, StoreError> {
    let id = insert_empty(tx, user).await?;
    insert_token(tx, id.as_uuid(), token_hash, expires_at).await?;
    Ok(id)
}

/// A session without anything to go on with yet.
pub(crate) async fn insert_empty(tx: &mut SystemTx, user: UserId) -> Result<SessionId, StoreError> {
    let id = SessionId::generate();
    sqlx::query(INSERT_SESSION)
        .bind(id.as_uuid())
        .bind(user.as_uuid())
        .execute(tx.connection())
        .await?;
    Ok(id)
}

/// For how long the client that has used a refresh token may come with it once more. Two tabs of a browser that wake
/// together ask within a second or two; the rest is for slow networks (RFC 9700, 4.14.2, leaves it to the server).
pub const GRACE: TimeDelta = TimeDelta::seconds(10);

/// Replaces a refresh token by the next of its line. `client` is a digest of what the caller shows of itself; without it
/// there is no grace. The client that has used the token may do so again within [`GRACE`] and gets another token of the
/// same line: it is a second tab. Anybody else who comes with a used token, or the same client later, ends the line.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn rotate_session(
    tx: &mut SystemTx,
    token_hash: [u8; 32],
    new_hash: [u8; 32],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    client: Option<[u8; 32]>,
) -> Result<Rotation, StoreError> {
    let row: Option<TokenRow> = sqlx::query_as(FIND_TOKEN)
        .bind(token_hash.as_slice())
        .bind(now)
        .fetch_optional(tx.connection())
        .await?;
    let Some(row) = row else {
        return Ok(Rotation::Unknown);
    };
    if row.used_at.is_some() && !row.is_in_grace(client, now) {
        revoke_by_id(tx, SessionId::from_uuid(row.id)).await?;
        return Ok(Rotation::Reused);
    }
    if row.is_revoked || row.is_expired {
        return Ok(Rotation::Unknown);
    }
    if row.used_at.is_none() {
        sqlx::query(USE_TOKEN)
            .bind(token_hash.as_slice())
            .bind(now)
            .bind(client.as_ref().map(<[u8; 32]>::as_slice))
            .execute(tx.connection())
            .await?;
    }
    insert_token(tx, row.id, new_hash, expires_at).await?;
    Ok(Rotation::Rotated(user::actor(
        row.user_id,
        row.organization_id,
        row.role,
    )?))
}

/// Ends a session whatever it goes on with.
pub(crate) async fn revoke_by_id(tx: &mut SystemTx, id: SessionId) -> Result<(), StoreError> {
    sqlx::query(REVOKE_SESSION)
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Ends the line of a refresh token: signing out. A token that nobody knows is no error.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn revoke_session(tx: &mut SystemTx, token_hash: [u8; 32]) -> Result<(), StoreError> {
    sqlx::query(REVOKE_BY_TOKEN)
        .bind(token_hash.as_slice())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Ends all sessions of a person, those of browsers too: after a change of password.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn revoke_sessions_of(tx: &mut SystemTx, user: UserId) -> Result<(), StoreError> {
    sqlx::query(REVOKE_OF_USER)
        .bind(user.as_uuid())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Forgets sessions whose tokens and cookies have all expired. Returns how many.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn delete_expired_sessions(tx: &mut SystemTx, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let deleted = sqlx::query(DELETE_EXPIRED)
        .bind(now)
        .execute(tx.connection())
        .await?;
    Ok(deleted.rows_affected())
}

async fn insert_token(
    tx: &mut SystemTx,
    session: Uuid,
    token_hash: [u8; 32],
    expires_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(INSERT_TOKEN)
        .bind(token_hash.as_slice())
        .bind(session)
        .bind(expires_at)
        .execute(tx.connection())
        .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    id: Uuid,
    is_revoked: bool,
    used_at: Option<DateTime<Utc>>,
    used_by: Option<Vec<u8>>,
    is_expired: bool,
    user_id: Uuid,
    organization_id: Uuid,
    role: String,
}

impl TokenRow {
    /// Whether the same client has used it a moment ago.
    fn is_in_grace(&self, client: Option<[u8; 32]>, now: DateTime<Utc>) -> bool {
        let is_recent = self.used_at.is_some_and(|at| now - at <= GRACE);
        let is_same = self.used_by.as_deref() == client.as_ref().map(<[u8; 32]>::as_slice);
        is_recent && client.is_some() && is_same
    }
}
