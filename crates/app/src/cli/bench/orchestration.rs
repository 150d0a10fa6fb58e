//! The pipeline itself: a whole course with a provider that takes exactly 2 s a call.
//!
//! What is measured is the product's own share: the wall time against the longest chain of calls that had to wait
//! for each other, and the processor time of this process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::clock::SystemClock;
use domain::course::CourseRequest;
use domain::language::Language;
use llm::card::{Cards, ModelCard};
use llm::error::FailedAttempt;
use llm::gateway::Models;
use llm::provider::scripted::answers::schema_answers;
use llm::provider::scripted::{Script, Scripted, WordEmbedder};
use llm::provider::{Provider, StreamObserver};
use llm::request::Request;
use llm::response::Response;
use llm::route::Routes;
use pipeline::Services;
use pipeline::event::Unwatched;
use serde_json::{Value, json};
use store::course::insert_course;
use store::generation::lifecycle::{NewGeneration, start_generation};
use store::{Store, organization};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::in_own_database;
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::worker::{WorkEnd, Worker};

/// How long a call takes, whatever is asked (service 4.9).
const LATENCY: Duration = Duration::from_secs(2);
/// Sections of the course (service 4.9).
const SECTIONS: i64 = 8;
/// Lessons of the course (generation 3.3).
const LESSONS: i64 = 24;
/// Calls that the provider takes at once: more than are ever made.
const MAX_PARALLEL: usize = 64;
/// Ticks of a processor's time in a second, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Makes a course in a database of its own, which is removed afterwards.
pub(super) async fn measure(config: &Config) -> Result<String, Failure> {
    in_own_database(config, async |store| course(store).await).await
}

async fn course(store: &Arc<Store>) -> Result<String, Failure> {
    let timed = Arc::new(Timed::default());
    let models = models(&timed)?;
    let request = CourseRequest {
        title: "Python loops and functions for beginners".to_owned(),
        language: Some("en".to_owned()),
        desired_modules_count: Some(SECTIONS),
        desired_lessons_count: Some(LESSONS),
        ..CourseRequest::default()
    };
    let (inputs, _) = request
        .check(Language::English)
        .map_err(|errors| Failure::inputs(&errors))?;
    let actor = store
        .with_system(async |tx| organization::ensure_local_owner(tx).await)
        .await?;
    let started = store
        .with_tenant(&actor, async |tx| {
            let course = insert_course(tx, &inputs).await?;
            let new = NewGeneration {
                course_id: course.id,
                budget: inputs.budget,
                seed: 1,
                options: json!({}),
                scope: domain::generation::GenerationScope::Whole,
                user_limit: None,
                global_limit: None,
                webhook_url: None,
                idempotency_key: None,
            };
            Ok((course.id, start_generation(tx, &new).await?.generation_id))
        })
        .await?;
    let services = Services {
        store: Arc::clone(store),
        models,
        clock: Arc::new(SystemClock),
        observer: Arc::new(Unwatched),
        documents: Arc::new(pipeline::ingest::NoDocuments),
        vector_index: None,
    };
    let worker = Worker::new(services)?;
    let (cpu_before, begun) = (own_cpu_seconds(), Instant::now());
    let end = worker
        .run_generation(started.1, &CancellationToken::new())
        .await?;
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), own_cpu_seconds() - cpu_before);
    match end {
        WorkEnd::Done => {}
        WorkEnd::Failed(error) => return Err(error.into()),
        WorkEnd::Cancelled | WorkEnd::Interrupted | WorkEnd::TakenOver => {
            return Err(Failure::new(Exit::Failure, "the generation was stopped"));
        }
    }
    let course = store
        .with_tenant(&actor, async |tx| store::course::get_course(tx, started.0).await)
        .await?;
    let structure = course.structure.as_ref();
    let calls = timed.calls();
    let chain = longest_chain(&calls).as_secs_f64();
    Ok(format!(
        "orchestration: {} sections, {} lessons, {} calls of {} s: wall {wall:.2} s, longest chain of calls {chain:.2} s, ratio {:.3}; own CPU {:.0} ms (the scripted provider's included)",
        structure.map_or(0, |structure| structure.sections.len()),
        structure.map_or(0, domain::structure::CourseStructure::lesson_count),
        calls.len(),
        LATENCY.as_secs(),
        wall / chain,
        cpu * 1000.0
    ))
}

