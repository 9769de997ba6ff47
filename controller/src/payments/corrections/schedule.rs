//! What of a bought period can be taken back, and what that does to the periods after it. Pure.
//!
//! Time that was used is used: a period that is over stays sold, and a running one is cut at this instant. Periods that
//! were bought ahead with other money stay as long as they are, and begin so much sooner. What it does to the tables is
//! `store`.

use std::time::Duration;

use tawi_shared::UnixMillis;

use crate::money::Money;

/// What may be used of something before it counts, in cents: nobody is asked for less than a shilling, and M-Pesa pays none.
const UNNOTICED_CENTS: i64 = 100;

/// From when until when a period runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::payments) struct Span {
    pub(in crate::payments) started_at: UnixMillis,
    pub(in crate::payments) ends_at: UnixMillis,
}

/// What becomes of a line's periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Where the period ends now; `None` where nothing of it was used, and it goes altogether.
    pub(super) ends_at: Option<UnixMillis>,
    /// So much sooner begin those after it.
    pub(super) sooner: Duration,
}

/// What can be taken back of a period; `None` when it is used up.
pub(super) fn cut(bought: Span, now: UnixMillis) -> Option<Cut> {
    let Span { started_at, ends_at } = bought;
    if ends_at <= now {
        return None;
    }
    let from = started_at.max(now);
    Some(Cut { ends_at: (started_at < now).then_some(now), sooner: ends_at.since(from) })
}

/// What is given back of the price of something that was to last a span: the share of the time that is left, rounded down to a
/// cent. All of it where less than a shilling is used; nothing when the span is over.
pub(super) fn left_of(price: Money, span: Span, now: UnixMillis) -> Money {
    let Span { started_at, ends_at } = span;
    let whole = ends_at.since(started_at).as_millis();
    let left = ends_at.since(started_at.max(now)).as_millis();
    let (Ok(whole), Ok(left)) = (i128::try_from(whole), i128::try_from(left)) else { return Money::ZERO };
    let share = i128::from(price.cents()).saturating_mul(left).checked_div(whole).unwrap_or(0);
    let share = i64::try_from(share).unwrap_or(0);
    let is_unnoticed = left > 0 && price.cents().saturating_sub(share) < UNNOTICED_CENTS;
    if is_unnoticed { price } else { Money::from_cents(share) }
}

/// Until when a line is paid once a period is taken back, where it was paid until `paid_until` with it and until `before`
/// when it was bought; `None` where it was never paid for.
pub(super) fn paid_until(
    paid_until: Option<UnixMillis>,
    bought: Span,
    before: Option<UnixMillis>,
    cut: Cut,
) -> Option<UnixMillis> {
    match paid_until {
        Some(until) if until > bought.ends_at => Some(until.minus(cut.sooner)),
        Some(_) | None => cut.ends_at.or(before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: i64) -> UnixMillis {
        UnixMillis(ms)
    }

    #[test]
    fn what_was_used_is_used_and_what_comes_after_stays_whole() {
        let span = Span { started_at: at(100), ends_at: at(200) };
        let check =
            |now: i64, paid: i64, before: Option<i64>, expected: Option<(Option<i64>, u64, Option<i64>)>| {
                let found = cut(span, at(now)).map(|cut| {
                    let until = paid_until(Some(at(paid)), span, before.map(UnixMillis), cut);
                    let sooner = u64::try_from(cut.sooner.as_millis()).unwrap();
                    (cut.ends_at.map(|at| at.0), sooner, until.map(|at| at.0))
                });
                assert_eq!(found, expected, "{now} {paid} {before:?}");
            };
        check(200, 200, None, None);
        check(201, 300, Some(50), None);
        // Not begun: as if it had never been bought.
        check(100, 200, None, Some((None, 100, None)));
        check(50, 200, Some(100), Some((None, 100, Some(100))));
        check(50, 350, Some(100), Some((None, 100, Some(250))));
        // Running: it ends now, and what was bought ahead begins.
        check(130, 200, Some(50), Some((Some(130), 70, Some(130))));
        check(130, 350, None, Some((Some(130), 70, Some(280))));
    }

    #[test]
    fn what_is_left_is_given_back_to_the_cent_and_less_than_a_shilling_of_use_is_none() {
        let check = |price: i64, now: i64, expected: i64| {
            let span = Span { started_at: at(1_000), ends_at: at(4_000) };
            assert_eq!(left_of(Money::from_cents(price), span, at(now)).cents(), expected, "{price} {now}");
        };
        check(150_000, 0, 150_000);
        check(150_000, 1_000, 150_000);
        check(150_000, 2_000, 100_000);
        check(100_000, 2_000, 66_666);
        check(150_000, 1_001, 150_000);
        check(150_000, 1_002, 149_900);
        check(150_000, 3_999, 50);
        check(99, 3_999, 99);
        check(99, 4_000, 0);
        check(150_000, 4_000, 0);
        check(150_000, 9_000, 0);
        check(i64::MAX, 2_500, i64::MAX / 2);
    }
}
