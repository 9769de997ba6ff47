//! Sites and routers for programs.

use std::fmt;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::enrolment::{self, AddedSite, NewTicket, Ticketed};
use super::router_trouble::trouble_of;
use super::{AddedRouter, Event, NewSite, Router, Site};
use crate::audit::Action;
use crate::backhaul;
use crate::backhaul::view::BackhaulBody;
use crate::ids::SiteId;
use crate::live::Hint;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Begun, Caller, Once, Problem, Route, Write, at_ms, reader};

/// Events in one answer.
const EVENTS: u32 = 100;

/// A site and the link to its agent.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SiteBody {
    /// Id, such as `nyeri-01`.
    pub id: String,
    /// Name.
    pub name: String,
    /// Whether its agent is connected.
    pub is_online: bool,
    /// Since when it is so.
    pub online_changed_at_ms: Option<i64>,
    /// When the agent last said anything.
    pub last_seen_at_ms: Option<i64>,
    /// The agent's release; empty before its first word.
    pub agent_version: String,
    /// The newest generation of desired state.
    pub generation: u64,
    /// The newest that is safe on the agent's flash.
    pub stored_generation: u64,
    /// The newest that was read back from all routers.
    pub applied_generation: u64,
    /// When that was.
    pub applied_at_ms: Option<i64>,
    /// Lines that are not on their router as they should be.
    pub failures_total: u64,
    /// When it was added.
    pub created_at_ms: i64,
    /// From when its agent is refused and nothing is sold there; null for a site that is in use.
    pub revoked_at_ms: Option<i64>,
}

/// All sites.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SiteList {
    /// By name.
    pub sites: Vec<SiteBody>,
}

/// A site with its routers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SiteDetail {
    /// Which.
    #[serde(flatten)]
    pub site: SiteBody,
    /// Its routers.
    pub routers: Vec<RouterBody>,
    /// What its line to head office carries; null before its agent said so.
    pub backhaul: Option<BackhaulBody>,
}

/// A router.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RouterBody {
    /// Id.
    pub id: String,
    /// At which site.
    pub site_id: String,
    /// The name that the agent's own settings use too.
    pub name: String,
    /// Whether the agent reaches it.
    pub is_reachable: bool,
    /// Since when it is so.
    pub reachable_changed_at_ms: Option<i64>,
    /// RouterOS release; empty before the agent reached it.
    pub release: String,
    /// Why the agent cannot work with it, in one of a fixed number of sentences; absent while it can.
    pub trouble: Option<String>,
    /// What to do about that.
    pub cure: Option<String>,
}

/// All routers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RouterList {
    /// By site and name.
    pub routers: Vec<RouterBody>,
}

/// A router to add.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouterNew {
    /// At which site.
    pub site_id: String,
    /// As in the agent's own settings.
    pub name: String,
}

/// A site to add.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteNew {
    /// Its id: a-z, 0-9 and dashes, such as `nyeri-01`.
    pub id: String,
    /// Its name; the id when empty.
    #[serde(default)]
    pub name: String,
}

/// A ticket by which one device becomes a site.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TicketBody {
    /// Which site.
    pub site_id: String,
    /// The ticket: good once. Null when the request is repeated under the same key, since it is kept nowhere: ask for a new one.
    pub ticket: Option<String>,
    /// What is pasted at the site; null like the ticket.
    pub line_to_paste: Option<String>,
    /// From when it is refused.
    pub expires_at_ms: i64,
    /// Where the site will reach this controller.
    pub addresses: Vec<String>,
}

impl fmt::Debug for TicketBody {
    /// Without the ticket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketBody").field("site_id", &self.site_id).finish_non_exhaustive()
    }
}

impl TicketBody {
    fn of(ticket: &NewTicket) -> Self {
        Self {
            site_id: ticket.site.to_string(),
            ticket: Some(ticket.expose().to_owned()),
            line_to_paste: Some(ticket.line_to_paste()),
            expires_at_ms: at_ms(ticket.expires_at),
            addresses: ticket.addresses.clone(),
        }
    }

    fn without_secret(&self) -> Self {
        Self { ticket: None, line_to_paste: None, ..self.clone() }
    }
}

/// Something that an agent reported.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventBody {
    /// When, by the agent's clock.
    pub at_ms: i64,
    /// When it arrived here.
    pub received_at_ms: i64,
    /// A word for what happened; `unknown` for one from a newer agent.
    pub kind: String,
    /// Which subscription it is about.
    pub subscription_id: Option<String>,
    /// Which router it is about.
    pub router_name: Option<String>,
    /// For people.
    pub detail: String,
}

/// What an agent reported.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    /// Newest first, at most 100.
    pub events: Vec<EventBody>,
}

