//! All SQL of payments.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::credit::{Owner, PROVIDER, Told};
use super::follow::{FollowToken, Followed};
use super::review::{ForReview, ReviewKind, Settled};
use super::traces;
use super::{NoOwner, Payment, PaymentRow, Provider, Taken, Unspent, suspense};
use crate::columns;
use crate::customers::phone::Msisdn;
use crate::database::{Connection, Row};
use crate::ids::{CustomerId, IntentId, LineId, PaymentId};
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::intent::Intent;

/// The columns that [`read_row`] reads, with what follows the joins.
macro_rules! payment_rows {
    ($rest:literal) => {
        concat!(
            "SELECT p.id, p.provider, p.receipt_number, r.serial, p.amount_cents, p.short_code, p.phone, p.customer_id, ",
            "p.subscription_id AS paid_subscription_id, p.intent_id, p.unspent, p.no_owner, p.account_reference, ",
            "p.received_at, p.booked_at AS paid_booked_at, ",
            "COALESCE(c.name, '') AS customer_name, COALESCE(c.account_number, '') AS account_number, ",
            "t.payment_id, t.subscription_id, t.site_id, t.generation, t.callback_received_at, t.booked_at, ",
            "t.published_at, t.stored_at, t.verified_at, t.online_at, t.failure ",
            "FROM payments p JOIN receipts r ON r.payment_id = p.id LEFT JOIN customers c ON c.id = p.customer_id ",
            "LEFT JOIN payment_traces t ON t.payment_id = p.id ",
            $rest
        )
    };
}

/// Whether there is such a row, and whether it waits for a person.
macro_rules! waiting {
    ($rest:literal) => {
        concat!(
            "SELECT COUNT(*) AS found, CAST(COALESCE(MAX(needs_person), 0) AS BIGINT) AS waiting FROM ",
            $rest
        )
    };
}

/// What was asked for with a token.
pub(super) async fn followed(
    connection: &mut Connection,
    token: &FollowToken,
) -> Result<Option<Followed>, sqlx::Error> {
    let row =
        sqlx::query("SELECT subscription_id, intent_id, created_at FROM pay_page_requests WHERE token = $1")
            .bind(token.reveal())
            .fetch_optional(connection)
            .await?;
    row.map(|row| {
        Ok(Followed {
            line: columns::parsed(&row, "subscription_id")?,
            intent: columns::parsed_or_none(&row, "intent_id")?,
            at: columns::instant(&row, "created_at")?,
        })
    })
    .transpose()
}

