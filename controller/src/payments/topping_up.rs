//! Top-ups out of a wallet: data on top of the running period of a line, paid for once and told to the site at once.
//!
//! The wallet buys a top-up when somebody asks for one that it covers, and first of all when the money for one comes
//! (`credit`). A line that could not use it buys none: then the money stays in the wallet, or buys a period as any other
//! payment does. The ledger entry, the period and the site's next generation are one transaction.

use std::time::Duration;

use tawi_shared::{IdSource, UnixMillis};

use super::open::{Open, Wish};
use super::{PaymentError, corrections, request, store};
use crate::database::{Connection, Together};
use crate::desired::{self, Refreshed};
use crate::entitlements::{self, Period, Status};
use crate::ids::{CustomerId, LineId, PaymentId, PlanId, TopUpId};
use crate::ledger::{self, Account, Booked, Entry};
use crate::live::Hint;
use crate::money::Money;
use crate::state::Controller;
use crate::subscriptions::{self, Subscription};
use crate::top_ups::TopUp;
use crate::{quota, top_ups};

/// The kind of cause of every top-up in the ledger.
pub(super) const CAUSE: &str = "top_up";
/// How the occasion of a top-up begins that is bought because somebody asked for it.
pub(super) const ASKED: &str = "asked ";

/// A top-up that was bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToppedUp {
    /// For which line.
    pub subscription: LineId,
    /// Out of whose wallet.
    pub customer: CustomerId,
    /// Which one.
    pub top_up: TopUp,
    /// When the period ends that it was added to.
    pub until: UnixMillis,
    /// Whether and how the site is told.
    pub refreshed: Refreshed,
}

/// Why a line buys no top-up now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoTopUp {
    /// No such subscription.
    NoSuchSubscription,
    /// No such top-up.
    NoSuchTopUp,
    /// It is for lines of another plan.
    AnotherPlan,
    /// The line is on hold.
    OnHold,
    /// The line's site is shut out.
    SiteRevoked,
    /// No paid period runs, or the one that does has no limit.
    NothingToTopUp,
    /// The wallet does not cover it.
    TooLittle {
        /// What is missing.
        missing: Money,
    },
    /// The same act bought it before: nothing is bought twice.
    AlreadyBought,
    /// A request for payment that is open stands in the way.
    AlreadyOpen(Box<Open>),
    /// A top-up of the running period was bought from the wallet a moment ago.
    JustBought {
        /// When another may be bought.
        wait: Duration,
    },
}

impl NoTopUp {
    /// For whoever asked.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::NoSuchSubscription => "There is no such subscription.".to_owned(),
            Self::NoSuchTopUp => "There is no such top-up.".to_owned(),
            Self::AnotherPlan => "That top-up is for lines of another plan.".to_owned(),
            Self::OnHold => "The line is on hold: release it first.".to_owned(),
            Self::SiteRevoked => "The site of this line is revoked: nothing is sold there.".to_owned(),
            Self::NothingToTopUp => {
                "No paid period with a data limit runs on this line, so there is nothing to add to."
                    .to_owned()
            }
            Self::TooLittle { missing } => format!("The wallet lacks KES {missing} for that top-up."),
            Self::AlreadyBought => "That top-up was bought already; nothing was bought twice.".to_owned(),
            Self::AlreadyOpen(open) => open.sentence(),
            Self::JustBought { wait } => format!(
                "The wallet bought a top-up for this line less than two minutes ago: if another is wanted, buy it in {} seconds.",
                wait.as_secs().max(1)
            ),
        }
    }
}

impl ToppedUp {
    /// After the commit: the outbox, the open pages.
    pub(crate) fn tell(&self, controller: &Controller) {
        tracing::info!(subscription.id = %self.subscription, "a top-up is bought from the wallet");
        controller.live.ring_outbox();
        controller.live.tell(Hint::Line(self.subscription.clone()));
        controller.live.tell(Hint::Payment(self.customer.clone()));
    }
}

/// What a line and a top-up are to each other, before anybody looks at the money: from when until when the period runs that
/// it would be added to. Pure.
fn fits(
    line: (&PlanId, Status),
    top_up: Option<&PlanId>,
    periods: &[Period],
    now: UnixMillis,
) -> Result<(UnixMillis, UnixMillis), NoTopUp> {
    let (plan, status) = line;
    if top_up.is_some_and(|only| only != plan) {
        return Err(NoTopUp::AnotherPlan);
    }
    if status == Status::Suspended {
        return Err(NoTopUp::OnHold);
    }
    match entitlements::running(periods, now) {
        Some(Period { started_at, ends_at, bytes: Some(_) }) => Ok((started_at, ends_at)),
        Some(_) | None => Err(NoTopUp::NothingToTopUp),
    }
}

/// A top-up that a line could buy, whatever the wallet holds.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) line: Subscription,
    pub(super) top_up: TopUp,
    until: UnixMillis,
    period_started_at: UnixMillis,
}

/// Looks whether a line could use a top-up now.
pub(super) async fn offer(
    connection: &mut Connection,
    line: &LineId,
    top_up: &TopUpId,
    now: UnixMillis,
) -> Result<Result<Offer, NoTopUp>, PaymentError> {
    let Some(line) = subscriptions::get(connection, line).await? else {
        return Ok(Err(NoTopUp::NoSuchSubscription));
    };
    let Some(top_up) = top_ups::get(connection, top_up).await? else { return Ok(Err(NoTopUp::NoSuchTopUp)) };
    if line.is_site_revoked {
        return Ok(Err(NoTopUp::SiteRevoked));
    }
    let periods = quota::periods_of(connection, &line.id, now).await?;
    let found = fits((&line.plan, line.status), top_up.plan.as_ref(), &periods, now);
    Ok(found.map(|(period_started_at, until)| Offer { line, top_up, until, period_started_at }))
}

