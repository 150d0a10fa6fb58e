//! The smallest parts that chunks are put together from, and the sections that they stand in.

use std::borrow::Cow;

use domain::document::{BlockKind, DocumentBlock, DocumentText};

use super::{CHILD_TOKENS, OVERLAP_TOKENS, PARENT_TOKENS, sentences};

/// Paragraphs of at most so many tokens are never cut. Our own figure: two fill a child.
const WHOLE_PARAGRAPH_TOKENS: usize = 200;
/// Tables and program text of at most so many tokens are never cut. Our own figure: four parents.
const WHOLE_TABLE_TOKENS: usize = 4 * PARENT_TOKENS;

/// How a piece is joined to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glue {
    /// It begins a paragraph.
    Paragraph,
    /// It begins a line.
    Line,
    /// It goes on.
    Space,
}

impl Glue {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Paragraph => "\n\n",
            Self::Line => "\n",
            Self::Space => " ",
        }
    }
}

/// A part of the text that is never cut.
#[derive(Clone, Debug)]
pub(super) struct Piece<'t> {
    /// Its section.
    pub(super) section: usize,
    pub(super) text: Cow<'t, str>,
    pub(super) tokens: usize,
    pub(super) glue: Glue,
    pub(super) page: Option<u32>,
    /// It is a table or program text, or a part of one: nothing of it is repeated.
    pub(super) is_whole: bool,
}

/// What stands under one heading, up to the next.
#[derive(Debug)]
struct Section {
    path: Vec<String>,
    /// Tokens of each heading of the path, with its mark.
    tokens: Vec<usize>,
    /// The level of its heading; 0 before the first.
    level: u8,
}

/// A heading that is not ended yet.
struct OpenHeading<'t> {
    level: u8,
    block: &'t DocumentBlock,
    tokens: usize,
    /// Whether anything stands under it.
    has_text: bool,
}

impl Section {
    fn under(open: &[OpenHeading<'_>], level: u8) -> Self {
        Self {
            path: open.iter().map(|heading| heading.block.text.clone()).collect(),
            tokens: open.iter().map(|heading| heading.tokens).collect(),
            level,
        }
    }
}

/// A document in pieces.
#[derive(Debug)]
pub(super) struct Document<'t> {
    sections: Vec<Section>,
    pieces: Vec<Piece<'t>>,
}

impl<'t> Document<'t> {
    pub(super) fn of(text: &'t DocumentText, count_tokens: &dyn Fn(&str) -> usize) -> Self {
        let mut document = Self {
            sections: vec![Section::under(&[], 0)],
            pieces: Vec::new(),
        };
        let mut open: Vec<OpenHeading<'t>> = Vec::new();
        let mut before: Option<BlockKind> = None;
        for block in &text.blocks {
            if let BlockKind::Heading { level } = block.kind {
                document.close_headings(&mut open, level, count_tokens);
                open.push(OpenHeading {
                    level,
                    block,
                    tokens: count_tokens(&block.text) + 1,
                    has_text: false,
                });
                document.sections.push(Section::under(&open, level));
            } else {
                for heading in &mut open {
                    heading.has_text = true;
                }
                document.push_block(block, before, count_tokens);
            }
            before = Some(block.kind);
        }
        document.close_headings(&mut open, 0, count_tokens);
        document
    }

    pub(super) fn pieces(&self) -> &[Piece<'t>] {
        &self.pieces
    }

    /// Tokens of the headings that stand in a chunk between a section and the one before.
    pub(super) fn heading_tokens(&self, section: usize, before: usize) -> usize {
        let section = &self.sections[section];
        let known = shared(&section.path, &self.sections[before].path);
        section.tokens[known..].iter().sum()
    }

    /// Whether two sections stand under the same heading of the highest rank.
    pub(super) fn share_heading(&self, section: usize, other: usize) -> bool {
        shared(&self.sections[section].path, &self.sections[other].path) > 0
    }

    /// Whether a section's heading is of a higher rank than another's.
    pub(super) fn is_higher(&self, section: usize, other: usize) -> bool {
        self.sections[section].level < self.sections[other].level
    }

