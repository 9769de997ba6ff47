//! The stylesheet, the script and the icon: compiled in, named by their content, cached for good.
//!
//! A page names an asset with the first digits of its SHA-256, so that a new release is seen at once and an old one
//! never asked for again. Nothing is loaded from anywhere else.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use ring::digest::{SHA256, digest};
use tawi_shared::ids::hex;

use super::Web;

const STYLE: &str = include_str!("../../assets/tawi.css");
const PAY_STYLE: &str = include_str!("../../assets/pay.css");
const SCRIPT: &str = include_str!("../../assets/live.js");
const ICON: &str = include_str!("../../assets/icon.svg");
/// A year, as RFC 9111 caches keep "for good".
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// The first digits of the content's hash: 48 bits tell releases apart.
fn version(content: &str) -> String {
    hex(digest(&SHA256, content.as_bytes()).as_ref()).chars().take(12).collect()
}

static STYLE_URL: LazyLock<String> = LazyLock::new(|| format!("/assets/tawi.css?v={}", version(STYLE)));
static PAY_STYLE_URL: LazyLock<String> =
    LazyLock::new(|| format!("/assets/pay.css?v={}", version(PAY_STYLE)));
static SCRIPT_URL: LazyLock<String> = LazyLock::new(|| format!("/assets/live.js?v={}", version(SCRIPT)));
static ICON_URL: LazyLock<String> = LazyLock::new(|| format!("/assets/icon.svg?v={}", version(ICON)));

/// Where the stylesheet is.
#[must_use]
pub fn style_url() -> &'static str {
    &STYLE_URL
}

/// Where the stylesheet of the pay page is: a fifth of the dashboard's.
#[must_use]
pub fn pay_style_url() -> &'static str {
    &PAY_STYLE_URL
}

/// Where the script is.
#[must_use]
pub fn script_url() -> &'static str {
    &SCRIPT_URL
}

/// Where the icon is.
#[must_use]
pub fn icon_url() -> &'static str {
    &ICON_URL
}

pub(super) fn routes() -> Router<Web> {
    let asset = |kind: &'static str, content: &'static str| {
        get(
            move || async move { ([(CONTENT_TYPE, kind), (CACHE_CONTROL, FOR_GOOD)], content).into_response() },
        )
    };
    Router::new()
        .route("/assets/tawi.css", asset("text/css; charset=utf-8", STYLE))
        .route("/assets/pay.css", asset("text/css; charset=utf-8", PAY_STYLE))
        .route("/assets/live.js", asset("text/javascript; charset=utf-8", SCRIPT))
        .route("/assets/icon.svg", asset("image/svg+xml", ICON))
        .route("/favicon.ico", asset("image/svg+xml", ICON))
}
