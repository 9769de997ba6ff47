//! Subscriptions for programs: create, read, change, hold, release.

use std::fmt;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::credentials::{Password, Username};
use super::editing::{self, Edited, Settings};
use super::{Changed, Created, Holder, NewSubscription, Subscription, device};
use crate::audit::Action;
use crate::ids::{CustomerId, LineId, PlanId, RouterId};
use crate::live::Hint;
use crate::payments;
use crate::plans::Family;
use crate::quota::{self, Standing};
use crate::staff::Permission;
use crate::usage;
use crate::web::Web;
use crate::web::api::{ApiError, Begun, Caller, Problem, Route, Write, at_ms, reader};

/// A subscription, which is also a line.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SubscriptionBody {
    /// Id; on the router the row's comment is `tawi:<id>`.
    pub id: String,
    /// Whose.
    pub customer_id: String,
    /// Which plan.
    pub plan_id: String,
    /// The plan's name.
    pub plan_name: String,
    /// Price of one period in cents of KES.
    pub price_cents: i64,
    /// At which site.
    pub site_id: String,
    /// On which router.
    pub router_id: String,
    /// The router's name.
    pub router_name: String,
    /// `pppoe`, `hotspot`, `l2tp`, `pptp`, `openvpn`, `static` or `hotspot-device`.
    pub service_name: String,
    /// User name on the router.
    pub username: String,
    /// Its own address; null for one of the pool.
    pub address: Option<String>,
    /// The only device that may use it; null for any.
    pub caller_id: Option<String>,
    /// `draft`, `active`, `suspended` or `expired`.
    pub status: String,
    /// End of what is paid for; null when nothing ever was.
    pub paid_until_ms: Option<i64>,
    /// Until when it is open on trust, because M-Pesa says that it was paid for and the receipt has not come; null otherwise.
    pub grace_until_ms: Option<i64>,
    /// When what its site has not heard of was to begin, which may lie ahead: it begins when the site is back, and
    /// `paid_until_ms` moves then. Null where the site has heard of everything.
    pub waits_since_ms: Option<i64>,
    /// Whether the wallet buys the next period before this one ends. Periods of less than a day are bought one by one.
    pub renews: bool,
    /// Whether a session is up.
    pub is_online: bool,
    /// Since when it is so.
    pub online_changed_at_ms: Option<i64>,
    /// Address of the last session; empty before the first.
    pub last_address: String,
    /// Why it is not on its router as it should be; empty when it is.
    pub failure: String,
    /// When it was added.
    pub created_at_ms: i64,
}

/// A subscription that was just added.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct SubscriptionAdded {
    /// Which.
    #[serde(flatten)]
    pub subscription: SubscriptionBody,
    /// The password for the customer's device; null where nobody logs in (`static`, `hotspot-device`). No other answer has it, but this one is kept for seven days and given
    /// again to whoever repeats the request with its Idempotency-Key.
    pub password: Option<String>,
}

/// A subscription with what it used.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SubscriptionDetail {
    /// Which.
    #[serde(flatten)]
    pub subscription: SubscriptionBody,
    /// Bytes from the customer, ever.
    pub upload_bytes: u64,
    /// Bytes to the customer, ever.
    pub download_bytes: u64,
    /// The running period; null when none runs.
    pub period: Option<PeriodBody>,
}

/// The period of a subscription that runs now, and where its data stands as far as the site reported it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PeriodBody {
    /// When it began; of what waits for its site, when it was to.
    pub started_at_ms: i64,
    /// When it ends.
    pub ends_at_ms: i64,
    /// What may be moved in it, upload and download together, with what was topped up; null for no limit.
    pub quota_bytes: Option<u64>,
    /// How much of that was topped up.
    pub topped_up_bytes: u64,
    /// What was moved in it; where it has no limit, by whole hours.
    pub used_bytes: u64,
    /// What is left; null for no limit.
    pub left_bytes: Option<u64>,
}

