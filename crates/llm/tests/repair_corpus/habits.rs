//! What models do around and inside correct JSON: thoughts, drafts, layers, TeX, quotation marks, loops. Each gives
//! the value that is meant with the answer.

use serde_json::{Value, json};

use crate::documents::Document;

/// One habit.
pub(crate) struct Habit {
    pub(crate) name: &'static str,
    pub(crate) answer: fn(&Document, usize) -> (Value, String),
}

macro_rules! habits {
    ($($name:literal => $answer:expr),+ $(,)?) => {
        /// All habits.
        pub(crate) const HABITS: &[Habit] = &[$(Habit { name: $name, answer: $answer }),+];
    };
}

habits! {
    "a draft in thoughts" => |document, seed| {
        let (open, close) = [
            ("<think>\n", "\n</think>\n"),
            ("[THINK]", "[/THINK]"),
            ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
            ("\u{25c1}think\u{25b7}", "\u{25c1}/think\u{25b7}"),
            ("Hm. ", "</think>"),
        ][seed % 5];
        same(document, format!("{open}First: {}\nBetter now.{close}{}", draft(document), document.pretty()))
    },
    "a draft before the final" => |document, seed| {
        let text = document.pretty();
        same(document, match seed % 3 {
            0 => format!("A draft:\n```json\n{}\n```\nCorrected:\n```json\n{text}\n```", draft(document)),
            1 => format!("Draft: {}\nFinal: {text}", draft(document)),
            _ => format!("{}\n{text}", draft(document)),
        })
    },
    "a note behind" => |document, _| {
        same(document, format!("{}\n\nNote: I kept \"minutes\" at 15. {{\"note\": \"see above\"}}", document.pretty()))
    },
    "TeX with single backslashes" => |document, _| {
        let value = with_texts(&document.value, &|text| {
            format!(r"{text} $\frac{{a}}{{b}} \times \theta \nu \beta \rho$ and \(\neq \to \right]\)")
        });
        single_backslashes(&value, &value.to_string())
    },
    "TeX and raw line breaks" => |document, _| {
        let value = with_texts(&document.value, &|text| format!("{text} $\\alpha \\nu$\nnu, not \\beta\n\ttext"));
        let text = value.to_string().replace(r"\\", "\u{1}").replace(r"\n", "\n").replace('\u{1}', r"\\");
        single_backslashes(&value, &text)
    },
    "TeX escaped well" => |document, _| {
        let value = with_texts(&document.value, &|text| format!("{text} $\\frac{{a}}{{b}}$\nnu \\(x \\to y\\)\n\tan"));
        let text = value.to_string();
        (value, text)
    },
    "a Windows path" => |document, _| {
        let value = with_texts(&document.value, &|text| format!("{text} in C:\\new\\table\\report and \\bword\\b"));
        single_backslashes(&value, &value.to_string())
    },
    "German quotation marks" => |document, seed| {
        let value = with_words(document, seed, &|word| format!("\u{201e}{word}\u{1}"));
        quoted(&value)
    },
    "French quotation marks" => |document, seed| {
        let value = with_words(document, seed, &|word| format!("«\u{a0}{word}\u{a0}»"));
        (value.clone(), value.to_string())
    },
    "inner quotes" => |document, seed| {
        let value = with_words(document, seed, &|word| format!("\u{1}{word}\u{1}"));
        quoted(&value)
    },
    "inner quotes with a comma" => |document, seed| {
        let value = with_words(document, seed, &|word| format!("\u{1}{word}\u{1}, as it is called,"));
        quoted(&value)
    },
    "dialogue" => |document, seed| {
        let value = with_words(document, seed, &|word| format!("she said, \u{1}{word},\u{1} and"));
        quoted(&value)
    },
    "inch marks" => |document, seed| {
        let value = with_words(document, seed, &|word| format!("5\u{1} {word}"));
        quoted(&value)
    },
    "JSON in a text" => |document, seed| {
        let value = with_words(document, seed, &|word| {
            format!("send {{\u{1}a\u{1}: \u{1}b\u{1}, \u{1}c\u{1}: []}} with {word}")
        });
        quoted(&value)
    },
    "layers around" => |document, seed| {
        let value = &document.value;
        let layered = match seed % 5 {
            0 => json!({ "status": "success", "data": value }),
            1 => json!({ "type": "object", "properties": value }),
            2 => json!({ "name": "answer", "arguments": value }),
            3 => json!({ "result": value.to_string() }),
            _ => json!([{ "function": { "name": "answer", "arguments": value.to_string() } }]),
        };
        same(document, layered.to_string())
    },
    "a tool call" => |document, _| {
        let call = json!({ "name": "answer", "arguments": document.value });
        same(document, format!("<tool_call>\n{call}\n</tool_call><|im_end|>"))
    },
    "keys in words" => |document, seed| {
        let renamed = with_keys(&document.value, &|key| {
            if seed % 2 == 0 { key.replace('_', "-") } else { key.replace('_', " ").to_uppercase() }
        });
        same(document, renamed.to_string())
    },
    "encoded as a whole" => |document, seed| {
        let text = document.pretty();
        let as_text = |text: &str| Value::String(text.to_owned()).to_string();
        same(document, match seed % 3 {
            0 => text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;"),
            1 => as_text(&as_text(&text)),
            _ => format!("Here: {}", as_text(&text).trim_matches('"')),
        })
    },
    "full-width punctuation" => |document, _| {
        same(document, document.pretty().replace("\",\n", "\"\u{ff0c}\n").replace("\": ", "\"\u{ff1a} "))
    },
    "invisible characters" => |document, seed| {
        let text = document.pretty();
        same(document, match seed % 3 {
            0 => format!("\u{feff}\0{text}\0"),
            1 => text.replace("\n ", "\n\u{a0}"),
            _ => text.replace(",\n", ",\u{200b}\n"),
        })
    },
    "a line a field" => |document, seed| {
        let fields = document.value.as_object().expect("documents are objects");
        let lines: Vec<String> = fields
            .iter()
            .map(|(key, field)| if seed % 2 == 0 { format!("{key}: {field}") } else { json!({ key: field }).to_string() })
            .collect();
        same(document, lines.join("\n"))
    },
    "whole numbers as fractions" => |document, _| {
        same(document, numbers_as(&document.value, &|number| json!(number.as_f64())).to_string())
    },
    "lists as texts" => |document, _| {
        same(document, lists_as_texts(&document.value).to_string())
    },
    "a loop behind" => |document, seed| {
        let text = document.pretty();
        let open = text.trim_end().strip_suffix('}').expect("documents are objects").trim_end();
        same(document, match seed % 2 {
            0 => format!("{open}, \"extra\": \"{}", "the the ".repeat(4000)),
            _ => format!("{open}{}", "\n".repeat(30_000)),
        })
    },
    "a needless declaration" => |document, seed| {
        let text = document.pretty();
        same(document, match seed % 3 {
            0 => format!("const course = {text};"),
            1 => format!("json\n{text}"),
            _ => format!("````\n```json\n{text}\n```\n````"),
        })
    },
}

