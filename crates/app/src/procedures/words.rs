//! What callers read, in their language.

use std::borrow::Cow;

/// The language of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Speech {
    /// The caller named none that is spoken here: texts that existing front ends fix are Russian, all others English.
    #[default]
    Unsaid,
    /// English.
    English,
    /// Russian.
    Russian,
}

impl Speech {
    /// The best of the languages of an `Accept-Language` header (RFC 9110, 12.5.4) that is spoken here.
    pub(crate) fn accepted(header: &str) -> Self {
        let mut best = (0.0, Self::Unsaid);
        for range in header.split(',') {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let quality = parts
                .find_map(|part| part.trim().strip_prefix("q="))
                .map_or(1.0, |quality| quality.parse::<f64>().unwrap_or(0.0));
            let speech = match tag.split('-').next() {
                Some("ru") => Self::Russian,
                Some("en") => Self::English,
                _ => continue,
            };
            if quality > best.0 {
                best = (quality, speech);
            }
        }
        best.1
    }

    /// Whether stored texts, which are Russian, are to be shown in English.
    pub(crate) const fn is_english(self) -> bool {
        matches!(self, Self::English)
    }
}

/// A sentence in every language that is spoken here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    en: Cow<'static, str>,
    ru: Cow<'static, str>,
    is_fixed: bool,
}

impl Text {
    /// A sentence.
    pub(crate) fn new(en: impl Into<Cow<'static, str>>, ru: impl Into<Cow<'static, str>>) -> Self {
        Self {
            en: en.into(),
            ru: ru.into(),
            is_fixed: false,
        }
    }

    /// The sentence, if its Russian form is one that existing front ends expect (service 4.1): it is Russian where
    /// nobody asked for English.
    #[must_use]
    pub(crate) fn fixed(mut self) -> Self {
        self.is_fixed = true;
        self
    }

    /// The sentence in a language.
    pub(crate) fn spoken(&self, speech: Speech) -> &str {
        match speech {
            Speech::Russian => &self.ru,
            Speech::Unsaid if self.is_fixed => &self.ru,
            Speech::English | Speech::Unsaid => &self.en,
        }
    }
}

/// `learning_outcomes[2]` becomes `learningOutcomes[2]`.
pub(crate) fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut is_upper = false;
    for letter in name.chars() {
        if letter == '_' {
            is_upper = true;
        } else if is_upper {
            camel.extend(letter.to_uppercase());
            is_upper = false;
        } else {
            camel.push(letter);
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_spoken_language_is_taken() {
        let check = |header: &str, speech: Speech| assert_eq!(Speech::accepted(header), speech, "{header}");
        check("", Speech::Unsaid);
        check("*", Speech::Unsaid);
        check("de-DE, fr;q=0.9", Speech::Unsaid);
        check("ru", Speech::Russian);
        check("en-US,en;q=0.9,ru;q=0.8", Speech::English);
        check("de, en;q=0.5, ru-RU;q=0.7", Speech::Russian);
        check("en;q=0, ru;q=0.1", Speech::Russian);
        check("en;q=x", Speech::Unsaid);
    }

    #[test]
    fn fixed_texts_are_russian_unless_english_is_asked_for() {
        let fixed = Text::new("yes", "да").fixed();
        assert_eq!(fixed.spoken(Speech::Unsaid), "да");
        assert_eq!(fixed.spoken(Speech::English), "yes");
        let usual = Text::new("yes", "да");
        assert_eq!(usual.spoken(Speech::Unsaid), "yes");
        assert_eq!(usual.spoken(Speech::Russian), "да");
    }

    #[test]
    fn names_become_those_of_the_wire() {
        assert_eq!(camel_case("learning_outcomes[2]"), "learningOutcomes[2]");
        assert_eq!(camel_case("title"), "title");
    }
}
