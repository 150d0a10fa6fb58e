//! Search in the documents of a course: by words and by meaning, fused.
//!
//! Two rankings are made: by words (`text`) and by vectors (exact, HNSW, or given by a second index). They are fused by
//! reciprocal rank, so that neither's scale matters; near-copies are dropped.

mod text;

use std::collections::HashMap;

use domain::id::{ChunkId, CourseId, DocumentId, OrganizationId};
use uuid::Uuid;

use crate::chunk::{Chunk, get_chunks};
use crate::embedding::ContentKey;
use crate::error::StoreError;
use crate::likeness::Runs;
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, Tx};
use crate::vector::{self, EXACT_MOST, Searched, VectorSearch, hnsw};
#[cfg(feature = "testkit")]
pub(crate) use text::ALL as TEXT_ALL;

statements! {
    LIST_SCOPE = "select d.id, d.organization_id, d.sha256, d.filename, t.language, t.searched_count,
            coalesce(i.chunk_count, 0) as vector_count
        from documents d
        join document_texts t on t.organization_id = d.organization_id and t.sha256 = d.sha256
        left join indexed_texts i on i.organization_id = d.organization_id and i.sha256 = d.sha256
            and i.index_name = $2
        where d.course_id = $1 and d.status = 'processed' and ($3::uuid[] is null or d.id = any($3))
        order by d.id";
    INDEX_SIZES = "select c.relname::text, pg_table_size(c.oid) from pg_class c
        where c.relname in ('chunks', 'chunk_embeddings') or c.relkind = 'i' and c.oid in (
            select i.indexrelid from pg_index i
            where i.indrelid in ('public.chunks'::regclass, 'public.chunk_embeddings'::regclass))
        order by 1";
}

/// The constant of reciprocal rank fusion (Cormack, Clarke, Büttcher 2009).
const FUSION_CONSTANT: f64 = 60.0;
/// Places that each ranking brings into the fusion for every hit that is wanted, and at least.
const DEPTH_FACTOR: usize = 4;
const DEPTH_LEAST: usize = 50;
/// Texts that share so much of the shorter one are copies. Neighbouring chunks overlap by an eighth.
const COPY_CONTAINMENT: f64 = 0.9;

/// What is searched for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// In the documents of this course.
    pub course_id: CourseId,
    /// The question in words; empty: only its vector counts.
    pub text: &'a str,
    /// The model and the question's unit vector by it; chunks that this model has not embedded yet are found by their
    /// words alone. `None`: only words count.
    pub embedding: Option<(&'a str, &'a [f32])>,
    /// What a second index has found nearest, the nearest first; in place of `embedding`.
    pub ranked: Option<&'a [ChunkId]>,
    /// The most hits.
    pub limit: usize,
    /// Only in these documents.
    pub documents: Option<&'a [DocumentId]>,
}

impl<'a> Query<'a> {
    /// A question in words alone.
    pub const fn of(course_id: CourseId, text: &'a str, limit: usize) -> Self {
        Self {
            course_id,
            text,
            embedding: None,
            ranked: None,
            limit,
            documents: None,
        }
    }
}

/// A chunk that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The chunk.
    pub chunk: Chunk,
    /// The larger chunk that it is a part of.
    pub parent: Option<Chunk>,
    /// The course's document that has it; of equal ones the first.
    pub document_id: DocumentId,
    /// What its author calls it.
    pub filename: String,
    /// The fused score; comparable within one search alone.
    pub score: f64,
    /// Its place by meaning, from 1.
    pub vector_rank: Option<u32>,
    /// Its place by words, from 1.
    pub text_rank: Option<u32>,
}

/// Which document of a course has a content.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    document_id: DocumentId,
    filename: String,
    language: Option<String>,
    searched_count: usize,
    searched: Searched,
}

/// Contents of a course's documents that were read, each once, and how many of their chunks the index `name` has.
/// For asking a second index.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_contents(
    tx: &mut impl Tx,
    course_id: CourseId,
    documents: Option<&[DocumentId]>,
    name: &str,
) -> Result<Vec<IndexedContent>, StoreError> {
    let scope = list_scope(tx, course_id, documents, name).await?;
    Ok(scope
        .into_iter()
        .map(|part| IndexedContent {
            is_complete: part.searched.vectors >= part.searched_count,
            content: part.searched.content,
        })
        .collect())
}

/// A content and whether an index has all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedContent {
    /// The content.
    pub content: ContentKey,
    /// Whether all its searched chunks are in the index.
    pub is_complete: bool,
}

