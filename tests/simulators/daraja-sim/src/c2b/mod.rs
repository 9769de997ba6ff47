//! Customer to business: registering URLs, simulating a payment, and paybill payments by phones.
//!
//! `registration` decides what may be registered, `notification` words what is sent, `payment` moves the
//! money and asks the merchant first. This file is the HTTP in front of them, versions 1 and 2.

pub(crate) mod notification;
pub(crate) mod payment;
pub(crate) mod registration;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::c2b::payment::{Instruction, pay};
use crate::c2b::registration::{ApiVersion, Registration};
use crate::gateway::Gateway;
use crate::identifiers::{AmountKes, Msisdn, ShortCode};
use crate::oauth::{self, Family};
use crate::refusals::Refusal;
use crate::stk::validation::{Fields, TransactionKind};

/// Longest `BillRefNumber`.
pub(crate) const MAX_BILL_REFERENCE: usize = 20;

/// Answers `/mpesa/c2b/v1/registerurl`.
pub(crate) async fn register_v1(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    register(&gateway, &headers, body, ApiVersion::V1)
}

/// Answers `/mpesa/c2b/v2/registerurl`.
pub(crate) async fn register_v2(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    register(&gateway, &headers, body, ApiVersion::V2)
}

fn register(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    version: ApiVersion,
) -> Response {
    let outcome = read_fields(gateway, headers, body).and_then(|fields| {
        let (short_code, registration) = Registration::read(&fields, version)?;
        if !gateway.is_merchant(&short_code) {
            return Err(Refusal::c2b_field("ShortCode"));
        }
        gateway.change(|state| {
            if state.registrations.contains_key(&short_code) {
                return Err(Refusal::urls_already_registered());
            }
            state.registrations.insert(short_code, registration);
            state.counts.registrations += 1;
            Ok(())
        })
    });
    match outcome {
        Ok(()) => acknowledge(gateway, "Success"),
        Err(refusal) => gateway.refuse(&refusal),
    }
}

/// Answers `/mpesa/c2b/v1/simulate` and `/mpesa/c2b/v2/simulate`; the payment follows in its own time.
pub(crate) async fn simulate(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let instruction =
        read_fields(&gateway, &headers, body).and_then(|fields| read_instruction(&gateway, &fields));
    let instruction = match instruction {
        Ok(instruction) => instruction,
        Err(refusal) => return gateway.refuse(&refusal),
    };
    let payer = Arc::clone(&gateway);
    let started = gateway.errand(async move {
        // What came of it is in the list of payments, as it would be on a statement.
        let _ = pay(&payer, instruction).await;
    });
    if started {
        acknowledge(&gateway, "Accept the service request successfully.")
    } else {
        gateway.refuse(&Refusal::busy())
    }
}

fn read_instruction(gateway: &Gateway, fields: &Fields) -> Result<Instruction, Refusal> {
    let refuse = |field: &'static str| move || Refusal::c2b_field(field);
    let short_code = fields.text("ShortCode").and_then(|text| ShortCode::parse(&text).ok());
    let short_code = short_code.filter(|code| gateway.is_merchant(code)).ok_or_else(refuse("ShortCode"))?;
    let kind = fields.text("CommandID").and_then(|text| TransactionKind::parse(&text));
    let kind = kind.ok_or_else(refuse("CommandID"))?;
    let amount = fields.0.get("Amount").and_then(|value| AmountKes::from_json(value).ok());
    let amount = amount.ok_or_else(refuse("Amount"))?;
    let msisdn = fields.text("Msisdn").and_then(|text| Msisdn::parse(&text).ok());
    let msisdn = msisdn.ok_or_else(refuse("Msisdn"))?;
    let account = match kind {
        TransactionKind::BuyGoods => String::new(),
        TransactionKind::PayBill => fields
            .text("BillRefNumber")
            .filter(|account| account.chars().count() <= MAX_BILL_REFERENCE)
            .ok_or_else(refuse("BillRefNumber"))?,
    };
    Ok(Instruction { msisdn, short_code, kind, amount, account })
}

fn read_fields(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Fields, Refusal> {
    oauth::check_bearer(gateway, headers, Family::C2b)?;
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().starts_with("application/json"));
    if !is_json {
        return Err(Refusal::c2b_field("BusinessShortCode"));
    }
    Fields::read(&body.map_err(|_too_large| Refusal::payload())?)
}

/// The acknowledgement, with the misspelt name that is part of the contract.
fn acknowledge(gateway: &Gateway, description: &str) -> Response {
    let id = gateway.change(|state| state.seeds.request_id());
    Json(json!({
        "OriginatorCoversationID": id,
        "ResponseCode": "0",
        "ResponseDescription": description,
    }))
    .into_response()
}
