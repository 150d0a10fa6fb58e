//! Reading of documents: resumed after a crash, shared between processes, searched in two indexes.

mod library;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::language::Language;
use pipeline::ingest::{IngestOutcome, ingest_course, ingest_next, reembed_next};
use pipeline::retrieval::{Piece, RetrieveOptions, retrieve, retrieve_for};
use store::chunk::find_text;
use store::document::DocumentStatus;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use library::{Beside, Halting, Library, Refusing, long_text, subject};

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
    let questions = [
        format!("{} explained", subject(7)),
        format!("{} words", subject(41)),
    ];
    let options = RetrieveOptions {
        limit: 6,
        ..RetrieveOptions::default()
    };
    let found = retrieve(&services, library.course, &questions, &options)
        .await
        .unwrap();
    assert_eq!(found.len(), 6);
    for word in [subject(7), subject(41)] {
        assert!(
            found[..2].iter().any(|one| one.chunk.text.contains(&word)),
            "{word}"
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
    let before = library.ask(&changed, &subject(41)).await;
    assert!(before[0].chunk.text.contains(&subject(41)), "found by its words");
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
    let after = library.ask(&changed, &subject(41)).await;
    assert!(after[0].chunk.text.contains(&subject(41)));
}

#[tokio::test]
async fn a_document_that_the_new_model_refuses_does_not_keep_the_others_waiting() {
    let library = Library::new(&[
        ("one.md", "# Animals\n\nThe zebra has stripes.".to_owned()),
        ("two.md", "# Animals\n\nThe lion has a mane.".to_owned()),
    ])
    .await;
    library.read_all(&library.usual()).await;
    let changed = library.services(Arc::new(Refusing("zebra")));
    let cancel = CancellationToken::new();
    assert!(reembed_next(&changed, &cancel).await.is_err());
    assert_eq!(reembed_next(&changed, &cancel).await.unwrap(), 1);
    assert_eq!(reembed_next(&changed, &cancel).await.unwrap(), 0);
}

#[tokio::test]
async fn a_second_index_ranks_where_it_has_everything_and_answers() {
    let mut library = Library::new(&[("long.md", long_text())]).await;
    library.read_all(&library.usual()).await;
    let question = format!("{} explained", subject(41));
    let alone = library.ask(&library.usual(), &question).await;
    let index = Arc::new(Beside::default());
    library.index = Some(Arc::clone(&index));
    let services = library.usual();
    library.ask(&services, &question).await;
    assert_eq!(index.searches.load(Ordering::SeqCst), 0, "it has nothing yet");
    let cancel = CancellationToken::new();
    while reembed_next(&services, &cancel).await.unwrap() > 0 {}
    let found = library.ask(&services, &question).await;
    assert_eq!(index.searches.load(Ordering::SeqCst), 1);
    assert!(found[0].chunk.text.contains(&subject(41)));
    index.is_down.store(true, Ordering::SeqCst);
    assert_eq!(
        library.ask(&services, &question).await,
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
