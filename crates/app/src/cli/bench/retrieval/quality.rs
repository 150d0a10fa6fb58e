//! How well terms lead to the module that explains them.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::clock::SystemClock;
use domain::course::CourseRequest;
use domain::document::DocumentText;
use domain::id::{ChunkId, CourseId};
use domain::language::Language;
use domain::user::Actor;
use formats::import::{DocumentFormat, ImportLimits, extract};
use indicatif::MultiProgress;
use llm::gateway::Models;
use llm::provider::EmbeddingKind;
use pipeline::Services;
use pipeline::event::Unwatched;
use pipeline::ingest::{DocumentReader, IngestOutcome, ReadError, ingest_next};
use sha2::{Digest, Sha256};
use store::chunk::{Chunk, list_course_chunks};
use store::course::insert_course;
use store::document::{Document, NewDocument, finish_upload, reserve_upload};
use store::search::{Query, search};
use store::tier::get_tier_settings;
use store::{Store, organization};
use tokio_util::sync::CancellationToken;

use super::bm25::Bm25;
use super::books::{Books, Term};
use crate::cli::table::{row, table};
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::wiring::{Fetcher, Plan, PullDisplay, models};

/// The terms in Russian. Our own translation.
const RUSSIAN: &str = include_str!("terms_ru.tsv");
/// A term is found if its module is among the first so many chunks.
const RECALL_PLACES: usize = 5;
/// The rank counts as 1 / rank up to this place, and as nothing beyond.
const RANKED_PLACES: usize = 50;

/// Takes the chapters in, asks for every term in every way, and says how well it went.
pub(super) async fn measure(config: &Config, store: &Arc<Store>, books: &Books) -> Result<String, Failure> {
    let plan = Plan::of(config, None)?;
    let display = PullDisplay::new(&MultiProgress::new());
    let files = Fetcher::new(config)?
        .pull_for_search(&plan, &display, &CancellationToken::new())
        .await?;
    let models = models(config, &plan, &files, 1)?;
    let course = take_in(store, books, &models).await?;
    let desk = Desk {
        store,
        models,
        chunks: searched_chunks(store, course).await?,
        course,
    };
    let russian: HashMap<&str, &str> = RUSSIAN.lines().filter_map(|line| line.split_once('\t')).collect();
    let terms = |question: &dyn Fn(&Term) -> Option<String>| -> Vec<(String, &Term)> {
        let asked = books
            .terms
            .iter()
            .filter_map(|term| Some((question(term)?, term)));
        asked.collect()
    };
    let mut rows = vec![row(["questions", "by", "recall@5", "MRR"])];
    let sets = [
        ("terms", terms(&|term| Some(term.name.clone()))),
        ("meanings", terms(&|term| Some(term.meaning.clone()))),
        (
            "terms in Russian",
            terms(&|term| russian.get(term.name.as_str()).map(|word| (*word).to_owned())),
        ),
    ];
    for (name, questions) in sets {
        for (way, figures) in desk.ask(&questions).await? {
            rows.push(row([
                &format!("{} {name}", questions.len()),
                way,
                &format!("{:.3}", figures.recall),
                &format!("{:.3}", figures.reciprocal_rank),
            ]));
        }
    }
    Ok(format!(
        "{} chunks of {} chapters, embedded by {}; a term leads to the module whose glossary has it\n{}",
        desk.chunks.len(),
        books.chapters.len(),
        desk.models.embedder().model(),
        table(&rows)
    ))
}

/// Recall at 5 and mean reciprocal rank.
#[derive(Default)]
struct Figures {
    recall: f64,
    reciprocal_rank: f64,
}

struct Desk<'a> {
    store: &'a Arc<Store>,
    models: Models,
    chunks: Vec<Chunk>,
    course: CourseId,
}

