//! What may follow a text: whether a quote ends it is seen by what stands behind.

use super::quoted::{Marks, Place, closers_of, is_name};

/// Longest key that is looked for behind a comma, in bytes.
pub(super) const LONGEST_KEY_BYTES: usize = 80;

/// Full-width punctuation as JSON's own.
pub(super) const fn plain_mark(letter: char) -> char {
    match letter {
        '\u{ff0c}' => ',',
        '\u{ff1a}' => ':',
        '\u{ff5b}' => '{',
        '\u{ff5d}' => '}',
        '\u{ff3b}' => '[',
        '\u{ff3d}' => ']',
        other => other,
    }
}

/// The mark that `text` begins with, full-width or not, and what follows it.
pub(super) fn split_mark(text: &str) -> Option<(char, &str)> {
    let letter = text.chars().next()?;
    Some((plain_mark(letter), &text[letter.len_utf8()..]))
}

/// Leaves out white space, also the kinds that JSON does not know.
pub(super) fn skip_space(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

/// White space, and what is not to be seen.
pub(super) fn is_space(letter: char) -> bool {
    letter.is_whitespace()
        || matches!(
            letter,
            '\u{feff}' | '\u{200b}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\0'
        )
}

/// A quote of which is asked whether it closes its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) place: Place,
    /// The text before it is empty.
    pub(super) is_empty: bool,
    /// A quote inside the text waits for its other half, so that weak signs do not count.
    pub(super) is_open: bool,
    pub(super) marks: Marks,
}

impl Candidate {
    /// Whether it closes its text, with `after` behind it.
    pub(super) fn ends_here(self, after: &str) -> bool {
        let rest = skip_space(after);
        let spaced = rest.len() < after.len();
        let new_line = after[..after.len() - rest.len()].contains('\n');
        let Some((next, behind)) = split_mark(rest) else {
            return true;
        };
        let is_comment =
            || new_line || rest.starts_with("```") || rest.starts_with("//") || rest.starts_with("/*");
        let is_joined = || !self.is_open && next == '+' && self.opens(skip_space(behind));
        match self.place {
            Place::Key => {
                matches!(next, ':' | '=')
                    || (next == '*'
                        && skip_space(behind.trim_start_matches('*')).starts_with([':', '\u{ff1a}']))
                    || (spaced && (closers_of(next).is_some() || matches!(next, '{' | '[')))
            }
            Place::Field => match next {
                '}' | ']' => self.structure_goes_on(behind),
                ',' => self.field_follows(skip_space(behind)),
                '`' | '/' | '#' => is_comment(),
                '+' => is_joined(),
                _ if self.is_open => (spaced || self.is_empty) && self.quoted_key_follows(rest),
                '"' if !spaced => plain_key_follows(rest),
                // Without a comma, a key has to be plain: prose has colons as well.
                _ => {
                    (spaced || self.is_empty)
                        && (self.quoted_key_follows(rest) || (new_line && self.key_follows(rest)))
                }
            },
            Place::Item => match next {
                '}' | ']' => self.structure_goes_on(behind),
                // A key where an item was expected: the list was not closed.
                ':' => true,
                ',' => self.item_follows(skip_space(behind)),
                '`' | '/' | '#' => is_comment(),
                '+' => is_joined(),
                '{' | '[' => new_line,
                _ => closers_of(next).is_some() && spaced && (new_line || !self.is_open),
            },
        }
    }

    fn opens(self, rest: &str) -> bool {
        rest.chars()
            .next()
            .is_some_and(|letter| self.marks.closers(letter).is_some())
    }

    /// What may stand behind a closing bracket.
    fn structure_goes_on(self, after: &str) -> bool {
        let rest = skip_space(after);
        let new_line = after[..after.len() - rest.len()].contains('\n');
        match split_mark(rest).map(|(next, _)| next) {
            None | Some(',' | '}' | ']' | '`' | '{' | '/' | '#' | '<') => true,
            // The answer is over and prose follows.
            Some(next) => new_line || self.marks.closers(next).is_some(),
        }
    }

    fn field_follows(self, rest: &str) -> bool {
        match split_mark(rest).map(|(next, _)| next) {
            None | Some('}' | ']' | ',' | '#') => true,
            Some('/') => rest.starts_with("//") || rest.starts_with("/*"),
            Some('.') => rest.starts_with("..."),
            Some('*') => self.quoted_key_follows(rest.trim_start_matches('*')),
            Some(_) if self.is_open => self.quoted_key_follows(rest),
            Some(next) if self.marks.closers(next).is_some() => self.key_follows(rest),
            Some(_) => bare_key_follows(rest) || key_follows_a_word(rest),
        }
    }

