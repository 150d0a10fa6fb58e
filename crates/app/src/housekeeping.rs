//! What has to be done now and then, by one process of the installation: removing what is old, giving back what was
//! reserved in vain, and telling the operator what goes wrong.

mod alerts;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use store::error::StoreError;
use store::heartbeat::Leadership;
use store::tx::SystemTx;
use store::{document, event, metric, queue, session, webhook};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::service::Service;
use alerts::Alerts;

/// Between two rounds.
const ROUND: Duration = Duration::from_mins(1);
/// How long ended jobs stay on the board.
const JOBS_KEPT: Duration = Duration::from_hours(30 * 24);
/// How long ended deliveries can be looked at and sent again.
const DELIVERIES_KEPT: Duration = Duration::from_hours(30 * 24);
/// How long events for operators are kept.
const METRICS_KEPT: TimeDelta = TimeDelta::days(90);

/// Keeps house.
#[derive(Debug)]
pub(crate) struct Housekeeping {
    service: Arc<Service>,
    alerts: Alerts,
    /// The right to do it, while this process has it.
    lead: Option<Leadership>,
}

impl Housekeeping {
    /// The housekeeping of this process; it does something while no other process does.
    ///
    /// # Errors
    /// [`Failure`] if TLS cannot be set up for alerts.
    pub(crate) fn new(service: Arc<Service>) -> Result<Self, Failure> {
        let alerts = Alerts::new(&service)?;
        Ok(Self {
            service,
            alerts,
            lead: None,
        })
    }

    /// A round a minute until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: &CancellationToken) {
        loop {
            self.turn().await;
            tokio::select! {
                () = sleep(ROUND) => {}
                () = shutdown.cancelled() => break,
            }
        }
        if let Some(lead) = self.lead.take()
            && let Err(error) = lead.let_go().await
        {
            tracing::debug!(%error, "the lead of the housekeeping has ended with its connection");
        }
    }

    /// One round, if this process leads or nobody does. Returns whether it was done.
    async fn turn(&mut self) -> bool {
        if let Some(held) = &mut self.lead
            && !held.holds().await
        {
            self.lead = None;
        }
        if self.lead.is_none() {
            self.lead = match self.service.store.try_lead().await {
                Ok(lead) => lead,
                Err(error) => {
                    tracing::debug!(%error, "the database does not answer; housekeeping waits");
                    None
                }
            };
        }
        if self.lead.is_none() {
            return false;
        }
        self.round().await;
        true
    }

    /// One round. What fails is said, and does not keep the rest from being done.
    async fn round(&mut self) {
        said("old rows", self.remove_old().await);
        said("expired uploads", self.release_uploads().await);
        said("alerts", self.alerts.look(&self.service).await);
    }

    async fn remove_old(&self) -> Result<(), StoreError> {
        let now = self.service.clock.now();
        let removed = self
            .service
            .store
            .with_system(async move |tx: &mut SystemTx| {
                let jobs = queue::delete_finished(tx, JOBS_KEPT).await?;
                let events = event::delete_old_events(tx).await?;
                let sessions = session::delete_expired_sessions(tx, now).await?;
                let deliveries = webhook::delete_finished_deliveries(tx, DELIVERIES_KEPT).await?;
                let metrics = metric::delete_old_metrics(tx, now - METRICS_KEPT).await?;
                Ok((jobs, events, sessions, deliveries, metrics))
            })
            .await?;
        let (jobs, events, sessions, deliveries, metrics) = removed;
        if removed != (0, 0, 0, 0, 0) {
            tracing::info!(
                jobs,
                events,
                sessions,
                deliveries,
                metrics,
                "old rows were removed"
            );
        }
        Ok(())
    }

    async fn release_uploads(&self) -> Result<(), StoreError> {
        let released = self
            .service
            .store
            .with_system(async move |tx: &mut SystemTx| document::release_expired_uploads(tx).await)
            .await?;
        if !released.is_empty() {
            tracing::info!(
                uploads = released.len(),
                "room of uploads that never ended was given back"
            );
        }
        self.service.uploads.sweep().await;
        Ok(())
    }
}

fn said(what: &'static str, outcome: Result<(), StoreError>) {
    if let Err(error) = outcome {
        tracing::warn!(what, %error, "a part of the housekeeping failed; it is tried again in a minute");
    }
}
