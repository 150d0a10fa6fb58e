//! Plausible answers for any JSON Schema, in English or Russian: whole courses can be made without a model.

mod brief;
mod files;
mod material;
mod pattern;
mod words;

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use domain::language::Language;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Number, Value, json};

pub use self::files::{file_answers, question_name};
use self::words::Words;
use super::{Script, ScriptedReply};
use crate::request::{Request, Role};

/// Deeper schemas are cut off with their simplest value: a schema may refer to itself.
const DEEPEST: usize = 24;
/// So many of the latest answers can be gone on with: more than are under way at once.
const REMEMBERED_ANSWERS: usize = 256;
/// Tries to find a text that was not used before.
const TRIES_FOR_NEW: usize = 50;
/// Length of a long text, and of another, whose schema sets no least length.
const LONG_TEXT_CHARS: usize = 700;
const SHORT_TEXT_CHARS: usize = 90;
/// Fields whose texts are long where the schema does not say.
const LONG_FIELDS: [&str; 5] = ["body", "introduction", "overview", "content", "summary"];
/// Fields that hold a short name.
const NAME_FIELDS: [&str; 11] = [
    "title", "topic", "tag", "area", "keyword", "concept", "term", "name", "option", "element", "pattern",
];
/// Fields that hold something to be tested.
const OBJECTIVE_FIELDS: [&str; 2] = ["objective", "outcome"];
/// Lists that are empty where the schema allows: they would have to point at things that exist.
const POINTING_FIELDS: [&str; 5] = ["prerequisites", "citations", "references", "chunk", "documents"];

/// A script that answers every schema. The same seed and request give the same values, and no name or objective is
/// given twice by one script, as a course must not repeat itself. Languages other than Russian get English. Where the
/// question shows documents, plans take their headings, lessons quote and cite them, and summaries begin as they do. Asked
/// without a schema to go on with one of its latest answers, it says the rest of it.
pub fn schema_answers(seed: u64, language: Language) -> Script {
    let used = Arc::new(Mutex::new(HashSet::new()));
    let followed = Arc::new(material::Followed::default());
    let said: Mutex<VecDeque<String>> = Mutex::default();
    Arc::new(move |request: &Request, _call| {
        let mut hasher = DefaultHasher::new();
        (seed, &request.messages, request.sampling.temperature.to_bits()).hash(&mut hasher);
        let mut generator = Generator {
            rng: StdRng::seed_from_u64(hasher.finish()),
            words: Words::of(language),
            used: &used,
            root: &Value::Null,
            terms: words::terms_of(request),
        };
        let Some(schema) = &request.schema else {
            if let Some(rest) = rest_of(&said, request) {
                return ScriptedReply::text(rest);
            }
            return ScriptedReply::text(generator.prose(LONG_TEXT_CHARS, usize::MAX));
        };
        generator.root = &schema.schema;
        let mut value = generator.value(
            &schema.schema,
            &Place {
                name: "answer",
                index: 0,
                depth: 0,
            },
        );
        brief::follow(&mut value, request, || {
            generator.prose(LONG_TEXT_CHARS, usize::MAX)
        });
        material::follow(&mut value, request, &followed);
        let answer = value.to_string();
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_back(answer.clone());
        if said.len() > REMEMBERED_ANSWERS {
            said.pop_front();
        }
        ScriptedReply::text(answer)
    })
}

/// What follows the beginning of an answer that the request shows as the model's last turn.
fn rest_of(said: &Mutex<VecDeque<String>>, request: &Request) -> Option<String> {
    let mut turns = request.messages.iter().rev();
    let begun = turns.find(|message| message.role == Role::Assistant)?;
    let said = said.lock().unwrap_or_else(PoisonError::into_inner);
    said.iter()
        .rev()
        .find_map(|answer| answer.strip_prefix(begun.content.as_str()))
        .map(str::to_owned)
}

struct Generator<'a> {
    rng: StdRng,
    words: Words,
    used: &'a Mutex<HashSet<String>>,
    root: &'a Value,
    /// Words of the question that the answer should be about.
    terms: Vec<String>,
}

/// Where a value stands.
struct Place<'a> {
    /// The property's name; of a list's item, the list's.
    name: &'a str,
    /// The place in the list, 0 outside lists.
    index: usize,
    depth: usize,
}

