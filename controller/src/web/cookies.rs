//! Cookies: read from one header, written by one function, always `HttpOnly` and `SameSite=Lax`.
//!
//! Over HTTPS the names begin with `__Host-`, which browsers take only with `Secure`, for this host and this path, so
//! that a neighbouring host cannot plant one (RFC 6265bis, section 4.1.3.2).

use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

/// A cookie that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// The session of a member of staff.
    Session,
    /// What the sign-in form is checked against, before there is a session.
    SignInForm,
    /// What the next page says on top.
    Flash,
}

impl Cookie {
    fn name(self, is_https: bool) -> &'static str {
        match (self, is_https) {
            (Self::Session, true) => "__Host-tawi_session",
            (Self::Session, false) => "tawi_session",
            (Self::SignInForm, true) => "__Host-tawi_form",
            (Self::SignInForm, false) => "tawi_form",
            (Self::Flash, true) => "__Host-tawi_flash",
            (Self::Flash, false) => "tawi_flash",
        }
    }

    /// Its value in a request.
    #[must_use]
    pub fn read(self, headers: &HeaderMap, is_https: bool) -> Option<&str> {
        headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|header| header.to_str().ok())
            .flat_map(|text| text.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(name, value)| (name == self.name(is_https)).then_some(value))
            .filter(|value| !value.is_empty())
    }

    /// The header that sets it for so long. `value` must be made of hex or URL-safe base64; `None` for anything else.
    #[must_use]
    pub fn set(self, value: &str, lasts: Duration, is_https: bool) -> Option<HeaderValue> {
        let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let secure = if is_https { "; Secure" } else { "" };
        let name = self.name(is_https);
        let seconds = lasts.as_secs();
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
        plain.then(|| HeaderValue::from_str(&text).ok()).flatten()
    }

    /// The header that removes it.
    #[must_use]
    pub fn clear(self, is_https: bool) -> Option<HeaderValue> {
        self.set("", Duration::ZERO, is_https)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_and_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers
            .insert(COOKIE, HeaderValue::from_static("a=b; xtawi_session=no; tawi_session=yes;tawi_form=;"));
        assert_eq!(Cookie::Session.read(&headers, false), Some("yes"));
        assert_eq!(Cookie::Session.read(&headers, true), None);
        assert_eq!(Cookie::SignInForm.read(&headers, false), None);
    }

    #[test]
    fn over_https_a_cookie_insists_on_it() {
        let header = Cookie::Session.set("abc", Duration::from_secs(60), true).unwrap();
        assert_eq!(
            header.to_str().unwrap(),
            "__Host-tawi_session=abc; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure"
        );
        assert_eq!(Cookie::Session.set("a;b", Duration::ZERO, true), None);
    }
}
