use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use domain::clock::FixedClock;
use domain::usage::MicroUsd;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::error::ProviderError;
use crate::provider::scripted::{Scripted, ScriptedReply, WordEmbedder};
use crate::provider::{EmbeddingKind, Unobserved};
use crate::route::Route;

mod waiting;

#[derive(Default)]
struct Recorded(Mutex<Vec<AttemptRecord>>);

#[async_trait]
impl CallLog for Recorded {
    async fn on_attempt(&self, record: AttemptRecord) {
        self.0.lock().unwrap().push(record);
    }
}

impl Recorded {
    fn outcomes(&self) -> Vec<(String, &'static str)> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|record| (record.model.clone(), record.outcome))
            .collect()
    }
}

fn card(id: &str, provider: &str, context_window: u32) -> ModelCard {
    ModelCard {
        context_window,
        max_output: context_window / 4,
        ..ModelCard::assumed(id, provider)
    }
}

/// `small` and `strong` on providers of their own, `wide` for overflow on the second.
fn models(first: &Arc<Scripted>, second: &Arc<Scripted>, clock: &Arc<FixedClock>) -> Models {
    let mut cards = Cards::default();
    cards.insert(card("small", "first", 8_192));
    cards.insert(card("strong", "second", 8_192));
    cards.insert(card("wide", "second", 100_000));
    let overflow = Route {
        first: "wide".to_owned(),
        escalates: Vec::new(),
    };
    let both = Route {
        first: "small".to_owned(),
        escalates: vec!["strong".to_owned()],
    };
    let mut overrides: BTreeMap<String, Route> = Work::ALL
        .iter()
        .map(|work| (work.to_string(), both.clone()))
        .collect();
    overrides.insert("overflow".to_owned(), overflow);
    overrides.insert(
        "complex_section".to_owned(),
        Route {
            first: "strong".to_owned(),
            escalates: Vec::new(),
        },
    );
    let routes = Routes::single("small").with_overrides(&overrides).unwrap();
    Models::builder(cards, routes, Arc::new(WordEmbedder::new(64)))
        .provider(Arc::<Scripted>::clone(first))
        .provider(Arc::<Scripted>::clone(second))
        .build(Arc::<FixedClock>::clone(clock))
        .unwrap()
}

struct Set {
    first: Arc<Scripted>,
    second: Arc<Scripted>,
    clock: Arc<FixedClock>,
    models: Models,
    log: Recorded,
}

fn set_up(first: Vec<ScriptedReply>, second: Vec<ScriptedReply>) -> Set {
    let first = Arc::new(Scripted::replies("first", first));
    let second = Arc::new(Scripted::replies("second", second));
    let clock = Arc::new(FixedClock::new(DateTime::UNIX_EPOCH));
    let models = models(&first, &second, &clock);
    Set {
        first,
        second,
        clock,
        models,
        log: Recorded::default(),
    }
}

impl Set {
    async fn call(&self, spec: &CallSpec) -> Result<CallOutcome, CallError> {
        self.models
            .call(spec, &Unobserved, &CancellationToken::new(), &self.log)
            .await
    }
}

fn spec(work: Work) -> CallSpec {
    CallSpec::new(work, vec![Message::user("Write a lesson.")], 500)
}

