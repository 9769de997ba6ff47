//! What a person has to look at, for programs: the list, one item as it came, that it was looked at, and what the money was that
//! no rule books.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::by_hand::{self, BookedAs, NOTE_CHARACTERS, NotBooked};
use super::place::{self, Place};
use super::{ForReview, LookedAt};
use crate::money::Money;
use crate::payments::REVIEW_ROWS;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, ApiQuery, Begun, Caller, Problem, Route, Write, at_ms, reader};

/// Something that a person has to look at.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReviewBody {
    /// `callback`: what M-Pesa sent does not fit; `request`: M-Pesa told too little of it; `pull_row`, `statement_row`: it is not
    /// understood, or no rule books it; `payment`: it is nobody's; `refund`: M-Pesa does not say whether it went through;
    /// `evidence`: Pull or a statement tells of a payment otherwise than it is booked.
    pub kind: String,
    /// The id of that callback, request or payment, or of the payment that the evidence is of; the digest of that row.
    pub id: String,
    /// Why it needs a person.
    pub reason: String,
    /// How much, in cents of KES; null when nobody knows.
    pub amount_cents: Option<i64>,
    /// M-Pesa's receipt; null when there is none.
    pub receipt_number: Option<String>,
    /// Since when it waits.
    pub since_at_ms: i64,
    /// Whose it probably is; null when nobody knows.
    pub customer_id: Option<String>,
    /// Their name; empty when nobody knows.
    pub customer_name: String,
}

/// What a person has to look at.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReviewList {
    /// Newest first, at most 200.
    pub items: Vec<ReviewBody>,
    /// What to send as `before` for the older ones; null where there may be none.
    pub next: Option<String>,
}

/// Something for a person as it came.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AsItCameBody {
    /// As in the list.
    pub kind: String,
    /// As in the list.
    pub id: String,
    /// A text, or the bytes in hex where it was none.
    pub body: String,
}

/// What a person has looked at.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LookedAtBody {
    /// As in the list.
    pub kind: String,
    /// As in the list.
    pub id: String,
}

/// What money was that a statement tells of and no rule books.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BookingNew {
    /// `expense`, or such money that came back; `bank`: sent to our account there, or come from it; `refund`: what was given
    /// back, of which no statement told.
    pub what: String,
    /// For what, in 1 to 200 characters.
    pub note: String,
}

/// It is booked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BookingBody {
    /// The digest of the row.
    pub id: String,
    /// As in the request.
    pub what: String,
    /// Of which short code.
    pub short_code: String,
    /// M-Pesa's receipt; empty where none is understood.
    pub receipt_number: String,
    /// In cents of KES; below zero went out.
    pub amount_cents: i64,
    /// When M-Pesa moved it.
    pub moved_at_ms: i64,
}

/// Where in the list.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The `next` of the answer before this one.
    #[serde(default)]
    before: String,
}

impl From<&ForReview> for ReviewBody {
    fn from(item: &ForReview) -> Self {
        let id = item.kind.id();
        Self {
            kind: item.kind.as_str().to_owned(),
            id,
            reason: item.reason.clone(),
            amount_cents: item.amount.map(Money::cents),
            receipt_number: item.receipt_number.clone(),
            since_at_ms: at_ms(item.since),
            customer_id: item.customer.as_ref().map(ToString::to_string),
            customer_name: item.customer_name.clone(),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/payments/review", get(review)),
        Route::new("GET", "/api/payments/review/{kind}/{id}", get(as_it_came)),
        Route::new("POST", "/api/payments/review/{kind}/{id}/looked-at", post(looked_at)),
        Route::new("POST", "/api/payments/review/statement_row/{id}/booking", post(book)),
    ]
}

/// What a person has to look at: money that no rule could place, the newest first.
#[utoipa::path(
    get, path = "/api/payments/review", tag = "payments", params(Wanted),
    responses(
        (status = 200, body = ReviewList), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 422, body = Problem),
    ),
)]
pub(crate) async fn review(
    caller: Caller,
    State(web): State<Web>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<Json<ReviewList>, ApiError> {
    caller.require(Permission::Read)?;
    let after = match wanted.before.trim() {
        "" => None,
        text => Some(Place::parse(text).ok_or_else(|| {
            ApiError::invalid("before", "send the next of the answer before this one, or nothing")
        })?),
    };
    let items = super::for_review_after(&mut *reader(&web).await?, after.as_ref(), REVIEW_ROWS).await?;
    let next = place::next(&items, REVIEW_ROWS).map(|place| place.to_string());
    Ok(Json(ReviewList { items: items.iter().map(ReviewBody::from).collect(), next }))
}

/// Something of that list as it came: a message from M-Pesa, a row of Pull or of a statement. With names and numbers of
/// whoever paid, so that only those may read it who may take it off the list.
#[utoipa::path(
    get, path = "/api/payments/review/{kind}/{id}", tag = "payments",
    params(
        ("kind" = String, Path, description = "`callback`, `pull_row` or `statement_row`"), ("id" = String, Path),
    ),
    responses(
        (status = 200, body = AsItCameBody), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem),
    ),
)]
pub(crate) async fn as_it_came(
    caller: Caller,
    State(web): State<Web>,
    Path((kind, id)): Path<(String, String)>,
) -> Result<Json<AsItCameBody>, ApiError> {
    caller.require(Permission::SettleReview)?;
    let body = super::as_it_came(&mut *reader(&web).await?, (&kind, &id)).await?;
    let body =
        body.ok_or_else(|| ApiError::not_found("item", "GET /api/payments/review lists what there is"))?;
    Ok(Json(AsItCameBody { kind, id, body }))
}

