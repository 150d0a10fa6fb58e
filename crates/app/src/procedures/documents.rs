//! Documents of courses: upload, list, read again, delete.

mod failure;

use std::collections::BTreeSet;
use std::io;

use base64::engine::general_purpose::STANDARD;
use base64::{DecodeError, DecodeSliceError, Engine as _};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::id::{CourseId, DocumentId};
use domain::language::Language;
use futures::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::chunk::{StoredText, find_text};
use store::citation::list_sources;
use store::course::get_course;
use store::document::{Document, DocumentStatus, get_document, list_documents};
use store::error::StoreError;
use store::ingestion;
use store::lesson::{StoredLesson, list_lessons};

use super::courses::check_owner;
use super::error::{ApiError, ErrorCode};
use super::page::Done;
use super::words::{Speech, Text};
use super::{Access, Call, Procedure, mutation, query};
use crate::upload::{ContentError, Declared, UploadError};

/// What an upload can fail with, beside what every procedure has.
pub(crate) const UPLOAD_ERRORS: &[ErrorCode] = &[
    ErrorCode::TrialEnded,
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
            "Add a document to a course, or replace the one of this name; large files go to PUT /api/courses/{id}/files/{name}",
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
        query(
            "documents.get",
            Access::Author,
            "Read what is known of a document: how far its reading is, its headings, which lessons rest on it",
            get,
        )
        .fails(&[ErrorCode::NotFound])
        .example(json!({ "id": "0198a000-0000-7000-8000-000000000001" })),
        mutation(
            "documents.reprocess",
            Access::Author,
            "Read a document again that could not be read",
            reprocess,
        )
        .fails(&[ErrorCode::NotFound, ErrorCode::Conflict])
        .example(json!({ "id": "0198a000-0000-7000-8000-000000000001" })),
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
struct OfDocument {
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
    /// Why it could not be read; null unless `status` is `failed`.
    failure: Option<FailureOutput>,
    /// When it was uploaded.
    created_at: DateTime<Utc>,
    /// When it was read; null before.
    processed_at: Option<DateTime<Utc>>,
}

/// Why a document could not be read.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DocumentFailure")]
struct FailureOutput {
    /// A stable word, for example `encrypted`, `no_text` or `too_large`.
    code: String,
    /// What is wrong and what to do, as a sentence.
    message: String,
}

/// What is known of a document.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DocumentDetails")]
struct DetailsOutput {
    /// The document.
    #[serde(flatten)]
    document: DocumentOutput,
    /// What was read of it; null before.
    text: Option<TextOutput>,
    /// Its pieces that lessons cite.
    used_chunks: u32,
    /// Numbers of the lessons that cite it.
    used_by_lessons: Vec<u32>,
}

/// What was read of a document.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DocumentText")]
struct TextOutput {
    /// The title that the file itself names.
    title: Option<String>,
    /// Its language; null where it is none of those that courses are written in.
    language: Option<Language>,
    /// Pages or slides; 0 where the format has none.
    pages: u32,
    /// Tokens of its text.
    tokens: u32,
    /// The pieces into which it was cut.
    chunks: u32,
    /// Its headings in reading order.
    outline: Vec<HeadingOutput>,
    /// What could not be read, as sentences.
    warnings: Vec<String>,
}

/// A heading of a document.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DocumentHeading")]
struct HeadingOutput {
    /// 1 is the highest, 6 the lowest.
    level: u8,
    /// Its text.
    heading: String,
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
            failure: document.failure.map(|failure| FailureOutput {
                code: failure.code,
                message: failure.message,
            }),
            created_at: document.created_at,
            processed_at: document.processed_at,
        }
    }
}

impl DocumentOutput {
    /// The same with the failure in the caller's language.
    fn spoken(mut self, speech: Speech) -> Self {
        if let Some(failure) = &mut self.failure {
            let stored = std::mem::take(&mut failure.message);
            failure.message = failure::message(&self.filename, &failure.code, stored, speech);
        }
        self
    }
}

