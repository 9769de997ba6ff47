//! What head office says, message by message: what is a state goes into memory, what is a cursor to the outbox, and what
//! cannot be read is counted.

use std::sync::Arc;

use tawi_shared::UnixMillis;
use tawi_shared::topics::parse_down;
use tawi_shared::wire::{
    DownMessage, EventKind, Lane, PROTOCOL_NEWEST, PROTOCOL_OLDEST, StateDeltaV1, StateSnapshotV1,
};
use tracing::{debug, info, warn};

use super::chunks::Joined;
use super::talk::Talk;
use super::{HELLO_AGAIN, Site};
use crate::desired::Taken;
use crate::link::Delivery;
use crate::outbox::Forgot;

impl Site {
    /// Takes in one message. State is only taken into memory here; its acknowledgement waits in `deliveries`.
    pub(super) async fn hear(&mut self, delivery: Delivery, deliveries: &mut Vec<Delivery>) {
        // Nothing in a message names its site but the topic. A broker that is wrong about who hears what must not make this
        // site serve the lines of another.
        if parse_down(delivery.topic()).is_none_or(|(site, _)| site != self.tools.site) {
            self.messages_refused = self.messages_refused.saturating_add(1);
            warn!(
                link.topic = delivery.topic(),
                "the broker delivers what is not for this site; it is not taken"
            );
            self.acknowledge(&delivery);
            return;
        }
        match DownMessage::decode(delivery.bytes()) {
            Ok((_, DownMessage::Delta(delta))) => {
                self.take_delta(&delta);
                deliveries.push(delivery);
            }
            Ok((_, DownMessage::Snapshot(chunk))) => {
                self.take_chunk(chunk).await;
                deliveries.push(delivery);
            }
            Ok((_, DownMessage::Cursor(cursor))) => {
                self.tools.clock.note_controller_time(UnixMillis(cursor.controller_clock_ms));
                if let Some(lane) = Lane::from_code(cursor.lane) {
                    self.take_cursor(lane, cursor.store_epoch, cursor.cursor).await;
                }
                self.acknowledge(&delivery);
            }
            Ok((_, DownMessage::Cursors(told))) => {
                self.tools.clock.note_controller_time(UnixMillis(told.controller_clock_ms));
                for (lane, cursor) in told.cursors {
                    if let Some(lane) = Lane::from_code(lane) {
                        self.take_cursor(lane, told.store_epoch, cursor).await;
                    }
                }
                self.acknowledge(&delivery);
            }
            Ok((_, DownMessage::UsageBefore(told))) => {
                self.take_usage_before(&told).await;
                self.acknowledge(&delivery);
            }
            Ok((_, DownMessage::Command(command))) => {
                self.take_command(command).await;
                self.acknowledge(&delivery);
            }
            Ok((_, DownMessage::Settings(settings))) => {
                self.take_settings(settings).await;
                self.acknowledge(&delivery);
            }
            Ok((_, DownMessage::TellNow(_))) => {
                self.cadence.hurry();
                self.line.hurry();
                self.acknowledge(&delivery);
            }
            Ok((_, DownMessage::Spread(spread))) => {
                let random = self.tools.ids.number();
                self.with_talk(|talk| talk.spread(&spread, random));
                self.acknowledge(&delivery);
            }
            Ok((_, DownMessage::Welcome(welcome))) => {
                self.speak(welcome.protocol.clamp(PROTOCOL_OLDEST, PROTOCOL_NEWEST)).await;
                self.acknowledge(&delivery);
            }
            Ok((_, DownMessage::Wanted(wanted))) => {
                self.take_wanted(wanted);
                self.acknowledge(&delivery);
            }
            Ok((_, DownMessage::Part(part))) => {
                self.take_part(part);
                self.acknowledge(&delivery);
            }
            Err(error) => {
                // Bad bytes stay bad: they are counted, and what comes after them is not held up.
                self.messages_refused = self.messages_refused.saturating_add(1);
                warn!(link.topic = delivery.topic(), %error, "a message from head office cannot be read");
                self.acknowledge(&delivery);
            }
        }
    }

    /// What head office speaks on this connection. A store that is not there has nothing to tell.
    pub(super) async fn speak(&mut self, protocol: u16) {
        self.with_talk(|talk| talk.protocol = protocol);
        let _ = self.tools.outbox.call(move |keeper| keeper.speak(protocol)).await;
    }

