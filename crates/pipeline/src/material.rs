//! What the author's documents bring: their names, outlines and summaries, as every stage sees them.

use domain::analysis::ContentStrategy;
use domain::id::DocumentId;
use domain::language::Language;
use minijinja::Value;
use store::chunk::{Chunk, StoredText, find_text, list_document_chunks};
use store::document::{Document, DocumentStatus, list_documents};
use store::summary::list_summaries;

use crate::context::Run;
use crate::error::PipelineError;
use crate::sources::has_usable;
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
    /// Whether a course in the run's language can be written from it: it is in that language, or some of it is technical
    /// (generation 3.1).
    pub(crate) is_usable: bool,
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
    /// Why, and what to do, without the name.
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
        let language = run.language();
        let mut material = Self::default();
        for (document, text) in documents.into_iter().zip(texts) {
            match (document.status, text) {
                (DocumentStatus::Failed, _) => material.unreadable.push(UnreadableDocument::of(document)),
                (DocumentStatus::Processed, Some(text)) => {
                    let summary = summaries
                        .iter()
                        .find(|summary| summary.document_id == document.id);
                    let summary = summary.map(|summary| summary.text.clone());
                    let mut document = SourceDocument::of(document, text, summary);
                    if !document.is_in(language) {
                        let id = document.id;
                        let chunks = in_system!(run.store(), |tx| list_document_chunks(tx, id).await)?;
                        let texts = chunks.iter().map(|chunk| chunk.text.as_str());
                        document.is_usable = has_usable(texts, language);
                    }
                    material.documents.push(document);
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

    /// Those that say what the course teaches, each content once: a plan must not rest on what no lesson can cite.
    pub(crate) fn teaching(&self) -> impl Iterator<Item = &SourceDocument> {
        let is_copy = |place: usize, document: &SourceDocument| {
            self.documents
                .iter()
                .take(place)
                .any(|earlier| earlier.sha256 == document.sha256)
        };
        self.documents
            .iter()
            .enumerate()
            .filter(move |(place, document)| document.is_usable && !is_copy(*place, document))
            .map(|(_, document)| document)
    }

    /// Tokens of what says what the course teaches.
    pub(crate) fn tokens(&self) -> u32 {
        self.teaching()
            .fold(0, |sum, document| sum.saturating_add(document.tokens))
    }

    /// The part of `tokens` that each document gets.
    fn share_of(&self, tokens: u32) -> u32 {
        tokens / u32::try_from(self.teaching().count()).unwrap_or(u32::MAX).max(1)
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

    /// What teaches, as prompts show it, in at most `tokens` (the model's own, counted by `count`); every document
    /// gets an equal share, and a summary that is longer than its share ends at a sentence. An empty list without
    /// documents.
    pub(crate) fn digest(&self, tokens: u32, count: &dyn Fn(&str) -> u32) -> Vec<Value> {
        let share = self.share_of(tokens);
        self.teaching()
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
        let share = self.share_of(tokens);
        self.teaching()
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
            is_usable: true,
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

impl UnreadableDocument {
    fn of(document: Document) -> Self {
        let message = document
            .failure
            .map_or_else(String::new, |failure| failure.message);
        // Messages begin with the file's name where they stand alone.
        let problem = message
            .strip_prefix(&document.filename)
            .and_then(|rest| rest.strip_prefix(": "))
            .unwrap_or(&message)
            .to_owned();
        Self {
            id: document.id,
            name: document.filename,
            problem,
        }
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
            sha256: format!("of {name}"),
            title: None,
            language: Some(Language::English),
            tokens: 2000,
            outline: headings.collect(),
            summary: Some("It says this. It says that.".to_owned()),
            is_usable: true,
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
                documents: (0..documents)
                    .map(|number| document(&number.to_string(), ""))
                    .collect(),
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
    fn copies_and_documents_that_cannot_be_cited_plan_nothing() {
        let mut copy = document("copy.md", "# One");
        copy.sha256 = document("a.md", "").sha256;
        let mut foreign = document("foreign.md", "# Two");
        foreign.is_usable = false;
        let material = Material {
            documents: vec![document("a.md", "# One"), copy, foreign],
            unreadable: Vec::new(),
        };
        assert_eq!(material.tokens(), 2000);
        assert_eq!(material.digest(100, &words).len(), 1);
        assert_eq!(material.outlines(100, &words).len(), 1);
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
