//! How many rows a site may add in a while. Pure: a site and `now` in, yes or no out.
//!
//! An agent that was stolen speaks with a good certificate; what it tells must not fill head office's disk before
//! somebody revokes it. What is beyond the budget is counted and not kept.

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

/// Events: a site of 1,000 lines that was cut off for a week brings some thousands, and a bad day has a few hundred an
/// hour. At 300 bytes each, a stolen agent adds 7 MB a day.
pub(super) const EVENTS: Limits = Limits { at_once: 10_000, an_hour: 1_000 };
/// Sessions that are new: a site of 2,000 lines whose power fails twice within an hour begins 4,000. One that is
/// refused is told again with the next report while it lasts. At 250 bytes each, a stolen agent adds 6 MB a day.
pub(super) const SESSIONS: Limits = Limits { at_once: 5_000, an_hour: 1_000 };

/// What each site has left. Holds one entry for each site that ever added a row since the start.
#[derive(Debug)]
pub(super) struct Budgets {
    limits: Limits,
    sites: HashMap<SiteId, Left>,
}

#[derive(Debug)]
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
        Self { limits, sites: HashMap::new() }
    }

    /// Asks for one row.
    pub(super) fn spend(&mut self, site: &SiteId, now: UnixMillis) -> Spent {
        let Limits { at_once, an_hour } = self.limits;
        let left =
            self.sites.entry(site.clone()).or_insert_with(|| Left { rows: at_once, at: now, refused: 0 });
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

    #[test]
    fn what_is_refused_is_counted() {
        let mut budgets = Budgets::new(Limits { at_once: 1, an_hour: 1 });
        let site = SiteId::parse("a").unwrap();
        let answers: Vec<Spent> = (0..3).map(|_| budgets.spend(&site, UnixMillis(0))).collect();
        assert_eq!(answers, [Spent::Yes, Spent::No(1), Spent::No(2)]);
    }
}
