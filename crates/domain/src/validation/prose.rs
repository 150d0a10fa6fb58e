//! What in the prose of a lesson is surely not meant for learners. Forms and letters to fill in, dialogues and samples in
//! other languages are content; what might be either is reported and never refused.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;

use super::language::mismatched_language;
use super::placeholders::find_placeholder;
use crate::language::Language;
use crate::lesson::count_words;
use crate::limits::text_length;
use crate::structure::Lesson;
use crate::wording::stems;

/// A text with fewer words beside a placeholder says nothing without it.
const OWN_WORDS_MIN: usize = 4;
/// Up to so many words, a text that begins with a marker such as "TODO:" is a note and no sentence about notes.
const NOTE_WORDS_MAX: usize = 12;

/// Whose voice a part of a lesson is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    /// The lesson speaks of itself: what comes, what to remember.
    Own,
    /// The lesson explains, also with samples.
    Explaining,
    /// Material to work with: examples, exercises, questions.
    Material,
}

/// The first placeholder in a text, and whether it is surely one that was left over.
pub(super) fn placeholder(text: &str, voice: Voice, language: Language) -> Option<(String, bool)> {
    let found = find_placeholder(text, language)?;
    let is_left_over = is_all_there_is(text, &found) || (voice == Voice::Own && asks_for_text(&found));
    Some((found, is_left_over))
}

/// Whether a text says next to nothing beside its placeholder.
fn is_all_there_is(text: &str, found: &str) -> bool {
    if found.is_empty() || found == text.trim() {
        return true;
    }
    let begins_with_it = text.trim_start().starts_with(found);
    let is_word = found.chars().next().is_some_and(char::is_alphabetic);
    count_words(&text.replace(found, " ")) < OWN_WORDS_MIN
        || (is_word && begins_with_it && count_words(text) <= NOTE_WORDS_MAX)
}

/// `[insert topic here]`: no form says so of itself where a lesson introduces or sums up.
fn asks_for_text(found: &str) -> bool {
    static ASKS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?i)^[\[<{]+\s*(?:insert|placeholder|describe|specify|add the|enter the|вставь|вставьте|вставить|впишите|укажите|(?:course|lesson|section|module|topic)[ _-]?(?:name|title)|название (?:курса|урока|раздела|темы))").ok()
    });
    ASKS.as_ref().is_some_and(|asks| asks.is_match(found))
}

/// The language of a text where it is reliably another one than `expected`, and whether that is so throughout: without
/// quoted samples, and with no paragraph in the expected language.
pub(super) fn foreign(text: &str, expected: Language) -> Option<(&'static str, bool)> {
    static SAMPLE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new("(?m)^[ \\t]*(?:[>|]|[-*•–—][ \\t]).*$|\"[^\"\\n]{1,400}\"|«[^»\\n]{1,400}»|“[^”\\n]{1,400}”|„[^“”\\n]{1,400}[“”]|\\*[^*\\n]{1,400}\\*").ok()
    });
    let found = mismatched_language(text, expected)?;
    let prose = match &*SAMPLE {
        Some(sample) => sample.replace_all(text, " "),
        None => text.into(),
    };
    let has_own_paragraph = || {
        let long = prose.lines().filter(|line| text_length(line) > TELLING_LENGTH);
        long.into_iter()
            .any(|line| mismatched_language(line, expected).is_none())
    };
    let is_throughout = mismatched_language(&prose, expected).is_some() && !has_own_paragraph();
    Some((found, is_throughout))
}

/// Texts up to this length are too short to tell (data model 2.3).
const TELLING_LENGTH: usize = 60;

