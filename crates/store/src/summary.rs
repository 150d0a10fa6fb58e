//! Summaries of documents. They belong to the content, so that equal documents of an organization share them.

use domain::id::{CourseId, DocumentId};
use domain::language::Language;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::StoreError;
use crate::json::{from_word, to_text};
use crate::queue::{self, Lease};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, Tx};

statements! {
    SAVE_SUMMARY = "insert into document_summaries (organization_id, sha256, text, tokens, method, model, coverage)
        select d.organization_id, d.sha256, $2, $3, $4, $5, $6 from documents d where d.id = $1
        on conflict (organization_id, sha256) do update set text = excluded.text, tokens = excluded.tokens,
            method = excluded.method, model = excluded.model, coverage = excluded.coverage, created_at = now()";
    LIST_SUMMARIES = "select d.id, d.filename, d.sha256, t.language, t.tokens as document_tokens, s.text, s.tokens,
            s.method, s.model, s.coverage
        from documents d
        join document_summaries s on s.organization_id = d.organization_id and s.sha256 = d.sha256
        join document_texts t on t.organization_id = d.organization_id and t.sha256 = d.sha256
        where d.course_id = $1 and d.status = 'processed' order by d.id";
    FIND_SUMMARY = "select d.id, d.filename, d.sha256, t.language, t.tokens as document_tokens, s.text, s.tokens,
            s.method, s.model, s.coverage
        from documents d
        join document_summaries s on s.organization_id = d.organization_id and s.sha256 = d.sha256
        join document_texts t on t.organization_id = d.organization_id and t.sha256 = d.sha256
        where d.id = $1";
}

/// How a summary was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SummaryMethod {
    /// The document is short: it stands for itself.
    Verbatim,
    /// A model wrote it.
    Model,
    /// The document's most central sentences, chosen without a model.
    Extract,
}

impl SummaryMethod {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Verbatim => "verbatim",
            Self::Model => "model",
            Self::Extract => "extract",
        }
    }
}

/// A summary that was just made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSummary {
    /// The summary, not empty; of a short document its whole text.
    pub text: String,
    /// Its tokens.
    pub tokens: u32,
    /// How it was made.
    pub method: SummaryMethod,
    /// The model that wrote it, where one did.
    pub model: Option<String>,
    /// The share of the document that it speaks of, 0 to 1.
    pub coverage: Option<f64>,
}

/// The summary of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The document.
    pub document_id: DocumentId,
    /// What its author calls it.
    pub filename: String,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
    /// The document's language, where it can be told.
    pub language: Option<Language>,
    /// Tokens of the whole document.
    pub document_tokens: u32,
    /// The summary.
    pub text: String,
    /// Tokens of the summary.
    pub tokens: u32,
    /// How it was made.
    pub method: SummaryMethod,
    /// The model that wrote it, where one did.
    pub model: Option<String>,
    /// The share of the document that it speaks of, 0 to 1.
    pub coverage: Option<f64>,
}

/// Saves the summary of a document, in place of an earlier one. A job that makes progress is granted fresh attempts.
///
/// # Errors
/// [`StoreError::LostLease`] if the job is no longer this worker's; [`StoreError::NotFound`] if the document is gone.
pub async fn save_summary(
    tx: &mut SystemTx,
    lease: &Lease,
    document_id: DocumentId,
    summary: &NewSummary,
) -> Result<(), StoreError> {
    queue::note_progress(tx, lease).await?;
    let saved = sqlx::query(SAVE_SUMMARY)
        .bind(document_id.as_uuid())
        .bind(to_text(&summary.text))
        .bind(summary.tokens.cast_signed())
        .bind(summary.method.as_str())
        .bind(&summary.model)
        .bind(summary.coverage)
        .execute(tx.connection())
        .await?;
    if saved.rows_affected() == 0 {
        return Err(StoreError::NotFound {
            what: "document",
            key: document_id.to_string(),
        });
    }
    Ok(())
}

/// Summaries of a course's documents that were read, in the order of their upload.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_summaries(tx: &mut impl Tx, course_id: CourseId) -> Result<Vec<Summary>, StoreError> {
    let rows: Vec<SummaryRow> = sqlx::query_as(LIST_SUMMARIES)
        .bind(course_id.as_uuid())
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(SummaryRow::into_summary).collect()
}

/// The summary of a document, if there is one.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn find_summary(tx: &mut impl Tx, document_id: DocumentId) -> Result<Option<Summary>, StoreError> {
    let row: Option<SummaryRow> = sqlx::query_as(FIND_SUMMARY)
        .bind(document_id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.map(SummaryRow::into_summary).transpose()
}

#[derive(sqlx::FromRow)]
struct SummaryRow {
    id: Uuid,
    filename: String,
    sha256: String,
    language: Option<String>,
    document_tokens: i32,
    text: String,
    tokens: i32,
    method: String,
    model: Option<String>,
    coverage: Option<f64>,
}

impl SummaryRow {
    fn into_summary(self) -> Result<Summary, StoreError> {
        Ok(Summary {
            document_id: DocumentId::from_uuid(self.id),
            filename: self.filename,
            sha256: self.sha256,
            language: self
                .language
                .map(|code| from_word(code, "language"))
                .transpose()?,
            document_tokens: self.document_tokens.cast_unsigned(),
            text: self.text,
            tokens: self.tokens.cast_unsigned(),
            method: from_word(self.method, "method of a summary")?,
            model: self.model,
            coverage: self.coverage,
        })
    }
}
