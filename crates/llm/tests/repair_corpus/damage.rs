//! Kinds of damage that models do to JSON. Each is deterministic for its document and seed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::documents::Document;

/// One kind of damage.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) damage: fn(&Document, usize) -> String,
}

macro_rules! kinds {
    ($($name:literal => $damage:expr),+ $(,)?) => {
        /// All kinds.
        pub(crate) const KINDS: &[Kind] = &[$(Kind { name: $name, damage: $damage }),+];
    };
}

kinds! {
    "code fence" => |document, _| format!("```json\n{}\n```", document.pretty()),
    "prose around" => |document, seed| {
        let (before, after) = [
            ("Sure! Here is the JSON you asked for [as agreed]:\n\n", "\n\nLet me know if you need {changes}."),
            ("Вот результат (см. схему {course}):\n", "\nНадеюсь, это поможет!"),
            ("Here you go:\n```\n", "\n```\nThe lessons are \"ready\", see [1]."),
        ][seed % 3];
        format!("{before}{}{after}", document.pretty())
    },
    "thinking" => |document, seed| {
        let thoughts = "The user wants {\"title\": \"...\"}. I should write [4] lessons, maybe {\"lessons\": []}";
        let opening = if seed == 0 { "" } else { "<think>" };
        format!("{opening}\n{thoughts}\n</think>\n\n{}", document.value)
    },
    "an example first" => |document, _| {
        format!("The format is {{\"type\": \"object\", \"ok\": true}}, so:\n{}", document.pretty())
    },
    "trailing commas" => |document, seed| render(document, seed, &|style, rng| style.trailing_comma = rng.random_bool(0.3)),
    "missing commas" => |document, seed| render(document, seed, &|style, rng| style.omit_comma = rng.random_bool(0.1)),
    "unquoted keys" => |document, seed| render(document, seed, &|style, _| style.key_quote = Some("")),
    "single quotes" => |document, seed| render(document, seed, &|style, _| style.quotes = ("'", "'")),
    "typographic quotes" => |document, seed| {
        render(document, seed, &|style, _| style.quotes = ("\u{201c}", "\u{201d}"))
    },
    "comments" => |document, seed| render(document, seed, &|style, rng| {
        style.comment = ["", "", "// the \"main\" part, see {1}\n", "/* note: [x] */ ", "# note, as agreed\n"][rng.random_range(0..5)];
    }),
    "Python literals" => |document, seed| render(document, seed, &|style, _| style.python = true),
    "unescaped inner quotes" => |document, seed| {
        render(document, seed, &|style, rng| style.raw_quotes = rng.random_bool(0.7))
    },
    "raw line breaks" => |document, seed| render(document, seed, &|style, _| style.raw_breaks = true),
    "closing quote missing" => |document, seed| one_place(document, seed, &is_field_end, |text, at| {
        format!("{}{}", &text[..at], &text[at + 1..])
    }),
    "closing quote of an item missing" => |document, seed| one_place(document, seed, &is_item_end, |text, at| {
        format!("{}{}", &text[..at], &text[at + 1..])
    }),
    "closing brackets missing at the end" => |document, seed| {
        let text = document.pretty();
        let end = text.trim_end().len() - 1 - seed % 2;
        text[..end].trim_end().to_owned()
    },
    "closing bracket missing inside" => |document, seed| one_place(document, seed, &is_list_end, |text, at| {
        format!("{}{}", &text[..at], &text[at + 1..])
    }),
    "closing bracket of the wrong kind" => |document, seed| one_place(document, seed, &is_list_end, |text, at| {
        format!("{}}}{}", &text[..at], &text[at + 1..])
    }),
    "needless closing bracket" => |document, seed| {
        let text = document.pretty();
        format!("{text}{}", ["}", "]}", "\n}}"][seed % 3])
    },
    "missing colon" => |document, seed| one_place(document, seed, &is_colon, |text, at| {
        format!("{}{}", &text[..at], &text[at + 1..])
    }),
    "camelCase keys" => |document, _| renamed(&document.value, &camel_case).to_string(),
    "numbers as texts" => |document, seed| retyped(&document.value, seed).to_string(),
    "near enum values" => |document, seed| respelled(&document.value, seed).to_string(),
    "one item without its list" => |document, _| unlisted(&document.value).to_string(),
    "needless layer around" => |document, seed| {
        let key = ["course", "result", "output"][seed % 3];
        format!("{{\"{key}\": {}}}", document.pretty())
    },
    "list of one around" => |document, _| format!("[{}]", document.pretty()),
    "unknown keys" => |document, _| {
        let mut value = document.value.clone();
        value["confidence_note"] = "high".into();
        value.to_string()
    },
    "whole answer escaped" => |document, seed| {
        let escaped = Value::String(document.value.to_string()).to_string();
        if seed == 0 { escaped } else { escaped.trim_matches('"').to_owned() }
    },
    "several at once" => |document, seed| {
        let text = render(document, seed, &|style, rng| {
            style.trailing_comma = rng.random_bool(0.2);
            style.python = true;
            style.raw_breaks = true;
            style.key_quote = if rng.random_bool(0.5) { Some("") } else { None };
        });
        format!("<think>hm</think>Here:\n```json\n{text}\n```\nDone.")
    },
}

