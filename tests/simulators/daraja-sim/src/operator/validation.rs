//! What Daraja takes of an API operator, and in which words it refuses the rest.
//!
//! Pure: bytes in, a request or a `Refusal` out, field by field as published. Whether the operator is who it says is not
//! decided here: Daraja acknowledges first and tells that in the result.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::callback_url::CallbackUrl;
use crate::identifiers::{AmountKes, Msisdn, ShortCode};
use crate::refusals::Refusal;
use crate::stk::validation::Fields;

/// How long remarks are.
const REMARKS: std::ops::RangeInclusive<usize> = 2..=100;
/// The kind of identifier of a short code.
const SHORT_CODE: &str = "4";
/// The kind of identifier of whoever is paid back by a reversal.
const ORGANISATION: &str = "11";
/// The least that a phone is paid, in shillings.
const LEAST_PAYOUT: u32 = 10;

/// A request that Daraja takes.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) initiator: String,
    pub(crate) credential: String,
    pub(crate) party: ShortCode,
    pub(crate) result_url: CallbackUrl,
    pub(crate) queue_time_out_url: CallbackUrl,
    pub(crate) question: Question,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// What lies on the accounts of the short code.
    Balance,
    /// What became of this receipt.
    Status(String),
    /// What became of what the merchant gave this name.
    StatusOf(String),
    /// That this receipt goes back to whoever paid it, whole.
    Reversal(String, AmountKes),
    /// That a phone is paid, under the merchant's own name for it.
    Payout(String, Msisdn, AmountKes),
}

/// Reads a request for the balance.
pub(crate) fn balance(body: &[u8]) -> Result<Asked, Refusal> {
    let fields = Fields::read(body)?;
    command(&fields, "AccountBalance")?;
    asked(&fields, Question::Balance)
}

/// Reads a question about a transaction, by its receipt or by the name that the merchant gave it.
pub(crate) fn status(body: &[u8]) -> Result<Asked, Refusal> {
    let fields = Fields::read(body)?;
    command(&fields, "TransactionStatusQuery")?;
    let given = |name: &str| fields.text(name).filter(|text| !text.trim().is_empty());
    let question = match (given("TransactionID"), given("OriginalConversationID")) {
        (Some(receipt), _) => Question::Status(receipt),
        (None, Some(name)) => Question::StatusOf(name),
        (None, None) => return Err(Refusal::stk_field("TransactionID")),
    };
    asked(&fields, question)
}

/// Reads a request to reverse a payment. The misspelt name of a field is Safaricom's.
pub(crate) fn reversal(body: &[u8]) -> Result<Asked, Refusal> {
    let fields = Fields::read(body)?;
    command(&fields, "TransactionReversal")?;
    let receipt = fields.text("TransactionID").filter(|receipt| !receipt.trim().is_empty());
    let receipt = receipt.ok_or_else(|| Refusal::stk_field("TransactionID"))?;
    if fields.text("RecieverIdentifierType").as_deref() != Some(ORGANISATION) {
        return Err(Refusal::stk_field("RecieverIdentifierType"));
    }
    let who = Who { initiator: "Initiator", party: "ReceiverParty" };
    asked_by(&fields, &who, Question::Reversal(receipt, amount(&fields)?))
}

/// Reads a request to pay a phone, in the form of v3.
pub(crate) fn payout(body: &[u8]) -> Result<Asked, Refusal> {
    let fields = Fields::read(body)?;
    if !matches!(
        fields.text("CommandID").as_deref(),
        Some("BusinessPayment" | "SalaryPayment" | "PromotionPayment")
    ) {
        return Err(Refusal::stk_field("CommandID"));
    }
    let name = fields.text("OriginatorConversationID").filter(|name| !name.trim().is_empty());
    let name = name.ok_or_else(|| Refusal::stk_field("OriginatorConversationID"))?;
    let phone = fields.text("PartyB").and_then(|text| Msisdn::parse(&text).ok());
    let phone = phone.ok_or_else(|| Refusal::stk_field("PartyB"))?;
    let amount = amount(&fields)?;
    if amount.shillings() < LEAST_PAYOUT {
        return Err(Refusal::stk_field("Amount"));
    }
    let who = Who { initiator: "InitiatorName", party: "PartyA" };
    asked_by(&fields, &who, Question::Payout(name, phone, amount))
}

fn amount(fields: &Fields) -> Result<AmountKes, Refusal> {
    let digits = fields.text("Amount").and_then(|text| text.parse().ok());
    digits.and_then(|shillings| AmountKes::new(shillings).ok()).ok_or_else(|| Refusal::stk_field("Amount"))
}

/// How the fields are called that say who asks, and for which short code.
struct Who {
    initiator: &'static str,
    party: &'static str,
}

fn command(fields: &Fields, wanted: &str) -> Result<(), Refusal> {
    let is_right = fields.text("CommandID").as_deref() == Some(wanted);
    if is_right { Ok(()) } else { Err(Refusal::stk_field("CommandID")) }
}

