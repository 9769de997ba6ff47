//! Kenyan mobile numbers: read in every form that people write, kept as the twelve digits that M-Pesa takes, shown
//! masked. Pure.
//!
//! Numbers are personal data: `Debug` and `Display` hide the middle, and only [`Msisdn::digits`] gives them out.

use std::fmt;
use std::str::FromStr;

use ring::digest::{SHA256, digest};
use tawi_shared::ids::hex;
use thiserror::Error;

/// Kenya's country code.
const COUNTRY: &str = "254";
/// Digits after the country code.
const NATIONAL_DIGITS: usize = 9;

/// A mobile number as `254` and nine digits, the first of them 7 or 1 (the ranges 010x, 011x and 014x exist beside
/// 07xx).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Msisdn(String);

/// Why a text is not a Kenyan mobile number. Does not repeat the text: it may be a number all the same.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not a Kenyan mobile number: write it like 0712 345 678, 0110 345 678 or +254 712 345 678")]
pub struct NotAPhone;

impl Msisdn {
    /// Reads `0712…`, `0110…`, `2547…`, `+254…`, `00254…`, `712…`, with spaces, dashes, dots and brackets anywhere.
    ///
    /// # Errors
    /// [`NotAPhone`] for everything else, numbers abroad and landlines included.
    pub fn parse(text: &str) -> Result<Self, NotAPhone> {
        let compact: String =
            text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '.' | '(' | ')')).collect();
        let international = compact.strip_prefix('+').or_else(|| compact.strip_prefix("00"));
        let national = match international {
            Some(rest) => rest.strip_prefix(COUNTRY).ok_or(NotAPhone)?,
            None if compact.len() == COUNTRY.len() + NATIONAL_DIGITS => {
                compact.strip_prefix(COUNTRY).ok_or(NotAPhone)?
            }
            None => compact.as_str(),
        };
        // "0712…" and, as people also write, "+254 0712…".
        let national = match national.strip_prefix('0') {
            Some(rest) if rest.len() == NATIONAL_DIGITS => rest,
            _ => national,
        };
        let is_mobile = national.len() == NATIONAL_DIGITS
            && national.bytes().all(|byte| byte.is_ascii_digit())
            && (national.starts_with('7') || national.starts_with('1'));
        if is_mobile { Ok(Self(format!("{COUNTRY}{national}"))) } else { Err(NotAPhone) }
    }

    /// All twelve digits. For M-Pesa and for the customer's own page, never for logs.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// The SHA-256 of the twelve digits in hex, as Safaricom writes a payer in version 1 of C2B.
    #[must_use]
    pub fn sha256(&self) -> String {
        hex(digest(&SHA256, self.0.as_bytes()).as_ref())
    }

    fn masked(&self) -> String {
        let start = self.0.get(..4).unwrap_or_default();
        let end = self.0.get(9..).unwrap_or_default();
        format!("{start}•••••{end}")
    }
}

/// How a number begins in the form of [`Msisdn::digits`], from how a mask begins: `0712` and `712` are `254712`.
#[must_use]
pub fn international_start(start: &str) -> String {
    match start.as_bytes() {
        [b'0', b'1' | b'7', ..] => format!("{COUNTRY}{}", start.trim_start_matches('0')),
        [b'1' | b'7', ..] => format!("{COUNTRY}{start}"),
        _ => start.to_owned(),
    }
}

impl fmt::Debug for Msisdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Msisdn({})", self.masked())
    }
}

impl fmt::Display for Msisdn {
    /// Masked: `2547•••••678`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl FromStr for Msisdn {
    type Err = NotAPhone;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_every_form_that_people_write() {
        let check = |text: &str, digits: &str| {
            assert_eq!(Msisdn::parse(text).unwrap().digits(), digits, "{text}");
        };
        check("0701234567", "254701234567");
        check("0110 234 567", "254110234567");
        check("0141-234-567", "254141234567");
        check("254712345678", "254712345678");
        check("+254 712 345 678", "254712345678");
        check("254 1 10234567", "254110234567");
        check("+254 (0)712 345678", "254712345678");
        check("00254712345678", "254712345678");
        check("712345678", "254712345678");
        check(" 0712.345.678 ", "254712345678");
        // Begins with the country code's digits, and is a national number all the same.
        check("0725412345", "254725412345");
        let bad = [
            "",
            "0",
            "07123456789",
            "071234567",
            "0201234567",
            "255712345678",
            "+1 202 555 0100",
            "07l2345678",
            "254812345678",
            "2547123456789",
            "٠٧١٢٣٤٥٦٧٨",
        ];
        for text in bad {
            assert_eq!(Msisdn::parse(text), Err(NotAPhone), "{text}");
        }
    }

    #[test]
    fn a_number_does_not_show_itself_by_accident() {
        let phone = Msisdn::parse("0712345678").unwrap();
        assert_eq!(phone.to_string(), "2547•••••678");
        assert_eq!(format!("{phone:?}"), "Msisdn(2547•••••678)");
    }
}
