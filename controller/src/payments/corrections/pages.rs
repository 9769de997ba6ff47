//! Correcting a payment: a look at what it bought, whom it is given to, and one button for each thing that can be done.
//!
//! Nothing is done before the page has said what will come of it; what came of it stands on the next page. Deciding is
//! the module above.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use super::write_off::{NotWrittenOff, owed_by, write_off};
use super::{Corrected, NotCorrected, Part, Purchase, Target, move_payment, split, undo, words};
use crate::audit::Action;
use crate::customers::account_number::AccountNumber;
use crate::customers::{self, Customer};
use crate::database::{Connection, Transaction};
use crate::ids::{CustomerId, LineId, PaymentId};
use crate::money::Money;
use crate::payments::counter::Clerk;
use crate::payments::counter::placing::place;
use crate::payments::suspense::pages::{CustomerChoice, LineChoice, choice_of_lines, found};
use crate::payments::{PaymentRow, Provider};
use crate::staff::Permission;
use crate::subscriptions::{self, Subscription};
use crate::web::Web;
use crate::web::display::{self, Moment};
use crate::web::error::PageError;
use crate::web::form::Fields;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};

/// The word for "it is for none of their lines".
const WALLET: &str = "wallet";
/// Rows of the form that shares a payment out; a part can be shared out again.
const ROWS: [(&str, &str); 6] = [
    ("account_1", "amount_1"),
    ("account_2", "amount_2"),
    ("account_3", "amount_3"),
    ("account_4", "amount_4"),
    ("account_5", "amount_5"),
    ("account_6", "amount_6"),
];

/// What it bought, and what would become of that.
struct BoughtView {
    label: String,
    price: String,
    what_now: String,
}

impl BoughtView {
    fn of(bought: &Purchase, now: tawi_shared::UnixMillis) -> Self {
        let what_now = match (bought.taken_back_at, bought.period_ends_at) {
            (Some(at), _) => format!("was taken back on {}", Moment::of(at, now).text),
            (None, Some(ends_at)) if !bought.is_used_up(now) => format!(
                "runs until {}: {} is left of it, and what was bought ahead besides would begin sooner",
                Moment::of(ends_at, now).text,
                display::kes(bought.left_now(now))
            ),
            (None, _) => "is used up, and nothing of it is left".to_owned(),
        };
        Self { label: bought.label.clone(), price: display::kes(bought.price), what_now }
    }
}

/// The customer who was chosen.
struct Chosen {
    customer: CustomerChoice,
    lines: Vec<LineChoice>,
}

#[derive(Template)]
#[template(path = "payments/correct.html")]
struct CorrectPage {
    frame: Frame,
    fields: Fields,
    payment_id: String,
    receipt: String,
    amount: String,
    customer_id: Option<String>,
    customer_name: String,
    bought: Vec<BoughtView>,
    query: String,
    found: Vec<CustomerChoice>,
    has_searched: bool,
    chosen: Option<Chosen>,
    rows: [(&'static str, &'static str); 6],
    may_undo: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    customer: String,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/payments/{id}/correct", get(look))
        .route("/payments/{id}/correct/search", post(search))
        .route("/payments/{id}/move", post(move_one))
        .route("/payments/{id}/split", post(split_one))
        .route("/payments/{id}/undo", post(undo_one))
        .route("/customers/{id}/write-off", post(write_off_debt))
}

/// What is shown beside the payment.
#[derive(Default)]
struct Shown {
    fields: Fields,
    query: String,
    found: Vec<Customer>,
    has_searched: bool,
    chosen: Option<CustomerId>,
}

async fn look(
    visit: Visit,
    State(web): State<Web>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let shown = Shown { chosen: CustomerId::parse(&asked.customer).ok(), ..Shown::default() };
    show(&visit, &web, &id, shown, StatusCode::OK).await
}

/// Posted, although it changes nothing: names and phone numbers in an address are kept by browsers and proxies.
async fn search(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::CorrectPayments)?;
    let query = fields.value("q").trim().to_owned();
    let found = match query.is_empty() {
        true => Vec::new(),
        false => found(&mut *web.controller.database.read().await?, &query).await?,
    };
    let has_searched = !query.is_empty();
    show(&visit, &web, &id, Shown { query, found, has_searched, ..Shown::default() }, StatusCode::OK).await
}

