//! The procedures of the API: one registry, which the tRPC face, the plain JSON face and the OpenAPI document share.
//!
//! A procedure is a function from a [`Call`] and a typed input to a typed output. Who may call it, what it takes and
//! gives and which errors it has stand in its row; the faces know nothing else of it.

mod admin;
pub(crate) mod ask;
mod auth;
mod billing;
pub(crate) mod courses;
pub(crate) mod documents;
pub(crate) mod error;
pub(crate) mod generation;
pub(crate) mod input;
mod jobs;
mod page;
mod webhooks;
pub(crate) mod words;

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use domain::user::{Actor, Role};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use store::api_key::Scope;

use crate::service::Service;
use error::{ApiError, ErrorCode};
use input::InputRule;
use words::{Speech, Text};

/// What a procedure does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Reads.
    Query,
    /// Changes something.
    Mutation,
    /// Reads on, as things happen.
    Subscription,
}

/// Who may call a procedure. What they then see is decided by row-level security.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// Nobody needs to be signed in.
    Anyone,
    /// Whoever is signed in.
    User,
    /// Instructors, admins, superadmins.
    Author,
    /// Admins and superadmins.
    Admin,
    /// Superadmins.
    Superadmin,
}

impl Access {
    /// Whether a role has it.
    pub(crate) const fn admits(self, role: Role) -> bool {
        match self {
            Self::Anyone | Self::User => true,
            Self::Author => role.may_author(),
            Self::Admin => matches!(role, Role::Admin | Role::Superadmin),
            Self::Superadmin => matches!(role, Role::Superadmin),
        }
    }
}

/// Who calls: a person, by a token, a session or an API key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Caller {
    /// On whose behalf.
    pub(crate) actor: Actor,
    /// What an API key is limited to; `None`: everything that the person may.
    pub(crate) scopes: Option<Vec<Scope>>,
}

/// One call of a procedure: who calls, in which language, and what the request brought beside the input.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The running program.
    pub(crate) service: Arc<Service>,
    /// Who calls; `None`: nobody is signed in.
    pub(crate) caller: Option<Caller>,
    /// The request's id, as every answer and every log line carries it.
    pub(crate) request_id: String,
    /// The language of messages.
    pub(crate) speech: Speech,
    /// The headers of the request.
    pub(crate) headers: Arc<HeaderMap>,
    /// The caller's address, where it is known.
    pub(crate) address: Option<std::net::IpAddr>,
    /// Headers for the answer.
    pub(crate) reply: ReplyHeaders,
}

impl Call {
    /// On whose behalf.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`] if nobody is signed in.
    pub(crate) fn actor(&self) -> Result<Actor, ApiError> {
        self.caller
            .as_ref()
            .map(|caller| caller.actor)
            .ok_or_else(|| ApiError::new(ErrorCode::Unauthenticated))
    }

