//! Tenants.

use chrono::{DateTime, Utc};
use domain::id::{OrganizationId, UserId};
use domain::organization::Tier;
use domain::user::{Actor, Role};
use uuid::Uuid;

use crate::audit::{self, NewAudit};
use crate::error::StoreError;
use crate::json::{from_word, to_text};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, TenantTx, Tx};

/// The address of the command line's user; nothing is ever sent to it.
const LOCAL_EMAIL: &str = "owner@localhost";

statements! {
    INSERT_LOCAL_ORGANIZATION = "insert into organizations (id, name, tier, is_local) values ($1, 'Local', 'premium', true)
        on conflict (is_local) where is_local do nothing";
    INSERT_LOCAL_USER = "insert into users (id, organization_id, email, role)
        select $1, o.id, $2, 'superadmin' from organizations o where o.is_local
        on conflict (lower(email)) do nothing";
    GET_LOCAL_USER = "select u.id, u.organization_id, u.role from users u
        join organizations o on o.id = u.organization_id and o.is_local where lower(u.email) = lower($1)";
    INSERT_ORGANIZATION = "insert into organizations (id, name, tier) values ($1, $2, $3)";
    GET_ORGANIZATION = "select id, name, tier, is_local, storage_used_bytes, created_at from organizations where id = $1";
    LIST_ORGANIZATIONS = "select id, name, tier, is_local, storage_used_bytes, created_at from organizations
        where $1::uuid is null or id < $1 order by id desc limit $2";
    LOCK_ORGANIZATION = "select id, name, tier, is_local, storage_used_bytes, created_at from organizations
        where id = $1 for no key update";
    UPDATE_TIER = "update organizations set tier = $2 where id = $1";
    ENSURE_ORGANIZATION = "insert into organizations (id, name, tier) values ($1, $2, $3) on conflict (id) do nothing";
    GET_TIER = "select tier from organizations where id = $1";
    GET_TIER_OF_USER = "select case when u.role = 'superadmin' then 'premium' else o.tier end
        from users u join organizations o on o.id = u.organization_id where u.id = $1";
    GET_PRIORITY = "select s.priority from users u join organizations o on o.id = u.organization_id
        join tier_settings s on s.tier = case when u.role = 'superadmin' then 'premium' else o.tier end
        where u.id = $1";
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name, for people.
    pub name: String,
    /// Its limits and its priority.
    pub tier: Tier,
    /// Whether it is the one of the command line.
    pub is_local: bool,
    /// Bytes of its stored documents, equal ones counted once, and of uploads under way.
    pub storage_used_bytes: u64,
    /// Since when it is known.
    pub created_at: DateTime<Utc>,
}

/// The organization and the user of the command line; made at the first call.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn ensure_local_owner(tx: &mut SystemTx) -> Result<Actor, StoreError> {
    sqlx::query(INSERT_LOCAL_ORGANIZATION)
        .bind(OrganizationId::generate().as_uuid())
        .execute(tx.connection())
        .await?;
    sqlx::query(INSERT_LOCAL_USER)
        .bind(UserId::generate().as_uuid())
        .bind(LOCAL_EMAIL)
        .execute(tx.connection())
        .await?;
    let (user, organization, role): (Uuid, Uuid, String) = sqlx::query_as(GET_LOCAL_USER)
        .bind(LOCAL_EMAIL)
        .fetch_one(tx.connection())
        .await?;
    Ok(Actor {
        user_id: UserId::from_uuid(user),
        organization_id: OrganizationId::from_uuid(organization),
        role: from_word(role, "role")?,
    })
}

/// Adds a tenant.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn insert_organization(
    tx: &mut SystemTx,
    name: &str,
    tier: Tier,
) -> Result<OrganizationId, StoreError> {
    let id = OrganizationId::generate();
    sqlx::query(INSERT_ORGANIZATION)
        .bind(id.as_uuid())
        .bind(to_text(name))
        .bind(tier.as_str())
        .execute(tx.connection())
        .await?;
    Ok(id)
}

/// The tenant.
///
/// # Errors
/// [`StoreError::NotFound`] if it does not exist or is invisible.
pub async fn get_organization(tx: &mut impl Tx, id: OrganizationId) -> Result<Organization, StoreError> {
    let row: Option<OrganizationRow> = sqlx::query_as(GET_ORGANIZATION)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.ok_or_else(|| not_found(id))?.into_organization()
}

