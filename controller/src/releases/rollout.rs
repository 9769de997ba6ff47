//! What staff, sites and the clock do to a rollout. Each leaves its audit row in the same transaction.

use std::time::Duration;

use tawi_shared::release::{Sha256, Version};
use tawi_shared::wire::{ReleaseStanding, ReleaseStandingV1};
use tawi_shared::{IdSource, UnixMillis};

use super::waves::{self, Decision};
use super::{BY_STAFF, Release, Rollout, Standing, store};
use crate::audit::{self, Action, Actor};
use crate::database::Connection;
use crate::ids::SiteId;
use crate::plain::line_of;

/// The longest words of a site that are kept, in characters.
const DETAIL_CHARACTERS: usize = 200;
/// The longest that a wave is watched.
pub const SOAK_MOST: Duration = Duration::from_secs(30 * 86_400);

/// What is to go out.
#[derive(Clone, Debug)]
pub struct NewRollout {
    /// Which version.
    pub version: String,
    /// Per cent of the sites.
    pub waves: Vec<u8>,
    /// How long a wave is watched.
    pub soak: Duration,
    /// These alone; `None`: all.
    pub sites: Option<Vec<SiteId>>,
}

/// What became of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// It goes out, as this rollout.
    Started(Rollout),
    /// There is no such release.
    NoSuchRelease,
    /// Another one is not over.
    AnotherRuns(u64),
    /// The waves are none.
    BadWaves,
    /// There is no such site, or it is shut out.
    NoSuchSite(SiteId),
    /// There is no site at all.
    NoSites,
}

/// Starts a rollout.
///
/// # Errors
/// When the database refuses.
pub async fn start(
    connection: &mut Connection,
    new: NewRollout,
    (actor, ids): (&Actor, &IdSource),
    now: UnixMillis,
) -> Result<Started, sqlx::Error> {
    if !waves::are_waves(&new.waves) || new.soak > SOAK_MOST {
        return Ok(Started::BadWaves);
    }
    if store::releases_of(connection, &new.version).await?.is_empty() {
        return Ok(Started::NoSuchRelease);
    }
    let last = store::newest_rollout(connection).await?;
    if let Some(open) = last.as_ref().filter(|last| last.standing.is_open()) {
        return Ok(Started::AnotherRuns(open.number));
    }
    let mut sites = store::sites(connection).await?;
    if let Some(chosen) = new.sites {
        if let Some(missing) = chosen.iter().find(|one| !sites.iter().any(|(site, _)| site == *one)) {
            return Ok(Started::NoSuchSite(missing.clone()));
        }
        sites.retain(|(site, _)| chosen.contains(site));
    }
    if sites.is_empty() {
        return Ok(Started::NoSites);
    }
    let number = last.map_or(1, |last| last.number.saturating_add(1));
    let rollout = Rollout {
        number,
        version: new.version,
        waves: new.waves,
        soak: new.soak,
        standing: Standing::Running,
        why: String::new(),
        wave: 0,
        wave_began_at: now,
        started_by: actor.to_string(),
        started_at: now,
        changed_at: now,
    };
    let sites = waves::assign(sites, &rollout.waves, number);
    store::insert_rollout(connection, &rollout, &sites).await?;
    let detail = format!("{} to {} sites, rollout {number}", rollout.version, sites.len());
    audit::record(connection, actor, (Action::RolloutStarted, &rollout.version, &detail), ids, now).await?;
    Ok(Started::Started(rollout))
}

/// The sites of a rollout that will refuse it, because their agents run a newer version than was signed to go back to. Each
/// refusal counts as a failure, and a few of them stop a rollout.
///
/// # Errors
/// When the database refuses.
pub async fn newer_than(connection: &mut Connection, rollout: &Rollout) -> Result<Vec<SiteId>, sqlx::Error> {
    let releases = store::releases_of(connection, &rollout.version).await?;
    // Which kind of machine a site is nobody knows here: one release that may not be gone back to is reason enough.
    if releases.iter().all(|release| release.manifest.allow_downgrade) {
        return Ok(Vec::new());
    }
    let Ok(version) = rollout.version.parse::<Version>() else { return Ok(Vec::new()) };
    let running = store::versions_of(connection, rollout.number).await?;
    let is_newer = |text: &str| text.parse::<Version>().is_ok_and(|running| running > version);
    Ok(running.into_iter().filter(|(_, text)| is_newer(text)).map(|(site, _)| site).collect())
}

/// Has the rollout of this number go on, wait or end; `None` where this cannot be done to it. Only the newest can be open.
///
/// # Errors
/// When the database refuses.
pub async fn change(
    connection: &mut Connection,
    (number, to): (u64, Standing),
    (actor, ids): (&Actor, &IdSource),
    now: UnixMillis,
) -> Result<Option<Rollout>, sqlx::Error> {
    let Some(mut rollout) = store::rollout(connection, number).await? else { return Ok(None) };
    let action = match (rollout.standing, to) {
        (Standing::Running, Standing::Paused) => Action::RolloutPaused,
        (Standing::Paused, Standing::Running) => Action::RolloutResumed,
        (Standing::Running | Standing::Paused, Standing::Stopped) => Action::RolloutStopped,
        _ => return Ok(None),
    };
    let why = if to == Standing::Stopped { format!("{BY_STAFF}{actor}") } else { String::new() };
    store::move_rollout(connection, rollout.number, (to, &why), now).await?;
    let detail = format!("rollout {}", rollout.number);
    audit::record(connection, actor, (action, &rollout.version, &detail), ids, now).await?;
    (rollout.standing, rollout.why, rollout.changed_at) = (to, why, now);
    Ok(Some(rollout))
}

