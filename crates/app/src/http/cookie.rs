//! The cookie of a browser's session: its name, how it is found and how it is set (RFC 6265).

use axum::http::{HeaderMap, HeaderValue, header};
use secrecy::SecretString;

use super::request::Origin;
use crate::auth::browser::FreshCookie;

/// The name over https. Browsers take it only over https, for this very host and all its paths: no other host of the
/// domain can plant it.
const SECURE_NAME: &str = "__Host-coursewright_session";
/// The name over plain http: on one's own machine, or in a trusted network.
const PLAIN_NAME: &str = "coursewright_session";

/// The cookie that a request brings. Two of one name are none: one of them was planted, and nobody knows which.
pub(super) fn find(headers: &HeaderMap, origin: &Origin) -> Option<SecretString> {
    let name = name(origin);
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(found, value)| *found == name && !value.is_empty())
        .map(|(_, value)| value);
    match (found.next(), found.next()) {
        (Some(value), None) => Some(value.into()),
        _ => None,
    }
}

/// Hands a cookie out. Scripts cannot read it; other sites' pages cannot send it but by a link that is followed.
pub(super) fn set(cookie: &FreshCookie, origin: &Origin) -> Option<HeaderValue> {
    header_value(
        cookie.value.expose(),
        cookie.lifetime.num_seconds().max(0),
        origin,
    )
}

/// Takes it back.
pub(super) fn clear(origin: &Origin) -> Option<HeaderValue> {
    header_value("", 0, origin)
}

fn header_value(value: &str, max_age_secs: i64, origin: &Origin) -> Option<HeaderValue> {
    let secure = if origin.is_https { "; Secure" } else { "" };
    let text = format!(
        "{}={value}; Path=/; Max-Age={max_age_secs}; HttpOnly; SameSite=Lax{secure}",
        name(origin)
    );
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

const fn name(origin: &Origin) -> &'static str {
    if origin.is_https { SECURE_NAME } else { PLAIN_NAME }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn origin(is_https: bool) -> Origin {
        Origin {
            is_https,
            ..Origin::default()
        }
    }

    #[track_caller]
    fn check(lines: &[&str], is_https: bool, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_str(line).unwrap());
        }
        let found = find(&headers, &origin(is_https));
        assert_eq!(
            found.as_ref().map(ExposeSecret::expose_secret),
            expected,
            "{lines:?}"
        );
    }

    #[test]
    fn exactly_one_cookie_of_the_right_name_is_taken() {
        check(&[], false, None);
        check(&["coursewright_session=cwc_1"], false, Some("cwc_1"));
        check(
            &["theme=dark; coursewright_session=cwc_1;x"],
            false,
            Some("cwc_1"),
        );
        check(&["coursewright_session="], false, None);
        // Over https only what no other host can plant.
        check(&["coursewright_session=cwc_1"], true, None);
        check(
            &["coursewright_session=cwc_1; __Host-coursewright_session=cwc_2"],
            true,
            Some("cwc_2"),
        );
        check(
            &["coursewright_session=cwc_1", "coursewright_session=cwc_2"],
            false,
            None,
        );
        check(
            &["coursewright_session=cwc_1; coursewright_session=cwc_1"],
            false,
            None,
        );
    }

    #[test]
    fn cookies_are_for_this_host_and_not_for_scripts() {
        let cleared = |is_https| {
            let value = clear(&origin(is_https)).unwrap();
            assert!(value.is_sensitive());
            value.to_str().unwrap().to_owned()
        };
        assert_eq!(
            cleared(true),
            "__Host-coursewright_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            cleared(false),
            "coursewright_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
        );
    }
}
