//! All SQL of corrections: what was bought, what is taken back of it, and where a payment is after it.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::schedule::{Cut, Span};
use super::{Closed, Purchase, Purchased};
use crate::columns;
use crate::customers::phone::Msisdn;
use crate::database::{Connection, Row, Together};
use crate::ids::{CustomerId, LineId, PaymentId};
use crate::ledger::Account;
use crate::money::Money;
use crate::mpesa::intent::Intent;
use crate::payments::NoOwner;

/// The columns that [`read`] reads, with what follows the joins.
macro_rules! purchases {
    ($rest:literal) => {
        concat!(
            "SELECT b.cause_kind, b.cause_id, b.payment_id, b.customer_id, b.line_id, b.what, b.label, b.price_cents, ",
            "b.period_started_at, b.bytes, b.paid_until_before, b.bought_at, b.taken_back_at, q.ends_at, ",
            "CASE WHEN q.waits_for_generation IS NULL THEN 0 ELSE 1 END AS is_waiting ",
            "FROM purchases b LEFT JOIN quota_periods q ON q.line_id = b.line_id AND q.started_at = b.period_started_at ",
            $rest
        )
    };
}

pub(super) fn add(together: &mut Together, bought: &Purchase) {
    let (bytes, before) = match bought.what {
        Purchased::Period { paid_until_before, .. } => (None, paid_until_before),
        Purchased::TopUp { bytes } => (Some(bytes), None),
    };
    together
        .add(
            "INSERT INTO purchases (cause_kind, cause_id, payment_id, customer_id, line_id, what, label, price_cents, \
                                    period_started_at, bytes, paid_until_before, bought_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(bought.cause_kind.as_str())
        .bind(bought.cause_id.as_str())
        .bind(bought.payment.as_ref().map(PaymentId::as_str))
        .bind(bought.customer.as_str())
        .bind(bought.line.as_str())
        .bind(bought.what.as_str())
        .bind(bought.label.as_str())
        .bind(bought.price.cents())
        .bind(bought.period_started_at.0)
        .bind(bytes.map(columns::stored))
        .bind(before.map(|before| before.0))
        .bind(bought.bought_at.0);
}

/// What the coming of a payment bought, the newest first; also what is taken back.
pub(super) async fn of_payment(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<Vec<Purchase>, sqlx::Error> {
    let rows = sqlx::query(purchases!(
        "WHERE b.payment_id = $1 ORDER BY b.bought_at DESC, b.period_started_at DESC"
    ))
    .bind(payment.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// What a payment bought out of a customer's wallet and was not taken back, the newest first.
pub(in crate::payments) async fn held_of_payment(
    connection: &mut Connection,
    payment: &PaymentId,
    customer: &CustomerId,
) -> Result<Vec<Purchase>, sqlx::Error> {
    let rows = sqlx::query(purchases!(
        "WHERE b.payment_id = $1 AND b.customer_id = $2 AND b.taken_back_at IS NULL \
         ORDER BY b.bought_at DESC, b.period_started_at DESC"
    ))
    .bind(payment.as_str())
    .bind(customer.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// What a customer's wallet bought since an instant with more than one payment's own money, the newest first: by itself, or
/// when another payment came that was not enough alone.
pub(in crate::payments) async fn bought_together(
    connection: &mut Connection,
    (payment, customer): (&PaymentId, &CustomerId),
    since: UnixMillis,
) -> Result<Vec<Purchase>, sqlx::Error> {
    let rows = sqlx::query(purchases!(
        "WHERE b.customer_id = $1 AND b.bought_at >= $2 AND b.taken_back_at IS NULL \
           AND (b.payment_id IS NULL \
                OR (b.payment_id <> $3 AND b.price_cents > (SELECT p.amount_cents FROM payments p WHERE p.id = b.payment_id))) \
         ORDER BY b.bought_at DESC, b.period_started_at DESC"
    ))
    .bind(customer.as_str())
    .bind(since.0)
    .bind(payment.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// What a payment bought is another's now that holds its money, with how far it has come.
pub(super) async fn pass_on(
    connection: &mut Connection,
    bought: &Purchase,
    (from, to): (&PaymentId, &PaymentId),
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE purchases SET payment_id = $3 WHERE cause_kind = $1 AND cause_id = $2")
        .bind(bought.cause_kind.as_str())
        .bind(bought.cause_id.as_str())
        .bind(to.as_str())
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE payment_traces SET payment_id = $2 WHERE payment_id = $1 AND subscription_id = $3")
        .bind(from.as_str())
        .bind(to.as_str())
        .bind(bought.line.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Top-ups of a period that are not taken back.
pub(super) async fn top_ups_of(
    connection: &mut Connection,
    line: &LineId,
    period_started_at: UnixMillis,
) -> Result<Vec<Purchase>, sqlx::Error> {
    let rows = sqlx::query(purchases!(
        "WHERE b.line_id = $1 AND b.period_started_at = $2 AND b.what = 'top_up' AND b.taken_back_at IS NULL"
    ))
    .bind(line.as_str())
    .bind(period_started_at.0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// The lines of which periods were taken back, out of a customer's wallet, when all of a payment was last asked back and there
/// was any to take.
pub(in crate::payments) async fn lines_taken_for_refunds(
    connection: &mut Connection,
    (payment, customer): (&PaymentId, &CustomerId),
) -> Result<Vec<LineId>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT DISTINCT line_id FROM purchases \
         WHERE customer_id = $1 AND what = 'period' \
           AND taken_back_at = (SELECT MAX(b.taken_back_at) FROM purchases b \
                                JOIN refunds r ON r.created_at = b.taken_back_at \
                                WHERE b.customer_id = $1 AND b.what = 'period' AND r.payment_id = $2 AND r.is_whole = 1) \
         ORDER BY line_id",
    )
    .bind(customer.as_str())
    .bind(payment.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| columns::parsed(row, "line_id")).collect()
}

/// Once; whether it was not taken back before.
pub(super) async fn note_taken_back(
    connection: &mut Connection,
    bought: &Purchase,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE purchases SET taken_back_at = $3 WHERE cause_kind = $1 AND cause_id = $2 AND taken_back_at IS NULL",
    )
    .bind(bought.cause_kind.as_str())
    .bind(bought.cause_id.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Cuts a period off, and lets those after it begin sooner.
pub(super) async fn cut_period(
    connection: &mut Connection,
    line: &LineId,
    span: Span,
    before: Option<UnixMillis>,
    cut: Cut,
) -> Result<(), sqlx::Error> {
    match cut.ends_at {
        Some(ends_at) => {
            sqlx::query("UPDATE quota_periods SET ends_at = $3 WHERE line_id = $1 AND started_at = $2")
                .bind(line.as_str())
                .bind(span.started_at.0)
                .bind(ends_at.0)
                .execute(&mut *connection)
                .await?;
        }
        None => {
            sqlx::query("DELETE FROM quota_periods WHERE line_id = $1 AND started_at = $2")
                .bind(line.as_str())
                .bind(span.started_at.0)
                .execute(&mut *connection)
                .await?;
        }
    }
    let later = sqlx::query(
        "SELECT started_at FROM quota_periods WHERE line_id = $1 AND started_at >= $2 ORDER BY started_at",
    )
    .bind(line.as_str())
    .bind(span.ends_at.0)
    .fetch_all(&mut *connection)
    .await?;
    let sooner = i64::try_from(cut.sooner.as_millis()).unwrap_or(i64::MAX);
    // One after the other, the earliest first: each moves to where the one before it was.
    for row in later {
        let started_at: i64 = row.try_get("started_at")?;
        sqlx::query(
            "UPDATE quota_periods SET started_at = started_at - $3, ends_at = ends_at - $3 \
             WHERE line_id = $1 AND started_at = $2",
        )
        .bind(line.as_str())
        .bind(started_at)
        .bind(sooner)
        .execute(&mut *connection)
        .await?;
    }
    let first = cut.ends_at.or(before);
    sqlx::query(
        "UPDATE purchases SET period_started_at = period_started_at - $3, \
                paid_until_before = CASE WHEN what <> 'period' THEN NULL WHEN period_started_at = $2 THEN $4 \
                                         ELSE paid_until_before - $3 END \
         WHERE line_id = $1 AND period_started_at >= $2 AND taken_back_at IS NULL",
    )
    .bind(line.as_str())
    .bind(span.ends_at.0)
    .bind(sooner)
    .bind(first.map(|first| first.0))
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes data off a period that was topped up.
pub(super) async fn take_data_back(
    connection: &mut Connection,
    line: &LineId,
    period_started_at: UnixMillis,
    bytes: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE quota_periods SET topped_up_bytes = CASE WHEN topped_up_bytes > $3 THEN topped_up_bytes - $3 ELSE 0 END \
         WHERE line_id = $1 AND started_at = $2",
    )
    .bind(line.as_str())
    .bind(period_started_at.0)
    .bind(columns::stored(bytes))
    .execute(connection)
    .await?;
    Ok(())
}

/// Counts one more correction of a payment, and says how many there were with it.
pub(super) async fn count_correction(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<i64, sqlx::Error> {
    let row =
        sqlx::query("UPDATE payments SET corrections = corrections + 1 WHERE id = $1 RETURNING corrections")
            .bind(payment.as_str())
            .fetch_one(connection)
            .await?;
    row.try_get("corrections")
}

/// Puts a payment where a person says that it belongs.
pub(in crate::payments) async fn place(
    connection: &mut Connection,
    payment: &PaymentId,
    (customer, line): (Option<&CustomerId>, Option<&LineId>),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE payments SET customer_id = $2, subscription_id = $3, intent_id = NULL, unspent = '', no_owner = $4, \
                is_owner_guessed = 0, is_by_hand = 1 \
         WHERE id = $1",
    )
    .bind(payment.as_str())
    .bind(customer.map(CustomerId::as_str))
    .bind(line.map(LineId::as_str))
    .bind(if customer.is_some() { "" } else { NoOwner::TakenBack.as_str() })
    .execute(connection)
    .await?;
    Ok(())
}

/// A payment is no money of anybody's any more. One that is in parts is in no list of a customer; one that was never paid
/// stays in theirs.
pub(in crate::payments) async fn close(
    connection: &mut Connection,
    payment: &PaymentId,
    why: Closed,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE payments SET closed = $2, is_by_hand = 1, intent_id = NULL, unspent = '', no_owner = '', \
                customer_id = CASE WHEN $2 = 'split' THEN NULL ELSE customer_id END, \
                subscription_id = NULL \
         WHERE id = $1",
    )
    .bind(payment.as_str())
    .bind(why.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether a person has corrected the payment that a rule took for a request's, although no callback on the request's own path
/// ever named it: it is no request's any more.
pub(in crate::payments) async fn is_guess_moved(
    connection: &mut Connection,
    intent: &Intent,
    callbacks: &str,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS found FROM payments p \
         WHERE p.provider = 'mpesa' AND p.receipt_number = $1 AND p.intent_id IS NULL AND p.is_by_hand = 1 \
           AND NOT EXISTS (SELECT 1 FROM payment_evidence e JOIN callback_bodies b ON b.id = e.source_id \
                           WHERE e.payment_id = p.id AND e.source = $2 AND b.callback_token = $3)",
    )
    .bind(intent.receipt().unwrap_or_default())
    .bind(callbacks)
    .bind(intent.callback_token.reveal())
    .fetch_one(connection)
    .await?;
    columns::truth(&row, "found")
}

/// Notes whose phone paid, where the first that told of the payment hid the number.
pub(in crate::payments) async fn note_phone(
    connection: &mut Connection,
    payment: &PaymentId,
    phone: &Msisdn,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE payments SET phone = $2 WHERE id = $1")
        .bind(payment.as_str())
        .bind(phone.digits())
        .execute(connection)
        .await?;
    Ok(())
}

/// One part of a payment that is split: a payment of its own, which says of what.
pub(super) async fn insert_part(
    connection: &mut Connection,
    (of, part): (&PaymentId, &PaymentId),
    (number, amount): (usize, Money),
    (customer, line): (Option<&CustomerId>, Option<&LineId>),
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO payments (id, provider, receipt_number, amount_cents, short_code, phone, account_reference, \
                               customer_id, subscription_id, no_owner, is_by_hand, part_of, received_at, booked_at) \
         SELECT $2, provider, receipt_number || '/' || $3, $4, short_code, phone, account_reference, $5, $6, $7, 1, id, \
                received_at, $8 \
         FROM payments WHERE id = $1",
    )
    .bind(of.as_str())
    .bind(part.as_str())
    .bind(number.to_string())
    .bind(amount.cents())
    .bind(customer.map(CustomerId::as_str))
    .bind(line.map(LineId::as_str))
    .bind(if customer.is_some() { "" } else { NoOwner::TakenBack.as_str() })
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// The parts of a payment, in their order.
pub(super) async fn parts_of(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<Vec<PaymentId>, sqlx::Error> {
    let rows = sqlx::query("SELECT id FROM payments WHERE part_of = $1 ORDER BY receipt_number, id")
        .bind(payment.as_str())
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| columns::parsed(row, "id")).collect()
}

/// Who took the cash of a payment, or of the one that it is a part of.
pub(super) async fn taker_of(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<Option<String>, sqlx::Error> {
    let row = sqlx::query(
        "WITH RECURSIVE whole (id, part_of) AS ( \
             SELECT id, part_of FROM payments WHERE id = $1 \
             UNION ALL SELECT p.id, p.part_of FROM payments p JOIN whole w ON p.id = w.part_of) \
         SELECT c.taken_by FROM whole w JOIN counter_payments c ON c.payment_id = w.id LIMIT 1",
    )
    .bind(payment.as_str())
    .fetch_optional(connection)
    .await?;
    row.map(|row| row.try_get("taken_by")).transpose()
}

/// What a customer used of what a payment bought, or the one that it is a part of, and was taken back, less what was written
/// off of it.
pub(super) async fn used_before(
    connection: &mut Connection,
    payment: &PaymentId,
    customer: &CustomerId,
) -> Result<Money, sqlx::Error> {
    let row = sqlx::query(
        "SELECT CAST( \
             (SELECT COALESCE(SUM(b.price_cents - COALESCE(p.amount_cents, 0)), 0) FROM purchases b \
              LEFT JOIN ledger_entries e ON e.cause_kind = 'purchase_reversal' \
                                        AND e.cause_id = b.cause_kind || ' ' || b.cause_id \
              LEFT JOIN ledger_postings p ON p.entry_id = e.id AND p.account_id = 'revenue' \
              WHERE b.payment_id IN ($1, (SELECT w.part_of FROM payments w WHERE w.id = $1)) AND b.customer_id = $2 \
                AND b.taken_back_at IS NOT NULL) \
             + (SELECT COALESCE(SUM(p.amount_cents), 0) FROM ledger_postings p \
                JOIN ledger_entries e ON e.id = p.entry_id \
                WHERE p.account_id = $3 \
                  AND (e.cause_id LIKE $1 || ' %' \
                       OR e.cause_id LIKE (SELECT w.part_of FROM payments w WHERE w.id = $1) || ' %') \
                  AND e.cause_kind IN ('used_time', 'used_time_returned', 'used_time_again')) AS BIGINT) AS amount",
    )
    .bind(payment.as_str())
    .bind(customer.as_str())
    .bind(Account::Wallet(customer.clone()).to_string())
    .fetch_one(connection)
    .await?;
    columns::money(&row, "amount")
}

/// What a customer used of everything that they bought since an instant and was taken back, less what was written off of it.
pub(super) async fn used_since(
    connection: &mut Connection,
    customer: &CustomerId,
    since: UnixMillis,
) -> Result<Money, sqlx::Error> {
    let row = sqlx::query(
        "SELECT CAST( \
             (SELECT COALESCE(SUM(b.price_cents - COALESCE(p.amount_cents, 0)), 0) FROM purchases b \
              LEFT JOIN ledger_entries e ON e.cause_kind = 'purchase_reversal' \
                                        AND e.cause_id = b.cause_kind || ' ' || b.cause_id \
              LEFT JOIN ledger_postings p ON p.entry_id = e.id AND p.account_id = 'revenue' \
              WHERE b.customer_id = $1 AND b.bought_at >= $2 AND b.taken_back_at IS NOT NULL) \
             + (SELECT COALESCE(SUM(p.amount_cents), 0) FROM ledger_postings p \
                JOIN ledger_entries e ON e.id = p.entry_id \
                WHERE p.account_id = $3 AND e.booked_at >= $2 \
                  AND e.cause_kind IN ('used_time', 'used_time_returned', 'used_time_again')) AS BIGINT) AS amount",
    )
    .bind(customer.as_str())
    .bind(since.0)
    .bind(Account::Wallet(customer.clone()).to_string())
    .fetch_one(connection)
    .await?;
    columns::money(&row, "amount")
}

/// What was written off by somebody since an instant, under all their names. What became of a refund counts where that was
/// asked for since then: what nothing came of gives nobody more on a later day.
pub(in crate::payments) async fn written_off_since(
    connection: &mut Connection,
    [first, second, third]: &[String; 3],
    since: UnixMillis,
) -> Result<Money, sqlx::Error> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(p.amount_cents), 0) AS BIGINT) AS amount \
         FROM ledger_postings p JOIN ledger_entries e ON e.id = p.entry_id \
         WHERE p.account_id = 'write_offs' AND e.actor IN ($1, $2, $3) AND e.booked_at >= $4 \
           AND (e.cause_kind NOT IN ('used_time_returned', 'used_time_again') \
                OR EXISTS (SELECT 1 FROM refunds r WHERE e.cause_id = r.payment_id || ' ' || r.id AND r.created_at >= $4))",
    )
    .bind(first.as_str())
    .bind(second.as_str())
    .bind(third.as_str())
    .bind(since.0)
    .fetch_one(connection)
    .await?;
    columns::money(&row, "amount")
}

fn read(row: &Row) -> Result<Purchase, sqlx::Error> {
    let is_top_up = row.try_get::<&str, _>("what")? == "top_up";
    let bytes: Option<i64> = row.try_get("bytes")?;
    Ok(Purchase {
        cause_kind: row.try_get("cause_kind")?,
        cause_id: row.try_get("cause_id")?,
        payment: columns::parsed_or_none(row, "payment_id")?,
        customer: columns::parsed(row, "customer_id")?,
        line: columns::parsed(row, "line_id")?,
        what: if is_top_up {
            Purchased::TopUp { bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0) }
        } else {
            Purchased::Period { paid_until_before: columns::instant_or_none(row, "paid_until_before")? }
        },
        label: row.try_get("label")?,
        price: columns::money(row, "price_cents")?,
        period_started_at: columns::instant(row, "period_started_at")?,
        period_ends_at: columns::instant_or_none(row, "ends_at")?,
        is_waiting: columns::truth(row, "is_waiting")?,
        bought_at: columns::instant(row, "bought_at")?,
        taken_back_at: columns::instant_or_none(row, "taken_back_at")?,
    })
}
