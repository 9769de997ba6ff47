//! Pull Transactions: the last 48 hours of a short code, a hundred rows at a time.
//!
//! Rows come inside a list inside a list, `1001` means "nothing" and "not registered" alike, and the
//! time zone letter `Z` stands behind Nairobi time: all as observed. It moves no money and tells nobody.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::callback_url::CallbackUrl;
use crate::clock::{self, UnixMillis};
use crate::gateway::Gateway;
use crate::identifiers::{Msisdn, ShortCode};
use crate::oauth::{self, Family};
use crate::payments::Payment;
use crate::refusals::Refusal;
use crate::stk::validation::{Fields, TransactionKind};

/// Rows of one answer.
const PAGE: usize = 100;
/// How far back Pull looks.
const REACH_MS: i64 = 48 * 3_600_000;

/// Answers `/pulltransactions/v1/register`.
pub(crate) async fn register(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let short_code = match read_registration(&gateway, &headers, body) {
        Ok(short_code) => short_code,
        Err(refusal) => return gateway.refuse(&refusal),
    };
    let (is_new, id) = gateway
        .change(|state| (state.pull_registrations.insert(short_code.clone()), state.seeds.request_id()));
    let (status, description) = if is_new {
        ("1000", "ShortCode registered successfully")
    } else {
        ("1001", "ShortCode already registered")
    };
    Json(json!({
        "ResponseRefID": id,
        "ResponseStatus": status,
        "ShortCode": short_code,
        "ResponseDescription": description,
    }))
    .into_response()
}

fn read_registration(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<ShortCode, Refusal> {
    oauth::check_bearer(gateway, headers, Family::Pull)?;
    let fields = Fields::read(&body.map_err(|_too_large| Refusal::payload())?)?;
    let short_code = read_short_code(gateway, &fields)?;
    if fields.text("RequestType").as_deref() != Some("Pull") {
        return Err(Refusal::c2b_field("RequestType"));
    }
    let nominated = fields.text("NominatedNumber").and_then(|text| Msisdn::parse_typed(&text).ok());
    nominated.ok_or_else(|| Refusal::c2b_field("NominatedNumber"))?;
    let url = fields.text("CallBackURL").and_then(|url| CallbackUrl::parse(&url));
    url.ok_or_else(|| Refusal::c2b_field("CallBackURL"))?;
    Ok(short_code)
}

/// A window of transactions that somebody asks for.
#[derive(Debug, Clone)]
struct Window {
    short_code: ShortCode,
    start: UnixMillis,
    end: UnixMillis,
    offset: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    transaction_id: &'a str,
    trx_date: String,
    msisdn: u64,
    sender: &'a str,
    transactiontype: &'static str,
    billreference: &'a str,
    amount: String,
    organizationname: &'static str,
}

/// Answers `/pulltransactions/v1/query`.
pub(crate) async fn query(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let now = gateway.clock.now();
    let window = match read_window(&gateway, &headers, body) {
        Ok(window) => window,
        Err(refusal) => return gateway.refuse(&refusal),
    };
    gateway.change(|state| {
        state.counts.pulls += 1;
        let id = state.seeds.request_id();
        let registered = state.pull_registrations.contains(&window.short_code);
        let rows: Vec<Row<'_>> = state
            .payments
            .rows()
            .filter(|payment| registered && is_inside(payment, &window, now))
            .skip(window.offset)
            .take(PAGE)
            .map(row)
            .collect();
        if rows.is_empty() {
            return Json(json!({
                "ResponseRefID": id, "ResponseCode": "1001", "ResponseMessage": "No transactions found",
            }))
            .into_response();
        }
        Json(json!({
            "ResponseRefID": id, "ResponseCode": "1000", "ResponseMessage": "Success", "Response": [rows],
        }))
        .into_response()
    })
}

fn read_window(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Window, Refusal> {
    oauth::check_bearer(gateway, headers, Family::Pull)?;
    let fields = Fields::read(&body.map_err(|_too_large| Refusal::payload())?)?;
    let short_code = read_short_code(gateway, &fields)?;
    let time = |field| {
        let time = fields.text(field).and_then(|text| clock::parse_spaced(&text));
        time.ok_or_else(|| Refusal::c2b_field(field))
    };
    let (start, end) = (time("StartDate")?, time("EndDate")?);
    let offset = fields.text("OffSetValue").and_then(|text| text.parse().ok());
    let offset = offset.ok_or_else(|| Refusal::c2b_field("OffSetValue"))?;
    Ok(Window { short_code, start, end, offset })
}

fn read_short_code(gateway: &Gateway, fields: &Fields) -> Result<ShortCode, Refusal> {
    let short_code = fields.text("ShortCode").and_then(|text| ShortCode::parse(&text).ok());
    short_code.filter(|code| gateway.is_merchant(code)).ok_or_else(|| Refusal::c2b_field("ShortCode"))
}

/// Whole seconds at both ends: a payment late in the last second of the window is inside.
fn is_inside(payment: &Payment, window: &Window, now: UnixMillis) -> bool {
    let since_start = payment.at_ms.millis_since(window.start);
    let since_end = payment.at_ms.millis_since(window.end);
    payment.short_code == window.short_code
        && since_start >= 0
        && since_end < 1000
        && now.millis_since(payment.at_ms) <= REACH_MS
}

fn row(payment: &Payment) -> Row<'_> {
    Row {
        transaction_id: payment.receipt.as_str(),
        trx_date: format!("{}Z", clock::spaced(payment.at_ms).replacen(' ', "T", 1)),
        msisdn: payment.msisdn.as_number(),
        sender: if payment.first_name.is_empty() { "MPESA" } else { &payment.first_name },
        transactiontype: match payment.kind {
            TransactionKind::PayBill => "c2b-pay-bill-debit",
            TransactionKind::BuyGoods => "c2b-buy-goods-debit",
        },
        billreference: &payment.account_reference,
        amount: payment.amount.two_decimals(),
        organizationname: "Daraja Simulator",
    }
}
