//! Dates as RouterOS prints them: the router's local time, with no zone.
//!
//! Up to 7.9 `feb/05/2024 13:47:44`, from 7.10 `2024-02-05 13:47:44`. Lines of the log leave out what is the same as
//! now: `13:47:44` today, `sep/15 09:54:33` this year. Turning a date into an instant needs the router's `gmt-offset`
//! ([`crate::menu::Clock`]) and is left to the caller. Pure.

use std::fmt::Write as _;

use super::{ValueError, parse_number};

const ERROR: ValueError = ValueError { expected: "a date and time" };
const LOG_ERROR: ValueError = ValueError { expected: "the time of a log line" };
const DAY_SECONDS: i64 = 86_400;
/// `0001-01-01 00:00:00` and `9999-12-31 23:59:59`, from 1970.
const FIRST_SECOND: i64 = -62_135_596_800;
const LAST_SECOND: i64 = 253_402_300_799;
/// What the calendar repeats itself after.
const DAYS_OF_400_YEARS: i64 = 146_097;
/// A leap day that was is at most this many years back: there is none in 1900, 2100 and their like.
const LEAP_YEARS_BACK: u16 = 8;
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

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

/// How a release writes dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DateDialect {
    /// Up to 7.9: `feb/05/2024`.
    NamedMonths,
    /// From 7.10: `2024-02-05`.
    Iso,
}

/// When a line of the log was written, as far as the line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogTime {
    /// `13:47:44`: today.
    Today {
        /// 0 to 23.
        hour: u8,
        /// 0 to 59.
        minute: u8,
        /// 0 to 59.
        second: u8,
    },
    /// `sep/15 09:54:33`: this year.
    ThisYear {
        /// 1 to 12.
        month: u8,
        /// 1 to 31, within the month of a leap year.
        day: u8,
        /// 0 to 23.
        hour: u8,
        /// 0 to 59.
        minute: u8,
        /// 0 to 59.
        second: u8,
    },
    /// With its year.
    Dated(DateTime),
}

impl DateTime {
    /// Prints it as releases of this dialect do.
    #[must_use]
    pub fn print(self, dialect: DateDialect) -> String {
        let Self { year, month, day, .. } = self;
        let date = match dialect {
            DateDialect::NamedMonths => format!("{}/{day:02}/{year:04}", name_of(month)),
            DateDialect::Iso => format!("{year:04}-{month:02}-{day:02}"),
        };
        with_time(date, (self.hour, self.minute, self.second))
    }

    /// The moment so many seconds after 1970-01-01 00:00:00 of the same local time; `None` outside the years 1 to
    /// 9999.
    #[must_use]
    pub fn from_local_seconds(seconds: i64) -> Option<Self> {
        if !(FIRST_SECOND..=LAST_SECOND).contains(&seconds) {
            return None;
        }
        let (days, rest) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
        // A guess by the mean length of a year; what it is off is made good below.
        let guess = days.checked_mul(400)?.div_euclid(DAYS_OF_400_YEARS).checked_add(1970)?;
        let mut year = u16::try_from(guess.clamp(1, 9999)).ok()?;
        let start_of = |year| Self { year, month: 1, day: 1, hour: 0, minute: 0, second: 0 }.local_seconds();
        while year > 1 && start_of(year) > seconds {
            year -= 1;
        }
        while year < 9999 && start_of(year.saturating_add(1)) <= seconds {
            year += 1;
        }
        let mut day_of_year = (seconds - rest - start_of(year)) / DAY_SECONDS;
        let mut month = 1;
        while month < 12 && day_of_year >= i64::from(days_of(month, year)) {
            day_of_year -= i64::from(days_of(month, year));
            month += 1;
        }
        Some(Self {
            year,
            month,
            day: u8::try_from(day_of_year.checked_add(1)?).ok()?,
            hour: u8::try_from(rest / 3600).ok()?,
            minute: u8::try_from(rest / 60 % 60).ok()?,
            second: u8::try_from(rest % 60).ok()?,
        })
    }

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

impl LogTime {
    /// The moment, given the router's local time at which the line was read: the last one that fits and is not
    /// after it. `None` only for a leap day of years that had none.
    #[must_use]
    pub fn resolve(self, now: DateTime) -> Option<DateTime> {
        match self {
            Self::Dated(moment) => Some(moment),
            Self::Today { hour, minute, second } => {
                let today = DateTime { hour, minute, second, ..now };
                // Written just before midnight, read just after.
                let is_ahead = today > now;
                let before = DateTime::from_local_seconds(today.local_seconds() - DAY_SECONDS);
                if is_ahead { before } else { Some(today) }
            }
            Self::ThisYear { month, day, hour, minute, second } => (0..=LEAP_YEARS_BACK)
                .filter_map(|back| now.year.checked_sub(back))
                .filter(|year| *year > 0 && day <= days_of(month, *year))
                .map(|year| DateTime { year, month, day, hour, minute, second })
                .find(|moment| *moment <= now),
        }
    }

