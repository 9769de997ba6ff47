//! What became of a callback, or of anything else that told of a receipt, in words for a person. Pure.
//!
//! What begins with "review: booked" has its money where it belongs; all else that a person has to look at moved none.
//! What is decided is `credit`.

use std::fmt;

use super::Payment;
use super::credit::Told;
use crate::customers::account_number::AccountNumber;
use crate::customers::phone::Msisdn;
use crate::money::Money;
use crate::mpesa::Payer;
use crate::mpesa::evidence::NotUnderstood;
use crate::mpesa::intent::Refused;

/// Letters and digits from which on an account may have been cut by what tells of it: the shortest limit of Safaricom's fields.
const CUT_CHARACTERS: usize = 12;
/// How what a person has to look at begins when the money is booked.
pub(super) const BOOKED: &str = "review: booked; ";

/// What became of a callback. Its `Display` is what is stored beside the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallbackOutcome {
    /// The receipt is booked.
    Booked,
    /// The receipt was booked before: this is more evidence of it.
    Repeated,
    /// No money moved, or none yet: the request is now in this state.
    Noted(&'static str),
    /// The amount is not the one that was asked for. Nothing is booked by it.
    AnotherAmount {
        /// What the request asked for.
        asked: Money,
        /// What this callback says.
        told: Money,
        /// Whether the receipt is booked with that amount, because something else told of it.
        is_booked: bool,
    },
    /// Booked, and the request was taken to be paid with another receipt, whose money stays its customer's.
    ReceiptReplaced,
    /// Booked before, and what was asked for is another line's, or another's than a person gave it to. It bought nothing.
    ForAnotherLine,
    /// Booked before, and it bought something else for the line than was asked for.
    ForAnotherPurpose,
    /// Booked for whose it is, out of the wallet of another customer, whom a rule took for its owner by who paid.
    TakenFromAnother {
        /// What that wallet owes, because the money had bought something.
        owed: Money,
    },
    /// Booked before because another source told of it. The request on whose path it came is paid with another receipt.
    BookedBesides,
    /// Booked, and somebody booked a transfer to the bank with its number before: it may be counted twice.
    TakenAtCounter,
    /// Booked, and it is of a kind that is not known.
    UnknownKind,
    /// Booked, and nothing but a file that somebody took in tells of it.
    StatementAlone,
    /// Booked, and the payer is not the phone that was asked.
    AnotherPhone,
    /// Booked and paid in full, and it bought nothing: the money waits in the wallet.
    NothingBought,
    /// Booked, and it was asked for although it is not enough for a period: the money waits in the wallet.
    NotEnough {
        /// What the wallet lacks for one.
        missing: Money,
    },
    /// Booked, and the line is on hold: the money waits in the wallet.
    LineOnHold,
    /// Booked, and the line's site is shut out: the money waits in the wallet.
    SiteRevoked,
    /// Booked, and two things are to be said of it.
    Both {
        /// What became of the money.
        first: Box<Self>,
        /// What was known of it before.
        besides: Box<Self>,
    },
    /// The receipt was booked before, with another amount. Nothing is booked.
    Contradiction {
        /// What is booked.
        booked: Money,
        /// What this callback says.
        told: Money,
    },
    /// The receipt was booked before with this amount, and with another account, another payer, or both. Nothing is booked.
    ToldOtherwise(Otherwise),
    /// The receipt was booked before as money that came to another short code. Nothing is booked.
    AnotherPayee {
        /// To which it is booked as paid.
        booked: String,
        /// To which this says that it was.
        told: String,
    },
    /// The receipt was booked for another request. Nothing is booked.
    ReceiptOfAnother,
    /// The prompt belongs to another request. Nothing is booked.
    PromptOfAnother,
    /// The result belongs to something else that was asked of Safaricom. Nothing is taken from it.
    ConversationOfAnother,
    /// It speaks of a payment to somebody else than whose address it came to. Nothing is booked.
    AnotherShortCode,
    /// A refund went through that was taken to have failed: its money is booked out of the wallet again.
    RefundedAfterAll,
    /// The same, and the payment was moved or given back otherwise since. Nothing is booked.
    RefundedTooLate {
        /// M-Pesa's receipt of the payment.
        receipt: String,
        /// How much went.
        amount: Money,
    },
    /// A refund did not go through that was taken to have gone. Nothing is booked.
    RefundContradicted,
    /// No request has this path any more. Nothing is booked.
    NoSuchRequest,
    /// It does not fit the request. Nothing is booked.
    Refused(Refused),
    /// It is not a callback as we know them. Nothing is booked.
    NotUnderstood(NotUnderstood),
}

