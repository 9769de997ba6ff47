//! Taking a payment from whoever has it, and then what it bought, as far as the money for that is gone.
//!
//! In this order: the payment's entry is mirrored, the caller books its money where it belongs, and only then it is looked
//! what has to go. So a wallet never lacks money for a moment that comes back to it, and what somebody else's money bought
//! stays. What is used of a period is not given back (`schedule` says how much that is; nothing is of what its site never heard of). It is paid from what its customer
//! put in beside the payment and keeps of it; what goes beyond that was enjoyed with another's money, by nobody's fault but
//! ours, and is written off: never more than the payment. Booking anew is the module above.
//!
//! ```text
//!   sold  = what cost what was taken back or is used up        used = the part of it that is not given back
//!   share = what the payment paid of it: all that it can of what it bought; of other things, what the wallet still lacks
//!   written off = used − what its customer paid of it (sold − share) − what they keep of the payment
//! ```

use tawi_shared::{IdSource, UnixMillis};

use super::schedule::{self, Span};
use super::store;
use super::{Payment, PaymentError, Purchase, Purchased, held_by, place_of};
use crate::database::Connection;
use crate::desired::Refreshed;
use crate::ids::{CustomerId, LineId, PaymentId};
use crate::ledger::{self, Account, Entry};
use crate::live::Hint;
use crate::money::Money;
use crate::payments::store as payments_store;
use crate::subscriptions;

/// The entry that brought a payment is mirrored.
#[derive(Clone, Copy, Debug)]
pub(in crate::payments) struct TakenOut {
    /// Tells the entries of this correction from those of earlier ones.
    pub(in crate::payments) number: i64,
    /// What the wallet may hold at the least once all is done: nothing, or what was owed before.
    floor: Money,
}

/// What of a payment its customer keeps.
#[derive(Clone, Copy, Debug)]
pub(in crate::payments) struct Kept<'a> {
    /// How much; `None` where nobody else had a right to it, so that all that is used is theirs to pay.
    pub(in crate::payments) amount: Option<Money>,
    /// For the same line as before, and which payment holds it now: what it bought stays, if the money is enough.
    pub(in crate::payments) line: Option<(&'a LineId, &'a PaymentId)>,
}

impl Kept<'_> {
    /// Nobody is to pay for what is used of it.
    pub(in crate::payments) const NOTHING: Self = Self { amount: Some(Money::ZERO), line: None };
    /// It was theirs, and goes: what is used is not given back.
    pub(in crate::payments) const USED: Self = Self { amount: None, line: None };
}

/// What was taken back.
#[derive(Debug, Default)]
pub(in crate::payments) struct TakenBack {
    /// Of what was bought.
    pub(in crate::payments) purchases: Vec<Purchase>,
    /// What of the used time was written off.
    pub(in crate::payments) written_off: Money,
    /// What their customer owes after it.
    pub(in crate::payments) owes: Money,
    /// Whether what the payment bought for the line that keeps it stays.
    pub(in crate::payments) is_line_kept: bool,
    pub(in crate::payments) is_site_to_be_told: bool,
    pub(in crate::payments) hints: Vec<Hint>,
    /// What is used of what was taken back.
    used: Money,
    /// What all of that cost.
    sold: Money,
    /// What of that the payment paid.
    share: Money,
}

