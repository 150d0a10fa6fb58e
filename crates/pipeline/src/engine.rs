//! Asks one question: checkpoint first, then the content ladder. The one place where models are called.
//!
//! The ladder replays from checkpoints: every answer that was paid for is stored under its attempt, so after a
//! crash the same attempts give the same candidates without a call, up to the one that was in flight.

mod fields;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::stage::Stage;
use domain::usage::TokenUsage;
use domain::validation::Finding;
use llm::gateway::{AttemptRecord, CallError, CallLog, CallSpec, Waiting};
use llm::provider::StreamObserver;
use llm::repair::{FieldFailure, RepairLayer, Repairer, failing_fields};
use llm::request::{Message, OutputSchema};
use llm::response::FinishReason;
use llm::route::{RouteReason, Work};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::model_call::ACCEPTED;

use self::fields::{OffendingField, fields_schema, merged, offending_fields};
use crate::attempts::{Manner, Patience, Rung, Standing, rung};
use crate::context::Run;
use crate::error::PipelineError;
use crate::event::{Event, Observer};
use crate::prompt::Prompt;
use crate::quality;
use crate::vars::vars;

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
    /// The rules.
    pub(crate) check: Option<Check<'a>>,
    /// The semantic gate.
    pub(crate) gate: Option<Gate<'a>>,
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
    /// Whether it was kept although it is below the threshold.
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

/// One paid answer as its checkpoint keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PaidAnswer {
    pub(crate) text: String,
    pub(crate) finish_reason: FinishReason,
    pub(crate) model: String,
    pub(crate) usage: TokenUsage,
    pub(crate) latency_ms: u64,
}

/// A parsed answer and what stands against it.
struct Candidate {
    value: Value,
    standing: Standing,
    similarity: Option<f64>,
    problems: Vec<String>,
}