pub(super) async fn insert_followed(
    connection: &mut Connection,
    token: &FollowToken,
    followed: &Followed,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO pay_page_requests (token, subscription_id, intent_id, created_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(token.reveal())
    .bind(followed.line.as_str())
    .bind(followed.intent.as_ref().map(IntentId::as_str))
    .bind(followed.at.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// False when the receipt is booked already.
pub(super) async fn insert_payment(
    connection: &mut Connection,
    id: &PaymentId,
    told: &Told<'_>,
    owner: &Owner,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO payments (id, provider, receipt_number, amount_cents, short_code, phone, account_reference, \
                               customer_id, subscription_id, intent_id, received_at, booked_at, no_owner) \
         VALUES ($1, $2, $3, $4, $5, $6, \
                 COALESCE(NULLIF($12, ''), (SELECT account_number FROM customers WHERE id = $7), ''), \
                 $7, $8, $9, $10, $11, $13) \
         ON CONFLICT (provider, receipt_number) DO NOTHING",
    )
    .bind(id.as_str())
    .bind(PROVIDER)
    .bind(told.number.as_str())
    .bind(told.amount.cents())
    .bind(told.short_code)
    .bind(told.phone)
    .bind(owner.customer().map(CustomerId::as_str))
    .bind(owner.subscription().map(LineId::as_str))
    .bind(owner.intent().map(|intent| intent.id.as_str()))
    .bind(told.received_at.0)
    .bind(now.0)
    .bind(told.account_reference)
    .bind(owner.no_owner().map_or("", NoOwner::as_str))
    .execute(&mut *connection)
    .await?;
    let is_new = done.rows_affected() == 1;
    if is_new {
        issue_receipt(connection, id, now).await?;
    }
    Ok(is_new)
}

/// Gives a payment its place in our own receipts: the next number. Whoever inserts a payment does this in the same
/// transaction, so that a number that is not committed is nobody's.
pub(super) async fn issue_receipt(
    connection: &mut Connection,
    payment: &PaymentId,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO receipts (serial, payment_id, issued_at) \
         SELECT COALESCE(MAX(serial), 0) + 1, $1, $2 FROM receipts",
    )
    .bind(payment.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives a payment to its request. Nothing changes when it has one.
pub(super) async fn give_to(
    connection: &mut Connection,
    payment: &PaymentId,
    owner: &Owner,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE payments SET customer_id = $2, subscription_id = $3, intent_id = $4, no_owner = '' \
         WHERE id = $1 AND intent_id IS NULL",
    )
    .bind(payment.as_str())
    .bind(owner.customer().map(CustomerId::as_str))
    .bind(owner.subscription().map(LineId::as_str))
    .bind(owner.intent().map(|intent| intent.id.as_str()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that a payment is the one that a request asked for, and changes nothing else of it. Nothing changes when it has
/// one.
pub(super) async fn join_intent(
    connection: &mut Connection,
    payment: &PaymentId,
    intent: &IntentId,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE payments SET intent_id = $2 WHERE id = $1 AND intent_id IS NULL")
        .bind(payment.as_str())
        .bind(intent.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// The payment that a rule took for a request's, although no callback on the request's own path ever named it.
pub(super) async fn matched_payment_of(
    connection: &mut Connection,
    intent: &Intent,
    source: &str,
) -> Result<Option<PaymentId>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT p.id FROM payments p WHERE p.provider = $1 AND p.receipt_number = $2 AND p.intent_id = $3 \
           AND NOT EXISTS (SELECT 1 FROM payment_evidence e JOIN callback_bodies b ON b.id = e.source_id \
                           WHERE e.payment_id = p.id AND e.source = $4 AND b.callback_token = $5)",
    )
    .bind(PROVIDER)
    .bind(intent.receipt().unwrap_or_default())
    .bind(intent.id.as_str())
    .bind(source)
    .bind(intent.callback_token.reveal())
    .fetch_optional(connection)
    .await?;
    row.map(|row| columns::parsed(&row, "id")).transpose()
}

/// A payment is no request's any more. Its money stays its customer's.
pub(super) async fn detach(connection: &mut Connection, payment: &PaymentId) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE payments SET intent_id = NULL WHERE id = $1")
        .bind(payment.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether a source has told of a payment.
pub(super) async fn is_evidence_of(
    connection: &mut Connection,
    payment: &PaymentId,
    source: &str,
) -> Result<bool, sqlx::Error> {
    let row =
        sqlx::query("SELECT COUNT(*) AS found FROM payment_evidence WHERE payment_id = $1 AND source = $2")
            .bind(payment.as_str())
            .bind(source)
            .fetch_one(connection)
            .await?;
    columns::truth(&row, "found")
}

/// Notes why a payment bought nothing; `None` when it did.
pub(super) async fn note_unspent(
    connection: &mut Connection,
    payment: &PaymentId,
    why: Option<Unspent>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE payments SET unspent = $2 WHERE id = $1")
        .bind(payment.as_str())
        .bind(why.map_or("", Unspent::as_str))
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes what a wallet used up when it bought something: money leaves it in the order in which it came, so that the newest
/// payments are what remains. What is used in part is not what lies there untouched.
pub(super) async fn note_used(
    connection: &mut Connection,
    customer: &CustomerId,
    remaining: Money,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, amount_cents FROM payments WHERE customer_id = $1 AND unspent <> '' \
         ORDER BY received_at DESC, id DESC",
    )
    .bind(customer.as_str())
    .fetch_all(&mut *connection)
    .await?;
    let mut remaining = remaining;
    for row in rows {
        let amount = columns::money(&row, "amount_cents")?;
        match remaining.checked_sub(amount).filter(|left| *left >= Money::ZERO) {
            Some(left) => remaining = left,
            None => {
                remaining = Money::ZERO;
                note_unspent(connection, &columns::parsed(&row, "id")?, None).await?;
            }
        }
    }
    Ok(())
}

/// Whether a receipt is booked, and a source has told of it.
pub(super) async fn is_told_by(
    connection: &mut Connection,
    number: &ReceiptNumber,
    source: &str,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS found FROM payments p JOIN payment_evidence e ON e.payment_id = p.id \
         WHERE p.provider = $1 AND p.receipt_number = $2 AND e.source = $3",
    )
    .bind(PROVIDER)
    .bind(number.as_str())
    .bind(source)
    .fetch_one(connection)
    .await?;
    columns::truth(&row, "found")
}

/// Whether this piece of evidence of a receipt waits for a person; `None` when there is no such piece.
pub(super) async fn piece_waits(
    connection: &mut Connection,
    number: &ReceiptNumber,
    (source, source_id): (&str, &str),
) -> Result<Option<bool>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT e.needs_person FROM payments p JOIN payment_evidence e ON e.payment_id = p.id \
         WHERE p.provider = $1 AND p.receipt_number = $2 AND e.source = $3 AND e.source_id = $4",
    )
    .bind(PROVIDER)
    .bind(number.as_str())
    .bind(source)
    .bind(source_id)
    .fetch_optional(connection)
    .await?;
    row.map(|row| columns::truth(&row, "needs_person")).transpose()
}

/// Adds evidence to a payment; the same piece twice is one.
pub(super) async fn insert_evidence(
    connection: &mut Connection,
    payment: &PaymentId,
    source: &str,
    source_id: &str,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO payment_evidence (payment_id, source, source_id, seen_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (payment_id, source, source_id) DO NOTHING",
    )
    .bind(payment.as_str())
    .bind(source)
    .bind(source_id)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Marks a piece of evidence for a person, with why.
pub(super) async fn mark_evidence(
    connection: &mut Connection,
    told: &Told<'_>,
    why: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE payment_evidence SET outcome = $5, needs_person = 1 \
         WHERE payment_id = (SELECT id FROM payments WHERE provider = $1 AND receipt_number = $2) \
           AND source = $3 AND source_id = $4",
    )
    .bind(PROVIDER)
    .bind(told.number.as_str())
    .bind(told.source)
    .bind(told.source_id)
    .bind(why)
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes off the list what a person would have been shown of a payment's evidence for this reason, now that another source
/// tells of the payment.
pub(super) async fn settle_evidence(
    connection: &mut Connection,
    payment: &PaymentId,
    other_source: &str,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE payment_evidence SET needs_person = 0 \
         WHERE payment_id = $1 AND source <> $2 AND outcome = $3 AND needs_person = 1",
    )
    .bind(payment.as_str())
    .bind(other_source)
    .bind(reason)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn by_receipt(
    connection: &mut Connection,
    number: &ReceiptNumber,
) -> Result<Option<Payment>, sqlx::Error> {
    Ok(row_by_receipt(connection, number).await?.map(|row| row.payment))
}

pub(super) async fn row_by_receipt(
    connection: &mut Connection,
    number: &ReceiptNumber,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    let row = sqlx::query(payment_rows!("WHERE p.provider = $1 AND p.receipt_number = $2"))
        .bind(PROVIDER)
        .bind(number.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| read_row(&row)).transpose()
}

pub(super) async fn row_by_id(
    connection: &mut Connection,
    id: &PaymentId,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    let row =
        sqlx::query(payment_rows!("WHERE p.id = $1")).bind(id.as_str()).fetch_optional(connection).await?;
    row.map(|row| read_row(&row)).transpose()
}

pub(super) async fn recent_rows(
    connection: &mut Connection,
    limit: u32,
) -> Result<Vec<PaymentRow>, sqlx::Error> {
    let rows = sqlx::query(payment_rows!("ORDER BY p.received_at DESC, p.id LIMIT $1"))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_row).collect()
}

pub(super) async fn rows_of_customer(
    connection: &mut Connection,
    customer: &CustomerId,
    limit: u32,
) -> Result<Vec<PaymentRow>, sqlx::Error> {
    let rows =
        sqlx::query(payment_rows!("WHERE p.customer_id = $1 ORDER BY p.received_at DESC, p.id LIMIT $2"))
            .bind(customer.as_str())
            .bind(i64::from(limit))
            .fetch_all(connection)
            .await?;
    rows.iter().map(read_row).collect()
}

/// Payments whose trace began at or before `booked_by` and is not verified, oldest first.
pub(super) async fn unverified_rows(
    connection: &mut Connection,
    booked_by: UnixMillis,
    limit: u32,
) -> Result<Vec<PaymentRow>, sqlx::Error> {
    let rows = sqlx::query(payment_rows!(
        "WHERE t.verified_at IS NULL AND t.booked_at <= $1 ORDER BY t.booked_at, p.id LIMIT $2"
    ))
    .bind(booked_by.0)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_row).collect()
}

pub(super) async fn taken_between(
    connection: &mut Connection,
    from: UnixMillis,
    to: UnixMillis,
) -> Result<Taken, sqlx::Error> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT) AS amount_cents, COUNT(*) AS payments \
         FROM payments WHERE received_at >= $1 AND received_at < $2",
    )
    .bind(from.0)
    .bind(to.0)
    .fetch_one(connection)
    .await?;
    Ok(Taken {
        amount: columns::money(&row, "amount_cents")?,
        payments: columns::unsigned(&row, "payments")?,
    })
}

