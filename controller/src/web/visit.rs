//! Who looks at a page: the session behind the cookie, the form token, the note from the page before.
//!
//! [`Visit`] is an extractor, so a handler that takes one cannot be reached without signing in; [`Posted`] adds the
//! fields of a form whose token is right, so a handler that takes one cannot be reached by another site's form.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use askama::Template;
use axum::extract::{Form, FromRequest, FromRequestParts, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tawi_shared::UnixMillis;

use super::cookies::Cookie;
use super::error::PageError;
use super::form::{Fields, TOKEN_FIELD};
use super::{Web, assets, display, multipart};
use crate::audit::{self, Action, Actor};
use crate::database::Transaction;
use crate::live::Live;
use crate::plain::is_plain;
use crate::staff::{self, Member, Permission, SecretToken};

/// How long a note waits for the next page: as long as a slow phone needs to load one.
const NOTE_LASTS: Duration = Duration::from_secs(60);
/// What the script sends when it reads a page again to show what changed: a note is not for it, but for the page that
/// a person opens next.
const REFRESH: &str = "tawi-refresh";
/// The longest note. Browsers refuse cookies of more than 4 KB altogether.
const NOTE_CHARACTERS: usize = 400;

/// What the next page says on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether it is good news.
    pub is_good: bool,
    /// One or two sentences.
    pub text: String,
}

impl Note {
    /// Something was done.
    #[must_use]
    pub fn good(text: impl Into<String>) -> Self {
        Self { is_good: true, text: text.into() }
    }

    /// Something was not done.
    #[must_use]
    pub fn bad(text: impl Into<String>) -> Self {
        Self { is_good: false, text: text.into() }
    }

    fn to_cookie(&self) -> String {
        let sign = if self.is_good { '+' } else { '-' };
        let text: String = std::iter::once(sign).chain(self.text.chars().take(NOTE_CHARACTERS)).collect();
        URL_SAFE_NO_PAD.encode(text)
    }

    fn from_cookie(value: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(value).ok()?).ok()?;
        let (sign, text) = text.split_at_checked(1)?;
        Some(Self { is_good: sign == "+", text: text.chars().take(NOTE_CHARACTERS).collect() })
    }
}

/// Which part of the navigation a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Overview.
    Overview,
    /// Customers.
    Customers,
    /// Payments.
    Payments,
    /// Plans and connection types.
    Plans,
    /// Sites, and upgrades of their agents.
    Sites,
}

/// What every page has around its content.
#[derive(Clone)]
pub struct Frame {
    /// What stands in the tab.
    pub title: String,
    /// Which part of the navigation is marked.
    pub section: Section,
    /// Who is signed in.
    pub login: String,
    /// As what.
    pub role: &'static str,
    /// What every form carries.
    pub form_token: String,
    /// What the page before left to say.
    pub note: Option<Note>,
    /// What Nairobi's clock showed when the page was made.
    pub clock: String,
    /// Where the stylesheet is.
    pub style_url: &'static str,
    /// Where the script is.
    pub script_url: &'static str,
    /// Where the icon is.
    pub icon_url: &'static str,
}

impl fmt::Debug for Frame {
    /// Without the form token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("title", &self.title)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

impl Frame {
    /// Whether this part of the navigation is marked; the name is the lower-case word.
    #[must_use]
    pub fn is_in(&self, section: &str) -> bool {
        section
            == match self.section {
                Section::Overview => "overview",
                Section::Customers => "customers",
                Section::Payments => "payments",
                Section::Plans => "plans",
                Section::Sites => "sites",
            }
    }
}

/// A signed-in look at a page.
#[derive(Clone)]
pub struct Visit {
    /// Who.
    pub member: Member,
    /// When.
    pub now: UnixMillis,
    form_token: String,
    note: Option<Note>,
    is_https: bool,
}

impl fmt::Debug for Visit {
    /// Without the form token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit").field("member", &self.member).field("now", &self.now).finish_non_exhaustive()
    }
}