impl From<&Site> for SiteBody {
    fn from(site: &Site) -> Self {
        Self {
            id: site.id.to_string(),
            name: site.name.clone(),
            is_online: site.presence.is_online,
            online_changed_at_ms: site.presence.changed_at.map(at_ms),
            last_seen_at_ms: site.presence.last_seen_at.map(at_ms),
            agent_version: site.agent_version.clone(),
            generation: site.generation,
            stored_generation: site.stored_generation,
            applied_generation: site.applied_generation,
            applied_at_ms: site.applied_at.map(at_ms),
            failures_total: site.failures_total,
            created_at_ms: at_ms(site.created_at),
            revoked_at_ms: site.revoked_at.map(at_ms),
        }
    }
}

impl From<&Router> for RouterBody {
    fn from(router: &Router) -> Self {
        Self {
            id: router.id.to_string(),
            site_id: router.site.to_string(),
            name: router.name.clone(),
            is_reachable: router.is_reachable,
            reachable_changed_at_ms: router.reachable_changed_at.map(at_ms),
            release: router.release.clone(),
            trouble: trouble_of(router.trouble).map(|trouble| trouble.what.to_owned()),
            cure: trouble_of(router.trouble).map(|trouble| trouble.cure.to_owned()),
        }
    }
}

impl From<&Event> for EventBody {
    fn from(event: &Event) -> Self {
        Self {
            at_ms: at_ms(event.at),
            received_at_ms: at_ms(event.received_at),
            kind: event.kind.map_or("unknown", |kind| kind.as_str()).to_owned(),
            subscription_id: event.line.as_ref().map(ToString::to_string),
            router_name: event.router.clone(),
            detail: event.detail.clone(),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/sites", get(list)),
        Route::new("POST", "/api/sites", post(add)),
        Route::new("POST", "/api/sites/{id}/tickets", post(make_ticket)),
        Route::new("POST", "/api/sites/{id}/revoke", post(revoke)),
        Route::new("GET", "/api/sites/{id}", get(get_one)),
        Route::new("GET", "/api/sites/{id}/events", get(events)),
        Route::new("GET", "/api/routers", get(list_routers)),
        Route::new("POST", "/api/routers", post(add_router)),
    ]
}

/// All sites.
#[utoipa::path(
    get, path = "/api/sites", tag = "sites",
    responses((status = 200, body = SiteList), (status = 401, body = Problem)),
)]
pub(crate) async fn list(caller: Caller, State(web): State<Web>) -> Result<Json<SiteList>, ApiError> {
    caller.require(Permission::Read)?;
    let sites = super::list(&mut *reader(&web).await?).await?;
    Ok(Json(SiteList { sites: sites.iter().map(SiteBody::from).collect() }))
}

/// One site with its routers.
#[utoipa::path(
    get, path = "/api/sites/{id}", tag = "sites", params(("id" = String, Path)),
    responses((status = 200, body = SiteDetail), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(crate) async fn get_one(
    caller: Caller,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<SiteDetail>, ApiError> {
    caller.require(Permission::Read)?;
    let id = SiteId::parse(&id).map_err(|_| missing())?;
    let mut reader = reader(&web).await?;
    let site = super::get(&mut reader, &id).await?.ok_or_else(missing)?;
    let routers = super::routers_of(&mut reader, &id).await?;
    let backhaul = backhaul::of_site(&mut reader, &id).await?;
    Ok(Json(SiteDetail {
        site: (&site).into(),
        routers: routers.iter().map(RouterBody::from).collect(),
        backhaul: backhaul.as_ref().map(BackhaulBody::from),
    }))
}

/// Adds a site with its first ticket.
#[utoipa::path(
    post, path = "/api/sites", tag = "sites", request_body = SiteNew,
    params(("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters")),
    responses(
        (status = 201, body = TicketBody), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem),
        (status = 503, body = Problem),
    ),
)]
pub(crate) async fn add(State(web): State<Web>, write: Write) -> Result<Response, ApiError> {
    let new: SiteNew = write.read()?;
    let id = SiteId::parse(&new.id).map_err(|error| ApiError::invalid("id", error.to_string()))?;
    let mut once = match write.begin(&web, Permission::AddSites).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let tickets = web.tickets.as_ref().ok_or_else(no_authority)?;
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    let site = NewSite { id: id.clone(), name: new.name.clone() };
    match enrolment::add(once.connection(), tickets, site, &actor, (&ids, now)).await? {
        AddedSite::Added(ticket) => {
            once.audit(Action::SiteAdded, id.as_str(), &new.name).await?;
            hand_out(&web, once, &ticket).await
        }
        AddedSite::AlreadyThere => Err(ApiError::new(
            StatusCode::CONFLICT,
            "taken",
            "there is a site of that id already",
            "choose another id, or POST /api/sites/{id}/tickets for a new ticket",
        )),
        AddedSite::BadName => Err(ApiError::invalid("name", "use at most 80 characters on one line")),
    }
}

