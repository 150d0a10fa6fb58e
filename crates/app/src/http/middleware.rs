//! What happens around every request: its id, its line in the log, its figures, its time limit.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use domain::id::RequestId;
use tracing::Instrument as _;

use super::request::Origin;
use super::{REQUEST_ID, error};
use crate::procedures;
use crate::procedures::error::{ApiError, ErrorCode};
use crate::procedures::words::Speech;
use crate::service::Service;

/// A request that is no call of a procedure must be answered in this time. What counts is the time until the answer begins:
/// streams last longer.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Uploads take as long as their network does.
const UPLOAD_TIME_LIMIT: Duration = Duration::from_mins(10);
/// The longest id of a request that is taken over from the caller, in characters.
const REQUEST_ID_MAX: usize = 64;

/// The name under which a request is counted; procedures set theirs.
#[derive(Clone, Copy, Debug)]
pub(super) struct CountedAs(pub(super) &'static str);

/// Gives the request its id and a span, and writes down how it went.
pub(super) async fn follow(
    State(service): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let trust_forwarded_for = service.config.settings.server.trust_forwarded_for;
    if !trust_forwarded_for && request.headers().contains_key("x-forwarded-for") {
        static WARNED: Once = Once::new();
        WARNED.call_once(|| {
            tracing::warn!(
                "requests come with X-Forwarded-For, which is not trusted: behind a proxy set \
                 server.trust_forwarded_for, or all clients share the proxy's limits of logins"
            );
        });
    }
    let id = request_id(request.headers());
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0.ip());
    let origin = Origin {
        request_id: id.clone(),
        speech: speech(request.headers()),
        address: client(peer, request.headers(), trust_forwarded_for),
        is_https: trust_forwarded_for && came_by_https(request.headers()),
        authority: request.uri().authority().map(ToString::to_string),
    };
    let span = tracing::info_span!(
        "request",
        request_id = %id,
        method = %request.method(),
        path = request.uri().path(),
        procedure = tracing::field::Empty,
        user_id = tracing::field::Empty,
        organization_id = tracing::field::Empty,
        tier = tracing::field::Empty,
        course_id = tracing::field::Empty,
        generation_id = tracing::field::Empty,
        job_id = tracing::field::Empty,
    );
    request.extensions_mut().insert(origin);
    let path = route_name(request.extensions().get::<MatchedPath>());
    let method = request.method().clone();
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    harden(response.headers_mut());
    let name = response
        .extensions()
        .get::<CountedAs>()
        .map_or(path, |name| name.0);
    let status = response.status();
    let took = began.elapsed();
    service.metrics.request(name, status.as_u16(), took);
    span.in_scope(|| log(&method, status, took));
    response
}

fn log(method: &Method, status: StatusCode, took: Duration) {
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    if status >= 500 {
        tracing::warn!(status, duration_ms, "answered");
    } else if *method == Method::OPTIONS {
        tracing::debug!(status, duration_ms, "answered");
    } else {
        tracing::info!(status, duration_ms, "answered");
    }
}

/// Nothing that is served here is to be guessed at or framed by other pages.
fn harden(headers: &mut HeaderMap) {
    headers
        .entry(header::X_CONTENT_TYPE_OPTIONS)
        .or_insert(HeaderValue::from_static("nosniff"));
    headers
        .entry(header::X_FRAME_OPTIONS)
        .or_insert(HeaderValue::from_static("DENY"));
    headers
        .entry(header::REFERRER_POLICY)
        .or_insert(HeaderValue::from_static("same-origin"));
}

/// The caller's id of the request, if it is a decent one, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_decent = |id: &&str| {
        !id.is_empty()
            && id.len() <= REQUEST_ID_MAX
            && id
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.'))
    };
    given
        .filter(is_decent)
        .map_or_else(|| RequestId::generate().to_string(), str::to_owned)
}

fn speech(headers: &HeaderMap) -> Speech {
    let header = headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok());
    Speech::accepted(header.unwrap_or_default())
}

/// The address of the client: that of the connection, or what the trusted proxy added. That is the last entry of the
/// last line: some proxies add to the client's line, others write one of their own after it.
fn client(
    peer: Option<std::net::IpAddr>,
    headers: &HeaderMap,
    trust_forwarded_for: bool,
) -> Option<std::net::IpAddr> {
    let forwarded = headers
        .get_all("x-forwarded-for")
        .iter()
        .next_back()
        .filter(|_| trust_forwarded_for)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.rsplit(',').next())
        .and_then(|address| address.trim().parse().ok());
    forwarded.or(peer)
}

/// Whether the trusted proxy says that the client came by https: by its entry, which is the last one.
fn came_by_https(headers: &HeaderMap) -> bool {
    headers
        .get_all("x-forwarded-proto")
        .iter()
        .next_back()
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.rsplit(',').next())
        .is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
}