async fn show(
    visit: &Visit,
    web: &Web,
    id: &str,
    shown: Shown,
    status: StatusCode,
) -> Result<Response, PageError> {
    visit.require(Permission::CorrectPayments)?;
    let mut reader = web.controller.database.read().await?;
    let row = payment_of(&mut reader, id).await?;
    let payment = &row.payment;
    if payment.closed.is_some() {
        let note = Note::bad("Nothing can be corrected here: it is no money of anybody’s any more.");
        return Ok(visit.go(&format!("/payments/{}", payment.id), &note));
    }
    let bought = super::bought_by(&mut reader, &payment.id).await?;
    let chosen = match &shown.chosen {
        Some(customer) => {
            let customer = customers::get(&mut reader, customer).await?.ok_or(PageError::NotFound)?;
            let lines = choice_of_lines(&subscriptions::of_customer(&mut reader, &customer.id).await?);
            Some(Chosen { customer: CustomerChoice::of(&customer), lines })
        }
        None => None,
    };
    let is_counter = payment.provider != Provider::Mpesa && payment.part_of.is_none();
    let page = CorrectPage {
        frame: visit.frame(format!("Correct {}", payment.name()), Section::Payments),
        fields: shown.fields,
        payment_id: payment.id.to_string(),
        receipt: payment.name(),
        amount: display::kes(payment.amount),
        customer_id: payment.customer.as_ref().map(ToString::to_string),
        customer_name: row.customer_name.clone(),
        bought: bought.iter().map(|bought| BoughtView::of(bought, visit.now)).collect(),
        query: shown.query,
        found: shown.found.iter().map(CustomerChoice::of).collect(),
        has_searched: shown.has_searched,
        chosen,
        rows: ROWS,
        may_undo: is_counter && visit.may(Permission::UndoPayments),
    };
    visit.show_as(status, &page)
}

async fn payment_of(reader: &mut Connection, id: &str) -> Result<PaymentRow, PageError> {
    let id = PaymentId::parse(id).map_err(|_| PageError::NotFound)?;
    crate::payments::payment(reader, &id).await?.ok_or(PageError::NotFound)
}

async fn move_one(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::CorrectPayments)?;
    let bad = || PageError::BadForm(StatusCode::UNPROCESSABLE_ENTITY);
    let payment = PaymentId::parse(&id).map_err(|_| PageError::NotFound)?;
    let to = match (fields.value("customer"), fields.value("subscription")) {
        ("", _) => Target::Suspense,
        (customer, line) => {
            let line = (line != WALLET).then(|| LineId::parse(line)).transpose().map_err(|_| bad())?;
            Target::Customer(CustomerId::parse(customer).map_err(|_| bad())?, line)
        }
    };
    let mut transaction = web.controller.database.write().await?;
    let ids = &web.controller.ids;
    let actor = visit.actor();
    let by = Clerk { actor: &actor, role: visit.member.role, limits: web.counter };
    if let Err(over) = place(&mut transaction, &payment, by, visit.now).await? {
        return Ok(
            visit.go(&format!("/payments/{payment}"), &Note::bad(format!("Nothing was done: {over}.")))
        );
    }
    let moved = move_payment(&mut transaction, (&payment, &to), by, ids, visit.now).await?;
    let done = match to {
        Target::Customer(..) => "It is theirs now.",
        Target::Suspense => "It is nobody’s now, and waits under To be checked.",
    };
    finish(&visit, &web, transaction, (Action::PaymentMoved, &payment), (moved, done)).await
}

async fn undo_one(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let visit = posted.visit;
    visit.require(Permission::UndoPayments)?;
    let payment = PaymentId::parse(&id).map_err(|_| PageError::NotFound)?;
    let mut transaction = web.controller.database.write().await?;
    let ids = &web.controller.ids;
    let undone = undo(&mut transaction, &payment, &visit.actor(), ids, visit.now).await?;
    let done = "It is undone: the money never came.";
    finish(&visit, &web, transaction, (Action::PaymentUndone, &payment), (undone, done)).await
}

/// The account numbers and amounts of the form, as parts; `None` where something is complained of.
async fn parts(
    reader: &mut Connection,
    payment: &PaymentId,
    fields: &mut Fields,
) -> Result<Option<Vec<Part>>, PageError> {
    let PaymentRow { payment, .. } =
        crate::payments::payment(reader, payment).await?.ok_or(PageError::NotFound)?;
    let mut parts = Vec::new();
    for (account, amount) in ROWS {
        if fields.value(account).is_empty() && fields.value(amount).is_empty() {
            continue;
        }
        let number = fields.read(account, AccountNumber::parse);
        let share = fields.read(amount, Money::parse);
        let (Some(number), Some(share)) = (number, share) else { continue };
        let Some(customer) = customers::by_account_number(reader, &number).await? else {
            fields.complain(account, "no customer has this account number");
            continue;
        };
        let lines = subscriptions::of_customer(reader, &customer.id).await?;
        // Who keeps a part keeps it for the line that it was paid for.
        let was_paid_for = |line: &&Subscription| payment.subscription.as_ref() == Some(&line.id);
        let line = match lines.as_slice() {
            [line] => Some(line),
            lines => lines.iter().find(was_paid_for),
        };
        let line = line.map(|line| line.id.clone());
        parts.push(Part { to: Target::Customer(customer.id, line), amount: share });
    }
    Ok((!fields.has_complaints()).then_some(parts))
}

