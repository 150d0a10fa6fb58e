//! Lesson contents, one row a lesson (data model 2.5).

use chrono::{DateTime, Utc};
use domain::generation::GenerationProgress;
use domain::id::{CourseId, GenerationId};
use domain::job::StageJob;
use domain::lesson::{LessonContent, LessonStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::error::StoreError;
use crate::generation::progress;
use crate::json::{from_json, from_word, to_json, to_text};
use crate::queue::{self, Lease};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, Tx};

statements! {
    DELETE_LESSONS = "delete from lesson_contents where course_id = $1 and (generation_id is distinct from $2 or lesson_number > $3)";
    INSERT_WAITING = "insert into lesson_contents (id, course_id, organization_id, generation_id, lesson_number)
        select lesson.id, c.id, c.organization_id, $2, lesson.number
        from courses c, unnest($3::uuid[]) with ordinality as lesson (id, number) where c.id = $1
        on conflict (course_id, lesson_number) do nothing";
    DELETE_OTHERS = "delete from lesson_contents where course_id = $1 and lesson_number <> all($2)";
    MOVE_AWAY = "update lesson_contents l set lesson_number = 1000000 + kept.to_number,
            generation_id = coalesce($4, l.generation_id)
        from unnest($2::int[], $3::int[]) as kept (from_number, to_number)
        where l.course_id = $1 and l.lesson_number = kept.from_number";
    MOVE_BACK = "update lesson_contents set lesson_number = lesson_number - 1000000
        where course_id = $1 and lesson_number > 1000000";
    UPSERT_LESSON = "insert into lesson_contents (id, course_id, organization_id, generation_id, lesson_number, status,
            content, quality, word_count)
        select $1, c.id, c.organization_id, $3, $4, $5, $6, $7, $8 from courses c where c.id = $2
        on conflict (course_id, lesson_number) do update set generation_id = excluded.generation_id,
            status = excluded.status, content = excluded.content, quality = excluded.quality,
            word_count = excluded.word_count, failure = null, stale_since = null, stale_reason = null";
    LOCK_DOCUMENTS = "select from documents where course_id = $1 order by id for key share";
    REVISE_LESSON = "update lesson_contents set content = $4, quality = $5, word_count = $6
        where course_id = $1 and lesson_number = $2 and updated_at = $3";
    MARK_LOST = "update lesson_contents l set stale_since = now(), stale_reason = 'source_removed'
        where l.course_id = $1 and l.lesson_number = $2
            and (select count(distinct c.word) from app.cited_in($3) c)
                > (select count(distinct c.word) from app.cited_in(l.content) c)";
    FAIL_LESSON = "update lesson_contents set status = 'failed', failure = $3 where course_id = $1 and lesson_number = $2
        and status not in ('completed', 'needs_review')";
    HAS_OPEN = "select exists(select from lesson_contents where course_id = $1 and status <> 'completed')";
    LIST_LESSONS = "select lesson_number, generation_id, status, content, word_count, updated_at, failure, stale_since,
            stale_reason from lesson_contents
        where course_id = $1 order by lesson_number";
}

/// Why a lesson rests on what has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StaleReason {
    /// A document that it cites was uploaded anew, and what was cited is not in it any more.
    SourceChanged,
    /// A document that it cites was removed.
    SourceRemoved,
}

/// That a lesson rests on what has changed since it was written. A new text ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why.
    pub reason: StaleReason,
}

/// A lesson's text and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredLesson {
    /// Its number in the course.
    pub lesson_number: u32,
    /// The generation that wrote it or will.
    pub generation_id: Option<GenerationId>,
    /// Where it stands.
    pub status: LessonStatus,
    /// The text, once written.
    pub content: Option<LessonContent>,
    /// Words that the learner reads.
    pub word_count: u32,
    /// Why it could not be written, as a sentence for the author.
    pub failure: Option<String>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// Whether its sources have changed since.
    pub stale: Option<Stale>,
}

