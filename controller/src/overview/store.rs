//! All SQL of the overview. The rest it takes from the nouns that it shows.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use crate::database::Connection;
use crate::money::Money;

const MILLIS_PER_HOUR: i64 = 3_600_000;

/// What came in during one hour, counted from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HourTaken {
    pub(super) index: i64,
    pub(super) amount: Money,
    pub(super) payments: u64,
}

/// Payments by hour from `from` up to and including `to`. Reads the payments of that time, by index.
pub(super) async fn taken_by_hour(
    connection: &mut Connection,
    from: UnixMillis,
    to: UnixMillis,
) -> Result<Vec<HourTaken>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT (received_at - $1) / $2 AS hour_index, CAST(SUM(amount_cents) AS BIGINT) AS amount_cents, \
                COUNT(*) AS payments \
         FROM payments WHERE received_at >= $1 AND received_at <= $3 AND part_of IS NULL AND closed <> 'undone' \
         GROUP BY (received_at - $1) / $2",
    )
    .bind(from.0)
    .bind(MILLIS_PER_HOUR)
    .bind(to.0)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(HourTaken {
                index: row.try_get("hour_index")?,
                amount: Money::from_cents(row.try_get("amount_cents")?),
                payments: u64::try_from(row.try_get::<i64, _>("payments")?).unwrap_or(0),
            })
        })
        .collect()
}

/// Subscriptions with a session: an index holds just those.
pub(super) async fn lines_online(connection: &mut Connection) -> Result<u64, sqlx::Error> {
    let row = sqlx::query("SELECT COUNT(*) AS lines FROM subscriptions WHERE is_online = 1")
        .fetch_one(connection)
        .await?;
    Ok(u64::try_from(row.try_get::<i64, _>("lines")?).unwrap_or(0))
}

pub(super) async fn has_plans(connection: &mut Connection) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT id FROM plans LIMIT 1").fetch_optional(connection).await?;
    Ok(row.is_some())
}