/// A subscription to add.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionNew {
    /// Whose.
    pub customer_id: String,
    /// Which plan.
    pub plan_id: String,
    /// On which router.
    pub router_id: String,
    /// User name on the router, unique there.
    pub username: String,
    /// Password on the router; absent for a random one.
    #[serde(default)]
    pub password: Option<String>,
    /// Its own IPv4 address, unique on its router; absent for one of the pool. Needed for `static` and `hotspot-device`.
    #[serde(default)]
    pub address: String,
    /// The only device that may use it: a MAC address, or for tunnels the IPv4 address that is dialled from; absent for
    /// any. Needed for `hotspot-device`, and unique on its router there.
    #[serde(default)]
    pub caller_id: String,
}

/// What of a subscription is to be changed; what is absent stays. Another plan has its speed and its restraints at once;
/// its price, length and data are those of the next period that is bought.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionChange {
    /// Which plan.
    #[serde(default)]
    pub plan_id: Option<String>,
    /// Its own IPv4 address, unique on its router; empty for one of the pool.
    #[serde(default)]
    pub address: Option<String>,
    /// The only device that may use it; empty for any.
    #[serde(default)]
    pub caller_id: Option<String>,
    /// Whether the wallet buys the next period before the running one ends. Periods of less than a day are bought one by
    /// one all the same.
    #[serde(default)]
    pub renews: Option<bool>,
    /// A new password on the router.
    #[serde(default)]
    pub password: Option<String>,
}

impl fmt::Debug for SubscriptionChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionChange").field("plan_id", &self.plan_id).finish_non_exhaustive()
    }
}

impl SubscriptionAdded {
    /// A subscription with its password, where somebody logs in with it.
    #[must_use]
    pub fn of(subscription: &Subscription, password: &Password) -> Self {
        let logs_in = Family::of(subscription.service) != Family::Static;
        Self { subscription: subscription.into(), password: logs_in.then(|| password.reveal().to_owned()) }
    }
}

impl fmt::Debug for SubscriptionAdded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionAdded").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}

impl fmt::Debug for SubscriptionNew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionNew").field("username", &self.username).finish_non_exhaustive()
    }
}

impl From<&Standing> for PeriodBody {
    fn from(standing: &Standing) -> Self {
        Self {
            started_at_ms: at_ms(standing.started_at),
            ends_at_ms: at_ms(standing.ends_at),
            quota_bytes: standing.bytes,
            topped_up_bytes: standing.topped_up_bytes,
            used_bytes: standing.used_bytes,
            left_bytes: standing.left_bytes(),
        }
    }
}

