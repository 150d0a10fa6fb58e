//! Shapes of answers: derived from the domain's types, or built from pieces for small models.

use domain::language::Language;
use domain::taxonomy::measurable_verbs;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::tasks;

/// The schema of a type with everything inline, as providers want it.
pub(crate) fn of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    schema
}

/// Removes what costs tokens and says nothing: titles of types and integer formats.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.contains_key("type") || map.contains_key("enum") || map.contains_key("oneOf") {
                map.remove("title");
                map.remove("format");
            }
            for value in map.values_mut() {
                tidy(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `sections[2].lesson_title` as a JSON pointer: `/sections/2/lesson_title`.
pub(crate) fn pointer(path: &str) -> String {
    let mut pointer = String::with_capacity(path.len() + 1);
    for part in path.split(['.', '[', '/']).filter(|part| !part.is_empty()) {
        pointer.push('/');
        pointer.push_str(part.trim_end_matches(']'));
    }
    pointer
}

/// The part of a schema that describes the value at `pointer`.
pub(crate) fn at(schema: &Value, pointer: &str) -> Option<Value> {
    let mut place = schema;
    for part in pointer.split('/').skip(1) {
        place = match part.parse::<usize>() {
            Ok(index) => place
                .get("prefixItems")
                .and_then(|items| items.get(index))
                .or_else(|| place.get("items"))?,
            Err(_) => place.get("properties")?.get(part)?,
        };
    }
    Some(place.clone())
}

/// A schema as a sketch that a model can follow: every key, with what its value must be.
pub(crate) fn outline(schema: &Value) -> String {
    serde_json::to_string_pretty(&sketch(schema)).unwrap_or_default()
}

fn sketch(schema: &Value) -> Value {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        return Value::Object(
            properties
                .iter()
                .map(|(key, value)| (key.clone(), sketch(value)))
                .collect(),
        );
    }
    if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
        return json!([sketch(items)]);
    }
    if let Some(items) = schema.get("prefixItems").and_then(Value::as_array) {
        return Value::Array(items.iter().map(sketch).collect());
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = values.iter().map(Value::to_string).collect();
        return Value::String(format!("one of {}", words.join(", ")));
    }
    if let Some(options) = schema.get("oneOf").and_then(Value::as_array) {
        let words: Vec<String> = options
            .iter()
            .filter_map(|option| option.get("const"))
            .map(Value::to_string)
            .collect();
        if !words.is_empty() {
            return Value::String(format!("one of {}", words.join(", ")));
        }
    }
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or("value");
    let range = |least: &str, most: &str| match (schema.get(least), schema.get(most)) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) => String::new(),
    };
    Value::String(match kind {
        "string" => format!(
            "text{}{}",
            range("minLength", "maxLength"),
            if schema.get("minLength").is_some() {
                " characters"
            } else {
                ""
            }
        ),
        _ => format!("{kind}{}", range("minimum", "maximum")),
    })
}

/// How lesson titles begin, from the first steps to mastery.
const RISING_WORDS: [&[&str]; 4] = [
    &[
        "Getting to Know",
        "Choosing",
        "Naming",
        "Finding",
        "Preparing",
        "Reading",
    ],
    &[
        "Setting up",
        "Using",
        "Building",
        "Handling",
        "Working with",
        "Creating",
        "Checking",
    ],
    &[
        "Comparing",
        "Measuring",
        "Planning",
        "Combining",
        "Inspecting",
        "Recording",
        "Deciding",
    ],
    &[
        "Avoiding",
        "Fixing",
        "Improving",
        "Protecting",
        "Testing",
        "Managing",
    ],
];

/// Pieces of shapes for small models: patterns make titles, sentences and objectives what they should be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    language: Language,
}

impl Pieces {
    pub(crate) const fn new(language: Language) -> Self {
        Self { language }
    }

