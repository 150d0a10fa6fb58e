//! Answers of one shape: pages of lists, and that something was done.

use schemars::JsonSchema;
use serde::Serialize;

/// Items of a page where the caller does not say.
const USUAL: u32 = 20;
/// The most items of a page.
pub(super) const MOST: u32 = 100;

/// A page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "{T}Page")]
pub(super) struct Page<T> {
    /// What is on it.
    items: Vec<T>,
    /// The `cursor` of the next page; null: this is the last one.
    next_cursor: Option<String>,
}

/// That it was done.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Done {
    /// Always true.
    success: bool,
}

impl Done {
    /// It was done.
    pub(super) const DONE: Self = Self { success: true };
}

/// How many rows to read for a page: one more than it holds, which tells whether there is another page.
pub(super) fn rows_for(limit: Option<u32>) -> u32 {
    limit.unwrap_or(USUAL).min(MOST) + 1
}

impl<T> Page<T> {
    /// A list that is short enough to be one page.
    pub(super) fn whole<R: Into<T>>(rows: Vec<R>) -> Self {
        Self {
            items: rows.into_iter().map(Into::into).collect(),
            next_cursor: None,
        }
    }

    /// The page of rows that were read with [`rows_for`]; `cursor` names a row.
    pub(super) fn of<R: Into<T>>(
        mut rows: Vec<R>,
        limit: Option<u32>,
        cursor: impl Fn(&R) -> String,
    ) -> Self {
        let size = rows_for(limit) as usize - 1;
        let has_more = rows.len() > size;
        rows.truncate(size);
        let next_cursor = rows.last().filter(|_| has_more).map(cursor);
        Self {
            items: rows.into_iter().map(Into::into).collect(),
            next_cursor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_page_has_no_next_one() {
        let page = |rows: u32| Page::<u32>::of((0..rows).collect::<Vec<u32>>(), Some(3), ToString::to_string);
        assert_eq!(page(4).next_cursor.as_deref(), Some("2"));
        assert_eq!(page(4).items, [0, 1, 2]);
        assert_eq!(page(3).next_cursor, None);
        assert_eq!(page(0).next_cursor, None);
    }
}