fn asked(fields: &Fields, question: Question) -> Result<Asked, Refusal> {
    if fields.text("IdentifierType").as_deref() != Some(SHORT_CODE) {
        return Err(Refusal::stk_field("IdentifierType"));
    }
    asked_by(fields, &Who { initiator: "Initiator", party: "PartyA" }, question)
}

fn asked_by(fields: &Fields, who: &Who, question: Question) -> Result<Asked, Refusal> {
    let text = |name: &str| {
        fields.text(name).filter(|text| !text.is_empty()).ok_or_else(|| Refusal::stk_field(name))
    };
    let url = |name: &str| CallbackUrl::parse(&text(name)?).ok_or_else(|| Refusal::stk_field(name));
    let initiator = text(who.initiator)?;
    let credential = text("SecurityCredential")?;
    if STANDARD.decode(&credential).is_err() {
        return Err(Refusal::stk_field("SecurityCredential"));
    }
    let party = ShortCode::parse(&text(who.party)?).map_err(|_| Refusal::stk_field(who.party))?;
    if !REMARKS.contains(&text("Remarks")?.chars().count()) {
        return Err(Refusal::stk_field("Remarks"));
    }
    let (result_url, queue_time_out_url) = (url("ResultURL")?, url("QueueTimeOutURL")?);
    Ok(Asked { initiator, credential, party, result_url, queue_time_out_url, question })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn body() -> Value {
        json!({
            "Initiator": "testapi", "SecurityCredential": "aHVzaA==", "CommandID": "TransactionStatusQuery",
            "TransactionID": "RGP6CZDYG6", "PartyA": "174379", "IdentifierType": "4",
            "ResultURL": "https://pay.example.co.ke/r", "QueueTimeOutURL": "https://pay.example.co.ke/q",
            "Remarks": "Status", "Occasion": "",
        })
    }

    #[test]
    fn requests_that_move_money_are_read_in_their_own_forms() {
        let mut back = body();
        back["CommandID"] = json!("TransactionReversal");
        back["Amount"] = json!("1500");
        back["ReceiverParty"] = json!("174379");
        assert_eq!(
            reversal(back.to_string().as_bytes()).unwrap_err(),
            Refusal::stk_field("RecieverIdentifierType")
        );
        back["RecieverIdentifierType"] = json!("11");
        let asked = reversal(back.to_string().as_bytes()).unwrap();
        let amount = AmountKes::new(1_500).unwrap();
        assert_eq!(asked.question, Question::Reversal("RGP6CZDYG6".to_owned(), amount));
        let mut out = json!({
            "OriginatorConversationID": "ours-1", "InitiatorName": "testapi", "SecurityCredential": "aHVzaA==",
            "CommandID": "BusinessPayment", "Amount": 10, "PartyA": "174379", "PartyB": "254712345678",
            "Remarks": "Refund", "Occassion": "", "ResultURL": "https://pay.example.co.ke/r",
            "QueueTimeOutURL": "https://pay.example.co.ke/q",
        });
        let asked = payout(out.to_string().as_bytes()).unwrap();
        let phone = Msisdn::parse("254712345678").unwrap();
        assert_eq!(asked.question, Question::Payout("ours-1".to_owned(), phone, AmountKes::new(10).unwrap()));
        for (field, wrong) in [
            ("OriginatorConversationID", json!("")),
            ("InitiatorName", json!(null)),
            ("CommandID", json!("TransactionReversal")),
            ("Amount", json!(9)),
            ("PartyA", json!("x")),
            ("PartyB", json!("0712345678")),
        ] {
            let right = out[field].take();
            out[field] = wrong;
            assert_eq!(payout(out.to_string().as_bytes()).unwrap_err(), Refusal::stk_field(field), "{field}");
            out[field] = right;
        }
    }

    #[test]
    fn a_right_question_is_taken_and_each_wrong_field_is_named() {
        let asked = status(body().to_string().as_bytes()).unwrap();
        assert_eq!(asked.question, Question::Status("RGP6CZDYG6".to_owned()));
        for (field, wrong) in [
            ("Initiator", json!("")),
            ("SecurityCredential", json!("not base64")),
            ("CommandID", json!("AccountBalance")),
            ("TransactionID", json!(null)),
            ("PartyA", json!("till")),
            ("IdentifierType", json!("1")),
            ("ResultURL", json!("https://pay.example.co.ke/query")),
            ("QueueTimeOutURL", json!("http://pay.example.co.ke/q")),
            ("Remarks", json!("x")),
        ] {
            let mut wrong_body = body();
            wrong_body[field] = wrong;
            assert_eq!(
                status(wrong_body.to_string().as_bytes()).unwrap_err(),
                Refusal::stk_field(field),
                "{field}"
            );
        }
    }
}
