//! `/system/clock/set`: the date and time that an admin wants, in the router's own zone.
//!
//! Both are read in either dialect and taken out of the command; what is left are settings like any other.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};

use super::Engine;
use crate::clock::Moment;
use crate::request::Request;
use crate::trap::Trap;
use crate::values::ValueError;

impl Engine {
    /// The time that the command asks for, in milliseconds since 1970, and the command without it.
    pub(crate) fn wanted_time(&self, request: &Request, now: Moment) -> Result<(Option<i64>, Request), Trap> {
        let mut rest = request.clone();
        rest.arguments.retain(|(name, _)| name != b"date" && name != b"time");
        let (date, time) = (request.argument("date"), request.argument("time"));
        if date.is_none() && time.is_none() {
            return Ok((None, rest));
        }
        let offset = Offset::from_seconds(self.dialect(now).offset_minutes.saturating_mul(60));
        let zone = TimeZone::fixed(offset.unwrap_or(Offset::UTC));
        let shown = jiff::Timestamp::from_millisecond(now.unix_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let shown: DateTime = shown.to_zoned(zone.clone()).datetime();
        let invalid = |name| Trap::from(ValueError::Invalid(name));
        let date = match date {
            Some(word) => parse_date(word).ok_or_else(|| invalid("date"))?,
            None => shown.date(),
        };
        let time = match time {
            Some(word) => parse(word, "%H:%M:%S").ok_or_else(|| invalid("time"))?,
            None => shown.time(),
        };
        let wanted = date.to_datetime(time).to_zoned(zone).map_err(|_| invalid("date"))?;
        Ok((Some(wanted.timestamp().as_millisecond()), rest))
    }
}

fn parse_date(word: &[u8]) -> Option<Date> {
    let text = std::str::from_utf8(word).ok()?;
    Date::strptime("%Y-%m-%d", text).or_else(|_| Date::strptime("%b/%d/%Y", text)).ok()
}

fn parse(word: &[u8], format: &str) -> Option<Time> {
    Time::strptime(format, std::str::from_utf8(word).ok()?).ok()
}
