//! Asks one question: checkpoint first, then the content ladder. The one place where models are called.
//!
//! The ladder replays from checkpoints: what came of every call is stored under its round, attempt and part, answers that
//! were declined included, so after a crash the same attempts give the same candidates without a call, up to the one that
//! was in flight.

mod compose;
mod continuation;
mod evaluate;
mod fields;
mod join;
mod kept;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::stage::Stage;
use domain::usage::TokenUsage;
use domain::validation::Finding;
use llm::gateway::{AttemptRecord, CallError, CallLog, CallSpec, Waiting};
use llm::provider::StreamObserver;
use llm::repair::RepairLayer;
use llm::route::{RouteReason, Work};
use serde_json::Value;
use sha2::{Digest, Sha256};

use self::compose::Asked;
use self::continuation::Attempt;
use self::evaluate::Candidate;
pub(crate) use self::evaluate::Verdict;
pub(crate) use self::kept::{Declined, Kept, PaidAnswer};
use crate::attempts::{Manner, Patience, Rung, rung};
use crate::context::Run;
use crate::error::PipelineError;
use crate::event::{Event, Observer};
use crate::prompt::Prompt;

/// Mends in an answer what the program knows better than any model; runs before the schema and the rules are looked at.
pub(crate) type Mend<'a> = Box<dyn Fn(&mut Value) + Send + Sync + 'a>;

/// A rule that an answer must keep beyond its schema.
pub(crate) type Check<'a> = Box<dyn Fn(&Value) -> Vec<Finding> + Send + Sync + 'a>;

/// The text of an answer that is compared with its brief.
pub(crate) type Digester<'a> = Box<dyn Fn(&Value) -> String + Send + Sync + 'a>;

/// The semantic gate of a question (generation 3.7).
pub(crate) struct Gate<'a> {
    /// What was asked for.
    pub(crate) brief: String,
    /// The text of the answer.
    pub(crate) digest: Digester<'a>,
    /// The least similarity, on the reference scale.
    pub(crate) threshold: f64,
}

/// What is asked.
pub(crate) struct Question<'a> {
    /// The stage that asks.
    pub(crate) stage: Stage,
    /// Its phase; a piece of a phase is named after a dot: `sections.lesson_titles`.
    pub(crate) phase: String,
    /// Which section or lesson, from 1; 0 for the whole course.
    pub(crate) batch: u32,
    /// Picks the route.
    pub(crate) work: Work,
    /// Picks the stronger model for complex sections.
    pub(crate) complexity: Option<f32>,
    /// The prompt; with the schema it makes the checkpoint's key.
    pub(crate) prompt: Prompt,
    /// Added to the question but not to the key: depends on which other pieces were done first.
    pub(crate) hint: Option<String>,
    /// The name of the answer's shape.
    pub(crate) shape: &'static str,
    /// The answer's shape.
    pub(crate) schema: Value,
    /// The longest answer in tokens.
    pub(crate) max_output_tokens: u32,
    /// The temperature of a small model's first attempt where variety is wanted.
    pub(crate) temperature: Option<f32>,
    /// What is mended in code.
    pub(crate) mend: Option<Mend<'a>>,
    /// The rules.
    pub(crate) check: Option<Check<'a>>,
    /// The semantic gate.
    pub(crate) gate: Option<Gate<'a>>,
    /// Whether answers that earlier rounds accepted do not count, since the lesson made of them needs a review.
    pub(crate) ignores_earlier_rounds: bool,
    /// When it is given up.
    pub(crate) patience: Patience,
}

/// The best candidate.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// It fits the schema.
    pub(crate) value: Value,
    /// Similarity to the brief on the reference scale, where there is a gate.
    pub(crate) similarity: Option<f64>,
    /// Whether it was kept although something stands against it: a broken rule, or too little likeness to the brief.
    pub(crate) needs_review: bool,
    /// What the whole ladder took.
    pub(crate) effort: Effort,
}

/// What one or more questions took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effort {
    /// The model of the last successful call.
    pub(crate) model: String,
    /// Attempts beyond the first.
    pub(crate) retries: u32,
    /// Tokens of all attempts.
    pub(crate) usage: TokenUsage,
    /// Time of all calls, also of those found in checkpoints.
    pub(crate) duration: Duration,
    /// The deepest repair layer that was needed.
    pub(crate) repair: Option<RepairLayer>,
}

impl Effort {
    /// Adds one answer.
    fn note(&mut self, paid: &PaidAnswer) {
        self.usage += paid.usage;
        self.duration += Duration::from_millis(paid.latency_ms);
        self.model.clone_from(&paid.model);
    }

    /// Adds another question's effort.
    pub(crate) fn add(&mut self, other: &Self) {
        if !other.model.is_empty() {
            self.model.clone_from(&other.model);
        }
        self.retries += other.retries;
        self.usage += other.usage;
        self.duration += other.duration;
        self.repair = self.repair.max(other.repair);
    }
}

/// A question on its way up the ladder.
#[derive(Default)]
struct Climb {
    effort: Effort,
    best: Option<Candidate>,
    /// What stood against the last answer.
    problems: Vec<String>,
    /// Attempts made in all rounds.
    attempts: u32,
}

