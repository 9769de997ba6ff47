//! All SQL of Pull alone: what is known of traffic, and rows that are not understood.

use ring::digest::{SHA256, digest};
use tawi_shared::UnixMillis;

use crate::columns;
use crate::database::Connection;
use crate::mpesa::statement;
use crate::payments::suspense;

/// Whether callbacks told of money that came to a short code between the two instants, and Pull never did. What a statement
/// alone told of is as old as it may be, whenever it was taken in.
pub(super) async fn has_traffic(
    connection: &mut Connection,
    short_code: &str,
    (from, to): (UnixMillis, UnixMillis),
    source: &str,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS found FROM payments p \
         WHERE p.short_code = $1 AND p.received_at >= $2 AND p.received_at < $3 \
           AND EXISTS (SELECT 1 FROM payment_evidence e WHERE e.payment_id = p.id AND e.source NOT IN ($5, $6, $7)) \
           AND NOT EXISTS (SELECT 1 FROM payment_evidence e WHERE e.payment_id = p.id AND e.source = $4)",
    )
    .bind(short_code)
    .bind(from.0)
    .bind(to.0)
    .bind(source)
    .bind(statement::SOURCE)
    .bind(suspense::SOURCE)
    .bind(suspense::claim::SOURCE)
    .fetch_one(connection)
    .await?;
    columns::truth(&row, "found")
}

/// Keeps a row that is not understood, as it came. False when it is kept already.
pub(super) async fn keep_bad_row(
    connection: &mut Connection,
    short_code: &str,
    row: &str,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let sha256 = digest(&SHA256, row.as_bytes());
    let id: String = sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let done = sqlx::query(
        "INSERT INTO pull_rows_for_review (row_sha256, body, seen_at, short_code) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (row_sha256) DO NOTHING",
    )
    .bind(id)
    .bind(row)
    .bind(now.0)
    .bind(short_code)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
