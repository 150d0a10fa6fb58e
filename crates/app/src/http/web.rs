//! Pages for people: signing in, and the board of jobs.
//!
//! They call the procedures of the registry, as the other faces do, and work without scripts; where scripts run, htmx
//! keeps the board fresh. Who looks at them is told by the cookie of their session. What changes something is a form of
//! ours: that the form was on one of our pages is checked before anything else (`same_origin.rs`).

mod assets;
mod board;
mod sign_in;
mod span;
mod words;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::words::Words;
use super::request::{Knock, Origin, media_type, parameters};
use super::{auth, cookie, error, same_origin};
use crate::auth::browser::{FreshCookie, Visitor};
use crate::auth::rejection::{AuthError, Rejection};
use crate::procedures::error::{ApiError, ErrorCode};
use crate::procedures::words::Text;
use crate::procedures::{self, Caller};
use crate::service::Service;

/// Own files only, nothing inline, no frames, forms to nowhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The longest form, in bytes: an address, a password and where to go on.
const FORM_BYTES: usize = 16 << 10;
/// Where people go who are signed in.
const BOARD: &str = "/board";
/// Set by htmx on its requests.
const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
/// Makes htmx load another page.
const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");

/// The routes of this folder.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/", get(home))
        .route("/sign-in", get(sign_in::page).post(sign_in::submit))
        .route("/sign-out", post(sign_in::leave))
        .route("/board", get(board::list))
        .route("/board/jobs/{id}", get(board::job))
        .route("/board/jobs/{id}/{action}", post(board::act))
        .route("/assets/{name}", get(assets::file))
}

async fn home() -> Response {
    see_other(BOARD)
}

/// Somebody who looks at a page or sends a form.
struct Visit {
    service: Arc<Service>,
    origin: Origin,
    headers: HeaderMap,
    method: Method,
    address: String,
    words: &'static Words,
    visitor: Option<Visitor>,
}

/// What every page has around its content.
struct Frame {
    words: &'static Words,
    files: &'static assets::Addresses,
    title: String,
    person: Option<Person>,
}

/// Who is signed in, as `auth.me` tells it.
#[derive(Debug, Deserialize)]
struct Person {
    email: String,
    name: Option<String>,
    role: String,
    organization: PersonOrganization,
}

#[derive(Debug, Deserialize)]
struct PersonOrganization {
    name: String,
}

impl Person {
    fn called(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.email)
    }
}

/// Something went wrong.
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: Frame,
    message: &'a str,
    request_id: &'a str,
}

impl Visit {
    /// Finds out who it is. What is thrown back is the answer.
    async fn of(service: Arc<Service>, request: Request) -> Result<(Self, Body), Response> {
        let (parts, body) = request.into_parts();
        let origin = Origin::of(&parts.extensions);
        let mut visit = Self {
            service,
            words: Words::of(origin.speech),
            origin,
            address: parts
                .uri
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            headers: parts.headers,
            method: parts.method,
            visitor: None,
        };
        let Some(cookie) = cookie::find(&visit.headers, &visit.origin) else {
            return Ok((visit, body));
        };
        match visit.service.auth.visit(&cookie).await {
            Ok(visitor) => {
                auth::follow(&visit.service, &visitor.actor).await;
                visit.visitor = Some(visitor);
            }
            Err(AuthError::Rejected(rejection)) => auth::note(&visit.service, rejection),
            Err(failed) => {
                let failed = auth::refused(&visit.service, failed);
                return Err(visit.fault(&failed).await);
            }
        }
        Ok((visit, body))
    }

