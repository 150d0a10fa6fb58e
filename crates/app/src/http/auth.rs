//! From the headers of a request to who calls.

use axum::http::{HeaderMap, Method, header};

use crate::auth::Credential;
use crate::auth::rejection::{AuthError, Rejection};
use crate::procedures::Caller;
use crate::procedures::error::{ApiError, ErrorCode};
use crate::service::Service;

/// Where API keys may stand instead of `Authorization`, for clients that cannot set that.
const API_KEY_HEADER: &str = "x-api-key";
/// After so many seconds an identity provider that did not answer is asked again.
const RETRY_KEYS_SECS: u32 = 10;

/// Who calls; `None` if the request brings nothing to show it.
///
/// # Errors
/// [`ErrorCode::Unauthenticated`] for whatever is not accepted, with no word on why: that is counted and logged here.
pub(crate) async fn identify(
    service: &Service,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Caller>, ApiError> {
    let known = match credential(headers) {
        Ok(None) => return Ok(None),
        Ok(Some(credential)) => service.auth.identify(&credential).await,
        Err(rejection) => Err(rejection.into()),
    };
    match known {
        Ok(caller) => Ok(Some(caller)),
        Err(AuthError::Rejected(rejection)) => {
            let reason = rejection.as_str();
            service.metrics.auth_rejected(reason);
            tracing::info!(reason, %method, "a caller is not let in");
            Err(ApiError::new(ErrorCode::Unauthenticated))
        }
        Err(AuthError::NoKeys) => Err(ApiError::new(ErrorCode::Unavailable).retry_after(RETRY_KEYS_SECS)),
        Err(AuthError::Store(error)) => Err(error.into()),
    }
}

/// What the request brings. Two headers that say different things are one too many.
fn credential(headers: &HeaderMap) -> Result<Option<Credential>, Rejection> {
    let mut tokens = headers.get_all(header::AUTHORIZATION).iter();
    let key = headers.get(API_KEY_HEADER);
    match (tokens.next(), tokens.next(), key) {
        (None, None, None) => Ok(None),
        (Some(token), None, None) => {
            let token = token.to_str().map_err(|_| Rejection::Malformed)?;
            let (scheme, token) = token.trim().split_once(' ').ok_or(Rejection::Malformed)?;
            if scheme.eq_ignore_ascii_case("bearer") {
                Ok(Some(Credential::new(token.trim())))
            } else {
                Err(Rejection::Malformed)
            }
        }
        (None, None, Some(key)) => {
            let key = key.to_str().map_err(|_| Rejection::Malformed)?;
            Ok(Some(Credential::new(key.trim())))
        }
        _ => Err(Rejection::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[track_caller]
    fn check(headers: &[(&str, &str)], expected: Result<bool, Rejection>) {
        let map: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::try_from(*name).unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        let found = credential(&map).map(|credential| credential.is_some());
        assert_eq!(found, expected, "{headers:?}");
    }

    #[test]
    fn credentials_stand_in_one_header() {
        check(&[], Ok(false));
        check(&[("authorization", "Bearer a.b.c")], Ok(true));
        check(&[("authorization", "bearer  a.b.c ")], Ok(true));
        check(&[("x-api-key", "cw_1")], Ok(true));
        check(&[("authorization", "Basic YTpi")], Err(Rejection::Malformed));
        check(&[("authorization", "Bearer")], Err(Rejection::Malformed));
        check(
            &[("authorization", "Bearer a.b.c"), ("x-api-key", "cw_1")],
            Err(Rejection::Malformed),
        );
        check(&[("authorization", "")], Err(Rejection::Malformed));
    }
}
