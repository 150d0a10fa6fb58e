//! pgvector's HNSW index. It is optional: migrations never name it, and everything that does stands here.
//!
//! The statements are made here and not declared like all others, because they do not prepare where the extension is
//! missing, and because an index of half-precision vectors is made for one model and one length.

use domain::id::ChunkId;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::{Searched, VectorSearch};
use crate::embedding::from_bytes;
use crate::error::StoreError;

/// Half-precision vectors came with pgvector 0.7, walks through the graph that go on until the filter has let enough
/// pass with 0.8.
const OLDEST: (u32, u32) = (0, 8);
/// The longest vectors that pgvector's HNSW takes in half precision.
const DIMENSIONS_MOST: usize = 4000;
/// Candidates that a walk keeps (pgvector's `hnsw.ef_search`, default 40): recall against time, and at least as many as
/// a search returns.
const EF_SEARCH: usize = 100;
/// Vectors in one statement when older ones are brought into pgvector's form.
const FILL_AT_ONCE: i64 = 500;

/// Finds out whether pgvector can be used, and adds its column.
pub(super) async fn set_up(connection: &mut PgConnection) -> Result<VectorSearch, StoreError> {
    let Some(version) = find_version(connection).await? else {
        return Ok(exact("the server has no pgvector"));
    };
    if parse(&version) < OLDEST {
        return Ok(exact(&format!("pgvector {version} is older than 0.8")));
    }
    // Another process may install it at the same moment: what counts is whether it is there afterwards.
    if !is_usable(connection).await? {
        let made = sqlx::raw_sql("create extension if not exists vector")
            .execute(&mut *connection)
            .await;
        if !is_usable(connection).await? {
            tracing::debug!(error = ?made.err(), "pgvector cannot be installed");
            let advice = "there, but not installed where this user finds it: `create extension vector`";
            return Ok(exact(&format!("pgvector {version} is {advice}")));
        }
    }
    if has_column(connection).await? {
        return Ok(VectorSearch::Hnsw { version });
    }
    let added =
        sqlx::raw_sql("alter table public.chunk_embeddings add column if not exists embedding halfvec")
            .execute(&mut *connection)
            .await;
    match added {
        Ok(_) => Ok(VectorSearch::Hnsw { version }),
        Err(refused) => {
            tracing::warn!(error = %refused, "the column of pgvector cannot be added");
            Ok(exact("this user may not change the tables"))
        }
    }
}

async fn find_version(connection: &mut PgConnection) -> Result<Option<String>, StoreError> {
    let sql = "select coalesce(installed_version, default_version) from pg_available_extensions where name = 'vector'";
    Ok(sqlx::query_scalar(sql).fetch_optional(connection).await?)
}

async fn is_usable(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let sql = "select to_regtype('halfvec') is not null";
    Ok(sqlx::query_scalar(sql).fetch_one(connection).await?)
}

async fn has_column(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let sql = "select exists (select from pg_attribute where attrelid = 'public.chunk_embeddings'::regclass
        and attname = 'embedding' and not attisdropped)";
    Ok(sqlx::query_scalar(sql).fetch_one(connection).await?)
}

fn exact(reason: &str) -> VectorSearch {
    VectorSearch::Exact {
        reason: reason.to_owned(),
    }
}

