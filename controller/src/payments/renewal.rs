//! Lines that go on out of the wallet: a period is bought before the one before it ends.
//!
//! It is bought early enough that a site which is dark hears of it in time, and late enough that the money is still the
//! customer's for most of a period. A line that somebody does not want so says it itself; a held one, one at a revoked
//! site and one whose wallet is too small are left alone, and are looked at again.

use std::time::Duration;

use tawi_shared::{IdSource, LineId, UnixMillis};

use super::wallet::{self, FromWallet};
use super::{PaymentError, store};
use crate::database::Connection;
use crate::entitlements::Status;
use crate::subscriptions::{self, Subscription};

/// The kind of cause of a period that is bought so, and who books it.
const RENEWAL: &str = "renewal";
/// The earliest: a day before the end, and never before three quarters of a period have gone.
const AHEAD_MOST: Duration = Duration::from_secs(86_400);
const PART_AHEAD: u32 = 4;
/// The latest: a line that ended while nobody looked goes on; one that ended before that was left.
const BEHIND_MOST: Duration = Duration::from_secs(86_400);

/// How long before its end a line of such periods goes on. Pure.
fn ahead(validity_seconds: u64) -> Duration {
    (Duration::from_secs(validity_seconds) / PART_AHEAD).min(AHEAD_MOST)
}

/// Whether a line is to go on now, if its wallet can pay. Pure.
fn is_due(line: &Subscription, now: UnixMillis) -> bool {
    let is_open = matches!(line.status, Status::Active | Status::Expired);
    line.renews
        && is_open
        && line.paid_until.is_some_and(|until| {
            until <= now.plus(ahead(line.validity_seconds)) && until > now.minus(BEHIND_MOST)
        })
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
    Ok(store::due_for_renewal(connection, now, (AHEAD_MOST, PART_AHEAD, BEHIND_MOST), limit).await?)
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
    match subscriptions::get(connection, line).await? {
        Some(standing) if is_due(&standing, now) => {
            wallet::buy_unpaid(connection, line, RENEWAL, RENEWAL, ids, now).await
        }
        Some(_) | None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
