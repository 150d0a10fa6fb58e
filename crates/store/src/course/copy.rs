//! Copies of courses.

use domain::id::{CourseId, VersionId};

use super::{Course, get_course, insert_course};
use crate::error::StoreError;
use crate::statement::statements;
use crate::tx::TenantTx;
use crate::tx::sealed::Sealed;

statements! {
    LOCK_ORIGINAL = "select from courses where id = $1 for share";
    COPY_RESULTS = "update courses c set course_structure = o.course_structure, analysis_result = o.analysis_result,
            generation_metadata = o.generation_metadata, quality_report = o.quality_report,
            version = case when o.course_structure is null then 0 else 1 end
        from courses o where c.id = $1 and o.id = $2";
    COPY_VERSION = "insert into course_versions (id, course_id, organization_id, version, course_structure, cause, author_id)
        select $2, c.id, c.organization_id, 1, c.course_structure, $3, c.owner_id
        from courses c where c.id = $1 and c.course_structure is not null";
    COPY_LESSONS = "insert into lesson_contents (id, course_id, organization_id, lesson_number, status, content, quality,
            word_count)
        select app.new_id(), c.id, c.organization_id, l.lesson_number,
            case when l.status in ('generating', 'failed') then 'pending' else l.status end,
            l.content, l.quality, l.word_count
        from courses c, lesson_contents l where c.id = $1 and l.course_id = $2";
}

/// Copies a course that the actor sees into a draft of the actor's own: inputs, analysis, structure and lesson texts as
/// they are now. Versions, generations and documents stay with the original. The copy was never generated: its
/// generation status is none, also where it has a structure.
///
/// # Errors
/// [`StoreError::NotFound`] if it is invisible, [`StoreError::Forbidden`] if the actor's role may not make courses.
pub async fn duplicate_course(tx: &mut TenantTx, id: CourseId) -> Result<Course, StoreError> {
    let original = get_course(tx, id).await?;
    let copy = insert_course(tx, &original.inputs).await?;
    tx.elevate().await?;
    // Whatever writes a structure or a text changes the course too: nobody does between these statements.
    sqlx::query(LOCK_ORIGINAL)
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    sqlx::query(COPY_RESULTS)
        .bind(copy.id.as_uuid())
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    sqlx::query(COPY_VERSION)
        .bind(copy.id.as_uuid())
        .bind(VersionId::generate().as_uuid())
        .bind(format!("copy of course {id}"))
        .execute(tx.connection())
        .await?;
    sqlx::query(COPY_LESSONS)
        .bind(copy.id.as_uuid())
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    tx.restore().await?;
    get_course(tx, copy.id).await
}
