//! Texts of documents and the chunks into which they are cut.
//!
//! They belong to the content, so that equal documents of an organization share them. The id of a chunk is made of its
//! place, so that reading a document twice, or going on after a crash, makes the same chunks.

use domain::document::{ChunkDraft, excerpt, searchable};
use domain::id::{ChunkId, CourseId, DocumentId, OrganizationId};
use domain::language::Language;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::StoreError;
use crate::ingestion::{self, Claim};
use crate::json::{from_json, from_word, to_json, to_text};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, Tx};

statements! {
    INSERT_TEXT = "insert into document_texts (organization_id, sha256, language, title, pages, tokens, chunk_count,
            searched_count, outline, warnings)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing";
    INSERT_CHUNKS = "insert into chunks (id, organization_id, sha256, position, parent_position, heading_path,
            page_first, page_last, text, tokens, search)
        select c.id, $1, $2, c.position, c.parent_position, c.heading_path, c.page_first, c.page_last, c.text, c.tokens,
            case when c.is_searched then
                setweight(app.words_of($3, array_to_string(c.heading_path, ' ')), 'A') || app.words_of($3, c.text) end
        from jsonb_to_recordset($4) as c (id uuid, position int, parent_position int, heading_path text[],
            page_first int, page_last int, text text, tokens int, is_searched boolean)";
    FIND_TEXT = "select t.language, t.title, t.pages, t.tokens, t.chunk_count, t.outline, t.warnings
        from document_texts t join documents d on d.organization_id = t.organization_id and d.sha256 = t.sha256
        where d.id = $1";
    LIST_OF_COURSE = "select c.id, c.organization_id, c.sha256, c.position, c.parent_position, c.heading_path,
            c.page_first, c.page_last, c.text, c.tokens
        from (select d.organization_id, d.sha256, min(d.id::text) as first from documents d
            where d.course_id = $1 and d.status = 'processed' group by 1, 2) as content
        join chunks c on c.organization_id = content.organization_id and c.sha256 = content.sha256
        order by content.first, c.position";
    LIST_OF_DOCUMENT = "select c.id, c.organization_id, c.sha256, c.position, c.parent_position, c.heading_path,
            c.page_first, c.page_last, c.text, c.tokens
        from documents d join chunks c on c.organization_id = d.organization_id and c.sha256 = d.sha256
        where d.id = $1 order by c.position";
    GET_CHUNKS = "select c.id, c.organization_id, c.sha256, c.position, c.parent_position, c.heading_path,
            c.page_first, c.page_last, c.text, c.tokens
        from unnest($1::uuid[]) with ordinality as wanted (id, place) join chunks c on c.id = wanted.id
        order by wanted.place";
}

/// A piece of a document that is found, read and cited as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its id: the same whenever the same content of the same organization is read.
    pub id: ChunkId,
    /// Its tenant.
    pub organization_id: OrganizationId,
    /// SHA-256 of its document's content, hexadecimal.
    pub sha256: String,
    /// Its place among the content's chunks, from 0.
    pub position: u32,
    /// The larger chunk that it is a part of.
    pub parent_id: Option<ChunkId>,
    /// The headings that it stands under, the highest first.
    pub heading_path: Vec<String>,
    /// The page on which it begins, from 1.
    pub page_first: Option<u32>,
    /// The page on which it ends.
    pub page_last: Option<u32>,
    /// Its text.
    pub text: String,
    /// Tokens of the text.
    pub tokens: u32,
}

impl Chunk {
    /// What is embedded of it: headings and text.
    pub fn searchable(&self) -> String {
        searchable(&self.heading_path, &self.text)
    }

    /// Its first words, as a citation shows them.
    pub fn excerpt(&self) -> String {
        excerpt(&self.text)
    }
}

/// A heading of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlineEntry {
    /// 1 is the highest.
    pub level: u8,
    /// The heading.
    pub heading: String,
}

/// What is known of a document's text, without the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredText {
    /// Its language, where it can be told.
    pub language: Option<Language>,
    /// The title that the file names.
    pub title: Option<String>,
    /// Pages or slides; 0 where the format has none.
    pub pages: u32,
    /// Tokens of the whole text.
    pub tokens: u32,
    /// Chunks, parents and children together.
    pub chunks: u32,
    /// Its headings in their order.
    pub outline: Vec<OutlineEntry>,
    /// What could not be read, as sentences for the author.
    pub warnings: Vec<String>,
}

