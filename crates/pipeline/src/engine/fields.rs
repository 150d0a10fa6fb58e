//! Asking for the wrong fields of an answer alone: the second rung of the content ladder (generation 3.4).

use llm::repair::FieldFailure;
use serde_json::{Map, Value, json};

/// Longer names of fields are cut: some providers bound them at 64 characters.
const LONGEST_KEY: usize = 60;

/// What stands against an answer.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// The field that has to be written anew or is missing; `None` where the whole is meant.
    pub(super) place: Option<Place>,
    /// What is wrong, as a sentence.
    pub(super) message: String,
}

/// A field of an answer.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// A JSON pointer. `/-` at its end is what follows the items that a list has.
    pub(super) pointer: String,
    /// The shape of its value.
    pub(super) schema: Value,
}

impl Problem {
    /// A problem of the answer as a whole.
    pub(super) const fn of_the_whole(message: String) -> Self {
        Self { place: None, message }
    }

    /// A problem of the field at `pointer` of an answer that should follow `schema`.
    pub(super) fn at(pointer: String, schema: &Value, message: String) -> Self {
        let place = (!pointer.is_empty())
            .then(|| crate::schema::at(schema, &pointer))
            .flatten()
            .map(|schema| Place { pointer, schema });
        Self { place, message }
    }
}

/// What the schema rejects, each where it can be mended: of a list that is too short, the items that it lacks.
pub(super) fn misfits(value: &Value, failures: Vec<FieldFailure>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for failure in failures {
        let lacking = lacking_items(value, &failure);
        if lacking.is_empty() {
            let FieldFailure {
                path,
                schema,
                message,
            } = failure;
            let place = (!path.is_empty()).then_some(Place {
                pointer: path,
                schema,
            });
            problems.push(Problem { place, message });
        } else {
            problems.extend(lacking);
        }
    }
    problems
}

/// The items that a list which is too short lacks; empty where something else is wrong.
fn lacking_items(value: &Value, failure: &FieldFailure) -> Vec<Problem> {
    let FieldFailure {
        path,
        schema,
        message,
    } = failure;
    let present = value.pointer(path).and_then(Value::as_array).map(Vec::len);
    let least = schema
        .get("minItems")
        .and_then(Value::as_u64)
        .and_then(|least| usize::try_from(least).ok());
    let (Some(present), Some(least), Some(item)) = (present, least, schema.get("items")) else {
        return Vec::new();
    };
    // An empty list is better written in one piece.
    if present == 0 || path.is_empty() || !item.is_object() {
        return Vec::new();
    }
    (present..least)
        .map(|index| Problem {
            place: Some(Place {
                pointer: format!("{path}/{index}"),
                schema: item.clone(),
            }),
            message: message.clone(),
        })
        .collect()
}

/// A field of an answer that must be written anew.
#[derive(Clone, Debug)]
pub(super) struct OffendingField {
    /// What the field is called in the question and in its answer: letters, digits, `_`.
    pub(super) key: String,
    /// Where it stands in the whole answer, as a JSON pointer.
    pub(super) pointer: String,
    /// The shape of its value.
    pub(super) schema: Value,
    /// What is wrong with it.
    pub(super) problem: String,
}

impl OffendingField {
    /// Whether it is what follows the items that a list has.
    pub(super) fn is_rest(&self) -> bool {
        self.pointer.ends_with("/-")
    }

    /// What the field is, where its schema says so.
    pub(super) fn description(&self) -> Option<&str> {
        self.schema.get("description").and_then(Value::as_str)
    }
}

