//! Money that goes back to whoever paid it: by M-Pesa's reversal of the receipt, or by a payment to the phone that paid.
//!
//! ```text
//!   asked for: taken from its owner and held ──▶ stored, sent ──▶ result ──▶ gone, or back with its owner
//! ```
//! What can become of a refund is `state`, pure, and what an answer says of it `told`; sending and asking what became of it is
//! `send`. From the ask until its end the money lies in an account of its own, so that nobody spends it and it is never given
//! back twice. A whole payment takes what it bought with it, of which what is used is not given back (`left`); a part is paid
//! out of what is left in the wallet. A result that never comes is
//! asked for, and a refund of which nobody knows is never sent again but by a person.

pub(crate) mod api;
mod decision;
pub mod left;
pub(crate) mod pages;
pub(crate) mod send;
mod state;
mod store;
mod told;
mod used;

use std::fmt;

use tawi_shared::{IdSource, UnixMillis};

pub use self::decision::{Decided, Decision};
pub use self::state::State;
use self::state::{Due, Effect, Event, Refused};
use self::told::{is_each_final, told_by};
use super::corrections::write_off::Over;
use super::corrections::{self, Closed};
use super::counter::{Clerk, same_person};
use super::credit::TakenIn;
use super::outcome::CallbackOutcome;
use super::review::by_hand;
use super::store as payments_store;
use super::{Payment, PaymentError, PaymentRow, Provider, Unspent, wallet};
use crate::customers::phone::Msisdn;
use crate::database::Connection;
use crate::ids::{CustomerId, LineId, PaymentId, RefundId};
use crate::ledger::{self, Account, Entry};
use crate::live::{Hint, Live};
use crate::messages;
use crate::money::Money;
use crate::mpesa::evidence::Reason;
use crate::mpesa::operator::{OperatorRequest, Question};
use crate::staff::Role;
use crate::usage::history::day_of;

/// The longest reason, in characters.
pub const REASON_CHARACTERS: usize = 200;
/// The least that M-Pesa pays to a phone, and the most, in cents.
const PAYOUT_CENTS: std::ops::RangeInclusive<i64> = 1_000..=25_000_000;

/// How money goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// M-Pesa undoes the payment: all of it.
    Reversal,
    /// The phone that paid is paid.
    Payout,
}

impl Way {
    /// The word in the database and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reversal => "reversal",
            Self::Payout => "payout",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Reversal, Self::Payout].into_iter().find(|way| way.as_str() == text)
    }
}

/// One refund. `Debug` hides whose phone is paid.
#[derive(Clone, PartialEq, Eq)]
pub struct Refund {
    /// Its id; M-Pesa knows a payment to a phone by it.
    pub id: RefundId,
    /// Of which payment.
    pub payment: PaymentId,
    /// Whose it was; `None` for nobody's.
    pub customer: Option<CustomerId>,
    /// How it goes back.
    pub way: Way,
    /// How much.
    pub amount: Money,
    /// Whether what the payment bought goes back with it: all of it but what is used.
    pub is_whole: bool,
    /// Out of which short code: of a payment to a phone, as the settings said when it was sent.
    pub short_code: String,
    /// M-Pesa's receipt of the payment.
    pub receipt_number: String,
    /// Whose phone is paid; empty for a reversal.
    pub phone: String,
    /// Why.
    pub reason: String,
    due: Due,
    /// Whether M-Pesa was asked for it at any time.
    was_sent: bool,
    /// What M-Pesa said last; empty until then.
    pub result_code: String,
    /// Its words for it.
    pub result_description: String,
    /// The receipt of what it did; empty until then.
    pub result_receipt: String,
    /// Who asked for it.
    pub requested_by: String,
    /// Who agreed; empty where nobody had to.
    pub approved_by: String,
    /// When it was asked for.
    pub created_at: UnixMillis,
    /// When something became of it last.
    pub updated_at: UnixMillis,
}

