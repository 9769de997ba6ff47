//! Refunds for programs: ask for one, read how it stands, and say what a person decided.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::state::State as Standing;
use super::{Begun as Asked, Decided, Decision, NotRefunded, REASON_CHARACTERS, RefundRow, Wanted, Way};
use crate::audit::Action;
use crate::ids::{PaymentId, RefundId};
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::payments::counter::Clerk;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, ApiQuery, Begun, Caller, Once, Problem, Route, Write, at_ms, reader};

/// Refunds in one answer, at most.
const LISTED_MOST: u32 = 200;

/// What is to go back.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundNew {
    /// `reversal`: M-Pesa undoes the payment, all of it. `payout`: the phone that paid is paid.
    pub way: String,
    /// How much, in cents of KES; absent for all that is not used of what the payment bought, which is taken back. A part is
    /// paid out of what is left in the wallet.
    #[serde(default)]
    pub amount_cents: Option<i64>,
    /// Whether what is used goes back as well: it is written off. M-Pesa undoes a payment only whole.
    #[serde(default)]
    pub with_used: bool,
    /// Why, in up to 200 characters.
    pub reason: String,
}

/// A refund. Its money is held from the ask until its end.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RefundBody {
    /// Id.
    pub id: String,
    /// Of which payment.
    pub payment_id: String,
    /// M-Pesa's receipt of that.
    pub receipt_number: String,
    /// Whose it was; null for nobody's.
    pub customer_id: Option<String>,
    /// Their name; empty for nobody's.
    pub customer_name: String,
    /// `reversal` or `payout`.
    pub way: String,
    /// How much, in cents of KES.
    pub amount_cents: i64,
    /// Whose phone is paid, with most digits hidden; null for a reversal.
    pub phone: Option<String>,
    /// Why.
    pub reason: String,
    /// `waiting` (for a second person), `held` (to be sent), `asking`, `asked` (M-Pesa took it), `unknown` (gone or not:
    /// M-Pesa is asked, and then a person has to look), `done`, `failed` or `withdrawn`.
    pub state: String,
    /// Whether a person has to look it up in M-Pesa's portal and say how it ended.
    pub needs_person: bool,
    /// What M-Pesa said last; null until then.
    pub result_code: Option<String>,
    /// Its words, or why it is not sent yet; null where there are none.
    pub result_description: Option<String>,
    /// The receipt of the payment to the phone; null until then, and for a reversal.
    pub result_receipt: Option<String>,
    /// Who asked for it.
    pub requested_by: String,
    /// Who agreed; null where nobody had to, or did yet.
    pub approved_by: Option<String>,
    /// When it was asked for.
    pub created_at_ms: i64,
    /// When something became of it last.
    pub updated_at_ms: i64,
}

/// Refunds, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RefundList {
    /// Newest first.
    pub refunds: Vec<RefundBody>,
}

/// What was read in M-Pesa's portal; mostly nothing is to be said.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionNew {
    /// With `went-through` of a `payout`: the receipt that M-Pesa's portal shows for the payment to the phone. Without it its
    /// row of the statement is booked by an owner.
    #[serde(default)]
    pub receipt: Option<String>,
}

/// Which refunds.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Listed {
    /// Only those in this state.
    #[serde(default)]
    state: String,
    /// 1 to 200; absent for 50.
    limit: Option<u32>,
}

impl From<&RefundRow> for RefundBody {
    fn from(row: &RefundRow) -> Self {
        let refund = &row.refund;
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            id: refund.id.to_string(),
            payment_id: refund.payment.to_string(),
            receipt_number: refund.receipt_number.clone(),
            customer_id: refund.customer.as_ref().map(ToString::to_string),
            customer_name: row.customer_name.clone(),
            way: refund.way.as_str().to_owned(),
            amount_cents: refund.amount.cents(),
            phone: super::phone_of(refund).map(|phone| phone.to_string()),
            reason: refund.reason.clone(),
            state: refund.state().as_str().to_owned(),
            needs_person: refund.needs_a_person(),
            result_code: some(&refund.result_code),
            result_description: some(&refund.result_description),
            result_receipt: some(&refund.result_receipt),
            requested_by: refund.requested_by.clone(),
            approved_by: some(&refund.approved_by),
            created_at_ms: at_ms(refund.created_at),
            updated_at_ms: at_ms(refund.updated_at),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("POST", "/api/payments/{id}/refunds", post(ask)),
        Route::new("GET", "/api/refunds", get(list)),
        Route::new("GET", "/api/refunds/{id}", get(get_one)),
        Route::new("POST", "/api/refunds/{id}/{decision}", post(decide)),
    ]
}

