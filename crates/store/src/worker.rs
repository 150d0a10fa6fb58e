//! Workers, and telling the living from the dead.

use std::fs;
use std::time::Duration;

use domain::id::WorkerId;
use uuid::Uuid;

use crate::cluster::process_is_alive;
use crate::error::StoreError;
use crate::job::JobState;
use crate::json::from_word;
use crate::queue::{self, Rescued};
use crate::statement::statements;
use crate::tx::SystemTx;
use crate::tx::sealed::Sealed;

statements! {
    INSERT_WORKER = "insert into workers (id, host, machine, process, process_started, capacity)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (id) do update set last_seen = now(), capacity = excluded.capacity";
    LIVE_CAPACITY = "select coalesce(sum(capacity), 0) from workers where last_seen > now() - interval '60 seconds'";
    QUEUE_COUNTS = "select state, priority, count(*) from jobs
        where state in ('pending', 'running') or finished_at > now() - interval '1 hour'
        group by state, priority order by priority desc, state";
    OLDEST_WAITING = "select extract(epoch from now() - min(run_at))::float8 from jobs
        where state = 'pending' and run_at <= now()";
    DELETE_WORKER = "delete from workers where id = $1";
    LIST_BUSY_NEIGHBOURS = "select w.id, w.process, w.process_started from workers w
        where w.machine = $1 and w.id <> $2 and exists (select from jobs j where j.worker_id = w.id and j.state = 'running')";
    DELETE_SILENT = "delete from workers w where w.last_seen < now() - interval '1 day'
        and not exists (select from jobs j where j.worker_id = w.id and j.state = 'running')";
    TOUCH_WORKER = "update workers set last_seen = now() where id = $1";
}

/// What tells one worker process from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerIdentity {
    /// Its id in the queue, new at every start.
    pub id: WorkerId,
    /// The machine's name, for people.
    pub host: String,
    /// Boot and process namespace; `None` where the system does not tell them.
    pub machine: Option<String>,
    /// Its process number.
    pub process: u32,
    /// When the process started, in the kernel's ticks since boot.
    pub process_started: Option<String>,
}

impl WorkerIdentity {
    /// The identity of this process.
    pub fn of_this_process() -> Self {
        let process = std::process::id();
        Self {
            id: WorkerId::generate(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            machine: machine(),
            process,
            process_started: process_started(process),
        }
    }
}

/// Makes the worker known. `capacity`: how many jobs it runs at once.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn register(tx: &mut SystemTx, worker: &WorkerIdentity, capacity: u32) -> Result<(), StoreError> {
    sqlx::query(INSERT_WORKER)
        .bind(worker.id.as_uuid())
        .bind(&worker.host)
        .bind(&worker.machine)
        .bind(worker.process.cast_signed())
        .bind(&worker.process_started)
        .bind(capacity.cast_signed())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Notes that the worker lives. Called now and then, also while it has nothing to do.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn touch(tx: &mut SystemTx, id: WorkerId) -> Result<(), StoreError> {
    sqlx::query(TOUCH_WORKER)
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Jobs that all workers together run at once that showed life within the last minute: from it follows the global limit
/// of generations (service 4.3).
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn live_capacity(tx: &mut SystemTx) -> Result<u32, StoreError> {
    let capacity: i64 = sqlx::query_scalar(LIVE_CAPACITY)
        .fetch_one(tx.connection())
        .await?;
    Ok(u32::try_from(capacity).unwrap_or(u32::MAX))
}

/// Jobs of one state and priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueCount {
    /// Their state.
    pub state: JobState,
    /// Their priority.
    pub priority: i16,
    /// How many there are; of ended ones, those of the last hour.
    pub count: u64,
}

/// How the queue stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueFigures {
    /// Jobs by state and priority.
    pub counts: Vec<QueueCount>,
    /// How long the job has waited that has waited longest; `None`: none waits that might be started.
    pub oldest_waiting: Option<Duration>,
}

/// How the queue stands.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn queue_figures(tx: &mut SystemTx) -> Result<QueueFigures, StoreError> {
    let rows: Vec<(String, i16, i64)> = sqlx::query_as(QUEUE_COUNTS).fetch_all(tx.connection()).await?;
    let counts = rows.into_iter().map(|(state, priority, count)| {
        Ok(QueueCount {
            state: from_word(state, "job state")?,
            priority,
            count: count.cast_unsigned(),
        })
    });
    let counts = counts.collect::<Result<_, StoreError>>()?;
    let oldest: Option<f64> = sqlx::query_scalar(OLDEST_WAITING)
        .fetch_one(tx.connection())
        .await?;
    Ok(QueueFigures {
        counts,
        oldest_waiting: oldest.map(|secs| Duration::from_secs_f64(secs.max(0.0))),
    })
}

/// Hands back what the worker still holds, without costing attempts, and forgets the worker: the end of a graceful
/// shutdown.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn unregister(tx: &mut SystemTx, id: WorkerId) -> Result<(), StoreError> {
    queue::release_all_of(tx, id).await?;
    sqlx::query(DELETE_WORKER)
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    sqlx::query(DELETE_SILENT).execute(tx.connection()).await?;
    Ok(())
}

/// Takes the jobs of workers that have died on this machine, at once instead of when their leases expire.
///
/// A worker is dead for certain when it ran in this very process namespace since the same boot, and its process
/// number is gone or belongs to a process that started at another time. Workers elsewhere keep their leases.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn rescue_from_dead_neighbours(
    tx: &mut SystemTx,
    own: &WorkerIdentity,
) -> Result<Vec<Rescued>, StoreError> {
    let Some(machine) = &own.machine else {
        return Ok(Vec::new());
    };
    let neighbours: Vec<(Uuid, i32, Option<String>)> = sqlx::query_as(LIST_BUSY_NEIGHBOURS)
        .bind(machine)
        .bind(own.id.as_uuid())
        .fetch_all(tx.connection())
        .await?;
    let mut rescued = Vec::new();
    for (id, process, started) in neighbours {
        if is_same_process_alive(process, started.as_deref()) {
            continue;
        }
        rescued.extend(queue::rescue_from_worker(tx, WorkerId::from_uuid(id)).await?);
        sqlx::query(DELETE_WORKER)
            .bind(id)
            .execute(tx.connection())
            .await?;
    }
    Ok(rescued)
}

fn is_same_process_alive(process: i32, started: Option<&str>) -> bool {
    if !process_is_alive(process) {
        return false;
    }
    match (started, process_started(process.cast_unsigned())) {
        (Some(noted), Some(found)) => noted == found,
        // Nothing proves that it is another one.
        _ => true,
    }
}

/// The boot and the process namespace: process numbers mean something only within both.
fn machine() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Field 22 of the process's `stat`.
fn process_started(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_number_and_start() {
        let own = WorkerIdentity::of_this_process();
        let number = own.process.cast_signed();
        assert!(is_same_process_alive(number, own.process_started.as_deref()));
        assert!(
            !is_same_process_alive(number, Some("1")),
            "the number was given to another process"
        );
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = child.id().cast_signed();
        let _ = child.wait().unwrap();
        assert!(!is_same_process_alive(ended, None));
    }
}
