//! Documents that were read, to test with.

use std::time::Duration;

use domain::document::ChunkDraft;
use domain::id::{ChunkId, CourseId, DocumentId};
use domain::language::Language;
use domain::user::Actor;
use store::Store;
use store::chunk::{Chunk, NewText, list_document_chunks, save_text};
use store::document::{Document, get_document};
use store::embedding::{ContentKey, list_unembedded, save_embeddings};
use store::ingestion::{self, Claim, ClaimOutcome, Replaced, claim_document};

use crate::world::{World, upload};

pub(crate) const LEASE: Duration = Duration::from_mins(1);
/// The model of the vectors made here.
pub(crate) const MODEL: &str = "first-letters";

/// One parent with one part a text: as if the texts were paragraphs under one heading.
pub(crate) fn drafts(heading: &str, texts: &[&str]) -> Vec<ChunkDraft> {
    let draft = |position: usize, parent: Option<u32>, text: String| ChunkDraft {
        position: u32::try_from(position).unwrap(),
        parent,
        heading_path: vec![heading.to_owned()],
        page_first: Some(1),
        page_last: Some(2),
        tokens: u32::try_from(text.split_whitespace().count()).unwrap(),
        text,
    };
    let mut drafts = vec![draft(0, None, texts.join("\n\n"))];
    for (place, text) in texts.iter().enumerate() {
        drafts.push(draft(place + 1, Some(0), (*text).to_owned()));
    }
    drafts
}

pub(crate) fn new_text(chunks: &[ChunkDraft], language: Language) -> NewText<'_> {
    NewText {
        language: Some(language),
        title: Some("A title"),
        pages: 2,
        tokens: 100,
        outline: &[],
        warnings: &[],
        chunks,
    }
}

/// A vector that texts with the same first letters of words share: enough to tell subjects apart.
pub(crate) fn vector_of(text: &str) -> Vec<f32> {
    let mut vector = [0.01_f32; 32];
    for word in text.to_lowercase().split_whitespace() {
        let first = u32::from(word.chars().next().unwrap_or(' '));
        vector[usize::try_from(first % 32).unwrap()] += 1.0;
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter().map(|x| x / length).collect()
}

pub(crate) async fn claimed(store: &Store, id: DocumentId) -> Claim {
    let outcome = store
        .with_system(async |tx| claim_document(tx, id, LEASE).await)
        .await
        .unwrap();
    match outcome {
        ClaimOutcome::Claimed(claim) => *claim,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn embed_all(store: &Store, claim: &Claim) {
    let content = ContentKey {
        organization_id: claim.document.organization_id,
        sha256: claim.document.sha256.clone(),
    };
    store
        .with_system(async |tx| {
            let chunks = list_unembedded(tx, &content, MODEL, 1000).await?;
            let vectors: Vec<(ChunkId, Vec<f32>)> = chunks
                .iter()
                .map(|chunk| (chunk.id, vector_of(&chunk.searchable())))
                .collect();
            save_embeddings(tx, claim, MODEL, &vectors).await
        })
        .await
        .unwrap();
}

/// Reads a document that was uploaded.
pub(crate) async fn read(
    store: &Store,
    id: DocumentId,
    heading: &str,
    texts: &[&str],
    language: Language,
) -> Replaced {
    let claim = claimed(store, id).await;
    let chunks = drafts(heading, texts);
    store
        .with_system(async |tx| save_text(tx, &claim, &new_text(&chunks, language)).await)
        .await
        .unwrap();
    embed_all(store, &claim).await;
    store
        .with_system(async |tx| ingestion::finish(tx, &claim).await)
        .await
        .unwrap()
}

/// A document of the course that was uploaded and read.
pub(crate) async fn document(
    store: &Store,
    owner: &Actor,
    course: CourseId,
    filename: &str,
    texts: &[&str],
) -> Document {
    let uploaded = upload(store, owner, course, filename, texts.join("\n").as_bytes()).await;
    let id = uploaded.document.id;
    let is_russian = texts.iter().any(|text| text.contains('о'));
    let language = if is_russian {
        Language::Russian
    } else {
        Language::English
    };
    read(store, id, filename, texts, language).await;
    store
        .with_system(async |tx| get_document(tx, id).await)
        .await
        .unwrap()
}

/// The searched chunks of a document.
pub(crate) async fn parts(store: &Store, id: DocumentId) -> Vec<Chunk> {
    let mut chunks = store
        .with_system(async |tx| list_document_chunks(tx, id).await)
        .await
        .unwrap();
    chunks.retain(|chunk| chunk.parent_id.is_some());
    chunks
}

/// A row or more in every table of what is read out of documents, for a course that has lessons.
pub(crate) async fn fill(world: &World, course: CourseId) {
    document(
        world.store(),
        &world.owner,
        course,
        "b.md",
        &["Demand falls when the price rises."],
    )
    .await;
    for statement in [
        "insert into document_summaries (organization_id, sha256, text, tokens, method)
         select organization_id, sha256, 'A short text.', 4, 'verbatim' from document_texts",
        "insert into removed_texts (organization_id, sha256) select organization_id, sha256 from document_texts",
        "insert into lesson_citations (lesson_id, block, chunk_id, course_id, organization_id, document_id, filename,
            heading_path, excerpt)
         select l.id, 0, c.id, l.course_id, l.organization_id, d.id, d.filename, c.heading_path, c.text
         from lesson_contents l join documents d on d.course_id = l.course_id
         join chunks c on c.organization_id = d.organization_id and c.sha256 = d.sha256",
        "insert into questions (id, organization_id, user_id, course_id)
         select gen_random_uuid(), organization_id, owner_id, id from courses",
    ] {
        world.database.arrange(statement).await.unwrap();
    }
}
