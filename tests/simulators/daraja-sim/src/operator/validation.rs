//! What Daraja takes of an API operator, and in which words it refuses the rest.
//!
//! Pure: bytes in, a request or a `Refusal` out, field by field as published. Whether the operator is who it says is not
//! decided here: Daraja acknowledges first and tells that in the result.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::callback_url::CallbackUrl;
use crate::identifiers::ShortCode;
use crate::refusals::Refusal;
use crate::stk::validation::Fields;

/// How long remarks are.
const REMARKS: std::ops::RangeInclusive<usize> = 2..=100;
/// The kind of identifier of a short code.
const SHORT_CODE: &str = "4";

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
}

/// Reads a request for the balance.
pub(crate) fn balance(body: &[u8]) -> Result<Asked, Refusal> {
    let fields = Fields::read(body)?;
    command(&fields, "AccountBalance")?;
    asked(&fields, Question::Balance)
}

/// Reads a question about a transaction. The form with `OriginalConversationID` is not simulated.
pub(crate) fn status(body: &[u8]) -> Result<Asked, Refusal> {
    let fields = Fields::read(body)?;
    command(&fields, "TransactionStatusQuery")?;
    let receipt = fields.text("TransactionID").filter(|receipt| !receipt.trim().is_empty());
    let receipt = receipt.ok_or_else(|| Refusal::stk_field("TransactionID"))?;
    asked(&fields, Question::Status(receipt))
}

fn command(fields: &Fields, wanted: &str) -> Result<(), Refusal> {
    let is_right = fields.text("CommandID").as_deref() == Some(wanted);
    if is_right { Ok(()) } else { Err(Refusal::stk_field("CommandID")) }
}

fn asked(fields: &Fields, question: Question) -> Result<Asked, Refusal> {
    let text = |name: &str| {
        fields.text(name).filter(|text| !text.is_empty()).ok_or_else(|| Refusal::stk_field(name))
    };
    let url = |name: &str| CallbackUrl::parse(&text(name)?).ok_or_else(|| Refusal::stk_field(name));
    let initiator = text("Initiator")?;
    let credential = text("SecurityCredential")?;
    if STANDARD.decode(&credential).is_err() {
        return Err(Refusal::stk_field("SecurityCredential"));
    }
    let party = ShortCode::parse(&text("PartyA")?).map_err(|_| Refusal::stk_field("PartyA"))?;
    if text("IdentifierType")? != SHORT_CODE {
        return Err(Refusal::stk_field("IdentifierType"));
    }
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
