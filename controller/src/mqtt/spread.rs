//! How many sites come back in the same second after the controller was away. Pure.
//!
//! A site whose connection ends comes back within two seconds at its own accord, and the front door lets a thousand in within
//! three. Where there are more, each is told to take its time, as long as they are many and no longer: whoever pays meanwhile
//! waits for it.

use std::time::Duration;

use tawi_shared::wire::SpreadV1;

/// Handshakes, hellos and answers that two cores deal with in a second, with the payments that come meanwhile.
const SITES_A_SECOND: u64 = 500;
/// Within what sites come back when they are not told.
const OF_THEMSELVES: Duration = Duration::from_secs(2);
/// The longest.
const AT_MOST_SECONDS: u16 = 120;

/// What so many sites are told; `None` when they need not be.
pub(super) fn spread_of(sites: u64) -> Option<SpreadV1> {
    let seconds = sites.div_ceil(SITES_A_SECOND);
    if Duration::from_secs(seconds) <= OF_THEMSELVES {
        return None;
    }
    let return_within_seconds = u16::try_from(seconds).unwrap_or(u16::MAX).min(AT_MOST_SECONDS);
    Some(SpreadV1 { return_within_seconds, hello_within_seconds: 0 })
}

/// What so many sites are told that stayed connected while the controller was away: when to say hello once more.
pub(super) fn asked_for_hello(sites: u64) -> SpreadV1 {
    let seconds = sites.div_ceil(SITES_A_SECOND).clamp(1, u64::from(AT_MOST_SECONDS));
    let hello_within_seconds = u16::try_from(seconds).unwrap_or(AT_MOST_SECONDS);
    let return_within_seconds = spread_of(sites).map_or(0, |spread| spread.return_within_seconds);
    SpreadV1 { return_within_seconds, hello_within_seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_not_told_and_many_take_as_long_as_they_are_many() {
        let check = |sites, expected: Option<u16>| {
            assert_eq!(spread_of(sites).map(|spread| spread.return_within_seconds), expected, "{sites}");
        };
        check(0, None);
        check(1_000, None);
        check(1_001, Some(3));
        check(9_000, Some(18));
        check(u64::MAX, Some(AT_MOST_SECONDS));
    }

    #[test]
    fn whoever_is_asked_for_a_hello_is_asked_for_it_soon_and_not_with_all_others() {
        let check = |sites, hello_within_seconds, return_within_seconds| {
            let expected = SpreadV1 { return_within_seconds, hello_within_seconds };
            assert_eq!(asked_for_hello(sites), expected, "{sites}");
        };
        check(0, 1, 0);
        check(3, 1, 0);
        check(1_000, 2, 0);
        check(9_000, 18, 18);
        check(u64::MAX, AT_MOST_SECONDS, AT_MOST_SECONDS);
    }
}
