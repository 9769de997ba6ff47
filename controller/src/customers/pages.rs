//! Customers: the list with its search, a new one, and everything about one.

use std::collections::BTreeSet;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use tawi_shared::UnixMillis;

use super::phone::Msisdn;
use super::{Created, CustomerRow, NewCustomer, PAGE_ROWS};
use crate::audit::Action;
use crate::ids::{CustomerId, SiteId};
use crate::live::Hint;
use crate::messages::pages::MessageView;
use crate::money::Money;
use crate::mpesa::intent::{Intent, State as IntentState};
use crate::payments::pages::{IntentView, PaymentView};
use crate::payments::{self, PaymentRow};
use crate::sites::{self, Site};
use crate::staff::Permission;
use crate::subscriptions::pages::{LineView, lines_of};
use crate::web::Web;
use crate::web::display::{self, Badge, Moment};
use crate::web::error::{PageError, percent_encoded};
use crate::web::form::Fields;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};
use crate::{customers, ledger, messages};

/// The newest payments on a customer's page: a year of months.
const PAYMENTS: u32 = 12;
/// The newest requests: what somebody on the phone asks about.
const REQUESTS: u32 = 5;
/// The last page that is looked for: beyond it a search is quicker.
const PAGES: u32 = 1_000;

#[derive(Debug, Default, Deserialize)]
struct Wanted {
    #[serde(default)]
    query: String,
    #[serde(default)]
    page: u32,
}

#[derive(Clone, Debug)]
struct RowView {
    id: String,
    name: String,
    account: String,
    phone: String,
    lines: Badge,
    since: Moment,
}

#[derive(Template)]
#[template(path = "customers/list.html")]
struct ListPage {
    frame: Frame,
    query: String,
    page: u32,
    rows: Vec<RowView>,
    has_more: bool,
    newer: Option<String>,
    older: Option<String>,
    may_add: bool,
}

#[derive(Template)]
#[template(path = "customers/new.html")]
struct NewPage {
    frame: Frame,
    fields: Fields,
}

#[derive(Template)]
#[template(path = "customers/one.html")]
struct OnePage {
    frame: Frame,
    id: String,
    name: String,
    account: String,
    phone: String,
    phone_digits: String,
    wallet: String,
    /// What they owe, in words and in cents; `None` for most.
    owes: Option<(String, i64)>,
    may_write_off: bool,
    since: Moment,
    /// What the script listens for to read everything again.
    hints: String,
    banner: Option<Badge>,
    lines: Vec<LineView>,
    last: Option<PaymentView>,
    requests: Vec<IntentView>,
    payments: Vec<PaymentView>,
    texts: Vec<MessageView>,
    language: String,
    /// What else they may type as account, in both forms, with when it was entered.
    references: Vec<(String, String, Moment)>,
    may_assign: bool,
    has_mpesa: bool,
    may_add: bool,
    may_ask: bool,
    may_take: bool,
    may_hold: bool,
    may_command: bool,
    may_take_over: bool,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/customers", get(list).post(create))
        .route("/customers/new", get(new))
        .route("/customers/{id}", get(one))
}

async fn list(
    visit: Visit,
    State(web): State<Web>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let query: String = wanted.query.trim().chars().take(100).collect();
    let page = wanted.page.min(PAGES);
    let mut reader = web.controller.database.read().await?;
    let found = customers::search(&mut reader, &query, page).await?;
    let is_full = u32::try_from(found.len()).unwrap_or(u32::MAX) >= PAGE_ROWS;
    let next = page.saturating_add(1);
    let has_more = is_full && !customers::search(&mut reader, &query, next).await?.is_empty();
    let href = |page: u32| format!("/customers?query={}&page={page}", percent_encoded(&query));
    visit.show(&ListPage {
        frame: visit.frame("Customers", Section::Customers),
        page,
        rows: found.iter().map(|row| row_view(row, visit.now)).collect(),
        has_more,
        newer: page.checked_sub(1).map(href),
        older: has_more.then(|| href(next)),
        may_add: visit.may(Permission::AddCustomers),
        query,
    })
}

fn row_view(row: &CustomerRow, now: UnixMillis) -> RowView {
    let lines = match (row.lines, row.lines_open, row.lines_online) {
        (0, ..) => Badge::idle("no line"),
        (_, 0, _) => Badge::warn("not paid"),
        (_, _, 0) => Badge::idle("paid, offline"),
        (1, ..) => Badge::good("online"),
        (lines, _, online) => Badge::good(format!("{online} of {lines} online")),
    };
    RowView {
        id: row.customer.id.to_string(),
        name: row.customer.name.clone(),
        account: row.customer.account_number.to_string(),
        phone: row.customer.phone.to_string(),
        lines,
        since: Moment::of(row.customer.created_at, now),
    }
}

async fn new(visit: Visit) -> Result<Response, PageError> {
    visit.require(Permission::AddCustomers)?;
    let frame = visit.frame("Add customer", Section::Customers);
    visit.show(&NewPage { frame, fields: Fields::default() })
}

