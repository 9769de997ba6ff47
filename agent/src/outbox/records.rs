//! The structs that lie on flash, and the keys that they lie under.
//!
//! ```text
//! tree           key                value
//! lines          line id            StoredLine
//! profiles       service ‖ name     StoredProfile
//! outbox_event   p ‖ order          StoredEvent      waits for a position
//! outbox_event   c ‖ line           StoredStanding   the last of who came and went while the site was cut off
//! outbox_event   h ‖ order          StoredEvent      the history of those
//! outbox_usage   t ‖ session        StoredSession    newest total of a session
//! outbox_usage   q ‖ line           PeriodCounted    what its ended sessions moved in the running period
//! outbox_usage   l ‖ line           PeriodCounted    the same of the period that ran before it
//! outbox_usage   b ‖ line           CountedBefore    what head office told of the time before
//! outbox_log     p ‖ order          StoredWrites     waits for a position
//! all three      s ‖ seq            an envelope      waits for the controller's cursor
//! all three      n                  u64              the newest position that was given out
//! commands       command id         commands::Kept
//! meta           state, epoch, connection, router ‖ name, memory-2 ‖ name
//! meta           clock, vouched     UnixMillis       see `KeptTime`
//! meta           leap               (UnixMillis, UnixMillis)      see `LeapInDoubt`
//! meta           silence, struck, lived  u64         milliseconds, see `Marks`
//! meta           line-2             KeptLine         what the line carried
//! meta           settings-1         FromOffice       what head office set of the agent's settings
//! meta           own-password ‖ line ‖ router   u64    see `RouterMemory::own_passwords`
//! meta           unseen ‖ line                  u64    the generation that brought a line whose sessions were not looked at yet
//! meta           cut-1 ‖ line ‖ router          Option<UnixMillis>    see `RouterMemory::cuts`
//! ```
//!
//! Pure. A released struct is never edited: the next shape takes the next format number, and reads the last one too.

use serde::{Deserialize, Serialize};
use tawi_shared::UnixMillis;
use tawi_shared::wire::{EventV1, LineV1, ProfileV1, RouterWriteV1, SessionUsageV1};

use super::former;
use super::framing::{BadRecord, unframe};
use crate::flow::Event;
use crate::usage::counted::{Counted, Mark};

/// The format number of everything in this file that has none of its own.
pub(super) const FORMAT: u8 = 1;
/// Of [`StoredSession`]. What came before it is read by [`former`](super::former).
pub(super) const SESSION_FORMAT: u8 = 2;

pub(super) const PENDING: u8 = b'p';
/// A pending event that waits behind everything else. A release before this one does not know it, and leaves it where it is.
pub(super) const HISTORY: u8 = b'h';
/// How a line stands since it was last noted while the site was cut off: told before the history of it.
pub(super) const STANDING: u8 = b'c';
pub(super) const SESSION: u8 = b't';
pub(super) const SEALED: u8 = b's';
pub(super) const PERIOD: u8 = b'q';
pub(super) const LAST_PERIOD: u8 = b'l';
pub(super) const BEFORE: u8 = b'b';
pub(super) const LAST_SEQ: &[u8] = b"n";

pub(super) const META_STATE: &[u8] = b"state";
pub(super) const META_EPOCH: &[u8] = b"epoch";
pub(super) const META_CONNECTION: &[u8] = b"connection";
pub(super) const META_CLOCK: &[u8] = b"clock";
/// When head office was last heard, as an instant: what was kept before its silence was. Read, and written no more.
pub(super) const META_HEARD: &[u8] = b"heard";
pub(super) const META_VOUCHED: &[u8] = b"vouched";
pub(super) const META_LEAP: &[u8] = b"leap";
pub(super) const META_SILENCE: &[u8] = b"silence";
/// What rules were judged by of it; none in a store of a release before.
pub(super) const META_STRUCK: &[u8] = b"struck";
pub(super) const META_LIVED: &[u8] = b"lived";
/// With the number of its shape.
pub(super) const META_LINE: &[u8] = b"line-2";
/// The shape before: read, and written no more.
pub(super) const META_LINE_BEFORE: &[u8] = b"line-1";
/// With the number of its shape.
pub(super) const META_SETTINGS: &[u8] = b"settings-1";
const META_ROUTER: &[u8] = b"router/";
/// With the number of its shape: a memory of a shape before has no place here, and none of its bytes are read as another.
const META_MEMORY: &[u8] = b"memory-2/";
/// What shapes before lay under; taken away where it is found.
pub(super) const META_MEMORY_BEFORE: &[u8] = b"memory/";
const META_OWN_PASSWORD: &[u8] = b"own-password/";
/// A line whose sessions were not looked at since it came.
pub(super) const META_UNSEEN: &[u8] = b"unseen/";
/// With the number of its shape.
const META_CUT: &[u8] = b"cut-1/";

