//! A provider whose answers are written beforehand: for tests, benchmarks and demonstrations without a network.

pub mod answers;
pub mod delivery;
pub mod ledger;
pub mod misbehaving;
pub mod server;
pub mod strict;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::usage::{MicroUsd, TokenUsage};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::delivery::Delivery;
use self::strict::Dialect;
use crate::budget::{O200k, TokenCounter, count_prompt};
use crate::error::{FailedAttempt, ProviderError};
use crate::provider::{Embedder, EmbeddingKind, Provider, StreamObserver};
use crate::request::Request;
use crate::response::{FinishReason, Response};

/// Decides over the reply to a request; the number counts the calls from 0.
pub type Script = Arc<dyn Fn(&Request, usize) -> ScriptedReply + Send + Sync>;

/// Pieces in which a reply's text is streamed.
const STREAMED_PIECES: usize = 8;

/// A reply and how long it takes.
#[derive(Clone, Debug)]
pub struct ScriptedReply {
    /// Time from the request to the end of the reply, on tokio's clock.
    pub delay: Duration,
    /// The answer or the failure.
    pub outcome: Result<ScriptedAnswer, ProviderError>,
    /// How it travels over HTTP.
    pub delivery: Delivery,
    /// Whether it is what was asked for.
    pub grade: Grade,
}

/// Whether an answer is what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// Complete, and good once it is read with some care.
    Good,
    /// Cut, empty or of another shape: it has to be asked for again.
    Spoiled,
}

/// What a scripted model says.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptedAnswer {
    /// The text.
    pub text: String,
    /// Why it ends.
    pub finish_reason: FinishReason,
    /// The cost it reports, if any.
    pub cost: Option<MicroUsd>,
    /// Tokens of the prompt that it reports as cached.
    pub cached_input: u64,
}

impl ScriptedReply {
    /// Says `text` at once, free of charge.
    pub fn text(text: impl Into<String>) -> Self {
        let answer = ScriptedAnswer {
            text: text.into(),
            finish_reason: FinishReason::Stop,
            cost: None,
            cached_input: 0,
        };
        Self {
            delay: Duration::ZERO,
            outcome: Ok(answer),
            delivery: Delivery::Regular,
            grade: Grade::Good,
        }
    }

    /// Fails at once.
    pub const fn error(error: ProviderError) -> Self {
        Self {
            delay: Duration::ZERO,
            outcome: Err(error),
            delivery: Delivery::Regular,
            grade: Grade::Spoiled,
        }
    }

    /// The same, sent in this manner.
    #[must_use]
    pub fn delivered(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// The same, after a time.
    #[must_use]
    pub const fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The same, at a price. A failure stays free.
    #[must_use]
    pub fn costing(mut self, cost: MicroUsd) -> Self {
        if let Ok(answer) = &mut self.outcome {
            answer.cost = Some(cost);
        }
        self
    }

    /// The same, with so many tokens of the prompt found in the provider's cache. A failure stays as it is.
    #[must_use]
    pub const fn cached(mut self, input_tokens: u64) -> Self {
        if let Ok(answer) = &mut self.outcome {
            answer.cached_input = input_tokens;
        }
        self
    }

    /// The same, cut at the token limit as the provider would say. A failure stays as it is.
    #[must_use]
    pub fn cut(mut self) -> Self {
        if let Ok(answer) = &mut self.outcome {
            answer.finish_reason = FinishReason::Length;
        }
        self.grade = Grade::Spoiled;
        self
    }
}

/// A provider that follows a script. It refuses what servers refuse, before the script is asked.
pub struct Scripted {
    id: String,
    script: Script,
    dialect: &'static Dialect,
    max_parallel: usize,
    calls: AtomicUsize,
    requests: Mutex<Vec<Request>>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted")
            .field("id", &self.id)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

impl Scripted {
    /// A provider with this id that follows `script` and is as strict as [`Dialect::strict`].
    pub fn new(id: impl Into<String>, script: Script) -> Self {
        Self {
            id: id.into(),
            script,
            dialect: Dialect::strict(),
            max_parallel: 8,
            calls: AtomicUsize::new(0),
            requests: Mutex::default(),
        }
    }

    /// A provider that gives these replies in turn, the last one for ever after.
    pub fn replies(id: impl Into<String>, replies: Vec<ScriptedReply>) -> Self {
        let reply = move |_: &Request, call: usize| {
            replies
                .get(call)
                .or(replies.last())
                .cloned()
                .unwrap_or(ScriptedReply::error(ProviderError::Empty))
        };
        Self::new(id, Arc::new(reply))
    }

    /// The same with another number of calls at once.
    #[must_use]
    pub const fn with_max_parallel(mut self, max_parallel: usize) -> Self {
        self.max_parallel = max_parallel;
        self
    }

