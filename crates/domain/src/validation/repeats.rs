//! Sentences that a lesson's text says twice.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::lesson::LessonContent;
use crate::wording::{is_unspaced, normalize};

/// Words from which on a sentence that comes twice is a fault; shorter ones ("Try it yourself.") recur rightly.
const REPEATED_SENTENCE_WORDS: usize = 6;
/// The same for scripts without spaces, in letters.
const REPEATED_SENTENCE_LETTERS: usize = 14;

/// The sentences of a text that `seen` holds already, in its order; all others are seen from now on.
pub(super) fn repeated(text: &str, seen: &mut HashSet<String>) -> Vec<Range<usize>> {
    let mut repeats = Vec::new();
    for sentence in sentences(text) {
        let normalized = normalize(&text[sentence.clone()]);
        let letters = normalized.chars().filter(|&letter| is_unspaced(letter)).count();
        let is_short = normalized.split(' ').count() < REPEATED_SENTENCE_WORDS;
        if is_short && letters < REPEATED_SENTENCE_LETTERS {
            continue;
        }
        if !seen.insert(normalized) {
            repeats.push(sentence);
        }
    }
    repeats
}

/// Removes every sentence that the learner has read before in the same lesson; the first one stays. A text that would
/// become empty stays as it is.
pub fn drop_repeated_sentences(content: &mut LessonContent) {
    let mut seen = HashSet::new();
    let bodies = content.blocks.iter_mut().map(|block| &mut block.body);
    let examples = content.examples.iter_mut().map(|example| &mut example.body);
    let texts = std::iter::once(&mut content.introduction)
        .chain(bodies)
        .chain(examples)
        .chain(std::iter::once(&mut content.summary));
    for text in texts {
        let repeats = repeated(text, &mut seen);
        if !repeats.is_empty() {
            let shorter = without(text, &repeats);
            if !shorter.trim().is_empty() {
                *text = shorter;
            }
        }
    }
}

/// A text without these parts, and without the lines and list markers that are left empty.
fn without(text: &str, parts: &[Range<usize>]) -> String {
    static EMPTY: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[ \t]*(?:[-*•+>]|\d+[.)])?[ \t*_]*$").ok());
    let mut kept = String::with_capacity(text.len());
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let inside = parts
            .iter()
            .filter(|part| part.start >= start && part.end <= end)
            .collect::<Vec<_>>();
        let mut shorter = String::with_capacity(line.len());
        let mut from = start;
        for part in &inside {
            shorter.push_str(&text[from..part.start]);
            from = part.end;
            // One blank between the neighbours is enough.
            if shorter.ends_with(' ') || shorter.is_empty() {
                from += text[from..end].len() - text[from..end].trim_start_matches(' ').len();
            }
        }
        shorter.push_str(&text[from..end]);
        let is_empty = EMPTY
            .as_ref()
            .is_some_and(|empty| empty.is_match(shorter.trim_end()));
        if inside.is_empty() {
            kept.push_str(line);
        } else if !is_empty {
            kept.push_str(shorter.trim_end());
            if line.ends_with('\n') {
                kept.push('\n');
            }
        }
        start = end;
    }
    kept.trim_end().to_owned()
}

/// Where the sentences of Markdown prose stand, with their ends; code, tables and headings are none.
fn sentences(markdown: &str) -> Vec<Range<usize>> {
    static CODE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?s)```.*?(?:```|\z)|~~~.*?(?:~~~|\z)|(?m-s:^[ \t]*[|#>].*$)|(?m-s:^(?: {4}|\t).*$)")
            .ok()
    });
    static END: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"[.!?…]+[\p{Pf}\p{Pe}\x22'*_]*(?:\s+|\z)|[。！？]+|।\s*|\n\s*").ok());
    static MARKER: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^\s*(?:(?:[-*•+]|\d{1,3}[.)])[ \t]+)?").ok());
    let (Some(code), Some(end), Some(marker)) = (&*CODE, &*END, &*MARKER) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut add = |range: Range<usize>| {
        let sentence = &markdown[range.clone()];
        let begin = range.start + marker.find(sentence).map_or(0, |marker| marker.end());
        let finish = range.start + sentence.trim_end().len();
        if begin < finish {
            found.push(begin..finish);
        }
    };
    let mut prose = Vec::new();
    let mut from = 0;
    for code in code.find_iter(markdown) {
        prose.push(from..code.start());
        from = code.end();
    }
    prose.push(from..markdown.len());
    for part in prose {
        let mut from = part.start;
        for end in end.find_iter(&markdown[part.clone()]) {
            add(from..part.start + end.end());
            from = part.start + end.end();
        }
        add(from..part.end);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONCE: &str = "Bees need clean water in every season of the year.";

    #[test]
    fn repeated_sentences_go_and_all_else_stays() {
        let check = |text: &str, expected: &str| {
            let mut seen = HashSet::from([normalize(ONCE)]);
            let repeats = repeated(text, &mut seen);
            assert_eq!(without(text, &repeats), expected, "{text}");
        };
        check(&format!("{ONCE} Fill the dish."), "Fill the dish.");
        check(&format!("Fill the dish. {ONCE}"), "Fill the dish.");
        check(&format!("Fill it. {ONCE} Clean it."), "Fill it. Clean it.");
        check(&format!("- {ONCE}\n- Fill the dish."), "- Fill the dish.");
        check(
            &format!("1. {ONCE}\n2. Fill the dish.\n\nDone."),
            "2. Fill the dish.\n\nDone.",
        );
        check(&format!("- Fill the dish.\n- {ONCE}"), "- Fill the dish.");
        let code = format!("```text\n{ONCE}\n```\n\n| {ONCE} | a |\n\nVersion 3.5 of it.");
        check(&code, &code);
        check("Check it. Check it.", "Check it. Check it.");
    }

    #[test]
    fn sentences_are_found_where_they_stand() {
        let check = |text: &str, expected: &[&str]| {
            let found: Vec<&str> = sentences(text).into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, expected);
        };
        check("One. Two!  Three?", &["One.", "Two!", "Three?"]);
        check("- One.\n- Two\n\n1. Three.", &["One.", "Two", "Three."]);
        check("# Head\n\nOne.\n\n```\nTwo.\n```\nThree.", &["One.", "Three."]);
        check("蜜蜂需要水。它们采蜜。", &["蜜蜂需要水。", "它们采蜜。"]);
    }
}
