//! The lanes of the outbox on flash: what waits, what has a position, what is dropped when a bound is reached.
//!
//! ```text
//! put_events ─> pending event ──┐ take: at most 16 get a position and        cursor
//!                               ├─> become an immutable envelope ──sealed──> forgotten
//! put_usage ──> session total ──┤
//! put_writes ─> batch of writes ┘   (`writes.rs`)
//! ```
//!
//! A record gets its position only when it is about to be told. So positions have no gaps, whatever was dropped before;
//! and a newer total of a session simply replaces the one that still waits, so that a cut-off site keeps one record a
//! session however long it is cut off. What is fresh is sealed before the backlog of a site that was cut off: its sessions
//! that are over, and after these who came and went. A sealed record that was damaged is replaced by an empty one in its place.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use tawi_shared::Gather as _;
use tawi_shared::envelope::{FLAG_HISTORICAL, Header};
use tawi_shared::wire::{
    Body, EventKind, EventV1, Lane, PROTOCOL_SHORT_TOTALS, RouterWritesV1, RunningTotalV1, SessionUsageV1,
    UpMessage, UsageBatchV1, UsageTotalsV1, encode,
};
use tawi_shared::{IdSource, UnixMillis};

use super::flash::Flash;
use super::framing::unframe;
use super::records::{
    BATCH_BYTES, BEFORE, DETAIL_BYTES, FORMAT, HISTORY, LAST_PERIOD, LAST_SEQ, PENDING, PERIOD, SEALED,
    SESSION, SESSION_BYTES, SESSION_FORMAT, STANDING, StoredEvent, StoredSession, StoredStanding, is_too_old,
    line_key, number_of, numbered, session_key,
};
use super::short_names::ShortNames;
use super::store::{Changes, Place, engine, length};
use super::{
    Forgot, LaneSizes, RESERVE_BYTES, SEALED_RECORDS, SealedRecord, StoreError, URGENT_RESERVE_BYTES,
};
use crate::site::cadence::UsageDue;
use crate::usage::counted::Counted;
use crate::usage::quota::PeriodRecord;

/// Records that are dropped in one commit when a bound is reached. More would make one long pause.
pub(super) const DROPPED_AT_ONCE: u64 = 4_096;
/// What an event takes on the line beside fifteen others, roughly.
const EVENT_BYTES: u64 = 120;
/// What a total by a short name takes in a message, mostly.
const SHORT_BYTES: usize = 16;
/// Session totals that are put down in one commit: all that a site of 200 subscribers reads at once.
const SESSIONS_PER_COMMIT: usize = 256;
/// The same of a larger site, and more only where they are of one line, whose record is made of them. Others need not stand or
/// fall together; until a commit is over the engine holds every page that it replaced, and a large site's agent has no room for
/// many of these.
const SESSIONS_OF_MANY_PER_COMMIT: usize = 32;

impl LaneSizes {
    /// The positions that are sealed and not forgotten.
    pub(super) fn sealed_seqs(self) -> RangeInclusive<u64> {
        self.committed().saturating_add(1)..=self.last_seq
    }

    /// Records without a position that do not wait behind others.
    fn fresh(self) -> u64 {
        self.pending.saturating_sub(self.backlog)
    }

    /// The last position that head office has committed.
    fn committed(self) -> u64 {
        self.last_seq.saturating_sub(self.sealed)
    }
}

/// What is being sealed: the changes, and what the lane will look like after them.
pub(super) struct Sealing {
    pub(super) changes: Changes,
    pub(super) lane: LaneSizes,
    place: Place,
    epoch: u32,
}

impl Sealing {
    pub(super) fn has_room(&self) -> bool {
        self.lane.sealed < SEALED_RECORDS
    }

    /// Gives `body` the next position.
    pub(super) fn seal<B: Body>(&mut self, body: &B, is_historical: bool) -> Result<(), StoreError> {
        let seq = self.lane.last_seq + 1;
        let flags = if is_historical { FLAG_HISTORICAL } else { 0 };
        let bytes = encode(body, flags, self.epoch, seq)
            .map_err(|error| engine("seal a record", error.to_string()))?;
        self.lane.last_seq = seq;
        self.lane.sealed += 1;
        self.lane.bytes += length(&bytes);
        self.changes.put_bytes(self.place, &numbered(SEALED, seq), bytes);
        self.changes.put(self.place, LAST_SEQ, &seq)?;
        Ok(())
    }