/// Takes something off the list of what a person has to look at, because one has. No money moves, and nothing is
/// forgotten. A message from M-Pesa that cannot be taken in comes back when that fails again, and a request when M-Pesa says
/// something else of it; its receipt is taken whenever it comes.
#[utoipa::path(
    post, path = "/api/payments/review/{kind}/{id}/looked-at", tag = "payments",
    params(
        ("kind" = String, Path, description = "`callback`, `request`, `evidence`, `pull_row` or `statement_row`"),
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, description = "It is not on the list any more", body = LookedAtBody),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "Payments and refunds leave the list by themselves", body = Problem),
        (status = 413, body = Problem),
    ),
)]
pub(crate) async fn looked_at(
    State(web): State<Web>,
    Path((kind, id)): Path<(String, String)>,
    write: Write,
) -> Result<Response, ApiError> {
    let mut once = match write.begin(&web, Permission::SettleReview).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    match super::looked_at(once.connection(), (&kind, &id), &actor, &ids, now).await? {
        LookedAt::Noted | LookedAt::AlreadySo => {
            once.answer(StatusCode::OK, &LookedAtBody { kind, id }).await
        }
        LookedAt::NoSuchItem => {
            Err(ApiError::not_found("item", "GET /api/payments/review lists what there is"))
        }
        LookedAt::LeavesByItself => Err(ApiError::new(
            StatusCode::CONFLICT,
            "leaves_by_itself",
            "payments and refunds leave the list by themselves",
            "say whose the payment is, or what became of the refund",
        )),
    }
}

/// Books what a row of a statement moved that no rule books, as what an owner says that it was. Once, and only where its money is
/// booked nowhere else.
#[utoipa::path(
    post, path = "/api/payments/review/statement_row/{id}/booking", tag = "payments", request_body = BookingNew,
    params(
        ("id" = String, Path, description = "The digest of the row"),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 201, description = "It is booked", body = BookingBody),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "It is booked, or nobody knows how much it is: see `code`", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn book(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let new: BookingNew = write.read()?;
    let what =
        BookedAs::parse(&new.what).ok_or_else(|| ApiError::invalid("what", "use expense, bank or refund"))?;
    let mut once = match write.begin(&web, Permission::BookByHand).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    let booked = by_hand::book(once.connection(), (&id, what, &new.note), &actor, &ids, now).await?;
    let row = booked.map_err(not_booked)?;
    let body = BookingBody {
        id,
        what: what.as_str().to_owned(),
        short_code: row.short_code,
        receipt_number: row.receipt,
        amount_cents: row.amount.cents(),
        moved_at_ms: at_ms(row.moved_at),
    };
    once.answer(StatusCode::CREATED, &body).await
}

fn not_booked(why: NotBooked) -> ApiError {
    let conflict =
        |code, message: String, cure: &str| ApiError::new(StatusCode::CONFLICT, code, message, cure);
    match why {
        NotBooked::NoSuchRow => {
            ApiError::not_found("row", "GET /api/daily-closes/{day} names the rows that may be booked")
        }
        NotBooked::NoMoney => conflict(
            "no_money",
            "nobody knows how much it moved".to_owned(),
            "say that it was looked at, and look it up in M-Pesa's portal",
        ),
        NotBooked::AlreadyBooked(what) => conflict(
            "already_booked",
            format!("it is booked as {what}"),
            "an entry of the ledger stays: see the day in GET /api/daily-closes/{day}",
        ),
        NotBooked::BookedElsewhere => conflict(
            "booked_elsewhere",
            "its money stands in the books, or another row of the statement takes it back".to_owned(),
            "say that it was looked at",
        ),
        NotBooked::MayBeRefund { is_done } => conflict(
            "may_be_refund",
            "a refund of as much is not in any statement yet".to_owned(),
            if is_done {
                "book it as refund, or find the row of that first"
            } else {
                "wait until the refund has ended"
            },
        ),
        NotBooked::NoSuchRefund => conflict(
            "no_such_refund",
            "no refund of as much has gone of which no statement told".to_owned(),
            "say went-through of one that failed and went after all, see GET /api/refunds, or say what else it was",
        ),
        NotBooked::BadNote => ApiError::invalid("note", format!("write 1 to {NOTE_CHARACTERS} characters")),
    }
}