    /// Letters that continue a phrase.
    const fn phrase_letters(self) -> &'static str {
        match self.language {
            Language::English => "[A-Za-z0-9+#/&' -]",
            _ => r#"[^"\\\n\t.!?{}\[\]<>]"#,
        }
    }

    /// Letters that continue a sentence.
    const fn sentence_letters(self) -> &'static str {
        match self.language {
            // Comparisons stand between blanks, so that nothing looks like a tag.
            Language::English => "(?:[A-Za-z0-9+#/,:;&'()%_=*$ -]| [<>]=? )",
            _ => r#"[^"\\\n\t.!?{}\[\]<>]"#,
        }
    }

    const fn capital(self) -> &'static str {
        match self.language {
            Language::English => "[A-Z]",
            _ => r"\S",
        }
    }

    const fn last_letter(self) -> &'static str {
        match self.language {
            Language::English => "[a-z0-9)%]",
            _ => r#"[^"\\\s.!?,:;(-]"#,
        }
    }

    /// A title or a topic of `least` to `most` characters: one line, no full stop.
    pub(crate) fn phrase(self, least: usize, most: usize) -> Value {
        let (capital, inner, ending) = (self.capital(), self.phrase_letters(), self.last_letter());
        let pattern = format!(
            "^{capital}{inner}{{{},{}}}{ending}$",
            least.saturating_sub(2),
            most.saturating_sub(2)
        );
        json!({ "type": "string", "pattern": pattern })
    }

    fn sentence_pattern(self, least: usize, most: usize) -> String {
        // Not a digit: small models number what they list at the end of the sentence before.
        let ending = match self.language {
            Language::English => "[a-z)%]",
            _ => self.last_letter(),
        };
        let (capital, inner) = (self.capital(), self.sentence_letters());
        format!("{capital}{inner}{{{least},{most}}}{ending}\\.")
    }

    /// From `fewest` to `most` sentences of `shortest` to about `longest` characters each.
    pub(crate) fn sentences_of(self, fewest: usize, most: usize, shortest: usize, longest: usize) -> Value {
        // A sentence at the bound ends in the middle of a thought: most must end before it by themselves.
        let sentence = self.sentence_pattern(shortest, longest + longest * ROOM_PERCENT / 100);
        let pattern = if most == 1 {
            format!("^{sentence}$")
        } else {
            format!(
                "^{sentence}( {sentence}){{{},{}}}$",
                fewest.saturating_sub(1),
                most - 1
            )
        };
        json!({ "type": "string", "pattern": pattern })
    }

    /// Titles that rise from the easy to the hard: each begins with what is done at its place. Languages without such
    /// a list of words get plain phrases.
    pub(crate) fn rising_titles(self, count: usize) -> Value {
        let (inner, ending) = (self.phrase_letters(), self.last_letter());
        let items: Vec<Value> = (0..count)
            .map(|place| match self.language {
                Language::English => {
                    let words = RISING_WORDS[place * RISING_WORDS.len() / count].join("|");
                    json!({ "type": "string", "pattern": format!("^({words}) {inner}{{6,48}}{ending}$") })
                }
                _ => self.phrase(12, 70),
            })
            .collect();
        // Their number is said by the limits alone: llama.cpp refuses `"items": false`.
        json!({ "type": "array", "prefixItems": items, "minItems": count, "maxItems": count })
    }

    /// A title that begins with what is done, at most `most` characters after it; a phrase in languages without a list of
    /// such words.
    pub(crate) fn task(self, most: usize) -> Value {
        let words = tasks::beginnings(self.language);
        if words.is_empty() {
            return self.phrase(12, most);
        }
        let (inner, ending) = (self.phrase_letters(), self.last_letter());
        let words = words.join("|");
        json!({ "type": "string", "pattern": format!("^({words}) {inner}{{3,{}}}{ending}$", most.saturating_sub(1)) })
    }

    /// A question of `least` to `most` characters.
    pub(crate) fn question(self, least: usize, most: usize) -> Value {
        let (capital, inner, ending) = (self.capital(), self.sentence_letters(), self.last_letter());
        json!({ "type": "string", "pattern": format!("^{capital}{inner}{{{least},{most}}}{ending}\\?$") })
    }

    /// An objective: begins with a verb that a test can measure.
    pub(crate) fn objective(self, least: usize, most: usize) -> Value {
        let verbs = measurable_verbs(self.language);
        if verbs.is_empty() {
            return self.sentences_of(1, 1, least, most);
        }
        let verbs: Vec<&str> = verbs
            .iter()
            .map(|(verb, _)| *verb)
            .filter(|verb| *verb != READ_AS_NOUN)
            .collect();
        let (inner, ending) = (self.sentence_letters(), self.last_letter());
        // Four words at least: an objective under four words is an error.
        let word = match self.language {
            Language::English => "[A-Za-z0-9+#/&'-]+",
            _ => r#"[^"\\\s.!?{}\[\]<>,:;]+"#,
        };
        let pattern = format!(
            "^({}) {word} {word} {word} {inner}{{{},{}}}{ending}\\.$",
            verbs.join("|"),
            least / 3,
            most
        );
        json!({ "type": "string", "pattern": pattern })
    }
}

