//! Writing systems, which tell a language more surely than words do.

use crate::language::Language;

/// Scripts as courses in the offered languages use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    Latin,
    Cyrillic,
    Han,
    Kana,
    Hangul,
    Arabic,
    Thai,
    Devanagari,
    Bengali,
    Other,
}

pub(crate) const SCRIPTS: [Script; 10] = [
    Script::Latin,
    Script::Cyrillic,
    Script::Han,
    Script::Kana,
    Script::Hangul,
    Script::Arabic,
    Script::Thai,
    Script::Devanagari,
    Script::Bengali,
    Script::Other,
];

impl Script {
    pub(crate) const fn of(letter: char) -> Self {
        match letter {
            'A'..='Z' | 'a'..='z' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => Self::Latin,
            '\u{400}'..='\u{52f}' => Self::Cyrillic,
            '\u{3040}'..='\u{30ff}' => Self::Kana,
            '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}' => Self::Han,
            '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}' => Self::Hangul,
            '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}' => Self::Arabic,
            '\u{e00}'..='\u{e7f}' => Self::Thai,
            '\u{900}'..='\u{97f}' => Self::Devanagari,
            '\u{980}'..='\u{9ff}' => Self::Bengali,
            _ => Self::Other,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Latin => "a language in Latin letters",
            Self::Cyrillic => "a language in Cyrillic letters",
            Self::Han => "Chinese",
            Self::Kana => "Japanese",
            Self::Hangul => "Korean",
            Self::Arabic => "a language in Arabic letters",
            Self::Thai => "Thai",
            Self::Devanagari => "a language in Devanagari letters",
            Self::Bengali => "Bengali",
            Self::Other => "another script",
        }
    }
}

pub(crate) const fn own_scripts(language: Language) -> &'static [Script] {
    match language {
        Language::Russian => &[Script::Cyrillic],
        Language::Chinese => &[Script::Han],
        Language::Japanese => &[Script::Kana, Script::Han],
        Language::Korean => &[Script::Hangul],
        Language::Arabic => &[Script::Arabic],
        Language::Thai => &[Script::Thai],
        Language::Hindi => &[Script::Devanagari],
        Language::Bengali => &[Script::Bengali],
        _ => &[Script::Latin],
    }
}

/// Letters a script, with the texts of each script's words.
pub(crate) struct ScriptCount {
    letters: [usize; SCRIPTS.len()],
    total: usize,
}

impl ScriptCount {
    pub(crate) fn of(text: &str) -> Self {
        let mut letters = [0; SCRIPTS.len()];
        let mut total = 0;
        for letter in text.chars().filter(|letter| letter.is_alphabetic()) {
            let script = Script::of(letter);
            if let Some(index) = SCRIPTS.iter().position(|&other| other == script) {
                letters[index] += 1;
                total += 1;
            }
        }
        Self { letters, total }
    }

    pub(crate) fn share(&self, scripts: &[Script]) -> f64 {
        let letters: usize = SCRIPTS
            .iter()
            .zip(self.letters)
            .filter(|(script, _)| scripts.contains(script))
            .map(|(_, count)| count)
            .sum();
        letters as f64 / self.total.max(1) as f64
    }
}

/// The language of a Cyrillic text that is not Russian, by `letters_min` letters or more that Russian lacks. The
/// detector takes Russian sentences of a hundred letters for Bulgarian with a confidence of 0.95, so letters decide.
pub(crate) fn cyrillic_neighbour(text: &str, letters_min: usize) -> Option<&'static str> {
    const FOREIGN_LETTERS: [(&str, &str); 4] = [
        ("ў", "Belarusian"),
        ("їєґі", "Ukrainian"),
        ("јљњћђџ", "Serbian"),
        ("ѓќѕ", "Macedonian"),
    ];
    let lower = text.to_lowercase();
    let count = |letters: &str| lower.chars().filter(|&letter| letters.contains(letter)).count();
    let foreign = FOREIGN_LETTERS
        .into_iter()
        .find(|(letters, _)| count(letters) >= letters_min);
    if let Some((_, language)) = foreign {
        return Some(language);
    }
    // Bulgarian lacks ы, э and ё and writes ъ as a vowel; in Russian one of е, ё, ю, я follows every ъ.
    let letters: Vec<char> = lower.chars().collect();
    let is_vowel = |pair: &&[char]| pair[0] == 'ъ' && !"еёюя".contains(pair[1]);
    let vowels = letters.windows(2).filter(is_vowel).count();
    (count("ыэё") == 0 && vowels >= letters_min).then_some("Bulgarian")
}
