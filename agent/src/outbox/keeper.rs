//! What happens when flash fails: the store must never stop the agent.
//!
//! ```text
//! well ──error or panic of the engine──> closed, records go to memory ──recover──> opened anew, memory put down ──> well
//!   └──little space──> open, records go to memory ──recover──> memory put down ──> well
//! damaged at the start: put aside as store.bad-<ms>, begin empty with a new life, say so
//! ```
//!
//! It runs on the store's thread and blocks. Records in memory are bounded; of events the oldest go first. A state
//! that is not on flash is enforced all the same; it is the core that does not tell the controller "stored".

mod aside;
mod loss;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tawi_shared::Gather as _;
use tawi_shared::wire::{EventKind, EventV1, Lane, PROTOCOL_OLDEST, SessionUsageV1};
use tawi_shared::{Clock, IdSource, UnixMillis};
use tracing::{error, info, warn};

use super::LeftOut;
use super::directory::Directory;
use super::engine::Medium;
use super::engine::memory::Disk;
use super::flash::Flash;
use super::records::{event_to_wire, shortened};
use super::store::from_io;
use super::{
    Forgot, FoundLate, Lost, Marks, Opening, Overview, RESERVE_BYTES, Reported, SealedRecord, StoreError,
    StoreHealth, TimeBase,
};
use crate::api_log::Write;
use crate::api_log::files::{FREE_BYTES, Files};
use crate::boards::Boards;
use crate::commands::Kept;
use crate::desired::DesiredState;
use crate::flow::Event;
use crate::link::window::{Next, Room};
use crate::reconcile::memory::RouterMemory;
use crate::site::cadence::UsageDue;
use crate::tuning::FromOffice;
use crate::usage::counted::Counted;
use crate::usage::quota::{CountedBefore, PeriodRecord, QuotaBook};
use aside::Memory;

/// Free space below which no writes wait for head office: the log at the site has stopped growing by then.
const SENT_FREE_BYTES: u64 = FREE_BYTES / 2;

/// The store and what to do when it fails.
pub struct Keeper {
    medium: Box<dyn Medium>,
    ids: IdSource,
    clock: Clock,
    flash: Option<Flash>,
    health: StoreHealth,
    memory: Memory,
    /// The API log in files, where there are files.
    log: Option<Files>,
    /// How often the files took nothing; said in the log at powers of two.
    log_failures: u64,
    /// Writes that they left out since the start, and whether the last ones were.
    left_out: LeftOut,
    /// The newest state that was given or read, on flash or not.
    newest: Arc<DesiredState>,
    connection_epoch: u64,
    /// What head office speaks, as far as is known.
    protocol: u16,
    /// What the store had counted when it opened, where that was after the agent had begun without it. The agent's own
    /// records are put down beside it for as long as it runs.
    found: Option<Arc<QuotaBook>>,
    /// What else it held then, for those who began without it.
    found_late: Option<Arc<FoundLate>>,
    /// What was last noted of time and of each router: a store that is begun anew while the agent runs has none of it.
    marks: Marks,
    memories: BTreeMap<String, RouterMemory>,
    /// Routers of which flash does not have that.
    owed_memories: BTreeSet<String>,
    /// Which boards are known, and which the file beside the store names.
    boards: Boards,
    boards_kept: Boards,
    /// The routers of the settings, once they are known: no others have a place there.
    routers: Option<BTreeSet<String>>,
    /// Whether the store was open at any time since the start.
    was_open: bool,
    /// Figures of lives of the store that ended since the start, and of memory.
    bad_records: u64,
    dropped_records: u64,
    dropped_totals: u64,
    /// What the store held when it was last open.
    last: Overview,
    /// What was lost since the start, in words.
    lost: Option<String>,
}

impl Keeper {
    /// Opens the store, or goes on without. A damaged one is put aside.
    #[must_use]
    pub fn open(directory: &Path, ids: IdSource, clock: Clock) -> (Self, Opening) {
        Self::on(Box::new(Directory(directory.to_path_buf())), ids, clock)
    }

