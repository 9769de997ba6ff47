//! Corrections of booked money: a payment that is another customer's, several customers', or was never paid.
//!
//! ```text
//!   whose it was ──▶ what it bought is taken back ──▶ the payment's entry is mirrored ──▶ booked anew: moved, in parts,
//!                    as far as it is not used up                                          in suspense, or not at all
//! ```
//! Nothing in the ledger is changed: each step is an entry that mirrors another. What a payment bought is taken back with
//! it (`schedule` says how far), and so is what the wallet bought by itself with money that is gone now. What is used up
//! stays sold: then the customer owes, which their page shows, and `write_off` ends. What the lines may do now goes out in
//! the same transaction. `moving` uses the same for what rules took for somebody's.

pub(crate) mod api;
pub(crate) mod pages;
mod schedule;
pub(super) mod store;
pub mod write_off;

use std::collections::BTreeSet;

use tawi_shared::{IdSource, UnixMillis};

use self::schedule::Span;
use super::credit::{self, Owner, TakenIn, Told};
use super::outcome::CallbackOutcome;
use super::store as payments_store;
use super::{Payment, PaymentError, PaymentRow, Provider};
use crate::audit::Actor;
use crate::database::Connection;
use crate::desired::Refreshed;
use crate::ids::{CustomerId, LineId, PaymentId};
use crate::ledger::{self, Account, Entry};
use crate::live::{Hint, Live};
use crate::money::Money;
use crate::{customers, subscriptions};

/// Parts of one payment, at most: a payer who pays for more than a house of flats is rare, and parts can be split again.
pub const PARTS_MOST: usize = 20;

/// Why a payment is no money of anybody's any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It is in parts, which are payments of their own.
    Split,
    /// It was never paid.
    Undone,
    /// It goes back to whoever paid it, or has gone.
    Refunded,
}

impl Closed {
    /// The word in the database and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Undone => "undone",
            Self::Refunded => "refunded",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Split, Self::Undone, Self::Refunded].into_iter().find(|closed| closed.as_str() == text)
    }
}

/// What kind of thing was bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purchased {
    /// A period of a line, which was paid until then before.
    Period {
        /// `None` for a line that had never been paid for.
        paid_until_before: Option<UnixMillis>,
    },
    /// Data on top of a period.
    TopUp {
        /// How much.
        bytes: u64,
    },
}

impl Purchased {
    fn as_str(self) -> &'static str {
        match self {
            Self::Period { .. } => "period",
            Self::TopUp { .. } => "top_up",
        }
    }
}

/// Something that a wallet bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// The cause of its entry in the ledger.
    pub(super) cause_kind: String,
    /// Which one of that kind.
    pub(super) cause_id: String,
    /// The payment whose coming bought it.
    pub payment: Option<PaymentId>,
    /// Out of whose wallet.
    pub customer: CustomerId,
    /// For which line.
    pub line: LineId,
    /// What.
    pub what: Purchased,
    /// As it was called when it was sold.
    pub label: String,
    /// What it cost.
    pub price: Money,
    /// The period that it is, or that it was added to.
    pub period_started_at: UnixMillis,
    /// When that period ends; `None` where it is gone.
    pub period_ends_at: Option<UnixMillis>,
    /// When it was bought.
    pub bought_at: UnixMillis,
    /// When it was taken back.
    pub taken_back_at: Option<UnixMillis>,
}

impl Purchase {
    /// Whether nothing of it is left that could be taken back.
    #[must_use]
    pub fn is_used_up(&self, now: UnixMillis) -> bool {
        self.period_ends_at.is_none_or(|ends_at| ends_at <= now)
    }
}

/// Where a payment goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a customer, for this line of theirs or into their wallet.
    Customer(CustomerId, Option<LineId>),
    /// To nobody: it waits for somebody who knows.
    Suspense,
}

impl Target {
    fn customer(&self) -> Option<&CustomerId> {
        match self {
            Self::Customer(customer, _) => Some(customer),
            Self::Suspense => None,
        }
    }

    fn line(&self) -> Option<&LineId> {
        match self {
            Self::Customer(_, line) => line.as_ref(),
            Self::Suspense => None,
        }
    }
}

