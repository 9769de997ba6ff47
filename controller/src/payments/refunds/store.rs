//! All SQL of refunds.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::state::{Due, State};
use super::{Refund, RefundRow, Way};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::{CustomerId, OperatorRequestId, PaymentId, RefundId};
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::payments::counter::store::sum_since;
use crate::payments::review::by_hand::BookedAs;
use crate::payments::suspense::NoOwner;

/// The columns that [`read`] reads, with what follows the joins.
macro_rules! refunds {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.payment_id, r.customer_id, r.way, r.amount_cents, r.is_whole, r.short_code, r.receipt_number, ",
            "r.phone, r.reason, r.state, r.result_code, r.result_description, r.result_receipt, r.next_at, r.looks, ",
            "r.requested_by, r.approved_by, r.created_at, r.updated_at, COALESCE(c.name, '') AS customer_name, ",
            "(SELECT COUNT(*) FROM operator_requests o WHERE o.refund_id = r.id ",
            "AND o.kind IN ('reversal', 'payout')) AS sendings ",
            "FROM refunds r LEFT JOIN customers c ON c.id = r.customer_id ",
            $rest
        )
    };
}

/// Keeps a refund, and why its payment was nobody's, where it was.
pub(super) async fn insert(
    connection: &mut Connection,
    refund: &Refund,
    was_no_owner: Option<NoOwner>,
    occasion: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO refunds (id, payment_id, customer_id, way, amount_cents, is_whole, short_code, receipt_number, phone, \
                              reason, state, next_at, requested_by, created_at, updated_at, occasion, was_no_owner) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14, $15, $16)",
    )
    .bind(refund.id.as_str())
    .bind(refund.payment.as_str())
    .bind(refund.customer.as_ref().map(CustomerId::as_str))
    .bind(refund.way.as_str())
    .bind(refund.amount.cents())
    .bind(i64::from(refund.is_whole))
    .bind(refund.short_code.as_str())
    .bind(refund.receipt_number.as_str())
    .bind(refund.phone.as_str())
    .bind(refund.reason.as_str())
    .bind(refund.due.state.as_str())
    .bind(refund.due.next_at.map(|at| at.0))
    .bind(refund.requested_by.as_str())
    .bind(refund.created_at.0)
    .bind(occasion)
    .bind(was_no_owner.map_or("", NoOwner::as_str))
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes back what may have changed.
pub(super) async fn update(connection: &mut Connection, refund: &Refund) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE refunds SET state = $2, next_at = $3, looks = $4, result_code = $5, result_description = $6, \
                result_receipt = $7, approved_by = $8, updated_at = $9, short_code = $10 \
         WHERE id = $1",
    )
    .bind(refund.id.as_str())
    .bind(refund.due.state.as_str())
    .bind(refund.due.next_at.map(|at| at.0))
    .bind(i64::from(refund.due.looks))
    .bind(refund.result_code.as_str())
    .bind(refund.result_description.as_str())
    .bind(refund.result_receipt.as_str())
    .bind(refund.approved_by.as_str())
    .bind(refund.updated_at.0)
    .bind(refund.short_code.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn by_id(
    connection: &mut Connection,
    id: &RefundId,
) -> Result<Option<RefundRow>, sqlx::Error> {
    let row = sqlx::query(refunds!("WHERE r.id = $1")).bind(id.as_str()).fetch_optional(connection).await?;
    row.map(|row| read(&row)).transpose()
}

/// How the refund stands with which all of a payment went back last.
pub(super) async fn whole_of(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<Option<State>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT state FROM refunds WHERE payment_id = $1 AND is_whole = 1 ORDER BY created_at DESC, id DESC LIMIT 1",
    )
    .bind(payment.as_str())
    .fetch_optional(connection)
    .await?;
    row.map(|row| columns::word(&row, "state", State::parse)).transpose()
}

/// The refund that was asked for on an occasion.
pub(super) async fn of_occasion(
    connection: &mut Connection,
    occasion: &str,
) -> Result<Option<RefundId>, sqlx::Error> {
    let row = sqlx::query("SELECT id FROM refunds WHERE occasion = $1")
        .bind(occasion)
        .fetch_optional(connection)
        .await?;
    row.map(|row| columns::parsed(&row, "id")).transpose()
}

