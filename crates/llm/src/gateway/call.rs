//! One content attempt: pick a model, fit the budget, climb the transport ladder, go to the next model.

use std::sync::PoisonError;
use std::time::Duration;

use domain::usage::{MicroUsd, TokenUsage};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{AttemptRecord, CallError, CallLog, CallOutcome, CallSpec, Lane, Models};
use crate::breaker::Circuit;
use crate::budget::{Fit, TokenBudget, count_prompt};
use crate::card::StructuredOutput;
use crate::error::ProviderError;
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
struct Climb<'a> {
    models: &'a Models,
    spec: &'a CallSpec,
    work: Work,
    observer: &'a dyn StreamObserver,
    cancel: &'a CancellationToken,
    log: &'a dyn CallLog,
    attempts: u32,
}

impl Models {
    /// Makes one content attempt. The same model is tried up to three times after transient failures, then the
    /// next of the route (reason `provider_down`). Every transport attempt is reported to `log` before this returns.
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
        }
        .along_the_route(first_reason)
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

    fn wait_after(&self, failed: u32, retry_after: Option<Duration>) -> Option<Duration> {
        let mut rng = self.shared.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.retry.wait_after(failed, retry_after, &mut *rng)
    }
}

impl Climb<'_> {
    async fn along_the_route(&mut self, first_reason: RouteReason) -> Result<CallOutcome, CallError> {
        let models = self.models;
        let mut tried: Vec<&str> = Vec::new();
        let mut too_long = TooLong {
            input_tokens: 0,
            window: 0,
        };
        let mut last_failure = None;
        for lane in models.lanes(self.work).from(self.spec.escalation) {
            let reason = if last_failure.is_some() {
                RouteReason::ProviderDown
            } else {
                first_reason
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
                match self.on_one_model(&pick).await {
                    Ok(outcome) => return Ok(outcome),
                    Err(ProviderError::Cancelled) => return Err(CallError::Cancelled),
                    Err(error)
                        if error.is_transient() || matches!(error, ProviderError::BreakerOpen { .. }) =>
                    {
                        last_failure = Some(error);
                    }
                    Err(cause) => {
                        return Err(CallError::Refused {
                            model: pick.lane.card.id.clone(),
                            provider: pick.lane.card.provider.clone(),
                            cause,
                        });
                    }
                }
            }
        }
        let (work, attempts) = (self.work, self.attempts);
        Err(match (last_failure, too_long) {
            (Some(cause), _) => CallError::Exhausted {
                work,
                attempts,
                cause,
            },
            (None, TooLong { input_tokens, window }) => CallError::TooLong {
                work,
                input_tokens,
                window,
            },
        })
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
            .map(|lane| lane.card.context_window);
        Err(TooLong {
            input_tokens,
            window: windows.max().unwrap_or_default(),
        })
    }

    fn measured<'a>(&self, lane: &'a Lane, reason: RouteReason) -> (Pick<'a>, Fit, u32) {
        let card = &lane.card;
        let schema_in_prompt = match card.structured_output {
            StructuredOutput::JsonObject | StructuredOutput::None => self.spec.schema.as_ref(),
            StructuredOutput::JsonSchema | StructuredOutput::Grammar => None,
        };
        let input = count_prompt(&*lane.counter, &self.spec.messages, schema_in_prompt);
        let fit = TokenBudget::of(card).fit(input, self.spec.expected_output_tokens.min(card.max_output));
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

    async fn on_one_model(&mut self, pick: &Pick<'_>) -> Result<CallOutcome, ProviderError> {
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
        };
        let mut failed = 0;
        loop {
            let permit = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(ProviderError::Cancelled),
                permit = pick.lane.installed.limiter.acquire() => permit,
            };
            // Asked after the wait for the permit: the breaker may have opened meanwhile.
            shared
                .breaker
                .admit(&circuit)
                .map_err(|retry_in| ProviderError::BreakerOpen { retry_in })?;
            let started = Instant::now();
            let result = pick
                .lane
                .installed
                .provider
                .generate(&request, self.observer, self.cancel)
                .await;
            self.attempts += 1;
            let cost = result
                .as_ref()
                .map_or(MicroUsd::ZERO, |response| cost_of(response, pick.lane));
            self.report(pick, started.elapsed(), cost, &result).await;
            let error = match result {
                Ok(response) => {
                    shared.breaker.succeeded(&circuit);
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
                Err(error) => error,
            };
            if !error.is_transient() {
                return Err(error);
            }
            if matches!(error, ProviderError::RateLimited { .. }) {
                // Being asked to slow down is not being broken: the limiter answers it, not the breaker.
                permit.pushed_back();
            } else {
                drop(permit);
                shared.breaker.failed(&circuit);
            }
            failed += 1;
            // The permit is given back by now: others may call while this one waits.
            let Some(wait) = self.models.wait_after(failed, error.retry_after()) else {
                return Err(error);
            };
            tracing::debug!(
                model = card.id,
                code = error.code(),
                wait_ms = wait.as_millis(),
                "trying again"
            );
            sleep(wait, self.cancel).await?;
        }
    }

    async fn report(
        &self,
        pick: &Pick<'_>,
        latency: Duration,
        cost: MicroUsd,
        result: &Result<Response, ProviderError>,
    ) {
        let response = result.as_ref().ok();
        let error = result.as_ref().err();
        let record = AttemptRecord {
            work: self.work,
            model: pick.lane.card.id.clone(),
            provider: pick.lane.card.provider.clone(),
            upstream: response.and_then(|response| response.upstream.clone()),
            attempt: self.attempts,
            reason: pick.reason,
            usage: response.map_or_else(TokenUsage::default, |response| response.usage),
            cost,
            latency,
            finish_reason: response.map(|response| response.finish_reason),
            outcome: error.map_or("ok", ProviderError::code),
            error: error.map(ToString::to_string),
        };
        self.log.on_attempt(record).await;
    }
}

fn cost_of(response: &Response, lane: &Lane) -> MicroUsd {
    response
        .cost
        .unwrap_or_else(|| lane.card.price.cost(response.usage, response.cached_input))
}

async fn sleep(wait: Duration, cancel: &CancellationToken) -> Result<(), ProviderError> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(ProviderError::Cancelled),
        () = tokio::time::sleep(wait) => Ok(()),
    }
}
