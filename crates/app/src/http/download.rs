//! Exports as they are: `GET /api/courses/{slug}/export/{format}`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use formats::export::Export;

use super::error;
use super::middleware::CountedAs;
use super::request::{Knock, Origin};
use crate::procedures;
use crate::procedures::courses::export::{file, format_of};
use crate::procedures::courses::id_of;
use crate::procedures::error::ApiError;
use crate::service::Service;

/// The procedure of which this is another face: who may call it may download.
const PROCEDURE: &str = "courses.export";

/// The routes of this file.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/api/courses/{slug}/export/{format}", get(download))
}

async fn download(
    State(service): State<Arc<Service>>,
    Path((slug, format)): Path<(String, String)>,
    request: Request,
) -> Response {
    let origin = Origin::of(request.extensions());
    let (parts, _) = request.into_parts();
    let knock = Knock::identify(service, origin, &parts.method, parts.headers).await;
    let outcome = async {
        let call = knock.admitted(procedures::find(PROCEDURE)?)?;
        let format = format_of(&format)?;
        let id = id_of(&call, slug).await?;
        file(&call, id, format).await
    };
    let mut response = match outcome.await {
        Ok(export) => attachment(export),
        Err(failed) => failure(&failed, knock.origin()),
    };
    response.extensions_mut().insert(CountedAs(PROCEDURE));
    response.headers_mut().extend(knock.reply_headers());
    response
}

fn failure(failed: &ApiError, origin: &Origin) -> Response {
    error::response(failed, origin.speech, &origin.request_id)
}

/// A file to save: no browser may show it as a page of this origin, whatever a course holds.
fn attachment(export: Export) -> Response {
    let mut response = Body::from(export.bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(export.media_type));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Names of exports are ASCII letters, digits, hyphens and dots: they need no quoting.
    let disposition = format!("attachment; filename=\"{}\"", export.file_name);
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}
