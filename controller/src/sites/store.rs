//! All SQL of sites, routers, certificates and events.

use std::collections::HashSet;

use sqlx::Row as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::{EventKind, EventV1};

use super::{Event, Presence, Router, Site, SiteError};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::{LineId, RouterId, SiteId};
use crate::pki::{DeviceKey, Issued};

const SITE_COLUMNS: &str = "id, name, created_at, revoked_at, is_online, online_changed_at, last_seen_at, \
                            agent_version, generation, stored_generation, applied_generation, applied_at, \
                            failures_total";
const ROUTER_COLUMNS: &str = "id, site_id, name, is_reachable, reachable_changed_at, release, trouble";
const EVENT_COLUMNS: &str = "site_id, at, received_at, kind, line_id, router_name, detail";

pub(super) async fn list(connection: &mut Connection) -> Result<Vec<Site>, SiteError> {
    let query = format!("SELECT {SITE_COLUMNS} FROM sites ORDER BY name, id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(connection).await?;
    rows.iter().map(read_site).collect()
}

pub(super) async fn get(connection: &mut Connection, site: &SiteId) -> Result<Option<Site>, SiteError> {
    let query = format!("SELECT {SITE_COLUMNS} FROM sites WHERE id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query)).bind(site.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(read_site).transpose()
}

/// `false` when the id is taken.
pub(crate) async fn insert_site(
    connection: &mut Connection,
    site: &SiteId,
    name: &str,
    now: UnixMillis,
) -> Result<bool, SiteError> {
    let done = sqlx::query(
        "INSERT INTO sites (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
    )
    .bind(site.as_str())
    .bind(name)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// `key` is of a device that made it itself. The certificate is kept for whoever loses the answer, and for the list of those
/// that were revoked, which names them by serial number.
pub(crate) async fn insert_certificate(
    connection: &mut Connection,
    site: &SiteId,
    certificate: &Issued,
    key: Option<&DeviceKey>,
) -> Result<(), SiteError> {
    sqlx::query(
        "INSERT INTO site_certificates (sha256, site_id, issued_at, expires_at, key_sha256, certificate_pem) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(certificate.sha256.as_str())
    .bind(site.as_str())
    .bind(certificate.issued_at.0)
    .bind(certificate.expires_at.0)
    .bind(key.map(DeviceKey::sha256))
    .bind(certificate.certificate_pem.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// What a certificate is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is unknown, revoked or over, or its site is shut out.
    Refused,
    /// Whoever holds it may come in.
    Good {
        /// Whether certificates that the site had before it are still good.
        has_older: bool,
    },
}

/// Whether the site is not revoked, and the certificate was issued to it and is neither revoked nor over.
pub(crate) async fn standing_of(
    connection: &mut Connection,
    site: &SiteId,
    sha256: &str,
    now: UnixMillis,
) -> Result<Standing, SiteError> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM site_certificates o \
                 WHERE o.site_id = c.site_id AND o.issued_at <= c.issued_at AND o.revoked_at IS NULL \
                       AND o.sha256 <> c.sha256) AS older \
         FROM site_certificates c JOIN sites s ON s.id = c.site_id \
         WHERE c.sha256 = $1 AND c.site_id = $2 AND c.revoked_at IS NULL AND s.revoked_at IS NULL AND c.expires_at > $3",
    )
    .bind(sha256)
    .bind(site.as_str())
    .bind(now.0)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(Standing::Refused) };
    Ok(Standing::Good { has_older: row.try_get::<i64, _>("older")? > 0 })
}

/// Until when the site's newest certificate is good; `None` while it has none that is.
pub(super) async fn certificate_until(
    connection: &mut Connection,
    site: &SiteId,
) -> Result<Option<UnixMillis>, SiteError> {
    let row = sqlx::query(
        "SELECT MAX(expires_at) AS expires_at FROM site_certificates WHERE site_id = $1 AND revoked_at IS NULL",
    )
    .bind(site.as_str())
    .fetch_one(connection)
    .await?;
    instant(&row, "expires_at")
}

/// How many sites may be connected at once: those with a certificate that is good.
pub(crate) async fn count_certified(connection: &mut Connection, now: UnixMillis) -> Result<u64, SiteError> {
    let row = sqlx::query(
        "SELECT COUNT(DISTINCT c.site_id) AS sites FROM site_certificates c JOIN sites s ON s.id = c.site_id \
         WHERE c.revoked_at IS NULL AND s.revoked_at IS NULL AND c.expires_at > $1",
    )
    .bind(now.0)
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(row.try_get::<i64, _>("sites")?).unwrap_or(0))
}

