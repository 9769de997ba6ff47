//! Dates as RouterOS prints them: the router's local time, with no zone.
//!
//! Up to 7.9 `feb/05/2024 13:47:44`, from 7.10 `2024-02-05 13:47:44`. Turning one into an instant needs
//! the router's `gmt-offset` ([`crate::menu::Clock`]) and is left to the caller.

use super::{ValueError, parse_number};

const ERROR: ValueError = ValueError { expected: "a date and time" };
const MONTHS: [&[u8]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// A date and a time of day at the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime {
    /// Such as 2024. A router whose clock was never set says 1970.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31, within the month.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl DateTime {
    /// Seconds since 1970-01-01 00:00:00 *of the router's local time*; subtract its `gmt-offset` for UTC.
    #[must_use]
    pub fn local_seconds(self) -> i64 {
        let years_before = i64::from(self.year) - 1;
        let leap_days = years_before / 4 - years_before / 100 + years_before / 400;
        // 719 162 days lie between 0001-01-01 and 1970-01-01.
        let days_before_year = years_before * 365 + leap_days - 719_162;
        let days_before_month: i64 = (1..self.month).map(|month| i64::from(days_of(month, self.year))).sum();
        let days = days_before_year + days_before_month + i64::from(self.day) - 1;
        days * 86_400 + i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second)
    }
}

/// Reads `feb/05/2024 13:47:44` or `2024-02-05 13:47:44`.
///
/// # Errors
/// For anything else, and for days that no calendar has. A log row of today prints a bare time and is
/// refused too: its date is not in it.
pub fn parse_date_time(value: &[u8]) -> Result<DateTime, ValueError> {
    let mut halves = value.splitn(2, |byte| *byte == b' ');
    let (date, time) = (halves.next().ok_or(ERROR)?, halves.next().ok_or(ERROR)?);
    let (year, month, day) = if date.contains(&b'/') {
        let [month, day, year] = three(date, b'/')?;
        let name = month.to_ascii_lowercase();
        let place = MONTHS.iter().position(|known| *known == name).ok_or(ERROR)?;
        (year, u8::try_from(place.saturating_add(1)).map_err(|_| ERROR)?, day)
    } else {
        let [year, month, day] = three(date, b'-')?;
        (year, small(month, 12)?, day)
    };
    let year = u16::try_from(parse_number(year).map_err(|_| ERROR)?)
        .ok()
        .filter(|year| (1..=9999).contains(year))
        .ok_or(ERROR)?;
    let [hour, minute, second] = three(time, b':')?;
    let day = small(day, days_of(month, year))?;
    if month == 0 || day == 0 {
        return Err(ERROR);
    }
    Ok(DateTime {
        year,
        month,
        day,
        hour: small(hour, 23)?,
        minute: small(minute, 59)?,
        second: small(second, 59)?,
    })
}

fn three(value: &[u8], separator: u8) -> Result<[&[u8]; 3], ValueError> {
    let mut parts = value.split(|byte| *byte == separator);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(first), Some(second), Some(third), None) => Ok([first, second, third]),
        _ => Err(ERROR),
    }
}

fn small(digits: &[u8], largest: u8) -> Result<u8, ValueError> {
    let number = parse_number(digits).map_err(|_| ERROR)?;
    u8::try_from(number).ok().filter(|number| *number <= largest).ok_or(ERROR)
}

fn days_of(month: u8, year: u16) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dialects_of_date_name_the_same_moment() {
        let expected = DateTime { year: 2024, month: 2, day: 5, hour: 13, minute: 47, second: 44 };
        for text in ["feb/05/2024 13:47:44", "Feb/05/2024 13:47:44", "2024-02-05 13:47:44"] {
            assert_eq!(parse_date_time(text.as_bytes()), Ok(expected), "{text}");
        }
        assert_eq!(expected.local_seconds(), 1_707_140_864);
    }

    #[test]
    fn seconds_count_from_1970_across_leap_years() {
        for (text, seconds) in [
            ("1970-01-01 00:00:00", 0),
            ("1970-01-02 00:00:01", 86_401),
            ("2000-02-29 00:00:00", 951_782_400),
            ("2024-03-01 00:00:00", 1_709_251_200),
            ("2100-03-01 00:00:00", 4_107_542_400),
        ] {
            assert_eq!(parse_date_time(text.as_bytes()).unwrap().local_seconds(), seconds, "{text}");
        }
    }

    #[test]
    fn days_that_no_calendar_has_are_refused() {
        for text in [
            "",
            "13:47:44",
            "sep/15 09:54:33",
            "2023-02-29 00:00:00",
            "2024-13-01 00:00:00",
            "2024-00-01 00:00:00",
            "2024-01-00 00:00:00",
            "foo/05/2024 13:47:44",
            "2024-02-05",
            "2024-02-05 24:00:00",
            "2024-02-05 13:47",
        ] {
            assert!(parse_date_time(text.as_bytes()).is_err(), "{text}");
        }
    }
}
