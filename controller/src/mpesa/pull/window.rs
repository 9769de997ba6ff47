//! Which span of time Pull is asked about next, and when. Pure.
//!
//! ```text
//!   every pull_seconds              the last 30 minutes
//!   every hour                      the last 6 hours
//!   at the start, and every day     all that Pull still has, almost 48 hours
//! ```
//! Always at least from twenty minutes before the last successful sweep: a payment may take a quarter of an hour to show up,
//! so that nothing is skipped; rows that turn up later still are found by the longer sweeps. What is found twice is booked once.

use std::time::Duration;

use tawi_shared::UnixMillis;

/// What a sweep looks back on at least.
const RECENT: Duration = Duration::from_secs(30 * 60);
/// What it looks back on once an hour.
const HOURS: Duration = Duration::from_secs(6 * 3_600);
/// All that Pull has: 48 hours, less ten minutes for clocks that disagree.
const REACH: Duration = Duration::from_secs(48 * 3_600 - 600);
/// How long a payment may take to show up in Pull before its absence means anything.
pub(super) const LAG: Duration = Duration::from_secs(15 * 60);
/// How far a sweep goes back behind the last one: further than what that could not vouch for.
const OVERLAP: Duration = LAG.saturating_add(Duration::from_secs(5 * 60));
/// Between two that look back six hours.
const HOURLY: Duration = Duration::from_secs(3_600);
/// Between two that look back on everything.
const DAILY: Duration = Duration::from_secs(24 * 3_600);
/// The first pause after a failure; each further one doubles it.
const BACK_OFF: Duration = Duration::from_secs(1);
/// The longest pause after a failure: one question a minute does not burden a Daraja that is down.
const BACK_OFF_MOST: Duration = Duration::from_secs(60);

/// How far back a sweep looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    Recent,
    Hours,
    Everything,
}

/// A span of time to ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: UnixMillis,
    pub(super) end: UnixMillis,
    depth: Depth,
}

/// What has been swept. Kept in memory: a controller that starts looks at everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    swept_until: Option<UnixMillis>,
    hours_at: Option<UnixMillis>,
    everything_at: Option<UnixMillis>,
}

impl Progress {
    /// What to ask about now.
    pub(super) fn next(&self, now: UnixMillis) -> Window {
        let is_due = |last: Option<UnixMillis>, every| last.is_none_or(|at| now.since(at) >= every);
        let (depth, back) = if is_due(self.everything_at, DAILY) {
            (Depth::Everything, REACH)
        } else if is_due(self.hours_at, HOURLY) {
            (Depth::Hours, HOURS)
        } else {
            (Depth::Recent, RECENT)
        };
        let unseen = self.swept_until.map_or(now, |until| until.minus(OVERLAP));
        let start = now.minus(back).min(unseen).max(now.minus(REACH));
        Window { start, end: now, depth }
    }

    /// Notes that all of a window was seen and taken in.
    pub(super) fn succeeded(&mut self, window: &Window) {
        self.swept_until = Some(window.end);
        if window.depth != Depth::Recent {
            self.hours_at = Some(window.end);
        }
        if window.depth == Depth::Everything {
            self.everything_at = Some(window.end);
        }
    }
}

/// How long to wait after so many failures in a row, at least one.
pub(super) fn back_off(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    BACK_OFF.saturating_mul(2_u32.saturating_pow(doublings)).min(BACK_OFF_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn at(minutes: i64) -> UnixMillis {
        UnixMillis(NOW.0 + minutes * MINUTE)
    }

    /// Minutes that the window at `now` looks back.
    fn back(progress: &Progress, now: UnixMillis) -> i64 {
        let window = progress.next(now);
        assert_eq!(window.end, now);
        (window.end.0 - window.start.0) / MINUTE
    }

    #[test]
    fn the_first_sweep_looks_at_everything_and_later_ones_at_less() {
        let mut progress = Progress::default();
        let all = 48 * 60 - 10;
        assert_eq!(back(&progress, at(0)), all);
        progress.succeeded(&progress.next(at(0)));
        assert_eq!(back(&progress, at(5)), 30);
        progress.succeeded(&progress.next(at(5)));
        assert_eq!(back(&progress, at(59)), 74, "twenty minutes before the last success");
        assert_eq!(back(&progress, at(60)), 360);
        progress.succeeded(&progress.next(at(60)));
        assert_eq!(back(&progress, at(65)), 30);
        assert_eq!(back(&progress, at(24 * 60)), all);
    }

    #[test]
    fn a_window_that_failed_is_asked_about_again() {
        let mut progress = Progress::default();
        progress.succeeded(&progress.next(at(0)));
        assert_eq!(back(&progress, at(600)), 620);
        assert_eq!(back(&progress, at(601)), 621);
        let all = 48 * 60 - 10;
        assert_eq!(back(&progress, at(9_000)), all, "Pull has no more");
        assert_eq!(back(&Progress::default(), at(1)), all, "it failed at the start");
    }

    #[test]
    fn whatever_the_pause_two_sweeps_vouch_for_everything_between_them() {
        for pause in 1..2_000 {
            let mut progress = Progress::default();
            let first = progress.next(at(0));
            progress.succeeded(&first);
            let second = progress.next(at(pause));
            assert!(second.start <= first.end.minus(LAG), "{pause} minutes");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_skips_nothing() {
        let mut progress = Progress::default();
        progress.succeeded(&progress.next(at(0)));
        assert_eq!(back(&progress, at(-600)), 30);
    }

    #[test]
    fn failures_are_met_with_patience() {
        let seconds: Vec<u64> = (1..=8).map(|failures| back_off(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(back_off(u32::MAX).as_secs(), 60);
    }
}
