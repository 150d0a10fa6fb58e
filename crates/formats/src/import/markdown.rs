//! Markdown: `CommonMark` with tables, footnotes, formulas and front matter.

use comrak::nodes::{AstNode, ListType, NodeValue};
use comrak::{Arena, Options, parse_document};
use domain::document::{BlockKind, DocumentText};

use super::blocks::Blocks;
use super::encoding;
use super::{ImportError, ImportLimits, html, table};

/// Quotations and lists inside each other; what lies deeper is read as plain text.
const DEEPEST: usize = 40;

/// Reads Markdown.
pub(super) fn extract(bytes: &[u8], limits: &ImportLimits) -> Result<DocumentText, ImportError> {
    let source = encoding::decode(bytes, None)?;
    // An unfinished formula in every line makes the parser look for its end again and again.
    if source.len() > limits.max_characters.saturating_mul(4) {
        return Err(ImportError::TooLarge {
            excess: super::Excess::Characters,
            limit: limits.max_characters as u64,
        });
    }
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.footnotes = true;
    options.extension.strikethrough = true;
    options.extension.tasklist = true;
    options.extension.math_dollars = true;
    options.extension.front_matter_delimiter = Some("---".to_owned());
    let arena = Arena::new();
    let root = parse_document(&arena, &source, &options);
    let mut reader = MarkdownReader {
        blocks: Blocks::new(limits),
        limits,
        title: None,
    };
    for node in root.children() {
        reader.block(node, 0, None)?;
    }
    Ok(reader.blocks.finish(reader.title.as_deref(), 0))
}

struct MarkdownReader<'l> {
    blocks: Blocks<'l>,
    limits: &'l ImportLimits,
    title: Option<String>,
}

impl MarkdownReader<'_> {
    /// Reads a block. `mark` is that of the item whose first paragraph comes next, with its indentation.
    fn block<'a>(
        &mut self,
        node: &'a AstNode<'a>,
        depth: usize,
        mark: Option<&str>,
    ) -> Result<(), ImportError> {
        let value = node.data().value.clone();
        if depth > DEEPEST {
            return self.blocks.push(BlockKind::Paragraph, &inline_text(node));
        }
        match value {
            NodeValue::FrontMatter(matter) => {
                self.title = front_matter_title(&matter);
                Ok(())
            }
            NodeValue::Heading(heading) => {
                let kind = BlockKind::Heading { level: heading.level };
                self.blocks.push(kind, &inline_text(node))
            }
            NodeValue::Paragraph => match mark {
                Some(mark) => self
                    .blocks
                    .push(BlockKind::ListItem, &format!("{mark} {}", inline_text(node))),
                None => self.blocks.push(BlockKind::Paragraph, &inline_text(node)),
            },
            NodeValue::CodeBlock(code) => self.blocks.push(BlockKind::Code, &code.literal),
            NodeValue::HtmlBlock(block) => {
                let found = html::fragment(&block.literal, self.limits)?;
                self.blocks.append(found)
            }
            NodeValue::Table(_) => {
                let rows: Vec<Vec<String>> = node
                    .children()
                    .map(|row| row.children().map(inline_text).collect())
                    .collect();
                match table::markdown(&rows) {
                    Some(table) => self.blocks.push(BlockKind::Table, &table),
                    None => Ok(()),
                }
            }
            NodeValue::List(list) => {
                for (at, item) in node.children().enumerate() {
                    let mark = match list.list_type {
                        ListType::Bullet => "-".to_owned(),
                        ListType::Ordered => format!("{}.", list.start.saturating_add(at)),
                    };
                    self.item(item, depth, &mark)?;
                }
                Ok(())
            }
            NodeValue::FootnoteDefinition(footnote) => {
                let mut mark = Some(format!("[{}]", footnote.name));
                for child in node.children() {
                    self.block(child, depth + 1, mark.take().as_deref())?;
                }
                Ok(())
            }
            NodeValue::ThematicBreak => Ok(()),
            _ => {
                for child in node.children() {
                    self.block(child, depth + 1, None)?;
                }
                Ok(())
            }
        }
    }

    /// Reads the item of a list: its first paragraph with its mark, then all else in it.
    fn item<'a>(&mut self, item: &'a AstNode<'a>, depth: usize, mark: &str) -> Result<(), ImportError> {
        let mut mark = Some(mark);
        for child in item.children() {
            let is_paragraph = matches!(child.data().value, NodeValue::Paragraph);
            self.block(child, depth + 1, if is_paragraph { mark.take() } else { None })?;
        }
        Ok(())
    }
}

