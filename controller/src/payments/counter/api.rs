//! The counter for programs: book what a customer brought, read who holds how much cash, and say that it is at the bank.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Banking, Brought, Clerk, Drawer, Means, NOTE_CHARACTERS, NotBanked, NotTaken, read_reference};
use crate::audit::Action;
use crate::ids::{CustomerId, IdSource, LineId};
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::payments::api::PaymentBody;
use crate::payments::pages::OCCASION_DIGITS;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Begun, Caller, Problem, Route, Write, reader};

/// What a customer brought.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CounterPaymentNew {
    /// Which of their subscriptions it is for; absent to leave it in the wallet.
    #[serde(default)]
    pub subscription_id: Option<String>,
    /// How much, in cents of KES.
    pub amount_cents: i64,
    /// `cash` or `bank`.
    pub means: String,
    /// The bank's reference, 1 to 32 letters and digits: each is booked once. For `bank` alone.
    #[serde(default)]
    pub reference: Option<String>,
    /// Up to 200 characters.
    #[serde(default)]
    pub note: String,
    /// True says that it is other cash than the same amount of the same customer within the last two minutes, which is refused
    /// otherwise.
    #[serde(default)]
    pub is_another: bool,
}

/// Cash that somebody holds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DrawerBody {
    /// Who: `staff:` and a login, or `token:` and a name.
    pub holder: String,
    /// How much, in cents of KES.
    pub holds_cents: i64,
}

/// All cash that was taken and is not at the bank.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CashBody {
    /// The most first.
    pub drawers: Vec<DrawerBody>,
}

/// Cash that was brought to the bank.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BankingNew {
    /// Who held it, as `GET /api/cash` says it.
    pub holder: String,
    /// How much, in cents of KES.
    pub amount_cents: i64,
    /// The number of the deposit slip: each is booked once.
    pub slip: String,
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("POST", "/api/customers/{id}/counter-payments", post(take)),
        Route::new("GET", "/api/cash", get(cash)),
        Route::new("POST", "/api/cash/bankings", post(bank)),
    ]
}

/// Books what a customer brought, within the limits of the token's role. It goes into their wallet, and buys a period of
/// the subscription that is named, if the wallet then covers one.
#[utoipa::path(
    post, path = "/api/customers/{id}/counter-payments", tag = "payments", request_body = CounterPaymentNew,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 201, description = "It is booked", body = PaymentBody),
        (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, description = "Not with this role, or over its limit: see `code`", body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "The transfer is booked, or the cash may be: see `code`", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn take(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let new: CounterPaymentNew = write.read()?;
    let customer = CustomerId::parse(&id).map_err(|_| no_customer())?;
    let brought = read(customer, new, &web.controller.ids)?;
    let mut once = match write.begin(&web, Permission::TakePayments).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    let taker = Clerk { actor: &actor, role: write.caller.role(), limits: web.counter };
    let received = super::take(once.connection(), &brought, taker, &ids, now).await?.map_err(not_taken)?;
    let payment = received.payment.clone();
    once.audit(Action::PaymentTaken, payment.as_str(), brought.means.provider().as_str()).await?;
    let row = crate::payments::payment(once.connection(), &payment).await?.ok_or_else(no_customer)?;
    let live = web.controller.live.clone();
    once.answer_and_tell(StatusCode::CREATED, &PaymentBody::from(&row), move || received.tell(&live)).await
}

fn read(customer: CustomerId, new: CounterPaymentNew, ids: &IdSource) -> Result<Brought, ApiError> {
    let subscription = new.subscription_id.as_deref().map(LineId::parse).transpose();
    let subscription = subscription.map_err(|error| ApiError::invalid("subscription_id", error))?;
    let means = match (new.means.as_str(), &new.reference) {
        // The key of the write is what tells one from another.
        ("cash", None) => {
            ReceiptNumber::parse(&ids.hex(OCCASION_DIGITS / 2)).map(|occasion| Means::Cash { occasion })
        }
        ("cash", Some(_)) => return Err(ApiError::invalid("reference", "cash has none: leave it out")),
        ("bank", reference) => {
            reference.as_deref().and_then(read_reference).map(|reference| Means::Bank { reference })
        }
        _ => return Err(ApiError::invalid("means", "use cash or bank")),
    };
    let means = means.ok_or_else(|| {
        ApiError::invalid("reference", "give the bank's reference: 1 to 32 letters and digits")
    })?;
    let amount = Money::from_cents(new.amount_cents);
    Ok(Brought { customer, subscription, amount, means, note: new.note, is_another: new.is_another })
}

/// Who holds how much of the cash that was taken.
#[utoipa::path(
    get, path = "/api/cash", tag = "payments",
    responses(
        (status = 200, body = CashBody),
        (status = 401, body = Problem), (status = 403, body = Problem),
    ),
)]
pub(crate) async fn cash(State(web): State<Web>, caller: Caller) -> Result<Json<CashBody>, ApiError> {
    caller.require(Permission::Read)?;
    let drawers = super::drawers(&mut *reader(&web).await?).await?;
    let body = |Drawer { holder, holds }: Drawer| DrawerBody { holder, holds_cents: holds.cents() };
    Ok(Json(CashBody { drawers: drawers.into_iter().map(body).collect() }))
}