    /// Prints it as releases of this dialect do. Of a day in this year 7.10 and later are taken to leave out the
    /// year, as older ones do.
    #[must_use]
    pub fn print(self, dialect: DateDialect) -> String {
        match self {
            Self::Dated(moment) => moment.print(dialect),
            Self::Today { hour, minute, second } => format!("{hour:02}:{minute:02}:{second:02}"),
            Self::ThisYear { month, day, hour, minute, second } => {
                let date = match dialect {
                    DateDialect::NamedMonths => format!("{}/{day:02}", name_of(month)),
                    DateDialect::Iso => format!("{month:02}-{day:02}"),
                };
                with_time(date, (hour, minute, second))
            }
        }
    }
}

/// Reads `feb/05/2024 13:47:44` or `2024-02-05 13:47:44`.
///
/// # Errors
/// For anything else, and for days that no calendar has. The time of a log line may lack its date and is refused too:
/// see [`parse_log_time`].
pub fn parse_date_time(value: &[u8]) -> Result<DateTime, ValueError> {
    let (date, time) = split_once(value, b' ').ok_or(ERROR)?;
    let (year, month, day) = if date.contains(&b'/') {
        let [month, day, year] = three(date, b'/')?;
        (year, named_month(month)?, day)
    } else {
        let [year, month, day] = three(date, b'-')?;
        (year, small(month, 12)?, day)
    };
    let year = u16::try_from(parse_number(year).map_err(|_| ERROR)?)
        .ok()
        .filter(|year| (1..=9999).contains(year))
        .ok_or(ERROR)?;
    let day = small(day, days_of(month, year))?;
    if month == 0 || day == 0 {
        return Err(ERROR);
    }
    let (hour, minute, second) = time_of_day(time)?;
    Ok(DateTime { year, month, day, hour, minute, second })
}

/// Reads the time of a log line: `13:47:44`, `sep/15 09:54:33`, `09-15 09:54:33`, or a whole date and time.
///
/// # Errors
/// For anything else.
///
/// ```
/// use routeros_api::value::{parse_date_time, parse_log_time};
/// let now = parse_date_time(b"2024-09-16 00:00:01").unwrap();
/// let written = parse_log_time(b"sep/15 09:54:33").unwrap().resolve(now);
/// assert_eq!(written, parse_date_time(b"2024-09-15 09:54:33").ok());
/// ```
pub fn parse_log_time(value: &[u8]) -> Result<LogTime, ValueError> {
    let Some((date, time)) = split_once(value, b' ') else {
        let (hour, minute, second) = time_of_day(value).map_err(|_| LOG_ERROR)?;
        return Ok(LogTime::Today { hour, minute, second });
    };
    let separator = if date.contains(&b'/') { b'/' } else { b'-' };
    let mut parts = date.split(|byte| *byte == separator);
    let (Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next()) else {
        return parse_date_time(value).map(LogTime::Dated).map_err(|_| LOG_ERROR);
    };
    let read = || {
        let month = if separator == b'/' { named_month(month)? } else { small(month, 12)? };
        // A leap year, since which year it is is not said.
        let day = small(day, days_of(month, 2024))?;
        let (hour, minute, second) = time_of_day(time)?;
        if month == 0 || day == 0 {
            return Err(ERROR);
        }
        Ok(LogTime::ThisYear { month, day, hour, minute, second })
    };
    read().map_err(|_| LOG_ERROR)
}

fn time_of_day(value: &[u8]) -> Result<(u8, u8, u8), ValueError> {
    let [hour, minute, second] = three(value, b':')?;
    Ok((small(hour, 23)?, small(minute, 59)?, small(second, 59)?))
}

fn with_time(mut date: String, (hour, minute, second): (u8, u8, u8)) -> String {
    // Writing to a `String` cannot fail.
    let _ = write!(date, " {hour:02}:{minute:02}:{second:02}");
    date
}

fn named_month(name: &[u8]) -> Result<u8, ValueError> {
    let name = name.to_ascii_lowercase();
    let place = MONTHS.iter().position(|known| known.as_bytes() == name).ok_or(ERROR)?;
    u8::try_from(place.saturating_add(1)).map_err(|_| ERROR)
}

/// Of a month that is none, which cannot be parsed and only be made by hand: the number.
fn name_of(month: u8) -> String {
    let place = usize::from(month).checked_sub(1);
    place.and_then(|place| MONTHS.get(place)).map_or_else(|| month.to_string(), |name| (*name).to_owned())
}

fn split_once(value: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = value.iter().position(|byte| *byte == separator)?;
    Some((value.get(..at)?, value.get(at.saturating_add(1)..)?))
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
    use proptest::prelude::*;

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

    #[test]
    fn the_time_of_a_log_line_leaves_out_what_is_the_same_as_now() {
        let check = |line: &str, now: &str, expected: Option<&str>| {
            let now = parse_date_time(now.as_bytes()).unwrap();
            let found = parse_log_time(line.as_bytes()).unwrap().resolve(now);
            assert_eq!(
                found.map(|moment| moment.print(DateDialect::Iso)).as_deref(),
                expected,
                "{line} at {now:?}"
            );
        };
        check("13:47:44", "2024-02-05 13:47:44", Some("2024-02-05 13:47:44"));
        check("23:59:59", "2024-03-01 00:00:01", Some("2024-02-29 23:59:59"));
        check("sep/15 09:54:33", "2024-11-26 00:00:00", Some("2024-09-15 09:54:33"));
        check("09-15 09:54:33", "2024-11-26 00:00:00", Some("2024-09-15 09:54:33"));
        check("dec/31 23:59:59", "2025-01-01 00:00:01", Some("2024-12-31 23:59:59"));
        check("feb/29 12:00:00", "2027-01-01 00:00:00", Some("2024-02-29 12:00:00"));
        check("feb/29 12:00:00", "2104-02-29 11:00:00", Some("2096-02-29 12:00:00"));
        check("feb/05/2023 13:47:44", "2024-02-05 13:47:44", Some("2023-02-05 13:47:44"));
        check("2023-02-05 13:47:44", "2024-02-05 13:47:44", Some("2023-02-05 13:47:44"));
        check("12:00:00", "0001-01-01 00:00:00", None);
    }

    #[test]
    fn what_is_not_the_time_of_a_log_line_is_refused() {
        for text in [
            "",
            " ",
            "13:47",
            "24:00:00",
            "sep/31 00:00:00",
            "feb/30 00:00:00",
            "00-01 00:00:00",
            "13-01 00:00:00",
            "sep/00 00:00:00",
            "sep/15",
            "sep/15/ 1:2:3",
            "x 00:00:00",
        ] {
            assert!(parse_log_time(text.as_bytes()).is_err(), "{text}");
        }
    }

    fn moments() -> impl Strategy<Value = DateTime> {
        // The years 1 to 9999.
        (FIRST_SECOND..=LAST_SECOND).prop_map(|seconds| DateTime::from_local_seconds(seconds).unwrap())
    }

    proptest! {
        #[test]
        fn seconds_and_dates_are_the_same_thing(seconds in FIRST_SECOND..=LAST_SECOND) {
            let moment = DateTime::from_local_seconds(seconds).unwrap();
            prop_assert_eq!(moment.local_seconds(), seconds);
        }

        #[test]
        fn seconds_outside_the_calendar_are_none(seconds in prop_oneof![i64::MIN..FIRST_SECOND, FIRST_SECOND - 400..FIRST_SECOND, LAST_SECOND + 1..LAST_SECOND + 400, LAST_SECOND + 1..]) {
            prop_assert_eq!(DateTime::from_local_seconds(seconds), None);
        }

        #[test]
        fn a_printed_date_reads_back_the_same_in_both_dialects(moment in moments()) {
            for dialect in [DateDialect::NamedMonths, DateDialect::Iso] {
                prop_assert_eq!(parse_date_time(moment.print(dialect).as_bytes()), Ok(moment));
                prop_assert_eq!(parse_log_time(moment.print(dialect).as_bytes()), Ok(LogTime::Dated(moment)));
            }
        }

        #[test]
        fn a_printed_time_of_a_log_line_reads_back_the_same(moment in moments()) {
            let DateTime { month, day, hour, minute, second, .. } = moment;
            for time in [LogTime::Today { hour, minute, second }, LogTime::ThisYear { month, day, hour, minute, second }] {
                for dialect in [DateDialect::NamedMonths, DateDialect::Iso] {
                    prop_assert_eq!(parse_log_time(time.print(dialect).as_bytes()), Ok(time));
                }
                prop_assert_eq!(time.resolve(moment), Some(moment));
            }
        }

        #[test]
        fn no_bytes_make_the_parsers_of_dates_panic(value in prop::collection::vec(prop::sample::select(b"0123456789/-: janfebmr\xff".to_vec()), 0..24)) {
            let _ = parse_date_time(&value);
            let _ = parse_log_time(&value);
        }
    }
}
