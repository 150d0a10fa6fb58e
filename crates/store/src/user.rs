//! People and their passwords.

use chrono::{DateTime, Utc};
use domain::id::{OrganizationId, UserId};
use domain::user::{Actor, Role};
use uuid::Uuid;

use crate::audit::{self, NewAudit};
use crate::error::StoreError;
use crate::json::{from_word, to_text};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, Tx};

statements! {
    INSERT_USER = "insert into users (id, organization_id, email, name, role) values ($1, $2, $3, $4, $5)";
    GET_USER = "select id, organization_id, email, name, role, created_at from users where id = $1";
    LIST_USERS = "select id, organization_id, email, name, role, created_at from users
        where ($1::uuid is null or organization_id = $1) and ($2::uuid is null or id < $2) order by id desc limit $3";
    SET_ROLE = "update users set role = $2, role_source = 'local' where id = $1";
    SET_PASSWORD = "insert into credentials (user_id, password_hash) values ($1, $2)
        on conflict (user_id) do update set password_hash = excluded.password_hash";
    FIND_CREDENTIALS = "select u.id, u.organization_id, u.role, c.password_hash from users u
        left join credentials c on c.user_id = u.id where lower(u.email) = lower($1)";
    CONFIRM_PASSWORD = "select true from credentials where user_id = $1 and password_hash = $2 for share";
    FIND_ACTOR = "select id, organization_id, role from users where id = $1";
    ENSURE_ORGANIZATION = "insert into organizations (id, name) values ($1, $2) on conflict (id) do nothing";
    ENSURE_USER = "insert into users (id, organization_id, email, role, role_source) values ($1, $2, $3, $4, 'provider')
        on conflict (id) do nothing";
    FOLLOW_USER = "select app.follow_provider($1, $2, $3)";
    HAS_ANY_PASSWORD = "select exists (select from credentials)";
}

/// A person in one organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their organization.
    pub organization_id: OrganizationId,
    /// Their address, unique in the installation without regard to case.
    pub email: String,
    /// What they are called.
    pub name: Option<String>,
    /// Their role in the organization.
    pub role: Role,
    /// Since when they are known.
    pub created_at: DateTime<Utc>,
}

/// A person to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// Their organization.
    pub organization_id: OrganizationId,
    /// Their address.
    pub email: String,
    /// What they are called.
    pub name: Option<String>,
    /// Their role.
    pub role: Role,
    /// Argon2id in PHC form; `None`: they sign in elsewhere, or cannot yet.
    pub password_hash: Option<String>,
}

/// What signing in by password is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Who it is, once the password is right.
    pub actor: Actor,
    /// Argon2id in PHC form; `None`: this person has no password here.
    pub password_hash: Option<String>,
}

/// A person as a token of an identity provider names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownUser {
    /// Their id there and here.
    pub user_id: UserId,
    /// Their organization's id there and here.
    pub organization_id: OrganizationId,
    /// Their address, if the provider tells one and knows that it is theirs.
    pub email: Option<String>,
    /// Their role, which the provider decides unless it was set here.
    pub role: Role,
}

/// Adds a person.
///
/// # Errors
/// [`StoreError::Conflict`] if the address is taken, [`StoreError::NotFound`] if the organization does not exist.
pub async fn insert_user(tx: &mut SystemTx, new: &NewUser) -> Result<Actor, StoreError> {
    let user_id = UserId::generate();
    sqlx::query(INSERT_USER)
        .bind(user_id.as_uuid())
        .bind(new.organization_id.as_uuid())
        .bind(to_text(&new.email))
        .bind(new.name.as_deref().map(to_text))
        .bind(new.role.as_str())
        .execute(tx.connection())
        .await?;
    if let Some(hash) = &new.password_hash {
        set_password_hash(tx, user_id, hash).await?;
    }
    Ok(Actor {
        user_id,
        organization_id: new.organization_id,
        role: new.role,
    })
}

/// The person.
///
/// # Errors
/// [`StoreError::NotFound`] if they do not exist or are invisible.
pub async fn get_user(tx: &mut impl Tx, id: UserId) -> Result<User, StoreError> {
    let row: Option<UserRow> = sqlx::query_as(GET_USER)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.ok_or_else(|| not_found(id))?.into_user()
}

/// People, those added last first; of one organization, or of all that may be seen. `before` is the last id of the
/// page before.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_users(
    tx: &mut impl Tx,
    organization: Option<OrganizationId>,
    before: Option<UserId>,
    limit: u32,
) -> Result<Vec<User>, StoreError> {
    let rows: Vec<UserRow> = sqlx::query_as(LIST_USERS)
        .bind(organization.map(OrganizationId::as_uuid))
        .bind(before.map(UserId::as_uuid))
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(UserRow::into_user).collect()
}

/// Changes what a person may do. Admins may in their organization, superadmins everywhere; only superadmins make or
/// unmake superadmins. From then on, tokens of an identity provider do not change it. It is written into the audit log.
///
/// # Errors
/// [`StoreError::NotFound`] if the person is invisible, [`StoreError::Forbidden`] if the actor may not,
/// [`StoreError::Conflict`] if it is the last superadmin.
pub async fn set_role(tx: &mut impl Tx, id: UserId, role: Role) -> Result<User, StoreError> {
    let before = get_user(tx, id).await?;
    let changed = sqlx::query(SET_ROLE)
        .bind(id.as_uuid())
        .bind(role.as_str())
        .execute(tx.connection())
        .await?;
    if changed.rows_affected() == 0 {
        return Err(StoreError::Forbidden(
            "only an admin may change the role of a person".to_owned(),
        ));
    }
    let entry = NewAudit {
        action: "user.set_role".to_owned(),
        target: id.to_string(),
        organization_id: Some(before.organization_id),
        details: serde_json::json!({"from": before.role, "to": role}),
    };
    audit::insert_audit(tx, &entry).await?;
    Ok(User { role, ..before })
}

