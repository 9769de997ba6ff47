//! All SQL of periods that wait for their sites.

use tawi_shared::UnixMillis;

use super::schedule::Moved;
use crate::columns;
use crate::database::{Connection, Row, Together};
use crate::entitlements::Period;
use crate::ids::{LineId, SiteId};
use crate::payments::corrections::schedule::Span;

/// The generation that tells of it is the one that its line's site takes next, in this transaction or, of what is bought far
/// ahead, in a later one.
pub(super) fn add(together: &mut Together, line: &LineId, period: Period) {
    together
        .add(
            "INSERT INTO quota_periods (line_id, started_at, ends_at, bytes, waits_for_site, waits_for_generation) \
             SELECT s.id, $2, $3, $4, i.id, i.generation + 1 \
             FROM subscriptions s JOIN routers r ON r.id = s.router_id JOIN sites i ON i.id = r.site_id WHERE s.id = $1",
        )
        .bind(line.as_str())
        .bind(period.started_at.0)
        .bind(period.ends_at.0)
        .bind(period.bytes.map(columns::stored));
}

/// Nothing up to a generation waits for the site any more. What did: which line, and since when it should have begun.
pub(super) async fn set_heard(
    connection: &mut Connection,
    site: &SiteId,
    generation: u64,
) -> Result<Vec<(LineId, UnixMillis)>, sqlx::Error> {
    let rows = sqlx::query(
        "UPDATE quota_periods SET waits_for_site = NULL, waits_for_generation = NULL \
         WHERE waits_for_site = $1 AND waits_for_generation <= $2 RETURNING line_id, started_at",
    )
    .bind(site.as_str())
    .bind(columns::stored(generation))
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_line).collect()
}

/// Lines that wait for a site, and since when, if that was before an instant.
pub(super) async fn waiting_since(
    connection: &mut Connection,
    site: &SiteId,
    before: UnixMillis,
) -> Result<Vec<(LineId, UnixMillis)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT line_id, MIN(started_at) AS started_at FROM quota_periods \
         WHERE waits_for_site = $1 AND waits_for_generation IS NOT NULL AND started_at < $2 \
         GROUP BY line_id ORDER BY line_id",
    )
    .bind(site.as_str())
    .bind(before.0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_line).collect()
}

pub(super) async fn periods_from(
    connection: &mut Connection,
    line: &LineId,
    since: UnixMillis,
) -> Result<Vec<Span>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT started_at, ends_at FROM quota_periods WHERE line_id = $1 AND started_at >= $2 ORDER BY started_at",
    )
    .bind(line.as_str())
    .bind(since.0)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Span {
                started_at: columns::instant(row, "started_at")?,
                ends_at: columns::instant(row, "ends_at")?,
            })
        })
        .collect()
}

/// Moves periods with what was bought of them, the last one first: none may take the place of one that has not moved.
pub(super) async fn move_periods(
    connection: &mut Connection,
    line: &LineId,
    moved: &[Moved],
) -> Result<(), sqlx::Error> {
    let mut together = Together::default();
    for one in moved.iter().rev() {
        let Moved { from, to, follows } = one;
        together
            .add(
                "UPDATE quota_periods SET started_at = $3, ends_at = $4, is_end_seen = 0 \
                 WHERE line_id = $1 AND started_at = $2",
            )
            .bind(line.as_str())
            .bind(from.started_at.0)
            .bind(to.started_at.0)
            .bind(to.ends_at.0);
        together
            .add(
                "UPDATE payment_traces SET deferred_ms = deferred_ms + $3 \
                 WHERE subscription_id = $1 AND payment_id IN \
                     (SELECT b.payment_id FROM purchases b WHERE b.line_id = $1 AND b.period_started_at = $2 \
                                                             AND b.what = 'period' AND b.taken_back_at IS NULL)",
            )
            .bind(line.as_str())
            .bind(from.started_at.0)
            .bind(columns::stored(u64::try_from(one.by().as_millis()).unwrap_or(u64::MAX)));
        together
            .add(
                "UPDATE purchases SET period_started_at = $3, \
                        paid_until_before = CASE WHEN what = 'period' AND $4 > 0 THEN $4 ELSE paid_until_before END \
                 WHERE line_id = $1 AND period_started_at = $2 AND taken_back_at IS NULL",
            )
            .bind(line.as_str())
            .bind(from.started_at.0)
            .bind(to.started_at.0)
            .bind(follows.map_or(0, |follows| follows.0));
        together.execute_when_full(connection).await?;
    }
    together.execute(connection).await?;
    Ok(())
}

fn read_line(row: &Row) -> Result<(LineId, UnixMillis), sqlx::Error> {
    Ok((columns::parsed(row, "line_id")?, columns::instant(row, "started_at")?))
}
