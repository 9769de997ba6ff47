//! Money that people bring: cash over the counter, and transfers that the bank's statement shows.
//!
//! Such money is booked as any payment is, and buys what any payment buys; the trace to the router is the same. What is
//! different is who vouches for it: a person, within the limits of their role (`limits`). Cash stands under the name of
//! whoever took it until an owner says that it is at the bank.

pub(crate) mod api;
pub mod limits;
pub(crate) mod pages;
pub(in crate::payments) mod placing;
pub(super) mod store;

use std::time::Duration;

use tawi_shared::{IdSource, UnixMillis};

use super::credit::{self, Owner, TakenIn, Told};
use super::{PaymentError, Provider};
use crate::audit::Actor;
use crate::customers::Customer;
use crate::database::Connection;
use crate::ids::{CustomerId, LineId, PaymentId};
use crate::ledger::{self, Account, Booked, Entry};
use crate::live::Live;
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::usage::history::day_of;
use crate::{customers, subscriptions};
pub use limits::{Clerk, Limits, OverLimit, OverPlaced};

/// How long the same amount of cash of the same customer may be the same cash: as long as M-Pesa takes no second payment.
const PERHAPS_THE_SAME: Duration = Duration::from_secs(120);
/// The longest note, in characters.
pub const NOTE_CHARACTERS: usize = 200;

/// How it was paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// In cash. The occasion tells one payment from another: a form that is sent twice is one.
    Cash {
        /// Made anew for each form, or the sender's key of a write.
        occasion: ReceiptNumber,
    },
    /// By a transfer to our account.
    Bank {
        /// The bank's reference: it is taken once.
        reference: ReceiptNumber,
    },
}

impl Means {
    /// Who or what took it in.
    #[must_use]
    pub fn provider(&self) -> Provider {
        match self {
            Self::Cash { .. } => Provider::Cash,
            Self::Bank { .. } => Provider::Bank,
        }
    }

    fn number(&self) -> &ReceiptNumber {
        match self {
            Self::Cash { occasion } => occasion,
            Self::Bank { reference } => reference,
        }
    }

    fn memo(&self) -> String {
        match self {
            Self::Cash { .. } => "Cash".to_owned(),
            Self::Bank { reference } => format!("Bank {reference}"),
        }
    }
}

/// Reads a bank's reference: its letters and digits, whatever a person put between them.
#[must_use]
pub fn read_reference(text: &str) -> Option<ReceiptNumber> {
    let kept: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '/' | '.' | '_')).collect();
    ReceiptNumber::parse(&kept)
}

/// What was brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// By or for whom.
    pub customer: CustomerId,
    /// For which of their lines; `None` leaves it in the wallet.
    pub subscription: Option<LineId>,
    /// How much.
    pub amount: Money,
    /// How.
    pub means: Means,
    /// Whatever else is worth knowing.
    pub note: String,
    /// Whether somebody says that it is another payment than the same amount a moment ago.
    pub is_another: bool,
}

/// Why it was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It is nothing, or less.
    NoAmount,
    /// The note is too long.
    LongNote,
    /// There is no such customer.
    NoSuchCustomer,
    /// The subscription is not that customer's.
    NotTheirs,
    /// It is more than this person may take.
    OverLimit(OverLimit),
    /// The same form, or the same transfer, is booked.
    AlreadyTaken(PaymentId),
    /// As much cash was taken of the same customer a moment ago: it may be the same, whose answer was lost.
    PerhapsTaken(PaymentId),
}

/// It is booked.
#[derive(Debug)]
pub struct Received {
    /// As which payment.
    pub payment: PaymentId,
    /// Whether it bought something; otherwise it lies in the wallet.
    pub has_bought: bool,
    taken_in: TakenIn,
}

impl Received {
    /// After the commit: the outbox, the open pages.
    pub(super) fn tell(self, live: &Live) {
        if self.taken_in.is_site_to_be_told {
            live.ring_outbox();
        }
        self.taken_in.hints.into_iter().for_each(|hint| live.tell(hint));
    }
}

