//! From samples of counters to totals of sessions.
//!
//! ```text
//! unseen ──seen──> open ──counters grow or start anew──> open ──not seen, another in its place, logged out──> ended
//! ```
//!
//! Pure. Totals are absolute, so that a lost message is healed by the next and a doubled one changes nothing. A session
//! is known by the router's own number for it and by when it began; a number that begins again with a smaller uptime is
//! another session. Counters that shrink within a session were reset by somebody, and what they show is added. Across a
//! restart of the agent the clock may have moved, so that it can say that a session is the same and never that it is
//! another. Where what was told before is not known, because the store is new or lost, sessions that run already are
//! counted from their first reading on: head office may have been told of the bytes before it, under a key that nobody
//! remembers. Where in doubt it counts too little: a total never exceeds what was moved. Reading the counters is `join.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use routeros_api::value::UpDown;
use tawi_shared::UnixMillis;
use tawi_shared::wire::{EventKind, Service, SessionUsageV1};

use crate::usage::logout::LogOut;

/// How far an uptime may lag behind the clock and still be the same session: it is printed in whole seconds, and the
/// router takes a while to print.
const UPTIME_SLACK: Duration = Duration::from_secs(3);

/// How far the beginning of a session may seem to have moved across a restart of the agent and be the same beyond
/// doubt: by rounding and by small corrections of the clock.
const RESUME_SLACK: Duration = Duration::from_secs(10);

/// Ends the key of a session of which only a part is counted, so that a restart of the agent knows it by its key.
const PARTIAL: char = '+';

/// How long the router's last word on a session may come after the news that it is gone.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(60);

/// How long the row of a session may linger behind that word.
const ROW_LINGERS: Duration = Duration::from_secs(5);

/// Ended sessions that are remembered; a town's worth. Beyond it the oldest keep their last sampled totals.
const ENDED_REMEMBERED: usize = 1_024;

/// A session as one sample shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenSession {
    /// Whose menu it was in.
    pub service: Service,
    /// The router's number for it: the session id of PPP, the row id of a hotspot login.
    pub number: String,
    /// Who logged in.
    pub user: String,
    /// The client's address; empty when unknown.
    pub address: String,
    /// Since when.
    pub uptime: Duration,
    /// Its counters, where this sample has them.
    pub bytes: Option<UpDown<u64>>,
}

/// When a sample was taken.
#[derive(Clone, Copy, Debug)]
pub struct SampledAt {
    /// By the trusted clock; for people.
    pub time: UnixMillis,
    /// By the monotonic clock; for telling sessions apart.
    pub elapsed: Duration,
}

/// What a sample brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Sessions whose totals moved, that are new, or that ended.
    pub usage: Vec<SessionUsageV1>,
    /// Lines that came online or went offline, with the address.
    pub events: Vec<(EventKind, String, String)>,
}

#[derive(Clone, Debug)]
struct Tracked {
    line: String,
    /// Empty for a resumed session until it is seen.
    user: String,
    session: String,
    started_at: UnixMillis,
    address: String,
    /// The counters when they were last read; `None` for a resumed session before its first reading.
    counters: Option<UpDown<u64>>,
    total: UpDown<u64>,
    last_seen: SampledAt,
    uptime: Duration,
    is_resumed: bool,
    has_last_word: bool,
    /// Its counters may show what was counted under another key: only their growth while we look on is its own.
    is_partial: bool,
}

/// What a session is to the one that was open under its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kinship {
    /// The same.
    Same,
    /// Another one, with all that its counters show.
    Another,
    /// Perhaps another one; what its counters show may have been counted already, and is not counted again.
    Unsure,
    /// Nothing can be said before its counters are seen.
    Unknown,
}

/// All open sessions of one router.
#[derive(Clone, Debug)]
pub struct Tracker {
    router: String,
    sessions: BTreeMap<(Service, String), Tracked>,
    /// Oldest first, with the moment of their end.
    ended: VecDeque<((Service, String), Tracked, SampledAt)>,
    /// Whether sessions that run already may have been told of without our knowing.
    are_running_doubted: bool,
    /// When the first sample was taken, by the monotonic clock.
    first_look: Option<Duration>,
}

