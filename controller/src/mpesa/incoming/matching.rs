//! Whose money a payment is: a request's, a customer's, or nobody's that we know. Pure.
//!
//! It names no prompt. It belongs to a request when short code, account, amount, payer and time all fit; the account
//! number carries a check digit, so that it is never another customer's by a slip. One without an account, as tills
//! have it, needs the whole phone number instead, or the end of it where Safaricom says of one request alone that it is
//! paid. Money is never given to anybody by its amount alone.

use std::time::Duration;

use tawi_shared::UnixMillis;

use super::payer::Agreement;
use super::{Incoming, PaidAt, TransactionKind};
use crate::customers::account_number::{AccountNumber, NotAnAccountNumber};
use crate::customers::phone::Msisdn;
use crate::ids::{CustomerId, IntentId, LineId, TopUpId};
use crate::money::Money;
use crate::mpesa::intent::Promised;
use crate::payments::NoOwner;

/// How far a payment's time may be from its request's. Callbacks of one payment were seen 10.5 minutes apart from
/// their prompt's own time; Safaricom's clocks disagree among themselves.
pub(in crate::mpesa) const TIME_AROUND: Duration = Duration::from_secs(15 * 60);

/// A request for payment that has no receipt yet.
#[derive(Clone, Debug)]
pub(in crate::mpesa) struct Candidate {
    pub(in crate::mpesa) intent: IntentId,
    pub(in crate::mpesa) subscription: LineId,
    pub(in crate::mpesa) customer: CustomerId,
    pub(in crate::mpesa) account_number: AccountNumber,
    pub(in crate::mpesa) short_code: String,
    pub(in crate::mpesa) phone: Msisdn,
    pub(in crate::mpesa) amount: Money,
    /// What it was to buy, a top-up or else a period.
    pub(in crate::mpesa) top_up: Option<TopUpId>,
    pub(in crate::mpesa) promised: Option<Promised>,
    pub(in crate::mpesa) standing: Standing,
    pub(in crate::mpesa) created_at: UnixMillis,
}

/// What is known about a request, from the likeliest to have been paid to the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::mpesa) enum Standing {
    /// Safaricom says that it is paid.
    SaidPaid,
    /// Nothing is known, or nothing was heard.
    Unknown,
    /// Safaricom says that it is not, which was wrong before.
    SaidUnpaid,
}

/// Whom a payment names by what was typed as its account, or, where that names nobody, by who paid.
#[derive(Clone, Debug)]
pub(in crate::mpesa) enum Named {
    /// Nobody that we know.
    Nobody,
    /// This customer.
    Holder(Holder),
    /// Several customers, who share a phone.
    Several,
}

/// A customer, and what the money could be for.
#[derive(Clone, Debug)]
pub(in crate::mpesa) struct Holder {
    pub(in crate::mpesa) customer: CustomerId,
    pub(in crate::mpesa) subscriptions: Vec<LineId>,
}

/// Whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mpesa) enum Match {
    /// This request's.
    Intent(IntentId),
    /// This customer's, and not one request's.
    Customer {
        customer: CustomerId,
        /// Their only subscription, which the money is then for.
        subscription: Option<LineId>,
        /// Whether it may be for one of several lines, or for one of several things that were asked for.
        is_unclear: bool,
    },
    /// Nobody's that we know.
    Nobody(NoOwner),
}

/// Decides. `candidates` are requests without a receipt that may fit; all are checked here.
pub(in crate::mpesa) fn decide(
    payment: &Incoming,
    short_code: &str,
    named: &Named,
    candidates: &[Candidate],
) -> Match {
    let account = (!payment.reference.is_empty()).then(|| AccountNumber::parse(&payment.reference));
    match payment.kind {
        TransactionKind::Known => {}
        TransactionKind::NewName if matches!(account, Some(Ok(_))) => {}
        TransactionKind::NewName | TransactionKind::Unknown => return Match::Nobody(NoOwner::UnknownKind),
    }
    let fitting: Vec<&Candidate> = candidates
        .iter()
        .filter(|candidate| {
            candidate.short_code == short_code && fits(payment, account.as_ref(), named, candidate)
        })
        .collect();
    let fitting = at_the_time(payment.paid_at, &fitting);
    let customer = |holder: &Holder, subscription: Option<&LineId>, is_unclear| Match::Customer {
        customer: holder.customer.clone(),
        subscription: subscription.cloned(),
        is_unclear,
    };
    if let (true, Named::Nobody) = (fitting.is_empty(), named)
        && let Some(masked) = only_said_paid(payment, short_code, candidates)
    {
        return Match::Intent(masked.intent.clone());
    }
    match (best_of(&fitting), named) {
        (Some(Ok(intent)), _) => Match::Intent(intent),
        // Several lines or purposes fit: the money is the customer's, and what it is for is theirs to say, or their
        // callback's or query's; until then a person is shown it. A till's payer may have paid for a neighbour.
        (Some(Err(_)), Named::Holder(holder))
            if fitting.iter().all(|candidate| candidate.customer == holder.customer) =>
        {
            customer(holder, None, true)
        }
        (None, Named::Holder(holder)) => match holder.subscriptions.as_slice() {
            [only] => customer(holder, Some(only), false),
            several => customer(holder, None, !several.is_empty()),
        },
        (Some(Err(ambiguous)), _) => Match::Nobody(ambiguous),
        (None, Named::Several) => Match::Nobody(NoOwner::SharedPhone),
        (None, Named::Nobody) => Match::Nobody(nobody(payment, account)),
    }
}

