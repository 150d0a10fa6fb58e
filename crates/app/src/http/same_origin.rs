//! Whether a request was caused by one of our own pages.
//!
//! A browser sends its cookies with whatever causes a request, so a cookie proves who, but not whose wish it is. What
//! proves that are headers that pages cannot write: `Sec-Fetch-Site` (Fetch Metadata) and `Origin` (Fetch standard). A
//! request without either is not believed, unless it only reads and its `Referer` is ours: plain http to a host that is
//! not this machine sends no Fetch Metadata, and reading from one's own origin no `Origin`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use url::Url;

use super::request::Origin;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether one of our own pages caused the request; `public_url` is another name under which they are known.
pub(super) fn is_shown(
    method: &Method,
    headers: &HeaderMap,
    origin: &Origin,
    public_url: Option<&str>,
) -> bool {
    let only_reads = matches!(*method, Method::GET | Method::HEAD);
    let stated = headers.get(header::ORIGIN);
    let is_own = |value: &axum::http::HeaderValue| {
        value
            .to_str()
            .is_ok_and(|stated| is_ours(stated, headers, origin, public_url))
    };
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    match (site, stated) {
        (Some(b"same-origin"), None) => true,
        (Some(b"same-origin") | None, Some(stated)) => is_own(stated),
        // Typed into the address bar, or a bookmark.
        (Some(b"none"), None) => only_reads,
        (Some(_), _) => false,
        (None, None) => only_reads && headers.get(header::REFERER).is_some_and(is_own),
    }
}

/// Whether an address is of the origin that the request went to, or of the configured one.
fn is_ours(address: &str, headers: &HeaderMap, origin: &Origin, public_url: Option<&str>) -> bool {
    let Ok(address) = Url::parse(address) else {
        return false;
    };
    let public = public_url.and_then(|url| Url::parse(url).ok());
    if public.is_some_and(|public| public.origin() == address.origin()) {
        return true;
    }
    // What came by https has nothing to do with pages that came by http. The other way round is not known: a proxy may
    // have ended TLS without saying so.
    let scheme = match address.scheme() {
        "https" => "https",
        "http" if !origin.is_https => "http",
        _ => return false,
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let own = host
        .or(origin.authority.as_deref())
        .and_then(|host| Url::parse(&format!("{scheme}://{host}")).ok());
    own.is_some_and(|own| own.origin() == address.origin())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(method: &Method, is_https: bool, headers: &[(&str, &str)], expected: bool) {
        let mut map = HeaderMap::new();
        map.insert(header::HOST, HeaderValue::from_static("courses.example.org"));
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap();
            map.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let origin = Origin {
            is_https,
            ..Origin::default()
        };
        let public = Some("https://learn.example.org/");
        assert_eq!(
            is_shown(method, &map, &origin, public),
            expected,
            "{method} {headers:?}"
        );
    }

    #[test]
    fn changes_need_proof() {
        let post = |headers: &[(&str, &str)], expected| check(&Method::POST, true, headers, expected);
        post(&[], false);
        post(&[("sec-fetch-site", "same-origin")], true);
        post(&[("origin", "https://courses.example.org")], true);
        post(&[("origin", "https://learn.example.org")], true);
        post(
            &[
                ("sec-fetch-site", "same-origin"),
                ("origin", "https://courses.example.org"),
            ],
            true,
        );
        for foreign in [
            "https://evil.example",
            "https://courses.example.org.evil.example",
            "https://courses.example.org:8443",
            "https://sub.courses.example.org",
            "http://courses.example.org",
            "null",
            "",
        ] {
            post(&[("origin", foreign)], false);
            post(&[("sec-fetch-site", "same-origin"), ("origin", foreign)], false);
        }
        for site in ["cross-site", "same-site", "none", "other"] {
            post(&[("sec-fetch-site", site)], false);
            post(
                &[
                    ("sec-fetch-site", site),
                    ("origin", "https://courses.example.org"),
                ],
                false,
            );
        }
        post(&[("referer", "https://courses.example.org/board")], false);
    }

    #[test]
    fn reading_needs_less() {
        let get = |headers: &[(&str, &str)], expected| check(&Method::GET, false, headers, expected);
        get(&[], false);
        get(&[("sec-fetch-site", "none")], true);
        get(&[("sec-fetch-site", "same-origin")], true);
        get(&[("sec-fetch-site", "cross-site")], false);
        get(&[("referer", "http://courses.example.org/board")], true);
        get(&[("referer", "https://courses.example.org/board")], true);
        get(&[("referer", "http://evil.example/")], false);
        get(
            &[
                ("sec-fetch-site", "cross-site"),
                ("referer", "http://courses.example.org/board"),
            ],
            false,
        );
    }
}
