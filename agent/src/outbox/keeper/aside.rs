//! What waits in memory while flash takes nothing, in bounds.
//!
//! The bound is on all of it. The oldest events give way, also to totals: bills and quotas stand on those. Only where no event is
//! left is no new session taken, because what is there already is owed. When it is put down is the keeper's decision.

use std::collections::{BTreeMap, VecDeque};

use tawi_shared::wire::EventV1;

use crate::usage::counted::Counted;
use crate::usage::quota::{CountedBefore, PeriodRecord};

/// Events that are kept in memory while flash takes none: a day of a busy site, in about 150 KB.
const MEMORY_EVENTS: usize = 1_000;
/// Records that are kept in memory while flash takes none: those events, and two sessions for each line of a large site.
const MEMORY_RECORDS: usize = 5_000;

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
        u64::try_from(self.records()).unwrap_or(u64::MAX)
    }

    fn records(&self) -> usize {
        self.events.len().saturating_add(self.sessions.len())
    }

    /// How many old ones had to go.
    pub(super) fn put_events(&mut self, events: Vec<EventV1>, is_historical: bool) -> u64 {
        self.events.extend(events.into_iter().map(|event| (event, is_historical)));
        let room = MEMORY_RECORDS.saturating_sub(self.sessions.len()).min(MEMORY_EVENTS);
        let excess = self.events.len().saturating_sub(room);
        self.events.drain(..excess);
        u64::try_from(excess).unwrap_or(u64::MAX)
    }

    /// How many events had to go for them, and how many of them could not be taken.
    pub(super) fn put_usage(&mut self, sessions: Vec<Counted>, is_historical: bool) -> (u64, u64) {
        let (mut dropped, mut refused) = (0, 0);
        for total in sessions {
            let session = &total.total.session;
            if self.records() >= MEMORY_RECORDS && !self.sessions.contains_key(session) {
                if self.events.pop_front().is_none() {
                    refused += 1;
                    continue;
                }
                dropped += 1;
            }
            self.sessions.insert(session.clone(), (total, is_historical));
        }
        (dropped, refused)
    }
}

#[cfg(test)]
mod tests {
    use tawi_shared::wire::SessionUsageV1;

    use super::*;

    fn totals(range: std::ops::Range<usize>) -> Vec<Counted> {
        let total = |number: usize| SessionUsageV1 {
            line: "a".into(),
            session: number.to_string(),
            started_at_ms: 1,
            sampled_at_ms: 2,
            upload_bytes: 3,
            download_bytes: 4,
            is_ended: true,
            address: String::new(),
            period_started_ms: 0,
        };
        range.map(|number| total(number).into()).collect()
    }

    fn events(range: std::ops::Range<i64>) -> Vec<EventV1> {
        let event = |at_ms| EventV1 { at_ms, kind: 1, line: None, router: None, detail: String::new() };
        range.map(event).collect()
    }

    #[test]
    fn events_give_way_to_totals_oldest_first_and_totals_are_refused_once_none_is_left() {
        let mut memory = Memory::default();
        assert_eq!(memory.put_events(events(0..1_010), false), 10);
        let most = MEMORY_RECORDS - MEMORY_EVENTS;
        assert_eq!(memory.put_usage(totals(0..most), false), (0, 0));
        // Full: each new session takes the place of the oldest event.
        assert_eq!(memory.put_usage(totals(most..most + 7), false), (7, 0));
        assert_eq!(memory.events.front().map(|(event, _)| event.at_ms), Some(17));
        // A newer total of a session that is there takes nobody's place.
        assert_eq!(memory.put_usage(totals(0..100), false), (0, 0));
        // An event takes the place of an older one.
        assert_eq!(memory.put_events(events(2_000..2_001), false), 1);
        let left = memory.events.len();
        assert_eq!(memory.put_usage(totals(most + 7..most + 7 + left), false), (993, 0));
        assert!(memory.events.is_empty());
        assert_eq!(memory.put_usage(totals(9_000..9_003), false), (0, 3));
        assert_eq!(memory.put_events(events(3_000..3_001), false), 1, "there is no room for one");
        assert_eq!(memory.put_usage(totals(0..100), false), (0, 0), "what is there is owed");
        assert_eq!(memory.len(), u64::try_from(MEMORY_RECORDS).unwrap());
    }
}