/// Books that cash which somebody held is at the bank.
#[utoipa::path(
    post, path = "/api/cash/bankings", tag = "payments", request_body = BankingNew,
    params(("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters")),
    responses(
        (status = 201, description = "It is booked", body = BankingNew),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, description = "The slip is booked, or they hold less: see `code`", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn bank(State(web): State<Web>, write: Write) -> Result<Response, ApiError> {
    let new: BankingNew = write.read()?;
    let slip = read_reference(&new.slip)
        .ok_or_else(|| ApiError::invalid("slip", "give the slip's number: 1 to 32 letters and digits"))?;
    let banking = Banking { holder: new.holder.clone(), amount: Money::from_cents(new.amount_cents), slip };
    let mut once = match write.begin(&web, Permission::BankCash).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    super::bank(once.connection(), &banking, &actor, &ids, now).await?.map_err(not_banked)?;
    let detail = format!("{} of {}", banking.amount, banking.holder);
    once.audit(Action::CashBanked, banking.slip.as_str(), &detail).await?;
    once.answer(StatusCode::CREATED, &new).await
}

fn no_customer() -> ApiError {
    ApiError::not_found("customer", "use an id from GET /api/customers")
}

fn not_taken(why: NotTaken) -> ApiError {
    match why {
        NotTaken::NoAmount => ApiError::invalid("amount_cents", "it must be more than nothing"),
        NotTaken::LongNote => ApiError::invalid("note", format!("use up to {NOTE_CHARACTERS} characters")),
        NotTaken::NoSuchCustomer => no_customer(),
        NotTaken::NotTheirs => ApiError::invalid("subscription_id", "it is not that customer's"),
        NotTaken::OverLimit(over) => ApiError::new(
            StatusCode::FORBIDDEN,
            "over_limit",
            over.to_string(),
            "use a token of an owner, or raise the limit in [counter] of controller.toml",
        ),
        NotTaken::PerhapsTaken(payment) => ApiError::new(
            StatusCode::CONFLICT,
            "perhaps_taken",
            "as much cash was taken of this customer less than two minutes ago",
            format!("read it with GET /api/payments/{payment}, and send is_another if this is other cash"),
        ),
        NotTaken::AlreadyTaken(payment) => ApiError::new(
            StatusCode::CONFLICT,
            "already_taken",
            "this transfer was booked before",
            format!("read it with GET /api/payments/{payment}"),
        ),
    }
}

fn not_banked(why: NotBanked) -> ApiError {
    let conflict =
        |code, message: String, cure: &str| ApiError::new(StatusCode::CONFLICT, code, message, cure);
    match why {
        NotBanked::NoAmount => ApiError::invalid("amount_cents", "it must be more than nothing"),
        NotBanked::MoreThanHeld { holds } => conflict(
            "more_than_held",
            format!("they hold KES {holds}"),
            "read GET /api/cash, and bring no more",
        ),
        NotBanked::AlreadyBanked => conflict(
            "already_banked",
            "this slip was booked before".to_owned(),
            "use the number of this slip",
        ),
    }
}