/// Refunds, the newest first: all, or those in one state, or those of one payment.
pub(super) async fn list(
    connection: &mut Connection,
    (state, payment): (Option<State>, Option<&PaymentId>),
    limit: u32,
) -> Result<Vec<RefundRow>, sqlx::Error> {
    let rows = sqlx::query(refunds!(
        "WHERE ($1 = '' OR r.state = $1) AND ($2 = '' OR r.payment_id = $2) \
         ORDER BY r.created_at DESC, r.id LIMIT $3"
    ))
    .bind(state.map_or("", State::as_str))
    .bind(payment.map_or("", PaymentId::as_str))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// Those for which something is due, the longest waiting first.
pub(super) async fn due(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<RefundId>, sqlx::Error> {
    let rows = sqlx::query("SELECT id FROM refunds WHERE next_at <= $1 ORDER BY next_at, id LIMIT $2")
        .bind(now.0)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| columns::parsed(row, "id")).collect()
}

/// What of a payment goes back, or has gone.
pub(super) async fn given_back(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<Money, sqlx::Error> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT) AS amount FROM refunds \
         WHERE payment_id = $1 AND state NOT IN ('failed', 'withdrawn')",
    )
    .bind(payment.as_str())
    .fetch_one(connection)
    .await?;
    columns::money(&row, "amount")
}

/// The refund that is done and that a statement's row tells of: by the receipt that was reversed, or by that of the payment to the
/// phone, with the same amount. And whether a statement told of it before.
pub(super) async fn stated(
    connection: &mut Connection,
    short_code: &str,
    (receipt, amount): (&str, Money),
) -> Result<Option<(RefundId, bool)>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT id, is_stated FROM refunds WHERE state = 'done' AND short_code = $1 AND amount_cents = $2 \
           AND ((way = 'reversal' AND receipt_number = $3) OR (way = 'payout' AND result_receipt = $3)) LIMIT 1",
    )
    .bind(short_code)
    .bind(amount.cents())
    .bind(receipt)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((columns::parsed(&row, "id")?, columns::truth(&row, "is_stated")?))).transpose()
}

/// Whether a receipt is already that of a payment, or of another refund.
pub(super) async fn is_receipt_taken(
    connection: &mut Connection,
    refund: &Refund,
    receipt: &ReceiptNumber,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM payments WHERE receipt_number = $1) \
              + (SELECT COUNT(*) FROM refunds WHERE result_receipt = $1 AND id <> $2) AS found",
    )
    .bind(receipt.as_str())
    .bind(refund.id.as_str())
    .fetch_one(connection)
    .await?;
    columns::truth(&row, "found")
}

pub(super) async fn note_stated(
    connection: &mut Connection,
    refund: &RefundId,
    at: Option<UnixMillis>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE refunds SET is_stated = 1, gone_at = COALESCE($2, gone_at) WHERE id = $1")
        .bind(refund.as_str())
        .bind(at.map(|at| at.0))
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes when the money of a refund left: by the row of a statement that tells of it, where one waits that was not understood
/// before, and now otherwise. A row that a person had booked as something else, and as what: that is to be taken back.
pub(super) async fn note_gone(
    connection: &mut Connection,
    refund: &Refund,
    now: UnixMillis,
) -> Result<Option<(String, BookedAs)>, sqlx::Error> {
    sqlx::query("UPDATE refunds SET gone_at = $2 WHERE id = $1")
        .bind(refund.id.as_str())
        .bind(now.0)
        .execute(&mut *connection)
        .await?;
    let receipt = match refund.way {
        Way::Reversal => &refund.receipt_number,
        Way::Payout => &refund.result_receipt,
    };
    if receipt.is_empty() {
        return Ok(None);
    }
    let row = sqlx::query(
        "SELECT row_sha256, moved_at, settled_as FROM statement_rows_for_review \
         WHERE short_code = $1 AND amount_cents = $2 AND booked_cents = 0 AND settled_as IN ('expense', 'bank', '') \
           AND ' ' || names || ' ' LIKE $3 \
         ORDER BY settled_as DESC, seen_at, row_sha256 LIMIT 1",
    )
    .bind(refund.short_code.as_str())
    .bind(refund.amount.cents().saturating_neg())
    .bind(format!("% {receipt} %"))
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let digest: String = row.try_get("row_sha256")?;
    let booked_as = BookedAs::parse(row.try_get("settled_as")?);
    note_stated(connection, &refund.id, columns::instant_or_none(&row, "moved_at")?).await?;
    sqlx::query(
        "UPDATE statement_rows_for_review SET settled_as = 'refund', needs_person = 0 WHERE row_sha256 = $1",
    )
    .bind(digest.as_str())
    .execute(connection)
    .await?;
    Ok(booked_as.map(|booked_as| (digest, booked_as)))
}

/// What somebody asked to give back since an instant, under any of these names, and was not withdrawn.
pub(super) async fn asked_since(
    connection: &mut Connection,
    names: &[String; 3],
    since: UnixMillis,
) -> Result<Money, sqlx::Error> {
    let sql = "SELECT CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT) AS amount FROM refunds \
               WHERE requested_by IN ($1, $2, $3) AND created_at >= $4 AND state NOT IN ('failed', 'withdrawn')";
    sum_since(connection, sql, names, since).await
}

/// What somebody agreed to that others asked to give back, since an instant, under any of these names.
pub(super) async fn approved_since(
    connection: &mut Connection,
    names: &[String; 3],
    since: UnixMillis,
) -> Result<Money, sqlx::Error> {
    let sql = "SELECT CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT) AS amount FROM refunds \
               WHERE approved_by IN ($1, $2, $3) AND approved_at >= $4 AND state NOT IN ('failed', 'withdrawn')";
    sum_since(connection, sql, names, since).await
}

pub(super) async fn note_approved(
    connection: &mut Connection,
    id: &RefundId,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE refunds SET approved_at = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(now.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// The cause of the entry that undoes what was written off for a refund.
pub(super) const USED_RETURNED: &str = "used_time_returned";

/// What was written off of used time when a payment was corrected last.
pub(super) async fn written_off_for(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<Money, sqlx::Error> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(p.amount_cents), 0) AS BIGINT) AS amount FROM payments y \
         JOIN ledger_entries e ON e.cause_kind = 'used_time' AND e.cause_id = y.id || ' ' || CAST(y.corrections AS TEXT) \
         JOIN ledger_postings p ON p.entry_id = e.id AND p.account_id = 'write_offs' \
         WHERE y.id = $1",
    )
    .bind(payment.as_str())
    .fetch_one(connection)
    .await?;
    columns::money(&row, "amount")
}

