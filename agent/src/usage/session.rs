//! One session as it is being counted: whether a sample still shows it, and what its counters add.
//!
//! Pure. A session is told in parts where its line changes hands or enters another period: each part has a name of its
//! own and a total that begins at 0, and what a sample shows since the one before goes to the part that was running
//! then. All sessions of a router are `tracker.rs`.

use std::time::Duration;

use routeros_api::value::UpDown;
use tawi_shared::UnixMillis;
use tawi_shared::wire::{Service, SessionUsageV1};

use super::counted::{Counted, Mark, USER_BYTES, from_pair, to_pair};
use super::logout::{LineDigest, LogOut};
use super::tracker::{Owner, SampledAt, SeenSession};

/// How far an uptime may lag behind the clock and still be the same session: it is printed in whole seconds, and the
/// router takes a while to print.
pub(super) const UPTIME_SLACK: Duration = Duration::from_secs(3);

/// A router's clock may run off from ours by one part in so many; crystals are ten times better, virtual machines not.
const DRIFT: u32 = 1_000;

/// How far the beginning of a session may seem to have moved across a restart of the agent and be the same beyond
/// doubt: by rounding and by small corrections of the clock.
const RESUME_SLACK: Duration = Duration::from_secs(10);

/// How much older than its uptime says a session may have been when the sample was answered. A minute is a very slow
/// router; what is too much here does no harm, because bytes and the order of the log decide too.
const LATEST_ANSWER: Duration = Duration::from_secs(60);

/// Ends the name of a session of which only a part is counted, so that a restart of the agent knows it by its name.
pub(super) const PARTIAL: char = '+';

/// Stands before the number of a part, from 2, behind the name of its session.
const PART: char = '#';

/// Whether nobody logs in: counted by a queue that stands there for good.
pub(super) fn is_standing(service: Service) -> bool {
    matches!(service, Service::Static | Service::HotspotDevice)
}

/// What a session is to the one that was open under its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kinship {
    /// The same.
    Same,
    /// Another one, with all that its counters show.
    Another,
    /// Perhaps another one; what its counters show may have been counted already, and is not counted again.
    Unsure,
    /// Nothing can be said before its counters are seen.
    Unknown,
}

/// The name of a part, taken apart: the name of its session, and how many parts came before it.
pub(super) fn name_and_part(session: &str) -> (&str, u32) {
    let numbered = session.rsplit_once(PART).and_then(|(name, part)| {
        let number: u32 = part.parse().ok().filter(|number| *number > 1)?;
        Some((name, number.saturating_sub(1)))
    });
    numbered.unwrap_or((session, 0))
}

#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub(super) line: String,
    /// When the period began that the running part counts towards; 0 for none.
    pub(super) period_ms: i64,
    /// Empty for a resumed session of which it is not known, until it is seen.
    pub(super) user: String,
    /// The name of the whole session.
    pub(super) name: String,
    /// How many parts came before the running one.
    pub(super) part: u32,
    /// What those moved.
    pub(super) before: UpDown<u64>,
    pub(super) started_at: UnixMillis,
    pub(super) address: String,
    /// The counters when they were last read; `None` before the first reading, and for a resumed session of which they
    /// are not known.
    pub(super) counters: Option<UpDown<u64>>,
    /// Of the running part.
    pub(super) total: UpDown<u64>,
    /// The total that was last given out.
    pub(super) told: UpDown<u64>,
    pub(super) last_seen: SampledAt,
    pub(super) uptime: Duration,
    pub(super) is_resumed: bool,
    /// What was last given out says more of its counters than is known now.
    pub(super) is_told_wrongly: bool,
    pub(super) has_last_word: bool,
    /// Its counters may show what was counted under another name: only their growth while we look on is its own.
    pub(super) is_partial: bool,
    /// Up to which line of the log it can be found by the lines behind, as it was last given out.
    pub(super) heard: Option<LineDigest>,
    /// What is expected of its user's total, and while his open sessions have moved how much, as it was last given out.
    pub(super) expected: Option<UpDown<u64>>,
    pub(super) expected_of: Option<UpDown<u64>>,
    /// When its counters last moved, for those where nobody logs in; `None` while it counts as offline.
    pub(super) moved_at: Option<Duration>,
}

