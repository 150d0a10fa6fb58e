//! Bloom's revised taxonomy: which verb an objective begins with, and what level of thinking it asks for.
//!
//! Verbs are found by lemma and whole word, never by a part of a word: "Understated" does not begin with
//! "understand", and "знаковые" not with "знать". English and Russian have lists; other languages have none.

mod en;
mod ru;

use std::collections::HashMap;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::language::Language;
use crate::structure::CourseStructure;

/// A level of thinking, from the lowest (Anderson and Krathwohl 2001).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BloomLevel {
    /// Retrieve from memory.
    Remember,
    /// Make meaning of it.
    Understand,
    /// Carry out in a situation.
    Apply,
    /// Break into parts and relate them.
    Analyze,
    /// Judge by criteria.
    Evaluate,
    /// Make something new.
    Create,
}

impl BloomLevel {
    /// Every level, from the lowest.
    pub const ALL: [Self; 6] = [
        Self::Remember,
        Self::Understand,
        Self::Apply,
        Self::Analyze,
        Self::Evaluate,
        Self::Create,
    ];

    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Remember => "remember",
            Self::Understand => "understand",
            Self::Apply => "apply",
            Self::Analyze => "analyze",
            Self::Evaluate => "evaluate",
            Self::Create => "create",
        }
    }
}

/// What an objective begins with, lead-ins such as "By the end you will be able to" apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstVerb {
    /// The infinitive or the banned phrase, in lower case; the word itself where no list has it.
    pub lemma: String,
    /// Its level; `None` where it is banned or unknown.
    pub level: Option<BloomLevel>,
    /// No test can measure it (data model 2.3).
    pub banned: bool,
}

/// The verb that `objective` begins with. `None` for a language without a verb list, and for a text without words.
pub fn first_verb(objective: &str, language: Language) -> Option<FirstVerb> {
    let lexicon = lexicon(language)?;
    let words = words(objective);
    let opening = lexicon.without_lead_in(&words);
    let first = opening.first()?;
    if let Some(phrase) = lexicon.banned_phrase(opening) {
        return Some(FirstVerb {
            lemma: phrase.to_owned(),
            level: None,
            banned: true,
        });
    }
    let verb = lexicon.verb(&first.text).filter(|_| !lexicon.is_noun(opening));
    Some(FirstVerb {
        lemma: verb.map_or_else(|| first.text.clone(), |verb| verb.lemma.to_owned()),
        level: verb.and_then(|verb| verb.level),
        banned: verb.is_some_and(|verb| verb.level.is_none()),
    })
}

/// Verbs with which measurable objectives commonly begin, capitalised as at the start of an objective (English:
/// imperative, Russian: infinitive); empty for a language without a verb list. A pattern for small models.
pub const fn measurable_verbs(language: Language) -> &'static [(&'static str, BloomLevel)] {
    match language {
        Language::English => en::MEASURABLE,
        Language::Russian => ru::MEASURABLE,
        _ => &[],
    }
}

/// Whether objectives of the language can be checked for their verb.
pub const fn has_verb_list(language: Language) -> bool {
    matches!(language, Language::English | Language::Russian)
}

/// How many objectives ask for each level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BloomCounts {
    /// Retrieve from memory.
    pub remember: u32,
    /// Make meaning of it.
    pub understand: u32,
    /// Carry out in a situation.
    pub apply: u32,
    /// Break into parts and relate them.
    pub analyze: u32,
    /// Judge by criteria.
    pub evaluate: u32,
    /// Make something new.
    pub create: u32,
    /// Begin with no verb of the lists.
    pub unrecognized: u32,
}