/// Whether a lesson is about a language, so that its texts may be in it.
pub(super) fn is_about_a_language(lesson: &Lesson, language: Language) -> bool {
    const SUBJECTS: &str = "language translate translation vocabulary pronunciation grammar dialogue conversation phrase \
        phrasebook verb noun idiom proverb lyrics poem poetry prose novel literature liturgy scripture opera \
        english german french spanish italian portuguese russian ukrainian polish czech dutch swedish greek latin turkish \
        arabic hebrew hindi bengali chinese mandarin japanese korean vietnamese thai indonesian malay \
        язык перевод лексика словарь грамматика произношение диалог разговор фраза глагол идиома пословица стихи поэзия \
        литература английский немецкий французский испанский итальянский русский китайский японский корейский латинский \
        греческий турецкий арабский украинский польский \
        idioma lengua traducción vocabulario gramática inglés alemán francés español langue traduction vocabulaire grammaire \
        anglais allemand espagnol sprache übersetzung wortschatz grammatik englisch deutsch französisch spanisch lingua \
        inglese tedesco francese spagnolo";
    let texts = std::iter::once(&lesson.lesson_title)
        .chain(&lesson.lesson_objectives)
        .chain(&lesson.key_topics);
    let subjects: HashSet<String> = stems(SUBJECTS, language);
    texts
        .into_iter()
        .any(|text| !stems(text, language).is_disjoint(&subjects))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_content_and_left_over_placeholders_are_not() {
        let check = |text: &str, voice: Voice, expected: Option<bool>| {
            let found = placeholder(text, voice, Language::English).map(|(_, is_left_over)| is_left_over);
            assert_eq!(found, expected, "{text}");
        };
        for voice in [Voice::Own, Voice::Explaining, Voice::Material] {
            check("TODO", voice, Some(true));
            check("TODO: write the summary of this lesson", voice, Some(true));
            check("[Insert topic here]", voice, Some(true));
            check("...", voice, Some(true));
            check("Lesson title", voice, Some(true));
            check(
                "Copy this form into your notes:\n\nCourse: [name] · Date: [date]",
                voice,
                Some(false),
            );
            check(
                "Write to your tutor:\n\nDear [Name],\nI would like to talk about my plan.\nBest wishes, [your name]",
                voice,
                Some(false),
            );
            check(
                "A TODO that has no date is only a wish, however good it sounds.",
                voice,
                Some(false),
            );
            check("Give each task a date and a place.", voice, None);
        }
        let template = "Welcome! In this lesson you will learn all about [insert topic here], step by step.";
        check(template, Voice::Own, Some(true));
        check(template, Voice::Material, Some(false));
    }

    const GERMAN: &str = "Guten Tag, ich möchte einen Tisch für zwei Personen am Fenster bestellen, wenn das heute Abend noch möglich ist.";
    const ENGLISH: &str =
        "Read the dialogue aloud twice, then answer the questions below it without looking back.";

    #[test]
    fn samples_in_another_language_are_no_foreign_text() {
        let check = |text: &str, expected: Option<bool>| {
            let found = foreign(text, Language::English).map(|(_, is_throughout)| is_throughout);
            assert_eq!(found, expected, "{text}");
        };
        check(ENGLISH, None);
        check(GERMAN, Some(true));
        check(&format!("{GERMAN}\n\n{GERMAN}"), Some(true));
        check(
            &format!("{ENGLISH}\n\n{GERMAN}\n\n{GERMAN} {GERMAN}"),
            Some(false),
        );
        check(&format!("> {GERMAN}\n> {GERMAN}"), Some(false));
        check(&format!("\"{GERMAN}\""), Some(false));
    }

    #[test]
    fn lessons_about_languages_are_told_from_others() {
        let check = |title: &str, language: Language, expected: bool| {
            let mut lesson = crate::samples::course(Language::English).sections[0].lessons[0].clone();
            title.clone_into(&mut lesson.lesson_title);
            lesson.lesson_objectives.clear();
            lesson.key_topics.clear();
            assert_eq!(is_about_a_language(&lesson, language), expected, "{title}");
        };
        check("Ordering in a German restaurant", Language::English, true);
        check("Translating contracts", Language::English, true);
        check("Заказ в ресторане на немецком языке", Language::Russian, true);
        check("Las palabras en inglés", Language::Spanish, true);
        check("Watering bees in summer", Language::English, false);
        check("Устройство улья", Language::Russian, false);
    }
}
