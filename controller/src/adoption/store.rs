//! All SQL of rows that could be taken over.

use std::collections::BTreeMap;

use sqlx::Row as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::{CommandKind, ForeignRowsV1, Service};

use super::matching::Person;
use super::{ForeignRow, KnownLine};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::{LineId, SiteId};
use crate::sites::Router;

/// Customers that rows are compared with: far more than any ISP of this size has.
const PEOPLE: i64 = 200_000;

/// Forgets what an earlier reading of the router found.
pub(super) async fn forget_others(
    connection: &mut Connection,
    site: &SiteId,
    rows: &ForeignRowsV1,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM foreign_rows WHERE site_id = $1 AND router_name = $2 AND command_id <> $3")
        .bind(site.as_str())
        .bind(rows.router.as_str())
        .bind(rows.command.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn count(
    connection: &mut Connection,
    site: &SiteId,
    router: &str,
) -> Result<u64, sqlx::Error> {
    let row =
        sqlx::query("SELECT COUNT(*) AS rows FROM foreign_rows WHERE site_id = $1 AND router_name = $2")
            .bind(site.as_str())
            .bind(router)
            .fetch_one(connection)
            .await?;
    columns::unsigned(&row, "rows")
}

pub(super) async fn put(
    connection: &mut Connection,
    site: &SiteId,
    rows: &ForeignRowsV1,
    row: &ForeignRow,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO foreign_rows (command_id, site_id, router_name, service, username, comment, profile, \
                                   rate_limit, is_disabled, is_online, address, caller_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (site_id, router_name, service, username) DO NOTHING",
    )
    .bind(rows.command.as_str())
    .bind(site.as_str())
    .bind(rows.router.as_str())
    .bind(i64::from(row.service.code()))
    .bind(row.username.as_str())
    .bind(row.comment.as_str())
    .bind(row.profile.as_str())
    .bind(row.rate_limit.as_str())
    .bind(i64::from(row.is_disabled))
    .bind(i64::from(row.is_online))
    .bind(row.address.as_str())
    .bind(row.caller_id.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn rows_of(
    connection: &mut Connection,
    site: &SiteId,
    router: &str,
) -> Result<Vec<ForeignRow>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT service, username, comment, profile, rate_limit, is_disabled, is_online, address, caller_id \
         FROM foreign_rows WHERE site_id = $1 AND router_name = $2 ORDER BY username, service",
    )
    .bind(site.as_str())
    .bind(router)
    .fetch_all(connection)
    .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let Some(service) = Service::from_code(columns::unsigned(row, "service")?) else { continue };
        found.push(ForeignRow {
            service,
            username: row.try_get("username")?,
            comment: row.try_get("comment")?,
            profile: row.try_get("profile")?,
            rate_limit: row.try_get("rate_limit")?,
            is_disabled: columns::truth(row, "is_disabled")?,
            is_online: columns::truth(row, "is_online")?,
            address: row.try_get("address")?,
            caller_id: row.try_get("caller_id")?,
        });
    }
    Ok(found)
}

/// Keeps what somebody brought for the rows of a router in the place of an earlier one, and says whether there was one.
pub(super) async fn keep_table(
    connection: &mut Connection,
    (site, router): (&SiteId, &str),
    body: &str,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let is_replaced = forget_table(connection, site, router).await?;
    sqlx::query("INSERT INTO adoption_tables (site_id, router_name, body, kept_at) VALUES ($1, $2, $3, $4)")
        .bind(site.as_str())
        .bind(router)
        .bind(body)
        .bind(now.0)
        .execute(connection)
        .await?;
    Ok(is_replaced)
}

/// Says whether there was one.
pub(super) async fn forget_table(
    connection: &mut Connection,
    site: &SiteId,
    router: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("DELETE FROM adoption_tables WHERE site_id = $1 AND router_name = $2")
        .bind(site.as_str())
        .bind(router)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets what has been kept since before `oldest`.
pub(super) async fn forget_old_tables(
    connection: &mut Connection,
    oldest: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM adoption_tables WHERE kept_at < $1").bind(oldest.0).execute(connection).await?;
    Ok(())
}

/// The table that is kept for a router since `oldest` or later; empty for none.
pub(super) async fn kept_table(
    connection: &mut Connection,
    (site, router): (&SiteId, &str),
    oldest: UnixMillis,
) -> Result<String, sqlx::Error> {
    let row = sqlx::query(
        "SELECT body FROM adoption_tables WHERE site_id = $1 AND router_name = $2 AND kept_at >= $3",
    )
    .bind(site.as_str())
    .bind(router)
    .bind(oldest.0)
    .fetch_optional(connection)
    .await?;
    row.map_or_else(|| Ok(String::new()), |row| row.try_get("body"))
}

/// How many rows of a router are no line's that its site was told of and that was ever paid for.
pub(super) async fn count_open(connection: &mut Connection, router: &Router) -> Result<u64, sqlx::Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS rows FROM foreign_rows f WHERE f.site_id = $1 AND f.router_name = $2 AND NOT EXISTS \
             (SELECT 1 FROM subscriptions s JOIN desired_lines d ON d.line_id = s.id AND d.is_removed = 0 \
               WHERE s.router_id = $3 AND s.username = f.username AND s.paid_until IS NOT NULL)",
    )
    .bind(router.site.as_str())
    .bind(router.name.as_str())
    .bind(router.id.as_str())
    .fetch_one(connection)
    .await?;
    columns::unsigned(&row, "rows")
}