impl Tracked {
    /// Goes on with a session, or part of one, that was open when the agent stopped.
    pub(super) fn resumed(open: &Counted) -> Self {
        let usage = &open.total;
        let (name, part) = name_and_part(&usage.session);
        let total = UpDown { upload: usage.upload_bytes, download: usage.download_bytes };
        Self {
            line: usage.line.clone(),
            period_ms: usage.period_started_ms,
            user: open.mark.user.clone(),
            name: name.to_owned(),
            part,
            before: from_pair(open.mark.before),
            started_at: UnixMillis(usage.started_at_ms),
            address: usage.address.clone(),
            counters: open.mark.counters.map(from_pair),
            total,
            told: total,
            last_seen: SampledAt::moment(UnixMillis(usage.sampled_at_ms), Duration::ZERO),
            uptime: Duration::from_secs(open.mark.uptime_seconds),
            is_resumed: true,
            is_told_wrongly: false,
            has_last_word: false,
            is_partial: name.ends_with(PARTIAL),
            heard: open.mark.heard,
            expected: open.mark.expected.map(from_pair),
            expected_of: open.mark.expected_of.map(from_pair),
            moved_at: None,
        }
    }

    /// What goes on of a session that was counted whole, now that this is in doubt: a part under a name of its own, because
    /// the name is all by which the next start knows that no word on the whole is about it. `None` where it is one already.
    pub(super) fn rest(&self) -> Option<Self> {
        (!self.is_partial).then(|| Self {
            // Twice: no part that was begun by its first reading has such a name.
            name: format!("{}{PARTIAL}{PARTIAL}", self.name),
            part: 0,
            before: UpDown::both(0),
            total: UpDown::both(0),
            told: UpDown::both(0),
            is_partial: true,
            ..self.clone()
        })
    }

    /// It may be another session by the same number, so that nothing that was known of its counters holds.
    pub(super) fn doubt(&mut self, uptime: Duration) {
        self.uptime = uptime;
        self.counters = None;
        self.is_told_wrongly = true;
        self.heard = None;
        (self.expected, self.expected_of) = (None, None);
    }

    /// The name of the running part.
    pub(super) fn key(&self) -> String {
        match self.part {
            0 => self.name.clone(),
            part => format!("{}{PART}{}", self.name, part.saturating_add(1)),
        }
    }

    /// Whether the running part counts for this line and period.
    pub(super) fn is_of(&self, owner: Owner<'_>) -> bool {
        (self.line.as_str(), self.period_ms) == (owner.line, owner.period_ms)
    }

    /// Begins the next part. The one before must have been given out.
    pub(super) fn begin_part(&mut self, owner: Owner<'_>) {
        self.before = sum(self.before, self.total);
        (self.total, self.told) = (UpDown::both(0), UpDown::both(0));
        self.part = self.part.saturating_add(1);
        owner.line.clone_into(&mut self.line);
        self.period_ms = owner.period_ms;
    }