/// Makes a new ticket for a site: its device broke or was flashed anew, or the site was revoked. What its device has is good
/// until another one comes with the ticket.
#[utoipa::path(
    post, path = "/api/sites/{id}/tickets", tag = "sites",
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 201, body = TicketBody), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem),
    ),
)]
pub(crate) async fn make_ticket(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let id = SiteId::parse(&id).map_err(|_| missing())?;
    let mut once = match write.begin(&web, Permission::AddSites).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let tickets = web.tickets.as_ref().ok_or_else(no_authority)?;
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    match enrolment::make_ticket(once.connection(), tickets, &id, &actor, (&ids, now)).await? {
        Ticketed::Made(ticket) => hand_out(&web, once, &ticket).await,
        Ticketed::NoSuchSite => Err(missing()),
    }
}

/// Shuts a site out: its device was stolen, or the site is no more. Its connection ends at once, and what waits for it is not told.
/// Its customers and their payments stay; a new ticket brings it back.
#[utoipa::path(
    post, path = "/api/sites/{id}/revoke", tag = "sites",
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, body = SiteBody), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn revoke(
    State(web): State<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let id = SiteId::parse(&id).map_err(|_| missing())?;
    let mut once = match write.begin(&web, Permission::AddSites).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now, actor) = (once.ids.clone(), once.now, write.caller.actor());
    let is_done = super::revoke(once.connection(), &id, &actor, (&ids, now)).await?;
    let site = super::get(once.connection(), &id).await?.ok_or_else(missing)?;
    if !is_done {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "revoked",
            "the site is revoked already",
            "POST /api/sites/{id}/tickets makes a ticket that brings it back",
        ));
    }
    let live = web.controller.live.clone();
    once.answer_and_tell(StatusCode::OK, &SiteBody::from(&site), move || super::tell_revoked(&live, &id))
        .await
}

async fn hand_out(web: &Web, mut once: Once, ticket: &NewTicket) -> Result<Response, ApiError> {
    once.audit(Action::SiteTokenMade, ticket.site.as_str(), "").await?;
    let (live, site) = (web.controller.live.clone(), ticket.site.clone());
    let body = TicketBody::of(ticket);
    let kept = body.without_secret();
    once.answer_keeping(StatusCode::CREATED, (&body, &kept), move || live.tell(Hint::Site(site))).await
}

fn no_authority() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "no_authority",
        "this process has no certificate authority",
        "ask the controller that serves the sites",
    )
}

/// What a site's agent reported lately.
#[utoipa::path(
    get, path = "/api/sites/{id}/events", tag = "sites", params(("id" = String, Path)),
    responses((status = 200, body = EventList), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(crate) async fn events(
    caller: Caller,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<EventList>, ApiError> {
    caller.require(Permission::Read)?;
    let id = SiteId::parse(&id).map_err(|_| missing())?;
    let mut reader = reader(&web).await?;
    super::get(&mut reader, &id).await?.ok_or_else(missing)?;
    let events = super::events_of(&mut reader, &id, EVENTS).await?;
    Ok(Json(EventList { events: events.iter().map(EventBody::from).collect() }))
}

/// All routers.
#[utoipa::path(
    get, path = "/api/routers", tag = "sites",
    responses((status = 200, body = RouterList), (status = 401, body = Problem)),
)]
pub(crate) async fn list_routers(
    caller: Caller,
    State(web): State<Web>,
) -> Result<Json<RouterList>, ApiError> {
    caller.require(Permission::Read)?;
    let routers = super::all_routers(&mut *reader(&web).await?).await?;
    Ok(Json(RouterList { routers: routers.iter().map(RouterBody::from).collect() }))
}

/// Adds a router to a site. One that is there already is answered as it is.
#[utoipa::path(
    post, path = "/api/routers", tag = "sites", request_body = RouterNew,
    params(("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters")),
    responses(
        (status = 200, description = "It was there", body = RouterBody), (status = 201, body = RouterBody),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn add_router(State(web): State<Web>, write: Write) -> Result<Response, ApiError> {
    let new: RouterNew = write.read()?;
    let no_site = || ApiError::invalid("site_id", "there is no such site");
    let site = SiteId::parse(&new.site_id).map_err(|_| no_site())?;
    let mut once = match write.begin(&web, Permission::AddRouters).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now) = (once.ids.clone(), once.now);
    let (status, router) = match super::add_router(once.connection(), &site, &new.name, &ids, now).await? {
        AddedRouter::Added(router) => (StatusCode::CREATED, router),
        AddedRouter::AlreadyThere(router) => (StatusCode::OK, router),
        AddedRouter::NoSuchSite => return Err(no_site()),
        AddedRouter::SiteRevoked => return Err(ApiError::invalid("site_id", "the site is revoked")),
        AddedRouter::BadName => {
            return Err(ApiError::invalid("name", "use the name in the agent's settings"));
        }
    };
    if status == StatusCode::OK {
        return once.answer(status, &RouterBody::from(&router)).await;
    }
    once.audit(Action::RouterAdded, router.id.as_str(), &router.name).await?;
    let live = web.controller.live.clone();
    once.answer_and_tell(status, &RouterBody::from(&router), move || live.tell(Hint::Site(site))).await
}

fn missing() -> ApiError {
    ApiError::not_found("site", "GET /api/sites lists them")
}
