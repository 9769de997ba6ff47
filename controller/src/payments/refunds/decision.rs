//! What a person decides of a refund, and when that can be decided.

use std::fmt;

use super::Refund;
use super::state::State;
use crate::mpesa::evidence::ReceiptNumber;

/// What a person decided, and what they read with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What.
    pub decision: Decision,
    /// M-Pesa's receipt of the payment to the phone, where the portal says that it went: its row in a statement is known by it.
    pub receipt: Option<ReceiptNumber>,
}

impl From<Decision> for Decided {
    fn from(decision: Decision) -> Self {
        Self { decision, receipt: None }
    }
}

/// As the audit log has it.
impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.decision.as_str())?;
        self.receipt.as_ref().map_or(Ok(()), |receipt| write!(f, ", {receipt}"))
    }
}

/// What a person decides of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A second person agrees.
    Approve,
    /// It is not to be.
    Withdraw,
    /// The portal says that it went through.
    WentThrough,
    /// The portal says that it did not.
    DidNot,
    /// It is to be sent once more: M-Pesa does it once all the same.
    Again,
}

impl Decision {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Approve, Self::Withdraw, Self::WentThrough, Self::DidNot, Self::Again];

    /// The word in paths and in the audit log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Withdraw => "withdraw",
            Self::WentThrough => "went-through",
            Self::DidNot => "did-not",
            Self::Again => "again",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|decision| decision.as_str() == text)
    }

    /// Whether it can be made while a refund stands so.
    #[must_use]
    pub fn fits(self, refund: &Refund) -> bool {
        match self {
            Self::Approve => refund.state() == State::Waiting,
            // One that a person sent once more may have gone the first time.
            Self::Withdraw => {
                refund.state() == State::Waiting || (refund.state() == State::Held && refund.due.looks == 0)
            }
            // Without an operator it is never sent, and whoever has M-Pesa's portal gives it back there.
            Self::WentThrough if refund.state() == State::Held && refund.is_not_sendable() => true,
            // What is to be sent once more can wait for ever, where there is no operator any more.
            Self::WentThrough | Self::DidNot if refund.state() == State::Held && refund.due.looks > 0 => true,
            // It was taken for failed, and a statement or the portal shows that it went.
            Self::WentThrough if refund.state() == State::Failed => true,
            // Whoever reads it in the portal need not wait until M-Pesa was asked for the last time.
            Self::WentThrough | Self::DidNot => refund.state() == State::Unknown,
            Self::Again => refund.needs_a_person(),
        }
    }
}
