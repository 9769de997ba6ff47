//! Lines that came while sessions of their users may have run: rows of somebody else that are taken over, and lines that
//! got another name.
//!
//! Pure. What a session moved before its line was here is nobody's, and its counters do not say how much that was. So a
//! session that may be older than its line is counted from its first reading on, and the router's last word on the whole of
//! it is not believed: somebody may have set its counters back before. One that began since is its line's from 0. A word
//! that may be about a session which was over when its user was first looked at is not believed either. Where a start
//! came between the line and the first look at its sessions, the line came with the start. Where the row is made for the
//! line because none of its name was, there was nobody before.

use std::time::Duration;

use super::{LAST_WORD_WITHIN, LogOut, SampledAt, SeenSession, Tracker, UPTIME_SLACK, is_standing};

/// Uptimes are printed in whole seconds, rounded down.
const ROUNDING: Duration = Duration::from_secs(1);

/// A line that came in this run, or that nobody had looked at before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newcomer {
    /// When, by the monotonic clock.
    came: Duration,
    /// When the first look at its sessions was answered.
    looked: Option<Duration>,
    /// Whether its row was made for it, where none of that name was.
    is_made: bool,
}

impl Tracker {
    /// A line is here since then, by the monotonic clock, or has another user's sessions since.
    pub fn line_came(&mut self, line: &str, since: Duration) {
        let is_made = self.made.remove(line);
        self.newcomers.insert(line.to_owned(), Newcomer { came: since, looked: None, is_made });
    }

    /// The row of a line was made where none of that name was: whoever is online under it dialled in since. Heard before
    /// any session of it is shown, and for a line that is yet to come it is remembered.
    pub fn row_made(&mut self, line: &str, is_here: bool) {
        match self.newcomers.get_mut(line) {
            Some(newcomer) => newcomer.is_made = true,
            None if is_here => {}
            None => drop(self.made.insert(line.to_owned())),
        }
    }

    /// Forgets the lines that are not here any more.
    pub fn keep_lines(&mut self, is_here: impl Fn(&str) -> bool) {
        self.newcomers.retain(|line, _| is_here(line));
        self.made.retain(|line| is_here(line));
    }

    /// When a line came whose name may have been somebody else's; `None` where it was here before this run.
    pub(super) fn came_at(&self, line: &str) -> Option<Duration> {
        self.newcomers.get(line).filter(|newcomer| !newcomer.is_made).map(|newcomer| newcomer.came)
    }

    /// A whole sample was taken.
    pub(super) fn note_look(&mut self, at: SampledAt) {
        for newcomer in self.newcomers.values_mut().filter(|newcomer| newcomer.came < at.asked) {
            newcomer.looked.get_or_insert(at.elapsed);
        }
    }

    /// Whether a word may be about a session of before the line came, which no look at it showed.
    pub(super) fn may_be_of_before(&self, at: SampledAt, word: &LogOut, line: &str) -> bool {
        let newcomer = self.newcomers.get(line).filter(|newcomer| !newcomer.is_made);
        let Some(Newcomer { came, looked, .. }) = newcomer.copied() else { return false };
        // A word may be late, and so the session may have ended, and begun, that much earlier.
        let ended = at.elapsed.saturating_sub(LAST_WORD_WITHIN.saturating_add(UPTIME_SLACK));
        let is_over_since = looked.is_some_and(|looked| ended > looked);
        !is_over_since && ended.checked_sub(word.lasted).is_none_or(|began| began < came)
    }

    /// Whether a session that was not counted yet may have begun before its line came. Between the times at which it
    /// must and cannot have, a look since then that did not show it says that it had not. Queues are judged by the looks at
    /// them alone.
    pub(super) fn may_be_older_than_line(&self, session: &SeenSession, at: SampledAt, line: &str) -> bool {
        let newcomer = self.newcomers.get(line).filter(|_| !is_standing(session.service));
        let Some(Newcomer { came, is_made, .. }) = newcomer.copied() else { return false };
        let longest = at.elapsed.saturating_sub(came).saturating_add(UPTIME_SLACK);
        let is_younger = session.uptime.saturating_add(ROUNDING) <= at.asked.saturating_sub(came);
        let was_not_there = self.looks.1.is_some_and(|look| look.asked > came);
        // A session may outlive its row, and then somebody makes another.
        session.uptime > longest || !(is_made || is_younger || was_not_there)
    }
}
