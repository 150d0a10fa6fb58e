//! Alerts: what an operator must hear of, said when it begins and again each hour for as long as it lasts
//! (service 4.7).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use store::alert::{BatchCounts, count_batches, count_overflows};
use store::error::StoreError;
use store::metric::{Event, NewMetric, Severity, count_ends, insert_metric, list_stuck};
use store::tx::SystemTx;
use tokio::time::Instant;

use crate::config::{AlertSettings, WebhookSettings};
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::service::Service;
use crate::webhook::{Sender, Sent, sender_of};

/// The time over which fallbacks and ends are counted.
const WINDOW: TimeDelta = TimeDelta::hours(1);
/// An alert that lasts is repeated after this time.
const REPEAT: Duration = Duration::from_hours(1);
/// Fewer ended generations or batches than this say nothing of a share.
const LEAST_COUNTED: u64 = 5;

/// Something to tell the operator.
#[derive(Clone, Debug, PartialEq)]
struct Alert {
    /// Its name; one alert of a name is told at once.
    name: String,
    /// A sentence.
    text: String,
    /// The figures, and what it is about. Never texts of people.
    facts: Value,
}

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq)]
struct Standing {
    overflows: u64,
    completed: u64,
    ended: u64,
    /// What models were asked for one section each.
    batches: BatchCounts,
    /// Generations that have not moved for as long as is configured: id, what they are, minutes.
    stuck: Vec<(String, Value, i64)>,
}

/// Looks, and tells.
#[derive(Debug)]
pub(super) struct Alerts {
    sender: Sender,
    settings: AlertSettings,
    metrics: Arc<Metrics>,
    /// When each alert that lasts was last told.
    told: BTreeMap<String, Instant>,
}

impl Alerts {
    /// Alerts as they are configured.
    ///
    /// # Errors
    /// [`Failure`] if TLS cannot be set up.
    pub(super) fn new(service: &Service) -> Result<Self, Failure> {
        Ok(Self {
            // The operator's own address may well be inside of the operator's network.
            sender: sender_of(&WebhookSettings {
                allow_private_targets: true,
                ..service.config.settings.webhooks.clone()
            })?,
            settings: service.config.settings.alerts.clone(),
            metrics: Arc::clone(&service.metrics),
            told: BTreeMap::new(),
        })
    }

    /// Looks how things stand, writes alerts down and posts them.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub(super) async fn look(&mut self, service: &Service) -> Result<(), StoreError> {
        let now = service.clock.now();
        let unmoved_since = now - TimeDelta::minutes(i64::from(self.settings.stuck_minutes));
        let standing = service
            .store
            .with_system(async move |tx: &mut SystemTx| {
                let ends = count_ends(tx, now - WINDOW).await?;
                let stuck = list_stuck(tx, unmoved_since).await?.into_iter().map(|stuck| {
                    let facts = json!({
                        "courseId": stuck.course_id,
                        "generationId": stuck.generation_id,
                        "organizationId": stuck.organization_id,
                        "status": stuck.status,
                    });
                    let minutes = (now - stuck.updated_at).num_minutes();
                    (stuck.generation_id.to_string(), facts, minutes)
                });
                Ok(Standing {
                    overflows: count_overflows(tx, now - WINDOW).await?,
                    completed: ends.completed,
                    ended: ends.all,
                    batches: count_batches(tx, now - WINDOW).await?,
                    stuck: stuck.collect(),
                })
            })
            .await?;
        let alerts = alerts_of(&standing, &self.settings);
        self.told
            .retain(|name, _| alerts.iter().any(|alert| alert.name == *name));
        for alert in alerts {
            if self.told.get(&alert.name).is_some_and(|at| at.elapsed() < REPEAT) {
                continue;
            }
            self.tell(service, &alert).await?;
            self.told.insert(alert.name, Instant::now());
        }
        Ok(())
    }

    async fn tell(&self, service: &Service, alert: &Alert) -> Result<(), StoreError> {
        tracing::error!(alert = alert.name, facts = %alert.facts, "{}", alert.text);
        self.metrics.event("alert");
        let metric = NewMetric {
            metadata: json!({ "alert": alert.name, "text": alert.text, "facts": alert.facts }),
            ..NewMetric::new(Event::Alert, Severity::Error)
        };
        service
            .store
            .with_system(async move |tx: &mut SystemTx| insert_metric(tx, &metric).await)
            .await?;
        let Some(url) = &self.settings.webhook_url else {
            return Ok(());
        };
        let body = json!({ "text": alert.text, "alert": alert.name, "facts": alert.facts }).to_string();
        match self.sender.post(url, &[], body).await {
            Sent::Accepted { .. } => {}
            Sent::Refused { status, .. } => tracing::warn!(status, "the receiver of alerts refused one"),
            Sent::Failed { reason } => tracing::warn!(reason, "an alert could not be posted"),
        }
        Ok(())
    }
}

