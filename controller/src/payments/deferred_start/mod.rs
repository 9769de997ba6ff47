//! Paid time that begins when its site has heard of it.
//!
//! ```text
//!   bought ──▶ waits for its site ──▶ stored or enforced there at once: it began when it was bought
//!                    │
//!                    └── the site is away ──▶ it is back, or hears of it late: it begins now, and what is behind it later
//! ```
//! A site that is away knows nothing of what was paid meanwhile, and its router keeps the line closed. So whatever no site has
//! heard of has not begun: it is not used up, does not end, and whatever was bought ahead begins behind it. No money moves.
//! What waits is moved when its site says hello, before it is told of it, so that it hears of the right dates at once, and when
//! a site that was thought to be there hears of it late. Never sooner: until its hello nobody knows what a site enforced while
//! it could not be heard, and a period that ran there would be given twice.
//!
//! Time that a site is away once it has heard of a period is not made up for: the line is open there. A site whose disk takes
//! nothing any more enforces what it cannot store: that counts as heard. Data that is topped up counts from when it is
//! bought, with the period that it is for.

mod schedule;
mod store;

use std::time::Duration;

use tawi_shared::UnixMillis;

use self::schedule::Moved;
use super::PaymentError;
use crate::database::{Connection, Together};
use crate::desired;
use crate::entitlements::Period;
use crate::ids::{LineId, SiteId};
use crate::subscriptions::{self, SubscriptionError};

/// What a site that is there hears within this began when it was bought, as far as people notice.
const HEARD_WITHIN: Duration = Duration::from_secs(60);

/// Writes a period that was bought: it waits for the next generation of its line's site.
pub(super) fn begin(together: &mut Together, line: &LineId, period: Period) {
    store::add(together, line, period);
}

/// A site says hello, and has heard of everything up to a generation. What it has not heard of begins now. Which lines that
/// are, of which it must be told.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back, here and below.
pub(crate) async fn site_is_back(
    connection: &mut Connection,
    site: &SiteId,
    heard_generation: u64,
    now: UnixMillis,
) -> Result<Vec<LineId>, PaymentError> {
    // When it heard of them nobody knows, and that was while it was still there.
    store::set_heard(connection, site, heard_generation).await?;
    let waiting = store::waiting_since(connection, site, now.minus(HEARD_WITHIN)).await?;
    put_off(connection, waiting, now).await
}

/// A site has heard of everything up to a generation: it has stored or enforced it. What comes there late begins now. Which
/// lines that are, of which it must be told.
///
/// # Errors
/// As above.
pub(crate) async fn heard(
    connection: &mut Connection,
    site: &SiteId,
    generation: u64,
    now: UnixMillis,
) -> Result<Vec<LineId>, PaymentError> {
    let heard = store::set_heard(connection, site, generation).await?;
    put_off(connection, schedule::late(heard, now.minus(HEARD_WITHIN)), now).await
}

/// Lets the periods of lines from one on begin now, and in their order. Which lines have such periods.
async fn put_off(
    connection: &mut Connection,
    lines: impl IntoIterator<Item = (LineId, UnixMillis)>,
    now: UnixMillis,
) -> Result<Vec<LineId>, PaymentError> {
    let mut moved = Vec::new();
    for (line, since) in lines {
        if put_off_line(connection, &line, since, now).await? {
            moved.push(line);
        }
    }
    desired::refresh_lines(connection, &moved, now).await.map_err(SubscriptionError::Desired)?;
    Ok(moved)
}

async fn put_off_line(
    connection: &mut Connection,
    line: &LineId,
    since: UnixMillis,
    now: UnixMillis,
) -> Result<bool, PaymentError> {
    let periods = store::periods_from(connection, line, since).await?;
    let moved = schedule::moved(&periods, now);
    let Some(last) = moved.last() else { return Ok(false) };
    let Some(standing) = subscriptions::get(connection, line).await? else { return Ok(false) };
    store::move_periods(connection, line, &moved).await?;
    let by = last.to.ends_at.since(last.from.ends_at);
    tracing::info!(subscription.id = %line, by_seconds = by.as_secs(), "paid time begins later: its site was away");
    let paid_until = standing.paid_until.map_or(last.to.ends_at, |until| until.max(last.to.ends_at));
    subscriptions::put_off(connection, &standing, paid_until, now).await?;
    Ok(true)
}

impl Moved {
    /// How much later it begins.
    fn by(self) -> Duration {
        self.to.started_at.since(self.from.started_at)
    }
}

#[cfg(test)]
mod tests;
