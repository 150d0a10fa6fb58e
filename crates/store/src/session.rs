//! Refresh tokens: each is used once and gives the next; one that comes twice was stolen and ends its whole line.
//!
//! Only SHA-256 hashes are stored: tokens are random, so that a slow hash would protect nothing more.

use chrono::{DateTime, Utc};
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
    FIND_TOKEN = "select s.id, s.revoked_at is not null as is_revoked, t.used_at is not null as is_used,
            t.expires_at <= $2 as is_expired, u.id as user_id, u.organization_id, u.role
        from refresh_tokens t join sessions s on s.id = t.session_id join users u on u.id = s.user_id
        where t.token_hash = $1 for update of t, s";
    USE_TOKEN = "update refresh_tokens set used_at = $2 where token_hash = $1";
    REVOKE_SESSION = "update sessions set revoked_at = now() where id = $1 and revoked_at is null";
    REVOKE_BY_TOKEN = "update sessions set revoked_at = now() where revoked_at is null
        and id = (select session_id from refresh_tokens where token_hash = $1)";
    REVOKE_OF_USER = "update sessions set revoked_at = now() where user_id = $1 and revoked_at is null";
    DELETE_EXPIRED = "delete from sessions s where not exists
        (select from refresh_tokens t where t.session_id = s.id and t.expires_at > $1)";
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
    let id = SessionId::generate();
    sqlx::query(INSERT_SESSION)
        .bind(id.as_uuid())
        .bind(user.as_uuid())
        .execute(tx.connection())
        .await?;
    insert_token(tx, id.as_uuid(), token_hash, expires_at).await?;
    Ok(id)
}

/// Replaces a refresh token by the next of its line. Of two that come at once with the same token, one is told that
/// it was reused.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn rotate_session(
    tx: &mut SystemTx,
    token_hash: [u8; 32],
    new_hash: [u8; 32],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<Rotation, StoreError> {
    let row: Option<TokenRow> = sqlx::query_as(FIND_TOKEN)
        .bind(token_hash.as_slice())
        .bind(now)
        .fetch_optional(tx.connection())
        .await?;
    let Some(row) = row else {
        return Ok(Rotation::Unknown);
    };
    if row.is_used {
        sqlx::query(REVOKE_SESSION)
            .bind(row.id)
            .execute(tx.connection())
            .await?;
        return Ok(Rotation::Reused);
    }
    if row.is_revoked || row.is_expired {
        return Ok(Rotation::Unknown);
    }
    sqlx::query(USE_TOKEN)
        .bind(token_hash.as_slice())
        .bind(now)
        .execute(tx.connection())
        .await?;
    insert_token(tx, row.id, new_hash, expires_at).await?;
    Ok(Rotation::Rotated(user::actor(
        row.user_id,
        row.organization_id,
        row.role,
    )?))
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

/// Ends all lines of a person: after a change of password.
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

/// Forgets lines whose tokens have all expired. Returns how many.
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
    is_used: bool,
    is_expired: bool,
    user_id: Uuid,
    organization_id: Uuid,
    role: String,
}
