//! From a document's text to chunks.

use domain::document::{BlockKind, ChunkDraft, DocumentText};
use domain::language::Language;
use llm::budget::{Approximate, TokenCounter};
use store::chunk::{NewText, OutlineEntry, save_text};
use store::ingestion::Claim;

use super::ReadError;
use crate::context::Services;
use crate::error::PipelineError;
use crate::transaction::in_system;

/// Characters of running text by which the language is told.
const SAMPLE_CHARACTERS: usize = 6_000;

/// A text that was cut.
struct Cut {
    text: DocumentText,
    chunks: Vec<ChunkDraft>,
    tokens: u32,
}

/// Cuts the text and saves it with its chunks. A text without words is a failure of the document.
pub(super) async fn save(
    services: &Services,
    claim: &Claim,
    text: DocumentText,
) -> Result<Result<(), ReadError>, PipelineError> {
    let cut = tokio::task::spawn_blocking(move || cut(text))
        .await
        .map_err(PipelineError::task)?;
    if cut.chunks.iter().all(|chunk| chunk.text.trim().is_empty()) {
        return Ok(Err(ReadError {
            code: "no_text".to_owned(),
            message: format!("No text was found in '{}'.", claim.document.filename),
            is_passing: false,
        }));
    }
    let outline = outline(&cut.text);
    let new = NewText {
        language: language(&cut.text),
        title: cut.text.title.as_deref(),
        pages: cut.text.pages,
        tokens: cut.tokens,
        outline: &outline,
        warnings: &cut.text.warnings,
        chunks: &cut.chunks,
    };
    in_system!(services.store, |tx| save_text(tx, claim, &new).await)?;
    Ok(Ok(()))
}

/// Tokens are counted on the safe side and the same for every model: chunks belong to the content, whoever embeds or
/// reads them.
fn cut(text: DocumentText) -> Cut {
    let count = |text: &str| usize::try_from(Approximate.count(text)).unwrap_or(usize::MAX);
    let chunks = formats::chunk::chunk(&text, &count);
    let parents = chunks.iter().filter(|chunk| chunk.parent.is_none());
    let tokens = parents.fold(0_u32, |sum, chunk| sum.saturating_add(chunk.tokens));
    Cut { text, chunks, tokens }
}

fn outline(text: &DocumentText) -> Vec<OutlineEntry> {
    text.blocks
        .iter()
        .filter_map(|block| match block.kind {
            BlockKind::Heading { level } => Some(OutlineEntry {
                level,
                heading: block.text.clone(),
            }),
            _ => None,
        })
        .collect()
}

/// The language of a document by running text from all over it: title pages, tables and program text would mislead.
fn language(text: &DocumentText) -> Option<Language> {
    let prose = |kind: BlockKind| {
        matches!(
            kind,
            BlockKind::Paragraph | BlockKind::ListItem | BlockKind::Notes
        )
    };
    let mut blocks: Vec<&str> = text
        .blocks
        .iter()
        .filter(|block| prose(block.kind))
        .map(|block| block.text.as_str())
        .collect();
    if blocks.is_empty() {
        blocks = text.blocks.iter().map(|block| block.text.as_str()).collect();
    }
    let letters: usize = blocks.iter().map(|block| block.chars().count()).sum();
    let step = (letters / SAMPLE_CHARACTERS).max(1);
    let mut sample = String::new();
    for block in blocks.iter().step_by(step) {
        sample.extend(block.chars().take(SAMPLE_CHARACTERS));
        sample.push('\n');
        if sample.chars().count() >= SAMPLE_CHARACTERS {
            break;
        }
    }
    Language::detect(&sample)
}

#[cfg(test)]
mod tests {
    use domain::document::DocumentBlock;

    use super::*;

    fn block(kind: BlockKind, text: &str) -> DocumentBlock {
        DocumentBlock {
            kind,
            text: text.to_owned(),
            page: None,
        }
    }

    #[test]
    fn the_language_is_that_of_the_running_text() {
        let russian = DocumentText {
            blocks: vec![
                block(BlockKind::Code, "for item in items: print(item)\n"),
                block(
                    BlockKind::Paragraph,
                    "Цикл повторяет действия, пока условие истинно.",
                ),
                block(BlockKind::Code, "while True: pass"),
            ],
            ..DocumentText::default()
        };
        assert_eq!(language(&russian), Some(Language::Russian));
        let english = DocumentText {
            blocks: vec![block(
                BlockKind::Paragraph,
                "The price of a good is what a buyer pays for a unit of it in the market.",
            )],
            ..DocumentText::default()
        };
        assert_eq!(language(&english), Some(Language::English));
    }
}
