//! Words as rules compare them: folded, stemmed, in any script.

use std::collections::HashSet;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

use crate::language::Language;

/// Lower case, compatibility forms, one space between words, punctuation dropped: two titles that differ only in
/// these are the same title. `+` and `#` at the end of a word are kept, for C, C++ and C# are three languages.
pub fn normalize(text: &str) -> String {
    let folded = folded(text);
    let mut words = String::new();
    let mut letters = folded.chars().peekable();
    let mut in_word = false;
    while let Some(letter) = letters.next() {
        let is_sign = in_word
            && matches!(letter, '+' | '#')
            && !letters.peek().is_some_and(|next| next.is_alphanumeric());
        let is_dot_name =
            letter == '.' && !in_word && letters.peek().is_some_and(|next| next.is_alphabetic());
        if letter.is_alphanumeric() || is_mark(letter) || is_sign || is_dot_name {
            if !in_word && !words.is_empty() {
                words.push(' ');
            }
            words.push(letter);
            in_word = true;
        } else if !matches!(letter, '\'' | '’') {
            in_word = false;
        }
    }
    if words.is_empty() {
        folded.trim().to_owned()
    } else {
        words
    }
}

/// Compatibility forms in lower case, without `ё`. Most texts are in compatibility forms already, which is seen faster than made.
fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower: String = if is_nfkc_quick(text.chars()) == IsNormalized::Yes {
        text.chars().flat_map(char::to_lowercase).collect()
    } else {
        text.nfkc().flat_map(char::to_lowercase).collect()
    };
    lower.replace('ё', "е")
}

/// Vowel signs of Indic and Thai writing, which are no letters of their own.
fn is_mark(letter: char) -> bool {
    unicode_normalization::char::is_combining_mark(letter)
}

/// Whether the script writes words without spaces between them.
pub(crate) fn is_unspaced(letter: char) -> bool {
    matches!(letter,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
}

/// The words of a text that carry its meaning, reduced to stems. Scripts without spaces give pairs of letters.
pub fn stems(text: &str, language: Language) -> HashSet<String> {
    let normalized = normalize(text);
    let mut stems = HashSet::new();
    for word in normalized.split(' ') {
        let letters: Vec<char> = word.chars().collect();
        if letters.iter().any(|&letter| is_unspaced(letter)) {
            stems.extend(letters.windows(2).map(|pair| pair.iter().collect::<String>()));
        } else if !is_function_word(word) && (letters.len() > 1 || language != Language::English) {
            stems.insert(stem(word, language));
        }
    }
    stems
}

/// What the forms of a word have in common: the stem of a word in lower case by the Snowball algorithm of the language, or
/// the word itself where there is none. Latin words in Russian are stemmed as English.
pub fn stem(word: &str, language: Language) -> String {
    let language = match language {
        Language::Russian if word.is_ascii() => Language::English,
        other => other,
    };
    match algorithm(language) {
        Some(algorithm) => Stemmer::create(algorithm).stem(word).into_owned(),
        None => word.to_owned(),
    }
}

const fn algorithm(language: Language) -> Option<Algorithm> {
    match language {
        Language::English => Some(Algorithm::English),
        Language::Russian => Some(Algorithm::Russian),
        Language::Spanish => Some(Algorithm::Spanish),
        Language::French => Some(Algorithm::French),
        Language::German => Some(Algorithm::German),
        Language::Portuguese => Some(Algorithm::Portuguese),
        Language::Italian => Some(Algorithm::Italian),
        Language::Turkish => Some(Algorithm::Turkish),
        Language::Arabic => Some(Algorithm::Arabic),
        _ => None,
    }
}

/// Words without a meaning of their own in English and Russian; other languages keep all.
pub fn is_function_word(word: &str) -> bool {
    const FUNCTION_WORDS: &[&str] = &[
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "and",
        "or",
        "with",
        "without",
        "by",
        "from",
        "as",
        "is",
        "are",
        "be",
        "into",
        "its",
        "their",
        "your",
        "his",
        "her",
        "our",
        "this",
        "that",
        "these",
        "those",
        "how",
        "what",
        "why",
        "when",
        "vs",
        "versus",
        "using",
        "use",
        "between",
        "и",
        "в",
        "во",
        "на",
        "с",
        "со",
        "к",
        "ко",
        "о",
        "об",
        "от",
        "до",
        "по",
        "из",
        "за",
        "для",
        "при",
        "под",
        "над",
        "или",
        "а",
        "но",
        "не",
        "как",
        "что",
        "это",
        "их",
        "его",
        "ее",
        "через",
        "без",
        "между",
        "их",
        "чем",
        "том",
    ];
    FUNCTION_WORDS.contains(&word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::taxonomy::first_verb;
    use crate::validation::{find_placeholder, mismatched_language};

    fn check(text: &str, expected: &str) {
        assert_eq!(normalize(text), expected, "{text}");
    }

    #[test]
    fn case_punctuation_and_forms_of_letters_are_folded() {
        check("  Rows, Columns & KEYS! ", "rows columns keys");
        check("«Ёлка» — зимой", "елка зимой");
        check("C++ and C# and C", "c++ and c# and c");
        check("Learner's guide", "learners guide");
        check(".NET basics", ".net basics");
        check("ＡＢＣ", "abc");
        check("+++", "+++");
    }

    #[test]
    fn stems_join_inflected_words() {
        let shares =
            |left: &str, right: &str, language| !stems(left, language).is_disjoint(&stems(right, language));
        assert!(shares("joining tables", "a table", Language::English));
        assert!(shares("внутренние соединения", "о соединении", Language::Russian));
        assert!(shares("机器学习", "学习方法", Language::Chinese));
        assert!(!shares("the and of", "the and of", Language::English));
    }

    proptest! {
        /// Whatever a model writes, the rules answer.
        #[test]
        fn no_text_breaks_a_rule(text in r"(?s)([\PC\n]|TODO|XXX|\{\{|\}\}|\[|\]|\.\.\.|`|ъ|ы|。){0,60}") {
            for language in [Language::English, Language::Russian, Language::Japanese] {
                let _ = find_placeholder(&text, language);
                let _ = mismatched_language(&text, language);
                let _ = first_verb(&text, language);
                let _ = stems(&text, language);
                let _ = Language::detect(&text);
            }
            prop_assert_eq!(normalize(&normalize(&text)), normalize(&text));
        }

        #[test]
        fn what_is_folded_already_is_folded_alike(text in r"(?s)([a-zA-Z ]|[\PC]|ё|Ё|é|ﬁ|①){0,40}") {
            let slowly: String = text.nfkc().flat_map(char::to_lowercase).collect();
            prop_assert_eq!(folded(&text), slowly.replace('ё', "е"));
        }
    }
}
