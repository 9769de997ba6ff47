//! Commands for programs: order one, and read what became of it.
//!
//! What a role may order is what it may on pages. Rows are taken over on a page alone, because a person confirms a preview
//! there; their commands are read here like all others. What a guard holds is `held_plans::api`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tawi_shared::wire::{CommandKind, Service};
use utoipa::{IntoParams, ToSchema};

use super::{Command, LASTS, NewCommand, Ordered, answers, remote};
use crate::ids::{LineId, SiteId};
use crate::live::Hint;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, ApiQuery, Begun, Caller, Problem, Route, Write, at_ms, reader};
use crate::{sites, subscriptions};

/// Commands in one answer, at most.
const LISTED_MOST: u32 = 200;
const LISTED: u32 = 50;

/// A command and where it stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CommandBody {
    /// Id.
    pub id: String,
    /// Of which site.
    pub site_id: String,
    /// `kick`, `rebuild`, `release_held`, `list_foreign`, `adopt`, `doctor`, `diagnostics`, `set_log_level`, `watch`, or `unknown` for one of another release.
    pub kind: String,
    /// On which router; empty where the agent itself is asked.
    pub router_name: String,
    /// For which subscription; null where it concerns none.
    pub subscription_id: Option<String>,
    /// The digest of the held plan, the name of the row on the router, the level of the log, or seconds; empty for none.
    pub argument: String,
    /// The service of that row; null where it concerns none.
    pub service_name: Option<String>,
    /// Who ordered it.
    pub ordered_by: String,
    /// When.
    pub created_at_ms: i64,
    /// Until when the site may begin it.
    pub not_after_ms: i64,
    /// `queued`, `executing`, `succeeded`, `failed` or `expired`.
    pub standing: String,
    /// Since when.
    pub standing_at_ms: i64,
    /// The agent's words; empty for none.
    pub detail: String,
}

/// Commands of a site.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CommandList {
    /// Newest first.
    pub commands: Vec<CommandBody>,
}

/// A command to give.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandNew {
    /// `kick` ends the sessions of a subscription; `rebuild` makes everything anew on a router; `release_held` lets go what
    /// the guard of a router holds; `list_foreign` reads the rows that others made on a router. Of the agent itself: `doctor`
    /// looks at everything, `diagnostics` gathers what helps to understand the site, `set_log_level` logs more or less until a
    /// restart and for a day at most, `watch` tells every few seconds how the agent stands.
    pub kind: String,
    /// For `kick`: whose sessions.
    #[serde(default)]
    pub subscription_id: Option<String>,
    /// For all others: at which site.
    #[serde(default)]
    pub site_id: Option<String>,
    /// For what concerns a router: which, by its name.
    #[serde(default)]
    pub router_name: Option<String>,
    /// For `release_held`: the digest of what you have seen, from `GET /api/held-plans`. Exactly its lines lose access.
    #[serde(default)]
    pub digest: Option<String>,
    /// For `set_log_level`: `error`, `warn`, `info` or `debug`.
    #[serde(default)]
    pub log_level: Option<String>,
    /// For `watch`: how long, 5 to 300.
    #[serde(default)]
    pub seconds: Option<u32>,
}

/// What a site answered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CommandAnswer {
    /// The command that asked.
    pub command_id: String,
    /// As the agent made it: the JSON of `tawi-agent doctor --json`, the diagnostics, or how it stands.
    #[schema(value_type = Object)]
    pub answer: serde_json::Value,
}

/// Which commands, and how many.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// A site's id.
    site: String,
    /// 1 to 200; absent for 50.
    limit: Option<u32>,
}

