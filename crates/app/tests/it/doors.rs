//! What the service does with requests before it knows them to be good: nothing that costs much.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::auth::PROVIDER;
use crate::desk::Desk;
use crate::people::{HOME, Person};
use crate::service::Service;

#[test]
fn strangers_are_refused_before_their_body_is_read() {
    let desk = Desk::new();
    let service = Service::start(&desk, &PROVIDER);
    let student = format!("Bearer {}", Person::new(2, "student", HOME).token);
    let check = |line: &str, headers: &[(&str, &str)], expected: &str| {
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/json"));
        let begun = Instant::now();
        // All of 14 MB is declared and hardly any of it is ever sent.
        let mut socket = service.begin(line, &headers, 14_000_000, b"[0,");
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        while !String::from_utf8_lossy(&answer).contains(expected) {
            let read = socket.read(&mut chunk).unwrap();
            assert!(read > 0, "{line}: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&chunk[..read]);
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{line}");
    };
    check("POST /api/v1/generation.uploadFile", &[], "401 Unauthorized");
    check(
        "POST /api/v1/courses.create",
        &[("authorization", "Bearer x")],
        "401 Unauthorized",
    );
    check("POST /trpc/generation.uploadFile", &[], "UNAUTHENTICATED");
    check(
        "POST /trpc/generation.uploadFile,no.such?batch=1",
        &[],
        "UNKNOWN_PROCEDURE",
    );
    check("POST /api/coursegen/generate", &[], "401 Unauthorized");
    check("POST /api/v1/auth.login", &[], "413 Payload Too Large");
    let student = [("authorization", student.as_str())];
    check("POST /api/v1/generation.uploadFile", &student, "403 Forbidden");
    check("POST /trpc/generation.uploadFile", &student, "FORBIDDEN");

    let author = Person::new(1, "instructor", HOME);
    service
        .post("courses.create", &author.token, &json!(vec![0; 100_001]))
        .expect(413, "BODY_TOO_LARGE");
    author.course(&service, "Practical SQL");
}

#[test]
fn the_link_of_the_first_run_leads_to_a_page_that_makes_the_first_account() {
    let desk = Desk::new();
    let mut service = Service::start(&desk, &[]);
    let token = service.said("/setup#token=");
    let page = service.send("GET /setup", &[], b"").expect(200, "script.js");
    let head = page.head.to_lowercase();
    assert!(
        head.contains("content-security-policy: default-src 'none'; script-src 'self'"),
        "{head}"
    );
    assert!(!head.contains("unsafe-inline"), "{head}");
    let script = service
        .send("GET /setup/script.js", &[], b"")
        .expect(200, "/api/v1/auth.setup");
    assert!(
        script
            .head
            .to_lowercase()
            .contains("content-type: text/javascript"),
        "{}",
        script.head
    );
    service.send("GET /setup/style.css", &[], b"").expect(200, "main");
    // What the script sends.
    let input = json!({ "token": token, "email": "ann@example.org", "password": "correct horse battery" });
    service.post("auth.setup", "", &input).expect(200, "refreshToken");
    service.post("auth.setup", "", &input).expect(409, "SETUP_CLOSED");
}

#[test]
fn batches_are_short_and_addresses_name_courses_in_full() {
    let desk = Desk::new();
    let service = Service::start(&desk, &PROVIDER);
    let author = Person::new(1, "instructor", HOME);
    let course = author.course(&service, "Practical SQL");
    let batch = |count: usize| format!("/trpc/{}?batch=1", vec!["generation.test"; count].join(","));
    service.get(&batch(50), &author.token).expect(200, "");
    service
        .get(&batch(51), &author.token)
        .expect(400, "at most 50 calls");

    let status = |name: &str| service.get(&format!("/api/courses/{name}/check-status"), &author.token);
    status(&course).expect(200, "generation_status");
    status(&course[..8]).expect(404, "NOT_FOUND");
    status("no-such-name").expect(404, "NOT_FOUND");
}

#[test]
fn a_stream_ends_when_its_credential_does() {
    let desk = Desk::new();
    let service = Service::start(&desk, &PROVIDER);
    let author = Person::new(1, "instructor", HOME);
    let course = author.course(&service, "Practical SQL");
    let made = author.does(
        &service,
        "apiKeys.create",
        &json!({ "name": "LMS", "scopes": ["read"] }),
    );
    let bearer = format!("Bearer {}", made["key"].as_str().unwrap());
    let line = format!("GET /api/v1/generation.onProgress?courseId={course}");
    let mut stream = service.begin(&line, &[("authorization", &bearer)], 0, b"");
    let mut told = Vec::new();
    let mut chunk = [0; 4096];
    while !String::from_utf8_lossy(&told).contains("event: progress") {
        let read = stream.read(&mut chunk).unwrap();
        told.extend_from_slice(&chunk[..read]);
    }
    author.does(&service, "apiKeys.revoke", &json!({ "id": made["apiKey"]["id"] }));
    let begun = Instant::now();
    stream.read_to_end(&mut told).unwrap();
    let told = String::from_utf8_lossy(&told);
    assert!(
        told.contains("event: error") && told.contains("UNAUTHENTICATED"),
        "{told}"
    );
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}