    /// The fields of a form that one of our own pages has sent.
    async fn form(&self, body: Body) -> Result<Vec<(String, String)>, ApiError> {
        let public_url = self.service.config.settings.server.public_url.as_deref();
        let is_ours = same_origin::is_shown(&self.method, &self.headers, &self.origin, public_url);
        if !is_ours || media_type(&self.headers) != "application/x-www-form-urlencoded" {
            auth::note(&self.service, Rejection::CrossSite);
            return Err(ApiError::new(ErrorCode::Forbidden).says(Text::new(
                "This was not sent by a page of this site. Open the page again and repeat it there.",
                "Это отправлено не страницей этого сайта. Откройте страницу заново и повторите действие на ней.",
            )));
        }
        let bytes = to_bytes(body, FORM_BYTES)
            .await
            .map_err(|_| ApiError::new(ErrorCode::BodyTooLarge))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| ApiError::new(ErrorCode::Malformed))?;
        Ok(parameters(Some(text)))
    }

    /// Calls a procedure on behalf of whoever looks.
    async fn call<T: DeserializeOwned>(&self, name: &str, input: Value) -> Result<T, ApiError> {
        let caller = self.visitor.as_ref().map(|visitor| Caller {
            actor: visitor.actor,
            scopes: None,
        });
        let knock = Knock::of(
            Arc::clone(&self.service),
            Origin {
                speech: self.words.speech,
                ..self.origin.clone()
            },
            self.headers.clone(),
            Ok(caller),
        );
        let procedure = procedures::find(name)?;
        let output = procedure.answer(knock.call(procedure)?, input).await?;
        serde_json::from_value(output).map_err(|error| ApiError::internal(&error))
    }

    /// Who it is, for the head of the page. Where nobody can say, the page is shown without.
    async fn person(&self) -> Option<Person> {
        self.visitor.as_ref()?;
        self.call("auth.me", json!({})).await.ok()
    }

    /// What is around a page's content.
    async fn frame(&self, title: impl Into<String>) -> Frame {
        Frame {
            words: self.words,
            files: assets::addresses(),
            title: title.into(),
            person: self.person().await,
        }
    }

    /// A page as an answer, with the new cookie if there is one.
    fn answer(&self, status: StatusCode, page: &impl Template) -> Response {
        let text = match page.render() {
            Ok(text) => text,
            Err(failed) => {
                let failed = ApiError::internal(&failed);
                return error::response(&failed, self.words.speech, &self.origin.request_id);
            }
        };
        let mut response = (status, text).into_response();
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_LANGUAGE, self.words.language),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::CACHE_CONTROL, "no-store"),
            (header::VARY, "accept-language, cookie, hx-request"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        self.keep_signed_in(response)
    }

    /// Another page.
    fn redirect(&self, address: &str) -> Response {
        self.keep_signed_in(see_other(address))
    }

    /// Adds the new cookie if there is one.
    fn keep_signed_in(&self, response: Response) -> Response {
        let fresh = self.visitor.as_ref().and_then(|visitor| visitor.fresh.as_ref());
        with_cookie(response, fresh, &self.origin)
    }

    /// The page of an error.
    async fn fault(&self, failed: &ApiError) -> Response {
        let page = ErrorPage {
            frame: self.frame(self.words.fault_title).await,
            message: failed.text.spoken(self.words.speech),
            request_id: &self.origin.request_id,
        };
        let mut response = self.answer(error::status(failed), &page);
        error::decorate(&mut response, failed, &self.origin.request_id);
        // It is for programs; a browser would ask for a password of its own.
        response.headers_mut().remove(header::WWW_AUTHENTICATE);
        response
    }

    /// Sends those who are not signed in to sign in and come back. Forms are not repeated then: their answers begin
    /// at the board.
    fn to_sign_in(&self) -> Response {
        let next = if self.method == Method::GET {
            own_address(&self.address)
        } else {
            BOARD
        };
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let address = format!("/sign-in?next={next}");
        if !self.headers.contains_key(HX_REQUEST) {
            return see_other(&address);
        }
        let mut response = StatusCode::UNAUTHORIZED.into_response();
        if let Ok(address) = HeaderValue::try_from(address) {
            response.headers_mut().insert(HX_REDIRECT, address);
        }
        response
    }
}

/// An address of the board; whatever else was asked for, where to go on is never another site.
fn own_address(wanted: &str) -> &str {
    let rest = wanted.strip_prefix(BOARD);
    let is_own = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    if is_own { wanted } else { BOARD }
}

fn see_other(address: &str) -> Response {
    let location = HeaderValue::try_from(address).unwrap_or(HeaderValue::from_static(BOARD));
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

fn with_cookie(mut response: Response, fresh: Option<&FreshCookie>, origin: &Origin) -> Response {
    if let Some(value) = fresh.and_then(|fresh| cookie::set(fresh, origin)) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

/// The value of a field, if it is there and not empty.
fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(found, value)| found == name && !value.is_empty())
        .map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for own in ["/board", "/board?state=dead", "/board/jobs/1"] {
            assert_eq!(own_address(own), own);
        }
        for foreign in [
            "",
            "/",
            "//evil.example",
            "https://evil.example",
            "/boardevil",
            "/\\evil.example",
            "/sign-in",
        ] {
            assert_eq!(own_address(foreign), BOARD, "{foreign}");
        }
        assert_eq!(see_other("/board\r\nx: y").headers()[header::LOCATION], BOARD);
    }
}
