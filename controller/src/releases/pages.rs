//! The page of upgrades: what is here, what goes out and how far it came, and the buttons to start it and to end it.
//!
//! A release comes in on the command line alone, because its file is larger than any form may be: the page says how.

use std::slice;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use tawi_shared::UnixMillis;
use tawi_shared::release::{ReleaseKey, Sha256};
use tawi_shared::wire::ReleaseStanding;

use super::api::{permission_of, tell};
use super::rollout::{self, NewRollout, Started};
use super::words::{SiteWords, sorted};
use super::{Release, Rollout, RolloutSite, Standing, store};
use crate::cli::units;
use crate::database::Connection;
use crate::ids::SiteId;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::display::{self, Badge, Moment};
use crate::web::error::PageError;
use crate::web::form::Fields;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};

/// Rollouts before the newest that are listed.
const EARLIER: u32 = 12;
/// Sites of the newest that are listed; those of which somebody may have to look after come first.
const SITES: usize = 200;
/// Digits of a fingerprint: enough to compare with what release new-key showed.
const FINGERPRINT_DIGITS: usize = 16;
const PAGE: &str = "/upgrades";

/// A release on the shelf.
struct ReleaseView {
    version: String,
    target: String,
    size: String,
    signed: Moment,
    /// Whether a key signed it that is not in the settings any more: sites that know the one in use alone refuse it.
    is_of_another_key: bool,
}

/// A wave of the newest rollout.
struct WaveView {
    number: usize,
    percent: u8,
    has_begun: bool,
    sites: usize,
    verified: usize,
    failed: usize,
}

/// A rollout.
struct RolloutView {
    number: u64,
    version: String,
    badge: Badge,
    why: String,
    by: String,
    started: Moment,
    watched: String,
    is_paused: bool,
}

/// How a site stands with the newest rollout, for the page of that site.
pub(crate) struct SiteUpgrade {
    pub(crate) version: String,
    pub(crate) badge: Badge,
    pub(crate) words: String,
}

impl SiteUpgrade {
    /// Of a site; `None` where nothing was ever to go out to it.
    pub(crate) async fn of(
        connection: &mut Connection,
        site: &SiteId,
        now: UnixMillis,
    ) -> Result<Option<Self>, sqlx::Error> {
        let Some(rollout) = store::newest_rollout(connection).await? else { return Ok(None) };
        let Some(stands) = store::rollout_site(connection, rollout.number, site).await? else {
            return Ok(None);
        };
        let releases = store::releases_of(connection, &rollout.version).await?;
        let SiteWords { badge, words, .. } = SiteWords::of(&rollout, &stands, &releases, now);
        Ok(Some(Self { version: rollout.version, badge, words }))
    }
}

#[derive(Template)]
#[template(path = "releases/upgrades.html")]
struct UpgradesPage {
    frame: Frame,
    /// Who signs, in a few digits; empty while nobody may.
    fingerprint: String,
    releases: Vec<ReleaseView>,
    versions: Vec<String>,
    newest: Option<RolloutView>,
    waves: Vec<WaveView>,
    sites: Vec<SiteWords>,
    /// Sites that are not listed.
    more: usize,
    earlier: Vec<RolloutView>,
    fields: Fields,
    may_start: bool,
    may_stop: bool,
    may_resume: bool,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/upgrades", get(show_all).post(start))
        .route("/upgrades/{number}/standing", post(change))
}

async fn show_all(visit: Visit, State(web): State<Web>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    show(&web, &visit, StatusCode::OK, Fields::with(&[("waves", "1,10,100"), ("soak", "24h")])).await
}