    /// The same as strict as another server.
    #[must_use]
    pub const fn speaking(mut self, dialect: &'static Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// What it was asked, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[async_trait]
impl Provider for Scripted {
    fn id(&self) -> &str {
        &self.id
    }

    fn max_parallel(&self) -> usize {
        self.max_parallel
    }

    async fn generate(
        &self,
        request: &Request,
        observer: &dyn StreamObserver,
        cancel: &CancellationToken,
    ) -> Result<Response, FailedAttempt> {
        let started = Instant::now();
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request.clone());
        self.dialect.check(request)?;
        let reply = (self.script)(request, call);
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(ProviderError::Cancelled.into()),
            () = sleep(reply.delay.min(request.idle_timeout)) => {}
        }
        if reply.delay > request.idle_timeout {
            return Err(ProviderError::Timeout {
                after: request.idle_timeout,
            }
            .into());
        }
        let answer = reply.outcome?;
        if answer.text.trim().is_empty() {
            return Err(ProviderError::Empty.into());
        }
        let usage = usage_of(request, &answer.text);
        let pieces = pieces_of(&answer.text);
        let share = usage.output / pieces.len().max(1) as u64;
        for (sent, piece) in (1_u64..).zip(&pieces) {
            let is_last = sent == pieces.len() as u64;
            observer.on_delta(piece, if is_last { usage.output } else { share * sent });
        }
        Ok(Response {
            text: answer.text,
            finish_reason: answer.finish_reason,
            usage,
            cached_input: answer.cached_input.min(usage.input),
            cost: answer.cost,
            model: request.model.clone(),
            upstream: None,
            latency: started.elapsed(),
        })
    }
}

/// The tokens of a request and its answer, as a provider would report them.
fn usage_of(request: &Request, text: &str) -> TokenUsage {
    TokenUsage::new(
        count_prompt(&O200k, &request.messages, None).into(),
        O200k.count(text).into(),
    )
}

/// The text in a few pieces, cut between characters.
fn pieces_of(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let length = letters.len().div_ceil(STREAMED_PIECES).max(1);
    letters
        .chunks(length)
        .map(|piece| piece.iter().collect())
        .collect()
}

/// Embeds by words: texts that share words are close. Deterministic, for tests without a model.
#[derive(Clone, Debug)]
pub struct WordEmbedder {
    dimensions: usize,
    closeness: f32,
}

impl WordEmbedder {
    /// An embedder with vectors of this length (at least 8).
    pub fn new(dimensions: usize) -> Self {
        Self {
            dimensions: dimensions.max(8),
            closeness: 0.0,
        }
    }

    /// The same with all texts close to each other: what a script says passes every semantic gate, whatever was
    /// asked, and only texts that share many words count as repeated.
    #[must_use]
    pub const fn lenient(mut self) -> Self {
        self.closeness = LENIENT_CLOSENESS;
        self
    }
}

/// The cosine of texts without a common word where the embedder is lenient: above the strictest threshold, 0.85
/// (generation 3.7), and below that of near duplicates.
const LENIENT_CLOSENESS: f32 = 0.86;

/// A share that all vectors have in common: texts without a common word are not quite unrelated either.
const COMMON_SHARE: f32 = 0.5;
/// Words are cut to so many letters, which takes off most endings of English and Russian.
const STEM_LETTERS: usize = 5;

#[async_trait]
impl Embedder for WordEmbedder {
    fn model(&self) -> &'static str {
        "scripted-words"
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    async fn embed(&self, texts: &[String], _kind: EmbeddingKind) -> Result<Vec<Vec<f32>>, ProviderError> {
        Ok(texts.iter().map(|text| self.vector(text)).collect())
    }
}

impl WordEmbedder {
    fn vector(&self, text: &str) -> Vec<f32> {
        let mut vector = vec![0.0_f32; self.dimensions];
        vector[0] = COMMON_SHARE;
        let lower = text.to_lowercase();
        for word in lower
            .split(|letter: char| !letter.is_alphanumeric())
            .filter(|word| word.chars().count() > 2)
        {
            let stem: String = word.chars().take(STEM_LETTERS).collect();
            // FNV-1a: stable between runs and versions, unlike the standard library's hasher.
            let hash = stem.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            let place = 1 + usize::try_from(hash % (self.dimensions as u64 - 1)).unwrap_or_default();
            vector[place] += 1.0;
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        let own = (1.0 - self.closeness).sqrt() / length;
        let mut vector: Vec<f32> = vector.iter().map(|x| x * own).collect();
        // Only the first number is shared by all texts, so it alone has to grow for the vector to be of unit length.
        vector[0] = vector[0].mul_add(vector[0], self.closeness).sqrt();
        vector
    }
}