/// Sets the password of a person.
///
/// # Errors
/// [`StoreError::NotFound`] if they do not exist.
pub async fn set_password_hash(tx: &mut SystemTx, id: UserId, password_hash: &str) -> Result<(), StoreError> {
    sqlx::query(SET_PASSWORD)
        .bind(id.as_uuid())
        .bind(password_hash)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// What signing in with this address is checked against. Whoever asks must take the same time when there is nobody.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn find_credentials(tx: &mut SystemTx, email: &str) -> Result<Option<Credentials>, StoreError> {
    let row: Option<(Uuid, Uuid, String, Option<String>)> = sqlx::query_as(FIND_CREDENTIALS)
        .bind(to_text(email))
        .fetch_optional(tx.connection())
        .await?;
    row.map(|(user, organization, role, password_hash)| {
        Ok(Credentials {
            actor: actor(user, organization, role)?,
            password_hash,
        })
    })
    .transpose()
}

/// Whether the password with this hash is still the person's. It stays so until the transaction ends: a session that is
/// begun in it is among those that a new password ends.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn confirm_password(
    tx: &mut SystemTx,
    id: UserId,
    password_hash: &str,
) -> Result<bool, StoreError> {
    let found: Option<bool> = sqlx::query_scalar(CONFIRM_PASSWORD)
        .bind(id.as_uuid())
        .bind(password_hash)
        .fetch_optional(tx.connection())
        .await?;
    Ok(found.is_some())
}

/// The person with the role that they have now.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn find_actor(tx: &mut SystemTx, id: UserId) -> Result<Option<Actor>, StoreError> {
    let row: Option<(Uuid, Uuid, String)> = sqlx::query_as(FIND_ACTOR)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.map(|(user, organization, role)| actor(user, organization, role))
        .transpose()
}

/// The person of a token that an identity provider has signed: adds them and their organization if they are new, and
/// follows the provider in their address and, if they were never given one here, in their role. The last superadmin stays
/// one, and an address that somebody else has is not taken: neither keeps anybody out who is known.
///
/// # Errors
/// [`StoreError::Forbidden`] if they are known in another organization, [`StoreError::Conflict`] if they are new and
/// somebody else has their address.
pub async fn ensure_user(tx: &mut SystemTx, known: &KnownUser) -> Result<Actor, StoreError> {
    if find_actor(tx, known.user_id).await?.is_none() {
        sqlx::query(ENSURE_ORGANIZATION)
            .bind(known.organization_id.as_uuid())
            .bind(format!("Organization {}", known.organization_id))
            .execute(tx.connection())
            .await?;
        sqlx::query(ENSURE_USER)
            .bind(known.user_id.as_uuid())
            .bind(known.organization_id.as_uuid())
            .bind(address_of(known))
            .bind(known.role.as_str())
            .execute(tx.connection())
            .await?;
    }
    let found = find_actor(tx, known.user_id)
        .await?
        .ok_or_else(|| not_found(known.user_id))?;
    if found.organization_id != known.organization_id {
        return Err(StoreError::Forbidden(
            "this person belongs to another organization".to_owned(),
        ));
    }
    let role: String = sqlx::query_scalar(FOLLOW_USER)
        .bind(known.user_id.as_uuid())
        .bind(known.role.as_str())
        .bind(known.email.as_deref().map(to_text))
        .fetch_one(tx.connection())
        .await?;
    Ok(Actor {
        role: from_word(role, "role")?,
        ..found
    })
}

/// Where addresses end that nobody has (RFC 2606): for people of whom no address is known.
const NO_MAIL: &str = "users.invalid";

/// The address of a new person.
fn address_of(known: &KnownUser) -> String {
    known
        .email
        .as_deref()
        .map_or_else(|| format!("{}@{NO_MAIL}", known.user_id), to_text)
}

/// Whether anybody can sign in by password: false at the first run.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn has_any_password(tx: &mut SystemTx) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(HAS_ANY_PASSWORD)
        .fetch_one(tx.connection())
        .await?)
}

pub(crate) fn actor(user: Uuid, organization: Uuid, role: String) -> Result<Actor, StoreError> {
    Ok(Actor {
        user_id: UserId::from_uuid(user),
        organization_id: OrganizationId::from_uuid(organization),
        role: from_word(role, "role")?,
    })
}

fn not_found(id: UserId) -> StoreError {
    StoreError::NotFound {
        what: "user",
        key: id.to_string(),
    }
}

#[derive(sqlx::FromRow)]
struct UserRow {
    id: Uuid,
    organization_id: Uuid,
    email: String,
    name: Option<String>,
    role: String,
    created_at: DateTime<Utc>,
}

impl UserRow {
    fn into_user(self) -> Result<User, StoreError> {
        Ok(User {
            id: UserId::from_uuid(self.id),
            organization_id: OrganizationId::from_uuid(self.organization_id),
            email: self.email,
            name: self.name,
            role: from_word(self.role, "role")?,
            created_at: self.created_at,
        })
    }
}