impl Tracker {
    /// Nothing open. Keys of sessions begin with the router's name.
    #[must_use]
    pub fn new(router: &str) -> Self {
        Self {
            router: router.to_owned(),
            sessions: BTreeMap::new(),
            ended: VecDeque::new(),
            are_running_doubted: false,
            first_look: None,
        }
    }

    /// What an earlier agent told of sessions is not known, or not of all: those that run already and are not resumed
    /// are counted from their first reading on. At a site that is new indeed this leaves out what its sessions had
    /// moved before the agent came.
    pub fn doubt_running(&mut self) {
        self.are_running_doubted = true;
    }

    /// Goes on with sessions that were open when the agent stopped. Those of other routers, and keys that this release
    /// does not make, are left aside.
    pub fn resume(&mut self, open: &[SessionUsageV1]) {
        for usage in open.iter().filter(|usage| !usage.is_ended) {
            let Some(key) = self.key_of(&usage.session) else { continue };
            let total = UpDown { upload: usage.upload_bytes, download: usage.download_bytes };
            let tracked = Tracked {
                line: usage.line.clone(),
                user: String::new(),
                session: usage.session.clone(),
                started_at: UnixMillis(usage.started_at_ms),
                address: usage.address.clone(),
                counters: None,
                total,
                last_seen: SampledAt { time: UnixMillis(usage.sampled_at_ms), elapsed: Duration::ZERO },
                uptime: Duration::ZERO,
                is_resumed: true,
                has_last_word: false,
                is_partial: usage.session.ends_with(PARTIAL),
            };
            // An agent whose store did not open at its start left the session of before open under its own key, beside
            // what it counted itself. Which of them is running nobody knows, as the clock may have moved between them:
            // one goes on, a part where there is one, and counts from its first reading on.
            let rank = |tracked: &Tracked| (tracked.is_partial, tracked.last_seen.time);
            let (mut goes_on, is_over) = match self.sessions.remove(&key) {
                Some(other) if rank(&other) > rank(&tracked) => (other, Some(tracked)),
                other => (tracked, other),
            };
            if let Some(over) = is_over {
                goes_on.is_partial = true;
                // Remembered for its key alone, which must not be given again; its total was told.
                let at = over.last_seen;
                self.end(key.clone(), over, at, &mut Outcome::default());
            }
            self.sessions.insert(key, goes_on);
        }
    }

    /// Takes a whole sample: every session of every service. `line_of` names the line of a user; sessions of others are
    /// not ours to count.
    pub fn sample(
        &mut self,
        at: SampledAt,
        seen: &[SeenSession],
        line_of: impl Fn(Service, &str) -> Option<String>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        // Told after whatever ended: of a customer who dialled in again, the last news is that he is online.
        let mut begun = Outcome::default();
        let mut unseen = std::mem::take(&mut self.sessions);
        for session in seen {
            let key = (session.service, session.number.clone());
            let mut kinship = self.kinship_of_unknown(session, at);
            let known = match unseen.remove(&key) {
                Some(open) => {
                    kinship = open.kinship(session, at, || line_of(session.service, &session.user));
                    match kinship {
                        Kinship::Same => Some(open),
                        Kinship::Another | Kinship::Unsure => {
                            self.end(key.clone(), open, at, &mut outcome);
                            None
                        }
                        Kinship::Unknown => {
                            self.sessions.insert(key, open);
                            continue;
                        }
                    }
                }
                None if self.has_ended(&key, session, at) => continue,
                None => None,
            };
            let tracked = match known {
                Some(mut known) => {
                    if known.take(session, at) {
                        outcome.usage.push(known.usage(at.time, false));
                    }
                    known
                }
                None => {
                    let Some(line) = line_of(session.service, &session.user) else { continue };
                    let new = self.begin(line, session, at, kinship);
                    begun.usage.push(new.usage(at.time, false));
                    begun.events.push((EventKind::LineOnline, new.line.clone(), new.address.clone()));
                    new
                }
            };
            self.sessions.insert(key, tracked);
        }
        for (key, gone) in unseen {
            self.end(key, gone, at, &mut outcome);
        }
        self.first_look.get_or_insert(at.elapsed);
        outcome.usage.extend(begun.usage);
        outcome.events.extend(begun.events);
        outcome
    }

