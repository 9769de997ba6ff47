//! All SQL of the daily close and of the proof.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::day::Day;
use super::proof::{Finding, Proof};
use super::told::{ToldBy, ToldSpan};
use super::{Count, Difference, Kind, LISTED};
use crate::columns;
use crate::database::{Connection, Row};
use crate::money::Money;

/// Differences of one kind.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) total: u64,
    pub(super) listed: Vec<Difference>,
}

/// What M-Pesa moved to a short code between two instants: what is part of another payment was moved with that.
const MOVED: &str = "FROM payments p WHERE p.provider = 'mpesa' AND p.part_of IS NULL AND p.short_code = $1 \
     AND COALESCE(p.moved_at, p.received_at) >= $2 AND COALESCE(p.moved_at, p.received_at) < $3";

pub(super) async fn short_codes(connection: &mut Connection) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query("SELECT id FROM ledger_accounts WHERE kind = 'mpesa_clearing' ORDER BY id")
        .fetch_all(connection)
        .await?;
    let code = |row: &Row| {
        let id: String = row.try_get("id")?;
        Ok(id.split_once(':').map(|(_, code)| code.to_owned()).unwrap_or(id))
    };
    rows.iter().map(code).collect()
}

/// What is booked of a day, and what Pull and the statement told of that.
pub(super) async fn counts(
    connection: &mut Connection,
    day: Day,
    short_code: &str,
) -> Result<(Count, Count, Count), sqlx::Error> {
    let told = |source: &str| {
        format!(
            "CASE WHEN EXISTS (SELECT 1 FROM payment_evidence e WHERE e.payment_id = p.id AND e.source = '{source}') \
             THEN 1 ELSE 0 END"
        )
    };
    let (pull, statement) = (told(ToldBy::Pull.as_str()), told(ToldBy::Statement.as_str()));
    let sql = format!(
        "SELECT COUNT(*) AS booked, COALESCE(SUM(amount_cents), 0) AS booked_cents, \
                COALESCE(SUM(pull), 0) AS pull, COALESCE(SUM(pull * amount_cents), 0) AS pull_cents, \
                COALESCE(SUM(statement), 0) AS statement, COALESCE(SUM(statement * amount_cents), 0) AS statement_cents \
         FROM (SELECT p.amount_cents, {pull} AS pull, {statement} AS statement {MOVED}) counted"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(short_code)
        .bind(day.start().0)
        .bind(day.end().0)
        .fetch_one(connection)
        .await?;
    let count = |payments: &str, cents: &str| {
        Ok::<_, sqlx::Error>(Count {
            payments: columns::unsigned(&row, payments)?,
            amount: columns::money(&row, cents)?,
        })
    };
    Ok((
        count("booked", "booked_cents")?,
        count("pull", "pull_cents")?,
        count("statement", "statement_cents")?,
    ))
}

/// Charges, and money to the bank.
pub(super) async fn outgoings(
    connection: &mut Connection,
    day: Day,
    short_code: &str,
) -> Result<(Money, Money), sqlx::Error> {
    let row = sqlx::query(
        "SELECT COALESCE(SUM(CASE WHEN kind = 'charge' THEN amount_cents ELSE 0 END), 0) AS charges, \
                COALESCE(SUM(CASE WHEN kind = 'settlement' THEN amount_cents ELSE 0 END), 0) AS settlements \
         FROM mpesa_outgoings WHERE short_code = $1 AND moved_at >= $2 AND moved_at < $3",
    )
    .bind(short_code)
    .bind(day.start().0)
    .bind(day.end().0)
    .fetch_one(connection)
    .await?;
    Ok((columns::money(&row, "charges")?, columns::money(&row, "settlements")?))
}

pub(super) async fn untold_count(
    connection: &mut Connection,
    short_code: &str,
    (from, until): (UnixMillis, UnixMillis),
    by: ToldBy,
) -> Result<u64, sqlx::Error> {
    let sql = format!(
        "SELECT COUNT(*) AS found {MOVED} \
         AND NOT EXISTS (SELECT 1 FROM payment_evidence e WHERE e.payment_id = p.id AND e.source IN ($4, 'statement'))"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(short_code)
        .bind(from.0)
        .bind(until.0)
        .bind(by.as_str())
        .fetch_one(connection)
        .await?;
    columns::unsigned(&row, "found")
}

/// What is booked between two instants, and neither a source nor the statement told of, which knows better than Pull.
pub(super) async fn untold(
    connection: &mut Connection,
    short_code: &str,
    (from, until): (UnixMillis, UnixMillis),
    (by, kind): (ToldBy, Kind),
) -> Result<Vec<Difference>, sqlx::Error> {
    let sql = format!(
        "SELECT p.id, p.receipt_number, p.amount_cents, COALESCE(p.moved_at, p.received_at) AS at, '' AS detail {MOVED} \
         AND NOT EXISTS (SELECT 1 FROM payment_evidence e WHERE e.payment_id = p.id AND e.source IN ($4, 'statement')) \
         ORDER BY COALESCE(p.moved_at, p.received_at), p.id LIMIT $5"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(short_code)
        .bind(from.0)
        .bind(until.0)
        .bind(by.as_str())
        .bind(i64::from(LISTED))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| difference(row, kind)).collect()
}

/// What a source says otherwise than it is booked. The index holds only what waits for a person.
pub(super) async fn disputed(
    connection: &mut Connection,
    day: Day,
    short_code: &str,
) -> Result<Found, sqlx::Error> {
    let which = "FROM payment_evidence e JOIN payments p ON p.id = e.payment_id WHERE e.needs_person = 1 \
         AND p.short_code = $1 \
         AND COALESCE(p.moved_at, p.received_at) >= $2 AND COALESCE(p.moved_at, p.received_at) < $3";
    let columns = "p.id, p.receipt_number, p.amount_cents, COALESCE(p.moved_at, p.received_at) AS at, \
                   e.source || ': ' || e.outcome AS detail";
    found(connection, (day, short_code), (columns, which), Kind::Disputed).await
}

/// What the statement has and no rule books. The index holds only what waits for a person.
pub(super) async fn not_booked(
    connection: &mut Connection,
    day: Day,
    short_code: &str,
) -> Result<Found, sqlx::Error> {
    let which = "FROM statement_rows_for_review r WHERE r.needs_person = 1 AND r.short_code = $1 \
         AND COALESCE(r.moved_at, r.seen_at) >= $2 AND COALESCE(r.moved_at, r.seen_at) < $3";
    let columns = "'' AS id, r.receipt_number, r.amount_cents, COALESCE(r.moved_at, r.seen_at) AS at, \
                   r.reason AS detail";
    found(connection, (day, short_code), (columns, which), Kind::NotBooked).await
}

/// What is in suspense. The index holds only that.
pub(super) async fn nobodys(
    connection: &mut Connection,
    day: Day,
    short_code: &str,
) -> Result<Found, sqlx::Error> {
    let which = "FROM payments p WHERE p.customer_id IS NULL AND p.closed = '' AND p.short_code = $1 \
         AND COALESCE(p.moved_at, p.received_at) >= $2 AND COALESCE(p.moved_at, p.received_at) < $3";
    let columns =
        "p.id, p.receipt_number, p.amount_cents, COALESCE(p.moved_at, p.received_at) AS at, '' AS detail";
    found(connection, (day, short_code), (columns, which), Kind::Nobodys).await
}

async fn found(
    connection: &mut Connection,
    (day, short_code): (Day, &str),
    (columns, which): (&str, &str),
    kind: Kind,
) -> Result<Found, sqlx::Error> {
    let sql = format!("SELECT COUNT(*) AS found {which}");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(short_code)
        .bind(day.start().0)
        .bind(day.end().0)
        .fetch_one(&mut *connection)
        .await?;
    let total = columns::unsigned(&row, "found")?;
    if total == 0 {
        return Ok(Found::default());
    }
    let sql = format!("SELECT {columns} {which} ORDER BY 4, 2 LIMIT $4");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(short_code)
        .bind(day.start().0)
        .bind(day.end().0)
        .bind(i64::from(LISTED))
        .fetch_all(connection)
        .await?;
    let listed = rows.iter().map(|row| difference(row, kind)).collect::<Result<_, _>>()?;
    Ok(Found { total, listed })
}

fn difference(row: &Row, kind: Kind) -> Result<Difference, sqlx::Error> {
    let id: String = row.try_get("id")?;
    let amount: Option<i64> = row.try_get("amount_cents")?;
    Ok(Difference {
        kind,
        payment: if id.is_empty() { None } else { Some(columns::parsed(row, "id")?) },
        receipt: row.try_get("receipt_number")?,
        amount: amount.map(Money::from_cents),
        at: columns::instant(row, "at")?,
        detail: row.try_get("detail")?,
    })
}

/// The spans of a source that may touch the one between two instants.
pub(super) async fn told_spans(
    connection: &mut Connection,
    (by, short_code): (ToldBy, &str),
    (from, until): (UnixMillis, UnixMillis),
) -> Result<Vec<ToldSpan>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT from_at, until_at, opening_cents, closing_cents FROM told_spans \
         WHERE source = $1 AND short_code = $2 AND from_at <= $4 AND until_at >= $3 ORDER BY from_at",
    )
    .bind(by.as_str())
    .bind(short_code)
    .bind(from.0)
    .bind(until.0)
    .fetch_all(connection)
    .await?;
    let span = |row: &Row| {
        let opening: Option<i64> = row.try_get("opening_cents")?;
        let closing: Option<i64> = row.try_get("closing_cents")?;
        let balances = opening.zip(closing);
        Ok(ToldSpan {
            from: columns::instant(row, "from_at")?,
            until: columns::instant(row, "until_at")?,
            balances: balances.map(|(one, other)| (Money::from_cents(one), Money::from_cents(other))),
        })
    };
    rows.iter().map(span).collect()
}

