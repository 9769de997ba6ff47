//! The API log for programs.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tawi_shared::UnixMillis;
use utoipa::{IntoParams, ToSchema};

use super::search::Asked;
use super::{PAGE_ROWS, RouterWrite};
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, ApiQuery, Caller, Problem, Route, at_ms, reader};

/// Writes in one answer, at most.
const LISTED_MOST: u32 = 500;

/// What is looked for; every field narrows.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct Wanted {
    /// A site's id.
    site: String,
    /// A router's name.
    router: String,
    /// A subscription's id, or its name on the router.
    line: String,
    /// A customer's id.
    customer: String,
    /// A part of the command.
    operation: String,
    /// `done`, `refused` or `unknown`.
    status: String,
    /// A part of the parameters or of the router's words.
    text: String,
    /// From then on; a week back if not given and no line or customer is.
    from_ms: Option<i64>,
    /// Until then.
    until_ms: Option<i64>,
    /// The id of the last write of the answer before.
    before: String,
    /// 1 to 500; 50 if not given.
    limit: Option<u32>,
}

/// A write to a router.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RouterWriteBody {
    /// Its place in the order of all.
    pub id: String,
    /// At which site.
    pub site_id: String,
    /// When it was answered, by the agent's clock.
    pub at_ms: i64,
    /// The router's name.
    pub router_name: String,
    /// The command.
    pub operation: String,
    /// Its parameters; secrets are `***`.
    pub parameters: String,
    /// For which subscription.
    pub subscription_id: Option<String>,
    /// Of which customer.
    pub customer_id: Option<String>,
    /// `done`, `refused` or `unknown`.
    pub status: String,
    /// The router's words where it refused.
    pub detail: String,
}

/// Writes to routers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RouterWriteList {
    /// Newest first.
    pub writes: Vec<RouterWriteBody>,
}

impl From<&RouterWrite> for RouterWriteBody {
    fn from(write: &RouterWrite) -> Self {
        Self {
            id: write.id.clone(),
            site_id: write.site.to_string(),
            at_ms: at_ms(write.at),
            router_name: write.router.clone(),
            operation: write.operation.clone(),
            parameters: write.parameters.clone(),
            subscription_id: write.line.as_ref().map(ToString::to_string),
            customer_id: write.customer.as_ref().map(|(id, _)| id.to_string()),
            status: write.status.map_or("unknown", |status| status.as_str()).to_owned(),
            detail: write.detail.clone(),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new("GET", "/api/router-writes", get(list))]
}

/// What agents wrote to routers, newest first.
#[utoipa::path(
    get, path = "/api/router-writes", tag = "sites", params(Wanted),
    responses(
        (status = 200, body = RouterWriteList), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 422, body = Problem),
    ),
)]
pub(crate) async fn list(
    caller: Caller,
    State(web): State<Web>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<Json<RouterWriteList>, ApiError> {
    caller.require(Permission::Read)?;
    let limit = wanted.limit.unwrap_or(PAGE_ROWS);
    if !(1..=LISTED_MOST).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("use 1 to {LISTED_MOST}")));
    }
    let now = web.controller.clock.now();
    let asked = Asked {
        site: wanted.site,
        router: wanted.router,
        line: wanted.line,
        customer: wanted.customer,
        operation: wanted.operation,
        status: wanted.status,
        text: wanted.text,
        before: wanted.before,
        ..Asked::default()
    };
    let search = asked
        .read(now)
        .map_err(|unreadable| ApiError::invalid(unreadable.field, unreadable.reason))?
        .between(wanted.from_ms.map(UnixMillis), wanted.until_ms.map(UnixMillis), now);
    let writes = super::find(&mut *reader(&web).await?, &search, limit).await?;
    Ok(Json(RouterWriteList { writes: writes.iter().map(RouterWriteBody::from).collect() }))
}
