//! Payments for programs: ask a phone for one, and read how far it came, from money to packets.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

use super::request::{Prepared, prepare};
use super::search::{self, Search};
use super::traces::api::TraceBody;
use super::{FromWallet, NoTopUp, Open, PaymentRow, RequestPayment, Requested, ToppedUp};
use crate::audit::Action;
use crate::customers::phone::Msisdn;
use crate::ids::{IntentId, LineId, PaymentId, TopUpId};
use crate::money::Money;
use crate::mpesa::ShortCodes;
use crate::mpesa::c2b::Heard;
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::intent::Intent;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, ApiQuery, Begun, Caller, Problem, Route, Write, at_ms, reader};

/// How long a caller waits for Safaricom, who mostly takes a second: less than a request may take at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);
/// Payments in one answer, at most.
const LISTED_MOST: u32 = 200;
const LISTED: u32 = 50;

/// A request for payment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct IntentBody {
    /// Id.
    pub id: String,
    /// For which subscription.
    pub subscription_id: String,
    /// Which top-up it is to buy; null for a period.
    pub top_up_id: Option<String>,
    /// Of which customer.
    pub customer_id: String,
    /// What its money buys when it comes as it was asked for: `period`, `top_up` or `nothing`. Nothing, where it is less
    /// than a period lacks or the subscription was on hold: then it waits in the wallet, and in the list of what a person
    /// has to look at.
    pub buys: String,
    /// `created`, `submitting`, `prompted`, `submit_unknown`, `paid_unreceipted`, `paid`, `declined`, `expired` or
    /// `review`.
    pub state: String,
    /// How much was asked for, in cents of KES.
    pub amount_cents: i64,
    /// Whose phone, with most digits hidden.
    pub phone: String,
    /// M-Pesa's receipt, once paid.
    pub receipt_number: Option<String>,
    /// Safaricom's code, once there is a result.
    pub result_code: Option<String>,
    /// Safaricom's words for it.
    pub result_description: Option<String>,
    /// What staff can tell the customer now.
    pub advice: String,
    /// When it was asked for.
    pub created_at_ms: i64,
    /// When it last changed.
    pub updated_at_ms: i64,
}

/// A period that the wallet bought instead of a payment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FromWalletBody {
    /// `bought_from_wallet`: no request of this word exists, so that the two answers are told apart.
    pub state: String,
    /// For which subscription.
    pub subscription_id: String,
    /// Out of which customer's wallet.
    pub customer_id: String,
    /// What it cost, in cents of KES.
    pub price_cents: i64,
    /// The new end of what is paid for.
    pub paid_until_ms: i64,
}

/// A top-up that the wallet bought.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ToppedUpBody {
    /// `topped_up_from_wallet`: no request of this word exists, so that the answers are told apart.
    pub state: String,
    /// For which subscription.
    pub subscription_id: String,
    /// Out of which customer's wallet.
    pub customer_id: String,
    /// Which top-up.
    pub top_up_id: String,
    /// What it cost, in cents of KES.
    pub price_cents: i64,
    /// What it added to the running period.
    pub bytes: u64,
    /// When that period ends.
    pub until_at_ms: i64,
}

/// What the wallet bought instead of a payment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum BoughtBody {
    /// A period.
    Period(FromWalletBody),
    /// A top-up.
    TopUp(ToppedUpBody),
}

/// A payment to ask for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentRequestNew {
    /// Whose phone; absent for the customer's own.
    #[serde(default)]
    pub phone: Option<String>,
    /// A top-up that the money is to buy; absent for a period.
    #[serde(default)]
    pub top_up_id: Option<String>,
    /// How much, in cents of KES, whole shillings; absent for what the wallet lacks.
    #[serde(default)]
    pub amount_cents: Option<i64>,
}

/// A top-up to buy out of the wallet.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUpWanted {
    /// Which; see `GET /api/top-ups`.
    pub top_up_id: String,
}