async fn upload_file(call: Call, input: UploadInput) -> Result<DocumentOutput, ApiError> {
    let actor = call.actor()?;
    let bytes = decoded(input.content_base64).map_err(|_| ApiError::new(ErrorCode::InvalidBase64))?;
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

/// So many letters are decoded at once; four of them are three bytes.
const PIECE_LETTERS: usize = 4096;

/// The bytes of a base64 text, in the memory of the text: a file is held once, not twice.
fn decoded(text: String) -> Result<Vec<u8>, DecodeSliceError> {
    let mut memory = text.into_bytes();
    let mut piece = [0; PIECE_LETTERS / 4 * 3];
    let (mut read, mut written) = (0, 0);
    while read < memory.len() {
        let end = memory.len().min(read + PIECE_LETTERS);
        let length = STANDARD.decode_slice(&memory[read..end], &mut piece)?;
        if length < piece.len() && end < memory.len() {
            // Padding may stand at the end alone.
            return Err(DecodeError::InvalidPadding.into());
        }
        memory[written..written + length].copy_from_slice(&piece[..length]);
        (read, written) = (end, written + length);
    }
    memory.truncate(written);
    Ok(memory)
}

async fn list(call: Call, input: ListInput) -> Result<ListOutput, ApiError> {
    let actor = call.actor()?;
    let course_id = input.course_id;
    let listed = call.service.store.with_tenant(&actor, async move |tx| {
        get_course(tx, course_id).await?;
        list_documents(tx, course_id).await
    });
    Ok(ListOutput {
        items: listed
            .await?
            .into_iter()
            .map(|document| DocumentOutput::from(document).spoken(call.speech))
            .collect(),
    })
}

async fn get(call: Call, input: OfDocument) -> Result<DetailsOutput, ApiError> {
    let actor = call.actor()?;
    let (document, text, sources, lessons) = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            let document = get_document(tx, input.id).await?;
            let text = find_text(tx, input.id).await?;
            let sources = list_sources(tx, document.course_id).await?;
            let lessons = list_lessons(tx, document.course_id).await?;
            Ok((document, text, sources, lessons))
        })
        .await?;
    let id = document.id.to_string();
    let own: BTreeSet<&str> = sources
        .iter()
        .filter(|source| source.document_id == id)
        .map(|source| source.chunk_id.as_str())
        .collect();
    let cites = |lesson: &StoredLesson| {
        let blocks = lesson.content.iter().flat_map(|content| &content.blocks);
        blocks
            .flat_map(|block| &block.citations)
            .any(|citation| own.contains(citation.as_str()))
    };
    Ok(DetailsOutput {
        used_chunks: u32::try_from(own.len()).unwrap_or(u32::MAX),
        used_by_lessons: lessons
            .iter()
            .filter(|lesson| cites(lesson))
            .map(|lesson| lesson.lesson_number)
            .collect(),
        text: text.map(TextOutput::from),
        document: DocumentOutput::from(document).spoken(call.speech),
    })
}

impl From<StoredText> for TextOutput {
    fn from(text: StoredText) -> Self {
        Self {
            title: text.title,
            language: text.language,
            pages: text.pages,
            tokens: text.tokens,
            chunks: text.chunks,
            outline: text
                .outline
                .into_iter()
                .map(|entry| HeadingOutput {
                    level: entry.level,
                    heading: entry.heading,
                })
                .collect(),
            warnings: text.warnings,
        }
    }
}

/// A document that could not be read is tried again, for example after a program was installed that it needs.
async fn reprocess(call: Call, input: OfDocument) -> Result<DocumentOutput, ApiError> {
    let actor = call.actor()?;
    let id = input.id;
    call.service
        .store
        .with_tenant(&actor, async move |tx| {
            let document = get_document(tx, id).await?;
            let course = get_course(tx, document.course_id).await?;
            check_owner(&actor, &course)?;
            if document.status != DocumentStatus::Failed {
                let status = document.status.as_str();
                return Err(StoreError::Conflict(format!(
                    "only a document that could not be read is read again; this one is {status}"
                )));
            }
            Ok(())
        })
        .await?;
    let reopened = call
        .service
        .store
        .with_system(async move |tx| {
            ingestion::reopen(tx, id).await?;
            get_document(tx, id).await
        })
        .await?;
    Ok(reopened.into())
}

async fn delete(call: Call, input: OfDocument) -> Result<Done, ApiError> {
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
            UploadError::Content(ContentError::Io(error)) | UploadError::Io(error) => not_stored(&error),
            UploadError::Files(error) => not_stored(&error),
        }
    }
}

/// After so many seconds a store of files that took nothing may do so again: somebody has to make room, or it restarts.
const RETRY_FILES_SECS: u32 = 60;

/// The disk is full, or the store of files does not answer.
fn not_stored(cause: &dyn std::error::Error) -> ApiError {
    tracing::error!(error = %cause, "a file cannot be stored");
    ApiError::new(ErrorCode::Unavailable)
        .retry_after(RETRY_FILES_SECS)
        .says(Text::new(
            "The file cannot be stored at the moment: try again later.",
            "Файл сейчас не удаётся сохранить: попробуйте позже.",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_in_its_own_memory() {
        for length in [0, 1, 2, 3, 3071, 3072, 3073, 3074, 3075, 10_000] {
            let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
            assert_eq!(decoded(STANDARD.encode(&bytes)).unwrap(), bytes, "{length}");
        }
        let padded_early = STANDARD.encode([0; 3071]) + "AAAA";
        for wrong in [
            "A",
            "AAA",
            "AA=A",
            "A\nAAA",
            "____",
            "AAAAA===",
            padded_early.as_str(),
        ] {
            assert!(decoded(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
