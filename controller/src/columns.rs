//! Typed values out of database rows. Used by the files called `store.rs`, and by nothing else.
//!
//! Ids, account numbers and the like are checked again when they are read: a row that was damaged, or changed by hand,
//! is an error that names its column, not a value that wanders on.

use std::error::Error;
use std::str::FromStr;

use sqlx::Row as _;
use tawi_shared::{Bandwidth, UnixMillis};

use crate::database::Row;
use crate::money::Money;

fn bad(column: &str, source: impl Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(source) }
}

/// A text that has a form: an id, an account number, a phone number.
///
/// # Errors
/// When the column is missing or holds something else.
pub fn parsed<T>(row: &Row, column: &str) -> Result<T, sqlx::Error>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    row.try_get::<String, _>(column)?.parse().map_err(|error| bad(column, error))
}

/// The same for a column that may be NULL.
///
/// # Errors
/// When the column is missing or holds something else.
pub fn parsed_or_none<T>(row: &Row, column: &str) -> Result<Option<T>, sqlx::Error>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| text.parse().map_err(|error| bad(column, error))).transpose()
}

/// A word of a closed list, read by `parse`.
///
/// # Errors
/// When the column is missing or holds a word that is not on the list.
pub fn word<T>(row: &Row, column: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, sqlx::Error> {
    let text: String = row.try_get(column)?;
    parse(&text).ok_or_else(|| bad(column, UnknownWord(text)))
}

/// A word that this release never writes.
#[derive(Debug, thiserror::Error)]
#[error("unknown word {0:?}")]
struct UnknownWord(String);

/// An instant.
///
/// # Errors
/// When the column is missing or no number.
pub fn instant(row: &Row, column: &str) -> Result<UnixMillis, sqlx::Error> {
    row.try_get(column).map(UnixMillis)
}

/// An instant that may not have come yet.
///
/// # Errors
/// When the column is missing or no number.
pub fn instant_or_none(row: &Row, column: &str) -> Result<Option<UnixMillis>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(UnixMillis))
}

/// An amount in cents.
///
/// # Errors
/// When the column is missing or no number.
pub fn money(row: &Row, column: &str) -> Result<Money, sqlx::Error> {
    row.try_get(column).map(Money::from_cents)
}

/// A truth stored as 0 or 1.
///
/// # Errors
/// When the column is missing or no number.
pub fn truth(row: &Row, column: &str) -> Result<bool, sqlx::Error> {
    Ok(row.try_get::<i64, _>(column)? != 0)
}

/// A number that is never negative.
///
/// # Errors
/// When the column is missing, no number, negative or too large.
pub fn unsigned<T: TryFrom<i64>>(row: &Row, column: &str) -> Result<T, sqlx::Error>
where
    T::Error: Error + Send + Sync + 'static,
{
    T::try_from(row.try_get::<i64, _>(column)?).map_err(|error| bad(column, error))
}

/// A speed.
///
/// # Errors
/// When the column is missing, no number or negative.
pub fn bandwidth(row: &Row, column: &str) -> Result<Bandwidth, sqlx::Error> {
    unsigned(row, column).map(Bandwidth::from_bits_per_second)
}

/// An unsigned number as the database stores it; the largest one for what does not fit, which no real value reaches.
#[must_use]
pub fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
