//! Documents: reserved before their bytes come, stored once an organization, counted exactly (service 4.4).
//!
//! The bytes lie elsewhere, under the storage key. What the database no longer refers to it lists in `removed_files`,
//! so that no file stays behind when a program is killed between the two.

use chrono::{DateTime, Utc};
use domain::id::{CourseId, DocumentId, OrganizationId, UploadId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::course;
use crate::error::StoreError;
use crate::hint::Hint;
use crate::json::{from_word, to_text};
use crate::statement::statements;
use crate::tier::TierSettings;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, TenantTx, Tx};

statements! {
    RESERVE = "select outcome, current, key from app.reserve_upload($1, $2, $3, $4, $5, $6, $7)";
    GET_RESERVATION = "select course_id, organization_id, size_bytes, storage_key from upload_reservations
        where id = $1 for update";
    DELETE_RESERVATION = "delete from upload_reservations where id = $1";
    INSERT_BLOB = "insert into blobs (organization_id, sha256, storage_key, size_bytes) values ($1, $2, $3, $4)
        on conflict (organization_id, sha256) do update set created_at = blobs.created_at
        returning storage_key";
    INSERT_DOCUMENT = "insert into documents (id, course_id, organization_id, sha256, storage_key, filename, mime_type,
            size_bytes)
        values ($1, $2, $3, $4, $5, $6, $7, $8)";
    LIST_DOCUMENTS = "select d.id, d.course_id, d.organization_id, d.filename, d.mime_type, d.size_bytes, d.sha256,
            d.storage_key, d.status, d.created_at, d.processed_at, d.error_code, d.error_message
        from documents d where d.course_id = $1 order by d.id";
    GET_DOCUMENT = "select d.id, d.course_id, d.organization_id, d.filename, d.mime_type, d.size_bytes, d.sha256,
            d.storage_key, d.status, d.created_at, d.processed_at, d.error_code, d.error_message
        from documents d where d.id = $1";
    DELETE_DOCUMENT = "delete from documents where id = $1";
    IS_REMOVED = "select exists (select from removed_files where storage_key = $1)";
    RELEASE_EXPIRED = "delete from upload_reservations where expires_at < now() returning storage_key";
    LIST_REMOVED = "select storage_key from removed_files order by removed_at limit $1";
    FORGET_REMOVED = "delete from removed_files where storage_key = any($1)";
}

/// Where a document stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DocumentStatus {
    /// Its bytes are there.
    Uploaded,
    /// Its text is being read.
    Processing,
    /// Its text was read.
    Processed,
    /// Its text cannot be read.
    Failed,
}

impl DocumentStatus {
    /// The name in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uploaded => "uploaded",
            Self::Processing => "processing",
            Self::Processed => "processed",
            Self::Failed => "failed",
        }
    }

    /// Whether its reading has ended, well or not.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Processed | Self::Failed)
    }
}

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFailure {
    /// A stable word, for example `encrypted`.
    pub code: String,
    /// What its author can do about it.
    pub message: String,
}

/// A document of a course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its id.
    pub id: DocumentId,
    /// Its course.
    pub course_id: CourseId,
    /// Its tenant.
    pub organization_id: OrganizationId,
    /// What its author calls it.
    pub filename: String,
    /// Its type.
    pub mime_type: String,
    /// Its size.
    pub size_bytes: u64,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
    /// Where its bytes lie; equal documents of an organization share them.
    pub storage_key: String,
    /// Where it stands.
    pub status: DocumentStatus,
    /// When it was uploaded.
    pub created_at: DateTime<Utc>,
    /// When its text was read.
    pub processed_at: Option<DateTime<Utc>>,
    /// Why it cannot be read, where it has failed.
    pub failure: Option<DocumentFailure>,
}

/// Room for an upload, for one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadReservation {
    /// Its id.
    pub id: UploadId,
    /// Where the bytes are to be put.
    pub storage_key: String,
}

/// A document whose bytes are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDocument {
    /// What its author calls it, 1 to 255 characters.
    pub filename: String,
    /// Its type.
    pub mime_type: String,
    /// Its size.
    pub size_bytes: u64,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

/// A finished upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedUpload {
    /// The document.
    pub document: Document,
    /// If the organization had this content already: the key under which it lies, and the bytes just uploaded are to be
    /// deleted.
    pub duplicate_of_key: Option<String>,
}

