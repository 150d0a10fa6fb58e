//! One job under way: what every stage needs of the course, the models and the database.

mod calls;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::clock::Clock;
use domain::course::CourseInputs;
use domain::generation::{GenerationScope, Spending, Step};
use domain::language::Language;
use domain::lesson::LessonContent;
use domain::structure::{DifficultyLevel, Lesson, Section};
use domain::usage::MicroUsd;
use domain::validation::{TitleIndex, ValidationContext};
use llm::calibration::Calibration;
use llm::card::Granularity;
use llm::gateway::{AttemptRecord, Models};
use llm::pricing::Cost;
use llm::route::Work;
use llm::vector_index::VectorIndex;
use serde::de::DeserializeOwned;
use serde_json::json;
use sha2::{Digest, Sha256};
use store::Store;
use store::checkpoint::{CheckpointKey, find_checkpoint, record_checkpoint};
use store::course::Course;
use store::generation::Generation;
use store::generation::lifecycle::{ProgressFacts, report_progress};
use store::lesson::{StoredLesson, fail_lesson, list_lessons, revise_lesson, save_lesson};
use store::metric::{Event as MetricEvent, NewMetric, Severity as MetricSeverity, insert_metric};
use store::model_call::{NewModelCall, insert_calls};
use store::queue::ClaimedJob;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::{Declined, Kept, Paid, Question, Verdict};
use crate::error::PipelineError;
use crate::event::{Event, Observer};
use crate::fallback;
use crate::ingest::DocumentReader;
use crate::material::Material;
use crate::prompt::Prompts;
use crate::transaction::in_system;

/// What the pipeline works with.
#[derive(Clone, Debug)]
pub struct Services {
    /// The database.
    pub store: Arc<Store>,
    /// The models.
    pub models: Models,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// Who reads the files of documents.
    pub documents: Arc<dyn DocumentReader>,
    /// Where vectors are searched, if not in the database.
    pub vector_index: Option<Arc<dyn VectorIndex>>,
}

/// A cloud model that sends nothing for so long is taken to hang.
const IDLE_TIMEOUT: Duration = Duration::from_mins(2);
/// A model on the CPU may first serve those before us.
const SMALL_IDLE_TIMEOUT: Duration = Duration::from_mins(15);

/// Seeds of calls have 31 bits: some servers read them as 32-bit numbers with a sign.
const SEED_BITS: u64 = 0x7fff_ffff;

/// One job under way.
#[derive(Debug)]
pub(crate) struct Run {
    services: Services,
    prompts: Arc<Prompts>,
    claimed: ClaimedJob,
    course: Course,
    generation: Generation,
    cancel: CancellationToken,
    spent: AtomicI64,
    /// What calls of unknown price are counted as.
    assumed: AtomicI64,
    /// When it was last told that something is waited for.
    told_wait: Mutex<Option<Instant>>,
    warned_of_budget: AtomicBool,
    /// Whether a part of the stage has met what ends it.
    halted: AtomicBool,
    /// Sections that are made, so that others do not repeat them.
    made: Mutex<BTreeMap<u32, Section>>,
    /// The course's documents, once they were asked for.
    material: OnceCell<Material>,
}

