//! Plans and connection types for programs.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Deserializer, Serialize};
use tawi_shared::Bandwidth;
use tawi_shared::wire::Service;
use utoipa::ToSchema;

use super::{
    Changed, ConnectionType, Created, NewConnectionType, NewPlan, OfflineRule, Plan, Profile, Restraint,
    Terms,
};
use crate::audit::Action;
use crate::ids::{ConnectionTypeId, PlanId};
use crate::money::Money;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Begun, Caller, Problem, Route, Write, at_ms, reader};

/// Bodies with what a connection type is set to, behind fields of their own; in brackets, what holds for those that need not
/// be said. They stand side by side because a schema that allows nothing besides cannot be part of one that has more.
macro_rules! bodies_with_profile {
    ($($(#[$about:meta])* pub struct $body:ident [$given:meta] { $($own:tt)* })+) => { $(
        $(#[$about])*
        pub struct $body {
            $($own)*
            /// To the customer.
            pub download_bits_per_second: u64,
            /// From the customer.
            pub upload_bits_per_second: u64,
            /// To the customer, for a short while; 0 for no burst.
            #[$given]
            pub download_burst_bits_per_second: u64,
            /// From the customer, for a short while; 0 for no burst.
            #[$given]
            pub upload_burst_bits_per_second: u64,
            /// The average to the customer above which a burst ends; 0 for the speed itself.
            #[$given]
            pub download_threshold_bits_per_second: u64,
            /// The average from the customer above which a burst ends; 0 for the speed itself.
            #[$given]
            pub upload_threshold_bits_per_second: u64,
            /// Over how many seconds that average is taken; 0 for the agent's default.
            #[$given]
            pub burst_seconds: u32,
            /// From 1, served first, to 8; 0 for the router's default.
            #[$given]
            pub priority: u16,
            /// Devices that may be logged in at once under one name; 0 for the router's default.
            #[$given]
            pub shared_users: u32,
            /// Pool on the routers that clients get addresses from; empty for the router's default.
            #[$given]
            pub pool: String,
            /// The router's own address towards the client, PPP services only; empty for the router's default.
            #[$given]
            pub local_address: String,
        }

        impl From<$body> for Profile {
            fn from(body: $body) -> Self {
                let rate = Bandwidth::from_bits_per_second;
                Self {
                    download: rate(body.download_bits_per_second),
                    upload: rate(body.upload_bits_per_second),
                    download_burst: rate(body.download_burst_bits_per_second),
                    upload_burst: rate(body.upload_burst_bits_per_second),
                    download_threshold: rate(body.download_threshold_bits_per_second),
                    upload_threshold: rate(body.upload_threshold_bits_per_second),
                    burst_seconds: body.burst_seconds,
                    priority: body.priority,
                    shared_users: body.shared_users,
                    pool: body.pool,
                    local_address: body.local_address,
                }
            }
        }
    )+ };
}

bodies_with_profile! {
    /// What a connection type is set to. Rates are bits per second, 0 for no limit.
    #[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    pub struct ProfileBody [serde(default)] {}

    /// A connection type to add. Rates are bits per second, 0 for no limit.
    #[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    pub struct ConnectionTypeNew [serde(default)] {
        /// `pppoe`, `hotspot`, `l2tp`, `pptp`, `openvpn`, `static` or `hotspot-device`.
        pub service_name: String,
        /// 1 to 64 plain characters without spaces; unique among the PPP services, among hotspots, and among the others.
        pub profile_name: String,
    }

    /// How a plan is set up on a router.
    #[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
    pub struct ConnectionTypeBody [schema(required = true)] {
        /// Id.
        pub id: String,
        /// `pppoe`, `hotspot`, `l2tp`, `pptp`, `openvpn`, `static` or `hotspot-device`.
        pub service_name: String,
        /// Name of the profile on routers.
        pub profile_name: String,
        /// When it was added.
        pub created_at_ms: i64,
    }
}

/// All connection types.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectionTypeList {
    /// By service and name.
    pub connection_types: Vec<ConnectionTypeBody>,
}

/// How a line is kept from full use.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestraintBody {
    /// `off`; `walled`: it reaches the pages on which its customer can pay; `throttled`: it goes on slowly.
    pub how: String,
    /// To the customer, where it is throttled.
    #[serde(default)]
    pub download_bits_per_second: u64,
    /// From the customer, where it is throttled.
    #[serde(default)]
    pub upload_bits_per_second: u64,
}

/// What happens to lines while their site cannot hear head office.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfflineBody {
    /// For how long nothing happens, in hours.
    pub after_hours: u32,
    /// What happens then: `off` or `throttled`.
    pub then: RestraintBody,
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
    /// Data in one period, upload and download together; null for no limit.
    pub data_quota_bytes: Option<u64>,
    /// What being suspended means: held, or not paid for.
    pub suspension: RestraintBody,
    /// What comes after the data of a period.
    pub after_quota: RestraintBody,
    /// What happens while a site cannot hear head office; null for nothing.
    pub offline: Option<OfflineBody>,
    /// For people.
    pub description: String,
    /// When it was added.
    pub created_at_ms: i64,
}

