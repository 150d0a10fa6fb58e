//! From a request to a [`Call`].

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{Extensions, HeaderMap, Method, header};
use serde_json::Value;

use super::auth;
use crate::procedures::error::{ApiError, ErrorCode};
use crate::procedures::words::Speech;
use crate::procedures::{Call, Caller, Procedure, ReplyHeaders};
use crate::service::Service;

/// The longest body that holds a file in base64, in bytes: the 10 MB of most tiers, a third more for base64, and the
/// JSON around it. Larger files are streamed.
const FILE_BODY_BYTES: usize = 15 << 20;

/// The longest body of a call.
pub(super) fn body_limit(service: &Service, procedure: Option<&Procedure>) -> usize {
    let usual = service.config.settings.limits.body_bytes;
    if procedure.is_some_and(|procedure| procedure.holds_file) {
        usual.max(FILE_BODY_BYTES)
    } else {
        usual
    }
}

/// What is known of every request before anything is looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The request's id.
    pub(crate) request_id: String,
    /// The language of messages.
    pub(crate) speech: Speech,
    /// The client's address.
    pub(crate) address: Option<IpAddr>,
}

impl Origin {
    /// What was noted when the request came in.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_default()
    }
}

/// A request whose caller is known, or known to be refused.
pub(super) struct Knock {
    service: Arc<Service>,
    origin: Origin,
    headers: Arc<HeaderMap>,
    caller: Result<Option<Caller>, ApiError>,
    reply: ReplyHeaders,
}

impl Knock {
    /// Finds out who calls.
    pub(super) async fn identify(
        service: Arc<Service>,
        origin: Origin,
        method: &Method,
        headers: HeaderMap,
    ) -> Self {
        let caller = auth::identify(&service, method, &headers).await;
        if let Ok(Some(caller)) = &caller {
            let span = tracing::Span::current();
            span.record("user_id", tracing::field::display(caller.actor.user_id));
            span.record(
                "organization_id",
                tracing::field::display(caller.actor.organization_id),
            );
        }
        Self {
            service,
            origin,
            headers: Arc::new(headers),
            caller,
            reply: ReplyHeaders::default(),
        }
    }

    /// The call of a procedure. Bad credentials are refused even where none are needed: the caller believes to be
    /// somebody.
    pub(super) fn call(&self, procedure: &Procedure) -> Result<Call, ApiError> {
        tracing::Span::current().record("procedure", procedure.name);
        Ok(Call {
            service: Arc::clone(&self.service),
            caller: self.caller.clone()?,
            request_id: self.origin.request_id.clone(),
            speech: self.origin.speech,
            headers: Arc::clone(&self.headers),
            address: self.origin.address,
            reply: self.reply.clone(),
        })
    }

    /// The request's id and language.
    pub(super) const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What procedures added to the answer.
    pub(super) fn reply_headers(&self) -> HeaderMap {
        self.reply.take()
    }
}

/// The JSON of a body; nothing is `null`.
///
/// # Errors
/// [`ErrorCode::UnsupportedMediaType`], [`ErrorCode::BodyTooLarge`] or [`ErrorCode::Malformed`].
pub(super) async fn json_body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Value, ApiError> {
    let bytes = read_body(body, limit).await?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if media_type != "application/json" && !media_type.ends_with("+json") {
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType));
    }
    parse_json(&bytes)
}

/// JSON from the outside.
///
/// # Errors
/// [`ErrorCode::Malformed`] with the place where it ends to be JSON.
pub(super) fn parse_json(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| {
        ApiError::new(ErrorCode::Malformed).with(serde_json::json!({
            "line": error.line(),
            "column": error.column(),
        }))
    })
}

async fn read_body(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        // The limit is the one cause that the caller can mend; else the connection broke and nobody reads this.
        let is_limit =
            std::error::Error::source(&error).is_some_and(|cause| cause.to_string().contains("limit"));
        ApiError::new(if is_limit {
            ErrorCode::BodyTooLarge
        } else {
            ErrorCode::Malformed
        })
    })
}

/// The parameters of an address, decoded, in their order.
pub(super) fn parameters(query: Option<&str>) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}
