//! The heart of the agent: takes what head office wants to flash and to the reconcilers, and what they saw to head
//! office.
//!
//! ```text
//! delta or snapshot ─> DesiredState::take_* ─> flash, synced ─> "stored" ─> watch ─> MQTT ack
//! Settled ─> applied        events, usage ─> outbox ─> window ─> link        cursor ─> forget
//! ```
//!
//! One task and no locks. Whatever waits at once is taken together, so that fifty payments in a second cost one sync of
//! flash. It refuses to say "stored" of what a power cut could take. It does not know MQTT (`link`), the engine
//! (`outbox`) or RouterOS (`reconcile`); pure parts are next door in `applied`, `chunks` and `link::window`.

mod answers;
pub mod applied;
pub mod cadence;
mod chunks;
mod clock;
mod hearing;
mod line;
mod log;
mod orders;
mod settings;
mod standing;
mod talk;
#[cfg(test)]
mod tests;
mod upgrade;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tawi_shared::wire::{EventKind, Lane, PROTOCOL_OLDEST, StoredV1};
use tawi_shared::{IdSource, SiteId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use crate::api_log::ApiLog;
use crate::clock::TrustedClock;
use crate::contact::Contact;
use crate::desired::DesiredState;
use crate::flow::{Event, Report, ReportReceiver, StateSender};
use crate::health::Status;
use crate::link::{ByteCounters, Delivery, FromLink};
use crate::outbox::{Keeper, Marks, Opening, Outbox, Overview, Reported, StoreHealth, TimeBase};
use crate::reconcile::found::FoundMemory;
use crate::reconcile::orders::Orders;
use crate::remote::Asked;
use crate::service;
use crate::tuning::Tuning;
use crate::usage::book::Quotas;
use applied::Progress;
use cadence::{Cadence, UsageDue};
use chunks::Chunks;
use clock::ClockWatch;
use line::Line;
use orders::Desk;
use talk::Talk;
use upgrade::Upgrade;
pub use upgrade::UpgradeTools;

/// What is taken in one go at most, of messages and of reports: more would let the other side wait.
const TAKEN_AT_ONCE: usize = 64;
/// How often overdue answers and the watchdog are looked after.
const TICK: Duration = Duration::from_secs(1);
/// How often the store's figures are read, and a store that fails is tried again.
const STORE_EVERY: Duration = Duration::from_secs(5);
/// How often the API log is put down: what a power cut may take of it.
const LOG_EVERY: Duration = Duration::from_secs(5);
/// How often old records and a bloated store are looked for.
const MAINTAIN_EVERY: Duration = Duration::from_secs(600);
/// Between two hellos of one connection, which ask for a missing or better state or tell of the routers; doubled each time
/// that the state which comes is no better.
const HELLO_AGAIN: Duration = Duration::from_secs(2);
/// The longest of these pauses: a whole state every few seconds would eat a metered line up.
const HELLO_AGAIN_AT_MOST: Duration = Duration::from_secs(300);

/// A question, and where the answer goes.
#[derive(Debug)]
pub enum Question {
    /// How the agent stands.
    Standing(oneshot::Sender<Status>),
    /// That what the API log holds in memory is put down, for somebody who reads the files.
    PutLogDown(oneshot::Sender<()>),
}

/// What the heart of the agent is connected to.
pub struct Ends {
    /// From the link.
    pub inbound: mpsc::Receiver<FromLink>,
    /// From the reconcilers.
    pub reports: ReportReceiver,
    /// From whoever asks at the device.
    pub questions: mpsc::Receiver<Question>,
    /// Ends when the agent is asked to stop.
    pub stop: oneshot::Receiver<()>,
}

/// What it works with.
pub struct Tools {
    /// Which site this is.
    pub site: SiteId,
    /// Time.
    pub clock: TrustedClock,
    /// When head office was last heard.
    pub contact: Contact,
    /// Randomness.
    pub ids: IdSource,
    /// Flash.
    pub outbox: Outbox,
    /// The newest state, for the reconcilers.
    pub state: StateSender,
    /// What lines moved in the running period of their quota.
    pub quotas: Quotas,
    /// What can be set from head office, such as how often totals are told and how much an hour may carry.
    pub tuning: Tuning,
    /// What the line has carried.
    pub bytes: Arc<ByteCounters>,
    /// What was written to routers.
    pub log: ApiLog,
    /// The routers of the settings.
    pub routers: Vec<String>,
    /// Where their orders wait.
    pub orders: BTreeMap<String, Orders>,
    /// Where what flash remembers of them is handed over, when it can be read only later.
    pub memories: BTreeMap<String, FoundMemory>,
    /// Where what is asked of the agent itself is done.
    pub errands: mpsc::Sender<Asked>,
    /// What releases are worked on with.
    pub upgrade: UpgradeTools,
}

/// Why the agent stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was asked to.
    Asked,
    /// Another release is to run in its place.
    Switch,
}

