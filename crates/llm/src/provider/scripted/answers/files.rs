//! Answers from files: what a strong model once said to the same questions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::{fs, io};

use regex::Regex;
use serde_json::{Map, Value};

use crate::provider::scripted::{Script, ScriptedReply};
use crate::request::{Request, Role};

/// The ending of files with answers.
const ENDING: &str = "txt";

/// Questions by a field that only their answers have: for requests whose schema has no name.
const BY_FIELD: [(&str, &str); 8] = [
    ("course_category", "classification"),
    ("sections_breakdown", "scope"),
    ("expansion_areas", "expert"),
    ("generation_guidance", "synthesis"),
    ("assessment_strategy", "critical_metadata"),
    ("course_overview", "metadata"),
    ("section_title", "section"),
    ("blocks", "lesson"),
];

/// Where a prompt says which section it wants, the surest place first.
static SECTION_NUMBERS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    patterns(&[
        r#"<section number="(\d+)""#,
        r"(?i)design section (\d+)",
        r"(?s)<section>\s*Number (\d+):",
        r"(?i)\bsection (\d+)\b",
    ])
});

/// The same for lessons.
static LESSON_NUMBERS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    patterns(&[
        r#"<lesson number="(\d+)""#,
        r"(?i)\bwrite lesson (\d+)",
        r"(?i)\blesson (\d+)\b",
    ])
});

fn patterns(patterns: &[&str]) -> Vec<Regex> {
    patterns
        .iter()
        .filter_map(|pattern| Regex::new(pattern).ok())
        .collect()
}

/// What is asked, in the words of the files: `scope`, `section-2`, `lesson-03`. Of other questions the schema's name.
pub fn question_name(request: &Request) -> String {
    let Some(schema) = &request.schema else {
        return "text".to_owned();
    };
    let properties = schema.schema.get("properties").and_then(Value::as_object);
    let is_known = BY_FIELD.iter().any(|(_, name)| *name == schema.name);
    let by_field = BY_FIELD
        .iter()
        .find(|(field, _)| properties.is_some_and(|properties| properties.contains_key(*field)));
    let name = match by_field {
        Some((_, name)) if !is_known => name,
        _ => schema.name.as_str(),
    };
    let number = |patterns: &[Regex]| number_in(request, patterns);
    match name {
        "section" => number(&SECTION_NUMBERS).map(|number| format!("section-{number}")),
        "lesson" => number(&LESSON_NUMBERS).map(|number| format!("lesson-{number:02}")),
        _ => None,
    }
    .unwrap_or_else(|| name.to_owned())
}

fn number_in(request: &Request, patterns: &[Regex]) -> Option<u32> {
    let texts = || {
        let asked = request
            .messages
            .iter()
            .filter(|message| message.role == Role::User);
        asked.map(|message| message.content.as_str())
    };
    patterns
        .iter()
        .find_map(|pattern| texts().find_map(|text| pattern.captures(text)?.get(1)?.as_str().parse().ok()))
}

/// A script that answers from the files of `folders`, and `otherwise` where they have no answer to a question.
///
/// `lesson-02.txt` answers for lesson 2; `lesson-02-other.txt` does so in its place, and a file of a later folder in place
/// of those of earlier ones.
///
/// # Errors
/// If a folder or a file cannot be read, or a folder has no answers.
pub fn file_answers(folders: &[PathBuf], otherwise: Script) -> io::Result<Script> {
    let mut files = BTreeMap::new();
    for folder in folders {
        files.extend(answers_in(folder)?);
    }
    Ok(Arc::new(move |request: &Request, call: usize| {
        files
            .get(&question_name(request))
            .and_then(|text| fitting(text, request))
            .map_or_else(|| otherwise(request, call), ScriptedReply::text)
    }))
}

