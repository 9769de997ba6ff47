//! What a question before, or the news after, a payment by Paybill or to a till says. Pure.
//!
//! The body is flat, and everything in it is a string: `TransID`, `TransAmount "5.00"`, `BillRefNumber` as the customer
//! typed it, `MSISDN` whole, masked or hashed. Source: Safaricom's C2B pages and bodies that people published. What is
//! not understood is refused whole, and kept for a person.

use super::NotUnderstood;
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::fields;
use crate::mpesa::incoming::{Incoming, PaidAt, Payer, REFERENCE_CHARACTERS, TransactionKind};
use crate::mpesa::stk::AMOUNT_MAX_SHILLINGS;
use crate::plain::line_of;

/// The longest short code that is taken; today's have 5 to 7 digits.
const SHORT_CODE_DIGITS: usize = 10;
/// The kinds of payments to us, in lower case; it may go unsaid.
const KINDS: [&str; 6] =
    ["", "pay bill", "paybill", "buy goods", "customerpaybillonline", "customerbuygoodsonline"];

/// A body that is one of Safaricom's.
#[derive(Debug)]
pub(super) struct Notification {
    /// Who is paid.
    pub(super) short_code: String,
    /// What the customer typed as account, as typed, or else the number of an invoice that M-Pesa tells; empty for a till.
    pub(super) reference: String,
    /// What is paid.
    pub(super) amount: Money,
    /// Who pays.
    pub(super) payer: Payer,
    /// Whether it goes to a till, where nobody types an account.
    pub(super) is_for_till: bool,
    kind: TransactionKind,
    receipt: String,
    paid_at: String,
}

impl Notification {
    /// Reads a body.
    ///
    /// # Errors
    /// [`NotUnderstood`]: then nothing of it may be acted on.
    pub(super) fn parse(body: &[u8]) -> Result<Self, NotUnderstood> {
        let body = fields::readable(body);
        let fields = fields::of(&body).ok_or(NotUnderstood::Form)?;
        let short_code = fields::text(&fields, "businessshortcode")
            .filter(|text| text.len() <= SHORT_CODE_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit()))
            .ok_or(NotUnderstood::Field("BusinessShortCode"))?;
        // No grouping commas: they are for people, and a machine that sends them is not the one we know.
        let amount = fields::text(&fields, "transamount")
            .filter(|text| !text.contains(','))
            .and_then(|text| Money::parse(&text).ok())
            .filter(|amount| amount.is_positive())
            .ok_or(NotUnderstood::Field("TransAmount"))?;
        let kind = fields::text_or_empty(&fields, "transactiontype").to_lowercase();
        let is_for_till = kind.contains("goods");
        let invoice = || match is_for_till {
            true => String::new(),
            false => fields::text_or_empty(&fields, "invoicenumber"),
        };
        let reference =
            Some(fields::text_or_empty(&fields, "billrefnumber")).filter(|text| !text.trim().is_empty());
        let reference = reference.unwrap_or_else(invoice);
        Ok(Self {
            short_code,
            reference: line_of(&reference, REFERENCE_CHARACTERS),
            amount,
            payer: Payer::told(&fields::text_or_empty(&fields, "msisdn")),
            is_for_till,
            kind: kind_of(&kind),
            receipt: fields::text_or_empty(&fields, "transid"),
            paid_at: fields::text_or_empty(&fields, "transtime"),
        })
    }

    /// The payment that it is news of.
    ///
    /// # Errors
    /// [`NotUnderstood`] without a receipt number, and of more than M-Pesa lets anybody pay at once: nothing is booked. Should
    /// such a payment ever be, Pull and the statement tell of it.
    pub(super) fn payment(&self) -> Result<Incoming, NotUnderstood> {
        if self.amount > Money::from_shillings(AMOUNT_MAX_SHILLINGS).unwrap_or(Money::ZERO) {
            return Err(NotUnderstood::TooMuch("TransAmount"));
        }
        let receipt = ReceiptNumber::parse(&self.receipt).ok_or(NotUnderstood::Field("TransID"))?;
        Ok(Incoming {
            receipt,
            paid_at: PaidAt::read(&self.paid_at),
            payer: self.payer.clone(),
            kind: self.kind,
            reference: self.reference.clone(),
            amount: self.amount,
        })
    }
}

