//! Dynamic QR: `/mpesa/qrcode/v1/generate` draws a code that the M-Pesa app would scan.
//!
//! What Safaricom writes into its codes is not published, so that the picture is a pattern made of what was asked for: the
//! same question gets the same picture, another gets another, and no app reads it. It is a true PNG, in base64, under the
//! field names of Safaricom's page; the response code is `00` or an id that begins with `AG_`, in turns, as both are published.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::gateway::Gateway;
use crate::identifiers::{AmountKes, ShortCode};
use crate::oauth::{self, Family};
use crate::refusals::Refusal;
use crate::stk::validation::Fields;

/// What a code may be for; as published.
const KINDS: [&str; 5] = ["BG", "WA", "PB", "SM", "SB"];
/// The largest side that is drawn, in pixels.
const SIDE_MOST: u32 = 1_000;
/// Squares of the pattern on each side: those of a small QR code.
const SQUARES: u32 = 25;

/// What is wrong with the codes that are drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeManner {
    /// Nothing.
    #[default]
    Truthful,
    /// It is the beginning of a JPEG.
    Jpeg,
    /// It is no base64.
    NotBase64,
    /// The end is missing.
    CutOff,
    /// It has a megabyte.
    Huge,
    /// There is none in an answer that says that there is.
    Missing,
}

/// Answers `/mpesa/qrcode/v1/generate`.
pub(crate) async fn generate(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let (text, side) = match read(&gateway, &headers, body) {
        Ok(asked) => asked,
        Err(refusal) => return gateway.refuse(&refusal),
    };
    gateway.change(|state| {
        state.counts.codes += 1;
        let id = state.seeds.request_id();
        let code = if state.counts.codes.is_multiple_of(2) { "00".to_owned() } else { format!("AG_{id}") };
        let mut answer = json!({
            "ResponseCode": code, "RequestID": id, "ResponseDescription": "QR Code Successfully Generated.",
        });
        if let (Some(picture), Some(fields)) =
            (drawn(&text, side, state.faults.codes), answer.as_object_mut())
        {
            fields.insert("QRCode".to_owned(), picture.into());
        }
        Json(answer).into_response()
    })
}

fn read(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(String, u32), Refusal> {
    oauth::check_bearer(gateway, headers, Family::Stk)?;
    let fields = Fields::read(&body.map_err(|_too_large| Refusal::payload())?)?;
    let named = |field: &'static str| {
        fields.text(field).filter(|text| !text.is_empty()).ok_or_else(|| Refusal::stk_field(field))
    };
    let (merchant, reference) = (named("MerchantName")?, named("RefNo")?);
    let amount = named("Amount")?.parse().ok().and_then(|amount| AmountKes::new(amount).ok());
    let amount = amount.ok_or_else(|| Refusal::stk_field("Amount"))?;
    let kind = named("TrxCode")?;
    if !KINDS.contains(&kind.as_str()) {
        return Err(Refusal::stk_field("TrxCode"));
    }
    let payee = ShortCode::parse(&named("CPI")?).map_err(|_| Refusal::stk_field("CPI"))?;
    if !gateway.is_merchant(&payee) {
        return Err(Refusal::stk_field("CPI"));
    }
    let side = named("Size")?.parse().ok().filter(|side| (SQUARES..=SIDE_MOST).contains(side));
    let side = side.ok_or_else(|| Refusal::stk_field("Size"))?;
    Ok((format!("{merchant}|{reference}|{amount:?}|{kind}|{}", payee.as_str()), side))
}

/// The picture in base64, or what is sent in its place.
fn drawn(text: &str, side: u32, manner: CodeManner) -> Option<String> {
    let mut png = png(text, side);
    match manner {
        CodeManner::Truthful => Some(STANDARD.encode(png)),
        CodeManner::Jpeg => Some(STANDARD.encode([0xff, 0xd8, 0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F'])),
        CodeManner::NotBase64 => Some("not a picture at all!".to_owned()),
        CodeManner::CutOff => {
            png.truncate(png.len() / 2);
            Some(STANDARD.encode(png))
        }
        CodeManner::Huge => {
            png.resize(300 * 1024, 0);
            Some(STANDARD.encode(png))
        }
        CodeManner::Missing => None,
    }
}

/// A black and white picture, one bit a pixel, in which nothing is compressed.
fn png(text: &str, side: u32) -> Vec<u8> {
    let mut rows = Vec::new();
    for y in 0..side {
        // The row is not filtered.
        rows.push(0);
        let mut byte = 0_u8;
        for x in 0..side.next_multiple_of(8) {
            let is_white = x >= side || !is_black(text, x * SQUARES / side, y * SQUARES / side);
            byte = byte << 1 | u8::from(is_white);
            if x % 8 == 7 {
                rows.push(byte);
                byte = 0;
            }
        }
    }
    let mut png = vec![0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];
    let mut head = side.to_be_bytes().to_vec();
    head.extend(side.to_be_bytes());
    head.extend([1, 0, 0, 0, 0]);
    chunk(&mut png, *b"IHDR", &head);
    let mut packed = vec![0x78, 0x01];
    let mut parts = rows.chunks(usize::from(u16::MAX)).peekable();
    while let Some(part) = parts.next() {
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        packed.push(u8::from(parts.peek().is_none()));
        packed.extend(length.to_le_bytes());
        packed.extend((!length).to_le_bytes());
        packed.extend(part);
    }
    packed.extend(adler32(&rows).to_be_bytes());
    chunk(&mut png, *b"IDAT", &packed);
    chunk(&mut png, *b"IEND", &[]);
    png
}

/// The three corners of every QR code, and a pattern of the text.
fn is_black(text: &str, x: u32, y: u32) -> bool {
    let corner = |from_x: u32, from_y: u32| {
        let (dx, dy) = (x.checked_sub(from_x)?, y.checked_sub(from_y)?);
        (dx < 7 && dy < 7).then(|| {
            let ring = dx.min(dy).min(6 - dx.max(dy));
            ring != 1
        })
    };
    let far = SQUARES - 7;
    if let Some(black) = corner(0, 0).or_else(|| corner(far, 0)).or_else(|| corner(0, far)) {
        return black;
    }
    let place = x.wrapping_mul(31).wrapping_add(y.wrapping_mul(17));
    let sum = text.bytes().fold(place, |sum, byte| sum.wrapping_mul(0x0100_0193) ^ u32::from(byte));
    (sum ^ sum >> 13) & 1 == 1
}

fn chunk(png: &mut Vec<u8>, name: [u8; 4], data: &[u8]) {
    png.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    let named = [name.as_slice(), data].concat();
    png.extend(&named);
    png.extend(crc32(&named).to_be_bytes());
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 },
        )
    })
}

fn adler32(bytes: &[u8]) -> u32 {
    let (low, high) = bytes.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    high << 16 | low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_sums_are_those_of_the_standards() {
        assert_eq!((crc32(b"123456789"), adler32(b"Wikipedia")), (0xcbf4_3926, 0x11e6_0398));
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
    }

    #[test]
    fn another_question_gets_another_picture() {
        let (one, other) = (png("a", 300), png("b", 300));
        assert!(one != other && one == png("a", 300));
        assert!(one.len() < 16 * 1024 && one.ends_with(b"IEND\xae\x42\x60\x82"), "{}", one.len());
        assert!(png("a", SIDE_MOST).len() > usize::from(u16::MAX), "in several blocks");
    }
}