    fn item_follows(self, rest: &str) -> bool {
        match split_mark(rest).map(|(next, _)| next) {
            None | Some('{' | '[' | '}' | ']' | ',' | '#' | '-' | '0'..='9') => true,
            Some('/') => rest.starts_with("//") || rest.starts_with("/*"),
            Some('.') => rest.starts_with("..."),
            Some(letter) => {
                self.marks.closers(letter).is_some()
                    || ["true", "false", "null", "None", "True", "False"]
                        .iter()
                        .any(|word| rest.starts_with(word))
            }
        }
    }

    fn key_follows(self, rest: &str) -> bool {
        key_follows(rest, self.marks)
    }

    fn quoted_key_follows(self, rest: &str) -> bool {
        self.opens(rest) && self.key_follows(rest)
    }
}

/// A key directly behind a quote, without a comma: `"text""key": `. Only a name counts.
fn plain_key_follows(rest: &str) -> bool {
    // A run of quotes is asked about at each of its quotes, so that none may look through the whole of it.
    let window = &rest[..rest.floor_char_boundary(LONGEST_KEY_BYTES + 2)];
    let name = window.trim_start_matches('"');
    let length = name.find(|letter| !is_name(letter)).unwrap_or(name.len());
    let end = window.len() - name.len() + length;
    length > 0
        && length <= LONGEST_KEY_BYTES
        && rest[end..]
            .strip_prefix('"')
            .is_some_and(|behind| skip_space(behind).starts_with([':', '\u{ff1a}']))
}

/// A word that stands between a comma and a key: `"text", COMMENT "key": `.
fn key_follows_a_word(rest: &str) -> bool {
    let window = &rest[..rest.floor_char_boundary(LONGEST_KEY_BYTES)];
    let length = window
        .find(|letter: char| !is_name(letter))
        .unwrap_or(window.len());
    length > 0 && {
        let behind = skip_space(&window[length..]);
        behind.len() < window.len() - length && plain_key_follows(behind) && behind.starts_with('"')
    }
}

/// Whether a key without quotes follows, with what can only be a value: prose has colons behind commas as well.
fn bare_key_follows(rest: &str) -> bool {
    let window = &rest[..rest.floor_char_boundary(2 * LONGEST_KEY_BYTES)];
    let length = window
        .find(|letter: char| !is_name(letter))
        .unwrap_or(window.len());
    let behind = skip_space(&window[length..]);
    let Some((':', value)) = split_mark(behind) else {
        // The answer ends in the key.
        return length > 0 && behind.is_empty() && window.len() == rest.len();
    };
    let value = skip_space(value);
    let starts_value = |letter: char| {
        closers_of(letter).is_some() || matches!(letter, '{' | '[' | '-') || letter.is_ascii_digit()
    };
    let is_literal = ["true", "false", "null", "True", "False", "None", "undefined"]
        .iter()
        .any(|word| {
            value
                .strip_prefix(word)
                .is_some_and(|behind| !behind.starts_with(is_name))
        });
    length > 0 && (value.is_empty() || value.starts_with(starts_value) || is_literal)
}

/// Whether a key with its colon follows, quoted or not; or the answer ends inside a quoted one.
pub(super) fn key_follows(rest: &str, marks: Marks) -> bool {
    let window = &rest[..rest.floor_char_boundary(LONGEST_KEY_BYTES)];
    let is_cut = window.len() == rest.len();
    let Some(first) = window.chars().next() else {
        return true;
    };
    let is_colon = |text: &str| text.starts_with([':', '=', '\u{ff1a}']);
    if let Some(closers) = marks.closers(first) {
        let body = &window[first.len_utf8()..];
        return match body.find(|letter| closers.contains(&letter)) {
            Some(end) => {
                let closer = body[end..].chars().next().map_or(1, char::len_utf8);
                let behind = &body[end + closer..];
                let after = skip_space(behind);
                // A key may have lost its colon; then a space is left, and it looks like a key.
                let without_colon = after.len() < behind.len()
                    && after.starts_with(['"', '{', '['])
                    && end > 0
                    && body[..end].chars().all(is_name);
                is_colon(after) || without_colon || (after.is_empty() && is_cut)
            }
            None => is_cut && !body.contains('\n'),
        };
    }
    let name_length = window
        .find(|letter: char| !is_name(letter))
        .unwrap_or(window.len());
    name_length > 0 && skip_space(&window[name_length..]).starts_with([':', '\u{ff1a}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_behind_a_quote_is_looked_for_as_far_as_keys_are_long() {
        let check = |rest: &str, expected: bool| {
            assert_eq!(plain_key_follows(rest), expected, "{rest}");
        };
        let (longest, spaces) = ("k".repeat(LONGEST_KEY_BYTES), " ".repeat(200));
        check("\"key\": 1", true);
        check("\"\"\"key\": 1", true);
        check(&format!("\"key\"{spaces}: 1"), true);
        check(&format!("\"{longest}\": 1"), true);
        check(&format!("\"k{longest}\": 1"), false);
        check("\"\": 1", false);
        check(&format!("{}key\": 1", "\"".repeat(LONGEST_KEY_BYTES + 2)), false);
        check(&"\"".repeat(200), false);
    }
}
