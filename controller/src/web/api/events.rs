//! `/api/events`: live hints for programs.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::caller::bearer;
use super::{ApiError, Caller};
use crate::staff::{Permission, SecretToken};
use crate::web::{Web, live};

/// Hints that something changed, as server-sent events, from now on.
///
/// `payment` and `intent` carry the id of the customer, `line` that of the subscription, `site` that of the site.
/// `resync` says that hints were missed: read again what you show. `ready` comes first.
#[utoipa::path(
    get, path = "/api/events", tag = "controller",
    responses(
        (status = 200, description = "A stream of events", body = String, content_type = "text/event-stream"),
        (status = 401, description = "No token, or not one of ours", body = super::Problem),
        (status = 429, description = "The token has as many streams open as it may", body = super::Problem),
    ),
)]
pub async fn events(
    caller: Caller,
    State(web): State<Web>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.require(Permission::Read)?;
    let listener = live::Listener::Program(SecretToken::received(bearer(&headers).unwrap_or_default()));
    live::stream(&web, listener).ok_or_else(|| {
        ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_streams",
            "this token has as many streams open as it may",
            "close one that is no longer read",
        )
        .retry_after(60)
    })
}