/// Takes room for an upload to a course of the actor: a place among its files, and bytes of the organization's quota.
/// The place ends with [`finish_upload`], [`release_upload`], or after an hour.
///
/// # Errors
/// [`StoreError::NotFound`] if the course is invisible, [`StoreError::Forbidden`] if it is not the actor's,
/// [`StoreError::TooManyFiles`], [`StoreError::QuotaExceeded`].
pub async fn reserve_upload(
    tx: &mut TenantTx,
    course_id: CourseId,
    size_bytes: u64,
    limits: &TierSettings,
) -> Result<UploadReservation, StoreError> {
    reserve(tx, course_id, None, size_bytes, limits).await
}

/// Like [`reserve_upload`], for an upload whose file name is known: a document of the same name in the course that was
/// read, or cannot be, does not count against the limit of files, because it goes when the new one is read.
///
/// # Errors
/// Those of [`reserve_upload`].
pub async fn reserve_replacement(
    tx: &mut TenantTx,
    course_id: CourseId,
    filename: &str,
    size_bytes: u64,
    limits: &TierSettings,
) -> Result<UploadReservation, StoreError> {
    reserve(tx, course_id, Some(filename), size_bytes, limits).await
}

async fn reserve(
    tx: &mut TenantTx,
    course_id: CourseId,
    filename: Option<&str>,
    size_bytes: u64,
    limits: &TierSettings,
) -> Result<UploadReservation, StoreError> {
    course::check_own_and_elevate(tx, course_id, "only its owner may add documents to a course").await?;
    let id = UploadId::generate();
    let user = tx.actor().user_id;
    let size = i64::try_from(size_bytes).unwrap_or(i64::MAX / 2);
    let (outcome, current, key): (String, Option<i64>, Option<String>) = sqlx::query_as(RESERVE)
        .bind(id.as_uuid())
        .bind(course_id.as_uuid())
        .bind(UserId::as_uuid(user))
        .bind(size)
        .bind(limits.max_files_per_course.cast_signed())
        .bind(limits.storage_bytes.cast_signed())
        .bind(filename.map(to_text))
        .fetch_one(tx.connection())
        .await?;
    tx.restore().await?;
    let current = current.unwrap_or(0).cast_unsigned();
    match (outcome.as_str(), key) {
        ("ok", Some(storage_key)) => Ok(UploadReservation { id, storage_key }),
        ("too_many_files", _) => Err(StoreError::TooManyFiles {
            current: u32::try_from(current).unwrap_or(u32::MAX),
            limit: limits.max_files_per_course,
        }),
        _ => Err(StoreError::QuotaExceeded {
            used: current,
            limit: limits.storage_bytes,
            size: size_bytes,
        }),
    }
}

/// Gives the room of an upload back that did not succeed. One that is gone already is no error.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn release_upload(tx: &mut SystemTx, id: UploadId) -> Result<(), StoreError> {
    sqlx::query(DELETE_RESERVATION)
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Makes a document of an upload. The quota is exact afterwards: equal content is counted once.
///
/// # Errors
/// [`StoreError::NotFound`] if the reservation has expired or its course is gone: then the bytes are to be deleted;
/// [`StoreError::Conflict`] if there are more bytes than were reserved.
pub async fn finish_upload(
    tx: &mut SystemTx,
    id: UploadId,
    new: &NewDocument,
) -> Result<FinishedUpload, StoreError> {
    let reserved: Option<(Uuid, Uuid, i64, String)> = sqlx::query_as(GET_RESERVATION)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    let (course, organization, reserved_size, key) = reserved.ok_or_else(|| StoreError::NotFound {
        what: "upload",
        key: id.to_string(),
    })?;
    let size = i64::try_from(new.size_bytes).unwrap_or(i64::MAX);
    if size > reserved_size {
        return Err(StoreError::Conflict(format!(
            "{} bytes were uploaded, but only {reserved_size} were reserved",
            new.size_bytes
        )));
    }
    let kept_key: String = sqlx::query_scalar(INSERT_BLOB)
        .bind(organization)
        .bind(&new.sha256)
        .bind(&key)
        .bind(size)
        .fetch_one(tx.connection())
        .await?;
    let document_id = DocumentId::generate();
    sqlx::query(INSERT_DOCUMENT)
        .bind(document_id.as_uuid())
        .bind(course)
        .bind(organization)
        .bind(&new.sha256)
        .bind(&kept_key)
        .bind(to_text(&new.filename))
        .bind(to_text(&new.mime_type))
        .bind(size)
        .execute(tx.connection())
        .await?;
    sqlx::query(DELETE_RESERVATION)
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    // Workers read documents, too.
    tx.hint(Hint::Jobs);
    let document = get_document(tx, document_id).await?;
    Ok(FinishedUpload {
        document,
        duplicate_of_key: (kept_key != key).then_some(kept_key),
    })
}

