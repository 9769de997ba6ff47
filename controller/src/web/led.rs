//! Visitors who were led here: a router's walled garden leads every page that a customer opens over HTTP to the controller,
//! under whatever name that page has. They come to pay, and not to sign in.
//!
//! Which name is ours is only known where the settings have `public_url`; addresses are nobody's name and count as ours. A
//! page that is there under any name stays: only the way to the sign-in form and to nowhere is changed.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::visit::see_other;

/// Where we are, as far as we know.
#[derive(Clone, Debug)]
pub(super) struct Here(Option<Arc<Known>>);

#[derive(Debug)]
struct Known {
    host: String,
    pay_url: String,
}

impl Here {
    /// By the address for browsers, without a path.
    pub(super) fn of(public_url: Option<&str>) -> Self {
        Self(public_url.and_then(|url| {
            let (_, authority) = url.split_once("://")?;
            let host = host_of(authority)?;
            Some(Arc::new(Known { host, pay_url: format!("{url}/pay") }))
        }))
    }

    /// The pay page, for who asks for a name that is not ours.
    fn pay_url_for(&self, headers: &HeaderMap) -> Option<&str> {
        let known = self.0.as_deref()?;
        let asked = host_of(headers.get(header::HOST)?.to_str().ok()?)?;
        let is_address = asked.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is_ours = asked == known.host || asked == "localhost" || is_address;
        (!is_ours).then_some(known.pay_url.as_str())
    }
}

/// A host in lower case, without its port.
fn host_of(authority: &str) -> Option<String> {
    let authority: Authority = authority.parse().ok()?;
    Some(authority.host().to_ascii_lowercase())
}

/// Shows the pay page to who was led here, where they would have been asked to sign in or told that there is nothing.
pub(super) async fn to_the_pay_page(State(here): State<Here>, request: Request, next: Next) -> Response {
    let is_page = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_page = is_page && !request.uri().path().starts_with("/api/");
    let pay_url = here.pay_url_for(request.headers()).filter(|_| is_page).map(str::to_owned);
    let response = next.run(request).await;
    match pay_url {
        Some(url) if is_nowhere(&response) => see_other(&url),
        _ => response,
    }
}

fn is_nowhere(response: &Response) -> bool {
    let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
    response.status() == StatusCode::NOT_FOUND || to.is_some_and(|to| to.starts_with("/sign-in"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_another_name_than_ours_was_led_here() {
        let check = |public_url: Option<&str>, host: &str, is_led: bool| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())]);
            let expected = is_led.then_some("https://isp.example:8443/pay");
            assert_eq!(Here::of(public_url).pay_url_for(&headers), expected, "{host}");
        };
        let ours = Some("https://isp.example:8443");
        for host in ["neverssl.com", "neverssl.com:80", "other.isp.example", "example"] {
            check(ours, host, true);
            check(None, host, false);
        }
        for host in ["isp.example", "ISP.example:8443", "10.0.0.1:8080", "[::1]:8080", "localhost", "a b", ""]
        {
            check(ours, host, false);
        }
        assert_eq!(Here::of(ours).pay_url_for(&HeaderMap::new()), None);
    }
}
