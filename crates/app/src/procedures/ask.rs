//! `courses.ask`: what the documents of a course say to a question. The command line asks in the same way.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::error::ErrorKind;
use domain::id::{CourseId, DocumentId, QuestionId};
use domain::usage::MicroUsd;
use domain::user::Actor;
use pipeline::Pipeline;
use pipeline::ask::{DocumentAnswer, Passage, QUESTION_CHARACTERS, QuestionCost};
use pipeline::error::PipelineError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Store;
use store::document::{Document, DocumentStatus, list_documents};
use store::error::StoreError;
use store::question::{Admission, QuestionLimits, begin_question, finish_question};
use store::tier::check_tier_lasts;
use tokio_util::sync::CancellationToken;

use super::courses::{EXAMPLE_ID, get_as_insider};
use super::error::{ApiError, ErrorCode};
use super::input::WRITTEN;
use super::words::Text;
use super::{Access, Call, Procedure, mutation};

/// What one person may ask. Our own figures: an author who tries a course's documents out asks some dozens, and a day of
/// questions costs no more than one generation by default (generation 3.3).
const LIMITS: QuestionLimits = QuestionLimits {
    an_hour: 60,
    cost_a_day: MicroUsd(1_000_000),
};
/// A question is answered by a model, and a small one on a processor takes its time.
const TIME_LIMIT: Duration = Duration::from_mins(3);
/// After so many seconds a question may be admitted again.
const RETRY_SECS: u32 = 600;
/// After so many seconds a model or the reading of documents may be further.
const RETRY_SOON_SECS: u32 = 10;

/// The rows of this file.
pub(super) fn procedures() -> Vec<Procedure> {
    vec![
        mutation(
            "courses.ask",
            Access::Author,
            "Ask what the documents of a course say; the answer names its sources",
            ask_documents,
        )
        .fails(&[
            ErrorCode::NotFound,
            ErrorCode::DocumentsNotRead,
            ErrorCode::TrialEnded,
        ])
        .within(TIME_LIMIT)
        .example(json!({ "courseId": EXAMPLE_ID, "question": "What is opportunity cost?" })),
    ]
}

/// A question.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AskInput {
    /// The course.
    course_id: CourseId,
    /// The question, in any language.
    #[schemars(length(min = 1, max = QUESTION_CHARACTERS), regex(pattern = WRITTEN))]
    question: String,
    /// Only find what fits the question: no model is asked and nothing is spent.
    sources_only: Option<bool>,
}

/// What the documents say.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DocumentAnswer")]
struct AskOutput {
    /// The answer; null: the documents do not say, or no model was asked.
    answer: Option<String>,
    /// The pieces of documents that fit the question, the best first.
    sources: Vec<SourceOutput>,
    /// Documents that were not searched, because they are not read yet or cannot be read.
    unread_documents: Vec<String>,
    /// What it cost, in dollars.
    cost_usd: f64,
}

/// A piece of a document.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DocumentSource")]
struct SourceOutput {
    /// The id of the piece, as in `citations` of lessons.
    chunk_id: String,
    /// Its document.
    document_id: DocumentId,
    /// What its author calls the document.
    document: String,
    /// The page or slide on which it begins; null where the format has none.
    page_first: Option<u32>,
    /// The page on which it ends.
    page_last: Option<u32>,
    /// The headings that it stands under, the highest first.
    heading_path: Vec<String>,
    /// Its text.
    text: String,
    /// Whether the answer rests on it.
    is_cited: bool,
}

async fn ask_documents(call: Call, input: AskInput) -> Result<AskOutput, ApiError> {
    let actor = call.actor()?;
    let service = &call.service;
    let question = Question {
        actor,
        course_id: input.course_id,
        text: input.question.trim().to_owned(),
        now: service.clock.now(),
    };
    let documents = question.documents(&service.store).await?;
    let stop = service.shutdown.child_token();
    let is_search = input.sources_only.unwrap_or(false);
    let made = if is_search {
        service.pipeline_for_search(&stop).await
    } else {
        service.pipeline(&stop).await
    };
    let pipeline = made.map_err(|failure| {
        tracing::warn!(%failure, "the models for a question cannot be made");
        ApiError::new(ErrorCode::Unavailable).retry_after(RETRY_SOON_SECS)
    })?;
    let passages = pipeline
        .find_passages(input.course_id, &question.text)
        .await
        .map_err(AskError::Pipeline)?;
    let (answer, cost) = if is_search {
        (None, QuestionCost::default())
    } else {
        let (answer, cost) = question
            .answer(&service.store, &pipeline, &passages, &stop)
            .await?;
        (Some(answer), cost)
    };
    Ok(AskOutput::new(answer, passages, &documents, &cost))
}

impl AskOutput {
    fn new(
        answer: Option<DocumentAnswer>,
        passages: Vec<Passage>,
        documents: &[Document],
        cost: &QuestionCost,
    ) -> Self {
        let cited = answer.as_ref().map_or(&[][..], |answer| &answer.citations);
        let sources = passages.into_iter().enumerate().map(|(position, passage)| {
            let source = passage.source;
            SourceOutput {
                chunk_id: source.chunk_id,
                document_id: passage.document_id,
                document: source.document,
                page_first: source.page_first,
                page_last: source.page_last,
                heading_path: source.heading_path,
                text: passage.text,
                is_cited: cited.contains(&position),
            }
        });
        Self {
            sources: sources.collect(),
            answer: answer.and_then(|answer| answer.text),
            unread_documents: unread(documents),
            cost_usd: cost.cost.as_usd(),
        }
    }
}

