//! From a request to a [`Call`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Extensions, HeaderMap, Method, header};
use futures::stream::{self, StreamExt as _};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::auth;
use crate::procedures::error::{ApiError, ErrorCode};
use crate::procedures::words::Speech;
use crate::procedures::{Call, Caller, ItemStream, Procedure, ReplyHeaders};
use crate::service::Service;

/// The longest body that holds a file in base64, in bytes: the 10 MB of most tiers, a third more for base64, and the
/// JSON around it. Larger files are streamed.
const FILE_BODY_BYTES: usize = 15 << 20;

/// The longest body of somebody who is not signed in, in bytes: an address, a password or a token.
const STRANGERS_BODY_BYTES: usize = 64 << 10;
/// The most values in one body: each takes some 100 bytes once it is read, so two bytes of text can become 100.
const MOST_VALUES: usize = 100_000;
/// How often the credential of a subscriber is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// After so many seconds the bodies of others have been worked off.
const RETRY_BODY_SECS: u32 = 2;

/// What is known of every request before anything is looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The request's id.
    pub(crate) request_id: String,
    /// The language of messages.
    pub(crate) speech: Speech,
    /// The client's address.
    pub(crate) address: Option<IpAddr>,
    /// Whether the client's connection is encrypted, as the trusted proxy says.
    pub(crate) is_https: bool,
    /// The host that an HTTP/2 request names, which has no `Host`.
    pub(crate) authority: Option<String>,
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
        let caller = auth::identify(&service, &origin, method, &headers).await;
        Self::of(service, origin, headers, caller)
    }

    /// Where it is known who calls.
    pub(super) fn of(
        service: Arc<Service>,
        origin: Origin,
        headers: HeaderMap,
        caller: Result<Option<Caller>, ApiError>,
    ) -> Self {
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

    /// The call of a procedure, if the caller may make it at all. Asked before anything of a body is read: what
    /// strangers send must cost nothing.
    pub(super) fn admitted(&self, procedure: &Procedure) -> Result<Call, ApiError> {
        let call = self.call(procedure)?;
        procedure.admit(&call)?;
        Ok(call)
    }

    /// The JSON of a body for one of these procedures, all of which the caller may call.
    ///
    /// # Errors
    /// [`ErrorCode::UnsupportedMediaType`], [`ErrorCode::BodyTooLarge`], [`ErrorCode::Malformed`], or
    /// [`ErrorCode::Unavailable`] while the bodies of others take all room.
    pub(super) async fn read(&self, procedures: &[&Procedure], body: Body) -> Result<Input, ApiError> {
        let usual = self.service.config.settings.limits.body_bytes;
        let limit = if !matches!(self.caller, Ok(Some(_))) {
            usual.min(STRANGERS_BODY_BYTES)
        } else if procedures.iter().any(|procedure| procedure.holds_file) {
            usual.max(FILE_BODY_BYTES)
        } else {
            usual
        };
        json_body(&self.headers, body, limit, &self.service.body_room).await
    }

    /// What a subscriber hears for as long as the credential holds: it is looked at again and again, for it may be
    /// revoked or expire, and its owner may be removed or get another role.
    pub(super) fn guard(&self, items: ItemStream) -> ItemStream {
        let lost = Self::lost(
            Arc::clone(&self.service),
            self.origin.clone(),
            Arc::clone(&self.headers),
            self.caller.clone().ok().flatten(),
        );
        let ended = stream::once(lost).map(Err);
        // Whichever ends first ends both.
        stream::select(items.map(Some).chain(stream::iter([None])), ended.map(Some))
            .scan(false, |has_ended, item| {
                let item = item.filter(|_| !*has_ended);
                *has_ended = item.as_ref().is_none_or(Result::is_err);
                std::future::ready(item)
            })
            .boxed()
    }

    async fn lost(
        service: Arc<Service>,
        origin: Origin,
        headers: Arc<HeaderMap>,
        caller: Option<Caller>,
    ) -> ApiError {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            match auth::identify_listener(&service, &origin, &headers).await {
                Ok(now) if now == caller => {}
                // Nothing is known while the database does not answer.
                Err(error) if error.code == ErrorCode::Unavailable => {}
                Ok(_) | Err(_) => return ApiError::new(ErrorCode::Unauthenticated),
            }
        }
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

/// What a body said. Its room is taken until the call is answered.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// The JSON; nothing is `null`.
    pub(super) value: Value,
    /// The room that it takes of all bodies in flight.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

async fn json_body(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    all_room: &Arc<Semaphore>,
) -> Result<Input, ApiError> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| usize::try_from(length).is_ok_and(|length| length > limit)) {
        return Err(ApiError::new(ErrorCode::BodyTooLarge));
    }
    let (bytes, room) = read_body(body, limit, all_room).await?;
    if bytes.is_empty() {
        return Ok(Input::default());
    }
    let media_type = media_type(headers);
    if media_type != "application/json" && !media_type.ends_with("+json") {
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType));
    }
    if values_of(&bytes) > MOST_VALUES {
        return Err(ApiError::new(ErrorCode::BodyTooLarge));
    }
    let value = parse_json(&bytes)?;
    Ok(Input { value, room })
}