/// The tenants that may be seen, those added last first. `before` is the last id of the page before.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_organizations(
    tx: &mut impl Tx,
    before: Option<OrganizationId>,
    limit: u32,
) -> Result<Vec<Organization>, StoreError> {
    let rows: Vec<OrganizationRow> = sqlx::query_as(LIST_ORGANIZATIONS)
        .bind(before.map(OrganizationId::as_uuid))
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(OrganizationRow::into_organization).collect()
}

/// Changes the tier of a tenant.
///
/// # Errors
/// [`StoreError::NotFound`] if it does not exist.
pub async fn update_tier(tx: &mut SystemTx, id: OrganizationId, tier: Tier) -> Result<(), StoreError> {
    let updated = sqlx::query(UPDATE_TIER)
        .bind(id.as_uuid())
        .bind(tier.as_str())
        .execute(tx.connection())
        .await?;
    if updated.rows_affected() == 0 {
        Err(not_found(id))
    } else {
        Ok(())
    }
}

/// Changes the tier of a tenant on behalf of a superadmin. It is written into the audit log.
///
/// # Errors
/// [`StoreError::Forbidden`] if the actor is not a superadmin, [`StoreError::NotFound`] if it does not exist.
pub async fn set_tier(tx: &mut TenantTx, id: OrganizationId, tier: Tier) -> Result<Organization, StoreError> {
    if tx.actor().role != Role::Superadmin {
        return Err(StoreError::Forbidden(
            "only a superadmin may change the tier of an organization".to_owned(),
        ));
    }
    tx.elevate().await?;
    let before: Option<OrganizationRow> = sqlx::query_as(LOCK_ORGANIZATION)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    if before.is_some() {
        sqlx::query(UPDATE_TIER)
            .bind(id.as_uuid())
            .bind(tier.as_str())
            .execute(tx.connection())
            .await?;
    }
    tx.restore().await?;
    let before = before.ok_or_else(|| not_found(id))?.into_organization()?;
    let entry = NewAudit {
        organization_id: Some(id),
        details: serde_json::json!({"from": before.tier, "to": tier}),
        ..NewAudit::new("admin.setTier", id)
    };
    audit::insert_audit(tx, &entry).await?;
    Ok(Organization { tier, ..before })
}

/// Adds a tenant whose id was given elsewhere; one that is there already is left as it is.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn ensure_organization(
    tx: &mut SystemTx,
    id: OrganizationId,
    name: &str,
    tier: Tier,
) -> Result<Organization, StoreError> {
    sqlx::query(ENSURE_ORGANIZATION)
        .bind(id.as_uuid())
        .bind(to_text(name))
        .bind(tier.as_str())
        .execute(tx.connection())
        .await?;
    get_organization(tx, id).await
}

/// The tier of a tenant.
///
/// # Errors
/// [`StoreError::NotFound`] if it does not exist or is invisible.
pub async fn get_tier(tx: &mut impl Tx, id: OrganizationId) -> Result<Tier, StoreError> {
    let tier: Option<String> = sqlx::query_scalar(GET_TIER)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    let tier = tier.ok_or_else(|| not_found(id))?;
    from_word(tier, "tier")
}

/// The tier whose limits hold for a person: that of their organization, for superadmins the highest (service 4.3).
pub(crate) async fn get_tier_of_user(tx: &mut impl Tx, id: UserId) -> Result<Tier, StoreError> {
    let tier: String = sqlx::query_scalar(GET_TIER_OF_USER)
        .bind(id.as_uuid())
        .fetch_one(tx.connection())
        .await?;
    from_word(tier, "tier")
}

/// The queue priority of a person's jobs; higher starts first.
pub(crate) async fn get_priority(tx: &mut impl Tx, id: UserId) -> Result<i16, StoreError> {
    Ok(sqlx::query_scalar(GET_PRIORITY)
        .bind(id.as_uuid())
        .fetch_one(tx.connection())
        .await?)
}

fn not_found(id: OrganizationId) -> StoreError {
    StoreError::NotFound {
        what: "organization",
        key: id.to_string(),
    }
}

#[derive(sqlx::FromRow)]
struct OrganizationRow {
    id: Uuid,
    name: String,
    tier: String,
    is_local: bool,
    storage_used_bytes: i64,
    created_at: DateTime<Utc>,
}

impl OrganizationRow {
    fn into_organization(self) -> Result<Organization, StoreError> {
        Ok(Organization {
            id: OrganizationId::from_uuid(self.id),
            name: self.name,
            tier: from_word(self.tier, "tier")?,
            is_local: self.is_local,
            storage_used_bytes: self.storage_used_bytes.cast_unsigned(),
            created_at: self.created_at,
        })
    }
}
