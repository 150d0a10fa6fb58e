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
        "{\"a\":1}\n",
        "{a: 1}, ",
        "[{\"a\":1 x ",
        "a: 1\n",
        "<think>",
        "</think>",
        "[THINK]{\"",
        "<|channel|>final<|message|>",
        "analysis",
        "$\\nu",
        "\\(",
        "$$\\nu ",
        "`\\f",
        "C:\\t",
        "\"\"\"a",
        "\"",
        "\"a\" + ",
        "\u{201e}\"",
        "\u{ab}",
        "&quot;",
        "\\\"",
        "\\u0022",
        "{\"a {\"b\": ",
        "** ",
        "\u{ff0c}",
        "     ",
    ] {
        let text = piece.repeat(200_000 / piece.len());
        let _ = repair(&format!("{{\"lesson_title\": {text}"), &schema);
        let _ = repair(&text, &schema);
    }
}

/// What a caller accepts: a whole value that follows the schema.
fn accepted(schema: &Value, raw: &str) -> Option<Value> {
    let repairer = Repairer::new(schema).unwrap();
    let outcome = repairer.repair(raw).ok()?;
    let is_whole = outcome.missing.is_empty() && !outcome.is_cut() && repairer.is_valid(&outcome.value);
    is_whole.then_some(outcome.value)
}

#[test]
fn of_several_values_the_last_that_fits_is_the_answer() {
    let last = whole().to_string();
    let first = last.replace("Ownership", "A draft of it");
    let check = |raw: &str, expected: Option<Value>| {
        assert_eq!(accepted(&lesson_schema(), raw), expected, "{raw}");
    };
    check(&format!("{first}\n{last}"), Some(whole()));
    check(&format!("Draft: {first} Final: {last} Good?"), Some(whole()));
    check(
        &format!("{last} Note: {{\"note\": \"see above\"}}"),
        Some(whole()),
    );
    check(&format!("{last}\n{{\"note\": \"see above\"}}"), Some(whole()));
    // The form in words, or with gaps, is no answer.
    check(
        &format!("{last} I used {{\"lesson_title\": \"...\", ...}}"),
        Some(whole()),
    );
    // All of a list: neither.
    check(&format!("[{first}, {last}]"), None);
    check(&format!("Here: [{first}, {last}]"), None);
    check(&format!("Here: [{first}, oh well, {last}]"), None);
    check(&format!("{first}, {last}"), None);
}

#[test]
fn a_cut_answer_is_preferred_to_its_draft_and_never_whole() {
    let draft = whole().to_string().replace("Ownership", "A draft of it");
    let raw = format!("Draft: {draft} Final: {{\"lesson_title\": \"Ownership\", \"minutes\": 15, \"key_to");
    let outcome = repair(&raw, &lesson_schema()).unwrap();
    assert_eq!(
        outcome.value,
        json!({ "lesson_title": "Ownership", "minutes": 15 })
    );
    assert!(outcome.is_cut());
    assert!(outcome.missing.contains(&"/key_topics".to_owned()));
}

#[test]
fn an_answer_is_cut_only_if_something_the_schema_knows_may_be_lost() {
    let mut schema = lesson_schema();
    let check = |schema: &Value, raw: &str, is_cut: bool| {
        let outcome = repair(raw, schema).unwrap();
        assert_eq!(outcome.is_cut(), is_cut, "{raw}: {:?}", outcome.missing);
        assert_eq!(
            outcome.missing.is_empty(),
            !is_cut,
            "{raw}: {:?}",
            outcome.missing
        );
    };
    let open = r#"{"lesson_title": "Ownership", "minutes": 15, "key_topics": ["moves", "copies"]"#;
    let in_loop = format!("{open}, \"extra\": \"{}", "the ".repeat(500));
    let in_space = format!("{open}{}", "\n".repeat(500));
    // The note and the exercise type may have followed.
    for raw in [open, &in_loop, &in_space] {
        check(&schema, raw, true);
    }
    if let Some(fields) = schema["properties"].as_object_mut() {
        fields.shift_remove("note");
        fields.shift_remove("exercise_type");
    }
    for raw in [open, &in_loop, &in_space] {
        check(&schema, raw, false);
    }
    check(&schema, &open[..open.len() - 1], true);
    check(
        &schema,
        r#"{"minutes": 15, "key_topics": ["moves"], "lesson_title": "Owner"#,
        true,
    );
    check(
        &schema,
        r#"{"key_topics": ["moves"], "lesson_title": "Owner", "minutes": 1"#,
        true,
    );
    check(
        &schema,
        "{\"key_topics\": [\"moves\"], \"lesson_title\": \"Owner\", \"minutes\": 15\n\n\n",
        false,
    );
    // Renamed keys and layers do not hide what is lost.
    let wrapped = r#"{"data": {"lessonTitle": "Owner", "minutes": 15, "keyTopics": ["moves", "cop"#;
    let outcome = repair(wrapped, &schema).unwrap();
    assert_eq!(outcome.missing, ["/key_topics/-", "/key_topics/1"]);
}