/// Makes one waiting row a lesson, and removes lesson texts of an earlier generation.
pub(crate) async fn prepare_lessons(
    tx: &mut SystemTx,
    course_id: CourseId,
    generation_id: GenerationId,
    count: usize,
) -> Result<(), StoreError> {
    sqlx::query(DELETE_LESSONS)
        .bind(course_id.as_uuid())
        .bind(generation_id.as_uuid())
        .bind(i32::try_from(count).unwrap_or(i32::MAX))
        .execute(tx.connection())
        .await?;
    let ids: Vec<Uuid> = (0..count).map(|_| new_id()).collect();
    sqlx::query(INSERT_WAITING)
        .bind(course_id.as_uuid())
        .bind(generation_id.as_uuid())
        .bind(ids)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Gives the lessons that are kept their numbers in a changed structure, and from now on to `generation_id`, if given;
/// removes all other texts, and makes one waiting row a lesson without a text. `kept` pairs old and new numbers.
pub(crate) async fn renumber_lessons(
    tx: &mut impl Tx,
    course_id: CourseId,
    generation_id: Option<GenerationId>,
    kept: &[(u32, u32)],
    count: usize,
) -> Result<(), StoreError> {
    let (from, to): (Vec<i32>, Vec<i32>) = kept
        .iter()
        .map(|(from, to)| (from.cast_signed(), to.cast_signed()))
        .unzip();
    let course = course_id.as_uuid();
    let generation = generation_id.map(GenerationId::as_uuid);
    sqlx::query(DELETE_OTHERS)
        .bind(course)
        .bind(&from)
        .execute(tx.connection())
        .await?;
    // Two steps, far away and back: numbers are unique at every moment.
    sqlx::query(MOVE_AWAY)
        .bind(course)
        .bind(from)
        .bind(to)
        .bind(generation)
        .execute(tx.connection())
        .await?;
    sqlx::query(MOVE_BACK)
        .bind(course)
        .execute(tx.connection())
        .await?;
    let ids: Vec<Uuid> = (0..count).map(|_| new_id()).collect();
    sqlx::query(INSERT_WAITING)
        .bind(course)
        .bind(generation)
        .bind(ids)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Saves a lesson's text and writes the progress from what is in the database. A job that makes progress is granted
/// fresh attempts. A text that cites what is not in the course any more is saved without, and is stale.
///
/// # Errors
/// [`StoreError::LostLease`] if the job is no longer this worker's: nothing is written.
pub async fn save_lesson(
    tx: &mut SystemTx,
    lease: &Lease,
    job: &StageJob,
    lesson_number: u32,
    content: &LessonContent,
    message: &str,
) -> Result<GenerationProgress, StoreError> {
    queue::note_progress(tx, lease).await?;
    let text = to_json(content, "lesson content")?;
    sqlx::query(UPSERT_LESSON)
        .bind(new_id())
        .bind(job.course_id.as_uuid())
        .bind(job.generation_id.as_uuid())
        .bind(lesson_number.cast_signed())
        .bind(content.status.as_str())
        .bind(&text)
        .bind(to_json(&content.quality, "lesson quality")?)
        .bind(content.word_count.cast_signed())
        .execute(tx.connection())
        .await?;
    mark_lost(tx, job.course_id, lesson_number, content, &text).await?;
    progress::report_lessons(tx, job.course_id, message).await
}

/// Saves what became of the text of `read`: still the same text with the same sources, so that a mark that it is stale
/// stays. `false` if the lesson has changed since it was read: then nothing is written.
///
/// # Errors
/// [`StoreError::LostLease`] if the job is no longer this worker's: nothing is written.
pub async fn revise_lesson(
    tx: &mut SystemTx,
    lease: &Lease,
    job: &StageJob,
    read: &StoredLesson,
    content: &LessonContent,
) -> Result<bool, StoreError> {
    queue::note_progress(tx, lease).await?;
    let text = to_json(content, "lesson content")?;
    // Before the lesson, as whoever removes or replaces a document does.
    sqlx::query(LOCK_DOCUMENTS)
        .bind(job.course_id.as_uuid())
        .execute(tx.connection())
        .await?;
    let revised = sqlx::query(REVISE_LESSON)
        .bind(job.course_id.as_uuid())
        .bind(read.lesson_number.cast_signed())
        .bind(read.updated_at)
        .bind(&text)
        .bind(to_json(&content.quality, "lesson quality")?)
        .bind(content.word_count.cast_signed())
        .execute(tx.connection())
        .await?;
    if revised.rows_affected() == 0 {
        return Ok(false);
    }
    mark_lost(tx, job.course_id, read.lesson_number, content, &text).await?;
    Ok(true)
}

/// Marks a lesson that was saved without a citation of `content`, since what it named is not in the course any more.
async fn mark_lost(
    tx: &mut SystemTx,
    course_id: CourseId,
    lesson_number: u32,
    content: &LessonContent,
    text: &Value,
) -> Result<(), StoreError> {
    if content.blocks.iter().any(|block| !block.citations.is_empty()) {
        sqlx::query(MARK_LOST)
            .bind(course_id.as_uuid())
            .bind(lesson_number.cast_signed())
            .bind(text)
            .execute(tx.connection())
            .await?;
    }
    Ok(())
}

/// Notes that a lesson could not be written, and why, as a sentence for the author. A lesson that has a text keeps it.
///
/// # Errors
/// [`StoreError::LostLease`] if the job is no longer this worker's.
pub async fn fail_lesson(
    tx: &mut SystemTx,
    lease: &Lease,
    job: &StageJob,
    lesson_number: u32,
    reason: &str,
) -> Result<(), StoreError> {
    queue::fence(tx, lease).await?;
    sqlx::query(FAIL_LESSON)
        .bind(job.course_id.as_uuid())
        .bind(lesson_number.cast_signed())
        .bind(to_text(reason))
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Whether a lesson of the course is missing or needs a review.
pub(crate) async fn has_open(tx: &mut impl Tx, course_id: CourseId) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(HAS_OPEN)
        .bind(course_id.as_uuid())
        .fetch_one(tx.connection())
        .await?)
}

/// All lessons of a course in their order.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_lessons(tx: &mut impl Tx, course_id: CourseId) -> Result<Vec<StoredLesson>, StoreError> {
    let rows: Vec<LessonRow> = sqlx::query_as(LIST_LESSONS)
        .bind(course_id.as_uuid())
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(LessonRow::into_lesson).collect()
}

