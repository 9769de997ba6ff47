//! What a wallet buys: one period of a line, when it covers the price. What remains stays in it.
//!
//! Money buys when it comes (`credit`). Money that came while a line was held, or for another purpose, buys when the
//! line is released unpaid, and when somebody asks for a payment that the wallet can make (`request`): nobody pays
//! twice for what is paid already. A held line buys nothing, nor does one at a revoked site: its customer could not use
//! it, and the money stays theirs.

use std::time::Duration;

use tawi_shared::{IdSource, UnixMillis};

use super::renewal::RENEWAL;
use super::{PaymentError, corrections, deferred_start, store};
use crate::database::{Connection, Together};
use crate::desired::Refreshed;
use crate::entitlements::{self, Offer, Period, Purchase, Status};
use crate::ids::{CustomerId, LineId, PaymentId};
use crate::ledger::{self, Account, Entry};
use crate::live::Hint;
use crate::money::Money;
use crate::mpesa::intent::Promised;
use crate::state::Controller;
use crate::subscriptions::{self, Changed, Subscription};

/// The kind of cause of a period that is bought because somebody asked for a payment.
pub(super) const ON_REQUEST: &str = "wallet";
/// The kind of cause of a period that is bought again because its payment is not given back after all.
pub(super) const RETURNED: &str = "returned";

/// Why money for a line bought nothing when it came. It lies in the wallet since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unspent {
    /// With what was in the wallet it was not enough.
    TooLittle,
    /// The line is on hold.
    OnHold,
    /// The line's site is shut out.
    SiteRevoked,
    /// It may be for one of several lines, or for one of several things that were asked for.
    Unclear,
    /// The line is no more, could not use the top-up, or had bought by then.
    Other,
}

impl Unspent {
    const ALL: [Self; 5] = [Self::TooLittle, Self::OnHold, Self::SiteRevoked, Self::Unclear, Self::Other];

    /// The word in the database and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLittle => "too_little",
            Self::OnHold => "on_hold",
            Self::SiteRevoked => "site_revoked",
            Self::Unclear => "unclear",
            Self::Other => "other",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unspent| unspent.as_str() == text)
    }
}

/// Nothing was bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotBought {
    pub(super) why: Unspent,
    /// What the wallet lacks.
    pub(super) missing: Money,
}

impl From<Unspent> for NotBought {
    fn from(why: Unspent) -> Self {
        Self { why, missing: Money::ZERO }
    }
}

/// A period was bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bought {
    /// Just now; whether and how the site is told.
    Now(Refreshed),
    /// By the same cause before: its money is spent, and nothing is bought twice.
    Before,
}

/// A period that a wallet bought without a new payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromWallet {
    /// For which line.
    pub subscription: LineId,
    /// Out of whose wallet.
    pub customer: CustomerId,
    /// What it cost.
    pub price: Money,
    /// The new end of what is paid for.
    pub paid_until: UnixMillis,
}

impl FromWallet {
    /// After the commit: the outbox, the open pages.
    pub(crate) fn tell(&self, controller: &Controller) {
        tracing::info!(subscription.id = %self.subscription, "a period is bought from the wallet");
        controller.live.ring_outbox();
        controller.live.tell(Hint::Line(self.subscription.clone()));
        controller.live.tell(Hint::Payment(self.customer.clone()));
    }
}

/// What a release did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// To the hold; after the commit ring the outbox if the site must be told.
    pub changed: Changed,
    /// What the wallet bought with it.
    pub bought: Option<FromWallet>,
}

/// What a payment must bring so that `wallet` covers `price`, in whole shillings; the whole price when it covers it
/// already. `None` beyond what money can hold.
#[must_use]
pub(crate) fn lacking(price: Money, wallet: Money) -> Option<Money> {
    let lacking = price.checked_sub(wallet).filter(|lacking| lacking.is_positive()).unwrap_or(price);
    Money::from_shillings(lacking.shillings_rounded_up())
}

