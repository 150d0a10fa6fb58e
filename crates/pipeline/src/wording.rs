//! Texts compared as people compare them.

/// The words of a text, in lower case, without punctuation: two texts are the same if these are.
pub(crate) fn folded(text: &str) -> String {
    let words = text
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}
