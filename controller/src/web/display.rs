//! How pages say times, amounts and sizes: Nairobi's clock, shillings, and units that people use. Pure.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone, offset};
pub use tawi_shared::counted;
use tawi_shared::wire::Service;
use tawi_shared::{UnixMillis, ZONE};

use crate::customers::phone::Msisdn;
use crate::money::Money;

/// East Africa Time has had no summer time since 1960, so a fixed offset is all of it.
const NAIROBI: Offset = offset(3);
const MILLIS_PER_DAY: i64 = 86_400_000;
const NAIROBI_MILLIS: i64 = 3 * 3_600_000;

/// A status: a word, and the colour that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Badge {
    /// `good`, `warn`, `bad`, `info` or `idle`: classes of the stylesheet.
    pub tone: &'static str,
    /// What it says. The colour never says more.
    pub word: String,
}

impl Badge {
    /// As it should be.
    #[must_use]
    pub fn good(word: impl Into<String>) -> Self {
        Self { tone: "good", word: word.into() }
    }

    /// Look at it soon.
    #[must_use]
    pub fn warn(word: impl Into<String>) -> Self {
        Self { tone: "warn", word: word.into() }
    }

    /// Not as it should be.
    #[must_use]
    pub fn bad(word: impl Into<String>) -> Self {
        Self { tone: "bad", word: word.into() }
    }

    /// Under way.
    #[must_use]
    pub fn info(word: impl Into<String>) -> Self {
        Self { tone: "info", word: word.into() }
    }

    /// Neither good nor bad.
    #[must_use]
    pub fn idle(word: impl Into<String>) -> Self {
        Self { tone: "idle", word: word.into() }
    }
}

/// An instant as a page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For the `datetime` attribute: UTC, ISO 8601.
    pub iso: String,
    /// `14:05` today, `3 Nov 14:05` this year, `3 Nov 2025 14:05` before.
    pub text: String,
    /// With seconds and year: `3 Nov 2026 14:05:07`.
    pub full: String,
    /// How long ago or until: `5 min ago`, `in 3 days`.
    pub relative: String,
}

impl Moment {
    /// `at`, seen at `now`.
    #[must_use]
    pub fn of(at: UnixMillis, now: UnixMillis) -> Self {
        let pattern = if midnight(at) == midnight(now) {
            "%H:%M"
        } else if format(at, "%Y") == format(now, "%Y") {
            "%-d %b %H:%M"
        } else {
            "%-d %b %Y %H:%M"
        };
        Self {
            iso: timestamp(at).to_string(),
            text: format(at, pattern),
            full: format(at, "%-d %b %Y %H:%M:%S"),
            relative: relative(at, now),
        }
    }

    /// The same for an instant that may not have come.
    #[must_use]
    pub fn maybe(at: Option<UnixMillis>, now: UnixMillis) -> Option<Self> {
        at.map(|at| Self::of(at, now))
    }
}

/// `14:05:07.123` by Nairobi's clock, for steps that follow each other within a second.
#[must_use]
pub fn clock_time(at: UnixMillis) -> String {
    format(at, "%H:%M:%S%.3f")
}

/// `14:05`.
#[must_use]
pub fn hour_minute(at: UnixMillis) -> String {
    format(at, "%H:%M")
}

/// `Tuesday, 24 November`.
#[must_use]
pub fn day(at: UnixMillis) -> String {
    format(at, "%A, %-d %B")
}

/// `November 2026`, of a month such as 202611.
#[must_use]
pub fn month(month: u32) -> String {
    const NAMES: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let name = (month % 100).checked_sub(1).and_then(|index| NAMES.get(usize::try_from(index).ok()?));
    format!("{} {}", name.unwrap_or(&"?"), month / 100)
}

/// `24 Nov`.
#[must_use]
pub fn short_day(at: UnixMillis) -> String {
    format(at, "%-d %b")
}