/// Callbacks that a person has to look at, newest first. The receipt is the one that the body names; the amount too, or,
/// where it names none, what was asked for.
pub(super) async fn callbacks_for_review(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT b.id, b.received_at AS since, b.outcome, COALESCE(b.amount_cents, i.amount_cents) AS amount_cents, \
                NULLIF(b.receipt_number, '') AS receipt_number, i.customer_id, \
                COALESCE(c.name, '') AS customer_name \
         FROM callback_bodies b LEFT JOIN payment_intents i ON i.callback_token = b.callback_token \
         LEFT JOIN customers c ON c.id = i.customer_id \
         WHERE b.needs_person = 1 ORDER BY b.received_at DESC, b.id DESC LIMIT $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let item = |row: &Row| {
        let kind = ReviewKind::Callback(columns::parsed(row, "id")?);
        read_for_review(row, kind, row.try_get("outcome")?)
    };
    rows.iter().map(item).collect()
}

/// Requests whose end a person has to find out, newest first.
pub(super) async fn requests_for_review(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT i.id, i.updated_at AS since, i.state, COALESCE(i.result_code, '') AS result_code, \
                COALESCE(i.result_description, '') AS result_description, i.amount_cents, i.receipt_number, \
                i.customer_id, c.name AS customer_name \
         FROM payment_intents i JOIN customers c ON c.id = i.customer_id \
         WHERE i.state IN ('paid_unreceipted', 'review') ORDER BY i.updated_at DESC, i.id DESC LIMIT $1",
    )
    .bind(limit)
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
pub(super) async fn payments_for_review(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT p.id, p.received_at AS since, p.account_reference, p.no_owner, p.amount_cents, p.receipt_number, \
                p.customer_id, '' AS customer_name \
         FROM payments p WHERE p.customer_id IS NULL ORDER BY p.received_at DESC, p.id DESC LIMIT $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let item = |row: &Row| {
        let typed: String = row.try_get("account_reference")?;
        let reason = suspense::words(read_no_owner(row)?, &typed);
        read_for_review(row, ReviewKind::Payment(columns::parsed(row, "id")?), reason)
    };
    rows.iter().map(item).collect()
}

