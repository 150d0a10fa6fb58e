//! Editing courses, without overwriting what somebody else has changed meanwhile.

use domain::analysis::AnalysisResult;
use domain::course::{CourseInputs, WishedStrategy};
use domain::generation::GenerationStatus;
use domain::id::CourseId;
use domain::language::Language;
use domain::structure::{CourseStructure, Lesson};
use domain::style::Style;
use domain::usage::MicroUsd;

use super::{Course, Publication, check_own_and_elevate, get_course, save_analysis};
use crate::error::StoreError;
use crate::json::to_text;
use crate::statement::statements;
use crate::tx::TenantTx;
use crate::tx::sealed::Sealed;
use crate::{lesson, version};

statements! {
    LOCK_REVISION = "select revision from courses where id = $1 for update";
    UPDATE_COURSE = "update courses set slug = $2, title = $3, language = $4, style = $5, target_audience = $6,
            desired_lessons_count = $7, desired_modules_count = $8, lesson_duration_minutes = $9,
            learning_outcomes = $10, content_strategy = $11, review = $12, budget_usd_micros = $13, status = $14
        where id = $1";
}

/// What is to be changed; absent fields stay. For a field that may be empty, `Some(None)` empties it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CourseChanges {
    /// The name in addresses, 1 to 200 characters.
    pub slug: Option<String>,
    /// The title.
    pub title: Option<String>,
    /// The language.
    pub language: Option<Language>,
    /// The style of texts that are yet to be made.
    pub style: Option<Style>,
    /// For whom it is.
    pub target_audience: Option<Option<String>>,
    /// Guidance.
    pub desired_lessons_count: Option<Option<u32>>,
    /// Guidance.
    pub desired_modules_count: Option<Option<u32>>,
    /// Minutes of a lesson.
    pub lesson_duration_minutes: Option<Option<u32>>,
    /// Constraints.
    pub learning_outcomes: Option<Vec<String>>,
    /// What is done with what the author brings.
    pub content_strategy: Option<WishedStrategy>,
    /// Pause after the structure.
    pub review: Option<bool>,
    /// The most that a generation may spend.
    pub budget: Option<MicroUsd>,
    /// Where it stands with its readers.
    pub publication: Option<Publication>,
}

impl CourseChanges {
    fn apply(&self, inputs: &mut CourseInputs) {
        fn set<T: Clone>(field: &mut T, change: Option<&T>) {
            if let Some(value) = change {
                field.clone_from(value);
            }
        }
        set(&mut inputs.title, self.title.as_ref());
        set(&mut inputs.language, self.language.as_ref());
        set(&mut inputs.style, self.style.as_ref());
        set(&mut inputs.target_audience, self.target_audience.as_ref());
        set(
            &mut inputs.desired_lessons_count,
            self.desired_lessons_count.as_ref(),
        );
        set(
            &mut inputs.desired_modules_count,
            self.desired_modules_count.as_ref(),
        );
        set(
            &mut inputs.lesson_duration_minutes,
            self.lesson_duration_minutes.as_ref(),
        );
        set(&mut inputs.learning_outcomes, self.learning_outcomes.as_ref());
        set(&mut inputs.content_strategy, self.content_strategy.as_ref());
        set(&mut inputs.review, self.review.as_ref());
        set(&mut inputs.budget, self.budget.as_ref());
    }
}

/// Changes a course of the actor. With `expected_revision`, only if nobody has changed it since it was read. That the
/// inputs keep their limits has been checked before.
///
/// # Errors
/// [`StoreError::NotFound`] if it is invisible, [`StoreError::Forbidden`] if it is not the actor's,
/// [`StoreError::Stale`] if it was changed, [`StoreError::Conflict`] if the name in addresses is taken.
pub async fn update_course(
    tx: &mut TenantTx,
    id: CourseId,
    expected_revision: Option<u32>,
    changes: &CourseChanges,
) -> Result<Course, StoreError> {
    let course = lock_own(tx, id, expected_revision).await?;
    let mut inputs = course.inputs;
    changes.apply(&mut inputs);
    let outcomes: Vec<String> = inputs
        .learning_outcomes
        .iter()
        .map(|text| to_text(text))
        .collect();
    sqlx::query(UPDATE_COURSE)
        .bind(id.as_uuid())
        .bind(to_text(changes.slug.as_deref().unwrap_or(&course.slug)))
        .bind(to_text(&inputs.title))
        .bind(inputs.language.code())
        .bind(inputs.style.as_str())
        .bind(inputs.target_audience.as_deref().map(to_text))
        .bind(inputs.desired_lessons_count.map(u32::cast_signed))
        .bind(inputs.desired_modules_count.map(u32::cast_signed))
        .bind(inputs.lesson_duration_minutes.map(u32::cast_signed))
        .bind(outcomes)
        .bind(inputs.content_strategy.as_str())
        .bind(inputs.review)
        .bind(inputs.budget.0)
        .bind(changes.publication.unwrap_or(course.publication).as_str())
        .execute(tx.connection())
        .await?;
    get_course(tx, id).await
}

