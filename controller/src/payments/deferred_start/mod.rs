//! Paid time that begins when its site has heard of it.
//!
//! ```text
//!   bought ──▶ waits for its site ──▶ stored there at once: it began when it was bought
//!                    │
//!                    └── the site is away ──▶ put off, as often as it would end unseen ──▶ the site is back: it begins now
//! ```
//! A site that is away knows nothing of what was paid meanwhile, and its router keeps the line closed. So whatever no site has
//! stored yet has not begun: it is not used up, does not end, and whatever was bought ahead begins behind it. No money moves.
//! A period that waits is moved when its site says hello, before it is told of it, so that it hears of the right dates at
//! once; when a site that was thought to be there stores it late; and when it would end before anybody could use it.
//!
//! Time that a site is away once it has stored a period is not made up for: the line is open there.

mod schedule;
mod store;

use std::time::Duration;

use tawi_shared::UnixMillis;

use self::schedule::Moved;
use super::PaymentError;
use crate::database::{Connection, Together};
use crate::desired::Refreshed;
use crate::entitlements::Period;
use crate::ids::{LineId, SiteId};
use crate::subscriptions;

/// What a site that is there stores within this began when it was bought, as far as people notice.
const STORED_WITHIN: Duration = Duration::from_secs(60);

/// Writes a period that was bought: it waits for the next generation of its line's site.
pub(super) fn begin(together: &mut Together, line: &LineId, period: Period) {
    store::add(together, line, period);
}

/// A site says hello, and has stored everything up to a generation. What it has not heard of begins now. Whether it must be
/// told.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back, here and below.
pub(crate) async fn site_is_back(
    connection: &mut Connection,
    site: &SiteId,
    stored_generation: u64,
    now: UnixMillis,
) -> Result<bool, PaymentError> {
    // When it stored them nobody heard, and that was while it was still there.
    store::set_stored(connection, site, stored_generation).await?;
    let mut is_told = false;
    for (line, since) in store::waiting_since(connection, site, now.minus(STORED_WITHIN)).await? {
        is_told |= put_off(connection, &line, since, now).await?;
    }
    Ok(is_told)
}

/// A site has stored everything up to a generation. What comes there late begins now. Whether it must be told.
///
/// # Errors
/// As above.
pub(crate) async fn stored(
    connection: &mut Connection,
    site: &SiteId,
    generation: u64,
    now: UnixMillis,
) -> Result<bool, PaymentError> {
    let mut is_told = false;
    for (line, since) in
        schedule::late(store::set_stored(connection, site, generation).await?, now.minus(STORED_WITHIN))
    {
        is_told |= put_off(connection, &line, since, now).await?;
    }
    Ok(is_told)
}

/// Puts off what would have ended before its site heard of it, at most `limit` lines. Which.
///
/// # Errors
/// As above.
pub(crate) async fn put_off_due(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<LineId>, PaymentError> {
    let due = store::due(connection, now, limit).await?;
    for (line, since) in &due {
        put_off(connection, line, *since, now).await?;
    }
    Ok(due.into_iter().map(|(line, _)| line).collect())
}

/// Lets the periods of a line from one on begin now, and in their order.
async fn put_off(
    connection: &mut Connection,
    line: &LineId,
    since: UnixMillis,
    now: UnixMillis,
) -> Result<bool, PaymentError> {
    let periods = store::periods_from(connection, line, since).await?;
    let moved = schedule::moved(&periods, now);
    let Some(last) = moved.last().copied() else { return Ok(false) };
    let paid_until = subscriptions::get(connection, line).await?.and_then(|line| line.paid_until);
    let Some(paid_until) = paid_until else { return Ok(false) };
    store::move_periods(connection, line, &moved).await?;
    let by = last.to.ends_at.since(last.from.ends_at);
    tracing::info!(subscription.id = %line, by_seconds = by.as_secs(), "paid time begins later: its site was away");
    let paid_until = Some(paid_until.plus(by));
    let refreshed = subscriptions::set_paid_until(connection, line, paid_until, now).await?;
    Ok(matches!(refreshed, Refreshed::Changed { .. }))
}

impl Moved {
    /// How much later it begins.
    fn by(self) -> Duration {
        self.to.started_at.since(self.from.started_at)
    }
}

#[cfg(test)]
mod tests;
