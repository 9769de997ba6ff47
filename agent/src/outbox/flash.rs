//! What rests on flash, in our own terms: the desired state, the life number, and a few marks. Lanes: `lanes.rs`.
//!
//! Damaged records are skipped, counted and removed. A state with a hole in it is not given out: it would take the
//! lines in the hole off the router; none is better, because then nothing is written to a router until the controller
//! has sent a whole one. Keys and values in raw form are `store.rs`'s business.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tawi_shared::envelope;
use tawi_shared::wire::{Lane, PROTOCOL_OLDEST};
use tawi_shared::{IdSource, UnixMillis};

use super::bases::Bases;
use super::engine::Engine;
use super::former::Line1;
use super::framing::unframe;
use super::records::{
    BEFORE, FORMAT, LAST_PERIOD, LAST_SEQ, META_CLOCK, META_CONNECTION, META_EPOCH, META_HEARD, META_LEAP,
    META_LINE, META_LINE_BEFORE, META_LIVED, META_MEMORY_BEFORE, META_SETTINGS, META_SILENCE, META_STATE,
    META_STRUCK, META_UNSEEN, META_VOUCHED, PERIOD, SEALED, StoredLine, StoredProfile, StoredState, cut_key,
    cut_of, line_key, line_of, memory_key, memory_of, numbered, own_password_key, own_password_of,
    profile_key, router_key, router_of, unseen_key, unseen_of,
};
use super::short_names::ShortNames;
use super::store::{Changes, Place, Store, engine, length};
use super::{
    LaneSizes, LeftOut, Marks, Opening, Overview, RESERVE_BYTES, REWRITE_FACTOR, REWRITE_SLACK_BYTES,
    StoreError, StoreHealth, URGENT_RESERVE_BYTES, WAITING_BYTES,
};
use crate::clock::{KeptTime, LeapInDoubt};
use crate::contact::KeptSilence;
use crate::desired::DesiredState;
use crate::link::ledger::KeptLine;
use crate::reconcile::guard::KeptCuts;
use crate::reconcile::memory::RouterMemory;
use crate::tuning::FromOffice;
use crate::usage::quota::{BookRecords, CountedBefore, PeriodCounted, QuotaBook};

/// What a line or profile takes on flash, roughly, for deciding whether a rewrite pays.
const ITEM_BYTES: u64 = 160;

/// The store, open and counted.
pub(super) struct Flash {
    pub(super) store: Store,
    pub(super) epoch: u32,
    stored: Arc<DesiredState>,
    is_state_whole: bool,
    /// Lines whose sessions were not looked at since they came, as they lie on flash.
    unseen: BTreeSet<String>,
    /// Digests of passwords that rows keep, by router and line, as they lie on flash.
    own_passwords: BTreeMap<String, BTreeMap<String, u64>>,
    /// The guard's cuts, by router, as they lie on flash.
    cuts: BTreeMap<String, KeptCuts>,
    /// Whether a leap in doubt lies there.
    has_leap: bool,
    pub(super) event_lane: LaneSizes,
    pub(super) usage_lane: LaneSizes,
    pub(super) log_lane: LaneSizes,
    /// What head office speaks, as far as is known.
    pub(super) protocol: u16,
    pub(super) short_names: ShortNames,
    /// Of the next pending event or batch of writes.
    pub(super) next_order: u64,
    /// By which time those were noted.
    pub(super) bases: Bases,
    /// The most that waits in the lanes together.
    pub(super) waiting_bytes: u64,
    pub(super) bad_records: u64,
    pub(super) dropped_records: u64,
    /// Of those, totals of sessions.
    pub(super) dropped_totals: u64,
    /// Whether syncs wait for the end of a batch, and whether one does.
    is_batched: bool,
    owes_sync: bool,
    #[cfg(test)]
    pub(super) syncs: u32,
}