/// All plans.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanList {
    /// By name.
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
    /// Data in one period, upload and download together; absent for no limit.
    #[serde(default)]
    pub data_quota_bytes: Option<u64>,
    /// What being suspended means: held, or not paid for; absent for off.
    #[serde(default)]
    pub suspension: Option<RestraintBody>,
    /// What comes after the data of a period; absent for off.
    #[serde(default)]
    pub after_quota: Option<RestraintBody>,
    /// What happens while a site cannot hear head office; absent for nothing.
    #[serde(default)]
    pub offline: Option<OfflineBody>,
    /// For people.
    #[serde(default)]
    pub description: String,
}

/// A field that may be null and has to be there: one that was forgotten must not set anything back.
fn said<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}

/// What of a plan is to be as it says here, all of it. Price, length and data are those of the next period that is
/// bought; restraints change at once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanTerms {
    /// Price of one period in cents of KES.
    pub price_cents: i64,
    /// Length of one period.
    pub validity_seconds: u64,
    /// Data in one period, upload and download together; null for no limit.
    #[serde(deserialize_with = "said")]
    #[schema(required = true)]
    pub data_quota_bytes: Option<u64>,
    /// What being suspended means: held, or not paid for; null for off.
    #[serde(deserialize_with = "said")]
    #[schema(required = true)]
    pub suspension: Option<RestraintBody>,
    /// What comes after the data of a period; null for off.
    #[serde(deserialize_with = "said")]
    #[schema(required = true)]
    pub after_quota: Option<RestraintBody>,
    /// What happens while a site cannot hear head office; null for nothing.
    #[serde(deserialize_with = "said")]
    #[schema(required = true)]
    pub offline: Option<OfflineBody>,
    /// For people.
    #[serde(default)]
    pub description: String,
}

impl From<&ConnectionType> for ConnectionTypeBody {
    fn from(kind: &ConnectionType) -> Self {
        let profile = &kind.profile;
        Self {
            id: kind.id.to_string(),
            service_name: kind.service.as_str().to_owned(),
            profile_name: kind.profile_name.clone(),
            download_bits_per_second: profile.download.bits_per_second(),
            upload_bits_per_second: profile.upload.bits_per_second(),
            download_burst_bits_per_second: profile.download_burst.bits_per_second(),
            upload_burst_bits_per_second: profile.upload_burst.bits_per_second(),
            download_threshold_bits_per_second: profile.download_threshold.bits_per_second(),
            upload_threshold_bits_per_second: profile.upload_threshold.bits_per_second(),
            burst_seconds: profile.burst_seconds,
            priority: profile.priority,
            shared_users: profile.shared_users,
            pool: profile.pool.clone(),
            local_address: profile.local_address.clone(),
            created_at_ms: at_ms(kind.created_at),
        }
    }
}

impl From<Restraint> for RestraintBody {
    fn from(restraint: Restraint) -> Self {
        let (download, upload) = restraint.rates();
        Self {
            how: restraint.word().to_owned(),
            download_bits_per_second: download.bits_per_second(),
            upload_bits_per_second: upload.bits_per_second(),
        }
    }
}

impl From<&Plan> for PlanBody {
    fn from(plan: &Plan) -> Self {
        let terms = &plan.terms;
        Self {
            id: plan.id.to_string(),
            name: plan.name.clone(),
            connection_type: (&plan.connection_type).into(),
            price_cents: terms.price.cents(),
            validity_seconds: terms.validity.as_secs(),
            data_quota_bytes: terms.data_quota_bytes,
            suspension: terms.suspension.into(),
            after_quota: terms.after_quota.into(),
            offline: terms
                .offline
                .map(|rule| OfflineBody { after_hours: rule.after_hours, then: rule.then.into() }),
            description: terms.description.clone(),
            created_at_ms: at_ms(plan.created_at),
        }
    }
}

impl TryFrom<PlanTerms> for Terms {
    type Error = ApiError;

    fn try_from(body: PlanTerms) -> Result<Self, ApiError> {
        let offline = match body.offline {
            Some(rule) => Some(OfflineRule {
                after_hours: rule.after_hours,
                then: restraint("offline", Some(rule.then))?,
            }),
            None => None,
        };
        Ok(Self {
            price: Money::from_cents(body.price_cents),
            validity: Duration::from_secs(body.validity_seconds),
            data_quota_bytes: body.data_quota_bytes,
            suspension: restraint("suspension", body.suspension)?,
            after_quota: restraint("after_quota", body.after_quota)?,
            offline,
            description: body.description,
        })
    }
}

