//! Money that a statement tells of and no rule books: an owner says what it was, and it is booked.
//!
//! A withdrawal of an unknown kind is an expense, is at the bank, or is a refund whose own receipt nobody knew; what came in is an expense that came back, or is from the
//! bank. A payment of a customer is neither: it is taken in as one (`mpesa::statement`). A row is booked once, by the day on
//! which M-Pesa moved it, and only where its money is booked nowhere else.

use tawi_shared::{IdSource, UnixMillis};

use super::store;
use crate::audit::{self, Action, Actor};
use crate::database::Connection;
use crate::ledger::{self, Account, Booked, Entry};
use crate::money::Money;
use crate::payments::{PaymentError, refunds};

/// The kind of cause of such an entry; the cause is the SHA-256 of the row.
const CAUSE: &str = "statement_row";
/// And of the one that takes it back.
const TAKEN_BACK: &str = "statement_row_taken_back";
/// The longest note, in characters.
pub const NOTE_CHARACTERS: usize = 200;

/// What the money was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookedAs {
    /// Paid for something, or such money that came back.
    Expense,
    /// Sent to our bank account, or come from it.
    Bank,
    /// What was given back: the refund that no statement told of yet. It is in the ledger already.
    Refund,
}

impl BookedAs {
    /// The word in the database, in forms and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expense => "expense",
            Self::Bank => "bank",
            Self::Refund => "refund",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Expense, Self::Bank, Self::Refund].into_iter().find(|what| what.as_str() == text)
    }

    /// Where its money went; `None` where that is booked.
    fn account(self) -> Option<Account> {
        match self {
            Self::Expense => Some(Account::Expenses),
            Self::Bank => Some(Account::Bank),
            Self::Refund => None,
        }
    }
}

/// A row that may be booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookable {
    /// Out of which short code, or into it.
    pub short_code: String,
    /// M-Pesa's receipt number; empty where none is understood.
    pub receipt: String,
    /// Above zero came in.
    pub amount: Money,
    /// When M-Pesa moved it.
    pub moved_at: UnixMillis,
    /// Why no rule books it.
    pub reason: String,
}

/// Why a row is not booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotBooked {
    /// There is no such row.
    NoSuchRow,
    /// Nobody knows how much it moved, or it moved nothing.
    NoMoney,
    /// It was settled as this.
    AlreadyBooked(String),
    /// Its money is booked: as a payment or a charge, or another row takes it back.
    BookedElsewhere,
    /// It may be a refund of ours of as much, which no statement told of yet.
    MayBeRefund {
        /// Whether that has gone, so that the row can be said to be it.
        is_done: bool,
    },
    /// No refund of as much has gone of which no statement told.
    NoSuchRefund,
    /// The note is missing, or too long.
    BadNote,
}

/// A row as it may be booked.
///
/// # Errors
/// When the database refuses.
pub async fn bookable(
    connection: &mut Connection,
    digest: &str,
) -> Result<Result<Bookable, NotBooked>, PaymentError> {
    let Some(row) = store::row_to_book(connection, digest).await? else {
        return Ok(Err(NotBooked::NoSuchRow));
    };
    if !row.settled_as.is_empty() {
        return Ok(Err(NotBooked::AlreadyBooked(row.settled_as)));
    }
    let Some(amount) = row.amount.filter(|amount| *amount != Money::ZERO) else {
        return Ok(Err(NotBooked::NoMoney));
    };
    if !row.is_nowhere_booked {
        return Ok(Err(NotBooked::BookedElsewhere));
    }
    let (short_code, receipt, reason) = (row.short_code, row.receipt, row.reason);
    Ok(Ok(Bookable { short_code, receipt, amount, moved_at: row.moved_at, reason }))
}

/// Books what a row moved, with its row in the audit log.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back.
pub async fn book(
    connection: &mut Connection,
    (digest, what, note): (&str, BookedAs, &str),
    by: &Actor,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<Bookable, NotBooked>, PaymentError> {
    let note = note.trim();
    let row = match bookable(connection, digest).await? {
        Ok(row) => row,
        Err(why) => return Ok(Err(why)),
    };
    if !(1..=NOTE_CHARACTERS).contains(&note.chars().count()) {
        return Ok(Err(NotBooked::BadNote));
    }
    let actor = by.to_string();
    let at_mpesa = Account::MpesaClearing(row.short_code.clone());
    let came = row.amount.is_positive();
    let amount = if came { Some(row.amount) } else { row.amount.checked_neg() };
    let Some(amount) = amount else { return Ok(Err(NotBooked::NoMoney)) };
    let refund = match came {
        true => None,
        false => store::refund_not_stated(connection, &row.short_code, amount).await?,
    };
    let account = match (what.account(), refund) {
        (None, Some((refund, true))) => {
            refunds::note_stated(connection, &refund, Some(row.moved_at)).await?;
            settle(connection, (digest, what, note), &row, by, (ids, now)).await?;
            return Ok(Ok(row));
        }
        (None, _) => return Ok(Err(NotBooked::NoSuchRefund)),
        // Booked as anything else its money would be gone twice.
        (Some(_), Some((_, is_done))) => return Ok(Err(NotBooked::MayBeRefund { is_done })),
        (Some(account), None) => account,
    };
    let accounts = if came { (at_mpesa, account) } else { (account, at_mpesa) };
    let memo = format!("{} {note}", row.receipt);
    let cause = (CAUSE, digest.to_owned());
    let entry = Entry::transfer(cause, &actor, memo.trim(), accounts, amount)
        .map_err(ledger::LedgerError::Unbalanced)?;
    if ledger::book(connection, &entry, ids, now).await? == Booked::AlreadyBooked {
        return Ok(Err(NotBooked::AlreadyBooked(what.as_str().to_owned())));
    }
    settle(connection, (digest, what, note), &row, by, (ids, now)).await?;
    Ok(Ok(row))
}

/// A row that a person booked as something else is a refund that is booked now: what they booked is taken back, so that its money
/// left once.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back.
pub(in crate::payments) async fn take_back(
    connection: &mut Connection,
    (digest, booked_as): (&str, BookedAs),
    (short_code, amount): (&str, Money),
    actor: &str,
    (ids, now): (&IdSource, UnixMillis),
) -> Result<(), PaymentError> {
    let Some(account) = booked_as.account() else { return Ok(()) };
    let accounts = (Account::MpesaClearing(short_code.to_owned()), account);
    let cause = (TAKEN_BACK, digest.to_owned());
    let memo = "it was a refund, which is booked as that";
    let entry =
        Entry::transfer(cause, actor, memo, accounts, amount).map_err(ledger::LedgerError::Unbalanced)?;
    ledger::book(connection, &entry, ids, now).await?;
    Ok(())
}

/// Notes what a row is, and who said so.
async fn settle(
    connection: &mut Connection,
    (digest, what, note): (&str, BookedAs, &str),
    row: &Bookable,
    by: &Actor,
    (ids, now): (&IdSource, UnixMillis),
) -> Result<(), PaymentError> {
    store::settle_row(connection, digest, what.as_str(), (&by.to_string(), now)).await?;
    let detail = format!("{}, KES {}, as {}: {note}", row.receipt, row.amount, what.as_str());
    audit::record(connection, by, (Action::StatementRowBooked, digest, &detail), ids, now).await?;
    Ok(())
}
