//! The languages of courses (data model 2.0).

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::InvalidInput;
use crate::script::{SCRIPTS, Script, ScriptCount, cyrillic_neighbour};

macro_rules! languages {
    ($($variant:ident = $code:literal, $english:literal, $native:literal, $whatlang:ident;)+) => {
        /// A language in which courses can be made.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Language {
            $(
                #[doc = $english]
                #[serde(rename = $code)]
                $variant,
            )+
        }

        impl Language {
            /// Every language, as the data model lists them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// ISO 639-1.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The name in English, as prompts use it.
            pub const fn english_name(self) -> &'static str {
                match self { $(Self::$variant => $english,)+ }
            }

            /// The name in the language itself.
            pub const fn native_name(self) -> &'static str {
                match self { $(Self::$variant => $native,)+ }
            }

            pub(crate) const fn from_detector(detected: whatlang::Lang) -> Option<Self> {
                match detected {
                    $(whatlang::Lang::$whatlang => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// Its name in the language detector.
            pub(crate) const fn in_detector(self) -> whatlang::Lang {
                match self {
                    $(Self::$variant => whatlang::Lang::$whatlang,)+
                }
            }
        }
    };
}

languages! {
    Russian = "ru", "Russian", "русский", Rus;
    English = "en", "English", "English", Eng;
    Chinese = "zh", "Chinese", "中文", Cmn;
    Spanish = "es", "Spanish", "español", Spa;
    French = "fr", "French", "français", Fra;
    German = "de", "German", "Deutsch", Deu;
    Japanese = "ja", "Japanese", "日本語", Jpn;
    Korean = "ko", "Korean", "한국어", Kor;
    Arabic = "ar", "Arabic", "العربية", Ara;
    Portuguese = "pt", "Portuguese", "português", Por;
    Italian = "it", "Italian", "italiano", Ita;
    Turkish = "tr", "Turkish", "Türkçe", Tur;
    Vietnamese = "vi", "Vietnamese", "Tiếng Việt", Vie;
    Thai = "th", "Thai", "ไทย", Tha;
    Indonesian = "id", "Indonesian", "Bahasa Indonesia", Ind;
    // The detector does not tell Malay from Indonesian; `Jav` is never offered, so Malay must be named.
    Malay = "ms", "Malay", "Bahasa Melayu", Jav;
    Hindi = "hi", "Hindi", "हिन्दी", Hin;
    Bengali = "bn", "Bengali", "বাংলা", Ben;
    Polish = "pl", "Polish", "polski", Pol;
}

impl Language {
    /// The language of a title by its letters and words; `None` where it cannot be told, so that the user's language
    /// is taken. One word in another script than Latin decides: the rest are names ("Kubernetes для команды").
    pub fn detect(text: &str) -> Option<Self> {
        let count = ScriptCount::of(text);
        let holds = |script: Script| count.share(&[script]) >= OTHER_SCRIPT_SHARE;
        let by_script = SCRIPTS
            .into_iter()
            .find(|&script| script != Script::Latin && holds(script));
        match by_script {
            Some(Script::Cyrillic) => cyrillic_neighbour(text, 1).is_none().then_some(Self::Russian),
            Some(Script::Kana) => Some(Self::Japanese),
            Some(Script::Han) if count.share(&[Script::Kana]) > 0.0 => Some(Self::Japanese),
            Some(Script::Han) => Some(Self::Chinese),
            Some(Script::Hangul) => Some(Self::Korean),
            Some(Script::Thai) => Some(Self::Thai),
            Some(Script::Bengali) => Some(Self::Bengali),
            Some(Script::Devanagari) => Some(Self::Hindi),
            // Persian and Urdu have letters that Arabic lacks.
            Some(Script::Arabic) => (!text.contains(['پ', 'چ', 'ژ', 'گ', 'ٹ', 'ڈ'])).then_some(Self::Arabic),
            Some(Script::Other) => None,
            Some(Script::Latin) | None => Self::detect_latin(text),
        }
    }

