//! The lane of the API log on flash: batches of writes that wait for head office, and how they give way.
//!
//! It is the least of the three lanes. It takes nothing when space runs short, an eighth of the outbox at most, and no
//! sync of its own: a power cut may take its last batches, and what it takes was not told yet. How a record gets its
//! position, and what is dropped when, is `lanes.rs`; the same writes in files are `crate::api_log`.

use tawi_shared::wire::{Lane, RouterWriteV1, RouterWritesV1, item_bytes};

use super::flash::Flash;
use super::framing::unframe;
use super::lanes::{DROPPED_AT_ONCE, append};
use super::records::{BATCH_BYTES, FORMAT, PENDING, StoredWrites, numbered};
use super::store::{Place, length};
use super::{StoreError, WAITING_LOG_SHARE};

impl Flash {
    /// Puts writes on flash in batches, not durably. The caller has looked for space.
    pub(super) fn put_writes(&mut self, writes: Vec<RouterWriteV1>) -> Result<(), StoreError> {
        let (mut sealing, mut order) = (self.sealing(Lane::Log), self.next_order);
        for batch in batches(writes) {
            let value = StoredWrites { writes: batch };
            sealing.lane.bytes += sealing.changes.put(Place::Log, &numbered(PENDING, order), &value)?;
            sealing.lane.pending += 1;
            order += 1;
        }
        self.store.commit(&sealing.changes)?;
        self.log_lane = sealing.lane;
        self.next_order = order;
        let most = self.waiting_bytes / WAITING_LOG_SHARE;
        let over = self.log_lane.bytes.saturating_sub(most);
        if over > 0 {
            // An eighth more than needed, so that a full lane does not drop one batch at each put.
            let over = over.saturating_add(most / 8);
            self.drop_writes(|_, dropped| dropped < over)?;
        }
        self.keep_within_bytes()
    }

    pub(super) fn seal_writes(&mut self) -> Result<(), StoreError> {
        let (mut sealing, mut bad) = (self.sealing(Lane::Log), 0);
        for entry in self.store.scan(Place::Log, &[PENDING])? {
            if !sealing.has_room() {
                break;
            }
            let (key, value) = entry?;
            sealing.take_out(&key, &value, false);
            match unframe::<StoredWrites>(&key, FORMAT, &value) {
                Ok(StoredWrites { mut writes }) => {
                    for write in &mut writes {
                        if let Some((at_ms, words)) = self.corrected(&key, write.at_ms) {
                            write.at_ms = at_ms;
                            append(&mut write.detail, &words);
                        }
                    }
                    sealing.seal(&RouterWritesV1 { writes }, false)?;
                }
                Err(_) => bad += 1,
            }
        }
        self.store.commit(&sealing.changes)?;
        self.log_lane = sealing.lane;
        self.bad_records += bad;
        self.sync()
    }

    /// Drops pending batches, oldest first, while `is_dropped` says so of the time of the next one and the bytes dropped
    /// so far.
    pub(super) fn drop_writes(&mut self, is_dropped: impl Fn(i64, u64) -> bool) -> Result<(), StoreError> {
        let (mut sealing, mut count, mut dropped) = (self.sealing(Lane::Log), 0_u64, 0);
        for entry in self.store.scan(Place::Log, &[PENDING])? {
            let (key, value) = entry?;
            let stored = unframe::<StoredWrites>(&key, FORMAT, &value);
            let at = stored.ok().and_then(|stored| stored.writes.last().map(|write| write.at_ms));
            if at.is_some_and(|at| !is_dropped(at, dropped)) {
                break;
            }
            sealing.take_out(&key, &value, false);
            dropped += length(&value);
            count += 1;
            if count >= DROPPED_AT_ONCE {
                break;
            }
        }
        self.store.commit(&sealing.changes)?;
        self.log_lane = sealing.lane;
        self.dropped_records += count;
        Ok(())
    }
}

/// Writes in batches that each fit a page of the engine.
fn batches(writes: Vec<RouterWriteV1>) -> Vec<Vec<RouterWriteV1>> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0_usize);
    for write in writes {
        let size = item_bytes(&write);
        if bytes.saturating_add(size) > BATCH_BYTES && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes = bytes.saturating_add(size);
        batch.push(write);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}
