//! The core's part in usage: when it is told to head office, what head office tells of the time before, and lines that
//! are no more.
//!
//! Nothing is counted here (`crate::usage`), and nothing is restrained (`crate::reconcile`).

use std::sync::Arc;

use tawi_shared::wire::{Lane, UsageBeforeV1};
use tracing::{info, warn};

use super::Site;
use super::cadence::UsageDue;
use crate::link::window::Next;
use crate::outbox::{FoundLate, Keeper, Reported, SealedRecord, StoreHealth};
use crate::reconcile::found::Remembered;

impl Site {
    /// What was just reported may have to be told before the running totals are.
    pub(super) fn note_cadence(&mut self, reported: &Reported) {
        let now = self.started.elapsed();
        if reported.usage.iter().any(|counted| counted.total.is_ended) {
            self.cadence.ended(now);
        }
        for event in &reported.events {
            self.cadence.event(event.kind, event.line.as_deref(), now);
        }
    }

    /// Tells what has waited for as long as it may, if there is anybody to tell. A disk that hangs is not asked each
    /// second: its queue is for what would be lost.
    pub(super) async fn tell_what_is_due(&mut self) {
        let is_well = self.overview.health == StoreHealth::Well;
        let now = self.started.elapsed();
        let is_due = self.cadence.are_events_due(now)
            || self.cadence.due(now) != UsageDue::Nothing
            || self.is_backlog_due();
        if is_well && self.talk.is_some() && is_due {
            self.pump().await;
        }
    }

    /// Tells records that were taken from flash when `due` was due of usage.
    pub(super) fn tell(&mut self, told: Vec<(Next, Vec<SealedRecord>)>, due: &UsageDue) {
        let count = told.iter().map(|(_, records)| records.len()).sum();
        let is_light = self.talk.as_mut().is_some_and(|talk| talk.begin(count));
        for (next, records) in told {
            let are_all = u64::try_from(records.len()).unwrap_or(u64::MAX) < next.limit;
            match next.lane {
                Lane::Usage if are_all => self.cadence.told(due, self.started.elapsed()),
                Lane::Event if are_all => self.cadence.events_told(),
                Lane::Usage | Lane::Event | Lane::Log => {}
            }
            records.iter().for_each(|record| self.line.told(record.bytes.len()));
            self.with_talk(|talk| talk.tell(next, records, is_light));
        }
    }

    /// Takes what lines had moved before this life of the store. It is on flash before it is acknowledged, because it is
    /// told once.
    pub(super) async fn take_usage_before(&mut self, told: &UsageBeforeV1) {
        let Some(befores) = self.tools.quotas.with(|book| book.note_before(told)) else {
            info!(
                usage.epoch = told.store_epoch,
                "head office tells of usage before another life of the store"
            );
            return;
        };
        if self.tools.outbox.call(move |keeper| keeper.put_befores(befores)).await.is_err() {
            warn!("the disk does not answer; what was used before may be forgotten at the next start");
        }
        self.tools.quotas.wake();
    }

    /// The book forgets lines with the state, in memory and on flash.
    pub(super) async fn forget_gone_lines(&mut self) {
        let gone = self.tools.quotas.keep_only(&self.desired.lines);
        if !gone.is_empty() {
            // What stays on flash is forgotten with the next state.
            let _ = self.tools.outbox.call(move |keeper| keeper.forget_lines(&gone)).await;
        }
    }

    /// A store that could not be opened at the start and is open by now: the book in memory, the reconcilers and the desk
    /// go on with what lay there. The state that was found with it comes last: enforced without the rest, it would count
    /// quotas anew and write to a board that is another. Looked for until it is found, because the disk may hang just then.
    pub(super) async fn join_found_store(&mut self) {
        if self.is_store_joined || self.overview.epoch == 0 {
            return;
        }
        let found = self.tools.outbox.call(|keeper| (keeper.found_book(), keeper.found_late())).await;
        let Ok((book, late)) = found else { return };
        if let Some(late) = &late {
            self.take_found_late(late);
        }
        if let Some(found) = book {
            self.tools.quotas.with(|book| book.join(&found));
            info!("the store is open after all; what it had counted for quotas counts again");
            self.tools.quotas.wake();
        }
        self.is_store_joined = true;
        if let Some(late) = late.filter(|late| late.state.generation > self.desired.generation) {
            info!(state.generation = late.state.generation, "the stored state could be read after all");
            self.desired = Arc::clone(&late.state);
            self.trust_state();
        }
    }

    fn take_found_late(&mut self, late: &FoundLate) {
        for (router, memory) in &self.tools.memories {
            match late.memories.get(router) {
                Some(found) => memory.give(found.clone()),
                // That nothing is remembered of it is known by now.
                None if !late.is_lost => {
                    memory.give(Remembered { lived: late.marks.lived, ..Remembered::default() });
                }
                None => {}
            }
        }
        self.tools.clock.join(late.marks.time);
        self.tools.contact.join(late.marks.silence.unwrap_or_default());
        self.line.join(&late.marks.line);
        self.marks_found = late.marks;
        self.join_settings(&late.settings);
        self.join_commands(late.commands.clone());
    }

    /// The store has begun another life and written so beside its own count; the book in memory follows.
    /// `was_begun_anew`: the store was damaged, and what the book had put down went with it.
    pub(super) async fn begin_epoch_of_book(&mut self, was_begun_anew: bool) {
        self.join_found_store().await;
        let epoch = self.overview.epoch;
        if !self.is_store_joined || epoch == 0 {
            return;
        }
        let (befores, periods) = self.tools.quotas.with(|book| (book.begin_epoch(epoch), book.records()));
        if !befores.is_empty() {
            let put = move |keeper: &mut Keeper| {
                keeper.put_befores(befores);
                if was_begun_anew {
                    keeper.put_periods(periods);
                }
            };
            let _ = self.tools.outbox.call(put).await;
        }
    }
}
