//! How long to wait before the next dial. Pure: the random number comes in as an argument.
//!
//! The same waits as those for a router ([`crate::reconcile::Backoff`]), counted here: when head
//! office restarts, a thousand sites do not come back in the same second.

use std::time::Duration;

use crate::reconcile;

/// The highest ceiling: a site is never away for longer than this after the line is back. A try that comes to nothing is a
/// hundred bytes, and a thousand sites whose tries are spread over a minute are seventeen a second.
pub const CEILING: Duration = Duration::from_secs(60);
/// The widest spread that head office may ask for: whoever pays meanwhile waits for it.
const SPREAD_AT_MOST: Duration = Duration::from_secs(300);

/// The same where head office takes nothing that we say, because it speaks an older contract or a newer one. That lasts until
/// somebody updates one of the two, and each try costs 3 kB of the line.
const UNSPOKEN_AT_MOST: Duration = Duration::from_secs(3_600);

/// The failures so far.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    /// What head office asked for; no ceiling is lower.
    spread: Duration,
    failures: u32,
}

impl Backoff {
    /// Begins with a ceiling of `base`.
    #[must_use]
    pub fn new(base: Duration) -> Self {
        Self { base, spread: Duration::ZERO, failures: 0 }
    }

    /// The next wait; the one after it has twice the ceiling.
    pub fn next(&mut self, random: u64) -> Duration {
        let waits = reconcile::Backoff { least: self.base.max(self.spread), most: CEILING.max(self.spread) };
        let wait = waits.wait(self.failures, random);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// Head office asks for patience, because many come at once.
    pub fn spread(&mut self, within: Duration) {
        self.spread = within.min(SPREAD_AT_MOST);
    }

    /// Head office asks for patience, and has answered nothing else.
    pub fn unspoken(&mut self, within: Duration) {
        self.spread = within.min(UNSPOKEN_AT_MOST);
    }

    /// A connection was good: the next wait is short again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_up_to_a_minute_and_begin_anew_after_a_good_connection() {
        let mut backoff = Backoff::new(Duration::from_secs(2));
        let mut ceilings = Vec::new();
        for _ in 0..10 {
            // The remainder of a number just below a multiple of every ceiling + 1 would not show the ceiling; so ask
            // with the ceiling itself.
            let failures = backoff.failures;
            let expected = Duration::from_secs(2 * 2_u64.pow(failures)).min(CEILING);
            assert_eq!(backoff.next(u64::try_from(expected.as_millis()).unwrap()), expected);
            ceilings.push(expected.as_secs());
        }
        assert_eq!(ceilings, [2, 4, 8, 16, 32, 60, 60, 60, 60, 60]);
        backoff.reset();
        assert_eq!(backoff.next(2_000), Duration::from_secs(2));
    }

    #[test]
    fn the_wait_is_anywhere_below_the_ceiling() {
        let ids = tawi_shared::IdSource::seeded(3);
        let mut seconds = std::collections::BTreeSet::new();
        for _ in 0..2_000 {
            let mut backoff = Backoff::new(CEILING);
            let wait = backoff.next(ids.number());
            assert!(wait <= CEILING);
            seconds.insert(wait.as_secs() / 6);
        }
        assert_eq!(seconds.iter().copied().take(10).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn head_office_may_ask_for_patience_and_not_for_more_than_five_minutes() {
        let mut backoff = Backoff::new(Duration::from_secs(2));
        backoff.spread(Duration::from_secs(18));
        let mut ceilings = Vec::new();
        for _ in 0..4 {
            let ceiling = (18 << ceilings.len()).min(60);
            assert_eq!(backoff.next(ceiling * 1_000), Duration::from_secs(ceiling));
            ceilings.push(ceiling);
        }
        assert_eq!(ceilings, [18, 36, 60, 60]);
        backoff.reset();
        assert_eq!(backoff.next(18_000), Duration::from_secs(18), "until the next connection");
        backoff.spread(Duration::from_secs(3_600));
        assert_eq!(backoff.next(300_000), SPREAD_AT_MOST);
        backoff.spread(Duration::from_secs(1));
        backoff.reset();
        assert_eq!(backoff.next(2_000), Duration::from_secs(2));
    }

    #[test]
    fn where_nobody_speaks_our_contract_we_come_back_within_the_hour_and_not_each_minute() {
        let mut backoff = Backoff::new(Duration::from_secs(2));
        backoff.unspoken(Duration::from_secs(u16::MAX.into()));
        assert_eq!(backoff.next(3_600_000), UNSPOKEN_AT_MOST);
        assert_eq!(backoff.next(3_600_000), UNSPOKEN_AT_MOST, "and no later after a second time");
        backoff.spread(Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.next(2_000), Duration::from_secs(2), "whoever is answered waits no longer");
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff { failures: u32::MAX, ..Backoff::new(Duration::MAX) };
        assert!(backoff.next(u64::MAX) <= CEILING);
    }
}
