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
