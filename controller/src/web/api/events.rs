//! `/api/events`: live hints for programs.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};

use super::{ApiError, Caller};
use crate::staff::Permission;
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
    ),
)]
pub async fn events(caller: Caller, State(web): State<Web>) -> Result<Response, ApiError> {
    caller.require(Permission::Read)?;
    Ok(live::stream(&web).into_response())
}
