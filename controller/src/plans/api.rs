//! Plans and connection types for programs.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tawi_shared::Bandwidth;
use tawi_shared::wire::Service;
use utoipa::ToSchema;

use super::{ConnectionType, Created, NewConnectionType, NewPlan, Plan};
use crate::audit::Action;
use crate::ids::ConnectionTypeId;
use crate::money::Money;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Begun, Caller, Problem, Route, Write, at_ms, reader};

/// How a plan is set up on a router. Rates are bits per second, 0 for no limit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectionTypeBody {
    /// Id.
    pub id: String,
    /// `pppoe` or `hotspot`.
    pub service_name: String,
    /// Name of the profile on routers.
    pub profile_name: String,
    /// To the customer.
    pub download_bits_per_second: u64,
    /// From the customer.
    pub upload_bits_per_second: u64,
    /// To the customer, for a short while; 0 for no burst.
    pub download_burst_bits_per_second: u64,
    /// From the customer, for a short while; 0 for no burst.
    pub upload_burst_bits_per_second: u64,
    /// When it was added.
    pub created_at_ms: i64,
}

/// All connection types.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectionTypeList {
    /// By service and name.
    pub connection_types: Vec<ConnectionTypeBody>,
}

/// A connection type to add.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionTypeNew {
    /// `pppoe` or `hotspot`.
    pub service_name: String,
    /// 1 to 64 plain characters without spaces.
    pub profile_name: String,
    /// To the customer.
    pub download_bits_per_second: u64,
    /// From the customer.
    pub upload_bits_per_second: u64,
    /// To the customer, for a short while.
    #[serde(default)]
    pub download_burst_bits_per_second: u64,
    /// From the customer, for a short while.
    #[serde(default)]
    pub upload_burst_bits_per_second: u64,
}

/// What is sold.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanBody {
    /// Id.
    pub id: String,
    /// Name, unique.
    pub name: String,
    /// How it is set up on a router.
    pub connection_type: ConnectionTypeBody,
    /// Price of one period in cents of KES.
    pub price_cents: i64,
    /// Length of one period.
    pub validity_seconds: u64,
    /// Data in one period; null for no limit. Shown to staff; not yet enforced by this release.
    pub data_quota_bytes: Option<u64>,
    /// For people.
    pub description: String,
    /// When it was added.
    pub created_at_ms: i64,
}

/// All plans.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanList {
    /// By price.
    pub plans: Vec<PlanBody>,
}

/// A plan to add.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanNew {
    /// Unique, 1 to 64 characters.
    pub name: String,
    /// How it is set up on a router.
    pub connection_type_id: String,
    /// Price of one period in cents of KES.
    pub price_cents: i64,
    /// Length of one period.
    pub validity_seconds: u64,
    /// Data in one period; absent for no limit. Shown to staff; not yet enforced by this release.
    #[serde(default)]
    pub data_quota_bytes: Option<u64>,
    /// For people.
    #[serde(default)]
    pub description: String,
}

impl From<&ConnectionType> for ConnectionTypeBody {
    fn from(kind: &ConnectionType) -> Self {
        Self {
            id: kind.id.to_string(),
            service_name: kind.service.as_str().to_owned(),
            profile_name: kind.profile_name.clone(),
            download_bits_per_second: kind.download.bits_per_second(),
            upload_bits_per_second: kind.upload.bits_per_second(),
            download_burst_bits_per_second: kind.download_burst.bits_per_second(),
            upload_burst_bits_per_second: kind.upload_burst.bits_per_second(),
            created_at_ms: at_ms(kind.created_at),
        }
    }
}

