//! A document uploaded again under its name: what cites the older one follows, or is stale.

use std::collections::HashMap;

use domain::id::{ChunkId, CourseId, DocumentId};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::chunk::{Chunk, ChunkRow, list_document_chunks};
use crate::document::Document;
use crate::error::StoreError;
use crate::likeness::Runs;
use crate::statement::statements;
use crate::tx::SystemTx;
use crate::tx::sealed::Sealed;

statements! {
    LIST_OLDER = "select d.id, d.sha256 = $3 or exists (select from documents t where t.course_id = $1
                and t.organization_id = d.organization_id and t.sha256 = d.sha256 and t.filename <> d.filename) as stays
        from documents d where d.course_id = $1 and d.filename = $2 and d.id < $4 order by d.id for update";
    LIST_CITED = "select distinct k.id, k.organization_id, k.sha256, k.position, k.parent_position, k.heading_path,
            k.page_first, k.page_last, k.text, k.tokens
        from lesson_citations c join chunks k on k.id = c.chunk_id where c.document_id = $1";
    LIST_CITING = "select distinct l.lesson_number from lesson_citations c join lesson_contents l on l.id = c.lesson_id
        where c.course_id = $1 and c.chunk_id = any($2) order by 1";
    MOVE_CITATIONS = "update lesson_contents l set content = app.with_citations(l.content, $2),
            stale_since = case when l.lesson_number = any($4) then now() else l.stale_since end,
            stale_reason = case when l.lesson_number = any($4) then 'source_changed' else l.stale_reason end
        where l.course_id = $1 and l.id in (select c.lesson_id from lesson_citations c
            where c.course_id = $1 and c.chunk_id = any($3))";
    DELETE_OLDER = "delete from documents where id = any($1)";
}

/// What a document has replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// The older documents of its name; they are gone.
    pub documents: Vec<DocumentId>,
    /// Numbers of the lessons that cited what is not there any more.
    pub stale_lessons: Vec<u32>,
}

/// Lets `document`, which was read, take the place of older documents of its name in its course.
pub(super) async fn replace_older(tx: &mut SystemTx, document: &Document) -> Result<Replaced, StoreError> {
    let older: Vec<(Uuid, bool)> = sqlx::query_as(LIST_OLDER)
        .bind(document.course_id.as_uuid())
        .bind(&document.filename)
        .bind(&document.sha256)
        .bind(document.id.as_uuid())
        .fetch_all(tx.connection())
        .await?;
    let mut replaced = Replaced::default();
    let mut new = None;
    for (id, stays) in &older {
        if *stays {
            // The content itself stays in the course: nothing has changed, and the trigger names the document anew.
            continue;
        }
        let rows: Vec<ChunkRow> = sqlx::query_as(LIST_CITED)
            .bind(id)
            .fetch_all(tx.connection())
            .await?;
        if rows.is_empty() {
            continue;
        }
        if new.is_none() {
            new = Some(NewContent::of(list_document_chunks(tx, document.id).await?));
        }
        if let Some(new) = &new {
            let cited: Vec<Chunk> = rows.into_iter().map(ChunkRow::into_chunk).collect();
            let stale = move_citations(tx, document.course_id, &cited, new).await?;
            replaced.stale_lessons.extend(stale);
        }
    }
    let ids: Vec<Uuid> = older.into_iter().map(|(id, _)| id).collect();
    sqlx::query(DELETE_OLDER)
        .bind(&ids)
        .execute(tx.connection())
        .await?;
    replaced.documents = ids.into_iter().map(DocumentId::from_uuid).collect();
    replaced.stale_lessons.sort_unstable();
    replaced.stale_lessons.dedup();
    Ok(replaced)
}

