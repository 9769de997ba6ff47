//! All SQL of statements alone: rows that wait for a person, and when money left.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::row::{OutKind, Row, Why};
use crate::columns;
use crate::database::{Answers, Connection, Together};
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;

/// Under which other short code than this a payment, or money that left, is booked. One statement for both, since each
/// combination of several would be another one.
pub(super) fn ask_payee_of(
    together: &mut Together,
    receipt: Option<&ReceiptNumber>,
    (cause_kind, cause_id): (&str, &str),
    short_code: &str,
) {
    together
        .add(
            "SELECT short_code FROM payments WHERE provider = 'mpesa' AND receipt_number = $1 AND short_code <> $4 \
             UNION ALL \
             SELECT short_code FROM mpesa_outgoings WHERE cause_kind = $2 AND cause_id = $3 AND short_code <> $4",
        )
        .bind(receipt.map_or("", ReceiptNumber::as_str))
        .bind(cause_kind)
        .bind(cause_id)
        .bind(short_code);
}

/// The answer to [`ask_payee_of`].
pub(super) fn answered_payee(answers: &mut Answers) -> Result<Option<String>, sqlx::Error> {
    answers.row()?.map(|row| row.try_get("short_code")).transpose()
}

/// Whether a row that was kept waits for a person; `None` when it is not kept.
pub(super) async fn row_waits(
    connection: &mut Connection,
    sha256: &str,
) -> Result<Option<bool>, sqlx::Error> {
    let row = sqlx::query("SELECT needs_person FROM statement_rows_for_review WHERE row_sha256 = $1")
        .bind(sha256)
        .fetch_optional(connection)
        .await?;
    row.map(|row| columns::truth(&row, "needs_person")).transpose()
}

/// Keeps a row for a person, with why. Nothing changes when it is kept.
pub(super) async fn keep_row(
    connection: &mut Connection,
    (sha256, short_code): (&str, &str),
    row: &Row,
    why: &Why,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let booked = match why {
        Why::BookedOtherwise(booked) => booked.checked_neg().unwrap_or(Money::ZERO),
        _ => Money::ZERO,
    };
    sqlx::query(
        "INSERT INTO statement_rows_for_review \
         (row_sha256, short_code, line, reason, body, receipt_number, amount_cents, seen_at, moved_at, names, booked_cents) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (row_sha256) DO UPDATE SET names = excluded.names",
    )
    .bind(sha256)
    .bind(short_code)
    .bind(i64::try_from(row.line).unwrap_or(i64::MAX))
    .bind(why.to_string())
    .bind(row.text.as_str())
    .bind(row.receipt.as_ref().map_or("", ReceiptNumber::as_str))
    .bind(row.movement.map(|movement| movement.amount.cents()))
    .bind(now.0)
    .bind(row.movement.and_then(|movement| movement.at).map(|at| at.probably.0))
    .bind(names_of(row))
    .bind(booked.cents())
    .execute(connection)
    .await?;
    Ok(())
}

/// The receipts that a row may be about.
fn names_of(row: &Row) -> String {
    let mut names: Vec<&str> = Vec::new();
    for receipt in row.receipt.iter().chain(&row.reverses) {
        if !names.contains(&receipt.as_str()) {
            names.push(receipt.as_str());
        }
    }
    names.join(" ")
}

/// A row that was kept is a refund of ours, should it have been kept.
pub(super) async fn settle_refund(connection: &mut Connection, sha256: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE statement_rows_for_review SET settled_as = 'refund', needs_person = 0 \
         WHERE row_sha256 = $1 AND settled_as = ''",
    )
    .bind(sha256)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes when money left, beside the entry that books it.
pub(super) async fn note_outgoing(
    connection: &mut Connection,
    (cause_kind, cause_id): (&str, &str),
    (short_code, kind): (&str, OutKind),
    (amount, moved_at): (Money, Option<UnixMillis>),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO mpesa_outgoings (cause_kind, cause_id, short_code, kind, amount_cents, moved_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (cause_kind, cause_id) DO NOTHING",
    )
    .bind(cause_kind)
    .bind(cause_id)
    .bind(short_code)
    .bind(match kind {
        OutKind::Charge => "charge",
        OutKind::Settlement => "settlement",
    })
    .bind(amount.cents())
    .bind(moved_at.map(|at| at.0))
    .execute(connection)
    .await?;
    Ok(())
}
