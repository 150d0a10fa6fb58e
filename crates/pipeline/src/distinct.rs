//! Chooses titles and topics that differ from each other and stay on the topic.
//!
//! Small models repeat themselves, so they are asked for more candidates than are used (generation 3.7).

use std::collections::HashSet;

use crate::context::Run;
use crate::error::PipelineError;
use crate::quality::{cosine, embed};
use crate::wording::folded;

/// The first `count` candidates, in their order, that are no near-duplicate of an earlier one; if too few differ,
/// the least alike of the rest fill up. The candidates farthest from what the course is `about` are left out first, as
/// long as enough remain: small models drift. `taken` are texts that no candidate may repeat, such as the course's title.
///
/// # Errors
/// [`PipelineError::Embedding`] when the embedding model fails.
pub(crate) async fn choose(
    run: &Run,
    about: &str,
    taken: &[String],
    candidates: &[String],
    count: usize,
) -> Result<Vec<String>, PipelineError> {
    let candidates = new_ones(taken, candidates);
    let (generic, specific): (Vec<String>, Vec<String>) =
        candidates.into_iter().partition(|text| is_generic(text));
    // What says nothing in particular is taken only where nothing else is left.
    let candidates: Vec<String> = if specific.len() >= count {
        specific
    } else {
        specific.into_iter().chain(generic).collect()
    };
    let texts: Vec<String> = taken
        .iter()
        .chain(&candidates)
        .cloned()
        .chain([about.to_owned()])
        .collect();
    let mut vectors = embed(run, &texts).await?;
    let about = vectors.pop().unwrap_or_default();
    let mut texts = texts;
    texts.truncate(vectors.len());
    drop_farthest(&mut texts, &mut vectors, &about, taken.len(), count);
    let threshold = run.calibration().duplicate_threshold;
    Ok(pick(
        &texts,
        taken.len(),
        |a, b| {
            if subject(&texts[a]) == subject(&texts[b]) {
                1.0
            } else {
                cosine(&vectors[a], &vectors[b])
            }
        },
        threshold,
        count,
    ))
}

/// One of so many candidates may be left out for being far from the topic.
const LEFT_OUT_SHARE: usize = 2;

/// Leaves out the candidates farthest from `about`: at most half, and never so many that too few remain.
fn drop_farthest(
    texts: &mut Vec<String>,
    vectors: &mut Vec<Vec<f32>>,
    about: &[f32],
    taken: usize,
    count: usize,
) {
    let candidates = texts.len() - taken;
    let left_out = candidates.saturating_sub(count).min(candidates / LEFT_OUT_SHARE);
    for _ in 0..left_out {
        let nearness = |place: &usize| cosine(&vectors[*place], about);
        let farthest = (taken..texts.len()).min_by(|a, b| nearness(a).total_cmp(&nearness(b)));
        let Some(farthest) = farthest else { return };
        texts.remove(farthest);
        vectors.remove(farthest);
    }
}

/// The candidates that repeat neither what is taken nor each other.
fn new_ones(taken: &[String], candidates: &[String]) -> Vec<String> {
    let mut seen: HashSet<String> = taken.iter().map(|text| folded(text)).collect();
    candidates
        .iter()
        .filter(|candidate| seen.insert(folded(candidate)))
        .cloned()
        .collect()
}

/// Words that every course could have in a title.
const GENERIC_WORDS: [&str; 20] = [
    "basics",
    "fundamentals",
    "introduction",
    "overview",
    "tips",
    "resources",
    "challenges",
    "projects",
    "conclusion",
    "glossary",
    "practices",
    "principles",
    "understanding",
    "advanced",
    "summary",
    "topics",
    "concepts",
    "essentials",
    "основы",
    "введение",
];

/// Whether a title could stand in any course.
fn is_generic(text: &str) -> bool {
    folded(text).split(' ').any(|word| GENERIC_WORDS.contains(&word))
}

/// What a title is about, without what is done with it: `Managing Bee Injuries` and `Handling bee injuries` teach the
/// same, however far apart an embedding model sees them.
fn subject(text: &str) -> String {
    let folded = folded(text);
    match folded.split_once(' ') {
        Some((doing, rest)) if doing.len() > 4 && doing.ends_with("ing") => rest.to_owned(),
        _ => folded,
    }
}

/// Several lists as one: all first entries, then all second ones, so that the teaching order stays.
pub(crate) fn interleaved(lists: &[Vec<String>]) -> Vec<String> {
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let places = (0..longest).flat_map(|place| lists.iter().filter_map(move |list| list.get(place)));
    places.cloned().collect()
}

/// The first `taken` texts are no candidates. Exact repeats are never chosen.
fn pick(
    texts: &[String],
    taken: usize,
    similarity: impl Fn(usize, usize) -> f32,
    threshold: f32,
    count: usize,
) -> Vec<String> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut spare: Vec<(f32, usize)> = Vec::new();
    for candidate in taken..texts.len() {
        let key = folded(&texts[candidate]);
        if (0..taken)
            .chain(chosen.iter().copied())
            .any(|other| folded(&texts[other]) == key)
        {
            continue;
        }
        let nearest = (0..taken)
            .chain(chosen.iter().copied())
            .map(|other| similarity(candidate, other))
            .fold(-1.0, f32::max);
        if nearest < threshold {
            chosen.push(candidate);
        } else {
            spare.push((nearest, candidate));
        }
    }
    chosen.truncate(count);
    spare.sort_by(|a, b| a.0.total_cmp(&b.0));
    let missing = count.saturating_sub(chosen.len());
    for (_, candidate) in spare {
        let key = folded(&texts[candidate]);
        if chosen.len() < count && chosen.iter().all(|&other| folded(&texts[other]) != key) {
            chosen.push(candidate);
        }
    }
    if missing > 0 {
        // The order in which they were given is the teaching order.
        chosen.sort_unstable();
    }
    chosen.into_iter().map(|index| texts[index].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_leaves_out_what_is_done() {
        let check = |text: &str, expected: &str| assert_eq!(subject(text), expected);
        check("Managing Bee Injuries", "bee injuries");
        check("Handling bee injuries", "bee injuries");
        check("Spring", "spring");
        check("King bees", "king bees");
        check("Сбор мёда", "сбор мёда");
    }

    #[test]
    fn distinct_candidates_are_chosen_in_order() {
        let texts: Vec<String> = [
            "Bees",
            "Hive parts",
            "hive parts",
            "Parts of the hive",
            "Honey harvest",
            "Bees!",
        ]
        .map(str::to_owned)
        .to_vec();
        let alike = |a: usize, b: usize| {
            if matches!((a.min(b), a.max(b)), (1, 3)) {
                0.99
            } else {
                0.5
            }
        };
        let check =
            |count: usize, expected: &[&str]| assert_eq!(pick(&texts, 1, alike, 0.95, count), expected);
        check(2, &["Hive parts", "Honey harvest"]);
        check(3, &["Hive parts", "Parts of the hive", "Honey harvest"]);
        check(9, &["Hive parts", "Parts of the hive", "Honey harvest"]);
    }
}
