//! Layer 2: a parser that accepts what models get wrong and knows what was cut off.
//!
//! It keeps its own stack, so that hostile nesting cannot overflow the program's. Damaged brackets can mean more
//! than one thing; then every reading is returned and the schema decides.

mod bare;

use serde_json::{Map, Value};

use super::quoted::{Place, Scan, closers_of, is_name, key_follows, scan, skip_space};
use super::{Change, DEEPEST_NESTING, MOST_NOTES, RepairNote, child};

/// One way to read a damaged text.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) value: Value,
    /// Bytes of the text that belong to it.
    pub(super) length: usize,
    pub(super) notes: Vec<RepairNote>,
    pub(super) missing: Vec<String>,
    pub(super) is_clean: bool,
}

/// Why there is no reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Syntax,
    TooDeep,
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

/// All ways to read the value that `text` begins with.
pub(super) fn readings(text: &str) -> Result<Vec<Reading>, Failure> {
    let (first, doubts) = Parser::new(text, Strategy::default()).run();
    let mut results = vec![first];
    for (slip, reopen) in [(true, false), (false, true), (true, true)] {
        if (!slip || doubts.closer) && (!reopen || doubts.key_in_list) {
            results.push(Parser::new(text, Strategy { slip, reopen }).run().0);
        }
    }
    let mut readings: Vec<Reading> = Vec::new();
    let mut failure = Failure::Syntax;
    for result in results {
        match result {
            Ok(reading) if readings.iter().all(|other| other.value != reading.value) => {
                readings.push(reading);
            }
            Ok(_) => {}
            Err(error) => failure = error,
        }
    }
    if readings.is_empty() {
        Err(failure)
    } else {
        Ok(readings)
    }
}

