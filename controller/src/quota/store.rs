//! All SQL of periods, and of what is used of them.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use crate::columns;
use crate::database::{Answers, Connection, Row, Together};
use crate::entitlements::Period;
use crate::ids::{LineId, SiteId};

/// A sum that no database refuses: exact up to 2^53 bytes, which no line moves in a period.
macro_rules! sum_of_bytes {
    () => {
        "CAST(COALESCE(SUM((upload_bytes + download_bytes) * 1.0), 0) AS BIGINT) AS used_bytes"
    };
}

/// What lines of a site moved in running periods that have a limit, as others told it; narrowed by a condition.
macro_rules! used_elsewhere {
    ($condition:literal) => {
        concat!(
            "SELECT p.line_id, p.started_at, ",
            sum_of_bytes!(),
            " FROM desired_lines d JOIN quota_periods p ON p.line_id = d.line_id ",
            "JOIN usage_sessions u ON u.line_id = p.line_id AND u.period_started_at = p.started_at ",
            "WHERE d.site_id = $1 AND d.is_removed = 0 AND p.bytes IS NOT NULL AND p.started_at <= $3 ",
            "AND p.ends_at > $3 AND (u.site_id <> $1 OR u.store_epoch <> $2) ",
            $condition,
            " GROUP BY p.line_id, p.started_at HAVING SUM((upload_bytes + download_bytes) * 1.0) > 0 ",
            "ORDER BY p.line_id"
        )
    };
}

/// What a line moved in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineUsage {
    /// Which line.
    pub line: LineId,
    /// Which period.
    pub period_started_at: UnixMillis,
    /// Upload and download together.
    pub bytes: u64,
}

pub(super) fn add(together: &mut Together, line: &LineId, period: Period) {
    together
        .add("INSERT INTO quota_periods (line_id, started_at, ends_at, bytes) VALUES ($1, $2, $3, $4)")
        .bind(line.as_str())
        .bind(period.started_at.0)
        .bind(period.ends_at.0)
        .bind(period.bytes.map(columns::stored));
}

pub(super) fn ask_periods_from_running(together: &mut Together, line: &LineId, now: UnixMillis, limit: u32) {
    together
        .add(
            "SELECT started_at, ends_at, bytes, topped_up_bytes FROM quota_periods \
         WHERE line_id = $1 AND started_at >= COALESCE(\
             (SELECT MAX(started_at) FROM quota_periods WHERE line_id = $1 AND started_at <= $2), $2) \
         ORDER BY started_at LIMIT $3 + 0",
        )
        .bind(line.as_str())
        .bind(now.0)
        .bind(i64::from(limit));
}

pub(super) fn answered_periods(answers: &mut Answers) -> Result<Vec<Period>, sqlx::Error> {
    answers.rows()?.iter().map(|row| Ok(read(row)?.0)).collect()
}

/// Periods that have ended since anybody looked, the longest ended first.
pub(super) async fn ended_unseen(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<(LineId, UnixMillis)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT line_id, started_at FROM quota_periods WHERE is_end_seen = 0 AND ends_at <= $1 \
         ORDER BY ends_at, line_id LIMIT $2",
    )
    .bind(now.0)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((columns::parsed(row, "line_id")?, columns::instant(row, "started_at")?)))
        .collect()
}

pub(super) async fn note_seen(
    connection: &mut Connection,
    line: &LineId,
    started_at: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE quota_periods SET is_end_seen = 1 WHERE line_id = $1 AND started_at = $2")
        .bind(line.as_str())
        .bind(started_at.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// The running period with what was topped up.
pub(super) async fn running(
    connection: &mut Connection,
    line: &LineId,
    now: UnixMillis,
) -> Result<Option<(Period, u64)>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT started_at, ends_at, bytes, topped_up_bytes FROM quota_periods \
         WHERE line_id = $1 AND started_at <= $2 AND ends_at > $2 ORDER BY started_at DESC LIMIT 1",
    )
    .bind(line.as_str())
    .bind(now.0)
    .fetch_optional(connection)
    .await?;
    row.map(|row| read(&row)).transpose()
}

pub(super) async fn top_up(
    connection: &mut Connection,
    line: &LineId,
    bytes: u64,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE quota_periods SET topped_up_bytes = topped_up_bytes + $3 \
         WHERE line_id = $1 AND started_at <= $2 AND ends_at > $2 AND bytes IS NOT NULL",
    )
    .bind(line.as_str())
    .bind(now.0)
    .bind(columns::stored(bytes))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn used(
    connection: &mut Connection,
    line: &LineId,
    period_started_at: UnixMillis,
) -> Result<u64, sqlx::Error> {
    let row = sqlx::query(concat!(
        "SELECT ",
        sum_of_bytes!(),
        " FROM usage_sessions WHERE line_id = $1 AND period_started_at = $2"
    ))
    .bind(line.as_str())
    .bind(period_started_at.0)
    .fetch_one(connection)
    .await?;
    columns::unsigned(&row, "used_bytes")
}

pub(super) async fn used_elsewhere(
    connection: &mut Connection,
    (site, store_epoch): (&SiteId, u32),
    only: Option<&LineId>,
    now: UnixMillis,
) -> Result<Vec<LineUsage>, sqlx::Error> {
    let query = match only {
        Some(line) => sqlx::query(used_elsewhere!("AND d.line_id = $4"))
            .bind(site.as_str())
            .bind(i64::from(store_epoch))
            .bind(now.0)
            .bind(line.as_str()),
        None => sqlx::query(used_elsewhere!("")).bind(site.as_str()).bind(i64::from(store_epoch)).bind(now.0),
    };
    let rows = query.fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            Ok(LineUsage {
                line: columns::parsed(row, "line_id")?,
                period_started_at: columns::instant(row, "started_at")?,
                bytes: columns::unsigned(row, "used_bytes")?,
            })
        })
        .collect()
}

fn read(row: &Row) -> Result<(Period, u64), sqlx::Error> {
    let own: Option<i64> = row.try_get("bytes")?;
    let topped_up: u64 = columns::unsigned(row, "topped_up_bytes")?;
    let period = Period {
        started_at: columns::instant(row, "started_at")?,
        ends_at: columns::instant(row, "ends_at")?,
        bytes: own.map(|own| u64::try_from(own).unwrap_or(0).saturating_add(topped_up)),
    };
    Ok((period, topped_up))
}
