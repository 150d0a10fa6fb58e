//! The languages of courses (data model 2.0).

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::InvalidInput;

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
    /// The language of a text by its letters and words; `None` where it cannot be told reliably.
    /// Titles are short, so a text in Latin letters without a reliable answer stays undecided.
    pub fn detect(text: &str) -> Option<Self> {
        let info = whatlang::detect(text)?;
        if info.script() == whatlang::Script::Cyrillic {
            // Ukrainian, Bulgarian and Serbian are not offered: a short Cyrillic title is taken as Russian.
            return if info.is_reliable() {
                Self::from_detector(info.lang())
            } else {
                Some(Self::Russian)
            };
        }
        let decided_by_script = info.script() != whatlang::Script::Latin;
        let detected = Self::from_detector(info.lang()).filter(|&language| language != Self::Malay);
        detected.filter(|_| decided_by_script || info.is_reliable())
    }
}

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