async fn show(web: &Web, visit: &Visit, status: StatusCode, fields: Fields) -> Result<Response, PageError> {
    let now = visit.now;
    let mut reader = web.controller.database.read().await?;
    let releases = store::releases(&mut reader).await?;
    let rollouts = store::rollouts(&mut reader, EARLIER.saturating_add(1)).await?;
    let (newest, earlier) = rollouts.split_first().map_or((None, &[][..]), |(one, rest)| (Some(one), rest));
    let (mut waves, mut sites, mut more) = (Vec::new(), Vec::new(), 0);
    if let Some(rollout) = newest {
        let all = store::rollout_sites(&mut reader, rollout.number).await?;
        let files = store::releases_of(&mut reader, &rollout.version).await?;
        waves = wave_views(rollout, &all);
        more = all.len().saturating_sub(SITES);
        let listed = sorted(rollout, &all).into_iter().take(SITES);
        sites = listed.map(|site| SiteWords::of(rollout, site, &files, now)).collect();
    }
    drop(reader);
    let mut versions: Vec<String> = Vec::new();
    for release in &releases {
        let version = release.manifest.version.to_string();
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    let key = web.controller.releases.key();
    let fingerprint = key.map(|key| fingerprint(&key.to_text())).unwrap_or_default();
    let is_open = newest.is_some_and(|rollout| rollout.standing.is_open());
    let page = UpgradesPage {
        frame: visit.frame("Upgrades", Section::Sites),
        releases: releases.iter().map(|release| release_view(release, key, now)).collect(),
        fingerprint,
        may_start: visit.may(Permission::UpgradeAgents) && !is_open && !versions.is_empty(),
        may_stop: visit.may(Permission::CommandRouters) && is_open,
        may_resume: visit.may(Permission::UpgradeAgents),
        versions,
        newest: newest.map(|rollout| rollout_view(rollout, now)),
        waves,
        sites,
        more,
        earlier: earlier.iter().map(|rollout| rollout_view(rollout, now)).collect(),
        fields,
    };
    visit.show_as(status, &page)
}

/// The first digits of a key's SHA-256, in groups that people can compare.
fn fingerprint(key: &str) -> String {
    let digits: Vec<char> = Sha256::of(key.as_bytes()).to_string().chars().take(FINGERPRINT_DIGITS).collect();
    digits.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

fn release_view(release: &Release, key: Option<&ReleaseKey>, now: UnixMillis) -> ReleaseView {
    let manifest = &release.manifest;
    ReleaseView {
        version: manifest.version.to_string(),
        target: manifest.target.clone(),
        size: display::bytes(manifest.file_bytes),
        signed: Moment::of(UnixMillis(manifest.created_at_ms), now),
        is_of_another_key: key.is_some_and(|key| release.signed.verified(slice::from_ref(key)).is_err()),
    }
}

fn rollout_view(rollout: &Rollout, now: UnixMillis) -> RolloutView {
    let badge = match rollout.standing {
        Standing::Running => Badge::info("running"),
        Standing::Paused => Badge::warn("paused"),
        Standing::Stopped if rollout.has_stopped_itself() => Badge::bad("stopped by itself"),
        Standing::Stopped => Badge::idle("stopped"),
        Standing::Done => Badge::good("done"),
    };
    RolloutView {
        number: rollout.number,
        version: rollout.version.clone(),
        badge,
        why: rollout.why.clone(),
        by: rollout.started_by.clone(),
        started: Moment::of(rollout.started_at, now),
        watched: display::validity(rollout.soak),
        is_paused: rollout.standing == Standing::Paused,
    }
}

fn wave_views(rollout: &Rollout, sites: &[RolloutSite]) -> Vec<WaveView> {
    let view = |(wave, percent): (usize, &u8)| {
        let ours = || sites.iter().filter(move |site| site.wave == wave);
        let count = |wanted: &[ReleaseStanding]| {
            ours().filter(|site| site.standing.is_some_and(|standing| wanted.contains(&standing))).count()
        };
        WaveView {
            number: wave.saturating_add(1),
            percent: *percent,
            has_begun: wave <= rollout.wave,
            sites: ours().count(),
            verified: count(&[ReleaseStanding::Verified]),
            failed: count(&[ReleaseStanding::RolledBack, ReleaseStanding::Refused]),
        }
    };
    rollout.waves.iter().enumerate().map(view).collect()
}

/// What the form asks for; its complaints are noted in it.
fn read(fields: &mut Fields) -> Option<NewRollout> {
    let waves = fields.read("waves", |text| {
        let shares = text.split(',').map(|share| share.trim().parse::<u8>());
        shares.collect::<Result<Vec<_>, _>>().map_err(|_| "write shares in per cent, such as 1,10,100")
    });
    let soak = fields.read("soak", units::validity);
    let sites = fields.read("sites", |text| {
        let ids = text.split([',', ' ']).filter(|id| !id.is_empty()).map(SiteId::parse);
        ids.collect::<Result<Vec<_>, _>>().map_err(|_| "write ids of sites, such as nyeri-01, thika-02")
    });
    if !fields.is("confirm", "yes") {
        fields.complain("confirm", "tick the box to say that this program is to run there");
    }
    let version = fields.value("version").to_owned();
    let sites = sites?;
    let new = NewRollout {
        version,
        waves: waves?,
        soak: soak?,
        sites: Some(sites).filter(|sites| !sites.is_empty()),
    };
    (!fields.has_complaints()).then_some(new)
}

async fn start(State(web): State<Web>, posted: Posted) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::UpgradeAgents)?;
    let Some(new) = read(&mut fields) else {
        return show(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, fields).await;
    };
    let controller = &web.controller;
    let mut transaction = controller.database.write().await?;
    match rollout::start(&mut transaction, new, (&visit.actor(), &controller.ids), visit.now).await? {
        Started::Started(rollout) => {
            let sites = store::rollout_sites(&mut transaction, rollout.number).await?;
            let words = format!(
                "{} goes out to {}, wave by wave.",
                rollout.version,
                display::counted(u64::try_from(sites.len()).unwrap_or(u64::MAX), "site")
            );
            commit(&web, transaction, sites).await?;
            return Ok(visit.go(PAGE, &Note::good(words)));
        }
        Started::AnotherRuns(number) => {
            return Ok(
                visit.go(PAGE, &Note::bad(format!("Nothing was started: rollout {number} is not over.")))
            );
        }
        Started::NoSites => return Ok(visit.go(PAGE, &Note::bad("Nothing was started: there are no sites."))),
        Started::NoSuchRelease => fields.complain("version", "it is not here any more: choose another"),
        Started::BadWaves => {
            fields.complain(
                "waves",
                "write up to 8 growing shares that end with 100, watched for 30 days at most",
            );
        }
        Started::NoSuchSite(site) => {
            fields.complain("sites", format!("there is no {site}, or it is revoked"));
        }
    }
    drop(transaction);
    show(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, fields).await
}

