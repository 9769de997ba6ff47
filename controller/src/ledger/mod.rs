//! The ledger: double entry in whole cents, append only.
//!
//! Every entry has a cause, and a cause is booked once: booking it again changes nothing. What may be booked is
//! `entry`; what is booked when is `payments`. Nothing is ever changed or deleted; a mistake is reversed. The tables
//! hold to both by themselves, whoever writes to them.

mod entry;
mod store;

use tawi_shared::UnixMillis;
use thiserror::Error;

use crate::database::{Connection, Together};
use crate::ids::{CustomerId, EntryId, IdSource};
use crate::money::Money;
pub use entry::{Account, Entry, NotAnAccount, Posting, Unbalanced};

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Booked {
    /// It is booked.
    Booked(EntryId),
    /// Its cause was booked before; nothing changed.
    AlreadyBooked,
}

/// A line of a customer's statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementLine {
    /// When it was booked.
    pub at: UnixMillis,
    /// What kind of fact it was.
    pub cause_kind: String,
    /// A few words.
    pub memo: String,
    /// As the customer sees it: above zero came in, below went out.
    pub amount: Money,
    /// What they had afterwards; below zero is owed.
    pub balance: Money,
}

/// Why the ledger cannot be read or written.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The database refused.
    #[error("ledger: {0}")]
    Database(#[from] sqlx::Error),
    /// The entry is wrong; nothing was booked.
    #[error("ledger entry: {0}")]
    Unbalanced(#[from] Unbalanced),
    /// A balance is beyond what cents in an `i64` can hold.
    #[error("the balance of {0} overflows")]
    Overflow(String),
}

/// Books an entry within the caller's transaction.
///
/// # Errors
/// [`LedgerError`]; the transaction must then be rolled back.
pub async fn book(
    connection: &mut Connection,
    entry: &Entry,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Booked, LedgerError> {
    entry.balanced()?;
    let id = EntryId::random(ids);
    let is_new = store::insert(connection, &id, entry, now).await?;
    Ok(if is_new { Booked::Booked(id) } else { Booked::AlreadyBooked })
}

/// The same beside other changes, of a fact that the caller knows not to be booked.
pub(crate) fn add(
    together: &mut Together,
    entry: &Entry,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(), LedgerError> {
    entry.balanced()?;
    store::add(together, &EntryId::random(ids), entry, now);
    Ok(())
}

/// Whether a fact is booked.
///
/// # Errors
/// When the database refuses.
pub async fn is_booked(connection: &mut Connection, cause: (&str, &str)) -> Result<bool, LedgerError> {
    Ok(store::is_booked(connection, cause).await?)
}

/// How much a fact moved on an account, debits above zero; `None` when it is not booked there.
///
/// # Errors
/// When the database refuses.
pub async fn booked_on(
    connection: &mut Connection,
    cause: (&str, &str),
    account: &Account,
) -> Result<Option<Money>, LedgerError> {
    Ok(store::booked_on(connection, cause, account).await?)
}

/// Whether any fact of a kind whose cause begins so moved just this much on an account.
///
/// # Errors
/// When the database refuses.
pub async fn is_any_booked(
    connection: &mut Connection,
    (cause, account, amount): ((&str, &str), &Account, Money),
) -> Result<bool, LedgerError> {
    Ok(store::is_any_booked(connection, cause, account, amount).await?)
}

/// The balance of an account: debits above zero.
///
/// # Errors
/// When the database refuses.
pub async fn balance_of(connection: &mut Connection, account: &Account) -> Result<Money, LedgerError> {
    Ok(store::balance_of(connection, account).await?)
}

/// What a customer has: paid and not yet used. Zero for a customer who never paid.
///
/// # Errors
/// When the database refuses.
pub async fn wallet_of(connection: &mut Connection, customer: &CustomerId) -> Result<Money, LedgerError> {
    let account = Account::Wallet(customer.clone());
    let balance = store::balance_of(connection, &account).await?;
    balance.checked_neg().ok_or_else(|| LedgerError::Overflow(account.to_string()))
}

/// What a customer has before a fact is booked; `None` when it is.
///
/// # Errors
/// When the database refuses.
pub async fn wallet_before(
    connection: &mut Connection,
    customer: &CustomerId,
    cause: (&str, &str),
) -> Result<Option<Money>, LedgerError> {
    let account = Account::Wallet(customer.clone());
    let Some(balance) = store::balance_before(connection, &account, cause).await? else { return Ok(None) };
    let negated = balance.checked_neg().ok_or_else(|| LedgerError::Overflow(account.to_string()));
    negated.map(Some)
}

/// The sum of all postings. Zero, or something is broken.
///
/// # Errors
/// When the database refuses.
pub async fn trial_balance(connection: &mut Connection) -> Result<Money, LedgerError> {
    Ok(store::trial_balance(connection).await?)
}

/// What went into and out of a customer's wallet, newest first: so many lines, behind so many. What was booked in one
/// millisecond came in before it went out.
///
/// # Errors
/// When the database refuses.
pub async fn statement_of(
    connection: &mut Connection,
    customer: &CustomerId,
    (limit, behind): (u32, u32),
) -> Result<Vec<StatementLine>, LedgerError> {
    Ok(store::statement_of(connection, &Account::Wallet(customer.clone()), (limit, behind)).await?)
}

/// When an entry of this kind, whose cause begins so, was last booked on a customer's wallet after `since`; `None` when
/// none was.
///
/// # Errors
/// When the database refuses.
pub async fn last_booked_since(
    connection: &mut Connection,
    customer: &CustomerId,
    cause: (&str, &str),
    since: UnixMillis,
) -> Result<Option<UnixMillis>, LedgerError> {
    Ok(store::last_booked_since(connection, &Account::Wallet(customer.clone()), cause, since).await?)
}

#[cfg(test)]
mod tests;
