//! Errors as answers: the one place that chooses a status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::REQUEST_ID;
use crate::procedures::error::ApiError;
use crate::procedures::words::Speech;

/// The status of an error.
pub(super) fn status(error: &ApiError) -> StatusCode {
    StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An error as plain JSON: `{code, message, details?, requestId}`.
pub(super) fn body(error: &ApiError, speech: Speech, request_id: &str) -> Value {
    let mut body = json!({
        "code": error.code.as_str(),
        "message": error.text.spoken(speech),
        "requestId": request_id,
    });
    if let Some(details) = &error.details {
        body["details"] = Value::clone(details);
    }
    body
}

/// An error as an answer with [`body`].
pub(crate) fn response(error: &ApiError, speech: Speech, request_id: &str) -> Response {
    let mut response = (status(error), Json(body(error, speech, request_id))).into_response();
    decorate(&mut response, error, request_id);
    response
}

/// The headers that belong to an error, whatever its body looks like.
pub(super) fn decorate(response: &mut Response, error: &ApiError, request_id: &str) {
    let headers = response.headers_mut();
    if let Some(secs) = error.retry_after_secs {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    if error.code.status() == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
}
