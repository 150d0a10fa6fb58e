//! HTTP: every route on one screen, and what all of them share.
//!
//! The faces know the registry of procedures and nothing of what procedures do. `error.rs` alone chooses statuses.

pub(crate) mod auth;
mod compat;
pub(crate) mod connections;
mod cookie;
mod docs;
mod download;
pub(crate) mod error;
mod health;
mod middleware;
mod openapi;
mod request;
mod rest;
mod rpc;
mod same_origin;
mod setup;
mod sse;
mod upload;
mod web;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate as _};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::service::Service;

/// The id of a request, in requests and in every answer.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long browsers may remember what CORS allows, in seconds.
const CORS_MAX_AGE_SECS: u64 = 600;

/// The whole API. [`connections::serve`] tells it the addresses of callers.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let calls = Router::new()
        .route("/trpc/{*procedures}", any(rpc::handle))
        .route("/api/v1/{procedure}", any(rest::handle))
        .route_layer(from_fn(middleware::procedure_time_limit));
    Router::new()
        .route("/api/coursegen/generate", post(compat::generate))
        .route("/api/courses/{slug}/check-status", get(compat::check_status))
        .route("/api/courses/{slug}/cancel", post(compat::cancel))
        .merge(upload::routes())
        .merge(download::routes())
        .merge(setup::routes())
        .merge(web::routes())
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(docs::page))
        .route("/schemas/{name}", get(docs::schema))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route_layer(from_fn(middleware::time_limit))
        .merge(calls)
        .fallback(rest::unknown)
        .method_not_allowed_fallback(rest::wrong_method)
        .layer(DefaultBodyLimit::max(service.config.settings.limits.body_bytes))
        .layer(CatchPanicLayer::custom(middleware::panicked))
        .layer(compression())
        .layer(cors(&service.config.settings.server.allowed_origins))
        .layer(from_fn_with_state(Arc::clone(&service), middleware::follow))
        .with_state(service)
}

/// The OpenAPI document, for tools that do not ask over HTTP.
pub(crate) fn openapi_document() -> serde_json::Value {
    openapi::make()
}

/// Compresses what is worth it; never streams, which must not be held back.
fn compression() -> CompressionLayer<impl tower_http::compression::Predicate> {
    let worth_it = DefaultPredicate::new()
        .and(NotForContentType::const_new("text/event-stream"))
        .and(NotForContentType::const_new(rpc::lines::MEDIA_TYPE));
    CompressionLayer::new().compress_when(worth_it)
}

/// Which pages of other origins may call from a browser.
fn cors(origins: &[String]) -> CorsLayer {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(
            origins
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin).ok()),
        )
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::OPTIONS])
        .allow_headers([
            header::ACCEPT_LANGUAGE,
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("trpc-accept"),
            HeaderName::from_static("x-api-key"),
            REQUEST_ID,
        ])
        .expose_headers([header::ETAG, header::RETRY_AFTER, REQUEST_ID])
        .max_age(std::time::Duration::from_secs(CORS_MAX_AGE_SECS))
}