    /// What is seen under the number of this session; `line` looks up whose its user is now.
    pub(super) fn kinship<'a>(
        &self,
        session: &SeenSession,
        at: SampledAt,
        line: impl FnOnce() -> Option<&'a str>,
    ) -> Kinship {
        if is_standing(session.service) {
            return self.kinship_of_standing(session);
        }
        if !self.is_resumed {
            return if self.is_continued_by(session, at) { Kinship::Same } else { Kinship::Another };
        }
        // Uptimes and the monotonic clock have no date that could be wrong: this one began after the agent did.
        if session.uptime.saturating_add(RESUME_SLACK) < at.asked || self.is_younger(session) {
            return Kinship::Another;
        }
        let is_of_line = line().is_none_or(|line| line == self.line);
        let started_at = at.time.minus(session.uptime);
        if started_at.since(self.started_at).max(self.started_at.since(started_at)) <= RESUME_SLACK {
            // A wrong clock and a number that is given again may agree by chance; then at least it is the same line's.
            return if is_of_line { Kinship::Same } else { Kinship::Unsure };
        }
        match session.bytes {
            None => Kinship::Unknown,
            Some(bytes) => {
                let least = self.counters.unwrap_or_else(|| self.whole());
                let has_grown = bytes.upload >= least.upload && bytes.download >= least.download;
                if has_grown && is_of_line { Kinship::Same } else { Kinship::Unsure }
            }
        }
    }

    /// Whether the uptime is less than it was when its counters were last told: whoever it is began since. A router that
    /// lost its power gives the same numbers again, and a site loses the agent's together with the router's.
    fn is_younger(&self, session: &SeenSession) -> bool {
        !session.uptime.is_zero() && session.uptime.saturating_add(UPTIME_SLACK) < self.uptime
    }

    /// A queue has no beginning but its counters and the router's own: where they began anew, so did the session. Its
    /// user is its line.
    fn kinship_of_standing(&self, session: &SeenSession) -> Kinship {
        if session.user != self.line {
            return Kinship::Unsure;
        }
        if self.is_younger(session) {
            return Kinship::Another;
        }
        match (self.counters, session.bytes) {
            (Some(last), Some(now)) if now.upload < last.upload || now.download < last.download => {
                Kinship::Another
            }
            _ => Kinship::Same,
        }
    }

    /// Whether this sample goes on from the last one of this run.
    ///
    /// An uptime is of the moment of its print, which is somewhere between request and answer; an answer may be late by
    /// many seconds. What is older than the longest time that may have passed cannot have begun since. What is younger
    /// than this one would be after the shortest is another. Between the two both are possible, and only where this
    /// session was younger than the two prints and twice the slack took. Then it counts as the same: counters that began
    /// anew are added, and those that go on leave out at most what this one had moved at that age.
    ///
    /// All of it rests on a monotonic clock that is right within [`DRIFT`]. One that jumped by an hour between two samples,
    /// which no kernel does, would make every session look like another and count its bytes again. To take higher counters
    /// with a higher uptime for the same one instead would leave out whole sessions after a real pause of the agent.
    fn is_continued_by(&self, session: &SeenSession, at: SampledAt) -> bool {
        let longest = at.elapsed.saturating_sub(self.last_seen.asked);
        let shortest = at.asked.saturating_sub(self.last_seen.elapsed);
        let slack = UPTIME_SLACK.saturating_add(longest.checked_div(DRIFT).unwrap_or_default());
        if session.uptime > longest.saturating_add(slack) {
            return true;
        }
        let is_old_enough = session.uptime.saturating_add(slack) >= self.uptime.saturating_add(shortest);
        is_old_enough && session.user == self.user
    }

    /// Takes new counters; says whether there is anything to tell.
    pub(super) fn take(&mut self, session: &SeenSession, at: SampledAt) -> bool {
        let before = (self.total, self.counters);
        let has_moved = !session.address.is_empty() && session.address != self.address;
        self.last_seen = at;
        self.uptime = session.uptime;
        self.is_resumed = false;
        self.user.clone_from(&session.user);
        if has_moved {
            self.address.clone_from(&session.address);
        }
        if let Some(now) = session.bytes {
            self.total = match self.counters {
                Some(last) => UpDown {
                    upload: grown(self.total.upload, last.upload, now.upload),
                    download: grown(self.total.download, last.download, now.download),
                },
                None if self.is_partial => self.total,
                // Nobody knows what the counters showed when the agent stopped, only that the total had come from
                // them: what exceeds it is new, and a smaller reading may have been counted already.
                None => UpDown {
                    upload: self.total.upload.max(now.upload.saturating_sub(self.before.upload)),
                    download: self.total.download.max(now.download.saturating_sub(self.before.download)),
                },
            };
            self.counters = Some(now);
        }
        has_moved || before != (self.total, self.counters)
    }

    /// Takes the router's total, unless it is below what was counted: then one of the two is about something else.
    pub(super) fn take_last_word(&mut self, word: &LogOut) -> bool {
        // What a session had moved before it was looked at may have been counted under another name.
        if self.is_partial || self.has_last_word {
            return false;
        }
        let own = |all: u64, before: u64, total: u64| all.checked_sub(before).filter(|own| *own >= total);
        let upload = own(word.bytes.upload, self.before.upload, self.total.upload);
        let download = own(word.bytes.download, self.before.download, self.total.download);
        let (Some(upload), Some(download)) = (upload, download) else { return false };
        self.total = UpDown { upload, download };
        self.has_last_word = true;
        true
    }

    /// What all of its parts moved.
    pub(super) fn whole(&self) -> UpDown<u64> {
        sum(self.before, self.total)
    }

    /// What the router may add to its user's total for it: all that its counters showed, counted or not.
    pub(super) fn moved_at_most(&self) -> UpDown<u64> {
        let (whole, counters) = (self.whole(), self.counters.unwrap_or_default());
        UpDown { upload: whole.upload.max(counters.upload), download: whole.download.max(counters.download) }
    }

    /// What its mark says is expected of its user's total, once his open sessions have `moved` so much; `None` where it says
    /// nothing of that. In a record of a release before, that nothing is known is said too.
    pub(super) fn says_of_total(&self, moved: UpDown<u64>) -> Option<Option<UpDown<u64>>> {
        match self.expected_of {
            Some(of) => self.expected.filter(|_| of == moved).map(Some),
            None => Some(self.expected),
        }
    }

    /// How much of what this sample shows [`Tracked::take`] will count.
    pub(super) fn growth_to(&self, session: &SeenSession) -> UpDown<u64> {
        let Some(now) = session.bytes else { return UpDown::both(0) };
        let known = self.whole();
        match self.counters {
            Some(last) => UpDown {
                upload: grown(0, last.upload, now.upload),
                download: grown(0, last.download, now.download),
            },
            None if self.is_partial => UpDown::both(0),
            None => UpDown {
                upload: now.upload.saturating_sub(known.upload),
                download: now.download.saturating_sub(known.download),
            },
        }
    }

    /// Whether it may have ended at this age: between when it was last seen and `until`. Across a restart only the clock
    /// says how long that was; one that was set back makes a word go unheeded, never count for too much.
    pub(super) fn may_have_lasted(&self, lasted: Duration, until: SampledAt) -> bool {
        let unseen = match self.is_resumed {
            true => until.time.since(self.last_seen.time).saturating_add(LATEST_ANSWER),
            false => until.elapsed.saturating_sub(self.last_seen.asked),
        };
        lasted.saturating_add(UPTIME_SLACK) >= self.uptime
            && lasted <= self.uptime.saturating_add(unseen).saturating_add(UPTIME_SLACK)
    }

    /// The total to give out.
    pub(super) fn counted(&mut self, sampled_at: UnixMillis, is_ended: bool) -> Counted {
        let up = self.total.upload.saturating_sub(self.told.upload);
        let down = self.total.download.saturating_sub(self.told.download);
        self.told = self.total;
        self.is_told_wrongly = false;
        Counted {
            total: SessionUsageV1 {
                line: self.line.clone(),
                session: self.key(),
                started_at_ms: self.started_at.0,
                sampled_at_ms: sampled_at.0,
                upload_bytes: self.total.upload,
                download_bytes: self.total.download,
                is_ended,
                address: self.address.clone(),
                period_started_ms: self.period_ms,
            },
            mark: Mark {
                counters: self.counters.map(to_pair),
                before: to_pair(self.before),
                user: Some(&self.user).filter(|user| user.len() <= USER_BYTES).cloned().unwrap_or_default(),
                uptime_seconds: self.uptime.as_secs(),
                heard: self.heard,
                expected: self.expected.map(to_pair),
                expected_of: self.expected_of.map(to_pair),
            },
            grown_bytes: up.saturating_add(down),
        }
    }
}

pub(super) fn sum(one: UpDown<u64>, other: UpDown<u64>) -> UpDown<u64> {
    UpDown {
        upload: one.upload.saturating_add(other.upload),
        download: one.download.saturating_add(other.download),
    }
}

/// A counter that shrank was reset, and all that it shows is new.
fn grown(total: u64, last: u64, now: u64) -> u64 {
    total.saturating_add(now.checked_sub(last).unwrap_or(now))
}