/// The longest session key that is kept, in bytes. A longer one is not of our making.
pub(super) const SESSION_BYTES: usize = 200;
/// The longest text for people in an event or a failure, in bytes; the wire contract says so.
pub(super) const DETAIL_BYTES: usize = 200;
/// The body of one batch of totals or writes, in bytes: it lies on flash as one value, and the engine puts values of more than a
/// page into files of their own.
pub(super) const BATCH_BYTES: usize = 3_500;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredLine {
    pub(super) revision: u64,
    pub(super) line: LineV1,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredProfile {
    pub(super) revision: u64,
    pub(super) profile: ProfileV1,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct StoredState {
    pub(super) generation: u64,
    pub(super) hash: [u8; 16],
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredEvent {
    /// Whether the site was cut off when it happened.
    pub(super) is_historical: bool,
    pub(super) event: EventV1,
}

/// See [`STANDING`]: always of a site that was cut off.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredStanding {
    /// The number that it would have as a pending event: tells by which time it was noted.
    pub(super) order: u64,
    pub(super) event: EventV1,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredSession {
    /// Whether this total is newer than what is sealed.
    pub(super) is_waiting: bool,
    /// Whether the site was cut off when it was read.
    pub(super) is_historical: bool,
    pub(super) total: SessionUsageV1,
    pub(super) mark: Mark,
}

impl StoredSession {
    /// Reads what lies under `key`, in this format or in one before.
    pub(super) fn read(key: &[u8], bytes: &[u8]) -> Result<Self, BadRecord> {
        unframe(key, SESSION_FORMAT, bytes).or_else(|_| former::session(key, bytes))
    }

    /// Whether it waits behind what is fresh: a session that ended while the site was cut off.
    pub(super) fn is_backlog(&self) -> bool {
        self.is_waiting && self.is_historical && self.total.is_ended
    }

    /// As the counters go on from it.
    pub(super) fn counted(self) -> Counted {
        Counted { total: self.total, mark: self.mark, grown_bytes: 0 }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredWrites {
    pub(super) writes: Vec<RouterWriteV1>,
}

/// A key of a numbered record.
pub(super) fn numbered(kind: u8, number: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    for (slot, byte) in key.iter_mut().skip(1).zip(number.to_be_bytes()) {
        *slot = byte;
    }
    key
}

/// Reads the number out of such a key.
pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    let (_kind, rest) = key.split_first()?;
    Some(u64::from_be_bytes(rest.try_into().ok()?))
}

pub(super) fn session_key(session: &str) -> Vec<u8> {
    let mut key = vec![SESSION];
    key.extend_from_slice(session.as_bytes());
    key
}

/// A key of a line's record of one kind.
pub(super) fn line_key(kind: u8, line: &str) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(line.as_bytes());
    key
}

/// The line of such a key.
pub(super) fn line_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.split_first()?.1).ok()
}

pub(super) fn profile_key(service: u16, name: &str) -> Vec<u8> {
    let mut key = service.to_be_bytes().to_vec();
    key.extend_from_slice(name.as_bytes());
    key
}

pub(super) fn router_key(router: &str) -> Vec<u8> {
    [META_ROUTER, router.as_bytes()].concat()
}

/// The router of such a key; `None` for another entry of the same tree.
pub(super) fn router_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(META_ROUTER)?).ok()
}

/// The key of what is remembered of a router.
pub(super) fn memory_key(router: &str) -> Vec<u8> {
    [META_MEMORY, router.as_bytes()].concat()
}

/// The router whose memory this key is of.
pub(super) fn memory_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(META_MEMORY)?).ok()
}

/// The key of the digest that stands for the password which a line's row keeps.
pub(super) fn own_password_key(router: &str, line: &str) -> Vec<u8> {
    [META_OWN_PASSWORD, line.as_bytes(), b"/", router.as_bytes()].concat()
}

/// The router and the line of such a key.
pub(super) fn own_password_of(key: &[u8]) -> Option<(&str, &str)> {
    router_and_line(key.strip_prefix(META_OWN_PASSWORD)?)
}

/// The key of a line whose sessions were not looked at since it came.
pub(super) fn unseen_key(line: &str) -> Vec<u8> {
    [META_UNSEEN, line.as_bytes()].concat()
}

/// The line of such a key.
pub(super) fn unseen_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(META_UNSEEN)?).ok()
}

/// The key of when a line was cut off.
pub(super) fn cut_key(router: &str, line: &str) -> Vec<u8> {
    [META_CUT, line.as_bytes(), b"/", router.as_bytes()].concat()
}

/// The router and the line of such a key.
pub(super) fn cut_of(key: &[u8]) -> Option<(&str, &str)> {
    router_and_line(key.strip_prefix(META_CUT)?)
}

/// No id of a line has a slash in it.
fn router_and_line(key: &[u8]) -> Option<(&str, &str)> {
    let (line, router) = std::str::from_utf8(key).ok()?.split_once('/')?;
    Some((router, line))
}

/// An event as it travels.
pub(super) fn event_to_wire(event: &Event) -> EventV1 {
    EventV1 {
        at_ms: event.at.0,
        kind: event.kind.code(),
        line: event.line.clone(),
        router: event.router.clone(),
        detail: shortened(&event.detail).to_owned(),
    }
}

/// At most 200 bytes of a text, as the wire contract has it. It ends with a sentence or a part of one where that leaves at
/// least half of them, else with a word; never with half a letter, and with half a word only if that is more than half of
/// it all.
#[must_use]
pub fn shortened(text: &str) -> &str {
    let cut = text.get(..text.floor_char_boundary(DETAIL_BYTES)).unwrap_or_default();
    if cut.len() == text.len() {
        return cut;
    }
    let up_to = |end: &str| cut.rsplit_once(end).map(|(words, _)| words.trim_end());
    let is_enough = |words: &&str| words.len() >= DETAIL_BYTES / 2;
    let sentence = [". ", "; "].into_iter().filter_map(up_to).max_by_key(|words| words.len());
    let or_part = || up_to(", ").filter(is_enough);
    let or_word = || up_to(" ").filter(is_enough);
    sentence.filter(is_enough).or_else(or_part).or_else(or_word).unwrap_or(cut)
}

/// Whether a record from `at` has waited for too long.
pub(super) fn is_too_old(at_ms: i64, now: UnixMillis) -> bool {
    now.since(UnixMillis(at_ms)) > super::WAITING_AGE
}
