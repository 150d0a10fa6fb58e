//! Waiting for providers that are away or busy: a stage outlives an outage, and says what it waits for.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::call::{Climb, Stop};
use super::{CallError, CallOutcome, Lane, Shared, Waiting};
use crate::error::ProviderError;
use crate::route::RouteReason;

/// Shorter pauses are not told.
const TOLD_FROM: Duration = Duration::from_secs(5);
/// While a wait lasts it is told this often: the screen is never silent for 30 s (generation 3.4).
const TOLD_EVERY: Duration = Duration::from_secs(25);

impl Climb<'_> {
    /// Round after round over the models of the route, with pauses between them, until one answers or the wait limit is
    /// reached.
    pub(super) async fn until_answered(
        &mut self,
        first_reason: RouteReason,
    ) -> Result<CallOutcome, CallError> {
        let mut round = 0;
        loop {
            let error = match self.along_the_route(first_reason, round).await {
                Err(CallError::Exhausted { cause, .. }) => cause,
                ended => return ended,
            };
            let models = self.models;
            let lane = models.lanes(self.work).at(self.spec.escalation);
            let pause = models.stage_pause(round, error.retry_after());
            if !models.shared.is_waited_for(lane, &error) || !self.has_time_for(pause, &error) {
                return Err(CallError::Exhausted {
                    work: self.work,
                    attempts: self.attempts,
                    waited: self.waited,
                    asked: error
                        .true_cause()
                        .retry_after()
                        .filter(|asked| !self.has_time_for(*asked, &error)),
                    cause: error.true_cause().clone(),
                });
            }
            match self.pause(pause, lane, &error).await {
                Ok(()) => round += 1,
                Err(Stop::Forbidden) => return Err(self.stopped()),
                Err(Stop::Cancelled | Stop::Failed(_)) => return Err(CallError::Cancelled),
            }
        }
    }

    /// Whether the wait limit leaves so much time, and time for an attempt that is as silent as the last one. Where an
    /// endpoint may be silent for longer than that, the first silence is forgiven: nobody fails after one try.
    pub(super) fn has_time_for(&self, wait: Duration, last: &ProviderError) -> bool {
        let (before, silence) = match last.true_cause() {
            ProviderError::Timeout { after } if self.attempts <= 1 => {
                (self.waited.saturating_sub(*after), Duration::ZERO)
            }
            ProviderError::Timeout { after } => (self.waited, *after),
            _ => (self.waited, Duration::ZERO),
        };
        // A provider may ask for any time at all: a sum that overflows is too long, not a crash.
        let needed = before.saturating_add(wait).saturating_add(silence);
        needed <= self.models.shared.retry.wait_limit
    }

    /// Waits, and tells of it if it is long.
    ///
    /// # Errors
    /// [`Stop::Cancelled`] at once when the call is cancelled; [`Stop::Forbidden`] within half a minute when no further
    /// attempt may be made.
    pub(super) async fn pause(
        &mut self,
        wait: Duration,
        lane: &Lane,
        cause: &ProviderError,
    ) -> Result<(), Stop> {
        self.waited = self.waited.saturating_add(wait);
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            if !self.log.may_go_on() {
                return Err(Stop::Forbidden);
            }
            if wait >= TOLD_FROM {
                self.log.on_wait(&Waiting {
                    model: lane.card.id.clone(),
                    provider: lane.card.provider.clone(),
                    cause: cause.true_cause().clone(),
                    left,
                });
            }
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Stop::Cancelled),
                () = tokio::time::sleep(left.min(TOLD_EVERY)) => {}
            }
        }
    }
}

impl Shared {
    /// Remembers that a provider is there, whatever it said.
    pub(super) fn has_answered(&self, provider: &str) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if !answered.contains(provider) {
            answered.insert(provider.to_owned());
        }
    }

    /// Whether time may mend it. An address where nobody ever answered is a matter of set-up, to be told at once.
    fn is_waited_for(&self, lane: &Lane, error: &ProviderError) -> bool {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = answered.contains(&lane.card.provider);
        error.is_outage() && (is_there || !matches!(error.true_cause(), ProviderError::Connect { .. }))
    }
}
