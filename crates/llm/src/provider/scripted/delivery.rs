//! How a scripted reply travels over HTTP. In process only what it means counts.

use std::time::Duration;

use super::ScriptedAnswer;

/// The way of a reply.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Delivery {
    /// As the protocol says.
    #[default]
    Regular,
    /// The whole answer, in a manner that a client has to understand all the same.
    Odd(Oddity),
    /// The stream begins with this and breaks off.
    BreaksOff {
        /// What comes before the break.
        begun: ScriptedAnswer,
        /// Whether the usage, and with it the cost, came before the break.
        usage: Usage,
    },
    /// All tokens go into a thought: the answer stays empty, ends with `length`, and is billed.
    ThoughtOnly {
        /// What was thought, at a price.
        thought: ScriptedAnswer,
    },
    /// Nothing for so long; then the connection closes.
    Silence(Duration),
    /// This response.
    Page(Page),
}

/// Whether the usage was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It was: the client can know what the attempt cost.
    Reported,
    /// It was not, and nothing is billed.
    Missing,
}

/// A manner in which servers send whole answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Oddity {
    /// A byte order mark comes first.
    ByteOrderMark,
    /// A stream of events that says it is JSON.
    EventsAsJson,
    /// A stream of events that says it is plain text.
    EventsAsText,
    /// A stream of events that does not say what it is.
    EventsUntyped,
    /// One JSON body that says it is a stream of events.
    WholeAsEvents,
    /// The stream ends after the finish reason without `[DONE]`.
    NoDone,
    /// The connection stays open for so long after the finish reason, without `[DONE]`.
    StaysOpen(Duration),
    /// The content comes as a list of parts.
    ContentParts,
    /// The usage is null: only tokens that have a price each are billed.
    UsageNull,
    /// Fields of the usage have types that nobody expects; the cost is a number.
    UsageTypes,
    /// A thought stands beside the answer, in a field of its own.
    ThoughtBeside,
    /// The last chunk has an empty error.
    EmptyError,
}

/// A response that is no answer of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Page {
    /// A JSON body without further headers.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            content_type: "application/json",
            headers: Vec::new(),
            body: body.to_string(),
        }
    }

    /// The same with a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
