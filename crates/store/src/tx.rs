//! Transactions: the only ways to a connection.
//!
//! A [`TenantTx`] acts for a person: row-level security decides what it sees. A [`SystemTx`] acts for the program
//! itself, across tenants. Connections at rest have the role `anon`, which may do nothing, so a statement outside
//! of both fails instead of reading everything.

use std::sync::Arc;
use std::time::Duration;

use domain::id::OrganizationId;
use domain::user::{Actor, Role};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Connection, Postgres, Transaction};

use crate::error::StoreError;
use crate::hint::{Hint, HintSender, Hints};
use crate::stable::StableIds;
use crate::vector::Vectors;

/// Waits between tries of a transaction that failed for a passing reason (service 4.2).
pub(crate) const RETRY_WAITS: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];

/// Counts the tries of a transaction that is written in place, where [`crate::Store::with_system`] cannot be used.
#[derive(Debug)]
pub struct Tries(std::slice::Iter<'static, Duration>);

impl Default for Tries {
    fn default() -> Self {
        Self(RETRY_WAITS.iter())
    }
}

impl Tries {
    /// What came of the last try, or `None` after a wait: then the transaction must be run again.
    pub async fn settle<T>(&mut self, outcome: Result<T, StoreError>) -> Option<Result<T, StoreError>> {
        if let Err(error) = &outcome
            && error.is_transient()
            && let Some(wait) = self.0.next()
        {
            tracing::warn!(%error, wait_ms = wait.as_millis(), "a transaction is tried again");
            tokio::time::sleep(*wait).await;
            return None;
        }
        Some(outcome)
    }
}

/// A transaction on behalf of a person. Dropped without [`TenantTx::commit`], it is rolled back.
#[derive(Debug)]
pub struct TenantTx {
    inner: Transaction<'static, Postgres>,
    actor: Actor,
    hints: Hints,
    vectors: Arc<Vectors>,
    ids: StableIds,
}

/// A transaction of the program itself. Dropped without [`SystemTx::commit`], it is rolled back.
#[derive(Debug)]
pub struct SystemTx {
    inner: Transaction<'static, Postgres>,
    hints: Hints,
    vectors: Arc<Vectors>,
}

/// A transaction of either kind, for queries that make sense in both.
pub trait Tx: sealed::Sealed + Send {}

impl Tx for TenantTx {}
impl Tx for SystemTx {}

pub(crate) mod sealed {
    use std::sync::Arc;

    use sqlx::postgres::PgConnection;

    use crate::error::StoreError;
    use crate::vector::Vectors;

    /// Keeps the connection inside this crate.
    pub trait Sealed {
        /// The connection.
        fn connection(&mut self) -> &mut PgConnection;
        /// Notes what the others shall hear of once this is committed.
        fn hint(&mut self, hint: crate::hint::Hint);
        /// What the process knows for searching vectors.
        fn vectors(&self) -> &Arc<Vectors>;
        /// Goes on as the program itself, to rank what the person was found to see.
        fn begin_ranking(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;
        /// Ends [`Sealed::begin_ranking`]. After an error it is not needed: the transaction can only be rolled back.
        fn end_ranking(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;
    }
}

impl sealed::Sealed for TenantTx {
    fn connection(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    fn hint(&mut self, hint: Hint) {
        self.hints.add(hint);
    }

    fn vectors(&self) -> &Arc<Vectors> {
        &self.vectors
    }

    async fn begin_ranking(&mut self) -> Result<(), StoreError> {
        self.elevate().await
    }

    async fn end_ranking(&mut self) -> Result<(), StoreError> {
        self.restore().await
    }
}

impl sealed::Sealed for SystemTx {
    fn connection(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    fn hint(&mut self, hint: Hint) {
        self.hints.add(hint);
    }

    fn vectors(&self) -> &Arc<Vectors> {
        &self.vectors
    }

    async fn begin_ranking(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn end_ranking(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl TenantTx {
    /// Opens it in one round trip: role and claims travel with BEGIN.
    pub(crate) async fn begin(
        pool: &PgPool,
        sender: &HintSender,
        actor: &Actor,
        ids: StableIds,
        vectors: Arc<Vectors>,
    ) -> Result<Self, StoreError> {
        // Supabase's name for the database role is `role`; ours travels as `user_role`.
        let claims = serde_json::json!({
            "sub": actor.user_id,
            "role": "authenticated",
            "user_role": actor.role,
            "organization_id": actor.organization_id,
        });
        let sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT set_config('role', 'authenticated', true), \
             set_config('request.jwt.claims', {}, true), set_config('app.source', 'api', true)",
            literal(&claims.to_string())
        );
        let inner = pool.begin_with(AssertSqlSafe(sql)).await?;
        Ok(Self {
            inner,
            actor: *actor,
            hints: sender.hints(),
            vectors,
            ids,
        })
    }

    /// The one tenant whose rows can be seen; `None` for superadmins, who see those of all. To be bound by statements that
    /// list: row-level security hides the others in any case, but the planner does not know how many they are.
    pub(crate) fn only_tenant(&self) -> Option<OrganizationId> {
        (self.actor.role != Role::Superadmin).then_some(self.actor.organization_id)
    }

    /// On whose behalf it acts.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Makes everything that was done last, then tells the other processes of it.
    ///
    /// # Errors
    /// [`StoreError`] if the database refuses or the connection breaks. In the latter case it may have been done all
    /// the same: [`crate::Store::with_tenant`] then finds what the first try has made.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.inner.commit().await?;
        self.hints.send();
        Ok(())
    }

    /// An id for a row to insert: the same at the same place of every try of this transaction. So a try whose commit
    /// was done but whose answer was lost is known again.
    pub(crate) fn stable_id(&mut self) -> uuid::Uuid {
        self.ids.take()
    }

    /// Goes on as the program itself, after the person's right to the act has been checked under row-level
    /// security: writing of generations and jobs is nobody's own right. The claims stay, so that history knows
    /// who caused it.
    pub(crate) async fn elevate(&mut self) -> Result<(), StoreError> {
        sqlx::query("select set_config('role', 'service_role', true)")
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Ends [`TenantTx::elevate`]. After an error it is not needed: the transaction can only be rolled back.
    pub(crate) async fn restore(&mut self) -> Result<(), StoreError> {
        sqlx::query("select set_config('role', 'authenticated', true)")
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}

impl SystemTx {
    pub(crate) async fn begin(
        pool: &PgPool,
        sender: &HintSender,
        vectors: Arc<Vectors>,
    ) -> Result<Self, StoreError> {
        let sql = "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT set_config('role', 'service_role', true), \
            set_config('app.source', 'worker', true)";
        Ok(Self {
            inner: pool.begin_with(sql).await?,
            hints: sender.hints(),
            vectors,
        })
    }

    /// Makes everything that was done last, then tells the other processes of it.
    ///
    /// # Errors
    /// [`StoreError`] if the database refuses or the connection breaks.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.inner.commit().await?;
        self.hints.send();
        Ok(())
    }
}

/// The connection of a pool as it rests: without any right. Forgetting the transaction fails closed.
pub(crate) async fn disarm(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("set role anon").execute(connection).await?;
    Ok(())
}

/// Whether the connection still works.
pub(crate) async fn answers(pool: &PgPool) -> bool {
    match pool.acquire().await {
        Ok(mut connection) => connection.ping().await.is_ok(),
        Err(_) => false,
    }
}

/// A string constant of SQL. The E form does not depend on the server's settings. Claims are JSON made here, in
/// which a NUL is escaped, so none can end the text early.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(literal("a'b"), "E'a''b'");
        assert_eq!(literal(r"a\'; drop table x; --"), r"E'a\\''; drop table x; --'");
    }
}
