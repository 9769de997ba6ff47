//! The code of a line for programs that print bills.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::line::{NotPayable, Payable};
use crate::ids::LineId;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Caller, Problem, Route};

/// A code to scan with the M-Pesa app, and what it says.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PaymentCodeBody {
    /// `PB`: to a paybill; `BG`: to a till.
    pub kind: String,
    /// Who is paid: the paybill, or the till's own number.
    pub payee: String,
    /// The account number.
    pub account_number: String,
    /// How much: one period, in cents of KES.
    pub amount_cents: i64,
    /// The picture: a PNG in base64.
    pub png_base64: String,
}

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new("GET", "/api/subscriptions/{id}/payment-code", get(code))]
}

/// The code that pays for one period of a subscription. Safaricom draws it, and it is held for a day.
#[utoipa::path(
    get, path = "/api/subscriptions/{id}/payment-code", tag = "subscriptions", params(("id" = String, Path)),
    responses(
        (status = 200, body = PaymentCodeBody), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, description = "It cannot be paid for so: see `code`", body = Problem),
        (status = 503, description = "Safaricom gives no code now", body = Problem),
    ),
)]
pub(crate) async fn code(
    caller: Caller,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<PaymentCodeBody>, ApiError> {
    caller.require(Permission::Read)?;
    let missing = || ApiError::not_found("subscription", "use an id from GET /api/customers/{id}");
    let id = LineId::parse(&id).map_err(|_| missing())?;
    let payable = Payable::find(&web.controller, web.short_codes.as_ref(), &id).await;
    let payable = payable.map_err(|error| ApiError::failed(&error.into()))?.map_err(|why| match why {
        NotPayable::NoSuchLine => missing(),
        _ => ApiError::new(StatusCode::CONFLICT, "no_code", "there is no code for it", why.words()),
    })?;
    let code = payable.code(&web.codes, &web.controller.clock).await.map_err(|why| {
        let cure = "try again in a minute; until then the customer pays by Paybill";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "code_unavailable", why.to_string(), cure)
    })?;
    let wanted = payable.wanted();
    Ok(Json(PaymentCodeBody {
        kind: wanted.kind.to_owned(),
        payee: wanted.payee.clone(),
        account_number: wanted.account.clone(),
        amount_cents: payable.amount().cents(),
        png_base64: code.base64(),
    }))
}
