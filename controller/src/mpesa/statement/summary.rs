//! What came of a statement, and whether its own figures add up. Pure.
//!
//! What the short code had before, and all that moved, must be what it had afterwards. If not, rows are missing: the export
//! was filtered, or a row could not be read.

use std::fmt;

use super::row::{Movement, Row, What};
use crate::closing::balance::{self, Moved};
use crate::closing::{StatedBalance, ToldSpan};
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
    /// Rows that change nothing: not completed, without money, between two accounts of the short code, of refunds that are
    /// done, or repeated.
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

impl Summary {
    /// What a person is told: a name and what there is to say, with nothing personal in it.
    #[must_use]
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let booked = |known: usize, booked: usize| format!("{known} known, {booked} newly booked");
        let mut lines = vec![
            ("Short code", self.short_code.clone()),
            ("Rows", self.rows.to_string()),
            ("Payments", booked(self.payments_known, self.payments_booked)),
            ("New, without owner", self.without_owner.to_string()),
            ("Charges", booked(self.charges_known, self.charges_booked)),
            ("To the bank", booked(self.settlements_known, self.settlements_booked)),
            ("Without effect", self.without_effect.to_string()),
            ("For a person", format!("{} wait, {} looked at", self.for_review, self.looked_at)),
        ];
        if self.failed > 0 {
            lines.push(("Not booked", format!("{}: see the log, and take the file in again", self.failed)));
        }
        let balance = match self.balances {
            None => "the file says nothing that can be checked".to_owned(),
            Some(Balances { opening, closing, adds_up: true }) => {
                format!("KES {opening} and all that moved is KES {closing}")
            }
            Some(Balances { opening, closing, adds_up: false }) => {
                format!("KES {opening} and all that moved is not KES {closing}: rows are missing")
            }
        };
        lines.push(("Balance", balance));
        lines
    }
}

impl fmt::Display for Summary {
    /// One line a fact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, said)) in self.lines().iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{name:<20}{said}")?;
        }
        Ok(())
    }
}

/// Adds up what moved, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    first: Option<Movement>,
    last: Option<Movement>,
    sum: Money,
    has_overflown: bool,
    /// What moved, in the order of the file; empty from the first on of which nobody knows when.
    moved: Vec<Moved>,
    has_lost_time: bool,
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
        match movement.at {
            Some(at) => {
                let (at, amount) = (at.probably, movement.amount);
                self.moved.push(Moved { at, amount, is_within: row.what == What::Within });
            }
            None => self.has_lost_time = true,
        }
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

    /// What the file tells all of, where its balances prove that nothing is missing.
    pub(super) fn span(&self) -> Option<ToldSpan> {
        let balances = self.balances().filter(|balances| balances.adds_up)?;
        let (first, last) = (self.first?.at?.probably, self.last?.at?.probably);
        Some(ToldSpan {
            from: first.min(last),
            until: first.max(last),
            balances: Some((balances.opening, balances.closing)),
        })
    }

    /// What the short code had before and after each day of the file, where its balances prove that nothing is missing.
    pub(super) fn days(&self) -> Vec<StatedBalance> {
        let Some(balances) = self.balances().filter(|found| found.adds_up && !self.has_lost_time) else {
            return Vec::new();
        };
        if !self.is_latest_first() {
            return balance::days(balances.opening, &self.moved);
        }
        let oldest_first: Vec<Moved> = self.moved.iter().rev().copied().collect();
        balance::days(balances.opening, &oldest_first)
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
