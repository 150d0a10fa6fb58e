//! The one door to all models: routes, budgets, parallelism, retries, breakers and the call log.

mod call;
mod outage;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::clock::Clock;
use domain::error::ErrorKind;
use domain::usage::TokenUsage;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::breaker::{Breaker, Circuit};
use crate::budget::{TokenBudget, TokenCounter, counter_for};
use crate::capability::CapabilityBook;
use crate::card::{Cards, ModelCard};
use crate::error::ProviderError;
use crate::parallelism::AdaptiveLimiter;
use crate::pricing::Cost;
use crate::provider::{Embedder, Provider};
use crate::request::{Message, OutputSchema, Sampling};
use crate::response::{FinishReason, Response};
use crate::retry::RetryPolicy;
use crate::route::{RouteError, RouteReason, Routes, Work};

/// One content attempt: what is asked, and how far the content ladder has climbed.
#[derive(Clone, Debug)]
pub struct CallSpec {
    /// What the call is for; picks the route.
    pub work: Work,
    /// 0 is the route's first model, 1 the next ... Beyond the route's end its last model is taken.
    pub escalation: usize,
    /// Why, if `escalation` is above 0: [`RouteReason::ValidationFailure`] or [`RouteReason::Quality`].
    pub escalation_reason: RouteReason,
    /// How complex the section is, 0 to 1; moves [`Work::Section`] to [`Work::ComplexSection`].
    pub complexity: Option<f32>,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// The shape of the answer; `None` is free text.
    pub schema: Option<OutputSchema>,
    /// How many tokens the answer will need; decides over overflow.
    pub expected_output_tokens: u32,
    /// The longest answer; lowered to what the model and its window allow.
    pub max_output_tokens: u32,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// How long to wait without a byte from the provider.
    pub idle_timeout: Duration,
}

/// A cloud model that sends nothing for so long is taken to hang.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(90);

impl CallSpec {
    /// A first attempt with the defaults: expected and longest answer of `max_output_tokens`.
    pub fn new(work: Work, messages: Vec<Message>, max_output_tokens: u32) -> Self {
        Self {
            work,
            escalation: 0,
            escalation_reason: RouteReason::ValidationFailure,
            complexity: None,
            messages,
            schema: None,
            expected_output_tokens: max_output_tokens,
            max_output_tokens,
            sampling: Sampling::default(),
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
        }
    }
}

/// What a successful content attempt brought.
#[derive(Clone, Debug)]
pub struct CallOutcome {
    /// The answer.
    pub response: Response,
    /// What it cost: the provider's figure, else the card's price times tokens.
    pub cost: Cost,
    /// The model's id as routes name it.
    pub model: String,
    /// The provider's id.
    pub provider: String,
    /// Why this model.
    pub reason: RouteReason,
    /// Whether the budget of tokens was used to more than 85 %.
    pub tight: bool,
    /// Transport attempts made, the successful one included.
    pub attempts: u32,
}

/// One transport attempt, successful or not, as the call log keeps it.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// What the call was for.
    pub work: Work,
    /// The model's id as routes name it.
    pub model: String,
    /// The provider's id.
    pub provider: String,
    /// The provider behind the provider, where it says.
    pub upstream: Option<String>,
    /// 1 is the first attempt of this content attempt; counts on over models.
    pub attempt: u32,
    /// Why this model.
    pub reason: RouteReason,
    /// Tokens; of a failed attempt those that the provider reported, if any.
    pub usage: TokenUsage,
    /// Cost; of a failed attempt what the provider reported, if anything.
    pub cost: Cost,
    /// Time from the request to its end.
    pub latency: Duration,
    /// Why the model stopped; `None` for a failed attempt.
    pub finish_reason: Option<FinishReason>,
    /// `ok` or [`ProviderError::code`].
    pub outcome: &'static str,
    /// What went wrong, without secrets.
    pub error: Option<String>,
}

/// A call waits for a provider that is away or busy.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The model that is waited for.
    pub model: String,
    /// Its provider's id.
    pub provider: String,
    /// What is wrong with it.
    pub cause: ProviderError,
    /// How long it is still waited before the next attempt.
    pub left: Duration,
}

