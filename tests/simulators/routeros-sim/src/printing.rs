//! How RouterOS writes and reads durations, dates and rates in API words.
//!
//! Pure text in, text out. Sources: the manual's scripting types page, and rows of real routers.
//! References between rows and enumerations live in [`crate::values`].

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use crate::release::Release;

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
const WEEK_MS: u64 = 7 * DAY_MS;

/// A duration as the API prints it: `1w2d3h4m5s`, `0s`, `1s200ms`.
#[must_use]
pub(crate) fn duration_text(duration_ms: u64) -> String {
    if duration_ms == 0 {
        return "0s".to_owned();
    }
    let mut rest_ms = duration_ms;
    let mut text = String::new();
    for (unit_ms, name) in
        [(WEEK_MS, "w"), (DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m"), (SECOND_MS, "s"), (1, "ms")]
    {
        let count = rest_ms / unit_ms;
        rest_ms %= unit_ms;
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(name);
        }
    }
    text
}

/// A duration in whole seconds, as live counters such as `uptime` print it.
#[must_use]
pub(crate) fn seconds_text(duration_ms: u64) -> String {
    duration_text(duration_ms / SECOND_MS * SECOND_MS)
}

/// Reads `1w2d3h`, `01:22:53`, `1w2d03:04:05`, `90` (seconds) and `200ms` as milliseconds.
#[must_use]
pub(crate) fn parse_duration(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut total_ms: u64 = 0;
    let mut digits = String::new();
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        let unit_ms = match letter {
            'w' => WEEK_MS,
            'd' => DAY_MS,
            'h' => HOUR_MS,
            'm' if rest.peek() == Some(&'s') => {
                rest.next();
                1
            }
            'm' => MINUTE_MS,
            's' => SECOND_MS,
            ':' => {
                let clock: String = rest.collect();
                return total_ms.checked_add(parse_clock(&digits, &clock)?);
            }
            _ => return None,
        };
        let count: u64 = digits.parse().ok()?;
        digits.clear();
        total_ms = total_ms.checked_add(count.checked_mul(unit_ms)?)?;
    }
    if digits.is_empty() {
        return Some(total_ms);
    }
    total_ms.checked_add(digits.parse::<u64>().ok()?.checked_mul(SECOND_MS)?)
}

fn parse_clock(hours: &str, rest: &str) -> Option<u64> {
    let (minutes, seconds) = rest.split_once(':')?;
    let (hours, minutes, seconds): (u64, u64, u64) =
        (hours.parse().ok()?, minutes.parse().ok()?, seconds.parse().ok()?);
    if minutes > 59 || seconds > 59 {
        return None;
    }
    hours.checked_mul(HOUR_MS)?.checked_add(minutes * MINUTE_MS + seconds * SECOND_MS)
}

/// A date and time in the router's own zone: `2024-02-05 13:47:44`, before 7.10 `feb/05/2024 13:47:44`.
#[must_use]
pub(crate) fn date_text(unix_ms: i64, offset_minutes: i32, release: Release) -> String {
    let format = if release.writes_iso_dates() { "%Y-%m-%d %H:%M:%S" } else { "%b/%d/%Y %H:%M:%S" };
    local_text(unix_ms, offset_minutes, format)
}

/// The date of `/system/clock`.
#[must_use]
pub(crate) fn clock_date_text(unix_ms: i64, offset_minutes: i32, release: Release) -> String {
    local_text(unix_ms, offset_minutes, if release.writes_iso_dates() { "%Y-%m-%d" } else { "%b/%d/%Y" })
}

/// The time of `/system/clock`.
#[must_use]
pub(crate) fn clock_time_text(unix_ms: i64, offset_minutes: i32) -> String {
    local_text(unix_ms, offset_minutes, "%H:%M:%S")
}

/// The time of a log line: only what differs from now, as the manual's log page shows.
#[must_use]
pub(crate) fn log_time_text(unix_ms: i64, now_unix_ms: i64, offset_minutes: i32, release: Release) -> String {
    let same = |format| {
        local_text(unix_ms, offset_minutes, format) == local_text(now_unix_ms, offset_minutes, format)
    };
    let format = match (same("%Y-%m-%d"), same("%Y"), release.writes_iso_dates()) {
        (true, _, _) => "%H:%M:%S",
        (false, true, true) => "%m-%d %H:%M:%S",
        (false, true, false) => "%b/%d %H:%M:%S",
        (false, false, true) => "%Y-%m-%d %H:%M:%S",
        (false, false, false) => "%b/%d/%Y %H:%M:%S",
    };
    local_text(unix_ms, offset_minutes, format)
}

