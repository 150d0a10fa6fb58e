//! Tenants and people.

use domain::id::{OrganizationId, UserId};
use domain::organization::Tier;
use domain::user::{Actor, Role};
use uuid::Uuid;

use crate::error::StoreError;
use crate::json::from_word;
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, Tx};

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
    INSERT_USER = "insert into users (id, organization_id, email, role) values ($1, $2, $3, $4)";
    GET_TIER = "select tier from organizations where id = $1";
    GET_PRIORITY = "select s.priority from organizations o join tier_settings s on s.tier = o.tier where o.id = $1";
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
        .bind(name)
        .bind(tier.as_str())
        .execute(tx.connection())
        .await?;
    Ok(id)
}

/// Adds a person to a tenant.
///
/// # Errors
/// [`StoreError`] if the organization does not exist or the address is taken.
pub async fn insert_user(
    tx: &mut SystemTx,
    organization_id: OrganizationId,
    email: &str,
    role: Role,
) -> Result<Actor, StoreError> {
    let user_id = UserId::generate();
    sqlx::query(INSERT_USER)
        .bind(user_id.as_uuid())
        .bind(organization_id.as_uuid())
        .bind(email)
        .bind(role.as_str())
        .execute(tx.connection())
        .await?;
    Ok(Actor {
        user_id,
        organization_id,
        role,
    })
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
    let tier = tier.ok_or_else(|| StoreError::NotFound {
        what: "organization",
        key: id.to_string(),
    })?;
    from_word(tier, "tier")
}

/// The queue priority of a tenant's jobs; higher starts first.
pub(crate) async fn get_priority(tx: &mut impl Tx, id: OrganizationId) -> Result<i16, StoreError> {
    Ok(sqlx::query_scalar(GET_PRIORITY)
        .bind(id.as_uuid())
        .fetch_one(tx.connection())
        .await?)
}
