//! All SQL of the daily close and of the proof.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::counter::Takings;
use super::day::Day;
use super::proof::{Finding, Proof};
use super::told::{ToldBy, ToldSpan};
use super::{Count, Difference, Kind, LISTED, LookedAt, StatedBalance};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ledger::Account;
use crate::money::Money;
use crate::payments::Provider;
use crate::payments::review::NOWHERE_BOOKED;

/// What the ledger's account of a short code moved between two instants of M-Pesa's own time: by payments, by what M-Pesa took
/// and sent to the bank, by refunds, and by rows of statements that an owner booked. What is moved from one customer to
/// another goes out of the account and into it again at once. Each posting is found by its entry, which the expression leaves as
/// the only way.
const LEDGER_MOVED: &str = "SELECT CAST(COALESCE(SUM(all_of_them.cents), 0) AS BIGINT) AS moved FROM ( \
     SELECT q.amount_cents AS cents FROM payments p \
       JOIN ledger_entries e ON e.cause_kind = 'payment' AND e.cause_id = p.id \
       JOIN ledger_postings q ON q.entry_id = e.id AND q.account_id || '' = $4 \
       WHERE p.provider = 'mpesa' AND p.part_of IS NULL AND p.short_code = $1 \
         AND COALESCE(p.moved_at, p.received_at) >= $2 AND COALESCE(p.moved_at, p.received_at) <= $3 \
     UNION ALL SELECT q.amount_cents FROM mpesa_outgoings o \
       JOIN ledger_entries e ON e.cause_kind = o.cause_kind AND e.cause_id = o.cause_id \
       JOIN ledger_postings q ON q.entry_id = e.id AND q.account_id || '' = $4 \
       WHERE o.short_code = $1 AND o.moved_at >= $2 AND o.moved_at <= $3 \
     UNION ALL SELECT q.amount_cents FROM refunds r \
       JOIN ledger_entries e ON e.cause_kind = 'refund_paid' AND e.cause_id = r.id \
       JOIN ledger_postings q ON q.entry_id = e.id AND q.account_id || '' = $4 \
       WHERE r.short_code = $1 AND r.gone_at >= $2 AND r.gone_at <= $3 \
     UNION ALL SELECT q.amount_cents FROM statement_rows_for_review s \
       JOIN ledger_entries e ON e.cause_kind IN ('statement_row', 'statement_row_taken_back') AND e.cause_id = s.row_sha256 \
       JOIN ledger_postings q ON q.entry_id = e.id AND q.account_id || '' = $4 \
       WHERE s.short_code = $1 AND COALESCE(s.moved_at, s.seen_at) >= $2 AND COALESCE(s.moved_at, s.seen_at) <= $3 \
     ) all_of_them";

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
    // A statement may tell of one under which nothing is booked.
    let rows = sqlx::query(
        "SELECT id FROM ledger_accounts WHERE kind = 'mpesa_clearing' \
         UNION SELECT 'mpesa_clearing:' || short_code AS id FROM told_spans ORDER BY id",
    )
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
        "SELECT p.id, p.receipt_number, p.amount_cents, COALESCE(p.moved_at, p.received_at) AS at, '' AS detail, \
                '' AS refund_id, '' AS row_sha256 {MOVED} \
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
                   e.source || ': ' || e.outcome AS detail, '' AS refund_id, '' AS row_sha256";
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
    let columns = "'' AS id, r.receipt_number, r.amount_cents - r.booked_cents AS amount_cents, COALESCE(r.moved_at, r.seen_at) AS at, \
                   r.reason AS detail, '' AS refund_id, r.row_sha256";
    found(connection, (day, short_code), (columns, which), Kind::NotBooked).await
}

/// What the statement has, somebody looked at, and is booked nowhere.
pub(super) async fn looked_at_not_booked(
    connection: &mut Connection,
    day: Day,
    short_code: &str,
) -> Result<Found, sqlx::Error> {
    let which = format!(
        "FROM statement_rows_for_review r WHERE r.needs_person = 0 AND r.short_code = $1 \
         AND COALESCE(r.moved_at, r.seen_at) >= $2 AND COALESCE(r.moved_at, r.seen_at) < $3 AND {NOWHERE_BOOKED}"
    );
    let columns = "'' AS id, r.receipt_number, r.amount_cents - r.booked_cents AS amount_cents, COALESCE(r.moved_at, r.seen_at) AS at, \
                   r.reason AS detail, '' AS refund_id, r.row_sha256";
    found(connection, (day, short_code), (columns, &which), Kind::LookedAtNotBooked).await
}

