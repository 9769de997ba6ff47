//! What to do about a result code of something that an API operator asked: a table, not code. Pure.
//!
//! Its neighbour `result_codes` speaks to customers, where the same codes mean other things. A code that is not here is
//! shown as it came.

/// Sources: Safaricom's Daraja 3.0 pages (December 2025), and what public clients wrote down.
const KNOWN: &[(&str, &str)] = &[
    (
        "21",
        "give the operator the role for this in Safaricom's organisation portal (balance and transaction status \
         need \"Account Balance ORG API\" and \"Transaction Status query ORG API\")",
    ),
    (
        "2001",
        "M-Pesa does not know this operator and password: compare initiator_name, the password in \
         initiator_password_file and the environment of certificate_file, before another try, since a few wrong ones lock \
         the operator",
    ),
    (
        "8006",
        "the operator is locked: the short code's business administrator gives it a new password in Safaricom's \
         organisation portal; write that into initiator_password_file",
    ),
    ("TP40153", "the operator may not do this: give it the role in Safaricom's organisation portal"),
    ("R000002", "M-Pesa knows no such receipt at this short code: compare it with the payer's SMS"),
    ("25", "M-Pesa did not understand the request"),
];

/// What cures a code; `None` where nobody knows.
#[must_use]
pub fn of(code: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_a_cure_and_unknown_ones_have_none() {
        assert!(of("8006").unwrap().contains("locked") && of("tp40153").is_some());
        assert_eq!((of("0"), of("31337")), (None, None));
        let codes: std::collections::BTreeSet<_> = KNOWN.iter().map(|known| known.0).collect();
        assert_eq!(codes.len(), KNOWN.len());
    }
}
