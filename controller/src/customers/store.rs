//! All SQL of customers.

use sqlx::Row as _;

use super::account_number::AccountNumber;
use super::search::Wanted;
use super::{Customer, CustomerRow};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::CustomerId;

/// A page of customers with the number of their lines.
macro_rules! counted {
    ($page:literal) => {
        concat!(
            "SELECT c.id, c.account_number, c.name, c.phone, c.created_at, \
                    (SELECT COUNT(*) FROM subscriptions s WHERE s.customer_id = c.id) AS lines, \
                    (SELECT COUNT(*) FROM subscriptions s WHERE s.customer_id = c.id AND s.status = 'active') \
                        AS lines_open, \
                    (SELECT COUNT(*) FROM subscriptions s WHERE s.customer_id = c.id AND s.is_online = 1) \
                        AS lines_online \
             FROM (",
            $page,
            ") c ORDER BY c.created_at DESC, c.id"
        )
    };
}

/// Draws the next serial. The row is updated in the caller's transaction, so that two customers never share one.
pub(super) async fn next_serial(connection: &mut Connection) -> Result<u32, sqlx::Error> {
    let row = sqlx::query(
        "UPDATE account_numbers SET last_serial = last_serial + 1 WHERE singleton = 1 RETURNING last_serial",
    )
    .fetch_one(connection)
    .await?;
    columns::unsigned(&row, "last_serial")
}

pub(super) async fn insert(connection: &mut Connection, customer: &Customer) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO customers (id, account_number, name, phone, created_at, phone_sha256) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(customer.id.as_str())
    .bind(customer.account_number.as_str())
    .bind(customer.name.as_str())
    .bind(customer.phone.digits())
    .bind(customer.created_at.0)
    .bind(customer.phone.sha256())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn by_id(
    connection: &mut Connection,
    id: &CustomerId,
) -> Result<Option<Customer>, sqlx::Error> {
    let row = sqlx::query("SELECT id, account_number, name, phone, created_at FROM customers WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| read(&row)).transpose()
}

pub(super) async fn by_account_number(
    connection: &mut Connection,
    number: &AccountNumber,
) -> Result<Option<Customer>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT id, account_number, name, phone, created_at FROM customers WHERE account_number = $1",
    )
    .bind(number.as_str())
    .fetch_optional(connection)
    .await?;
    row.map(|row| read(&row)).transpose()
}

/// A page of those who are wanted, newest first. The inner query finds the page by an index; only its rows are counted.
pub(super) async fn search(
    connection: &mut Connection,
    wanted: &Wanted,
    rows: u32,
    offset: u64,
) -> Result<Vec<CustomerRow>, sqlx::Error> {
    let found = match wanted {
        Wanted::All => sqlx::query(counted!(
            "SELECT id, account_number, name, phone, created_at FROM customers \
             ORDER BY created_at DESC, id LIMIT $1 OFFSET $2"
        ))
        .bind(i64::from(rows))
        .bind(columns::stored(offset)),
        Wanted::Name(pattern) => sqlx::query(counted!(
            "SELECT id, account_number, name, phone, created_at FROM customers \
             WHERE LOWER(name) LIKE $3 ESCAPE '\\' ORDER BY created_at DESC, id LIMIT $1 OFFSET $2"
        ))
        .bind(i64::from(rows))
        .bind(columns::stored(offset))
        .bind(pattern),
        Wanted::Number { account, phone } => sqlx::query(counted!(
            "SELECT id, account_number, name, phone, created_at FROM customers \
             WHERE account_number >= $3 AND account_number < $4 \
             UNION \
             SELECT id, account_number, name, phone, created_at FROM customers \
             WHERE phone >= $5 AND phone < $6 \
             ORDER BY created_at DESC, id LIMIT $1 OFFSET $2"
        ))
        .bind(i64::from(rows))
        .bind(columns::stored(offset))
        .bind(account)
        .bind(after(account))
        .bind(phone)
        .bind(after(phone)),
    };
    let found = found.fetch_all(connection).await?;
    found
        .iter()
        .map(|row| {
            Ok(CustomerRow {
                customer: read(row)?,
                lines: columns::unsigned(row, "lines")?,
                lines_open: columns::unsigned(row, "lines_open")?,
                lines_online: columns::unsigned(row, "lines_online")?,
            })
        })
        .collect()
}

/// What sorts after every text of digits that begins with `digits`: a colon follows 9.
fn after(digits: &str) -> String {
    format!("{digits}:")
}

fn read(row: &Row) -> Result<Customer, sqlx::Error> {
    Ok(Customer {
        id: columns::parsed(row, "id")?,
        account_number: columns::parsed(row, "account_number")?,
        name: row.try_get("name")?,
        phone: columns::parsed(row, "phone")?,
        created_at: columns::instant(row, "created_at")?,
    })
}
