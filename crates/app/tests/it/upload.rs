//! Uploads over real HTTP: streams, base64, attacks, and senders that vanish.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::desk::Desk;
use crate::service::{Answer, Service, break_off};

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

struct Author<'a> {
    desk: &'a Desk,
    service: Service<'a>,
    token: String,
    course: String,
}

impl<'a> Author<'a> {
    fn new(desk: &'a Desk) -> Self {
        let service = Service::start(desk, &[]);
        service.printed(&["org", "create", "A school", "--tier", "standard"]);
        service.printed(&["user", "create", "ann@example.org", "--org", "A school"]);
        let token = service.printed(&["token", "create", "ann@example.org"]);
        let course = service.post("courses.create", &token, &json!({"title": "Rust for beginners"}));
        let course = course.expect(200, "\"id\"").json()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        Self {
            desk,
            service,
            token,
            course,
        }
    }

    fn line(&self, name: &str) -> String {
        format!("PUT /api/courses/{}/files/{name}", self.course)
    }

    fn headers(&self) -> String {
        format!("Bearer {}", self.token)
    }

    fn put(&self, name: &str, mime_type: &str, bytes: &[u8]) -> Answer {
        let headers = [
            ("authorization", self.headers()),
            ("content-type", mime_type.to_owned()),
        ];
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.service.send(&self.line(name), &headers, bytes)
    }

    fn documents(&self) -> usize {
        let path = format!("/api/v1/documents.list?courseId={}", self.course);
        let listed = self.service.get(&path, &self.token).expect(200, "items").json();
        listed["items"].as_array().unwrap().len()
    }

    fn stored(&self) -> Vec<PathBuf> {
        let mut found = files(&self.desk.data().join("files"));
        found.extend(files(&self.desk.data().join("incoming")));
        found
    }
}

#[test]
fn files_come_as_streams_and_as_base64() {
    let desk = Desk::new();
    let author = Author::new(&desk);
    let big = "Учебный план. ".repeat(300_000);
    let made = author.put("%D0%9F%D0%BB%D0%B0%D0%BD.txt", "text/plain", big.as_bytes());
    let made = made.expect(201, "План.txt").json();
    assert_eq!(made["size"], big.len());

    let small = json!({"courseId": author.course, "filename": "plan.md", "mimeType": "text/markdown", "size": 6,
        "contentBase64": STANDARD.encode("# Plan")});
    author
        .service
        .post("generation.uploadFile", &author.token, &small)
        .expect(200, "plan.md");
    assert_eq!((author.documents(), author.stored().len()), (2, 2));

    let mut lying = small.clone();
    lying["size"] = json!(7);
    author
        .service
        .post("generation.uploadFile", &author.token, &lying)
        .expect(400, "FILE_SIZE_MISMATCH");
    lying["contentBase64"] = json!("####");
    author
        .service
        .post("generation.uploadFile", &author.token, &lying)
        .expect(400, "INVALID_BASE64");
    assert_eq!((author.documents(), author.stored().len()), (2, 2));

    let delete = json!({"id": made["id"]});
    author
        .service
        .post("documents.delete", &author.token, &delete)
        .expect(200, "true");
    author
        .service
        .post("documents.delete", &author.token, &delete)
        .expect(404, "NOT_FOUND");
    assert_eq!((author.documents(), author.stored().len()), (1, 1));
}

#[test]
fn attacks_are_refused_and_leave_nothing() {
    let desk = Desk::new();
    let author = Author::new(&desk);
    for (name, mime_type, bytes, status, code) in [
        (
            "..%2F..%2Fetc%2Fpasswd.txt",
            "text/plain",
            &b"root"[..],
            400,
            "INVALID_FILE_NAME",
        ),
        (
            "..%5C..%5Cboot.txt",
            "text/plain",
            b"root",
            400,
            "INVALID_FILE_NAME",
        ),
        ("a%00.txt", "text/plain", b"root", 400, "INVALID_FILE_NAME"),
        (
            "a%0d%0aX-Evil:%201.txt",
            "text/plain",
            b"root",
            400,
            "INVALID_FILE_NAME",
        ),
        ("a.txt", "text/plain", b"", 400, "EMPTY_FILE"),
        (
            "a.pdf",
            "application/pdf",
            b"MZ\x90\0\x03",
            415,
            "FILE_CONTENT_MISMATCH",
        ),
        ("a.txt", "application/pdf", b"text", 415, "FILE_TYPE_NOT_ALLOWED"),
        (
            "a.png",
            "image/png",
            b"\x89PNG\r\n\x1a\n",
            415,
            "FILE_TYPE_NOT_ALLOWED",
        ),
    ] {
        author.put(name, mime_type, bytes).expect(status, code);
    }
    let declared = format!("PUT /api/courses/{}/files/a.txt", author.course);
    let large = author
        .service
        .begin(&declared, &[("authorization", &author.headers())], 11 << 20, b"");
    drop(large);
    author
        .service
        .send(&author.line("a.txt"), &[], b"text")
        .expect(401, "UNAUTHENTICATED");
    let elsewhere = "PUT /api/courses/0198a000-0000-7000-8000-000000000001/files/a.txt";
    let bearer = author.headers();
    author
        .service
        .send(elsewhere, &[("authorization", &bearer)], b"text")
        .expect(404, "NOT_FOUND");
    author
        .service
        .send(
            "PUT /api/courses/x/files/a.txt",
            &[("authorization", &bearer)],
            b"text",
        )
        .expect(404, "NOT_FOUND");
    assert_eq!((author.documents(), author.stored()), (0, Vec::new()));
}

#[test]
fn senders_that_vanish_leave_nothing() {
    let desk = Desk::new();
    let author = Author::new(&desk);
    let bearer = author.headers();
    let sockets: Vec<_> = (0..8)
        .map(|_| {
            let part = vec![b'a'; 100_000];
            author.service.begin(
                &author.line("a.txt"),
                &[("authorization", &bearer)],
                1_000_000,
                &part,
            )
        })
        .collect();
    for socket in &sockets {
        break_off(socket);
    }
    // Reservations count as files of the course, of which the tier allows three: all of them are given back.
    let begun = Instant::now();
    for number in 0..3 {
        while author
            .put(
                &format!("{number}.txt"),
                "text/plain",
                format!("text {number}").as_bytes(),
            )
            .status
            != 201
        {
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "the room is not given back"
            );
        }
    }
    assert_eq!((author.documents(), author.stored().len()), (3, 3));
}
