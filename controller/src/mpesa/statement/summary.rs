//! What came of a statement, and whether its own figures add up. Pure.
//!
//! What the short code had before, and all that moved, must be what it had afterwards. If not, rows are missing: the export
//! was filtered, or a row could not be read.

use std::fmt;

use super::row::{Movement, Row, What};
use crate::money::Money;

/// What came of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whose it is.
    pub short_code: String,
    /// Rows of the file.
    pub rows: usize,
    /// Payments that were booked before.
    pub payments_known: usize,
    /// Payments that nothing had told of: they are booked now.
    pub payments_booked: usize,
    /// Those of them that are nobody's that we know.
    pub without_owner: usize,
    /// Charges that were booked before.
    pub charges_known: usize,
    /// Charges that are booked now.
    pub charges_booked: usize,
    /// Transfers to the bank that were booked before.
    pub settlements_known: usize,
    /// Transfers to the bank that are booked now.
    pub settlements_booked: usize,
    /// Rows that change nothing: not completed, without money, between two accounts of the short code, or repeated.
    pub without_effect: usize,
    /// Rows that wait for a person.
    pub for_review: usize,
    /// Rows for a person at which one has looked.
    pub looked_at: usize,
    /// Rows that could not be booked; each was logged, and the file has to be taken in again.
    pub failed: usize,
    /// What the file says of balances; `None` when it says nothing that can be checked.
    pub balances: Option<Balances>,
}

/// What the short code had, by the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balances {
    /// Before the oldest row.
    pub opening: Money,
    /// After the latest row.
    pub closing: Money,
    /// Whether all that moved in between explains the difference.
    pub adds_up: bool,
}

impl Summary {
    /// Whether a person has to look.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        let is_off = self.balances.is_some_and(|balances| !balances.adds_up);
        self.without_owner > 0 || self.for_review > 0 || self.failed > 0 || is_off
    }
}

impl fmt::Display for Summary {
    /// One line a fact; nothing personal in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24}{}", "Short code", self.short_code)?;
        writeln!(f, "{:<24}{}", "Rows", self.rows)?;
        let (known, booked) = (self.payments_known, self.payments_booked);
        writeln!(f, "{:<24}{known} known, {booked} newly booked", "Payments")?;
        writeln!(f, "{:<24}{}", "  of them without owner", self.without_owner)?;
        let (known, booked) = (self.charges_known, self.charges_booked);
        writeln!(f, "{:<24}{known} known, {booked} newly booked", "Charges")?;
        let (known, booked) = (self.settlements_known, self.settlements_booked);
        writeln!(f, "{:<24}{known} known, {booked} newly booked", "To the bank")?;
        writeln!(f, "{:<24}{}", "Without effect", self.without_effect)?;
        writeln!(f, "{:<24}{} wait, {} looked at", "For a person", self.for_review, self.looked_at)?;
        if self.failed > 0 {
            writeln!(f, "{:<24}{}: import the file again", "Not booked", self.failed)?;
        }
        match self.balances {
            None => write!(f, "{:<24}the file says nothing that can be checked", "Balance"),
            Some(Balances { opening, closing, adds_up: true }) => {
                write!(f, "{:<24}KES {opening} and all that moved is KES {closing}", "Balance")
            }
            Some(Balances { opening, closing, adds_up: false }) => write!(
                f,
                "{:<24}KES {opening} and all that moved is not KES {closing}: rows are missing",
                "Balance"
            ),
        }
    }
}

/// Adds up what moved, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    first: Option<Movement>,
    last: Option<Movement>,
    sum: Money,
    has_overflown: bool,
    /// Rows that could not be read, each of which may be money.
    pub(super) unread: usize,
    pub(super) rows: usize,
}

impl Tally {
    pub(super) fn take(&mut self, row: &Row) {
        self.rows = self.rows.saturating_add(1);
        if matches!(&row.what, What::ForPerson(why) if why.is_unread()) {
            self.unread = self.unread.saturating_add(1);
        }
        let Some(movement) = row.movement else { return };
        self.first.get_or_insert(movement);
        self.last = Some(movement);
        match self.sum.checked_add(movement.amount) {
            Some(sum) => self.sum = sum,
            None => self.has_overflown = true,
        }
    }

    /// Whether the latest row comes first, as the portal has it: so also where times say nothing.
    pub(super) fn is_latest_first(&self) -> bool {
        let time = |movement: Option<Movement>| Some(movement?.at?.probably);
        match (time(self.first), time(self.last)) {
            (Some(first), Some(last)) => first >= last,
            _ => true,
        }
    }

    pub(super) fn balances(&self) -> Option<Balances> {
        let (oldest, latest) =
            if self.is_latest_first() { (self.last?, self.first?) } else { (self.first?, self.last?) };
        let opening = oldest.balance?.checked_sub(oldest.amount)?;
        let closing = latest.balance?;
        let adds_up = !self.has_overflown && opening.checked_add(self.sum) == Some(closing);
        Some(Balances { opening, closing, adds_up })
    }
}
