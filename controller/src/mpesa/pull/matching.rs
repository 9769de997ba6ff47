//! Whose money a row is: a request's, a customer's, or nobody's that we know. Pure.
//!
//! A row names no prompt. It belongs to a request when short code, account, amount, payer and time all fit; the account
//! number carries a check digit, so that it is never another customer's by a slip. A row without an account, as tills
//! have it, needs the whole phone number instead. Money is never given to anybody by its amount alone.

use std::fmt;
use std::time::Duration;

use tawi_shared::UnixMillis;

use super::payer::Agreement;
use super::rows::{PaidAt, Row};
use crate::customers::account_number::{AccountNumber, NotAnAccountNumber};
use crate::customers::phone::Msisdn;
use crate::ids::{CustomerId, IntentId, LineId};
use crate::money::Money;

/// How far a payment's time may be from its request's. Callbacks of one payment were seen 10.5 minutes apart from
/// their prompt's own time; Safaricom's clocks disagree among themselves.
pub(super) const TIME_AROUND: Duration = Duration::from_secs(15 * 60);
/// How the kinds of payments in begin. Anything else in Pull is unknown, and goes to no customer by itself.
const KIND_OF_PAYMENTS: &str = "c2b";

/// A request for payment that has no receipt yet.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) intent: IntentId,
    pub(super) subscription: LineId,
    pub(super) customer: CustomerId,
    pub(super) account_number: AccountNumber,
    pub(super) short_code: String,
    pub(super) phone: Msisdn,
    pub(super) amount: Money,
    pub(super) standing: Standing,
    pub(super) created_at: UnixMillis,
}

/// What is known about a request, from the likeliest to have been paid to the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Safaricom says that it is paid.
    SaidPaid,
    /// Nothing is known, or nothing was heard.
    Unknown,
    /// Safaricom says that it is not, which was wrong before.
    SaidUnpaid,
}

/// The customer whose account number a row has.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) customer: CustomerId,
    pub(super) subscriptions: Vec<LineId>,
}

/// Whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// This request's.
    Intent(IntentId),
    /// This customer's, and not one request's.
    Customer {
        customer: CustomerId,
        /// Their only subscription, which the money is then for.
        subscription: Option<LineId>,
    },
    /// Nobody's that we know.
    Nobody(Reason),
}

/// Why it is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The account is empty, and no request fits the payer.
    NoAccount,
    /// The account is no account number.
    NotAnAccount,
    /// The account's check digit is wrong: a slip.
    CheckDigit,
    /// No customer has that account number.
    UnknownAccount,
    /// Requests of several lines fit, and nothing tells them apart.
    Ambiguous,
    /// It is not a payment in of a kind that we know.
    UnknownKind,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAccount => "no account was given",
            Self::NotAnAccount => "the account is not an account number",
            Self::CheckDigit => "the account number has a wrong digit or two swapped ones",
            Self::UnknownAccount => "no customer has that account number",
            Self::Ambiguous => "requests of several lines fit it",
            Self::UnknownKind => "it is not a kind of payment that is known",
        })
    }
}

/// Decides. `holder` is the customer with the row's account number, and `candidates` are requests without a receipt
/// that may fit; all are checked here.
pub(super) fn decide(
    row: &Row,
    short_code: &str,
    holder: Option<&Holder>,
    candidates: &[Candidate],
) -> Match {
    if !row.kind.is_empty() && !row.kind.starts_with(KIND_OF_PAYMENTS) {
        return Match::Nobody(Reason::UnknownKind);
    }
    let account = (!row.reference.is_empty()).then(|| AccountNumber::parse(&row.reference));
    let fitting: Vec<&Candidate> = candidates
        .iter()
        .filter(|candidate| candidate.short_code == short_code && fits(row, account.as_ref(), candidate))
        .collect();
    match (best_of(&fitting), holder, account) {
        (Some(Ok(intent)), _, _) => Match::Intent(intent),
        // Several lines fit: the money is the customer's, and which line it is for is theirs to say.
        (Some(Err(_)), Some(holder), _) => {
            Match::Customer { customer: holder.customer.clone(), subscription: None }
        }
        (None, Some(holder), _) => Match::Customer {
            customer: holder.customer.clone(),
            subscription: match holder.subscriptions.as_slice() {
                [only] => Some(only.clone()),
                _ => None,
            },
        },
        (Some(Err(ambiguous)), None, _) => Match::Nobody(ambiguous),
        (None, None, None) => Match::Nobody(Reason::NoAccount),
        (None, None, Some(Err(NotAnAccountNumber::Form))) => Match::Nobody(Reason::NotAnAccount),
        (None, None, Some(Err(NotAnAccountNumber::CheckDigit))) => Match::Nobody(Reason::CheckDigit),
        (None, None, Some(Ok(_))) => Match::Nobody(Reason::UnknownAccount),
    }
}

/// The likeliest, and among those the oldest; refused when the likeliest are of several lines.
fn best_of(fitting: &[&Candidate]) -> Option<Result<IntentId, Reason>> {
    let best = fitting.iter().min_by_key(|one| (one.standing, one.created_at, one.intent.as_str()))?;
    let is_other = |one: &&&Candidate| {
        one.standing == best.standing
            && (one.subscription != best.subscription || one.customer != best.customer)
    };
    Some(if fitting.iter().any(|one| is_other(&one)) {
        Err(Reason::Ambiguous)
    } else {
        Ok(best.intent.clone())
    })
}

fn fits(
    row: &Row,
    account: Option<&Result<AccountNumber, NotAnAccountNumber>>,
    candidate: &Candidate,
) -> bool {
    let agreement = row.payer.agrees_with(&candidate.phone);
    let is_theirs = match account {
        None => agreement == Agreement::Whole,
        Some(Ok(number)) => *number == candidate.account_number && agreement != Agreement::Another,
        Some(Err(_)) => false,
    };
    is_theirs
        && row.amount == candidate.amount
        && row.paid_at.is_some_and(|at| is_around(at, candidate.created_at))
}

fn is_around(paid_at: PaidAt, created_at: UnixMillis) -> bool {
    let is_near = |at: UnixMillis| at.since(created_at) <= TIME_AROUND && created_at.since(at) <= TIME_AROUND;
    is_near(paid_at.probably) || paid_at.perhaps.is_some_and(is_near)
}

#[cfg(test)]
mod tests;