/// A payment, credited once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PaymentBody {
    /// Id.
    pub id: String,
    /// What it came by: `mpesa`, `cash` or `bank`.
    pub provider: String,
    /// The number of our own receipt: 1 for the first payment, and none is left out.
    pub serial: i64,
    /// M-Pesa's receipt or the bank's reference; for cash, letters that tell it from others.
    pub receipt_number: String,
    /// How much, in cents of KES.
    pub amount_cents: i64,
    /// Whose; null while nobody's.
    pub customer_id: Option<String>,
    /// Their name.
    pub customer_name: String,
    /// Their account number.
    pub account_number: String,
    /// For which subscription.
    pub subscription_id: Option<String>,
    /// Asked for by which request.
    pub intent_id: Option<String>,
    /// Why it is nobody's: `no_account`, `not_an_account`, `check_digit`, `unknown_account`, `unknown_phone`, `shared_phone`,
    /// `ambiguous`, `unknown_kind` or `taken_back` (from somebody whose it was not); null where it is somebody's.
    pub no_owner: Option<String>,
    /// Why it bought nothing and lies in the wallet: `too_little`, `on_hold`, `site_revoked`, `unclear` (it may be for one of
    /// several things) or `other`; null where it was used, then or since, or came for no subscription.
    pub unspent: Option<String>,
    /// Why it is nobody's money any more: `split` (into parts), `undone` or `refunded`; else null.
    pub closed: Option<String>,
    /// The payment that it is a part of.
    pub part_of_id: Option<String>,
    /// When Safaricom told us.
    pub received_at_ms: i64,
    /// When it was in the books.
    pub booked_at_ms: i64,
    /// How it went on from there; null while it bought nothing.
    pub trace: Option<TraceBody>,
}

/// Payments, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PaymentList {
    /// Newest first.
    pub payments: Vec<PaymentBody>,
    /// What to send as `before` for the older ones; null where there may be none.
    pub next: Option<String>,
}

/// Which payments, and how many.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Only the one with this receipt number of M-Pesa, in any case. What narrows besides is not looked at then.
    receipt: Option<String>,
    /// Only those with this receipt number or bank reference, account number, or number of our receipt.
    #[serde(default)]
    text: String,
    /// Only those that came by `mpesa`, `cash` or `bank`.
    #[serde(default)]
    provider: String,
    /// Only those that stand so: `connected`, `waiting`, `wallet` or `nobodys`.
    #[serde(default)]
    standing: String,
    /// Received from this day in Nairobi on, such as `2026-11-26`.
    #[serde(default)]
    from: String,
    /// Received up to the end of this day in Nairobi.
    #[serde(default)]
    until: String,
    /// The `next` of the answer before this one.
    #[serde(default)]
    before: String,
    /// 1 to 200; absent for 50.
    limit: Option<u32>,
}

impl Wanted {
    fn search(&self) -> Result<Search, ApiError> {
        let Self { text, provider, standing, from, until, before, .. } = self.clone();
        let asked = search::Asked { text, provider, standing, from, until, before };
        asked.read().map_err(|unreadable| ApiError::invalid(unreadable.field, unreadable.reason))
    }
}

impl IntentBody {
    fn of(intent: &Intent, heard: &Heard) -> Self {
        let result = intent.result();
        Self {
            id: intent.id.to_string(),
            subscription_id: intent.subscription.to_string(),
            top_up_id: intent.top_up.as_ref().map(ToString::to_string),
            customer_id: intent.customer.to_string(),
            buys: match (&intent.top_up, intent.is_to_buy()) {
                (Some(_), _) => "top_up",
                (None, true) => "period",
                (None, false) => "nothing",
            }
            .to_owned(),
            state: intent.state.as_str().to_owned(),
            amount_cents: intent.amount.cents(),
            phone: intent.phone.to_string(),
            receipt_number: intent.receipt().map(str::to_owned),
            result_code: result.map(|(code, _)| code.to_owned()),
            result_description: result.map(|(_, description)| description.to_owned()),
            advice: intent.advice(heard.has(&intent.short_code)).to_owned(),
            created_at_ms: at_ms(intent.created_at),
            updated_at_ms: at_ms(intent.updated_at),
        }
    }
}

impl From<&FromWallet> for FromWalletBody {
    fn from(bought: &FromWallet) -> Self {
        Self {
            state: "bought_from_wallet".to_owned(),
            subscription_id: bought.subscription.to_string(),
            customer_id: bought.customer.to_string(),
            price_cents: bought.price.cents(),
            paid_until_ms: at_ms(bought.paid_until),
        }
    }
}

impl From<&ToppedUp> for ToppedUpBody {
    fn from(bought: &ToppedUp) -> Self {
        Self {
            state: "topped_up_from_wallet".to_owned(),
            subscription_id: bought.subscription.to_string(),
            customer_id: bought.customer.to_string(),
            top_up_id: bought.top_up.id.to_string(),
            price_cents: bought.top_up.price.cents(),
            bytes: bought.top_up.bytes,
            until_at_ms: at_ms(bought.until),
        }
    }
}

