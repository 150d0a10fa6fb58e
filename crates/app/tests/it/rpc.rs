//! The tRPC protocol as its published client speaks it: addresses, envelopes, batches, statuses, languages.

use serde_json::{Value, json};

use crate::auth::PROVIDER;
use crate::desk::Desk;
use crate::people::{FREE, Person};
use crate::service::{Answer, Service};

/// Percent-encodes everything that is not a letter or a digit.
pub(crate) fn encoded(value: &Value) -> String {
    value
        .to_string()
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

struct Client<'a> {
    service: Service<'a>,
    owner: Person,
}

impl<'a> Client<'a> {
    fn start(desk: &'a Desk) -> Self {
        Self {
            service: Service::start(desk, &PROVIDER),
            owner: Person::new(1, "instructor", FREE),
        }
    }

    fn query(&self, path: &str, input: &Value) -> Answer {
        self.service.get(
            &format!("/trpc/{path}?input={}", encoded(input)),
            &self.owner.token,
        )
    }

    fn batch(&self, paths: &str, input: &Value) -> Answer {
        let line = format!("/trpc/{paths}?batch=1&input={}", encoded(input));
        self.service.get(&line, &self.owner.token)
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.owner.token);
        let mut all = vec![
            ("content-type", "application/json"),
            ("authorization", bearer.as_str()),
        ];
        all.extend(headers);
        self.service
            .send(&format!("POST /trpc/{path}"), &all, body.to_string().as_bytes())
    }
}

#[test]
fn queries_mutations_and_batches_have_the_envelopes_of_the_protocol() {
    let desk = Desk::new();
    let client = Client::start(&desk);
    let answer = client
        .query("generation.test", &json!({ "message": "да" }))
        .expect(200, "")
        .json();
    assert_eq!(answer["result"]["data"]["echo"], "да");
    assert!(answer["result"]["data"]["timestamp"].is_string());
    // Without any input: what a client sends that has none.
    let answer = client.service.get("/trpc/generation.test", &client.owner.token);
    assert_eq!(
        answer.expect(200, "").json()["result"]["data"]["echo"],
        Value::Null
    );

    let made = client
        .post("courses.create", &[], &json!({ "title": "Practical SQL" }))
        .expect(200, "")
        .json();
    let id = made["result"]["data"]["id"].as_str().unwrap().to_owned();

    let read = client
        .batch(
            "generation.test,courses.get",
            &json!({ "0": { "message": "a" }, "1": { "courseId": id } }),
        )
        .expect(200, "")
        .json();
    assert_eq!(read[0]["result"]["data"]["echo"], "a");
    assert_eq!(read[1]["result"]["data"]["title"], "Practical SQL");

    let mixed = client
        .batch(
            "generation.test,courses.get,no.such",
            &json!({ "1": { "courseId": "no uuid" } }),
        )
        .expect(207, "")
        .json();
    assert!(mixed[0]["result"].is_object(), "{mixed}");
    assert_eq!(mixed[1]["error"]["data"]["code"], "BAD_REQUEST");
    assert_eq!(mixed[2]["error"]["data"]["code"], "NOT_FOUND");
    assert_eq!(mixed[2]["error"]["data"]["path"], "no.such");

    let copies = client
        .post(
            "courses.duplicate,courses.duplicate?batch=1",
            &[],
            &json!({ "0": { "courseId": id }, "1": { "courseId": id } }),
        )
        .expect(200, "")
        .json();
    assert_ne!(
        copies[0]["result"]["data"]["id"],
        copies[1]["result"]["data"]["id"]
    );
    let same = client
        .batch("no.such,no.other", &json!({}))
        .expect(404, "")
        .json();
    assert_eq!(same.as_array().unwrap().len(), 2);
}