/// The route for the figures: a fixed word, so that callers cannot make new ones.
fn route_name(path: Option<&MatchedPath>) -> &'static str {
    match path.map(MatchedPath::as_str) {
        Some("/healthz") => "healthz",
        Some("/readyz") => "readyz",
        Some("/metrics") => "metrics",
        Some("/openapi.json") => "openapi",
        Some("/docs" | "/schemas/{name}") => "docs",
        Some(path) if path.starts_with("/setup") => "setup",
        Some("/sign-in") => "sign_in",
        Some("/" | "/assets/{name}") => "pages",
        Some(path) if path.starts_with("/board") => "board",
        Some(path) if path.starts_with("/trpc/") => "trpc",
        Some(path) if path.starts_with("/api/courses/{slug}/files") => "upload",
        Some(_) => "other",
        None => "unknown",
    }
}

/// Ends a request that takes too long and calls no procedure.
pub(super) async fn time_limit(request: Request, next: Next) -> Response {
    let limit = if request.method() == Method::PUT {
        UPLOAD_TIME_LIMIT
    } else {
        TIME_LIMIT
    };
    within(limit, request, next).await
}

/// Ends a request that takes longer than the procedures may that it calls: one, or several with commas between their names.
pub(super) async fn procedure_time_limit(
    Path(names): Path<String>,
    request: Request,
    next: Next,
) -> Response {
    within(procedures::time_limit(names.split(',')), request, next).await
}

async fn within(limit: Duration, request: Request, next: Next) -> Response {
    let origin = Origin::of(request.extensions());
    if let Ok(response) = tokio::time::timeout(limit, next.run(request)).await {
        return response;
    }
    let late = ApiError::new(ErrorCode::Timeout);
    error::response(&late, origin.speech, &origin.request_id)
}

/// A fault of ours that ended a request; the process goes on.
#[expect(clippy::needless_pass_by_value, reason = "the layer gives it so")]
pub(super) fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let message = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    tracing::error!(message, "a request panicked");
    // The id of the request is added outside of here.
    error::response(&ApiError::new(ErrorCode::Internal), Speech::Unsaid, "")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::any;
    use tokio::time::Instant as TokioInstant;
    use tower::ServiceExt as _;

    use super::*;

    /// After how long a request is refused that is never answered.
    async fn refused_after(method: Method, path: &str) -> Duration {
        let calls = Router::new()
            .route("/trpc/{*procedures}", any(std::future::pending::<()>))
            .route("/api/v1/{procedure}", any(std::future::pending::<()>))
            .route_layer(from_fn(procedure_time_limit));
        let all = Router::new()
            .route("/other/{name}", any(std::future::pending::<()>))
            .route_layer(from_fn(time_limit))
            .merge(calls);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let began = TokioInstant::now();
        let response = all.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_ended_when_what_they_ask_for_is_late() {
        for (method, path, secs) in [
            (Method::GET, "/trpc/courses.list", 30),
            (Method::POST, "/trpc/courses.ask", 180),
            (Method::POST, "/trpc/courses.update,courses.ask?batch=1", 180),
            (Method::POST, "/trpc/courses.update%2Ccourses.ask?batch=1", 180),
            (Method::POST, "/api/v1/courses.ask", 180),
            (Method::GET, "/api/v1/courses.list", 30),
            (Method::PUT, "/api/v1/courses.list", 30),
            (Method::GET, "/other/courses.ask", 30),
            (Method::PUT, "/other/file", 600),
        ] {
            let late = refused_after(method, path).await.as_secs();
            assert_eq!(late, secs, "{path}");
        }
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn decent_ids_of_requests_are_kept() {
        assert_eq!(request_id(&headers("x-request-id", "abc-1.2_3")), "abc-1.2_3");
        for bad in ["", "a b", "<script>", &"x".repeat(65)] {
            let id = request_id(&headers("x-request-id", bad));
            assert!(id != bad && id.len() == 36, "{id}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        let peer = Some("192.0.2.1".parse().unwrap());
        let forwarded = headers("x-forwarded-for", "10.0.0.1, 198.51.100.7");
        assert_eq!(client(peer, &forwarded, false), peer);
        assert_eq!(
            client(peer, &forwarded, true),
            Some("198.51.100.7".parse().unwrap())
        );
        assert_eq!(client(peer, &headers("x-forwarded-for", "nobody"), true), peer);
        assert!(came_by_https(&headers("x-forwarded-proto", "HTTPS")));
        assert!(!came_by_https(&headers("x-forwarded-proto", "https, http")));
        assert!(!came_by_https(&HeaderMap::new()));
        let mut added = headers("x-forwarded-for", "203.0.113.9");
        added.append("x-forwarded-for", HeaderValue::from_static("198.51.100.7"));
        assert_eq!(client(peer, &added, true), Some("198.51.100.7".parse().unwrap()));
    }
}
