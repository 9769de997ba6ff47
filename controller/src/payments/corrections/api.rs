//! Corrections for programs: give a payment to whose it is, share it out, undo one of the counter, write off a debt.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::write_off::{NotWrittenOff, write_off};
use super::{
    Corrected, NotCorrected, PARTS_MOST, Part, Purchase, Purchased, Target, move_payment, split, undo,
};
use crate::audit::Action;
use crate::ids::{CustomerId, LineId, PaymentId};
use crate::ledger;
use crate::money::Money;
use crate::payments::api::PaymentBody;
use crate::payments::counter::Clerk;
use crate::payments::counter::placing::place;
use crate::payments::suspense::api::over_placed;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Begun, Once, Problem, Route, Write, at_ms};

/// Where a payment goes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveNew {
    /// Whose it is; null or absent for nobody's, so that it waits for somebody who knows.
    #[serde(default)]
    pub customer_id: Option<String>,
    /// Which of their subscriptions it is for; absent to leave it in the wallet.
    #[serde(default)]
    pub subscription_id: Option<String>,
}

/// One part of a payment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartNew {
    /// Whose it is; null or absent for nobody's.
    #[serde(default)]
    pub customer_id: Option<String>,
    /// Which of their subscriptions it is for; absent to leave it in the wallet.
    #[serde(default)]
    pub subscription_id: Option<String>,
    /// How much, in cents of KES.
    pub amount_cents: i64,
}

/// How a payment is shared out.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitNew {
    /// 2 to 20 parts, which together are the payment to the cent.
    pub parts: Vec<PartNew>,
}

/// Nothing is to be said.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoNew {}

/// What is written off.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteOffNew {
    /// How much, in cents of KES; absent for all that the customer owes.
    #[serde(default)]
    pub amount_cents: Option<i64>,
}

/// What was written off.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WriteOffBody {
    /// For whom.
    pub customer_id: String,
    /// How much, in cents of KES.
    pub amount_cents: i64,
    /// What is in their wallet now; below zero is owed.
    pub wallet_cents: i64,
}

/// Something that was bought and is taken back.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TakenBackBody {
    /// `period` or `top_up`.
    pub what: String,
    /// As it was called when it was sold.
    pub label: String,
    /// Of which subscription.
    pub subscription_id: String,
    /// Out of whose wallet it was bought.
    pub customer_id: String,
    /// What it cost, in cents of KES: what is left of that is in their wallet again, or went with the payment.
    pub price_cents: i64,
    /// When it was bought.
    pub bought_at_ms: i64,
}

/// What was corrected.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CorrectionBody {
    /// The payments that hold the money now: one that was moved, the parts of one that was split, one that is undone.
    pub payments: Vec<PaymentBody>,
    /// What was taken back of what it had bought. What is used of it is not given back.
    pub taken_back: Vec<TakenBackBody>,
    /// What was written off of time that was used with another's money, in cents of KES.
    pub written_off_cents: i64,
    /// What the customer who had it owes now, in cents of KES.
    pub owes_cents: i64,
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("POST", "/api/payments/{id}/move", post(move_one)),
        Route::new("POST", "/api/payments/{id}/split", post(split_one)),
        Route::new("POST", "/api/payments/{id}/undo", post(undo_one)),
        Route::new("POST", "/api/customers/{id}/write-offs", post(write_off_debt)),
    ]
}