fn restraint(field: &'static str, body: Option<RestraintBody>) -> Result<Restraint, ApiError> {
    let Some(body) = body else { return Ok(Restraint::Off) };
    let rate = Bandwidth::from_bits_per_second;
    Restraint::of(&body.how, rate(body.download_bits_per_second), rate(body.upload_bits_per_second))
        .ok_or_else(|| ApiError::invalid(field, "how is off, walled or throttled"))
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/connection-types", get(list_connection_types)),
        Route::new("POST", "/api/connection-types", post(create_connection_type)),
        Route::new("POST", "/api/connection-types/{id}", post(change_connection_type)),
        Route::new("GET", "/api/plans", get(list_plans)),
        Route::new("POST", "/api/plans", post(create_plan)),
        Route::new("POST", "/api/plans/{id}", post(change_plan)),
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
    let service = Service::parse(&new.service_name).ok_or_else(|| {
        ApiError::invalid("service_name", "use pppoe, hotspot, l2tp, pptp, openvpn, static or hotspot-device")
    })?;
    let mut once = match write.begin(&web, Permission::AddPlans).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now) = (once.ids.clone(), once.now);
    let new = NewConnectionType { service, profile_name: new.profile_name.clone(), profile: new.into() };
    let created = super::create_connection_type(once.connection(), new, &ids, now).await?;
    let kind = created_or_refused(created, "profile_name")?;
    once.audit(Action::ConnectionTypeAdded, kind.id.as_str(), &kind.profile_name).await?;
    once.answer(StatusCode::CREATED, &ConnectionTypeBody::from(&kind)).await
}

/// Sets a connection type to what is said here, all of it, at every site that has it. Service and name stay.
///
/// When the speed changes, PPP sessions are ended and devices dial in again (a few seconds offline for each, at most 20 a
/// second on one router), hotspot sessions are ended and devices log in again by their cookie, and queues change without
/// a drop.
#[utoipa::path(
    post, path = "/api/connection-types/{id}", tag = "plans", request_body = ProfileBody,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, body = ConnectionTypeBody), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn change_connection_type(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let profile: ProfileBody = write.read()?;
    let missing = || ApiError::not_found("connection type", "GET /api/connection-types lists them");
    let id = ConnectionTypeId::parse(&id).map_err(|_| missing())?;
    let mut once = match write.begin(&web, Permission::AddPlans).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let now = once.now;
    let changed = super::change_connection_type(once.connection(), &id, profile.into(), now).await?;
    let kind = changed_or_refused(changed, missing)?;
    once.audit(Action::ConnectionTypeChanged, kind.id.as_str(), &kind.profile.in_words()).await?;
    let live = web.controller.live.clone();
    once.answer_and_tell(StatusCode::OK, &ConnectionTypeBody::from(&kind), move || live.ring_outbox()).await
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
    let terms = PlanTerms {
        price_cents: new.price_cents,
        validity_seconds: new.validity_seconds,
        data_quota_bytes: new.data_quota_bytes,
        suspension: new.suspension,
        after_quota: new.after_quota,
        offline: new.offline,
        description: new.description,
    };
    let new = NewPlan { name: new.name, connection_type, terms: terms.try_into()? };
    let mut once = match write.begin(&web, Permission::AddPlans).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now) = (once.ids.clone(), once.now);
    let created = super::create_plan(once.connection(), new, &ids, now).await?;
    let plan = created_or_refused(created, "name")?;
    once.audit(Action::PlanAdded, plan.id.as_str(), &plan.name).await?;
    once.answer(StatusCode::CREATED, &PlanBody::from(&plan)).await
}

/// Sets the terms of a plan to what is said here, all of it. Name and connection type stay.
#[utoipa::path(
    post, path = "/api/plans/{id}", tag = "plans", request_body = PlanTerms,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, body = PlanBody), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn change_plan(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let terms: PlanTerms = write.read()?;
    let terms: Terms = terms.try_into()?;
    let missing = || ApiError::not_found("plan", "GET /api/plans lists them");
    let id = PlanId::parse(&id).map_err(|_| missing())?;
    let mut once = match write.begin(&web, Permission::AddPlans).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let now = once.now;
    let plan = changed_or_refused(super::change_plan(once.connection(), &id, terms, now).await?, missing)?;
    once.audit(Action::PlanChanged, plan.id.as_str(), &plan.terms.in_words()).await?;
    once.answer(StatusCode::OK, &PlanBody::from(&plan)).await
}

fn created_or_refused<T>(created: Created<T>, name_field: &str) -> Result<T, ApiError> {
    match created {
        Created::Created(thing) => Ok(thing),
        Created::NameTaken if name_field == "profile_name" => Err(ApiError::taken(
            name_field,
            "choose another name: PPP services share one list of profiles on a router",
        )),
        Created::NameTaken => Err(ApiError::taken(name_field, "choose another name")),
        Created::NoSuchConnectionType => {
            Err(ApiError::invalid("connection_type_id", "there is no such connection type"))
        }
        Created::Invalid(invalid) => Err(invalid.into()),
    }
}

fn changed_or_refused<T>(changed: Changed<T>, missing: impl FnOnce() -> ApiError) -> Result<T, ApiError> {
    match changed {
        Changed::Changed(thing) => Ok(thing),
        Changed::NoSuchOne => Err(missing()),
        Changed::AgainstPlan(plan) => {
            Err(ApiError::invalid("download_bits_per_second", super::against_plan(&plan)))
        }
        Changed::Invalid(invalid) => Err(invalid.into()),
    }
}
