//! All SQL of what a person has to look at. What is booked is `payments::store`.

use sqlx::Row as _;

use tawi_shared::UnixMillis;

use super::place::{Begins, List};
use super::{ForReview, ReviewKind, Settled, Waits};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::RefundId;
use crate::money::Money;
use crate::payments::store::read_no_owner;
use crate::payments::suspense;

/// Holds of a row `r` of a statement whose money no entry has: neither a person booked it, nor is it a payment or a charge that
/// is booked with the same amount, nor a refund of ours, nor is it booked as another export
/// wrote it, nor does another row take it back.
pub(crate) const NOWHERE_BOOKED: &str = "r.settled_as = '' AND COALESCE(r.amount_cents, 0) <> 0 \
     AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.provider = 'mpesa' AND p.receipt_number = r.receipt_number \
                     AND p.amount_cents = r.amount_cents) \
     AND NOT EXISTS (SELECT 1 FROM mpesa_outgoings o WHERE o.cause_kind IN ('mpesa_charge', 'mpesa_settlement') \
                     AND (o.cause_id = r.receipt_number OR (o.cause_id > r.receipt_number || ':' \
                                                            AND o.cause_id < r.receipt_number || ';')) \
                     AND r.receipt_number <> '' AND o.short_code = r.short_code AND o.amount_cents = -r.amount_cents) \
     AND NOT EXISTS (SELECT 1 FROM statement_rows_for_review t WHERE t.short_code = r.short_code \
                     AND t.receipt_number = r.receipt_number AND r.receipt_number <> '' \
                     AND t.amount_cents = r.amount_cents AND t.settled_as <> '') \
     AND NOT EXISTS (SELECT 1 FROM statement_rows_for_review t WHERE t.short_code = r.short_code AND t.settled_as = '' \
                     AND t.amount_cents = -r.amount_cents AND r.receipt_number <> '' AND t.receipt_number <> '' \
                     AND (' ' || r.names || ' ' LIKE '% ' || t.receipt_number || ' %' \
                          OR ' ' || t.names || ' ' LIKE '% ' || r.receipt_number || ' %'))";

/// Whether there is such a row, and whether it waits for a person.
macro_rules! waiting {
    ($rest:literal) => {
        concat!(
            "SELECT COUNT(*) AS found, CAST(COALESCE(MAX(needs_person), 0) AS BIGINT) AS waiting FROM ",
            $rest
        )
    };
}

/// What one of the lists has, from where it goes on, at most `limit`.
pub(super) async fn items_of(
    connection: &mut Connection,
    list: List,
    begins: &Begins,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    match list {
        List::Callbacks => callbacks_for_review(connection, begins, limit).await,
        List::Requests => requests_for_review(connection, begins, limit).await,
        List::Nobodys => payments_for_review(connection, begins, limit).await,
        List::Unclear => unclear_for_review(connection, begins, limit).await,
        List::Refunds => refunds_for_review(connection, begins, limit).await,
        List::Evidence => evidence_for_review(connection, begins, limit).await,
        List::PullRows => pull_rows_for_review(connection, begins, limit).await,
        List::StatementRows => statement_rows_for_review(connection, begins, limit).await,
    }
}

/// How much the lists have in all, and how much of it from before an instant: each is counted in its own index.
pub(super) async fn waits(connection: &mut Connection, before: UnixMillis) -> Result<Waits, sqlx::Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS found, \
                CAST(COALESCE(SUM(CASE WHEN w.since < $1 THEN 1 ELSE 0 END), 0) AS BIGINT) AS overdue \
         FROM (SELECT received_at AS since FROM callback_bodies WHERE needs_person = 1 \
               UNION ALL SELECT updated_at FROM payment_intents \
                         WHERE state IN ('paid_unreceipted', 'review') AND is_looked_at = 0 \
               UNION ALL SELECT received_at FROM payments WHERE customer_id IS NULL AND closed = '' \
               UNION ALL SELECT received_at FROM payments WHERE unspent = 'unclear' \
               UNION ALL SELECT updated_at FROM refunds WHERE state = 'unknown' AND next_at IS NULL \
               UNION ALL SELECT seen_at FROM payment_evidence WHERE needs_person = 1 \
               UNION ALL SELECT seen_at FROM pull_rows_for_review WHERE needs_person = 1 \
               UNION ALL SELECT seen_at FROM statement_rows_for_review WHERE needs_person = 1) w",
    )
    .bind(before.0)
    .fetch_one(connection)
    .await?;
    Ok(Waits { all: columns::unsigned(&row, "found")?, overdue: columns::unsigned(&row, "overdue")? })
}

