//! Texts that match a regular expression, as far as schemas use them: openings, fixed choices, digits.

use rand::Rng;
use rand::rngs::StdRng;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// Repetitions beyond the least that are made of an open-ended one.
const MOST_EXTRA: u32 = 3;

/// A text between `least` and `most` characters that matches `pattern`; `tail` is put where the pattern leaves the
/// end open. `None` if none was found.
pub(super) fn matching(
    pattern: &str,
    tail: &str,
    least: usize,
    most: usize,
    rng: &mut StdRng,
) -> Option<String> {
    let regex = regex::Regex::new(pattern).ok()?;
    let fits = |text: &str| regex.is_match(text) && (least..=most).contains(&text.chars().count());
    if fits(tail) {
        return Some(tail.to_owned());
    }
    let hir = regex_syntax::parse(pattern).ok()?;
    let mut start = String::new();
    write(&hir, rng, &mut start);
    let lower_tail = lower_first(tail);
    let room = most.saturating_sub(start.chars().count() + 1);
    let short_tail: String = lower_tail.chars().take(room).collect();
    let candidates = [
        start.clone(),
        format!("{start}{}", short_tail.trim_end()),
        format!("{} {}", start.trim_end(), short_tail.trim_end()),
        format!("{start}."),
    ];
    candidates.into_iter().find(|text| fits(text))
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn write(hir: &Hir, rng: &mut StdRng, text: &mut String) {
    match hir.kind() {
        HirKind::Literal(literal) => text.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(Class::Unicode(class)) => text.push(letter_of(class, rng)),
        HirKind::Class(Class::Bytes(_)) => text.push('a'),
        HirKind::Repetition(repetition) => {
            let most = repetition
                .max
                .unwrap_or(repetition.min + MOST_EXTRA)
                .min(repetition.min + MOST_EXTRA);
            for _ in 0..rng.random_range(repetition.min..=most) {
                write(&repetition.sub, rng, text);
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, rng, text),
        HirKind::Concat(parts) => parts.iter().for_each(|part| write(part, rng, text)),
        HirKind::Alternation(variants) => write(&variants[rng.random_range(0..variants.len())], rng, text),
        // A word boundary needs something that is no word behind a word.
        HirKind::Look(Look::WordUnicode | Look::WordAscii) if text.ends_with(char::is_alphanumeric) => {
            text.push(' ');
        }
        HirKind::Look(_) | HirKind::Empty => {}
    }
}

/// A letter of the class; a plain one if it has one.
fn letter_of(class: &regex_syntax::hir::ClassUnicode, rng: &mut StdRng) -> char {
    let holds = |letter: char| {
        class
            .ranges()
            .iter()
            .any(|range| (range.start()..=range.end()).contains(&letter))
    };
    let plain: Vec<char> = ('0'..='9')
        .chain('a'..='z')
        .chain('A'..='Z')
        .filter(|letter| holds(*letter))
        .collect();
    if !plain.is_empty() {
        return plain[rng.random_range(0..plain.len())];
    }
    class
        .ranges()
        .first()
        .map_or('a', regex_syntax::hir::ClassUnicodeRange::start)
}
