//! What Safaricom says, true and untrue, as bodies on their paths. Pure.
//!
//! True is what `safaricom` knows to have happened; a telling names it, and may be delivered never, once or many times. Untrue
//! is what a stranger, a neighbour or a broken gateway could send without knowing more than they can.

use serde_json::json;

use super::safaricom::{Fate, Prompt, Receipt, Refund, SHORT_CODE, Truth, nairobi};

/// Something true that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// The callback of a prompt, paid or not.
    Callback(usize),
    /// The confirmation of a receipt.
    Confirmation(usize),
    /// What became of a refund.
    Result(usize),
    /// That a refund waited too long, of which nothing follows.
    TimedOut(usize),
}

/// Something untrue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// On a path that nobody was told.
    StrangePath,
    /// On a prompt's path, of another prompt.
    GuessedPrompt,
    /// Of the prompt, with another amount and an invented receipt.
    GuessedAmount,
    /// Of the prompt, with another amount and a receipt that there is.
    OtherAmount,
    /// The body of another prompt, replayed.
    Replayed,
    /// A confirmation for another short code.
    OtherShortCode,
    /// A confirmation with this amount.
    BadAmount(&'static str),
    /// A confirmation without a receipt number.
    NoReceipt,
    /// No message at all.
    Junk(&'static str),
}

impl Lie {
    /// What it is counted as.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::StrangePath => "lies on a strange path",
            Self::GuessedPrompt => "lies of a guessed prompt",
            Self::GuessedAmount => "lies of a guessed amount",
            Self::OtherAmount => "lies of another amount",
            Self::Replayed => "lies replayed",
            Self::OtherShortCode => "lies for another short code",
            Self::BadAmount(_) => "lies with a bad amount",
            Self::NoReceipt => "lies without a receipt",
            Self::Junk(_) => "junk",
        }
    }
}

/// All of them.
pub const LIES: [Lie; 17] = [
    Lie::StrangePath,
    Lie::GuessedPrompt,
    Lie::GuessedAmount,
    Lie::OtherAmount,
    Lie::Replayed,
    Lie::OtherShortCode,
    Lie::BadAmount("-500.00"),
    Lie::BadAmount("0.00"),
    Lie::BadAmount("1e9"),
    Lie::BadAmount("five"),
    Lie::BadAmount("99999999999999999999.00"),
    Lie::NoReceipt,
    Lie::Junk(""),
    Lie::Junk("{}"),
    Lie::Junk("<html><form method=post></form></html>"),
    Lie::Junk("{\"Body\":{\"stkCallback\":null}}"),
    Lie::Junk("TransID=SK1&TransAmount=500.00"),
];

/// Path and body of something true; `None` where there is nothing to tell yet.
#[must_use]
pub fn told(truth: &Truth, confirmations: &str, telling: Telling) -> Option<(String, String)> {
    match telling {
        Telling::Callback(prompt) => {
            let prompt = truth.prompts.get(prompt)?;
            let body = match prompt.fate {
                Fate::Open => return None,
                Fate::Paid(receipt) => success(&prompt.checkout, truth.receipts.get(receipt)?),
                Fate::Ended(code) => failure(prompt, code),
            };
            Some((prompt.path.clone(), body))
        }
        Telling::Confirmation(receipt) => {
            Some((confirmations.to_owned(), confirmation(truth.receipts.get(receipt)?, SHORT_CODE)))
        }
        Telling::Result(refund) => {
            let refund = truth.refunds.get(refund)?;
            Some((refund.path.clone(), result(refund)))
        }
        Telling::TimedOut(refund) => {
            let refund = truth.refunds.get(refund)?;
            let body = json!({"Result": {
                "ResultType": 1, "ResultCode": "1", "ResultDesc": "The request timed out in the queue.",
                "OriginatorConversationID": "o", "ConversationID": refund.conversation,
            }});
            Some((refund.timeout_path.clone(), body.to_string()))
        }
    }
}

