//! A session's total, and what it takes to go on from it.
//!
//! Pure. The total travels to head office; the mark stays at the site, on flash beside the total, in one record: an agent
//! that starts again counts on from the very counters that the total came from. Who makes it is `tracker.rs`, who keeps
//! it `crate::outbox`, who adds it up for quotas `quota.rs`.

use routeros_api::value::UpDown;
use serde::{Deserialize, Serialize};
use tawi_shared::wire::SessionUsageV1;

use super::logout::LineDigest;

/// What was counted of one session, or of one part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// As head office is told.
    pub total: SessionUsageV1,
    /// Where to go on from.
    pub mark: Mark,
    /// By how much the total is larger than when it was last given out, upload and download together.
    pub grown_bytes: u64,
}

/// Where counting goes on after a restart of the agent, and what finds the router's last word on a session that ends
/// meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What the router's counters showed when the total was read, upload first; `None` before the first reading, and
    /// where nobody knows.
    pub counters: Option<(u64, u64)>,
    /// What earlier parts of the session moved, upload first: the router's last word is about all of them.
    pub before: (u64, u64),
    /// Who logged in; empty where that is longer than [`USER_BYTES`], and then no word is found.
    pub user: String,
    /// How old the session was, in seconds.
    pub uptime_seconds: u64,
    /// Up to which line the log of this service had been heard by then; `None` where a line behind it may be about
    /// another session of the user, or was not heard.
    pub heard: Option<LineDigest>,
    /// A hotspot: what the router's total of the user may be at the most once all that is counted was added to it, upload
    /// first; `None` where that is not known, or stands in the mark of another session of the user.
    pub expected: Option<(u64, u64)>,
    /// What all sessions of the user that were open by then had moved, upload first: [`Mark::expected`] holds for as long
    /// as that is what lies on flash of them. `None` in a record of a release before, where it stood in all of them.
    pub expected_of: Option<(u64, u64)>,
}

/// The longest name of a user that is kept beside a total: it is written with each of them, and a name of PPP is far
/// shorter.
pub const USER_BYTES: usize = 64;

impl From<SessionUsageV1> for Counted {
    /// A total without a mark: what exceeds it in the counters is new.
    fn from(total: SessionUsageV1) -> Self {
        Self { total, mark: Mark::default(), grown_bytes: 0 }
    }
}

/// Upload and download together.
#[must_use]
pub fn bytes_of(total: &SessionUsageV1) -> u64 {
    total.upload_bytes.saturating_add(total.download_bytes)
}

pub(in crate::usage) fn to_pair(bytes: UpDown<u64>) -> (u64, u64) {
    (bytes.upload, bytes.download)
}

pub(super) fn from_pair((upload, download): (u64, u64)) -> UpDown<u64> {
    UpDown { upload, download }
}