impl From<&Subscription> for SubscriptionBody {
    fn from(subscription: &Subscription) -> Self {
        Self {
            id: subscription.id.to_string(),
            customer_id: subscription.customer.to_string(),
            plan_id: subscription.plan.to_string(),
            plan_name: subscription.plan_name.clone(),
            price_cents: subscription.price.cents(),
            site_id: subscription.site.to_string(),
            router_id: subscription.router.to_string(),
            router_name: subscription.router_name.clone(),
            service_name: subscription.service.as_str().to_owned(),
            username: subscription.username.to_string(),
            address: subscription.address.map(|address| address.to_string()),
            caller_id: subscription.caller_id.as_ref().map(ToString::to_string),
            status: subscription.status.as_str().to_owned(),
            paid_until_ms: subscription.paid_until.map(at_ms),
            grace_until_ms: subscription.grace_until.map(at_ms),
            waits_since_ms: subscription.waits_since.map(at_ms),
            renews: subscription.renews,
            is_online: subscription.is_online,
            online_changed_at_ms: subscription.online_changed_at.map(at_ms),
            last_address: subscription.last_address.clone(),
            failure: subscription.failure.clone(),
            created_at_ms: at_ms(subscription.created_at),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("POST", "/api/subscriptions", post(create)),
        Route::new("GET", "/api/subscriptions/{id}", get(get_one)),
        Route::new("POST", "/api/subscriptions/{id}", post(edit)),
        Route::new("POST", "/api/subscriptions/{id}/hold", post(hold)),
        Route::new("POST", "/api/subscriptions/{id}/release", post(release)),
    ]
}

/// Adds a subscription. It stays off, or reaches the pay page alone where its plan says so, until it is paid for.
#[utoipa::path(
    post, path = "/api/subscriptions", tag = "subscriptions", request_body = SubscriptionNew,
    params(("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters")),
    responses(
        (status = 201, body = SubscriptionAdded), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn create(State(web): State<Web>, write: Write) -> Result<Response, ApiError> {
    let new: SubscriptionNew = write.read()?;
    let password = match &new.password {
        Some(text) => Password::parse(text)?,
        None => Password::random(&web.controller.ids),
    };
    let new = NewSubscription {
        customer: CustomerId::parse(&new.customer_id).map_err(|e| ApiError::invalid("customer_id", e))?,
        plan: PlanId::parse(&new.plan_id).map_err(|e| ApiError::invalid("plan_id", e))?,
        router: RouterId::parse(&new.router_id).map_err(|e| ApiError::invalid("router_id", e))?,
        username: Username::parse(&new.username)?,
        password: password.clone(),
        address: device::address(&new.address)?,
        caller_id: device::caller_id(&new.caller_id)?,
    };
    let mut once = match write.begin(&web, Permission::AddCustomers).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now) = (once.ids.clone(), once.now);
    let subscription = match super::create(once.connection(), new, &ids, now).await? {
        Created::Created(subscription) => subscription,
        Created::UsernameTaken => {
            return Err(ApiError::taken("username", "choose another for this router"));
        }
        Created::AddressTaken(holder) => return Err(address_taken(&holder)),
        Created::DeviceTaken(holder) => return Err(device_taken(&holder)),
        Created::Invalid(invalid) => return Err(invalid.into()),
        Created::NoSuchCustomer => return Err(ApiError::invalid("customer_id", "there is no such customer")),
        Created::NoSuchPlan => return Err(ApiError::invalid("plan_id", "there is no such plan")),
        Created::SiteRevoked => return Err(ApiError::invalid("router_id", "its site is revoked")),
        Created::NoSuchRouter => return Err(ApiError::invalid("router_id", "there is no such router")),
    };
    once.audit(Action::SubscriptionAdded, subscription.id.as_str(), subscription.username.as_str()).await?;
    let added = SubscriptionAdded::of(&subscription, &password);
    let live = web.controller.live.clone();
    let tell = move || {
        live.ring_outbox();
        live.tell(Hint::Line(subscription.id));
    };
    once.answer_and_tell(StatusCode::CREATED, &added, tell).await
}

/// One subscription with what it used.
#[utoipa::path(
    get, path = "/api/subscriptions/{id}", tag = "subscriptions", params(("id" = String, Path)),
    responses((status = 200, body = SubscriptionDetail), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(crate) async fn get_one(
    caller: Caller,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<SubscriptionDetail>, ApiError> {
    caller.require(Permission::Read)?;
    let id = LineId::parse(&id).map_err(|_| missing())?;
    let mut reader = reader(&web).await?;
    let subscription = super::get(&mut reader, &id).await?.ok_or_else(missing)?;
    let totals = usage::totals_of_line(&mut reader, &id).await?;
    let standing = quota::standing(&mut reader, &id, web.controller.clock.now()).await?;
    Ok(Json(SubscriptionDetail {
        subscription: (&subscription).into(),
        upload_bytes: totals.upload_bytes,
        download_bytes: totals.download_bytes,
        period: standing.as_ref().map(PeriodBody::from),
    }))
}

/// Changes a subscription: plan, own address, device, password. Name and router stay.
#[utoipa::path(
    post, path = "/api/subscriptions/{id}", tag = "subscriptions", request_body = SubscriptionChange,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, body = SubscriptionBody), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn edit(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let body: SubscriptionChange = write.read()?;
    let plan = body.plan_id.as_deref().map(PlanId::parse).transpose();
    let plan = plan.map_err(|error| ApiError::invalid("plan_id", error))?;
    let address = body.address.as_deref().map(device::address).transpose()?;
    let caller_id = body.caller_id.as_deref().map(device::caller_id).transpose()?;
    let password = body.password.as_deref().map(Password::parse).transpose()?;
    let id = LineId::parse(&id).map_err(|_| missing())?;
    let mut once = match write.begin(&web, Permission::AddCustomers).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let now = once.now;
    let change = |settings: &mut Settings| {
        settings.plan = plan.unwrap_or_else(|| settings.plan.clone());
        settings.address = address.unwrap_or(settings.address);
        settings.caller_id = caller_id.unwrap_or_else(|| settings.caller_id.clone());
        settings.renews = body.renews.unwrap_or(settings.renews);
        settings.password = password;
    };
    let subscription = match editing::edit(once.connection(), &id, change, now).await? {
        Edited::Edited { subscription, what, .. } => {
            once.audit(Action::SubscriptionChanged, id.as_str(), &what).await?;
            subscription
        }
        Edited::AlreadySo(subscription) => subscription,
        Edited::NoSuchSubscription => return Err(missing()),
        Edited::NoSuchPlan => return Err(ApiError::invalid("plan_id", "there is no such plan")),
        Edited::AddressTaken(holder) => return Err(address_taken(&holder)),
        Edited::DeviceTaken(holder) => return Err(device_taken(&holder)),
        Edited::Invalid(invalid) => return Err(invalid.into()),
    };
    let body = SubscriptionBody::from(&subscription);
    let live = web.controller.live.clone();
    let tell = move || {
        live.ring_outbox();
        live.tell(Hint::Line(id));
    };
    once.answer_and_tell(StatusCode::OK, &body, tell).await
}

/// Holds a subscription: the line is suspended as its plan says, paid or not, until it is released.
#[utoipa::path(
    post, path = "/api/subscriptions/{id}/hold", tag = "subscriptions",
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, body = SubscriptionBody), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 413, body = Problem),
    ),
)]
pub(crate) async fn hold(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    change(&web, &id, write, true).await
}