/// Releases a held line. When nothing of its paid time is left and the wallet covers a period, that is bought: what was
/// paid meanwhile counts at once, and nobody's money is spent on time that is paid for already.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back.
pub async fn release(
    connection: &mut Connection,
    line: &LineId,
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Released, PaymentError> {
    let changed = subscriptions::release(connection, line, now).await?;
    let bought = match changed {
        Changed::Changed(_) => match subscriptions::get(connection, line).await? {
            Some(released) => {
                let cause = ("release", after(&released));
                buy_where_none_is_left(connection, line, cause, actor, ids, now).await?
            }
            None => None,
        },
        Changed::AlreadySo | Changed::NoSuchSubscription => None,
    };
    Ok(Released { changed, bought })
}

/// Buys a period for a line of whose paid time nothing is left. What its site never heard of is paid for still.
pub(super) async fn buy_where_none_is_left(
    connection: &mut Connection,
    line: &LineId,
    cause: (&'static str, String),
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Option<FromWallet>, PaymentError> {
    let Some(standing) = subscriptions::get(connection, line).await? else { return Ok(None) };
    let is_paid = standing.paid_until.is_some_and(|until| until > now) || standing.is_waiting(now);
    if is_paid {
        return Ok(None);
    }
    buy_by(connection, standing, cause, actor, ids, now).await
}

/// When somebody's request, or the line's renewal, last bought a period of it out of the wallet after `since`; `None` when
/// none did.
pub(super) async fn last_bought_since(
    connection: &mut Connection,
    line: &Subscription,
    since: UnixMillis,
) -> Result<Option<UnixMillis>, PaymentError> {
    let begin = format!("{} after ", line.id);
    let on_request =
        ledger::last_booked_since(connection, &line.customer, (ON_REQUEST, &begin), since).await?;
    let renewed = ledger::last_booked_since(connection, &line.customer, (RENEWAL, &begin), since).await?;
    Ok(on_request.max(renewed))
}

/// Buys a period that no payment is the cause of. What `kind` of occasion and the period that it follows are the cause,
/// so that one period is bought once.
pub(super) async fn buy_unpaid(
    connection: &mut Connection,
    line: &LineId,
    kind: &'static str,
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Option<FromWallet>, PaymentError> {
    let Some(before) = subscriptions::get(connection, line).await? else { return Ok(None) };
    let cause = (kind, after(&before));
    buy_by(connection, before, cause, actor, ids, now).await
}

/// What a period of a line is called that follows whatever it is paid for.
fn after(line: &Subscription) -> String {
    let follows = line.paid_until.map_or_else(|| "nothing".to_owned(), |until| until.0.to_string());
    format!("{} after {follows}", line.id)
}

/// Buys a period of a line as it stands, once for a cause.
async fn buy_by(
    connection: &mut Connection,
    before: Subscription,
    cause: (&'static str, String),
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Option<FromWallet>, PaymentError> {
    let bought = buy_period(connection, (&before.id, None), (cause, None), actor, ids, now).await?;
    let Ok(Bought::Now(_)) = bought else { return Ok(None) };
    let after = subscriptions::get(connection, &before.id).await?;
    Ok(after.and_then(|after| {
        let paid_until = after.paid_until?;
        Some(FromWallet { subscription: after.id, customer: after.customer, price: before.price, paid_until })
    }))
}

/// One period of a line as its plan sells it today.
pub(super) fn offered(line: &Subscription) -> Offer {
    Offer {
        price: line.price,
        validity: Duration::from_secs(line.validity_seconds),
        bytes: line.data_quota_bytes,
    }
}

/// Buys one period for a line when its customer's wallet covers the price; what remains stays in the wallet. Once for
/// a cause, which may be a payment. The period with its data is written in the same transaction. What was promised of the line's plan is bought
/// as it was promised.
pub(super) async fn buy_period(
    connection: &mut Connection,
    (line, promised): (&LineId, Option<&Promised>),
    (cause, payment): ((&'static str, String), Option<&PaymentId>),
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<Bought, NotBought>, PaymentError> {
    let nothing = |why: Unspent| Ok(Err(why.into()));
    let Some(subscription) = subscriptions::get(connection, line).await? else {
        return match ledger::is_booked(connection, (cause.0, &cause.1)).await? {
            true => Ok(Ok(Bought::Before)),
            false => nothing(Unspent::Other),
        };
    };
    // Before anything else: a wallet that this very cause emptied lacks nothing.
    let cause_of = (cause.0, cause.1.as_str());
    let Some(wallet) = ledger::wallet_before(connection, &subscription.customer, cause_of).await? else {
        return Ok(Ok(Bought::Before));
    };
    if subscription.status == Status::Suspended {
        return nothing(Unspent::OnHold);
    }
    if subscription.is_site_revoked {
        return nothing(Unspent::SiteRevoked);
    }
    let promised = promised.filter(|promised| promised.plan == subscription.plan);
    let offer = entitlements::chosen(promised.map(|promised| promised.offer), offered(&subscription), wallet);
    let purchase = entitlements::purchase(wallet, offer, subscription.paid_until, now);
    let (price, starts_at, paid_until) = match purchase {
        Purchase::Bought { price, starts_at, paid_until } => (price, starts_at, paid_until),
        Purchase::TooLittle { missing } => return Ok(Err(NotBought { why: Unspent::TooLittle, missing })),
    };
    let customer = subscription.customer;
    let accounts = (Account::Wallet(customer.clone()), Account::Revenue);
    let purchase = corrections::Purchase {
        cause_kind: cause.0.to_owned(),
        cause_id: cause.1.clone(),
        payment: payment.cloned(),
        customer: customer.clone(),
        line: line.clone(),
        what: corrections::Purchased::Period { paid_until_before: subscription.paid_until },
        label: format!("{}, {}", subscription.plan_name, subscription.username),
        price,
        period_started_at: starts_at,
        period_ends_at: Some(paid_until),
        is_waiting: true,
        bought_at: now,
        taken_back_at: None,
    };
    let entry = Entry::transfer(cause, actor, &subscription.plan_name, accounts, price)
        .map_err(ledger::LedgerError::Unbalanced)?;
    let mut together = Together::default();
    // It is not booked, as the wallet before it says, and a purchase of the same cause would be refused below.
    ledger::add(&mut together, &entry, ids, now)?;
    match wallet.checked_sub(price).unwrap_or(Money::ZERO) {
        Money::ZERO => store::add_all_used(&mut together, &customer),
        remaining => store::note_used(connection, &customer, remaining).await?,
    }
    corrections::note(&mut together, &purchase);
    let period = Period { started_at: starts_at, ends_at: paid_until, bytes: offer.bytes };
    deferred_start::begin(&mut together, line, period);
    Ok(Ok(Bought::Now(subscriptions::activate(connection, together, (line, paid_until), now).await?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_asks_for_what_the_wallet_lacks() {
        let check = |price: i64, wallet: i64, expected: i64| {
            let found = lacking(Money::from_cents(price), Money::from_cents(wallet));
            assert_eq!(found, Some(Money::from_cents(expected)), "{price} {wallet}");
        };
        check(150_000, 0, 150_000);
        check(150_000, 50_000, 100_000);
        check(150_000, 49_950, 100_100);
        check(150_000, 150_000, 150_000);
        check(150_000, 900_000, 150_000);
    }
}