/// Gives a payment of M-Pesa back, within the limits of the token's role: its money is taken from its owner and held, and is
/// sent at once, or when a second person agrees, if `[counter]` says so. What a whole payment bought is taken back with it.
#[utoipa::path(
    post, path = "/api/payments/{id}/refunds", tag = "payments", request_body = RefundNew,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 201, description = "Its money is held", body = RefundBody),
        (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, description = "Not with this role, or over its limit: see `code`", body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "It cannot go back: see `code`", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn ask(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let new: RefundNew = write.read()?;
    let payment = PaymentId::parse(&id).map_err(|_| no_payment())?;
    let way = Way::parse(&new.way).ok_or_else(|| ApiError::invalid("way", "use reversal or payout"))?;
    let amount = new.amount_cents.map(Money::from_cents);
    // The key keeps a repeated request from a second refund.
    let wanted =
        Wanted { payment, way, amount, with_used: new.with_used, reason: new.reason, occasion: None };
    let mut once = match write.begin(&web, Permission::Refund).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    let asker = Clerk { actor: &actor, role: write.caller.role(), limits: web.counter };
    let begun = super::ask(once.connection(), &wanted, asker, &ids, now).await?.map_err(refused)?;
    once.audit(Action::RefundAsked, begun.refund.id.as_str(), &begun.refund.in_words()).await?;
    answer(once, begun, StatusCode::CREATED, &web).await
}

/// Lists refunds, newest first.
#[utoipa::path(
    get, path = "/api/refunds", tag = "payments", params(Listed),
    responses(
        (status = 200, body = RefundList),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn list(
    State(web): State<Web>,
    caller: Caller,
    ApiQuery(listed): ApiQuery<Listed>,
) -> Result<Json<RefundList>, ApiError> {
    caller.require(Permission::Read)?;
    let state = match listed.state.as_str() {
        "" => None,
        word => Some(Standing::parse(word).ok_or_else(|| ApiError::invalid("state", "it is no state"))?),
    };
    let limit = listed.limit.unwrap_or(50);
    if !(1..=LISTED_MOST).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("use 1 to {LISTED_MOST}")));
    }
    let rows = super::list(&mut *reader(&web).await?, (state, None), limit).await?;
    Ok(Json(RefundList { refunds: rows.iter().map(RefundBody::from).collect() }))
}

