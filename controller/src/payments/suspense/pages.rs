//! Giving a payment that is nobody's to a customer: whom it may be, a look at them before, and the act.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use super::{Assignment, NotAssigned, assign, suggestions};
use crate::audit::Action;
use crate::customers::account_number::AccountNumber;
use crate::customers::{self, Customer};
use crate::database::Connection;
use crate::ids::{CustomerId, LineId, PaymentId};
use crate::payments::counter::Clerk;
use crate::payments::counter::placing::place;
use crate::payments::{PaymentError, PaymentRow};
use crate::staff::Permission;
use crate::subscriptions;
use crate::web::Web;
use crate::web::display;
use crate::web::error::PageError;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};

/// The word for "it is for none of their lines".
const WALLET: &str = "wallet";

/// A customer to choose.
pub(in crate::payments) struct CustomerChoice {
    pub(in crate::payments) id: String,
    pub(in crate::payments) name: String,
    pub(in crate::payments) account: String,
    pub(in crate::payments) phone: String,
}

impl CustomerChoice {
    pub(in crate::payments) fn of(customer: &Customer) -> Self {
        Self {
            id: customer.id.to_string(),
            name: customer.name.clone(),
            account: customer.account_number.to_string(),
            phone: display::phone(&customer.phone),
        }
    }
}

/// A line that the money may be for.
pub(in crate::payments) struct LineChoice {
    pub(in crate::payments) id: String,
    pub(in crate::payments) plan: String,
    pub(in crate::payments) username: String,
    pub(in crate::payments) price: String,
}

/// The customer who was chosen, to be looked at before anything moves.
struct Chosen {
    customer: CustomerChoice,
    lines: Vec<LineChoice>,
}

#[derive(Template)]
#[template(path = "payments/assign.html")]
struct AssignPage {
    frame: Frame,
    payment_id: String,
    receipt: String,
    amount: String,
    /// Why it is nobody's, with what was typed.
    why: String,
    /// What was typed into the search.
    query: String,
    found: Vec<CustomerChoice>,
    /// Whether `found` was guessed and not searched for.
    is_guess: bool,
    chosen: Option<Chosen>,
}

/// What the page is asked.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    customer: String,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/payments/{id}/assign", get(look).post(give))
        .route("/payments/{id}/assign/search", post(search))
}

async fn look(
    visit: Visit,
    State(web): State<Web>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let wanted = match CustomerId::parse(&asked.customer) {
        Ok(customer) => Wanted::Customer(customer),
        Err(_) => Wanted::Guess,
    };
    show(&visit, &web, &id, wanted).await
}

/// Posted, although it changes nothing: names and phone numbers in an address are kept by browsers and proxies.
async fn search(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    let query = fields.value("q").trim().to_owned();
    let wanted = if query.is_empty() { Wanted::Guess } else { Wanted::Search(query) };
    show(&visit, &web, &id, wanted).await
}

/// What is to be shown of the customers.
enum Wanted {
    /// Whom the payer may have meant.
    Guess,
    /// Whom these words find.
    Search(String),
    /// This one.
    Customer(CustomerId),
}

async fn show(visit: &Visit, web: &Web, id: &str, wanted: Wanted) -> Result<Response, PageError> {
    visit.require(Permission::AssignPayments)?;
    let mut reader = web.controller.database.read().await?;
    let row = payment_of(&mut reader, id).await?;
    if row.payment.customer.is_some() {
        return Ok(visit.go(&format!("/payments/{id}"), &Note::good("It has an owner.")));
    }
    let is_guess = matches!(wanted, Wanted::Guess);
    let (query, found, chosen) = match wanted {
        Wanted::Guess => (String::new(), suggestions(&mut reader, &row).await?, None),
        Wanted::Search(query) => {
            let found = found(&mut reader, &query).await?;
            (query, found, None)
        }
        Wanted::Customer(customer) => {
            (String::new(), Vec::new(), Some(self::chosen(&mut reader, &customer).await?))
        }
    };
    let payment = &row.payment;
    visit.show(&AssignPage {
        frame: visit.frame(format!("Whose is {}", payment.receipt_number), Section::Payments),
        payment_id: payment.id.to_string(),
        receipt: payment.receipt_number.clone(),
        amount: display::kes(payment.amount),
        why: super::words_with(payment.no_owner, &payment.account_reference),
        is_guess,
        query,
        found: found.iter().map(CustomerChoice::of).collect(),
        chosen,
    })
}