async fn split_one(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::CorrectPayments)?;
    let payment = PaymentId::parse(&id).map_err(|_| PageError::NotFound)?;
    let mut transaction = web.controller.database.write().await?;
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    let Some(parts) = parts(&mut transaction, &payment, &mut fields).await? else {
        transaction.rollback().await?;
        return show(&visit, &web, &id, Shown { fields, ..Shown::default() }, unprocessable).await;
    };
    let ids = &web.controller.ids;
    let actor = visit.actor();
    let by = Clerk { actor: &actor, role: visit.member.role, limits: web.counter };
    if let Err(over) = place(&mut transaction, &payment, by, visit.now).await? {
        return Ok(
            visit.go(&format!("/payments/{payment}"), &Note::bad(format!("Nothing was done: {over}.")))
        );
    }
    let done = split(&mut transaction, (&payment, &parts), by, ids, visit.now).await?;
    let complaint = match &done {
        Err(NotCorrected::NotTheWhole(sum)) => {
            Some(format!("together the parts are KES {sum}: make them the whole payment, to the cent"))
        }
        Err(NotCorrected::BadParts) => {
            Some("fill in two rows or more, each with more than nothing".to_owned())
        }
        _ => None,
    };
    if let Some(complaint) = complaint {
        transaction.rollback().await?;
        fields.complain("amount_1", complaint);
        return show(&visit, &web, &id, Shown { fields, ..Shown::default() }, unprocessable).await;
    }
    let act = (Action::PaymentSplit, &payment);
    finish(&visit, &web, transaction, act, (done, "It is shared out.")).await
}

/// Commits, tells, and says what came of it.
async fn finish(
    visit: &Visit,
    web: &Web,
    transaction: Transaction,
    (action, payment): (Action, &PaymentId),
    (corrected, done): (Result<Corrected, NotCorrected>, &str),
) -> Result<Response, PageError> {
    let page = format!("/payments/{payment}");
    let corrected = match corrected {
        Ok(corrected) => corrected,
        Err(NotCorrected::NoSuchPayment) => return Err(PageError::NotFound),
        Err(NotCorrected::NoSuchCustomer | NotCorrected::NotTheirs) => {
            return Err(PageError::BadForm(StatusCode::UNPROCESSABLE_ENTITY));
        }
        Err(why) => {
            transaction.rollback().await?;
            return Ok(visit.go(&page, &not_done(&why)));
        }
    };
    let note = Note::good(format!("{done}{}", words(&corrected)));
    let detail = corrected.in_words.clone();
    let act = (action, payment.as_str(), detail.as_str());
    visit.commit(web, transaction, act, |live| corrected.tell(live)).await?;
    Ok(visit.go(&page, &note))
}

fn not_done(why: &NotCorrected) -> Note {
    match why {
        NotCorrected::AlreadySo => Note::good("It is there already."),
        NotCorrected::InRefund => {
            Note::bad("Nothing was done: some of it goes back to whoever paid it, or has gone. See Refunds.")
        }
        NotCorrected::Closed(_) => Note::bad("Nothing was done: somebody corrected it just now."),
        NotCorrected::NotInDrawer(holds) => Note::bad(format!(
            "Nothing was undone: whoever took the cash holds {}, so that it is at the bank. Move the payment instead.",
            display::kes(*holds)
        )),
        NotCorrected::OverWriteOff { most, written_off } => Note::bad(format!(
            "Nothing was done: what was used of it is written off, and you may write off {} a day and have written off {}. \
             Ask an owner to do it.",
            display::kes(*most),
            display::kes(*written_off)
        )),
        _ => Note::bad(
            "Nothing was done: M-Pesa has the money. Move the payment to whose it is, or to nobody.",
        ),
    }
}

async fn write_off_debt(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::WriteOff)?;
    let customer = CustomerId::parse(&id).map_err(|_| PageError::NotFound)?;
    let amount = fields.read("amount_cents", str::parse::<i64>).map(Money::from_cents);
    let amount = amount.ok_or(PageError::BadForm(StatusCode::UNPROCESSABLE_ENTITY))?;
    let mut transaction = web.controller.database.write().await?;
    let actor = visit.actor();
    let writer = Clerk { actor: &actor, role: visit.member.role, limits: web.counter };
    let ids = &web.controller.ids;
    let written = write_off(&mut transaction, (&customer, Some(amount)), writer, ids, visit.now).await?;
    let page = format!("/customers/{customer}");
    let note = match written {
        Ok(amount) => {
            let detail = amount.to_string();
            let hint = crate::live::Hint::Payment(customer.clone());
            let act = (Action::DebtWrittenOff, customer.as_str(), detail.as_str());
            visit.commit(&web, transaction, act, move |live| live.tell(hint)).await?;
            Note::good(format!("{} is written off.", display::kes(amount)))
        }
        Err(NotWrittenOff::NoSuchCustomer) => return Err(PageError::NotFound),
        Err(NotWrittenOff::OverLimit { most, written_off }) => Note::bad(format!(
            "Nothing was written off: you may write off {} a day and have written off {}. Ask an owner.",
            display::kes(most),
            display::kes(written_off)
        )),
        Err(NotWrittenOff::NoAmount | NotWrittenOff::OwesLess(_)) => {
            let owes = owed_by(&mut *web.controller.database.read().await?, &customer).await?;
            Note::bad(format!("Nothing was written off: {} is owed now.", display::kes(owes)))
        }
    };
    Ok(visit.go(&page, &note))
}
