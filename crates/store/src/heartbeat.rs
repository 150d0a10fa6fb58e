//! Signs of life of a whole worker, in one statement for all its jobs; and which worker process leads.

use std::collections::HashMap;
use std::time::Duration;

use domain::id::{JobId, WorkerId};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::Store;
use crate::error::StoreError;
use crate::queue::Lease;
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, disarm};

statements! {
    HEARTBEAT_ALL = "with seen as (update workers set last_seen = now() where id = $1)
        update jobs set lease_until = now() + make_interval(secs => $3)
        where worker_id = $1 and id = any($2) and state = 'running'
        returning id, attempt, cancel_requested";
    TRY_LOCK = "select pg_try_advisory_lock($1)";
}

/// The lock that the leading process holds: any number that nothing else uses in this database.
const LEADER_LOCK: i64 = 0x636f_7572_7365;

/// How a worker stands with one of its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The lease is renewed.
    Kept,
    /// The lease is renewed, and somebody asked to cancel: the job must stop.
    Cancelled,
    /// Another worker or attempt has the job, or it has ended.
    Lost,
}

/// Renews the leases of all jobs that a worker works on, and notes that the worker lives. The answer has every lease
/// that was asked for.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn heartbeat_all(
    tx: &mut SystemTx,
    worker_id: WorkerId,
    leases: &[Lease],
    lease_for: Duration,
) -> Result<HashMap<JobId, Held>, StoreError> {
    let jobs: Vec<Uuid> = leases.iter().map(|lease| lease.job_id.as_uuid()).collect();
    let rows: Vec<(Uuid, i32, bool)> = sqlx::query_as(HEARTBEAT_ALL)
        .bind(worker_id.as_uuid())
        .bind(jobs)
        .bind(lease_for.as_secs_f64())
        .fetch_all(tx.connection())
        .await?;
    let found: HashMap<Uuid, (u32, bool)> = rows
        .into_iter()
        .map(|(job, attempt, cancelled)| (job, (attempt.cast_unsigned(), cancelled)))
        .collect();
    let standing = leases.iter().map(|lease| {
        let held = match found.get(&lease.job_id.as_uuid()) {
            Some((attempt, _)) if *attempt != lease.attempt => Held::Lost,
            Some((_, true)) => Held::Cancelled,
            Some((_, false)) => Held::Kept,
            None => Held::Lost,
        };
        (lease.job_id, held)
    });
    Ok(standing.collect())
}

/// The right to do what one process alone should do. It ends with this value, with its connection and with its process.
#[derive(Debug)]
pub struct Leadership {
    connection: PgConnection,
}

impl Leadership {
    /// Whether it still holds: the database may have been restarted.
    pub async fn holds(&mut self) -> bool {
        self.connection.ping().await.is_ok()
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// [`StoreError`] if the connection broke, with which it has ended too.
    pub async fn let_go(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }
}

impl Store {
    /// Takes the lead if no other process has it. It needs a connection of its own: behind a pooler that hands
    /// connections around by transaction, several processes may believe that they lead, which costs work and harms
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn try_lead(&self) -> Result<Option<Leadership>, StoreError> {
        let mut connection = self.own_connection().await?;
        disarm(&mut connection).await?;
        let leads: bool = sqlx::query_scalar(TRY_LOCK)
            .bind(LEADER_LOCK)
            .fetch_one(&mut connection)
            .await?;
        if leads {
            return Ok(Some(Leadership { connection }));
        }
        connection.close().await?;
        Ok(None)
    }

    async fn own_connection(&self) -> Result<PgConnection, StoreError> {
        Ok(PgConnection::connect_with(&self.options).await?)
    }
}
