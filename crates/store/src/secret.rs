//! Secrets that the installation made for itself and that all its processes share.

use crate::error::StoreError;
use crate::statement::statements;
use crate::tx::SystemTx;
use crate::tx::sealed::Sealed;

statements! {
    INSERT_SECRET = "insert into installation_secrets (name, value) values ($1, $2) on conflict (name) do nothing";
    FIND_SECRET = "select value from installation_secrets where name = $1";
    DELETE_SECRET = "delete from installation_secrets where name = $1 and value = $2";
}

/// The secret of this name; `candidate`, 16 to 1024 random bytes, becomes it if there is none yet. Of several
/// processes that come at once, one sets it and all get the same.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn ensure_secret(tx: &mut SystemTx, name: &str, candidate: &[u8]) -> Result<Vec<u8>, StoreError> {
    sqlx::query(INSERT_SECRET)
        .bind(name)
        .bind(candidate)
        .execute(tx.connection())
        .await?;
    Ok(sqlx::query_scalar(FIND_SECRET)
        .bind(name)
        .fetch_one(tx.connection())
        .await?)
}

/// The secret of this name, if there is one.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn find_secret(tx: &mut SystemTx, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(sqlx::query_scalar(FIND_SECRET)
        .bind(name)
        .fetch_optional(tx.connection())
        .await?)
}

/// Removes a secret that has this value; whether it was there. Of several who use a one-time secret at once, one
/// gets `true`: the others wait for the first one's transaction.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn delete_secret(tx: &mut SystemTx, name: &str, value: &[u8]) -> Result<bool, StoreError> {
    let deleted = sqlx::query(DELETE_SECRET)
        .bind(name)
        .bind(value)
        .execute(tx.connection())
        .await?;
    Ok(deleted.rows_affected() == 1)
}
