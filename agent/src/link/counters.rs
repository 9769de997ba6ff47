//! What the metered line carried since the start: counted by the dialer and by the session, read by the core.
//!
//! The dialer counts what leaves and enters the machine, the session what is said in it. With the headers of IPv4 and of TCP
//! with time stamps; each segment counts as answered by an empty one, which is the most that there is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tawi_shared::envelope;
use tawi_shared::topics::Down;
use tawi_shared::wire::{LinePart, is_of_release};

use super::ledger::{ByPart, PARTS};

/// Headers of IPv4 and of TCP with time stamps.
const HEADER_BYTES: u64 = 52;
/// What a TCP segment carries on an Ethernet path, with time stamps.
const SEGMENT_BYTES: u64 = 1_448;
/// Segments that open and end a connection, ours and head office's.
const CONNECTION_SEGMENTS: (u64, u64) = (4, 3);

/// What one direction carried.
#[derive(Debug, Default)]
struct Way {
    bytes: AtomicU64,
    segments: AtomicU64,
    payload: [AtomicU64; PARTS],
}

/// Bytes over the metered line.
#[derive(Debug, Default)]
pub struct ByteCounters {
    up: Way,
    down: Way,
    connections: AtomicU64,
    keep_alive_seconds: AtomicU64,
}

impl ByteCounters {
    /// Sent and received since the start, as they left and entered the machine: TLS and all in it.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        (self.up.bytes.load(Ordering::Relaxed), self.down.bytes.load(Ordering::Relaxed))
    }

    /// All that the line carried, both ways, with headers.
    #[must_use]
    pub fn carried(&self) -> u64 {
        let (up, down) = self.on_the_line();
        up.saturating_add(down)
    }

    /// What the line carried, by what it was for.
    #[must_use]
    pub fn by_part(&self) -> ByPart {
        let mut parts = ByPart::default();
        for ((slot, up), down) in parts.iter_mut().zip(&self.up.payload).zip(&self.down.payload) {
            *slot = (up.load(Ordering::Relaxed), down.load(Ordering::Relaxed));
        }
        let said = parts
            .iter()
            .fold((0_u64, 0_u64), |sum, part| (sum.0.saturating_add(part.0), sum.1.saturating_add(part.1)));
        let all = self.on_the_line();
        if let Some(around) = parts.get_mut(index(LinePart::Link)) {
            *around = (all.0.saturating_sub(said.0), all.1.saturating_sub(said.1));
        }
        parts
    }

    /// How often the silent connection is tried, in seconds; 0 before the first one.
    #[must_use]
    pub fn keep_alive_seconds(&self) -> u64 {
        self.keep_alive_seconds.load(Ordering::Relaxed)
    }

    pub(super) fn note_keep_alive(&self, interval: Duration) {
        self.keep_alive_seconds.store(interval.as_secs(), Ordering::Relaxed);
    }

    /// Bytes left the machine.
    pub fn sent(&self, bytes: usize) {
        self.up.carried(bytes);
    }

    /// Bytes came in.
    pub fn received(&self, bytes: usize) {
        self.down.carried(bytes);
    }

    /// A connection is made.
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Something is said.
    pub(super) fn said(&self, what: LinePart, message: &[u8], bytes: usize) {
        self.up.said(if is_of_upgrade(message) { LinePart::Upgrade } else { what }, bytes);
    }

    /// Something was heard; `None` where nobody knows the topic.
    pub(super) fn heard(&self, what: Option<Down>, message: &[u8], bytes: usize) {
        self.down.said(
            match what {
                _ if is_of_upgrade(message) => LinePart::Upgrade,
                Some(Down::State | Down::Command) => LinePart::State,
                Some(Down::Ack) | None => LinePart::Talk,
            },
            bytes,
        );
    }

    fn on_the_line(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let segments = load(&self.up.segments).saturating_add(load(&self.down.segments));
        let connections = load(&self.connections);
        let with_headers = |way: &Way, of_a_connection: u64| {
            let headers = segments.saturating_add(connections.saturating_mul(of_a_connection));
            load(&way.bytes).saturating_add(headers.saturating_mul(HEADER_BYTES))
        };
        let (ours, theirs) = CONNECTION_SEGMENTS;
        (with_headers(&self.up, ours), with_headers(&self.down, theirs))
    }
}

impl Way {
    fn carried(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(0);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.segments.fetch_add(bytes.div_ceil(SEGMENT_BYTES), Ordering::Relaxed);
    }

    fn said(&self, part: LinePart, bytes: usize) {
        if let Some(counter) = self.payload.get(index(part)) {
            counter.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
        }
    }
}

/// Topics are few, so that access rules of brokers stay as they are: what a release costs is told by its messages.
fn is_of_upgrade(message: &[u8]) -> bool {
    envelope::message_type(message).is_some_and(is_of_release)
}

fn index(part: LinePart) -> usize {
    LinePart::ALL.iter().position(|one| *one == part).unwrap_or(PARTS)
}

#[cfg(test)]
mod tests {
    use tawi_shared::wire::{ReleasePartV1, encode};

    use super::*;

    #[test]
    fn what_is_around_the_payload_is_the_rest() {
        let counters = ByteCounters::default();
        counters.connected();
        counters.sent(2_000);
        counters.received(500);
        counters.said(LinePart::Usage, &[], 1_200);
        counters.said(LinePart::Talk, &[], 100);
        counters.heard(Some(Down::State), &[], 300);
        assert_eq!(counters.totals(), (2_000, 500));
        let (up, down) = (2_000 + 52 * (3 + 4), 500 + 52 * (3 + 3));
        assert_eq!(counters.carried(), up + down);
        let parts = counters.by_part();
        assert_eq!(parts[index(LinePart::Link)], (up - 1_300, down - 300));
        assert_eq!((parts[index(LinePart::Usage)], parts[index(LinePart::State)]), ((1_200, 0), (0, 300)));
        assert_eq!(parts[index(LinePart::Talk)], (100, 0));
        let part = ReleasePartV1 { file_sha256: [0; 32], offset: 0, bytes: vec![1; 50] };
        counters.heard(Some(Down::Command), &encode(&part, 0, 0, 0).unwrap(), 70);
        assert_eq!(counters.by_part()[index(LinePart::Upgrade)], (0, 70));
    }
}
