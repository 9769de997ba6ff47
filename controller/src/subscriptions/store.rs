//! All SQL of subscriptions.

use std::net::Ipv4Addr;

use sqlx::Row as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::FailureKind;
use tawi_shared::wire::Service;

use super::credentials::Password;
use super::editing::{AsRow, Settings};
use super::reach::{Of, Reach};
use super::{Expired, FailingLine, Holder, NewSubscription, Subscription, device};
use crate::columns;
use crate::database::{Connection, Row, Together};
use crate::entitlements::Status;
use crate::ids::{CustomerId, LineId, PlanId, RouterId, SiteId};

/// The columns that [`read`] reads, with what follows the joins.
macro_rules! subscriptions {
    ($rest:literal) => {
        concat!(
            "SELECT s.id, s.customer_id, s.plan_id, s.router_id, s.username, s.address, s.caller_id, s.status, s.paid_until, s.grace_until, s.created_at, ",
            "(SELECT MIN(q.started_at) FROM quota_periods q WHERE q.line_id = s.id AND q.waits_for_generation IS NOT NULL) AS waits_since, ",
            "s.renews, s.is_online, s.online_changed_at, s.last_address, s.failure, ",
            "p.name AS plan_name, p.price_cents, p.validity_seconds, p.data_quota_bytes, t.service_name, r.name AS router_name, r.site_id, ",
            "CASE WHEN i.revoked_at IS NULL THEN 0 ELSE 1 END AS is_site_revoked ",
            "FROM subscriptions s JOIN plans p ON p.id = s.plan_id ",
            "JOIN connection_types t ON t.id = p.connection_type_id JOIN routers r ON r.id = s.router_id ",
            "JOIN sites i ON i.id = r.site_id ",
            $rest
        )
    };
}

/// Which of the rows that a new subscription names exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) customer: bool,
    /// The service of its plan; `None` when there is no such plan.
    pub(super) service: Option<Service>,
    pub(super) router: bool,
    /// Whether the router's site is shut out.
    pub(super) is_revoked: bool,
}

pub(super) async fn known(connection: &mut Connection, new: &NewSubscription) -> Result<Known, sqlx::Error> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM customers WHERE id = $1) AS customer, \
                (SELECT t.service_name FROM plans p JOIN connection_types t ON t.id = p.connection_type_id \
                 WHERE p.id = $2) AS service_name, \
                (SELECT COUNT(*) FROM routers WHERE id = $3) AS router, \
                (SELECT COUNT(*) FROM routers r JOIN sites s ON s.id = r.site_id \
                 WHERE r.id = $3 AND s.revoked_at IS NOT NULL) AS is_revoked",
    )
    .bind(new.customer.as_str())
    .bind(new.plan.as_str())
    .bind(new.router.as_str())
    .fetch_one(connection)
    .await?;
    let service: Option<String> = row.try_get("service_name")?;
    let service = service.map(|_| columns::word(&row, "service_name", Service::parse)).transpose()?;
    Ok(Known {
        customer: columns::truth(&row, "customer")?,
        service,
        router: columns::truth(&row, "router")?,
        is_revoked: columns::truth(&row, "is_revoked")?,
    })
}

/// False when the name is taken on that router.
pub(super) async fn insert(
    connection: &mut Connection,
    id: &LineId,
    (new, service): (&NewSubscription, Service),
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO subscriptions (id, customer_id, plan_id, router_id, username, password, status, created_at, \
                                    address, caller_id, device_mac) \
         VALUES ($1, $2, $3, $4, $5, $6, 'draft', $7, $8, $9, $10) ON CONFLICT (router_id, username) DO NOTHING",
    )
    .bind(id.as_str())
    .bind(new.customer.as_str())
    .bind(new.plan.as_str())
    .bind(new.router.as_str())
    .bind(new.username.as_str())
    .bind(new.password.reveal())
    .bind(now.0)
    .bind(new.address.map(|address| address.to_string()).unwrap_or_default())
    .bind(new.caller_id.as_ref().map(ToString::to_string).unwrap_or_default())
    .bind(device::let_by(service, new.caller_id.as_ref()).unwrap_or_default())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The line of the router that has the address, other than `except`.
pub(super) async fn holder_of_address(
    connection: &mut Connection,
    router: &RouterId,
    address: Ipv4Addr,
    except: Option<&LineId>,
) -> Result<Option<Holder>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT s.username, c.name AS customer_name FROM subscriptions s JOIN customers c ON c.id = s.customer_id \
         WHERE s.router_id = $1 AND s.address = $2 AND s.address <> '' AND s.id <> $3",
    )
    .bind(router.as_str())
    .bind(address.to_string())
    .bind(except.map_or("", LineId::as_str))
    .fetch_optional(connection)
    .await?;
    row.map(|row| read_holder(&row)).transpose()
}

