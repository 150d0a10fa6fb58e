//! What the documents of a course say to a subject: hybrid search over several questions, within a budget of tokens.

use std::collections::{HashMap, HashSet};

use domain::id::{ChunkId, CourseId, DocumentId};
use domain::user::Actor;
use llm::provider::EmbeddingKind;
use llm::vector_index::IndexedContent;
use store::chunk::Chunk;
use store::error::StoreError;
use store::search::{Hit, Query, list_contents, search, without_copies};
use store::tx::Tx;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::context::Services;
use crate::error::PipelineError;
use crate::outline::teaches_nothing;
use crate::transaction::in_system;

/// The constant of reciprocal rank fusion, over the questions as in the search.
const FUSION_CONSTANT: f64 = 60.0;
/// Hits of each question that take part for every chunk that is wanted.
const DEPTH_FACTOR: usize = 2;
/// Places that a second index is asked for, for every hit of a question.
const INDEX_DEPTH_FACTOR: usize = 4;
/// Retrieved context of the largest prompts (generation 3.3).
const DEFAULT_TOKENS: u32 = 40_000;
/// Searches at once in one process. Each is work for a processor and holds a connection meanwhile: where a course's lessons
/// all search, heartbeats must still find one of the pool's ten.
const SEARCHES_AT_ONCE: usize = 4;
static SEARCHES: Semaphore = Semaphore::const_new(SEARCHES_AT_ONCE);
/// Chunks that a lesson gets (generation 3.1).
const DEFAULT_LIMIT: usize = 10;

/// How much of a document one finding is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Piece {
    /// The chunk that was found: about 400 tokens.
    #[default]
    Small,
    /// The larger chunk around it: about 1 500 tokens. Findings in the same one are one.
    Large,
}

/// What may be returned.
#[derive(Clone, Copy, Debug)]
pub struct RetrieveOptions<'a> {
    /// The most chunks.
    pub limit: usize,
    /// The most tokens, counted when the documents were read.
    pub max_tokens: u32,
    /// Only from these documents.
    pub documents: Option<&'a [DocumentId]>,
    /// How much of a document one finding is.
    pub piece: Piece,
}

impl Default for RetrieveOptions<'_> {
    fn default() -> Self {
        Self {
            limit: DEFAULT_LIMIT,
            max_tokens: DEFAULT_TOKENS,
            documents: None,
            piece: Piece::default(),
        }
    }
}

/// A chunk that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieved {
    /// The chunk.
    pub chunk: Chunk,
    /// The course's document that has it.
    pub document_id: DocumentId,
    /// What its author calls it.
    pub document: String,
    /// Comparable within one answer alone.
    pub score: f64,
}

/// What the course's documents say to `queries`, the most fitting first. The same questions to the same documents bring
/// the same answer, so that it can stand in prompts whose answers are kept.
///
/// # Errors
/// [`PipelineError`] if the embedding model or the database fails.
pub async fn retrieve(
    services: &Services,
    course_id: CourseId,
    queries: &[String],
    options: &RetrieveOptions<'_>,
) -> Result<Vec<Retrieved>, PipelineError> {
    let asked = embed(services, queries).await?;
    let contents = match &services.vector_index {
        Some(index) => {
            let name = index.name(services.models.embedder().model());
            in_system!(services.store, |tx| {
                list_contents(tx, course_id, options.documents, &name).await
            })?
        }
        None => Vec::new(),
    };
    let asked = rank_in_index(services, asked, &contents, options.limit).await;
    // The semaphore is never closed.
    let _place = SEARCHES.acquire().await;
    let hits = in_system!(services.store, |tx| {
        find(tx, services, course_id, &asked, options).await
    })?;
    Ok(choose(hits, options))
}

