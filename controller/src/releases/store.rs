//! All SQL of releases and rollouts.

use std::time::Duration;

use sqlx::Row as _;
use tawi_shared::UnixMillis;
use tawi_shared::release::{Sha256, Signed};
use tawi_shared::wire::ReleaseStanding;

use super::waves::Decision;
use super::{Release, Rollout, RolloutSite, Standing};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::SiteId;

const RELEASE_COLUMNS: &str = "file_sha256, version, target, manifest, signature, added_at";
const ROLLOUT_COLUMNS: &str =
    "number, version, waves, soak_ms, standing, why, wave, wave_began_at, started_by, started_at";

/// `false` when one of this version and kind of machine is there.
pub(crate) async fn insert_release(
    connection: &mut Connection,
    release: &Release,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO releases (file_sha256, version, target, file_bytes, manifest, signature, added_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(release.file().to_string())
    .bind(release.manifest.version.to_string())
    .bind(release.manifest.target.as_str())
    .bind(signed_number(release.manifest.file_bytes))
    .bind(String::from_utf8_lossy(&release.signed.manifest).into_owned())
    .bind(tawi_shared::ids::hex(&release.signed.signature))
    .bind(release.added_at.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(crate) async fn releases(connection: &mut Connection) -> Result<Vec<Release>, sqlx::Error> {
    let query = format!("SELECT {RELEASE_COLUMNS} FROM releases ORDER BY added_at DESC, target");
    let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(connection).await?;
    rows.iter().map(read_release).collect()
}

pub(crate) async fn releases_of(
    connection: &mut Connection,
    version: &str,
) -> Result<Vec<Release>, sqlx::Error> {
    let query = format!("SELECT {RELEASE_COLUMNS} FROM releases WHERE version = $1 ORDER BY target");
    let rows = sqlx::query(sqlx::AssertSqlSafe(query)).bind(version).fetch_all(connection).await?;
    rows.iter().map(read_release).collect()
}

pub(crate) async fn delete_releases(connection: &mut Connection, version: &str) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM releases WHERE version = $1").bind(version).execute(connection).await?;
    Ok(())
}

/// Sites that may get a release: those that are not shut out, and whether each is connected.
pub(crate) async fn sites(connection: &mut Connection) -> Result<Vec<(SiteId, bool)>, sqlx::Error> {
    let rows = sqlx::query("SELECT id, is_online FROM sites WHERE revoked_at IS NULL ORDER BY id")
        .fetch_all(connection)
        .await?;
    let read = |row: &Row| Ok((columns::parsed(row, "id")?, row.try_get::<i64, _>("is_online")? != 0));
    rows.iter().map(read).collect()
}

pub(crate) async fn newest_rollout(connection: &mut Connection) -> Result<Option<Rollout>, sqlx::Error> {
    let query = format!("SELECT {ROLLOUT_COLUMNS} FROM rollouts ORDER BY number DESC LIMIT 1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_optional(connection).await?;
    row.as_ref().map(read_rollout).transpose()
}

pub(super) async fn insert_rollout(
    connection: &mut Connection,
    rollout: &Rollout,
    sites: &[(SiteId, usize)],
) -> Result<(), sqlx::Error> {
    let waves: Vec<_> = rollout.waves.iter().map(ToString::to_string).collect();
    sqlx::query(
        "INSERT INTO rollouts (number, version, waves, soak_ms, standing, wave, wave_began_at, started_by, started_at, changed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $7, $7)",
    )
    .bind(signed_number(rollout.number))
    .bind(rollout.version.as_str())
    .bind(waves.join(","))
    .bind(i64::try_from(rollout.soak.as_millis()).unwrap_or(i64::MAX))
    .bind(rollout.standing.as_str())
    .bind(i64::try_from(rollout.wave).unwrap_or(i64::MAX))
    .bind(rollout.started_at.0)
    .bind(rollout.started_by.as_str())
    .execute(&mut *connection)
    .await?;
    for (site, wave) in sites {
        sqlx::query("INSERT INTO rollout_sites (rollout, site_id, wave, changed_at) VALUES ($1, $2, $3, $4)")
            .bind(signed_number(rollout.number))
            .bind(site.as_str())
            .bind(i64::try_from(*wave).unwrap_or(i64::MAX))
            .bind(rollout.started_at.0)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Notes where a rollout stands from now on.
pub(super) async fn move_rollout(
    connection: &mut Connection,
    number: u64,
    (standing, why): (Standing, &str),
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE rollouts SET standing = $2, why = $3, changed_at = $4 WHERE number = $1")
        .bind(signed_number(number))
        .bind(standing.as_str())
        .bind(why)
        .bind(now.0)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn begin_wave(
    connection: &mut Connection,
    number: u64,
    wave: usize,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE rollouts SET wave = $2, wave_began_at = $3, changed_at = $3 WHERE number = $1")
        .bind(signed_number(number))
        .bind(i64::try_from(wave).unwrap_or(i64::MAX))
        .bind(now.0)
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn rollout_sites(
    connection: &mut Connection,
    number: u64,
) -> Result<Vec<RolloutSite>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT r.site_id, r.wave, r.standing, r.have_bytes, r.detail, r.changed_at, s.is_online \
         FROM rollout_sites r JOIN sites s ON s.id = r.site_id \
         WHERE r.rollout = $1 AND s.revoked_at IS NULL ORDER BY r.wave, r.site_id",
    )
    .bind(signed_number(number))
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_site).collect()
}

/// What a site is to run, if anybody wants it to: the number of the rollout, and the releases of its version.
pub(crate) async fn wanted_of(
    connection: &mut Connection,
    site: &SiteId,
) -> Result<Option<(u64, Vec<Release>)>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT o.number, o.version FROM rollouts o JOIN rollout_sites r ON r.rollout = o.number \
         WHERE r.site_id = $1 AND o.standing IN ('running', 'paused') AND r.wave <= o.wave AND r.standing <> 'verified'",
    )
    .bind(site.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (number, version): (i64, String) = (row.try_get("number")?, row.try_get("version")?);
    Ok(Some((u64::try_from(number).unwrap_or_default(), releases_of(connection, &version).await?)))
}

/// Sites that are connected, were told and said nothing yet.
pub(crate) async fn unheard(connection: &mut Connection) -> Result<Vec<SiteId>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT r.site_id FROM rollout_sites r JOIN rollouts o ON o.number = r.rollout JOIN sites s ON s.id = r.site_id \
         WHERE o.standing IN ('running', 'paused') AND r.wave <= o.wave AND r.standing = '' \
               AND s.is_online = 1 AND s.revoked_at IS NULL",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| columns::parsed(row, "site_id")).collect()
}

/// Sites that are connected and on their way with a rollout that was stopped.
pub(crate) async fn to_be_stopped(
    connection: &mut Connection,
    number: u64,
) -> Result<Vec<SiteId>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT r.site_id FROM rollout_sites r JOIN rollouts o ON o.number = r.rollout JOIN sites s ON s.id = r.site_id \
         WHERE o.number = $1 AND o.standing = 'stopped' AND r.standing = 'downloading' AND s.is_online = 1",
    )
    .bind(signed_number(number))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| columns::parsed(row, "site_id")).collect()
}

