//! The overview for programs.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Overview;
use crate::payments::api::PaymentBody;
use crate::sites::api::SiteBody;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Caller, Problem, Route, reader};

/// What stands, what came in today, and who paid and is not connected.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OverviewBody {
    /// All sites.
    pub sites: Vec<SiteBody>,
    /// Subscriptions with a session.
    pub customers_online: u64,
    /// What came in since Nairobi's midnight, in cents of KES.
    pub money_today_cents: i64,
    /// How many payments that was.
    pub payments_today: u64,
    /// Paid more than a minute ago, and not on the router yet.
    pub unconnected: Vec<PaymentBody>,
    /// How much a person has to look at: GET /api/payments/review lists it.
    pub for_review: u64,
    /// How many of these wait for more than a day.
    pub overdue_reviews: u64,
    /// What does not work with M-Pesa, each in a sentence: GET /api/mpesa/health tells more.
    pub mpesa_alarms: Vec<String>,
    /// What stopped or stands still of an upgrade of the agents, each in a sentence: GET /api/rollouts tells more.
    pub upgrade_alarms: Vec<String>,
    /// The newest payments, newest first.
    pub recent_payments: Vec<PaymentBody>,
}

impl From<&Overview> for OverviewBody {
    fn from(overview: &Overview) -> Self {
        Self {
            sites: overview.sites.iter().map(SiteBody::from).collect(),
            customers_online: overview.lines_online,
            money_today_cents: overview.today.amount.cents(),
            payments_today: overview.today.payments,
            unconnected: overview.unconnected.iter().map(PaymentBody::from).collect(),
            for_review: overview.for_review,
            overdue_reviews: overview.overdue_reviews,
            mpesa_alarms: overview.mpesa_alarms.clone(),
            upgrade_alarms: overview.upgrade_alarms.clone(),
            recent_payments: overview.recent.iter().map(PaymentBody::from).collect(),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new("GET", "/api/overview", get(overview))]
}

/// What stands, what came in today, and who paid and is not connected.
#[utoipa::path(
    get, path = "/api/overview", tag = "overview",
    responses((status = 200, body = OverviewBody), (status = 401, body = Problem)),
)]
pub(crate) async fn overview(caller: Caller, State(web): State<Web>) -> Result<Json<OverviewBody>, ApiError> {
    caller.require(Permission::Read)?;
    let now = web.controller.clock.now();
    let overview = super::read(&mut *reader(&web).await?, web.short_codes.as_ref(), now).await?;
    Ok(Json((&overview).into()))
}
