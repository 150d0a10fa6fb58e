//! What a question fixes and its schema does not: a lesson's topics and exercises, the places of right answers.

use serde_json::{Value, json};

use crate::request::{Request, Role};

/// Before the topics that the blocks have to explain, on a line of their own, separated by semicolons.
const TOPICS: &str = "Key topics:";
/// Before the exercises that have to be worked out, one a line: `- title (type): description`.
const EXERCISES: &str = "Exercises:";

/// Makes a scripted lesson follow its brief, as every usable model does; `write` gives a new paragraph. Anything else
/// stays as it is.
pub(super) fn follow(value: &mut Value, request: &Request, write: impl FnMut() -> String) {
    if value["pedagogical_patterns"].is_object() {
        // Two shares that make 100 together are beyond what a pattern can say.
        value["pedagogical_patterns"]["theory_practice_ratio"] = json!("30:70");
    }
    follow_fields(value);
    if !value["blocks"].is_array() {
        return;
    }
    let texts = request
        .messages
        .iter()
        .filter(|message| message.role == Role::User);
    let Some(question) = texts
        .map(|message| message.content.as_str())
        .find(|text| text.contains(TOPICS))
    else {
        return;
    };
    follow_topics(value, question, write);
    follow_exercises(value, question);
    for question in value["quiz"].as_array_mut().into_iter().flatten() {
        make_sound(question);
    }
}

/// A question with one right answer, on the first objective.
fn make_sound(question: &mut Value) {
    question["question_type"] = json!("single_choice");
    question["correct_answers"] = json!([0]);
    question["objective"] = json!(0);
}

/// The same where single fields are asked for, by names such as `field_2_quiz_0`.
fn follow_fields(value: &mut Value) {
    for (key, value) in value.as_object_mut().into_iter().flatten() {
        let path = key
            .strip_prefix("field_")
            .map(|key| key.trim_start_matches(|letter: char| letter.is_ascii_digit()))
            .and_then(|key| key.strip_prefix('_'));
        let Some(path) = path else { continue };
        if path.ends_with("theory_practice_ratio") {
            *value = json!("30:70");
        } else if value["theory_practice_ratio"].is_string() {
            value["theory_practice_ratio"] = json!("30:70");
        } else if path.starts_with("quiz") {
            match value {
                Value::Array(items) => items
                    .iter_mut()
                    .filter(|item| item.is_object())
                    .for_each(make_sound),
                Value::Object(_) => make_sound(value),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
    }
}

/// One block a topic, named after it.
fn follow_topics(value: &mut Value, question: &str, mut write: impl FnMut() -> String) {
    let line = question
        .lines()
        .find_map(|line| line.trim().strip_prefix(TOPICS))
        .unwrap_or_default();
    let topics = line.split(';').map(str::trim).filter(|topic| !topic.is_empty());
    let blocks: Vec<Value> = topics
        .map(|topic| json!({ "title": topic, "body": write() }))
        .collect();
    if !blocks.is_empty() {
        value["blocks"] = blocks.into();
    }
}

/// Titles and types as the question gives them.
fn follow_exercises(value: &mut Value, question: &str) {
    let after = question.split_once(EXERCISES).map_or("", |(_, after)| after);
    let lines = after.lines().map(str::trim).skip_while(|line| line.is_empty());
    let specified = lines.map_while(|line| line.strip_prefix("- "));
    let Some(exercises) = value["exercises"].as_array_mut() else {
        return;
    };
    for (exercise, line) in exercises.iter_mut().zip(specified) {
        // The title may hold parentheses itself; the type is the last word in some before the first `): `.
        let Some((title, kind)) = line
            .split_once("): ")
            .and_then(|(head, _)| head.rsplit_once(" ("))
        else {
            continue;
        };
        exercise["title"] = json!(title);
        exercise["exercise_type"] = json!(kind);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::request::{Message, Sampling};
    use crate::retry::DEFAULT_WAIT_LIMIT;

    #[test]
    fn lesson_follows_its_brief() {
        let question = "<lesson>\nKey topics: For loops; While loops; Ranges\nExercises:\n\
            - Count to ten (1-10) (quiz): Write it down.\n- Find the bug (case_study): Look closely.\n</lesson>";
        let request = Request {
            model: "scripted".to_owned(),
            messages: vec![Message::user(question)],
            schema: None,
            max_output_tokens: 1,
            sampling: Sampling::default(),
            idle_timeout: Duration::from_secs(1),
            wait_limit: DEFAULT_WAIT_LIMIT,
        };
        let mut value = json!({
            "blocks": [{"title": "a", "body": "One."}, {"title": "b", "body": "Two."}],
            "exercises": [{"title": "x", "exercise_type": "quiz"}, {"title": "y", "exercise_type": "quiz"}],
            "quiz": [{"objective": 7, "correct_answers": [9]}],
        });
        follow(&mut value, &request, || "A paragraph.".to_owned());
        let titles: Vec<_> = value["blocks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|block| &block["title"])
            .collect();
        assert_eq!(titles, ["For loops", "While loops", "Ranges"]);
        assert_eq!(value["exercises"][0]["title"], "Count to ten (1-10)");
        assert_eq!(value["exercises"][1]["exercise_type"], "case_study");
        assert_eq!(value["quiz"][0]["correct_answers"], json!([0]));
        let mut fields = json!({
            "field_1_quiz": [{"objective": 7, "correct_answers": [9]}], "field_2_pedagogical_patterns": {"theory_practice_ratio": "9:9"},
        });
        follow(&mut fields, &request, || "A paragraph.".to_owned());
        assert_eq!(fields["field_1_quiz"][0]["objective"], json!(0));
        assert_eq!(
            fields["field_2_pedagogical_patterns"]["theory_practice_ratio"],
            json!("30:70")
        );
    }
}