/// The id of a lesson's row; nothing outside the table refers to it.
#[expect(
    clippy::disallowed_methods,
    reason = "rows of lesson contents are known by course and number"
)]
fn new_id() -> Uuid {
    Uuid::now_v7()
}

#[derive(sqlx::FromRow)]
struct LessonRow {
    lesson_number: i32,
    generation_id: Option<Uuid>,
    status: String,
    content: Option<Value>,
    word_count: i32,
    failure: Option<String>,
    updated_at: DateTime<Utc>,
    stale_since: Option<DateTime<Utc>>,
    stale_reason: Option<String>,
}

impl LessonRow {
    fn into_lesson(self) -> Result<StoredLesson, StoreError> {
        let stale = self.stale_since.zip(self.stale_reason).map(|(since, reason)| {
            from_word(reason, "reason of staleness").map(|reason| Stale { since, reason })
        });
        Ok(StoredLesson {
            lesson_number: self.lesson_number.cast_unsigned(),
            generation_id: self.generation_id.map(GenerationId::from_uuid),
            status: from_word(self.status, "lesson status")?,
            content: self
                .content
                .map(|json| from_json(json, "lesson content"))
                .transpose()?,
            word_count: self.word_count.cast_unsigned(),
            failure: self.failure,
            updated_at: self.updated_at,
            stale: stale.transpose()?,
        })
    }
}
