//! Webhooks: sends what the outbox holds, signed, until each receiver has taken it or a day is over.
//!
//! The outbox is written by the database with the event itself; here it is only emptied. Any process may send: a
//! delivery is claimed for a while, and goes to another process if this one dies with it.

mod address;
mod sender;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use domain::clock::Clock;
use secrecy::SecretString;
use store::Store;
use store::error::StoreError;
use store::hint::Channel;
use store::tx::SystemTx;
use store::webhook::{
    ClaimedDelivery, DeliveryOutcome, claim_deliveries, find_next_delivery_at, record_delivery,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::WebhookSettings;
use crate::failure::Failure;
use crate::metrics::Metrics;
pub(crate) use sender::{Sender, Sent, check_target};
use signature::sign;

/// How the address of a webhook begins; [`check_target`] knows more.
pub(crate) const WEB_ADDRESS: &str = r"^https?://[A-Za-z0-9\[]";

/// Deliveries at once in one process.
const CONCURRENCY: usize = 16;
/// How long a claimed delivery stays with its process beyond the receiver's time.
const LEASE_MARGIN: Duration = Duration::from_secs(45);
/// How long an idle dispatcher waits at most before it looks again: a hint may be lost.
const POLL: Duration = Duration::from_secs(5);
/// The shortest wait for a delivery that is due soon.
const LEAST_WAIT: Duration = Duration::from_millis(50);
/// After a failure of the database.
const BACKOFF: Duration = Duration::from_secs(2);
/// Characters of a refusal that are kept for whoever looks for the fault.
const LONGEST_REASON: usize = 300;

/// Empties the outbox.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    sender: Sender,
    lease: Duration,
    hints: Notify,
}

impl Dispatcher {
    /// A dispatcher of this process.
    ///
    /// # Errors
    /// [`Failure`] if TLS cannot be set up.
    pub(crate) fn new(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        settings: &WebhookSettings,
    ) -> Result<Arc<Self>, Failure> {
        let timeout = Duration::from_secs(settings.timeout_secs);
        Ok(Arc::new(Self {
            store,
            clock,
            metrics,
            sender: sender_of(settings)?,
            lease: timeout + LEASE_MARGIN,
            hints: Notify::new(),
        }))
    }

    /// Sends until `shutdown`; deliveries under way are then ended and written down.
    pub(crate) async fn run(self: Arc<Self>, shutdown: &CancellationToken) {
        let mut helpers = JoinSet::new();
        let own = Arc::clone(&self);
        helpers.spawn(async move { own.listen().await });
        let mut sending = JoinSet::new();
        while !shutdown.is_cancelled() {
            let wait = match self.fill(&mut sending).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be read; trying again");
                    BACKOFF
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                Some(_) = sending.join_next(), if !sending.is_empty() => {}
                () = self.hints.notified() => {}
                () = sleep(wait) => {}
            }
        }
        while sending.join_next().await.is_some() {}
    }

    async fn listen(&self) {
        loop {
            if let Ok(mut listener) = self.store.listen_for(&[Channel::Webhooks]).await {
                while listener.hint().await.is_ok() {
                    self.hints.notify_one();
                }
            }
            sleep(BACKOFF).await;
        }
    }

    /// Claims as many deliveries as there is room for. Returns how long to wait for the next.
    async fn fill(self: &Arc<Self>, sending: &mut JoinSet<()>) -> Result<Duration, StoreError> {
        while sending.try_join_next().is_some() {}
        let room = CONCURRENCY.saturating_sub(sending.len());
        if room == 0 {
            return Ok(POLL);
        }
        let (limit, lease) = (u32::try_from(room).unwrap_or(u32::MAX), self.lease);
        let claimed = self
            .store
            .with_system(async move |tx: &mut SystemTx| claim_deliveries(tx, limit, lease).await)
            .await?;
        if claimed.is_empty() {
            let next = self
                .store
                .with_system(async move |tx: &mut SystemTx| find_next_delivery_at(tx).await)
                .await?;
            return Ok(next.map_or(POLL, |at| {
                (at - self.clock.now())
                    .to_std()
                    .unwrap_or_default()
                    .clamp(LEAST_WAIT, POLL)
            }));
        }
        for delivery in claimed {
            let own = Arc::clone(self);
            sending.spawn(async move { own.deliver(delivery).await });
        }
        Ok(LEAST_WAIT)
    }

    async fn deliver(&self, delivery: ClaimedDelivery) {
        let outcome = self.send(&delivery).await;
        let (id, event, attempt) = (delivery.id, &delivery.event_type, delivery.attempt);
        let organization_id = delivery.organization_id;
        self.metrics.webhook(match &outcome {
            DeliveryOutcome::Delivered { .. } => "delivered",
            DeliveryOutcome::Failed { .. } => "failed",
        });
        let (sent, recorded) = (delivery.clone(), outcome.clone());
        let written = self
            .store
            .with_system(async move |tx: &mut SystemTx| record_delivery(tx, &sent, &recorded).await)
            .await;
        match (written, &outcome) {
            (Ok(_), DeliveryOutcome::Delivered { status }) => {
                tracing::info!(delivery_id = %id, %organization_id, event, attempt, status, "a webhook was delivered");
            }
            (Ok(next), DeliveryOutcome::Failed { status, error }) => {
                let next = next.map(|at| at.to_rfc3339());
                tracing::warn!(delivery_id = %id, %organization_id, event, attempt, status, error, next, "a webhook was not taken");
            }
            // Its lease will end, and it is sent again: the receiver knows it by its id.
            (Err(error), _) => {
                tracing::warn!(delivery_id = %id, %error, "what came of a webhook could not be written");
            }
        }
    }

    async fn send(&self, delivery: &ClaimedDelivery) -> DeliveryOutcome {
        let failed = |error: String| DeliveryOutcome::Failed { status: None, error };
        let body = delivery.payload.to_string();
        let now = self.clock.now();
        let id = delivery.id.to_string();
        let secret = SecretString::from(delivery.secret.clone());
        let signature = match sign(&secret, &id, now, &body) {
            Ok(signature) => signature,
            Err(error) => return failed(error.to_string()),
        };
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", now.timestamp().to_string()),
            ("webhook-signature", signature),
        ];
        match self.sender.post(&delivery.url, &headers, body).await {
            Sent::Accepted { status } => DeliveryOutcome::Delivered { status },
            Sent::Refused { status, answer } => {
                let answer: String = answer.chars().take(LONGEST_REASON).collect();
                DeliveryOutcome::Failed {
                    status: Some(status),
                    error: format!("HTTP {status}: {answer}"),
                }
            }
            Sent::Failed { reason } => failed(reason),
        }
    }
}

/// The sender as it is configured.
///
/// # Errors
/// [`Failure`] if TLS cannot be set up.
pub(crate) fn sender_of(settings: &WebhookSettings) -> Result<Sender, Failure> {
    let timeout = Duration::from_secs(settings.timeout_secs);
    Sender::new(settings.allow_private_targets, timeout).map_err(Failure::setup)
}
