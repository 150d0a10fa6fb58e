//! Which pieces a course may be written from: those in its language, and technical ones in any (generation 3.1).

use domain::language::Language;
use domain::validation::is_in_language;

/// The share of signs of code and formulas among the letters from which on a text is technical. Our own figure: prose of
/// two open textbooks stays under 0.04, their program listings are over 0.10.
const SIGN_SHARE: f64 = 0.08;
/// The share of terms (identifiers, abbreviations, names with digits) among the words from which on a text is technical.
const TERM_SHARE: f64 = 0.25;
/// The share of a text's lines that makes it a table.
const TABLE_SHARE: f64 = 0.5;
/// A shorter piece says nothing of its document's use, in characters: two sentences, by which a language is told well.
const TELLING_CHARACTERS: usize = 150;
/// Signs that prose has no use for.
const SIGNS: &str = "{}[]();=<>|\\/_#$%&*+^~`";

/// Whether a course in `language` can use a piece.
pub(crate) fn is_usable(text: &str, language: Language) -> bool {
    is_in_language(text, language) || is_technical(text)
}

/// Whether a document in another language than the course has anything to write from: short pieces, such as headings, do
/// not tell their language.
pub(crate) fn has_usable<'a>(mut texts: impl Iterator<Item = &'a str>, language: Language) -> bool {
    texts.any(|text| text.chars().count() >= TELLING_CHARACTERS && is_usable(text, language))
}

/// Whether a text is a table, code, formulas or a list of terms, which read the same in every language.
fn is_technical(text: &str) -> bool {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let (rows, all) = lines.fold((0, 0), |(rows, all), line| {
        (rows + usize::from(line.trim_start().starts_with('|')), all + 1)
    });
    let (signs, letters) = text
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .fold((0, 0), |(signs, all), letter| {
            (signs + usize::from(SIGNS.contains(letter)), all + 1)
        });
    let (terms, words) = text.split_whitespace().fold((0, 0), |(terms, all), word| {
        (terms + usize::from(is_term(word)), all + 1)
    });
    let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
    share(rows, all) >= TABLE_SHARE
        || share(signs, letters) >= SIGN_SHARE
        || share(terms, words) >= TERM_SHARE
}

/// `getUser`, `HTTP`, `x86`, `max_size`.
fn is_term(word: &str) -> bool {
    let word = word.trim_matches(|letter: char| !letter.is_alphanumeric());
    let letters = word.chars().filter(|letter| letter.is_alphabetic()).count();
    let has_digit = word.chars().any(|letter| letter.is_ascii_digit());
    let has_inner_capital = word.chars().skip(1).any(char::is_uppercase);
    letters > 0 && (has_digit || has_inner_capital || word.contains('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piece_is_used_in_its_language_and_technical_ones_in_any() {
        let check = |text: &str, language: Language, expected: bool| {
            assert_eq!(is_usable(text, language), expected, "{text}");
        };
        let prose = "Price floors are laws that keep the price of a good or a service from falling below a certain \
            level, and they cause a surplus of the good whenever they lie above the equilibrium price.";
        check(prose, Language::English, true);
        check(prose, Language::Russian, false);
        let table = "| Price | Quantity demanded | Quantity supplied |\n|---|---|---|\n| 1.00 | 800 | 500 |\n\
            | 1.20 | 700 | 550 |\n| 1.40 | 600 | 600 |";
        check(table, Language::Russian, true);
        let code = "def total(prices):\n    result = 0\n    for price in prices:\n        result += price * (1 + rate)\n\
            \x20   return round(result, 2)\n\nprint(total([1.0, 2.5, 3.75]))";
        check(code, Language::Russian, true);
        let terms = "HTTP, TLS 1.3, OAuth2, JSON Web Token, OpenAPI, PostgreSQL 17, Kubernetes v1.31, gRPC, Redis 7, S3";
        check(terms, Language::Russian, true);
        let russian = "Минимальная цена — это закон, который не позволяет цене товара опуститься ниже \
            установленного уровня и поэтому приводит к избытку предложения на рынке.";
        check(russian, Language::Russian, true);
        check(russian, Language::English, false);
        assert!(has_usable([russian, code].into_iter(), Language::English));
        assert!(!has_usable([russian, "Спрос"].into_iter(), Language::English));
    }
}