/// How a round of the ladder ended.
enum RoundEnd {
    /// With an answer that nothing stands against.
    Accepted,
    /// After its last attempt.
    Exhausted,
    /// Before that: this question is declined or cannot be asked at all, others can.
    Refused(PipelineError),
}

impl Run {
    /// Asks a question until an answer is accepted or the ladder ends. What an earlier round of the generation accepted
    /// is taken as it is; what exhausted its attempts there or was declined is asked anew, and its best candidate stays in
    /// the race.
    ///
    /// # Errors
    /// [`PipelineError::Unusable`] when no candidate can be kept, and whatever keeps models from being called.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Result<Answer, PipelineError> {
        let key = question.key();
        let mut climb = Climb::default();
        let mut refusal = None;
        let present = self.round();
        let first = if question.ignores_earlier_rounds {
            present
        } else {
            0
        };
        for round in first..=present {
            let key = key_in_round(&key, round);
            // A question that was not asked in an earlier round begins in the present one.
            let was_asked =
                round == present || self.find_kept(&question, &format!("{key}-1")).await?.is_some();
            if !was_asked {
                continue;
            }
            match Box::pin(self.climb(&question, &key, &mut climb)).await? {
                RoundEnd::Accepted => break,
                RoundEnd::Exhausted => refusal = None,
                RoundEnd::Refused(error) => refusal = Some(error),
            }
        }
        climb.end(&question, refusal)
    }

    /// One round of attempts.
    async fn climb(
        &self,
        question: &Question<'_>,
        key: &str,
        climb: &mut Climb,
    ) -> Result<RoundEnd, PipelineError> {
        let route_length = self.models().route_length(question.work);
        climb.problems.clear();
        let mut attempt = 0;
        let mut fields_help = false;
        let mut declined = 0;
        while let Some(mut step) = rung(attempt + 1, route_length, question.patience) {
            attempt += 1;
            if attempt > 1 {
                self.tell_retry(question, attempt, climb);
            }
            if fields_help {
                // What is left of a problem that single fields have mended in part is asked for in the same way.
                step.manner = Manner::Fields;
            }
            let kept = self.find_kept(question, &format!("{key}-{attempt}")).await?;
            let asked = self.compose(question, step, climb, kept.as_ref())?;
            climb.attempts += 1;
            climb.effort.retries = climb.attempts - 1;
            let this = Attempt {
                question,
                key,
                number: attempt,
                step,
                asked: &asked,
                best: climb.best.as_ref(),
                kept,
            };
            let evaluated = match self.answered(this, &mut climb.effort).await {
                Ok(evaluated) => evaluated,
                // A filter or a model may decide otherwise when it is asked with another seed.
                Err(error) if error.may_pass() && declined < MOST_DECLINED => {
                    declined += 1;
                    continue;
                }
                Err(error) if error.is_of_one_piece() => return Ok(RoundEnd::Refused(error)),
                Err(error) => return Err(error),
            };
            climb.effort.repair = climb.effort.repair.max(evaluated.layer);
            fields_help = false;
            match evaluated.candidate {
                Ok(candidate) => {
                    climb.problems = candidate.messages();
                    let is_accepted = candidate.standing.is_accepted();
                    let is_best = climb
                        .best
                        .as_ref()
                        .is_none_or(|best| candidate.standing.beats(best.standing));
                    if is_best {
                        fields_help = !asked.fields.is_empty();
                        climb.best = Some(candidate);
                    }
                    if is_accepted {
                        return Ok(RoundEnd::Accepted);
                    }
                }
                Err(problem) => climb.problems = vec![problem],
            }
        }
        Ok(RoundEnd::Exhausted)
    }

    fn tell_retry(&self, question: &Question<'_>, attempt: u32, climb: &Climb) {
        let what = question.name();
        let reason = climb.problems.first().cloned().unwrap_or_default();
        tracing::info!(what, attempt, reason, "asking again");
        self.observer().on_event(Event::Retry { what, reason });
    }

    /// The answer of one attempt: what is kept of it, else a model's.
    async fn paid_answer(
        &self,
        question: &Question<'_>,
        key: &str,
        attempt: u32,
        step: Rung,
        asked: &Asked,
        kept: Option<Kept>,
    ) -> Result<Paid, PipelineError> {
        let hash = format!("{key}-{attempt}");
        if let Some(kept) = kept {
            self.observer().on_event(Event::CallSkipped);
            return match kept {
                Kept::Answer(answer) => Ok(Paid {
                    answer,
                    hash,
                    calls: Vec::new(),
                    tight: false,
                }),
                Kept::Declined { declined } => Err(declined.error(question.name())),
            };
        }
        self.ensure_may_call()?;
        let mut spec = CallSpec::new(question.work, asked.messages.clone(), asked.max_output_tokens);
        spec.escalation = step.escalation;
        spec.escalation_reason = RouteReason::ValidationFailure;
        spec.complexity = question.complexity;
        spec.schema = asked.output_schema(question);
        // Small models lose the thread at the ladder's first temperature, unless variety is what is wanted.
        let coolest = question.temperature.unwrap_or(SMALL_TEMPERATURE);
        spec.sampling.temperature = if self.is_small() {
            coolest + step.warmer
        } else {
            step.temperature
        };
        spec.sampling.seed = Some(self.seed_for(&format!("{} {hash}", question.name())));
        spec.idle_timeout = self.idle_timeout();
        let log = Attempts {
            run: self,
            records: Mutex::default(),
        };
        let tokens = TokenTicker {
            observer: self.observer(),
            last: AtomicU64::new(0),
        };
        let result = self.models().call(&spec, &tokens, self.cancel(), &log).await;
        let calls = log
            .records
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for record in &calls {
            let (input, output) = (record.usage.input, record.usage.output);
            let cost = record.cost.known();
            self.observer().on_event(Event::CallEnded { input, output, cost });
        }
        self.save_what_was_learnt().await;
        match result {
            Ok(outcome) => {
                let answer = PaidAnswer {
                    text: outcome.response.text,
                    finish_reason: outcome.response.finish_reason,
                    model: outcome.model,
                    usage: outcome.response.usage,
                    latency_ms: u64::try_from(outcome.response.latency.as_millis()).unwrap_or(u64::MAX),
                    is_of_fields: Some(!asked.fields.is_empty()),
                };
                Ok(Paid {
                    answer,
                    hash,
                    calls,
                    tight: outcome.tight,
                })
            }
            Err(CallError::Cancelled) => {
                self.record_calls(question, attempt, &hash, &calls).await?;
                Err(PipelineError::Cancelled)
            }
            Err(cause) => {
                let declined = Declined::of(&cause);
                self.record_failure(question, attempt, &hash, &calls, declined)
                    .await?;
                if matches!(cause, CallError::Stopped { .. }) {
                    self.ensure_may_call()?;
                }
                Err(PipelineError::Call {
                    what: question.name(),
                    cause: Box::new(cause),
                })
            }
        }
    }
}

