//! Watching jobs at work: signs of progress, figures, and the gate before the models that closes at a shutdown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use llm::error::{FailedAttempt, ProviderError};
use llm::provider::{Provider, StreamObserver};
use llm::request::Request;
use llm::response::Response;
use pipeline::event::{Event, Observer};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// A job that shows no progress while others in this process do may only be waiting for its turn at a model: it is
/// given so many times the patience of one that hangs.
const PATIENCE_WHILE_OTHERS_WORK: u32 = 5;

/// When something last moved.
#[derive(Debug)]
pub(crate) struct Pulse {
    born: Instant,
    /// Milliseconds from `born` to the last beat.
    last: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            last: AtomicU64::new(0),
        }
    }
}

impl Pulse {
    /// Something moved.
    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// How long nothing has moved.
    pub(crate) fn silence(&self) -> Duration {
        self.born
            .elapsed()
            .saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

/// Watches one job.
#[derive(Debug)]
pub(crate) struct JobWatch {
    pulse: Pulse,
    metrics: Arc<Metrics>,
}

impl JobWatch {
    /// Begins to watch.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            pulse: Pulse::default(),
            metrics,
        })
    }

    /// Returns when the job has shown no progress for `stall` while no model was at work for any job of this process,
    /// or for several times as long whatever the others did. A job that makes progress never gets there.
    pub(crate) async fn stalled(&self, stall: Duration, gate: &Gate) -> Duration {
        loop {
            let silence = self.pulse.silence();
            let process_is_silent = gate.pulse.silence() >= stall;
            if silence >= stall && process_is_silent || silence >= stall * PATIENCE_WHILE_OTHERS_WORK {
                return silence;
            }
            let rest = stall.saturating_sub(silence);
            sleep(rest.clamp(Duration::from_millis(100), Duration::from_secs(1))).await;
        }
    }
}

impl Observer for JobWatch {
    fn on_event(&self, event: Event) {
        self.pulse.beat();
        match event {
            Event::CallEnded { cost, .. } => self.metrics.spent(cost.unwrap_or_default()),
            Event::Retry { what, reason } => tracing::debug!(what, reason, "asked again"),
            Event::Notice { message } => tracing::info!(message, "notice"),
            _ => {}
        }
    }
}

/// The gate before all models of a process: counts calls under way, and lets no new one pass once it is closed.
#[derive(Debug)]
pub(crate) struct Gate {
    in_flight: AtomicUsize,
    ended: Notify,
    closed: CancellationToken,
    pulse: Pulse,
    metrics: Arc<Metrics>,
}

impl Gate {
    /// An open gate.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            in_flight: AtomicUsize::new(0),
            ended: Notify::new(),
            closed: CancellationToken::new(),
            pulse: Pulse::default(),
            metrics,
        })
    }

    /// The same provider behind this gate.
    pub(crate) fn guard(self: &Arc<Self>, inner: Arc<dyn Provider>) -> Arc<dyn Provider> {
        Arc::new(Gated {
            inner,
            gate: Arc::clone(self),
        })
    }

    /// Lets no new call pass: those that come wait until they are cancelled.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Returns when no call is under way.
    pub(crate) async fn until_idle(&self) {
        loop {
            let ended = self.ended.notified();
            if self.in_flight.load(Ordering::SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// A call under way; dropped calls count as ended.
struct Passage<'a>(&'a Gate);

impl<'a> Passage<'a> {
    fn enter(gate: &'a Gate) -> Self {
        gate.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(gate)
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.0.ended.notify_waiters();
    }
}

/// A provider behind the gate.
#[derive(Debug)]
struct Gated {
    inner: Arc<dyn Provider>,
    gate: Arc<Gate>,
}

/// Passes on what a model writes, as a sign of life.
struct Beating<'a> {
    observer: &'a dyn StreamObserver,
    gate: &'a Gate,
}

impl StreamObserver for Beating<'_> {
    fn on_delta(&self, delta: &str, output_tokens: u64) {
        self.gate.pulse.beat();
        self.observer.on_delta(delta, output_tokens);
    }
}

#[async_trait]
impl Provider for Gated {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn max_parallel(&self) -> usize {
        self.inner.max_parallel()
    }

