//! Vectors of chunks, a set a model.

use std::time::Duration;

use domain::id::{ChunkId, OrganizationId};
use half::f16;
use uuid::Uuid;

use crate::chunk::{Chunk, ChunkRow};
use crate::error::StoreError;
use crate::ingestion::{self, Claim};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, Tx};
use crate::vector::hnsw;

statements! {
    LIST_UNEMBEDDED = "select c.id, c.organization_id, c.sha256, c.position, c.parent_position, c.heading_path,
            c.page_first, c.page_last, c.text, c.tokens
        from chunks c where c.organization_id = $1 and c.sha256 = $2 and c.search is not null
            and not exists (select from chunk_embeddings e where e.chunk_id = c.id and e.model = $3)
        order by c.position limit $4";
    INSERT_EMBEDDINGS = "with inserted as (
            insert into chunk_embeddings (chunk_id, model, organization_id, sha256, vector)
            select c.id, $3, c.organization_id, c.sha256, given.vector
            from unnest($4::uuid[], $5::bytea[]) as given (chunk_id, vector) join chunks c on c.id = given.chunk_id
            where c.organization_id = $1 and c.sha256 = $2
            on conflict do nothing returning chunk_id)
        insert into indexed_texts (organization_id, sha256, index_name, chunk_count)
        select $1, $2, $3, count(*) from inserted
        on conflict (organization_id, sha256, index_name)
            do update set chunk_count = indexed_texts.chunk_count + excluded.chunk_count";
    GET_EMBEDDINGS = "select e.chunk_id, e.vector
        from unnest($2::uuid[]) with ordinality as wanted (id, place)
        join chunk_embeddings e on e.chunk_id = wanted.id and e.model = $1 order by wanted.place";
    CLAIM_OUTDATED = "with next as (
            select t.organization_id, t.sha256 from document_texts t
            left join indexed_texts i on i.organization_id = t.organization_id and i.sha256 = t.sha256
                and i.index_name = $1
            where coalesce(i.chunk_count, 0) < t.searched_count
                and (i.claimed_until is null or i.claimed_until < now())
                and exists (select from documents d where d.organization_id = t.organization_id
                    and d.sha256 = t.sha256 and d.status = 'processed')
            order by t.created_at, t.sha256 limit 1)
        insert into indexed_texts (organization_id, sha256, index_name, claimed_until)
        select next.organization_id, next.sha256, $1, now() + make_interval(secs => $2) from next
        on conflict (organization_id, sha256, index_name) do update set claimed_until = excluded.claimed_until
            where indexed_texts.claimed_until is null or indexed_texts.claimed_until < now()
        returning organization_id, sha256";
    FREE_OUTDATED = "update indexed_texts set claimed_until = null
        where organization_id = $1 and sha256 = $2 and index_name = $3";
    LIST_VECTORS = "select c.id, c.position, e.vector from chunk_embeddings e join chunks c on c.id = e.chunk_id
        where e.organization_id = $1 and e.sha256 = $2 and e.model = $3 order by c.position";
    COMPLETE_INDEX = "insert into indexed_texts (organization_id, sha256, index_name, chunk_count) values ($1, $2, $3, $4)
        on conflict (organization_id, sha256, index_name)
            do update set chunk_count = excluded.chunk_count, claimed_until = null";
    LIST_REMOVED = "select organization_id, sha256 from removed_texts order by removed_at limit $1";
    FORGET_REMOVED = "delete from removed_texts where organization_id = $1 and sha256 = $2";
    IS_BACK = "select exists (select from document_texts where organization_id = $1 and sha256 = $2)";
}

/// A content of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContentKey {
    /// The organization.
    pub organization_id: OrganizationId,
    /// SHA-256 of the content, hexadecimal.
    pub sha256: String,
}

/// Searched chunks of a content that have no vector of `model` yet, in their order.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_unembedded(
    tx: &mut SystemTx,
    content: &ContentKey,
    model: &str,
    limit: usize,
) -> Result<Vec<Chunk>, StoreError> {
    let rows: Vec<ChunkRow> = sqlx::query_as(LIST_UNEMBEDDED)
        .bind(content.organization_id.as_uuid())
        .bind(&content.sha256)
        .bind(model)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(tx.connection())
        .await?;
    Ok(rows.into_iter().map(ChunkRow::into_chunk).collect())
}

/// Saves vectors of chunks of the claimed document, each of unit length. A chunk that has one keeps it.
///
/// # Errors
/// [`StoreError::LostClaim`] if the document is no longer the caller's: nothing is written.
pub async fn save_embeddings(
    tx: &mut SystemTx,
    claim: &Claim,
    model: &str,
    vectors: &[(ChunkId, Vec<f32>)],
) -> Result<(), StoreError> {
    ingestion::note_progress(tx, claim).await?;
    let content = ContentKey {
        organization_id: claim.document.organization_id,
        sha256: claim.document.sha256.clone(),
    };
    insert(tx, &content, model, vectors).await
}

/// Like [`save_embeddings`], for a content that was claimed with [`claim_outdated`].
///
/// # Errors
/// [`StoreError::NotFound`] if the content is gone.
pub async fn save_background_embeddings(
    tx: &mut SystemTx,
    content: &ContentKey,
    model: &str,
    vectors: &[(ChunkId, Vec<f32>)],
) -> Result<(), StoreError> {
    insert(tx, content, model, vectors).await
}

