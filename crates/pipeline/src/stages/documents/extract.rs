//! A summary without a model: the headings of a document, each with its most central sentences.
//!
//! Small models cannot hold a chapter. Central is a sentence whose words are frequent in the whole document and not yet
//! said by those chosen before it (`SumBasic`: Nenkova and Vanderwende, 2005).

use std::collections::{HashMap, HashSet};

use store::chunk::Chunk;

use crate::material::heading_in;
use crate::stages::content::tidy::sentences;
use crate::wording::folded;

/// Tokens of the whole extract: what a model with a small window is shown of all documents is cut from it.
const MOST_TOKENS: u32 = 2000;
/// Sentences of one part, at most.
const SENTENCES_A_PART: usize = 2;
/// What is left of a word's weight once it was said. `SumBasic` squares it, which in short texts leaves the first place to
/// asides whose words nobody used yet.
const SAID: f64 = 0.5;
/// Words of a sentence that can stand alone, at least and at most.
const WORDS: std::ops::RangeInclusive<usize> = 8..=40;
/// Shorter words are mostly grammar.
const TELLING_LETTERS: usize = 4;

/// The extract of a document's parents, in their order.
pub(super) fn extract(parents: &[Chunk], count: &dyn Fn(&str) -> u32) -> String {
    let mut weights = weights(parents);
    let repeated = repeated(parents);
    let parts = parts(parents);
    let mut chosen: Vec<Vec<(usize, String)>> = vec![Vec::new(); parts.len()];
    let mut left = MOST_TOKENS.saturating_sub(parts.iter().map(|part| count(&part.heading)).sum());
    // Round by round, so that every part is heard before one is heard twice.
    for round in 0..SENTENCES_A_PART {
        for (part, chosen) in parts.iter().zip(&mut chosen) {
            let open = part.sentences.iter().enumerate();
            let open = open.filter(|(place, _)| chosen.iter().all(|(other, _)| other != place));
            // A part is heard with the best it has; then only with what the document comes back to.
            let open = open.filter(|(_, sentence)| {
                round == 0 || telling(sentence).iter().any(|word| repeated.contains(word))
            });
            let scored = open.map(|(place, sentence)| (score(sentence, &weights), place, sentence));
            let best = scored.max_by(|left, right| left.0.total_cmp(&right.0).then(right.1.cmp(&left.1)));
            let Some((_, place, sentence)) = best else {
                continue;
            };
            let tokens = count(sentence);
            if tokens > left {
                continue;
            }
            left -= tokens;
            // What was said counts for less from now on.
            for word in telling(sentence) {
                if let Some(weight) = weights.get_mut(&word) {
                    *weight *= SAID;
                }
            }
            chosen.push((place, sentence.clone()));
        }
    }
    let texts = parts.iter().zip(chosen).map(|(part, mut chosen)| {
        chosen.sort_by_key(|(place, _)| *place);
        let said: Vec<String> = chosen.into_iter().map(|(_, sentence)| sentence).collect();
        match (part.heading.is_empty(), said.is_empty()) {
            (true, _) => said.join(" "),
            (false, true) => part.heading.clone(),
            (false, false) => format!("{}: {}", part.heading, said.join(" ")),
        }
    });
    texts
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

struct Part {
    heading: String,
    sentences: Vec<String>,
}

fn parts(parents: &[Chunk]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for chunk in parents {
        // A part goes on in the next chunk, and a chunk may hold several small parts.
        let path = chunk.heading_path.get(1).or(chunk.heading_path.first());
        let heading = path.cloned().unwrap_or_default();
        if parts.last().is_none_or(|last| last.heading != heading) {
            parts.push(Part {
                heading,
                sentences: Vec::new(),
            });
        }
        for line in chunk.text.lines() {
            if let Some(heading) = heading_in(line) {
                parts.push(Part {
                    heading: heading.to_owned(),
                    sentences: Vec::new(),
                });
            } else if let Some(part) = parts
                .last_mut()
                .filter(|_| !line.trim_start().starts_with(['|', '#']))
            {
                part.sentences.extend(
                    sentences(line)
                        .into_iter()
                        .filter(|text| can_stand_alone(text))
                        .map(str::to_owned),
                );
            }
        }
    }
    parts
}

fn can_stand_alone(sentence: &str) -> bool {
    WORDS.contains(&sentence.split_whitespace().count()) && !sentence.ends_with('?')
}

/// How often each word stands in the document, as a share.
fn weights(parents: &[Chunk]) -> HashMap<String, f64> {
    let mut counts: HashMap<String, f64> = HashMap::new();
    let mut all = 0.0;
    for chunk in parents {
        for word in telling(&chunk.text) {
            *counts.entry(word).or_default() += 1.0;
            all += 1.0;
        }
    }
    for weight in counts.values_mut() {
        *weight /= all;
    }
    counts
}

/// The words that the document has more than once.
fn repeated(parents: &[Chunk]) -> HashSet<String> {
    let mut seen = HashSet::new();
    let words = parents.iter().flat_map(|chunk| telling(&chunk.text));
    words.filter(|word| !seen.insert(word.clone())).collect()
}

fn score(sentence: &str, weights: &HashMap<String, f64>) -> f64 {
    let words = telling(sentence);
    let sum: f64 = words.iter().filter_map(|word| weights.get(word)).sum();
    sum / words.len().max(1) as f64
}

fn telling(text: &str) -> Vec<String> {
    let words = folded(text);
    let words = words
        .split(' ')
        .filter(|word| word.chars().count() >= TELLING_LETTERS);
    words.map(str::to_owned).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use domain::id::{ChunkId, OrganizationId};

    use super::*;

    pub(in super::super) fn chunk(path: &[&str], text: &str) -> Chunk {
        Chunk {
            id: ChunkId::generate(),
            organization_id: OrganizationId::generate(),
            sha256: String::new(),
            position: 0,
            parent_id: None,
            heading_path: path.iter().map(|&heading| heading.to_owned()).collect(),
            page_first: None,
            page_last: None,
            text: text.to_owned(),
            tokens: 0,
        }
    }

    fn words(text: &str) -> u32 {
        u32::try_from(text.split_whitespace().count()).unwrap()
    }

    #[test]
    fn every_part_is_heard_with_what_is_central_to_the_document() {
        let parents = [
            chunk(
                &["Demand", "Prices"],
                "My neighbour once told a joke about the weather in his garden. Demand falls when prices rise, which \
                 every market for goods shows. Prices tell buyers and sellers in every market what goods are worth. \
                 What do prices do in markets for goods that nobody wants?",
            ),
            chunk(
                &["Demand", "Income"],
                "Income shifts the demand for goods in most markets at all prices.",
            ),
            chunk(&["Demand", "Empty"], "| a | table |"),
        ];
        let text = extract(&parents, &words);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].starts_with("Prices: Demand falls"), "{text}");
        assert!(!text.contains("neighbour"), "{text}");
        assert!(lines[1].starts_with("Income: Income shifts"), "{text}");
        assert_eq!(lines[2], "Empty");
    }
}
