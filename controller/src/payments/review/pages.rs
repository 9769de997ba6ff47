//! The page of what a person has to look at, one item as it came, and the form that books what no rule books.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use tawi_shared::UnixMillis;

use super::by_hand::{self, Bookable, BookedAs, NOTE_CHARACTERS, NotBooked};
use super::place::{self, Place};
use super::{ForReview, LookedAt, ReviewKind};
use crate::money::Money;
use crate::payments::{REVIEW_ROWS, REVIEWED_WITHIN};
use crate::staff::Permission;
use crate::web::Web;
use crate::web::display::{self, Moment};
use crate::web::error::{PageError, percent_encoded};
use crate::web::form::Fields;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};

/// Something that a person has to look at.
struct ReviewView {
    /// Tells rows apart, for the script.
    key: String,
    since: Moment,
    /// Whether it waits for more than a day.
    is_overdue: bool,
    what: &'static str,
    customer_id: Option<String>,
    customer_name: String,
    /// Empty when nobody knows.
    amount: String,
    /// Empty for none.
    receipt: String,
    /// Where the button for having looked at it leads; `None` for no button.
    looked_at: Option<String>,
    /// Where it is shown as it came; `None` where it is not.
    as_it_came: Option<String>,
    /// Where its money is booked; `None` where it is not, or not by this person.
    book: Option<String>,
    /// The refund's own page, when it is about one.
    refund_id: Option<String>,
    /// The payment's own page, when it is about one.
    payment_id: Option<String>,
    reason: String,
}

impl ReviewView {
    fn of(item: &ForReview, (may_settle, may_book): (bool, bool), now: UnixMillis) -> Self {
        let (what, id, payment_id) = match &item.kind {
            ReviewKind::Callback(id) => ("Message from M-Pesa", id.as_str(), None),
            ReviewKind::Request(id) => ("Request", id.as_str(), None),
            ReviewKind::Payment(id) => ("Payment", id.as_str(), Some(id.to_string())),
            ReviewKind::Evidence(id) => ("What M-Pesa says", id.as_str(), Some(id.to_string())),
            ReviewKind::PullRow(digest) => ("Row of Pull", digest.as_str(), None),
            ReviewKind::StatementRow(digest) => ("Row of a statement", digest.as_str(), None),
            ReviewKind::Refund(id) => ("Refund", id.as_str(), None),
        };
        let path = format!("/payments/review/{}/{id}", item.kind.as_str());
        let looked_at = format!("{path}/looked-at");
        let has_money = item.amount.is_some_and(|amount| amount != Money::ZERO);
        let is_bookable = matches!(item.kind, ReviewKind::StatementRow(_)) && has_money;
        Self {
            book: (may_book && is_bookable).then(|| format!("{path}/book")),
            looked_at: (may_settle && item.is_taken_off_by_hand()).then_some(looked_at),
            as_it_came: (may_settle && item.is_kept_as_it_came()).then_some(path),
            // A payment of nobody may be contradicted as well: the kind keeps the two apart.
            key: format!("{}-{id}", item.kind.as_str()),
            since: Moment::of(item.since, now),
            is_overdue: now.since(item.since) > REVIEWED_WITHIN,
            what,
            customer_id: item.customer.as_ref().map(ToString::to_string),
            customer_name: item.customer_name.clone(),
            amount: item.amount.map(display::kes).unwrap_or_default(),
            receipt: item.receipt_number.clone().unwrap_or_default(),
            payment_id,
            refund_id: match &item.kind {
                ReviewKind::Refund(id) => Some(id.to_string()),
                _ => None,
            },
            reason: item.reason.clone(),
        }
    }
}

#[derive(Template)]
#[template(path = "payments/review.html")]
struct ReviewPage {
    frame: Frame,
    rows: Vec<ReviewView>,
    /// Where the older ones are; `None` where there are none.
    older: Option<String>,
    /// Whether it does not begin with the newest.
    is_further: bool,
    may_import: bool,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/payments/review", get(review))
        .route("/payments/review/{kind}/{id}", get(as_it_came))
        .route("/payments/review/{kind}/{id}/looked-at", post(looked_at))
        .route("/payments/review/statement_row/{digest}/book", get(form).post(book))
}

/// Where in the list.
#[derive(Debug, Deserialize)]
struct Wanted {
    #[serde(default)]
    before: String,
}

async fn review(
    visit: Visit,
    State(web): State<Web>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let after = match wanted.before.trim() {
        "" => None,
        text => Some(Place::parse(text).ok_or(PageError::NotFound)?),
    };
    let mut reader = web.controller.database.read().await?;
    let items = super::for_review_after(&mut reader, after.as_ref(), REVIEW_ROWS).await?;
    drop(reader);
    let may = (visit.may(Permission::SettleReview), visit.may(Permission::BookByHand));
    let rows: Vec<ReviewView> = items.iter().map(|item| ReviewView::of(item, may, visit.now)).collect();
    let older = place::next(&items, REVIEW_ROWS)
        .map(|place| format!("/payments/review?before={}", percent_encoded(&place.to_string())));
    let may_import = visit.may(Permission::ImportStatement);
    let frame = visit.frame("To be checked", Section::Payments);
    visit.show(&ReviewPage { frame, rows, older, is_further: after.is_some(), may_import })
}

