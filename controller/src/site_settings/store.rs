//! All SQL of the settings of sites.

use std::collections::BTreeMap;

use sqlx::Row as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::Setting;

use super::{Heard, SiteSettings};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::SiteId;
use crate::sites::Presence;

/// Makes sure that a site has its row, and holds that until the transaction ends.
pub(super) async fn hold(
    connection: &mut Connection,
    site: &SiteId,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO site_settings_standing (site_id, revision, set_by, set_at, heard_revision, heard_run, heard_at, \
                                             is_allowed, is_kept, refused) \
         VALUES ($1, 0, '', $2, 0, '', NULL, 1, 1, '') \
         ON CONFLICT (site_id) DO UPDATE SET revision = site_settings_standing.revision",
    )
    .bind(site.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets one value, or takes it back.
pub(super) async fn put(
    connection: &mut Connection,
    site: &SiteId,
    setting: Setting,
    value: Option<&str>,
) -> Result<(), sqlx::Error> {
    let query = match value {
        Some(value) => sqlx::query(
            "INSERT INTO site_settings (site_id, name, value) VALUES ($1, $2, $3) \
             ON CONFLICT (site_id, name) DO UPDATE SET value = $3",
        )
        .bind(site.as_str())
        .bind(setting.as_str())
        .bind(value.to_owned()),
        None => sqlx::query("DELETE FROM site_settings WHERE site_id = $1 AND name = $2")
            .bind(site.as_str())
            .bind(setting.as_str()),
    };
    query.execute(connection).await?;
    Ok(())
}

/// Notes that they are another revision, and by whom.
pub(super) async fn revise(
    connection: &mut Connection,
    site: &SiteId,
    revision: u64,
    actor: &str,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE site_settings_standing SET revision = $2, set_by = $3, set_at = $4 WHERE site_id = $1",
    )
    .bind(site.as_str())
    .bind(columns::stored(revision))
    .bind(actor)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes what an agent says of them; nothing where nothing was ever set.
pub(super) async fn heard(
    connection: &mut Connection,
    site: &SiteId,
    heard: &Heard,
    run: &str,
) -> Result<(), sqlx::Error> {
    let lines: Vec<String> =
        heard.refused.iter().map(|(setting, why)| format!("{} {why}", setting.as_str())).collect();
    sqlx::query(
        "UPDATE site_settings_standing SET heard_revision = $2, heard_run = $3, heard_at = $4, is_allowed = $5, \
                                           is_kept = $6, refused = $7 \
         WHERE site_id = $1",
    )
    .bind(site.as_str())
    .bind(columns::stored(heard.revision))
    .bind(run)
    .bind(heard.at.0)
    .bind(i64::from(heard.is_allowed))
    .bind(i64::from(heard.is_kept))
    .bind(lines.join("\n"))
    .execute(connection)
    .await?;
    Ok(())
}

/// What another run of the agent took is not known to be in force in this one.
pub(super) async fn doubt(connection: &mut Connection, site: &SiteId, run: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE site_settings_standing SET heard_revision = 0 WHERE site_id = $1 AND heard_run <> $2 AND heard_revision <> 0",
    )
    .bind(site.as_str())
    .bind(run)
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether this run of the agent has the newest on its flash; also where none were ever set.
pub(super) async fn is_taken(
    connection: &mut Connection,
    site: &SiteId,
    run: &str,
) -> Result<bool, sqlx::Error> {
    let owed = sqlx::query(
        "SELECT site_id FROM site_settings_standing WHERE site_id = $1 AND revision > 0 \
             AND (heard_revision <> revision OR heard_run <> $2 OR is_kept = 0)",
    )
    .bind(site.as_str())
    .bind(run)
    .fetch_optional(connection)
    .await?;
    Ok(owed.is_none())
}

/// The sites that are connected and have not spoken of the newest, and its revision.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn sites_to_tell(connection: &mut Connection) -> Result<Vec<(SiteId, u64)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT t.site_id, t.revision FROM site_settings_standing t JOIN sites s ON s.id = t.site_id \
         WHERE t.heard_revision <> t.revision AND s.is_online = 1 AND s.revoked_at IS NULL",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((columns::parsed(row, "site_id")?, columns::unsigned(row, "revision")?)))
        .collect()
}

pub(super) async fn of_site(connection: &mut Connection, site: &SiteId) -> Result<SiteSettings, sqlx::Error> {
    let standing = sqlx::query(
        "SELECT t.revision, t.set_by, t.set_at, t.heard_revision, t.heard_at, t.is_allowed, t.is_kept, t.refused, \
                s.is_online, s.online_changed_at, s.last_seen_at \
         FROM site_settings_standing t JOIN sites s ON s.id = t.site_id WHERE t.site_id = $1",
    )
    .bind(site.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(standing) = standing else { return Ok(SiteSettings::default()) };
    let rows = sqlx::query("SELECT name, value FROM site_settings WHERE site_id = $1")
        .bind(site.as_str())
        .fetch_all(connection)
        .await?;
    let mut values = BTreeMap::new();
    for row in &rows {
        // One of a newer release waits for that.
        if let Some(setting) = Setting::parse(&row.try_get::<String, _>("name")?) {
            values.insert(setting, row.try_get("value")?);
        }
    }
    let set = (standing.try_get("set_by")?, columns::instant(&standing, "set_at")?);
    let revision = columns::unsigned(&standing, "revision")?;
    let presence = Presence {
        is_online: columns::truth(&standing, "is_online")?,
        changed_at: columns::instant_or_none(&standing, "online_changed_at")?,
        last_seen_at: columns::instant_or_none(&standing, "last_seen_at")?,
    };
    let set = Some(set).filter(|_| revision > 0);
    Ok(SiteSettings { revision, set, values, heard: read(&standing)?, presence, is_unheard: false })
}

fn read(row: &Row) -> Result<Option<Heard>, sqlx::Error> {
    let Some(at) = columns::instant_or_none(row, "heard_at")? else { return Ok(None) };
    let refused: String = row.try_get("refused")?;
    let of = |line: &str| {
        let (name, why) = line.split_once(' ')?;
        Some((Setting::parse(name)?, why.to_owned()))
    };
    Ok(Some(Heard {
        revision: columns::unsigned(row, "heard_revision")?,
        at,
        is_allowed: columns::truth(row, "is_allowed")?,
        is_kept: columns::truth(row, "is_kept")?,
        refused: refused.lines().filter_map(of).collect(),
    }))
}
