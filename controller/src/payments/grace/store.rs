//! All SQL of lines that are open on trust.

use std::time::Duration;

use tawi_shared::UnixMillis;

use super::Standing;
use crate::columns;
use crate::database::{Connection, Together};
use crate::entitlements::Status;
use crate::ids::{IntentId, LineId};

/// Lines that are open on trust and are not to be any more: the time is over, or the request is not without a receipt. With
/// whether what was paid for before is over.
pub(super) async fn over(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<(IntentId, LineId, bool)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT g.intent_id, g.subscription_id, \
                CASE WHEN s.status IN ('active', 'expired') AND s.paid_until <= $1 THEN 1 ELSE 0 END AS is_unpaid \
         FROM graces g JOIN payment_intents i ON i.id = g.intent_id \
                       JOIN subscriptions s ON s.id = g.subscription_id \
         WHERE g.is_running = 1 AND (g.ends_at <= $1 OR i.state <> 'paid_unreceipted') \
         ORDER BY g.ends_at, g.intent_id LIMIT $2",
    )
    .bind(now.0)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let line = columns::parsed(row, "subscription_id")?;
            Ok((columns::parsed(row, "intent_id")?, line, columns::truth(row, "is_unpaid")?))
        })
        .collect()
}

/// Requests for a period that are without a receipt since an instant or longer, and of which nothing was decided; with what is
/// known of their lines, and whether these were trusted after `since` for money that has not come. A line whose site is away
/// cannot be opened: it is decided of once that is back.
pub(super) async fn undecided(
    connection: &mut Connection,
    before: UnixMillis,
    since: UnixMillis,
    limit: u32,
) -> Result<Vec<(IntentId, LineId, Standing)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT i.id, i.subscription_id, i.promised_validity_seconds, s.status, s.paid_until, \
                (SELECT COUNT(*) FROM graces o JOIN payment_intents p ON p.id = o.intent_id \
                 WHERE o.subscription_id = i.subscription_id AND o.ends_at > $2 AND o.ends_at > o.begins_at \
                   AND p.state <> 'paid') AS trusted \
         FROM payment_intents i JOIN subscriptions s ON s.id = i.subscription_id \
              JOIN routers r ON r.id = s.router_id JOIN sites t ON t.id = r.site_id \
         WHERE t.is_online = 1 AND i.state = 'paid_unreceipted' AND i.updated_at <= $1 AND i.top_up_id IS NULL \
           AND i.promised_validity_seconds IS NOT NULL \
           AND NOT EXISTS (SELECT 1 FROM graces g WHERE g.intent_id = i.id) \
         ORDER BY i.updated_at, i.id LIMIT $3",
    )
    .bind(before.0)
    .bind(since.0)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let standing = Standing {
                status: columns::word(row, "status", Status::parse)?,
                paid_until: columns::instant_or_none(row, "paid_until")?,
                validity: Duration::from_secs(columns::unsigned(row, "promised_validity_seconds")?),
                was_trusted: columns::truth(row, "trusted")?,
            };
            Ok((columns::parsed(row, "id")?, columns::parsed(row, "subscription_id")?, standing))
        })
        .collect()
}

/// Notes what was decided of a request, and opens its line where it is trusted.
pub(super) async fn decide(
    connection: &mut Connection,
    (intent, line): (&IntentId, &LineId),
    (now, until): (UnixMillis, Option<UnixMillis>),
) -> Result<(), sqlx::Error> {
    let mut together = Together::default();
    together
        .add(
            "INSERT INTO graces (intent_id, subscription_id, begins_at, ends_at, is_running) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(intent.as_str())
        .bind(line.as_str())
        .bind(now.0)
        .bind(until.unwrap_or(now).0)
        .bind(i64::from(until.is_some()));
    if let Some(until) = until {
        together
            .add("UPDATE subscriptions SET grace_from = $2, grace_until = $3 WHERE id = $1")
            .bind(line.as_str())
            .bind(now.0)
            .bind(until.0);
    }
    together.execute(connection).await?;
    Ok(())
}

/// Ends the trust in a line.
pub(super) async fn end(
    connection: &mut Connection,
    intent: &IntentId,
    line: &LineId,
) -> Result<(), sqlx::Error> {
    let mut together = Together::default();
    together.add("UPDATE graces SET is_running = 0 WHERE intent_id = $1").bind(intent.as_str());
    together
        .add("UPDATE subscriptions SET grace_from = NULL, grace_until = NULL WHERE id = $1")
        .bind(line.as_str());
    together.execute(connection).await?;
    Ok(())
}
