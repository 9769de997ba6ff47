//! All SQL of access tokens.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use crate::database::Connection;

/// What is kept of an app's token.
pub(super) struct TokenRow {
    /// Sealed; empty where there is none.
    pub(super) sealed_token: String,
    /// When it was had from Daraja, where that is known.
    pub(super) fetched_at: Option<UnixMillis>,
    /// Until when it is good.
    pub(super) good_until: UnixMillis,
    /// Who fetches it, or did.
    pub(super) fetched_by: String,
    /// Until when nobody else fetches it.
    pub(super) fetching_until: UnixMillis,
}

pub(super) async fn find(connection: &mut Connection, app: &str) -> Result<Option<TokenRow>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT sealed_token, fetched_at, good_until, fetched_by, fetching_until FROM mpesa_tokens WHERE app = $1",
    )
    .bind(app)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(TokenRow {
            sealed_token: row.try_get("sealed_token")?,
            fetched_at: Some(UnixMillis(row.try_get("fetched_at")?)).filter(|at| at.0 > 0),
            good_until: UnixMillis(row.try_get("good_until")?),
            fetched_by: row.try_get("fetched_by")?,
            fetching_until: UnixMillis(row.try_get("fetching_until")?),
        })
    })
    .transpose()
}

/// Says that a process fetches it, until then.
pub(super) async fn lease(
    connection: &mut Connection,
    app: &str,
    process: &str,
    until: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO mpesa_tokens (app, sealed_token, good_until, fetched_by, fetching_until) \
         VALUES ($1, '', 0, $2, $3) \
         ON CONFLICT (app) DO UPDATE SET sealed_token = '', good_until = 0, fetched_by = $2, fetching_until = $3",
    )
    .bind(app)
    .bind(process)
    .bind(until.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps what was fetched. The newest is the one that lives, whoever held the lease.
pub(super) async fn keep(
    connection: &mut Connection,
    app: &str,
    (sealed_token, (fetched_at, good_until)): (&str, (UnixMillis, UnixMillis)),
    process: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO mpesa_tokens (app, sealed_token, good_until, fetched_by, fetching_until, fetched_at) \
         VALUES ($1, $2, $3, $4, 0, $5) \
         ON CONFLICT (app) DO UPDATE SET sealed_token = $2, good_until = $3, fetched_by = $4, fetching_until = 0, \
             fetched_at = $5",
    )
    .bind(app)
    .bind(sealed_token)
    .bind(good_until.0)
    .bind(process)
    .bind(fetched_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a process's lease without a token.
pub(super) async fn give_back(
    connection: &mut Connection,
    app: &str,
    process: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE mpesa_tokens SET fetching_until = 0 WHERE app = $1 AND fetched_by = $2")
        .bind(app)
        .bind(process)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets a token; a lease on the next one stays.
pub(super) async fn forget(connection: &mut Connection, app: &str) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE mpesa_tokens SET sealed_token = '', good_until = 0 WHERE app = $1")
        .bind(app)
        .execute(connection)
        .await?;
    Ok(())
}
