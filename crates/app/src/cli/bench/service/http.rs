//! The client of the measurement: the plain JSON of the tRPC protocol.

use std::time::Duration;

use llm::http_client::http_client;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::failure::{Exit, Failure};

/// How long a subscriber waits for what was announced.
const PATIENCE: Duration = Duration::from_secs(10);

fn failed(what: &str, reason: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failure, format!("{what}: {reason}"))
}

/// Starts a generation. Returns how long that took.
pub(super) async fn initiate(port: u16, token: &str, courses: &[String]) -> Result<Vec<Duration>, Failure> {
    let client = http_client()?;
    let url = format!("http://127.0.0.1:{port}/trpc/generation.initiate");
    let mut times = Vec::with_capacity(courses.len());
    for course in courses {
        let begun = Instant::now();
        let answer = client
            .post(&url)
            .bearer_auth(token)
            .json(&json!({ "courseId": course }))
            .send()
            .await
            .map_err(|error| failed("generation.initiate", error))?;
        let status = answer.status().as_u16();
        let body = answer
            .text()
            .await
            .map_err(|error| failed("generation.initiate", error))?;
        times.push(begun.elapsed());
        if status != 200 {
            return Err(failed("generation.initiate", format!("{status} {body}")));
        }
    }
    Ok(times)
}

/// A subscriber to a course's progress.
pub(super) struct Subscriber<S> {
    next: S,
}

/// Subscribes, and gives a function that waits for the next event.
pub(super) async fn subscribe(
    port: u16,
    token: &str,
    course: &str,
) -> Result<Subscriber<impl AsyncFnMut(&str) -> Result<(), Failure>>, Failure> {
    let client = http_client()?;
    let input: Value = json!({ "courseId": course });
    let mut url = url::Url::parse(&format!("http://127.0.0.1:{port}/trpc/generation.onProgress"))
        .map_err(|error| failed("generation.onProgress", error))?;
    url.query_pairs_mut().append_pair("input", &input.to_string());
    let mut answer = client
        .get(url)
        .bearer_auth(token)
        .send()
        .await
        .map_err(|error| failed("generation.onProgress", error))?;
    if answer.status().as_u16() != 200 {
        return Err(failed("generation.onProgress", answer.status()));
    }
    let mut heard = String::new();
    Ok(Subscriber {
        next: async move |part: &str| {
            loop {
                if let Some(at) = heard.find(part) {
                    heard.drain(..at + part.len());
                    return Ok(());
                }
                let chunk = timeout(PATIENCE, answer.chunk())
                    .await
                    .map_err(|_| failed("generation.onProgress", "nothing was heard"))?
                    .map_err(|error| failed("generation.onProgress", error))?
                    .ok_or_else(|| failed("generation.onProgress", "the stream has ended"))?;
                heard.push_str(&String::from_utf8_lossy(&chunk));
            }
        },
    })
}

impl<S: AsyncFnMut(&str) -> Result<(), Failure>> Subscriber<S> {
    /// Returns when a text with this part was heard.
    pub(super) async fn hear(&mut self, part: &str) -> Result<(), Failure> {
        (self.next)(part).await
    }
}