#[derive(Template)]
#[template(path = "payments/as_it_came.html")]
struct AsItCamePage {
    frame: Frame,
    body: String,
}

/// Names and numbers of whoever paid stand in it: it is for those who can do something about it.
async fn as_it_came(
    visit: Visit,
    State(web): State<Web>,
    Path((kind, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    visit.require(Permission::SettleReview)?;
    let mut reader = web.controller.database.read().await?;
    let body = super::as_it_came(&mut reader, (&kind, &id)).await?.ok_or(PageError::NotFound)?;
    visit.show(&AsItCamePage { frame: visit.frame("As it came", Section::Payments), body })
}

async fn looked_at(
    State(web): State<Web>,
    Path((kind, id)): Path<(String, String)>,
    posted: Posted,
) -> Result<Response, PageError> {
    let visit = posted.visit;
    visit.require(Permission::SettleReview)?;
    let mut transaction = web.controller.database.write().await?;
    let (item, ids) = ((kind.as_str(), id.as_str()), &web.controller.ids);
    let note = match super::looked_at(&mut transaction, item, &visit.actor(), ids, visit.now).await? {
        LookedAt::Noted => "Looked at: it has left the list.",
        LookedAt::AlreadySo => "It was looked at already.",
        LookedAt::NoSuchItem | LookedAt::LeavesByItself => return Err(PageError::NotFound),
    };
    transaction.commit().await?;
    Ok(visit.go("/payments/review", &Note::good(note)))
}

#[derive(Template)]
#[template(path = "payments/book_row.html")]
struct BookRowPage {
    frame: Frame,
    fields: Fields,
    path: String,
    as_it_came: String,
    short_code: String,
    receipt: String,
    amount: String,
    is_out: bool,
    at: String,
    reason: String,
}

async fn form(
    visit: Visit,
    State(web): State<Web>,
    Path(digest): Path<String>,
) -> Result<Response, PageError> {
    visit.require(Permission::BookByHand)?;
    let found = by_hand::bookable(&mut *web.controller.database.read().await?, &digest).await?;
    match found {
        Ok(row) => show_form(&visit, (&digest, &row), Fields::default(), StatusCode::OK),
        Err(why) => not_booked(&visit, why),
    }
}

fn show_form(
    visit: &Visit,
    (digest, row): (&str, &Bookable),
    fields: Fields,
    status: StatusCode,
) -> Result<Response, PageError> {
    let as_it_came = format!("/payments/review/statement_row/{digest}");
    let is_out = !row.amount.is_positive();
    let amount = if is_out { row.amount.checked_neg().unwrap_or(row.amount) } else { row.amount };
    visit.show_as(
        status,
        &BookRowPage {
            frame: visit.frame("Book a row", Section::Payments),
            fields,
            path: format!("{as_it_came}/book"),
            as_it_came,
            short_code: row.short_code.clone(),
            receipt: row.receipt.clone(),
            amount: display::kes(amount),
            is_out,
            at: display::numeric(row.moved_at),
            reason: row.reason.clone(),
        },
    )
}

fn not_booked(visit: &Visit, why: NotBooked) -> Result<Response, PageError> {
    let note = match why {
        NotBooked::NoSuchRow => return Err(PageError::NotFound),
        NotBooked::NoMoney => "It is not booked: nobody knows how much it moved.",
        NotBooked::AlreadyBooked(_) => "It is booked already.",
        NotBooked::BookedElsewhere => {
            "It is not booked: its money stands in the books, or another row of the statement takes it back."
        }
        NotBooked::MayBeRefund { is_done: true } => {
            "It is not booked: a refund of as much has gone of which no statement told. Say that it is the refund, or find the row of that first."
        }
        NotBooked::MayBeRefund { is_done: false } => {
            "It is not booked: a refund of as much is on its way, and this may be it. Wait until that has ended."
        }
        NotBooked::NoSuchRefund => {
            "It is not booked: no refund of as much has gone of which no statement told. Of one that failed, say on its page that it went after all; otherwise ask for the refund, or say what else it was."
        }
        NotBooked::BadNote => "It is not booked: say for what it was.",
    };
    Ok(visit.go("/payments/review", &Note::bad(note)))
}

async fn book(
    State(web): State<Web>,
    Path(digest): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::BookByHand)?;
    let what = fields.read("what", |text| BookedAs::parse(text).ok_or("say what it was"));
    let note = fields.value("note").to_owned();
    let ids = &web.controller.ids;
    let mut transaction = web.controller.database.write().await?;
    let row = match by_hand::bookable(&mut transaction, &digest).await? {
        Ok(row) => row,
        Err(why) => return not_booked(&visit, why),
    };
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    let Some(what) = what else { return show_form(&visit, (&digest, &row), fields, unprocessable) };
    match by_hand::book(&mut transaction, (&digest, what, &note), &visit.actor(), ids, visit.now).await? {
        Ok(_) => {
            transaction.commit().await?;
            let day = crate::closing::Day::of(row.moved_at);
            Ok(visit.go(&format!("/payments/days/{day}"), &Note::good("It is booked.")))
        }
        Err(NotBooked::BadNote) => {
            fields.complain("note", format!("write 1 to {NOTE_CHARACTERS} characters"));
            show_form(&visit, (&digest, &row), fields, unprocessable)
        }
        Err(why) => not_booked(&visit, why),
    }
}
