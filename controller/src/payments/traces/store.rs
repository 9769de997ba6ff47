//! All SQL of traces.

use std::time::Duration;

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::{Begun, Trace};
use crate::columns;
use crate::database::{Connection, Row, Together};
use crate::ids::{CustomerId, LineId, PaymentId, SiteId};

/// The columns that [`read`] reads, with what follows `FROM payment_traces t`.
macro_rules! traces {
    ($rest:literal) => {
        concat!(
            "SELECT t.payment_id, t.subscription_id, t.site_id, t.generation, t.callback_received_at, t.booked_at, ",
            "t.published_at, t.stored_at, t.verified_at, t.online_at, t.failure, t.deferred_ms FROM payment_traces t ",
            $rest
        )
    };
}

/// A payment that came back to a line that had it before is on its way anew.
pub(super) fn add(together: &mut Together, begun: Begun<'_>) {
    together.add(
        "INSERT INTO payment_traces (payment_id, subscription_id, site_id, generation, callback_received_at, \
                                     booked_at) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (payment_id, subscription_id) DO UPDATE \
             SET site_id = excluded.site_id, generation = excluded.generation, \
                 callback_received_at = excluded.callback_received_at, booked_at = excluded.booked_at, \
                 published_at = NULL, stored_at = NULL, verified_at = NULL, online_at = NULL, failure = '', deferred_ms = 0",
    )
    .bind(begun.payment.as_str())
    .bind(begun.subscription.as_str())
    .bind(begun.site.as_str())
    .bind(columns::stored(begun.generation))
    .bind(begun.callback_received_at.0)
    .bind(begun.booked_at.0);
}

/// A trace that is verified already is dated too: the site's answer may be faster than the note of what it was told.
pub(super) async fn set_published(
    connection: &mut Connection,
    site: &SiteId,
    generation: u64,
    now: UnixMillis,
) -> Result<Vec<CustomerId>, sqlx::Error> {
    let rows = sqlx::query(
        "UPDATE payment_traces SET published_at = $3 \
         WHERE site_id = $1 AND generation <= $2 AND published_at IS NULL \
         RETURNING (SELECT s.customer_id FROM subscriptions s WHERE s.id = subscription_id) AS customer_id",
    )
    .bind(site.as_str())
    .bind(columns::stored(generation))
    .bind(now.0)
    .fetch_all(connection)
    .await?;
    customers(&rows)
}

/// Only traces that are not verified can still be on their way, and only those are in the index's reach.
pub(super) async fn set_stored(
    connection: &mut Connection,
    site: &SiteId,
    generation: u64,
    at: UnixMillis,
) -> Result<Vec<CustomerId>, sqlx::Error> {
    let rows = sqlx::query(
        "UPDATE payment_traces SET stored_at = $3 \
         WHERE site_id = $1 AND verified_at IS NULL AND generation <= $2 AND stored_at IS NULL \
         RETURNING (SELECT s.customer_id FROM subscriptions s WHERE s.id = subscription_id) AS customer_id",
    )
    .bind(site.as_str())
    .bind(columns::stored(generation))
    .bind(at.0)
    .fetch_all(connection)
    .await?;
    customers(&rows)
}

/// A trace that waits for its site.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) payment: PaymentId,
    pub(super) subscription: LineId,
    pub(super) customer: CustomerId,
    pub(super) failure: String,
}

impl Waiting {
    pub(super) fn of(&self) -> (&PaymentId, &LineId) {
        (&self.payment, &self.subscription)
    }
}

pub(super) async fn unverified(
    connection: &mut Connection,
    site: &SiteId,
    generation: u64,
) -> Result<Vec<Waiting>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT t.payment_id, t.subscription_id, t.failure, s.customer_id \
         FROM payment_traces t JOIN subscriptions s ON s.id = t.subscription_id \
         WHERE t.site_id = $1 AND t.verified_at IS NULL AND t.generation <= $2 ORDER BY t.booked_at, t.generation",
    )
    .bind(site.as_str())
    .bind(columns::stored(generation))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Waiting {
                payment: columns::parsed(row, "payment_id")?,
                subscription: columns::parsed(row, "subscription_id")?,
                customer: columns::parsed(row, "customer_id")?,
                failure: row.try_get("failure")?,
            })
        })
        .collect()
}

pub(super) async fn set_verified(
    connection: &mut Connection,
    (payment, line): (&PaymentId, &LineId),
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE payment_traces SET verified_at = $2, failure = '' WHERE payment_id = $1 AND subscription_id = $3",
    )
        .bind(payment.as_str())
        .bind(now.0)
        .bind(line.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn set_failure(
    connection: &mut Connection,
    (payment, line): (&PaymentId, &LineId),
    failure: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE payment_traces SET failure = $2 WHERE payment_id = $1 AND subscription_id = $3")
        .bind(payment.as_str())
        .bind(failure)
        .bind(line.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn set_online(
    connection: &mut Connection,
    line: &LineId,
    at: UnixMillis,
) -> Result<Option<CustomerId>, sqlx::Error> {
    let row = sqlx::query(
        "UPDATE payment_traces SET online_at = $2 \
         WHERE payment_id = (SELECT payment_id FROM payment_traces WHERE subscription_id = $1 AND booked_at <= $2 \
                             ORDER BY booked_at DESC, payment_id LIMIT 1) \
           AND subscription_id = $1 AND online_at IS NULL \
         RETURNING (SELECT s.customer_id FROM subscriptions s WHERE s.id = subscription_id) AS customer_id",
    )
    .bind(line.as_str())
    .bind(at.0)
    .fetch_optional(connection)
    .await?;
    row.map(|row| columns::parsed(&row, "customer_id")).transpose()
}

pub(super) async fn of_payment(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<Option<Trace>, sqlx::Error> {
    let row = sqlx::query(traces!("WHERE t.payment_id = $1 ORDER BY t.booked_at DESC LIMIT 1"))
        .bind(payment.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| read(&row)).transpose()
}

pub(super) async fn last_of_line(
    connection: &mut Connection,
    line: &LineId,
) -> Result<Option<Trace>, sqlx::Error> {
    let row =
        sqlx::query(traces!("WHERE t.subscription_id = $1 ORDER BY t.booked_at DESC, t.payment_id LIMIT 1"))
            .bind(line.as_str())
            .fetch_optional(connection)
            .await?;
    row.map(|row| read(&row)).transpose()
}

fn customers(rows: &[Row]) -> Result<Vec<CustomerId>, sqlx::Error> {
    let mut customers: Vec<CustomerId> =
        rows.iter().map(|row| columns::parsed(row, "customer_id")).collect::<Result<_, _>>()?;
    customers.sort();
    customers.dedup();
    Ok(customers)
}

/// A trace out of any row that selects its columns.
pub(crate) fn read(row: &Row) -> Result<Trace, sqlx::Error> {
    Ok(Trace {
        payment: columns::parsed(row, "payment_id")?,
        subscription: columns::parsed(row, "subscription_id")?,
        site: columns::parsed(row, "site_id")?,
        generation: columns::unsigned(row, "generation")?,
        callback_received_at: columns::instant(row, "callback_received_at")?,
        booked_at: columns::instant(row, "booked_at")?,
        published_at: columns::instant_or_none(row, "published_at")?,
        stored_at: columns::instant_or_none(row, "stored_at")?,
        verified_at: columns::instant_or_none(row, "verified_at")?,
        online_at: columns::instant_or_none(row, "online_at")?,
        failure: row.try_get("failure")?,
        deferred: Duration::from_millis(columns::unsigned(row, "deferred_ms")?),
    })
}
