//! What Prometheus reads at `/metrics` (service 4.7). Figures of this process; those of the queue are read from the
//! database when somebody asks.
//!
//! One value, passed on: there is no global recorder, so that tests and several services in one process do not mix.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
    with_local_recorder,
};
use domain::usage::{MicroUsd, TokenUsage};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

const REQUESTS: &str = "coursewright_requests_total";
const REQUEST_SECONDS: &str = "coursewright_request_seconds";
const SUBSCRIPTIONS: &str = "coursewright_subscriptions";
const AUTH_REJECTED: &str = "coursewright_auth_rejections_total";
const QUEUE_JOBS: &str = "coursewright_queue_jobs";
const QUEUE_AGE: &str = "coursewright_queue_oldest_seconds";
const JOBS_RUNNING: &str = "coursewright_worker_jobs";
const STAGES: &str = "coursewright_stages_total";
const STAGE_SECONDS: &str = "coursewright_stage_seconds";
const MODEL_CALLS: &str = "coursewright_model_calls_total";
const MODEL_SECONDS: &str = "coursewright_model_call_seconds";
const MODEL_TOKENS: &str = "coursewright_model_tokens_total";
const MODEL_COST: &str = "coursewright_model_cost_usd_total";
const QUALITY: &str = "coursewright_course_quality";
const WEBHOOKS: &str = "coursewright_webhook_deliveries_total";
const EVENTS: &str = "coursewright_events_total";

/// Bounds of the requests' durations, in seconds: around the figures to reach (service 4.9).
const REQUEST_BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.06, 0.1, 0.25, 1.0, 5.0, 30.0];
/// Bounds of the durations of calls and stages, in seconds.
const WORK_BUCKETS: [f64; 10] = [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0];
/// Bounds of qualities, 0 to 1; 0.75 is the threshold of a course (generation 3.7).
const QUALITY_BUCKETS: [f64; 7] = [0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0];

