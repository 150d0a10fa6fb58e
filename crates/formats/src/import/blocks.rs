//! Where all readers put what they find: cleaned, counted, in order.

use domain::document::{BlockKind, DocumentBlock, DocumentText};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::limits::ImportLimits;
use super::{Excess, ImportError};

/// Longer headings are paragraphs that look like headings. The longest title of a section may have 600 characters
/// (data model 2.1); those of books rarely have 200.
const LONGEST_HEADING: usize = 300;

/// The blocks of a document, while it is read.
#[derive(Debug)]
pub(super) struct Blocks<'l> {
    limits: &'l ImportLimits,
    found: Vec<DocumentBlock>,
    characters: usize,
    /// The page of what comes next.
    pub(super) page: Option<u32>,
}

impl<'l> Blocks<'l> {
    pub(super) const fn new(limits: &'l ImportLimits) -> Self {
        Self {
            limits,
            found: Vec::new(),
            characters: 0,
            page: None,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.found.len()
    }

    /// Adds a block on the current page; blank text is none.
    pub(super) fn push(&mut self, kind: BlockKind, text: &str) -> Result<(), ImportError> {
        self.push_on(self.page, kind, text)
    }

    /// Adds a block on a page; blank text is none.
    pub(super) fn push_on(
        &mut self,
        page: Option<u32>,
        kind: BlockKind,
        text: &str,
    ) -> Result<(), ImportError> {
        let text = match kind {
            BlockKind::Code | BlockKind::Table => clean_lines(text),
            BlockKind::Heading { .. } => clean_words(&text.replace('\n', " ")),
            BlockKind::Paragraph | BlockKind::ListItem | BlockKind::Notes => clean_words(text),
        };
        if text.is_empty() {
            return Ok(());
        }
        let characters = text.chars().count();
        let kind = match kind {
            BlockKind::Heading { .. } if characters > LONGEST_HEADING => BlockKind::Paragraph,
            kind => kind,
        };
        self.count(characters)?;
        self.found.push(DocumentBlock { kind, text, page });
        Ok(())
    }

    /// Adds a line of program text to the block before, if that is program text too.
    pub(super) fn push_code_line(&mut self, line: &str) -> Result<(), ImportError> {
        let page = self.page;
        if let Some(last) = self.found.last_mut().filter(|last| last.kind == BlockKind::Code) {
            let line = clean_lines_untrimmed(line);
            last.text.push('\n');
            last.text.push_str(line.trim_end());
            return self.count(line.chars().count() + 1);
        }
        self.push_on(page, BlockKind::Code, line)
    }

    /// Adds blocks that another reader found in a part of the file.
    pub(super) fn append(&mut self, others: Vec<DocumentBlock>) -> Result<(), ImportError> {
        for mut block in others {
            self.count(block.text.chars().count())?;
            block.page = block.page.or(self.page);
            self.found.push(block);
        }
        Ok(())
    }

    /// The pages that anything was found on.
    pub(super) fn pages_with_text(&self) -> impl Iterator<Item = u32> {
        self.found.iter().filter_map(|block| block.page)
    }

    pub(super) fn into_blocks(self) -> Vec<DocumentBlock> {
        self.found
    }

    /// The document.
    pub(super) fn finish(self, title: Option<&str>, pages: u32) -> DocumentText {
        DocumentText {
            title: title.map(clean_words).filter(|title| !title.is_empty()),
            blocks: self.found,
            pages,
            warnings: Vec::new(),
        }
    }

    fn count(&mut self, characters: usize) -> Result<(), ImportError> {
        self.characters += characters;
        if self.characters > self.limits.max_characters {
            return Err(ImportError::TooLarge {
                excess: Excess::Characters,
                limit: self.limits.max_characters as u64,
            });
        }
        if self.found.len() >= self.limits.max_blocks {
            return Err(ImportError::TooLarge {
                excess: Excess::Blocks,
                limit: self.limits.max_blocks as u64,
            });
        }
        Ok(())
    }
}

/// Running text: one space between words, line breaks kept, nothing that cannot be seen.
pub(super) fn clean_words(text: &str) -> String {
    let composed = composed(text);
    let mut cleaned = String::with_capacity(composed.len());
    for line in composed.lines() {
        let before = cleaned.len();
        for word in line.split_whitespace() {
            if cleaned.len() > before {
                cleaned.push(' ');
            } else if before > 0 {
                cleaned.push('\n');
            }
            cleaned.push_str(word);
        }
    }
    cleaned
}

/// Text whose lines matter: indentation is kept, blank lines around it are not.
fn clean_lines(text: &str) -> String {
    let cleaned = clean_lines_untrimmed(text);
    let lines: Vec<&str> = cleaned.lines().map(str::trim_end).collect();
    let first = lines
        .iter()
        .position(|line| !line.is_empty())
        .unwrap_or(lines.len());
    let last = lines
        .iter()
        .rposition(|line| !line.is_empty())
        .map_or(first, |last| last + 1);
    lines[first..last].join("\n")
}

fn clean_lines_untrimmed(text: &str) -> String {
    composed(text).replace('\u{a0}', " ")
}

/// Letters in one piece (producers of PDF write й as и and a breve, or fi as one sign), without signs that cannot be
/// seen.
fn composed(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => visible.push(character),
            '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => visible.push('\n'),
            '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{fffc}' | '\u{fffe}' | '\u{ffff}' => {}
            '\u{fb00}' => visible.push_str("ff"),
            '\u{fb01}' => visible.push_str("fi"),
            '\u{fb02}' => visible.push_str("fl"),
            '\u{fb03}' => visible.push_str("ffi"),
            '\u{fb04}' => visible.push_str("ffl"),
            '\u{fb05}' | '\u{fb06}' => visible.push_str("st"),
            character if character.is_control() => {}
            character => visible.push(character),
        }
    }
    if is_nfc(&visible) {
        visible
    } else {
        visible.nfc().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cleaned_and_lines_kept() {
        let check = |text: &str, expected: &str| assert_eq!(clean_words(text), expected);
        check("  a \u{a0} b\t c\r\n\r\n d ", "a b c\nd");
        check("soft\u{ad}hyphen, \u{feff}mark", "softhyphen, mark");
        check("и\u{306} of\u{fb01}ce", "й office");
        check("a\0b\u{7}", "ab");
        check(" \n ", "");
    }

    #[test]
    fn lines_of_code_keep_their_indentation() {
        assert_eq!(clean_lines("\n\n  if a:\n      b  \n\n"), "  if a:\n      b");
        assert_eq!(clean_lines(" \n"), "");
    }

    #[test]
    fn lines_of_code_become_one_block() {
        let limits = ImportLimits::default();
        let mut blocks = Blocks::new(&limits);
        for line in ["def f():", "    return 1"] {
            blocks.push_code_line(line).unwrap();
        }
        let blocks = blocks.into_blocks();
        assert_eq!(blocks.len(), 1);
        assert_eq!(blocks[0].text, "def f():\n    return 1");
    }

    #[test]
    fn what_is_too_much_is_an_error() {
        let limits = ImportLimits {
            max_characters: 10,
            max_blocks: 3,
            ..ImportLimits::default()
        };
        let mut blocks = Blocks::new(&limits);
        let error = blocks
            .push(BlockKind::Paragraph, "more than ten characters")
            .unwrap_err();
        assert_eq!(error.code(), "too_large");
        let mut blocks = Blocks::new(&limits);
        for _ in 0..3 {
            blocks.push(BlockKind::Paragraph, "a").unwrap();
        }
        assert!(blocks.push(BlockKind::Paragraph, "a").is_err());
    }

    #[test]
    fn long_headings_are_paragraphs() {
        let limits = ImportLimits::default();
        let mut blocks = Blocks::new(&limits);
        blocks
            .push(BlockKind::Heading { level: 1 }, &"word ".repeat(80))
            .unwrap();
        blocks
            .push(BlockKind::Heading { level: 1 }, "two\nlines")
            .unwrap();
        let blocks = blocks.into_blocks();
        assert_eq!(blocks[0].kind, BlockKind::Paragraph);
        assert_eq!(blocks[1].text, "two lines");
    }
}
