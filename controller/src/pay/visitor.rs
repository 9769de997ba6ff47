//! Who looks at the pay page: a language and an address, and what stands around every page of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use askama::Template;
use axum::extract::{ConnectInfo, FromRequestParts, Query};
use axum::http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use tawi_shared::UnixMillis;

use super::words::{Language, Text};
use crate::crowd::network_of;
use crate::web::error::PageError;
use crate::web::{Web, assets};

/// Somebody.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    pub(super) language: Language,
    pub(super) address: IpAddr,
    pub(super) now: UnixMillis,
    /// What stands after the question mark.
    pub(super) query: BTreeMap<String, String>,
    /// Whether the browser says that another site sent it.
    pub(super) is_sent_by_another_site: bool,
}

/// What stands around the content.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) language: Language,
    /// The same page in the other language.
    pub(super) other_url: String,
    /// The seconds after which the page is read again.
    pub(super) refresh: Option<u32>,
    pub(super) style_url: &'static str,
    pub(super) icon_url: &'static str,
}

impl Frame {
    pub(super) fn of(language: Language, path: &str, line: Option<usize>) -> Self {
        Self {
            language,
            other_url: in_language(path, language.other(), line),
            refresh: None,
            style_url: assets::pay_style_url(),
            icon_url: assets::icon_url(),
        }
    }

    /// A text in the visitor's language.
    pub(super) fn say(&self, text: Text) -> &'static str {
        self.language.say(text)
    }
}

#[derive(Template)]
#[template(path = "pay/message.html")]
pub(super) struct MessagePage {
    pub(super) frame: Frame,
    pub(super) heading: &'static str,
    pub(super) message: String,
    pub(super) back_url: String,
}

impl Visitor {
    /// The network that counts as one address.
    pub(super) fn network(&self) -> IpAddr {
        network_of(self.address)
    }

    /// What stands after the question mark under a name; empty for nothing.
    pub(super) fn asked(&self, name: &str) -> &str {
        self.query.get(name).map_or("", |value| value.trim())
    }

    /// A path in the visitor's language.
    pub(super) fn url(&self, path: &str, line: Option<usize>) -> String {
        in_language(path, self.language, line)
    }

    /// What stands around a page with this path.
    pub(super) fn frame(&self, path: &str, line: Option<usize>) -> Frame {
        Frame::of(self.language, path, line)
    }

    /// One sentence, and the way back.
    ///
    /// # Errors
    /// When the template fails.
    pub(super) fn message(
        &self,
        status: StatusCode,
        (heading, message): (Text, String),
        back: &str,
    ) -> Result<Response, PageError> {
        let heading = self.language.say(heading);
        let back_url = self.url(back, None);
        show(status, &MessagePage { frame: self.frame(back, None), heading, message, back_url })
    }

    /// Too much was asked: when to come again, or what to do until then.
    ///
    /// # Errors
    /// When the template fails.
    pub(super) fn too_many(
        &self,
        wait: Duration,
        back: &str,
        meanwhile: Option<Text>,
    ) -> Result<Response, PageError> {
        let mut message = self.language.fill(Text::TooManyUntil, &[("wait", &self.language.length(wait))]);
        if let Some(meanwhile) = meanwhile {
            message.push(' ');
            message.push_str(self.language.say(meanwhile));
        }
        let mut response = self.message(StatusCode::TOO_MANY_REQUESTS, (Text::TooMany, message), back)?;
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        Ok(response)
    }
}

/// A page that no cache keeps.
///
/// # Errors
/// When the template fails.
pub(super) fn show(status: StatusCode, page: &impl Template) -> Result<Response, PageError> {
    let no_store = [(CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((status, no_store, Html(page.render()?)).into_response())
}

pub(super) fn in_language(path: &str, language: Language, line: Option<usize>) -> String {
    let line = line.map(|number| format!("&line={number}")).unwrap_or_default();
    format!("{path}?lang={}{line}", language.tag())
}

/// What stands after the question mark, and in what language to answer.
pub(super) fn query_and_language(uri: &Uri, headers: &HeaderMap) -> (BTreeMap<String, String>, Language) {
    let query = Query::<BTreeMap<String, String>>::try_from_uri(uri);
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let language = Language::chosen(query.get("lang").map_or("", String::as_str), accepted);
    (query, language)
}

impl FromRequestParts<Web> for Visitor {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, PageError> {
        let (query, language) = query_and_language(&parts.uri, &parts.headers);
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        // Browsers say where a request comes from since 2020 (Fetch Metadata); those that do not are not asked.
        let site = text("sec-fetch-site");
        let is_sent_by_another_site = site.is_some_and(|site| !matches!(site, "same-origin" | "none"));
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self {
            language,
            address: peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip()),
            now: web.controller.clock.now(),
            query,
            is_sent_by_another_site,
        })
    }
}
