use serde_json::json;

use super::*;

fn lesson_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "lesson_title": { "type": "string", "minLength": 5, "maxLength": 500 },
            "minutes": { "type": "integer", "minimum": 3, "maximum": 45 },
            "key_topics": { "type": "array", "items": { "type": "string" }, "minItems": 2 },
            "exercise_type": { "enum": ["self_assessment", "case_study", "hands_on", "quiz"] },
            "note": { "type": "string" },
        },
        "required": ["lesson_title", "minutes", "key_topics"],
    })
}

/// The answer is repaired to `expected` by `layer`, and `missing` is reported.
fn check(raw: &str, expected: &Value, layer: RepairLayer, missing: &[&str]) {
    let outcome = repair(raw, &lesson_schema()).unwrap_or_else(|error| panic!("{raw}: {error}"));
    assert_eq!(outcome.value, *expected, "{raw}: {:?}", outcome.notes);
    assert_eq!(outcome.layer, layer, "{raw}: {:?}", outcome.notes);
    assert_eq!(outcome.missing, missing, "{raw}");
}

fn whole() -> Value {
    json!({ "lesson_title": "Ownership", "minutes": 15, "key_topics": ["moves", "copies"] })
}

#[test]
fn valid_json_is_taken_as_it_is() {
    check(&whole().to_string(), &whole(), RepairLayer::Direct, &[]);
}

#[test]
fn json_is_found_in_what_surrounds_it() {
    let json = whole().to_string();
    check(
        &format!("```json\n{json}\n```"),
        &whole(),
        RepairLayer::Extracted,
        &[],
    );
    check(
        &format!("<think>{{\"a\": [1]}}</think>{json}"),
        &whole(),
        RepairLayer::Extracted,
        &[],
    );
    check(
        &format!("As in [1], use {{x}}: {json} Done {{y}}."),
        &whole(),
        RepairLayer::Extracted,
        &[],
    );
    check(
        &format!("{{\"minutes\": 99}} is wrong, so: {json}"),
        &whole(),
        RepairLayer::Extracted,
        &[],
    );
}

#[test]
fn values_are_fitted_to_the_schema_with_a_note() {
    let raw = r#"{"lessonTitle": "Ownership", "minutes": "15 min", "key_topics": ["moves", "copies"],
        "exercise_type": "Case study", "note": null, "mood": "good"}"#;
    let outcome = repair(raw, &lesson_schema()).unwrap();
    let mut expected = whole();
    expected["exercise_type"] = json!("case_study");
    assert_eq!(outcome.value, expected);
    assert_eq!(outcome.layer, RepairLayer::Coerced);
    let notes: Vec<_> = outcome
        .notes
        .iter()
        .map(|note| (note.path.as_str(), note.change))
        .collect();
    assert_eq!(
        notes,
        [
            ("/lesson_title", Change::KeyRenamed),
            ("/minutes", Change::Retyped),
            ("/exercise_type", Change::NearestValue),
            ("/note", Change::NullDropped),
            ("/mood", Change::UnknownKey),
        ]
    );
}

#[test]
fn what_was_cut_off_is_missing_and_never_made_up() {
    let cut = r#"{"lesson_title": "Ownership", "minutes": 15, "key_topics": ["moves", "cop"#;
    let expected = json!({ "lesson_title": "Ownership", "minutes": 15, "key_topics": ["moves"] });
    check(
        cut,
        &expected,
        RepairLayer::Structural,
        &["/exercise_type", "/key_topics/-", "/key_topics/1", "/note"],
    );

    // 1 may be the beginning of 15.
    let cut = r#"{"lesson_title": "Ownership", "minutes": 1"#;
    let expected = json!({ "lesson_title": "Ownership" });
    check(
        cut,
        &expected,
        RepairLayer::Structural,
        &["/exercise_type", "/key_topics", "/minutes", "/note"],
    );
}

#[test]
fn quotes_inside_a_text_stay() {
    let raw = r#"{"lesson_title": "What is "ownership", and why?", "minutes": 15, "key_topics": ["moves", "copies"]}"#;
    let mut expected = whole();
    expected["lesson_title"] = json!("What is \"ownership\", and why?");
    check(raw, &expected, RepairLayer::Structural, &[]);
}

#[test]
fn doubtful_text_is_reported_instead_of_guessed() {
    let raw = r#"{"lesson_title": "Ownership", "minutes": 15, "key_topics": ["say "a", "b" or c", "moves", "copies"]}"#;
    check(
        raw,
        &whole(),
        RepairLayer::Structural,
        &["/key_topics/-", "/key_topics/0", "/key_topics/1"],
    );
}

#[test]
fn elision_is_reported() {
    let raw = r#"{"lesson_title": "Ownership", "minutes": 15, "key_topics": ["moves", "copies", ...]}"#;
    check(raw, &whole(), RepairLayer::Structural, &["/key_topics/-"]);
}

