//! Reading of documents: resumed after a crash, shared between processes, searched in two indexes.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::clock::SystemClock;
use domain::course::CourseRequest;
use domain::document::{BlockKind, DocumentBlock, DocumentText};
use domain::id::{ChunkId, CourseId, DocumentId};
use domain::language::Language;
use domain::organization::Tier;
use domain::user::Actor;
use llm::card::{Cards, ModelCard};
use llm::error::ProviderError;
use llm::gateway::Models;
use llm::provider::scripted::answers::schema_answers;
use llm::provider::scripted::{Scripted, WordEmbedder};
use llm::provider::{Embedder, EmbeddingKind};
use llm::route::Routes;
use llm::vector_index::{IndexedContent, VectorIndex};
use pipeline::Services;
use pipeline::event::Unwatched;
use pipeline::ingest::{DocumentReader, IngestOutcome, ReadError, ingest_course, ingest_next, reembed_next};
use pipeline::retrieval::{Piece, RetrieveOptions, Retrieved, retrieve, retrieve_for};
use store::chunk::{Chunk, find_text, list_document_chunks};
use store::course::insert_course;
use store::document::{Document, DocumentStatus, NewDocument, finish_upload, list_documents, reserve_upload};
use store::testkit::{self, TestDatabase};
use store::tier::get_tier_settings;
use store::{Store, organization};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Documents by name, and how often each was read.
#[derive(Debug, Default)]
struct Shelf {
    texts: BTreeMap<String, String>,
    readings: Mutex<HashMap<DocumentId, usize>>,
}

#[async_trait]
impl DocumentReader for Shelf {
    async fn read(&self, document: &Document) -> Result<DocumentText, ReadError> {
        *self.readings.lock().unwrap().entry(document.id).or_insert(0) += 1;
        let refusal = |code: &str, is_passing| ReadError {
            code: code.to_owned(),
            message: format!("'{}' cannot be read.", document.filename),
            is_passing,
        };
        match self.texts.get(&document.filename).map(String::as_str) {
            None => Err(refusal("malformed", false)),
            Some("away") => Err(refusal("storage", true)),
            Some(text) => Ok(DocumentText {
                title: Some(document.filename.clone()),
                blocks: text.split("\n\n").map(block).collect(),
                ..DocumentText::default()
            }),
        }
    }
}

fn block(text: &str) -> DocumentBlock {
    let (kind, text) = match text.strip_prefix("# ") {
        Some(heading) => (BlockKind::Heading { level: 1 }, heading),
        None => (BlockKind::Paragraph, text),
    };
    DocumentBlock {
        kind,
        text: text.to_owned(),
        page: None,
    }
}

/// Counts words, under a name, and halts where it is told to.
#[derive(Debug)]
struct Halting {
    inner: WordEmbedder,
    name: &'static str,
    batches: AtomicUsize,
    halted: Notify,
}

impl Halting {
    fn after(batches: usize, name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            inner: WordEmbedder::new(512),
            name,
            batches: AtomicUsize::new(batches),
            halted: Notify::new(),
        })
    }
}

#[async_trait]
impl Embedder for Halting {
    fn model(&self) -> &str {
        self.name
    }

    fn dimensions(&self) -> usize {
        self.inner.dimensions()
    }

    async fn embed(&self, texts: &[String], kind: EmbeddingKind) -> Result<Vec<Vec<f32>>, ProviderError> {
        let left = self
            .batches
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_err() {
            self.halted.notify_one();
            std::future::pending::<()>().await;
        }
        self.inner.embed(texts, kind).await
    }
}

/// An index in memory.
#[derive(Debug, Default)]
struct Beside {
    points: Mutex<Vec<(IndexedContent, ChunkId, Vec<f32>)>>,
    searches: AtomicUsize,
    is_down: AtomicBool,
}

