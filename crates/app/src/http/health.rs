//! Whether the service lives, whether it can work, and its figures.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::rest;
use crate::service::Service;
use crate::worker::refresh_queue_figures;

/// What Prometheus expects.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The process runs. Says nothing of what it depends on: restarting it would not mend that.
pub(super) async fn live() -> Response {
    Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })).into_response()
}

/// Requests can be answered: the database does, and the process is not about to end.
pub(super) async fn ready(State(service): State<Arc<Service>>) -> Response {
    let is_ending = service.shutdown.is_cancelled();
    let has_database = service.store.is_ready().await;
    let status = if has_database && !is_ending {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let word = match (is_ending, has_database) {
        (true, _) => "ending",
        (false, true) => "ready",
        (false, false) => "no database",
    };
    (status, Json(json!({ "status": word }))).into_response()
}

/// The figures, where they are served.
pub(super) async fn metrics(State(service): State<Arc<Service>>, request: Request) -> Response {
    if !service.config.settings.server.metrics {
        return rest::unknown(request).await;
    }
    refresh_queue_figures(&service.store, &service.metrics).await;
    let mut response = service.metrics.render().into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
    response
}