/// The names of documents that are not searched.
pub(crate) fn unread(documents: &[Document]) -> Vec<String> {
    documents
        .iter()
        .filter(|document| document.status != DocumentStatus::Processed)
        .map(|document| document.filename.clone())
        .collect()
}

/// A question of somebody to the documents of a course.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Who asks.
    pub(crate) actor: Actor,
    /// The course.
    pub(crate) course_id: CourseId,
    /// The question, trimmed.
    pub(crate) text: String,
    /// When it is asked.
    pub(crate) now: DateTime<Utc>,
}

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// There is nothing to ask.
    #[error("the course has no documents")]
    NoDocuments,
    /// Nothing of them can be searched.
    #[error("none of the course's documents has been read")]
    NoneRead {
        /// Those that are being read or wait for it.
        open: Vec<String>,
        /// Those that cannot be read, with the reason.
        failed: Vec<(String, String)>,
    },
    /// So many were asked within an hour.
    #[error("{0} questions were asked within an hour; that is all for now")]
    TooMany(u32),
    /// So much was spent within a day.
    #[error("{0} were spent on questions within a day; that is all for now")]
    TooCostly(MicroUsd),
    /// The database refuses, or the course is somebody else's.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The question could not be compared or answered.
    #[error(transparent)]
    Pipeline(PipelineError),
}

impl Question {
    /// The documents of the course, at least one of which was read. Only its owner and admins ask (service 4.6).
    ///
    /// # Errors
    /// [`AskError`] if the actor may not ask or there is nothing to ask.
    pub(crate) async fn documents(&self, store: &Store) -> Result<Vec<Document>, AskError> {
        let (actor, id) = (self.actor, self.course_id);
        let documents = store
            .with_tenant(&actor, async move |tx| {
                get_as_insider(tx, &actor, id).await?;
                list_documents(tx, id).await
            })
            .await?;
        if documents.is_empty() {
            return Err(AskError::NoDocuments);
        }
        if documents
            .iter()
            .any(|document| document.status == DocumentStatus::Processed)
        {
            return Ok(documents);
        }
        let (failed, open): (Vec<_>, Vec<_>) = documents
            .into_iter()
            .partition(|document| document.status == DocumentStatus::Failed);
        Err(AskError::NoneRead {
            open: open.into_iter().map(|document| document.filename).collect(),
            failed: failed
                .into_iter()
                .map(|document| {
                    let reason = document.failure.map(|failure| failure.message);
                    (document.filename, reason.unwrap_or_default())
                })
                .collect(),
        })
    }

    /// Asks a model, within what one person may ask. No transaction is open meanwhile.
    ///
    /// # Errors
    /// [`AskError`] at a limit, or if no model gives a usable answer.
    pub(crate) async fn answer(
        &self,
        store: &Arc<Store>,
        pipeline: &Pipeline,
        passages: &[Passage],
        stop: &CancellationToken,
    ) -> Result<(DocumentAnswer, QuestionCost), AskError> {
        let id = self.admission(store).await?;
        let (answer, cost) = pipeline.answer_from(&self.text, passages, stop).await;
        let (model, usage, money) = (cost.model.clone(), cost.usage, cost.cost);
        let noted = store
            .with_system(async move |tx| finish_question(tx, id, model.as_deref(), usage, money).await)
            .await;
        if let Err(error) = noted {
            tracing::warn!(%error, "what a question took could not be written down");
        }
        Ok((answer.map_err(AskError::Pipeline)?, cost))
    }

    async fn admission(&self, store: &Store) -> Result<QuestionId, AskError> {
        let (actor, course_id, now) = (self.actor, self.course_id, self.now);
        let admission = store
            .with_tenant(&actor, async move |tx| {
                check_tier_lasts(tx, now).await?;
                begin_question(tx, course_id, LIMITS).await
            })
            .await?;
        match admission {
            Admission::Admitted(id) => Ok(id),
            Admission::TooMany(asked) => Err(AskError::TooMany(asked)),
            Admission::TooCostly(spent) => Err(AskError::TooCostly(spent)),
        }
    }
}

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::NoDocuments => Self::new(ErrorCode::DocumentsNotRead).says(Text::new(
                "The course has no documents.",
                "У курса нет документов.",
            )),
            AskError::NoneRead { open, failed } => {
                let failed: Vec<_> = failed
                    .into_iter()
                    .map(|(document, reason)| json!({ "document": document, "reason": reason }))
                    .collect();
                let error = Self::new(ErrorCode::DocumentsNotRead);
                let error = if open.is_empty() {
                    error
                } else {
                    error.retry_after(RETRY_SOON_SECS)
                };
                error.with(json!({ "open": open, "failed": failed }))
            }
            AskError::TooMany(_) | AskError::TooCostly(_) => {
                Self::new(ErrorCode::RateLimited).retry_after(RETRY_SECS)
            }
            AskError::Store(error) => error.into(),
            AskError::Pipeline(error) => of_pipeline(error),
        }
    }
}

fn of_pipeline(error: PipelineError) -> ApiError {
    match error {
        PipelineError::Store(cause) => (*cause).into(),
        error => match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Model | ErrorKind::Setup | ErrorKind::Cancelled => {
                tracing::warn!(%error, code = error.code(), "a question was not answered");
                ApiError::new(ErrorCode::Unavailable).retry_after(RETRY_SOON_SECS)
            }
            ErrorKind::Invalid
            | ErrorKind::NotFound
            | ErrorKind::Forbidden
            | ErrorKind::Conflict
            | ErrorKind::LimitReached
            | ErrorKind::Internal => ApiError::internal(&error),
        },
    }
}
