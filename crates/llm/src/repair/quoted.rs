//! Where a quoted text ends when its quotes may be wrong.

/// What a text is to the structure around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A key of an object.
    Key,
    /// A value of an object.
    Field,
    /// An item of a list.
    Item,
}

/// A text that was read.
#[derive(Debug)]
pub(super) enum Scan {
    /// It ended after `length` bytes, the quotes included.
    Whole {
        text: String,
        length: usize,
        finding: Finding,
    },
    /// The answer ended first.
    Cut,
}

/// What was seen while reading a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Finding {
    /// A quote inside the text was not escaped.
    pub(super) inner_quotes: usize,
    /// A raw control character or a wrong escape.
    pub(super) odd_escape: bool,
    /// The closing quote was missing and put before the next key.
    pub(super) unclosed: bool,
    /// Behind an inner quote the line ends as it does behind a closing one.
    pub(super) passed_an_end: bool,
}

impl Finding {
    /// Whether the text may have ended elsewhere: quotes inside a text come in pairs.
    pub(super) const fn is_doubtful(self) -> bool {
        self.inner_quotes % 2 == 1 || self.passed_an_end
    }
}

/// Longest key that is looked for behind a comma, in bytes.
const LONGEST_KEY_BYTES: usize = 80;

/// The quotes that may close a text opened with this one; `None` if it opens none.
pub(super) fn closers_of(opener: char) -> Option<&'static [char]> {
    Some(match opener {
        '"' => &['"'],
        '\'' => &['\''],
        '\u{201c}' => &['\u{201d}', '"', '\u{201c}'],
        '\u{201e}' => &['\u{201c}', '\u{201d}', '"'],
        '\u{2018}' => &['\u{2019}'],
        _ => return None,
    })
}

/// Reads the quoted text that `text` begins with. `typographic`: closing typographic quotes occur in the answer,
/// so that a text opened with one does not end at a plain one.
pub(super) fn scan(text: &str, place: Place, typographic: bool) -> Scan {
    let opener = text.chars().next().unwrap_or('"');
    let closers = match (opener, typographic) {
        ('\u{201c}', true) => &['\u{201d}'],
        _ => closers_of(opener).unwrap_or(&['"']),
    };
    scan_body(text, opener.len_utf8(), closers, place)
}

/// Reads a text whose opening quote is missing.
pub(super) fn scan_unopened(text: &str, place: Place) -> Scan {
    scan_body(text, 0, &['"'], place)
}

/// A quote that was taken for a part of the text.
#[derive(Clone, Copy)]
struct InnerQuote {
    /// Where it stands in the answer.
    at: usize,
    /// Length of the text before it.
    kept: usize,
    /// How many inner quotes stand before it.
    before: usize,
}

fn scan_body(text: &str, start: usize, closers: &[char], place: Place) -> Scan {
    let mut plain = String::new();
    let mut finding = Finding::default();
    let mut last_inner: Option<InnerQuote> = None;
    // The first inner quote that looks as if it opened the next line's text.
    let mut opens_line: Option<InnerQuote> = None;
    let mut at = start;
    while let Some(letter) = text[at..].chars().next() {
        if letter == '\\' {
            if text.len() == at + 1 {
                return Scan::Cut;
            }
            let (meant, length) = escape_at(&text[at..]);
            finding.odd_escape |= meant.starts_with('\\') && !text[at..].starts_with("\\\\");
            plain.push_str(&meant);
            at += length;
            continue;
        }
        let next = at + letter.len_utf8();
        let after = &text[next..];
        if closers.contains(&letter) {
            if ends_here(after, place, plain.is_empty()) {
                // Quotes come in pairs: an odd one that opens a line shows where this text should have ended.
                return match opens_line.filter(|_| finding.inner_quotes % 2 == 1) {
                    Some(inner) => unclosed(plain, inner, finding),
                    None => Scan::Whole {
                        text: plain,
                        length: next,
                        finding,
                    },
                };
            }
            if let Some(inner) = last_inner
                && place != Place::Key
                && is_swallowed_key(text, inner.at, at, &plain[..inner.kept])
            {
                return unclosed(plain, inner, finding);
            }
        } else if letter.is_control() {
            finding.odd_escape = true;
        }
        let is_quote = closers.contains(&letter) || (closers == ['\u{201d}'] && letter == '\u{201c}');
        if is_quote && !is_apostrophe(letter, &plain, after) {
            let inner = InnerQuote {
                at,
                kept: plain.len(),
                before: finding.inner_quotes,
            };
            if opens_line.is_none() && inner.before.is_multiple_of(2) && is_after_comma_and_break(&plain) {
                opens_line = Some(inner);
            }
            last_inner = Some(inner);
            finding.inner_quotes += 1;
            finding.passed_an_end |= after.starts_with(",\n") || after.starts_with(",\r\n");
        }
        plain.push(letter);
        at = next;
    }
    Scan::Cut
}

/// The text that should have ended before `inner`.
fn unclosed(mut plain: String, inner: InnerQuote, finding: Finding) -> Scan {
    let kept = plain[..inner.kept]
        .trim_end()
        .trim_end_matches(',')
        .trim_end()
        .len();
    plain.truncate(kept);
    let finding = Finding {
        unclosed: true,
        inner_quotes: inner.before,
        passed_an_end: false,
        ..finding
    };
    Scan::Whole {
        text: plain,
        length: inner.at,
        finding,
    }
}

fn is_after_comma_and_break(before: &str) -> bool {
    let trimmed = before.trim_end();
    trimmed.ends_with(',') && before[trimmed.len()..].contains('\n')
}

