//! The documentation as integrators read it, and the schemas of its answers against real ones.

use serde_json::{Value, json};

use crate::auth::PROVIDER;
use crate::desk::Desk;
use crate::people::{HOME, Person};
use crate::service::Service;

/// The schema of an operation's answer, with the components that it refers to.
fn answer_schema(document: &Value, path: &str, method: &str, status: &str) -> Value {
    let content = &document["paths"][path][method]["responses"][status]["content"]["application/json"];
    let mut schema = content["schema"].clone();
    assert!(schema.is_object(), "{method} {path} {status}");
    schema["components"] = document["components"].clone();
    schema
}

#[track_caller]
fn check(document: &Value, path: &str, method: &str, status: u16, answer: &Value) {
    let schema = answer_schema(document, path, method, &status.to_string());
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<_> = validator
        .iter_errors(answer)
        .map(|fault| fault.to_string())
        .collect();
    assert_eq!(faults, Vec::<String>::new(), "{method} {path}: {answer}");
}

#[test]
fn answers_have_the_shapes_that_are_documented() {
    let desk = Desk::new();
    let service = Service::start(&desk, &PROVIDER);
    let document = service
        .send("GET /openapi.json", &[], b"")
        .expect(200, "3.1.0")
        .json();
    let owner = Person::new(1, "superadmin", HOME);
    let course = owner.course(&service, "Practical SQL");
    let mut answers = vec![(
        "courses.create",
        owner.does(&service, "courses.create", &json!({"title": "Two"})),
    )];
    for (name, input) in [
        ("generation.initiate", json!({ "courseId": course })),
        ("generation.cancel", json!({ "courseId": course })),
        (
            "courses.update",
            json!({ "courseId": course, "title": "Three", "targetAudience": null }),
        ),
        ("courses.duplicate", json!({ "courseId": course })),
        (
            "webhooks.create",
            json!({ "url": "https://lms.example.org/hooks" }),
        ),
        (
            "admin.tiers.update",
            json!({ "tier": "basic", "concurrentGenerations": 4 }),
        ),
        (
            "admin.setRole",
            json!({ "userId": owner.id, "role": "superadmin" }),
        ),
        ("apiKeys.create", json!({ "name": "LMS", "scopes": ["read"] })),
    ] {
        answers.push((name, owner.does(&service, name, &input)));
    }
    for (name, answer) in &answers {
        check(&document, &format!("/api/v1/{name}"), "post", 200, answer);
    }
    for query in [
        "generation.test?message=a".to_owned(),
        format!("generation.getStatus?courseId={course}"),
        format!("courses.get?courseId={course}&includeLessons=true"),
        "courses.list?limit=1".to_owned(),
        format!("courses.versions?courseId={course}"),
        format!("documents.list?courseId={course}"),
        "jobs.list?state=cancelled".to_owned(),
        "billing.getUsage?since=2026-01-01T00%3A00%3A00Z".to_owned(),
        "admin.listOrganizations".to_owned(),
        "admin.listUsers".to_owned(),
        "admin.listCourses".to_owned(),
        "admin.getStatistics".to_owned(),
        "admin.tiers.list".to_owned(),
        "admin.metrics".to_owned(),
        "admin.costs?groupBy=model".to_owned(),
        "admin.audit?limit=3".to_owned(),
        "webhooks.list".to_owned(),
        "webhooks.deliveries".to_owned(),
        "webhooks.getSecret".to_owned(),
        "apiKeys.list".to_owned(),
        "auth.me".to_owned(),
    ] {
        let name = query.split('?').next().unwrap();
        let answer = owner.reads(&service, &query);
        check(&document, &format!("/api/v1/{name}"), "get", 200, &answer);
    }
    let refused = service.post("courses.create", &owner.token, &json!({}));
    check(
        &document,
        "/api/v1/courses.create",
        "post",
        400,
        &refused.expect(400, "").json(),
    );
    let early = service.get(
        &format!("/api/v1/generation.getResult?courseId={course}"),
        &owner.token,
    );
    check(
        &document,
        "/api/v1/generation.getResult",
        "get",
        412,
        &early.expect(412, "").json(),
    );
}

#[test]
fn paths_of_the_earlier_interface_answer_like_the_procedures() {
    let desk = Desk::new();
    let service = Service::start(&desk, &PROVIDER);
    let owner = Person::new(1, "instructor", HOME);
    let course = owner.course(&service, "Practical SQL");
    let bearer = format!("Bearer {}", owner.token);
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ];
    let body = json!({ "courseId": course }).to_string();
    let started = service.send("POST /api/coursegen/generate", &headers, body.as_bytes());
    let started = started.expect(200, "queued").json();
    assert_eq!(started["courseId"], json!(course));
    let status = service
        .get("/api/courses/practical-sql/check-status", &owner.token)
        .expect(200, "")
        .json();
    assert_eq!(status["generation_status"], "initializing");
    assert_eq!(
        status["generation_progress"]["steps"][0]["name"],
        "Запуск генерации"
    );
    assert_eq!(status["generation_progress"]["percentage"], status["progress"]);
    let cancelled = service.send("POST /api/courses/practical-sql/cancel", &headers, b"");
    assert_eq!(cancelled.expect(200, "").json()["outcome"], "cancelled");
    service
        .get("/api/courses/no-such/check-status", &owner.token)
        .expect(404, "NOT_FOUND");
    service
        .send("GET /api/courses/practical-sql/check-status", &[], b"")
        .expect(401, "UNAUTHENTICATED");
}

#[test]
fn page_and_schemas_are_served() {
    let desk = Desk::new();
    let service = Service::start(&desk, &PROVIDER);
    let page = service
        .send("GET /docs", &[], b"")
        .expect(200, "<title>Coursewright API</title>");
    assert!(
        page.head.contains("content-security-policy: default-src 'none'"),
        "{}",
        page.head
    );
    assert!(!page.body.contains("https://"), "nothing comes from elsewhere");
    let schema = service
        .send("GET /schemas/course-structure.json", &[], b"")
        .expect(200, "")
        .json();
    assert_eq!(schema["$id"], "/schemas/course-structure.json");
    service
        .send("GET /schemas/no-such.json", &[], b"")
        .expect(404, "NOT_FOUND");
    service.send("GET /healthz", &[], b"").expect(200, "ok");
    service.send("GET /readyz", &[], b"").expect(200, "ready");
}

#[test]
fn changes_are_guarded_by_revisions() {
    let desk = Desk::new();
    let service = Service::start(&desk, &PROVIDER);
    let owner = Person::new(1, "instructor", HOME);
    let course = owner.course(&service, "Practical SQL");
    let read = service.get(&format!("/api/v1/courses.get?courseId={course}"), &owner.token);
    let revision = read.json()["revision"].as_u64().unwrap();
    assert!(
        read.head.contains(&format!("etag: \"{revision}\"")),
        "{}",
        read.head
    );
    let bearer = format!("Bearer {}", owner.token);
    let tag = format!("\"{revision}\"");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
        ("if-match", tag.as_str()),
    ];
    let change =
        json!({ "courseId": course, "title": "SQL for analysts", "status": "published" }).to_string();
    let changed = service.send("POST /api/v1/courses.update", &headers, change.as_bytes());
    assert_eq!(changed.expect(200, "").json()["title"], "SQL for analysts");
    let stale = service.send("POST /api/v1/courses.update", &headers, change.as_bytes());
    stale.expect(412, "STALE_REVISION");
    let late = json!({ "courseId": course, "expectedRevision": revision, "review": true });
    service
        .post("courses.update", &owner.token, &late)
        .expect(412, "STALE_REVISION");
}
