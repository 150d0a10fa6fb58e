//! Whether a text is written in the course's language (data model 2.3).

mod function_words;

use std::sync::LazyLock;

use regex::Regex;
use whatlang::{Detector, Lang};

use self::function_words::LittleWords;
use crate::language::Language;
use crate::limits::text_length;
use crate::script::{SCRIPTS, Script, ScriptCount, cyrillic_neighbour, own_scripts};

/// Texts up to this length are too short to tell (data model 2.3).
const LENGTH_MIN: usize = 60;
/// The share of letters in the language's own script from which on the rest are taken for technical terms.
const OWN_SCRIPT_SHARE: f64 = 0.35;
/// The share of letters that another non-Latin script needs to count as the text's script.
const OTHER_SCRIPT_SHARE: f64 = 0.5;
/// The share of kana among letters from which on a text in Han characters is Japanese.
const KANA_SHARE: f64 = 0.1;
/// The share of kana under which a text in Han characters is no Japanese.
const JAPANESE_KANA_SHARE: f64 = 0.03;
/// The detector's own threshold of reliability is for long texts; on sentences of 60 to 150 letters it takes
/// English with many terms for Italian at up to 0.90 (one of 767 English sentences of that length from two open
/// textbooks), so more is asked of it here: at 0.95 none of them is taken for another language. Sentences of models
/// still were, so that the little words of the text have to agree besides.
const CONFIDENCE_MIN: f64 = 0.95;

/// Letters of another Cyrillic alphabet that show its language; fewer come from a name or a quoted word.
const FOREIGN_LETTERS_MIN: usize = 2;

/// Whether nothing tells reliably that `text` is in another language than `language`.
pub fn is_in_language(text: &str, language: Language) -> bool {
    mismatched_language(text, language).is_none()
}

/// The name of the language of `text` where it is reliably another one than `expected`. Code, addresses and terms
/// in Latin letters do not count, and neither does a text of up to 60 characters.
pub fn mismatched_language(text: &str, expected: Language) -> Option<&'static str> {
    if text_length(text) <= LENGTH_MIN {
        return None;
    }
    let prose = without_code(text);
    if text_length(&prose) <= LENGTH_MIN {
        return None;
    }
    let count = ScriptCount::of(&prose);
    let own = own_scripts(expected);
    if count.share(own) >= OWN_SCRIPT_SHARE {
        return mismatch_in_script(&prose, expected, own, &count);
    }
    let foreign = SCRIPTS
        .into_iter()
        .filter(|script| *script != Script::Latin && *script != Script::Other && !own.contains(script))
        .find(|script| count.share(&[*script]) >= OTHER_SCRIPT_SHARE);
    if let Some(script) = foreign {
        return Some(script.name());
    }
    // Mostly Latin letters in a course of another script: prose is a fault, a list of terms is not.
    let is_latin_prose = !own.contains(&Script::Latin) && count.share(&[Script::Latin]) >= OTHER_SCRIPT_SHARE;
    is_latin_prose
        .then(|| detect(&letters_of(&prose, &[Script::Latin]), LATIN))
        .flatten()
        .map(name)
}

/// A text in the right letters may still be in a neighbouring language.
fn mismatch_in_script(
    prose: &str,
    expected: Language,
    own: &[Script],
    count: &ScriptCount,
) -> Option<&'static str> {
    match expected {
        Language::Chinese => (count.share(&[Script::Kana]) >= KANA_SHARE).then_some("Japanese"),
        // Japanese of this length has kana; without any it is Chinese.
        Language::Japanese => (count.share(&[Script::Kana]) < JAPANESE_KANA_SHARE).then_some("Chinese"),
        Language::Korean | Language::Thai | Language::Bengali => None,
        // The detector has no list for Malay, which it takes for Indonesian; either passes.
        Language::Malay | Language::Indonesian => detect(&letters_of(prose, own), LATIN)
            .filter(|&found| found != Lang::Ind)
            .map(name),
        Language::Russian => cyrillic_neighbour(prose, FOREIGN_LETTERS_MIN),
        _ => {
            let letters = letters_of(prose, own);
            let found = match own {
                [Script::Arabic] => detect(&letters, ARABIC),
                [Script::Devanagari] => detect(&letters, DEVANAGARI),
                _ => {
                    let (words, expected) = (LittleWords::of(&letters), expected.in_detector());
                    // The little words have to agree in any case, and cost little beside detecting.
                    let is_in_doubt = words.speak_another(expected);
                    is_in_doubt
                        .then(|| detect(&letters, LATIN))
                        .flatten()
                        .filter(|found| words.speak_rather(*found, expected))
                }
            };
            found
                .filter(|found| Language::from_detector(*found) != Some(expected))
                .map(name)
        }
    }
}

/// The languages between which a text in these letters is decided: those offered, and their neighbours that a model
/// is likely to slip into.
const LATIN: &[Lang] = &[
    Lang::Eng,
    Lang::Spa,
    Lang::Fra,
    Lang::Deu,
    Lang::Por,
    Lang::Ita,
    Lang::Tur,
    Lang::Vie,
    Lang::Ind,
    Lang::Pol,
    Lang::Nld,
];
const ARABIC: &[Lang] = &[Lang::Ara, Lang::Pes, Lang::Urd];
const DEVANAGARI: &[Lang] = &[Lang::Hin, Lang::Mar, Lang::Nep];