/// How the next piece is written.
#[expect(clippy::struct_excessive_bools, reason = "each is a damage of its own")]
struct Style {
    quotes: (&'static str, &'static str),
    key_quote: Option<&'static str>,
    trailing_comma: bool,
    omit_comma: bool,
    comment: &'static str,
    python: bool,
    raw_quotes: bool,
    raw_breaks: bool,
}

struct Writer<'a> {
    rng: StdRng,
    choose: &'a dyn Fn(&mut Style, &mut StdRng),
    text: String,
}

/// The document, pretty-printed; `choose` decides anew for every piece.
fn render(document: &Document, seed: usize, choose: &dyn Fn(&mut Style, &mut StdRng)) -> String {
    let mut writer = Writer {
        rng: StdRng::seed_from_u64(seed as u64),
        choose,
        text: String::new(),
    };
    writer.value(&document.value, 0);
    writer.text
}

impl Writer<'_> {
    fn style(&mut self) -> Style {
        let mut style = Style {
            quotes: ("\"", "\""),
            key_quote: None,
            trailing_comma: false,
            omit_comma: false,
            comment: "",
            python: false,
            raw_quotes: false,
            raw_breaks: false,
        };
        (self.choose)(&mut style, &mut self.rng);
        style
    }

    fn value(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Object(fields) => {
                let pieces = fields.iter().map(|(key, field)| (Some(key), field)).collect();
                self.pieces('{', pieces, '}', depth);
            }
            Value::Array(items) => {
                let pieces = items.iter().map(|item| (None, item)).collect();
                self.pieces('[', pieces, ']', depth);
            }
            Value::String(text) => self.string(text),
            Value::Bool(truth) if self.style().python => self.text += if *truth { "True" } else { "False" },
            Value::Null if self.style().python => self.text += "None",
            other => self.text += &other.to_string(),
        }
    }

    fn pieces(&mut self, open: char, pieces: Vec<(Option<&String>, &Value)>, close: char, depth: usize) {
        self.text.push(open);
        let count = pieces.len();
        for (index, (key, value)) in pieces.into_iter().enumerate() {
            self.line(depth + 1);
            let style = self.style();
            self.text += style.comment;
            if let Some(key) = key {
                let (open, close) = style.key_quote.map_or(style.quotes, |quote| (quote, quote));
                self.text.extend([open, key, close, ": "]);
            }
            self.value(value, depth + 1);
            let is_last = index + 1 == count;
            if if is_last {
                style.trailing_comma
            } else {
                !style.omit_comma
            } {
                self.text.push(',');
            }
        }
        self.line(depth);
        self.text.push(close);
    }

    fn line(&mut self, depth: usize) {
        self.text.push('\n');
        self.text += &"  ".repeat(depth);
    }

    fn string(&mut self, text: &str) {
        let style = self.style();
        let escaped = Value::String(text.to_owned()).to_string();
        let mut body = escaped[1..escaped.len() - 1].to_owned();
        if style.quotes.0 != "\"" {
            body = body
                .replace("\\\"", "\"")
                .replace('\'', if style.quotes.0 == "'" { "\\'" } else { "'" });
        }
        // In code samples models escape their quotes even when they forget it in prose.
        if style.raw_quotes && !text.contains("println") {
            body = body.replace("\\\"", "\"");
        }
        if style.raw_breaks {
            body = body.replace("\\n", "\n").replace("\\t", "\t");
        }
        self.text.extend([style.quotes.0, &body, style.quotes.1]);
    }
}

