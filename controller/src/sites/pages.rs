//! Sites: which are up, and everything about one: its agent, how far the state of its lines has come, its routers,
//! the lines that fail and why, and what it reported.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use tawi_shared::UnixMillis;
use tawi_shared::wire::{FailureKind, Setting};

use super::router_trouble::trouble_of;
use super::{AddedRouter, Event, Router, Site, enrolment};
use crate::audit::Action;
use crate::backhaul;
use crate::backhaul::view::BackhaulView;
use crate::commands;
use crate::commands::pages::CommandView;
use crate::commands::remote::{self, RemoteView};
use crate::customers;
use crate::database::Connection;
use crate::held_plans;
use crate::held_plans::view::HeldView;
use crate::ids::{LineId, SiteId};
use crate::live::Hint;
use crate::releases::pages::SiteUpgrade;
use crate::site_settings::pages::SettingsView;
use crate::site_settings::{SiteSettings, Stand};
use crate::staff::Permission;
use crate::subscriptions::reach::{self, Of, Reach};
use crate::subscriptions::{self, FailingLine};
use crate::web::Web;
use crate::web::display::{self, Badge, Moment};
use crate::web::error::PageError;
use crate::web::form::Fields;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};
use crate::{site_settings, sites};

/// Failing lines on a site's page; the rest is counted.
const FAILING: u32 = 50;
/// Commands on a site's page.
const COMMANDS: u32 = 10;
/// Events on a site's page.
const EVENTS: u32 = 20;

/// A site in a list.
#[derive(Clone, Debug)]
pub(crate) struct SiteView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) badge: Badge,
    /// `since 14:05`; empty before the first connection.
    pub(crate) since: String,
    pub(crate) version: String,
    pub(crate) failures: u64,
    pub(crate) routers: usize,
    pub(crate) routers_reachable: usize,
}

impl SiteView {
    /// `routers` may hold those of other sites too.
    pub(crate) fn of(site: &Site, routers: &[Router], now: UnixMillis) -> Self {
        let ours = || routers.iter().filter(|router| router.site == site.id);
        Self {
            id: site.id.to_string(),
            name: site.name.clone(),
            badge: site_badge(site),
            since: since(site.presence.changed_at, now),
            version: site.agent_version.clone(),
            failures: site.failures_total,
            routers: ours().count(),
            routers_reachable: ours().filter(|router| router.is_reachable).count(),
        }
    }
}

fn site_badge(site: &Site) -> Badge {
    match (site.revoked_at, site.presence.is_online, site.presence.changed_at) {
        (Some(_), ..) => Badge::idle("revoked"),
        (None, true, _) => Badge::good("up"),
        (None, false, Some(_)) => Badge::bad("down"),
        (None, false, None) => Badge::idle("not started"),
    }
}

fn since(at: Option<UnixMillis>, now: UnixMillis) -> String {
    at.map(|at| format!("since {}", Moment::of(at, now).text)).unwrap_or_default()
}

struct RouterView {
    name: String,
    /// Whether another board answers than before, on which nothing is written.
    is_stranger: bool,
    /// Lines listed as waiting for it to be rebuilt.
    waiting: usize,
    release: String,
    badge: Badge,
    since: String,
    /// What rebuilding it would touch.
    reach: String,
    /// Why it cannot be worked with; empty while it can, and while nobody knows.
    trouble: String,
    cure: &'static str,
}

/// How many of these lines wait because the router is another board than before.
fn waiting_for_rebuild(failing: &[FailingLine], router: &str) -> usize {
    let is_waiting = |line: &&FailingLine| {
        line.router_name == router && line.failure.starts_with(FailureKind::AnotherBoard.as_str())
    };
    failing.iter().filter(is_waiting).count()
}

fn router_view(
    router: &Router,
    (reach, waiting): (Reach, usize),
    is_site_up: bool,
    now: UnixMillis,
) -> RouterView {
    let badge = match (router.is_reachable, is_site_up, router.reachable_changed_at) {
        (_, _, None) => Badge::idle("not heard of"),
        (true, true, _) if router.trouble != 0 => Badge::bad("not worked with"),
        (true, true, _) => Badge::good("answers"),
        (false, true, _) => Badge::bad("silent"),
        (_, false, _) => Badge::idle("not known"),
    };
    // While the site is away nobody knows since when.
    let since = if is_site_up { since(router.reachable_changed_at, now) } else { String::new() };
    let trouble = trouble_of(router.trouble).filter(|_| is_site_up);
    RouterView {
        name: router.name.clone(),
        is_stranger: is_site_up && router.is_stranger(),
        waiting,
        release: router.release.clone(),
        badge,
        since,
        reach: reach.to_string(),
        trouble: trouble.map(|trouble| capitalised(trouble.what)).unwrap_or_default(),
        cure: trouble.map_or("", |trouble| trouble.cure),
    }
}