/// The line of the router that is the device, other than `except`.
pub(super) async fn holder_of_device(
    connection: &mut Connection,
    router: &RouterId,
    mac: &str,
    except: Option<&LineId>,
) -> Result<Option<Holder>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT s.username, c.name AS customer_name FROM subscriptions s JOIN customers c ON c.id = s.customer_id \
         WHERE s.router_id = $1 AND s.device_mac = $2 AND s.device_mac <> '' AND s.id <> $3",
    )
    .bind(router.as_str())
    .bind(mac)
    .bind(except.map_or("", LineId::as_str))
    .fetch_optional(connection)
    .await?;
    row.map(|row| read_holder(&row)).transpose()
}

fn read_holder(row: &Row) -> Result<Holder, sqlx::Error> {
    Ok(Holder { username: columns::parsed(row, "username")?, customer_name: row.try_get("customer_name")? })
}

/// The service of a plan; `None` when there is no such plan.
pub(super) async fn service_of(
    connection: &mut Connection,
    plan: &PlanId,
) -> Result<Option<Service>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT t.service_name FROM plans p JOIN connection_types t ON t.id = p.connection_type_id WHERE p.id = $1",
    )
    .bind(plan.as_str())
    .fetch_optional(connection)
    .await?;
    row.map(|row| columns::word(&row, "service_name", Service::parse)).transpose()
}

/// Whether its password is known here: that of a line that was taken over is on its router alone.
pub(super) async fn has_password(connection: &mut Connection, id: &LineId) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT COUNT(*) AS known FROM subscriptions WHERE id = $1 AND password <> ''")
        .bind(id.as_str())
        .fetch_one(connection)
        .await?;
    columns::truth(&row, "known")
}

pub(super) async fn update(
    connection: &mut Connection,
    id: &LineId,
    (wanted, service): (&Settings, Service),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE subscriptions SET plan_id = $2, address = $3, caller_id = $4, device_mac = $6, renews = $7, \
             password = CASE WHEN $5 = '' THEN password ELSE $5 END WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(wanted.plan.as_str())
    .bind(wanted.address.map(|address| address.to_string()).unwrap_or_default())
    .bind(wanted.caller_id.as_ref().map(ToString::to_string).unwrap_or_default())
    .bind(wanted.password.as_ref().map_or("", Password::reveal))
    .bind(device::let_by(service, wanted.caller_id.as_ref()).unwrap_or_default())
    .bind(i64::from(wanted.renews))
    .execute(connection)
    .await?;
    Ok(())
}

/// False when another line of its router has the name. The password is the row's from then on, which nobody here knows.
pub(super) async fn rename(
    connection: &mut Connection,
    line: &Subscription,
    row: &AsRow,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE subscriptions SET username = $2, plan_id = $6, \
             password = CASE WHEN username = $2 THEN password ELSE '' END, \
             address = CASE WHEN username = $2 AND address <> '' THEN address ELSE $3 END, \
             caller_id = CASE WHEN username = $2 AND caller_id <> '' THEN caller_id ELSE $4 END, \
             device_mac = CASE WHEN username = $2 AND caller_id <> '' THEN device_mac ELSE $7 END \
         WHERE id = $1 AND NOT EXISTS \
             (SELECT 1 FROM subscriptions o WHERE o.router_id = $5 AND o.username = $2 AND o.id <> $1)",
    )
    .bind(line.id.as_str())
    .bind(row.username.as_str())
    .bind(row.address.map(|address| address.to_string()).unwrap_or_default())
    .bind(row.caller_id.as_ref().map(ToString::to_string).unwrap_or_default())
    .bind(line.router.as_str())
    .bind(row.plan.as_str())
    .bind(device::let_by(row.service, row.caller_id.as_ref()).unwrap_or_default())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn by_id(
    connection: &mut Connection,
    id: &LineId,
) -> Result<Option<Subscription>, sqlx::Error> {
    let row =
        sqlx::query(subscriptions!("WHERE s.id = $1")).bind(id.as_str()).fetch_optional(connection).await?;
    row.map(|row| read(&row)).transpose()
}

pub(super) async fn of_customer(
    connection: &mut Connection,
    customer: &CustomerId,
) -> Result<Vec<Subscription>, sqlx::Error> {
    let rows = sqlx::query(subscriptions!("WHERE s.customer_id = $1 ORDER BY s.created_at, s.id"))
        .bind(customer.as_str())
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// An index holds just the lines that fail.
pub(super) async fn failing_of_site(
    connection: &mut Connection,
    site: &SiteId,
    limit: u32,
) -> Result<Vec<FailingLine>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT s.id, s.customer_id, c.name AS customer_name, s.username, r.name AS router_name, s.failure \
         FROM routers r JOIN subscriptions s ON s.router_id = r.id JOIN customers c ON c.id = s.customer_id \
         WHERE r.site_id = $1 AND s.failure <> '' AND NOT (s.failure LIKE $3 AND EXISTS \
             (SELECT 1 FROM held_lines h \
              WHERE h.site_id = $1 AND h.router_name = r.name AND h.line_id = s.id)) \
         ORDER BY r.name, s.username LIMIT $2",
    )
    .bind(site.as_str())
    .bind(i64::from(limit))
    .bind(format!("{}%", FailureKind::Held.as_str()))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(FailingLine {
                id: columns::parsed(row, "id")?,
                customer: columns::parsed(row, "customer_id")?,
                customer_name: row.try_get("customer_name")?,
                username: columns::parsed(row, "username")?,
                router_name: row.try_get("router_name")?,
                failure: row.try_get("failure")?,
            })
        })
        .collect()
}

