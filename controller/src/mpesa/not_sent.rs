//! Why Daraja sent a request to no phone, and what helps. Pure.
//!
//! Its codes are those of answers to a push (`answer`), one of which means four things: the text tells them apart. What became
//! of a request that was on a phone is `result_codes`.

use super::answer::{BUSY_CODES, FAULTS_BUSY, OVERLOADED, PHONE_BUSY, WRONG_SHORT_CODE};
use super::evidence::Reason;
use super::result_codes::{self, Meaning};

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Daraja has too much to do, or takes no more from this app for now.
    Busy,
    /// The phone has another transaction under way.
    PhoneBusy,
    /// The short code or its passkey is wrong.
    ShortCode,
    /// Daraja refuses the request as it is.
    Request,
    /// Nobody knows, or it never reached Daraja.
    Unknown,
}

/// Why a request with this answer was not sent.
pub(super) fn why(reason: &Reason) -> Why {
    let (code, text) = (reason.code.to_ascii_lowercase(), reason.description.to_ascii_lowercase());
    let is_fault_of_much = FAULTS_BUSY.iter().any(|word| code.contains(word));
    if BUSY_CODES.contains(&code.as_str()) || code.starts_with("429.") || is_fault_of_much {
        Why::Busy
    } else if code == OVERLOADED && text.contains(PHONE_BUSY) {
        Why::PhoneBusy
    } else if code == OVERLOADED && WRONG_SHORT_CODE.iter().any(|told| text.contains(told)) {
        Why::ShortCode
    } else if code.starts_with('4') {
        Why::Request
    } else {
        Why::Unknown
    }
}

/// One or two sentences for the customer and whoever speaks with them. Nobody is sent to the Paybill where a payment to it is
/// not heard of.
pub(super) fn advice(reason: &Reason, is_paybill_heard: bool) -> &'static str {
    match (why(reason), is_paybill_heard) {
        // A callback that named no prompt.
        _ if result_codes::meaning(&reason.code) == Meaning::Declined => {
            result_codes::advice(&reason.code, is_paybill_heard)
        }
        (Why::Busy, true) => "It was not sent: M-Pesa is busy. Try again in a minute, or pay by Paybill.",
        (Why::Busy, false) => "It was not sent: M-Pesa is busy. Try again in a minute.",
        (Why::PhoneBusy, _) => {
            "It was not sent: M-Pesa is busy with another transaction of this phone. Try again in a minute."
        }
        (Why::ShortCode, _) => {
            "It was not sent: M-Pesa does not take the short code with its passkey. The owner must check both."
        }
        (Why::Request, _) => {
            "It was not sent: M-Pesa refuses it as it is. Check the phone number; where that is right, the owner must \
             check the settings of the short code."
        }
        (Why::Unknown, true) => "It was not sent. Try again in a minute, or pay by Paybill.",
        (Why::Unknown, false) => "It was not sent. Try again in a minute.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_is_said_to_be_so_with_what_helps() {
        let check = |code: &str, text: &str, expected: Why, words: &str| {
            let reason = Reason::new(code, text);
            assert_eq!(why(&reason), expected, "{code} {text}");
            for is_paybill_heard in [true, false] {
                let advice = advice(&reason, is_paybill_heard);
                assert!(
                    advice.starts_with("It was not sent") && advice.contains(words),
                    "{code} {text}: {advice}"
                );
                assert!(!advice.contains("on the phone") && !advice.contains("checking"), "{advice}");
                assert!(is_paybill_heard || !advice.contains("Paybill"), "{advice}");
            }
        };
        let overloaded = "500.001.1001";
        let lock =
            "Unable to lock subscriber, a transaction is already in process for the current subscriber";
        check(overloaded, lock, Why::PhoneBusy, "another transaction of this phone");
        check(overloaded, "[MerchantValidate] - Wrong credentials", Why::ShortCode, "owner must check");
        check(overloaded, "Merchant does not exist", Why::ShortCode, "passkey");
        check("500.003.02", "System is busy. Please try again in few minutes.", Why::Busy, "busy. Try again");
        check("500.003.03", "Quota Violation", Why::Busy, "busy. Try again in a minute");
        check("429.001.01", "", Why::Busy, "busy");
        check("policies.ratelimit.SpikeArrestViolation", "Spike arrest violation", Why::Busy, "busy");
        check("400.002.02", "Bad Request - Invalid PhoneNumber", Why::Request, "Check the phone number");
        check("404.001.01", "Resource not found", Why::Request, "settings of the short code");
        check("", "M-Pesa cannot be reached", Why::Unknown, "Try again");
        check("keymanagement.service.apiresource_doesnot_exist", "", Why::Unknown, "Try again");
    }

    #[test]
    fn a_code_of_a_prompt_keeps_its_own_advice() {
        assert_eq!(advice(&Reason::new("1032", ""), true), result_codes::advice("1032", true));
    }
}
