//! All SQL of plans and connection types.

use std::time::Duration;

use sqlx::Row as _;
use tawi_shared::Bandwidth;
use tawi_shared::wire::Service;

use super::{ConnectionType, Family, OfflineRule, Plan, Profile, Restraint, Terms};
use crate::columns;
use crate::database::{Answers, Connection, Row, Together};
use crate::ids::{ConnectionTypeId, LineId, PlanId};

/// The columns of a connection type besides its id and its time, for [`read_connection_type`].
macro_rules! type_columns {
    () => {
        "service_name, profile_name, download_bits_per_second, upload_bits_per_second, \
         download_burst_bits_per_second, upload_burst_bits_per_second, download_threshold_bits_per_second, \
         upload_threshold_bits_per_second, burst_seconds, priority, shared_users, pool, local_address"
    };
}

/// The columns that [`read_connection_type`] reads, with what follows `FROM connection_types`.
macro_rules! connection_types {
    ($rest:literal) => {
        concat!(
            "SELECT id AS type_id, created_at AS type_created_at, ",
            type_columns!(),
            " FROM connection_types ",
            $rest
        )
    };
}

/// The columns that [`read_plan`] reads.
macro_rules! plan_columns {
    () => {
        concat!(
            "SELECT p.id, p.name, p.price_cents, p.validity_seconds, p.data_quota_bytes, p.suspension, p.after_quota, ",
            "p.offline_hours, p.offline, p.description, p.created_at, ",
            "t.id AS type_id, t.created_at AS type_created_at, ",
            type_columns!()
        )
    };
}

/// The columns that [`read_plan`] reads, with what follows the join.
macro_rules! plans {
    ($rest:literal) => {
        concat!(
            plan_columns!(),
            " FROM plans p JOIN connection_types t ON t.id = p.connection_type_id ",
            $rest
        )
    };
}

/// A line's own columns in a row, and its plan: one question, since every booking asks it.
pub(crate) fn ask_plan_of_line(together: &mut Together, line: &LineId) {
    together
        .add(concat!(
            plan_columns!(),
            ", r.site_id, r.name AS router_name, s.username, s.password, s.address, s.caller_id, s.status, s.paid_until, \
             s.grace_from, s.grace_until \
             FROM subscriptions s JOIN routers r ON r.id = s.router_id JOIN plans p ON p.id = s.plan_id \
             JOIN connection_types t ON t.id = p.connection_type_id WHERE s.id = $1"
        ))
        .bind(line.as_str());
}

/// The answer to [`ask_plan_of_line`].
pub(crate) fn answered_plan_of_line(answers: &mut Answers) -> Result<Option<(Row, Plan)>, sqlx::Error> {
    let row = answers.row()?;
    row.map(|row| {
        let plan = read_plan(&row)?;
        Ok((row, plan))
    })
    .transpose()
}

/// False when one of that family and name is there already.
pub(super) async fn insert_connection_type(
    connection: &mut Connection,
    new: &ConnectionType,
) -> Result<bool, sqlx::Error> {
    let insert = concat!(
        "INSERT INTO connection_types (id, family, created_at, ",
        type_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
         ON CONFLICT (family, profile_name) DO NOTHING"
    );
    let query = sqlx::query(insert)
        .bind(new.id.as_str())
        .bind(Family::of(new.service).as_str())
        .bind(new.created_at.0)
        .bind(new.service.as_str())
        .bind(new.profile_name.as_str());
    let done = bind_profile(query, &new.profile).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn update_connection_type(
    connection: &mut Connection,
    kind: &ConnectionType,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "UPDATE connection_types SET download_bits_per_second = $2, upload_bits_per_second = $3, \
                download_burst_bits_per_second = $4, upload_burst_bits_per_second = $5, \
                download_threshold_bits_per_second = $6, upload_threshold_bits_per_second = $7, burst_seconds = $8, \
                priority = $9, shared_users = $10, pool = $11, local_address = $12 \
         WHERE id = $1",
    );
    bind_profile(query.bind(kind.id.as_str()), &kind.profile).execute(connection).await?;
    Ok(())
}

/// In the order of [`type_columns`].
fn bind_profile<'q>(query: Query<'q>, profile: &'q Profile) -> Query<'q> {
    let rate = |rate: Bandwidth| columns::stored(rate.bits_per_second());
    query
        .bind(rate(profile.download))
        .bind(rate(profile.upload))
        .bind(rate(profile.download_burst))
        .bind(rate(profile.upload_burst))
        .bind(rate(profile.download_threshold))
        .bind(rate(profile.upload_threshold))
        .bind(i64::from(profile.burst_seconds))
        .bind(i64::from(profile.priority))
        .bind(i64::from(profile.shared_users))
        .bind(profile.pool.as_str())
        .bind(profile.local_address.as_str())
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

pub(super) async fn connection_types(
    connection: &mut Connection,
) -> Result<Vec<ConnectionType>, sqlx::Error> {
    let rows =
        sqlx::query(connection_types!("ORDER BY service_name, profile_name")).fetch_all(connection).await?;
    rows.iter().map(read_connection_type).collect()
}

pub(super) async fn connection_type_by_id(
    connection: &mut Connection,
    id: &ConnectionTypeId,
) -> Result<Option<ConnectionType>, sqlx::Error> {
    let row =
        sqlx::query(connection_types!("WHERE id = $1")).bind(id.as_str()).fetch_optional(connection).await?;
    row.map(|row| read_connection_type(&row)).transpose()
}

pub(super) async fn connection_type_by_name(
    connection: &mut Connection,
    family: Family,
    profile_name: &str,
) -> Result<Option<ConnectionType>, sqlx::Error> {
    let row = sqlx::query(connection_types!("WHERE family = $1 AND profile_name = $2"))
        .bind(family.as_str())
        .bind(profile_name)
        .fetch_optional(connection)
        .await?;
    row.map(|row| read_connection_type(&row)).transpose()
}

/// False when one of that name is there already.
pub(super) async fn insert_plan(connection: &mut Connection, new: &Plan) -> Result<bool, sqlx::Error> {
    let query = sqlx::query(
        "INSERT INTO plans (id, name, connection_type_id, created_at, price_cents, validity_seconds, \
                            data_quota_bytes, suspension, after_quota, offline_hours, offline, description) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (name) DO NOTHING",
    )
    .bind(new.id.as_str())
    .bind(new.name.as_str())
    .bind(new.connection_type.id.as_str())
    .bind(new.created_at.0);
    let done = bind_terms(query, &new.terms).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn update_plan(connection: &mut Connection, plan: &Plan) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "UPDATE plans SET price_cents = $2, validity_seconds = $3, data_quota_bytes = $4, suspension = $5, \
                after_quota = $6, offline_hours = $7, offline = $8, description = $9 \
         WHERE id = $1",
    );
    bind_terms(query.bind(plan.id.as_str()), &plan.terms).execute(connection).await?;
    Ok(())
}

