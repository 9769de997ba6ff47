//! The first page and its figures: what stands, what came in today, and who paid and is not connected.
//!
//! Read-only. Each figure is one indexed query whose cost is what it shows, not how many customers there are.

pub mod api;
pub mod pages;
pub mod store;

use std::time::Duration;

use tawi_shared::UnixMillis;
use thiserror::Error;

use crate::closing;
use crate::database::Connection;
use crate::held_plans::{self, HeldPlan};
use crate::money::Money;
use crate::mpesa::ShortCodes;
use crate::mpesa::health::{self, judgement};
use crate::payments::{self, PaymentError, PaymentRow, Taken};
use crate::releases;
use crate::sites::{self, Router, Site, SiteError};
use crate::web::display;

/// How long a payment may take to reach the router before it is shown as a problem.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(60);
/// The newest payments on the first page: what fits a screen.
const RECENT: u32 = 12;
const HOUR: Duration = Duration::from_secs(3_600);
/// Hours of a day: Nairobi has no summer time.
const HOURS: u32 = 24;

/// Why it cannot be shown.
#[derive(Debug, Error)]
pub enum OverviewError {
    /// The database refuses.
    #[error("overview: {0}")]
    Database(#[from] sqlx::Error),
    /// Sites cannot be read.
    #[error(transparent)]
    Sites(#[from] SiteError),
    /// Payments cannot be read.
    #[error(transparent)]
    Payments(#[from] PaymentError),
}

/// Payments of one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hour {
    /// When it began.
    pub from: UnixMillis,
    /// How much came in.
    pub amount: Money,
    /// How many payments that was.
    pub payments: u64,
}

/// Everything that the first page shows.
#[derive(Clone, Debug)]
pub struct Overview {
    /// All sites.
    pub sites: Vec<Site>,
    /// Subscriptions with a session.
    pub lines_online: u64,
    /// What came in since Nairobi's midnight.
    pub today: Taken,
    /// The hours of today that have begun.
    pub hours: Vec<Hour>,
    /// Paid more than a minute ago, and not on the router yet.
    pub unconnected: Vec<PaymentRow>,
    /// What guards hold until a person has looked.
    pub held: Vec<HeldPlan>,
    /// Routers on which another board answers than before: nothing is written to them until a person has looked.
    pub strangers: Vec<Router>,
    /// Payments, requests and callbacks that a person has to look at, however many they are.
    pub for_review: u64,
    /// How many of these wait for more than a day.
    pub overdue_reviews: u64,
    /// What does not work with M-Pesa, each in a sentence without a full stop.
    pub mpesa_alarms: Vec<String>,
    /// The newest payments.
    pub recent: Vec<PaymentRow>,
    /// What the last proof of the books found broken.
    pub broken_books: Vec<String>,
    /// What stopped or stands still of an upgrade of the agents, each in a sentence without a full stop.
    pub upgrade_alarms: Vec<String>,
    /// Whether there is anything to sell: without plans nobody can subscribe.
    pub has_plans: bool,
}

/// Reads it all.
///
/// # Errors
/// When the database refuses.
pub async fn read(
    connection: &mut Connection,
    short_codes: Option<&ShortCodes>,
    now: UnixMillis,
) -> Result<Overview, OverviewError> {
    let reviews = payments::review::waiting(connection, now).await?;
    let midnight = display::midnight(now);
    let hours = hours(store::taken_by_hour(connection, midnight, now).await?, midnight, now);
    Ok(Overview {
        sites: sites::list(connection).await?,
        lines_online: store::lines_online(connection).await?,
        today: payments::money_between(connection, midnight, now.plus(Duration::from_millis(1))).await?,
        hours,
        unconnected: payments::unconnected(connection, now, CONNECT_WITHIN).await?,
        held: held_plans::list(connection, None).await?,
        strangers: sites::all_routers(connection).await?.into_iter().filter(Router::is_stranger).collect(),
        for_review: reviews.all,
        overdue_reviews: reviews.overdue,
        mpesa_alarms: judgement::alarms(&health::read(connection, short_codes, now).await?, now),
        recent: payments::recent_payments(connection, RECENT).await?,
        broken_books: closing::proof::alarms(closing::proof::last(connection, now).await?.as_ref(), now),
        upgrade_alarms: releases::pages::alarms(connection, now).await?,
        has_plans: store::has_plans(connection).await?,
    })
}

/// Fills in the hours without payments.
fn hours(taken: Vec<store::HourTaken>, midnight: UnixMillis, now: UnixMillis) -> Vec<Hour> {
    (0..HOURS)
        .map(|index| (i64::from(index), midnight.plus(HOUR.saturating_mul(index))))
        .take_while(|(_, from)| *from <= now)
        .map(|(index, from)| {
            let found = taken.iter().find(|taken| taken.index == index);
            Hour {
                from,
                amount: found.map_or(Money::ZERO, |taken| taken.amount),
                payments: found.map_or(0, |taken| taken.payments),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_an_hour_for_each_that_began_whether_paid_in_or_not() {
        let midnight = UnixMillis(1_795_554_000_000);
        assert_eq!(display::midnight(midnight), midnight);
        let taken = vec![store::HourTaken { index: 2, amount: Money::from_cents(5), payments: 1 }];
        let hours = hours(taken, midnight, midnight.plus(HOUR * 2));
        let payments: Vec<u64> = hours.iter().map(|hour| hour.payments).collect();
        assert_eq!(payments, [0, 0, 1]);
        assert_eq!(super::hours(Vec::new(), midnight, midnight.plus(HOUR * 23)).len(), 24);
    }
}