/// What Pull told of in that day, for this short code or nobody knows which, and is not understood.
pub(super) async fn not_understood(
    connection: &mut Connection,
    day: Day,
    short_code: &str,
) -> Result<Found, sqlx::Error> {
    let which = "FROM pull_rows_for_review r WHERE r.needs_person = 1 AND r.short_code IN ($1, '') \
         AND r.seen_at >= $2 AND r.seen_at < $3";
    let columns = "'' AS id, '' AS receipt_number, CAST(NULL AS BIGINT) AS amount_cents, r.seen_at AS at, '' AS detail, \
                   '' AS refund_id, '' AS row_sha256";
    found(connection, (day, short_code), (columns, which), Kind::NotUnderstood).await
}

/// Refunds that are booked as gone between two instants, and of which no statement told.
pub(super) async fn refunds_untold(
    connection: &mut Connection,
    short_code: &str,
    (from, until): (UnixMillis, UnixMillis),
) -> Result<Found, sqlx::Error> {
    let which =
        "FROM refunds r WHERE r.short_code = $1 AND r.gone_at >= $2 AND r.gone_at < $3 AND r.is_stated = 0";
    let columns = "r.payment_id AS id, r.receipt_number, -r.amount_cents AS amount_cents, r.gone_at AS at, '' AS detail, \
                   r.id AS refund_id, '' AS row_sha256";
    found_between(connection, short_code, (from, until), (columns, which), Kind::RefundNotInStatement).await
}

/// What people looked at: rows of statements and of Pull, and what did not fit a payment.
pub(super) async fn looked_at(
    connection: &mut Connection,
    day: Day,
    short_code: &str,
) -> Result<Vec<LookedAt>, sqlx::Error> {
    let mut all = Vec::new();
    for (kind, sql) in [
        (
            "statement_row",
            "SELECT '' AS id, r.receipt_number, r.amount_cents, COALESCE(r.moved_at, r.seen_at) AS at, r.reason AS detail, \
                    r.settled_as, r.looked_at, r.looked_at_by FROM statement_rows_for_review r \
             WHERE r.needs_person = 0 AND r.short_code = $1 \
               AND COALESCE(r.moved_at, r.seen_at) >= $2 AND COALESCE(r.moved_at, r.seen_at) < $3 \
             ORDER BY 4, 2 LIMIT $4",
        ),
        (
            "evidence",
            "SELECT p.id, p.receipt_number, p.amount_cents, COALESCE(p.moved_at, p.received_at) AS at, \
                    e.source || ': ' || e.outcome AS detail, '' AS settled_as, e.looked_at, e.looked_at_by \
             FROM payments p JOIN payment_evidence e ON e.payment_id = p.id AND e.looked_at IS NOT NULL \
             WHERE p.provider = 'mpesa' AND p.part_of IS NULL AND p.short_code = $1 \
               AND COALESCE(p.moved_at, p.received_at) >= $2 AND COALESCE(p.moved_at, p.received_at) < $3 \
             ORDER BY 4, 2 LIMIT $4",
        ),
        (
            "pull_row",
            "SELECT '' AS id, '' AS receipt_number, CAST(NULL AS BIGINT) AS amount_cents, r.seen_at AS at, \
                    'Pull told of something that is not understood' AS detail, '' AS settled_as, r.looked_at, r.looked_at_by \
             FROM pull_rows_for_review r WHERE r.needs_person = 0 AND r.short_code IN ($1, '') \
               AND r.seen_at >= $2 AND r.seen_at < $3 ORDER BY 4, 2 LIMIT $4",
        ),
    ] {
        let rows = sqlx::query(sql)
            .bind(short_code)
            .bind(day.start().0)
            .bind(day.end().0)
            .bind(i64::from(LISTED))
            .fetch_all(&mut *connection)
            .await?;
        for row in &rows {
            let id: String = row.try_get("id")?;
            all.push(LookedAt {
                kind,
                payment: if id.is_empty() { None } else { Some(columns::parsed(row, "id")?) },
                receipt: row.try_get("receipt_number")?,
                amount: row.try_get::<Option<i64>, _>("amount_cents")?.map(Money::from_cents),
                at: columns::instant(row, "at")?,
                detail: row.try_get("detail")?,
                settled_as: row.try_get("settled_as")?,
                by: row.try_get("looked_at_by")?,
                looked_at: columns::instant_or_none(row, "looked_at")?,
            });
        }
    }
    Ok(all)
}

