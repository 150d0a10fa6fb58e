//! Saved structures: every one is a version with author, time and cause (generation 3.6).

use chrono::{DateTime, Utc};
use domain::id::{CourseId, GenerationId, UserId, VersionId};
use domain::structure::CourseStructure;
use serde_json::Value;
use uuid::Uuid;

use crate::course;
use crate::error::StoreError;
use crate::json::{from_json, to_json, to_text};
use crate::statement::statements;
use crate::tx::Tx;

statements! {
    UPDATE_STRUCTURE = "update courses set course_structure = $2, version = version + 1 where id = $1 returning version";
    INSERT_VERSION = "insert into course_versions
            (id, course_id, organization_id, version, course_structure, cause, author_id, generation_id)
        select $1, c.id, c.organization_id, $3, $4, $5, $6, $7 from courses c where c.id = $2";
    LIST_VERSIONS = "select id, version, cause, author_id, generation_id, created_at from course_versions
        where course_id = $1 order by version desc";
    GET_VERSION = "select course_structure from course_versions where course_id = $1 and version = $2";
}

/// A saved structure in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its id.
    pub id: VersionId,
    /// 1, 2, 3 ... in its course.
    pub version: u32,
    /// Why it was saved, for people.
    pub cause: String,
    /// Who saved it; `None`: the program.
    pub author_id: Option<UserId>,
    /// The generation that made it.
    pub generation_id: Option<GenerationId>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Saves a structure as the course's present one and as a new version. Returns the version's number.
///
/// # Errors
/// [`StoreError::NotFound`] if the course was deleted meanwhile.
pub async fn save_structure(
    tx: &mut impl Tx,
    course_id: CourseId,
    structure: &CourseStructure,
    cause: &str,
    author_id: Option<UserId>,
    generation_id: Option<GenerationId>,
) -> Result<u32, StoreError> {
    let json = to_json(structure, "structure")?;
    let version: Option<i32> = sqlx::query_scalar(UPDATE_STRUCTURE)
        .bind(course_id.as_uuid())
        .bind(&json)
        .fetch_optional(tx.connection())
        .await?;
    let version = version.ok_or_else(|| course::not_found(&course_id.to_string()))?;
    sqlx::query(INSERT_VERSION)
        .bind(VersionId::generate().as_uuid())
        .bind(course_id.as_uuid())
        .bind(version)
        .bind(json)
        .bind(to_text(cause))
        .bind(author_id.map(UserId::as_uuid))
        .bind(generation_id.map(GenerationId::as_uuid))
        .execute(tx.connection())
        .await?;
    Ok(version.cast_unsigned())
}

/// All versions of a course, the newest first.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_versions(tx: &mut impl Tx, course_id: CourseId) -> Result<Vec<Version>, StoreError> {
    let rows: Vec<VersionRow> = sqlx::query_as(LIST_VERSIONS)
        .bind(course_id.as_uuid())
        .fetch_all(tx.connection())
        .await?;
    Ok(rows.into_iter().map(VersionRow::into_version).collect())
}

/// The structure of one version.
///
/// # Errors
/// [`StoreError::NotFound`] if there is no such version or it is invisible.
pub async fn get_version(
    tx: &mut impl Tx,
    course_id: CourseId,
    version: u32,
) -> Result<CourseStructure, StoreError> {
    let json: Option<Value> = sqlx::query_scalar(GET_VERSION)
        .bind(course_id.as_uuid())
        .bind(version.cast_signed())
        .fetch_optional(tx.connection())
        .await?;
    let json = json.ok_or_else(|| StoreError::NotFound {
        what: "version",
        key: version.to_string(),
    })?;
    from_json(json, "structure")
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    id: Uuid,
    version: i32,
    cause: String,
    author_id: Option<Uuid>,
    generation_id: Option<Uuid>,
    created_at: DateTime<Utc>,
}

impl VersionRow {
    fn into_version(self) -> Version {
        Version {
            id: VersionId::from_uuid(self.id),
            version: self.version.cast_unsigned(),
            cause: self.cause,
            author_id: self.author_id.map(UserId::from_uuid),
            generation_id: self.generation_id.map(GenerationId::from_uuid),
            created_at: self.created_at,
        }
    }
}