struct EventView {
    what: String,
    /// The line that it concerns, where that is known.
    line: Option<LineName>,
    /// Where it was, or the id of a line that is gone.
    about: String,
    detail: String,
    at: Moment,
    /// Whether that cannot be.
    is_time_doubtful: bool,
}

/// A line as people know it.
#[derive(Clone)]
struct LineName {
    username: String,
    customer: String,
    customer_name: String,
}

/// The lines of some events, by id.
async fn lines_of(
    connection: &mut Connection,
    events: &[Event],
) -> Result<BTreeMap<LineId, LineName>, PageError> {
    let mut names = BTreeMap::new();
    for id in events.iter().filter_map(|event| event.line.as_ref()).collect::<BTreeSet<_>>() {
        let Some(line) = subscriptions::get(connection, id).await? else { continue };
        let customer = customers::get(connection, &line.customer).await?;
        let name = LineName {
            username: line.username.to_string(),
            customer: line.customer.to_string(),
            customer_name: customer.map(|customer| customer.name).unwrap_or_default(),
        };
        names.insert(id.clone(), name);
    }
    Ok(names)
}

fn event_view(event: &Event, names: &BTreeMap<LineId, LineName>, now: UnixMillis) -> EventView {
    let what =
        event.kind.map_or_else(|| format!("event {}", event.kind_code), |kind| kind.as_str().to_owned());
    let line = event.line.as_ref().and_then(|id| names.get(id)).cloned();
    let gone = event.line.as_ref().filter(|_| line.is_none()).map(ToString::to_string);
    let about = gone.or_else(|| event.router.clone());
    EventView {
        what: capitalised(&what),
        line,
        about: about.unwrap_or_default(),
        detail: event.detail.clone(),
        at: Moment::of(event.at, now),
        is_time_doubtful: sites::is_time_doubtful(event.at, event.received_at),
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

#[derive(Template)]
#[template(path = "sites/list.html")]
struct ListPage {
    frame: Frame,
    sites: Vec<SiteView>,
    fields: Fields,
    may_add: bool,
}

#[derive(Template)]
#[template(path = "sites/one.html")]
struct OnePage {
    frame: Frame,
    site: SiteView,
    added: Moment,
    is_up: bool,
    /// Whether the agent cannot work with a router.
    has_trouble: bool,
    is_revoked: bool,
    never_seen: bool,
    since_word: &'static str,
    since: Option<Moment>,
    last_seen: Option<Moment>,
    wanted: u64,
    stored: u64,
    applied: u64,
    stored_tone: &'static str,
    applied_tone: &'static str,
    applied_at: Option<Moment>,
    sync_sentence: String,
    failing: Vec<FailingLine>,
    /// All of them, and none that is held and listed as such.
    failing_total: u64,
    routers: Vec<RouterView>,
    events: Vec<EventView>,
    held: Vec<HeldView>,
    commands: Vec<CommandView>,
    remote: RemoteView,
    settings: SettingsView,
    upgrade: Option<SiteUpgrade>,
    levels: [&'static str; 4],
    backhaul: Option<BackhaulView>,
    fields: Fields,
    may_add_router: bool,
    may_make_ticket: bool,
    may_revoke: bool,
    /// When the certificate of its agent ends.
    certificate_ends: Option<Moment>,
    /// Until when a ticket waits for its device.
    ticket_until: Option<Moment>,
    may_command: bool,
    may_take_over: bool,
}

pub(crate) fn routes() -> axum::Router<Web> {
    axum::Router::new()
        .route("/sites", get(list))
        .route("/sites/{id}", get(one))
        .route("/sites/{id}/routers", post(add_router))
        .route("/sites/{id}/revoke", post(revoke))
        .merge(enrolment::pages::routes())
}

async fn list(visit: Visit, State(web): State<Web>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    show_list(&web, &visit, StatusCode::OK, Fields::default()).await
}

pub(super) async fn show_list(
    web: &Web,
    visit: &Visit,
    status: StatusCode,
    fields: Fields,
) -> Result<Response, PageError> {
    let mut reader = web.controller.database.read().await?;
    let sites = sites::list(&mut reader).await?;
    let routers = sites::all_routers(&mut reader).await?;
    drop(reader);
    let frame = visit.frame("Sites", Section::Sites);
    let sites = sites.iter().map(|site| SiteView::of(site, &routers, visit.now)).collect();
    let may_add = visit.may(Permission::AddSites) && web.tickets.is_some();
    visit.show_as(status, &ListPage { frame, sites, fields, may_add })
}

async fn one(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let id = SiteId::parse(&id).map_err(|_| PageError::NotFound)?;
    web.controller.live.tell(Hint::Watched(id.clone()));
    show(&web, &visit, StatusCode::OK, &id, Fields::default()).await
}

async fn show(
    web: &Web,
    visit: &Visit,
    status: StatusCode,
    id: &SiteId,
    fields: Fields,
) -> Result<Response, PageError> {
    let now = visit.now;
    let mut reader = web.controller.database.read().await?;
    let site = sites::get(&mut reader, id).await?.ok_or(PageError::NotFound)?;
    let routers = sites::routers_of(&mut reader, id).await?;
    let failing = subscriptions::failing_of_site(&mut reader, id, FAILING).await?;
    let events = sites::events_of(&mut reader, id, EVENTS).await?;
    let names = lines_of(&mut reader, &events).await?;
    let mut held = Vec::new();
    for plan in held_plans::list(&mut reader, Some(id)).await? {
        held.push(HeldView::whole(&mut reader, &plan, now).await?);
    }
    let held_total = held.iter().map(|plan| u64::from(plan.total)).sum();
    let failing_total = failing_total(&site, failing.len(), held_total);
    let certificate_until = sites::certificate_until(&mut reader, id).await?;
    let ticket_until = enrolment::open_until(&mut reader, id, now).await?;
    let ordered = commands::latest_of(&mut reader, id, COMMANDS).await?;
    let remote = RemoteView::of(&mut reader, id, now).await?;
    let backhaul = backhaul::of_site(&mut reader, id).await?;
    let settings = site_settings::of_site(&mut reader, id).await?;
    let upgrade = SiteUpgrade::of(&mut reader, id, now).await?;
    let presence = site.presence;
    let mut router_views = Vec::new();
    for router in &routers {
        let reach = reach::reach(&mut reader, Of::Router(&router.id)).await?;
        let waiting = waiting_for_rebuild(&failing, &router.name);
        router_views.push(router_view(router, (reach, waiting), presence.is_online, now));
    }
    drop(reader);
    let has_trouble = router_views.iter().any(|router| !router.trouble.is_empty());
    let tone = |reached: u64| if reached >= site.generation { "good" } else { "warn" };
    let page = OnePage {
        frame: visit.frame(site.name.clone(), Section::Sites),
        added: Moment::of(site.created_at, now),
        is_up: presence.is_online,
        is_revoked: site.revoked_at.is_some(),
        never_seen: presence.changed_at.is_none(),
        since_word: if presence.is_online { "Up since" } else { "Down since" },
        since: Moment::maybe(presence.changed_at, now),
        last_seen: Moment::maybe(presence.last_seen_at, now),
        wanted: site.generation,
        stored: site.stored_generation,
        applied: site.applied_generation,
        stored_tone: tone(site.stored_generation),
        applied_tone: tone(site.applied_generation),
        applied_at: Moment::maybe(site.applied_at, now),
        sync_sentence: sync_sentence(&site, failing_total, held_total, has_trouble),
        has_trouble,
        failing_total,
        routers: router_views,
        events: events.iter().map(|event| event_view(event, &names, now)).collect(),
        site: SiteView::of(&site, &routers, now),
        held,
        commands: ordered.iter().map(|command| CommandView::of(command, now)).collect(),
        remote,
        settings: SettingsView::of(&settings, now),
        upgrade,
        levels: remote::LEVELS,
        backhaul: backhaul.as_ref().map(|known| BackhaulView::of(known, bounds_line(&settings, now), now)),
        may_take_over: visit.may(Permission::TakeOver) && site.revoked_at.is_none(),
        may_command: visit.may(Permission::CommandRouters) && site.revoked_at.is_none(),
        failing,
        fields,
        may_make_ticket: visit.may(Permission::AddSites) && web.tickets.is_some(),
        may_revoke: visit.may(Permission::AddSites) && site.revoked_at.is_none(),
        certificate_ends: Moment::maybe(certificate_until, now),
        ticket_until: Moment::maybe(ticket_until, now),
        may_add_router: visit.may(Permission::AddRouters) && site.revoked_at.is_none(),
    };
    visit.show_as(status, &page)
}

/// Lines that fail and are not held: what is held fails as well, for its agent.
fn failing_total(site: &Site, listed: usize, held: u64) -> u64 {
    site.failures_total.saturating_sub(held).max(u64::try_from(listed).unwrap_or(u64::MAX))
}

/// What the three generations mean together.
fn sync_sentence(site: &Site, failing: u64, held: u64, has_trouble: bool) -> String {
    let behind = site.generation.saturating_sub(site.applied_generation);
    if site.generation == 0 {
        "No line of this site was ever paid for.".to_owned()
    } else if behind == 0 && failing > 0 {
        let lines = display::counted(failing, "line");
        let held = if held > 0 { format!(", and for {held} held above") } else { String::new() };
        format!("The routers have what head office wants, but for {lines}: see Lines that fail{held}.")
    } else if behind == 0 && held > 0 {
        let lines = display::counted(held, "line");
        format!("The routers have what head office wants, but for {lines} held above.")
    } else if behind == 0 && has_trouble {
        "The site has what head office wants, and cannot work with every router: see Routers.".to_owned()
    } else if behind == 0 {
        "The routers have what head office wants.".to_owned()
    } else if site.presence.is_online {
        format!("{} on the way to the routers.", display::counted(behind, "change"))
    } else {
        format!("{} to be made when the site is back.", display::counted(behind, "change"))
    }
}

/// Whether head office bounds what the site's line may carry in an hour, and the site goes by that.
fn bounds_line(settings: &SiteSettings, now: UnixMillis) -> bool {
    let bound = Setting::KilobytesAnHour;
    settings.values.contains_key(&bound) && settings.stand(bound, now) == Stand::Applied
}

async fn add_router(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::AddRouters)?;
    let id = SiteId::parse(&id).map_err(|_| PageError::NotFound)?;
    let to = format!("/sites/{id}");
    let controller = &web.controller;
    let mut transaction = controller.database.write().await?;
    let name = fields.value("name").to_owned();
    match sites::add_router(&mut transaction, &id, &name, &controller.ids, visit.now).await? {
        AddedRouter::Added(router) => {
            let act = (Action::RouterAdded, router.id.as_str(), router.name.as_str());
            visit.commit(&web, transaction, act, |live| live.tell(Hint::Site(id))).await?;
            Ok(visit.go(&to, &Note::good(format!("Router {name} is added."))))
        }
        AddedRouter::AlreadyThere(_) => {
            Ok(visit.go(&to, &Note::good(format!("Router {name} was there already."))))
        }
        AddedRouter::NoSuchSite => Err(PageError::NotFound),
        AddedRouter::SiteRevoked => {
            Ok(visit.go(&to, &Note::bad("The site is revoked: no router can be added to it.")))
        }
        AddedRouter::BadName => {
            drop(transaction);
            fields.complain("name", "use lower-case letters, digits and dashes, as in routers.toml");
            show(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, &id, fields).await
        }
    }
}

async fn revoke(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::AddSites)?;
    let id = SiteId::parse(&id).map_err(|_| PageError::NotFound)?;
    let to = format!("/sites/{id}");
    if !fields.is("confirm", "yes") {
        let note = "Nothing was done: tick the box to say that this site is to be shut out.";
        return Ok(visit.go(&to, &Note::bad(note)));
    }
    let controller = &web.controller;
    let mut transaction = controller.database.write().await?;
    let is_done = sites::revoke(&mut transaction, &id, &visit.actor(), (&controller.ids, visit.now)).await?;
    if sites::get(&mut transaction, &id).await?.is_none() {
        return Err(PageError::NotFound);
    }
    transaction.commit().await?;
    if !is_done {
        return Ok(visit.go(&to, &Note::bad("The site was revoked already.")));
    }
    sites::tell_revoked(&controller.live, &id);
    Ok(visit.go(&to, &Note::good("The site is shut out. A new ticket brings it back.")))
}
