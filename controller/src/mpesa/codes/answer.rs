//! What Daraja is asked for a code to scan, and what it answers. Pure.
//!
//! Source: Safaricom's Dynamic QR page (`/mpesa/qrcode/v1/generate`) and public clients of it. `ResponseCode` is `00`, or an
//! id that begins with `AG_` in Safaricom's own sample, so that only the picture says whether there is one. It is shown to
//! strangers, and so it is looked at before: its size, its form, its measures.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::NoCode;
use crate::customers::account_number::AccountNumber;
use crate::mpesa::fields::{self, text_or_empty};
use crate::mpesa::settings::Payee;
use crate::mpesa::stk::Shillings;
use crate::plain::line_of;

/// The side of the picture in pixels: legible on a phone, and on paper.
const SIDE_PIXELS: &str = "300";
/// The most that is taken of one.
const PNG_BYTES: usize = 128 * 1024;
/// The longest side that is taken.
const SIDE_MOST: u32 = 2_000;
/// How much of a refusal is kept.
const REASON_CHARACTERS: usize = 200;
const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];
/// The last chunk of every PNG: nothing in it, its name and its check sum.
const END: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82];

/// What a code is to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// What the payer reads beside the amount.
    pub merchant: String,
    /// `PB` for a paybill, `BG` for a till.
    pub kind: &'static str,
    /// Who is paid: the paybill, or the till's own number.
    pub payee: String,
    /// The account number.
    pub account: String,
    /// How much, in whole shillings.
    pub shillings: i64,
}

impl Wanted {
    /// For an account and an amount.
    #[must_use]
    pub fn new(merchant: &str, payee: Payee<'_>, account: &AccountNumber, amount: Shillings) -> Self {
        let (kind, payee) = match payee {
            Payee::Paybill(number) => ("PB", number),
            Payee::Till(number) => ("BG", number),
        };
        Self {
            merchant: merchant.to_owned(),
            kind,
            payee: payee.to_owned(),
            account: account.to_string(),
            shillings: amount.money().shillings_rounded_up(),
        }
    }
}

/// A picture that may be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Png(Vec<u8>);

impl Png {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As text, for programs.
    #[must_use]
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.0)
    }
}

impl fmt::Debug for Png {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Png({} bytes)", self.0.len())
    }
}

/// The body of the question.
pub(super) fn body_of(wanted: &Wanted) -> Value {
    json!({
        "MerchantName": wanted.merchant, "RefNo": wanted.account, "Amount": wanted.shillings, "TrxCode": wanted.kind,
        "CPI": wanted.payee, "Size": SIDE_PIXELS,
    })
}

/// Reads the answer.
pub(super) fn read(body: &[u8]) -> Result<Png, NoCode> {
    let Some(answer) = fields::of(body) else {
        return Err(NoCode::Refused("the answer is not one of Daraja's".to_owned()));
    };
    let text = text_or_empty(&answer, "qrcode");
    if text.is_empty() {
        let fault = fields::object(&answer, "fault").unwrap_or_default();
        let words = [
            text_or_empty(&answer, "errorcode"),
            text_or_empty(&answer, "errormessage"),
            text_or_empty(&fault, "faultstring"),
            text_or_empty(&answer, "responsedescription"),
        ];
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        return Err(NoCode::Refused(line_of(&words.join(" "), REASON_CHARACTERS)));
    }
    // Four characters stand for three bytes.
    if text.len() > PNG_BYTES / 3 * 4 + 4 {
        return Err(NoCode::NotAPicture("it is larger than any"));
    }
    let bytes = STANDARD.decode(text.trim()).map_err(|_| NoCode::NotAPicture("it is not base64"))?;
    is_png(&bytes).map_err(NoCode::NotAPicture)?;
    Ok(Png(bytes))
}

/// Whether it is a PNG of sensible measures from its first byte to its last. What is drawn in it nobody here can say.
fn is_png(bytes: &[u8]) -> Result<(), &'static str> {
    let (signature, rest) = bytes.split_at_checked(SIGNATURE.len()).ok_or("it is not a PNG")?;
    if signature != SIGNATURE {
        return Err("it is not a PNG");
    }
    let (head, rest) = rest.split_at_checked(16).ok_or("it is cut off")?;
    let number = |from: usize| {
        let bytes = head.get(from..from.saturating_add(4)).and_then(|four| <[u8; 4]>::try_from(four).ok());
        bytes.map_or(0, u32::from_be_bytes)
    };
    if number(0) != 13 || head.get(4..8) != Some(b"IHDR".as_slice()) {
        return Err("it is not a PNG");
    }
    if ![number(8), number(12)].iter().all(|side| (1..=SIDE_MOST).contains(side)) {
        return Err("its measures are none of a code");
    }
    if rest.ends_with(&END) { Ok(()) } else { Err("it is cut off") }
}