/// Callbacks that a person has to look at, newest first. The receipt is the one that the body names; the amount too, or,
/// where it names none, what was asked for.
async fn callbacks_for_review(
    connection: &mut Connection,
    begins: &Begins,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT b.id, b.received_at AS since, b.outcome, COALESCE(b.amount_cents, i.amount_cents) AS amount_cents, \
                NULLIF(b.receipt_number, '') AS receipt_number, i.customer_id, \
                COALESCE(c.name, '') AS customer_name \
         FROM callback_bodies b LEFT JOIN payment_intents i ON i.callback_token = b.callback_token \
         LEFT JOIN customers c ON c.id = i.customer_id \
         WHERE b.needs_person = 1 AND b.received_at <= $2 AND (b.received_at < $2 OR b.id < $3) \
         ORDER BY b.received_at DESC, b.id DESC LIMIT $1",
    )
    .bind(limit)
    .bind(begins.since)
    .bind(begins.id.as_str())
    .fetch_all(connection)
    .await?;
    let item = |row: &Row| {
        let kind = ReviewKind::Callback(columns::parsed(row, "id")?);
        read_for_review(row, kind, row.try_get("outcome")?)
    };
    rows.iter().map(item).collect()
}

/// Requests whose end a person has to find out, newest first.
async fn requests_for_review(
    connection: &mut Connection,
    begins: &Begins,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT i.id, i.updated_at AS since, i.state, COALESCE(i.result_code, '') AS result_code, \
                COALESCE(i.result_description, '') AS result_description, i.amount_cents, i.receipt_number, \
                i.customer_id, c.name AS customer_name \
         FROM payment_intents i JOIN customers c ON c.id = i.customer_id \
         WHERE i.state IN ('paid_unreceipted', 'review') AND i.is_looked_at = 0 AND i.updated_at <= $2 AND (i.updated_at < $2 OR i.id < $3) \
         ORDER BY i.updated_at DESC, i.id DESC LIMIT $1",
    )
    .bind(limit)
    .bind(begins.since)
    .bind(begins.id.as_str())
    .fetch_all(connection)
    .await?;
    let item = |row: &Row| {
        let (state, code): (String, String) = (row.try_get("state")?, row.try_get("result_code")?);
        let description: String = row.try_get("result_description")?;
        let reason = if state == "review" {
            format!("M-Pesa answered what nobody has seen before: {code} {description}").trim_end().to_owned()
        } else {
            "M-Pesa says that it is paid, and the receipt has not come".to_owned()
        };
        read_for_review(row, ReviewKind::Request(columns::parsed(row, "id")?), reason)
    };
    rows.iter().map(item).collect()
}

/// Payments that are nobody's, newest first.
async fn payments_for_review(
    connection: &mut Connection,
    begins: &Begins,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT p.id, p.received_at AS since, p.no_owner, p.amount_cents, p.receipt_number, p.customer_id, \
                '' AS customer_name \
         FROM payments p WHERE p.customer_id IS NULL AND p.closed = '' AND p.received_at <= $2 AND (p.received_at < $2 OR p.id < $3) \
         ORDER BY p.received_at DESC, p.id DESC LIMIT $1",
    )
    .bind(limit)
    .bind(begins.since)
    .bind(begins.id.as_str())
    .fetch_all(connection)
    .await?;
    let item = |row: &Row| {
        let reason = suspense::words(read_no_owner(row)?);
        read_for_review(row, ReviewKind::Payment(columns::parsed(row, "id")?), reason)
    };
    rows.iter().map(item).collect()
}

/// Payments of which nobody knows which of a customer's lines or requests they are for, newest first.
async fn unclear_for_review(
    connection: &mut Connection,
    begins: &Begins,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT p.id, p.received_at AS since, p.amount_cents, p.receipt_number, p.customer_id, \
                c.name AS customer_name \
         FROM payments p JOIN customers c ON c.id = p.customer_id \
         WHERE p.unspent = 'unclear' AND p.received_at <= $2 AND (p.received_at < $2 OR p.id < $3) \
         ORDER BY p.received_at DESC, p.id DESC LIMIT $1",
    )
    .bind(limit)
    .bind(begins.since)
    .bind(begins.id.as_str())
    .fetch_all(connection)
    .await?;
    let item = |row: &Row| {
        let reason = "it lies in the wallet, since it may be for one of several lines or requests: ask for a payment of the one \
                      that it is for, and the wallet pays";
        read_for_review(row, ReviewKind::Payment(columns::parsed(row, "id")?), reason.to_owned())
    };
    rows.iter().map(item).collect()
}