/// Whether the text behind a value goes on as if the value had not ended.
pub(super) fn goes_on(after: &str) -> bool {
    let rest = skip_space(after);
    match rest.chars().next() {
        Some('}' | ']') => true,
        Some(',') => {
            let rest = skip_space(&rest[1..]);
            rest.starts_with(['}', ']']) || (rest.starts_with(['"', '\'']) && key_follows(rest))
        }
        Some('"') => key_follows(rest),
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

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// Closing typographic quotes occur in the text.
    typographic: bool,
    stack: Vec<Frame>,
    root: Option<Value>,
    /// A value has just ended, so that a separator should come.
    after_value: bool,
    strategy: Strategy,
    doubts: Doubts,
    notes: Vec<RepairNote>,
    missing: Vec<String>,
    is_clean: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, strategy: Strategy) -> Self {
        Self {
            text,
            at: 0,
            typographic: text.contains('\u{201d}'),
            stack: Vec::new(),
            root: None,
            after_value: false,
            strategy,
            doubts: Doubts::default(),
            notes: Vec::new(),
            missing: Vec::new(),
            is_clean: true,
        }
    }

    fn run(mut self) -> (Result<Reading, Failure>, Doubts) {
        let result = self.read();
        let doubts = self.doubts;
        (result.map(|value| self.reading(value)), doubts)
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
            let Some(next) = rest.chars().next() else {
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
                self.at += 1;
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

    fn key(&mut self, next: char) -> Result<(), Failure> {
        let key = if closers_of(next).is_some() {
            match scan(self.rest(), Place::Key, self.typographic) {
                Scan::Cut => {
                    self.at = self.text.len();
                    return Ok(());
                }
                Scan::Whole { text, length, .. } => {
                    if next != '"' {
                        self.note(Change::Quotes, "quotes of a key replaced");
                    }
                    self.at += length;
                    text
                }
            }
        } else {
            let rest = self.rest();
            let length = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
            let name = rest[..length].to_owned();
            self.at += length;
            if self.at == self.text.len() {
                return Ok(());
            }
            if name.is_empty() || !skip_space(self.rest()).starts_with(':') {
                return Err(Failure::Syntax);
            }
            self.note(Change::Quotes, "quotes put around a key");
            name
        };
        self.skip_trivia();
        let rest = self.rest();
        if rest.starts_with(':') {
            self.at += 1;
        } else if rest.starts_with('=') {
            self.at += if rest.starts_with("=>") { 2 } else { 1 };
            self.note(Change::Separator, "colon added");
        } else if rest.starts_with(|letter| closers_of(letter).is_some() || matches!(letter, '{' | '[')) {
            self.note(Change::Separator, "missing colon added");
        } else if !rest.is_empty() {
            return Err(Failure::Syntax);
        }
        if let Some(Frame::Object { key: slot, .. }) = self.stack.last_mut() {
            *slot = Some(key);
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
                self.at += 1;
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
                self.at += 1;
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
            quote if closers_of(quote).is_some() => {
                let scanned = scan(self.rest(), self.place(), self.typographic);
                if quote != '"' {
                    self.note(Change::Quotes, "quotes of a text replaced");
                }
                self.text_value(scanned)
            }
            _ => self.bare(),
        }
    }

    fn text_value(&mut self, scanned: Scan) -> Result<(), Failure> {
        let Scan::Whole {
            text,
            length,
            finding,
        } = scanned
        else {
            self.missing.push(self.path());
            self.drop_value();
            self.at = self.text.len();
            return Ok(());
        };
        self.at += length;
        if finding.odd_escape {
            self.note(
                Change::Escape,
                "a raw control character or wrong escape in a text was kept",
            );
        }
        if finding.unclosed {
            self.note(Change::Quotes, "missing closing quote added");
        }
        let is_key = self.place() == Place::Item && skip_space(self.rest()).starts_with(':');
        if is_key {
            return self.key_in_list(text);
        }
        if finding.is_doubtful() {
            self.missing.push(self.path());
            if self.place() == Place::Item && !self.stack.is_empty() {
                // It may have been two items or half of one.
                self.missing.push(format!("{}/-", self.open_path()));
            }
            self.note(Change::Doubtful, "a text with an unpaired quote was dropped");
            self.drop_value();
            self.after_value = true;
            return Ok(());
        }
        if finding.inner_quotes > 0 {
            self.note(Change::Quotes, "quotes inside a text escaped");
        }
        self.attach(Value::String(text));
        Ok(())
    }

    fn key_in_list(&mut self, key: String) -> Result<(), Failure> {
        self.doubts.key_in_list = true;
        self.skip_trivia();
        self.at += 1;
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
        self.at += closer.len_utf8();
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
        let path = self.path();
        match self.stack.last_mut() {
            None => self.root = Some(value),
            Some(Frame::List { items, .. }) => items.push(value),
            Some(Frame::Object { fields, key }) => {
                let Some(key) = key.take() else { return };
                if let Some(earlier) = fields.insert(key, value.clone())
                    && earlier != value
                {
                    let detail = "the key occurs twice; the last value is kept".to_owned();
                    self.notes.push(RepairNote {
                        path,
                        change: Change::DuplicateKey,
                        detail,
                    });
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

    /// `...`: the model wrote that there is more without writing it.
    fn elision(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches('.').len();
        let path = self.path();
        let missing = if matches!(self.stack.last(), Some(Frame::List { .. })) {
            format!("{}/-", self.open_path())
        } else {
            path
        };
        self.missing.push(missing);
        self.note(Change::Elided, "the model left something out");
        self.after_value = true;
    }

    /// The answer ended. What is open is closed; lists may lack items, and what has no content yet is dropped.
    fn cut(&mut self) -> Result<Value, Failure> {
        self.at = self.text.len();
        if self.stack.is_empty() {
            return Err(Failure::Syntax);
        }
        self.note(Change::Truncated, "the answer ends here");
        while let Some(frame) = self.stack.last() {
            if let Frame::Object { key: Some(_), .. } = frame {
                self.missing.push(self.path());
                self.drop_value();
            }
            if let Some(Frame::List { .. }) = self.stack.last() {
                self.missing.push(format!("{}/-", self.open_path()));
            }
            let is_inner = self.stack.len() > 1;
            let is_empty = match self.stack.last() {
                Some(Frame::Object { fields, .. }) => fields.is_empty(),
                Some(Frame::List { items, .. }) => items.is_empty(),
                None => break,
            };
            if is_inner && is_empty {
                self.stack.pop();
                self.missing.push(self.path());
                self.drop_value();
            } else {
                self.pop();
            }
        }
        self.root.take().ok_or(Failure::Syntax)
    }

    fn place(&self) -> Place {
        match self.stack.last() {
            Some(Frame::Object { .. }) => Place::Field,
            Some(Frame::List { .. }) | None => Place::Item,
        }
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