/// Like [`retrieve`], on behalf of a person: only documents that this person may see are searched.
///
/// # Errors
/// Those of [`retrieve`].
pub async fn retrieve_for(
    services: &Services,
    actor: &Actor,
    course_id: CourseId,
    queries: &[String],
    options: &RetrieveOptions<'_>,
) -> Result<Vec<Retrieved>, PipelineError> {
    let asked = embed(services, queries).await?;
    let mut tx = services.store.tenant(actor).await?;
    let contents = match &services.vector_index {
        Some(index) => {
            let name = index.name(services.models.embedder().model());
            list_contents(&mut tx, course_id, options.documents, &name).await?
        }
        None => Vec::new(),
    };
    tx.commit().await?;
    let asked = rank_in_index(services, asked, &contents, options.limit).await;
    let _place = SEARCHES.acquire().await;
    let mut tx = services.store.tenant(actor).await?;
    let hits = find(&mut tx, services, course_id, &asked, options).await?;
    tx.commit().await?;
    Ok(choose(hits, options))
}

/// A question on its way.
struct Asked<'a> {
    text: &'a str,
    vector: Vec<f32>,
    /// What a second index has found.
    ranked: Option<Vec<ChunkId>>,
}

async fn embed<'a>(services: &Services, queries: &'a [String]) -> Result<Vec<Asked<'a>>, PipelineError> {
    let vectors = services
        .models
        .embed(queries, EmbeddingKind::Query, &CancellationToken::new())
        .await
        .map_err(PipelineError::Embedding)?;
    Ok(queries
        .iter()
        .zip(vectors)
        .map(|(text, vector)| Asked {
            text,
            vector,
            ranked: None,
        })
        .collect())
}

/// Lets the second index rank, if it has all of what is searched and answers; else the database does.
async fn rank_in_index<'a>(
    services: &Services,
    mut asked: Vec<Asked<'a>>,
    contents: &[store::search::IndexedContent],
    limit: usize,
) -> Vec<Asked<'a>> {
    let Some(index) = &services.vector_index else {
        return asked;
    };
    if contents.is_empty() || contents.iter().any(|content| !content.is_complete) {
        return asked;
    }
    let model = services.models.embedder().model();
    let contents: Vec<IndexedContent> = contents
        .iter()
        .map(|indexed| IndexedContent {
            organization_id: indexed.content.organization_id,
            sha256: indexed.content.sha256.clone(),
        })
        .collect();
    let depth = limit * DEPTH_FACTOR * INDEX_DEPTH_FACTOR;
    for question in &mut asked {
        match index.search(model, &contents, &question.vector, depth).await {
            Ok(ranked) => question.ranked = Some(ranked),
            Err(error) => {
                tracing::warn!(%error, "the second index does not answer; the database is searched instead");
                break;
            }
        }
    }
    asked
}