impl Refund {
    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.due.state
    }

    /// For the audit log: which receipt, how much, from whom, which way.
    fn in_words(&self) -> String {
        let from = self.customer.as_ref().map_or("nobody", CustomerId::as_str);
        format!("{}, KES {}, from {from} by {}", self.receipt_number, self.amount, self.way.as_str())
    }

    /// Whether it was tried to send it and there was nobody to ask for it: no operator, or no such short code.
    fn is_not_sendable(&self) -> bool {
        !self.was_sent && self.due.looks == 0 && !self.result_description.is_empty()
    }

    /// Whether nobody knows what became of it, and nothing is asked any more.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        self.due.state == State::Unknown && self.due.next_at.is_none()
    }
}

impl fmt::Debug for Refund {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refund")
            .field("id", &self.id)
            .field("payment", &self.payment)
            .field("way", &self.way)
            .field("amount", &self.amount)
            .field("due", &self.due)
            .field("result_code", &self.result_code)
            .finish_non_exhaustive()
    }
}

/// A refund in a list. `Debug` hides the name.
#[derive(Clone, PartialEq, Eq)]
pub struct RefundRow {
    /// The refund.
    pub refund: Refund,
    /// The customer's name; empty for nobody's.
    pub customer_name: String,
}

impl fmt::Debug for RefundRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refund.fmt(f)
    }
}

/// What is to go back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Of which payment.
    pub payment: PaymentId,
    /// How.
    pub way: Way,
    /// How much; `None` for all that is not used.
    pub amount: Option<Money>,
    /// Whether what is used goes back as well, and is written off.
    pub with_used: bool,
    /// Why.
    pub reason: String,
    /// Asked for once however often it is asked with this; `None` where the caller sees to that.
    pub occasion: Option<String>,
}

/// Why nothing goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRefunded {
    /// There is no such payment, or no such refund.
    NoSuchPayment,
    /// It is no money of anybody's any more.
    Closed(Closed),
    /// It did not come by M-Pesa.
    NotByMpesa,
    /// It is a part of a receipt, and M-Pesa reverses only all of one.
    PartOfReceipt,
    /// No reason was given, or a long one.
    BadReason,
    /// A reversal gives all of it back; so much was asked.
    NotTheWhole(Money),
    /// Some of it went back before.
    InRefund,
    /// M-Pesa does not pay so little, so much, or parts of a shilling to a phone.
    BadAmount,
    /// Nobody knows whose phone paid: M-Pesa hides it.
    NoPhone,
    /// So much can go back to the phone: the rest is used, or was spent.
    Left(Money),
    /// So much can go back to the phone, also with what is used: the rest paid what was owed, or was spent.
    Owed(Money),
    /// What is used and would go back as well is more than this person may write off today.
    OverWriteOff {
        /// The limit of a day.
        most: Money,
        /// What they wrote off today.
        written_off: Money,
    },
    /// It is more than this person may give back today.
    OverLimit {
        /// The limit of a day.
        most: Money,
        /// What they gave back today.
        given: Money,
    },
    /// Whoever asked for it cannot agree to it as well.
    SamePerson,
    /// The receipt is that of something else, or nothing has a receipt of its own there.
    BadReceipt,
    /// It was taken for failed, and its money was moved, or went back otherwise, since.
    MovedOn,
    /// It has gone on: in this state that means nothing.
    NotNow(State),
    /// It was asked for before on the same occasion, as this refund.
    AlreadyAsked(RefundId),
}

/// What was asked for, or became of it.
#[derive(Debug)]
pub struct Begun {
    /// The refund as it stands now.
    pub refund: Refund,
    is_site_to_be_told: bool,
    hints: Vec<Hint>,
}

impl Begun {
    /// After the commit: the outbox, the open pages, and whoever sends refunds.
    pub(super) fn tell(self, live: &Live) {
        if self.is_site_to_be_told {
            live.ring_outbox();
        }
        live.ring_refunds();
        self.hints.into_iter().for_each(|hint| live.tell(hint));
    }
}

/// What of a payment goes back, or has gone.
///
/// # Errors
/// When the database refuses.
pub async fn given_back(connection: &mut Connection, payment: &PaymentId) -> Result<Money, PaymentError> {
    Ok(store::given_back(connection, payment).await?)
}

/// The refund that is done and is money that left a short code with this receipt, or took this receipt back, and whether a
/// statement has told of it.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn stated(
    connection: &mut Connection,
    short_code: &str,
    gone: (&str, Money),
) -> Result<Option<(RefundId, bool)>, PaymentError> {
    Ok(store::stated(connection, short_code, gone).await?)
}

