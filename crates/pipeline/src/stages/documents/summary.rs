//! Summaries by a large model: piece by piece, then the summaries of the pieces as one, checked for what they leave out.

use domain::stage::Stage;
use futures::{StreamExt as _, TryStreamExt as _};
use llm::route::Work;
use serde::Deserialize;
use serde_json::json;
use store::chunk::Chunk;
use store::summary::{NewSummary, SummaryMethod};

use super::pieces::{Span, joined, spans};
use crate::attempts::Patience;
use crate::context::Run;
use crate::engine::Question;
use crate::error::PipelineError;
use crate::material::{SourceDocument, cut_to_tokens, parts_of};
use crate::schema::object;
use crate::support::{chunk_vectors, nearest, text_vectors};
use crate::vars::vars;
use crate::{data, rules, stages};

/// Tokens of the longest summary: with its instructions it fits any prompt that shows it.
const SUMMARY_OUTPUT_TOKENS: u32 = 3000;
/// Words that a summary is asked to have.
const SUMMARY_WORDS: u32 = 900;
/// Tokens of instructions around a piece.
const INSTRUCTION_TOKENS: u32 = 800;
/// Pieces that are summarised at once; the provider's own limit is found while they run.
const AT_ONCE: usize = 8;
/// Likeness from which a part of a document is in its summary, on the reference scale: the same as for a lesson that
/// serves an outcome, between unrelated and same section.
const COVERED_FROM: f32 = 0.5;
/// Parts that are named when they are asked for again.
const MOST_NAMED: usize = 20;

#[derive(Deserialize)]
struct Summarised {
    summary: String,
}

/// Summarises a document of these chunks, parents and children.
///
/// # Errors
/// Whatever keeps a piece from being summarised.
pub(super) async fn write(
    run: &Run,
    document: &SourceDocument,
    number: u32,
    chunks: &[Chunk],
) -> Result<NewSummary, PipelineError> {
    let parents: Vec<Chunk> = chunks
        .iter()
        .filter(|chunk| chunk.parent_id.is_none())
        .cloned()
        .collect();
    let children: Vec<Chunk> = chunks
        .iter()
        .filter(|chunk| chunk.parent_id.is_some())
        .cloned()
        .collect();
    let count = |text: &str| run.models().count_tokens(Work::Summary, 0, text);
    let most = piece_tokens(run);
    let sizes: Vec<u32> = parents.iter().map(|chunk| count(&chunk.searchable())).collect();
    let spans = spans(&sizes, most);
    let parts = spans.len();
    let summaries: Vec<String> = futures::stream::iter(spans.into_iter().zip(1..))
        .map(|(Span { start, end }, part)| {
            let text = cut_to_tokens(&joined(&parents[start..end]), most, &count);
            let place = Place { number, part, parts };
            async move { ask(run, document, place, &text, &[]).await }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let mut text = together(run, document, number, summaries, most).await?;
    let topics = topics(&children);
    let mut uncovered = uncovered(run, &topics, &text).await?;
    if !uncovered.is_empty() {
        let again = add_missing(run, document, number, &parents, &text, &uncovered).await?;
        let still = self::uncovered(run, &topics, &again).await?;
        if still.len() < uncovered.len() {
            (text, uncovered) = (again, still);
        }
    }
    if !uncovered.is_empty() {
        let parts = uncovered.len();
        tracing::info!(document = %document.id, parts, "parts of a document are not in its summary");
    }
    let covered = topics.len() - uncovered.len();
    Ok(NewSummary {
        tokens: count(&text),
        text,
        method: SummaryMethod::Model,
        model: Some(run.models().card_for(Work::Summary, 0).id.clone()),
        coverage: Some(covered as f64 / topics.len().max(1) as f64),
    })
}

/// Tokens of one piece: with instructions and answer it is the longest call that the summary's model takes before the
/// overflow route, which is 115 000 tokens of a window of 128 000 (generation 3.1 and 3.3).
fn piece_tokens(run: &Run) -> u32 {
    let budget = run.models().budget_for(Work::Summary, 0);
    let output = SUMMARY_OUTPUT_TOKENS.min(budget.output_most);
    budget
        .longest_input(output)
        .saturating_sub(INSTRUCTION_TOKENS)
        .max(1)
}

/// Where a piece stands.
#[derive(Clone, Copy)]
struct Place {
    /// The document's place in the course, from 1.
    number: u32,
    /// The piece's place in the document, from 1.
    part: u32,
    parts: usize,
}

async fn ask(
    run: &Run,
    document: &SourceDocument,
    place: Place,
    text: &str,
    missing: &[&str],
) -> Result<String, PipelineError> {
    let data = vars! {
        course => data::course(run),
        name => document.title_or_name(),
        part => place.part,
        parts => place.parts,
        text,
        missing,
        words => SUMMARY_WORDS,
    };
    let phase = if missing.is_empty() { "pieces" } else { "gaps" };
    let phase = format!("summaries.{phase}-{}", place.part);
    asked(run, phase, place.number, "documents_summary", &data).await
}

async fn asked(
    run: &Run,
    phase: String,
    batch: u32,
    prompt: &str,
    data: &minijinja::Value,
) -> Result<String, PipelineError> {
    let question = Question {
        stage: Stage::DocumentProcessing,
        phase,
        batch,
        work: Work::Summary,
        complexity: None,
        prompt: run.prompts().render(prompt, data)?,
        hint: None,
        shape: "summary",
        schema: object([("summary", json!({ "type": "string", "minLength": 1 }))]),
        max_output_tokens: SUMMARY_OUTPUT_TOKENS,
        temperature: None,
        mend: None,
        check: Some(Box::new(|value| rules::in_language(value, run.language()))),
        gate: None,
        ignores_earlier_rounds: false,
        patience: Patience::AllAttempts,
    };
    let answer: Summarised = run.ask_for(question).await?;
    Ok(answer.summary.trim().to_owned())
}

/// Several summaries as one, in as many rounds as their length needs.
async fn together(
    run: &Run,
    document: &SourceDocument,
    number: u32,
    mut summaries: Vec<String>,
    most: u32,
) -> Result<String, PipelineError> {
    let count = |text: &str| run.models().count_tokens(Work::Summary, 0, text);
    let mut round = 0;
    while summaries.len() > 1 {
        round += 1;
        let sizes: Vec<u32> = summaries.iter().map(|text| count(text)).collect();
        let groups = groups(&sizes, most);
        let mut joined = Vec::new();
        for (group, part) in groups.into_iter().zip(1u32..) {
            let texts = &summaries[group.start..group.end];
            if let [single] = texts {
                joined.push(single.clone());
                continue;
            }
            let data = vars! {
                course => data::course(run),
                name => document.title_or_name(),
                summaries => texts,
                words => SUMMARY_WORDS,
            };
            let phase = format!("summaries.round-{round}-{part}");
            joined.push(asked(run, phase, number, "documents_summaries", &data).await?);
        }
        if joined.len() == summaries.len() {
            // No two fit into one call: as they are, they are still the summary.
            return Ok(joined.join("\n\n"));
        }
        summaries = joined;
    }
    Ok(summaries.pop().unwrap_or_default())
}

/// Neighbours that fit into one call together, without overlap.
fn groups(tokens: &[u32], most: u32) -> Vec<Span> {
    let mut groups = Vec::new();
    let mut start = 0;
    while start < tokens.len() {
        let mut end = start + 1;
        let mut sum = tokens[start];
        while end < tokens.len() && sum.saturating_add(tokens[end]) <= most {
            sum += tokens[end];
            end += 1;
        }
        groups.push(Span { start, end });
        start = end;
    }
    groups
}

/// A part of a document that its summary should mention.
struct Topic<'a> {
    name: String,
    /// The first chunk of it.
    opening: &'a Chunk,
}

fn topics(chunks: &[Chunk]) -> Vec<Topic<'_>> {
    let mut topics: Vec<Topic<'_>> = Vec::new();
    for chunk in chunks {
        for name in parts_of(chunk) {
            if topics.iter().all(|topic| topic.name != name) {
                topics.push(Topic { name, opening: chunk });
            }
        }
    }
    topics
}

