use serde_json::json;

use super::*;
use crate::course::CourseRequest;
use crate::language::Language;
use crate::samples;
use crate::validation::{self, ValidationContext};

fn schema(name: &str) -> jsonschema::Validator {
    let (_, schema) = published_schemas()
        .into_iter()
        .find(|(published, _)| *published == name)
        .expect("a published name");
    jsonschema::draft202012::new(&schema).expect("a valid schema")
}

#[test]
fn schemas_change_only_on_purpose() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../schemas");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| {
        for (name, schema) in published_schemas() {
            insta::assert_json_snapshot!(name, schema);
        }
    });
}

#[test]
fn every_schema_is_a_valid_schema_with_its_id() {
    for (name, schema) in published_schemas() {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["$id"], format!("/schemas/{name}.json"));
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
    }
}

#[test]
fn good_documents_are_valid() {
    let inputs = CourseRequest {
        title: "Practical SQL for Analysts".to_owned(),
        ..CourseRequest::default()
    };
    for language in [Language::English, Language::Russian] {
        let course = samples::course(language);
        let (checked, _) = inputs.check(language).expect("good inputs");
        let mut document = CourseDocument::new(checked, course.clone());
        document.analysis = Some(samples::analysis());
        document.lessons = vec![crate::course_document::LessonDocument {
            lesson_number: 1,
            content: samples::lesson_content(),
        }];
        document.quality = Some(QualityReport {
            findings: vec![validation::Finding::new(
                validation::Rule::Size,
                validation::Severity::Warning,
                "",
                "A remark.",
            )],
            ..QualityReport::default()
        });
        let value = |value: &dyn erased::Json| value.json();
        check("course-structure", &value(&course), true);
        check("section", &value(&course.sections[0]), true);
        check("lesson", &value(&course.sections[0].lessons[0]), true);
        check(
            "exercise",
            &value(&course.sections[0].lessons[0].practical_exercises[0]),
            true,
        );
        check("course-inputs", &value(&inputs), true);
        check("course-export", &value(&document), true);
    }
    let value = |value: &dyn erased::Json| value.json();
    check("analysis-result", &value(&samples::analysis()), true);
    check("lesson-content", &value(&samples::lesson_content()), true);
    check(
        "course-inputs",
        &json!({ "title": "Only the title is required" }),
        true,
    );
    check("course-inputs", &json!({ "language": "en" }), false);
    check("course-inputs", &json!({ "title": "" }), false);
    check(
        "course-inputs",
        &json!({ "title": "SQL", "desired_lessons_count": 9 }),
        false,
    );
    check(
        "course-inputs",
        &json!({ "title": "SQL", "desired_lessons_count": null }),
        true,
    );
    check(
        "course-inputs",
        &json!({ "title": "SQL", "lesson_duration_minutes": 46 }),
        false,
    );
    check(
        "course-inputs",
        &json!({ "title": "SQL", "learning_outcomes": ["short"] }),
        false,
    );
    check(
        "course-inputs",
        &json!({ "title": "SQL", "budget_usd": 0 }),
        false,
    );
}

/// Serialises documents of different types in one list.
mod erased {
    pub(super) trait Json {
        fn json(&self) -> serde_json::Value;
    }

    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> serde_json::Value {
            serde_json::to_value(self).expect("JSON")
        }
    }
}

fn check(name: &str, document: &Value, is_valid: bool) {
    let errors: Vec<_> = schema(name)
        .iter_errors(document)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(errors.is_empty(), is_valid, "{name}: {errors:?}");
}