/// The lines of a router, a plan or a connection type, counted.
pub(super) async fn reach(connection: &mut Connection, of: Of<'_>) -> Result<Reach, sqlx::Error> {
    macro_rules! counted {
        ($condition:literal) => {
            concat!(
                "SELECT COUNT(*) AS lines, COUNT(CASE WHEN s.is_online = 1 THEN 1 END) AS online, ",
                "COUNT(DISTINCT s.customer_id) AS customers, COUNT(DISTINCT r.site_id) AS sites ",
                "FROM subscriptions s JOIN plans p ON p.id = s.plan_id JOIN routers r ON r.id = s.router_id ",
                "WHERE ",
                $condition
            )
        };
    }
    let (query, id) = match of {
        Of::Router(id) => (counted!("s.router_id = $1"), id.as_str()),
        Of::Plan(id) => (counted!("s.plan_id = $1"), id.as_str()),
        Of::ConnectionType(id) => (counted!("p.connection_type_id = $1"), id.as_str()),
    };
    let row = sqlx::query(query).bind(id).fetch_one(connection).await?;
    Ok(Reach {
        lines: columns::unsigned(&row, "lines")?,
        online: columns::unsigned(&row, "online")?,
        customers: columns::unsigned(&row, "customers")?,
        sites: columns::unsigned(&row, "sites")?,
    })
}

pub(super) async fn set_status(
    connection: &mut Connection,
    id: &LineId,
    status: Status,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE subscriptions SET status = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(status.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) fn add_activation(together: &mut Together, id: &LineId, paid_until: UnixMillis) {
    together
        .add("UPDATE subscriptions SET status = 'active', paid_until = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(paid_until.0);
}

pub(super) async fn set_paid_until(
    connection: &mut Connection,
    id: &LineId,
    status: Status,
    paid_until: Option<UnixMillis>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE subscriptions SET status = $2, paid_until = $3 WHERE id = $1")
        .bind(id.as_str())
        .bind(status.as_str())
        .bind(paid_until.map(|until| until.0))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn expire_due(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<Expired>, sqlx::Error> {
    let rows = sqlx::query(
        "UPDATE subscriptions SET status = 'expired' \
         WHERE id IN (SELECT s.id FROM subscriptions s WHERE s.status = 'active' AND s.paid_until <= $1 \
                        AND NOT EXISTS (SELECT 1 FROM quota_periods q \
                                        WHERE q.line_id = s.id AND q.waits_for_generation IS NOT NULL) \
                      ORDER BY s.paid_until LIMIT $2) \
         RETURNING id, CASE WHEN grace_until > $1 THEN 1 ELSE 0 END AS is_trusted",
    )
    .bind(now.0)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Expired { line: columns::parsed(row, "id")?, is_trusted: columns::truth(row, "is_trusted")? })
        })
        .collect()
}

fn read(row: &Row) -> Result<Subscription, sqlx::Error> {
    let quota: Option<i64> = row.try_get("data_quota_bytes")?;
    Ok(Subscription {
        id: columns::parsed(row, "id")?,
        customer: columns::parsed(row, "customer_id")?,
        plan: columns::parsed(row, "plan_id")?,
        plan_name: row.try_get("plan_name")?,
        price: columns::money(row, "price_cents")?,
        validity_seconds: columns::unsigned(row, "validity_seconds")?,
        data_quota_bytes: quota.and_then(|bytes| u64::try_from(bytes).ok()),
        router: columns::parsed(row, "router_id")?,
        router_name: row.try_get("router_name")?,
        site: columns::parsed(row, "site_id")?,
        is_site_revoked: columns::truth(row, "is_site_revoked")?,
        service: columns::word(row, "service_name", Service::parse)?,
        username: columns::parsed(row, "username")?,
        address: columns::word(row, "address", |text| device::address(text).ok())?,
        caller_id: columns::word(row, "caller_id", |text| device::caller_id(text).ok())?,
        status: columns::word(row, "status", Status::parse)?,
        paid_until: columns::instant_or_none(row, "paid_until")?,
        grace_until: columns::instant_or_none(row, "grace_until")?,
        waits_since: columns::instant_or_none(row, "waits_since")?,
        renews: columns::truth(row, "renews")?,
        is_online: columns::truth(row, "is_online")?,
        online_changed_at: columns::instant_or_none(row, "online_changed_at")?,
        last_address: row.try_get("last_address")?,
        failure: row.try_get("failure")?,
        created_at: columns::instant(row, "created_at")?,
    })
}
