//! Signing in and out.
//!
//! The sign-in form has no session to take its token from, so it carries one that a cookie repeats: another site can
//! make a browser post the form, but can neither read nor set that cookie. Tabs of one browser share the token, so
//! that the form of the first works after the second was opened.

use std::net::SocketAddr;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::{Attempt, FORM_TOKEN_BYTES, SecretToken, SignInOutcome, close_session, has_members};
use crate::audit::Action;
use crate::web::cookies::Cookie;
use crate::web::error::PageError;
use crate::web::form::TOKEN_FIELD;
use crate::web::visit::{Posted, fields, is_same_secret, see_other};
use crate::web::{Web, assets, display};

/// How long a sign-in form may lie open.
const FORM_LASTS: Duration = Duration::from_secs(3_600);
/// The longest path that a sign-in goes on to.
const NEXT_BYTES: usize = 300;

#[derive(Template)]
#[template(path = "staff/sign_in.html")]
struct SignInPage<'a> {
    form_token: &'a str,
    login: &'a str,
    next: &'a str,
    complaint: &'a str,
    /// Nobody can sign in yet: say how to add the first.
    is_first: bool,
    style_url: &'static str,
    icon_url: &'static str,
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    next: String,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new().route("/sign-in", get(form).post(sign_in)).route("/sign-out", post(sign_out))
}

async fn form(
    State(web): State<Web>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    show(&web, StatusCode::OK, &headers, ("", &asked.next), "").await
}

/// The token that this browser has, if it is one that we could have made; else a new one.
fn form_token(web: &Web, headers: &HeaderMap) -> String {
    let known = Cookie::SignInForm.read(headers, web.is_https).unwrap_or_default();
    let is_ours = known.len() == FORM_TOKEN_BYTES.saturating_mul(2)
        && known.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_ours { known.to_owned() } else { web.controller.ids.hex(FORM_TOKEN_BYTES) }
}

async fn show(
    web: &Web,
    status: StatusCode,
    headers: &HeaderMap,
    (login, next): (&str, &str),
    complaint: &str,
) -> Result<Response, PageError> {
    let form_token = form_token(web, headers);
    let is_first = !has_members(&mut *web.controller.database.read().await?).await?;
    let page = SignInPage {
        form_token: &form_token,
        login,
        next: safe_next(next),
        complaint,
        is_first,
        style_url: assets::style_url(),
        icon_url: assets::icon_url(),
    };
    let mut response = (status, Html(page.render()?)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = Cookie::SignInForm.set(&form_token, FORM_LASTS, web.is_https) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn sign_in(
    State(web): State<Web>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, PageError> {
    let fields = fields(request, &web).await?;
    let expected = Cookie::SignInForm.read(&headers, web.is_https).unwrap_or_default();
    let (login, next) = (fields.value("login"), fields.value("next"));
    if expected.is_empty() || !is_same_secret(fields.value(TOKEN_FIELD), expected) {
        let complaint = "The form was too old, or this browser takes no cookies. Try once more.";
        return show(&web, StatusCode::FORBIDDEN, &headers, (login, next), complaint).await;
    }
    let attempt = Attempt { login, password: fields.exact("password"), address: peer.ip() };
    match web.sign_in.attempt(attempt).await? {
        SignInOutcome::SignedIn(_, token) => Ok(welcome(&web, &token, next)),
        SignInOutcome::Refused => {
            let complaint = "That login and password do not belong together.";
            show(&web, StatusCode::UNPROCESSABLE_ENTITY, &headers, (login, next), complaint).await
        }
        SignInOutcome::Wait(wait) => {
            let complaint = format!("Too many wrong passwords. Try again in {}.", display::span(wait));
            let mut response =
                show(&web, StatusCode::TOO_MANY_REQUESTS, &headers, (login, next), &complaint).await?;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
            Ok(response)
        }
    }
}

fn welcome(web: &Web, token: &SecretToken, next: &str) -> Response {
    let mut response = see_other(safe_next(next));
    let session = Cookie::Session.set(token.reveal(), web.sign_in.session_lasts(), web.is_https);
    for cookie in [session, Cookie::SignInForm.clear(web.is_https)].into_iter().flatten() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

async fn sign_out(State(web): State<Web>, headers: HeaderMap, posted: Posted) -> Result<Response, PageError> {
    let controller = &web.controller;
    let token = SecretToken::received(Cookie::Session.read(&headers, web.is_https).unwrap_or_default());
    let mut transaction = controller.database.write().await?;
    close_session(&mut transaction, &token).await?;
    let visit = &posted.visit;
    let act = (Action::SignedOut, visit.member.id.as_str(), "");
    visit.commit(&web, transaction, act, |_| {}).await?;
    let mut response = see_other("/sign-in");
    if let Some(cookie) = Cookie::Session.clear(web.is_https) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// A path of ours, or the first page: a sign-in must not be a way to send somebody elsewhere.
fn safe_next(next: &str) -> &str {
    let is_ours = next.starts_with('/')
        && !next.starts_with("//")
        && next.len() <= NEXT_BYTES
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_ours { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_goes_on_to_our_own_pages_only() {
        for ours in ["/", "/customers?query=a%20b&page=2", "/sites/nyeri-01"] {
            assert_eq!(safe_next(ours), ours);
        }
        for elsewhere in ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb", "x"] {
            assert_eq!(safe_next(elsewhere), "/", "{elsewhere:?}");
        }
    }
}
