//! Vectors of contents that were searched lately, kept in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::Searched;
use crate::embedding::{ContentKey, from_bytes};

/// Memory for vectors in one process: 170 000 of 384 dimensions. Contents used longest ago give way.
const CACHE_BYTES: usize = 256 * 1024 * 1024;

/// The vectors of a content by one model.
#[derive(Debug, Default)]
pub(crate) struct ContentVectors {
    ids: Vec<Uuid>,
    numbers: Vec<f32>,
}

impl ContentVectors {
    pub(super) fn push(&mut self, id: Uuid, bytes: &[u8]) {
        self.ids.push(id);
        self.numbers.extend(from_bytes(bytes));
    }

    /// The vectors, if they have this length: those of a model whose dimensions were changed are passed over.
    pub(super) fn iter(&self, dimensions: usize) -> impl Iterator<Item = (Uuid, &[f32])> {
        let fits = dimensions > 0 && self.numbers.len() == self.ids.len() * dimensions;
        let ids = if fits { self.ids.as_slice() } else { &[] };
        ids.iter()
            .copied()
            .zip(self.numbers.chunks_exact(dimensions.max(1)))
    }

    const fn len(&self) -> usize {
        self.ids.len()
    }

    const fn bytes(&self) -> usize {
        self.ids.len() * size_of::<Uuid>() + self.numbers.len() * size_of::<f32>()
    }
}

#[derive(Debug)]
struct Entry {
    vectors: Arc<ContentVectors>,
    used: u64,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<(ContentKey, String), Entry>,
    bytes: usize,
    clock: u64,
}

/// Vectors by content and model. What is kept is never wrong: the id of a chunk and its vector follow from content and
/// model, and a search says how many there must be.
#[derive(Debug, Default)]
pub(crate) struct VectorCache(Mutex<Kept>);

impl VectorCache {
    pub(super) fn get(&self, searched: &Searched, model: &str) -> Option<Arc<ContentVectors>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let now = kept.clock;
        let entry = kept
            .entries
            .get_mut(&(searched.content.clone(), model.to_owned()))?;
        if entry.vectors.len() != searched.vectors {
            // More were made since.
            return None;
        }
        entry.used = now;
        Some(Arc::clone(&entry.vectors))
    }

    pub(super) fn put(&self, content: ContentKey, model: &str, vectors: Arc<ContentVectors>) {
        let size = vectors.bytes();
        if size > CACHE_BYTES {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let entry = Entry {
            vectors,
            used: kept.clock,
        };
        if let Some(old) = kept.entries.insert((content, model.to_owned()), entry) {
            kept.bytes -= old.vectors.bytes();
        }
        kept.bytes += size;
        while kept.bytes > CACHE_BYTES {
            let oldest = kept
                .entries
                .iter()
                .min_by_key(|(_, entry)| entry.used)
                .map(|(key, _)| key.clone());
            let Some(gone) = oldest.and_then(|key| kept.entries.remove(&key)) else {
                break;
            };
            kept.bytes -= gone.vectors.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::id::OrganizationId;

    use super::*;
    use crate::embedding::to_bytes;

    fn searched(sha256: &str, vectors: usize) -> Searched {
        Searched {
            content: ContentKey {
                organization_id: OrganizationId::from_uuid(Uuid::nil()),
                sha256: sha256.to_owned(),
            },
            vectors,
        }
    }

    fn content(chunks: usize, dimensions: usize) -> Arc<ContentVectors> {
        let mut vectors = ContentVectors::default();
        let bytes = to_bytes(&vec![0.5; dimensions]);
        for _ in 0..chunks {
            vectors.push(Uuid::nil(), &bytes);
        }
        Arc::new(vectors)
    }

    #[test]
    fn what_is_outdated_is_not_found() {
        let cache = VectorCache::default();
        let one = searched("a", 2);
        cache.put(one.content.clone(), "m", content(2, 4));
        assert!(cache.get(&one, "m").is_some());
        assert!(cache.get(&searched("a", 3), "m").is_none(), "more were embedded");
        assert!(cache.get(&one, "other model").is_none());
    }

    #[test]
    fn memory_is_bounded_and_what_was_used_longest_ago_gives_way() {
        let cache = VectorCache::default();
        let chunks = CACHE_BYTES / 3 / (4 * 4096 + 16);
        for name in ["a", "b", "c"] {
            cache.put(searched(name, chunks).content, "m", content(chunks, 4096));
        }
        assert!(cache.get(&searched("a", chunks), "m").is_some());
        cache.put(searched("d", chunks).content, "m", content(chunks, 4096));
        assert!(cache.get(&searched("b", chunks), "m").is_none());
        assert!(cache.get(&searched("a", chunks), "m").is_some());
    }

    #[test]
    fn vectors_of_another_length_are_passed_over() {
        assert_eq!(content(2, 4).iter(4).count(), 2);
        assert_eq!(content(2, 4).iter(8).count(), 0);
    }
}
