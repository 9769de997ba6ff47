//! From samples of counters to totals of sessions.
//!
//! ```text
//! unseen ──seen──> open ──counters grow or start anew──> open ──not seen, another in its place, logged out──> ended
//!                    └──its line or period changes──> the part so far ended, the next part open
//! ```
//!
//! Pure. Totals are absolute, so that a lost message is healed by the next and a doubled one changes nothing. A session
//! is known by the router's own number for it and by when it began; a number that begins again with a smaller uptime is
//! another session. Counters that shrink within a session were reset by somebody, and what they show is added. Across a
//! restart of the agent the clock may have moved, so that it can say that a session is the same and never that it is
//! another; the router's last word on one that ended meanwhile is found in its log (`tracker/log.rs`). Where what was told before is not known, because the store is new or lost, sessions that run already are
//! counted from their first reading on: head office may have been told of the bytes before it, under a key that nobody
//! remembers. So is the queue of a line where nobody logs in, which may be older than the line, unless a look before did not
//! show it. So is a session that may have run when its line was not here (`tracker/newcomers.rs`). A session that no sample can have shown is counted by its last word alone (`tracker/unseen.rs`). Where in doubt it counts
//! too little: a total never exceeds what was moved. One session is `session.rs`, reading the counters `join.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use routeros_api::value::UpDown;
use tawi_shared::UnixMillis;
use tawi_shared::wire::{EventKind, Service};

use super::counted::Counted;
use super::logout::{LineDigest, LogOut};
use super::session::{Kinship, PARTIAL, Tracked, UPTIME_SLACK, is_standing};
use newcomers::Newcomer;
use totals::Totals;
use unseen::Said;

/// How long the router's last word on a session may come after the news that it is gone.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(60);

/// A line where nobody logs in counts as offline after so long without traffic, unless somebody says otherwise.
const IDLE: Duration = Duration::from_secs(300);

/// How long the row of a session may linger behind that word, or behind a sample that missed it.
const ROW_LINGERS: Duration = Duration::from_secs(5);

/// Ended sessions that are remembered; a town's worth. Beyond it the oldest keep their last sampled totals.
const ENDED_REMEMBERED: usize = 1_024;

/// A session as one sample shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenSession {
    /// Whose menu it was in.
    pub service: Service,
    /// The router's number for it: the session id of PPP, the row id of a hotspot login or of a queue.
    pub number: String,
    /// Who logged in; the line of a queue, by its mark.
    pub user: String,
    /// The client's address; empty when unknown.
    pub address: String,
    /// Since when; where nobody logs in, since when the router runs. Zero where that is not known.
    pub uptime: Duration,
    /// Its counters, where this sample has them.
    pub bytes: Option<UpDown<u64>>,
    /// From the first request of the sample until the print that shows it was answered whole: its uptime is of a moment
    /// between the two.
    pub took: Duration,
    /// Where nobody logs in: whether its queue was not there at the look before, so that all that it counts is its line's.
    pub is_new: bool,
}

/// When a sample was taken.
#[derive(Clone, Copy, Debug)]
pub struct SampledAt {
    /// When it was answered, by the trusted clock; for people.
    pub time: UnixMillis,
    /// When it was asked for, by the monotonic clock.
    pub asked: Duration,
    /// When all of it was answered, by the monotonic clock. What tells sessions apart is between the two.
    pub elapsed: Duration,
}

impl SampledAt {
    /// Something that takes no time.
    #[must_use]
    pub fn moment(time: UnixMillis, elapsed: Duration) -> Self {
        Self { time, asked: elapsed, elapsed }
    }

    /// When a row of this sample was printed, as far as that is known.
    fn of_row(self, session: &SeenSession) -> Self {
        let elapsed = self.asked.saturating_add(session.took).min(self.elapsed);
        Self { time: self.time.minus(self.elapsed.saturating_sub(elapsed)), elapsed, ..self }
    }
}

/// What a sample brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Sessions whose totals moved, that are new, or that ended.
    pub usage: Vec<Counted>,
    /// Lines that came online or went offline, with the address.
    pub events: Vec<(EventKind, String, String)>,
}

