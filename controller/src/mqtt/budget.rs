//! How many rows a site may add in a while. Pure: a site and `now` in, yes or no out.
//!
//! An agent that was stolen speaks with a good certificate; what it tells must not fill head office's disk before
//! somebody revokes it. What is beyond the budget is counted and not kept; it is far above what an honest agent holds.

use std::collections::HashMap;
use std::time::Duration;

use tawi_shared::UnixMillis;

use crate::ids::SiteId;

const HOUR: Duration = Duration::from_secs(3_600);

/// A budget of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// What a site that was quiet may add at once.
    pub(super) at_once: u32,
    /// What comes back in an hour.
    pub(super) an_hour: u32,
}

/// Events. An agent keeps what it could not send, 64 MiB of it, which is up to 600,000 records: the budget takes all of
/// that at once, because what is refused is lost. Then as much as a site of 2,000 lines says whose power fails five
/// times in an hour. At 300 bytes a row, a stolen agent adds 180 MB once and 144 MB a day, and the log says so.
pub(super) const EVENTS: Limits = Limits { at_once: 600_000, an_hour: 20_000 };
/// Sessions that are new, for the same reasons. One that is refused is told again with the next report while it lasts.
/// At 250 bytes a row, a stolen agent adds 150 MB once and 120 MB a day.
pub(super) const SESSIONS: Limits = Limits { at_once: 600_000, an_hour: 20_000 };

/// Writes to routers. An agent keeps 8 MiB of them for us, which is up to 100,000; then four for each of 2,000 lines in an
/// hour. At 400 bytes a row, a stolen agent adds 40 MB once and 77 MB a day.
pub(super) const WRITES: Limits = Limits { at_once: 100_000, an_hour: 8_000 };

/// What each site has left. Holds one entry for each site that ever added a row since the start.
#[derive(Debug)]
pub(super) struct Budgets {
    limits: Limits,
    sites: HashMap<SiteId, Left>,
    /// What each site had before the transaction that is under way.
    before: HashMap<SiteId, Left>,
}

#[derive(Clone, Copy, Debug)]
struct Left {
    rows: u32,
    at: UnixMillis,
    refused: u64,
}

/// Whether a row may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    /// It may.
    Yes,
    /// It may not; so many were refused so far.
    No(u64),
}

impl Budgets {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, sites: HashMap::new(), before: HashMap::new() }
    }

    /// Ends a transaction. One that was not committed has spent nothing.
    pub(super) fn settle(&mut self, is_committed: bool) {
        let before = self.before.drain();
        if !is_committed {
            self.sites.extend(before);
        }
    }

    /// Asks for one row, within a transaction that [`Budgets::settle`] ends.
    pub(super) fn spend(&mut self, site: &SiteId, now: UnixMillis) -> Spent {
        let Limits { at_once, an_hour } = self.limits;
        let left =
            self.sites.entry(site.clone()).or_insert_with(|| Left { rows: at_once, at: now, refused: 0 });
        if !self.before.contains_key(site) {
            self.before.insert(site.clone(), *left);
        }
        let earned = now.since(left.at).as_millis().saturating_mul(u128::from(an_hour)) / HOUR.as_millis();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            left.rows = left.rows.saturating_add(earned).min(at_once);
            left.at = now;
        }
        match left.rows.checked_sub(1) {
            Some(rows) => {
                left.rows = rows;
                Spent::Yes
            }
            None => {
                left.refused = left.refused.saturating_add(1);
                Spent::No(left.refused)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_adds_what_it_may_at_once_and_then_what_an_hour_gives_back() {
        let mut budgets = Budgets::new(Limits { at_once: 10, an_hour: 4 });
        let [a, b] = ["a", "b"].map(|id| SiteId::parse(id).unwrap());
        let mut added = |site: &SiteId, minute: u64| {
            let now = UnixMillis(0).plus(Duration::from_secs(60 * minute));
            (0..100).filter(|_| budgets.spend(site, now) == Spent::Yes).count()
        };
        assert_eq!(added(&a, 0), 10);
        assert_eq!(added(&a, 14), 0);
        assert_eq!(added(&a, 15), 1);
        assert_eq!(added(&b, 15), 10, "another site has its own");
        assert_eq!(added(&a, 75), 4);
        assert_eq!(added(&a, 100_000), 10, "never more than at once");
    }

    /// Each line begins eight sessions a day, with an event at the beginning of each and one at its end.
    #[test]
    fn a_backlog_of_thirty_days_of_a_site_of_a_thousand_lines_is_kept_whole() {
        let site = SiteId::parse("a").unwrap();
        for (limits, rows_a_day) in [(SESSIONS, 8_000), (EVENTS, 16_000)] {
            let mut budgets = Budgets::new(limits);
            let kept = (0..30 * rows_a_day).all(|_| budgets.spend(&site, UnixMillis(0)) == Spent::Yes);
            assert!(kept, "{limits:?}");
        }
    }

    #[test]
    fn what_was_not_committed_was_not_spent() {
        let mut budgets = Budgets::new(Limits { at_once: 2, an_hour: 1 });
        let site = SiteId::parse("a").unwrap();
        let mut spend = |is_committed| {
            let answers: Vec<Spent> = (0..3).map(|_| budgets.spend(&site, UnixMillis(0))).collect();
            budgets.settle(is_committed);
            answers
        };
        for is_committed in [false, false, true] {
            assert_eq!(spend(is_committed), [Spent::Yes, Spent::Yes, Spent::No(1)]);
        }
        assert_eq!(spend(true), [Spent::No(2), Spent::No(3), Spent::No(4)]);
    }

    #[test]
    fn what_is_refused_is_counted() {
        let mut budgets = Budgets::new(Limits { at_once: 1, an_hour: 1 });
        let site = SiteId::parse("a").unwrap();
        let answers: Vec<Spent> = (0..3).map(|_| budgets.spend(&site, UnixMillis(0))).collect();
        assert_eq!(answers, [Spent::Yes, Spent::No(1), Spent::No(2)]);
    }
}
