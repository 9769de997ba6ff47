//! All SQL of what people bring.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::{Brought, Drawer, Means};
use crate::columns;
use crate::customers::Customer;
use crate::database::Connection;
use crate::ids::{LineId, PaymentId};
use crate::ledger::Account;
use crate::money::Money;
use crate::payments::store::issue_receipt;
use crate::payments::{Payment, Provider};

/// The payment of these means, once it is booked. What M-Pesa told of is no transfer to the bank: its number is found here too.
pub(super) async fn payment_of(
    connection: &mut Connection,
    means: &Means,
) -> Result<Option<PaymentId>, sqlx::Error> {
    let row = sqlx::query("SELECT id FROM payments WHERE provider IN ($1, $3) AND receipt_number = $2")
        .bind(means.provider().as_str())
        .bind(means.number().as_str())
        .bind(match means {
            Means::Bank { .. } => Provider::Mpesa.as_str(),
            Means::Cash { .. } => means.provider().as_str(),
        })
        .fetch_optional(connection)
        .await?;
    row.map(|row| columns::parsed(&row, "id")).transpose()
}

pub(super) async fn insert(
    connection: &mut Connection,
    id: &PaymentId,
    (brought, customer): (&Brought, &Customer),
    by: &str,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO payments (id, provider, receipt_number, amount_cents, short_code, account_reference, \
                               customer_id, subscription_id, received_at, booked_at) \
         VALUES ($1, $2, $3, $4, '', $5, $6, $7, $8, $8)",
    )
    .bind(id.as_str())
    .bind(brought.means.provider().as_str())
    .bind(brought.means.number().as_str())
    .bind(brought.amount.cents())
    .bind(customer.account_number.to_string())
    .bind(customer.id.as_str())
    .bind(brought.subscription.as_ref().map(LineId::as_str))
    .bind(now.0)
    .execute(&mut *connection)
    .await?;
    issue_receipt(connection, id, now).await?;
    sqlx::query(
        "INSERT INTO counter_payments (payment_id, taken_by, amount_cents, note, taken_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(id.as_str())
    .bind(by)
    .bind(brought.amount.cents())
    .bind(brought.note.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// The last payment in cash of the same customer and amount since an instant.
pub(super) async fn same_cash_since(
    connection: &mut Connection,
    brought: &Brought,
    since: UnixMillis,
) -> Result<Option<PaymentId>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT id FROM payments WHERE customer_id = $1 AND received_at > $2 AND provider = $3 AND amount_cents = $4 \
           AND closed = '' AND part_of IS NULL ORDER BY received_at DESC, id LIMIT 1",
    )
    .bind(brought.customer.as_str())
    .bind(since.0)
    .bind(Provider::Cash.as_str())
    .bind(brought.amount.cents())
    .fetch_optional(connection)
    .await?;
    row.map(|row| columns::parsed(&row, "id")).transpose()
}

/// What one person took over a counter since an instant, under all their names.
pub(super) async fn taken_since(
    connection: &mut Connection,
    names: &[String; 3],
    since: UnixMillis,
) -> Result<Money, sqlx::Error> {
    let sql = "SELECT CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT) AS amount FROM counter_payments \
               WHERE taken_by IN ($1, $2, $3) AND taken_at >= $4";
    sum_since(connection, sql, names, since).await
}

/// What one person gave to customers since an instant, under all their names.
pub(super) async fn placed_since(
    connection: &mut Connection,
    names: &[String; 3],
    since: UnixMillis,
) -> Result<Money, sqlx::Error> {
    let sql = "SELECT CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT) AS amount FROM placed_payments \
               WHERE placed_by IN ($1, $2, $3) AND placed_at >= $4";
    sum_since(connection, sql, names, since).await
}

/// A sum of one person since an instant, under all their names, for a limit of a day: `sql` takes the names and the instant.
pub(in crate::payments) async fn sum_since(
    connection: &mut Connection,
    sql: &'static str,
    [first, second, third]: &[String; 3],
    since: UnixMillis,
) -> Result<Money, sqlx::Error> {
    let row = sqlx::query(sql)
        .bind(first.as_str())
        .bind(second.as_str())
        .bind(third.as_str())
        .bind(since.0)
        .fetch_one(connection)
        .await?;
    columns::money(&row, "amount")
}

/// Notes that somebody gives a payment to customers. Twice in one instant is once.
pub(super) async fn note_placed(
    connection: &mut Connection,
    by: &str,
    payment: &Payment,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO placed_payments (placed_by, placed_at, payment_id, amount_cents) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (placed_by, placed_at, payment_id) DO NOTHING",
    )
    .bind(by)
    .bind(now.0)
    .bind(payment.id.as_str())
    .bind(payment.amount.cents())
    .execute(connection)
    .await?;
    Ok(())
}

/// Who took it, and what they noted; `None` for a payment that no person took.
pub(super) async fn taken_by(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<Option<(String, String)>, sqlx::Error> {
    let row = sqlx::query("SELECT taken_by, note FROM counter_payments WHERE payment_id = $1")
        .bind(payment.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok((row.try_get("taken_by")?, row.try_get("note")?))).transpose()
}

pub(super) async fn drawers(connection: &mut Connection) -> Result<Vec<Drawer>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT a.id, CAST(SUM(p.amount_cents) AS BIGINT) AS holds \
         FROM ledger_accounts a JOIN ledger_postings p ON p.account_id = a.id \
         WHERE a.kind = 'cash' GROUP BY a.id HAVING SUM(p.amount_cents) <> 0 ORDER BY holds DESC, a.id",
    )
    .fetch_all(connection)
    .await?;
    let drawer = |row| {
        let holds = columns::money(row, "holds")?;
        Ok(match columns::parsed::<Account>(row, "id")? {
            Account::Cash(holder) => Some(Drawer { holder, holds }),
            _ => None,
        })
    };
    rows.iter().filter_map(|row| drawer(row).transpose()).collect()
}
