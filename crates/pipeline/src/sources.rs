//! The pieces of documents that a part of the course is written from, and which of them it cites.

mod language;

use std::collections::HashSet;

use domain::analysis::AnalysisResult;
use domain::id::ChunkId;
use domain::lesson::LessonContent;
use llm::route::Work;
use minijinja::Value;
use store::chunk::{Chunk, get_chunks};

use crate::context::Run;
use crate::error::PipelineError;
use crate::material::cut_to_tokens;
use crate::prompt::Prompt;
use crate::retrieval::{Piece, RetrieveOptions, Retrieved, retrieve};
use crate::support::{chunk_vectors, nearest, text_vectors};
use crate::transaction::in_system;
use crate::vars::vars;
use crate::wording::folded;

pub(crate) use language::{has_usable, is_usable};

/// Pieces for a section of the structure: from 20 to 30 are enough to see what it can teach.
pub(crate) const SECTION_PIECES: usize = 30;
/// Pieces for a lesson: from 5 to 10 are what a lesson of a quarter of an hour can say.
pub(crate) const LESSON_PIECES: usize = 10;
/// Tokens of the tag around a piece, beside its document and headings.
const TOKENS_AROUND: u32 = 20;
/// More are searched for than are used: some are in another language.
const SPARE: usize = 2;
/// Words shorter than this do not tell what a sentence is about.
const TELLING_LETTERS: usize = 4;

/// Pieces of documents under short names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pieces: Vec<Source>,
}

/// A piece of a document as a prompt shows it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// `S1`, `S2` ...: short, and no model can get it nearly right.
    pub(crate) label: String,
    pub(crate) chunk: Chunk,
    /// The document's name.
    pub(crate) document: String,
}

/// What is searched for.
pub(crate) struct Wanted<'a> {
    /// Who will read it; decides over the room.
    pub(crate) work: Work,
    /// What it must be about.
    pub(crate) queries: Vec<String>,
    /// Chunks that come first, found by the analysis.
    pub(crate) preferred: &'a [String],
    /// At most so many pieces.
    pub(crate) most: usize,
}