fn answers_in(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut names: Vec<(String, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(name) = name.filter(|_| path.extension().is_some_and(|ending| ending == ENDING)) {
            names.push((name.to_owned(), path.clone()));
        }
    }
    if names.is_empty() {
        let message = format!("no answers (*.{ENDING}) in {}", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    // A name comes before its longer forms, which take its place.
    names.sort();
    names
        .into_iter()
        .map(|(name, path)| Ok((question_of(&name).to_owned(), fs::read_to_string(path)?)))
        .collect()
}

/// `lesson-02` of `lesson-02-other`, `scope` of `scope-other`.
fn question_of(name: &str) -> &str {
    static QUESTION: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^(?:(?:section|lesson)-\d+|[a-z_]+)").ok());
    let found = QUESTION.as_ref().and_then(|question| question.find(name));
    found.map_or(name, |question| question.as_str())
}

/// The answer, if it is one to what is asked: the whole text, or the fields that are asked for.
fn fitting(text: &str, request: &Request) -> Option<String> {
    let schema = request.schema.as_ref()?;
    let asked: Vec<&String> = schema.schema.get("properties")?.as_object()?.keys().collect();
    let Ok(Value::Object(answer)) = serde_json::from_str::<Value>(text) else {
        // A damaged answer is given as it is, if it is one to this question at all.
        let is_about = |field: &&&String| text.contains(field.as_str());
        return (asked.iter().filter(is_about).count() * 2 > asked.len() || asked.len() > MANY)
            .then(|| text.to_owned());
    };
    if let Some(parts) = at_paths(&answer, &asked) {
        return Some(parts);
    }
    let has = asked.iter().filter(|field| answer.contains_key(**field)).count();
    if has == 0 || has * 2 < asked.len() {
        return None;
    }
    let is_whole = answer.keys().filter(|field| asked.contains(field)).count() * 2 > answer.len();
    if is_whole {
        return Some(text.to_owned());
    }
    let part: Map<String, Value> = answer
        .into_iter()
        .filter(|(field, _)| asked.contains(&field))
        .collect();
    Some(Value::Object(part).to_string())
}

/// The values at the places that the fields' names say, such as `lessons.0.key_topics` or `/lessons/0/key_topics`, where
/// all are places inside the answer.
fn at_paths(answer: &Map<String, Value>, asked: &[&String]) -> Option<String> {
    let mut parts = Map::new();
    for path in asked {
        let mut steps = path.split(['/', '.', '[', ']']).filter(|step| !step.is_empty());
        let first = answer.get(steps.next()?)?;
        let mut steps = steps.peekable();
        steps.peek()?;
        let value = steps.try_fold(first, |value, step| match step.parse::<usize>() {
            Ok(index) => value.get(index),
            Err(_) => value.get(step),
        })?;
        parts.insert((*path).clone(), value.clone());
    }
    Some(Value::Object(parts).to_string())
}

/// A question for so many fields is one for a whole answer.
const MANY: usize = 3;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::request::{Message, OutputSchema, Sampling};
    use crate::retry::DEFAULT_WAIT_LIMIT;

    fn asking(name: &str, fields: &[&str], prompt: &str) -> Request {
        let properties: Map<String, Value> = fields
            .iter()
            .map(|field| ((*field).to_owned(), json!({ "type": "string" })))
            .collect();
        Request {
            model: "scripted".to_owned(),
            messages: vec![Message::user(prompt)],
            schema: Some(OutputSchema {
                name: name.to_owned(),
                schema: json!({ "type": "object", "properties": properties }),
            }),
            max_output_tokens: 1,
            sampling: Sampling::default(),
            idle_timeout: Duration::from_secs(1),
            wait_limit: DEFAULT_WAIT_LIMIT,
        }
    }

    #[test]
    fn question_is_told_by_the_schema_and_the_prompt() {
        let check = |name: &str, field: &str, prompt: &str, expected: &str| {
            assert_eq!(
                question_name(&asking(name, &[field], prompt)),
                expected,
                "{prompt}"
            );
        };
        check("scope", "x", "", "scope");
        check("answer", "course_category", "", "classification");
        check(
            "section",
            "x",
            "<section>\nNumber 2: Bees in section 9\n</section>",
            "section-2",
        );
        check(
            "answer",
            "section_title",
            "Design section 3, and only this section",
            "section-3",
        );
        check(
            "lesson",
            "blocks",
            "<lesson number=\"7\">\nLesson 2 again\n</lesson>",
            "lesson-07",
        );
        check("lesson", "blocks", "no number", "lesson");
        check("replacement", "text", "Section 3", "replacement");
    }

    #[test]
    fn longer_name_and_later_folder_take_the_place() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let write = |folder: &Path, name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write(first.path(), "lesson-01.txt", r#"{"blocks": "one"}"#);
        write(first.path(), "lesson-01-bees.txt", r#"{"blocks": "bees"}"#);
        write(first.path(), "lesson-02.txt", r#"{"blocks": "two"}"#);
        write(second.path(), "lesson-02-other.txt", r#"{"blocks": "other"}"#);
        let quiz = r#"{"quiz": [{"question": "a"}, {"question": "b"}]}"#;
        write(second.path(), "lesson-05.txt", quiz);
        write(second.path(), "lesson-03.txt", "blocks, but no JSON");
        let folders = [first.path().to_owned(), second.path().to_owned()];
        let script = file_answers(&folders, Arc::new(|_, _| ScriptedReply::text("none"))).unwrap();
        let check = |number: u32, field: &str, expected: &str| {
            let request = asking("lesson", &[field], &format!("<lesson number=\"{number}\">"));
            assert_eq!(
                script(&request, 0).outcome.unwrap().text,
                expected,
                "{number} {field}"
            );
        };
        check(1, "blocks", r#"{"blocks": "bees"}"#);
        check(2, "blocks", r#"{"blocks": "other"}"#);
        check(2, "field_1", "none");
        check(5, "quiz[1].question", r#"{"quiz[1].question":"b"}"#);
        check(5, "/quiz/0/question", r#"{"/quiz/0/question":"a"}"#);
        check(5, "quiz.2.question", "none");
        check(3, "blocks", "blocks, but no JSON");
        check(4, "blocks", "none");
        assert!(
            file_answers(
                &[first.path().join("missing")],
                Arc::new(|_, _| ScriptedReply::text(""))
            )
            .is_err()
        );
    }
}
