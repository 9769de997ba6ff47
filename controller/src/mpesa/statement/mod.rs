//! The organisation portal's statement, taken in from its CSV export: the only thing that still knows of a payment of which
//! no report came and which is too old for Pull, and the only one that tells of charges and of money sent to the bank.
//!
//! ```text
//!   file ──▶ row ──┬─ a payment to us ──▶ incoming (the same as for a confirmation)
//!                  ├─ a charge ─────────▶ ledger: M-Pesa charges, out of what Safaricom holds
//!                  ├─ to the bank ──────▶ ledger: bank, out of what Safaricom holds
//!                  └─ anything else ────▶ a person
//! ```
//! What a file says is `file` and `row`, what it adds up to is `summary`: all pure. `import` does it. It never books what it
//! does not know the kind of, and never drops a row with money. Taking a file in twice changes nothing.

pub(crate) mod api;
pub(crate) mod file;
mod import;
pub(crate) mod pages;
mod row;
mod store;
mod summary;

pub use file::{FILE_BYTES, File, NotAStatement};
pub(crate) use import::SOURCE;
pub use import::{BESIDE_A_SERVER, ImportError, Order, check, import};
pub use summary::{Balances, Summary};

use thiserror::Error;

use super::MpesaSettings;

/// Why it cannot be said whose statement it is.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotOurs {
    /// Not 5 to 7 digits.
    #[error("{0:?} is no short code: write its 5 to 7 digits")]
    NoShortCode(String),
    /// The file names another one than was said.
    #[error(
        "the file is the statement of {file}, and {asked} was said: choose the other file, or say {file}"
    )]
    AnotherThanAsked {
        /// What the file says.
        file: String,
        /// What was said.
        asked: String,
    },
    /// The file names another one than that of the settings.
    #[error(
        "the file is the statement of {file}, and this controller has {ours}: export the statement of {ours}; \
         should {file} be yours as well: tawi-controller mpesa import-statement --short-code {file}"
    )]
    Another {
        /// What the file says.
        file: String,
        /// What the settings say.
        ours: String,
    },
    /// It may be of any of several.
    #[error("the file does not say whose statement it is: say which short code it is of: {0}")]
    Several(String),
    /// Nothing says whose it is.
    #[error(
        "nothing says whose statement it is: fill in [mpesa] in the settings, or say which short code it is of with \
         tawi-controller mpesa import-statement --short-code"
    )]
    Unknown,
}

/// Whose statement it is, by what the file says, what somebody said, and the settings.
///
/// # Errors
/// [`NotOurs`] says what to do about it.
pub fn short_code_of(
    file: Option<&str>,
    asked: Option<&str>,
    ours: &[&MpesaSettings],
) -> Result<String, NotOurs> {
    // A till is booked under its head office, as everything else that tells of its payments has it.
    let of = |code: &str| ours.iter().find(|settings| settings.is_called(code));
    let booked_under = |code: &str| of(code).map_or(code, |settings| settings.short_code()).to_owned();
    if let Some(asked) = asked {
        if !(5..=7).contains(&asked.len()) || !asked.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotOurs::NoShortCode(asked.chars().take(20).collect()));
        }
        return match file {
            Some(file) if booked_under(file) != booked_under(asked) => {
                Err(NotOurs::AnotherThanAsked { file: file.to_owned(), asked: asked.to_owned() })
            }
            _ => Ok(booked_under(asked)),
        };
    }
    let listed = || ours.iter().map(|settings| settings.short_code()).collect::<Vec<_>>().join(", ");
    match (file, ours) {
        (_, []) => Err(NotOurs::Unknown),
        (Some(file), _) if ours.iter().any(|settings| settings.payout_short_code() == Some(file)) => {
            Ok(file.to_owned())
        }
        (Some(file), _) if of(file).is_none() => {
            Err(NotOurs::Another { file: file.to_owned(), ours: listed() })
        }
        (Some(file), _) => Ok(booked_under(file)),
        (None, [only]) if only.payout_short_code().is_none() => Ok(only.short_code().to_owned()),
        (None, _) => Err(NotOurs::Several(listed())),
    }
}

#[cfg(test)]
mod tests;