impl Sources {
    /// Searches the course's documents; nothing without documents. What is in another language and not technical is left
    /// out and logged (generation 3.1).
    ///
    /// # Errors
    /// [`PipelineError::Embedding`] and [`PipelineError::Store`].
    pub(crate) async fn find(run: &Run, wanted: &Wanted<'_>, max_tokens: u32) -> Result<Self, PipelineError> {
        if run.material().await?.is_empty() || max_tokens == 0 {
            return Ok(Self::default());
        }
        let preferred = preferred(run, wanted.preferred).await?;
        let options = RetrieveOptions {
            limit: wanted.most * SPARE,
            max_tokens: max_tokens.saturating_mul(u32::try_from(SPARE).unwrap_or(1)),
            documents: None,
            piece: Piece::Small,
        };
        let found = retrieve(run.services(), run.course().id, &wanted.queries, &options).await?;
        let mut sources = Self::default();
        let mut seen = HashSet::new();
        let mut left = max_tokens;
        for piece in preferred.into_iter().chain(found) {
            if sources.pieces.len() == wanted.most || !seen.insert(piece.chunk.id) {
                continue;
            }
            if !is_usable(&piece.chunk.text, run.language()) {
                log_skipped(run, &piece);
                continue;
            }
            let count = |text: &str| run.models().count_tokens(wanted.work, 0, text);
            let place = place(&piece.chunk);
            let tokens = count(&piece.chunk.text) + count(&piece.document) + count(&place) + TOKENS_AROUND;
            if tokens > left {
                continue;
            }
            left -= tokens;
            sources.pieces.push(Source {
                label: format!("S{}", sources.pieces.len() + 1),
                chunk: piece.chunk,
                document: piece.document,
            });
        }
        Ok(sources)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(crate) fn pieces(&self) -> &[Source] {
        &self.pieces
    }

    /// Adds those of another search, under names of their own.
    pub(crate) fn extend(&mut self, others: Self) {
        for source in others.pieces {
            if self.pieces.iter().all(|own| own.chunk.id != source.chunk.id) {
                let label = format!("S{}", self.pieces.len() + 1);
                self.pieces.push(Source { label, ..source });
            }
        }
    }

    /// As prompts show them.
    pub(crate) fn as_data(&self) -> Vec<Value> {
        let shown = self.pieces.iter().map(|source| {
            vars! {
                label => source.label,
                document => source.document,
                place => place(&source.chunk),
                text => source.chunk.text,
            }
        });
        shown.collect()
    }

    /// The ids of chunks for labels of a model, each once, and the labels that name nothing.
    pub(crate) fn resolve(&self, labels: &[String]) -> (Vec<String>, Vec<String>) {
        let mut ids = Vec::new();
        let mut unknown = Vec::new();
        for label in labels {
            let key = folded(label);
            match self.pieces.iter().find(|source| folded(&source.label) == key) {
                Some(source) => {
                    let id = source.chunk.id.to_string();
                    if !ids.contains(&id) {
                        ids.push(id);
                    }
                }
                None => unknown.push(label.clone()),
            }
        }
        (ids, unknown)
    }
}

/// The headings that a chunk stands under.
fn place(chunk: &Chunk) -> String {
    chunk.heading_path.join(" › ")
}

/// A prompt with the pieces that fit beside the rest of it: at most min(40 000, 90 000 - the rest) tokens in the stated
/// window, the same shares of others (generation 3.3). `data` is what the prompt needs beside `sources`.
///
/// # Errors
/// Those of [`Sources::find`], and [`PipelineError::Prompt`].
pub(crate) async fn render_with_sources(
    run: &Run,
    prompt: &str,
    data: &Value,
    wanted: &Wanted<'_>,
) -> Result<(Prompt, Sources), PipelineError> {
    let bare = run
        .prompts()
        .render(prompt, &vars! { sources => Vec::<Value>::new(), ..data.clone() })?;
    let count = |text: &str| run.models().count_tokens(wanted.work, 0, text);
    let rest = count(&bare.system) + count(&bare.user);
    let room = run.models().budget_for(wanted.work, 0).context_beside(rest);
    let sources = Sources::find(run, wanted, room).await?;
    if sources.is_empty() {
        return Ok((bare, sources));
    }
    let full = vars! { sources => sources.as_data(), ..data.clone() };
    Ok((run.prompts().render(prompt, &full)?, sources))
}

/// What the analysis found for a section, by the number of its place: chunks to prefer and what to search for.
pub(crate) fn relevant(analysis: &AnalysisResult, section: u32) -> (&[String], &[String]) {
    let id = section.to_string();
    analysis
        .document_relevance
        .iter()
        .find(|of| of.section_id == id)
        .map_or((&[], &[]), |of| {
            (of.chunks.as_slice(), of.search_queries.as_slice())
        })
}

/// The sentences of a piece that say most about `topic`, in their order, in at most `tokens`: what a small window has
/// room for.
pub(crate) fn excerpt(text: &str, topic: &str, tokens: u32, count: &dyn Fn(&str) -> u32) -> String {
    if count(text) <= tokens {
        return text.to_owned();
    }
    let telling = |text: &str| -> HashSet<String> {
        let words = folded(text);
        let words = words
            .split(' ')
            .filter(|word| word.chars().count() >= TELLING_LETTERS);
        // Endings differ, beginnings tell.
        words
            .map(|word| word.chars().take(TELLING_LETTERS + 1).collect())
            .collect()
    };
    let topic = telling(topic);
    let lines: Vec<&str> = text
        .lines()
        .flat_map(crate::stages::content::tidy::sentences)
        .collect();
    let score = |place: usize| telling(lines[place]).intersection(&topic).count();
    let mut places: Vec<usize> = (0..lines.len()).collect();
    // Stable: among equals the first, which opens the thought.
    places.sort_by_key(|&place| std::cmp::Reverse(score(place)));
    let mut kept = Vec::new();
    let mut left = tokens;
    for place in places {
        let needed = count(lines[place]) + 1;
        if needed <= left {
            left -= needed;
            kept.push(place);
        }
    }
    kept.sort_unstable();
    if kept.is_empty() {
        return cut_to_tokens(text, tokens, count);
    }
    kept.into_iter()
        .map(|place| lines[place])
        .collect::<Vec<_>>()
        .join(" ")
}

/// Gives every block that names no source the one that bears it out, and the lesson at least one: it was written with
/// these pieces in view. What its sentences claim beyond them is found at the end (generation 3.7).
///
/// # Errors
/// [`PipelineError::Embedding`] and [`PipelineError::Store`].
pub(crate) async fn cite(
    run: &Run,
    content: &mut LessonContent,
    sources: &Sources,
) -> Result<(), PipelineError> {
    if sources.is_empty() || content.blocks.iter().all(|block| !block.citations.is_empty()) {
        return Ok(());
    }
    let chunks: Vec<Chunk> = sources.pieces.iter().map(|source| source.chunk.clone()).collect();
    let pieces = chunk_vectors(run, &chunks).await?;
    let texts: Vec<String> = content
        .blocks
        .iter()
        .map(|block| format!("{}. {}", block.title, block.body))
        .collect();
    let blocks = text_vectors(run, &texts).await?;
    let threshold = run.calibration().support_threshold;
    let mut best: Option<(f32, usize, usize)> = None;
    for (place, (block, vector)) in content.blocks.iter_mut().zip(&blocks).enumerate() {
        if !block.citations.is_empty() {
            continue;
        }
        let Some((piece, cosine)) = nearest(vector, &pieces) else {
            continue;
        };
        if cosine >= threshold {
            block.citations.push(chunks[piece].id.to_string());
        } else if best.is_none_or(|(other, ..)| cosine > other) {
            best = Some((cosine, place, piece));
        }
    }
    let cites_nothing = content.blocks.iter().all(|block| block.citations.is_empty());
    if let Some((_, place, piece)) = best.filter(|_| cites_nothing) {
        content.blocks[place].citations.push(chunks[piece].id.to_string());
    }
    Ok(())
}

/// The text without the labels of `sources` sources in brackets: readers see the sources, not our names for them.
pub(crate) fn without_labels(text: &str, sources: usize) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(['[', '(']) {
        let close = if rest[start..].starts_with('[') { ']' } else { ')' };
        let inside_from = start + 1;
        let inside = rest[inside_from..].split_once(close);
        if let Some((_, after)) = inside.filter(|(inside, _)| is_labels(inside, sources)) {
            kept.push_str(rest[..start].trim_end_matches(' '));
            rest = after;
        } else {
            // What stands inside may hold brackets of its own.
            kept.push_str(&rest[..inside_from]);
            rest = &rest[inside_from..];
        }
    }
    kept.push_str(rest);
    kept
}

