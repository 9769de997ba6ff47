//! All SQL of usage.

use sqlx::Row as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::{SessionUsageV1, short_name};

use super::{Amount, Session, Totals, UsageError, history};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::{LineId, SiteId};

/// Whether the site was ever told of the line. A line that moved away may still report what it used there.
pub(crate) async fn is_line_of(
    connection: &mut Connection,
    site: &SiteId,
    line: &str,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT line_id FROM desired_lines WHERE site_id = $1 AND line_id = $2")
        .bind(site.as_str())
        .bind(line)
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// What is kept of a session.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) line: String,
    pub(super) amount: Amount,
    pub(super) sampled_at: UnixMillis,
}

/// The session of that name, if one is kept.
pub(super) async fn known(
    connection: &mut Connection,
    site: &SiteId,
    session: &str,
) -> Result<Option<Known>, UsageError> {
    let row = sqlx::query(
        "SELECT line_id, sampled_at, upload_bytes, download_bytes FROM usage_sessions \
         WHERE site_id = $1 AND session_key = $2",
    )
    .bind(site.as_str())
    .bind(session)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Known {
            line: row.try_get("line_id")?,
            amount: read_amount(&row)?,
            sampled_at: UnixMillis(row.try_get("sampled_at")?),
        })
    })
    .transpose()
}

/// Adds to what a line moved in a span, up to 9 * 10^18: a site that tells ever more of one hour must not make a sum that
/// SQLite turns into a fraction and PostgreSQL refuses.
macro_rules! added {
    ($table:literal, $key:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (",
            $key,
            ", line_id, upload_bytes, download_bytes) VALUES ($1, $2, $3, $4) ",
            "ON CONFLICT (",
            $key,
            ", line_id) DO UPDATE SET ",
            "upload_bytes = CASE WHEN ",
            $table,
            ".upload_bytes > 9000000000000000000 - excluded.upload_bytes ",
            "THEN 9000000000000000000 ELSE ",
            $table,
            ".upload_bytes + excluded.upload_bytes END, ",
            "download_bytes = CASE WHEN ",
            $table,
            ".download_bytes > 9000000000000000000 - excluded.download_bytes ",
            "THEN 9000000000000000000 ELSE ",
            $table,
            ".download_bytes + excluded.download_bytes END"
        )
    };
}

/// Adds to an hour of a line, and to the day that it is in.
pub(super) async fn add_to_history(
    connection: &mut Connection,
    line: &str,
    hour: UnixMillis,
    amount: Amount,
) -> Result<(), UsageError> {
    let (up, down) = (columns::stored(amount.upload_bytes), columns::stored(amount.download_bytes));
    sqlx::query(added!("usage_hours", "hour_at"))
        .bind(hour.0)
        .bind(line)
        .bind(up)
        .bind(down)
        .execute(&mut *connection)
        .await?;
    sqlx::query(added!("usage_days", "day_at"))
        .bind(history::day_of(hour).0)
        .bind(line)
        .bind(up)
        .bind(down)
        .execute(connection)
        .await?;
    Ok(())
}

/// Every span of a table of history from the first to the last of a line: each is one look into the table, however large
/// it is.
macro_rules! spans {
    ($table:literal, $column:literal, $millis:literal) => {
        concat!(
            "WITH RECURSIVE wanted (at) AS (SELECT CAST($2 AS BIGINT) UNION ALL ",
            "SELECT at + ",
            $millis,
            " FROM wanted WHERE at + ",
            $millis,
            " <= $3) ",
            "SELECT w.at, COALESCE(u.upload_bytes, 0) AS upload_bytes, COALESCE(u.download_bytes, 0) AS download_bytes ",
            "FROM wanted w LEFT JOIN ",
            $table,
            " u ON u.",
            $column,
            " = w.at AND u.line_id = $1 ORDER BY w.at"
        )
    };
}

/// By hour.
pub(super) async fn hours(
    connection: &mut Connection,
    line: &LineId,
    span: (i64, i64),
) -> Result<Vec<(UnixMillis, Amount)>, UsageError> {
    read_spans(connection, spans!("usage_hours", "hour_at", "3600000"), line, span).await
}

