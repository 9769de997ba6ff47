//! Versions as Cargo writes them, and which of two is newer (semver 2.0.0, items 9 and 11).
//!
//! What stands behind a `+` says nothing of order, and is refused: two releases of one order would be two of one name.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest version, in bytes.
const BYTES: usize = 40;

/// A version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    numbers: [u32; 3],
    /// What stands behind the `-` of one that is not released yet; empty where it is.
    before: String,
}

/// The text is no version.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a version is three numbers such as 0.4.2, and may end as 0.4.2-rc.1 does")]
pub struct BadVersion;

impl FromStr for Version {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        if text.len() > BYTES {
            return Err(BadVersion);
        }
        let (numbers, before) = match text.split_once('-') {
            Some((numbers, before)) => (numbers, Some(before)),
            None => (text, None),
        };
        let mut read = numbers.split('.').map(number);
        let (Some(major), Some(minor), Some(patch), None) =
            (read.next(), read.next(), read.next(), read.next())
        else {
            return Err(BadVersion);
        };
        let numbers = [major, minor, patch].map(Option::unwrap_or_default);
        if [major, minor, patch].contains(&None) || !before.is_none_or(are_identifiers) {
            return Err(BadVersion);
        }
        Ok(Self { numbers, before: before.unwrap_or_default().to_owned() })
    }
}

fn number(text: &str) -> Option<u32> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let has_zeros = text.len() > 1 && text.starts_with('0');
    if is_plain && !has_zeros { text.parse().ok() } else { None }
}

fn are_identifiers(text: &str) -> bool {
    text.split('.')
        .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let of_release = || match (self.before.is_empty(), other.before.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare(&self.before, &other.before),
        };
        self.numbers.cmp(&other.numbers).then_with(of_release)
    }
}

/// Word by word: numbers by their value and before all letters, and whoever has more words is newer.
fn compare(one: &str, other: &str) -> Ordering {
    let (mut ones, mut others) = (one.split('.'), other.split('.'));
    loop {
        let (one, other) = match (ones.next(), others.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => (one, other),
        };
        let order = match (one.parse::<u64>(), other.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b).then_with(|| one.cmp(other)),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => one.cmp(other),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        if self.before.is_empty() { Ok(()) } else { write!(f, "-{}", self.before) }
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = BadVersion;

    fn try_from(text: String) -> Result<Self, BadVersion> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_in_the_order_of_semver() {
        let ordered = [
            "0.1.0-alpha",
            "0.1.0-alpha.1",
            "0.1.0-alpha.2",
            "0.1.0-alpha.10",
            "0.1.0-alpha.beta",
            "0.1.0-rc.1",
            "0.1.0",
            "0.1.9",
            "0.1.10",
            "0.2.0",
            "1.0.0-rc.1",
            "1.0.0",
            "10.0.0",
        ];
        let read: Vec<Version> = ordered.iter().map(|text| text.parse().unwrap()).collect();
        assert!(read.is_sorted(), "{read:?}");
        let again: Vec<_> = read.iter().map(ToString::to_string).collect();
        assert_eq!(again, ordered);
        assert!(read.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for bad in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "01.2.3",
            "1.2.x",
            "1.2.3-",
            "1.2.3-a..b",
            "1.2.3+5",
            "v1.2.3",
            "1.2.3 ",
            "99999999999.0.0",
            "1.2.3-ü",
            "1.-2.3",
            &format!("1.2.3-{}", "a".repeat(40)),
        ] {
            assert_eq!(bad.parse::<Version>(), Err(BadVersion), "{bad:?}");
        }
    }
}
