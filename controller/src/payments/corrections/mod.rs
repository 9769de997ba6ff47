//! Corrections of booked money: a payment that is another customer's, several customers', or was never paid.
//!
//! ```text
//!   whose it was ──▶ the payment's entry is mirrored ──▶ booked anew: moved, in parts, ──▶ what it bought is taken back,
//!                                                        in suspense, or not at all         as far as it is not used
//! ```
//! Nothing in the ledger is changed: each step is an entry that mirrors another. What a payment bought goes with it, and so
//! does what the wallet bought by itself with money that is gone now (`taking_back`); who keeps it for the same line keeps
//! what it bought. Where somebody comes to owe something their page shows it, and `write_off` ends it. What the lines may do
//! now goes out in the same transaction. `moving` uses the same for what rules took for somebody's.

pub(crate) mod api;
pub(crate) mod pages;
pub(in crate::payments) mod schedule;
pub(super) mod store;
mod taking_back;
pub mod write_off;

use std::collections::BTreeSet;

use tawi_shared::{IdSource, UnixMillis};

pub(super) use self::taking_back::{Kept, TakenBack, kept_by, take_back, take_out};
use self::write_off::Over;
use super::counter::Clerk;
use super::credit::{self, Owner, TakenIn, Told};
use super::outcome::CallbackOutcome;
use super::store as payments_store;
use super::{Payment, PaymentError, PaymentRow, Provider};
use crate::audit::Actor;
use crate::database::{Connection, Together};
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
    /// Whether its site has not heard of it, so that nothing of it is used.
    pub is_waiting: bool,
    /// When it was bought.
    pub bought_at: UnixMillis,
    /// When it was taken back.
    pub taken_back_at: Option<UnixMillis>,
}

