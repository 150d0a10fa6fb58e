//! Cancelling, going on, approving.

use domain::generation::GenerationStatus;
use domain::id::{CourseId, GenerationId};
use domain::user::Actor;
use schemars::JsonSchema;
use serde::Serialize;
use store::course::{Course, get_course};
use store::error::StoreError;
use store::generation::lifecycle::{approve_generation, retry_generation};
use store::generation::{CancelOutcome, request_cancel};
use store::tier::check_tier_lasts;

use super::events::write_down;
use super::initiate::Started;
use super::limits::Bounds;
use crate::procedures::Call;
use crate::procedures::courses::{OfCourse, check_owner};
use crate::procedures::error::ApiError;
use crate::procedures::words::{Speech, Text};

/// What a request to cancel led to.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CancelledGeneration")]
pub(in crate::procedures) struct Cancelled {
    /// The course.
    course_id: CourseId,
    /// `cancelled`: it is; `requested`: its worker stops within two seconds; `already_ended`: nothing was active.
    outcome: Outcome,
    /// A sentence for people.
    message: String,
}

/// See [`Cancelled::outcome`].
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "CancelOutcome")]
enum Outcome {
    /// It is cancelled.
    Cancelled,
    /// Its worker stops within two seconds.
    Requested,
    /// Nothing was active.
    AlreadyEnded,
}

impl Cancelled {
    /// The answer.
    pub(in crate::procedures) fn new(course_id: CourseId, outcome: CancelOutcome, speech: Speech) -> Self {
        let (outcome, text) = match outcome {
            CancelOutcome::Cancelled => (
                Outcome::Cancelled,
                Text::new("The generation is cancelled", "Генерация отменена"),
            ),
            CancelOutcome::Requested => (
                Outcome::Requested,
                Text::new("The generation is being cancelled", "Генерация отменяется"),
            ),
            CancelOutcome::AlreadyEnded => (
                Outcome::AlreadyEnded,
                Text::new("No generation is active", "Нет активной генерации"),
            ),
        };
        Self {
            course_id,
            outcome,
            message: text.spoken(speech).to_owned(),
        }
    }
}

/// Cancels the active generation of a course: its owner may, and admins of its organization.
pub(super) async fn cancel(call: Call, input: OfCourse) -> Result<Cancelled, ApiError> {
    let actor = call.actor()?;
    let id = input.course_id;
    let outcome = call
        .service
        .store
        .with_tenant(&actor, async move |tx| request_cancel(tx, id).await)
        .await?;
    Ok(Cancelled::new(id, outcome, call.speech))
}

/// Goes on with a generation that failed or was cancelled, or with the lessons of a complete course that are missing or
/// need a review.
pub(super) async fn retry(call: Call, input: OfCourse) -> Result<Started, ApiError> {
    let actor = call.actor()?;
    let id = input.course_id;
    let bounds = Bounds::of(&call.service).await?;
    let now = call.service.clock.now();
    let resumed = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            let course = get_course(tx, id).await?;
            let ended = [
                GenerationStatus::Failed,
                GenerationStatus::Cancelled,
                GenerationStatus::Completed,
            ];
            let generation = in_status(&actor, &course, &ended)?;
            check_tier_lasts(tx, now).await?;
            let limits = bounds.limits(bounds.tier(tx).await?);
            retry_generation(tx, generation, limits).await
        })
        .await;
    let resumed = match resumed {
        Ok(resumed) => resumed,
        Err(failed) => {
            write_down(&call, &actor, Some(id), &failed).await;
            return Err(failed.into());
        }
    };
    Ok(Started::new(&call, id, resumed.generation.id, resumed.job_id))
}

/// Approves the structure, so that the lessons are written.
pub(super) async fn approve(call: Call, input: OfCourse) -> Result<Started, ApiError> {
    let actor = call.actor()?;
    let id = input.course_id;
    let resumed = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            let course = get_course(tx, id).await?;
            let generation = in_status(&actor, &course, &[GenerationStatus::AwaitingReview])?;
            approve_generation(tx, generation).await
        })
        .await?;
    Ok(Started::new(&call, id, resumed.generation.id, resumed.job_id))
}

/// The latest generation of the actor's own course, if it is in one of these statuses.
fn in_status(
    actor: &Actor,
    course: &Course,
    statuses: &[GenerationStatus],
) -> Result<GenerationId, StoreError> {
    check_owner(actor, course)?;
    let is_in = course
        .generation_status
        .is_some_and(|status| statuses.contains(&status));
    match course.current_generation_id {
        Some(generation) if is_in => Ok(generation),
        _ => Err(StoreError::Conflict(
            "the generation is not in a state for this".to_owned(),
        )),
    }
}