impl Beside {
    fn check(&self) -> Result<(), ProviderError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(ProviderError::Setup("down".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl VectorIndex for Beside {
    fn name(&self, model: &str) -> String {
        format!("qdrant:{model}")
    }

    async fn put(
        &self,
        _model: &str,
        content: &IndexedContent,
        vectors: &[(ChunkId, Vec<f32>)],
    ) -> Result<(), ProviderError> {
        self.check()?;
        let mut points = self.points.lock().unwrap();
        points.retain(|(of, _, _)| of != content);
        points.extend(
            vectors
                .iter()
                .map(|(id, vector)| (content.clone(), *id, vector.clone())),
        );
        Ok(())
    }

    async fn search(
        &self,
        _model: &str,
        contents: &[IndexedContent],
        question: &[f32],
        limit: usize,
    ) -> Result<Vec<ChunkId>, ProviderError> {
        self.check()?;
        self.searches.fetch_add(1, Ordering::SeqCst);
        let points = self.points.lock().unwrap();
        let mut found: Vec<(f32, ChunkId)> = points
            .iter()
            .filter(|(content, _, _)| contents.contains(content))
            .map(|(_, id, vector)| (vector.iter().zip(question).map(|(a, b)| a * b).sum(), *id))
            .collect();
        found.sort_by(|one, other| other.0.total_cmp(&one.0));
        Ok(found.into_iter().take(limit).map(|(_, id)| id).collect())
    }

    async fn remove(&self, content: &IndexedContent) -> Result<(), ProviderError> {
        self.check()?;
        self.points.lock().unwrap().retain(|(of, _, _)| of != content);
        Ok(())
    }
}

struct Library {
    store: Arc<Store>,
    owner: Actor,
    course: CourseId,
    shelf: Arc<Shelf>,
    index: Option<Arc<Beside>>,
    database: TestDatabase,
}

impl Library {
    /// A course with these documents, uploaded and not read.
    async fn new(documents: &[(&str, String)]) -> Self {
        let database = testkit::database().await.unwrap();
        let store = Arc::new(database.open().await.unwrap());
        let owner = store
            .with_system(async |tx| organization::ensure_local_owner(tx).await)
            .await
            .unwrap();
        let request = CourseRequest {
            title: "Markets".to_owned(),
            ..CourseRequest::default()
        };
        let (inputs, _) = request.check(Language::English).unwrap();
        let course = store
            .with_tenant(&owner, async |tx| insert_course(tx, &inputs).await)
            .await
            .unwrap();
        let texts = documents
            .iter()
            .map(|(name, text)| ((*name).to_owned(), text.clone()));
        let library = Self {
            store,
            owner,
            course: course.id,
            shelf: Arc::new(Shelf {
                texts: texts.collect(),
                readings: Mutex::default(),
            }),
            index: None,
            database,
        };
        for (name, text) in documents {
            library.upload(name, text).await;
        }
        library
    }

    async fn upload(&self, name: &str, content: &str) {
        let course = self.course;
        let reservation = self
            .store
            .with_tenant(&self.owner, async |tx| {
                let mut limits = get_tier_settings(tx, Tier::Premium).await?;
                limits.max_files_per_course = 100;
                reserve_upload(tx, course, content.len() as u64, &limits).await
            })
            .await
            .unwrap();
        let new = NewDocument {
            filename: name.to_owned(),
            mime_type: "text/markdown".to_owned(),
            size_bytes: content.len() as u64,
            sha256: sha256(&format!("{name} {content}")),
        };
        self.store
            .with_system(async |tx| finish_upload(tx, reservation.id, &new).await)
            .await
            .unwrap();
    }

    fn services(&self, embedder: Arc<dyn Embedder>) -> Services {
        let mut cards = Cards::default();
        cards.insert(ModelCard::assumed("silent", "silent"));
        let silent = Scripted::new("silent", schema_answers(1, Language::English));
        let models = Models::builder(cards, Routes::single("silent"), embedder)
            .provider(Arc::new(silent))
            .build(Arc::new(SystemClock))
            .unwrap();
        Services {
            store: Arc::clone(&self.store),
            models,
            clock: Arc::new(SystemClock),
            observer: Arc::new(Unwatched),
            documents: Arc::clone(&self.shelf) as _,
            vector_index: self.index.clone().map(|index| index as _),
        }
    }

    fn usual(&self) -> Services {
        self.services(Halting::after(usize::MAX, "words"))
    }

    async fn read_all(&self, services: &Services) -> Vec<Document> {
        let course = self.course;
        Box::pin(ingest_course(services, course, &CancellationToken::new()))
            .await
            .unwrap()
    }

    async fn documents(&self) -> Vec<Document> {
        let course = self.course;
        let documents = self
            .store
            .with_system(async |tx| list_documents(tx, course).await);
        documents.await.unwrap()
    }

    async fn chunks(&self, id: DocumentId) -> Vec<Chunk> {
        let chunks = self
            .store
            .with_system(async |tx| list_document_chunks(tx, id).await);
        chunks.await.unwrap()
    }

    /// As after `kill -9`: nobody renews any claim.
    async fn expire(&self) {
        self.database
            .arrange("update documents set claimed_until = now() - interval '1 second' where claimed_until is not null")
            .await.unwrap();
    }

    async fn ask(&self, services: &Services, question: &str) -> Vec<Retrieved> {
        let questions = [question.to_owned()];
        retrieve(services, self.course, &questions, &RetrieveOptions::default())
            .await
            .unwrap()
    }
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(text))
}

/// A text of many sections, so that it is embedded in several batches.
fn long_text() -> String {
    let sections = (0..80).map(|number| {
        let sentence = format!("Subject{number} is explained here with words of its own, number {number}. ");
        format!("# Chapter {number}\n\n{}", sentence.repeat(30).trim())
    });
    sections.collect::<Vec<_>>().join("\n\n")
}

#[tokio::test]
async fn reading_killed_between_batches_goes_on_without_repeating_anything() {
    let library = Library::new(&[("long.md", long_text())]).await;
    let id = library.documents().await[0].id;
    let halting = Halting::after(1, "words");
    let services = library.services(Arc::clone(&halting) as _);
    let cancel = CancellationToken::new();
    let killed = tokio::select! {
        _ = Box::pin(ingest_next(&services, &cancel)) => false,
        () = halting.halted.notified() => true,
    };
    assert!(killed, "it halts in the second batch");
    let before = library.chunks(id).await;
    assert!(before.len() > 64, "{}", before.len());
    assert_eq!(library.documents().await[0].status, DocumentStatus::Processing);
    assert_eq!(
        library
            .database
            .number("select count(*) from chunk_embeddings")
            .await
            .unwrap(),
        32
    );
    let nothing = Box::pin(ingest_next(&services, &cancel)).await.unwrap();
    assert_eq!(nothing, None, "the killed reader still has it");
    library.expire().await;
    let outcome = Box::pin(ingest_next(&library.usual(), &cancel)).await.unwrap();
    let searched = before.iter().filter(|chunk| chunk.parent_id.is_some()).count();
    let Some(IngestOutcome::Processed { chunks, embedded, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(chunks as usize, before.len());
    assert_eq!(
        embedded as usize,
        searched - 32,
        "the first batch is not embedded again"
    );
    assert_eq!(library.chunks(id).await, before);
    assert_eq!(
        library.shelf.readings.lock().unwrap()[&id],
        1,
        "the text is not read again"
    );
    let vectors = library
        .database
        .number("select count(*) from chunk_embeddings")
        .await
        .unwrap();
    assert_eq!(usize::try_from(vectors).unwrap(), searched);
}

#[tokio::test]
async fn two_processes_share_the_documents() {
    let texts: Vec<(String, String)> = (0..8)
        .map(|number| {
            (
                format!("{number}.md"),
                format!("# Chapter\n\nText number {number} says something."),
            )
        })
        .collect();
    let texts: Vec<(&str, String)> = texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.clone()))
        .collect();
    let library = Library::new(&texts).await;
    let mut readers = JoinSet::new();
    for _ in 0..2 {
        let services = library.usual();
        readers.spawn(async move {
            let mut count = 0;
            while let Some(outcome) = Box::pin(ingest_next(&services, &CancellationToken::new()))
                .await
                .unwrap()
            {
                assert!(matches!(outcome, IngestOutcome::Processed { .. }), "{outcome:?}");
                count += 1;
            }
            count
        });
    }
    let counts = readers.join_all().await;
    assert_eq!(counts.iter().sum::<usize>(), 8);
    let readings = library.shelf.readings.lock().unwrap().clone();
    assert!(
        readings.len() == 8 && readings.values().all(|count| *count == 1),
        "{readings:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_read_fails_alone_and_what_is_away_is_tried_again() {
    let library = Library::new(&[
        (
            "good.md",
            "# Markets\n\nDemand falls when the price rises.".to_owned(),
        ),
        ("empty.md", " ".to_owned()),
    ])
    .await;
    library.upload("broken.pdf", "x").await;
    let documents = library.read_all(&library.usual()).await;
    let told: Vec<(String, Option<String>)> = documents
        .into_iter()
        .map(|document| (document.filename, document.failure.map(|failure| failure.code)))
        .collect();
    assert_eq!(
        told,
        [
            ("good.md".to_owned(), None),
            ("empty.md".to_owned(), Some("no_text".to_owned())),
            ("broken.pdf".to_owned(), Some("malformed".to_owned())),
        ]
    );
    let away = Library::new(&[("away.md", "away".to_owned())]).await;
    let outcome = Box::pin(ingest_next(&away.usual(), &CancellationToken::new()))
        .await
        .unwrap();
    assert!(
        matches!(outcome, Some(IngestOutcome::Postponed { .. })),
        "{outcome:?}"
    );
    assert_eq!(away.documents().await[0].status, DocumentStatus::Uploaded);
    away.expire().await;
    let failed = Box::pin(ingest_course(
        &away.usual(),
        away.course,
        &CancellationToken::new(),
    ))
    .await;
    assert!(failed.unwrap_err().to_string().contains("away.md"));
}

#[tokio::test]
async fn a_cancelled_reading_hands_the_document_back() {
    let library = Library::new(&[("long.md", long_text())]).await;
    let halting = Halting::after(1, "words");
    let services = library.services(Arc::clone(&halting) as _);
    let cancel = CancellationToken::new();
    let reading = Box::pin(ingest_next(&services, &cancel));
    let (outcome, ()) = tokio::join!(reading, async {
        halting.halted.notified().await;
        cancel.cancel();
    });
    assert!(outcome.is_err());
    assert_eq!(library.documents().await[0].status, DocumentStatus::Uploaded);
    let documents = library.read_all(&library.usual()).await;
    assert_eq!(documents[0].status, DocumentStatus::Processed);
}

#[tokio::test]
async fn the_language_and_the_outline_of_a_document_are_known() {
    let russian = "# Рынок\n\nСпрос падает, когда растёт цена товара, а предложение растёт вместе с ней.";
    let library = Library::new(&[("рынок.md", russian.to_owned())]).await;
    let documents = library.read_all(&library.usual()).await;
    let id = documents[0].id;
    let text = library.store.with_system(async |tx| find_text(tx, id).await);
    let text = text.await.unwrap().unwrap();
    assert_eq!(text.language, Some(Language::Russian));
    assert_eq!(text.outline[0].heading, "Рынок");
    assert!(text.tokens > 0 && text.chunks >= 1);
}

#[tokio::test]
async fn what_is_retrieved_is_the_same_every_time_and_within_the_budget() {
    let library = Library::new(&[("long.md", long_text())]).await;
    let services = library.usual();
    library.read_all(&services).await;
    let questions = ["subject7 explained".to_owned(), "subject41 words".to_owned()];
    let options = RetrieveOptions {
        limit: 6,
        ..RetrieveOptions::default()
    };
    let found = retrieve(&services, library.course, &questions, &options)
        .await
        .unwrap();
    assert_eq!(found.len(), 6);
    for subject in ["Subject7 ", "Subject41 "] {
        assert!(
            found[..2].iter().any(|one| one.chunk.text.contains(subject)),
            "{subject}"
        );
    }
    let again = retrieve(&services, library.course, &questions, &options)
        .await
        .unwrap();
    assert_eq!(again, found);
    let tight = RetrieveOptions {
        max_tokens: found[0].chunk.tokens + 1,
        ..options
    };
    let one = retrieve(&services, library.course, &questions, &tight)
        .await
        .unwrap();
    assert_eq!(one.len(), 1);
    let large = RetrieveOptions {
        piece: Piece::Large,
        ..options
    };
    let large = retrieve(&services, library.course, &questions, &large)
        .await
        .unwrap();
    assert!(large.iter().all(|one| one.chunk.parent_id.is_none()));
    let mine = retrieve_for(&services, &library.owner, library.course, &questions, &options).await;
    assert_eq!(mine.unwrap(), found);
}

#[tokio::test]
async fn another_embedding_model_embeds_in_the_background_while_words_are_found() {
    let library = Library::new(&[("long.md", long_text())]).await;
    library.read_all(&library.usual()).await;
    let changed = library.services(Halting::after(usize::MAX, "other words"));
    let before = library.ask(&changed, "subject41").await;
    assert!(before[0].chunk.text.contains("Subject41 "), "found by its words");
    let cancel = CancellationToken::new();
    let mut embedded = 0;
    loop {
        match reembed_next(&changed, &cancel).await.unwrap() {
            0 => break,
            chunks => embedded += i64::from(chunks),
        }
    }
    let first = library
        .database
        .number("select count(*) from chunk_embeddings where model = 'words'")
        .await
        .unwrap();
    let second = library
        .database
        .number("select count(*) from chunk_embeddings where model = 'other words'")
        .await
        .unwrap();
    assert!(first > 0);
    assert_eq!((first, second), (embedded, embedded));
    assert!(
        library.ask(&changed, "subject41").await[0]
            .chunk
            .text
            .contains("Subject41 ")
    );
}

#[tokio::test]
async fn a_second_index_ranks_where_it_has_everything_and_answers() {
    let mut library = Library::new(&[("long.md", long_text())]).await;
    library.read_all(&library.usual()).await;
    let alone = library.ask(&library.usual(), "subject41 explained").await;
    let index = Arc::new(Beside::default());
    library.index = Some(Arc::clone(&index));
    let services = library.usual();
    library.ask(&services, "subject41 explained").await;
    assert_eq!(index.searches.load(Ordering::SeqCst), 0, "it has nothing yet");
    let cancel = CancellationToken::new();
    while reembed_next(&services, &cancel).await.unwrap() > 0 {}
    let found = library.ask(&services, "subject41 explained").await;
    assert_eq!(index.searches.load(Ordering::SeqCst), 1);
    assert_eq!(found[0], alone[0]);
    index.is_down.store(true, Ordering::SeqCst);
    assert_eq!(
        library.ask(&services, "subject41 explained").await,
        alone,
        "the database is asked"
    );
    index.is_down.store(false, Ordering::SeqCst);
    let id = library.documents().await[0].id;
    library
        .store
        .with_tenant(&library.owner, async |tx| {
            store::document::delete_document(tx, id).await
        })
        .await
        .unwrap();
    while reembed_next(&services, &cancel).await.unwrap() > 0 {}
    assert!(index.points.lock().unwrap().is_empty());
}
