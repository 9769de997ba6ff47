//! All SQL of held plans.

use sqlx::Row as _;
use tawi_shared::wire::HeldPlanV1;

use super::{HeldLine, HeldPlan, Known};
use crate::columns;
use crate::database::{Connection, Row};
use crate::entitlements::Status;
use crate::ids::{LineId, SiteId};

pub(super) async fn forget(
    connection: &mut Connection,
    site: &SiteId,
    router: &str,
) -> Result<(), sqlx::Error> {
    for query in [
        "DELETE FROM held_lines WHERE site_id = $1 AND router_name = $2",
        "DELETE FROM held_plans WHERE site_id = $1 AND router_name = $2",
    ] {
        sqlx::query(query).bind(site.as_str()).bind(router).execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) async fn put(
    connection: &mut Connection,
    site: &SiteId,
    plan: &HeldPlanV1,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO held_plans (site_id, router_name, digest, lines_total, lines_working, at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(site.as_str())
    .bind(plan.router.as_str())
    .bind(plan.digest.as_str())
    .bind(i64::from(plan.lines_total))
    .bind(i64::from(plan.lines_working))
    .bind(plan.at_ms)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn put_line(
    connection: &mut Connection,
    site: &SiteId,
    router: &str,
    line: &LineId,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO held_lines (site_id, router_name, line_id) VALUES ($1, $2, $3) \
         ON CONFLICT (site_id, router_name, line_id) DO NOTHING",
    )
    .bind(site.as_str())
    .bind(router)
    .bind(line.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn list(
    connection: &mut Connection,
    site: Option<&SiteId>,
) -> Result<Vec<HeldPlan>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT h.site_id, s.name AS site_name, h.router_name, h.digest, h.lines_total, h.lines_working, h.at \
         FROM held_plans h JOIN sites s ON s.id = h.site_id \
         WHERE s.revoked_at IS NULL AND (h.site_id = $1 OR $1 = '') ORDER BY s.name, h.router_name",
    )
    .bind(site.map_or("", SiteId::as_str))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(HeldPlan {
                site: columns::parsed(row, "site_id")?,
                site_name: row.try_get("site_name")?,
                router: row.try_get("router_name")?,
                digest: row.try_get("digest")?,
                lines_total: columns::unsigned(row, "lines_total")?,
                lines_working: columns::unsigned(row, "lines_working")?,
                at: columns::instant(row, "at")?,
            })
        })
        .collect()
}

pub(super) async fn lines_of(
    connection: &mut Connection,
    plan: &HeldPlan,
    limit: u32,
) -> Result<Vec<HeldLine>, sqlx::Error> {
    // A line of another site is not shown with its customer, whatever an agent says.
    let rows = sqlx::query(
        "SELECT h.line_id, s.customer_id, c.name AS customer_name, s.username, s.status, s.paid_until, s.failure \
         FROM held_lines h \
         LEFT JOIN subscriptions s ON s.id = h.line_id \
              AND s.router_id IN (SELECT id FROM routers WHERE site_id = h.site_id) \
         LEFT JOIN customers c ON c.id = s.customer_id \
         WHERE h.site_id = $1 AND h.router_name = $2 ORDER BY c.name, h.line_id LIMIT $3",
    )
    .bind(plan.site.as_str())
    .bind(plan.router.as_str())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_line).collect()
}

fn read_line(row: &Row) -> Result<HeldLine, sqlx::Error> {
    let known = match columns::parsed_or_none(row, "customer_id")? {
        None => None,
        Some(customer) => Some(Known {
            customer,
            customer_name: row.try_get("customer_name")?,
            username: row.try_get("username")?,
            status: columns::word(row, "status", Status::parse)?,
            paid_until: columns::instant_or_none(row, "paid_until")?,
            failure: row.try_get("failure")?,
        }),
    };
    Ok(HeldLine { line: columns::parsed(row, "line_id")?, known })
}
