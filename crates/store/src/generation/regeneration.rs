//! Saving a structure: of a whole course, or of one section within all else (generation 3.6).

use std::borrow::Cow;

use domain::generation::GenerationScope;
use domain::job::StageJob;
use domain::structure::CourseStructure;
use serde_json::Value;

use super::get_generation;
use super::lifecycle::ProgressFacts;
use crate::error::StoreError;
use crate::json::from_json;
use crate::statement::statements;
use crate::tx::SystemTx;
use crate::tx::sealed::Sealed;
use crate::{lesson, version};

statements! {
    GET_STRUCTURE = "select course_structure from courses where id = $1 for update";
}

/// Saves a structure with its lessons' rows. Of a generation of one section, everything outside it stays: texts keep
/// their lessons, under their new numbers.
pub(super) async fn save_structure(
    tx: &mut SystemTx,
    job: &StageJob,
    structure: &CourseStructure,
) -> Result<ProgressFacts, StoreError> {
    let (course_id, id) = (job.course_id, job.generation_id);
    let generation = get_generation(tx, id).await?;
    let old: Option<Value> = sqlx::query_scalar(GET_STRUCTURE)
        .bind(course_id.as_uuid())
        .fetch_optional(tx.connection())
        .await?
        .flatten();
    let (structure, cause, kept) = match (&generation.scope, old) {
        (GenerationScope::Section { number, .. }, Some(old)) => {
            let old: CourseStructure = from_json(old, "structure")?;
            let merged = with_section_of(&old, structure, *number);
            let kept = lessons_outside(&old, &merged, *number);
            let cause = format!("regeneration of section {number}");
            (Cow::Owned(merged), cause, Some(kept))
        }
        _ => (Cow::Borrowed(structure), "generation".to_owned(), None),
    };
    let count = structure.lesson_count();
    let author = Some(generation.user_id);
    version::save_structure(tx, course_id, &structure, &cause, author, Some(id)).await?;
    match &kept {
        Some(kept) => lesson::renumber_lessons(tx, course_id, Some(id), kept, count).await?,
        None => lesson::prepare_lessons(tx, course_id, id, count).await?,
    }
    Ok(ProgressFacts {
        lessons_total: u32::try_from(count).ok(),
        ..ProgressFacts::default()
    })
}

/// The present structure with one section of the new one: whatever was changed elsewhere since the new one was begun
/// stays.
fn with_section_of(present: &CourseStructure, new: &CourseStructure, number: u32) -> CourseStructure {
    let place = |structure: &CourseStructure| {
        let mut sections = structure.sections.iter();
        sections.position(|section| section.section_number == number)
    };
    let mut merged = present.clone();
    if let (Some(old), Some(made)) = (place(present), place(new)) {
        merged.sections[old].clone_from(&new.sections[made]);
        merged.renumber();
    }
    merged
}

/// Old and new numbers of the lessons outside section `number`: those before it keep theirs, those after it move by as
/// many as the section has grown.
fn lessons_outside(old: &CourseStructure, new: &CourseStructure, number: u32) -> Vec<(u32, u32)> {
    let numbers = |structure: &CourseStructure| -> Vec<u32> {
        let others = structure
            .sections
            .iter()
            .filter(|section| section.section_number != number);
        others
            .flat_map(|section| section.lessons.iter().map(|lesson| lesson.lesson_number))
            .collect()
    };
    numbers(old).into_iter().zip(numbers(new)).collect()
}
