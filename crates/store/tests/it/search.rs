//! Search in documents: by words of Russian and English, by vectors, fused.

use domain::id::{CourseId, DocumentId};
use store::search::{Hit, Query, search};

use crate::library::{self, MODEL, parts, vector_of};
use crate::world::World;

async fn find(world: &World, query: Query<'_>) -> Vec<Hit> {
    world
        .store()
        .with_system(async |tx| search(tx, &query).await)
        .await
        .unwrap()
}

async fn texts(world: &World, course: CourseId, question: &str) -> Vec<String> {
    let hits = find(world, Query::of(course, question, 10)).await;
    hits.into_iter().map(|hit| hit.chunk.text).collect()
}

async fn read(world: &World, course: CourseId, filename: &str, texts: &[&str]) -> DocumentId {
    library::document(world.store(), &world.owner, course, filename, texts)
        .await
        .id
}

#[tokio::test]
async fn words_are_found_in_every_form_in_russian_and_english() {
    let world = World::new().await;
    let course = world.course("Economics").await.id;
    read(
        &world,
        course,
        "рынок.md",
        &[
            "Спрос падает, когда растут цены товаров.",
            "Предложением управляют издержки производства.",
            "Ёмкость рынка велика.",
        ],
    )
    .await;
    read(
        &world,
        course,
        "market.md",
        &["Demand falls as prices are rising.", "Taxes burden buyers."],
    )
    .await;
    let first = async |question: &str| texts(&world, course, question).await.into_iter().next();
    assert!(first("цена товара").await.unwrap().starts_with("Спрос"));
    assert!(first("издержкам").await.unwrap().starts_with("Предложением"));
    assert!(first("емкости").await.unwrap().starts_with("Ёмкость"));
    assert!(first("a rising price").await.unwrap().starts_with("Demand"));
    assert!(first("the buyer was taxed").await.unwrap().starts_with("Taxes"));
    assert_eq!(first("zebra").await, None);
    assert_eq!(first("the of and").await, None, "these tell nothing");
    assert_eq!(first("'; drop table chunks; -- \\ ' | & !").await, None);
}

#[tokio::test]
async fn rare_words_and_headings_count_more() {
    let world = World::new().await;
    let course = world.course("Economics").await.id;
    read(
        &world,
        course,
        "elasticity.md",
        &[
            "The price of a good and the price of another good, price by price.",
            "The price of elasticity is never paid.",
            "A good has a price.",
            "Every good on the market has its price.",
        ],
    )
    .await;
    let found = texts(&world, course, "elasticity price").await;
    assert!(found[0].contains("elasticity is"), "{found:?}");
}

#[tokio::test]
async fn both_rankings_are_fused_and_each_may_be_missing() {
    let world = World::new().await;
    let course = world.course("Economics").await.id;
    let id = read(
        &world,
        course,
        "a.md",
        &[
            "Demand falls with dear goods.",
            "Supply rises.",
            "Zinc is a metal.",
        ],
    )
    .await;
    let question = vector_of("Zinc");
    let query = Query {
        embedding: Some((MODEL, &question)),
        ..Query::of(course, "demand", 3)
    };
    let hits = find(&world, query).await;
    assert_eq!(hits.len(), 3);
    let by = |start: &str| hits.iter().find(|hit| hit.chunk.text.starts_with(start)).unwrap();
    assert_eq!(by("Demand").text_rank, Some(1));
    assert_eq!(by("Zinc").vector_rank, Some(1));
    assert_eq!(by("Zinc").text_rank, None);
    assert!(by("Demand").vector_rank.is_some() && by("Demand").score > by("Supply").score);
    assert_eq!(hits[0].parent.as_ref().map(|parent| parent.position), Some(0));
    assert_eq!((hits[0].document_id, hits[0].filename.as_str()), (id, "a.md"));
    // Only vectors; a model that has embedded nothing; what a second index says.
    let query = Query {
        embedding: Some((MODEL, &question)),
        ..Query::of(course, "", 1)
    };
    assert!(find(&world, query).await[0].chunk.text.starts_with("Zinc"));
    let query = Query {
        embedding: Some(("another", &question)),
        ..Query::of(course, "demand", 3)
    };
    let hits = find(&world, query).await;
    assert!(hits.len() == 1 && hits[0].vector_rank.is_none());
    let supply = parts(world.store(), id).await[1].id;
    let query = Query {
        ranked: Some(&[supply]),
        ..Query::of(course, "", 3)
    };
    assert_eq!(find(&world, query).await[0].chunk.id, supply);
}