fn server_error() -> ScriptedReply {
    ScriptedReply::error(ProviderError::Server {
        status: 503,
        message: "down".to_owned(),
        retry_after: None,
    })
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_tried_three_times_then_the_next_model_answers() {
    let set = set_up(vec![server_error()], vec![ScriptedReply::text("hello")]);
    let outcome = set.call(&spec(Work::Lesson)).await.unwrap();
    assert_eq!(
        (outcome.model.as_str(), outcome.reason, outcome.attempts),
        ("strong", RouteReason::ProviderDown, 4)
    );
    let small = ("small".to_owned(), "server_error");
    assert_eq!(
        set.log.outcomes(),
        [small.clone(), small.clone(), small, ("strong".to_owned(), "ok")]
    );
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for() {
    let slow_down = ProviderError::RateLimited {
        retry_after: Some(Duration::from_secs(20)),
        message: "slow down".to_owned(),
    };
    let set = set_up(
        vec![ScriptedReply::error(slow_down), ScriptedReply::text("hello")],
        vec![],
    );
    let started = tokio::time::Instant::now();
    let outcome = set.call(&spec(Work::Lesson)).await.unwrap();
    assert_eq!(outcome.attempts, 2);
    assert_eq!(started.elapsed(), Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_mended_is_not_tried_again() {
    for (error, kind) in [
        (
            ProviderError::Unauthorized {
                status: 401,
                message: "bad key".to_owned(),
            },
            ErrorKind::Setup,
        ),
        (
            ProviderError::NoCredit {
                message: "empty".to_owned(),
            },
            ErrorKind::Setup,
        ),
        (
            ProviderError::Foreign {
                address: "host".to_owned(),
                message: "a web page".to_owned(),
            },
            ErrorKind::Setup,
        ),
    ] {
        let set = set_up(
            vec![ScriptedReply::error(error)],
            vec![ScriptedReply::text("hello")],
        );
        let error = set.call(&spec(Work::Lesson)).await.unwrap_err();
        assert!(
            matches!(&error, CallError::Refused { model, .. } if model == "small"),
            "{error:?}"
        );
        assert_eq!(error.kind(), kind);
        assert_eq!((set.first.calls(), set.second.calls()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn exhausted_route_says_how_often_it_was_tried() {
    let set = set_up(
        vec![ScriptedReply::error(ProviderError::Empty)],
        vec![ScriptedReply::error(ProviderError::Empty)],
    );
    let error = set.call(&spec(Work::Lesson)).await.unwrap_err();
    assert!(
        matches!(
            error,
            CallError::Exhausted {
                attempts: 6,
                cause: ProviderError::Empty,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn open_breaker_leaves_the_model_alone_until_it_half_opens() {
    let mut replies = vec![server_error(); 6];
    replies.push(ScriptedReply::text("back"));
    let set = set_up(replies, vec![ScriptedReply::text("hello")]);
    set.call(&spec(Work::Lesson)).await.unwrap();
    set.call(&spec(Work::Lesson)).await.unwrap();
    assert_eq!(set.first.calls(), 5, "the fifth failure opens the breaker");
    assert_eq!(set.models.open_circuits().len(), 1);
    set.call(&spec(Work::Lesson)).await.unwrap();
    assert_eq!(set.first.calls(), 5);
    set.clock.advance(TimeDelta::seconds(31));
    set.call(&spec(Work::Lesson)).await.unwrap();
    assert_eq!(set.first.calls(), 6, "one probe, which fails");
    set.clock.advance(TimeDelta::seconds(31));
    assert_eq!(set.call(&spec(Work::Lesson)).await.unwrap().model, "small");
    assert!(set.models.open_circuits().is_empty());
}

#[tokio::test(start_paused = true)]
async fn requests_to_slow_down_do_not_open_the_breaker() {
    let set = set_up(
        vec![ScriptedReply::error(ProviderError::RateLimited {
            retry_after: None,
            message: "slow down".to_owned(),
        })],
        vec![ScriptedReply::text("x")],
    );
    for _ in 0..4 {
        set.call(&spec(Work::Lesson)).await.unwrap();
    }
    assert_eq!(set.first.calls(), 12);
}

#[tokio::test(start_paused = true)]
async fn prompt_over_its_budget_goes_to_the_overflow_route() {
    let set = set_up(
        vec![ScriptedReply::text("small")],
        vec![ScriptedReply::text("wide")],
    );
    let long = CallSpec::new(Work::Section, vec![Message::user("word ".repeat(9_000))], 500);
    let outcome = set.call(&long).await.unwrap();
    assert_eq!(
        (outcome.model.as_str(), outcome.reason),
        ("wide", RouteReason::Overflow)
    );

    let longest = CallSpec::new(Work::Section, vec![Message::user("word ".repeat(120_000))], 500);
    let error = set.call(&longest).await.unwrap_err();
    assert!(
        matches!(error, CallError::TooLong { window: 100_000, .. }),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn escalation_and_complexity_pick_the_model_and_the_reason() {
    let set = set_up(vec![ScriptedReply::text("a")], vec![ScriptedReply::text("b")]);
    let check = async |spec: CallSpec, model: &str, reason: RouteReason| {
        let outcome = set.call(&spec).await.unwrap();
        assert_eq!((outcome.model.as_str(), outcome.reason), (model, reason));
    };
    check(spec(Work::Section), "small", RouteReason::Default).await;
    check(
        CallSpec {
            complexity: Some(0.74),
            ..spec(Work::Section)
        },
        "small",
        RouteReason::Default,
    )
    .await;
    check(
        CallSpec {
            complexity: Some(0.75),
            ..spec(Work::Section)
        },
        "strong",
        RouteReason::Complexity,
    )
    .await;
    let escalated = CallSpec {
        escalation: 1,
        escalation_reason: RouteReason::Quality,
        ..spec(Work::Lesson)
    };
    check(escalated.clone(), "strong", RouteReason::Quality).await;
    check(
        CallSpec {
            escalation: 9,
            ..escalated
        },
        "strong",
        RouteReason::Quality,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_a_call_a_wait_and_a_queue_at_once() {
    let slow = ScriptedReply::text("late").after(Duration::from_mins(1));
    let set = set_up(vec![slow], vec![]);
    let cancel = CancellationToken::new();
    let started = tokio::time::Instant::now();
    let spec = spec(Work::Lesson);
    // Two calls are under way, the third waits for its turn.
    let calls =
        futures::future::join_all((0..3).map(|_| set.models.call(&spec, &Unobserved, &cancel, &set.log)));
    let (results, ()) = tokio::join!(calls, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cancel.cancel();
    });
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(CallError::Cancelled))),
        "{results:?}"
    );
    assert_eq!(set.first.calls(), 2);
    assert_eq!(started.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn providers_own_cost_wins_and_cached_tokens_have_their_own_price() {
    let mut cards = Cards::default();
    let price = crate::pricing::Price {
        input: 1.0,
        output: 2.0,
        cached: Some(0.25),
    };
    cards.insert(ModelCard {
        price: Some(price),
        ..card("small", "first", 8_192)
    });
    let replies = vec![
        ScriptedReply::text("free text").costing(MicroUsd(77)),
        ScriptedReply::text("free text"),
        ScriptedReply::text("free text").cached(u64::MAX),
    ];
    let models = Models::builder(cards, Routes::single("small"), Arc::new(WordEmbedder::new(64)))
        .provider(Arc::new(Scripted::replies("first", replies)))
        .build(Arc::new(FixedClock::new(DateTime::UNIX_EPOCH)))
        .unwrap();
    let log = Recorded::default();
    let call = async || {
        models
            .call(&spec(Work::Lesson), &Unobserved, &CancellationToken::new(), &log)
            .await
            .unwrap()
    };
    assert_eq!(call().await.cost, Cost::Known(MicroUsd(77)));
    let outcome = call().await;
    let usage = outcome.response.usage;
    assert_eq!(
        outcome.cost,
        Cost::Known(MicroUsd(i64::try_from(usage.input + 2 * usage.output).unwrap()))
    );
    assert_eq!(log.0.lock().unwrap()[1].cost, outcome.cost);
    // The whole prompt came from the provider's cache.
    assert_eq!(
        call().await.cost,
        Cost::Known(price.cost(usage, usage.input)),
        "{usage:?} at {price:?}"
    );
}

#[tokio::test]
async fn related_texts_are_closer_than_unrelated_ones() {
    let set = set_up(vec![], vec![]);
    let texts = ["memory ownership in Rust", "ownership of memory", "baking bread"].map(str::to_owned);
    let vectors = set
        .models
        .embed(&texts, EmbeddingKind::Query, &CancellationToken::new())
        .await
        .unwrap();
    let cosine = |a: usize, b: usize| {
        vectors[a]
            .iter()
            .zip(&vectors[b])
            .map(|(x, y)| x * y)
            .sum::<f32>()
    };
    assert!(
        cosine(0, 1) > 0.7 && cosine(0, 2) < 0.5,
        "{} {}",
        cosine(0, 1),
        cosine(0, 2)
    );
}

/// Hears of waits and allows only so many attempts.
struct Watched {
    told: Mutex<Vec<(String, u64)>>,
    attempts_left: Mutex<u32>,
}

impl Watched {
    fn allowing(attempts: u32) -> Self {
        Self {
            told: Mutex::default(),
            attempts_left: Mutex::new(attempts),
        }
    }
}

#[async_trait]
impl CallLog for Watched {
    async fn on_attempt(&self, _record: AttemptRecord) {
        *self.attempts_left.lock().unwrap() -= 1;
    }

    fn may_go_on(&self) -> bool {
        *self.attempts_left.lock().unwrap() > 0
    }

    fn on_wait(&self, waiting: &Waiting) {
        let told = (waiting.cause.code().to_owned(), waiting.left.as_secs());
        self.told.lock().unwrap().push(told);
    }
}

async fn watched(set: &Set, log: &Watched) -> Result<CallOutcome, CallError> {
    set.models
        .call(&spec(Work::Lesson), &Unobserved, &CancellationToken::new(), log)
        .await
}

fn slow_down(seconds: u64) -> ScriptedReply {
    ScriptedReply::error(ProviderError::RateLimited {
        retry_after: Some(Duration::from_secs(seconds)),
        message: "a limit a minute".to_owned(),
    })
}

#[tokio::test(start_paused = true)]
async fn outage_is_waited_for_and_told_twice_a_minute() {
    // Six failures of each model: two rounds of waiting, and the breakers open meanwhile.
    let mut replies = vec![slow_down(100); 2];
    replies.push(ScriptedReply::text("back"));
    let set = set_up(replies.clone(), replies);
    let log = Watched::allowing(99);
    let started = tokio::time::Instant::now();
    let outcome = watched(&set, &log).await.unwrap();
    assert_eq!(outcome.response.text, "back");
    assert_eq!(
        started.elapsed(),
        Duration::from_secs(200),
        "as long as the provider asks, twice"
    );
    let told = log.told.lock().unwrap();
    let left: Vec<u64> = told.iter().map(|(_, left)| *left).collect();
    assert_eq!(left, [100, 75, 50, 25, 100, 75, 50, 25]);
    assert!(told.iter().all(|(code, _)| code == "rate_limited"));
}

#[tokio::test(start_paused = true)]
async fn wait_limit_ends_an_outage_with_its_true_cause() {
    let set = set_up(vec![server_error()], vec![server_error()]);
    let started = tokio::time::Instant::now();
    let error = watched(&set, &Watched::allowing(9999)).await.unwrap_err();
    assert!(
        matches!(
            &error,
            CallError::Exhausted {
                cause: ProviderError::Server { .. },
                asked: None,
                ..
            }
        ),
        "{error:?}"
    );
    let limit = RetryPolicy::default().wait_limit;
    assert!(
        started.elapsed() <= limit && started.elapsed() > limit / 2,
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn wait_beyond_the_limit_is_told_at_once() {
    let endless = set_up(vec![slow_down(u64::MAX)], vec![slow_down(u64::MAX)]);
    watched(&endless, &Watched::allowing(9)).await.unwrap_err();
    let set = set_up(vec![slow_down(86_400)], vec![slow_down(86_400)]);
    let started = tokio::time::Instant::now();
    let error = watched(&set, &Watched::allowing(9)).await.unwrap_err();
    assert!(
        error.to_string().contains("asks to wait another 86400 s"),
        "{error}"
    );
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn address_where_nobody_ever_answered_is_not_waited_for() {
    let nobody = || {
        vec![ScriptedReply::error(ProviderError::Connect {
            endpoint: "localhost:1".to_owned(),
            reason: "connection refused".to_owned(),
        })]
    };
    let set = set_up(nobody(), nobody());
    let started = tokio::time::Instant::now();
    watched(&set, &Watched::allowing(9)).await.unwrap_err();
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn declined_content_is_tried_again_then_by_the_next_model() {
    let declined = || {
        vec![ScriptedReply::error(ProviderError::Filtered {
            message: "no".to_owned(),
        })]
    };
    let set = set_up(declined(), vec![ScriptedReply::text("hello")]);
    assert_eq!(set.call(&spec(Work::Lesson)).await.unwrap().model, "strong");
    assert_eq!((set.first.calls(), set.second.calls()), (3, 1));
    let set = set_up(declined(), declined());
    let error = set.call(&spec(Work::Lesson)).await.unwrap_err();
    assert!(
        error.is_of_this_call() && matches!(error, CallError::Refused { .. }),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_attempt_is_made_that_the_log_forbids() {
    let set = set_up(vec![server_error()], vec![ScriptedReply::text("hello")]);
    let error = watched(&set, &Watched::allowing(1)).await.unwrap_err();
    assert!(
        matches!(error, CallError::Stopped { attempts: 1, .. }),
        "{error:?}"
    );
    assert_eq!((set.first.calls(), set.second.calls()), (1, 0));
}
