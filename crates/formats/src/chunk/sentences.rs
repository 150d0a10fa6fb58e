//! Sentences and, where those are too long, words.

use unicode_segmentation::UnicodeSegmentation;

/// The sentences of a text in order (UAX 29), without the white space around them.
pub(super) fn split(text: &str) -> Vec<&str> {
    // A line break of the author's ends a sentence too: verses and addresses have no full stops.
    text.lines()
        .flat_map(str::split_sentence_bounds)
        .map(str::trim)
        .filter(|sentence| !sentence.is_empty())
        .collect()
}

/// A text in parts of at most `most` tokens: as it is if it fits, else cut between words, and between letters if one
/// word is too long.
pub(super) fn cut<'t>(text: &'t str, most: usize, count_tokens: &dyn Fn(&str) -> usize) -> Vec<&'t str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() && count_tokens(rest) > most {
        let end = longest_beginning(rest, most, count_tokens);
        let (part, after) = rest.split_at(end);
        parts.push(part.trim_end());
        rest = after.trim_start();
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// The last sentences of a text that have at most `most` tokens together, or its last words if one sentence has more.
pub(super) fn ending<'t>(text: &'t str, most: usize, count_tokens: &dyn Fn(&str) -> usize) -> &'t str {
    let sentences = split(text);
    let from = |start: &str| &text[start.as_ptr() as usize - text.as_ptr() as usize..];
    let mut best = "";
    for sentence in sentences.iter().rev() {
        let end = from(sentence);
        if count_tokens(end) > most {
            break;
        }
        best = end;
    }
    if !best.is_empty() {
        return best;
    }
    for (words, (at, _)) in text.unicode_word_indices().rev().enumerate() {
        // No word has less than a token.
        if words >= most || count_tokens(&text[at..]) > most {
            break;
        }
        best = &text[at..];
    }
    best
}

/// Where to cut, in bytes: after at least one letter, at the end of a word if one fits.
fn longest_beginning(text: &str, most: usize, count_tokens: &dyn Fn(&str) -> usize) -> usize {
    let after_words: Vec<usize> = text
        .char_indices()
        .filter(|(_, one)| one.is_whitespace())
        .map(|(at, _)| at)
        .filter(|at| *at > 0)
        .collect();
    let fitting = longest_fitting(text, &after_words, most, count_tokens);
    if let Some(end) = fitting {
        return end;
    }
    let after_letters: Vec<usize> = text.grapheme_indices(true).skip(1).map(|(at, _)| at).collect();
    longest_fitting(text, &after_letters, most, count_tokens)
        .or_else(|| after_letters.first().copied())
        .unwrap_or(text.len())
}

/// The last of these ends up to which a text has at most `most` tokens.
fn longest_fitting(
    text: &str,
    ends: &[usize],
    most: usize,
    count_tokens: &dyn Fn(&str) -> usize,
) -> Option<usize> {
    // Longer texts have more tokens, or as many.
    let fitting = ends.partition_point(|end| count_tokens(&text[..*end]) <= most);
    fitting.checked_sub(1).map(|last| ends[last])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> usize {
        text.split_whitespace().count()
    }

    #[test]
    fn sentences_are_found_in_every_script() {
        let check = |text: &str, expected: &[&str]| assert_eq!(split(text), expected);
        check("One. Two! Three?", &["One.", "Two!", "Three?"]);
        check("Цена растёт. Спрос падает.", &["Цена растёт.", "Спрос падает."]);
        check("经济学。需求。", &["经济学。", "需求。"]);
        check("a verse\nanother", &["a verse", "another"]);
        check(" ", &[]);
    }

    #[test]
    fn long_texts_are_cut_between_words_and_long_words_between_letters() {
        assert_eq!(cut("a b c d e", 2, &words), ["a b", "c d", "e"]);
        assert_eq!(cut("a b", 2, &words), ["a b"]);
        let letters = |text: &str| text.chars().count();
        assert_eq!(cut("абвгд", 2, &letters), ["аб", "вг", "д"]);
        assert_eq!(cut("аб", 0, &letters), ["а", "б"]);
    }

    #[test]
    fn endings_are_whole_sentences_if_they_fit() {
        let check =
            |text: &str, most: usize, expected: &str| assert_eq!(ending(text, most, &words), expected);
        check("One two. Three. Four.", 2, "Three. Four.");
        check("One two three four", 2, "three four");
        check("One.", 5, "One.");
        check("word", 0, "");
    }
}
