//! Subscriptions: what is told, when, in which order, and again after a lost connection.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use domain::language::Language;
use serde_json::{Value, json};

use crate::auth::PROVIDER;
use crate::desk::Desk;
use crate::exports;
use crate::people::{HOME, Person};
use crate::provider::Provider;
use crate::rpc::encoded;
use crate::service::Service;

/// One event as it came.
#[derive(Debug, Default)]
struct Event {
    name: String,
    id: String,
    data: String,
}

impl Event {
    fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// An open subscription.
struct Stream {
    reader: BufReader<TcpStream>,
}

impl Stream {
    fn open(service: &Service<'_>, line: &str, headers: &[(&str, &str)]) -> Self {
        let mut reader = BufReader::new(service.begin(&format!("GET {line}"), headers, 0, b""));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("text/event-stream"), "{head}");
        assert!(
            !head.contains("content-encoding"),
            "a compressed stream is held back: {head}"
        );
        Self { reader }
    }

    /// The next event; `None`: the stream has ended.
    fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        let mut has_data = false;
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            let line = line.trim_end();
            let value = |prefix: &str| line.strip_prefix(prefix).map(|rest| rest.trim_start().to_owned());
            if let Some(name) = value("event:") {
                event.name = name;
            } else if let Some(id) = value("id:") {
                event.id = id;
            } else if let Some(data) = value("data:") {
                event.data.push_str(&data);
                has_data = true;
            } else if line.is_empty() && has_data {
                // As the standard says, an event without a line of data is none.
                return Some(event);
            }
            // Whatever else there is are the lengths of chunks and the time after which to come back.
        }
    }

    /// The next event, which has this name.
    #[track_caller]
    fn expect(&mut self, name: &str) -> Event {
        let event = self.next().expect("the stream goes on");
        assert_eq!(event.name, name, "{event:?}");
        event
    }
}

fn trpc(owner: &Person, input: &Value) -> String {
    let parameters = json!({ "token": owner.token });
    format!(
        "/trpc/generation.onProgress?connectionParams={}&input={}",
        encoded(&parameters),
        encoded(input)
    )
}

#[test]
fn followers_hear_everything_at_once_and_again_after_a_lost_connection() {
    let desk = Desk::new();
    let service = Service::start(&desk, &PROVIDER);
    let owner = Person::new(1, "instructor", HOME);
    let course = owner.course(&service, "Practical SQL");
    let mut stream = Stream::open(&service, &trpc(&owner, &json!({ "courseId": course })), &[]);
    let connected = stream.expect("connected").json();
    assert!(connected["reconnectAfterInactivityMs"].is_u64(), "{connected}");
    // Nothing was started: that is told first.
    let first = stream.expect("").json();
    assert_eq!((&first["status"], &first["progress"]), (&Value::Null, &json!(0)));

    owner.does(&service, "generation.initiate", &json!({ "courseId": course }));
    let begun = Instant::now();
    let started = stream.expect("");
    // Generous: the figure to reach is measured by a benchmark.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(started.json()["status"], "initializing");
    assert_eq!(started.json()["progress"], 20);
    assert!(!started.id.is_empty());

    owner.does(&service, "generation.cancel", &json!({ "courseId": course }));
    let mut last = stream.expect("");
    while last.json()["status"] != "cancelled" {
        last = stream.expect("");
    }
    assert!(last.json()["progress"].as_u64() >= Some(20), "{last:?}");
    stream.expect("return");
    assert!(stream.next().is_none());

    // What came after the first event is told again: in the input, or as a browser says it.
    let replayed = trpc(&owner, &json!({ "courseId": course, "lastEventId": started.id }));
    let by_header = trpc(&owner, &json!({ "courseId": course }));
    let header = [("last-event-id", started.id.as_str())];
    for (line, headers) in [(&replayed, &[][..]), (&by_header, &header[..])] {
        let mut stream = Stream::open(&service, line, headers);
        stream.expect("connected");
        let mut again = stream.expect("");
        while again.id != last.id {
            again = stream.expect("");
        }
        assert_eq!(again.json()["status"], "cancelled");
        stream.expect("return");
    }
    // Who has heard the end hears that it is one.
    let input = json!({ "courseId": course, "lastEventId": last.id });
    let mut stream = Stream::open(&service, &trpc(&owner, &input), &[]);
    stream.expect("connected");
    stream.expect("return");
}