    /// Takes the router's last word on a session: its total becomes exact, and it is over. A word that fits no session
    /// of that user, or that is below what was counted, changes nothing.
    pub fn log_out(&mut self, at: SampledAt, word: &LogOut) -> Outcome {
        let mut outcome = Outcome::default();
        // Time decides whose word it is, and the bytes only whether it is believed: otherwise the word on a session that
        // was never sampled would find some older one that it happens to fit.
        let is_of = |key: &(Service, String), tracked: &Tracked, until: SampledAt| {
            key.0 == Service::Pppoe
                && tracked.user == word.user
                && !(tracked.has_last_word || tracked.is_partial)
                && tracked.may_have_lasted(word.lasted, until)
        };
        let open = self.sessions.iter().find(|(key, tracked)| is_of(key, tracked, at));
        if let Some(key) = open.map(|(key, _)| key.clone()) {
            if let Some(mut tracked) = self.sessions.remove(&key) {
                if tracked.take_last_word(word) {
                    tracked.last_seen.time = at.time;
                    self.end(key, tracked, at, &mut outcome);
                } else {
                    self.sessions.insert(key, tracked);
                }
            }
            return outcome;
        }
        let mut ended =
            self.ended.iter_mut().rev().take_while(|(_, _, ended_at)| {
                at.elapsed.saturating_sub(ended_at.elapsed) < LAST_WORD_WITHIN
            });
        if let Some((_, tracked, ended_at)) =
            ended.find(|(key, tracked, ended_at)| is_of(key, tracked, *ended_at))
        {
            let before = tracked.total;
            if tracked.take_last_word(word) && tracked.total != before {
                outcome.usage.push(tracked.usage(ended_at.time, true));
            }
        }
        outcome
    }

    /// What a session is under whose number none was open.
    fn kinship_of_unknown(&self, session: &SeenSession, at: SampledAt) -> Kinship {
        let began_under_our_eyes = match self.first_look {
            None => session.uptime.saturating_add(UPTIME_SLACK) < at.elapsed,
            // It was not there at the first look, unless its user had no line or its menu was hidden.
            Some(look) => session.uptime <= at.elapsed.saturating_sub(look).saturating_add(UPTIME_SLACK),
        };
        if began_under_our_eyes || !self.are_running_doubted { Kinship::Another } else { Kinship::Unsure }
    }

    /// Whether this is what is left of a session that has ended already.
    fn has_ended(&self, key: &(Service, String), session: &SeenSession, at: SampledAt) -> bool {
        let mut ended = self.ended.iter().rev().filter(|(known, ..)| known == key);
        ended.next().is_some_and(|(_, tracked, ended_at)| {
            at.elapsed.saturating_sub(ended_at.elapsed) < ROW_LINGERS
                && tracked.kinship(session, at, || None) == Kinship::Same
        })
    }

    fn end(&mut self, key: (Service, String), tracked: Tracked, at: SampledAt, outcome: &mut Outcome) {
        outcome.usage.push(tracked.usage(tracked.last_seen.time.min(at.time), true));
        outcome.events.push((EventKind::LineOffline, tracked.line.clone(), tracked.address.clone()));
        if self.ended.len() >= ENDED_REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((key, tracked, at));
    }

    fn begin(&self, line: String, session: &SeenSession, at: SampledAt, kinship: Kinship) -> Tracked {
        let started_at = at.time.minus(session.uptime);
        let bytes = session.bytes.unwrap_or_default();
        let is_partial = kinship == Kinship::Unsure;
        let mark = if is_partial { PARTIAL.to_string() } else { String::new() };
        let (router, service, number) = (&self.router, session.service.as_str(), &session.number);
        let key = |second: i64| format!("{router}/{service}/{number}/{second}{mark}");
        // A number that begins twice in one second would take over the totals of the session before it.
        // A part is named after when it began to be counted: another part of its session may have been told of.
        let begins = if is_partial { at.time } else { started_at };
        let mut second = begins.0.div_euclid(1_000);
        while self.ended.iter().any(|(_, ended, _)| ended.session == key(second)) {
            second = second.saturating_add(1);
        }
        Tracked {
            line,
            user: session.user.clone(),
            session: key(second),
            started_at,
            address: session.address.clone(),
            // A part is counted from its first reading on, which this sample may lack.
            counters: if is_partial { session.bytes } else { Some(bytes) },
            total: if is_partial { UpDown::both(0) } else { bytes },
            last_seen: at,
            uptime: session.uptime,
            is_resumed: false,
            has_last_word: false,
            is_partial,
        }
    }