async fn insert(
    tx: &mut SystemTx,
    content: &ContentKey,
    model: &str,
    vectors: &[(ChunkId, Vec<f32>)],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = vectors.iter().map(|(id, _)| id.as_uuid()).collect();
    let halves: Vec<Vec<u8>> = vectors.iter().map(|(_, vector)| to_bytes(vector)).collect();
    sqlx::query(INSERT_EMBEDDINGS)
        .bind(content.organization_id.as_uuid())
        .bind(&content.sha256)
        .bind(model)
        .bind(&ids)
        .bind(halves)
        .execute(tx.connection())
        .await?;
    if tx.vectors().has_column() {
        hnsw::fill(tx.connection(), model, vectors).await?;
    }
    Ok(())
}

/// The vectors of these chunks by `model`, of those that have one, in the order of `ids`. They come back rounded to half
/// precision: a cosine is exact to about 0.001.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn get_embeddings(
    tx: &mut impl Tx,
    model: &str,
    ids: &[ChunkId],
) -> Result<Vec<(ChunkId, Vec<f32>)>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(GET_EMBEDDINGS)
        .bind(model)
        .bind(ids)
        .fetch_all(tx.connection())
        .await?;
    Ok(rows
        .into_iter()
        .map(|(id, bytes)| (ChunkId::from_uuid(id), from_bytes(&bytes)))
        .collect())
}

/// Claims for `lease` the content that has waited longest for the index `name` (a model, or a second index): one of a
/// document that was read, of which chunks are missing there. `None` if there is none.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn claim_outdated(
    tx: &mut SystemTx,
    name: &str,
    lease: Duration,
) -> Result<Option<ContentKey>, StoreError> {
    let row: Option<(Uuid, String)> = sqlx::query_as(CLAIM_OUTDATED)
        .bind(name)
        .bind(lease.as_secs_f64())
        .fetch_optional(tx.connection())
        .await?;
    Ok(row.map(into_key))
}

/// Ends [`claim_outdated`], so that the next batch may be anybody's.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn free_outdated(tx: &mut SystemTx, content: &ContentKey, name: &str) -> Result<(), StoreError> {
    sqlx::query(FREE_OUTDATED)
        .bind(content.organization_id.as_uuid())
        .bind(&content.sha256)
        .bind(name)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// All vectors of a content by `model`, in the order of the chunks: for a second index.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_vectors(
    tx: &mut SystemTx,
    content: &ContentKey,
    model: &str,
) -> Result<Vec<(ChunkId, Vec<f32>)>, StoreError> {
    let rows: Vec<(Uuid, i32, Vec<u8>)> = sqlx::query_as(LIST_VECTORS)
        .bind(content.organization_id.as_uuid())
        .bind(&content.sha256)
        .bind(model)
        .fetch_all(tx.connection())
        .await?;
    Ok(rows
        .into_iter()
        .map(|(id, _, bytes)| (ChunkId::from_uuid(id), from_bytes(&bytes)))
        .collect())
}

/// Notes that the second index `name` has `chunks` chunks of a content, and ends the claim on it.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn complete_index(
    tx: &mut SystemTx,
    content: &ContentKey,
    name: &str,
    chunks: usize,
) -> Result<(), StoreError> {
    sqlx::query(COMPLETE_INDEX)
        .bind(content.organization_id.as_uuid())
        .bind(&content.sha256)
        .bind(name)
        .bind(i32::try_from(chunks).unwrap_or(i32::MAX))
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Contents that are gone and may still be in a second index, those removed first.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_removed_texts(tx: &mut SystemTx, limit: u32) -> Result<Vec<ContentKey>, StoreError> {
    let rows: Vec<(Uuid, String)> = sqlx::query_as(LIST_REMOVED)
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    Ok(rows.into_iter().map(into_key).collect())
}

/// Whether a content that was removed has been uploaded and read again.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn is_text_back(tx: &mut SystemTx, content: &ContentKey) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(IS_BACK)
        .bind(content.organization_id.as_uuid())
        .bind(&content.sha256)
        .fetch_one(tx.connection())
        .await?)
}

/// The content is gone from the second index, too.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn forget_removed_text(tx: &mut SystemTx, content: &ContentKey) -> Result<(), StoreError> {
    sqlx::query(FORGET_REMOVED)
        .bind(content.organization_id.as_uuid())
        .bind(&content.sha256)
        .execute(tx.connection())
        .await?;
    Ok(())
}

fn into_key((organization, sha256): (Uuid, String)) -> ContentKey {
    ContentKey {
        organization_id: OrganizationId::from_uuid(organization),
        sha256,
    }
}

/// A vector as it is stored: half-precision numbers, little-endian.
pub(crate) fn to_bytes(vector: &[f32]) -> Vec<u8> {
    vector
        .iter()
        .flat_map(|number| f16::from_f32(*number).to_le_bytes())
        .collect()
}

/// The vector that was stored.
pub(crate) fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(2)
        .map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_vectors_keep_three_digits() {
        let vector: Vec<f32> = (0..384_u16).map(|place| f32::from(place).sin() / 14.0).collect();
        let back = from_bytes(&to_bytes(&vector));
        assert_eq!(back.len(), vector.len());
        for (was, is) in vector.iter().zip(&back) {
            assert!((was - is).abs() < 1e-4, "{was} {is}");
        }
    }
}