/// Releases a held subscription: what is paid for counts again. When nothing of it is left, a wallet that covers a period
/// buys it.
#[utoipa::path(
    post, path = "/api/subscriptions/{id}/release", tag = "subscriptions",
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, body = SubscriptionBody), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 413, body = Problem),
    ),
)]
pub(crate) async fn release(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    change(&web, &id, write, false).await
}

async fn change(web: &Web, id: &str, write: Write, is_hold: bool) -> Result<Response, ApiError> {
    let id = LineId::parse(id).map_err(|_| missing())?;
    let mut once = match write.begin(web, Permission::HoldSubscriptions).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor().to_string());
    let (changed, action) = if is_hold {
        (super::hold(once.connection(), &id, now).await?, Action::SubscriptionHeld)
    } else {
        let released = payments::release(once.connection(), &id, &actor, &ids, now).await?;
        (released.changed, Action::SubscriptionReleased)
    };
    match changed {
        Changed::NoSuchSubscription => return Err(missing()),
        Changed::AlreadySo => {}
        Changed::Changed(_) => once.audit(action, id.as_str(), "").await?,
    }
    let subscription = super::get(once.connection(), &id).await?.ok_or_else(missing)?;
    let body = SubscriptionBody::from(&subscription);
    let live = web.controller.live.clone();
    let tell = move || {
        live.ring_outbox();
        live.tell(Hint::Line(subscription.id));
    };
    once.answer_and_tell(StatusCode::OK, &body, tell).await
}

fn address_taken(holder: &Holder) -> ApiError {
    ApiError::taken_by("address", holder, "choose another for this router")
}

fn device_taken(holder: &Holder) -> ApiError {
    ApiError::taken_by("caller_id", holder, "send another device, or change that line first")
}

fn missing() -> ApiError {
    ApiError::not_found("subscription", "GET /api/customers/{id} lists a customer's subscriptions")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_no_debug_text() {
        let text = r#"{"customer_id":"c","plan_id":"p","router_id":"r","username":"line-1","password":"open sesame"}"#;
        let new: SubscriptionNew = serde_json::from_str(text).unwrap();
        let shown = format!("{new:?}");
        assert!(shown.contains("line-1") && !shown.contains("sesame"), "{shown}");
    }
}