/// Evidence that does not fit the payment that is booked, newest first.
pub(super) async fn evidence_for_review(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT e.payment_id, e.seen_at AS since, e.outcome, p.amount_cents, p.receipt_number, p.customer_id, \
                COALESCE(c.name, '') AS customer_name \
         FROM payment_evidence e JOIN payments p ON p.id = e.payment_id \
         LEFT JOIN customers c ON c.id = p.customer_id \
         WHERE e.needs_person = 1 ORDER BY e.seen_at DESC, e.payment_id DESC LIMIT $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let item = |row: &Row| {
        let kind = ReviewKind::Evidence(columns::parsed(row, "payment_id")?);
        read_for_review(row, kind, row.try_get("outcome")?)
    };
    rows.iter().map(item).collect()
}

/// Rows of Pull that were not understood, newest first. What they say is [`body_of`].
pub(super) async fn pull_rows_for_review(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT row_sha256, seen_at FROM pull_rows_for_review \
         WHERE needs_person = 1 ORDER BY seen_at DESC, row_sha256 DESC LIMIT $1",
    )
    .bind(limit)
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
pub(super) async fn statement_rows_for_review(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<ForReview>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT row_sha256, short_code, line, reason, receipt_number, amount_cents, seen_at \
         FROM statement_rows_for_review \
         WHERE needs_person = 1 ORDER BY seen_at DESC, row_sha256 DESC LIMIT $1",
    )
    .bind(limit)
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
        Settled::Evidence(_) => return Ok(None),
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

