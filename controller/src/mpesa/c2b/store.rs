//! All SQL of the addresses that Safaricom was told for news of payments by Paybill and to tills.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use crate::columns;
use crate::database::Connection;
use crate::mpesa::intent::CallbackToken;
use crate::mpesa::store::Payee;

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

/// A till is paid under this head office.
pub(super) async fn note_till(
    connection: &mut Connection,
    till_number: &str,
    short_code: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO short_code_tills (till_number, short_code) VALUES ($1, $2) \
         ON CONFLICT (till_number) DO UPDATE SET short_code = $2",
    )
    .bind(till_number)
    .bind(short_code)
    .execute(connection)
    .await?;
    Ok(())
}

/// A number is a short code of its own.
pub(super) async fn note_no_till(connection: &mut Connection, short_code: &str) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM short_code_tills WHERE till_number = $1")
        .bind(short_code)
        .execute(connection)
        .await?;
    Ok(())
}

/// The head office of a till, or the number itself.
pub(super) async fn booked_under(connection: &mut Connection, number: &str) -> Result<String, sqlx::Error> {
    let row = sqlx::query("SELECT short_code FROM short_code_tills WHERE till_number = $1")
        .bind(number)
        .fetch_optional(connection)
        .await?;
    row.map_or_else(|| Ok(number.to_owned()), |row| row.try_get("short_code"))
}

/// Safaricom has taken the address.
pub(super) async fn note_registered(
    connection: &mut Connection,
    short_code: &str,
    base_url: &str,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE c2b_addresses SET registered_at = $2, base_url = $3 WHERE short_code = $1")
        .bind(short_code)
        .bind(now.0)
        .bind(base_url)
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

/// What Safaricom was told of a short code.
pub(in crate::mpesa) struct Told {
    /// The secret in the address.
    pub(in crate::mpesa) token: CallbackToken,
    /// The address up to what is ours in it; empty where nothing was told.
    pub(in crate::mpesa) base_url: String,
    /// Whether Safaricom has taken it.
    pub(in crate::mpesa) is_taken: bool,
}

/// What Safaricom was told of a short code, if anything.
pub(in crate::mpesa) async fn told_of(
    connection: &mut Connection,
    short_code: &str,
) -> Result<Option<Told>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT callback_token, base_url, registered_at FROM c2b_addresses WHERE short_code = $1",
    )
    .bind(short_code)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Told {
            token: columns::parsed(&row, "callback_token")?,
            base_url: row.try_get("base_url")?,
            is_taken: columns::instant_or_none(&row, "registered_at")?.is_some(),
        })
    })
    .transpose()
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