impl<'a> Generator<'a> {
    fn value(&mut self, schema: &'a Value, place: &Place<'_>) -> Value {
        let schema = self.resolved(schema);
        if place.depth > DEEPEST {
            return Value::Null;
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(values) = schema
            .get("enum")
            .and_then(Value::as_array)
            .filter(|values| !values.is_empty())
        {
            // Neighbours in a list differ, as exercise types should.
            let start = if place.index == 0 {
                self.rng.random_range(0..values.len())
            } else {
                0
            };
            return values[(start + place.index) % values.len()].clone();
        }
        for keyword in ["anyOf", "oneOf"] {
            let variants = schema
                .get(keyword)
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            let variant = variants
                .map(|variant| self.resolved(variant))
                .find(|variant| !is_null(variant));
            if let Some(variant) = variant {
                return self.value(
                    variant,
                    &Place {
                        depth: place.depth + 1,
                        ..*place
                    },
                );
            }
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            return self.all_of(schema, parts, place);
        }
        match type_of(schema) {
            "object" => self.object(schema, place),
            "array" => self.list(schema, place),
            "integer" => json!(self.whole(schema, place)),
            "number" => fraction(schema, place),
            "boolean" => json!(self.rng.random_bool(0.5)),
            "null" => Value::Null,
            _ => Value::String(self.text(schema, place)),
        }
    }

    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        for _ in 0..DEEPEST {
            let target = schema
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|reference| reference.strip_prefix('#'));
            let Some(target) = target.and_then(|pointer| self.root.pointer(pointer)) else {
                break;
            };
            schema = target;
        }
        schema
    }

    fn all_of(&mut self, schema: &'a Value, parts: &'a [Value], place: &Place<'_>) -> Value {
        let mut merged = Map::new();
        let mut other = None;
        let own = schema.get("properties").map(|_| self.object(schema, place));
        let values: Vec<Value> = parts
            .iter()
            .map(|part| {
                self.value(
                    part,
                    &Place {
                        depth: place.depth + 1,
                        ..*place
                    },
                )
            })
            .collect();
        for value in own.into_iter().chain(values) {
            match value {
                Value::Object(fields) => merged.extend(fields),
                value => other = Some(value),
            }
        }
        if merged.is_empty() {
            other.unwrap_or(Value::Null)
        } else {
            Value::Object(merged)
        }
    }

    fn object(&mut self, schema: &'a Value, place: &Place<'_>) -> Value {
        let properties = schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten();
        let fields = properties.map(|(name, property)| {
            let value = self.value(
                property,
                &Place {
                    name,
                    index: place.index,
                    depth: place.depth + 1,
                },
            );
            (name.clone(), value)
        });
        Value::Object(fields.collect())
    }

    fn list(&mut self, schema: &'a Value, place: &Place<'_>) -> Value {
        let fixed: Vec<&Value> = schema
            .get("prefixItems")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .collect();
        let least = limit(schema, "minItems").max(fixed.len());
        let most = limit_or(schema, "maxItems", usize::MAX);
        let wanted = match (least, is_about(place.name, &POINTING_FIELDS)) {
            (0, true) => 0,
            (0, false) => 2,
            (least, _) => least + self.rng.random_range(0..=1),
        };
        let count = wanted.clamp(least, most.max(least));
        let item = schema.get("items").filter(|items| items.is_object());
        let items = (0..count).filter_map(|index| {
            let schema = fixed.get(index).copied().or(item)?;
            Some(self.value(
                schema,
                &Place {
                    name: place.name,
                    index,
                    depth: place.depth + 1,
                },
            ))
        });
        Value::Array(items.collect())
    }

    fn whole(&mut self, schema: &Value, place: &Place<'_>) -> i64 {
        let number = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
        let stated =
            number("minimum").or_else(|| limit_in_description(schema, "minimum").map(|limit| limit as f64));
        let least = stated
            .or(number("exclusiveMinimum").map(|limit| limit + 1.0))
            .unwrap_or(0.0);
        let stated =
            number("maximum").or_else(|| limit_in_description(schema, "maximum").map(|limit| limit as f64));
        let most = stated
            .or(number("exclusiveMaximum").map(|limit| limit - 1.0))
            .unwrap_or(f64::MAX);
        let wanted = if place.name.ends_with("_number") {
            place.index as f64 + 1.0
        } else if place.name.contains("minutes") {
            15.0
        } else if place.name.contains("lessons") {
            12.0
        } else if place.name.contains("completeness") {
            70.0
        } else if ["correct", "answer", "index"]
            .iter()
            .any(|word| place.name.contains(word))
        {
            0.0
        } else {
            f64::from(self.rng.random_range(2_u8..=5))
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the limits of a schema are far below 2^63; `as` saturates"
        )]
        let whole = wanted.min(most).max(least).round() as i64;
        whole
    }

    fn text(&mut self, schema: &Value, place: &Place<'_>) -> String {
        let least = limit(schema, "minLength");
        let most = limit_or(schema, "maxLength", usize::MAX).max(least);
        match schema.get("format").and_then(Value::as_str) {
            Some("uuid") => return "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
            Some("date") => return "2025-01-15".to_owned(),
            Some("date-time") => return "2025-01-15T09:00:00Z".to_owned(),
            Some("uri") => return "https://example.org/".to_owned(),
            _ => {}
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
            let tail = self.fitting(place.name, least, most);
            return pattern::matching(pattern, &tail, least, most, &mut self.rng).unwrap_or(tail);
        }
        if place.name.contains("ratio") {
            return "30:70".to_owned();
        }
        self.fitting(place.name, least, most)
    }

    /// A text of the kind that the field's name suggests, between `least` and `most` characters.
    fn fitting(&mut self, name: &str, least: usize, most: usize) -> String {
        let is_long = least > SHORT_TEXT_CHARS || is_about(name, &LONG_FIELDS);
        let text = if is_about(name, &OBJECTIVE_FIELDS) {
            self.unused(most, Words::objective)
        } else if is_about(name, &NAME_FIELDS) && !is_long {
            self.unused(most, Words::name)
        } else {
            let wanted = if least > 0 {
                least + least / 4
            } else if is_long {
                LONG_TEXT_CHARS
            } else {
                SHORT_TEXT_CHARS
            };
            self.prose(wanted.min(most), most)
        };
        self.lengthened(text, least, most)
    }

    /// A text that this script has not given before and that is short enough.
    fn unused(&mut self, most: usize, make: fn(&Words, &mut StdRng) -> String) -> String {
        let mut shortest = make(&self.words, &mut self.rng);
        for _ in 0..TRIES_FOR_NEW {
            let text = make(&self.words, &mut self.rng);
            let fits = text.chars().count() <= most;
            if fits
                && self
                    .used
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(text.clone())
            {
                return text;
            }
            if text.chars().count() < shortest.chars().count() {
                shortest = text;
            }
        }
        shortest
    }

    /// Sentences until `wanted` characters are there, at most `most`.
    fn prose(&mut self, wanted: usize, most: usize) -> String {
        let mut text = String::new();
        let mut length = 0;
        let about = (!self.terms.is_empty()).then(|| self.words.about(&self.terms));
        let mut about = about.filter(|about| about.chars().count() < most / 2);
        if about.is_some() {
            // Said once: a text that repeats its sentences breaks the rules of courses.
            self.terms.clear();
        }
        while length < wanted {
            let sentence = about.take().unwrap_or_else(|| self.words.sentence(&mut self.rng));
            if !text.is_empty() {
                text.push(' ');
            }
            text += &sentence;
            length = text.chars().count();
        }
        text
    }

    fn lengthened(&mut self, mut text: String, least: usize, most: usize) -> String {
        while text.trim().chars().count() < least {
            text.push(' ');
            text += &self.words.sentence(&mut self.rng);
        }
        match text.char_indices().nth(most) {
            None => text,
            Some((end, _)) => cut_at_word(&text[..end], least).to_owned(),
        }
    }
}

