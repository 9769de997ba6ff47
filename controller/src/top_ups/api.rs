//! The catalogue of top-ups for programs. Buying one is in `payments/api.rs`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Created, NewTopUp, TopUp};
use crate::audit::Action;
use crate::ids::PlanId;
use crate::money::Money;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Begun, Caller, Problem, Route, Write, at_ms, reader};

/// Data that can be bought on top of a running period.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TopUpBody {
    /// Id.
    pub id: String,
    /// Name, unique.
    pub name: String,
    /// For subscriptions of which plan; null for any that has a limit.
    pub plan_id: Option<String>,
    /// Price in cents of KES.
    pub price_cents: i64,
    /// What it adds, upload and download together.
    pub bytes: u64,
    /// When it was added.
    pub created_at_ms: i64,
}

/// All top-ups.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TopUpList {
    /// By price.
    pub top_ups: Vec<TopUpBody>,
}

/// A top-up to add to the catalogue.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUpNew {
    /// Unique, 1 to 64 characters.
    pub name: String,
    /// For subscriptions of which plan; absent for any that has a limit.
    #[serde(default)]
    pub plan_id: Option<String>,
    /// Price in cents of KES.
    pub price_cents: i64,
    /// What it adds, upload and download together.
    pub bytes: u64,
}

impl From<&TopUp> for TopUpBody {
    fn from(top_up: &TopUp) -> Self {
        Self {
            id: top_up.id.to_string(),
            name: top_up.name.clone(),
            plan_id: top_up.plan.as_ref().map(ToString::to_string),
            price_cents: top_up.price.cents(),
            bytes: top_up.bytes,
            created_at_ms: at_ms(top_up.created_at),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new("GET", "/api/top-ups", get(list)), Route::new("POST", "/api/top-ups", post(create))]
}

/// All top-ups.
#[utoipa::path(
    get, path = "/api/top-ups", tag = "plans",
    responses((status = 200, body = TopUpList), (status = 401, body = Problem)),
)]
pub(crate) async fn list(caller: Caller, State(web): State<Web>) -> Result<Json<TopUpList>, ApiError> {
    caller.require(Permission::Read)?;
    let top_ups = super::list(&mut *reader(&web).await?).await?;
    Ok(Json(TopUpList { top_ups: top_ups.iter().map(TopUpBody::from).collect() }))
}

/// Adds a top-up to the catalogue.
#[utoipa::path(
    post, path = "/api/top-ups", tag = "plans", request_body = TopUpNew,
    params(("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters")),
    responses(
        (status = 201, body = TopUpBody), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn create(State(web): State<Web>, write: Write) -> Result<Response, ApiError> {
    let new: TopUpNew = write.read()?;
    let plan = new.plan_id.as_deref().map(PlanId::parse).transpose();
    let plan = plan.map_err(|error| ApiError::invalid("plan_id", error))?;
    let mut once = match write.begin(&web, Permission::AddPlans).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now) = (once.ids.clone(), once.now);
    let new = NewTopUp { name: new.name, plan, price: Money::from_cents(new.price_cents), bytes: new.bytes };
    let top_up = match super::create(once.connection(), new, &ids, now).await? {
        Created::Created(top_up) => top_up,
        Created::NameTaken => return Err(ApiError::taken("name", "choose another name")),
        Created::NoSuchPlan => return Err(ApiError::invalid("plan_id", "there is no such plan")),
        Created::Invalid(invalid) => return Err(invalid.into()),
    };
    once.audit(Action::TopUpAdded, top_up.id.as_str(), &top_up.name).await?;
    once.answer(StatusCode::CREATED, &TopUpBody::from(&top_up)).await
}
