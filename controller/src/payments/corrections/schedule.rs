//! What of a bought period can be taken back, and what that does to the periods after it. Pure.
//!
//! Time that was used is used: a period that is over stays sold, and a running one is cut at this instant. Periods that
//! were bought ahead with other money stay as long as they are, and begin so much sooner. What it does to the tables is
//! `store`.

use std::time::Duration;

use tawi_shared::UnixMillis;

/// From when until when a period was bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) started_at: UnixMillis,
    pub(super) ends_at: UnixMillis,
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
}
