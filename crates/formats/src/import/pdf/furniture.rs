//! Lines that stand on every page: the title of the book above, the publisher below.
//!
//! Only what is word for word the same on most pages is taken for such a line, and its first occurrence stays: a text
//! that repeats itself, as exercises do, loses nothing.

use std::collections::HashMap;

use domain::document::{BlockKind, DocumentBlock};

/// The longest line that is looked at, in characters.
const LONGEST: usize = 120;
/// Pages that it stands on, at least. Our own figure: two may be chance.
const FEWEST_PAGES: usize = 3;
/// Lines above and below the text of a page.
const LINES: usize = 2;

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Text,
    /// The first of the lines that are the same.
    Once,
    Again,
}

/// Leaves out what begins or ends at least half of the pages.
pub(super) fn without(mut blocks: Vec<DocumentBlock>) -> Vec<DocumentBlock> {
    let mut parts = vec![Part::Text; blocks.len()];
    for _ in 0..LINES {
        let texts: Vec<usize> = (0..blocks.len()).filter(|at| parts[*at] == Part::Text).collect();
        let ends = ends_of_pages(&blocks, &texts);
        let pages = ends.iter().filter(|(_, is_first)| *is_first).count();
        let mut places: HashMap<(&str, bool), Vec<usize>> = HashMap::new();
        for (at, is_first) in ends {
            let block = &blocks[at];
            let is_line = matches!(block.kind, BlockKind::Paragraph | BlockKind::Heading { .. });
            if is_line && block.text.chars().count() <= LONGEST {
                places.entry((&block.text, is_first)).or_default().push(at);
            }
        }
        for places in places.into_values() {
            if places.len() < FEWEST_PAGES || places.len() * 2 < pages {
                continue;
            }
            for (number, at) in places.into_iter().enumerate() {
                parts[at] = if number == 0 { Part::Once } else { Part::Again };
            }
        }
    }
    let mut parts = parts.into_iter();
    blocks.retain(|_| parts.next() != Some(Part::Again));
    blocks
}

/// Of these blocks the first and the last of each page, and which of both it is. A page of one block has a first only.
fn ends_of_pages(blocks: &[DocumentBlock], texts: &[usize]) -> Vec<(usize, bool)> {
    let page = |number: usize| texts.get(number).map(|at| blocks[*at].page);
    let mut ends = Vec::new();
    for (number, at) in texts.iter().enumerate() {
        if number == 0 || page(number - 1) != page(number) {
            ends.push((*at, true));
        } else if page(number + 1) != page(number) {
            ends.push((*at, false));
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str, page: u32) -> DocumentBlock {
        DocumentBlock {
            kind: BlockKind::Paragraph,
            text: text.to_owned(),
            page: Some(page),
        }
    }

    fn texts(blocks: Vec<DocumentBlock>) -> Vec<String> {
        without(blocks).into_iter().map(|block| block.text).collect()
    }

    #[test]
    fn lines_of_every_page_stay_once() {
        let page = |page: u32| {
            let body = format!("Text {page}");
            ["Book", "Chapter", &body, "Publisher"].map(|text| block(text, page))
        };
        let blocks: Vec<DocumentBlock> = (1..=4).flat_map(page).collect();
        assert_eq!(
            texts(blocks),
            [
                "Book",
                "Chapter",
                "Text 1",
                "Publisher",
                "Text 2",
                "Text 3",
                "Text 4"
            ]
        );
    }

    #[test]
    fn what_repeats_itself_elsewhere_stays() {
        let two = vec![block("Same", 1), block("a", 1), block("Same", 2), block("b", 2)];
        assert_eq!(texts(two), ["Same", "a", "Same", "b"]);
        let inside: Vec<DocumentBlock> = (1..=5)
            .flat_map(|page| {
                let (first, last) = (format!("Exercise {page}"), format!("End {page}"));
                [
                    block(&first, page),
                    block("Why?", page),
                    block("Why?", page),
                    block(&last, page),
                ]
            })
            .collect();
        assert_eq!(texts(inside.clone()).len(), inside.len());
    }
}
