//! Documents are read beside the jobs.

use async_trait::async_trait;
use domain::document::{BlockKind, DocumentBlock, DocumentText};
use domain::id::DocumentId;
use pipeline::ingest::{DocumentReader, ReadError};
use sha2::{Digest as _, Sha256};
use store::chunk::list_document_chunks;
use store::document::{self, Document, DocumentStatus, NewDocument};
use store::tier::get_tier_settings;

use super::*;

/// A reader for which every document says the same, but for those that are called broken.
#[derive(Debug)]
pub(super) struct OneText;

#[async_trait]
impl DocumentReader for OneText {
    async fn read(&self, document: &Document) -> Result<DocumentText, ReadError> {
        if document.filename.starts_with("broken") {
            return Err(ReadError {
                code: "malformed".to_owned(),
                message: format!("{}: save it again", document.filename),
                is_passing: false,
            });
        }
        let block = |kind, text: &str| DocumentBlock {
            kind,
            text: text.to_owned(),
            page: None,
        };
        Ok(DocumentText {
            title: None,
            blocks: vec![
                block(BlockKind::Heading { level: 1 }, "Loops"),
                block(BlockKind::Paragraph, "A loop repeats what stands in its body."),
            ],
            pages: 0,
            warnings: Vec::new(),
        })
    }
}

impl Crew {
    async fn upload(&self, owner: &Actor, course_id: CourseId, filename: &str) -> DocumentId {
        let content = filename.as_bytes();
        let size = content.len() as u64;
        let reservation = self
            .store
            .with_tenant(owner, async |tx| {
                let limits = get_tier_settings(tx, Tier::Standard).await?;
                document::reserve_upload(tx, course_id, size, &limits).await
            })
            .await
            .unwrap();
        let new = NewDocument {
            filename: filename.to_owned(),
            mime_type: "text/markdown".to_owned(),
            size_bytes: size,
            sha256: hex::encode(Sha256::digest(content)),
        };
        let finished = self.store.with_system(async move |tx: &mut SystemTx| {
            document::finish_upload(tx, reservation.id, &new).await
        });
        finished.await.unwrap().document.id
    }

    async fn read(&self, id: DocumentId) -> Document {
        let begun = Instant::now();
        loop {
            let found = self
                .store
                .with_system(async move |tx: &mut SystemTx| document::get_document(tx, id).await);
            let document = found.await.unwrap();
            if matches!(
                document.status,
                DocumentStatus::Processed | DocumentStatus::Failed
            ) {
                return document;
            }
            assert!(begun.elapsed() < PATIENCE, "{document:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_read_without_a_generation() {
    let crew = Crew::new().await;
    let ann = crew.person("ann", Tier::Standard).await;
    let course = crew.start(&ann).await;
    let early = crew.upload(&ann, course, "early.md").await;
    let (shutdown, running) = crew.worker(Duration::ZERO, WorkerSettings::default());
    assert_eq!(crew.read(early).await.status, DocumentStatus::Processed);
    // The worker waits now and hears of what comes.
    let late = crew.upload(&ann, course, "late.md").await;
    let broken = crew.upload(&ann, course, "broken.md").await;
    assert_eq!(crew.read(late).await.status, DocumentStatus::Processed);
    let failure = crew.read(broken).await.failure.unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        ("malformed", "broken.md: save it again")
    );
    let chunks = crew
        .store
        .with_system(async move |tx: &mut SystemTx| list_document_chunks(tx, late).await)
        .await
        .unwrap();
    assert!(!chunks.is_empty());
    shutdown.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_may_leave_documents_to_others() {
    let crew = Crew::new().await;
    let ann = crew.person("ann", Tier::Standard).await;
    let course = crew.start(&ann).await;
    let settings = WorkerSettings {
        documents: 0,
        ..WorkerSettings::default()
    };
    let (shutdown, running) = crew.worker(Duration::ZERO, settings);
    crew.wait_for(course, GenerationStatus::Completed).await;
    let waiting = crew.upload(&ann, course, "waiting.md").await;
    shutdown.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
    let found = crew
        .store
        .with_system(async move |tx: &mut SystemTx| document::get_document(tx, waiting).await);
    assert_eq!(found.await.unwrap().status, DocumentStatus::Uploaded);
}
