//! What a site that was away cost of a period is added to it: time that was paid for and could not be used begins when the line
//! opens.
//!
//! Only the period that opened the line is moved, and those that follow it with it: whoever pays ahead loses nothing. No money
//! moves; by how much it was moved stays with the payment.

use std::time::Duration;

use tawi_shared::UnixMillis;

use super::store;
use crate::database::Connection;
use crate::desired::Refreshed;
use crate::ids::{LineId, PaymentId};
use crate::subscriptions;

/// What opens within this opens at once, as far as people notice.
const UNNOTICED: Duration = Duration::from_secs(5 * 60);
/// The most that is added: a site that was away for longer is a matter for people.
const MOST: Duration = Duration::from_secs(30 * 86_400);

/// How much is added to a period that was paid for at one instant and could be used from another on.
fn added(booked_at: UnixMillis, usable_at: UnixMillis) -> Option<Duration> {
    let late = usable_at.since(booked_at);
    (late >= UNNOTICED).then_some(late.min(MOST))
}

/// Whether a period that was paid for then is still moved whole when its line opens now.
pub(super) fn may_move(booked_at: UnixMillis, now: UnixMillis) -> bool {
    now.since(booked_at) < MOST
}

/// Moves the period that a payment opened a line with to where the line opened. Whether its site must be told.
pub(super) async fn make_up(
    connection: &mut Connection,
    (payment, line): (&PaymentId, &LineId),
    booked_at: UnixMillis,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let Some(added) = added(booked_at, now) else { return Ok(false) };
    let Some(paid_until) = store::move_periods(connection, line, booked_at, added).await? else {
        return Ok(false);
    };
    store::note_added(connection, (payment, line), added).await?;
    tracing::info!(
        payment.id = %payment, subscription.id = %line, added_seconds = added.as_secs(),
        "a period begins when its line opened: the site was away"
    );
    let refreshed = subscriptions::set_paid_until(connection, line, Some(paid_until), now).await;
    let refreshed = refreshed.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(matches!(refreshed, Refreshed::Changed { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_late_is_made_up_for_whole_up_to_a_month_and_what_opens_at_once_is_not() {
        let check = |late: u64, expected: Option<u64>| {
            let booked = UnixMillis(1_000);
            let found = added(booked, booked.plus(Duration::from_secs(late)));
            assert_eq!(found.map(|added| added.as_secs()), expected, "{late}");
        };
        check(0, None);
        check(299, None);
        check(300, Some(300));
        check(86_400, Some(86_400));
        check(40 * 86_400, Some(30 * 86_400));
        assert_eq!(added(UnixMillis(1_000_000), UnixMillis(0)), None, "a clock that went back");
    }
}