#[test]
fn errors_have_numbers_names_statuses_and_paths() {
    let desk = Desk::new();
    let client = Client::start(&desk);
    let check = |answer: Answer, status: u16, number: i64, name: &str, code: &str| {
        let error = answer.expect(status, "").json()["error"].clone();
        assert_eq!(error["code"], number, "{error}");
        assert_eq!(error["data"]["code"], name, "{error}");
        assert_eq!(error["data"]["httpStatus"], status, "{error}");
        assert_eq!(error["data"]["errorCode"], code, "{error}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{error}"
        );
        error
    };
    let unknown = client.query("no.such", &json!({}));
    let unknown = check(unknown, 404, -32004, "NOT_FOUND", "UNKNOWN_PROCEDURE");
    assert_eq!(unknown["data"]["path"], "no.such");
    let wrong = client.query("courses.create", &json!({ "title": "x" }));
    assert!(wrong.head.to_lowercase().contains("allow: post"), "{wrong:?}");
    check(wrong, 405, -32005, "METHOD_NOT_SUPPORTED", "METHOD_NOT_ALLOWED");
    let wrong = client.post("courses.list", &[], &json!({}));
    check(wrong, 405, -32005, "METHOD_NOT_SUPPORTED", "METHOD_NOT_ALLOWED");
    let broken = client
        .service
        .get("/trpc/courses.list?input=%7B", &client.owner.token);
    check(broken, 400, -32700, "PARSE_ERROR", "MALFORMED_REQUEST");
    let invalid = client.post(
        "courses.create",
        &[],
        &json!({ "title": "x", "desiredLessonsCount": 3, "wrong": 1 }),
    );
    let invalid = check(invalid, 400, -32600, "BAD_REQUEST", "INVALID_INPUT");
    let fields = invalid["data"]["details"]["fields"].to_string();
    for part in [
        "desiredLessonsCount",
        "must be at least 10, not 3",
        "\"limit\":10",
        "wrong",
    ] {
        assert!(fields.contains(part), "'{part}' is not in {fields}");
    }
    let anonymous = client.service.send("GET /trpc/courses.list", &[], b"");
    check(anonymous, 401, -32001, "UNAUTHORIZED", "UNAUTHENTICATED");
    let student = Person::new(2, "student", FREE);
    let forbidden = client
        .service
        .post("courses.create", &student.token, &json!({ "title": "x" }));
    assert_eq!(forbidden.expect(403, "").json()["code"], "FORBIDDEN");
    let form = client.service.send(
        "POST /trpc/courses.create",
        &[
            ("content-type", "text/plain"),
            ("authorization", &format!("Bearer {}", client.owner.token)),
        ],
        b"title=x",
    );
    check(
        form,
        415,
        -32015,
        "UNSUPPORTED_MEDIA_TYPE",
        "UNSUPPORTED_MEDIA_TYPE",
    );
    let large = vec![b' '; 3 << 20];
    let large = client.service.send(
        "POST /trpc/courses.create",
        &[
            ("content-type", "application/json"),
            ("authorization", &format!("Bearer {}", client.owner.token)),
        ],
        &large,
    );
    check(large, 413, -32013, "PAYLOAD_TOO_LARGE", "BODY_TOO_LARGE");
}

