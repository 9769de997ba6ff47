//! What Safaricom's result codes mean for us: a table, not code. Pure.
//!
//! The lists that circulate contradict one another (17, 1001, 1019, 1025, 2001), so code and text are also kept as
//! they came. A code that is not in the table is not a failure: a person looks at it.

/// What a result code says about the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// No money moved, and none will for this prompt, unless a receipt says otherwise later.
    Declined,
    /// Nothing is known yet.
    Pending,
    /// Nobody has told us what it means.
    Unknown,
}

/// One code: what it says, and what to tell the customer.
struct Known(&'static str, Meaning, &'static str);

/// When the request did not reach the phone.
const NOT_SENT: &str = "The request could not be sent to the phone. Try again.";
/// The same where a payment by Paybill is heard of.
const NOT_SENT_OR_PAYBILL: &str = "The request could not be sent to the phone. Try again, or pay by Paybill.";

/// What says nothing of a request yet, or, of the second code, of one that `not_sent` knows.
const STILL_AT_IT: &str = "M-Pesa has not said yet what became of the request.";

/// The same amount from the same phone within two minutes.
pub const SAME_AGAIN: &str = "17";

/// Sources: Safaricom's Daraja 3.0 pages (December 2025), and observations at the sandbox and in public logs.
const KNOWN: &[Known] = &[
    Known("1", Meaning::Declined, "Too little money in M-Pesa. Top up and try again."),
    Known("2", Meaning::Declined, "The amount is below what M-Pesa moves."),
    Known("3", Meaning::Declined, "The amount is above what M-Pesa moves at once."),
    Known("4", Meaning::Declined, "The customer's daily limit is reached. Try again tomorrow."),
    Known(
        "8",
        Meaning::Declined,
        "The paybill's balance limit is reached: the owner must settle it with Safaricom.",
    ),
    Known(
        SAME_AGAIN,
        Meaning::Declined,
        "The same amount was asked of this phone a moment ago. Wait two minutes.",
    ),
    Known("26", Meaning::Declined, "M-Pesa is busy. Try again in half a minute."),
    Known("1001", Meaning::Declined, "Another M-Pesa menu is open on the phone. Close it and try again."),
    Known("1019", Meaning::Declined, "The request expired on the phone. Try again."),
    Known("1025", Meaning::Declined, NOT_SENT),
    Known("1031", Meaning::Declined, "The customer cancelled."),
    Known("1032", Meaning::Declined, "The customer cancelled."),
    Known("1037", Meaning::Declined, "The phone did not answer: off, out of reach, or ignored."),
    Known("2001", Meaning::Declined, "Wrong M-Pesa PIN. Try again."),
    Known(
        "2028",
        Meaning::Declined,
        "The short code is set up wrongly: the owner must check its transaction type.",
    ),
    Known("8006", Meaning::Declined, "The M-Pesa PIN is locked. The customer must call Safaricom on 100."),
    Known("9999", Meaning::Declined, NOT_SENT),
    Known("SFC_IC0003", Meaning::Declined, "The till is set up wrongly: the owner must check its number."),
    Known("4999", Meaning::Pending, STILL_AT_IT),
    Known("500.001.1001", Meaning::Pending, STILL_AT_IT),
];

/// What to say when nobody knows.
const UNKNOWN_ADVICE: &str = "M-Pesa gave an answer that nobody has seen before. We are checking.";

/// What a code says about the money. 0 is not a failure, and not here.
#[must_use]
pub fn meaning(code: &str) -> Meaning {
    find(code).map_or(Meaning::Unknown, |known| known.1)
}

/// One or two sentences for the customer. Nobody is sent to the Paybill where a payment to it is not heard of.
#[must_use]
pub fn advice(code: &str, is_paybill_heard: bool) -> &'static str {
    match find(code) {
        Some(known) if known.2 == NOT_SENT && is_paybill_heard => NOT_SENT_OR_PAYBILL,
        Some(known) => known.2,
        None => UNKNOWN_ADVICE,
    }
}

fn find(code: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.0.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_nobody_knows_is_not_a_failure() {
        assert_eq!(meaning("1032"), Meaning::Declined);
        assert_eq!(meaning("sfc_ic0003"), Meaning::Declined);
        assert_eq!(meaning("4999"), Meaning::Pending);
        for unknown in ["", "0", "31337", "R000002", "-1"] {
            assert_eq!(meaning(unknown), Meaning::Unknown, "{unknown}");
            assert_eq!(advice(unknown, true), UNKNOWN_ADVICE);
        }
    }

    #[test]
    fn nobody_is_sent_to_a_paybill_that_is_not_heard_of() {
        for code in ["1025", "9999"] {
            assert!(advice(code, true).ends_with("or pay by Paybill."), "{code}");
            assert!(!advice(code, false).contains("Paybill"), "{code}");
        }
        assert!(KNOWN.iter().all(|known| !advice(known.0, false).contains("pay by Paybill")));
    }

    #[test]
    fn every_code_stands_once_and_every_advice_is_a_sentence() {
        let codes: std::collections::BTreeSet<_> = KNOWN.iter().map(|known| known.0).collect();
        assert_eq!(codes.len(), KNOWN.len());
        assert!(KNOWN.iter().all(|known| known.2.ends_with('.')));
    }
}