/// The hits of each question.
async fn find(
    tx: &mut impl Tx,
    services: &Services,
    course_id: CourseId,
    asked: &[Asked<'_>],
    options: &RetrieveOptions<'_>,
) -> Result<Vec<Vec<Hit>>, StoreError> {
    let model = services.models.embedder().model();
    let mut all = Vec::with_capacity(asked.len());
    for question in asked {
        let query = Query {
            course_id,
            text: question.text,
            embedding: Some((model, &question.vector)),
            ranked: question.ranked.as_deref(),
            limit: options.limit * DEPTH_FACTOR,
            documents: options.documents,
        };
        all.push(search(tx, &query).await?);
    }
    Ok(all)
}

/// One ranking of all questions' hits, each chunk once, without copies, within the limits. What answers one question best
/// comes before what answers several a little: else texts that say something to everything would hide it.
fn choose(hits: Vec<Vec<Hit>>, options: &RetrieveOptions<'_>) -> Vec<Retrieved> {
    let mut found: HashMap<ChunkId, Retrieved> = HashMap::new();
    let mut best: HashSet<ChunkId> = HashSet::new();
    for hits in hits {
        let mut seen = Vec::new();
        for hit in hits {
            let chunk = match (options.piece, hit.parent) {
                (Piece::Large, Some(parent)) => parent,
                (Piece::Large, None) | (Piece::Small, _) => hit.chunk,
            };
            if seen.contains(&chunk.id) || teaches_nothing(&chunk.text) {
                continue;
            }
            if seen.is_empty() {
                best.insert(chunk.id);
            }
            seen.push(chunk.id);
            let rank = seen.len() as f64;
            let retrieved = found.entry(chunk.id).or_insert(Retrieved {
                chunk,
                document_id: hit.document_id,
                document: hit.filename,
                score: 0.0,
            });
            retrieved.score += 1.0 / (FUSION_CONSTANT + rank);
        }
    }
    let mut found: Vec<Retrieved> = found.into_values().collect();
    found.sort_by(|one, other| {
        best.contains(&other.chunk.id)
            .cmp(&best.contains(&one.chunk.id))
            .then(other.score.total_cmp(&one.score))
            .then(one.chunk.id.cmp(&other.chunk.id))
    });
    let mut left = options.max_tokens;
    let mut chosen = without_copies(found, |retrieved| &retrieved.chunk.text);
    chosen.retain(|retrieved| {
        // What does not fit gives way to what does.
        let fits = retrieved.chunk.tokens <= left;
        if fits {
            left -= retrieved.chunk.tokens;
        }
        fits
    });
    chosen.truncate(options.limit);
    chosen
}

#[cfg(test)]
mod tests {
    use domain::id::OrganizationId;

    use super::*;

    fn chunk(text: &str, tokens: u32, parent: Option<ChunkId>) -> Chunk {
        Chunk {
            id: ChunkId::generate(),
            organization_id: OrganizationId::generate(),
            sha256: "00".repeat(32),
            position: 0,
            parent_id: parent,
            heading_path: vec![],
            page_first: None,
            page_last: None,
            text: text.to_owned(),
            tokens,
        }
    }

    fn hit(chunk: &Chunk, parent: Option<&Chunk>) -> Hit {
        Hit {
            chunk: chunk.clone(),
            parent: parent.cloned(),
            document_id: DocumentId::from_uuid(chunk.organization_id.as_uuid()),
            filename: "a.md".to_owned(),
            score: 0.0,
            vector_rank: None,
            text_rank: None,
        }
    }

    fn ids(chosen: &[Retrieved]) -> Vec<ChunkId> {
        chosen.iter().map(|retrieved| retrieved.chunk.id).collect()
    }

    #[test]
    fn the_best_of_each_question_comes_first_then_what_several_find_and_the_budget_holds() {
        let one = chunk("Demand falls when the price rises", 400, None);
        let two = chunk("Supply rises with the price of the good", 300, None);
        let three = chunk("Loops repeat a block of code", 200, None);
        let four = chunk("Lists keep values in their order", 100, None);
        let hits = vec![
            vec![hit(&one, None), hit(&four, None), hit(&two, None)],
            vec![hit(&three, None), hit(&two, None), hit(&one, None)],
        ];
        let options = RetrieveOptions::default();
        let bare = chunk("Review Questions\n\nProblems", 5, None);
        assert_eq!(choose(vec![vec![hit(&bare, None)]], &options), []);
        let all = choose(hits.clone(), &options);
        assert_eq!(ids(&all), [one.id, three.id, two.id, four.id]);
        let tight = RetrieveOptions {
            max_tokens: 550,
            ..options
        };
        assert_eq!(
            ids(&choose(hits, &tight)),
            [one.id, four.id],
            "neither 200 nor 300 tokens fit beside 400"
        );
    }

    #[test]
    fn findings_in_the_same_larger_chunk_are_one() {
        let parent = chunk("Demand falls when the price rises. Supply rises.", 900, None);
        let (one, two) = (
            chunk("Demand falls", 10, Some(parent.id)),
            chunk("Supply rises", 10, Some(parent.id)),
        );
        let options = RetrieveOptions {
            piece: Piece::Large,
            ..RetrieveOptions::default()
        };
        let chosen = choose(
            vec![vec![hit(&one, Some(&parent)), hit(&two, Some(&parent))]],
            &options,
        );
        assert_eq!(ids(&chosen), [parent.id]);
    }
}