/// Path and body of something untrue. `prompt` and `other` are two prompts that there are, if there are any, and `number` makes
/// what is invented unlike anything else.
#[must_use]
pub fn untrue(
    truth: &Truth,
    confirmations: &str,
    lie: Lie,
    (prompt, other, number): (usize, usize, u64),
) -> Option<(String, String)> {
    let invented = |shillings: i64| Receipt {
        number: format!("F{number:09}"),
        shillings,
        at: truth.now(),
        phone: "254799999999".to_owned(),
        account: truth.prompts.first().map(|prompt| prompt.account.clone()).unwrap_or_default(),
        prompt: None,
        owner: None,
        is_reversed: false,
        is_till: false,
    };
    let on_confirmations = |body: String| Some((confirmations.to_owned(), body));
    match lie {
        Lie::StrangePath => {
            let path = format!("/callbacks/stk/{:032x}", u128::from(number) << 64);
            Some((path, success("ws_CO_00000000", &invented(1_500))))
        }
        Lie::GuessedPrompt => {
            let prompt = truth.prompts.get(prompt).filter(|prompt| prompt.is_acknowledged)?;
            Some((prompt.path.clone(), success("ws_CO_guessed", &invented(prompt.shillings))))
        }
        Lie::GuessedAmount => {
            let prompt = truth.prompts.get(prompt)?;
            Some((prompt.path.clone(), success(&prompt.checkout, &invented(prompt.shillings + 1))))
        }
        Lie::OtherAmount => {
            let prompt = truth.prompts.get(prompt)?;
            let receipt = truth.receipts.get(other % truth.receipts.len().max(1))?;
            let shillings = receipt.shillings + prompt.shillings + 1;
            Some((prompt.path.clone(), success(&prompt.checkout, &Receipt { shillings, ..receipt.clone() })))
        }
        Lie::Replayed => {
            let (onto, of) = (truth.prompts.get(prompt)?, truth.prompts.get(other)?);
            let Fate::Paid(receipt) = of.fate else { return None };
            let is_another = onto.checkout != of.checkout;
            is_another.then_some((onto.path.clone(), success(&of.checkout, truth.receipts.get(receipt)?)))
        }
        Lie::OtherShortCode => on_confirmations(confirmation(&invented(1_500), "600111")),
        Lie::BadAmount(amount) => {
            let body = confirmation(&invented(1_500), SHORT_CODE);
            on_confirmations(body.replace("1500.00", amount))
        }
        Lie::NoReceipt => {
            on_confirmations(confirmation(&Receipt { number: String::new(), ..invented(1_500) }, SHORT_CODE))
        }
        Lie::Junk(body) => on_confirmations(body.to_owned()),
    }
}

fn success(checkout: &str, receipt: &Receipt) -> String {
    let phone: u64 = receipt.phone.parse().unwrap_or(0);
    let at: u64 = nairobi(receipt.at, "%Y%m%d%H%M%S").parse().unwrap_or(0);
    json!({"Body": {"stkCallback": {
        "MerchantRequestID": "m", "CheckoutRequestID": checkout, "ResultCode": 0,
        "ResultDesc": "The service request is processed successfully.",
        "CallbackMetadata": {"Item": [
            {"Name": "Amount", "Value": receipt.shillings}, {"Name": "MpesaReceiptNumber", "Value": receipt.number},
            {"Name": "Balance"}, {"Name": "TransactionDate", "Value": at}, {"Name": "PhoneNumber", "Value": phone},
        ]},
    }}})
    .to_string()
}

fn failure(prompt: &Prompt, code: &str) -> String {
    let code: u64 = code.parse().unwrap_or(1);
    json!({"Body": {"stkCallback": {
        "MerchantRequestID": "m", "CheckoutRequestID": prompt.checkout, "ResultCode": code, "ResultDesc": "no money",
    }}})
    .to_string()
}

fn confirmation(receipt: &Receipt, short_code: &str) -> String {
    let end = receipt.phone.len().saturating_sub(3);
    let masked = format!("2547 ***** {}", receipt.phone.get(end..).unwrap_or_default());
    json!({
        "TransactionType": if receipt.is_till { "Buy Goods" } else { "Pay Bill" }, "TransID": receipt.number, "TransTime": nairobi(receipt.at, "%Y%m%d%H%M%S"),
        "TransAmount": format!("{}.00", receipt.shillings), "BusinessShortCode": short_code,
        "BillRefNumber": receipt.account, "InvoiceNumber": "", "OrgAccountBalance": "1.00",
        "ThirdPartyTransID": "", "MSISDN": masked, "FirstName": "", "MiddleName": "", "LastName": "",
    })
    .to_string()
}

fn result(refund: &Refund) -> String {
    json!({"Result": {
        "ResultType": 0, "ResultCode": refund.code, "ResultDesc": "as it ended", "OriginatorConversationID": "o",
        "ConversationID": refund.conversation, "TransactionID": refund.number,
        "ResultParameters": {"ResultParameter": {"Key": "TransactionReceipt", "Value": refund.number}},
    }})
    .to_string()
}
