//! What waits in memory while flash takes nothing, in bounds.
//!
//! Of events the oldest give way. Of totals no new sessions are taken beyond the bound, because what is there already is
//! owed. When it is put down is the keeper's decision.

use std::collections::{BTreeMap, VecDeque};

use tawi_shared::wire::EventV1;

use crate::usage::counted::Counted;
use crate::usage::quota::{CountedBefore, PeriodRecord};

/// Events that are kept in memory while flash takes none: a day of a busy site, in about 150 KB.
const MEMORY_EVENTS: usize = 1_000;
/// Sessions that are kept in memory while flash takes none: two for each line of a large site.
const MEMORY_SESSIONS: usize = 4_000;

/// Records that wait in memory, with whether the site was cut off when they came.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) events: VecDeque<(EventV1, bool)>,
    pub(super) sessions: BTreeMap<String, (Counted, bool)>,
    /// One for each line of the site at most.
    pub(super) periods: BTreeMap<String, PeriodRecord>,
    pub(super) befores: BTreeMap<String, CountedBefore>,
}

impl Memory {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.sessions.is_empty()
            && self.periods.is_empty()
            && self.befores.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.events.len().saturating_add(self.sessions.len())).unwrap_or(u64::MAX)
    }

    /// How many old ones had to go.
    pub(super) fn put_events(&mut self, events: Vec<EventV1>, is_historical: bool) -> u64 {
        self.events.extend(events.into_iter().map(|event| (event, is_historical)));
        let excess = self.events.len().saturating_sub(MEMORY_EVENTS);
        self.events.drain(..excess);
        u64::try_from(excess).unwrap_or(u64::MAX)
    }

    /// How many could not be taken.
    pub(super) fn put_usage(&mut self, sessions: Vec<Counted>, is_historical: bool) -> u64 {
        let mut refused = 0;
        for total in sessions {
            let session = &total.total.session;
            if self.sessions.len() < MEMORY_SESSIONS || self.sessions.contains_key(session) {
                self.sessions.insert(session.clone(), (total, is_historical));
            } else {
                refused += 1;
            }
        }
        refused
    }
}
