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
use tawi_shared::Gather as _;
use tawi_shared::wire::Service;

use super::{LAST_WORD_WITHIN, Outcome, SampledAt, SeenSession, Tracked, Tracker, UPTIME_SLACK};
use crate::usage::counted::to_pair;
use crate::usage::session::sum;

/// What is expected of the users' totals.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// By user; `None` where the router shows no total.
    expected: BTreeMap<String, Option<UpDown<u64>>>,
    /// Whose the users are, by line id.
    lines: BTreeMap<String, String>,
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

/// What the open sessions of one user moved, and who of them says what is expected.
#[derive(Default)]
struct Siblings {
    moved: UpDown<u64>,
    /// Whether the mark of one says what is expected now, as it lies on flash or is given out.
    is_said: bool,
    /// Numbers of those whose marks would be believed and say something else.
    say_otherwise: Vec<String>,
    /// The number of one of them.
    any: String,
}

impl Tracker {
    /// Wants a reading of each of these users of whom nothing is known, and forgets all others that have no session. Beside
    /// each is whose line he is: one who is another's by now is not known.
    pub fn expect_of<'a>(&mut self, users: impl Iterator<Item = (&'a str, &'a str)>) {
        let users: BTreeMap<&str, &str> = users.into_map();
        let Totals { expected, lines, wanted } = &mut self.totals;
        let is_his = |user: &str, line: &str| users.get(user) == Some(&line);
        lines.retain(|user, line| is_his(user, line));
        expected.retain(|user, _| lines.contains_key(user));
        for (user, line) in users {
            if !lines.contains_key(user) {
                lines.insert(user.to_owned(), line.to_owned());
            }
            if !expected.contains_key(user) {
                wanted.insert(user.to_owned());
            }
        }
    }

    /// Whose the user of this total must be, by line id.
    #[must_use]
    pub fn line_of_total(&self, user: &str) -> Option<&str> {
        self.totals.lines.get(user).map(String::as_str)
    }

    /// Goes on with what was expected when the agent stopped: of users of one line of whom that is known, by marks that
    /// are of no other time than all that lies on flash of his open sessions.
    pub(super) fn expect_again(&mut self) {
        let mut of_user: BTreeMap<&str, Vec<&Tracked>> = BTreeMap::new();
        let of_hotspot = self.sessions.iter().filter(|((service, _), _)| *service == Service::Hotspot);
        for (_, tracked) in of_hotspot.filter(|(_, tracked)| !tracked.user.is_empty()) {
            of_user.entry(&tracked.user).or_default().push(tracked);
        }
        for (user, sessions) in of_user {
            let moved = sessions.iter().map(|tracked| tracked.whole()).fold(UpDown::both(0), sum);
            let mut said = sessions.iter().filter_map(|tracked| tracked.says_of_total(moved));
            let Some(Some(expected)) = said.next() else { continue };
            let Some(line) = sessions.first().map(|tracked| &tracked.line) else { continue };
            let is_of_one = sessions.iter().all(|tracked| tracked.line == *line);
            if is_of_one && said.all(|other| other == Some(expected)) {
                self.totals.expected.insert(user.to_owned(), Some(expected));
                self.totals.lines.insert(user.to_owned(), line.clone());
            }
        }
    }

    /// Writes into what is given out what is expected of the totals of users. Of a user whose sessions that leaves with
    /// marks that are out of date, or with none, as few are given out again as need be: one that rests is not written
    /// because another one moved.
    pub(super) fn mark_expected(&mut self, outcome: &mut Outcome) {
        let given = outcome.usage.iter().enumerate().filter(|(_, counted)| !counted.total.is_ended);
        let given: BTreeMap<String, usize> =
            given.map(|(index, counted)| (counted.total.session.clone(), index)).into_map();
        let mut again: BTreeSet<String> = BTreeSet::new();
        let siblings = self.siblings(&given);
        for (user, of_user) in &siblings {
            let is_known = self.expected(user).is_some();
            again.extend(of_user.say_otherwise.iter().cloned());
            if is_known && !of_user.is_said {
                again.insert(of_user.any.clone());
            }
        }
        let of_hotspot = self.sessions.iter_mut().filter(|((service, _), _)| *service == Service::Hotspot);
        for ((_, number), tracked) in of_hotspot {
            let counted = given.get(&tracked.key());
            if counted.is_none() && !again.contains(number) {
                continue;
            }
            tracked.expected = self.totals.expected.get(&tracked.user).copied().flatten();
            tracked.expected_of = siblings.get(&tracked.user).map(|of_user| of_user.moved);
            match counted.and_then(|index| outcome.usage.get_mut(*index)) {
                Some(counted) => {
                    counted.mark.expected = tracked.expected.map(to_pair);
                    counted.mark.expected_of = tracked.expected_of.map(to_pair);
                }
                None => outcome.usage.push(tracked.counted(tracked.last_seen.time, false)),
            }
        }
    }

    fn expected(&self, user: &str) -> Option<UpDown<u64>> {
        self.totals.expected.get(user).copied().flatten()
    }

    /// The open sessions of each user of the hotspot: what they moved and what their marks say, those that are `given` out
    /// now saying what is right.
    fn siblings(&self, given: &BTreeMap<String, usize>) -> BTreeMap<String, Siblings> {
        let mut all: BTreeMap<String, Siblings> = BTreeMap::new();
        let of_hotspot = || self.sessions.iter().filter(|((service, _), _)| *service == Service::Hotspot);
        for (_, tracked) in of_hotspot() {
            let of_user = all.entry(tracked.user.clone()).or_default();
            of_user.moved = sum(of_user.moved, tracked.whole());
        }
        for ((_, number), tracked) in of_hotspot() {
            let Some(of_user) = all.get_mut(&tracked.user) else { continue };
            let is_given = given.contains_key(&tracked.key());
            let says = tracked.says_of_total(of_user.moved);
            let expected = self.expected(&tracked.user);
            if is_given || says.is_some_and(|says| says == expected) {
                of_user.is_said = true;
            } else if says.is_some() {
                of_user.say_otherwise.push(number.clone());
            }
            of_user.any.clone_from(number);
        }
        all
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
        let known = self.expected(user);
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
        let line = self.totals.lines.get(user);
        let is_his = |tracked: &Tracked| tracked.user == user && Some(&tracked.line) == line;
        let mut newest_first = self.ended.iter_mut().rev();
        let found =
            newest_first.find(|((service, _), tracked, _)| *service == Service::Hotspot && is_his(tracked));
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