impl Visit {
    /// What stands around the content.
    #[must_use]
    pub fn frame(&self, title: impl Into<String>, section: Section) -> Frame {
        Frame {
            title: title.into(),
            section,
            login: self.member.login.to_string(),
            role: self.member.role.as_str(),
            form_token: self.form_token.clone(),
            note: self.note.clone(),
            clock: display::hour_minute(self.now),
            style_url: assets::style_url(),
            script_url: assets::script_url(),
            icon_url: assets::icon_url(),
        }
    }

    /// Whether the visitor may.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.member.role.may(permission)
    }

    /// Refuses a visitor who may not.
    ///
    /// # Errors
    /// [`PageError::Forbidden`].
    pub fn require(&self, permission: Permission) -> Result<(), PageError> {
        if self.may(permission) { Ok(()) } else { Err(PageError::Forbidden) }
    }

    /// The visitor, for the audit log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::Staff(self.member.login.clone())
    }

    /// Commits what the visitor did with its row in the audit log, and then tells whoever waits for it. On a task of its own:
    /// a browser that hangs up ends its handler wherever that stands, and a bell between the commit and that end would never
    /// ring.
    ///
    /// # Errors
    /// When the database refuses; nothing was done then.
    pub async fn commit(
        &self,
        web: &Web,
        mut transaction: Transaction,
        act: (Action, &str, &str),
        tell: impl FnOnce(&Live) + Send + 'static,
    ) -> Result<(), PageError> {
        audit::record(&mut transaction, &self.actor(), act, &web.controller.ids, self.now).await?;
        let live = web.controller.live.clone();
        let told = tokio::spawn(async move {
            transaction.commit().await?;
            tell(&live);
            Ok::<_, sqlx::Error>(())
        });
        Ok(told.await??)
    }

    /// The page.
    ///
    /// # Errors
    /// When the template fails.
    pub fn show(&self, template: &impl Template) -> Result<Response, PageError> {
        self.show_as(StatusCode::OK, template)
    }

    /// The page with another status: 422 for a form with complaints.
    ///
    /// # Errors
    /// When the template fails.
    pub fn show_as(&self, status: StatusCode, template: &impl Template) -> Result<Response, PageError> {
        let mut response = (status, Html(template.render()?)).into_response();
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.note.is_some()
            && let Some(cookie) = Cookie::Flash.clear(self.is_https)
        {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        Ok(response)
    }

    /// Goes on to another page, with a note for it. 303, so that a reload does not post again.
    #[must_use]
    pub fn go(&self, to: &str, note: &Note) -> Response {
        let mut response = see_other(to);
        if let Some(cookie) = Cookie::Flash.set(&note.to_cookie(), NOTE_LASTS, self.is_https) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }
}

/// 303 to a path of ours.
#[must_use]
pub fn see_other(to: &str) -> Response {
    let location = HeaderValue::from_str(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

impl FromRequestParts<Web> for Visit {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, PageError> {
        let now = web.controller.clock.now();
        let signed_out = || {
            let is_look = parts.method == Method::GET;
            PageError::SignedOut { next: is_look.then(|| parts.uri.to_string()) }
        };
        let Some(token) = Cookie::Session.read(&parts.headers, web.is_https) else {
            return Err(signed_out());
        };
        let mut reader = web.controller.database.read().await?;
        let session = staff::session(&mut reader, &SecretToken::received(token), now).await?;
        let Some(session) = session else { return Err(signed_out()) };
        Ok(Self {
            member: session.member,
            now,
            form_token: session.form_token,
            note: (!parts.headers.contains_key(REFRESH))
                .then(|| Cookie::Flash.read(&parts.headers, web.is_https).and_then(Note::from_cookie))
                .flatten(),
            is_https: web.is_https,
        })
    }
}

/// A form posted by the visitor, from one of our own pages.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Who posted.
    pub visit: Visit,
    /// What.
    pub fields: Fields,
}

impl FromRequest<Web> for Posted {
    type Rejection = PageError;

    async fn from_request(request: Request, web: &Web) -> Result<Self, PageError> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, web).await?;
        let fields = fields(Request::from_parts(parts, body), web).await?;
        if !is_same_secret(fields.value(TOKEN_FIELD), &visit.form_token) {
            return Err(PageError::ForeignForm);
        }
        Ok(Self { visit, fields })
    }
}

