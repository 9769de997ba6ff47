//! Customers: who they are, how they are found, and the account number that they pay to.
//!
//! A customer has a wallet (`ledger`) and any number of lines (`subscriptions`). Nothing here moves money.

pub mod account_number;
pub mod api;
pub mod pages;
pub mod phone;
pub mod references;
mod search;
mod store;
pub(crate) mod wallet;

use tawi_shared::UnixMillis;
use thiserror::Error;

use crate::database::Connection;
use crate::ids::{CustomerId, IdSource};
use crate::plain::is_one_line;
use account_number::AccountNumber;
use phone::Msisdn;

/// Rows on one page of a search: what one screen shows without scrolling for long.
pub const PAGE_ROWS: u32 = 50;
/// The longest name, in characters: longer than any name on an identity card, short enough for a table.
const NAME_CHARACTERS: usize = 120;

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// The id.
    pub id: CustomerId,
    /// What they type as "account" when they pay.
    pub account_number: AccountNumber,
    /// Name, as staff entered it.
    pub name: String,
    /// Where payment requests go unless another phone is named.
    pub phone: Msisdn,
    /// When they were entered.
    pub created_at: UnixMillis,
}

/// What staff enter.
#[derive(Clone, Debug)]
pub struct NewCustomer {
    /// Name.
    pub name: String,
    /// Mobile number.
    pub phone: Msisdn,
}

/// A customer in a list, with their lines counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerRow {
    /// The customer.
    pub customer: Customer,
    /// All lines.
    pub lines: u32,
    /// Lines that are active.
    pub lines_open: u32,
    /// Lines with a session now.
    pub lines_online: u32,
}

/// A value that was entered and cannot be taken: which field, and what to do about it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// The field's name in forms and in the API.
    pub field: &'static str,
    /// What is wrong and how to write it, as a sentence for the person at the form.
    pub reason: &'static str,
}

/// What became of a new customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// They are entered.
    Created(Customer),
    /// Something has to be written differently.
    Invalid(Invalid),
}

/// Why customers cannot be read or written.
#[derive(Debug, Error)]
pub enum CustomerError {
    /// The database refused.
    #[error("customers: {0}")]
    Database(#[from] sqlx::Error),
    /// All account numbers are taken.
    #[error("no account number is left: seven digits are used up")]
    NoAccountNumberLeft,
}

/// Enters a customer and draws the next account number, within the caller's transaction.
///
/// # Errors
/// [`CustomerError`]; the transaction must then be rolled back.
pub async fn create(
    connection: &mut Connection,
    new: NewCustomer,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Created, CustomerError> {
    let name = new.name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARACTERS || !is_one_line(name) {
        let reason = "enter a name of at most 120 characters on one line";
        return Ok(Created::Invalid(Invalid { field: "name", reason }));
    }
    let serial = store::next_serial(connection).await?;
    let account_number = AccountNumber::from_serial(serial).ok_or(CustomerError::NoAccountNumberLeft)?;
    let customer = Customer {
        id: CustomerId::random(ids),
        account_number,
        name: name.to_owned(),
        phone: new.phone,
        created_at: now,
    };
    store::insert(connection, &customer).await?;
    Ok(Created::Created(customer))
}

/// One customer.
///
/// # Errors
/// When the database refuses.
pub async fn get(connection: &mut Connection, id: &CustomerId) -> Result<Option<Customer>, CustomerError> {
    Ok(store::by_id(connection, id).await?)
}

/// The customer that an account number belongs to.
///
/// # Errors
/// When the database refuses.
pub async fn by_account_number(
    connection: &mut Connection,
    number: &AccountNumber,
) -> Result<Option<Customer>, CustomerError> {
    Ok(store::by_account_number(connection, number).await?)
}

/// Customers that fit what somebody typed: an account number or the beginning of one, a phone number in any form or
/// the beginning of one, or a part of a name. Nothing typed lists all. Newest first, page 0 first.
///
/// # Errors
/// When the database refuses.
pub async fn search(
    connection: &mut Connection,
    query: &str,
    page: u32,
) -> Result<Vec<CustomerRow>, CustomerError> {
    let offset = u64::from(page).saturating_mul(u64::from(PAGE_ROWS));
    Ok(store::search(connection, &search::Wanted::parse(query), PAGE_ROWS, offset).await?)
}

#[cfg(test)]
mod tests;
