//! What lies around every route: the visitor's real address, security headers, a deadline, and a net for panics.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use tokio::task::JoinSet;

use super::door::Peer;
use super::error::broken;
use super::proxies::Proxies;
use crate::pay::Customer;

/// How long a request may take until its answer begins: longer than pages and programs wait for Daraja (20 and 25 s),
/// shorter than a browser's patience. Live streams have begun by then and go on.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// Scripts, styles and connections are ours alone; nothing inline, nothing framed, no forms to elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];
/// Half a year: long enough to count, short enough to leave HTTPS again.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=15552000");

pub(super) fn around(routes: Router, is_https: bool, proxies: Proxies) -> Router {
    routes
        .layer(middleware::from_fn(within_deadline))
        .layer(middleware::from_fn_with_state(proxies, with_address))
        .layer(middleware::from_fn_with_state(is_https, with_headers))
}

/// Runs the request on a task of its own, so that a panic ends only it; and no longer than the deadline.
async fn within_deadline(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let route = route_of(&request);
    let customer = Customer::of(&request);
    // Dropped with this future when the client goes away, and the request's task with it.
    let mut tasks = JoinSet::new();
    tasks.spawn(next.run(request));
    let response = match tokio::time::timeout(REQUEST_DEADLINE, tasks.join_next()).await {
        Ok(Some(Ok(response))) => response,
        Ok(Some(Err(error))) => {
            tracing::error!(http.route = route.as_str(), %error, "a request panicked");
            broken(StatusCode::INTERNAL_SERVER_ERROR, &path)
        }
        Ok(None) => broken(StatusCode::INTERNAL_SERVER_ERROR, &path),
        Err(_) => {
            tracing::error!(http.route = route.as_str(), "a request took longer than {REQUEST_DEADLINE:?}");
            broken(StatusCode::SERVICE_UNAVAILABLE, &path)
        }
    };
    match customer {
        // Whoever pays is not told what staff are told.
        Some(customer) if response.status().is_server_error() => customer.page(response.status()),
        _ => response,
    }
}

/// What is logged of a path: the route, such as `/callbacks/stk/{token}`. The path itself holds tokens and ids.
fn route_of(request: &Request) -> String {
    request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "no route".to_owned(), |route| route.as_str().to_owned())
}

/// Puts the visitor's address where handlers look for it, behind a reverse proxy too.
async fn with_address(State(proxies): State<Proxies>, mut request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(Peer(peer))) = request.extensions().get::<ConnectInfo<Peer>>().copied() {
        let address = visitor(peer, request.headers(), &proxies);
        request.extensions_mut().insert(ConnectInfo(address));
    }
    next.run(request).await
}

/// The address behind the connection. Only a proxy that is trusted is believed when it names another, and of what it
/// names only the last: the others were written by whoever came to it.
fn visitor(peer: SocketAddr, headers: &HeaderMap, proxies: &Proxies) -> SocketAddr {
    if !proxies.is_one(peer.ip()) {
        return peer;
    }
    let named = headers
        .get_all("x-forwarded-for")
        .iter()
        .next_back()
        .and_then(|value| value.to_str().ok())
        .and_then(|list| list.rsplit(',').next())
        .and_then(|text| text.trim().parse::<IpAddr>().ok());
    named.map_or(peer, |address| SocketAddr::new(address, 0))
}

async fn with_headers(State(is_https): State<bool>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;
    use crate::testing::Log;

    async fn ask(routes: Router, path: &str) -> (StatusCode, String) {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = around(routes, false, Proxies::default()).oneshot(request).await.unwrap();
        assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY));
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_panic_ends_one_request_and_tells_nothing() {
        async fn broken_handler() -> &'static str {
            panic!("a secret thing")
        }
        let routes =
            Router::new().route("/page", get(broken_handler)).route("/api/thing", get(broken_handler));
        let (status, page) = ask(routes.clone(), "/page").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(page.contains("Something went wrong here") && !page.contains("secret"), "{page}");
        let (status, problem) = ask(routes, "/api/thing").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(problem.starts_with("{\"error\":{\"code\":\"failed\""), "{problem}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_answered_all_the_same() {
        let stuck = get(|| async { std::future::pending::<&'static str>().await });
        let before = tokio::time::Instant::now();
        let (status, _) = ask(Router::new().route("/page", stuck), "/page").await;
        assert_eq!((status, before.elapsed()), (StatusCode::SERVICE_UNAVAILABLE, REQUEST_DEADLINE));
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_names_the_route_and_never_the_token_in_the_path() {
        async fn broken_handler() -> &'static str {
            panic!("broken")
        }
        let log = Log::default();
        let _listening = log.listen();
        let stuck = get(|| async { std::future::pending::<&'static str>().await });
        let routes =
            Router::new().route("/callbacks/stk/{token}", get(broken_handler)).route("/slow/{token}", stuck);
        ask(routes.clone(), "/callbacks/stk/0123456789abcdef").await;
        ask(routes, "/slow/0123456789abcdef").await;
        let log = log.text();
        assert!(log.contains("/callbacks/stk/{token}") && log.contains("/slow/{token}"), "{log}");
        assert!(!log.contains("0123456789abcdef"), "{log}");
    }

    #[test]
    fn only_a_proxy_that_is_trusted_may_name_another_address() {
        let proxies = Proxies::new(vec!["10.0.0.7".parse().unwrap()]);
        let check = |peer: &str, forwarded: &[&'static str], expected: &str| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", HeaderValue::from_static(value));
            }
            let visitor = visitor(peer.parse().unwrap(), &headers, &proxies);
            assert_eq!(visitor.ip().to_string(), expected, "{forwarded:?}");
        };
        check("41.90.1.1:5000", &[], "41.90.1.1");
        check("41.90.1.1:5000", &["8.8.8.8"], "41.90.1.1");
        check("127.0.0.1:5000", &[], "127.0.0.1");
        check("127.0.0.1:5000", &["41.90.1.1"], "41.90.1.1");
        check("127.0.0.1:5000", &["6.6.6.6, 41.90.1.1"], "41.90.1.1");
        check("127.0.0.1:5000", &["6.6.6.6", "41.90.1.1"], "41.90.1.1");
        check("127.0.0.1:5000", &["nonsense"], "127.0.0.1");
        check("[::1]:5000", &["2001:db8::7"], "2001:db8::7");
        check("10.0.0.7:5000", &["6.6.6.6, 41.90.1.1"], "41.90.1.1");
        check("10.0.0.8:5000", &["41.90.1.1"], "10.0.0.8");
    }
}