/// What the ledger's account of a short code moved between two instants, both of them with it.
pub(super) async fn ledger_moved(
    connection: &mut Connection,
    short_code: &str,
    (from, until): (UnixMillis, UnixMillis),
) -> Result<Money, sqlx::Error> {
    let row = sqlx::query(LEDGER_MOVED)
        .bind(short_code)
        .bind(from.0)
        .bind(until.0)
        .bind(Account::MpesaClearing(short_code.to_owned()).to_string())
        .fetch_one(connection)
        .await?;
    columns::money(&row, "moved")
}

/// What statements say of balances of a day.
pub(super) async fn stated_balances(
    connection: &mut Connection,
    short_code: &str,
    day: Day,
) -> Result<Vec<StatedBalance>, sqlx::Error> {
    stated_between(connection, short_code, (day.start(), day.last())).await
}

/// What statements say of balances of spans that touch the one between two instants.
pub(super) async fn stated_between(
    connection: &mut Connection,
    short_code: &str,
    (from, until): (UnixMillis, UnixMillis),
) -> Result<Vec<StatedBalance>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT from_at, until_at, opening_cents, closing_cents, within_cents FROM stated_balances \
         WHERE short_code = $1 AND from_at <= $3 AND from_at >= $4 AND until_at >= $2 ORDER BY from_at, until_at",
    )
    .bind(short_code)
    .bind(from.0)
    .bind(until.0)
    // None is longer than a day.
    .bind(Day::of(from).start().0)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(StatedBalance {
                from: columns::instant(row, "from_at")?,
                until: columns::instant(row, "until_at")?,
                opening: columns::money(row, "opening_cents")?,
                closing: columns::money(row, "closing_cents")?,
                within: columns::money(row, "within_cents")?,
            })
        })
        .collect()
}