/// Hears of every transport attempt; the caller writes it to `model_calls`.
#[async_trait]
pub trait CallLog: Send + Sync {
    /// An attempt has ended.
    async fn on_attempt(&self, record: AttemptRecord);

    /// Whether an attempt may be made: others may have used the budget up while the call waited. Asked before each one,
    /// and again twice a minute while the call waits.
    fn may_go_on(&self) -> bool {
        true
    }

    /// The call waits. Told at the beginning of a wait of some seconds, and again twice a minute while it lasts.
    fn on_wait(&self, _waiting: &Waiting) {}
}

/// A log that forgets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlogged;

#[async_trait]
impl CallLog for Unlogged {
    async fn on_attempt(&self, _record: AttemptRecord) {}
}

/// Why a content attempt brought no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The provider refuses, and will refuse again: bad key, no credit, unknown model, rejected request.
    #[error("model '{model}' of provider '{provider}' cannot be called")]
    Refused {
        /// The model's id.
        model: String,
        /// The provider's id.
        provider: String,
        /// What it said.
        #[source]
        cause: ProviderError,
    },
    /// Every model of the route failed on every try, and waiting for them did not help or would take too long.
    #[error(
        "no model on the route for {work} answered: {attempts} attempts in {} s{}",
        waited.as_secs(),
        asked.map_or_else(String::new, |asked| format!(", and the provider asks to wait another {} s", asked.as_secs()))
    )]
    Exhausted {
        /// The route.
        work: Work,
        /// Transport attempts made.
        attempts: u32,
        /// How long nothing came: pauses, and attempts that brought no text.
        waited: Duration,
        /// The wait that the provider asked for and that was longer than the limit.
        asked: Option<Duration>,
        /// The last failure; never that a circuit breaker is open, but what opened it.
        #[source]
        cause: ProviderError,
    },
    /// The prompt fits no model of the route, nor the overflow route's.
    #[error(
        "the prompt for {work} has {input_tokens} tokens and fits no model of its route (the largest window has {window})"
    )]
    TooLong {
        /// The route.
        work: Work,
        /// Tokens of the prompt.
        input_tokens: u32,
        /// The largest window tried.
        window: u32,
    },
    /// The caller's log said that no further attempt may be made.
    #[error("no further attempt may be made")]
    Stopped {
        /// Transport attempts made, all of which failed.
        attempts: u32,
    },
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl CallError {
    /// The kind for exit codes and statuses.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { cause, .. } => cause.kind(),
            Self::Exhausted { .. } => ErrorKind::Unavailable,
            Self::TooLong { .. } => ErrorKind::Invalid,
            Self::Stopped { .. } => ErrorKind::LimitReached,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    /// When the same call may be worth making again: the provider's wish, or when its breaker half-opens.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Exhausted { cause, .. } => cause.retry_after(),
            Self::Refused { .. } | Self::TooLong { .. } | Self::Stopped { .. } | Self::Cancelled => None,
        }
    }

    /// Whether it concerns this call alone: the prompt is too long, or its content is declined; other calls go on.
    pub const fn is_of_this_call(&self) -> bool {
        match self {
            Self::Refused { cause, .. } | Self::Exhausted { cause, .. } => cause.is_of_this_call(),
            Self::TooLong { .. } => true,
            Self::Stopped { .. } | Self::Cancelled => false,
        }
    }
}

/// All models, ready to be called. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Models {
    shared: Arc<Shared>,
    routes: Arc<Routes>,
    /// What `routes` says, looked up once; in the order of [`Work::ALL`].
    lanes: Arc<[Lanes; Work::ALL.len()]>,
}

#[derive(Debug)]
struct Shared {
    providers: HashMap<String, Arc<Installed>>,
    cards: Cards,
    embedder: Arc<dyn Embedder>,
    breaker: Breaker,
    retry: RetryPolicy,
    rng: Mutex<StdRng>,
    /// What servers have taught of their models.
    book: Arc<CapabilityBook>,
    /// Providers that have answered in this process: one that never did is not waited for.
    answered: Mutex<HashSet<String>>,
}