fn models(timed: &Arc<Timed>) -> Result<Models, Failure> {
    let mut cards = Cards::default();
    cards.insert(ModelCard {
        context_window: 131_072,
        ..ModelCard::assumed("scripted", "scripted")
    });
    let builder = Models::builder(
        cards,
        Routes::single("scripted"),
        Arc::new(WordEmbedder::new(256).lenient()),
    );
    Ok(builder
        .provider(Arc::clone(timed) as _)
        .build(Arc::new(SystemClock))?)
}

/// The scripted provider, which notes when each call began and ended.
#[derive(Debug)]
struct Timed {
    inner: Scripted,
    calls: Mutex<Vec<(Instant, Instant)>>,
}

impl Default for Timed {
    fn default() -> Self {
        let answers = schema_answers(1, Language::English);
        let script: Script = Arc::new(move |request: &Request, call: usize| {
            let mut reply = answers(request, call).after(LATENCY);
            if let Ok(answer) = &mut reply.outcome
                && let Some(planned) = with_sections(&answer.text)
            {
                answer.text = planned;
            }
            reply
        });
        let inner = Scripted::new("scripted", script).with_max_parallel(MAX_PARALLEL);
        Self {
            inner,
            calls: Mutex::default(),
        }
    }
}

impl Timed {
    fn calls(&self) -> Vec<(Instant, Instant)> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Provider for Timed {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn max_parallel(&self) -> usize {
        self.inner.max_parallel()
    }

    async fn generate(
        &self,
        request: &Request,
        observer: &dyn StreamObserver,
        cancel: &CancellationToken,
    ) -> Result<Response, FailedAttempt> {
        let begun = Instant::now();
        let outcome = self.inner.generate(request, observer, cancel).await;
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((begun, Instant::now()));
        outcome
    }
}

/// A plan with as many sections and lessons as are measured; `None` if the answer is not a plan.
fn with_sections(answer: &str) -> Option<String> {
    let mut plan: Value = serde_json::from_str(answer).ok()?;
    let sections = plan.get_mut("sections_breakdown")?.as_array_mut()?;
    let first = sections.first()?.clone();
    let topics = first.get("area")?.as_str()?.to_owned();
    *sections = (1..=SECTIONS)
        .map(|number| {
            let mut section = first.clone();
            section["section_id"] = json!(format!("section-{number}"));
            section["area"] = json!(format!("{topics}, part {number}"));
            section["estimated_lessons"] = json!(LESSONS / SECTIONS);
            section["prerequisites"] = json!([]);
            section
        })
        .collect();
    Some(plan.to_string())
}

/// The most time that calls took of which each began after the one before had ended: what no orchestration can
/// shorten while it makes these calls in this order.
fn longest_chain(calls: &[(Instant, Instant)]) -> Duration {
    let mut by_end = calls.to_vec();
    by_end.sort_by_key(|(_, ended)| *ended);
    let mut chain = Duration::ZERO;
    let mut last_end: Option<Instant> = None;
    for (begun, ended) in by_end {
        if last_end.is_none_or(|last| begun >= last) {
            chain += ended - begun;
            last_end = Some(ended);
        }
    }
    chain
}

/// Processor time of this process, its threads included, in seconds.
fn own_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // After the name: utime is the 12th field, stime the 13th.
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_gets_the_measured_number_of_sections() {
        let plan = r#"{"total_sections": 1, "sections_breakdown": [{"section_id": "a", "area": "Loops"}]}"#;
        let plan: Value = serde_json::from_str(&with_sections(plan).unwrap()).unwrap();
        assert_eq!(plan["sections_breakdown"].as_array().unwrap().len(), 8);
        assert_eq!(plan["sections_breakdown"][7]["area"], "Loops, part 8");
        assert_eq!(with_sections(r#"{"section_title": "Loops"}"#), None);
    }

    #[test]
    fn longest_chain_counts_what_had_to_wait() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let calls = [
            (at(0), at(2)),
            (at(2), at(4)),
            (at(2), at(4)),
            (at(3), at(5)),
            (at(5), at(7)),
        ];
        assert_eq!(longest_chain(&calls), Duration::from_secs(6));
        assert_eq!(longest_chain(&[]), Duration::ZERO);
    }
}