impl From<&Command> for CommandBody {
    fn from(command: &Command) -> Self {
        Self {
            id: command.id.to_string(),
            site_id: command.site.to_string(),
            kind: command.kind.map_or("unknown", word_of).to_owned(),
            router_name: command.router.clone(),
            subscription_id: command.line.as_ref().map(ToString::to_string),
            argument: command.argument.clone(),
            service_name: Service::from_code(command.service).map(|service| service.as_str().to_owned()),
            ordered_by: command.actor.clone(),
            created_at_ms: at_ms(command.created_at),
            not_after_ms: at_ms(command.not_after),
            standing: command.standing.as_str().to_owned(),
            standing_at_ms: at_ms(command.standing_at),
            detail: command.detail.clone(),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/commands", get(list)),
        Route::new("POST", "/api/commands", post(give)),
        Route::new("GET", "/api/commands/{id}", get(get_one)),
        Route::new("GET", "/api/commands/{id}/answer", get(get_answer)),
    ]
}

/// The newest commands of a site.
#[utoipa::path(
    get, path = "/api/commands", tag = "commands", params(Wanted),
    responses(
        (status = 200, body = CommandList), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn list(
    caller: Caller,
    State(web): State<Web>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<Json<CommandList>, ApiError> {
    caller.require(Permission::Read)?;
    let limit = wanted.limit.unwrap_or(LISTED);
    if !(1..=LISTED_MOST).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("use 1 to {LISTED_MOST}")));
    }
    let missing = || ApiError::not_found("site", "GET /api/sites lists them");
    let site = SiteId::parse(&wanted.site).map_err(|_| missing())?;
    let mut reader = reader(&web).await?;
    sites::get(&mut reader, &site).await?.ok_or_else(missing)?;
    let commands = super::latest_of(&mut reader, &site, limit).await?;
    Ok(Json(CommandList { commands: commands.iter().map(CommandBody::from).collect() }))
}

/// One command, and where it stands.
#[utoipa::path(
    get, path = "/api/commands/{id}", tag = "commands", params(("id" = String, Path)),
    responses((status = 200, body = CommandBody), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(crate) async fn get_one(
    caller: Caller,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<CommandBody>, ApiError> {
    caller.require(Permission::Read)?;
    let command = super::get(&mut *reader(&web).await?, &id).await?;
    let missing = || {
        ApiError::not_found("command", "use the id from the answer to the order; they are kept for 90 days")
    };
    Ok(Json(CommandBody::from(&command.ok_or_else(missing)?)))
}

/// What a site answered to `doctor`, `diagnostics` or `watch`; kept for a week.
#[utoipa::path(
    get, path = "/api/commands/{id}/answer", tag = "commands", params(("id" = String, Path)),
    responses(
        (status = 200, description = "As a file for whoever wants one", body = CommandAnswer),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, description = "There is no such command, or its answer has not come whole", body = Problem),
    ),
)]
pub(crate) async fn get_answer(
    caller: Caller,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    caller.require(Permission::CommandRouters)?;
    let missing = || {
        ApiError::not_found("answer", "GET /api/commands/{id} until it is done; answers are kept for a week")
    };
    let mut reader = reader(&web).await?;
    let command = super::get(&mut reader, &id).await?.ok_or_else(missing)?;
    let text = answers::of(&mut reader, &command.id).await?.ok_or_else(missing)?;
    let answer = serde_json::from_str(&text).map_err(|_| missing())?;
    let headers = [
        (header::CONTENT_DISPOSITION, answers::disposition(&command)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Json(CommandAnswer { command_id: command.id.to_string(), answer })).into_response())
}

