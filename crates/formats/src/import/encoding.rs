//! Text in any common encoding. Few files say which it is; the bytes do.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::ImportError;

/// So much of a file is looked at, in bytes: rarer encodings show within a page.
const SAMPLE_BYTES: usize = 256 << 10;
/// One character in so many may be none; beyond, it is not text. Our own figure: a text with a few broken letters is
/// still worth reading.
const ONE_BROKEN_IN: usize = 50;
/// Of the units of a text in UTF-16 at least so many in a hundred are of its one or two alphabets.
const SHARE_OF_ALPHABET: usize = 70;

/// The text of bytes: by byte order mark, else by `declared`, else by what fits them.
///
/// # Errors
/// [`ImportError::Malformed`] if it is no text in any encoding.
pub(super) fn decode(bytes: &[u8], declared: Option<&'static Encoding>) -> Result<String, ImportError> {
    let encoding = match (Encoding::for_bom(bytes), declared) {
        (Some((marked, _)), _) => marked,
        (None, Some(declared)) if fits(bytes, declared) => declared,
        (None, _) => detected(bytes),
    };
    let (text, _) = encoding.decode_with_bom_removal(bytes);
    let broken = text.chars().filter(|one| is_broken(*one)).count();
    // One breaks wherever a text is cut off.
    if broken > 1 && broken > text.chars().count() / ONE_BROKEN_IN {
        return Err(ImportError::malformed(
            "its bytes are not text in any known encoding",
        ));
    }
    Ok(text.into_owned())
}

fn detected(bytes: &[u8]) -> &'static Encoding {
    if let Some(wide) = wide(bytes) {
        return wide;
    }
    if std::str::from_utf8(bytes).is_ok() {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(
        &bytes[..bytes.len().min(SAMPLE_BYTES)],
        bytes.len() <= SAMPLE_BYTES,
    );
    detector.guess(None, Utf8Detection::Allow)
}

/// UTF-16 without a mark: every second byte is nearly always that of Latin (zero) or Cyrillic (four).
fn wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES) & !1];
    let units = sample.len() / 2;
    if units < 2 {
        return None;
    }
    let share = |high: usize| {
        let of_alphabet = sample.chunks_exact(2).filter(|unit| matches!(unit[high], 0 | 4));
        of_alphabet.count() * 100 / units
    };
    let is_likely = |high: usize| share(high) >= SHARE_OF_ALPHABET && share(1 - high) < SHARE_OF_ALPHABET;
    match (is_likely(1), is_likely(0)) {
        (true, false) => Some(UTF_16LE),
        (false, true) => Some(UTF_16BE),
        _ => None,
    }
}

/// Whether bytes can be in the encoding that the file says it has. Files say Latin-1 of anything.
fn fits(bytes: &[u8], encoding: &'static Encoding) -> bool {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    // The sample may end inside a character.
    let (text, _) = encoding.decode_without_bom_handling(sample);
    let is_utf_8 = encoding != UTF_8 && !sample.is_ascii() && std::str::from_utf8(bytes).is_ok();
    let broken = text.chars().filter(|one| is_broken(*one)).count();
    !is_utf_8 && broken <= 1
}

const fn is_broken(character: char) -> bool {
    matches!(character, '\u{fffd}' | '\0'..='\u{8}' | '\u{e}'..='\u{1a}' | '\u{1c}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}')
}

#[cfg(test)]
mod tests {
    use encoding_rs::{IBM866, ISO_8859_5, KOI8_R, SHIFT_JIS, WINDOWS_1251, WINDOWS_1252};

    use super::*;

    const RUSSIAN: &str = "Спрос и предложение. Цена, при которой количество, которое хотят купить, равно количеству, \
         которое хотят продать, называется равновесной.\nЁлка, съезд, объём — и «кавычки».\n";

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(decode(bytes, None).unwrap(), expected);
    }

    #[test]
    fn russian_is_read_in_every_common_encoding() {
        check(RUSSIAN.as_bytes(), RUSSIAN);
        // The older ones have neither quotation marks nor dashes.
        let plain = RUSSIAN.replace(['«', '»', '—'], "-");
        for encoding in [WINDOWS_1251, KOI8_R, IBM866, ISO_8859_5] {
            let (bytes, _, has_unmappable) = encoding.encode(&plain);
            assert!(!has_unmappable, "{}", encoding.name());
            assert_eq!(decode(&bytes, None).unwrap(), plain, "{}", encoding.name());
        }
        let (bytes, _, _) = WINDOWS_1251.encode(RUSSIAN);
        check(&bytes, RUSSIAN);
    }

    #[test]
    fn utf_16_is_read_with_and_without_a_mark() {
        for text in [RUSSIAN, "Plain English text.\r\n", "Смесь of both"] {
            for mark in ["", "\u{feff}"] {
                let whole = format!("{mark}{text}");
                let little: Vec<u8> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
                let big: Vec<u8> = whole.encode_utf16().flat_map(u16::to_be_bytes).collect();
                check(&little, text);
                check(&big, text);
            }
        }
    }

    #[test]
    fn other_scripts_are_read() {
        check("\u{feff}mark".as_bytes(), "mark");
        let french = "Où êtes-vous allés ? Ça coûte déjà très cher à l'été.";
        check(&WINDOWS_1252.encode(french).0, french);
        let japanese = "これは日本語の文章です。経済学の基礎を学びます。";
        check(&SHIFT_JIS.encode(japanese).0, japanese);
        check(b"ascii only", "ascii only");
    }

    #[test]
    fn a_declaration_is_believed_if_it_can_be_true() {
        let (bytes, _, _) = WINDOWS_1251.encode("Да");
        assert_eq!(decode(&bytes, Some(WINDOWS_1251)).unwrap(), "Да");
        assert_eq!(decode("Да".as_bytes(), Some(WINDOWS_1252)).unwrap(), "Да");
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        let noise: Vec<u8> = (0..4000_u32)
            .map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[1])
            .collect();
        assert_eq!(decode(&noise, None).unwrap_err().code(), "malformed");
        assert_eq!(decode(&[0; 100], None).unwrap_err().code(), "malformed");
    }
}
