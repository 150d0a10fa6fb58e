//! One content attempt: pick a model, fit the budget, climb the transport ladder, go to the next model.

use std::sync::PoisonError;
use std::time::Duration;

use domain::usage::TokenUsage;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{AttemptRecord, CallError, CallLog, CallOutcome, CallSpec, Lane, Models};
use crate::breaker::Circuit;
use crate::budget::{Fit, TokenBudget, count_prompt};
use crate::card::StructuredOutput;
use crate::error::{FailedAttempt, ProviderError};
use crate::pricing::{ASSUMED_PRICE, Cost};
use crate::provider::{EmbeddingKind, StreamObserver};
use crate::request::Request;
use crate::response::Response;
use crate::route::{COMPLEX_SECTION_FROM, RouteReason, Work};

/// The shortest answer worth asking for, in tokens: a prompt that leaves less room is too long.
const LEAST_ANSWER_TOKENS: u32 = 256;

/// A model picked for a call.
struct Pick<'a> {
    lane: &'a Lane,
    reason: RouteReason,
    tight: bool,
    max_output_tokens: u32,
}

/// The prompt fits no model that was looked at.
struct TooLong {
    input_tokens: u32,
    window: u32,
}

/// One content attempt under way.
pub(super) struct Climb<'a> {
    pub(super) models: &'a Models,
    pub(super) spec: &'a CallSpec,
    pub(super) work: Work,
    pub(super) observer: &'a dyn StreamObserver,
    pub(super) cancel: &'a CancellationToken,
    pub(super) log: &'a dyn CallLog,
    pub(super) attempts: u32,
    /// How long nothing has come: pauses, and attempts that brought no text. Neither the wait for other calls of ours nor
    /// the first answer that breaks off counts: a busy local server is not away.
    pub(super) waited: Duration,
}

impl Models {
    /// Makes one content attempt. The same model is tried up to three times after transient failures, then the
    /// next of the route (reason `provider_down`); then the call waits for them, as long as they say or with growing
    /// pauses, up to the wait limit. Every transport attempt is reported to `log` before this returns.
    /// The observer hears of each attempt's text from its beginning.
    ///
    /// # Errors
    /// [`CallError::Refused`] at once for what another try cannot mend, [`CallError::Exhausted`] when no model
    /// answered, [`CallError::TooLong`] when the prompt fits none, [`CallError::Cancelled`].
    pub async fn call(
        &self,
        spec: &CallSpec,
        observer: &dyn StreamObserver,
        cancel: &CancellationToken,
        log: &dyn CallLog,
    ) -> Result<CallOutcome, CallError> {
        let is_complex = spec
            .complexity
            .is_some_and(|complexity| complexity >= COMPLEX_SECTION_FROM);
        let work = if spec.work == Work::Section && is_complex {
            Work::ComplexSection
        } else {
            spec.work
        };
        let first_reason = match (spec.escalation, work) {
            (0, Work::ComplexSection) => RouteReason::Complexity,
            (0, _) => RouteReason::Default,
            _ => spec.escalation_reason,
        };
        Climb {
            models: self,
            spec,
            work,
            observer,
            cancel,
            log,
            attempts: 0,
            waited: Duration::ZERO,
        }
        .until_answered(first_reason)
        .await
    }

    /// One unit-length vector a text, in the order of `texts`, with the transport ladder.
    ///
    /// # Errors
    /// The last [`ProviderError`], or [`ProviderError::Cancelled`].
    pub async fn embed(
        &self,
        texts: &[String],
        kind: EmbeddingKind,
        cancel: &CancellationToken,
    ) -> Result<Vec<Vec<f32>>, ProviderError> {
        let mut failed = 0;
        loop {
            let result = tokio::select! {
                biased;
                () = cancel.cancelled() => Err(ProviderError::Cancelled),
                result = self.shared.embedder.embed(texts, kind) => result,
            };
            let error = match result {
                Ok(vectors) => return Ok(vectors),
                Err(error) if error.is_transient() => error,
                Err(error) => return Err(error),
            };
            failed += 1;
            let Some(wait) = self.wait_after(failed, error.retry_after()) else {
                return Err(error);
            };
            sleep(wait, cancel).await?;
        }
    }