fn name(language: Lang) -> &'static str {
    language.eng_name()
}

fn detect(text: &str, candidates: &[Lang]) -> Option<Lang> {
    if text_length(text) <= LENGTH_MIN {
        return None;
    }
    let info = Detector::with_allowlist(candidates.to_vec()).detect(text)?;
    (info.is_reliable() && info.confidence() >= CONFIDENCE_MIN).then(|| info.lang())
}

/// The words whose letters all belong to these scripts.
fn letters_of(text: &str, scripts: &[Script]) -> String {
    let words = text.split_whitespace().filter(|word| {
        word.chars()
            .filter(|letter| letter.is_alphabetic())
            .all(|letter| scripts.contains(&Script::of(letter)))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Prose without code, formulas, addresses and identifiers, none of which has a language.
fn without_code(text: &str) -> String {
    static CODE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let pattern = r"(?s)```.*?(?:```|\z)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]{1,200}\$|<[^<>]{1,200}>|\S+://\S+|\S+@\S+\.\S+|\b\w*(?:[a-z][A-Z]|_)\w*\b|\b\w+\(\)";
        Regex::new(pattern).ok()
    });
    match &*CODE {
        Some(code) => code.replace_all(text, " ").into_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Language, is_fine: bool) {
        assert_eq!(
            is_in_language(text, expected),
            is_fine,
            "{text}: {:?}",
            mismatched_language(text, expected)
        );
    }

    const ENGLISH: &str =
        "The course leads from the first steps to projects that you can show to others with pride.";
    const RUSSIAN: &str = "Курс ведёт от первых шагов к проектам, которые не стыдно показать другим людям.";
    const SPANISH: &str = "El curso lleva desde los primeros pasos hasta proyectos que puedes mostrar con orgullo a los demás, y cada lección termina con ejercicios.";
    const GERMAN: &str =
        "Der Kurs führt von den ersten Schritten bis zu Projekten, die du anderen zeigen kannst.";
    const CHINESE: &str = "本课程从基础知识开始，逐步引导学习者完成可以展示给他人的项目，并在每节课之后提供练习、测验和详细的讲解，帮助学习者掌握所学的内容，建立信心，不断进步。";
    const JAPANESE: &str = "このコースは基礎から始まり、他の人に見せられるプロジェクトまで段階的に案内します。各レッスンの後には練習問題とクイズがあり、学んだ内容を確認できます。";
    const UKRAINIAN: &str = "Цей курс веде від перших кроків до проєктів, які не соромно показати іншим людям, і вчить їх створювати.";

    const BULGARIAN: &str = "Курсът води от първите стъпки до проекти, които можете с гордост да покажете на други хора, и завършва със задача, която се решава сам.";

    #[test]
    fn russian_that_the_detector_takes_for_bulgarian_is_fine() {
        check(
            "Ответьте на три вопроса по теме без записей и сравните ответы с решением.",
            Language::Russian,
            true,
        );
        check(
            "Объяснить объект и субъект права на примере объявления о продаже дома",
            Language::Russian,
            true,
        );
    }

    #[test]
    fn long_texts_in_another_language_are_found() {
        let texts = [
            (ENGLISH, Language::English),
            (RUSSIAN, Language::Russian),
            (SPANISH, Language::Spanish),
            (GERMAN, Language::German),
            (CHINESE, Language::Chinese),
            (JAPANESE, Language::Japanese),
        ];
        for (text, language) in texts {
            for (_, expected) in texts {
                check(text, expected, language == expected);
            }
        }
        check(UKRAINIAN, Language::Russian, false);
        check(BULGARIAN, Language::Russian, false);
    }

    #[test]
    fn technical_terms_in_latin_letters_are_fine_in_russian() {
        check(
            "Настроить Docker Compose, Kubernetes Ingress Controller и Helm charts для сервиса",
            Language::Russian,
            true,
        );
        check(
            "Использовать хуки useEffect, useMemo, useCallback, useContext, useReducer, useState",
            Language::Russian,
            true,
        );
        check(
            "React, Redux, TypeScript, Webpack, ESLint, Prettier, Jest, Cypress, Storybook, Vite",
            Language::Russian,
            true,
        );
        check(
            "Выполните команду `git rebase --interactive HEAD~3` and see what happens: `git log --oneline`",
            Language::Russian,
            true,
        );
    }

    #[test]
    fn short_texts_are_not_judged() {
        check("An English title", Language::Russian, true);
        check("Русское название", Language::English, true);
    }

    #[test]
    fn english_that_the_detector_takes_for_french_is_fine() {
        check(
            "Learners practice writing SQL queries in a practical setting using a database management system.",
            Language::English,
            true,
        );
    }

    #[test]
    fn foreign_words_in_english_prose_are_fine() {
        check(
            "Compare the German words Zeitgeist, Weltschmerz and Schadenfreude with their translations",
            Language::English,
            true,
        );
        check(
            "Use groupby(), merge(), pivot_table() and apply() to summarise a DataFrame of taxi rides",
            Language::English,
            true,
        );
        check(
            "Distinguish de facto, de jure, pro bono and habeas corpus in the opinions of a court",
            Language::English,
            true,
        );
    }
}