pub(super) async fn remove_stated(
    connection: &mut Connection,
    short_code: &str,
    of: &StatedBalance,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM stated_balances WHERE short_code = $1 AND from_at = $2 AND until_at = $3")
        .bind(short_code)
        .bind(of.from.0)
        .bind(of.until.0)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn insert_stated(
    connection: &mut Connection,
    short_code: &str,
    of: &StatedBalance,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO stated_balances (short_code, from_at, until_at, opening_cents, closing_cents, within_cents) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(short_code)
    .bind(of.from.0)
    .bind(of.until.0)
    .bind(of.opening.cents())
    .bind(of.closing.cents())
    .bind(of.within.cents())
    .execute(connection)
    .await?;
    Ok(())
}

/// What is in suspense. The index holds only that.
pub(super) async fn nobodys(
    connection: &mut Connection,
    day: Day,
    short_code: &str,
) -> Result<Found, sqlx::Error> {
    let which = "FROM payments p WHERE p.customer_id IS NULL AND p.closed = '' AND p.short_code = $1 \
         AND COALESCE(p.moved_at, p.received_at) >= $2 AND COALESCE(p.moved_at, p.received_at) < $3";
    let columns = "p.id, p.receipt_number, p.amount_cents, COALESCE(p.moved_at, p.received_at) AS at, '' AS detail, \
                   '' AS refund_id, '' AS row_sha256";
    found(connection, (day, short_code), (columns, which), Kind::Nobodys).await
}

async fn found(
    connection: &mut Connection,
    (day, short_code): (Day, &str),
    what: (&str, &str),
    kind: Kind,
) -> Result<Found, sqlx::Error> {
    found_between(connection, short_code, (day.start(), day.end()), what, kind).await
}

async fn found_between(
    connection: &mut Connection,
    short_code: &str,
    (from, end): (UnixMillis, UnixMillis),
    (columns, which): (&str, &str),
    kind: Kind,
) -> Result<Found, sqlx::Error> {
    let sql = format!("SELECT COUNT(*) AS found {which}");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(short_code)
        .bind(from.0)
        .bind(end.0)
        .fetch_one(&mut *connection)
        .await?;
    let total = columns::unsigned(&row, "found")?;
    if total == 0 {
        return Ok(Found::default());
    }
    let sql = format!("SELECT {columns} {which} ORDER BY 4, 2 LIMIT $4");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(short_code)
        .bind(from.0)
        .bind(end.0)
        .bind(i64::from(LISTED))
        .fetch_all(connection)
        .await?;
    let listed = rows.iter().map(|row| difference(row, kind)).collect::<Result<_, _>>()?;
    Ok(Found { total, listed })
}

fn difference(row: &Row, kind: Kind) -> Result<Difference, sqlx::Error> {
    let (id, refund): (String, String) = (row.try_get("id")?, row.try_get("refund_id")?);
    let digest: String = row.try_get("row_sha256")?;
    let amount: Option<i64> = row.try_get("amount_cents")?;
    Ok(Difference {
        kind,
        payment: if id.is_empty() { None } else { Some(columns::parsed(row, "id")?) },
        refund: if refund.is_empty() { None } else { Some(columns::parsed(row, "refund_id")?) },
        row: (!digest.is_empty()).then_some(digest),
        receipt: row.try_get("receipt_number")?,
        amount: amount.map(Money::from_cents),
        at: columns::instant(row, "at")?,
        detail: row.try_get("detail")?,
    })
}

/// What people took at the counter in a day, and what the ledger has of it.
pub(super) async fn takings(connection: &mut Connection, day: Day) -> Result<Vec<Takings>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT taken.taken_by, taken.provider, COUNT(*) AS payments, \
                CAST(SUM(taken.amount_cents) AS BIGINT) AS amount_cents, \
                CAST(SUM(taken.ledger_cents) AS BIGINT) AS ledger_cents, \
                CAST(SUM(CASE WHEN taken.closed = 'undone' THEN taken.amount_cents ELSE 0 END) AS BIGINT) AS undone_cents \
         FROM (SELECT c.taken_by, p.provider, c.amount_cents, p.closed, \
                      COALESCE((SELECT SUM(q.amount_cents) FROM ledger_entries e JOIN ledger_postings q ON q.entry_id = e.id \
                                WHERE e.cause_kind = 'payment' AND e.cause_id = p.id \
                                  AND q.account_id || '' = CASE WHEN p.provider = 'cash' THEN 'cash:' || c.taken_by \
                                                                ELSE 'bank' END), 0) AS ledger_cents \
               FROM counter_payments c JOIN payments p ON p.id = c.payment_id \
               WHERE c.taken_at >= $1 AND c.taken_at < $2) taken \
         GROUP BY taken.taken_by, taken.provider ORDER BY taken.provider, taken.taken_by",
    )
    .bind(day.start().0)
    .bind(day.end().0)
    .fetch_all(&mut *connection)
    .await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        let by: String = row.try_get("taken_by")?;
        let means = columns::word(row, "provider", Provider::parse)?;
        let holds = match means {
            Provider::Cash => Some(held(connection, &Account::Cash(by.clone()), day).await?),
            Provider::Bank | Provider::Mpesa => None,
        };
        all.push(Takings {
            by,
            means,
            payments: columns::unsigned(row, "payments")?,
            amount: columns::money(row, "amount_cents")?,
            in_ledger: columns::money(row, "ledger_cents")?,
            undone: columns::money(row, "undone_cents")?,
            holds,
        });
    }
    Ok(all)
}

/// What an account had at the end of a day: of one to which people bring what they took.
async fn held(connection: &mut Connection, account: &Account, day: Day) -> Result<Money, sqlx::Error> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(q.amount_cents), 0) AS BIGINT) AS held \
         FROM ledger_postings q JOIN ledger_entries e ON e.id = q.entry_id \
         WHERE q.account_id = $1 AND e.booked_at < $2",
    )
    .bind(account.to_string())
    .bind(day.end().0)
    .fetch_one(connection)
    .await?;
    columns::money(&row, "held")
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
        let sql = format!("EXPLAIN QUERY PLAN {LEDGER_MOVED}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind("174379")
            .bind(1_i64)
            .bind(2_i64)
            .bind("mpesa_clearing:174379")
            .fetch_all(&mut *read)
            .await
            .unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("detail").unwrap()).collect();
        for index in ["payments_by_day", "mpesa_outgoings_by_day", "refunds_gone", "statement_rows_by_day"] {
            assert!(plan.iter().any(|step| step.contains(index)), "{index}: {plan:?}");
        }
        let is_read_whole = |step: &String| step.starts_with("SCAN") && !step.contains("all_of_them");
        assert!(!plan.iter().any(is_read_whole), "{plan:?}");
    }
}