/// When something was last done.
struct Chores {
    store: Instant,
    log: Instant,
    maintain: Instant,
}

/// The heart of the agent.
pub struct Site {
    tools: Tools,
    boot_id: u64,
    /// What is enforced.
    desired: Arc<DesiredState>,
    /// What is safe on flash.
    stored: Arc<DesiredState>,
    /// Whether the state was found to differ from the controller's: a snapshot must come.
    is_state_doubted: bool,
    /// How long the next hello that asks for a better state waits.
    hello_pause: Duration,
    /// Whether head office was told that its own snapshot does not have the hash that it names.
    is_difference_told: bool,
    chunks: Chunks,
    progress: Progress,
    talk: Option<Talk>,
    cadence: Cadence,
    line: Line,
    desk: Desk,
    overview: Overview,
    /// Whether what the store held before this start is known here: state, commands, routers' memories, the quota book.
    is_store_joined: bool,
    /// What was remembered of time.
    marks_found: Marks,
    /// Since when this run counts on from it.
    started: Instant,
    last_problem: Option<String>,
    messages_refused: u64,
    chores: Chores,
    clock_watch: ClockWatch,
    upgrade: Upgrade,
}

impl Site {
    /// Begins with what was found on flash.
    #[must_use]
    pub fn new(tools: Tools, opening: &Opening) -> Self {
        let now = Instant::now();
        let state = Arc::clone(&opening.state);
        tools.state.send_replace(Arc::clone(&state));
        Self {
            boot_id: tools.ids.number(),
            stored: Arc::clone(&state),
            desired: state,
            is_state_doubted: !opening.is_state_whole,
            hello_pause: HELLO_AGAIN,
            is_difference_told: false,
            chunks: Chunks::default(),
            progress: Progress::new(tools.routers.iter().cloned()),
            talk: None,
            cadence: Cadence::new(tools.tuning.now().report),
            line: Line::new(tools.tuning.now().hourly_bytes, opening.marks.line),
            desk: Desk::new(tools.orders.clone(), opening.commands.clone()),
            overview: Overview::default(),
            is_store_joined: opening.epoch != 0,
            marks_found: opening.marks,
            started: now,
            last_problem: None,
            messages_refused: 0,
            chores: Chores { store: now, log: now, maintain: now },
            clock_watch: ClockWatch::default(),
            upgrade: Upgrade::default(),
            tools,
        }
    }

    /// Works until it is asked to stop or another release is to run; then says bye and makes everything durable.
    pub async fn run(mut self, mut ends: Ends) -> Ending {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_reports = true;
        self.refresh_overview().await;
        info!(site.id = %self.tools.site, state.generation = self.desired.generation, "the agent is at work");
        loop {
            tokio::select! {
                // A payment does not wait behind reports: the other way about, each batch of messages lets one of reports
                // and one question by, so that nothing starves.
                biased;
                _ = &mut ends.stop => break,
                _ = tick.tick() => Box::pin(self.tick()).await,
                message = ends.inbound.recv() => match message {
                    Some(first) => {
                        Box::pin(self.take_messages(first, &mut ends.inbound)).await;
                        if let Ok(first) = ends.reports.try_recv() {
                            Box::pin(self.take_reports(first, &mut ends.reports)).await;
                        }
                        if let Ok(question) = ends.questions.try_recv() {
                            self.answer(question).await;
                        }
                    }
                    None => break,
                },
                report = ends.reports.recv(), if has_reports => match report {
                    Some(first) => Box::pin(self.take_reports(first, &mut ends.reports)).await,
                    // A site without routers has nobody to report.
                    None => has_reports = false,
                },
                Some(question) = ends.questions.recv() => self.answer(question).await,
            }
            if self.upgrade.is_switch() {
                self.stop().await;
                return Ending::Switch;
            }
        }
        self.stop().await;
        Ending::Asked
    }