/// Notes how a site stands; whether its standing is another than before. `None` where it was not asked.
pub(super) async fn note_site(
    connection: &mut Connection,
    (number, site): (u64, &SiteId),
    (standing, have_bytes, detail): (ReleaseStanding, u64, &str),
    now: UnixMillis,
) -> Result<Option<bool>, sqlx::Error> {
    let row = sqlx::query("SELECT standing FROM rollout_sites WHERE rollout = $1 AND site_id = $2")
        .bind(signed_number(number))
        .bind(site.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let is_news = row.try_get::<String, _>("standing")? != standing.as_str();
    sqlx::query(
        "UPDATE rollout_sites SET standing = $3, have_bytes = $4, detail = $5, \
                changed_at = CASE WHEN standing = $3 THEN changed_at ELSE $6 END \
         WHERE rollout = $1 AND site_id = $2",
    )
    .bind(signed_number(number))
    .bind(site.as_str())
    .bind(standing.as_str())
    .bind(signed_number(have_bytes))
    .bind(detail)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(Some(is_news))
}

/// Does what was decided; whether anybody has to be told.
pub(super) async fn carry_out(
    connection: &mut Connection,
    rollout: &Rollout,
    decision: &Decision,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    match decision {
        Decision::Wait => return Ok(false),
        Decision::Next(wave) => begin_wave(connection, rollout.number, *wave, now).await?,
        Decision::Stop(why) => {
            move_rollout(connection, rollout.number, (Standing::Stopped, why), now).await?;
        }
        Decision::Done => move_rollout(connection, rollout.number, (Standing::Done, ""), now).await?,
    }
    Ok(true)
}

fn signed_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(row: &Row, column: &str) -> Result<u64, sqlx::Error> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or_default())
}

fn read_release(row: &Row) -> Result<Release, sqlx::Error> {
    let bad = |column: &str, why: String| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: why.into(),
    };
    let signature: String = row.try_get("signature")?;
    let pairs = signature.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let signature = pairs.map(byte).collect::<Option<Vec<u8>>>();
    let signature = signature.ok_or_else(|| bad("signature", "not hexadecimal".to_owned()))?;
    let signed = Signed { manifest: row.try_get::<String, _>("manifest")?.into_bytes(), signature };
    let manifest = signed.unverified().map_err(|error| bad("manifest", error.to_string()))?;
    let file: String = row.try_get("file_sha256")?;
    if Sha256::parse(&file) != Some(manifest.file_sha256) {
        return Err(bad("file_sha256", "it is not its manifest's".to_owned()));
    }
    Ok(Release { signed, manifest, added_at: UnixMillis(row.try_get("added_at")?) })
}

fn read_rollout(row: &Row) -> Result<Rollout, sqlx::Error> {
    let waves: String = row.try_get("waves")?;
    Ok(Rollout {
        number: unsigned(row, "number")?,
        version: row.try_get("version")?,
        waves: waves.split(',').filter_map(|percent| percent.parse().ok()).collect(),
        soak: Duration::from_millis(unsigned(row, "soak_ms")?),
        standing: columns::word(row, "standing", Standing::parse)?,
        why: row.try_get("why")?,
        wave: usize::try_from(unsigned(row, "wave")?).unwrap_or(usize::MAX),
        wave_began_at: UnixMillis(row.try_get("wave_began_at")?),
        started_by: row.try_get("started_by")?,
        started_at: UnixMillis(row.try_get("started_at")?),
    })
}

fn read_site(row: &Row) -> Result<RolloutSite, sqlx::Error> {
    let standing: String = row.try_get("standing")?;
    Ok(RolloutSite {
        site: columns::parsed(row, "site_id")?,
        wave: usize::try_from(unsigned(row, "wave")?).unwrap_or(usize::MAX),
        is_online: row.try_get::<i64, _>("is_online")? != 0,
        standing: ReleaseStanding::parse(&standing),
        have_bytes: unsigned(row, "have_bytes")?,
        detail: row.try_get("detail")?,
        changed_at: UnixMillis(row.try_get("changed_at")?),
    })
}
