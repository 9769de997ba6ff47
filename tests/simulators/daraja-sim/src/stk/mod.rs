//! M-Pesa Express: the push that makes a phone ring, and the query that tells how it ended.
//!
//! `validation` decides what Daraja takes, `prompting` lets the phone act, `callback` words the result,
//! `query` answers polls. This file is the HTTP in front of them, and owns no rule.

pub(crate) mod callback;
pub(crate) mod prompting;
pub(crate) mod query;
pub(crate) mod validation;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::connection::Cut;
use crate::gateway::Gateway;
use crate::identifiers::CheckoutRequestId;
use crate::oauth::{self, Family};
use crate::phones::Phone;
use crate::prompts::MAX_WAITING;
use crate::refusals::{self, Refusal};
use crate::stk::query::QueryAnswer;
use crate::stk::validation::Push;

/// The `ResponseDescription` of an accepted push, as published.
const ACCEPTED: &str = "Success. Request accepted for processing";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PushReply {
    #[serde(rename = "MerchantRequestID")]
    merchant_request_id: String,
    #[serde(rename = "CheckoutRequestID")]
    checkout_request_id: CheckoutRequestId,
    response_code: &'static str,
    response_description: &'static str,
    customer_message: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct QueryReply {
    response_code: &'static str,
    response_description: &'static str,
    #[serde(rename = "MerchantRequestID")]
    merchant_request_id: String,
    #[serde(rename = "CheckoutRequestID")]
    checkout_request_id: String,
    result_code: String,
    result_desc: String,
}

/// An accepted push, and what becomes of its answer.
struct Accepted {
    reply: PushReply,
    phone: Phone,
    reply_is_lost: bool,
    times_out: bool,
}

/// Answers `/mpesa/stkpush/v1/processrequest`.
pub(crate) async fn push(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let accepted = read_push(&gateway, &headers, body).and_then(|push| accept(&gateway, push));
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(refusal) => {
            gateway.change(|state| state.counts.pushes_refused += 1);
            return gateway.refuse(&refusal);
        }
    };
    let before_reply = accepted.phone.callback.before_reply;
    let (delivered, when_delivered) = oneshot::channel();
    let id = accepted.reply.checkout_request_id.clone();
    // An errand of its own: the phone goes on even if the client hangs up meanwhile.
    let started = gateway.errand(prompting::prompt(Arc::clone(&gateway), id, accepted.phone, delivered));
    if before_reply && started {
        // An error means that the errand ended with the simulator; then any answer will do.
        let _ = when_delivered.await;
    }
    if accepted.reply_is_lost {
        cut.cut();
    }
    if accepted.times_out {
        return refusals::gateway_timeout();
    }
    Json(accepted.reply).into_response()
}

fn read_push(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Push, Refusal> {
    oauth::check_bearer(gateway, headers, Family::Stk)?;
    check_content_type(headers)?;
    let body = body.map_err(|_too_large| Refusal::payload())?;
    validation::push(&body, &gateway.settings, gateway.clock.now())
}

fn accept(gateway: &Gateway, push: Push) -> Result<Accepted, Refusal> {
    let now = gateway.clock.now();
    let has_room = gateway.has_room_for_errands();
    gateway.change(|state| {
        if state.prompts.waiting() >= MAX_WAITING || !has_room {
            return Err(Refusal::busy());
        }
        let phone = state.phones.of(&push.phone).clone();
        let merchant_request_id = state.seeds.merchant_request_id();
        let checkout_request_id = state.prompts.accept(push, &merchant_request_id, now);
        state.counts.pushes += 1;
        let reply = PushReply {
            merchant_request_id,
            checkout_request_id,
            response_code: "0",
            response_description: ACCEPTED,
            customer_message: ACCEPTED,
        };
        let reply_is_lost = state.faults.lose_this_reply();
        Ok(Accepted { reply, phone, reply_is_lost, times_out: state.faults.time_out_this_reply() })
    })
}

/// Answers `/mpesa/stkpushquery/v1/query`.
pub(crate) async fn query(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match read_query(&gateway, &headers, body) {
        Ok(id) => answer_query(&gateway, &id),
        Err(refusal) => gateway.refuse(&refusal),
    }
}

fn read_query(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<String, Refusal> {
    oauth::check_bearer(gateway, headers, Family::Stk)?;
    check_content_type(headers)?;
    let body = body.map_err(|_too_large| Refusal::payload())?;
    validation::query(&body, &gateway.settings, gateway.clock.now())
}

fn answer_query(gateway: &Gateway, id: &str) -> Response {
    let (answer, merchant_request_id) = gateway.change(|state| {
        state.counts.queries += 1;
        let manner = state.faults.query;
        match state.prompts.get_mut(id) {
            Some(prompt) => (query::answer(prompt, manner), prompt.merchant_request_id.clone()),
            None => (QueryAnswer::unknown(), String::new()),
        }
    });
    match answer {
        QueryAnswer::Refused(refusal) => gateway.refuse(&refusal),
        QueryAnswer::Result { code, description } => Json(QueryReply {
            response_code: "0",
            response_description: "The service request has been accepted successsfully",
            merchant_request_id,
            checkout_request_id: id.to_owned(),
            result_code: code,
            result_desc: description,
        })
        .into_response(),
    }
}

/// A wrong `Content-Type` is refused in the words of a wrong short code, as published.
fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().starts_with("application/json"));
    if is_json { Ok(()) } else { Err(Refusal::stk_field("BusinessShortCode")) }
}
