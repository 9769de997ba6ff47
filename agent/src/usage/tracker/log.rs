//! How the router's last word on a session is found although the agent was away when it was logged.
//!
//! ```text
//! log    … x ─────── heard up to here ─────── a logged out ─────── (the agent starts) ───────▶
//! flash      session of a, and the digest of x beside its total ──┘ the first line of a behind x is its last word
//! ```
//!
//! Pure. The digest stands beside a total only where no line behind it can be about another session that was counted: not
//! while the word on one of the same user that has just ended may still come. Whenever that changes, or a line about the
//! user was heard, the total is given out again; of a user with several sessions none is found. So a line counts once,
//! after however many restarts; where in doubt the last sample stands. A log that is shorter than that, or was emptied,
//! holds younger lines only. Lines that are heard at once are `tracker.rs`'s business.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tawi_shared::Gather as _;
use tawi_shared::wire::Service;

use super::{Ended, LAST_WORD_WITHIN, Outcome, SampledAt, Tracker};
use crate::usage::logout::{AccountLine, LineDigest, LogOut};
use crate::usage::session::Tracked;

impl Tracker {
    /// Notes up to where the log of each service was heard; services that are missing are not listened to.
    pub fn note_heard(&mut self, heard: &BTreeMap<Service, LineDigest>) {
        self.heard.clone_from(heard);
    }

    /// Takes a whole print of the log, oldest line first, when nothing of it was heard in this run: some of it may be
    /// about sessions that ended while the agent was away.
    pub fn catch_up(&mut self, at: SampledAt, printed: &[AccountLine]) -> Outcome {
        let mut outcome = Outcome::default();
        for line in printed {
            self.printed.note(line.service, &line.word);
        }
        let mut waiting = self.found_by_lines();
        if waiting.is_empty() {
            return outcome;
        }
        let digests: HashMap<LineDigest, usize> =
            printed.iter().enumerate().map(|(index, line)| (line.digest(), index)).collect();
        for (index, line) in printed.iter().enumerate() {
            let user = (line.service, line.word.user.clone());
            let Some((key, heard)) = waiting.get(&user) else { continue };
            // One that is not there any more made room: all that stand there are younger.
            if digests.get(heard).is_some_and(|heard| *heard >= index) {
                continue;
            }
            let may_be = |tracked: &Tracked| tracked.may_have_lasted(line.word.lasted, at);
            if self.sessions.get(key).is_some_and(|tracked| may_be(tracked))
                && self.end_by_word(key.clone(), &line.word, at, &mut outcome)
            {
                waiting.remove(&user);
            }
        }
        outcome
    }

    /// Ends a session by the router's last word on it, if that is believed.
    pub(super) fn end_by_word(
        &mut self,
        key: (Service, String),
        word: &LogOut,
        at: SampledAt,
        outcome: &mut Outcome,
    ) -> bool {
        let Some(mut tracked) = self.sessions.remove(&key) else { return false };
        if !tracked.take_last_word(word) {
            self.sessions.insert(key, tracked);
            return false;
        }
        if tracked.is_resumed {
            let ended_at = tracked.last_seen.time.plus(word.lasted.saturating_sub(tracked.uptime));
            tracked.last_seen.time = ended_at.min(at.time);
            tracked.uptime = word.lasted;
        } else {
            tracked.last_seen.time = at.time;
        }
        self.end(key, tracked, at, outcome);
        true
    }

    /// Sessions that were open when the agent stopped and may be found by lines: which, and behind which line.
    fn found_by_lines(&self) -> HashMap<(Service, String), ((Service, String), LineDigest)> {
        let (mut found, mut several) = (HashMap::new(), BTreeSet::new());
        for (key, tracked) in &self.sessions {
            let user = (key.0, tracked.user.clone());
            let heard = tracked.heard.filter(|_| tracked.is_resumed && !tracked.user.is_empty());
            let Some(heard) = heard else { continue };
            if found.insert(user.clone(), (key.clone(), heard)).is_some() {
                several.insert(user);
            }
        }
        found.retain(|user, _| !several.contains(user));
        found
    }

    /// Writes into what is given out behind which line it can be found; and gives out again what may be found by a line
    /// about another from now on.
    pub(super) fn mark(&mut self, at: SampledAt, outcome: &mut Outcome) {
        if self.heard.is_empty() && self.sessions.values().all(|tracked| tracked.heard.is_none()) {
            return;
        }
        let unworded = self.unworded(at);
        for counted in outcome.usage.iter_mut().filter(|counted| !counted.total.is_ended) {
            let Some(key) = self.key_of(&counted.total.session) else { continue };
            let user = (key.0, std::mem::take(&mut counted.mark.user));
            let is_found = !user.1.is_empty() && !unworded.contains(&user);
            counted.mark.heard = self.heard.get(&key.0).copied().filter(|_| is_found);
            counted.mark.user = user.1;
            if let Some(tracked) = self.sessions.get_mut(&key) {
                tracked.heard = counted.mark.heard;
            }
        }
        for ((service, _), tracked) in &mut self.sessions {
            if tracked.heard.is_some() && unworded.contains(&(*service, tracked.user.clone())) {
                tracked.heard = None;
                outcome.usage.push(tracked.counted(tracked.last_seen.time, false));
            }
        }
    }

    /// A line about this user was heard: it is not the last word on those of his sessions that go on.
    pub(super) fn mark_others_of(&mut self, service: Service, user: &str, outcome: &mut Outcome) {
        let heard = self.heard.get(&service).copied();
        for ((of, _), tracked) in &mut self.sessions {
            if *of == service && tracked.user == user && tracked.heard.is_some() {
                tracked.heard = heard;
                outcome.usage.push(tracked.counted(tracked.last_seen.time, false));
            }
        }
    }

    /// Users of whom a session ended so shortly ago that its word may still come.
    fn unworded(&self, at: SampledAt) -> BTreeSet<(Service, String)> {
        let may_come = |(_, tracked, ended): &&Ended| {
            !tracked.has_last_word && at.elapsed.saturating_sub(ended.elapsed) < LAST_WORD_WITHIN
        };
        let unworded = self.ended.iter().filter(may_come);
        unworded.map(|((service, _), tracked, _)| (*service, tracked.user.clone())).into_set()
    }
}