impl Flash {
    /// Reads everything once. The caller catches panics.
    pub(super) fn open(engine: Box<dyn Engine>, ids: &IdSource) -> Result<(Self, Opening), StoreError> {
        let mut flash = Self {
            store: Store::on(engine),
            epoch: 0,
            stored: Arc::default(),
            is_state_whole: false,
            unseen: BTreeSet::new(),
            own_passwords: BTreeMap::new(),
            cuts: BTreeMap::new(),
            has_leap: false,
            event_lane: LaneSizes::default(),
            usage_lane: LaneSizes::default(),
            log_lane: LaneSizes::default(),
            protocol: PROTOCOL_OLDEST,
            short_names: ShortNames::default(),
            next_order: 1,
            bases: Bases::default(),
            waiting_bytes: WAITING_BYTES,
            bad_records: 0,
            dropped_records: 0,
            dropped_totals: 0,
            is_batched: false,
            owes_sync: false,
            #[cfg(test)]
            syncs: 0,
        };
        flash.load_state()?;
        let is_new = flash.store.bytes(Place::Meta, META_EPOCH)?.is_none();
        let (open_sessions, are_sessions_whole) = flash.load_lanes()?;
        flash.load_epoch(ids)?;
        let opening = Opening {
            state: if flash.is_state_whole { Arc::clone(&flash.stored) } else { Arc::default() },
            is_state_whole: flash.is_state_whole,
            lost: None,
            is_new,
            open_sessions,
            epoch: flash.epoch,
            book: flash.load_book()?,
            are_sessions_known: are_sessions_whole && !is_new,
            settled: flash.load_settled()?,
            looked_at: flash.load_looked_at()?,
            memories: flash.load_memories()?,
            commands: flash.load_commands()?,
            marks: flash.load_marks()?,
            settings: flash.store.get(Place::Meta, META_SETTINGS)?.unwrap_or_default(),
        };
        Ok((flash, opening))
    }

    /// Does several things with one sync behind them, where each alone would end with its own. None of them is safe
    /// against a power cut before this returns, and none if it returns an error; what `work` says of itself is inside.
    pub(super) fn batch<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> Result<R, StoreError> {
        self.is_batched = true;
        let result = work(self);
        self.is_batched = false;
        if std::mem::take(&mut self.owes_sync) {
            self.sync()?;
        }
        Ok(result)
    }