pub(super) async fn remove_told(
    connection: &mut Connection,
    (by, short_code): (ToldBy, &str),
    from: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM told_spans WHERE source = $1 AND short_code = $2 AND from_at = $3")
        .bind(by.as_str())
        .bind(short_code)
        .bind(from.0)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn insert_told(
    connection: &mut Connection,
    (by, short_code): (ToldBy, &str),
    span: ToldSpan,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO told_spans (source, short_code, from_at, until_at, opening_cents, closing_cents) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(by.as_str())
    .bind(short_code)
    .bind(span.from.0)
    .bind(span.until.0)
    .bind(span.balances.map(|(opening, _)| opening.cents()))
    .bind(span.balances.map(|(_, closing)| closing.cents()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Asks a question of the proof: how many facts break it.
pub(super) async fn breaks(connection: &mut Connection, question: &'static str) -> Result<i64, sqlx::Error> {
    let row = sqlx::query(question).fetch_one(connection).await?;
    row.try_get("broken")
}

pub(super) async fn keep_proof(connection: &mut Connection, proof: &Proof) -> Result<(), sqlx::Error> {
    let findings: Vec<String> = proof.findings.iter().map(ToString::to_string).collect();
    sqlx::query(
        "INSERT INTO proofs (day, proved_at, took_ms, findings) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (day) DO UPDATE SET proved_at = $2, took_ms = $3, findings = $4",
    )
    .bind(proof.day.start().0)
    .bind(proof.proved_at.0)
    .bind(i64::try_from(proof.took.as_millis()).unwrap_or(i64::MAX))
    .bind(findings.join("\n"))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn last_proof(
    connection: &mut Connection,
    until: Day,
) -> Result<Option<Proof>, sqlx::Error> {
    let sql =
        "SELECT day, proved_at, took_ms, findings FROM proofs WHERE day <= $1 ORDER BY day DESC LIMIT 1";
    let row = sqlx::query(sql).bind(until.start().0).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let findings: String = row.try_get("findings")?;
    Ok(Some(Proof {
        day: Day::of(columns::instant(&row, "day")?),
        proved_at: columns::instant(&row, "proved_at")?,
        took: std::time::Duration::from_millis(columns::unsigned(&row, "took_ms")?),
        findings: findings.lines().map(|line| Finding(line.to_owned())).collect(),
    }))
}

pub(super) async fn forget_proofs(connection: &mut Connection, before: Day) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM proofs WHERE day < $1").bind(before.start().0).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;
    use crate::testing::TemporaryDirectory;

    /// A day of an ISP that has taken payments for years is read by that day.
    #[tokio::test]
    async fn a_day_is_found_by_its_index() {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let mut read = database.read().await.unwrap();
        let sql = format!("EXPLAIN QUERY PLAN SELECT COUNT(*) {MOVED}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind("174379")
            .bind(1_i64)
            .bind(2_i64)
            .fetch_all(&mut *read)
            .await
            .unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("detail").unwrap()).collect();
        assert!(plan.iter().any(|step| step.contains("payments_by_day")), "{plan:?}");
    }
}
