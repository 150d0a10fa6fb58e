//! Where a generation stands: `generation.getStatus`, and what followers are told.

use chrono::{DateTime, Utc};
use domain::generation::{
    GenerationProgress, GenerationStatus, ProgressStep, Step, StepStatus, failure_en, failure_ru,
};
use domain::id::{CourseId, GenerationId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use store::course::Course;
use store::error::StoreError;
use store::generation::{Generation, StageDuration, get_generation};
use store::tx::TenantTx;

use crate::procedures::Call;
use crate::procedures::courses::{OfCourse, get_as_insider};
use crate::procedures::error::ApiError;
use crate::procedures::words::Speech;
use crate::service::estimates::{Standing, remaining_seconds};

/// Where a generation stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::procedures) struct GenerationState {
    /// The course.
    course_id: CourseId,
    /// The latest generation; null: there was none.
    generation_id: Option<GenerationId>,
    /// Where it stands; null: there was none.
    status: Option<GenerationStatus>,
    /// What is being done.
    phase: Phase,
    /// 0 to 100; never falls within one generation.
    #[schemars(range(max = 100))]
    progress: u8,
    /// What is being done, for people.
    message: String,
    /// How much longer it takes, learnt from finished ones; null: nobody can know.
    estimated_remaining_seconds: Option<u32>,
    /// The number of the present step.
    current_step: u8,
    /// Always 5.
    total_steps: u8,
    /// The steps that front ends show.
    steps: Vec<StepOutput>,
    /// Lesson texts that are written.
    lessons_completed: u32,
    /// Lesson texts in all; 0 before the structure is there.
    lessons_total: u32,
    /// What front ends show beside the progress.
    metadata: StatusMetadata,
    /// Why it failed.
    error: Option<GenerationError>,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "GenerationPhase")]
enum Phase {
    /// Nothing yet.
    NotStarted,
    /// It waits for a worker.
    Launch,
    /// Documents are read.
    Documents,
    /// The task is analysed.
    Analysis,
    /// Sections and lesson specifications are made.
    Structure,
    /// The author looks at the structure.
    Review,
    /// Lesson texts are written.
    Content,
    /// Checks, totals, report.
    Finalization,
    /// It has ended.
    Ended,
}

impl Phase {
    const fn of(status: Option<GenerationStatus>) -> Self {
        use GenerationStatus as S;
        match status {
            None => Self::NotStarted,
            Some(S::Pending | S::Initializing) => Self::Launch,
            Some(S::ProcessingDocuments) => Self::Documents,
            Some(S::AnalyzingTask) => Self::Analysis,
            Some(S::GeneratingStructure) => Self::Structure,
            Some(S::AwaitingReview) => Self::Review,
            Some(S::GeneratingContent) => Self::Content,
            Some(S::Finalizing) => Self::Finalization,
            Some(S::Completed | S::Failed | S::Cancelled) => Self::Ended,
        }
    }
}

/// One of the five steps.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GenerationStep")]
struct StepOutput {
    /// From 1.
    id: u8,
    /// Its name in the caller's language.
    name: String,
    /// Where it stands.
    status: StepStatus,
    /// When it began.
    started_at: Option<DateTime<Utc>>,
    /// When it ended.
    completed_at: Option<DateTime<Utc>>,
    /// What went wrong, for people.
    error: Option<String>,
}

/// What front ends show beside the progress.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GenerationStatusMetadata")]
struct StatusMetadata {
    /// Sections that are made.
    batches_completed: Option<u64>,
    /// Sections in all.
    total_batches: Option<u64>,
    /// The model at work.
    current_model: Option<String>,
    /// The latest quality score, 0 to 1.
    quality_score: Option<f64>,
}

impl StatusMetadata {
    fn of(stored: &Value) -> Self {
        Self {
            batches_completed: stored["batches_completed"].as_u64(),
            total_batches: stored["total_batches"].as_u64(),
            current_model: stored["current_model"].as_str().map(str::to_owned),
            quality_score: stored["quality_score"].as_f64(),
        }
    }
}

/// Why a generation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct GenerationError {
    /// A stable word, for example `LLM_ERROR`.
    code: String,
    /// A sentence for people.
    message: String,
}

/// What is known of a generation at one moment.
pub(super) struct Moment<'a> {
    pub(super) course_id: CourseId,
    pub(super) generation_id: Option<GenerationId>,
    pub(super) status: Option<GenerationStatus>,
    pub(super) progress: &'a GenerationProgress,
    pub(super) metadata: &'a Value,
    pub(super) failure: Option<&'a store::generation::Failure>,
    pub(super) now: DateTime<Utc>,
}

impl GenerationState {
    /// The state in the caller's language.
    pub(super) fn new(moment: &Moment<'_>, usual: &[StageDuration], speech: Speech) -> Self {
        let progress = moment.progress;
        let metadata = StatusMetadata::of(moment.metadata);
        let estimated_remaining_seconds = moment.status.and_then(|status| {
            let standing = Standing {
                status,
                progress,
                share: share(status, progress, &metadata),
                now: moment.now,
            };
            remaining_seconds(usual, standing)
        });
        Self {
            course_id: moment.course_id,
            generation_id: moment.generation_id,
            status: moment.status,
            phase: Phase::of(moment.status),
            progress: progress.percentage,
            message: message(moment.status, progress, &metadata, speech),
            estimated_remaining_seconds,
            current_step: progress.current_step,
            total_steps: progress.total_steps,
            steps: progress
                .steps
                .iter()
                .map(|step| step_output(step, moment, speech))
                .collect(),
            lessons_completed: progress.lessons_completed,
            lessons_total: progress.lessons_total,
            metadata,
            error: moment.failure.map(|failure| GenerationError {
                code: failure.code.clone(),
                message: sentence(failure, speech),
            }),
        }
    }