    /// A pending record leaves the lane.
    pub(super) fn take_out(&mut self, key: &[u8], value: &[u8], is_backlog: bool) {
        self.lane.pending = self.lane.pending.saturating_sub(1);
        self.lane.backlog = self.lane.backlog.saturating_sub(u64::from(is_backlog));
        self.lane.bytes = self.lane.bytes.saturating_sub(length(value));
        self.changes.remove(self.place, key);
    }
}

/// Says more in words for people that have a bound: what was said first gives way.
pub(super) fn append(detail: &mut String, words: &str) {
    detail.truncate(detail.floor_char_boundary(DETAIL_BYTES.saturating_sub(words.len())));
    detail.push_str(words);
}

/// Sessions on their way into one batch, and those that are told by their short names beside it.
#[derive(Default)]
struct Gathered {
    sessions: Vec<SessionUsageV1>,
    short: Vec<([u8; 4], SessionUsageV1)>,
    bytes: usize,
    is_historical: bool,
}

impl Gathered {
    fn seal_into(&mut self, sealing: &mut Sealing, names: &mut ShortNames) -> Result<(), StoreError> {
        let gathered = std::mem::take(self);
        if !gathered.short.is_empty() {
            sealing.seal(&totals_of(&gathered.short), gathered.is_historical)?;
        }
        if gathered.sessions.is_empty() {
            return Ok(());
        }
        let batch = UsageBatchV1 { sessions: gathered.sessions };
        sealing.seal(&batch, gathered.is_historical)?;
        for session in &batch.sessions {
            match session.is_ended {
                true => names.end(&session.session),
                false => names.name(&session.session, sealing.lane.last_seq),
            }
        }
        Ok(())
    }
}

/// Running totals by short names.
fn totals_of(sessions: &[([u8; 4], SessionUsageV1)]) -> UsageTotalsV1 {
    let newest = sessions.iter().map(|(_, total)| total.sampled_at_ms).max().unwrap_or_default();
    let total = |(session, total): &([u8; 4], SessionUsageV1)| RunningTotalV1 {
        session: *session,
        seconds_before: u32::try_from(newest.saturating_sub(total.sampled_at_ms) / 1_000).unwrap_or(u32::MAX),
        upload_bytes: total.upload_bytes,
        download_bytes: total.download_bytes,
    };
    UsageTotalsV1 { sampled_at_ms: newest, totals: sessions.iter().map(total).collect() }
}

impl Flash {
    /// Puts events on flash, durably. While fewer than [`SEALED_RECORDS`] wait for the controller they get their
    /// position in the same commit. `is_urgent` events may use the reserve: the alarm about the full disk itself.
    pub(super) fn put_events(
        &mut self,
        events: Vec<EventV1>,
        is_historical: bool,
        is_urgent: bool,
    ) -> Result<(), StoreError> {
        self.store.require(if is_urgent { URGENT_RESERVE_BYTES } else { RESERVE_BYTES })?;
        let mut sealing = self.sealing(Lane::Event);
        let mut order = self.next_order;
        for event in events {
            if sealing.lane.fresh() == 0 && sealing.has_room() {
                sealing.seal(&event, is_historical)?;
            } else {
                let value = StoredEvent { is_historical, event };
                sealing.lane.bytes +=
                    sealing.changes.put(Place::Events, &numbered(PENDING, order), &value)?;
                sealing.lane.pending += 1;
                order += 1;
            }
        }
        self.store.commit(&sealing.changes)?;
        (self.event_lane, self.next_order) = (sealing.lane, order);
        self.sync()?;
        self.keep_within_bytes()
    }

