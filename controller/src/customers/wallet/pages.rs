//! The movements of a wallet on a page: what somebody reads who is asked where the money went.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use tawi_shared::UnixMillis;

use super::api::WantedPage;
use crate::customers;
use crate::ids::CustomerId;
use crate::ledger::{self, StatementLine};
use crate::money::Money;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::display::{self, Moment};
use crate::web::error::PageError;
use crate::web::visit::{Frame, Section, Visit};

#[derive(Template)]
#[template(path = "customers/wallet.html")]
struct WalletPage {
    frame: Frame,
    id: String,
    name: String,
    wallet: String,
    rows: Vec<MovementView>,
    page: u32,
    newer: Option<String>,
    older: Option<String>,
}

struct MovementView {
    at: Moment,
    words: String,
    amount: String,
    is_in: bool,
    balance: String,
}

impl MovementView {
    fn of(line: &StatementLine, now: UnixMillis) -> Self {
        let words = if line.memo.is_empty() { line.cause_kind.replace('_', " ") } else { line.memo.clone() };
        Self {
            at: Moment::of(line.at, now),
            words,
            amount: signed(line.amount),
            is_in: line.amount.is_positive(),
            balance: signed(line.balance),
        }
    }
}

/// An amount that may be below zero, with the sign before the currency.
fn signed(amount: Money) -> String {
    match amount.checked_neg().filter(|below| below.is_positive()) {
        Some(below) => format!("−{}", display::kes(below)),
        None => display::kes(amount),
    }
}

pub(crate) fn routes() -> Router<Web> {
    Router::new().route("/customers/{id}/wallet", get(movements))
}

async fn movements(
    visit: Visit,
    State(web): State<Web>,
    Path(id): Path<String>,
    Query(wanted): Query<WantedPage>,
) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let id = CustomerId::parse(&id).map_err(|_| PageError::NotFound)?;
    let page = wanted.page.min(super::PAGES);
    let mut reader = web.controller.database.read().await?;
    let customer = customers::get(&mut reader, &id).await?.ok_or(PageError::NotFound)?;
    let found = super::read(&mut reader, &id, page).await?;
    let wallet = ledger::wallet_of(&mut reader, &id).await?;
    drop(reader);
    let href = |page: u32| format!("/customers/{id}/wallet?page={page}");
    visit.show(&WalletPage {
        frame: visit.frame(format!("Wallet of {}", customer.name), Section::Customers),
        id: id.to_string(),
        name: customer.name,
        wallet: signed(wallet),
        rows: found.lines.iter().map(|line| MovementView::of(line, visit.now)).collect(),
        page,
        newer: page.checked_sub(1).map(href),
        older: found.has_more.then(|| href(page.saturating_add(1))),
    })
}
