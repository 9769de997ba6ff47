//! Shapes in which agents of before left records on flash, read once and written as today.
//!
//! Pure. A shape stays here until no agent can come from it any more: two releases. What is missing in it is what today
//! stands for "not known". Today's shapes are `records.rs`; golden bytes of each are `tests/former.rs`.

use serde::Deserialize;
use tawi_shared::wire::SessionUsageV1;

use super::framing::{BadRecord, unframe};
use super::records::StoredSession;
use crate::link::ledger::{KeptLine, LineMonth};
use crate::usage::counted::Mark;
use crate::usage::logout::LineDigest;

/// Format 1 of a session. Its mark had no totals of hotspot users at first, and got them under the same number: the later
/// shape is longer, so that neither is read as the other.
#[derive(Deserialize)]
struct Session1<M> {
    is_waiting: bool,
    is_historical: bool,
    total: SessionUsageV1,
    mark: M,
}

#[derive(Deserialize)]
struct Mark1 {
    counters: Option<(u64, u64)>,
    before: (u64, u64),
    user: String,
    uptime_seconds: u64,
    heard: Option<LineDigest>,
}

#[derive(Deserialize)]
struct Mark1WithTotals {
    counters: Option<(u64, u64)>,
    before: (u64, u64),
    user: String,
    uptime_seconds: u64,
    heard: Option<LineDigest>,
    expected: Option<(u64, u64)>,
}

impl From<Mark1> for Mark {
    fn from(Mark1 { counters, before, user, uptime_seconds, heard }: Mark1) -> Self {
        Self { counters, before, user, uptime_seconds, heard, expected: None, expected_of: None }
    }
}

impl From<Mark1WithTotals> for Mark {
    fn from(former: Mark1WithTotals) -> Self {
        let Mark1WithTotals { counters, before, user, uptime_seconds, heard, expected } = former;
        Self { counters, before, user, uptime_seconds, heard, expected, expected_of: None }
    }
}

impl<M: Into<Mark>> From<Session1<M>> for StoredSession {
    fn from(former: Session1<M>) -> Self {
        let Session1 { is_waiting, is_historical, total, mark } = former;
        Self { is_waiting, is_historical, total, mark: mark.into() }
    }
}

/// Reads a session of a format before today's.
pub(super) fn session(key: &[u8], bytes: &[u8]) -> Result<StoredSession, BadRecord> {
    let with_totals = unframe::<Session1<Mark1WithTotals>>(key, 1, bytes).map(StoredSession::from);
    with_totals.or_else(|_| unframe::<Session1<Mark1>>(key, 1, bytes).map(StoredSession::from))
}

/// What the line carried in a month, before upgrades and what is asked of the agent were parts of it.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct Month1 {
    pub(super) month: u32,
    pub(super) parts: [(u64, u64); 6],
}

/// [`KeptLine`] of such months.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct Line1 {
    pub(super) running: Month1,
    pub(super) before: Month1,
}

impl From<Month1> for LineMonth {
    fn from(former: Month1) -> Self {
        let mut month = Self { month: former.month, ..Self::default() };
        month.parts.iter_mut().zip(former.parts).for_each(|(part, carried)| *part = carried);
        month
    }
}

impl From<Line1> for KeptLine {
    fn from(former: Line1) -> Self {
        Self { running: former.running.into(), before: former.before.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::framing::frame;

    #[test]
    fn what_the_line_carried_is_read_as_it_lay_before_it_had_a_part_for_what_is_asked_of_the_agent() {
        let parts: [(u64, u64); 6] = [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12)];
        let bytes = frame(b"line-1", 1, &((202_611_u32, parts), (202_610_u32, parts))).unwrap();
        let former: Line1 = unframe(b"line-1", 1, &bytes).unwrap();
        let kept = KeptLine::from(former);
        assert_eq!((kept.running.month, kept.before.month), (202_611, 202_610));
        assert_eq!(kept.running.parts.get(..6), Some(&parts[..]));
        assert_eq!((kept.running.parts[6], kept.before.total()), ((0, 0), 78));
        assert!(unframe::<KeptLine>(b"line-1", 1, &bytes).is_err(), "neither is read as the other");
    }
}
