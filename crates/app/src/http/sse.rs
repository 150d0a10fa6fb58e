//! Streams of events (HTML standard, "Server-sent events"), for the faces that have them.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
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

/// An event with JSON data, in one line.
pub(super) fn json_event(name: Option<&str>, id: Option<&str>, data: &str) -> Event {
    let mut event = Event::default().data(data);
    if let Some(name) = name {
        event = event.event(name);
    }
    if let Some(id) = id {
        event = event.id(id);
    }
    event
}

enum State {
    Hello,
    Running,
    Ended,
}

/// The answer that tells all items and then ends.
pub(super) fn response(items: ItemStream, dialect: impl Dialect) -> Response {
    let events = events(items, dialect).map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).into_response();
    let headers = response.headers_mut();
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
                State::Hello => (dialect.hello().retry(RETRY), State::Running),
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
