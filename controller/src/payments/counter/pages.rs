//! The counter: the form for what a customer brings, the receipt to hand over, and who holds how much cash.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};

use super::{Banking, Brought, Clerk, Drawer, Means, NOTE_CHARACTERS, NotBanked, NotTaken, read_reference};
use crate::audit::Action;
use crate::customers;
use crate::ids::{CustomerId, LineId, PaymentId};
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::payments::corrections::{self, Closed};
use crate::payments::pages::OCCASION_DIGITS;
use crate::payments::{PaymentRow, Provider};
use crate::staff::Permission;
use crate::subscriptions;
use crate::web::Web;
use crate::web::display::{self, Moment};
use crate::web::error::PageError;
use crate::web::form::Fields;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};

/// The word for "it is for none of their lines".
const WALLET: &str = "wallet";
/// What is wrong with a bank's reference.
const BAD_REFERENCE: &str =
    "enter the reference as the bank's statement or slip shows it: 1 to 32 letters and digits";

/// A line that the money may be for.
struct LineChoice {
    id: String,
    plan: String,
    username: String,
    price: String,
}

#[derive(Template)]
#[template(path = "payments/counter.html")]
struct CounterPage {
    frame: Frame,
    fields: Fields,
    customer_id: String,
    name: String,
    account: String,
    lines: Vec<LineChoice>,
}

#[derive(Template)]
#[template(path = "payments/receipt.html")]
struct ReceiptPage {
    frame: Frame,
    payment_id: String,
    serial: i64,
    at: Moment,
    customer: String,
    account: String,
    amount: String,
    paid_by: String,
    bought: String,
    taken_by: String,
    note: String,
    /// Why it is no receipt any more; empty where it is one.
    void: &'static str,
}

#[derive(Template)]
#[template(path = "payments/cash.html")]
struct CashPage {
    frame: Frame,
    fields: Fields,
    drawers: Vec<DrawerView>,
    total: String,
    may_bank: bool,
}

struct DrawerView {
    holder: String,
    name: String,
    holds: String,
}

impl DrawerView {
    fn of(drawer: &Drawer) -> Self {
        Self {
            name: name_of(&drawer.holder).to_owned(),
            holder: drawer.holder.clone(),
            holds: display::kes(drawer.holds),
        }
    }
}

/// `staff:anna` is Anna to whoever reads it.
fn name_of(actor: &str) -> &str {
    actor.split_once(':').map_or(actor, |(_, name)| name)
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/customers/{id}/counter", get(new).post(take))
        .route("/payments/{id}/receipt", get(receipt))
        .route("/cash", get(cash))
        .route("/cash/bank", post(bank))
}