/// Takes a payment's money from whoever has it. What it bought is next: [`take_back`].
pub(in crate::payments) async fn take_out(
    connection: &mut Connection,
    payment: &Payment,
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenOut, PaymentError> {
    let number = store::count_correction(connection, &payment.id).await?;
    let floor = match &payment.customer {
        Some(customer) => ledger::wallet_of(connection, customer).await?.min(Money::ZERO),
        None => Money::ZERO,
    };
    let accounts = (held_by(payment.customer.as_ref()), place_of(connection, payment).await?);
    let memo = format!("{}, taken back", payment.name());
    let cause = ("payment_reversal", format!("{} {number}", payment.id));
    let entry = Entry::transfer(cause, actor, &memo, accounts, payment.amount)
        .map_err(ledger::LedgerError::Unbalanced)?;
    ledger::book(connection, &entry, ids, now).await?;
    Ok(TakenOut { number, floor })
}

/// Takes back what a payment bought that was taken out and is booked where it belongs now: what it is no longer for, and,
/// the newest first, what the wallet lacks money for. That is also what the wallet bought by itself since, and what another
/// payment bought that was not enough alone.
pub(in crate::payments) async fn take_back(
    connection: &mut Connection,
    (payment, out): (&Payment, TakenOut),
    kept: Kept<'_>,
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenBack, PaymentError> {
    let mut back = TakenBack::default();
    let Some(customer) = &payment.customer else { return Ok(back) };
    // What several payments bought stands under one of them, or under none.
    let of_several = store::used_since(connection, customer, payment.booked_at).await?;
    let before = store::used_before(connection, &payment.id, customer).await?.max(of_several);
    let (mut stays, mut goes) = (Vec::new(), Vec::new());
    for bought in store::held_of_payment(connection, &payment.id, customer).await? {
        let is_kept = kept.line.is_some_and(|(line, _)| *line == bought.line);
        if is_kept { stays.push(bought) } else { goes.push(bought) }
    }
    let is_used_theirs = kept.amount.is_none();
    for bought in goes {
        take(connection, &bought, is_used_theirs, actor, &mut back, (ids, now)).await?;
        back.add_share(bought.price, payment.amount);
    }
    let mut stays = stays.into_iter();
    while back.lack(connection, customer, (out, kept)).await?.is_positive() {
        let Some(bought) = stays.next() else { break };
        take(connection, &bought, is_used_theirs, actor, &mut back, (ids, now)).await?;
        back.add_share(bought.price, payment.amount);
    }
    for bought in stays {
        back.is_line_kept = true;
        if let Some((_, by)) = kept.line {
            store::pass_on(connection, &bought, (&payment.id, by)).await?;
        }
    }
    let together = store::bought_together(connection, (&payment.id, customer), payment.booked_at).await?;
    let (used_up, running): (Vec<_>, Vec<_>) =
        together.into_iter().partition(|bought| bought.is_used_up(now));
    // Money that lies in a wallet goes into what is bought next, and that is used up first.
    for bought in used_up.into_iter().rev().chain(running) {
        let lack = back.lack(connection, customer, (out, kept)).await?;
        if !lack.is_positive() {
            break;
        }
        let sold = back.sold;
        take(connection, &bought, is_used_theirs, actor, &mut back, (ids, now)).await?;
        let price = back.sold.checked_sub(sold).unwrap_or(Money::ZERO);
        back.add_share(price.min(lack), payment.amount);
    }
    if let Some(amount) = kept.amount {
        write_off_used(connection, (payment, out), (amount, before), actor, &mut back, (ids, now)).await?;
    }
    let left = ledger::wallet_of(connection, customer).await?;
    payments_store::note_used(connection, customer, left.max(Money::ZERO)).await?;
    back.owes = left.checked_neg().filter(|owes| owes.is_positive()).unwrap_or(Money::ZERO);
    back.hints.push(Hint::Payment(customer.clone()));
    Ok(back)
}

impl TakenBack {
    /// The payment paid so much more of what was sold, if it had so much.
    fn add_share(&mut self, paid: Money, amount: Money) {
        self.share = self.share.checked_add(paid).unwrap_or(amount).min(amount);
    }

    /// What was used beyond what its customer put in beside the payment, and keeps of it.
    fn used_of_others(&self, kept: Money) -> Money {
        let theirs = self.sold.checked_sub(self.share).and_then(|own| own.checked_add(kept));
        let beyond = theirs.and_then(|theirs| self.used.checked_sub(theirs));
        beyond.unwrap_or(Money::ZERO).max(Money::ZERO)
    }

    /// What the wallet would still lack if it ended here.
    async fn lack(
        &self,
        connection: &mut Connection,
        customer: &CustomerId,
        (out, kept): (TakenOut, Kept<'_>),
    ) -> Result<Money, PaymentError> {
        let has = ledger::wallet_of(connection, customer).await?;
        let off = kept.amount.map_or(Money::ZERO, |kept| self.used_of_others(kept));
        Ok(out.lack(has, off))
    }
}

impl TakenOut {
    /// How far a wallet is below what it may hold at the least, once so much is written off.
    fn lack(self, has: Money, off: Money) -> Money {
        let has = has.checked_add(off).unwrap_or(off);
        self.floor.checked_sub(has).unwrap_or(Money::ZERO).max(Money::ZERO)
    }
}

/// Writes off what was used with money that was another's. What an earlier correction left them to pay of it is theirs only
/// while the payment is: of that goes what their wallet still lacks.
async fn write_off_used(
    connection: &mut Connection,
    (payment, out): (&Payment, TakenOut),
    (kept, before): (Money, Money),
    actor: &str,
    back: &mut TakenBack,
    (ids, now): (&IdSource, UnixMillis),
) -> Result<(), PaymentError> {
    let Some(customer) = &payment.customer else { return Ok(()) };
    let off = back.used_of_others(kept);
    let lacks = out.lack(ledger::wallet_of(connection, customer).await?, off);
    let off = off.checked_add(lacks.min(before).max(Money::ZERO)).unwrap_or(off);
    if !off.is_positive() {
        return Ok(());
    }
    let accounts = (Account::WriteOffs, Account::Wallet(customer.clone()));
    let cause = ("used_time", format!("{} {}", payment.id, out.number));
    let memo = format!("{}, used with another’s money", payment.name());
    let entry =
        Entry::transfer(cause, actor, &memo, accounts, off).map_err(ledger::LedgerError::Unbalanced)?;
    ledger::book(connection, &entry, ids, now).await?;
    back.written_off = off;
    Ok(())
}

/// Takes one purchase back: what is left of its price goes into the wallet that it came from. What is used up stays sold.
async fn take(
    connection: &mut Connection,
    bought: &Purchase,
    is_used_theirs: bool,
    actor: &str,
    back: &mut TakenBack,
    (ids, now): (&IdSource, UnixMillis),
) -> Result<(), PaymentError> {
    let Some(ends_at) = bought.period_ends_at.filter(|_| !bought.is_used_up(now)) else {
        // Settled once: a later correction of the same payment has another customer's purchases.
        if !is_used_theirs && store::note_taken_back(connection, bought, now).await? {
            back.used = back.used.checked_add(bought.price).unwrap_or(back.used);
            back.sold = back.sold.checked_add(bought.price).unwrap_or(back.sold);
        }
        return Ok(());
    };
    if !store::note_taken_back(connection, bought, now).await? {
        return Ok(());
    }
    let refreshed = match bought.what {
        Purchased::Period { paid_until_before } => {
            for top_up in store::top_ups_of(connection, &bought.line, bought.period_started_at).await? {
                store::note_taken_back(connection, &top_up, now).await?;
                money_back(connection, (&top_up, ends_at), actor, back, (ids, now)).await?;
            }
            let span = Span { started_at: bought.period_started_at, ends_at };
            let Some(cut) = schedule::cut(span, bought.counts_until(now)) else { return Ok(()) };
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
    back.is_site_to_be_told |= matches!(refreshed, Refreshed::Changed { .. });
    money_back(connection, (bought, ends_at), actor, back, (ids, now)).await?;
    back.hints.push(Hint::Line(bought.line.clone()));
    Ok(())
}

/// The mirror image of what a purchase booked, as far as it is not used.
async fn money_back(
    connection: &mut Connection,
    (bought, ends_at): (&Purchase, UnixMillis),
    actor: &str,
    back: &mut TakenBack,
    (ids, now): (&IdSource, UnixMillis),
) -> Result<(), PaymentError> {
    let left = bought.left(ends_at, now);
    let used = bought.price.checked_sub(left).unwrap_or(Money::ZERO);
    back.used = back.used.checked_add(used).unwrap_or(back.used);
    back.sold = back.sold.checked_add(bought.price).unwrap_or(back.sold);
    back.purchases.push(bought.clone());
    if !left.is_positive() {
        return Ok(());
    }
    let cause = ("purchase_reversal", format!("{} {}", bought.cause_kind, bought.cause_id));
    let memo = format!("{}, taken back", bought.label);
    let accounts = (Account::Revenue, Account::Wallet(bought.customer.clone()));
    let entry =
        Entry::transfer(cause, actor, &memo, accounts, left).map_err(ledger::LedgerError::Unbalanced)?;
    ledger::book(connection, &entry, ids, now).await?;
    Ok(())
}

impl Purchase {
    /// What is left of its price, in a period that ends then: of data on top, by the time that it is left for.
    fn left(&self, ends_at: UnixMillis, now: UnixMillis) -> Money {
        let started_at = match self.what {
            Purchased::Period { .. } => self.period_started_at,
            Purchased::TopUp { .. } => self.bought_at.max(self.period_started_at),
        };
        schedule::left_of(self.price, Span { started_at, ends_at }, self.counts_until(now))
    }

    /// Until when its time counts as used: of what no site has heard of, none does.
    fn counts_until(&self, now: UnixMillis) -> UnixMillis {
        if self.is_waiting { now.min(self.period_started_at) } else { now }
    }

    /// What would be given back of its price now.
    #[must_use]
    pub fn left_now(&self, now: UnixMillis) -> Money {
        self.period_ends_at.map_or(Money::ZERO, |ends_at| self.left(ends_at, now))
    }
}

/// What whoever had a payment keeps of it where it goes to somebody whole.
pub(in crate::payments) fn kept_by(payment: &Payment, to: Option<&CustomerId>) -> Kept<'static> {
    let is_theirs = payment.customer.is_some() && payment.customer.as_ref() == to;
    Kept { amount: Some(if is_theirs { payment.amount } else { Money::ZERO }), line: None }
}