#[derive(Debug)]
struct Installed {
    provider: Arc<dyn Provider>,
    limiter: Arc<AdaptiveLimiter>,
    counter: Option<Arc<dyn TokenCounter>>,
}

/// One model of a route with all that a call needs.
#[derive(Debug)]
struct Lane {
    card: ModelCard,
    installed: Arc<Installed>,
    counter: Arc<dyn TokenCounter>,
}

/// The models of a route: there is always a first one.
#[derive(Debug)]
struct Lanes {
    first: Lane,
    escalates: Vec<Lane>,
}

impl Lanes {
    /// The lane at this height of the ladder; the last one above its end.
    fn at(&self, escalation: usize) -> &Lane {
        match escalation {
            0 => &self.first,
            height => self
                .escalates
                .get(height - 1)
                .or(self.escalates.last())
                .unwrap_or(&self.first),
        }
    }

    /// That lane and those above it.
    fn from(&self, escalation: usize) -> impl Iterator<Item = &Lane> {
        let start = escalation.min(self.escalates.len());
        std::iter::once(&self.first).chain(&self.escalates).skip(start)
    }
}

/// Collects what [`Models`] is made of.
#[derive(Debug)]
pub struct ModelsBuilder {
    providers: HashMap<String, Arc<Installed>>,
    cards: Cards,
    routes: Routes,
    embedder: Arc<dyn Embedder>,
    retry: RetryPolicy,
    seed: u64,
    book: Arc<CapabilityBook>,
}

impl ModelsBuilder {
    /// Installs a provider under its own id.
    #[must_use]
    pub fn provider(self, provider: Arc<dyn Provider>) -> Self {
        self.install(provider, None)
    }

    /// Installs a provider that counts tokens with its models' own tokenizer.
    #[must_use]
    pub fn counting_provider(self, provider: Arc<dyn Provider>, counter: Arc<dyn TokenCounter>) -> Self {
        self.install(provider, Some(counter))
    }

    fn install(mut self, provider: Arc<dyn Provider>, counter: Option<Arc<dyn TokenCounter>>) -> Self {
        let limiter = AdaptiveLimiter::new(provider.first_parallel(), provider.max_parallel());
        let id = provider.id().to_owned();
        self.providers.insert(
            id,
            Arc::new(Installed {
                provider,
                limiter,
                counter,
            }),
        );
        self
    }

    /// Plans with what the providers learn into `book`.
    #[must_use]
    pub fn learning_in(mut self, book: Arc<CapabilityBook>) -> Self {
        self.book = book;
        self
    }

    /// Replaces the transport ladder's policy.
    #[must_use]
    pub const fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Seeds the jitter of the waits between attempts.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The door, if every route can be followed.
    ///
    /// # Errors
    /// [`RouteError`] naming the route and the model or provider that is missing.
    pub fn build(self, clock: Arc<dyn Clock>) -> Result<Models, RouteError> {
        let shared = Shared {
            providers: self.providers,
            cards: self.cards,
            embedder: self.embedder,
            breaker: Breaker::new(clock, self.retry.longest_wait),
            retry: self.retry,
            rng: Mutex::new(StdRng::seed_from_u64(self.seed)),
            book: self.book,
            answered: Mutex::default(),
        };
        Models::on(Arc::new(shared), self.routes)
    }
}

impl Models {
    /// Starts to collect what the door needs.
    pub fn builder(cards: Cards, routes: Routes, embedder: Arc<dyn Embedder>) -> ModelsBuilder {
        ModelsBuilder {
            providers: HashMap::new(),
            cards,
            routes,
            embedder,
            retry: RetryPolicy::default(),
            seed: 0,
            book: Arc::default(),
        }
    }

    /// The same models, breakers and limits with other routes, as an organisation may have.
    ///
    /// # Errors
    /// [`RouteError`] if a route cannot be followed.
    pub fn with_routes(&self, routes: Routes) -> Result<Self, RouteError> {
        Self::on(Arc::clone(&self.shared), routes)
    }

