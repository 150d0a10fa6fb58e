//! `serve` as operators meet it: start-up lines, health, figures, logs, and a clean end.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use domain::language::Language;

use crate::desk::Desk;
use crate::provider::Provider;

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running service.
pub(crate) struct Serving<'a> {
    desk: &'a Desk,
    child: Child,
    pub(crate) address: String,
}

impl<'a> Serving<'a> {
    pub(crate) fn start(desk: &'a Desk, provider: &Provider, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = desk.command_with(provider, &["serve", "--bind", "127.0.0.1:0"]);
        command
            .stdout(fs::File::create(desk.path().join("stdout")).unwrap())
            .stderr(fs::File::create(desk.path().join("stderr")).unwrap());
        change(&mut command);
        let child = command.spawn().unwrap();
        let mut serving = Self {
            desk,
            child,
            address: String::new(),
        };
        let said = serving.wait_for_stderr("listens on http://");
        let (_, rest) = said.split_once("listens on http://").unwrap();
        rest.lines()
            .next()
            .unwrap()
            .trim()
            .clone_into(&mut serving.address);
        serving
    }

    fn wait_for_stderr(&mut self, part: &str) -> String {
        let begun = Instant::now();
        loop {
            let said = self.desk.spawned_stderr();
            if said.contains(part) && said.ends_with('\n') {
                return said;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status}: {said}");
            }
            assert!(begun.elapsed() < PATIENCE, "'{part}' is not in {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Status and body.
    fn get(&self, path: &str) -> (u16, String) {
        self.get_with(path, "")
    }

    /// Status and body for a request with these further header lines, each with its end.
    fn get_with(&self, path: &str, headers: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}\r\n",
            self.address
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, body.to_owned())
    }

    fn logs(&self) -> String {
        fs::read_to_string(self.desk.path().join("stdout")).unwrap()
    }

    fn terminate(&mut self) -> Option<i32> {
        let sent = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn service_says_where_it_is_answers_and_ends_cleanly() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::English));
    let notified = desk.path().join("notify");
    let manager = UnixDatagram::bind(&notified).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut serving = Serving::start(&desk, &provider, |command| {
        command.env("NOTIFY_SOCKET", &notified).stdin(Stdio::null());
    });
    let mut state = [0; 64];
    let length = manager.recv(&mut state).unwrap();
    assert_eq!(&state[..length], b"READY=1");
    let said = desk.spawned_stderr();
    for part in [
        "database  private",
        "8 jobs at once, models: scripted",
        "set-up    http://",
        "/setup#token=",
    ] {
        assert!(said.contains(part), "'{part}' is not in {said}");
    }
    assert_eq!(serving.get("/healthz").0, 200);
    assert_eq!(serving.get("/readyz").0, 200);
    let (status, figures) = serving.get("/metrics");
    assert_eq!(status, 200);
    assert!(figures.contains("coursewright_requests_total"), "{figures}");
    assert_eq!(serving.terminate(), Some(0), "{}", desk.spawned_stderr());

    let logs = serving.logs();
    assert!(!logs.contains("token="), "the set-up link is not logged");
    for line in logs.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        for field in ["timestamp", "level", "message", "target"] {
            assert!(line.get(field).is_some(), "{field} is not in {line}");
        }
    }
    let answered = logs.lines().find(|line| line.contains("/readyz")).unwrap();
    assert!(answered.contains("\"request_id\""), "{answered}");
}

#[test]
fn log_lines_of_a_request_say_who_asked_for_what() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::English));
    let mut serving = Serving::start(&desk, &provider, |_| {});
    let printed = |arguments: &[&str]| desk.run_with(&provider, arguments).expect(0, &[]).stdout;
    printed(&["org", "create", "School", "--tier", "standard"]);
    printed(&[
        "user",
        "create",
        "ann@example.org",
        "--org",
        "School",
        "--role",
        "instructor",
    ]);
    let token = printed(&["token", "create", "ann@example.org"]);
    let authorization = format!("authorization: Bearer {}\r\n", token.trim());
    let course = "0198ffff-0000-7000-8000-000000000000";
    let (status, body) = serving.get_with(&format!("/api/v1/courses.get?courseId={course}"), &authorization);
    assert_eq!(status, 404, "{body}");
    serving.terminate();
    let logs = serving.logs();
    assert!(!logs.contains(token.trim()), "no token is logged");
    let answered = logs.lines().find(|line| line.contains("courses.get")).unwrap();
    let line: serde_json::Value = serde_json::from_str(answered).unwrap();
    for field in ["request_id", "user_id", "organization_id"] {
        assert!(line[field].is_string(), "{field} is not in {line}");
    }
    for (field, value) in [
        ("procedure", "courses.get"),
        ("tier", "standard"),
        ("course_id", course),
    ] {
        assert_eq!(line[field], value, "{field} in {line}");
    }
}

#[test]
fn port_that_is_taken_is_said() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::English));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    desk.run_with(&provider, &["serve", "--bind", &address])
        .expect(2, &[&address, "--bind"]);
    assert!(!desk.data().join("postgres").exists());
}
