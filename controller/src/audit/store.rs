//! All SQL of the audit log. Rows are added and read, never changed.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::Entry;
use crate::database::Connection;
use crate::ids::AuditId;

pub(super) async fn insert(
    connection: &mut Connection,
    id: &AuditId,
    entry: &Entry,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO audit_log (id, at, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.as_str())
    .bind(entry.at.0)
    .bind(&entry.actor)
    .bind(&entry.action)
    .bind(&entry.subject)
    .bind(&entry.detail)
    .execute(connection)
    .await?;
    Ok(())
}

/// The newest rows, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn latest(connection: &mut Connection, limit: u32) -> Result<Vec<Entry>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT at, actor, action, subject, detail FROM audit_log ORDER BY at DESC, id DESC LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Entry {
                at: UnixMillis(row.try_get("at")?),
                actor: row.try_get("actor")?,
                action: row.try_get("action")?,
                subject: row.try_get("subject")?,
                detail: row.try_get("detail")?,
            })
        })
        .collect()
}
