//! The bodies of what an API operator asks. Pure.
//!
//! Source: Safaricom's Daraja 3.0 pages (December 2025), field names as they stand there. A body has a secret in it, if an
//! encrypted one: it is never logged.

use serde_json::{Value, json};

use super::request::{OperatorRequest, Question};
use crate::money::Money;
use crate::mpesa::settings::MpesaSettings;

const BALANCE_PATH: &str = "/mpesa/accountbalance/v1/query";
const STATUS_PATH: &str = "/mpesa/transactionstatus/v1/query";
/// What a refund asks, with all that is sent of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refunding<'a> {
    /// That the payment of a receipt goes back whole.
    Reversal { receipt: &'a str, amount: Money },
    /// That a phone is paid, under our own name for it, which M-Pesa takes once.
    Payout { name: &'a str, phone: &'a str, amount: Money },
    /// How the payment of a receipt stands.
    OfReceipt(&'a str),
    /// How that stands which has our name.
    OfName(&'a str),
}

const REVERSAL_PATH: &str = "/mpesa/reversal/v1/request";
const PAYOUT_PATH: &str = "/mpesa/b2c/v3/paymentrequest";
/// The kind of identifier of whoever gives back what it was paid.
const ORGANISATION: &str = "11";
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
        // Those have details beside the question: see `refund`.
        Question::Reversal(_) | Question::Payout(_) | Question::RefundStatus(_) => (STATUS_PATH, json!({})),
    };
    if let (Some(body), Value::Object(own)) = (body.as_object_mut(), own) {
        body.extend(own);
    }
    (path, body)
}

/// Path and body of what a refund asks. Misspelt names are Safaricom's.
pub(super) fn refund(
    settings: &MpesaSettings,
    request: &OperatorRequest,
    credential: &str,
    asked: Refunding<'_>,
) -> (&'static str, Value) {
    let token = &request.callback_token;
    let (result, timeout) = (settings.operator_url(token, "result"), settings.operator_url(token, "timeout"));
    let status = |name: &str, value: &str| {
        let body = json!({
            "Initiator": request.operator, "SecurityCredential": credential,
            "CommandID": "TransactionStatusQuery", "PartyA": request.short_code, "IdentifierType": SHORT_CODE,
            name: value, "ResultURL": result, "QueueTimeOutURL": timeout,
            "Remarks": "Refund status", "Occasion": "",
        });
        (STATUS_PATH, body)
    };
    match asked {
        Refunding::OfReceipt(receipt) => status("TransactionID", receipt),
        Refunding::OfName(name) => status("OriginalConversationID", name),
        Refunding::Reversal { receipt, amount } => {
            let body = json!({
                "Initiator": request.operator, "SecurityCredential": credential,
                "CommandID": "TransactionReversal", "TransactionID": receipt, "Amount": digits(amount),
                "ReceiverParty": request.short_code, "RecieverIdentifierType": ORGANISATION,
                "ResultURL": result, "QueueTimeOutURL": timeout, "Remarks": "Refund", "Occasion": "",
            });
            (REVERSAL_PATH, body)
        }
        Refunding::Payout { name, phone, amount } => {
            let body = json!({
                "OriginatorConversationID": name, "InitiatorName": request.operator,
                "SecurityCredential": credential, "CommandID": "BusinessPayment", "Amount": digits(amount),
                "PartyA": request.short_code, "PartyB": phone, "Remarks": "Refund",
                "QueueTimeOutURL": timeout, "ResultURL": result, "Occassion": "",
            });
            (PAYOUT_PATH, body)
        }
    }
}

/// An amount as Safaricom takes it: whole shillings without a point.
fn digits(amount: Money) -> String {
    let (shillings, cents) = (amount.cents() / 100, amount.cents() % 100);
    if cents == 0 { shillings.to_string() } else { format!("{shillings}.{cents:02}") }
}