    fn on(shared: Arc<Shared>, routes: Routes) -> Result<Self, RouteError> {
        let [
            analysis,
            critical,
            metadata,
            section,
            complex,
            lesson,
            summary,
            judge,
            repair,
            overflow,
        ] = Work::ALL.map(|work| shared.lanes(&routes, work));
        let lanes = [
            analysis?, critical?, metadata?, section?, complex?, lesson?, summary?, judge?, repair?,
            overflow?,
        ];
        Ok(Self {
            shared,
            routes: Arc::new(routes),
            lanes: Arc::new(lanes),
        })
    }

    /// The routes in force.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// All known cards.
    pub fn cards(&self) -> &Cards {
        &self.shared.cards
    }

    /// The model that turns texts into vectors; [`Models::embed`] calls it with retries.
    pub fn embedder(&self) -> &Arc<dyn Embedder> {
        &self.shared.embedder
    }

    /// The circuits that are open now, for `/metrics` and `doctor`.
    pub fn open_circuits(&self) -> Vec<Circuit> {
        self.shared.breaker.open_circuits()
    }

    /// The card of the model that work goes to at this escalation, for asking it in fitting pieces.
    pub fn card_for(&self, work: Work, escalation: usize) -> &ModelCard {
        &self.lanes(work).at(escalation).card
    }

    /// The token budget of that model, by what its server says of its window.
    pub fn budget_for(&self, work: Work, escalation: usize) -> TokenBudget {
        TokenBudget::of(&self.shared.corrected(self.lanes(work).at(escalation)))
    }

    /// The longest answer of that model in tokens, by what its server says.
    pub fn longest_answer_for(&self, work: Work, escalation: usize) -> u32 {
        self.shared.corrected(self.lanes(work).at(escalation)).max_output
    }

    /// What was learnt of how models are asked.
    pub fn capabilities(&self) -> &CapabilityBook {
        &self.shared.book
    }

    /// The tokens of `text` for that model.
    pub fn count_tokens(&self, work: Work, escalation: usize, text: &str) -> u32 {
        self.lanes(work).at(escalation).counter.count(text)
    }

    /// How many models the route has; escalating further than this minus one changes nothing.
    pub fn route_length(&self, work: Work) -> usize {
        1 + self.lanes(work).escalates.len()
    }

    /// How many calls for this work are made at once now; more may be started, they wait their turn.
    pub fn parallelism_for(&self, work: Work) -> usize {
        self.lanes(work).first.installed.limiter.limit()
    }

    fn lanes(&self, work: Work) -> &Lanes {
        &self.lanes[work as usize]
    }
}

impl Shared {
    /// The card of a lane with its server's word in place of its own.
    fn corrected<'a>(&self, lane: &'a Lane) -> Cow<'a, ModelCard> {
        match self.book.find(&lane.card.provider, &lane.card.id) {
            Some(learnt) => Cow::Owned(learnt.corrected(&lane.card)),
            None => Cow::Borrowed(&lane.card),
        }
    }

    fn lanes(&self, routes: &Routes, work: Work) -> Result<Lanes, RouteError> {
        let route = routes.of(work);
        let escalates = route
            .escalates
            .iter()
            .map(|model| self.lane(work, model))
            .collect::<Result<_, _>>()?;
        Ok(Lanes {
            first: self.lane(work, &route.first)?,
            escalates,
        })
    }

    fn lane(&self, work: Work, model: &str) -> Result<Lane, RouteError> {
        let Some(card) = self.cards.find(model) else {
            return Err(RouteError::UnknownModel {
                work,
                model: model.to_owned(),
            });
        };
        let Some(installed) = self.providers.get(&card.provider) else {
            return Err(RouteError::UnknownProvider {
                work,
                model: model.to_owned(),
                provider: card.provider.clone(),
            });
        };
        let counter = counter_for(card, installed.counter.as_ref());
        Ok(Lane {
            card: card.clone(),
            installed: Arc::clone(installed),
            counter,
        })
    }
}

#[cfg(test)]
mod tests;