async fn create(State(web): State<Web>, posted: Posted) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::AddCustomers)?;
    if let Some(phone) = fields.read("phone", Msisdn::parse) {
        let new = NewCustomer { name: fields.value("name").to_owned(), phone };
        let controller = &web.controller;
        let mut transaction = controller.database.write().await?;
        match customers::create(&mut transaction, new, &controller.ids, visit.now).await? {
            Created::Created(customer) => {
                let act = (Action::CustomerAdded, customer.id.as_str(), "");
                visit.commit(&web, transaction, act, |_| {}).await?;
                let note =
                    format!("{} is added, with account number {}.", customer.name, customer.account_number);
                return Ok(visit.go(&format!("/customers/{}", customer.id), &Note::good(note)));
            }
            Created::Invalid(invalid) => fields.complain_of(invalid),
        }
    }
    if fields.value("name").is_empty() {
        fields.complain("name", "enter a name");
    }
    let frame = visit.frame("Add customer", Section::Customers);
    visit.show_as(StatusCode::UNPROCESSABLE_ENTITY, &NewPage { frame, fields })
}

async fn one(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let id = CustomerId::parse(&id).map_err(|_| PageError::NotFound)?;
    let now = visit.now;
    let mut reader = web.controller.database.read().await?;
    let customer = customers::get(&mut reader, &id).await?.ok_or(PageError::NotFound)?;
    let lines = lines_of(&mut reader, &id, &web.controller.ids, now).await?;
    let rows = payments::payments_of(&mut reader, &id, PAYMENTS).await?;
    let intents = payments::latest_intents_of(&mut reader, &id, REQUESTS).await?;
    let wallet = ledger::wallet_of(&mut reader, &id).await?;
    let mut known: Vec<Site> = Vec::new();
    for trace in rows.iter().filter_map(|row| row.trace.as_ref()) {
        if known.iter().all(|site| site.id != trace.site) {
            known.extend(sites::get(&mut reader, &trace.site).await?);
        }
    }
    for site in lines.iter().filter_map(|line| SiteId::parse(&line.site_id).ok()).collect::<BTreeSet<_>>() {
        web.controller.live.tell(Hint::Watched(site));
    }
    let heard = web.heard(&mut reader).await?;
    let (texts, language) = messages::pages::of_customer(&mut reader, &id, now).await?;
    let references = customers::references::of_customer(&mut reader, &id).await?;
    drop(reader);
    let payments: Vec<PaymentView> = rows.iter().map(|row| payment_view(row, &known, now)).collect();
    visit.show(&OnePage {
        frame: visit.frame(customer.name.clone(), Section::Customers),
        id: id.to_string(),
        name: customer.name,
        account: customer.account_number.to_string(),
        phone: display::phone(&customer.phone),
        phone_digits: customer.phone.digits().to_owned(),
        wallet: display::kes(wallet.max(Money::ZERO)),
        owes: wallet
            .checked_neg()
            .filter(|owed| owed.is_positive())
            .map(|owed| (display::kes(owed), owed.cents())),
        may_write_off: visit.may(Permission::WriteOff),
        since: Moment::of(customer.created_at, now),
        hints: hints(&id, &lines),
        banner: intents.first().and_then(banner),
        lines,
        last: payments.first().cloned(),
        requests: intents.iter().map(|intent| IntentView::of(intent, &heard, now)).collect(),
        payments,
        texts,
        language,
        references: references
            .into_iter()
            .map(|entered| {
                let at = Moment::of(entered.created_at, now);
                (entered.reference.to_string(), entered.written, at)
            })
            .collect(),
        may_assign: visit.may(Permission::AssignPayments),
        has_mpesa: web.short_codes.is_some(),
        may_add: visit.may(Permission::AddCustomers),
        may_ask: visit.may(Permission::AskForPayment),
        may_take: visit.may(Permission::TakePayments),
        may_hold: visit.may(Permission::HoldSubscriptions),
        may_command: visit.may(Permission::CommandRouters),
        may_take_over: visit.may(Permission::TakeOver),
    })
}

fn payment_view(row: &PaymentRow, known: &[Site], now: UnixMillis) -> PaymentView {
    let site = row.trace.as_ref().and_then(|trace| known.iter().find(|site| site.id == trace.site));
    PaymentView::of(row, site, now)
}

fn hints(id: &CustomerId, lines: &[LineView]) -> String {
    let lines = lines.iter().map(|line| format!(" line:{} site:{}", line.id, line.site_id));
    format!("payment:{id} intent:{id}{}", lines.collect::<String>())
}

/// What stands on top while a request may still be answered: the moment in which people pay twice.
fn banner(newest: &Intent) -> Option<Badge> {
    let asked = format!("{} is asked of {}. ", display::kes(newest.amount), display::phone(&newest.phone));
    let word = format!("{asked}{} Send no other meanwhile, and do not pay again.", newest.advice(false));
    match newest.state {
        IntentState::Created | IntentState::Submitting | IntentState::Prompted => Some(Badge::info(word)),
        IntentState::SubmitUnknown | IntentState::PaidUnreceipted => Some(Badge::warn(word)),
        IntentState::Paid(_) | IntentState::Declined(_) | IntentState::Expired | IntentState::Review(_) => {
            None
        }
    }
}