/// By day.
pub(super) async fn days(
    connection: &mut Connection,
    line: &LineId,
    span: (i64, i64),
) -> Result<Vec<(UnixMillis, Amount)>, UsageError> {
    read_spans(connection, spans!("usage_days", "day_at", "86400000"), line, span).await
}

async fn read_spans(
    connection: &mut Connection,
    query: &'static str,
    line: &LineId,
    (first, last): (i64, i64),
) -> Result<Vec<(UnixMillis, Amount)>, UsageError> {
    let rows = sqlx::query(query).bind(line.as_str()).bind(first).bind(last).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((UnixMillis(row.try_get("at")?), read_amount(row)?))).collect()
}

/// Raises the session's totals to `session`'s.
pub(super) async fn put(
    connection: &mut Connection,
    (site, store_epoch): (&SiteId, u32),
    session: &SessionUsageV1,
) -> Result<(), UsageError> {
    // CASE, because the greatest of two is MAX in SQLite and GREATEST in PostgreSQL.
    sqlx::query(
        "INSERT INTO usage_sessions (site_id, session_key, line_id, started_at, sampled_at, is_ended, upload_bytes, \
                                     download_bytes, address, period_started_at, store_epoch, short_name) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (site_id, session_key) DO UPDATE SET \
             sampled_at = CASE WHEN excluded.sampled_at > usage_sessions.sampled_at \
                               THEN excluded.sampled_at ELSE usage_sessions.sampled_at END, \
             is_ended = CASE WHEN excluded.is_ended > usage_sessions.is_ended \
                             THEN excluded.is_ended ELSE usage_sessions.is_ended END, \
             upload_bytes = CASE WHEN excluded.upload_bytes > usage_sessions.upload_bytes \
                                 THEN excluded.upload_bytes ELSE usage_sessions.upload_bytes END, \
             download_bytes = CASE WHEN excluded.download_bytes > usage_sessions.download_bytes \
                                   THEN excluded.download_bytes ELSE usage_sessions.download_bytes END, \
             address = CASE WHEN excluded.address = '' THEN usage_sessions.address ELSE excluded.address END, \
             period_started_at = excluded.period_started_at, store_epoch = excluded.store_epoch, \
             short_name = excluded.short_name \
         WHERE usage_sessions.line_id = excluded.line_id",
    )
    .bind(site.as_str())
    .bind(session.session.as_str())
    .bind(session.line.as_str())
    .bind(session.started_at_ms)
    .bind(session.sampled_at_ms)
    .bind(i64::from(session.is_ended))
    .bind(columns::stored(session.upload_bytes))
    .bind(columns::stored(session.download_bytes))
    .bind(session.address.as_str())
    .bind(session.period_started_ms)
    .bind(i64::from(store_epoch))
    .bind(number_of(short_name(&session.session)))
    .execute(connection)
    .await?;
    Ok(())
}

fn number_of(short_name: [u8; 4]) -> i64 {
    i64::from(u32::from_be_bytes(short_name))
}

/// The running session of that short name as it was told last; `None` where nobody has it, or two have.
pub(super) async fn running(
    connection: &mut Connection,
    site: &SiteId,
    short_name: [u8; 4],
) -> Result<Option<SessionUsageV1>, UsageError> {
    let rows = sqlx::query(
        "SELECT session_key, line_id, started_at, period_started_at FROM usage_sessions \
         WHERE site_id = $1 AND short_name = $2 AND is_ended = 0 AND short_name >= 0 LIMIT 2",
    )
    .bind(site.as_str())
    .bind(number_of(short_name))
    .fetch_all(connection)
    .await?;
    let [row] = rows.as_slice() else { return Ok(None) };
    Ok(Some(SessionUsageV1 {
        line: row.try_get("line_id")?,
        session: row.try_get("session_key")?,
        started_at_ms: row.try_get("started_at")?,
        sampled_at_ms: 0,
        upload_bytes: 0,
        download_bytes: 0,
        is_ended: false,
        address: String::new(),
        period_started_ms: row.try_get("period_started_at")?,
    }))
}