    /// Puts on flash, durably, who came and went while the site was cut off: the last of each line beside what is fresh, as it
    /// tells how the line stands, and what was before it behind everything.
    pub(super) fn put_backlog(&mut self, events: Vec<EventV1>) -> Result<(), StoreError> {
        self.store.require(RESERVE_BYTES)?;
        let mut sealing = self.sealing(Lane::Event);
        let mut order = self.next_order;
        let (mut standing, mut past) = (BTreeMap::new(), Vec::new());
        for event in events {
            match event.line.clone() {
                Some(line) => past.extend(standing.insert(line, (order, event))),
                None => past.push((order, event)),
            }
            order += 1;
        }
        for (line, (order, event)) in standing {
            let key = line_key(STANDING, &line);
            if let Some(old) = self.store.bytes(Place::Events, &key)? {
                sealing.take_out(&key, &old, false);
                let old = unframe::<StoredStanding>(&key, FORMAT, &old).ok();
                past.extend(old.map(|old| (old.order, old.event)));
            }
            let value = StoredStanding { order, event };
            sealing.lane.bytes += sealing.changes.put(Place::Events, &key, &value)?;
            sealing.lane.pending += 1;
        }
        for (order, event) in past {
            let value = StoredEvent { is_historical: true, event };
            sealing.lane.bytes += sealing.changes.put(Place::Events, &numbered(HISTORY, order), &value)?;
            sealing.lane.pending += 1;
            sealing.lane.backlog += 1;
        }
        self.store.commit(&sealing.changes)?;
        (self.event_lane, self.next_order) = (sealing.lane, order);
        self.sync()?;
        self.keep_within_bytes()
    }

    /// Puts session totals on flash; each replaces the one of the same session that still waits. Beside each is whether
    /// the site was cut off. What `periods` says of a line is in one commit with its totals. Final totals are durable at
    /// once. A running total is with whatever is synced next: the next sample would replace a lost one.
    pub(super) fn put_usage(
        &mut self,
        sessions: &[(&Counted, bool)],
        periods: &BTreeMap<String, PeriodRecord>,
    ) -> Result<(), StoreError> {
        self.store.require(RESERVE_BYTES)?;
        let mut by_line: BTreeMap<&str, Vec<(&Counted, bool)>> = BTreeMap::new();
        for line in periods.keys() {
            by_line.entry(line).or_default();
        }
        for (counted, is_historical) in sessions {
            by_line.entry(&counted.total.line).or_default().push((*counted, *is_historical));
        }
        let is_large = sessions.len().max(periods.len()) > SESSIONS_PER_COMMIT;
        let most = if is_large { SESSIONS_OF_MANY_PER_COMMIT } else { SESSIONS_PER_COMMIT };
        let (mut part, mut records) = (Vec::new(), Vec::new());
        for (line, of_line) in by_line {
            part.extend(of_line);
            records.extend(periods.get_key_value(line));
            if part.len().max(records.len()) >= most {
                self.put_some_usage(&std::mem::take(&mut part), &std::mem::take(&mut records))?;
            }
        }
        self.put_some_usage(&part, &records)?;
        if sessions.iter().any(|(counted, _)| counted.total.is_ended) {
            self.sync()?;
        }
        self.keep_within_bytes()
    }

    fn put_some_usage(
        &mut self,
        sessions: &[(&Counted, bool)],
        periods: &[(&String, &PeriodRecord)],
    ) -> Result<(), StoreError> {
        let (mut changes, mut lane) = (Changes::default(), self.usage_lane);
        // The last one of a session wins.
        let newest: BTreeMap<_, _> =
            sessions.iter().map(|session| (session_key(&session.0.total.session), session)).into_map();
        for (key, (counted, is_historical)) in newest {
            let total = counted.total.clone();
            if total.session.is_empty() || total.session.len() > SESSION_BYTES {
                self.dropped_records += 1;
                self.dropped_totals += 1;
                continue;
            }
            let (mut was_waiting, mut was_backlog) = (false, false);
            if let Some(old) = self.store.bytes(Place::Usage, &key)? {
                lane.bytes = lane.bytes.saturating_sub(length(&old));
                let old = StoredSession::read(&key, &old).ok();
                was_waiting = old.as_ref().is_some_and(|old| old.is_waiting);
                was_backlog = old.as_ref().is_some_and(StoredSession::is_backlog);
            }
            let is_historical = *is_historical;
            let stored = StoredSession { is_waiting: true, is_historical, total, mark: counted.mark.clone() };
            lane.bytes += changes.put_as(Place::Usage, &key, SESSION_FORMAT, &stored)?;
            lane.pending += u64::from(!was_waiting);
            lane.backlog = lane.backlog.saturating_sub(u64::from(was_backlog));
            lane.backlog += u64::from(stored.is_backlog());
        }
        for (line, record) in periods {
            changes.put(Place::Usage, &line_key(PERIOD, line), &record.running)?;
            if record.last.period_ms != 0 {
                changes.put(Place::Usage, &line_key(LAST_PERIOD, line), &record.last)?;
            }
        }
        self.store.commit(&changes)?;
        self.usage_lane = lane;
        Ok(())
    }