    /// `router/service/number/second` read back, with or without [`PARTIAL`].
    fn key_of(&self, session: &str) -> Option<(Service, String)> {
        let rest = session.strip_prefix(&self.router)?.strip_prefix('/')?;
        let (service, rest) = rest.split_once('/')?;
        let (number, _) = rest.rsplit_once('/')?;
        Some((Service::parse(service)?, number.to_owned()))
    }
}

impl Tracked {
    /// What is seen under the number of this session; `line` looks up whose its user is now.
    fn kinship(
        &self,
        session: &SeenSession,
        at: SampledAt,
        line: impl FnOnce() -> Option<String>,
    ) -> Kinship {
        if !self.is_resumed {
            return if self.is_continued_by(session, at) { Kinship::Same } else { Kinship::Another };
        }
        // Uptimes and the monotonic clock have no date that could be wrong: this one began after the agent did.
        if session.uptime.saturating_add(RESUME_SLACK) < at.elapsed {
            return Kinship::Another;
        }
        let started_at = at.time.minus(session.uptime);
        if started_at.since(self.started_at).max(self.started_at.since(started_at)) <= RESUME_SLACK {
            return Kinship::Same;
        }
        match session.bytes {
            None => Kinship::Unknown,
            Some(bytes)
                if line().is_some_and(|line| line == self.line)
                    && bytes.upload >= self.total.upload
                    && bytes.download >= self.total.download =>
            {
                Kinship::Same
            }
            Some(_) => Kinship::Unsure,
        }
    }

    /// Whether this sample goes on from the last one of this run.
    fn is_continued_by(&self, session: &SeenSession, at: SampledAt) -> bool {
        let expected = self.uptime.saturating_add(at.elapsed.saturating_sub(self.last_seen.elapsed));
        session.uptime.saturating_add(UPTIME_SLACK) >= expected
    }

    /// Takes new counters; says whether there is anything to tell.
    fn take(&mut self, session: &SeenSession, at: SampledAt) -> bool {
        let before = (self.total, self.address.clone());
        self.last_seen = at;
        self.uptime = session.uptime;
        self.is_resumed = false;
        self.user.clone_from(&session.user);
        if !session.address.is_empty() {
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
                    upload: self.total.upload.max(now.upload),
                    download: self.total.download.max(now.download),
                },
            };
            self.counters = Some(now);
        }
        before != (self.total, self.address.clone())
    }

    /// Takes the router's total, unless it is below what was counted: then one of the two is about something else.
    fn take_last_word(&mut self, word: &LogOut) -> bool {
        let is_believed =
            word.bytes.upload >= self.total.upload && word.bytes.download >= self.total.download;
        if is_believed {
            self.total = word.bytes;
            self.has_last_word = true;
        }
        is_believed
    }

    /// Whether it may have ended at this age: between when it was last seen and `until`.
    fn may_have_lasted(&self, lasted: Duration, until: SampledAt) -> bool {
        let unseen = until.elapsed.saturating_sub(self.last_seen.elapsed);
        lasted.saturating_add(UPTIME_SLACK) >= self.uptime
            && lasted <= self.uptime.saturating_add(unseen).saturating_add(UPTIME_SLACK)
    }

    fn usage(&self, sampled_at: UnixMillis, is_ended: bool) -> SessionUsageV1 {
        SessionUsageV1 {
            line: self.line.clone(),
            session: self.session.clone(),
            started_at_ms: self.started_at.0,
            sampled_at_ms: sampled_at.0,
            upload_bytes: self.total.upload,
            download_bytes: self.total.download,
            is_ended,
            address: self.address.clone(),
            period_started_ms: 0,
        }
    }
}

/// A counter that shrank was reset, and all that it shows is new.
fn grown(total: u64, last: u64, now: u64) -> u64 {
    total.saturating_add(now.checked_sub(last).unwrap_or(now))
}

#[cfg(test)]
mod tests;