/// Notes that a statement tells of a refund, and when its money left, where it says so.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn note_stated(
    connection: &mut Connection,
    refund: &RefundId,
    at: Option<UnixMillis>,
) -> Result<(), PaymentError> {
    Ok(store::note_stated(connection, refund, at).await?)
}

/// How the refund stands with which all of a payment went back last; `None` where none was asked for.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn whole_of(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<Option<State>, PaymentError> {
    Ok(store::whole_of(connection, payment).await?)
}

/// One refund.
///
/// # Errors
/// When the database refuses.
pub async fn get(connection: &mut Connection, id: &RefundId) -> Result<Option<RefundRow>, PaymentError> {
    Ok(store::by_id(connection, id).await?)
}

/// Refunds, the newest first: all, or those in one state, or those of one payment.
///
/// # Errors
/// When the database refuses.
pub async fn list(
    connection: &mut Connection,
    only: (Option<State>, Option<&PaymentId>),
    limit: u32,
) -> Result<Vec<RefundRow>, PaymentError> {
    Ok(store::list(connection, only, limit).await?)
}

/// Takes money from its owner and holds it for whoever paid it; it is sent at once, or when a second person agrees. The row in
/// the audit log is the caller's, here and below.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back, also where it is [`NotRefunded`].
pub async fn ask(
    connection: &mut Connection,
    wanted: &Wanted,
    asker: Clerk<'_>,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<Begun, NotRefunded>, PaymentError> {
    if let Some(occasion) = &wanted.occasion
        && let Some(before) = store::of_occasion(connection, occasion).await?
    {
        return Ok(Err(NotRefunded::AlreadyAsked(before)));
    }
    let Some(PaymentRow { payment, .. }) = super::payment(connection, &wanted.payment).await? else {
        return Ok(Err(NotRefunded::NoSuchPayment));
    };
    let (amount, is_whole) = match permitted(connection, wanted, &payment, &asker, now).await? {
        Ok(permitted) => permitted,
        Err(why) => return Ok(Err(why)),
    };
    let by = asker.actor.to_string();
    let state = if asker.limits.refunds_need_two { State::Waiting } else { State::Held };
    let refund = Refund {
        id: RefundId::random(ids),
        payment: payment.id.clone(),
        customer: payment.customer.clone(),
        way: wanted.way,
        amount,
        is_whole,
        short_code: payment.short_code.clone(),
        receipt_number: payment.receipt_number.clone(),
        phone: match (wanted.way, &payment.phone) {
            (Way::Payout, Some(phone)) => phone.digits().to_owned(),
            _ => String::new(),
        },
        reason: wanted.reason.trim().to_owned(),
        due: Due { state, next_at: (state == State::Held).then_some(now), looks: 0 },
        was_sent: false,
        result_code: String::new(),
        result_description: String::new(),
        result_receipt: String::new(),
        requested_by: by.clone(),
        approved_by: String::new(),
        created_at: now,
        updated_at: now,
    };
    let mut begun = Begun { refund, is_site_to_be_told: false, hints: Vec::new() };
    begun.hints.extend(payment.customer.clone().map(Hint::Payment));
    let what = (&payment, wanted.with_used);
    if let Err(why) = hold(connection, what, &mut begun, asker, ids, now).await? {
        return Ok(Err(why));
    }
    store::insert(connection, &begun.refund, payment.no_owner, wanted.occasion.as_deref()).await?;
    Ok(Ok(begun))
}