    /// The sealed records of a lane after position `after`, at most `limit`; seals more if there is room and need. Totals
    /// are sealed as far as they are due, and of the backlog so many bytes, give or take a record.
    pub(super) fn take(
        &mut self,
        lane: Lane,
        after: u64,
        limit: u64,
        (due, backlog_bytes): (&UsageDue, u64),
    ) -> Result<Vec<SealedRecord>, StoreError> {
        let sizes = self.lane(lane);
        // The log is told when nothing else waits, and who came and went after whatever was used.
        let backlog_bytes = match lane {
            Lane::Usage => backlog_bytes,
            Lane::Event if self.usage_lane.backlog == 0 => backlog_bytes,
            Lane::Log if self.usage_lane.backlog == 0 && self.event_lane.backlog == 0 => backlog_bytes,
            Lane::Event | Lane::Log => 0,
        };
        let has_backlog = backlog_bytes > 0 && sizes.backlog > 0;
        let is_wanted = match lane {
            Lane::Usage => (*due != UsageDue::Nothing && sizes.fresh() > 0) || has_backlog,
            Lane::Event => sizes.fresh() > 0 || has_backlog,
            Lane::Log => sizes.pending > 0 && backlog_bytes > 0,
        };
        if is_wanted && sizes.sealed < SEALED_RECORDS {
            self.store.require(RESERVE_BYTES)?;
            match lane {
                Lane::Event => self.seal_events(backlog_bytes)?,
                Lane::Usage => self.seal_usage(due, backlog_bytes)?,
                Lane::Log => self.seal_writes()?,
            }
        }
        let sealed = self.lane(lane).sealed_seqs();
        let first = after.saturating_add(1).max(*sealed.start());
        let last = first.saturating_add(limit).saturating_sub(1).min(*sealed.end());
        (first..=last).map(|seq| self.sealed(lane, seq)).collect()
    }

    /// Forgets what the controller has committed. Not synced: what comes back after a power cut is sent again, and
    /// the controller knows it already.
    pub(super) fn forget(
        &mut self,
        lane: Lane,
        epoch: u32,
        cursor: u64,
        ids: &IdSource,
    ) -> Result<Forgot, StoreError> {
        if epoch != self.epoch {
            return Ok(Forgot::ForeignEpoch);
        }
        let mut sizes = self.lane(lane);
        if cursor > sizes.last_seq {
            self.start_new_epoch(ids)?;
            return Ok(Forgot::NewEpoch);
        }
        let forgotten = *sizes.sealed_seqs().start()..=cursor;
        if forgotten.is_empty() {
            return Ok(Forgot::Records(0));
        }
        self.store.require(URGENT_RESERVE_BYTES)?;
        let (place, mut changes, mut count) = (Self::place(lane), Changes::default(), 0);
        for seq in forgotten {
            let key = numbered(SEALED, seq);
            let bytes = self.store.bytes(place, &key)?.map_or(0, |old| length(&old));
            sizes.bytes = sizes.bytes.saturating_sub(bytes);
            sizes.sealed = sizes.sealed.saturating_sub(1);
            count += 1;
            changes.remove(place, &key);
        }
        self.store.commit(&changes)?;
        *self.lane_mut(lane) = sizes;
        Ok(Forgot::Records(count))
    }