/// Damages one of the places that `is_place` accepts; places inside texts do not count.
fn one_place(
    document: &Document,
    seed: usize,
    is_place: &dyn Fn(&str, usize) -> bool,
    damage: fn(&str, usize) -> String,
) -> String {
    let text = document.pretty();
    let mut in_text = false;
    let mut escaped = false;
    let mut places = Vec::new();
    for (at, letter) in text.char_indices() {
        if !escaped && (letter == '"' || !in_text) && is_place(&text, at) {
            places.push(at);
        }
        match letter {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ => {}
        }
    }
    let mut rng = StdRng::seed_from_u64(seed as u64);
    damage(&text, places[rng.random_range(0..places.len())])
}

/// The closing quote of a field's text that another field follows.
fn is_field_end(text: &str, at: usize) -> bool {
    let line_start = text[..at].rfind('\n').unwrap_or(0);
    let line = &text[line_start..at];
    text[at..].starts_with("\",\n") && line.contains("\": \"")
}

/// The closing quote of a list's item that another item follows.
fn is_item_end(text: &str, at: usize) -> bool {
    let line_start = text[..at].rfind('\n').map_or(0, |line_break| line_break + 1);
    let line = text[line_start..at].trim_start();
    text[at..].starts_with("\",\n") && line.starts_with('"') && !line.contains("\": \"")
}

fn is_list_end(text: &str, at: usize) -> bool {
    text[at..].starts_with("],\n") && text[..at].ends_with(' ')
}

fn is_colon(text: &str, at: usize) -> bool {
    text[at..].starts_with(": \"")
}

/// A new key and value for a field, or none to leave it.
type Change<'a> = dyn FnMut(&str, &Value) -> Option<(String, Value)> + 'a;

fn map(value: &Value, change: &mut Change<'_>) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, field)| {
                let field = map(field, change);
                change(key, &field).unwrap_or((key.clone(), field))
            })
            .collect(),
        Value::Array(items) => items.iter().map(|item| map(item, change)).collect(),
        other => other.clone(),
    }
}

fn camel_case(key: &str) -> String {
    let mut words = key.split('_');
    let first = words.next().unwrap().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

fn renamed(value: &Value, rename: &dyn Fn(&str) -> String) -> Value {
    map(value, &mut |key, field| Some((rename(key), field.clone())))
}

fn retyped(value: &Value, seed: usize) -> Value {
    let mut rng = StdRng::seed_from_u64(seed as u64);
    map(value, &mut |key, field| {
        let unit = if key.contains("minutes") && rng.random_bool(0.5) {
            " min"
        } else {
            ""
        };
        let text = match field {
            Value::Number(number) => format!("{number}{unit}"),
            Value::Bool(truth) => truth.to_string(),
            _ => return None,
        };
        Some((key.to_owned(), text.into()))
    })
}

fn respelled(value: &Value, seed: usize) -> Value {
    let mut rng = StdRng::seed_from_u64(seed as u64);
    map(value, &mut |key, field| {
        let text = field
            .as_str()
            .filter(|_| matches!(key, "exercise_type" | "difficulty_level"))?;
        let respelled = match rng.random_range(0..4) {
            0 => text.replace('_', " "),
            1 => text.to_uppercase(),
            2 => text.replace('_', "-"),
            _ => camel_case(text),
        };
        Some((key.to_owned(), respelled.into()))
    })
}

fn unlisted(value: &Value) -> Value {
    map(
        value,
        &mut |key, field| match field.as_array().map(Vec::as_slice) {
            Some([only]) => Some((key.to_owned(), only.clone())),
            _ => None,
        },
    )
}