    async fn answer(&mut self, question: Question) {
        // Whoever asked may be gone.
        match question {
            Question::Standing(answer) => {
                self.refresh_overview().await;
                let _ = answer.send(self.status());
            }
            Question::PutLogDown(answer) => {
                self.put_log_down().await;
                let _ = answer.send(());
            }
        }
    }

    async fn stop(mut self) {
        self.keep_marks().await;
        let now = self.tools.clock.now();
        let (writes, _) = self.tools.log.take();
        let kept = self.tools.outbox.call(move |keeper| {
            keeper.put_writes(&writes, now);
            keeper.sync();
        });
        if kept.await.is_err() {
            warn!("the disk does not answer; what was not synced may be lost");
        }
        if let Some(talk) = self.talk.take() {
            talk.farewell().await;
        }
        info!(site.id = %self.tools.site, "the agent stops");
    }

    /// Takes what waits from the link, and makes one commit of all state in it.
    async fn take_messages(&mut self, first: FromLink, inbound: &mut mpsc::Receiver<FromLink>) {
        let mut deliveries = Vec::new();
        let mut next = Some(first);
        for _ in 0..TAKEN_AT_ONCE {
            let Some(message) = next.take().or_else(|| inbound.try_recv().ok()) else { break };
            match message {
                FromLink::Said(delivery) => {
                    self.tools.contact.note();
                    self.hear(delivery, &mut deliveries).await;
                }
                FromLink::Up(connection) => {
                    // What came before belongs to the connection before.
                    self.store_state(&mut deliveries).await;
                    info!(controller.address = %connection.address, "connected to head office");
                    self.talk = Some(Talk::new(connection));
                    self.upgrade.begin_again();
                    self.speak(PROTOCOL_OLDEST).await;
                    self.say_hello();
                }
                FromLink::Down { connection_epoch, why } => {
                    self.store_state(&mut deliveries).await;
                    if self.talk.as_ref().is_some_and(|talk| talk.connection_epoch() == connection_epoch) {
                        self.talk = None;
                    }
                    self.chunks.clear();
                    warn!(link.why = why, "the connection to head office ended");
                    self.last_problem = Some(why);
                }
                FromLink::Failed { why } => {
                    // Once for each cause, or a long outage fills the log.
                    if self.last_problem.as_ref() != Some(&why) {
                        warn!(link.why = why, "head office is not reached; trying on");
                    }
                    self.last_problem = Some(why);
                }
            }
        }
        self.store_state(&mut deliveries).await;
        self.work_at_desk().await;
        self.pump().await;
    }

    /// Keeps an event of the site itself.
    async fn keep_event(&mut self, kind: EventKind, detail: String) {
        let at = self.tools.clock.now();
        let event = Event { at, kind, line: None, router: None, detail };
        let is_historical = !self.talk.as_ref().is_some_and(Talk::was_answered);
        let base = self.time_base();
        let put = move |keeper: &mut Keeper| {
            keeper.note_base(base);
            keeper.put_events(&[event], is_historical);
        };
        let kept = self.tools.outbox.call(put).await;
        if let Err(error) = kept {
            warn!(%error, "an event may be lost");
        }
        self.with_talk(|talk| talk.waits(true, false));
    }