    /// The same on a disk in memory. For a simulation.
    #[must_use]
    pub fn on_disk(disk: &Disk, ids: IdSource, clock: Clock) -> (Self, Opening) {
        Self::on(disk.medium(), ids, clock)
    }

    fn on(medium: Box<dyn Medium>, ids: IdSource, clock: Clock) -> (Self, Opening) {
        let boards = medium.boards();
        let mut keeper = Self {
            log: medium.log(),
            medium,
            ids,
            clock,
            flash: None,
            health: StoreHealth::Well,
            memory: Memory::default(),
            log_failures: 0,
            left_out: LeftOut::default(),
            newest: Arc::default(),
            connection_epoch: 0,
            protocol: PROTOCOL_OLDEST,
            found: None,
            found_late: None,
            marks: Marks::default(),
            memories: BTreeMap::new(),
            owed_memories: BTreeSet::new(),
            boards: boards.clone(),
            boards_kept: boards,
            routers: None,
            was_open: false,
            bad_records: 0,
            dropped_records: 0,
            dropped_totals: 0,
            last: Overview::default(),
            lost: None,
        };
        let opening = match keeper.open_flash() {
            Ok(opening) => {
                keeper.was_open = true;
                keeper.marks = opening.marks;
                keeper.memories.clone_from(&opening.memories);
                keeper.take_boards(&opening.memories);
                opening
            }
            Err(problem) => {
                keeper.fail(&problem);
                Opening::default()
            }
        };
        keeper.newest = Arc::clone(&opening.state);
        (keeper, opening)
    }

    /// Puts on flash what head office set of the settings, durably.
    ///
    /// # Errors
    /// [`StoreError`]: it is not there, and a restart does not know it. Head office sends it again then.
    pub fn put_settings(&mut self, settings: FromOffice) -> Result<(), StoreError> {
        self.attempt(|flash, _| flash.put_settings(&settings))
    }

    /// Puts the desired state on flash, durably.
    ///
    /// # Errors
    /// [`StoreError`]: it is not there yet, and will be put there by [`Keeper::recover`].
    pub fn put_state(&mut self, state: Arc<DesiredState>) -> Result<(), StoreError> {
        self.newest = Arc::clone(&state);
        self.attempt(|flash, _| flash.put_state(state))
    }

    /// By which time what comes from here on is noted, and what waits is set right when it is told.
    pub fn note_base(&mut self, base: TimeBase) {
        if let Some(flash) = &mut self.flash {
            flash.bases.note(flash.next_order, base);
        }
    }

    /// Keeps events: on flash, or in memory until flash takes them.
    pub fn put_events(&mut self, events: &[Event], is_historical: bool) {
        let reported = Reported { events: events.to_vec(), ..Reported::default() };
        self.keep(reported, is_historical, &Room::default(), &UsageDue::Nothing);
    }

    /// Keeps session totals: on flash, or in memory until flash takes them.
    pub fn put_usage(&mut self, sessions: Vec<Counted>, is_historical: bool) {
        let reported = Reported { usage: sessions, ..Reported::default() };
        self.keep(reported, is_historical, &Room::default(), &UsageDue::Nothing);
    }

    /// Puts commands on flash, durably: before one is begun, and when it is over.
    ///
    /// # Errors
    /// [`StoreError`]: they are not there, and nothing may be begun.
    pub fn put_commands(&mut self, kept: &[Kept]) -> Result<(), StoreError> {
        // Whoever began without the store may not have been told yet, while the disk hangs, what was begun before; and
        // what became of that is not what becomes of it now.
        let was_begun = |kept: &Kept| self.found_late.as_ref().is_some_and(|late| late.has_begun(&kept.id));
        if kept.iter().any(was_begun) {
            let detail = "it was begun before the agent was started".to_owned();
            return Err(StoreError::Engine { operation: "begin a command", detail });
        }
        self.attempt(|flash, _| flash.put_commands(kept))
    }

    /// Forgets commands that nobody asks about any more. Those that stay while flash fails harm nobody.
    pub fn forget_commands(&mut self, ids: &[String]) {
        let _ = self.attempt(|flash, _| flash.forget_commands(ids));
    }

