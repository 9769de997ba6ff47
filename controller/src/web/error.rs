//! What a page answers when it cannot be shown. Causes are logged here, once, and never shown.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use super::api::error::ApiError;
use super::assets;
use super::visit::see_other;
use crate::plain::is_plain;

/// Why a page cannot be shown.
#[derive(Debug)]
pub enum PageError {
    /// Nobody is signed in; after signing in, go on to `next`.
    SignedOut {
        /// The page that was asked for.
        next: Option<String>,
    },
    /// The visitor may not.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The form does not come from one of our pages, or from one of an earlier session.
    ForeignForm,
    /// An address or a field has control characters.
    NotPlain,
    /// The body is no form.
    BadForm(StatusCode),
    /// Something failed that staff cannot help.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    title: &'static str,
    message: &'static str,
    style_url: &'static str,
    icon_url: &'static str,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title, message) = match self {
            Self::SignedOut { next } => return to_sign_in(next.as_deref()),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "You may not do that",
                "Your role does not allow it. Ask an owner to do it, or to give you another role.",
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "There is no such page",
                "It may have been moved, or the address has a typing error.",
            ),
            Self::ForeignForm => (
                StatusCode::FORBIDDEN,
                "That form is out of date",
                "You signed in again since it was opened, or it was not one of ours. Nothing was changed: go back, reload the page and send it again.",
            ),
            Self::NotPlain => (
                StatusCode::BAD_REQUEST,
                "That has characters in it that nobody types",
                "Nothing was changed. A control character came along, perhaps in something that was pasted: type it by hand.",
            ),
            Self::BadForm(StatusCode::PAYLOAD_TOO_LARGE) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "That is more than a form takes",
                "Nothing was changed. A file may have 2 MiB: leave out rows and columns that are not needed, or send it in parts.",
            ),
            Self::BadForm(status) => (
                status,
                "That form could not be read",
                "Nothing was changed. Go back, reload the page and send it again.",
            ),
            Self::Failed(error) => {
                tracing::error!(%error, "a page failed");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "Something went wrong here",
                    "It is in the controller’s log. Try again; if it stays, tell whoever runs the controller.",
                )
            }
        };
        plain(status, title, message)
    }
}

fn plain(status: StatusCode, title: &'static str, message: &'static str) -> Response {
    let page = ErrorPage { title, message, style_url: assets::style_url(), icon_url: assets::icon_url() };
    // The template has nothing that can fail; if it does, the words alone have to do.
    let body = page.render().map_or_else(|_| message.into_response(), |html| Html(html).into_response());
    (status, [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], body).into_response()
}

fn to_sign_in(next: Option<&str>) -> Response {
    match next {
        Some(next) if next != "/" => see_other(&format!("/sign-in?next={}", percent_encoded(next))),
        _ => see_other("/sign-in"),
    }
}

/// Encodes all but what RFC 3986 calls unreserved, and `/`.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => {
                encoded.push('%');
                encoded.push_str(&tawi_shared::ids::hex(&[byte]).to_ascii_uppercase());
            }
        }
    }
    encoded
}

/// Refuses an address with control characters in it, before anything is looked up by it.
pub(super) async fn refuse_not_plain(request: Request, next: Next) -> Response {
    let uri = request.uri();
    if is_plain(&percent_decoded(uri.path())) && is_plain(&percent_decoded(uri.query().unwrap_or_default())) {
        return next.run(request).await;
    }
    if uri.path().starts_with("/api/") {
        return ApiError::not_plain("the address").into_response();
    }
    PageError::NotPlain.into_response()
}

/// What was percent-encoded; what is no encoding stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let Some((first, rest)) = bytes.split_first() {
        let pair = rest.split_at_checked(2).filter(|_| *first == b'%');
        let pair = pair.and_then(|(pair, rest)| {
            let is_hex = pair.iter().all(u8::is_ascii_hexdigit);
            let text = std::str::from_utf8(pair).ok().filter(|_| is_hex)?;
            Some((u8::from_str_radix(text, 16).ok()?, rest))
        });
        let (byte, rest) = pair.unwrap_or((*first, rest));
        decoded.push(byte);
        bytes = rest;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// What is answered for a path that nobody serves: JSON below `/api`, else a page.
pub(super) async fn no_such_page(uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        return ApiError::not_found("route", "see GET /api/openapi.json for what there is").into_response();
    }
    PageError::NotFound.into_response()
}

/// What is answered when a handler panicked or took too long: JSON below `/api`, else a page.
pub(super) fn broken(status: StatusCode, path: &str) -> Response {
    if path.starts_with("/api/") {
        return ApiError::broken(status).into_response();
    }
    plain(status, "Something went wrong here", "It is in the controller’s log. Try again in a moment.")
}