#[test]
fn near_values_are_looked_for_among_all_variants() {
    let schema = json!({
        "type": "object",
        "properties": {
            "kind": { "$ref": "#/$defs/Kind" },
            "maybe": { "anyOf": [{ "$ref": "#/$defs/Kind" }, { "type": "null" }] },
            "task": { "oneOf": [
                {
                    "type": "object",
                    "properties": { "type": { "const": "single_choice" }, "answer": { "type": "integer" } },
                    "required": ["type", "answer"],
                },
                {
                    "type": "object",
                    "properties": { "type": { "const": "free_text" }, "answer": { "type": "string" } },
                    "required": ["type", "answer"],
                },
            ] },
        },
        "$defs": { "Kind": { "oneOf": [
            { "const": "case_study", "description": "a case" },
            { "const": "hands_on", "description": "by hand" },
            { "enum": ["quiz", "discussion"] },
        ] } },
    });
    let check = |field: &str, written: Value, expected: Option<Value>| {
        let raw = json!({ field: written }).to_string();
        let found = accepted(&schema, &raw).map(|value| value[field].clone());
        assert_eq!(found, expected, "{raw}");
    };
    check("kind", json!("hands-on"), Some(json!("hands_on")));
    check("kind", json!("Quiz!"), Some(json!("quiz")));
    check("kind", json!(["Case study"]), Some(json!("case_study")));
    check("kind", json!("not a quiz"), None);
    check("kind", json!("Fallstudie"), None);
    check("maybe", json!("Hands On"), Some(json!("hands_on")));
    check(
        "task",
        json!({ "type": "Free text", "answer": "yes" }),
        Some(json!({ "type": "free_text", "answer": "yes" })),
    );
    check("task", json!({ "type": "essay", "answer": "yes" }), None);
}

#[test]
fn what_was_read_as_an_escape_is_noted() {
    let raw =
        r#"{"lesson_title": "Compute $\frac{a}{b}$", "minutes": 15, "key_topics": ["moves", "copies"]}"#;
    let outcome = repair(raw, &lesson_schema()).unwrap();
    assert_eq!(outcome.value["lesson_title"], r"Compute $\frac{a}{b}$");
    assert_eq!(outcome.layer, RepairLayer::Structural);
    assert_eq!(outcome.notes[0].change, Change::Backslash);
    assert_eq!(outcome.notes[0].path, "/lesson_title");
}

#[test]
fn quotes_and_colons_of_prose_end_no_text() {
    for title in [
        "A 5\" display: how big",
        "A 5\" display, part: how",
        "The \"bee\" part: how",
        "Das „Volk\" im Stock: wie",
        "Он сказал: «Мир» и \"труд\", май: всё",
    ] {
        let raw = format!(
            "{{\"lesson_title\": \"{title}\", \"minutes\": 15, \"key_topics\": [\"moves\", \"copies\"]}}"
        );
        let mut expected = whole();
        expected["lesson_title"] = json!(title);
        assert_eq!(accepted(&lesson_schema(), &raw), Some(expected), "{raw}");
    }
}

#[test]
fn a_part_of_damaged_json_is_not_taken_for_the_whole() {
    let schema = json!({
        "type": "object",
        "properties": { "title": { "type": "string" }, "parts": { "type": "array", "items": { "$ref": "#" } } },
        "required": ["title", "parts"],
    });
    let raw = r#"{"title": "Memory", % "parts": [{"title": "Moves"}]}"#;
    assert_eq!(repair(raw, &schema), Err(RepairError::NoJson));
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

#[test]
fn tags_of_thoughts_in_damaged_json_are_texts() {
    let check = |title: &str, open: &str, close: &str| {
        let mut expected = whole();
        expected["lesson_title"] = json!(title);
        let quoted = |text: &str| format!("{open}{text}{close}");
        let raw = format!(
            "{{{}: {}, {}: 15, {}: [{}, {}]}}",
            quoted("lesson_title"),
            quoted(title),
            quoted("minutes"),
            quoted("key_topics"),
            quoted("moves"),
            quoted("copies"),
        );
        assert_eq!(accepted(&lesson_schema(), &raw), Some(expected), "{raw}");
    };
    let title = "Use <thinking>steps</thinking> to reason";
    check(title, "\u{201c}", "\u{201d}");
    check(title, "\\\"", "\\\"");
    check(title, "&quot;", "&quot;");
    let quotes = "Use \"scratchpads\", as in <thinking>steps</thinking>, to reason";
    check(quotes, "\"", "\"");
}

proptest::proptest! {
    #[test]
    fn no_answer_makes_it_panic(raw in "[{}\\[\\]\",:'a1 \\\\n/*#.$\u{201c}\u{44f}\u{80}\u{85}\u{9f}]{0,120}") {
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

#[test]
fn items_with_a_shape_each_are_told_by_their_own_and_long_patterns_are_cut() {
    let pattern = format!("^(Adding|{}) hives$", "Allowing|".repeat(100));
    let title = json!({ "type": "string", "pattern": pattern });
    let titles = json!({ "type": "array", "prefixItems": [{ "type": "string" }, title], "minItems": 2 });
    let failures = failing_fields(&titles, &json!(["Bees", "Bees"])).unwrap();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].path, "/1");
    assert_eq!(failures[0].schema, title);
    let message = &failures[0].message;
    assert!(
        message.starts_with("1: must match ^(Adding|Allowing|") && message.ends_with("..., is \"Bees\""),
        "{message}"
    );
    assert!(message.len() < 250, "{message}");
}
