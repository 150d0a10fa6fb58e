//! Where a quoted text ends when its quotes may be wrong.

use serde::de::IgnoredAny;

use super::escapes::Written;
use super::follows::{Candidate, LONGEST_KEY_BYTES, skip_space};

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

/// The first key is looked for within so many letters.
const FARTHEST_KEY_CHARS: usize = 40;

/// Which quotes an answer uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// Closing typographic quotes occur, so that a text opened with one does not end at a plain one.
    typographic: bool,
    /// Its keys stand in quotes that else belong to texts: «x», 「x」.
    foreign: bool,
}

impl Marks {
    /// Those of a whole answer.
    pub(super) fn of(answer: &str) -> Self {
        Self {
            typographic: answer.contains('\u{201d}'),
            foreign: false,
        }
    }

    /// Those of the JSON that `text` begins with: what quotes its first key quotes all.
    pub(super) fn at(self, text: &str) -> Self {
        let mut opening = text
            .chars()
            .take(FARTHEST_KEY_CHARS)
            .skip_while(|letter| letter.is_whitespace() || matches!(letter, '{' | '['));
        Self {
            foreign: opening
                .next()
                .is_some_and(|letter| foreign_closers(letter).is_some()),
            ..self
        }
    }

    /// The quotes that may close a text opened with this one; `None` if it opens none here.
    pub(super) fn closers(self, opener: char) -> Option<&'static [char]> {
        match opener {
            '\u{201c}' if self.typographic => Some(&['\u{201d}']),
            _ => closers_of(opener).or_else(|| foreign_closers(opener).filter(|_| self.foreign)),
        }
    }
}

/// A text that was read.
#[derive(Debug)]
pub(super) enum Scan {
    /// It ended after `length` bytes, the quotes included.
    Whole {
        text: String,
        length: usize,
        finding: Finding,
        written: Written,
    },
    /// The answer ended first.
    Cut,
}

/// What was seen while reading a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each was seen or not, independently"
)]
pub(super) struct Finding {
    /// Quotes inside the text that were not escaped and belong to pairs.
    pub(super) inner_quotes: usize,
    /// Others: inch marks, apostrophes, the second half of „x".
    pub(super) lone_marks: usize,
    /// A raw control character or a wrong escape.
    pub(super) odd_escape: bool,
    /// The closing quote was missing and put before the next key.
    pub(super) unclosed: bool,
    /// Behind an inner quote the line ends as it does behind a closing one.
    passed_an_end: bool,
    /// An inner quote that should open something looks as if it closed it.
    is_turned: bool,
    /// Half of a pair of UTF-16, or what a decoder put for bytes that were lost.
    lost_letters: bool,
}

impl Finding {
    /// Whether the text may have ended elsewhere, or is damaged: quotes inside a text come in pairs.
    pub(super) const fn is_doubtful(self) -> bool {
        self.inner_quotes % 2 == 1 || self.passed_an_end || self.is_turned || self.lost_letters
    }
}

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

fn foreign_closers(opener: char) -> Option<&'static [char]> {
    Some(match opener {
        '\u{ab}' => &['\u{bb}'],
        '\u{300c}' => &['\u{300d}'],
        '\u{300e}' => &['\u{300f}'],
        '\u{ff02}' => &['\u{ff02}'],
        _ => return None,
    })
}

/// JSON inside a text is looked for within so many bytes.
const LONGEST_SNIPPET_BYTES: usize = 2048;
/// And so often in one text.
const MOST_SNIPPETS: usize = 16;

/// Reads the quoted text that `text` begins with.
pub(super) fn scan(text: &str, place: Place, marks: Marks) -> Scan {
    let opener = text.chars().next().unwrap_or('"');
    let closers = marks
        .closers(opener)
        .or_else(|| foreign_closers(opener))
        .unwrap_or(&['"']);
    Scanner::new(text, opener.len_utf8(), closers, place, marks).run()
}

