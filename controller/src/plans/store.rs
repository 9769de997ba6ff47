//! All SQL of plans and connection types.

use std::time::Duration;

use sqlx::Row as _;
use tawi_shared::wire::Service;

use super::{ConnectionType, Plan};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::{ConnectionTypeId, PlanId};

/// The columns that [`read_connection_type`] reads, with what follows `FROM connection_types`.
macro_rules! connection_types {
    ($rest:literal) => {
        concat!(
            "SELECT id AS type_id, service_name, profile_name, download_bits_per_second, upload_bits_per_second, ",
            "download_burst_bits_per_second, upload_burst_bits_per_second, created_at AS type_created_at ",
            "FROM connection_types ",
            $rest
        )
    };
}

/// The columns that [`read_plan`] reads, with what follows the join.
macro_rules! plans {
    ($rest:literal) => {
        concat!(
            "SELECT p.id, p.name, p.price_cents, p.validity_seconds, p.data_quota_bytes, p.description, p.created_at, ",
            "t.id AS type_id, t.service_name, t.profile_name, t.download_bits_per_second, t.upload_bits_per_second, ",
            "t.download_burst_bits_per_second, t.upload_burst_bits_per_second, t.created_at AS type_created_at ",
            "FROM plans p JOIN connection_types t ON t.id = p.connection_type_id ",
            $rest
        )
    };
}

/// False when one of that service and name is there already.
pub(super) async fn insert_connection_type(
    connection: &mut Connection,
    new: &ConnectionType,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO connection_types (id, service_name, profile_name, download_bits_per_second, \
                                       upload_bits_per_second, download_burst_bits_per_second, \
                                       upload_burst_bits_per_second, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (service_name, profile_name) DO NOTHING",
    )
    .bind(new.id.as_str())
    .bind(new.service.as_str())
    .bind(new.profile_name.as_str())
    .bind(columns::stored(new.download.bits_per_second()))
    .bind(columns::stored(new.upload.bits_per_second()))
    .bind(columns::stored(new.download_burst.bits_per_second()))
    .bind(columns::stored(new.upload_burst.bits_per_second()))
    .bind(new.created_at.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

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
    service: Service,
    profile_name: &str,
) -> Result<Option<ConnectionType>, sqlx::Error> {
    let row = sqlx::query(connection_types!("WHERE service_name = $1 AND profile_name = $2"))
        .bind(service.as_str())
        .bind(profile_name)
        .fetch_optional(connection)
        .await?;
    row.map(|row| read_connection_type(&row)).transpose()
}

/// False when one of that name is there already.
pub(super) async fn insert_plan(connection: &mut Connection, new: &Plan) -> Result<bool, sqlx::Error> {
    let validity_seconds = columns::stored(new.validity.as_secs());
    let done = sqlx::query(
        "INSERT INTO plans (id, name, connection_type_id, price_cents, validity_seconds, data_quota_bytes, \
                            description, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO NOTHING",
    )
    .bind(new.id.as_str())
    .bind(new.name.as_str())
    .bind(new.connection_type.id.as_str())
    .bind(new.price.cents())
    .bind(validity_seconds)
    .bind(new.data_quota_bytes.map(columns::stored))
    .bind(new.description.as_str())
    .bind(new.created_at.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn plans(connection: &mut Connection) -> Result<Vec<Plan>, sqlx::Error> {
    let rows = sqlx::query(plans!("ORDER BY p.name")).fetch_all(connection).await?;
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
        download: columns::bandwidth(row, "download_bits_per_second")?,
        upload: columns::bandwidth(row, "upload_bits_per_second")?,
        download_burst: columns::bandwidth(row, "download_burst_bits_per_second")?,
        upload_burst: columns::bandwidth(row, "upload_burst_bits_per_second")?,
        created_at: columns::instant(row, "type_created_at")?,
    })
}

fn read_plan(row: &Row) -> Result<Plan, sqlx::Error> {
    let quota: Option<i64> = row.try_get("data_quota_bytes")?;
    Ok(Plan {
        id: columns::parsed(row, "id")?,
        name: row.try_get("name")?,
        connection_type: read_connection_type(row)?,
        price: columns::money(row, "price_cents")?,
        validity: Duration::from_secs(columns::unsigned(row, "validity_seconds")?),
        data_quota_bytes: quota.and_then(|bytes| u64::try_from(bytes).ok()),
        description: row.try_get("description")?,
        created_at: columns::instant(row, "created_at")?,
    })
}
