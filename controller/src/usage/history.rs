//! How what a line moved is spread over hours and days of Nairobi. Pure.
//!
//! A total that grew says how much was moved between two readings, not when: it is spread evenly over the time between
//! them, to the byte. Hours and days are told by the agent's clock; one that cannot be is taken for ours.

use std::time::Duration;

use tawi_shared::UnixMillis;

/// An hour in milliseconds. Nairobi's clock is three whole hours ahead, so that its hours are everybody's.
pub const HOUR: i64 = 3_600_000;
/// A day in milliseconds.
pub const DAY: i64 = 24 * HOUR;
/// Nairobi's clock.
const NAIROBI: i64 = 3 * HOUR;
/// The longest time over which a reading is spread. Agents tell twice an hour, and keep what they
/// read while they cannot tell; a longer gap is a site or a router that was away, and its bytes go to the last week of it.
const SPREAD_LONGEST: i64 = 7 * DAY;
/// How long hours are kept.
pub const HOURS_KEPT: Duration = Duration::from_secs(100 * 86_400);
/// How long days are kept: two years, and a month to look back from.
pub const DAYS_KEPT: Duration = Duration::from_secs(762 * 86_400);

/// Bytes in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// From the customer.
    pub upload_bytes: u64,
    /// To the customer.
    pub download_bytes: u64,
}

impl Amount {
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            upload_bytes: self.upload_bytes.saturating_add(other.upload_bytes),
            download_bytes: self.download_bytes.saturating_add(other.download_bytes),
        }
    }

    /// Both together.
    #[must_use]
    pub fn total(self) -> u64 {
        self.upload_bytes.saturating_add(self.download_bytes)
    }
}

/// The hour that an instant is in.
#[must_use]
pub fn hour_of(at: UnixMillis) -> UnixMillis {
    UnixMillis(at.0.saturating_sub(at.0.rem_euclid(HOUR)))
}

/// Nairobi's day that an instant is in.
#[must_use]
pub fn day_of(at: UnixMillis) -> UnixMillis {
    UnixMillis(at.0.saturating_sub(at.0.saturating_add(NAIROBI).rem_euclid(DAY)))
}

/// Spreads what was moved between two readings over the hours between them. The parts add up to it exactly.
#[must_use]
pub fn spread(
    (from, to): (UnixMillis, UnixMillis),
    moved: Amount,
    now: UnixMillis,
) -> Vec<(UnixMillis, Amount)> {
    let oldest = now.minus(HOURS_KEPT);
    let (from, to) = if to > now || to < oldest { (now, now) } else { (from, to) };
    let from = from.0.clamp(to.0.saturating_sub(SPREAD_LONGEST), to.0);
    let whole = to.0.saturating_sub(from);
    let mut parts = Vec::new();
    let (mut hour, mut told) = (hour_of(UnixMillis(from)).0, Amount::default());
    loop {
        let end = hour.saturating_add(HOUR);
        // Bytes up to the end of this hour, less those of the hours before it: nothing is lost to rounding.
        let passed = end.min(to.0).saturating_sub(from);
        let up_to = Amount {
            upload_bytes: share(moved.upload_bytes, passed, whole),
            download_bytes: share(moved.download_bytes, passed, whole),
        };
        let part = Amount {
            upload_bytes: up_to.upload_bytes.saturating_sub(told.upload_bytes),
            download_bytes: up_to.download_bytes.saturating_sub(told.download_bytes),
        };
        if part != Amount::default() {
            parts.push((UnixMillis(hour), part));
        }
        if end >= to.0 {
            return parts;
        }
        (hour, told) = (end, up_to);
    }
}

/// `passed` of `whole` of some bytes, rounded down; all of them at the end.
fn share(bytes: u64, passed: i64, whole: i64) -> u64 {
    let (Ok(passed), Ok(whole)) = (u128::try_from(passed), u128::try_from(whole)) else { return bytes };
    if passed >= whole {
        return bytes;
    }
    u64::try_from(u128::from(bytes).saturating_mul(passed) / whole.max(1)).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn amount(upload_bytes: u64, download_bytes: u64) -> Amount {
        Amount { upload_bytes, download_bytes }
    }

    #[test]
    fn what_was_moved_between_two_readings_is_spread_evenly_over_the_hours_between() {
        let hour = hour_of(NOW).0 - 5 * HOUR;
        let check = |from: i64, to: i64, expected: &[(i64, u64)]| {
            let parts = spread((UnixMillis(from), UnixMillis(to)), amount(0, 100), NOW);
            let parts: Vec<_> = parts.into_iter().map(|(at, part)| (at.0, part.download_bytes)).collect();
            assert_eq!(parts, expected, "{from} {to}");
        };
        check(hour + 1, hour + 60_000, &[(hour, 100)]);
        check(hour + HOUR / 2, hour + 3 * HOUR / 2, &[(hour, 50), (hour + HOUR, 50)]);
        check(hour, hour + 3 * HOUR, &[(hour, 33), (hour + HOUR, 33), (hour + 2 * HOUR, 34)]);
        check(hour, hour + HOUR, &[(hour, 100)]);
        check(hour + 7, hour + 7, &[(hour, 100)]);
        check(hour + 9, hour + 7, &[(hour, 100)]);
    }

    #[test]
    fn a_clock_that_cannot_be_is_taken_for_ours() {
        for to in [0, NOW.0 + 1, i64::MAX, i64::MIN] {
            let parts = spread((UnixMillis(to), UnixMillis(to)), amount(1, 2), NOW);
            assert_eq!(parts, [(hour_of(NOW), amount(1, 2))], "{to}");
        }
        let parts = spread((UnixMillis(i64::MIN), NOW), amount(1 << 50, 1 << 50), NOW);
        assert!(parts.len() <= 7 * 24 + 1, "{}", parts.len());
    }

    #[test]
    fn days_are_nairobis() {
        // 2026-11-24 21:30 UTC is 00:30 of the 25th in Nairobi.
        let at = UnixMillis(1_795_555_800_000);
        assert_eq!(at.0 - day_of(at).0, HOUR / 2);
        assert_eq!(day_of(day_of(at)), day_of(at));
        assert_eq!(day_of(UnixMillis(day_of(at).0 - 1)).0, day_of(at).0 - DAY);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_or_made(up in 0_u64..=1 << 50, down in 0_u64..=1 << 50, ago in 0_i64..400 * DAY, length in -DAY..400 * DAY) {
            let to = UnixMillis(NOW.0 - ago);
            let parts = spread((UnixMillis(to.0 - length), to), amount(up, down), NOW);
            prop_assert_eq!(parts.iter().map(|(_, part)| part.upload_bytes).sum::<u64>(), up);
            prop_assert_eq!(parts.iter().map(|(_, part)| part.download_bytes).sum::<u64>(), down);
            prop_assert!(parts.len() <= 7 * 24 + 1);
            prop_assert!(parts.iter().all(|(hour, _)| hour.0 % HOUR == 0 && *hour <= NOW));
        }
    }
}