/// Gives a payment to another customer, for another subscription, or to nobody. What it bought is taken back as far as it
/// is not used up: a line's end of what is paid goes back, and periods that were bought ahead with other money begin
/// sooner.
#[utoipa::path(
    post, path = "/api/payments/{id}/move", tag = "payments", request_body = MoveNew,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, description = "It is there", body = CorrectionBody),
        (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, description = "Not with this role, or over its limit: see `code`", body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "It cannot be moved: see `code`", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn move_one(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let new: MoveNew = write.read()?;
    let payment = PaymentId::parse(&id).map_err(|_| no_payment())?;
    let to = target(new.customer_id.as_deref(), new.subscription_id.as_deref())?;
    let mut once = match write.begin(&web, Permission::CorrectPayments).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    let by = Clerk { actor: &actor, role: write.caller.role(), limits: web.counter };
    place(once.connection(), &payment, by, now).await?.map_err(over_placed)?;
    let moved = move_payment(once.connection(), (&payment, &to), by, &ids, now).await?.map_err(refused)?;
    once.audit(Action::PaymentMoved, payment.as_str(), &moved.in_words).await?;
    answer(once, moved, &web).await
}

/// Shares a payment out over several customers. The parts are payments of their own, each with a receipt of ours.
#[utoipa::path(
    post, path = "/api/payments/{id}/split", tag = "payments", request_body = SplitNew,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, description = "It is in parts", body = CorrectionBody),
        (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, description = "Not with this role, or over its limit: see `code`", body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "It cannot be split: see `code`", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn split_one(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let new: SplitNew = write.read()?;
    let payment = PaymentId::parse(&id).map_err(|_| no_payment())?;
    let part = |part: &PartNew| {
        let to = target(part.customer_id.as_deref(), part.subscription_id.as_deref())?;
        Ok(Part { to, amount: Money::from_cents(part.amount_cents) })
    };
    let parts: Vec<Part> =
        new.parts.iter().take(PARTS_MOST.saturating_add(1)).map(part).collect::<Result<_, ApiError>>()?;
    let mut once = match write.begin(&web, Permission::CorrectPayments).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    let by = Clerk { actor: &actor, role: write.caller.role(), limits: web.counter };
    place(once.connection(), &payment, by, now).await?.map_err(over_placed)?;
    let done = split(once.connection(), (&payment, &parts), by, &ids, now).await?.map_err(refused)?;
    once.audit(Action::PaymentSplit, payment.as_str(), &done.in_words).await?;
    answer(once, done, &web).await
}

/// Undoes a booking at the counter: the money never came. What it bought is taken back as far as it is not used up.
#[utoipa::path(
    post, path = "/api/payments/{id}/undo", tag = "payments", request_body = UndoNew,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, description = "It is undone", body = CorrectionBody),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "It cannot be undone: see `code`", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn undo_one(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let UndoNew {} = write.read()?;
    let payment = PaymentId::parse(&id).map_err(|_| no_payment())?;
    let mut once = match write.begin(&web, Permission::UndoPayments).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    let undone = undo(once.connection(), &payment, &actor, &ids, now).await?.map_err(refused)?;
    once.audit(Action::PaymentUndone, payment.as_str(), &undone.in_words).await?;
    answer(once, undone, &web).await
}

