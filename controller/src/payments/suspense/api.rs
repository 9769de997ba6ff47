//! Suspense for programs: give a payment that is nobody's to a customer.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Assignment, NotAssigned, assign};
use crate::audit::Action;
use crate::ids::{CustomerId, LineId, PaymentId};
use crate::payments::api::PaymentBody;
use crate::payments::counter::placing::place;
use crate::payments::counter::{Clerk, OverPlaced};
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Begun, Problem, Route, Write};

/// To whom a payment goes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignmentNew {
    /// Whose it is.
    pub customer_id: String,
    /// Which of their subscriptions it is for; absent to leave it in the wallet.
    #[serde(default)]
    pub subscription_id: Option<String>,
}

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new("POST", "/api/payments/{id}/assign", post(assign_payment))]
}

/// Gives a payment that is nobody's to a customer: its money goes into their wallet, and buys a period of the
/// subscription that is named, if the wallet then covers one. Done once; a payment that has an owner keeps it.
#[utoipa::path(
    post, path = "/api/payments/{id}/assign", tag = "payments", request_body = AssignmentNew,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, description = "It is theirs", body = PaymentBody),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "It has an owner: see `code`", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn assign_payment(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let new: AssignmentNew = write.read()?;
    let payment = PaymentId::parse(&id).map_err(|_| no_payment())?;
    let customer =
        CustomerId::parse(&new.customer_id).map_err(|error| ApiError::invalid("customer_id", error))?;
    let subscription = new.subscription_id.as_deref().map(LineId::parse).transpose();
    let subscription = subscription.map_err(|error| ApiError::invalid("subscription_id", error))?;
    let mut once = match write.begin(&web, Permission::AssignPayments).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    let wanted = Assignment { payment, customer, subscription };
    let by = Clerk { actor: &actor, role: write.caller.role(), limits: web.counter };
    place(once.connection(), &wanted.payment, by, now).await?.map_err(over_placed)?;
    let assigned = assign(once.connection(), &wanted, &actor, &ids, now).await?.map_err(refused)?;
    once.audit(Action::PaymentAssigned, wanted.payment.as_str(), wanted.customer.as_str()).await?;
    let row = crate::payments::payment(once.connection(), &wanted.payment).await?.ok_or_else(no_payment)?;
    let live = web.controller.live.clone();
    once.answer_and_tell(StatusCode::OK, &PaymentBody::from(&row), move || assigned.tell(&live)).await
}

fn no_payment() -> ApiError {
    ApiError::not_found("payment", "use an id from GET /api/payments")
}

/// What a program is told whose person has given enough to customers for a day.
pub(in crate::payments) fn over_placed(over: OverPlaced) -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "over_limit",
        over.to_string(),
        "use a token of an owner, or raise the limit in [counter] of controller.toml",
    )
}

fn refused(why: NotAssigned) -> ApiError {
    let conflict = |code, message: &str, cure: &str| ApiError::new(StatusCode::CONFLICT, code, message, cure);
    match why {
        NotAssigned::NoSuchPayment => no_payment(),
        NotAssigned::AlreadySo => {
            conflict("already_so", "the payment is this customer's already", "nothing is to be done")
        }
        NotAssigned::HasOwner => {
            conflict("has_owner", "the payment is another customer's", "read the payment to see whose it is")
        }
        NotAssigned::NoSuchCustomer => ApiError::invalid("customer_id", "there is no such customer"),
        NotAssigned::NotTheirs => ApiError::invalid("subscription_id", "it is not that customer's"),
    }
}
