//! Refusals of prompts that no customer can help: the short code is full, or set up wrongly. Pure.
//!
//! Customers are told that it is not their fault (`pay`, `result_codes`, `not_sent`); here the owner is told what cures it.

use tawi_shared::UnixMillis;

use crate::mpesa::evidence::Reason;
use crate::mpesa::not_sent::{self, Why};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnFault {
    /// What is wrong, in words without a full stop.
    pub said: &'static str,
    /// What to do.
    pub cure: &'static str,
}

/// Those that came lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnFaults {
    /// What the newest was.
    pub fault: OwnFault,
    /// How many there were, of all kinds.
    pub count: u64,
    /// When the newest came.
    pub newest: UnixMillis,
}

const FULL: OwnFault = OwnFault {
    said: "the paybill has as much money as it may hold",
    cure: "move money from the paybill to the bank in Safaricom's portal, or ask Safaricom for a higher limit: until then nobody \
           can pay",
};
const TRANSACTION_TYPE: OwnFault = OwnFault {
    said: "the short code does not take this type of transaction",
    cure: "set transaction_type in [mpesa] to pay_bill for a paybill and to buy_goods, with till_number, for a till, and run \
           tawi-controller mpesa doctor",
};
const TILL: OwnFault = OwnFault {
    said: "M-Pesa does not know the till",
    cure: "compare short_code (the head office) and till_number in [mpesa] with Safaricom's portal, and run tawi-controller mpesa \
           doctor",
};
const CREDENTIALS: OwnFault = OwnFault {
    said: "M-Pesa does not take the short code with its passkey",
    cure: "compare short_code and the passkey in passkey_file with Safaricom's message of going live, and run tawi-controller \
           mpesa doctor",
};

/// Which of them a refusal with this code and these words is; `None` for what has to do with a customer or their phone.
pub(super) fn of(code: &str, description: &str) -> Option<OwnFault> {
    match code {
        "8" => Some(FULL),
        "2028" => Some(TRANSACTION_TYPE),
        code if code.eq_ignore_ascii_case("SFC_IC0003") => Some(TILL),
        code => (not_sent::why(&Reason::new(code, description)) == Why::ShortCode).then_some(CREDENTIALS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_owner_can_cure_is_told_from_what_customers_do() {
        for (code, words, fault) in [
            ("8", "", FULL),
            ("2028", "", TRANSACTION_TYPE),
            ("sfc_ic0003", "", TILL),
            ("500.001.1001", "[MerchantValidate] - Wrong credentials", CREDENTIALS),
            ("500.001.1001", "Merchant does not exist", CREDENTIALS),
        ] {
            assert_eq!(of(code, words), Some(fault), "{code}");
        }
        for code in ["1", "1032", "1037", "2001", "500.003.02", "400.002.02", ""] {
            assert_eq!(of(code, ""), None, "{code}");
        }
        assert_eq!(
            of("500.001.1001", "Unable to lock subscriber, a transaction is already in process"),
            None
        );
    }
}