/// Reads a text whose opening quote is missing.
pub(super) fn scan_unopened(text: &str, place: Place, marks: Marks) -> Scan {
    Scanner::new(text, 0, &['"'], place, marks).run()
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

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    closers: &'static [char],
    place: Place,
    marks: Marks,
    plain: String,
    written: Written,
    finding: Finding,
    last_inner: Option<InnerQuote>,
    /// The first inner quote that looks as if it opened the next line's text.
    opens_line: Option<InnerQuote>,
    /// A typographic quote of the text waits for its closing one, which may be a plain one: „x".
    is_low_open: bool,
    snippets: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str, start: usize, closers: &'static [char], place: Place, marks: Marks) -> Self {
        Self {
            text,
            at: start,
            closers,
            place,
            marks,
            plain: String::new(),
            written: Written::default(),
            finding: Finding::default(),
            last_inner: None,
            opens_line: None,
            is_low_open: false,
            snippets: 0,
        }
    }

    fn run(mut self) -> Scan {
        self.plain_letters();
        while let Some(letter) = self.text[self.at..].chars().next() {
            if letter == '\\' {
                if self.text.len() == self.at + 1 {
                    return Scan::Cut;
                }
                self.escape();
                self.plain_letters();
                continue;
            }
            if matches!(letter, '{' | '[') && self.snippet() {
                continue;
            }
            let next = self.at + letter.len_utf8();
            let after = &self.text[next..];
            if self.closers.contains(&letter) {
                if self.candidate().ends_here(after) {
                    return self.ended(next);
                }
                if let Some(inner) = self.last_inner
                    && self.place != Place::Key
                    && is_swallowed_key(self.text, inner.at, self.at, &self.plain[..inner.kept])
                {
                    return self.unclosed(inner);
                }
            } else if letter.is_control() {
                self.finding.odd_escape = true;
                self.written.raw.push(self.plain.len());
            } else {
                self.typographic(letter, after);
            }
            let is_quote =
                self.closers.contains(&letter) || (self.closers == ['\u{201d}'] && letter == '\u{201c}');
            if is_quote {
                self.inner_quote(letter, after);
            }
            self.plain.push(letter);
            self.at = next;
            self.plain_letters();
        }
        Scan::Cut
    }

    /// Takes over letters that mean nothing but themselves, all at once.
    fn plain_letters(&mut self) {
        let rest = &self.text[self.at..];
        let length = rest.find(|letter| !is_plain(letter)).unwrap_or(rest.len());
        self.plain.push_str(&rest[..length]);
        self.at += length;
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            place: self.place,
            is_empty: self.plain.is_empty(),
            is_open: self.finding.inner_quotes % 2 == 1 || self.is_low_open,
            marks: self.marks,
        }
    }

    fn escape(&mut self) {
        let rest = &self.text[self.at..];
        let (meant, length) = escape_at(rest);
        if meant.starts_with('\\') && !rest.starts_with("\\\\") {
            self.finding.odd_escape = true;
            self.finding.lost_letters |= is_half_pair(&meant);
            self.written.single.push(self.plain.len());
        }
        self.plain.push_str(&meant);
        self.at += length;
    }

    /// JSON that a text quotes: its quotes are the text's, and its keys no keys.
    fn snippet(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let quotes_follow = skip_space(&rest[1..]).starts_with(['"', '{']);
        if !quotes_follow
            || self.closers != ['"']
            || self.snippets >= MOST_SNIPPETS
            || self.place == Place::Key
        {
            return false;
        }
        self.snippets += 1;
        let window = &rest[..rest.floor_char_boundary(LONGEST_SNIPPET_BYTES.min(rest.len()))];
        let mut values = serde_json::Deserializer::from_str(window).into_iter::<IgnoredAny>();
        let Some(Ok(_)) = values.next() else { return false };
        let snippet = &window[..values.byte_offset()];
        if snippet.contains(['\\', '\n']) || !snippet.contains('"') {
            return false;
        }
        self.finding.inner_quotes += snippet.matches('"').count();
        self.plain.push_str(snippet);
        self.at += snippet.len();
        true
    }

    fn typographic(&mut self, letter: char, after: &str) {
        match letter {
            '\u{201e}' => self.is_low_open = true,
            '\u{201c}' => self.is_low_open = !self.is_low_open,
            '\u{201d}' => self.is_low_open = false,
            // A decoder put it where bytes of a word were lost.
            '\u{fffd}' => {
                self.finding.lost_letters |= is_in_word(&self.plain, after);
            }
            _ => {}
        }
    }

    fn inner_quote(&mut self, letter: char, after: &str) {
        let before = self.plain.chars().next_back();
        let is_pair_open = self.finding.inner_quotes % 2 == 1;
        let is_lone = is_apostrophe(letter, before, after)
            || (letter == '"' && self.is_low_open)
            || (!is_pair_open
                && match letter {
                    // 5" and the bees' hive.
                    '"' => before.is_some_and(|letter| letter.is_ascii_digit()) && !after.starts_with('"'),
                    '\'' | '\u{2019}' => before.is_some_and(char::is_alphanumeric),
                    _ => false,
                });
        if is_lone {
            self.is_low_open = false;
            self.finding.lone_marks += 1;
            return;
        }
        let inner = InnerQuote {
            at: self.at,
            kept: self.plain.len(),
            before: self.finding.inner_quotes,
        };
        if !is_pair_open {
            self.finding.is_turned |=
                before.is_some_and(char::is_alphanumeric) && after.starts_with([' ', '\t', '\n']);
            if self.opens_line.is_none() && is_after_comma_and_break(&self.plain) {
                self.opens_line = Some(inner);
            }
        }
        self.last_inner = Some(inner);
        self.finding.inner_quotes += 1;
        self.finding.passed_an_end |= after.starts_with(",\n") || after.starts_with(",\r\n");
    }

    /// The text ends before `next`; or earlier: quotes come in pairs, and an odd one that opens a line shows where
    /// this text should have ended.
    fn ended(self, next: usize) -> Scan {
        match self.opens_line.filter(|_| self.finding.inner_quotes % 2 == 1) {
            Some(inner) => self.unclosed(inner),
            None => Scan::Whole {
                text: self.plain,
                length: next,
                finding: self.finding,
                written: self.written,
            },
        }
    }

    /// The text that should have ended before `inner`.
    fn unclosed(mut self, inner: InnerQuote) -> Scan {
        let kept = self.plain[..inner.kept]
            .trim_end()
            .trim_end_matches(',')
            .trim_end()
            .len();
        self.plain.truncate(kept);
        let finding = Finding {
            unclosed: true,
            inner_quotes: inner.before,
            passed_an_end: false,
            ..self.finding
        };
        Scan::Whole {
            text: self.plain,
            length: inner.at,
            finding,
            written: self.written,
        }
    }
}

