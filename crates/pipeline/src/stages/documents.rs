//! The document stage: every document of the course is read, and what it says is summarised (generation 3.1).
//!
//! Reading needs no model and goes on before generations start; the stage reads what is still open. A document that cannot
//! be read is never passed over in silence: where none can be, the stage fails and names each; else the report begins
//! with those that could not.

mod extract;
mod pieces;
mod summary;

use domain::generation::Step;
use domain::language::Language;
use llm::card::Granularity;
use llm::route::Work;
use store::chunk::{Chunk, list_document_chunks};
use store::document::list_documents;
use store::error::StoreError;
use store::summary::{NewSummary, SummaryMethod, find_summary, save_summary};

use crate::context::Run;
use crate::error::PipelineError;
use crate::event::Event;
use crate::ingest::ingest_course;
use crate::material::{Material, SourceDocument};
use crate::transaction::in_system;

/// Documents up to this size pass through: they are their own summary, at no cost (generation 3.1).
const PASSES_THROUGH_TOKENS: u32 = 3000;

/// Runs the stage.
///
/// # Errors
/// [`PipelineError::Documents`] if none of the course's documents can be read, and whatever keeps one from being
/// summarised.
pub(crate) async fn run(run: &Run) -> Result<(), PipelineError> {
    let course = run.course().id;
    let documents = in_system!(run.store(), |tx| list_documents(tx, course).await)?;
    if documents.is_empty() {
        return Ok(());
    }
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    run.progress_documents(0, count(documents.len())).await?;
    ingest_course(run.services(), course, run.cancel()).await?;
    let material = Material::of(run).await?;
    for document in &material.unreadable {
        tracing::warn!(document = %document.id, "a document could not be read");
        let message = format!("{}: {}", document.name, document.problem);
        run.observer().on_event(Event::Notice { message });
    }
    if material.is_empty() {
        return Err(PipelineError::Documents {
            problems: material
                .unreadable
                .into_iter()
                .map(|document| format!("{}: {}", document.name, document.problem))
                .collect(),
        });
    }
    let total = count(material.documents.len());
    for (document, number) in material.documents.iter().zip(1..) {
        if let Some(other) = document.language.filter(|_| !document.is_usable) {
            tracing::warn!(document = %document.id, language = other.code(), "a document in another language is left out");
            let message = left_out(document, other, run.language());
            run.observer().on_event(Event::Notice { message });
        }
        if let Some(method) = Box::pin(summarise(run, document, number)).await? {
            let message = told(document, method, run.language());
            run.observer().on_event(Event::Notice { message });
        }
        run.progress_documents(number, total).await?;
        run.observer().on_event(Event::Progress {
            step: Step::Understanding,
            done: number,
            total,
        });
    }
    Ok(())
}

/// Summarises one document and keeps the summary; `number` is its place in the course, from 1. `None`: it has a summary
/// already, perhaps from another course of the organization, or is gone. What was chosen without a model gives way to a model that
/// can write one.
async fn summarise(
    run: &Run,
    document: &SourceDocument,
    number: u32,
) -> Result<Option<SummaryMethod>, PipelineError> {
    let id = document.id;
    let is_small = run.models().card_for(Work::Summary, 0).granularity == Granularity::Small;
    let present = in_system!(run.store(), |tx| find_summary(tx, id).await)?;
    if present.is_some_and(|summary| is_small || summary.method != SummaryMethod::Extract) {
        return Ok(None);
    }
    let chunks = in_system!(run.store(), |tx| list_document_chunks(tx, id).await)?;
    let parents: Vec<Chunk> = chunks
        .iter()
        .filter(|chunk| chunk.parent_id.is_none())
        .cloned()
        .collect();
    let count = |text: &str| run.models().count_tokens(Work::Summary, 0, text);
    let text = pieces::joined(&parents);
    let tokens = count(&text);
    let without_model = |text: String, method: SummaryMethod| NewSummary {
        tokens: count(&text),
        text,
        method,
        model: None,
        coverage: None,
    };
    let summary = if tokens < PASSES_THROUGH_TOKENS {
        without_model(text, SummaryMethod::Verbatim)
    } else if is_small {
        without_model(extract::extract(&parents, &count), SummaryMethod::Extract)
    } else {
        summary::write(run, document, number, &chunks).await?
    };
    let method = summary.method;
    let lease = run.claimed().lease;
    match in_system!(run.store(), |tx| save_summary(tx, &lease, id, &summary).await) {
        Ok(()) => Ok(Some(method)),
        // Its author has taken it away while it was read.
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What whoever watches is told of a document that no lesson can be written from (generation 3.1).
fn left_out(document: &SourceDocument, own: Language, language: Language) -> String {
    let name = &document.name;
    match language {
        Language::Russian => format!(
            "Документ «{name}» не используется: его язык ({}) — не язык курса, а кода, таблиц и формул в нём нет",
            own.native_name()
        ),
        _ => format!(
            "Document \"{name}\" is left out: it is in {}, the course is in {}, and it has no code, tables or formulas",
            own.english_name(),
            language.english_name()
        ),
    }
}

/// What whoever watches is told of a document.
fn told(document: &SourceDocument, method: SummaryMethod, language: Language) -> String {
    let name = &document.name;
    match (language, method) {
        (Language::Russian, SummaryMethod::Verbatim) => format!("Документ «{name}» прочитан целиком"),
        (Language::Russian, SummaryMethod::Model) => format!("Документ «{name}» прочитан, конспект готов"),
        (Language::Russian, SummaryMethod::Extract) => format!(
            "Документ «{name}» прочитан; конспект — заголовки и главные предложения, выбранные без модели"
        ),
        (_, SummaryMethod::Verbatim) => format!("Document \"{name}\" is read whole"),
        (_, SummaryMethod::Model) => format!("Document \"{name}\" is read and summarised"),
        (_, SummaryMethod::Extract) => format!(
            "Document \"{name}\" is read; its summary is its headings and most central sentences, chosen without a model"
        ),
    }
}
