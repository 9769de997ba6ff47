//! When periods begin that nobody could use yet. Pure.

use std::collections::BTreeMap;

use tawi_shared::UnixMillis;

use crate::ids::LineId;
use crate::payments::corrections::schedule::Span;

/// A period that begins later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) from: Span,
    pub(super) to: Span,
    /// Until when the line is paid before it, where that is another period that moved.
    pub(super) follows: Option<UnixMillis>,
}

/// What becomes of the periods of a line, in their order, of which the first begins now: each is as long as it was, none
/// begins before the one before it has ended, and none begins sooner. Those that stay are not listed.
pub(super) fn moved(periods: &[Span], now: UnixMillis) -> Vec<Moved> {
    let (mut free_from, mut follows) = (now, None);
    let mut moved = Vec::new();
    for from in periods.iter().copied() {
        if from.started_at >= free_from {
            break;
        }
        let to = Span { started_at: free_from, ends_at: free_from.plus(from.ends_at.since(from.started_at)) };
        moved.push(Moved { from, to, follows });
        free_from = to.ends_at;
        follows = Some(to.ends_at);
    }
    moved
}

/// Since when each line waits of which a period should have begun before an instant.
pub(super) fn late(periods: Vec<(LineId, UnixMillis)>, before: UnixMillis) -> BTreeMap<LineId, UnixMillis> {
    let mut late = BTreeMap::new();
    for (line, started_at) in periods.into_iter().filter(|(_, started_at)| *started_at < before) {
        let since = late.entry(line).or_insert(started_at);
        *since = started_at.min(*since);
    }
    late
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_begins_now_and_each_other_when_the_one_before_it_has_ended() {
        let check = |periods: &[(i64, i64)], now: i64, expected: &[(i64, i64, Option<i64>)]| {
            let span = |(started_at, ends_at): &(i64, i64)| Span {
                started_at: UnixMillis(*started_at),
                ends_at: UnixMillis(*ends_at),
            };
            let periods: Vec<_> = periods.iter().map(span).collect();
            let found: Vec<_> = moved(&periods, UnixMillis(now))
                .iter()
                .map(|one| (one.to.started_at.0, one.to.ends_at.0, one.follows.map(|at| at.0)))
                .collect();
            assert_eq!(found, expected, "{periods:?} {now}");
        };
        check(&[], 50, &[]);
        check(&[(100, 200)], 50, &[]);
        check(&[(100, 200)], 100, &[]);
        check(&[(100, 200)], 130, &[(130, 230, None)]);
        // Long over, and as long as ever.
        check(&[(100, 200)], 900, &[(900, 1_000, None)]);
        check(&[(100, 200), (200, 250)], 130, &[(130, 230, None), (230, 280, Some(230))]);
        // A gap is filled before anything is pushed on.
        check(&[(100, 200), (220, 250)], 130, &[(130, 230, None), (230, 260, Some(230))]);
        check(&[(100, 200), (250, 300)], 130, &[(130, 230, None)]);
        check(
            &[(100, 200), (300, 400), (400, 500)],
            350,
            &[(350, 450, None), (450, 550, Some(450)), (550, 650, Some(550))],
        );
    }

    #[test]
    fn a_line_waits_since_the_first_of_its_periods_that_is_late() {
        let (one, other) = (LineId::parse("one").unwrap(), LineId::parse("other").unwrap());
        let periods = [(&one, 300), (&one, 100), (&other, 900), (&one, 200)];
        let periods = periods.map(|(line, at)| (line.clone(), UnixMillis(at)));
        assert_eq!(late(periods.to_vec(), UnixMillis(900)), BTreeMap::from([(one, UnixMillis(100))]));
    }
}
