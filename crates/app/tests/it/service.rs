//! The API of a running service, spoken to over a bare socket: nothing is mended or escaped on the way.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::desk::{Desk, Ran};

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running service without a worker.
pub(crate) struct Service<'a> {
    desk: &'a Desk,
    child: Child,
    pub(crate) address: String,
    variables: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16, part: &str) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.body.contains(part), "'{part}' is not in {self:?}");
        self
    }
}

impl<'a> Service<'a> {
    pub(crate) fn start(desk: &'a Desk, variables: &[(&str, &str)]) -> Self {
        let mut command = desk.command(&["serve", "--no-worker", "--bind", "127.0.0.1:0"]);
        command
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(desk.path().join("stderr")).unwrap());
        let mut service = Self {
            desk,
            child: command.spawn().unwrap(),
            address: String::new(),
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        service.address = service.said("listens on http://");
        // The last line that it says before it answers.
        service.said("  worker ");
        service
    }

    /// The rest of the line in which it says this.
    pub(crate) fn said(&mut self, part: &str) -> String {
        let begun = Instant::now();
        loop {
            let said = self.desk.spawned_stderr();
            if let Some((line, _)) = said.split_once(part).and_then(|(_, rest)| rest.split_once('\n')) {
                return line.trim().to_owned();
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status}: {said}");
            }
            assert!(begun.elapsed() < PATIENCE, "'{part}' is not in {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a command on the same database.
    pub(crate) fn command(&self, arguments: &[&str]) -> Ran {
        let mut command = self.desk.command(arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        Ran::of(command.output().unwrap())
    }

    /// The one line that a command prints.
    pub(crate) fn printed(&self, arguments: &[&str]) -> String {
        self.command(arguments).expect(0, &[]).stdout.trim().to_owned()
    }

    /// Sends a request as it is and reads to the end.
    pub(crate) fn send(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut socket = self.begin(line, headers, body.len(), body);
        let mut answer = Vec::new();
        // A server that has refused may close before it has read everything: what it said counts.
        let _ = socket.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        Answer {
            status: head
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok())
                .unwrap_or(0),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// Begins a request that declares `length` bytes and sends these.
    pub(crate) fn begin(
        &self,
        line: &str,
        headers: &[(&str, &str)],
        length: usize,
        body: &[u8],
    ) -> TcpStream {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!(
            "{line} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n",
            self.address
        );
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if !line.starts_with("GET") {
            head.extend(["content-length: ", &length.to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        let _ = socket
            .write_all(head.as_bytes())
            .and_then(|()| socket.write_all(body));
        socket
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> Answer {
        self.send(
            &format!("GET {path}"),
            &[("authorization", &format!("Bearer {token}"))],
            b"",
        )
    }

    /// Calls a mutation; without a token where that is empty.
    pub(crate) fn post(&self, procedure: &str, token: &str, input: &Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("content-type", "application/json")];
        if !token.is_empty() {
            headers.push(("authorization", &bearer));
        }
        self.send(
            &format!("POST /api/v1/{procedure}"),
            &headers,
            input.to_string().as_bytes(),
        )
    }

    /// A figure of `/metrics`; 0 if it is not there.
    pub(crate) fn figure(&self, name: &str) -> u64 {
        let figures = self.send("GET /metrics", &[], b"").body;
        let line = figures
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Breaks a connection off.
pub(crate) fn break_off(socket: &TcpStream) {
    let _ = socket.shutdown(Shutdown::Both);
}
