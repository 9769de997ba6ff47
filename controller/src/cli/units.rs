//! Rates, lengths of time and amounts of data as people write them. Pure; forms read them with this too.

use std::time::Duration;

use tawi_shared::Bandwidth;

use crate::plans::{OfflineRule, Restraint};

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

/// The units are those of [`validity`], in short.
const LENGTH_OF_TIME: &str =
    "write a length of time with its unit, s, m, h or d for seconds to days: 90s, 45m, 24h or 30d";

/// Reads a length of time: `30d`, `24h`, `90m`, `45s`.
///
/// # Errors
/// Says how to write one.
pub fn validity(text: &str) -> Result<Duration, &'static str> {
    const UNITS: [(&str, u64); 13] = [
        ("minute", 60),
        ("second", 1),
        ("seconds", 1),
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
    scaled(text, &UNITS, LENGTH_OF_TIME).map(Duration::from_secs)
}

/// Reads an amount of data in decimal units: `50GB`, `500MB`.
///
/// # Errors
/// Says how to write one.
pub fn data(text: &str) -> Result<u64, &'static str> {
    const UNITS: [(&str, u64); 8] = [
        ("B", 1),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("M", 1_000_000),
        ("GB", 1_000_000_000),
        ("G", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    scaled(text, &UNITS, "write an amount of data as 50GB or 500MB")
}

/// Writes a rate so that [`bandwidth`] reads it; no limit as `0`.
#[must_use]
pub fn bandwidth_text(rate: Bandwidth) -> String {
    if rate.is_unlimited() { "0".to_owned() } else { rate.to_string() }
}

/// Writes an amount of data so that [`data`] reads it, to the byte.
#[must_use]
pub fn data_text(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    let fits = |(_, size): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*size);
    match UNITS.iter().find(fits) {
        Some((unit, size)) => format!("{}{unit}", bytes / size),
        None => format!("{bytes}B"),
    }
}

/// The same for people: `50 GB`.
#[must_use]
pub fn data_words(bytes: u64) -> String {
    let text = data_text(bytes);
    let unit = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(unit).map_or_else(String::new, |(count, unit)| format!("{count} {unit}"))
}

/// Reads how a line is restrained: `off` (or `cut`), `walled`, or a slow download and upload such as `1M/512k`.
///
/// # Errors
/// Says how to write one.
pub fn restraint(text: &str) -> Result<Restraint, &'static str> {
    const HOW: &str = "write off, walled, or a slow download and upload as 1M/512k";
    match text.trim() {
        "off" | "cut" => return Ok(Restraint::Off),
        "walled" => return Ok(Restraint::Walled),
        _ => {}
    }
    let (download, upload) = text.split_once('/').ok_or(HOW)?;
    let rate = |text: &str| bandwidth(text).ok().filter(|rate| !rate.is_unlimited()).ok_or(HOW);
    Ok(Restraint::Throttled { download: rate(download)?, upload: rate(upload)? })
}

/// Reads what happens without head office: `keep`, or when and what, such as `72h:off` and `72h:1M/512k`.
///
/// # Errors
/// Says how to write one.
pub fn offline(text: &str) -> Result<Option<OfflineRule>, &'static str> {
    const HOW: &str = "write keep, or after how many hours and what, as 72h:off or 72h:1M/512k";
    if text.trim() == "keep" {
        return Ok(None);
    }
    let (after, then) = text.split_once(':').ok_or(HOW)?;
    let seconds = validity(after).map_err(|_| HOW)?.as_secs();
    let hours = u32::try_from(seconds / 3_600).map_err(|_| HOW)?;
    let then = restraint(then)?;
    if seconds % 3_600 == 0 { Ok(Some(OfflineRule { after_hours: hours, then })) } else { Err(HOW) }
}

/// Reads an amount of data, or `none` for no limit.
///
/// # Errors
/// Says how to write one.
pub fn quota(text: &str) -> Result<Option<u64>, &'static str> {
    if text.trim() == "none" { Ok(None) } else { data(text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_into_a_form_is_read_from_it() {
        for bits in [0, 1, 1_500_000, 10_000_000, 3_000_000_000] {
            let rate = Bandwidth::from_bits_per_second(bits);
            assert_eq!(bandwidth(&bandwidth_text(rate)), Ok(rate));
        }
        for bytes in [1, 1_500, 5_000_000, 50_000_000_000, 1 << 50] {
            assert_eq!(data(&data_text(bytes)), Ok(bytes));
        }
        for seconds in [1, 59, 60, 5_400, 86_400, 90_061] {
            let length = Duration::from_secs(seconds);
            assert_eq!(validity(&crate::web::display::validity(length)), Ok(length));
        }
    }

    #[test]
    fn restraints_read_as_people_write_them() {
        let rate = Bandwidth::from_bits_per_second;
        let slow = Restraint::Throttled { download: rate(1_000_000), upload: rate(512_000) };
        assert_eq!(restraint("off"), Ok(Restraint::Off));
        assert_eq!(restraint("cut"), Ok(Restraint::Off));
        assert_eq!(restraint(" walled "), Ok(Restraint::Walled));
        assert_eq!(restraint("1M/512k"), Ok(slow));
        assert_eq!(offline("keep"), Ok(None));
        assert_eq!(offline("72h:off"), Ok(Some(OfflineRule { after_hours: 72, then: Restraint::Off })));
        assert_eq!(offline("3d:1M/512k"), Ok(Some(OfflineRule { after_hours: 72, then: slow })));
        assert_eq!((quota("none"), quota("5GB")), (Ok(None), Ok(Some(5_000_000_000))));
        for bad in ["", "slow", "1M", "0/1M", "1M/0", "1M/"] {
            assert!(restraint(bad).is_err(), "{bad}");
        }
        for bad in ["", "off", "72:off", "90m:off", "72h:slow"] {
            assert!(offline(bad).is_err(), "{bad}");
        }
    }

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
            let why = validity(bad).unwrap_err();
            assert!(why.contains("its unit, s, m, h or d"), "{bad}: {why}");
        }
        for unit in ["s", "m", "h", "d"] {
            assert!(validity(&format!("3{unit}")).is_ok(), "{unit} is said to be accepted");
        }
        assert!(data("50").is_err(), "a bare number could be anything");
    }
}