/// Reads one refund.
#[utoipa::path(
    get, path = "/api/refunds/{id}", tag = "payments", params(("id" = String, Path)),
    responses(
        (status = 200, body = RefundBody),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    ),
)]
pub(crate) async fn get_one(
    State(web): State<Web>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<RefundBody>, ApiError> {
    caller.require(Permission::Read)?;
    let id = RefundId::parse(&id).map_err(|_| no_refund())?;
    let row = super::get(&mut *reader(&web).await?, &id).await?.ok_or_else(no_refund)?;
    Ok(Json(RefundBody::from(&row)))
}

/// Says what a person decided: `approve` (by somebody else than who asked) or `withdraw` before it is sent; of one that is
/// `failed`, `went-through` where M-Pesa shows that it went after all and its money is its customer's still, who owes what they
/// have spent of it; of one that is
/// `unknown`, `went-through` or `did-not` as M-Pesa's portal says, also while M-Pesa is still asked about it; `went-through` too of
/// one that is `held` because no operator can send it, and was given back in the portal; of one that needs a person, `again` to send it once more, which M-Pesa does once all the same. Only owners say
/// what the portal shows.
#[utoipa::path(
    post, path = "/api/refunds/{id}/{decision}", tag = "payments", request_body = DecisionNew,
    params(
        ("id" = String, Path), ("decision" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, description = "It is done", body = RefundBody),
        (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, description = "Not by this token: see `code`", body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "It has gone on: see `code`", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn decide(
    State(web): State<Web>,
    Path((id, decision)): Path<(String, String)>,
    write: Write,
) -> Result<Response, ApiError> {
    let new: DecisionNew = write.read()?;
    let id = RefundId::parse(&id).map_err(|_| no_refund())?;
    let decision = Decision::parse(&decision).ok_or_else(no_refund)?;
    let receipt = match new.receipt.as_deref() {
        None => None,
        Some(text) => Some(ReceiptNumber::parse(text).ok_or_else(|| refused(NotRefunded::BadReceipt))?),
    };
    let mut once = match write.begin(&web, needed(decision)).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    let asker = Clerk { actor: &actor, role: write.caller.role(), limits: web.counter };
    let decided = Decided { decision, receipt };
    let detail = decided.to_string();
    let begun = super::decide(once.connection(), (&id, decided), asker, &ids, now).await?;
    let begun = begun.map_err(|why| match why {
        NotRefunded::NoSuchPayment => no_refund(),
        other => refused(other),
    })?;
    once.audit(Action::RefundDecided, id.as_str(), &detail).await?;
    answer(once, begun, StatusCode::OK, &web).await
}

/// What whoever decides it may do.
pub(super) fn needed(decision: Decision) -> Permission {
    match decision {
        Decision::Approve | Decision::Withdraw => Permission::Refund,
        Decision::WentThrough | Decision::DidNot | Decision::Again => Permission::SettleRefunds,
    }
}

async fn answer(mut once: Once, begun: Asked, status: StatusCode, web: &Web) -> Result<Response, ApiError> {
    let row = super::get(once.connection(), &begun.refund.id).await?.ok_or_else(no_refund)?;
    let live = web.controller.live.clone();
    once.answer_and_tell(status, &RefundBody::from(&row), move || begun.tell(&live)).await
}

fn no_payment() -> ApiError {
    ApiError::not_found("payment", "use an id from GET /api/payments")
}

fn no_refund() -> ApiError {
    ApiError::not_found("refund", "use an id from GET /api/refunds, and a decision that there is")
}

fn refused(why: NotRefunded) -> ApiError {
    let conflict =
        |code, message: String, cure: &str| ApiError::new(StatusCode::CONFLICT, code, message, cure);
    let forbidden =
        |code, message: String, cure: &str| ApiError::new(StatusCode::FORBIDDEN, code, message, cure);
    match why {
        NotRefunded::NoSuchPayment => no_payment(),
        NotRefunded::Closed(closed) => conflict(
            closed.as_str(),
            "the payment is no money of anybody's any more".to_owned(),
            "read the payment to see why",
        ),
        NotRefunded::NotByMpesa => {
            conflict("not_by_mpesa", "it did not come by M-Pesa".to_owned(), "give it back as it came")
        }
        NotRefunded::PartOfReceipt => conflict(
            "part_of_receipt",
            "it is a part of a receipt, and M-Pesa reverses only all of one".to_owned(),
            "pay it to the phone that paid, with the way payout",
        ),
        NotRefunded::BadReason => {
            ApiError::invalid("reason", format!("say why, in up to {REASON_CHARACTERS} characters"))
        }
        NotRefunded::MovedOn => conflict(
            "moved_on",
            "its money was moved, or went back otherwise, since it was taken for failed".to_owned(),
            "move the payment back to whose it was when the refund was asked for, and say it then",
        ),
        NotRefunded::BadReceipt => ApiError::invalid(
            "receipt",
            "it is the number of the payment to the phone in M-Pesa's portal, such as TFG2ABC9XY, with went-through of a payout alone",
        ),
        NotRefunded::NotTheWhole(whole) => {
            ApiError::invalid("amount_cents", format!("all of it goes back, KES {whole}, or nothing"))
        }
        NotRefunded::InRefund => conflict(
            "in_refund",
            "some of it goes back, or has gone".to_owned(),
            "read GET /api/refunds, and give back what is left",
        ),
        NotRefunded::BadAmount => {
            ApiError::invalid("amount_cents", "M-Pesa pays KES 10 to 250,000 to a phone, whole shillings")
        }
        NotRefunded::NoPhone => conflict(
            "no_phone",
            "M-Pesa hides whose phone paid".to_owned(),
            "use the way reversal, which needs no number",
        ),
        NotRefunded::Left(left) => conflict(
            "used_up",
            format!("the rest is used: KES {left} can be paid to the phone"),
            "leave amount_cents out with the way payout for that, or say with_used to give back and write off what is used",
        ),
        NotRefunded::Owed(left) => conflict(
            "used_up",
            format!("the rest paid what was owed, or was spent: KES {left} can be paid to the phone"),
            "give that amount_cents with the way payout",
        ),
        NotRefunded::OverLimit { most, given } => forbidden(
            "over_limit",
            format!("this token may give back KES {most} a day and has given {given}"),
            "use a token of an owner, or raise the limit in [counter] of controller.toml",
        ),
        NotRefunded::OverWriteOff { most, written_off } => forbidden(
            "over_limit",
            format!("this token may write off KES {most} a day and has written off {written_off}"),
            "give back what is not used, or use a token of an owner",
        ),
        NotRefunded::SamePerson => forbidden(
            "same_person",
            "whoever asked for it cannot agree to it as well".to_owned(),
            "let somebody else agree",
        ),
        NotRefunded::NotNow(state) => conflict(
            "not_now",
            format!("the refund is {}", state.as_str()),
            "read the refund: it has gone on, or waits for M-Pesa",
        ),
        NotRefunded::AlreadyAsked(before) => {
            conflict("already_asked", format!("it was asked for before, as {before}"), "read that refund")
        }
    }
}