/// The fields that mend all of `problems`, in the order of the answer; none if a problem is of the whole answer.
pub(super) fn offending_fields(problems: &[Problem]) -> Vec<OffendingField> {
    let mut places: Vec<(&Place, String)> = Vec::new();
    for problem in problems {
        let Some(place) = &problem.place else {
            return Vec::new();
        };
        let known = places
            .iter_mut()
            .find(|(other, _)| other.pointer == place.pointer);
        match known {
            Some((_, message)) => {
                message.push_str("; ");
                message.push_str(&problem.message);
            }
            None => places.push((place, problem.message.clone())),
        }
    }
    let pointers: Vec<String> = places.iter().map(|(place, _)| place.pointer.clone()).collect();
    let lies_in_another = |pointer: &str| {
        pointers.iter().any(|other| {
            pointer
                .strip_prefix(other.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
        })
    };
    places.retain(|(place, _)| !lies_in_another(&place.pointer));
    places
        .into_iter()
        .zip(1..)
        .map(|((place, problem), number)| OffendingField {
            key: key_of(number, &place.pointer),
            pointer: place.pointer.clone(),
            schema: place.schema.clone(),
            problem,
        })
        .collect()
}

/// `/topic_analysis/key_concepts` as a name: `field_1_topic_analysis_key_concepts`.
fn key_of(number: usize, pointer: &str) -> String {
    let readable: String = pointer
        .replace("/-", "/rest")
        .chars()
        .map(|letter| match letter {
            letter if letter.is_ascii_alphanumeric() => letter,
            _ => '_',
        })
        .collect();
    let mut key = format!("field_{number}{readable}");
    key.truncate(LONGEST_KEY);
    key
}

/// The shape of an answer with these fields alone.
pub(super) fn fields_schema(fields: &[OffendingField]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| (field.key.clone(), field.schema.clone()))
        .collect();
    let required: Vec<&str> = fields.iter().map(|field| field.key.as_str()).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// The answer `base` with these fields as `answers` has them; what is missing is inserted.
pub(super) fn merged(base: &Value, fields: &[OffendingField], answers: &Value) -> Value {
    let mut value = base.clone();
    for field in fields {
        if let Some(answer) = answers.get(&field.key) {
            insert(&mut value, &field.pointer, answer.clone());
        }
    }
    value
}

/// Sets the field at `pointer`. Objects on the way are made; of a list, items are replaced or appended.
fn insert(value: &mut Value, pointer: &str, answer: Value) {
    let mut steps = pointer.split('/').skip(1).peekable();
    let mut place = value;
    while let Some(step) = steps.next() {
        let step = step.replace("~1", "/").replace("~0", "~");
        let next_is_item = steps.peek().is_some_and(|next| is_item(next));
        let fresh = || if next_is_item { json!([]) } else { json!({}) };
        place = match place {
            Value::Array(items) => {
                if step == "-" {
                    match answer {
                        Value::Array(more) => items.extend(more),
                        one => items.push(one),
                    }
                    return;
                }
                let Ok(index) = step.parse::<usize>() else { return };
                let index = index.min(items.len());
                if index == items.len() {
                    items.push(fresh());
                }
                &mut items[index]
            }
            Value::Object(fields) => fields.entry(step).or_insert_with(fresh),
            // What stands there is of the wrong kind.
            other => {
                *other = json!({});
                let Value::Object(fields) = other else { return };
                fields.entry(step).or_insert_with(fresh)
            }
        };
    }
    *place = answer;
}

fn is_item(step: &str) -> bool {
    step == "-" || step.parse::<usize>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(pointer: &str) -> Problem {
        let place = Place {
            pointer: pointer.to_owned(),
            schema: json!({ "type": "string" }),
        };
        Problem {
            place: Some(place),
            message: format!("{pointer} is wrong"),
        }
    }

    #[test]
    fn fields_are_named_by_their_paths() {
        let check = |pointers: &[&str], expected: &[&str]| {
            let problems: Vec<Problem> = pointers.iter().map(|pointer| problem(pointer)).collect();
            let keys: Vec<String> = offending_fields(&problems)
                .into_iter()
                .map(|field| field.key)
                .collect();
            assert_eq!(keys, expected);
        };
        check(
            &["/topic_analysis/key_concepts", "/lessons/2/lesson_title"],
            &[
                "field_1_topic_analysis_key_concepts",
                "field_2_lessons_2_lesson_title",
            ],
        );
        check(&["/quiz/-"], &["field_1_quiz_rest"]);
        check(&["/quiz", "/quiz/0/question"], &["field_1_quiz"]);
        check(&["/quiz/0", "/quiz/0"], &["field_1_quiz_0"]);
        check(&["/quiz/1", "/quiz/10"], &["field_1_quiz_1", "field_2_quiz_10"]);
    }

    #[test]
    fn problem_of_the_whole_leaves_no_fields() {
        let whole = Problem::of_the_whole("not close enough".to_owned());
        assert!(offending_fields(&[problem("/quiz"), whole]).is_empty());
    }

    #[test]
    fn missing_values_are_inserted() {
        let check = |base: Value, pointer: &str, answer: Value, expected: Value| {
            let fields = offending_fields(&[problem(pointer)]);
            let answers = json!({ &fields[0].key: answer });
            assert_eq!(merged(&base, &fields, &answers), expected, "{pointer}");
        };
        check(json!({}), "/a", json!(1), json!({ "a": 1 }));
        check(json!({}), "/a/b/c", json!(1), json!({ "a": { "b": { "c": 1 } } }));
        check(json!({ "a": "x" }), "/a/b", json!(1), json!({ "a": { "b": 1 } }));
        check(json!({ "a": [1, 2] }), "/a/1", json!(3), json!({ "a": [1, 3] }));
        check(json!({ "a": [1] }), "/a/1", json!(2), json!({ "a": [1, 2] }));
        check(
            json!({ "a": [1] }),
            "/a/-",
            json!([2, 3]),
            json!({ "a": [1, 2, 3] }),
        );
        check(json!({}), "/a/0/b", json!(1), json!({ "a": [{ "b": 1 }] }));
        check(
            json!({ "a": [{}] }),
            "/a/0/b",
            json!(1),
            json!({ "a": [{ "b": 1 }] }),
        );
    }

    #[test]
    fn of_a_short_list_the_items_that_it_lacks_are_asked_for() {
        let schema = json!({ "type": "object", "properties": {
            "quiz": { "type": "array", "items": { "type": "string" }, "minItems": 3 } } });
        let check = |value: Value, expected: &[&str]| {
            let failures = llm::repair::failing_fields(&schema, &value).unwrap();
            let pointers: Vec<String> = misfits(&value, failures)
                .into_iter()
                .map(|problem| problem.place.unwrap().pointer)
                .collect();
            assert_eq!(pointers, expected, "{value}");
        };
        check(json!({ "quiz": ["a"] }), &["/quiz/1", "/quiz/2"]);
        check(json!({ "quiz": [] }), &["/quiz"]);
        check(json!({ "quiz": ["a", "b", 3] }), &["/quiz/2"]);
    }
}