fn same(document: &Document, text: String) -> (Value, String) {
    (document.value.clone(), text)
}

/// The document with other texts, as a model writes it first.
fn draft(document: &Document) -> String {
    let value = with_texts(&document.value, &|text| format!("DRAFT {text}"));
    serde_json::to_string_pretty(&value).expect("a value is JSON")
}

/// The value, and its text with quotation marks where U+0001 stands, not escaped.
fn quoted(value: &Value) -> (Value, String) {
    let text = value.to_string().replace("\\u0001", "\"");
    (
        with_texts_of_any_length(value, &|text| text.replace('\u{1}', "\"")),
        text,
    )
}

/// Backslashes of `text` written as one; two in a row are one then.
fn single_backslashes(value: &Value, text: &str) -> (Value, String) {
    let expected = with_texts_of_any_length(value, &|text| text.replace(r"\\", r"\"));
    (expected, text.replace(r"\\", r"\"))
}

fn with_texts(value: &Value, change: &dyn Fn(&str) -> String) -> Value {
    with_texts_of_any_length(value, &|text| {
        if text.chars().count() > 30 {
            change(text)
        } else {
            text.to_owned()
        }
    })
}

fn with_texts_of_any_length(value: &Value, change: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(text)),
        Value::Array(items) => items
            .iter()
            .map(|item| with_texts_of_any_length(item, change))
            .collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, field)| (key.clone(), with_texts_of_any_length(field, change)))
            .collect(),
        other => other.clone(),
    }
}

/// One longer word of each long text changed; texts that have quotes of their own stay as they are.
fn with_words(document: &Document, seed: usize, change: &dyn Fn(&str) -> String) -> Value {
    with_texts(&document.value, &|text| {
        let words: Vec<&str> = text.split(' ').collect();
        let is_plain = |word: &&str| word.chars().count() > 4 && word.chars().all(char::is_alphabetic);
        let chosen = words.iter().filter(|word| is_plain(word)).nth(seed % 2);
        match chosen.filter(|_| !text.contains(['"', '\u{201e}', '\n'])) {
            Some(word) => text.replacen(word, &change(word), 1),
            None => text.to_owned(),
        }
    })
}

fn with_keys(value: &Value, rename: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| with_keys(item, rename)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, field)| (rename(key), with_keys(field, rename)))
            .collect(),
        other => other.clone(),
    }
}

fn numbers_as(value: &Value, change: &dyn Fn(&Value) -> Value) -> Value {
    match value {
        Value::Number(_) => change(value),
        Value::Array(items) => items.iter().map(|item| numbers_as(item, change)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, field)| (key.clone(), numbers_as(field, change)))
            .collect(),
        other => other.clone(),
    }
}

fn lists_as_texts(value: &Value) -> Value {
    match value {
        Value::Array(items) if items.len() > 1 && items.iter().all(Value::is_string) => {
            Value::String(value.to_string())
        }
        Value::Array(items) => items.iter().map(lists_as_texts).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, field)| (key.clone(), lists_as_texts(field)))
            .collect(),
        other => other.clone(),
    }
}
