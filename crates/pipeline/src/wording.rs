//! Texts compared as people compare them.

/// The words of a text, in lower case, without punctuation: two texts are the same if these are.
pub(crate) fn folded(text: &str) -> String {
    let words = text
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

/// Words that stay small inside an English title.
const LITTLE_WORDS: [&str; 22] = [
    "a", "an", "and", "as", "at", "but", "by", "for", "from", "in", "into", "nor", "of", "on", "or", "over",
    "per", "the", "to", "via", "vs", "with",
];

/// A topic as an English title is written: words begin with a capital, except little ones inside and names with capitals
/// of their own.
pub(crate) fn in_title_case(topic: &str) -> String {
    let words = topic.split(' ').enumerate().map(|(place, word)| {
        let is_little = place > 0 && LITTLE_WORDS.contains(&word);
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if !is_little && word.chars().all(|letter| letter.is_ascii_lowercase()) => {
                format!("{}{}", first.to_ascii_uppercase(), letters.as_str())
            }
            _ => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_case_leaves_little_words_and_names_alone() {
        let check = |topic: &str, expected: &str| assert_eq!(in_title_case(topic), expected);
        check("Safety equipment", "Safety Equipment");
        check("Date and time types", "Date and Time Types");
        check("Parts of a bee hive", "Parts of a Bee Hive");
        check("the queen and her bees", "The Queen and Her Bees");
        check("AVG of iPhone sales", "AVG of iPhone Sales");
        check("сбор мёда", "сбор мёда");
    }
}