impl Run {
    pub(crate) fn new(
        services: Services,
        prompts: Arc<Prompts>,
        claimed: ClaimedJob,
        course: Course,
        generation: Generation,
        spending: Spending,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            services,
            prompts,
            claimed,
            course,
            generation,
            cancel,
            spent: AtomicI64::new(spending.spent.0),
            assumed: AtomicI64::new(spending.assumed.0),
            told_wait: Mutex::new(None),
            warned_of_budget: AtomicBool::new(false),
            halted: AtomicBool::new(false),
            made: Mutex::new(BTreeMap::new()),
            material: OnceCell::new(),
        }
    }

    pub(crate) const fn services(&self) -> &Services {
        &self.services
    }

    /// The course's documents as this stage found them: one look serves the whole stage, so that all of its questions
    /// see the same. The stage that reads documents looks for itself.
    pub(crate) async fn material(&self) -> Result<&Material, PipelineError> {
        self.material.get_or_try_init(|| Material::of(self)).await
    }

    pub(crate) fn models(&self) -> &Models {
        &self.services.models
    }

    pub(crate) fn store(&self) -> &Store {
        &self.services.store
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.services.clock
    }

    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.services.observer
    }

    pub(crate) fn prompts(&self) -> &Prompts {
        &self.prompts
    }

    pub(crate) const fn claimed(&self) -> &ClaimedJob {
        &self.claimed
    }

    pub(crate) const fn course(&self) -> &Course {
        &self.course
    }

    pub(crate) const fn generation(&self) -> &Generation {
        &self.generation
    }

    /// What this generation makes anew.
    pub(crate) const fn scope(&self) -> &GenerationScope {
        &self.generation.scope
    }

    /// What the author wants otherwise, where a part is made anew. It is data like all that authors write (generation
    /// 3.8): prompts delimit it and say what it may decide.
    pub(crate) fn wish(&self) -> Option<&str> {
        self.scope()
            .instruction()
            .map(str::trim)
            .filter(|wish| !wish.is_empty())
    }

    pub(crate) const fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    pub(crate) const fn inputs(&self) -> &CourseInputs {
        &self.course.inputs
    }

    pub(crate) const fn language(&self) -> Language {
        self.course.inputs.language
    }

    /// Whether the model must be asked for small pieces.
    pub(crate) fn is_small(&self) -> bool {
        self.models().card_for(Work::Section, 0).granularity == Granularity::Small
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        if self.is_small() {
            SMALL_IDLE_TIMEOUT
        } else {
            IDLE_TIMEOUT
        }
    }

    pub(crate) fn calibration(&self) -> Calibration {
        Calibration::of_model(self.models().embedder().model()).unwrap_or(Calibration::REFERENCE)
    }

    /// The rules of this course.
    pub(crate) fn rules(&self) -> ValidationContext<'_> {
        ValidationContext {
            language: self.language(),
            difficulty: self
                .course
                .analysis
                .as_ref()
                .map_or(DifficultyLevel::Beginner, |analysis| analysis.difficulty),
            user_outcomes: &self.inputs().learning_outcomes,
        }
    }

    /// A number that is the same whenever the same piece of the same generation is made.
    pub(crate) fn seed_for(&self, piece: &str) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.generation.seed.to_le_bytes());
        if *self.scope() != GenerationScope::Whole {
            // What is made anew must differ from what it replaces, also where both have the same seed.
            hash.update(self.generation.id.as_uuid());
        }
        hash.update(piece);
        let digest = hash.finalize();
        digest
            .iter()
            .take(8)
            .fold(0, |seed, byte| seed << 8 | u64::from(*byte))
            & SEED_BITS
    }

    /// Remembers a section's titles and topics for the others.
    pub(crate) fn remember_titles(&self, section: &Section) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.insert(section.section_number, section.clone());
    }

    /// Titles and topics that sections other than `number` have.
    pub(crate) fn title_index_elsewhere(&self, number: u32) -> TitleIndex {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        TitleIndex::of_sections(made.values().filter(|section| section.section_number != number))
    }

    /// Asks a question whose answer is of type `T`.
    ///
    /// # Errors
    /// Those of [`Run::ask`], and [`PipelineError::Shape`].
    pub(crate) async fn ask_for<T: DeserializeOwned>(
        &self,
        question: Question<'_>,
    ) -> Result<T, PipelineError> {
        let what = question.name();
        let answer = self.ask(question).await?;
        if answer.needs_review {
            self.note_low_quality(&what, answer.similarity).await?;
        }
        serde_json::from_value(answer.value).map_err(|cause| PipelineError::Shape { what, cause })
    }

    /// What came of a call that was made before.
    pub(crate) async fn find_kept(
        &self,
        question: &Question<'_>,
        hash: &str,
    ) -> Result<Option<Kept>, PipelineError> {
        let key = self.key(question, hash);
        let found = in_system!(self.store(), |tx| find_checkpoint(tx, &key).await)?;
        found
            .map(|checkpoint| serde_json::from_value(checkpoint.output))
            .transpose()
            .map_err(|cause| PipelineError::Shape {
                what: "a checkpoint".to_owned(),
                cause,
            })
    }

    /// Writes an answer, its calls and what must be known of them, in one transaction.
    pub(crate) async fn record_answer(
        &self,
        question: &Question<'_>,
        attempt: u32,
        paid: &Paid,
        verdict: &Verdict,
    ) -> Result<(), PipelineError> {
        if paid.calls.is_empty() {
            return Ok(());
        }
        let key = self.key(question, &paid.hash);
        let mut calls = self.call_rows(question, attempt, &paid.hash, &paid.calls);
        if let Some(last) = calls.last_mut() {
            verdict.outcome.clone_into(&mut last.outcome);
            last.error.clone_from(&verdict.problem);
            last.repair_layer = verdict.layer.map(|layer| layer as u8);
            if verdict.outcome != store::model_call::ACCEPTED {
                last.raw_output = Some(paid.answer.text.clone());
            }
        }
        let metrics = self.metrics_of(paid);
        let lease = self.claimed.lease;
        in_system!(self.store(), |tx| {
            for metric in &metrics {
                insert_metric(tx, metric).await?;
            }
            record_checkpoint(tx, &lease, &key, &paid.answer, &calls).await
        })?;
        Ok(())
    }

    /// Writes calls that nobody waits for any more: what they cost counts.
    pub(crate) async fn record_calls(
        &self,
        question: &Question<'_>,
        attempt: u32,
        hash: &str,
        calls: &[AttemptRecord],
    ) -> Result<(), PipelineError> {
        if calls.is_empty() {
            return Ok(());
        }
        let calls = self.call_rows(question, attempt, hash, calls);
        in_system!(self.store(), |tx| insert_calls(tx, &calls).await)?;
        Ok(())
    }

    /// Writes calls that brought no answer, and that the question was declined, so that a replay does not ask again.
    pub(crate) async fn record_failure(
        &self,
        question: &Question<'_>,
        attempt: u32,
        hash: &str,
        calls: &[AttemptRecord],
        declined: Option<Declined>,
    ) -> Result<(), PipelineError> {
        let calls = self.call_rows(question, attempt, hash, calls);
        let kept = declined.map(|declined| Kept::Declined { declined });
        let (key, lease) = (self.key(question, hash), self.claimed.lease);
        let metric = self.metric(
            MetricEvent::ProviderDown,
            MetricSeverity::Error,
            json!({ "phase": question.phase }),
        );
        in_system!(self.store(), |tx| {
            insert_metric(tx, &metric).await?;
            match &kept {
                Some(kept) => record_checkpoint(tx, &lease, &key, kept, &calls)
                    .await
                    .map(|_cancelled| ()),
                None => insert_calls(tx, &calls).await,
            }
        })?;
        Ok(())
    }

    fn key(&self, question: &Question<'_>, hash: &str) -> CheckpointKey {
        CheckpointKey {
            generation_id: self.generation.id,
            stage: question.stage,
            phase: question.phase.clone(),
            batch: question.batch,
            prompt_hash: hash.to_owned(),
        }
    }

    fn call_rows(
        &self,
        question: &Question<'_>,
        attempt: u32,
        hash: &str,
        calls: &[AttemptRecord],
    ) -> Vec<NewModelCall> {
        let rows = calls.iter().map(|call| {
            let assumed = match call.cost {
                Cost::Known(_) => None,
                Cost::Assumed(counted) => Some(counted),
            };
            NewModelCall {
                generation_id: self.generation.id,
                stage: question.stage,
                phase: question.phase.clone(),
                batch: question.batch,
                attempt,
                model: call.model.clone(),
                provider: call.provider.clone(),
                upstream: call.upstream.clone(),
                route_reason: call.reason.as_str().to_owned(),
                prompt_hash: hash.to_owned(),
                usage: call.usage,
                cost: call.cost.known().unwrap_or_default(),
                assumed,
                latency: call.latency,
                finish_reason: call.finish_reason.map(|reason| reason.as_str().to_owned()),
                repair_layer: None,
                outcome: call.outcome.to_owned(),
                error: call.error.clone(),
                raw_output: None,
            }
        });
        rows.collect()
    }

    /// Events that an operator should hear of.
    fn metrics_of(&self, paid: &Paid) -> Vec<NewMetric> {
        let mut metrics = Vec::new();
        for (event, facts) in fallback::events(&paid.calls) {
            metrics.push(self.metric(event, MetricSeverity::Warn, facts));
        }
        if paid.tight {
            let facts = json!({ "model": paid.answer.model, "input_tokens": paid.answer.usage.input });
            metrics.push(self.metric(MetricEvent::TokenBudgetWarning, MetricSeverity::Warn, facts));
        }
        if self.spending().is_near_limit() && !self.warned_of_budget.swap(true, Ordering::Relaxed) {
            let spending = self.spending();
            let (spent, budget) = (spending.counted(), spending.budget);
            let facts = json!({
                "spent_usd": spending.spent.as_usd(), "assumed_usd": spending.assumed.as_usd(),
                "budget_usd": budget.as_usd(),
            });
            metrics.push(self.metric(MetricEvent::CostOverrun, MetricSeverity::Warn, facts));
            self.observer().on_event(Event::BudgetNear { spent, budget });
        }
        metrics
    }

    async fn note_low_quality(&self, what: &str, similarity: Option<f64>) -> Result<(), PipelineError> {
        let facts = json!({ "piece": what, "similarity": similarity });
        let metric = self.metric(MetricEvent::QualityLow, MetricSeverity::Warn, facts);
        in_system!(self.store(), |tx| insert_metric(tx, &metric).await)?;
        Ok(())
    }

    fn metric(&self, event: MetricEvent, severity: MetricSeverity, metadata: serde_json::Value) -> NewMetric {
        NewMetric {
            user_id: Some(self.claimed.user_id),
            organization_id: Some(self.claimed.organization_id),
            course_id: Some(self.course.id),
            job_id: Some(self.claimed.lease.job_id),
            metadata,
            ..NewMetric::new(event, severity)
        }
    }

    pub(crate) fn spending(&self) -> Spending {
        Spending {
            spent: MicroUsd(self.spent.load(Ordering::Relaxed)),
            assumed: MicroUsd(self.assumed.load(Ordering::Relaxed)),
            budget: self.generation.budget,
        }
    }

    /// The round of the generation: each time that somebody goes on after its end begins one.
    pub(crate) const fn round(&self) -> u32 {
        self.generation.round
    }

    /// Lets no new call begin: a part of the stage has met what ends it. What is under way comes to its end and is kept,
    /// since it is paid for.
    pub(crate) fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
    }

    /// Nothing more is called when the budget is used up (generation 3.3) or the stage is about to end.
    pub(crate) fn ensure_may_call(&self) -> Result<(), PipelineError> {
        if self.halted.load(Ordering::Relaxed) {
            return Err(PipelineError::Halted);
        }
        let spending = self.spending();
        if spending.is_exhausted() {
            return Err(PipelineError::Budget {
                spent: spending.counted(),
                assumed: spending.assumed,
                budget: spending.budget,
            });
        }
        Ok(())
    }

    /// Writes how many sections are made.
    pub(crate) async fn progress_structure(&self, done: u32, total: u32) -> Result<(), PipelineError> {
        let message = format!("Секции: {done} из {total}");
        let facts = ProgressFacts {
            batches_completed: Some(done),
            total_batches: Some(total),
            current_model: Some(self.models().card_for(Work::Section, 0).id.clone()),
            ..ProgressFacts::default()
        };
        let (lease, job) = (self.claimed.lease, self.claimed.job);
        in_system!(self.store(), |tx| report_progress(
            tx,
            &lease,
            &job,
            &message,
            facts.clone()
        )
        .await)?;
        self.observer().on_event(Event::Progress {
            step: Step::Structure,
            done,
            total,
        });
        Ok(())
    }

    /// Writes how many documents are read.
    pub(crate) async fn progress_documents(&self, done: u32, total: u32) -> Result<(), PipelineError> {
        let message = format!("Документы: {done} из {total}");
        let (lease, job) = (self.claimed.lease, self.claimed.job);
        in_system!(self.store(), |tx| report_progress(
            tx,
            &lease,
            &job,
            &message,
            ProgressFacts::default()
        )
        .await)?;
        Ok(())
    }

    /// Tells how many lessons are written; the database counts them itself.
    pub(crate) fn progress_content(&self, done: u32, total: u32) {
        self.observer().on_event(Event::Progress {
            step: Step::Content,
            done,
            total,
        });
    }

    /// The lessons of the course as the database has them.
    pub(crate) async fn stored_lessons(&self) -> Result<Vec<StoredLesson>, PipelineError> {
        let course = self.course.id;
        Ok(in_system!(self.store(), |tx| list_lessons(tx, course).await)?)
    }

    /// Saves a lesson's text and the progress.
    pub(crate) async fn save_lesson(
        &self,
        number: u32,
        content: &LessonContent,
    ) -> Result<(), PipelineError> {
        let (lease, job) = (self.claimed.lease, self.claimed.job);
        let message = format!("Урок {number} готов");
        in_system!(self.store(), |tx| save_lesson(
            tx, &lease, &job, number, content, &message
        )
        .await)?;
        Ok(())
    }

    /// Writes down that a lesson could not be written, and why.
    pub(crate) async fn fail_lesson(
        &self,
        lesson: &Lesson,
        error: &PipelineError,
    ) -> Result<(), PipelineError> {
        let number = lesson.lesson_number;
        let reason = error.reason();
        tracing::warn!(number, reason, "a lesson could not be written");
        let (lease, job) = (self.claimed.lease, self.claimed.job);
        in_system!(self.store(), |tx| fail_lesson(tx, &lease, &job, number, &reason)
            .await)?;
        let title = &lesson.lesson_title;
        self.observer().on_event(Event::Notice {
            message: format!("Lesson {number}, \"{title}\", could not be written: {reason}"),
        });
        Ok(())
    }

    /// Saves what became of the text of a lesson that was read; `false` if it has changed since.
    pub(crate) async fn revise_lesson(
        &self,
        read: &StoredLesson,
        content: &LessonContent,
    ) -> Result<bool, PipelineError> {
        let (lease, job) = (self.claimed.lease, self.claimed.job);
        Ok(in_system!(self.store(), |tx| revise_lesson(
            tx, &lease, &job, read, content
        )
        .await)?)
    }
}