/// The text without its broken last word, if it stays long enough.
fn cut_at_word(text: &str, least: usize) -> &str {
    let cut = text
        .rfind(' ')
        .map_or(text, |space| text[..space].trim_end_matches([' ', ',']));
    if cut.chars().count() >= least {
        cut
    } else {
        text.trim_end()
    }
}

fn fraction(schema: &Value, place: &Place<'_>) -> Value {
    let number = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let (least, most) = (
        number("minimum").unwrap_or(0.0),
        number("maximum").unwrap_or(f64::MAX),
    );
    let wanted = if ["hours", "minutes", "weeks"]
        .iter()
        .any(|unit| place.name.contains(unit))
    {
        6.0
    } else {
        0.8
    };
    Number::from_f64(f64::clamp(wanted, least, most.max(least))).map_or(Value::Null, Value::Number)
}

fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(one)) => one,
        Some(Value::Array(types)) => types
            .iter()
            .filter_map(Value::as_str)
            .find(|one| *one != "null")
            .unwrap_or("null"),
        _ if schema.get("properties").is_some() => "object",
        _ if schema.get("items").is_some() => "array",
        _ => "string",
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|one| one == "null") || schema.get("const").is_some_and(Value::is_null)
}

fn is_about(name: &str, words: &[&str]) -> bool {
    words.iter().any(|word| name.contains(word))
}

fn limit(schema: &Value, keyword: &str) -> usize {
    limit_or(schema, keyword, 0)
}

/// The limit where the schema states it; where it was moved into the description for strict mode, from there.
fn limit_or(schema: &Value, keyword: &str, otherwise: usize) -> usize {
    let stated = schema
        .get(keyword)
        .and_then(Value::as_u64)
        .or_else(|| limit_in_description(schema, keyword));
    stated
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(otherwise)
}

fn limit_in_description(schema: &Value, keyword: &str) -> Option<u64> {
    let description = schema.get("description")?.as_str()?;
    crate::structured::limit_in(description, keyword)
}
