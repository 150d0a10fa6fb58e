//! Whole courses: files, figures, what is said on the way.

use std::fs;
use std::time::Duration;

use domain::language::Language;
use domain::usage::MicroUsd;
use serde_json::Value;
use store::cluster::{ClusterConfig, Unobserved};
use store::course::list_courses;
use store::model_call::list_rejected;
use store::organization::ensure_local_owner;
use store::{Store, StoreConfig};

use crate::desk::Desk;
use crate::provider::Provider;

/// A course as small as courses may be.
const SMALL: [&str; 4] = ["--lessons", "10", "--sections", "2"];

fn create<'a>(title: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["create", title, "--out", out], &SMALL[..], more].concat()
}

#[track_caller]
fn check_json(desk: &Desk, json: &Value) {
    let schema = desk.run(&["schema", "course-export"]).expect(0, &[]);
    let schema: Value = serde_json::from_str(&schema.stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(json)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[track_caller]
fn check_self_contained(html: &str) {
    for outside in [
        "src=\"http",
        "src=\"//",
        "<link rel=\"stylesheet\"",
        "@import",
        "url(http",
        "<script src",
    ] {
        assert!(!html.contains(outside), "the page asks for '{outside}'");
    }
    assert!(html.starts_with("<!") && html.trim_end().ends_with("</html>"));
}

fn lessons_of(json: &Value) -> usize {
    json["structure"]["sections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|section| section["lessons"].as_array().unwrap().len())
        .sum()
}

#[test]
fn english_course_is_made_exported_and_listed() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::English));
    let out = desk.out();
    let arguments = create(
        "Python loops for beginners",
        out.to_str().unwrap(),
        &["--style", "steampunk"],
    );
    let ran = desk.run_with(&provider, &arguments);
    let ran = ran.expect(
        0,
        &[
            "warning: style: 'steampunk' is not a known style",
            "[3/5] Structure",
            "Section 1: ",
            "Lesson 10: ",
        ],
    );
    // Results on standard output, progress elsewhere.
    assert!(
        ran.stdout.contains("sections") && ran.stdout.contains("first section after"),
        "{}",
        ran.stdout
    );
    assert!(
        !ran.stdout.contains("[3/5]") && ran.stdout.contains(".html"),
        "{}",
        ran.stdout
    );

    let json: Value = serde_json::from_str(&desk.result("json")).unwrap();
    check_json(&desk, &json);
    assert!(lessons_of(&json) >= 10);
    assert_eq!(json["lessons"].as_array().unwrap().len(), lessons_of(&json));
    let html = desk.result("html");
    check_self_contained(&html);
    let title = json["structure"]["sections"][0]["lessons"][0]["lesson_title"]
        .as_str()
        .unwrap();
    assert!(desk.result("md").contains(title));

    let list = desk
        .run(&["list"])
        .expect(0, &["Python loops for beginners", "completed", "100 %"]);
    let id = list
        .stdout
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    desk.run(&["export", id, "--format", "md", "--out", "again"])
        .expect(0, &["again", ".md"]);
    assert_eq!(fs::read_dir(desk.path().join("again")).unwrap().count(), 1);
    desk.run(&["resume", id])
        .expect(2, &["complete already", "coursewright export"]);
    desk.run(&["export", "no-such-course"])
        .expect(2, &["there is no course 'no-such-course'"]);
}

#[test]
fn russian_course_is_made_and_told_in_russian() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::Russian));
    let out = desk.out();
    let arguments = create(
        "Основы проектного управления для начинающих",
        out.to_str().unwrap(),
        &[],
    );
    let mut command = desk.command_with(&provider, &arguments);
    let ran = crate::desk::Ran::of(command.env("LANG", "ru_RU.UTF-8").output().unwrap());
    ran.expect(
        0,
        &[
            "Анализ задачи",
            "Генерация структуры",
            "Создание контента",
            "Финализация",
            "стоимость",
            "Файлы",
        ],
    );
    let json: Value = serde_json::from_str(&desk.result("json")).unwrap();
    check_json(&desk, &json);
    assert_eq!(json["inputs"]["language"], "ru");
    check_self_contained(&desk.result("html"));
}

