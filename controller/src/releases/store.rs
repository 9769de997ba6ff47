//! All SQL of releases and rollouts.

use std::time::Duration;

use sqlx::Row as _;
use tawi_shared::UnixMillis;
use tawi_shared::release::{Sha256, Signed};
use tawi_shared::wire::{PROTOCOL_RELEASES, ReleaseStanding};

use super::waves::Decision;
use super::{Release, Rollout, RolloutSite, Standing};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::SiteId;

const RELEASE_COLUMNS: &str = "file_sha256, version, target, manifest, signature, added_at";
const ROLLOUT_COLUMNS: &str =
    "number, version, waves, soak_ms, standing, why, wave, wave_began_at, started_by, started_at, changed_at";

const ROLLOUT_SITES: &str = "SELECT r.site_id, r.wave, r.standing, r.have_bytes, r.detail, r.changed_at, r.progress_at, r.file_sha256, \
            s.is_online, s.protocol_newest, s.last_seen_at, b.hourly_bytes \
     FROM rollout_sites r JOIN sites s ON s.id = r.site_id LEFT JOIN site_backhaul b ON b.site_id = r.site_id";

/// `false` when one of this version and kind of machine is there. The same file signed anew is no other: what was signed last
/// is told to sites from then on, such as an older version that may go to it.
pub(crate) async fn insert_release(
    connection: &mut Connection,
    release: &Release,
) -> Result<bool, sqlx::Error> {
    let manifest = String::from_utf8_lossy(&release.signed.manifest).into_owned();
    let signature = tawi_shared::ids::hex(&release.signed.signature);
    let anew = sqlx::query(
        "UPDATE releases SET manifest = $4, signature = $5, added_at = $6 \
         WHERE file_sha256 = $1 AND version = $2 AND target = $3",
    )
    .bind(release.file().to_string())
    .bind(release.manifest.version.to_string())
    .bind(release.manifest.target.as_str())
    .bind(manifest.as_str())
    .bind(signature.as_str())
    .bind(release.added_at.0)
    .execute(&mut *connection)
    .await?;
    if anew.rows_affected() == 1 {
        return Ok(true);
    }
    let done = sqlx::query(
        "INSERT INTO releases (file_sha256, version, target, file_bytes, manifest, signature, added_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(release.file().to_string())
    .bind(release.manifest.version.to_string())
    .bind(release.manifest.target.as_str())
    .bind(signed_number(release.manifest.file_bytes))
    .bind(manifest)
    .bind(signature)
    .bind(release.added_at.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The newest version first: its order is not that of its letters, which is all that the database knows.
pub(crate) async fn releases(connection: &mut Connection) -> Result<Vec<Release>, sqlx::Error> {
    let query = format!("SELECT {RELEASE_COLUMNS} FROM releases ORDER BY target");
    let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(connection).await?;
    let mut releases: Vec<Release> = rows.iter().map(read_release).collect::<Result<_, _>>()?;
    releases.sort_by(|one, other| other.manifest.version.cmp(&one.manifest.version));
    Ok(releases)
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

/// Sites that may get a release: those that are not shut out, and whether each could begin at once. One whose agent is too old
/// is of a rollout as well, so that staff see that it is left.
pub(crate) async fn sites(connection: &mut Connection) -> Result<Vec<(SiteId, bool)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, CAST(CASE WHEN is_online = 1 AND COALESCE(protocol_newest, $1) >= $1 THEN 1 ELSE 0 END AS BIGINT) AS is_ready \
         FROM sites WHERE revoked_at IS NULL ORDER BY id",
    )
    .bind(i64::from(PROTOCOL_RELEASES))
    .fetch_all(connection)
    .await?;
    let read = |row: &Row| Ok((columns::parsed(row, "id")?, row.try_get::<i64, _>("is_ready")? != 0));
    rows.iter().map(read).collect()
}

pub(crate) async fn newest_rollout(connection: &mut Connection) -> Result<Option<Rollout>, sqlx::Error> {
    let query = format!("SELECT {ROLLOUT_COLUMNS} FROM rollouts ORDER BY number DESC LIMIT 1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_optional(connection).await?;
    row.as_ref().map(read_rollout).transpose()
}

/// The newest of them, so many.
pub(crate) async fn rollouts(connection: &mut Connection, most: u32) -> Result<Vec<Rollout>, sqlx::Error> {
    let query = format!("SELECT {ROLLOUT_COLUMNS} FROM rollouts ORDER BY number DESC LIMIT $1");
    let rows = sqlx::query(sqlx::AssertSqlSafe(query)).bind(i64::from(most)).fetch_all(connection).await?;
    rows.iter().map(read_rollout).collect()
}

pub(crate) async fn rollout(
    connection: &mut Connection,
    number: u64,
) -> Result<Option<Rollout>, sqlx::Error> {
    let query = format!("SELECT {ROLLOUT_COLUMNS} FROM rollouts WHERE number = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(signed_number(number))
        .fetch_optional(connection)
        .await?;
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
        sqlx::query("INSERT INTO rollout_sites (rollout, site_id, wave, changed_at, progress_at) VALUES ($1, $2, $3, $4, $4)")
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
    let query =
        format!("{ROLLOUT_SITES} WHERE r.rollout = $1 AND s.revoked_at IS NULL ORDER BY r.wave, r.site_id");
    let rows =
        sqlx::query(sqlx::AssertSqlSafe(query)).bind(signed_number(number)).fetch_all(connection).await?;
    rows.iter().map(read_site).collect()
}

/// Which version each site of a rollout runs; empty where it never said.
pub(super) async fn versions_of(
    connection: &mut Connection,
    number: u64,
) -> Result<Vec<(SiteId, String)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT r.site_id, s.agent_version FROM rollout_sites r JOIN sites s ON s.id = r.site_id \
         WHERE r.rollout = $1 ORDER BY r.site_id",
    )
    .bind(signed_number(number))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((columns::parsed(row, "site_id")?, row.try_get("agent_version")?))).collect()
}

/// How one site stands with a rollout, if it is of it.
pub(crate) async fn rollout_site(
    connection: &mut Connection,
    number: u64,
    site: &SiteId,
) -> Result<Option<RolloutSite>, sqlx::Error> {
    let query = format!("{ROLLOUT_SITES} WHERE r.rollout = $1 AND r.site_id = $2");
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(signed_number(number))
        .bind(site.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read_site).transpose()
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
    (standing, have_bytes, file, detail): (ReleaseStanding, u64, Sha256, &str),
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
                changed_at = CASE WHEN standing = $3 THEN changed_at ELSE $6 END, \
                progress_at = CASE WHEN standing = $3 AND have_bytes = $4 THEN progress_at ELSE $6 END, file_sha256 = $7 \
         WHERE rollout = $1 AND site_id = $2",
    )
    .bind(signed_number(number))
    .bind(site.as_str())
    .bind(standing.as_str())
    .bind(signed_number(have_bytes))
    .bind(detail)
    .bind(now.0)
    .bind(file.to_string())
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
        changed_at: UnixMillis(row.try_get("changed_at")?),
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
        progress_at: UnixMillis(row.try_get("progress_at")?),
        file: Sha256::parse(&row.try_get::<String, _>("file_sha256")?),
        protocol: row
            .try_get::<Option<i64>, _>("protocol_newest")?
            .and_then(|protocol| u16::try_from(protocol).ok()),
        last_seen_at: columns::instant_or_none(row, "last_seen_at")?,
        hourly_bytes: row
            .try_get::<Option<i64>, _>("hourly_bytes")?
            .and_then(|bytes| u64::try_from(bytes).ok()),
    })
}