pub(super) async fn sessions_of_line(
    connection: &mut Connection,
    line: &LineId,
    limit: u32,
) -> Result<Vec<Session>, UsageError> {
    let rows = sqlx::query(
        "SELECT site_id, session_key, line_id, started_at, sampled_at, is_ended, upload_bytes, download_bytes, \
                address, period_started_at \
         FROM usage_sessions WHERE line_id = $1 ORDER BY started_at DESC, session_key LIMIT $2",
    )
    .bind(line.as_str())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_session).collect()
}

pub(super) async fn totals_of_line(connection: &mut Connection, line: &LineId) -> Result<Totals, UsageError> {
    // Casts, because a sum of BIGINT is NUMERIC in PostgreSQL, and an empty one is NULL in both. Not a sum of integers,
    // because SQLite refuses one that overflows; this one is exact up to 2^53, and then as large as it gets.
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(upload_bytes * 1.0), 0) AS BIGINT) AS upload_bytes, \
                CAST(COALESCE(SUM(download_bytes * 1.0), 0) AS BIGINT) AS download_bytes, \
                COUNT(*) AS sessions \
         FROM usage_sessions WHERE line_id = $1",
    )
    .bind(line.as_str())
    .fetch_one(connection)
    .await?;
    Ok(Totals {
        upload_bytes: number(&row, "upload_bytes")?,
        download_bytes: number(&row, "download_bytes")?,
        sessions: number(&row, "sessions")?,
    })
}

/// Forgets at most `limit` sessions whose last sample is older than `before`; says how many. Those that count towards a
/// period that still runs at `now` stay: a period may be longer than sessions are kept, and its data must not come back.
pub(crate) async fn forget(
    connection: &mut Connection,
    (before, now): (UnixMillis, UnixMillis),
    limit: u32,
) -> Result<u64, UsageError> {
    let done = sqlx::query(
        "DELETE FROM usage_sessions WHERE (site_id, session_key) IN \
             (SELECT u.site_id, u.session_key FROM usage_sessions u WHERE u.sampled_at < $1 AND NOT EXISTS \
                  (SELECT 1 FROM quota_periods p WHERE p.line_id = u.line_id AND p.started_at = u.period_started_at \
                                                   AND p.ends_at > $3) LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(limit))
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Forgets at most `limit` hours of lines older than `before`; says how many.
pub(crate) async fn forget_hours(
    connection: &mut Connection,
    before: UnixMillis,
    limit: u32,
) -> Result<u64, UsageError> {
    let done = sqlx::query(
        "DELETE FROM usage_hours WHERE (hour_at, line_id) IN \
             (SELECT hour_at, line_id FROM usage_hours WHERE hour_at < $1 ORDER BY hour_at LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// The same of days.
pub(crate) async fn forget_days(
    connection: &mut Connection,
    before: UnixMillis,
    limit: u32,
) -> Result<u64, UsageError> {
    let done = sqlx::query(
        "DELETE FROM usage_days WHERE (day_at, line_id) IN \
             (SELECT day_at, line_id FROM usage_days WHERE day_at < $1 ORDER BY day_at LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

fn read_amount(row: &Row) -> Result<Amount, UsageError> {
    Ok(Amount { upload_bytes: number(row, "upload_bytes")?, download_bytes: number(row, "download_bytes")? })
}

fn read_session(row: &Row) -> Result<Session, UsageError> {
    let site: String = row.try_get("site_id")?;
    let line: String = row.try_get("line_id")?;
    Ok(Session {
        site: SiteId::parse(&site).map_err(|_| UsageError::Row { column: "site_id", value: site })?,
        line: LineId::parse(&line).map_err(|_| UsageError::Row { column: "line_id", value: line })?,
        session_key: row.try_get("session_key")?,
        started_at: UnixMillis(row.try_get("started_at")?),
        sampled_at: UnixMillis(row.try_get("sampled_at")?),
        is_ended: row.try_get::<i64, _>("is_ended")? != 0,
        upload_bytes: number(row, "upload_bytes")?,
        download_bytes: number(row, "download_bytes")?,
        address: row.try_get("address")?,
        period_started_at: UnixMillis(row.try_get("period_started_at")?),
    })
}

fn number(row: &Row, column: &str) -> Result<u64, UsageError> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}
