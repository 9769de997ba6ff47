//! All SQL of the catalogue of top-ups.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::{NewTopUp, TopUp};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::{PlanId, TopUpId};

/// The columns that [`read`] reads, with what follows the join.
macro_rules! top_ups {
    ($rest:literal) => {
        concat!(
            "SELECT u.id, u.name, u.plan_id, COALESCE(p.name, '') AS plan_name, u.price_cents, u.bytes, u.created_at ",
            "FROM top_ups u LEFT JOIN plans p ON p.id = u.plan_id ",
            $rest
        )
    };
}

pub(super) async fn is_plan(connection: &mut Connection, plan: &PlanId) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT COUNT(*) AS found FROM plans WHERE id = $1")
        .bind(plan.as_str())
        .fetch_one(connection)
        .await?;
    columns::truth(&row, "found")
}

/// False when one of that name is there already.
pub(super) async fn insert(
    connection: &mut Connection,
    id: &TopUpId,
    new: &NewTopUp,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO top_ups (id, name, plan_id, price_cents, bytes, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (name) DO NOTHING",
    )
    .bind(id.as_str())
    .bind(new.name.as_str())
    .bind(new.plan.as_ref().map(PlanId::as_str))
    .bind(new.price.cents())
    .bind(columns::stored(new.bytes))
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn all(connection: &mut Connection) -> Result<Vec<TopUp>, sqlx::Error> {
    let rows = sqlx::query(top_ups!("ORDER BY u.price_cents, u.name")).fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

pub(super) async fn offered_to(
    connection: &mut Connection,
    plan: &PlanId,
) -> Result<Vec<TopUp>, sqlx::Error> {
    let rows =
        sqlx::query(top_ups!("WHERE u.plan_id IS NULL OR u.plan_id = $1 ORDER BY u.price_cents, u.name"))
            .bind(plan.as_str())
            .fetch_all(connection)
            .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn by_id(connection: &mut Connection, id: &TopUpId) -> Result<Option<TopUp>, sqlx::Error> {
    let row = sqlx::query(top_ups!("WHERE u.id = $1")).bind(id.as_str()).fetch_optional(connection).await?;
    row.map(|row| read(&row)).transpose()
}

fn read(row: &Row) -> Result<TopUp, sqlx::Error> {
    Ok(TopUp {
        id: columns::parsed(row, "id")?,
        name: row.try_get("name")?,
        plan: columns::parsed_or_none(row, "plan_id")?,
        plan_name: row.try_get("plan_name")?,
        price: columns::money(row, "price_cents")?,
        bytes: columns::unsigned(row, "bytes")?,
        created_at: columns::instant(row, "created_at")?,
    })
}
