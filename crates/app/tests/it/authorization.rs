//! Every procedure as everybody: the table of who may see and do what (service 4.6). A procedure that is not in the
//! table fails the test.

use std::cell::Cell;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::auth::PROVIDER;
use crate::desk::Desk;
use crate::people::{ELSEWHERE, HOME, Person};
use crate::service::{Answer, Service};

/// Who calls, in the order of the columns: nobody; a student, another instructor and an admin of the organization of the
/// course's owner; a superadmin of a third organization; an admin of a foreign organization.
const CALLERS: [&str; 6] = [
    "anonymous",
    "student",
    "other instructor",
    "admin",
    "superadmin",
    "foreign admin",
];

/// Procedure, input and the status for each caller. In inputs, `$course` is a draft of its owner, `$active` one with an
/// active generation, `$ended` one with a cancelled generation, `$job` a waiting job, `$user` a student, `$organization`
/// the bystanders' organization, `$endpoint` a webhook, `$none` an id of nothing.
const TABLE: &[(&str, &str, [u16; 6])] = &[
    // Signing in. None of these credentials is right.
    (
        "auth.login",
        r#"{"email":"nobody@example.org","password":"not this"}"#,
        [401; 6],
    ),
    ("auth.refresh", r#"{"refreshToken":"cwr_wrong"}"#, [401; 6]),
    ("auth.logout", r#"{"refreshToken":"cwr_wrong"}"#, [200; 6]),
    (
        "auth.setup",
        r#"{"token":"cws_wrong","email":"a@example.org","password":"correct horse battery"}"#,
        [409; 6],
    ),
    ("auth.me", "{}", [401, 200, 200, 200, 200, 200]),
    (
        "apiKeys.create",
        r#"{"name":"LMS","scopes":["read"]}"#,
        [401, 403, 200, 200, 200, 200],
    ),
    ("apiKeys.list", "{}", [401, 200, 200, 200, 200, 200]),
    (
        "apiKeys.revoke",
        r#"{"id":"$none"}"#,
        [401, 404, 404, 404, 404, 404],
    ),
    // Generations: looking at them is for the owner, admins and superadmins, the rest for the owner.
    ("generation.test", "{}", [200; 6]),
    (
        "generation.initiate",
        r#"{"courseId":"$course"}"#,
        [401, 403, 404, 403, 403, 404],
    ),
    ("generation.uploadFile", UPLOAD, [401, 403, 404, 403, 403, 404]),
    (
        "generation.getStatus",
        r#"{"courseId":"$active"}"#,
        [401, 403, 404, 200, 200, 404],
    ),
    (
        "generation.onProgress",
        r#"{"courseId":"$ended"}"#,
        [401, 403, 404, 200, 200, 404],
    ),
    (
        "generation.getResult",
        r#"{"courseId":"$ended"}"#,
        [401, 403, 404, 412, 412, 404],
    ),
    (
        "generation.cancel",
        r#"{"courseId":"$active"}"#,
        [401, 403, 404, 200, 403, 404],
    ),
    (
        "generation.retry",
        r#"{"courseId":"$ended"}"#,
        [401, 403, 404, 403, 403, 404],
    ),
    (
        "generation.approve",
        r#"{"courseId":"$active"}"#,
        [401, 403, 404, 403, 403, 404],
    ),
    (
        "generation.regenerateSection",
        r#"{"courseId":"$ended","sectionNumber":1}"#,
        [401, 403, 404, 403, 403, 404],
    ),
    (
        "generation.regenerateLesson",
        r#"{"courseId":"$ended","lessonNumber":1}"#,
        [401, 403, 404, 403, 403, 404],
    ),
    (
        "generation.regenerateStale",
        r#"{"courseId":"$ended"}"#,
        [401, 403, 404, 403, 403, 404],
    ),
    // Courses.
    (
        "courses.create",
        r#"{"title":"My own"}"#,
        [401, 403, 200, 200, 200, 200],
    ),
    ("courses.list", "{}", [401, 200, 200, 200, 200, 200]),
    (
        "courses.get",
        r#"{"courseId":"$course"}"#,
        [401, 404, 404, 200, 200, 404],
    ),
    (
        "courses.update",
        r#"{"courseId":"$course","title":"Mine"}"#,
        [401, 403, 404, 403, 403, 404],
    ),
    (
        "courses.delete",
        r#"{"courseId":"$course"}"#,
        [401, 403, 404, 403, 403, 404],
    ),
    (
        "courses.duplicate",
        r#"{"courseId":"$course"}"#,
        [401, 403, 404, 200, 200, 404],
    ),
    (
        "courses.versions",
        r#"{"courseId":"$course"}"#,
        [401, 403, 404, 200, 200, 404],
    ),
    (
        "courses.version",
        r#"{"courseId":"$course","version":1}"#,
        [401, 403, 404, 404, 404, 404],
    ),
    (
        "courses.restore",
        r#"{"courseId":"$course","version":1}"#,
        [401, 403, 404, 403, 403, 404],
    ),
    (
        "courses.export",
        r#"{"courseId":"$course","format":"json"}"#,
        [401, 403, 404, 412, 412, 404],
    ),
    // The course of the table has no documents.
    (
        "courses.ask",
        r#"{"courseId":"$course","question":"What is it?"}"#,
        [401, 403, 404, 409, 409, 404],
    ),
    (
        "documents.list",
        r#"{"courseId":"$course"}"#,
        [401, 403, 404, 200, 200, 404],
    ),
    (
        "documents.get",
        r#"{"id":"$none"}"#,
        [401, 403, 404, 404, 404, 404],
    ),
    (
        "documents.reprocess",
        r#"{"id":"$none"}"#,
        [401, 403, 404, 404, 404, 404],
    ),
    (
        "documents.delete",
        r#"{"id":"$none"}"#,
        [401, 403, 404, 404, 404, 404],
    ),
    // The board.
    ("jobs.list", "{}", [401, 403, 403, 200, 200, 200]),
    ("jobs.queues", "{}", [401, 403, 403, 200, 200, 200]),
    ("jobs.get", r#"{"id":"$job"}"#, [401, 403, 403, 200, 200, 404]),
    ("jobs.retry", r#"{"id":"$job"}"#, [401, 403, 403, 200, 200, 404]),
    ("jobs.cancel", r#"{"id":"$job"}"#, [401, 403, 403, 200, 200, 404]),
    ("jobs.promote", r#"{"id":"$job"}"#, [401, 403, 403, 200, 200, 404]),
    // Usage and administration.
    ("billing.getUsage", "{}", [401, 403, 200, 200, 200, 200]),
    ("admin.listOrganizations", "{}", [401, 403, 403, 200, 200, 200]),
    ("admin.listUsers", "{}", [401, 403, 403, 200, 200, 200]),
    ("admin.listCourses", "{}", [401, 403, 403, 200, 200, 200]),
    (
        "admin.setRole",
        r#"{"userId":"$user","role":"instructor"}"#,
        [401, 403, 403, 200, 200, 404],
    ),
    (
        "admin.assignSuperAdmin",
        r#"{"userId":"$user"}"#,
        [401, 403, 403, 403, 200, 403],
    ),
    (
        "admin.setTier",
        r#"{"organizationId":"$organization","tier":"basic"}"#,
        [401, 403, 403, 403, 200, 403],
    ),
    ("admin.tiers.list", "{}", [401, 403, 403, 403, 200, 403]),
    (
        "admin.tiers.update",
        r#"{"tier":"trial","priority":5}"#,
        [401, 403, 403, 403, 200, 403],
    ),
    ("admin.getStatistics", "{}", [401, 403, 403, 403, 200, 403]),
    ("admin.metrics", "{}", [401, 403, 403, 200, 200, 200]),
    (
        "admin.costs",
        r#"{"groupBy":"day"}"#,
        [401, 403, 403, 200, 200, 200],
    ),
    ("admin.audit", "{}", [401, 403, 403, 200, 200, 200]),
    // Webhooks belong to one organization: not even a superadmin of another one touches them.
    (
        "webhooks.create",
        r#"{"url":"https://lms.example.org/hooks"}"#,
        [401, 403, 403, 200, 200, 200],
    ),
    ("webhooks.list", "{}", [401, 403, 403, 200, 200, 200]),
    (
        "webhooks.delete",
        r#"{"id":"$endpoint"}"#,
        [401, 403, 403, 200, 404, 404],
    ),
    ("webhooks.getSecret", "{}", [401, 403, 403, 200, 200, 200]),
    ("webhooks.deliveries", "{}", [401, 403, 403, 200, 200, 200]),
    (
        "webhooks.resend",
        r#"{"id":"$none"}"#,
        [401, 403, 403, 404, 404, 404],
    ),
];

const UPLOAD: &str =
    r#"{"courseId":"$course","filename":"a.txt","mimeType":"text/plain","size":1,"contentBase64":"YQ=="}"#;

/// An id of nothing.
const NONE: &str = "0198ffff-0000-7000-8000-000000000000";

struct World<'a> {
    service: Service<'a>,
    owner: Person,
    admin: Person,
    callers: Vec<Option<Person>>,
    people: Cell<u32>,
}

impl<'a> World<'a> {
    fn new(desk: &'a Desk) -> Self {
        let service = Service::start(desk, &PROVIDER);
        let callers = vec![
            None,
            Some(Person::new(2, "student", HOME)),
            Some(Person::new(3, "instructor", HOME)),
            Some(Person::new(4, "admin", HOME)),
            Some(Person::new(5, "superadmin", 0xc)),
            Some(Person::new(6, "admin", ELSEWHERE)),
        ];
        Self {
            service,
            owner: Person::new(1, "instructor", HOME),
            admin: Person::new(7, "admin", HOME),
            callers,
            people: Cell::new(100),
        }
    }

    /// A person who is known by having asked who they are.
    fn newcomer(&self, organization: u32) -> Person {
        self.people.set(self.people.get() + 1);
        let person = Person::new(self.people.get(), "student", organization);
        person.reads(&self.service, "auth.me");
        person
    }

    /// The input with everything that it names, made for this one call. Returns the course to put to rest afterwards.
    fn input(&self, template: &str) -> (Value, Option<String>) {
        let mut text = template.replace("$none", NONE);
        let mut at_work = None;
        for (name, is_active) in [
            ("$course", false),
            ("$active", true),
            ("$ended", true),
            ("$job", true),
        ] {
            if !text.contains(name) {
                continue;
            }
            let course = self.owner.course(&self.service, "Practical SQL");
            let mut replacement = course.clone();
            if is_active {
                let input = json!({ "courseId": course });
                let started = self.owner.does(&self.service, "generation.initiate", &input);
                if name == "$job" {
                    started["jobId"].as_str().unwrap().clone_into(&mut replacement);
                }
                if name == "$ended" {
                    self.owner.does(&self.service, "generation.cancel", &input);
                }
                at_work = Some(course);
            }
            text = text.replace(name, &replacement);
        }
        if text.contains("$user") {
            text = text.replace("$user", &self.newcomer(HOME).id);
        }
        if text.contains("$organization") {
            self.newcomer(0xd);
            text = text.replace("$organization", "0198b000-0000-7000-8000-00000000000d");
        }
        if text.contains("$endpoint") {
            let input = json!({ "url": "https://lms.example.org/hooks" });
            let made = self.admin.does(&self.service, "webhooks.create", &input);
            text = text.replace("$endpoint", made["id"].as_str().unwrap());
        }
        (serde_json::from_str(&text).unwrap(), at_work)
    }

    fn call(&self, caller: Option<&Person>, procedure: &str, is_mutation: bool, input: &Value) -> Answer {
        let token = caller.map(|person| person.token.as_str()).unwrap_or_default();
        if is_mutation {
            return self.service.post(procedure, token, input);
        }
        let query: Vec<String> = input
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| {
                format!(
                    "{name}={}",
                    value.as_str().map_or(value.to_string(), str::to_owned)
                )
            })
            .collect();
        let line = format!("GET /api/v1/{procedure}?{}", query.join("&"));
        let bearer = format!("Bearer {token}");
        let headers: &[(&str, &str)] = if token.is_empty() {
            &[]
        } else {
            &[("authorization", &bearer)]
        };
        self.service.send(&line, headers, b"")
    }
}

#[test]
fn every_procedure_admits_exactly_whom_it_should() {
    let desk = Desk::new();
    let world = World::new(&desk);
    let document = world
        .service
        .send("GET /openapi.json", &[], b"")
        .expect(200, "")
        .json();
    let mut documented = BTreeSet::new();
    let mut faults = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(procedure) = path.strip_prefix("/api/v1/") else {
            continue;
        };
        documented.insert(procedure.to_owned());
        let is_mutation = operations.get("post").is_some();
        let Some((_, template, expected)) = TABLE.iter().find(|(name, _, _)| *name == procedure) else {
            faults.push(format!("{procedure} is not in the table"));
            continue;
        };
        for ((name, caller), expected) in CALLERS.iter().zip(&world.callers).zip(expected) {
            let (input, at_work) = world.input(template);
            let answer = world.call(caller.as_ref(), procedure, is_mutation, &input);
            if answer.status != *expected {
                faults.push(format!(
                    "{procedure} as {name}: {} instead of {expected}: {}",
                    answer.status, answer.body
                ));
            }
            if let Some(course) = at_work {
                // It may have been put to rest already.
                world.owner.does(
                    &world.service,
                    "generation.cancel",
                    &json!({ "courseId": course }),
                );
            }
        }
    }
    for (procedure, _, _) in TABLE {
        if !documented.contains(*procedure) {
            faults.push(format!("{procedure} is in the table alone"));
        }
    }
    assert_eq!(faults, Vec::<String>::new(), "\n{}", faults.join("\n"));
}

#[test]
fn published_courses_are_read_by_their_organization_and_nobody_looks_behind_them() {
    let desk = Desk::new();
    let world = World::new(&desk);
    let course = world.owner.course(&world.service, "Practical SQL");
    let change = json!({ "courseId": course, "status": "published" });
    world.owner.does(&world.service, "courses.update", &change);
    let input = json!({ "courseId": course });
    let statuses = |procedure: &str| -> Vec<u16> {
        let call = |caller: &Option<Person>| world.call(caller.as_ref(), procedure, false, &input).status;
        world.callers.iter().map(call).collect()
    };
    assert_eq!(statuses("courses.get"), [401, 200, 200, 200, 200, 404]);
    assert_eq!(statuses("generation.getStatus"), [401, 403, 403, 200, 200, 404]);
    assert_eq!(statuses("courses.versions"), [401, 403, 403, 200, 200, 404]);

    let get = format!("courses.get?courseId={course}");
    let (student, admin) = (
        world.callers[1].as_ref().unwrap(),
        world.callers[3].as_ref().unwrap(),
    );
    assert_eq!(student.reads(&world.service, &get)["budgetUsd"], Value::Null);
    assert!(admin.reads(&world.service, &get)["budgetUsd"].is_number());
}

#[test]
fn lists_hold_only_what_their_reader_may_see() {
    let desk = Desk::new();
    let world = World::new(&desk);
    world.owner.course(&world.service, "Practical SQL");
    let count = |person: &Person, query: &str| {
        person.reads(&world.service, query)["items"]
            .as_array()
            .unwrap()
            .len()
    };
    let [_, student, other, admin, superadmin, foreign] = world.callers.as_slice() else {
        unreachable!()
    };
    for (person, own, all) in [
        (student, 0, None),
        (other, 0, None),
        (admin, 1, Some(1)),
        (superadmin, 0, Some(1)),
        (foreign, 0, Some(0)),
    ] {
        let person = person.as_ref().unwrap();
        assert_eq!(count(person, "courses.list"), own);
        if let Some(all) = all {
            assert_eq!(count(person, "admin.listCourses"), all);
        }
    }
    let foreign = foreign.as_ref().unwrap();
    let users = foreign.reads(&world.service, "admin.listUsers");
    let ids: Vec<_> = users["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| &user["id"])
        .collect();
    assert_eq!(ids, [&json!(foreign.id)]);
    assert_eq!(count(foreign, "admin.listOrganizations"), 1);
    let home = "0198b000-0000-7000-8000-00000000000a";
    let usage = format!("/api/v1/billing.getUsage?organizationId={home}");
    world.service.get(&usage, &foreign.token).expect(403, "FORBIDDEN");
    world
        .service
        .get(&usage, &superadmin.as_ref().unwrap().token)
        .expect(200, "");
}

#[test]
fn keys_do_only_what_their_scopes_say() {
    let desk = Desk::new();
    let world = World::new(&desk);
    let course = world.owner.course(&world.service, "Practical SQL");
    let key = |scopes: Value| {
        let made = world.owner.does(
            &world.service,
            "apiKeys.create",
            &json!({ "name": "LMS", "scopes": scopes }),
        );
        made["key"].as_str().unwrap().to_owned()
    };
    let (reads, generates) = (key(json!(["read"])), key(json!(["generate"])));
    let get = format!("/api/v1/courses.get?courseId={course}");
    world.service.get(&get, &reads).expect(200, "Practical SQL");
    world
        .service
        .get(&get, &generates)
        .expect(403, "INSUFFICIENT_SCOPE");
    let input = json!({ "courseId": course });
    world
        .service
        .post("generation.initiate", &reads, &input)
        .expect(403, "INSUFFICIENT_SCOPE");
    world
        .service
        .post("generation.initiate", &generates, &input)
        .expect(200, "queued");
    world
        .service
        .post(
            "apiKeys.create",
            &generates,
            &json!({ "name": "x", "scopes": ["read"] }),
        )
        .expect(403, "INSUFFICIENT_SCOPE");
}