/// Buys a top-up because somebody asks for it, once for `occasion`: the button on a page, the request of a program. The
/// two minutes between purchases (`request`) hold here too: who presses in two places buys once. A request for payment
/// that is open stands in the way when it is for the same top-up, or counts on the money that this would take.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back.
pub async fn buy_top_up(
    connection: &mut Connection,
    (line, top_up): (&LineId, &TopUpId),
    occasion: &str,
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<ToppedUp, NoTopUp>, PaymentError> {
    let Some(subscription) = subscriptions::get(connection, line).await? else {
        return Ok(Err(NoTopUp::NoSuchSubscription));
    };
    let occasion = format!("{ASKED}{occasion}");
    if ledger::is_booked(connection, (CAUSE, &format!("{line} {occasion}"))).await? {
        return Ok(Err(NoTopUp::AlreadyBought));
    }
    if let Some(wait) = request::bought_recently(connection, &subscription, true, now).await? {
        return Ok(Err(NoTopUp::JustBought { wait }));
    }
    let Some(wanted) = top_ups::get(connection, top_up).await? else { return Ok(Err(NoTopUp::NoSuchTopUp)) };
    let in_wallet = ledger::wallet_of(connection, &subscription.customer).await?;
    let wish = Wish { line, top_up: Some(top_up), phone: None, price: wanted.price, in_wallet };
    if let Some(open) = request::open(connection, &subscription.customer, wish, now).await? {
        return Ok(Err(NoTopUp::AlreadyOpen(Box::new(open))));
    }
    buy(connection, (line, top_up), (&occasion, None), actor, ids, now).await
}

/// Buys a top-up out of the wallet of a line's customer, once for `occasion`: a payment, which may have come to it more than
/// once, or what begins with [`ASKED`].
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back.
pub(super) async fn buy(
    connection: &mut Connection,
    (line, top_up): (&LineId, &TopUpId),
    (occasion, payment): (&str, Option<&PaymentId>),
    actor: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Result<ToppedUp, NoTopUp>, PaymentError> {
    let Offer { line, top_up, until, period_started_at } = match offer(connection, line, top_up, now).await? {
        Ok(offer) => offer,
        Err(why) => return Ok(Err(why)),
    };
    let cause = (CAUSE, format!("{} {occasion}", line.id));
    // Looked for before the money: a wallet that the first of two presses emptied is no reason to ask for more.
    if ledger::is_booked(connection, (cause.0, &cause.1)).await? {
        return Ok(Err(NoTopUp::AlreadyBought));
    }
    let in_wallet = ledger::wallet_of(connection, &line.customer).await?;
    if in_wallet < top_up.price {
        let missing = top_up.price.checked_sub(in_wallet).unwrap_or(top_up.price);
        return Ok(Err(NoTopUp::TooLittle { missing }));
    }
    let accounts = (Account::Wallet(line.customer.clone()), Account::Revenue);
    let memo = format!("Top-up {}", top_up.name);
    let purchase = corrections::Purchase {
        cause_kind: cause.0.to_owned(),
        cause_id: cause.1.clone(),
        payment: payment.cloned(),
        customer: line.customer.clone(),
        line: line.id.clone(),
        what: corrections::Purchased::TopUp { bytes: top_up.bytes },
        label: format!("{memo}, {}", line.username),
        price: top_up.price,
        period_started_at,
        period_ends_at: Some(until),
        is_waiting: false,
        bought_at: now,
        taken_back_at: None,
    };
    let entry = Entry::transfer(cause, actor, &memo, accounts, top_up.price)
        .map_err(ledger::LedgerError::Unbalanced)?;
    if ledger::book(connection, &entry, ids, now).await? == Booked::AlreadyBooked {
        return Ok(Err(NoTopUp::AlreadyBought));
    }
    let mut together = Together::default();
    corrections::note(&mut together, &purchase);
    together.execute(connection).await?;
    let remaining = in_wallet.checked_sub(top_up.price).unwrap_or(Money::ZERO);
    store::note_used(connection, &line.customer, remaining).await?;
    if !quota::top_up(connection, &line.id, top_up.bytes, now).await? {
        return Err(PaymentError::NoPeriod(line.id));
    }
    let refreshed = desired::refresh_line(connection, &line.id, now)
        .await
        .map_err(subscriptions::SubscriptionError::Desired)?;
    Ok(Ok(ToppedUp { subscription: line.id, customer: line.customer, top_up, until, refreshed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_running_period_with_a_limit_is_topped_up() {
        let (own, another) = (PlanId::parse("own").unwrap(), PlanId::parse("another").unwrap());
        let period = |bytes| [Period { started_at: UnixMillis(0), ends_at: UnixMillis(10), bytes }];
        let check = |status, of: Option<&PlanId>, bytes, now, expected: Result<i64, NoTopUp>| {
            let found = fits((&own, status), of, &period(bytes), UnixMillis(now));
            assert_eq!(found.map(|(_, until)| until.0), expected, "{status:?} {of:?} {bytes:?} {now}");
        };
        check(Status::Active, None, Some(5), 9, Ok(10));
        check(Status::Active, Some(&own), Some(5), 9, Ok(10));
        check(Status::Active, Some(&another), Some(5), 9, Err(NoTopUp::AnotherPlan));
        check(Status::Suspended, None, Some(5), 9, Err(NoTopUp::OnHold));
        check(Status::Active, None, None, 9, Err(NoTopUp::NothingToTopUp));
        check(Status::Active, None, Some(5), 10, Err(NoTopUp::NothingToTopUp));
    }
}