async fn new(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Result<Response, PageError> {
    visit.require(Permission::TakePayments)?;
    let occasion = web.controller.ids.hex(OCCASION_DIGITS / 2);
    let fields = Fields::with(&[("occasion", &occasion), ("means", Provider::Cash.as_str())]);
    show(&visit, &web, &id, fields, StatusCode::OK).await
}

async fn show(
    visit: &Visit,
    web: &Web,
    id: &str,
    mut fields: Fields,
    status: StatusCode,
) -> Result<Response, PageError> {
    let id = CustomerId::parse(id).map_err(|_| PageError::NotFound)?;
    let mut reader = web.controller.database.read().await?;
    let customer = customers::get(&mut reader, &id).await?.ok_or(PageError::NotFound)?;
    let lines = subscriptions::of_customer(&mut reader, &id).await?;
    if fields.value("subscription").is_empty() {
        fields.set("subscription", lines.first().map_or(WALLET, |line| line.id.as_str()));
    }
    let line = |line: &subscriptions::Subscription| LineChoice {
        id: line.id.to_string(),
        plan: line.plan_name.clone(),
        username: line.username.to_string(),
        price: display::kes(line.price),
    };
    let page = CounterPage {
        frame: visit.frame("Take a payment", Section::Customers),
        customer_id: customer.id.to_string(),
        name: customer.name,
        account: customer.account_number.to_string(),
        lines: lines.iter().map(line).collect(),
        fields,
    };
    visit.show_as(status, &page)
}

/// What the form says, once it can be booked.
fn read(customer: CustomerId, fields: &mut Fields) -> Result<Option<Brought>, PageError> {
    let bad = || PageError::BadForm(StatusCode::UNPROCESSABLE_ENTITY);
    let amount = fields.read("amount", Money::parse);
    let means = match fields.value("means") {
        "cash" => {
            let occasion = fields.value("occasion");
            let occasion =
                (occasion.len() == OCCASION_DIGITS).then(|| ReceiptNumber::parse(occasion)).flatten();
            Some(Means::Cash { occasion: occasion.ok_or_else(bad)? })
        }
        "bank" => fields
            .read("reference", |text| read_reference(text).ok_or(BAD_REFERENCE))
            .map(|reference| Means::Bank { reference }),
        _ => return Err(bad()),
    };
    let subscription = match fields.value("subscription") {
        WALLET => None,
        line => Some(LineId::parse(line).map_err(|_| bad())?),
    };
    let note = fields.value("note").to_owned();
    let (Some(amount), Some(means)) = (amount, means) else { return Ok(None) };
    Ok(Some(Brought { customer, subscription, amount, means, note, is_another: fields.is("another", "yes") }))
}

async fn take(State(web): State<Web>, Path(id): Path<String>, posted: Posted) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::TakePayments)?;
    let customer = CustomerId::parse(&id).map_err(|_| PageError::NotFound)?;
    let Some(brought) = read(customer, &mut fields)? else {
        return show(&visit, &web, &id, fields, StatusCode::UNPROCESSABLE_ENTITY).await;
    };
    let mut transaction = web.controller.database.write().await?;
    let actor = visit.actor();
    let taker = Clerk { actor: &actor, role: visit.member.role, limits: web.counter };
    let received = match super::take(&mut transaction, &brought, taker, &web.controller.ids, visit.now)
        .await?
    {
        Ok(received) => received,
        Err(NotTaken::NoSuchCustomer) => return Err(PageError::NotFound),
        Err(NotTaken::NotTheirs) => return Err(PageError::BadForm(StatusCode::UNPROCESSABLE_ENTITY)),
        Err(NotTaken::AlreadyTaken(payment)) => {
            let note = match brought.means {
                Means::Cash { .. } => {
                    Note::good("This form was sent before: it is booked once, as here. Look at the amount.")
                }
                Means::Bank { .. } => {
                    Note::bad("Nothing was booked: the payment with this number is booked, here it is.")
                }
            };
            return Ok(visit.go(&format!("/payments/{payment}"), &note));
        }
        Err(NotTaken::PerhapsTaken(before)) => {
            fields.set("before", before.as_str());
            let reason =
                "as much was taken of this customer less than two minutes ago: look whether it is the same";
            return refuse(&visit, &web, (&id, fields), ("amount", reason.to_owned())).await;
        }
        Err(NotTaken::NoAmount) => {
            return refuse(&visit, &web, (&id, fields), ("amount", "enter more than nothing".to_owned()))
                .await;
        }
        Err(NotTaken::LongNote) => {
            let reason = format!("use up to {NOTE_CHARACTERS} characters");
            return refuse(&visit, &web, (&id, fields), ("note", reason)).await;
        }
        Err(NotTaken::OverLimit(over)) => {
            return refuse(&visit, &web, (&id, fields), ("amount", over.to_string())).await;
        }
    };
    let note = match received.has_bought {
        true => "It is booked, and has bought what it was for: the site is being told.",
        false => "It is booked, and lies in the wallet: it has bought nothing yet.",
    };
    let payment = received.payment.to_string();
    let act = (Action::PaymentTaken, payment.as_str(), brought.means.provider().as_str());
    visit.commit(&web, transaction, act, |live| received.tell(live)).await?;
    Ok(visit.go(&format!("/payments/{payment}"), &Note::good(note)))
}

async fn refuse(
    visit: &Visit,
    web: &Web,
    (id, mut fields): (&str, Fields),
    (field, reason): (&'static str, String),
) -> Result<Response, PageError> {
    fields.complain(field, reason);
    show(visit, web, id, fields, StatusCode::UNPROCESSABLE_ENTITY).await
}

/// Why a receipt is none any more; empty where it is one.
fn void_words(closed: Option<Closed>) -> &'static str {
    match closed {
        None => "",
        Some(Closed::Split) => "Void: the payment was shared out, and its parts have receipts of their own.",
        Some(Closed::Undone) => "Void: the payment was booked by mistake.",
        Some(Closed::Refunded) => "Void: the money was given back.",
    }
}

