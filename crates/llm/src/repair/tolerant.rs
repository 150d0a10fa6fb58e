//! Layer 2: a parser that accepts what models get wrong and knows what was cut off.
//!
//! It keeps its own stack, so that hostile nesting cannot overflow the program's. Damaged brackets can mean more
//! than one thing; then every reading is returned and the schema decides.

mod bare;
mod cut;
mod keys;
mod texts;

use serde_json::{Map, Value};

use super::follows::{key_follows, plain_mark, skip_space, split_mark};
use super::quoted::{Marks, Place};
use super::{Change, Cut, DEEPEST_NESTING, MOST_NOTES, RepairNote, child};

/// One way to read a damaged text.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) value: Value,
    /// Bytes of the text that belong to it.
    pub(super) length: usize,
    pub(super) notes: Vec<RepairNote>,
    pub(super) missing: Vec<String>,
    /// What the answer's end took away, if it ended before the value did.
    pub(super) cut: Option<Cut>,
    /// Texts were joined that the answer has apart.
    pub(super) is_joined: bool,
    pub(super) is_clean: bool,
}

/// Why there is no reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Syntax,
    TooDeep,
}

/// A text that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) failure: Failure,
    /// Bytes that were looked at before that was seen.
    pub(super) read: usize,
    /// Fields or objects were read before.
    pub(super) has_content: bool,
}

/// How damaged brackets are understood.
#[derive(Clone, Copy, Debug, Default)]
struct Strategy {
    /// A closer of the wrong kind is a slip for the right one; else closers before it are missing.
    slip: bool,
    /// A key in a list goes on with the list's last object; else the list was not closed.
    reopen: bool,
}

/// Which doubts came up while reading.
#[derive(Clone, Copy, Debug, Default)]
struct Doubts {
    closer: bool,
    key_in_list: bool,
}

/// All ways to read the value that `text` begins with, in an answer that uses these quotes.
pub(super) fn readings(text: &str, marks: Marks) -> Result<Vec<Reading>, Refused> {
    let marks = marks.at(text);
    let (first, doubts) = Parser::new(text, marks, Strategy::default()).run();
    let mut results = vec![first];
    for (slip, reopen) in [(true, false), (false, true), (true, true)] {
        if (!slip || doubts.closer) && (!reopen || doubts.key_in_list) {
            results.push(Parser::new(text, marks, Strategy { slip, reopen }).run().0);
        }
    }
    let mut readings: Vec<Reading> = Vec::new();
    let mut refused = Refused {
        failure: Failure::Syntax,
        read: 0,
        has_content: false,
    };
    for result in results {
        match result {
            Ok(reading) if readings.iter().all(|other| other.value != reading.value) => {
                readings.push(reading);
            }
            Ok(_) => {}
            Err(error) => {
                refused = Refused {
                    failure: error.failure,
                    read: refused.read.max(error.read),
                    has_content: refused.has_content || error.has_content,
                };
            }
        }
    }
    if readings.is_empty() {
        Err(refused)
    } else {
        Ok(readings)
    }
}

/// Whether the text behind a value goes on as if the value had not ended.
pub(super) fn goes_on(after: &str) -> bool {
    let rest = skip_space(after);
    let marks = Marks::default();
    match split_mark(rest) {
        Some(('}' | ']', _)) => true,
        Some((',', behind)) => {
            let rest = skip_space(behind);
            rest.starts_with(['}', ']']) || (rest.starts_with(['"', '\'']) && key_follows(rest, marks))
        }
        Some(('"', _)) => key_follows(rest, marks),
        _ => false,
    }
}

