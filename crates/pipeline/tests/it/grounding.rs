//! What a course rests on: the report at its end (generation 3.7).

use std::sync::Arc;

use domain::generation::GenerationScope;
use domain::stage::Stage;
use llm::card::Granularity;
use pipeline::JobOutcome;
use tokio_util::sync::CancellationToken;

use crate::shelf::{Shelf, labor, trade};
use crate::world::{World, obliging, request};

#[tokio::test]
async fn report_names_claims_without_support_unused_parts_and_unused_documents() {
    let world = World::new().await;
    let course = world.insert(&request()).await;
    let cats = "# Sleeping Cats\n\n## Naps\n\nCats nap on warm windowsills through most of every winter afternoon.\n";
    let shelf = Arc::new(
        Shelf::default()
            .with("cats.md", cats)
            .with("labor.md", &labor())
            .with("trade.md", &trade()),
    );
    for (name, content) in shelf.files() {
        world.upload(course, name, content).await;
    }
    // What is said passes every gate while the course is made; at its end likeness counts, as it did when the documents were
    // indexed.
    let lenient = world.reading_desk(Granularity::Section, obliging(), Arc::clone(&shelf) as _);
    let strict = world.strict_desk(Granularity::Section, obliging(), shelf);
    let generation = world.start(course, GenerationScope::Whole).await.unwrap();
    while let Some(job) = world.claim(generation).await {
        let desk = match job.job.stage {
            Stage::DocumentProcessing | Stage::Finalization => &strict,
            Stage::Analysis | Stage::Structure | Stage::Content => &lenient,
        };
        let outcome = desk.pipeline.run_job(&job, &CancellationToken::new()).await;
        assert!(matches!(outcome, JobOutcome::Finished { .. }), "{outcome:?}");
    }
    let report = world.course(course).await.quality.unwrap();
    let grounding = report.grounding.unwrap();
    assert_eq!(grounding.lessons.len(), 10);
    for lesson in &grounding.lessons {
        assert!(!lesson.cited_chunks.is_empty() && lesson.sentences > 0);
        // The scripted model quotes its sources first and then talks of nothing in particular.
        assert!(!lesson.unsupported.is_empty(), "{lesson:#?}");
        assert!(
            lesson.unsupported.len() < lesson.sentences as usize,
            "quoted sentences are borne out: {lesson:#?}"
        );
    }
    let judged = grounding
        .lessons
        .iter()
        .flat_map(|lesson| &lesson.unsupported)
        .filter_map(|claim| claim.judgement.as_deref());
    assert!(judged.clone().count() > 0);
    for judgement in judged {
        assert!(judgement.starts_with("not_in_sources: "), "{judgement}");
    }
    assert_eq!(report.documents.len(), 3);
    let of = |name: &str| {
        report
            .documents
            .iter()
            .find(|document| document.name == name)
            .unwrap()
    };
    assert!(of("trade.md").used_chunks > 0 && of("trade.md").used_chunks <= of("trade.md").chunks);
    for document in &report.documents {
        assert_eq!(
            document.used_chunks == 0,
            grounding
                .unused_documents
                .iter()
                .any(|unused| unused.name == document.name)
        );
        assert_eq!(
            document.used_chunks == document.chunks,
            document.unused_parts.is_empty()
        );
    }
}

#[tokio::test]
async fn course_without_documents_has_no_grounding() {
    let world = World::new().await;
    let desk = world.desk(Granularity::Section, obliging());
    let course = world.insert(&request()).await;
    let generation = world.start(course, GenerationScope::Whole).await.unwrap();
    world.run(&desk, generation).await.unwrap();
    let report = world.course(course).await.quality.unwrap();
    assert!(report.grounding.is_none() && report.documents.is_empty());
}