/// A measurable verb that small models go on from as from a noun: "List of SQL queries".
const READ_AS_NOUN: &str = "List";

/// How much longer than usual a sentence may become before it is cut, in percent. Chosen after reading courses of the
/// embedded models: without room, some sentences were cut in the middle.
const ROOM_PERCENT: usize = 60;

/// An array of exactly `count` items.
#[expect(clippy::needless_pass_by_value, reason = "pieces are built in place")]
pub(crate) fn list(item: Value, count: usize) -> Value {
    json!({ "type": "array", "items": item, "minItems": count, "maxItems": count })
}

/// One of some words.
pub(crate) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> Value {
    json!({ "type": "string", "enum": words.into_iter().collect::<Vec<_>>() })
}

/// An object with exactly these keys, in this order.
pub(crate) fn object<const N: usize>(properties: [(&str, Value); N]) -> Value {
    let required: Vec<String> = properties.iter().map(|(key, _)| (*key).to_owned()).collect();
    let properties: Map<String, Value> = properties
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_pointers() {
        assert_eq!(
            pointer("sections[2].lessons[0].key_topics[1]"),
            "/sections/2/lessons/0/key_topics/1"
        );
        assert_eq!(pointer(""), "");
        assert_eq!(pointer("/sections/2"), "/sections/2");
    }

    #[test]
    fn schema_of_a_nested_value_is_found() {
        let schema = object([(
            "lessons",
            list(object([("title", json!({ "type": "string" }))]), 2),
        )]);
        assert_eq!(at(&schema, "/lessons/1/title"), Some(json!({ "type": "string" })));
        assert_eq!(at(&schema, "/lessons/1/name"), None);
    }

    #[test]
    fn patterns_accept_what_they_should() {
        let check = |schema: &Value, text: &str, expected: bool| {
            let accepted = jsonschema::validator_for(schema).unwrap().is_valid(&json!(text));
            assert_eq!(accepted, expected, "{text} against {schema}");
        };
        let english = Pieces::new(Language::English);
        check(&english.phrase(10, 80), "Choosing a Hive for Beginners", true);
        check(&english.phrase(10, 80), "Short", false);
        check(&english.phrase(10, 80), "A sentence, with a stop.", false);
        check(
            &english.objective(15, 120),
            "Explain how a queen bee is recognised in the hive.",
            true,
        );
        check(
            &english.objective(15, 120),
            "Understand how a queen bee is recognised.",
            false,
        );
        check(
            &english.sentences_of(2, 2, 25, 170),
            "Bees live in colonies of many thousands. They need water in every season.",
            true,
        );
        check(
            &english.sentences_of(2, 2, 25, 170),
            "Bees live in colonies of many thousands.",
            false,
        );
        let one = english.sentences_of(1, 1, 25, 170);
        check(
            &one,
            "Write WHERE age > 30 or WHERE age <= 65 after the table.",
            true,
        );
        check(&one, "Write <b>WHERE</b> after the name of the table.", false);
        let russian = Pieces::new(Language::Russian);
        check(&russian.phrase(10, 80), "Устройство улья и рамок", true);
        check(
            &russian.sentences_of(1, 1, 25, 170),
            "Пчёлы живут семьями по несколько тысяч особей.",
            true,
        );
    }
}