/// Whose bytes a session's are: the line, and the running period of its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// Line id.
    pub line: &'a str,
    /// When the period began, in milliseconds since 1970; 0 for a line without a running quota.
    pub period_ms: i64,
}

/// What a session is to those that have ended.
enum Found {
    /// None of them.
    New,
    /// The row of one of them, which is about to go.
    Left,
    /// One of them that did not end: a sample had missed it, or the word on another had been taken for its own.
    Again(Box<Tracked>),
}

/// A session that ended, under what number, and when that was seen.
type Ended = ((Service, String), Box<Tracked>, SampledAt);

/// All open sessions of one router.
#[derive(Clone, Debug)]
pub struct Tracker {
    router: String,
    /// In boxes: a map's nodes stay half empty when they are filled in order.
    sessions: BTreeMap<(Service, String), Box<Tracked>>,
    /// Oldest first, with the moment of their end.
    ended: VecDeque<Ended>,
    /// Whether sessions that run already may have been told of without our knowing.
    are_running_doubted: bool,
    /// When the first sample was asked for, by the monotonic clock.
    first_look: Option<Duration>,
    /// What was found to be over before the first sample, and is told with it.
    over: Vec<Counted>,
    /// See [`IDLE`].
    idle: Duration,
    /// Up to where the log of each service was heard.
    heard: BTreeMap<Service, LineDigest>,
    /// The last two samples, the newer one last.
    looks: (Option<SampledAt>, Option<SampledAt>),
    /// Words that were heard in this run, and those that a whole print of the log held.
    said: Said,
    printed: Said,
    /// What is expected of the totals of a hotspot's users.
    totals: Totals,
    /// Lines that came in this run.
    newcomers: BTreeMap<String, Newcomer>,
    /// Lines that are yet to come, whose rows were made.
    made: BTreeSet<String>,
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
            over: Vec::new(),
            idle: IDLE,
            heard: BTreeMap::new(),
            looks: (None, None),
            said: Said::default(),
            printed: Said::default(),
            totals: Totals::default(),
            newcomers: BTreeMap::new(),
            made: BTreeSet::new(),
        }
    }

    /// After how long without traffic a line where nobody logs in counts as offline.
    pub fn idle_after(&mut self, idle: Duration) {
        self.idle = idle;
    }

    /// What an earlier agent told of sessions is not known, or not of all: those that run already and are not resumed
    /// are counted from their first reading on. At a site that is new indeed this leaves out what its sessions had
    /// moved before the agent came.
    pub fn doubt_running(&mut self) {
        self.are_running_doubted = true;
    }

    /// Goes on with sessions that were open when the agent stopped. Those of other routers, and keys that this release
    /// does not make, are left aside.
    pub fn resume(&mut self, open: &[Counted]) {
        for found in open.iter().filter(|found| !found.total.is_ended) {
            let tracked = Box::new(Tracked::resumed(found));
            let Some(key) = self.key_of(&tracked.name) else { continue };
            // An agent whose store did not open at its start left the session of before open under its own name, beside
            // what it counted itself. Which of them is running nobody knows, as the clock may have moved between them:
            // one goes on, a part where there is one, and counts from its first reading on.
            let rank = |tracked: &Tracked| (tracked.is_partial, tracked.part, tracked.last_seen.time);
            let (mut goes_on, is_over) = match self.sessions.remove(&key) {
                Some(other) if rank(&other) > rank(&tracked) => (other, Some(tracked)),
                other => (tracked, other),
            };
            let mut over: Vec<Box<Tracked>> = is_over.into_iter().collect();
            if let Some(other) = over.iter().find(|other| other.name != goes_on.name) {
                // Whichever it is, it is older than the younger of the two was.
                let uptime = goes_on.uptime.min(other.uptime);
                if let Some(rest) = goes_on.rest() {
                    over.push(std::mem::replace(&mut goes_on, Box::new(rest)));
                }
                goes_on.doubt(uptime);
            }
            for mut over in over {
                // Nor does any word belong to the one or the other.
                over.has_last_word = true;
                let (at, mut outcome) = (over.last_seen, Outcome::default());
                self.end(key.clone(), over, at, &mut outcome);
                self.over.append(&mut outcome.usage);
            }
            self.sessions.insert(key, goes_on);
        }
        self.expect_again();
    }

    /// The services of open sessions: a sample must show them to end them.
    pub fn services(&self) -> impl Iterator<Item = Service> {
        self.sessions.keys().map(|(service, _)| *service)
    }

    /// Takes a whole sample: every session of every service. `owner_of` names the line of a user and its running period;
    /// sessions of others are not ours to count.
    pub fn sample<'a>(
        &mut self,
        at: SampledAt,
        seen: &[SeenSession],
        owner_of: impl Fn(Service, &str) -> Option<Owner<'a>>,
    ) -> Outcome {
        let mut outcome = Outcome { usage: std::mem::take(&mut self.over), events: Vec::new() };
        let whole = at;
        // Told after whatever ended: of a customer who dialled in again, the last news is that he is online.
        let mut begun = Outcome::default();
        let mut unseen = std::mem::take(&mut self.sessions);
        for session in seen {
            let at = whole.of_row(session);
            let key = (session.service, session.number.clone());
            let owner = owner_of(session.service, &session.user);
            let mut kinship = self.kinship_of_unknown(session, at);
            let known = match unseen.remove(&key) {
                Some(open) => {
                    kinship = open.kinship(session, at, || owner.map(|owner| owner.line));
                    match kinship {
                        Kinship::Same => Some(open),
                        Kinship::Another | Kinship::Unsure => {
                            self.end(key.clone(), open, whole, &mut outcome);
                            None
                        }
                        Kinship::Unknown => {
                            self.sessions.insert(key, open);
                            continue;
                        }
                    }
                }
                None => match self.found_again(&key, session, at) {
                    Found::Left => continue,
                    Found::Again(tracked) => {
                        if !is_standing(session.service) {
                            let (line, address) = (tracked.line.clone(), tracked.address.clone());
                            begun.events.push((EventKind::LineOnline, line, address));
                        }
                        Some(tracked)
                    }
                    Found::New => None,
                },
            };
            let tracked = match known {
                Some(mut known) => {
                    if session.service == Service::Hotspot {
                        self.totals.note(&session.user, known.growth_to(session), false);
                    }
                    go_on(&mut known, session, at, owner, self.idle, &mut outcome);
                    known
                }
                None => {
                    let Some(owner) = owner else { continue };
                    if self.may_be_older_than_line(session, at, owner.line) {
                        kinship = Kinship::Unsure;
                    }
                    if session.service == Service::Hotspot {
                        self.totals.note(&session.user, session.bytes.unwrap_or_default(), true);
                    }
                    let mut new = Box::new(self.begin(owner, session, at, kinship));
                    begun.usage.push(new.counted(at.time, false));
                    if !is_standing(session.service) || new.moved_at.is_some() {
                        begun.events.push((EventKind::LineOnline, new.line.clone(), new.address.clone()));
                    }
                    new
                }
            };
            self.sessions.insert(key, tracked);
        }
        for (key, gone) in unseen {
            self.end(key, gone, at, &mut outcome);
        }
        self.first_look.get_or_insert(at.asked);
        self.note_look(whole);
        self.looks = (self.looks.1, Some(whole));
        outcome.usage.extend(begun.usage);
        outcome.events.extend(begun.events);
        // In one record with the end of the other: the next start must find the doubt, or neither.
        for tracked in self.sessions.values_mut().filter(|tracked| tracked.is_told_wrongly) {
            outcome.usage.push(tracked.counted(tracked.last_seen.time, false));
        }
        self.mark(whole, &mut outcome);
        self.mark_expected(&mut outcome);
        outcome
    }

    /// Takes the router's last word on a session: its total becomes exact, and it is over. One that no sample can have
    /// shown is counted by it, for `owner`. A word that fits no session of that user, or that is below what was counted,
    /// changes nothing.
    pub fn log_out(
        &mut self,
        at: SampledAt,
        service: Service,
        word: &LogOut,
        owner: Option<Owner<'_>>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        if !self.said.note(service, word) {
            self.mark_others_of(service, &word.user, &mut outcome);
            return outcome;
        }
        if owner.is_some_and(|owner| self.may_be_of_before(at, word, owner.line)) {
            self.mark_others_of(service, &word.user, &mut outcome);
            return outcome;
        }
        // Time decides whose word it is, and the bytes only whether it is believed: otherwise the word on a session that
        // was never sampled would find some older one that it happens to fit. Where it may be about more than one, or
        // was said before, it is left.
        let is_of = |key: &(Service, String), tracked: &Tracked, until: SampledAt| {
            let is_user = !tracked.user.is_empty() && tracked.user == word.user;
            key.0 == service && is_user && tracked.may_have_lasted(word.lasted, until)
        };
        let was_said = |(key, tracked, until): &Ended| {
            tracked.has_last_word && tracked.whole() == word.bytes && is_of(key, tracked, *until)
        };
        if self.ended.iter().any(was_said) {
            self.mark_others_of(service, &word.user, &mut outcome);
            return outcome;
        }
        let mut open = self.sessions.iter().filter(|(key, tracked)| is_of(key, tracked, at));
        let mut ended = self
            .ended
            .iter()
            .enumerate()
            .filter(|(_, (key, tracked, until))| !tracked.has_last_word && is_of(key, tracked, *until));
        match (open.next(), ended.next(), open.next(), ended.next()) {
            (Some((key, _)), None, None, _) => {
                let key = key.clone();
                self.end_by_word(key, word, at, &mut outcome);
            }
            (None, Some((index, _)), _, None) => {
                let Some((_, tracked, ended_at)) = self.ended.get_mut(index) else { return outcome };
                let is_soon = at.elapsed.saturating_sub(ended_at.elapsed) < LAST_WORD_WITHIN;
                let before = tracked.total;
                if is_soon && tracked.take_last_word(word) && tracked.total != before {
                    outcome.usage.push(tracked.counted(ended_at.time, true));
                }
            }
            (None, None, ..) => {
                if let Some(owner) = owner.filter(|owner| self.is_unseen(at, service, word, owner.line)) {
                    self.count_unseen(at, service, word, owner, &mut outcome);
                }
            }
            _ => {}
        }
        self.mark_others_of(service, &word.user, &mut outcome);
        outcome
    }

    /// What a session is under whose number none was open.
    fn kinship_of_unknown(&self, session: &SeenSession, at: SampledAt) -> Kinship {
        let began_under_our_eyes = match self.first_look {
            // A queue does not tell since when it counts, and may have been somebody's before it was this line's.
            _ if is_standing(session.service) && session.is_new => return Kinship::Another,
            _ if is_standing(session.service) => return Kinship::Unsure,
            None => session.uptime.saturating_add(UPTIME_SLACK) < at.asked,
            // It was not there at the first look, unless its user had no line or its menu was hidden.
            Some(look) => session.uptime <= at.elapsed.saturating_sub(look).saturating_add(UPTIME_SLACK),
        };
        if began_under_our_eyes || !self.are_running_doubted { Kinship::Another } else { Kinship::Unsure }
    }

    /// Takes out a session that had seemed to end, and is there again or still. What is left behind the router's last
    /// word is `Left`.
    fn found_again(&mut self, key: &(Service, String), session: &SeenSession, at: SampledAt) -> Found {
        let newest = self.ended.iter().rposition(|(known, ..)| known == key);
        let Some((index, (_, tracked, ended_at))) =
            newest.and_then(|index| Some((index, self.ended.get(index)?)))
        else {
            return Found::New;
        };
        if tracked.kinship(session, at, || None) != Kinship::Same {
            return Found::New;
        }
        if at.asked.saturating_sub(ended_at.elapsed) < ROW_LINGERS {
            return Found::Left;
        }
        self.ended.remove(index).map_or(Found::New, |(_, mut tracked, _)| {
            if key.0 == Service::Hotspot && tracked.has_last_word {
                // Its user's total was about it as well: only what exceeds that is known to be new.
                tracked.counters = None;
            }
            tracked.has_last_word = false;
            Found::Again(tracked)
        })
    }

    fn end(
        &mut self,
        key: (Service, String),
        mut tracked: Box<Tracked>,
        at: SampledAt,
        outcome: &mut Outcome,
    ) {
        if key.0 == Service::Hotspot {
            self.totals.want(&tracked.user);
        }
        outcome.usage.push(tracked.counted(tracked.last_seen.time.min(at.time), true));
        if !is_standing(key.0) || tracked.moved_at.is_some() {
            outcome.events.push((EventKind::LineOffline, tracked.line.clone(), tracked.address.clone()));
        }
        if self.ended.len() >= ENDED_REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((key, tracked, at));
    }

    fn begin(&self, owner: Owner<'_>, session: &SeenSession, at: SampledAt, kinship: Kinship) -> Tracked {
        // Where nobody logs in, the uptime is the router's.
        let age = if is_standing(session.service) { Duration::ZERO } else { session.uptime };
        let started_at = at.time.minus(age);
        let bytes = session.bytes.unwrap_or_default();
        let is_partial = kinship == Kinship::Unsure;
        let mark = if is_partial { PARTIAL.to_string() } else { String::new() };
        let (router, service, number) = (&self.router, session.service.as_str(), &session.number);
        let name_of = |second: i64| format!("{router}/{service}/{number}/{second}{mark}");
        // A number that begins twice in one second would take over the totals of the session before it.
        // A part is named after when it began to be counted: another part of its session may have been told of.
        let begins = if is_partial { at.time } else { started_at };
        let mut second = begins.0.div_euclid(1_000);
        let mut name = name_of(second);
        while self.ended.iter().any(|(_, ended, _)| ended.name == name) {
            second = second.saturating_add(1);
            name = name_of(second);
        }
        let total = if is_partial { UpDown::both(0) } else { bytes };
        Tracked {
            line: owner.line.to_owned(),
            period_ms: owner.period_ms,
            user: session.user.clone(),
            name,
            part: 0,
            before: UpDown::both(0),
            started_at,
            address: session.address.clone(),
            // A part is counted from its first reading on, which this sample may lack.
            counters: if is_partial { session.bytes } else { Some(bytes) },
            total,
            told: UpDown::both(0),
            last_seen: at,
            uptime: session.uptime,
            is_resumed: false,
            is_told_wrongly: false,
            has_last_word: false,
            is_partial,
            heard: None,
            expected: None,
            expected_of: None,
            moved_at: (total != UpDown::both(0)).then_some(at.elapsed),
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

/// Takes what a sample shows of a session that it still shows.
fn go_on(
    known: &mut Tracked,
    session: &SeenSession,
    at: SampledAt,
    owner: Option<Owner<'_>>,
    idle: Duration,
    outcome: &mut Outcome,
) {
    let was_resumed = known.is_resumed;
    let was_seen = known.last_seen.time;
    let had = known.total;
    let has_news = known.take(session, at);
    let has_moved = known.total != had;
    if is_standing(session.service) {
        if was_resumed && at.time.since(was_seen) < idle {
            // It was told to be online, or else is about to be.
            known.moved_at = Some(at.elapsed);
        }
        let event = match known.moved_at {
            None if has_moved => Some(EventKind::LineOnline),
            Some(last) if !has_moved && at.elapsed.saturating_sub(last) >= idle => {
                Some(EventKind::LineOffline)
            }
            _ => None,
        };
        if let Some(kind) = event {
            outcome.events.push((kind, known.line.clone(), known.address.clone()));
        }
        known.moved_at = match event {
            Some(EventKind::LineOffline) => None,
            _ if has_moved => Some(at.elapsed),
            _ => known.moved_at,
        };
    }
    // Without a reading, what was moved so far could not be kept apart from what comes.
    match owner.filter(|owner| session.bytes.is_some() && !known.is_of(*owner)) {
        Some(owner) => {
            outcome.usage.push(known.counted(at.time, true));
            known.begin_part(owner);
            outcome.usage.push(known.counted(at.time, false));
        }
        None if has_news => outcome.usage.push(known.counted(at.time, false)),
        None => {}
    }
}

mod log;
mod newcomers;
#[cfg(test)]
mod tests;
mod totals;
mod unseen;
