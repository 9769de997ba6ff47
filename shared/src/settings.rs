//! The bounds of those settings of an agent that head office may set: one place for both ends.
//!
//! What the device's own `agent.toml` says is checked here as well, so that there is no value that one of the two takes and the
//! other does not. A setting that could cut a site off (addresses, certificates), that names a secret or a router, or that
//! guards a site against head office itself (`guard_percent`) has no place here.

use crate::KEEP_ALIVE_LONGEST;
use crate::wire::Setting;

/// The longest value, in bytes: whoever sends more does not know what it sends.
pub const VALUE_BYTES: usize = 32;

/// Levels of the log, from little to much.
pub const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

/// Why a value cannot be, and what can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// Such as `5 is out of range`.
    pub problem: String,
    /// Such as `use 10 to 300`.
    pub cure: String,
}

impl std::fmt::Display for BadValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.problem, self.cure)
    }
}

impl Setting {
    /// Whether a value can be, as it is written.
    ///
    /// # Errors
    /// [`BadValue`] says why not.
    pub fn check(self, text: &str) -> Result<(), BadValue> {
        match self {
            Self::LogLevel => level(text).map(drop),
            Self::KilobytesAnHour | Self::ReportSeconds | Self::KeepAliveSeconds => {
                self.number(text).map(drop)
            }
        }
    }

    /// Reads a number within the bounds of the setting.
    ///
    /// # Errors
    /// [`BadValue`]: it is none, or out of them.
    pub fn number(self, text: &str) -> Result<u64, BadValue> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_number && text.len() <= VALUE_BYTES);
        number.map_or_else(
            || Err(self.refusal(&format!("{:?} is no number", shortened(text)))),
            |number| self.within(number),
        )
    }

    /// A number, if it is within the bounds of the setting.
    ///
    /// # Errors
    /// [`BadValue`]: it is not.
    pub fn within(self, number: u64) -> Result<u64, BadValue> {
        let (least, most) = self.bounds();
        let is_unbounded = number == 0 && self == Self::KilobytesAnHour;
        if is_unbounded || (least..=most).contains(&number) {
            return Ok(number);
        }
        Err(self.refusal(&format!("{number} is out of range")))
    }

    fn refusal(self, problem: &str) -> BadValue {
        let (least, most) = self.bounds();
        let or_none = if self == Self::KilobytesAnHour { ", or 0 for no bound" } else { "" };
        BadValue { problem: problem.to_owned(), cure: format!("use {least} to {most}{or_none}") }
    }

    fn bounds(self) -> (u64, u64) {
        match self {
            // Less would not carry what a small site tells in a day.
            Self::KilobytesAnHour => (10, 10_000_000),
            Self::ReportSeconds => (1, 86_400),
            Self::KeepAliveSeconds => (10, KEEP_ALIVE_LONGEST.as_secs()),
            Self::LogLevel => (0, 0),
        }
    }
}

/// Reads a level of the log.
///
/// # Errors
/// [`BadValue`]: there is none of that name.
pub fn level(text: &str) -> Result<&'static str, BadValue> {
    LEVELS.into_iter().find(|level| *level == text).ok_or_else(|| BadValue {
        problem: format!("{:?} is no level", shortened(text)),
        cure: "use error, warn, info or debug".to_owned(),
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(VALUE_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_has_its_bounds_and_says_them() {
        let check = |setting: Setting, good: &[&str], bad: &[&str], cure: &str| {
            for text in good {
                assert_eq!(setting.check(text), Ok(()), "{setting:?} {text}");
            }
            for text in bad {
                let refused = setting.check(text).expect_err(text);
                assert_eq!(refused.cure, cure, "{setting:?} {text}");
                assert!(refused.problem.len() < 100, "{refused}");
            }
        };
        let long = "9".repeat(4_000);
        let strange = ["", "-1", "+20", " 20", "2e1", "18446744073709551616", long.as_str(), "\u{6f0}"];
        let bad = |more: &[&'static str]| [&strange[..], more].concat();
        let cure = "use 10 to 10000000, or 0 for no bound";
        check(Setting::KilobytesAnHour, &["0", "10", "10000000"], &bad(&["9", "10000001"]), cure);
        check(Setting::ReportSeconds, &["1", "86400"], &bad(&["0", "86401"]), "use 1 to 86400");
        check(Setting::KeepAliveSeconds, &["10", "300"], &bad(&["9", "301"]), "use 10 to 300");
        check(Setting::LogLevel, &LEVELS, &bad(&["trace", "INFO"]), "use error, warn, info or debug");
    }
}
