//! The words of results: the envelope that balance, status and, at Safaricom, reversals and payments out share.
//!
//! Pure. With the published oddities: `DebitPartyName` twice, items without a value, a lone item where others have a list,
//! numbers as numbers or, on request, all as text. A result that failed has no parameters.

use serde_json::{Value, json};

use crate::clock::{self, UnixMillis};
use crate::payments::Payment;
use crate::payouts::Payout;
use crate::receipts::Receipt;
use crate::seeds::Seeds;
use crate::stk::validation::TransactionKind;

/// The three names of a request.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    pub(crate) originator: String,
    pub(crate) conversation: String,
    pub(crate) transaction: String,
}

impl Ids {
    pub(crate) fn new(seeds: &mut Seeds, now: UnixMillis) -> Self {
        let (originator, tail) = (seeds.merchant_request_id(), seeds.request_id());
        let day = clock::fourteen_digits(now).get(..8).unwrap_or_default().to_owned();
        let tail = tail.replace('-', "");
        Self {
            originator,
            conversation: format!("AG_{day}_{tail}"),
            transaction: format!("S{}", tail.get(..9).unwrap_or(&tail)),
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// With this balance of the utility account, in cents.
    Balance(u64),
    /// With what is known of a payment.
    Status(Box<Payment>),
    /// With a payment that went back to whoever paid it, and what the utility account holds then, in cents.
    Reversal(Box<Payment>, u64),
    /// With a phone that was paid, and what the utility account holds then, in cents.
    Payout(Box<Payout>, u64),
    /// With what is known of a phone that was to be paid.
    PayoutStatus(Box<Payout>),
    /// With another code and text.
    With(String, String),
}

/// The body for the `ResultURL`.
pub(crate) fn result(ids: &Ids, ended: &Ended, as_text: bool, now: UnixMillis) -> String {
    let (code, text, parameters) = match ended {
        Ended::Balance(cents) => ("0", PROCESSED, Some(balance_of(*cents, now))),
        Ended::Status(payment) => ("0", PROCESSED, Some(status_of(ids, payment))),
        Ended::Reversal(payment, left) => ("0", PROCESSED, Some(reversal_of(payment, *left, now))),
        Ended::Payout(payout, left) => ("0", PROCESSED, Some(payout_of(payout, *left, now))),
        Ended::PayoutStatus(payout) => ("0", PROCESSED, Some(payout_status(ids, payout))),
        Ended::With(code, text) => (code.as_str(), text.as_str(), None),
    };
    // Codes that are words come as text, numbers mostly as numbers.
    let code = match code.parse::<i64>() {
        Ok(number) if !as_text => json!(number),
        _ => json!(code),
    };
    let mut result = json!({
        "ResultType": if as_text { json!("0") } else { json!(0) },
        "ResultCode": code,
        "ResultDesc": text,
        "OriginatorConversationID": ids.originator,
        "ConversationID": ids.conversation,
        "TransactionID": ids.transaction,
        "ReferenceData": {"ReferenceItem": {"Key": "QueueTimeoutURL", "Value": "https://internalapi.example/"}},
    });
    if let (Some(parameters), Some(result)) = (parameters, result.as_object_mut()) {
        result.insert("ResultParameters".to_owned(), json!({ "ResultParameter": parameters }));
    }
    json!({ "Result": result }).to_string()
}

/// The body for the `QueueTimeOutURL`. Its form is not published; this is a result's, without a word on how it ended.
pub(crate) fn queue_time_out(ids: &Ids) -> String {
    let body = json!({"Result": {
        "ResultType": 1,
        "ResultCode": "1",
        "ResultDesc": "The request timed out in the queue.",
        "OriginatorConversationID": ids.originator,
        "ConversationID": ids.conversation,
    }});
    body.to_string()
}

const PROCESSED: &str = "The service request is processed successfully.";

fn balance_of(cents: u64, now: UnixMillis) -> Value {
    let utility = format!("{}.{:02}", cents / 100, cents % 100);
    let accounts = [
        "Working Account|KES|0.00|0.00|0.00|0.00".to_owned(),
        format!("Utility Account|KES|{utility}|{utility}|0.00|0.00"),
        "Charges Paid Account|KES|-1540.50|-1540.50|0.00|0.00".to_owned(),
        "Organization Settlement Account|KES|0.00|0.00|0.00|0.00".to_owned(),
    ];
    let time: u64 = clock::fourteen_digits(now).parse().unwrap_or_default();
    json!([{"Key": "AccountBalance", "Value": accounts.join("&")}, {"Key": "BOCompletedTime", "Value": time}])
}

fn status_of(ids: &Ids, payment: &Payment) -> Value {
    let time: u64 = clock::fourteen_digits(payment.at_ms).parse().unwrap_or_default();
    let payer = format!("{} - {}", payment.msisdn.as_str(), payment.first_name);
    let reason = match payment.kind {
        TransactionKind::PayBill => "Pay Bill Online",
        TransactionKind::BuyGoods => "Merchant Payment",
    };
    json!([
        {"Key": "DebitPartyName", "Value": payer},
        {"Key": "DebitPartyName", "Value": format!("{} - Daraja Simulator", payment.short_code)},
        {"Key": "OriginatorConversationID", "Value": ids.originator},
        {"Key": "InitiatedTime", "Value": time},
        {"Key": "DebitAccountType", "Value": "MMF Account For Customer"},
        {"Key": "DebitPartyCharges"},
        {"Key": "TransactionReason"},
        {"Key": "ReasonType", "Value": reason},
        {"Key": "TransactionStatus", "Value": if payment.is_reversed { "Reversed" } else { "Completed" }},
        {"Key": "FinalisedTime", "Value": time},
        {"Key": "Amount", "Value": payment.amount.shillings()},
        {"Key": "Conversation ID", "Value": ids.conversation},
        {"Key": "ReceiptNo", "Value": payment.receipt.as_str()},
    ])
}

fn two_decimals(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn reversal_of(payment: &Payment, left: u64, now: UnixMillis) -> Value {
    let time: u64 = clock::fourteen_digits(now).parse().unwrap_or_default();
    let left = two_decimals(left);
    json!([
        {"Key": "DebitAccountBalance", "Value": format!("Utility Account|KES|{left}|{left}|0.00|0.00")},
        {"Key": "Amount", "Value": payment.amount.shillings()},
        {"Key": "TransCompletedTime", "Value": time},
        {"Key": "OriginalTransactionID", "Value": payment.receipt.as_str()},
        {"Key": "Charge", "Value": 0},
        {"Key": "CreditPartyPublicName", "Value": format!("{} - {}", payment.msisdn.as_str(), payment.first_name)},
        {"Key": "DebitPartyPublicName", "Value": format!("{} - Daraja Simulator", payment.short_code)},
    ])
}

fn payout_of(payout: &Payout, left: u64, now: UnixMillis) -> Value {
    let time = clock::fourteen_digits(now);
    let part = |range: std::ops::Range<usize>| time.get(range).unwrap_or_default();
    let (date, clock) = ((part(6..8), part(4..6), part(0..4)), (part(8..10), part(10..12), part(12..14)));
    let completed = format!("{}.{}.{} {}:{}:{}", date.0, date.1, date.2, clock.0, clock.1, clock.2);
    json!([
        {"Key": "TransactionAmount", "Value": payout.amount.shillings()},
        {"Key": "TransactionReceipt", "Value": payout.receipt.as_ref().map(Receipt::as_str)},
        {"Key": "ReceiverPartyPublicName", "Value": format!("{} - PAYEE", payout.msisdn.as_str())},
        {"Key": "TransactionCompletedDateTime", "Value": completed},
        {"Key": "B2CUtilityAccountAvailableFunds", "Value": two_decimals(left)},
        {"Key": "B2CWorkingAccountAvailableFunds", "Value": "0.00"},
        {"Key": "B2CChargesPaidAccountAvailableFunds", "Value": "-1540.50"},
        {"Key": "B2CRecipientIsRegisteredCustomer", "Value": "Y"},
    ])
}

fn payout_status(ids: &Ids, payout: &Payout) -> Value {
    let time: u64 = clock::fourteen_digits(payout.at_ms).parse().unwrap_or_default();
    json!([
        {"Key": "DebitPartyName", "Value": format!("{} - Daraja Simulator", payout.short_code)},
        {"Key": "CreditPartyName", "Value": format!("{} - PAYEE", payout.msisdn.as_str())},
        {"Key": "OriginatorConversationID", "Value": payout.originator_conversation_id},
        {"Key": "ReasonType", "Value": "Business Payment to Customer via API"},
        {"Key": "TransactionStatus", "Value": if payout.receipt.is_some() { "Completed" } else { "Failed" }},
        {"Key": "FinalisedTime", "Value": time},
        {"Key": "Amount", "Value": payout.amount.shillings()},
        {"Key": "Conversation ID", "Value": ids.conversation},
        {"Key": "ReceiptNo", "Value": payout.receipt.as_ref().map_or("", Receipt::as_str)},
    ])
}