/// `'` between two letters is part of a word.
fn is_apostrophe(letter: char, before: &str, after: &str) -> bool {
    matches!(letter, '\'' | '\u{2019}')
        && before.chars().next_back().is_some_and(char::is_alphanumeric)
        && after.chars().next().is_some_and(char::is_alphanumeric)
}

/// Whether what was taken for two inner quotes is the next key, so that this text was never closed:
/// `"title": "Intro,\n "level": ...`.
fn is_swallowed_key(text: &str, opened: usize, closed: usize, before: &str) -> bool {
    let mut key = text[opened..closed].chars();
    key.next();
    let key = key.as_str();
    let mut behind = text[closed..].chars();
    behind.next();
    let is_key = !key.is_empty()
        && key.len() <= LONGEST_KEY_BYTES
        && key
            .chars()
            .all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-'))
        && skip_space(behind.as_str()).starts_with(':');
    let trimmed = before.trim_end();
    is_key && (trimmed.ends_with(',') || before[trimmed.len()..].contains('\n'))
}

/// Whether a quote that is followed by `after` closes its text.
fn ends_here(after: &str, place: Place, is_empty: bool) -> bool {
    let rest = skip_space(after);
    let spaced = rest.len() < after.len();
    let new_line = after[..after.len() - rest.len()].contains('\n');
    let Some(next) = rest.chars().next() else {
        return true;
    };
    match place {
        Place::Key => {
            matches!(next, ':' | '=') || (spaced && (closers_of(next).is_some() || matches!(next, '{' | '[')))
        }
        Place::Field => match next {
            '}' | ']' => structure_goes_on(&rest[1..]),
            ',' => field_follows(skip_space(&rest[1..])),
            '`' | '/' | '#' => {
                new_line || rest.starts_with("```") || rest.starts_with("//") || rest.starts_with("/*")
            }
            _ => (spaced || is_empty) && key_follows(rest),
        },
        Place::Item => match next {
            '}' | ']' => structure_goes_on(&rest[1..]),
            // A key where an item was expected: the list was not closed.
            ':' => true,
            ',' => item_follows(skip_space(&rest[1..])),
            '`' | '/' | '#' => {
                new_line || rest.starts_with("```") || rest.starts_with("//") || rest.starts_with("/*")
            }
            '{' | '[' => new_line,
            _ => closers_of(next).is_some() && spaced,
        },
    }
}

/// What may stand behind a closing bracket.
fn structure_goes_on(after: &str) -> bool {
    let rest = skip_space(after);
    let new_line = after[..after.len() - rest.len()].contains('\n');
    match rest.chars().next() {
        None | Some(',' | '}' | ']' | '"' | '`' | '{' | '/' | '#' | '\u{201c}' | '\'') => true,
        // The answer is over and prose follows.
        Some(_) => new_line,
    }
}

fn field_follows(rest: &str) -> bool {
    match rest.chars().next() {
        None | Some('}' | ']' | ',') => true,
        Some('/' | '#') => rest.starts_with("//") || rest.starts_with("/*") || rest.starts_with('#'),
        Some('.') => rest.starts_with("..."),
        Some(_) => key_follows(rest),
    }
}

fn item_follows(rest: &str) -> bool {
    match rest.chars().next() {
        None | Some('{' | '[' | '}' | ']' | ',' | '-' | '0'..='9') => true,
        Some('/' | '#') => rest.starts_with("//") || rest.starts_with("/*") || rest.starts_with('#'),
        Some('.') => rest.starts_with("..."),
        Some(letter) => {
            closers_of(letter).is_some()
                || ["true", "false", "null", "None", "True", "False"]
                    .iter()
                    .any(|word| rest.starts_with(word))
        }
    }
}

/// Whether a key with its colon follows, quoted or not; or the answer ends inside a quoted one.
pub(super) fn key_follows(rest: &str) -> bool {
    let window = &rest[..rest.floor_char_boundary(LONGEST_KEY_BYTES)];
    let is_cut = window.len() == rest.len();
    let Some(first) = window.chars().next() else {
        return true;
    };
    if let Some(closers) = closers_of(first) {
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
                after.starts_with([':', '=']) || without_colon || (after.is_empty() && is_cut)
            }
            None => is_cut && !body.contains('\n'),
        };
    }
    let name_length = window
        .find(|letter: char| !is_name(letter))
        .unwrap_or(window.len());
    name_length > 0 && skip_space(&window[name_length..]).starts_with(':')
}

/// Letters of an unquoted key.
pub(super) fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | '$')
}

/// Leaves out white space, also the kinds that JSON does not know.
pub(super) fn skip_space(text: &str) -> &str {
    text.trim_start_matches(|letter: char| {
        letter.is_whitespace() || matches!(letter, '\u{feff}' | '\u{200b}')
    })
}

/// What the escape that `text` begins with means, and its length in bytes. A wrong one means itself.
pub(super) fn escape_at(text: &str) -> (String, usize) {
    let Some(kind) = text[1..].chars().next() else {
        return ("\\".to_owned(), 1);
    };
    let meant = match kind {
        '"' | '\\' | '/' | '\'' => kind,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return unicode_escape(text),
        other => return (format!("\\{other}"), 1 + other.len_utf8()),
    };
    (meant.to_string(), 2)
}

/// `\uXXXX`, or two of them for a letter beyond the basic plane.
fn unicode_escape(text: &str) -> (String, usize) {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(text) else {
        return ("\\u".to_owned(), 2);
    };
    let second = text.get(6..).and_then(unit);
    let units = [first, second.unwrap_or_default()];
    match char::decode_utf16(units).next() {
        Some(Ok(letter)) => (letter.to_string(), if letter as u32 > 0xffff { 12 } else { 6 }),
        // Half a pair means nothing; it is kept as it stands.
        _ => (text[..6].to_owned(), 6),
    }
}