/// Whether a text between brackets is labels of `sources` sources alone: `S1`, `S1, S3`.
fn is_labels(inside: &str, sources: usize) -> bool {
    let mut parts = inside
        .split([',', ';', ' '])
        .filter(|part| !part.is_empty())
        .peekable();
    parts.peek().is_some()
        && parts.all(|part| {
            part.strip_prefix('S')
                .and_then(|number| number.parse().ok())
                .is_some_and(|number: usize| (1..=sources).contains(&number))
        })
}

/// The chunks that the analysis preferred, as far as they are still there.
async fn preferred(run: &Run, ids: &[String]) -> Result<Vec<Retrieved>, PipelineError> {
    let ids: Vec<ChunkId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let chunks = in_system!(run.store(), |tx| get_chunks(tx, &ids).await)?;
    let material = run.material().await?;
    let found = chunks.into_iter().filter_map(|chunk| {
        let document = material.documents.iter().find(|of| of.sha256 == chunk.sha256)?;
        Some(Retrieved {
            document_id: document.id,
            document: document.name.clone(),
            chunk,
            score: 1.0,
        })
    });
    Ok(found.collect())
}

fn log_skipped(run: &Run, piece: &Retrieved) {
    tracing::info!(
        chunk = %piece.chunk.id,
        document = %piece.document_id,
        language = run.language().code(),
        "a piece of a document is in another language than the course and not technical: left out"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> u32 {
        u32::try_from(text.split_whitespace().count()).unwrap()
    }

    #[test]
    fn labels_are_taken_out_of_texts_and_other_brackets_stay() {
        let check = |text: &str, expected: &str| assert_eq!(without_labels(text, 12), expected);
        check("Prices rise [S1].", "Prices rise.");
        check(
            "Prices rise (S1, S12) and fall [S2; S3].",
            "Prices rise and fall.",
        );
        check(
            "A list [1] and (S) and (Sales) stay.",
            "A list [1] and (S) and (Sales) stay.",
        );
        check("Open (here [S4] it is", "Open (here it is");
        check("The switch (S13) closes.", "The switch (S13) closes.");
    }

    #[test]
    fn excerpt_keeps_what_the_topic_is_about() {
        let text = "Markets clear at one price. A price floor keeps wages high. Cats sleep all day. Floors cause surpluses.";
        let kept = excerpt(text, "Price floors", 11, &words);
        assert_eq!(kept, "A price floor keeps wages high. Floors cause surpluses.");
        assert_eq!(excerpt("Short text.", "Price floors", 10, &words), "Short text.");
    }
}
