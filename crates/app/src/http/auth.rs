//! From the headers of a request to who calls.
//!
//! Tokens and keys are shown by whoever wants to be somebody. Cookies are sent by browsers on their own account: they
//! count only where nothing else is shown and one of our own pages caused the request, and one that does not count is
//! as good as none.

use axum::http::{HeaderMap, Method, header};
use domain::user::Actor;
use secrecy::SecretString;

use super::request::{Origin, media_type};
use super::{cookie, same_origin};
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
    origin: &Origin,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Caller>, ApiError> {
    let known = match credential(headers) {
        Ok(None) => return identify_browser(service, origin, method, headers).await,
        Ok(Some(credential)) => service.auth.identify(&credential).await,
        Err(rejection) => Err(rejection.into()),
    };
    match known {
        Ok(caller) => {
            follow(service, &caller.actor).await;
            Ok(Some(caller))
        }
        Err(error) => Err(refused(service, error)),
    }
}

/// Writes who calls into the span of the request, so that every line of its log says so (service 4.7).
pub(super) async fn follow(service: &Service, actor: &Actor) {
    let span = tracing::Span::current();
    span.record("user_id", tracing::field::display(actor.user_id));
    span.record("organization_id", tracing::field::display(actor.organization_id));
    let tier = service.tiers.of(&service.store, actor.organization_id).await;
    // What cannot be looked up is left out: no request fails for its log.
    if let Some(tier) = tier {
        span.record("tier", tier.as_str());
    }
}

/// Who it is that listens to a stream which began some time ago.
///
/// # Errors
/// As [`identify`].
pub(super) async fn identify_listener(
    service: &Service,
    origin: &Origin,
    headers: &HeaderMap,
) -> Result<Option<Caller>, ApiError> {
    match (credential(headers), cookie::find(headers, origin)) {
        // That one of our pages caused it was proved at its beginning.
        (Ok(None), Some(cookie)) => match service.auth.follow_browser(&cookie).await {
            Ok(actor) => Ok(Some(Caller { actor, scopes: None })),
            Err(error) => Err(refused(service, error)),
        },
        _ => identify(service, origin, &Method::GET, headers).await,
    }
}

/// Who calls from one of our pages, by the cookie of their session.
///
/// # Errors
/// [`ErrorCode::Unavailable`] if nobody can say.
async fn identify_browser(
    service: &Service,
    origin: &Origin,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Caller>, ApiError> {
    let Some(cookie) = browser_cookie(service, origin, method, headers) else {
        return Ok(None);
    };
    match service.auth.identify_browser(&cookie).await {
        Ok(actor) => {
            follow(service, &actor).await;
            Ok(Some(Caller { actor, scopes: None }))
        }
        Err(AuthError::Rejected(rejection)) => {
            note(service, rejection);
            Ok(None)
        }
        Err(error) => Err(refused(service, error)),
    }
}

/// The cookie of a request that one of our own pages caused. What changes something must moreover be JSON or a file,
/// which forms of other sites cannot send.
fn browser_cookie(
    service: &Service,
    origin: &Origin,
    method: &Method,
    headers: &HeaderMap,
) -> Option<SecretString> {
    let cookie = cookie::find(headers, origin)?;
    let public_url = service.config.settings.server.public_url.as_deref();
    let is_ours = same_origin::is_shown(method, headers, origin, public_url);
    let is_plain_form = *method == Method::POST && media_type(headers) != "application/json";
    if is_ours && !is_plain_form {
        return Some(cookie);
    }
    note(service, Rejection::CrossSite);
    None
}

/// What somebody hears who is not let in; the reason is counted and logged.
pub(super) fn refused(service: &Service, error: AuthError) -> ApiError {
    match error {
        AuthError::Rejected(rejection) => {
            note(service, rejection);
            ApiError::new(ErrorCode::Unauthenticated)
        }
        AuthError::NoKeys => ApiError::new(ErrorCode::Unavailable).retry_after(RETRY_KEYS_SECS),
        AuthError::Randomness(error) => ApiError::internal(&error),
        AuthError::Store(error) => error.into(),
    }
}

/// Counts why somebody is not let in.
pub(super) fn note(service: &Service, rejection: Rejection) {
    let reason = rejection.as_str();
    service.metrics.auth_rejected(reason);
    // The method stands in the span of the request.
    tracing::info!(reason, "a caller is not let in");
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