/// Publishes a course of the actor, takes it back, or puts it away.
///
/// # Errors
/// As [`update_course`].
pub async fn set_publication(
    tx: &mut TenantTx,
    id: CourseId,
    publication: Publication,
) -> Result<Course, StoreError> {
    let changes = CourseChanges {
        publication: Some(publication),
        ..CourseChanges::default()
    };
    update_course(tx, id, None, &changes).await
}

/// Replaces the structure of a course of the actor, as a new version. Lessons that are the same in both keep their
/// texts under their new numbers; texts of others are removed.
///
/// # Errors
/// As [`update_course`], and [`StoreError::Conflict`] while a generation is active.
pub async fn update_structure(
    tx: &mut TenantTx,
    id: CourseId,
    expected_revision: Option<u32>,
    structure: &CourseStructure,
    cause: &str,
) -> Result<Course, StoreError> {
    let course = lock_own(tx, id, expected_revision).await?;
    save_edited(tx, &course, structure, cause).await?;
    get_course(tx, id).await
}

/// Makes an earlier structure the present one again, as a new version.
///
/// # Errors
/// As [`update_structure`], and [`StoreError::NotFound`] if there is no such version.
pub async fn restore_version(tx: &mut TenantTx, id: CourseId, number: u32) -> Result<Course, StoreError> {
    let course = lock_own(tx, id, None).await?;
    let structure = version::get_version(tx, id, number).await?;
    save_edited(tx, &course, &structure, &format!("version {number} restored")).await?;
    get_course(tx, id).await
}

/// Replaces the analysis of a course of the actor before its structure is made anew.
///
/// # Errors
/// As [`update_course`], and [`StoreError::Conflict`] while a generation is active.
pub async fn update_analysis(
    tx: &mut TenantTx,
    id: CourseId,
    analysis: &AnalysisResult,
) -> Result<Course, StoreError> {
    let course = lock_own(tx, id, None).await?;
    check_at_rest(&course)?;
    check_own_and_elevate(tx, id, "only its owner may change a course").await?;
    save_analysis(tx, id, analysis).await?;
    tx.restore().await?;
    get_course(tx, id).await
}

/// The course as it is under its lock.
async fn lock_own(
    tx: &mut TenantTx,
    id: CourseId,
    expected_revision: Option<u32>,
) -> Result<Course, StoreError> {
    let course = get_course(tx, id).await?;
    let actor = *tx.actor();
    if course.owner_id != actor.user_id || !actor.role.may_author() {
        return Err(StoreError::Forbidden(
            "only its owner may change a course".to_owned(),
        ));
    }
    let found: Option<i32> = sqlx::query_scalar(LOCK_REVISION)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    let found = found
        .ok_or_else(|| super::not_found(&id.to_string()))?
        .cast_unsigned();
    match expected_revision {
        Some(expected) if expected != found => Err(StoreError::Stale { expected, found }),
        // Read again in any case: a generation that was started meanwhile changes no revision.
        _ => get_course(tx, id).await,
    }
}

fn check_at_rest(course: &Course) -> Result<(), StoreError> {
    // A structure that is being looked at may be changed: that is what the review is for.
    let is_at_work = course
        .generation_status
        .is_some_and(|status| status.is_active() && status != GenerationStatus::AwaitingReview);
    if is_at_work {
        return Err(StoreError::Conflict(
            "the course cannot be changed while it is being generated".to_owned(),
        ));
    }
    Ok(())
}

async fn save_edited(
    tx: &mut TenantTx,
    course: &Course,
    structure: &CourseStructure,
    cause: &str,
) -> Result<(), StoreError> {
    check_at_rest(course)?;
    let author = tx.actor().user_id;
    check_own_and_elevate(tx, course.id, "only its owner may change a course").await?;
    version::save_structure(tx, course.id, structure, cause, Some(author), None).await?;
    let kept = course
        .structure
        .as_ref()
        .map(|old| same_lessons(old, structure))
        .unwrap_or_default();
    let waiting_for = course
        .generation_status
        .filter(|status| status.is_active())
        .and(course.current_generation_id);
    lesson::renumber_lessons(tx, course.id, waiting_for, &kept, structure.lesson_count()).await?;
    tx.restore().await
}

/// Old and new numbers of the lessons that are the same but for their numbers. Each is used once.
fn same_lessons(old: &CourseStructure, new: &CourseStructure) -> Vec<(u32, u32)> {
    let mut free: Vec<&Lesson> = lessons(old).collect();
    let mut kept = Vec::new();
    for lesson in lessons(new) {
        let same = |other: &&Lesson| {
            other.lesson_title == lesson.lesson_title && other.lesson_objectives == lesson.lesson_objectives
        };
        if let Some(place) = free.iter().position(same) {
            kept.push((free.remove(place).lesson_number, lesson.lesson_number));
        }
    }
    kept
}

fn lessons(structure: &CourseStructure) -> impl Iterator<Item = &Lesson> {
    structure.sections.iter().flat_map(|section| &section.lessons)
}
