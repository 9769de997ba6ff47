//! Rates, lengths of time and amounts of data as people write them. Pure; forms read them with this too.

use std::time::Duration;

use tawi_shared::Bandwidth;

/// Splits `10M` into 10 and `M`.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim()))
}

fn scaled(text: &str, units: &[(&str, u64)], what: &'static str) -> Result<u64, &'static str> {
    let (number, unit) = split(text).ok_or(what)?;
    let (_, size) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or(what)?;
    number.checked_mul(*size).ok_or(what)
}

/// Reads a rate: `10M`, `512k`, `1G`, `10 Mbit/s`; `0` for no limit.
///
/// # Errors
/// Says how to write one.
pub fn bandwidth(text: &str) -> Result<Bandwidth, &'static str> {
    const UNITS: [(&str, u64); 8] = [
        ("", 1),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("bit/s", 1),
        ("kbit/s", 1_000),
        ("Mbit/s", 1_000_000),
        ("Gbit/s", 1_000_000_000),
    ];
    scaled(text, &UNITS, "write a speed as 10M or 512k; 0 for no limit").map(Bandwidth::from_bits_per_second)
}

/// Reads a length of time: `30d`, `24h`, `90m`, `45s`.
///
/// # Errors
/// Says how to write one.
pub fn validity(text: &str) -> Result<Duration, &'static str> {
    const UNITS: [(&str, u64); 10] = [
        ("d", 86_400),
        ("day", 86_400),
        ("days", 86_400),
        ("h", 3_600),
        ("hour", 3_600),
        ("hours", 3_600),
        ("m", 60),
        ("min", 60),
        ("minutes", 60),
        ("s", 1),
    ];
    scaled(text, &UNITS, "write a length of time as 30d, 24h or 90m").map(Duration::from_secs)
}

/// Reads an amount of data in decimal units: `50GB`, `500MB`.
///
/// # Errors
/// Says how to write one.
pub fn data(text: &str) -> Result<u64, &'static str> {
    const UNITS: [(&str, u64); 6] = [
        ("MB", 1_000_000),
        ("M", 1_000_000),
        ("GB", 1_000_000_000),
        ("G", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    scaled(text, &UNITS, "write an amount of data as 50GB or 500MB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_read_as_people_write_them() {
        assert_eq!(bandwidth("10M").unwrap().bits_per_second(), 10_000_000);
        assert_eq!(bandwidth("512 kbit/s").unwrap().bits_per_second(), 512_000);
        assert!(bandwidth("0").unwrap().is_unlimited());
        assert_eq!(validity("30d").unwrap(), Duration::from_secs(30 * 86_400));
        assert_eq!(validity("1 day").unwrap(), Duration::from_secs(86_400));
        assert_eq!(validity("45s").unwrap(), Duration::from_secs(45));
        assert_eq!(data("50GB").unwrap(), 50_000_000_000);
        for bad in ["", "M", "10X", "-1M", "1.5M", "99999999999999999999M", "18446744073709551615G"] {
            assert!(bandwidth(bad).is_err(), "{bad}");
        }
        for bad in ["30", "d", "1y"] {
            assert!(validity(bad).is_err(), "{bad}");
        }
        assert!(data("50").is_err(), "a bare number could be anything");
    }
}