/// Orders something of a router or of the agent itself once: end a subscription's sessions, rebuild the router, let go what
/// its guard holds, read the rows that others made, have the doctor look. The site is told at once, or when it is heard again within fifteen minutes; read the
/// command to see what became of it.
#[utoipa::path(
    post, path = "/api/commands", tag = "commands", request_body = CommandNew,
    params(("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters")),
    responses(
        (status = 201, description = "It is queued", body = CommandBody),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "The site is revoked, or its guard holds nothing or something else: see `code`",
            body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn give(State(web): State<Web>, write: Write) -> Result<Response, ApiError> {
    let new: CommandNew = write.read()?;
    // Rows are taken over on a page alone.
    let may_be_given = |kind: &&CommandKind| **kind != CommandKind::Adopt && word_of(**kind) == new.kind;
    let kind = CommandKind::ALL.iter().find(may_be_given).copied().ok_or_else(|| {
        let words =
            "use kick, rebuild, release_held, list_foreign, doctor, diagnostics, set_log_level or watch";
        ApiError::invalid("kind", words)
    })?;
    let permission = match kind {
        CommandKind::ListForeign => Permission::TakeOver,
        _ => Permission::CommandRouters,
    };
    let mut once = match write.begin(&web, permission).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    let (site, router, line) = match kind {
        CommandKind::Kick => {
            let id = wanted("subscription_id", new.subscription_id.as_deref())?;
            let missing =
                || ApiError::not_found("subscription", "GET /api/customers/{id} lists a customer's");
            let id = LineId::parse(id).map_err(|_| missing())?;
            let line = subscriptions::get(once.connection(), &id).await?.ok_or_else(missing)?;
            (line.site, line.router_name, Some(id))
        }
        _ => {
            let site = wanted("site_id", new.site_id.as_deref())?;
            let site = SiteId::parse(site).map_err(|_| no_such_router())?;
            let router = match kind.is_of_site() {
                true => "",
                false => wanted("router_name", new.router_name.as_deref())?,
            };
            (site, router.to_owned(), None)
        }
    };
    let argument = match kind {
        CommandKind::ReleaseHeld => wanted("digest", new.digest.as_deref())?.to_owned(),
        CommandKind::SetLogLevel => {
            let level = wanted("log_level", new.log_level.as_deref())?;
            let words = "use error, warn, info or debug";
            remote::level(level).ok_or_else(|| ApiError::invalid("log_level", words))?.to_owned()
        }
        CommandKind::Watch => {
            let words = "use 5 to 300";
            let seconds = new.seconds.and_then(remote::seconds);
            seconds.ok_or_else(|| ApiError::invalid("seconds", words))?.to_string()
        }
        _ => String::new(),
    };
    let new = NewCommand { site, kind, router, line, argument, service: None, lasts: LASTS };
    let ordered = super::order(once.connection(), new, &actor, &ids, now).await?;
    let conflict =
        |code, message: &str, cure: &str| Err(ApiError::new(StatusCode::CONFLICT, code, message, cure));
    let command = match ordered {
        Ordered::Queued { command, .. } => command,
        Ordered::NoSuchRouter => return Err(no_such_router()),
        Ordered::SiteRevoked => {
            return conflict(
                "site_revoked",
                "the site is revoked",
                "order nothing there: its agent is refused",
            );
        }
        Ordered::NothingHeld => {
            return conflict(
                "nothing_held",
                "the guard of that router holds nothing",
                "nothing is to be done",
            );
        }
        Ordered::HeldChanged => {
            return conflict(
                "held_plan_changed",
                "the guard of that router holds something else than you have seen",
                "GET /api/held-plans, look again, and send the new digest",
            );
        }
    };
    let (body, live) = (CommandBody::from(&command), web.controller.live.clone());
    let tell = move || {
        live.ring_outbox();
        live.tell(Hint::Site(command.site));
    };
    once.answer_and_tell(StatusCode::CREATED, &body, tell).await
}

/// The word for a kind in the API.
fn word_of(kind: CommandKind) -> &'static str {
    match kind {
        CommandKind::ReleaseHeld => "release_held",
        CommandKind::Kick => "kick",
        CommandKind::Rebuild => "rebuild",
        CommandKind::ListForeign => "list_foreign",
        CommandKind::Adopt => "adopt",
        CommandKind::Doctor => "doctor",
        CommandKind::Diagnostics => "diagnostics",
        CommandKind::SetLogLevel => "set_log_level",
        CommandKind::Watch => "watch",
    }
}

fn wanted<'a>(field: &str, value: Option<&'a str>) -> Result<&'a str, ApiError> {
    value
        .filter(|text| !text.is_empty())
        .ok_or_else(|| ApiError::invalid(field, "this kind of command needs it"))
}

fn no_such_router() -> ApiError {
    ApiError::not_found("router of that site", "GET /api/routers lists them")
}
