//! Documents of courses: upload, list, delete.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::id::{CourseId, DocumentId};
use futures::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::course::get_course;
use store::document::{Document, list_documents};
use store::error::StoreError;

use super::error::{ApiError, ErrorCode};
use super::page::Done;
use super::{Access, Call, Procedure, mutation, query};
use crate::upload::{ContentError, Declared, UploadError};

/// What an upload can fail with, beside what every procedure has.
pub(crate) const UPLOAD_ERRORS: &[ErrorCode] = &[
    ErrorCode::NotFound,
    ErrorCode::FilesNotAllowed,
    ErrorCode::TooManyFiles,
    ErrorCode::EmptyFile,
    ErrorCode::FileTooLarge,
    ErrorCode::FileTypeNotAllowed,
    ErrorCode::FileContentMismatch,
    ErrorCode::UnsafeArchive,
    ErrorCode::StorageQuotaExceeded,
    ErrorCode::InvalidFileName,
    ErrorCode::FileSizeMismatch,
];

/// The rows of this file.
pub(super) fn procedures() -> Vec<Procedure> {
    vec![
        mutation(
            "generation.uploadFile",
            Access::Author,
            "Add a document to a course; large files go to PUT /api/courses/{id}/files/{name}",
            upload_file,
        )
        .fails(&[UPLOAD_ERRORS, &[ErrorCode::InvalidBase64]].concat())
        .holds_file()
        .example(json!({
            "courseId": "0198a000-0000-7000-8000-000000000001",
            "filename": "plan.md",
            "mimeType": "text/markdown",
            "size": 6,
            "contentBase64": "IyBQbGFu",
        })),
        query(
            "documents.list",
            Access::Author,
            "List the documents of a course",
            list,
        )
        .fails(&[ErrorCode::NotFound])
        .example(json!({ "courseId": "0198a000-0000-7000-8000-000000000001" })),
        mutation(
            "documents.delete",
            Access::Author,
            "Remove a document and its file",
            delete,
        )
        .fails(&[ErrorCode::NotFound])
        .example(json!({ "id": "0198a000-0000-7000-8000-000000000001" })),
    ]
}

/// A file.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UploadInput {
    /// The course it is for.
    course_id: CourseId,
    /// Its name with the ending; no path.
    #[schemars(length(min = 1, max = 1000))]
    filename: String,
    /// Its type, for example `application/pdf`.
    #[schemars(length(min = 1, max = 255))]
    mime_type: String,
    /// Its size in bytes.
    size: u64,
    /// Its bytes in base64 (RFC 4648, 4).
    content_base64: String,
}

/// A course.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListInput {
    /// The course.
    course_id: CourseId,
}

/// A document.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeleteInput {
    /// The document.
    id: DocumentId,
}

/// A document of a course.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Document")]
pub(crate) struct DocumentOutput {
    /// Its id.
    id: DocumentId,
    /// Its course.
    course_id: CourseId,
    /// What its author calls it.
    filename: String,
    /// Its type.
    mime_type: String,
    /// Its size in bytes.
    size: u64,
    /// SHA-256 of its content, hexadecimal.
    sha256: String,
    /// `uploaded`, `processing`, `processed` or `failed`.
    status: &'static str,
    /// When it was uploaded.
    created_at: DateTime<Utc>,
}

/// Documents.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DocumentList")]
struct ListOutput {
    /// In the order of their upload.
    items: Vec<DocumentOutput>,
}

impl From<Document> for DocumentOutput {
    fn from(document: Document) -> Self {
        Self {
            id: document.id,
            course_id: document.course_id,
            filename: document.filename,
            mime_type: document.mime_type,
            size: document.size_bytes,
            sha256: document.sha256,
            status: document.status.as_str(),
            created_at: document.created_at,
        }
    }
}

async fn upload_file(call: Call, input: UploadInput) -> Result<DocumentOutput, ApiError> {
    let actor = call.actor()?;
    let bytes = STANDARD
        .decode(input.content_base64)
        .map_err(|_| ApiError::new(ErrorCode::InvalidBase64))?;
    let declared = Declared {
        course_id: input.course_id,
        filename: input.filename,
        mime_type: Some(input.mime_type),
        size_bytes: input.size,
    };
    let body = stream::iter([Ok::<_, io::Error>(Bytes::from(bytes))]);
    let document = call.service.uploads.receive(actor, declared, body).await?;
    Ok(document.into())
}

async fn list(call: Call, input: ListInput) -> Result<ListOutput, ApiError> {
    let actor = call.actor()?;
    let course_id = input.course_id;
    let listed = call.service.store.with_tenant(&actor, async move |tx| {
        get_course(tx, course_id).await?;
        list_documents(tx, course_id).await
    });
    Ok(ListOutput {
        items: listed.await?.into_iter().map(DocumentOutput::from).collect(),
    })
}

async fn delete(call: Call, input: DeleteInput) -> Result<Done, ApiError> {
    call.service.uploads.delete(call.actor()?, input.id).await?;
    Ok(Done::DONE)
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Role => Self::new(ErrorCode::Forbidden),
            UploadError::TierWithoutFiles(tier) => {
                Self::new(ErrorCode::FilesNotAllowed).with(json!({ "tier": tier }))
            }
            UploadError::TooManyFiles { current, limit }
            | UploadError::Store(StoreError::TooManyFiles { current, limit }) => {
                Self::new(ErrorCode::TooManyFiles).with(json!({ "current": current, "limit": limit }))
            }
            UploadError::Empty => Self::new(ErrorCode::EmptyFile),
            UploadError::TooLarge { size, limit } => {
                Self::new(ErrorCode::FileTooLarge).with(json!({ "size": size, "limit": limit }))
            }
            UploadError::TypeNotAllowed { allowed } => {
                Self::new(ErrorCode::FileTypeNotAllowed).with(json!({ "allowed": allowed }))
            }
            UploadError::Content(ContentError::OtherType) => Self::new(ErrorCode::FileContentMismatch),
            UploadError::Content(ContentError::UnsafeArchive(problem)) => {
                Self::new(ErrorCode::UnsafeArchive).with(json!({ "problem": problem }))
            }
            UploadError::Store(StoreError::QuotaExceeded { used, limit, size }) => {
                Self::new(ErrorCode::StorageQuotaExceeded)
                    .with(json!({ "used": used, "limit": limit, "size": size }))
            }
            UploadError::Name(problem) => {
                Self::new(ErrorCode::InvalidFileName).with(json!({ "problem": problem }))
            }
            UploadError::SizeMismatch { declared, found } => {
                Self::new(ErrorCode::FileSizeMismatch).with(json!({ "declared": declared, "found": found }))
            }
            UploadError::BrokenOff => Self::new(ErrorCode::Timeout),
            UploadError::Store(error) => error.into(),
            UploadError::Content(ContentError::Io(error)) | UploadError::Io(error) => Self::internal(&error),
            UploadError::Files(error) => Self::internal(&error),
        }
    }
}
