//! Phone numbers, short codes, amounts and checkout ids, parsed once at the rim.
//!
//! Past this file they cannot be wrong. Kenya's numbering plan is followed as far as M-Pesa's API
//! does: twelve digits, `2547…` or `2541…`. Fractions of a shilling are refused, as Daraja refuses them.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;
use thiserror::Error;

use crate::clock::{self, UnixMillis};

/// The most that one M-Pesa transaction may move, in whole shillings.
const MAX_AMOUNT_KES: u32 = 250_000;

/// A text that is not the thing that it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not {expected}")]
pub struct NotValid {
    expected: &'static str,
}

/// A Safaricom number in the only form that Daraja takes: `254[17]` and eight digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Msisdn(String);

impl Msisdn {
    const EXPECTED: NotValid =
        NotValid { expected: "a phone number of the form 254712345678 or 254112345678" };

    /// Reads the twelve-digit form only.
    pub fn parse(text: &str) -> Result<Self, NotValid> {
        let digits_only = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        let mobile = text.starts_with("2547") || text.starts_with("2541");
        if digits_only && mobile { Ok(Self(text.to_owned())) } else { Err(Self::EXPECTED) }
    }

    /// Reads what people type, too: `0712345678`, `+254712345678`.
    pub fn parse_typed(text: &str) -> Result<Self, NotValid> {
        let bare = text.strip_prefix('+').unwrap_or(text);
        match bare.strip_prefix('0') {
            Some(national) => Self::parse(&format!("254{national}")),
            None => Self::parse(bare),
        }
    }

    /// The twelve digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The twelve digits as the JSON number of a callback.
    pub(crate) fn as_number(&self) -> u64 {
        self.0.parse().unwrap_or_default()
    }

    /// The nine digits behind the country code, as they end a `CheckoutRequestID`.
    pub(crate) fn national(&self) -> &str {
        self.0.strip_prefix("254").unwrap_or(&self.0)
    }

    /// `length` digits from `start`, for masking. Twelve ASCII digits, so any range inside is whole.
    pub(crate) fn digits(&self, start: usize, length: usize) -> &str {
        self.0.get(start..start.saturating_add(length)).unwrap_or_default()
    }
}

impl fmt::Debug for Msisdn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Msisdn(…{})", self.digits(9, 3))
    }
}

/// A paybill, store or till number: five to seven digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ShortCode(String);

impl ShortCode {
    /// Reads five to seven digits.
    pub fn parse(text: &str) -> Result<Self, NotValid> {
        let well_formed = (5..=7).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotValid { expected: "a short code of five to seven digits" })
        }
    }

    /// Safaricom's public sandbox paybill for STK push.
    pub fn sandbox() -> Self {
        Self("174379".to_owned())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShortCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whole Kenya shillings, 1 to 250,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AmountKes(u32);

impl AmountKes {
    const EXPECTED: NotValid = NotValid { expected: "a whole amount of 1 to 250000 shillings" };

    /// Takes an amount in whole shillings.
    pub fn new(shillings: u32) -> Result<Self, NotValid> {
        if (1..=MAX_AMOUNT_KES).contains(&shillings) { Ok(Self(shillings)) } else { Err(Self::EXPECTED) }
    }

    /// Reads a JSON integer or a string of digits; Daraja takes both, and no fractions.
    pub(crate) fn from_json(value: &Value) -> Result<Self, NotValid> {
        let shillings = number_or_text(value)
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .ok_or(Self::EXPECTED)?;
        Self::new(shillings)
    }

    /// Whole shillings.
    pub fn shillings(self) -> u32 {
        self.0
    }

    /// The same amount in cents.
    pub(crate) fn cents(self) -> u64 {
        u64::from(self.0) * 100
    }

    /// `5.00`, as C2B notifications write it.
    pub(crate) fn two_decimals(self) -> String {
        format!("{}.00", self.0)
    }
}

impl Serialize for AmountKes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

/// The id of one STK push: `ws_CO_`, the Nairobi time to the millisecond, nine digits of the phone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct CheckoutRequestId(String);

impl CheckoutRequestId {
    /// The id of a push to this phone at this time.
    pub(crate) fn new(at: UnixMillis, phone: &Msisdn) -> Self {
        Self(format!("ws_CO_{}{}", clock::checkout_digits(at), phone.national()))
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text of a JSON string or integer: Daraja takes either for its numeric fields.
pub(crate) fn number_or_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_twelve_digit_form_passes_daraja() {
        for right in ["254712345678", "254112345678"] {
            assert!(Msisdn::parse(right).is_ok(), "{right}");
        }
        for wrong in [
            "0712345678",
            "+254712345678",
            "254212345678",
            "25471234567",
            "2547123456789",
            "25471234567x",
            "",
        ] {
            assert!(Msisdn::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn typed_numbers_are_brought_into_that_form() {
        for typed in ["0712345678", "+254712345678", "254712345678"] {
            assert_eq!(Msisdn::parse_typed(typed).unwrap().as_str(), "254712345678");
        }
    }

    #[test]
    fn amounts_are_whole_and_within_the_limits() {
        for right in [json!(1), json!("1"), json!(250_000), json!("250000")] {
            assert!(AmountKes::from_json(&right).is_ok(), "{right}");
        }
        for wrong in [
            json!(0),
            json!(250_001),
            json!(1.5),
            json!("1.00"),
            json!("-5"),
            json!(-5),
            json!(""),
            json!(null),
            json!("+7"),
        ] {
            assert!(AmountKes::from_json(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_phone_number_hides_in_debug() {
        assert_eq!(format!("{:?}", Msisdn::parse("254712345678").unwrap()), "Msisdn(…678)");
    }

    #[test]
    fn a_checkout_id_carries_time_and_phone() {
        let phone = Msisdn::parse("254712345678").unwrap();
        let id = CheckoutRequestId::new(UnixMillis(1_690_237_907_089), &phone);
        assert_eq!(id.as_str(), "ws_CO_25072023013147089712345678");
    }
}