/// Books what was brought, and buys what it is for. The row in the audit log is the caller's.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back.
pub async fn take(
    connection: &mut Connection,
    brought: &Brought,
    taker: Clerk<'_>,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<Received, NotTaken>, PaymentError> {
    let by = taker.actor.to_string();
    // Looked for first: whoever sends a form again is told what became of it, whatever has changed since.
    if let Some(before) = store::payment_of(connection, &brought.means).await? {
        return Ok(Err(NotTaken::AlreadyTaken(before)));
    }
    let customer = match permitted(connection, brought, &taker, now).await? {
        Ok(customer) => customer,
        Err(why) => return Ok(Err(why)),
    };
    let id = PaymentId::random(ids);
    store::insert(connection, &id, (brought, &customer), &by, now).await?;
    let into = match brought.means {
        Means::Cash { .. } => Account::Cash(by.clone()),
        Means::Bank { .. } => Account::Bank,
    };
    let accounts = (into, Account::Wallet(customer.id.clone()));
    let memo = brought.means.memo();
    let entry = Entry::transfer(("payment", id.to_string()), &by, &memo, accounts, brought.amount)
        .map_err(ledger::LedgerError::Unbalanced)?;
    ledger::book(connection, &entry, ids, now).await?;
    let told = Told {
        number: brought.means.number(),
        amount: brought.amount,
        short_code: "",
        phone: "",
        account_reference: "",
        received_at: now,
        moved_at: None,
        source: brought.means.provider().as_str(),
        source_id: &by,
        actor: &by,
    };
    let owner = Owner::Customer {
        customer: customer.id,
        subscription: brought.subscription.clone(),
        is_unclear: false,
    };
    let taken_in = credit::fulfil(connection, &told, (id.clone(), ""), &owner, ids, now).await?;
    let after = super::payment(connection, &id).await?;
    let has_bought = after.is_some_and(|row| row.payment.is_spent());
    Ok(Ok(Received { payment: id, has_bought, taken_in }))
}

async fn permitted(
    connection: &mut Connection,
    brought: &Brought,
    taker: &Clerk<'_>,
    now: UnixMillis,
) -> Result<Result<Customer, NotTaken>, PaymentError> {
    if !brought.amount.is_positive() {
        return Ok(Err(NotTaken::NoAmount));
    }
    if brought.note.chars().count() > NOTE_CHARACTERS {
        return Ok(Err(NotTaken::LongNote));
    }
    let names = same_person(taker.actor);
    let today = store::taken_since(connection, &names, day_of(now)).await?;
    if let Err(over) = taker.limits.allow(taker.role, brought.amount, today) {
        return Ok(Err(NotTaken::OverLimit(over)));
    }
    let Some(customer) = customers::get(connection, &brought.customer).await? else {
        return Ok(Err(NotTaken::NoSuchCustomer));
    };
    if let Some(line) = &brought.subscription {
        let line = subscriptions::get(connection, line).await?;
        if line.is_none_or(|line| line.customer != customer.id) {
            return Ok(Err(NotTaken::NotTheirs));
        }
    }
    if let (Means::Cash { .. }, false) = (&brought.means, brought.is_another) {
        let since = now.minus(PERHAPS_THE_SAME);
        if let Some(before) = store::same_cash_since(connection, brought, since).await? {
            return Ok(Err(NotTaken::PerhapsTaken(before)));
        }
    }
    Ok(Ok(customer))
}

/// The names under which one person acts: signed in, by a token that has their login as its name, and at a shell.
pub(super) fn same_person(actor: &Actor) -> [String; 3] {
    let actor = actor.to_string();
    let name = actor.split_once(':').map_or(&*actor, |(_, name)| name);
    [format!("staff:{name}"), format!("token:{name}"), format!("cli:{name}")]
}

/// What a person holds of the cash that they took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawer {
    /// Who, as the audit log writes it.
    pub holder: String,
    /// How much.
    pub holds: Money,
}

/// Who holds how much cash, the most first. Those who hold none are left out.
///
/// # Errors
/// When the database refuses.
pub async fn drawers(connection: &mut Connection) -> Result<Vec<Drawer>, PaymentError> {
    Ok(store::drawers(connection).await?)
}

/// Cash on its way to the bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Banking {
    /// Who held it.
    pub holder: String,
    /// How much.
    pub amount: Money,
    /// The bank's slip: it is taken once.
    pub slip: ReceiptNumber,
}

/// Why it was not booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBanked {
    /// It is nothing, or less.
    NoAmount,
    /// They hold less.
    MoreThanHeld {
        /// So much.
        holds: Money,
    },
    /// The slip was booked before.
    AlreadyBanked,
}

/// Books that cash is at the bank. The row in the audit log is the caller's.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back.
pub async fn bank(
    connection: &mut Connection,
    banking: &Banking,
    by: &Actor,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<(), NotBanked>, PaymentError> {
    if !banking.amount.is_positive() {
        return Ok(Err(NotBanked::NoAmount));
    }
    let by = by.to_string();
    let drawer = Account::Cash(banking.holder.clone());
    let holds = ledger::balance_of(connection, &drawer).await?;
    let cause = ("banked", banking.slip.to_string());
    if ledger::is_booked(connection, (cause.0, &cause.1)).await? {
        return Ok(Err(NotBanked::AlreadyBanked));
    }
    if banking.amount > holds {
        return Ok(Err(NotBanked::MoreThanHeld { holds }));
    }
    let memo = format!("Slip {}", banking.slip);
    let entry = Entry::transfer(cause, &by, &memo, (Account::Bank, drawer), banking.amount)
        .map_err(ledger::LedgerError::Unbalanced)?;
    match ledger::book(connection, &entry, ids, now).await? {
        Booked::Booked(_) => Ok(Ok(())),
        Booked::AlreadyBooked => Ok(Err(NotBanked::AlreadyBanked)),
    }
}

#[cfg(test)]
mod tests;