/// The largest form with a file: a table of thousands of lines, and a hundred rows with eight fields each.
pub const FILE_FORM_BYTES: usize = 2 * 1024 * 1024;

/// A form that may carry one file, posted by the visitor from one of our own pages.
#[derive(Debug)]
pub struct PostedFile {
    /// Who posted.
    pub visit: Visit,
    /// What was typed.
    pub fields: Fields,
    /// The file in the field `file`, if one was chosen.
    pub file: Option<multipart::File>,
}

impl FromRequest<Web> for PostedFile {
    type Rejection = PageError;

    /// Whoever is not signed in is refused before the body is read, and so is a body that says that it is too large; one
    /// that does not say so is cut off at the limit of its route.
    async fn from_request(request: Request, web: &Web) -> Result<Self, PageError> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, web).await?;
        let said =
            parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if said.is_some_and(|bytes| bytes > FILE_FORM_BYTES) {
            return Err(PageError::BadForm(StatusCode::PAYLOAD_TOO_LARGE));
        }
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_multipart = multipart::is_multipart(kind);
        let request = Request::from_parts(parts, body);
        let (fields, file) = if is_multipart {
            let mut form = multipart::read(request).await.map_err(PageError::BadForm)?;
            (plain(form.values)?, form.files.remove("file"))
        } else {
            (fields(request, web).await?, None)
        };
        if !is_same_secret(fields.value(TOKEN_FIELD), &visit.form_token) {
            return Err(PageError::ForeignForm);
        }
        Ok(Self { visit, fields, file })
    }
}

/// Reads the fields of a form, without looking at its token.
///
/// # Errors
/// [`PageError::BadForm`].
pub async fn fields(request: Request, web: &Web) -> Result<Fields, PageError> {
    let Form(values) = Form::<BTreeMap<String, String>>::from_request(request, web)
        .await
        .map_err(|refusal| PageError::BadForm(refusal.status()))?;
    plain(values)
}

/// The fields of a form as a person types them.
fn plain(values: BTreeMap<String, String>) -> Result<Fields, PageError> {
    if values.iter().all(|(name, value)| is_plain(name) && is_plain(value)) {
        Ok(Fields::new(values))
    } else {
        Err(PageError::NotPlain)
    }
}

/// Compares without telling by the time taken how much is right.
#[must_use]
pub fn is_same_secret(left: &str, right: &str) -> bool {
    let difference = left.bytes().zip(right.bytes()).fold(0, |sum, (left, right)| sum | (left ^ right));
    left.len() == right.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_survives_the_cookie() {
        for note in [Note::good("Bakery’s line is held; \"for now\""), Note::bad("")] {
            assert_eq!(Note::from_cookie(&note.to_cookie()), Some(note));
        }
        assert_eq!(Note::from_cookie("%%%"), None);
        let long = Note::good("é".repeat(5_000));
        assert!(long.to_cookie().len() < 2_000);
    }

    #[test]
    fn a_visit_and_its_session_are_printed_without_the_form_token() {
        let member = Member {
            id: crate::ids::StaffId::random(&crate::ids::IdSource::seeded(1)),
            login: crate::staff::Login::parse("cashier").unwrap(),
            role: crate::staff::Role::Operator,
        };
        let form_token = "0123456789abcdef".to_owned();
        let session = staff::Session { member: member.clone(), form_token: form_token.clone() };
        let visit = Visit { member, now: UnixMillis(0), form_token, note: None, is_https: true };
        let frame = visit.frame("Sites", Section::Sites);
        for printed in [format!("{session:?}"), format!("{visit:?}"), format!("{frame:?}")] {
            assert!(printed.contains("cashier") && !printed.contains("0123456789"), "{printed}");
        }
    }

    #[test]
    fn secrets_are_the_same_only_when_they_are() {
        assert!(is_same_secret("abc", "abc"));
        assert!(!is_same_secret("abc", "abd"));
        assert!(!is_same_secret("abc", "ab"));
        assert!(!is_same_secret("", "a"));
    }
}
