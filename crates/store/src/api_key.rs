//! Keys of integrators: hashed, scoped, revocable (service 4.6).

use chrono::{DateTime, Utc};
use domain::id::{ApiKeyId, OrganizationId, UserId};
use domain::user::Actor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::audit::{self, NewAudit};
use crate::error::StoreError;
use crate::json::{from_word, to_text};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, TenantTx};
use crate::user;

statements! {
    INSERT_KEY = "insert into api_keys (id, organization_id, user_id, name, prefix, key_hash, scopes, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8)";
    GET_KEY = "select id, organization_id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at,
            revoked_at
        from api_keys where id = $1";
    LIST_KEYS = "select id, organization_id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at,
            revoked_at
        from api_keys where organization_id = $1 order by id desc";
    REVOKE_KEY = "update api_keys set revoked_at = now() where id = $1 and revoked_at is null";
    FIND_BY_HASH = "select k.id, k.organization_id, k.user_id, k.name, k.prefix, k.scopes, k.created_at, k.expires_at,
            k.last_used_at, k.revoked_at, u.role
        from api_keys k join users u on u.id = k.user_id
        where k.key_hash = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > $2)";
    TOUCH_KEY = "update api_keys set last_used_at = $2
        where id = $1 and (last_used_at is null or last_used_at < $2::timestamptz - interval '1 minute')";
}

/// What a key may be used for, within what its person may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Queries and subscriptions.
    Read,
    /// Mutations.
    Generate,
    /// What only admins may.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Read, Self::Generate, Self::Admin];

    /// The name in the database, on the command line and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Generate => "generate",
            Self::Admin => "admin",
        }
    }
}

/// A key, without what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// As whom it acts.
    pub user_id: UserId,
    /// What people call it.
    pub name: String,
    /// The beginning of the key, by which people know it again.
    pub prefix: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When somebody ended it.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A key to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiKey {
    /// What people call it, 1 to 200 characters.
    pub name: String,
    /// The beginning of the key, 1 to 40 characters.
    pub prefix: String,
    /// SHA-256 of the key.
    pub key_hash: [u8; 32],
    /// What it may be used for, at least one.
    pub scopes: Vec<Scope>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Adds a key that acts as the actor. It is written into the audit log.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn insert_api_key(tx: &mut TenantTx, new: &NewApiKey) -> Result<ApiKey, StoreError> {
    let actor = *tx.actor();
    let id = ApiKeyId::generate();
    let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.as_str()).collect();
    sqlx::query(INSERT_KEY)
        .bind(id.as_uuid())
        .bind(actor.organization_id.as_uuid())
        .bind(actor.user_id.as_uuid())
        .bind(to_text(&new.name))
        .bind(to_text(&new.prefix))
        .bind(new.key_hash.as_slice())
        .bind(scopes)
        .bind(new.expires_at)
        .execute(tx.connection())
        .await?;
    audit::insert_audit(tx, &NewAudit::new("apiKeys.create", id)).await?;
    get_key(tx, id).await
}

/// The keys of the actor's organization that the actor may see, the newest first: own ones, for admins all.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_api_keys(tx: &mut TenantTx) -> Result<Vec<ApiKey>, StoreError> {
    let organization = tx.actor().organization_id.as_uuid();
    let rows: Vec<KeyRow> = sqlx::query_as(LIST_KEYS)
        .bind(organization)
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(KeyRow::into_key).collect()
}

/// Ends a key; one that had ended stays as it is. It is written into the audit log.
///
/// # Errors
/// [`StoreError::NotFound`] if it does not exist or is invisible.
pub async fn revoke_api_key(tx: &mut TenantTx, id: ApiKeyId) -> Result<ApiKey, StoreError> {
    get_key(tx, id).await?;
    let revoked = sqlx::query(REVOKE_KEY)
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    if revoked.rows_affected() > 0 {
        audit::insert_audit(tx, &NewAudit::new("apiKeys.revoke", id)).await?;
    }
    get_key(tx, id).await
}

/// The key with this hash and its person, if it is neither revoked nor expired. Notes the use, at most once a minute.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn find_by_hash(
    tx: &mut SystemTx,
    key_hash: [u8; 32],
    now: DateTime<Utc>,
) -> Result<Option<(ApiKey, Actor)>, StoreError> {
    let row: Option<OwnedKeyRow> = sqlx::query_as(FIND_BY_HASH)
        .bind(key_hash.as_slice())
        .bind(now)
        .fetch_optional(tx.connection())
        .await?;
    let Some(row) = row else { return Ok(None) };
    let actor = user::actor(row.key.user_id, row.key.organization_id, row.role)?;
    let key = row.key.into_key()?;
    let is_fresh = key
        .last_used_at
        .is_some_and(|at| now - at < chrono::Duration::minutes(1));
    if !is_fresh {
        sqlx::query(TOUCH_KEY)
            .bind(key.id.as_uuid())
            .bind(now)
            .execute(tx.connection())
            .await?;
    }
    Ok(Some((key, actor)))
}

async fn get_key(tx: &mut TenantTx, id: ApiKeyId) -> Result<ApiKey, StoreError> {
    let row: Option<KeyRow> = sqlx::query_as(GET_KEY)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.ok_or_else(|| StoreError::NotFound {
        what: "API key",
        key: id.to_string(),
    })?
    .into_key()
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: Uuid,
    organization_id: Uuid,
    user_id: Uuid,
    name: String,
    prefix: String,
    scopes: Vec<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct OwnedKeyRow {
    #[sqlx(flatten)]
    key: KeyRow,
    role: String,
}

impl KeyRow {
    fn into_key(self) -> Result<ApiKey, StoreError> {
        let scopes = self.scopes.into_iter().map(|scope| from_word(scope, "scope"));
        Ok(ApiKey {
            id: ApiKeyId::from_uuid(self.id),
            organization_id: OrganizationId::from_uuid(self.organization_id),
            user_id: UserId::from_uuid(self.user_id),
            name: self.name,
            prefix: self.prefix,
            scopes: scopes.collect::<Result<_, _>>()?,
            created_at: self.created_at,
            expires_at: self.expires_at,
            last_used_at: self.last_used_at,
            revoked_at: self.revoked_at,
        })
    }
}
