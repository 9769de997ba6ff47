//! When texts may be sent: quiet hours by Nairobi's clock, and how long sending pauses after failures. Pure.
//!
//! Who has just paid is told at any hour; everything else waits for the morning.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tawi_shared::UnixMillis;
use thiserror::Error;

use crate::web::display;

const MINUTES_A_DAY: u32 = 24 * 60;
const MILLIS_A_MINUTE: i64 = 60_000;

/// A time of the day, in minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockTime(u32);

/// A text that is no time of the day.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("write a time of the day like 21:00")]
pub struct NoClockTime;

impl ClockTime {
    /// From minutes since midnight; those of another day count on.
    #[must_use]
    pub fn from_minutes(minutes: u32) -> Self {
        Self(minutes % MINUTES_A_DAY)
    }

    /// Minutes since midnight.
    #[must_use]
    pub fn minutes(self) -> u32 {
        self.0
    }
}

impl FromStr for ClockTime {
    type Err = NoClockTime;

    fn from_str(text: &str) -> Result<Self, NoClockTime> {
        let (hours, minutes) = text.split_once(':').ok_or(NoClockTime)?;
        let number = |digits: &str, below: u32| {
            let is_plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|number| is_plain && *number < below).ok_or(NoClockTime)
        };
        let (hours, minutes): (u32, u32) = (number(hours, 24)?, number(minutes, 60)?);
        Ok(Self(hours.saturating_mul(60).saturating_add(minutes)))
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// From when until when nothing is sent that can wait; the same time twice is no hours at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietHours {
    /// When they begin.
    pub from: ClockTime,
    /// When they end.
    pub until: ClockTime,
}

impl Default for QuietHours {
    /// Nine in the evening to seven in the morning.
    fn default() -> Self {
        Self { from: ClockTime(21 * 60), until: ClockTime(7 * 60) }
    }
}

impl QuietHours {
    /// The first instant from `at` on that is in no quiet hours.
    #[must_use]
    pub fn end_from(self, at: UnixMillis) -> UnixMillis {
        let (from, until) = (self.from.0, self.until.0);
        let midnight = display::midnight(at);
        let passed = u32::try_from(at.0.saturating_sub(midnight.0) / MILLIS_A_MINUTE).unwrap_or(0);
        let is_over_midnight = from > until;
        let is_quiet =
            if is_over_midnight { passed >= from || passed < until } else { (from..until).contains(&passed) };
        if !is_quiet {
            return at;
        }
        let days = u64::from(is_over_midnight && passed >= from);
        midnight.plus(Duration::from_secs(days.saturating_mul(86_400).saturating_add(u64::from(until) * 60)))
    }
}

/// The shortest pause after a failure of the provider, and the longest.
const PAUSE_LEAST: Duration = Duration::from_secs(5);
const PAUSE_MOST: Duration = Duration::from_secs(600);

/// How the provider does: after failures sending pauses, each time twice as long, and then one text tries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackOff {
    failures: u32,
    until: Option<UnixMillis>,
}

impl BackOff {
    /// How many texts may be begun now.
    #[must_use]
    pub fn allows(self, now: UnixMillis, most: u32) -> u32 {
        match self.until {
            None => most,
            Some(until) if until <= now => most.min(1),
            Some(_) => 0,
        }
    }

    /// It failed.
    #[must_use]
    pub fn failed(self, now: UnixMillis) -> Self {
        let doubled =
            PAUSE_LEAST.saturating_mul(1_u32.checked_shl(self.failures.min(16)).unwrap_or(u32::MAX));
        Self { failures: self.failures.saturating_add(1), until: Some(now.plus(doubled.min(PAUSE_MOST))) }
    }

    /// It did what it should.
    #[must_use]
    pub fn worked(self) -> Self {
        Self::default()
    }

    /// When it is tried again; `None` while nothing is wrong.
    #[must_use]
    pub fn until(self) -> Option<UnixMillis> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-25 00:30 in Nairobi.
    const HALF_PAST_MIDNIGHT: UnixMillis = UnixMillis(1_795_555_800_000);

    fn at(hours: u64, minutes: u64) -> UnixMillis {
        let midnight = display::midnight(HALF_PAST_MIDNIGHT);
        midnight.plus(Duration::from_secs(hours * 3_600 + minutes * 60))
    }

    #[test]
    fn what_can_wait_waits_for_the_morning() {
        let check = |hours: (&str, &str), now: UnixMillis, expected: UnixMillis| {
            let quiet = QuietHours { from: hours.0.parse().unwrap(), until: hours.1.parse().unwrap() };
            assert_eq!(quiet.end_from(now), expected, "{hours:?} {now:?}");
        };
        let night = ("21:00", "07:00");
        check(night, at(0, 30), at(7, 0));
        check(night, at(6, 59), at(7, 0));
        check(night, at(7, 0), at(7, 0));
        check(night, at(12, 0), at(12, 0));
        check(night, at(20, 59), at(20, 59));
        check(night, at(21, 0), at(31, 0));
        check(night, at(23, 59), at(31, 0));
        let noon = ("12:00", "13:30");
        check(noon, at(12, 10), at(13, 30));
        check(noon, at(13, 30), at(13, 30));
        check(("08:00", "08:00"), at(8, 0), at(8, 0));
        assert_eq!(QuietHours::default().end_from(at(22, 0)), at(31, 0));
    }

    #[test]
    fn times_of_the_day_are_read_and_written() {
        assert_eq!("07:05".parse::<ClockTime>().unwrap().to_string(), "07:05");
        for bad in ["", "7:00", "24:00", "07:60", "0700", "+7:00", "07:00:00"] {
            assert_eq!(bad.parse::<ClockTime>(), Err(NoClockTime), "{bad}");
        }
    }

    #[test]
    fn a_provider_that_fails_is_tried_with_one_text_after_longer_and_longer_pauses() {
        let now = UnixMillis(0);
        let mut health = BackOff::default();
        assert_eq!(health.allows(now, 10), 10);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            health = health.failed(now);
            let until = health.until().unwrap();
            pauses.push(until.since(now).as_secs());
            assert_eq!((health.allows(now, 10), health.allows(until, 10)), (0, 1));
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(health.worked().allows(now, 10), 10);
    }
}
