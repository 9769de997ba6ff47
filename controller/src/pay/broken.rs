//! What a customer reads when the pay page fails: in their language, and above all that they are not to pay again. Where
//! they were is remembered before the page is tried; why it failed is for the log. What staff read is `web::error`.

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::visitor::{Frame, MessagePage, in_language, query_and_language, show};
use super::words::{Language, Text};

/// Where a customer is.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    language: Language,
    path: String,
    line: Option<usize>,
    /// Whether a request may be on a phone: a form was sent, or one is followed.
    is_asking: bool,
}

impl Customer {
    /// Who asks for a pay page; `None` for anybody else.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let path = request.uri().path();
        let below = path.strip_prefix("/pay").filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        let (query, language) = query_and_language(request.uri(), request.headers());
        let is_claim = below.ends_with("/receipt");
        let is_followed = below.split('/').filter(|part| !part.is_empty()).count() > 1;
        Some(Self {
            language,
            path: path.to_owned(),
            line: query.get("line").and_then(|line| line.parse().ok()),
            is_asking: !is_claim && (is_followed || request.method() == Method::POST),
        })
    }

    /// The page that says so.
    pub(crate) fn page(&self, status: StatusCode) -> Response {
        let language = self.language;
        let text = if self.is_asking { Text::MayBeOnPhone } else { Text::NothingIsLost };
        let page = MessagePage {
            frame: Frame::of(language, &self.path, self.line),
            heading: language.say(Text::Broken),
            message: language.say(text).to_owned(),
            back_url: in_language(&self.path, language, self.line),
        };
        // The template has nothing that can fail; if it does, the words alone have to do.
        show(status, &page).unwrap_or_else(|_| (status, language.say(text)).into_response())
    }
}
