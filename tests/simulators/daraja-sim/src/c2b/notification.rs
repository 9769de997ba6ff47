//! C2B notifications: flat bodies in which everything is a string, and the payer's number is hidden.
//!
//! Pure: a payment and a registration in, a letter out; a listener's answer in, a verdict out. The
//! fields and their odd capitals are Safaricom's. The balance is empty on validation, because no money
//! has moved yet.

use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::c2b::payment::Instruction;
use crate::c2b::registration::{ApiVersion, Registration};
use crate::callbacks::{Answered, Letter};
use crate::clock::{self, UnixMillis};
use crate::identifiers::Msisdn;
use crate::payments::Payment;
use crate::receipts::Receipt;
use crate::stk::validation::{Fields, TransactionKind};

/// What happens to a payment when the validation URL does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ResponseType {
    /// It goes through.
    Completed,
    /// It does not.
    Cancelled,
}

/// How the payer's number is written in C2B notifications.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MsisdnForm {
    /// Hashed for URLs registered with version 1, masked for version 2.
    #[default]
    ByVersion,
    /// `254712345678`, as of old.
    Plain,
    /// `2547 ***** 678`.
    Masked,
    /// `25471****678`, the other mask that was seen.
    MaskedTight,
    /// SHA-256 of the twelve digits, in hex.
    Hashed,
}

/// The payer's number as this form and version write it.
pub(crate) fn hidden(msisdn: &Msisdn, form: MsisdnForm, version: ApiVersion) -> String {
    match (form, version) {
        (MsisdnForm::Plain, _) => msisdn.as_str().to_owned(),
        (MsisdnForm::Masked, _) | (MsisdnForm::ByVersion, ApiVersion::V2) => {
            format!("{} ***** {}", msisdn.digits(0, 4), msisdn.digits(9, 3))
        }
        (MsisdnForm::MaskedTight, _) => format!("{}****{}", msisdn.digits(0, 5), msisdn.digits(9, 3)),
        (MsisdnForm::Hashed, _) | (MsisdnForm::ByVersion, ApiVersion::V1) => {
            let hash = digest::digest(&digest::SHA256, msisdn.as_str().as_bytes());
            hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
        }
    }
}

/// The wire form; validation and confirmation share it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Notification<'a> {
    transaction_type: &'a str,
    #[serde(rename = "TransID")]
    trans_id: &'a str,
    trans_time: String,
    trans_amount: String,
    business_short_code: &'a str,
    bill_ref_number: &'a str,
    invoice_number: &'a str,
    org_account_balance: String,
    #[serde(rename = "ThirdPartyTransID")]
    third_party_trans_id: &'a str,
    #[serde(rename = "MSISDN")]
    msisdn: String,
    first_name: &'a str,
    middle_name: &'a str,
    last_name: &'a str,
}

/// The question that goes to the validation URL before money moves.
pub(crate) fn validation(
    instruction: &Instruction,
    receipt: &Receipt,
    first_name: &str,
    registration: &Registration,
    form: MsisdnForm,
    at: UnixMillis,
) -> Letter {
    let body = write(&Notification {
        transaction_type: type_name(instruction.kind),
        trans_id: receipt.as_str(),
        trans_time: clock::fourteen_digits(at),
        trans_amount: instruction.amount.two_decimals(),
        business_short_code: instruction.short_code.as_str(),
        bill_ref_number: &instruction.account,
        invoice_number: "",
        org_account_balance: String::new(),
        third_party_trans_id: "",
        msisdn: hidden(&instruction.msisdn, form, registration.version),
        first_name,
        middle_name: "",
        last_name: "",
    });
    Letter {
        url: registration.validation_url.clone(),
        body: body.into(),
        short_code: instruction.short_code.clone(),
    }
}

/// The news that money has moved.
pub(crate) fn confirmation(
    payment: &Payment,
    registration: &Registration,
    form: MsisdnForm,
    third_party_id: &str,
) -> Letter {
    let bill_ref_number = match payment.kind {
        TransactionKind::PayBill => payment.account_reference.as_str(),
        TransactionKind::BuyGoods => "",
    };
    let balance = payment.balance_after_cents;
    let body = write(&Notification {
        transaction_type: type_name(payment.kind),
        trans_id: payment.receipt.as_str(),
        trans_time: clock::fourteen_digits(payment.at_ms),
        trans_amount: payment.amount.two_decimals(),
        business_short_code: payment.short_code.as_str(),
        bill_ref_number,
        invoice_number: "",
        org_account_balance: format!("{}.{:02}", balance / 100, balance % 100),
        third_party_trans_id: third_party_id,
        msisdn: hidden(&payment.msisdn, form, registration.version),
        first_name: &payment.first_name,
        middle_name: "",
        last_name: "",
    });
    Letter {
        url: registration.confirmation_url.clone(),
        body: body.into(),
        short_code: payment.short_code.clone(),
    }
}

