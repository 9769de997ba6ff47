//! The API as clients see it: `POST /version1/messaging` and `GET /version1/user`.
//!
//! Field names, codes and words are those of the public pages and of answers that users have published. A body that is no
//! form, or lacks a field, is answered with 400 and plain words, which is a choice: the pages do not say.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connection::Cut;
use crate::gateway::{Faults, Gateway};
use crate::reports;

/// The largest body: a thousand numbers and a long text.
const BODY_BYTES: usize = 64 * 1024;
/// The longest that an answer is held back.
const SLOWEST: Duration = Duration::from_secs(3_600);
/// What one SMS costs in the examples of the pages, in ten-thousandths of a shilling.
const COST: u64 = 8_000;

pub(crate) fn routes(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/version1/messaging", post(messaging))
        .route("/version1/user", get(user))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(gateway)
}

#[derive(Deserialize)]
struct Order {
    username: String,
    to: String,
    message: String,
    #[serde(default)]
    from: String,
    #[serde(default, rename = "bulkSMSMode")]
    _bulk_sms_mode: String,
    #[serde(default, rename = "enqueue")]
    _enqueue: String,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    username: String,
}

fn refuse_key(gateway: &Gateway, headers: &HeaderMap, username: &str) -> Option<Response> {
    let key = headers.get("apikey").and_then(|key| key.to_str().ok()).unwrap_or_default();
    let is_right = key == gateway.settings.api_key && username == gateway.settings.username;
    if is_right && !gateway.faults().unauthorized {
        return None;
    }
    Some((StatusCode::UNAUTHORIZED, "The supplied authentication is invalid").into_response())
}

async fn user(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    if let Some(refused) = refuse_key(&gateway, &headers, &asked.username) {
        return refused;
    }
    let balance = if gateway.faults().no_balance { "KES 0.0000" } else { "KES 1785.5000" };
    Json(json!({"UserData": {"balance": balance}})).into_response()
}

async fn messaging(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    form: Result<Form<Order>, FormRejection>,
) -> Response {
    let order = match form {
        Ok(Form(order)) => order,
        Err(refused) => return (StatusCode::BAD_REQUEST, refused.body_text()).into_response(),
    };
    if let Some(refused) = refuse_key(&gateway, &headers, &order.username) {
        return refused;
    }
    if gateway.spend(|faults| &mut faults.error_next) {
        return (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error").into_response();
    }
    let faults = gateway.faults();
    if faults.invalid_sender {
        let data = json!({"Message": "InvalidSenderId", "Recipients": []});
        return (StatusCode::CREATED, Json(json!({"SMSMessageData": data}))).into_response();
    }
    let mut recipients = Vec::new();
    let mut sent = 0_u64;
    for number in order.to.split(',').map(str::trim) {
        if let Some((code, word)) = refusal(&faults, number) {
            recipients.push(json!({
                "statusCode": code, "number": number, "status": word, "cost": "0", "messageId": "None",
            }));
            continue;
        }
        sent = sent.saturating_add(1);
        recipients.push(send(&gateway, &order, number, &faults).await);
    }
    tokio::time::sleep(Duration::from_millis(faults.slow_answer_ms).min(SLOWEST)).await;
    if gateway.spend(|faults| &mut faults.lose_answer_next) {
        cut.cut();
    }
    let cost = if sent == 0 { "0".to_owned() } else { shillings(sent.saturating_mul(COST)) };
    let words = format!("Sent to {sent}/{} Total Cost: {cost}", recipients.len());
    let data = json!({"Message": words, "Recipients": recipients});
    (StatusCode::CREATED, Json(json!({"SMSMessageData": data}))).into_response()
}

async fn send(gateway: &Arc<Gateway>, order: &Order, number: &str, faults: &Faults) -> Value {
    let text = gateway.take(number, &order.message, &order.from);
    if faults.reports.before_answer {
        for copy in 0..faults.reports.copies {
            if let Err(error) = reports::deliver(gateway, &text.id, &text.to, &faults.reports, copy).await {
                tracing::warn!("a report was not delivered: {error}");
            }
        }
    } else if gateway.report_url().is_some() {
        reports::set_out(gateway, &text, &faults.reports);
    }
    json!({
        "statusCode": 101, "number": number, "status": "Success", "cost": shillings(COST), "messageId": text.id,
    })
}

/// Why nothing is sent to a number.
fn refusal(faults: &Faults, number: &str) -> Option<(u16, &'static str)> {
    if let Some(code) = faults.status_code {
        return Some((code, word_of(code)));
    }
    let digits = number.strip_prefix('+').unwrap_or_default();
    let is_number = (10..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let code = if !is_number {
        403
    } else if faults.no_balance {
        405
    } else if faults.blacklisted.contains(number) {
        406
    } else {
        return None;
    };
    Some((code, word_of(code)))
}

/// The words of the codes, as they are published.
fn word_of(code: u16) -> &'static str {
    match code {
        100 => "Processed",
        101 => "Sent",
        102 => "Queued",
        401 => "RiskHold",
        402 => "InvalidSenderId",
        403 => "InvalidPhoneNumber",
        404 => "UnsupportedNumberType",
        405 => "InsufficientBalance",
        406 => "UserInBlacklist",
        407 => "CouldNotRoute",
        409 => "DoNotDisturbRejection",
        500 => "InternalServerError",
        501 => "GatewayError",
        502 => "RejectedByGateway",
        _ => "Unknown",
    }
}

fn shillings(ten_thousandths: u64) -> String {
    format!("KES {}.{:04}", ten_thousandths / 10_000, ten_thousandths % 10_000)
}