/// What kind it is, by its name in lower case. Nothing but payments to us was ever seen to be told of here, under names that
/// changed; money that went back would be no payment.
fn kind_of(name: &str) -> TransactionKind {
    if KINDS.contains(&name) {
        TransactionKind::Known
    } else if name.contains("revers") || name.contains("refund") {
        TransactionKind::Unknown
    } else {
        TransactionKind::NewName
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As published, with another name.
    const BODY: &str = r#"{"TransactionType":"Pay Bill","TransID":"RKL51ZDR4F","TransTime":"20231121121325",
        "TransAmount":"5.00","BusinessShortCode":"600966","BillRefNumber":" 10000014 ","InvoiceNumber":"",
        "OrgAccountBalance":"25.00","ThirdPartyTransID":"","MSISDN":"2547 ***** 126","FirstName":"JANE",
        "MiddleName":"","LastName":null}"#;

    #[test]
    fn a_confirmation_is_read_as_published() {
        let told = Notification::parse(BODY.as_bytes()).unwrap();
        assert_eq!((told.short_code.as_str(), told.is_for_till), ("600966", false));
        let payment = told.payment().unwrap();
        assert_eq!(payment.receipt.as_str(), "RKL51ZDR4F");
        assert_eq!((payment.reference.as_str(), payment.amount), ("10000014", Money::from_cents(500)));
        assert_eq!((payment.payer.kept(), payment.kind), ("2547 ***** 126", TransactionKind::Known));
        // 12:13:25 in Nairobi.
        assert_eq!(payment.paid_at.unwrap().probably.0, 1_700_558_005_000);
    }

    #[test]
    fn a_name_that_is_no_json_costs_nothing_but_itself() {
        for strange in [&b"\xd1"[..], b"\xff\xfe", b"\n", b"\x00", b"\x1b[1m"] {
            let at = BODY.find("JANE").unwrap();
            let body = [&BODY.as_bytes()[..at], strange, &BODY.as_bytes()[at..]].concat();
            let told = Notification::parse(&body).unwrap();
            let payment = told.payment().unwrap();
            assert_eq!(
                payment,
                Notification::parse(BODY.as_bytes()).unwrap().payment().unwrap(),
                "{strange:?}"
            );
        }
    }

    #[test]
    fn other_forms_of_the_same_are_taken() {
        let check = |from: &str, to: &str, kind: TransactionKind| {
            let body = BODY.replace(from, to);
            assert_ne!(body, BODY, "{from}");
            let payment = Notification::parse(body.as_bytes()).unwrap().payment().unwrap();
            assert_eq!(payment.kind, kind, "{to}");
            payment
        };
        assert_eq!(check("\"5.00\"", "5", TransactionKind::Known).amount, Money::from_cents(500));
        assert_eq!(check("\"600966\"", "600966", TransactionKind::Known).amount, Money::from_cents(500));
        assert_eq!(
            check("RKL51ZDR4F", " rkl51zdr4f ", TransactionKind::Known).receipt.as_str(),
            "RKL51ZDR4F"
        );
        check("Pay Bill", "", TransactionKind::Known);
        check("Pay Bill", "Buy Goods", TransactionKind::Known);
        check("Pay Bill", "Organization Settlement", TransactionKind::NewName);
        check("Pay Bill", "Pay Bill Reversal", TransactionKind::Unknown);
        assert_eq!(check("20231121121325", "yesterday", TransactionKind::Known).paid_at, None);
        assert_eq!(
            check("\"BillRefNumber\":\" 10000014 \"", "\"BillRefNumber\":null", TransactionKind::Known)
                .reference,
            ""
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_whole() {
        let check = |from: &str, to: &str, field: &'static str| {
            let body = BODY.replace(from, to);
            assert_ne!(body, BODY, "{from}");
            let told = Notification::parse(body.as_bytes()).and_then(|told| told.payment());
            assert_eq!(told, Err(NotUnderstood::Field(field)), "{to}");
        };
        check("5.00", "-5.00", "TransAmount");
        check("5.00", "0.00", "TransAmount");
        check("5.00", "1,500.00", "TransAmount");
        check("\"5.00\"", "[5]", "TransAmount");
        check("5.00", "99999999999999999999", "TransAmount");
        check("RKL51ZDR4F", "", "TransID");
        check("RKL51ZDR4F", "no receipt!", "TransID");
        check("600966", "pay bill", "BusinessShortCode");
        for junk in ["", "[]", "null", "name=a&amount=5", "<html>", "\u{0}"] {
            assert_eq!(Notification::parse(junk.as_bytes()).unwrap_err(), NotUnderstood::Form, "{junk}");
        }
    }
}
