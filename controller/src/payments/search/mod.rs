//! Finding payments: by what somebody has in hand, and by how far they have come. Pure.
//!
//! Every field narrows; an empty one does not. A receipt, an account number or the number of our own receipt is looked up
//! whole, because a part of one is another payment's as well. Whose phone paid is not looked for here: numbers of people do
//! not belong into addresses, which browsers and proxies keep.

pub(crate) mod pages;

use std::time::Duration;

use serde::Deserialize;
use tawi_shared::UnixMillis;

use super::{PaymentRow, Provider};
use crate::customers::account_number::AccountNumber;
use crate::ids::PaymentId;
use crate::web::display;

/// The longest text that is looked for, in characters: a bank's reference as a slip writes it.
const TEXT_CHARACTERS: usize = 64;
/// How long a day is.
const DAY: Duration = Duration::from_secs(86_400);

/// What was typed into the form, or stands behind the `?`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// A receipt of M-Pesa, a bank's reference, an account number, or the number of our receipt.
    pub text: String,
    /// `mpesa`, `cash` or `bank`.
    pub provider: String,
    /// `connected`, `waiting`, `wallet` or `nobodys`.
    pub standing: String,
    /// A day in Nairobi, such as `2026-11-26`: from its beginning on.
    pub from: String,
    /// The same: up to its end.
    pub until: String,
    /// The last payment on the page before.
    pub before: String,
}

/// How far a payment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its line was read back from the router.
    Connected,
    /// It bought something, and the router has not been read back.
    Waiting,
    /// It bought nothing yet.
    Wallet,
    /// Nobody knows whose it is.
    Nobodys,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Connected, Self::Waiting, Self::Wallet, Self::Nobodys];

    /// The word behind the `?`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Waiting => "waiting",
            Self::Wallet => "wallet",
            Self::Nobodys => "nobodys",
        }
    }

    /// The words for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Connected => "on the router",
            Self::Waiting => "paid, not on the router",
            Self::Wallet => "in the wallet",
            Self::Nobodys => "nobody’s",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == text)
    }
}

/// What somebody has in hand, in every way that it may be meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// As a receipt number or reference, in capitals, without what people put between.
    pub receipt: String,
    /// As an account number; empty where it is none.
    pub account: String,
    /// As the number of our receipt; `None` where it is none.
    pub serial: Option<i64>,
}

/// What to look for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// With this in hand.
    pub text: Option<Text>,
    /// That came so.
    pub provider: Option<Provider>,
    /// That came so far.
    pub standing: Option<Standing>,
    /// Received from then on.
    pub from: Option<UnixMillis>,
    /// Received before then.
    pub until: Option<UnixMillis>,
    /// After this one in the list: when it was received, and which it is.
    pub after: Option<(UnixMillis, PaymentId)>,
}

/// A field that cannot be read, and how to write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Which.
    pub field: &'static str,
    /// How to write it.
    pub reason: &'static str,
}

impl Asked {
    /// Reads what was typed.
    ///
    /// # Errors
    /// The first field that cannot be read.
    pub fn read(&self) -> Result<Search, Unreadable> {
        let refuse = |field, reason| Unreadable { field, reason };
        let day = |field, text: &str| match text.trim() {
            "" => Ok(None),
            text => display::local(&format!("{text}T00:00"))
                .map(Some)
                .ok_or(refuse(field, "write a day, such as 2026-11-26")),
        };
        let provider =
            word(&self.provider, Provider::parse).ok_or(refuse("provider", "use mpesa, cash or bank"))?;
        let standing = word(&self.standing, Standing::parse)
            .ok_or(refuse("standing", "use connected, waiting, wallet or nobodys"))?;
        let until = day("until", &self.until)?.map(|begins| begins.plus(DAY));
        let after = match self.before.trim() {
            "" => None,
            text => Some(cursor(text).ok_or(refuse("before", "begin again with the first page"))?),
        };
        Ok(Search {
            text: text(&self.text),
            provider,
            standing,
            from: day("from", &self.from)?,
            until,
            after,
        })
    }
}

/// Reads a word of a list; nothing typed is nothing wanted, and an unknown word is refused with `None`.
fn word<T>(text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    match text.trim() {
        "" => Some(None),
        text => parse(text).map(Some),
    }
}

/// Everything that the text may mean; `None` for no text.
fn text(typed: &str) -> Option<Text> {
    let typed: String = typed.trim().chars().take(TEXT_CHARACTERS).collect();
    if typed.is_empty() {
        return None;
    }
    let receipt: String = typed.chars().filter(char::is_ascii_alphanumeric).collect();
    Some(Text {
        receipt: receipt.to_ascii_uppercase(),
        account: AccountNumber::parse(&typed).map(|number| number.to_string()).unwrap_or_default(),
        serial: typed.trim_start_matches('#').trim().parse().ok(),
    })
}

/// The place of a payment in the list.
#[must_use]
pub fn place_of(row: &PaymentRow) -> String {
    format!("{}-{}", row.payment.received_at.0, row.payment.id)
}

fn cursor(text: &str) -> Option<(UnixMillis, PaymentId)> {
    let (at, id) = text.split_once('-')?;
    Some((UnixMillis(at.parse().ok()?), PaymentId::parse(id).ok()?))
}

#[cfg(test)]
mod tests;