/// The type of a body without its parameters, in lower case; empty if there is none.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// About how many values this JSON has, without reading it: what its commas and brackets separate.
fn values_of(bytes: &[u8]) -> usize {
    let (mut count, mut in_text, mut is_escaped) = (0, false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_text,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => count += 1,
            _ => {}
        }
    }
    count
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

/// Reads to the end, taking room as bytes come: who declares much and sends little keeps nobody out.
async fn read_body(
    body: Body,
    limit: usize,
    all_room: &Arc<Semaphore>,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), ApiError> {
    let (mut bytes, mut room) = (Vec::new(), None::<OwnedSemaphorePermit>);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        // A connection that broke: nobody reads this.
        let chunk = chunk.map_err(|_| ApiError::new(ErrorCode::Malformed))?;
        if bytes.len() + chunk.len() > limit {
            return Err(ApiError::new(ErrorCode::BodyTooLarge));
        }
        let more = u32::try_from(chunk.len())
            .ok()
            .and_then(|length| Arc::clone(all_room).try_acquire_many_owned(length).ok())
            .ok_or_else(|| ApiError::new(ErrorCode::Unavailable).retry_after(RETRY_BODY_SECS))?;
        match &mut room {
            Some(room) => room.merge(more),
            None => room = Some(more),
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, room))
}

/// The parameters of an address, decoded, in their order.
pub(super) fn parameters(query: Option<&str>) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_without_those_in_texts() {
        assert_eq!(values_of(br#"{"a": [1, 2], "b,[{": "\\\",[", "c": "\\"}"#), 5);
        assert_eq!(values_of(b"[0,0,0]"), 3);
        assert_eq!(values_of(b"1"), 0);
    }

    #[tokio::test]
    async fn bodies_take_room_until_they_are_answered() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/json"),
        );
        let room = Arc::new(Semaphore::new(10));
        let read =
            async |text: &'static str, limit| json_body(&headers, Body::from(text), limit, &room).await;
        let first = read("[1, 2]", 6).await.unwrap();
        assert_eq!(first.value, serde_json::json!([1, 2]));
        assert_eq!(room.available_permits(), 4);
        let full = read("[1, 2]", 6).await.unwrap_err();
        assert_eq!(
            (full.code, full.retry_after_secs),
            (ErrorCode::Unavailable, Some(2))
        );
        assert_eq!(room.available_permits(), 4);
        drop(first);
        assert_eq!(read("[1, 2]", 5).await.unwrap_err().code, ErrorCode::BodyTooLarge);
        assert_eq!(read("", 5).await.unwrap().value, Value::Null);
        assert_eq!(room.available_permits(), 10);
    }

    #[tokio::test]
    async fn bodies_of_very_many_values_are_refused_unread() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/json"),
        );
        let room = Arc::new(Semaphore::new(1 << 20));
        let many = format!("[{}0]", "0,".repeat(MOST_VALUES));
        let refused = json_body(&headers, Body::from(many), 1 << 20, &room).await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::BodyTooLarge);
    }
}
