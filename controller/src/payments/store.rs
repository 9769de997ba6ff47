//! All SQL of payments.

use std::time::Duration;

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::corrections::Closed;
use super::credit::{self, Owner, PROVIDER, Told};
use super::moving::WAITING;
use super::outcome::BOOKED;
use super::search::{Search, Standing};
use super::traces;
use super::{Evidence, NoOwner, Payment, PaymentRow, Provider, Taken, Unspent, suspense};
use crate::columns;
use crate::customers::phone::Msisdn;
use crate::database::{Answers, Connection, Row, Together};
use crate::ids::{CustomerId, IntentId, LineId, PaymentId};
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::intent::Intent;
use crate::mpesa::{statement, store as requests};

/// The columns that [`read_row`] reads, with what follows the joins.
macro_rules! payment_rows {
    ($rest:literal) => {
        concat!(
            "SELECT p.id, p.provider, p.receipt_number, r.serial, p.amount_cents, p.short_code, p.phone, p.customer_id, ",
            "p.subscription_id AS paid_subscription_id, p.intent_id, p.unspent, p.no_owner, p.account_reference, ",
            "p.received_at, p.booked_at AS paid_booked_at, p.is_by_hand, p.corrections, p.closed, p.part_of, ",
            "COALESCE(c.name, '') AS customer_name, COALESCE(c.account_number, '') AS account_number, ",
            "t.payment_id, t.subscription_id, t.site_id, t.generation, t.callback_received_at, t.booked_at, ",
            "t.published_at, t.stored_at, t.verified_at, t.online_at, t.failure, t.deferred_ms ",
            "FROM payments p JOIN receipts r ON r.payment_id = p.id LEFT JOIN customers c ON c.id = p.customer_id ",
            "LEFT JOIN payment_traces t ON t.payment_id = p.id AND t.subscription_id = p.subscription_id ",
            $rest
        )
    };
}

/// What inserting a payment did and found.
pub(super) struct Inserted {
    /// Whether the receipt was not booked before.
    pub(super) is_new: bool,
    /// Whether somebody booked a transfer to the bank with the number of this receipt.
    pub(super) is_taken_as_transfer: bool,
}

