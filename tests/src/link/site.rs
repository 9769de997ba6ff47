//! A site of the simulation: the heart of an agent on a disk in memory, its router played, and what is true of it.

use std::collections::{BTreeMap, VecDeque};
use std::mem::take;
use std::time::Duration;

use tawi_agent::api_log::Write;
use tawi_agent::flow::{Done, Event, Report};
use tawi_agent::health::Status;
use tawi_agent::outbox::{Disk, Outbox};
use tawi_agent::reconcile::orders::Answer;
use tawi_agent::usage::counted::{Counted, Mark};
use tawi_controller::mqtt::by_hand::Word;
use tawi_controller::mqtt::by_turns::Spoken;
use tawi_shared::topics::Up;
use tawi_shared::wire::{ByeV1, EventKind, SessionUsageV1, encode};
use tawi_shared::{Clock, IdSource, SiteId};

use super::BEGIN;
use super::store::Watched;
use super::template::Planned;
use crate::carried::{Heart, Life, ROUTER};

/// How long a line may be silent before the agent's end of MQTT finds out: a try each 240 s, and the next one finds the first
/// without an answer. The socket that does so at a site is not here.
const SILENT_AT_MOST: Duration = Duration::from_secs(480);
/// Of how many lines that broke one leaves words on their way.
const LATE_ONE_IN: u64 = 2;

/// A session of a line, as its router counts it.
#[derive(Clone, Debug)]
pub struct Session {
    /// Which line.
    pub line: String,
    /// Its name; the site's own stands in it, so that nobody else's can be taken for it.
    pub key: String,
    /// Bytes that were moved.
    pub moved: u64,
    /// The most of them that the agent was told.
    pub told: u64,
    /// And that are on its disk in any case.
    pub kept: u64,
    /// Whether it is over.
    pub is_ended: bool,
    started_at_ms: i64,
}

/// A site.
pub struct SimSite {
    /// Which, and its lines.
    pub planned: Planned,
    /// Its machine's clock.
    pub clock: Clock,
    /// Its disk, which outlives agents.
    pub disk: Disk,
    /// The agent, while it has power.
    pub heart: Option<Heart>,
    /// What it said and what it is to hear, while there is a line.
    pub up: VecDeque<Spoken>,
    /// See `up`.
    pub down: VecDeque<Word>,
    /// What was said on connections before, and may come yet: behind what is said on this one.
    pub late: VecDeque<Spoken>,
    /// Whether words may come so late.
    pub may_be_late: bool,
    /// The number of the connection, and whether head office has heard its hello.
    pub connection: (u64, bool),
    /// Last words that the broker says when it finds out.
    pub wills: Vec<Spoken>,
    /// The line carries nothing, and neither end knows.
    pub is_stuck: bool,
    /// For how long.
    pub silent: Duration,
    /// Whether the agent has a connection.
    pub is_up: bool,
    /// What its router moved.
    pub sessions: Vec<Session>,
    /// How often each command was carried out.
    pub carried_out: BTreeMap<String, u32>,
    /// What was carried out and is to be reported.
    pub to_report: Vec<(String, Done)>,
    /// The newest generation that its router is at.
    pub settled: u64,
    /// Whether its disk lost what it had promised to keep.
    pub was_robbed: bool,
    /// Whether single records were lost that way, among them perhaps what was begun.
    pub may_repeat: bool,
    /// Whether what it has stored may have gone back: its disk lost what it promised or tore a record, or an agent began
    /// without its disk, and said that nothing of it is known. Until head office has heard so.
    pub may_go_back: bool,
    /// What its store was seen to do.
    pub watched: Watched,
    /// What happened of itself since somebody asked.
    pub happened: Vec<&'static str>,
    ids: IdSource,
    /// Cuts of its disk that were seen, and torn records.
    cuts_seen: u64,
    torn_seen: u64,
    sessions_begun: u64,
    writes_begun: u64,
}

