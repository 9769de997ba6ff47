//! Lines that are open on trust: M-Pesa says that a request was paid, and its receipt does not come.
//!
//! ```text
//!   paid_unreceipted ──a minute──▶ is it a period, and the line not held? ──▶ open, a day at most ──▶ receipt: a period is bought
//!                                        │ no, or trusted before for nothing                     └─▶ none, or not paid: closed
//!                                        ▼
//!                                   left as it is
//! ```
//! No money is booked and nothing is bought: the line ends at its own instant, at the site, and what the receipt buys begins
//! when that comes, or when its site hears of it. Whether a line is trusted is decided once for each request, and while its site is there: trust that nobody
//! can use would be used up.

mod store;

use std::time::Duration;

use tawi_shared::UnixMillis;

use crate::database::Connection;
use crate::desired::{self, DesiredError, Refreshed};
use crate::entitlements::Status;
use crate::ids::LineId;
use crate::messages::{self, occasion::Occasion};

/// How long a receipt is waited for first: it mostly comes by another way within seconds.
const AFTER: Duration = Duration::from_secs(60);
/// The longest that a line is open so; a shorter period is the longest for its line.
const LONGEST: Duration = Duration::from_secs(86_400);
/// A line that was trusted and whose receipt never came is not trusted again for so long.
const NOT_AGAIN_WITHIN: Duration = Duration::from_secs(7 * 86_400);

/// What is known of a line of which M-Pesa says that it was paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    status: Status,
    paid_until: Option<UnixMillis>,
    /// How long the period is that was paid.
    validity: Duration,
    /// Whether it was trusted lately for money that has not come.
    was_trusted: bool,
}

/// Until when a line is open without its receipt; `None` where it is not, or is paid until then anyway.
fn until(line: Standing, now: UnixMillis) -> Option<UnixMillis> {
    let until = now.plus(line.validity.min(LONGEST));
    let is_held = line.status == Status::Suspended;
    let is_paid = line.paid_until.is_some_and(|paid| paid >= until);
    (!is_held && !line.was_trusted && !is_paid).then_some(until)
}

/// What one run did.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// Lines that were looked at.
    pub(crate) lines: Vec<LineId>,
    /// Whether a site must be told.
    pub(crate) is_site_to_be_told: bool,
}

impl Followed {
    async fn refresh(
        &mut self,
        connection: &mut Connection,
        line: LineId,
        now: UnixMillis,
    ) -> Result<(), DesiredError> {
        let refreshed = desired::refresh_line(connection, &line, now).await?;
        self.is_site_to_be_told |= matches!(refreshed, Refreshed::Changed { .. });
        self.lines.push(line);
        Ok(())
    }
}

/// Closes the lines that are open on trust and need it no more, and decides of those that may be, at most `limit` of each.
///
/// # Errors
/// [`DesiredError`]; the transaction must then be rolled back.
pub(crate) async fn follow_up(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<Followed, DesiredError> {
    let mut followed = Followed::default();
    for (intent, line, is_unpaid) in store::over(connection, now, limit).await? {
        if is_unpaid {
            let lines = std::slice::from_ref(&line);
            messages::about::ends(connection, Occasion::Suspended, lines, now).await?;
        }
        store::end(connection, &intent, &line).await?;
        tracing::info!(intent.id = %intent, subscription.id = %line, "a line is open on trust no more");
        followed.refresh(connection, line, now).await?;
    }
    let since = now.minus(NOT_AGAIN_WITHIN);
    for (intent, line, standing) in store::undecided(connection, now.minus(AFTER), since, limit).await? {
        let until = until(standing, now);
        store::decide(connection, (&intent, &line), (now, until)).await?;
        if let Some(until) = until {
            tracing::info!(
                intent.id = %intent, subscription.id = %line, until_ms = until.0,
                "a line is open on trust: M-Pesa says that it is paid, and the receipt has not come"
            );
            followed.refresh(connection, line, now).await?;
        }
    }
    Ok(followed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_trusted_for_a_day_at_most_unless_it_is_held_or_was_trusted_for_nothing() {
        const HOUR: u64 = 3_600;
        let now = UnixMillis(1_000);
        let check = |status, paid: Option<u64>, hours: u64, was_trusted, expected: Option<u64>| {
            let after = |hours: u64| now.plus(Duration::from_secs(hours * HOUR));
            let line = Standing {
                status,
                paid_until: paid.map(after),
                validity: Duration::from_secs(hours * HOUR),
                was_trusted,
            };
            assert_eq!(until(line, now), expected.map(after), "{line:?}");
        };
        check(Status::Draft, None, 720, false, Some(24));
        check(Status::Expired, Some(0), 720, false, Some(24));
        check(Status::Active, Some(23), 720, false, Some(24));
        check(Status::Expired, Some(0), 2, false, Some(2));
        check(Status::Active, Some(24), 720, false, None);
        check(Status::Active, Some(3), 2, false, None);
        check(Status::Suspended, Some(0), 720, false, None);
        check(Status::Expired, Some(0), 720, true, None);
    }
}
