//! The plain JSON face: `/api/v1/<procedure>`. Queries and subscriptions are GET with parameters in the address,
//! mutations are POST with JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::error;
use super::middleware::CountedAs;
use super::request::{Input, Knock, Origin, parameters};
use super::sse::{self, Dialect, Event};
use crate::procedures::error::{ApiError, ErrorCode};
use crate::procedures::words::Speech;
use crate::procedures::{self, Kind, Procedure, StreamItem};
use crate::service::Service;

/// Answers `/api/v1/<procedure>`.
pub(super) async fn handle(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let origin = Origin::of(request.extensions());
    match procedures::find(&name) {
        Ok(procedure) => {
            let mut response = answer(service, procedure, origin, request).await;
            response.extensions_mut().insert(CountedAs(procedure.name));
            response
        }
        Err(unknown) => error::response(&unknown, origin.speech, &origin.request_id),
    }
}

async fn answer(
    service: Arc<Service>,
    procedure: &'static Procedure,
    origin: Origin,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(refused) = check_method(procedure, &parts.method) {
        let mut response = error::response(&refused, origin.speech, &origin.request_id);
        let allowed = HeaderValue::from_static(method_of(procedure));
        response.headers_mut().insert(header::ALLOW, allowed);
        return response;
    }
    let knock = Knock::identify(service, origin, &parts.method, parts.headers).await;
    let answered = async {
        let call = knock.admitted(procedure)?;
        let Input { value: input, room } = if procedure.kind == Kind::Mutation {
            knock.read(&[procedure], body).await?
        } else {
            let value = procedure.rule().read_parameters(parameters(parts.uri.query()));
            Input { value, room: None }
        };
        if procedure.kind == Kind::Subscription {
            let input = with_last_event_id(input, call.header("last-event-id"));
            let dialect = Plain {
                speech: call.speech,
                request_id: call.request_id.clone(),
            };
            let items = procedure.subscribe(call, input).await?;
            Ok(sse::response(knock.guard(items), dialect))
        } else {
            let answered = procedure.answer(call, input).await;
            drop(room);
            answered.map(|output| Json(output).into_response())
        }
    };
    let mut response = match answered.await {
        Ok(response) => response,
        Err(failed) => error::response(&failed, knock.origin().speech, &knock.origin().request_id),
    };
    response.headers_mut().extend(knock.reply_headers());
    response
}

/// The method with which a procedure is called, for `Allow`.
const fn method_of(procedure: &Procedure) -> &'static str {
    match procedure.kind {
        Kind::Query | Kind::Subscription => "GET",
        Kind::Mutation => "POST",
    }
}

fn check_method(procedure: &Procedure, method: &Method) -> Result<(), ApiError> {
    let is_right = match procedure.kind {
        Kind::Query => matches!(*method, Method::GET | Method::HEAD),
        Kind::Subscription => *method == Method::GET,
        Kind::Mutation => *method == Method::POST,
    };
    if is_right {
        Ok(())
    } else {
        Err(ApiError::new(ErrorCode::MethodNotAllowed))
    }
}

/// Where a subscriber goes on: what its client remembers wins over what the first request said.
pub(super) fn with_last_event_id(mut input: Value, header: Option<&str>) -> Value {
    if input.is_null() {
        input = Value::Object(serde_json::Map::new());
    }
    if let (Some(id), Value::Object(fields)) = (header, &mut input) {
        fields.insert("lastEventId".to_owned(), Value::String(id.to_owned()));
    }
    input
}

/// Events `connected`, `progress`, `ping`, `end` and `error`.
struct Plain {
    speech: Speech,
    request_id: String,
}

impl Dialect for Plain {
    fn hello(&self) -> Event {
        Event::new("connected", &"{}")
    }

    fn item(&self, item: &StreamItem) -> Event {
        Event {
            id: item.id.clone(),
            ..Event::new("progress", &item.data)
        }
    }

    fn ping(&self) -> Event {
        Event::new("ping", &"{}")
    }

    fn end(&self) -> Event {
        Event::new("end", &"{}")
    }

    fn failure(&self, error: &ApiError) -> Event {
        let body = error::body(error, self.speech, &self.request_id);
        Event::new("error", &body)
    }
}

/// Answers addresses that are not there.
pub(super) async fn unknown(request: Request) -> Response {
    let origin = Origin::of(request.extensions());
    let missing = ApiError::new(ErrorCode::NotFound);
    error::response(&missing, origin.speech, &origin.request_id)
}

/// Answers addresses that are there for another method.
pub(super) async fn wrong_method(request: Request) -> Response {
    let origin = Origin::of(request.extensions());
    let wrong = ApiError::new(ErrorCode::MethodNotAllowed);
    error::response(&wrong, origin.speech, &origin.request_id)
}
