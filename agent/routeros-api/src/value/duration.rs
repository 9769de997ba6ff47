//! Durations in every dialect of RouterOS.
//!
//! API rows of v6 and v7 print `2d20h12m20s`; the console and older releases `1w2d03:04:05`; fractions
//! are `1s200ms`; some fields print bare seconds. Dates are next door.

use std::fmt::Write;
use std::time::Duration;

use super::{ValueError, parse_number};

const ERROR: ValueError = ValueError { expected: "a duration" };

/// Units from large to small, as they must follow one another, in nanoseconds.
const UNITS: [(&[u8], u64); 8] = [
    (b"w", 604_800_000_000_000),
    (b"d", 86_400_000_000_000),
    (b"h", 3_600_000_000_000),
    (b"m", 60_000_000_000),
    (b"s", 1_000_000_000),
    (b"ms", 1_000_000),
    (b"us", 1_000),
    (b"ns", 1),
];

/// The place of `h` in [`UNITS`]: a clock part (`03:04:05`) may follow weeks and days only.
const HOURS: usize = 2;

/// Reads a duration: `1w2d3h4m5s`, `1w2d03:04:05`, `01:22:53`, `1s200ms`, `.200ms`, or bare seconds.
///
/// # Errors
/// For the empty value, unknown or misordered units and sentinels such as `none`: see
/// [`parse_timeout`] for those.
///
/// ```
/// use std::time::Duration;
/// use routeros_api::value::parse_duration;
/// assert_eq!(parse_duration(b"44m55s"), Ok(Duration::from_secs(2695)));
/// assert_eq!(parse_duration(b"1d00:00:01"), Ok(Duration::from_secs(86_401)));
/// ```
pub fn parse_duration(value: &[u8]) -> Result<Duration, ValueError> {
    let mut rest = value;
    let mut total = Duration::ZERO;
    let mut next_unit = 0;
    while !rest.is_empty() {
        if next_unit <= HOURS
            && rest.contains(&b':')
            && rest.iter().all(|byte| matches!(byte, b'0'..=b'9' | b':' | b'.'))
        {
            return total.checked_add(parse_clock(rest)?).ok_or(ERROR);
        }
        // Some releases print the fraction as `.200ms`.
        let digits_on = rest.strip_prefix(b".").unwrap_or(rest);
        let (digits, after) = split_while(digits_on, u8::is_ascii_digit);
        let (unit, after) = split_while(after, u8::is_ascii_alphabetic);
        let amount = parse_number(digits).map_err(|_| ERROR)?;
        let part = if unit.is_empty() {
            // A bare number is seconds, and stands alone.
            if next_unit != 0 || !after.is_empty() || digits.len() != value.len() {
                return Err(ERROR);
            }
            Duration::from_secs(amount)
        } else {
            let place = UNITS.iter().position(|(name, _)| *name == unit).ok_or(ERROR)?;
            let (_, nanoseconds) = UNITS.get(place).copied().ok_or(ERROR)?;
            if place < next_unit {
                return Err(ERROR);
            }
            next_unit = place.saturating_add(1);
            multiply(nanoseconds, amount)?
        };
        total = total.checked_add(part).ok_or(ERROR)?;
        rest = after;
    }
    if value.is_empty() { Err(ERROR) } else { Ok(total) }
}

/// Reads a timeout that may be off: `none`, `never`, `unlimited`, `disabled` and the empty value are
/// `None`, everything else is a duration.
///
/// # Errors
/// As [`parse_duration`].
pub fn parse_timeout(value: &[u8]) -> Result<Option<Duration>, ValueError> {
    match value {
        b"" | b"none" | b"never" | b"unlimited" | b"disabled" => Ok(None),
        _ => parse_duration(value).map(Some),
    }
}