fn bind_terms<'q>(query: Query<'q>, terms: &'q Terms) -> Query<'q> {
    let offline = terms.offline.map_or(Restraint::Off, |rule| rule.then);
    query
        .bind(terms.price.cents())
        .bind(columns::stored(terms.validity.as_secs()))
        .bind(terms.data_quota_bytes.map(columns::stored))
        .bind(terms.suspension.stored())
        .bind(terms.after_quota.stored())
        .bind(terms.offline.map(|rule| i64::from(rule.after_hours)))
        .bind(offline.stored())
        .bind(terms.description.as_str())
}

pub(super) async fn plans(connection: &mut Connection) -> Result<Vec<Plan>, sqlx::Error> {
    let rows = sqlx::query(plans!("ORDER BY p.name")).fetch_all(connection).await?;
    rows.iter().map(read_plan).collect()
}

pub(super) async fn plans_on(
    connection: &mut Connection,
    kind: &ConnectionTypeId,
) -> Result<Vec<Plan>, sqlx::Error> {
    let rows = sqlx::query(plans!("WHERE p.connection_type_id = $1 ORDER BY p.name"))
        .bind(kind.as_str())
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_plan).collect()
}

pub(super) async fn plan_by_id(
    connection: &mut Connection,
    id: &PlanId,
) -> Result<Option<Plan>, sqlx::Error> {
    let row = sqlx::query(plans!("WHERE p.id = $1")).bind(id.as_str()).fetch_optional(connection).await?;
    row.map(|row| read_plan(&row)).transpose()
}

pub(super) async fn plan_by_name(
    connection: &mut Connection,
    name: &str,
) -> Result<Option<Plan>, sqlx::Error> {
    let row = sqlx::query(plans!("WHERE p.name = $1")).bind(name).fetch_optional(connection).await?;
    row.map(|row| read_plan(&row)).transpose()
}

fn read_connection_type(row: &Row) -> Result<ConnectionType, sqlx::Error> {
    Ok(ConnectionType {
        id: columns::parsed(row, "type_id")?,
        service: columns::word(row, "service_name", Service::parse)?,
        profile_name: row.try_get("profile_name")?,
        profile: Profile {
            download: columns::bandwidth(row, "download_bits_per_second")?,
            upload: columns::bandwidth(row, "upload_bits_per_second")?,
            download_burst: columns::bandwidth(row, "download_burst_bits_per_second")?,
            upload_burst: columns::bandwidth(row, "upload_burst_bits_per_second")?,
            download_threshold: columns::bandwidth(row, "download_threshold_bits_per_second")?,
            upload_threshold: columns::bandwidth(row, "upload_threshold_bits_per_second")?,
            burst_seconds: columns::unsigned(row, "burst_seconds")?,
            priority: columns::unsigned(row, "priority")?,
            shared_users: columns::unsigned(row, "shared_users")?,
            pool: row.try_get("pool")?,
            local_address: row.try_get("local_address")?,
        },
        created_at: columns::instant(row, "type_created_at")?,
    })
}

fn read_plan(row: &Row) -> Result<Plan, sqlx::Error> {
    let quota: Option<i64> = row.try_get("data_quota_bytes")?;
    let hours: Option<i64> = row.try_get("offline_hours")?;
    let then = columns::word(row, "offline", Restraint::parse)?;
    let rule = |hours| Some(OfflineRule { after_hours: u32::try_from(hours).ok()?, then });
    Ok(Plan {
        id: columns::parsed(row, "id")?,
        name: row.try_get("name")?,
        connection_type: read_connection_type(row)?,
        terms: Terms {
            price: columns::money(row, "price_cents")?,
            validity: Duration::from_secs(columns::unsigned(row, "validity_seconds")?),
            data_quota_bytes: quota.and_then(|bytes| u64::try_from(bytes).ok()),
            suspension: columns::word(row, "suspension", Restraint::parse)?,
            after_quota: columns::word(row, "after_quota", Restraint::parse)?,
            offline: hours.and_then(rule),
            description: row.try_get("description")?,
        },
        created_at: columns::instant(row, "created_at")?,
    })
}