async fn payment_of(reader: &mut Connection, id: &str) -> Result<PaymentRow, PageError> {
    let id = PaymentId::parse(id).map_err(|_| PageError::NotFound)?;
    crate::payments::payment(reader, &id).await?.ok_or(PageError::NotFound)
}

/// An account number is found at once, anything else is searched for as in the list of customers.
pub(in crate::payments) async fn found(
    reader: &mut Connection,
    query: &str,
) -> Result<Vec<Customer>, PaymentError> {
    if let Ok(number) = AccountNumber::parse(query)
        && let Some(customer) = customers::by_account_number(reader, &number).await?
    {
        return Ok(vec![customer]);
    }
    let rows = customers::search(reader, query, 0).await?;
    Ok(rows.into_iter().map(|row| row.customer).collect())
}

async fn chosen(reader: &mut Connection, id: &CustomerId) -> Result<Chosen, PageError> {
    let customer = customers::get(reader, id).await?.ok_or(PageError::NotFound)?;
    let lines = choice_of_lines(&subscriptions::of_customer(reader, id).await?);
    Ok(Chosen { customer: CustomerChoice::of(&customer), lines })
}

/// The lines of a customer, to choose one.
pub(in crate::payments) fn choice_of_lines(lines: &[subscriptions::Subscription]) -> Vec<LineChoice> {
    let line = |line: &subscriptions::Subscription| LineChoice {
        id: line.id.to_string(),
        plan: line.plan_name.clone(),
        username: line.username.to_string(),
        price: display::kes(line.price),
    };
    lines.iter().map(line).collect()
}

async fn give(State(web): State<Web>, Path(id): Path<String>, posted: Posted) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::AssignPayments)?;
    let bad = || PageError::BadForm(StatusCode::UNPROCESSABLE_ENTITY);
    let payment = PaymentId::parse(&id).map_err(|_| PageError::NotFound)?;
    let customer = CustomerId::parse(fields.value("customer")).map_err(|_| bad())?;
    let subscription = match fields.value("subscription") {
        WALLET => None,
        line => Some(LineId::parse(line).map_err(|_| bad())?),
    };
    let mut transaction = web.controller.database.write().await?;
    let wanted = Assignment { payment, customer, subscription };
    let (by, ids) = (visit.actor(), &web.controller.ids);
    let page = format!("/payments/{id}");
    let clerk = Clerk { actor: &by, role: visit.member.role, limits: web.counter };
    if let Err(over) = place(&mut transaction, &wanted.payment, clerk, visit.now).await? {
        return Ok(visit.go(&page, &Note::bad(format!("Nothing was done: {over}."))));
    }
    let assigned = match assign(&mut transaction, &wanted, &by, ids, visit.now).await? {
        Ok(assigned) => assigned,
        Err(NotAssigned::NoSuchPayment) => return Err(PageError::NotFound),
        Err(NotAssigned::AlreadySo) => return Ok(visit.go(&page, &Note::good("It is theirs already."))),
        Err(NotAssigned::HasOwner) => {
            return Ok(visit.go(&page, &Note::bad("Somebody else gave it to another customer just now.")));
        }
        Err(NotAssigned::NoSuchCustomer | NotAssigned::NotTheirs) => return Err(bad()),
    };
    let note = match assigned.has_bought {
        true => "It is theirs, and has bought a period: the site is being told.",
        false => "It is theirs, and lies in their wallet.",
    };
    let act = (Action::PaymentAssigned, wanted.payment.as_str(), wanted.customer.as_str());
    visit.commit(&web, transaction, act, |live| assigned.tell(live)).await?;
    Ok(visit.go(&page, &Note::good(note)))
}
