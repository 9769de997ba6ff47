//! What went into and out of a customer's wallet, newest first, with what was in it after each.
//!
//! Read from the ledger, and nothing is kept for it. What may be booked is the business of `ledger` and of those who book.

pub(crate) mod api;
pub(crate) mod pages;

use crate::database::Connection;
use crate::ids::CustomerId;
use crate::ledger::{self, LedgerError, StatementLine};

/// Movements on a page.
const PAGE_ROWS: u32 = 50;
/// Pages, at most: what a customer moves in a lifetime is less.
const PAGES: u32 = 1_000;

/// A page of movements, and whether there are more behind it.
struct Movements {
    lines: Vec<StatementLine>,
    has_more: bool,
}

/// Reads a page, from 0.
async fn read(
    connection: &mut Connection,
    customer: &CustomerId,
    page: u32,
) -> Result<Movements, LedgerError> {
    let page = page.min(PAGES);
    let from = page.saturating_mul(PAGE_ROWS);
    // One more says whether there are more.
    let mut lines = ledger::statement_of(connection, customer, (PAGE_ROWS.saturating_add(1), from)).await?;
    let most = usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
    let has_more = lines.len() > most;
    lines.truncate(most);
    Ok(Movements { lines, has_more })
}