    /// Drops what has waited for longer than [`super::WAITING_AGE`], except totals of sessions that head office has not:
    /// bills stand on them, and only their bytes can make them go. The caller asks only while the clock is sure.
    pub(super) fn drop_old(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        self.drop_writes(|at, _| is_too_old(at, now))?;
        self.drop_events(|event, _| is_too_old(event.at_ms, now))?;
        self.drop_sessions(|session, _| !session.is_waiting && is_too_old(session.total.sampled_at_ms, now))
    }

    /// One sealed record. A damaged or missing one is replaced, on flash, by an empty one of the same position. While
    /// the mark of the store's life is lost (0), any life will do: what was sealed is moved into the next one.
    pub(super) fn sealed(&mut self, lane: Lane, seq: u64) -> Result<SealedRecord, StoreError> {
        let (place, key) = (Self::place(lane), numbered(SEALED, seq));
        let empty = UsageBatchV1 { sessions: Vec::new() };
        let is_right = |(header, body): (Header, UpMessage)| {
            let is_of_this_life = self.epoch == 0 || header.store_epoch == self.epoch;
            header.seq == seq && is_of_this_life && is_of(lane, &body)
        };
        if let Some(bytes) = self.store.bytes(place, &key)?
            && let Ok(read) = UpMessage::decode(&bytes)
        {
            let is_unheard_of =
                self.protocol < PROTOCOL_SHORT_TOTALS && matches!(read.1, UpMessage::UsageTotals(_));
            match is_right(read) {
                // A controller that was set back to an older release: its next totals are told in full.
                true if is_unheard_of => {
                    let bytes = encode(&empty, FLAG_HISTORICAL, self.epoch, seq)
                        .map_err(|error| engine("tell a record otherwise", error.to_string()))?;
                    return Ok(SealedRecord { seq, bytes });
                }
                true => return Ok(SealedRecord { seq, bytes }),
                false => {}
            }
        }
        let bytes = match lane {
            Lane::Event => encode(&damaged_event(), FLAG_HISTORICAL, self.epoch, seq),
            Lane::Usage => encode(&empty, FLAG_HISTORICAL, self.epoch, seq),
            Lane::Log => encode(&RouterWritesV1 { writes: Vec::new() }, FLAG_HISTORICAL, self.epoch, seq),
        }
        .map_err(|error| engine("replace a damaged record", error.to_string()))?;
        let before = self.store.bytes(place, &key)?.map_or(0, |old| length(&old));
        let mut changes = Changes::default();
        changes.put_bytes(place, &key, bytes.clone());
        self.store.commit(&changes)?;
        let sizes = self.lane_mut(lane);
        sizes.bytes = sizes.bytes.saturating_sub(before).saturating_add(length(&bytes));
        self.sync()?;
        self.bad_records += 1;
        Ok(SealedRecord { seq, bytes })
    }

    /// Counts all lanes; the totals of sessions that are not over, and whether none of them was damaged.
    pub(super) fn load_lanes(&mut self) -> Result<(Vec<Counted>, bool), StoreError> {
        let (mut open_sessions, mut are_whole) = (Vec::new(), true);
        for lane in [Lane::Event, Lane::Usage, Lane::Log] {
            let (place, mut sizes) = (Self::place(lane), LaneSizes::default());
            let (mut first, mut last, mut order) = (None, 0, 0);
            for entry in self.store.scan(place, b"")? {
                let (key, value) = entry?;
                // The records of lines and the mark of the last position are no part of what waits.
                if !matches!(key.first().copied(), Some(PERIOD | LAST_PERIOD | BEFORE)) && key != LAST_SEQ {
                    sizes.bytes += length(&value);
                }
                match key.first().copied() {
                    Some(SEALED) => {
                        last = number_of(&key).unwrap_or(last).max(last);
                        first = first.or(number_of(&key));
                    }
                    Some(kind @ (PENDING | HISTORY)) => {
                        sizes.pending += 1;
                        sizes.backlog += u64::from(kind == HISTORY);
                        order = number_of(&key).unwrap_or(order).max(order);
                    }
                    Some(STANDING) => {
                        sizes.pending += 1;
                        order = pending_event(&key, &value).map_or(order, |(own, _)| own.max(order));
                    }
                    Some(SESSION) => match StoredSession::read(&key, &value) {
                        Ok(stored) => {
                            sizes.pending += u64::from(stored.is_waiting);
                            sizes.backlog += u64::from(stored.is_backlog());
                            open_sessions
                                .extend(Some(stored.counted()).filter(|counted| !counted.total.is_ended));
                        }
                        Err(_) => are_whole = false,
                    },
                    _ => {}
                }
            }
            sizes.last_seq = self.store.get(place, LAST_SEQ)?.unwrap_or(0_u64).max(last);
            sizes.sealed = first.map_or(0, |first| sizes.last_seq.saturating_sub(first).saturating_add(1));
            *self.lane_mut(lane) = sizes;
            self.next_order = self.next_order.max(order.saturating_add(1));
        }
        Ok((open_sessions, are_whole))
    }

