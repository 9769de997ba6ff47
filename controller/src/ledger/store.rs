//! All SQL of the ledger. There is no UPDATE and no DELETE in this file.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::{Account, Entry, StatementLine};
use crate::columns;
use crate::database::{Connection, Together};
use crate::ids::EntryId;
use crate::money::Money;

/// The entry itself, whose values [`bind_entry`] binds.
macro_rules! insert_entry {
    () => {
        "INSERT INTO ledger_entries (id, booked_at, cause_kind, cause_id, actor, memo) SELECT $1, $2, $3, $4, $5, $6"
    };
}

/// Books an entry with the accounts that are new; false, with nothing changed, when its cause was booked before. Whoever books
/// holds the only writer, so that all of it is one trip. The entry comes last: it closes its postings, and the table refuses
/// it unless they sum to zero.
pub(super) async fn insert(
    connection: &mut Connection,
    id: &EntryId,
    entry: &Entry,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let mut together = Together::default();
    add_postings(&mut together, id, entry, now);
    together.add(concat!(
        insert_entry!(),
        " WHERE NOT EXISTS (SELECT 1 FROM ledger_entries WHERE cause_kind = $3 AND cause_id = $4)"
    ));
    bind_entry(&mut together, id, entry, now);
    Ok(together.execute(connection).await? > 0)
}

/// The same among others, of a cause that is not booked: one that is fails all of them.
pub(super) fn add(together: &mut Together, id: &EntryId, entry: &Entry, now: UnixMillis) {
    add_postings(together, id, entry, now);
    together.add(insert_entry!());
    bind_entry(together, id, entry, now);
}

fn add_postings(together: &mut Together, id: &EntryId, entry: &Entry, now: UnixMillis) {
    let (kind, cause) = (entry.cause_kind, entry.cause_id.as_str());
    for (position, posting) in entry.postings.iter().enumerate() {
        let account = posting.account.to_string();
        together
            .add(
                "INSERT INTO ledger_accounts (id, kind, created_at) SELECT $1, $2, $3 \
                 WHERE NOT EXISTS (SELECT 1 FROM ledger_entries WHERE cause_kind = $4 AND cause_id = $5) \
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(account.as_str())
            .bind(posting.account.kind())
            .bind(now.0)
            .bind(kind)
            .bind(cause);
        together
            .add(
                "INSERT INTO ledger_postings (entry_id, position, account_id, amount_cents) SELECT $1, $2, $3, $4 \
                 WHERE NOT EXISTS (SELECT 1 FROM ledger_entries WHERE cause_kind = $5 AND cause_id = $6)",
            )
            .bind(id.as_str())
            .bind(i64::try_from(position).unwrap_or(i64::MAX))
            .bind(account.as_str())
            .bind(posting.amount.cents())
            .bind(kind)
            .bind(cause);
    }
}

fn bind_entry(together: &mut Together, id: &EntryId, entry: &Entry, now: UnixMillis) {
    together
        .bind(id.as_str())
        .bind(now.0)
        .bind(entry.cause_kind)
        .bind(entry.cause_id.as_str())
        .bind(entry.actor.as_str())
        .bind(entry.memo.as_str());
}

pub(super) async fn is_booked(
    connection: &mut Connection,
    (kind, id): (&str, &str),
) -> Result<bool, sqlx::Error> {
    let row =
        sqlx::query("SELECT COUNT(*) AS found FROM ledger_entries WHERE cause_kind = $1 AND cause_id = $2")
            .bind(kind)
            .bind(id)
            .fetch_one(connection)
            .await?;
    columns::truth(&row, "found")
}

pub(super) async fn booked_on(
    connection: &mut Connection,
    (kind, id): (&str, &str),
    account: &Account,
) -> Result<Option<Money>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT p.amount_cents FROM ledger_postings p JOIN ledger_entries e ON e.id = p.entry_id \
         WHERE e.cause_kind = $1 AND e.cause_id = $2 AND p.account_id = $3",
    )
    .bind(kind)
    .bind(id)
    .bind(account.to_string())
    .fetch_optional(connection)
    .await?;
    row.map(|row| columns::money(&row, "amount_cents")).transpose()
}

