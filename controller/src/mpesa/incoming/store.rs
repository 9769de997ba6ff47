//! All SQL of payments that come without being asked about: whose they may be. What is booked is `payments::credit`.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::Incoming;
use super::matching::{Candidate, Holder, Standing};
use crate::columns;
use crate::customers::account_number::AccountNumber;
use crate::database::{Answers, Connection, Row, Together};
use crate::ids::{CustomerId, LineId};
use crate::mpesa::store as requests;

/// Requests without a receipt, of this short code and amount, that were made between the two instants. A request that
/// was never sent cannot have been paid. Of a receipt that somebody owns nothing is looked for: Pull and statements tell of
/// each once more.
pub(super) fn ask_unreceipted_between(
    together: &mut Together,
    payment: &Incoming,
    short_code: &str,
    (from, to): (UnixMillis, UnixMillis),
) {
    together.add(
        "SELECT i.id, i.subscription_id, i.customer_id, c.account_number, i.short_code, i.phone, i.amount_cents, \
                i.state, i.created_at, i.top_up_id, i.promised_plan_id, i.promised_price_cents, \
                i.promised_validity_seconds, i.promised_bytes \
         FROM (SELECT 1 AS is_free WHERE NOT EXISTS (SELECT 1 FROM payments \
                   WHERE provider = 'mpesa' AND receipt_number = $5 AND customer_id IS NOT NULL)) f \
         CROSS JOIN payment_intents i JOIN customers c ON c.id = i.customer_id \
         WHERE i.created_at >= $1 AND i.created_at <= $2 AND i.short_code = $3 AND i.amount_cents = $4 \
           AND i.state NOT IN ('created', 'paid') \
         ORDER BY i.created_at, i.id",
    )
    .bind(from.0)
    .bind(to.0)
    .bind(short_code)
    .bind(payment.amount.cents())
    .bind(payment.receipt.as_str());
}

pub(super) fn answered_candidates(answers: &mut Answers) -> Result<Vec<Candidate>, sqlx::Error> {
    answers.rows()?.iter().map(read_candidate).collect()
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
        top_up: columns::parsed_or_none(row, "top_up_id")?,
        promised: requests::read_promised(row)?,
        standing: match state.as_str() {
            "paid_unreceipted" => Standing::SaidPaid,
            "declined" | "review" => Standing::SaidUnpaid,
            _ => Standing::Unknown,
        },
        created_at: columns::instant(row, "created_at")?,
    })
}

/// The holder of an account number, with what the money could be for.
pub(super) fn ask_holder_of(together: &mut Together, number: &AccountNumber) {
    together
        .add(
            "SELECT c.id, s.id AS line_id FROM customers c LEFT JOIN subscriptions s ON s.customer_id = c.id \
         WHERE c.account_number = $1 ORDER BY s.id",
        )
        .bind(number.as_str());
}

pub(super) fn answered_holder(answers: &mut Answers) -> Result<Option<Holder>, sqlx::Error> {
    let rows = answers.rows()?;
    let Some(first) = rows.first() else { return Ok(None) };
    let mut subscriptions = Vec::with_capacity(rows.len());
    for row in &rows {
        subscriptions.extend(columns::parsed_or_none::<LineId>(row, "line_id")?);
    }
    Ok(Some(Holder { customer: columns::parsed(first, "id")?, subscriptions }))
}

/// The customer's lines.
pub(in crate::mpesa) async fn lines_of(
    connection: &mut Connection,
    customer: &CustomerId,
) -> Result<Vec<LineId>, sqlx::Error> {
    let rows = sqlx::query("SELECT id FROM subscriptions WHERE customer_id = $1 ORDER BY id")
        .bind(customer.as_str())
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| columns::parsed(row, "id")).collect()
}

/// Customers with this phone, by its SHA-256; at most two, since two are one too many.
pub(in crate::mpesa) async fn customers_with_phone(
    connection: &mut Connection,
    phone_sha256: &str,
) -> Result<Vec<CustomerId>, sqlx::Error> {
    let rows = sqlx::query("SELECT id FROM customers WHERE phone_sha256 = $1 ORDER BY id LIMIT 2")
        .bind(phone_sha256)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| columns::parsed(row, "id")).collect()
}