    /// Puts the state on flash if it moved, says so, hands it to the reconcilers, and acknowledges what brought it.
    async fn store_state(&mut self, deliveries: &mut Vec<Delivery>) {
        let is_news = !Arc::ptr_eq(&self.desired, &self.stored);
        if is_news && !self.is_state_doubted {
            let started = Instant::now();
            let state = Arc::clone(&self.desired);
            let put = self.tools.outbox.call(move |keeper| keeper.put_state(state)).await;
            match put.and_then(|put| put) {
                Ok(()) => {
                    self.stored = Arc::clone(&self.desired);
                    let duration_ms = started.elapsed().as_secs_f64() * 1_000.0;
                    debug!(state.generation = self.stored.generation, duration_ms, "the state is on flash");
                    self.with_talk(|talk| talk.is_stored_wanted = true);
                }
                // The keeper has said so loudly. The state is enforced all the same; what is not said is "stored",
                // and so head office sends it again to whoever comes back without it.
                Err(error) => debug!(%error, "the state is not on flash yet"),
            }
        }
        self.say_stored();
        if !Arc::ptr_eq(&self.desired, &self.tools.state.borrow()) {
            self.tools.state.send_replace(Arc::clone(&self.desired));
            self.forget_gone_lines().await;
            self.say_applied();
        }
        for delivery in deliveries.drain(..) {
            self.acknowledge(&delivery);
        }
    }

    /// Takes what waits from the reconcilers: good news first, records after.
    async fn take_reports(&mut self, first: Report, reports: &mut ReportReceiver) {
        let (mut reported, mut is_order_done) = (Reported::default(), false);
        let mut next = Some(first);
        for _ in 0..TAKEN_AT_ONCE {
            let Some(report) = next.take().or_else(|| reports.try_recv().ok()) else { break };
            match report {
                Report::Settled { router, generation, failures } => {
                    let proven = applied::proven(generation, &failures, &self.desired);
                    if self.progress.settled(&router, generation, failures) {
                        reported.settled.push((router, proven));
                    }
                }
                Report::RouterTrouble { router, trouble } => self.progress.trouble(&router, trouble),
                Report::RouterStatus { router, is_reachable, release } => {
                    info!(router.name = router, router.is_reachable = is_reachable, "a router changed");
                    self.progress.status(&router, is_reachable, release);
                }
                Report::Checked { router, took } => {
                    self.progress.checked(&router, self.started.elapsed(), took);
                }
                Report::Usage { sessions, periods } => {
                    reported.usage.extend(sessions);
                    reported.periods.extend(periods);
                }
                Report::LinesSeen { lines } => reported.seen_lines.extend(lines),
                Report::Remember { router, memory, receipt } => {
                    let put = self.tools.outbox.call(move |keeper| keeper.put_memory(&router, &memory)).await;
                    let kept = put.and_then(|put| put);
                    if let Err(error) = &kept {
                        warn!(%error, "what must be known of a router after a restart may be lost");
                    }
                    receipt.iter().for_each(|receipt| receipt.say(kept.is_ok()));
                }
                Report::Event(event) => reported.events.push(event),
                Report::Held { router, held } => self.take_held(router, &held),
                Report::Answer { id, text, is_whole } => self.take_answer(id, text, is_whole),
                Report::Upgrade(news) => self.take_upgrade(news),
                Report::Ordered { router, id, done } => {
                    is_order_done = true;
                    self.take_done(&router, &id, done).await;
                }
            }
        }
        let is_closed = |event: &Event| event.kind == EventKind::LineExpired;
        if reported.events.iter().any(is_closed) && self.clock_watch.keeps_after_closing(Instant::now()) {
            self.keep_marks().await;
        }
        self.say_applied();
        self.note_cadence(&reported);
        self.keep_and_tell(reported).await;
        if is_order_done {
            // The next ones wait for their turn.
            Box::pin(self.work_at_desk()).await;
        }
    }

    /// Tells head office what waits, as far as the window allows.
    async fn pump(&mut self) {
        self.keep_and_tell(Reported::default()).await;
    }