/// Takes a site's word of how it stands. Whether that is news.
///
/// # Errors
/// When the database refuses.
pub async fn heard(
    connection: &mut Connection,
    site: &SiteId,
    said: &ReleaseStandingV1,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let Some(standing) = ReleaseStanding::from_code(said.standing) else { return Ok(false) };
    let file = Sha256(said.file_sha256);
    if !is_of_it(connection, said.asked, (standing, file)).await? {
        tracing::info!(site.id = %site, rollout.number = said.asked, "a site speaks of a release that is not of this rollout");
        return Ok(false);
    }
    let detail = line_of(&said.detail, DETAIL_CHARACTERS);
    let word = (standing, said.have_bytes, file, detail.as_str());
    let Some(is_news) = store::note_site(connection, (said.asked, site), word, now).await? else {
        return Ok(false);
    };
    let action = match standing {
        ReleaseStanding::Verified => Action::SiteUpgraded,
        ReleaseStanding::RolledBack => Action::SiteRolledBack,
        ReleaseStanding::Refused => Action::SiteRefusedRelease,
        ReleaseStanding::Downloading | ReleaseStanding::Starting | ReleaseStanding::Trial => {
            return Ok(is_news);
        }
    };
    if is_news {
        tracing::info!(site.id = %site, rollout.number = said.asked, release.standing = standing.as_str(), "a site says how it stands with a release");
        let detail = format!("rollout {}: {detail}", said.asked);
        let actor = Actor::Site(site.clone());
        audit::record(
            connection,
            &actor,
            (action, site.as_str(), detail.trim_end_matches([' ', ':'])),
            ids,
            now,
        )
        .await?;
    }
    Ok(is_news)
}

/// Whether a site may say this of a file: it has to be one of the version that goes out. Who refuses all that it was told may
/// name none; and of a version that was removed since nobody knows which files it had.
async fn is_of_it(
    connection: &mut Connection,
    number: u64,
    (standing, file): (ReleaseStanding, Sha256),
) -> Result<bool, sqlx::Error> {
    if standing == ReleaseStanding::Refused && file == Sha256([0; 32]) {
        return Ok(true);
    }
    let Some(rollout) = store::rollout(connection, number).await? else { return Ok(false) };
    let releases = store::releases_of(connection, &rollout.version).await?;
    Ok(releases.is_empty() || releases.iter().map(Release::file).any(|known| known == file))
}

/// What is to be done about the newest rollout, and for which; `None` where that is to wait. It only reads.
///
/// # Errors
/// When the database refuses.
pub async fn due(
    connection: &mut Connection,
    now: UnixMillis,
) -> Result<Option<(Rollout, Decision)>, sqlx::Error> {
    let newest = store::newest_rollout(connection).await?;
    let Some(rollout) = newest.filter(|last| last.standing.is_open()) else { return Ok(None) };
    let sites = store::rollout_sites(connection, rollout.number).await?;
    let waves = (rollout.wave, rollout.waves.len());
    let decision = waves::decide(&sites, waves, (rollout.wave_began_at, rollout.soak), now);
    // A rollout that waits for staff may still stop, and may be over.
    let is_paused = rollout.standing == Standing::Paused && matches!(decision, Decision::Next(_));
    Ok(Some((rollout, decision)).filter(|(_, decision)| *decision != Decision::Wait && !is_paused))
}

/// Does what is due: begins the next wave, or ends. Whether sites have to be told.
///
/// # Errors
/// When the database refuses.
pub async fn step(connection: &mut Connection, ids: &IdSource, now: UnixMillis) -> Result<bool, sqlx::Error> {
    let Some((rollout, decision)) = due(connection, now).await? else { return Ok(false) };
    let is_moved = store::carry_out(connection, &rollout, &decision, now).await?;
    let (action, detail) = match &decision {
        Decision::Wait => return Ok(false),
        Decision::Next(wave) => {
            (Action::WaveBegan, format!("wave {} of {}", wave.saturating_add(1), rollout.waves.len()))
        }
        Decision::Stop(why) => {
            tracing::error!(
                rollout.number = rollout.number,
                rollout.why = why,
                "a rollout stopped by itself; look at tawi-controller upgrade status"
            );
            (Action::RolloutStopped, format!("by itself: {why}"))
        }
        Decision::Done => (Action::RolloutDone, format!("rollout {}", rollout.number)),
    };
    let actor = Actor::Rollout(rollout.number);
    audit::record(connection, &actor, (action, &rollout.version, &detail), ids, now).await?;
    Ok(is_moved)
}
