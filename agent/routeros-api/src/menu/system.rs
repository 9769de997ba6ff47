//! `/system`: who the router is, how it is, and what time it has.

use crate::value::{DateDialect, DateTime, ValueError, parse_date_time, parse_number};

row! {
    /// What the router is made of and how busy it is.
    single Resource at "/system/resource" {
        /// Since it started; goes back when it restarts.
        duration uptime = "uptime";
        /// Such as `7.16.2 (stable)`; see [`Resource::release`].
        bytes version = "version";
        /// When that release was built.
        bytes build_time = "build-time";
        /// Such as `arm64`; decides which container images run.
        bytes architecture_name = "architecture-name";
        /// Such as `RB5009UG+S+`.
        bytes board_name = "board-name";
        /// Such as `ARM64`.
        bytes cpu = "cpu";
        /// Cores.
        number cpu_count = "cpu-count";
        /// Megahertz.
        number cpu_frequency = "cpu-frequency";
        /// Per cent, of all cores.
        number cpu_load = "cpu-load";
        /// Bytes.
        number free_memory = "free-memory";
        /// Bytes.
        number total_memory = "total-memory";
        /// Bytes of flash.
        number free_hdd_space = "free-hdd-space";
        /// Bytes of flash.
        number total_hdd_space = "total-hdd-space";
        /// Flash sectors written since it started: every change of configuration costs some.
        number write_sect_since_reboot = "write-sect-since-reboot";
        /// Flash sectors written in its life.
        number write_sect_total = "write-sect-total";
        /// Share of the flash that is worn out, such as `0%` or `0.1%`.
        bytes bad_blocks = "bad-blocks";
    }
}

impl Resource {
    /// The release as numbers; `None` when unset or of a form not known.
    #[must_use]
    pub fn release(&self) -> Option<Version> {
        self.version.as_ref().and_then(|version| Version::parse(version).ok())
    }
}

/// A release, ordered as releases are. Betas and candidates count as the release they lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 6 or 7.
    pub major: u16,
    /// Such as 49 or 16.
    pub minor: u16,
    /// 0 where there is none.
    pub patch: u16,
}

impl Version {
    /// Reads `7.16.2 (stable)`, `6.49.10 (long-term)`, `7.1beta4 (development)`, `7.20rc1`.
    ///
    /// # Errors
    /// Unless it begins with two numbers and a dot between.
    pub fn parse(value: &[u8]) -> Result<Self, ValueError> {
        let error = ValueError { expected: "a release such as 7.16.2 (stable)" };
        let bare = value.split(|byte| *byte == b' ').next().unwrap_or_default();
        let mut parts = bare.splitn(3, |byte| *byte == b'.');
        let major = parts.next().ok_or(error)?;
        let (minor, has_suffix) = leading_digits(parts.next().ok_or(error)?);
        let patch = match parts.next() {
            Some(patch) if !has_suffix => leading_digits(patch).0,
            Some(_) => return Err(error),
            None => b"0",
        };
        let number =
            |digits| parse_number(digits).ok().and_then(|number| u16::try_from(number).ok()).ok_or(error);
        Ok(Self { major: number(major)?, minor: number(minor)?, patch: number(patch)? })
    }
}

impl Version {
    /// How this release writes dates.
    #[must_use]
    pub fn date_dialect(self) -> DateDialect {
        if (self.major, self.minor) < (7, 10) { DateDialect::NamedMonths } else { DateDialect::Iso }
    }
}

fn leading_digits(part: &[u8]) -> (&[u8], bool) {
    let end = part.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(part.len());
    (part.get(..end).unwrap_or_default(), end < part.len())
}

row! {
    /// What the router is called.
    single Identity at "/system/identity" {
        /// Bytes in any character set.
        bytes name = "name";
    }
}

row! {
    /// The router's local time, which all its dates are in.
    single Clock at "/system/clock" {
        /// `feb/05/2024` or `2024-02-05`.
        bytes date = "date";
        /// `13:47:44`.
        bytes time = "time";
        /// Such as `Africa/Nairobi`.
        bytes time_zone_name = "time-zone-name";
        /// Such as `+03:00`.
        bytes gmt_offset = "gmt-offset";
    }
}

impl Clock {
    /// Date and time at the router.
    #[must_use]
    pub fn local(&self) -> Option<DateTime> {
        let joined = [self.date.as_deref()?, b" ", self.time.as_deref()?].concat();
        parse_date_time(&joined).ok()
    }

