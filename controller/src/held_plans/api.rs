//! Held plans for programs: what guards hold, and whose lines would lose access. Letting one go is a command that names its
//! digest, and stands in `commands::api`.

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{HeldLine, HeldPlan, LINES};
use crate::ids::SiteId;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Caller, Problem, Route, at_ms, reader};

/// What the guard of a router holds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HeldPlanBody {
    /// At which site.
    pub site_id: String,
    /// The site's name.
    pub site_name: String,
    /// On which router.
    pub router_name: String,
    /// Names exactly its lines. Send it with a `release_held` command to let them go.
    pub digest: String,
    /// How many subscriptions lose access.
    pub lines_total: u32,
    /// How many work now.
    pub lines_working: u32,
    /// Since when, by the agent's clock.
    pub since_at_ms: i64,
}

/// All that is held.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HeldPlanList {
    /// By site and router.
    pub held_plans: Vec<HeldPlanBody>,
}

/// One that would lose access.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HeldLineBody {
    /// Which.
    pub subscription_id: String,
    /// Whose; null for one that is no more: its row is to be taken off the router.
    pub customer_id: Option<String>,
    /// Their name; empty for one that is no more.
    pub customer_name: String,
    /// Name on the router; empty for one that is no more.
    pub username: String,
    /// `draft`, `active`, `suspended` or `expired`; null for one that is no more.
    pub status: Option<String>,
    /// The end of what is paid for.
    pub paid_until_ms: Option<i64>,
    /// What the agent says is wrong with it; empty for nothing.
    pub failure: String,
}

/// What the guard of a router holds, with its lines.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HeldPlanDetail {
    /// The plan.
    #[serde(flatten)]
    pub held_plan: HeldPlanBody,
    /// By customer; an agent names no more than 2,000, and `lines_total` counts all.
    pub lines: Vec<HeldLineBody>,
}

impl From<&HeldPlan> for HeldPlanBody {
    fn from(plan: &HeldPlan) -> Self {
        Self {
            site_id: plan.site.to_string(),
            site_name: plan.site_name.clone(),
            router_name: plan.router.clone(),
            digest: plan.digest.clone(),
            lines_total: plan.lines_total,
            lines_working: plan.lines_working,
            since_at_ms: at_ms(plan.at),
        }
    }
}

impl From<&HeldLine> for HeldLineBody {
    fn from(held: &HeldLine) -> Self {
        let known = held.known.as_ref();
        Self {
            subscription_id: held.line.to_string(),
            customer_id: known.map(|known| known.customer.to_string()),
            customer_name: known.map(|known| known.customer_name.clone()).unwrap_or_default(),
            username: known.map(|known| known.username.clone()).unwrap_or_default(),
            status: known.map(|known| known.status.as_str().to_owned()),
            paid_until_ms: known.and_then(|known| known.paid_until).map(at_ms),
            failure: known.map(|known| known.failure.clone()).unwrap_or_default(),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/held-plans", get(list)),
        Route::new("GET", "/api/held-plans/{site_id}/{router_name}", get(get_one)),
    ]
}

/// What guards hold: changes that would cut off many customers at once, until a person has looked.
#[utoipa::path(
    get, path = "/api/held-plans", tag = "commands",
    responses((status = 200, body = HeldPlanList), (status = 401, body = Problem)),
)]
pub(crate) async fn list(caller: Caller, State(web): State<Web>) -> Result<Json<HeldPlanList>, ApiError> {
    caller.require(Permission::Read)?;
    let plans = super::list(&mut *reader(&web).await?, None).await?;
    Ok(Json(HeldPlanList { held_plans: plans.iter().map(HeldPlanBody::from).collect() }))
}

/// What the guard of one router holds, line by line.
#[utoipa::path(
    get, path = "/api/held-plans/{site_id}/{router_name}", tag = "commands",
    params(("site_id" = String, Path), ("router_name" = String, Path)),
    responses((status = 200, body = HeldPlanDetail), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(crate) async fn get_one(
    caller: Caller,
    State(web): State<Web>,
    Path((site, router)): Path<(String, String)>,
) -> Result<Json<HeldPlanDetail>, ApiError> {
    caller.require(Permission::Read)?;
    let missing = || ApiError::not_found("held plan", "GET /api/held-plans lists what is held");
    let site = SiteId::parse(&site).map_err(|_| missing())?;
    let mut reader = reader(&web).await?;
    let plan = super::of_router(&mut reader, &site, &router).await?.ok_or_else(missing)?;
    let most = u32::try_from(LINES).unwrap_or(u32::MAX);
    let lines = super::lines_of(&mut reader, &plan, most).await?;
    Ok(Json(HeldPlanDetail {
        held_plan: HeldPlanBody::from(&plan),
        lines: lines.iter().map(HeldLineBody::from).collect(),
    }))
}