#[test]
fn structure_only_rests_and_resume_writes_the_lessons() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::English));
    let out = desk.out();
    let arguments = create(
        "Python loops for beginners",
        out.to_str().unwrap(),
        &["--structure-only", "--format", "json"],
    );
    desk.run_with(&provider, &arguments)
        .expect(0, &["The structure is ready", "coursewright resume"]);
    let json: Value = serde_json::from_str(&desk.result("json")).unwrap();
    assert_eq!(json["lessons"].as_array().unwrap().len(), 0);
    desk.run(&["list"]).expect(0, &["awaiting_review"]);

    desk.run_with(&provider, &["resume"])
        .expect(0, &["content stage"]);
    let finished: Value = serde_json::from_str(&desk.result("json")).unwrap();
    assert_eq!(finished["structure"], json["structure"]);
    assert_eq!(finished["lessons"].as_array().unwrap().len(), lessons_of(&json));
}

#[test]
fn provider_that_fails_in_a_third_of_its_calls_still_makes_a_course_and_each_failure_has_its_reason() {
    let (desk, provider) = (Desk::new(), Provider::rough());
    let out = desk.out();
    let ran = desk.run_with(
        &provider,
        &create("Python loops for beginners", out.to_str().unwrap(), &[]),
    );
    ran.expect(0, &["lessons"]);
    let json: Value = serde_json::from_str(&desk.result("json")).unwrap();
    check_json(&desk, &json);
    assert_eq!(json["lessons"].as_array().unwrap().len(), lessons_of(&json));

    let rejected = rejected_calls(&desk);
    assert!(rejected.len() >= 2, "{rejected:?}");
    for (outcome, error) in rejected {
        assert!(
            !outcome.is_empty() && error.is_some_and(|error| error.len() > 5),
            "{outcome}"
        );
    }
}

/// Outcome and error of the calls in the log whose answers were not used.
fn rejected_calls(desk: &Desk) -> Vec<(String, Option<String>)> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut cluster = ClusterConfig::new(desk.data().join("postgres"));
        cluster.search_path = option_env!("PATH").map(Into::into);
        let store = Store::open(
            &StoreConfig {
                database_url: None,
                cluster,
            },
            &Unobserved,
        )
        .await
        .unwrap();
        let mut tx = store.system().await.unwrap();
        let actor = ensure_local_owner(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = store.tenant(&actor).await.unwrap();
        let course = &list_courses(&mut tx, &store::course::CourseFilter::default(), None, 1)
            .await
            .unwrap()[0];
        let rejected = list_rejected(&mut tx, course.current_generation_id.unwrap(), 1000)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        store.close().await.unwrap();
        rejected
            .into_iter()
            .map(|call| (call.outcome, call.error))
            .collect()
    })
}

#[test]
fn money_that_the_provider_reports_is_shown() {
    let (desk, provider) = (Desk::new(), Provider::slow(Duration::ZERO, MicroUsd(1000)));
    let out = desk.out();
    let ran = desk.run_with(
        &provider,
        &create(
            "Python loops for beginners",
            out.to_str().unwrap(),
            &["--format", "json"],
        ),
    );
    let ran = ran.expect(0, &[]);
    let json: Value = serde_json::from_str(&desk.result("json")).unwrap();
    let spent = provider.call_count() as f64 * 0.001;
    let shown = format!("{}", MicroUsd::from_usd(spent));
    assert!(ran.stdout.contains(&shown), "{shown} is not in\n{}", ran.stdout);
    assert!(
        (json["metadata"]["cost_usd"].as_f64().unwrap() - spent).abs() < 1e-6,
        "{}",
        json["metadata"]
    );
}