#[test]
fn refusals_are_events_for_trpc_and_statuses_for_plain_json() {
    let desk = Desk::new();
    let service = Service::start(&desk, &PROVIDER);
    let owner = Person::new(1, "instructor", HOME);
    let course = owner.course(&service, "Practical SQL");
    let other = Person::new(2, "instructor", HOME);
    let mut stream = Stream::open(&service, &trpc(&other, &json!({ "courseId": course })), &[]);
    stream.expect("connected");
    let refused = stream.expect("serialized-error").json();
    assert_eq!(refused["data"]["code"], "NOT_FOUND");
    assert_eq!(refused["code"], -32004);
    assert!(stream.next().is_none());

    let line = format!("/api/v1/generation.onProgress?courseId={course}");
    service.get(&line, &other.token).expect(404, "NOT_FOUND");
    service
        .send(&format!("GET {line}"), &[], b"")
        .expect(401, "UNAUTHENTICATED");
    service
        .get("/api/v1/generation.onProgress?courseId=no", &owner.token)
        .expect(400, "courseId");
    let bearer = format!("Bearer {}", owner.token);
    let mut stream = Stream::open(&service, &line, &[("authorization", &bearer)]);
    stream.expect("connected");
    stream.expect("progress");
}

#[test]
fn subscriptions_of_one_person_are_limited() {
    let desk = Desk::new();
    let mut variables = PROVIDER.to_vec();
    variables.push(("COURSEWRIGHT_LIMITS__SUBSCRIPTIONS_PER_USER", "2"));
    let service = Service::start(&desk, &variables);
    let owner = Person::new(1, "instructor", HOME);
    let course = owner.course(&service, "Practical SQL");
    let line = format!("/api/v1/generation.onProgress?courseId={course}");
    let bearer = format!("Bearer {}", owner.token);
    let open = || {
        let mut stream = Stream::open(&service, &line, &[("authorization", &bearer)]);
        stream.expect("connected");
        stream.expect("progress");
        stream
    };
    let first = open();
    let _second = open();
    service.get(&line, &owner.token).expect(429, "RATE_LIMITED");
    drop(first);
    // A place is free as soon as the server notices.
    let begun = Instant::now();
    loop {
        let answer = service.begin(&format!("GET {line}"), &[("authorization", &bearer)], 0, b"");
        let mut head = String::new();
        BufReader::new(answer).read_line(&mut head).unwrap();
        if head.contains("200") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{head}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A worker of another process, on the same database.
struct Worker(std::process::Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn percentages_never_fall_and_the_stream_ends_with_the_generation() {
    let desk = Desk::new();
    let service = Service::start(&desk, &PROVIDER);
    let provider = Provider::good(Language::English);
    let owner = Person::new(1, "instructor", HOME);
    let course = owner.course(&service, "Practical SQL for analysts");
    exports::check_unwritten(&service, &owner, &course);
    let input = json!({ "courseId": course });
    owner.does(&service, "generation.initiate", &input);
    let mut stream = Stream::open(&service, &trpc(&owner, &input), &[("accept-language", "en")]);
    stream.expect("connected");
    let mut command = desk.command_with(&provider, &["worker"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let _worker = Worker(command.spawn().unwrap());

    let mut told = Vec::new();
    let ended = loop {
        let event = stream.next().expect("the stream goes on");
        if event.name == "return" {
            break told.last().cloned().unwrap_or_default();
        }
        if event.name.is_empty() {
            told.push(event.json());
        }
    };
    assert_eq!(
        (&ended["status"], &ended["progress"]),
        (&json!("completed"), &json!(100)),
        "{ended}"
    );
    assert_eq!(ended["steps"][4]["name"], "Finalisation");
    assert_eq!(ended["message"], "The course is ready");
    let percentages: Vec<_> = told
        .iter()
        .map(|state| state["progress"].as_u64().unwrap())
        .collect();
    assert!(percentages.is_sorted(), "{percentages:?}");
    assert!(percentages.len() > 5, "{percentages:?}");

    let status = owner.reads(&service, &format!("generation.getStatus?courseId={course}"));
    assert_eq!(
        (&status["phase"], &status["estimatedRemainingSeconds"]),
        (&json!("ended"), &json!(0))
    );
    let result = owner.reads(
        &service,
        &format!("generation.getResult?courseId={course}&includeLessons=true"),
    );
    assert!(
        result["structure"]["sections"]
            .as_array()
            .is_some_and(|sections| !sections.is_empty())
    );
    assert!(
        result["lessons"]
            .as_array()
            .is_some_and(|lessons| lessons.len() >= 10),
        "{result}"
    );
    for format in ["html", "markdown", "json"] {
        let file = owner.reads(
            &service,
            &format!("courses.export?courseId={course}&format={format}"),
        );
        assert_eq!(file["encoding"], "utf8");
        assert!(file["content"].as_str().unwrap().contains("SQL"), "{format}");
    }
    exports::check(&service, &owner, &course);
    let part = json!({ "courseId": course, "lessonNumber": 99 });
    service
        .post("generation.regenerateLesson", &owner.token, &part)
        .expect(409, "CONFLICT");
    let part = json!({ "courseId": course, "lessonNumber": 2, "instruction": "Shorter" });
    owner.does(&service, "generation.regenerateLesson", &part);
}
