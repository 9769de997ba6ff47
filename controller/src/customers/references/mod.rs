//! What else a customer may type as account: the number of an invoice, or their account in the system before this one.
//!
//! A reference is looked for where what was typed has letters or is no account number, and before it is read as a phone. Staff or a program
//! that writes invoices enter it beforehand; it is one customer's alone, and words name nobody.

pub mod api;
pub(crate) mod pages;
mod store;

use std::fmt;

use tawi_shared::UnixMillis;
use thiserror::Error;

use super::CustomerError;
use super::account_number::{AccountNumber, NotAnAccountNumber};
use super::phone::Msisdn;
use crate::database::Connection;
use crate::ids::{CustomerId, LineId};

/// M-Pesa takes so many characters as account.
const CHARACTERS: usize = 20;
/// Fewer are typed by chance.
const LEAST: usize = 3;
/// References of one customer, so that nobody's page grows without end: five years of an invoice a month.
pub const MOST: usize = 60;

/// A reference in the form in which it is compared. People write `INV-2026/0012` as `inv 2026 0012`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference(String);

/// Why a text is none.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotAReference {
    /// Too short, too long, or with characters that no phone types.
    #[error("write {LEAST} to {CHARACTERS} characters: letters, digits, and what stands between them")]
    Form,
    /// Words may be anybody's.
    #[error("it needs a digit: words such as names may be typed by others for themselves")]
    NoDigit,
    /// It reads as an account number, right or mistyped.
    #[error("it reads as an account number, and whoever types it may mean that")]
    AccountNumber,
    /// It reads as a phone number.
    #[error("it reads as a phone number: customers are found by their phones anyway")]
    Phone,
}

impl Reference {
    /// Reads what is entered for a customer.
    ///
    /// # Errors
    /// [`NotAReference`] says what to write instead.
    pub fn parse(text: &str) -> Result<Self, NotAReference> {
        let reference = Self::typed(text).ok_or(NotAReference::Form)?;
        if !reference.0.bytes().any(|byte| byte.is_ascii_digit()) {
            return Err(NotAReference::NoDigit);
        }
        // With letters that stand for no digit it is found before an account number is looked for in it.
        let reads_as_digits =
            reference.0.bytes().all(|byte| byte.is_ascii_digit() || b"OILSBZ".contains(&byte));
        if reads_as_digits && AccountNumber::parse(&reference.0) != Err(NotAnAccountNumber::Form) {
            return Err(NotAReference::AccountNumber);
        }
        if Msisdn::parse(text).is_ok() || Msisdn::parse(&reference.0).is_ok() {
            return Err(NotAReference::Phone);
        }
        Ok(reference)
    }

    /// What a payer typed, whatever it is; `None` where it can be no reference.
    #[must_use]
    pub fn typed(text: &str) -> Option<Self> {
        let text = text.trim();
        let between = |c: char| matches!(c, ' ' | '-' | '/' | '.' | '_' | '#' | ':' | '\\' | '(' | ')');
        if text.chars().count() > CHARACTERS
            || text.chars().any(|c| !c.is_ascii_alphanumeric() && !between(c))
        {
            return None;
        }
        let key: String =
            text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        (key.len() >= LEAST).then_some(Self(key))
    }

    /// The form in which it is compared.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A reference of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// The form in which it is compared.
    pub reference: Reference,
    /// As it was entered.
    pub written: String,
    /// The line that it is for; `None` for whichever they pay.
    pub subscription: Option<LineId>,
    /// When it was entered.
    pub created_at: UnixMillis,
}

/// Whose a reference is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Which customer's.
    pub customer: CustomerId,
    /// For which line of theirs, where it is for one.
    pub subscription: Option<LineId>,
}

/// What became of a reference that was entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is theirs, also where it was before.
    Added(Entered),
    /// It is another customer's.
    AnothersAlready,
    /// There is no such customer.
    NoSuchCustomer,
    /// The line is not this customer's.
    NotTheirs,
    /// They have as many as one may have.
    TooMany,
}

/// Enters a reference for a customer, within the caller's transaction. One that is theirs is for the line that is named now.
///
/// # Errors
/// [`CustomerError`]; the transaction must then be rolled back.
pub async fn add(
    connection: &mut Connection,
    (customer, written): (&CustomerId, &str),
    reference: Reference,
    subscription: Option<LineId>,
    now: UnixMillis,
) -> Result<Added, CustomerError> {
    if super::get(connection, customer).await?.is_none() {
        return Ok(Added::NoSuchCustomer);
    }
    if let Some(line) = &subscription
        && !store::is_line_of(connection, line, customer).await?
    {
        return Ok(Added::NotTheirs);
    }
    // Whoever types it may mean the account number that stands in it.
    if let Ok(number) = AccountNumber::parse(written)
        && super::by_account_number(connection, &number).await?.is_some_and(|holder| holder.id != *customer)
    {
        return Ok(Added::AnothersAlready);
    }
    match store::holder(connection, &reference).await? {
        Some(holder) if holder.customer != *customer => return Ok(Added::AnothersAlready),
        Some(_) => {}
        None if store::count_of(connection, customer).await? >= MOST => return Ok(Added::TooMany),
        None => {}
    }
    let entered = Entered { reference, written: written.trim().to_owned(), subscription, created_at: now };
    store::put(connection, customer, &entered).await?;
    Ok(Added::Added(entered))
}

/// Takes a reference away from a customer; false when it was not theirs.
///
/// # Errors
/// When the database refuses.
pub async fn remove(
    connection: &mut Connection,
    customer: &CustomerId,
    reference: &Reference,
) -> Result<bool, CustomerError> {
    Ok(store::remove(connection, customer, reference).await?)
}

/// The references of a customer, the newest first.
///
/// # Errors
/// When the database refuses.
pub async fn of_customer(
    connection: &mut Connection,
    customer: &CustomerId,
) -> Result<Vec<Entered>, CustomerError> {
    Ok(store::of_customer(connection, customer).await?)
}

/// Whose what a payer typed is; `None` where it is no reference of anybody's.
///
/// # Errors
/// When the database refuses.
pub async fn holder_of_typed(
    connection: &mut Connection,
    typed: &str,
) -> Result<Option<Holder>, sqlx::Error> {
    match Reference::typed(typed) {
        Some(reference) => store::holder(connection, &reference).await,
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_one_however_it_is_typed_and_nothing_that_somebody_may_mean_otherwise() {
        let same = ["INV-2026/0012", "inv 2026 0012", " Inv.2026.0012 ", "INV20260012", "#INV-2026-0012"];
        for text in same {
            assert_eq!(Reference::parse(text).unwrap().as_str(), "INV20260012", "{text}");
        }
        let check = |text: &str, why| assert_eq!(Reference::parse(text), Err(why), "{text}");
        check("", NotAReference::Form);
        check("A1", NotAReference::Form);
        check("--1--", NotAReference::Form);
        check("ACC-SINV-2026-00012-2", NotAReference::Form);
        check("Nambari ya 5é", NotAReference::Form);
        check("1'; DROP TABLE x", NotAReference::Form);
        check("Mama Njeri", NotAReference::NoDigit);
        let account = AccountNumber::from_serial(1_000_001).unwrap();
        check(account.as_str(), NotAReference::AccountNumber);
        check("10000015", NotAReference::AccountNumber);
        check("1000-0015", NotAReference::AccountNumber);
        check("0712 345 678", NotAReference::Phone);
        check("254712345678", NotAReference::Phone);
        assert_eq!(Reference::typed("Mama Njeri").unwrap().as_str(), "MAMANJERI", "typed, and found nowhere");
    }
}