async fn receipt(
    visit: Visit,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let id = PaymentId::parse(&id).map_err(|_| PageError::NotFound)?;
    let mut reader = web.controller.database.read().await?;
    let row = crate::payments::payment(&mut reader, &id).await?.ok_or(PageError::NotFound)?;
    let taken = super::store::taken_by(&mut reader, &id).await?;
    let bought = corrections::bought_by(&mut reader, &id).await?;
    let bought = bought.into_iter().find(|bought| bought.taken_back_at.is_none());
    let (taken_by, note) = taken.unwrap_or_default();
    let payment = &row.payment;
    visit.show(&ReceiptPage {
        frame: visit.frame(format!("Receipt {}", payment.serial), Section::Payments),
        payment_id: payment.id.to_string(),
        serial: payment.serial,
        at: Moment::of(payment.received_at, visit.now),
        amount: display::kes(payment.amount),
        paid_by: paid_by(&row),
        // As it was called when it was sold, whatever the plan is called since.
        bought: bought.map_or_else(|| "Your account".to_owned(), |bought| bought.label),
        void: void_words(payment.closed),
        customer: row.customer_name.clone(),
        account: row.account_number.clone(),
        taken_by: name_of(&taken_by).to_owned(),
        note,
    })
}

/// How it was paid, in words.
fn paid_by(row: &PaymentRow) -> String {
    let payment = &row.payment;
    match payment.provider {
        Provider::Mpesa => format!("M-Pesa, {}", payment.receipt_number),
        Provider::Bank => format!("Bank transfer, {}", payment.receipt_number),
        Provider::Cash => "Cash".to_owned(),
    }
}

async fn cash(visit: Visit, State(web): State<Web>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    show_cash(&visit, &web, Fields::default(), StatusCode::OK).await
}

async fn show_cash(
    visit: &Visit,
    web: &Web,
    fields: Fields,
    status: StatusCode,
) -> Result<Response, PageError> {
    let drawers = super::drawers(&mut *web.controller.database.read().await?).await?;
    let total = drawers.iter().try_fold(Money::ZERO, |sum, drawer| sum.checked_add(drawer.holds));
    let page = CashPage {
        frame: visit.frame("Cash", Section::Payments),
        fields,
        drawers: drawers.iter().map(DrawerView::of).collect(),
        total: total.map(display::kes).unwrap_or_default(),
        may_bank: visit.may(Permission::BankCash),
    };
    visit.show_as(status, &page)
}

async fn bank(State(web): State<Web>, posted: Posted) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::BankCash)?;
    let amount = fields.read("amount", Money::parse);
    let slip = fields.read("slip", |text| read_reference(text).ok_or(BAD_REFERENCE));
    let (Some(amount), Some(slip)) = (amount, slip) else {
        return show_cash(&visit, &web, fields, StatusCode::UNPROCESSABLE_ENTITY).await;
    };
    let banking = Banking { holder: fields.value("holder").to_owned(), amount, slip };
    let mut transaction = web.controller.database.write().await?;
    let by = visit.actor();
    let outcome = super::bank(&mut transaction, &banking, &by, &web.controller.ids, visit.now).await?;
    let (field, reason) = match outcome {
        Ok(()) => {
            let detail = format!("{} of {}", banking.amount, banking.holder);
            let act = (Action::CashBanked, banking.slip.as_str(), detail.as_str());
            visit.commit(&web, transaction, act, |_| {}).await?;
            let note = format!("{} is at the bank, slip {}.", display::kes(banking.amount), banking.slip);
            return Ok(visit.go("/cash", &Note::good(note)));
        }
        Err(NotBanked::NoAmount) => ("amount", "enter more than nothing".to_owned()),
        Err(NotBanked::MoreThanHeld { holds }) => (
            "amount",
            format!("{} holds {}: bring no more to the bank", name_of(&banking.holder), display::kes(holds)),
        ),
        Err(NotBanked::AlreadyBanked) => ("slip", "this slip was booked before".to_owned()),
    };
    fields.complain(field, reason);
    show_cash(&visit, &web, fields, StatusCode::UNPROCESSABLE_ENTITY).await
}