    pub(super) fn place(lane: Lane) -> Place {
        match lane {
            Lane::Event => Place::Events,
            Lane::Usage => Place::Usage,
            Lane::Log => Place::Log,
        }
    }

    fn lane(&self, lane: Lane) -> LaneSizes {
        match lane {
            Lane::Event => self.event_lane,
            Lane::Usage => self.usage_lane,
            Lane::Log => self.log_lane,
        }
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut LaneSizes {
        match lane {
            Lane::Event => &mut self.event_lane,
            Lane::Usage => &mut self.usage_lane,
            Lane::Log => &mut self.log_lane,
        }
    }

    pub(super) fn sealing(&self, lane: Lane) -> Sealing {
        Sealing {
            changes: Changes::default(),
            lane: self.lane(lane),
            place: Self::place(lane),
            epoch: self.epoch,
        }
    }

    fn seal_events(&mut self, backlog_bytes: u64) -> Result<(), StoreError> {
        let (mut sealing, mut bad) = (self.sealing(Lane::Event), 0);
        let most_past = backlog_bytes.div_ceil(EVENT_BYTES);
        for (kind, most) in [(PENDING, u64::MAX), (STANDING, u64::MAX), (HISTORY, most_past)] {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            for entry in self.store.scan(Place::Events, &[kind])?.take(most) {
                if !sealing.has_room() {
                    break;
                }
                let (key, value) = entry?;
                sealing.take_out(&key, &value, kind == HISTORY);
                let Some((order, StoredEvent { is_historical, mut event })) = pending_event(&key, &value)
                else {
                    bad += 1;
                    continue;
                };
                if let Some((at_ms, words)) = self.bases.corrected(order, event.at_ms) {
                    event.at_ms = at_ms;
                    append(&mut event.detail, &words);
                }
                sealing.seal(&event, is_historical)?;
            }
        }
        self.store.commit(&sealing.changes)?;
        self.event_lane = sealing.lane;
        self.bad_records += bad;
        self.sync()
    }

    /// The right time of a pending record that bears a wrong one, with words for a person.
    pub(super) fn corrected(&self, key: &[u8], at_ms: i64) -> Option<(i64, String)> {
        self.bases.corrected(number_of(key)?, at_ms)
    }

    /// What is fresh, as far as it is due, and then the backlog.
    fn seal_usage(&mut self, due: &UsageDue, backlog_bytes: u64) -> Result<(), StoreError> {
        if *due != UsageDue::Nothing {
            let is_due = |stored: &StoredSession| due.takes(&stored.total.line, stored.total.is_ended);
            self.seal_sessions(u64::MAX, |stored| !stored.is_backlog() && is_due(stored))?;
        }
        let has_room = self.usage_lane.sealed < SEALED_RECORDS;
        if has_room && backlog_bytes > 0 && self.usage_lane.backlog > 0 {
            let are_all = self.seal_sessions(backlog_bytes, StoredSession::is_backlog)?;
            // Of a damaged one nobody knows whether it was counted here.
            if are_all {
                self.usage_lane.backlog = 0;
            }
        }
        self.sync()
    }

    /// Seals the sessions that are wanted, until so many bytes are; whether those are all.
    fn seal_sessions(
        &mut self,
        most_bytes: u64,
        is_wanted: impl Fn(&StoredSession) -> bool,
    ) -> Result<bool, StoreError> {
        let (mut sealing, mut gathered, mut bad) = (self.sealing(Lane::Usage), Gathered::default(), 0);
        let (mut told_bytes, mut are_all) = (0_u64, true);
        let committed = sealing.lane.committed();
        let mut names = std::mem::take(&mut self.short_names);
        for entry in self.store.scan(Place::Usage, &[SESSION])? {
            let (key, value) = entry?;
            let Ok(stored) = StoredSession::read(&key, &value) else {
                bad += 1;
                sealing.lane.bytes = sealing.lane.bytes.saturating_sub(length(&value));
                sealing.changes.remove(Place::Usage, &key);
                continue;
            };
            if !stored.is_waiting || !is_wanted(&stored) {
                continue;
            }
            let may_be_short = self.protocol >= PROTOCOL_SHORT_TOTALS && !stored.total.is_ended;
            let short = may_be_short.then(|| names.tell(&stored.total.session, committed)).flatten();
            let bytes = if short.is_some() { SHORT_BYTES } else { value.len() };
            if gathered.bytes.saturating_add(bytes) > BATCH_BYTES {
                told_bytes = told_bytes.saturating_add(u64::try_from(gathered.bytes).unwrap_or(u64::MAX));
                gathered.seal_into(&mut sealing, &mut names)?;
                // Each batch is a commit with the sessions that are in it: one for all would be large in memory.
                self.store.commit(&std::mem::take(&mut sealing.changes))?;
                self.usage_lane = sealing.lane;
                if !sealing.has_room() || told_bytes >= most_bytes {
                    are_all = false;
                    break;
                }
            }
            gathered.bytes = gathered.bytes.saturating_add(bytes);
            gathered.is_historical |= stored.is_historical;
            match short {
                Some(short) => gathered.short.push((short, stored.total.clone())),
                None => gathered.sessions.push(stored.total.clone()),
            }
            if stored.total.is_ended {
                sealing.take_out(&key, &value, stored.is_backlog());
            } else {
                // It stays, so that a restart knows which sessions were open.
                sealing.lane.pending = sealing.lane.pending.saturating_sub(1);
                let told = StoredSession { is_waiting: false, ..stored };
                sealing.changes.put_as(Place::Usage, &key, SESSION_FORMAT, &told)?;
            }
        }
        gathered.seal_into(&mut sealing, &mut names)?;
        self.store.commit(&sealing.changes)?;
        // Only now: what is not on flash was not told, and after an error each is named once more.
        self.short_names = names;
        self.usage_lane = sealing.lane;
        self.bad_records += bad;
        Ok(are_all)
    }

    /// Drops what is over the bound: the log first, then events, then the sessions that were read the longest ago.
    pub(super) fn keep_within_bytes(&mut self) -> Result<(), StoreError> {
        // An eighth more than needed, so that a full store does not drop one record at each put.
        let excess = |flash: &Self| {
            let lanes = [flash.event_lane, flash.usage_lane, flash.log_lane];
            let bytes = lanes.iter().fold(0_u64, |bytes, lane| bytes.saturating_add(lane.bytes));
            let over = bytes.saturating_sub(flash.waiting_bytes);
            if over > 0 { over.saturating_add(flash.waiting_bytes / 8) } else { 0 }
        };
        let over = excess(self);
        if over > 0 {
            self.drop_writes(|_, dropped| dropped < over)?;
        }
        let over = excess(self);
        if over > 0 {
            self.drop_events(|_, dropped| dropped < over)?;
        }
        let over = excess(self);
        if over > 0 {
            let limit = self.sampled_up_to(over)?;
            self.drop_sessions(|session, dropped| dropped < over && session.total.sampled_at_ms <= limit)?;
        }
        Ok(())
    }

    /// The time, to the hour, up to which samples make up `bytes`: found in one pass, without the sessions in memory.
    fn sampled_up_to(&self, bytes: u64) -> Result<i64, StoreError> {
        const HOUR_MS: i64 = 3_600_000;
        let mut hours: BTreeMap<i64, u64> = BTreeMap::new();
        for entry in self.store.scan(Place::Usage, &[SESSION])? {
            let (key, value) = entry?;
            if let Ok(stored) = StoredSession::read(&key, &value) {
                *hours.entry(stored.total.sampled_at_ms.div_euclid(HOUR_MS)).or_default() += length(&value);
            }
        }
        let mut sum: u64 = 0;
        for (hour, held) in hours {
            sum = sum.saturating_add(held);
            if sum >= bytes {
                return Ok(hour.saturating_add(1).saturating_mul(HOUR_MS));
            }
        }
        Ok(i64::MAX)
    }

    /// Drops pending events, oldest first and those of the backlog before others, while `is_dropped` says so of the next one
    /// and the bytes dropped so far.
    fn drop_events(&mut self, is_dropped: impl Fn(&EventV1, u64) -> bool) -> Result<(), StoreError> {
        let (mut sealing, mut count, mut dropped) = (self.sealing(Lane::Event), 0_u64, 0);
        for kind in [HISTORY, PENDING, STANDING] {
            for entry in self.store.scan(Place::Events, &[kind])? {
                let (key, value) = entry?;
                let stored = pending_event(&key, &value);
                let stays = stored.is_some_and(|(_, stored)| !is_dropped(&stored.event, dropped));
                // Those of lines are not in the order of time, so that one which stays says nothing of the next.
                if stays && kind == STANDING {
                    continue;
                }
                if stays || count >= DROPPED_AT_ONCE {
                    break;
                }
                sealing.take_out(&key, &value, kind == HISTORY);
                dropped += length(&value);
                count += 1;
            }
        }
        self.store.commit(&sealing.changes)?;
        self.event_lane = sealing.lane;
        self.dropped_records += count;
        Ok(())
    }

    /// Drops the sessions of which `is_dropped` says so, given the bytes dropped so far.
    fn drop_sessions(&mut self, is_dropped: impl Fn(&StoredSession, u64) -> bool) -> Result<(), StoreError> {
        let (mut changes, mut lane) = (Changes::default(), self.usage_lane);
        let (mut count, mut dropped) = (0_u64, 0);
        for entry in self.store.scan(Place::Usage, &[SESSION])? {
            let (key, value) = entry?;
            let Ok(stored) = StoredSession::read(&key, &value) else { continue };
            if !is_dropped(&stored, dropped) {
                continue;
            }
            lane.pending = lane.pending.saturating_sub(u64::from(stored.is_waiting));
            lane.backlog = lane.backlog.saturating_sub(u64::from(stored.is_backlog()));
            lane.bytes = lane.bytes.saturating_sub(length(&value));
            dropped += length(&value);
            count += 1;
            changes.remove(Place::Usage, &key);
            if count >= DROPPED_AT_ONCE {
                break;
            }
        }
        self.store.commit(&changes)?;
        self.usage_lane = lane;
        self.dropped_records += count;
        self.dropped_totals += count;
        Ok(())
    }
}

/// An event without a position, of either kind, and its number; `None` for a damaged one.
fn pending_event(key: &[u8], value: &[u8]) -> Option<(u64, StoredEvent)> {
    if key.first() == Some(&STANDING) {
        let StoredStanding { order, event } = unframe(key, FORMAT, value).ok()?;
        return Some((order, StoredEvent { is_historical: true, event }));
    }
    Some((number_of(key)?, unframe(key, FORMAT, value).ok()?))
}

fn damaged_event() -> EventV1 {
    EventV1 {
        at_ms: 0,
        kind: EventKind::StoreLost.code(),
        line: None,
        router: None,
        detail: "an event that waited here was damaged on flash; this one keeps its place".to_owned(),
    }
}

fn is_of(lane: Lane, message: &UpMessage) -> bool {
    matches!(
        (lane, message),
        (Lane::Event, UpMessage::Event(_))
            | (Lane::Usage, UpMessage::Usage(_) | UpMessage::UsageTotals(_))
            | (Lane::Log, UpMessage::RouterWrites(_))
    )
}