/// `+03:00` for `/system/clock gmt-offset`.
#[must_use]
pub(crate) fn offset_text(offset_minutes: i32) -> String {
    let sign = if offset_minutes < 0 { '-' } else { '+' };
    let minutes = offset_minutes.abs();
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Month names come out in lower case, as RouterOS 6 wrote them.
fn local_text(unix_ms: i64, offset_minutes: i32, format: &str) -> String {
    let zone = Offset::from_seconds(offset_minutes.saturating_mul(60)).unwrap_or(Offset::UTC);
    let timestamp = Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    timestamp.to_zoned(TimeZone::fixed(zone)).strftime(format).to_string().to_lowercase()
}

/// Reads a rate such as `10M`, `512k`, `1.5M`, `1G` or `25000000` as bits per second.
#[must_use]
pub(crate) fn parse_rate(text: &str) -> Option<u64> {
    let (number, unit) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (text.get(..at)?, 1_000_u64),
        (at, 'M' | 'm') => (text.get(..at)?, 1_000_000),
        (at, 'G' | 'g') => (text.get(..at)?, 1_000_000_000),
        _ => (text, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let mut rate = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        rate = rate.checked_add(u64::from(digit - b'0') * place)?;
    }
    Some(rate)
}

/// Reads `upload/download`, or one rate for both, as bits per second.
#[must_use]
pub(crate) fn parse_rate_pair(text: &str) -> Option<(u64, u64)> {
    match text.split_once('/') {
        Some((upload, download)) => Some((parse_rate(upload)?, parse_rate(download)?)),
        None => parse_rate(text).map(|rate| (rate, rate)),
    }
}

/// A profile's rate limit, upload first: what the router's dynamic queue of a session is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RateLimit {
    /// Bits per second from the client and to the client.
    pub rate: (u64, u64),
    /// Burst bits per second; zero when there is no burst.
    pub burst: (u64, u64),
    /// Bits per second of average use under which a burst is allowed.
    pub threshold: (u64, u64),
    /// Seconds over which the average is taken.
    pub burst_seconds: (u64, u64),
    /// Queue priority, 1 (first) to 8.
    pub priority: u64,
    /// Guaranteed bits per second.
    pub least: (u64, u64),
}

/// Reads `rx[/tx] [burst [threshold [seconds [priority [least]]]]]`; rx is the client's upload.
///
/// A missing threshold is the rate; missing seconds are 1; a guaranteed rate above the rate is refused.
#[must_use]
pub(crate) fn parse_rate_limit(text: &str) -> Option<RateLimit> {
    let mut words = text.split_ascii_whitespace();
    let rate = parse_rate_pair(words.next()?)?;
    let burst = words.next().map_or(Some((0, 0)), parse_rate_pair)?;
    let threshold = words.next().map_or(Some(rate), parse_rate_pair)?;
    let burst_seconds = words.next().map_or(Some((1, 1)), parse_seconds_pair)?;
    let priority = words.next().map_or(Some(8), |word| word.parse().ok())?;
    let least = words.next().map_or(Some((0, 0)), parse_rate_pair)?;
    let sound = words.next().is_none()
        && (1..=8).contains(&priority)
        && (least.0 <= rate.0 || rate.0 == 0)
        && (least.1 <= rate.1 || rate.1 == 0);
    sound.then_some(RateLimit { rate, burst, threshold, burst_seconds, priority, least })
}

fn parse_seconds_pair(text: &str) -> Option<(u64, u64)> {
    let seconds = |part: &str| parse_duration(part).map(|ms| ms / SECOND_MS);
    match text.split_once('/') {
        Some((upload, download)) => Some((seconds(upload)?, seconds(download)?)),
        None => seconds(text).map(|both| (both, both)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_without_zero_parts_and_read_in_every_dialect() {
        let check = |text: &str, ms: u64| {
            assert_eq!(duration_text(ms), text);
            assert_eq!(parse_duration(text), Some(ms));
        };
        check("0s", 0);
        check("44m55s", 2_695_000);
        check("2d20h12m20s", 245_540_000);
        check("1w2d3h", 788_400_000);
        check("1s200ms", 1_200);
        assert_eq!(parse_duration("01:22:53"), Some(4_973_000));
        assert_eq!(parse_duration("1w2d03:04:05"), Some(788_645_000));
        assert_eq!(parse_duration("90"), Some(90_000));
        for bad in ["", "x", "5x", "h", "1:2", "00:61:00", "99999999999999999999s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_follow_the_release() {
        let old = Release::new(7, 9);
        let new = Release::new(7, 10);
        let at = 1_707_140_864_000;
        assert_eq!(date_text(at, 0, old), "feb/05/2024 13:47:44");
        assert_eq!(date_text(at, 0, new), "2024-02-05 13:47:44");
        assert_eq!(date_text(at, 180, new), "2024-02-05 16:47:44");
        assert_eq!(clock_date_text(at, 180, new), "2024-02-05");
        assert_eq!(offset_text(180), "+03:00");
    }

    #[test]
    fn log_times_show_only_what_differs_from_now() {
        let line = 1_707_140_864_000;
        let (hour, day, year) = (3_600_000, 86_400_000, 366 * 86_400_000);
        let new = Release::new(7, 18);
        assert_eq!(log_time_text(line, line + hour, 0, new), "13:47:44");
        assert_eq!(log_time_text(line, line + day, 0, new), "02-05 13:47:44");
        assert_eq!(log_time_text(line, line + day, 0, Release::new(6, 49)), "feb/05 13:47:44");
        assert_eq!(log_time_text(line, line + year, 0, new), "2024-02-05 13:47:44");
    }

    #[test]
    fn rate_limits_follow_the_manual() {
        assert_eq!(parse_rate("1.5M"), Some(1_500_000));
        assert_eq!(parse_rate("512k"), Some(512_000));
        let plain = parse_rate_limit("5M/20M").unwrap();
        assert_eq!((plain.rate, plain.burst, plain.priority), ((5_000_000, 20_000_000), (0, 0), 8));
        let full = parse_rate_limit("5M/20M 8M/30M 4M/16M 16/16 8 1M/4M").unwrap();
        assert_eq!(full.burst_seconds, (16, 16));
        assert_eq!(full.least, (1_000_000, 4_000_000));
        assert_eq!(parse_rate_limit("10M").unwrap().rate, (10_000_000, 10_000_000));
        for bad in ["", "fast", "5M/", "5M/20M 8M 4M 16 9", "5M 8M 4M 1 8 6M", "1M 1M 1M 1 1 1M 1M"] {
            assert_eq!(parse_rate_limit(bad), None, "{bad}");
        }
    }
}