async fn change(
    State(web): State<Web>,
    Path(number): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    let number: u64 = number.parse().map_err(|_| PageError::NotFound)?;
    let to = Standing::parse(fields.value("standing")).filter(|to| *to != Standing::Done);
    let to = to.ok_or(PageError::NotFound)?;
    visit.require(permission_of(to))?;
    if to == Standing::Stopped && !fields.is("confirm", "yes") {
        return Ok(visit.go(PAGE, &Note::bad("Nothing was done: tick the box to end the rollout.")));
    }
    let controller = &web.controller;
    let mut transaction = controller.database.write().await?;
    let by = (&visit.actor(), &controller.ids);
    let Some(rollout) = rollout::change(&mut transaction, (number, to), by, visit.now).await? else {
        return Ok(visit.go(PAGE, &Note::bad("Nothing was done: it is over, or stands so already.")));
    };
    let sites = store::rollout_sites(&mut transaction, rollout.number).await?;
    commit(&web, transaction, sites).await?;
    let words = match to {
        Standing::Paused => "No further wave begins; sites that were told go on.",
        Standing::Running => "It goes on.",
        Standing::Stopped | Standing::Done => {
            "It is stopped: sites that run the version keep it, the others stay as they are."
        }
    };
    Ok(visit.go(PAGE, &Note::good(words)))
}

/// On a task of its own: a browser that hangs up ends its handler, and the bell must ring after the commit.
async fn commit(
    web: &Web,
    transaction: crate::database::Transaction,
    sites: Vec<RolloutSite>,
) -> Result<(), PageError> {
    let live = web.controller.live.clone();
    let told = tokio::spawn(async move {
        transaction.commit().await?;
        tell(&live, sites);
        Ok::<_, sqlx::Error>(())
    });
    Ok(told.await??)
}

/// What the first page says of upgrades.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn alarms(connection: &mut Connection, now: UnixMillis) -> Result<Vec<String>, sqlx::Error> {
    let Some(rollout) = store::newest_rollout(connection).await? else { return Ok(Vec::new()) };
    let sites = match rollout.standing.is_open() {
        true => store::rollout_sites(connection, rollout.number).await?,
        false => Vec::new(),
    };
    Ok(super::words::alarms(&rollout, &sites, now))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_form_is_read_and_says_what_is_wrong_with_each_field() {
        let form = |waves, soak, sites, confirm| {
            Fields::with(&[
                ("version", "0.2.0"),
                ("waves", waves),
                ("soak", soak),
                ("sites", sites),
                ("confirm", confirm),
            ])
        };
        let new = read(&mut form("1, 10,100", "90m", "nyeri-01, thika-02", "yes")).unwrap();
        assert_eq!((new.waves, new.soak), (vec![1, 10, 100], Duration::from_secs(5_400)));
        assert_eq!(new.sites.unwrap().len(), 2);
        assert!(read(&mut form("100", "1d", "", "yes")).unwrap().sites.is_none());
        let check = |mut fields: Fields, field: &str| {
            assert!(read(&mut fields).is_none() && !fields.complaint(field).is_empty(), "{field}");
        };
        check(form("all", "1d", "", "yes"), "waves");
        check(form("300", "1d", "", "yes"), "waves");
        check(form("100", "long", "", "yes"), "soak");
        check(form("100", "1d", "Nyeri!", "yes"), "sites");
        check(form("100", "1d", "", ""), "confirm");
        assert_eq!(fingerprint("tawikey1.x").len(), 19);
    }
}
