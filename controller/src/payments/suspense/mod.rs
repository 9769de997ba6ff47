//! Money that is nobody's: it was paid, no rule could say for whom, and it lies in suspense until a person can.
//!
//! Why it is nobody's is decided where the payment comes in (`mpesa::incoming`). Here a person gives it to a customer,
//! or the customer claims it (`claim`), once: the ledger moves it into the wallet, and there it does what any payment does. Whom the payer may have meant is
//! `near`, which suggests and never decides.

pub(crate) mod api;
pub(crate) mod claim;
mod near;
pub(crate) mod pages;
pub(super) mod store;

use std::fmt;

use tawi_shared::{IdSource, UnixMillis};

use super::credit::{self, Owner, TakenIn, Told};
use super::{PaymentError, PaymentRow, moving};
use crate::audit::Actor;
use crate::customers::Customer;
use crate::database::Connection;
use crate::ids::{CustomerId, LineId, PaymentId};
use crate::{customers, subscriptions};

/// The source in the key of a piece of evidence: a person who looked it up.
pub(crate) const SOURCE: &str = "staff";

/// Why a payment is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoOwner {
    /// The account is empty, and nobody fits the payer.
    NoAccount,
    /// The account is neither an account number nor a phone number.
    NotAnAccount,
    /// The account's check digit is wrong: a slip.
    CheckDigit,
    /// No customer has that account number.
    UnknownAccount,
    /// The account is a phone number, and no customer's.
    UnknownPhone,
    /// Several customers have the phone that was typed, or that paid.
    SharedPhone,
    /// Requests of several lines fit, and nothing tells them apart.
    Ambiguous,
    /// It is not a payment in of a kind that we know.
    UnknownKind,
    /// A person took it from a customer whose it was not.
    TakenBack,
}

impl NoOwner {
    const ALL: [Self; 9] = [
        Self::NoAccount,
        Self::NotAnAccount,
        Self::CheckDigit,
        Self::UnknownAccount,
        Self::UnknownPhone,
        Self::SharedPhone,
        Self::Ambiguous,
        Self::UnknownKind,
        Self::TakenBack,
    ];

    /// The word in the database and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAccount => "no_account",
            Self::NotAnAccount => "not_an_account",
            Self::CheckDigit => "check_digit",
            Self::UnknownAccount => "unknown_account",
            Self::UnknownPhone => "unknown_phone",
            Self::SharedPhone => "shared_phone",
            Self::Ambiguous => "ambiguous",
            Self::UnknownKind => "unknown_kind",
            Self::TakenBack => "taken_back",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == text)
    }
}

impl fmt::Display for NoOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAccount => "no account was given",
            Self::NotAnAccount => "the account is neither an account number nor a phone number",
            Self::CheckDigit => "the account number has a wrong digit or two swapped ones",
            Self::UnknownAccount => "no customer has that account number",
            Self::UnknownPhone => "the account is a phone number, and no customer has it",
            Self::SharedPhone => "several customers have that phone number",
            Self::Ambiguous => "requests of several lines fit it",
            Self::UnknownKind => "it is not a kind of payment that is known",
            Self::TakenBack => "it was taken from a customer whose it was not",
        })
    }
}

/// Why it is nobody's, in one sentence without a full stop.
pub(super) fn words(why: Option<NoOwner>) -> String {
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    format!("nobody knows whose it is{why}")
}

/// The same with what the payer typed, which may be a name or a number: for the page of one payment, and no list.
pub(super) fn words_with(why: Option<NoOwner>, typed: &str) -> String {
    let words = words(why);
    if typed.is_empty() { words } else { format!("{words}; typed was {typed:?}") }
}

/// To whom a person gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Which payment.
    pub payment: PaymentId,
    /// Whose it is.
    pub customer: CustomerId,
    /// What it is for; `None` leaves it in the wallet.
    pub subscription: Option<LineId>,
}

/// Why it was not given to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAssigned {
    /// There is no such payment.
    NoSuchPayment,
    /// It has an owner: this customer already.
    AlreadySo,
    /// It has another owner.
    HasOwner,
    /// There is no such customer.
    NoSuchCustomer,
    /// The subscription is not that customer's.
    NotTheirs,
}

