//! Which RouterOS release the simulator pretends to be, and what that changes.
//!
//! Only the differences that a client can see are named here: the date dialect, `!empty`, hidden
//! passwords, absent properties. Properties carry their own first and last release in
//! [`crate::tables`]. Nothing here reads a row.

use std::fmt;
use std::str::FromStr;

/// A RouterOS release such as `6.49.10` or `7.18`; ordered as releases are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    major: u16,
    minor: u16,
    patch: u16,
}

/// Why a text is not a release that the simulator can be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// Not `MAJOR.MINOR` or `MAJOR.MINOR.PATCH`.
    #[error("`{0}` is not a RouterOS release; write it like 7.18 or 6.49.10")]
    Unreadable(String),
    /// Older than the login method that the simulator speaks.
    #[error("release {0} is older than 6.43, whose login is the oldest that the simulator speaks")]
    TooOld(Release),
}

impl Release {
    /// The release `major.minor`.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor, patch: 0 }
    }

    /// Whether this is RouterOS 6, which sends unset properties as empty words.
    #[must_use]
    pub fn sends_unset_as_empty(self) -> bool {
        self.major < 7
    }

    /// Whether dates are `2024-02-05 13:47:44` (7.10 and later) instead of `feb/05/2024 13:47:44`.
    #[must_use]
    pub fn writes_iso_dates(self) -> bool {
        self >= Self::new(7, 10)
    }

    /// Whether a command that returned nothing answers `!empty` before `!done` (7.18 and later).
    #[must_use]
    pub fn says_empty(self) -> bool {
        self >= Self::new(7, 18)
    }

    /// What `.dead` says of a row that is gone: `true` was measured on 7.23; the manual has `yes`, which is taken
    /// for RouterOS 6 (inferred).
    #[must_use]
    pub fn dead_word(self) -> &'static str {
        if self.major < 7 { "yes" } else { "true" }
    }

    /// Whether passwords are printed only when `=show-sensitive=` asks for them (7.21 and later).
    #[must_use]
    pub fn hides_secrets_until_asked(self) -> bool {
        self >= Self::new(7, 21)
    }

    /// Whether a log-out account line ends with ` from MAC` (7 and later).
    #[must_use]
    pub fn names_the_caller_at_log_out(self) -> bool {
        self.major >= 7
    }

    /// The text of `/system/resource version`, with the channel.
    #[must_use]
    pub fn version_text(self) -> String {
        let channel = if self.major < 7 { "long-term" } else { "stable" };
        format!("{self} ({channel})")
    }
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)?;
        if self.patch > 0 { write!(formatter, ".{}", self.patch) } else { Ok(()) }
    }
}

impl FromStr for Release {
    type Err = ReleaseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = || ReleaseError::Unreadable(text.to_owned());
        let mut parts = text.split('.').map(str::parse::<u16>);
        let mut next = || parts.next().transpose().map_err(|_| unreadable());
        let (major, minor, patch) = (next()?, next()?, next()?);
        let excess = next()?;
        let (Some(major), Some(minor), None) = (major, minor, excess) else {
            return Err(unreadable());
        };
        let release = Self { major, minor, patch: patch.unwrap_or(0) };
        if release < Self::new(6, 43) { Err(ReleaseError::TooOld(release)) } else { Ok(release) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_order_as_numbers_and_print_as_written() {
        for text in ["6.49.10", "7.9", "7.10", "7.16.2", "7.24"] {
            assert_eq!(text.parse::<Release>().unwrap().to_string(), text);
        }
        assert!("7.9".parse::<Release>().unwrap() < "7.10".parse().unwrap());
        assert!(!"7.9.2".parse::<Release>().unwrap().writes_iso_dates());
        assert!("7.18.1".parse::<Release>().unwrap().says_empty());
    }

    #[test]
    fn unreadable_and_ancient_releases_are_refused() {
        for text in ["", "7", "7.x", "7.1.2.3", "v7.18", "6.42"] {
            assert!(text.parse::<Release>().is_err(), "{text}");
        }
    }
}
