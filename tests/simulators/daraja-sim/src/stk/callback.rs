//! Result codes, and the body that carries one to the merchant.
//!
//! Pure. The order of the members, the missing `Value` of `Balance`, the absent `CallbackMetadata` of a
//! failure and the absent account reference are Safaricom's. The same code has another text in the
//! query, which is why nobody should read the text.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::clock::{self, UnixMillis};
use crate::identifiers::{AmountKes, Msisdn};
use crate::receipts::Receipt;
use crate::settings::BalanceItem;

/// How a prompt ends without money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultCode {
    /// 1: too little money.
    InsufficientBalance,
    /// 17: the same amount from the same phone within two minutes.
    RuleLimited,
    /// 1032: the customer pressed cancel.
    CancelledByUser,
    /// 1037: no answer from the phone.
    NoAnswer,
    /// 2001: wrong PIN.
    WrongPin,
    /// 2028: `TransactionType` and `PartyB` do not belong together (paybill).
    NotPermitted,
    /// SFC_IC0003: no such till.
    NoSuchOperator,
    /// Any other code, as a phone with behaviour `fail` names it.
    Other(String),
}

impl ResultCode {
    /// The code as text, as the query writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InsufficientBalance => "1",
            Self::RuleLimited => "17",
            Self::CancelledByUser => "1032",
            Self::NoAnswer => "1037",
            Self::WrongPin => "2001",
            Self::NotPermitted => "2028",
            Self::NoSuchOperator => "SFC_IC0003",
            Self::Other(code) => code,
        }
    }

    /// The code as the callback writes it: a number where it is one.
    fn as_json(&self) -> Value {
        let text = self.as_str();
        text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
    }

    /// The `ResultDesc` of the callback.
    pub(crate) fn callback_text(&self) -> &'static str {
        match self {
            Self::InsufficientBalance => "The balance is insufficient for the transaction.",
            Self::RuleLimited => "Rule limited.",
            Self::CancelledByUser => "Request cancelled by user",
            Self::NoAnswer => "No response from user.",
            Self::WrongPin => "The initiator information is invalid.",
            Self::NotPermitted => "The request is not permitted according to product assignment.",
            Self::NoSuchOperator => "The operator does not exist.",
            Self::Other(_) => "System internal error.",
        }
    }

    /// The `ResultDesc` of the query, which differs for some codes.
    pub(crate) fn query_text(&self) -> &'static str {
        match self {
            Self::NoAnswer => "DS timeout user cannot be reached.",
            Self::CancelledByUser => "Request Cancelled by user.",
            _ => self.callback_text(),
        }
    }
}

impl Serialize for ResultCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The text of result 0, in callback and query.
pub(crate) const PAID_TEXT: &str = "The service request is processed successfully.";

/// What a callback tells.
#[derive(Debug, Clone)]
pub(crate) enum Told<'a> {
    Paid { amount: AmountKes, receipt: &'a Receipt, phone: &'a Msisdn, at: UnixMillis },
    Declined(&'a ResultCode),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a> {
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    stk_callback: StkCallback<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StkCallback<'a> {
    #[serde(rename = "MerchantRequestID")]
    merchant_request_id: &'a str,
    #[serde(rename = "CheckoutRequestID")]
    checkout_request_id: &'a str,
    result_code: Value,
    result_desc: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_metadata: Option<Metadata>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    item: Vec<Item>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

/// The body of an STK callback.
pub(crate) fn body(merchant_id: &str, checkout_id: &str, told: &Told<'_>, balance: BalanceItem) -> Vec<u8> {
    let (result_code, result_desc, callback_metadata) = match told {
        Told::Declined(code) => (code.as_json(), code.callback_text(), None),
        Told::Paid { amount, receipt, phone, at } => {
            let item = |name, value| Item { name, value: Some(value) };
            let mut items = vec![
                item("Amount", json!(f64::from(amount.shillings()))),
                item("MpesaReceiptNumber", json!(receipt)),
            ];
            if balance == BalanceItem::WithoutValue {
                items.push(Item { name: "Balance", value: None });
            }
            let date: u64 = clock::fourteen_digits(*at).parse().unwrap_or_default();
            items.push(item("TransactionDate", json!(date)));
            items.push(item("PhoneNumber", json!(phone.as_number())));
            (json!(0), PAID_TEXT, Some(Metadata { item: items }))
        }
    };
    let stk_callback = StkCallback {
        merchant_request_id: merchant_id,
        checkout_request_id: checkout_id,
        result_code,
        result_desc,
        callback_metadata,
    };
    // Strings, numbers and lists: serde_json has no way to fail on them.
    serde_json::to_vec(&Envelope { body: Body { stk_callback } }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipts::ReceiptBook;

    #[test]
    fn a_success_has_the_published_shape() {
        let receipt = ReceiptBook::new(1).tear_off();
        let phone = Msisdn::parse("254712345678").unwrap();
        let amount = AmountKes::new(1).unwrap();
        let told = Told::Paid { amount, receipt: &receipt, phone: &phone, at: UnixMillis(1_690_237_907_089) };
        let text = String::from_utf8(body("m-1", "ws_CO_1", &told, BalanceItem::WithoutValue)).unwrap();
        let expected = format!(
            "{{\"Body\":{{\"stkCallback\":{{\"MerchantRequestID\":\"m-1\",\"CheckoutRequestID\":\"ws_CO_1\",\
             \"ResultCode\":0,\"ResultDesc\":\"The service request is processed successfully.\",\
             \"CallbackMetadata\":{{\"Item\":[{{\"Name\":\"Amount\",\"Value\":1.0}},\
             {{\"Name\":\"MpesaReceiptNumber\",\"Value\":\"{receipt}\"}},{{\"Name\":\"Balance\"}},\
             {{\"Name\":\"TransactionDate\",\"Value\":20230725013147}},\
             {{\"Name\":\"PhoneNumber\",\"Value\":254712345678}}]}}}}}}}}"
        );
        assert_eq!(text, expected);
        let without = String::from_utf8(body("m-1", "ws_CO_1", &told, BalanceItem::Missing)).unwrap();
        assert!(!without.contains("Balance"));
    }

    #[test]
    fn a_failure_has_no_metadata_and_text_codes_stay_text() {
        let of = |code| {
            String::from_utf8(body("m", "c", &Told::Declined(&code), BalanceItem::WithoutValue)).unwrap()
        };
        assert_eq!(
            of(ResultCode::CancelledByUser),
            "{\"Body\":{\"stkCallback\":{\"MerchantRequestID\":\"m\",\"CheckoutRequestID\":\"c\",\
             \"ResultCode\":1032,\"ResultDesc\":\"Request cancelled by user\"}}}"
        );
        assert!(of(ResultCode::NoSuchOperator).contains("\"ResultCode\":\"SFC_IC0003\""));
        assert!(of(ResultCode::Other("9999".to_owned())).contains("\"ResultCode\":9999"));
    }
}
