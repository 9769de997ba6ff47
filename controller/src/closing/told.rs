//! Of which spans of time a source has told all that it knows. Pure.
//!
//! Only within such a span does its silence say something: a payment that is booked and of which it did not tell is a
//! difference. Spans that touch become one. Two touch when they overlap, and two statements also where the one goes on with
//! the balance that the other ended with: nothing moved between them.

use std::time::Duration;

use tawi_shared::UnixMillis;

use crate::money::Money;

/// How far two statements may lie apart and still go on from each other: a quiet night and a day. With months between them
/// an equal balance is chance.
const QUIET: Duration = Duration::from_secs(36 * 3_600);

/// Who tells of payments after the fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldBy {
    /// Daraja's Pull.
    Pull,
    /// The statement of the portal.
    Statement,
}

impl ToldBy {
    /// The word in the database, which is also the source of its evidence.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Statement => "statement",
        }
    }
}

/// A span of M-Pesa's own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldSpan {
    /// Its first instant.
    pub from: UnixMillis,
    /// Its last.
    pub until: UnixMillis,
    /// What the short code had before and after, where the source says so.
    pub balances: Option<(Money, Money)>,
}

impl ToldSpan {
    /// Both as one, where they touch.
    #[must_use]
    pub fn joined(self, other: Self) -> Option<Self> {
        let (first, second) = if self.from <= other.from { (self, other) } else { (other, self) };
        let goes_on = first.balances.zip(second.balances).is_some_and(|(one, other)| one.1 == other.0);
        let is_near = second.from.since(first.until) <= QUIET;
        if second.from > first.until && !(goes_on && is_near) {
            return None;
        }
        let last = if second.until >= first.until { second } else { first };
        let balances = first.balances.zip(last.balances).map(|(one, other)| (one.0, other.1));
        Some(Self { from: first.from, until: last.until, balances })
    }

    /// The part of it that lies within a span of the same time.
    #[must_use]
    pub fn within(self, from: UnixMillis, end: UnixMillis) -> Option<(UnixMillis, UnixMillis)> {
        let (from, until) = (self.from.max(from), self.until.min(end));
        (from < until).then_some((from, until))
    }
}

/// Spans that end before this touch none that begins at `from`.
#[must_use]
pub fn reach_before(from: UnixMillis) -> UnixMillis {
    from.minus(QUIET)
}

/// Spans that begin after this touch none that ends at `until`.
#[must_use]
pub fn reach_after(until: UnixMillis) -> UnixMillis {
    until.plus(QUIET)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: i64, until: i64, balances: Option<(i64, i64)>) -> ToldSpan {
        let money = |shillings| Money::from_shillings(shillings).unwrap();
        ToldSpan {
            from: UnixMillis(from),
            until: UnixMillis(until),
            balances: balances.map(|(opening, closing)| (money(opening), money(closing))),
        }
    }

    #[test]
    fn spans_are_one_where_nothing_can_have_moved_between_them() {
        let hour = 3_600_000;
        let check = |one, other, expected| {
            assert_eq!((one, other, ToldSpan::joined(one, other)), (one, other, expected));
            assert_eq!((other, one, ToldSpan::joined(other, one)), (other, one, expected));
        };
        check(span(0, 10, None), span(5, 20, None), Some(span(0, 20, None)));
        check(span(0, 30, None), span(5, 20, None), Some(span(0, 30, None)));
        check(span(0, 10, None), span(10, 20, None), Some(span(0, 20, None)));
        check(span(0, 10, None), span(11, 20, None), None);
        let quiet = |balance| span(10 * hour, 20 * hour, Some((balance, 9)));
        check(span(0, hour, Some((1, 5))), quiet(5), Some(span(0, 20 * hour, Some((1, 9)))));
        check(span(0, hour, Some((1, 5))), quiet(6), None);
        let months_later = span(1_000 * hour, 1_001 * hour, Some((5, 9)));
        check(span(0, hour, Some((1, 5))), months_later, None);
        check(span(0, 30, Some((1, 5))), span(5, 20, Some((2, 4))), Some(span(0, 30, Some((1, 5)))));
    }

    #[test]
    fn the_part_within_a_day_is_what_both_have() {
        let check = |told: ToldSpan, expected: Option<(i64, i64)>| {
            let expected = expected.map(|(from, until)| (UnixMillis(from), UnixMillis(until)));
            assert_eq!(told.within(UnixMillis(100), UnixMillis(200)), expected, "{told:?}");
        };
        check(span(0, 50, None), None);
        check(span(0, 100, None), None);
        check(span(0, 150, None), Some((100, 150)));
        check(span(120, 150, None), Some((120, 150)));
        check(span(0, 900, None), Some((100, 200)));
        check(span(200, 900, None), None);
    }
}
