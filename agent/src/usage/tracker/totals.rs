//! What hotspot sessions moved between their last sample and their end, by the totals that the router keeps of each user.
//!
//! ```text
//! expected = total of the user + all that his running sessions have moved      when it was first read, or is below that
//! expected grows by whatever samples count of his sessions
//! total − expected − what runs and is not counted yet   > 0   ─▶  moved, and counted nowhere: the session that ended last
//! ```
//!
//! Pure. Some releases may add a session to its user when it ends, others all the time; which do what is not known, and
//! nothing here depends on it. `expected` is what the total may be at the most once all that is
//! counted has been added to it, in the one case as in the other, so that what exceeds it was counted nowhere. A total that
//! somebody reset, or that a power cut took back, is below it and brings nothing; from then on less is expected. A session
//! that ended a minute ago has been added by then. Across a restart of the agent `expected` is remembered beside the totals
//! of open sessions, in one commit with what is counted of them: what a session moved up to an end that no agent saw, and
//! what sessions moved that nobody saw at all, exceeds it then. What head office was told is on flash before, so that
//! whatever a power cut takes was told to nobody and is counted by this. Where no session was open, nothing is known.

use std::collections::{BTreeMap, BTreeSet};

use routeros_api::value::UpDown;
use tawi_shared::wire::Service;

use super::{LAST_WORD_WITHIN, Outcome, SampledAt, SeenSession, Tracked, Tracker, UPTIME_SLACK};
use crate::usage::counted::to_pair;
use crate::usage::session::sum;

/// What is expected of the users' totals.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// By user; `None` where the router shows no total.
    expected: BTreeMap<String, Option<UpDown<u64>>>,
    /// Users of whom a reading is wanted.
    wanted: BTreeSet<String>,
}

impl Totals {
    /// A sample shows a session of this user, which has moved so much since the one before.
    pub(super) fn note(&mut self, user: &str, grown: UpDown<u64>, is_new: bool) {
        match self.expected.get_mut(user) {
            Some(Some(expected)) => *expected = sum(*expected, grown),
            Some(None) if !is_new => {}
            _ => {
                self.wanted.insert(user.to_owned());
            }
        }
    }

    /// A session of this user is over.
    pub(super) fn want(&mut self, user: &str) {
        self.wanted.insert(user.to_owned());
    }
}