/// A cause begins with a text that ends in a colon: what sorts before the next character begins so, and the index has it.
pub(super) async fn is_any_booked(
    connection: &mut Connection,
    (kind, begin): (&str, &str),
    account: &Account,
    amount: Money,
) -> Result<bool, sqlx::Error> {
    // Found by their entry, which the expressions leave as the only way: an account may have any number of one amount.
    let row = sqlx::query(
        "SELECT COUNT(*) AS found FROM ledger_postings p JOIN ledger_entries e ON e.id = p.entry_id \
         WHERE e.cause_kind = $1 AND e.cause_id >= $2 AND e.cause_id < $3 AND p.account_id || '' = $4 \
           AND p.amount_cents + 0 = $5",
    )
    .bind(kind)
    .bind(begin)
    .bind(format!("{};", begin.trim_end_matches(':')))
    .bind(account.to_string())
    .bind(amount.cents())
    .fetch_one(connection)
    .await?;
    columns::truth(&row, "found")
}

pub(super) async fn balance_of(connection: &mut Connection, account: &Account) -> Result<Money, sqlx::Error> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT) AS balance FROM ledger_postings \
         WHERE account_id = $1",
    )
    .bind(account.to_string())
    .fetch_one(connection)
    .await?;
    columns::money(&row, "balance")
}

/// The balance of an account, unless a cause is booked.
pub(super) async fn balance_before(
    connection: &mut Connection,
    account: &Account,
    (kind, id): (&str, &str),
) -> Result<Option<Money>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM ledger_entries WHERE cause_kind = $2 AND cause_id = $3) AS found, \
                (SELECT CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT) FROM ledger_postings \
                 WHERE account_id = $1) AS balance",
    )
    .bind(account.to_string())
    .bind(kind)
    .bind(id)
    .fetch_one(connection)
    .await?;
    if columns::truth(&row, "found")? {
        return Ok(None);
    }
    columns::money(&row, "balance").map(Some)
}

pub(super) async fn trial_balance(connection: &mut Connection) -> Result<Money, sqlx::Error> {
    let row =
        sqlx::query("SELECT CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT) AS balance FROM ledger_postings")
            .fetch_one(connection)
            .await?;
    columns::money(&row, "balance")
}

/// When an entry of this kind, whose cause begins so, was last booked on an account since an instant.
pub(super) async fn last_booked_since(
    connection: &mut Connection,
    account: &Account,
    (cause_kind, cause_begin): (&str, &str),
    since: UnixMillis,
) -> Result<Option<UnixMillis>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT MAX(e.booked_at) AS booked_at \
         FROM ledger_postings p JOIN ledger_entries e ON e.id = p.entry_id \
         WHERE p.account_id = $1 AND e.booked_at > $2 AND e.cause_kind = $3 \
           AND SUBSTR(e.cause_id, 1, LENGTH($4)) = $4",
    )
    .bind(account.to_string())
    .bind(since.0)
    .bind(cause_kind)
    .bind(cause_begin)
    .fetch_one(connection)
    .await?;
    columns::instant_or_none(&row, "booked_at")
}

pub(super) async fn statement_of(
    connection: &mut Connection,
    account: &Account,
    (limit, behind): (u32, u32),
) -> Result<Vec<StatementLine>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT booked_at, cause_kind, memo, amount_cents, balance_cents FROM ( \
             SELECT e.id, p.position, e.booked_at, e.cause_kind, e.memo, -p.amount_cents AS amount_cents, \
                    CAST(SUM(-p.amount_cents) OVER (ORDER BY e.booked_at, p.amount_cents, e.id, p.position) AS BIGINT) \
                        AS balance_cents \
             FROM ledger_postings p JOIN ledger_entries e ON e.id = p.entry_id \
             WHERE p.account_id = $1) AS movements \
         ORDER BY booked_at DESC, amount_cents, id DESC, position DESC LIMIT $2 OFFSET $3",
    )
    .bind(account.to_string())
    .bind(i64::from(limit))
    .bind(i64::from(behind))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(StatementLine {
                at: columns::instant(row, "booked_at")?,
                cause_kind: row.try_get("cause_kind")?,
                memo: row.try_get("memo")?,
                amount: columns::money(row, "amount_cents")?,
                balance: columns::money(row, "balance_cents")?,
            })
        })
        .collect()
}