/// A course that breaks one limit is refused by the schema, and by the rules where serde lets it through at all.
#[test]
fn limits_are_in_the_schema_and_in_the_rules() {
    let structure_schema = schema("course-structure");
    let check = |pointer: &str, value: Value| {
        let mut document = serde_json::to_value(samples::course(Language::English)).expect("JSON");
        *document
            .pointer_mut(pointer)
            .unwrap_or_else(|| panic!("no {pointer}")) = value;
        assert!(
            !structure_schema.is_valid(&document),
            "the schema allows it: {pointer}"
        );
        if let Ok(course) = serde_json::from_value::<CourseStructure>(document) {
            let findings =
                validation::validate_structure(&course, &ValidationContext::new(Language::English));
            assert!(validation::has_errors(&findings), "the rules allow it: {pointer}");
        }
    };
    let long = |length: usize| Value::String("x".repeat(length));
    check("/course_title", long(9));
    check("/course_title", long(1001));
    check("/course_description", long(49));
    check("/course_description", long(3001));
    check("/course_overview", long(99));
    check("/course_overview", long(10_001));
    check("/target_audience", long(19));
    check("/target_audience", long(1501));
    check("/estimated_duration_hours", json!(0));
    check("/difficulty_level", json!("expert"));
    check("/prerequisites", json!(["too short"]));
    check("/prerequisites", json!(vec!["long enough"; 11]));
    check(
        "/learning_outcomes",
        json!(vec!["Write queries that filter one table"; 2]),
    );
    check(
        "/learning_outcomes",
        json!(vec!["Write queries that filter one table"; 16]),
    );
    check("/learning_outcomes/0", long(29));
    check("/learning_outcomes/0", long(601));
    check("/assessment_strategy/practical_projects", json!(11));
    check("/assessment_strategy/assessment_description", long(49));
    check("/course_tags", json!(["one", "two", "three", "four"]));
    check("/course_tags", json!(["one", "two", "three", "four", "four"]));
    check("/course_tags/0", long(2));
    check("/course_tags/0", long(151));
    check("/sections", json!([]));
    check("/sections/0/section_number", json!(0));
    check("/sections/0/section_title", long(9));
    check("/sections/0/section_title", long(601));
    check("/sections/0/section_description", long(19));
    check("/sections/0/learning_objectives", json!([]));
    check("/sections/0/learning_objectives/0", long(601));
    check("/sections/0/lessons", json!([]));
    check("/sections/0/lessons/0/lesson_title", long(4));
    check("/sections/0/lessons/0/lesson_title", long(501));
    check("/sections/0/lessons/0/lesson_objectives", json!([]));
    check("/sections/0/lessons/0/lesson_objectives/0", long(14));
    check("/sections/0/lessons/0/key_topics", json!(["only one"]));
    check("/sections/0/lessons/0/key_topics/0", long(4));
    check("/sections/0/lessons/0/key_topics/0", long(301));
    check("/sections/0/lessons/0/estimated_duration_minutes", json!(2));
    check("/sections/0/lessons/0/estimated_duration_minutes", json!(46));
    check("/sections/0/lessons/0/practical_exercises", json!([]));
    check(
        "/sections/0/lessons/0/practical_exercises/0/exercise_type",
        json!("homework"),
    );
    check(
        "/sections/0/lessons/0/practical_exercises/0/exercise_title",
        long(4),
    );
    check(
        "/sections/0/lessons/0/practical_exercises/0/exercise_description",
        long(9),
    );
    check(
        "/sections/0/lessons/0/practical_exercises/0/exercise_description",
        long(1501),
    );
}

/// At the limits themselves neither objects to a length.
#[test]
fn both_ends_of_a_limit_are_allowed() {
    let structure_schema = schema("course-structure");
    for (pointer, lengths) in [
        ("/course_title", [10, 1000]),
        ("/sections/0/section_title", [10, 600]),
        ("/sections/0/lessons/0/lesson_title", [5, 500]),
        (
            "/sections/0/lessons/0/practical_exercises/0/exercise_description",
            [10, 1500],
        ),
    ] {
        for length in lengths {
            let mut document = serde_json::to_value(samples::course(Language::English)).expect("JSON");
            *document.pointer_mut(pointer).expect("a field") = Value::String("ж".repeat(length));
            assert!(structure_schema.is_valid(&document), "{pointer} {length}");
            let course: CourseStructure = serde_json::from_value(document).expect("a course");
            let findings =
                validation::validate_structure(&course, &ValidationContext::new(Language::Russian));
            assert!(
                findings
                    .iter()
                    .all(|finding| finding.rule != validation::Rule::Length),
                "{pointer} {length}"
            );
        }
    }
}
