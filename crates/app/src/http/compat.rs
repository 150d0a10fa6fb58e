//! Paths of an earlier interface, for front ends that use it: the same procedures behind other addresses.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::error;
use super::middleware::CountedAs;
use super::request::{Input, Knock, Origin};
use crate::procedures::courses::id_of;
use crate::procedures::error::ApiError;
use crate::procedures::generation::status::state_with_columns;
use crate::procedures::{self, Call, Procedure};
use crate::service::Service;

/// `POST /api/coursegen/generate`: `generation.initiate`.
pub(super) async fn generate(State(service): State<Arc<Service>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts, Body::empty());
    let asked = Asked::of(service, request, "generation.initiate").await;
    let outcome = async {
        let (procedure, call) = (asked.procedure()?, asked.call()?);
        let Input { value, room: _room } = asked.knock.read(&[procedure], body).await?;
        procedure.answer(call, value).await
    };
    asked.respond(outcome.await)
}

/// `GET /api/courses/{slug}/check-status`: `generation.getStatus` by the course's slug or id, with the columns that such
/// front ends read.
pub(super) async fn check_status(
    State(service): State<Arc<Service>>,
    Path(slug): Path<String>,
    request: Request,
) -> Response {
    let asked = Asked::of(service, request, "generation.getStatus").await;
    let outcome = async {
        let call = asked.call()?;
        let id = id_of(&call, slug).await?;
        state_with_columns(&call, id).await
    };
    asked.respond(outcome.await)
}

/// `POST /api/courses/{slug}/cancel`: `generation.cancel` by the course's slug or id.
pub(super) async fn cancel(
    State(service): State<Arc<Service>>,
    Path(slug): Path<String>,
    request: Request,
) -> Response {
    let asked = Asked::of(service, request, "generation.cancel").await;
    let outcome = async {
        let call = asked.call()?;
        let id = id_of(&call, slug).await?;
        asked.procedure()?.answer(call, json!({ "courseId": id })).await
    };
    asked.respond(outcome.await)
}

/// A request to a procedure behind another address.
struct Asked {
    name: &'static str,
    knock: Knock,
}

impl Asked {
    async fn of(service: Arc<Service>, request: Request, name: &'static str) -> Self {
        let origin = Origin::of(request.extensions());
        let (parts, _) = request.into_parts();
        let knock = Knock::identify(service, origin, &parts.method, parts.headers).await;
        Self { name, knock }
    }

    fn procedure(&self) -> Result<&'static Procedure, ApiError> {
        procedures::find(self.name)
    }

    fn call(&self) -> Result<Call, ApiError> {
        self.knock.admitted(self.procedure()?)
    }

    fn respond(&self, outcome: Result<Value, ApiError>) -> Response {
        let origin = self.knock.origin();
        let mut response = match outcome {
            Ok(output) => Json(output).into_response(),
            Err(failed) => error::response(&failed, origin.speech, &origin.request_id),
        };
        response.extensions_mut().insert(CountedAs(self.name));
        response.headers_mut().extend(self.knock.reply_headers());
        response
    }
}