impl From<&Plan> for PlanBody {
    fn from(plan: &Plan) -> Self {
        Self {
            id: plan.id.to_string(),
            name: plan.name.clone(),
            connection_type: (&plan.connection_type).into(),
            price_cents: plan.price.cents(),
            validity_seconds: plan.validity.as_secs(),
            data_quota_bytes: plan.data_quota_bytes,
            description: plan.description.clone(),
            created_at_ms: at_ms(plan.created_at),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/connection-types", get(list_connection_types)),
        Route::new("POST", "/api/connection-types", post(create_connection_type)),
        Route::new("GET", "/api/plans", get(list_plans)),
        Route::new("POST", "/api/plans", post(create_plan)),
    ]
}

/// All connection types.
#[utoipa::path(
    get, path = "/api/connection-types", tag = "plans",
    responses((status = 200, body = ConnectionTypeList), (status = 401, body = Problem)),
)]
pub(crate) async fn list_connection_types(
    caller: Caller,
    State(web): State<Web>,
) -> Result<Json<ConnectionTypeList>, ApiError> {
    caller.require(Permission::Read)?;
    let kinds = super::list_connection_types(&mut *reader(&web).await?).await?;
    Ok(Json(ConnectionTypeList { connection_types: kinds.iter().map(ConnectionTypeBody::from).collect() }))
}

/// Adds a connection type.
#[utoipa::path(
    post, path = "/api/connection-types", tag = "plans", request_body = ConnectionTypeNew,
    params(("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters")),
    responses(
        (status = 201, body = ConnectionTypeBody), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn create_connection_type(
    State(web): State<Web>,
    write: Write,
) -> Result<Response, ApiError> {
    let new: ConnectionTypeNew = write.read()?;
    let service = Service::parse(&new.service_name)
        .ok_or_else(|| ApiError::invalid("service_name", "use pppoe or hotspot"))?;
    let mut once = match write.begin(&web, Permission::AddPlans).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now) = (once.ids.clone(), once.now);
    let rate = Bandwidth::from_bits_per_second;
    let new = NewConnectionType {
        service,
        profile_name: new.profile_name,
        download: rate(new.download_bits_per_second),
        upload: rate(new.upload_bits_per_second),
        download_burst: rate(new.download_burst_bits_per_second),
        upload_burst: rate(new.upload_burst_bits_per_second),
    };
    let created = super::create_connection_type(once.connection(), new, &ids, now).await?;
    let kind = created_or_refused(created, "profile_name")?;
    once.audit(Action::ConnectionTypeAdded, kind.id.as_str(), &kind.profile_name).await?;
    once.answer(StatusCode::CREATED, &ConnectionTypeBody::from(&kind)).await
}

/// All plans.
#[utoipa::path(
    get, path = "/api/plans", tag = "plans",
    responses((status = 200, body = PlanList), (status = 401, body = Problem)),
)]
pub(crate) async fn list_plans(caller: Caller, State(web): State<Web>) -> Result<Json<PlanList>, ApiError> {
    caller.require(Permission::Read)?;
    let plans = super::list_plans(&mut *reader(&web).await?).await?;
    Ok(Json(PlanList { plans: plans.iter().map(PlanBody::from).collect() }))
}

/// Adds a plan.
#[utoipa::path(
    post, path = "/api/plans", tag = "plans", request_body = PlanNew,
    params(("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters")),
    responses(
        (status = 201, body = PlanBody), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn create_plan(State(web): State<Web>, write: Write) -> Result<Response, ApiError> {
    let new: PlanNew = write.read()?;
    let connection_type = ConnectionTypeId::parse(&new.connection_type_id)
        .map_err(|error| ApiError::invalid("connection_type_id", error))?;
    let mut once = match write.begin(&web, Permission::AddPlans).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now) = (once.ids.clone(), once.now);
    let new = NewPlan {
        name: new.name,
        connection_type,
        price: Money::from_cents(new.price_cents),
        validity: Duration::from_secs(new.validity_seconds),
        data_quota_bytes: new.data_quota_bytes,
        description: new.description,
    };
    let created = super::create_plan(once.connection(), new, &ids, now).await?;
    let plan = created_or_refused(created, "name")?;
    once.audit(Action::PlanAdded, plan.id.as_str(), &plan.name).await?;
    once.answer(StatusCode::CREATED, &PlanBody::from(&plan)).await
}

fn created_or_refused<T>(created: Created<T>, name_field: &str) -> Result<T, ApiError> {
    match created {
        Created::Created(thing) => Ok(thing),
        Created::NameTaken => Err(ApiError::taken(name_field, "choose another name")),
        Created::NoSuchConnectionType => {
            Err(ApiError::invalid("connection_type_id", "there is no such connection type"))
        }
        Created::Invalid(invalid) => Err(invalid.into()),
    }
}
