//! Files as they are: `PUT /api/courses/{id}/files/{name}`.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use axum::{Json, Router};
use futures::StreamExt;

use super::auth;
use super::error;
use super::request::Origin;
use crate::procedures::Scope;
use crate::procedures::documents::DocumentOutput;
use crate::procedures::error::{ApiError, ErrorCode};
use crate::service::Service;
use crate::upload::Declared;

/// The routes of this file.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/api/courses/{slug}/files/{name}", put(put_file))
}

/// Takes a file in while it comes: any size that the tier allows, in little memory.
async fn put_file(
    State(service): State<Arc<Service>>,
    Path((course, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let origin = Origin::of(request.extensions());
    match receive(&service, &course, name, request).await {
        Ok(document) => (StatusCode::CREATED, Json(document)).into_response(),
        Err(refused) => error::response(&refused, origin.speech, &origin.request_id),
    }
}

async fn receive(
    service: &Service,
    course: &str,
    filename: String,
    request: Request,
) -> Result<DocumentOutput, ApiError> {
    let (parts, body) = request.into_parts();
    let origin = Origin::of(&parts.extensions);
    let caller = auth::identify(service, &origin, &parts.method, &parts.headers).await?;
    let caller = caller.ok_or_else(|| ApiError::new(ErrorCode::Unauthenticated))?;
    if caller
        .scopes
        .is_some_and(|scopes| !scopes.contains(&Scope::Generate))
    {
        let needs = serde_json::json!({ "needs": Scope::Generate.as_str() });
        return Err(ApiError::new(ErrorCode::InsufficientScope).with(needs));
    }
    let declared = Declared {
        course_id: course.parse().map_err(|_| ApiError::new(ErrorCode::NotFound))?,
        filename,
        mime_type: mime_type(&parts.headers)?,
        size_bytes: declared_size(&parts.headers)?,
    };
    tracing::Span::current().record("course_id", tracing::field::display(declared.course_id));
    let document = service
        .uploads
        .receive(caller.actor, declared, chunks(body))
        .await?;
    Ok(document.into())
}

fn chunks(
    body: Body,
) -> impl futures::Stream<Item = Result<bytes::Bytes, io::Error>> + Send + Unpin + 'static {
    body.into_data_stream()
        .map(|chunk| chunk.map_err(io::Error::other))
}

/// The declared type; programs that send none leave it to the name.
fn mime_type(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let declared = headers.get(header::CONTENT_TYPE).map(|value| value.to_str());
    declared
        .transpose()
        .map(|declared| declared.map(str::to_owned))
        .map_err(|_| ApiError::new(ErrorCode::FileTypeNotAllowed))
}

/// A file that does not say how long it is cannot be given room.
fn declared_size(headers: &HeaderMap) -> Result<u64, ApiError> {
    headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .ok_or_else(|| ApiError::new(ErrorCode::LengthRequired))
}
