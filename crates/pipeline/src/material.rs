//! What the author's documents bring: their names, outlines and summaries, as every stage sees them.

use domain::analysis::ContentStrategy;
use domain::id::DocumentId;
use domain::language::Language;
use minijinja::Value;
use store::chunk::{Chunk, StoredText, find_text};
use store::document::{Document, DocumentStatus, list_documents};
use store::summary::list_summaries;

use crate::context::Run;
use crate::error::PipelineError;
use crate::transaction::in_system;
use crate::vars::vars;

/// Tokens of documents from which on a course rests on them rather than on the model's knowledge: as many as pass through
/// without a summary (generation 3.1).
const RICH_TOKENS: u32 = 3000;
/// Tokens a word takes on average, for telling how much the documents hold against what the lessons need.
const TOKENS_A_WORD: f64 = 1.4;
/// Headings of one document that a prompt shows.
const MOST_HEADINGS: usize = 120;
/// Headings deeper than this are not shown: they are examples and boxes rather than parts.
const DEEPEST_HEADING: usize = 3;

/// The documents of a course.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Material {
    /// Those that could be read, in the order of their upload.
    pub(crate) documents: Vec<SourceDocument>,
    /// Those that could not.
    pub(crate) unreadable: Vec<UnreadableDocument>,
}

/// A document that could be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SourceDocument {
    pub(crate) id: DocumentId,
    /// What its author calls it.
    pub(crate) name: String,
    /// SHA-256 of its content, by which its chunks are known.
    pub(crate) sha256: String,
    /// What it calls itself.
    pub(crate) title: Option<String>,
    /// `None` where it cannot be told.
    pub(crate) language: Option<Language>,
    /// Tokens of its text.
    pub(crate) tokens: u32,
    /// Its headings in reading order.
    pub(crate) outline: Vec<Heading>,
    /// What it says, in short; `None` before it is summarised.
    pub(crate) summary: Option<String>,
}

/// A heading of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heading {
    /// 1 is the highest.
    pub(crate) level: u8,
    pub(crate) text: String,
}

/// A document that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnreadableDocument {
    pub(crate) id: DocumentId,
    /// What its author calls it.
    pub(crate) name: String,
    /// Why, and what to do.
    pub(crate) problem: String,
}

impl Material {
    /// The documents of a course as the database has them.
    ///
    /// # Errors
    /// [`PipelineError::Store`] if the database fails.
    pub(crate) async fn of(run: &Run) -> Result<Self, PipelineError> {
        let course = run.course().id;
        let (documents, texts, summaries) = in_system!(run.store(), |tx| {
            let documents = list_documents(tx, course).await?;
            let mut texts = Vec::new();
            for document in &documents {
                texts.push(find_text(tx, document.id).await?);
            }
            let summaries = list_summaries(tx, course).await?;
            Ok((documents, texts, summaries))
        })?;
        let mut material = Self::default();
        for (document, text) in documents.into_iter().zip(texts) {
            match (document.status, text) {
                (DocumentStatus::Failed, _) => material.unreadable.push(unreadable(document)),
                (DocumentStatus::Processed, Some(text)) => {
                    let summary = summaries
                        .iter()
                        .find(|summary| summary.document_id == document.id);
                    let summary = summary.map(|summary| summary.text.clone());
                    material
                        .documents
                        .push(SourceDocument::of(document, text, summary));
                }
                // Not read yet: the stage that reads documents waits for them.
                (DocumentStatus::Uploaded | DocumentStatus::Processing | DocumentStatus::Processed, _) => {}
            }
        }
        Ok(material)
    }

    /// Whether there is nothing to make a course from.
    pub(crate) const fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Tokens of all documents.
    pub(crate) fn tokens(&self) -> u32 {
        self.documents
            .iter()
            .fold(0, |sum, document| sum.saturating_add(document.tokens))
    }