impl Climb {
    /// The best candidate, if it can be kept.
    fn end(self, question: &Question<'_>, refusal: Option<PipelineError>) -> Result<Answer, PipelineError> {
        match self.best {
            Some(best) if best.standing.is_tolerable(question.patience) => Ok(Answer {
                needs_review: !best.standing.is_accepted(),
                value: best.value,
                similarity: best.similarity,
                effort: self.effort,
            }),
            best => Err(refusal.unwrap_or_else(|| {
                let problems = best.map_or(self.problems, |best| best.messages());
                PipelineError::Unusable {
                    what: question.name(),
                    attempts: self.attempts,
                    problem: problems.into_iter().next().unwrap_or_default(),
                }
            })),
        }
    }
}

/// An answer with the calls that it took; none if it was found in its checkpoint.
pub(crate) struct Paid {
    pub(crate) answer: PaidAnswer,
    pub(crate) hash: String,
    pub(crate) calls: Vec<AttemptRecord>,
    pub(crate) tight: bool,
}

/// Declined attempts of one round after which another is made; the next declined one ends the round.
const MOST_DECLINED: u32 = 2;
/// The temperature of a model that is asked for small pieces: measured, above it the smallest lose the thread.
const SMALL_TEMPERATURE: f32 = 0.5;

impl Question<'_> {
    /// What is asked for, for logs and messages.
    pub(crate) fn name(&self) -> String {
        format!("{} {} {}", self.stage.as_str(), self.phase, self.batch)
    }

    /// The part of the checkpoint's key that says what was asked: the prompt's name, version and text, and the shape.
    fn key(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(serde_json::json!([self.prompt, self.shape, self.schema]).to_string());
        hex::encode(&hash.finalize()[..16])
    }
}

/// The key of a question's attempts in a round. Those of the first round have no mark of it: databases of earlier releases
/// have no other.
fn key_in_round(key: &str, round: u32) -> String {
    match round {
        0 => key.to_owned(),
        round => format!("{key}-r{round}"),
    }
}

/// Keeps the attempts of one call until they are written; counts their cost at once.
struct Attempts<'a> {
    run: &'a Run,
    records: Mutex<Vec<AttemptRecord>>,
}

#[async_trait]
impl CallLog for Attempts<'_> {
    async fn on_attempt(&self, record: AttemptRecord) {
        self.run.count_cost(record.cost);
        self.records
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(record);
    }

    fn may_go_on(&self) -> bool {
        self.run.ensure_may_call().is_ok()
    }

    fn on_wait(&self, waiting: &Waiting) {
        self.run.note_wait(waiting);
    }
}

/// Turns a running count of tokens into events of what is new.
struct TokenTicker<'a> {
    observer: &'a dyn Observer,
    last: AtomicU64,
}

impl StreamObserver for TokenTicker<'_> {
    fn on_delta(&self, _delta: &str, output_tokens: u64) {
        let before = self.last.swap(output_tokens, Ordering::Relaxed);
        // A new attempt starts to count from the beginning.
        let new = if output_tokens >= before {
            output_tokens - before
        } else {
            output_tokens
        };
        self.observer.on_event(Event::Tokens { new });
    }
}