/// All customers, by what they are recognised by. A hundred bytes each.
pub(super) async fn people(connection: &mut Connection) -> Result<Vec<Person>, sqlx::Error> {
    let rows =
        sqlx::query("SELECT id, account_number, phone, name FROM customers ORDER BY created_at, id LIMIT $1")
            .bind(PEOPLE)
            .fetch_all(connection)
            .await?;
    rows.iter()
        .map(|row| {
            Ok(Person {
                id: columns::parsed(row, "id")?,
                account: columns::parsed(row, "account_number")?,
                phone: columns::parsed(row, "phone")?,
                name: row.try_get("name")?,
            })
        })
        .collect()
}

/// All lines of a router, by name.
pub(super) async fn lines_on(
    connection: &mut Connection,
    router: &Router,
) -> Result<BTreeMap<String, KnownLine>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT s.id, s.username, s.customer_id, s.plan_id, s.paid_until, s.address, s.caller_id, \
                CASE WHEN s.password = '' THEN 0 ELSE 1 END AS has_password, \
                (SELECT COUNT(*) FROM desired_lines d WHERE d.line_id = s.id AND d.is_removed = 0) AS told, \
                CASE WHEN EXISTS (SELECT 1 FROM foreign_rows f WHERE f.site_id = $2 AND f.router_name = $3 \
                                      AND f.username = s.username) THEN 1 ELSE 0 END AS is_row \
         FROM subscriptions s WHERE s.router_id = $1",
    )
    .bind(router.id.as_str())
    .bind(router.site.as_str())
    .bind(router.name.as_str())
    .fetch_all(connection)
    .await?;
    let line = |row: &Row| {
        let (is_told, has_foreign_row) = (columns::truth(row, "told")?, columns::truth(row, "is_row")?);
        let paid_until = columns::instant_or_none(row, "paid_until")?;
        let line = KnownLine {
            id: columns::parsed(row, "id")?,
            username: row.try_get("username")?,
            customer: columns::parsed(row, "customer_id")?,
            plan: columns::parsed(row, "plan_id")?,
            is_on_router: is_told && (paid_until.is_some() || !has_foreign_row),
            paid_until,
            address: row.try_get("address")?,
            caller_id: row.try_get("caller_id")?,
            has_foreign_row,
            has_password: columns::truth(row, "has_password")?,
        };
        Ok((line.username.clone(), line))
    };
    rows.iter().map(line).collect()
}

/// Rows that have the name and the service of a line of their router which the site was told of and which was paid for, whom no open command
/// is about. To another
/// line the site could give no row.
pub(super) async fn rows_with_lines(
    connection: &mut Connection,
    router: &Router,
) -> Result<Vec<(ForeignRow, LineId)>, sqlx::Error> {
    let rows = rows_of(connection, &router.site, &router.name).await?;
    let lines = sqlx::query(
        "SELECT s.id, s.username, t.service_name FROM subscriptions s \
         JOIN plans p ON p.id = s.plan_id JOIN connection_types t ON t.id = p.connection_type_id \
         JOIN desired_lines d ON d.line_id = s.id AND d.is_removed = 0 \
         WHERE s.router_id = $1 AND s.paid_until IS NOT NULL AND NOT EXISTS \
             (SELECT 1 FROM commands c WHERE c.line_id = s.id AND c.kind = $2 \
                AND (c.standing IN ('queued', 'executing') OR (c.standing = 'succeeded' AND c.created_at >= \
                     (SELECT MAX(r.created_at) FROM foreign_rows f JOIN commands r ON r.id = f.command_id \
                      WHERE f.site_id = $3 AND f.router_name = $4))))",
    )
    .bind(router.id.as_str())
    .bind(i64::from(CommandKind::Adopt.code()))
    .bind(router.site.as_str())
    .bind(router.name.as_str())
    .fetch_all(connection)
    .await?;
    let mut found = Vec::new();
    for line in &lines {
        let username: String = line.try_get("username")?;
        let service = columns::word(line, "service_name", Service::parse)?;
        if let Some(row) = rows.iter().find(|row| row.username == username && row.service == service) {
            found.push((row.clone(), columns::parsed(line, "id")?));
        }
    }
    Ok(found)
}