/// `24/11/2026 14:05`, which is read alike in every language of the country.
#[must_use]
pub fn numeric(at: UnixMillis) -> String {
    format(at, "%d/%m/%Y %H:%M")
}

/// `2026-11-26 14:05:07 EAT`: with its zone, as the agents write it, for a shell whose machine may have another.
#[must_use]
pub fn with_zone(at: UnixMillis) -> String {
    format!("{} {ZONE}", format(at, "%Y-%m-%d %H:%M:%S"))
}

/// Reads a time by Nairobi's clock, as a browser's field for times writes it: `2026-11-26T14:05`.
#[must_use]
pub fn local(text: &str) -> Option<UnixMillis> {
    let local: jiff::civil::DateTime = text.parse().ok()?;
    let zoned = local.to_zoned(TimeZone::fixed(NAIROBI)).ok()?;
    Some(UnixMillis(zoned.timestamp().as_millisecond()))
}

/// The same written back.
#[must_use]
pub fn local_field(at: UnixMillis) -> String {
    format(at, "%Y-%m-%dT%H:%M")
}

/// Nairobi's midnight before `at`.
#[must_use]
pub fn midnight(at: UnixMillis) -> UnixMillis {
    let local = at.0.saturating_add(NAIROBI_MILLIS);
    UnixMillis(local.saturating_sub(local.rem_euclid(MILLIS_PER_DAY)).saturating_sub(NAIROBI_MILLIS))
}

fn timestamp(at: UnixMillis) -> Timestamp {
    // Only rows written by a broken clock lie outside jiff's ten thousand years.
    Timestamp::from_millisecond(at.0).unwrap_or_default()
}

fn format(at: UnixMillis, pattern: &str) -> String {
    timestamp(at).to_zoned(TimeZone::fixed(NAIROBI)).strftime(pattern).to_string()
}

fn relative(at: UnixMillis, now: UnixMillis) -> String {
    if at > now {
        return format!("in {}", span(at.since(now)));
    }
    let passed = now.since(at);
    if passed < Duration::from_secs(5) { "just now".to_owned() } else { format!("{} ago", span(passed)) }
}

/// A length of time in its largest whole unit: `40 s`, `5 min`, `3 h`, `12 days`.
#[must_use]
pub fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min", seconds / 60),
        3_600..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A length of time that is measured rather than told: `87 ms`, `1.42 s`, `12.3 s`, `4 min 5 s`.
#[must_use]
pub fn took(length: Duration) -> String {
    let millis = length.as_millis();
    match millis {
        0..=999 => format!("{millis} ms"),
        1_000..=9_999 => format!("{}.{:02} s", millis / 1_000, millis % 1_000 / 10),
        10_000..=59_999 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        60_000..=3_599_999 => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
        _ => format!("{} h {} min", millis / 3_600_000, millis % 3_600_000 / 60_000),
    }
}

/// How long a plan lasts: `30 days`, `1 day`, `2 hours`, `90 minutes`, `45 seconds`.
#[must_use]
pub fn validity(length: Duration) -> String {
    let seconds = length.as_secs();
    let (count, unit) = match seconds {
        s if s >= 86_400 && s % 86_400 == 0 => (s / 86_400, "day"),
        s if s >= 3_600 && s % 3_600 == 0 => (s / 3_600, "hour"),
        s if s >= 60 && s % 60 == 0 => (s / 60, "minute"),
        s => (s, "second"),
    };
    counted(count, unit)
}

/// `KES 1,500.00`.
#[must_use]
pub fn kes(amount: Money) -> String {
    format!("KES {amount}")
}

/// The service as people write it.
#[must_use]
pub fn service(service: Service) -> &'static str {
    match service {
        Service::Pppoe => "PPPoE",
        Service::Hotspot => "Hotspot",
        Service::L2tp => "L2TP",
        Service::Pptp => "PPTP",
        Service::Openvpn => "OpenVPN",
        Service::Static => "Static address",
        Service::HotspotDevice => "Hotspot device",
    }
}

