//! References for programs, such as one that writes invoices.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Added, Entered, MOST, Reference};
use crate::audit::Action;
use crate::customers;
use crate::ids::{CustomerId, LineId};
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Begun, Caller, Problem, Route, Write, at_ms, reader};

/// What a customer may type as account besides their account number.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReferenceBody {
    /// The form in which it is compared: letters in upper case and digits.
    pub reference: String,
    /// As it was entered.
    pub written: String,
    /// The subscription that it is for; null for whichever they pay.
    pub subscription_id: Option<String>,
    /// When it was entered.
    pub created_at_ms: i64,
}

/// A customer's references.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReferenceList {
    /// At most 60, newest first.
    pub references: Vec<ReferenceBody>,
}

/// A reference to enter.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceNew {
    /// 3 to 20 characters with a digit, such as `INV-2026-0012`. Small letters and what stands between do not matter.
    pub reference: String,
    /// The subscription that it is for; left out or null for whichever they pay.
    #[serde(default)]
    pub subscription_id: Option<String>,
}

/// A reference to take away.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceGone {
    /// Which, in any form.
    pub reference: String,
}

impl From<&Entered> for ReferenceBody {
    fn from(entered: &Entered) -> Self {
        Self {
            reference: entered.reference.to_string(),
            written: entered.written.clone(),
            subscription_id: entered.subscription.as_ref().map(ToString::to_string),
            created_at_ms: at_ms(entered.created_at),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/customers/{id}/references", get(list)),
        Route::new("POST", "/api/customers/{id}/references", post(add)),
        Route::new("POST", "/api/customers/{id}/references/remove", post(remove)),
    ]
}

fn no_customer() -> ApiError {
    ApiError::not_found("customer", "look it up with GET /api/customers?query=…")
}

/// What a customer may type as account besides their account number.
#[utoipa::path(
    get, path = "/api/customers/{id}/references", tag = "customers", params(("id" = String, Path)),
    responses((status = 200, body = ReferenceList), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(crate) async fn list(
    caller: Caller,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<ReferenceList>, ApiError> {
    caller.require(Permission::Read)?;
    let id = CustomerId::parse(&id).map_err(|_| no_customer())?;
    let mut reader = reader(&web).await?;
    customers::get(&mut reader, &id).await?.ok_or_else(no_customer)?;
    let found = super::of_customer(&mut reader, &id).await?;
    Ok(Json(ReferenceList { references: found.iter().map(ReferenceBody::from).collect() }))
}

/// Enters an invoice's number, or what else a customer may type as account. Payments that name it are theirs.
#[utoipa::path(
    post, path = "/api/customers/{id}/references", tag = "customers", request_body = ReferenceNew,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 201, body = ReferenceBody), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn add(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let new: ReferenceNew = write.read()?;
    let id = CustomerId::parse(&id).map_err(|_| no_customer())?;
    let reference =
        Reference::parse(&new.reference).map_err(|error| ApiError::invalid("reference", error))?;
    let subscription = new.subscription_id.as_deref().map(LineId::parse).transpose();
    let subscription = subscription.map_err(|error| ApiError::invalid("subscription_id", error))?;
    let mut once = match write.begin(&web, Permission::AssignPayments).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let now = once.now;
    let conflict = |code, message: &str, cure: &str| ApiError::new(StatusCode::CONFLICT, code, message, cure);
    let added = super::add(once.connection(), (&id, &new.reference), reference, subscription, now).await?;
    let entered = match added {
        Added::Added(entered) => entered,
        Added::NoSuchCustomer => return Err(no_customer()),
        Added::NotTheirs => {
            return Err(ApiError::invalid("subscription_id", "it is not that customer's"));
        }
        Added::AnothersAlready => {
            return Err(conflict(
                "anothers",
                "it is another customer's",
                "take it away from them first, if it is not theirs",
            ));
        }
        Added::TooMany => {
            return Err(conflict(
                "too_many",
                &format!("a customer has at most {MOST}"),
                "take away those that nobody pays by any more",
            ));
        }
    };
    once.audit(Action::ReferenceAdded, id.as_str(), entered.reference.as_str()).await?;
    once.answer(StatusCode::CREATED, &ReferenceBody::from(&entered)).await
}

/// Takes a reference away: payments that name it wait for a person from then on.
#[utoipa::path(
    post, path = "/api/customers/{id}/references/remove", tag = "customers", request_body = ReferenceGone,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, body = ReferenceList), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem),
    ),
)]
pub(crate) async fn remove(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let gone: ReferenceGone = write.read()?;
    let id = CustomerId::parse(&id).map_err(|_| no_customer())?;
    let missing = || ApiError::not_found("reference", "read them with GET /api/customers/{id}/references");
    let reference = Reference::typed(&gone.reference).ok_or_else(missing)?;
    let mut once = match write.begin(&web, Permission::AssignPayments).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    if !super::remove(once.connection(), &id, &reference).await? {
        return Err(missing());
    }
    once.audit(Action::ReferenceRemoved, id.as_str(), reference.as_str()).await?;
    let left = super::of_customer(once.connection(), &id).await?;
    let left = ReferenceList { references: left.iter().map(ReferenceBody::from).collect() };
    once.answer(StatusCode::OK, &left).await
}
