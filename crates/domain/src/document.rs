//! Documents as text: what extraction finds in a file, and the pieces into which it is cut (generation 3.1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a piece of a document's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum BlockKind {
    /// A heading.
    Heading {
        /// 1 is the highest, 6 the lowest.
        level: u8,
    },
    /// Running text.
    Paragraph,
    /// One item of a list, with its mark.
    ListItem,
    /// A table as Markdown, whole.
    Table,
    /// Program text, verbatim, whole.
    Code,
    /// What a presenter says to a slide.
    Notes,
}

/// A piece of a document's text, in reading order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentBlock {
    /// What it is.
    #[serde(flatten)]
    pub kind: BlockKind,
    /// Its text, without marks of headings; never blank.
    pub text: String,
    /// Its page or slide, from 1; `None` where the format has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
}

/// The text of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentText {
    /// The title that the file itself names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its blocks in reading order.
    pub blocks: Vec<DocumentBlock>,
    /// Pages or slides; 0 where the format has none.
    pub pages: u32,
    /// What could not be read, as sentences for the author.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl DocumentText {
    /// All text, a blank line between blocks.
    pub fn plain(&self) -> String {
        let texts: Vec<&str> = self.blocks.iter().map(|block| block.text.as_str()).collect();
        texts.join("\n\n")
    }
}

/// A piece of a document that is found, read and cited as one. Large pieces (parents) are what models read; the small
/// ones that they are made of (children) are what is searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkDraft {
    /// Its place among the document's chunks, parents and children together, from 0.
    pub position: u32,
    /// The position of its parent; `None`: it is a parent.
    pub parent: Option<u32>,
    /// The headings that it stands under, the highest first.
    pub heading_path: Vec<String>,
    /// The page on which it begins.
    pub page_first: Option<u32>,
    /// The page on which it ends.
    pub page_last: Option<u32>,
    /// Its text, without its heading path; never blank.
    pub text: String,
    /// Tokens of the text.
    pub tokens: u32,
}

impl ChunkDraft {
    /// What is embedded and searched: the headings, then the text.
    pub fn searchable(&self) -> String {
        searchable(&self.heading_path, &self.text)
    }
}

/// What is embedded and searched of a chunk: its headings on one line, then its text.
pub fn searchable(heading_path: &[String], text: &str) -> String {
    if heading_path.is_empty() {
        text.to_owned()
    } else {
        format!("{}\n{text}", heading_path.join(" > "))
    }
}

/// The first words of a chunk's text or of their beginning, as a citation shows them: on one line, whole words, without
/// the marks of headings. What is cut off is shown by an ellipsis, so that nobody takes a part for the whole.
pub fn excerpt(text: &str) -> String {
    let line: Vec<&str> = text
        .split_whitespace()
        .filter(|word| !word.trim_matches('#').is_empty())
        .collect();
    let line = line.join(" ");
    // The database keeps the beginning alone: a text of that length was cut there.
    if text.chars().count() < EXCERPT_CHARACTERS {
        return line;
    }
    let kept: String = line.chars().take(EXCERPT_CHARACTERS - 2).collect();
    let end = kept.rfind(' ').unwrap_or(kept.len());
    format!("{} …", kept[..end].trim_end())
}

/// A chunk that a course cites, as readers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CitedSource {
    /// The chunk's id, as in `citations` of blocks.
    pub chunk_id: String,
    /// The document's id.
    pub document_id: String,
    /// What its author calls the document.
    pub document: String,
    /// The page or slide on which the chunk begins, from 1; `None` where the format has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_first: Option<u32>,
    /// The page on which it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_last: Option<u32>,
    /// The headings that it stands under, the highest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heading_path: Vec<String>,
    /// Its first words, at most [`EXCERPT_CHARACTERS`].
    pub excerpt: String,
}

/// Characters of a chunk that a citation shows. Our own figure: three lines of a page.
pub const EXCERPT_CHARACTERS: usize = 280;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpt_is_whole_words_and_says_where_it_is_cut() {
        assert_eq!(
            excerpt("### Price Floors\n\nThey keep\nprices high."),
            "Price Floors They keep prices high."
        );
        let long = "Цены растут вместе со спросом. ".repeat(20);
        let shown = excerpt(&long);
        assert!(shown.chars().count() <= EXCERPT_CHARACTERS, "{shown}");
        let last = shown.strip_suffix(" …").unwrap().rsplit(' ').next().unwrap();
        assert!(long.split(' ').any(|word| word == last), "{shown}");
        let beginning: String = long.chars().take(EXCERPT_CHARACTERS).collect();
        assert_eq!(excerpt(&beginning), shown);
        assert_eq!(excerpt(&"x".repeat(400)).chars().count(), EXCERPT_CHARACTERS);
    }
}
