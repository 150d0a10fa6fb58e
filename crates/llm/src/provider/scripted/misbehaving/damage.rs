//! What models do to an answer's text.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

/// Stands before every longer text of a draft: none of them may reach a course.
pub const DRAFT: &str = "DRAFT ";

/// What `with_formula` adds to a text. The model writes its backslashes once; read by the letter they begin control
/// characters.
pub const FORMULA: &str = r" $\frac{a}{b} \times \theta \nu \beta \rho$";

/// Texts of a draft that are marked: shorter ones may be values of a list.
const MARKED_LETTERS: usize = 12;
/// Texts that a formula may be added to.
const FORMULA_LETTERS: usize = 60;

/// Valid JSON that answers nothing.
pub(super) const WRONG_SHAPE: &str = r#"{"result": {"status": "done", "items": []}}"#;

/// Between 30 and 97 % of the text.
pub(super) fn cut(text: &str, rng: &mut StdRng) -> String {
    let letters: Vec<char> = text.chars().collect();
    let kept = letters.len() * rng.random_range(30..98) / 100;
    letters[..kept.max(1).min(letters.len())].iter().collect()
}

pub(super) fn fenced(text: &str) -> String {
    format!("Sure! Here is what you asked for:\n\n```json\n{text}\n```\n\nLet me know if you need changes.")
}

pub(super) fn prose(text: &str) -> String {
    format!(
        "Certainly! Below is the JSON object.\n\n{text}\n\nLet me know if you'd like me to change [anything] {{else}}!"
    )
}

/// The answer after a thought that holds a draft of it. Models mark their thoughts in many ways.
pub(super) fn draft_first(text: &str, rng: &mut StdRng) -> String {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    let draft = map_texts(&value, &|text| {
        if text.chars().count() < MARKED_LETTERS {
            text.to_owned()
        } else {
            format!("{DRAFT}{text}")
        }
    });
    let draft = format!("{draft:#}");
    match rng.random_range(0..7) {
        0 => format!("<think>\nFirst draft:\n{draft}\nBetter now.\n</think>\n{text}"),
        1 => format!("[THINK]First draft:\n{draft}\nNow better.[/THINK]\n{text}"),
        2 => format!("<thought>\n{draft}\nThat lacks examples.\n</thought>\n{text}"),
        3 => format!("<THINK>\n{draft}\n</THINK>\n\n{text}"),
        4 => format!(
            "<|channel|>analysis<|message|>First draft: {draft} That lacks examples.<|end|><|start|>assistant<|channel|>final<|message|>{text}"
        ),
        5 => format!("◁think▷{draft}◁/think▷{text}"),
        _ => format!(
            "Here is a draft:\n```json\n{draft}\n```\nOn reflection, here is the corrected final version:\n```json\n{text}\n```"
        ),
    }
}

pub(super) fn wrapped(text: &str, rng: &mut StdRng) -> String {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    let wrapped = match rng.random_range(0..3) {
        0 => json!({ "result": value }),
        1 => json!({ "status": "success", "data": value }),
        _ => json!([value]),
    };
    wrapped.to_string()
}

pub(super) fn camel_case(text: &str) -> String {
    serde_json::from_str::<Value>(text)
        .map_or_else(|_| text.to_owned(), |value| in_camel_case(&value).to_string())
}

fn in_camel_case(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(key, value)| (camel(key), in_camel_case(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(in_camel_case).collect(),
        other => other.clone(),
    }
}

fn camel(key: &str) -> String {
    let mut words = key.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

/// A formula at the end of every longer body, explanation or solution, its backslashes not escaped.
pub(super) fn with_formula(text: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    add_formula(&mut value);
    // Escaped as JSON wants it, a backslash is two; the model writes one.
    let escaped = FORMULA.replace('\\', r"\\");
    value.to_string().replace(&escaped, FORMULA)
}

fn add_formula(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let is_long = value
                    .as_str()
                    .is_some_and(|text| text.chars().count() > FORMULA_LETTERS);
                if is_long && matches!(key.as_str(), "body" | "solution") {
                    let text = value.as_str().unwrap_or_default();
                    *value = json!(format!("{text}{FORMULA}"));
                } else {
                    add_formula(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(add_formula),
        _ => {}
    }
}

fn map_texts(value: &Value, map: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(map(text)),
        Value::Array(items) => items.iter().map(|item| map_texts(item, map)).collect(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), map_texts(value, map)))
                .collect(),
        ),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const ANSWER: &str = r#"{"lesson_title":"Keeping bees in winter","blocks":[{"title":"Food","body":"Bees eat honey in winter, about fifteen kilograms of it for each colony."}]}"#;

    #[test]
    fn draft_comes_before_the_answer_and_marks_every_longer_text() {
        for seed in 0..40 {
            let text = draft_first(ANSWER, &mut StdRng::seed_from_u64(seed));
            assert!(text.contains("DRAFT Bees eat"), "{text}");
            let clean = text.rfind("DRAFT").unwrap();
            assert!(text[clean..].contains(ANSWER), "{text}");
        }
    }

    #[test]
    fn formula_has_single_backslashes() {
        let text = with_formula(ANSWER);
        assert!(text.contains(r"colony. $\frac{a}{b} \times"), "{text}");
        assert!(!text.contains(r"\\"), "{text}");
    }

    #[test]
    fn keys_are_in_camel_case_and_texts_are_not() {
        let value: Value = serde_json::from_str(&camel_case(ANSWER)).unwrap();
        assert_eq!(value["lessonTitle"], "Keeping bees in winter");
    }
}