    /// Seconds that local time is ahead of UTC.
    #[must_use]
    pub fn offset_seconds(&self) -> Option<i64> {
        let (sign, rest) = match self.gmt_offset.as_deref()? {
            [b'+', rest @ ..] => (1, rest),
            [b'-', rest @ ..] => (-1, rest),
            _ => return None,
        };
        let mut parts = rest.split(|byte| *byte == b':');
        let (Some(hours), Some(minutes), None) = (parts.next(), parts.next(), parts.next()) else {
            return None;
        };
        let small = |digits| parse_number(digits).ok().and_then(|number| i64::try_from(number).ok());
        match (small(hours)?, small(minutes)?) {
            (hours @ 0..=23, minutes @ 0..=59) => Some(sign * (hours * 3600 + minutes * 60)),
            _ => None,
        }
    }

    /// Seconds since 1970 UTC, by the router's clock.
    #[must_use]
    pub fn unix_seconds(&self) -> Option<i64> {
        Some(self.local()?.local_seconds() - self.offset_seconds()?)
    }
}

row! {
    /// An installed package. On v6 `ppp` and `hotspot` are packages of their own and may be missing.
    Package at "/system/package" by "name" {
        /// Such as `routeros`, `container`.
        bytes name = "name";
        /// Its release.
        bytes version = "version";
        /// Whether it is off.
        flag disabled = "disabled";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::menu::TypedRow;
    use crate::sentence::Row;
    use crate::wire::Sentence;

    fn row(words: &[&'static str]) -> Row {
        Row::from(words.iter().copied().collect::<Sentence>())
    }

    #[test]
    fn releases_are_read_and_ordered_as_numbers() {
        for (text, expected) in [
            ("7.16.2 (stable)", (7, 16, 2)),
            ("6.49.10 (long-term)", (6, 49, 10)),
            ("7.1beta4 (development)", (7, 1, 0)),
            ("7.20rc1", (7, 20, 0)),
            ("7.9", (7, 9, 0)),
            ("7.16.2rc3 (testing)", (7, 16, 2)),
        ] {
            let version = Version::parse(text.as_bytes()).unwrap();
            assert_eq!((version.major, version.minor, version.patch), expected, "{text}");
        }
        for text in ["", "7", "7.", "v7.1", "7.x", "7.1beta4.2", ".1", "99999.1"] {
            assert!(Version::parse(text.as_bytes()).is_err(), "{text}");
        }
        let [older, newer] = [b"7.9.1", b"7.10x"].map(|text| Version::parse(text).unwrap());
        assert!(older < newer);
        assert_eq!(
            (older.date_dialect(), newer.date_dialect()),
            (DateDialect::NamedMonths, DateDialect::Iso)
        );
    }

    #[test]
    fn the_clock_gives_an_instant_only_with_its_offset() {
        for (date, offset, expected) in [
            ("=date=2024-02-05", "=gmt-offset=+03:00", Some(1_707_130_064)),
            ("=date=feb/05/2024", "=gmt-offset=+03:00", Some(1_707_130_064)),
            ("=date=2024-02-05", "=gmt-offset=-05:30", Some(1_707_160_664)),
            ("=date=2024-02-05", "=gmt-offset=", None),
            ("=date=2024-02-05", "=gmt-offset=03:00", None),
            ("=date=2024-02-05", "=gmt-offset=+24:00", None),
            ("=date=", "=gmt-offset=+03:00", None),
        ] {
            let clock = Clock::read(&row(&["!re", date, "=time=13:47:44", offset])).unwrap();
            assert_eq!(clock.unix_seconds(), expected, "{date} {offset}");
        }
    }

    #[test]
    fn a_resource_row_of_a_real_router_is_read_whole() {
        let resource = Resource::read(&row(&[
            "!re",
            "=architecture-name=tile",
            "=board-name=CCR1016-12S-1S+",
            "=cpu-count=16",
            "=cpu-load=1",
            "=free-memory=1503133696",
            "=total-memory=2046820352",
            "=uptime=2d20h12m20s",
            "=version=7.1beta4 (development)",
            "=bad-blocks=0.1%",
        ]))
        .unwrap();
        assert_eq!(resource.uptime.unwrap().as_secs(), 245_540);
        assert_eq!(resource.total_memory, Some(2_046_820_352));
        assert_eq!(resource.release().map(|release| release.major), Some(7));
        assert_eq!(resource.write_sect_total, None);
        assert!(resource.unreadable.is_empty());
    }
}