/// A number as its owner says it: `0712 345 678`. For the customer's own page; lists show it masked.
#[must_use]
pub fn phone(number: &Msisdn) -> String {
    let national = number.digits().get(3..).unwrap_or_default();
    let (first, rest) = national.split_at_checked(3).unwrap_or((national, ""));
    let (second, third) = rest.split_at_checked(3).unwrap_or((rest, ""));
    format!("0{first} {second} {third}")
}

/// An amount of data in decimal units: `0 B`, `640 kB`, `1.2 GB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    for (unit, size) in UNITS {
        if count >= size {
            let (whole, tenth) = (count / size, count % size / (size / 10));
            return if whole >= 100 { format!("{whole} {unit}") } else { format!("{whole}.{tenth} {unit}") };
        }
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-24 00:30:00 in Nairobi is 21:30 of the day before in UTC.
    const NOW: UnixMillis = UnixMillis(1_795_555_800_000);

    #[test]
    fn times_are_nairobis() {
        let moment = Moment::of(NOW, NOW);
        assert_eq!(moment.iso, "2026-11-24T21:30:00Z");
        assert_eq!(moment.text, "00:30");
        assert_eq!(moment.full, "25 Nov 2026 00:30:00");
        assert_eq!(day(NOW), "Wednesday, 25 November");
        assert_eq!(NOW.since(midnight(NOW)), Duration::from_secs(1_800));
        assert_eq!(midnight(midnight(NOW)), midnight(NOW));
        let check = |ago: u64, text: &str, relative: &str| {
            let moment = Moment::of(NOW.minus(Duration::from_secs(ago)), NOW);
            assert_eq!((moment.text.as_str(), moment.relative.as_str()), (text, relative));
        };
        check(2, "00:29", "just now");
        check(600, "00:20", "10 min ago");
        check(3_600, "24 Nov 23:30", "1 h ago");
        check(400 * 86_400, "21 Oct 2025 00:30", "400 days ago");
        assert_eq!(Moment::of(NOW.plus(Duration::from_secs(3 * 86_400)), NOW).relative, "in 3 days");
        assert_eq!(local("2026-11-25T00:30"), Some(NOW));
        assert_eq!(local(&local_field(NOW)), Some(NOW));
        assert_eq!((local("yesterday"), local("")), (None, None));
        assert_eq!(clock_time(UnixMillis(NOW.0 + 45)), "00:30:00.045");
        assert_eq!(with_zone(UnixMillis(NOW.0 + 45)), "2026-11-25 00:30:00 EAT");
    }

    #[test]
    fn lengths_of_time_are_said_in_units_that_fit() {
        let check = |millis, text: &str| assert_eq!(took(Duration::from_millis(millis)), text);
        check(0, "0 ms");
        check(423, "423 ms");
        check(1_425, "1.42 s");
        check(12_345, "12.3 s");
        check(245_000, "4 min 5 s");
        check(7_300_000, "2 h 1 min");
        let check = |seconds, text: &str| assert_eq!(validity(Duration::from_secs(seconds)), text);
        check(30 * 86_400, "30 days");
        check(86_400, "1 day");
        check(36 * 3_600, "36 hours");
        check(5_400, "90 minutes");
        check(61, "61 seconds");
    }

    #[test]
    fn a_phone_number_is_said_as_its_owner_says_it() {
        assert_eq!(phone(&Msisdn::parse("+254712345678").unwrap()), "0712 345 678");
    }

    #[test]
    fn data_is_said_in_decimal_units() {
        let check = |count, text: &str| assert_eq!(bytes(count), text);
        check(0, "0 B");
        check(999, "999 B");
        check(1_250, "1.2 kB");
        check(640_000, "640 kB");
        check(1_200_000_000, "1.2 GB");
        check(u64::MAX, "18446744 TB");
    }
}
