//! What may be booked: postings that sum to zero. Pure.
//!
//! Debit is positive, credit negative. A customer's wallet is money that we owe, so it grows by credits.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::ids::CustomerId;
use crate::money::Money;

/// Where money is, or whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// What Safaricom holds for us under a short code.
    MpesaClearing(String),
    /// What a customer has paid and not yet used.
    Wallet(CustomerId),
    /// Money whose owner is not known yet.
    Suspense,
    /// Periods that were bought.
    Revenue,
    /// What Safaricom took for its service.
    MpesaCharges,
    /// Cash that a person took and holds, by who they are as the audit log writes it.
    Cash(String),
    /// Our bank account.
    Bank,
    /// What customers owed and need not pay.
    WriteOffs,
    /// Money on its way back to whoever paid it.
    RefundsHeld,
    /// What was paid out of a short code for anything else.
    Expenses,
}

/// A text that names no account.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a ledger account")]
pub struct NotAnAccount(String);

impl Account {
    /// The kind's word in the database.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::MpesaClearing(_) => "mpesa_clearing",
            Self::Wallet(_) => "wallet",
            Self::Suspense => "suspense",
            Self::Revenue => "revenue",
            Self::MpesaCharges => "mpesa_charges",
            Self::Cash(_) => "cash",
            Self::Bank => "bank",
            Self::WriteOffs => "write_offs",
            Self::RefundsHeld => "refunds_held",
            Self::Expenses => "expenses",
        }
    }
}

impl fmt::Display for Account {
    /// The account's id in the database: `wallet:<customer>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MpesaClearing(short_code) => write!(f, "{}:{short_code}", self.kind()),
            Self::Wallet(customer) => write!(f, "{}:{customer}", self.kind()),
            Self::Cash(holder) => write!(f, "{}:{holder}", self.kind()),
            Self::Suspense
            | Self::Revenue
            | Self::MpesaCharges
            | Self::Bank
            | Self::WriteOffs
            | Self::RefundsHeld
            | Self::Expenses => f.write_str(self.kind()),
        }
    }
}

impl FromStr for Account {
    type Err = NotAnAccount;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || NotAnAccount(text.to_owned());
        match text.split_once(':') {
            Some(("mpesa_clearing", code)) if !code.is_empty() => Ok(Self::MpesaClearing(code.to_owned())),
            Some(("wallet", customer)) => CustomerId::parse(customer).map(Self::Wallet).map_err(|_| refuse()),
            Some(("cash", holder)) if !holder.is_empty() => Ok(Self::Cash(holder.to_owned())),
            None if text == "suspense" => Ok(Self::Suspense),
            None if text == "revenue" => Ok(Self::Revenue),
            None if text == "mpesa_charges" => Ok(Self::MpesaCharges),
            None if text == "bank" => Ok(Self::Bank),
            None if text == "write_offs" => Ok(Self::WriteOffs),
            None if text == "refunds_held" => Ok(Self::RefundsHeld),
            None if text == "expenses" => Ok(Self::Expenses),
            _ => Err(refuse()),
        }
    }
}

/// One side of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// Which account.
    pub account: Account,
    /// Debit above zero, credit below.
    pub amount: Money,
}

/// A fact with its money. Booked whole or not at all, and once for a cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What kind of fact it is; with `cause_id` it is unique for ever.
    pub cause_kind: &'static str,
    /// Which fact it is.
    pub cause_id: String,
    /// Who or what booked it.
    pub actor: String,
    /// A few words for the statement.
    pub memo: String,
    /// All sides.
    pub postings: Vec<Posting>,
}

/// Why an entry cannot be booked. Each is a bug of the caller.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unbalanced {
    /// Fewer than two postings.
    #[error("an entry has at least two postings")]
    TooFew,
    /// A posting moves nothing.
    #[error("posting {position} is zero")]
    Zero {
        /// Which, from 0.
        position: usize,
    },
    /// Nobody is said to have booked it.
    #[error("an entry says who booked it")]
    NoActor,
    /// The sum is beyond what cents in an `i64` can hold.
    #[error("the postings overflow")]
    Overflow,
    /// The postings do not sum to zero.
    #[error("the postings are off by {by} cents")]
    Off {
        /// Their sum in cents.
        by: i64,
    },
}