    async fn generate(
        &self,
        request: &Request,
        observer: &dyn StreamObserver,
        cancel: &CancellationToken,
    ) -> Result<Response, FailedAttempt> {
        // Entered before the gate is looked at: else a call could slip through while the shutdown believes in silence.
        let passage = Passage::enter(&self.gate);
        if self.gate.closed.is_cancelled() {
            drop(passage);
            cancel.cancelled().await;
            return Err(ProviderError::Cancelled.into());
        }
        let begun = Instant::now();
        let beating = Beating {
            observer,
            gate: &self.gate,
        };
        let outcome = self.inner.generate(request, &beating, cancel).await;
        self.gate.pulse.beat();
        let (word, usage) = match &outcome {
            Ok(response) => ("ok", response.usage),
            Err(failed) => {
                let spent = failed.spent.map(|spent| spent.usage);
                (failed.error.code(), spent.unwrap_or_default())
            }
        };
        self.gate
            .metrics
            .model_call(&request.model, word, begun.elapsed(), usage);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use llm::provider::Unobserved;
    use llm::provider::scripted::{Script, Scripted, ScriptedReply};
    use llm::request::{Message, Sampling};
    use llm::retry::DEFAULT_WAIT_LIMIT;
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;

    fn request() -> Request {
        Request {
            model: "scripted".to_owned(),
            messages: vec![Message::user("hello")],
            schema: None,
            max_output_tokens: 100,
            sampling: Sampling::default(),
            idle_timeout: Duration::from_mins(1),
            wait_limit: DEFAULT_WAIT_LIMIT,
        }
    }

    fn provider(gate: &Arc<Gate>, latency: Duration) -> Arc<dyn Provider> {
        let script: Script = Arc::new(move |_: &Request, _| ScriptedReply::text("ok").after(latency));
        gate.guard(Arc::new(Scripted::new("scripted", script)))
    }

    #[tokio::test(start_paused = true)]
    async fn closed_gate_lets_calls_end_and_none_begin() {
        let metrics = Metrics::new();
        let gate = Gate::new(Arc::clone(&metrics));
        let provider = provider(&gate, Duration::from_secs(5));
        let cancel = CancellationToken::new();
        let mut calls = JoinSet::new();
        let (early, token) = (Arc::clone(&provider), cancel.clone());
        calls.spawn(async move { early.generate(&request(), &Unobserved, &token).await.is_ok() });
        sleep(Duration::from_secs(1)).await;
        gate.close();
        let (late, token) = (Arc::clone(&provider), cancel.clone());
        calls.spawn(async move { late.generate(&request(), &Unobserved, &token).await.is_ok() });
        gate.until_idle().await;
        assert!(calls.join_next().await.unwrap().unwrap(), "the early one ended");
        assert!(timeout(Duration::from_mins(1), calls.join_next()).await.is_err());
        cancel.cancel();
        assert!(
            !calls.join_next().await.unwrap().unwrap(),
            "the late one never began"
        );
        assert!(
            metrics
                .render()
                .contains("coursewright_model_calls_total{model=\"scripted\",outcome=\"ok\"} 1")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn job_without_progress_stalls_and_one_with_progress_never() {
        let metrics = Metrics::new();
        let gate = Gate::new(Arc::clone(&metrics));
        let stall = Duration::from_mins(2);
        let silent = JobWatch::new(Arc::clone(&metrics));
        let silence = silent.stalled(stall, &gate).await;
        assert!(
            silence >= stall && silence < stall + Duration::from_secs(2),
            "{silence:?}"
        );

        let busy = JobWatch::new(metrics);
        let moving = async {
            for _ in 0..60 {
                sleep(Duration::from_mins(1)).await;
                busy.on_event(Event::Tokens { new: 1 });
            }
        };
        tokio::select! {
            _ = busy.stalled(stall, &gate) => panic!("it made progress"),
            () = moving => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn job_that_waits_for_its_turn_is_given_more_time() {
        let metrics = Metrics::new();
        let gate = Gate::new(Arc::clone(&metrics));
        let stall = Duration::from_mins(2);
        let waiting = JobWatch::new(metrics);
        let others = async {
            loop {
                sleep(Duration::from_secs(30)).await;
                gate.pulse.beat();
            }
        };
        tokio::select! {
            silence = waiting.stalled(stall, &gate) => assert!(silence >= stall * PATIENCE_WHILE_OTHERS_WORK),
            () = others => {}
        }
    }
}
