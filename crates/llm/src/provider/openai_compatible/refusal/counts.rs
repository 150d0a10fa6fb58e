//! Which numbers of a refusal are counts of tokens, and of what. A number that is misread is kept for good, so that only
//! those count that stand beside words for what they are.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// The smallest number in a refusal that is taken for a count of tokens: windows and limits are larger, versions,
/// positions and statuses in texts of small prompts are not.
pub(super) const LEAST_TOKENS: u32 = 200;
/// A window below this is not believed: no served model has one, and a number that was misread would keep every question
/// from being asked.
const LEAST_WINDOW: u32 = 1024;
/// How far behind its words a limit may stand, in bytes.
const LONGEST_GAP_BYTES: usize = 60;

/// A pattern that is compiled once; `None` if it were wrong.
type Pattern = LazyLock<Option<Regex>>;

/// A whole number of a text: `8192`, `8,192`, `8_192`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) value: u32,
    range: Range<usize>,
}

/// Whether a window can be so small.
pub(super) const fn is_window(tokens: u32) -> bool {
    tokens >= LEAST_WINDOW
}

/// The numbers of a text, but for parts of names, dates and fractions: `gpt-5-2025-08-07`, `3.5`.
pub(super) fn counts(text: &str) -> impl Iterator<Item = Count> {
    static NUMBER: Pattern = LazyLock::new(|| Regex::new(r"[0-9]{1,3}(?:[,_][0-9]{3})+\b|[0-9]+").ok());
    let found = NUMBER.as_ref().map(|pattern| pattern.find_iter(text));
    found.into_iter().flatten().filter_map(|found| {
        let (mut before, mut behind) = (text[..found.start()].chars().rev(), text[found.end()..].chars());
        let is_part = |next: Option<char>, second: Option<char>| match next {
            Some('-' | '.' | '/') => second.is_some_and(|letter| letter.is_ascii_digit()),
            Some('_') => true,
            Some(letter) => letter.is_ascii_alphanumeric(),
            None => false,
        };
        let first = before.next();
        let joins_name =
            matches!(first, Some('-' | '/')) && before.clone().next().is_some_and(char::is_alphabetic);
        if joins_name || is_part(first, before.next()) || is_part(behind.next(), behind.next()) {
            return None;
        }
        Some(Count {
            value: number(found.as_str())?,
            range: found.range(),
        })
    })
}

fn number(text: &str) -> Option<u32> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// A text without the codes of the JSON in it: their numbers count nothing.
pub(super) fn without_codes(text: &str) -> String {
    static CODE: Pattern =
        LazyLock::new(|| Regex::new(r#""(?:code|status|type)": ?(?:"[^"]*"|[0-9]+)"#).ok());
    match &*CODE {
        Some(pattern) => pattern.replace_all(text, "\"\"").into_owned(),
        None => text.to_owned(),
    }
}

/// The window that a text names.
pub(super) fn window(text: &str) -> Option<u32> {
    /// What fits into what: `199759 + 8192 > 200000`.
    static SUM: Pattern =
        LazyLock::new(|| Regex::new(r"[0-9]\s*\+\s*[0-9][0-9_,]*\s*>\s*([0-9][0-9_,]*)").ok());
    /// `131072 maximum context length`.
    static BEFORE: Pattern =
        LazyLock::new(|| Regex::new(r"\b([0-9][0-9_,]*)[ -](?:tokens?[ -])?(?:max(?:imum)? )?context").ok());
    /// The number behind the words for a window. A comma or a quotation mark begins another matter.
    static BEHIND: Pattern = LazyLock::new(|| {
        Regex::new(
            r#"(?:context[ _](?:length|window|size|limit)|max_model_len|maximum model length|n_ctx|maximum|\(tpm\): limit)(?:":)?[^0-9,"]{0,60}([0-9][0-9_,]*)"#,
        )
        .ok()
    });
    [&SUM, &BEFORE, &BEHIND].into_iter().find_map(|pattern| {
        let mut found = pattern.as_ref()?.captures_iter(text);
        found.find_map(|captures| number(captures.get(1)?.as_str()).filter(|tokens| is_window(*tokens)))
    })
}

/// The least number that can be a window where none is named: the others are what was asked for.
pub(super) fn least_window(text: &str, prompt: Option<u32>) -> Option<u32> {
    counts(text)
        .map(|count| count.value)
        .filter(|tokens| is_window(*tokens) && Some(*tokens) != prompt)
        .min()
}

/// The tokens of the prompt that a text names.
pub(super) fn prompt(text: &str) -> Option<u32> {
    static PROMPT: Pattern = LazyLock::new(|| {
        Regex::new(
            r"([0-9][0-9_,]*)\s*(?:tokens?\s*)?(?:in the (?:messages|prompt|input)|input tokens|prompt tokens|from the input|of text input)|(?:prompt|input)[^0-9.;]{0,40}?([0-9][0-9_,]*) tokens|([0-9][0-9_,]*)\s*\+\s*[0-9][0-9_,]*\s*>",
        )
        .ok()
    });
    let captures = PROMPT.as_ref()?.captures(text)?;
    number(captures.iter().skip(1).flatten().next()?.as_str())
}

/// The longest answer that a text allows where `asked` tokens were too many.
pub(super) fn limit(text: &str, asked: u32) -> Option<u32> {
    /// Words before the most that is allowed. `greater than` says the least unless it is denied.
    static WORDS: Pattern = LazyLock::new(|| {
        Regex::new(
            r"at most|up to|\bmax(?:imum)?\b|\b(?:less|lower|smaller|fewer) than(?: or equal to)?|(?:not|cannot) (?:be )?(?:greater|larger|higher|more) than|<=?|\u{2264}|[0-9] ?>|\brange\b|\bbetween\b|\bsupports\b|\blimit\b|\bexceeds?\b|\u{8303}\u{56f4}|\u{6700}\u{5927}",
        )
        .ok()
    });
    let counts: Vec<Count> = counts(text).collect();
    let beside = |words: regex::Match| {
        let below = ["<", "less than", "lower than", "smaller than", "fewer than"].contains(&words.as_str());
        let near = counts.iter().filter(|count| {
            (words.end()..=words.end() + LONGEST_GAP_BYTES).contains(&count.range.start)
                && !text[words.end()..count.range.start].contains(". ")
        });
        let mut limits = near.map(|count| {
            let is_excluded = below || text[count.range.end..].trim_start().starts_with("(exclusive)");
            count.value.saturating_sub(u32::from(is_excluded))
        });
        limits.find(|tokens| (LEAST_TOKENS..asked).contains(tokens))
    };
    WORDS.as_ref()?.find_iter(text).filter_map(beside).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_dates_and_fractions_are_no_counts() {
        let check = |text: &str, expected: &[u32]| {
            let found: Vec<u32> = counts(text).map(|count| count.value).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("8192, 8,192 and 8_192.", &[8192, 8192, 8192]);
        check("[1,8000], [1, 8000]", &[1, 8000, 1, 8000]);
        check("`4096` of a 4096-token window (n_ctx=512)", &[4096, 4096, 512]);
        check(
            "gpt-5-2025-08-07, 2024-08-01-preview, llama-3.1-8b, gpt-4-32768",
            &[],
        );
        check("v2, 3.5, 128k, max_4096, a4096", &[]);
        check("99999999999999", &[]);
    }
}
