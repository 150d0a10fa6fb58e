//! Documents, embedders and indexes that tests of reading need.

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
use pipeline::ingest::{DocumentReader, ReadError, ingest_course};
use pipeline::retrieval::{RetrieveOptions, Retrieved, retrieve};
use store::chunk::{Chunk, list_document_chunks};
use store::course::insert_course;
use store::document::{Document, NewDocument, finish_upload, list_documents, reserve_upload};
use store::testkit::{self, TestDatabase};
use store::tier::get_tier_settings;
use store::{Store, organization};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Documents by name, and how often each was read.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    texts: BTreeMap<String, String>,
    pub(super) readings: Mutex<HashMap<DocumentId, usize>>,
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
pub(super) struct Halting {
    inner: WordEmbedder,
    name: &'static str,
    batches: AtomicUsize,
    pub(super) halted: Notify,
}

impl Halting {
    pub(super) fn after(batches: usize, name: &'static str) -> Arc<Self> {
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

/// Counts words, under another name, and refuses texts with a certain word.
#[derive(Debug)]
pub(super) struct Refusing(pub(super) &'static str);

#[async_trait]
impl Embedder for Refusing {
    fn model(&self) -> &'static str {
        "refusing"
    }

    fn dimensions(&self) -> usize {
        512
    }

    async fn embed(&self, texts: &[String], kind: EmbeddingKind) -> Result<Vec<Vec<f32>>, ProviderError> {
        if texts.iter().any(|text| text.contains(self.0)) {
            return Err(ProviderError::Rejected {
                status: 400,
                message: "not this".to_owned(),
            });
        }
        WordEmbedder::new(512).embed(texts, kind).await
    }
}

/// An index in memory.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) points: Mutex<Vec<(IndexedContent, ChunkId, Vec<f32>)>>,
    pub(super) searches: AtomicUsize,
    pub(super) is_down: AtomicBool,
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

pub(super) struct Library {
    pub(super) store: Arc<Store>,
    pub(super) owner: Actor,
    pub(super) course: CourseId,
    pub(super) shelf: Arc<Shelf>,
    pub(super) index: Option<Arc<Beside>>,
    pub(super) database: TestDatabase,
}

impl Library {
    /// A course with these documents, uploaded and not read.
    pub(super) async fn new(documents: &[(&str, String)]) -> Self {
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

    pub(super) async fn upload(&self, name: &str, content: &str) {
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

    pub(super) fn services(&self, embedder: Arc<dyn Embedder>) -> Services {
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

    pub(super) fn usual(&self) -> Services {
        self.services(Halting::after(usize::MAX, "words"))
    }

    pub(super) async fn read_all(&self, services: &Services) -> Vec<Document> {
        let course = self.course;
        Box::pin(ingest_course(services, course, &CancellationToken::new()))
            .await
            .unwrap()
    }

    pub(super) async fn documents(&self) -> Vec<Document> {
        let course = self.course;
        let documents = self
            .store
            .with_system(async |tx| list_documents(tx, course).await);
        documents.await.unwrap()
    }

    pub(super) async fn chunks(&self, id: DocumentId) -> Vec<Chunk> {
        let chunks = self
            .store
            .with_system(async |tx| list_document_chunks(tx, id).await);
        chunks.await.unwrap()
    }

    /// As after `kill -9`: nobody renews any claim.
    pub(super) async fn expire(&self) {
        self.database
            .arrange("update documents set claimed_until = now() - interval '1 second' where claimed_until is not null")
            .await.unwrap();
    }

    pub(super) async fn ask(&self, services: &Services, question: &str) -> Vec<Retrieved> {
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

/// A word for a subject, unlike all others in its first letters: embedders that count words look no further.
pub(super) fn subject(number: u8) -> String {
    let letter = |place: u8| char::from(b'a' + place);
    format!("{}{}lore", letter(number / 26), letter(number % 26))
}

/// A text of many sections, so that it is embedded in several batches.
pub(super) fn long_text() -> String {
    let sections = (0..80).map(|number| {
        let subject = subject(number);
        let sentence = format!("The {subject} is explained here with words of its own, number {number}. ");
        format!("# Chapter {number}\n\n{}", sentence.repeat(30).trim())
    });
    sections.collect::<Vec<_>>().join("\n\n")
}