/// Refunds of which M-Pesa does not say how they ended, newest first.
async fn refunds_for_review(
    connection: &mut Connection,
    begins: &Begins,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT r.id, r.updated_at AS since, r.amount_cents, r.receipt_number, r.customer_id, \
                COALESCE(c.name, '') AS customer_name \
         FROM refunds r LEFT JOIN customers c ON c.id = r.customer_id \
         WHERE r.state = 'unknown' AND r.next_at IS NULL AND r.updated_at <= $2 AND (r.updated_at < $2 OR r.id < $3) \
         ORDER BY r.updated_at DESC, r.id DESC LIMIT $1",
    )
    .bind(limit)
    .bind(begins.since)
    .bind(begins.id.as_str())
    .fetch_all(connection)
    .await?;
    let item = |row: &Row| {
        let reason = "M-Pesa does not say whether this refund went through: look it up in its portal, and say so on the \
                      page of the refund";
        read_for_review(row, ReviewKind::Refund(columns::parsed(row, "id")?), reason.to_owned())
    };
    rows.iter().map(item).collect()
}

/// Evidence that does not fit the payment that is booked, newest first.
async fn evidence_for_review(
    connection: &mut Connection,
    begins: &Begins,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT e.payment_id, e.seen_at AS since, e.outcome, p.amount_cents, p.receipt_number, p.customer_id, \
                COALESCE(c.name, '') AS customer_name \
         FROM payment_evidence e JOIN payments p ON p.id = e.payment_id \
         LEFT JOIN customers c ON c.id = p.customer_id \
         WHERE e.needs_person = 1 AND e.seen_at <= $2 AND (e.seen_at < $2 OR e.payment_id < $3) \
         ORDER BY e.seen_at DESC, e.payment_id DESC LIMIT $1",
    )
    .bind(limit)
    .bind(begins.since)
    .bind(begins.id.as_str())
    .fetch_all(connection)
    .await?;
    let item = |row: &Row| {
        let kind = ReviewKind::Evidence(columns::parsed(row, "payment_id")?);
        read_for_review(row, kind, row.try_get("outcome")?)
    };
    rows.iter().map(item).collect()
}

/// Rows of Pull that were not understood, newest first. What they say is [`body_of`].
async fn pull_rows_for_review(
    connection: &mut Connection,
    begins: &Begins,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT row_sha256, seen_at FROM pull_rows_for_review \
         WHERE needs_person = 1 AND seen_at <= $2 AND (seen_at < $2 OR row_sha256 < $3) \
         ORDER BY seen_at DESC, row_sha256 DESC LIMIT $1",
    )
    .bind(limit)
    .bind(begins.since)
    .bind(begins.id.as_str())
    .fetch_all(connection)
    .await?;
    let item = |row: &Row| {
        Ok(ForReview {
            kind: ReviewKind::PullRow(row.try_get("row_sha256")?),
            reason: "Pull told of a payment in a form that is not understood".to_owned(),
            amount: None,
            receipt_number: None,
            since: columns::instant(row, "seen_at")?,
            customer: None,
            customer_name: String::new(),
        })
    };
    rows.iter().map(item).collect()
}

/// Rows of statements of which no rule decides, newest first.
async fn statement_rows_for_review(
    connection: &mut Connection,
    begins: &Begins,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT row_sha256, short_code, line, reason, receipt_number, amount_cents, seen_at \
         FROM statement_rows_for_review \
         WHERE needs_person = 1 AND seen_at <= $2 AND (seen_at < $2 OR row_sha256 < $3) \
         ORDER BY seen_at DESC, row_sha256 DESC LIMIT $1",
    )
    .bind(limit)
    .bind(begins.since)
    .bind(begins.id.as_str())
    .fetch_all(connection)
    .await?;
    let item = |row: &Row| {
        let (line, reason): (i64, String) = (row.try_get("line")?, row.try_get("reason")?);
        let short_code: String = row.try_get("short_code")?;
        let receipt: String = row.try_get("receipt_number")?;
        Ok(ForReview {
            kind: ReviewKind::StatementRow(row.try_get("row_sha256")?),
            reason: format!("line {line} of a statement of {short_code}: {reason}"),
            amount: row.try_get::<Option<i64>, _>("amount_cents")?.map(Money::from_cents),
            receipt_number: (!receipt.is_empty()).then_some(receipt),
            since: columns::instant(row, "seen_at")?,
            customer: None,
            customer_name: String::new(),
        })
    };
    rows.iter().map(item).collect()
}