/// Collects the figures of one process. Shared in an `Arc`.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// State and priority of every figure of the queue that was ever shown.
    shown_queues: Mutex<BTreeSet<(&'static str, i16)>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// No figures yet.
    pub(crate) fn new() -> Arc<Self> {
        let buckets = [
            (REQUEST_SECONDS, REQUEST_BUCKETS.as_slice()),
            (STAGE_SECONDS, &WORK_BUCKETS),
            (MODEL_SECONDS, &WORK_BUCKETS),
            (QUALITY, &QUALITY_BUCKETS),
        ];
        let mut builder = PrometheusBuilder::new();
        for (name, bounds) in buckets {
            // It refuses an empty list alone, and these are constants: at worst a summary is shown.
            builder = match builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds) {
                Ok(builder) => builder,
                Err(_) => PrometheusBuilder::new(),
            };
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let metrics = Self {
            recorder,
            handle,
            shown_queues: Mutex::default(),
        };
        metrics.record(describe);
        Arc::new(metrics)
    }

    /// Everything in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }

    /// A request was answered: its procedure (or path of a fixed list), the HTTP status, the time to the answer's
    /// begin.
    pub(crate) fn request(&self, procedure: &'static str, status: u16, duration: Duration) {
        self.record(|| {
            counter!(REQUESTS, "procedure" => procedure, "status" => status.to_string()).increment(1);
            histogram!(REQUEST_SECONDS, "procedure" => procedure).record(duration.as_secs_f64());
        });
    }

    /// How many subscriptions are open in this process.
    pub(crate) fn subscriptions(&self, open: usize) {
        self.record(|| gauge!(SUBSCRIPTIONS).set(open as f64));
    }

    /// Somebody was not let in.
    pub(crate) fn auth_rejected(&self, reason: &'static str) {
        self.record(|| counter!(AUTH_REJECTED, "reason" => reason).increment(1));
    }

    /// The queue as it is now: jobs by state and priority, and how long the job has waited that has waited longest.
    pub(crate) fn queue(&self, counts: &[(&'static str, i16, u64)], oldest_waiting: Option<Duration>) {
        let mut shown = self.shown_queues.lock().unwrap_or_else(PoisonError::into_inner);
        self.record(|| {
            // What has gone from the queue would else stand at its last figure for ever.
            for (state, priority) in shown.iter() {
                gauge!(QUEUE_JOBS, "state" => *state, "priority" => priority.to_string()).set(0.0);
            }
            for (state, priority, jobs) in counts {
                shown.insert((*state, *priority));
                gauge!(QUEUE_JOBS, "state" => *state, "priority" => priority.to_string()).set(*jobs as f64);
            }
            gauge!(QUEUE_AGE).set(oldest_waiting.unwrap_or_default().as_secs_f64());
        });
    }

    /// Jobs that this process works on.
    pub(crate) fn running_jobs(&self, jobs: usize) {
        self.record(|| gauge!(JOBS_RUNNING).set(jobs as f64));
    }

    /// A stage's job has ended in this process.
    pub(crate) fn stage(&self, stage: &'static str, outcome: &'static str, duration: Duration) {
        self.record(|| {
            counter!(STAGES, "stage" => stage, "outcome" => outcome).increment(1);
            histogram!(STAGE_SECONDS, "stage" => stage).record(duration.as_secs_f64());
        });
    }

    /// A call of a model has ended; `outcome` is `ok` or the failure's code.
    pub(crate) fn model_call(
        &self,
        model: &str,
        outcome: &'static str,
        latency: Duration,
        usage: TokenUsage,
    ) {
        self.record(|| {
            let model = || model.to_owned();
            counter!(MODEL_CALLS, "model" => model(), "outcome" => outcome).increment(1);
            histogram!(MODEL_SECONDS, "model" => model()).record(latency.as_secs_f64());
            counter!(MODEL_TOKENS, "model" => model(), "kind" => "input").increment(usage.input);
            counter!(MODEL_TOKENS, "model" => model(), "kind" => "output").increment(usage.output);
        });
    }

    /// Money was spent. Prometheus counts whole numbers and floats alike; this is a gauge that only rises.
    pub(crate) fn spent(&self, cost: MicroUsd) {
        self.record(|| gauge!(MODEL_COST).increment(cost.as_usd()));
    }

    /// A course was completed with this quality, 0 to 1.
    pub(crate) fn quality(&self, score: f64) {
        self.record(|| histogram!(QUALITY).record(score));
    }

    /// A webhook was tried.
    pub(crate) fn webhook(&self, outcome: &'static str) {
        self.record(|| counter!(WEBHOOKS, "outcome" => outcome).increment(1));
    }

    /// An event for operators was written by this process.
    pub(crate) fn event(&self, event: &'static str) {
        self.record(|| counter!(EVENTS, "event" => event).increment(1));
    }

    fn record(&self, what: impl FnOnce()) {
        with_local_recorder(&self.recorder, what);
    }
}

fn describe() {
    describe_counter!(REQUESTS, "Requests answered, by procedure and HTTP status");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "Time to the begin of the answer");
    describe_gauge!(SUBSCRIPTIONS, "Open subscriptions in this process");
    describe_counter!(AUTH_REJECTED, "Requests that were not let in, by reason");
    describe_gauge!(QUEUE_JOBS, "Jobs in the queue, by state and priority");
    describe_gauge!(
        QUEUE_AGE,
        Unit::Seconds,
        "How long the job has waited that has waited longest"
    );
    describe_gauge!(JOBS_RUNNING, "Jobs that this process works on");
    describe_counter!(STAGES, "Jobs that ended in this process, by stage and outcome");
    describe_histogram!(STAGE_SECONDS, Unit::Seconds, "Time a stage's job took");
    describe_counter!(MODEL_CALLS, "Calls of models, by model and outcome");
    describe_histogram!(MODEL_SECONDS, Unit::Seconds, "Time a call of a model took");
    describe_counter!(MODEL_TOKENS, "Tokens read and written, by model");
    describe_gauge!(MODEL_COST, "What calls of models cost, in USD");
    describe_histogram!(QUALITY, "Quality of completed courses, 0 to 1");
    describe_counter!(WEBHOOKS, "Webhooks that were tried, by outcome");
    describe_counter!(EVENTS, "Events for operators, by type");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rendered_with_their_labels_and_buckets() {
        let metrics = Metrics::new();
        metrics.request("generation.initiate", 200, Duration::from_millis(12));
        metrics.auth_rejected("expired");
        metrics.stage("content", "finished", Duration::from_secs(3));
        metrics.spent(MicroUsd(1_500_000));
        metrics.queue(&[("pending", 1, 9)], None);
        metrics.queue(&[("pending", 10, 4)], Some(Duration::from_secs(7)));
        let text = metrics.render();
        for line in [
            "# TYPE coursewright_requests_total counter",
            "coursewright_requests_total{procedure=\"generation.initiate\",status=\"200\"} 1",
            "coursewright_request_seconds_bucket{procedure=\"generation.initiate\",le=\"0.025\"} 1",
            "coursewright_auth_rejections_total{reason=\"expired\"} 1",
            "coursewright_stage_seconds_count{stage=\"content\"} 1",
            "coursewright_model_cost_usd_total 1.5",
            "coursewright_queue_jobs{state=\"pending\",priority=\"10\"} 4",
            "coursewright_queue_jobs{state=\"pending\",priority=\"1\"} 0",
            "coursewright_queue_oldest_seconds 7",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!Metrics::new().render().contains("generation.initiate"));
    }
}