fn type_name(kind: TransactionKind) -> &'static str {
    match kind {
        TransactionKind::PayBill => "Pay Bill",
        TransactionKind::BuyGoods => "Buy Goods",
    }
}

fn write(notification: &Notification<'_>) -> Vec<u8> {
    // Strings only: serde_json has no way to fail on them.
    serde_json::to_vec(notification).unwrap_or_default()
}

/// What the merchant says about a payment to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may go on; the merchant's own id is echoed in the confirmation.
    Accepted { third_party_id: String },
    /// It may not; the code says why, `C2B00011` to `C2B00016`.
    Rejected { result_code: String },
    /// No usable answer, and the registration says that this cancels it.
    Cancelled,
}

/// Judges what the validation URL answered. `ResultCode` may be a string or a number.
pub(crate) fn judge(answer: &Answered, response_type: ResponseType) -> Verdict {
    let fields = if answer.status == 200 { Fields::read(&answer.body).ok() } else { None };
    let result_code = fields.as_ref().and_then(|fields| fields.text("ResultCode"));
    match (fields, result_code) {
        (Some(fields), Some(code)) if code == "0" => {
            let third_party_id = match fields.0.get("ThirdPartyTransID") {
                Some(Value::String(id)) => id.clone(),
                _ => String::new(),
            };
            Verdict::Accepted { third_party_id }
        }
        (Some(_), Some(code)) => Verdict::Rejected { result_code: code },
        _ if response_type == ResponseType::Completed => Verdict::Accepted { third_party_id: String::new() },
        _ => Verdict::Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_hides_the_number_as_published() {
        let msisdn = Msisdn::parse("254712345126").unwrap();
        let of = |form, version| hidden(&msisdn, form, version);
        assert_eq!(of(MsisdnForm::ByVersion, ApiVersion::V2), "2547 ***** 126");
        assert_eq!(of(MsisdnForm::MaskedTight, ApiVersion::V2), "25471****126");
        assert_eq!(of(MsisdnForm::Plain, ApiVersion::V1), "254712345126");
        let hash = of(MsisdnForm::ByVersion, ApiVersion::V1);
        assert_eq!(hash.len(), 64);
        assert_eq!(hash, of(MsisdnForm::Hashed, ApiVersion::V2));
    }

    #[test]
    fn the_hash_is_sha_256_of_the_twelve_digits() {
        // printf 254708374149 | sha256sum
        let msisdn = Msisdn::parse("254708374149").unwrap();
        let hash = "bbff37cea44ac0b2d964ee0dfb8d2df8513dc7ba1b36129a929fc3fbd6dd4af4";
        assert_eq!(hidden(&msisdn, MsisdnForm::Hashed, ApiVersion::V1), hash);
    }

    #[test]
    fn silence_and_nonsense_leave_it_to_the_response_type() {
        let answer = |status, body: &str| Answered { status, body: body.as_bytes().to_vec() };
        let nothing = String::new();
        for unusable in
            [answer(0, ""), answer(500, "{\"ResultCode\":\"0\"}"), answer(200, "ok"), answer(200, "{}")]
        {
            let accepted = Verdict::Accepted { third_party_id: nothing.clone() };
            assert_eq!(judge(&unusable, ResponseType::Completed), accepted);
            assert_eq!(judge(&unusable, ResponseType::Cancelled), Verdict::Cancelled);
        }
    }

    #[test]
    fn a_clear_answer_decides_whatever_the_response_type() {
        let answer = |body: &str| Answered { status: 200, body: body.as_bytes().to_vec() };
        let accepts =
            answer("{\"ResultCode\":\"0\",\"ResultDesc\":\"Accepted\",\"ThirdPartyTransID\":\"v-1\"}");
        assert_eq!(
            judge(&accepts, ResponseType::Cancelled),
            Verdict::Accepted { third_party_id: "v-1".to_owned() }
        );
        let number = answer("{\"ResultCode\":0}");
        assert!(matches!(judge(&number, ResponseType::Cancelled), Verdict::Accepted { .. }));
        let rejects = answer("{\"ResultCode\":\"C2B00012\",\"ResultDesc\":\"Rejected\"}");
        assert_eq!(
            judge(&rejects, ResponseType::Completed),
            Verdict::Rejected { result_code: "C2B00012".to_owned() }
        );
    }
}