    /// Titles are too short for statistics of letters, so common words decide first.
    fn detect_latin(text: &str) -> Option<Self> {
        let lower = text.to_lowercase();
        let words: Vec<&str> = lower
            .split(|letter: char| !letter.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        let score = |list: &str| {
            words
                .iter()
                .filter(|word| list.split(' ').any(|known| known == **word))
                .count()
        };
        let mut scores: Vec<(usize, Self)> = TITLE_WORDS
            .iter()
            .map(|(language, list)| (score(list), *language))
            .collect();
        scores.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        if let [(best, language), (second, _), ..] = scores[..]
            && best > second
        {
            return Some(language);
        }
        let info = whatlang::detect(text).filter(whatlang::Info::is_reliable)?;
        Self::from_detector(info.lang()).filter(|&language| language != Self::Malay)
    }
}

/// The share of letters that makes a title one of a script other than Latin.
const OTHER_SCRIPT_SHARE: f64 = 0.15;

/// Words that are frequent in titles of courses and belong to one language, or to two that others then tell apart.
const TITLE_WORDS: &[(Language, &str)] = &[
    (
        Language::English,
        "the and of to for with how your from an by in on introduction basics guide course beginners fundamentals \
         learn learning advanced practical complete mastering programming design management development data science \
         machine marketing essentials first steps modern writing history using analysts teams work building business",
    ),
    (
        Language::Spanish,
        "de la el los las para y con del una un en introducción curso principiantes básico básica cómo desde programación \
         diseño gestión aprendizaje datos fundamentos avanzado desarrollo",
    ),
    (
        Language::French,
        "le la les des et pour du de une un aux avec dans en introduction cours débutants bases programmation gestion \
         conception apprentissage données comment initiation développement",
    ),
    (
        Language::German,
        "der die das und für mit von ein eine im zum zur den einführung grundlagen kurs anfänger programmierung lernen \
         wie entwicklung daten praxis schritte in",
    ),
    (
        Language::Portuguese,
        "de o os as para e com do da dos das uma um em introdução curso iniciantes básico como programação gestão \
         aprendizado dados fundamentos desenvolvimento",
    ),
    (
        Language::Italian,
        "di il lo gli per e con della del dei una un in introduzione corso principianti base programmazione gestione dati \
         fondamenti come sviluppo",
    ),
    (
        Language::Turkish,
        "ve için ile bir giriş temel temelleri yeni başlayanlar programlama kursu nasıl veri ders yönetimi",
    ),
    (
        Language::Indonesian,
        "dan untuk dengan yang dasar pengantar pemula belajar pemrograman cara kursus dari panduan",
    ),
    (
        Language::Polish,
        "i w z dla do na wprowadzenie podstawy kurs początkujących programowanie programowania jak od zarządzanie danych",
    ),
    (
        Language::Vietnamese,
        "và cho của với nhập môn cơ bản lập trình khóa học người bắt đầu hướng dẫn cách",
    ),
];

impl FromStr for Language {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = text.trim().to_lowercase();
        Self::ALL
            .iter()
            .copied()
            .find(|language| {
                language.code() == wanted
                    || language.english_name().to_lowercase() == wanted
                    || language.native_name().to_lowercase() == wanted
            })
            .ok_or_else(|| {
                let codes: Vec<_> = Self::ALL.iter().map(|language| language.code()).collect();
                InvalidInput::new("language", format!("'{text}' is not one of {}", codes.join(", ")))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(title: &str, expected: Option<Language>) {
        assert_eq!(Language::detect(title), expected, "{title}");
    }

    #[test]
    fn titles_in_every_script_are_told() {
        check("Введение в машинное обучение", Some(Language::Russian));
        check("Ответьте на три вопроса", Some(Language::Russian));
        check("Python для начинающих", Some(Language::Russian));
        check("Kubernetes и Docker: основы", Some(Language::Russian));
        check("Основи програмування українською", None);
        check("机器学习入门", Some(Language::Chinese));
        check("Kubernetes 入门", Some(Language::Chinese));
        check("はじめての機械学習", Some(Language::Japanese));
        check("기계 학습 입문", Some(Language::Korean));
        check("مقدمة في تعلم الآلة", Some(Language::Arabic));
        check("การเรียนรู้ของเครื่องเบื้องต้น", Some(Language::Thai));
        check("मशीन लर्निंग का परिचय", Some(Language::Hindi));
        check("মেশিন লার্নিং পরিচিতি", Some(Language::Bengali));
    }

    #[test]
    fn short_titles_in_latin_letters_are_told_by_their_words() {
        check("Introduction to Rust", Some(Language::English));
        check("Practical SQL for Analysts", Some(Language::English));
        check("Python basics", Some(Language::English));
        check(
            "Introducción a la programación con Python",
            Some(Language::Spanish),
        );
        check(
            "Introduction à la programmation pour débutants",
            Some(Language::French),
        );
        check(
            "Einführung in die Programmierung mit Rust",
            Some(Language::German),
        );
        check(
            "Introdução à programação para iniciantes",
            Some(Language::Portuguese),
        );
        check(
            "Introduzione alla programmazione per principianti",
            Some(Language::Italian),
        );
        check("Yeni başlayanlar için Python", Some(Language::Turkish));
        check(
            "Podstawy programowania dla początkujących",
            Some(Language::Polish),
        );
        check("Dasar pemrograman untuk pemula", Some(Language::Indonesian));
        check(
            "Lập trình Python cho người mới bắt đầu",
            Some(Language::Vietnamese),
        );
    }

    #[test]
    fn names_alone_tell_nothing() {
        check("Kubernetes", None);
        check("C++20", None);
        check("", None);
        check("2026", None);
    }

    #[test]
    fn codes_and_names_are_read() {
        assert_eq!("ru".parse(), Ok(Language::Russian));
        assert_eq!("Русский".parse(), Ok(Language::Russian));
        assert_eq!("english".parse(), Ok(Language::English));
        let error = "xx".parse::<Language>().expect_err("no language");
        assert!(error.message.contains("ru, en, zh"), "{error}");
    }
}
