//! All SQL of suspense alone: whom a payer may have meant.

use super::near::Phone;
use crate::columns;
use crate::customers::{self, Customer};
use crate::database::Connection;
use crate::ids::CustomerId;
use crate::payments::PaymentError;

/// Suggestions, at most: more are a search, and staff have one.
pub(super) const SUGGESTIONS: u32 = 5;

/// Customers whose phone fits what is known of one.
pub(super) async fn customers_like(
    connection: &mut Connection,
    phone: &Phone,
) -> Result<Vec<Customer>, PaymentError> {
    let rows = match phone {
        Phone::Unknown => return Ok(Vec::new()),
        Phone::Hash(sha256) => {
            sqlx::query("SELECT id FROM customers WHERE phone_sha256 = $1 ORDER BY id LIMIT $2")
                .bind(sha256.as_str())
                .bind(i64::from(SUGGESTIONS))
                .fetch_all(&mut *connection)
                .await?
        }
        // Digits alone: nothing in them is a wildcard.
        Phone::Ends(start, end) => {
            sqlx::query("SELECT id FROM customers WHERE phone LIKE $1 ORDER BY id LIMIT $2")
                .bind(format!("{start}%{end}"))
                .bind(i64::from(SUGGESTIONS))
                .fetch_all(&mut *connection)
                .await?
        }
    };
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let id: CustomerId = columns::parsed(&row, "id")?;
        found.extend(customers::get(connection, &id).await?);
    }
    Ok(found)
}
