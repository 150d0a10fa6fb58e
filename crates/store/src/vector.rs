//! Vector search: exact in this process, or approximate in PostgreSQL where pgvector is there.
//!
//! Courses of usual size are searched exactly, whatever the server has: their vectors are read once and kept in
//! memory. From [`EXACT_MOST`] chunks on, and only where the server offers pgvector, its HNSW index is asked
//! instead; without pgvector large courses are searched exactly, too.

mod cache;
pub(crate) mod hnsw;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::PgConnection;
use uuid::Uuid;

use crate::embedding::ContentKey;
use crate::error::StoreError;
use crate::statement::statements;
pub(crate) use cache::{ContentVectors, VectorCache};

statements! {
    LIST_CONTENT_VECTORS = "select e.organization_id, e.sha256, e.chunk_id, e.vector
        from unnest($1::uuid[], $2::text[]) as wanted (organization_id, sha256)
        join chunk_embeddings e on e.organization_id = wanted.organization_id and e.sha256 = wanted.sha256
            and e.model = $3
        order by e.organization_id, e.sha256";
}

/// Up to so many chunks in the searched documents the search is exact also where pgvector is there: it takes less time
/// than a filtered walk through the graph, and finds all. Our own measurement, docs/performance.md.
pub const EXACT_MOST: usize = 20_000;
/// Contents whose vectors are read in one statement: bounds the memory of a search that finds none of them kept.
const CONTENTS_AT_ONCE: usize = 64;

/// How vectors are searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VectorSearch {
    /// Exactly, in this process: the server has no pgvector, or not the right to use it.
    Exact {
        /// Why, for the operator.
        reason: String,
    },
    /// With pgvector where a course is large.
    Hnsw {
        /// The extension's version.
        version: String,
    },
}

impl fmt::Display for VectorSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { reason } => write!(f, "exact, in this process ({reason})"),
            Self::Hnsw { version } => write!(
                f,
                "pgvector {version}: HNSW from {EXACT_MOST} chunks a search on, exact below"
            ),
        }
    }
}

/// What a process knows for searching vectors.
#[derive(Debug)]
pub struct Vectors {
    search: VectorSearch,
    cache: VectorCache,
    /// Models whose HNSW index is known to be there.
    prepared: Mutex<Vec<String>>,
}

impl Vectors {
    /// Finds out what the server has, and sets up what is missing.
    pub(crate) async fn set_up(connection: &mut PgConnection) -> Result<Self, StoreError> {
        let search = hnsw::set_up(connection).await?;
        tracing::info!("vector search: {search}");
        Ok(Self {
            search,
            cache: VectorCache::default(),
            prepared: Mutex::new(Vec::new()),
        })
    }

    pub(crate) const fn search(&self) -> &VectorSearch {
        &self.search
    }

    /// Whether vectors are to be written in pgvector's form, too.
    pub(crate) const fn has_column(&self) -> bool {
        matches!(self.search, VectorSearch::Hnsw { .. })
    }

    pub(crate) fn is_prepared(&self, model: &str) -> bool {
        let prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.iter().any(|known| known == model)
    }

    pub(crate) fn note_prepared(&self, model: &str) {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.push(model.to_owned());
    }
}

/// A content that is searched, and how many vectors of the model the database has of it.
#[derive(Clone, Debug)]
pub(crate) struct Searched {
    pub(crate) content: ContentKey,
    pub(crate) vectors: usize,
}

/// The chunks of `contents` that are nearest to `question`, the nearest first, exactly. Vectors were rounded to half
/// precision when they were stored. The caller has made sure that the contents may be seen.
pub(crate) async fn search_exactly(
    connection: &mut PgConnection,
    vectors: &Vectors,
    contents: &[Searched],
    model: &str,
    question: &[f32],
    limit: usize,
) -> Result<Vec<Uuid>, StoreError> {
    let mut best = Best::new(limit);
    let mut missing = Vec::new();
    for searched in contents.iter().filter(|searched| searched.vectors > 0) {
        match vectors.cache.get(searched, model) {
            Some(found) => best.add(&found, question),
            None => missing.push(searched),
        }
    }
    for group in missing.chunks(CONTENTS_AT_ONCE) {
        for (key, loaded) in load(connection, group, model).await? {
            let loaded = Arc::new(loaded);
            best.add(&loaded, question);
            vectors.cache.put(key, model, loaded);
        }
    }
    Ok(best.into_ids())
}

async fn load(
    connection: &mut PgConnection,
    contents: &[&Searched],
    model: &str,
) -> Result<Vec<(ContentKey, ContentVectors)>, StoreError> {
    let organizations: Vec<Uuid> = contents
        .iter()
        .map(|searched| searched.content.organization_id.as_uuid())
        .collect();
    let hashes: Vec<&str> = contents
        .iter()
        .map(|searched| searched.content.sha256.as_str())
        .collect();
    let rows: Vec<(Uuid, String, Uuid, Vec<u8>)> = sqlx::query_as(LIST_CONTENT_VECTORS)
        .bind(organizations)
        .bind(hashes)
        .bind(model)
        .fetch_all(connection)
        .await?;
    let mut loaded: Vec<(ContentKey, ContentVectors)> = Vec::with_capacity(contents.len());
    for (organization, sha256, chunk, bytes) in rows {
        let is_next = loaded
            .last()
            .is_none_or(|(key, _)| key.organization_id.as_uuid() != organization || key.sha256 != sha256);
        if is_next {
            let key = ContentKey {
                organization_id: domain::id::OrganizationId::from_uuid(organization),
                sha256,
            };
            loaded.push((key, ContentVectors::default()));
        }
        if let Some((_, vectors)) = loaded.last_mut() {
            vectors.push(chunk, &bytes);
        }
    }
    Ok(loaded)
}

/// The nearest chunks seen so far.
struct Best {
    limit: usize,
    found: Vec<(f32, Uuid)>,
}

impl Best {
    const fn new(limit: usize) -> Self {
        Self {
            limit,
            found: Vec::new(),
        }
    }

    fn add(&mut self, vectors: &ContentVectors, question: &[f32]) {
        self.found.extend(
            vectors
                .iter(question.len())
                .map(|(id, vector)| (dot(vector, question), id)),
        );
        if self.found.len() > self.limit {
            self.found.select_nth_unstable_by(self.limit, nearer_first);
            self.found.truncate(self.limit);
        }
    }

    fn into_ids(mut self) -> Vec<Uuid> {
        self.found.sort_unstable_by(nearer_first);
        self.found.into_iter().map(|(_, id)| id).collect()
    }
}

/// Equal ones in the order of their ids, so that the same search gives the same answer.
fn nearer_first(one: &(f32, Uuid), other: &(f32, Uuid)) -> std::cmp::Ordering {
    other.0.total_cmp(&one.0).then(one.1.cmp(&other.1))
}

/// Numbers that are summed up side by side: as wide as AVX-512, and a multiple of all narrower units.
const LANES: usize = 16;

/// The cosine of unit vectors.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (ones, others) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest: f32 = ones
        .remainder()
        .iter()
        .zip(others.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in ones.zip(others) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_do_not_depend_on_the_length() {
        for length in [1_u16, 15, 16, 17, 384] {
            let one: Vec<f32> = (0..length).map(f32::from).collect();
            let expected: f32 = one.iter().map(|x| x * x).sum();
            assert!((dot(&one, &one) - expected).abs() <= expected * 1e-5, "{length}");
        }
    }
}
