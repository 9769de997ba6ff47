//! All SQL of the addresses that Safaricom was told for news of payments by Paybill and to tills.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use crate::columns;
use crate::database::Connection;
use crate::mpesa::intent::CallbackToken;

/// The secret of a short code's address: the one that it has, or this new one.
pub(super) async fn token_of(
    connection: &mut Connection,
    (short_code, till_number): (&str, &str),
    new: &CallbackToken,
    now: UnixMillis,
) -> Result<CallbackToken, sqlx::Error> {
    let row = sqlx::query(
        "INSERT INTO c2b_addresses (short_code, callback_token, created_at, till_number) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (short_code) DO UPDATE SET till_number = $4 RETURNING callback_token",
    )
    .bind(short_code)
    .bind(new.reveal())
    .bind(now.0)
    .bind(till_number)
    .fetch_one(connection)
    .await?;
    columns::parsed(&row, "callback_token")
}

/// Safaricom has taken the address.
pub(super) async fn note_registered(
    connection: &mut Connection,
    short_code: &str,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE c2b_addresses SET registered_at = $2 WHERE short_code = $1")
        .bind(short_code)
        .bind(now.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether Safaricom has taken the address for news of payments to a short code.
pub(super) async fn is_registered(
    connection: &mut Connection,
    short_code: &str,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS found FROM c2b_addresses WHERE short_code = $1 AND registered_at IS NOT NULL",
    )
    .bind(short_code)
    .fetch_one(connection)
    .await?;
    columns::truth(&row, "found")
}

/// Whose address it is.
pub(in crate::mpesa) struct Payee {
    /// The short code.
    pub(in crate::mpesa) short_code: String,
    /// The till's own number; empty for a paybill.
    pub(in crate::mpesa) till_number: String,
}

/// Whose address holds this secret.
pub(in crate::mpesa) async fn payee_of(
    connection: &mut Connection,
    token: &CallbackToken,
) -> Result<Option<Payee>, sqlx::Error> {
    let row = sqlx::query("SELECT short_code, till_number FROM c2b_addresses WHERE callback_token = $1")
        .bind(token.reveal())
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        Ok(Payee { short_code: row.try_get("short_code")?, till_number: row.try_get("till_number")? })
    })
    .transpose()
}
