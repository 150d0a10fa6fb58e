//! The documentation as a page, and the published schemas.

use axum::Json;
use axum::extract::{Path, Request};
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};

use super::rest;

/// One page without anything from elsewhere; it reads `/openapi.json`.
const PAGE: &str = include_str!("docs/page.html");
/// The page may run its own script and read from its own origin, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /docs`.
pub(super) async fn page() -> Response {
    let mut page = Html(PAGE).into_response();
    page.headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    page
}

/// `GET /schemas/<name>.json`: the JSON Schemas of courses and their parts.
pub(super) async fn schema(Path(name): Path<String>, request: Request) -> Response {
    let wanted = name.strip_suffix(".json").unwrap_or(&name);
    let found = domain::schema::published_schemas()
        .into_iter()
        .find(|(name, _)| *name == wanted);
    match found {
        Some((_, schema)) => {
            let mut response = Json(schema).into_response();
            let media_type = HeaderValue::from_static("application/schema+json");
            response.headers_mut().insert(header::CONTENT_TYPE, media_type);
            response
        }
        None => rest::unknown(request).await,
    }
}
