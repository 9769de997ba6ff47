//! Settings of sites for programs: what is set, what the site took of it, and changes.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tawi_shared::UnixMillis;
use tawi_shared::wire::Setting;
use utoipa::ToSchema;

use super::{Changed, SiteSettings, Wanted};
use crate::ids::SiteId;
use crate::live::Hint;
use crate::plain::line_of;
use crate::sites;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Begun, Caller, Problem, Route, Write, at_ms, reader};

/// The longest name of a setting that an answer repeats, in characters: ours have 18.
const NAME_CHARACTERS: usize = 40;

/// What is set for a site.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SettingsBody {
    /// Which site.
    pub site_id: String,
    /// Grows with each change; 0 before the first.
    pub revision: u64,
    /// Who changed them last.
    pub set_by: Option<String>,
    /// When.
    pub set_at_ms: Option<i64>,
    /// When the agent last said what it took.
    pub heard_at_ms: Option<i64>,
    /// Whether what the agent said last is of this revision.
    pub is_heard: bool,
    /// Whether the device lets head office set anything; null before the agent said so.
    pub is_allowed: Option<bool>,
    /// Whether what it took is on its flash; null before the agent said so.
    pub is_kept: Option<bool>,
    /// Those that are set. For all others what the device itself says stands.
    pub settings: Vec<SettingBody>,
}

/// One value.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SettingBody {
    /// `kilobytes_an_hour`, `report_seconds`, `keep_alive_seconds` or `log_level`.
    pub name: String,
    /// As in the agent's own file.
    pub value: String,
    /// `waiting`, `applied`, `refused` or `not allowed`. A keep-alive is in force from the next connection on.
    pub standing: String,
    /// Why; empty for nothing to say.
    pub detail: String,
}

/// A change of settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsChange {
    /// Values by name, such as `{"kilobytes_an_hour": "50"}`. Others stay as they are.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Names of those that are taken back: what the device itself says stands then.
    #[serde(default)]
    pub unset: Vec<String>,
}

impl SettingsBody {
    /// Of a site.
    #[must_use]
    pub fn of(site: &SiteId, settings: &SiteSettings, now: UnixMillis) -> Self {
        let body = |(setting, value): (&Setting, &String)| {
            let stand = settings.stand(*setting, now);
            SettingBody {
                name: setting.as_str().to_owned(),
                value: value.clone(),
                standing: stand.as_str().to_owned(),
                detail: stand.why(),
            }
        };
        let heard = settings.heard.as_ref();
        Self {
            site_id: site.to_string(),
            revision: settings.revision,
            set_by: settings.set.as_ref().map(|(actor, _)| actor.clone()),
            set_at_ms: settings.set.as_ref().map(|(_, at)| at_ms(*at)),
            heard_at_ms: heard.map(|heard| at_ms(heard.at)),
            is_heard: heard.is_some_and(|heard| heard.revision == settings.revision),
            is_allowed: heard.map(|heard| heard.is_allowed),
            is_kept: heard.map(|heard| heard.is_kept),
            settings: settings.values.iter().map(body).collect(),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/sites/{id}/settings", get(get_one)),
        Route::new("POST", "/api/sites/{id}/settings", post(change)),
    ]
}

/// What head office set of a site's settings, and what the site took of it.
#[utoipa::path(
    get, path = "/api/sites/{id}/settings", tag = "sites", params(("id" = String, Path)),
    responses((status = 200, body = SettingsBody), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(crate) async fn get_one(
    caller: Caller,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<SettingsBody>, ApiError> {
    caller.require(Permission::Read)?;
    let id = SiteId::parse(&id).map_err(|_| missing())?;
    let mut reader = reader(&web).await?;
    sites::get(&mut reader, &id).await?.ok_or_else(missing)?;
    let settings = super::of_site(&mut reader, &id).await?;
    Ok(Json(SettingsBody::of(&id, &settings, web.controller.clock.now())))
}

/// Sets settings of a site's agent, or takes them back. The site is told at once, or when it is heard again; read them again to
/// see what it took.
#[utoipa::path(
    post, path = "/api/sites/{id}/settings", tag = "sites", request_body = SettingsChange,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, body = SettingsBody), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, description = "The site is revoked", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn change(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let change: SettingsChange = write.read()?;
    let wanted = wanted_of(&change)?;
    let id = SiteId::parse(&id).map_err(|_| missing())?;
    let mut once = match write.begin(&web, Permission::CommandRouters).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    let settings = match super::change(once.connection(), &id, &wanted, &actor, (&ids, now)).await? {
        Changed::Changed(settings) | Changed::Unchanged(settings) => settings,
        Changed::NoSuchSite => return Err(missing()),
        Changed::SiteRevoked => {
            let (message, cure) = ("the site is revoked", "set nothing there: its agent is refused");
            return Err(ApiError::new(StatusCode::CONFLICT, "site_revoked", message, cure));
        }
        Changed::BadValue(setting, bad) => {
            return Err(ApiError::invalid(&format!("set.{}", setting.as_str()), bad.to_string()));
        }
    };
    let (body, live) = (SettingsBody::of(&id, &settings, now), web.controller.live.clone());
    let tell = move || {
        live.ring_outbox();
        live.tell(Hint::Site(id));
    };
    once.answer_and_tell(StatusCode::OK, &body, tell).await
}

fn wanted_of(change: &SettingsChange) -> Result<Wanted, ApiError> {
    let setting = |field: &str, name: &str| {
        let shown = line_of(name, NAME_CHARACTERS);
        let unknown = || format!("there is no setting {shown:?}; there are {}", names());
        Setting::parse(name).ok_or_else(|| ApiError::invalid(field, unknown()))
    };
    let mut wanted = Wanted::new();
    for (name, value) in &change.set {
        wanted.insert(setting("set", name)?, Some(value.clone()));
    }
    for name in &change.unset {
        if wanted.insert(setting("unset", name)?, None).is_some() {
            return Err(ApiError::invalid("unset", "name each setting once"));
        }
    }
    if wanted.is_empty() {
        return Err(ApiError::invalid("set", "name a setting, in set or in unset"));
    }
    Ok(wanted)
}

/// All of them, for whoever named another.
pub(crate) fn names() -> String {
    Setting::ALL.iter().map(|setting| setting.as_str()).collect::<Vec<_>>().join(", ")
}

fn missing() -> ApiError {
    ApiError::not_found("site", "GET /api/sites lists them")
}
