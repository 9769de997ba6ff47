//! All SQL of Pull alone: which requests a row may fit, what is known of traffic, and rows that are not understood. What
//! is booked is `payments::credit`.

use ring::digest::{SHA256, digest};
use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::matching::{Candidate, Standing};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::{CustomerId, LineId};
use crate::money::Money;

/// Requests without a receipt, of this short code and amount, that were made between the two instants. A request that
/// was never sent cannot have been paid.
pub(super) async fn unreceipted_between(
    connection: &mut Connection,
    short_code: &str,
    amount: Money,
    (from, to): (UnixMillis, UnixMillis),
) -> Result<Vec<Candidate>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT i.id, i.subscription_id, i.customer_id, c.account_number, i.short_code, i.phone, i.amount_cents, \
                i.state, i.created_at \
         FROM payment_intents i JOIN customers c ON c.id = i.customer_id \
         WHERE i.created_at >= $1 AND i.created_at <= $2 AND i.short_code = $3 AND i.amount_cents = $4 \
           AND i.state NOT IN ('created', 'paid') \
         ORDER BY i.created_at, i.id",
    )
    .bind(from.0)
    .bind(to.0)
    .bind(short_code)
    .bind(amount.cents())
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_candidate).collect()
}

fn read_candidate(row: &Row) -> Result<Candidate, sqlx::Error> {
    let state: String = row.try_get("state")?;
    Ok(Candidate {
        intent: columns::parsed(row, "id")?,
        subscription: columns::parsed(row, "subscription_id")?,
        customer: columns::parsed(row, "customer_id")?,
        account_number: columns::parsed(row, "account_number")?,
        short_code: row.try_get("short_code")?,
        phone: columns::parsed(row, "phone")?,
        amount: columns::money(row, "amount_cents")?,
        standing: match state.as_str() {
            "paid_unreceipted" => Standing::SaidPaid,
            "declined" | "review" => Standing::SaidUnpaid,
            _ => Standing::Unknown,
        },
        created_at: columns::instant(row, "created_at")?,
    })
}

/// The customer's lines.
pub(super) async fn lines_of(
    connection: &mut Connection,
    customer: &CustomerId,
) -> Result<Vec<LineId>, sqlx::Error> {
    let rows = sqlx::query("SELECT id FROM subscriptions WHERE customer_id = $1 ORDER BY id")
        .bind(customer.as_str())
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| columns::parsed(row, "id")).collect()
}

/// Whether callbacks told of money that came to a short code between the two instants, and Pull never did.
pub(super) async fn has_traffic(
    connection: &mut Connection,
    short_code: &str,
    (from, to): (UnixMillis, UnixMillis),
    source: &str,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS found FROM payments p \
         WHERE p.short_code = $1 AND p.received_at >= $2 AND p.received_at < $3 \
           AND NOT EXISTS (SELECT 1 FROM payment_evidence e WHERE e.payment_id = p.id AND e.source = $4)",
    )
    .bind(short_code)
    .bind(from.0)
    .bind(to.0)
    .bind(source)
    .fetch_one(connection)
    .await?;
    columns::truth(&row, "found")
}

/// Keeps a row that is not understood, as it came. False when it is kept already.
pub(super) async fn keep_bad_row(
    connection: &mut Connection,
    row: &str,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let sha256 = digest(&SHA256, row.as_bytes());
    let id: String = sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let done = sqlx::query(
        "INSERT INTO pull_rows_for_review (row_sha256, body, seen_at) VALUES ($1, $2, $3) \
         ON CONFLICT (row_sha256) DO NOTHING",
    )
    .bind(id)
    .bind(row)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