    /// Makes safe what was committed: now, or at the end of the batch.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.owes_sync = self.is_batched;
        if self.is_batched {
            return Ok(());
        }
        #[cfg(test)]
        {
            self.syncs += 1;
        }
        self.store.sync()
    }

    /// The generation that is safe on flash; 0 when it is not whole.
    pub(super) fn stored_generation(&self) -> u64 {
        if self.is_state_whole { self.stored.generation } else { 0 }
    }

    /// Whether exactly this state is safe on flash. Two states may have one generation: damage heals by a snapshot.
    pub(super) fn holds(&self, state: &DesiredState) -> bool {
        self.is_state_whole && (self.stored.generation, self.stored.hash) == (state.generation, state.hash)
    }

    /// What the store holds, in figures.
    pub(super) fn overview(&self) -> Overview {
        Overview {
            epoch: self.epoch,
            stored_generation: self.stored_generation(),
            stored_hash: self.stored.hash,
            events: self.event_lane,
            usage: self.usage_lane,
            log: self.log_lane,
            in_memory: 0,
            bad_records: self.bad_records,
            dropped_records: self.dropped_records,
            dropped_totals: self.dropped_totals,
            disk_bytes: self.store.disk_bytes(),
            health: StoreHealth::Well,
            // The log and what was lost are the keeper's.
            left_out: LeftOut::default(),
            lost: None,
        }
    }

    /// Puts the desired state on flash: what changed since the last time, and the new head, in one commit. When this
    /// returns, a power cut cannot take it back. On an error what was there before is still there.
    pub(super) fn put_state(&mut self, state: Arc<DesiredState>) -> Result<(), StoreError> {
        self.store.require(RESERVE_BYTES)?;
        let (mut changes, mut unseen) = (Changes::default(), self.unseen.clone());
        for (id, held) in &state.lines {
            // In one commit with the line: an agent that starts between must not take its session for one of its own.
            if self.stored.is_news_of_sessions(&held.item) && unseen.insert(id.clone()) {
                changes.put(Place::Meta, &unseen_key(id), &state.generation)?;
            }
            if self.stored.lines.get(id).is_none_or(|old| !Arc::ptr_eq(old, held) && old != held) {
                let value = StoredLine { revision: held.revision, line: held.item.clone() };
                changes.put(Place::Lines, id.as_bytes(), &value)?;
            }
        }
        for id in self.stored.lines.keys().filter(|id| !state.lines.contains_key(*id)) {
            changes.remove(Place::Lines, id.as_bytes());
            if unseen.remove(id) {
                changes.remove(Place::Meta, &unseen_key(id));
            }
        }
        for (key, held) in &state.profiles {
            if self.stored.profiles.get(key).is_none_or(|old| !Arc::ptr_eq(old, held) && old != held) {
                let value = StoredProfile { revision: held.revision, profile: held.item.clone() };
                changes.put(Place::Profiles, &profile_key(key.0, &key.1), &value)?;
            }
        }
        for (service, name) in self.stored.profiles.keys().filter(|key| !state.profiles.contains_key(*key)) {
            changes.remove(Place::Profiles, &profile_key(*service, name));
        }
        let head = StoredState { generation: state.generation, hash: state.hash.to_bytes() };
        changes.put(Place::Meta, META_STATE, &head)?;
        self.store.commit(&changes)?;
        self.store.sync()?;
        self.stored = state;
        self.unseen = unseen;
        self.is_state_whole = true;
        Ok(())
    }

    /// The sessions of these lines were looked at. What comes back after a power cut is looked at again, and counts less.
    pub(super) fn forget_unseen(&mut self, lines: &[String]) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        for line in lines.iter().filter(|line| self.unseen.remove(*line)) {
            changes.remove(Place::Meta, &unseen_key(line));
        }
        self.store.commit(&changes)
    }

    fn load_looked_at(&mut self) -> Result<Arc<DesiredState>, StoreError> {
        for entry in self.store.scan(Place::Meta, META_UNSEEN)? {
            let (key, _) = entry?;
            self.unseen.extend(unseen_of(&key).map(str::to_owned));
        }
        let mut looked_at = Arc::clone(&self.stored);
        if !self.unseen.is_empty() {
            Arc::make_mut(&mut looked_at).lines.retain(|line, _| !self.unseen.contains(line));
        }
        Ok(looked_at)
    }

    /// The number of the next connection. It grows across restarts, and with the clock, so that it grows across a
    /// lost store too.
    pub(super) fn next_connection_epoch(&mut self, now: UnixMillis) -> Result<u64, StoreError> {
        let last: u64 = self.store.get(Place::Meta, META_CONNECTION)?.unwrap_or(0);
        let next = last.saturating_add(1).max(u64::try_from(now.0).unwrap_or(0));
        self.put_meta(META_CONNECTION, &next)?;
        self.store.sync()?;
        Ok(next)
    }

    /// Notes what a restart must know of time. Not synced: a power cut may take a few minutes of it.
    pub(super) fn put_marks(&mut self, marks: Marks) -> Result<(), StoreError> {
        self.store.require(RESERVE_BYTES)?;
        let mut changes = Changes::default();
        changes.put(Place::Meta, META_CLOCK, &marks.time.floor)?;
        if let Some(vouched) = marks.time.vouched {
            changes.put(Place::Meta, META_VOUCHED, &vouched)?;
        }
        match marks.time.leap_in_doubt {
            Some(leap) => {
                changes.put(Place::Meta, META_LEAP, &(leap.counted, leap.until))?;
            }
            None if self.has_leap => changes.remove(Place::Meta, META_LEAP),
            None => {}
        }
        let (whole, struck) = marks.silence.map(|silence| (silence.whole, silence.struck)).unzip();
        for (key, lasted) in [(META_SILENCE, whole), (META_STRUCK, struck), (META_LIVED, marks.lived)] {
            if let Some(lasted) = lasted {
                let millis = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
                changes.put(Place::Meta, key, &millis)?;
            }
        }
        changes.put(Place::Meta, META_LINE, &marks.line)?;
        self.store.commit(&changes)?;
        self.has_leap = marks.time.leap_in_doubt.is_some();
        Ok(())
    }

    /// Puts on flash what head office set of the settings, durably. It may use the reserve: a few bytes, seldom.
    pub(super) fn put_settings(&mut self, settings: &FromOffice) -> Result<(), StoreError> {
        let kept: Option<FromOffice> = self.store.get(Place::Meta, META_SETTINGS)?;
        if kept.unwrap_or_default() == *settings {
            return Ok(());
        }
        self.store.require(URGENT_RESERVE_BYTES)?;
        self.put_meta(META_SETTINGS, settings)?;
        self.sync()
    }

    fn load_marks(&mut self) -> Result<Marks, StoreError> {
        let floor: UnixMillis = self.store.get(Place::Meta, META_CLOCK)?.unwrap_or_default();
        let vouched = self.store.get(Place::Meta, META_VOUCHED)?;
        let lasted = |key| Ok(self.store.get(Place::Meta, key)?.map(Duration::from_millis));
        let heard: Option<UnixMillis> = self.store.get(Place::Meta, META_HEARD)?;
        let whole = lasted(META_SILENCE)?.or(heard.map(|heard| floor.since(heard)));
        let struck = lasted(META_STRUCK)?.unwrap_or_default();
        let silence = whole.map(|whole| KeptSilence { whole, struck });
        let leap: Option<(UnixMillis, UnixMillis)> = self.store.get(Place::Meta, META_LEAP)?;
        self.has_leap = leap.is_some();
        let leap_in_doubt = leap.map(|(counted, until)| LeapInDoubt { counted, until });
        let time = KeptTime { floor, vouched, leap_in_doubt };
        let line = match self.store.get(Place::Meta, META_LINE)? {
            Some(line) => line,
            None => {
                let before: Option<Line1> = self.store.get(Place::Meta, META_LINE_BEFORE)?;
                before.map(KeptLine::from).unwrap_or_default()
            }
        };
        Ok(Marks { time, silence, lived: lasted(META_LIVED)?, line })
    }

    /// Notes what must be known of a router after a restart. Synced: the router is changed right after. Digests go by
    /// name only: whoever began without this store does not know those that lie here.
    pub(super) fn put_memory(&mut self, router: &str, memory: &RouterMemory) -> Result<(), StoreError> {
        self.store.require(RESERVE_BYTES)?;
        let mut changes = Changes::default();
        changes.put(Place::Meta, &memory_key(router), memory)?;
        let mut known = self.own_passwords.get(router).cloned().unwrap_or_default();
        for (line, digest) in &memory.own_passwords {
            if known.insert(line.clone(), *digest) != Some(*digest) {
                changes.put(Place::Meta, &own_password_key(router, line), digest)?;
            }
        }
        for line in &memory.forgotten_passwords {
            if known.remove(line).is_some() {
                changes.remove(Place::Meta, &own_password_key(router, line));
            }
        }
        let mut known_cuts = self.cuts.get(router).cloned().unwrap_or_default();
        for (line, at) in &memory.cuts {
            if known_cuts.insert(line.clone(), *at) != Some(*at) {
                changes.put(Place::Meta, &cut_key(router, line), at)?;
            }
        }
        known_cuts.retain(|line, _| {
            let is_kept = memory.cuts.contains_key(line);
            if !is_kept {
                changes.remove(Place::Meta, &cut_key(router, line));
            }
            is_kept
        });
        self.store.commit(&changes)?;
        self.store.sync()?;
        self.own_passwords.insert(router.to_owned(), known);
        self.cuts.insert(router.to_owned(), known_cuts);
        Ok(())
    }

    /// Notes the newest generation that a router settled; what was settled once stays so. Not synced: an older one
    /// costs a few more writes to the router after a power cut.
    pub(super) fn put_settled(&mut self, router: &str, generation: u64) -> Result<(), StoreError> {
        let key = router_key(router);
        let known: Option<u64> = self.store.get(Place::Meta, &key)?;
        if known.is_some_and(|known| known >= generation) { Ok(()) } else { self.put_meta(&key, &generation) }
    }

    /// Whether the engine's files are so much larger than what lives in them that they should be written anew.
    pub(super) fn is_bloated(&self) -> bool {
        let items = self.stored.lines.len().saturating_add(self.stored.profiles.len());
        let live = u64::try_from(items).unwrap_or(u64::MAX).saturating_mul(ITEM_BYTES);
        let lanes = [self.event_lane, self.usage_lane, self.log_lane];
        let live = lanes.iter().fold(live, |live, lane| live.saturating_add(lane.bytes));
        self.store.disk_bytes() > live.saturating_mul(REWRITE_FACTOR).saturating_add(REWRITE_SLACK_BYTES)
    }

    /// Begins a new life: what is sealed gets new positions from 1 under a new epoch.
    pub(super) fn start_new_epoch(&mut self, ids: &IdSource) -> Result<(), StoreError> {
        let failed = |detail: String| engine("give a record a new position", detail);
        let mut changes = Changes::default();
        let epoch = new_epoch(ids, self.epoch);
        let mut lanes = [self.event_lane, self.usage_lane, self.log_lane];
        for (lane, sizes) in [Lane::Event, Lane::Usage, Lane::Log].into_iter().zip(&mut lanes) {
            let place = Self::place(lane);
            let sealed = sizes.sealed_seqs();
            // Removals first: a new position may be the old one of another record.
            sealed.clone().for_each(|seq| changes.remove(place, &numbered(SEALED, seq)));
            for (seq, old) in (1..).zip(sealed) {
                let record = self.sealed(lane, old)?;
                let (header, body) =
                    envelope::open(&record.bytes).map_err(|error| failed(error.to_string()))?;
                let header = envelope::Header { store_epoch: epoch, seq, ..header };
                let bytes = envelope::seal(header, body).map_err(|error| failed(error.to_string()))?;
                sizes.bytes =
                    sizes.bytes.saturating_sub(length(&record.bytes)).saturating_add(length(&bytes));
                changes.put_bytes(place, &numbered(SEALED, seq), bytes);
            }
            sizes.last_seq = sizes.sealed;
            changes.put(place, LAST_SEQ, &sizes.last_seq)?;
        }
        changes.put(Place::Meta, META_EPOCH, &epoch)?;
        // What head office tells of the life before is mostly what this store counted in it.
        let (open, _) = self.load_lanes()?;
        let befores = QuotaBook::load(self.epoch, &self.load_book()?, &open).begin_epoch(epoch);
        for (line, before) in &befores {
            changes.put(Place::Usage, &line_key(BEFORE, line), before)?;
        }
        self.store.commit(&changes)?;
        self.store.sync()?;
        [self.event_lane, self.usage_lane, self.log_lane] = lanes;
        self.short_names.clear();
        self.epoch = epoch;
        Ok(())
    }

    fn load_state(&mut self) -> Result<(), StoreError> {
        let mut state = DesiredState::default();
        let mut bad = Vec::new();
        for entry in self.store.scan(Place::Lines, b"")? {
            let (key, value) = entry?;
            match unframe::<StoredLine>(&key, FORMAT, &value) {
                Ok(stored) => state.restore_line(stored.line, stored.revision),
                Err(_) => bad.push((Place::Lines, key)),
            }
        }
        for entry in self.store.scan(Place::Profiles, b"")? {
            let (key, value) = entry?;
            match unframe::<StoredProfile>(&key, FORMAT, &value) {
                Ok(stored) => state.restore_profile(stored.profile, stored.revision),
                Err(_) => bad.push((Place::Profiles, key)),
            }
        }
        let head: StoredState = self.store.get(Place::Meta, META_STATE)?.unwrap_or_default();
        state.generation = head.generation;
        self.is_state_whole = bad.is_empty() && state.hash.to_bytes() == head.hash;
        self.stored = Arc::new(state);
        let mut changes = Changes::default();
        bad.iter().for_each(|(place, key)| changes.remove(*place, key));
        self.bad_records += u64::try_from(bad.len()).unwrap_or(u64::MAX);
        self.store.commit(&changes)
    }

    /// What was counted for quotas. A damaged record counts as none.
    fn load_book(&self) -> Result<BookRecords, StoreError> {
        let mut book = BookRecords::default();
        for entry in self.store.scan(Place::Usage, &[PERIOD])? {
            let (key, value) = entry?;
            if let (Some(line), Ok(record)) = (line_of(&key), unframe(&key, FORMAT, &value)) {
                book.periods.entry(line.to_owned()).or_default().running = record;
            }
        }
        for entry in self.store.scan(Place::Usage, &[LAST_PERIOD])? {
            let (key, value) = entry?;
            if let (Some(line), Ok(last)) = (line_of(&key), unframe::<PeriodCounted>(&key, FORMAT, &value))
                && let Some(record) = book.periods.get_mut(line)
                // A release that knows of one period may have gone on with this one from nothing.
                && record.running.period_ms != last.period_ms
            {
                record.last = last;
            }
        }
        for entry in self.store.scan(Place::Usage, &[BEFORE])? {
            let (key, value) = entry?;
            if let (Some(line), Ok(record)) = (line_of(&key), unframe(&key, FORMAT, &value)) {
                book.befores.insert(line.to_owned(), record);
            }
        }
        Ok(book)
    }

    /// Puts down what head office told of the time before. Synced: it is told once.
    pub(super) fn put_befores(
        &mut self,
        befores: &BTreeMap<String, CountedBefore>,
    ) -> Result<(), StoreError> {
        self.store.require(RESERVE_BYTES)?;
        let mut changes = Changes::default();
        for (line, before) in befores {
            changes.put(Place::Usage, &line_key(BEFORE, line), before)?;
        }
        self.store.commit(&changes)?;
        self.sync()
    }

    /// Forgets what was counted for the quotas of lines that are no more. What comes back after a power cut is
    /// forgotten at the next start.
    pub(super) fn forget_lines(&mut self, lines: &[String]) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        for line in lines {
            changes.remove(Place::Usage, &line_key(PERIOD, line));
            changes.remove(Place::Usage, &line_key(LAST_PERIOD, line));
            changes.remove(Place::Usage, &line_key(BEFORE, line));
        }
        self.store.commit(&changes)
    }

    fn load_settled(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut settled = BTreeMap::new();
        for entry in self.store.scan(Place::Meta, b"")? {
            let (key, value) = entry?;
            if let (Some(router), Ok(generation)) = (router_of(&key), unframe(&key, FORMAT, &value)) {
                settled.insert(router.to_owned(), generation);
            }
        }
        Ok(settled)
    }

    fn load_memories(&mut self) -> Result<BTreeMap<String, RouterMemory>, StoreError> {
        let mut memories: BTreeMap<String, RouterMemory> = BTreeMap::new();
        let mut own_passwords: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        let (mut old, mut cuts) = (Changes::default(), BTreeMap::<String, KeptCuts>::new());
        for entry in self.store.scan(Place::Meta, b"")? {
            let (key, value) = entry?;
            if key.starts_with(META_MEMORY_BEFORE) {
                old.remove(Place::Meta, &key);
            }
            if let (Some(router), Ok(memory)) = (memory_of(&key), unframe(&key, FORMAT, &value)) {
                memories.insert(router.to_owned(), memory);
            }
            if let (Some((router, line)), Ok(digest)) = (own_password_of(&key), unframe(&key, FORMAT, &value))
            {
                own_passwords.entry(router.to_owned()).or_default().insert(line.to_owned(), digest);
            }
            if let Some((router, line)) = cut_of(&key) {
                // One that cannot be read was at a time that nobody knows.
                let at = unframe(&key, FORMAT, &value).unwrap_or_default();
                cuts.entry(router.to_owned()).or_default().insert(line.to_owned(), at);
            }
        }
        for (router, cuts) in &cuts {
            memories.entry(router.clone()).or_default().cuts.clone_from(cuts);
        }
        self.cuts = cuts;
        for (router, passwords) in &own_passwords {
            memories.entry(router.clone()).or_default().own_passwords.clone_from(passwords);
        }
        self.own_passwords = own_passwords;
        self.store.commit(&old)?;
        Ok(memories)
    }

    /// Reads the epoch, or begins one. Where the newest position of a lane cannot be read, positions could be given
    /// out twice, so that a new life begins too.
    fn load_epoch(&mut self, ids: &IdSource) -> Result<(), StoreError> {
        let mut is_damaged = false;
        for place in [Place::Events, Place::Usage, Place::Log] {
            let found = self.store.bytes(place, LAST_SEQ)?;
            is_damaged |= found.is_some_and(|bytes| unframe::<u64>(LAST_SEQ, FORMAT, &bytes).is_err());
        }
        let found = self.store.get(Place::Meta, META_EPOCH)?;
        self.epoch = found.unwrap_or(0);
        self.bad_records += u64::from(is_damaged);
        if found.is_none() || is_damaged { self.start_new_epoch(ids) } else { Ok(()) }
    }

    fn put_meta<T: Serialize>(&self, key: &[u8], value: &T) -> Result<(), StoreError> {
        self.store.require(RESERVE_BYTES)?;
        let mut changes = Changes::default();
        changes.put(Place::Meta, key, value)?;
        self.store.commit(&changes)
    }
}

/// A random life number that is neither 0 nor the last one.
fn new_epoch(ids: &IdSource, last: u32) -> u32 {
    let [a, b, c, d, ..] = ids.number().to_be_bytes();
    let epoch = u32::from_be_bytes([a, b, c, d]);
    if epoch == 0 || epoch == last { last.wrapping_add(1).max(1) } else { epoch }
}
