//! All SQL of the API log.

use sqlx::Row as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::WriteStatus;

use super::{RouterWrite, Search};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::LineId;

pub(super) async fn insert(
    connection: &mut Connection,
    write: &RouterWrite,
    status: u16,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO router_writes \
             (id, site_id, at, received_at, router_name, operation, parameters, line_id, status, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING",
    )
    .bind(write.id.as_str())
    .bind(write.site.as_str())
    .bind(write.at.0)
    .bind(write.received_at.0)
    .bind(write.router.as_str())
    .bind(write.operation.as_str())
    .bind(write.parameters.as_str())
    .bind(write.line.as_ref().map(LineId::as_str))
    .bind(i64::from(status))
    .bind(write.detail.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Only the conditions that are asked for are written, so that each finds its index. The values are bound.
pub(super) async fn find(
    connection: &mut Connection,
    search: &Search,
    limit: u32,
) -> Result<Vec<RouterWrite>, sqlx::Error> {
    let mut conditions = vec!["w.id >= $1".to_owned(), "w.id < $2".to_owned()];
    let mut values = vec![search.from_key.clone(), search.before_key.clone()];
    let mut narrow = |condition: &str, value: String| {
        values.push(value);
        conditions.push(condition.replace("$?", &format!("${}", values.len())));
    };
    if let Some(site) = &search.site {
        narrow("w.site_id = $?", site.to_string());
    }
    if !search.router.is_empty() {
        narrow("w.router_name = $?", search.router.clone());
    }
    if !search.line.is_empty() {
        narrow(
            "w.line_id IN (SELECT id FROM subscriptions WHERE id = $? OR username = $?)",
            search.line.clone(),
        );
    }
    if let Some(customer) = &search.customer {
        narrow("w.line_id IN (SELECT id FROM subscriptions WHERE customer_id = $?)", customer.to_string());
    }
    if let Some(status) = search.status {
        narrow("w.status = CAST($? AS BIGINT)", status.code().to_string());
    }
    if !search.operation.is_empty() {
        narrow("LOWER(w.operation) LIKE $? ESCAPE '!'", pattern(&search.operation));
    }
    if !search.text.is_empty() {
        narrow(
            "(LOWER(w.parameters) LIKE $? ESCAPE '!' OR LOWER(w.detail) LIKE $? ESCAPE '!')",
            pattern(&search.text),
        );
    }
    let query = format!(
        "SELECT w.id, w.site_id, w.at, w.received_at, w.router_name, w.operation, w.parameters, w.line_id, w.status, w.detail, \
                s.customer_id, c.name AS customer_name \
         FROM router_writes w LEFT JOIN subscriptions s ON s.id = w.line_id \
         LEFT JOIN customers c ON c.id = s.customer_id \
         WHERE {} ORDER BY w.id DESC LIMIT {limit}",
        conditions.join(" AND ")
    );
    let mut asked = sqlx::query(sqlx::AssertSqlSafe(query));
    for value in values {
        asked = asked.bind(value);
    }
    let rows = asked.fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// Forgets at most `limit` writes that were received before `before`; says how many.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn forget(
    connection: &mut Connection,
    before: UnixMillis,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "DELETE FROM router_writes WHERE id IN (SELECT id FROM router_writes WHERE received_at < $1 LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Somewhere in the text, in any case, and no sign of it is special.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

fn read(row: &Row) -> Result<RouterWrite, sqlx::Error> {
    let customer = columns::parsed_or_none(row, "customer_id")?;
    let name: Option<String> = row.try_get("customer_name")?;
    Ok(RouterWrite {
        id: row.try_get("id")?,
        site: columns::parsed(row, "site_id")?,
        at: columns::instant(row, "at")?,
        received_at: columns::instant(row, "received_at")?,
        router: row.try_get("router_name")?,
        operation: row.try_get("operation")?,
        parameters: row.try_get("parameters")?,
        line: columns::parsed_or_none(row, "line_id")?,
        customer: customer.zip(name),
        status: WriteStatus::from_code(columns::unsigned(row, "status")?),
        detail: row.try_get("detail")?,
    })
}
