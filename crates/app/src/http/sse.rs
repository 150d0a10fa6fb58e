//! Streams of events (HTML standard, "Server-sent events"), for the faces that have them.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use futures::stream::{self, Stream, StreamExt};
use tokio::time::{Interval, MissedTickBehavior};

use crate::procedures::error::ApiError;
use crate::procedures::{ItemStream, StreamItem};

/// A sign of life is sent after so much silence: proxies close what is silent for a minute.
const PING_EVERY: Duration = Duration::from_secs(15);
/// After a lost connection, clients come back after so long.
const RETRY: Duration = Duration::from_secs(1);
/// Keeps nginx from holding events back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How a face writes what a subscriber hears.
pub(super) trait Dialect: Send + Sync + 'static {
    /// What is said first.
    fn hello(&self) -> Event;
    /// Something happened.
    fn item(&self, item: &StreamItem) -> Event;
    /// A sign of life.
    fn ping(&self) -> Event;
    /// Nothing more will happen.
    fn end(&self) -> Event;
    /// It ends with an error.
    fn failure(&self, error: &ApiError) -> Event;
}

/// An event on the wire. Its data is one line, as JSON is that is written without indentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its name; empty: `message`.
    pub(super) name: &'static str,
    /// From which a client goes on.
    pub(super) id: Option<String>,
    /// What it says. Clients throw events away that have no line of data, so an empty one is written too.
    pub(super) data: String,
}

impl Event {
    /// An event without an id.
    pub(super) fn new(name: &'static str, data: &impl ToString) -> Self {
        Self {
            name,
            id: None,
            data: data.to_string(),
        }
    }

    fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.data.len() + 64);
        if !self.name.is_empty() {
            text.push_str("event: ");
            text.push_str(self.name);
            text.push('\n');
        }
        text.push_str("data: ");
        text.push_str(&self.data);
        text.push('\n');
        if let Some(id) = &self.id {
            text.push_str("id: ");
            text.push_str(id);
            text.push('\n');
        }
        text.push('\n');
        text
    }
}

enum State {
    Hello,
    Running,
    Ended,
}

/// The answer that tells all items and then ends.
pub(super) fn response(items: ItemStream, dialect: impl Dialect) -> Response {
    let retry = format!("retry: {}\n\n", RETRY.as_millis());
    let texts = events(items, dialect).map(|event| event.to_text());
    let texts = stream::once(std::future::ready(retry)).chain(texts);
    let mut response = Response::new(Body::from_stream(texts.map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

fn events(items: ItemStream, dialect: impl Dialect) -> impl Stream<Item = Event> + Send {
    let mut pings = tokio::time::interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    stream::unfold(
        (State::Hello, items, pings, dialect),
        |(state, mut items, mut pings, dialect)| async move {
            let (event, state) = match state {
                State::Ended => return None,
                State::Hello => (dialect.hello(), State::Running),
                State::Running => next(&mut items, &mut pings, &dialect).await,
            };
            Some((event, (state, items, pings, dialect)))
        },
    )
}

async fn next(items: &mut ItemStream, pings: &mut Interval, dialect: &impl Dialect) -> (Event, State) {
    tokio::select! {
        item = items.next() => {
            pings.reset();
            match item {
                Some(Ok(item)) => (dialect.item(&item), State::Running),
                Some(Err(error)) => (dialect.failure(&error), State::Ended),
                None => (dialect.end(), State::Ended),
            }
        }
        _ = pings.tick() => (dialect.ping(), State::Running),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_without_data_has_a_line_of_it() {
        assert_eq!(Event::new("ping", &"").to_text(), "event: ping\ndata: \n\n");
        let item = Event {
            id: Some("7".to_owned()),
            ..Event::new("", &"{}")
        };
        assert_eq!(item.to_text(), "data: {}\nid: 7\n\n");
    }
}