/// The documents of a course in the order of their upload.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_documents(tx: &mut impl Tx, course_id: CourseId) -> Result<Vec<Document>, StoreError> {
    let rows: Vec<DocumentRow> = sqlx::query_as(LIST_DOCUMENTS)
        .bind(course_id.as_uuid())
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(DocumentRow::into_document).collect()
}

/// The document.
///
/// # Errors
/// [`StoreError::NotFound`] if it does not exist or is invisible.
pub async fn get_document(tx: &mut impl Tx, id: DocumentId) -> Result<Document, StoreError> {
    let row: Option<DocumentRow> = sqlx::query_as(GET_DOCUMENT)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.ok_or_else(|| StoreError::NotFound {
        what: "document",
        key: id.to_string(),
    })?
    .into_document()
}

/// Removes a document from a course of the actor. Returns the key of its bytes if no other document has them: they are
/// to be deleted, and [`forget_removed_files`] is to be told.
///
/// # Errors
/// [`StoreError::NotFound`] if it is invisible, [`StoreError::Forbidden`] if its course is not the actor's.
pub async fn delete_document(tx: &mut TenantTx, id: DocumentId) -> Result<Option<String>, StoreError> {
    let document = get_document(tx, id).await?;
    course::check_own_and_elevate(
        tx,
        document.course_id,
        "only its owner may remove documents from a course",
    )
    .await?;
    sqlx::query(DELETE_DOCUMENT)
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    let is_removed: bool = sqlx::query_scalar(IS_REMOVED)
        .bind(&document.storage_key)
        .fetch_one(tx.connection())
        .await?;
    tx.restore().await?;
    Ok(is_removed.then_some(document.storage_key))
}

/// Gives the room of uploads back whose hour is over. Returns the keys under which bytes may lie.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn release_expired_uploads(tx: &mut SystemTx) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(RELEASE_EXPIRED)
        .fetch_all(tx.connection())
        .await?)
}

/// Keys of files to which nothing refers any more, those removed first. Their bytes are to be deleted; that they may
/// be gone already is no error.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_removed_files(tx: &mut SystemTx, limit: u32) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(LIST_REMOVED)
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?)
}

/// The bytes under these keys are deleted.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn forget_removed_files(tx: &mut SystemTx, keys: &[String]) -> Result<(), StoreError> {
    sqlx::query(FORGET_REMOVED)
        .bind(keys)
        .execute(tx.connection())
        .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct DocumentRow {
    id: Uuid,
    course_id: Uuid,
    organization_id: Uuid,
    filename: String,
    mime_type: String,
    size_bytes: i64,
    sha256: String,
    storage_key: String,
    status: String,
    created_at: DateTime<Utc>,
    processed_at: Option<DateTime<Utc>>,
    error_code: Option<String>,
    error_message: Option<String>,
}

impl DocumentRow {
    fn into_document(self) -> Result<Document, StoreError> {
        Ok(Document {
            id: DocumentId::from_uuid(self.id),
            course_id: CourseId::from_uuid(self.course_id),
            organization_id: OrganizationId::from_uuid(self.organization_id),
            filename: self.filename,
            mime_type: self.mime_type,
            size_bytes: self.size_bytes.cast_unsigned(),
            sha256: self.sha256,
            storage_key: self.storage_key,
            status: from_word(self.status, "document status")?,
            created_at: self.created_at,
            processed_at: self.processed_at,
            failure: self
                .error_code
                .zip(self.error_message)
                .map(|(code, message)| DocumentFailure { code, message }),
        })
    }
}
