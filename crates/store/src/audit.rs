//! The audit log: who did what (service 4.6).

use chrono::{DateTime, Utc};
use domain::id::{OrganizationId, UserId};
use serde_json::Value;
use uuid::Uuid;

use crate::error::StoreError;
use crate::json::{to_json, to_text};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{TenantTx, Tx};

statements! {
    INSERT_AUDIT = "select app.record_audit($1, $2, $3, $4)";
    LIST_AUDIT = "select id, actor_id, actor_role, organization_id, action, target, details, at from audit_log
        where $1::bigint is null or id < $1 order by id desc limit $2";
}

/// Something that was done, to be written down. The person is the transaction's actor; of a
/// [`crate::tx::SystemTx`], the program.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAudit {
    /// What was done, named like procedures, for example `user.set_role`. At most 100 characters.
    pub action: String,
    /// To what, at most 500 characters: an id or a name.
    pub target: String,
    /// In whose organization; `None`: the actor's.
    pub organization_id: Option<OrganizationId>,
    /// Anything else, as an object. Never secrets.
    pub details: Value,
}

impl NewAudit {
    /// An entry in the actor's organization, without details.
    #[expect(clippy::needless_pass_by_value, reason = "ids are given as they are")]
    pub fn new(action: &str, target: impl ToString) -> Self {
        Self {
            action: action.to_owned(),
            target: target.to_string(),
            organization_id: None,
            details: Value::Object(serde_json::Map::new()),
        }
    }
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Its number, rising.
    pub id: i64,
    /// Who did it; `None`: the program or the command line.
    pub actor_id: Option<UserId>,
    /// In which role; `system` for the program.
    pub actor_role: String,
    /// In which organization.
    pub organization_id: Option<OrganizationId>,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
    /// Anything else.
    pub details: Value,
    /// When.
    pub at: DateTime<Utc>,
}

/// Writes an entry. A superadmin's also becomes an event `superadmin_action`. Returns its number.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn insert_audit(tx: &mut impl Tx, entry: &NewAudit) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(INSERT_AUDIT)
        .bind(entry.organization_id.map(OrganizationId::as_uuid))
        .bind(to_text(&entry.action))
        .bind(to_text(&entry.target))
        .bind(to_json(&entry.details, "audit details")?)
        .fetch_one(tx.connection())
        .await?)
}

/// The entries that the actor may see, the latest first: admins those of their organization, superadmins all.
/// `before` is the last number of the page before.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_audit(
    tx: &mut TenantTx,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<AuditEntry>, StoreError> {
    let rows: Vec<AuditRow> = sqlx::query_as(LIST_AUDIT)
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    Ok(rows.into_iter().map(AuditRow::into_entry).collect())
}

#[derive(sqlx::FromRow)]
struct AuditRow {
    id: i64,
    actor_id: Option<Uuid>,
    actor_role: String,
    organization_id: Option<Uuid>,
    action: String,
    target: String,
    details: Value,
    at: DateTime<Utc>,
}

impl AuditRow {
    fn into_entry(self) -> AuditEntry {
        AuditEntry {
            id: self.id,
            actor_id: self.actor_id.map(UserId::from_uuid),
            actor_role: self.actor_role,
            organization_id: self.organization_id.map(OrganizationId::from_uuid),
            action: self.action,
            target: self.target,
            details: self.details,
            at: self.at,
        }
    }
}
