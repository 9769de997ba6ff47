//! What a callback of an STK push says. Pure: bytes in, evidence out.
//!
//! Items are read by name, never by position: `Balance` comes without a value or not at all. Amounts are read from
//! their digits as sent, never through a float. What is not understood is refused whole, and kept for a person.

use std::fmt;
use std::str::FromStr;

use serde_json::value::RawValue;
use thiserror::Error;

use super::fields::{self, Fields};
use crate::customers::phone::Msisdn;
use crate::money::Money;
use crate::plain::{is_one_line, line_of};

/// The longest id of Safaricom's that is taken. Their form changed at least once: they are opaque.
pub(super) const ID_CHARACTERS: usize = 128;
/// The longest receipt number that is taken; today's have 10 characters.
const RECEIPT_CHARACTERS: usize = 32;
/// The longest result text that is kept.
const DESCRIPTION_CHARACTERS: usize = 300;

/// `CheckoutRequestID`: Safaricom's name for one prompt. Opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckoutId(String);

/// The receipt that the payer sees in the SMS, such as `RGP6CZDYG6`: what makes a payment that payment. Compared in
/// upper case and without spaces around it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReceiptNumber(String);

/// A result code with its text, both as Safaricom wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A number, or a word such as `SFC_IC0003`.
    pub code: String,
    /// For people. Differs between callback and query for the same code, so nothing is decided by it.
    pub description: String,
}

/// What a callback says about one prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The prompt, when it is named.
    pub checkout: Option<CheckoutId>,
    /// Safaricom's other id of it.
    pub merchant_request_id: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a prompt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Money moved.
    Paid(Receipt),
    /// Money is said to have moved, without a receipt: nothing can be booked yet.
    PaidWithoutReceipt,
    /// No money moved.
    Failed(Reason),
}

/// A payment as Safaricom tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The receipt number.
    pub number: ReceiptNumber,
    /// What was paid.
    pub amount: Money,
    /// Who paid, when the number is whole.
    pub phone: Option<Msisdn>,
}

/// Why a body is no evidence.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotUnderstood {
    /// Not JSON, or not in the form of a callback.
    #[error("not in the form of a callback")]
    Form,
    /// Something named is not there, or is there in a form that nobody has seen.
    #[error("{0} is missing or not in a known form")]
    Field(&'static str),
    /// An amount that M-Pesa does not move at once.
    #[error("{0} is more than M-Pesa takes in one payment")]
    TooMuch(&'static str),
}

/// Reads a callback's body.
///
/// # Errors
/// [`NotUnderstood`]: then nothing of it may be acted on.
pub fn parse(body: &[u8]) -> Result<Evidence, NotUnderstood> {
    let body = fields::readable(body);
    let envelope = fields::of(&body).ok_or(NotUnderstood::Form)?;
    let body = fields::object(&envelope, "body").ok_or(NotUnderstood::Form)?;
    let callback = fields::object(&body, "stkcallback").ok_or(NotUnderstood::Form)?;
    let code = fields::text(&callback, "resultcode").ok_or(NotUnderstood::Field("ResultCode"))?;
    let outcome = if code == "0" {
        paid(&items_of(&callback)?)?
    } else {
        Outcome::Failed(Reason::new(&code, &fields::text_or_empty(&callback, "resultdesc")))
    };
    let checkout = match fields::text(&callback, "checkoutrequestid") {
        Some(text) => Some(CheckoutId::parse(&text).ok_or(NotUnderstood::Field("CheckoutRequestID"))?),
        None => None,
    };
    let merchant_request_id = fields::text(&callback, "merchantrequestid")
        .filter(|id| id.chars().count() <= ID_CHARACTERS && is_one_line(id));
    Ok(Evidence { checkout, merchant_request_id, outcome })
}

/// The items beside a success: each has a name, and most a value.
fn items_of<'a>(callback: &Fields<'a>) -> Result<Vec<Fields<'a>>, NotUnderstood> {
    if callback.get("callbackmetadata").is_none_or(|metadata| metadata.get() == "null") {
        return Ok(Vec::new());
    }
    let metadata = fields::object(callback, "callbackmetadata").ok_or(NotUnderstood::Form)?;
    let Some(items) = metadata.get("item").copied() else { return Ok(Vec::new()) };
    let items: Vec<&'a RawValue> = if items.get().trim_start().starts_with('{') {
        vec![items]
    } else {
        serde_json::from_str(items.get()).map_err(|_| NotUnderstood::Form)?
    };
    let item = |raw: &'a RawValue| fields::of(raw.get().as_bytes()).filter(|item| item.contains_key("name"));
    items.into_iter().map(|raw| item(raw).ok_or(NotUnderstood::Form)).collect()
}

fn paid(items: &[Fields<'_>]) -> Result<Outcome, NotUnderstood> {
    let value = |name: &str| {
        let item = items.iter().find(|item| fields::text(item, "name").as_deref() == Some(name))?;
        fields::text(item, "value")
    };
    let Some(number) = value("MpesaReceiptNumber") else {
        return Ok(Outcome::PaidWithoutReceipt);
    };
    let number = ReceiptNumber::parse(&number).ok_or(NotUnderstood::Field("MpesaReceiptNumber"))?;
    // No grouping commas: they are for people, and a machine that sends them is not the one we know.
    let amount = value("Amount")
        .filter(|text| !text.contains(','))
        .and_then(|text| Money::parse(&text).ok())
        .filter(|amount| amount.is_positive())
        .ok_or(NotUnderstood::Field("Amount"))?;
    let phone = value("PhoneNumber").and_then(|text| Msisdn::parse(&text).ok());
    Ok(Outcome::Paid(Receipt { number, amount, phone }))
}

impl Reason {
    /// A code with its text; the text is cut at 300 characters.
    #[must_use]
    pub fn new(code: &str, description: &str) -> Self {
        Self { code: line_of(code, ID_CHARACTERS), description: line_of(description, DESCRIPTION_CHARACTERS) }
    }
}

impl CheckoutId {
    /// Takes an id of 1 to 128 visible characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        (!text.is_empty() && text.len() <= ID_CHARACTERS && is_plain).then(|| Self(text.to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ReceiptNumber {
    /// Takes a receipt number of 1 to 32 letters and digits, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let fits = !text.is_empty() && text.len() <= RECEIPT_CHARACTERS && is_plain;
        fits.then(|| Self(text.to_ascii_uppercase()))
    }

    /// The number in upper case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no id or receipt number.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not in a known form")]
pub struct BadForm(String);

impl BadForm {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

macro_rules! from_text {
    ($($name:ident)+) => {
        $(impl FromStr for $name {
            type Err = BadForm;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text).ok_or_else(|| BadForm(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        })+
    };
}

from_text! { CheckoutId ReceiptNumber }

#[cfg(test)]
mod tests;
