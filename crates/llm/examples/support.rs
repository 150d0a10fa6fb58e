//! Measures the cosines of sentences and passages for `calibration::support`, prints the table, and the fitted threshold
//! on standard error: `cargo run --release -p llm --example support -- MODEL.e5 FOLDER... > crates/llm/data/support.tsv`.
//!
//! A folder holds the chapters of one book in Markdown, whose modules (`## `) end with a part "Key Concepts and Summary":
//! "Principles of Economics 3e" and "Introduction to Python Programming" of `OpenStax` (CC BY 4.0) do.

use std::error::Error;
use std::io::Write;
use std::path::Path;

use llm::calibration::support::{SupportPair, errors, fit_support};
use llm::embedded::EmbeddedEmbedder;
use llm::provider::{Embedder, EmbeddingKind};

/// Characters of a passage: about 400 tokens, as children have.
const PASSAGE_CHARACTERS: usize = 1600;
/// Words of a sentence that says something.
const FEWEST_WORDS: usize = 8;
/// Foreign passages that a Russian sentence is compared with.
const RUSSIAN_FOREIGN: usize = 3;
/// The heading of the part that sums a module up.
const SUMMARY: &str = "Summary";

/// A module of a book.
struct Module {
    chapter: usize,
    passages: Vec<String>,
    sentences: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("the path of the embedding model is missing")?;
    let embedder = EmbeddedEmbedder::new(path, "multilingual-e5-small-q4");
    let mut pairs = Vec::new();
    for folder in arguments {
        pairs.extend(english(&embedder, &modules(Path::new(&folder))?).await?);
    }
    pairs.extend(russian(&embedder).await?);
    let mut out = std::io::stdout().lock();
    writeln!(out, "language\tlabel\tcosine\tsentence")?;
    for pair in &pairs {
        let language = if pair.is_russian { "ru" } else { "en" };
        let label = if pair.is_supported { "supported" } else { "foreign" };
        writeln!(out, "{language}\t{label}\t{:.4}\t{}", pair.cosine, pair.sentence)?;
    }
    let threshold = fit_support(&pairs).ok_or("the model does not tell the pairs apart")?;
    let mut err = std::io::stderr().lock();
    writeln!(
        err,
        "threshold {threshold:.4}: {} of {} wrong",
        errors(&pairs, threshold),
        pairs.len()
    )?;
    for is_russian in [false, true] {
        let of: Vec<SupportPair> = pairs
            .iter()
            .filter(|pair| pair.is_russian == is_russian)
            .cloned()
            .collect();
        let missed = of
            .iter()
            .filter(|pair| pair.is_supported && pair.cosine < threshold)
            .count();
        let wrong = errors(&of, threshold);
        writeln!(
            err,
            "russian {is_russian}: {wrong} of {} wrong, {missed} of them supported ones that are missed",
            of.len()
        )?;
    }
    Ok(())
}

async fn english(
    embedder: &EmbeddedEmbedder,
    modules: &[Module],
) -> Result<Vec<SupportPair>, Box<dyn Error>> {
    let mut vectors = Vec::new();
    for module in modules {
        vectors.push(embedder.embed(&module.passages, EmbeddingKind::Passage).await?);
    }
    let mut pairs = Vec::new();
    for (place, module) in modules.iter().enumerate() {
        let sentences = embedder.embed(&module.sentences, EmbeddingKind::Query).await?;
        // The next module of another chapter, cut to as many passages.
        let foreign = (1..modules.len())
            .map(|step| (place + step) % modules.len())
            .find(|&other| modules[other].chapter != module.chapter)
            .ok_or("a book needs two chapters")?;
        let foreign: Vec<Vec<f32>> = vectors[foreign]
            .iter()
            .take(vectors[place].len())
            .cloned()
            .collect();
        for (sentence, vector) in module.sentences.iter().zip(&sentences) {
            for (is_supported, passages) in [(true, &vectors[place]), (false, &foreign)] {
                pairs.push(SupportPair {
                    is_russian: false,
                    is_supported,
                    cosine: rounded(nearest(vector, passages)),
                    sentence: sentence.clone(),
                });
            }
        }
    }
    Ok(pairs)
}

async fn russian(embedder: &EmbeddedEmbedder) -> Result<Vec<SupportPair>, Box<dyn Error>> {
    let rows: Vec<(String, String)> = include_str!("../data/support_ru.tsv")
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(sentence, passage)| (sentence.to_owned(), passage.to_owned()))
        .collect();
    let (sentences, passages): (Vec<String>, Vec<String>) = rows.into_iter().unzip();
    let queries = embedder.embed(&sentences, EmbeddingKind::Query).await?;
    let vectors = embedder.embed(&passages, EmbeddingKind::Passage).await?;
    let mut pairs = Vec::new();
    for (place, (sentence, vector)) in sentences.iter().zip(&queries).enumerate() {
        let foreign: Vec<Vec<f32>> = (1..=RUSSIAN_FOREIGN)
            .map(|step| vectors[(place + step) % vectors.len()].clone())
            .collect();
        for (is_supported, passages) in [
            (true, std::slice::from_ref(&vectors[place])),
            (false, &foreign[..]),
        ] {
            pairs.push(SupportPair {
                is_russian: true,
                is_supported,
                cosine: rounded(nearest(vector, passages)),
                sentence: sentence.clone(),
            });
        }
    }
    Ok(pairs)
}

fn nearest(vector: &[f32], passages: &[Vec<f32>]) -> f32 {
    let cosine = |other: &Vec<f32>| vector.iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
    passages.iter().map(cosine).fold(-1.0, f32::max)
}

fn rounded(cosine: f32) -> f32 {
    (cosine * 10_000.0).round() / 10_000.0
}

fn modules(folder: &Path) -> Result<Vec<Module>, Box<dyn Error>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    paths.sort_by_key(std::fs::DirEntry::path);
    let mut modules = Vec::new();
    for (chapter, entry) in paths.iter().enumerate() {
        let text = std::fs::read_to_string(entry.path())?;
        let title = text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches(['#', ' ']);
        for part in text.split("\n## ").skip(1) {
            let (heading, body) = part.split_once('\n').unwrap_or((part, ""));
            let module = module(chapter, &format!("{title} > {heading}"), body);
            if !module.sentences.is_empty() && !module.passages.is_empty() {
                modules.push(module);
            }
        }
    }
    Ok(modules)
}

fn module(chapter: usize, path: &str, body: &str) -> Module {
    let mut passages: Vec<String> = Vec::new();
    let mut sentences = Vec::new();
    let mut is_summary = false;
    for line in body.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(heading) = line.strip_prefix('#') {
            is_summary = heading.ends_with(SUMMARY);
        } else if is_summary {
            let found = line.split_inclusive(". ").map(str::trim);
            sentences.extend(
                found
                    .filter(|sentence| sentence.split_whitespace().count() >= FEWEST_WORDS)
                    .map(str::to_owned),
            );
        } else {
            match passages.last_mut() {
                Some(last) if last.chars().count() + line.chars().count() < PASSAGE_CHARACTERS => {
                    last.push_str("\n\n");
                    last.push_str(line);
                }
                _ => passages.push(format!("{path}\n{line}")),
            }
        }
    }
    Module {
        chapter,
        passages,
        sentences,
    }
}