/// Sizes in bytes of what searching needs, by name: for measurements.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn index_sizes(tx: &mut SystemTx) -> Result<Vec<(String, u64)>, StoreError> {
    let sizes: Vec<(String, i64)> = sqlx::query_as(INDEX_SIZES).fetch_all(tx.connection()).await?;
    Ok(sizes
        .into_iter()
        .map(|(name, bytes)| (name, bytes.cast_unsigned()))
        .collect())
}

/// The chunks of a course's documents that answer the question best, the best first. A person finds only what is in
/// documents that this person may see.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn search(tx: &mut impl Tx, query: &Query<'_>) -> Result<Vec<Hit>, StoreError> {
    let model = query.embedding.map_or("", |(model, _)| model);
    let scope = list_scope(tx, query.course_id, query.documents, model).await?;
    if scope.is_empty() || query.limit == 0 {
        return Ok(Vec::new());
    }
    let depth = (query.limit * DEPTH_FACTOR).max(DEPTH_LEAST);
    // What may be seen was decided just now, document by document. From here on the program ranks: row-level security
    // would keep the index of words from being used, because its operator is not leakproof.
    tx.begin_ranking().await?;
    let by_vector = rank_by_vector(tx, query, &scope, depth).await?;
    let by_text = text::rank(tx.connection(), &scope, query.text, depth).await?;
    let hits = collect(tx, query.limit, &scope, &by_vector, &by_text).await;
    tx.end_ranking().await?;
    hits
}

async fn list_scope(
    tx: &mut impl Tx,
    course_id: CourseId,
    documents: Option<&[DocumentId]>,
    index_name: &str,
) -> Result<Vec<Scope>, StoreError> {
    let documents: Option<Vec<Uuid>> = documents.map(|ids| ids.iter().map(|id| id.as_uuid()).collect());
    let rows: Vec<ScopeRow> = sqlx::query_as(LIST_SCOPE)
        .bind(course_id.as_uuid())
        .bind(index_name)
        .bind(documents)
        .fetch_all(tx.connection())
        .await?;
    let mut scope: Vec<Scope> = rows.into_iter().map(ScopeRow::into_scope).collect();
    let mut seen = std::collections::HashSet::new();
    scope.retain(|part| seen.insert(part.searched.content.clone()));
    Ok(scope)
}

async fn rank_by_vector(
    tx: &mut impl Tx,
    query: &Query<'_>,
    scope: &[Scope],
    depth: usize,
) -> Result<Vec<ChunkId>, StoreError> {
    if let Some(ranked) = query.ranked {
        return Ok(ranked.to_vec());
    }
    let Some((model, question)) = query.embedding else {
        return Ok(Vec::new());
    };
    let contents: Vec<Searched> = scope.iter().map(|part| part.searched.clone()).collect();
    let chunks: usize = contents.iter().map(|searched| searched.vectors).sum();
    let vectors = std::sync::Arc::clone(tx.vectors());
    let is_indexed = matches!(vectors.search(), VectorSearch::Hnsw { .. }) && vectors.is_prepared(model);
    if is_indexed && chunks > EXACT_MOST {
        let ids = hnsw::search(tx.connection(), &contents, model, question, depth).await?;
        // A walk ends after so many steps (`hnsw.max_scan_tuples`): where the course is a small part of a large table,
        // it may have met too few of its chunks by then.
        if ids.len() >= depth.min(chunks) {
            return Ok(ids.into_iter().map(ChunkId::from_uuid).collect());
        }
    }
    let ids = vector::search_exactly(tx.connection(), &vectors, &contents, model, question, depth).await?;
    Ok(ids.into_iter().map(ChunkId::from_uuid).collect())
}

async fn collect(
    tx: &mut impl Tx,
    limit: usize,
    scope: &[Scope],
    by_vector: &[ChunkId],
    by_text: &[ChunkId],
) -> Result<Vec<Hit>, StoreError> {
    let fused = fuse(by_vector, by_text);
    let ids: Vec<ChunkId> = fused.iter().map(|place| place.id).collect();
    let documents: HashMap<&ContentKey, &Scope> =
        scope.iter().map(|part| (&part.searched.content, part)).collect();
    let mut hits: Vec<Hit> = Vec::with_capacity(limit);
    let mut copies = Copies::default();
    // Copies are dropped, so more may have to be read than are wanted.
    for (ids, places) in ids.chunks(limit).zip(fused.chunks(limit)) {
        let found: HashMap<ChunkId, Chunk> = get_chunks(tx, ids)
            .await?
            .into_iter()
            .map(|chunk| (chunk.id, chunk))
            .collect();
        for place in places {
            let Some(chunk) = found.get(&place.id) else {
                continue;
            };
            let content = ContentKey {
                organization_id: chunk.organization_id,
                sha256: chunk.sha256.clone(),
            };
            // A second index may know of more than this course.
            let Some(document) = documents.get(&content) else {
                continue;
            };
            if copies.has(&chunk.text) {
                continue;
            }
            hits.push(Hit {
                chunk: chunk.clone(),
                parent: None,
                document_id: document.document_id,
                filename: document.filename.clone(),
                score: place.score,
                vector_rank: place.vector_rank,
                text_rank: place.text_rank,
            });
            if hits.len() == limit {
                break;
            }
        }
        if hits.len() == limit {
            break;
        }
    }
    add_parents(tx, &mut hits).await?;
    Ok(hits)
}