/// How much may go back, and whether that is all of it.
async fn permitted(
    connection: &mut Connection,
    wanted: &Wanted,
    payment: &Payment,
    asker: &Clerk<'_>,
    now: UnixMillis,
) -> Result<Result<(Money, bool), NotRefunded>, PaymentError> {
    let refuse = |why| Ok(Err(why));
    if let Some(closed) = payment.closed {
        return refuse(NotRefunded::Closed(closed));
    }
    if payment.provider != Provider::Mpesa {
        return refuse(NotRefunded::NotByMpesa);
    }
    if payment.part_of.is_some() && wanted.way == Way::Reversal {
        return refuse(NotRefunded::PartOfReceipt);
    }
    if !(1..=REASON_CHARACTERS).contains(&wanted.reason.trim().chars().count()) {
        return refuse(NotRefunded::BadReason);
    }
    let is_whole = wanted.amount.is_none_or(|amount| amount == payment.amount);
    let before = store::given_back(connection, &payment.id).await?;
    let left = left::of(connection, payment, now).await?;
    let has_used = left.used.is_positive() && !wanted.with_used;
    let amount = match wanted.amount {
        Some(amount) => amount,
        None if has_used && !before.is_positive() && payment.phone.is_some() => left.payable(),
        None => payment.amount,
    };
    match wanted.way {
        Way::Reversal if !is_whole => return refuse(NotRefunded::NotTheWhole(payment.amount)),
        Way::Payout if payment.phone.is_none() => return refuse(NotRefunded::NoPhone),
        Way::Payout if amount == Money::ZERO => return refuse(NotRefunded::Left(Money::ZERO)),
        Way::Payout if !PAYOUT_CENTS.contains(&amount.cents()) || amount.cents() % 100 != 0 => {
            return refuse(NotRefunded::BadAmount);
        }
        Way::Reversal | Way::Payout => {}
    }
    if before.is_positive() && (is_whole || payment.customer.is_none()) {
        return refuse(NotRefunded::InRefund);
    }
    if !is_whole {
        // What lies in suspense is one payment's whole, and goes to somebody whole.
        let Some(customer) = &payment.customer else {
            return refuse(NotRefunded::NotTheWhole(payment.amount));
        };
        let of_payment = payment.amount.checked_sub(before).unwrap_or(Money::ZERO);
        let left = ledger::wallet_of(connection, customer).await?.min(of_payment).max(Money::ZERO);
        if amount > left {
            return refuse(NotRefunded::Left(left::payable(left)));
        }
    } else if has_used && (wanted.way == Way::Reversal || amount > left.left) {
        return refuse(NotRefunded::Left(left.payable()));
    }
    if asker.role != Role::Owner {
        let most = asker.limits.refunded_a_day;
        let names = same_person(asker.actor);
        let given = store::asked_since(connection, &names, day_of(now)).await?;
        if given.checked_add(amount).is_none_or(|sum| sum > most) {
            return refuse(NotRefunded::OverLimit { most, given });
        }
    }
    Ok(Ok((amount, is_whole)))
}

/// Takes the money from whoever has it, into the account of refunds.
async fn hold(
    connection: &mut Connection,
    (payment, with_used): (&Payment, bool),
    begun: &mut Begun,
    asker: Clerk<'_>,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<(), NotRefunded>, PaymentError> {
    let (refund, by) = (&begun.refund, begun.refund.requested_by.as_str());
    let out_of = if refund.is_whole {
        let out = corrections::take_out(connection, payment, by, ids, now).await?;
        // What is used stays sold, and what is less than a shilling with whoever paid it.
        if let Some(rest) = payment.amount.checked_sub(refund.amount).filter(|rest| rest.is_positive()) {
            let rest = Payment { amount: rest, ..payment.clone() };
            let again = (by, out.number);
            corrections::book_in(connection, &rest, payment.customer.as_ref(), again, ids, now).await?;
        }
        let kept = if with_used { corrections::Kept::NOTHING } else { corrections::Kept::USED };
        let out = corrections::take_back(connection, (payment, out), kept, by, ids, now).await?;
        if out.owes.is_positive() {
            let left = refund.amount.checked_sub(out.owes).unwrap_or(Money::ZERO);
            let left = left::payable(left);
            return Ok(Err(if with_used { NotRefunded::Owed(left) } else { NotRefunded::Left(left) }));
        }
        // What is used and goes back as well is written off, also where it was used of something else.
        if let Some(Over { most, written_off }) = asker.went_over(connection, out.written_off, now).await? {
            return Ok(Err(NotRefunded::OverWriteOff { most, written_off }));
        }
        corrections::store::close(connection, &payment.id, Closed::Refunded).await?;
        payments_store::settle_booked(connection, payment).await?;
        begun.is_site_to_be_told |= out.is_site_to_be_told;
        begun.hints.extend(out.hints);
        corrections::place_of(connection, payment).await?
    } else {
        corrections::held_by(payment.customer.as_ref())
    };
    let memo = format!("{}, to be given back", payment.name());
    book(connection, refund, ("refund_held", &memo), (out_of, Account::RefundsHeld), by, ids, now).await?;
    if let (false, Some(customer)) = (refund.is_whole, &payment.customer) {
        let left = ledger::wallet_of(connection, customer).await?;
        payments_store::note_used(connection, customer, left.max(Money::ZERO)).await?;
    }
    Ok(Ok(()))
}