/// The text inside a node, without marks.
fn inline_text<'a>(node: &'a AstNode<'a>) -> String {
    let mut text = String::new();
    for inner in node.descendants() {
        match &inner.data().value {
            NodeValue::Text(part) => text.push_str(part),
            NodeValue::Code(code) => text.push_str(&code.literal),
            NodeValue::Math(math) => {
                let sign = if math.display_math { "$$" } else { "$" };
                text.extend([sign, &math.literal, sign]);
            }
            NodeValue::FootnoteReference(reference) => text.extend(["[", &reference.name, "]"]),
            NodeValue::LineBreak => text.push('\n'),
            NodeValue::HtmlInline(tag) if tag.to_ascii_lowercase().starts_with("<br") => text.push('\n'),
            NodeValue::SoftBreak | NodeValue::Paragraph => text.push(' '),
            _ => {}
        }
    }
    text
}

/// The line `title: ...` of the front matter.
fn front_matter_title(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("title:"))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> DocumentText {
        extract(source.as_bytes(), &ImportLimits::default()).unwrap()
    }

    #[test]
    fn every_kind_of_block_is_read() {
        let text = read(
            "---\ntitle: \"Спрос\"\n---\n\n# Спрос *и* `предложение`\n\nПервый\nабзац с [ссылкой](http://x) и $a_b$.\n\n\
             > Цитата\n\n- раз\n  - два\n\n    ещё\n1. три\n\n| a | b |\n|---|---|\n| 1\\|2 | `x_y` |\n\n```py\nx = 1\n\n\ny\n```\n\n\
             <div><p>Из HTML</p><script>no()</script></div>\n\nПрим.[^1]\n\n[^1]: Сноска\n\n---\n",
        );
        assert_eq!(text.title.as_deref(), Some("Спрос"));
        let found: Vec<(BlockKind, &str)> = text
            .blocks
            .iter()
            .map(|block| (block.kind, block.text.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (BlockKind::Heading { level: 1 }, "Спрос и предложение"),
                (BlockKind::Paragraph, "Первый абзац с ссылкой и $a_b$."),
                (BlockKind::Paragraph, "Цитата"),
                (BlockKind::ListItem, "- раз"),
                (BlockKind::ListItem, "- два"),
                (BlockKind::Paragraph, "ещё"),
                (BlockKind::ListItem, "1. три"),
                (BlockKind::Table, "| a | b |\n| --- | --- |\n| 1\\|2 | x_y |"),
                (BlockKind::Code, "x = 1\n\n\ny"),
                (BlockKind::Paragraph, "Из HTML"),
                (BlockKind::Paragraph, "Прим.[1]"),
                (BlockKind::ListItem, "[1] Сноска"),
            ]
        );
    }

    #[test]
    fn names_and_prices_survive() {
        let text = read("Call `__init__` and my_own_name, 2 * 3 * 4; it costs $5 to $20.");
        assert_eq!(
            text.blocks[0].text,
            "Call __init__ and my_own_name, 2 * 3 * 4; it costs $5 to $20."
        );
    }

    #[test]
    fn deep_quotations_are_read_as_text() {
        let text = read(&format!("{} deep words", ">".repeat(500)));
        assert!(text.plain().contains("deep words"), "{text:?}");
    }
}
