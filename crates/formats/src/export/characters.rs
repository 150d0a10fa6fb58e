//! Which characters a file of text can hold, whatever reads it.

use std::borrow::Cow;

/// Whether every format can hold this character, even escaped: no control characters but tab and line ends (`Char` of
/// XML 1.0, `c-printable` of YAML 1.2, the parse errors of HTML), and none that Unicode keeps for itself (23.7). Models
/// write some of them, and PDFs are full of them.
pub(super) const fn is_writable(letter: char) -> bool {
    let is_reserved = matches!(letter, '\u{fdd0}'..='\u{fdef}') || letter as u32 & 0xfffe == 0xfffe;
    matches!(letter, '\t' | '\n' | '\r' | ' '..='~' | '\u{a0}'..) && !is_reserved
}

/// The text without characters that not every format can hold.
pub(super) fn writable<'a>(text: impl Into<Cow<'a, str>>) -> String {
    let mut text = text.into().into_owned();
    text.retain(is_writable);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_every_script_stay_and_control_characters_go() {
        let text = "Aé\t\r\n~\u{a0}Я\u{2028}日\u{d7ff}\u{e000}\u{fdcf}\u{fdf0}\u{fffd}\u{1f600}\u{10fffd}";
        assert_eq!(writable(text), text);
        let controls = "\0\u{1}\u{8}\u{b}\u{c}\u{e}\u{1b}\u{1f}\u{7f}\u{80}\u{85}\u{9f}";
        let reserved = "\u{fdd0}\u{fdef}\u{fffe}\u{ffff}\u{1fffe}\u{10ffff}";
        assert_eq!(writable(format!("a{controls}b{reserved}c")), "abc");
    }
}