fn alerts_of(standing: &Standing, settings: &AlertSettings) -> Vec<Alert> {
    let mut alerts = Vec::new();
    if standing.overflows > u64::from(settings.overflows_per_hour) {
        let count = standing.overflows;
        alerts.push(Alert {
            name: "overflow_fallbacks".to_owned(),
            text: format!("{count} prompts were too long for their model within an hour"),
            facts: json!({ "count": count, "limit": settings.overflows_per_hour }),
        });
    }
    let is_low =
        |done: u64, all: u64| all >= LEAST_COUNTED && done * 100 < all * u64::from(settings.success_percent);
    let BatchCounts { accepted, all } = standing.batches;
    if is_low(accepted, all) {
        alerts.push(Alert {
            name: "low_batch_success".to_owned(),
            text: format!("answers were accepted for only {accepted} of {all} sections of the last hour"),
            facts: json!({ "accepted": accepted, "batches": all, "limit_percent": settings.success_percent }),
        });
    }
    let (completed, ended) = (standing.completed, standing.ended);
    if is_low(completed, ended) {
        alerts.push(Alert {
            name: "low_success".to_owned(),
            text: format!("only {completed} of {ended} generations of the last hour were completed"),
            facts: json!({ "completed": completed, "ended": ended, "limit_percent": settings.success_percent }),
        });
    }
    for (generation, facts, minutes) in &standing.stuck {
        alerts.push(Alert {
            name: format!("stuck:{generation}"),
            text: format!("generation {generation} has not moved for {minutes} minutes"),
            facts: facts.clone(),
        });
    }
    alerts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(standing: &Standing, expected: &[&str]) {
        let alerts = alerts_of(standing, &AlertSettings::default());
        let names: Vec<_> = alerts.iter().map(|alert| alert.name.as_str()).collect();
        assert_eq!(names, expected, "{standing:?}");
    }

    #[test]
    fn alerts_begin_beyond_their_limits() {
        check(&Standing::default(), &[]);
        let overflows = |overflows| Standing {
            overflows,
            ..Standing::default()
        };
        check(&overflows(5), &[]);
        check(&overflows(6), &["overflow_fallbacks"]);
        let ends = |completed, ended| Standing {
            completed,
            ended,
            ..Standing::default()
        };
        check(&ends(8, 10), &[]);
        check(&ends(7, 10), &["low_success"]);
        check(&ends(0, 4), &[]);
        let batches = |accepted, all| Standing {
            batches: BatchCounts { accepted, all },
            ..Standing::default()
        };
        check(&batches(8, 10), &[]);
        check(&batches(7, 10), &["low_batch_success"]);
        check(&batches(0, 4), &[]);
        let stuck = Standing {
            stuck: vec![("g".to_owned(), json!({}), 5)],
            ..Standing::default()
        };
        check(&stuck, &["stuck:g"]);
    }
}