    /// Keeps writes to routers: in the file of the day, and for head office, which goes on longer. Whatever takes none now
    /// loses them and says so: no memory is spent on a log.
    pub fn put_writes(&mut self, writes: &[Write], now: UnixMillis) {
        let kept = self.log.as_ref().map_or(Ok(0), |log| log.append(writes, now));
        let left_out = *kept.as_ref().unwrap_or(&writes.len());
        self.left_out.is_now = left_out > 0;
        self.left_out.writes += u64::try_from(left_out).unwrap_or(u64::MAX);
        if left_out > 0 {
            self.log_failures += 1;
            if self.log_failures.is_power_of_two() {
                let problem = kept.err().map_or_else(|| "no room".to_owned(), |error| error.to_string());
                warn!(problem, failures = self.log_failures, "the API log at the site leaves writes out");
            }
        }
        let has_space = self.medium.free_bytes().is_ok_and(|free| free >= SENT_FREE_BYTES);
        if has_space && self.health == StoreHealth::Well {
            let writes = writes.iter().map(Write::to_wire).collect();
            let _ = self.attempt(|flash, _| flash.put_writes(writes));
        }
    }

    /// What head office speaks on the connection that there is; the oldest until it says so.
    pub fn speak(&mut self, protocol: u16) {
        self.protocol = protocol;
    }

    /// The sealed records of a lane after position `after`, at most `limit`, of all that waits. None while flash fails.
    pub fn take(&mut self, lane: Lane, after: u64, limit: u64) -> Vec<SealedRecord> {
        self.take_due(Next { lane, after, limit }, (&UsageDue::All, u64::MAX))
    }

    fn take_due(&mut self, next: Next, due: (&UsageDue, u64)) -> Vec<SealedRecord> {
        let Next { lane, after, limit } = next;
        self.attempt(|flash, _| flash.take(lane, after, limit, due)).unwrap_or_default()
    }

    /// Keeps what the reconcilers reported, and gives what can be told of it and of what waited, as far as `room`
    /// and what is `due` of usage allow: everything with a single sync of flash, because payments wait behind it. While flash fails, as each
    /// alone.
    pub fn keep(
        &mut self,
        reported: Reported,
        is_historical: bool,
        room: &Room,
        due: &UsageDue,
    ) -> Vec<(Next, Vec<SealedRecord>)> {
        let Reported { events, backlog, usage, periods, settled, seen_lines } = reported;
        let due = (due, room.backlog_bytes());
        let periods = self.beside_found(periods);
        let events: Vec<EventV1> = events.iter().map(event_to_wire).collect();
        let backlog: Vec<EventV1> = backlog.iter().map(event_to_wire).collect();
        // What is on flash although something after it failed: put down again it would have a second position.
        let (mut is_backlog_kept, mut are_events_kept, mut is_usage_kept) = (false, false, false);
        if self.memory.is_empty() {
            let kept = self.attempt(|flash, _| {
                let (mut is_backlog_put, mut are_events_put, mut is_usage_put) = (false, false, false);
                let done = flash.batch(|flash| {
                    if !backlog.is_empty() {
                        flash.put_backlog(backlog.clone())?;
                        is_backlog_put = true;
                    }
                    if !events.is_empty() {
                        flash.put_events(events.clone(), is_historical, false)?;
                        are_events_put = true;
                    }
                    if !usage.is_empty() || !periods.is_empty() {
                        let usage: Vec<_> = usage.iter().map(|counted| (counted, is_historical)).collect();
                        flash.put_usage(&usage, &periods)?;
                        is_usage_put = true;
                    }
                    for (router, generation) in &settled {
                        flash.put_settled(router, *generation)?;
                    }
                    flash.forget_unseen(&seen_lines)?;
                    room.fill(|next| flash.take(next.lane, next.after, next.limit, due))
                })?;
                // Not before the sync: until then a power cut may take them.
                (is_backlog_kept, are_events_kept, is_usage_kept) =
                    (is_backlog_put, are_events_put, is_usage_put);
                done
            });
            if let Ok(records) = kept {
                return records;
            }
        }
        // In memory there is one order of all.
        if !is_backlog_kept {
            self.dropped_records += self.memory.put_events(backlog, true);
        }
        if !are_events_kept {
            self.dropped_records += self.memory.put_events(events, is_historical);
        }
        if !is_usage_kept {
            let (dropped, refused) = self.memory.put_usage(usage, is_historical);
            self.dropped_records += dropped + refused;
            self.dropped_totals += refused;
            self.memory.periods.extend(periods);
        }
        settled.iter().for_each(|(router, generation)| self.put_settled(router, *generation));
        room.fill(|next| Ok::<_, StoreError>(self.take_due(next, due))).unwrap_or_default()
    }