#[test]
fn messages_speak_the_language_of_the_caller_and_limits_tell_their_figures() {
    let desk = Desk::new();
    let client = Client::start(&desk);
    let message = |answer: Answer| answer.json()["error"]["message"].as_str().unwrap().to_owned();
    let unknown = |language: &str| {
        let headers = [("accept-language", language)];
        message(client.service.send("GET /trpc/no.such", &headers, b""))
    };
    assert_eq!(unknown("en"), "There is no procedure 'no.such'.");
    assert_eq!(unknown("ru-RU, en;q=0.5"), "Процедуры 'no.such' нет.");

    let free = client.owner.course(&client.service, "The one that runs");
    let input = json!({ "courseId": free, "idempotencyKey": "k1" });
    let started = client
        .post("generation.initiate", &[], &input)
        .expect(200, "")
        .json();
    let started = &started["result"]["data"];
    assert_eq!(started["status"], "queued");
    assert_eq!(started["message"], "Генерация курса инициализирована");
    let again = client
        .post("generation.initiate", &[("accept-language", "en")], &input)
        .expect(200, "")
        .json();
    assert_eq!(again["result"]["data"]["jobId"], started["jobId"]);
    assert_eq!(
        again["result"]["data"]["message"],
        "The generation of the course has started"
    );
    let active = client
        .post("generation.initiate", &[], &json!({ "courseId": free }))
        .expect(409, "")
        .json();
    assert_eq!(active["error"]["data"]["errorCode"], "GENERATION_ACTIVE");

    // A start that makes its course is known again by its key.
    let other = Person::new(3, "instructor", FREE);
    let input = json!({ "title": "Made and started", "idempotencyKey": "k2" });
    let first = other.does(&client.service, "generation.initiate", &input);
    let second = other.does(&client.service, "generation.initiate", &input);
    assert_eq!(
        (&first["courseId"], &first["jobId"]),
        (&second["courseId"], &second["jobId"])
    );

    // The key belongs to that request.
    let input = json!({ "title": "Something else", "idempotencyKey": "k2" });
    let refused = client
        .service
        .post("generation.initiate", &other.token, &input)
        .expect(409, "")
        .json();
    assert!(refused.to_string().contains("\"CONFLICT\""), "{refused}");

    // The tier `free`: one generation a user.
    let more = client.post("generation.initiate", &[], &json!({ "title": "One too many" }));
    assert!(more.head.to_lowercase().contains("retry-after:"), "{more:?}");
    let more = more.expect(429, "").json();
    assert_eq!(
        more["error"]["message"],
        "Превышен лимит одновременных генераций для вашего тарифа"
    );
    let details = &more["error"]["data"]["details"];
    assert_eq!(
        (&details["user_limit"], &details["current_user_jobs"]),
        (&json!(1), &json!(1)),
        "{details}"
    );
    let listed = client.owner.reads(&client.service, "courses.list");
    assert_eq!(
        listed["items"].as_array().unwrap().len(),
        1,
        "the refused course was not made"
    );
}

#[test]
fn a_job_that_is_tried_again_keeps_the_limits() {
    let desk = Desk::new();
    let client = Client::start(&desk);
    let service = &client.service;
    let admin = Person::new(4, "admin", FREE);
    let first = admin.does(service, "generation.initiate", &json!({ "title": "First" }));
    admin.does(
        service,
        "generation.cancel",
        &json!({ "courseId": first["courseId"] }),
    );
    admin.does(service, "generation.initiate", &json!({ "title": "Second" }));
    let course = json!({ "courseId": first["courseId"] });
    for (procedure, input) in [
        ("jobs.retry", json!({ "id": first["jobId"] })),
        ("generation.retry", course),
    ] {
        let refused = service.post(procedure, &admin.token, &input);
        refused.expect(429, "CONCURRENCY_LIMIT");
    }
    let told = admin.reads(service, "admin.metrics?event=concurrency_limit_hit");
    assert_eq!(told["items"].as_array().unwrap().len(), 2, "{told}");
}

#[test]
fn every_answer_carries_the_request_id_and_nothing_of_the_inside() {
    let desk = Desk::new();
    let client = Client::start(&desk);
    let answer = client
        .service
        .send("GET /trpc/no.such", &[("x-request-id", "mine-1")], b"");
    assert!(answer.head.contains("x-request-id: mine-1"), "{answer:?}");
    assert_eq!(answer.json()["error"]["data"]["requestId"], "mine-1");
    for line in [
        "GET /nowhere",
        "GET /api/v1/no.such",
        "GET /docs",
        "GET /openapi.json",
        "PUT /healthz",
    ] {
        let answer = client.service.send(line, &[], b"");
        assert!(answer.head.contains("x-request-id: 0"), "{answer:?}");
    }
    assert_eq!(
        client
            .service
            .send("GET /nowhere", &[], b"")
            .expect(404, "")
            .json()["code"],
        "NOT_FOUND"
    );
    assert_eq!(
        client
            .service
            .send("PUT /healthz", &[], b"")
            .expect(405, "")
            .json()["code"],
        "METHOD_NOT_ALLOWED"
    );
}