impl BloomCounts {
    fn of<'a>(objectives: impl IntoIterator<Item = &'a String>, language: Language) -> Self {
        let mut counts = Self::default();
        for objective in objectives {
            let level = first_verb(objective, language).and_then(|verb| verb.level);
            *counts.slot(level) += 1;
        }
        counts
    }

    fn slot(&mut self, level: Option<BloomLevel>) -> &mut u32 {
        match level {
            Some(BloomLevel::Remember) => &mut self.remember,
            Some(BloomLevel::Understand) => &mut self.understand,
            Some(BloomLevel::Apply) => &mut self.apply,
            Some(BloomLevel::Analyze) => &mut self.analyze,
            Some(BloomLevel::Evaluate) => &mut self.evaluate,
            Some(BloomLevel::Create) => &mut self.create,
            None => &mut self.unrecognized,
        }
    }

    /// How many ask for this level.
    pub const fn at(self, level: BloomLevel) -> u32 {
        match level {
            BloomLevel::Remember => self.remember,
            BloomLevel::Understand => self.understand,
            BloomLevel::Apply => self.apply,
            BloomLevel::Analyze => self.analyze,
            BloomLevel::Evaluate => self.evaluate,
            BloomLevel::Create => self.create,
        }
    }

    /// Objectives with a level.
    pub fn recognized(self) -> u32 {
        BloomLevel::ALL.into_iter().map(|level| self.at(level)).sum()
    }

    /// The mean level, 0 (remember) to 5 (create); `None` where no objective has one.
    pub fn mean_level(self) -> Option<f64> {
        let weighted: u32 = (0..)
            .zip(BloomLevel::ALL)
            .map(|(weight, level)| weight * self.at(level))
            .sum();
        (self.recognized() > 0).then(|| f64::from(weighted) / f64::from(self.recognized()))
    }

    /// The one level that all its objectives ask for, where there is one.
    pub fn only_level(self) -> Option<BloomLevel> {
        BloomLevel::ALL
            .into_iter()
            .find(|&level| self.at(level) > 0 && self.at(level) == self.recognized())
    }
}

/// Which levels a course asks for, over all and section by section; lesson objectives are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BloomProfile {
    /// All lessons.
    pub course: BloomCounts,
    /// The lessons of each section.
    pub sections: Vec<BloomCounts>,
}

/// Counts the levels of all lesson objectives. Everything is `unrecognized` in a language without a verb list.
pub fn bloom_profile(structure: &CourseStructure, language: Language) -> BloomProfile {
    let all = structure
        .lessons()
        .flat_map(|(_, lesson)| &lesson.lesson_objectives);
    let sections = structure.sections.iter().map(|section| {
        let objectives = section
            .lessons
            .iter()
            .flat_map(|lesson| &lesson.lesson_objectives);
        BloomCounts::of(objectives, language)
    });
    BloomProfile {
        course: BloomCounts::of(all, language),
        sections: sections.collect(),
    }
}

/// How far into an objective the end of its opening phrase is looked for.
const OPENING_WORDS_MAX: usize = 25;

struct Word {
    /// Lower case, without punctuation around it.
    text: String,
    /// A comma or a colon follows.
    ends_clause: bool,
}

fn words(text: &str) -> Vec<Word> {
    text.split_whitespace()
        .flat_map(|chunk| chunk.split(['/', '—', '–']))
        .map(|chunk| Word {
            text: chunk
                .trim_matches(|letter: char| !letter.is_alphanumeric())
                .to_lowercase()
                .replace('ё', "е"),
            ends_clause: chunk.ends_with([',', ':', ';']),
        })
        .filter(|word| !word.text.is_empty())
        .collect()
}

#[derive(Clone, Copy)]
struct Verb {
    lemma: &'static str,
    /// `None` is a banned verb.
    level: Option<BloomLevel>,
}

struct Lexicon {
    verbs: HashMap<String, Verb>,
    banned_phrases: &'static [&'static str],
    noun_openings: &'static [&'static str],
    lead_words: &'static [&'static str],
    articles: &'static [&'static str],
    openers: &'static [&'static str],
    modals: &'static [&'static str],
    is_adverb: fn(&str) -> bool,
}