/// The names of the parts that no sentence of a summary comes near.
async fn uncovered<'a>(
    run: &Run,
    topics: &'a [Topic<'_>],
    summary: &str,
) -> Result<Vec<&'a str>, PipelineError> {
    let sentences: Vec<String> = summary
        .lines()
        .flat_map(stages::content::tidy::sentences)
        .map(str::to_owned)
        .collect();
    let said = text_vectors(run, &sentences).await?;
    let openings: Vec<Chunk> = topics.iter().map(|topic| topic.opening.clone()).collect();
    let parts = chunk_vectors(run, &openings).await?;
    let calibration = run.calibration();
    let is_covered = |part: &[f32]| {
        nearest(part, &said).is_some_and(|(_, cosine)| calibration.similarity(cosine) >= COVERED_FROM)
    };
    let missing = topics.iter().zip(&parts).filter(|(_, part)| !is_covered(part));
    Ok(missing.map(|(topic, _)| topic.name.as_str()).collect())
}

/// Asks once more, with what is missing named and its text at hand.
async fn add_missing(
    run: &Run,
    document: &SourceDocument,
    number: u32,
    parents: &[Chunk],
    summary: &str,
    missing: &[&str],
) -> Result<String, PipelineError> {
    let count = |text: &str| run.models().count_tokens(Work::Summary, 0, text);
    let named: Vec<&str> = missing.iter().take(MOST_NAMED).copied().collect();
    let of_missing: Vec<Chunk> = parents
        .iter()
        .filter(|chunk| parts_of(chunk).iter().any(|part| named.contains(&part.as_str())))
        .cloned()
        .collect();
    let room = piece_tokens(run).saturating_sub(count(summary));
    let text = format!(
        "{summary}\n\n{}",
        cut_to_tokens(&joined(&of_missing), room, &count)
    );
    let place = Place {
        number,
        part: 1,
        parts: 1,
    };
    ask(run, document, place, &text, &named).await
}

#[cfg(test)]
mod tests {
    use super::super::extract::tests::chunk;
    use super::*;

    #[test]
    fn topics_are_the_parts_each_once() {
        let chunks = [
            chunk(&["Book", "One"], "a"),
            chunk(&["Book", "One", "Box"], "b"),
            chunk(&["Book"], "## Two\n\nc\n\n## Three\n\nd"),
            chunk(&[], "e"),
        ];
        let topics = topics(&chunks);
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        assert_eq!(names, ["One", "Two", "Three"]);
    }

    #[test]
    fn neighbours_are_read_together_as_far_as_they_fit() {
        let check = |tokens: &[u32], expected: &[(usize, usize)]| {
            let found: Vec<(usize, usize)> = groups(tokens, 10)
                .iter()
                .map(|group| (group.start, group.end))
                .collect();
            assert_eq!(found, expected);
        };
        check(&[4, 4, 4], &[(0, 2), (2, 3)]);
        check(&[11, 4], &[(0, 1), (1, 2)]);
    }
}
