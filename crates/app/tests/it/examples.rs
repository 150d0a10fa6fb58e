//! The example programs as their readers run them: against a service, with their interpreter alone.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use domain::language::Language;
use serde_json::{Value, json};

use crate::desk::{Desk, Ran};
use crate::provider::Provider;
use crate::serve::Serving;

/// Letters that a shell, an address or JSON would change if they were not escaped.
const TITLE: &str = "Keeping bees in a café: «the basics» & \"more\" $1";

/// A command that runs an example in this home. `None` where an interpreter is not installed: then the test says so.
fn example(desk: &Desk, interpreters: &[&str], file: &str) -> Option<Command> {
    for program in interpreters {
        if Command::new(program).arg("--version").output().is_err() {
            eprintln!("SKIPPED: {program} is not installed");
            return None;
        }
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../clients/examples")
        .join(file);
    let mut command = Command::new(interpreters.first()?);
    command.arg(program).current_dir(desk.path()).stdin(Stdio::null());
    Some(command)
}

/// Runs the example with a title, as this caller.
fn run(mut command: Command, serving: &Serving<'_>, token: &str) -> Ran {
    command
        .arg(TITLE)
        .env("COURSEWRIGHT_URL", format!("http://{}", serving.address))
        .env("COURSEWRIGHT_TOKEN", token);
    Ran::of(command.output().unwrap())
}

/// The access token of a new person in this role.
fn token(desk: &Desk, role: &str) -> String {
    desk.run(&["user", "create", "ann@example.org", "--role", role])
        .expect(0, &[]);
    let made = desk.run(&["token", "create", "ann@example.org"]).expect(0, &[]);
    made.stdout.trim().to_owned()
}

/// The example makes a course and saves it, and says the code of what is refused.
fn check(interpreters: &[&str], file: &str) {
    let (desk, provider) = (Desk::new(), Provider::good(Language::English));
    let (Some(refused), Some(made)) = (
        example(&desk, interpreters, file),
        example(&desk, interpreters, file),
    ) else {
        return;
    };
    let serving = Serving::start(&desk, &provider, |_| {});
    run(refused, &serving, "nonsense").expect(1, &["UNAUTHENTICATED: Sign in first. (request "]);

    let ran = run(made, &serving, &token(&desk, "instructor")).expect(0, &["100 % ended", "lessons\n"]);
    let saved: Vec<_> = ran
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("saved "))
        .collect();
    let [markdown, html] = saved[..] else {
        panic!("two files are saved, not {saved:?}")
    };
    let read = |name: &str| fs::read_to_string(desk.path().join(name)).unwrap();
    assert!(read(markdown).contains("café: «the basics» & "), "{markdown}");
    assert!(read(html).contains("café: «the basics»"), "{html}");
    assert!(read(html).trim_end().ends_with("</html>"), "{html} is whole");
}

#[test]
fn shell_example_makes_a_course() {
    check(&["bash", "curl", "python3"], "curl/create-course.sh");
}

#[test]
fn php_example_makes_a_course() {
    check(&["php"], "php/create_course.php");
}

#[test]
fn python_example_makes_a_course() {
    check(&["python3"], "python/create_course.py");
}

#[test]
fn ruby_example_makes_a_course() {
    check(&["ruby"], "ruby/create_course.rb");
}

/// A receiver of webhooks; it ends when it is dropped.
struct Receiver {
    child: Child,
    lines: BufReader<ChildStdout>,
    address: String,
}

impl Receiver {
    fn start(mut command: Command, secret: &str) -> Self {
        command
            .env("COURSEWRIGHT_WEBHOOK_SECRET", secret)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut receiver = Self {
            child,
            lines,
            address: String::new(),
        };
        receiver.address = receiver.said();
        receiver
    }

    /// The next line that it says.
    fn said(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Head and body of an answer.
fn send(address: &str, line: &str, headers: &str, body: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn webhook_example_takes_what_the_service_signed_and_nothing_else() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::English));
    let Some(command) = example(&desk, &["python3"], "python/verify_webhook.py") else {
        return;
    };
    let serving = Serving::start(&desk, &provider, |command| {
        command.env("COURSEWRIGHT_WEBHOOKS__ALLOW_PRIVATE_TARGETS", "true");
    });
    let bearer = format!("authorization: Bearer {}\r\n", token(&desk, "admin"));
    let call = |line: &str, body: &str| -> Value {
        serde_json::from_str(&send(&serving.address, line, &bearer, body).1).unwrap()
    };
    let secret = call("GET /api/v1/webhooks.getSecret", "");
    let mut receiver = Receiver::start(command, secret["secret"].as_str().unwrap());

    let wish = json!({ "title": TITLE, "webhookUrl": receiver.address });
    let started = call("POST /api/v1/generation.initiate", &wish.to_string());
    let course = started["courseId"].as_str().unwrap();
    let told = receiver.said();
    assert!(
        told.ends_with(&format!(" generation.completed {course}")),
        "{told}"
    );

    let address = receiver
        .address
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for (at, problem) in [(now, "no signature matches"), (now - 600, "too far from now")] {
        let forged =
            format!("webhook-id: 1\r\nwebhook-timestamp: {at}\r\nwebhook-signature: v1,Zm9yZ2Vk\r\n");
        let (head, _) = send(address, "POST /", &forged, "{}");
        assert!(head.contains(" 401 ") && head.contains(problem), "{head}");
    }
}