/// A text that was just read.
#[derive(Clone, Copy, Debug)]
pub struct NewText<'a> {
    /// Its language, where it can be told.
    pub language: Option<Language>,
    /// The title that the file names.
    pub title: Option<&'a str>,
    /// Pages or slides; 0 where the format has none.
    pub pages: u32,
    /// Tokens of the whole text.
    pub tokens: u32,
    /// Its headings in their order.
    pub outline: &'a [OutlineEntry],
    /// What could not be read.
    pub warnings: &'a [String],
    /// Its chunks.
    pub chunks: &'a [ChunkDraft],
}

/// The id of a chunk: of its place in a content of an organization. A UUID of version 8 (RFC 9562).
pub fn chunk_id(organization_id: OrganizationId, sha256: &str, position: u32) -> ChunkId {
    let mut hash = Sha256::new();
    hash.update(b"chunk");
    hash.update(organization_id.as_uuid());
    hash.update(sha256);
    hash.update(position.to_be_bytes());
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    ChunkId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// Saves the text of the claimed document with all its chunks, unless an equal document has brought them already.
/// Returns whether it was new. Either all chunks are there afterwards, each once, or nothing is written.
///
/// # Errors
/// [`StoreError::LostClaim`] if the document is no longer the caller's.
pub async fn save_text(tx: &mut SystemTx, claim: &Claim, text: &NewText<'_>) -> Result<bool, StoreError> {
    ingestion::fence(tx, claim).await?;
    let (organization, sha256) = (claim.document.organization_id, &claim.document.sha256);
    let searched = searched(text.chunks);
    // A twin that is being saved at the same moment is waited for here.
    let inserted = sqlx::query(INSERT_TEXT)
        .bind(organization.as_uuid())
        .bind(sha256)
        .bind(text.language.map(Language::code))
        .bind(text.title.map(to_text))
        .bind(text.pages.cast_signed())
        .bind(text.tokens.cast_signed())
        .bind(count(text.chunks.len()))
        .bind(count(searched.iter().filter(|is_searched| **is_searched).count()))
        .bind(to_json(&text.outline, "outline")?)
        .bind(to_json(&text.warnings, "warnings")?)
        .execute(tx.connection())
        .await?;
    if inserted.rows_affected() == 0 {
        return Ok(false);
    }
    for (chunks, searched) in text
        .chunks
        .chunks(CHUNKS_PER_STATEMENT)
        .zip(searched.chunks(CHUNKS_PER_STATEMENT))
    {
        let rows: Vec<Value> = chunks
            .iter()
            .zip(searched)
            .map(|(chunk, is_searched)| row(organization, sha256, chunk, *is_searched))
            .collect();
        sqlx::query(INSERT_CHUNKS)
            .bind(organization.as_uuid())
            .bind(sha256)
            .bind(text.language.map(Language::code))
            .bind(to_json(&rows, "chunks")?)
            .execute(tx.connection())
            .await?;
    }
    Ok(true)
}

/// Chunks in one statement: about 2 MB of JSON.
const CHUNKS_PER_STATEMENT: usize = 500;

/// Which chunks are searched: those without parts.
fn searched(chunks: &[ChunkDraft]) -> Vec<bool> {
    let parents: std::collections::HashSet<u32> = chunks.iter().filter_map(|chunk| chunk.parent).collect();
    chunks
        .iter()
        .map(|chunk| !parents.contains(&chunk.position))
        .collect()
}

fn row(organization: OrganizationId, sha256: &str, chunk: &ChunkDraft, is_searched: bool) -> Value {
    json!({
        "id": chunk_id(organization, sha256, chunk.position),
        "position": chunk.position,
        "parent_position": chunk.parent,
        "heading_path": chunk.heading_path,
        "page_first": chunk.page_first,
        "page_last": chunk.page_last,
        "text": chunk.text,
        "tokens": chunk.tokens,
        "is_searched": is_searched,
    })
}

fn count(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// What is known of the document's text, once it was read.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn find_text(tx: &mut impl Tx, document_id: DocumentId) -> Result<Option<StoredText>, StoreError> {
    let row: Option<TextRow> = sqlx::query_as(FIND_TEXT)
        .bind(document_id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.map(TextRow::into_text).transpose()
}

/// What is known of the document's text.
///
/// # Errors
/// [`StoreError::NotFound`] if it was not read yet, or is invisible.
pub async fn get_text(tx: &mut impl Tx, document_id: DocumentId) -> Result<StoredText, StoreError> {
    find_text(tx, document_id)
        .await?
        .ok_or_else(|| StoreError::NotFound {
            what: "text of document",
            key: document_id.to_string(),
        })
}

/// Chunks of all documents of a course that were read, parents and children, document by document. Equal documents
/// count once.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_course_chunks(tx: &mut impl Tx, course_id: CourseId) -> Result<Vec<Chunk>, StoreError> {
    list(tx, LIST_OF_COURSE, course_id.as_uuid()).await
}

/// Chunks of a document, parents and children, in their order.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_document_chunks(
    tx: &mut impl Tx,
    document_id: DocumentId,
) -> Result<Vec<Chunk>, StoreError> {
    list(tx, LIST_OF_DOCUMENT, document_id.as_uuid()).await
}