    /// Keeps what head office told of the time before: on flash, or in memory until flash takes it.
    pub fn put_befores(&mut self, befores: BTreeMap<String, CountedBefore>) {
        if self.attempt(|flash, _| flash.put_befores(&befores)).is_err() {
            self.memory.befores.extend(befores);
        }
    }

    /// Keeps all records of the quota book: a store that was begun anew while the agent ran has lost them.
    pub fn put_periods(&mut self, periods: BTreeMap<String, PeriodRecord>) {
        let periods = self.beside_found(periods);
        if self.attempt(|flash, _| flash.put_usage(&[], &periods)).is_err() {
            self.memory.periods.extend(periods);
        }
    }

    /// The book of a store that opened only after the agent had begun without it, and its life.
    #[must_use]
    pub fn found_book(&self) -> Option<Arc<QuotaBook>> {
        self.found.clone()
    }

    /// What else lay in a store that opened only after the agent had begun without it.
    #[must_use]
    pub fn found_late(&self) -> Option<Arc<FoundLate>> {
        self.found_late.clone()
    }

    /// Forgets what was counted for the quotas of lines that are no more. While flash fails it stays until the next start.
    pub fn forget_lines(&mut self, lines: &[String]) {
        if let Some(found) = &mut self.found {
            Arc::make_mut(found).forget(lines.iter().map(String::as_str));
        }
        for line in lines {
            self.memory.periods.remove(line);
            self.memory.befores.remove(line);
        }
        let _ = self.attempt(|flash, _| flash.forget_lines(lines));
    }

    /// Takes a cursor of the controller. While flash fails nothing is forgotten: the records are sent again later.
    pub fn forget(&mut self, lane: Lane, epoch: u32, cursor: u64) -> Forgot {
        self.attempt(|flash, ids| flash.forget(lane, epoch, cursor, ids)).unwrap_or(Forgot::Records(0))
    }

    /// The number of the next connection: higher than all before.
    pub fn next_connection_epoch(&mut self) -> u64 {
        let now = self.clock.now();
        let stored = self.attempt(|flash, _| flash.next_connection_epoch(now)).unwrap_or(0);
        let by_clock = u64::try_from(now.0).unwrap_or(0);
        self.connection_epoch = self.connection_epoch.saturating_add(1).max(stored).max(by_clock);
        self.connection_epoch
    }

    /// Notes what a restart must know of time. Lost while flash fails; the next ones come.
    pub fn put_marks(&mut self, marks: Marks) {
        self.marks = marks;
        let _ = self.attempt(|flash, _| flash.put_marks(marks));
    }

    /// Notes what must be known of a router after a restart: on flash, or as soon as flash takes it. Where the store opened late, and
    /// whoever knows this does not know yet what lay there, it is put down with that: a power cut may come first.
    ///
    /// # Errors
    /// When it is not on flash yet.
    pub fn put_memory(&mut self, router: &str, memory: &RouterMemory) -> Result<(), StoreError> {
        let found = self.found_late.as_ref().filter(|_| !memory.is_joined);
        let whole = found.and_then(|late| late.memories.get(router)).map(|found| {
            let mut whole = memory.clone();
            // Digests of passwords that were written since are the reconciler's to take back.
            whole.join(found.memory.clone(), |_| false);
            whole
        });
        let memory = whole.as_ref().unwrap_or(memory);
        self.memories.insert(router.to_owned(), memory.clone());
        self.owed_memories.insert(router.to_owned());
        self.attempt(|flash, _| flash.put_memory(router, memory))?;
        self.owed_memories.remove(router);
        self.take_boards([(router, memory)]);
        self.keep_boards();
        Ok(())
    }