/// The digests of all certificates that must not be used. They are few, and never more than were ever issued.
pub(crate) async fn revoked_certificates(
    connection: &mut Connection,
    since: UnixMillis,
) -> Result<HashSet<String>, SiteError> {
    let rows = sqlx::query(
        "SELECT c.sha256 FROM site_certificates c JOIN sites s ON s.id = c.site_id \
         WHERE c.revoked_at >= $1 OR s.revoked_at >= $1",
    )
    .bind(since.0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(row.try_get("sha256")?)).collect()
}

/// Certificates that must not be used and are not over: how they read, where they were kept, and since when. Then those that
/// are good, by which nobody is shut out who has the same number.
pub(crate) struct Listed {
    pub(crate) revoked: Vec<(Option<String>, UnixMillis)>,
    pub(crate) good: Vec<String>,
}

pub(crate) async fn listed_certificates(
    connection: &mut Connection,
    now: UnixMillis,
) -> Result<Listed, SiteError> {
    let rows = sqlx::query(
        "SELECT c.certificate_pem, COALESCE(c.revoked_at, s.revoked_at) AS since \
         FROM site_certificates c JOIN sites s ON s.id = c.site_id WHERE c.expires_at > $1 ORDER BY c.sha256",
    )
    .bind(now.0)
    .fetch_all(connection)
    .await?;
    let mut listed = Listed { revoked: Vec::new(), good: Vec::new() };
    for row in rows {
        let pem: Option<String> = row.try_get("certificate_pem")?;
        match row.try_get::<Option<i64>, _>("since")? {
            Some(since) => listed.revoked.push((pem, UnixMillis(since))),
            None => listed.good.extend(pem),
        }
    }
    Ok(listed)
}

/// All sites that are not shut out.
pub(crate) async fn ids_of_admitted(connection: &mut Connection) -> Result<Vec<SiteId>, SiteError> {
    let rows = sqlx::query("SELECT id FROM sites WHERE revoked_at IS NULL ORDER BY id")
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| site_id(row, "id")).collect()
}

/// Those of them that are not known to be there.
pub(crate) async fn ids_of_offline(connection: &mut Connection) -> Result<Vec<SiteId>, SiteError> {
    let rows = sqlx::query("SELECT id FROM sites WHERE revoked_at IS NULL AND is_online = 0 ORDER BY id")
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| site_id(row, "id")).collect()
}

