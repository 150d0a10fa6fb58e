//! How long a search takes in 1 000 documents of 100 chunks each, and how large the indexes are.
//!
//! Texts are made of words with the frequencies of a natural language (Zipf), vectors of random directions around a
//! thousand subjects: as many and as long as real ones, without the hours of embedding. Embedding the question is not
//! counted.

use std::time::{Duration, Instant};

use domain::course::CourseRequest;
use domain::document::ChunkDraft;
use domain::id::{ChunkId, CourseId};
use domain::language::Language;
use domain::user::Actor;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use store::chunk::{NewText, save_text};
use store::course::insert_course;
use store::document::{NewDocument, finish_upload, reserve_upload};
use store::embedding::{ContentKey, list_unembedded, save_embeddings};
use store::ingestion::{claim_next, finish};
use store::search::{Query, index_sizes, search};
use store::tier::get_tier_settings;
use store::{Store, organization};

use crate::cli::table::{row, table};
use crate::failure::Failure;

const DOCUMENTS: usize = 1_000;
const CHUNKS: usize = 100;
/// Words of a chunk: 400 tokens.
const WORDS: usize = 300;
/// Different words; the commonest is every tenth.
const VOCABULARY: usize = 50_000;
/// Length of the vectors, that of the embedded model's.
const DIMENSIONS: usize = 384;
const SUBJECTS: usize = 1_000;
const MODEL: &str = "random directions";
/// Questions to the large course and to a usual one.
const QUESTIONS: usize = 200;
/// Documents of a usual course.
const USUAL_DOCUMENTS: usize = 10;

pub(super) async fn measure(store: &Store) -> Result<String, Failure> {
    let mut random = StdRng::seed_from_u64(1);
    let world = Made::new(&mut random);
    let actor = store
        .with_system(async |tx| organization::ensure_local_owner(tx).await)
        .await?;
    let large = course(store, &actor).await?;
    let usual = course(store, &actor).await?;
    let begun = Instant::now();
    for number in 0..DOCUMENTS {
        let place = if number < DOCUMENTS - USUAL_DOCUMENTS {
            large
        } else {
            usual
        };
        take_in(store, &actor, place, number, &world, &mut random).await?;
    }
    let taking_in = begun.elapsed();
    let begun = Instant::now();
    store.prepare_vectors(MODEL, DIMENSIONS).await?;
    let indexing = begun.elapsed();
    let sizes = store.with_system(async |tx| index_sizes(tx).await).await?;
    let mut rows = vec![row(["search in", "by", "first, ms", "median, ms", "p95, ms"])];
    for (name, course) in [
        ("990 documents, 99 000 chunks", large),
        ("10 documents, 1 000 chunks", usual),
    ] {
        for (way, with_words, with_vector) in [
            ("words", true, false),
            ("vectors", false, true),
            ("both", true, true),
        ] {
            let times = ask(store, course, &world, &mut random, with_words, with_vector).await?;
            let (first, median, p95) = times;
            let shown = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
            rows.push(row([name, way, &shown(first), &shown(median), &shown(p95)]));
        }
    }
    let mut shown = format!(
        "{} documents, {} chunks in one organization; vector search: {}\ntaken in within {:.0} s, vectors indexed within {:.0} s\n",
        DOCUMENTS,
        DOCUMENTS * CHUNKS,
        store.vector_search(),
        taking_in.as_secs_f64(),
        indexing.as_secs_f64()
    );
    shown.extend(
        sizes
            .into_iter()
            .map(|(name, bytes)| format!("  {name:<44} {:>8.1} MB\n", bytes as f64 / 1e6)),
    );
    Ok(format!("{shown}{}", table(&rows)))
}

/// What texts and vectors are made of.
struct Made {
    words: Vec<String>,
    /// For each word, how much of a text it and the more frequent ones are together.
    shares: Vec<f64>,
    subjects: Vec<Vec<f32>>,
}

impl Made {
    fn new(random: &mut StdRng) -> Self {
        let mut sum = 0.0;
        let mut shares: Vec<f64> = (0..VOCABULARY)
            .map(|rank| {
                sum += 1.0 / (rank as f64 + 1.0);
                sum
            })
            .collect();
        for share in &mut shares {
            *share /= sum;
        }
        Self {
            words: (0..VOCABULARY).map(|number| format!("w{number}x")).collect(),
            shares,
            subjects: (0..SUBJECTS).map(|_| direction(random)).collect(),
        }
    }