/// Whether a letter in a text can be nothing but a letter.
fn is_plain(letter: char) -> bool {
    match letter {
        ' ' | '!' | '#'..='&' | '('..='Z' | ']'..='_' | 'a'..='z' | '\u{400}'..='\u{4ff}' => true,
        letter => !letter.is_ascii() && letter.is_alphanumeric(),
    }
}

fn is_after_comma_and_break(before: &str) -> bool {
    let trimmed = before.trim_end();
    trimmed.ends_with(',') && before[trimmed.len()..].contains('\n')
}

/// `'` between two letters is part of a word.
fn is_apostrophe(letter: char, before: Option<char>, after: &str) -> bool {
    matches!(letter, '\'' | '\u{2019}')
        && before.is_some_and(char::is_alphanumeric)
        && after.chars().next().is_some_and(char::is_alphanumeric)
}

/// Whether a letter of which only its place is known stands in a word.
pub(super) fn is_in_word(before: &str, after: &str) -> bool {
    before.chars().next_back().is_some_and(char::is_alphanumeric)
        || after.chars().next().is_some_and(char::is_alphanumeric)
}

/// `\ud83d` without its other half.
fn is_half_pair(meant: &str) -> bool {
    meant
        .strip_prefix("\\u")
        .and_then(|digits| u16::from_str_radix(digits.get(..4)?, 16).ok())
        .is_some_and(|unit| (0xd800..0xe000).contains(&unit))
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

/// Letters of an unquoted key.
pub(super) fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | '$')
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