/// What differs in two tellings of one receipt, beside the amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// The account.
    Account,
    /// Who paid.
    Payer,
    /// Both.
    Both,
}

impl Otherwise {
    /// What differs, in what is booked of a receipt and what is told of it now.
    pub(super) fn of(booked: &Payment, told: &Told<'_>) -> Option<Self> {
        let payer = Payer::told(&booked.payer).contradicts(&Payer::told(told.phone));
        match (is_another_account(&booked.account_reference, told.account_reference), payer) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Account),
            (false, true) => Some(Self::Payer),
            (false, false) => None,
        }
    }
}

impl fmt::Display for Otherwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account => "another account",
            Self::Payer => "another payer",
            Self::Both => "another account and another payer",
        })
    }
}

/// Whether two accounts as they were typed, or as some source cut and spelt them, are of two.
fn is_another_account(booked: &str, told: &str) -> bool {
    if let (Ok(booked), Ok(told)) = (AccountNumber::parse(booked), AccountNumber::parse(told)) {
        return booked != told;
    }
    if let (Ok(booked), Ok(told)) = (Msisdn::parse(booked), Msisdn::parse(told)) {
        return booked != told;
    }
    let plain = |text: &str| -> String {
        text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let (booked, told) = (plain(booked), plain(told));
    let (short, long) = if booked.len() < told.len() { (&booked, &told) } else { (&told, &booked) };
    let is_cut = short.chars().count() >= CUT_CHARACTERS && long.starts_with(short.as_str());
    !short.is_empty() && short != long && !is_cut
}

impl CallbackOutcome {
    /// Whether a person has to look.
    pub(crate) fn needs_a_person(&self) -> bool {
        !matches!(
            self,
            Self::Booked
                | Self::Repeated
                | Self::Noted(_)
                | Self::BookedBesides
                | Self::AnotherAmount { is_booked: true, .. }
        )
    }

    /// Whether it moves no money itself and is settled once something else tells of the same receipt and amount. Where that
    /// has told already, nobody has to look either: the order in which they come decides nothing.
    pub(crate) fn waits_for_receipt(&self) -> bool {
        matches!(self, Self::AnotherAmount { is_booked: false, .. } | Self::Refused(Refused::AnotherReceipt))
    }

    /// The same, with what was known before.
    pub(crate) fn besides(self, known: Self) -> Self {
        match known {
            Self::Booked => self,
            known => Self::Both { first: Box::new(self), besides: Box::new(known) },
        }
    }
}

impl fmt::Display for CallbackOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Booked => f.write_str("booked"),
            Self::Repeated => f.write_str("booked before"),
            Self::Noted(state) => write!(f, "noted: {state}"),
            Self::AnotherAmount { asked, told, is_booked: false } => write!(
                f,
                "review: {asked} was asked for, and this says that {told} was paid: it is booked once anything else tells \
                 of it"
            ),
            Self::AnotherAmount { asked, told, is_booked: true } => write!(
                f,
                "{asked} was asked for, and this says that {told} was paid, with a receipt that is booked with that"
            ),
            Self::ReceiptReplaced => write!(
                f,
                "{BOOKED}the request was taken to be paid with another receipt, whose money stays its customer's"
            ),
            Self::ForAnotherLine => write!(
                f,
                "{BOOKED}it was given to another line, or to none, before its request was known, and stays there"
            ),
            Self::ForAnotherPurpose => write!(
                f,
                "{BOOKED}it had bought something else for the line before its request was known"
            ),
            Self::TakenFromAnother { owed: Money::ZERO } => write!(
                f,
                "{BOOKED}it lay in the wallet of another customer, who was taken for its owner by who paid, and is taken \
                 out again"
            ),
            Self::TakenFromAnother { owed } => write!(
                f,
                "{BOOKED}it was taken out of the wallet of another customer, who was taken for its owner by who paid and \
                 bought something with it: that wallet owes KES {owed}"
            ),
            Self::BookedBesides => f.write_str(
                "the receipt is booked, as another source told of it, and the request of this path is paid with another",
            ),
            Self::StatementAlone => write!(f, "{BOOKED}nothing but a statement tells of it"),
            Self::TakenAtCounter => write!(
                f,
                "{BOOKED}its number was booked at the counter as a transfer to the bank before: it may be counted twice"
            ),
            Self::UnknownKind => write!(f, "{BOOKED}it is of a kind of payment that is not known"),
            Self::AnotherPhone => write!(f, "{BOOKED}another phone paid than the one that was asked"),
            Self::NothingBought => write!(
                f,
                "{BOOKED}all that was asked for is paid, it bought nothing, and waits in the wallet"
            ),
            Self::NotEnough { missing } => write!(
                f,
                "{BOOKED}it is not enough for a period, for which KES {missing} more are needed, and waits in the \
                 wallet"
            ),
            Self::LineOnHold => write!(
                f,
                "{BOOKED}the line is on hold, so that it bought nothing and waits in the wallet for its release"
            ),
            Self::SiteRevoked => write!(
                f,
                "{BOOKED}the site of the line is revoked, so that it bought nothing and waits in the wallet"
            ),
            Self::Both { first, besides } => {
                let besides = besides.to_string();
                write!(f, "{first}; {}", besides.strip_prefix(BOOKED).unwrap_or(&besides))
            }
            Self::Contradiction { booked, told } => {
                write!(f, "review: the receipt is booked with {booked}, and this says {told}")
            }
            Self::ToldOtherwise(otherwise) => write!(
                f,
                "review: the receipt is booked, and this names {otherwise} than what told of it before: it credits nobody"
            ),
            Self::AnotherPayee { booked, told } => write!(
                f,
                "review: the receipt is booked as paid to {booked}, and this says that it was paid to {told}: it credits nobody"
            ),
            Self::ReceiptOfAnother => f.write_str("review: the receipt is booked for another request"),
            Self::PromptOfAnother => f.write_str("review: the prompt belongs to another request"),
            Self::ConversationOfAnother => {
                f.write_str("review: the result belongs to another conversation with M-Pesa")
            }
            Self::AnotherShortCode => {
                f.write_str("review: it came to our address and speaks of a payment to another short code")
            }
            Self::RefundedAfterAll => write!(
                f,
                "{BOOKED}M-Pesa says that a refund went through whose money had been given back: it is taken out of the wallet again"
            ),
            Self::RefundedTooLate { receipt, amount } => write!(
                f,
                "review: M-Pesa says that a refund of KES {amount} of {receipt} went through, which was taken to have failed; \
                 since then the payment was moved, or given back otherwise, so that nothing is booked: look up in M-Pesa's \
                 portal what went, and correct whose money it was"
            ),
            Self::RefundContradicted => f.write_str(
                "review: M-Pesa says something else of a refund than it said before: look it up in its portal",
            ),
            Self::NoSuchRequest => f.write_str("review: no request has this path"),
            Self::Refused(refused) => write!(f, "review: {refused}"),
            Self::NotUnderstood(why) => write!(f, "not understood: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_is_the_same_however_it_is_spelt_and_cut() {
        let number = AccountNumber::from_serial(77).unwrap().to_string();
        let other = AccountNumber::from_serial(78).unwrap().to_string();
        let check = |booked: &str, told: &str, expected| {
            assert_eq!(is_another_account(booked, told), expected, "{booked} {told}");
            assert_eq!(is_another_account(told, booked), expected, "{told} {booked}");
        };
        check(&number, &format!(" {}-{}", number.split_at(4).0, number.split_at(4).1), false);
        check(&number, &number.replace('0', "O"), false);
        check(&number, &other, true);
        check(&number, "rent", true);
        check(&number, "", false);
        check("rent november", "RENT  November", false);
        check("rent nov shop", "rent nov", true);
        check("the rent november shop", "The rent november", false);
        check("0712345678", "254712345678", false);
        check("0712345678", "0712345679", true);
    }
}
