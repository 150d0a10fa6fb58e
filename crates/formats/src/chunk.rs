//! Cuts a document into pieces that are found, read and cited: parents of about 1500 tokens, and inside them children of
//! about 400 that are searched (generation 3.1).
//!
//! Cuts follow the structure: between sections if they can, else between paragraphs, else between sentences, else
//! between words. Nothing is lost, and equal documents give equal chunks.

mod pieces;
mod sentences;
#[cfg(test)]
mod tests;

use domain::document::{ChunkDraft, DocumentText};

use self::pieces::{Document, Glue, Piece};

/// Tokens of a parent, at most, apart from tables and code.
const PARENT_TOKENS: usize = 1500;
/// A parent of so many tokens ends where a section of the same rank begins. Our own figure: half.
const PARENT_ENOUGH_TOKENS: usize = 750;
/// Tokens of a child, at most, apart from tables and code; its overlap is part of it.
const CHILD_TOKENS: usize = 400;
/// A child of so many tokens ends where a section begins. Our own figure: shorter ones say too little to be found.
const CHILD_ENOUGH_TOKENS: usize = 100;
/// Chunks of so many tokens, parents and children, are not put together with a section that shares no heading with them:
/// what a chunk is about would be lost. Our own figures.
const PARENT_ALONE_TOKENS: usize = 300;
const CHILD_ALONE_TOKENS: usize = 20;
/// Tokens that a child repeats of the one before it in the same section.
const OVERLAP_TOKENS: usize = 50;

/// How large chunks of one rank are.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    most: usize,
    enough: usize,
    alone: usize,
    /// What a chunk repeats of the one before.
    overlap: usize,
}

const PARENT: Sizes = Sizes {
    most: PARENT_TOKENS,
    enough: PARENT_ENOUGH_TOKENS,
    alone: PARENT_ALONE_TOKENS,
    overlap: 0,
};
const CHILD: Sizes = Sizes {
    most: CHILD_TOKENS,
    enough: CHILD_ENOUGH_TOKENS,
    alone: CHILD_ALONE_TOKENS,
    overlap: OVERLAP_TOKENS,
};

/// Cuts a document. `count_tokens` is that of the model that reads the chunks; it is asked several times for each text.
///
/// Tables and program text stay whole up to four parents; larger ones are cut between their lines. Each parent comes
/// before its children. Empty documents give no chunks.
pub fn chunk(text: &DocumentText, count_tokens: &dyn Fn(&str) -> usize) -> Vec<ChunkDraft> {
    let document = Document::of(text, count_tokens);
    let mut chunks: Vec<ChunkDraft> = Vec::new();
    for parent in runs(&document, document.pieces(), PARENT) {
        let position = position_after(&chunks);
        chunks.push(draft(&document, parent, "", position, None, count_tokens));
        let mut before: Option<&[Piece<'_>]> = None;
        for child in runs(&document, parent, CHILD) {
            let overlap = before
                .map(|before| overlap(before, child, count_tokens))
                .unwrap_or_default();
            let own = position_after(&chunks);
            chunks.push(draft(
                &document,
                child,
                &overlap,
                own,
                Some(position),
                count_tokens,
            ));
            before = Some(child);
        }
    }
    chunks
}

fn position_after(chunks: &[ChunkDraft]) -> u32 {
    u32::try_from(chunks.len()).unwrap_or(u32::MAX)
}

/// Consecutive pieces, put together up to a size.
fn runs<'p, 't>(document: &Document<'_>, pieces: &'p [Piece<'t>], sizes: Sizes) -> Vec<&'p [Piece<'t>]> {
    let mut runs = Vec::new();
    let mut start = 0;
    let mut tokens = 0;
    for (at, piece) in pieces.iter().enumerate() {
        let section_before = (at > start).then(|| pieces[at - 1].section);
        let new_section = section_before.filter(|before| *before != piece.section);
        let heading = new_section.map_or(0, |before| document.heading_tokens(piece.section, before));
        let repeated = if start > 0 { sizes.overlap } else { 0 };
        let is_full = tokens + heading + piece.tokens + repeated > sizes.most;
        let is_better_cut = new_section.is_some_and(|before| {
            tokens >= sizes.enough
                || document.is_higher(piece.section, pieces[start].section)
                || (tokens >= sizes.alone && !document.share_heading(piece.section, before))
        });
        if at > start && (is_full || is_better_cut) {
            runs.push(&pieces[start..at]);
            start = at;
            tokens = 0;
        }
        tokens += heading + piece.tokens;
    }
    if start < pieces.len() {
        runs.push(&pieces[start..]);
    }
    runs
}

/// What a child repeats of the one before: its last sentences, in the same section, where both are running text.
fn overlap(before: &[Piece<'_>], child: &[Piece<'_>], count_tokens: &dyn Fn(&str) -> usize) -> String {
    let Some(first) = child.first().filter(|first| !first.is_whole) else {
        return String::new();
    };
    let mut tokens = 0;
    let mut start = before.len();
    for piece in before.iter().rev() {
        if piece.section != first.section || piece.is_whole || tokens > OVERLAP_TOKENS {
            break;
        }
        tokens += piece.tokens;
        start -= 1;
    }
    let mut end = String::new();
    for piece in &before[start..] {
        separate(&mut end, piece.glue);
        end.push_str(&piece.text);
    }
    match sentences::ending(&end, OVERLAP_TOKENS, count_tokens) {
        "" => String::new(),
        ending => format!("{ending}{}", first.glue.as_str()),
    }
}

fn draft(
    document: &Document<'_>,
    pieces: &[Piece<'_>],
    overlap: &str,
    position: u32,
    parent: Option<u32>,
    count_tokens: &dyn Fn(&str) -> usize,
) -> ChunkDraft {
    let path = document.common_path(pieces);
    let mut text = String::new();
    let mut section = None;
    for piece in pieces {
        if section == Some(piece.section) {
            separate(&mut text, piece.glue);
        } else {
            // Headings that not all of the chunk stands under are part of its text.
            for line in document.headings_within(piece.section, section, path.len()) {
                separate(&mut text, Glue::Paragraph);
                text.push_str(&line);
            }
            separate(&mut text, Glue::Paragraph);
        }
        if section.is_none() {
            text.push_str(overlap);
        }
        section = Some(piece.section);
        text.push_str(&piece.text);
    }
    let pages = || pieces.iter().filter_map(|piece| piece.page);
    ChunkDraft {
        position,
        parent,
        heading_path: path.to_vec(),
        page_first: pages().min(),
        page_last: pages().max(),
        tokens: u32::try_from(count_tokens(&text)).unwrap_or(u32::MAX),
        text,
    }
}

/// Puts a separator behind a text that has begun.
fn separate(text: &mut String, glue: Glue) {
    if !text.is_empty() {
        text.push_str(glue.as_str());
    }
}