    /// Puts reports on flash and tells head office what waits. One call of the store does both: each sync of flash
    /// holds up the payments behind it.
    async fn keep_and_tell(&mut self, mut reported: Reported) {
        let is_historical = !self.talk.as_ref().is_some_and(Talk::was_answered);
        if self.talk.is_none() {
            line::put_behind(&mut reported);
        }
        let (now, is_backlog_due) = (self.started.elapsed(), self.is_backlog_due());
        let (events, usage) = (self.cadence.are_events_due(now), self.cadence.due(now) != UsageDue::Nothing);
        self.with_talk(|talk| talk.waits(events || is_backlog_due, usage || is_backlog_due));
        loop {
            let (due, allowance) = (self.cadence.due(self.started.elapsed()), self.allowance());
            let room = self.talk.as_ref().map(|talk| talk.room(allowance)).unwrap_or_default();
            if reported.is_empty() && room.is_empty() {
                break;
            }
            let has_reports = !reported.is_empty();
            let part = std::mem::take(&mut reported);
            let base = self.time_base();
            let asked_due = due.clone();
            let keep = move |keeper: &mut Keeper| {
                keeper.note_base(base);
                keeper.keep(part, is_historical, &room, &asked_due)
            };
            match self.tools.outbox.call(keep).await {
                Ok(told) => {
                    let was_asked = |lane| told.iter().any(|(next, _)| next.lane == lane);
                    let is_usage_asked = was_asked(Lane::Usage);
                    let has_backlog = line::backlog_of(&self.overview) > 0;
                    let is_backlog_asked = was_asked(Lane::Log) || (is_usage_asked && has_backlog);
                    let was_asked = (is_usage_asked && due != UsageDue::Nothing, is_backlog_asked);
                    self.line.allowed(allowance, was_asked, self.started.elapsed());
                    self.tell(told, &due);
                }
                Err(error) => {
                    if has_reports {
                        warn!(%error, "reports of the routers may be lost");
                    }
                    break;
                }
            }
        }
        self.drop_lost();
    }

    async fn tick(&mut self) {
        self.watch_clock().await;
        if self.talk.as_ref().is_some_and(Talk::is_overdue) {
            warn!("head office has not answered for too long; connecting anew");
            self.last_problem = Some("head office stopped answering".to_owned());
            self.talk = None;
        }
        if self.talk.as_mut().is_some_and(Talk::doubts) {
            info!("head office has not answered; telling it once more");
            self.pump().await;
        }
        // A quiet head office is there for as long as the connection to it holds.
        if self.talk.as_ref().is_some_and(Talk::is_answered) {
            self.tools.contact.note();
        }
        let pause = self.hello_pause;
        let is_wanted = |talk: &Talk| {
            let is_news_due = talk.hello_age() >= pause
                && (talk.is_hello_wanted || talk.has_old_routers(&self.progress.statuses()));
            is_news_due
                || talk.is_hello_due()
                || (talk.is_answered() && self.clock_watch.asks_office(talk.hello_age()))
        };
        if self.talk.as_ref().is_some_and(is_wanted) {
            if self.is_state_doubted {
                self.hello_pause = pause.saturating_mul(2).min(HELLO_AGAIN_AT_MOST);
            }
            self.say_hello();
        }
        self.work_at_desk().await;
        self.watch_line();
        self.watch_upgrade();
        self.tell_what_is_due().await;
        if self.chores.store.elapsed() >= STORE_EVERY {
            self.chores.store = Instant::now();
            let was_well = self.overview.health == StoreHealth::Well;
            self.refresh_overview().await;
            // One that took longer to recover than anybody waits is well by now, and its lanes were not told so.
            if !was_well || self.overview.health != StoreHealth::Well {
                self.recover().await;
            }
            self.join_found_store().await;
            self.say_new_epoch();
            if !Arc::ptr_eq(&self.desired, &self.stored) {
                self.store_state(&mut Vec::new()).await;
            }
            service::alive(&self.status().summary());
        }
        if self.chores.log.elapsed() >= LOG_EVERY {
            self.chores.log = Instant::now();
            self.put_log_down().await;
        }
        if self.chores.maintain.elapsed() >= MAINTAIN_EVERY {
            self.chores.maintain = Instant::now();
            let reading = self.tools.clock.reading();
            let now = self.clock_watch.drops_by(&reading, Instant::now());
            if let Some(now) = now {
                self.tidy_desk(now).await;
            }
            let _ = self.tools.outbox.call(move |keeper| keeper.maintain(now)).await;
        }
    }

