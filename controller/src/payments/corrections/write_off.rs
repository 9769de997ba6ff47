//! What a customer owes and need not pay: a wallet below nothing is brought back to nothing, or nearer to it.
//!
//! A wallet is below nothing only where money was taken from it that was another customer's, and was used up. Who writes
//! that off decides for the owner: operators within a limit for each of Nairobi's days.

use tawi_shared::{IdSource, UnixMillis};

use super::store;
use crate::customers;
use crate::database::Connection;
use crate::ids::CustomerId;
use crate::ledger::{self, Account, Entry};
use crate::money::Money;
use crate::payments::PaymentError;
use crate::payments::counter::{Clerk, same_person};
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

/// The limit that somebody went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::payments) struct Over {
    /// The limit of a day.
    pub(in crate::payments) most: Money,
    /// What they wrote off today before it.
    pub(in crate::payments) written_off: Money,
}

impl Clerk<'_> {
    /// Whether they wrote off more today than they may, with an entry of this transaction.
    pub(in crate::payments) async fn went_over(
        self,
        connection: &mut Connection,
        just_now: Money,
        now: UnixMillis,
    ) -> Result<Option<Over>, PaymentError> {
        if self.role == Role::Owner || !just_now.is_positive() {
            return Ok(None);
        }
        let most = self.limits.written_off_a_day;
        let with_it = store::written_off_since(connection, &same_person(self.actor), day_of(now)).await?;
        let written_off = with_it.checked_sub(just_now).unwrap_or(Money::ZERO).max(Money::ZERO);
        let is_over = written_off.checked_add(just_now).is_none_or(|sum| sum > most);
        Ok(is_over.then_some(Over { most, written_off }))
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
/// [`PaymentError`]; the transaction must then be rolled back, also where it is [`NotWrittenOff`].
pub async fn write_off(
    connection: &mut Connection,
    (customer, amount): (&CustomerId, Option<Money>),
    writer: Clerk<'_>,
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
    let accounts = (Account::WriteOffs, Account::Wallet(customer.clone()));
    let cause = ("write_off", ids.hex(OCCASION_BYTES));
    let entry = Entry::transfer(cause, &by, "Written off", accounts, amount)
        .map_err(ledger::LedgerError::Unbalanced)?;
    ledger::book(connection, &entry, ids, now).await?;
    if let Some(Over { most, written_off }) = writer.went_over(connection, amount, now).await? {
        return Ok(Err(NotWrittenOff::OverLimit { most, written_off }));
    }
    Ok(Ok(amount))
}
