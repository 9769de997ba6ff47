//! Values as RouterOS prints them, and back: numbers, booleans, durations, pairs, rates, dates, ids.
//!
//! Pure functions over bytes. They accept every dialect seen from 6.49 to 7.24 and refuse what they do
//! not know, so that a strange value is an answer ([`ValueError`]) and never a wrong number. In a pair
//! the first half is always the client's upload: RouterOS calls it `rx`, from the router's view.

mod date;
mod duration;
mod rate;

use std::fmt;

use bytes::Bytes;

pub use date::{DateDialect, DateTime, LogTime, parse_date_time, parse_log_time};
pub use duration::{parse_duration, parse_timeout, print_duration, print_duration_as_clock, print_timeout};
pub use rate::{Burst, RateLimit, parse_rate, parse_rate_pair, print_rate, print_rate_pair};

/// A value that is not of the kind expected. It does not repeat the value, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("value is not {expected}")]
pub struct ValueError {
    /// What the value should have been, with an article: `a duration`.
    pub expected: &'static str,
}

/// Two values that RouterOS prints as `upload/download`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct UpDown<T> {
    /// From the client towards the router (`rx`, `in`).
    pub upload: T,
    /// From the router towards the client (`tx`, `out`).
    pub download: T,
}

impl<T: Copy> UpDown<T> {
    /// The same value both ways.
    #[must_use]
    pub fn both(value: T) -> Self {
        Self { upload: value, download: value }
    }
}

impl<T: fmt::Display> fmt::Display for UpDown<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.upload, self.download)
    }
}

/// A password or another value that must not be seen. `Debug` shows `[redacted]`; there is no `Display`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(Bytes);

impl Secret {
    /// Takes the bytes as they go to the router, with no trimming.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes themselves, for whoever has to send or check them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// A row's `.id`: `*` and upper-case hexadecimal, of no fixed width (`*1`, `*C2A`, `*1C63E`).
///
/// Static rows keep theirs across reboots; dynamic rows (sessions, interfaces) get new ones and old ones
/// come back for other rows. Never keep one past the connection that read it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouterId(Bytes);

impl RouterId {
    /// Accepts `*` and one to sixteen hexadecimal digits.
    ///
    /// # Errors
    /// For anything else; a console index such as `0` is not an id and acting on one is unsafe.
    pub fn parse(value: impl Into<Bytes>) -> Result<Self, ValueError> {
        let value = value.into();
        match number_of_id(&value) {
            // A copy: an id is often kept, and its row, which may show a password, is not.
            Some(_) => Ok(Self(Bytes::copy_from_slice(&value))),
            None => Err(ValueError { expected: "a row id (`*` and hexadecimal digits)" }),
        }
    }

    /// The digits as a number: log rows are ordered by it until the router reboots.
    #[must_use]
    pub fn number(&self) -> u64 {
        number_of_id(&self.0).unwrap_or_default()
    }

    /// The id as it is sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for RouterId {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for RouterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.escape_ascii())
    }
}

fn number_of_id(value: &[u8]) -> Option<u64> {
    match value {
        [b'*', digits @ ..] if digits.iter().all(u8::is_ascii_hexdigit) => {
            u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        }
        _ => None,
    }
}

/// `true`, `yes`, `false` or `no`. Rows use the first pair for flags and the second in enumerations.
///
/// # Errors
/// For anything else, the empty value included: unset is the caller's `None`, not `false`.
pub fn parse_bool(value: &[u8]) -> Result<bool, ValueError> {
    match value {
        b"true" | b"yes" => Ok(true),
        b"false" | b"no" => Ok(false),
        _ => Err(ValueError { expected: "true, false, yes or no" }),
    }
}

/// `yes` or `no`, which every release takes as input.
#[must_use]
pub fn print_bool(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// `true` or `false`, as rows show flags: what a query has to compare with.
#[must_use]
pub fn print_flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Decimal digits only, up to `u64::MAX`.
///
/// # Errors
/// For a sign, a blank, a unit or an overflow.
///
/// ```
/// assert_eq!(routeros_api::value::parse_number(b"54994074636"), Ok(54_994_074_636));
/// assert!(routeros_api::value::parse_number(b"+1").is_err());
/// ```
pub fn parse_number(value: &[u8]) -> Result<u64, ValueError> {
    let error = ValueError { expected: "a whole number" };
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(error);
    }
    std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()).ok_or(error)
}

