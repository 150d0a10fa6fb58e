//! Writing the progress and moving the state machine: the SQL functions of data model 2.7 and 2.8. As system only.

use domain::generation::{GenerationProgress, GenerationStatus, Step, StepStatus};
use domain::id::CourseId;
use serde_json::Value;

use super::lifecycle::ProgressFacts;
use crate::course;
use crate::error::StoreError;
use crate::hint::Hint;
use crate::json::{from_json, to_json, to_text};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, Tx};

statements! {
    ADVANCE = "select app.advance_generation_status($1, $2,
            coalesce((select (c.generation_progress ->> 'has_documents')::boolean from courses c where c.id = $1), false))";
    UPDATE_PROGRESS = "select update_course_progress($1, $2, $3, $4, $5, $6, $7)";
    COUNT_LESSONS = "select count(*) filter (where status in ('completed', 'needs_review')), count(*)
        from lesson_contents where course_id = $1";
}

/// One call of `update_course_progress` (data model 2.7).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProgressUpdate {
    /// The step.
    pub(crate) step: Step,
    /// Where it stands.
    pub(crate) status: StepStatus,
    /// What is being done, for people.
    pub(crate) message: String,
    /// What went wrong, for people.
    pub(crate) error: Option<String>,
    /// What went wrong, for programs.
    pub(crate) error_details: Option<Value>,
    /// How far the step is, and what front ends show beside it.
    pub(crate) facts: ProgressFacts,
}

impl ProgressUpdate {
    /// An update without error and facts.
    pub(crate) fn new(step: Step, status: StepStatus, message: impl Into<String>) -> Self {
        Self {
            step,
            status,
            message: message.into(),
            error: None,
            error_details: None,
            facts: ProgressFacts::default(),
        }
    }
}

/// Writes the progress; as system only.
pub(crate) async fn update_progress(
    tx: &mut impl Tx,
    course_id: CourseId,
    update: &ProgressUpdate,
) -> Result<GenerationProgress, StoreError> {
    let progress: Option<Value> = sqlx::query_scalar(UPDATE_PROGRESS)
        .bind(course_id.as_uuid())
        .bind(i32::from(update.step.id()))
        .bind(to_json(&update.status, "step status")?.as_str())
        .bind(to_text(&update.message))
        .bind(update.error.as_deref().map(to_text))
        .bind(
            update
                .error_details
                .as_ref()
                .map(|details| to_json(details, "error details"))
                .transpose()?,
        )
        .bind(to_json(&update.facts, "progress facts")?)
        .fetch_one(tx.connection())
        .await?;
    tx.hint(Hint::Progress(course_id));
    let is_end = update.step == Step::Finalization && update.status == StepStatus::Completed;
    if update.status == StepStatus::Failed || is_end {
        tx.hint(Hint::Webhooks);
    }
    from_json(
        progress.ok_or_else(|| course::not_found(&course_id.to_string()))?,
        "progress",
    )
}

/// Writes the progress of the content stage from the lessons that are in the database.
pub(crate) async fn report_lessons(
    tx: &mut SystemTx,
    course_id: CourseId,
    message: &str,
) -> Result<GenerationProgress, StoreError> {
    let (done, total): (i64, i64) = sqlx::query_as(COUNT_LESSONS)
        .bind(course_id.as_uuid())
        .fetch_one(tx.connection())
        .await?;
    let facts = ProgressFacts {
        lessons_completed: u32::try_from(done).ok(),
        lessons_total: u32::try_from(total).ok(),
        ..ProgressFacts::default()
    };
    let update = ProgressUpdate {
        facts,
        ..ProgressUpdate::new(Step::Content, StepStatus::InProgress, message)
    };
    update_progress(tx, course_id, &update).await
}

/// Moves the state machine forward, through the states in between.
pub(crate) async fn advance(
    tx: &mut impl Tx,
    course_id: CourseId,
    to: GenerationStatus,
) -> Result<(), StoreError> {
    sqlx::query(ADVANCE)
        .bind(course_id.as_uuid())
        .bind(to.as_str())
        .execute(tx.connection())
        .await?;
    tx.hint(Hint::Progress(course_id));
    if !to.is_active() || to == GenerationStatus::AwaitingReview {
        tx.hint(Hint::Webhooks);
    }
    Ok(())
}
