//! How fast a router is changed when much has to change at once.
//!
//! Pure. Each write of a row wears out flash and takes the router's time from its customers' packets, and a plan that
//! gets faster is a write or a log-in for each of its lines. So a bulk change goes line by line at a pace: what is left of a burst at
//! once, then so many a second, fewer when the router is busy with other things or answers late, more again when it is
//! not. What our own writes take of its processor does not count as busy: a weak router is at 100 percent while it
//! stores 20 rows a second, forwards packets first all the same, and the sooner they are stored the sooner it rests. How
//! much they take is not known, only how long they were under way, which is more where other work delays them: then a
//! late answer tells of it. A payment is no bulk change and never waits here; it only counts.

use std::collections::VecDeque;
use std::time::Duration;

use crate::reconcile::backlog::LINES_PER_PASS;

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceLimits {
    /// Between two lines at the fastest. Default 50 ms: 20 lines a second, at which 500 lines take half a minute.
    pub fastest: Duration,
    /// Between two lines at the slowest. Default 500 ms: a router that is always busy still ends up right.
    pub slowest: Duration,
    /// CPU load in percent, without what our own writes take, above which the router counts as busy. Default 85.
    pub busy_percent: u64,
}

impl Default for PaceLimits {
    fn default() -> Self {
        Self { fastest: Duration::from_millis(50), slowest: Duration::from_millis(500), busy_percent: 85 }
    }
}

/// Answers that take less are never late: a radio link alone may add tens of milliseconds now and then.
const NEVER_LATE: Duration = Duration::from_millis(100);

/// What may be spent at once, in thousandths of a line: a pass.
const BURST: i64 = 48_000;

/// Over how long a router averages the load that it shows.
const LOAD_WINDOW: Duration = Duration::from_secs(1);

/// Writes that were sent together, and how long it took until all were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// How many.
    pub(crate) writes: usize,
    /// From the first that was sent to the last answer.
    pub(crate) took: Duration,
}

/// The pace of one router: a bucket of lines that may be written, which fills with time.
#[derive(Debug)]
pub(crate) struct Pace {
    limits: PaceLimits,
    /// Between two lines now.
    interval: Duration,
    /// Thousandths of a line that may be written; what payments took beyond it is owed.
    level: i64,
    /// Until when the bucket was filled, by the monotonic clock.
    filled_at: Duration,
    /// What an answer takes while the router has nothing else to do.
    usual: Option<Duration>,
    /// When our writes of the last second were under way: from and until.
    recent: VecDeque<(Duration, Duration)>,
}

impl Pace {
    /// Begins full, and at half of the fastest: a router that was just reached is not known yet.
    pub(crate) fn new(limits: PaceLimits) -> Self {
        Self {
            limits,
            interval: limits.fastest.saturating_mul(2).min(limits.slowest),
            level: BURST,
            filled_at: Duration::ZERO,
            usual: None,
            recent: VecDeque::new(),
        }
    }

    /// How many lines may go now.
    pub(crate) fn allowed(&mut self, now: Duration) -> usize {
        self.fill(now);
        usize::try_from(self.level / 1_000).unwrap_or(0).min(LINES_PER_PASS)
    }

    /// When a portion may go that is worth the round trips: half a second's worth, or what is left.
    pub(crate) fn ready_at(&mut self, waiting: usize, now: Duration) -> Duration {
        self.fill(now);
        let interval = self.interval.as_micros().max(1);
        let portion = 500_000_u128.checked_div(interval).unwrap_or(1);
        let portion =
            usize::try_from(portion).unwrap_or(LINES_PER_PASS).clamp(1, LINES_PER_PASS).min(waiting.max(1));
        let missing = i64::try_from(portion).unwrap_or(0).saturating_mul(1_000).saturating_sub(self.level);
        let micros = u128::try_from(missing).unwrap_or(0).saturating_mul(interval).div_ceil(1_000);
        now.saturating_add(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }

    /// Lines were written. Payments are never held, and what they spend must not hold the bulk for ever.
    pub(crate) fn spend(&mut self, lines: usize, now: Duration) {
        self.fill(now);
        let cost = i64::try_from(lines).unwrap_or(i64::MAX).saturating_mul(1_000);
        self.level = self.level.saturating_sub(cost).max(-BURST);
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled_at).as_micros();
        let filled = passed.saturating_mul(1_000).checked_div(self.interval.as_micros().max(1)).unwrap_or(0);
        self.level =
            self.level.saturating_add(i64::try_from(filled).unwrap_or(BURST.saturating_mul(2))).min(BURST);
        self.filled_at = self.filled_at.max(now);
    }

    /// Writes were answered. What any answer takes at its best is the link's and not the router's.
    pub(crate) fn worked(&mut self, written: Written, now: Duration) {
        self.forget_before(now);
        if written.writes > 0 {
            let took = written.took.saturating_sub(self.usual.unwrap_or_default());
            self.recent.push_back((now.saturating_sub(took), now));
        }
    }

