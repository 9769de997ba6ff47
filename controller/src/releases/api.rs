//! Releases and rollouts for programs. A release comes in on the command line alone: its file is larger than any request may be.
//!
//! Who may bring a version to the sites is an owner; to have it wait or end it is enough to be an operator.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tawi_shared::release::ReleaseKey;
use utoipa::{IntoParams, ToSchema};

use super::rollout::{self, NewRollout, Started};
use super::words::{SiteWords, Stand};
use super::{Release, Rollout, RolloutSite, Standing, store};
use crate::database::Connection;
use crate::ids::SiteId;
use crate::live::{Hint, Live};
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, ApiQuery, Begun, Caller, Problem, Route, Write, at_ms, reader};

/// Rollouts in one answer, at most.
const LISTED_MOST: u32 = 200;
const LISTED: u32 = 20;
/// What is taken where nobody says something else: the same as on the command line.
const WAVES: [u8; 3] = [1, 10, 100];
const SOAK_SECONDS: u64 = 86_400;

/// A release that is here.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReleaseBody {
    /// Which version.
    pub version: String,
    /// The kind of machine, such as `aarch64-linux-gnu`.
    pub target: String,
    /// What travels, in bytes.
    pub file_bytes: u64,
    /// SHA-256 of that, in hexadecimal digits.
    pub file_sha256: String,
    /// Size of the program, in bytes.
    pub binary_bytes: u64,
    /// When it was signed.
    pub signed_at_ms: i64,
    /// Since when it is here.
    pub added_at_ms: i64,
    /// The oldest version that may go to it at once.
    pub oldest_version: String,
    /// Whether a newer version may go back to it.
    pub allow_downgrade: bool,
}

/// All releases.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReleaseList {
    /// Who may have signed them, as the settings say; null while nobody may.
    pub release_key: Option<String>,
    /// The newest first.
    pub releases: Vec<ReleaseBody>,
}

/// How a version goes out.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RolloutBody {
    /// From 1.
    pub number: u64,
    /// Which version.
    pub version: String,
    /// `running`, `paused`, `stopped` or `done`.
    pub standing: String,
    /// Why it stopped; empty otherwise.
    pub why: String,
    /// Shares of the sites in per cent.
    pub waves: Vec<u8>,
    /// Which of them has begun, from 0.
    pub wave: u64,
    /// Since when.
    pub wave_began_at_ms: i64,
    /// How long each is watched, in seconds.
    pub soak_seconds: u64,
    /// Who started it.
    pub started_by: String,
    /// When.
    pub started_at_ms: i64,
}

/// Rollouts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RolloutList {
    /// The newest first.
    pub rollouts: Vec<RolloutBody>,
}

/// A rollout and how each of its sites stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RolloutDetail {
    /// Which.
    #[serde(flatten)]
    pub rollout: RolloutBody,
    /// By wave and id.
    pub sites: Vec<RolloutSiteBody>,
}

/// One of its sites.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RolloutSiteBody {
    /// Which.
    pub site_id: String,
    /// In which wave, from 0.
    pub wave: u64,
    /// Whether it is connected.
    pub is_online: bool,
    /// `waiting`, `told`, `dark`, `too_old`, `left`, `downloading`, `starting`, `on_trial`, `verified`, `rolled_back` or `refused`.
    pub standing: String,
    /// The same for a person, with how much of the file is there or why it failed; may be empty.
    pub words: String,
    /// How much of the file it has, in bytes.
    pub have_bytes: u64,
    /// Since when it stands so.
    pub changed_at_ms: i64,
}

/// A rollout to start.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutNew {
    /// Which version.
    pub version: String,
    /// Shares of the sites in per cent, growing to 100; absent for 1, 10, 100.
    #[serde(default)]
    pub waves: Option<Vec<u8>>,
    /// How long each wave is watched, in seconds, 30 days at most; absent for a day.
    #[serde(default)]
    pub soak_seconds: Option<u64>,
    /// These sites alone; absent for all.
    #[serde(default)]
    pub sites: Option<Vec<String>>,
}

/// What is to become of a rollout.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutChange {
    /// `paused`: no further wave begins, and sites that were told go on. `running`: it goes on. `stopped`: it ends; sites that
    /// run the version keep it, the others stay as they are.
    pub standing: String,
}

/// How many.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// 1 to 200; absent for 20.
    limit: Option<u32>,
}

