//! Answers as models gave them: each is read as it was meant, or refused.

use llm::repair::Repairer;
use serde::Deserialize;
use serde_json::{Value, json};

/// One answer, and the lesson that it means; none if nobody can tell.
#[derive(Deserialize)]
struct Case {
    name: String,
    text: String,
    expected: Option<Value>,
}

fn lesson_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "lesson_title": { "type": "string", "minLength": 5, "maxLength": 500 },
            "minutes": { "type": "integer", "minimum": 3, "maximum": 45 },
            "key_topics": { "type": "array", "items": { "type": "string" }, "minItems": 2, "maxItems": 10 },
            "exercise_type": { "enum": ["self_assessment", "case_study", "hands_on", "quiz"] },
            "note": { "type": "string" },
            "exercise": {
                "type": "object",
                "properties": { "prompt": { "type": "string" }, "answer": { "type": "string" } },
                "required": ["prompt", "answer"],
            },
        },
        "required": ["lesson_title", "minutes", "key_topics"],
    })
}

/// What an accepting caller gets: nothing if the answer is refused, breaks the schema or lacks something.
fn accepted(repairer: &Repairer, text: &str) -> Option<Value> {
    let outcome = repairer.repair(text).ok()?;
    let is_whole = outcome.missing.is_empty() && repairer.is_valid(&outcome.value);
    is_whole.then_some(outcome.value)
}

#[test]
fn every_answer_is_read_as_it_was_meant_or_refused() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("repair_corpus/answers.json"))
        .expect("the file is a list of cases");
    assert_eq!(cases.len(), 80);
    let repairer = Repairer::new(&lesson_schema()).expect("the schema is one");
    let mut wrong = Vec::new();
    for case in &cases {
        // A cut answer is right as far as it goes, and says that it is cut.
        let found = if case.name.starts_with("truncated") {
            let outcome = repairer.repair(&case.text).ok();
            assert!(outcome.as_ref().is_some_and(llm::repair::RepairOutcome::is_cut));
            outcome.map(|outcome| outcome.value)
        } else {
            accepted(&repairer, &case.text)
        };
        if found != case.expected {
            wrong.push(format!("{}: {found:?}", case.name));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
