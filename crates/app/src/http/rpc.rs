//! The tRPC face: the wire protocol of `@trpc/client` 11 with `httpLink`, `httpBatchLink`, `httpBatchStreamLink` and
//! `httpSubscriptionLink`.
//!
//! Queries are GET with `?input=`, mutations POST with a JSON body; `?batch=1` carries several, their paths joined by
//! commas, their inputs in one object by index. Several statuses in one batch are a 207. Subscriptions are server-sent
//! events whose names are those of `@trpc/server` (`stream/sse.ts`): `connected`, `ping`, `serialized-error`, `return`.

pub(super) mod lines;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use serde_json::{Map, Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::error;
use super::middleware::CountedAs;
use super::request::{Input, Knock, Origin, parameters, parse_json};
use super::rest::with_last_event_id;
use super::sse::{self, Dialect, Event};
use crate::procedures::error::{ApiError, ErrorCode};
use crate::procedures::words::Text;
use crate::procedures::{self, Kind, Procedure, StreamItem};
use crate::service::Service;

/// The most calls of one batch.
const BATCH_MAX: usize = 50;
/// The most bytes of all answers of one batch of queries: the rest is to be asked for apart.
const BATCH_BYTES: usize = 8 << 20;
/// So many calls of one batch run at once: a batch must not take all connections of the database.
const BATCH_PARALLEL: usize = 4;
/// A client that hears nothing for so long connects again, in milliseconds: twice the pause between signs of life.
const RECONNECT_AFTER_MS: u32 = 30_000;

/// What a request asks for.
struct Asked {
    paths: Vec<String>,
    is_batch: bool,
    parameters: Vec<(String, String)>,
}

impl Asked {
    fn of(path: &str, query: Option<&str>) -> Self {
        let parameters = parameters(query);
        let is_batch = parameters
            .iter()
            .any(|(name, value)| name == "batch" && value == "1");
        let paths = if is_batch {
            path.split(',').map(str::to_owned).collect()
        } else {
            vec![path.to_owned()]
        };
        Self {
            paths,
            is_batch,
            parameters,
        }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// The one subscription that is asked for.
    fn subscription(&self) -> Option<&'static Procedure> {
        let procedure = procedures::find(self.paths.first()?).ok()?;
        (!self.is_batch && procedure.kind == Kind::Subscription).then_some(procedure)
    }
}

/// Answers `/trpc/<procedure>[,<procedure>...]`.
pub(super) async fn handle(
    State(service): State<Arc<Service>>,
    Path(path): Path<String>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let origin = Origin::of(&parts.extensions);
    if parts.method == Method::HEAD {
        return StatusCode::NO_CONTENT.into_response();
    }
    let asked = Asked::of(&path, parts.uri.query());
    if let Some(secret) = connection_token(&asked) {
        parts.headers.entry(header::AUTHORIZATION).or_insert(secret);
    }
    let wants_lines = lines::wanted(&parts.headers);
    let knock = Knock::identify(service, origin, &parts.method, parts.headers).await;
    let inputs = if asked.paths.len() > BATCH_MAX {
        Err(ApiError::field(
            "batch",
            format!("must have at most {BATCH_MAX} calls, not {}", asked.paths.len()),
        ))
    } else {
        inputs(&asked, &parts.method, body, &knock).await
    };
    // Kept until everything is answered.
    let (inputs, room) = match inputs {
        Ok((inputs, room)) => (Ok(inputs), room),
        Err(failed) => (Err(failed), None),
    };
    let (asked, knock) = (Arc::new(asked), Arc::new(knock));
    let mut response = if let Some(procedure) = asked.subscription() {
        let mut response = subscribe(&asked, procedure, &parts.method, inputs, &knock).await;
        response.extensions_mut().insert(CountedAs(procedure.name));
        response
    } else {
        match inputs {
            Ok(inputs) if wants_lines && asked.is_batch => {
                lines::response(Arc::clone(&asked), parts.method, inputs, room, Arc::clone(&knock))
            }
            Ok(_) if wants_lines => {
                let alone = ApiError::field("batch", "must be 1 where the answers are wanted one by one");
                single(&asked.paths.join(","), &Err(alone), &parts.method, &knock)
            }
            inputs => answer_all(&asked, &parts.method, inputs, &knock).await,
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("trpc-accept, accept"));
    headers.extend(knock.reply_headers());
    response
}

/// A token of `connectionParams`, for clients that cannot set headers: browsers with an `EventSource`.
fn connection_token(asked: &Asked) -> Option<HeaderValue> {
    let parameters: Map<String, Value> = serde_json::from_str(asked.parameter("connectionParams")?).ok()?;
    let token = ["authorization", "Authorization", "token"]
        .iter()
        .find_map(|name| parameters.get(*name)?.as_str())?;
    let value = if token.contains(' ') {
        token.to_owned()
    } else {
        format!("Bearer {token}")
    };
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// One input a call; none is `null`. A body is read only if there is a call in it that the caller may make: the others
/// are refused without it.
async fn inputs(
    asked: &Asked,
    method: &Method,
    body: Body,
    knock: &Knock,
) -> Result<(Vec<Value>, Option<OwnedSemaphorePermit>), ApiError> {
    let Input { value: whole, room } = if *method == Method::POST {
        let admitted: Vec<&Procedure> = asked
            .paths
            .iter()
            .filter_map(|path| procedures::find(path).ok())
            .filter(|procedure| check_method(procedure, method).is_ok() && knock.admitted(procedure).is_ok())
            .collect();
        if admitted.is_empty() {
            return Ok((vec![Value::Null; asked.paths.len()], None));
        }
        knock.read(&admitted, body).await?
    } else {
        let value = match asked.parameter("input") {
            Some(text) => parse_json(text.as_bytes())?,
            None => Value::Null,
        };
        Input { value, room: None }
    };
    if !asked.is_batch {
        return Ok((vec![whole], room));
    }
    let mut fields = match whole {
        Value::Object(fields) => fields,
        Value::Null => Map::new(),
        _ => {
            return Err(ApiError::field(
                "",
                "the inputs of a batch are an object by index",
            ));
        }
    };
    let inputs = (0..asked.paths.len())
        .map(|index| fields.remove(&index.to_string()).unwrap_or(Value::Null))
        .collect();
    Ok((inputs, room))
}

async fn answer_all(
    asked: &Asked,
    method: &Method,
    inputs: Result<Vec<Value>, ApiError>,
    knock: &Knock,
) -> Response {
    let inputs = match inputs {
        Ok(inputs) => inputs,
        // The protocol gives one error for a request that cannot be read, batch or not.
        Err(failed) => return single(&asked.paths.join(","), &Err(failed), method, knock),
    };
    let mut calls = Vec::with_capacity(inputs.len());
    for (path, input) in asked.paths.iter().zip(inputs) {
        calls.push(answer(asked, path, method, input, knock));
    }
    let mut running = stream::iter(calls).buffered(BATCH_PARALLEL);
    let (mut answers, mut room) = (Vec::with_capacity(asked.paths.len()), BATCH_BYTES);
    while let Some(answer) = running.next().await {
        let length = answer.as_ref().map_or(0, length_of);
        // What was changed is told whatever its length; what is only read can be read again.
        if !asked.is_batch || *method != Method::GET || length <= room {
            room = room.saturating_sub(length);
            answers.push(answer);
            continue;
        }
        break;
    }
    drop(running);
    answers.resize_with(asked.paths.len(), || Err(too_long()));
    let mut outcomes: Vec<_> = asked.paths.iter().zip(answers).collect();
    if !asked.is_batch
        && let Some((path, outcome)) = outcomes.pop()
    {
        let counted = procedures::find(path).map(|procedure| CountedAs(procedure.name));
        let mut response = single(path, &outcome, method, knock);
        if let Ok(name) = counted {
            response.extensions_mut().insert(name);
        }
        return response;
    }
    let mut statuses: Vec<StatusCode> = outcomes.iter().map(|(_, outcome)| status(outcome)).collect();
    statuses.dedup();
    let status = match statuses.as_slice() {
        [only] => *only,
        _ => StatusCode::MULTI_STATUS,
    };
    let envelopes: Vec<Value> = outcomes
        .iter()
        .map(|(path, outcome)| envelope(path, outcome, knock))
        .collect();
    let mut response = (status, Json(envelopes)).into_response();
    for (_, outcome) in &outcomes {
        if let Err(failed) = outcome {
            error::decorate(&mut response, failed, &knock.origin().request_id);
        }
    }
    response.extensions_mut().insert(CountedAs("batch"));
    response
}

fn too_long() -> ApiError {
    let most = BATCH_BYTES >> 20;
    ApiError::new(ErrorCode::BodyTooLarge).says(Text::new(
        format!("The answers of this batch are longer than {most} MiB: ask for this one apart."),
        format!("Ответы этого пакета длиннее {most} МиБ: запросите этот отдельно."),
    ))
}

/// How long a value is as JSON, without writing it.
fn length_of(value: &Value) -> usize {
    struct Counted(usize);
    impl std::io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    // Neither counting nor JSON values fail.
    let _ = serde_json::to_writer(&mut counted, value);
    counted.0
}

async fn answer(
    asked: &Asked,
    path: &str,
    method: &Method,
    input: Value,
    knock: &Knock,
) -> Result<Value, ApiError> {
    let procedure = procedures::find(path)?;
    check_method(procedure, method)?;
    if asked.is_batch && procedure.kind == Kind::Subscription {
        return Err(ApiError::field(
            "batch",
            "a subscription cannot be part of a batch",
        ));
    }
    let call = knock.call(procedure)?;
    in_time(procedure.time_limit, procedure.answer(call, input)).await
}

/// The answer to one call of many: none keeps the others waiting for longer than it may take.
async fn in_time(
    limit: Duration,
    answer: impl Future<Output = Result<Value, ApiError>>,
) -> Result<Value, ApiError> {
    timeout(limit, answer)
        .await
        .unwrap_or_else(|_| Err(ApiError::new(ErrorCode::Timeout)))
}

fn check_method(procedure: &Procedure, method: &Method) -> Result<(), ApiError> {
    let wanted = match procedure.kind {
        Kind::Query | Kind::Subscription => Method::GET,
        Kind::Mutation => Method::POST,
    };
    if *method == wanted {
        return Ok(());
    }
    let (name, wanted) = (procedure.name, wanted.as_str());
    Err(ApiError::new(ErrorCode::MethodNotAllowed).says(Text::new(
        format!("'{name}' is called with {wanted}, not {method}."),
        format!("'{name}' вызывается методом {wanted}, а не {method}."),
    )))
}

fn single(path: &str, outcome: &Result<Value, ApiError>, method: &Method, knock: &Knock) -> Response {
    let mut response = (status(outcome), Json(envelope(path, outcome, knock))).into_response();
    if let Err(failed) = outcome {
        error::decorate(&mut response, failed, &knock.origin().request_id);
        if failed.code == ErrorCode::MethodNotAllowed {
            let other = if *method == Method::GET { "POST" } else { "GET" };
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static(other));
        }
    }
    response
}

fn status(outcome: &Result<Value, ApiError>) -> StatusCode {
    match outcome {
        Ok(_) => StatusCode::OK,
        Err(failed) => error::status(failed),
    }
}

fn envelope(path: &str, outcome: &Result<Value, ApiError>, knock: &Knock) -> Value {
    match outcome {
        Ok(output) => json!({ "result": { "data": output } }),
        Err(failed) => json!({ "error": shape(path, failed, knock.origin()) }),
    }
}

/// An error as tRPC shapes it. What is ours beside the protocol: the stable code, details, the request's id.
fn shape(path: &str, failed: &ApiError, origin: &Origin) -> Value {
    let rpc = failed.code.rpc();
    let mut data = json!({
        "code": rpc.as_str(),
        "httpStatus": failed.code.status(),
        "path": path,
        "errorCode": failed.code.as_str(),
        "requestId": origin.request_id,
    });
    if let Some(details) = &failed.details {
        data["details"] = Value::clone(details);
    }
    json!({ "message": failed.text.spoken(origin.speech), "code": rpc.number(), "data": data })
}

/// A subscription's errors are events too: a browser's `EventSource` cannot read the body of another status.
async fn subscribe(
    asked: &Asked,
    procedure: &'static Procedure,
    method: &Method,
    inputs: Result<Vec<Value>, ApiError>,
    knock: &Knock,
) -> Response {
    let begun = async {
        check_method(procedure, method)?;
        let input = inputs?.pop().unwrap_or(Value::Null);
        let call = knock.call(procedure)?;
        let last_event_id = call
            .header("last-event-id")
            .or_else(|| asked.parameter("lastEventId"))
            .or_else(|| asked.parameter("Last-Event-Id"));
        let input = with_last_event_id(input, last_event_id);
        procedure.subscribe(call, input).await
    };
    let items = match begun.await {
        Ok(items) => knock.guard(items),
        Err(failed) if failed.code == ErrorCode::MethodNotAllowed => {
            return single(procedure.name, &Err(failed), method, knock);
        }
        Err(failed) => stream::iter([Err(failed)]).boxed(),
    };
    let dialect = Trpc {
        path: procedure.name,
        origin: knock.origin().clone(),
    };
    sse::response(items, dialect)
}

/// The events of `@trpc/server`.
struct Trpc {
    path: &'static str,
    origin: Origin,
}

impl Dialect for Trpc {
    fn hello(&self) -> Event {
        let options = json!({ "reconnectAfterInactivityMs": RECONNECT_AFTER_MS });
        Event::new("connected", &options)
    }

    fn item(&self, item: &StreamItem) -> Event {
        Event {
            id: item.id.clone(),
            ..Event::new("", &item.data)
        }
    }

    fn ping(&self) -> Event {
        Event::new("ping", &"")
    }

    fn end(&self) -> Event {
        Event::new("return", &"")
    }

    fn failure(&self, error: &ApiError) -> Event {
        let shape = shape(self.path, error, &self.origin);
        Event::new("serialized-error", &shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_marked_and_split() {
        let one = Asked::of("generation.test", Some("input=%7B%7D"));
        assert!(!one.is_batch && one.paths == ["generation.test"]);
        assert_eq!(one.parameter("input"), Some("{}"));
        let two = Asked::of("a.b,c.d", Some("batch=1&input=%7B%7D"));
        assert!(two.is_batch && two.paths == ["a.b", "c.d"]);
        // Without the mark a comma belongs to the name, which then is unknown.
        assert_eq!(Asked::of("a.b,c.d", None).paths, ["a.b,c.d"]);
    }

    #[test]
    fn a_token_may_come_as_a_connection_parameter() {
        let token = |parameters: &str| {
            let query: String = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("connectionParams", parameters)
                .finish();
            connection_token(&Asked::of("a.b", Some(&query))).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(token(r#"{"token":"abc"}"#).as_deref(), Some("Bearer abc"));
        assert_eq!(
            token(r#"{"authorization":"Bearer abc"}"#).as_deref(),
            Some("Bearer abc")
        );
        assert_eq!(token(r#"{"other":"abc"}"#), None);
        assert_eq!(token("null"), None);
        assert_eq!(token("{"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn each_call_of_a_batch_has_its_own_time() {
        for procedure in procedures::registry() {
            let began = tokio::time::Instant::now();
            let late = in_time(procedure.time_limit, std::future::pending()).await;
            assert_eq!(late.unwrap_err().code, ErrorCode::Timeout);
            assert_eq!(began.elapsed().as_secs(), procedure.time_limit.as_secs());
        }
    }
}