/// `upload/download` in whole numbers, such as a queue's `bytes=38105527/466624487`.
///
/// # Errors
/// When either half is missing or not a whole number.
pub fn parse_pair(value: &[u8]) -> Result<UpDown<u64>, ValueError> {
    let error = ValueError { expected: "a pair of whole numbers (upload/download)" };
    let (upload, download) = split_pair(value).ok_or(error)?;
    Ok(UpDown {
        upload: parse_number(upload).map_err(|_| error)?,
        download: parse_number(download).map_err(|_| error)?,
    })
}

/// Prints `upload/download` in whole numbers. What [`parse_pair`] reads back.
#[must_use]
pub fn print_pair(pair: UpDown<u64>) -> String {
    pair.to_string()
}

/// Splits at the only `/`.
fn split_pair(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut halves = value.split(|byte| *byte == b'/');
    let pair = (halves.next()?, halves.next()?);
    halves.next().is_none().then_some(pair)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_is_a_star_and_hexadecimal_digits_and_never_a_console_index() {
        for (text, number) in
            [("*1", 1), ("*C2A", 0xC2A), ("*1C63E", 0x1_C63E), ("*ffffffffffffffff", u64::MAX)]
        {
            let id = RouterId::parse(text).unwrap();
            assert_eq!(id.number(), number);
            assert_eq!(id.to_string(), text);
        }
        for text in ["", "*", "0", "12", "*G", "*+1", "* 1", "plot1", "*10000000000000000"] {
            assert!(RouterId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn booleans_have_two_dialects_and_unset_is_neither() {
        for (text, expected) in
            [("true", Ok(true)), ("yes", Ok(true)), ("false", Ok(false)), ("no", Ok(false))]
        {
            assert_eq!(parse_bool(text.as_bytes()), expected);
        }
        for value in [true, false] {
            assert_eq!(parse_bool(print_bool(value).as_bytes()), Ok(value));
            assert_eq!(parse_bool(print_flag(value).as_bytes()), Ok(value));
        }
        for text in ["", "default", "require", "True", "1"] {
            assert!(parse_bool(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_pass_four_gibibytes_and_refuse_decoration() {
        assert_eq!(parse_number(b"10737418240"), Ok(10_737_418_240));
        assert_eq!(parse_number(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(parse_number(b"007"), Ok(7));
        for text in ["", "-1", "+1", " 1", "1 ", "1k", "0x1", "18446744073709551616", "1_000"] {
            assert!(parse_number(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pair_is_upload_then_download() {
        assert_eq!(
            parse_pair(b"38105527/466624487"),
            Ok(UpDown { upload: 38_105_527, download: 466_624_487 })
        );
        for text in ["", "1", "1/", "/1", "1/2/3", "1/x"] {
            assert!(parse_pair(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "[redacted] Some(\n    [redacted],\n)");
        assert_eq!(secret.expose(), b"hunter2");
    }

    proptest! {
        #[test]
        fn printed_numbers_pairs_and_ids_read_back_the_same(upload in any::<u64>(), download in any::<u64>()) {
            prop_assert_eq!(parse_number(upload.to_string().as_bytes()), Ok(upload));
            let pair = UpDown { upload, download };
            prop_assert_eq!(parse_pair(print_pair(pair).as_bytes()), Ok(pair));
            let id = RouterId::parse(format!("*{upload:X}")).unwrap();
            prop_assert_eq!(RouterId::parse(id.to_string()).unwrap().number(), upload);
        }

        #[test]
        fn no_bytes_make_the_plain_parsers_panic(value in prop::collection::vec(any::<u8>(), 0..24)) {
            let _ = (parse_bool(&value), parse_number(&value), parse_pair(&value), RouterId::parse(value));
        }
    }
}