/// Whether an item waits for a person; `None` when there is no such item.
pub(super) async fn waits_for_person(
    connection: &mut Connection,
    item: &Settled,
) -> Result<Option<bool>, sqlx::Error> {
    let (sql, id) = match item {
        Settled::Callback(id) => (waiting!("callback_bodies WHERE id = $1"), id.as_str()),
        Settled::Request(id) => (
            "SELECT COUNT(*) AS found, CAST(COALESCE(MAX(CASE WHEN state IN ('paid_unreceipted', 'review') \
                    AND is_looked_at = 0 THEN 1 ELSE 0 END), 0) AS BIGINT) AS waiting \
             FROM payment_intents WHERE id = $1",
            id.as_str(),
        ),
        Settled::Evidence(id) => (waiting!("payment_evidence WHERE payment_id = $1"), id.as_str()),
        Settled::PullRow(digest) => (waiting!("pull_rows_for_review WHERE row_sha256 = $1"), digest.as_str()),
        Settled::StatementRow(digest) => {
            (waiting!("statement_rows_for_review WHERE row_sha256 = $1"), digest.as_str())
        }
    };
    let row = sqlx::query(sql).bind(id).fetch_one(connection).await?;
    Ok(if columns::truth(&row, "found")? { Some(columns::truth(&row, "waiting")?) } else { None })
}

/// An item as it came; `None` where there is no such item, or it came as nothing that is kept.
pub(super) async fn body_of(
    connection: &mut Connection,
    item: &Settled,
) -> Result<Option<String>, sqlx::Error> {
    let (sql, id) = match item {
        Settled::Callback(id) => ("SELECT body FROM callback_bodies WHERE id = $1", id.as_str()),
        Settled::Request(_) | Settled::Evidence(_) => return Ok(None),
        Settled::PullRow(digest) => {
            ("SELECT body FROM pull_rows_for_review WHERE row_sha256 = $1", digest.as_str())
        }
        Settled::StatementRow(digest) => {
            ("SELECT body FROM statement_rows_for_review WHERE row_sha256 = $1", digest.as_str())
        }
    };
    let row = sqlx::query(sql).bind(id).fetch_optional(connection).await?;
    row.map(|row| row.try_get("body")).transpose()
}

/// Takes an item off the list of what a person has to look at, and keeps who looked, and when, where the daily close shows it.
pub(super) async fn note_looked_at(
    connection: &mut Connection,
    item: &Settled,
    by: &str,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let (sql, id) = match item {
        Settled::Callback(id) => ("UPDATE callback_bodies SET needs_person = 0 WHERE id = $1", id.as_str()),
        Settled::Request(id) => ("UPDATE payment_intents SET is_looked_at = 1 WHERE id = $1", id.as_str()),
        Settled::Evidence(id) => (
            "UPDATE payment_evidence SET needs_person = 0, looked_at = $2, looked_at_by = $3 \
             WHERE payment_id = $1 AND needs_person = 1",
            id.as_str(),
        ),
        Settled::PullRow(digest) => (
            "UPDATE pull_rows_for_review SET needs_person = 0, looked_at = $2, looked_at_by = $3 WHERE row_sha256 = $1",
            digest.as_str(),
        ),
        Settled::StatementRow(digest) => (
            "UPDATE statement_rows_for_review SET needs_person = 0, looked_at = $2, looked_at_by = $3 \
             WHERE row_sha256 = $1",
            digest.as_str(),
        ),
    };
    let query = sqlx::query(sql).bind(id);
    match item {
        Settled::Callback(_) | Settled::Request(_) => query.execute(connection).await?,
        _ => query.bind(now.0).bind(by).execute(connection).await?,
    };
    Ok(())
}

/// A row of a statement as it may be booked by hand.
#[derive(Debug)]
pub(super) struct RowToBook {
    pub(super) short_code: String,
    pub(super) receipt: String,
    pub(super) amount: Option<Money>,
    pub(super) moved_at: UnixMillis,
    pub(super) reason: String,
    /// What it was settled as; empty for nothing.
    pub(super) settled_as: String,
    pub(super) is_nowhere_booked: bool,
}