    /// The headings that all pieces stand under.
    pub(super) fn common_path(&self, pieces: &[Piece<'t>]) -> &[String] {
        let Some(first) = pieces.first() else {
            return &[];
        };
        let path = self.sections[first.section].path.as_slice();
        let mut length = path.len();
        let mut section = first.section;
        for piece in pieces {
            if piece.section != section {
                section = piece.section;
                length = length.min(shared(path, &self.sections[section].path));
            }
        }
        &path[..length]
    }

    /// The headings of a section as lines, without those that all of the chunk stands under and those that the section
    /// before shares.
    pub(super) fn headings_within(
        &self,
        section: usize,
        before: Option<usize>,
        common: usize,
    ) -> Vec<String> {
        let path = &self.sections[section].path;
        let known = before.map_or(common, |before| {
            common.max(shared(path, &self.sections[before].path))
        });
        (known..path.len())
            .map(|depth| format!("{} {}", "#".repeat((depth + 1).min(6)), path[depth]))
            .collect()
    }

    /// Ends headings down to a level. One that nothing stands under is a text of its own: no word is lost.
    fn close_headings(
        &mut self,
        open: &mut Vec<OpenHeading<'t>>,
        level: u8,
        count_tokens: &dyn Fn(&str) -> usize,
    ) {
        while let Some(heading) = open.pop_if(|heading| heading.level >= level) {
            if heading.has_text {
                continue;
            }
            for above in open.iter_mut() {
                above.has_text = true;
            }
            self.sections.push(Section::under(open, heading.level));
            self.pieces.push(Piece {
                section: self.sections.len() - 1,
                text: Cow::Borrowed(&heading.block.text),
                tokens: count_tokens(&heading.block.text),
                glue: Glue::Paragraph,
                page: heading.block.page,
                is_whole: true,
            });
        }
    }

    fn push_block(
        &mut self,
        block: &'t DocumentBlock,
        before: Option<BlockKind>,
        count_tokens: &dyn Fn(&str) -> usize,
    ) {
        let is_whole = matches!(block.kind, BlockKind::Table | BlockKind::Code);
        let goes_on = block.kind == BlockKind::ListItem && before == Some(BlockKind::ListItem);
        let mut glue = if goes_on { Glue::Line } else { Glue::Paragraph };
        let tokens = count_tokens(&block.text);
        let section = self.sections.len() - 1;
        let mut push = |text: Cow<'t, str>, tokens: usize, glue: Glue| {
            self.pieces.push(Piece {
                section,
                text,
                tokens,
                glue,
                page: block.page,
                is_whole,
            });
        };
        let uncut = if is_whole {
            WHOLE_TABLE_TOKENS
        } else {
            WHOLE_PARAGRAPH_TOKENS
        };
        if tokens <= uncut {
            push(Cow::Borrowed(&block.text), tokens, glue);
            return;
        }
        if is_whole {
            for part in table_parts(&block.text, count_tokens) {
                let tokens = count_tokens(&part);
                push(Cow::Owned(part), tokens, glue);
                glue = Glue::Line;
            }
            return;
        }
        let most = CHILD_TOKENS - OVERLAP_TOKENS;
        for sentence in sentences::split(&block.text) {
            for part in sentences::cut(sentence, most, count_tokens) {
                push(Cow::Borrowed(part), count_tokens(part), glue);
                glue = Glue::Space;
            }
        }
    }
}

/// A table or program text that is too large, in parts of whole lines. Parts of a table begin with its head.
fn table_parts(text: &str, count_tokens: &dyn Fn(&str) -> usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let head = match lines.as_slice() {
        [head, rule, ..] if rule.starts_with("| ---") => Some(format!("{head}\n{rule}")),
        _ => None,
    };
    let head_tokens = head.as_deref().map_or(0, count_tokens);
    let repeats_head = head_tokens <= OVERLAP_TOKENS * 2;
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut tokens = 0;
    for line in lines {
        for piece in sentences::cut(line, PARENT_TOKENS / 2, count_tokens) {
            let more = count_tokens(piece) + 1;
            if !part.is_empty() && tokens + more > PARENT_TOKENS {
                parts.push(std::mem::take(&mut part));
                tokens = 0;
                if let Some(head) = head.as_ref().filter(|_| repeats_head) {
                    part.push_str(head);
                    tokens = head_tokens;
                }
            }
            if !part.is_empty() {
                part.push('\n');
            }
            part.push_str(piece);
            tokens += more;
        }
    }
    parts.push(part);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn shared(one: &[String], other: &[String]) -> usize {
    one.iter()
        .zip(other)
        .take_while(|(one, other)| one == other)
        .count()
}