/// What of that was undone when a refund came to nothing.
pub(super) async fn write_off_undone(
    connection: &mut Connection,
    refund: &Refund,
) -> Result<Money, sqlx::Error> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(-SUM(p.amount_cents), 0) AS BIGINT) AS amount FROM ledger_entries e \
         JOIN ledger_postings p ON p.entry_id = e.id AND p.account_id = 'write_offs' \
         WHERE e.cause_kind = $1 AND e.cause_id = $2",
    )
    .bind(USED_RETURNED)
    .bind(format!("{} {}", refund.payment, refund.id))
    .fetch_one(connection)
    .await?;
    columns::money(&row, "amount")
}

/// Opens the payment of a refund again that came to nothing: it lies in its customer's wallet, where a person left it, or in
/// suspense for the reason that it had, for its payer to claim or a person to give. No rule moves it any more.
pub(super) async fn reopen(connection: &mut Connection, refund: &Refund) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE payments SET closed = '', is_by_hand = 1, \
                no_owner = CASE WHEN customer_id IS NULL \
                                THEN (SELECT r.was_no_owner FROM refunds r WHERE r.id = $2) ELSE '' END \
         WHERE id = $1",
    )
    .bind(refund.payment.as_str())
    .bind(refund.id.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// What M-Pesa answered to each request by which a refund was sent, but for this one, and which it took or may have taken; `None`
/// of one without a result.
pub(super) async fn codes_besides(
    connection: &mut Connection,
    refund: &RefundId,
    request: Option<&OperatorRequestId>,
) -> Result<Vec<Option<String>>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT CASE WHEN state = 'answered' THEN result_code END AS code FROM operator_requests \
         WHERE refund_id = $1 AND id <> $2 AND kind IN ('reversal', 'payout') AND state <> 'refused'",
    )
    .bind(refund.as_str())
    .bind(request.map_or("", OperatorRequestId::as_str))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| row.try_get("code")).collect()
}

fn read(row: &Row) -> Result<RefundRow, sqlx::Error> {
    let (looks, sendings): (i64, i64) = (row.try_get("looks")?, row.try_get("sendings")?);
    let refund = Refund {
        id: columns::parsed(row, "id")?,
        payment: columns::parsed(row, "payment_id")?,
        customer: columns::parsed_or_none(row, "customer_id")?,
        way: columns::word(row, "way", Way::parse)?,
        amount: columns::money(row, "amount_cents")?,
        is_whole: columns::truth(row, "is_whole")?,
        short_code: row.try_get("short_code")?,
        receipt_number: row.try_get("receipt_number")?,
        phone: row.try_get("phone")?,
        reason: row.try_get("reason")?,
        due: Due {
            state: columns::word(row, "state", State::parse)?,
            next_at: columns::instant_or_none(row, "next_at")?,
            looks: u32::try_from(looks).unwrap_or(u32::MAX),
        },
        was_sent: sendings > 0,
        result_code: row.try_get("result_code")?,
        result_description: row.try_get("result_description")?,
        result_receipt: row.try_get("result_receipt")?,
        requested_by: row.try_get("requested_by")?,
        approved_by: row.try_get("approved_by")?,
        created_at: columns::instant(row, "created_at")?,
        updated_at: columns::instant(row, "updated_at")?,
    };
    Ok(RefundRow { refund, customer_name: row.try_get("customer_name")? })
}
