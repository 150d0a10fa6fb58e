//! The lines that pdf-inspector writes: Markdown in form, with the text of the page in it unescaped.
//!
//! They are not parsed as Markdown: what looks like a mark in the middle of a text is the text's own.

use domain::document::BlockKind;

use super::super::ImportError;
use super::super::blocks::Blocks;

/// What a line is that begins one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Page(u32),
    Heading(u8),
    Item,
    Row,
    Fence,
    Blank,
    Text,
}

/// Adds the blocks of the lines.
pub(super) fn read(markdown: &str, blocks: &mut Blocks<'_>) -> Result<(), ImportError> {
    blocks.page = Some(1);
    let mut lines = markdown.lines().peekable();
    let mut open: Option<(BlockKind, String)> = None;
    while let Some(line) = lines.next() {
        let found = kind_of(line);
        let continues = match (&open, found) {
            (Some((BlockKind::Table, _)), Line::Row) | (Some((BlockKind::Paragraph, _)), Line::Text) => true,
            // What belongs to an item is indented; all else after it is a paragraph of its own.
            (Some((BlockKind::ListItem, _)), Line::Text) => line.starts_with(char::is_whitespace),
            _ => false,
        };
        if let Some((_, text)) = open.as_mut().filter(|_| continues) {
            text.push('\n');
            text.push_str(line);
            continue;
        }
        if let Some((kind, text)) = open.take() {
            blocks.push(kind, &text)?;
        }
        match found {
            Line::Page(page) => blocks.page = Some(page),
            Line::Heading(level) => {
                let text = line.trim_start_matches('#').trim();
                blocks.push(BlockKind::Heading { level }, text)?;
            }
            Line::Item => open = Some((BlockKind::ListItem, line.to_owned())),
            Line::Row => open = Some((BlockKind::Table, line.to_owned())),
            Line::Text => open = Some((BlockKind::Paragraph, line.to_owned())),
            Line::Fence => {
                let code: Vec<&str> = lines
                    .by_ref()
                    .take_while(|line| kind_of(line) != Line::Fence)
                    .collect();
                blocks.push(BlockKind::Code, &code.join("\n"))?;
            }
            Line::Blank => {}
        }
    }
    if let Some((kind, text)) = open {
        blocks.push(kind, &text)?;
    }
    Ok(())
}

fn kind_of(line: &str) -> Line {
    let trimmed = line.trim();
    if trimmed.is_empty() {
        return Line::Blank;
    }
    let page = trimmed
        .strip_prefix("<!-- Page ")
        .and_then(|rest| rest.strip_suffix(" -->")?.parse().ok());
    if let Some(page) = page {
        return Line::Page(page);
    }
    let hashes = trimmed.bytes().take_while(|byte| *byte == b'#').count();
    if (1..=6).contains(&hashes) && trimmed[hashes..].starts_with(' ') {
        return u8::try_from(hashes).map_or(Line::Text, Line::Heading);
    }
    if trimmed.starts_with("```") {
        return Line::Fence;
    }
    if trimmed.starts_with('|') && trimmed.ends_with('|') && trimmed.len() > 1 {
        return Line::Row;
    }
    if is_item(trimmed) { Line::Item } else { Line::Text }
}

/// `- item`, `1. item`.
fn is_item(line: &str) -> bool {
    let mark = line.split(' ').next().unwrap_or_default();
    let number = mark.trim_end_matches(['.', ')']);
    let is_number =
        number.len() < mark.len() && number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit());
    (mark == "-" || (is_number && !number.is_empty())) && line.len() > mark.len()
}

#[cfg(test)]
mod tests {
    use super::super::super::ImportLimits;
    use super::*;

    #[test]
    fn blocks_have_their_pages() {
        let limits = ImportLimits::default();
        let mut blocks = Blocks::new(&limits);
        let markdown = "# Title\n\n<!-- Page 2 -->\n\nOne line\nand __init__ * two\n- item\n  goes on\n1. first\nand text\n\n|a|b|\n|---|---|\n|1|2|\n\n\
            ```\n  x = 1\n```\n## 2 * 3\n";
        read(markdown, &mut blocks).unwrap();
        let found: Vec<(BlockKind, String, Option<u32>)> = blocks
            .into_blocks()
            .into_iter()
            .map(|block| (block.kind, block.text, block.page))
            .collect();
        let block = |kind, text: &str, page| (kind, text.to_owned(), Some(page));
        assert_eq!(
            found,
            [
                block(BlockKind::Heading { level: 1 }, "Title", 1),
                block(BlockKind::Paragraph, "One line\nand __init__ * two", 2),
                block(BlockKind::ListItem, "- item\ngoes on", 2),
                block(BlockKind::ListItem, "1. first", 2),
                block(BlockKind::Paragraph, "and text", 2),
                block(BlockKind::Table, "|a|b|\n|---|---|\n|1|2|", 2),
                block(BlockKind::Code, "  x = 1", 2),
                block(BlockKind::Heading { level: 2 }, "2 * 3", 2),
            ]
        );
    }
}
