//! What a customer owes and need not pay: a wallet below nothing is brought back to nothing, or nearer to it.
//!
//! A wallet is below nothing only where money was taken from it that was another customer's, and was used up. Who writes
//! that off decides for the owner: operators within a limit for each of Nairobi's days.

use tawi_shared::{IdSource, UnixMillis};

use super::store;
use crate::audit::Actor;
use crate::customers;
use crate::database::Connection;
use crate::ids::CustomerId;
use crate::ledger::{self, Account, Entry};
use crate::money::Money;
use crate::payments::PaymentError;
use crate::payments::counter::{Limits, same_person};
use crate::staff::Role;
use crate::usage::history::day_of;

/// Letters of what tells one write-off from another.
const OCCASION_BYTES: usize = 16;

/// Why nothing was written off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWrittenOff {
    /// There is no such customer.
    NoSuchCustomer,
    /// They owe less; so much.
    OwesLess(Money),
    /// It is nothing, or less.
    NoAmount,
    /// It is more than this person may write off today.
    OverLimit {
        /// The limit of a day.
        most: Money,
        /// What they wrote off today.
        written_off: Money,
    },
}

/// Who writes off, or corrects what is then written off: within which limits.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Under whose name.
    pub actor: &'a Actor,
    /// What they are.
    pub role: Role,
    /// What an operator may.
    pub limits: Limits,
}

#[cfg(test)]
impl<'a> Writer<'a> {
    /// Whom no limit binds.
    pub(crate) fn owner(actor: &'a Actor) -> Self {
        Self { actor, role: Role::Owner, limits: Limits::default() }
    }
}

/// What a customer owes; nothing for most.
///
/// # Errors
/// When the database refuses.
pub async fn owed_by(connection: &mut Connection, customer: &CustomerId) -> Result<Money, PaymentError> {
    let wallet = ledger::wallet_of(connection, customer).await?;
    Ok(wallet.checked_neg().filter(|owed| owed.is_positive()).unwrap_or(Money::ZERO))
}

/// Writes off so much of what a customer owes, or all of it; says how much that was. The row in the audit log is the
/// caller's.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back.
pub async fn write_off(
    connection: &mut Connection,
    (customer, amount): (&CustomerId, Option<Money>),
    writer: Writer<'_>,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<Money, NotWrittenOff>, PaymentError> {
    if customers::get(connection, customer).await?.is_none() {
        return Ok(Err(NotWrittenOff::NoSuchCustomer));
    }
    let owes = owed_by(connection, customer).await?;
    let amount = amount.unwrap_or(owes);
    if !amount.is_positive() {
        return Ok(Err(NotWrittenOff::NoAmount));
    }
    if amount > owes {
        return Ok(Err(NotWrittenOff::OwesLess(owes)));
    }
    let by = writer.actor.to_string();
    if writer.role != Role::Owner {
        let most = writer.limits.written_off_a_day;
        let written_off =
            store::written_off_since(connection, &same_person(writer.actor), day_of(now)).await?;
        if written_off.checked_add(amount).is_none_or(|sum| sum > most) {
            return Ok(Err(NotWrittenOff::OverLimit { most, written_off }));
        }
    }
    let accounts = (Account::WriteOffs, Account::Wallet(customer.clone()));
    let cause = ("write_off", ids.hex(OCCASION_BYTES));
    let entry = Entry::transfer(cause, &by, "Written off", accounts, amount)
        .map_err(ledger::LedgerError::Unbalanced)?;
    ledger::book(connection, &entry, ids, now).await?;
    Ok(Ok(amount))
}
