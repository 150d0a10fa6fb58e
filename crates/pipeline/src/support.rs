//! How near a text comes to pieces of documents, and its sentences as claims.

use domain::id::ChunkId;
use llm::error::ProviderError;
use llm::provider::EmbeddingKind;
use store::chunk::Chunk;
use store::embedding::get_embeddings;

use crate::context::Run;
use crate::error::PipelineError;
use crate::quality::cosine;
use crate::transaction::in_system;

/// The longest text that is embedded, in characters: embedding models read about 512 tokens.
const COMPARED_CHARACTERS: usize = 2000;
/// A shorter sentence claims nothing that could be looked up.
const CLAIM_FROM_WORDS: usize = 6;

/// The vectors of chunks, as they were indexed; what has none yet is embedded now.
///
/// # Errors
/// [`PipelineError::Embedding`] when the embedding model fails, [`PipelineError::Store`] when the database does.
pub(crate) async fn chunk_vectors(run: &Run, chunks: &[Chunk]) -> Result<Vec<Vec<f32>>, PipelineError> {
    let model = run.models().embedder().model().to_owned();
    let ids: Vec<ChunkId> = chunks.iter().map(|chunk| chunk.id).collect();
    let known = in_system!(run.store(), |tx| get_embeddings(tx, &model, &ids).await)?;
    let find = |id: ChunkId| {
        known
            .iter()
            .find(|(other, _)| *other == id)
            .map(|(_, vector)| vector.clone())
    };
    let missing: Vec<String> = chunks
        .iter()
        .filter(|chunk| find(chunk.id).is_none())
        .map(Chunk::searchable)
        .collect();
    let mut made = embed(run, &missing, EmbeddingKind::Passage).await?.into_iter();
    let vectors = chunks
        .iter()
        .map(|chunk| find(chunk.id).or_else(|| made.next()).unwrap_or_default());
    Ok(vectors.collect())
}

/// The vectors of texts that are looked up in chunks.
///
/// # Errors
/// [`PipelineError::Embedding`] when the embedding model fails.
pub(crate) async fn text_vectors(run: &Run, texts: &[String]) -> Result<Vec<Vec<f32>>, PipelineError> {
    embed(run, texts, EmbeddingKind::Query).await
}

async fn embed(run: &Run, texts: &[String], kind: EmbeddingKind) -> Result<Vec<Vec<f32>>, PipelineError> {
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let cut = |text: &String| text.chars().take(COMPARED_CHARACTERS).collect();
    let texts: Vec<String> = texts.iter().map(cut).collect();
    match run.models().embed(&texts, kind, run.cancel()).await {
        Ok(vectors) => Ok(vectors),
        Err(ProviderError::Cancelled) => Err(PipelineError::Cancelled),
        Err(error) => Err(PipelineError::Embedding(error)),
    }
}

/// The nearest of some vectors, with its cosine; `None` if there is none.
pub(crate) fn nearest(vector: &[f32], others: &[Vec<f32>]) -> Option<(usize, f32)> {
    let cosines = others.iter().map(|other| cosine(vector, other)).enumerate();
    cosines.max_by(|left, right| left.1.total_cmp(&right.1))
}

/// The sentences of a text in Markdown that claim something: no headings, tables, code or questions, and nothing too
/// short to be looked up.
pub(crate) fn claims(markdown: &str) -> Vec<String> {
    let mut claims = Vec::new();
    let mut in_code = false;
    for line in markdown.lines() {
        let line = line.trim();
        if line.starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code || line.starts_with(['#', '|', '>']) {
            continue;
        }
        let plain = without_marks(line);
        claims.extend(
            crate::stages::content::tidy::sentences(&plain)
                .into_iter()
                .filter(|sentence| !sentence.ends_with('?'))
                .filter(|sentence| is_long_enough(sentence))
                .map(str::to_owned),
        );
    }
    claims
}

fn is_long_enough(sentence: &str) -> bool {
    let words = sentence.split_whitespace().count();
    // Scripts without spaces: a word is about two letters.
    words >= CLAIM_FROM_WORDS || words == 1 && sentence.chars().count() >= 2 * CLAIM_FROM_WORDS
}

/// The line without the marks of lists and emphasis.
fn without_marks(line: &str) -> String {
    let rest = line.trim_start_matches(['-', '*', '+', ' ']);
    let digits = rest.chars().take_while(char::is_ascii_digit).count();
    let rest = match rest.get(digits..) {
        Some(after) if digits > 0 && (after.starts_with(". ") || after.starts_with(") ")) => &after[2..],
        _ => rest,
    };
    rest.replace("**", "").replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_sentences_that_can_be_looked_up() {
        let check = |text: &str, expected: &[&str]| assert_eq!(claims(text), expected, "{text}");
        let claim = "Price floors keep the price above its equilibrium.";
        check(
            &format!("# Heading of this very long part here\n\n- **{claim}** Try it."),
            &[claim],
        );
        check(
            &format!("2. {claim}\n```\nlet price_floor = the value of it now;\n```"),
            &[claim],
        );
        check("| a cell | of | a | table | with | words |", &[]);
        check("Why does a price floor cause a surplus of goods?", &[]);
    }

    #[test]
    fn nearest_is_that_with_the_greatest_cosine() {
        let others = [vec![1.0, 0.0], vec![0.6, 0.8]];
        assert_eq!(nearest(&[0.0, 1.0], &others), Some((1, 0.8)));
        assert_eq!(nearest(&[0.0, 1.0], &[]), None);
    }
}
