//! The page of the first run: the link that `serve` prints leads here.
//!
//! The one-time token stands in the link's fragment, which browsers never send; the page's script posts it to
//! `auth.setup` with the address and the password that are typed in.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::routing::get;

/// Nothing but its own script and style, nothing inline, and only its own origin is spoken to.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The routes of this file.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/setup", get(page))
        .route("/setup/script.js", get(script))
        .route("/setup/style.css", get(style))
}

type File = ([(HeaderName, HeaderValue); 4], &'static str);

async fn page() -> File {
    file("text/html; charset=utf-8", include_str!("setup/page.html"))
}

async fn script() -> File {
    file("text/javascript; charset=utf-8", include_str!("setup/script.js"))
}

async fn style() -> File {
    file("text/css; charset=utf-8", include_str!("setup/style.css"))
}

fn file(media_type: &'static str, text: &'static str) -> File {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_has_nothing_inline_that_its_policy_forbids() {
        let page = include_str!("setup/page.html");
        for forbidden in [
            "<style",
            "style=",
            "onclick",
            "onsubmit",
            "javascript:",
            "http://",
            "https://",
        ] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert_eq!(page.matches("<script").count(), 1);
        assert!(page.contains(r#"<script src="/setup/script.js" defer></script>"#));
    }

    #[test]
    fn every_text_of_the_page_is_there_in_both_languages() {
        let (page, script) = (include_str!("setup/page.html"), include_str!("setup/script.js"));
        let keys: Vec<_> = page
            .split("data-text=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(keys.len() > 5, "{keys:?}");
        for key in keys {
            assert_eq!(script.matches(&format!("\n    {key}: ")).count(), 2, "{key}");
        }
    }
}