impl From<&Release> for ReleaseBody {
    fn from(release: &Release) -> Self {
        let manifest = &release.manifest;
        Self {
            version: manifest.version.to_string(),
            target: manifest.target.clone(),
            file_bytes: manifest.file_bytes,
            file_sha256: manifest.file_sha256.to_string(),
            binary_bytes: manifest.binary_bytes,
            signed_at_ms: manifest.created_at_ms,
            added_at_ms: at_ms(release.added_at),
            oldest_version: manifest.oldest_version.to_string(),
            allow_downgrade: manifest.allow_downgrade,
        }
    }
}

impl From<&Rollout> for RolloutBody {
    fn from(rollout: &Rollout) -> Self {
        Self {
            number: rollout.number,
            version: rollout.version.clone(),
            standing: rollout.standing.as_str().to_owned(),
            why: rollout.why.clone(),
            waves: rollout.waves.clone(),
            wave: wave_number(rollout.wave),
            wave_began_at_ms: at_ms(rollout.wave_began_at),
            soak_seconds: rollout.soak.as_secs(),
            started_by: rollout.started_by.clone(),
            started_at_ms: at_ms(rollout.started_at),
        }
    }
}

fn wave_number(wave: usize) -> u64 {
    u64::try_from(wave).unwrap_or(u64::MAX)
}

/// A rollout with its sites, as it is in the database now.
async fn detail(
    connection: &mut Connection,
    rollout: &Rollout,
    now: tawi_shared::UnixMillis,
) -> Result<(RolloutDetail, Vec<RolloutSite>), sqlx::Error> {
    let releases = store::releases_of(connection, &rollout.version).await?;
    let sites = store::rollout_sites(connection, rollout.number).await?;
    let body = |site: &RolloutSite| RolloutSiteBody {
        site_id: site.site.to_string(),
        wave: wave_number(site.wave),
        is_online: site.is_online,
        standing: Stand::of(rollout, site).as_str().to_owned(),
        words: SiteWords::of(rollout, site, &releases, now).words,
        have_bytes: site.have_bytes,
        changed_at_ms: at_ms(site.changed_at),
    };
    let detail = RolloutDetail { rollout: rollout.into(), sites: sites.iter().map(body).collect() };
    Ok((detail, sites))
}

/// Has sites told, and open pages read again.
pub(super) fn tell(live: &Live, sites: Vec<RolloutSite>) {
    live.ring_outbox();
    sites.into_iter().for_each(|site| live.tell(Hint::Site(site.site)));
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/releases", get(list_releases)),
        Route::new("GET", "/api/rollouts", get(list)),
        Route::new("POST", "/api/rollouts", post(start)),
        Route::new("GET", "/api/rollouts/{number}", get(get_one)),
        Route::new("POST", "/api/rollouts/{number}/standing", post(change)),
    ]
}

/// The releases of the agent that are here. `tawi-controller release add` takes one in.
#[utoipa::path(
    get, path = "/api/releases", tag = "upgrades",
    responses((status = 200, body = ReleaseList), (status = 401, body = Problem)),
)]
pub(crate) async fn list_releases(
    caller: Caller,
    State(web): State<Web>,
) -> Result<Json<ReleaseList>, ApiError> {
    caller.require(Permission::Read)?;
    let releases = store::releases(&mut *reader(&web).await?).await?;
    let release_key = web.controller.releases.key().map(ReleaseKey::to_text);
    Ok(Json(ReleaseList { release_key, releases: releases.iter().map(ReleaseBody::from).collect() }))
}

/// Rollouts, the newest first.
#[utoipa::path(
    get, path = "/api/rollouts", tag = "upgrades", params(Wanted),
    responses(
        (status = 200, body = RolloutList), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 422, body = Problem),
    ),
)]
pub(crate) async fn list(
    caller: Caller,
    State(web): State<Web>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<Json<RolloutList>, ApiError> {
    caller.require(Permission::Read)?;
    let limit = wanted.limit.unwrap_or(LISTED);
    if !(1..=LISTED_MOST).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("use 1 to {LISTED_MOST}")));
    }
    let rollouts = store::rollouts(&mut *reader(&web).await?, limit).await?;
    Ok(Json(RolloutList { rollouts: rollouts.iter().map(RolloutBody::from).collect() }))
}

