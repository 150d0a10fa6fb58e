//! Reading of documents: claimed by one, kept step by step, done once whatever happens.

use std::time::Duration;

use domain::id::{CourseId, DocumentId};
use domain::language::Language;
use domain::stage::Stage;
use domain::user::Role;
use store::chunk::{self, chunk_id, save_text};
use store::document::{self, DocumentStatus};
use store::embedding::{self, ContentKey};
use store::error::StoreError;
use store::ingestion::{self, ClaimOutcome, claim_document, claim_next};

use crate::library::{self, LEASE, MODEL, claimed, drafts, embed_all, new_text, parts};
use crate::world::{World, colleague, upload};

const TEXTS: [&str; 3] = [
    "Demand falls when the price rises.",
    "Supply rises with the price.",
    "In equilibrium both are equal.",
];

async fn uploaded(world: &World, course: CourseId, filename: &str, content: &str) -> DocumentId {
    upload(world.store(), &world.owner, course, filename, content.as_bytes())
        .await
        .document
        .id
}

async fn status(world: &World, id: DocumentId) -> document::Document {
    world
        .store()
        .with_system(async |tx| document::get_document(tx, id).await)
        .await
        .unwrap()
}

async fn count(world: &World, table: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
        .fetch_one(&mut world.superuser().await)
        .await
        .unwrap()
}

/// Lets every claim expire, as after a crash.
async fn expire(world: &World) {
    sqlx::query(
        "update documents set claimed_until = now() - interval '1 second' where claimed_until is not null",
    )
    .execute(&mut world.superuser().await)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_document_is_one_readers_until_the_claim_expires() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Economics").await.id;
    let id = uploaded(&world, course, "a.md", "one").await;
    let first = store
        .with_system(async |tx| claim_next(tx, LEASE).await)
        .await
        .unwrap()
        .expect("a document waits");
    assert_eq!(first.document.id, id);
    assert_eq!(first.document.status, DocumentStatus::Processing);
    let nothing = store.with_system(async |tx| claim_next(tx, LEASE).await).await;
    assert_eq!(nothing.unwrap(), None);
    let busy = store
        .with_system(async |tx| claim_document(tx, id, LEASE).await)
        .await;
    assert_eq!(busy.unwrap(), ClaimOutcome::Busy);
    expire(&world).await;
    let second = claimed(store, id).await;
    // The first reader was taken for dead: whatever it tries now is refused.
    let chunks = drafts("Chapter", &TEXTS);
    let text = new_text(&chunks, Language::English);
    let late = [
        store
            .with_system(async |tx| save_text(tx, &first, &text).await.map(|_| ()))
            .await,
        store
            .with_system(async |tx| ingestion::renew(tx, &first, LEASE).await)
            .await,
        store
            .with_system(async |tx| ingestion::finish(tx, &first).await.map(|_| ()))
            .await,
        store
            .with_system(async |tx| ingestion::fail(tx, &first, "x", "y").await)
            .await,
        store
            .with_system(async |tx| embedding::save_embeddings(tx, &first, MODEL, &[]).await)
            .await,
    ];
    for refused in late {
        assert!(matches!(refused, Err(StoreError::LostClaim(lost)) if lost == id));
    }
    assert_eq!(count(&world, "chunks").await, 0);
    store
        .with_system(async |tx| ingestion::finish(tx, &second).await)
        .await
        .unwrap();
    let done = store
        .with_system(async |tx| claim_document(tx, id, LEASE).await)
        .await;
    assert!(matches!(done.unwrap(), ClaimOutcome::Done(_)));
}