#[tokio::test]
async fn a_course_and_a_choice_of_documents_bound_the_search() {
    let world = World::new().await;
    let (course, other) = (world.course("One").await.id, world.course("Other").await.id);
    let one = read(&world, course, "one.md", &["Demand falls when the price rises."]).await;
    let two = read(
        &world,
        course,
        "two.md",
        &["Demand is a wish with money behind it."],
    )
    .await;
    read(
        &world,
        other,
        "three.md",
        &["Demand elsewhere is another matter."],
    )
    .await;
    let question = vector_of("demand");
    let wide = Query {
        embedding: Some((MODEL, &question)),
        ..Query::of(course, "demand", 10)
    };
    assert_eq!(find(&world, wide).await.len(), 2);
    for id in [one, two] {
        let hits = find(
            &world,
            Query {
                documents: Some(&[id]),
                ..wide
            },
        )
        .await;
        assert_eq!(hits.len(), 1);
        assert_eq!(hits[0].document_id, id);
    }
    assert!(
        find(
            &world,
            Query {
                documents: Some(&[]),
                ..wide
            }
        )
        .await
        .is_empty()
    );
    assert!(find(&world, Query { limit: 0, ..wide }).await.is_empty());
    // A second index may know too much.
    let foreign = parts(world.store(), one).await[0].id;
    let query = Query {
        ranked: Some(&[foreign]),
        ..Query::of(other, "", 10)
    };
    assert!(find(&world, query).await.is_empty());
}

#[tokio::test]
async fn copies_are_found_once() {
    let world = World::new().await;
    let course = world.course("One").await.id;
    let text = "Demand falls when the price of a good rises and nothing else changes.";
    let copy = "demand falls when the price of a good rises, and nothing else changes";
    read(&world, course, "one.md", &[text, "Supply is no demand."]).await;
    read(
        &world,
        course,
        "two.md",
        &[copy, "A market has demand and supply."],
    )
    .await;
    let found = texts(&world, course, "demand").await;
    assert_eq!(found.len(), 3, "{found:?}");
}

#[tokio::test]
async fn a_document_that_is_not_read_to_its_end_is_not_searched() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("One").await.id;
    let uploaded = crate::world::upload(store, &world.owner, course, "a.md", b"x").await;
    let claim = library::claimed(store, uploaded.document.id).await;
    let chunks = library::drafts("A", &["Demand falls."]);
    let text = library::new_text(&chunks, domain::language::Language::English);
    store
        .with_system(async |tx| store::chunk::save_text(tx, &claim, &text).await)
        .await
        .unwrap();
    assert!(texts(&world, course, "demand").await.is_empty());
    library::embed_all(store, &claim).await;
    store
        .with_system(async |tx| store::ingestion::finish(tx, &claim).await)
        .await
        .unwrap();
    assert_eq!(texts(&world, course, "demand").await.len(), 1);
}

#[tokio::test]
async fn how_vectors_are_searched_is_said() {
    let world = World::new().await;
    let said = world.store().vector_search().to_string();
    assert!(said.contains("exact"), "{said}");
    // Nothing to do without pgvector, and an index with it.
    world.store().prepare_vectors(MODEL, 32).await.unwrap();
}

#[tokio::test]
async fn words_are_found_in_a_course_of_many_documents() {
    let world = World::new().await;
    world
        .database
        .arrange("update tier_settings set max_files_per_course = 100")
        .await
        .unwrap();
    let course = world.course("Many").await.id;
    for number in 0..51 {
        let text = format!("Good{number} has a price.");
        read(&world, course, &format!("{number}.md"), &[&text]).await;
    }
    let other = world.course("Other").await.id;
    read(&world, other, "7.md", &["Good7 is of another course."]).await;
    let found = texts(&world, course, "the price of good7").await;
    assert_eq!(found[0], "Good7 has a price.");
    assert!(
        found.iter().all(|text| text.ends_with("has a price.")),
        "{found:?}"
    );
}