pub(super) async fn revoke_certificates(
    connection: &mut Connection,
    site: &SiteId,
    now: UnixMillis,
) -> Result<(), SiteError> {
    sqlx::query("UPDATE site_certificates SET revoked_at = $2 WHERE site_id = $1 AND revoked_at IS NULL")
        .bind(site.as_str())
        .bind(now.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// It is offline from here on, whatever it says and wherever it is still connected.
pub(super) async fn revoke_site(
    connection: &mut Connection,
    site: &SiteId,
    now: UnixMillis,
) -> Result<bool, SiteError> {
    let done = sqlx::query(
        "UPDATE sites SET revoked_at = $2, is_online = 0, \
                          online_changed_at = CASE WHEN is_online = 1 THEN $2 ELSE online_changed_at END \
         WHERE id = $1 AND revoked_at IS NULL",
    )
    .bind(site.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets a revoked site back in. Its certificates stay revoked.
pub(super) async fn readmit_site(connection: &mut Connection, site: &SiteId) -> Result<(), SiteError> {
    sqlx::query("UPDATE sites SET revoked_at = NULL WHERE id = $1")
        .bind(site.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes a sign of life of each of `sites`; says which of them were taken for dead and are online again.
pub(crate) async fn note_seen(
    connection: &mut Connection,
    sites: &[SiteId],
    now: UnixMillis,
) -> Result<Vec<SiteId>, SiteError> {
    let mut returned = Vec::new();
    for site in sites {
        sqlx::query("UPDATE sites SET last_seen_at = $2 WHERE id = $1")
            .bind(site.as_str())
            .bind(now.0)
            .execute(&mut *connection)
            .await?;
        let back = sqlx::query(
            "UPDATE sites SET is_online = 1, online_changed_at = $2 \
             WHERE id = $1 AND is_online = 0 AND revoked_at IS NULL",
        )
        .bind(site.as_str())
        .bind(now.0)
        .execute(&mut *connection)
        .await?;
        if back.rows_affected() == 1 {
            returned.push(site.clone());
        }
    }
    Ok(returned)
}

/// Marks as offline every site that has been silent since before `silent_since`; says which.
pub(crate) async fn mark_silent_offline(
    connection: &mut Connection,
    silent_since: UnixMillis,
    now: UnixMillis,
) -> Result<Vec<SiteId>, SiteError> {
    let rows = sqlx::query(
        "UPDATE sites SET is_online = 0, online_changed_at = $2 \
         WHERE is_online = 1 AND (last_seen_at IS NULL OR last_seen_at < $1) RETURNING id",
    )
    .bind(silent_since.0)
    .bind(now.0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| site_id(row, "id")).collect()
}

/// Marks every site as offline; says which were online.
pub(crate) async fn mark_all_offline(
    connection: &mut Connection,
    now: UnixMillis,
) -> Result<Vec<SiteId>, SiteError> {
    mark_silent_offline(connection, UnixMillis(i64::MAX), now).await
}

/// Sites whose agent will be refused before `before` unless its certificate is renewed: the newest certificate of
/// each site counts.
pub(crate) async fn expiring_before(
    connection: &mut Connection,
    before: UnixMillis,
) -> Result<Vec<(SiteId, UnixMillis)>, SiteError> {
    let rows = sqlx::query(
        "SELECT c.site_id, MAX(c.expires_at) AS expires_at FROM site_certificates c \
         JOIN sites s ON s.id = c.site_id \
         WHERE c.revoked_at IS NULL AND s.revoked_at IS NULL \
         GROUP BY c.site_id HAVING MAX(c.expires_at) < $1 ORDER BY c.site_id",
    )
    .bind(before.0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((site_id(row, "site_id")?, UnixMillis(row.try_get("expires_at")?)))).collect()
}

pub(super) async fn routers_of(connection: &mut Connection, site: &SiteId) -> Result<Vec<Router>, SiteError> {
    let query = format!("SELECT {ROUTER_COLUMNS} FROM routers WHERE site_id = $1 ORDER BY name");
    let rows = sqlx::query(sqlx::AssertSqlSafe(query)).bind(site.as_str()).fetch_all(connection).await?;
    rows.iter().map(read_router).collect()
}

pub(super) async fn all_routers(connection: &mut Connection) -> Result<Vec<Router>, SiteError> {
    let query = format!("SELECT {ROUTER_COLUMNS} FROM routers ORDER BY site_id, name");
    let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(connection).await?;
    rows.iter().map(read_router).collect()
}

pub(super) async fn router(
    connection: &mut Connection,
    router: &RouterId,
) -> Result<Option<Router>, SiteError> {
    let query = format!("SELECT {ROUTER_COLUMNS} FROM routers WHERE id = $1");
    let row =
        sqlx::query(sqlx::AssertSqlSafe(query)).bind(router.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(read_router).transpose()
}

pub(super) async fn find_router(
    connection: &mut Connection,
    site: &SiteId,
    name: &str,
) -> Result<Option<Router>, SiteError> {
    let query = format!("SELECT {ROUTER_COLUMNS} FROM routers WHERE site_id = $1 AND name = $2");
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(site.as_str())
        .bind(name)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read_router).transpose()
}

pub(super) async fn insert_router(
    connection: &mut Connection,
    id: &RouterId,
    site: &SiteId,
    name: &str,
    now: UnixMillis,
) -> Result<(), SiteError> {
    sqlx::query("INSERT INTO routers (id, site_id, name, created_at) VALUES ($1, $2, $3, $4)")
        .bind(id.as_str())
        .bind(site.as_str())
        .bind(name)
        .bind(now.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// What an agent says of one of its routers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouterNote<'a> {
    pub(crate) name: &'a str,
    pub(crate) is_reachable: bool,
    /// An empty one leaves what was known.
    pub(crate) release: &'a str,
    /// `None` leaves what was known, unless the router answers again.
    pub(crate) trouble: Option<u16>,
}

/// Notes what an agent says of one of its routers; `false` when head office does not know the router.
pub(crate) async fn note_router(
    connection: &mut Connection,
    site: &SiteId,
    note: RouterNote<'_>,
    now: UnixMillis,
) -> Result<bool, SiteError> {
    let RouterNote { name, is_reachable, release, trouble } = note;
    let trouble = trouble.or(is_reachable.then_some(0));
    let done = sqlx::query(
        "UPDATE routers SET \
             reachable_changed_at = CASE WHEN is_reachable = $3 AND reachable_changed_at IS NOT NULL \
                                         THEN reachable_changed_at ELSE $5 END, \
             is_reachable = $3, \
             release = CASE WHEN $4 = '' THEN release ELSE $4 END, \
             trouble = CASE WHEN $6 < 0 THEN trouble ELSE $6 END \
         WHERE site_id = $1 AND name = $2",
    )
    .bind(site.as_str())
    .bind(name)
    .bind(i64::from(is_reachable))
    .bind(release)
    .bind(now.0)
    .bind(trouble.map_or(-1, i64::from))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Of routers of a site that its agent does not name nobody knows anything any more: they were taken out of its settings, or another
/// device took the site over.
pub(crate) async fn forget_others<'a>(
    connection: &mut Connection,
    site: &SiteId,
    named: impl Iterator<Item = &'a str>,
    now: UnixMillis,
) -> Result<(), SiteError> {
    let named: HashSet<&str> = named.collect();
    let known = routers_of(connection, site).await?;
    for router in known.iter().filter(|router| router.was_reached() && !named.contains(router.name.as_str()))
    {
        sqlx::query(
            "UPDATE routers SET is_reachable = 0, release = '', trouble = 0, reachable_changed_at = $2 WHERE id = $1",
        )
        .bind(router.id.as_str())
        .bind(now.0)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Keeps an event; `false` when it was kept before.
pub(crate) async fn insert_event(
    connection: &mut Connection,
    site: &SiteId,
    (store_epoch, seq): (u32, u64),
    event: &EventV1,
    line: Option<&LineId>,
    now: UnixMillis,
) -> Result<bool, SiteError> {
    let done = sqlx::query(
        "INSERT INTO site_events (site_id, store_epoch, seq, at, received_at, kind, line_id, router_name, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (site_id, store_epoch, seq) DO NOTHING",
    )
    .bind(site.as_str())
    .bind(i64::from(store_epoch))
    .bind(columns::stored(seq))
    .bind(event.at_ms)
    .bind(now.0)
    .bind(i64::from(event.kind))
    .bind(line.map(LineId::as_str))
    .bind(event.router.as_deref())
    .bind(event.detail.as_str())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn events_of(
    connection: &mut Connection,
    site: &SiteId,
    limit: u32,
) -> Result<Vec<Event>, SiteError> {
    let query = format!(
        "SELECT {EVENT_COLUMNS} FROM site_events WHERE site_id = $1 \
         ORDER BY received_at DESC, store_epoch DESC, seq DESC LIMIT $2"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(site.as_str())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_event).collect()
}

pub(super) async fn events_of_line(
    connection: &mut Connection,
    line: &LineId,
    limit: u32,
) -> Result<Vec<Event>, SiteError> {
    let query = format!(
        "SELECT {EVENT_COLUMNS} FROM site_events WHERE line_id = $1 \
         ORDER BY received_at DESC, store_epoch DESC, seq DESC LIMIT $2"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(line.as_str())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_event).collect()
}

/// Forgets at most `limit` events that were received before `before`; says how many.
pub(crate) async fn forget_events(
    connection: &mut Connection,
    before: UnixMillis,
    limit: u32,
) -> Result<u64, SiteError> {
    let done = sqlx::query(
        "DELETE FROM site_events WHERE (site_id, store_epoch, seq) IN \
             (SELECT site_id, store_epoch, seq FROM site_events WHERE received_at < $1 LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

fn read_site(row: &Row) -> Result<Site, SiteError> {
    Ok(Site {
        id: site_id(row, "id")?,
        name: row.try_get("name")?,
        created_at: UnixMillis(row.try_get("created_at")?),
        revoked_at: instant(row, "revoked_at")?,
        presence: Presence {
            is_online: row.try_get::<i64, _>("is_online")? != 0,
            changed_at: instant(row, "online_changed_at")?,
            last_seen_at: instant(row, "last_seen_at")?,
        },
        agent_version: row.try_get("agent_version")?,
        generation: number(row, "generation")?,
        stored_generation: number(row, "stored_generation")?,
        applied_generation: number(row, "applied_generation")?,
        applied_at: instant(row, "applied_at")?,
        failures_total: number(row, "failures_total")?,
    })
}

fn read_router(row: &Row) -> Result<Router, SiteError> {
    let id: String = row.try_get("id")?;
    Ok(Router {
        id: RouterId::parse(&id).map_err(|_| SiteError::Row { column: "id", value: id })?,
        site: site_id(row, "site_id")?,
        name: row.try_get("name")?,
        is_reachable: row.try_get::<i64, _>("is_reachable")? != 0,
        reachable_changed_at: instant(row, "reachable_changed_at")?,
        release: row.try_get("release")?,
        trouble: read_trouble(row)?,
    })
}

fn read_trouble(row: &Row) -> Result<u16, SiteError> {
    let code: i64 = row.try_get("trouble")?;
    u16::try_from(code).map_err(|_| SiteError::Row { column: "trouble", value: code.to_string() })
}

fn read_event(row: &Row) -> Result<Event, SiteError> {
    let kind: i64 = row.try_get("kind")?;
    let kind_code =
        u16::try_from(kind).map_err(|_| SiteError::Row { column: "kind", value: kind.to_string() })?;
    let line: Option<String> = row.try_get("line_id")?;
    let line = line
        .map(|text| LineId::parse(&text).map_err(|_| SiteError::Row { column: "line_id", value: text }))
        .transpose()?;
    Ok(Event {
        site: site_id(row, "site_id")?,
        at: UnixMillis(row.try_get("at")?),
        received_at: UnixMillis(row.try_get("received_at")?),
        kind: EventKind::from_code(kind_code),
        kind_code,
        line,
        router: row.try_get("router_name")?,
        detail: row.try_get("detail")?,
    })
}

fn site_id(row: &Row, column: &'static str) -> Result<SiteId, SiteError> {
    let text: String = row.try_get(column)?;
    SiteId::parse(&text).map_err(|_| SiteError::Row { column, value: text })
}

fn instant(row: &Row, column: &'static str) -> Result<Option<UnixMillis>, SiteError> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(UnixMillis))
}

fn number(row: &Row, column: &'static str) -> Result<u64, SiteError> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}
