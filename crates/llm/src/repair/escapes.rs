//! Backslashes that JSON read as escapes: in `"$\frac{a}{b}$"` `\f` is a form feed, in `"C:\new\table"` `\n` is a
//! line break. A control character is a backslash with its letter again where nothing else can have been meant.

use serde_json::Value;

use super::mathematics::regions;
use super::tex::{Certainty, certainty};
use super::{Change, MOST_NOTES, RepairNote, child};

/// How the characters of a text were written, as far as it matters here. Places are bytes of the text.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    /// Control characters that were not written as escapes.
    pub(super) raw: Vec<usize>,
    /// Backslashes that were written as one: `\alpha`, which is no escape of JSON.
    pub(super) single: Vec<usize>,
}

/// Restores the texts of a value that was read as correct JSON.
pub(super) fn restore_all(value: &mut Value, path: &str, notes: &mut Vec<RepairNote>) {
    match value {
        Value::String(text) => {
            if let Some(restored) = restored(text, &Written::default()) {
                *text = restored;
                if notes.len() < MOST_NOTES {
                    notes.push(RepairNote {
                        path: path.to_owned(),
                        change: Change::Backslash,
                        detail: DETAIL.to_owned(),
                    });
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                restore_all(item, &child(path, &index.to_string()), notes);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                restore_all(field, &child(path, key), notes);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What the notes say.
pub(super) const DETAIL: &str = "a control character before a TeX name or in a path was a backslash";

/// `text` with its backslashes; `None` if it has all.
pub(super) fn restored(text: &str, written: &Written) -> Option<String> {
    if !text.bytes().any(|byte| letter_of(byte).is_some()) {
        return None;
    }
    let in_paths = places_in_paths(text, written);
    let mut mathematics: Option<Mathematics> = None;
    let mut restored = String::new();
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let Some(letter) = letter_of(byte) else { continue };
        if written.raw.binary_search(&at).is_ok() {
            continue;
        }
        let was_backslash = in_paths.binary_search(&at).is_ok()
            || match meaning(text, at, letter) {
                Meaning::Backslash => true,
                Meaning::AsWritten => false,
                Meaning::BackslashInMathematics => {
                    let mathematics = mathematics.get_or_insert_with(|| Mathematics::of(text, written));
                    mathematics.decides_for_backslash(text, at)
                }
            };
        if was_backslash {
            restored.push_str(&text[from..at]);
            restored.push('\\');
            restored.push(letter);
            from = at + 1;
        }
    }
    if from == 0 {
        return None;
    }
    restored.push_str(&text[from..]);
    Some(restored)
}

/// The letter of the escape that stands for a control character.
const fn letter_of(byte: u8) -> Option<char> {
    Some(match byte {
        0x08 => 'b',
        0x0c => 'f',
        b'\n' => 'n',
        b'\r' => 'r',
        b'\t' => 't',
        _ => return None,
    })
}

enum Meaning {
    Backslash,
    BackslashInMathematics,
    AsWritten,
}

/// What the control character at `at` was meant as, by itself.
fn meaning(text: &str, at: usize, letter: char) -> Meaning {
    let behind = &text[at + 1..];
    let length = behind
        .find(|letter: char| !letter.is_ascii_alphabetic())
        .unwrap_or(behind.len());
    match letter {
        // Nobody writes a backspace into a text; `\b` is a border of words, or the beginning of `\beta`.
        'b' => Meaning::Backslash,
        // A form feed ends a page; it does not stand before a word.
        'f' if length > 0 => Meaning::Backslash,
        _ if length == 0 => Meaning::AsWritten,
        _ => match certainty(&format!("{letter}{}", &behind[..length])) {
            Some(Certainty::Anywhere) => Meaning::Backslash,
            Some(Certainty::InMathematics) => Meaning::BackslashInMathematics,
            None => Meaning::AsWritten,
        },
    }
}

/// The mathematics of a text in which control characters may have been backslashes.
struct Mathematics {
    /// Pieces in order, and whether line breaks in them are line breaks.
    regions: Vec<(std::ops::Range<usize>, bool)>,
}

impl Mathematics {
    fn of(text: &str, written: &Written) -> Self {
        let mut regions = regions(text);
        // Who writes other backslashes as JSON wants them means a line break by `\n`, and a tab by `\t`.
        regions.retain(|region| {
            text[region.range.clone()]
                .bytes()
                .enumerate()
                .all(|(offset, byte)| {
                    byte != b'\\'
                        || written
                            .single
                            .binary_search(&(region.range.start + offset))
                            .is_ok()
                })
        });
        Self {
            regions: regions
                .into_iter()
                .map(|region| (region.range, region.has_lines))
                .collect(),
        }
    }

    fn decides_for_backslash(&self, text: &str, at: usize) -> bool {
        let index = self.regions.partition_point(|(range, _)| range.end <= at);
        self.regions.get(index).is_some_and(|(range, has_lines)| {
            range.contains(&at) && !(*has_lines && matches!(text.as_bytes()[at], b'\n' | b'\r'))
        })
    }
}

/// Control characters inside Windows paths: `C:\new\table\report`.
fn places_in_paths(text: &str, written: &Written) -> Vec<usize> {
    let bytes = text.as_bytes();
    let mut places = Vec::new();
    for (colon, _) in text.match_indices(':') {
        let is_drive = colon > 0
            && (bytes[colon - 1].is_ascii_uppercase() || matches!(bytes[colon - 1], b'c' | b'd'))
            && (colon == 1 || !(bytes[colon - 2].is_ascii_alphanumeric() || bytes[colon - 2] >= 0x80));
        if is_drive {
            places.extend(path_at(text, colon + 1, written).unwrap_or_default());
        }
    }
    places
}

/// The control characters of the path whose first separator is at `start`, if it was written with single
/// backslashes and can be nothing else.
fn path_at(text: &str, start: usize, written: &Written) -> Option<Vec<usize>> {
    let bytes = text.as_bytes();
    let mut places = Vec::new();
    let mut separators = 0;
    // Lines of a list stand behind a heading as steps stand behind a drive: `Group B:\napple\nbanana`.
    let mut is_more_than_lines = false;
    let mut at = start;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte == b'\\' {
            if written.single.binary_search(&at).is_err() {
                return None;
            }
            separators += 1;
            is_more_than_lines = true;
        } else if letter_of(byte).is_some() {
            let is_separator = written.raw.binary_search(&at).is_err()
                && bytes.get(at + 1).is_some_and(|next| {
                    next.is_ascii_lowercase() || next.is_ascii_digit() || b"_.-".contains(next)
                });
            if !is_separator {
                break;
            }
            separators += 1;
            is_more_than_lines |= byte != b'\n';
            places.push(at);
        } else if at == start {
            return None;
        } else if byte == b' ' {
            if !(text[start..at].ends_with("Program") && text[at..].starts_with(" Files")) {
                break;
            }
        } else if b"\"<>|*?,;:".contains(&byte) {
            break;
        }
        at += 1;
    }
    // One alone may be the end of a line: `Save it to C:\nthen go on`.
    (separators > 1 && is_more_than_lines).then_some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `written` stands between the quotes of a JSON text; `expected` is the text.
    fn check(written: &str, expected: &str) {
        let json = format!("\"{written}\"");
        let mut value: Value = serde_json::from_str(&json).expect(written);
        let mut notes = Vec::new();
        let before = value.clone();
        restore_all(&mut value, "", &mut notes);
        assert_eq!(value, expected, "{written}");
        assert_eq!(notes.is_empty(), value == before, "{written}");
    }

    fn stays(written: &str) {
        let text: String = serde_json::from_str(&format!("\"{written}\"")).expect(written);
        check(written, &text);
    }

    #[test]
    fn tex_survives_single_backslashes() {
        for tex in [
            r"$\frac{a}{b} \times \theta \nu \beta \rho$",
            r"$\nu$",
            r"$a \neq b$ and $x \to y$, $\tau$, $\tan x$",
            r"$\nabla f$, $\forall x$, $\binom{n}{k}$, $\right)$",
            r"$$\text{if } x \ne 0$$",
            r"\nabla and \frac12 and \rightarrow and \theta without dollars",
            r"$\bar x$, $\not= y$, $a \ni b$",
            r"costs $5 and $\nu$ is a frequency",
        ] {
            check(tex, tex);
        }
    }

    #[test]
    fn regular_expressions_and_paths_survive() {
        for text in [
            r"\bword\b",
            r"C:\new\table\report",
            r"open c:\temp\bin\run.exe, please",
            r"D:\files\notes",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn line_breaks_and_tabs_stay() {
        stays(r"One.\nThe next\n- item\n\nnutrition\tUnit");
        stays(r"Costs $5\nThe rest is 3$.\nu is a letter");
        stays(r"if x:\n\treturn 1\n\ttext = 2\n\tint n;\n\tan = 1");
        stays(r"if x:\n\text = 1\n\to = 2\nu = 3\nnot x");
        stays(r"In French: \nu, \ne pas, \nnot that, \tau fond");
        stays(r"a\tb\nc\td");
        stays(r"echo $HOME\nto $USER");
        stays(r"$a = 1;\nu($b);");
        stays(r"`$x\nu$` is code");
        stays(r"$$\nu = a t\n$$");
        stays(r"$$\nx = 1 \\\\\nu = 2\n$$");
        stays(r"Drive C:\nThen go on");
        stays(r"Save it to C:\nthen go on");
        stays(r"Answer B:\nyes");
        stays(r"Group B:\napple\nbanana\npear");
        stays(r"Vitamin C:\ncitrus\nkiwi");
        stays(r"Option A:\nyes\nno\n2\n.5");
        stays(r"Group B:\napple\nbanana\tYellow");
        stays(r"page\f\nnext\r\nline");
    }

    #[test]
    fn line_breaks_alone_are_no_path_unless_a_backslash_was_written() {
        let check = |text: &str, single: &[usize], expected: Option<&str>| {
            let written = Written {
                raw: Vec::new(),
                single: single.to_vec(),
            };
            assert_eq!(restored(text, &written).as_deref(), expected, "{text}");
        };
        check("C:\new\notes", &[], None);
        check("C:\new\\xml", &[5], Some(r"C:\new\xml"));
        check("C:\new\table", &[], Some(r"C:\new\table"));
    }

    #[test]
    fn text_that_was_escaped_well_stays() {
        for text in [
            r"$\\frac{a}{b} \\times \\nu$",
            r"$$\\alpha = 1 \\\\\nu = 2$$",
            r"\\(x\nu\\)",
            r"C:\\new\\table\nthen go on",
            r"C:\\Users\\me\\temp\nnext",
        ] {
            stays(text);
        }
    }
}
