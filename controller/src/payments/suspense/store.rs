//! All SQL of suspense alone: whom a payer may have meant.

use tawi_shared::UnixMillis;

use super::NoOwner;
use super::near::Phone;
use crate::columns;
use crate::customers::{self, Customer};
use crate::database::Connection;
use crate::ids::CustomerId;
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::payments::PaymentError;

/// Payments without an account that are looked at for one request: one more than can be told apart.
const UNNAMED_MOST: i64 = 16;
/// Suggestions, at most: more are a search, and staff have one.
pub(super) const SUGGESTIONS: u32 = 5;

/// Receipts in suspense without an account, of this short code and amount, that were paid between the two instants, and when.
pub(in crate::payments) async fn unnamed_between(
    connection: &mut Connection,
    (short_code, amount): (&str, Money),
    (from, to): (UnixMillis, UnixMillis),
) -> Result<Vec<(ReceiptNumber, UnixMillis)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT receipt_number, COALESCE(moved_at, received_at) AS paid_at FROM payments \
         WHERE customer_id IS NULL AND closed = '' AND provider = 'mpesa' AND short_code = $1 AND amount_cents = $2 \
           AND no_owner = $3 AND part_of IS NULL AND is_by_hand = 0 \
           AND COALESCE(moved_at, received_at) >= $4 AND COALESCE(moved_at, received_at) <= $5 \
         ORDER BY received_at, id LIMIT $6",
    )
    .bind(short_code)
    .bind(amount.cents())
    .bind(NoOwner::NoAccount.as_str())
    .bind(from.0)
    .bind(to.0)
    .bind(UNNAMED_MOST)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((columns::parsed(row, "receipt_number")?, columns::instant(row, "paid_at")?)))
        .collect()
}

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