#[derive(Debug)]
enum Frame {
    Object {
        fields: Map<String, Value>,
        key: Option<String>,
    },
    /// `dropped` items were taken out and reported; pointers count them, as the answer did.
    List { items: Vec<Value>, dropped: usize },
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each was seen or not, independently"
)]
struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// The farthest place that was looked at in vain.
    looked_at: usize,
    /// A field with its value was read, or an item that is more than a number in brackets, as prose has them.
    has_content: bool,
    marks: Marks,
    stack: Vec<Frame>,
    root: Option<Value>,
    /// A value has just ended, so that a separator should come.
    after_value: bool,
    strategy: Strategy,
    doubts: Doubts,
    notes: Vec<RepairNote>,
    missing: Vec<String>,
    /// As far as the answer's end is seen to be too early.
    cut: Option<Cut>,
    /// A text with quotes inside was kept, so that the last quote of a cut answer may be one more of them.
    has_inner_quotes: bool,
    is_joined: bool,
    /// There are no three quotes in a row from here on.
    no_triples: bool,
    is_clean: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, marks: Marks, strategy: Strategy) -> Self {
        Self {
            text,
            at: 0,
            looked_at: 0,
            has_content: false,
            marks,
            stack: Vec::new(),
            root: None,
            after_value: false,
            strategy,
            doubts: Doubts::default(),
            notes: Vec::new(),
            missing: Vec::new(),
            cut: None,
            has_inner_quotes: false,
            is_joined: false,
            no_triples: false,
            is_clean: true,
        }
    }

    fn run(mut self) -> (Result<Reading, Refused>, Doubts) {
        let result = self.read();
        let (doubts, read) = (self.doubts, self.at.max(self.looked_at));
        let has_content = self.has_content;
        let refused = |failure| Refused {
            failure,
            read,
            has_content,
        };
        (result.map(|value| self.reading(value)).map_err(refused), doubts)
    }

    fn reading(mut self, value: Value) -> Reading {
        if goes_on(&self.text[self.at..]) {
            self.is_clean = false;
        }
        Reading {
            value,
            length: self.at,
            notes: self.notes,
            missing: self.missing,
            cut: self.cut,
            is_joined: self.is_joined,
            is_clean: self.is_clean,
        }
    }

    fn read(&mut self) -> Result<Value, Failure> {
        loop {
            if let Some(value) = self.root.take() {
                return Ok(value);
            }
            self.skip_trivia();
            let rest = self.rest();
            let Some((next, _)) = split_mark(rest) else {
                return self.cut();
            };
            // The fence that closes the answer: what is still open was cut off.
            if rest.starts_with("```") {
                return self.cut();
            }
            match self.stack.last() {
                None => self.value(next)?,
                Some(Frame::Object { key: None, .. }) => self.key_or_end(next)?,
                Some(Frame::Object { key: Some(_), .. }) => self.field(next)?,
                Some(Frame::List { .. }) => self.item_or_end(next)?,
            }
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn key_or_end(&mut self, next: char) -> Result<(), Failure> {
        match next {
            '}' => self.close(next),
            ']' => self.wrong_closer(next),
            ',' => {
                self.step();
                if !self.after_value {
                    self.note(Change::Separator, "needless comma removed");
                }
                self.after_value = false;
                // A comma before the end is a slip as well.
                if skip_space(self.rest()).starts_with(['}', ']']) {
                    self.note(Change::Separator, "needless comma removed");
                }
            }
            '.' if self.rest().starts_with("...") => self.elision(),
            // The next object of a list begins where a key should.
            '{' if matches!(self.stack.iter().nth_back(1), Some(Frame::List { .. })) => {
                self.note(Change::Closer, "missing brace added");
                self.pop();
                self.after_value = false;
            }
            _ => {
                if self.after_value {
                    self.note(Change::Separator, "missing comma added");
                    self.after_value = false;
                }
                return self.key(next);
            }
        }
        Ok(())
    }

    fn field(&mut self, next: char) -> Result<(), Failure> {
        if matches!(next, '}' | ']' | ',') {
            // A key without a value.
            self.missing.push(self.path());
            self.note(Change::Doubtful, "a key without a value was dropped");
            self.drop_value();
            return Ok(());
        }
        self.value(next)
    }

    fn item_or_end(&mut self, next: char) -> Result<(), Failure> {
        match next {
            ']' => self.close(next),
            '}' => self.wrong_closer(next),
            ',' => {
                self.step();
                if !self.after_value || skip_space(self.rest()).starts_with(['}', ']']) {
                    self.note(Change::Separator, "needless comma removed");
                }
                self.after_value = false;
            }
            ':' => return Err(Failure::Syntax),
            '.' if self.rest().starts_with("...") => self.elision(),
            _ => {
                if self.after_value {
                    self.note(Change::Separator, "missing comma added");
                }
                return self.value(next);
            }
        }
        Ok(())
    }

    fn value(&mut self, next: char) -> Result<(), Failure> {
        match next {
            '{' | '[' => {
                if self.stack.len() >= DEEPEST_NESTING {
                    return Err(Failure::TooDeep);
                }
                self.step();
                self.after_value = false;
                self.stack.push(match next {
                    '{' => Frame::Object {
                        fields: Map::new(),
                        key: None,
                    },
                    _ => Frame::List {
                        items: Vec::new(),
                        dropped: 0,
                    },
                });
                Ok(())
            }
            quote if self.opens_text(quote) => self.quoted(quote),
            _ => self.bare(),
        }
    }

    fn key_in_list(&mut self, key: String) -> Result<(), Failure> {
        self.doubts.key_in_list = true;
        self.skip_trivia();
        self.step();
        self.after_value = false;
        let Some(Frame::List { mut items, dropped }) = self.stack.pop() else {
            return Err(Failure::Syntax);
        };
        if self.strategy.reopen {
            let Some(Value::Object(fields)) = items.pop() else {
                return Err(Failure::Syntax);
            };
            self.note(
                Change::Closer,
                "a brace that closed an object too early was removed",
            );
            self.stack.push(Frame::List { items, dropped });
            self.stack.push(Frame::Object {
                fields,
                key: Some(key),
            });
            return Ok(());
        }
        self.note(Change::Closer, "missing bracket added");
        if !matches!(self.stack.last(), Some(Frame::Object { .. })) {
            return Err(Failure::Syntax);
        }
        self.attach(Value::Array(items));
        self.after_value = false;
        if let Some(Frame::Object { key: slot, .. }) = self.stack.last_mut() {
            *slot = Some(key);
        }
        Ok(())
    }

    fn wrong_closer(&mut self, closer: char) {
        self.doubts.closer = true;
        let matches = |frame: &Frame| {
            matches!(
                (frame, closer),
                (Frame::Object { .. }, '}') | (Frame::List { .. }, ']')
            )
        };
        let closes_below = self.stack.iter().any(matches);
        if self.strategy.slip || !closes_below {
            self.note(Change::Closer, "a bracket of the wrong kind was replaced");
        } else {
            while self.stack.last().is_some_and(|frame| !matches(frame)) {
                self.note(Change::Closer, "missing bracket added");
                self.pop();
            }
        }
        self.close(closer);
    }

    /// Ends the innermost object or list, unless the answer goes on behind a root that would end here.
    fn close(&mut self, closer: char) {
        self.at += self.rest().chars().next().unwrap_or(closer).len_utf8();
        if self.stack.len() == 1 {
            let rest = self.rest();
            let behind =
                rest.trim_start_matches(|letter: char| letter.is_whitespace() || matches!(letter, '}' | ']'));
            let has_needless = rest[..rest.len() - behind.len()].contains(['}', ']']);
            let goes_on = matches!(self.stack.last(), Some(Frame::Object { .. })) && goes_on(behind);
            if has_needless || goes_on {
                self.note(Change::Closer, "a needless bracket was removed");
                self.at += rest.len() - behind.len();
            }
            if goes_on {
                self.after_value = true;
                return;
            }
        }
        self.pop();
    }

    fn pop(&mut self) {
        let value = match self.stack.pop() {
            Some(Frame::Object { fields, .. }) => Value::Object(fields),
            Some(Frame::List { items, .. }) => Value::Array(items),
            None => return,
        };
        self.attach(value);
    }

    fn attach(&mut self, value: Value) {
        self.after_value = true;
        let is_twice = match self.stack.last() {
            Some(Frame::Object {
                fields,
                key: Some(key),
            }) => fields.get(key).is_some_and(|earlier| *earlier != value),
            _ => false,
        };
        if is_twice {
            self.note(
                Change::DuplicateKey,
                "the key occurs twice; the last value is kept",
            );
        }
        match self.stack.last_mut() {
            None => self.root = Some(value),
            Some(Frame::List { items, .. }) => {
                self.has_content |= value.is_string() || value.is_array() || value.is_object();
                items.push(value);
            }
            Some(Frame::Object { fields, key }) => {
                if let Some(key) = key.take() {
                    self.has_content = true;
                    fields.insert(key, value);
                }
            }
        }
    }

    /// Leaves out the value that is read now; the caller has reported it as missing.
    fn drop_value(&mut self) {
        match self.stack.last_mut() {
            Some(Frame::Object { key, .. }) => *key = None,
            Some(Frame::List { dropped, .. }) => *dropped += 1,
            None => {}
        }
        self.after_value = true;
    }

    fn place(&self) -> Place {
        match self.stack.last() {
            Some(Frame::Object { .. }) => Place::Field,
            Some(Frame::List { .. }) | None => Place::Item,
        }
    }

    /// Leaves the mark behind that was looked at.
    fn step(&mut self) {
        self.at += self.rest().chars().next().map_or(0, char::len_utf8);
    }

    /// Whether `mark` comes next, full-width or not; then it is left behind.
    fn eat(&mut self, mark: char) -> bool {
        let comes = self.rest().chars().next().map(plain_mark) == Some(mark);
        if comes {
            self.step();
        }
        comes
    }

    /// The pointer of the value that is read now.
    fn path(&self) -> String {
        path_of(&self.stack)
    }

    /// The pointer of the innermost open object or list.
    fn open_path(&self) -> String {
        path_of(&self.stack[..self.stack.len().saturating_sub(1)])
    }

    fn note(&mut self, change: Change, detail: &str) {
        if self.notes.len() < MOST_NOTES {
            let path = self.path();
            self.notes.push(RepairNote {
                path,
                change,
                detail: detail.to_owned(),
            });
        }
    }

    fn skip_trivia(&mut self) {
        loop {
            let rest = self.rest();
            self.at += rest.len() - skip_space(rest).len();
            let rest = self.rest();
            let length = if rest.starts_with("//") || rest.starts_with('#') {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                rest.find("*/").map_or(rest.len(), |end| end + 2)
            } else {
                return;
            };
            self.at += length;
            self.note(Change::Comment, "comment removed");
        }
    }
}

fn path_of(stack: &[Frame]) -> String {
    stack.iter().fold(String::new(), |path, frame| match frame {
        Frame::Object { key: Some(key), .. } => child(&path, key),
        Frame::Object { key: None, .. } => path,
        Frame::List { items, dropped } => child(&path, &(items.len() + dropped).to_string()),
    })
}