async fn list(tx: &mut impl Tx, statement: &'static str, id: Uuid) -> Result<Vec<Chunk>, StoreError> {
    let rows: Vec<ChunkRow> = sqlx::query_as(statement)
        .bind(id)
        .fetch_all(tx.connection())
        .await?;
    Ok(rows.into_iter().map(ChunkRow::into_chunk).collect())
}

/// The chunks with these ids that are there and visible, in the order of `ids`.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn get_chunks(tx: &mut impl Tx, ids: &[ChunkId]) -> Result<Vec<Chunk>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<ChunkRow> = sqlx::query_as(GET_CHUNKS)
        .bind(ids)
        .fetch_all(tx.connection())
        .await?;
    Ok(rows.into_iter().map(ChunkRow::into_chunk).collect())
}

#[derive(sqlx::FromRow)]
pub(crate) struct ChunkRow {
    id: Uuid,
    organization_id: Uuid,
    sha256: String,
    position: i32,
    parent_position: Option<i32>,
    heading_path: Vec<String>,
    page_first: Option<i32>,
    page_last: Option<i32>,
    text: String,
    tokens: i32,
}

impl ChunkRow {
    pub(crate) fn into_chunk(self) -> Chunk {
        let organization_id = OrganizationId::from_uuid(self.organization_id);
        Chunk {
            id: ChunkId::from_uuid(self.id),
            organization_id,
            position: self.position.cast_unsigned(),
            parent_id: self
                .parent_position
                .map(|position| chunk_id(organization_id, &self.sha256, position.cast_unsigned())),
            sha256: self.sha256,
            heading_path: self.heading_path,
            page_first: self.page_first.map(i32::cast_unsigned),
            page_last: self.page_last.map(i32::cast_unsigned),
            text: self.text,
            tokens: self.tokens.cast_unsigned(),
        }
    }
}

#[derive(sqlx::FromRow)]
struct TextRow {
    language: Option<String>,
    title: Option<String>,
    pages: i32,
    tokens: i32,
    chunk_count: i32,
    outline: Value,
    warnings: Value,
}

impl TextRow {
    fn into_text(self) -> Result<StoredText, StoreError> {
        Ok(StoredText {
            language: self
                .language
                .map(|code| from_word(code, "language"))
                .transpose()?,
            title: self.title,
            pages: self.pages.cast_unsigned(),
            tokens: self.tokens.cast_unsigned(),
            chunks: self.chunk_count.cast_unsigned(),
            outline: from_json(self.outline, "outline")?,
            warnings: from_json(self.warnings, "warnings")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_chunk_is_that_of_its_place() {
        let (one, other) = (OrganizationId::generate(), OrganizationId::generate());
        let id = chunk_id(one, "aa", 3);
        assert_eq!(id, chunk_id(one, "aa", 3));
        for different in [
            chunk_id(other, "aa", 3),
            chunk_id(one, "ab", 3),
            chunk_id(one, "aa", 4),
        ] {
            assert_ne!(id, different);
        }
        assert_eq!(id.as_uuid().get_version_num(), 8);
    }
}
