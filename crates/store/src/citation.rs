//! What lessons cite. The table follows the lessons' texts by triggers; here it is read.

use domain::document::{CitedSource, excerpt};
use domain::id::CourseId;
use uuid::Uuid;

use crate::error::StoreError;
use crate::statement::statements;
use crate::tx::Tx;

statements! {
    LIST_SOURCES = "select distinct on (c.chunk_id) c.chunk_id, c.document_id, c.filename, c.page_first, c.page_last,
            c.heading_path, c.excerpt
        from lesson_citations c where c.course_id = $1 order by c.chunk_id, c.document_id";
}

/// What the lessons of a course cite, each chunk once, by document and page. Whoever reads the course may read it.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_sources(tx: &mut impl Tx, course_id: CourseId) -> Result<Vec<CitedSource>, StoreError> {
    let rows: Vec<SourceRow> = sqlx::query_as(LIST_SOURCES)
        .bind(course_id.as_uuid())
        .fetch_all(tx.connection())
        .await?;
    let mut sources: Vec<CitedSource> = rows.into_iter().map(SourceRow::into_source).collect();
    sources.sort_by(|one, other| {
        let key = |source: &CitedSource| {
            (
                source.document.clone(),
                source.page_first,
                source.heading_path.clone(),
                source.chunk_id.clone(),
            )
        };
        key(one).cmp(&key(other))
    });
    Ok(sources)
}

#[derive(sqlx::FromRow)]
struct SourceRow {
    chunk_id: Uuid,
    document_id: Uuid,
    filename: String,
    page_first: Option<i32>,
    page_last: Option<i32>,
    heading_path: Vec<String>,
    excerpt: String,
}

impl SourceRow {
    fn into_source(self) -> CitedSource {
        CitedSource {
            chunk_id: self.chunk_id.to_string(),
            document_id: self.document_id.to_string(),
            document: self.filename,
            page_first: self.page_first.map(i32::cast_unsigned),
            page_last: self.page_last.map(i32::cast_unsigned),
            heading_path: self.heading_path,
            excerpt: excerpt(&self.excerpt),
        }
    }
}
