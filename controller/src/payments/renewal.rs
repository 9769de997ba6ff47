//! Lines that go on out of the wallet: a period is bought before the one before it ends.
//!
//! It is bought early enough that a site which is dark hears of it in time, and late enough that the money is still the
//! customer's for most of a period. Left alone, and looked at again, are a line of which
//! something paid has not begun, because its site is away, a line that is said not to go on, a held one, one at
//! a revoked site, one whose wallet is too small, and every line of a customer whose money somebody is about to use otherwise:
//! a request on a phone counts on it, or it has come for one of several things. Periods below a day are bought one by one:
//! who buys an hour and leaves wants the rest another day.

use std::time::Duration;

use tawi_shared::{IdSource, LineId, UnixMillis};

use super::open::Wish;
use super::wallet::{self, FromWallet};
use super::{PaymentError, request, store};
use crate::database::Connection;
use crate::entitlements::Status;
use crate::ledger;
use crate::money::Money;
use crate::subscriptions::{self, Subscription};

/// The kind of cause of a period that is bought so, and who books it.
pub(super) const RENEWAL: &str = "renewal";
/// The earliest: a day before the end, and never before three quarters of a period have gone.
const AHEAD_MOST: Duration = Duration::from_secs(86_400);
const PART_AHEAD: u32 = 4;
/// The shortest period that goes on by itself.
const PERIOD_LEAST: Duration = Duration::from_secs(86_400);

/// How long before its end a line of such periods goes on, and after it, where nobody looked meanwhile: one that ended before
/// that was left. Pure.
fn ahead(validity_seconds: u64) -> Duration {
    (Duration::from_secs(validity_seconds) / PART_AHEAD).min(AHEAD_MOST)
}

/// Whether the wallet is ever asked for the next period of a line. Pure.
#[must_use]
pub(crate) fn goes_on_by_itself(line: &Subscription) -> bool {
    line.renews && Duration::from_secs(line.validity_seconds) >= PERIOD_LEAST
}

/// What other lines of the same customer take out of the wallet before a line that is paid for can go on: those that go on by
/// themselves and end first. Pure.
pub(crate) fn spoken_for(line: &Subscription, lines: &[Subscription], now: UnixMillis) -> Money {
    let takes = |other: &&Subscription| {
        let is_open = matches!(other.status, Status::Active | Status::Expired) && !other.is_site_revoked;
        let is_still_looked_at =
            other.paid_until.is_some_and(|until| until > now.minus(ahead(other.validity_seconds)));
        let is_first = (other.paid_until, &other.id) < (line.paid_until, &line.id);
        other.id != line.id && goes_on_by_itself(other) && is_open && is_still_looked_at && is_first
    };
    // What cannot be counted leaves nothing.
    let sum = lines.iter().filter(takes).try_fold(Money::ZERO, |sum, other| sum.checked_add(other.price));
    sum.unwrap_or(Money::from_cents(i64::MAX))
}

/// Whether a line is to go on now, if its wallet can pay. Pure.
fn is_due(line: &Subscription, now: UnixMillis) -> bool {
    let is_open = matches!(line.status, Status::Active | Status::Expired);
    let near = ahead(line.validity_seconds);
    goes_on_by_itself(line)
        && is_open
        && line.waits_since.is_none()
        && line.paid_until.is_some_and(|until| until <= now.plus(near) && until > now.minus(near))
}

/// Lines that are due and whose wallets can pay, those that end first before the others.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn due(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<LineId>, PaymentError> {
    Ok(store::due_for_renewal(connection, now, (AHEAD_MOST, PART_AHEAD, PERIOD_LEAST), limit).await?)
}

/// Buys the next period of a line, if it is still due: somebody may have paid since it was found so.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back.
pub(crate) async fn renew(
    connection: &mut Connection,
    line: &LineId,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Option<FromWallet>, PaymentError> {
    let Some(standing) = subscriptions::get(connection, line).await? else { return Ok(None) };
    if !is_due(&standing, now) {
        return Ok(None);
    }
    if store::is_money_unclear(connection, &standing.customer, now).await? {
        return Ok(None);
    }
    let in_wallet = ledger::wallet_of(connection, &standing.customer).await?;
    let wish = Wish { line, top_up: None, phone: None, price: standing.price, in_wallet };
    if request::open(connection, &standing.customer, wish, now).await?.is_some() {
        return Ok(None);
    }
    wallet::buy_unpaid(connection, line, RENEWAL, RENEWAL, ids, now).await
}

#[cfg(test)]
mod tests;
