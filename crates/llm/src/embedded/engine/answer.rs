//! One answer: its budget, its schema, its text on the way to the caller.

use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use toktrie::TokenId;

use crate::embedded::EmbeddedError;
use crate::embedded::constraint::Constraint;
use crate::embedded::sampling::{Sampler, TokenTraits};
use crate::embedded::vocabulary::Vocabulary;
use crate::error::ProviderError;
use crate::request::Sampling;
use crate::response::FinishReason;

/// A request as the engine understands it.
pub(in crate::embedded) struct Job {
    pub(in crate::embedded) prompt: Vec<TokenId>,
    pub(in crate::embedded) constraint: Option<Constraint>,
    pub(in crate::embedded) sampling: Sampling,
    pub(in crate::embedded) seed: u64,
    pub(in crate::embedded) max_output_tokens: usize,
    pub(in crate::embedded) events: UnboundedSender<Event>,
    pub(in crate::embedded) cancel: CancellationToken,
}

impl Job {
    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.cancel.is_cancelled() || self.events.is_closed()
    }
}

/// What the caller hears.
#[derive(Debug)]
pub(in crate::embedded) enum Event {
    /// More text, and the number of tokens so far.
    Text(String, u64),
    /// The end.
    Finished {
        reason: FinishReason,
        output_tokens: u64,
        /// Tokens of the prompt that were copied from another one.
        reused_tokens: usize,
    },
    /// It did not work.
    Failed(ProviderError),
}

/// What one more token led to.
pub(super) enum Progress {
    /// These tokens go through the network next.
    More(Vec<TokenId>),
    /// The answer is complete or out of tokens; the caller knows.
    Finished,
}

/// An answer in the making.
pub(super) struct Answer {
    job: Job,
    sampler: Sampler,
    /// Tokens that the schema puts at the start; they go through the network with the prompt.
    forced_at_start: Vec<TokenId>,
    started: bool,
    output: usize,
    /// The most tokens of output, from the request and the context.
    limit: usize,
    /// Bytes that do not make a whole character yet.
    partial: Vec<u8>,
    reused: usize,
}

impl Answer {
    pub(super) fn new(mut job: Job, positions: usize, reused: usize) -> Self {
        let limit = job
            .max_output_tokens
            .min(positions.saturating_sub(job.prompt.len()));
        let mut forced_at_start = job
            .constraint
            .as_mut()
            .map(Constraint::forced)
            .unwrap_or_default();
        forced_at_start.truncate(limit);
        let sampler = Sampler::new(&job.sampling, job.seed);
        Self {
            job,
            sampler,
            forced_at_start,
            started: false,
            output: 0,
            limit,
            partial: Vec::new(),
            reused,
        }
    }

    pub(super) fn forced_at_start(&self) -> &[TokenId] {
        &self.forced_at_start
    }

    /// Whether the prompt is still being read.
    pub(super) const fn is_reading(&self) -> bool {
        !self.started
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.job.is_abandoned()
    }

    /// Tells the caller that it did not work.
    pub(super) fn fail(&self, error: ProviderError) {
        // A caller who has gone does not mind.
        let _ = self.job.events.send(Event::Failed(error));
    }

    /// Chooses the next token from `logits`.
    pub(super) fn next(
        &mut self,
        logits: &mut [f32],
        vocabulary: &Vocabulary,
        traits: &TokenTraits,
    ) -> Result<Progress, EmbeddedError> {
        if !self.started {
            self.started = true;
            let forced = std::mem::take(&mut self.forced_at_start);
            self.emit(&forced, vocabulary, traits);
        }
        let remaining = self.limit.saturating_sub(self.output);
        let is_done = self.job.constraint.as_ref().is_some_and(Constraint::is_done);
        if is_done || remaining == 0 {
            return Ok(self.finish(if is_done {
                FinishReason::Stop
            } else {
                FinishReason::Length
            }));
        }
        let allowed = self
            .job
            .constraint
            .as_mut()
            .map(Constraint::allowed)
            .transpose()?;
        let Some(mut token) = self.sampler.choose(logits, allowed.as_ref(), traits) else {
            return Err(EmbeddedError::Grammar("no token may follow".to_owned()));
        };
        let Some(constraint) = &mut self.job.constraint else {
            if vocabulary.ends(token) {
                return Ok(self.finish(FinishReason::Stop));
            }
            self.emit(&[token], vocabulary, traits);
            return Ok(self.more(vec![token]));
        };
        if constraint.is_tight(remaining)
            && let Some(closable) = constraint.choose_closable(token, remaining)
        {
            token = closable;
        }
        let mut tokens = vec![token];
        tokens.extend(constraint.take(token)?);
        let is_done = constraint.is_done();
        tokens.truncate(remaining);
        self.emit(&tokens, vocabulary, traits);
        if is_done {
            return Ok(self.finish(FinishReason::Stop));
        }
        Ok(self.more(tokens))
    }

    fn more(&mut self, tokens: Vec<TokenId>) -> Progress {
        if self.output >= self.limit {
            let accepts = self.job.constraint.as_mut().is_some_and(Constraint::may_end);
            return self.finish(if accepts {
                FinishReason::Stop
            } else {
                FinishReason::Length
            });
        }
        Progress::More(tokens)
    }

    /// Passes on the text of `tokens`.
    fn emit(&mut self, tokens: &[TokenId], vocabulary: &Vocabulary, traits: &TokenTraits) {
        for token in tokens {
            self.output += 1;
            self.sampler.record(*token, traits);
            if !vocabulary.is_control(*token) {
                self.partial.extend_from_slice(vocabulary.bytes(*token));
            }
        }
        let whole = match std::str::from_utf8(&self.partial) {
            Ok(text) => text.len(),
            // The end of a character is still to come; anything else is replaced below.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.partial.len(),
        };
        let text = String::from_utf8_lossy(&self.partial[..whole]).into_owned();
        self.partial.drain(..whole);
        if !text.is_empty() {
            let _ = self.job.events.send(Event::Text(text, self.output as u64));
        }
    }

    fn finish(&mut self, reason: FinishReason) -> Progress {
        let output_tokens = self.output as u64;
        let _ = self.job.events.send(Event::Finished {
            reason,
            output_tokens,
            reused_tokens: self.reused,
        });
        Progress::Finished
    }
}
