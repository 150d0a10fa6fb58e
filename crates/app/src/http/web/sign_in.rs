//! Signing in and out at a page.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use secrecy::SecretString;
use serde_json::json;

use super::{Frame, Visit, field, own_address, see_other, with_cookie};
use crate::auth::browser::Visitor;
use crate::http::middleware::CountedAs;
use crate::http::request::parameters;
use crate::http::{cookie, error};
use crate::procedures;
use crate::procedures::error::{ApiError, ErrorCode};
use crate::service::Service;

/// The form.
#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    frame: Frame,
    email: &'a str,
    next: &'a str,
    fault: Option<&'a str>,
}

/// `GET /sign-in`. Who is signed in goes on at once.
pub(super) async fn page(State(service): State<Arc<Service>>, request: Request) -> Response {
    let query = parameters(request.uri().query());
    let (visit, _) = match Visit::of(service, request).await {
        Ok(visit) => visit,
        Err(answered) => return answered,
    };
    let next = own_address(field(&query, "next").unwrap_or_default());
    if visit.visitor.is_some() {
        return visit.redirect(next);
    }
    let page = SignInPage {
        frame: visit.frame(visit.words.sign_in).await,
        email: "",
        next,
        fault: None,
    };
    visit.answer(StatusCode::OK, &page)
}

/// `POST /sign-in`. It is counted as the procedure that does the same for programs.
pub(super) async fn submit(State(service): State<Arc<Service>>, request: Request) -> Response {
    let mut response = match Visit::of(service, request).await {
        Ok((visit, body)) => sign_in(&visit, body).await,
        Err(answered) => answered,
    };
    response.extensions_mut().insert(CountedAs("auth.login"));
    response
}

async fn sign_in(visit: &Visit, body: Body) -> Response {
    let fields = match visit.form(body).await {
        Ok(fields) => fields,
        Err(failed) => return visit.fault(&failed).await,
    };
    let email = field(&fields, "email").unwrap_or_default();
    let next = own_address(field(&fields, "next").unwrap_or_default());
    let password = field(&fields, "password").unwrap_or_default();
    match begin(visit, email, password).await {
        Ok(visitor) => with_cookie(see_other(next), visitor.fresh.as_ref(), &visit.origin),
        Err(failed) => {
            let message = failed.text.spoken(visit.words.speech).to_owned();
            let page = SignInPage {
                frame: visit.frame(visit.words.sign_in).await,
                email,
                next,
                fault: Some(&message),
            };
            let mut response = visit.answer(error::status(&failed), &page);
            error::decorate(&mut response, &failed, &visit.origin.request_id);
            response.headers_mut().remove(header::WWW_AUTHENTICATE);
            response
        }
    }
}

/// Begins a session; the one that the browser had ends.
async fn begin(visit: &Visit, email: &str, password: &str) -> Result<Visitor, ApiError> {
    let input = json!({ "email": email, "password": password });
    // What the procedure does not take is no account's either; which field it is helps nobody who types.
    let is_possible = procedures::find("auth.login")?.rule().check(&input).is_ok();
    if !is_possible {
        return Err(ApiError::new(ErrorCode::WrongCredentials));
    }
    let auth = &visit.service.auth;
    let visitor = auth
        .login_browser(email, &SecretString::from(password), visit.origin.address)
        .await?;
    if let Some(old) = cookie::find(&visit.headers, &visit.origin) {
        auth.logout_browser(&old).await?;
    }
    Ok(visitor)
}

/// `POST /sign-out`: the session ends, and so does the cookie.
pub(super) async fn leave(State(service): State<Arc<Service>>, request: Request) -> Response {
    let mut response = match Visit::of(service, request).await {
        Ok((visit, body)) => sign_out(&visit, body).await,
        Err(answered) => answered,
    };
    response.extensions_mut().insert(CountedAs("auth.logout"));
    response
}

async fn sign_out(visit: &Visit, body: Body) -> Response {
    if let Err(failed) = visit.form(body).await {
        return visit.fault(&failed).await;
    }
    if let Some(cookie) = cookie::find(&visit.headers, &visit.origin)
        && let Err(failed) = visit.service.auth.logout_browser(&cookie).await
    {
        return visit.fault(&failed.into()).await;
    }
    let mut response = see_other("/sign-in");
    if let Some(cleared) = cookie::clear(&visit.origin) {
        response.headers_mut().insert(header::SET_COOKIE, cleared);
    }
    response
}