fn nobody(payment: &Incoming, account: Option<Result<AccountNumber, NotAnAccountNumber>>) -> NoOwner {
    match account {
        None => NoOwner::NoAccount,
        Some(Ok(_)) => NoOwner::UnknownAccount,
        Some(Err(NotAnAccountNumber::CheckDigit)) => NoOwner::CheckDigit,
        Some(Err(NotAnAccountNumber::Form)) if Msisdn::parse(&payment.reference).is_ok() => {
            NoOwner::UnknownPhone
        }
        Some(Err(NotAnAccountNumber::Form)) => NoOwner::NotAnAccount,
    }
}

/// The request whose till payment this is although its payer is masked: Safaricom says that it is paid, the mask shows the end
/// of its phone, and nothing else that is open was asked for there, for as much and around that time, whoever's it is. Nor
/// was anything, of a phone that the mask fits as well, of which Safaricom says that it is not paid.
fn only_said_paid<'a>(
    payment: &Incoming,
    short_code: &str,
    candidates: &'a [Candidate],
) -> Option<&'a Candidate> {
    let at = payment.paid_at.filter(|_| payment.reference.is_empty())?.probably;
    let mut found = None;
    let around = candidates.iter().filter(|one| {
        one.short_code == short_code && one.amount == payment.amount && is_around(at, one.created_at)
    });
    for one in around {
        let is_fit = one.standing == Standing::SaidPaid && payment.payer.proves(&one.phone);
        let is_anothers = payment.payer.agrees_with(&one.phone) == Agreement::Another;
        match (is_fit, one.standing) {
            (true, _) if found.is_none() => found = Some(one),
            (false, Standing::SaidUnpaid) if is_anothers => {}
            _ => return None,
        }
    }
    found
}

/// Those that were made around the time of the payment. Its less probable reading counts where nothing fits the other, and
/// then only for a request of which Safaricom says itself that it is paid: three hours off is another payment otherwise.
fn at_the_time<'a>(paid_at: Option<PaidAt>, fitting: &[&'a Candidate]) -> Vec<&'a Candidate> {
    let around = |at: UnixMillis| fitting.iter().copied().filter(move |one| is_around(at, one.created_at));
    let Some(paid_at) = paid_at else { return Vec::new() };
    let probable: Vec<&Candidate> = around(paid_at.probably).collect();
    match paid_at.perhaps {
        Some(perhaps) if probable.is_empty() => {
            around(perhaps).filter(|one| one.standing == Standing::SaidPaid).collect()
        }
        _ => probable,
    }
}

/// The likeliest, and among those the oldest; refused when the likeliest are of several lines, or were to buy different
/// things. Of one customer's requests that Safaricom says are paid, all of them, each gets a receipt, whichever it is.
fn best_of(fitting: &[&Candidate]) -> Option<Result<IntentId, NoOwner>> {
    let best = fitting.iter().min_by_key(|one| (one.standing, one.created_at, one.intent.as_str()))?;
    let purpose = |one: &Candidate| {
        (one.subscription.clone(), one.customer.clone(), one.top_up.clone(), one.promised.clone())
    };
    let is_alike = |one: &Candidate| {
        let are_all_paid = best.standing == Standing::SaidPaid && one.customer == best.customer;
        are_all_paid || purpose(one) == purpose(best)
    };
    let is_other = |one: &Candidate| one.standing == best.standing && !is_alike(one);
    Some(if fitting.iter().any(|one| is_other(one)) {
        Err(NoOwner::Ambiguous)
    } else {
        Ok(best.intent.clone())
    })
}

fn fits(
    payment: &Incoming,
    account: Option<&Result<AccountNumber, NotAnAccountNumber>>,
    named: &Named,
    candidate: &Candidate,
) -> bool {
    let agreement = payment.payer.agrees_with(&candidate.phone);
    let is_theirs = match account {
        None => agreement == Agreement::Whole,
        Some(Ok(number)) => *number == candidate.account_number && agreement != Agreement::Another,
        // A phone number in place of the account names its customer as well.
        Some(Err(_)) => {
            matches!(named, Named::Holder(holder) if holder.customer == candidate.customer)
                && agreement != Agreement::Another
        }
    };
    is_theirs && payment.amount == candidate.amount
}

fn is_around(at: UnixMillis, created_at: UnixMillis) -> bool {
    at.since(created_at) <= TIME_AROUND && created_at.since(at) <= TIME_AROUND
}

#[cfg(test)]
mod tests;