pub(super) async fn row_to_book(
    connection: &mut Connection,
    digest: &str,
) -> Result<Option<RowToBook>, sqlx::Error> {
    let sql = format!(
        "SELECT r.short_code, r.receipt_number, r.amount_cents - r.booked_cents AS amount_cents, COALESCE(r.moved_at, r.seen_at) AS at, r.reason, r.settled_as, \
                CASE WHEN {NOWHERE_BOOKED} THEN 1 ELSE 0 END AS is_nowhere \
         FROM statement_rows_for_review r WHERE r.row_sha256 = $1"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(digest).fetch_optional(connection).await?;
    row.map(|row| {
        Ok(RowToBook {
            short_code: row.try_get("short_code")?,
            receipt: row.try_get("receipt_number")?,
            amount: row.try_get::<Option<i64>, _>("amount_cents")?.map(Money::from_cents),
            moved_at: columns::instant(&row, "at")?,
            reason: row.try_get("reason")?,
            settled_as: row.try_get("settled_as")?,
            is_nowhere_booked: columns::truth(&row, "is_nowhere")?,
        })
    })
    .transpose()
}

/// The refund of so much that no statement told of, the oldest first: which, and whether it is done.
pub(super) async fn refund_not_stated(
    connection: &mut Connection,
    short_code: &str,
    amount: Money,
) -> Result<Option<(RefundId, bool)>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT id, CASE WHEN state = 'done' THEN 1 ELSE 0 END AS is_done FROM refunds \
         WHERE short_code = $1 AND amount_cents = $2 AND is_stated = 0 AND state NOT IN ('failed', 'withdrawn') \
         ORDER BY is_done DESC, created_at, id LIMIT 1",
    )
    .bind(short_code)
    .bind(amount.cents())
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((columns::parsed(&row, "id")?, columns::truth(&row, "is_done")?))).transpose()
}

/// Whether a person booked what a row of a statement moved, as this or another export wrote it.
pub(crate) async fn is_settled(
    connection: &mut Connection,
    (short_code, receipt): (&str, &str),
    amount: Money,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS found FROM statement_rows_for_review \
         WHERE short_code = $1 AND receipt_number = $2 AND amount_cents = $3 AND settled_as <> ''",
    )
    .bind(short_code)
    .bind(receipt)
    .bind(amount.cents())
    .fetch_one(connection)
    .await?;
    columns::truth(&row, "found")
}

/// How a row of a statement stands that another form of the export wrote otherwise: whether a person booked it, and whether it
/// waits for one. `None` when no form of it is kept.
pub(crate) async fn other_form(
    connection: &mut Connection,
    (short_code, receipt): (&str, &str),
    amount: Money,
) -> Result<Option<(bool, bool)>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT settled_as <> '' AS is_settled, needs_person FROM statement_rows_for_review \
         WHERE short_code = $1 AND receipt_number = $2 AND amount_cents = $3 \
         ORDER BY CASE WHEN settled_as <> '' THEN 0 ELSE 1 END, needs_person DESC LIMIT 1",
    )
    .bind(short_code)
    .bind(receipt)
    .bind(amount.cents())
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((columns::truth(&row, "is_settled")?, columns::truth(&row, "needs_person")?)))
        .transpose()
}

/// Notes what a row was booked as: somebody has looked at it with that, if nobody had before.
pub(super) async fn settle_row(
    connection: &mut Connection,
    digest: &str,
    settled_as: &str,
    (by, now): (&str, UnixMillis),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE statement_rows_for_review SET settled_as = $2, needs_person = 0, \
                looked_at_by = CASE WHEN looked_at IS NULL THEN $3 ELSE looked_at_by END, \
                looked_at = COALESCE(looked_at, $4) \
         WHERE row_sha256 = $1",
    )
    .bind(digest)
    .bind(settled_as)
    .bind(by)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

fn read_for_review(row: &Row, kind: ReviewKind, reason: String) -> Result<ForReview, sqlx::Error> {
    Ok(ForReview {
        kind,
        reason,
        amount: row.try_get::<Option<i64>, _>("amount_cents")?.map(Money::from_cents),
        receipt_number: row.try_get("receipt_number")?,
        since: columns::instant(row, "since")?,
        customer: columns::parsed_or_none(row, "customer_id")?,
        customer_name: row.try_get("customer_name")?,
    })
}