impl Run {
    /// Asks a question until an answer is accepted or the ladder ends.
    ///
    /// # Errors
    /// [`PipelineError::Unusable`] when no candidate can be kept, and whatever keeps models from being called.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Result<Answer, PipelineError> {
        let what = question.name();
        let key = question.key();
        let mut effort = Effort::default();
        let mut best: Option<Candidate> = None;
        let mut problems: Vec<String> = Vec::new();
        let mut attempts = 0;
        let route_length = self.models().route_length(question.work);
        while let Some(step) = rung(attempts + 1, route_length, question.patience) {
            if attempts > 0 {
                let reason = problems.first().cloned().unwrap_or_default();
                tracing::info!(what, attempt = attempts + 1, reason, "asking again");
                self.observer().on_event(Event::Retry {
                    what: what.clone(),
                    reason,
                });
            }
            attempts += 1;
            let asked = self.compose(&question, step, best.as_ref(), &problems)?;
            let paid = self.paid_answer(&question, &key, attempts, step, &asked).await?;
            effort.retries = attempts - 1;
            effort.usage += paid.answer.usage;
            effort.duration += Duration::from_millis(paid.answer.latency_ms);
            effort.model.clone_from(&paid.answer.model);
            let evaluated = self
                .evaluate(&question, &paid.answer, &asked, best.as_ref())
                .await;
            // Written even if it could not be compared: it is paid for.
            self.record_answer(&question, attempts, &paid, &Verdict::of(&evaluated))
                .await?;
            let evaluated = evaluated?;
            effort.repair = effort.repair.max(evaluated.layer);
            match evaluated.candidate {
                Ok(candidate) => {
                    problems.clone_from(&candidate.problems);
                    let accepted = candidate.standing.is_accepted();
                    if best
                        .as_ref()
                        .is_none_or(|best| candidate.standing.beats(best.standing))
                    {
                        best = Some(candidate);
                    }
                    if accepted {
                        break;
                    }
                }
                Err(problem) => problems = vec![problem],
            }
        }
        match best {
            Some(best) if best.standing.is_tolerable() => Ok(Answer {
                needs_review: !best.standing.is_accepted(),
                value: best.value,
                similarity: best.similarity,
                effort,
            }),
            _ => {
                let problem = best
                    .map_or(problems, |best| best.problems)
                    .into_iter()
                    .next()
                    .unwrap_or_default();
                Err(PipelineError::Unusable {
                    what,
                    attempts,
                    problem,
                })
            }
        }
    }

    /// The messages and the schema of one rung.
    fn compose(
        &self,
        question: &Question<'_>,
        step: Rung,
        best: Option<&Candidate>,
        problems: &[String],
    ) -> Result<Asked, PipelineError> {
        let mut user = question.prompt.user.clone();
        if let Some(hint) = &question.hint {
            user.push_str("\n\n");
            user.push_str(hint);
        }
        let manner = if problems.is_empty() {
            Manner::Plain
        } else {
            step.manner
        };
        let mut schema = question.schema.clone();
        let mut fields = Vec::new();
        let mut messages = vec![Message::system(&question.prompt.system)];
        if let Some((shot, reply)) = &question.prompt.shot {
            messages.extend([Message::user(shot), Message::assistant(reply)]);
        }
        match (manner, best) {
            (Manner::Fields, Some(best)) => {
                fields = offending_fields(question, best);
                if fields.is_empty() {
                    messages.push(Message::user(user));
                } else {
                    schema = fields_schema(&fields);
                    let keys: Vec<&str> = fields.iter().map(|field| field.key.as_str()).collect();
                    let answer = best.value.to_string();
                    let data = vars! { answer, problems, keys };
                    let ask = self.prompts().render("ladder_fields", &data)?;
                    messages.push(Message::user(format!("{user}\n\n{}", ask.user)));
                }
            }
            (Manner::Feedback | Manner::Fields, _) => {
                let feedback = self
                    .prompts()
                    .render("ladder_feedback", &vars! { problems })?
                    .user;
                match best {
                    Some(best) => messages.extend([
                        Message::user(user),
                        Message::assistant(best.value.to_string()),
                        Message::user(feedback),
                    ]),
                    None => messages.push(Message::user(format!("{user}\n\n{feedback}"))),
                }
            }
            (Manner::Example, _) => {
                let example = question.prompt.example.clone().unwrap_or_else(|| {
                    format!(
                        "The answer has this shape:\n{}",
                        crate::schema::outline(&question.schema)
                    )
                });
                messages.push(Message::user(format!("{user}\n\n{example}")));
            }
            (Manner::Plain, _) => messages.push(Message::user(user)),
        }
        Ok(Asked {
            messages,
            schema,
            fields,
        })
    }

    /// The answer of one attempt: from its checkpoint, else from a model.
    async fn paid_answer(
        &self,
        question: &Question<'_>,
        key: &str,
        attempt: u32,
        step: Rung,
        asked: &Asked,
    ) -> Result<Paid, PipelineError> {
        let hash = format!("{key}-{attempt}");
        if let Some(answer) = self.find_answer(question, &hash).await? {
            self.observer().on_event(Event::CallSkipped);
            return Ok(Paid {
                answer,
                hash,
                calls: Vec::new(),
                tight: false,
            });
        }
        self.ensure_budget()?;
        let mut spec = CallSpec::new(question.work, asked.messages.clone(), question.max_output_tokens);
        spec.escalation = step.escalation;
        spec.escalation_reason = RouteReason::ValidationFailure;
        spec.complexity = question.complexity;
        spec.schema = Some(OutputSchema {
            name: question.shape.to_owned(),
            schema: asked.schema.clone(),
        });
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
                };
                Ok(Paid {
                    answer,
                    hash,
                    calls,
                    tight: outcome.tight,
                })
            }
            Err(CallError::Cancelled) => Err(PipelineError::Cancelled),
            Err(cause) => {
                self.record_failure(question, attempt, &hash, &calls).await?;
                if matches!(cause, CallError::Stopped { .. }) {
                    self.ensure_budget()?;
                }
                Err(PipelineError::Call {
                    what: question.name(),
                    cause: Box::new(cause),
                })
            }
        }
    }

    /// Parses, repairs, merges and checks an answer.
    async fn evaluate(
        &self,
        question: &Question<'_>,
        paid: &PaidAnswer,
        asked: &Asked,
        best: Option<&Candidate>,
    ) -> Result<Evaluated, PipelineError> {
        let read = Repairer::new(&asked.schema)
            .and_then(|repairer| repairer.repair(&paid.text).map(|found| (repairer, found)));
        let (mending, repaired) = match read {
            Ok(read) => read,
            Err(error) => {
                return Ok(Evaluated {
                    layer: None,
                    candidate: Err(error.to_string()),
                });
            }
        };
        let mut layer = repaired.layer;
        let value = match best {
            Some(best) if !asked.fields.is_empty() => {
                layer = RepairLayer::Model;
                merged(&best.value, &asked.fields, &repaired.value)
            }
            _ => repaired.value,
        };
        let mut problems = if asked.fields.is_empty() {
            // It was asked for the whole, by the question's own schema.
            messages_of(mending.failing_fields(&value))
        } else {
            failing_fields(&question.schema, &value).map_or_else(|error| vec![error.to_string()], messages_of)
        };
        if problems.is_empty()
            && let Some(check) = &question.check
        {
            problems = check(&value)
                .iter()
                .filter(|finding| finding.is_error())
                .map(ToString::to_string)
                .collect();
        }
        if problems.is_empty()
            && let Some(echo) = question.prompt.own_words.echo_in(&value)
        {
            problems.push(format!(
                "\"{echo}\" are words of the instructions: write what they ask for"
            ));
        }
        let errors = problems.len();
        let mut similarity = None;
        let mut margin = None;
        if errors == 0
            && let Some(gate) = &question.gate
        {
            let score = quality::similarity(self, &gate.brief, &(gate.digest)(&value)).await?;
            let threshold = quality::threshold_in(self.language(), gate.threshold);
            similarity = Some(score);
            margin = Some(score - threshold);
            if score < threshold {
                let brief = &gate.brief;
                problems.push(format!(
                    "the text is not close enough to what was asked for (similarity {score:.2}, needed {threshold:.2}); keep to: {brief}"
                ));
            }
        }
        let candidate = Candidate {
            value,
            standing: Standing { errors, margin },
            similarity,
            problems,
        };
        Ok(Evaluated {
            layer: Some(layer),
            candidate: Ok(candidate),
        })
    }
}