/// What came of giving it to them.
#[derive(Debug)]
pub struct Assigned {
    /// Whether it bought something; otherwise it lies in the wallet.
    pub has_bought: bool,
    taken_in: TakenIn,
}

impl Assigned {
    /// After the commit: the outbox, the open pages.
    pub(crate) fn tell(self, live: &crate::live::Live) {
        if self.taken_in.is_site_to_be_told {
            live.ring_outbox();
        }
        self.taken_in.hints.into_iter().for_each(|hint| live.tell(hint));
    }
}

/// Gives a payment that is nobody's to a customer. The row in the audit log is the caller's.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back.
pub async fn assign(
    connection: &mut Connection,
    wanted: &Assignment,
    by: &Actor,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<Assigned, NotAssigned>, PaymentError> {
    hand_over(connection, wanted, (SOURCE, by), ids, now).await
}

/// The same for whoever says whose it is: `source` stands in the key of the piece of evidence.
async fn hand_over(
    connection: &mut Connection,
    wanted: &Assignment,
    (source, by): (&'static str, &Actor),
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<Assigned, NotAssigned>, PaymentError> {
    let Some(PaymentRow { payment, .. }) = super::payment(connection, &wanted.payment).await? else {
        return Ok(Err(NotAssigned::NoSuchPayment));
    };
    match &payment.customer {
        Some(owner) if *owner == wanted.customer => return Ok(Err(NotAssigned::AlreadySo)),
        Some(_) => return Ok(Err(NotAssigned::HasOwner)),
        // What is in parts is nobody's, and stays so.
        None if payment.closed.is_some() => return Ok(Err(NotAssigned::HasOwner)),
        None => {}
    }
    if customers::get(connection, &wanted.customer).await?.is_none() {
        return Ok(Err(NotAssigned::NoSuchCustomer));
    }
    if let Some(line) = &wanted.subscription {
        let line = subscriptions::get(connection, line).await?;
        if line.is_none_or(|line| line.customer != wanted.customer) {
            return Ok(Err(NotAssigned::NotTheirs));
        }
    }
    let number = payment.number()?;
    let actor = by.to_string();
    let told = Told {
        number: &number,
        amount: payment.amount,
        short_code: &payment.short_code,
        phone: &payment.payer,
        account_reference: &payment.account_reference,
        received_at: now,
        moved_at: None,
        source,
        source_id: &actor,
        actor: &actor,
    };
    let owner = Owner::Customer {
        customer: wanted.customer.clone(),
        subscription: wanted.subscription.clone(),
        is_unclear: false,
    };
    let mut taken_in = credit::give(connection, &told, &payment, owner, ids, now).await?;
    // It may be what a request of theirs waits for, which nothing else would tell of any more.
    moving::pass_on(connection, (None, &wanted.customer), &mut taken_in, ids, now).await?;
    let after = super::payment(connection, &payment.id).await?;
    let has_bought = after.is_some_and(|row| row.trace.is_some());
    Ok(Ok(Assigned { has_bought, taken_in }))
}

/// Customers whom the payer may have meant, the likeliest first: those whose account number is a slip away from what was
/// typed, those who have the phone that was typed in its place, and those whose phone fits what was told of the payer.
///
/// # Errors
/// When the database refuses.
pub async fn suggestions(
    connection: &mut Connection,
    payment: &PaymentRow,
) -> Result<Vec<Customer>, PaymentError> {
    let mut found: Vec<Customer> = Vec::new();
    for number in near::account_numbers(&payment.payment.account_reference) {
        found.extend(customers::by_account_number(connection, &number).await?);
    }
    for told in [&payment.payment.account_reference, &payment.payment.payer] {
        for customer in store::customers_like(connection, &near::phone(told)).await? {
            if found.iter().all(|one| one.id != customer.id) {
                found.push(customer);
            }
        }
    }
    found.truncate(usize::try_from(store::SUGGESTIONS).unwrap_or_default());
    Ok(found)
}

#[cfg(test)]
mod tests;