impl From<&PaymentRow> for PaymentBody {
    fn from(row: &PaymentRow) -> Self {
        let payment = &row.payment;
        Self {
            id: payment.id.to_string(),
            provider: payment.provider.as_str().to_owned(),
            serial: payment.serial,
            receipt_number: payment.receipt_number.clone(),
            amount_cents: payment.amount.cents(),
            customer_id: payment.customer.as_ref().map(ToString::to_string),
            customer_name: row.customer_name.clone(),
            account_number: row.account_number.clone(),
            subscription_id: payment.subscription.as_ref().map(ToString::to_string),
            intent_id: payment.intent.as_ref().map(ToString::to_string),
            no_owner: payment.no_owner.map(|why| why.as_str().to_owned()),
            unspent: payment.unspent.map(|unspent| unspent.as_str().to_owned()),
            closed: payment.closed.map(|closed| closed.as_str().to_owned()),
            part_of_id: payment.part_of.as_ref().map(ToString::to_string),
            received_at_ms: at_ms(payment.received_at),
            booked_at_ms: at_ms(payment.booked_at),
            trace: row.trace.as_ref().map(TraceBody::from),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("POST", "/api/subscriptions/{id}/payment-requests", post(request)),
        Route::new("POST", "/api/subscriptions/{id}/top-ups", post(top_up)),
        Route::new("GET", "/api/intents/{id}", get(get_intent)),
        Route::new("GET", "/api/payments", get(list)),
        Route::new("GET", "/api/payments/{id}", get(get_one)),
    ]
    .into_iter()
    .chain(super::review::api::routes())
    .chain(super::corrections::api::routes())
    .chain(super::refunds::api::routes())
    .chain(super::counter::api::routes())
    .chain(super::suspense::api::routes())
    .collect()
}

/// Asks a phone for a payment: the customer sees a prompt and types their PIN. When the wallet covers one period, or the
/// top-up that is asked for, nothing is asked, whatever the amount: it is bought at once, and none other within two
/// minutes.
#[utoipa::path(
    post, path = "/api/subscriptions/{id}/payment-requests", tag = "payments", request_body = PaymentRequestNew,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, description = "The wallet covered the period, or the top-up, and bought it; no phone was asked",
            body = BoughtBody),
        (status = 201, description = "The phone was asked, or M-Pesa refused: see `state`", body = IntentBody),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "A request for the same or on the same phone is still open, the wallet has just bought something, the subscription \
            is on hold and the wallet covers it, it cannot use that top-up, or its site is revoked: see `code`",
            body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
        (status = 503, description = "M-Pesa is not set up", body = Problem),
    ),
)]
pub(crate) async fn request(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let new: PaymentRequestNew = write.read()?;
    let subscription = LineId::parse(&id).map_err(|_| no_subscription())?;
    let phone = new.phone.as_deref().map(Msisdn::parse).transpose();
    let phone = phone.map_err(|error| ApiError::invalid("phone", error))?;
    let top_up = new.top_up_id.as_deref().map(TopUpId::parse).transpose();
    let top_up = top_up.map_err(|error| ApiError::invalid("top_up_id", error))?;
    write.caller.require(Permission::AskForPayment)?;
    let short_codes = web.short_codes.clone().ok_or_else(not_set_up)?;
    let request = RequestPayment {
        subscription,
        top_up,
        phone,
        amount: new.amount_cents.map(Money::from_cents),
        leaves_wallet: false,
        requested_by: write.caller.actor(),
    };
    // On a task of its own, so that the answer is kept under the key when the caller goes away or Safaricom is slow.
    let asking = tokio::spawn(ask(web, short_codes, write, request));
    match timeout(ANSWER_WITHIN, asking).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Err(ApiError::failed(&error.into())),
        Err(_) => Err(ApiError::in_progress()),
    }
}