impl Desk<'_> {
    /// Asks the questions in every way.
    async fn ask(&self, questions: &[(String, &Term)]) -> Result<Vec<(&'static str, Figures)>, Failure> {
        let texts: Vec<String> = questions.iter().map(|(text, _)| text.clone()).collect();
        let embedder = self.models.embedder();
        let vectors = embedder.embed(&texts, EmbeddingKind::Query).await?;
        let searchable: Vec<String> = self.chunks.iter().map(Chunk::searchable).collect();
        let bm25 = Bm25::of(searchable.iter().map(String::as_str));
        let mut ways: [(&'static str, Figures); 4] =
            ["BM25", "full text", "vectors", "fused"].map(|way| (way, Figures::default()));
        for ((text, term), vector) in questions.iter().zip(&vectors) {
            let words = Query::of(self.course, text, RANKED_PLACES);
            let meaning = Query {
                text: "",
                embedding: Some((embedder.model(), vector)),
                ..words
            };
            let both = Query { text, ..meaning };
            let by_bm25: Vec<ChunkId> = bm25
                .rank(text)
                .into_iter()
                .map(|place| self.chunks[place].id)
                .collect();
            let found = [
                by_bm25,
                self.find(words).await?,
                self.find(meaning).await?,
                self.find(both).await?,
            ];
            for ((_, figures), ids) in ways.iter_mut().zip(found) {
                self.count(figures, &ids, term, questions.len());
            }
        }
        Ok(ways.into())
    }

    async fn find(&self, query: Query<'_>) -> Result<Vec<ChunkId>, Failure> {
        let mut tx = self.store.system().await?;
        let hits = search(&mut tx, &query).await?;
        tx.commit().await?;
        Ok(hits.into_iter().map(|hit| hit.chunk.id).collect())
    }

    fn count(&self, figures: &mut Figures, ids: &[ChunkId], term: &Term, questions: usize) {
        let explains = |id: &ChunkId| {
            let chunk = self.chunks.iter().find(|chunk| chunk.id == *id);
            chunk.is_some_and(|chunk| {
                chunk.heading_path.contains(&term.module) && chunk.heading_path.contains(&term.chapter)
            })
        };
        let Some(place) = ids.iter().take(RANKED_PLACES).position(explains) else {
            return;
        };
        let share = 1.0 / questions as f64;
        if place < RECALL_PLACES {
            figures.recall += share;
        }
        figures.reciprocal_rank += share / (place as f64 + 1.0);
    }
}

/// Reads the chapters out of memory.
#[derive(Debug)]
struct Chapters(HashMap<String, String>);

#[async_trait]
impl DocumentReader for Chapters {
    async fn read(&self, document: &Document) -> Result<DocumentText, ReadError> {
        let text = self.0.get(&document.filename).map_or("", String::as_str);
        extract(
            DocumentFormat::Markdown,
            text.as_bytes(),
            &ImportLimits::default(),
        )
        .map_err(|error| ReadError {
            code: error.code().to_owned(),
            message: error.to_string(),
            is_passing: false,
        })
    }
}

async fn take_in(store: &Arc<Store>, books: &Books, models: &Models) -> Result<CourseId, Failure> {
    let actor = store
        .with_system(async |tx| organization::ensure_local_owner(tx).await)
        .await?;
    let (inputs, _) = CourseRequest {
        title: "What the books say".to_owned(),
        ..CourseRequest::default()
    }
    .check(Language::English)
    .map_err(|errors| Failure::inputs(&errors))?;
    let course = store
        .with_tenant(&actor, async |tx| insert_course(tx, &inputs).await)
        .await?;
    for (name, text) in &books.chapters {
        upload(store, &actor, course.id, name, text).await?;
    }
    let services = Services {
        store: Arc::clone(store),
        models: models.clone(),
        clock: Arc::new(SystemClock),
        observer: Arc::new(Unwatched),
        documents: Arc::new(Chapters(books.chapters.iter().cloned().collect())),
        vector_index: None,
    };
    let cancel = CancellationToken::new();
    while let Some(outcome) = Box::pin(ingest_next(&services, &cancel)).await? {
        if let IngestOutcome::Failed { message, .. } = outcome {
            return Err(Failure::new(Exit::Failure, message));
        }
    }
    Ok(course.id)
}

async fn upload(
    store: &Store,
    actor: &Actor,
    course: CourseId,
    name: &str,
    text: &str,
) -> Result<(), Failure> {
    let size_bytes = text.len() as u64;
    let reservation = store
        .with_tenant(actor, async |tx| {
            let mut limits = get_tier_settings(tx, domain::organization::Tier::Premium).await?;
            limits.max_files_per_course = 10_000;
            reserve_upload(tx, course, size_bytes, &limits).await
        })
        .await?;
    let new = NewDocument {
        filename: name.to_owned(),
        mime_type: "text/markdown".to_owned(),
        size_bytes,
        sha256: hex::encode(Sha256::digest(text)),
    };
    store
        .with_system(async |tx| finish_upload(tx, reservation.id, &new).await)
        .await?;
    Ok(())
}

async fn searched_chunks(store: &Store, course: CourseId) -> Result<Vec<Chunk>, Failure> {
    let chunks = store
        .with_system(async |tx| list_course_chunks(tx, course).await)
        .await?;
    let parents: Vec<ChunkId> = chunks.iter().filter_map(|chunk| chunk.parent_id).collect();
    Ok(chunks
        .into_iter()
        .filter(|chunk| !parents.contains(&chunk.id))
        .collect())
}