/// Takes an item off the list of what a person has to look at.
pub(super) async fn note_looked_at(connection: &mut Connection, item: &Settled) -> Result<(), sqlx::Error> {
    let (sql, id) = match item {
        Settled::Callback(id) => ("UPDATE callback_bodies SET needs_person = 0 WHERE id = $1", id.as_str()),
        Settled::Evidence(id) => {
            ("UPDATE payment_evidence SET needs_person = 0 WHERE payment_id = $1", id.as_str())
        }
        Settled::PullRow(digest) => {
            ("UPDATE pull_rows_for_review SET needs_person = 0 WHERE row_sha256 = $1", digest.as_str())
        }
        Settled::StatementRow(digest) => {
            ("UPDATE statement_rows_for_review SET needs_person = 0 WHERE row_sha256 = $1", digest.as_str())
        }
    };
    sqlx::query(sql).bind(id).execute(connection).await?;
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

fn read_row(row: &Row) -> Result<PaymentRow, sqlx::Error> {
    let trace: Option<String> = row.try_get("payment_id")?;
    Ok(PaymentRow {
        payment: read_payment(row)?,
        customer_name: row.try_get("customer_name")?,
        account_number: row.try_get("account_number")?,
        trace: trace.map(|_| traces::store::read(row)).transpose()?,
    })
}

fn read_payment(row: &Row) -> Result<Payment, sqlx::Error> {
    let phone: String = row.try_get("phone")?;
    Ok(Payment {
        id: columns::parsed(row, "id")?,
        provider: columns::word(row, "provider", Provider::parse)?,
        serial: row.try_get("serial")?,
        receipt_number: row.try_get("receipt_number")?,
        amount: columns::money(row, "amount_cents")?,
        short_code: row.try_get("short_code")?,
        phone: Msisdn::parse(&phone).ok(),
        payer: phone,
        customer: columns::parsed_or_none(row, "customer_id")?,
        subscription: columns::parsed_or_none(row, "paid_subscription_id")?,
        intent: columns::parsed_or_none(row, "intent_id")?,
        unspent: match row.try_get::<&str, _>("unspent")? {
            "" => None,
            _ => Some(columns::word(row, "unspent", Unspent::parse)?),
        },
        no_owner: read_no_owner(row)?,
        account_reference: row.try_get("account_reference")?,
        received_at: columns::instant(row, "received_at")?,
        booked_at: columns::instant(row, "paid_booked_at")?,
    })
}

fn read_no_owner(row: &Row) -> Result<Option<NoOwner>, sqlx::Error> {
    match row.try_get::<&str, _>("no_owner")? {
        "" => Ok(None),
        _ => columns::word(row, "no_owner", NoOwner::parse).map(Some),
    }
}