    /// A header of the request, if it is readable text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Headers that a procedure adds to the answer, such as `ETag`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplyHeaders(Arc<Mutex<HeaderMap>>);

impl ReplyHeaders {
    /// Sets a header of the answer, in place of what was set before.
    pub(crate) fn set(&self, name: HeaderName, value: HeaderValue) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, value);
    }

    /// What was added so far; afterwards nothing is.
    pub(crate) fn take(&self) -> HeaderMap {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Something that happened, for a subscriber.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StreamItem {
    /// From which a later subscription goes on; `None`: not repeated.
    pub(crate) id: Option<String>,
    /// What happened.
    pub(crate) data: Value,
}

/// What a subscriber hears; it ends after an error.
pub(crate) type ItemStream = BoxStream<'static, Result<StreamItem, ApiError>>;

type Answer = BoxFuture<'static, Result<Value, ApiError>>;
type Stream = BoxFuture<'static, Result<ItemStream, ApiError>>;

enum Handler {
    Answer(Box<dyn Fn(Call, Value) -> Answer + Send + Sync>),
    Stream(Box<dyn Fn(Call, Value) -> Stream + Send + Sync>),
}

/// A call must be answered in this time, unless its row says otherwise. What counts for a subscription is the time until it
/// begins.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// One row of the registry.
pub(crate) struct Procedure {
    /// Its name on the wire, for example `generation.initiate`.
    pub(crate) name: &'static str,
    /// What it does to the world.
    pub(crate) kind: Kind,
    /// Who may call it.
    pub(crate) access: Access,
    /// What it does, in a line.
    pub(crate) summary: &'static str,
    /// The schema of its input, in place: it is named after the procedure.
    pub(crate) input: fn(&mut SchemaGenerator) -> Schema,
    /// The schema of its output, or of what a subscriber hears.
    pub(crate) output: fn(&mut SchemaGenerator) -> Schema,
    /// The errors of its own, beside those that every procedure has.
    pub(crate) errors: Vec<ErrorCode>,
    /// An input for the documentation.
    pub(crate) example: Option<Value>,
    /// Whether its input may hold a file, and so be longer than others.
    pub(crate) holds_file: bool,
    /// A call must be answered in this time, whichever face it comes through.
    pub(crate) time_limit: Duration,
    scope: Scope,
    rule: InputRule,
    handler: Handler,
}

impl std::fmt::Debug for Procedure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Procedure")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// A row for a function that reads.
pub(crate) fn query<I, O, R>(
    name: &'static str,
    access: Access,
    summary: &'static str,
    function: impl Fn(Call, I) -> R + Send + Sync + 'static,
) -> Procedure
where
    I: DeserializeOwned + JsonSchema,
    O: Serialize + JsonSchema,
    R: Future<Output = Result<O, ApiError>> + Send + 'static,
{
    answering(Kind::Query, name, access, summary, function)
}

/// A row for a function that changes something.
pub(crate) fn mutation<I, O, R>(
    name: &'static str,
    access: Access,
    summary: &'static str,
    function: impl Fn(Call, I) -> R + Send + Sync + 'static,
) -> Procedure
where
    I: DeserializeOwned + JsonSchema,
    O: Serialize + JsonSchema,
    R: Future<Output = Result<O, ApiError>> + Send + 'static,
{
    answering(Kind::Mutation, name, access, summary, function)
}

/// A row for a function that goes on telling; `O` is what each item holds.
pub(crate) fn subscription<I, O, R>(
    name: &'static str,
    access: Access,
    summary: &'static str,
    function: impl Fn(Call, I) -> R + Send + Sync + 'static,
) -> Procedure
where
    I: DeserializeOwned + JsonSchema,
    O: JsonSchema,
    R: Future<Output = Result<ItemStream, ApiError>> + Send + 'static,
{
    let handler = Handler::Stream(Box::new(move |call, input| match decode::<I>(input) {
        Ok(input) => Box::pin(function(call, input)),
        Err(error) => Box::pin(std::future::ready(Err(error))),
    }));
    row::<I, O>(Kind::Subscription, name, access, summary, handler)
}

fn answering<I, O, R>(
    kind: Kind,
    name: &'static str,
    access: Access,
    summary: &'static str,
    function: impl Fn(Call, I) -> R + Send + Sync + 'static,
) -> Procedure
where
    I: DeserializeOwned + JsonSchema,
    O: Serialize + JsonSchema,
    R: Future<Output = Result<O, ApiError>> + Send + 'static,
{
    let handler = Handler::Answer(Box::new(move |call, input| match decode::<I>(input) {
        Ok(input) => {
            let answer = function(call, input);
            Box::pin(async move {
                let output = answer.await?;
                serde_json::to_value(output).map_err(|error| ApiError::internal(&error))
            })
        }
        Err(error) => Box::pin(std::future::ready(Err(error))),
    }));
    row::<I, O>(kind, name, access, summary, handler)
}

fn row<I: JsonSchema, O: JsonSchema>(
    kind: Kind,
    name: &'static str,
    access: Access,
    summary: &'static str,
    handler: Handler,
) -> Procedure {
    Procedure {
        name,
        kind,
        access,
        summary,
        input: I::json_schema,
        output: |generator| generator.subschema_for::<O>(),
        errors: Vec::new(),
        example: None,
        holds_file: false,
        time_limit: TIME_LIMIT,
        scope: scope_of(kind, access),
        rule: InputRule::of::<I>(),
        handler,
    }
}

/// The input as its type. The schema accepted it before, so what still fails is a rule that only the type knows.
fn decode<I: DeserializeOwned>(input: Value) -> Result<I, ApiError> {
    serde_json::from_value(input).map_err(|error| ApiError::field("", error.to_string()))
}

/// What an API key needs for a procedure.
fn scope_of(kind: Kind, access: Access) -> Scope {
    match (access, kind) {
        (Access::Admin | Access::Superadmin, _) => Scope::Admin,
        (_, Kind::Query | Kind::Subscription) => Scope::Read,
        (_, Kind::Mutation) => Scope::Generate,
    }
}

impl Procedure {
    /// With errors of its own.
    #[must_use]
    pub(crate) fn fails(mut self, errors: &[ErrorCode]) -> Self {
        self.errors = errors.to_vec();
        self
    }

    /// With an input for the documentation.
    #[must_use]
    pub(crate) fn example(mut self, input: Value) -> Self {
        self.example = Some(input);
        self
    }

    /// Where an API key needs another scope than usual.
    #[must_use]
    pub(crate) fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Where the input may hold a file.
    #[must_use]
    pub(crate) fn holds_file(mut self) -> Self {
        self.holds_file = true;
        self
    }

    /// Where an answer may take longer or must come sooner than usual.
    #[must_use]
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// The rule that an input must keep.
    pub(crate) const fn rule(&self) -> &InputRule {
        &self.rule
    }

    /// Every error that a call may have, in the order of the enum.
    pub(crate) fn all_errors(&self) -> Vec<ErrorCode> {
        use ErrorCode as E;
        let mut errors = vec![
            E::Malformed,
            E::InvalidInput,
            E::Unauthenticated,
            E::Internal,
            E::Unavailable,
        ];
        errors.extend([E::Timeout, E::MethodNotAllowed, E::RateLimited]);
        if self.kind == Kind::Mutation {
            errors.extend([E::BodyTooLarge, E::UnsupportedMediaType]);
        }
        if self.access != Access::Anyone {
            errors.extend([E::Forbidden, E::InsufficientScope]);
        }
        errors.extend(&self.errors);
        errors.sort_unstable();
        errors.dedup();
        errors
    }

    /// Whether the caller may call it at all.
    ///
    /// # Errors
    /// [`ApiError`] for the caller.
    pub(crate) fn admit(&self, call: &Call) -> Result<(), ApiError> {
        if self.access == Access::Anyone {
            return Ok(());
        }
        let Some(caller) = &call.caller else {
            return Err(ApiError::new(ErrorCode::Unauthenticated));
        };
        if caller
            .scopes
            .as_ref()
            .is_some_and(|scopes| !scopes.contains(&self.scope))
        {
            return Err(ApiError::new(ErrorCode::InsufficientScope)
                .with(serde_json::json!({ "needs": self.scope.as_str() })));
        }
        if self.access.admits(caller.actor.role) {
            Ok(())
        } else {
            Err(ApiError::new(ErrorCode::Forbidden))
        }
    }

    /// Checks caller and input and answers. A subscription is not answered like this.
    ///
    /// # Errors
    /// [`ApiError`] for the caller.
    pub(crate) async fn answer(&self, call: Call, input: Value) -> Result<Value, ApiError> {
        let input = self.prepare(&call, input)?;
        match &self.handler {
            Handler::Answer(function) => function(call, input).await,
            Handler::Stream(_) => Err(ApiError::new(ErrorCode::MethodNotAllowed)),
        }
    }

    /// Checks caller and input and begins to tell. Only a subscription does.
    ///
    /// # Errors
    /// [`ApiError`] for the caller.
    pub(crate) async fn subscribe(&self, call: Call, input: Value) -> Result<ItemStream, ApiError> {
        let input = self.prepare(&call, input)?;
        match &self.handler {
            Handler::Stream(function) => function(call, input).await,
            Handler::Answer(_) => Err(ApiError::new(ErrorCode::MethodNotAllowed)),
        }
    }

    fn prepare(&self, call: &Call, input: Value) -> Result<Value, ApiError> {
        self.admit(call)?;
        // A client that passes nothing means that it gives no field.
        let input = if input.is_null() {
            Value::Object(serde_json::Map::new())
        } else {
            input
        };
        self.rule.check(&input)?;
        self.follow(&input);
        Ok(input::with_whole_numbers(input))
    }
}

impl Procedure {
    /// Writes what the call is about into the span of the request (service 4.7).
    fn follow(&self, input: &Value) {
        let job = if self.name.starts_with("jobs.") {
            "id"
        } else {
            "jobId"
        };
        for (field, name) in [
            ("course_id", "courseId"),
            ("generation_id", "generationId"),
            ("job_id", job),
        ] {
            if let Some(id) = input[name].as_str() {
                tracing::Span::current().record(field, id);
            }
        }
    }
}

/// Every procedure.
static REGISTRY: LazyLock<Vec<Procedure>> = LazyLock::new(|| {
    [
        auth::procedures(),
        generation::procedures(),
        courses::procedures(),
        ask::procedures(),
        documents::procedures(),
        jobs::procedures(),
        billing::procedures(),
        admin::procedures(),
        webhooks::procedures(),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// Every procedure, in the order of the documentation.
pub(crate) fn registry() -> &'static [Procedure] {
    &REGISTRY
}

/// How long a request for the procedures of these names may take: as long as the longest of them. Who asks for none that
/// exists is told so in the usual time.
pub(crate) fn time_limit<'a>(names: impl IntoIterator<Item = &'a str>) -> Duration {
    names
        .into_iter()
        .filter_map(|name| find(name).ok())
        .map(|procedure| procedure.time_limit)
        .max()
        .unwrap_or(TIME_LIMIT)
}

/// The procedure of this name.
///
/// # Errors
/// [`ErrorCode::UnknownProcedure`] if there is none.
pub(crate) fn find(name: &str) -> Result<&'static Procedure, ApiError> {
    REGISTRY
        .iter()
        .find(|procedure| procedure.name == name)
        .ok_or_else(|| {
            ApiError::new(ErrorCode::UnknownProcedure).says(Text::new(
                format!("There is no procedure '{name}'."),
                format!("Процедуры '{name}' нет."),
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_may_take_as_long_as_the_longest_of_its_calls() {
        let check = |names: &[&str], secs: u64| {
            assert_eq!(
                time_limit(names.iter().copied()),
                Duration::from_secs(secs),
                "{names:?}"
            );
        };
        check(&["courses.ask"], 180);
        check(&["courses.list"], 30);
        check(&["courses.list", "courses.ask", "courses.nothing"], 180);
        check(&["courses.list", "generation.getStatus"], 30);
        check(&["courses.nothing"], 30);
        check(&["courses.ask.not"], 30);
        check(&[], 30);
    }
}