/// Two transactions around one prompt: the key with the request, and what M-Pesa said with the answer.
async fn ask(
    web: Web,
    short_codes: ShortCodes,
    write: Write,
    request: RequestPayment,
) -> Result<Response, ApiError> {
    let controller = &web.controller;
    let mut once = match write.begin(&web, Permission::AskForPayment).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let asked = match prepare(once.connection(), controller, &short_codes, request).await? {
        Prepared::Ready(asked) => asked,
        Prepared::Bought(bought) => {
            let response = once.answer(StatusCode::OK, &FromWalletBody::from(&bought)).await?;
            bought.tell(controller);
            return Ok(response);
        }
        Prepared::ToppedUp(bought) => {
            let response = once.answer(StatusCode::OK, &ToppedUpBody::from(&*bought)).await?;
            bought.tell(controller);
            return Ok(response);
        }
        // Dropped without an answer: the key is free again.
        Prepared::Answer(refused) => return Err(refusal(&refused)),
    };
    let reserved = once.reserve().await?;
    let answered = asked.send(controller).await;
    let mut transaction = controller.database.write().await?;
    let requested = answered.note(&mut transaction, controller.clock.now()).await?;
    let Some(intent) = requested.sent() else { return Err(refusal(&requested)) };
    let body = IntentBody::of(intent, &web.heard(&mut transaction).await?);
    let response = reserved.keep(&mut transaction, StatusCode::CREATED, &body).await?;
    transaction.commit().await?;
    requested.tell(controller);
    Ok(response)
}

/// Why nothing is sent.
fn refusal(requested: &Requested) -> ApiError {
    match requested {
        Requested::AlreadyOpen(open) => already_open(open),
        Requested::JustBought { wait } => ApiError::new(
            StatusCode::CONFLICT,
            "just_bought",
            "the wallet bought the same for this subscription less than two minutes ago",
            "ask again later if another is wanted",
        )
        .retry_after(wait.as_secs().max(1)),
        Requested::OnHold { .. } => ApiError::new(
            StatusCode::CONFLICT,
            "on_hold",
            "the subscription is on hold, and its customer's wallet covers a period",
            "release the subscription: nobody has to pay first",
        ),
        Requested::NoSuchSubscription => no_subscription(),
        Requested::SiteRevoked => ApiError::new(
            StatusCode::CONFLICT,
            "site_revoked",
            "the site of this subscription is revoked",
            "ask for no money: nothing that is paid for there comes on",
        ),
        Requested::NoTopUp(why) => no_top_up(why),
        Requested::BadAmount => ApiError::invalid("amount_cents", "ask for 1 to 250,000 whole shillings"),
        Requested::BelowTopUp { lacking } => ApiError::invalid(
            "amount_cents",
            format!("the top-up needs {} cents, or leave it out", lacking.cents()),
        ),
        Requested::Prompted(_)
        | Requested::NotKnown(_)
        | Requested::Declined(_)
        | Requested::BoughtFromWallet(_)
        | Requested::ToppedUp(_) => ApiError::in_progress(),
    }
}

/// What an open request stands in the way of.
fn already_open(open: &Open) -> ApiError {
    let message = format!("{} It is intent {}.", open.sentence(), open.intent.id);
    let cure = "wait for that intent to end, then ask again";
    ApiError::new(StatusCode::CONFLICT, "already_open", message, cure).retry_after(open.wait.as_secs().max(1))
}

/// Why a top-up is not bought.
fn no_top_up(why: &NoTopUp) -> ApiError {
    let conflict = |code, cure: &str| ApiError::new(StatusCode::CONFLICT, code, why.sentence(), cure);
    match why {
        NoTopUp::NoSuchSubscription => no_subscription(),
        NoTopUp::NoSuchTopUp => ApiError::invalid("top_up_id", "there is no such top-up: GET /api/top-ups"),
        NoTopUp::AnotherPlan => ApiError::invalid("top_up_id", "it is for lines of another plan"),
        NoTopUp::OnHold => conflict("on_hold", "release the subscription"),
        NoTopUp::SiteRevoked => conflict("site_revoked", "ask for no money"),
        NoTopUp::NothingToTopUp => conflict("nothing_to_top_up", "let the customer pay for a period first"),
        NoTopUp::TooLittle { .. } => conflict(
            "wallet_too_small",
            "POST a payment request with this top_up_id: it buys it when it is paid",
        ),
        NoTopUp::AlreadyBought => conflict("already_bought", "nothing is to be done"),
        NoTopUp::AlreadyOpen(open) => already_open(open),
        NoTopUp::JustBought { wait } => {
            conflict("just_bought", "ask again later if another is wanted").retry_after(wait.as_secs().max(1))
        }
    }
}