fn parse(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Makes the index of a model, if it is not there. Readers and writers go on meanwhile. A try that was broken off
/// leaves an index that is not valid; it is made anew. Returns whether it is there: another process may be making it.
pub(crate) async fn prepare(
    connection: &mut PgConnection,
    model: &str,
    dimensions: usize,
) -> Result<bool, StoreError> {
    if dimensions > DIMENSIONS_MOST {
        tracing::warn!(
            model,
            dimensions,
            "vectors of this length are searched exactly: pgvector indexes none of them"
        );
        return Ok(false);
    }
    let name = index_name(model, dimensions);
    // Held until the connection is closed. Waiting for it would keep the other from ending: making an index beside
    // writers waits for all who might see the table without it.
    let is_ours: bool = sqlx::query_scalar("select pg_try_advisory_lock(hashtextextended($1, 0))")
        .bind(&name)
        .fetch_one(&mut *connection)
        .await?;
    if !is_ours {
        return Ok(false);
    }
    let is_valid: Option<bool> = sqlx::query_scalar(
        "select i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid where c.relname = $1",
    )
    .bind(&name)
    .fetch_optional(&mut *connection)
    .await?;
    if is_valid == Some(true) {
        return Ok(true);
    }
    if is_valid == Some(false) {
        let drop_broken = format!("drop index concurrently if exists public.{name}");
        sqlx::raw_sql(AssertSqlSafe(drop_broken))
            .execute(&mut *connection)
            .await?;
    }
    tracing::info!(model, dimensions, "the index of vectors is made");
    let create = format!(
        "create index concurrently if not exists {name} on public.chunk_embeddings \
         using hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops) where model = {} and embedding is not null",
        literal(model)
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(connection).await?;
    Ok(true)
}

/// Writes vectors in pgvector's form, too.
pub(crate) async fn fill(
    connection: &mut PgConnection,
    model: &str,
    vectors: &[(ChunkId, Vec<f32>)],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = vectors.iter().map(|(id, _)| id.as_uuid()).collect();
    let words: Vec<String> = vectors.iter().map(|(_, vector)| text_of(vector)).collect();
    sqlx::query(
        "update chunk_embeddings e set embedding = given.vector::halfvec
         from unnest($2::uuid[], $3::text[]) as given (chunk_id, vector)
         where e.chunk_id = given.chunk_id and e.model = $1 and e.embedding is null",
    )
    .bind(model)
    .bind(ids)
    .bind(words)
    .execute(connection)
    .await?;
    Ok(())
}

/// Brings some vectors that were stored without pgvector into its form. Returns how many.
pub(crate) async fn fill_missing(connection: &mut PgConnection, model: &str) -> Result<usize, StoreError> {
    let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
        "select chunk_id, vector from chunk_embeddings where model = $1 and embedding is null limit $2",
    )
    .bind(model)
    .bind(FILL_AT_ONCE)
    .fetch_all(&mut *connection)
    .await?;
    let vectors: Vec<(ChunkId, Vec<f32>)> = rows
        .iter()
        .map(|(id, bytes)| (ChunkId::from_uuid(*id), from_bytes(bytes)))
        .collect();
    fill(connection, model, &vectors).await?;
    Ok(vectors.len())
}

/// The chunks of `contents` that are nearest to `question`, approximately: HNSW may miss some.
pub(crate) async fn search(
    connection: &mut PgConnection,
    contents: &[Searched],
    model: &str,
    question: &[f32],
    limit: usize,
) -> Result<Vec<Uuid>, StoreError> {
    let dimensions = question.len();
    // The walk goes on until enough chunks of the wanted contents were met. A plan is made for this very model:
    // the index is one of this model's rows.
    let settings = format!(
        "set local hnsw.ef_search = {}; set local hnsw.iterative_scan = strict_order",
        EF_SEARCH.max(limit)
    );
    sqlx::raw_sql(AssertSqlSafe(settings))
        .execute(&mut *connection)
        .await?;
    let sql = format!(
        "select e.chunk_id from chunk_embeddings e
         where e.model = {} and e.embedding is not null
             and (e.organization_id, e.sha256) in (select * from unnest($1::uuid[], $2::text[]))
         order by e.embedding::halfvec({dimensions}) <=> $3::text::halfvec({dimensions}) limit $4",
        literal(model)
    );
    let (organizations, hashes): (Vec<Uuid>, Vec<&str>) = contents
        .iter()
        .map(|searched| {
            let content = &searched.content;
            (content.organization_id.as_uuid(), content.sha256.as_str())
        })
        .unzip();
    // Never kept prepared: after five times the server would plan for unknown contents, of which it expects so few that
    // it reads and sorts them all.
    Ok(sqlx::query_scalar(AssertSqlSafe(sql))
        .persistent(false)
        .bind(organizations)
        .bind(hashes)
        .bind(text_of(question))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?)
}

/// A name that every model has for itself and that fits into the 63 bytes of a name.
fn index_name(model: &str, dimensions: usize) -> String {
    let digest = Sha256::digest(model);
    format!("chunk_embeddings_hnsw_{}_{dimensions}", hex::encode(&digest[..6]))
}

fn text_of(vector: &[f32]) -> String {
    let numbers: Vec<String> = vector.iter().map(f32::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// A string constant of SQL; a model's name comes from the configuration.
fn literal(text: &str) -> String {
    format!(
        "E'{}'",
        text.replace('\0', "").replace('\\', "\\\\").replace('\'', "''")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(parse("0.8.6") >= OLDEST && parse("0.10.0") >= OLDEST && parse("1.0") >= OLDEST);
        assert!(parse("0.7.4") < OLDEST && parse("unknown") < OLDEST);
    }

    #[test]
    fn names_of_indexes_are_short_and_of_one_model() {
        let name = index_name(&"m".repeat(200), 384);
        assert!(name.len() < 63, "{name}");
        assert_ne!(name, index_name("m", 384));
        assert_ne!(index_name("m", 768), index_name("m", 384));
    }

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
    }
}