    /// What tells the time of records that wait from how long ago they were noted.
    fn time_base(&self) -> TimeBase {
        let reading = self.tools.clock.reading();
        let is_sure = reading.is_trusted && reading.leap_in_doubt.is_none();
        TimeBase { ms: reading.now.minus(self.started.elapsed()).0, is_sure }
    }

    /// Flash failed: whether it takes records again.
    async fn recover(&mut self) {
        // Whether it did is in the overview; one that hangs does it later.
        let _ = self.tools.outbox.call(crate::outbox::Keeper::recover).await;
        self.refresh_overview().await;
        self.begin_epoch_of_book(true).await;
        self.say_new_epoch();
        if self.overview.health == StoreHealth::Well {
            let held = (self.overview.stored_generation, self.overview.stored_hash);
            if held == (self.desired.generation, self.desired.hash) {
                self.stored = Arc::clone(&self.desired);
                self.with_talk(|talk| talk.is_stored_wanted = true);
            }
            // What was asked of a store that failed was not told.
            self.cadence = Cadence::new(self.tools.tuning.now().report);
            // Cursors that could not be taken come again with the answer.
            self.with_talk(|talk| talk.is_hello_wanted = true);
            self.with_talk(|talk| talk.waits(true, true));
            self.store_state(&mut Vec::new()).await;
            self.pump().await;
        }
    }

    async fn refresh_overview(&mut self) {
        match self.tools.outbox.call(|keeper| keeper.overview()).await {
            Ok(overview) => self.overview = overview,
            Err(error) => {
                let since = self.tools.clock.now();
                if self.overview.health == StoreHealth::Well {
                    self.overview.health = StoreHealth::Unwell { since, error };
                }
            }
        }
    }

    fn say_hello(&mut self) {
        let is_whole = !self.is_state_doubted;
        let hello = talk::Hello {
            boot_id: self.boot_id,
            store_epoch: self.overview.epoch,
            stored_generation: if is_whole { self.stored.generation } else { 0 },
            applied_generation: self.progress.applied(&self.desired).generation,
            state_hash: self.stored.hash.to_bytes(),
            reading: self.tools.clock.reading(),
            routers: self.progress.statuses(),
            version: self.tools.upgrade.version.clone(),
        };
        self.with_talk(|talk| talk.hello(hello));
        self.drop_lost();
    }

    /// A store that began a new life while connected: the controller's cursors speak of the last one, and without a
    /// hello both lanes would be silent for as long as the line holds.
    fn say_new_epoch(&mut self) {
        let epoch = self.overview.epoch;
        if epoch != 0 && self.talk.as_ref().is_some_and(|talk| talk.store_epoch() != epoch) {
            self.say_hello();
        }
    }

    fn say_stored(&mut self) {
        let stored = StoredV1 { generation: self.stored.generation, stored_at_ms: self.tools.clock.now().0 };
        if stored.generation > 0 {
            self.with_talk(|talk| talk.stored(&stored));
        }
    }

    /// Says where the routers stand, if that is news on this connection.
    fn say_applied(&mut self) {
        let applied = self.progress.applied(&self.desired);
        let (desired, now) = (Arc::clone(&self.desired), self.tools.clock.now());
        self.with_talk(|talk| talk.applied(applied, &desired, now));
        self.drop_lost();
    }

    fn acknowledge(&mut self, delivery: &Delivery) {
        self.with_talk(|talk| talk.acknowledge(delivery));
    }

    fn with_talk(&mut self, act: impl FnOnce(&mut Talk)) {
        if let Some(talk) = self.talk.as_mut() {
            act(talk);
        }
    }

    fn drop_lost(&mut self) {
        if self.talk.as_ref().is_some_and(|talk| talk.is_lost) {
            self.talk = None;
        }
    }
}