/// A rollout, and how each of its sites stands.
#[utoipa::path(
    get, path = "/api/rollouts/{number}", tag = "upgrades", params(("number" = String, Path)),
    responses((status = 200, body = RolloutDetail), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(crate) async fn get_one(
    caller: Caller,
    State(web): State<Web>,
    Path(number): Path<String>,
) -> Result<Json<RolloutDetail>, ApiError> {
    caller.require(Permission::Read)?;
    let number = number.parse().map_err(|_| missing())?;
    let mut reader = reader(&web).await?;
    let rollout = store::rollout(&mut reader, number).await?.ok_or_else(missing)?;
    Ok(Json(detail(&mut reader, &rollout, web.controller.clock.now()).await?.0))
}

/// Brings a version to the sites, wave by wave. It stops by itself when a site of the first wave fails, or more than 2 % later.
#[utoipa::path(
    post, path = "/api/rollouts", tag = "upgrades", request_body = RolloutNew,
    params(("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters")),
    responses(
        (status = 201, description = "It has begun", body = RolloutDetail),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, description = "There is no such release, or no such site", body = Problem),
        (status = 409, description = "Another one is not over, or there are no sites: see `code`", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn start(State(web): State<Web>, write: Write) -> Result<Response, ApiError> {
    let new: RolloutNew = write.read()?;
    let sites =
        new.sites.map(|sites| sites.iter().map(|id| SiteId::parse(id)).collect::<Result<Vec<_>, _>>());
    let sites = sites.transpose().map_err(|_| no_such_site())?;
    let new = NewRollout {
        version: new.version,
        waves: new.waves.unwrap_or_else(|| WAVES.to_vec()),
        soak: Duration::from_secs(new.soak_seconds.unwrap_or(SOAK_SECONDS)),
        sites,
    };
    let mut once = match write.begin(&web, Permission::UpgradeAgents).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    let conflict =
        |code, message: String, cure: &str| Err(ApiError::new(StatusCode::CONFLICT, code, message, cure));
    let rollout = match rollout::start(once.connection(), new, (&actor, &ids), now).await? {
        Started::Started(rollout) => rollout,
        Started::NoSuchRelease => return Err(ApiError::not_found("release", "GET /api/releases lists them")),
        Started::NoSuchSite(_) => return Err(no_such_site()),
        Started::BadWaves => {
            let words = "use up to 8 growing shares that end with 100, and at most 2592000 soak_seconds";
            return Err(ApiError::invalid("waves", words));
        }
        Started::AnotherRuns(number) => {
            let cure = "wait for it, or POST {\"standing\": \"stopped\"} to its standing";
            return conflict("another_runs", format!("rollout {number} is not over"), cure);
        }
        Started::NoSites => return conflict("no_sites", "there are no sites".to_owned(), "add one first"),
    };
    let (body, sites) = detail(once.connection(), &rollout, now).await?;
    let live = web.controller.live.clone();
    once.answer_and_tell(StatusCode::CREATED, &body, move || tell(&live, sites)).await
}

/// Has a rollout wait, go on or end. Only the newest one can be.
#[utoipa::path(
    post, path = "/api/rollouts/{number}/standing", tag = "upgrades", request_body = RolloutChange,
    params(
        ("number" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, body = RolloutDetail), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, description = "It is over, or stands so already", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn change(
    State(web): State<Web>,
    Path(number): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let wanted: RolloutChange = write.read()?;
    let number: u64 = number.parse().map_err(|_| missing())?;
    let to = Standing::parse(&wanted.standing).filter(|to| *to != Standing::Done);
    let to = to.ok_or_else(|| ApiError::invalid("standing", "use paused, running or stopped"))?;
    let mut once = match write.begin(&web, permission_of(to)).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    store::rollout(once.connection(), number).await?.ok_or_else(missing)?;
    let Some(rollout) = rollout::change(once.connection(), (number, to), (&actor, &ids), now).await? else {
        let (message, cure) =
            ("that cannot be done to it as it stands", "GET /api/rollouts/{number}, and look");
        return Err(ApiError::new(StatusCode::CONFLICT, "not_so", message, cure));
    };
    let (body, sites) = detail(once.connection(), &rollout, now).await?;
    let live = web.controller.live.clone();
    once.answer_and_tell(StatusCode::OK, &body, move || tell(&live, sites)).await
}

/// Whoever is at the desk may have it wait or end, at night too; that it goes on is its owner's to say.
pub(super) fn permission_of(to: Standing) -> Permission {
    match to {
        Standing::Paused | Standing::Stopped => Permission::CommandRouters,
        Standing::Running | Standing::Done => Permission::UpgradeAgents,
    }
}

fn missing() -> ApiError {
    ApiError::not_found("rollout", "GET /api/rollouts lists them")
}

fn no_such_site() -> ApiError {
    ApiError::not_found("site that is in use", "GET /api/sites lists them")
}
