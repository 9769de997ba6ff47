//! The simulator's wall clock, and Nairobi's way of writing it.
//!
//! The only file that reads the system clock. The clock can be moved forward on request, so that tests
//! see a token expire or the two-minute rule end without waiting; thinking times of phones are not
//! affected, they run on tokio's clock. All Daraja times are East Africa Time, UTC+3 without seasons.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::Serialize;

/// East Africa Time.
const NAIROBI: Offset = Offset::constant(3);

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// This time, later by `span`; stops at the end of time.
    pub(crate) fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Milliseconds from `earlier` to this time; negative when it is later.
    pub(crate) fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The system clock, moved forward by what was asked for.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    advance_ms: AtomicI64,
}

impl Clock {
    /// The time now.
    #[expect(clippy::disallowed_methods, reason = "the one place of this program that reads the wall clock")]
    pub(crate) fn now(&self) -> UnixMillis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let system = UnixMillis(0).plus(since_epoch);
        UnixMillis(system.0.saturating_add(self.advance_ms.load(Ordering::Relaxed)))
    }

    /// Moves the clock forward.
    pub(crate) fn advance(&self, span: Duration) {
        let step = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        let moved = |advance: i64| Some(advance.saturating_add(step));
        // The closure always answers `Some`, so the update cannot be refused.
        let _ = self.advance_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
    }
}

/// `yyyyMMddHHmmss` in Nairobi: `Timestamp`, `TransTime`, `TransactionDate`.
pub(crate) fn fourteen_digits(at: UnixMillis) -> String {
    in_nairobi(at).strftime("%Y%m%d%H%M%S").to_string()
}

/// `ddMMyyyyHHmmssSSS` in Nairobi: the time inside a `CheckoutRequestID`.
pub(crate) fn checkout_digits(at: UnixMillis) -> String {
    let time = in_nairobi(at);
    format!("{}{:03}", time.strftime("%d%m%Y%H%M%S"), time.millisecond())
}

/// `yyyy-MM-dd HH:mm:ss` in Nairobi: Pull windows and statements.
pub(crate) fn spaced(at: UnixMillis) -> String {
    in_nairobi(at).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Reads `yyyyMMddHHmmss` as Nairobi time; `None` unless it is exactly such a time.
pub(crate) fn parse_fourteen_digits(text: &str) -> Option<UnixMillis> {
    let well_formed = text.len() == 14 && text.bytes().all(|byte| byte.is_ascii_digit());
    well_formed.then(|| parse("%Y%m%d%H%M%S", text)).flatten()
}

/// Reads `yyyy-MM-dd HH:mm:ss` as Nairobi time.
pub(crate) fn parse_spaced(text: &str) -> Option<UnixMillis> {
    (text.len() == 19).then(|| parse("%Y-%m-%d %H:%M:%S", text)).flatten()
}

fn parse(format: &str, text: &str) -> Option<UnixMillis> {
    let time = DateTime::strptime(format, text).ok()?;
    NAIROBI.to_timestamp(time).ok().map(|instant| UnixMillis(instant.as_millisecond()))
}

fn in_nairobi(at: UnixMillis) -> DateTime {
    NAIROBI.to_datetime(Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    // 2023-07-24T22:31:47.089Z, the callback of the reference: 20230725013147 in Nairobi.
    const AT: UnixMillis = UnixMillis(1_690_237_907_089);

    #[test]
    fn times_are_written_as_nairobi_reads_them() {
        assert_eq!(fourteen_digits(AT), "20230725013147");
        assert_eq!(checkout_digits(AT), "25072023013147089");
        assert_eq!(spaced(AT), "2023-07-25 01:31:47");
    }

    #[test]
    fn written_times_read_back_to_the_second() {
        let to_the_second = UnixMillis(AT.0 - 89);
        assert_eq!(parse_fourteen_digits("20230725013147"), Some(to_the_second));
        assert_eq!(parse_spaced("2023-07-25 01:31:47"), Some(to_the_second));
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for wrong in
            ["", "2023072501314", "202307250131477", "20231325013147", "20230725016147", "2023072501314a"]
        {
            assert_eq!(parse_fourteen_digits(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_clock_moves_forward_on_request() {
        let clock = Clock::default();
        let before = clock.now();
        clock.advance(Duration::from_secs(120));
        assert!(clock.now().millis_since(before) >= 120_000);
    }
}
