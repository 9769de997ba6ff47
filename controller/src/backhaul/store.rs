//! All SQL of what the lines of sites carry.

use sqlx::Row as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::{LinePart, LineReportV1};

use super::{Backhaul, Month};
use crate::columns;
use crate::database::Connection;
use crate::ids::SiteId;

pub(super) async fn put(
    connection: &mut Connection,
    site: &SiteId,
    report: &LineReportV1,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO site_backhaul (site_id, hourly_bytes, keep_alive_seconds, backlog_records, said_at) \
         VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (site_id) DO UPDATE SET hourly_bytes = $2, keep_alive_seconds = $3, backlog_records = $4, \
             said_at = $5",
    )
    .bind(site.as_str())
    .bind(number(report.hourly_bytes))
    .bind(i64::from(report.keep_alive_seconds))
    .bind(number(report.backlog_records))
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn put_part(
    connection: &mut Connection,
    site: &SiteId,
    month: u32,
    (part, up, down): (LinePart, u64, u64),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO site_backhaul_months (site_id, month, part, up_bytes, down_bytes) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (site_id, month, part) DO UPDATE SET \
             up_bytes = CASE WHEN site_backhaul_months.up_bytes < $4 THEN $4 ELSE site_backhaul_months.up_bytes END, \
             down_bytes = CASE WHEN site_backhaul_months.down_bytes < $5 THEN $5 \
                               ELSE site_backhaul_months.down_bytes END",
    )
    .bind(site.as_str())
    .bind(i64::from(month))
    .bind(part.as_str())
    .bind(number(up))
    .bind(number(down))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn forget_before(
    connection: &mut Connection,
    site: &SiteId,
    month: u32,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM site_backhaul_months WHERE site_id = $1 AND month < $2")
        .bind(site.as_str())
        .bind(i64::from(month))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn of_site(
    connection: &mut Connection,
    site: &SiteId,
) -> Result<Option<Backhaul>, sqlx::Error> {
    let said = sqlx::query(
        "SELECT hourly_bytes, keep_alive_seconds, backlog_records, said_at FROM site_backhaul WHERE site_id = $1",
    )
    .bind(site.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(said) = said else { return Ok(None) };
    let rows = sqlx::query(
        "SELECT month, part, up_bytes, down_bytes FROM site_backhaul_months WHERE site_id = $1 ORDER BY month DESC",
    )
    .bind(site.as_str())
    .fetch_all(connection)
    .await?;
    let mut months: Vec<Month> = Vec::new();
    for row in &rows {
        let month: u32 = columns::unsigned(row, "month")?;
        let part = columns::word(row, "part", LinePart::parse)?;
        let carried = (part, columns::unsigned(row, "up_bytes")?, columns::unsigned(row, "down_bytes")?);
        match months.last_mut().filter(|last| last.month == month) {
            Some(last) => last.parts.push(carried),
            None => months.push(Month { month, parts: vec![carried] }),
        }
    }
    months.iter_mut().for_each(|month| month.parts.sort_unstable());
    Ok(Some(Backhaul {
        hourly_bytes: columns::unsigned(&said, "hourly_bytes")?,
        keep_alive_seconds: columns::unsigned(&said, "keep_alive_seconds")?,
        backlog_records: columns::unsigned(&said, "backlog_records")?,
        said_at: UnixMillis(said.try_get("said_at")?),
        months,
    }))
}

/// What the database can hold of it.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
