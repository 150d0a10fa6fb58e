//! Style, script and icon of the pages, compiled into the program.

use std::sync::LazyLock;

use axum::extract::{Path, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::http::rest;

/// A file of the pages.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const STYLE: Asset = Asset {
    name: "pages.css",
    media_type: "text/css; charset=utf-8",
    text: include_str!("../../../static/pages.css"),
};
/// htmx 2.0, as it is published; its licence is beside it.
const HTMX: Asset = Asset {
    name: "htmx.min.js",
    media_type: "text/javascript; charset=utf-8",
    text: include_str!("../../../static/htmx/htmx.min.js"),
};
const ICON: Asset = Asset {
    name: "icon.svg",
    media_type: "image/svg+xml",
    text: include_str!("../../../static/icon.svg"),
};

/// Where pages find them. The addresses change with the contents, so that browsers may keep what they have.
pub(super) struct Addresses {
    pub(super) style: String,
    pub(super) htmx: String,
    pub(super) icon: String,
}

static ADDRESSES: LazyLock<Addresses> = LazyLock::new(|| Addresses {
    style: address(&STYLE),
    htmx: address(&HTMX),
    icon: address(&ICON),
});

/// Where pages find them.
pub(super) fn addresses() -> &'static Addresses {
    &ADDRESSES
}

fn address(asset: &Asset) -> String {
    let digest = Sha256::digest(asset.text.as_bytes());
    format!("/assets/{}?v={}", asset.name, hex::encode(&digest[..6]))
}

/// `GET /assets/<name>`.
pub(super) async fn file(Path(name): Path<String>, request: Request) -> Response {
    let Some(asset) = [STYLE, HTMX, ICON].into_iter().find(|asset| asset.name == name) else {
        return rest::unknown(request).await;
    };
    let is_current = request
        .uri()
        .path_and_query()
        .is_some_and(|asked| asked.as_str() == address(&asset));
    let keep = if is_current {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static(keep)),
    ];
    (StatusCode::OK, headers, asset.text).into_response()
}
