//! The conversation on one connection: what was said on it, what is unanswered, what is still to be said.
//!
//! It decides nothing about the state or the records themselves; `mod.rs` does. Saying never waits: a connection that
//! takes nothing more is lost, and marked so.

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::envelope::{FLAG_HISTORICAL, Header};
use tawi_shared::topics::Up;
use tawi_shared::wire::{
    AnswerV1, BatchedEventV1, Body, CommandResultV1, EVENTS_TOGETHER, EventBatchV1, ForeignRowsV1,
    HeldPlanV1, HelloV1, Lane, LineReportV1, PROTOCOL_NEWEST, PROTOCOL_OLDEST, PROTOCOL_RELEASES,
    PROTOCOL_TOGETHER, ReleasePartWantedV1, ReleaseStandingV1, RouterStatusV1, SettingsStandingV1, SpreadV1,
    StoredV1, UpMessage, encode,
};
use tokio::time::Instant;
use tracing::{debug, error};

use super::applied::Applied;
use crate::clock::Reading;
use crate::config::ControllerAddress;
use crate::desired::DesiredState;
use crate::link::budget::Allowance;
use crate::link::window::{Next, Room, Window};
use crate::link::{Connection, Delivery};
use crate::outbox::SealedRecord;

/// Where the agent stands, for hello.
pub(super) struct Hello {
    pub(super) boot_id: u64,
    pub(super) store_epoch: u32,
    pub(super) stored_generation: u64,
    pub(super) applied_generation: u64,
    pub(super) state_hash: [u8; 16],
    pub(super) reading: Reading,
    pub(super) routers: Vec<RouterStatusV1>,
    pub(super) version: String,
}

/// One connection.
pub(super) struct Talk {
    connection: Connection,
    started: Instant,
    window: Window,
    hello_at: Instant,
    /// What hello said of the routers.
    routers_said: Vec<RouterStatusV1>,
    store_epoch: u32,
    /// What head office speaks.
    pub(super) protocol: u16,
    applied_said: Option<Applied>,
    events_wait: bool,
    usage_waits: bool,
    log_waits: bool,
    /// The controller should hear once more where we stand.
    pub(super) is_hello_wanted: bool,
    /// When head office wants to hear it in any case.
    hello_due: Option<Instant>,
    /// Head office has answered a hello of this connection: what happens now is no history, though it was asked for another.
    was_answered: bool,
    /// The controller should hear what is stored: it is news, or the controller seems to have missed it.
    pub(super) is_stored_wanted: bool,
    /// Nothing more can be said on it.
    pub(super) is_lost: bool,
}

impl Talk {
    pub(super) fn new(connection: Connection) -> Self {
        let now = Instant::now();
        Self {
            connection,
            started: now,
            window: Window::default(),
            hello_at: now,
            routers_said: Vec::new(),
            store_epoch: 0,
            protocol: PROTOCOL_OLDEST,
            applied_said: None,
            events_wait: true,
            usage_waits: true,
            log_waits: true,
            is_hello_wanted: false,
            hello_due: None,
            was_answered: false,
            is_stored_wanted: false,
            is_lost: false,
        }
    }

    pub(super) fn connection_epoch(&self) -> u64 {
        self.connection.connection_epoch
    }

    pub(super) fn address(&self) -> &ControllerAddress {
        &self.connection.address
    }

    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// The life of the store that was said in hello.
    pub(super) fn store_epoch(&self) -> u32 {
        self.store_epoch
    }

    /// Whether hello said something else of the routers. No other message tells that a router answers which had not yet
    /// when hello was said, or which release it runs.
    pub(super) fn has_old_routers(&self, routers: &[RouterStatusV1]) -> bool {
        self.routers_said != routers
    }

    pub(super) fn hello_age(&self) -> Duration {
        self.hello_at.elapsed()
    }

    /// Head office asks for patience: it is not the only one that everybody speaks to.
    pub(super) fn spread(&mut self, spread: &SpreadV1, random: u64) {
        if spread.return_within_seconds > 0 {
            self.connection.return_within(spread.return_within_seconds);
        }
        let within_ms = u64::from(spread.hello_within_seconds).saturating_mul(1_000);
        if let Some(wait_ms) = random.checked_rem(within_ms) {
            self.hello_due = Some(Instant::now() + Duration::from_millis(wait_ms));
        }
    }

    /// Whether the time has come at which head office wants to hear where we stand.
    pub(super) fn is_hello_due(&self) -> bool {
        self.hello_due.is_some_and(|due| due <= Instant::now())
    }

    pub(super) fn hello(&mut self, hello: Hello) {
        self.routers_said.clone_from(&hello.routers);
        let body = HelloV1 {
            boot_id: hello.boot_id,
            connection_epoch: self.connection.connection_epoch,
            protocol_oldest: PROTOCOL_OLDEST,
            protocol_newest: PROTOCOL_NEWEST,
            stored_generation: hello.stored_generation,
            applied_generation: hello.applied_generation,
            state_hash: hello.state_hash,
            clock_ms: hello.reading.now.0,
            is_clock_trusted: hello.reading.is_trusted,
            agent_version: hello.version,
            routers: hello.routers,
        };
        self.store_epoch = hello.store_epoch;
        self.hello_at = Instant::now();
        self.is_hello_wanted = false;
        self.hello_due = None;
        // Head office may have missed it.
        self.applied_said = None;
        self.window.hello(self.age());
        (self.events_wait, self.usage_waits, self.log_waits) = (true, true, true);
        self.say(Up::Hello, &body);
    }