    /// What is done with the documents where the author leaves it open; `None` where they are too short to decide it.
    /// `words` are those that the lessons will have.
    pub(crate) fn strategy(&self, words: usize) -> Option<ContentStrategy> {
        let tokens = self.tokens();
        if tokens < RICH_TOKENS {
            return None;
        }
        let is_enough = f64::from(tokens) >= words as f64 * TOKENS_A_WORD;
        Some(if is_enough {
            ContentStrategy::OptimizeExisting
        } else {
            ContentStrategy::ExpandAndEnhance
        })
    }

    /// The documents as prompts show them, in at most `tokens` (the model's own, counted by `count`); every document
    /// gets an equal share, and a summary that is longer than its share ends at a sentence. An empty list without
    /// documents.
    pub(crate) fn digest(&self, tokens: u32, count: &dyn Fn(&str) -> u32) -> Vec<Value> {
        let documents = u32::try_from(self.documents.len()).unwrap_or(u32::MAX).max(1);
        let share = tokens / documents;
        self.documents
            .iter()
            .map(|document| {
                let headings = document.shown_headings(share / 2, count);
                let used: u32 = headings.iter().map(|heading| count(heading)).sum();
                let summary = document.summary.as_deref().unwrap_or_default();
                let summary = cut_to_tokens(summary, share.saturating_sub(used), count);
                vars! { name => document.title_or_name(), headings, summary }
            })
            .collect()
    }

    /// Names and headings alone, as [`Material::digest`] gives them.
    pub(crate) fn outlines(&self, tokens: u32, count: &dyn Fn(&str) -> u32) -> Vec<Value> {
        let documents = u32::try_from(self.documents.len()).unwrap_or(u32::MAX).max(1);
        let share = tokens / documents;
        self.documents
            .iter()
            .map(|document| {
                let headings = document.shown_headings(share, count);
                vars! { name => document.title_or_name(), headings, summary => "" }
            })
            .collect()
    }
}

impl SourceDocument {
    fn of(document: Document, text: StoredText, summary: Option<String>) -> Self {
        let outline = text.outline.into_iter().map(|entry| Heading {
            level: entry.level,
            text: entry.heading,
        });
        Self {
            id: document.id,
            name: document.filename,
            sha256: document.sha256,
            title: text.title,
            language: text.language,
            tokens: text.tokens,
            outline: outline.collect(),
            summary,
        }
    }

    /// Its own title, else the name of its file.
    pub(crate) fn title_or_name(&self) -> &str {
        self.title
            .as_deref()
            .map(str::trim)
            .filter(|title| !title.is_empty())
            .unwrap_or(&self.name)
    }

    /// Whether a course in `language` can speak with its words.
    pub(crate) fn is_in(&self, language: Language) -> bool {
        self.language.is_none_or(|own| own == language)
    }

    /// Its headings as an indented list of at most so many tokens; the deepest are left out first.
    fn shown_headings(&self, tokens: u32, count: &dyn Fn(&str) -> u32) -> Vec<String> {
        let highest = self
            .outline
            .iter()
            .map(|heading| heading.level)
            .min()
            .unwrap_or(1);
        let depth = |heading: &Heading| usize::from(heading.level.saturating_sub(highest));
        let lines = |deepest: usize| -> Vec<String> {
            let shown = self.outline.iter().filter(|heading| depth(heading) < deepest);
            shown
                .take(MOST_HEADINGS)
                .map(|heading| format!("{}- {}", "  ".repeat(depth(heading)), heading.text.trim()))
                .collect()
        };
        let fits = |lines: &[String]| lines.iter().map(|line| count(line)).sum::<u32>() <= tokens;
        (1..=DEEPEST_HEADING)
            .rev()
            .map(lines)
            .find(|lines| fits(lines))
            .unwrap_or_default()
    }
}

fn unreadable(document: Document) -> UnreadableDocument {
    let problem = document
        .failure
        .map_or_else(String::new, |failure| failure.message);
    UnreadableDocument {
        id: document.id,
        name: document.filename,
        problem,
    }
}

/// Headings deeper than this belong to the part above: a document and its chapters, or a chapter and its sections.
const PART_DEPTH: usize = 2;