    /// What the router says of itself between two portions.
    pub(crate) fn note(&mut self, load_percent: Option<u64>, answered_in: Duration, now: Duration) {
        self.forget_before(now);
        let usual = *self.usual.get_or_insert(answered_in);
        let of_others = load_percent.map(|load| load.saturating_sub(self.own_load(now)));
        let is_busy = of_others.is_some_and(|load| load > self.limits.busy_percent);
        if is_late(answered_in, usual) || is_busy {
            self.interval = self.interval.saturating_mul(2).min(self.limits.slowest);
        } else {
            let faster = self.interval.saturating_mul(2).checked_div(3).unwrap_or_default();
            self.interval = faster.max(self.limits.fastest);
        }
        self.usual = Some(usual.min(answered_in));
    }

    /// Percent of the last second in which the router had writes of ours to do.
    fn own_load(&self, now: Duration) -> u64 {
        let since = now.saturating_sub(LOAD_WINDOW);
        let under_way = self.recent.iter().map(|(from, until)| until.saturating_sub((*from).max(since)));
        let percent = under_way.sum::<Duration>().as_millis().saturating_mul(100) / LOAD_WINDOW.as_millis();
        u64::try_from(percent).unwrap_or(u64::MAX).min(100)
    }

    fn forget_before(&mut self, now: Duration) {
        let since = now.saturating_sub(LOAD_WINDOW);
        while self.recent.front().is_some_and(|(_, until)| *until < since) {
            self.recent.pop_front();
        }
    }
}

/// Twice as late as usual, and by more than a link may be at times.
fn is_late(took: Duration, usual: Duration) -> bool {
    took > usual.saturating_mul(2).max(NEVER_LATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Works off so many lines, and says how long that took.
    fn work_off(pace: &mut Pace, mut waiting: usize, load: u64) -> Duration {
        let mut now = at(1_000_000);
        let started = now;
        while waiting > 0 {
            now = pace.ready_at(waiting, now);
            pace.note(Some(load), at(5), now);
            let lines = pace.allowed(now).min(waiting).max(1);
            pace.spend(lines, now);
            waiting -= lines;
        }
        now - started
    }

    #[test]
    fn five_hundred_lines_take_less_than_half_a_minute_and_no_more_than_twenty_a_second() {
        let took = work_off(&mut Pace::new(PaceLimits::default()), 500, 10);
        assert!((at(20_000)..at(28_000)).contains(&took), "{took:?}");
    }

    #[test]
    fn a_handful_goes_at_once() {
        assert_eq!(work_off(&mut Pace::new(PaceLimits::default()), LINES_PER_PASS, 10), Duration::ZERO);
    }

    #[test]
    fn a_busy_router_is_spared_and_not_given_up() {
        let busy = work_off(&mut Pace::new(PaceLimits::default()), 148, 99);
        assert!(busy >= at(40_000) && busy < at(60_000), "{busy:?}");
        let mut pace = Pace::new(PaceLimits::default());
        for (answered_in, interval) in
            [(80, 66), (80, 50), (161, 100), (80, 66), (30, 50), (99, 50), (101, 100), (300, 200)]
        {
            pace.note(None, at(answered_in), at(1_000_000));
            assert_eq!(pace.interval.as_millis(), interval, "after {answered_in} ms");
        }
    }

    #[test]
    fn what_payments_spend_holds_the_bulk_for_a_bounded_time() {
        let mut pace = Pace::new(PaceLimits::default());
        let now = at(1_000_000);
        pace.spend(100_000, now);
        assert_eq!(pace.allowed(now), 0);
        assert_eq!(pace.ready_at(1, now), now + at(4_900));
    }

    /// A router of one core that needs so long for a write, and whose other work takes so much of it.
    fn work_off_weak(write: Duration, of_others: u32) -> Duration {
        let (mut pace, mut waiting, mut now) = (Pace::new(PaceLimits::default()), 500, at(1_000_000));
        let (started, mut load) = (now, of_others);
        while waiting > 0 {
            now = pace.ready_at(waiting, now).max(now);
            pace.note(Some(u64::from(load)), at(5), now);
            let lines = pace.allowed(now).clamp(1, waiting);
            pace.spend(lines, now);
            let took = write.saturating_mul(u32::try_from(lines).unwrap());
            now += took;
            pace.worked(Written { writes: lines, took }, now);
            load = 100;
            waiting -= lines;
        }
        now - started
    }

    #[test]
    fn a_router_that_is_busy_with_nothing_but_our_writes_is_no_busy_router() {
        let alone = work_off_weak(at(50), 1);
        assert!(alone < at(28_000), "{alone:?}");
        let slower_than_the_pace = work_off_weak(at(80), 1);
        assert!((at(40_000)..at(43_000)).contains(&slower_than_the_pace), "{slower_than_the_pace:?}");
        let with_much_to_do = work_off_weak(at(2), 100);
        assert!(with_much_to_do > at(150_000), "{with_much_to_do:?}");
    }
}
