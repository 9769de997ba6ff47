//! What M-Pesa held before and after, beside what the ledger's account of the short code moved in between. Pure.
//!
//! The ledger knows nothing of what lay at M-Pesa before it began, so that balances themselves are never equal: what moved
//! between two of them is. What goes from one account of a short code to another moves a statement, which is of one of
//! them, and not the ledger. Of a balance that M-Pesa tells when it is asked, the account of charges and the one on its way
//! to the bank are left out: the statement has what goes there as gone.

use tawi_shared::UnixMillis;

use super::day::Day;
use crate::money::Money;

/// Days of one statement whose balances are kept: more than a year in one file is not exported.
const DAYS_MOST: usize = 400;
/// Accounts of a short code whose money has gone for the ledger, by a word of their names.
const GONE: [&str; 2] = ["charge", "settlement"];

/// What M-Pesa held before and after a span of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatedBalance {
    /// Its first instant.
    pub from: UnixMillis,
    /// Its last.
    pub until: UnixMillis,
    /// What was there before.
    pub opening: Money,
    /// What was there afterwards.
    pub closing: Money,
    /// What of that came from another account of the short code; below zero went there.
    pub within: Money,
}

/// What one row of a statement moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// When.
    pub at: UnixMillis,
    /// Above zero came in.
    pub amount: Money,
    /// Whether it came from, or went to, another account of the short code.
    pub is_within: bool,
}

impl StatedBalance {
    /// What came to the short code and went out of it; `None` where that is more than can be counted.
    #[must_use]
    pub fn moved(&self) -> Option<Money> {
        self.closing.checked_sub(self.opening)?.checked_sub(self.within)
    }

    /// Whether it has the whole day.
    #[must_use]
    pub fn is_of_day(&self, day: Day) -> bool {
        self.from <= day.start() && self.until >= day.last()
    }

    /// Whether the other lies within this one.
    #[must_use]
    pub fn has(&self, other: &Self) -> bool {
        self.from <= other.from && self.until >= other.until
    }
}

/// The balances of each day that a statement has, whose rows are given with the oldest first. Empty where a row stands among
/// those of another day, and where there are too many days.
#[must_use]
pub fn days(opening: Money, rows: &[Moved]) -> Vec<StatedBalance> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Vec::new() };
    let mut days = Vec::new();
    let mut day = Day::of(first.at);
    let mut open =
        StatedBalance { from: first.at, until: day.last(), opening, closing: opening, within: Money::ZERO };
    for row in rows {
        let of = Day::of(row.at);
        if of < day {
            return Vec::new();
        }
        while day < of {
            days.push(open);
            if days.len() > DAYS_MOST {
                return Vec::new();
            }
            day = day.after();
            let before = open.closing;
            open = StatedBalance {
                from: day.start(),
                until: day.last(),
                opening: before,
                closing: before,
                within: Money::ZERO,
            };
        }
        let Some(closing) = open.closing.checked_add(row.amount) else { return Vec::new() };
        open.closing = closing;
        if row.is_within {
            let Some(within) = open.within.checked_add(row.amount) else { return Vec::new() };
            open.within = within;
        }
    }
    // Rows of one second may stand in any order.
    open.until = rows.iter().map(|row| row.at).max().unwrap_or(last.at);
    days.push(open);
    if let Some(first) = days.first_mut() {
        first.from = rows.iter().map(|row| row.at).min().unwrap_or(first.from);
    }
    days
}

/// What M-Pesa told of one account when it was asked: its name, its currency and what lies on it.
pub type ToldAccount<'a> = (&'a str, &'a str, Option<Money>);

/// What lies on the accounts of a short code that the ledger has as one; `None` where a figure of it is not understood.
#[must_use]
pub fn together<'a>(accounts: impl IntoIterator<Item = ToldAccount<'a>>) -> Option<Money> {
    let mut sum = None;
    for (name, currency, amount) in accounts {
        let name = name.to_lowercase();
        if GONE.iter().any(|word| name.contains(word)) {
            continue;
        }
        if currency != "KES" {
            return None;
        }
        sum = Some(sum.unwrap_or(Money::ZERO).checked_add(amount?)?);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: &str, hours: i64) -> UnixMillis {
        UnixMillis(Day::parse(day).unwrap().start().0 + hours * 3_600_000)
    }

    fn moved(at: UnixMillis, amount: i64) -> Moved {
        Moved { at, amount: Money::from_cents(amount), is_within: false }
    }

    #[test]
    fn a_statement_says_what_was_there_before_and_after_each_of_its_days() {
        let rows = [
            moved(at("2026-11-24", 10), 500),
            Moved { is_within: true, ..moved(at("2026-11-24", 12), -200) },
            moved(at("2026-11-26", 9), 50),
        ];
        let found = days(Money::from_cents(7), &rows);
        let flat: Vec<_> = found
            .iter()
            .map(|one| (one.from, one.until, one.opening.cents(), one.closing.cents(), one.within.cents()))
            .collect();
        let last = |day: &str| Day::parse(day).unwrap().last();
        assert_eq!(
            flat,
            [
                (at("2026-11-24", 10), last("2026-11-24"), 7, 307, -200),
                (at("2026-11-25", 0), last("2026-11-25"), 307, 307, 0),
                (at("2026-11-26", 0), at("2026-11-26", 9), 307, 357, 0),
            ]
        );
        assert_eq!(found.first().unwrap().moved(), Some(Money::from_cents(500)));
        let whole = |day: &str| found.iter().any(|one| one.is_of_day(Day::parse(day).unwrap()));
        assert_eq!((whole("2026-11-24"), whole("2026-11-25"), whole("2026-11-26")), (false, true, false));
    }

    #[test]
    fn of_rows_among_those_of_another_day_or_of_too_many_days_nothing_is_said() {
        let rows = [moved(at("2026-11-25", 1), 5), moved(at("2026-11-24", 23), 5)];
        assert_eq!(days(Money::ZERO, &rows), []);
        let rows = [moved(at("2016-11-25", 1), 5), moved(at("2026-11-24", 23), 5)];
        assert_eq!(days(Money::ZERO, &rows), []);
        assert_eq!(days(Money::ZERO, &[]), []);
        let rows = [moved(at("2026-11-25", 1), i64::MAX), moved(at("2026-11-25", 2), 5)];
        assert_eq!(days(Money::ZERO, &rows), []);
    }

    #[test]
    fn what_lies_at_mpesa_is_what_has_not_gone_to_charges_or_to_the_bank() {
        let check = |accounts: &[ToldAccount<'_>], expected: Option<i64>| {
            assert_eq!(together(accounts.iter().copied()).map(Money::cents), expected, "{accounts:?}");
        };
        let cents = |cents| Some(Money::from_cents(cents));
        check(
            &[
                ("Working Account", "KES", cents(700)),
                ("Utility Account", "KES", cents(50)),
                ("Charges Paid Account", "KES", cents(-9)),
                ("Organization Settlement Account", "KES", None),
            ],
            Some(750),
        );
        check(&[("Utility Account", "KES", None)], None);
        check(&[("Utility Account", "USD", cents(5))], None);
        check(&[], None);
    }
}