    fn take_delta(&mut self, delta: &StateDeltaV1) {
        let taken = self.desired.take_delta(delta);
        let lines = delta.lines.iter().map(|line| line.line.as_str());
        self.cadence.changed(lines, self.started.elapsed());
        debug!(state.to = delta.to_generation, "a delta came");
        self.take(taken, "delta");
    }

    async fn take_chunk(&mut self, chunk: StateSnapshotV1) {
        match self.chunks.take(chunk) {
            Joined::Waiting => {}
            Joined::Whole { generation, hash, lines, profiles } => {
                let taken = self.desired.take_snapshot(generation, hash, lines, profiles);
                if matches!(taken, Taken::AlreadyHeld) {
                    self.trust_state();
                    if generation < self.desired.generation {
                        warn!(
                            state.generation = self.desired.generation,
                            snapshot.generation = generation,
                            "head office offers an older state than this site holds; was its database restored?"
                        );
                    }
                }
                if let Taken::Moved(state) = &taken {
                    let news = state.lines.iter().filter(|(_, held)| held.revision == state.generation);
                    self.cadence.changed(news.map(|(id, _)| id.as_str()), self.started.elapsed());
                }
                let is_no_better = matches!(taken, Taken::HashDiffers);
                self.take(taken, "snapshot");
                if is_no_better {
                    self.tell_difference(generation).await;
                }
            }
            Joined::Refused(why) => {
                self.messages_refused = self.messages_refused.saturating_add(1);
                warn!(state.why = why, "a part of a snapshot cannot be used");
            }
        }
    }

    fn take(&mut self, taken: Taken, what: &'static str) {
        match taken {
            Taken::Moved(mut state) => {
                // Its hash is the controller's own: whatever was doubted before, this is right.
                self.trust_state();
                state.forget_leaving(|router, generation| self.progress.has_settled(router, generation));
                self.desired = Arc::new(state);
                self.with_talk(|talk| talk.is_hello_wanted = false);
            }
            Taken::AlreadyHeld => {
                // Head office may have missed that it is stored.
                self.with_talk(|talk| talk.is_stored_wanted = true);
            }
            Taken::Gap { from_generation } => {
                info!(
                    state.from = from_generation,
                    state.generation = self.desired.generation,
                    "a delta starts from a generation that is not held; asking for what lies between"
                );
                self.with_talk(|talk| talk.is_hello_wanted = true);
            }
            Taken::HashDiffers => {
                warn!(state.what = what, "the state would differ from head office's; asking for a snapshot");
                self.is_state_doubted = true;
                self.with_talk(|talk| talk.is_hello_wanted = true);
            }
        }
    }

    pub(super) fn trust_state(&mut self) {
        (self.is_state_doubted, self.is_difference_told) = (false, false);
        self.hello_pause = HELLO_AGAIN;
    }

    /// Head office's own snapshot differs from the hash that it names: asking again will not help, a person may. Told
    /// once, until a state comes that is right.
    async fn tell_difference(&mut self, generation: u64) {
        if std::mem::replace(&mut self.is_difference_told, true) {
            return;
        }
        let detail = format!("the snapshot of generation {generation} does not have the hash that it names");
        self.keep_event(EventKind::StateDiffers, detail).await;
    }

    async fn take_cursor(&mut self, lane: Lane, store_epoch: u32, cursor: u64) {
        let ids_epoch = self.overview.epoch;
        let forgot = self.tools.outbox.call(move |keeper| keeper.forget(lane, store_epoch, cursor)).await;
        match forgot {
            Ok(Forgot::Records(_)) => {
                let was_answered = self.talk.as_ref().is_some_and(Talk::is_answered);
                self.with_talk(|talk| talk.cursor(lane, cursor));
                if !was_answered && self.talk.as_ref().is_some_and(Talk::is_answered) {
                    info!("head office has answered");
                    self.last_problem = None;
                    self.say_applied();
                    self.tell_desk_again();
                }
            }
            Ok(Forgot::ForeignEpoch) => {
                debug!(
                    outbox.epoch = ids_epoch,
                    cursor.epoch = store_epoch,
                    "a cursor of another life of the store"
                );
            }
            Ok(Forgot::NewEpoch) => {
                warn!(
                    outbox.cursor = cursor,
                    "head office knows more records than this store ever had; beginning a new life of the store"
                );
                self.refresh_overview().await;
                self.begin_epoch_of_book(false).await;
                self.say_hello();
            }
            Err(error) => debug!(%error, "the cursor was not taken"),
        }
    }
}