/// One part of a payment that is split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whose it is.
    pub to: Target,
    /// How much.
    pub amount: Money,
}

/// Why nothing was corrected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotCorrected {
    /// There is no such payment.
    NoSuchPayment,
    /// It is no money of anybody's any more.
    Closed(Closed),
    /// Some of it goes back to whoever paid it, or has gone.
    InRefund,
    /// It is there already.
    AlreadySo,
    /// There is no such customer.
    NoSuchCustomer,
    /// The line is not that customer's.
    NotTheirs,
    /// The parts are not the whole; so much they are.
    NotTheWhole(Money),
    /// Too few parts, too many, or one that is nothing.
    BadParts,
    /// M-Pesa has the money, so that it was paid.
    WasPaid,
    /// The cash is not with whoever took it any more; so much they hold.
    NotInDrawer(Money),
}

/// What was done.
#[derive(Debug)]
pub struct Corrected {
    /// What was taken back of what it had bought.
    pub taken_back: Vec<Purchase>,
    /// What the customer who had it owes now.
    pub owes: Money,
    /// The payments that hold the money now.
    pub payments: Vec<PaymentId>,
    is_site_to_be_told: bool,
    hints: Vec<Hint>,
}

impl Corrected {
    /// After the commit: the outbox, the open pages.
    pub(super) fn tell(self, live: &Live) {
        if self.is_site_to_be_told {
            live.ring_outbox();
        }
        self.hints.into_iter().for_each(|hint| live.tell(hint));
    }
}

/// What was taken from whoever had a payment.
#[derive(Debug, Default)]
pub(super) struct TakenOut {
    pub(super) taken_back: Vec<Purchase>,
    pub(super) owes: Money,
    pub(super) is_site_to_be_told: bool,
    pub(super) hints: Vec<Hint>,
    /// Tells the entries of this correction from those of earlier ones.
    pub(super) number: i64,
}

/// Notes what a wallet bought, in the transaction of its entry.
///
/// # Errors
/// When the database refuses.
pub(super) async fn note(connection: &mut Connection, bought: &Purchase) -> Result<(), PaymentError> {
    Ok(store::insert(connection, bought).await?)
}