/// Inserts a payment with its place in our own receipts and its first piece of evidence, and settles callbacks that told of it
/// in vain; nothing changes when the receipt is booked already.
pub(super) async fn insert_payment(
    connection: &mut Connection,
    id: &PaymentId,
    told: &Told<'_>,
    owner: &Owner,
    now: UnixMillis,
) -> Result<Inserted, sqlx::Error> {
    let mut together = Together::default();
    together
        .add(
            "INSERT INTO payments (id, provider, receipt_number, amount_cents, short_code, phone, account_reference, \
                                   customer_id, subscription_id, intent_id, received_at, booked_at, no_owner, \
                                   is_owner_guessed, moved_at) \
             VALUES ($1, $2, $3, $4, $5, $6, \
                     COALESCE(NULLIF($12, ''), (SELECT account_number FROM customers WHERE id = $7), ''), \
                     $7, $8, $9, $10, $11, $13, $14, $15) \
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
        .bind(i64::from(is_guess(told, owner)))
        .bind(told.moved_at.map(|at| at.0));
    add_receipt(&mut together, id, now);
    // Out of the payment's row, as the receipt is: where that is not, neither is this.
    together
        .add(
            "INSERT INTO payment_evidence (payment_id, source, source_id, seen_at) \
             SELECT id, $2, $3, $4 FROM payments WHERE id = $1",
        )
        .bind(id.as_str())
        .bind(told.source)
        .bind(told.source_id)
        .bind(now.0);
    together
        .add("SELECT COUNT(*) AS found FROM payments WHERE provider = 'bank' AND receipt_number = $1")
        .bind(told.number.as_str());
    requests::add_settled_callbacks(&mut together, id, (told.number, told.amount), told.source);
    let mut answers = together.fetch(connection).await?;
    let is_new = answers.changed()? > 0;
    let [_receipt, _evidence] = [answers.changed()?, answers.changed()?];
    let row = answers.row()?.ok_or(sqlx::Error::RowNotFound)?;
    Ok(Inserted { is_new, is_taken_as_transfer: columns::truth(&row, "found")? })
}

/// Gives a payment its place in our own receipts: the next number. Whoever inserts a payment does this in the same
/// transaction, so that a number that is not committed is nobody's.
pub(super) async fn issue_receipt(
    connection: &mut Connection,
    payment: &PaymentId,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let mut together = Together::default();
    add_receipt(&mut together, payment, now);
    match together.execute(connection).await? {
        0 => Err(sqlx::Error::RowNotFound),
        _ => Ok(()),
    }
}

fn add_receipt(together: &mut Together, payment: &PaymentId, now: UnixMillis) {
    together
        .add(
            "INSERT INTO receipts (serial, payment_id, issued_at) \
             SELECT (SELECT COALESCE(MAX(serial), 0) + 1 FROM receipts), id, $2 FROM payments WHERE id = $1",
        )
        .bind(payment.as_str())
        .bind(now.0);
}

/// Whether nothing but who paid says whose a receipt is: no account was typed, no path names it, and no person of ours.
fn is_guess(told: &Told<'_>, owner: &Owner) -> bool {
    let is_said_by_payer = told.source == suspense::claim::SOURCE
        || (told.account_reference.is_empty() && ![credit::SOURCE, suspense::SOURCE].contains(&told.source));
    owner.customer().is_some() && is_said_by_payer
}

/// Gives a payment to its request. Nothing changes when it has one.
pub(super) async fn give_to(
    connection: &mut Connection,
    payment: &PaymentId,
    told: &Told<'_>,
    owner: &Owner,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE payments SET customer_id = $2, subscription_id = $3, intent_id = $4, no_owner = '', \
                is_owner_guessed = $5 \
         WHERE id = $1 AND intent_id IS NULL",
    )
    .bind(payment.as_str())
    .bind(owner.customer().map(CustomerId::as_str))
    .bind(owner.subscription().map(LineId::as_str))
    .bind(owner.intent().map(|intent| intent.id.as_str()))
    .bind(i64::from(is_guess(told, owner)))
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives a payment to another than a rule took for its owner.
pub(super) async fn move_to(
    connection: &mut Connection,
    payment: &PaymentId,
    owner: &Owner,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE payments SET customer_id = $2, subscription_id = $3, intent_id = $4, unspent = '', \
                is_owner_guessed = 0 \
         WHERE id = $1",
    )
    .bind(payment.as_str())
    .bind(owner.customer().map(CustomerId::as_str))
    .bind(owner.subscription().map(LineId::as_str))
    .bind(owner.intent().map(|intent| intent.id.as_str()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether nothing but who paid said whose a payment is.
pub(super) async fn is_owner_guessed(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT is_owner_guessed FROM payments WHERE id = $1")
        .bind(payment.as_str())
        .fetch_one(connection)
        .await?;
    columns::truth(&row, "is_owner_guessed")
}

/// Payments of a request's customer and amount around a time that a rule took for another request's, or that are no
/// request's, by when they were told of or by M-Pesa's own clock: those of another line last. What a person corrected stays
/// where they put it.
pub(super) async fn perhaps_of(
    connection: &mut Connection,
    intent: &Intent,
    (from, to): (UnixMillis, UnixMillis),
) -> Result<Vec<Payment>, sqlx::Error> {
    let rows = sqlx::query(payment_rows!(
        "\
         WHERE p.customer_id = $1 AND p.received_at >= $2 AND p.amount_cents = $3 AND p.short_code = $4 \
           AND p.part_of IS NULL AND p.closed = '' AND p.is_by_hand = 0 \
           AND ((p.intent_id IS NULL AND (p.received_at <= $5 OR (p.moved_at >= $2 AND p.moved_at <= $5))) \
                OR p.intent_id IN (SELECT i.id FROM payment_intents i \
                                   WHERE i.customer_id = $1 AND i.created_at >= $2 AND i.created_at <= $5 \
                                     AND i.id <> $6)) \
         ORDER BY CASE WHEN p.subscription_id <> $7 THEN 1 ELSE 0 END, p.received_at, p.id"
    ))
    .bind(intent.customer.as_str())
    .bind(from.0)
    .bind(intent.amount.cents())
    .bind(intent.short_code.as_str())
    .bind(to.0)
    .bind(intent.id.as_str())
    .bind(intent.subscription.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| read_row(row).map(|row| row.payment)).collect()
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

/// The same where nothing remains.
pub(super) fn add_all_used(together: &mut Together, customer: &CustomerId) {
    together
        .add("UPDATE payments SET unspent = '' WHERE customer_id = $1 AND unspent <> ''")
        .bind(customer.as_str());
}

/// Whether a receipt is booked, and a source has told of it.
pub(super) async fn is_told_by(
    connection: &mut Connection,
    number: &ReceiptNumber,
    (source, source_id): (&str, &str),
    short_code: &str,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS found FROM payments p JOIN payment_evidence e ON e.payment_id = p.id \
         WHERE p.provider = $1 AND p.receipt_number = $2 AND e.source = $3 AND (p.short_code = $5 OR e.source_id = $4)",
    )
    .bind(PROVIDER)
    .bind(number.as_str())
    .bind(source)
    .bind(source_id)
    .bind(short_code)
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

/// Whether a customer has paid something of which nobody can say yet what it came for, or of which the receipt is missing, may
/// still come, and was looked for by nobody.
pub(super) async fn is_money_unclear(
    connection: &mut Connection,
    customer: &CustomerId,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM payments WHERE customer_id = $1 AND unspent <> '' AND unspent = 'unclear') \
              + (SELECT COUNT(*) FROM payment_intents WHERE customer_id = $1 AND created_at > $2 \
                                                        AND state = 'paid_unreceipted' AND is_looked_at = 0) AS found",
    )
    .bind(customer.as_str())
    .bind(now.minus(WAITING).0)
    .fetch_one(connection)
    .await?;
    let found: i64 = row.try_get("found")?;
    Ok(found > 0)
}

/// Lines that are due to go on and whose wallets can pay, those that end first before the others: of periods that last `least`,
/// whose end is within `most` and within a `part`th of a period from now. Not those of a customer of whose money nobody
/// can say yet what it came for.
pub(super) async fn due_for_renewal(
    connection: &mut Connection,
    now: UnixMillis,
    (most, part, least): (Duration, u32, Duration),
    limit: u32,
) -> Result<Vec<LineId>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT s.id FROM subscriptions s JOIN plans p ON p.id = s.plan_id JOIN routers r ON r.id = s.router_id \
                JOIN sites t ON t.id = r.site_id \
         WHERE s.renews = 1 AND s.status IN ('active', 'expired') AND s.paid_until > $1 AND s.paid_until <= $2 \
           AND p.validity_seconds >= $6 AND ABS(s.paid_until - $3) * $4 <= p.validity_seconds * 1000 \
           AND t.revoked_at IS NULL \
           AND NOT EXISTS (SELECT 1 FROM quota_periods q WHERE q.line_id = s.id AND q.waits_for_generation IS NOT NULL) \
           AND (SELECT -COALESCE(SUM(amount_cents), 0) FROM ledger_postings \
                WHERE account_id = 'wallet:' || s.customer_id) >= p.price_cents \
           AND NOT EXISTS (SELECT 1 FROM payments u WHERE u.customer_id = s.customer_id AND u.unspent <> '' \
                                                      AND u.unspent = 'unclear') \
           AND NOT EXISTS (SELECT 1 FROM payment_intents i WHERE i.customer_id = s.customer_id \
                                                             AND i.created_at > $7 AND i.state = 'paid_unreceipted' \
                                                             AND i.is_looked_at = 0) \
         ORDER BY s.paid_until, s.id LIMIT $5",
    )
    .bind(now.minus(most).0)
    .bind(now.plus(most).0)
    .bind(now.0)
    .bind(i64::from(part))
    .bind(i64::from(limit))
    .bind(i64::try_from(least.as_secs()).unwrap_or(i64::MAX))
    .bind(now.minus(WAITING).0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| columns::parsed(row, "id")).collect()
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

/// Clocks of M-Pesa that differ by more are not of the same event.
const SAME_EVENT_MS: i64 = 5 * 60 * 1_000;

/// When it was paid by M-Pesa's own clock, where the first that told of it did not say so. A statement's word replaces another:
/// its balances are compared by it, and of a payment at midnight a second decides of which day it is.
pub(super) async fn note_moved(
    connection: &mut Connection,
    payment: &PaymentId,
    told: &Told<'_>,
) -> Result<(), sqlx::Error> {
    let Some(at) = told.moved_at else { return Ok(()) };
    let most = if told.source == statement::SOURCE { SAME_EVENT_MS } else { -1 };
    sqlx::query(
        "UPDATE payments SET moved_at = $2 WHERE id = $1 AND (moved_at IS NULL OR ABS(moved_at - $2) <= $3)",
    )
    .bind(payment.as_str())
    .bind(at.0)
    .bind(most)
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

/// Takes off the list what a person would have been shown of a booked payment's way, which has become another.
pub(super) async fn settle_booked(connection: &mut Connection, payment: &Payment) -> Result<(), sqlx::Error> {
    let said = format!("{BOOKED}%");
    sqlx::query(
        "UPDATE payment_evidence SET needs_person = 0 \
         WHERE payment_id = $1 AND needs_person = 1 AND outcome LIKE $2",
    )
    .bind(payment.id.as_str())
    .bind(said.as_str())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE callback_bodies SET needs_person = 0 \
         WHERE receipt_number = $1 AND needs_person = 1 AND outcome LIKE $2",
    )
    .bind(payment.receipt_number.as_str())
    .bind(said.as_str())
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
    let mut together = Together::default();
    ask_by_receipt(&mut together, number);
    together.fetch(connection).await?.row()?.map(|row| read_row(&row)).transpose()
}

pub(super) fn ask_by_receipt(together: &mut Together, number: &ReceiptNumber) {
    // The provider is a literal: SQLite prepares a statement anew each time a value is bound that the condition of an index
    // speaks of, and every booking comes here.
    together.add(payment_rows!("WHERE p.provider = 'mpesa' AND p.receipt_number = $1")).bind(number.as_str());
}

pub(super) fn answered_payment(answers: &mut Answers) -> Result<Option<Payment>, sqlx::Error> {
    answers.row()?.map(|row| read_row(&row).map(|row| row.payment)).transpose()
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

/// A value of a condition.
enum Value {
    Text(String),
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// The conditions of a search, with a `$?` for each value, and the values.
fn conditions_of(search: &Search) -> Vec<(&'static str, Vec<Value>)> {
    let mut all: Vec<(&'static str, Vec<Value>)> = Vec::new();
    if let Some(text) = &search.text {
        // Four looks into indices: one condition with OR would read every payment there is.
        all.push((
            "p.id IN (SELECT id FROM payments WHERE provider IN ('mpesa', 'cash', 'bank') AND receipt_number = $? \
                      UNION ALL SELECT a.id FROM payments a JOIN payments w ON w.id = a.part_of \
                                WHERE w.provider IN ('mpesa', 'cash', 'bank') AND w.receipt_number = $? \
                      UNION ALL SELECT m.id FROM payments m JOIN customers o ON o.id = m.customer_id \
                                WHERE o.account_number = $? \
                      UNION ALL SELECT payment_id FROM receipts WHERE serial = $?)",
            vec![
                Value::from(&*text.receipt),
                Value::from(&*text.receipt),
                Value::from(&*text.account),
                Value::from(text.serial.unwrap_or(0)),
            ],
        ));
    }
    if let Some(provider) = search.provider {
        all.push(("p.provider = $?", vec![Value::from(provider.as_str())]));
    }
    let standing = search.standing.map(|standing| match standing {
        Standing::Connected => "t.verified_at IS NOT NULL",
        // From indices that hold these alone: few of a million payments stand so.
        Standing::Waiting => "p.id IN (SELECT payment_id FROM payment_traces WHERE verified_at IS NULL)",
        Standing::Wallet => {
            "p.id IN (SELECT id FROM payments WHERE unspent <> '' \
                      UNION SELECT id FROM payments WHERE subscription_id IS NULL AND customer_id IS NOT NULL \
                                                          AND closed = '')"
        }
        Standing::Nobodys => "p.customer_id IS NULL AND p.closed = ''",
    });
    all.extend(standing.map(|condition| (condition, Vec::new())));
    all.extend(search.from.map(|from| ("p.received_at >= $?", vec![Value::from(from.0)])));
    all.extend(search.until.map(|until| ("p.received_at < $?", vec![Value::from(until.0)])));
    if let Some((at, id)) = &search.after {
        let place = vec![Value::from(at.0), Value::from(at.0), Value::from(id.as_str())];
        all.push(("(p.received_at < $? OR (p.received_at = $? AND p.id > $?))", place));
    }
    all
}

/// Payments that fit a search, the newest first.
pub(super) async fn found_rows(
    connection: &mut Connection,
    search: &Search,
    limit: u32,
) -> Result<Vec<PaymentRow>, sqlx::Error> {
    let (mut conditions, mut values) = (vec!["1 = 1".to_owned()], Vec::new());
    for (condition, given) in conditions_of(search) {
        let mut condition = condition.to_owned();
        for value in given {
            values.push(value);
            condition = condition.replacen("$?", &format!("${}", values.len()), 1);
        }
        conditions.push(condition);
    }
    let query = format!(
        "{} WHERE {} ORDER BY p.received_at DESC, p.id LIMIT {limit}",
        payment_rows!(""),
        conditions.join(" AND ")
    );
    let mut asked = sqlx::query(sqlx::AssertSqlSafe(query));
    for value in values {
        asked = match value {
            Value::Text(text) => asked.bind(text),
            Value::Number(number) => asked.bind(number),
        };
    }
    let rows = asked.fetch_all(connection).await?;
    rows.iter().map(read_row).collect()
}

/// What told of a payment, the first before the others.
pub(super) async fn evidence_of(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<Vec<Evidence>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT source, seen_at, outcome FROM payment_evidence WHERE payment_id = $1 ORDER BY seen_at, source, source_id",
    )
    .bind(payment.as_str())
    .fetch_all(connection)
    .await?;
    let read = |row: &Row| {
        Ok(Evidence {
            source: row.try_get("source")?,
            seen_at: columns::instant(row, "seen_at")?,
            outcome: row.try_get("outcome")?,
        })
    };
    rows.iter().map(read).collect()
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
         FROM payments WHERE received_at >= $1 AND received_at < $2 AND part_of IS NULL AND closed <> 'undone'",
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
        is_by_hand: columns::truth(row, "is_by_hand")?,
        corrections: row.try_get("corrections")?,
        closed: match row.try_get::<&str, _>("closed")? {
            "" => None,
            _ => Some(columns::word(row, "closed", Closed::parse)?),
        },
        part_of: columns::parsed_or_none(row, "part_of")?,
        received_at: columns::instant(row, "received_at")?,
        booked_at: columns::instant(row, "paid_booked_at")?,
    })
}

pub(super) fn read_no_owner(row: &Row) -> Result<Option<NoOwner>, sqlx::Error> {
    match row.try_get::<&str, _>("no_owner")? {
        "" => Ok(None),
        _ => columns::word(row, "no_owner", NoOwner::parse).map(Some),
    }
}