    pub(super) fn stage_pause(&self, round: u32, retry_after: Option<Duration>) -> Duration {
        let mut rng = self.shared.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.retry.stage_pause(round, retry_after, &mut *rng)
    }

    fn wait_after(&self, failed: u32, retry_after: Option<Duration>) -> Option<Duration> {
        let mut rng = self.shared.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.retry.wait_after(failed, retry_after, &mut *rng)
    }
}

impl Climb<'_> {
    /// One round over the models of the route.
    pub(super) async fn along_the_route(
        &mut self,
        first_reason: RouteReason,
        round: u32,
    ) -> Result<CallOutcome, CallError> {
        let models = self.models;
        let mut tried: Vec<&str> = Vec::new();
        let mut too_long = TooLong {
            input_tokens: 0,
            window: 0,
        };
        let mut failures: Vec<(&Lane, ProviderError)> = Vec::new();
        for lane in models.lanes(self.work).from(self.spec.escalation) {
            let reason = if failures.is_empty() {
                first_reason
            } else {
                RouteReason::ProviderDown
            };
            let picks = match self.picks(models, lane, reason) {
                Ok(picks) => picks,
                Err(error) => {
                    too_long = error;
                    continue;
                }
            };
            for pick in picks {
                // Two models of a route may share their overflow model.
                if tried.contains(&pick.lane.card.id.as_str()) {
                    continue;
                }
                tried.push(&pick.lane.card.id);
                let error = match self.on_one_model(&pick, round).await {
                    Ok(outcome) => return Ok(outcome),
                    Err(Stop::Cancelled) => return Err(CallError::Cancelled),
                    Err(Stop::Forbidden) => return Err(self.stopped()),
                    Err(Stop::Failed(error)) => error,
                };
                if let ProviderError::TooLong { window, .. } = &error {
                    too_long = TooLong {
                        input_tokens: self.measured(pick.lane, reason).2,
                        window: *window,
                    };
                }
                if !goes_along_the_route(&error) {
                    return Err(refused(pick.lane, error));
                }
                failures.push((pick.lane, error));
            }
        }
        Err(self.worst_of(failures, &too_long))
    }

    /// What to tell after all models have failed: an outage, which may pass, before a refusal of this very call.
    fn worst_of(&self, failures: Vec<(&Lane, ProviderError)>, too_long: &TooLong) -> CallError {
        let place = failures
            .iter()
            .rposition(|(_, error)| error.is_outage())
            .or_else(|| {
                let is_told = |error: &ProviderError| !matches!(error, ProviderError::TooLong { .. });
                failures.iter().rposition(|(_, error)| is_told(error))
            });
        match place.and_then(|place| failures.into_iter().nth(place)) {
            Some((_, cause)) if cause.is_outage() || matches!(cause, ProviderError::Empty) => {
                CallError::Exhausted {
                    work: self.work,
                    attempts: self.attempts,
                    waited: self.waited,
                    asked: None,
                    cause,
                }
            }
            Some((lane, cause)) => refused(lane, cause),
            None => CallError::TooLong {
                work: self.work,
                input_tokens: too_long.input_tokens,
                window: too_long.window,
            },
        }
    }

    /// The models to try in place of `lane`: itself if the call fits its budget, else those of the overflow route
    /// that hold it, else itself if at least its bare window does. Empty: the prompt is too long for all of them.
    fn picks<'a>(
        &self,
        models: &'a Models,
        lane: &'a Lane,
        reason: RouteReason,
    ) -> Result<Vec<Pick<'a>>, TooLong> {
        let (pick, fit, input_tokens) = self.measured(lane, reason);
        if fit != Fit::Overflows {
            return Ok(vec![pick]);
        }
        let overflow: Vec<Pick<'a>> = models
            .lanes(Work::Overflow)
            .from(0)
            .map(|larger| self.measured(larger, RouteReason::Overflow))
            .filter(|(_, fit, _)| *fit != Fit::Overflows)
            .map(|(pick, _, _)| pick)
            .collect();
        if !overflow.is_empty() {
            return Ok(overflow);
        }
        if pick.max_output_tokens >= LEAST_ANSWER_TOKENS.min(self.spec.max_output_tokens) {
            return Ok(vec![pick]);
        }
        let windows = models
            .lanes(Work::Overflow)
            .from(0)
            .chain([lane])
            .map(|lane| models.shared.corrected(lane).context_window);
        Err(TooLong {
            input_tokens,
            window: windows.max().unwrap_or_default(),
        })
    }

    fn measured<'a>(&self, lane: &'a Lane, reason: RouteReason) -> (Pick<'a>, Fit, u32) {
        let card = self.models.shared.corrected(lane);
        let schema_in_prompt = match card.structured_output {
            StructuredOutput::JsonObject | StructuredOutput::None => self.spec.schema.as_ref(),
            StructuredOutput::FullJsonSchema | StructuredOutput::JsonSchema | StructuredOutput::Grammar => {
                None
            }
        };
        let input = count_prompt(&*lane.counter, &self.spec.messages, schema_in_prompt);
        let fit = TokenBudget::of(&card).fit(input, self.spec.expected_output_tokens.min(card.max_output));
        let room = card.context_window.saturating_sub(input);
        let max_output_tokens = self.spec.max_output_tokens.min(card.max_output).min(room);
        (
            Pick {
                lane,
                reason,
                tight: fit != Fit::Fits,
                max_output_tokens,
            },
            fit,
            input,
        )
    }

    async fn on_one_model(&mut self, pick: &Pick<'_>, round: u32) -> Result<CallOutcome, Stop> {
        let card = &pick.lane.card;
        let shared = &self.models.shared;
        let circuit = Circuit {
            provider: card.provider.clone(),
            model: card.id.clone(),
        };
        let request = Request {
            model: card.id.clone(),
            messages: self.spec.messages.clone(),
            schema: self.spec.schema.clone(),
            max_output_tokens: pick.max_output_tokens,
            sampling: self.spec.sampling,
            idle_timeout: self.spec.idle_timeout,
            wait_limit: shared.retry.wait_limit,
        };
        let mut failed = 0;
        loop {
            let permit = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Stop::Cancelled),
                permit = pick.lane.installed.limiter.acquire() => permit,
            };
            // Asked after the wait for the permit: the budget may be used up meanwhile, and the breaker open.
            if !self.log.may_go_on() {
                return Err(Stop::Forbidden);
            }
            shared.breaker.admit(&circuit)?;
            let started = Instant::now();
            let result = pick
                .lane
                .installed
                .provider
                .generate(&request, self.observer, self.cancel)
                .await;
            self.attempts += 1;
            let cost = cost_of(&result, pick.lane);
            self.report(pick, started.elapsed(), cost, &result).await;
            let error = match result {
                Ok(response) => {
                    shared.breaker.succeeded(&circuit);
                    shared.has_answered(&card.provider);
                    permit.succeeded();
                    return Ok(CallOutcome {
                        response,
                        cost,
                        model: card.id.clone(),
                        provider: card.provider.clone(),
                        reason: pick.reason,
                        tight: pick.tight,
                        attempts: self.attempts,
                    });
                }
                Err(FailedAttempt { error, .. }) => error,
            };
            self.waited = self.waited.saturating_add(match &error {
                ProviderError::Timeout { after } => *after,
                // An answer that breaks again and again is paid for each time: only the first is forgiven.
                ProviderError::BrokenStream { .. } if self.attempts == 1 => Duration::ZERO,
                _ => started.elapsed(),
            });
            if !error.is_transient() {
                return Err(error.into());
            }
            if !matches!(error, ProviderError::Connect { .. }) {
                shared.has_answered(&card.provider);
            }
            match &error {
                // Being asked to slow down is not being broken: the limiter answers it, not the breaker.
                ProviderError::RateLimited { .. } => permit.pushed_back(),
                error if error.is_outage() => {
                    drop(permit);
                    shared.breaker.failed(&circuit, error);
                }
                _ => drop(permit),
            }
            failed += 1;
            let is_last = round > 0 && error.is_outage();
            // The permit is given back by now: others may call while this one waits.
            let wait = self.models.wait_after(failed, error.retry_after());
            let Some(wait) = wait.filter(|wait| !is_last && self.has_time_for(*wait, &error)) else {
                return Err(error.into());
            };
            tracing::debug!(
                model = card.id,
                code = error.code(),
                wait_ms = wait.as_millis(),
                "trying again"
            );
            self.pause(wait, pick.lane, &error).await?;
        }
    }

    pub(super) const fn stopped(&self) -> CallError {
        CallError::Stopped {
            attempts: self.attempts,
        }
    }

    async fn report(
        &self,
        pick: &Pick<'_>,
        latency: Duration,
        cost: Cost,
        result: &Result<Response, FailedAttempt>,
    ) {
        let response = result.as_ref().ok();
        let failed = result.as_ref().err();
        let spent = failed.and_then(|failed| failed.spent).map(|spent| spent.usage);
        let usage = response.map(|response| response.usage).or(spent);
        let record = AttemptRecord {
            work: self.work,
            model: pick.lane.card.id.clone(),
            provider: pick.lane.card.provider.clone(),
            upstream: response.and_then(|response| response.upstream.clone()),
            attempt: self.attempts,
            reason: pick.reason,
            usage: usage.unwrap_or_default(),
            cost,
            latency,
            finish_reason: response.map(|response| response.finish_reason),
            outcome: failed.map_or("ok", |failed| failed.error.code()),
            error: failed.map(ToString::to_string),
        };
        self.log.on_attempt(record).await;
    }
}