/// What the coming of a payment bought, the newest first; also what is taken back.
///
/// # Errors
/// When the database refuses.
pub async fn bought_by(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<Vec<Purchase>, PaymentError> {
    Ok(store::of_payment(connection, payment).await?)
}

/// The parts of a payment that is split, in their order.
///
/// # Errors
/// When the database refuses.
pub async fn parts_of(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<Vec<PaymentId>, PaymentError> {
    Ok(store::parts_of(connection, payment).await?)
}

/// Gives a payment to another customer, for another line, or to nobody. The row in the audit log is the caller's, here and
/// below.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back, here and below.
pub async fn move_payment(
    connection: &mut Connection,
    (id, to): (&PaymentId, &Target),
    by: &Actor,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<Corrected, NotCorrected>, PaymentError> {
    let payment = match open(connection, id).await? {
        Ok(payment) => payment,
        Err(why) => return Ok(Err(why)),
    };
    if (payment.customer.as_ref(), payment.subscription.as_ref()) == (to.customer(), to.line()) {
        return Ok(Err(NotCorrected::AlreadySo));
    }
    if let Err(why) = is_there(connection, to).await? {
        return Ok(Err(why));
    }
    let actor = by.to_string();
    let out = take_out(connection, &payment, &actor, ids, now).await?;
    store::place(connection, id, (to.customer(), to.line())).await?;
    payments_store::settle_booked(connection, &payment).await?;
    let mut corrected = Corrected::of(out);
    let number = corrected_number(connection, id).await?;
    let moved = Payment { corrections: number, ..payment };
    book_anew(connection, (&moved, to), &actor, &mut corrected, ids, now).await?;
    Ok(Ok(corrected))
}

/// Shares a payment out over several customers. The parts are payments of their own, with receipts of their own.
///
/// # Errors
/// [`PaymentError`].
pub async fn split(
    connection: &mut Connection,
    (id, parts): (&PaymentId, &[Part]),
    by: &Actor,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<Corrected, NotCorrected>, PaymentError> {
    let payment = match open(connection, id).await? {
        Ok(payment) => payment,
        Err(why) => return Ok(Err(why)),
    };
    if let Err(why) = is_whole(payment.amount, parts) {
        return Ok(Err(why));
    }
    for part in parts {
        if let Err(why) = is_there(connection, &part.to).await? {
            return Ok(Err(why));
        }
    }
    let actor = by.to_string();
    let out = take_out(connection, &payment, &actor, ids, now).await?;
    store::close(connection, id, Closed::Split).await?;
    payments_store::settle_booked(connection, &payment).await?;
    let mut corrected = Corrected::of(out);
    for (index, part) in parts.iter().enumerate() {
        let own = PaymentId::random(ids);
        let number = index.saturating_add(1);
        let to = (part.to.customer(), part.to.line());
        store::insert_part(connection, (id, &own), (number, part.amount), to, now).await?;
        payments_store::issue_receipt(connection, &own, now).await?;
        let PaymentRow { payment: own, .. } = super::payment(connection, &own)
            .await?
            .ok_or_else(|| PaymentError::ReceiptVanished(payment.receipt_number.clone()))?;
        book_anew(connection, (&own, &part.to), &actor, &mut corrected, ids, now).await?;
    }
    Ok(Ok(corrected))
}

/// Undoes a booking at the counter: the money never came.
///
/// # Errors
/// [`PaymentError`].
pub async fn undo(
    connection: &mut Connection,
    id: &PaymentId,
    by: &Actor,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<Corrected, NotCorrected>, PaymentError> {
    let payment = match open(connection, id).await? {
        Ok(payment) => payment,
        Err(why) => return Ok(Err(why)),
    };
    match payment.provider {
        Provider::Mpesa => return Ok(Err(NotCorrected::WasPaid)),
        Provider::Cash => {
            let drawer = place_of(connection, &payment).await?;
            let holds = ledger::balance_of(connection, &drawer).await?;
            if holds < payment.amount {
                return Ok(Err(NotCorrected::NotInDrawer(holds)));
            }
        }
        Provider::Bank => {}
    }
    let out = take_out(connection, &payment, &by.to_string(), ids, now).await?;
    store::close(connection, id, Closed::Undone).await?;
    let mut corrected = Corrected::of(out);
    corrected.payments.push(id.clone());
    Ok(Ok(corrected))
}

impl Corrected {
    fn of(out: TakenOut) -> Self {
        let TakenOut { taken_back, owes, is_site_to_be_told, hints, number: _ } = out;
        Self { taken_back, owes, payments: Vec::new(), is_site_to_be_told, hints }
    }

    fn take(&mut self, taken_in: TakenIn) {
        self.is_site_to_be_told |= taken_in.is_site_to_be_told;
        self.hints.extend(taken_in.hints);
        self.payments.extend(taken_in.payment);
    }
}

async fn corrected_number(connection: &mut Connection, id: &PaymentId) -> Result<i64, PaymentError> {
    let row = super::payment(connection, id).await?;
    Ok(row.map_or(0, |row| row.payment.corrections))
}

/// The payment, as long as it is money.
async fn open(
    connection: &mut Connection,
    id: &PaymentId,
) -> Result<Result<Payment, NotCorrected>, PaymentError> {
    let Some(PaymentRow { payment, .. }) = super::payment(connection, id).await? else {
        return Ok(Err(NotCorrected::NoSuchPayment));
    };
    Ok(match payment.closed {
        Some(closed) => Err(NotCorrected::Closed(closed)),
        None if super::refunds::given_back(connection, id).await?.is_positive() => {
            Err(NotCorrected::InRefund)
        }
        None => Ok(payment),
    })
}

/// Whether the parts are a split of the whole.
fn is_whole(whole: Money, parts: &[Part]) -> Result<(), NotCorrected> {
    let is_bad = |part: &Part| !part.amount.is_positive();
    if !(2..=PARTS_MOST).contains(&parts.len()) || parts.iter().any(is_bad) {
        return Err(NotCorrected::BadParts);
    }
    let sum = parts.iter().try_fold(Money::ZERO, |sum, part| sum.checked_add(part.amount));
    match sum.ok_or(NotCorrected::BadParts)? {
        sum if sum == whole => Ok(()),
        sum => Err(NotCorrected::NotTheWhole(sum)),
    }
}

async fn is_there(
    connection: &mut Connection,
    to: &Target,
) -> Result<Result<(), NotCorrected>, PaymentError> {
    let Target::Customer(customer, line) = to else { return Ok(Ok(())) };
    if customers::get(connection, customer).await?.is_none() {
        return Ok(Err(NotCorrected::NoSuchCustomer));
    }
    if let Some(line) = line {
        let line = subscriptions::get(connection, line).await?;
        if line.is_none_or(|line| line.customer != *customer) {
            return Ok(Err(NotCorrected::NotTheirs));
        }
    }
    Ok(Ok(()))
}

/// Where the money of a payment lies, whosever it is.
pub(super) async fn place_of(
    connection: &mut Connection,
    payment: &Payment,
) -> Result<Account, PaymentError> {
    Ok(match payment.provider {
        Provider::Mpesa => Account::MpesaClearing(payment.short_code.clone()),
        Provider::Bank => Account::Bank,
        Provider::Cash => {
            let taker = store::taker_of(connection, &payment.id).await?;
            Account::Cash(taker.ok_or_else(|| PaymentError::ReceiptVanished(payment.receipt_number.clone()))?)
        }
    })
}

pub(super) fn held_by(customer: Option<&CustomerId>) -> Account {
    customer.map_or(Account::Suspense, |customer| Account::Wallet(customer.clone()))
}

/// Takes a payment from whoever has it, with all that it bought and that is not used up. What the wallet bought by itself
/// since goes too, the newest first, as long as the wallet lacks money for it.
pub(super) async fn take_out(
    connection: &mut Connection,
    payment: &Payment,
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenOut, PaymentError> {
    let mut out =
        TakenOut { number: store::count_correction(connection, &payment.id).await?, ..TakenOut::default() };
    if payment.customer.is_some() {
        for bought in store::of_payment(connection, &payment.id).await? {
            give_back(connection, &bought, actor, &mut out, ids, now).await?;
        }
    }
    let accounts = (held_by(payment.customer.as_ref()), place_of(connection, payment).await?);
    let memo = format!("{}, taken back", payment.name());
    let cause = ("payment_reversal", format!("{} {}", payment.id, out.number));
    let entry = Entry::transfer(cause, actor, &memo, accounts, payment.amount)
        .map_err(ledger::LedgerError::Unbalanced)?;
    ledger::book(connection, &entry, ids, now).await?;
    let Some(customer) = &payment.customer else { return Ok(out) };
    for bought in store::unused_from_wallet(connection, customer, payment.booked_at, now).await? {
        if ledger::wallet_of(connection, customer).await? >= Money::ZERO {
            break;
        }
        give_back(connection, &bought, actor, &mut out, ids, now).await?;
    }
    let left = ledger::wallet_of(connection, customer).await?;
    payments_store::note_used(connection, customer, left.max(Money::ZERO)).await?;
    out.owes = left.checked_neg().filter(|owes| owes.is_positive()).unwrap_or(Money::ZERO);
    out.hints.push(Hint::Payment(customer.clone()));
    Ok(out)
}

/// Takes one purchase back, if anything of it is left: its money goes into the wallet that it came from.
async fn give_back(
    connection: &mut Connection,
    bought: &Purchase,
    actor: &str,
    out: &mut TakenOut,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(), PaymentError> {
    let Some(ends_at) = bought.period_ends_at.filter(|_| !bought.is_used_up(now)) else { return Ok(()) };
    if !store::note_taken_back(connection, bought, now).await? {
        return Ok(());
    }
    let refreshed = match bought.what {
        Purchased::Period { paid_until_before } => {
            for top_up in store::top_ups_of(connection, &bought.line, bought.period_started_at).await? {
                store::note_taken_back(connection, &top_up, now).await?;
                money_back(connection, &top_up, actor, ids, now).await?;
                out.taken_back.push(top_up);
            }
            let span = Span { started_at: bought.period_started_at, ends_at };
            let Some(cut) = schedule::cut(span, now) else { return Ok(()) };
            store::cut_period(connection, &bought.line, span, paid_until_before, cut).await?;
            let line = subscriptions::get(connection, &bought.line).await?;
            let until = line.and_then(|line| line.paid_until);
            let until = schedule::paid_until(until, span, paid_until_before, cut);
            subscriptions::set_paid_until(connection, &bought.line, until, now).await?
        }
        Purchased::TopUp { bytes } => {
            store::take_data_back(connection, &bought.line, bought.period_started_at, bytes).await?;
            crate::desired::refresh_line(connection, &bought.line, now)
                .await
                .map_err(subscriptions::SubscriptionError::Desired)?
        }
    };
    out.is_site_to_be_told |= matches!(refreshed, Refreshed::Changed { .. });
    money_back(connection, bought, actor, ids, now).await?;
    out.hints.push(Hint::Line(bought.line.clone()));
    out.taken_back.push(bought.clone());
    Ok(())
}

/// The mirror image of what a purchase booked.
async fn money_back(
    connection: &mut Connection,
    bought: &Purchase,
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(), PaymentError> {
    let cause = ("purchase_reversal", format!("{} {}", bought.cause_kind, bought.cause_id));
    let memo = format!("{}, taken back", bought.label);
    let accounts = (Account::Revenue, Account::Wallet(bought.customer.clone()));
    let entry = Entry::transfer(cause, actor, &memo, accounts, bought.price)
        .map_err(ledger::LedgerError::Unbalanced)?;
    ledger::book(connection, &entry, ids, now).await?;
    Ok(())
}

/// The entry that gives a payment that was taken out to whom it belongs.
pub(super) async fn book_in(
    connection: &mut Connection,
    payment: &Payment,
    customer: Option<&CustomerId>,
    (actor, number): (&str, i64),
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(), PaymentError> {
    let accounts = (place_of(connection, payment).await?, held_by(customer));
    let cause = ("payment_moved", format!("{} {number}", payment.id));
    let entry = Entry::transfer(cause, actor, &payment.name(), accounts, payment.amount)
        .map_err(ledger::LedgerError::Unbalanced)?;
    ledger::book(connection, &entry, ids, now).await?;
    Ok(())
}

/// Books a payment for whom it belongs to, and buys what it is for.
async fn book_anew(
    connection: &mut Connection,
    (payment, to): (&Payment, &Target),
    actor: &str,
    corrected: &mut Corrected,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(), PaymentError> {
    let number = payment.corrections;
    book_in(connection, payment, to.customer(), (actor, number), ids, now).await?;
    let Target::Customer(customer, line) = to else {
        corrected.payments.push(payment.id.clone());
        return Ok(());
    };
    let receipt = payment.number()?;
    let told = Told {
        number: &receipt,
        amount: payment.amount,
        short_code: &payment.short_code,
        phone: &payment.payer,
        account_reference: &payment.account_reference,
        received_at: now,
        moved_at: None,
        source: super::suspense::SOURCE,
        source_id: actor,
        actor,
    };
    let owner = Owner::Customer { customer: customer.clone(), subscription: line.clone(), is_unclear: false };
    let again = format!(" moved {number}");
    let taken_in = credit::fulfil(connection, &told, (payment.id.clone(), &again), &owner, ids, now).await?;
    corrected.take(taken_in);
    Ok(())
}

/// What was taken back, in words for whoever did it. Lines are named once.
#[must_use]
pub fn words(corrected: &Corrected) -> String {
    let labels: BTreeSet<&str> = corrected.taken_back.iter().map(|bought| bought.label.as_str()).collect();
    let mut words = match labels.len() {
        0 => String::new(),
        _ => format!(" Taken back: {}.", labels.into_iter().collect::<Vec<_>>().join(", ")),
    };
    if corrected.owes.is_positive() {
        words.push_str(&format!(
            " What was used up stays sold: the customer who had it owes KES {}.",
            corrected.owes
        ));
    }
    words
}

/// What is said of a rule's correction.
pub(super) fn outcome(out: &TakenOut) -> CallbackOutcome {
    CallbackOutcome::TakenFromAnother { owed: out.owes }
}

#[cfg(test)]
mod tests;
