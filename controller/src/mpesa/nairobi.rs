//! Times as Safaricom writes them: in East Africa Time, UTC+3 all year. Pure.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone, offset};
use tawi_shared::UnixMillis;

/// East Africa Time.
pub(super) const EAST_AFRICA: Offset = offset(3);

/// An instant by a `strftime` pattern. One beyond what a calendar holds reads as 1970.
pub(super) fn written(at: UnixMillis, pattern: &str) -> String {
    let instant = Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH);
    instant.to_zoned(TimeZone::fixed(EAST_AFRICA)).strftime(pattern).to_string()
}