    /// Says which routers the settings name. What flash remembers of others stays, should one come back; the file beside
    /// the store names them no more.
    pub fn serve(&mut self, routers: BTreeSet<String>) {
        self.routers = Some(routers);
        self.keep_boards();
    }

    fn take_boards<'a>(&mut self, memories: impl IntoIterator<Item = (impl AsRef<str>, &'a RouterMemory)>) {
        for (router, memory) in memories.into_iter().filter(|(_, memory)| !memory.serial.is_empty()) {
            self.boards.insert(router.as_ref().to_owned(), memory.serial.clone());
        }
    }

    /// Has the file beside the store say what flash does. One that is not written is written with the next change.
    fn keep_boards(&mut self) {
        let mut boards = self.boards.clone();
        if let Some(routers) = &self.routers {
            boards.retain(|router, _| routers.contains(router));
        }
        if boards != self.boards_kept && self.medium.keep_boards(&boards) {
            self.boards_kept = boards;
        }
    }

    /// Notes the newest generation that a router settled. Lost while flash fails; the next one comes.
    pub fn put_settled(&mut self, router: &str, generation: u64) {
        let _ = self.attempt(|flash, _| flash.put_settled(router, generation));
    }

    /// Makes everything durable that was not yet; before the process ends.
    pub fn sync(&mut self) {
        let _ = self.attempt(|flash, _| flash.store.sync());
    }

    /// Tries to get well: opens the store if it is closed, and puts down what waits in memory. What a store that could not
    /// be opened at the start held is [`Keeper::found_late`] then, for whoever asks.
    pub fn recover(&mut self) {
        if self.health == StoreHealth::Well {
            return;
        }
        // The log goes before anything else is at risk.
        let _ = self.log.as_ref().map(|log| log.make_room(self.clock.now()));
        if self.flash.is_none() {
            match self.open_flash() {
                Ok(opening) => {
                    if !std::mem::replace(&mut self.was_open, true) {
                        self.join_book(&opening);
                        self.take_boards(&opening.memories);
                        self.keep_boards();
                        self.found_late = Some(Arc::new(FoundLate::of(&opening)));
                    }
                    if opening.state.generation > self.newest.generation {
                        self.newest = opening.state;
                    }
                }
                Err(problem) => self.fail(&problem),
            }
        }
        if self.put_memory_down().is_ok() {
            info!("the store takes records again; what waited in memory is on flash");
            self.health = StoreHealth::Well;
        }
    }

    /// Regular care: drops what is too old, and writes a bloated store anew. `now` only while the clock is trusted.
    pub fn maintain(&mut self, now: Option<UnixMillis>) {
        if let Some(now) = now {
            let _ = self.attempt(|flash, _| flash.drop_old(now));
            let _ = self.log.as_ref().map(|log| log.forget_old(now));
        }
        if self.flash.as_ref().is_some_and(Flash::is_bloated) {
            self.rewrite();
        }
    }

    /// What is held, in figures.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let flash = self.flash.as_ref();
        let held = flash.map_or_else(|| self.last.clone(), Flash::overview);
        Overview {
            in_memory: self.memory.len(),
            bad_records: self.bad_records + flash.map_or(0, |flash| flash.bad_records),
            dropped_records: self.dropped_records + flash.map_or(0, |flash| flash.dropped_records),
            dropped_totals: self.dropped_totals + flash.map_or(0, |flash| flash.dropped_totals),
            health: self.health.clone(),
            left_out: self.left_out,
            lost: self.lost.clone(),
            ..held
        }
    }

    /// The first opening after a start without the store: what waits in memory is of a book that knew nothing of it. What
    /// head office told that book was all that it knows, most of which this store counted itself.
    fn join_book(&mut self, opening: &Opening) {
        let mut found = QuotaBook::load(opening.epoch, &opening.book, &opening.open_sessions);
        self.memory.befores = found.note_all(&self.memory.befores);
        // Whoever goes on with a session that is open there counts it under a name of its own by now.
        let closed = found.close();
        for open in &opening.open_sessions {
            let total = SessionUsageV1 { is_ended: true, ..open.total.clone() };
            let over = (Counted { total, ..open.clone() }, false);
            self.memory.sessions.entry(open.total.session.clone()).or_insert(over);
        }
        self.found = Some(Arc::new(found));
        let periods = std::mem::take(&mut self.memory.periods);
        self.memory.periods = self.beside_found(periods);
        closed.into_iter().for_each(|(line, record)| {
            self.memory.periods.entry(line).or_insert(record);
        });
    }

    /// The book's records, as they are to lie on flash.
    fn beside_found(&self, periods: BTreeMap<String, PeriodRecord>) -> BTreeMap<String, PeriodRecord> {
        let Some(found) = &self.found else { return periods };
        let beside = |(line, record): (String, PeriodRecord)| {
            let record = record.beside(found.record_of(&line));
            (line, record)
        };
        periods.into_iter().map(beside).into_map()
    }

    fn put_wire_events(&mut self, events: Vec<EventV1>, is_historical: bool) {
        if self.memory.is_empty() {
            let copy = events.clone();
            if self.attempt(|flash, _| flash.put_events(copy, is_historical, false)).is_ok() {
                return;
            }
        }
        self.dropped_records += self.memory.put_events(events, is_historical);
    }

    fn put_memory_down(&mut self) -> Result<(), StoreError> {
        let newest = Arc::clone(&self.newest);
        self.attempt(|flash, _| {
            if newest.generation > 0 && !flash.holds(&newest) {
                flash.put_state(newest)?;
            }
            // An error says so before anything is taken out of memory.
            flash.store.require(RESERVE_BYTES)
        })?;
        for router in self.owed_memories.clone() {
            if let Some(memory) = self.memories.get(&router).cloned() {
                self.put_memory(&router, &memory)?;
            }
        }
        // All that came in the same condition in one commit; order is kept.
        while let Some(&(_, is_historical)) = self.memory.events.front() {
            let alike = self.memory.events.iter().take_while(|(_, was)| *was == is_historical);
            let events: Vec<_> = alike.map(|(event, _)| event.clone()).collect();
            let count = events.len();
            self.attempt(|flash, _| flash.put_events(events, is_historical, false))?;
            self.memory.events.drain(..count);
        }
        let sessions: Vec<_> = self.memory.sessions.values().cloned().collect();
        let (periods, befores) = (self.memory.periods.clone(), self.memory.befores.clone());
        self.attempt(|flash, _| {
            if !sessions.is_empty() || !periods.is_empty() {
                let sessions: Vec<_> = sessions.iter().map(|(counted, was)| (counted, *was)).collect();
                flash.put_usage(&sessions, &periods)?;
            }
            if befores.is_empty() { Ok(()) } else { flash.put_befores(&befores) }
        })?;
        self.memory.periods.clear();
        self.memory.befores.clear();
        self.memory.sessions.clear();
        Ok(())
    }

    /// Does one thing with the store. An error or a panic of the engine closes it.
    fn attempt<R>(
        &mut self,
        work: impl FnOnce(&mut Flash, &IdSource) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let Some(flash) = self.flash.as_mut() else {
            return Err(match &self.health {
                StoreHealth::Unwell { error, .. } => error.clone(),
                StoreHealth::Well => {
                    StoreError::Engine { operation: "use the store", detail: "it is not open".to_owned() }
                }
            });
        };
        let ids = &self.ids;
        flash.protocol = self.protocol;
        match caught("use the store", || work(flash, ids)) {
            Ok(result) => Ok(result),
            Err(problem) => {
                self.fail(&problem);
                Err(problem)
            }
        }
    }

    /// Notes that flash fails. Little space leaves the store open; after anything else it is opened anew later.
    fn fail(&mut self, problem: &StoreError) {
        let is_open = matches!(problem, StoreError::NearlyFull { .. });
        if !is_open && let Some(flash) = self.flash.take() {
            self.last = flash.overview();
            self.bad_records += flash.bad_records;
            self.dropped_records += flash.dropped_records;
            self.dropped_totals += flash.dropped_totals;
            let _ = caught("close the store", || {
                drop(flash);
                Ok(())
            });
        }
        let is_news = self.health == StoreHealth::Well;
        if is_news {
            error!(error = %problem, "the store takes nothing; going on from memory");
            self.health = StoreHealth::Unwell { since: self.clock.now(), error: problem.clone() };
            self.tell_of(problem);
        } else if let StoreHealth::Unwell { error, .. } = &mut self.health {
            *error = problem.clone();
        }
    }

    /// The alarm goes into the reserve, or waits in memory like everything else.
    fn tell_of(&mut self, problem: &StoreError) {
        let kind = match problem {
            StoreError::NearlyFull { .. } | StoreError::Full { .. } => EventKind::StoreFull,
            _ => EventKind::StoreLost,
        };
        let event = self.alarm(kind, &problem.said());
        let flash = self.flash.as_mut();
        let is_told = flash.is_some_and(|flash| {
            caught("put the alarm", || flash.put_events(vec![event.clone()], false, true)).is_ok()
        });
        if !is_told {
            self.dropped_records += self.memory.put_events(vec![event], false);
        }
    }

    fn alarm(&self, kind: EventKind, detail: &str) -> EventV1 {
        let detail = shortened(detail).to_owned();
        EventV1 { at_ms: self.clock.now().0, kind: kind.code(), line: None, router: None, detail }
    }

    /// Opens the store. On a full disk the reserve is given up for it: a site that boots with a full disk must know
    /// what to enforce.
    fn open_flash(&mut self) -> Result<Opening, StoreError> {
        let opened = match self.open_or_begin() {
            Err(problem) if self.medium.give_up_reserve() => {
                warn!(error = %problem, "the store does not open; trying again with the reserve given up");
                self.open_or_begin()
            }
            other => other,
        };
        if opened.is_ok() {
            self.medium.put_reserve();
        }
        opened
    }

    fn begin_flash(&self) -> Result<(Flash, Opening), StoreError> {
        let (mut flash, opening) = Flash::open(self.medium.open()?, &self.ids)?;
        flash.waiting_bytes = self.medium.waiting_bytes();
        Ok((flash, opening))
    }

    /// Opens the store; a damaged one is put aside and a new one begun.
    fn open_or_begin(&mut self) -> Result<Opening, StoreError> {
        let directory = self.medium.directory().to_path_buf();
        let prepared =
            self.medium.prepare().map_err(|error| from_io(&directory, "prepare the store", &error));
        let open = || self.begin_flash();
        let opened = prepared.and_then(|()| caught("open the store", open));
        let why = match opened {
            Ok((flash, opening)) => {
                let lost = flash.bad_records;
                self.flash = Some(flash);
                if opening.is_new && (self.was_open || self.medium.has_past()) {
                    warn!("the store is gone with everything in it; beginning a new one");
                    let why = "the store is gone with everything in it; a new one is begun".to_owned();
                    return Ok(Opening { marks: self.tell_new_store(&why), ..opening });
                }
                if opening.is_new {
                    info!(
                        "a new store: head office is asked for the state, and what runs is counted from now on"
                    );
                }
                if !opening.is_state_whole {
                    let detail = format!("{lost} stored records were damaged; the state is asked for anew");
                    warn!(
                        store.bad_records = lost,
                        "the stored state is damaged; asking head office for it anew"
                    );
                    let event = self.alarm(EventKind::StoreLost, &detail);
                    self.put_wire_events(vec![event], false);
                }
                return Ok(opening);
            }
            Err(StoreError::Engine { operation, detail }) => format!("{operation}: {detail}"),
            Err(other) => return Err(other),
        };
        // An engine that cannot write may look just like a damaged one.
        self.medium.can_write().map_err(|error| match from_io(&directory, "try the disk", &error) {
            StoreError::Engine { operation, detail } => {
                StoreError::Unwritable { operation, directory: directory.clone(), detail }
            }
            other => other,
        })?;
        let moved_to = self
            .medium
            .put_aside(self.clock.now())
            .map_err(|error| from_io(&directory, "put the damaged store aside", &error))?;
        error!(store.why = why, store.moved_to = %moved_to.display(), "the store was damaged; beginning a new one");
        let (flash, mut opening) = caught("begin a new store", || self.begin_flash())?;
        self.flash = Some(flash);
        let held = self.last.clone();
        opening.marks = self.tell_new_store(&loss::said(self.was_open.then_some(&held)));
        let rest = format!("; what is left of it lies in {}", moved_to.display());
        self.lost.iter_mut().for_each(|lost| lost.push_str(&rest));
        opening.lost = Some(Lost { moved_to, why });
        Ok(opening)
    }

    /// Tells a store that was begun anew what is known all the same, and head office that it was; what it says of time.
    fn tell_new_store(&mut self, detail: &str) -> Marks {
        // Who was cut off in the last hour is known to an agent that began with the store.
        let lived = (!self.was_open).then_some(Duration::ZERO);
        let begun = Marks { lived, ..self.marks };
        // On a disk that is nearly full the store is worth more than its marks.
        let flash = self.flash.as_mut();
        let told = flash.map(|flash| caught("tell the new store", || flash.put_marks(begun)));
        if let Some(Err(problem)) = told {
            warn!(error = %problem, "the new store does not know yet that it was begun anew");
        }
        self.owed_memories = self.memories.keys().cloned().into_set();
        let event = self.alarm(EventKind::StoreLost, detail);
        self.put_wire_events(vec![event], false);
        self.lost = Some(detail.to_owned());
        begun
    }

    /// What was last noted of time, or found when the store opened at the start.
    #[cfg(test)]
    pub(crate) fn noted_marks(&self) -> Marks {
        self.marks
    }

    /// As after an error of the engine.
    #[cfg(test)]
    pub(super) fn close_as_failed(&mut self) {
        self.fail(&StoreError::Engine { operation: "try", detail: "a test".to_owned() });
    }

    /// Writes the store anew, where there is room, whatever its size: what [`Keeper::maintain`] does with a bloated one.
    pub fn rewrite(&mut self) {
        // The copy is far smaller than the store, or there would be no rewrite; half of it is more than enough.
        let needed_bytes =
            |flash: &Flash| flash.store.disk_bytes().saturating_div(2).saturating_add(RESERVE_BYTES);
        let Some(flash) = self.flash.take_if(|flash| flash.store.require(needed_bytes(flash)).is_ok()) else {
            return;
        };
        let before = flash.store.disk_bytes();
        self.bad_records += flash.bad_records;
        self.dropped_records += flash.dropped_records;
        self.dropped_totals += flash.dropped_totals;
        let rewritten = caught("rewrite the store", || flash.store.rewrite());
        let opened = self.open_flash();
        let after = self.flash.as_ref().map_or(0, |flash| flash.store.disk_bytes());
        match rewritten.and(opened) {
            // Whatever a new store has to be told is told when it is tried again.
            Ok(Opening { lost: Some(Lost { why, .. }), .. }) => {
                self.fail(&StoreError::Engine { operation: "open what was written anew", detail: why });
            }
            Ok(_) => {
                info!(store.bytes_before = before, store.bytes_after = after, "the store was written anew");
            }
            Err(problem) => self.fail(&problem),
        }
    }
}

/// The engine panics for some errors of the disk and for damaged files; here that is an error like another.
fn caught<R>(operation: &'static str, work: impl FnOnce() -> Result<R, StoreError>) -> Result<R, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
        Err(StoreError::Engine { operation, detail: format!("the engine panicked: {}", shortened(text)) })
    })
}