/// Writes off what a customer owes: money that was another customer's was taken out of their wallet, and was used up.
#[utoipa::path(
    post, path = "/api/customers/{id}/write-offs", tag = "payments", request_body = WriteOffNew,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 201, description = "It is written off", body = WriteOffBody),
        (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, description = "Not with this role, or over its limit: see `code`", body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "They owe less", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn write_off_debt(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let new: WriteOffNew = write.read()?;
    let customer = CustomerId::parse(&id).map_err(|_| no_customer())?;
    let amount = new.amount_cents.map(Money::from_cents);
    let mut once = match write.begin(&web, Permission::WriteOff).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    let writer = Clerk { actor: &actor, role: write.caller.role(), limits: web.counter };
    let written = write_off(once.connection(), (&customer, amount), writer, &ids, now).await?;
    let amount = written.map_err(not_written_off)?;
    once.audit(Action::DebtWrittenOff, customer.as_str(), &amount.to_string()).await?;
    let wallet = ledger::wallet_of(once.connection(), &customer).await?;
    let body = WriteOffBody {
        customer_id: customer.to_string(),
        amount_cents: amount.cents(),
        wallet_cents: wallet.cents(),
    };
    let live = web.controller.live.clone();
    let tell = move || live.tell(crate::live::Hint::Payment(customer));
    once.answer_and_tell(StatusCode::CREATED, &body, tell).await
}

fn target(customer: Option<&str>, line: Option<&str>) -> Result<Target, ApiError> {
    let customer = customer.map(CustomerId::parse).transpose();
    let customer = customer.map_err(|error| ApiError::invalid("customer_id", error))?;
    let line = line.map(LineId::parse).transpose();
    let line = line.map_err(|error| ApiError::invalid("subscription_id", error))?;
    match (customer, line) {
        (Some(customer), line) => Ok(Target::Customer(customer, line)),
        (None, None) => Ok(Target::Suspense),
        (None, Some(_)) => Err(ApiError::invalid("customer_id", "name the customer of the subscription")),
    }
}

async fn answer(mut once: Once, corrected: Corrected, web: &Web) -> Result<Response, ApiError> {
    let mut payments = Vec::with_capacity(corrected.payments.len());
    for payment in &corrected.payments {
        let row = crate::payments::payment(once.connection(), payment).await?.ok_or_else(no_payment)?;
        payments.push(PaymentBody::from(&row));
    }
    let taken_back = |bought: &Purchase| TakenBackBody {
        what: match bought.what {
            Purchased::Period { .. } => "period",
            Purchased::TopUp { .. } => "top_up",
        }
        .to_owned(),
        label: bought.label.clone(),
        subscription_id: bought.line.to_string(),
        customer_id: bought.customer.to_string(),
        price_cents: bought.price.cents(),
        bought_at_ms: at_ms(bought.bought_at),
    };
    let body = CorrectionBody {
        payments,
        taken_back: corrected.taken_back.iter().map(taken_back).collect(),
        written_off_cents: corrected.written_off.cents(),
        owes_cents: corrected.owes.cents(),
    };
    let live = web.controller.live.clone();
    once.answer_and_tell(StatusCode::OK, &body, move || corrected.tell(&live)).await
}

fn no_payment() -> ApiError {
    ApiError::not_found("payment", "use an id from GET /api/payments")
}

fn no_customer() -> ApiError {
    ApiError::not_found("customer", "use an id from GET /api/customers")
}

fn refused(why: NotCorrected) -> ApiError {
    let conflict =
        |code, message: String, cure: &str| ApiError::new(StatusCode::CONFLICT, code, message, cure);
    match why {
        NotCorrected::NoSuchPayment => no_payment(),
        NotCorrected::Closed(closed) => conflict(
            closed.as_str(),
            "the payment is no money of anybody's any more".to_owned(),
            "correct its parts, if it is split",
        ),
        NotCorrected::InRefund => conflict(
            "in_refund",
            "some of it goes back to whoever paid it, or has gone".to_owned(),
            "read GET /api/refunds",
        ),
        NotCorrected::AlreadySo => {
            conflict("already_so", "the payment is there already".to_owned(), "nothing is to be done")
        }
        NotCorrected::NoSuchCustomer => ApiError::invalid("customer_id", "there is no such customer"),
        NotCorrected::NotTheirs => ApiError::invalid("subscription_id", "it is not that customer's"),
        NotCorrected::NotTheWhole(sum) => {
            ApiError::invalid("parts", format!("together they are KES {sum}, and not the payment"))
        }
        NotCorrected::BadParts => {
            ApiError::invalid("parts", format!("give 2 to {PARTS_MOST}, each of more than nothing"))
        }
        NotCorrected::WasPaid => conflict(
            "was_paid",
            "M-Pesa has the money".to_owned(),
            "move the payment to whose it is, or to nobody",
        ),
        NotCorrected::NotInDrawer(holds) => conflict(
            "not_in_drawer",
            format!("whoever took the cash holds KES {holds}: the rest is at the bank"),
            "move the payment to whose it is",
        ),
        NotCorrected::OverWriteOff { most, written_off } => ApiError::new(
            StatusCode::FORBIDDEN,
            "over_limit",
            format!(
                "what was used of it is written off: this token may write off KES {most} a day and has written off \
                 {written_off}"
            ),
            "use a token of an owner, or raise the limit in [counter] of controller.toml",
        ),
    }
}

fn not_written_off(why: NotWrittenOff) -> ApiError {
    match why {
        NotWrittenOff::NoSuchCustomer => no_customer(),
        NotWrittenOff::NoAmount => ApiError::invalid("amount_cents", "nothing is owed, or it is nothing"),
        NotWrittenOff::OwesLess(owes) => ApiError::new(
            StatusCode::CONFLICT,
            "owes_less",
            format!("they owe KES {owes}"),
            "leave amount_cents out for all of it",
        ),
        NotWrittenOff::OverLimit { most, written_off } => ApiError::new(
            StatusCode::FORBIDDEN,
            "over_limit",
            format!("this token may write off KES {most} a day and has written off {written_off}"),
            "use a token of an owner, or raise the limit in [counter] of controller.toml",
        ),
    }
}