/// The names of the parts that a chunk belongs to: of its heading path the second heading, else the headings that stand
/// in it, which are those of the small parts that it was put together from, else the first one. Empty where it stands
/// under no heading at all.
pub(crate) fn parts_of(chunk: &Chunk) -> Vec<String> {
    if let Some(heading) = chunk.heading_path.get(PART_DEPTH - 1) {
        return vec![heading.clone()];
    }
    let inside: Vec<String> = chunk
        .text
        .lines()
        .filter_map(heading_in)
        .map(str::to_owned)
        .collect();
    if inside.is_empty() {
        chunk.heading_path.last().into_iter().cloned().collect()
    } else {
        inside
    }
}

/// The heading of a part that a line of a chunk is.
pub(crate) fn heading_in(line: &str) -> Option<&str> {
    let line = line.trim();
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    let heading = text.trim();
    ((1..=PART_DEPTH).contains(&level) && text.starts_with(' ') && !heading.is_empty()).then_some(heading)
}

/// The beginning of a text that has at most `tokens`, ended at a sentence or a line where there is one.
pub(crate) fn cut_to_tokens(text: &str, tokens: u32, count: &dyn Fn(&str) -> u32) -> String {
    if count(text) <= tokens {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for piece in text.split_inclusive(['.', '!', '?', '\n', '。']) {
        used += count(piece);
        if used > tokens {
            break;
        }
        kept.push_str(piece);
    }
    kept.trim_end().to_owned()
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// An English document with this outline in Markdown.
    pub(crate) fn document(name: &str, outline: &str) -> SourceDocument {
        let headings = outline.lines().filter_map(|line| {
            let text = line.trim().trim_start_matches('#');
            let level = line.trim().len() - text.len();
            (level > 0).then(|| Heading {
                level: u8::try_from(level).unwrap(),
                text: text.trim().to_owned(),
            })
        });
        SourceDocument {
            id: DocumentId::generate(),
            name: name.to_owned(),
            sha256: String::new(),
            title: None,
            language: Some(Language::English),
            tokens: 2000,
            outline: headings.collect(),
            summary: Some("It says this. It says that.".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::document;
    use super::*;

    fn words(text: &str) -> u32 {
        u32::try_from(text.split_whitespace().count()).unwrap()
    }

    #[test]
    fn strategy_follows_what_the_documents_hold() {
        let check = |documents: usize, lesson_words: usize, expected: Option<ContentStrategy>| {
            let material = Material {
                documents: vec![document("a", ""); documents],
                unreadable: Vec::new(),
            };
            assert_eq!(material.strategy(lesson_words), expected);
        };
        check(0, 5000, None);
        check(1, 5000, None);
        check(2, 5000, Some(ContentStrategy::ExpandAndEnhance));
        check(9, 5000, Some(ContentStrategy::OptimizeExisting));
    }

    #[test]
    fn digest_leaves_out_the_deepest_headings_and_the_end_of_summaries_first() {
        let material = Material {
            documents: vec![document("a.md", "# One\n## Two words\n### Three more words")],
            unreadable: Vec::new(),
        };
        let check = |tokens: u32, headings: usize, summary: &str| {
            let shown = material.digest(tokens, &words);
            assert_eq!(
                shown[0].get_attr("headings").unwrap().len(),
                Some(headings),
                "{tokens}"
            );
            assert_eq!(
                shown[0].get_attr("summary").unwrap().to_string(),
                summary,
                "{tokens}"
            );
        };
        check(100, 3, "It says this. It says that.");
        check(12, 2, "It says this. It says that.");
        check(8, 1, "It says this. It says that.");
        check(5, 1, "It says this.");
    }

    #[test]
    fn text_is_cut_at_a_sentence() {
        let check = |text: &str, tokens: u32, expected: &str| {
            assert_eq!(cut_to_tokens(text, tokens, &words), expected);
        };
        check("One two. Three four.", 4, "One two. Three four.");
        check("One two. Three four.", 3, "One two.");
        check("One two three", 2, "");
    }
}