/// Why a model is not tried any further.
pub(super) enum Stop {
    Cancelled,
    /// The caller's log allows no further attempt.
    Forbidden,
    Failed(ProviderError),
}

impl From<ProviderError> for Stop {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Cancelled => Self::Cancelled,
            error => Self::Failed(error),
        }
    }
}

/// Whether the next model of the route may do better. A wrong key, an empty account or an unknown model is told at once:
/// to go on with another model would hide it.
const fn goes_along_the_route(error: &ProviderError) -> bool {
    error.is_outage() || error.is_of_this_call() || matches!(error, ProviderError::Rejected { .. })
}

fn refused(lane: &Lane, cause: ProviderError) -> CallError {
    CallError::Refused {
        model: lane.card.id.clone(),
        provider: lane.card.provider.clone(),
        cause,
    }
}

/// What an attempt cost, also one that failed after it was paid for.
fn cost_of(result: &Result<Response, FailedAttempt>, lane: &Lane) -> Cost {
    let (usage, cached_input, cost) = match result {
        Ok(response) => (response.usage, response.cached_input, response.cost),
        Err(FailedAttempt {
            spent: Some(spent), ..
        }) => (spent.usage, spent.cached_input, spent.cost),
        Err(FailedAttempt { spent: None, .. }) => (TokenUsage::default(), 0, None),
    };
    match (cost, lane.card.price) {
        (Some(cost), _) => Cost::Known(cost),
        (None, Some(price)) => Cost::Known(price.cost(usage, cached_input)),
        (None, None) if usage == TokenUsage::default() => Cost::FREE,
        (None, None) => Cost::Assumed(ASSUMED_PRICE.cost(usage, cached_input)),
    }
}

async fn sleep(wait: Duration, cancel: &CancellationToken) -> Result<(), ProviderError> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(ProviderError::Cancelled),
        () = tokio::time::sleep(wait) => Ok(()),
    }
}