/// Prints a duration as the API does: `1w2d3h4m5s`, `0s`, `1s200ms`. What [`parse_duration`] reads back.
#[must_use]
pub fn print_duration(duration: Duration) -> String {
    let mut text = String::new();
    let mut seconds = duration.as_secs();
    for (unit, size) in [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        append(&mut text, seconds / size, unit);
        seconds %= size;
    }
    let mut nanoseconds = u64::from(duration.subsec_nanos());
    for (unit, size) in [("ms", 1_000_000), ("us", 1_000), ("ns", 1)] {
        append(&mut text, nanoseconds / size, unit);
        nanoseconds %= size;
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Prints a duration as the console and older releases do: `1w2d03:04:05`, `00:00:01.5`. What [`parse_duration`] reads
/// back.
#[must_use]
pub fn print_duration_as_clock(duration: Duration) -> String {
    let mut text = String::new();
    let seconds = duration.as_secs();
    append(&mut text, seconds / 604_800, "w");
    append(&mut text, seconds / 86_400 % 7, "d");
    let (hours, minutes, seconds) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    // Writing to a `String` cannot fail.
    let _ = write!(text, "{hours:02}:{minutes:02}:{seconds:02}");
    if duration.subsec_nanos() > 0 {
        let fraction = format!("{:09}", duration.subsec_nanos());
        let _ = write!(text, ".{}", fraction.trim_end_matches('0'));
    }
    text
}

/// Prints a timeout that may be off, in the word that the property takes for that: `none`, `never`, `unlimited`.
#[must_use]
pub fn print_timeout(timeout: Option<Duration>, off: &str) -> String {
    timeout.map_or_else(|| off.to_owned(), print_duration)
}

fn append(text: &mut String, amount: u64, unit: &str) {
    if amount > 0 {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{amount}{unit}");
    }
}

fn multiply(nanoseconds: u64, amount: u64) -> Result<Duration, ValueError> {
    let total = u128::from(nanoseconds).saturating_mul(u128::from(amount));
    let seconds = u64::try_from(total / 1_000_000_000).map_err(|_| ERROR)?;
    let rest = u32::try_from(total % 1_000_000_000).map_err(|_| ERROR)?;
    Ok(Duration::new(seconds, rest))
}

/// `hh:mm:ss` with an optional fraction of up to nine digits.
fn parse_clock(value: &[u8]) -> Result<Duration, ValueError> {
    let mut parts = value.split(|byte| *byte == b':');
    let (Some(hours), Some(minutes), Some(seconds), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(ERROR);
    };
    let (seconds, fraction) = match seconds.iter().position(|byte| *byte == b'.') {
        Some(at) => seconds.split_at(at),
        None => (seconds, &b""[..]),
    };
    let number = |digits: &[u8]| parse_number(digits).map_err(|_| ERROR);
    let (hours, minutes, seconds) = (number(hours)?, number(minutes)?, number(seconds)?);
    if minutes > 59 || seconds > 59 {
        return Err(ERROR);
    }
    let whole =
        hours.checked_mul(3600).and_then(|total| total.checked_add(minutes * 60 + seconds)).ok_or(ERROR)?;
    Ok(Duration::new(whole, parse_fraction(fraction)?))
}

/// `.5` is 500 000 000 ns.
fn parse_fraction(fraction: &[u8]) -> Result<u32, ValueError> {
    let Some(digits) = fraction.strip_prefix(b".") else { return Ok(0) };
    let places =
        u32::try_from(digits.len()).ok().and_then(|length| 9_u32.checked_sub(length)).ok_or(ERROR)?;
    let value = u32::try_from(parse_number(digits).map_err(|_| ERROR)?).map_err(|_| ERROR)?;
    value.checked_mul(10_u32.pow(places)).ok_or(ERROR)
}

fn split_while(value: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = value.iter().position(|byte| !belongs(byte)).unwrap_or(value.len());
    value.split_at(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_dialect_of_duration_is_read() {
        let second = 1_000;
        for (text, milliseconds) in [
            ("2d20h12m20s", 245_540 * second),
            ("44m55s", 2_695 * second),
            ("0s", 0),
            ("1w2d3h", 788_400 * second),
            ("1w2d03:04:05", 788_645 * second),
            ("01:22:53", 4_973 * second),
            ("2d00:00:00", 172_800 * second),
            ("00:00:01.500", 1_500),
            ("1s200ms", 1_200),
            (".200ms", 200),
            ("1s.200ms", 1_200),
            ("200ms", 200),
            ("10", 10 * second),
            ("519w4d15h28m25s", 314_292_505 * second),
            ("35w3d13h13m56s", 21_474_836 * second),
        ] {
            assert_eq!(parse_duration(text.as_bytes()), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in [
            "",
            "none",
            "never",
            "unlimited",
            "1x",
            "s",
            "1s1m",
            "1m1m",
            "1s 2s",
            "-1s",
            "1:2",
            "00:60:00",
            "1h01:02:03",
            "1.5",
            ".5",
            "1d5",
            "99999999999999999999s",
            "18446744073709551615w",
            "00:00:01.",
            "00:00:00.1234567890",
        ] {
            assert!(parse_duration(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_timeout_that_is_off_is_none() {
        for text in ["", "none", "never", "unlimited", "disabled"] {
            assert_eq!(parse_timeout(text.as_bytes()), Ok(None), "{text}");
        }
        assert_eq!(parse_timeout(b"2m"), Ok(Some(Duration::from_secs(120))));
        assert!(parse_timeout(b"auto").is_err());
    }

    #[test]
    fn durations_print_as_the_router_prints_them() {
        for (milliseconds, text) in
            [(0, "0s"), (60_000, "1m"), (245_540_000, "2d20h12m20s"), (604_800_000, "1w"), (1_200, "1s200ms")]
        {
            assert_eq!(print_duration(Duration::from_millis(milliseconds)), text);
        }
        for (milliseconds, text) in [
            (0, "00:00:00"),
            (788_645_000, "1w2d03:04:05"),
            (1_500, "00:00:01.5"),
            (86_400_000, "1d00:00:00"),
        ] {
            assert_eq!(print_duration_as_clock(Duration::from_millis(milliseconds)), text);
        }
    }

    proptest! {
        #[test]
        fn a_printed_duration_reads_back_the_same(seconds in any::<u64>(), nanoseconds in 0_u32..1_000_000_000) {
            let duration = Duration::new(seconds, nanoseconds);
            prop_assert_eq!(parse_duration(print_duration(duration).as_bytes()), Ok(duration));
            prop_assert_eq!(parse_duration(print_duration_as_clock(duration).as_bytes()), Ok(duration));
        }

        #[test]
        fn a_printed_timeout_reads_back_the_same(seconds in prop::option::of(any::<u64>()), off in prop::sample::select(vec!["none", "never", "unlimited", "disabled", ""])) {
            let timeout = seconds.map(Duration::from_secs);
            prop_assert_eq!(parse_timeout(print_timeout(timeout, off).as_bytes()), Ok(timeout));
        }

        #[test]
        fn no_bytes_make_the_parser_panic(value in prop::collection::vec(prop::sample::select(b"0123456789wdhmsun:. \xff".to_vec()), 0..24)) {
            let _ = parse_timeout(&value);
        }
    }
}