/// What the schema rejects.
fn messages_of(failures: Vec<FieldFailure>) -> Vec<String> {
    failures.into_iter().map(|failure| failure.message).collect()
}

/// An answer with the calls that it took; none if it was found in its checkpoint.
pub(crate) struct Paid {
    pub(crate) answer: PaidAnswer,
    pub(crate) hash: String,
    pub(crate) calls: Vec<AttemptRecord>,
    pub(crate) tight: bool,
}

/// What became of an answer.
struct Evaluated {
    layer: Option<RepairLayer>,
    /// The error is a problem to tell the model.
    candidate: Result<Candidate, String>,
}

/// What the call log says of an answer.
pub(crate) struct Verdict {
    pub(crate) layer: Option<RepairLayer>,
    pub(crate) outcome: &'static str,
    pub(crate) problem: Option<String>,
}

impl Verdict {
    fn of(evaluated: &Result<Evaluated, PipelineError>) -> Self {
        match evaluated {
            Err(error) => Self {
                layer: None,
                outcome: "unchecked",
                problem: Some(error.to_string()),
            },
            Ok(Evaluated {
                layer,
                candidate: Err(problem),
            }) => Self {
                layer: *layer,
                outcome: "invalid_json",
                problem: Some(problem.clone()),
            },
            Ok(Evaluated {
                layer,
                candidate: Ok(candidate),
            }) => {
                let outcome = match candidate.standing {
                    standing if standing.is_accepted() => ACCEPTED,
                    standing if standing.errors > 0 => "rule_broken",
                    _ => "quality_low",
                };
                Self {
                    layer: *layer,
                    outcome,
                    problem: candidate.problems.first().cloned(),
                }
            }
        }
    }
}

/// The temperature of a model that is asked for small pieces: measured, above it the smallest lose the thread.
const SMALL_TEMPERATURE: f32 = 0.5;

struct Asked {
    messages: Vec<Message>,
    schema: Value,
    fields: Vec<OffendingField>,
}

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
        !self.run.spending().is_exhausted()
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