impl Tracker {
    /// Wants a reading of each of these users of whom nothing is known, and forgets all others that have no session.
    pub fn expect_of<'a>(&mut self, users: impl Iterator<Item = &'a str>) {
        let users: BTreeSet<&str> = users.collect();
        let Totals { expected, wanted } = &mut self.totals;
        expected.retain(|user, _| users.contains(user.as_str()));
        let unknown = users.iter().filter(|user| !expected.contains_key(**user));
        wanted.extend(unknown.map(|user| (*user).to_owned()));
    }

    /// Goes on with what was expected when the agent stopped: of users whose open sessions all say the same.
    pub(super) fn expect_again(&mut self) {
        let mut remembered: BTreeMap<&str, Option<UpDown<u64>>> = BTreeMap::new();
        let of_hotspot = self.sessions.iter().filter(|((service, _), _)| *service == Service::Hotspot);
        for (_, tracked) in of_hotspot.filter(|(_, tracked)| !tracked.user.is_empty()) {
            let known = remembered.entry(&tracked.user).or_insert(tracked.expected);
            *known = known.filter(|known| tracked.expected == Some(*known));
        }
        let remembered = remembered.into_iter().filter_map(|(user, known)| Some((user, known?)));
        let expected = remembered.map(|(user, known)| (user.to_owned(), Some(known)));
        self.totals.expected.extend(expected.collect::<Vec<_>>());
    }

    /// Writes into what is given out what is expected of the totals of users; and gives out again what has another by now.
    pub(super) fn mark_expected(&mut self, outcome: &mut Outcome) {
        let mut given: BTreeMap<String, usize> = BTreeMap::new();
        for (index, counted) in outcome.usage.iter().enumerate().filter(|(_, it)| !it.total.is_ended) {
            given.insert(counted.total.session.clone(), index);
        }
        let of_hotspot = self.sessions.iter_mut().filter(|((service, _), _)| *service == Service::Hotspot);
        for (_, tracked) in of_hotspot {
            let expected = self.totals.expected.get(&tracked.user).copied().flatten();
            if tracked.expected == expected {
                continue;
            }
            tracked.expected = expected;
            let counted = given.get(&tracked.key()).and_then(|index| outcome.usage.get_mut(*index));
            match counted {
                Some(counted) => counted.mark.expected = expected.map(to_pair),
                None => outcome.usage.push(tracked.counted(tracked.last_seen.time, false)),
            }
        }
    }

    /// Users of a hotspot whose totals are wanted.
    #[must_use]
    pub fn wanted_totals(&self) -> &BTreeSet<String> {
        &self.totals.wanted
    }

    /// Takes the totals of those users, and the sessions that ran once they had been read; a user who is missing has none.
    pub fn settle(
        &mut self,
        at: SampledAt,
        totals: &BTreeMap<String, UpDown<u64>>,
        running: &[SeenSession],
    ) -> Outcome {
        let mut outcome = Outcome::default();
        for user in std::mem::take(&mut self.totals.wanted) {
            match totals.get(&user) {
                Some(total) => self.settle_user(at, &user, *total, running, &mut outcome),
                None => {
                    self.totals.expected.insert(user, None);
                }
            }
        }
        self.mark_expected(&mut outcome);
        outcome
    }

    fn settle_user(
        &mut self,
        at: SampledAt,
        user: &str,
        total: UpDown<u64>,
        running: &[SeenSession],
        outcome: &mut Outcome,
    ) {
        let now_running = || running.iter().filter(|session| session.user == user);
        let known = self.totals.expected.get(user).copied().flatten();
        let expected = known.map(|expected| {
            let ahead = now_running().map(|session| self.uncounted(session, at)).fold(UpDown::both(0), sum);
            let left = less(total, sum(expected, ahead));
            if self.add_to_last(user, left, outcome) { sum(expected, left) } else { expected }
        });
        // All that may still be added to this total of what is counted; whoever added it already is expected to add more
        // than will come. What no sample showed yet is counted from its beginning, and expected then.
        let is_his = |tracked: &Tracked| tracked.user == user;
        let open =
            self.sessions.iter().filter(|((service, _), it)| *service == Service::Hotspot && is_his(it));
        let open: Vec<&Tracked> = open.map(|(_, tracked)| tracked.as_ref()).collect();
        let is_recent = |ended: &SampledAt| at.elapsed.saturating_sub(ended.elapsed) < LAST_WORD_WITHIN;
        let ended = self.ended.iter().filter(|((service, _), tracked, ended)| {
            *service == Service::Hotspot && is_his(tracked) && is_recent(ended)
        });
        let waiting: Vec<&Tracked> = ended.map(|(_, tracked, _)| tracked.as_ref()).collect();
        // What a session had moved before it was looked at may be any number, whatever its counters show: somebody may have
        // reset them.
        if open.iter().chain(&waiting).any(|tracked| tracked.is_partial) {
            let is_over = open.iter().all(|tracked| !tracked.is_partial);
            self.totals.wanted.extend(is_over.then(|| user.to_owned()));
            self.totals.expected.insert(user.to_owned(), None);
            return;
        }
        let at_most =
            |all: Vec<&Tracked>| all.into_iter().map(Tracked::moved_at_most).fold(UpDown::both(0), sum);
        let (open, waiting) = (at_most(open), at_most(waiting));
        let anew = sum(sum(total, open), waiting);
        let expected = expected.map_or(anew, |expected| least(expected, anew));
        // More is expected than can come: once nothing waits any more, it is not.
        if less(expected, sum(total, open)) != UpDown::both(0) {
            self.totals.wanted.insert(user.to_owned());
        }
        self.totals.expected.insert(user.to_owned(), Some(expected));
    }

    /// What a running session shows that may not have been counted, or may be another's by the same number.
    fn uncounted(&self, session: &SeenSession, at: SampledAt) -> UpDown<u64> {
        let shown = session.bytes.unwrap_or_default();
        let known = self.sessions.get(&(session.service, session.number.clone()));
        let same = known.filter(|tracked| {
            // What is older than the time since it was seen did not begin since.
            let since = at.elapsed.saturating_sub(tracked.last_seen.asked);
            tracked.user == session.user && session.uptime > since.saturating_add(UPTIME_SLACK)
        });
        same.and_then(|tracked| tracked.counters).map_or(shown, |counted| less(shown, counted))
    }

    /// Adds bytes to the session of this user that ended last; whether there is one.
    fn add_to_last(&mut self, user: &str, bytes: UpDown<u64>, outcome: &mut Outcome) -> bool {
        if bytes == UpDown::both(0) {
            return false;
        }
        let mut newest_first = self.ended.iter_mut().rev();
        let found = newest_first
            .find(|((service, _), tracked, _)| *service == Service::Hotspot && tracked.user == user);
        let Some((_, tracked, ended_at)) = found else { return false };
        tracked.total = sum(tracked.total, bytes);
        tracked.has_last_word = true;
        outcome.usage.push(tracked.counted(ended_at.time, true));
        true
    }
}

/// By how much each direction exceeds the other's.
fn less(one: UpDown<u64>, other: UpDown<u64>) -> UpDown<u64> {
    UpDown {
        upload: one.upload.saturating_sub(other.upload),
        download: one.download.saturating_sub(other.download),
    }
}

fn least(one: UpDown<u64>, other: UpDown<u64>) -> UpDown<u64> {
    UpDown { upload: one.upload.min(other.upload), download: one.download.min(other.download) }
}