/// Returns the lessons that cited what is not in the new content.
async fn move_citations(
    tx: &mut SystemTx,
    course_id: CourseId,
    cited: &[Chunk],
    new: &NewContent,
) -> Result<Vec<u32>, StoreError> {
    let mut successors = Map::new();
    let mut lost = Vec::new();
    for chunk in cited {
        let successor = new.successor(chunk);
        if successor.is_none() {
            lost.push(chunk.id.as_uuid());
        }
        let successor = successor.map_or(Value::Null, |id| Value::String(id.to_string()));
        successors.insert(chunk.id.to_string(), successor);
    }
    let stale: Vec<i32> = sqlx::query_scalar(LIST_CITING)
        .bind(course_id.as_uuid())
        .bind(&lost)
        .fetch_all(tx.connection())
        .await?;
    let ids: Vec<Uuid> = cited.iter().map(|chunk| chunk.id.as_uuid()).collect();
    sqlx::query(MOVE_CITATIONS)
        .bind(course_id.as_uuid())
        .bind(Value::Object(successors))
        .bind(ids)
        .bind(&stale)
        .execute(tx.connection())
        .await?;
    Ok(stale.into_iter().map(i32::cast_unsigned).collect())
}

/// The chunks of the new content, prepared for finding old texts in them.
struct NewContent {
    chunks: Vec<Chunk>,
    /// First chunk of each text and level (whether it is a part).
    by_text: HashMap<(String, bool), ChunkId>,
    /// Everything that is read, one space between words.
    whole: String,
}

impl NewContent {
    fn of(chunks: Vec<Chunk>) -> Self {
        let mut by_text = HashMap::new();
        for chunk in &chunks {
            by_text
                .entry((spaced(&chunk.text), chunk.parent_id.is_some()))
                .or_insert(chunk.id);
        }
        let parents = chunks.iter().filter(|chunk| chunk.parent_id.is_none());
        let whole = parents
            .map(|chunk| spaced(&chunk.text))
            .collect::<Vec<_>>()
            .join(" ");
        Self {
            chunks,
            by_text,
            whole,
        }
    }

    /// The chunk that says what `old` said; `None` if its text is not there any more. A text stays where a paragraph
    /// before it was added or removed, though the borders of the chunks have moved: then the chunk that has most of it.
    fn successor(&self, old: &Chunk) -> Option<ChunkId> {
        let text = spaced(&old.text);
        let is_part = old.parent_id.is_some();
        for level in [is_part, !is_part] {
            if let Some(id) = self.by_text.get(&(text.clone(), level)) {
                return Some(*id);
            }
        }
        if !self.whole.contains(&text) {
            return None;
        }
        let runs = Runs::of(&text);
        let same_level = self
            .chunks
            .iter()
            .filter(|chunk| chunk.parent_id.is_some() == is_part);
        same_level
            .map(|chunk| (runs.shared_with(&Runs::of(&chunk.text)), chunk.id))
            .max_by_key(|(shared, _)| *shared)
            .filter(|(shared, _)| *shared > 0)
            .map(|(_, id)| id)
    }
}

fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::OrganizationId;

    fn chunk(position: u32, parent: bool, text: &str) -> Chunk {
        Chunk {
            id: ChunkId::generate(),
            organization_id: OrganizationId::generate(),
            sha256: "00".repeat(32),
            position,
            parent_id: parent.then(ChunkId::generate),
            heading_path: vec![],
            page_first: None,
            page_last: None,
            text: text.to_owned(),
            tokens: 1,
        }
    }

    #[test]
    fn a_text_is_found_again_after_the_borders_have_moved() {
        let new = NewContent::of(vec![
            chunk(
                0,
                false,
                "A new paragraph. Demand falls when the price rises. Supply rises with the price.",
            ),
            chunk(1, true, "A new paragraph. Demand falls when"),
            chunk(2, true, "the price rises. Supply rises with the price."),
        ]);
        let same = chunk(1, true, "the  price rises.\nSupply rises with the price.");
        assert_eq!(new.successor(&same), Some(new.chunks[2].id));
        let moved = chunk(1, true, "Demand falls when the price rises. Supply");
        assert_eq!(new.successor(&moved), Some(new.chunks[2].id));
        let gone = chunk(1, true, "Demand rises when the price rises.");
        assert_eq!(new.successor(&gone), None);
    }
}
