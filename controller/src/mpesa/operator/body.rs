//! The bodies of what an API operator asks. Pure.
//!
//! Source: Safaricom's Daraja 3.0 pages (December 2025), field names as they stand there. A body has a secret in it, if an
//! encrypted one: it is never logged.

use serde_json::{Value, json};

use super::request::{OperatorRequest, Question};
use crate::mpesa::settings::MpesaSettings;

const BALANCE_PATH: &str = "/mpesa/accountbalance/v1/query";
const STATUS_PATH: &str = "/mpesa/transactionstatus/v1/query";
/// The kind of identifier that a short code is.
const SHORT_CODE: &str = "4";

/// Path and body of a request.
pub(super) fn of(
    settings: &MpesaSettings,
    request: &OperatorRequest,
    credential: String,
) -> (&'static str, Value) {
    let token = &request.callback_token;
    let mut body = json!({
        "Initiator": request.operator,
        "SecurityCredential": credential,
        "PartyA": request.short_code,
        "IdentifierType": SHORT_CODE,
        "ResultURL": settings.operator_url(token, "result"),
        "QueueTimeOutURL": settings.operator_url(token, "timeout"),
    });
    let (path, own) = match &request.question {
        Question::Balance => {
            (BALANCE_PATH, json!({"CommandID": "AccountBalance", "Remarks": "Account balance"}))
        }
        Question::Status(receipt) => (
            STATUS_PATH,
            json!({
                "CommandID": "TransactionStatusQuery",
                "TransactionID": receipt.as_str(),
                "Remarks": "Transaction status",
                "Occasion": "",
            }),
        ),
    };
    if let (Some(body), Value::Object(own)) = (body.as_object_mut(), own) {
        body.extend(own);
    }
    (path, body)
}