impl Purchase {
    /// Whether nothing of it is left that could be taken back.
    #[must_use]
    pub fn is_used_up(&self, now: UnixMillis) -> bool {
        self.period_ends_at.is_none_or(|ends_at| ends_at <= now && !self.is_waiting)
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
    /// What was used of it is written off, which is more than this person may write off today.
    OverWriteOff {
        /// The limit of a day.
        most: Money,
        /// What they wrote off today.
        written_off: Money,
    },
}

/// What was done.
#[derive(Debug)]
pub struct Corrected {
    /// What was taken back of what it had bought.
    pub taken_back: Vec<Purchase>,
    /// What was written off of time that was used with another's money.
    pub written_off: Money,
    /// What the customer who had it owes now.
    pub owes: Money,
    /// The payments that hold the money now.
    pub payments: Vec<PaymentId>,
    /// For the audit log: which receipt, how much, from whom, to whom.
    pub in_words: String,
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

/// Notes what a wallet bought, in the transaction of its entry.
pub(super) fn note(together: &mut Together, bought: &Purchase) {
    store::add(together, bought);
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
/// [`PaymentError`]; the transaction must then be rolled back, also where it is [`NotCorrected`], here and below.
pub async fn move_payment(
    connection: &mut Connection,
    (id, to): (&PaymentId, &Target),
    by: Clerk<'_>,
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
    let actor = by.actor.to_string();
    let out = take_out(connection, &payment, &actor, ids, now).await?;
    store::place(connection, id, (to.customer(), to.line())).await?;
    payments_store::settle_booked(connection, &payment).await?;
    book_in(connection, &payment, to.customer(), (&actor, out.number), ids, now).await?;
    let kept = kept_by(&payment, to.customer());
    let back = take_back(connection, (&payment, out), kept, &actor, ids, now).await?;
    if let Some(why) = over_write_off(connection, &back, by, now).await? {
        return Ok(Err(why));
    }
    let mut corrected = Corrected::of(back).from(&payment, name_of(to.customer()));
    let moved = Payment { corrections: out.number, ..payment };
    put_to_use(connection, (&moved, to), &actor, &mut corrected, ids, now).await?;
    Ok(Ok(corrected))
}

/// Shares a payment out over several customers. The parts are payments of their own, with receipts of their own.
///
/// # Errors
/// [`PaymentError`].
pub async fn split(
    connection: &mut Connection,
    (id, parts): (&PaymentId, &[Part]),
    by: Clerk<'_>,
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
    let actor = by.actor.to_string();
    let out = take_out(connection, &payment, &actor, ids, now).await?;
    store::close(connection, id, Closed::Split).await?;
    payments_store::settle_booked(connection, &payment).await?;
    let parts = book_parts(connection, &payment, parts, &actor, ids, now).await?;
    let is_theirs = |part: &(Payment, Target)| part.1.customer() == payment.customer.as_ref();
    let amount = parts
        .iter()
        .filter(|part| is_theirs(part))
        .try_fold(Money::ZERO, |sum, (own, _)| sum.checked_add(own.amount))
        .unwrap_or(payment.amount);
    // Who pays for the same line as before has paid for it all along.
    let same = parts.iter().find(|part| is_theirs(part) && part.1.line() == payment.subscription.as_ref());
    let line = same.and_then(|(own, to)| Some((to.line()?, &own.id)));
    let kept = Kept { amount: Some(amount), line };
    let back = take_back(connection, (&payment, out), kept, &actor, ids, now).await?;
    if let Some(why) = over_write_off(connection, &back, by, now).await? {
        return Ok(Err(why));
    }
    let still = line.filter(|_| back.is_line_kept).map(|(_, own)| own.clone());
    let shares = parts.iter().map(|(own, to)| format!("KES {}: {}", own.amount, name_of(to.customer())));
    let mut corrected = Corrected::of(back).from(&payment, &shares.collect::<Vec<_>>().join(", "));
    for (own, to) in &parts {
        if still.as_ref() == Some(&own.id) {
            corrected.payments.push(own.id.clone());
        } else {
            put_to_use(connection, (own, to), &actor, &mut corrected, ids, now).await?;
        }
    }
    Ok(Ok(corrected))
}

/// Whether what was just written off is more than somebody may write off in a day. Without that, whoever may correct could
/// let a line run for nothing: by giving its payment to nobody as its period ends, and back for the next one.
async fn over_write_off(
    connection: &mut Connection,
    back: &TakenBack,
    by: Clerk<'_>,
    now: UnixMillis,
) -> Result<Option<NotCorrected>, PaymentError> {
    let over = by.went_over(connection, back.written_off, now).await?;
    Ok(over.map(|Over { most, written_off }| NotCorrected::OverWriteOff { most, written_off }))
}

/// Makes payments of the parts, and books their money for whom they belong to.
async fn book_parts(
    connection: &mut Connection,
    payment: &Payment,
    parts: &[Part],
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Vec<(Payment, Target)>, PaymentError> {
    let mut booked = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        let own = PaymentId::random(ids);
        let number = index.saturating_add(1);
        let to = (part.to.customer(), part.to.line());
        store::insert_part(connection, (&payment.id, &own), (number, part.amount), to, now).await?;
        payments_store::issue_receipt(connection, &own, now).await?;
        let PaymentRow { payment: own, .. } = super::payment(connection, &own)
            .await?
            .ok_or_else(|| PaymentError::ReceiptVanished(payment.receipt_number.clone()))?;
        book_in(connection, &own, to.0, (actor, own.corrections), ids, now).await?;
        booked.push((own, part.to.clone()));
    }
    Ok(booked)
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
    let actor = by.to_string();
    let out = take_out(connection, &payment, &actor, ids, now).await?;
    store::close(connection, id, Closed::Undone).await?;
    let back = take_back(connection, (&payment, out), Kept::USED, &actor, ids, now).await?;
    let mut corrected = Corrected::of(back).from(&payment, name_of(None));
    corrected.payments.push(id.clone());
    Ok(Ok(corrected))
}

impl Corrected {
    fn of(back: TakenBack) -> Self {
        let TakenBack { purchases, written_off, owes, is_site_to_be_told, hints, .. } = back;
        let (payments, in_words) = (Vec::new(), String::new());
        Self { taken_back: purchases, written_off, owes, payments, in_words, is_site_to_be_told, hints }
    }

    fn from(self, payment: &Payment, to: &str) -> Self {
        let from = name_of(payment.customer.as_ref());
        let in_words = format!("{}, KES {}, from {from} to {to}", payment.name(), payment.amount);
        Self { in_words, ..self }
    }

    fn take(&mut self, taken_in: TakenIn) {
        self.is_site_to_be_told |= taken_in.is_site_to_be_told;
        self.hints.extend(taken_in.hints);
        self.payments.extend(taken_in.payment);
    }
}

fn name_of(customer: Option<&CustomerId>) -> &str {
    customer.map_or("nobody", CustomerId::as_str)
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

/// Buys what a payment is for that is booked where it belongs.
async fn put_to_use(
    connection: &mut Connection,
    (payment, to): (&Payment, &Target),
    actor: &str,
    corrected: &mut Corrected,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(), PaymentError> {
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
    let again = format!(" moved {}", payment.corrections);
    let taken_in = credit::fulfil(connection, &told, (payment.id.clone(), &again), &owner, ids, now).await?;
    corrected.take(taken_in);
    // It may have paid at once for what the wallet had bought before.
    let left = ledger::wallet_of(connection, customer).await?;
    payments_store::note_used(connection, customer, left.max(Money::ZERO)).await?;
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
    if corrected.written_off.is_positive() {
        words.push_str(&format!(
            " What was used of it with another’s money is written off: KES {}.",
            corrected.written_off
        ));
    }
    if corrected.owes.is_positive() {
        words.push_str(&format!(
            " What was used up stays sold: the customer who had it owes KES {}.",
            corrected.owes
        ));
    }
    words
}

/// What is said of a rule's correction.
pub(super) fn outcome(back: &TakenBack) -> CallbackOutcome {
    CallbackOutcome::TakenFromAnother { owed: back.owes }
}

#[cfg(test)]
mod tests;
