//! Hints: what one process tells the others after a commit, so that they need not poll often.
//!
//! A hint is never the only way to know: the queue, the events and the outbox are tables, and who listens also looks
//! now and then. Hints are sent after the commit by one task a process, many in one statement: inside transactions,
//! PostgreSQL would let committing notifiers wait for each other.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::id::CourseId;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::StoreError;
use crate::statement::statements;
use crate::tx;

statements! {
    NOTIFY = "select set_config('synchronous_commit', 'off', true), pg_notify(hint.channel, hint.payload)
        from unnest($1::text[], $2::text[]) as hint (channel, payload)";
}

/// The most hints that one statement sends.
const BATCH: usize = 256;
/// How long the task waits after a failure before it looks at the next hints; those of the failed batch are dropped.
const REST: Duration = Duration::from_millis(200);
/// How long closing waits for hints that were not sent yet.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// What may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hint {
    /// A job may wait, or may have to be cancelled.
    Jobs,
    /// The progress or the status of this course's generation has changed.
    Progress(CourseId),
    /// The settings of tiers were edited.
    Tiers,
    /// A delivery waits in the outbox.
    Webhooks,
    /// The connection was lost for a while: anything may have happened.
    Reconnected,
}

/// Which hints a listener hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// [`Hint::Jobs`].
    Jobs,
    /// [`Hint::Progress`], of all courses.
    Progress,
    /// [`Hint::Tiers`].
    Tiers,
    /// [`Hint::Webhooks`].
    Webhooks,
}

impl Channel {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Progress => "progress",
            Self::Tiers => "tiers",
            Self::Webhooks => "webhooks",
        }
    }
}

impl Hint {
    fn channel_and_payload(self) -> Option<(Channel, String)> {
        match self {
            Self::Jobs => Some((Channel::Jobs, String::new())),
            Self::Progress(course) => Some((Channel::Progress, course.to_string())),
            Self::Tiers => Some((Channel::Tiers, String::new())),
            Self::Webhooks => Some((Channel::Webhooks, String::new())),
            Self::Reconnected => None,
        }
    }

    fn read(channel: &str, payload: &str) -> Option<Self> {
        match channel {
            "jobs" => Some(Self::Jobs),
            "progress" => payload.parse().ok().map(Self::Progress),
            "tiers" => Some(Self::Tiers),
            "webhooks" => Some(Self::Webhooks),
            _ => None,
        }
    }
}

/// The hints of one transaction, sent when it is committed.
#[derive(Debug)]
pub(crate) struct Hints {
    noted: BTreeSet<Hint>,
    sender: mpsc::UnboundedSender<Hint>,
}

impl Hints {
    pub(crate) fn add(&mut self, hint: Hint) {
        self.noted.insert(hint);
    }

    pub(crate) fn send(self) {
        for hint in self.noted {
            // Without a receiver the store is closing, and nobody waits.
            let _ = self.sender.send(hint);
        }
    }
}

/// The door to the task that sends hints.
#[derive(Debug)]
pub(crate) struct HintSender {
    sender: mpsc::UnboundedSender<Hint>,
    task: JoinSet<()>,
}

impl HintSender {
    /// Starts the task. It has a connection of its own, made at the first hint, so that it never waits for one.
    pub(crate) fn start(options: &PgConnectOptions) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .after_connect(|connection, _| Box::pin(tx::disarm(connection)))
            .connect_lazy_with(options.clone());
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut task = JoinSet::new();
        task.spawn(send_all(pool, receiver));
        Self { sender, task }
    }

    /// The hints of a new transaction.
    pub(crate) fn hints(&self) -> Hints {
        Hints {
            noted: BTreeSet::new(),
            sender: self.sender.clone(),
        }
    }

    /// Sends a hint that belongs to no transaction of this process.
    pub(crate) fn send(&self, hint: Hint) {
        let _ = self.sender.send(hint);
    }

    /// Ends the task, once it has sent what was noted.
    pub(crate) async fn close(self) {
        let Self { sender, mut task } = self;
        drop(sender);
        // A transaction that is still open keeps the task alive; it is not waited for.
        let _ = tokio::time::timeout(FLUSH_PATIENCE, task.join_next()).await;
    }
}

async fn send_all(pool: PgPool, mut receiver: mpsc::UnboundedReceiver<Hint>) {
    let mut batch = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut batch, BATCH).await > 0 {
        // The same hint twice says nothing new.
        let distinct: BTreeSet<Hint> = batch.drain(..).collect();
        let (channels, payloads): (Vec<_>, Vec<_>) = distinct
            .into_iter()
            .filter_map(Hint::channel_and_payload)
            .map(|(channel, payload)| (channel.as_str(), payload))
            .unzip();
        let sent = sqlx::query(NOTIFY)
            .bind(channels)
            .bind(payloads)
            .execute(&pool)
            .await;
        if let Err(error) = sent {
            tracing::debug!(%error, "hints were lost; who waits for them looks by itself");
            tokio::time::sleep(REST).await;
        }
    }
    pool.close().await;
}

/// Hears the hints of all processes.
#[derive(Debug)]
pub struct Listener {
    inner: PgListener,
}

impl Listener {
    pub(crate) async fn connect(
        options: &PgConnectOptions,
        channels: &[Channel],
    ) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_lazy_with(options.clone());
        let mut inner = PgListener::connect_with(&pool).await?;
        inner
            .listen_all(channels.iter().map(|channel| channel.as_str()))
            .await?;
        Ok(Self { inner })
    }

    /// Waits for the next hint. A broken connection is mended and gives [`Hint::Reconnected`]. Safe to cancel.
    ///
    /// # Errors
    /// [`StoreError`] if the connection cannot be mended; asking again tries again.
    pub async fn hint(&mut self) -> Result<Hint, StoreError> {
        loop {
            let Some(heard) = self.inner.try_recv().await? else {
                return Ok(Hint::Reconnected);
            };
            if let Some(hint) = Hint::read(heard.channel(), heard.payload()) {
                return Ok(hint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hint_is_heard_as_it_was_said() {
        for hint in [
            Hint::Jobs,
            Hint::Progress(CourseId::generate()),
            Hint::Tiers,
            Hint::Webhooks,
        ] {
            let (channel, payload) = hint.channel_and_payload().unwrap();
            assert_eq!(Hint::read(channel.as_str(), &payload), Some(hint));
        }
        assert_eq!(Hint::read("progress", "no id"), None);
    }
}