impl Entry {
    /// A move of `amount` (above zero) from one account to another: debit `into`, credit `out_of`.
    ///
    /// # Errors
    /// [`Unbalanced::Overflow`] for the one amount that has no opposite.
    pub fn transfer(
        cause: (&'static str, String),
        actor: &str,
        memo: &str,
        (into, out_of): (Account, Account),
        amount: Money,
    ) -> Result<Self, Unbalanced> {
        let credit = amount.checked_neg().ok_or(Unbalanced::Overflow)?;
        let (cause_kind, cause_id) = cause;
        Ok(Self {
            cause_kind,
            cause_id,
            actor: actor.to_owned(),
            memo: memo.to_owned(),
            postings: vec![Posting { account: into, amount }, Posting { account: out_of, amount: credit }],
        })
    }

    /// Whether the entry may be booked.
    ///
    /// # Errors
    /// [`Unbalanced`] names what is wrong.
    pub fn balanced(&self) -> Result<(), Unbalanced> {
        if self.actor.trim().is_empty() {
            return Err(Unbalanced::NoActor);
        }
        if self.postings.len() < 2 {
            return Err(Unbalanced::TooFew);
        }
        if let Some(position) = self.postings.iter().position(|posting| posting.amount == Money::ZERO) {
            return Err(Unbalanced::Zero { position });
        }
        let sum = self
            .postings
            .iter()
            .try_fold(Money::ZERO, |sum, posting| sum.checked_add(posting.amount))
            .ok_or(Unbalanced::Overflow)?;
        if sum == Money::ZERO { Ok(()) } else { Err(Unbalanced::Off { by: sum.cents() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(amounts: &[i64], expected: Result<(), Unbalanced>) {
        check_by("test", amounts, expected);
    }

    fn check_by(actor: &str, amounts: &[i64], expected: Result<(), Unbalanced>) {
        let postings = amounts
            .iter()
            .map(|cents| Posting { account: Account::Revenue, amount: Money::from_cents(*cents) })
            .collect();
        let entry = Entry {
            cause_kind: "test",
            cause_id: String::new(),
            actor: actor.to_owned(),
            memo: String::new(),
            postings,
        };
        assert_eq!(entry.balanced(), expected, "{amounts:?}");
    }

    #[test]
    fn only_postings_that_sum_to_zero_may_be_booked() {
        check(&[100, -100], Ok(()));
        check(&[100, -60, -40], Ok(()));
        check(&[], Err(Unbalanced::TooFew));
        check(&[100], Err(Unbalanced::TooFew));
        check(&[100, -99], Err(Unbalanced::Off { by: 1 }));
        check(&[100, 0, -100], Err(Unbalanced::Zero { position: 1 }));
        check(&[i64::MAX, 1, i64::MIN], Err(Unbalanced::Overflow));
        for nobody in ["", " "] {
            check_by(nobody, &[100, -100], Err(Unbalanced::NoActor));
        }
    }

    #[test]
    fn a_transfer_is_balanced_and_accounts_are_read_back() {
        let customer = CustomerId::parse("c1").unwrap();
        let accounts = (Account::MpesaClearing("174379".to_owned()), Account::Wallet(customer));
        let entry =
            Entry::transfer(("payment", "p".to_owned()), "system", "", accounts, Money::from_cents(5))
                .unwrap();
        assert_eq!(entry.balanced(), Ok(()));
        for posting in entry.postings {
            assert_eq!(posting.account.to_string().parse(), Ok(posting.account));
        }
        for account in [
            Account::Suspense,
            Account::Revenue,
            Account::MpesaCharges,
            Account::Bank,
            Account::WriteOffs,
            Account::RefundsHeld,
            Account::Expenses,
        ] {
            assert_eq!(account.to_string().parse(), Ok(account));
        }
        for bad in ["", "wallet", "wallet:", "wallet:A B", "mpesa_clearing:", "revenue:x", "bank:1", "cash"] {
            assert!(bad.parse::<Account>().is_err(), "{bad}");
        }
        let lowest = Money::from_cents(i64::MIN);
        let accounts = (Account::Revenue, Account::Suspense);
        assert_eq!(
            Entry::transfer(("x", String::new()), "", "", accounts, lowest),
            Err(Unbalanced::Overflow)
        );
    }
}