/// One entry of a refund: debit the first account, credit the second.
async fn book(
    connection: &mut Connection,
    refund: &Refund,
    (kind, memo): (&'static str, &str),
    accounts: (Account, Account),
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(), PaymentError> {
    let cause = (kind, refund.id.to_string());
    let entry = Entry::transfer(cause, actor, memo, accounts, refund.amount)
        .map_err(ledger::LedgerError::Unbalanced)?;
    ledger::book(connection, &entry, ids, now).await?;
    Ok(())
}

/// Carries out what a person decided.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back.
pub async fn decide(
    connection: &mut Connection,
    (id, Decided { decision, receipt }): (&RefundId, Decided),
    asker: Clerk<'_>,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<Begun, NotRefunded>, PaymentError> {
    let Some(RefundRow { mut refund, .. }) = store::by_id(connection, id).await? else {
        return Ok(Err(NotRefunded::NoSuchPayment));
    };
    if !decision.fits(&refund) {
        return Ok(Err(NotRefunded::NotNow(refund.state())));
    }
    if let Some(receipt) = receipt {
        let is_of_payout = decision == Decision::WentThrough && refund.way == Way::Payout;
        if !is_of_payout || store::is_receipt_taken(connection, &refund, &receipt).await? {
            return Ok(Err(NotRefunded::BadReceipt));
        }
        receipt.as_str().clone_into(&mut refund.result_receipt);
    }
    if refund.state() == State::Failed && !is_where_it_was(connection, &refund).await? {
        return Ok(Err(NotRefunded::MovedOn));
    }
    let by = asker.actor.to_string();
    let event = match decision {
        Decision::Approve => {
            if same_person(asker.actor).contains(&refund.requested_by) {
                return Ok(Err(NotRefunded::SamePerson));
            }
            if asker.role != Role::Owner {
                let (most, names) = (asker.limits.refunded_a_day, same_person(asker.actor));
                let given = store::approved_since(connection, &names, day_of(now)).await?;
                if given.checked_add(refund.amount).is_none_or(|sum| sum > most) {
                    return Ok(Err(NotRefunded::OverLimit { most, given }));
                }
            }
            store::note_approved(connection, id, now).await?;
            refund.approved_by.clone_from(&by);
            Event::Approved
        }
        Decision::Withdraw => Event::Withdrawn,
        Decision::WentThrough => Event::WentThrough,
        Decision::DidNot => Event::DidNot,
        Decision::Again => Event::Again,
    };
    let state = refund.state();
    let Ok((refund, _)) = step(connection, refund, event, &by, ids, now).await? else {
        return Ok(Err(NotRefunded::NotNow(state)));
    };
    let opened = match event {
        Event::Withdrawn => open_again(connection, &refund, &by, ids, now).await?,
        _ => Vec::new(),
    };
    let is_site_to_be_told = !opened.is_empty();
    let hints = refund.customer.clone().map(Hint::Payment).into_iter();
    let hints = hints.chain(opened.into_iter().map(Hint::Line)).collect();
    Ok(Ok(Begun { refund, is_site_to_be_told, hints }))
}

/// Buys again what went when a refund was asked for that is not to be: the wallet has the money, and nobody wants it out.
/// Which lines that are. After one that failed nobody does: it can have gone all the same, or is asked for anew.
async fn open_again(
    connection: &mut Connection,
    refund: &Refund,
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Vec<LineId>, PaymentError> {
    let mut opened = Vec::new();
    let Some(customer) = refund.customer.as_ref().filter(|_| refund.is_whole) else { return Ok(opened) };
    // One before it may have taken what it bought, and failed.
    for line in corrections::store::lines_taken_for_refunds(connection, (&refund.payment, customer)).await? {
        // Once for each refund: a period that had not begun leaves no trace in what the line is paid until.
        let cause = (wallet::RETURNED, format!("{line} {}", refund.id));
        let again = wallet::buy_where_none_is_left(connection, &line, cause, actor, ids, now);
        if again.await?.is_some() {
            opened.push(line);
        }
    }
    Ok(opened)
}

/// Takes an event in, and does with the money what follows, in the same transaction.
async fn step(
    connection: &mut Connection,
    mut refund: Refund,
    event: Event,
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<(Refund, Effect), Refused>, PaymentError> {
    let (due, effect) = match state::apply(refund.due, event, now) {
        Ok(after) => after,
        Err(refused) => return Ok(Err(refused)),
    };
    refund.due = due;
    refund.updated_at = now;
    store::update(connection, &refund).await?;
    let clearing = || Account::MpesaClearing(refund.short_code.clone());
    let owner = || corrections::held_by(refund.customer.as_ref());
    let name = &refund.receipt_number;
    match effect {
        Effect::None => {}
        Effect::Gone => {
            let memo = format!("{name}, given back");
            let accounts = (Account::RefundsHeld, clearing());
            book(connection, &refund, ("refund_paid", &memo), accounts, actor, ids, now).await?;
            note_gone(connection, &refund, actor, ids, now).await?;
            tell(connection, &refund, now).await?;
        }
        Effect::Back => {
            let memo = format!("{name}, not given back");
            let accounts = (Account::RefundsHeld, owner());
            book(connection, &refund, ("refund_returned", &memo), accounts, actor, ids, now).await?;
            if refund.is_whole {
                store::reopen(connection, &refund).await?;
                if refund.customer.is_some() {
                    payments_store::note_unspent(connection, &refund.payment, Some(Unspent::Other)).await?;
                }
                used::undo(connection, &refund, ids, now).await?;
            }
        }
        Effect::GoneAfterAll => {
            let memo = format!("{name}, given back after all");
            book(connection, &refund, ("refund_paid", &memo), (owner(), clearing()), actor, ids, now).await?;
            note_gone(connection, &refund, actor, ids, now).await?;
            if refund.is_whole {
                corrections::store::close(connection, &refund.payment, Closed::Refunded).await?;
                used::book_again(connection, &refund, ids, now).await?;
            }
            if let Some(customer) = &refund.customer {
                let left = ledger::wallet_of(connection, customer).await?;
                payments_store::note_used(connection, customer, left.max(Money::ZERO)).await?;
            }
            tell(connection, &refund, now).await?;
        }
    }
    Ok(Ok((refund, effect)))
}

/// Notes when the money of a refund left, and takes back what a person had booked of it as something else.
async fn note_gone(
    connection: &mut Connection,
    refund: &Refund,
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(), PaymentError> {
    if let Some((digest, booked_as)) = store::note_gone(connection, refund, now).await? {
        let money = (refund.short_code.as_str(), refund.amount);
        by_hand::take_back(connection, (&digest, booked_as), money, actor, (ids, now)).await?;
    }
    Ok(())
}

/// Tells whoever it was of that their money went back.
async fn tell(connection: &mut Connection, refund: &Refund, now: UnixMillis) -> Result<(), PaymentError> {
    let Some(customer) = &refund.customer else { return Ok(()) };
    let what = (refund.id.as_str(), refund.amount, refund.receipt_number.as_str());
    messages::about::refunded(connection, customer, what, now).await?;
    Ok(())
}

/// Whether the money of a refund that came to nothing is where it went back to: the payment is its customer's, open, and none
/// of it went back another time.
async fn is_where_it_was(connection: &mut Connection, refund: &Refund) -> Result<bool, PaymentError> {
    let Some(PaymentRow { payment, .. }) = super::payment(connection, &refund.payment).await? else {
        return Ok(false);
    };
    let is_theirs = payment.closed.is_none() && payment.customer == refund.customer;
    Ok(is_theirs && !store::given_back(connection, &refund.payment).await?.is_positive())
}

/// Takes in what M-Pesa answered about a refund, in the transaction that notes the answer.
///
/// # Errors
/// [`PaymentError`]; the savepoint must then be rolled back.
pub(crate) async fn take_in(
    connection: &mut Connection,
    request: &OperatorRequest,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    let noted = || TakenIn::quietly(CallbackOutcome::Noted(request.state.as_str()));
    let Some(id) = request.question.refund() else { return Ok(noted()) };
    let Some(RefundRow { mut refund, .. }) = store::by_id(connection, id).await? else { return Ok(noted()) };
    let Some(mut event) = told_by(request, refund.way) else { return Ok(noted()) };
    // What a question about it is answered with is no result of its own.
    let is_of_itself = !matches!(request.question, Question::RefundStatus(_));
    // That M-Pesa did nothing one time says nothing of another, but for what it said of that itself.
    if event == Event::DidNot && is_of_itself {
        let besides = store::codes_besides(connection, id, Some(&request.id)).await?;
        if !is_each_final(&besides) {
            event = Event::Unclear;
        }
    }
    if let (true, Some(Reason { code, description })) = (is_of_itself, request.state.reason()) {
        refund.result_code.clone_from(code);
        refund.result_description.clone_from(description);
    }
    if let (Event::WentThrough, Way::Payout, Some(receipt)) = (event, refund.way, request.done_receipt()) {
        receipt.clone_into(&mut refund.result_receipt);
    }
    let customer = refund.customer.clone();
    let is_late = matches!(refund.state(), State::Failed | State::Withdrawn) && event == Event::WentThrough;
    if is_late && !is_where_it_was(connection, &refund).await? {
        refund.updated_at = now;
        store::update(connection, &refund).await?;
        let stands = (refund.id.clone(), refund.state());
        let (receipt, amount) = (refund.receipt_number, refund.amount);
        let mut taken_in = TakenIn::quietly(CallbackOutcome::RefundedTooLate { receipt, amount });
        taken_in.refund = Some(stands);
        taken_in.hints.extend(customer.map(Hint::Payment));
        return Ok(taken_in);
    }
    let mut taken_in = match step(connection, refund, event, credit_actor(), ids, now).await? {
        Ok((refund, effect)) => {
            let outcome = match effect {
                Effect::GoneAfterAll => CallbackOutcome::RefundedAfterAll,
                Effect::None | Effect::Gone | Effect::Back => CallbackOutcome::Noted(request.state.as_str()),
            };
            TakenIn { refund: Some((refund.id.clone(), refund.state())), ..TakenIn::quietly(outcome) }
        }
        Err(Refused::AlreadySo | Refused::NotNow) => TakenIn::quietly(CallbackOutcome::Repeated),
        Err(Refused::Contradicts) => TakenIn::quietly(CallbackOutcome::RefundContradicted),
    };
    taken_in.hints.extend(customer.map(Hint::Payment));
    Ok(taken_in)
}

/// Takes in that M-Pesa answered once more about a refund, and otherwise than before. Money that went has gone, whatever was
/// said of it before; that it did not go after all is for a person to look at, and the first answer stays.
///
/// # Errors
/// [`PaymentError`]; the savepoint must then be rolled back.
pub(crate) async fn take_in_another(
    connection: &mut Connection,
    request: &OperatorRequest,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    let repeated = || TakenIn::quietly(CallbackOutcome::Repeated);
    if matches!(request.question, Question::RefundStatus(_)) {
        return Ok(repeated());
    }
    let Some(id) = request.question.refund() else { return Ok(repeated()) };
    let Some(RefundRow { refund, .. }) = store::by_id(connection, id).await? else { return Ok(repeated()) };
    match (told_by(request, refund.way), refund.state()) {
        (None, _) | (Some(Event::WentThrough), State::Done) | (Some(Event::DidNot), State::Failed) => {
            Ok(repeated())
        }
        (Some(Event::DidNot | Event::Unclear), State::Done) | (Some(Event::Unclear), State::Failed) => {
            Ok(TakenIn::quietly(CallbackOutcome::RefundContradicted))
        }
        (Some(_), _) => take_in(connection, request, ids, now).await,
    }
}

fn credit_actor() -> &'static str {
    super::credit::ACTOR
}

/// The phone of a refund, as pages and the API show it.
#[must_use]
pub fn phone_of(refund: &Refund) -> Option<Msisdn> {
    Msisdn::parse(&refund.phone).ok()
}