/// Texts that were seen.
#[derive(Default)]
struct Copies(Vec<Runs>);

impl Copies {
    /// Whether a text like it was seen; if not, it is from now on.
    fn has(&mut self, text: &str) -> bool {
        let own = Runs::of(text);
        let is_copy = self
            .0
            .iter()
            .any(|other| own.containment(other) >= COPY_CONTAINMENT);
        if !is_copy {
            self.0.push(own);
        }
        is_copy
    }
}

/// `found` in its order, without what says the same as something before it.
pub fn without_copies<T>(found: Vec<T>, text: impl Fn(&T) -> &str) -> Vec<T> {
    let mut copies = Copies::default();
    found.into_iter().filter(|one| !copies.has(text(one))).collect()
}

async fn add_parents(tx: &mut impl Tx, hits: &mut [Hit]) -> Result<(), StoreError> {
    let mut ids: Vec<ChunkId> = hits.iter().filter_map(|hit| hit.chunk.parent_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let parents: HashMap<ChunkId, Chunk> = get_chunks(tx, &ids)
        .await?
        .into_iter()
        .map(|chunk| (chunk.id, chunk))
        .collect();
    for hit in hits {
        hit.parent = hit.chunk.parent_id.and_then(|id| parents.get(&id)).cloned();
    }
    Ok(())
}

struct Place {
    id: ChunkId,
    score: f64,
    vector_rank: Option<u32>,
    text_rank: Option<u32>,
}

/// Both rankings in one, the best first: a chunk's score is the sum of 1 / (60 + rank).
fn fuse(by_vector: &[ChunkId], by_text: &[ChunkId]) -> Vec<Place> {
    let mut places: HashMap<ChunkId, Place> = HashMap::new();
    let mut add = |ids: &[ChunkId], note: fn(&mut Place, u32)| {
        for (rank, id) in (1_u32..).zip(ids) {
            let place = places.entry(*id).or_insert(Place {
                id: *id,
                score: 0.0,
                vector_rank: None,
                text_rank: None,
            });
            place.score += 1.0 / (FUSION_CONSTANT + f64::from(rank));
            note(place, rank);
        }
    };
    add(by_vector, |place, rank| place.vector_rank = Some(rank));
    add(by_text, |place, rank| place.text_rank = Some(rank));
    let mut fused: Vec<Place> = places.into_values().collect();
    fused.sort_by(|one, other| other.score.total_cmp(&one.score).then(one.id.cmp(&other.id)));
    fused
}

#[derive(sqlx::FromRow)]
struct ScopeRow {
    id: Uuid,
    organization_id: Uuid,
    sha256: String,
    filename: String,
    language: Option<String>,
    searched_count: i32,
    vector_count: i32,
}

impl ScopeRow {
    fn into_scope(self) -> Scope {
        Scope {
            document_id: DocumentId::from_uuid(self.id),
            filename: self.filename,
            language: self.language,
            searched_count: usize::try_from(self.searched_count).unwrap_or(0),
            searched: Searched {
                content: ContentKey {
                    organization_id: OrganizationId::from_uuid(self.organization_id),
                    sha256: self.sha256,
                },
                vectors: usize::try_from(self.vector_count).unwrap_or(0),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_rankings_have_comes_first() {
        let ids: Vec<ChunkId> = (0..4).map(|_| ChunkId::generate()).collect();
        let fused = fuse(&[ids[0], ids[1], ids[2]], &[ids[3], ids[1]]);
        let order: Vec<ChunkId> = fused.iter().map(|place| place.id).collect();
        assert_eq!(order, [ids[1], ids[0], ids[3], ids[2]]);
        assert_eq!((fused[0].vector_rank, fused[0].text_rank), (Some(2), Some(2)));
        assert!((fused[1].score - 1.0 / 61.0).abs() < 1e-12);
    }
}