    /// The progress is at least this: what was said before is not taken back.
    pub(super) fn at_least(&mut self, percentage: u8) -> u8 {
        self.progress = self.progress.max(percentage);
        self.progress
    }
}

/// What is being done, for people. The stored sentences are Russian, as existing front ends expect them (data model
/// 2.7); who asks for English gets sentences of the same meaning.
fn message(
    status: Option<GenerationStatus>,
    progress: &GenerationProgress,
    metadata: &StatusMetadata,
    speech: Speech,
) -> String {
    use GenerationStatus as S;
    if !speech.is_english() {
        return progress.message.clone();
    }
    let text = match status {
        None => "Nothing was started yet",
        Some(S::Pending | S::Initializing) => "Waiting for a worker",
        Some(S::ProcessingDocuments) => "Reading the documents",
        Some(S::AnalyzingTask) => "Analysing the task",
        Some(S::GeneratingStructure) => match (metadata.batches_completed, metadata.total_batches) {
            (Some(done), Some(all)) => return format!("Making the structure: {done} of {all} sections"),
            _ => "Making the structure",
        },
        Some(S::AwaitingReview) => "The structure waits for approval",
        Some(S::GeneratingContent) => {
            let (done, all) = (progress.lessons_completed, progress.lessons_total);
            return format!("Writing the lessons: {done} of {all}");
        }
        Some(S::Finalizing) => "Checking the course",
        Some(S::Completed) => "The course is ready",
        Some(S::Failed) => "The generation failed",
        Some(S::Cancelled) => "The generation was cancelled",
    };
    text.to_owned()
}

/// The share of the present stage that is done, where it is counted.
fn share(status: GenerationStatus, progress: &GenerationProgress, metadata: &StatusMetadata) -> Option<f64> {
    let (done, all) = match status {
        GenerationStatus::GeneratingContent => (
            u64::from(progress.lessons_completed),
            u64::from(progress.lessons_total),
        ),
        GenerationStatus::GeneratingStructure => (metadata.batches_completed?, metadata.total_batches?),
        _ => return None,
    };
    (all > 0).then(|| done as f64 / all as f64)
}

/// The code of a generation none of whose documents could be read.
const DOCUMENTS_UNREADABLE: &str = "DOCUMENTS_UNREADABLE";

/// Why it failed, for the owner. What is stored may be of a release that stored causes, so the code chooses.
fn sentence(failure: &store::generation::Failure, speech: Speech) -> String {
    let (english, russian) = (failure_en(&failure.code), failure_ru(&failure.code));
    let sentence = if speech.is_english() { english } else { russian };
    // What was wrong with which document only its author can mend.
    match failure.message.strip_prefix(russian).map(str::trim) {
        Some(details) if failure.code == DOCUMENTS_UNREADABLE && !details.is_empty() => {
            format!("{sentence} {details}")
        }
        _ => sentence.to_owned(),
    }
}

fn step_output(step: &ProgressStep, moment: &Moment<'_>, speech: Speech) -> StepOutput {
    let has_documents = moment.progress.has_documents;
    let known = Step::ALL.into_iter().find(|known| known.id() == step.id);
    let name = match known {
        Some(known) if speech.is_english() => known.name_en(has_documents).to_owned(),
        _ => step.name.clone(),
    };
    StepOutput {
        id: step.id,
        name,
        status: step.status,
        started_at: step.started_at,
        completed_at: step.completed_at,
        error: match (&step.error, moment.failure) {
            (Some(_), Some(failure)) => Some(sentence(failure, speech)),
            (error, _) => error.clone(),
        },
    }
}

/// Where the latest generation of a course stands.
pub(super) async fn get_status(call: Call, input: OfCourse) -> Result<GenerationState, ApiError> {
    Ok(present(&call, input.course_id).await?.1)
}

/// The course and where its latest generation stands.
pub(super) async fn present(call: &Call, id: CourseId) -> Result<(Course, GenerationState), ApiError> {
    let actor = call.actor()?;
    let service = &call.service;
    let (course, generation) = service
        .store
        .with_tenant(&actor, async move |tx| {
            let course = get_as_insider(tx, &actor, id).await?;
            let generation = latest(tx, &course).await?;
            Ok((course, generation))
        })
        .await?;
    let usual = service.estimates.usual(&service.store).await?;
    let nothing = json!({});
    let moment = Moment {
        course_id: course.id,
        generation_id: course.current_generation_id,
        status: course.generation_status,
        progress: &course.progress,
        metadata: generation
            .as_ref()
            .map_or(&nothing, |generation| &generation.progress_metadata),
        failure: generation
            .as_ref()
            .and_then(|generation| generation.failure.as_ref()),
        now: service.clock.now(),
    };
    let state = GenerationState::new(&moment, &usual, call.speech);
    Ok((course, state))
}

async fn latest(tx: &mut TenantTx, course: &Course) -> Result<Option<Generation>, StoreError> {
    match course.current_generation_id {
        Some(id) => get_generation(tx, id).await.map(Some),
        None => Ok(None),
    }
}

/// The state with what front ends of an earlier interface read: the columns of the course under their own names.
pub(crate) async fn state_with_columns(call: &Call, id: CourseId) -> Result<Value, ApiError> {
    let (course, state) = present(call, id).await?;
    let mut answer = serde_json::to_value(state).map_err(|error| ApiError::internal(&error))?;
    answer["generation_status"] = json!(course.generation_status);
    answer["generation_progress"] = json!(course.progress);
    Ok(answer)
}