#[tokio::test]
async fn reading_that_broke_off_at_any_step_makes_every_chunk_once() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Economics").await.id;
    let id = uploaded(&world, course, "a.md", "one").await;
    let chunks = drafts("Chapter", &TEXTS);
    let text = new_text(&chunks, Language::English);
    // Killed within the transaction that saves the text.
    let claim = claimed(store, id).await;
    let mut tx = store.system().await.unwrap();
    save_text(&mut tx, &claim, &text).await.unwrap();
    drop(tx);
    assert_eq!(count(&world, "chunks").await, 0);
    // Killed after it.
    expire(&world).await;
    let claim = claimed(store, id).await;
    assert!(
        store
            .with_system(async |tx| save_text(tx, &claim, &text).await)
            .await
            .unwrap()
    );
    // Killed between two batches of vectors.
    expire(&world).await;
    let claim = claimed(store, id).await;
    assert!(
        !store
            .with_system(async |tx| save_text(tx, &claim, &text).await)
            .await
            .unwrap(),
        "it is there"
    );
    let content = ContentKey {
        organization_id: claim.document.organization_id,
        sha256: claim.document.sha256.clone(),
    };
    let first = store
        .with_system(async |tx| embedding::list_unembedded(tx, &content, MODEL, 1).await)
        .await
        .unwrap();
    let vectors = [(first[0].id, library::vector_of(&first[0].text))];
    for _ in 0..2 {
        // Sent twice: the answer of the first was lost.
        store
            .with_system(async |tx| embedding::save_embeddings(tx, &claim, MODEL, &vectors).await)
            .await
            .unwrap();
    }
    expire(&world).await;
    let claim = claimed(store, id).await;
    embed_all(store, &claim).await;
    store
        .with_system(async |tx| ingestion::finish(tx, &claim).await)
        .await
        .unwrap();
    assert_eq!(count(&world, "chunks").await, 4);
    assert_eq!(count(&world, "chunk_embeddings").await, 3);
    let indexed: i32 = sqlx::query_scalar("select chunk_count from indexed_texts")
        .fetch_one(&mut world.superuser().await)
        .await
        .unwrap();
    assert_eq!(indexed, 3);
    let parts = parts(store, id).await;
    let texts: Vec<&str> = parts.iter().map(|chunk| chunk.text.as_str()).collect();
    assert_eq!(texts, TEXTS);
    let organization = world.owner.organization_id;
    let sha256 = &claim.document.sha256;
    assert!(
        parts
            .iter()
            .all(|chunk| chunk.parent_id == Some(chunk_id(organization, sha256, 0)))
    );
    assert_eq!(status(&world, id).await.status, DocumentStatus::Processed);
}

#[tokio::test]
async fn equal_documents_share_their_chunks_until_the_last_is_gone() {
    let world = World::new().await;
    let store = world.store();
    let (one, other) = (world.course("One").await.id, world.course("Other").await.id);
    let first = uploaded(&world, one, "a.md", "same").await;
    let second = uploaded(&world, other, "b.md", "same").await;
    let claim = claimed(store, first).await;
    let twin = store
        .with_system(async |tx| claim_next(tx, LEASE).await)
        .await
        .unwrap();
    assert_eq!(twin, None, "its twin is being read");
    let chunks = drafts("Chapter", &TEXTS);
    let text = new_text(&chunks, Language::English);
    store
        .with_system(async |tx| save_text(tx, &claim, &text).await)
        .await
        .unwrap();
    embed_all(store, &claim).await;
    store
        .with_system(async |tx| ingestion::finish(tx, &claim).await)
        .await
        .unwrap();
    let claim = claimed(store, second).await;
    assert!(
        !store
            .with_system(async |tx| save_text(tx, &claim, &text).await)
            .await
            .unwrap()
    );
    store
        .with_system(async |tx| ingestion::finish(tx, &claim).await)
        .await
        .unwrap();
    assert_eq!(count(&world, "chunks").await, 4);
    assert_eq!(parts(store, first).await, parts(store, second).await);
    store
        .with_tenant(&world.owner, async |tx| {
            document::delete_document(tx, first).await
        })
        .await
        .unwrap();
    assert_eq!(parts(store, second).await.len(), 3);
    let removed = store
        .with_tenant(&world.owner, async |tx| {
            store::course::delete_course(tx, other).await
        })
        .await;
    removed.unwrap();
    for table in [
        "document_texts",
        "chunks",
        "chunk_embeddings",
        "indexed_texts",
        "blobs",
        "documents",
    ] {
        assert_eq!(count(&world, table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_read_says_why_and_can_be_tried_again() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Economics").await.id;
    let id = uploaded(&world, course, "a.pdf", "one").await;
    let claim = claimed(store, id).await;
    store
        .with_system(async |tx| ingestion::fail(tx, &claim, "encrypted", "Remove the password.").await)
        .await
        .unwrap();
    let failed = status(&world, id).await;
    assert_eq!(failed.status, DocumentStatus::Failed);
    let failure = failed.failure.unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        ("encrypted", "Remove the password.")
    );
    // A generation does not go on as if there were no document: its first stage tells what is wrong with it.
    let started = world.start(course).await.unwrap();
    assert_eq!(started.stage, Stage::DocumentProcessing);
    assert!(world.reload(course).await.progress.has_documents);
    store
        .with_system(async |tx| ingestion::reopen(tx, id).await)
        .await
        .unwrap();
    assert_eq!(status(&world, id).await.failure, None);
    // Storage does not answer: not before a while, and at no cost of attempts.
    let claim = claimed(store, id).await;
    store
        .with_system(async |tx| ingestion::release(tx, &claim, Duration::from_secs(30)).await)
        .await
        .unwrap();
    let waits = store
        .with_system(async |tx| claim_document(tx, id, LEASE).await)
        .await;
    assert_eq!(waits.unwrap(), ClaimOutcome::Busy);
    expire(&world).await;
    claimed(store, id).await;
}

#[tokio::test]
async fn a_document_that_kills_its_readers_is_given_up() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Economics").await.id;
    let id = uploaded(&world, course, "bomb.pdf", "one").await;
    for _ in 0..5 {
        claimed(store, id).await;
        expire(&world).await;
    }
    let next = store.with_system(async |tx| claim_next(tx, LEASE).await).await;
    assert_eq!(next.unwrap(), None);
    let given_up = status(&world, id).await;
    assert_eq!(given_up.failure.unwrap().code, "worker_lost");
}

#[tokio::test]
async fn what_was_read_is_seen_by_whoever_sees_a_document_of_it() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Economics").await.id;
    let read = library::document(store, &world.owner, course, "a.md", &TEXTS).await;
    let other_instructor = colleague(store, &world.owner, Role::Instructor, "other@alpha.example").await;
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let student = colleague(store, &world.owner, Role::Student, "student@alpha.example").await;
    let stranger =
        crate::world::person(store, "Beta", domain::organization::Tier::Standard, Role::Admin).await;
    let ids: Vec<_> = parts(store, read.id).await.iter().map(|chunk| chunk.id).collect();
    for (actor, sees) in [
        (&world.owner, true),
        (&admin, true),
        (&other_instructor, false),
        (&student, false),
        (&stranger, false),
    ] {
        let seen = store
            .with_tenant(actor, async |tx| {
                let chunks = chunk::get_chunks(tx, &ids).await?.len();
                let of_course = chunk::list_course_chunks(tx, course).await?.len();
                let text = chunk::find_text(tx, read.id).await?.is_some();
                let vectors = embedding::get_embeddings(tx, MODEL, &ids).await?.len();
                let hits = store::search::search(tx, &store::search::Query::of(course, "price", 5))
                    .await?
                    .len();
                Ok((chunks, of_course, text, vectors, hits))
            })
            .await
            .unwrap();
        let expected = if sees {
            (3, 4, true, 3, 2)
        } else {
            (0, 0, false, 0, 0)
        };
        assert_eq!(seen, expected, "{:?}", actor.role);
    }
}