fn lexicon(language: Language) -> Option<&'static Lexicon> {
    static ENGLISH: LazyLock<Lexicon> = LazyLock::new(|| Lexicon {
        verbs: verbs(en::BANNED_VERBS, en::VERBS, |entry| (entry, en::forms(entry))),
        banned_phrases: en::BANNED_PHRASES,
        noun_openings: en::NOUN_OPENINGS,
        lead_words: en::LEAD_WORDS,
        articles: en::ARTICLES,
        openers: en::OPENERS,
        modals: en::MODALS,
        is_adverb: en::is_adverb,
    });
    static RUSSIAN: LazyLock<Lexicon> = LazyLock::new(|| Lexicon {
        verbs: verbs(ru::BANNED_VERBS, ru::VERBS, ru::forms),
        banned_phrases: ru::BANNED_PHRASES,
        noun_openings: ru::NOUN_OPENINGS,
        lead_words: ru::LEAD_WORDS,
        articles: ru::ARTICLES,
        openers: ru::OPENERS,
        modals: ru::MODALS,
        is_adverb: ru::is_adverb,
    });
    match language {
        Language::English => Some(&ENGLISH),
        Language::Russian => Some(&RUSSIAN),
        _ => None,
    }
}

/// All inflected forms; a form that two verbs share belongs to the banned or the lower one.
fn verbs(
    banned: &'static str,
    levels: &'static [(BloomLevel, &'static str)],
    forms: fn(&'static str) -> (&'static str, Vec<String>),
) -> HashMap<String, Verb> {
    let mut verbs = HashMap::new();
    let banned = std::iter::once((None, banned));
    let measurable = levels.iter().map(|&(level, entries)| (Some(level), entries));
    for (level, entries) in banned.chain(measurable) {
        for entry in entries.split_whitespace() {
            let (lemma, forms) = forms(entry);
            for form in forms {
                verbs
                    .entry(form.replace('ё', "е"))
                    .or_insert(Verb { lemma, level });
            }
        }
    }
    verbs
}

impl Lexicon {
    fn verb(&self, word: &str) -> Option<Verb> {
        let known = |word: &str| self.verbs.get(word).copied();
        known(word).or_else(|| {
            word.strip_prefix("re-")
                .or_else(|| word.strip_prefix("co-"))
                .and_then(known)
        })
    }

    fn banned_phrase(&self, words: &[Word]) -> Option<&'static str> {
        self.banned_phrases
            .iter()
            .copied()
            .find(|phrase| begins_with(words, phrase))
    }

    fn is_noun(&self, words: &[Word]) -> bool {
        self.noun_openings.iter().any(|phrase| begins_with(words, phrase))
    }

    /// What follows "By the end of this lesson, students will be able to correctly".
    fn without_lead_in<'w>(&self, words: &'w [Word]) -> &'w [Word] {
        let mut rest = words;
        while let Some(first) = rest.first() {
            let word = first.text.as_str();
            let skipped = if self.banned_phrase(rest).is_some() {
                0
            } else if rest.len() == words.len() && self.openers.contains(&word) {
                self.opening_phrase(rest)
            } else if self.verb(word).is_some() {
                0
            } else if self.articles.contains(&word) {
                usize::from(
                    rest.get(1)
                        .is_some_and(|next| self.lead_words.contains(&next.text.as_str())),
                )
            } else {
                let is_label = word.chars().all(|letter| letter.is_numeric() || letter == '.');
                usize::from(is_label || self.lead_words.contains(&word) || (self.is_adverb)(word))
            };
            if skipped == 0 {
                break;
            }
            rest = &rest[skipped..];
        }
        // A text of lead-in words alone keeps its first word, so that it is reported and not lost.
        if rest.is_empty() { words } else { rest }
    }

    /// Words up to the first comma or modal verb; the first word alone where there is neither.
    fn opening_phrase(&self, words: &[Word]) -> usize {
        let end = words.iter().take(OPENING_WORDS_MAX).position(|word| {
            word.ends_clause || (word.text != "to" && self.modals.contains(&word.text.as_str()))
        });
        end.map_or(1, |index| index + 1)
    }
}

fn begins_with(words: &[Word], phrase: &str) -> bool {
    let mut rest = words.iter();
    phrase.split(' ').all(|wanted| {
        rest.next()
            .is_some_and(|word| word.text == wanted.replace('ё', "е"))
    })
}

#[cfg(test)]
mod tests;