    /// Says what is stored, if the controller should hear it.
    pub(super) fn stored(&mut self, stored: &StoredV1) {
        if std::mem::take(&mut self.is_stored_wanted) {
            self.say(Up::Ack, stored);
        }
    }

    /// Says where the routers stand, if that is news here.
    pub(super) fn applied(&mut self, applied: Applied, state: &DesiredState, now: UnixMillis) {
        if applied.generation == 0 || self.applied_said.as_ref() == Some(&applied) {
            return;
        }
        self.say(Up::Ack, &applied.to_wire(state, now));
        self.applied_said = Some(applied);
    }

    /// Says what became of a command.
    pub(super) fn result(&mut self, result: &CommandResultV1) {
        self.say(Up::Ack, result);
    }

    /// Says what became of settings.
    pub(super) fn settings(&mut self, standing: &SettingsStandingV1) {
        self.say(Up::Ack, standing);
    }

    /// Says what a guard holds.
    pub(super) fn held(&mut self, plan: &HeldPlanV1) {
        self.say(Up::Ack, plan);
    }

    /// Names rows of others.
    pub(super) fn foreign_rows(&mut self, rows: &ForeignRowsV1) {
        self.say(Up::Ack, rows);
    }

    /// Tells a part of what a command asked to know; lightly where the next one replaces it.
    pub(super) fn answer(&mut self, answer: &AnswerV1, is_light: bool) {
        match encode(answer, 0, self.store_epoch, 0) {
            Ok(bytes) => self.is_lost |= self.connection.answer(bytes, is_light).is_err(),
            Err(problem) => error!(error = %problem, "an answer is too large to be told"),
        }
    }

    /// Something new may wait in a lane.
    pub(super) fn waits(&mut self, events: bool, usage: bool) {
        self.events_wait |= events;
        self.usage_waits |= usage;
    }

    /// Something new may wait in the log.
    pub(super) fn log_waits(&mut self) {
        self.log_waits = true;
    }

    /// What may be told now.
    pub(super) fn room(&self, allowance: Allowance) -> Room {
        if self.is_lost {
            return Room::default();
        }
        self.window.room(self.events_wait, self.usage_waits, self.log_waits).within(allowance)
    }

    /// Whether nothing that was told is still on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.window.unanswered() == 0
    }

    /// Whether head office has answered, and knows what a report of the line is.
    pub(super) fn takes_line_reports(&self) -> bool {
        self.is_answered() && self.protocol >= PROTOCOL_TOGETHER
    }

    /// Whether head office has answered, and knows of releases.
    pub(super) fn takes_releases(&self) -> bool {
        self.is_answered() && self.protocol >= PROTOCOL_RELEASES
    }

    /// Whether nothing waits to be told and nothing is on its way.
    pub(super) fn is_quiet(&self) -> bool {
        !(self.is_lost || self.events_wait || self.usage_waits || self.log_waits) && self.is_idle()
    }

    /// Says how the site stands with the release that is wanted.
    pub(super) fn standing(&mut self, standing: &ReleaseStandingV1) {
        self.say(Up::Ack, standing);
    }

    /// Asks for part of a release: whoever misses it asks again.
    pub(super) fn part_wanted(&mut self, wanted: &ReleasePartWantedV1) {
        // Three numbers and a hash always fit an envelope.
        if let Ok(bytes) = encode(wanted, 0, self.store_epoch, 0) {
            self.is_lost |= self.connection.say_lightly(Up::Ack, bytes).is_err();
        }
    }

    /// Says what the line carried.
    pub(super) fn line(&mut self, report: &LineReportV1) {
        self.say(Up::Ack, report);
    }

    /// So many records of all lanes are told next; whether lightly.
    pub(super) fn begin(&mut self, records: usize) -> bool {
        self.window.begin(records)
    }

    /// Tells records of a lane; fewer than were asked for means that no more are due.
    pub(super) fn tell(&mut self, asked: Next, records: Vec<SealedRecord>, is_light: bool) {
        if u64::try_from(records.len()).unwrap_or(u64::MAX) < asked.limit {
            match asked.lane {
                Lane::Event => self.events_wait = false,
                Lane::Usage => self.usage_waits = false,
                Lane::Log => self.log_waits = false,
            }
        }
        let topic = match asked.lane {
            Lane::Event => Up::Event,
            Lane::Usage => Up::Usage,
            Lane::Log => Up::Log,
        };
        for record in &records {
            self.window.told(asked.lane, record.seq, self.age());
        }
        for bytes in together(asked.lane, records, self.protocol) {
            let said = match is_light {
                true => self.connection.say_lightly(topic, bytes),
                false => self.connection.say(topic, bytes),
            };
            self.is_lost |= said.is_err();
        }
    }

    pub(super) fn cursor(&mut self, lane: Lane, cursor: u64) {
        self.window.cursor(lane, cursor);
        // What was forgotten makes room for what waits.
        match lane {
            Lane::Event => self.events_wait = true,
            Lane::Usage => self.usage_waits = true,
            Lane::Log => self.log_waits = true,
        }
        if self.window.is_answered() {
            self.was_answered = true;
            self.connection.mark_good();
        }
    }

    pub(super) fn was_answered(&self) -> bool {
        self.was_answered
    }

    pub(super) fn is_answered(&self) -> bool {
        self.window.is_answered()
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.window.is_overdue(self.age())
    }

    /// What was told lightly and had no answer waits again. Whether there is such.
    pub(super) fn doubts(&mut self) -> bool {
        let doubts = self.window.doubts(self.age());
        if doubts {
            (self.events_wait, self.usage_waits, self.log_waits) = (true, true, true);
        }
        doubts
    }

    pub(super) fn acknowledge(&mut self, delivery: &Delivery) {
        self.is_lost |= self.connection.ack(delivery).is_err();
    }

    pub(super) async fn farewell(self) {
        self.connection.farewell().await;
    }

    fn say<B: Body>(&mut self, up: Up, body: &B) {
        match encode(body, 0, self.store_epoch, 0) {
            Ok(bytes) => self.is_lost |= self.connection.say(up, bytes).is_err(),
            // The settings cap what hello carries and `to_wire` what applied does, so that this is a bug.
            Err(problem) => error!(error = %problem, "a message is too large to be said"),
        }
        debug!(link.message = ?up, "said");
    }
}