    fn text(&self, random: &mut StdRng, words: usize) -> String {
        let words: Vec<&str> = (0..words)
            .map(|_| {
                let share: f64 = random.random();
                let place = self.shares.partition_point(|upto| *upto < share);
                self.words[place.min(VOCABULARY - 1)].as_str()
            })
            .collect();
        words.join(" ")
    }

    /// A vector near one of the subjects.
    fn vector(&self, random: &mut StdRng) -> Vec<f32> {
        let subject = &self.subjects[random.random_range(0..SUBJECTS)];
        let own = direction(random);
        unit(subject.iter().zip(&own).map(|(a, b)| a + b).collect())
    }
}

fn direction(random: &mut StdRng) -> Vec<f32> {
    // Sums of evenly spread numbers are near enough to a normal distribution.
    let number = |random: &mut StdRng| (0..4).map(|_| random.random_range(-1.0_f32..1.0)).sum();
    unit((0..DIMENSIONS).map(|_| number(random)).collect())
}

fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.into_iter().map(|x| x / length).collect()
}

async fn course(store: &Store, actor: &Actor) -> Result<CourseId, Failure> {
    let (inputs, _) = CourseRequest {
        title: "A large collection".to_owned(),
        ..CourseRequest::default()
    }
    .check(Language::English)
    .map_err(|errors| Failure::inputs(&errors))?;
    let course = store
        .with_tenant(actor, async |tx| insert_course(tx, &inputs).await)
        .await?;
    Ok(course.id)
}

async fn take_in(
    store: &Store,
    actor: &Actor,
    course: CourseId,
    number: usize,
    world: &Made,
    random: &mut StdRng,
) -> Result<(), Failure> {
    let new = NewDocument {
        filename: format!("document {number}.md"),
        mime_type: "text/markdown".to_owned(),
        size_bytes: 1,
        sha256: hex::encode(Sha256::digest(number.to_string())),
    };
    let reservation = store
        .with_tenant(actor, async |tx| {
            let mut limits = get_tier_settings(tx, domain::organization::Tier::Premium).await?;
            limits.max_files_per_course = 10_000;
            reserve_upload(tx, course, 1, &limits).await
        })
        .await?;
    store
        .with_system(async |tx| finish_upload(tx, reservation.id, &new).await)
        .await?;
    let chunks: Vec<ChunkDraft> = (0..u32::try_from(CHUNKS).unwrap_or(0))
        .map(|position| ChunkDraft {
            position,
            parent: None,
            heading_path: vec![world.text(random, 4)],
            page_first: None,
            page_last: None,
            text: world.text(random, WORDS),
            tokens: 400,
        })
        .collect();
    let text = NewText {
        language: Some(Language::English),
        title: None,
        pages: 0,
        tokens: 400,
        outline: &[],
        warnings: &[],
        chunks: &chunks,
    };
    let claim = store
        .with_system(async |tx| claim_next(tx, Duration::from_mins(5)).await)
        .await?;
    let Some(claim) = claim else { return Ok(()) };
    let content = ContentKey {
        organization_id: claim.document.organization_id,
        sha256: claim.document.sha256.clone(),
    };
    let vectors: Vec<Vec<f32>> = (0..CHUNKS).map(|_| world.vector(random)).collect();
    store
        .with_system(async |tx| {
            save_text(tx, &claim, &text).await?;
            let chunks = list_unembedded(tx, &content, MODEL, CHUNKS).await?;
            let vectors: Vec<(ChunkId, Vec<f32>)> = chunks
                .iter()
                .map(|chunk| chunk.id)
                .zip(vectors.iter().cloned())
                .collect();
            save_embeddings(tx, &claim, MODEL, &vectors).await?;
            finish(tx, &claim).await
        })
        .await?;
    Ok(())
}

/// The time of the first search, and median and 95th percentile of the others.
async fn ask(
    store: &Store,
    course: CourseId,
    world: &Made,
    random: &mut StdRng,
    with_words: bool,
    with_vector: bool,
) -> Result<(Duration, Duration, Duration), Failure> {
    let mut times = Vec::with_capacity(QUESTIONS);
    for _ in 0..QUESTIONS {
        let words = if with_words {
            world.text(random, 8)
        } else {
            String::new()
        };
        let vector = world.vector(random);
        let query = Query {
            embedding: with_vector.then_some((MODEL, vector.as_slice())),
            ..Query::of(course, &words, 10)
        };
        let begun = Instant::now();
        let mut tx = store.system().await?;
        search(&mut tx, &query).await?;
        tx.commit().await?;
        times.push(begun.elapsed());
    }
    let first = times.remove(0);
    times.sort();
    Ok((first, times[times.len() / 2], times[times.len() * 95 / 100]))
}