#[test]
fn brackets_that_fit_two_ways_are_decided_by_the_schema() {
    let schema = json!({
        "type": "object",
        "properties": {
            "lessons": { "type": "array", "items": lesson_schema() },
            "section_title": { "type": "string" },
        },
        "required": ["lessons", "section_title"],
    });
    let expected = json!({ "lessons": [whole()], "section_title": "Memory" });
    for raw in [
        // The list of lessons is not closed.
        r#"{"lessons": [{"lesson_title": "Ownership", "minutes": 15, "key_topics": ["moves", "copies"]}, "section_title": "Memory"}"#,
        // The list of topics is not closed.
        r#"{"lessons": [{"lesson_title": "Ownership", "minutes": 15, "key_topics": ["moves", "copies"}], "section_title": "Memory"}"#,
        // The lesson is closed too early.
        r#"{"lessons": [{"lesson_title": "Ownership", "minutes": 15}, "key_topics": ["moves", "copies"]}], "section_title": "Memory"}"#,
        // A brace too many behind the lessons.
        r#"{"lessons": [{"lesson_title": "Ownership", "minutes": 15, "key_topics": ["moves", "copies"]}]}, "section_title": "Memory"}"#,
    ] {
        let outcome = repair(raw, &schema).unwrap_or_else(|error| panic!("{raw}: {error}"));
        assert_eq!(outcome.value, expected, "{raw}");
    }
}

#[test]
fn answers_without_the_right_json_are_errors() {
    let check = |raw: &str, expected: &RepairError| {
        assert_eq!(repair(raw, &lesson_schema()).as_ref(), Err(expected), "{raw}");
    };
    check("", &RepairError::NoJson);
    check("I cannot help with that.", &RepairError::NoJson);
    check("[1, 2, 3]", &RepairError::NoJson);
    check(r#"{"result": {"status": "done"}}"#, &RepairError::NoJson);
    check("\"just a text\"", &RepairError::NoJson);
}

#[test]
fn hostile_answers_end_in_bounded_time_and_depth() {
    let schema = lesson_schema();
    assert_eq!(repair(&"[".repeat(10_000), &schema), Err(RepairError::TooDeep));
    assert_eq!(
        repair(&"{\"a\":".repeat(10_000), &schema),
        Err(RepairError::TooDeep)
    );
    let long = "x".repeat(LONGEST_ANSWER_BYTES + 1);
    assert!(matches!(repair(&long, &schema), Err(RepairError::TooLong { .. })));
    for piece in [
        "{\"",
        "\\",
        "\"a\",",
        "[\"",
        "{a:",
        "'\"",
        "/*",
        "\u{1F600}\"",
        "```",
        ",,",
        "{\"a\":\"b\" ",
    ] {
        let text = piece.repeat(1_000_000 / piece.len());
        let _ = repair(&format!("{{\"lesson_title\": {text}"), &schema);
        let _ = repair(&text, &schema);
    }
}

#[test]
fn failing_fields_say_field_limit_and_value() {
    let value =
        json!({ "lesson_title": "Own", "minutes": 99, "key_topics": ["moves"], "exercise_type": "essay" });
    let failures = failing_fields(&lesson_schema(), &value).unwrap();
    let messages: Vec<_> = failures.iter().map(|failure| failure.message.as_str()).collect();
    for expected in [
        "lesson_title: must have at least 5 characters, has 3: \"Own\"",
        "minutes: must not be above 45, is 99",
        "key_topics: must have at least 2 items, has 1",
        r#"exercise_type: must be one of ["self_assessment","case_study","hands_on","quiz"], is "essay""#,
    ] {
        assert!(messages.contains(&expected), "{expected} is not in {messages:?}");
    }
    let title = failures
        .iter()
        .find(|failure| failure.path == "/lesson_title")
        .unwrap();
    assert_eq!(title.schema["maxLength"], 500);
    let missing = failing_fields(
        &lesson_schema(),
        &json!({ "lesson_title": "Ownership", "minutes": 5 }),
    )
    .unwrap();
    assert_eq!(missing[0].path, "/key_topics");
    assert_eq!(missing[0].schema["type"], "array");
}

proptest::proptest! {
    #[test]
    fn no_answer_makes_it_panic(raw in "[{}\\[\\]\",:'a1 \\\\n/*#.\u{201c}\u{44f}]{0,120}") {
        let _ = repair(&raw, &lesson_schema());
    }

    #[test]
    fn texts_of_the_result_stand_in_the_answer(raw in "\\{\"lesson_title\": [\"' a,:\\[\\]{}]{0,60}") {
        if let Ok(outcome) = repair(&raw, &json!({ "type": "object", "properties": { "lesson_title": { "type": "string" } } }))
            && let Some(text) = outcome.value["lesson_title"].as_str()
        {
            proptest::prop_assert!(raw.contains(text));
        }
    }
}
