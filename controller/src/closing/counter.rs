//! What people took at the counter in a day, beside what the ledger has of it.
//!
//! Cash stands in an account of whoever took it, transfers in that of the bank. A booking that was undone stays in what was
//! taken, and is said beside it.

use super::day::Day;
use super::store;
use crate::database::Connection;
use crate::money::Money;
use crate::payments::Provider;

/// What one person took one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takings {
    /// Who, as the audit log writes it.
    pub by: String,
    /// In cash, or by transfers that the bank's statement shows.
    pub means: Provider,
    /// How many payments.
    pub payments: u64,
    /// Together.
    pub amount: Money,
    /// What the ledger's account has of them.
    pub in_ledger: Money,
    /// What of them was undone since.
    pub undone: Money,
    /// The cash that they held at the end of the day, by the ledger; `None` for transfers.
    pub holds: Option<Money>,
}

impl Takings {
    /// Whether the ledger has the same.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.amount == self.in_ledger
    }
}

/// What people took in a day.
///
/// # Errors
/// When the database refuses.
pub async fn of_day(connection: &mut Connection, day: Day) -> Result<Vec<Takings>, sqlx::Error> {
    store::takings(connection, day).await
}