/// The messages that tell these records: one for all of them where they are events, which head office can take apart.
fn together(lane: Lane, records: Vec<SealedRecord>, protocol: u16) -> Vec<Vec<u8>> {
    let are_events = lane == Lane::Event && records.len() > 1 && records.len() <= EVENTS_TOGETHER;
    if are_events
        && protocol >= PROTOCOL_TOGETHER
        && let Some(bytes) = batched(&records)
    {
        return vec![bytes];
    }
    records.into_iter().map(|record| record.bytes).collect()
}

/// `None` where one of them is no event, or where they do not follow each other or fit one envelope: then each is told alone.
fn batched(records: &[SealedRecord]) -> Option<Vec<u8>> {
    let mut first: Option<Header> = None;
    let mut events = Vec::with_capacity(records.len());
    for record in records {
        let (header, UpMessage::Event(event)) = UpMessage::decode(&record.bytes).ok()? else { return None };
        let follows = first.is_none_or(|first| {
            let before = u64::try_from(events.len()).unwrap_or(u64::MAX);
            first.store_epoch == header.store_epoch && first.seq.saturating_add(before) == header.seq
        });
        if !follows {
            return None;
        }
        first.get_or_insert(header);
        events.push(BatchedEventV1 { is_historical: header.flags & FLAG_HISTORICAL != 0, event });
    }
    let first = first?;
    encode(&EventBatchV1 { events }, 0, first.store_epoch, first.seq).ok()
}

#[cfg(test)]
mod tests {
    use tawi_shared::wire::{EventKind, EventV1};

    use super::*;

    fn record(seq: u64, flags: u8, epoch: u32) -> SealedRecord {
        let detail = format!("event {seq}");
        let event =
            EventV1 { at_ms: 1, kind: EventKind::LineOnline.code(), line: None, router: None, detail };
        SealedRecord { seq, bytes: encode(&event, flags, epoch, seq).unwrap() }
    }

    #[test]
    fn events_are_told_in_one_message_to_whoever_takes_it_apart() {
        let records = vec![record(7, 0, 3), record(8, FLAG_HISTORICAL, 3), record(9, 0, 3)];
        let each: Vec<_> = records.iter().map(|record| record.bytes.clone()).collect();
        assert_eq!(together(Lane::Event, records.clone(), PROTOCOL_TOGETHER - 1), each);
        let one = together(Lane::Event, records.clone(), PROTOCOL_TOGETHER);
        let (header, message) = UpMessage::decode(&one[0]).unwrap();
        assert_eq!((one.len(), header.seq, header.store_epoch, header.flags), (1, 7, 3, 0));
        let UpMessage::Events(batch) = message else { panic!("{message:?}") };
        let said: Vec<_> = batch.events.iter().map(|one| (one.is_historical, &*one.event.detail)).collect();
        assert_eq!(said, [(false, "event 7"), (true, "event 8"), (false, "event 9")]);
        assert!(one[0].len() < each.iter().map(Vec::len).sum());
        // One alone, and what does not belong together, is told as it is.
        assert_eq!(together(Lane::Event, records[..1].to_vec(), PROTOCOL_TOGETHER), each[..1]);
        for odd in [record(11, 0, 3), record(10, 0, 4), SealedRecord { seq: 10, bytes: vec![1] }] {
            let all = [records.clone(), vec![odd]].concat();
            assert_eq!(together(Lane::Event, all, PROTOCOL_TOGETHER).len(), 4);
        }
    }
}
