//! All SQL of idempotency keys.

use axum::http::StatusCode;
use sqlx::Row as _;
use tawi_shared::UnixMillis;

use crate::database::Connection;

/// The status of a claim without an answer; no HTTP status is 0.
const NO_ANSWER: i64 = 0;

/// What came of claiming a key.
#[derive(Debug)]
pub(super) enum Claim {
    Ours,
    Taken(Kept),
}

/// A key that was used before.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) request_sha256: String,
    /// `None` while the work is under way.
    pub(super) answer: Option<(StatusCode, String)>,
}

pub(super) async fn claim(
    connection: &mut Connection,
    actor: &str,
    key: &str,
    request_sha256: &str,
    now: UnixMillis,
) -> Result<Claim, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO idempotency_keys (actor, idempotency_key, request_sha256, status, body, created_at) \
         VALUES ($1, $2, $3, $4, '', $5) ON CONFLICT (actor, idempotency_key) DO NOTHING",
    )
    .bind(actor)
    .bind(key)
    .bind(request_sha256)
    .bind(NO_ANSWER)
    .bind(now.0)
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(Claim::Ours);
    }
    let row = sqlx::query(
        "SELECT request_sha256, status, body FROM idempotency_keys WHERE actor = $1 AND idempotency_key = $2",
    )
    .bind(actor)
    .bind(key)
    .fetch_one(connection)
    .await?;
    let status: i64 = row.try_get("status")?;
    let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let body: String = row.try_get("body")?;
    Ok(Claim::Taken(Kept {
        request_sha256: row.try_get("request_sha256")?,
        answer: status.map(|status| (status, body)),
    }))
}

pub(super) async fn keep(
    connection: &mut Connection,
    actor: &str,
    key: &str,
    status: u16,
    body: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE idempotency_keys SET status = $1, body = $2 WHERE actor = $3 AND idempotency_key = $4",
    )
    .bind(i64::from(status))
    .bind(body)
    .bind(actor)
    .bind(key)
    .execute(connection)
    .await?;
    Ok(())
}

/// Frees a key that has no answer.
pub(super) async fn release(connection: &mut Connection, actor: &str, key: &str) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM idempotency_keys WHERE actor = $1 AND idempotency_key = $2 AND status = $3")
        .bind(actor)
        .bind(key)
        .bind(NO_ANSWER)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn delete_before(
    connection: &mut Connection,
    before: UnixMillis,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "DELETE FROM idempotency_keys WHERE (actor, idempotency_key) IN \
             (SELECT actor, idempotency_key FROM idempotency_keys WHERE created_at < $1 LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
