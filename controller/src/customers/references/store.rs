//! All SQL of what else customers may type as account.

use super::{Entered, Holder, Reference};
use crate::columns;
use crate::database::Connection;
use crate::ids::{CustomerId, LineId};

pub(super) async fn holder(
    connection: &mut Connection,
    reference: &Reference,
) -> Result<Option<Holder>, sqlx::Error> {
    let row = sqlx::query("SELECT customer_id, subscription_id FROM payment_references WHERE reference = $1")
        .bind(reference.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        Ok(Holder {
            customer: columns::parsed(&row, "customer_id")?,
            subscription: columns::parsed_or_none(&row, "subscription_id")?,
        })
    })
    .transpose()
}

pub(super) async fn is_line_of(
    connection: &mut Connection,
    line: &LineId,
    customer: &CustomerId,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT COUNT(*) AS found FROM subscriptions WHERE id = $1 AND customer_id = $2")
        .bind(line.as_str())
        .bind(customer.as_str())
        .fetch_one(connection)
        .await?;
    columns::truth(&row, "found")
}

pub(super) async fn count_of(
    connection: &mut Connection,
    customer: &CustomerId,
) -> Result<usize, sqlx::Error> {
    let row = sqlx::query("SELECT COUNT(*) AS found FROM payment_references WHERE customer_id = $1")
        .bind(customer.as_str())
        .fetch_one(connection)
        .await?;
    columns::unsigned(&row, "found")
}

pub(super) async fn put(
    connection: &mut Connection,
    customer: &CustomerId,
    entered: &Entered,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO payment_references (reference, customer_id, subscription_id, written, created_at) \
         VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (reference) DO UPDATE SET subscription_id = excluded.subscription_id, written = excluded.written",
    )
    .bind(entered.reference.as_str())
    .bind(customer.as_str())
    .bind(entered.subscription.as_ref().map(LineId::as_str))
    .bind(entered.written.as_str())
    .bind(entered.created_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn remove(
    connection: &mut Connection,
    customer: &CustomerId,
    reference: &Reference,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("DELETE FROM payment_references WHERE reference = $1 AND customer_id = $2")
        .bind(reference.as_str())
        .bind(customer.as_str())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn of_customer(
    connection: &mut Connection,
    customer: &CustomerId,
) -> Result<Vec<Entered>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT reference, subscription_id, written, created_at FROM payment_references WHERE customer_id = $1 \
         ORDER BY created_at DESC, reference",
    )
    .bind(customer.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Entered {
                reference: columns::word(row, "reference", Reference::typed)?,
                written: sqlx::Row::try_get(row, "written")?,
                subscription: columns::parsed_or_none(row, "subscription_id")?,
                created_at: columns::instant(row, "created_at")?,
            })
        })
        .collect()
}