/// Buys a top-up out of the wallet: data on top of the running period, told to the site at once. Nobody is asked to pay:
/// where the wallet does not cover it, send a payment request with the same `top_up_id`.
///
/// No running session is ended for data that is added in time; but a PPP session that reaches the router's own limit, which
/// it keeps from its beginning, ends once, and the device dials in again. Where the data of the period was used up before,
/// a line that was cut off may log in again, and one that went on slowly or reached the pay page alone has its sessions ended
/// once, so that the device is back at full speed (see `POST /api/connection-types/{id}`).
#[utoipa::path(
    post, path = "/api/subscriptions/{id}/top-ups", tag = "payments", request_body = TopUpWanted,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 201, description = "It is bought", body = ToppedUpBody),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "The wallet does not cover it, no period with a limit runs, the subscription is on \
            hold, its site is revoked, an open request is for the same or counts on the wallet, or a top-up was bought less than two minutes ago: \
            see `code`", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn top_up(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let wanted: TopUpWanted = write.read()?;
    let line = LineId::parse(&id).map_err(|_| no_subscription())?;
    let top_up = TopUpId::parse(&wanted.top_up_id).map_err(|error| ApiError::invalid("top_up_id", error))?;
    let mut once = match write.begin(&web, Permission::AskForPayment).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor().to_string());
    // The key keeps a repeated request from a second purchase; the occasion only has to be of its own.
    let occasion = ids.hex(16);
    let what = (&line, &top_up);
    let bought = match super::buy_top_up(once.connection(), what, &occasion, &actor, &ids, now).await? {
        Ok(bought) => bought,
        Err(why) => return Err(no_top_up(&why)),
    };
    once.audit(Action::TopUpBought, line.as_str(), &bought.top_up.name).await?;
    let (body, controller) = (ToppedUpBody::from(&bought), web.controller.clone());
    once.answer_and_tell(StatusCode::CREATED, &body, move || bought.tell(&controller)).await
}

/// One request for payment.
#[utoipa::path(
    get, path = "/api/intents/{id}", tag = "payments", params(("id" = String, Path)),
    responses((status = 200, body = IntentBody), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(crate) async fn get_intent(
    caller: Caller,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<IntentBody>, ApiError> {
    caller.require(Permission::Read)?;
    let missing = || ApiError::not_found("intent", "use the id from the answer to the payment request");
    let id = IntentId::parse(&id).map_err(|_| missing())?;
    let mut reader = reader(&web).await?;
    let intent = super::intent(&mut reader, &id).await?.ok_or_else(missing)?;
    Ok(Json(IntentBody::of(&intent, &web.heard(&mut reader).await?)))
}

/// Payments, the newest first: all of them, those that fit, or the one of a receipt.
#[utoipa::path(
    get, path = "/api/payments", tag = "payments", params(Wanted),
    responses(
        (status = 200, body = PaymentList), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 422, body = Problem),
    ),
)]
pub(crate) async fn list(
    caller: Caller,
    State(web): State<Web>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<Json<PaymentList>, ApiError> {
    caller.require(Permission::Read)?;
    let limit = wanted.limit.unwrap_or(LISTED);
    if !(1..=LISTED_MOST).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("use 1 to {LISTED_MOST}")));
    }
    let mut reader = reader(&web).await?;
    let rows = match &wanted.receipt {
        Some(receipt) => {
            let receipt = ReceiptNumber::parse(receipt)
                .ok_or_else(|| ApiError::invalid("receipt", "use 1 to 32 letters and digits"))?;
            super::payment_of_receipt(&mut reader, &receipt).await?.into_iter().collect()
        }
        None => super::find(&mut reader, &wanted.search()?, limit).await?,
    };
    let is_full = u32::try_from(rows.len()).unwrap_or(u32::MAX) >= limit;
    let next = rows.last().filter(|_| is_full).map(search::place_of);
    Ok(Json(PaymentList { payments: rows.iter().map(PaymentBody::from).collect(), next }))
}

/// One payment with its way to the router.
#[utoipa::path(
    get, path = "/api/payments/{id}", tag = "payments", params(("id" = String, Path)),
    responses((status = 200, body = PaymentBody), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(crate) async fn get_one(
    caller: Caller,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<PaymentBody>, ApiError> {
    caller.require(Permission::Read)?;
    let missing = || ApiError::not_found("payment", "GET /api/payments lists the newest");
    let id = PaymentId::parse(&id).map_err(|_| missing())?;
    let row = super::payment(&mut *reader(&web).await?, &id).await?.ok_or_else(missing)?;
    Ok(Json((&row).into()))
}

fn no_subscription() -> ApiError {
    ApiError::not_found("subscription", "GET /api/customers/{id} lists a customer's subscriptions")
}

fn not_set_up() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "mpesa_not_set_up",
        "M-Pesa is not set up on this controller",
        "fill in [mpesa] in controller.toml and restart",
    )
}