#[tokio::test]
async fn a_new_model_embeds_anew_what_was_read() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Economics").await.id;
    library::document(store, &world.owner, course, "a.md", &TEXTS).await;
    let claim = async |name: &'static str| {
        store
            .with_system(async move |tx| embedding::claim_outdated(tx, name, LEASE).await)
            .await
            .unwrap()
    };
    assert_eq!(claim(MODEL).await, None, "all is embedded");
    let content = claim("new").await.expect("nothing is embedded by the new model");
    assert_eq!(claim("new").await, None, "somebody is at it");
    let chunks = store
        .with_system(async |tx| embedding::list_unembedded(tx, &content, "new", 2).await)
        .await
        .unwrap();
    let vectors: Vec<_> = chunks.iter().map(|chunk| (chunk.id, vec![1.0, 0.0])).collect();
    store
        .with_system(async |tx| {
            embedding::save_background_embeddings(tx, &content, "new", &vectors).await?;
            embedding::free_outdated(tx, &content, "new").await
        })
        .await
        .unwrap();
    let rest = claim("new").await.expect("one is missing");
    let chunks = store
        .with_system(async |tx| embedding::list_unembedded(tx, &rest, "new", 10).await)
        .await
        .unwrap();
    assert_eq!(chunks.len(), 1);
    let vectors = [(chunks[0].id, vec![0.0, 1.0])];
    store
        .with_system(async |tx| {
            embedding::save_background_embeddings(tx, &rest, "new", &vectors).await?;
            embedding::free_outdated(tx, &rest, "new").await
        })
        .await
        .unwrap();
    assert_eq!(claim("new").await, None);
}

#[tokio::test]
async fn a_second_index_hears_what_is_gone() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Economics").await.id;
    let read = library::document(store, &world.owner, course, "a.md", &TEXTS).await;
    let content = ContentKey {
        organization_id: read.organization_id,
        sha256: read.sha256.clone(),
    };
    let vectors = store
        .with_system(async |tx| embedding::list_vectors(tx, &content, MODEL).await)
        .await
        .unwrap();
    assert_eq!(vectors.len(), 3);
    store
        .with_system(async |tx| embedding::complete_index(tx, &content, "qdrant:here", 3).await)
        .await
        .unwrap();
    let contents = store
        .with_system(async |tx| store::search::list_contents(tx, course, None, "qdrant:here").await)
        .await
        .unwrap();
    assert!(contents.iter().all(|indexed| indexed.is_complete));
    store
        .with_tenant(&world.owner, async |tx| {
            document::delete_document(tx, read.id).await
        })
        .await
        .unwrap();
    let removed = store
        .with_system(async |tx| embedding::list_removed_texts(tx, 10).await)
        .await
        .unwrap();
    assert_eq!(removed, std::slice::from_ref(&content));
    store
        .with_system(async |tx| embedding::forget_removed_text(tx, &content).await)
        .await
        .unwrap();
    assert_eq!(count(&world, "removed_texts").await, 0);
}