impl SimSite {
    /// Before its first agent.
    #[must_use]
    pub fn new(planned: Planned, seed: u64) -> Self {
        Self {
            planned,
            clock: Clock::manual(BEGIN),
            disk: Disk::new(seed),
            heart: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            late: VecDeque::new(),
            may_be_late: false,
            connection: (0, false),
            wills: Vec::new(),
            is_stuck: false,
            silent: Duration::ZERO,
            is_up: false,
            sessions: Vec::new(),
            carried_out: BTreeMap::new(),
            to_report: Vec::new(),
            settled: 0,
            was_robbed: false,
            may_repeat: false,
            may_go_back: false,
            watched: Watched::default(),
            happened: Vec::new(),
            ids: IdSource::seeded(seed),
            cuts_seen: 0,
            torn_seen: 0,
            sessions_begun: 0,
            writes_begun: 0,
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &SiteId {
        &self.planned.site
    }

    /// The power is there: an agent begins with what is on the disk.
    pub async fn start(&mut self) {
        let life = Life {
            site: self.id().clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            hourly_bytes: 0,
        };
        let work = self.disk.work();
        let was_torn = work.torn != self.torn_seen;
        (self.cuts_seen, self.torn_seen) = (work.cuts, work.torn);
        let (outbox, opening) = Outbox::inline(&self.disk, self.ids.clone(), self.clock.clone());
        if was_torn {
            self.happened.push("a record is torn");
        }
        // A record that was damaged is found and passed over.
        self.may_go_back |= was_torn || std::mem::take(&mut self.was_robbed);
        self.watched.begin(&opening, self.may_go_back, &mut self.happened);
        self.heart = Some(Heart::start(&life, outbox, &opening));
        // Its router says again how it stands, and what was carried out and not reported is forgotten with the agent.
        self.settled = 0;
        self.to_report.clear();
        // A total that grows is not made safe each time: the router tells of it again.
        for session in self.sessions.iter_mut().filter(|session| was_torn || !session.is_ended) {
            session.kept = 0;
        }
        if let Some(heart) = &self.heart {
            let (router, release) = (ROUTER.to_owned(), Some("7.16".to_owned()));
            heart.report(Report::RouterStatus { router, is_reachable: true, release }).await;
        }
        if !self.beat().await {
            self.may_go_back |= !self.is_store_well().await;
        }
    }

    /// The power goes: whatever the agent had in its hands is gone, and so is its line.
    pub async fn lose_power(&mut self) {
        if let Some(heart) = self.heart.take() {
            self.watched.look(&heart, &self.disk, &mut self.happened).await;
            heart.kill().await;
        }
        self.lose_line();
        // Of two runs of an agent nobody can tell which hello was the first.
        let hello = Up::Hello.topic(self.id());
        self.late.retain(|word| word.topic != hello);
    }

    /// What was on its way is gone, or comes late; the broker finds out some time.
    fn lose_line(&mut self) {
        let is_late = self.may_be_late && !self.is_stuck && self.ids.number().is_multiple_of(LATE_ONE_IN);
        if is_late {
            self.late.append(&mut self.up);
        }
        self.up.clear();
        self.down.clear();
        (self.is_up, self.is_stuck, self.silent) = (false, false, Duration::ZERO);
        self.connection.1 = false;
    }

    /// Time passes for whoever waits for an answer. A line that is silent for so long is given up: by the agent, which has told
    /// something and has no answer, or else where its end of MQTT is.
    pub async fn wait(&mut self, time: Duration) {
        self.silent = if self.is_stuck { self.silent + time } else { Duration::ZERO };
        self.beat().await;
        if self.silent >= SILENT_AT_MOST {
            self.happened.push("a line that was silent is found out by its socket");
            self.cut().await;
        }
    }

    /// The heart does whatever there is to do. Whether the power went meanwhile, and with it the agent.
    pub async fn beat(&mut self) -> bool {
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        let Some(heart) = &self.heart else { return true };
        let cuts = self.disk.work().cuts;
        if cuts != self.cuts_seen {
            self.cuts_seen = cuts;
            self.happened.push("the power goes at an action");
            // What it said since is said by nobody.
            self.lose_power().await;
            return true;
        }
        self.watched.look(heart, &self.disk, &mut self.happened).await;
        self.collect().await;
        false
    }

    /// What it said goes on its way.
    async fn collect(&mut self) {
        let site = self.id().clone();
        let Some(heart) = &mut self.heart else { return };
        let words = heart.said().into_iter();
        let spoken =
            words.map(|(topic, bytes, is_light)| Spoken { site: site.clone(), topic, bytes, is_light });
        self.up.extend(spoken);
        if heart.has_hung_up() {
            self.happened.push(match self.is_stuck {
                true => "a line that was silent is given up by the agent",
                false => "a line is given up by the agent",
            });
            heart.cut("the agent ended it").await;
            self.lose_line();
        }
    }

    /// A connection is made; the broker has its last word from the first moment on.
    pub async fn connect(&mut self) {
        let Some(heart) = &mut self.heart else { return };
        if self.is_up {
            return;
        }
        let Some(connection_epoch) = heart.connect().await else { return };
        (self.is_up, self.connection) = (true, (connection_epoch, false));
        if self.beat().await || !self.is_up {
            return;
        }
        if let Ok(bytes) = encode(&ByeV1 { connection_epoch }, 0, 0, 0) {
            let (site, topic) = (self.id().clone(), Up::Bye.topic(self.id()));
            self.wills.push(Spoken { site, topic, bytes, is_light: false });
        }
    }

    /// The line breaks, and the agent sees it.
    pub async fn cut(&mut self) {
        if let Some(heart) = &mut self.heart {
            heart.cut("the radio is down").await;
        }
        self.lose_line();
        self.beat().await;
    }

    /// The agent hears a word.
    pub async fn hear(&mut self, word: Word) {
        if let Some(heart) = &self.heart {
            heart.hear(&word.topic, word.bytes).await;
            self.beat().await;
        }
    }

    /// A line moves bytes, in the session that it has or in a new one; it may end with that.
    pub fn moves(&mut self, line: usize, bytes: u64, ends: bool) {
        let Some(line) = self.planned.lines.get(line).cloned() else { return };
        let now = self.now_ms();
        let running = self.sessions.iter_mut().rfind(|session| session.line == line && !session.is_ended);
        match running {
            Some(session) => {
                session.moved += bytes;
                session.is_ended = ends;
            }
            None => {
                self.sessions_begun += 1;
                let key = format!("{ROUTER}/{}/{}", self.id(), self.sessions_begun);
                self.sessions.push(Session {
                    line,
                    key,
                    moved: bytes,
                    told: 0,
                    kept: 0,
                    is_ended: ends,
                    started_at_ms: now,
                });
            }
        }
    }

    /// Every session is over, and its router says a last time what it moved.
    pub fn end_sessions(&mut self) {
        for session in self.sessions.iter_mut().filter(|session| !session.is_ended) {
            (session.is_ended, session.kept) = (true, 0);
        }
    }

    fn now_ms(&self) -> i64 {
        self.heart.as_ref().map_or(self.clock.now(), |heart| heart.time.now()).0
    }

    /// The router tells the agent of every session of which not all is on its disk.
    pub async fn sample(&mut self) {
        let now = self.now_ms();
        let Some(heart) = &self.heart else { return };
        let due: Vec<_> =
            self.sessions.iter().filter(|session| session.kept < session.moved).cloned().collect();
        if due.is_empty() {
            return;
        }
        for session in due.iter().filter(|session| session.told == 0) {
            let event = Event {
                at: tawi_shared::UnixMillis(session.started_at_ms),
                kind: EventKind::LineOnline,
                line: Some(session.line.clone()),
                router: Some(ROUTER.to_owned()),
                detail: session.key.clone(),
            };
            heart.report(Report::Event(event)).await;
        }
        let counted = |session: &Session| Counted {
            total: SessionUsageV1 {
                line: session.line.clone(),
                session: session.key.clone(),
                started_at_ms: session.started_at_ms,
                sampled_at_ms: now,
                upload_bytes: 0,
                download_bytes: session.moved,
                is_ended: session.is_ended,
                address: String::new(),
                period_started_ms: 0,
            },
            mark: Mark::default(),
            grown_bytes: 0,
        };
        let sessions = due.iter().map(counted).collect();
        heart.report(Report::Usage { sessions, periods: BTreeMap::new() }).await;
        for session in self.sessions.iter_mut().filter(|session| session.kept < session.moved) {
            session.told = session.moved;
        }
        if self.beat().await {
            return;
        }
        // What flash does not take waits in memory, and is told again by the router.
        let status = self.status().await;
        if status.is_some_and(|status| status.store.is_well && status.outbox.in_memory == 0) {
            self.sessions.iter_mut().for_each(|session| session.kept = session.told);
        }
    }

    async fn status(&self) -> Option<Status> {
        match &self.heart {
            Some(heart) => heart.status().await,
            None => None,
        }
    }

    /// Whether its agent has its disk.
    pub async fn is_store_well(&self) -> bool {
        self.status().await.is_some_and(|status| status.store.is_well)
    }

    /// The router is brought to the newest state, and what it was ordered is carried out. Whether there was any of it.
    pub async fn reconcile(&mut self) -> bool {
        let Some(heart) = &self.heart else { return false };
        let generation = heart.state.borrow().generation;
        let (is_news, mut is_ordered) = (generation > self.settled, false);
        if is_news {
            self.settled = generation;
            if self.watched.bound.is_some() {
                self.writes_begun += 1;
                heart.log.note(write_of(self.writes_begun, heart.time.now().0));
            }
            let settled = Report::Settled { router: ROUTER.to_owned(), generation, failures: Vec::new() };
            heart.report(settled).await;
        }
        while let Some(order) = heart.orders.take() {
            is_ordered = true;
            if let Answer::HeadOffice(id) = order.answer {
                *self.carried_out.entry(id.clone()).or_default() += 1;
                self.to_report.push((id, Done::succeeded("done")));
            }
        }
        self.beat().await;
        is_news || is_ordered
    }

    /// What became of orders is reported; whether there were any.
    pub async fn report(&mut self) -> bool {
        let Some(heart) = &self.heart else { return false };
        let is_any = !self.to_report.is_empty();
        for (id, done) in take(&mut self.to_report) {
            heart.report(Report::Ordered { router: ROUTER.to_owned(), id, done }).await;
        }
        self.beat().await;
        is_any
    }
}

/// What is noted of a write to the router: as long as those of a plan are.
fn write_of(number: u64, at_ms: i64) -> Write {
    Write {
        at_ms,
        router: ROUTER.to_owned(),
        operation: "/ppp/secret/set".to_owned(),
        parameters: format!("comment=write {number} {}", "of a plan ".repeat(30)),
        line: None,
        name: None,
        status: "done".to_owned(),
        detail: String::new(),
    }
}
